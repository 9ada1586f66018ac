"""Some of a galaxy's votes."""

import numpy as np
import pytest

from galhelpers.data.vote_samples import draw_votes
from galhelpers.trees import DECALS


def people(votes):
    return np.stack([votes[:, columns].sum(axis=1) for columns in DECALS.slices.values()], axis=1)


@pytest.fixture(scope="module")
def votes():
    given = np.random.default_rng(0).integers(0, 9, (300, DECALS.n_answers)).astype(float)
    given[::3, DECALS.slices["bar"]] = 0
    given[1::3, DECALS.slices["bar"]] = np.nan
    return given


def test_as_many_as_wanted_and_none_that_was_not_given(votes):
    given = np.nan_to_num(votes)
    for n in (0, 1, 5, 1000):
        drawn = draw_votes(votes, DECALS, n)
        assert (drawn <= given).all()
        np.testing.assert_array_equal(people(drawn), np.minimum(people(given), n))
    half = people(given) // 2
    np.testing.assert_array_equal(people(draw_votes(votes, DECALS, half)), half)


def test_the_same_order_of_people_for_every_number(votes):
    few, more = (draw_votes(votes, DECALS, n, seed=3) for n in (4, 9))
    assert (few <= more).all()
    assert (draw_votes(votes, DECALS, 4, seed=4) != few).any()


def test_every_vote_has_the_same_chance():
    votes = np.zeros((20_000, DECALS.n_answers))
    votes[:, DECALS.slices["bar"]] = [2, 6, 12]
    drawn = draw_votes(votes, DECALS, 5)[:, DECALS.slices["bar"]]
    np.testing.assert_allclose(drawn.mean(axis=0), [0.5, 1.5, 3.0], atol=0.03)
    # Without putting back: the variance is that of the hypergeometric distribution.
    np.testing.assert_allclose(drawn[:, 0].var(), 5 * 0.1 * 0.9 * 15 / 19, rtol=0.05)


@pytest.mark.parametrize("wrong", [0.5, -1.0])
def test_votes_that_are_none(wrong):
    votes = np.zeros((1, DECALS.n_answers))
    votes[0, 3] = wrong
    with pytest.raises(ValueError, match="whole numbers"):
        draw_votes(votes, DECALS, 1)
    with pytest.raises(ValueError, match="0 or more"):
        draw_votes(abs(votes.round()), DECALS, -1)
