"""A local folder of images: class folders, or a ``labels.csv`` beside the images."""

from pathlib import Path

import numpy as np
import pandas as pd

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import DatasetEntry
from galhelpers.paths import short

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"}


def find_folder(entry: DatasetEntry, root: Path, marks: tuple[str, ...]) -> Path:
    """Find the data set's folder: ``root`` itself or the folder in it that has the set's name.

    Raises
    ------
    FileNotFoundError
        With the places looked at, and where the data come from.
    """
    places = [root / entry.name, root]
    for place in places:
        if any(next(place.glob(mark), None) is not None for mark in marks):
            return place
    looked = " and ".join(short(place) for place in places)
    does = "says how to make it" if entry.kind == "folder" else f"brings it from {entry.where}"
    raise FileNotFoundError(
        f"Expected {' or '.join(marks)} of {entry.title!r} in {looked}, found neither. "
        f"`galhelpers fetch {entry.name}` {does}. Where you have it already, "
        "name its folder with --data-root (in a notebook: the parameter data_root)."
    )


def load_folder(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read a folder of labelled galaxies.

    Either ``labels.csv`` with an identifier in its first column, ``class_id`` (0-4) or
    ``class_name``, and ``file`` (relative to the folder); or one folder of images a class, named
    by number, by class name, or both (``0``, ``spiral``, ``4_spiral``).

    Raises
    ------
    FileNotFoundError, ValueError
        For a missing folder, missing columns, repeated identifiers or unknown classes.
    """
    class_folders = [f"*{name}" for name in FIVE_CLASSES]
    folder = find_folder(entry, root, ("labels.csv", *class_folders, "[0-4]"))
    if (folder / "labels.csv").is_file():
        catalog = read_labels(folder / "labels.csv")
    else:
        catalog = scan_class_folders(folder)
    there, missing = present_images(catalog, folder / "labels.csv")
    catalog = catalog[there].reset_index(drop=True)
    return GalaxySet(entry.name, catalog, None, missing, {}, {"folder": short(folder)})


def present_images(catalog: pd.DataFrame, table: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Say which images of a catalogue are there, and list the others.

    Parameters
    ----------
    catalog
        ``id`` and ``file`` of n galaxies.
    table
        The table that names the images, for messages.

    Returns
    -------
    there, problems
        Mask (n,), and the columns ``file`` (the identifier where no file is named) and ``reason``.

    Raises
    ------
    FileNotFoundError
        When there is no image at all.
    """
    there = np.array([Path(file).is_file() for file in catalog["file"]], dtype=bool)
    absent = catalog[~there]
    names = absent["file"].where(absent["file"] != "", absent["id"])
    if len(catalog) == 0:
        raise FileNotFoundError(f"{short(table.parent)} has no galaxies: no image, no row.")
    if not there.any():
        raise FileNotFoundError(
            f"None of the {len(absent)} images named in {short(table)} is there, "
            f"the first is {names.iloc[0]!r}. Paths are relative to the table's folder."
        )
    problems = pd.DataFrame({"file": names, "reason": f"named in {table.name}, absent"})
    return there, problems.reset_index(drop=True)


def read_labels(path: Path) -> pd.DataFrame:
    """Read ``labels.csv`` into a catalogue, as :class:`GalaxySet` describes one."""
    table = pd.read_csv(path)
    if "class_id" not in table and "class_name" not in table:
        raise ValueError(
            f"{short(path)} should have a column class_id or class_name; "
            f"it has {', '.join(table.columns)}."
        )
    if "class_id" not in table:
        table["class_id"] = [class_number(name, path) for name in table["class_name"]]
    odd = ~table["class_id"].isin(range(len(FIVE_CLASSES)))
    if odd.any():
        raise ValueError(
            f"{short(path)}: class_id should be 0 to {len(FIVE_CLASSES) - 1}, "
            f"got {table['class_id'][odd].iloc[0]!r} in line {int(odd.to_numpy().argmax()) + 2}."
        )
    ids = table.iloc[:, 0].astype(str)
    if ids.duplicated().any():
        raise ValueError(
            f"{short(path)}: identifiers should be unique, {ids[ids.duplicated()].iloc[0]!r} "
            f"and {ids.duplicated().sum() - 1} more are repeated."
        )
    files = table["file"] if "file" in table else ids.map("{}.jpg".format)
    catalog = pd.DataFrame(
        {
            "id": ids,
            "file": [str(path.parent / file) for file in files],
            "class_id": table["class_id"].astype(int),
            "class_name": [FIVE_CLASSES[i] for i in table["class_id"]],
        }
    )
    return catalog.assign(**{name: table[name] for name in ("ra", "dec") if name in table})


def scan_class_folders(folder: Path) -> pd.DataFrame:
    """List the images of class folders, sorted by class and name."""
    rows = []
    places = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")]
    for class_id, place in sorted((class_number(place.name, folder), place) for place in places):
        for file in sorted(place.rglob("*")):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                rows.append((file.stem, str(file), class_id, FIVE_CLASSES[class_id]))
    catalog = pd.DataFrame(rows, columns=["id", "file", "class_id", "class_name"])
    if catalog["id"].duplicated().any():
        twice = catalog["id"][catalog["id"].duplicated()].iloc[0]
        raise ValueError(
            f"{short(folder)}: the image {twice!r} lies in more than one class folder."
        )
    return catalog


def class_number(name: str, where: Path) -> int:
    """Turn a class name, number or ``number_name`` into the class number 0-4."""
    text = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    for number, known in enumerate(FIVE_CLASSES):
        if text in (str(number), known, f"{number}_{known}"):
            return number
    raise ValueError(
        f"{short(where)}: {name!r} is none of the five classes: {', '.join(FIVE_CLASSES)}."
    )
