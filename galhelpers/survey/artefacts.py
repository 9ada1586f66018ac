"""What survey images show besides the sky: uneven backgrounds, satellites, the edge of a frame.

All of it is drawn on a patch of sky around the galaxy and then cut to the picture, so that it is
the same at any size of the picture.
"""

import numpy as np
import torch
from torch import Tensor

from galhelpers.survey.telescopes import Telescope


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
