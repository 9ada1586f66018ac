"""A deep field: many galaxies in a small patch of sky, so that partners have strangers nearby.

In the wide survey galaxies are so thinly spread that almost any limit finds the partners in two
catalogs. Here it does not.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from galhelpers.survey.catalogs import catalog_of
from galhelpers.survey.telescopes import Telescope, get_telescope

_WHOLE_SKY = (-360.0, 360.0, -90.0, 90.0)


def deep_field(
    truth: pd.DataFrame,
    ra: float = 0.0,
    dec: float = 20.0,
    per_square_degree: float = 10_000.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Move galaxies into one square field, everything else about them unchanged.

    Parameters
    ----------
    truth : pandas.DataFrame
        Rows of ``sample_galaxies``.
    ra, dec : float
        Centre of the field in degrees; not near a pole.
    per_square_degree : float
        Galaxies in a square degree: the more galaxies, the larger the field.
    seed : int
        Seed of the positions, which are uniform in the field.

    Returns
    -------
    pandas.DataFrame
        The same rows with other ``ra`` (may be below 0 or above 360) and ``dec``, in degrees.

    Raises
    ------
    ValueError
        For a density that is not positive, or a field that comes within a degree of a pole.
    """
    if not per_square_degree > 0:
        raise ValueError(f"Expected more than 0 galaxies a square degree, got {per_square_degree}.")
    half = np.sqrt(len(truth) / per_square_degree) / 2
    if abs(dec) + half > 89:
        raise ValueError(f"Expected a field away from the poles, got Dec {dec} +- {half:.1f}.")
    east, north = np.random.default_rng(seed).uniform(-half, half, (2, len(truth)))
    declination = dec + north
    # A degree of RA spans less sky far from the equator.
    return truth.assign(ra=ra + east / np.cos(np.radians(declination)), dec=declination)


def listed_by(
    field: pd.DataFrame,
    telescope: str | Telescope,
    seed: int = 0,
    astrometric_scatter: float | None = None,
) -> pd.DataFrame:
    """List what a survey that covers the whole sky finds in a field, background galaxies included.

    Parameters
    ----------
    field : pandas.DataFrame
        Of ``deep_field``.
    telescope : str or Telescope
        Whose completeness, false entries and limit hold.
    seed : int
        Seed of the errors.
    astrometric_scatter : float, optional
        Scatter of its positions in each direction, in arcsec; by default the telescope's.

    Returns
    -------
    pandas.DataFrame
        As ``catalog_of``, RA from 0 to 360: id (of the true object), ra, dec in degrees.
    """
    scope = replace(get_telescope(telescope), footprint=_WHOLE_SKY)
    if astrometric_scatter is not None:
        name = f"{scope.name}, {astrometric_scatter:g} arcsec"  # other errors than the telescope's
        scope = replace(scope, name=name, astrometric_scatter=astrometric_scatter)
    listed = catalog_of(field, scope, seed, background=True)
    return listed.assign(ra=listed["ra"] % 360)
