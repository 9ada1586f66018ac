"""What surveys list: the same galaxies, slightly misplaced, some missing, some that are others.

Truth tells which entries are the same object, so that a cross-match can be checked.
"""

from zlib import crc32

import numpy as np
import pandas as pd

from galhelpers.survey.galaxies import generator
from galhelpers.survey.telescopes import Telescope, get_telescope


def catalog_of(
    truth: pd.DataFrame, telescope: str | Telescope, seed: int = 0, background: bool = False
) -> pd.DataFrame:
    """List what a survey's catalog holds of these galaxies: most of them, slightly misplaced.

    Parameters
    ----------
    truth : pandas.DataFrame
        Of ``sample_galaxies``: columns id, ra and dec (degrees).
    telescope : str or Telescope
        Survey; sets footprint, completeness, astrometric scatter and spurious entries.
    seed : int
        Seed of the errors.
    background : bool
        Whether to list, besides, the background galaxies within an arcminute of each galaxy that
        are brighter than ``catalog_limit``: a shallower survey misses some, so that a deeper
        one's may be taken for the partner of a galaxy that has none.

    Returns
    -------
    pandas.DataFrame
        id, ra, dec (degrees). ``id`` is the number of the true object, the truth to check a
        cross-match against. A background galaxy has a negative one, the same in every catalog; a
        false entry a negative one that no other entry has.
    """
    scope = get_telescope(telescope)
    false_code = crc32(scope.name.encode()) % 1000
    rows: list[tuple[int, float, float]] = []
    for index, ra, dec in zip(truth["id"], truth["ra"], truth["dec"], strict=True):
        draws = generator(seed, f"catalogue {scope.name}", int(index))
        east, north = draws.normal(0, scope.astrometric_scatter / 3600, 2)
        seen, false = draws.random(2)
        angle, distance = draws.uniform(0, 2 * np.pi), draws.uniform(5, 40) / 3600
        if not _inside(scope, ra, dec):
            continue
        stretch = 1 / np.cos(np.deg2rad(dec))  # a degree of RA spans less sky far from the equator
        if seen < scope.completeness:
            rows.append((int(index), ra + east * stretch, dec + north))
        if false < scope.spurious:
            # A piece of a galaxy, or the ghost of a star, cataloged as a galaxy of its own.
            east, north = distance * np.cos(angle), distance * np.sin(angle)
            rows.append((-1000 * int(index) - false_code - 1, ra + east * stretch, dec + north))
        if background:
            for number, east, north, mag in _background(seed, int(index)):
                shift = draws.normal(0, scope.astrometric_scatter / 3600, 2)
                if mag < scope.catalog_limit and draws.random() < scope.completeness:
                    place = (ra + (east + shift[0]) * stretch, dec + north + shift[1])
                    rows.append((number, *place))
    return pd.DataFrame(rows, columns=["id", "ra", "dec"]).astype({"id": "int64"})


_BACKGROUND = 0.28 * np.pi
"""Galaxies brighter than r = 20 within an arcminute (Yasuda et al. 2001, AJ 122, 1104)."""


def _background(seed: int, index: int) -> list[tuple[int, float, float, float]]:
    """Galaxies behind one: number, degrees east and north of it, r magnitude; same for all."""
    draws = generator(seed, "background", index)
    u = draws.random((int(draws.poisson(_BACKGROUND)), 3))
    distance, angle = np.sqrt(u[:, 0]) / 60, 2 * np.pi * u[:, 1]
    mag = 20 + 2 * np.log10(1 - u[:, 2])  # counts rise as 10^(0.5 mag)
    first = -(10**12) - 1000 * index  # out of the reach of false entries
    numbers = first - np.arange(len(u))
    columns = (numbers, distance * np.cos(angle), distance * np.sin(angle), mag)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _inside(scope: Telescope, ra: float, dec: float) -> bool:
    ra_low, ra_high, dec_low, dec_high = scope.footprint
    return ra_low <= ra <= ra_high and dec_low <= dec <= dec_high
