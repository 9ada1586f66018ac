"""What a telescope does to light: the point spread function and the noise.

The point spread function is Moffat's (1969, A&A 3, 455), I(r) ~ (1 + (r / a)^2)^-beta with
FWHM = 2 a sqrt(2^(1/beta) - 1): a core like a Gaussian's and wider wings. It is drawn as a sum of
Gaussians (as Hogg & Lang 2013, PASP 125, 719, do for galaxies), because a Gaussian is separable: a
convolution is then a product with one matrix from each side.
"""

from functools import cache

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from galhelpers.survey.telescopes import Telescope

_SIGMAS = tuple(0.30 * 1.55**i for i in range(8))  # of the Gaussians, in units of the FWHM


@cache
def moffat_as_gaussians(beta: float) -> tuple[tuple[float, float], ...]:
    """Write a Moffat profile of FWHM 1 as a sum of Gaussians.

    Parameters
    ----------
    beta : float
        Slope of the wings, above 1: 2 and less for optics, 3 to 5 for the atmosphere.

    Returns
    -------
    tuple of (weight, sigma)
        Shares of the light, which sum to 1, and standard deviations in units of the FWHM. The sum
        is within 0.5 % of the peak of the profile everywhere.

    Raises
    ------
    ValueError
        For a beta of 1 or less, whose light would be infinite.
    """
    if not beta > 1:
        raise ValueError(f"Expected a Moffat beta above 1, got {beta}.")
    r = np.concatenate([np.linspace(0, 2, 81), np.geomspace(2.1, 12, 40)])
    core = 0.5 / np.sqrt(2 ** (1 / beta) - 1)
    profile = (beta - 1) / (np.pi * core**2) * (1 + (r / core) ** 2) ** -beta
    sigmas = np.array(_SIGMAS)
    gaussians = np.exp(-0.5 * (r[:, None] / sigmas) ** 2) / (2 * np.pi * sigmas**2)
    # Least squares in surface brightness, and gently in the light of each ring.
    weight = 1 + 2 * r
    shares, _ = nnls(gaussians * weight[:, None], profile * weight)
    kept = shares > 3e-3
    total = shares[kept].sum()
    return tuple(
        (float(s / total), float(g)) for s, g in zip(shares[kept], sigmas[kept], strict=True)
    )


def blur(light: Tensor, pixel: Tensor, scope: Telescope, conditions: Tensor) -> Tensor:
    """Convolve with the point spread function, and shift the bands a little.

    Parameters
    ----------
    light : torch.Tensor
        (n, bands, grid, grid).
    pixel : torch.Tensor
        (n,) arcsec a pixel.
    scope : Telescope
        Sets width, shape and scatter.
    conditions : torch.Tensor
        (n, 1 + 2 * bands) standard normal numbers: seeing, and shifts down and across.

    Returns
    -------
    torch.Tensor
        Like ``light``. What leaves one pixel arrives at others, or leaves the image.
    """
    n, bands, grid = light.shape[:3]
    ratios = torch.tensor(scope.psf_ratios or (1.0,) * bands, device=light.device)
    fwhm = scope.psf_fwhm * torch.exp(scope.psf_scatter * conditions[:, :1]) * ratios
    edges = torch.arange(grid + 1, dtype=torch.float32, device=light.device) - 0.5  # of pixels
    apart = edges[:, None] - torch.arange(grid, dtype=torch.float32, device=light.device)
    shifts = scope.pointing + scope.band_shift * conditions[:, 1 : 1 + 2 * bands]
    shifts = (shifts / pixel[:, None]).view(n, 2, bands, 1, 1)
    out = torch.zeros_like(light)
    for weight, sigma in moffat_as_gaussians(scope.psf_beta):
        width = (sigma * fwhm / pixel[:, None]).view(n, bands, 1, 1)
        # Pixels average the light already, with a variance of 1 / 12: not a second time.
        width = (width**2 - 1 / 12).clamp(min=0.05**2).sqrt()
        for i in range(n):  # one by one: equal shapes give equal bits
            down, across = (_gaussian(apart - shift, width[i]) for shift in shifts[i])
            out[i] += weight * (down @ light[i] @ across.transpose(1, 2))
    return out


def _gaussian(apart: Tensor, width: Tensor) -> Tensor:
    """Share of a Gaussian that falls on each pixel."""
    below = torch.erf(apart / (2**0.5 * width))
    return 0.5 * (below[:, 1:] - below[:, :-1])


def add_noise(
    light: Tensor, draws: list[np.random.Generator], area: Tensor, scope: Telescope
) -> Tensor:
    """Add Poisson noise of the sources and the sky's, correlated as in resampled images.

    Parameters
    ----------
    light : torch.Tensor
        (n, bands, grid, grid) nanomaggies a pixel.
    draws : list of numpy.random.Generator
        One an image.
    area : torch.Tensor
        (n, 1, 1, 1): arcsec^2 a pixel.
    scope : Telescope
        Sets the noise.
    """
    shape = tuple(light.shape[1:])
    white = torch.from_numpy(
        np.stack([d.standard_normal(shape, dtype=np.float32) for d in draws])
    ).to(light.device)
    sky = torch.tensor(scope.sky_noise, device=light.device).view(1, -1, 1, 1) ** 2
    variance = sky * (area / scope.pixel_scale**2) + light.clamp(min=0) / scope.electrons
    return light + _correlate(white) * torch.sqrt(variance)


def _correlate(white: Tensor) -> Tensor:
    """Mix each pixel's noise with its neighbours', keeping the variance."""
    share = 0.06  # of the neighbour's noise, on each side
    for axis in (-1, -2):
        mixed = white + share * (white.roll(1, axis) + white.roll(-1, axis))
        white = mixed / (1 + 2 * share**2) ** 0.5
    return white
