"""Figures of unit 07 on reading a paper: its tables and splits, and a fair comparison."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator
from numpy.typing import ArrayLike

from galhelpers.views.plots import PALETTE, WIDTH, tidy


def drawn_counts(
    one: ArrayLike, mean_of_ten: ArrayLike, rows: Mapping[str, ArrayLike], classes: Sequence[str]
) -> Figure:
    """Draw how many galaxies of each class random test sets hold, and what tables hold.

    Parameters
    ----------
    one, mean_of_ten
        Counts in simulated test sets, and means over ten of them: shape (draws, classes).
    rows
        Title to the row sums of a table, shape (classes,).
    classes
        Names of the classes.
    """
    single, mean = np.asarray(one, float), np.asarray(mean_of_ten, float)
    fig = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = fig.subplots(1, len(classes), squeeze=False)[0]
    for k, (ax, name) in enumerate(zip(axes, classes, strict=True)):
        for values, y, colour in ((single[:, k], 1.0, "0.55"), (mean[:, k], 0.0, PALETTE[0])):
            low, high = np.quantile(values, [0.025, 0.975])
            ax.plot([low, high], [y, y], lw=9, color=colour, alpha=0.55, solid_capstyle="butt")
            ax.plot(values.mean(), y, "|", ms=12, mew=2, color="black")
        for number, (table, sums) in enumerate(rows.items()):
            marker = ("o", "s", "D")[number % 3]
            ax.plot(
                np.asarray(sums)[k], -1 - 0.45 * number, marker, ms=6.5,
                color=PALETTE[1 + number], label=table,
            )  # fmt: skip
        ax.set(ylim=(-2.4, 1.5), yticks=[])
        ax.set_title(name, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        tidy(ax)
        ax.spines["left"].set_visible(False)
    axes[0].set_yticks([1, 0], ["one split", "mean of ten"], fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=10)
    axes[len(axes) // 2].set_xlabel("galaxies of the class in the test set")
    return fig


class Beside(NamedTuple):
    """A value of ours with its interval, single measurements, and the paper's value.

    Attributes
    ----------
    name
        Label of the row.
    value, low, high
        Ours, with the ends of its interval; the ends may be NaN.
    paper
        Theirs.
    points
        Single measurements, such as one a split.
    """

    name: str
    value: float
    low: float
    high: float
    paper: float
    points: tuple[float, ...] = ()


def beside_paper(rows: Sequence[Beside], xlabel: str, zero: bool = False) -> Figure:
    """Draw our values with intervals, and the paper's as diamonds, one row each.

    Parameters
    ----------
    rows
        From top to bottom.
    xlabel
        Name of the values.
    zero
        Whether a line marks 0: "no difference".
    """
    fig = Figure(figsize=(WIDTH, 1.25 + 0.5 * len(rows)), layout="constrained")
    ax = fig.subplots()
    for y, row in enumerate(rows):
        ax.hlines(y, row.low, row.high, color=PALETTE[0], lw=3)
        ax.plot(
            row.value, y, "o", ms=8, color=PALETTE[0],
            label="one recipe, the same test galaxies (ours)" if not y else None,
        )  # fmt: skip
        ax.plot(row.paper, y, "D", ms=8, color=PALETTE[1], label=None if y else "from the paper")
        label = "single splits (ours)" if not y and row.points else None
        below = np.full(len(row.points), y + 0.24)
        ax.plot(row.points, below, "o", mfc="none", mec="0.4", ms=5, label=label)
    if zero:
        ax.axvline(0, color="0.35", lw=1.2, ls="--", zorder=0)
    ax.set_yticks(range(len(rows)), [row.name for row in rows])
    ax.set(ylim=(len(rows) - 0.5, -0.6), xlabel=xlabel)
    tidy(ax)
    fig.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=10)
    return fig


def bonus_of_looking(
    looks: Sequence[int], curves: Mapping[str, ArrayLike], levels: Mapping[str, float]
) -> Figure:
    """Draw how much too good the best of several epochs is, beside differences between networks.

    Parameters
    ----------
    looks
        Numbers of epochs that the best was chosen from.
    curves
        Name to the mean excess in accuracy, shape (looks,).
    levels
        Label to a horizontal line.
    """
    fig = Figure(figsize=(WIDTH, 4.0), layout="constrained")
    ax = fig.subplots()
    for number, (name, values) in enumerate(curves.items()):
        ax.plot(looks, values, "o-", color=PALETTE[number], lw=2, ms=6, label=name)
    for number, (label, level) in enumerate(levels.items()):
        ax.axhline(level, color="0.35", ls=("--", ":")[number % 2], lw=1.3)
        ax.text(looks[0], level, label, va="bottom", fontsize=9.5, color="0.25")
    ax.set(
        xscale="log", xlabel="epochs that the best is chosen from", ylabel="accuracy too high by"
    )
    _plain_ticks(ax, looks)
    tidy(ax)
    ax.legend(frameon=False, fontsize=10, loc="lower right")
    return fig


def _plain_ticks(ax: Axes, places: Sequence[int]) -> None:
    """Mark these places of a logarithmic axis, with plain numbers."""
    ax.set_xticks(places, [f"{place:g}" for place in places])
    ax.xaxis.set_minor_locator(NullLocator())
