"""Does it pay to choose the galaxies that volunteers see? Many seeds, simulated and real votes.

Run it from the course folder::

    python benchmarks/active_learning.py --data-root DIR

Section 8.8 of notebook 08 with more seeds and with numbers for the report. For each decision tree a
small network learns on simulated galaxies. Its features of other galaxies stay as they are; heads
on them start with 20 galaxies with votes and ask for 20 more, again and again. Savings are given
for two errors: those that random choice reaches with 80 and with 140 labels in the mean.
"""

import argparse
import time
from functools import partial
from pathlib import Path

from galhelpers.data.augment import Augment, to_float
from galhelpers.data.dataset import load_dataset
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.images import load_images
from galhelpers.data.simulated import load_simulated
from galhelpers.data.votes import votes_of
from galhelpers.learning.active import STRATEGIES, labels_saved, learning_curves
from galhelpers.learning.losses import vote_loss
from galhelpers.learning.training import best_device, fit, predict
from galhelpers.models import VoteNet
from galhelpers.paths import default_data_root
from galhelpers.trees import DECALS, GZ2, Tree

import numpy as np
import torch

PLAN = {"start": 20, "step": 20, "rounds": 7}
PREPARE = partial(to_float, mean=[0.14] * 3, std=[0.15] * 3, size=64)
VIEWS = Augment(64, mean=[0.14] * 3, std=[0.15] * 3)


def read(galaxies: GalaxySet, tree: Tree) -> tuple[np.ndarray, torch.Tensor]:
    """Pictures of 88 px, of which the network sees the middle 64, and votes."""
    pixels = load_images(
        galaxies.files, 88, 0.6875, cache_dir=default_data_root() / "cache", progress=False
    ).pixels
    return pixels, torch.tensor(votes_of(galaxies, tree.name)[1], dtype=torch.float32)


def trained_on_the_sky(tree: Tree, telescope: str, n: int, epochs: int) -> VoteNet:
    pixels, votes = read(load_simulated(default_data_root(), n, 0, telescope, 128), tree)
    torch.manual_seed(0)
    net = VoteNet(tree.name, "small", widths=(16, 32, 64)).to(best_device())
    net = net.to(memory_format=torch.channels_last)
    cut = round(0.8 * n)
    fit(
        net,
        (pixels[:cut], votes[:cut]),
        (pixels[cut:], votes[cut:]),
        partial(vote_loss, tree=tree),
        augment=VIEWS,
        prepare=PREPARE,
        epochs=epochs,
        batch_size=32,
    )
    return net.eval()


def compare(net: VoteNet, galaxies: GalaxySet, seeds: int) -> None:
    """Print errors and savings of the three strategies on galaxies that the network never saw."""
    tree = net.tree
    pixels, votes = read(galaxies, tree)
    start = time.process_time()
    features = predict(net.encode, pixels, PREPARE, device=best_device())
    shares = votes / votes[:, : tree.offsets[1]].sum(dim=1, keepdim=True)
    errors = learning_curves(features, votes, shares.numpy(), tree, seeds=range(seeds), **PLAN)
    labels = PLAN["start"] + PLAN["step"] * np.arange(PLAN["rounds"] + 1)
    half, late = errors[0].mean(axis=0)[[3, 6]]
    print(f"\n{galaxies.name}: {len(galaxies):,} galaxies, tree {tree.name}, {seeds} seeds, "
          f"{time.process_time() - start:.0f} s of CPU\n")  # fmt: skip
    print(f"| choice | error at {' / '.join(map(str, labels[[1, 3, 5, 7]]))} labels "
          f"| saved to {half:.4f} | saved to {late:.4f} |")  # fmt: skip
    print("|---|---|---|---|")
    for name, curve in zip(STRATEGIES, errors, strict=True):
        mean = " / ".join(f"{value:.4f}" for value in curve.mean(axis=0)[[1, 3, 5, 7]])
        saved = [labels_saved(errors[0], curve, labels, goal) for goal in (half, late)]
        said = ["" if name == "random" else str(s) for s in saved]
        print(f"| {name} | {mean} | {said[0]} | {said[1]} |")
    better = (errors[0] - errors[2])[:, 1:].mean(axis=1)
    print(f"\nBALD's mean advantage in error: {better.mean():.4f}, standard error over seeds "
          f"{better.std(ddof=1) / seeds**0.5:.4f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-root", type=Path, help="folder with gz2_votes; none: simulated only"
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--galaxies", type=int, default=3000, help="simulated, to train on")
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    net = trained_on_the_sky(DECALS, "decals", options.galaxies, options.epochs)
    compare(net, load_simulated(default_data_root(), 1000, 1, "decals", 128), options.seeds)
    if options.data_root:
        net = trained_on_the_sky(GZ2, "sdss", options.galaxies, options.epochs)
        compare(net, load_dataset("gz2_votes", options.data_root), options.seeds)


if __name__ == "__main__":
    main()
