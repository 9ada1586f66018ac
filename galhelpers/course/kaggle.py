"""A submission to Kaggle's Galaxy Zoo challenge: ``GalaxyID`` and 37 columns in Kaggle's order."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from galhelpers.messages import public
from galhelpers.paths import UserError
from galhelpers.trees import GZ2

if TYPE_CHECKING:
    from galhelpers.learning.checkpoint import Checkpoint

SHOWN = 10  # galaxies that a message names


def kaggle_columns(checkpoint: "Checkpoint") -> list[str]:
    """Find a network's columns for ``Class1.1`` to ``Class11.6``: shares of all volunteers.

    Raises
    ------
    UserError
        For a network that does not give all 37.
    """
    for name in ("p_{}", "{}_share"):  # tasks "fractions" and "votes"
        columns = [name.format(answer) for answer in GZ2.columns]
        if checkpoint.task != "classes" and set(columns) <= set(checkpoint.columns):
            return columns
    raise UserError(
        f"Expected a network for the {GZ2.n_answers} answers of Galaxy Zoo 2 for --format kaggle, "
        f"got one for {public(checkpoint.task, 40)} with {len(checkpoint.columns)} columns. "
        "Notebook 04 saves such a network as checkpoints/fractions.safetensors of its run folder."
    )


def galaxy_ids(listed: pd.DataFrame) -> pd.Series:
    """Give the ``GalaxyID`` of each picture: the name of its file, else its identifier.

    The name comes first: a table may hold identifiers of another catalogue.

    Raises
    ------
    UserError
        For one that is not a whole number, or that two pictures share.
    """
    stems = listed["file"].str.extract(r"([^/\\]*?)(?:\.[^./\\]*)?$", expand=False)
    number = "[0-9]{1,18}"
    texts = stems.where(stems.str.fullmatch(number), listed["id"].str.strip())
    wrong = listed["file"][~texts.str.fullmatch(number)]
    if len(wrong):
        raise UserError(
            f"Expected every picture to be named after its GalaxyID, as 100018.jpg, but "
            f"{len(wrong)} of {len(listed)} are not: {_some(wrong)}. Rename or leave them out."
        )
    ids = texts.astype(np.int64)
    if ids.duplicated().any():
        twice = listed["file"][ids == ids[ids.duplicated()].iloc[0]]
        raise UserError(
            f"Expected one picture a GalaxyID, but {ids.duplicated().sum()} come again: "
            f"{_some(twice)}. Leave them out."
        )
    return ids


def write_submission(
    tables: Iterator[pa.Table], file: Path, ids: pd.Series, columns: list[str]
) -> None:
    """Write a submission, sorted by ``GalaxyID`` as Kaggle's own files are.

    Parameters
    ----------
    tables
        A row a galaxy: ``file``, ``kind``, ``reason`` and ``columns`` among its columns. ``kind``
        is "error" for an unreadable picture.
    file
        CSV file.
    ids
        ``GalaxyID`` of each row.
    columns
        Those of ``Class1.1`` to ``Class11.6``, in this order.

    Raises
    ------
    UserError
        When a picture is unreadable or has no finite answer: Kaggle takes no submission with gaps.
    """
    table = pa.concat_tables(tables).to_pandas()
    bad = table[table["kind"] == "error"]
    if len(bad):
        raise UserError(
            f"Expected an answer for every picture of a submission, but {len(bad)} of "
            f"{len(table)} have none: {_some(bad['file'] + ' (' + bad['reason'] + ')')}. Replace "
            "them and give the same command again: the others are not read again."
        )
    values = table[columns].set_axis(GZ2.published, axis=1)
    values.insert(0, "GalaxyID", ids.to_numpy())
    values.sort_values("GalaxyID").to_csv(file, index=False)


def _some(values: pd.Series) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(public(value, 150) for value in values.head(SHOWN)) + more
