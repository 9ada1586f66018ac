"""Figures of votes as draws: distributions of counts and of the shares behind them."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from scipy.stats import beta

from galhelpers.trees import Tree
from galhelpers.views.plots import PALETTE, WIDTH, check_images, tidy

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 0.75**0.5]])
"""Where in the triangle all people give answer 1, 2 or 3."""


def counts_and_forecasts(
    panels: Mapping[str, Mapping[str, ArrayLike]],
    seen: Sequence[int] = (),
    xlabel: str = "votes",
) -> Figure:
    """Draw how likely each number of votes is, for one forecast or several.

    Parameters
    ----------
    panels
        Title to {name: probabilities of 0, 1, 2 ... votes}; one name is drawn as bars, several are
        drawn as lines with dots.
    seen
        Numbers of votes that came, as marks below the axis of each panel.
    """
    fig = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    axes = fig.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, forecasts) in zip(axes, panels.items(), strict=True):
        top = 0.0
        for number, (name, given) in enumerate(forecasts.items()):
            chance = np.asarray(given, dtype=float)
            k = np.arange(len(chance))
            top = max(top, chance.max())
            if len(forecasts) == 1:
                ax.bar(k, chance, 0.82, color=PALETTE[0], alpha=0.85, label=name)
            else:
                style = ("-", "--", "-.")[number % 3]
                ax.plot(k, chance, style, marker="o", ms=3, color=PALETTE[number], label=name)
        if len(seen):
            # Below the axis, so that they hide no bar.
            ax.plot(seen, np.full(len(seen), -0.06 * top), "^", color="black", ms=8,
                    clip_on=False, label="votes that came")  # fmt: skip
        ax.set(xlabel=xlabel, xlim=(-0.8, len(k) - 0.2))
        ax.set_ylim(-0.1 * top if len(seen) else 0, 1.1 * top)
        ax.set_title(title, fontsize=10)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(forecasts) > 1 or len(seen):
            ax.legend(frameon=False, fontsize=9)
        tidy(ax)
    axes[0].set_ylabel("probability")
    return fig


def curve_panels(
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    xlabel: str,
    ylabels: Sequence[str],
) -> Figure:
    """Draw curves in panels side by side; a name has one colour in all of them.

    Parameters
    ----------
    panels
        Title to {name: (x, y)}.
    ylabels
        One a panel.
    """
    fig = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = fig.subplots(1, len(panels), squeeze=False)[0]
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    for ax, ylabel, (title, curves) in zip(axes, ylabels, panels.items(), strict=True):
        for name, (x, y) in curves.items():
            i = names.index(name)
            ax.plot(x, y, ("-", "--", "-.")[i % 3], color=PALETTE[i], lw=2.4 - 0.5 * i, label=name)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        ax.set_title(title, fontsize=10)
        tidy(ax)
    axes[0].legend(frameon=False, fontsize=9)
    return fig


def dirichlets(
    concentrations: Mapping[str, ArrayLike],
    answers: Sequence[str],
    people: int = 40,
    crowds: int = 5,
    dots: int = 500,
    seed: int = 0,
) -> Figure:
    """Draw Dirichlet distributions of three shares, and votes that they expect.

    Parameters
    ----------
    concentrations
        Title to three numbers greater than 0.
    answers
        Three names.
    people, crowds
        Of the draws below each triangle: so many crowds of so many people.
    dots
        Draws in each triangle.
    """
    fig = Figure(figsize=(WIDTH * len(concentrations) / 3, 4.9), layout="constrained")
    axes = fig.subplots(2, len(concentrations), squeeze=False, height_ratios=[2.4, 1])
    for (above, below), (title, given) in zip(axes.T, concentrations.items(), strict=True):
        alpha = np.asarray(given, dtype=float)
        if alpha.shape != (3,) or (alpha <= 0).any():
            raise ValueError(f"Expected three concentrations greater than 0, got {given!r}.")
        rng = np.random.default_rng(seed)
        shares = rng.dirichlet(alpha, dots)
        _triangle(above, shares, alpha / alpha.sum(), answers)
        above.set_title(title, fontsize=10)
        votes = np.stack([rng.multinomial(people, share) for share in shares[:crowds]])
        _stacked(below, votes, answers)
        below.set(xlabel=f"votes of {people} people", xlim=(0, people))
    handles, labels = axes[1, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return fig


def _triangle(ax: Axes, shares: np.ndarray, mean: np.ndarray, answers: Sequence[str]) -> None:
    outline = CORNERS[[0, 1, 2, 0]]
    ax.plot(*outline.T, color="0.4", lw=1.0)
    ax.plot(*(shares @ CORNERS).T, "o", color=PALETTE[0], ms=3.2, alpha=0.35, mew=0)
    ax.plot(*(mean @ CORNERS), "*", color="black", ms=11)
    places = (("center", "top", -0.03), ("center", "top", -0.03), ("center", "bottom", 0.02))
    for corner, name, (ha, va, up) in zip(CORNERS, answers, places, strict=True):
        ax.text(corner[0], corner[1] + up, name, ha=ha, va=va, fontsize=9)
    ax.set(xlim=(-0.16, 1.16), ylim=(-0.12, 0.98), aspect="equal")
    ax.set_axis_off()


def _stacked(ax: Axes, votes: np.ndarray, answers: Sequence[str]) -> None:
    y = np.arange(len(votes))
    left = np.zeros(len(votes))
    for i, name in enumerate(answers):
        ax.barh(y, votes[:, i], 0.8, left=left, color=PALETTE[i], alpha=0.85, label=name)
        left += votes[:, i]
    ax.set_yticks([])
    ax.set_ylabel(f"{len(votes)} crowds")
    ax.invert_yaxis()
    tidy(ax)
    ax.grid(visible=False)


def shares_of_one_answer(
    panels: Mapping[str, Mapping[str, tuple[ArrayLike, ArrayLike]]],
    xlabel: str,
    truth: float | None = None,
    thin: bool = False,
) -> Figure:
    """Draw densities of the share who give one answer.

    Parameters
    ----------
    panels
        Title to {name: (a, b)}: numbers or (passes,), the two concentrations of a beta
        distribution or of several, whose mixture is drawn.
    truth
        The true share, a dotted line.
    thin
        Draw each beta distribution of a mixture as well, as thin lines.
    """
    x = np.linspace(0.002, 0.998, 499)
    highest = 0.0
    fig = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = fig.subplots(1, len(panels), squeeze=False, sharey=thin)[0]
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        for i, (name, (a, b)) in enumerate(curves.items()):
            first, second = (np.atleast_1d(np.asarray(v, dtype=float))[:, None] for v in (a, b))
            each = beta.pdf(x, first, second)
            highest = max(highest, 1.6 * each.mean(axis=0)[10:-10].max())  # of thin peaks not all
            if thin:
                ax.plot(x, each.T, color=PALETTE[i], lw=0.7, alpha=0.5)
            ax.plot(x, each.mean(axis=0), ("-", "--", "-.", ":")[i % 4],
                    color="black" if thin else PALETTE[i], lw=2, label=name)  # fmt: skip
        if truth is not None:
            ax.axvline(truth, color="0.3", ls=":", lw=1.5, label="true share")
        ax.set(xlabel=xlabel, xlim=(0, 1))
        ax.set_title(title, fontsize=10)
        tidy(ax)
    axes[0].set_ylabel("probability density")
    for ax in axes:
        ax.set_ylim(0, min(ax.get_ylim()[1], highest) if thin else None)
    axes[0].legend(frameon=False, fontsize=9)
    return fig


def galaxy_and_questions(
    pixels: ArrayLike, tree: Tree, alpha: ArrayLike, votes: ArrayLike, columns: int = 4
) -> Figure:
    """Show a galaxy and, question by question, what is expected of volunteers and what they said.

    Parameters
    ----------
    pixels
        uint8 (3, side, side).
    tree
        The questions, a panel each.
    alpha
        Concentrations (passes, n_answers): of each answer the density of its share is drawn, a
        mixture over passes, as a hill on the answer's line, all hills equally high.
    votes
        (n_answers,): shares of those asked are circles, the larger the more were asked. A question
        without votes is grey.
    """
    each, said = np.asarray(alpha, dtype=float), np.nan_to_num(np.asarray(votes, dtype=float))
    if each.ndim != 2 or each.shape[1] != tree.n_answers or said.shape != (tree.n_answers,):
        raise ValueError(
            f"Expected concentrations (passes, {tree.n_answers}) and {tree.n_answers} votes, got "
            f"shapes {each.shape} and {said.shape}."
        )
    rows = -(-(tree.n_questions + 2) // columns)
    fig = Figure(figsize=(WIDTH, 2.35 * rows), layout="constrained")
    grid = fig.add_gridspec(rows, columns)
    picture = fig.add_subplot(grid[0, :2])
    picture.imshow(check_images(np.asarray(pixels)[None])[0].transpose(1, 2, 0))
    picture.set_axis_off()
    for place, question in enumerate(tree.questions, start=2):
        ax = fig.add_subplot(grid[place // columns, place % columns])
        part = tree.slices[question.name]
        _hills(ax, each[:, part], said[part])
        title = textwrap.fill(question.name.replace("-", " "), 24)
        ax.set_title(f"{title}\n({said[part].sum():.0f} asked)", fontsize=9)
        names = [textwrap.fill(answer.replace("-", " "), 12) for answer in question.answers]
        ax.set_yticks(np.arange(len(names)), names, fontsize=8)
        if place >= tree.n_questions + 2 - columns:
            ax.set_xlabel("share of those asked", fontsize=8)
    return fig


def _hills(ax: Axes, alpha: np.ndarray, votes: np.ndarray) -> None:
    x = np.linspace(0.004, 0.996, 249)
    asked = votes.sum()
    colour = PALETTE[0] if asked else "0.7"
    rest = alpha.sum(axis=1, keepdims=True) - alpha
    for place in range(alpha.shape[1]):
        density = beta.pdf(x, alpha[:, place, None], rest[:, place, None]).mean(axis=0)
        # A density without bound at 0 or 1 would leave no hill to see anywhere else.
        height = np.minimum(density / np.quantile(density, 0.98), 1.0)
        base = np.full_like(x, place + 0.35)
        ax.fill_between(x, base, base - 0.72 * height, color=colour, alpha=0.55, lw=0)
        ax.axhline(place + 0.35, color="0.85", lw=0.6, zorder=0)
    if asked:
        size = 3 + 6 * min(asked, 40) / 40
        ax.plot(votes / asked, np.arange(len(votes)) + 0.1, "o", mfc="none", color=PALETTE[1],
                ms=size, mew=1.6, clip_on=False)  # fmt: skip
    ax.set(ylim=(alpha.shape[1] - 0.5, -0.6), xlim=(-0.03, 1.03))
    ax.set_xticks([0, 0.5, 1])
    ax.tick_params(axis="x", labelsize=8)
    tidy(ax)
    ax.grid(visible=False, axis="y")
