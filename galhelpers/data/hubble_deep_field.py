"""Real galaxies that come with a package: cut from the Hubble eXtreme Deep Field.

scikit-image ships one picture of the deep sky, 1000 x 872 pixels of 0.14 arcsec: the Hubble eXtreme
Deep Field (HubbleSite 2012-37; Illingworth et al. 2013, ApJS 209, 6). It is in the public domain.
Nothing is fetched.

These galaxies are not those of Galaxy Zoo 2. Most are billions of light years further away, the
colours stand for other bands (the reddest for infrared light), and no volunteer has voted here.
"""

from functools import cache

import numpy as np
import pandas as pd
from PIL import Image

CREDIT = (
    "NASA; ESA; G. Illingworth, D. Magee and P. Oesch (University of California, Santa Cruz); "
    "R. Bouwens (Leiden University); and the HUDF09 Team"
)
"""Whom to name beside the picture; by way of scikit-image, ``skimage.data.hubble_deep_field``."""

KINDS = ("spiral", "edge-on", "smooth", "merger", "irregular")
"""What the course calls some of the galaxies, by eye."""

THRESHOLD = 40.0
"""Level, of 255, above which pixels of the smoothed picture belong to a source; the sky has 13."""

# (row, column) in whole pixels of what was looked at, enlarged eight times. Others have no name.
_SEEN = {
    "spiral": [(401, 124), (66, 487), (357, 486), (610, 812), (745, 314), (86, 95)],
    "edge-on": [(762, 42), (406, 581), (103, 518), (635, 254), (135, 733), (772, 534)],
    "smooth": [(473, 725), (739, 774), (404, 420), (112, 293)],
    "merger": [(157, 450), (306, 340), (595, 660), (440, 513)],
    "irregular": [(787, 710), (795, 198), (713, 35), (439, 930)],
    "star": [(578, 755), (167, 254), (17, 405)],  # with the spikes of the telescope: left out
}


@cache
def _picture() -> np.ndarray:
    import skimage.data  # half a second, and few need it

    picture = skimage.data.hubble_deep_field()
    picture.flags.writeable = False
    return picture


def deep_field() -> np.ndarray:
    """Give the whole picture: uint8, shape (3, 872, 1000), red, green and blue; read-only."""
    return _picture().transpose(2, 0, 1)


@cache
def _sources() -> pd.DataFrame:
    """List all that rises above the sky, brightest first, stars left out."""
    from skimage.filters import gaussian
    from skimage.measure import label, regionprops_table

    grey = _picture().mean(axis=2)
    smoothed = gaussian(grey, 1.0, preserve_range=True)
    found = regionprops_table(
        label(smoothed > THRESHOLD),
        grey - np.median(smoothed),
        properties=(
            "centroid_weighted", "area", "axis_major_length", "axis_minor_length", "intensity_mean",
        ),
    )  # fmt: skip
    sources = pd.DataFrame(
        {
            "row": found["centroid_weighted-0"],
            "column": found["centroid_weighted-1"],
            "area": found["area"].astype(int),
            "length": found["axis_major_length"],
            "axis_ratio": found["axis_minor_length"] / np.maximum(found["axis_major_length"], 1e-9),
            "light": found["area"] * found["intensity_mean"],
        }
    )
    sources["seen"] = ""
    for kind, places in _SEEN.items():
        for row, column in places:
            nearest = np.argmin(np.hypot(sources["row"] - row, sources["column"] - column))
            sources.loc[int(nearest), "seen"] = kind
    return sources[sources["seen"] != "star"].sort_values("light", ascending=False)


def deep_field_galaxies(
    n: int = 60, side: int = 128, frame: float = 2.0, seen: str = ""
) -> tuple[np.ndarray, pd.DataFrame]:
    """Cut the brightest galaxies out of the Hubble eXtreme Deep Field.

    A source is what rises above a level in the smoothed picture; two galaxies that touch are one.
    Stars with the telescope's spikes are left out, and galaxies whose frame leaves the picture.

    Parameters
    ----------
    n : int
        How many at most, 1 or more.
    side : int
        Width and height of the pictures in pixels, 16 or more. The largest frame has about 100
        pixels of the original: larger ones are enlarged (bicubic).
    frame : float
        Width of a picture in lengths of the galaxy, above 0. With 2 a galaxy fills about as much
        of it as of the central half of a picture of Galaxy Zoo 2.
    seen : str
        One of ``KINDS``: only galaxies of that name. Empty: all, most of them without a name.

    Returns
    -------
    pixels : numpy.ndarray
        uint8 (galaxies, 3, side, side), brightest first; the same on every machine but for the
        rounding of the JPEG decoder.
    table : pandas.DataFrame
        One row a galaxy: ``row`` and ``column`` of its centre, ``area`` (pixels above the level),
        ``length`` (pixels: the major axis of the ellipse of the same second moments),
        ``axis_ratio``, ``light`` (sum over the area of the grey picture less the sky) and ``seen``
        (one of ``KINDS``, or "").

    Raises
    ------
    ValueError
        For a number out of range, or another kind.
    """
    if n < 1 or side < 16 or not frame > 0:
        raise ValueError(
            f"Expected n of 1 or more, a side of 16 pixels or more and a frame above 0, got n={n}, "
            f"side={side}, frame={frame}."
        )
    if seen and seen not in KINDS:
        raise ValueError(f"Expected a kind of {', '.join(KINDS)}, or '' for all, got {seen!r}.")
    picture = Image.fromarray(_picture())
    table = _sources()
    half = frame * table["length"] / 2
    x, y = table["column"] + 0.5, table["row"] + 0.5  # the first pixel is 0 to 1 wide
    inside = (np.minimum(x, y) > half) & (x + half < picture.width) & (y + half < picture.height)
    chosen = table[inside & ((table["seen"] == seen) | (seen == ""))].index[:n]
    boxes = np.stack([x - half, y - half, x + half, y + half], axis=1)[
        table.index.get_indexer(chosen)
    ]
    cuts = [picture.resize((side, side), Image.Resampling.BICUBIC, tuple(box)) for box in boxes]
    pixels = np.array([np.asarray(cut) for cut in cuts]).reshape(-1, side, side, 3)
    return pixels.transpose(0, 3, 1, 2).copy(), table.loc[chosen].reset_index(drop=True)
