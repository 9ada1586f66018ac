"""What notebook 08 defines on the page equals the package's."""

import numpy as np
import pytest
import torch

from galhelpers.trees import TREES
from tests.notebooks.pages import definitions

NOTEBOOK = "08_bayesian_votes"
LOSSES = ("dirichlet_surprise", "surprises", "vote_loss", "mixture_surprises")


@pytest.fixture(params=["decals", "gz2"])
def tree(request):
    return TREES[request.param]


@pytest.fixture
def given(tree):
    """Concentrations (passes, galaxies, answers) and votes, some questions without any."""
    generator = torch.Generator().manual_seed(0)
    alpha = torch.rand((3, 40, tree.n_answers), generator=generator).double() * 20 + 1e-3
    votes = torch.randint(0, 12, (40, tree.n_answers), generator=generator).double()
    votes[::2, tree.slices["bar"]] = 0
    return alpha, votes


def test_the_heads_on_the_page_are_the_packages(tree):
    from galhelpers.models import bayesian

    space = definitions(NOTEBOOK, "MeanPrecisionHead", "LimitedHead")
    features = torch.randn((5, 128), generator=torch.Generator().manual_seed(1))
    for name in ("MeanPrecisionHead", "LimitedHead"):
        ours, theirs = space[name](128, tree), getattr(bayesian, name)(128, tree)
        theirs.load_state_dict(ours.state_dict())
        assert torch.equal(ours(features), theirs.activate(theirs.linear(features)))


def test_the_losses_on_the_page_are_the_packages(tree, given):
    from galhelpers.learning import losses
    from galhelpers.learning.posterior import Posterior

    space, (alpha, votes) = definitions(NOTEBOOK, *LOSSES, tree=tree), given
    theirs = losses.dirichlet_multinomial_nll(alpha, votes, tree)
    torch.testing.assert_close(space["surprises"](alpha, votes), theirs)
    loss = losses.vote_loss(alpha[0], votes, tree)
    torch.testing.assert_close(space["vote_loss"](alpha[0], votes), loss)
    mixed = space["mixture_surprises"](alpha, votes)
    np.testing.assert_allclose(mixed, Posterior(alpha, tree).nll(votes), atol=1e-9)


def test_nobody_asked_teaches_nothing(tree):
    space = definitions(NOTEBOOK, *LOSSES, tree=tree)
    alpha = torch.full((1, tree.n_answers), 3.0, requires_grad=True)
    loss = space["vote_loss"](alpha, torch.zeros((1, tree.n_answers)))
    loss.backward()
    assert loss.item() == 0
    assert not alpha.grad.any()


def test_a_point_forecast_is_a_dirichlet_of_endless_precision(tree, given):
    from galhelpers.learning.losses import dirichlet_multinomial_nll

    space = definitions(NOTEBOOK, "PointHead", "multinomial_surprise", tree=tree)
    head = space["PointHead"](128, tree)
    with torch.no_grad():
        log_shares = head(torch.randn((40, 128))).double()
    votes = given[1]
    found = space["multinomial_surprise"](log_shares, votes)
    sure = dirichlet_multinomial_nll(1e9 * log_shares.exp(), votes, tree).sum(dim=1)
    torch.testing.assert_close(found, sure, rtol=1e-3, atol=1e-3)
    for columns in tree.slices.values():
        torch.testing.assert_close(log_shares[:, columns].exp().sum(1), torch.ones(40).double())


def test_the_passes_on_the_page_are_the_packages():
    from galhelpers.models.bayesian import VoteNet

    net = VoteNet("decals", encoder="small", widths=(8, 16), dropout=0.3).eval()
    space = definitions(NOTEBOOK, "MeanPrecisionHead", "passes")
    head = space["MeanPrecisionHead"](16, net.tree)
    head.linear.load_state_dict(net.head.linear.state_dict())
    features = torch.randn((6, 16), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        theirs = net.sample(features, 4, seed=5)
    torch.testing.assert_close(space["passes"](head, features, 4, 0.3, seed=5), theirs)


def test_least_surprised_and_posterior_of_the_exercises():
    """The answers to 08.2 and 08.3, computed."""
    from galhelpers.exercises import find

    surprise = definitions(NOTEBOOK, "dirichlet_surprise")["dirichlet_surprise"]
    votes = torch.tensor([38.0, 1.0, 1.0]).double()
    mean = torch.tensor([0.3, 0.3, 0.4]).double()
    left, middle, right = (surprise(precision * mean, votes) for precision in (0.5, 6, 200))
    assert left < middle < right
    assert find("08.2").right == "a"
    prior, said = np.array([3, 5, 12]), np.array([9, 2, 1])
    posterior = prior + said
    assert find("08.3").value == pytest.approx(posterior[0] / posterior.sum())
