"""Figures of votes: what a network expects of volunteers, and whether its error bars are honest."""

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from galhelpers.trees import Tree
from galhelpers.views.plots import PALETTE, WIDTH, tidy


def expected_votes(
    tree: Tree, mean: ArrayLike, low: ArrayLike, high: ArrayLike, votes: ArrayLike
) -> Figure:
    """Draw one galaxy: every question with the expected answers and those that people gave.

    Parameters
    ----------
    tree
        The questions, a panel each.
    mean, low, high
        (n_answers,): expected share among those who are asked, and the ends of its interval; say in
        the caption which interval it is.
    votes
        (n_answers,): votes, drawn as open circles; a question without votes is grey.
    """
    values = [np.asarray(array, dtype=float) for array in (mean, low, high, votes)]
    if any(array.shape != (tree.n_answers,) for array in values):
        shapes = [array.shape for array in values]
        raise ValueError(f"Expected four arrays of shape ({tree.n_answers},), got {shapes}.")
    columns = 4
    rows = -(-tree.n_questions // columns)
    fig = Figure(figsize=(WIDTH, 1.95 * rows), layout="constrained")
    axes = fig.subplots(rows, columns).ravel()
    for ax in axes[tree.n_questions :]:
        ax.set_axis_off()
    for ax in axes[max(tree.n_questions - columns, 0) : tree.n_questions]:  # the lowest ones
        ax.set_xlabel("share of those asked", fontsize=7)
    for ax, question in zip(axes, tree.questions, strict=False):
        part = tree.slices[question.name]
        expected, lower, upper, seen = (array[part] for array in values)
        y = np.arange(len(expected))
        people = np.nan_to_num(seen).sum()
        colour = PALETTE[0] if people > 0 else "0.7"
        ax.hlines(y, lower, upper, color=colour, lw=2.6)
        ax.plot(expected, y, "o", color=colour, ms=5)
        if people > 0:
            ax.plot(seen / people, y, "o", mfc="none", color=PALETTE[1], ms=8, mew=1.4)
        title = textwrap.fill(question.name.replace("-", " "), 20)
        ax.set_title(f"{title} ({people:.0f} asked)", fontsize=8)
        ax.set_yticks(y, [answer.replace("-", " ") for answer in question.answers], fontsize=7)
        ax.set(ylim=(len(y) - 0.5, -0.5), xlim=(-0.07, 1.07))
        ax.set_xticks([0, 0.5, 1])
        ax.tick_params(axis="x", labelsize=7)
        tidy(ax)
    return fig


def reliability(pits: Mapping[str, ArrayLike], bins: int = 20) -> Figure:
    """Draw probability integral transforms, and the coverage that follows from them.

    Parameters
    ----------
    pits
        By name; any shape, NaN is left out.
    bins
        Of the histogram.

    Returns
    -------
    Figure
        Left: histograms, level where a forecast is calibrated, high at both ends where it is too
        sure, high in the middle where it is not sure enough. Right: share of values inside the
        central interval minus the nominal share.
    """
    fig = Figure(figsize=(WIDTH, 3.3), layout="constrained")
    left, right = fig.subplots(1, 2)
    levels = np.linspace(0, 1, 101)
    for i, (name, given) in enumerate(pits.items()):
        values = np.asarray(given, dtype=float)
        values = values[~np.isnan(values)]
        colour, style = PALETTE[i % len(PALETTE)], ("-", "--", "-.", ":")[i % 4]
        left.hist(
            values,
            bins=bins,
            range=(0, 1),
            density=True,
            histtype="step",
            color=colour,
            ls=style,
            lw=1.6,
        )
        distance = np.sort(np.abs(2 * values - 1))
        inside = np.searchsorted(distance, levels, side="right") / max(len(values), 1)
        right.plot(levels, 100 * (inside - levels), style, color=colour, lw=1.6, label=name)
    left.axhline(1, color="black", lw=0.8)
    left.set(xlabel="probability integral transform", ylabel="density", xlim=(0, 1))
    right.axhspan(-2, 2, color="0.9", zorder=0)
    right.axhline(0, color="black", lw=0.8)
    right.set(xlabel="nominal share", ylabel="inside minus nominal (points)", xlim=(0, 1))
    fig.legend(*right.get_legend_handles_labels(), loc="outside upper right", ncols=4, fontsize=8)
    for ax in (left, right):
        tidy(ax)
    return fig
