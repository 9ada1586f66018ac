"""How real the simulated survey is, as networks see it.

Run it from the course folder, on a folder that holds real galaxies in five classes::

    python benchmarks/sim_to_real.py --data-root DIR

Three questions, one network (eight convolutions with shortcuts, 64 px, the centre 60 % of the
frame, eight views averaged), the same training for each:

- *simulated to real*: trained on simulated galaxies alone, how often is it right on real ones?
- *real to simulated*: the other way round.
- *which is which*: trained to tell real from simulated; 50 % is a perfect simulation.

No real image, and no label of one, is used in the first training: the epoch is chosen on simulated
galaxies, and the normalisation comes from them too. The simulation itself was fitted to real
galaxies, with this score in view; those are left out here.
"""

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path

from galhelpers.data.augment import Augment, dihedral_views, to_float
from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.data.images import load_images
from galhelpers.learning.metrics import bootstrap
from galhelpers.learning.training import best_device, fit, predict
from galhelpers.survey import (
    SURVEY_VERSION,
    cumulative_fractions,
    render,
    sample_galaxies,
    volunteer_votes,
)

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAME = 160  # pixels of the whole frame, of the real files as of the simulated ones
KEEP = 80  # the centre 75 % of the frame at this size, so that a turned view has real corners
VIEW = 64  # of which the network sees the centre: 60 % of the frame
FITTED = 6000  # in the shuffled list: looked at when the simulation was fitted, not used here
TARGETS = {"accuracy": 0.80, "macro recall": 0.70}


def reduce(pictures: Tensor) -> np.ndarray:
    """Cut the centre 75 % of whole frames, uint8 (n, 3, 160, 160), and reduce it to 80 pixels."""
    side, edge = FRAME * 3 // 4, FRAME // 8
    centre = pictures[:, :, edge : edge + side, edge : edge + side]
    parts = [
        F.interpolate(part, (KEEP, KEEP), mode="bilinear", antialias=True)
        for part in centre.split(512)
    ]
    return torch.cat(parts).numpy()


def real_galaxies(folder: Path, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Read n real galaxies: bytes (n, 3, 80, 80) and class numbers."""
    labels = pd.read_csv(folder / "labels.csv").sample(frac=1, random_state=seed)
    if len(labels) < FITTED + n:
        raise SystemExit(
            f"Expected {FITTED + n} real galaxies, found {len(labels)}: lower --n-real."
        )
    labels = labels.iloc[FITTED : FITTED + n]
    files = [folder / file for file in labels["file"]]
    images = load_images(files, FRAME)
    assert images.ok.all()
    return reduce(torch.from_numpy(np.array(images.pixels))), labels["class_id"].to_numpy().copy()


def simulated_galaxies(
    n: int, seed: int, balanced: bool = False, start: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Simulate n galaxies and keep those that simulated volunteers agree on."""
    pictures, classes = [], []
    for first in range(start, start + n, 1000):
        truth = sample_galaxies(min(1000, start + n - first), seed, first, balanced)
        images = render(truth, "sdss", FRAME, seed)
        fractions = cumulative_fractions(volunteer_votes(truth, seed=seed))
        chosen = np.asarray(select_five_classes(fractions))
        keep = chosen >= 0
        pictures.append(reduce(images[torch.from_numpy(keep)]))
        classes.append(chosen[keep])
    return np.concatenate(pictures), np.concatenate(classes)


class Block(nn.Module):
    """Two convolutions and a shortcut; halves the side of the image."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        self.two = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        self.shortcut = nn.Conv2d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, before, h, w) to (batch, after, h / 2, w / 2)."""
        y = self.norms[1](self.two(F.relu(self.norms[0](self.one(x)))))
        return F.relu(y + self.shortcut(F.avg_pool2d(x, 2)))


def network(outputs: int) -> nn.Module:
    """Four blocks, then the mean over the image."""
    widths = (3, 24, 48, 96, 128)
    blocks = [Block(a, b) for a, b in pairwise(widths)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(widths[-1], outputs)]
    return nn.Sequential(*blocks, *head)


class Trained:
    """A network trained on one set of galaxies, with the normalisation of that set."""

    def __init__(
        self, pixels: np.ndarray, classes: np.ndarray, epochs: int, seed: int, outputs: int = 5
    ) -> None:
        torch.manual_seed(seed)
        order = np.random.default_rng(seed).permutation(len(pixels))
        held_out, training = order[: len(order) // 10], order[len(order) // 10 :]
        part = pixels[training[:2000]] / 255
        self.mean, self.std = part.mean((0, 2, 3)).tolist(), part.std((0, 2, 3)).tolist()
        target = torch.from_numpy(classes).long()
        self.model = network(outputs).to(best_device())
        history = fit(
            self.model,
            (pixels[training], target[training]),
            (pixels[held_out], target[held_out]),
            lambda scores, wanted: F.cross_entropy(scores, wanted, label_smoothing=0.05),
            augment=Augment(
                VIEW, zoom=(0.87, 1.3), brightness=0.3, mean=self.mean, std=self.std, seed=seed
            ),
            prepare=self.prepare,
            epochs=epochs,
            learning_rate=4e-3,
            seed=seed,
        )
        self.best_epoch = history.best_epoch
        self.at_home = float((self(pixels[held_out]) == classes[held_out]).mean())

    def prepare(self, batch: Tensor) -> Tensor:
        """Cut and normalise bytes (batch, 3, 80, 80)."""
        return to_float(batch, self.mean, self.std, VIEW)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Guess the class of each picture, averaged over its eight views."""
        scores = [
            predict(self.model, np.ascontiguousarray(view), self.prepare).softmax(1)
            for view in dihedral_views(torch.from_numpy(pixels))
        ]
        return torch.stack(scores).mean(0).argmax(1).numpy()


def report(name: str, trained: Trained, pixels: np.ndarray, classes: np.ndarray) -> dict:
    """Print how a network does on galaxies of the other kind."""
    guess = trained(pixels)
    confusion = np.zeros((5, 5), dtype=int)
    np.add.at(confusion, (classes, guess), 1)
    recall = confusion.diagonal() / confusion.sum(1)
    accuracy = bootstrap(lambda g, c: float((g == c).mean()), guess, classes)
    macro = float(np.nanmean(recall))
    print(f"\n{name}: accuracy {accuracy}, macro-averaged recall {macro:.3f}")
    print(f"(on galaxies like those it was trained on: {trained.at_home:.3f})")
    print(pd.DataFrame(confusion, index=FIVE_CLASSES, columns=FIVE_CLASSES).to_string())
    print("recall: " + ", ".join(f"{c} {r:.2f}" for c, r in zip(FIVE_CLASSES, recall, strict=True)))
    return {"accuracy": float((guess == classes).mean()), "macro recall": macro}


def same_shares(one: np.ndarray, other: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both sides with as many galaxies of each class."""
    random = np.random.default_rng(seed)
    rows_one, rows_other = [], []
    for k in range(5):
        a, b = np.flatnonzero(one == k), np.flatnonzero(other == k)
        n = min(len(a), len(b))
        rows_one.append(random.permutation(a)[:n])
        rows_other.append(random.permutation(b)[:n])
    return np.concatenate(rows_one), np.concatenate(rows_other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, required=True, help="folder of --dataset")
    parser.add_argument("--dataset", default="gz2_five_class")
    parser.add_argument("--n", type=int, default=8_000, help="simulated galaxies to train on")
    parser.add_argument("--n-real", type=int, default=6_000, help="real galaxies")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=["forward", "back", "which"], nargs="*")
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    arguments = parser.parse_args()
    wanted = arguments.only or ["forward", "back", "which"]
    seed, results = arguments.seed, {"survey_version": SURVEY_VERSION}

    real, real_class = real_galaxies(arguments.data_root / arguments.dataset, arguments.n_real, 0)
    start = time.perf_counter()
    natural = simulated_galaxies(arguments.n // 2, seed)
    if {"forward", "which"} & set(wanted):
        # Rare classes are rare in the natural half; the balanced half has enough of them.
        balanced = simulated_galaxies(arguments.n // 2, seed, balanced=True, start=10**6)
    print(f"simulated in {time.perf_counter() - start:.0f} s")
    if "forward" in wanted:
        both = [np.concatenate(pair) for pair in zip(natural, balanced, strict=True)]
        trained = Trained(*both, arguments.epochs, seed)
        results["forward"] = report("simulated to real", trained, real, real_class)
        print(f"targets: {TARGETS}")
    if "back" in wanted:
        trained = Trained(real, real_class, arguments.epochs, seed)
        results["back"] = report("real to simulated", trained, *natural)
    if "which" in wanted:
        ours, theirs = same_shares(natural[1], real_class, seed)
        pixels = np.concatenate([natural[0][ours], real[theirs]])
        side = np.repeat([0, 1], [len(ours), len(theirs)])
        order = np.random.default_rng(seed).permutation(len(side))
        test, training = order[: len(order) // 4], order[len(order) // 4 :]
        trained = Trained(pixels[training], side[training], arguments.epochs // 2, seed, 2)
        right = trained(pixels[test]) == side[test]
        print(f"\nwhich is which: {right.mean():.3f} right of {len(test)} (0.5 is a perfect copy)")
        results["which"] = float(right.mean())
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
