"""Figures of networks in which depth is time, and of how three of them compare."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from galhelpers.views.plots import PALETTE, WIDTH, check_images, tidy

_ARROW: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 12, "color": "0.3", "lw": 1.3}


def three_depths() -> Figure:
    """Draw plain layers, residual blocks, and one function asked again and again, a row each."""
    fig = Figure(figsize=(WIDTH, 4.1), layout="constrained")
    rows = fig.subplots(3, 1)
    titles = (
        "plain layers: each one replaces what comes in",
        "residual blocks: each one adds to what comes in",
        "neural ODE: one function, told the time; a solver takes the steps",
    )
    for number, (ax, title) in enumerate(zip(rows, titles, strict=True)):
        ax.set(xlim=(-0.3, 8.3), ylim=(-0.75, 1.0))
        ax.set_axis_off()
        ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
        ax.text(0, 0, "x", ha="center", va="center", fontsize=12)
        for place in range(3):
            _draw_step(ax, 1.0 + 2.4 * place, number, place)
        ax.text(8.0, 0, "y", ha="center", va="center", fontsize=12)
    return fig


def _draw_step(ax: Axes, left: float, number: int, place: int) -> None:
    """Draw one of three steps: a box, arrows, and from the second row on the way around it."""
    label = f"$F_{place + 1}$" if number < 2 else f"f, t = {('0', '1/3', '2/3')[place]}"
    colour = PALETTE[place if number < 2 else 0]
    box = FancyBboxPatch(
        (left, -0.3), 1.0, 0.6, boxstyle="round,pad=0.04", facecolor=colour, edgecolor="none",
        alpha=0.25,
    )  # fmt: skip
    ax.add_patch(box)
    ax.text(left + 0.5, 0, label, ha="center", va="center", fontsize=10)
    if place == 0:
        ax.add_patch(FancyArrowPatch((0.12, 0), (left, 0), **_ARROW))
    ends = left + 2.4 if place < 2 else 7.88  # at the next box, or at y
    if number == 0:
        ax.add_patch(FancyArrowPatch((left + 1.0, 0), (ends, 0), **_ARROW))
        return
    plus = left + 1.5
    ax.add_patch(FancyArrowPatch((left + 1.0, 0), (plus - 0.06, 0), **_ARROW))
    ax.add_patch(FancyArrowPatch((plus + 0.06, 0), (ends, 0), **_ARROW))
    around = FancyArrowPatch(
        (left - 0.45, 0.0), (plus, 0.12), connectionstyle="arc3,rad=-0.4", **_ARROW
    )
    ax.add_patch(around)
    ax.plot([plus], [0], "o", ms=13, color="white", mec="0.3", zorder=5)
    ax.text(plus, -0.01, "+", ha="center", va="center", fontsize=11, zorder=6)
    if number == 2:
        ax.text(left + 1.24, -0.2, "× h", ha="center", va="center", fontsize=9, color="0.3")


def states_along_time(
    picture: ArrayLike, states: ArrayLike, times: Sequence[float], channels: Sequence[int]
) -> Figure:
    """Show some channels of one galaxy's state as it flows along t, a row each.

    Parameters
    ----------
    picture
        uint8, shape (3, height, width).
    states
        Shape (times, channels of the network, height, width).
    times
        At which they are.
    channels
        Which are shown. Each has one scale for all times, blue is negative and red positive.
    """
    values = np.asarray(states, float)
    image = check_images(np.asarray(picture)[None])[0]
    columns = len(times) + 1
    side = WIDTH / columns
    fig = Figure(figsize=(WIDTH, (side + 0.05) * len(channels) + 0.35), layout="constrained")
    axes = fig.subplots(len(channels), columns, squeeze=False)
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    for ax in axes[1:, 0]:
        ax.set_axis_off()
    axes[0, 0].imshow(image.transpose(1, 2, 0))
    axes[0, 0].set_title("galaxy", fontsize=9)
    for row, channel in zip(axes, channels, strict=True):
        most = np.abs(values[:, channel]).max()
        row[1].set_ylabel(f"channel {channel}", fontsize=8)
        for ax, one in zip(row[1:], values[:, channel], strict=True):
            ax.imshow(one, cmap="RdBu_r", vmin=-most, vmax=most)
    for ax, t in zip(axes[0, 1:], times, strict=True):
        ax.set_title(f"t = {t:.2g}", fontsize=9)
    return fig


def paths_of_states(
    paths: ArrayLike, labels: ArrayLike, classes: Sequence[str], axes_names: tuple[str, str]
) -> Figure:
    """Draw the ways of galaxies through a plane, from an open dot at t = 0 to a full one at t = 1.

    Parameters
    ----------
    paths
        Shape (galaxies, times, 2).
    labels
        Class number of each galaxy.
    classes
        Names of the classes, one colour each.
    axes_names
        Of the two axes of the plane.
    """
    fig = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    ax = fig.subplots()
    for way, label in zip(np.asarray(paths, float), np.asarray(labels, int), strict=True):
        colour = PALETTE[label % len(PALETTE)]
        ax.plot(*way.T, color=colour, lw=0.9, alpha=0.65)
        ax.plot(*way[0], "o", ms=3.5, mfc="white", mec=colour, zorder=3)
        ax.plot(*way[-1], "o", ms=5, color=colour, zorder=4)
    handles = [
        Line2D([], [], color=PALETTE[k % len(PALETTE)], marker="o", label=name)
        for k, name in enumerate(classes)
    ]
    ax.set(xlabel=axes_names[0], ylabel=axes_names[1])
    tidy(ax)
    fig.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9)
    return fig


def recalls_beside_paper(
    matrices: Mapping[str, ArrayLike],
    published: Mapping[str, Sequence[float]],
    classes: Sequence[str],
) -> Figure:
    """Draw the recall of each class with Wilson's 95 % interval, and a diamond for the paper's.

    Parameters
    ----------
    matrices
        Name of each network to its counts, shape (classes, classes), true class in rows.
    published
        The same names to the paper's recalls.
    classes
        Short names.
    """
    fig = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = fig.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    place = np.arange(len(classes))
    for ax, (name, given) in zip(axes, matrices.items(), strict=True):
        counts = np.asarray(given, int)
        right, n = np.diag(counts), counts.sum(axis=1)
        ends = [
            binomtest(int(k), int(of)).proportion_ci(method="wilson")
            for k, of in zip(right, n, strict=True)
        ]
        ax.hlines(place, [e.low for e in ends], [e.high for e in ends], color=PALETTE[0], lw=2.4)
        ax.plot(right / n, place, "o", color=PALETTE[0], ms=6, label="trained here")
        ax.plot(published[name], place, "D", mfc="none", color=PALETTE[1], ms=7, label="paper")
        ax.set_yticks(place, classes)
        ax.set(xlim=(0, 1.02), ylim=(len(classes) - 0.5, -0.5), xlabel="recall", title=name)
        tidy(ax)
    axes[0].legend(loc="lower left", frameon=False, fontsize=8)
    return fig


def recorded_curves(
    networks: Mapping[str, Mapping[str, Any]], classes: Mapping[str, str]
) -> Figure:
    """Draw ROC curves above and precision-recall curves below, one column a network.

    Parameters
    ----------
    networks
        Name to its record: ``roc`` and ``precision_recall``, each from a class's name to its
        points, as in ``docs/results/three_networks.json``.
    classes
        Name of each class in the record to a short one, in the order of their colours.
    """
    fig = Figure(figsize=(WIDTH, 6.6), layout="constrained")
    axes = fig.subplots(2, len(networks), squeeze=False, sharey="row")
    for (above, below), (name, record) in zip(axes.T, networks.items(), strict=True):
        for k, (one, short) in enumerate(classes.items()):
            roc, found = record["roc"][one], record["precision_recall"][one]
            style = {"color": PALETTE[k % len(PALETTE)], "lw": 1.5}
            rate = np.maximum(roc["false_positive_rate"], 1e-4)  # 0 has no logarithm
            above.plot(rate, roc["recall"], label=f"{short} {roc['area']:.3f}", **style)
            area = found["average_precision"]
            below.plot(found["recall"], found["precision"], label=f"{short} {area:.3f}", **style)
        above.set(xscale="log", xlim=(1e-3, 1), xlabel="false positive rate", title=name)
        below.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall")
        above.legend(loc="lower right", fontsize=7.5, frameon=False, title="area", title_fontsize=8)
        below.legend(
            loc="lower left", fontsize=7.5, frameon=False, title="average precision",
            title_fontsize=8,
        )  # fmt: skip
        for ax in (above, below):
            tidy(ax)
    axes[0, 0].set_ylabel("recall (true positive rate)")
    axes[1, 0].set_ylabel("precision")
    return fig


def accuracy_of_solvers(rows: pd.DataFrame, bands: bool = False) -> Figure:
    """Draw accuracy against evaluations, a line a solver and a panel a network.

    Parameters
    ----------
    rows
        One a setting of a solver: ``network``, ``solver``, ``evaluations``, ``accuracy``, and with
        ``bands`` the ends of its interval, ``low`` and ``high``.
    bands
        Draw the intervals; say in the caption which they are.
    """
    networks, solvers = rows["network"].unique(), sorted(rows["solver"].unique())
    fig = Figure(figsize=(min(6.5 * len(networks), WIDTH), 3.7), layout="constrained")
    panels = fig.subplots(1, len(networks), squeeze=False, sharey=True)[0]
    for ax, network in zip(panels, networks, strict=True):
        for k, solver in enumerate(solvers):
            chosen = (rows["network"] == network) & (rows["solver"] == solver)
            line = rows[chosen].sort_values("evaluations")
            colour, style = PALETTE[k % len(PALETTE)], ("-", "--", "-.")[k % 3]
            work = line["evaluations"]
            ax.plot(work, line["accuracy"], style, marker="o", ms=4, lw=1.6, color=colour)
            if bands:
                ax.fill_between(work, line["low"], line["high"], color=colour, alpha=0.2, lw=0)
        ticks = 2 ** np.arange(np.ceil(np.log2(rows["evaluations"].max())) + 1).astype(int)
        ax.set(xscale="log", xlabel="evaluations of the right-hand side", title=network)
        ax.set_xticks(ticks, ticks)
        ax.minorticks_off()
        tidy(ax)
    panels[0].set_ylabel("accuracy")
    panels[-1].legend(panels[-1].lines, solvers, loc="lower right", frameon=False, fontsize=9)
    return fig
