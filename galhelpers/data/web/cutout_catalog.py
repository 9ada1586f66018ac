"""The tables around a folder of cutouts: the catalogue that goes in, the failures that come out."""

import csv
import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from galhelpers.paths import atomic_write, is_portable, short

FAILURE_COLUMNS = ["id", "ra", "dec", "reason", "attempts", "url"]
PICTURE_COLUMNS = ["id", "ra", "dec", "pixel_scale"]


def check_catalog(catalog: pd.DataFrame) -> pd.DataFrame:
    """Check identifiers and positions, before anything is asked for.

    Parameters
    ----------
    catalog
        Columns ``id``, ``ra``, ``dec``.

    Returns
    -------
    A copy with ``id`` as text, ``ra`` (0 to 360) and ``dec`` as float64 in degrees, NaN where the
    position is missing; rows numbered from 0.

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
    _refuse(catalog, ~text.astype(bool), "id", "an identifier is text or a whole number")
    ids = table["id"].astype(str)
    _refuse(
        catalog,
        ~ids.map(is_portable).astype(bool),
        "id",
        "an identifier becomes a file name: letters, digits and . _ + - only, a letter or digit "
        "first, no full stop last",
    )
    # Some systems hold A.jpg and a.jpg for the same file.
    _refuse(catalog, ids.str.lower().duplicated(keep=False), "id", "identifiers come once each")
    ra = pd.to_numeric(table["ra"], errors="coerce").astype(float)
    dec = pd.to_numeric(table["dec"], errors="coerce").astype(float)
    for name, numbers in (("ra", ra), ("dec", dec)):
        _refuse(catalog, numbers.isna() & table[name].notna(), name, "degrees, as numbers")
    _refuse(catalog, (ra < -180) | (ra > 360), "ra", "degrees from 0 to 360")
    _refuse(catalog, dec.abs() > 90, "dec", "degrees from -90 to 90")
    return table.assign(id=ids, ra=ra % 360, dec=dec)


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
                "Choose another folder, or delete images, pictures.csv and cutouts.json in it."
            )
        return
    # Pictures of settings that nobody knows any more are made again.
    (folder / "pictures.csv").unlink(missing_ok=True)
    with atomic_write(file) as temporary:
        text = json.dumps({**settings, "credit": credit}, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


class PictureList:
    """Writes ``pictures.csv`` line by line: which place on the sky each picture shows."""

    def __init__(self, folder: Path) -> None:
        rows = read_pictures(folder)
        file = folder / "pictures.csv"
        # Written anew, so that a line that a killed process left unfinished does not grow on.
        with atomic_write(file) as new, new.open("w", newline="", encoding="utf-8") as out:
            csv.writer(out).writerow(PICTURE_COLUMNS)
            csv.writer(out).writerows((name, *row) for name, row in rows.items())
        self._out = file.open("a", newline="", encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._out.close()

    def add(self, job: Any) -> None:
        """Note what the picture shows that is about to be saved."""
        csv.writer(self._out).writerow([job.id, job.ra, job.dec, job.pixel_scale])
        self._out.flush()


def read_pictures(folder: Path) -> dict[str, tuple[float, float, float]]:
    """Read ra, dec (degrees) and pixel scale (arcsec) of a folder's pictures, by identifier."""
    file = folder / "pictures.csv"
    if not file.is_file():
        return {}
    found = {}
    with file.open(newline="", encoding="utf-8", errors="replace") as stream:
        for row in csv.reader(stream):
            if len(row) == len(PICTURE_COLUMNS) and row != PICTURE_COLUMNS:
                try:
                    found[row[0]] = (float(row[1]), float(row[2]), float(row[3]))
                except ValueError:  # the line that a killed process was writing
                    continue
    return found


def same_frames(table: pd.DataFrame, pictures: dict[str, tuple[float, float, float]]) -> set[str]:
    """Names of the galaxies whose picture shows the place and the scale that is wanted now."""
    ids = table["id"].to_numpy(object)
    unknown = (np.nan,) * 3
    numbers = (number for name in ids for number in pictures.get(name, unknown))
    known = np.fromiter(numbers, np.float64, 3 * len(ids)).reshape(-1, 3)
    wanted = table[["ra", "dec", "pixel_scale"]].to_numpy(float)
    # Requests name positions to a millionth of a degree (4 milliarcsec), scales to six digits.
    tolerance = np.array([1e-6, 1e-6, 0]) + wanted * [0, 0, 1e-5]
    return set(ids[(np.abs(known - wanted) <= tolerance).all(axis=1)])


def read_failures(folder: Path) -> dict[str, list]:
    """Rows of ``failures.csv`` by identifier; none where there is no such file."""
    file = folder / "failures.csv"
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    if rows[:1] != [FAILURE_COLUMNS]:
        raise ValueError(f"{short(file)} is not a list of failures: delete or rename it.")
    return {row[0]: row for row in rows[1:] if len(row) == len(FAILURE_COLUMNS)}


def write_failures(folder: Path, failures: dict[str, list]) -> None:
    """Write ``failures.csv``, or remove it when there is nothing to list."""
    file = folder / "failures.csv"
    if not failures:
        file.unlink(missing_ok=True)
        return
    with atomic_write(file) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([FAILURE_COLUMNS, *failures.values()])


def _refuse(catalog: pd.DataFrame, bad: pd.Series, column: str, expected: str) -> None:
    rows = np.flatnonzero(bad.to_numpy())
    if not len(rows):
        return
    word, numbers = "row", np.arange(len(catalog))
    # A table that was read from a file: its lines, as an editor counts them.
    if "first_line" in catalog.attrs and pd.api.types.is_integer_dtype(catalog.index):
        word, numbers = "line", catalog.index.to_numpy() + catalog.attrs["first_line"]
    values = [catalog[column].iloc[row] for row in rows[:5]]
    values = [repr(value) if isinstance(value, str) else value for value in values]
    shown = ", ".join(
        f"{word} {number}: {value}" for number, value in zip(numbers[rows[:5]], values, strict=True)
    )
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    raise ValueError(f"Column {column}: expected {expected}; found {shown}{more}.")
