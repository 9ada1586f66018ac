"""A galaxy's picture, and beside it what was answered: question by question, down the tree."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from galhelpers.trees import Question, Tree
from galhelpers.views.plots import PALETTE, WIDTH, check_images, tidy

SHORT = {
    "smooth-or-featured": "smooth or featured?",
    "how-rounded": "how rounded?",
    "disk-edge-on": "a disk seen edge-on?",
    "edge-on-bulge": "the bulge, from the side?",
    "bar": "a bar?",
    "has-spiral-arms": "spiral arms?",
    "spiral-winding": "how tightly wound?",
    "spiral-arm-count": "how many arms?",
    "bulge-size": "how large a bulge?",
    "something-odd": "anything odd?",
    "odd-feature": "what is odd?",
}
"""The questions of Galaxy Zoo 2 in a word or two."""


def answers_of(tree: Tree, votes: ArrayLike, least: int = 1) -> pd.DataFrame:
    """List one galaxy's answers, question by question, as a volunteer walks down the tree.

    Parameters
    ----------
    tree : Tree
        The questions.
    votes : array of int, shape (n_answers,)
        How many volunteers gave each answer.
    least : int
        Leave out questions that were put to fewer volunteers.

    Returns
    -------
    pandas.DataFrame
        A row an answer: ``question`` (as in ``SHORT``, else its name), ``answer``, ``asked`` (how
        many volunteers were asked) and ``volunteers`` (the share of them who gave the answer).
        Each question is followed by those that its answers open.
    """
    counts = np.asarray(votes)
    if counts.shape != (tree.n_answers,):
        raise ValueError(
            f"Expected {tree.n_answers} counts, one for each answer, got shape {counts.shape}."
        )
    rows = []
    for question in _walk(tree):
        said = counts[tree.slices[question.name]]
        asked = int(said.sum())
        for answer, count in zip(question.answers, said, strict=True):
            name = answer.replace("-", " ").replace("cant ", "can't ")
            asks = SHORT.get(question.name, f"{question.name.replace('-', ' ')}?")
            rows.append((asks, name, asked, count / asked if asked else np.nan))
    table = pd.DataFrame(rows, columns=["question", "answer", "asked", "volunteers"])
    return table[table["asked"] >= least].reset_index(drop=True)


def _walk(tree: Tree, after: str = "") -> Iterator[Question]:
    """Give the questions that follow one, by default all, each before those that it opens."""
    for question in tree.questions:
        # The answers that lead to a question are all of one other.
        asked_by = question.parents[0].split("_")[0] if question.parents else ""
        if asked_by == after:
            yield question
            yield from _walk(tree, question.name)


def picture_and_answers(
    pixels: ArrayLike,
    table: pd.DataFrame,
    series: Mapping[str, str] | None = None,
    titles: Sequence[str] = ("",),
) -> Figure:
    """Show a galaxy and, beside it, a bar for each answer.

    Parameters
    ----------
    pixels : array of uint8, shape (3, side, side) or (n, 3, side, side)
        The picture, or several, one above the other.
    table : pandas.DataFrame
        A row an answer: ``question``, ``answer``, ``asked``, and a column for each of ``series``:
        shares of those who were asked, NaN where nobody was.
    series : mapping of column to label, optional
        Who answered, one colour each; by default the volunteers alone.
    titles : sequence of n str
        What stands above each picture.
    """
    array = np.asarray(pixels)
    pictures = check_images(array if array.ndim == 4 else array[None])
    series = series or {"volunteers": "volunteers"}
    new = table["question"].ne(table["question"].shift()).to_numpy()
    # One row an answer, one more before each question.
    y = np.arange(len(table)) + 0.95 * (np.cumsum(new) - 1)
    height = max(4.3, 0.21 * (y[-1] + 3))
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    # Pictures are square: the more there are, the narrower their column.
    share = min(1 / 2.15, (height - 0.6) / len(pictures) / WIDTH)
    grid = fig.add_gridspec(len(pictures), 2, width_ratios=[share, 1 - share])
    for row, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left = fig.add_subplot(grid[row, 0])
        left.imshow(picture.transpose(1, 2, 0))
        left.set_title(title, fontsize=10)
        left.set_axis_off()
        left.set_anchor("N")
    right = fig.add_subplot(grid[:, 1])
    thick = 0.76 / len(series)
    for i, (column, label) in enumerate(series.items()):
        right.barh(y + thick * i, table[column], 0.95 * thick, color=PALETTE[i], label=label)
    for (_, first), top in zip(table[new].iterrows(), y[new], strict=True):
        asked = f"{first['asked']} asked" if first["asked"] else "nobody asked"
        _write_question(right, first["question"], asked, top - 0.8)
    right.set_yticks(y + thick * (len(series) - 1) / 2, table["answer"], fontsize=9)
    right.set(ylim=(y[-1] + 0.9, -1.4), xlim=(0, 1.02), xlabel="share of those asked")
    tidy(right)
    right.grid(visible=False, axis="y")
    if len(series) > 1:
        fig.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=9)
    return fig


def _write_question(ax: Axes, question: str, asked: str, y: float) -> None:
    ax.text(0, y, question, fontsize=9, weight="bold", va="center")
    ax.text(1.02, y, asked, fontsize=8, va="center", ha="right")


def counts_figure(counts: Mapping[str, int], grey: Collection[str] = ()) -> Figure:
    """Draw how many galaxies there are of each class, the first on top.

    Parameters
    ----------
    counts : mapping of name to number
        Underscores in names become blanks.
    grey : collection of names
        What is no class of its own, such as galaxies without one.
    """
    fig = Figure(figsize=(7.5, 0.5 + 0.36 * len(counts)), layout="constrained")
    ax = fig.subplots()
    names = [name.replace("_", " ") for name in counts]
    colours = ["0.7" if name in grey else PALETTE[0] for name in counts]
    bars = ax.barh(names, list(counts.values()), color=colours)
    ax.bar_label(bars, labels=[f"{count:,}" for count in counts.values()], padding=3)
    ax.invert_yaxis()
    ax.set(xlabel="galaxies", xlim=(0, 1.12 * max([1, *counts.values()])))
    tidy(ax)
    ax.grid(visible=False, axis="y")
    return fig
