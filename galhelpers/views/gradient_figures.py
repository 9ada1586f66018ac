"""Figures of unit 07 on gradients: three ways back through a solver, their errors, their cost."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from galhelpers.views.plots import PALETTE, WIDTH, tidy

_PLAIN = FuncFormatter(lambda value, _: f"{value:,.10g}")
_STEPS = np.array([0.0, 0.12, 0.3, 0.55, 1.0])


def _path(t: ArrayLike) -> np.ndarray:
    return 0.25 + 0.75 * np.exp(-2.2 * np.asarray(t, float))


def three_gradients() -> Figure:
    """Draw what each of the three gradients keeps of the way there, and how it goes back."""
    fig = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    axes = fig.subplots(1, 3, sharey=True)
    t = np.linspace(0, 1, 200)
    titles = ("direct", "adjoint", "aca")
    words = (
        "keeps all that autograd recorded;\ngoes back through it",
        "keeps the end only;\nsolves y and dL/dy backwards",
        "keeps the states at the steps;\nmakes each step again, and goes back",
    )
    for ax, title, text in zip(axes, titles, words, strict=True):
        ax.plot(t, _path(t), color=PALETTE[0], lw=2, zorder=2)
        ax.set_title(title, fontsize=12, fontweight="bold")
        ax.text(0.5, -0.19, text, ha="center", va="top", fontsize=9.5)
        ax.text(0.03, 1.07, "y(0)", fontsize=9, color=PALETTE[0])
        ax.text(1.03, _path(1.0), "y(1)", fontsize=9, va="center", color=PALETTE[0])
        ax.set(xlim=(-0.06, 1.2), ylim=(-0.55, 1.25), xticks=[0, 1], yticks=[], xlabel="t")
        ax.spines[["top", "right", "left"]].set_visible(False)
    ends = "ends of steps"
    axes[0].plot(t, _path(t), color=PALETTE[4], lw=11, alpha=0.45, zorder=1, label="kept")
    axes[0].plot(_STEPS, _path(_STEPS), "o", color=PALETTE[0], ms=5, zorder=3, label=ends)
    back = _path(t) - 0.42 * (1 - t) ** 2
    axes[1].plot(t, back, "--", color=PALETTE[1], lw=2, label="solved backwards")
    axes[1].plot([1], _path([1]), "s", color=PALETTE[4], ms=11, zorder=1, label="kept")
    axes[1].plot(_STEPS, _path(_STEPS), "o", color=PALETTE[0], ms=5, zorder=3)
    axes[2].plot(_STEPS, _path(_STEPS), "s", color=PALETTE[4], ms=11, zorder=1, label="kept")
    axes[2].plot(_STEPS, _path(_STEPS), "o", color=PALETTE[0], ms=5, zorder=3)
    for ax in axes:
        _arrow_back(ax)
        ax.legend(frameon=False, fontsize=8.5, loc="upper right")
    return fig


def _arrow_back(ax: Axes) -> None:
    level, style = -0.02, {"arrowstyle": "-|>", "color": PALETTE[1], "lw": 1.6}
    ax.annotate("", xy=(0.0, level), xytext=(1.0, level), arrowprops=style)
    ax.text(0.5, level + 0.03, "dL/dy goes back", ha="center", fontsize=9, color=PALETTE[1])


def errors_against(
    x: Sequence[float],
    curves: Mapping[str, ArrayLike],
    xlabel: str,
    yardsticks: Mapping[str, float],
    reverse: bool = False,
) -> Figure:
    """Draw relative errors of gradients on logarithmic axes, beside named yardsticks.

    Parameters
    ----------
    x
        Settings, such as tolerances.
    curves
        Name to errors, shape (settings,) or (settings, batches): then the thick line is the median,
        and each batch has a thin one.
    yardsticks
        Label to a horizontal line, such as the error of a gradient of zero.
    reverse
        Whether large settings stand on the left.
    """
    fig = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    ax = fig.subplots()
    for number, (name, given) in enumerate(curves.items()):
        values = np.asarray(given, float)
        if values.ndim == 1:
            values = values[:, None]
        colour = PALETTE[number % len(PALETTE)]
        style = ("-", "--", "-.", ":")[number % 4]
        if values.shape[1] > 1:
            ax.plot(x, values, color=colour, lw=0.8, alpha=0.45)
        middle = np.median(values, axis=1)
        ax.plot(x, middle, style, marker="o", color=colour, lw=2.4, ms=6, label=name)
    for number, (label, level) in enumerate(yardsticks.items()):
        ax.axhline(level, color="0.35", ls=("--", ":", "-.")[number % 3], lw=1.3, zorder=1)
        above = level == max(yardsticks.values())  # the highest has its name above it
        ax.annotate(
            label, (0.995, level), xycoords=ax.get_yaxis_transform(), textcoords="offset points",
            xytext=(0, 2 if above else -3), ha="right", va="bottom" if above else "top",
            fontsize=9.5, color="0.25",
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=xlabel, ylabel="relative error of the gradient")
    ax.yaxis.set_major_formatter(_PLAIN)
    ax.xaxis.set_major_formatter(_PLAIN)
    if reverse:
        ax.invert_xaxis()
    tidy(ax)
    fig.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=10, handlelength=3.4)
    return fig


def solved_backwards(t: ArrayLike, forward: ArrayLike, back: ArrayLike, tolerance: float) -> Figure:
    """Draw a decay solved forwards, and backwards from its end, with the tolerance as a line.

    Parameters
    ----------
    t, forward, back
        Times and the two solutions, shape (times,).
    tolerance
        Absolute tolerance of both.
    """
    fig = Figure(figsize=(WIDTH, 3.7), layout="constrained")
    ax = fig.subplots()
    ax.plot(t, forward, color=PALETTE[0], lw=2, label="forwards, from z(0) = 1")
    ax.plot(t, back, "--", color=PALETTE[1], lw=2, label="backwards, from the z(10) found")
    ax.axhline(tolerance, color="0.35", ls=":", lw=1.3)
    ax.text(0.1, tolerance, "absolute tolerance", va="bottom", fontsize=9, color="0.25")
    ax.set(xlabel="t", ylabel="z", yscale="log")
    tidy(ax)
    ax.legend(frameon=False, fontsize=10, loc="upper right")
    return fig


def kept_and_time(
    kept: Mapping[str, float], seconds: Mapping[str, float], evaluations: Mapping[str, str]
) -> Figure:
    """Draw what ways to a gradient keep between the two passes, and how long both take.

    Parameters
    ----------
    kept
        Name to megabytes.
    seconds
        Name to CPU seconds.
    evaluations
        Name to a label of its evaluations, such as ``20 + 18``.
    """
    fig = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(kept)), layout="constrained")
    left, right = fig.subplots(1, 2, sharey=True)
    names = list(kept)
    y = np.arange(len(names))
    left.barh(y, [kept[name] for name in names], color=PALETTE[4], height=0.62)
    right.barh(y, [seconds[name] for name in names], color=PALETTE[0], height=0.62)
    for i, name in enumerate(names):
        left.text(kept[name], i, f" {kept[name]:.1f}", va="center", fontsize=9)
        right.text(seconds[name], i, f" {evaluations[name]}", va="center", fontsize=9)
    left.set_yticks(y, names)
    left.invert_yaxis()
    left.set(xlabel="kept between the passes, MB", xlim=(0, 1.18 * max(kept.values())))
    right.set(
        xlabel="CPU seconds (evaluations there + back)",
        xlim=(0, 1.3 * max(seconds.values())),
    )
    for ax in (left, right):
        tidy(ax)
    return fig
