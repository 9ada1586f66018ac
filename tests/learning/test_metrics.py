import numpy as np
import pytest

from galhelpers.learning.metrics import accuracy, accuracy_when_asked, bootstrap, rmse
from galhelpers.trees import TREES

TREE = TREES["gz2"]


def test_rmse_by_hand():
    assert rmse(np.array([[0.0, 3.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [4.0, 0.0]])) == 2.5
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 2\)"):
        rmse(np.zeros((2, 3)), np.zeros((2, 2)))


def test_bootstrap_interval_has_the_width_of_theory():
    rng = np.random.default_rng(1)
    truth = np.zeros(1000, int)
    guess = (rng.random(1000) < 0.2).astype(int)
    interval = bootstrap(accuracy, guess, truth)
    half = 1.96 * np.sqrt(0.8 * 0.2 / 1000)
    assert interval.low < interval.value < interval.high
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.15)
    assert interval == bootstrap(accuracy, guess, truth)


def cumulative(smooth, spiral, rng):
    """A galaxy of which `smooth` of the volunteers say smooth, the others face-on disk."""
    conditional = np.full(37, 0.0)
    for question in TREE.questions:
        columns = TREE.slices[question.name]
        conditional[columns] = rng.dirichlet(np.ones(len(question.answers)))
    conditional[:3] = smooth, 1 - smooth, 0
    conditional[3:5] = 0, 1
    conditional[7:9] = spiral, 1 - spiral
    return TREE.to_cumulative(conditional[None])[0]


def test_only_galaxies_that_were_asked_count():
    rng = np.random.default_rng(0)
    target = np.stack([cumulative(s, 0.9, rng) for s in [1.0] * 30 + [0.0] * 10])
    table = accuracy_when_asked(target, target, TREE)
    assert table.loc["smooth-or-featured", "n"] == 40
    assert table.loc["how-rounded", "n"] == 30
    assert table.loc["spiral-winding", "n"] == 10
    assert (table["accuracy"].dropna() == 1).all()
    assert np.isnan(table.loc["edge-on-bulge", "accuracy"])
    wrong = target.copy()
    wrong[30:, TREE.slices["has-spiral-arms"]] = wrong[30:, TREE.slices["has-spiral-arms"]][:, ::-1]
    table = accuracy_when_asked(wrong, target, TREE)
    assert table.loc["has-spiral-arms", "accuracy"] == 0
    assert table.loc["has-spiral-arms", "high"] < 0.4
    assert table.loc["has-spiral-arms", "majority"] == 1
