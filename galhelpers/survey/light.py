"""The light of one galaxy: bulge, disk, spiral arms, bar, ring, dust and companion, before the PSF.

Three populations of stars are drawn apart because they differ in colour: old (bulge and bar), disk,
and young (arms and star-forming clumps). Each is normalised to its share of the total flux.

Sersic profile: I(r) = exp(-b (r / Re)^(1/n)), b = 2n - 1/3 + 4 / (405 n) (Ciotti & Bertin 1999, A&A
352, 447). Edge-on disk: (R / h) K1(R / h) sech^2(z / z0) (van der Kruit & Searle 1981, A&A 95,
105). Logarithmic spiral: angle = ln(r / r0) / tan(pitch).
"""

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from galhelpers.survey.galaxies import generator
from galhelpers.survey.telescopes import Telescope, band_offsets

R90_PER_RE = 2.2
"""petroR90 in units of the half-light radius; near 2.2 for Sersic indices from 1 to 4."""

GZ2_FRAME = 424 * 0.02
"""Side of a Galaxy Zoo 2 picture in units of petroR90: 424 pixels of 0.02 x petroR90 arcsec."""

_EXTINCTION = {"g": 1.38, "r": 1.0, "i": 0.75, "z": 0.56, "h": 0.21}
_CENTRE, _FINE = 6, 10  # the central 6 x 6 pixels are drawn 10 times finer
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
        Image size in pixels, even.
    pixel : torch.Tensor
        (n,) arcsec a pixel; the work is done on its device.

    Returns
    -------
    torch.Tensor
        float32 (n, bands, grid, grid): nanomaggies a pixel. The sum over a frame of 8.48 petroR90
        is the galaxy's flux before dust, without a merger's companion and bridge (a bar adds a few
        per cent); other frames show their part of the same light.
    """
    p = _columns(truth, pixel.device)
    texture = _textures(truth).to(pixel.device)
    parts = _parts(p, texture, grid, pixel)
    whole = GZ2_FRAME * p["petro_r90"].flatten()
    sums = parts.sum(dim=(2, 3), keepdim=True)
    other = torch.nonzero((grid * pixel / whole - 1).abs() > 1e-4).flatten()
    if len(other):  # a frame of another width: what the usual one would hold decides
        p_other, size = _rows(p, other), 64
        usual = _parts(p_other, texture[other], size, whole[other] / size)
        per_area = (pixel[other] * size / whole[other]) ** 2
        sums[other] = usual.sum(dim=(2, 3), keepdim=True) / per_area.view(-1, 1, 1, 1)
    parts = parts / sums.clamp(min=1e-12)

    disk_share = 1 - p["bulge_fraction"]
    bar_share = 0.16 * p["bar_strength"] * disk_share
    young_share = disk_share * (0.28 * p["arm_strength"] + 0.25 * p["is_irregular"])
    bulge, disk, young, bar, second = parts.unbind(1)
    old = bulge * p["bulge_fraction"] + bar * bar_share
    disk = disk * ((disk_share - young_share).clamp(min=0) * (1 - 0.16 * p["bar_strength"]))

    light = old[:, None] * _fluxes(truth, "bulge", scope, pixel.device)
    light += disk[:, None] * _fluxes(truth, "disk", scope, pixel.device)
    light *= _redder_inside(p, scope, grid, pixel)
    light += (young * young_share)[:, None] * _fluxes(truth, "arms", scope, pixel.device)
    # Few galaxies have these; only they are worked on.
    dusty = np.flatnonzero(truth["dust"] > 0)
    if len(dusty):
        light[dusty] *= _dust(_rows(p, dusty), scope, grid, pixel[dusty])
    mergers = np.flatnonzero(truth["odd"] == "merger")
    if len(mergers):
        colour = _fluxes(truth.iloc[mergers], "disk", scope, pixel.device)
        share = p["companion_flux"][mergers] + 0.16
        light[mergers] += (second[mergers] * share)[:, None] * colour
    return light


def _parts(
    p: dict[str, torch.Tensor], texture: torch.Tensor, grid: int, pixel: torch.Tensor
) -> torch.Tensor:
    """Bulge, disk, young stars, bar and companion, each in units of its own: (n, 5, grid, grid)."""
    at = torch.arange(grid, dtype=torch.float32, device=pixel.device) - (grid - 1) / 2
    x, y, step = _galaxy_plane(p, at, pixel)
    disk, young = _disk(p, x, y, 0.2 * step, texture)
    bulge = _bulge(p, x, y, 0.2 * step)
    # The centre of a bulge is steeper than a pixel is wide: there, the mean of finer samples.
    half = grid // 2
    near = torch.arange(_FINE * _CENTRE, dtype=torch.float32, device=pixel.device)
    near = (near + 0.5) / _FINE - _CENTRE / 2
    fine = _bulge(p, *_galaxy_plane(p, near, pixel)[:2], 0.0 * step)
    middle = slice(half - _CENTRE // 2, half + _CENTRE // 2)
    bulge[:, middle, middle] = F.avg_pool2d(fine[:, None], _FINE)[:, 0]

    parts = torch.zeros((len(x), 5, grid, grid), device=pixel.device)
    parts[:, 0], parts[:, 1], parts[:, 2], parts[:, 3] = bulge, disk, young, _bar(p, x, y)
    mergers = torch.nonzero(p["is_merger"].flatten() > 0).flatten()
    if len(mergers):
        parts[mergers, 4] = _companion(_rows(p, mergers), at, pixel[mergers])
    return parts


def semi_major_r90(
    petro_r90: torch.Tensor,
    axis_ratio: torch.Tensor,
    is_smooth: torch.Tensor,
    edge_on: torch.Tensor,
) -> torch.Tensor:
    """Radius along the major axis that petroR90 stands for, in its unit; tensors of one shape.

    Petrosian radii are those of circles: a flat galaxy reaches further along its major axis. The
    factors are fitted to light within 50 and 90 % radii in pictures of Galaxy Zoo 2.
    """
    flat = 1 - axis_ratio
    smooth, disk = 0.85 * (1 + 0.36 * flat), (1.15 + 0.16 * edge_on) * (1 + 0.65 * flat)
    return petro_r90 * torch.where(is_smooth > 0, smooth, disk)


def _rows(p: dict[str, torch.Tensor], rows: np.ndarray | torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: column[rows] for name, column in p.items()}


def _columns(truth: pd.DataFrame, device: torch.device) -> dict[str, torch.Tensor]:
    """Numbers of the table as float32 (n, 1, 1), ready to meet images."""
    numbers = truth.select_dtypes(["number", "bool"]).drop(columns=["id", "texture"])
    p = {
        str(name): torch.tensor(column.to_numpy(dtype=np.float32), device=device).view(-1, 1, 1)
        for name, column in numbers.items()
    }
    flags = {
        "is_irregular": truth["kind"] == "irregular",
        "is_smooth": truth["kind"] == "smooth",
        "is_boxy": truth["edge_on_bulge"] == "boxy",
        "no_bulge": truth["edge_on_bulge"] == "none",
        "is_merger": truth["odd"] == "merger",
    }
    for name, flag in flags.items():
        p[name] = torch.tensor(flag.to_numpy(dtype=np.float32), device=device).view(-1, 1, 1)
    return p


def _fluxes(truth: pd.DataFrame, part: str, scope: Telescope, device: torch.device) -> torch.Tensor:
    """Flux of the whole galaxy, were it all of this population: nanomaggies (n, bands, 1, 1)."""
    g_r, r_i = truth[f"g_r_{part}"].to_numpy(), truth[f"r_i_{part}"].to_numpy()
    magnitudes = truth["mag"].to_numpy()[:, None] + band_offsets(g_r, r_i, scope.bands)
    flux = torch.tensor(10 ** (-0.4 * (magnitudes - 22.5)), dtype=torch.float32, device=device)
    return flux[:, :, None, None]


def _galaxy_plane(
    p: dict[str, torch.Tensor], at: torch.Tensor, pixel: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Coordinates along the galaxy's axes in units of its 90 % radius, and the size of a pixel.

    ``at`` are columns, and rows, in pixels from the centre.
    """
    r90 = semi_major_r90(p["petro_r90"], p["axis_ratio"], p["is_smooth"], p["edge_on"])
    scale = pixel.view(-1, 1, 1) / r90
    column, row = at.view(1, 1, -1) * scale, at.view(1, -1, 1) * scale
    angle = torch.deg2rad(p["pa"])
    x = torch.cos(angle) * column + torch.sin(angle) * row
    y = torch.cos(angle) * row - torch.sin(angle) * column
    # Lopsided galaxies: the centre is off the middle of the outer parts.
    bend = 0.35 * p["lopsidedness"]
    y = y + bend * p["axis_ratio"] * (x**2 / (1 + x**2))
    x = x + bend * 0.6 * (x**2 / (1 + x**2))
    return x, y, scale


def _redder_inside(
    p: dict[str, torch.Tensor], scope: Telescope, grid: int, pixel: torch.Tensor
) -> torch.Tensor:
    """Factor a band for bulge, bar and disk, redder inside: (n, bands, grid, grid).

    g - r falls by 0.16 and r - i by 0.08 magnitudes from a radius to ten times it: fitted to
    pictures of Galaxy Zoo 2, twice what ellipticals alone have (La Barbera et al. 2005, ApJ 626,
    19), since disks too are redder inside.
    """
    at = torch.arange(grid, dtype=torch.float32, device=pixel.device) - (grid - 1) / 2
    r = torch.hypot(at.view(1, 1, -1), at.view(1, -1, 1)) * (pixel.view(-1, 1, 1) / p["petro_r90"])
    slopes = band_offsets(np.array(-0.16), np.array(-0.08), scope.bands)
    decades = torch.log10((r / 0.3).clamp(min=0.1, max=10))[:, None]
    return 10 ** (
        -0.4 * torch.tensor(slopes, dtype=r.dtype, device=r.device).view(-1, 1, 1) * decades
    )


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
    # Most disks are broken: a shallow exponential that falls off near the edge (Pohlen & Trujillo
    # 2006, A&A 454, 759, type II).
    scale_length = 1 / (3.0 + 0.7 * p["edge_on"])
    v = y / p["axis_ratio"]
    r = torch.sqrt(x**2 + v**2 + softening**2)
    patches = F.grid_sample(
        texture, torch.stack([x, v], dim=-1) / _REACH, padding_mode="border", align_corners=False
    )
    large, small = patches[:, 0], patches[:, 1]
    edge = torch.sigmoid((1.02 - r) / 0.14)
    face_on = torch.exp(-r / scale_length) * edge
    arms = _arms(p, x, v, r, large)
    strength = p["arm_strength"]
    # Arms begin outside the bulge and fade where the disk ends.
    inside = torch.sigmoid((r - 0.22) / 0.05)
    face_on = face_on * (1 + strength * inside * (1.25 * arms - 0.35) + 0.16 * strength * small)
    ring = torch.exp(-0.5 * ((r - p["ring_r90"]) / 0.07) ** 2) * (p["ring_r90"] > 0)
    face_on = face_on.clamp(min=0) + 0.14 * ring

    clumps = torch.exp(1.1 * p["clumpiness"] * small)
    young = torch.exp(-r / (1.3 * scale_length)) * edge * inside * arms**2 * clumps * (strength > 0)
    patchy = torch.exp(-r / scale_length) * torch.exp(1.2 * large + 0.7 * small)
    young = young + patchy * p["is_irregular"]
    face_on = face_on * torch.exp(0.5 * p["is_irregular"] * large)
    side = torch.nonzero(p["edge_on"].flatten() > 0).flatten()
    if len(side):
        height = (1.25 * p["axis_ratio"] * scale_length)[side]
        face_on[side] = _edge_on_disk(x[side], y[side], softening[side], scale_length[side], height)
    return face_on, young


def _edge_on_disk(
    x: torch.Tensor,
    y: torch.Tensor,
    softening: torch.Tensor,
    length: torch.Tensor,
    height: torch.Tensor,
) -> torch.Tensor:
    """Draw a disk from the side, of a scale length and a scale height."""
    along = torch.sqrt(x**2 + softening**2) / length
    profile = along * torch.special.modified_bessel_k1(along)
    profile = profile / torch.cosh((y / height).abs().clamp(max=20)) ** 2
    return profile * torch.sigmoid((1.1 / length - along) / 0.4)  # disks end


def _arms(
    p: dict[str, torch.Tensor],
    x: torch.Tensor,
    v: torch.Tensor,
    r: torch.Tensor,
    large: torch.Tensor,
) -> torch.Tensor:
    """How much a place lies on a spiral arm: 0 between arms, about 1 on one, more where uneven."""
    wind = torch.log(r) / torch.tan(torch.deg2rad(p["arm_pitch"]))
    angle = torch.atan2(v, x) * p["arm_turn"] - wind - torch.deg2rad(p["arm_phase"])
    phase = p["n_arms"] * angle + 1.6 * p["flocculence"] * large
    # No arm is as bright all along, and none like the others.
    uneven = torch.exp(0.35 * large) * (1 + 1.2 * p["lopsidedness"] * torch.cos(angle))
    return torch.exp(1.8 * (torch.cos(phase) - 1)) * uneven


def _bar(p: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Draw an oblong with soft ends in the plane of the disk (Ferrers-like, fourth power)."""
    v = y / p["axis_ratio"]
    angle = torch.deg2rad(p["bar_angle"])
    along = (torch.cos(angle) * x + torch.sin(angle) * v) / p["bar_r90"]
    across = (torch.cos(angle) * v - torch.sin(angle) * x) / (0.3 * p["bar_r90"])
    return torch.exp(-(along**4) - across**2)


def _companion(p: dict[str, torch.Tensor], at: torch.Tensor, pixel: torch.Tensor) -> torch.Tensor:
    """Second galaxy of a merger, and the bridge of stars between the two."""
    scale = pixel.view(-1, 1, 1) / p["petro_r90"]
    column, row = at.view(1, 1, -1) * scale, at.view(1, -1, 1) * scale
    angle, distance = torch.deg2rad(p["companion_angle"]), p["companion_r90"]
    along = torch.cos(angle) * column + torch.sin(angle) * row
    across = torch.cos(angle) * row - torch.sin(angle) * column
    r = torch.sqrt((along - distance) ** 2 + (across / p["bulge_axis_ratio"]) ** 2 + 1e-4)
    # An exponential holds its light in 2 pi h^2, a bent Gaussian ridge in pi x width x length.
    size = 0.17 + 0.1 * p["companion_flux"]
    second = torch.exp(-1.68 * r / size) * (1.68 / size) ** 2 / (2 * np.pi * p["bulge_axis_ratio"])
    # The bridge is bent, and goes on beyond both galaxies as tails.
    bent = across - 0.35 * p["arm_turn"] * along * (along / distance - 1)
    middle = (along - 0.5 * distance) / (0.75 * distance)
    bridge = torch.exp(-((bent / 0.13) ** 2) - middle**2) / (np.pi * 0.13 * 0.75 * distance)
    return p["companion_flux"] * second + 0.16 * bridge


def _dust(
    p: dict[str, torch.Tensor], scope: Telescope, grid: int, pixel: torch.Tensor
) -> torch.Tensor:
    """Share of the light that passes the dust lane of an edge-on disk: (n, bands, grid, grid).

    The deepest extinction in r is 0.8 times the ``dust`` of truth, as an optical depth.

    Extinction in units of that in r (Cardelli et al. 1989, ApJ 345, 245).
    """
    at = torch.arange(grid, dtype=torch.float32, device=pixel.device) - (grid - 1) / 2
    x, y, _ = _galaxy_plane(p, at, pixel)
    lane = torch.exp(-0.5 * ((y - 0.012) / 0.028) ** 2 - (x / 0.65) ** 2)
    law = torch.tensor([0.8 * _EXTINCTION[band] for band in scope.bands], device=pixel.device)
    return torch.exp(-(p["dust"] * lane)[:, None] * law.view(-1, 1, 1))
