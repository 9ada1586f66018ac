"""Tables of positions on the sky, whoever made them: the columns that an image service needs."""

import hashlib
from pathlib import Path

import pandas as pd

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.votes.catalogue_files import degrees, read_table
from galhelpers.paths import short

NAMES = {
    "id": ("id", "galaxyid", "objid", "dr7objid", "iauname", "asset_id", "id_str", "name"),
    "ra": ("ra", "raj2000", "_raj2000", "radeg"),
    "dec": ("dec", "de", "dej2000", "_dej2000", "dedeg"),
    "petro_r90": ("petro_r90", "petror90_r", "petror90", "petro90_r"),
}
"""Names, in lower case, by which published tables call each column; the first present is taken."""


def read_positions(path: Path) -> pd.DataFrame:
    """Read identifiers and positions of galaxies.

    Parameters
    ----------
    path
        CSV, FITS, Parquet or VOTable with columns for identifier, ``ra`` and ``dec`` (degrees, or
        sexagesimal text with hours of ``ra``), and if there is one for the Petrosian radius
        (arcsec), by one of ``NAMES``.

    Returns
    -------
    DataFrame
        ``id`` (text), ``ra``, ``dec`` (degrees), ``petro_r90`` (arcsec) where given, and whatever
        else the table holds. Columns called ``file`` or ``class_name`` get ``my_`` in front, and so
        does ``class_id`` unless it holds the course's classes (0-4, -1 for none).

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such file, or it lacks a column.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no table {path}: give the path of a file with positions."
        )
    table = read_table(path)
    present = {str(name).lower(): name for name in table.columns}
    chosen = {}
    for column, names in NAMES.items():
        found = next((present[name] for name in names if name in present), None)
        if found is not None:
            chosen[found] = column
        elif column != "petro_r90":
            raise ValueError(
                f"{short(path)} should have a column {' or '.join(names)}; "
                f"it has {', '.join(map(str, table.columns[:12]))}."
            )
    # Its own columns of these names mean something else here.
    numbers = pd.to_numeric(table.get("class_id", pd.Series(dtype=float)), errors="coerce")
    ours = len(numbers) > 0 and bool(numbers.isin(range(-1, len(FIVE_CLASSES))).all())
    taken = ("file", "class_name") if ours else ("file", "class_id", "class_name")
    table = table.rename(columns=chosen | {name: f"my_{name}" for name in taken if name in table})
    if table.empty:
        raise ValueError(f"{short(path)} has no rows.")
    ra, dec = degrees(table["ra"], hours=True), degrees(table["dec"], hours=False)
    return table.assign(id=table["id"].astype(str), ra=ra, dec=dec)


def in_stable_order(catalog: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Shuffle galaxies by a hash of their names: the first 100 are among the first 1,000."""
    names = catalog["id"].astype(str)
    keys = [hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest() for name in names]
    order = pd.Series(keys, index=catalog.index).sort_values().index
    return catalog.loc[order].reset_index(drop=True)
