"""Telescopes as data: how sharp, how deep and in which colours a survey sees the sky."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
import pandas as pd

from galhelpers.survey.galaxies import generator


@dataclass(frozen=True)
class Telescope:
    """One survey.

    Attributes
    ----------
    pixel_scale : float
        Arcsec a pixel of the survey's own images.
    psf_fwhm, psf_scatter : float
        Median full width at half maximum of the point spread function in arcsec, and the standard
        deviation of its logarithm from field to field.
    sky_noise : tuple of float
        Standard deviation of the sky in one native pixel, a band, in nanomaggies (a flux of 1 is
        a magnitude of 22.5).
    electrons : float
        Electrons that one nanomaggy leaves: sets the Poisson noise of the sources.
    bands : tuple of str
        Filters shown as red, green and blue, of g, r, i and z.
    scales : tuple of float
        Factors of red, green and blue before the stretch, which balance the colours.
    brightness, softening : float
        Lupton's stretch ``asinh(softening * brightness * I) / softening``, with I in nanomaggies
        an arcsec^2 (Lupton et al. 2004, PASP 116, 133).
    black : tuple of float
        Level of the sky in the picture, red, green and blue, in units of the mean sky noise.
    band_shift : float
        Standard deviation, in arcsec, of how far apart the bands lie.
    quality : int
        JPEG quality of the survey's image server (0-95).
    footprint : tuple of float
        RA and Dec limits in degrees: (ra low, ra high, dec low, dec high).
    astrometric_scatter : float
        Error of a catalogued position in arcsec, each direction.
    completeness, spurious : float
        Share of galaxies catalogued, and false entries as a share of them.
    """

    name: str
    pixel_scale: float
    psf_fwhm: float
    psf_scatter: float
    sky_noise: tuple[float, float, float]
    electrons: float
    bands: tuple[str, str, str]
    scales: tuple[float, float, float]
    brightness: float
    softening: float
    black: tuple[float, float, float]
    band_shift: float
    quality: int
    footprint: tuple[float, float, float, float]
    astrometric_scatter: float
    completeness: float
    spurious: float


TELESCOPES = {
    "sdss": Telescope(
        name="sdss",
        pixel_scale=0.396,  # York et al. 2000, AJ 120, 1579
        psf_fwhm=1.32,
        psf_scatter=0.10,
        # Fitted to the pictures of Galaxy Zoo 2: a third of the noise of a calibrated SDSS image,
        # since its server smooths, and the contrast that goes with it.
        sky_noise=(0.0100, 0.0075, 0.0048),
        electrons=950.0,
        bands=("i", "r", "g"),
        scales=(0.845, 1.0, 1.5),
        brightness=0.97,
        softening=8.0,
        black=(-0.02, 0.04, -0.2),
        band_shift=0.05,
        quality=72,
        footprint=(110.0, 250.0, -5.0, 60.0),
        astrometric_scatter=0.06,
        completeness=0.97,
        spurious=0.02,
    ),
    "decals": Telescope(
        name="decals",
        pixel_scale=0.262,  # Dey et al. 2019, AJ 157, 168
        psf_fwhm=1.18,
        psf_scatter=0.08,
        sky_noise=(0.0050, 0.0026, 0.0017),
        electrons=6000.0,
        bands=("z", "r", "g"),
        scales=(0.68, 1.0, 1.5),
        brightness=1.4,
        softening=8.0,
        black=(0.4, 0.4, 0.4),
        band_shift=0.02,
        quality=85,
        footprint=(120.0, 260.0, -5.0, 34.0),
        astrometric_scatter=0.03,
        completeness=0.98,
        spurious=0.01,
    ),
}
"""Telescopes by name. A new survey is a new entry."""


def get_telescope(telescope: str | Telescope) -> Telescope:
    """Give a telescope by name, or the one given.

    Raises
    ------
    ValueError
        For a name that is not in ``TELESCOPES``; lists those that are.
    """
    if isinstance(telescope, Telescope):
        return telescope
    if telescope not in TELESCOPES:
        raise ValueError(f"Expected a telescope of {sorted(TELESCOPES)}, got {telescope!r}.")
    return TELESCOPES[telescope]


def catalogue_of(truth: pd.DataFrame, telescope: str | Telescope, seed: int = 0) -> pd.DataFrame:
    """List what a survey's catalogue holds of these galaxies: most of them, slightly misplaced.

    Parameters
    ----------
    truth : pandas.DataFrame
        Of ``sample_galaxies``: columns id, ra and dec (degrees).
    telescope : str or Telescope
        Survey; sets footprint, completeness, astrometric scatter and spurious entries.
    seed : int
        Seed of the errors.

    Returns
    -------
    pandas.DataFrame
        id, ra, dec (degrees). ``id`` is the number of the true galaxy, the truth to check a
        cross-match against; a false entry has a negative one that no other entry has.
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
            # A piece of a galaxy, or the ghost of a star, catalogued as a galaxy of its own.
            east, north = distance * np.cos(angle), distance * np.sin(angle)
            rows.append((-1000 * int(index) - false_code - 1, ra + east * stretch, dec + north))
    return pd.DataFrame(rows, columns=["id", "ra", "dec"]).astype({"id": "int64"})


def _inside(scope: Telescope, ra: float, dec: float) -> bool:
    ra_low, ra_high, dec_low, dec_high = scope.footprint
    return ra_low <= ra <= ra_high and dec_low <= dec <= dec_high
