"""The light of one galaxy: bulge, disk, spiral arms, bar, ring, dust and companion, before the PSF.

Three populations of stars are drawn apart because they differ in colour: old (bulge and bar), disk,
and young (arms and star-forming clumps). Each is normalised to its share of the total flux.

Sersic profile: I(r) = exp(-b (r / Re)^(1/n)), b = 2n - 1/3 + 4 / (405 n) (Ciotti & Bertin 1999, A&A
352, 447). Edge-on disk: exp(-R / h) sech^2(z / z0) (van der Kruit & Searle 1981, A&A 95, 105).
Logarithmic spiral: angle = ln(r / r0) / tan(pitch).
"""

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from galhelpers.survey.galaxies import generator
from galhelpers.survey.telescopes import Telescope

R90_PER_RE = 2.2
"""petroR90 in units of the half-light radius; near 2.2 for Sersic indices from 1 to 4."""

_TEXTURE = 48  # cells across the field of clumps
_REACH = 1.7  # the field of clumps covers -1.7 to 1.7 petroR90 in the plane of the disk


def draw_galaxy(
    truth: pd.DataFrame, scope: Telescope, grid: int, pixel: torch.Tensor
) -> torch.Tensor:
    """Draw galaxies at the centre of their images, sharp and without noise.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    scope : Telescope
        Sets the bands.
    grid : int
        Image size in pixels.
    pixel : torch.Tensor
        (n,) arcsec a pixel.

    Returns
    -------
    torch.Tensor
        float32 (n, 3, grid, grid): nanomaggies a pixel. The sum over an image is the galaxy's flux.
    """
    p = _columns(truth)
    x, y, softening = _galaxy_plane(p, grid, pixel)
    texture = _textures(truth)

    old = _bulge(p, x, y, softening)
    disk, young = _disk(p, x, y, softening, texture)
    old = _normalise(old) * p["bulge_fraction"]
    disk_share = 1 - p["bulge_fraction"]
    young_share = disk_share * (0.30 * p["arm_strength"] + 0.25 * p["is_irregular"])
    bar, bar_share = _bar(p, x, y), 0.16 * p["bar_strength"] * (disk_share > 0)
    disk = _normalise(disk) * (disk_share - young_share).clamp(min=0) * (1 - bar_share)
    old = old + _normalise(bar) * disk_share * bar_share
    young = _normalise(young) * young_share

    light = old[:, None] * _fluxes(truth, "bulge", scope)
    light += disk[:, None] * _fluxes(truth, "disk", scope)
    light += young[:, None] * _fluxes(truth, "arms", scope)
    # Few galaxies have these; only they are worked on.
    dusty = np.flatnonzero(truth["dust"] > 0)
    if len(dusty):
        light[dusty] *= _dust(_rows(p, dusty), x[dusty], y[dusty])
    mergers = np.flatnonzero(truth["odd"] == "merger")
    if len(mergers):
        second = _companion(_rows(p, mergers), grid, pixel[mergers])
        light[mergers] += second[:, None] * _fluxes(truth.iloc[mergers], "disk", scope)
    return light


def _rows(p: dict[str, torch.Tensor], rows: np.ndarray) -> dict[str, torch.Tensor]:
    return {name: column[rows] for name, column in p.items()}


def _columns(truth: pd.DataFrame) -> dict[str, torch.Tensor]:
    """Numbers of the table as float32 (n, 1, 1), ready to meet images."""
    numbers = truth.select_dtypes(["number", "bool"]).drop(columns=["id", "texture"])
    p = {
        str(name): torch.tensor(column.to_numpy(dtype=np.float32)).view(-1, 1, 1)
        for name, column in numbers.items()
    }
    flags = {
        "is_irregular": truth["kind"] == "irregular",
        "is_smooth": truth["kind"] == "smooth",
        "is_boxy": truth["edge_on_bulge"] == "boxy",
        "no_bulge": truth["edge_on_bulge"] == "none",
    }
    for name, flag in flags.items():
        p[name] = torch.tensor(flag.to_numpy(dtype=np.float32)).view(-1, 1, 1)
    return p


def _fluxes(truth: pd.DataFrame, part: str, scope: Telescope) -> torch.Tensor:
    """Flux of the whole galaxy, were it all of this population: nanomaggies (n, 3, 1, 1)."""
    g_r, r_i = truth[f"g_r_{part}"].to_numpy(), truth[f"r_i_{part}"].to_numpy()
    flux = 10 ** (-0.4 * (truth["mag"].to_numpy() - 22.5))
    # i - z is about 0.6 of r - i along the sequence of normal galaxies.
    colour = {"g": -g_r, "r": 0 * g_r, "i": r_i, "z": 1.6 * r_i}
    bands = np.stack([flux * 10 ** (0.4 * colour[band]) for band in scope.bands], axis=1)
    return torch.tensor(bands, dtype=torch.float32)[:, :, None, None]


def _normalise(plane: torch.Tensor) -> torch.Tensor:
    """Scale each image to a sum of 1; one that is empty stays empty."""
    return plane / plane.sum(dim=(1, 2), keepdim=True).clamp(min=1e-12)


def _galaxy_plane(
    p: dict[str, torch.Tensor], grid: int, pixel: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Coordinates along the galaxy's axes in units of its 90 % radius, and a third of a pixel."""
    # petroR90 is measured on blurred images: the galaxy itself is a little smaller.
    r90 = torch.sqrt((p["petro_r90"] ** 2 - 1.0).clamp(min=4.0))
    # Petrosian radii are those of circles: a flat galaxy reaches further along its major axis.
    r90 = r90 * (1 + (0.6 - 0.25 * p["is_smooth"]) * (1 - p["axis_ratio"]))
    axis = torch.arange(grid, dtype=torch.float32) - (grid - 1) / 2
    scale = pixel.view(-1, 1, 1) / r90
    column, row = axis.view(1, 1, -1) * scale, axis.view(1, -1, 1) * scale
    angle = torch.deg2rad(p["pa"])
    x = torch.cos(angle) * column + torch.sin(angle) * row
    y = torch.cos(angle) * row - torch.sin(angle) * column
    # Lopsided galaxies: the centre is off the middle of the outer parts.
    bend = 0.35 * p["lopsidedness"]
    y = y + bend * p["axis_ratio"] * (x**2 / (1 + x**2))
    x = x + bend * 0.6 * (x**2 / (1 + x**2))
    return x, y, 0.35 * scale


def _sersic(r: torch.Tensor, n: torch.Tensor, r_e: torch.Tensor) -> torch.Tensor:
    """Sersic profile, not normalised; r and r_e in the same unit."""
    b = 2 * n - 1 / 3 + 4 / (405 * n)
    return torch.exp(-b * torch.exp(torch.log(r / r_e) / n))


def _bulge(
    p: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor, softening: torch.Tensor
) -> torch.Tensor:
    """Draw a spheroid: the whole of a smooth galaxy, the middle of a disk galaxy."""
    smooth = p["is_smooth"]
    q = smooth * p["axis_ratio"] + (1 - smooth) * torch.maximum(
        p["axis_ratio"], p["bulge_axis_ratio"]
    )
    u, v = x.abs() * torch.sqrt(q), y.abs() / torch.sqrt(q)  # the area does not depend on q
    u, v = smooth * x.abs() + (1 - smooth) * u, smooth * y.abs() / q + (1 - smooth) * v
    r = torch.sqrt(u**2 + v**2 + softening**2)
    boxy = torch.sqrt(torch.sqrt(u**4 + v**4 + softening**4))
    r = torch.where(p["is_boxy"] > 0, boxy, r)
    n = torch.where(smooth > 0, p["sersic_n"], (0.75 * p["sersic_n"]).clamp(1.0, 3.0))
    profile = _sersic(r, n, p["bulge_r90"] / R90_PER_RE)
    return profile * (1 - p["no_bulge"])


def _textures(truth: pd.DataFrame) -> torch.Tensor:
    """Random patches, large and small, fixed to the galaxy: (n, 2, cells, cells), unit variance."""
    coarse, fine = [], []
    for seed in truth["texture"]:
        draws = generator(int(seed), "texture", 0)
        coarse.append(draws.standard_normal((1, 9, 9), dtype=np.float32))
        fine.append(draws.standard_normal((1, _TEXTURE, _TEXTURE), dtype=np.float32))
    large = F.interpolate(torch.from_numpy(np.stack(coarse)), _TEXTURE, mode="bicubic")
    small = F.avg_pool2d(torch.from_numpy(np.stack(fine)), 3, 1, 1) * 3
    return torch.cat([large * 1.3, small], dim=1)


def _disk(
    p: dict[str, torch.Tensor],
    x: torch.Tensor,
    y: torch.Tensor,
    softening: torch.Tensor,
    texture: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Disk stars and young stars."""
    scale_length = 1 / 3.9  # an exponential disk holds 90 % of its light in 3.9 scale lengths
    flat = torch.sqrt(x**2 + softening**2) / scale_length
    height = (y / (1.25 * p["axis_ratio"] * scale_length)).abs().clamp(max=20)
    edge_on = torch.exp(-flat) / torch.cosh(height) ** 2

    v = y / p["axis_ratio"]
    r = torch.sqrt(x**2 + v**2 + softening**2)
    patches = F.grid_sample(
        texture, torch.stack([x, v], dim=-1) / _REACH, padding_mode="border", align_corners=False
    )
    large, small = patches[:, 0], patches[:, 1]
    face_on = torch.exp(-r / scale_length)
    arms = _arms(p, x, v, r, large)
    strength = p["arm_strength"]
    # Arms begin outside the bulge and fade where the disk ends.
    inside = torch.sigmoid((r - 0.22) / 0.05)
    face_on = face_on * (1 + strength * inside * (1.5 * arms - 0.45) + 0.12 * strength * small)
    ring = torch.exp(-0.5 * ((r - p["ring_r90"]) / 0.07) ** 2) * (p["ring_r90"] > 0)
    face_on = face_on.clamp(min=0) + 0.14 * ring

    clumps = torch.exp(1.1 * p["clumpiness"] * small)
    edge = torch.sigmoid((1.0 - r) / 0.12)
    young = torch.exp(-r / (1.3 * scale_length)) * edge * inside * arms**2 * clumps * (strength > 0)
    patchy = torch.exp(-r / scale_length) * torch.exp(1.2 * large + 0.7 * small)
    young = young + patchy * p["is_irregular"]
    face_on = face_on * torch.exp(0.5 * p["is_irregular"] * large)
    return torch.where(p["edge_on"] > 0, edge_on, face_on), young


def _arms(
    p: dict[str, torch.Tensor],
    x: torch.Tensor,
    v: torch.Tensor,
    r: torch.Tensor,
    large: torch.Tensor,
) -> torch.Tensor:
    """How much a place lies on a spiral arm, 0 to 1."""
    wind = torch.log(r) / torch.tan(torch.deg2rad(p["arm_pitch"]))
    angle = torch.atan2(v, x) * p["arm_turn"] - wind - torch.deg2rad(p["arm_phase"])
    phase = p["n_arms"] * angle + 1.6 * p["flocculence"] * large
    return torch.exp(2.2 * (torch.cos(phase) - 1))


def _bar(p: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Draw an oblong with soft ends in the plane of the disk (Ferrers-like, fourth power)."""
    v = y / p["axis_ratio"]
    angle = torch.deg2rad(p["bar_angle"])
    along = (torch.cos(angle) * x + torch.sin(angle) * v) / p["bar_r90"]
    across = (torch.cos(angle) * v - torch.sin(angle) * x) / (0.3 * p["bar_r90"])
    return torch.exp(-(along**4) - across**2)


def _companion(p: dict[str, torch.Tensor], grid: int, pixel: torch.Tensor) -> torch.Tensor:
    """Second galaxy of a merger, and the bridge of stars between the two."""
    step = (torch.arange(grid, dtype=torch.float32) - (grid - 1) / 2) * pixel.view(-1, 1)
    column, row = step[:, None, :] / p["petro_r90"], step[:, :, None] / p["petro_r90"]
    angle, distance = torch.deg2rad(p["companion_angle"]), p["companion_r90"]
    along = torch.cos(angle) * column + torch.sin(angle) * row
    across = torch.cos(angle) * row - torch.sin(angle) * column
    r = torch.sqrt((along - distance) ** 2 + (across / p["bulge_axis_ratio"]) ** 2 + 1e-4)
    second = _normalise(_sersic(r, torch.full_like(r, 1.6), 0.17 + 0.1 * p["companion_flux"]))
    # The bridge is bent, and goes on beyond both galaxies as tails.
    bent = across - 0.35 * p["arm_turn"] * along * (along / distance - 1)
    middle = (along - 0.5 * distance) / (0.75 * distance)
    bridge = _normalise(torch.exp(-((bent / 0.13) ** 2) - middle**2))
    return p["companion_flux"] * second + 0.16 * bridge


def _dust(p: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Share of the light that passes the dust lane of an edge-on disk, a band: (n, 3, h, w).

    Extinction in the red, green and blue band as 0.6 : 0.8 : 1.1 (Cardelli et al. 1989, ApJ 345,
    245, for i, r and g).
    """
    lane = torch.exp(-0.5 * ((y - 0.012) / 0.028) ** 2 - (x / 0.65) ** 2)
    depth = (p["dust"] * lane)[:, None]
    return torch.exp(-depth * torch.tensor([0.6, 0.8, 1.1]).view(1, 3, 1, 1))
