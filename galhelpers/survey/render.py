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
from dataclasses import replace
from io import BytesIO

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from galhelpers.survey.foreground import add_background, add_lines, add_neighbours
from galhelpers.survey.galaxies import generator
from galhelpers.survey.light import GZ2_FRAME, draw_galaxy
from galhelpers.survey.optics import add_noise, blur
from galhelpers.survey.telescopes import Telescope, get_telescope

_GRIDS = tuple(range(48, 289, 16))  # multiples of 16 pixels: few groups, same alignment in memory
_JPEG_SIZE = 200  # pixels: smaller pictures show no trace of a second JPEG
_SATURATION = 300.0  # nanomaggies an arcsec^2
_BATCH_PIXELS = 300_000  # drawn at once: enough to amortise calls, small enough for the cache


def render(
    truth: pd.DataFrame,
    telescope: str | Telescope = "sdss",
    size: int = 424,
    seed: int = 0,
    field_of_view: float | None = None,
    device: str | torch.device = "cpu",
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
    device : str or torch.device
        Where to draw. On the CPU the same arguments give the same bytes; a GPU may round otherwise.

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
    smoothed = replace(scope, sky_noise=scope.noise_in_pictures, picture_noise=1.0)
    pictures = torch.empty((len(truth), 3, size, size), dtype=torch.uint8)
    fields = _fields(truth, field_of_view)
    grids = np.array([_grid(field, scope, size) for field in fields])

    def take(job: tuple[int, np.ndarray]) -> None:
        grid, rows = job
        light, area = _linear(truth.iloc[rows], smoothed, grid, seed, fields[rows], device=device)
        native = stretch(light, area, scope).cpu()
        pictures[torch.from_numpy(rows)] = _serve(native, size, scope)

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
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Give the images before they become pictures, for measurements.

    Parameters
    ----------
    truth, telescope, size, seed, field_of_view
        As for ``render``; the images are drawn at ``size`` pixels, a multiple of 16.
    noise, neighbours : bool
        Whether to add noise (with background and artefacts), and other galaxies and stars in the
        field.
    device : str or torch.device
        Where to draw.

    Returns
    -------
    torch.Tensor
        float32 (n, bands, size, size) on the CPU: nanomaggies a pixel, sky subtracted.
    """
    if size < 16 or size % 16:
        raise ValueError(f"Expected a size that is a multiple of 16 pixels, got {size}.")
    scope = get_telescope(telescope)
    fields = _fields(truth, field_of_view)
    images = torch.empty((len(truth), len(scope.bands), size, size))

    def take(job: tuple[int, np.ndarray]) -> None:
        grid, rows = job
        part = truth.iloc[rows]
        light, _ = _linear(part, scope, grid, seed, fields[rows], noise, neighbours, device)
        images[torch.from_numpy(rows)] = light.cpu()

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
    return fitting if fitting < size else size + size % 2  # even: the centre lies between pixels


def _linear(
    truth: pd.DataFrame,
    scope: Telescope,
    grid: int,
    seed: int,
    fields: np.ndarray,
    noise: bool = True,
    neighbours: bool = True,
    device: str | torch.device = "cpu",
) -> tuple[torch.Tensor, torch.Tensor]:
    """Nanomaggies a pixel (n, bands, grid, grid), and arcsec^2 a pixel (n, 1, 1, 1)."""
    pixel = torch.tensor(fields / grid, dtype=torch.float32, device=device)
    light = draw_galaxy(truth, scope, grid, pixel)
    draws = {
        name: [generator(seed, f"{name} {scope.name}", int(i)) for i in truth["id"]]
        for name in ("sky", "background", "artefacts")
    }
    shape = 1 + 2 * len(scope.bands)
    conditions = np.array([d.standard_normal(shape) for d in draws["sky"]], dtype=np.float32)
    if neighbours:
        # The same sky for every telescope.
        field = [generator(seed, "field", int(i)) for i in truth["id"]]
        light = add_neighbours(light, field, pixel.cpu().numpy(), scope)
    light = blur(light, pixel, scope, torch.from_numpy(conditions).to(light.device))
    area = (pixel**2).view(-1, 1, 1, 1)
    if noise:
        light = add_noise(light, draws["sky"], area, scope)
        light = add_background(light, draws["background"], area, scope)
        light = add_lines(light, draws["artefacts"], pixel, scope)
    return light, area


def stretch(light: torch.Tensor, area: torch.Tensor, telescope: str | Telescope) -> torch.Tensor:
    """Turn three bands into a colour picture that keeps faint light and colour.

    Parameters
    ----------
    light : torch.Tensor
        float (n, bands, height, width): nanomaggies a pixel in the telescope's bands.
    area : torch.Tensor
        (n, 1, 1, 1): arcsec^2 a pixel.
    telescope : str or Telescope
        Of one band, shown as grey, or three; sets factors, softening and black level.

    Returns
    -------
    torch.Tensor
        float (n, 3, height, width) in 0-1. One factor for all bands, from their mean (Lupton et
        al. 2004, PASP 116, 133): colours stay; where a band would exceed 1, all are divided, or
        that band is cut, as the telescope says.
    """
    scope = get_telescope(telescope)
    scales = torch.tensor(scope.scales, device=light.device).view(1, -1, 1, 1)
    noise = (
        float(np.mean(np.multiply(scope.noise_in_pictures, scope.scales))) / scope.pixel_scale**2
    )
    black = torch.tensor(scope.black, device=light.device).view(1, -1, 1, 1) * noise
    seen = (light / area * scales).clamp(max=_SATURATION)  # cores of bright stars turn white
    bright = scope.brightness * (seen + black)
    mean = bright.mean(dim=1, keepdim=True).clamp(min=1e-6)
    picture = bright * (torch.asinh(scope.softening * mean) / (scope.softening * mean))
    if not scope.white_cores:
        picture = picture / picture.amax(dim=1, keepdim=True).clamp(min=1.0)
    return picture.clamp(min=0.0, max=1.0).expand(-1, 3, -1, -1)


def _serve(pictures: torch.Tensor, size: int, scope: Telescope) -> torch.Tensor:
    """Store as JPEG, enlarge or reduce to ``size`` pixels, store again: uint8 (n, 3, size, size).

    An image server cuts its pictures from images that are compressed already. The second JPEG is
    left out of small pictures: these are reductions of larger ones, which blurs its traces.
    """
    served = _jpeg(pictures.mul(255).add(0.5).to(torch.uint8), scope.stored_quality)
    if served.shape[-1] != size:
        served = F.interpolate(served, (size, size), mode="bicubic", antialias=True)
    return _jpeg(served, scope.quality) if size >= _JPEG_SIZE else served


def _jpeg(pictures: torch.Tensor, quality: int) -> torch.Tensor:
    """Store uint8 pictures (n, 3, h, w) as JPEG and read them again."""
    decoded = []
    for image in pictures.permute(0, 2, 3, 1).contiguous().numpy():
        file = BytesIO()
        Image.fromarray(image).save(file, "jpeg", quality=quality)
        decoded.append(torch.from_numpy(np.array(Image.open(file))))
    return torch.stack(decoded).permute(0, 3, 1, 2)
