"""What a picture of a galaxy looks like, in numbers: to hold simulated pictures beside real ones.

The real side is a table of measurements that comes with the package, as pictures of real galaxies
may not be passed on.

Pictures are stretched for the eye and stored as JPEG, so these numbers are no photometry: a radius
or a concentration is that of the picture's brightness. They compare pictures made in the same way.

Sources are connected pixels above the sky, shapes are second moments (Bertin & Arnouts 1996, A&AS
117, 393), structure as concentration and asymmetry (Conselice 2003, ApJS
147, 1).
"""

from io import BytesIO
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from torch import Tensor

COLUMNS = {
    "red_to_green": "red light of the galaxy over its green light, sky subtracted",
    "blue_to_green": "blue light of the galaxy over its green light, sky subtracted",
    "r50": "radius of half the galaxy's light, share of the frame's width",
    "axis_ratio": "minor over major axis, from second moments",
    "concentration": "5 log10(r80 / r20)",
    "asymmetry": "what changes by a turn of 180 degrees, share of the light, less the sky's",
    "surface_brightness": "mean grey level of the galaxy inside r50, sky subtracted, of 255",
    "noise_grey": "standard deviation of the sky, mean of the channels, levels",
    "noise_lag1": "correlation of the grey sky with itself 1 pixel away",
    "noise_green_blue": "correlation of the sky in green with the sky in blue",
    "n_sources": "other sources in the frame: connected pixels 5 sigma above the sky",
    "blockiness": "mean step across the edges of 8 x 8 pixel blocks over the mean step elsewhere",
}
"""Columns of ``measure``, and what they are. ``benchmarks/measurements.py`` has 26 more."""

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
    for picture in check_pictures(pictures):
        outline = outline_of(picture)
        sky = sky_of(picture, outline)
        galaxy = galaxy_of(picture, outline, sky)
        rows.append(sky_columns(sky, picture) | (galaxy_columns(galaxy, sky) if galaxy else {}))
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=np.float64)


def check_pictures(pictures: Tensor | np.ndarray) -> np.ndarray:
    """Give pictures as an array, uint8 (n, 3, h, w); ValueError says what is wrong with others."""
    pixels = np.asarray(pictures)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ValueError(
            f"Expected uint8 pictures (n, 3, h, w), got {pixels.dtype} {pixels.shape}. "
            "Floats in 0-1: multiply by 255 and round; channels last: move axis 3 to 1."
        )
    if min(pixels.shape[2:]) < 32:
        raise ValueError(f"Expected pictures of 32 pixels or more, got {pixels.shape[2:]}.")
    return pixels


# One picture: outline, sky, galaxy ---------------------------------------------------------------


class Outline(NamedTuple):
    """A smoothed picture, and the level of its sky: what stands out from it is a source."""

    smooth: np.ndarray  # grey picture (h, w), smoothed for detection
    border: np.ndarray  # bool (h, w): the outer frame
    level: float  # of the smoothed sky in it, and its standard deviation
    sigma: float

    def above(self, n_sigma: float, floor: float) -> np.ndarray:
        """Pixels that stand out from the sky, bool (h, w)."""
        return self.smooth > self.level + max(n_sigma * self.sigma, floor)


def outline_of(picture: np.ndarray) -> Outline:
    """Smooth a picture; find its sky's level and standard deviation, clipped at 3 sigma."""
    grey = picture.mean(axis=0, dtype=np.float32)
    smooth = ndimage.gaussian_filter(grey, grey.shape[1] / 160)
    border = _border(grey.shape)
    sky = smooth[border]
    for _ in range(5):
        level, sigma = float(sky.mean()), float(sky.std())
        sky = sky[np.abs(sky - np.median(sky)) <= 3 * sigma + 1e-3]
    return Outline(smooth, border, level, sigma)


def _border(shape: tuple[int, int]) -> np.ndarray:
    """Mark the outer frame (h, w)."""
    down, across = (round(side * _BORDER) for side in shape)
    mask = np.ones(shape, dtype=bool)
    mask[down:-down, across:-across] = False
    return mask


class Sky(NamedTuple):
    """The sky in the outer frame of a picture, sources left out."""

    mask: np.ndarray  # bool (h, w): its pixels
    levels: np.ndarray  # (3,) mean of red, green and blue
    plane: np.ndarray  # (3, 3): level, slope down and slope across of each channel
    residual: np.ndarray  # (3, h, w) what the plane leaves; 0 outside the mask
    darkest: np.ndarray  # (n,) smallest channel of each pixel of the mask

    @property
    def grey(self) -> np.ndarray:
        """Mean of the channels' residuals, (h, w)."""
        return self.residual.mean(axis=0)

    @property
    def noise(self) -> float:
        """Standard deviation of the grey sky, levels."""
        return float(self.grey[self.mask].std())


def sky_of(picture: np.ndarray, outline: Outline) -> Sky:
    """Fit a plane to the sky of each channel of a picture, uint8 (3, h, w)."""
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
    residual = np.zeros(pixels.shape)
    residual[:, mask] = values - (design @ plane).T
    return Sky(mask, values.mean(axis=1), plane.T, residual, values.min(axis=0))


class Galaxy(NamedTuple):
    """The galaxy at the centre of a picture: the connected pixels above the sky."""

    segment: np.ndarray  # bool (h, w): its pixels
    pixels: np.ndarray  # (3, h, w) the picture, sky subtracted
    others: np.ndarray  # bool (h, w): pixels of other sources
    light: np.ndarray  # (h, w) its grey light, 0 elsewhere
    centre: tuple[float, float]  # of light, row and column
    apart: tuple[np.ndarray, np.ndarray]  # of its pixels from the centre, down and across
    radii: tuple[float, float, float, float]  # that hold 20, 50, 80 and 90 % of the light, pixels
    moments: tuple[float, float, float]  # second moments yy, yx, xx, pixels^2

    @property
    def weight(self) -> np.ndarray:
        """Grey light of its pixels, (n,)."""
        return self.light[self.segment]

    @property
    def radius(self) -> np.ndarray:
        """Distance of its pixels from the centre, (n,)."""
        return np.hypot(*self.apart)


def galaxy_of(picture: np.ndarray, outline: Outline, sky: Sky) -> Galaxy | None:
    """Find the galaxy of a picture; None where nothing stands out from the sky at the centre."""
    height, width = picture.shape[1:]
    pixels = picture - sky.levels.astype(np.float32)[:, None, None]
    outlines, _ = ndimage.label(outline.above(_DETECTION, _FLOOR))
    near = tuple(slice(int(0.44 * side), int(0.56 * side)) for side in (height, width))
    centre = outline.smooth[near]
    row, column = np.unravel_index(np.argmax(centre), centre.shape)
    own = outlines[near][row, column]
    if own == 0:
        return None
    segment = outlines == own
    light = np.clip(pixels.mean(axis=0), 0, None) * segment
    found, weight, total = np.nonzero(segment), light[segment], float(light.sum())
    y, x = (float((axis * weight).sum() / total) for axis in found)
    down, across = found[0] - y, found[1] - x
    radii = _radii(np.hypot(down, across), weight, (0.2, 0.5, 0.8, 0.9))
    products = (down**2, down * across, across**2)
    yy, yx, xx = (float((a * weight).sum() / total) for a in products)
    others = outline.above(_SOURCE, 2 * _FLOOR) & ~segment
    r20, r50, r80, r90 = radii
    return Galaxy(
        segment, pixels, others, light, (y, x), (down, across), (r20, r50, r80, r90), (yy, yx, xx)
    )


# Its numbers -------------------------------------------------------------------------------------


def sky_columns(sky: Sky, picture: np.ndarray) -> dict[str, float]:
    """Measure the sky: its noise, how that is correlated, and the blocks of JPEG."""
    _, green, blue = sky.residual[:, sky.mask]
    return {
        "noise_grey": sky.noise,
        "noise_lag1": lagged(sky.grey, sky.mask, 1),
        "noise_green_blue": correlation(green, blue),
        "blockiness": _blockiness(picture.mean(axis=0, dtype=np.float32), sky.mask),
    }


def galaxy_columns(galaxy: Galaxy, sky: Sky) -> dict[str, float]:
    """Measure the galaxy: colours, size, shape, structure, and the sources around it."""
    r20, r50, r80, _ = galaxy.radii
    weight = galaxy.weight
    red, green, blue = galaxy.pixels[:, galaxy.segment].sum(axis=1)
    yy, yx, xx = galaxy.moments
    small, large = np.linalg.eigvalsh([[yy, yx], [yx, xx]])
    return {
        "red_to_green": float(red / green),
        "blue_to_green": float(blue / green),
        "r50": r50 / galaxy.light.shape[1],
        "axis_ratio": float(np.sqrt(max(small, 0.0) / large)) if large > 0 else float("nan"),
        "concentration": float(5 * np.log10(r80 / r20)),
        "asymmetry": _asymmetry(galaxy.light, len(weight), sky.noise),
        "surface_brightness": float(weight[galaxy.radius < r50].mean()),
        "n_sources": float(len(large_sources(galaxy.others)[1])),
    }


def large_sources(standing_out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label the sources of a frame, (h, w), and list the labels of those of four pixels or more."""
    labels, n = ndimage.label(standing_out)
    areas = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    return labels, 1 + np.flatnonzero(areas >= _SOURCE_AREA * (labels.shape[1] / 160) ** 2)


def lagged(image: np.ndarray, mask: np.ndarray, lag: int) -> float:
    """Correlation of pixels ``lag`` apart, down and across, where both are in the mask."""
    pairs = []
    for a, b in (
        ((slice(lag, None), slice(None)), (slice(None, -lag), slice(None))),
        ((slice(None), slice(lag, None)), (slice(None), slice(None, -lag))),
    ):
        both = mask[a] & mask[b]
        pairs.append((image[a][both], image[b][both]))
    return correlation(*(np.concatenate(side) for side in zip(*pairs, strict=True)))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
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


def _radii(radius: np.ndarray, light: np.ndarray, shares: tuple[float, ...]) -> list[float]:
    """Radii in pixels of circles that hold these shares of the light."""
    order = np.argsort(radius, kind="stable")
    grown = np.cumsum(light[order])
    # Half of a pixel's light lies inside the distance of its centre.
    grown = (grown - 0.5 * light[order]) / grown[-1]
    return [max(float(r), 0.3) for r in np.interp(shares, grown, radius[order])]


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


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """Tell how far two samples of one measurement are apart.

    The area under the ROC curve is the chance that a value of the second is above one of the first,
    ties counted half (Hanley & McNeil 1982, Radiology 143, 29).

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
    first, second = (x[~np.isnan(x)] for x in (np.asarray(first), np.asarray(second)))
    if not len(first) or not len(second):
        return float("nan")
    is_second = np.repeat([0, 1], [len(first), len(second)])
    return float(roc_auc_score(is_second, np.concatenate([first, second])))


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
        ``AUC``, the ``auc`` of the two: above 0.5 where simulated values are the larger.
    """
    rows = [
        {
            "measurement": name,
            "real": spread(real[name]),
            "simulated": spread(simulated[name]),
            "AUC": auc(real[name].to_numpy(), simulated[name].to_numpy()),
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
