"""Image services: where they are, what they can give, and how they want to be asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galhelpers.data.web.services import service_address


@dataclass(frozen=True)
class CutoutService:
    """An image service: where it is, what it can give, and what it calls things.

    ``service`` is a name under ``services`` in the manifest. Pixels are those of a frame's side,
    scales are in arcsec per pixel. ``release`` (SDSS) or ``layer`` (Legacy Surveys) is the default
    one; ``bands`` the planes of a FITS image.
    """

    name: str
    service: str
    path: str
    credit: str
    licence: str
    min_pixels: int
    max_pixels: int
    default_pixel_scale: float
    pixel_scales: tuple[float, float]
    scale_name: str
    size_names: tuple[str, ...]
    release: int | None = None
    layer: str | None = None
    bands: str = ""
    suffix: str = ".jpg"


_LEGACY = {
    "service": "legacy_survey",
    "credit": "DESI Legacy Imaging Surveys (acknowledgement text: legacysurvey.org)",
    "licence": "Their acknowledgement is required; whether there is a licence is unverified.",
    "min_pixels": 16,
    "max_pixels": 3000,
    "default_pixel_scale": 0.262,
    "pixel_scales": (0.01, 60.0),
    "scale_name": "pixscale",
    "size_names": ("size",),
    "layer": "ls-dr9",
}

SERVICES: dict[str, CutoutService] = {
    "sdss": CutoutService(
        name="sdss",
        service="sdss",
        path="/dr{release}/SkyServerWS/ImgCutout/getjpeg",
        credit="Sloan Digital Sky Survey",
        licence="SDSS image-use policy: CC BY with credit.",
        min_pixels=64,
        max_pixels=2048,
        default_pixel_scale=0.396127,
        pixel_scales=(0.015, 60.0),
        scale_name="scale",
        size_names=("width", "height"),
        release=17,
    ),
    "legacy": CutoutService(name="legacy", path="/viewer/cutout.jpg", **_LEGACY),  # type: ignore[arg-type]
    "legacy_fits": CutoutService(
        name="legacy_fits",
        path="/viewer/cutout.fits",
        bands="grz",
        suffix=".fits",
        **_LEGACY,  # type: ignore[arg-type]
    ),
}
"""Image services by name. Limits of pixels and scales are the services' own where they state any:
SDSS https://skyserver.sdss.org/dr18/help/docs/api.aspx, Legacy Surveys github:legacysurvey/imagine.
"""


def get_service(name: str) -> CutoutService:
    """Give a service by its name.

    Raises
    ------
    ValueError
        For a name that is not in `SERVICES`.
    """
    if name not in SERVICES:
        raise ValueError(f"Unknown image service {name!r}. Expected one of {', '.join(SERVICES)}.")
    return SERVICES[name]


def gz2_pixel_scale(petro_r90: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel scale of Galaxy Zoo 2's pictures, in arcsec per pixel: 0.02 petroR90_r.

    Every galaxy then fills the same part of its frame: 424 px are 8.48 times the radius.

    Parameters
    ----------
    petro_r90 : array (n,)
        Radius that holds 90 % of the Petrosian flux in the r band, in arcsec.

    References
    ----------
    Willett et al. 2013, MNRAS 435, 2835, section 2.
    """
    return 0.02 * np.asarray(petro_r90, dtype=np.float64)


def cutout_params(
    service: str,
    ra: float,
    dec: float,
    pixel_scale: float,
    size: int,
    layer: str | None = None,
) -> dict[str, str]:
    """Say in a service's own words what is wanted: the parameters of one request.

    Parameters
    ----------
    service
        A name in `SERVICES`.
    ra, dec
        Centre of the frame, ICRS, in degrees.
    pixel_scale
        In arcsec per pixel.
    size
        Width and height in pixels.
    layer
        Which survey and release (Legacy Surveys only); its default is in `SERVICES`.
    """
    spec = get_service(service)
    # Six decimals are 4 milliarcsec; 359.9999999 must not become 360.
    params = {"ra": f"{round(ra, 6) % 360:.6f}", "dec": f"{dec:.6f}"}
    params[spec.scale_name] = f"{pixel_scale:.6g}"
    params |= dict.fromkeys(spec.size_names, str(size))
    if spec.layer:
        params["layer"] = layer or spec.layer
    if spec.bands:
        params["bands"] = spec.bands
    return params


def cutout_url(service: str, release: int | None = None) -> str:
    """Give the address of a service, without parameters; ``release`` is the SDSS's."""
    spec = get_service(service)
    return service_address(spec.service) + spec.path.format(release=release or spec.release)
