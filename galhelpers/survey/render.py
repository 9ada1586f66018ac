"""Pictures of the simulated galaxies: light, then telescope, then what an image server makes of it.

The order is that of a real survey. Components (bulge, disk, young stars) are drawn at about the
survey's own sampling; the point spread function blurs them; Poisson and sky noise are added; three
bands become one colour picture (Lupton et al. 2004, PASP 116, 133), are stored as JPEG and enlarged
to the size asked for, as Galaxy Zoo 2 did.

Every galaxy's random numbers come from its own generator, and no operation mixes galaxies: a
picture does not depend on the others in its batch.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from galhelpers.survey.galaxies import generator
from galhelpers.survey.light import draw_galaxy
from galhelpers.survey.neighbours import add_neighbours
from galhelpers.survey.telescopes import Telescope, get_telescope

GZ2_FRAME = 424 * 0.02
"""Side of a Galaxy Zoo 2 picture in units of petroR90: 424 pixels of 0.02 x petroR90 arcsec."""

_GRIDS = tuple(range(48, 193, 16))  # multiples of 16 pixels: few groups, same alignment in memory
_SATURATION = 300.0  # nanomaggies an arcsec^2
_BATCH_PIXELS = 300_000  # drawn at once: enough to amortise calls, small enough for the cache


def render(
    truth: pd.DataFrame,
    telescope: str | Telescope = "sdss",
    size: int = 424,
    seed: int = 0,
    field_of_view: float | None = None,
) -> torch.Tensor:
    """Take a colour picture of each galaxy.

    Parameters
    ----------
    truth : pandas.DataFrame
        Rows of ``sample_galaxies``, in any number and order.
    telescope : str or Telescope
        Who looks.
    size : int
        Width and height of the pictures in pixels, 16 or more.
    seed : int
        Seed of noise, seeing and neighbours.
    field_of_view : float, optional
        Width of the picture in arcsec. By default 8.48 times the galaxy's own petroR90, as in
        Galaxy Zoo 2, so that all galaxies look about equally large.

    Returns
    -------
    torch.Tensor
        uint8 (n, 3, size, size), channels red, green, blue, on the CPU.

    Raises
    ------
    ValueError
        For a size below 16 or a field of view that is not positive.
    """
    scope = get_telescope(telescope)
    if size < 16:
        raise ValueError(f"Expected a picture size of 16 pixels or more, got {size}.")
    if field_of_view is not None and not field_of_view > 0:
        raise ValueError(f"Expected a field of view above 0 arcsec, got {field_of_view}.")
    pictures = torch.empty((len(truth), 3, size, size), dtype=torch.uint8)
    fields = _fields(truth, field_of_view)
    grids = np.array([_grid(field, scope, size) for field in fields])

    def take(job: tuple[int, np.ndarray]) -> None:
        grid, rows = job
        light, area = _linear(truth.iloc[rows], scope, grid, seed, fields[rows])
        native = stretch(light, area, scope)
        pictures[torch.from_numpy(rows)] = _serve(native, size, scope.quality)

    _run(take, _jobs(grids))
    return pictures


def _jobs(grids: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Batches of rows drawn with equally many pixels."""
    jobs = []
    for grid in np.unique(grids).tolist():
        rows = np.flatnonzero(grids == grid)
        batch = max(1, _BATCH_PIXELS // grid**2)
        jobs += [(grid, rows[start : start + batch]) for start in range(0, len(rows), batch)]
    return jobs


def _run(take: Callable[[tuple[int, np.ndarray]], None], jobs: list) -> None:
    """Work on batches side by side, each in one thread.

    Threads inside of each small operation would spend more time waiting for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(take, jobs))
    finally:
        torch.set_num_threads(threads)


def linear_images(
    truth: pd.DataFrame,
    telescope: str | Telescope = "sdss",
    size: int = 128,
    seed: int = 0,
    field_of_view: float | None = None,
    noise: bool = True,
    neighbours: bool = True,
) -> torch.Tensor:
    """Give the images before they become pictures, for measurements.

    Parameters
    ----------
    truth, telescope, size, seed, field_of_view
        As for ``render``; the images are drawn at ``size`` pixels, a multiple of 16.
    noise, neighbours : bool
        Whether to add noise, and other galaxies and stars in the field.

    Returns
    -------
    torch.Tensor
        float32 (n, 3, size, size): nanomaggies a pixel in the telescope's bands, sky subtracted.
    """
    if size < 16 or size % 16:
        raise ValueError(f"Expected a size that is a multiple of 16 pixels, got {size}.")
    scope = get_telescope(telescope)
    fields = _fields(truth, field_of_view)
    images = torch.empty((len(truth), 3, size, size))

    def take(job: tuple[int, np.ndarray]) -> None:
        grid, rows = job
        part = truth.iloc[rows]
        light, _ = _linear(part, scope, grid, seed, fields[rows], noise, neighbours)
        images[torch.from_numpy(rows)] = light

    _run(take, _jobs(np.full(len(truth), size)))
    return images


def _fields(truth: pd.DataFrame, field_of_view: float | None) -> np.ndarray:
    """Width of each picture in arcsec."""
    if field_of_view is not None:
        return np.full(len(truth), float(field_of_view))
    return GZ2_FRAME * truth["petro_r90"].to_numpy(dtype=np.float64)


def _grid(field: float, scope: Telescope, size: int) -> int:
    """Pixels to draw a picture with: the survey's own, but no more than are asked for."""
    native = field / scope.pixel_scale
    fitting = min(_GRIDS, key=lambda grid: abs(grid - native))
    return fitting if fitting < size else size


def _linear(
    truth: pd.DataFrame,
    scope: Telescope,
    grid: int,
    seed: int,
    fields: np.ndarray,
    noise: bool = True,
    neighbours: bool = True,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Nanomaggies a pixel (n, 3, grid, grid), and arcsec^2 a pixel (n, 1, 1, 1)."""
    pixel = torch.tensor(fields / grid, dtype=torch.float32)
    light = draw_galaxy(truth, scope, grid, pixel)
    draws = [generator(seed, f"sky {scope.name}", int(i)) for i in truth["id"]]
    conditions = np.array([d.standard_normal(10) for d in draws], dtype=np.float32)
    if neighbours:
        # The same sky for every telescope.
        field = [generator(seed, "field", int(i)) for i in truth["id"]]
        add_neighbours(light, field, pixel.numpy(), scope)
    light = _blur(light, pixel, scope, torch.from_numpy(conditions))
    area = (pixel**2).view(-1, 1, 1, 1)
    if noise:
        light = _add_noise(light, draws, area, scope)
        # Sky subtraction errs a little, differently in each band.
        level = 0.18 * torch.from_numpy(conditions[:, 7:10, None, None])
        light = light + level * torch.tensor(scope.sky_noise).view(1, 3, 1, 1) * (
            area / scope.pixel_scale**2
        )
    return light, area


def _blur(
    light: torch.Tensor, pixel: torch.Tensor, scope: Telescope, conditions: torch.Tensor
) -> torch.Tensor:
    """Convolve with a PSF: two Gaussians, close to a Moffat profile, and a little shift a band.

    A Gaussian is separable, so that a convolution is a product with one matrix from each side.
    """
    grid = light.shape[-1]
    fwhm = scope.psf_fwhm * torch.exp(scope.psf_scatter * conditions[:, 0])
    # 84 % of the light in the core, 16 % in wings twice as wide: FWHM as asked for within 2 %.
    core = fwhm / 2.355 * 0.95
    edges = torch.arange(grid + 1, dtype=torch.float32) - 0.5  # of pixels
    apart = edges[:, None] - torch.arange(grid, dtype=torch.float32)[None, :]
    shifts = (scope.band_shift * conditions[:, 1:7] / pixel[:, None]).view(-1, 2, 3, 1, 1)
    out = torch.zeros_like(light)
    for weight, sigma in ((0.84, core), (0.16, 2.1 * core)):
        width = (sigma / pixel).view(-1, 1, 1, 1)
        for i in range(len(light)):  # one by one: equal shapes give equal bits
            down, across = (_gaussian(apart - shift, width[i]) for shift in shifts[i])
            out[i] += weight * (down @ light[i] @ across.transpose(1, 2))
    return out


def _gaussian(apart: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Share of a Gaussian that falls on each pixel: what leaves one arrives at others."""
    below = torch.erf(apart / (2**0.5 * width))
    return 0.5 * (below[:, 1:] - below[:, :-1])


def _add_noise(
    light: torch.Tensor, draws: list[np.random.Generator], area: torch.Tensor, scope: Telescope
) -> torch.Tensor:
    """Add Poisson noise of the sources and the sky's, correlated as in resampled images."""
    shape = tuple(light.shape[1:])
    white = np.stack([d.standard_normal(shape, dtype=np.float32) for d in draws])
    sky = torch.tensor(scope.sky_noise).view(1, 3, 1, 1) ** 2 * (area / scope.pixel_scale**2)
    return light + _correlate(torch.from_numpy(white)) * torch.sqrt(
        sky + light.clamp(min=0) / scope.electrons
    )


def _correlate(white: torch.Tensor, share: float = 0.06) -> torch.Tensor:
    """Mix each pixel's noise with its neighbours', keeping the variance."""
    for axis in (-1, -2):
        mixed = white + share * (white.roll(1, axis) + white.roll(-1, axis))
        white = mixed / (1 + 2 * share**2) ** 0.5
    return white


def stretch(light: torch.Tensor, area: torch.Tensor, telescope: str | Telescope) -> torch.Tensor:
    """Turn three bands into a colour picture that keeps faint light and colour.

    Parameters
    ----------
    light : torch.Tensor
        float (n, 3, height, width): nanomaggies a pixel in the telescope's bands.
    area : torch.Tensor
        (n, 1, 1, 1): arcsec^2 a pixel.
    telescope : str or Telescope
        Sets factors, softening and black level.

    Returns
    -------
    torch.Tensor
        float (n, 3, height, width) in 0-1. One factor for all bands, from their mean (Lupton et
        al. 2004, PASP 116, 133): colours stay; where a band would exceed 1, all are divided.
    """
    scope = get_telescope(telescope)
    scales = torch.tensor(scope.scales).view(1, 3, 1, 1)
    noise = float(np.mean(np.multiply(scope.sky_noise, scope.scales))) / scope.pixel_scale**2
    black = torch.tensor(scope.black).view(1, 3, 1, 1) * noise
    seen = (light / area * scales).clamp(max=_SATURATION)  # cores of bright stars turn white
    bright = scope.brightness * (seen + black)
    mean = bright.mean(dim=1, keepdim=True).clamp(min=1e-6)
    picture = bright * (torch.asinh(scope.softening * mean) / (scope.softening * mean))
    peak = picture.amax(dim=1, keepdim=True).clamp(min=1.0)
    return (picture / peak).clamp(min=0.0)


def _serve(pictures: torch.Tensor, size: int, quality: int) -> torch.Tensor:
    """Store as JPEG at the survey's own sampling, read again, enlarge to ``size`` pixels."""
    pixels = (pictures * 255 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    decoded = []
    for image in pixels:
        file = BytesIO()
        Image.fromarray(image).save(file, "jpeg", quality=quality)
        decoded.append(torch.from_numpy(np.array(Image.open(file))))
    served = torch.stack(decoded).permute(0, 3, 1, 2)
    if served.shape[-1] == size:
        return served
    return F.interpolate(served, (size, size), mode="bicubic", antialias=True)
