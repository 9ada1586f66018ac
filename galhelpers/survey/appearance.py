"""What a picture of a galaxy looks like, in numbers: to hold simulated pictures beside real ones.

The real side is a table of measurements that comes with the package, as pictures of real galaxies
may not be passed on.

Pictures are stretched for the eye and stored as JPEG, so these numbers are no photometry: a radius
or a concentration is that of the picture's brightness. They compare pictures made in the same way.

Sources are connected pixels above the sky, shapes are second moments (Bertin & Arnouts 1996, A&AS
117, 393), structure is measured as concentration, asymmetry and smoothness (Conselice 2003, ApJS
147, 1) and as the Gini coefficient (Lotz, Primack & Madau 2004, AJ 128, 163).
"""

from io import BytesIO
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from torch import Tensor

COLUMNS = {
    "red_to_green": "red light of the galaxy over its green light, sky subtracted",
    "blue_to_green": "blue light of the galaxy over its green light, sky subtracted",
    "colour_gradient": "log10 of red over blue inside r50, minus the same outside",
    "colour_scatter": "deviation of (red - blue) / grey over the galaxy, a share",
    "band_shift": "distance between the centres of red and blue light, inside r90, of the width",
    "r50": "radius of half the galaxy's light, share of the frame's width",
    "r90": "radius of 90 % of the galaxy's light, share of the frame's width",
    "area": "area of the galaxy above the sky, share of the frame",
    "axis_ratio": "minor over major axis, from second moments",
    "offset_down": "how far the centre of light lies below the frame's centre, share of the width",
    "offset_right": "the same, to the right",
    "concentration": "5 log10(r80 / r20)",
    "asymmetry": "what changes by a turn of 180 degrees, share of the light, less the sky's",
    "smoothness": "light in structure finer than a quarter of r80, share of the light outside r20",
    "grain": "deviation from the mean of 3 x 3 pixels, between r50 and r90, levels",
    "residual": "what differs from the median of its ellipse, share of the light, less the sky's",
    "gini": "Gini coefficient of the galaxy's pixels: 0 all alike, 1 all light in one pixel",
    "peak": "brightest grey pixel of the galaxy, sky subtracted, levels of 255",
    "surface_brightness": "mean grey level of the galaxy inside r50, sky subtracted, of 255",
    "saturated": "share of the galaxy's pixels with a channel of 250 or more",
    "sky_red": "level of the sky, red, of 255",
    "sky_green": "level of the sky, green, of 255",
    "sky_blue": "level of the sky, blue, of 255",
    "sky_gradient": "change of the grey sky from one side of the frame to the other, levels",
    "noise_red": "standard deviation of the sky, red, levels",
    "noise_green": "standard deviation of the sky, green, levels",
    "noise_blue": "standard deviation of the sky, blue, levels",
    "noise_grey": "standard deviation of the sky, mean of the channels, levels",
    "noise_lag1": "correlation of the grey sky with itself 1 pixel away",
    "noise_lag2": "correlation of the grey sky with itself 2 pixels away",
    "noise_red_green": "correlation of the sky in red with the sky in green",
    "noise_green_blue": "correlation of the sky in green with the sky in blue",
    "noise_red_blue": "correlation of the sky in red with the sky in blue",
    "black": "share of the sky's pixels where a channel is 0",
    "n_sources": "other sources in the frame: connected pixels 5 sigma above the sky",
    "source_light": "light of all other sources, in units of the galaxy's",
    "source_peak": "brightest grey pixel of any other source, sky subtracted, levels",
    "blockiness": "mean step across the edges of 8 x 8 pixel blocks over the mean step elsewhere",
}
"""Columns of ``measure``, and what they are."""

SKY_COLUMNS = [name for name in COLUMNS if name.startswith(("sky", "noise", "black", "block"))]
"""Columns of ``measure_sky``."""

SIZE, QUALITY = 160, 86  # of the files of the published five-class set
REAL = Path(__file__).with_name("real_appearance.csv")
_BORDER = 1 / 8  # of the frame on each side: more than 3 petroR90 from the galaxy
_DETECTION = 3.0  # sigma of the smoothed sky, for the outline of the galaxy
_SOURCE = 5.0  # the same, for other sources
_FLOOR = 1.5  # levels: below this lie the steps of 8-bit JPEG, however quiet the sky
_AROUND = tuple(product((-1, 0, 1), repeat=2))
_SOURCE_AREA = 4.0  # pixels, in a frame 160 pixels wide


def measure(pictures: Tensor | np.ndarray) -> pd.DataFrame:
    """Measure pictures that hold one galaxy each, near the centre.

    Parameters
    ----------
    pictures : torch.Tensor or numpy.ndarray
        uint8 (n, 3, h, w): red, green, blue. At least 32 pixels high and wide.

    Returns
    -------
    pandas.DataFrame
        n rows; columns and their units as in ``COLUMNS``. Where nothing stands out from the sky at
        the centre, what describes the galaxy is NaN.

    Raises
    ------
    ValueError
        For another shape or another type than uint8.
    """
    rows = []
    for picture in _check(pictures):
        outline = _outline(picture)
        sky = _sky(picture, outline)
        rows.append(sky | _galaxy(picture, outline, sky))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=np.float64)


def measure_sky(pictures: Tensor | np.ndarray) -> pd.DataFrame:
    """Measure only the sky around the galaxy: ``SKY_COLUMNS``; parameters as for ``measure``."""
    rows = [_sky(p, _outline(p)) for p in _check(pictures)]
    return pd.DataFrame(rows, columns=SKY_COLUMNS, dtype=np.float64)


def _check(pictures: Tensor | np.ndarray) -> np.ndarray:
    pixels = np.asarray(pictures)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ValueError(
            f"Expected uint8 pictures (n, 3, h, w), got {pixels.dtype} {pixels.shape}. "
            "Floats in 0-1: multiply by 255 and round; channels last: move axis 3 to 1."
        )
    if min(pixels.shape[2:]) < 32:
        raise ValueError(f"Expected pictures of 32 pixels or more, got {pixels.shape[2:]}.")
    return pixels


class _Outline(NamedTuple):
    smooth: np.ndarray  # grey picture (h, w), smoothed for detection
    border: np.ndarray  # bool (h, w): the outer frame
    level: float  # of the smoothed sky in it, and its standard deviation
    sigma: float

    def above(self, n_sigma: float, floor: float) -> np.ndarray:
        """Pixels that stand out from the sky, bool (h, w)."""
        return self.smooth > self.level + max(n_sigma * self.sigma, floor)


def _outline(picture: np.ndarray) -> _Outline:
    """Smooth a picture; find its sky's level and standard deviation, clipped at 3 sigma."""
    grey = picture.mean(axis=0, dtype=np.float32)
    smooth = ndimage.gaussian_filter(grey, grey.shape[1] / 160)
    border = _border(grey.shape)
    sky = smooth[border]
    for _ in range(5):
        level, sigma = float(sky.mean()), float(sky.std())
        sky = sky[np.abs(sky - np.median(sky)) <= 3 * sigma + 1e-3]
    return _Outline(smooth, border, level, sigma)


def _border(shape: tuple[int, int]) -> np.ndarray:
    """Mark the outer frame (h, w)."""
    down, across = (round(side * _BORDER) for side in shape)
    mask = np.ones(shape, dtype=bool)
    mask[down:-down, across:-across] = False
    return mask


def _sky(picture: np.ndarray, outline: _Outline) -> dict[str, float]:
    """Level, tilt, noise and its correlations of the sky in the outer frame, sources left out."""
    pixels = picture.astype(np.float32)
    border, sources = outline.border, outline.above(3.0, 0.5 * _FLOOR)
    grow = max(1, round(3 * picture.shape[2] / 160))  # their wings
    mask = border & ~ndimage.binary_dilation(sources, iterations=grow)
    if mask.sum() < 100:  # a crowded frame: take what there is
        mask = border
    rows, columns = (
        axis / side - 0.5 for axis, side in zip(np.nonzero(mask), mask.shape, strict=True)
    )
    design = np.column_stack([np.ones(len(rows)), rows, columns])
    values = pixels[:, mask].astype(np.float64)
    plane = np.linalg.lstsq(design, values.T, rcond=None)[0]
    grey_plane = plane.mean(axis=1)
    residual = np.zeros(pixels.shape)
    residual[:, mask] = values - (design @ plane).T
    grey = residual.mean(axis=0)
    red, green, blue = residual[:, mask]
    return {
        **_by_channel("sky", values.mean(axis=1)),
        "sky_gradient": float(np.hypot(grey_plane[1], grey_plane[2])),
        **_by_channel("noise", residual[:, mask].std(axis=1)),
        "noise_grey": float(grey[mask].std()),
        "noise_lag1": _lagged(grey, mask, 1),
        "noise_lag2": _lagged(grey, mask, 2),
        "noise_red_green": _correlation(red, green),
        "noise_green_blue": _correlation(green, blue),
        "noise_red_blue": _correlation(red, blue),
        "black": float((values.min(axis=0) == 0).mean()),
        "blockiness": _blockiness(pixels.mean(axis=0), mask),
    }


def _by_channel(name: str, values: np.ndarray) -> dict[str, float]:
    return {f"{name}_{c}": float(v) for c, v in zip(("red", "green", "blue"), values, strict=True)}


def _lagged(image: np.ndarray, mask: np.ndarray, lag: int) -> float:
    """Correlation of pixels ``lag`` apart, down and across, where both are in the mask."""
    pairs = []
    for a, b in (
        ((slice(lag, None), slice(None)), (slice(None, -lag), slice(None))),
        ((slice(None), slice(lag, None)), (slice(None), slice(None, -lag))),
    ):
        both = mask[a] & mask[b]
        pairs.append((image[a][both], image[b][both]))
    return _correlation(*(np.concatenate(side) for side in zip(*pairs, strict=True)))


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation; NaN where one side does not vary."""
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / scale) if scale > 1e-9 * max(len(a), 1) else float("nan")


def _blockiness(grey: np.ndarray, mask: np.ndarray) -> float:
    """JPEG codes blocks of 8 x 8 pixels on their own: steps appear at their edges."""
    at_edge, elsewhere = [], []
    for image, inside in ((grey, mask), (grey.T, mask.T)):
        step = np.abs(np.diff(image, axis=1))
        both = inside[:, 1:] & inside[:, :-1]
        is_edge = np.broadcast_to(np.arange(1, image.shape[1]) % 8 == 0, step.shape)
        at_edge.append(step[both & is_edge])
        elsewhere.append(step[both & ~is_edge])
    other = np.concatenate(elsewhere).mean()
    return float(np.concatenate(at_edge).mean() / other) if other > 0 else float("nan")


def _galaxy(picture: np.ndarray, outline: _Outline, sky: dict[str, float]) -> dict[str, float]:
    """Measure the galaxy at the centre and the sources around it."""
    height, width = picture.shape[1:]
    levels = np.array([sky[f"sky_{c}"] for c in ("red", "green", "blue")], dtype=np.float32)
    pixels = picture - levels[:, None, None]
    grey, noise = pixels.mean(axis=0), sky["noise_grey"]
    outlines, _ = ndimage.label(outline.above(_DETECTION, _FLOOR))
    near = tuple(slice(int(0.44 * side), int(0.56 * side)) for side in (height, width))
    centre = outline.smooth[near]
    row, column = np.unravel_index(np.argmax(centre), centre.shape)
    own = outlines[near][row, column]
    if own == 0:
        return {}
    segment = outlines == own
    light = np.clip(grey, 0, None) * segment
    total = float(light.sum())
    found = np.nonzero(segment)
    y, x = (float((axis * light[segment]).sum() / total) for axis in found)
    weight = light[segment]
    apart_y, apart_x = found[0] - y, found[1] - x
    radius = np.hypot(apart_y, apart_x)
    r20, r50, r80, r90 = _radii(radius, weight, (0.2, 0.5, 0.8, 0.9))
    yy, yx, xx = (
        float((a * weight).sum() / total) for a in (apart_y**2, apart_y * apart_x, apart_x**2)
    )
    small, large = np.linalg.eigvalsh([[yy, yx], [yx, xx]])
    inner = radius < r50
    colour = pixels[:, segment]
    red, green, blue = colour.sum(axis=1)
    return {
        "red_to_green": float(red / green),
        "blue_to_green": float(blue / green),
        "colour_gradient": _log_ratio(colour[:, inner]) - _log_ratio(colour[:, ~inner]),
        "colour_scatter": _colour_scatter(colour, weight),
        "band_shift": _band_shift(colour * (radius < r90), (apart_y, apart_x)) / width,
        "r50": r50 / width,
        "r90": r90 / width,
        "area": float(segment.mean()),
        "axis_ratio": float(np.sqrt(max(small, 0.0) / large)) if large > 0 else float("nan"),
        "offset_down": (y - (height - 1) / 2) / width,
        "offset_right": (x - (width - 1) / 2) / width,
        "concentration": float(5 * np.log10(r80 / r20)),
        "asymmetry": _asymmetry(light, len(weight), noise),
        "smoothness": _smoothness(grey, found, radius > r20, r80, noise),
        "grain": _grain(grey, found, (radius > r50) & (radius < r90)),
        "residual": _residual((apart_y, apart_x), weight, (yy, yx, xx), noise),
        "gini": _gini(weight),
        "peak": float(weight.max()),
        "surface_brightness": float(weight[inner].mean()),
        "saturated": float((picture[:, segment].max(axis=0) >= 250).mean()),
        **_others(grey, outline.above(_SOURCE, 2 * _FLOOR) & ~segment, total),
    }


def _radii(radius: np.ndarray, light: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Radii in pixels of circles that hold these shares of the light."""
    order = np.argsort(radius, kind="stable")
    grown = np.cumsum(light[order])
    # Half of a pixel's light lies inside the distance of its centre.
    grown = (grown - 0.5 * light[order]) / grown[-1]
    return [max(float(r), 0.3) for r in np.interp(shares, grown, radius[order])]


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


def _asymmetry(light: np.ndarray, n_pixels: int, noise: float) -> float:
    """Smallest sum |I - I180| / sum |I| over centres (Conselice 2003, eq. 10), light (h, w).

    The centre walks from the brightest pixel, half a pixel at a time, as long as that helps. The
    noise's own part, 2 / sqrt(pi) standard deviations a pixel, is subtracted.
    """
    peak = np.unravel_index(np.argmax(light), light.shape)
    place, best = (2 * int(peak[0]), 2 * int(peak[1])), np.inf
    while True:
        around = [(place[0] + down, place[1] + across) for down, across in _AROUND]
        changes = [_turned(light, *centre) for centre in around]
        if min(changes) >= best:
            break
        place, best = around[int(np.argmin(changes))], min(changes)
    own = 2 / np.sqrt(np.pi) * noise * n_pixels
    return float((best - own) / light.sum())


def _turned(light: np.ndarray, twice_y: int, twice_x: int) -> float:
    """Sum of |I - I180| about a centre given in half pixels, light (h, w)."""
    height, width = light.shape
    top, left = max(0, twice_y - height + 1), max(0, twice_x - width + 1)
    part = light[top : twice_y - top + 1, left : twice_x - left + 1]
    cut = light.sum() - part.sum()  # what has no partner inside the frame
    return float(np.abs(part - part[::-1, ::-1]).sum() + 2 * cut)


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
    """Count the other sources of the frame and add up their light."""
    labels, n = ndimage.label(standing_out)
    if n == 0:
        return {"n_sources": 0.0, "source_light": 0.0, "source_peak": 0.0}
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    large = 1 + np.flatnonzero(areas >= _SOURCE_AREA * (grey.shape[1] / 160) ** 2)
    inside = np.isin(labels, large)
    return {
        "n_sources": float(len(large)),
        "source_light": float(grey[inside].sum() / total),
        "source_peak": float(grey[inside].max()) if len(large) else 0.0,
    }


# Simulated beside real ---------------------------------------------------------------------------


def stored_as_published(picture: Image.Image) -> np.ndarray:
    """Reduce a picture and store it as the published five-class set stores Kaggle's.

    Parameters
    ----------
    picture : PIL.Image.Image
        RGB, the whole frame (424 x 424 px at Kaggle), before or after it was a JPEG.

    Returns
    -------
    numpy.ndarray
        uint8 (3, 160, 160): reduced with a Lanczos filter, written as JPEG of quality 86 and read
        again. From Kaggle's originals this gives the published files pixel for pixel.
    """
    file = BytesIO()
    small = picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS)
    small.save(file, "jpeg", quality=QUALITY)
    return np.asarray(Image.open(file).convert("RGB")).transpose(2, 0, 1)


def real_appearance() -> pd.DataFrame:
    """Measurements of 360 real galaxies, to hold simulated ones against.

    The galaxies are drawn at random from those of Galaxy Zoo 2 (SDSS images; Willett et al. 2013,
    MNRAS 435, 2835) in the five-class selection of Zhu et al. 2019 (Ap&SS 364, 55), with its class
    shares. Measured are the whole frames of Kaggle's Galaxy Challenge, reduced to 160 px as by
    ``stored_as_published``. The table was written, with four significant digits, by
    ``python benchmarks/side_by_side.py --data-root DIR --write-real
    galhelpers/survey/real_appearance.csv``, where DIR holds the folder ``gz2_five_class``.

    Returns
    -------
    pandas.DataFrame
        360 rows; ``class_id`` (int, position in ``FIVE_CLASSES``), then the columns of
        ``measure``, with its units.
    """
    return pd.read_csv(REAL)


def separation(first: np.ndarray, second: np.ndarray) -> float:
    """Tell how far two samples of one measurement are apart.

    The area under the ROC curve, which is Mann and Whitney's U over the number of pairs (Hanley &
    McNeil 1982, Radiology 143, 29): the chance that a value of the second is above one of the
    first, ties counted half.

    Parameters
    ----------
    first, second : numpy.ndarray
        (n,) and (m,). NaNs are left out.

    Returns
    -------
    float
        0.5: alike; 1: every value of the second is above all of the first; 0: below. NaN where one
        side has no value.
    """
    first, second = (np.sort(x[~np.isnan(x)]) for x in (np.asarray(first), np.asarray(second)))
    if not len(first) or not len(second):
        return float("nan")
    below = np.searchsorted(first, second, "left") + np.searchsorted(first, second, "right")
    return float(below.sum() / (2 * len(first) * len(second)))


def compare(real: pd.DataFrame, simulated: pd.DataFrame) -> pd.DataFrame:
    """Compare each measurement by itself, what gives the simulation away first.

    Parameters
    ----------
    real, simulated : pandas.DataFrame
        Measurements, one row a galaxy. Columns that ``simulated`` does not have are left out.

    Returns
    -------
    pandas.DataFrame
        One row a measurement: ``measurement``, ``real`` and ``simulated`` (as ``spread``), and
        ``AUC``, the ``separation`` of the two: above 0.5 where simulated values are the larger.
    """
    rows = [
        {
            "measurement": name,
            "real": spread(real[name]),
            "simulated": spread(simulated[name]),
            "AUC": separation(real[name].to_numpy(), simulated[name].to_numpy()),
        }
        for name in simulated
    ]
    table = pd.DataFrame(rows)
    distance = (table["AUC"] - 0.5).abs()
    return table.loc[distance.sort_values(ascending=False, na_position="last").index]


def spread(values: pd.Series) -> str:
    """Write the median and the range that holds the middle 68 %."""
    if not values.notna().any():
        return "-"
    low, middle, high = values.quantile([0.16, 0.5, 0.84])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"
