"""Figures of catalogues: separations, completeness and purity, positions on the sky, a split."""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from galhelpers.views.plots import PALETTE, WIDTH, tidy

PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Ticks of logarithmic axes as numbers: 0.1, 1, 10."""


def log_histograms(
    samples: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
    marks: Mapping[str, float] | None = None,
    bins: int = 45,
) -> Figure:
    """Draw samples over one logarithmic axis, with the same bins for all.

    Parameters
    ----------
    samples : mapping of name to values, shape (n,)
        All above 0.
    xlabel, ylabel : str
        Names and units.
    marks : mapping of label to value, optional
        Vertical lines.
    bins : int
        Of equal width in the logarithm.

    Raises
    ------
    ValueError
        Where a value is not above 0, or there is none.
    """
    arrays = {name: np.asarray(values, dtype=float) for name, values in samples.items()}
    every = np.concatenate(list(arrays.values()))
    if not len(every) or not (every > 0).all():
        raise ValueError(f"Expected values above 0 for a logarithmic axis, got {len(every)}.")
    edges = np.geomspace(every.min() * 0.999, every.max() * 1.001, bins + 1)
    fig = Figure(figsize=(8, 3.4), layout="constrained")
    ax = fig.subplots()
    for i, (name, values) in enumerate(arrays.items()):
        colour = PALETTE[i % len(PALETTE)]
        ax.hist(values, edges.tolist(), color=colour, alpha=0.3)
        ax.hist(values, edges.tolist(), color=colour, histtype="step", lw=1.8, label=name)
    for label, value in (marks or {}).items():
        ax.axvline(value, color="0.25", ls=":", lw=1.6, label=label)
    ax.set(xscale="log", xlabel=xlabel, ylabel=ylabel)
    ax.xaxis.set_major_formatter(PLAIN)
    tidy(ax)
    ax.legend(frameon=False)
    return fig


FEWEST_PAIRS = 30
"""Pairs without which a purity says nothing."""

Curve = tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]
"""x, value, and the lower and upper end of its interval; four arrays of one length."""


def log_curves(
    panels: Mapping[str, Mapping[str, Curve]], xlabel: str, ylabel: str, ymin: float = 0.0
) -> Figure:
    """Draw curves with their intervals as bands, a panel each, x logarithmic.

    Parameters
    ----------
    panels : mapping of title to mapping of name to `Curve`
        A name has the same colour in every panel.
    xlabel, ylabel : str
        Names and units.
    ymin : float
        Where the y axis begins; it ends at 1.
    """
    fig = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = fig.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (title, curves) in zip(axes, panels.items(), strict=True):
        for i, (name, (x, value, low, high)) in enumerate(curves.items()):
            ax.plot(x, value, color=PALETTE[i], ls=("-", "--", "-.")[i % 3], lw=2, label=name)
            ax.fill_between(np.asarray(x), low, high, color=PALETTE[i], alpha=0.2, lw=0)
        ax.set_title(title, fontsize=11)
        ax.set(xscale="log", xlabel=xlabel, ylim=(ymin, 1.02))
        ax.xaxis.set_major_formatter(PLAIN)
        tidy(ax)
    axes[0].set_ylabel(ylabel)
    handles, labels = axes[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return fig


def sky_map(groups: Mapping[str, tuple[ArrayLike, ArrayLike]], centre_ra: float) -> Figure:
    """Draw positions on a small patch of sky, east to the left as on the sky.

    Parameters
    ----------
    groups : mapping of name to (ra, dec)
        Degrees; RA may run from 0 to 360 or from -180 to 180.
    centre_ra : float
        RA around which the map is drawn, in degrees.
    """
    fig = Figure(figsize=(6.5, 6.3), layout="constrained")
    ax = fig.subplots()
    for i, (name, (ra, dec)) in enumerate(groups.items()):
        from_centre = (np.asarray(ra, dtype=float) - centre_ra + 180) % 360 - 180
        ax.plot(from_centre, dec, "o^s"[i % 3], ms=2.6, color=PALETTE[i], label=name, alpha=0.8)
    ax.invert_xaxis()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{(x + centre_ra) % 360:g}"))
    ax.set(xlabel="RA (degrees)", ylabel="Dec (degrees)")
    # A degree of RA spans less sky far from the equator.
    middle = np.concatenate([np.ravel(dec) for _, dec in groups.values()]).mean()
    ax.set_aspect(1 / np.cos(np.radians(middle)), adjustable="box")
    tidy(ax)
    fig.legend(loc="outside upper center", ncols=3, frameon=False, markerscale=3)
    return fig


def names_to_parts(
    places: Mapping[str, float], shares: Mapping[str, float], uses: Mapping[str, str]
) -> Figure:
    """Draw how names of galaxies become numbers, and numbers become parts.

    Parameters
    ----------
    places : mapping of name to number
        Each galaxy's hash, 0 to 1.
    shares : mapping of part to share
        Adding up to 1; the parts lie on the line of numbers in this order.
    uses : mapping of part to text
        What a part is for.
    """
    fig = Figure(figsize=(WIDTH, 4.6))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.06, 1.06), ylim=(0, 1))
    ax.axis("off")
    ends = np.cumsum([0, *shares.values()])
    colours = dict(zip(shares, PALETTE, strict=False))
    part_of = [list(shares)[i] for i in np.searchsorted(ends[1:-1], list(places.values()), "right")]
    columns = (np.arange(len(places)) + 0.5) / len(places)
    for x, (name, place), part in zip(columns, places.items(), part_of, strict=True):
        colour = colours[part]
        ax.annotate("", (place, 0.565), (x, 0.84), arrowprops={"arrowstyle": "-|>", "color": colour,
                                                               "lw": 1.4})  # fmt: skip
        ax.text(x, 0.87, name, ha="center", va="bottom", fontsize=11, family="monospace")
    ax.text(0.5, 0.955, "names of galaxies", ha="center", fontsize=11, fontweight="bold")
    ax.text(-0.045, 0.70, "hash of the\nseed and\nthe name", fontsize=10, va="center")
    for left, right, part in zip(ends[:-1], ends[1:], shares, strict=True):
        ax.fill_between([left, right], 0.50, 0.56, color=colours[part], lw=0)
        ax.text((left + right) / 2, 0.53, f"{shares[part]:.0%}", color="white", ha="center",
                va="center", fontsize=10)  # fmt: skip
    for end in ends:
        ax.text(end, 0.485, f"{end:.3g}", ha="center", va="top", fontsize=9)
    boxes = dict(zip(shares, ((-0.03, 0.31), (0.345, 0.66), (0.69, 1.03)), strict=False))
    for (part, (left, right)), start, stop in zip(boxes.items(), ends, ends[1:], strict=False):
        _box(ax, left, right, f"{part} part", uses[part], colours[part])
        ax.annotate("", ((left + right) / 2, 0.345), ((start + stop) / 2, 0.485),
                    arrowprops={"arrowstyle": "-|>", "color": colours[part], "lw": 2})  # fmt: skip
    return fig


def _box(ax: Axes, left: float, right: float, title: str, text: str, colour: str) -> None:
    box = FancyBboxPatch((left + 0.01, 0.09), right - left - 0.02, 0.23, facecolor="white",
                         boxstyle="round,pad=0.01", edgecolor=colour, lw=2)  # fmt: skip
    ax.add_patch(box)
    middle = (left + right) / 2
    ax.text(middle, 0.30, title, ha="center", va="top", fontsize=11, fontweight="bold")
    ax.text(middle, 0.225, textwrap.fill(text, 30), ha="center", va="top", fontsize=10)


def quality_curves(nearest: pd.DataFrame, mutual: pd.DataFrame) -> dict[str, Curve]:
    """Give the curves of a cross-match for `log_curves`: its completeness, and two purities.

    Parameters
    ----------
    nearest, mutual : pandas.DataFrame
        A row a limit (the index), columns as of ``galhelpers.learning.matching.match_quality``: of
        nearest objects, and of pairs that are each other's nearest. A purity is left out where
        there are fewer than 30 pairs.
    """
    wanted = {
        "completeness": (nearest, "completeness"),
        "purity of the nearest": (nearest, "purity"),
        "purity of each other's nearest": (mutual, "purity"),
    }
    curves: dict[str, Curve] = {}
    for name, (table, column) in wanted.items():
        shown = table if column == "completeness" else table[table["pairs"] >= FEWEST_PAIRS]
        curves[name] = (shown.index, shown[column], shown[f"{column}_low"], shown[f"{column}_high"])
    return curves
