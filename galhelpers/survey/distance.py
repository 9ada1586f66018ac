"""The same galaxies further away: what redshift does to size and brightness.

In a survey, distant galaxies are other galaxies than near ones. Here the very same galaxy can be
put at any redshift, which no real survey offers: what changes in its votes is then due to distance
alone.
"""

import numpy as np
import pandas as pd

HUBBLE_CONSTANT = 70.0
"""km / s / Mpc."""
OMEGA_MATTER = 0.3
"""Share of matter; the rest is a cosmological constant (flat space)."""
MAX_REDSHIFT = 10.0


def moved_to_redshift(truth: pd.DataFrame, redshift: float | np.ndarray) -> pd.DataFrame:
    """Give the same galaxies as they would appear at another redshift.

    Angular size goes with 1 / D_A, flux with 1 / D_L^2. Since D_L = (1 + z)^2 D_A, surface
    brightness falls as (1 + z)^-4 (Tolman 1930, PNAS 16, 511; distances: Hogg 1999,
    astro-ph/9905116; flat Lambda-CDM with H0 = 70 km/s/Mpc and 0.3 of matter, by astropy).

    What stays: shape, colours, intrinsic size and luminosity. So there is neither evolution nor a
    K-correction: the table's magnitudes and colours go on meaning the bands that they meant. Where
    a redder filter sees the light that left the galaxy in the r band (F160W at a redshift of 1.5),
    that is close to what would be seen. Stars (kind "artifact") are moved like everything else.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``: petro_r90 (arcsec), mag and redshift are used.
    redshift : float or numpy.ndarray
        New redshift, one for all or (n,); above 0, at most 10.

    Returns
    -------
    pandas.DataFrame
        A copy with new ``petro_r90``, ``mag`` and ``redshift``. Where the redshift is the galaxy's
        own, it is unchanged up to rounding. Moving twice is the same as moving once.

    Raises
    ------
    ValueError
        For a redshift, old or new, that is not above 0 and at most 10, or a wrong number of them.
    """
    old = truth["redshift"].to_numpy(dtype=np.float64)
    new = np.asarray(redshift, dtype=np.float64)
    if new.shape not in ((), old.shape):
        raise ValueError(
            f"Expected one redshift, or one for each of the {len(truth)} galaxies, "
            f"got an array of shape {new.shape}."
        )
    new = np.broadcast_to(new, old.shape)
    _check("new redshift", new)
    _check("redshift in the table", old)
    nearer_by = _luminosity_distance(old) / _luminosity_distance(new)
    dimmer_by = (1 + new) / (1 + old)  # D_A = D_L / (1 + z)^2
    return truth.assign(
        petro_r90=truth["petro_r90"].to_numpy() * nearer_by * dimmer_by**2,
        mag=truth["mag"].to_numpy() - 5 * np.log10(nearer_by),
        redshift=new,
    )


def _check(name: str, redshift: np.ndarray) -> None:
    wrong = ~((redshift > 0) & (redshift <= MAX_REDSHIFT))  # NaN is wrong, too
    if wrong.any():
        raise ValueError(
            f"Expected each {name} to be above 0 and at most {MAX_REDSHIFT:g}, "
            f"got {redshift[wrong][0]:g} in row {np.flatnonzero(wrong)[0]} (counted from 0)."
        )


def _luminosity_distance(redshift: np.ndarray) -> np.ndarray:
    """Megaparsecs."""
    # Imported here: it takes about a second, and few need it.
    from astropy.cosmology import FlatLambdaCDM

    cosmology = FlatLambdaCDM(H0=HUBBLE_CONSTANT, Om0=OMEGA_MATTER)
    return np.asarray(cosmology.luminosity_distance(redshift).to_value("Mpc"), dtype=np.float64)
