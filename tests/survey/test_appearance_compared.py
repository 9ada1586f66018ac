import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.survey.appearance import (
    COLUMNS,
    REAL,
    auc,
    compare,
    real_appearance,
    spread,
    stored_as_published,
)

samples = arrays(float, st.integers(1, 15), elements=st.integers(-3, 3).map(float))


def test_auc_is_the_area_under_the_roc_curve():
    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])
    assert auc(low, high) == 1
    assert auc(high, low) == 0
    assert auc(low, low) == 0.5
    # Pairs (1, 2) and (1, 2): above; (2, 2) twice: half.
    assert auc(np.array([1.0, 2.0]), np.array([2.0, 2.0, np.nan])) == 0.75
    assert np.isnan(auc(low, np.array([np.nan])))


@given(samples, samples)
def test_auc_counts_pairs_and_turns_round(first, second):
    pairs = second[:, None] - first
    expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert auc(first, second) == pytest.approx(expected)
    assert auc(second, first) == pytest.approx(1 - expected)
    assert auc(np.exp(first), np.exp(second)) == pytest.approx(expected)
    assert auc(np.append(first, np.nan), second) == pytest.approx(expected)


def test_compare_puts_the_largest_difference_first_and_what_is_not_known_last():
    real = pd.DataFrame({"class_id": 1, "a": [1.0, 2, 3], "b": [5.0, 6, 7], "c": [np.nan] * 3})
    simulated = pd.DataFrame({"a": [1.0, 3, 2], "b": [3.0, 5, 2], "c": [1.0, 1, 1]})
    table = compare(real, simulated)
    assert table["measurement"].tolist() == ["b", "a", "c"]
    assert table["AUC"].tolist()[:2] == pytest.approx([0.5 / 9, 0.5])
    assert table["AUC"].isna().tolist() == [False, False, True]
    assert table["real"].tolist()[2] == "-"


def test_spread_is_the_median_and_the_middle_68_percent():
    assert spread(pd.Series(np.arange(101.0))) == "50 (16 to 84)"
    assert spread(pd.Series([np.nan, np.nan])) == "-"


def test_a_picture_is_stored_as_the_published_ones_are(tmp_path):
    noise = np.random.default_rng(0).normal(0, 12, (424, 424, 3))
    large = Image.fromarray(np.clip(60 + noise, 0, 255).astype(np.uint8))
    path = tmp_path / "small.jpg"
    large.resize((160, 160), Image.Resampling.LANCZOS).save(path, quality=86)
    with Image.open(path) as small:
        # The first coefficients of the published files.
        assert small.quantization[0][:8] == [4, 3, 3, 4, 7, 11, 14, 17]
        expected = np.asarray(small)
    assert np.array_equal(stored_as_published(large).transpose(1, 2, 0), expected)


def test_the_real_measurements_are_complete_small_and_plausible():
    table = real_appearance()
    assert list(table) == ["class_id", *COLUMNS]
    assert len(table) == 360
    assert set(table["class_id"]) == set(range(len(FIVE_CLASSES)))
    assert REAL.stat().st_size < 100_000
    assert table[["r50", "axis_ratio", "noise_grey", "noise_lag1"]].notna().all(axis=None)
    assert table["axis_ratio"].between(0, 1).all()
    by_class = table.groupby("class_id")["axis_ratio"].median()
    assert by_class[0] > by_class[1] > by_class[2]  # round, in between, cigar
    assert by_class[3] < 0.5  # edge-on
    # Framed at 8.5 times petroR90, which is near 2 to 3 times the r50 of the picture's light.
    assert 0.03 < table["r50"].median() < 0.12
