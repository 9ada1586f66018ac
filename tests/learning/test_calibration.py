import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from galhelpers.learning.calibration import (
    LEVELS,
    ConcentrationScale,
    Recalibration,
    coverage,
    fit_concentration_scale,
    people_asked,
    pit_of_fractions,
    pit_of_votes,
    reliability,
)
from galhelpers.learning.losses import vote_loss
from galhelpers.learning.posterior import Posterior
from galhelpers.trees import DECALS, Question, Tree

TREE = Tree(
    "short",
    (
        Question("first", "What is it?", ("a", "b", "c")),
        Question("second", "And?", ("yes", "no"), ("first_b",)),
        Question("third", "How many?", ("1", "2", "3", "4", "5", "6"), ("second_yes",)),
    ),
)


def committee(n=4000, passes=20, seed=0, spread=0.4, tree=TREE):
    rng = np.random.default_rng(seed)
    logs = rng.normal(1, 1, (1, n, tree.n_answers))
    logs = logs + rng.normal(0, spread, (passes, n, tree.n_answers))
    return Posterior(torch.from_numpy(np.exp(logs)), tree)


def truth(posterior, seats=40, seed=1):
    """Fractions and votes that follow the posterior: one pass and one draw from it a galaxy."""
    rng = np.random.default_rng(seed)
    tree, n = posterior.tree, len(posterior)
    alpha = posterior.alpha.numpy()[rng.integers(len(posterior.alpha), size=n), np.arange(n)]
    fractions, votes = np.empty(alpha.shape), np.zeros(alpha.shape)
    for question in tree.questions:
        columns = tree.slices[question.name]
        gamma = rng.standard_gamma(alpha[:, columns])
        fractions[:, columns] = gamma / gamma.sum(axis=1, keepdims=True)
        people = np.full(n, seats)
        if question.parents:
            parents = [tree.index(parent) for parent in question.parents]
            people = votes[:, parents].sum(axis=1).astype(int)
        votes[:, columns] = rng.multinomial(people, fractions[:, columns])
    return fractions, votes


@pytest.fixture(scope="module")
def honest():
    posterior = committee()
    return posterior, *truth(posterior)


def sure(posterior, factor):
    return posterior.scaled(np.full(posterior.tree.n_questions, factor))


def assert_covers(table, points=0.0, deviations=4.0):
    """Every question holds what it says, within a margin and the noise of the sample."""
    for level in LEVELS:
        noise = np.sqrt(level * (1 - level) / table["n"])
        off = np.abs(table[level] - level)
        assert (off <= points + deviations * noise).all(), table


def test_pit_of_votes_is_uniform_when_they_follow_the_posterior(honest):
    posterior, _, votes = honest
    pit = pit_of_votes(posterior, votes)
    people = people_asked(votes, TREE)
    assert np.array_equal(np.isnan(pit), people == 0)
    assert np.nanmin(pit) >= 0
    assert np.nanmax(pit) <= 1
    for column in range(TREE.n_answers):
        values = pit[:, column][people[:, column] > 0]
        assert len(values) > 1500
        assert stats.kstest(values, "uniform").pvalue > 0.001


def test_pit_of_fractions_is_uniform_when_they_follow_the_posterior(honest):
    posterior, fractions, _ = honest
    fractions = fractions.copy()
    fractions[:7, :3] = np.nan
    pit = pit_of_fractions(posterior, fractions)
    assert np.isnan(pit[:7, :3]).all()
    assert not np.isnan(pit[7:]).any()
    for column in range(TREE.n_answers):
        assert stats.kstest(pit[7:, column], "uniform").pvalue > 0.001


def test_pit_of_votes_lies_between_the_ends_of_its_jump():
    """Against scipy's beta-binomial distribution, pass by pass."""
    posterior = committee(n=60, passes=3, tree=DECALS)
    _, votes = truth(posterior)
    people = people_asked(votes, DECALS)
    a = posterior.alpha.numpy()
    b = posterior.total.numpy() - a
    upper = stats.betabinom.cdf(votes, people, a, b).mean(axis=0)
    lower = stats.betabinom.cdf(votes - 1, people, a, b).mean(axis=0)
    asked = people > 0
    seeds = np.stack([pit_of_votes(posterior, votes, seed) for seed in range(200)])[:, asked]
    assert (seeds >= lower[asked] - 1e-9).all()
    assert (seeds <= upper[asked] + 1e-9).all()
    place = (seeds - lower[asked]) / (upper - lower)[asked]
    assert place.mean() == pytest.approx(0.5, abs=0.01)
    assert place.std() == pytest.approx(12**-0.5, abs=0.01)
    assert np.array_equal(
        pit_of_votes(posterior, votes, 3), pit_of_votes(posterior, votes, 3), equal_nan=True
    )


def test_without_chance_the_pit_of_votes_would_not_be_uniform(honest):
    """Why it is randomised: with 3 votes there are 4 values."""
    posterior, _, _ = honest
    _, few = truth(posterior, seats=3)
    alpha, rest = posterior.alpha[:, :, 0].numpy(), (posterior.total - posterior.alpha)[:, :, 0]
    plain = stats.betabinom.cdf(few[:, 0], 3, alpha, rest.numpy()).mean(axis=0)
    assert stats.kstest(plain, "uniform").pvalue < 1e-6
    assert stats.kstest(pit_of_votes(posterior, few)[:, 0], "uniform").pvalue > 0.001


def test_coverage_is_as_promised_when_votes_follow_the_posterior(honest):
    posterior, fractions, votes = honest
    for pit in (pit_of_votes(posterior, votes), pit_of_fractions(posterior, fractions)):
        assert_covers(coverage(pit, TREE))


def test_coverage_by_hand():
    pit = np.full((4, TREE.n_answers), np.nan)
    pit[0, :3] = 0.5, 0.05, 0.95  # 1 of 3 within 50 %, all within 90 %
    pit[1, :3] = 0.3, 0.74, 0.999
    pit[2, 3:5] = 0.01, 0.99
    pit[3, 3:5] = 0.2, 0.5  # of two answers the first counts
    table = coverage(pit, TREE, levels=(0.5, 0.92))
    assert list(table.columns) == [0.5, 0.92, "n"]
    assert table.loc["first"].tolist() == [0.5, 5 / 6, 2]
    assert table.loc["second"].tolist() == [0, 0.5, 2]
    assert table.loc["third", "n"] == 0
    assert table.loc["third", [0.5, 0.92]].isna().all()
    assert table.loc["all"].tolist() == [3 / 8, 6 / 8, 4]


@pytest.mark.parametrize("factor", [8.0, 0.15])
def test_posteriors_that_are_too_sure_or_not_enough_are_found_and_mended(factor):
    """Fitted on one half of the galaxies, looked at on the other."""
    right = committee(seed=3)
    fractions, votes = truth(right, seed=4)
    wrong = sure(right, factor)
    before = coverage(pit_of_votes(wrong, votes), TREE)
    if factor > 1:
        assert (before[0.9] < 0.88).all()
        assert before.loc["first", 0.9] < 0.8
    else:
        assert (before[0.5] > 0.53).all()
        assert before.loc["first", 0.5] > 0.6
    half = np.arange(len(votes)) < len(votes) // 2
    precision = fit_concentration_scale(wrong.select(half), torch.from_numpy(votes[half]))
    np.testing.assert_allclose(precision.weights.sum(axis=0), 1)
    mended = precision.apply(wrong.select(~half))
    after = coverage(pit_of_votes(mended, votes[~half]), TREE)
    assert_covers(after, points=0.02, deviations=2)
    assert np.abs(after.loc["all", list(LEVELS)] - np.array(LEVELS)).max() < 0.02
    rest = torch.from_numpy(votes[~half])
    gain = wrong.select(~half).nll(rest).mean(axis=0) - mended.nll(rest).mean(axis=0)
    assert (gain > 0).all()
    loss = mended.nll(rest).mean(axis=0) - right.select(~half).nll(rest).mean(axis=0)
    assert (loss < 0.02).all(), "nearly as good as the distribution that the votes were drawn from"
    inside = coverage(pit_of_fractions(mended, fractions[~half]), TREE)
    assert np.abs(inside.loc["all", [0.5, 0.9]] - [0.5, 0.9]).max() < 0.04


def test_a_right_posterior_stays_as_it_is(honest):
    posterior, _, votes = honest
    votes = torch.from_numpy(votes)
    precision = fit_concentration_scale(posterior, votes)
    centre = np.exp((precision.weights * np.log(precision.factors)[:, None]).sum(axis=0))
    np.testing.assert_allclose(centre, 1, rtol=0.35)
    worse = precision.apply(posterior).nll(votes).mean(axis=0) - posterior.nll(votes).mean(axis=0)
    assert (worse < 0.005).all()


def test_right_about_most_and_quite_wrong_about_some():
    """Where no single factor will do: a fifth of the galaxies have far wider distributions."""
    rng = np.random.default_rng(5)
    network = sure(committee(seed=5, spread=0.2), 4)
    wide = rng.random(len(network)) < 0.2
    factor = np.where(wide, 1 / 16, 1)[:, None]
    right = Posterior(network.concentration * torch.from_numpy(factor), TREE)
    votes = torch.from_numpy(truth(right, seed=6)[1])
    half = np.arange(len(votes)) < len(votes) // 2
    precision = fit_concentration_scale(network.select(half), votes[half])
    assert precision.weights[0, 0] == pytest.approx(0.2, abs=0.05)
    assert precision.weights[3:8, 0].sum() == pytest.approx(0.8, abs=0.05)
    rest, seen = network.select(~half), votes[~half]
    mended = precision.apply(rest)
    assert_covers(coverage(pit_of_votes(mended, seen.numpy()), TREE), points=0.02, deviations=2)
    singles = [sure(rest, f).nll(seen)[:, 0].mean() for f in precision.factors]
    assert mended.nll(seen)[:, 0].mean() < min(singles) - 0.05


def test_galaxies_that_were_not_asked_have_no_say_in_the_precision(honest):
    posterior, _, votes = honest
    wrong, votes = sure(posterior.select(np.arange(600)), 8), votes[:600]
    alone = fit_concentration_scale(wrong, torch.from_numpy(votes))
    with_others = Posterior(torch.cat([wrong.concentration, wrong.concentration], 1), TREE)
    for nobody in (0.0, np.nan):
        more = np.vstack([votes, np.full_like(votes, nobody)])
        found = fit_concentration_scale(with_others, torch.from_numpy(more))
        np.testing.assert_allclose(found.weights, alone.weights, atol=1e-9)


@pytest.mark.parametrize("nobody", [0.0, np.nan])
def test_a_question_that_nobody_was_asked(honest, nobody):
    posterior, _, votes = honest
    posterior, votes = posterior.select(np.arange(50)), votes[:50].copy()
    third = TREE.slices["third"]
    votes[:, third] = nobody
    precision = fit_concentration_scale(posterior, torch.from_numpy(votes))
    assert precision.weights[:, 2].tolist() == (precision.factors == 1).tolist()
    applied = precision.apply(posterior)
    torch.testing.assert_close(applied.alpha[..., third], posterior.alpha[..., third])
    pit = pit_of_votes(posterior, votes)
    assert np.isnan(pit[:, third]).all()
    table = coverage(pit, TREE)
    assert table.loc["third", "n"] == 0
    assert table.loc["third", list(LEVELS)].isna().all()
    assert table.loc["first", "n"] == 50
    same = Recalibration.fit(pit, TREE)
    assert same.level("third", 0.3) == pytest.approx(0.3)
    assert len(reliability(posterior.mean, votes, TREE)) > 0


def test_one_nan_makes_a_question_one_that_nobody_was_asked(honest):
    """As the likelihood has it."""
    posterior, _, votes = honest
    votes = votes[:5].copy()
    votes[2, 1] = np.nan
    assert people_asked(votes, TREE)[2, :3].tolist() == [0, 0, 0]
    pit = pit_of_votes(posterior.select(np.arange(5)), votes)
    assert np.isnan(pit[2, :3]).all()
    assert not np.isnan(pit[[0, 1, 3, 4], :3]).any()


def test_votes_come_as_arrays_or_tensors(honest):
    posterior, _, votes = honest
    posterior, votes = posterior.select(np.arange(50)), votes[:50]
    tensor = torch.from_numpy(votes)
    one, same = (fit_concentration_scale(posterior, given, steps=5) for given in (votes, tensor))
    np.testing.assert_array_equal(one.weights, same.weights)
    np.testing.assert_array_equal(people_asked(votes, TREE), people_asked(tensor, TREE))
    np.testing.assert_array_equal(pit_of_votes(posterior, votes), pit_of_votes(posterior, tensor))
    one, same = (reliability(posterior.mean, given, TREE) for given in (votes, tensor))
    assert one.equals(same)


@pytest.mark.parametrize("wrong", [-1, -99, -0.25])
def test_negative_votes_are_refused_as_by_the_loss(honest, wrong):
    """Some tables have them where nobody was asked; they would count as people less."""
    posterior, _, votes = honest
    posterior, votes = posterior.select(np.arange(5)), votes[:5].copy()
    votes[2, 3:5] = wrong, np.nan
    for refuses in (
        lambda: people_asked(votes, TREE),
        lambda: pit_of_votes(posterior, votes),
        lambda: fit_concentration_scale(posterior, votes),
        lambda: reliability(posterior.mean, votes, TREE),
        lambda: vote_loss(posterior.alpha[0], torch.from_numpy(votes), TREE),
    ):
        with pytest.raises(ValueError, match=f"0 or more, or NaN .* got {wrong}.* Write NaN"):
            refuses()


def test_each_pass_gets_one_factor_as_often_as_the_weights_say():
    posterior = committee(n=3, passes=40)
    weights = np.array([[0.25, 1, 0], [0.75, 0, 0], [0, 0, 1]], dtype=float)
    applied = ConcentrationScale(np.array([0.5, 2.0, 8.0]), weights).apply(posterior)
    ratio = (applied.alpha / posterior.alpha).numpy()
    np.testing.assert_allclose(applied.mean, posterior.mean)
    assert np.allclose(ratio, ratio[:, :1])
    assert sorted(ratio[:, 0, 0]) == pytest.approx([0.5] * 10 + [2.0] * 30)
    np.testing.assert_allclose(ratio[:, 0, 3], 0.5)
    np.testing.assert_allclose(ratio[:, 0, 5], 8)
    again = ConcentrationScale(np.array([0.5, 2.0, 8.0]), weights).apply(posterior)
    assert torch.equal(again.concentration, applied.concentration)


def test_recalibration_makes_the_validation_part_uniform_and_another_nearly(honest):
    posterior, fractions, _ = honest
    wrong = sure(posterior, 6)
    pit = pit_of_fractions(wrong, fractions)
    half = np.arange(len(pit)) < len(pit) // 2
    assert stats.kstest(pit[half, 0], "uniform").pvalue < 1e-6
    fitted = Recalibration.fit(pit[half], TREE)
    for part, least in ((half, 0.9999), (~half, 0.001)):
        mapped = fitted.apply(pit[part])
        for columns in TREE.slices.values():
            values = mapped[:, columns] if part is half else mapped[:, columns][:, :1]
            assert stats.kstest(values.ravel(), "uniform").pvalue > least
    assert_covers(coverage(fitted.apply(pit[~half]), TREE), points=0.01)


def test_levels_of_a_recalibration_give_intervals_that_hold(honest):
    posterior, fractions = honest[0].select(np.arange(2400)), honest[1][:2400]
    wrong = sure(posterior, 6)
    half = np.arange(2400) < 1600
    fitted = Recalibration.fit(pit_of_fractions(wrong, fractions)[half], TREE)
    rest = wrong.select(~half)
    plain = rest.quantiles((0.05, 0.95))
    for name, columns in TREE.slices.items():
        ends = rest.quantiles([fitted.level(name, level) for level in (0.05, 0.95)])
        seen = fractions[~half, columns]
        held = ((ends[0][:, columns] <= seen) & (seen <= ends[1][:, columns])).mean()
        before = ((plain[0][:, columns] <= seen) & (seen <= plain[1][:, columns])).mean()
        assert held == pytest.approx(0.9, abs=0.03)
        assert before < 0.85


@settings(max_examples=60, deadline=None)
@example([2.2e-311], [0.0, 5e-324])
@example([2.2e-311], [1.0, 5e-324])
@given(
    st.lists(st.floats(0, 1), min_size=0, max_size=40),
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
)
def test_recalibration_is_monotone_and_level_is_its_inverse(known, values):
    pit = np.full((len(known), TREE.n_answers), np.nan)
    pit[:, 0] = known
    fitted = Recalibration.fit(pit, TREE)
    asked = np.full((len(values), TREE.n_answers), np.nan)
    asked[:, 0] = sorted(values)
    mapped = fitted.apply(asked)
    assert np.isnan(mapped[:, 1:]).all()
    assert (np.diff(mapped[:, 0]) >= 0).all()
    assert ((mapped[:, 0] >= 0) & (mapped[:, 0] <= 1)).all()
    gaps = np.diff(sorted([0, *known, 1]))
    if gaps.min() > 1e-6:  # where two values are one, the map jumps and has no inverse
        for level in values:
            asked[:1, 0] = fitted.level("first", level)
            assert fitted.apply(asked)[0, 0] == pytest.approx(level, abs=1e-6)


def test_reliability_of_honest_and_of_exaggerated_expectations(honest):
    posterior, _, votes = honest
    votes = votes.copy()
    votes[:9, :3] = np.nan
    table = reliability(posterior.mean, votes, TREE)
    people = people_asked(votes, TREE)
    assert table["n"].sum() == (people > 0).sum()
    assert table["expected"].is_monotonic_increasing
    assert np.abs(table["expected"] - table["seen"]).max() < 0.02
    bold = posterior.mean**2
    for columns in TREE.slices.values():
        bold[:, columns] /= bold[:, columns].sum(axis=1, keepdims=True)
    table = reliability(bold, votes, TREE)
    assert table["seen"].iloc[0] > table["expected"].iloc[0] + 0.03
    assert table["seen"].iloc[-1] < table["expected"].iloc[-1] - 0.03


def test_reliability_by_hand():
    expected = np.zeros((3, TREE.n_answers))
    expected[:, :3] = [[1.0, 0.0, 0.0], [0.95, 0.05, 0.0], [0.5, 0.25, 0.25]]
    votes = np.zeros((3, TREE.n_answers))
    votes[:2, :3] = [[30, 0, 0], [4, 4, 2]]
    table = reliability(expected, votes, TREE, bins=4)
    assert table["n"].tolist() == [4, 2]
    np.testing.assert_allclose(table["expected"], [0.5 / 80, (30 + 9.5) / 40])
    np.testing.assert_allclose(table["seen"], [6 / 80, 34 / 40])
    assert len(reliability(expected, votes * 0, TREE)) == 0


def test_weighted_votes_are_rounded():
    posterior = committee(n=2, passes=2)
    votes = np.zeros((2, TREE.n_answers))
    votes[:, :3] = [[10, 5, 1], [3, 2, 0]]
    weighted = votes + np.array([0.3, -0.2, 0.4, 0, 0, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(
        pit_of_votes(posterior, np.maximum(weighted, 0)), pit_of_votes(posterior, votes)
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(-3, 5), st.floats(0, 60))
def test_what_calibration_gives_is_finite_and_in_order(seed, passes, size, seats):
    """Whatever the concentrations and votes: PIT in [0, 1], quantiles in order, all finite."""
    rng = np.random.default_rng(seed)
    logs = size * np.log(10) + rng.normal(0, 2, (passes, 12, TREE.n_answers))
    posterior = Posterior(torch.from_numpy(np.exp(np.clip(logs, -10, 14))), TREE)
    votes = np.floor(rng.uniform(0, seats + 1, (12, TREE.n_answers)))
    votes[rng.random(votes.shape) < 0.1] = np.nan
    scale = fit_concentration_scale(posterior, votes, steps=5)
    assert np.isfinite(scale.weights).all()
    np.testing.assert_allclose(scale.weights.sum(axis=0), 1)
    scaled = scale.apply(posterior)
    for kind in (posterior, scaled):
        pit = pit_of_votes(kind, votes, seed)
        assert (np.isnan(pit) == (people_asked(votes, TREE) == 0)).all()
        assert np.nanmin(pit, initial=0) >= 0
        assert np.nanmax(pit, initial=1) <= 1
        low, middle, high = kind.quantiles((0.05, 0.5, 0.95))
        assert np.isfinite([low, middle, high]).all()
        assert (low <= middle + 2e-8).all()
        assert (middle <= high + 2e-8).all()
    np.testing.assert_allclose(scaled.mean, posterior.mean, rtol=1e-9)
