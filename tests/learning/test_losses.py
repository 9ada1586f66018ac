from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import digamma, gammaln
from scipy.stats import dirichlet_multinomial

from galhelpers.learning.losses import dirichlet_multinomial_nll, question_of_answers, vote_loss
from galhelpers.trees import CANDELS, DECALS, GZ2, GZ_CANDELS, Question, Tree

FOUR_TREES = pytest.mark.parametrize(
    "tree", [DECALS, GZ2, GZ_CANDELS, CANDELS], ids=lambda t: t.name
)

BRANCHED = pytest.mark.parametrize("tree", [DECALS, GZ2, GZ_CANDELS], ids=lambda t: t.name)


def one_question(answers):
    return Tree("one", (Question("q", "Which?", tuple(f"a{i}" for i in range(answers))),))


def cases(tree, n, seed=0, most=80):
    """Concentrations from .001 to 400, and votes of 0 to `most` people for every question."""
    rng = np.random.default_rng(seed)
    alpha = np.exp(rng.uniform(np.log(1e-3), np.log(400), (n, tree.n_answers)))
    votes = np.zeros((n, tree.n_answers))
    for columns in tree.slices.values():
        share = rng.dirichlet(np.ones(columns.stop - columns.start), size=n)
        votes[:, columns] = rng.multinomial(rng.integers(0, most + 1, n), share)
    return torch.from_numpy(alpha), torch.from_numpy(votes)


@FOUR_TREES
def test_equals_scipy(tree):
    alpha, votes = cases(tree, 400)
    ours = dirichlet_multinomial_nll(alpha, votes, tree).numpy()
    assert ours.shape == (400, tree.n_questions)
    for i, columns in enumerate(tree.slices.values()):
        a, k = alpha[:, columns].numpy(), votes[:, columns].numpy().astype(int)
        asked = k.sum(axis=1) > 0
        theirs = -dirichlet_multinomial.logpmf(k[asked], a[asked], k[asked].sum(axis=1))
        np.testing.assert_allclose(ours[asked, i], theirs, rtol=1e-10, atol=1e-12)
        assert (ours[~asked, i] == 0).all()
        assert 0 < (~asked).sum() < 50


def test_the_trees_have_two_to_seven_answers():
    sizes = {len(q.answers) for tree in (DECALS, GZ2, GZ_CANDELS, CANDELS) for q in tree.questions}
    assert sizes >= {2, 3, 4, 5, 6, 7}


@FOUR_TREES
def test_gradient_equals_the_closed_form(tree):
    alpha, votes = cases(tree, 100, seed=1)
    alpha.requires_grad_()
    dirichlet_multinomial_nll(alpha, votes, tree).sum().backward()
    a, k = alpha.detach().numpy(), votes.numpy()
    for columns in tree.slices.values():
        A, N = a[:, columns].sum(1, keepdims=True), k[:, columns].sum(1, keepdims=True)
        part = digamma(A) - digamma(A + N)
        expected = -(part + digamma(k[:, columns] + a[:, columns]) - digamma(a[:, columns]))
        np.testing.assert_allclose(alpha.grad[:, columns], expected, rtol=1e-9, atol=1e-10)


@BRANCHED
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("how", ["zeros", "one NaN", "all NaN", "mask"])
@pytest.mark.parametrize("leading", [(), (1,), (37,), (3, 1), (3, 37)], ids=str)
def test_who_was_not_asked_counts_for_exactly_nothing(tree, dtype, how, leading):
    """Value and gradients are 0 to the last bit, while other questions have votes."""
    rng = np.random.default_rng(7)
    _, votes = cases(tree, 37, seed=2)
    votes = (votes + 1).to(dtype)
    skip = rng.random((37, tree.n_questions)) < 0.4
    skip[:, 1] = True  # nobody at all was asked: the gradient is 0 whatever axes are summed
    spread = torch.from_numpy(np.repeat(skip, np.diff(tree.offsets), axis=1))
    first = torch.zeros(tree.n_answers, dtype=torch.bool)
    first[tree.offsets[:-1]] = True
    full, asked = votes.clone(), None
    if how == "zeros":
        votes[spread] = 0
    elif how == "one NaN":
        votes[spread & first] = torch.nan
    elif how == "all NaN":
        votes[spread] = torch.nan
    else:
        asked = torch.from_numpy(~skip)
    shape = (*leading, tree.n_answers)
    alpha = torch.from_numpy(np.exp(rng.uniform(-6, 6, shape))).to(dtype).requires_grad_()
    value = dirichlet_multinomial_nll(alpha, votes, tree, asked)
    everywhere = torch.from_numpy(skip).expand(value.shape)
    assert (value[everywhere] == 0).all()
    plain = dirichlet_multinomial_nll(alpha, full, tree)
    assert torch.equal(value[~everywhere], plain[~everywhere])
    value.sum().backward()
    assert alpha.grad.isfinite().all()
    if leading in ((37,), (3, 37)):
        assert (alpha.grad[spread.expand(alpha.shape)] == 0).all()
    assert (alpha.grad[..., tree.slices[tree.questions[1].name]] == 0).all()
    assert (alpha.grad[..., tree.slices[tree.questions[0].name]] != 0).any()


def test_weighted_votes_are_not_cut_to_whole_ones():
    alpha, votes = cases(GZ2, 200, seed=3)
    votes = votes * 0.73 + torch.from_numpy(np.random.default_rng(0).random(votes.shape))
    a, k = alpha.numpy(), votes.numpy()
    ours = dirichlet_multinomial_nll(alpha, votes, GZ2).numpy()
    for i, columns in enumerate(GZ2.slices.values()):
        A, N = a[:, columns].sum(1), k[:, columns].sum(1)
        log_p = gammaln(A) - gammaln(A + N) + gammaln(N + 1)
        log_p += (
            gammaln(k[:, columns] + a[:, columns])
            - gammaln(a[:, columns])
            - gammaln(k[:, columns] + 1)
        ).sum(1)
        np.testing.assert_allclose(ours[:, i], -log_p, rtol=1e-9, atol=1e-10)
    cut = dirichlet_multinomial_nll(alpha, votes.floor(), GZ2).numpy()
    assert np.median(np.abs(cut - ours)) > 0.01


def compositions(total, parts):
    if parts == 1:
        return [[total]]
    return [[i, *rest] for i in range(total + 1) for rest in compositions(total - i, parts - 1)]


@pytest.mark.parametrize(("answers", "people"), [(2, 0), (2, 60), (3, 12), (4, 8), (6, 5), (7, 4)])
def test_the_outcomes_add_up_to_one(answers, people):
    tree = one_question(answers)
    outcomes = torch.tensor(compositions(people, answers)).double()
    alpha = torch.from_numpy(np.random.default_rng(1).gamma(0.5, 10, (20, 1, answers)) + 1e-3)
    total = (-dirichlet_multinomial_nll(alpha, outcomes, tree)).exp().sum(dim=1)
    np.testing.assert_allclose(total, 1, rtol=1e-10)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-6.9, 9), st.integers(0, 60), st.integers(0, 60)),
        min_size=2,
        max_size=7,
    ),
    st.randoms(use_true_random=False),
)
def test_log_probabilities_of_whole_votes_are_negative_and_answers_have_no_order(rows, random):
    tree = one_question(len(rows))
    alpha = torch.tensor([row[0] for row in rows], dtype=torch.float64).exp()
    votes = torch.tensor([row[1:] for row in rows]).double().T
    value = dirichlet_multinomial_nll(alpha, votes, tree)
    assert (value >= -1e-9).all()
    order = list(range(len(rows)))
    random.shuffle(order)
    other = dirichlet_multinomial_nll(alpha[order], votes[:, order], tree)
    torch.testing.assert_close(value, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_changes_nothing(half):
    alpha, votes = cases(DECALS, 50, seed=4)
    alpha = alpha.float().requires_grad_()
    plain = dirichlet_multinomial_nll(alpha, votes, DECALS)
    (expected,) = torch.autograd.grad(plain.sum(), alpha)
    with torch.autocast("cpu", half):
        assert (alpha @ alpha.T).dtype == half, "autocast is on"
        inside = dirichlet_multinomial_nll(alpha, votes, DECALS)
        (gradient,) = torch.autograd.grad(inside.sum(), alpha)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, plain)
    assert torch.equal(gradient, expected)
    # What comes in as halves is widened before anything is computed with it.
    coarse = alpha.detach().to(half)
    value = dirichlet_multinomial_nll(coarse, votes.to(half), DECALS)
    assert torch.equal(value, dirichlet_multinomial_nll(coarse.float(), votes, DECALS))


@pytest.mark.parametrize(("top", "nats"), [(1e3, 0.008), (1e2, 0.001)])
def test_error_in_single_precision_is_as_stated(top, nats):
    rng = np.random.default_rng(0)
    alpha = torch.from_numpy(rng.uniform(0.001, top, (2000, DECALS.n_answers))).float()
    _, votes = cases(DECALS, 2000, seed=5)
    single = dirichlet_multinomial_nll(alpha, votes.float(), DECALS)
    double = dirichlet_multinomial_nll(alpha.double(), votes, DECALS)
    assert double.dtype == torch.float64
    assert (single - double).abs().max() < nats


def test_passes_broadcast_and_questions_are_as_in_a_loop():
    alpha, votes = cases(GZ_CANDELS, 30, seed=6)
    passes = torch.stack([alpha, alpha * 2, alpha + 3])
    value = dirichlet_multinomial_nll(passes, votes, GZ_CANDELS)
    assert value.shape == (3, 30, GZ_CANDELS.n_questions)
    for i, one in enumerate(passes):
        torch.testing.assert_close(value[i], dirichlet_multinomial_nll(one, votes, GZ_CANDELS))
    for i, (start, stop) in enumerate(pairwise(GZ_CANDELS.offsets)):
        part = one_question(stop - start)
        alone = dirichlet_multinomial_nll(passes[..., start:stop], votes[:, start:stop], part)
        torch.testing.assert_close(value[..., i], alone[..., 0], rtol=1e-11, atol=1e-11)
    single = dirichlet_multinomial_nll(alpha[0], votes[0], GZ_CANDELS)
    torch.testing.assert_close(single, value[0, 0])


def test_one_question_has_no_say_in_another():
    alpha, votes = cases(GZ2, 20, seed=8)
    other = alpha.clone()
    other[:, :3] *= 5
    before = dirichlet_multinomial_nll(alpha, votes, GZ2)
    after = dirichlet_multinomial_nll(other, votes, GZ2)
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert not torch.equal(before[:, 0], after[:, 0])


def test_whole_numbers_and_an_asked_mask_of_nans():
    alpha, votes = cases(DECALS, 10, seed=9)
    as_integers = dirichlet_multinomial_nll(alpha, votes.long(), DECALS)
    assert torch.equal(as_integers, dirichlet_multinomial_nll(alpha, votes, DECALS))
    votes[2, 4] = torch.nan  # disk-edge-on, the second question
    everyone = torch.ones(10, DECALS.n_questions, dtype=torch.bool)
    value = dirichlet_multinomial_nll(alpha, votes, DECALS, everyone)
    assert value[2, 1] == 0
    assert value.isfinite().all()


def test_negative_votes_and_wrong_sizes_are_refused():
    alpha, votes = cases(DECALS, 4)
    for wrong in (-1, -99):
        bad = votes.clone()
        bad[1, 2] = wrong
        with pytest.raises(ValueError, match=f"0 or more, or NaN .* got {wrong}"):
            dirichlet_multinomial_nll(alpha, bad, DECALS)
    with pytest.raises(ValueError, match=r"34 answers .* got concentrations of shape \(4, 33\)"):
        dirichlet_multinomial_nll(alpha[:, :33], votes, DECALS)
    with pytest.raises(ValueError, match=r"34 answers .* got votes of shape \(4, 30\)"):
        dirichlet_multinomial_nll(alpha, votes[:, :30], DECALS)


def test_training_works_after_a_first_call_in_inference_mode():
    """What is kept between calls must be fit for gradients, whoever called first."""
    question_of_answers.cache_clear()
    alpha, votes = cases(DECALS, 4)
    with torch.inference_mode():
        dirichlet_multinomial_nll(alpha, votes, DECALS)
    alpha.requires_grad_()
    vote_loss(alpha, votes, DECALS).backward()
    assert alpha.grad.abs().sum() > 0


def test_vote_loss_is_the_mean_over_galaxies():
    alpha, votes = cases(DECALS, 8, seed=10)
    votes[3] = torch.nan
    total = dirichlet_multinomial_nll(alpha, votes, DECALS).sum()
    torch.testing.assert_close(vote_loss(alpha, votes, DECALS), total / 8)
