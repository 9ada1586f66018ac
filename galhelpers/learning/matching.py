"""How good is a cross-match: what a limit on the separation finds, and how much of it is right."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from galhelpers.learning.metrics import proportion


def match_quality(
    separation: ArrayLike, is_true: ArrayLike, in_both: int, limits: Sequence[float] | np.ndarray
) -> pd.DataFrame:
    """Measure pairs of two catalogues at several limits, where the true partners are known.

    Parameters
    ----------
    separation : array (n,)
        Of each pair, in arcsec.
    is_true : bool array (n,)
        Whether the two are one object.
    in_both : int
        Objects that truly stand in both catalogues, at least one.
    limits : sequence of float
        Largest separations, in arcsec.

    Returns
    -------
    pandas.DataFrame
        One row a limit (the index): ``pairs`` and ``true`` ones among them; ``completeness``, the
        share of ``in_both`` that is found, and ``purity``, the share of the pairs that is true,
        each with its exact 95 % interval ``..._low`` and ``..._high``. The purity of no pairs is
        NaN.
    """
    apart, true = np.asarray(separation, dtype=float), np.asarray(is_true, dtype=bool)
    rows = {}
    for limit in limits:
        within = apart <= limit
        pairs, right = int(within.sum()), int((within & true).sum())
        row: dict[str, float] = {"pairs": pairs, "true": right}
        for name, n in (("completeness", in_both), ("purity", pairs)):
            share = proportion(right, n) if n else None
            ends = (share.value, share.low, share.high) if share else (np.nan,) * 3
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
        rows[float(limit)] = row
    table = pd.DataFrame.from_dict(rows, orient="index").astype({"pairs": int, "true": int})
    return table.rename_axis("limit")
