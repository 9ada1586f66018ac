"""What notebook 02 defines on the page equals the package's, and does what its text says."""

import numpy as np
import pandas as pd
import pytest

from galhelpers.data.copies import turned
from tests.notebooks.pages import definitions

SKY = np.random.default_rng(5)
NORTH = SKY.uniform([0, -90], [360, 90], (400, 2))
CASES = {
    "the whole sky": NORTH,
    "across RA 0": np.column_stack([SKY.uniform(-0.05, 0.05, 400) % 360, SKY.uniform(9, 9.1, 400)]),
    "at a pole": np.column_stack([SKY.uniform(0, 360, 400), SKY.uniform(89.95, 90, 400)]),
}


@pytest.mark.parametrize("positions", CASES.values(), ids=CASES)
@pytest.mark.parametrize("limit", [0.5, 20.0, 100_000.0])
def test_cross_match_of_the_page_equals_the_package(positions, limit):
    from galhelpers.data.catalogs import cross_match

    page = definitions("02_catalogues", "unit_vectors", "nearest", "cross_match")["cross_match"]
    scatter = np.random.default_rng(6).normal(0, 0.2 / 3600, (300, 2))
    other = positions[:300] + scatter
    other[:, 0] %= 360
    other[:, 1] = other[:, 1].clip(-90, 90)
    given = (*positions.T, *other[::-1].T, limit)
    ours, theirs = page(*given), cross_match(*given)
    assert len(ours) >= 200
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False, rtol=1e-6, atol=2e-3)


def test_rings_of_the_page_do_not_change_when_a_galaxy_is_turned():
    rings = definitions("02_catalogues", "ring_profile")["ring_profile"]
    y, x = np.mgrid[:92, :92] - 45.5
    light = 200 * np.exp(-np.hypot(x, 2 * y) / 12)
    picture = np.stack([light, 0.7 * light, 0.4 * light])[None].astype(np.uint8)
    pictures = turned(np.repeat(picture, 3, axis=0), [0, 90, 33], 64)
    profile = rings(pictures)
    assert profile.shape == (3, 64)
    np.testing.assert_allclose(profile[0], profile[1], rtol=1e-5)
    np.testing.assert_allclose(profile[0], profile[2], atol=2)
    assert (np.diff(profile[0, ::4]) <= 0).all()  # red light fades from ring to ring


def test_nearest_galaxy_of_the_page_equals_a_search_by_hand():
    page = definitions("02_catalogues", "nearest_galaxy")["nearest_galaxy"]
    rng = np.random.default_rng(7)
    train, test = rng.normal(3, [1, 10, 100], (50, 3)), rng.normal(3, [1, 10, 100], (20, 3))
    apart = np.linalg.norm((train[:, None] - test) / train.std(axis=0), axis=2)
    row, distance = page(train, test)
    np.testing.assert_array_equal(row, apart.argmin(axis=0))
    np.testing.assert_allclose(distance, apart.min(axis=0))


def test_score_of_the_page_knows_that_copies_are_one_galaxy():
    score = definitions("02_catalogues", "score")["score"]
    right = np.random.default_rng(8).random(100) < 0.7
    once = score(right, np.arange(100))
    four_times = score(np.repeat(right, 4), np.repeat(np.arange(100), 4))
    assert once.value == pytest.approx(right.mean())
    assert (once.low, once.high) == pytest.approx((four_times.low, four_times.high))
