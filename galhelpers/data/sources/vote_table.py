"""A folder of one's own: images beside a table of votes with the columns of Galaxy Zoo 2.

The table is that of Hart et al. 2016 (MNRAS 461, 3663), or any with its columns, and one more that
names an image for each galaxy. Classes and fractions come from the debiased columns; votes are what
people saw, so they come from the weighted ones.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.sources.catalogue import as_galaxies
from galhelpers.data.sources.folder import find_folder, present_images
from galhelpers.data.votes.catalogue_files import column_names, missing_columns
from galhelpers.data.votes.vote_layouts import LAYOUTS
from galhelpers.data.votes.vote_tables import VoteTable, VoteTableError, read_table, read_votes
from galhelpers.paths import short

TABLE = "labels.csv"
LAYOUT = "gz2"


def load_vote_table(entry: DatasetEntry, root: Path) -> GalaxySet:
    """Read images with a table of weighted and debiased vote fractions.

    ``labels.csv`` has ``file`` (relative to the folder), ``asset_id``, ``objid`` or ``dr7objid``
    (the first of them that is there names the galaxies), ``total_classifications`` (volunteers),
    and for each of the 37 answers ``tNN_*_aNN_*_weighted_fraction`` and ``..._debiased``.

    Returns
    -------
    GalaxySet
        ``fractions`` and classes are debiased; the table ``votes_gz2`` has numbers of people as
        floats, see :func:`weighted_votes`. Galaxies whose image is absent are in ``problems``.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder, or none of the images is there.
    galhelpers.data.votes.catalogue_files.VoteTableError
        For missing columns, and for wrong rows, naming up to five.
    """
    folder = find_folder(entry, root, (TABLE,))
    path = folder / TABLE
    missing_columns(["file", LAYOUTS[LAYOUT].people], column_names(path), short(path))
    debiased = read_votes(path, LAYOUT, kind="debiased")
    votes = weighted_votes(read_votes(path, LAYOUT, kind="weighted_fraction"))
    names = read_table(path, ["file"])["file"].astype("string").fillna("")
    files = [str(folder / name) if name else "" for name in names]
    catalog, tables = as_galaxies(debiased, dict(zip(debiased.catalog["id"], files, strict=True)))
    there, problems = present_images(catalog, path)
    fractions = tables.pop(f"fractions_{LAYOUT}")
    provenance = debiased.source | {"folder": short(folder)}
    tables = {f"votes_{LAYOUT}": votes}
    everything = GalaxySet(entry.name, catalog, fractions, problems, tables, provenance)
    return everything.select(there)


def weighted_votes(table: VoteTable) -> pd.DataFrame:
    """Turn weighted fractions into numbers of people, which need not be whole.

    The people who were asked a question are ``n_votes`` times the share led to it, the product of
    the fractions down the tree; an answer has its fraction of them. So the answers of question 1
    sum to ``n_votes``. A question that nobody answered has 0 throughout, even where a few were led
    to it.

    Parameters
    ----------
    table
        Votes of n galaxies, read with ``kind="weighted_fraction"``.

    Returns
    -------
    DataFrame
        float64 (n, n_answers), columns ``table.tree.columns``.

    Raises
    ------
    VoteTableError
        For a galaxy without a number of people.
    """
    people = table.catalog["n_votes"].to_numpy(np.float64)
    wrong = ~((people > 0) & np.isfinite(people))
    if wrong.any():
        row = int(wrong.argmax())
        raise VoteTableError(
            f"{table.source['table']}: expected a number of volunteers above 0 for every galaxy "
            f"(total_classifications), but {wrong.sum():,} of {len(wrong):,} have none, the first "
            f"is {table.catalog['id'].iloc[row]} with {people[row]:g}. Leave such rows out."
        )
    fractions = table.tree.array(table.fractions)
    return pd.DataFrame(people[:, None] * fractions, columns=table.tree.columns)
