"""What survey images show besides the galaxy: neighbours, uneven backgrounds, trails, edges.

All of it is drawn on a patch of sky around the galaxy and then cut to the picture, so that it is
the same at any size of the picture.
"""

import numpy as np
import torch
from torch import Tensor

from galhelpers.survey.telescopes import Telescope, band_offsets

DENSITY = 7.5
"""Sources a square arcmin brighter than ``LIMIT``, at the latitudes of the SDSS."""
LIMIT = 22.5
_STAR_SHARE = 0.3
_BRIGHT = 16.5  # magnitude of stars that show halo and spikes
_HALF_WIDTH = 7.0  # a source is drawn out to this many scale lengths
_PATCH = 480.0  # arcsec: side of the sky around each galaxy that has neighbours
_MARGIN = 8.0  # arcsec: neighbours just outside reach into the picture


def add_neighbours(
    light: torch.Tensor, draws: list[np.random.Generator], pixel: np.ndarray, scope: Telescope
) -> torch.Tensor:
    """Add neighbours to sharp images; the same ones at any size or field of view.

    Parameters
    ----------
    light : torch.Tensor
        (n, bands, grid, grid) nanomaggies a pixel.
    draws : list of numpy.random.Generator
        One an image.
    pixel : numpy.ndarray
        (n,) arcsec a pixel.
    scope : Telescope
        Sets the bands.
    """
    grid = light.shape[-1]
    sky = torch.zeros_like(light, device="cpu")
    for image, random, scale in zip(sky.numpy(), draws, pixel.tolist(), strict=True):
        # Drawn on a patch of sky that does not depend on the frame, then cut to it.
        u = random.random((int(random.poisson(DENSITY * (_PATCH / 60) ** 2)), 8))
        offsets = (u[:, :2] - 0.5) * _PATCH
        inside = (np.abs(offsets) < grid * scale / 2 + _MARGIN).all(axis=1)
        u, centres = u[inside], offsets[inside] / scale + (grid - 1) / 2
        is_star = u[:, 2] < _STAR_SHARE
        # Counts rise with magnitude, those of galaxies faster.
        mag = LIMIT + np.log10(u[:, 3] + 1e-5) / np.where(is_star, 0.24, 0.45)
        mag = np.maximum(mag, np.where(is_star, 14.0, 17.0))
        radius, ratio = _shapes(is_star, mag, u)
        bands = _bands(is_star, mag, u[:, 4], scope)
        for i in range(len(u)):
            width = max(float(radius[i]) / scale, 0.35)  # the PSF that follows hides the 0.35
            angle = float(np.pi * u[i, 7])
            place = centres[i].tolist()
            _add_ellipse(image, place, bands[i], width, float(ratio[i]), angle)
            if is_star[i] and mag[i] < _BRIGHT:
                # Light scattered by mirrors and by the vanes that hold the secondary mirror.
                _add_ellipse(image, place, 0.02 * bands[i], 4.0 / scale, 1.0, 0.0)
                for vane in (0.6, 0.6 + np.pi / 2):
                    _add_ellipse(image, place, 0.004 * bands[i], 5.0 / scale, 0.03, vane)
    return light + sky.to(light.device)


def _shapes(is_star: np.ndarray, mag: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale lengths in arcsec and axis ratios; a star is a point."""
    radius = np.where(is_star, 0.0, (0.3 + 0.45 * u[:, 5]) * 10 ** (-0.12 * (mag - 21)))
    return radius, np.where(is_star, 1.0, 0.3 + 0.7 * u[:, 6])


def _bands(is_star: np.ndarray, mag: np.ndarray, u: np.ndarray, scope: Telescope) -> np.ndarray:
    """Fluxes in nanomaggies, float32 (n, bands): F to M dwarfs, blue to red galaxies."""
    g_r = np.where(is_star, 0.25 + 1.2 * u**1.5, 0.35 + 0.8 * u)
    r_i = np.where(is_star, 0.02 + 0.35 * g_r + 2.4 * np.maximum(g_r - 1.2, 0), 0.15 + 0.33 * g_r)
    magnitudes = mag[:, None] + band_offsets(g_r, r_i, scope.bands)
    return (10 ** (-0.4 * (magnitudes - 22.5))).astype(np.float32)


def _add_ellipse(
    image: np.ndarray,
    centre: list[float],
    flux: np.ndarray,
    radius: float,
    ratio: float,
    angle: float,
) -> None:
    """Add an ellipse with exponential profile; ``centre`` and ``radius`` in pixels."""
    reach = int(_HALF_WIDTH * radius) + 2
    left, top = (int(np.floor(c)) - reach for c in centre)
    side, end = 2 * reach + 1, image.shape[-1]
    if left >= end or top >= end or left + side <= 0 or top + side <= 0:
        return
    dx = np.arange(left, left + side, dtype=np.float32) - np.float32(centre[0])
    dy = (np.arange(top, top + side, dtype=np.float32) - np.float32(centre[1]))[:, None]
    cos, sin = np.float32(np.cos(angle) / radius), np.float32(np.sin(angle) / radius)
    along = cos * dx + sin * dy
    across = (cos * dy - sin * dx) * np.float32(1 / ratio)
    r = np.sqrt(along * along + across * across + np.float32(0.05))
    profile = np.maximum(np.exp(-r) - np.float32(np.exp(-_HALF_WIDTH)), 0)
    # A small source falls between pixels: what was drawn of it is made to be all of its flux.
    profile /= max(float(profile.sum()), 1e-9)
    inside = profile[max(-top, 0) : end - top, max(-left, 0) : end - left]
    top, left = max(top, 0), max(left, 0)
    height, width = inside.shape
    image[:, top : top + height, left : left + width] += flux[:, None, None] * inside


def add_background(
    light: Tensor, draws: list[np.random.Generator], area: Tensor, scope: Telescope
) -> Tensor:
    """Add what sky subtraction leaves: a level, a slope, and now and then a glow from the side.

    Parameters
    ----------
    light : torch.Tensor
        (n, bands, grid, grid) nanomaggies a pixel.
    draws : list of numpy.random.Generator
        One an image.
    area : torch.Tensor
        (n, 1, 1, 1): arcsec^2 a pixel.
    scope : Telescope
        Sets the noise, in units of which the sky errs.
    """
    n, bands, grid = light.shape[:3]
    at = (np.arange(grid, dtype=np.float32) - (grid - 1) / 2) / grid  # -0.5 to 0.5
    sky = np.empty((n, bands, grid, grid), dtype=np.float32)
    for i, random in enumerate(draws):
        level = 0.18 * random.standard_normal(bands)
        size = scope.gradient * np.exp(0.8 * random.standard_normal())
        # The bands are exposed under skies that differ a little.
        size = size * (1 + 0.35 * random.standard_normal(bands))
        angle = 2 * np.pi * random.random()
        along = np.cos(angle) * at[None, :] + np.sin(angle) * at[:, None]
        glow, colour = random.random(), random.dirichlet(np.full(bands, 0.6))
        strength = 6 * random.exponential()
        sky[i] = level[:, None, None] + size[:, None, None] * along
        if glow < scope.glows:
            sky[i] += (strength * bands * colour)[:, None, None] * np.exp(1.5 * (along - 0.5))
    noise = torch.tensor(scope.noise_in_pictures, device=light.device).view(1, -1, 1, 1)
    return light + torch.from_numpy(sky).to(light.device) * noise * (area / scope.pixel_scale**2)


def add_lines(
    light: Tensor, draws: list[np.random.Generator], pixel: Tensor, scope: Telescope
) -> Tensor:
    """Add a satellite's trail, a seam or the edge of a frame, where there is one.

    A satellite crosses one exposure, hence one band: a green, red or blue line, as wide as the
    point spread function. A seam, where two images were put together, is a thin dark line. Beyond
    an edge there are no data: exactly 0 in all bands.

    Parameters
    ----------
    light : torch.Tensor
        (n, bands, grid, grid) nanomaggies a pixel, blurred and noisy.
    draws : list of numpy.random.Generator
        One an image.
    pixel : torch.Tensor
        (n,) arcsec a pixel.
    scope : Telescope
        Sets how often each happens.
    """
    bands, grid = light.shape[1:3]
    at = torch.arange(grid, dtype=torch.float32, device=light.device) - (grid - 1) / 2
    for i, random in enumerate(draws):
        trail, seam, edge = random.random(3)
        angle, distance, brightness = random.random(3)
        band = int(random.integers(bands))
        if trail >= scope.trails and seam >= scope.seams and edge >= scope.edges:
            continue
        turn = 2 * np.pi * angle
        # The line passes at up to half a frame from the galaxy.
        across = np.cos(turn) * at[None, :] + np.sin(turn) * at[:, None] - 0.5 * distance * grid
        scale = float(pixel[i])
        if trail < scope.trails:
            width = scope.psf_fwhm / 2.355 / scale
            peak = scope.noise_in_pictures[band] / scope.pixel_scale**2 * (8 + 40 * brightness)
            light[i, band] += peak * scale**2 * torch.exp(-0.5 * (across / width) ** 2)
        if seam < scope.seams:
            width = max(0.2 / scale, 0.3)
            light[i] *= 1 - torch.exp(-0.5 * (across / width) ** 2)
        if edge < scope.edges:
            # Frames are cut along rows and columns, and pictures turned little.
            turn = 0.1 * (angle - 0.5)
            across = np.cos(turn) * at[None, :] + np.sin(turn) * at[:, None]
            light[i] *= across < (0.15 + 0.35 * distance) * grid
    return light
