"""How a figure reaches the reader: :func:`show`, with caption, alt text and a bounded size."""

import base64
import io
import json
import re
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image

from galhelpers.paths import atomic_write

#: Colours that stay apart for readers with any common colour vision (Okabe & Ito 2008).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

MAX_PNG_BYTES = 150_000
WIDTH = 9.5  # inches: what a notebook shows without shrinking the text


def show(fig: Figure, name: str, caption: str, alt: str, out: str | Path | None = None) -> None:
    """Display a figure with its caption and alt text, save it, and close it.

    The output carries the alt text as ``metadata["image/png"]["alt"]``. JupyterLab 4.6 puts no
    ``alt`` on the pictures it draws, so the text also stands under the caption, folded, where
    every reader and every screen reader finds it.

    Parameters
    ----------
    fig : Figure
        A matplotlib figure.
    name : str
        Name of the saved file, such as ``"tree"`` or, with the notebook's folder,
        ``"01_data/tree"``.
    caption : str
        What to notice, in Markdown, without the word "Figure".
    alt : str
        What can be seen, in plain words, for somebody who cannot see it.
    out : str or Path, optional
        Run folder. If given, ``<out>/figures/<name>.png`` and ``.json`` (caption, alt) are
        written; if ``None`` or empty, nothing is saved.

    Raises
    ------
    ValueError
        If the name is no plain file name, or the caption or the alt text is missing.
    """
    if not re.fullmatch(r"([\w-]+/)?[\w-]+", name):
        raise ValueError(
            f"Expected a figure name of letters, digits, '-' and '_', such as 'tree' or "
            f"'01_data/tree', got {name!r}."
        )
    caption, alt = caption.strip(), " ".join(alt.split())
    for what, text in (("caption", caption), ("alt text", alt)):
        if not text:
            raise ValueError(f"Figure {name!r} has no {what}: pass a sentence.")
    png = _png(fig)
    plt.close(fig)  # figures made with pyplot would be drawn again at the end of the cell
    if out:
        stem = Path(out) / "figures" / name
        with atomic_write(stem.with_name(f"{stem.name}.png")) as path:
            path.write_bytes(png)
        with atomic_write(stem.with_name(f"{stem.name}.json")) as path:
            path.write_text(
                json.dumps({"caption": caption, "alt": alt}, indent=1, ensure_ascii=False) + "\n",
                encoding="utf-8",
            )
    if get_ipython() is None:
        return
    width = min(round(fig.get_size_inches()[0] * 100), 1000)
    display(
        {"image/png": base64.b64encode(png).decode(), "text/plain": f"<Figure: {name}>"},
        metadata={"image/png": {"alt": alt, "width": width}},
        raw=True,
    )
    note = (
        f"**Figure:** {caption}\n\n"
        f"<details><summary>Description of the figure</summary>\n\n{escape(alt)}\n\n</details>"
    )
    display({"text/markdown": note, "text/plain": f"Figure: {caption}"}, raw=True)


def _png(fig: Figure) -> bytes:
    """PNG of a figure, as sharp as fits in ``MAX_PNG_BYTES``; committed notebooks must stay small.

    Line art fits at 150 dpi. Galaxies on noise do not compress, so sheets of them first give up
    the two last bits of each colour, which no eye misses, and then dots.
    """
    for dpi, step in ((150, 1), (120, 1), (120, 4), (100, 4), (85, 4), (70, 4), (50, 4)):
        buffer = io.BytesIO()
        fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
        if step > 1:
            pixels = np.asarray(Image.open(buffer).convert("RGB"), dtype=np.float32)
            rounded = (np.round(pixels / step) * step).clip(0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(rounded).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_PNG_BYTES:
            break
    return buffer.getvalue()
