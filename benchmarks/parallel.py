"""Training on one process and on several: the same losses, and what time it takes.

Run it from the course folder, alone and on two processes::

    OMP_NUM_THREADS=1 python benchmarks/parallel.py --accumulate 2
    OMP_NUM_THREADS=1 torchrun --nproc_per_node=2 benchmarks/parallel.py

It is notebook 07's training on SDSS: spiral or elliptical, the clean third of 3,000 simulated
galaxies, a tenth of which are for validation. Both take steps of the same
galaxies in the same views, so the training losses agree. On a machine with GPUs each process takes
one of them. Without ``OMP_NUM_THREADS`` one process alone uses all cores. Seconds hold the start.
"""

import argparse
import time
from functools import partial

from galhelpers.data.augment import Augment, to_float
from galhelpers.learning.parallel import fit_parallel, rank_and_size
from galhelpers.learning.training import best_device
from galhelpers.models import backbone
from galhelpers.survey import galaxy_zoo_1_class, galaxy_zoo_1_votes, render, sample_galaxies

import torch
import torch.nn.functional as F

STATISTICS = {"mean": [0.14] * 3, "std": [0.15] * 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--galaxies", type=int, default=3000, help="a third of them is clean")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=32, help="of one process")
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2e-3, help="for 64 galaxies a step")
    options = parser.parse_args()
    rank, size = rank_and_size()
    # Every process makes the same galaxies: they follow from the seed.
    truth = sample_galaxies(options.galaxies, seed=0)
    answers = galaxy_zoo_1_class(galaxy_zoo_1_votes(truth, "sdss", seed=0))
    clean = answers != "uncertain"
    spiral = torch.tensor((answers[clean] == "spiral").astype(int))
    pixels = render(truth[clean].reset_index(drop=True), "sdss", 128, 0).numpy()
    pixels, cut = pixels[:, :, 20:108, 20:108], round(0.9 * len(spiral))
    torch.manual_seed(0)
    # Without dropout, which each process would draw for itself.
    net = backbone("small_resnet", 2, dropout=0.0, widths=(16, 32, 64)).to(best_device())
    start = time.perf_counter()
    history = fit_parallel(
        net,
        (pixels[:cut], spiral[:cut]),
        (pixels[cut:], spiral[cut:]),
        F.cross_entropy,
        augment=Augment(64, **STATISTICS),
        prepare=partial(to_float, size=64, **STATISTICS),
        epochs=options.epochs,
        learning_rate=options.rate,
        reference_batch=64,
        batch_size=options.batch_size,
        accumulate=options.accumulate,
    )
    seconds = time.perf_counter() - start
    if rank:
        return
    whole = size * options.accumulate * options.batch_size
    device = next(net.parameters()).device.type
    each = seconds / options.epochs
    print(f"processes: {size} ({device}); galaxies a step: {whole}; seconds an epoch: {each:.2f}\n")
    print("| epoch | training loss | validation loss |\n|---|---|---|")
    losses = zip(history.train_loss, history.validation_loss, strict=True)
    for epoch, (train, validation) in enumerate(losses, start=1):
        print(f"| {epoch} | {train:.4f} | {validation:.4f} |")


if __name__ == "__main__":
    main()
