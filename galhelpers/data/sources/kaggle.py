"""Kaggle's own layout of the Galaxy Zoo challenge: a folder of JPEGs and a 37-column table."""

from pathlib import Path

import numpy as np
import pandas as pd

from galhelpers.data.galaxies import GalaxySet, add_classes
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.sources.folder import find_folder, read_labels
from galhelpers.paths import short
from galhelpers.trees import TREES

IMAGE_FOLDER = "images_training_rev1"
TABLE = "training_solutions_rev1.csv"


def load_kaggle(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read the challenge's training images and, where present, their 37 vote fractions.

    Without ``training_solutions_rev1.csv`` a ``labels.csv`` with classes serves; the set then has
    no fractions.

    Raises
    ------
    FileNotFoundError, ValueError
        For missing images or labels, and for a table that is not the challenge's.
    """
    folder = find_folder(entry, root, (IMAGE_FOLDER,))
    return read_kaggle_layout(folder, entry.name)


def read_kaggle_layout(folder: Path, name: str) -> GalaxySet:
    """Read a folder in Kaggle's layout; see :func:`load_kaggle`."""
    files = sorted((folder / IMAGE_FOLDER).glob("*.jpg"))
    # Hidden files are what a copy or a killed process left behind.
    images = {path.stem: str(path) for path in files if not path.name.startswith(".")}
    if not images:
        raise FileNotFoundError(f"{short(folder / IMAGE_FOLDER)} holds no .jpg file.")
    fractions = None
    if (folder / TABLE).is_file():
        table = read_solutions(folder / TABLE)
        ids = table["GalaxyID"].astype(str)
        known = ids.isin(images)
        fractions = table.loc[known].drop(columns="GalaxyID").reset_index(drop=True)
        catalog = pd.DataFrame({"id": ids[known].to_numpy()})
        catalog = add_classes(catalog.assign(file=catalog["id"].map(images)), fractions)
    elif (folder / "labels.csv").is_file():
        labels = read_labels(folder / "labels.csv")
        ids = labels["id"]
        known = ids.isin(images)
        catalog = labels[known].reset_index(drop=True)
        catalog["file"] = catalog["id"].map(images)
    else:
        raise FileNotFoundError(
            f"Expected {TABLE} (unpacked from training_solutions_rev1.zip) or labels.csv in "
            f"{short(folder)}, found neither."
        )
    unlabelled = sorted(set(images) - set(ids))
    problems = [(str(folder / IMAGE_FOLDER / f"{i}.jpg"), "row without image") for i in ids[~known]]
    problems += [(images[i], "image without row") for i in unlabelled]
    return GalaxySet(
        name,
        catalog,
        fractions,
        pd.DataFrame(problems, columns=["file", "reason"]),
        provenance={"folder": short(folder)},
    )


def read_solutions(path: Path) -> pd.DataFrame:
    """Read and check the table of 37 cumulative vote fractions.

    Raises
    ------
    ValueError
        For missing columns, repeated identifiers, values outside 0-1 or NaN, or answers that do
        not sum to their parent's share; with the rows concerned.
    """
    table = pd.read_csv(path)
    tree = TREES["gz2"]
    columns = ["GalaxyID", *(tree.published_columns or ())]
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{short(path)} lacks the columns {', '.join(missing)}.")
    table = table[columns]
    repeated = table["GalaxyID"].duplicated()
    if repeated.any():
        raise ValueError(f"{short(path)}: GalaxyID {table['GalaxyID'][repeated].iloc[0]} repeats.")
    values = table[columns[1:]].to_numpy(float)
    bad = ~((values >= 0) & (values <= 1)).all(axis=1)
    if bad.any():
        raise ValueError(
            f"{short(path)}: fractions should lie between 0 and 1; {bad.sum()} rows do not, "
            f"the first in line {int(np.argmax(bad)) + 2}."
        )
    # The published values are rounded; the largest residual of the real table is below 1e-5.
    complaints = tree.check(values, atol=1e-4)
    if complaints:
        raise ValueError(f"{short(path)}: {complaints[0]} ({len(complaints)} complaints in all).")
    return table
