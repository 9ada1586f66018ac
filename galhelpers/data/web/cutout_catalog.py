"""The tables around a folder of cutouts: the catalogue that goes in, the failures that come out."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galhelpers.paths import atomic_write, short

FAILURE_COLUMNS = ["id", "ra", "dec", "reason", "attempts", "url"]

# Letters, digits and what names of galaxies need (J102532.37+052459.3). Not the names that Windows
# keeps for its devices, whatever follows them.
_SAFE = re.compile(r"(?!(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$))[a-z0-9](?:[\w.+-]*[\w+-])?", re.I)


def check_catalog(catalog: pd.DataFrame) -> pd.DataFrame:
    """Check identifiers and positions, before anything is asked for.

    Parameters
    ----------
    catalog
        Columns ``id``, ``ra``, ``dec``.

    Returns
    -------
    A copy with ``id`` as text, ``ra`` and ``dec`` as float64 in degrees, rows numbered from 0.

    Raises
    ------
    ValueError
        For missing columns, and with their rows for identifiers that cannot be file names or come
        twice, and for positions that are none.
    """
    missing = [name for name in ("id", "ra", "dec") if name not in catalog]
    if missing:
        raise ValueError(
            f"Expected columns id, ra, dec; there is no {', '.join(missing)} among "
            f"{', '.join(map(str, catalog.columns)) or 'none'}."
        )
    table = catalog.reset_index(drop=True)
    # Not float: 1237661387086693265 would lose its last digits.
    text = table["id"].map(lambda one: isinstance(one, (str, int, np.integer)))
    _refuse(table, ~text.astype(bool), "id", "an identifier is text or a whole number")
    ids = table["id"].astype(str)
    safe = ids.map(lambda one: len(one) <= 150 and one.isascii() and bool(_SAFE.fullmatch(one)))
    _refuse(
        table,
        ~safe.astype(bool),
        "id",
        "an identifier becomes a file name: letters, digits and . _ + - only, a letter or digit "
        "first, no full stop last",
    )
    # Some systems hold A.jpg and a.jpg for the same file.
    _refuse(table, ids.str.lower().duplicated(keep=False), "id", "identifiers come once each")
    ra = pd.to_numeric(table["ra"], errors="coerce").astype(float)
    dec = pd.to_numeric(table["dec"], errors="coerce").astype(float)
    _refuse(table, ~((ra >= 0) & (ra < 360)), "ra", "degrees from 0 up to but not including 360")
    _refuse(table, ~(dec.abs() <= 90), "dec", "degrees from -90 to 90")
    return table.assign(id=ids, ra=ra, dec=dec)


def pixel_scales(
    table: pd.DataFrame, pixel_scale: float | None, example: float
) -> tuple[pd.DataFrame, str | float]:
    """Add the column ``pixel_scale``, arcsec per pixel, and say where it comes from.

    The argument goes first, then the column of this name, then 0.02 ``petro_r90``; where a galaxy
    has none the column is NaN.

    Raises
    ------
    ValueError
        When there is none of the three, or the argument is not above 0.
    """
    if pixel_scale is not None:
        if not 0 < pixel_scale < np.inf:
            raise ValueError(f"Expected pixel_scale above 0 arcsec per pixel, got {pixel_scale}.")
        return table.assign(pixel_scale=float(pixel_scale)), float(pixel_scale)
    if "pixel_scale" in table:
        scale = pd.to_numeric(table["pixel_scale"], errors="coerce").astype(float)
        return table.assign(pixel_scale=scale), "column pixel_scale"
    if "petro_r90" in table:
        radius = pd.to_numeric(table["petro_r90"], errors="coerce").astype(float)
        return table.assign(pixel_scale=0.02 * radius), "0.02 petro_r90"
    raise ValueError(
        "Expected a column petro_r90 (arcsec) or pixel_scale (arcsec per pixel), or the argument "
        f"pixel_scale, such as {example:g}. Where only positions are known, "
        "galhelpers.data.web.cutouts.sdss_radii asks the SDSS for petro_r90."
    )


def check_settings(folder: Path, settings: dict[str, Any], credit: str) -> None:
    """Write down what determines the pictures; a folder holds one kind only.

    Raises
    ------
    ValueError
        When the folder's pictures were made with other settings.
    """
    file = folder / "cutouts.json"
    if file.exists():
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            other = [f"{k}: {found.get(k)} there, {v} now" for k, v in settings.items()
                     if found.get(k) != v]  # fmt: skip
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{short(file)} cannot be read; choose another folder.") from error
        if other:
            raise ValueError(
                f"{short(folder)} holds pictures made with other settings ({'; '.join(other)}). "
                "Choose another folder, or delete this one."
            )
        return
    with atomic_write(file) as temporary:
        text = json.dumps({**settings, "credit": credit}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_failures(folder: Path) -> dict[str, list]:
    """Rows of ``failures.csv`` by identifier; none where there is no such file."""
    file = folder / "failures.csv"
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    if rows[:1] != [FAILURE_COLUMNS]:
        raise ValueError(f"{short(file)} is not a list of failures: delete or rename it.")
    return {row[0]: row for row in rows[1:]}


def write_failures(folder: Path, failures: dict[str, list]) -> None:
    """Write ``failures.csv``, or remove it when there is nothing to list."""
    file = folder / "failures.csv"
    if not failures:
        file.unlink(missing_ok=True)
        return
    with atomic_write(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([FAILURE_COLUMNS, *failures.values()])


def _refuse(table: pd.DataFrame, bad: pd.Series, column: str, expected: str) -> None:
    rows = np.flatnonzero(bad.to_numpy())
    if len(rows):
        values = [table[column].iloc[row] for row in rows[:5]]
        values = [repr(value) if isinstance(value, str) else value for value in values]
        shown = ", ".join(f"row {row}: {value}" for row, value in zip(rows, values, strict=False))
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        raise ValueError(f"Column {column}: expected {expected}; found {shown}{more}.")
