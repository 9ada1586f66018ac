import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import precision_recall_fscore_support

from galhelpers.learning.metrics import (
    accuracy,
    accuracy_when_asked,
    bootstrap,
    mean_proportion,
    per_class,
    proportion,
    rmse,
    split_interval,
)
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


def test_per_class_equals_scikit_learn():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (truth, guess), 1)
    table = per_class(confusion, ["a", "b", "c"])
    precision, recall, f1, n = precision_recall_fscore_support(truth, guess)
    assert table["precision"].iloc[:3].to_numpy() == pytest.approx(precision)
    assert table["recall"].iloc[:3].to_numpy() == pytest.approx(recall)
    assert table["f1"].iloc[:3].to_numpy() == pytest.approx(f1)
    assert table["n"].tolist() == [*n, 200]
    assert table.loc["mean", "f1"] == pytest.approx(f1.mean())


def test_per_class_without_predictions_or_galaxies():
    table = per_class(np.array([[3, 0, 0], [2, 0, 0], [0, 0, 0]]), ["a", "b", "c"])
    assert table.loc["b", "precision"] == 0
    assert table.loc["b", "f1"] == 0
    assert np.isnan(table.loc["c", "recall"])
    assert table.loc["mean", "recall"] == pytest.approx(0.5)


def test_interval_over_splits_by_hand():
    values = [0.90, 0.92, 0.94]
    interval = split_interval(values, test_share=0.1)
    half = stats.t.ppf(0.975, 2) * 0.02 * np.sqrt(1 / 3 + 1 / 9)
    assert interval.value == pytest.approx(0.92)
    assert (interval.high - interval.low) / 2 == pytest.approx(half)
    assert interval.n == 3
    assert np.isnan(split_interval([0.9], 0.1).low)
    with pytest.raises(ValueError, match="from 0 to below 1, got 10"):
        split_interval(values, 10)


def test_repetitions_that_share_no_galaxies_have_the_interval_of_student():
    values = [0.7, 0.74, 0.71, 0.77, 0.73]
    found = split_interval(values, 0)
    low, high = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert np.isnan(split_interval([0.7], 0).low)


def test_interval_over_splits_covers_the_mean_of_correlated_scores():
    """Scores of overlapping splits share most of their luck; the plain interval is too narrow."""
    rng = np.random.default_rng(5)
    covered = np.zeros(2)
    for _ in range(400):
        shared = rng.normal(0, 0.1**0.5)  # correlation n_test / n, as the correction assumes
        values = 0.9 + shared + rng.normal(0, 0.9**0.5, 10)
        interval = split_interval(values, test_share=0.1)
        plain = stats.t.ppf(0.975, 9) * values.std(ddof=1) / 10**0.5
        covered += [interval.low < 0.9 < interval.high, abs(values.mean() - 0.9) < plain]
    assert covered[0] / 400 == pytest.approx(0.95, abs=0.03)
    assert covered[1] / 400 < 0.9


def test_a_share_of_few_galaxies_has_an_exact_interval():
    all_right = proportion(30, 30)
    assert (all_right.value, all_right.high, all_right.n) == (1, 1, 30)
    assert all_right.low == pytest.approx(0.025 ** (1 / 30))  # right 30 times by chance
    half = proportion(2, 4)
    assert half.low == pytest.approx(1 - half.high)
    assert stats.binom.sf(1, 4, half.low) == pytest.approx(0.025)


def test_a_mean_of_shares_covers_the_true_one():
    """About 19 times of 20, also where a plain resampling would have no width."""
    random = np.random.default_rng(0)
    truth = (0.95, 0.8, 0.6)
    n = 2000
    covered = 0
    for _ in range(n):
        found = mean_proportion([proportion(int(random.binomial(12, p)), 12) for p in truth])
        covered += found.low <= np.mean(truth) <= found.high
    assert 0.94 < covered / n < 0.995
    all_right = mean_proportion([proportion(2, 2), proportion(1, 1)])
    assert (all_right.value, all_right.high, all_right.n) == (1, 1, 3)
    assert all_right.low == pytest.approx(1 - np.hypot(1 - 0.025**0.5, 1 - 0.025) / 2)
