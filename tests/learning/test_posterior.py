import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaincinv, logsumexp

from galhelpers.learning.posterior import (
    SUFFIXES,
    Posterior,
    as_table,
    draw_fractions,
    posterior_of,
    table_columns,
)
from galhelpers.models import VoteEnsemble, VoteNet
from galhelpers.trees import DECALS, GZ2, Question, Tree

TWO = Tree("two", (Question("q", "Which?", ("a", "b")),))


def committee(tree=DECALS, passes=6, n=5, seed=0, spread=0.5, size=4.0):
    """Passes that disagree, with concentrations around `size`."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 1, (1, n, tree.n_answers))
    logs = np.log(size) + shared + rng.normal(0, spread, (passes, n, tree.n_answers))
    return Posterior(torch.from_numpy(np.exp(logs)), tree)


def mixture_draws(posterior, draws, seed=0):
    """Fractions among those asked, by plain sampling: (draws, n, n_answers)."""
    rng = np.random.default_rng(seed)
    alpha = posterior.alpha.numpy()
    passes = rng.integers(len(alpha), size=(draws, len(posterior)))
    chosen = alpha[passes, np.arange(len(posterior))]
    out = np.empty(chosen.shape)
    for columns in posterior.tree.slices.values():
        gamma = rng.standard_gamma(chosen[..., columns])
        out[..., columns] = gamma / gamma.sum(axis=-1, keepdims=True)
    return out


def test_mean_and_variance_are_those_of_samples():
    posterior = committee()
    draws = mixture_draws(posterior, 40_000)
    variance = posterior.aleatoric + posterior.epistemic
    error = np.sqrt(variance / 40_000)
    assert (np.abs(draws.mean(axis=0) - posterior.mean) < 5 * error).all()
    np.testing.assert_allclose(draws.var(axis=0), variance, rtol=0.06)
    assert (posterior.epistemic > 0).all()
    for columns in DECALS.slices.values():
        np.testing.assert_allclose(posterior.mean[:, columns].sum(axis=1), 1)


def test_passes_that_agree_leave_only_the_spread_of_people():
    one = committee(passes=1)
    same = Posterior(one.concentration.expand(7, -1, -1), DECALS)
    np.testing.assert_allclose(same.epistemic, 0, atol=1e-30)
    np.testing.assert_allclose(same.aleatoric, one.aleatoric)
    alpha = one.alpha[0, :, :3].numpy()
    for i, row in enumerate(alpha):
        exact = stats.dirichlet(row)
        np.testing.assert_allclose(one.mean[i, :3], exact.mean())
        np.testing.assert_allclose(one.aleatoric[i, :3], exact.var())


def test_total_is_the_sum_of_each_question():
    posterior = committee(GZ2)
    for columns in GZ2.slices.values():
        expected = posterior.alpha[..., columns].sum(-1, keepdim=True)
        torch.testing.assert_close(
            posterior.total[..., columns], expected.expand(-1, -1, columns.stop - columns.start)
        )


def test_quantiles_are_those_of_the_mixture():
    posterior = committee(n=4)
    levels = (0.05, 0.5, 0.95)
    quantiles = posterior.quantiles(levels)
    assert quantiles.shape == (3, 4, 34)
    assert (np.diff(quantiles, axis=0) > 0).all()
    draws = mixture_draws(posterior, 40_000)
    for level, found in zip(levels, quantiles, strict=True):
        # Where the density is steep, at 0, the stated precision of 1e-6 moves the level.
        above = posterior.cdf(found + 1e-6)
        assert (posterior.cdf(np.maximum(found - 1e-6, 0)) <= level + 1e-12).all()
        assert (above >= level - 1e-12).all()
        inside = found > 0.01
        np.testing.assert_allclose(posterior.cdf(found)[inside], level, atol=2e-4)
        below = (draws < found).mean(axis=0)[inside]
        assert (np.abs(below - level) < 5 * np.sqrt(level * (1 - level) / 40_000)).all()
        assert inside.mean() > 0.6


def test_quantiles_of_one_pass_are_those_of_the_beta_distribution():
    posterior = committee(GZ2, passes=1, n=8)
    a = posterior.alpha[0].numpy()
    b = posterior.total[0].numpy() - a
    expected = betaincinv(a, b, 0.1)
    np.testing.assert_allclose(posterior.quantiles([0.1])[0], expected, atol=2e-6)


def test_quantiles_in_blocks_are_the_same(monkeypatch):
    posterior = committee(passes=3, n=7)
    whole = posterior.quantiles((0.2, 0.9))
    monkeypatch.setattr("galhelpers.learning.posterior.CHUNK", 50)
    np.testing.assert_allclose(posterior.quantiles((0.2, 0.9)), whole, atol=2e-6)


@pytest.mark.parametrize(("spread", "holds"), [(0.05, 0.84), (0.10, 0.72), (0.15, 0.61)])
def test_medians_of_the_passes_quantiles_would_hold_too_little(spread, holds):
    """The usual shortcut promises 90 % and holds `holds`; the mixture's interval keeps its word.

    A total concentration of 32, and 400 passes around .5.
    """
    rng = np.random.default_rng(0)
    mean = np.clip(0.5 + spread * rng.standard_normal((400, 1)), 0.02, 0.98)
    alpha = 32 * np.stack([mean, 1 - mean], axis=-1)
    posterior = Posterior(torch.from_numpy(alpha), TWO)
    low, high = (
        np.median(betaincinv(alpha[..., 0], alpha[..., 1], level), axis=0) for level in (0.05, 0.95)
    )

    def held(low, high):
        ends = [posterior.cdf(np.stack([x, 1 - x], axis=-1))[0, 0] for x in (low, high)]
        return ends[1] - ends[0]

    assert held(low, high) == pytest.approx(holds, abs=0.04)
    mixture = posterior.quantiles((0.05, 0.95))[:, :, 0]
    assert held(*mixture) == pytest.approx(0.9, abs=1e-3)
    assert (mixture[1] - mixture[0] > high - low).all()


def test_quantiles_of_extreme_distributions():
    """Nearly certain, and torn between 0 and 1."""
    alpha = torch.tensor([[[1e5, 1e-3], [0.02, 0.02]], [[1e5, 1e-3], [0.02, 0.02]]])
    quantiles = Posterior(alpha, TWO).quantiles((0.05, 0.4, 0.6, 0.95))
    np.testing.assert_allclose(quantiles[:, 0, 0], 1, atol=2e-6)
    np.testing.assert_allclose(quantiles[:, 1, 0], [0, 0, 1, 1], atol=0.01)


@pytest.mark.parametrize("level", [0, 1, -0.1, 5, np.nan])
def test_levels_outside_are_refused(level):
    with pytest.raises(ValueError, match="levels between 0 and 1"):
        committee().quantiles((0.5, level))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([DECALS, GZ2]), st.floats(0.01, 100))
def test_shares_and_samples_obey_the_tree(seed, tree, size):
    posterior = committee(tree, passes=3, n=4, seed=seed, size=size)
    assert tree.check(posterior.shares) == []
    draws = posterior.sample(5, seed)
    assert draws.shape == (5, 4, tree.n_answers)
    assert tree.check(draws.reshape(-1, tree.n_answers)) == []
    asked = posterior.asked
    assert asked.shape == (4, tree.n_questions)
    assert asked.min() >= 0
    assert asked.max() <= 1 + 1e-12
    np.testing.assert_allclose(asked, tree.asked(posterior.shares))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([DECALS, GZ2, TWO]),
    st.integers(1, 7),
    st.lists(st.floats(-3, 6), min_size=1, max_size=6),
)
def test_quantiles_are_finite_and_in_order(seed, tree, passes, sizes):
    """Concentrations from a thousandth to a million, side by side in one question."""
    rng = np.random.default_rng(seed)
    exponents = rng.choice(sizes, (passes, 3, tree.n_answers))
    posterior = Posterior(torch.from_numpy(10.0**exponents), tree)
    table = as_table(posterior, samples=30, seed=seed)
    assert np.isfinite(table).all()
    low, middle, high = posterior.quantiles((0.05, 0.5, 0.95))
    draws = posterior.sample(30, seed)
    share_low, share_middle, share_high = np.quantile(draws, (0.05, 0.5, 0.95), axis=0)
    for a, b, c in ((low, middle, high), (share_low, share_middle, share_high)):
        assert a.min() >= 0
        assert c.max() <= 1 + 1e-12
        assert (a <= b + 2e-8).all()
        assert (b <= c + 2e-8).all()


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from([DECALS, GZ2]),
    st.lists(st.integers(0, 8), min_size=1, max_size=12),
)
def test_what_is_said_of_a_picture_does_not_depend_on_its_neighbours(seed, tree, rows):
    """To the bit: alone, in another order, beside others, beside itself."""
    posterior = committee(tree, passes=5, n=9, seed=seed, size=2.0)
    whole = as_table(posterior, samples=40)
    assert np.array_equal(as_table(posterior.select(np.array(rows)), samples=40), whole[rows])


def test_a_last_bit_of_the_network_is_a_last_bit_of_the_quantiles():
    """Batches of another size round differently; that must not draw other numbers."""
    posterior = committee(GZ2, passes=20, n=20, size=1.0)
    noise = 2e-7 * np.random.default_rng(0).standard_normal(posterior.concentration.shape)
    other = Posterior(posterior.concentration * (1 + torch.from_numpy(noise)), GZ2)
    np.testing.assert_allclose(as_table(other), as_table(posterior), rtol=0, atol=1e-6)


def test_samples_have_the_expected_shares_as_their_mean():
    posterior = committee(n=4)
    draws = posterior.sample(4000, seed=1)
    error = draws.std(axis=0) / np.sqrt(4000)
    assert (np.abs(draws.mean(axis=0) - posterior.shares) < 5 * error).all()
    assert np.array_equal(posterior.sample(3, seed=2), posterior.sample(3, seed=2))
    assert not np.array_equal(posterior.sample(3, seed=2), posterior.sample(3, seed=3))


def test_a_parent_and_its_child_go_together():
    """Passes that see a disk see arms: the product of the means would be the wrong share."""
    alpha = torch.full((2, 1, 34), 500.0)
    featured, face_on = DECALS.index("smooth-or-featured_featured-or-disk"), 4
    arms = DECALS.index("has-spiral-arms_yes")
    alpha[0, 0, [featured, face_on, arms]] = 9000
    alpha[1, 0, featured] = 50
    alpha[1, 0, arms] = 50
    posterior = Posterior(alpha, DECALS)
    draws = posterior.sample(3000)[:, 0]
    share_asked = draws[:, DECALS.slices["has-spiral-arms"]].sum(axis=1)
    conditional = draws[:, arms] / share_asked
    assert np.corrcoef(share_asked, conditional)[0, 1] > 0.95
    assert draws[:, arms].mean() == pytest.approx(posterior.shares[0, arms], rel=0.05)
    parts = posterior.mean[0, [featured, face_on, arms]]
    assert posterior.shares[0, arms] > 1.5 * parts.prod()


def test_draws_of_tiny_concentrations_are_all_or_nothing():
    """Their gamma variates are below the least float; the fractions must not become even."""
    alpha = np.full((20_000, 34), 0.002)
    alpha[:, 1] = 0.004
    fractions = draw_fractions(alpha, DECALS, np.random.default_rng(0))[:, :3]
    np.testing.assert_allclose(fractions.sum(axis=1), 1)
    posterior = Posterior(torch.from_numpy(alpha[None, :1]), DECALS)
    np.testing.assert_allclose(fractions.mean(axis=0), [0.25, 0.5, 0.25], atol=0.02)
    np.testing.assert_allclose(fractions.var(axis=0), posterior.aleatoric[0, :3], rtol=0.02)
    assert (fractions.max(axis=1) > 0.999).mean() > 0.95


@pytest.mark.parametrize(
    "alpha", [(0.05, 0.8), (0.3, 0.7), (5.0, 2.0), (200.0, 900.0), (3.0, 3e5), (4e6, 1e6)]
)
def test_draws_follow_the_beta_distribution(alpha):
    rng = np.random.default_rng(0)
    draws = draw_fractions(np.tile(alpha, (4000, 1)), TWO, rng)[:, 0]
    common = Posterior(torch.tensor([[alpha]], dtype=torch.float64), TWO).sample(4000)[:, 0, 0]
    for found in (draws, common):
        assert stats.kstest(found, stats.beta(*alpha).cdf).pvalue > 0.001


def test_draws_take_every_pass_as_often():
    alpha = torch.tensor([[[1e6, 1.0]], [[1.0, 1e6]], [[1.0, 1.0]]])
    draws = Posterior(alpha, TWO).sample(300)[:, 0, 0]
    assert (draws > 0.999).sum() == pytest.approx(100, abs=2)
    assert (draws < 0.001).sum() == pytest.approx(100, abs=2)


def test_surprise_of_the_mixture():
    posterior = committee(GZ2, passes=4, n=9)
    rng = np.random.default_rng(1)
    votes = np.zeros((9, GZ2.n_answers))
    for columns in GZ2.slices.values():
        share = np.ones(columns.stop - columns.start) / (columns.stop - columns.start)
        votes[:, columns] = rng.multinomial(rng.integers(1, 40, 9), share)
    votes[2, GZ2.slices["bar"]] = np.nan
    found = posterior.nll(torch.from_numpy(votes))
    assert found.shape == (9, GZ2.n_questions)
    for i, (name, columns) in enumerate(GZ2.slices.items()):
        k = np.nan_to_num(votes[:, columns]).astype(int)
        each = np.array(
            [
                stats.dirichlet_multinomial.logpmf(k, alpha[:, columns], k.sum(axis=1))
                for alpha in posterior.alpha.numpy()
            ]
        )
        expected = np.log(4) - logsumexp(each, axis=0)
        rows = np.arange(9) != 2 if name == "bar" else slice(None)
        np.testing.assert_allclose(found[rows, i], expected[rows], rtol=1e-9)
    assert found[2, list(GZ2.slices).index("bar")] == pytest.approx(0, abs=1e-15)
    alone = np.mean([Posterior(a[None], GZ2).nll(torch.from_numpy(votes)) for a in posterior.alpha])
    assert found.mean() < alone, "Jensen: a mixture is less surprised than its passes on average"


def test_votes_come_as_arrays_or_tensors():
    posterior = committee()
    votes = np.random.default_rng(0).integers(0, 9, (5, DECALS.n_answers))
    expected = posterior.nll(torch.from_numpy(votes))
    for same in (votes, votes.astype("f4"), votes[::-1].copy()[::-1], torch.tensor(votes).float()):
        np.testing.assert_array_equal(posterior.nll(same), expected)
    with pytest.raises(ValueError, match=r"0 or more, or NaN .* got -99"):
        posterior.nll(np.full((5, DECALS.n_answers), -99))


def test_scaled_keeps_what_is_expected():
    posterior = committee(GZ2)
    factor = np.linspace(0.2, 5, GZ2.n_questions)
    scaled = posterior.scaled(factor)
    np.testing.assert_allclose(scaled.mean, posterior.mean)
    np.testing.assert_allclose(scaled.epistemic, posterior.epistemic)
    for i, columns in enumerate(GZ2.slices.values()):
        torch.testing.assert_close(
            scaled.total[..., columns], posterior.total[..., columns] * factor[i]
        )
    each = np.random.default_rng(0).uniform(0.5, 2, (6, GZ2.n_questions))
    own = posterior.scaled(each)
    for number in range(6):
        alone = Posterior(posterior.concentration[number : number + 1], GZ2).scaled(each[number])
        torch.testing.assert_close(own.alpha[number], alone.alpha[0])
    single = Posterior(posterior.concentration.float(), GZ2).scaled(factor)
    assert single.concentration.dtype == torch.float32


@pytest.mark.parametrize(
    "rows", [[0, 3], slice(0, 2), np.array([4, 0]), np.arange(5)[::-1], np.arange(5) > 2], ids=str
)
def test_select(rows):
    posterior = committee()
    rows = np.arange(5)[rows] if isinstance(rows, slice) else rows
    chosen = posterior.select(rows)
    assert torch.equal(
        chosen.concentration, posterior.concentration[:, torch.tensor(np.array(rows))]
    )
    np.testing.assert_allclose(chosen.mean, posterior.mean[rows])
    assert len(chosen) == len(posterior.mean[rows])


@pytest.mark.parametrize("shape", [(5, 34), (3, 5, 33), (0, 5, 34), (3, 5, 34, 1)], ids=str)
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"shape \(passes, galaxies, 34\) .* got \("):
        Posterior(torch.ones(shape), DECALS)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_concentrations_that_are_not_positive_are_refused(value):
    wrong = torch.ones(2, 3, 34)
    wrong[1, 2, 5] = value
    with pytest.raises(ValueError, match=f"greater than 0, got {value:g}"):
        Posterior(wrong, DECALS)
    with pytest.raises(ValueError, match="greater than 0"):
        committee().scaled(np.zeros(DECALS.n_questions))


def test_factors_for_other_questions_are_refused():
    with pytest.raises(ValueError, match="shape"):
        committee().scaled(np.ones(9))


def test_no_galaxies():
    posterior = committee().select(np.zeros(5, bool))
    assert len(posterior) == 0
    assert posterior.mean.shape == posterior.shares.shape == (0, 34)
    assert posterior.quantiles((0.5,)).shape == (1, 0, 34)
    assert posterior.sample(2).shape == (2, 0, 34)


def test_posterior_of_a_network_in_batches():
    torch.manual_seed(0)
    arguments = {"tree": "gz2", "encoder": "small", "widths": (4, 8)}
    pixels = np.random.default_rng(0).integers(0, 255, (300, 3, 16, 16), dtype=np.uint8)
    for net in (VoteNet(**arguments), VoteEnsemble(2, **arguments)):
        net.train()
        posterior = posterior_of(net, pixels, lambda x: x / 255, passes=3, seed=4)
        with torch.no_grad():
            expected = net.draw(torch.from_numpy(pixels) / 255, 3, seed=4)
        torch.testing.assert_close(posterior.concentration, expected)
        assert posterior.tree is GZ2


@pytest.mark.parametrize("net", [VoteNet, VoteEnsemble], ids=["one", "several"])
def test_a_picture_gets_the_same_in_batches_of_any_size(net):
    torch.manual_seed(0)
    arguments = {"tree": "gz2", "encoder": "small", "widths": (4, 8)}
    net = net(**arguments) if net is VoteNet else net(2, **arguments)
    pixels = np.random.default_rng(0).integers(0, 255, (270, 3, 16, 16), dtype=np.uint8)

    def table(rows):
        return as_table(posterior_of(net, pixels[rows], lambda x: x / 255, passes=3), 40)

    whole = table(np.arange(270))
    for rows in ([0], [269], [5, 3], range(40, 90), range(200, 270)):
        np.testing.assert_allclose(table(list(rows)), whole[list(rows)], rtol=0, atol=1e-6)


def test_table_says_what_the_posterior_says():
    posterior = committee(GZ2, n=3)
    names = table_columns(GZ2)
    table = as_table(posterior, samples=50, seed=1)
    assert table.shape == (3, len(names)) == (3, GZ2.n_answers * len(SUFFIXES) + GZ2.n_questions)
    low, high = posterior.quantiles((0.05, 0.95))
    draws = posterior.sample(50, seed=1)
    expected = {
        "mean": posterior.mean, "q05": low, "q95": high, "aleatoric": posterior.aleatoric**0.5,
        "epistemic": posterior.epistemic**0.5, "share": posterior.shares,
        "share_q05": np.quantile(draws, 0.05, axis=0),
        "share_q95": np.quantile(draws, 0.95, axis=0),
    }  # fmt: skip
    for i, column in enumerate(GZ2.columns):
        for suffix, values in expected.items():
            found = table[:, names.index(f"{column}_{suffix}")]
            np.testing.assert_allclose(found, values[:, i], rtol=1e-5, atol=1e-6)
    for i, question in enumerate(GZ2.questions):
        found = table[:, names.index(f"{question.name}_asked")]
        np.testing.assert_allclose(found, posterior.asked[:, i], rtol=1e-5)
