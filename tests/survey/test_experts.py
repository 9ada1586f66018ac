"""Simulated experts: ticks follow truth as seen by Hubble, fractions resemble the real table."""

import numpy as np
import pytest

from galhelpers.survey import sample_galaxies
from galhelpers.survey.answers import magnitude
from galhelpers.survey.distance import moved_to_redshift
from galhelpers.survey.experts import (
    CLASSES,
    expert_fractions,
    expert_votes,
    tick_probabilities,
)
from galhelpers.survey.galaxies import generator
from galhelpers.trees import CANDELS
from tests.survey.closed_form import expected_ticks

# Of the 7,567 rows of CANDELS_labels_kartaltepe15.csv (spheroid, disk, irregular, point source,
# unclassifiable): table.mean(), table.std(), shares of argmax, and shares of rows in which 1 to 5
# classes got ticks, by
#   t = pandas.read_csv(...).iloc[:, 1:].to_numpy(); t.mean(0); t.std(0, ddof=1)
#   numpy.bincount(t.argmax(1)) / len(t); numpy.bincount((t > 0).sum(1))[1:] / len(t)
REAL_MEAN = (0.250, 0.493, 0.147, 0.080, 0.030)
REAL_SD = (0.265, 0.319, 0.220, 0.198, 0.129)
REAL_ARGMAX = (0.271, 0.565, 0.093, 0.051, 0.021)
REAL_CLASSES_TICKED = (0.201, 0.500, 0.254, 0.040, 0.005)


@pytest.fixture(scope="module")
def distant():
    """The sky of the default survey at redshifts of 1 to 2.5, as faint as CANDELS goes."""
    truth = sample_galaxies(3000, seed=0)
    redshift = [generator(0, "test redshift", i).uniform(1.0, 2.5) for i in truth["id"]]
    truth = moved_to_redshift(truth, np.array(redshift))
    return truth[magnitude(truth, "h") < 24.5]


def test_the_classes_are_those_of_the_tree():
    assert CANDELS.columns == [f"main-morphology_{name}" for name in CLASSES]


def test_fractions_are_distributed_like_real_ones(distant):
    assert len(distant) > 2000
    fractions = expert_fractions(distant)
    assert np.allclose(fractions.sum(1), 1)
    assert np.abs(fractions.mean(0) - REAL_MEAN).max() < 0.08
    assert np.abs(fractions.std(0) - REAL_SD).max() < 0.06
    argmax = np.bincount(fractions.argmax(1), minlength=5) / len(fractions)
    assert np.abs(argmax - REAL_ARGMAX).max() < 0.08
    ticked = np.bincount((fractions > 0).sum(1), minlength=6)[1:] / len(fractions)
    assert np.abs(ticked - REAL_CLASSES_TICKED).max() < 0.09


def test_ticks_follow_truth(distant):
    p = dict(zip(CLASSES, tick_probabilities(distant).T, strict=True))
    kind, odd = distant["kind"].to_numpy(), distant["odd"].to_numpy()
    smooth, disk = kind == "smooth", np.isin(kind, ["spiral", "disk", "edge_on"])
    concentrated = smooth & (distant["sersic_n"] > 3).to_numpy()
    bulge = (distant["bulge_fraction"] > 0.5).to_numpy()
    assert p["spheroid"][concentrated].mean() > 0.6
    assert p["spheroid"][disk & bulge].mean() > 2 * p["spheroid"][disk & ~bulge].mean()
    assert p["disk"][disk].mean() > 0.75
    assert p["disk"][concentrated].mean() < 0.45
    torn = np.isin(odd, ["merger", "disturbed", "irregular"])
    assert p["irregular"][torn].mean() > 1.8 * p["irregular"][~torn].mean()
    assert (p["point-source"][kind == "artifact"] > 0.9).all()
    assert p["point-source"][disk].mean() < 0.05


def test_what_is_faint_is_unclassifiable_and_what_is_small_a_point(distant):
    some = distant[distant["kind"] != "artifact"][:300]
    plain = tick_probabilities(some).mean(0)
    faint = tick_probabilities(some.assign(mag=some["mag"] + 4)).mean(0)
    assert faint[4] > 0.8
    assert faint[:4].sum() < 0.4 * plain[:4].sum()
    tiny = some.assign(petro_r90=0.2, mag=some["mag"] - 2)
    assert tick_probabilities(tiny)[:, 3].min() > 0.8
    # From the ground, few of them can be told apart.
    assert tick_probabilities(some, "sdss")[:, 3:].max(1).mean() > 0.75


@pytest.mark.parametrize("n", [3, 40])
def test_counts_scatter_around_the_closed_form(distant, n):
    some = distant[:800]
    counts, experts = expert_votes(some, n_experts=n, seed=1)
    assert (experts == n).all()
    assert (counts.sum(1) >= n).all()  # everybody ticks something
    assert (counts <= n).all()
    p = expected_ticks(tick_probabilities(some))
    z = (counts - n * p).sum(0) / np.sqrt((n * p * (1 - p)).sum(0))
    assert np.abs(z).max() < 4.5
    if n < 40:
        return
    # Without the tick that nobody may leave out, the same comparison fails.
    q = tick_probabilities(some)
    assert np.abs((counts - n * q).sum(0) / np.sqrt((n * q * (1 - q)).sum(0))).max() > 4.5


def test_three_to_five_experts_look_unless_said_otherwise(distant):
    some = distant[:600]
    counts, experts = expert_votes(some)
    shares = [(experts == k).mean() for k in (3, 4, 5)]
    assert sum(shares) == 1
    assert np.allclose(shares, [0.55, 0.20, 0.25], atol=0.08)
    given = np.arange(600) % 4 + 1
    assert (expert_votes(some, n_experts=given)[1] == given).all()
    assert (expert_fractions(some) == counts / counts.sum(1, keepdims=True)).all()


def test_ticks_depend_on_seed_and_galaxy_alone(distant):
    some = distant[:25]
    together = expert_votes(some, seed=2)[0]
    alone = [expert_votes(some.iloc[[i]], seed=2)[0] for i in range(25)]
    assert (together == np.concatenate(alone)).all()
    assert (together == expert_votes(some.iloc[::-1], seed=2)[0][::-1]).all()
    assert (together != expert_votes(some, seed=3)[0]).any()
    assert expert_fractions(some[:0]).shape == (0, 5)


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (0, "1 expert or more, got 0"),
        (2.5, "whole number of experts"),
        (np.array([3, 4]), r"each of the 3 galaxies, got int64 of shape \(2,\)"),
    ],
)
def test_wrong_numbers_of_experts_are_refused(n, message):
    with pytest.raises(ValueError, match=message):
        expert_votes(sample_galaxies(3), n_experts=n)
