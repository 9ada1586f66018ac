"""Votes of a set of galaxies in one shape, whichever survey they are from."""

import numpy as np
import pandas as pd

from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import load_manifest
from galhelpers.trees import DECALS, GZ2, TREES, Tree

_SIMULATED = "votes"  # the simulated survey's name for its votes on the questions of Galaxy Zoo 2


def votes_of(galaxies: GalaxySet, tree: str | None = None) -> tuple[Tree, np.ndarray]:
    """Give the number of people who chose each answer, galaxy by galaxy.

    Parameters
    ----------
    galaxies
        n galaxies, also after ``select`` or ``sample``.
    tree
        Name of the decision tree whose votes are wanted. By default ``"decals"`` where the set has
        those, else ``"gz2"``, else what there is.

    Returns
    -------
    tree, votes
        The decision tree, and float64 (n, n_answers) row by row as ``galaxies.catalog``: the
        columns are ``tree.columns``. Weighted votes are no whole numbers.

    Raises
    ------
    KeyError
        For a tree that there is not.
    ValueError
        Where the set has no votes, or none of this tree, and for a galaxy without votes; the
        message says which data sets have votes.
    """
    if tree is not None and tree not in TREES:
        raise KeyError(f"There is no tree {tree!r}. Trees: {', '.join(TREES)}.")
    there = {
        name: table
        for name in (DECALS.name, GZ2.name, *TREES)
        if (table := _table(galaxies, name)) is not None
    }
    if (tree is None and not there) or (tree is not None and tree not in there):
        raise ValueError(_what_is_missing(galaxies, tree, list(there)))
    name = tree or next(iter(there))
    votes = np.asarray(TREES[name].array(_in_order(there[name], galaxies)), dtype=np.float64)
    return TREES[name], votes


def _table(galaxies: GalaxySet, name: str) -> pd.DataFrame | None:
    other = galaxies.tables.get(_SIMULATED) if name == GZ2.name else None
    return galaxies.tables.get(f"votes_{name}", other)


def _in_order(table: pd.DataFrame, galaxies: GalaxySet) -> pd.DataFrame:
    """Put a table that names its galaxies into the catalogue's order; others have it already."""
    names = next((table[name].astype(str) for name in ("GalaxyID", "id") if name in table), None)
    if names is None:
        return table
    rows = pd.Index(names).get_indexer(pd.Index(galaxies.catalog["id"]))
    if (rows < 0).any():
        first = galaxies.catalog["id"][rows < 0].iloc[0]
        raise ValueError(
            f"{galaxies.name}: {(rows < 0).sum():,} of {len(rows):,} galaxies have no row in the "
            f"table of votes, the first is {first}. Load the data set anew."
        )
    return table.iloc[rows]


def _what_is_missing(galaxies: GalaxySet, tree: str | None, there: list[str]) -> str:
    wanted = "votes" if tree is None else f"votes on the questions of {tree!r}"
    entries = [e for e in load_manifest().datasets if e.has_votes and e.name != galaxies.name]
    if there:
        has = f"It has those of {', '.join(there)}."
    elif galaxies.fractions is not None or any("fractions" in name for name in galaxies.tables):
        has = (
            "It has fractions only: how many people stand behind each of them is not known, and "
            "that is what a likelihood of votes needs."
        )
    else:
        has = "It has classes only."
    return (
        f"{galaxies.name} has no {wanted}. {has} Data sets with votes: "
        f"{', '.join(f'{e.name} ({e.tree})' for e in entries)}."
    )
