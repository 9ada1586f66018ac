"""Figures that ask whether error bars are honest, and which galaxy should be labelled next."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from galhelpers.views.plots import PALETTE, WIDTH, tidy


def one_vote(
    forecasts: Mapping[str, ArrayLike], counts: Sequence[int], pits: Sequence[float]
) -> Figure:
    """Draw how the count that came becomes one number between 0 and 1, a panel a galaxy.

    Parameters
    ----------
    forecasts
        Title to the probabilities of 0, 1, ... votes, each of its own length.
    counts
        The count that came, one a galaxy.
    pits
        The probability integral transform, one a galaxy: drawn on a bar from 0 to 1 below the
        forecast, whose coloured parts are the probabilities of less, of just so many, and of more.
    """
    fig = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    axes = fig.subplots(2, len(forecasts), squeeze=False, height_ratios=(4, 1))
    for column, (title, given) in enumerate(forecasts.items()):
        above, below = axes[:, column]
        p, count = np.asarray(given, float), counts[column]
        k = np.arange(len(p))
        colours = np.where(k < count, PALETTE[0], np.where(k == count, PALETTE[1], "0.8"))
        above.bar(k, p, color=colours, width=0.85)
        above.set(xlabel="votes", ylabel="" if column else "probability")
        above.set_title(title, fontsize=10)
        tidy(above)
        left = 0.0
        for part, colour in zip(
            (p[:count].sum(), p[count], p[count + 1 :].sum()),
            (PALETTE[0], PALETTE[1], "0.8"),
            strict=True,
        ):
            below.barh(0, part, left=left, color=colour, height=0.8)
            left += part
        below.plot([pits[column]] * 2, [-0.75, 0.75], color="black", lw=2)
        below.set(xlim=(0, 1), ylim=(-0.8, 0.8), yticks=[], xlabel=f"PIT = {pits[column]:.2f}")
        below.spines[["top", "right", "left"]].set_visible(False)
    return fig


def pit_panels(pits: Mapping[str, ArrayLike], bins: int = 10) -> Figure:
    """Draw histograms of the probability integral transform side by side, on one scale.

    Parameters
    ----------
    pits
        Title to values, any shape; NaN is left out. The line is what honest forecasts give.
    bins
        Of each histogram.
    """
    fig = Figure(figsize=(WIDTH, 2.7), layout="constrained")
    axes = fig.subplots(1, len(pits), sharey=True, squeeze=False)[0]
    for ax, (title, given) in zip(axes, pits.items(), strict=True):
        values = np.asarray(given, float)
        values = values[~np.isnan(values)]
        ax.hist(values, bins, range=(0, 1), density=True, color=PALETTE[5], edgecolor="white")
        ax.axhline(1, color="black", lw=1.2)
        ax.set(xlabel="PIT", xlim=(0, 1), xticks=[0, 0.5, 1])
        ax.set_title(title, fontsize=10)
        tidy(ax)
    axes[0].set_ylabel("density")
    return fig


def coverage_panels(tables: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> Figure:
    """Draw which share of values the central intervals hold, a panel for each kind of value.

    Parameters
    ----------
    tables
        Title of a panel to (name of a forecast to pairs of nominal share and share held).
    """
    fig = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = fig.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for ax, (title, forecasts) in zip(axes, tables.items(), strict=True):
        ax.plot([0, 1], [0, 1], color="black", lw=1.2, label="honest")
        for number, (name, pairs) in enumerate(forecasts.items()):
            nominal, held = np.array(pairs, float).T
            style = ("-", "--", "-.")[number % 3]
            ax.plot(nominal, held, style, marker="o", ms=5, color=PALETTE[number], label=name)
        ax.set(xlabel="share that the interval should hold", xlim=(0, 1), ylim=(0, 1), title=title)
        tidy(ax)
        ax.legend(frameon=False, fontsize=9, loc="upper left")
    axes[0].set_ylabel("share that it holds")
    return fig


def question_ladder(
    rows: Mapping[str, Mapping[str, tuple[float, float, float]]], xlabel: str
) -> Figure:
    """Draw several scores of every question, one row each, the first question on top.

    Parameters
    ----------
    rows
        Question to (name of a score to its value and the ends of its interval; ends that are NaN
        are not drawn). All questions have the same scores, five at most.
    xlabel
        What the scores are.
    """
    names = list(next(iter(rows.values())))
    fig = Figure(figsize=(WIDTH, 0.9 + 0.62 * len(rows)), layout="constrained")
    ax = fig.subplots()
    looks = [("X", 1), ("o", 4), ("s", 0), ("D", 3), ("|", 6)][-len(names) :]
    for place in range(0, len(rows), 2):
        ax.axhspan(place - 0.5, place + 0.5, color="0.955", zorder=0)
    for number, (name, (mark, shade)) in enumerate(zip(names, looks, strict=True)):
        y = np.arange(len(rows)) + 0.16 * (number - (len(names) - 1) / 2)
        value, low, high = np.array([scores[name] for scores in rows.values()], float).T
        colour = PALETTE[shade]
        ax.hlines(y, low, high, color=colour, lw=2)
        size = 14 if mark == "|" else 7
        ax.plot(value, y, mark, color=colour, ms=size, mew=2 if mark == "|" else 1, label=name)
    ax.set_yticks(range(len(rows)), [name.replace("-", " ") for name in rows])
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlim=(0, 1.01), xlabel=xlabel)
    tidy(ax)
    ax.grid(axis="y", visible=False)
    fig.legend(loc="outside upper center", ncols=len(names), frameon=False, fontsize=9)
    return fig


def error_by_disagreement(
    questions: Mapping[str, tuple[ArrayLike, ArrayLike]], groups: int = 6
) -> Figure:
    """Draw the errors of galaxies in groups of growing disagreement, a panel a question.

    Parameters
    ----------
    questions
        Title to (disagreement, error), both (galaxies,) in the same unit.
    groups
        Of equally many galaxies. Points are root mean squares, bars their 95 % intervals (by
        resampling the galaxies of a group). On the line disagreement is as large as the error. Both
        axes are logarithmic; errors below 0.001 are drawn there.
    """
    fig = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    axes = fig.subplots(1, len(questions), squeeze=False)[0]
    rng = np.random.default_rng(0)
    for ax, (title, given) in zip(axes, questions.items(), strict=True):
        disagreement, error = (np.abs(np.asarray(values, float)) for values in given)
        order = np.argsort(disagreement, kind="stable")
        ax.loglog(disagreement, np.maximum(error, 1e-3), ".", color="0.8", ms=4, zorder=0)
        centres, middles, lows, highs = [], [], [], []
        for rows in np.array_split(order, groups):
            squares = error[rows] ** 2
            many = squares[rng.integers(0, len(rows), (500, len(rows)))].mean(axis=1) ** 0.5
            low, high = np.quantile(many, (0.025, 0.975))
            centres.append(np.mean(disagreement[rows] ** 2) ** 0.5)
            middles.append(squares.mean() ** 0.5)
            lows.append(low)
            highs.append(high)
        ax.vlines(centres, lows, highs, color=PALETTE[0], lw=2.4)
        ax.plot(centres, middles, "o-", color=PALETTE[0], ms=7, label="root mean square of a group")
        ends = [0.9 * disagreement.min(), 1.1 * disagreement.max()]
        ax.plot(ends, ends, "--", color=PALETTE[1], lw=1.8, label="error = disagreement")
        ax.set(ylim=(8e-4, 1.2))
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
            axis.set_minor_formatter(NullFormatter())
        ax.set(xlabel="disagreement of the passes", ylabel="error of the expected share")
        ax.set_title(title, fontsize=11)
        tidy(ax)
    axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    return fig


def two_scores(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike, ArrayLike]],
    names: tuple[str, str, str],
    picked: int,
) -> Figure:
    """Draw two scores of the same galaxies against each other, and which each would pick.

    Parameters
    ----------
    panels
        Title to first score, second score, and a share from 0.3 to 1 that colours the points, each
        of shape (galaxies,).
    names
        Of the two scores and of the value.
    picked
        So many of the largest values of each score are marked.
    """
    fig = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = fig.subplots(1, len(panels), squeeze=False)[0]
    for ax, (title, given) in zip(axes, panels.items(), strict=True):
        x, y, shade = (np.asarray(values, float) for values in given)
        dots = ax.scatter(x, y, c=shade, cmap="viridis", vmin=0.3, vmax=1, s=12)
        _mark(ax, x, y, np.argsort(-x)[:picked], "s", PALETTE[1], f"{picked} by {names[0]}")
        _mark(ax, x, y, np.argsort(-y)[:picked], "o", "black", f"{picked} by {names[1]}")
        ax.set(xlabel=f"{names[0]} (nats)", ylabel=f"{names[1]} (nats)", title=title)
        tidy(ax)
    axes[0].legend(frameon=False, fontsize=9, loc="upper left")
    fig.colorbar(dots, ax=axes[-1], label=names[2])
    return fig


def _mark(
    ax: Axes, x: np.ndarray, y: np.ndarray, rows: np.ndarray, mark: str, colour: str, name: str
) -> None:
    ax.plot(x[rows], y[rows], mark, mfc="none", mec=colour, ms=9, mew=1.3, label=name)


def learning_panels(
    runs: Mapping[str, tuple[ArrayLike, Mapping[str, ArrayLike]]], ylabel: str
) -> Figure:
    """Draw error against labels for several ways to choose them, a panel for each run.

    Parameters
    ----------
    runs
        Title to (labels, shape (rounds,); name of a way to errors, shape (seeds, rounds)). Curves
        are means over seeds, bands two standard errors of the mean over seeds.
    ylabel
        What the error is.
    """
    columns = min(len(runs), 2)
    lines = -(-len(runs) // columns)
    fig = Figure(figsize=(WIDTH, 3.2 * lines + 0.4), layout="constrained")
    axes = fig.subplots(lines, columns, squeeze=False)
    for ax in axes.ravel()[len(runs) :]:
        ax.set_axis_off()
    for ax, (title, (given, ways)) in zip(axes.ravel(), runs.items(), strict=False):
        labels = np.asarray(given)
        for number, (name, errors) in enumerate(ways.items()):
            curves = np.asarray(errors, float)
            mean = curves.mean(axis=0)
            half = 2 * curves.std(axis=0, ddof=1) / len(curves) ** 0.5
            style = ("-", "--", "-.")[number % 3]
            ax.plot(labels, mean, style, marker="o", ms=4, color=PALETTE[number], label=name)
            band = (mean - half, mean + half)
            ax.fill_between(labels, *band, color=PALETTE[number], alpha=0.15, lw=0)
        ax.set_title(title, fontsize=10)
        tidy(ax)
    for ax in axes[-1]:
        ax.set_xlabel("galaxies labelled")
    for row in axes:
        row[0].set_ylabel(ylabel)
    axes[0, 0].legend(frameon=False, fontsize=9)
    return fig


def paired_panels(
    runs: Mapping[str, Mapping[str, tuple[float, float, float]]], xlabel: str
) -> Figure:
    """Draw differences with their intervals, a panel for each run, the same rows in all.

    Parameters
    ----------
    runs
        Title to (name of a difference to its value and the ends of its interval).
    xlabel
        What the differences are; 0 is marked.
    """
    names = list(next(iter(runs.values())))
    y = np.arange(len(names))
    fig = Figure(figsize=(WIDTH, 1.3 + 0.4 * len(names)), layout="constrained")
    axes = fig.subplots(1, len(runs), sharex=True, sharey=True, squeeze=False)[0]
    for ax, (title, differences) in zip(axes, runs.items(), strict=True):
        value, low, high = np.array([differences[name] for name in names], float).T
        ax.axvline(0, color=PALETTE[1], ls="--", lw=1.5)
        ax.hlines(y, low, high, color=PALETTE[0], lw=2.4)
        ax.plot(value, y, "o", color=PALETTE[0], ms=7)
        ax.set_title(title.replace(": ", "\n"), fontsize=10)
        ax.set(ylim=(len(names) - 0.5, -0.5))
        ax.set_yticks(y, names)
        tidy(ax)
    fig.supxlabel(xlabel, fontsize=10)
    return fig
