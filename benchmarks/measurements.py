"""Further measurements of pictures, for ``side_by_side.py``: 26 beside the package's twelve."""

from galhelpers.survey import appearance
from galhelpers.survey.appearance import Galaxy, Sky, correlation, lagged, large_sources

import numpy as np
import pandas as pd
from scipy import ndimage
from torch import Tensor

COLUMNS = appearance.COLUMNS | {
    "colour_gradient": "log10 of red over blue inside r50, minus the same outside",
    "colour_scatter": "deviation of (red - blue) / grey over the galaxy, a share",
    "band_shift": "distance between the centres of red and blue light, inside r90, of the width",
    "r90": "radius of 90 % of the galaxy's light, share of the frame's width",
    "area": "area of the galaxy above the sky, share of the frame",
    "offset_down": "how far the centre of light lies below the frame's centre, share of the width",
    "offset_right": "the same, to the right",
    "smoothness": "light in structure finer than a quarter of r80, share of the light outside r20",
    "grain": "deviation from the mean of 3 x 3 pixels, between r50 and r90, levels",
    "residual": "what differs from the median of its ellipse, share of the light, less the sky's",
    "gini": "Gini coefficient of the galaxy's pixels: 0 all alike, 1 all light in one pixel",
    "peak": "brightest grey pixel of the galaxy, sky subtracted, levels of 255",
    "saturated": "share of the galaxy's pixels with a channel of 250 or more",
    "sky_red": "level of the sky, red, of 255",
    "sky_green": "level of the sky, green, of 255",
    "sky_blue": "level of the sky, blue, of 255",
    "sky_gradient": "change of the grey sky from one side of the frame to the other, levels",
    "noise_red": "standard deviation of the sky, red, levels",
    "noise_green": "standard deviation of the sky, green, levels",
    "noise_blue": "standard deviation of the sky, blue, levels",
    "noise_lag2": "correlation of the grey sky with itself 2 pixels away",
    "noise_red_green": "correlation of the sky in red with the sky in green",
    "noise_red_blue": "correlation of the sky in red with the sky in blue",
    "black": "share of the sky's pixels where a channel is 0",
    "source_light": "light of all other sources, in units of the galaxy's",
    "source_peak": "brightest grey pixel of any other source, sky subtracted, levels",
}
"""Columns of ``measure``, and what they are."""

SKY_COLUMNS = [name for name in COLUMNS if name.startswith(("sky", "noise", "black", "block"))]
"""Columns of ``measure_sky``."""


def measure(pictures: Tensor | np.ndarray) -> pd.DataFrame:
    """Measure pictures, uint8 (n, 3, h, w): n rows of ``COLUMNS``."""
    rows = []
    for picture in appearance.check_pictures(pictures):
        outline = appearance.outline_of(picture)
        sky = appearance.sky_of(picture, outline)
        row = appearance.sky_columns(sky, picture) | sky_columns(sky)
        if galaxy := appearance.galaxy_of(picture, outline, sky):
            row |= appearance.galaxy_columns(galaxy, sky) | galaxy_columns(galaxy, sky, picture)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=np.float64)


def measure_sky(pictures: Tensor | np.ndarray) -> pd.DataFrame:
    """Measure only the sky around the galaxy: ``SKY_COLUMNS``."""
    rows = []
    for picture in appearance.check_pictures(pictures):
        sky = appearance.sky_of(picture, appearance.outline_of(picture))
        rows.append(appearance.sky_columns(sky, picture) | sky_columns(sky))
    return pd.DataFrame(rows, columns=SKY_COLUMNS, dtype=np.float64)


def sky_columns(sky: Sky) -> dict[str, float]:
    """Level, tilt, noise and its correlations."""
    red, green, blue = sky.residual[:, sky.mask]
    slope = sky.plane.mean(axis=0)
    return {
        **_by_channel("sky", sky.levels),
        "sky_gradient": float(np.hypot(slope[1], slope[2])),
        **_by_channel("noise", sky.residual[:, sky.mask].std(axis=1)),
        "noise_lag2": lagged(sky.grey, sky.mask, 2),
        "noise_red_green": correlation(red, green),
        "noise_red_blue": correlation(red, blue),
        "black": float((sky.darkest == 0).mean()),
    }


def _by_channel(name: str, values: np.ndarray) -> dict[str, float]:
    return {f"{name}_{c}": float(v) for c, v in zip(("red", "green", "blue"), values, strict=True)}


def galaxy_columns(galaxy: Galaxy, sky: Sky, picture: np.ndarray) -> dict[str, float]:
    """Colours inside and outside, offsets, finer structure, and other sources."""
    height, width = galaxy.light.shape
    r20, r50, r80, r90 = galaxy.radii
    weight, radius, segment = galaxy.weight, galaxy.radius, galaxy.segment
    grey, found, inner = galaxy.pixels.mean(axis=0), np.nonzero(segment), radius < r50
    colour = galaxy.pixels[:, segment]
    return {
        "colour_gradient": _log_ratio(colour[:, inner]) - _log_ratio(colour[:, ~inner]),
        "colour_scatter": _colour_scatter(colour, weight),
        "band_shift": _band_shift(colour * (radius < r90), galaxy.apart) / width,
        "r90": r90 / width,
        "area": float(segment.mean()),
        "offset_down": (galaxy.centre[0] - (height - 1) / 2) / width,
        "offset_right": (galaxy.centre[1] - (width - 1) / 2) / width,
        "smoothness": _smoothness(grey, found, radius > r20, r80, sky.noise),
        "grain": _grain(grey, found, (radius > r50) & (radius < r90)),
        "residual": _residual(galaxy.apart, weight, galaxy.moments, sky.noise),
        "gini": _gini(weight),
        "peak": float(weight.max()),
        "saturated": float((picture[:, segment].max(axis=0) >= 250).mean()),
        **_others(grey, galaxy.others, float(galaxy.light.sum())),
    }


def _log_ratio(colour: np.ndarray) -> float:
    """log10 of red over blue light, pixels (3, n)."""
    red, _, blue = np.clip(colour.sum(axis=1), 1e-3, None)
    return float(np.log10(red / blue))


def _colour_scatter(colour: np.ndarray, light: np.ndarray) -> float:
    """Weighted by light, which leaves the noise of faint pixels out."""
    tint = (colour[0] - colour[2]) / np.clip(light, 1.0, None)
    weight = light / light.sum()
    return float(np.sqrt((weight * (tint - (weight * tint).sum()) ** 2).sum()))


def _band_shift(colour: np.ndarray, apart: tuple[np.ndarray, np.ndarray]) -> float:
    """Distance in pixels between the centres of red and of blue light, pixels (3, n)."""
    red, _, blue = np.clip(colour, 0, None)
    if red.sum() <= 0 or blue.sum() <= 0:
        return float("nan")
    shift = [(axis * red).sum() / red.sum() - (axis * blue).sum() / blue.sum() for axis in apart]
    return float(np.hypot(*shift))


def _grain(grey: np.ndarray, found: tuple[np.ndarray, ...], ring: np.ndarray) -> float:
    """Give the scatter of the galaxy's pixels in the ring about the mean of 3 x 3 pixels."""
    fine = grey - ndimage.uniform_filter(grey, 3)
    return float(fine[found][ring].std()) if ring.any() else float("nan")


def _smoothness(
    grey: np.ndarray, found: tuple[np.ndarray, ...], outside: np.ndarray, r80: float, noise: float
) -> float:
    """Light above a picture smoothed by r80 / 4, outside r20 (after Conselice 2003, eq. 11).

    0 for a smooth galaxy. The noise's own part, sigma / sqrt(2 pi) a pixel, is subtracted.
    """
    blurred = ndimage.uniform_filter(grey, max(3, round(r80 / 4)))
    total = float(grey[found][outside].sum())
    if total <= 0:
        return float("nan")
    above = np.clip(grey - blurred, 0, None)[found][outside].sum()
    return float((above - noise / np.sqrt(2 * np.pi) * outside.sum()) / total)


def _residual(
    apart: tuple[np.ndarray, np.ndarray],
    light: np.ndarray,
    moments: tuple[float, float, float],
    noise: float,
) -> float:
    """Arms, bars, rings and companions: what is left when a galaxy of ellipses is taken away.

    Sum of |I - median of I along an ellipse| over the sum of I, over the galaxy's pixels. Ellipses
    share the axis ratio and the direction of the second moments. The noise's own part, sqrt(2 / pi)
    standard deviations a pixel, is subtracted.
    """
    yy, yx, xx = moments
    determinant = yy * xx - yx**2
    if determinant <= 0:
        return float("nan")
    y, x = apart
    squared = (xx * y**2 - 2 * yx * y * x + yy * x**2) / np.sqrt(determinant)
    ring = np.sqrt(squared).astype(int)  # one pixel wide, in the mean of both axes
    medians = ndimage.median(light, ring, np.arange(ring.max() + 1))
    left = np.abs(light - np.nan_to_num(medians)[ring]).sum() - np.sqrt(2 / np.pi) * noise * len(
        light
    )
    return float(left / light.sum())


def _gini(light: np.ndarray) -> float:
    """Inequality of the pixels' light (Lotz et al. 2004, eq. 6)."""
    ranked, n = np.sort(light), len(light)
    if n < 2 or ranked.sum() <= 0:
        return float("nan")
    factors = 2 * np.arange(1, n + 1) - n - 1
    return float((factors * ranked).sum() / (ranked.mean() * n * (n - 1)))


def _others(grey: np.ndarray, standing_out: np.ndarray, total: float) -> dict[str, float]:
    """Add up the light of the other sources of the frame."""
    labels, large = large_sources(standing_out)
    inside = np.isin(labels, large)
    return {
        "source_light": float(grey[inside].sum() / total),
        "source_peak": float(grey[inside].max()) if len(large) else 0.0,
    }
