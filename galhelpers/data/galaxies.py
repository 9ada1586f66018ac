"""One shape for every set of galaxies: a catalog, image files, and what people said of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes


@dataclass
class GalaxySet:
    """Galaxies with images and labels, whatever place they came from.

    Attributes
    ----------
    name
        Name in the manifest.
    catalog
        One row a galaxy: ``id`` (text), ``file`` (path of the image; empty in a data set without
        images), ``class_id`` (0-4, or -1 where no class was agreed on), ``class_name``, and
        ``ra``, ``dec`` (degrees) where known. A data set with labels of its own kind has also
        ``label`` (int, -1 for none) and ``label_name``.
    fractions
        The 37 cumulative Galaxy Zoo 2 vote fractions, columns ``Class1.1`` to ``Class11.6``, row
        by row as ``catalog``; None where the data set has none.
    problems
        What was left out and why: columns ``file`` and ``reason``.
    tables
        Anything more that the source knows, by name (truth, votes of other projects). A table
        without a column ``id`` or ``GalaxyID`` has the rows of ``catalog``.
    """

    name: str
    catalog: pd.DataFrame
    fractions: pd.DataFrame | None = None
    problems: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["file", "reason"]))
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.catalog)

    @property
    def files(self) -> list[Path]:
        """Image files, row by row."""
        return [Path(file) for file in self.catalog["file"]]

    def select(self, rows: Sequence[int] | np.ndarray) -> "GalaxySet":
        """Take some rows (positions, or a boolean mask) of all that goes row by row."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        fractions = None
        if self.fractions is not None:
            fractions = self.fractions.iloc[rows].reset_index(drop=True)
        tables = {
            name: table
            if {"id", "GalaxyID"} & set(table)
            else table.iloc[rows].reset_index(drop=True)
            for name, table in self.tables.items()
        }
        catalog = self.catalog.iloc[rows].reset_index(drop=True)
        return GalaxySet(self.name, catalog, fractions, self.problems, tables, self.provenance)

    def with_class(self) -> "GalaxySet":
        """Keep only the galaxies that the volunteers agreed on: those with a class."""
        return self.select(self.catalog["class_id"].to_numpy() >= 0)

    def sample(self, n: int, seed: int = 0) -> "GalaxySet":
        """Draw ``n`` galaxies (all when there are fewer) without replacement, in order."""
        if n >= len(self):
            return self
        rows = np.random.default_rng(seed).choice(len(self), n, replace=False)
        return self.select(np.sort(rows))

    def class_counts(self) -> pd.Series:
        """Galaxies in each class, by class name, in the order of class numbers."""
        ids = self.catalog["class_id"]
        return pd.Series({name: int((ids == i).sum()) for i, name in enumerate(FIVE_CLASSES)})


def add_classes(catalog: pd.DataFrame, fractions: pd.DataFrame) -> pd.DataFrame:
    """Give a catalog the five classes that follow from its 37 fractions."""
    class_id = select_five_classes(fractions)
    names = np.array([*FIVE_CLASSES, ""])
    return catalog.assign(class_id=class_id, class_name=names[class_id])
