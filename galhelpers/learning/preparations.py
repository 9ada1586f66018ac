"""Ways to prepare pictures for a network, and how accurate it becomes with each, epoch by epoch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR

from galhelpers.data.augment import Augment, to_float
from galhelpers.learning.experiment import share_right
from galhelpers.learning.metrics import split_interval
from galhelpers.learning.training import Options, fit
from galhelpers.models.small_resnet import SmallResNet

N_TRAIN = 600  # galaxies that are learnt from, in the recorded curves and in the lesson
FRAME = 160  # pixels of the whole frames that all preparations begin with
WIDTHS = (16, 32, 64, 96)  # channels of the network that is trained: 0.2 million parameters
LEARNING_RATE = 2e-3
AVERAGE = 0.98  # the running mean of the weights looks back over about 50 steps
BATCH = 16
_CORNER = 4  # a corner is this part of a frame: far from the galaxy in the middle
_AT_ONCE = 128  # frames that are worked on together


@dataclass(frozen=True)
class Preparation:
    """What is done to a picture before a network sees it.

    Attributes
    ----------
    size
        Pixels a side that the network gets.
    field
        Side of the sky that it sees, in whole frames. Less than 1 is a crop; more shows the galaxy
        smaller, with sky around it, as a cutout does that was asked for at a wrong pixel scale.
    augmented
        Whether it sees another random view each time, or always the same one.
    normalised
        Whether each channel is given the mean 0 and the standard deviation 1, or is passed on as
        it is, from 0 to 1.
    """

    size: int = 48
    field: float = 0.6
    augmented: bool = True
    normalised: bool = True


PREPARATIONS = {
    "crop, 48 px": Preparation(),
    "whole frame, 32 px": Preparation(size=32, field=1.0),
    "no augmentation": Preparation(augmented=False),
    "not normalised": Preparation(normalised=False),
    "0.4 for 0.1 arcsec/pixel": Preparation(field=4 * 0.6),
}
"""By name; the first is the reference, from which each other differs in one thing."""


def show_field(frames: NDArray[np.uint8], size: int = 48, field: float = 0.6) -> NDArray[np.uint8]:
    """Cut the middle out of whole frames, or put sky around them, and reduce to ``size`` pixels.

    Each new pixel is a mean over the old ones that it covers.

    Parameters
    ----------
    frames
        uint8, shape (n, 3, side, side).
    size, field
        As in :class:`Preparation`.

    Returns
    -------
    uint8, shape (n, 3, size, size)

    Raises
    ------
    ValueError
        For a field that is not above 0.
    """
    if not field > 0:
        raise ValueError(f"Expected a field above 0 frames, got {field}.")
    side = frames.shape[-1]
    wanted = 2 * round(side * field / 2)  # even, like the frame: the galaxy stays in the middle
    shown = np.empty((len(frames), 3, size, size), np.uint8)
    for start in range(0, len(frames), _AT_ONCE):
        few = frames[start : start + _AT_ONCE]
        if wanted > side:
            few = with_sky_around(few, wanted)
        edge = (few.shape[-1] - wanted) // 2
        middle = torch.tensor(few[:, :, edge : edge + wanted, edge : edge + wanted])
        reduced = F.interpolate(middle, (size, size), mode="bilinear", antialias=True)
        shown[start : start + _AT_ONCE] = reduced.numpy()
    return shown


def with_sky_around(frames: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Put frames into the middle of wider ones, with sky like their own all around.

    The sky is a mosaic of the calmest corner of each frame and its mirror images, so that it has
    the level, the colour and the grain of the sky in the frame.

    Parameters
    ----------
    frames
        uint8, shape (n, 3, width, width).
    side
        Pixels of the wider frame; as even or odd as the width.

    Returns
    -------
    uint8, shape (n, 3, side, side)
    """
    n, _, width, _ = frames.shape
    part = max(1, width // _CORNER)
    ends = (slice(0, part), slice(width - part, width))
    corners = np.stack([frames[:, :, rows, columns] for rows in ends for columns in ends])
    calmest = corners.std(axis=(2, 3, 4)).argmin(axis=0)
    corner = corners[calmest, np.arange(n)]
    there_and_back = np.concatenate([corner, corner[..., ::-1]], axis=3)
    tile = np.concatenate([there_and_back, there_and_back[:, :, ::-1]], axis=2)
    times = -(-side // tile.shape[-1])
    wide = np.tile(tile, (1, 1, times, times))[:, :, :side, :side].copy()
    edge = (side - width) // 2
    wide[:, :, edge : edge + width, edge : edge + width] = frames
    return wide


def small_network(seed: int = 0) -> SmallResNet:
    """Make the network that all preparations are judged by; any size of picture will do."""
    torch.manual_seed(seed)
    network = SmallResNet(5, WIDTHS, blocks=1)
    return network.to(memory_format=torch.channels_last)  # runs faster on a CPU


def _optimizer(network: nn.Module) -> torch.optim.Optimizer:
    """Make that of ``fit``, in one operation a step: small networks gain a fifth of their time."""
    return torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-2, fused=True)


def accuracy_by_epoch(
    frames: NDArray[np.uint8],
    classes: NDArray[np.integer],
    n_train: int,
    preparation: Preparation,
    epochs: int,
    seed: int = 0,
    resume: Path | None = None,
) -> list[float]:
    """Train a small network on some of the galaxies; judge it on the others after each epoch.

    The learning rate stays the same, and the network that is judged has the running mean of the
    weights, so that each point of the curve is what a training of that length gives.

    Parameters
    ----------
    frames
        Whole frames, uint8, shape (n, 3, side, side).
    classes
        Numbers 0 to 4, shape (n,).
    n_train
        The first so many are learnt from, the rest is held out.
    preparation
        What the network gets to see, in training and when it is judged.
    epochs
        Length of the curve.
    seed
        Of first weights, order and views.
    resume
        File for the state after each epoch (:class:`galhelpers.learning.training.Options`).

    Returns
    -------
    list of float
        Share of held-out galaxies whose class is right, after epoch 1, 2, ...
    """
    pixels = show_field(frames, preparation.size, preparation.field)
    targets = torch.tensor(classes, dtype=torch.int64)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    if preparation.normalised:
        training = pixels[:n_train] / np.float32(255)
        mean, std = (tuple(value(training, axis=(0, 2, 3)).tolist()) for value in (np.mean, np.std))
    network = small_network(seed)

    def as_it_is(batch: Tensor) -> Tensor:
        return to_float(batch, mean, std)

    varied = Augment(preparation.size, mean=mean, std=std, seed=seed)
    history = fit(
        network,
        (pixels[:n_train], targets[:n_train]),
        (pixels[n_train:], targets[n_train:]),
        F.cross_entropy,
        augment=varied if preparation.augmented else lambda batch, _: as_it_is(batch),
        prepare=as_it_is,
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
        options=Options(
            optimizer=_optimizer,
            schedule=lambda optimizer, _: ConstantLR(optimizer, 1.0),
            average=AVERAGE,
            mixed_precision=True,
            resume=resume,
            measure=share_right,
        ),
    )
    return history.measured


def read_curves(file: Path) -> pd.DataFrame:
    """Read the curves that ``benchmarks/preprocessing.py`` recorded.

    Returns
    -------
    DataFrame
        One row a point, with the columns ``galaxies``, ``preparation``, ``seed``, ``epoch`` (from
        1) and ``accuracy``.
    """
    curves = json.loads(file.read_text("utf-8"))["curves"]
    columns = ["galaxies", "preparation", "seed", "accuracy"]
    table = pd.DataFrame(curves)[columns].explode("accuracy", ignore_index=True)
    table["accuracy"] = table["accuracy"].astype(float)
    table["epoch"] = table.groupby(columns[:3], sort=False).cumcount() + 1
    return table


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Give the mean over seeds of each point of ``read_curves``, with its interval.

    Returns
    -------
    DataFrame
        Columns ``galaxies``, ``preparation``, ``epoch``, ``mean``, ``low``, ``high``.
    """
    rows = []
    groups = curves.groupby(["galaxies", "preparation", "epoch"], sort=False)
    for (galaxies, name, epoch), values in groups["accuracy"]:
        found = split_interval(values.to_numpy(), 0)
        rows.append([galaxies, name, epoch, found.value, found.low, found.high])
    return pd.DataFrame(rows, columns=["galaxies", "preparation", "epoch", "mean", "low", "high"])


def differences(
    curves: pd.DataFrame, reference: str, spans: Sequence[tuple[int, int]]
) -> pd.DataFrame:
    """Compare each preparation with the reference, seed by seed, on the same galaxies.

    Parameters
    ----------
    curves
        As ``read_curves`` gives them.
    reference
        Name of the preparation to compare with.
    spans
        First and last epoch of what is averaged before it is compared.

    Returns
    -------
    DataFrame
        One row a kind of galaxies and a preparation, one column a span: the mean difference of
        accuracy in hundredths, with its interval over seeds, as text.
    """
    wide = curves.set_index(["galaxies", "preparation", "seed", "epoch"])["accuracy"].unstack()
    names = [name for name in curves["preparation"].unique() if name != reference]
    rows = {}
    for galaxies in curves["galaxies"].unique():
        for name in names:
            less = 100 * (wide.loc[(galaxies, name)] - wide.loc[(galaxies, reference)])
            means = [less.loc[:, first:last].mean(axis=1).to_numpy() for first, last in spans]
            found = [split_interval(one, 0) for one in means]
            texts = [f"{one.value:+.1f} [{one.low:+.1f}, {one.high:+.1f}]" for one in found]
            rows[galaxies, name] = texts
    heads = [f"epochs {first} to {last}" for first, last in spans]
    index = pd.MultiIndex.from_tuples(rows, names=["galaxies", "preparation"])
    return pd.DataFrame(list(rows.values()), index=index, columns=heads)
