import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from galhelpers.learning.active import (
    STRATEGIES,
    HeadBank,
    bald,
    labels_saved,
    learning_curves,
    uncertainty,
)
from galhelpers.learning.losses import vote_loss
from galhelpers.learning.posterior import Posterior
from galhelpers.trees import DECALS, Question, Tree
from tests.learning.exact import bald_of_two

TWO = Tree("two", (Question("q", "Which?", ("a", "b")),))
CHAIN = Tree(
    "chain",
    (
        Question("first", "What?", ("a", "b", "c")),
        Question("second", "And?", ("yes", "no"), ("first_a",)),
    ),
)


def committee(tree=TWO, passes=5, n=60, seed=0, spread=0.8):
    rng = np.random.default_rng(seed)
    logs = rng.normal(1, 1, (1, n, tree.n_answers))
    logs = logs + rng.normal(0, spread, (passes, n, tree.n_answers))
    return Posterior(torch.from_numpy(np.exp(logs)), tree)


@pytest.mark.parametrize("volunteers", [1, 5, 40])
def test_exact_information_against_brute_force(volunteers):
    posterior = committee(n=8)
    found = bald_of_two(posterior.alpha.numpy(), volunteers)
    for i in range(8):
        p = np.array(
            [
                [stats.betabinom.pmf(k, volunteers, *alpha[i]) for k in range(volunteers + 1)]
                for alpha in posterior.alpha.numpy()
            ]
        )
        exact = stats.entropy(p.mean(axis=0)) - np.mean([stats.entropy(row) for row in p])
        assert found[i] == pytest.approx(exact, abs=1e-10)
    assert (found > 0).all()
    assert (found < np.log(5)).all(), "no more than to know which of the five passes is right"


def test_nobody_tells_nothing_and_more_people_tell_more():
    alpha = committee().alpha.numpy()
    assert (bald_of_two(alpha, 0) == 0).all()
    by_people = np.stack([bald_of_two(alpha, n) for n in (1, 2, 5, 20, 100)])
    assert (np.diff(by_people, axis=0) > 0).all()


def test_sampled_information_agrees_with_the_exact_one():
    posterior = committee()
    exact = bald_of_two(posterior.alpha.numpy(), 40)
    runs = np.stack([bald(posterior, 40, samples=20, seed=seed)[:, 0] for seed in range(20)])
    error = runs.std(axis=0, ddof=1) / np.sqrt(20)
    score = (runs.mean(axis=0) - exact) / error
    assert np.abs(score).max() < 5
    assert np.abs(score.mean()) < 5 / np.sqrt(60)
    assert np.corrcoef(runs.mean(axis=0), exact)[0, 1] > 0.99
    assert np.array_equal(bald(posterior, seed=3), bald(posterior, seed=3))
    assert not np.array_equal(bald(posterior, seed=3), bald(posterior, seed=4))


def test_a_question_gets_as_many_people_as_are_expected_to_be_asked_it():
    posterior = committee(CHAIN, n=40)
    runs = np.stack([bald(posterior, 40, samples=20, seed=seed) for seed in range(10)])
    people = np.rint(40 * posterior.asked[:, 1]).astype(int)
    alpha = posterior.alpha[..., 3:].numpy()
    exact = [bald_of_two(alpha[:, i : i + 1], n)[0] for i, n in enumerate(people)]
    error = runs[..., 1].std(axis=0, ddof=1) / np.sqrt(10)
    assert (np.abs(runs[..., 1].mean(axis=0) - exact) < 6 * error + 1e-9).all()
    assert np.abs(runs[..., 1].mean() - np.mean(exact)) < 4 * np.sqrt((error**2).mean() / 40)


def test_equal_passes_have_nothing_to_learn():
    one = committee(DECALS, passes=1, n=20)
    same = Posterior(one.concentration.expand(6, -1, -1), DECALS)
    np.testing.assert_allclose(bald(same), 0, atol=1e-12)
    exact = bald_of_two(same.alpha[..., :2].numpy(), 40)
    assert (exact >= 0).all()
    np.testing.assert_allclose(exact, 0, atol=1e-12)
    np.testing.assert_array_equal(bald(one), 0)


def test_information_is_higher_where_passes_disagree_uncertainty_where_answers_are_even():
    """A galaxy that passes bet differently on, and one that all call a toss-up."""
    bets = [[9.0, 1.0], [1.0, 9.0]]
    toss_up = [[500.0, 500.0], [500.0, 500.0]]
    certain = [[900.0, 1.0], [900.0, 1.0]]
    alpha = torch.tensor([bets, toss_up, certain]).transpose(0, 1)
    posterior = Posterior(alpha, TWO)
    information, entropy = bald(posterior, samples=50)[:, 0], uncertainty(posterior)[:, 0]
    assert information[0] > 0.4
    assert np.abs(information[1:]).max() < 1e-9
    assert entropy[0] == pytest.approx(np.log(2))
    assert entropy[1] == pytest.approx(np.log(2))
    assert entropy[2] < 0.02
    spreads = [bald_of_two(committee(spread=s).alpha.numpy(), 40).mean() for s in (0.1, 0.5, 2)]
    assert spreads[0] < spreads[1] < spreads[2]


def test_information_of_tiny_concentrations_is_not_negative():
    """Fractions of nearly 0 and 1, whose gamma variates are below the least float."""
    alpha = np.full((4, 50, 2), 0.001)
    alpha[..., 0] *= np.array([1, 1, 3, 3])[:, None]
    sampled = bald(Posterior(torch.from_numpy(alpha), TWO), 40, samples=200)[:, 0]
    exact = bald_of_two(alpha, 40)
    assert sampled.mean() == pytest.approx(exact.mean(), rel=0.1)


def test_uncertainty_counts_the_share_asked():
    alpha = torch.ones(2, 1, 5)
    alpha[:, :, 0] = 6
    posterior = Posterior(alpha, CHAIN)
    mean = np.array([0.75, 0.125, 0.125])
    assert uncertainty(posterior)[0] == pytest.approx([stats.entropy(mean), 0.75 * np.log(2)])


@pytest.fixture
def no_dropout(monkeypatch):
    """Its random numbers depend on how many runs there are."""
    monkeypatch.setattr("galhelpers.learning.active.DROPOUT", 0.0)


def learned(votes, x, which):
    """Weights of some runs after training them together, from the same start."""
    bank = HeadBank(range(1, 5), 6, CHAIN, hidden=8)
    alone = HeadBank([0] * len(which), 6, CHAIN, hidden=8)
    with torch.no_grad():
        for ours, theirs in zip(alone.parameters(), bank.parameters(), strict=True):
            ours.copy_(theirs[which])
    alone.learn(x[which], votes[which], CHAIN, steps=40)
    return [parameter.detach() for parameter in alone.parameters()]


def some_data(runs=4, n=30):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(runs, n, 6))).float()
    votes = torch.from_numpy(rng.integers(0, 10, (runs, n, 5))).float()
    return x, votes


@pytest.mark.usefixtures("no_dropout")
@pytest.mark.parametrize("which", [[0], [2], [3, 1]], ids=str)
def test_runs_train_alike_alone_or_together(which):
    x, votes = some_data()
    x[0], votes[3] = 100 * x[0], 0  # neighbours with huge gradients, or none
    together = learned(votes, x, [0, 1, 2, 3])
    for ours, theirs in zip(learned(votes, x, which), together, strict=True):
        torch.testing.assert_close(ours, theirs[which], rtol=1e-3, atol=1e-4)


def test_other_runs_galaxies_do_not_matter_with_dropout_either():
    x, votes = some_data()
    found = []
    for others in (x, -7 * x):
        torch.manual_seed(0)
        bank = HeadBank(range(1, 5), 6, CHAIN, hidden=8)
        before = bank.first.detach().clone()
        bank.learn(torch.cat([x[:1], others[1:]]), votes, CHAIN, steps=20)
        found.append(bank.first.detach())
        assert not torch.allclose(bank.first, before)
    torch.testing.assert_close(found[0][0], found[1][0])
    assert not torch.allclose(found[0][1], found[1][1])


@pytest.mark.usefixtures("no_dropout")
def test_a_bank_of_one_is_the_plain_network():
    x, votes = some_data(runs=1)
    bank = HeadBank([3], 6, CHAIN, hidden=8)
    plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7))
    with torch.no_grad():
        for layer, weight, bias in (
            (plain[0], bank.first, bank.bias1),
            (plain[2], bank.second, bank.bias2),
        ):
            layer.weight.copy_(weight[0].T)
            layer.bias.copy_(bias[0, 0])
    torch.testing.assert_close(bank(x)[0], bank.activate(plain(x[0])))
    optimizer = torch.optim.AdamW(plain.parameters(), lr=1e-2, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=50)
    for _ in range(50):
        optimizer.zero_grad()
        vote_loss(bank.activate(plain(x[0])), votes[0], CHAIN).backward()
        optimizer.step()
        schedule.step()
    bank.learn(x, votes, CHAIN, steps=50)
    torch.testing.assert_close(bank(x)[0], bank.activate(plain(x[0])), rtol=1e-3, atol=1e-3)
    assert vote_loss(bank(x)[0], votes[0], CHAIN) < 0.98 * vote_loss(
        HeadBank([3], 6, CHAIN, hidden=8)(x)[0], votes[0], CHAIN
    )


def test_one_run_is_sampled_with_its_own_weights(no_dropout, monkeypatch):
    x, _ = some_data()
    bank = HeadBank(range(1, 5), 6, CHAIN, hidden=8)
    whole = bank(x).detach()
    for run in (0, 3):
        passes = bank.posterior(run, x[run], 3, CHAIN).concentration
        torch.testing.assert_close(passes, whole[run].expand(3, -1, -1))
    monkeypatch.setattr("galhelpers.learning.active.DROPOUT", 0.3)
    passes = bank.posterior(2, x[2], 3, CHAIN).concentration
    assert not torch.allclose(passes[0], passes[1])


@pytest.fixture(scope="module")
def galaxies():
    """Features that say what volunteers see, their votes, and the true shares of all of them."""
    rng = np.random.default_rng(2)
    features = rng.normal(size=(240, 5))
    first = np.exp(2 * features[:, :3])
    first /= first.sum(axis=1, keepdims=True)
    second = 1 / (1 + np.exp(-3 * features[:, 3:4]))
    conditional = np.hstack([first, second, 1 - second])
    votes = np.zeros((240, 5))
    votes[:, :3] = rng.multinomial(40, first)
    votes[:, 3] = rng.binomial(votes[:, 0].astype(int), second[:, 0])
    votes[:, 4] = votes[:, 0] - votes[:, 3]
    as_tensor = torch.from_numpy(features).float(), torch.from_numpy(votes).float()
    return *as_tensor, CHAIN.to_cumulative(conditional), CHAIN


SMALL = {"start": 15, "step": 30, "rounds": 2, "passes": 4}


@pytest.fixture(scope="module")
def curves(galaxies):
    return learning_curves(*galaxies, seeds=[3, 4, 5], **SMALL)


def test_curves_fall_and_are_the_same_every_time(galaxies, curves):
    assert curves.shape == (len(STRATEGIES), 3, 3)
    assert np.isfinite(curves).all()
    assert (curves[..., 2].mean(axis=1) < 0.9 * curves[..., 0].mean(axis=1)).all()
    constant = galaxies[2] - galaxies[2].mean(axis=0)
    assert (curves[..., 2].mean(axis=1) < 0.7 * np.sqrt((constant**2).mean())).all()
    again = learning_curves(*galaxies, seeds=[3, 4, 5], **SMALL)
    np.testing.assert_array_equal(again, curves)
    other = learning_curves(*galaxies, seeds=[6, 7, 8], **SMALL)
    assert not np.allclose(other, curves)


def test_the_test_part_is_never_learned_from(galaxies, curves):
    """Other votes for its galaxies change nothing; other votes for the rest do."""
    features, votes, truth, tree = galaxies
    in_test = np.random.default_rng(3).permutation(240)[:72]
    for rows, same in ((in_test, True), (np.setdiff1d(np.arange(240), in_test), False)):
        changed = votes.clone()
        changed[rows] = votes[rows].flip(1)
        found = learning_curves(features, changed, truth, tree, seeds=[3], **SMALL)
        plain = learning_curves(features, votes, truth, tree, seeds=[3], **SMALL)
        assert np.array_equal(found, plain) == same


def test_all_strategies_begin_with_the_same_galaxies(galaxies):
    """What others would have said makes no difference to the first error, but to the second."""
    features, votes, truth, tree = galaxies
    first = np.random.default_rng(3).permutation(240)[72:87]
    changed = votes.flip(1)
    changed[first] = votes[first]
    plain = learning_curves(features, votes, truth, tree, seeds=[3], **SMALL)
    found = learning_curves(features, changed, truth, tree, seeds=[3], **SMALL)
    np.testing.assert_array_equal(found[..., 0], plain[..., 0])
    assert (found[..., 1] != plain[..., 1]).all()


def test_the_error_is_that_of_the_test_part(galaxies):
    features, votes, truth, tree = galaxies
    in_test = np.random.default_rng(3).permutation(240)[:72]
    changed = np.array(truth)
    changed[np.setdiff1d(np.arange(240), in_test)] = 99
    options = SMALL | {"seeds": [3], "strategies": ["bald"]}
    plain = learning_curves(features, votes, truth, tree, **options)
    assert plain.shape == (1, 1, 3)
    np.testing.assert_array_equal(learning_curves(features, votes, changed, tree, **options), plain)


def test_too_few_galaxies_and_unknown_strategies_are_refused(galaxies):
    enough = SMALL | {"start": 108}  # 240 less 72 for the test: 168
    assert learning_curves(*galaxies, seeds=[0], strategies=["random"], **enough).shape == (1, 1, 3)
    with pytest.raises(ValueError, match=r"169 galaxies to choose from, got .* and 168 galaxies"):
        learning_curves(*galaxies, seeds=[0], **(SMALL | {"start": 109}))
    with pytest.raises(ValueError, match=r"random, uncertainty, bald .* got best"):
        learning_curves(*galaxies, seeds=[0], strategies=["best"], **SMALL)


def test_galaxies_without_shares_are_refused(galaxies):
    """One NaN in the test part would make all errors NaN."""
    features, votes, truth, tree = galaxies
    truth = np.array(truth)
    truth[[7, 30], 2] = np.nan
    with pytest.raises(ValueError, match=r"NaN for 2 of 240 galaxies \(rows 7, 30\)\. Drop"):
        learning_curves(features, votes, truth, tree, seeds=[3], **SMALL)
    truth[40:] = np.nan
    with pytest.raises(ValueError, match=r"NaN for 202 .* \(rows 7, 30, 40, .* 47, \.\.\.\)"):
        learning_curves(features, votes, truth, tree, seeds=[3], **SMALL)


LABELS = np.array([100, 200, 300, 400])


def test_labels_saved_by_hand():
    random = np.array([[0.5, 0.4, 0.3, 0.2], [0.3, 0.2, 0.1, 0.0]])  # mean .4, .3, .2, .1
    chosen = np.array([[0.4, 0.1, 0.1, 0.1], [0.4, 0.3, 0.1, 0.1]])  # mean .4, .2, .1, .1
    # To .25: random 250 labels, chosen 175. A mean of the seeds' own ratios would be another.
    interval = labels_saved(random, chosen, LABELS, 0.25)
    assert interval.value == pytest.approx(0.3)
    assert interval.n == 2
    # Three samples of two seeds are different: the first twice, the second twice, both.
    first, second = (labels_saved(random[[i]], chosen[[i]], LABELS, 0.25).value for i in (0, 1))
    assert (interval.low, interval.high) == pytest.approx(tuple(sorted([first, second])))
    # At a round itself, and at the first one.
    assert labels_saved(random, chosen, LABELS, 0.2).value == pytest.approx(1 - 200 / 300)
    assert labels_saved(random, chosen, LABELS, 0.4).value == 0


def test_labels_saved_where_an_error_is_not_reached():
    random, chosen = np.array([[0.4, 0.3, 0.2, 0.1]] * 3), np.array([[0.4, 0.4, 0.4, 0.4]] * 3)
    assert labels_saved(random, chosen, LABELS, 0.25).value == -np.inf
    assert np.isnan(labels_saved(random, chosen, LABELS, 0.05).value)
    # One seed of three arrives only late: some samples do not arrive at all.
    chosen[0] = [0.4, 0.2, 0.0, 0.0]
    chosen[1] = [0.4, 0.2, 0.1, 0.0]
    interval = labels_saved(random, chosen, LABELS, 0.25)
    assert interval.low == -np.inf
    assert 0 < interval.high < 1


def test_a_lucky_round_is_no_arrival():
    """.2 and .5 in a row count as .35 twice: .3 is reached a fifth of the way to the last round."""
    random = np.array([[0.4, 0.4, 0.4, 0.2]] * 2)
    wavy = np.array([[0.4, 0.2, 0.5, 0.1]] * 2)
    assert labels_saved(random, wavy, LABELS, 0.3).value == pytest.approx(1 - 320 / 350)


def test_labels_saved_of_known_power_laws():
    """Where choosing needs a fraction of the labels for every error, that fraction comes out."""
    rng = np.random.default_rng(0)
    labels = np.arange(100, 2001, 20)
    values = []
    for need, error in itertools.product((0.5, 0.65, 1.2), (0.2, 0.15)):
        noise = rng.normal(1, 0.002, (2, 10, 1))
        random = 3 * labels**-0.5 * noise[0]
        chosen = 3 * (labels / need) ** -0.5 * noise[1]
        interval = labels_saved(random, chosen, labels, error)
        values.append(interval.value - (1 - need))
        assert interval.n == 10
        assert interval.low < interval.value < interval.high
    assert np.abs(values).max() < 0.01
