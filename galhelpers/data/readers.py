"""From a folder on disk to a `GalaxySet`: one reader for each form of publication.

``data_manifest.yaml`` names the form of each data set under ``reader``.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.galaxies import GalaxySet, add_classes
from galhelpers.data.images import IMAGE_SUFFIXES
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.records import read_record, read_rows
from galhelpers.data.tables import (
    IDENTIFIERS,
    TableError,
    check_columns,
    column_names,
    degrees,
    numeric,
    read_table,
)
from galhelpers.data.votes import read_votes, weighted_votes
from galhelpers.messages import public
from galhelpers.paths import short
from galhelpers.trees import GZ2

LABELS = "labels.csv"
IMAGE_FOLDER = "images_training_rev1"
TABLE = "training_solutions_rev1.csv"
CATALOG = "catalog.parquet"
SOURCE = "source.json"
FAILURE = ("id", "reason")
"""Columns of the lists of galaxies without a picture."""
REQUIRED = ("id", "file", "class_id", "class_name")
"""Columns of every catalog."""


class SourceFile(BaseModel):
    """One file that a data set was made of."""

    name: str
    sha256: str | None = None


class Source(BaseModel):
    """Where a data set on disk comes from, and the names and number of rows of its tables."""

    model_config = ConfigDict(extra="allow")

    dataset: str | None = None
    files: list[SourceFile] = []
    tables: Annotated[
        list[Annotated[str, Field(pattern=r"^\w[\w.-]*$")]], Field(max_length=50)
    ] = []
    rows_in_catalog: int | None = None
    revision: str | None = None
    config: str | None = None


def read_dataset(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read a data set of the manifest that lies on disk.

    Parameters
    ----------
    entry
        Its entry. The simulated survey is not read here: it is made when it is not there.
    root
        Folder with the data set, or with a folder of its name.

    Raises
    ------
    FileNotFoundError
        Where the data are not on disk; the message says how to get them.
    ValueError
        For tables that are not what they should be; the message says where.
    """
    return _READERS.get(entry.reader, read_tables)(entry, root)


def find_folder(entry: DatasetEntry, root: Path, marks: Iterable[str]) -> Path:
    """Find the data set's folder: ``root`` itself, or the folder in it that has the set's name.

    Raises
    ------
    FileNotFoundError
        With the places looked at, and where the data come from.
    """
    marks = list(marks)
    places = [root / entry.name, root]
    for place in places:
        if any(next(place.glob(mark), None) is not None for mark in marks):
            return place
    does = f"brings it from {entry.origin}" if entry.is_fetched else "says how to make it"
    raise FileNotFoundError(
        f"Expected {' or '.join(marks)} of {entry.title!r} in "
        f"{' or '.join(short(place) for place in places)}, found none. "
        f"`galhelpers fetch {entry.name}` {does}. Where you have it already, "
        "name its folder with --data-root (in a notebook: the parameter data_root)."
    )


def read_class_folders(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read galaxies of the five classes.

    Either ``labels.csv`` with an identifier (``GalaxyID``, ``id`` or another of ``IDENTIFIERS``,
    else the first column), ``class_id`` (0-4) or ``class_name``, and ``file`` (relative to the
    folder, without leaving it); or one folder of images a class, named by number, by class name,
    or both (``0``, ``spiral``, ``4_spiral``).

    Raises
    ------
    FileNotFoundError, ValueError
        For a missing folder, missing columns, repeated identifiers or unknown classes.
    """
    folder = find_folder(entry, root, [LABELS, *(f"*{name}" for name in FIVE_CLASSES), "[0-4]"])
    table = folder / LABELS
    catalog = read_class_table(table) if table.is_file() else scan_class_folders(folder)
    return _with_images(GalaxySet(entry.name, catalog, provenance={"folder": short(folder)}), table)


def read_kaggle(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read Kaggle's training images and, where present, their 37 vote fractions.

    Without ``training_solutions_rev1.csv`` a ``labels.csv`` with classes serves; the set then has
    no fractions.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_kaggle_layout`; archives that are still packed are named.
    """
    packed = (f"{IMAGE_FOLDER}.zip", f"{entry.kaggle}.zip")
    for place in (root / entry.name, root):
        # Unpacking by hand often puts everything into one folder more.
        for images in (place / IMAGE_FOLDER, *sorted(place.glob(f"*/{IMAGE_FOLDER}"))):
            if images.is_dir():
                return read_kaggle_layout(images.parent, entry.name)
        for name in packed:
            if (place / name).is_file():
                raise FileNotFoundError(
                    f"{name} in {short(place)} is still packed. `galhelpers fetch {entry.name}` "
                    "unpacks it, and asks Kaggle only for what is not there."
                )
    return read_kaggle_layout(find_folder(entry, root, [IMAGE_FOLDER]), entry.name)


def read_kaggle_layout(folder: Path, name: str) -> GalaxySet:
    """Read a folder in Kaggle's layout; see `read_kaggle`.

    Images and table may each lie one folder deeper, as some programs unpack them.

    Raises
    ------
    FileNotFoundError, ValueError
        For missing images or labels, and for a table that is not the challenge's.
    """
    place = folder / IMAGE_FOLDER
    files = images_in(place) or images_in(place / IMAGE_FOLDER)
    images = {path.stem: str(path) for path in files}
    if not images:
        raise FileNotFoundError(
            f"{short(place)} holds no .jpg file. `galhelpers fetch {name}` makes it whole."
        )
    solutions = next(
        (file for file in (folder / TABLE, *folder.glob(f"*/{TABLE}")) if file.is_file()), None
    )
    fractions = None
    if solutions is not None:
        table = read_solutions(solutions)
        ids = table["GalaxyID"]
        known = ids.isin(images)
        fractions = table.loc[known].drop(columns="GalaxyID").reset_index(drop=True)
        catalog = pd.DataFrame({"id": ids[known].to_numpy()})
        catalog = add_classes(catalog.assign(file=catalog["id"].map(images)), fractions)
    elif (folder / LABELS).is_file():
        labels = read_class_table(folder / LABELS)
        ids = labels["id"]
        known = ids.isin(images)
        catalog = labels[known].reset_index(drop=True)
        catalog["file"] = catalog["id"].map(images)
    else:
        packed = TABLE.replace(".csv", ".zip")
        there = ", still packed: unpack it there" if (folder / packed).is_file() else " on Kaggle"
        raise FileNotFoundError(
            f"Expected {TABLE} or {LABELS} in {short(folder)}, found neither. It is in "
            f"{packed}{there}."
        )
    problems = [(str(place / f"{i}.jpg"), "row without image") for i in ids[~known]]
    problems += [(images[i], "image without row") for i in sorted(set(images) - set(ids))]
    if catalog.empty:
        raise FileNotFoundError(
            f"None of the {len(ids):,} galaxies of the table in {short(folder)} has an image in "
            f"{short(place)}: the first is {public(ids.iloc[0]) if len(ids) else 'missing'}. Do "
            "images and table belong together?"
        )
    return GalaxySet(
        name,
        catalog,
        fractions,
        pd.DataFrame(problems, columns=["file", "reason"]),
        provenance={"folder": short(folder)},
    )


def images_in(folder: Path) -> list[Path]:
    """List the images of a folder, whatever the case of their suffix, sorted by name."""
    # Hidden files are what a copy or a killed process left behind. Some cameras write .JPG.
    files = folder.iterdir() if folder.is_dir() else ()
    return sorted(
        file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and file.name[0] != "."
    )


def read_solutions(path: Path) -> pd.DataFrame:
    """Read and check Kaggle's table of 37 cumulative vote fractions.

    Raises
    ------
    ValueError
        For missing columns, repeated identifiers, values outside 0-1 or NaN, or answers that do
        not sum to their parent's share; with the rows concerned.
    """
    columns = ["GalaxyID", *GZ2.published]
    table = read_table(path, columns)
    _check_identifiers(table["GalaxyID"], short(path))
    values = numeric(table, columns[1:], short(path))
    table[columns[1:]] = values
    bad = ~((values >= 0) & (values <= 1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{short(path)}: fractions should lie between 0 and 1; {bad.sum()} rows do not, "
            f"the first in line {int(np.argmax(bad)) + 2}."
        )
    # The published values are rounded; the largest residual of the real table is below 1e-5.
    complaints = GZ2.check(values, atol=1e-4)
    if complaints:
        raise ValueError(f"{short(path)}: {complaints[0]} ({len(complaints)} complaints in all).")
    return table


def read_labels(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read images beside a ``labels.csv`` with labels that are not the five classes.

    The manifest says under ``labels`` what its columns are called and what its labels mean. ``ra``
    and ``dec`` (degrees) are read where they are. An empty cell is a galaxy without label.

    Returns
    -------
    GalaxySet
        ``catalog`` has also ``label`` (int, the position in ``provenance["label_names"]``, -1 for
        none) and ``label_name`` (``""`` for none). No label is one of the five classes, whatever
        its name: ``class_id`` is -1 and ``class_name`` is ``""`` throughout. The table ``labels``
        has the other columns of numbers, row by row as the catalog; ``my_`` stands before a
        name that the catalog also has. ``provenance["left_out"]`` names columns of identifiers
        that are not used. Galaxies whose image is absent are in ``problems``.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or none of the images is there.
    TableError
        For missing columns, identifiers that are missing or repeated, and labels without a name.
    """
    if entry.labels is None:
        raise ValueError(f"The manifest should say what the labels of {entry.name} are.")
    spec = entry.labels
    folder = find_folder(entry, root, [LABELS])
    path = folder / LABELS
    present = column_names(path)
    check_columns([spec.identifier, spec.file, spec.label], present, short(path))
    # Other identifiers are of no use here, and would be refused where they have lost digits.
    other_ids = [
        name for name in present if name.lower() in IDENTIFIERS and name != spec.identifier
    ]
    texts = [spec.identifier, spec.file]
    table = read_table(path, [name for name in present if name not in other_ids], texts)
    ids = table[spec.identifier]
    _check_identifiers(ids, f"{short(path)}, column {spec.identifier}")
    label = label_numbers(table[spec.label], spec.names)
    unknown = label == UNKNOWN
    if unknown.any():
        row = int(unknown.argmax())
        raise TableError(
            f"{short(path)}: expected in {spec.label} one of {', '.join(spec.names)}, or nothing, "
            f"found {public(table[spec.label].iloc[row], 60)!r} in line {row + 2} and "
            f"{unknown.sum() - 1} more."
        )
    catalog = pd.DataFrame(
        {
            "id": ids,
            "file": _beside(path, table[spec.file]),
            "class_id": -1,
            "class_name": "",
            "label": label,
            "label_name": np.array([*spec.names.values(), ""], dtype=object)[label],
        }
    )
    catalog = catalog.assign(**_position(table))
    used = {spec.identifier, spec.file, spec.label, "ra", "dec"}
    numbers = table.drop(columns=[name for name in table if name in used]).select_dtypes("number")
    # Between 2^53 and 2^64 whole numbers of 64 bits are identifiers that a float cannot tell apart.
    lost = [
        str(name)
        for name in numbers.select_dtypes("float")
        if numbers[name].notna().any() and numbers[name].dropna().between(2**53, 2**64).all()
    ]
    provenance = {
        "folder": short(folder),
        "rows": len(table),
        "label_names": list(spec.names.values()),
        "left_out": [*other_ids, *lost],
    }
    # A number of a name that the catalog also has means something else.
    renamed = {str(name): f"my_{name}" for name in numbers if name in catalog}
    tables = {"labels": numbers.drop(columns=lost).rename(columns=renamed)}
    return _with_images(
        GalaxySet(entry.name, catalog, None, tables=tables, provenance=provenance), path
    )


UNKNOWN = -2
"""Number of a label that nobody has named; -1 is no label at all."""


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
    text = column.astype("string").fillna("").str.strip()
    # Gaps in a column of whole numbers have made floats of them.
    text = text.str.replace(r"^([+-]?\d+)\.0*$", r"\1", regex=True)
    return np.array([numbers.get(label, UNKNOWN) for label in text], dtype=np.int64)


def read_gz2_labels(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read images beside a ``labels.csv`` with the columns of Hart et al. 2016 (MNRAS 461, 3663).

    ``labels.csv`` has ``file`` (relative to the folder), ``asset_id``, ``objid`` or ``dr7objid``
    (the first of them that is there names the galaxies), ``total_classifications`` (volunteers),
    and for each of the 37 answers ``tNN_*_aNN_*_weighted_fraction`` and ``..._debiased``.

    Returns
    -------
    GalaxySet
        ``fractions`` and classes are debiased. The table ``votes_gz2`` is what people saw, so it is
        from the weighted fractions: numbers of people as floats, see `weighted_votes`. Galaxies
        whose image is absent are in ``problems``.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or none of the images is there.
    TableError
        For missing columns and wrong rows.
    """
    folder = find_folder(entry, root, [LABELS])
    path = folder / LABELS
    check_columns(["file", "total_classifications"], column_names(path), short(path))
    debiased = read_votes(path, "gz2", kind="debiased", max_wrong=0)
    votes = weighted_votes(read_votes(path, "gz2", kind="weighted_fraction", max_wrong=0))
    catalog = debiased.catalog.copy()
    catalog.insert(1, "file", _beside(path, read_table(path, ["file"], ["file"])["file"]))
    catalog = add_classes(catalog, debiased.fractions)
    tables = {"votes_gz2": votes}
    provenance = debiased.source | {"folder": short(folder)}
    galaxies = GalaxySet(
        entry.name, catalog, debiased.fractions, tables=tables, provenance=provenance
    )
    return _with_images(galaxies, path)


def read_tables(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read what `galhelpers.data.convert.write_tables` wrote: a catalog, tables, and a record.

    ``catalog.parquet`` has a row a galaxy, ``<name>.parquet`` are tables row by row as the catalog
    (``votes_decals``, ``fractions_decals``), ``source.json`` says where all this comes from. It is
    written last: where it is, the rest is complete. Galaxies whose image is absent go to
    ``problems``, unless the data set has no images at all: then all stay, with ``file`` ``""``.
    ``fractions`` are those of tree ``gz2``; other trees are in ``tables``, as are votes.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or it is incomplete, or none of its images is there.
    ValueError
        For a folder of another data set, and tables that do not belong together.
    """
    more = " --catalog FILE" if entry.reader == "positions" else ""
    again = f"Give `galhelpers fetch {entry.name}{more}` again: what has arrived is kept."
    if (root / entry.name).is_dir() and not (root / entry.name / SOURCE).is_file():
        raise FileNotFoundError(
            f"{short(root / entry.name)} is incomplete: it has no {SOURCE}, which is written last. "
            f"{again}"
        )
    folder = find_folder(entry, root, [SOURCE])
    source = read_record(folder / SOURCE, Source)
    if source is None or source.rows_in_catalog is None:
        raise ValueError(
            f"{short(folder / SOURCE)} is damaged or was written by an earlier version: expected "
            f"JSON with tables and rows_in_catalog. {again}"
        )
    n = source.rows_in_catalog
    if source.dataset not in (None, entry.name):
        raise ValueError(
            f"{short(folder)} holds {public(source.dataset)!r}, expected {entry.name!r}."
        )
    try:
        catalog = read_table(folder / CATALOG, texts=("file",))
        check_columns(REQUIRED, catalog.columns, short(folder / CATALOG))
        tables = {name: read_table(folder / f"{name}.parquet") for name in source.tables}
        _check_catalog(catalog, folder / CATALOG)
    except (FileNotFoundError, TableError) as error:
        raise ValueError(
            f"{short(folder)} is damaged, a table is missing or broken: {public(error)} {again}"
        ) from error
    rows = {CATALOG: len(catalog)} | {name: len(table) for name, table in tables.items()}
    odd = [name for name, found in rows.items() if found != n]
    if odd:
        raise ValueError(
            f"{short(folder)}: expected {n:,} rows in {odd[0]}, found {rows[odd[0]]:,}. {again}"
        )
    named = (catalog["file"] != "").to_numpy()
    there = _which_exist(folder, catalog["file"]) if named.any() else np.ones(len(catalog), bool)
    if not there.any() and len(catalog):
        raise FileNotFoundError(
            f"None of the {named.sum():,} images of {entry.name} is in {short(folder)}, the first "
            f"would be {catalog['file'][named].iloc[0]}. {again}"
        )
    known = _reasons(folder)
    absent = catalog[~there]
    problems = pd.DataFrame(
        {
            "file": absent["file"].where(absent["file"] != "", absent["id"]),
            "reason": [known.get(name, "no image for this galaxy") for name in absent["id"]],
        }
    ).reset_index(drop=True)
    catalog["file"] = [str(folder / file) if file else "" for file in catalog["file"]]
    fractions = tables.pop("fractions_gz2", None)
    provenance = source.model_dump(exclude_unset=True) | {"folder": short(folder)}
    galaxies = GalaxySet(entry.name, catalog, fractions, problems, tables, provenance)
    return galaxies.select(there)


def read_class_table(path: Path) -> pd.DataFrame:
    """Read a ``labels.csv`` with the five classes into a catalog; see `read_class_folders`.

    Raises
    ------
    TableError
        For a file that is no table, rows without an identifier of their own, and rows without one
        class: none, an unknown one, or two that differ.
    """
    present = column_names(path)
    # pandas writes its row numbers first; they name no galaxy where another column does.
    names = [name for name in present if name.lower() in IDENTIFIERS]
    first = min(names, key=lambda name: IDENTIFIERS.index(name.lower()), default=present[0])
    labels = [name for name in ("class_id", "class_name") if name in present]
    if not labels:
        check_columns(["class_name"], present, f"{short(path)} (or class_id)")
    others = [name for name in ("file", "ra", "dec") if name in present]
    table = read_table(
        path, dict.fromkeys([first, *labels, *others]), [first, *labels, *others[:1]]
    )
    ids = table[first]
    _check_identifiers(ids, f"{short(path)}, column {public(first)}")
    numbers = [_class_numbers(table, name, path) for name in labels]
    differ = numbers[0] != numbers[-1]
    if differ.any():
        row = int(differ.argmax())
        raise TableError(
            f"{short(path)}: class_id and class_name should mean the same; in line {row + 2} they "
            f"are {table['class_id'].iloc[row]} and {public(table['class_name'].iloc[row], 60)}, "
            f"and they differ in {differ.sum() - 1} more."
        )
    files = table["file"] if "file" in table else ids.map("{}.jpg".format)
    catalog = pd.DataFrame(
        {
            "id": ids,
            "file": _beside(path, files),
            "class_id": numbers[0],
            "class_name": [FIVE_CLASSES[i] for i in numbers[0]],
        }
    )
    return catalog.assign(**_position(table))


def _class_numbers(table: pd.DataFrame, column: str, path: Path) -> np.ndarray:
    """Give the class of each row, 0 to 4."""
    numbers = class_numbers(table[column])
    wrong = numbers < 0
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(
            f"{short(path)}: {column} should be one of the five classes, 0 to 4 or "
            f"{', '.join(FIVE_CLASSES)}; it is {public(table[column].iloc[row], 60) or 'empty'} "
            f"in line {row + 2}, and {wrong.sum() - 1} more are wrong."
        )
    return numbers


def _check_identifiers(ids: pd.Series, where: str) -> None:
    """Refuse rows without an identifier of their own."""
    wrong = ((ids == "") | ids.duplicated()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        found = f"{public(ids.iloc[row], 60)!r} repeated" if ids.iloc[row] else "none"
        raise TableError(
            f"{where}: expected an identifier of its own for each galaxy, found {found} in line "
            f"{row + 2}, and {wrong.sum() - 1} more such rows."
        )


def _check_catalog(catalog: pd.DataFrame, path: Path) -> None:
    """Refuse a catalog that a data set cannot have, and take its positions as numbers."""
    where = short(path)
    _check_identifiers(catalog["id"], f"{where}, column id")
    _beside(path, catalog["file"])
    classes = numeric(catalog, ["class_id"], where)[:, 0]
    wrong = ~np.isin(classes, range(-1, len(FIVE_CLASSES)))
    if wrong.any():
        raise TableError(
            f"{where}: expected a class_id of -1 to {len(FIVE_CLASSES) - 1}, found "
            f"{classes[wrong][0]:g} and {wrong.sum() - 1} more."
        )
    catalog["class_id"] = classes.astype(int)
    for name, angles in _position(catalog).items():
        catalog[name] = angles


def _beside(table: Path, files: pd.Series) -> list[str]:
    """Give the paths of images that a table names; "" where it names none.

    Raises
    ------
    TableError
        For a path that is not relative to the table's folder, or leaves it.
    """
    paths = [file.replace("\\", "/") for file in files]  # as Windows writes them
    for row, file in enumerate(paths):
        if file.startswith("/") or ":" in file.partition("/")[0] or ".." in file.split("/"):
            raise TableError(
                f"{short(table)}: paths of images are relative to the folder of the table and stay "
                f"in it; {public(file, 100)!r} in line {row + 2} does not. Write the path from "
                "there, such as images/1.jpg."
            )
    return [f"{table.parent}/{file}" if file else "" for file in paths]


def _position(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Give ``ra`` and ``dec`` in degrees as far as a table has them, NaN off the sky."""
    limits = {"ra": (-360, 360), "dec": (-90, 90)}
    angles = {name: degrees(table[name], name == "ra") for name in limits if name in table}
    return {
        name: np.where((angle >= limits[name][0]) & (angle <= limits[name][1]), angle, np.nan)
        for name, angle in angles.items()
    }


def scan_class_folders(folder: Path) -> pd.DataFrame:
    """List the images of class folders, sorted by class and name."""
    rows = []
    places = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    numbers = class_numbers(pd.Series([place.name for place in places], dtype=object))
    for class_id, place in sorted(zip(numbers.tolist(), places, strict=True)):
        if class_id < 0:
            raise TableError(
                f"{short(folder)}: the folder {public(place.name, 60)!r} is none of the five "
                f"classes, 0 to 4 or {', '.join(FIVE_CLASSES)}."
            )
        for file in sorted(place.rglob("*")):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                rows.append((file.stem, str(file), class_id, FIVE_CLASSES[class_id]))
    catalog = pd.DataFrame(rows, columns=list(REQUIRED))
    if catalog["id"].duplicated().any():
        twice = catalog["id"][catalog["id"].duplicated()].iloc[0]
        raise ValueError(
            f"{short(folder)}: the image {twice!r} lies in more than one class folder."
        )
    return catalog


def class_numbers(names: pd.Series) -> np.ndarray:
    """Turn numbers, names and ``number_name`` of the five classes into 0-4; -1 for all else."""
    forms = [form for i, name in enumerate(FIVE_CLASSES) for form in (str(i), name, f"{i}_{name}")]
    words = names.str.lower().str.strip().str.replace("[- ]", "_", regex=True)
    return label_numbers(words, forms) // 3  # rounds down: -1 and -2 become -1


def _with_images(galaxies: GalaxySet, table: Path) -> GalaxySet:
    """Keep the galaxies whose image is there; list the others in ``problems``.

    Raises
    ------
    FileNotFoundError
        When there is no image at all.
    """
    catalog = galaxies.catalog
    # Unlike Path, os.path says no to a name that no system takes.
    there = np.array([os.path.isfile(file) for file in catalog["file"]], dtype=bool)  # noqa: PTH113
    absent = catalog[~there]
    names = absent["file"].where(absent["file"] != "", absent["id"])
    if len(catalog) == 0:
        raise FileNotFoundError(f"{short(table.parent)} has no galaxies: no image, no row.")
    if not there.any():
        raise FileNotFoundError(
            f"None of the {len(absent)} images named in {short(table)} is there, "
            f"the first is {public(names.iloc[0], 200)!r}. Paths are relative to the table's "
            "folder."
        )
    problems = pd.DataFrame({"file": names, "reason": f"named in {table.name}, absent"})
    galaxies.problems = problems.reset_index(drop=True)
    return galaxies.select(there)


def _which_exist(folder: Path, files: pd.Series) -> np.ndarray:
    """Say which files exist, a mask; each folder is listed once, which is quick for many files."""
    paths = [file.rpartition("/") for file in files]
    listed = {}
    for place in {place for place, _, name in paths if name}:
        is_there = (folder / place).is_dir()
        listed[place] = {path.name for path in (folder / place).iterdir()} if is_there else set()
    return np.array([bool(name) and name in listed[place] for place, _, name in paths], dtype=bool)


def _reasons(folder: Path) -> dict[str, str]:
    """Why a galaxy has no picture, by identifier, as far as it was written down."""
    lists = (read_rows(folder / name, FAILURE) for name in ("failures.csv", "images_failures.csv"))
    return {name: public(row[1]) for rows in lists for name, row in rows.items()}


_READERS: dict[str, Callable[[DatasetEntry, Path], GalaxySet]] = {
    "class_folders": read_class_folders,
    "kaggle": read_kaggle,
    "labels": read_labels,
    "gz2_labels": read_gz2_labels,
}
