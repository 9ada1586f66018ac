"""Figures of unit 03: what preparations leave of a picture, and accuracy against epochs."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import ScalarFormatter
from numpy.typing import ArrayLike
from PIL import Image

from galhelpers.views.plots import PALETTE, WIDTH, check_images, tidy


def frame_and_centres(
    frames: ArrayLike, ways: Mapping[str, ArrayLike], rows: Sequence[str], centre: float = 0.3
) -> Figure:
    """Show whole frames, and beside them what each preparation leaves of the centre.

    Parameters
    ----------
    frames : array of uint8, shape (n, 3, height, width)
        Whole frames; the part that is shown beside them is marked.
    ways : mapping of name to array of uint8, shape (n, 3, side, side)
        The same part of the sky, prepared. Pixels are drawn as squares, whatever their number.
    rows : sequence of n str
        Names of the galaxies.
    centre : float
        Side of the part, in frames.
    """
    whole = check_images(frames)
    n, columns = len(whole), 1 + len(ways)
    side = WIDTH / columns
    fig = Figure(figsize=(WIDTH, side * n * 1.02 + 0.4), layout="constrained")
    axes = fig.subplots(n, columns, squeeze=False)
    width = whole.shape[-1]
    for ax, picture, name in zip(axes[:, 0], whole, rows, strict=True):
        ax.imshow(picture.transpose(1, 2, 0))
        corner = ((1 - centre) / 2 * width - 0.5,) * 2
        mark = Rectangle(corner, centre * width, centre * width, fill=False, ec=PALETTE[4], lw=1.8)
        ax.add_patch(mark)
        ax.set_ylabel(name, fontsize=11)
    axes[0, 0].set_title(f"the frame, {width} px", fontsize=11)
    for column, (way, pictures) in zip(axes[:, 1:].T, ways.items(), strict=True):
        for ax, picture in zip(column, check_images(pictures), strict=True):
            ax.imshow(picture.transpose(1, 2, 0), interpolation="nearest")
        column[0].set_title(way, fontsize=11)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return fig


def pictures_with_pixels(pictures: Mapping[str, ArrayLike]) -> Figure:
    """Show pictures side by side, with axes that count their pixels.

    Parameters
    ----------
    pictures : mapping of title to array of uint8, shape (3, height, width)
    """
    fig = Figure(figsize=(WIDTH, WIDTH / len(pictures) + 0.3), layout="constrained")
    axes = fig.subplots(1, len(pictures), squeeze=False)[0]
    for ax, (title, picture) in zip(axes, pictures.items(), strict=True):
        ax.imshow(check_images(np.asarray(picture)[None])[0].transpose(1, 2, 0))
        ax.set_title(title, fontsize=11)
        ax.set(xlabel="pixel")
        ax.grid(color="white", alpha=0.25, lw=0.6)
    axes[0].set(ylabel="pixel")
    return fig


def bars(values: Mapping[str, float], xlabel: str, numbers: str = "{:.2f}") -> Figure:
    """Draw horizontal bars, the first on top, each with its number.

    Parameters
    ----------
    values : mapping of name to value
    xlabel : str
        Name and unit of the values.
    numbers : str
        How a number is written.
    """
    fig = Figure(figsize=(7.5, 0.9 + 0.38 * len(values)), layout="constrained")
    ax = fig.subplots()
    drawn = ax.barh(list(values), list(values.values()), color=PALETTE[0], height=0.65)
    ax.bar_label(drawn, fmt=numbers, padding=4)
    ax.invert_yaxis()
    ax.set(xlabel=xlabel, xlim=(0, 1.15 * max(values.values())))
    tidy(ax)
    return fig


def histograms(values: Mapping[str, ArrayLike], xlabel: str) -> Figure:
    """Draw the distributions of some numbers, one line each, over each other.

    Parameters
    ----------
    values : mapping of name to array of float
    xlabel : str
        Name and unit of the numbers.
    """
    fig = Figure(figsize=(7.5, 3.0), layout="constrained")
    ax = fig.subplots()
    flat = {name: np.ravel(np.asarray(numbers, float)) for name, numbers in values.items()}
    low = min(numbers.min() for numbers in flat.values())
    high = max(np.percentile(numbers, 99.5) for numbers in flat.values())
    edges = np.linspace(low, high, 80)
    for i, (name, numbers) in enumerate(flat.items()):
        share = np.histogram(numbers, edges)[0] / len(numbers)
        ax.stairs(share, edges, color=PALETTE[i], lw=1.8, label=name, fill=True, alpha=0.35)
        ax.stairs(share, edges, color=PALETTE[i], lw=1.8)
    ax.axvline(0, color="0.3", lw=1)
    ax.set(xlabel=xlabel, ylabel="share of pixels")
    tidy(ax)
    ax.legend(frameon=False, fontsize=10)
    return fig


def accuracy_against_epochs(
    recorded: Mapping[str, pd.DataFrame],
    own: Mapping[str, pd.DataFrame] | None = None,
    bands: Sequence[str] | None = None,
) -> Figure:
    """Draw accuracy against epochs, one panel a kind of galaxies, one colour a preparation.

    Parameters
    ----------
    recorded : mapping of title to DataFrame
        Columns ``preparation``, ``epoch``, ``mean``, ``low``, ``high``; in one order everywhere.
    own : mapping of title to DataFrame, optional
        Columns ``preparation``, ``epoch``, ``accuracy``: points of another run, drawn on top.
    bands : sequence of str, optional
        Preparations whose intervals are drawn, and whose lines are thicker; by default all.
    """
    fig = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = fig.subplots(1, len(recorded), sharey=True, squeeze=False)[0]
    for ax, (title, curves) in zip(axes, recorded.items(), strict=True):
        for i, (name, curve) in enumerate(curves.groupby("preparation", sort=False)):
            style = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))[i % 5]
            colour = PALETTE[i % len(PALETTE)]
            banded = bands is None or name in bands
            width = 2.6 if banded else 1.6
            ax.plot(curve["epoch"], curve["mean"], ls=style, color=colour, lw=width, label=name)
            if banded:
                ends = curve["low"], curve["high"]
                ax.fill_between(curve["epoch"], *ends, color=colour, alpha=0.15, lw=0)
            points = (own or {}).get(title)
            if points is not None:
                these = points[points["preparation"] == name]
                ax.plot(these["epoch"], these["accuracy"], "o", mfc="white", color=colour, ms=6)
        ax.set(title=title, xlabel="epochs", xscale="log")
        ax.set_xticks([1, 2, 3, 5, 10, 20, 30])
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.minorticks_off()
        tidy(ax)
    means = pd.concat([curves["mean"] for curves in recorded.values()])
    axes[0].set(ylabel="share of held-out galaxies right", ylim=(means.min() - 0.08, 1.0))
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    return fig


def enlarged(picture: ArrayLike, side: int = 420) -> np.ndarray:
    """Blow a picture up for the eye, each pixel a square, without smoothing.

    Parameters
    ----------
    picture : array of uint8, shape (3, height, width)
    side : int
        Width and height of the result, in pixels.
    """
    pixels = check_images(np.asarray(picture)[None])[0].transpose(1, 2, 0)
    big = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (side, side), Image.Resampling.NEAREST
    )
    return np.asarray(big).transpose(2, 0, 1)
