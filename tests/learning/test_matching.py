"""Completeness and purity, counted by hand and over a limit that grows."""

import numpy as np
import pytest
from scipy.stats import binomtest

from galhelpers.learning.matching import match_quality


def test_counted_by_hand():
    table = match_quality([0.1, 0.2, 5.0, 8.0], [True, True, False, True], 4, [0.05, 0.3, 6, 10])
    assert table["pairs"].tolist() == [0, 2, 3, 4]
    assert table["true"].tolist() == [0, 2, 2, 3]
    np.testing.assert_allclose(table["completeness"], [0, 0.5, 0.5, 0.75])
    np.testing.assert_allclose(table["purity"], [np.nan, 1, 2 / 3, 0.75])
    ends = binomtest(2, 3).proportion_ci(method="exact")
    assert table.loc[6.0, ["purity_low", "purity_high"]].tolist() == pytest.approx(list(ends))
    assert (table["completeness_low"] <= table["completeness"]).all()


def test_completeness_only_grows_with_the_limit():
    rng = np.random.default_rng(0)
    table = match_quality(rng.random(200), rng.random(200) < 0.7, 180, np.linspace(0.01, 1, 20))
    assert (table["completeness"].diff().dropna() >= 0).all()
