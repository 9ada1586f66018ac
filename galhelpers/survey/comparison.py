"""Simulated pictures beside real ones: stored alike, and how far each measurement tells them apart.

The real side is a table of measurements that comes with the package, as pictures of real galaxies
may not be passed on.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

SIZE, QUALITY = 160, 86  # of the files of the published five-class set
REAL = Path(__file__).with_name("real_appearance.csv")


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
        ``galhelpers.survey.appearance.measure``, with its units.
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
