import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from galhelpers.learning.metrics import (
    binomial_variance,
    by_question,
    confident,
    confusion,
    fractions_of_asked,
)
from galhelpers.trees import DECALS, GZ2, Question, Tree

THREE = Tree("three", (Question("q", "Which?", ("a", "b", "c")),))


def simulated(n=400, seats=40, seed=0, tree=DECALS):
    """True fractions among those asked, and votes of people who walk the tree."""
    rng = np.random.default_rng(seed)
    fractions, votes = np.empty((n, tree.n_answers)), np.zeros((n, tree.n_answers))
    for question in tree.questions:
        columns = tree.slices[question.name]
        fractions[:, columns] = rng.dirichlet(np.ones(len(question.answers)), size=n)
        people = np.full(n, seats)
        if question.parents:
            parents = [tree.index(parent) for parent in question.parents]
            people = votes[:, parents].sum(axis=1).astype(int)
        votes[:, columns] = rng.multinomial(people, fractions[:, columns])
    return fractions, votes


def test_only_galaxies_with_enough_people_count():
    fractions, votes = simulated()
    table = by_question(fractions, votes, DECALS, at_least=5, resamples=20)
    for question, columns in DECALS.slices.items():
        assert table.loc[question, "n"] == (votes[:, columns].sum(axis=1) >= 5).sum()
    assert table.loc["smooth-or-featured", "n"] == 400
    assert table.loc["spiral-winding", "n"] < 200
    stricter = by_question(fractions, votes, DECALS, at_least=20, resamples=20)
    assert (stricter["n"] <= table["n"]).all()
    assert stricter.loc["bar", "n"] < table.loc["bar", "n"]


@pytest.mark.parametrize("nobody", [0.0, np.nan])
def test_what_is_said_of_galaxies_nobody_was_asked_about_changes_nothing(nobody):
    fractions, votes = simulated()
    before = by_question(fractions, votes, DECALS, resamples=20)
    garbage, marked = fractions.copy(), votes.copy()
    for columns in DECALS.slices.values():
        few = votes[:, columns].sum(axis=1) < 5
        garbage[few, columns] = np.random.default_rng(1).random((few.sum(), 1))
        never = votes[:, columns].sum(axis=1) == 0
        marked[np.ix_(never, np.arange(34)[columns])] = nobody
    after = by_question(garbage, marked, DECALS, resamples=20)
    assert before.equals(after)
    assert confident(fractions, votes, DECALS).equals(confident(garbage, marked, DECALS))


def test_a_question_with_one_nan_has_not_been_asked():
    """As the likelihood has it: what is left of such a question are not its votes."""
    _, votes = simulated(n=10)
    votes[3, 0] = np.nan
    fractions = fractions_of_asked(votes, DECALS)
    assert np.isnan(fractions[3, :3]).all()
    assert by_question(votes, votes, DECALS, resamples=20).loc["smooth-or-featured", "n"] == 9
    np.testing.assert_allclose(np.delete(fractions, 3, axis=0)[:, :3].sum(axis=1), 1)


def test_numbers_by_hand():
    votes = np.array([[8, 2, 0], [0, 6, 4], [1, 1, 8], [10, 0, 0], [0, 0, 4], [0, 0, 0]])
    expected = np.array(
        [[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0], [1, 0, 0], [1, 0, 0]]
    )
    row = by_question(expected, votes, THREE, resamples=200).loc["q"]
    difference = expected[:4] - votes[:4] / 10
    assert row["n"] == 4
    assert row["accuracy"] == 0.75
    assert row["majority"] == 0.5
    assert row["mae"] == pytest.approx(np.abs(difference).mean())
    assert row["rmse"] == pytest.approx(np.sqrt((difference**2).mean()))
    assert row["macro_f1"] == pytest.approx((2 * 2 / 5 + 0 + 1) / 3)
    seen = votes[:4] / 10
    assert row["noise"] == pytest.approx(np.sqrt((seen * (1 - seen) / 9).mean()))
    assert 0 <= row["low"] <= 0.75 <= row["high"] <= 1


def test_f1_equals_scikit_learn_and_confusion_adds_up():
    fractions, votes = simulated()
    expected = 0.6 * fractions + 0.4 * np.random.default_rng(5).random(fractions.shape)
    table = by_question(expected, votes, DECALS, resamples=20)
    for question, columns in DECALS.slices.items():
        here = votes[:, columns].sum(axis=1) >= 5
        truth, guess = votes[here, columns].argmax(1), expected[here, columns].argmax(1)
        row, counts = table.loc[question], confusion(expected, votes, DECALS, question)
        assert row["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
        assert counts.shape == (columns.stop - columns.start,) * 2
        assert counts.sum() == row["n"]
        assert np.trace(counts) / counts.sum() == pytest.approx(row["accuracy"])
        assert counts.sum(axis=1).max() / counts.sum() == pytest.approx(row["majority"])
        assert (counts.sum(axis=1) == np.bincount(truth, minlength=len(counts))).all()
        assert (counts.sum(axis=0) == np.bincount(guess, minlength=len(counts))).all()
        assert row["low"] <= row["accuracy"] <= row["high"]


@pytest.mark.parametrize("people", [2, 5, 40])
def test_noise_is_unbiased(people):
    rng = np.random.default_rng(people)
    rho = np.array([0.02, 0.3, 0.5, 0.9])
    seen = rng.binomial(people, rho, size=(100_000, 4)) / people
    estimate = binomial_variance(seen, np.full(seen.shape, people))
    error = estimate.std(axis=0) / np.sqrt(len(seen))
    assert (np.abs(estimate.mean(axis=0) - rho * (1 - rho) / people) < 4 * error).all()
    assert (np.abs(seen.var(axis=0) - rho * (1 - rho) / people) < 0.03 * seen.var(axis=0)).all()


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0.1, 100))
def test_noise_of_weighted_votes_stays_below_its_limit(fraction, people):
    found = binomial_variance(np.array([fraction]), np.array([people]))[0]
    assert 0 <= found <= 0.25
    if people <= 1:
        assert found == 0.25
    if people >= 2:
        assert found == pytest.approx(fraction * (1 - fraction) / (people - 1))


@pytest.mark.parametrize("seats", [10, 40])
def test_whoever_knows_the_true_fractions_has_an_error_equal_to_the_noise(seats):
    fractions, votes = simulated(n=6000, seats=seats)
    table = by_question(fractions, votes, DECALS, resamples=10)
    counted = table[table["n"] > 500]
    assert len(counted) >= 6
    np.testing.assert_allclose(counted["rmse"], counted["noise"], rtol=0.04)
    worse = np.clip(fractions + 0.1, 0, 1)
    off = by_question(worse, votes, DECALS, resamples=10)
    assert (off["rmse"][counted.index] > 1.1 * counted["noise"]).all()


@pytest.mark.parametrize("n", [0, 1])
def test_questions_with_no_galaxy_or_a_single_one(n):
    votes = np.zeros((3, 34))
    votes[:n, :3] = 2, 5, 1
    expected = np.full((3, 34), 0.5)
    expected[:, 1] = 0.6
    table = by_question(expected, votes, DECALS)
    assert list(table.index) == list(DECALS.slices)
    assert table.loc["smooth-or-featured", "n"] == n
    others = table.drop(index="smooth-or-featured")
    assert (others["n"] == 0).all()
    assert others.drop(columns="n").isna().all(axis=None)
    if n:
        row = table.loc["smooth-or-featured"]
        assert row["accuracy"] == row["majority"] == row["macro_f1"] == 1
        assert np.isnan(row["low"])
        assert np.isnan(row["high"])
    assert confusion(expected, votes, DECALS, "smooth-or-featured").sum() == n
    assert np.array_equal(confusion(expected, votes, DECALS, "bar"), np.zeros((3, 3)))
    sure = confident(expected, votes, DECALS)
    assert (sure["n"] == 0).all()
    assert sure["accuracy"].isna().all()
    assert sure.loc["bar"].isna()["share"]


def test_confident_by_hand():
    votes = np.array([[9, 1, 0], [1, 9, 0], [9, 1, 0], [5, 5, 0], [1, 1, 0]])
    expected = np.array([[0.9, 0.1, 0], [0.9, 0.1, 0], [0.81, 0.1, 0.09], [0.8, 0.2, 0], [1, 0, 0]])
    row = confident(expected, votes, THREE).loc["q"]
    assert row["n"] == 3
    assert row["share"] == pytest.approx(3 / 4)
    assert row["accuracy"] == pytest.approx(2 / 3)
    assert confident(expected, votes, THREE, above=0.85).loc["q", "n"] == 2
    assert confident(expected, votes, THREE, at_least=1).loc["q", "n"] == 4


def test_negative_votes_are_refused():
    """A table with -1 for "not asked" and one answer of many would pass for many people."""
    expected, votes = simulated(n=5)
    votes[:, DECALS.slices["bar"]] = -1, 10, 2
    for refuses in (
        lambda: by_question(expected, votes, DECALS),
        lambda: confident(expected, votes, DECALS),
        lambda: confusion(expected, votes, DECALS, "merging"),
        lambda: fractions_of_asked(votes, DECALS),
    ):
        with pytest.raises(ValueError, match=r"0 or more, or NaN .* got -1"):
            refuses()


def test_votes_come_as_arrays_or_tensors():
    expected, votes = simulated(n=60)
    tensor = torch.from_numpy(votes)
    one, same = (by_question(expected, given, DECALS, resamples=20) for given in (votes, tensor))
    assert one.equals(same)
    assert confident(expected, tensor, DECALS).equals(confident(expected, votes, DECALS))
    one, same = (confusion(expected, given, DECALS, "bar") for given in (votes, tensor))
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("at_least", [0, -1])
def test_at_least_somebody_must_have_been_asked(at_least):
    fractions, votes = simulated(n=5)
    with pytest.raises(ValueError, match=f"more than 0, got {at_least}"):
        by_question(fractions, votes, DECALS, at_least=at_least)


def test_unknown_questions_are_refused_with_the_valid_ones():
    fractions, votes = simulated(n=5, tree=GZ2)
    with pytest.raises(KeyError, match=r"no question 'merging'\. Questions: .*odd-feature"):
        confusion(fractions, votes, GZ2, "merging")
