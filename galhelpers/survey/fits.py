"""Simulated images as FITS files with a world coordinate system, as archives hand them out.

FITS counts rows from the bottom, pictures from the top: rows are turned over on the way to the file
and back, so that a FITS viewer shows the galaxy as the picture does, north up and east to the left.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from galhelpers.paths import atomic_write
from galhelpers.survey.galaxies import SURVEY_VERSION
from galhelpers.survey.telescopes import Telescope, get_telescope

ZERO_POINT = 22.5
"""AB magnitude of a flux of 1 nanomaggie."""


def write_fits(
    path: str | Path,
    image: np.ndarray,
    galaxy: pd.Series,
    telescope: str | Telescope,
    field_of_view: float,
    seed: int = 0,
) -> None:
    """Write the image of one galaxy: an extension for each band, named after it.

    Parameters
    ----------
    path : str or Path
        File to write, at once or not at all.
    image : numpy.ndarray
        (bands, size, size) nanomaggies a pixel, as ``linear_images`` gives it for one galaxy, in
        the order of the telescope's bands.
    galaxy : pandas.Series
        Row of ``sample_galaxies``: ``id``, ``ra`` and ``dec`` (degrees, of the image's middle).
    telescope : str or Telescope
        Who took it.
    field_of_view : float
        Width of the image in arcsec.
    seed : int
        Seed of the survey, for the header.

    Raises
    ------
    ValueError
        For an image of another shape, or a width that is not positive.
    """
    scope = get_telescope(telescope)
    image = np.asarray(image, dtype=np.float32)
    if image.ndim != 3 or len(image) != len(scope.bands) or image.shape[1] != image.shape[2]:
        raise ValueError(
            f"Expected an image of shape ({len(scope.bands)}, size, size) for the bands "
            f"{', '.join(scope.bands)} of {scope.name}, got {image.shape}. "
            "Give linear_images(...)[i].numpy() of one galaxy."
        )
    if not field_of_view > 0:
        raise ValueError(f"Expected a field of view above 0 arcsec, got {field_of_view}.")
    scale = field_of_view / image.shape[-1]
    position = sky_of(float(galaxy["ra"]), float(galaxy["dec"]), scale, image.shape[-1])
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "TELESCOP": (scope.name, "simulated telescope"),
            "OBJECT": (str(int(galaxy["id"])), "number of the galaxy in its seed"),
            "SURVEYV": (SURVEY_VERSION, "version of the simulated survey"),
            "SEED": (seed, "seed of the simulated survey"),
            "SIMULATE": (True, "not an observation"),
        }
    )
    extensions = []
    for plane, band in zip(image, scope.bands, strict=True):
        extension = fits.ImageHDU(plane[::-1], position.to_header(), name=band)
        extension.header.update(
            {
                "FILTER": (band, "filter"),
                "BUNIT": ("nanomaggy", "flux of AB magnitude 22.5"),
                "MAGZERO": (ZERO_POINT, "AB magnitude of a flux of 1"),
                "PIXSCALE": (scale, "arcsec a pixel"),
            }
        )
        extensions.append(extension)
    with atomic_write(path) as temporary:
        fits.HDUList([primary, *extensions]).writeto(temporary, overwrite=True, checksum=True)


def sky_of(ra: float, dec: float, scale: float, size: int) -> WCS:
    """Tangential projection about the middle of a square image, north up, east to the left.

    Parameters
    ----------
    ra, dec : float
        Degrees, of the middle.
    scale : float
        Arcsec a pixel.
    size : int
        Width and height in pixels.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(size + 1) / 2] * 2  # FITS counts from 1, and a pixel's centre is whole
    wcs.wcs.cd = np.array([[-scale, 0.0], [0.0, scale]]) / 3600
    wcs.wcs.radesys = "ICRS"
    wcs.array_shape = (size, size)
    return wcs
