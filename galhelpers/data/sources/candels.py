"""CANDELS in GOODS-S: the experts' classifications and stamps from the mosaic they looked at.

Kartaltepe et al. 2015, ApJS 221, 11; tables: VizieR J/ApJS/221/11. Column names, units and the
definition of the fractions are those of its ReadMe.
"""

import gzip
import zlib
from pathlib import Path
from typing import Literal

import pandas as pd
from astropy.io import ascii as astropy_ascii

from galhelpers.data.sources.fits_stamps import F160W_STRETCH, Stretch, cut_stamps
from galhelpers.paths import is_portable, short
from galhelpers.trees import CANDELS

__all__ = [
    "F160W_STRETCH",
    "TICKS",
    "Stretch",
    "cut_stamps",
    "expert_fractions",
    "read_expert_table",
]

TICKS = ("ClSph", "ClDk", "ClIr", "ClPS", "ClUn")
"""Columns of the five main classes, in the order of the tree ``CANDELS``."""

_RENAMED = {"RAdeg": "ra", "DEdeg": "dec", "Hmag": "h_mag"}


def read_expert_table(table: str | Path, readme: str | Path) -> pd.DataFrame:
    """Read the individual classifications: one row for each galaxy that each expert looked at.

    Parameters
    ----------
    table
        ``table2.dat`` or ``table2.dat.gz``; the description is looked up by this name.
    readme
        The ``ReadMe`` of the same VizieR folder: it says which column stands where.

    Returns
    -------
    DataFrame
        ``ID`` (``GDS_deep2_10000``: field, area with depth, number), ``ra``, ``dec`` (degrees,
        J2000), ``h_mag`` (F160W), the ticks ``ClSph``, ``ClDk``, ``ClIr``, ``ClPS``, ``ClUn`` (0 or
        1; an expert may tick several), ``Depth`` (2, 4 or 10 epochs), ``IDCl`` (number of the
        expert), and all further columns as published.

    Raises
    ------
    FileNotFoundError
        When one of the files is missing.
    ValueError
        When they do not belong together, or break a rule; the message says where.
    """
    table, readme = Path(table), Path(readme)
    for path in (table, readme):
        if not path.is_file():
            raise FileNotFoundError(
                f"Expected {short(path)}, found none. Download it from VizieR, J/ApJS/221/11."
            )
    try:
        found = astropy_ascii.read(str(table), format="cds", readme=str(readme)).to_pandas()
    except (ValueError, EOFError, OSError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(
            f"{short(table)} should be the table that {short(readme)} describes: {error}. Take "
            "table2.dat (or .gz) and ReadMe from the same VizieR folder, under these names."
        ) from error
    needed = ["ID", *_RENAMED, *TICKS, "Depth", "IDCl"]
    absent = [name for name in needed if name not in found]
    if absent:
        raise ValueError(
            f"{short(table)} should have the columns {', '.join(needed)}; it lacks "
            f"{', '.join(absent)}. Is it table2, the individual classifications?"
        )
    # Unnamed columns repeat "epoch" and "GDS_" in every row.
    found = found[[name for name in found if not name.startswith("---")]]
    found = found.rename(columns=_RENAMED).assign(ID="GDS_" + found["ID"].astype(str))
    _check_rows(found, table)
    return found


def _check_rows(found: pd.DataFrame, table: Path) -> None:
    ticks = found[list(TICKS)]
    rules = {
        f"ticks {', '.join(TICKS)} that are 0 or 1": ticks.isin([0, 1]).all(axis=1),
        "ra and dec in degrees": found["ra"].between(0, 360) & found["dec"].between(-90, 90),
        "identifiers of letters and digits": found["ID"].map(is_portable),
    }
    for rule, kept in rules.items():
        if not kept.all():
            row = int((~kept).to_numpy().argmax())
            raise ValueError(
                f"{short(table)}: expected {rule}; {(~kept).sum()} of {len(found):,} rows are "
                f"other, the first is row {row + 1}: "
                f"{found.iloc[row][['ID', 'ra', 'dec', *TICKS]].to_dict()}. Download it again."
            )


def expert_fractions(
    classifications: pd.DataFrame,
    min_classifiers: int = 3,
    *,
    depth: int = 2,
    share_of: Literal["ticks", "classifiers"] = "ticks",
) -> pd.DataFrame:
    """Give each galaxy's five fractions from what the experts ticked.

    The publication counts the share of the classifiers who ticked a class; as they may tick
    several, the five shares sum to 1 or more (ReadMe of J/ApJS/221/11, on table3). Networks that
    predict "the five fractions" learn shares of all ticks, which sum to 1: so it is in the table
    of 7,567 galaxies that goes with Perez-Carrasco et al. 2019 (arXiv:1810.07857), whose fractions
    sum to 1 in every row and come in sevenths, ninths and elevenths although three to five people
    looked at most galaxies. That this is its recipe is inferred from its numbers; it is not
    documented.

    Parameters
    ----------
    classifications
        What ``read_expert_table`` gives.
    min_classifiers
        Leave out galaxies with fewer classifications.
    depth
        Epochs of the mosaic that was looked at: 2 (the whole field), 4 or 10 (its deep part).
    share_of
        ``"ticks"``: five shares that sum to 1. ``"classifiers"``: as published.

    Returns
    -------
    DataFrame
        One row a galaxy, sorted by ``ID``: ``ID``, ``ra``, ``dec`` (degrees), ``n_classifiers``,
        ``h_mag``, ``p_smooth`` (spheroid), ``p_features`` (disk), ``p_irregular``,
        ``p_point_source``, ``p_unclassifiable``. Galaxies without a single tick are left out.

    Raises
    ------
    ValueError
        When no galaxy is left.
    """
    if share_of not in ("ticks", "classifiers"):
        raise ValueError(f"share_of must be 'ticks' or 'classifiers', got {share_of!r}.")
    depths = sorted(classifications["Depth"].unique().tolist())
    galaxies = classifications[classifications["Depth"] == depth].groupby("ID", sort=True)
    ticks = galaxies[list(TICKS)].sum()
    known = galaxies[["ra", "dec", "h_mag"]].first()
    known.insert(2, "n_classifiers", galaxies.size())
    total = ticks.sum(axis=1)
    kept = (known["n_classifiers"] >= min_classifiers) & (total > 0)
    if not kept.any():
        raise ValueError(
            f"Expected galaxies with {min_classifiers} or more classifications at a depth of "
            f"{depth} epochs, found none. Depths in the table: {depths}; most classifications of "
            f"one galaxy: {known['n_classifiers'].max()}."
        )
    whole = total if share_of == "ticks" else known["n_classifiers"]
    fractions = ticks.div(whole, axis=0).set_axis(CANDELS.published, axis=1)
    return pd.concat([known, fractions], axis=1)[kept].reset_index()
