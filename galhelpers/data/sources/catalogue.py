"""The layout "catalogue": a table of galaxies, tables of their votes, images, and a record.

``catalog.parquet`` has a row a galaxy, ``<name>.parquet`` are tables row by row as the catalogue
(``votes_decals``, ``fractions_decals``), ``source.json`` says where all this comes from. It is
written last: where it is, the rest is complete.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from galhelpers.data.catalogs import FIVE_CLASS_CUTS, FIVE_CLASSES, select_five_classes
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.sources.folder import find_folder
from galhelpers.data.votes.vote_tables import VoteTable
from galhelpers.paths import atomic_write, short
from galhelpers.trees import GZ2

CATALOG = "catalog.parquet"
SOURCE = "source.json"
REQUIRED = ("id", "file", "class_id", "class_name")


def five_classes(votes: VoteTable) -> np.ndarray:
    """Sort galaxies of any Galaxy Zoo survey into the five classes, or into none.

    For Galaxy Zoo 2 these are the cuts of Zhu et al. 2019 (``FIVE_CLASS_CUTS``). Other surveys get
    the same thresholds on the answers that say the same. That is the choice of this course, not of
    those surveys: their questions, pictures and debiasing differ. Galaxy Zoo 1 did not ask how
    round a galaxy is, so its ellipticals have no class; its ``P_EDGE`` takes the place of
    ``Class2.1`` and the sum of ``P_CW`` and ``P_ACW`` that of ``Class4.1``. The CANDELS experts
    answered another question: no class.

    Returns
    -------
    ndarray of int
        (n,) class 0 to 4 in the order of ``FIVE_CLASSES``, -1 for none.
    """
    tree, values = votes.tree, votes.tree.array(votes.fractions)
    if tree.name == "gz2":
        return select_five_classes(votes.fractions)
    if tree.name == "gz1":
        spiral = values[:, tree.index("P_CW")] + values[:, tree.index("P_ACW")]
        edge_on = values[:, tree.index("P_EDGE")]
        cut_edge, cut_spiral = FIVE_CLASS_CUTS[3]["Class2.1"], FIVE_CLASS_CUTS[4]["Class4.1"]
        return np.where(spiral > cut_spiral, 4, np.where(edge_on > cut_edge, 3, -1))
    questions = {question.name: question for question in tree.questions}
    alike = np.zeros((len(values), GZ2.n_answers))
    for name in {name for cuts in FIVE_CLASS_CUTS for name in cuts}:
        # The same question has its answers in the same order in all trees, by whatever name.
        question, _, answer = GZ2.columns[GZ2.index(name)].partition("_")
        if question not in questions:
            return np.full(len(values), -1)
        position = GZ2.question(question).answers.index(answer)
        column = questions[question].columns[position]
        alike[:, GZ2.index(name)] = values[:, tree.index(column)]
    return select_five_classes(alike)


def as_galaxies(
    votes: VoteTable, files: Mapping[str, str] | None
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Turn a table of votes into what ``write_catalogue`` writes.

    Parameters
    ----------
    votes
        What ``read_votes`` gave.
    files
        Image of each galaxy, a path relative to the data set's folder, by identifier; None where
        there are no images.

    Returns
    -------
    catalog, tables
        The catalogue with ``file`` (``""`` without image), ``class_id`` and ``class_name``, and
        the tables ``votes_<tree>`` (where votes are published) and ``fractions_<tree>``.
    """
    class_id = five_classes(votes)
    catalog = votes.catalog.copy()
    paths = [(files or {}).get(name, "") for name in catalog["id"]]
    catalog.insert(1, "file", paths)
    catalog["class_id"] = class_id
    catalog["class_name"] = np.array([*FIVE_CLASSES, ""], dtype=object)[class_id]
    tables = {f"fractions_{votes.tree.name}": votes.fractions}
    if votes.votes is not None:
        tables[f"votes_{votes.tree.name}"] = votes.votes
    return catalog, tables


def write_catalogue(
    folder: Path,
    catalog: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    source: Mapping[str, Any],
) -> None:
    """Write a data set in the layout "catalogue", in the place of an older one.

    Parameters
    ----------
    folder
        Folder of the data set.
    catalog
        Columns ``id`` (unique), ``file`` (relative, with ``/``, or ``""``), ``class_id``,
        ``class_name``, and any more.
    tables
        By name; those that go with the catalogue have its rows in its order.
    source
        Where it all comes from; anything that JSON can hold. The names of the tables are added.

    Raises
    ------
    ValueError
        For missing columns, repeated identifiers, paths that leave the folder, and names of tables
        that are no file names.
    """
    missing = [name for name in REQUIRED if name not in catalog]
    if missing:
        raise ValueError(f"The catalogue lacks the columns {', '.join(missing)}.")
    ids = catalog["id"].astype(str)
    if ids.duplicated().any():
        raise ValueError(f"The catalogue has the identifier {ids[ids.duplicated()].iloc[0]} twice.")
    for file in set(catalog["file"]):
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts or "\\" in file:
            raise ValueError(f"Expected image paths inside the data set's folder, got {file!r}.")
    for name in tables:
        if not name.replace("_", "").isalnum() or name == Path(CATALOG).stem:
            raise ValueError(f"{name!r} is no name for a table.")
    folder.mkdir(parents=True, exist_ok=True)
    # Without its record the folder counts as incomplete, so nobody reads old beside new.
    (folder / SOURCE).unlink(missing_ok=True)
    for name, table in {Path(CATALOG).stem: catalog.assign(id=ids), **tables}.items():
        with atomic_write(folder / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)
    record = dict(source) | {"tables": list(tables), "rows_in_catalogue": len(catalog)}
    with atomic_write(folder / SOURCE) as temporary:
        text = json.dumps(record, indent=1, ensure_ascii=False, default=_plain)
        temporary.write_text(text + "\n", encoding="utf-8")


def load_catalogue(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read a data set in the layout "catalogue".

    Galaxies whose image is absent go to ``problems``, unless the data set has no images at all:
    then all stay, with ``file`` ``""``. ``fractions`` are those of tree ``gz2``; other trees are in
    ``tables``, row by row as the catalogue, as are votes.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or it is incomplete, or none of its images is there.
    ValueError
        For a folder of another data set, and tables that do not belong together.
    """
    try:
        folder = find_folder(entry, root, (SOURCE,))
    except FileNotFoundError as error:
        if not (root / entry.name).is_dir():
            raise
        raise FileNotFoundError(
            f"{short(root / entry.name)} is incomplete: it has no {SOURCE}, which is written last. "
            f"Give `{_fetch_command(entry)}` again: what has arrived is kept."
        ) from error
    again = f"Give `{_fetch_command(entry)}` again."
    source = json.loads((folder / SOURCE).read_text(encoding="utf-8"))
    if source.get("dataset", entry.name) != entry.name:
        raise ValueError(f"{short(folder)} holds {source['dataset']!r}, expected {entry.name!r}.")
    try:
        catalog = pd.read_parquet(folder / CATALOG)
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in source["tables"]}
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise ValueError(
            f"{short(folder)} is damaged: a table is missing or broken. {again}"
        ) from error
    missing = [name for name in REQUIRED if name not in catalog]
    if missing or len(catalog) != source["rows_in_catalogue"]:
        raise ValueError(
            f"{short(folder / CATALOG)} does not belong to {SOURCE}: expected "
            f"{source['rows_in_catalogue']:,} rows with {', '.join(REQUIRED)}, got "
            f"{len(catalog):,} rows. {again}"
        )
    # A table without names of its own belongs to the catalogue row by row.
    odd = [name for name, table in tables.items() if len(table) != len(catalog)]
    if odd:
        raise ValueError(f"{short(folder)}: {odd[0]} has not the catalogue's rows. {again}")
    named = (catalog["file"] != "").to_numpy()
    there = _there(folder, catalog["file"]) if named.any() else np.ones(len(catalog), dtype=bool)
    if named.any() and not there.any():
        first = catalog["file"][named].iloc[0]
        raise FileNotFoundError(
            f"None of the {named.sum():,} images of {entry.name} is in {short(folder)}, the first "
            f"would be {first}. {again}"
        )
    absent = catalog[~there]
    names = absent["file"].where(absent["file"] != "", absent["id"])
    known = _reasons(folder)
    reasons = [known.get(name, "no image for this galaxy") for name in absent["id"]]
    problems = pd.DataFrame({"file": names, "reason": reasons})
    together = {name: table[there].reset_index(drop=True) for name, table in tables.items()}
    catalog = catalog[there].reset_index(drop=True)
    if named.any():
        catalog["file"] = [str(folder / file) for file in catalog["file"]]
    return GalaxySet(
        entry.name,
        catalog,
        together.pop("fractions_gz2", None),
        problems.reset_index(drop=True),
        together,
        source | {"folder": short(folder)},
    )


def _fetch_command(entry: DatasetEntry) -> str:
    more = " --catalog FILE" if entry.kind == "cutouts" else ""
    return f"galhelpers fetch {entry.name}{more}"


def _reasons(folder: Path) -> dict[str, str]:
    """Why a galaxy has no picture, by identifier, as far as it was written down."""
    reasons: dict[str, str] = {}
    for name in ("failures", "stamps_failures", "images_failures"):
        if (folder / f"{name}.csv").is_file():
            table = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
            reasons |= dict(zip(table["id"], table["reason"], strict=True))
    return reasons


def _there(folder: Path, files: pd.Series) -> np.ndarray:
    """Say which files exist, a mask; each folder is listed once, which is quick for many files."""
    paths = [file.rpartition("/") for file in files]
    listed = {}
    for place in {place for place, _, name in paths if name}:
        try:
            with os.scandir(folder / place) as entries:
                listed[place] = {entry.name for entry in entries}
        except FileNotFoundError:
            listed[place] = set()
    return np.array([bool(name) and name in listed[place] for place, _, name in paths], dtype=bool)


def _plain(value: Any) -> Any:
    """Numbers of numpy as numbers, anything else (paths, dates) as text."""
    return value.item() if isinstance(value, np.generic) else str(value)
