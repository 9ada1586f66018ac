"""Telescopes as data: how sharp, how deep and in which colours a survey sees the sky.

A new survey is a new entry of ``TELESCOPES``, or a variation of one that is there::

    from dataclasses import replace
    sharper = replace(TELESCOPES["sdss"], name="sharper", psf_fwhm=0.7)
    render(truth, sharper)

Everything that takes a telescope's name takes a ``Telescope`` as well. Noise, seeing and catalog
errors are drawn by ``name``: give a variation a name of its own, or it has the original's weather.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

BANDS = ("g", "r", "i", "z", "h")
"""Filters that galaxies have colours for; h is 1.6 micrometres (HST's F160W)."""

CORRELATED = 1.25
"""Noise of a wide aperture over that of as many independent pixels.

Resampled images share noise between neighbouring pixels, so that an aperture is noisier than its
pixels say; the value is that of the mixing in ``optics``.
"""


def pixel_noise(depth: float, signal_to_noise: float, aperture: float, pixel_scale: float) -> float:
    """Noise of one pixel of a survey that states how deep it is.

    A source of magnitude ``depth`` has the flux ``signal_to_noise`` times the noise of its
    aperture, and that is the noise of a pixel times the root of the number of pixels:
    ``10 ** (0.4 (22.5 - depth)) / signal_to_noise / sqrt(aperture / pixel_scale ** 2)``, less what
    the correlation of pixels adds (``CORRELATED``).

    Parameters
    ----------
    depth : float
        AB magnitude.
    signal_to_noise : float
        At which the depth is stated, 5 or 10 as a rule.
    aperture : float
        Area in arcsec^2. For a depth of point sources ``4 pi (fwhm / 2.355) ** 2``, the area of
        noise behind a Gaussian (King 1983, PASP 95, 163).
    pixel_scale : float
        Arcsec a pixel.

    Returns
    -------
    float
        Standard deviation in nanomaggies.
    """
    noise = 10 ** (0.4 * (22.5 - depth)) / signal_to_noise
    return noise / (aperture / pixel_scale**2) ** 0.5 / CORRELATED


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
        Filters of ``BANDS``: three are shown as red, green and blue, one as grey.
    scales : tuple of float
        Factors of the bands before the stretch, which balance the colours.
    brightness, softening : float
        Lupton's stretch ``asinh(softening * brightness * I) / softening``, with I in nanomaggies
        an arcsec^2 (Lupton et al. 2004, PASP 116, 133).
    black : tuple of float
        Level of the sky in the picture, a band, in units of the mean sky noise.
    band_shift : float
        Standard deviation, in arcsec, of how far apart the bands lie.
    quality : int
        JPEG quality of the survey's image server (0-95).
    footprint : tuple of float
        RA and Dec limits in degrees: (ra low, ra high, dec low, dec high).
    astrometric_scatter : float
        Error of a cataloged position in arcsec, each direction.
    completeness, spurious : float
        Share of galaxies cataloged, and false entries as a share of them.
    catalog_limit : float
        r magnitude of the faintest background galaxies in the catalog.
    white_cores : bool
        Whether each band is cut at full brightness, so that bright centres turn white, or all are
        divided by the brightest, so that they keep their colour.
    picture_noise : float
        Share of the noise that is left in pictures, whose server smooths them.
    psf_beta : float
        Slope of the wings of the point spread function, a Moffat profile.
    psf_ratios : tuple of float
        Its width in each band in units of ``psf_fwhm``; empty: the same in all.
    gradient : float
        Median slope of the sky across a picture, in units of its noise in a native pixel.
    glows : float
        Share of pictures with the scattered light of a bright star.
    pointing : float
        How far pictures miss the galaxy: it lies so many arcsec to the right of the middle, and
        down.
    stored_quality : int
        JPEG quality of the images from which the server cuts and enlarges pictures.
    trails, seams, edges : float
        Share of pictures with a satellite's trail, with a seam between two images, and with the
        edge of a frame.

    Raises
    ------
    ValueError
        For an entry that no telescope can have; says which, and what it should be.
    """

    name: str
    pixel_scale: float
    psf_fwhm: float
    psf_scatter: float
    sky_noise: tuple[float, ...]
    electrons: float
    bands: tuple[str, ...]
    scales: tuple[float, ...]
    brightness: float
    softening: float
    black: tuple[float, ...]
    band_shift: float
    quality: int
    footprint: tuple[float, float, float, float]
    astrometric_scatter: float
    completeness: float
    spurious: float
    catalog_limit: float = 20.0
    white_cores: bool = False
    picture_noise: float = 1.0
    psf_beta: float = 3.5
    psf_ratios: tuple[float, ...] = ()
    gradient: float = 0.09
    glows: float = 0.001
    pointing: float = 0.0
    stored_quality: int = 90
    trails: float = 0.003
    seams: float = 0.0
    edges: float = 0.003

    def __post_init__(self) -> None:
        """Check the numbers, so that a mistake shows here and not as a black picture."""
        if len(self.bands) not in (1, 3) or not set(self.bands) <= set(BANDS):
            self._complain("bands", f"one or three of {', '.join(BANDS)}")
        for name in ("sky_noise", "scales", "black"):
            if len(getattr(self, name)) != len(self.bands):
                self._complain(name, f"{len(self.bands)} numbers, one for each of bands")
        if len(self.psf_ratios) not in (0, len(self.bands)):
            self._complain("psf_ratios", f"no numbers or {len(self.bands)}, one for each of bands")
        positive = ("pixel_scale", "psf_fwhm", "psf_ratios", "electrons", "scales")
        for name in (*positive, "brightness", "softening"):
            if not np.all(np.array(getattr(self, name)) > 0):
                self._complain(name, "above 0")
        not_negative = ("sky_noise", "psf_scatter", "band_shift", "gradient", "spurious")
        for name in (*not_negative, "astrometric_scatter"):
            if not np.all(np.array(getattr(self, name)) >= 0):
                self._complain(name, "0 or more")
        if not self.psf_beta > 1:
            self._complain("psf_beta", "above 1, else a Moffat profile has no total flux")
        for name in ("completeness", "glows", "trails", "seams", "edges"):
            if not 0 <= getattr(self, name) <= 1:
                self._complain(name, "from 0 to 1")
        if not 1 <= self.quality <= 95:
            self._complain("quality", "from 1 to 95, as Pillow advises for JPEG")
        ra_low, ra_high, dec_low, dec_high = self.footprint
        if not (ra_low < ra_high and -90 <= dec_low < dec_high <= 90):
            self._complain("footprint", "(ra low, ra high, dec low, dec high) in degrees")

    @property
    def noise_in_pictures(self) -> tuple[float, ...]:
        """Sky noise as pictures show it, a native pixel and band, in nanomaggies."""
        return tuple(self.picture_noise * noise for noise in self.sky_noise)

    def _complain(self, name: str, expected: str) -> NoReturn:
        raise ValueError(
            f"Telescope {self.name!r}: expected {name} {expected}, got {getattr(self, name)}."
        )


_SMALL_GALAXY = 4 * np.pi * ((1.18 / 2.355) ** 2 + 3 * (0.45 / 1.678) ** 2)
# Area of noise, in arcsec^2, behind an exponential galaxy with a half-light radius of 0.45 arcsec,
# 1.678 scale lengths, seen by DECaLS; both are taken for Gaussians of the same second moments.


TELESCOPES = {
    "sdss": Telescope(
        name="sdss",
        pixel_scale=0.396,  # York et al. 2000, AJ 120, 1579
        psf_fwhm=1.32,
        psf_scatter=0.10,
        # 5 sigma for point sources at i = 22.2, r = 22.7 and g = 23.1 (York et al. 2000).
        sky_noise=(0.0355, 0.0265, 0.0169),
        picture_noise=0.366,  # fitted to pictures of Galaxy Zoo 2, as are contrast and colours
        electrons=950.0,
        bands=("i", "r", "g"),
        scales=(0.90, 1.0, 1.54),
        brightness=0.97,
        softening=8.0,
        black=(-0.48, -0.28, -0.72),
        band_shift=0.09,
        quality=75,
        stored_quality=72,
        footprint=(110.0, 250.0, -5.0, 60.0),
        astrometric_scatter=0.06,
        completeness=0.97,
        spurious=0.02,
        catalog_limit=19.0,
        psf_beta=3.5,
        psf_ratios=(0.955, 1.0, 1.09),  # 1.26, 1.32 and 1.44 arcsec: sdss.org, DR7 coverage
        gradient=0.09,
        glows=0.025,  # of 750 pictures 8 have a sky above 20 levels
        pointing=0.27,
        trails=0.002,
        seams=0.06,  # about one picture of Galaxy Zoo 2 in 15 shows one
        edges=0.0003,  # none in 8,000 pictures of Galaxy Zoo 2 that were searched
    ),
    "decals": Telescope(
        name="decals",
        pixel_scale=0.262,  # Dey et al. 2019, AJ 157, 168
        psf_fwhm=1.18,
        psf_scatter=0.08,
        # The depth asked for: 5 sigma for an exponential galaxy with a half-light radius of 0.45
        # arcsec at z = 22.5, r = 23.4 and g = 24.0 (legacysurvey.org/decamls; Dey et al. 2019).
        sky_noise=tuple(
            pixel_noise(depth, 5.0, _SMALL_GALAXY, 0.262) for depth in (22.5, 23.4, 24.0)
        ),
        # 134 s in all; a nanomaggie gives DECam about 50 electrons a second in r.
        electrons=6700.0,
        bands=("z", "r", "g"),
        # Contrast and colours fitted to pictures of Galaxy Zoo DECaLS, which made them from the
        # survey's calibrated images: all of the noise is left.
        scales=(0.71, 1.0, 1.55),
        brightness=0.52,
        softening=4.0,
        black=(0.85, 0.89, 0.87),
        white_cores=True,
        band_shift=0.03,
        quality=95,
        stored_quality=88,
        gradient=0.08,
        edges=0.0,  # what exposures leave out, others fill
        footprint=(120.0, 260.0, -5.0, 34.0),
        astrometric_scatter=0.03,
        completeness=0.98,
        spurious=0.01,
    ),
    "des": Telescope(
        name="des",
        pixel_scale=0.263,  # Abbott et al. 2018, ApJS 239, 18, as all numbers up to electrons
        psf_fwhm=0.96,
        psf_ratios=(0.92, 1.0, 1.17),  # 0.88 arcsec in i, 1.12 in g
        psf_scatter=0.08,
        # Median depth at a signal-to-noise of 10 in an aperture 1.95 arcsec wide.
        sky_noise=tuple(
            pixel_noise(depth, 10.0, np.pi * 0.975**2, 0.263) for depth in (23.44, 24.08, 24.33)
        ),
        # About four exposures of 90 s; a nanomaggie gives DECam about 50 electrons a second in r.
        electrons=19_000.0,
        bands=("i", "r", "g"),
        # Colours and sky as for DECaLS, and a contrast that shows that it is deeper: two thirds of
        # the noise in the picture, and faint galaxies brighter.
        scales=(0.80, 1.0, 1.55),
        brightness=0.8,
        softening=4.5,
        black=(1.58, 1.62, 1.62),
        white_cores=True,
        band_shift=0.03,
        quality=95,
        stored_quality=88,
        gradient=0.08,
        edges=0.0,
        # Its sky lies south of ours: a box as large as 5000 square degrees, the size of the survey.
        footprint=(140.0, 230.0, -5.0, 55.0),
        astrometric_scatter=0.03,
        completeness=0.98,
        spurious=0.01,
    ),
    "hst": Telescope(
        name="hst",  # Wide Field Camera 3, F160W, as CANDELS drizzles it
        pixel_scale=0.06,  # Koekemoer et al. 2011, ApJS 197, 36
        psf_fwhm=0.18,
        psf_scatter=0.02,  # above the atmosphere: only focus and drizzling change
        # 5 sigma for point sources at H = 27.0, the wide tier (Grogin et al. 2011, ApJS 197, 35).
        # Real stamps have about half of this a pixel, but share it more between neighbours.
        sky_noise=(pixel_noise(27.0, 5.0, 4 * np.pi * (0.18 / 2.355) ** 2, 0.06),),
        # 4/3 of an orbit, 3200 s; zero point 25.95, so a nanomaggie gives 24 electrons a second.
        electrons=76_000.0,
        bands=("h",),
        scales=(1.0,),
        # Less compressed than from the ground: distant galaxies are not far above the noise.
        brightness=0.4,
        softening=3.0,
        black=(0.6,),
        band_shift=0.0,
        quality=95,
        # Five fields of 0.2 square degrees in all would hold none of our galaxies: a wider box.
        footprint=(145.0, 160.0, 0.0, 10.0),
        gradient=0.1,
        trails=0.0,  # drizzling rejects what is in one exposure only
        astrometric_scatter=0.02,
        completeness=0.99,
        spurious=0.01,
    ),
}
"""Telescopes by name."""


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


def band_offsets(g_r: np.ndarray, r_i: np.ndarray, bands: Sequence[str]) -> np.ndarray:
    """Give magnitudes in some bands relative to the r band, from two colours.

    Parameters
    ----------
    g_r, r_i : numpy.ndarray
        Colours g - r and r - i, AB magnitudes; any shape, the same for both.
    bands : sequence of str
        Of ``BANDS``.

    Returns
    -------
    numpy.ndarray
        float64 (..., len(bands)): magnitude in the band less that in r.

    Raises
    ------
    ValueError
        For a band that is not listed above.

    Notes
    -----
    i - z is about 0.6 (r - i) along the sequence of normal galaxies. r - h is 3.0 (r - i) up to
    r - i = 0.45, from the near-infrared colours of galaxies (ellipticals: V - H = 3.0 in Vega
    magnitudes, r - h = 1.2 to 1.3 in AB; Mannucci et al. 2001, MNRAS 326, 745), then 1.6 (r - i),
    as for M dwarfs (Covey et al. 2007, AJ 134, 2398). Both are good to about 0.2 mag for galaxies;
    stars like the Sun come out 0.3 mag too bright in h.
    """
    g_r, r_i = np.asarray(g_r, dtype=np.float64), np.asarray(r_i, dtype=np.float64)
    r_h = 3.0 * np.minimum(r_i, 0.45) + 1.6 * np.maximum(r_i - 0.45, 0)
    offsets = {"g": g_r, "r": 0 * r_i, "i": -r_i, "z": -1.6 * r_i, "h": -r_h}
    unknown = sorted(set(bands) - set(offsets))
    if unknown:
        raise ValueError(
            f"Expected bands of {', '.join(offsets)}, got {', '.join(unknown)}. "
            "Add its colour to band_offsets in galhelpers/survey/telescopes.py."
        )
    return np.stack([offsets[band] for band in bands], axis=-1)
