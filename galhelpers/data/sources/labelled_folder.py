"""A folder of one's own: images beside a table of labels that are not the course's five classes.

The manifest says what the table's columns are called and what its labels mean, see
:class:`galhelpers.data.manifest.LabelColumns`.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import DatasetEntry, LabelColumns
from galhelpers.data.sources.folder import find_folder, present_images
from galhelpers.data.sources.positions import NAMES
from galhelpers.data.votes.catalogue_files import (
    IDENTIFIERS,
    VoteTableError,
    as_text,
    column_names,
    degrees,
    missing_columns,
    read_table,
)
from galhelpers.data.votes.vote_checks import Problems
from galhelpers.paths import short

TABLE = "labels.csv"
UNKNOWN = -2
"""Number of a label that nobody has named; -1 is no label at all."""

# Between these, identifiers are 64-bit whole numbers that a float cannot tell apart.
_LOST = (2**53, 2**64)


def load_labelled_folder(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read images with a table of labels of any kind.

    ``labels.csv`` has the three columns that ``entry.labels`` names: the identifier, the image (a
    path relative to the folder) and the label; ``ra`` and ``dec`` (degrees) are read where they
    are. An empty cell is a galaxy without label.

    Returns
    -------
    GalaxySet
        ``catalog`` has also ``label`` (int, the position in ``provenance["label_names"]``, -1 for
        none) and ``label_name`` (``""`` for none). No label is one of the five classes, whatever
        its name: ``class_id`` is -1 and ``class_name`` is ``""`` throughout. The table ``labels``
        has the other columns of numbers, row by row as the catalogue; ``my_`` stands before a name
        that the catalogue also has. ``provenance["left_out"]`` names columns of identifiers
        that went through floats and lost digits. Galaxies whose image is absent are in
        ``problems``.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or none of the images is there.
    galhelpers.data.votes.catalogue_files.VoteTableError
        For missing columns, and, naming up to five lines: identifiers that are missing or
        repeated, labels without a name, positions off the sky.
    """
    if entry.labels is None:
        raise ValueError(f"The manifest should say what the labels of {entry.name} are.")
    spec = entry.labels
    folder = find_folder(entry, root, (TABLE,))
    path = folder / TABLE
    present = column_names(path)
    missing_columns([spec.identifier, spec.file, spec.label], present, short(path))
    # Other identifiers are of no use here, and may be refused: many have lost digits.
    wanted = [n for n in present if n == spec.identifier or n.lower() not in IDENTIFIERS]
    table = read_table(path, wanted)
    position = _position_columns(wanted)
    catalog = _catalogue(table, spec, position, short(path))
    files = table[spec.file].astype("string").fillna("").str.strip()
    catalog["file"] = [str(folder / name) if name else "" for name in files]
    there, problems = present_images(catalog, path)
    used = {spec.identifier, spec.file, spec.label, *position.values()}
    numbers, left_out = _numbers(table.drop(columns=list(used)), catalog)
    provenance = {
        "folder": short(folder),
        "table": table.attrs["file"],
        "sha256": table.attrs["sha256"],
        "rows": len(table),
        "label_names": list(spec.names.values()),
        "left_out": left_out,
    }
    tables = {"labels": numbers}
    return GalaxySet(entry.name, catalog, None, problems, tables, provenance).select(there)


def label_numbers(column: pd.Series, values: Iterable[str]) -> np.ndarray:
    """Give labels numbers: their places among the known ones.

    A whole number is the same label however it is stored: ``1``, ``1.0`` and ``"1"``.

    Parameters
    ----------
    column
        Labels of n galaxies, text or numbers; missing or blank where there is none.
    values
        Known labels as they stand in a table, in the order of their numbers.

    Returns
    -------
    ndarray of int64
        (n,) places from 0, -1 without label, -2 for a label that is not known.
    """
    numbers = {value: i for i, value in enumerate(values)} | {"": -1}
    text = _as_written(column)
    return np.array([numbers.get(label, UNKNOWN) for label in text], dtype=np.int64)


def _as_written(column: pd.Series) -> pd.Series:
    """Labels as text: gaps in a column of whole numbers have made floats of them."""
    text = column.astype("string").fillna("").str.strip()
    return text.str.replace(r"^([+-]?\d+)\.0*$", r"\1", regex=True)


def _position_columns(present: list[str]) -> dict[str, str]:
    """Find the columns with ``ra`` and ``dec``, by any of their usual names; both or none."""
    small = {name.lower(): name for name in reversed(present)}
    found = {
        ours: next(small[name] for name in NAMES[ours] if name in small)
        for ours in ("ra", "dec")
        if not small.keys().isdisjoint(NAMES[ours])
    }
    return found if len(found) == 2 else {}


def _catalogue(
    table: pd.DataFrame, spec: LabelColumns, position: dict[str, str], where: str
) -> pd.DataFrame:
    """Give identifier, classes, label and position, without ``file`` filled in, all checked."""
    ids = as_text(table[spec.identifier], f"{where}, column {spec.identifier}")
    label = label_numbers(table[spec.label], spec.names)
    lines = table.index.to_numpy() + table.attrs["first_line"]
    problems = Problems(where, ids, lines)
    problems.add(ids.to_numpy() == "", f"expected an identifier in {spec.identifier}, found none")
    first = pd.Series(lines).groupby(ids.to_numpy()).transform("first").to_numpy()
    problems.add(
        ids.duplicated().to_numpy(),
        "expected each identifier once, this one is in line {} already",
        first,
    )
    expected = np.full(len(table), ", ".join(spec.names), dtype=object)
    problems.add(
        label == UNKNOWN,
        f"expected in {spec.label} one of {{}}, or nothing, found {{!r}}",
        expected,
        _as_written(table[spec.label]).to_numpy(dtype=object),
    )
    catalog = pd.DataFrame(
        {"id": ids, "file": "", "class_id": -1, "class_name": "", "label": label}
    )
    # Unknown labels, -2, get a wrong name here; the table is refused below.
    catalog["label_name"] = np.array([*spec.names.values(), ""], dtype=object)[label]
    if position:
        ra = degrees(table[position["ra"]], hours=True)
        dec = degrees(table[position["dec"]], hours=False)
        given = table[list(position.values())].notna().any(axis=1).to_numpy()
        problems.add(
            given & ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90)),
            "expected ra 0 to 360 and dec -90 to 90 degrees, found {} and {}",
            table[position["ra"]].to_numpy(),
            table[position["dec"]].to_numpy(),
        )
        catalog = catalog.assign(ra=ra, dec=dec)
    if problems.wrong.any():
        found = problems.left_out(0)
        more = [f"and {found['rows'] - 5:,} more"] if found["rows"] > 5 else []
        shown = "".join(f"\n  {text}" for text in [*found["examples"], *more])
        raise VoteTableError(
            f"{where}: {found['rows']:,} of {len(table):,} rows are wrong. Correct them or take "
            f"them out:{shown}"
        )
    return catalog


def _numbers(table: pd.DataFrame, catalog: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Give the columns of numbers, and the names of those that have lost digits."""
    names = [str(name) for name in table if table[name].dtype.kind in "iufb"]
    # Identifiers of SDSS that went through floats name other objects now.
    lost = [
        name
        for name in names
        if table[name].dtype.kind == "f"
        and table[name].notna().any()
        and table[name].dropna().between(*_LOST).all()
    ]
    kept = table[[name for name in names if name not in lost]]
    return kept.rename(columns={str(name): f"my_{name}" for name in kept if name in catalog}), lost
