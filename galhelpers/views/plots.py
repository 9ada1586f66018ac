"""The plots of the course, and how a figure reaches the reader.

Every function returns a :class:`matplotlib.figure.Figure` that pyplot does not know about, so a
figure appears where a notebook calls :func:`show` and nowhere else. :func:`show` gives it a
caption, an alt text and a bounded size.
"""

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike
from PIL import Image

from galhelpers.paths import atomic_write

#: Colours that stay apart for readers with any common colour vision (Okabe & Ito 2008).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

MAX_BYTES = 150_000
"""Of a picture: committed notebooks must stay small."""
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg"}
"""Endings of the files of pictures, by media type."""
WIDTH = 9.5  # inches: what a notebook shows without shrinking the text


def show(fig: Figure, name: str, caption: str, alt: str, out: str | Path | None = None) -> None:
    """Display a figure with its caption and alt text, save it, and close it.

    The output carries the alt text in its metadata, as ``["image/png"]["alt"]``. JupyterLab 4.6
    puts no ``alt`` on the pictures it draws, so the text also stands under the caption, folded,
    where every reader and every screen reader finds it.

    Parameters
    ----------
    fig : Figure
        A matplotlib figure.
    name : str
        Name of the saved file, such as ``"tree"`` or, with the notebook's folder,
        ``"01_votes/tree"``.
    caption : str
        What to notice, in Markdown, without the word "Figure".
    alt : str
        What can be seen, in plain words, for somebody who cannot see it.
    out : str or Path, optional
        Run folder. If given, ``<out>/figures/<name>.png``, or ``.jpg`` where it holds photographs,
        and ``.json`` (caption, alt) are written; if ``None`` or empty, nothing is saved.

    Raises
    ------
    ValueError
        If the name is no plain file name, or the caption or the alt text is missing.
    """
    if not re.fullmatch(r"([\w-]+/)?[\w-]+", name):
        raise ValueError(
            f"Expected a figure name of letters, digits, '-' and '_', such as 'tree' or "
            f"'01_votes/tree', got {name!r}."
        )
    caption, alt = caption.strip(), " ".join(alt.split())
    for what, text in (("caption", caption), ("alt text", alt)):
        if not text:
            raise ValueError(f"Figure {name!r} has no {what}: pass a sentence.")
    kind, content = picture_of(fig)
    plt.close(fig)  # figures made with pyplot would be drawn again at the end of the cell
    if out:
        stem = Path(out) / "figures" / name
        for suffix in SUFFIXES.values():  # of an earlier run, perhaps
            stem.with_name(stem.name + suffix).unlink(missing_ok=True)
        with atomic_write(stem.with_name(stem.name + SUFFIXES[kind])) as path:
            path.write_bytes(content)
        with atomic_write(stem.with_name(f"{stem.name}.json")) as path:
            path.write_text(
                json.dumps({"caption": caption, "alt": alt}, indent=1, ensure_ascii=False) + "\n",
                encoding="utf-8",
            )
    if get_ipython() is None:
        return
    width = min(round(fig.get_size_inches()[0] * 100), 1000)
    display(
        {kind: base64.b64encode(content).decode(), "text/plain": f"<Figure: {name}>"},
        metadata={kind: {"alt": alt, "width": width}},
        raw=True,
    )
    display(
        {"text/markdown": figure_note(caption, alt), "text/plain": f"Figure: {caption}"}, raw=True
    )


def figure_note(caption: str, alt: str) -> str:
    """Give the caption of a figure in Markdown, with its alt text folded below."""
    return (
        f"**Figure:** {caption}\n\n"
        f"<details><summary>Description of the figure</summary>\n\n{escape(alt)}\n\n</details>"
    )


def picture_of(fig: Figure) -> tuple[str, bytes]:
    """Encode a figure: its media type, a key of ``SUFFIXES``, and at most ``MAX_BYTES`` bytes.

    Line art is a PNG at 150 or 120 dpi. Galaxies on noise do not compress without loss, so sheets
    of them are a JPEG, sharp enough for the text on them at the 100 dpi that a notebook shows.
    """
    for dpi in (150, 120):
        content = _saved(fig, "png", dpi=dpi, metadata={"Software": None})
        if len(content) <= MAX_BYTES:
            return "image/png", content
    for dpi, quality in ((120, 88), (110, 84), (100, 80), (85, 75), (70, 60), (50, 50)):
        content = _saved(fig, "jpeg", dpi=dpi, pil_kwargs={"quality": quality})
        if len(content) <= MAX_BYTES:
            break
    return "image/jpeg", content


def _saved(fig: Figure, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    fig.savefig(buffer, format=form, facecolor="white", **options)
    return buffer.getvalue()


def contact_sheet(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    columns: int = 10,
    side: float | None = None,
) -> Figure:
    """Show many galaxies side by side.

    Parameters
    ----------
    images : array of uint8, shape (n, 3, height, width)
        RGB pictures (numpy array or CPU tensor).
    titles : sequence of str, optional
        One title a picture, may contain line breaks.
    columns : int
        Pictures in a row.
    side : float, optional
        Side of a frame in inches. By default the sheet fills the width of a notebook, with frames
        of 3.2 inches at most.

    Returns
    -------
    Figure
        One frame a picture, row by row.
    """
    pixels = check_images(images)
    n, _, height, width = pixels.shape
    if titles is not None and len(titles) != n:
        raise ValueError(f"Expected one title for each of {n} pictures, got {len(titles)}.")
    columns = max(1, min(columns, n))
    rows = -(-n // columns)
    side = side or min(WIDTH / columns, 3.2)
    lines = max((title.count("\n") + 1 for title in titles), default=0) if titles else 0
    font = min(9.0, max(6.0, 8.0 * side))
    header = (lines * font * 1.3 + 3) / 72 / side if lines else 0.0  # in frames
    tall = 0.96 * height / width + 0.04
    fig = Figure(figsize=(side * columns, side * rows * (tall + header)))
    ax = fig.add_axes((0, 0, 1, 1))
    for i, frame in enumerate(pixels):
        picture = Image.fromarray(frame.transpose(1, 2, 0))
        picture.thumbnail((round(150 * side),) * 2)  # antialiased, and drawn faster than the whole
        left, top = i % columns, (i // columns) * (tall + header) + header
        box = (left + 0.02, left + 0.98, top + 0.96 * height / width, top)
        ax.imshow(np.asarray(picture), extent=box)
        if titles is not None:
            ax.text(left + 0.5, top - 0.02, titles[i], ha="center", va="bottom", fontsize=font)
    ax.set(xlim=(0, columns), ylim=(rows * (tall + header), 0), aspect="auto")
    ax.axis("off")
    return fig


def check_images(images: ArrayLike) -> np.ndarray:
    """Return images as a numpy array of uint8 (n, 3, height, width), or say what is wrong."""
    pixels = np.asarray(images)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3 or 0 in pixels.shape:
        raise ValueError(
            f"Expected images as uint8 of shape (n, 3, height, width) with n > 0, got "
            f"{pixels.dtype} of shape {pixels.shape}. Pixels between 0 and 1 need "
            "(images * 255).round() and uint8; one picture needs images[None]."
        )
    return pixels


def confusion_matrices(
    matrices: Mapping[str, ArrayLike], classes: Sequence[str], counts: bool = False
) -> Figure:
    """Draw confusion matrices side by side: rows the volunteers' class, columns the network's.

    Parameters
    ----------
    matrices
        Title of each to its counts, shape (classes, classes).
    classes
        Short names.
    counts
        Write the counts; else per cent of the row. Colour is the share of the row in either case,
        so that the diagonal is the recall of each class.

    Raises
    ------
    ValueError
        For counts of another shape.
    """
    k, place = len(classes), np.arange(len(classes))
    fig = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = fig.subplots(1, len(matrices), squeeze=False, sharey=True)[0]
    for ax, (title, given) in zip(axes, matrices.items(), strict=True):
        numbers = np.asarray(given, float)
        if numbers.shape != (k, k):
            raise ValueError(
                f"Expected counts of shape ({k}, {k}) for {k} classes, got {numbers.shape}."
            )
        share = numbers / np.maximum(numbers.sum(axis=1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for i, j in np.ndindex(k, k):
            text = f"{numbers[i, j]:,.0f}" if counts else f"{100 * share[i, j]:.1f}"
            colour = "white" if share[i, j] > 0.6 else "0.15"
            ax.text(j, i, text, ha="center", va="center", fontsize=8, color=colour)
        ax.set_xticks(place, classes, rotation=45, ha="right", fontsize=9)
        ax.set_yticks(place, classes, fontsize=9)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("network says")
    axes[0].set_ylabel("volunteers say")
    return fig


def loss_curves(
    curves: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str = "loss", log: bool = False
) -> Figure:
    """Draw loss by epoch, one colour a model.

    Parameters
    ----------
    curves : mapping of model name to {"train": values, "validation": values}
        One value an epoch; the first belongs to epoch 1. Training is dashed, everything else is
        solid, and a dot marks the lowest validation value: the weights worth keeping.
    ylabel : str
        Name of the loss, with its unit.
    log : bool
        Logarithmic loss axis.
    """
    fig = Figure(figsize=(6.5, 3.6), layout="constrained")
    ax = fig.subplots()
    for i, (model, parts) in enumerate(curves.items()):
        colour = PALETTE[i % len(PALETTE)]
        for part, values in parts.items():
            y = np.asarray(values, dtype=float)
            epochs = np.arange(1, len(y) + 1)
            style = "--" if part == "train" else "-"
            ax.plot(epochs, y, style, color=colour, lw=1.6, label=f"{model}, {part}")
            if part == "validation" and np.isfinite(y).any():
                best = int(np.nanargmin(y))
                ax.plot(epochs[best], y[best], "o", color=colour, ms=6)
    ax.set(xlabel="epoch", ylabel=ylabel, yscale="log" if log else "linear")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(ax)
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def lines(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    log: str = "",
    bands: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
) -> Figure:
    """Draw curves through points, one colour each.

    Parameters
    ----------
    curves : mapping of name to (x, y)
        Two arrays of one length.
    xlabel, ylabel : str
        Names and units of the axes.
    log : str
        Axes that are logarithmic: ``"x"``, ``"y"``, ``"xy"`` or none.
    bands : mapping of name to (low, high), optional
        Ends of the intervals of a curve; say in the caption which intervals they are.
    """
    fig = Figure(figsize=(6.5, 3.6), layout="constrained")
    ax = fig.subplots()
    for i, (name, (x, y)) in enumerate(curves.items()):
        few = len(np.asarray(x)) <= 20
        colour, style = PALETTE[i % len(PALETTE)], ("-", "--", "-.")[i % 3]
        ax.plot(x, y, style, marker="o" if few else "", ms=4, lw=1.6, color=colour, label=name)
        if bands and name in bands:
            ax.fill_between(x, *bands[name], color=colour, alpha=0.2, lw=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set(xscale="log" if "x" in log else "linear", yscale="log" if "y" in log else "linear")
    tidy(ax)
    fig.legend(loc="outside right upper", frameon=False, fontsize=8)
    return fig


def dots_and_intervals(
    names: Sequence[str],
    means: ArrayLike,
    lows: ArrayLike,
    highs: ArrayLike,
    points: Iterable[ArrayLike] | None = None,
    xlabel: str = "",
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Compare values with their intervals, one row each, the first on top.

    Parameters
    ----------
    names : sequence of n str
        Row labels.
    means, lows, highs : array of float, shape (n,)
        Value and ends of its interval; say in the caption which interval it is. A row whose ends
        are NaN shows the value alone.
    points : n arrays, optional
        Single measurements of each row, such as one a seed, drawn as small open dots.
    xlabel : str
        Name and unit of the values.
    references : mapping of label to value, optional
        Vertical lines, such as the score of guessing.
    """
    y = np.arange(len(names))
    mean, low, high = (np.asarray(v, dtype=float) for v in (means, lows, highs))
    for what, array in (("means", mean), ("lows", low), ("highs", high)):
        if array.shape != y.shape:
            raise ValueError(f"Expected {len(y)} {what}, one a name, got shape {array.shape}.")
    if (low > mean).any() or (high < mean).any():
        worst = names[int(np.flatnonzero((low > mean) | (high < mean))[0])]
        raise ValueError(f"Expected low <= mean <= high; row {worst!r} breaks it.")
    fig = Figure(figsize=(6.5, 1.1 + 0.34 * len(names)), layout="constrained")
    ax = fig.subplots()
    for i, values in enumerate(points if points is not None else ()):
        seeds: np.ndarray = np.ravel(np.asarray(values, dtype=float))
        ax.plot(seeds, np.full(len(seeds), i + 0.22), "o", mfc="none", color="0.45", ms=4, mew=0.9)
    ax.hlines(y, low, high, color=PALETTE[0], lw=2.4)
    ax.plot(mean, y, "o", color=PALETTE[0], ms=7)
    for i, (label, value) in enumerate((references or {}).items()):
        style = (":", "--", "-.")[i % 3]
        ax.axvline(value, color=PALETTE[1], ls=style, lw=1.5, zorder=0, label=label)
    ax.set_yticks(y, list(names))
    ax.set(ylim=(len(names) - 0.4, -0.6), xlabel=xlabel)
    tidy(ax)
    if references:
        fig.legend(loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return fig


def tidy(ax: Axes) -> None:
    """Take away the box, add a faint grid."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="both", color="0.92", lw=0.8)
    ax.set_axisbelow(True)
