import copy
from functools import partial

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from galhelpers.data.augment import to_float
from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.learning.losses import dirichlet_multinomial_nll, vote_loss
from galhelpers.learning.training import fit
from galhelpers.models import SmallResNet, build
from galhelpers.models.bayesian import (
    SMALLEST,
    LimitedHead,
    MeanPrecisionHead,
    VoteEnsemble,
    VoteNet,
)
from galhelpers.trees import DECALS, GZ2, Question, Tree

SMALL = {"tree": "decals", "encoder": "small", "widths": [8, 16]}


def one_question(answers):
    return Tree("one", (Question("q", "Which?", tuple(f"a{i}" for i in range(answers))),))


def small(seed=0, **options):
    """A network whose blocks and scores are not those of a fresh one, which are nearly constant."""
    torch.manual_seed(seed)
    net = VoteNet(**(SMALL | options))
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    nn.init.normal_(net.head.linear.weight, std=0.5)
    return net.eval()


def pictures(n=5, side=32, seed=1):
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=34, max_size=34))
def test_limited_concentrations_stay_in_their_limits(scores):
    alpha = LimitedHead(4, DECALS).activate(torch.tensor(scores))
    assert alpha.min() >= 1
    assert alpha.max() <= 101


@pytest.mark.parametrize(
    ("answers", "nats", "most"),
    [(2, 0.334, 0.990), (3, 0.664, 0.981), (4, 0.993, 0.971), (6, 1.641, 0.953)],
)
def test_limited_head_pays_for_a_unanimous_vote(answers, nats, most):
    tree = one_question(answers)
    head = LimitedHead(4, tree)
    votes = torch.zeros(answers, dtype=torch.float64)
    votes[0] = 40
    scores = torch.full((answers,), -60.0, dtype=torch.float64)
    scores[0] = 60
    best = head.activate(scores)
    assert best[0] / best.sum() == pytest.approx(most, abs=5e-4)
    cost = dirichlet_multinomial_nll(best, votes, tree).item()
    assert cost == pytest.approx(nats, abs=5e-4)
    others = head.activate(torch.from_numpy(np.random.default_rng(0).normal(0, 8, (5000, answers))))
    assert dirichlet_multinomial_nll(others, votes, tree).min() >= cost


@pytest.mark.parametrize("answers", [2, 3, 4, 6, 7])
def test_mean_precision_head_can_be_sure_of_a_unanimous_vote(answers):
    tree = one_question(answers)
    head = MeanPrecisionHead(4, tree)
    votes = torch.zeros(answers)
    votes[0] = 40
    scores = torch.zeros(answers + 1)
    scores[0] = 30
    at_first = dirichlet_multinomial_nll(head.activate(scores), votes, tree).item()
    assert at_first == pytest.approx(0.00198 * (answers - 1), rel=0.05)
    scores[-1] = 50
    assert 0 <= dirichlet_multinomial_nll(head.activate(scores), votes, tree).item() < at_first / 2


def test_mean_precision_head_expects_one_in_sum_and_starts_even():
    head = MeanPrecisionHead(4, GZ2)
    torch.manual_seed(0)
    scores = torch.randn(6, 3, GZ2.n_answers + GZ2.n_questions, dtype=torch.float64) * 4
    alpha = head.activate(scores)
    assert alpha.shape == (6, 3, GZ2.n_answers)
    assert alpha.min() >= SMALLEST
    for i, columns in enumerate(GZ2.slices.values()):
        size = columns.stop - columns.start
        above = alpha[..., columns] - SMALLEST
        means = above / above.sum(-1, keepdim=True)
        torch.testing.assert_close(means, scores[..., columns].softmax(-1))
        precision = 10 * functional.softplus(scores[..., GZ2.n_answers + i])
        torch.testing.assert_close(alpha[..., columns].sum(-1), precision + size * SMALLEST)
    fresh = head.activate(torch.zeros(GZ2.n_answers + GZ2.n_questions))
    assert fresh[:3] == pytest.approx(10 * np.log(2) / 3 + SMALLEST)


@pytest.mark.parametrize("size", [10.0, 30.0, 80.0])
@pytest.mark.parametrize("answers", [2, 6])
def test_gradients_far_out_are_finite_and_not_zero(answers, size):
    """Zoobot's sigmoid has none from 17 on, however wrong it is."""
    tree = one_question(answers)
    votes = torch.zeros(answers)
    votes[0] = 40
    head = MeanPrecisionHead(4, tree)
    for where, sign in ((1, 1), (1, -1), (0, -1), (answers, 1)):
        scores = torch.zeros(answers + 1)
        scores[where] = sign * size
        scores.requires_grad_()
        dirichlet_multinomial_nll(head.activate(scores), votes, tree).sum().backward()
        assert scores.grad.isfinite().all()
        assert scores.grad.abs().max() > 1e-4
        if (where, sign) == (1, 1):
            assert scores.grad[-1] > 1, "sure of the wrong answer: it should be less sure"
    limited = torch.zeros(answers)
    limited[0], limited[1] = -size, size
    limited.requires_grad_()
    loss = dirichlet_multinomial_nll(LimitedHead(4, tree).activate(limited), votes, tree)
    loss.sum().backward()
    if size > 17:
        assert limited.grad[1] == 0


def test_passes_are_the_head_on_features_with_some_left_out():
    net = small(dropout=0.4)
    with torch.no_grad():
        features = net.encode(pictures())
        passes = net.sample(features, 6, seed=3)
        kept = torch.rand((6, 16), generator=torch.Generator().manual_seed(3)) >= 0.4
        for one, mask in zip(passes, kept, strict=True):
            expected = net.head.activate(net.head.linear(features * mask / 0.6))
            torch.testing.assert_close(one, expected)
        assert 0 < kept.float().mean() < 1
        torch.testing.assert_close(net.draw(pictures(), 6, seed=3), passes)


def test_features_left_out_are_left_out_as_often_as_in_training():
    """Over many passes the scores have the mean and spread of dropout in training."""
    net = small(dropout=0.3)
    net.head.activate = lambda x: x
    with torch.no_grad():
        features = net.encode(pictures(2))
        passes = net.sample(features, 20_000)
        torch.manual_seed(0)
        dropped = functional.dropout(features.expand(20_000, -1, -1), 0.3)
        training = net.head.linear(dropped)
    spread = training.std(dim=0)
    assert ((passes.mean(0) - net.head.linear(features)).abs() < 0.05 * spread + 1e-6).all()
    torch.testing.assert_close(passes.std(dim=0), spread, rtol=0.04, atol=1e-6)


def test_a_pass_does_not_depend_on_the_batch():
    net = small()
    x = pictures(7)
    with torch.no_grad():
        together = net.draw(x, 4)
        alone = torch.cat([net.draw(x[i : i + 1], 4) for i in range(7)], dim=1)
        shuffled = net.draw(x.flip(0), 4).flip(1)
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together, shuffled)


def test_seeds_and_more_passes():
    net = small()
    torch.manual_seed(5)
    with torch.no_grad():
        features = net.encode(pictures())
        state = torch.get_rng_state()
        passes = net.sample(features, 8, seed=1)
        assert torch.equal(torch.get_rng_state(), state), "other random numbers stay as they are"
        assert torch.equal(passes, net.sample(features, 8, seed=1))
        torch.testing.assert_close(net.sample(features, 3, seed=1), passes[:3])
        assert not torch.allclose(net.sample(features, 8, seed=2), passes)
    assert len({tuple(one.flatten().tolist()) for one in passes}) == 8
    assert passes.shape == (8, 5, 34)
    assert passes.dtype == torch.float32


def test_without_dropout_all_passes_are_the_network_itself():
    net = small(dropout=0)
    with torch.no_grad():
        passes = net.draw(pictures(), 3)
        torch.testing.assert_close(passes, net(pictures()).expand(3, -1, -1))


def test_dropout_is_on_in_training_only():
    net = small(dropout=0.5)
    x = pictures()
    assert torch.equal(net(x), net(x))
    for module in net.modules():
        module.training = not isinstance(module, nn.BatchNorm2d)
    assert not torch.allclose(net(x), net(x))


def test_without_colour_the_order_of_the_colours_does_not_matter():
    x = pictures()
    grey, colour = small(colour=False), small(colour=True)
    with torch.no_grad():
        torch.testing.assert_close(grey(x), grey(x[:, [2, 0, 1]]))
        assert not torch.allclose(colour(x), colour(x[:, [2, 0, 1]]))
        torch.testing.assert_close(grey(x), colour(x.mean(1, keepdim=True).expand(-1, 3, -1, -1)))
        assert not torch.allclose(grey(x), grey(x.flip(3).roll(5, 2)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tree": "gz3"}, "no tree 'gz3'; there are .*decals"),
        ({"encoder": "resnet"}, "no encoder 'resnet'; there are small, efficientnet_b0"),
        ({"head": "best"}, "no head 'best'; there are mean_precision, limited"),
        ({"dropout": 1.0}, "from 0 to below 1, got 1.0"),
        ({"dropout": -0.1}, "-0.1"),
    ],
)
def test_unknown_names_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        VoteNet(**(SMALL | wrong))
    with pytest.raises(ValueError, match=message):
        build("vote_ensemble", members=2, **(SMALL | wrong))


@pytest.mark.parametrize("head", ["mean_precision", "limited"])
@pytest.mark.parametrize("architecture", ["vote_net", "vote_ensemble"])
def test_round_trip_through_a_checkpoint(tmp_path, architecture, head):
    torch.manual_seed(0)
    arguments = SMALL | {"head": head, "colour": False, "dropout": 0.3}
    arguments |= {"members": 2} if architecture == "vote_ensemble" else {}
    model = build(architecture, **arguments).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    path = save_checkpoint(
        tmp_path / "net.safetensors", model, architecture=architecture, arguments=arguments,
        preprocessing={"size": 32, "passes": 3, "mean": [0.1] * 3, "std": [0.2] * 3},
        classes=DECALS.columns, task="votes",
    )  # fmt: skip
    loaded = load_checkpoint(path, torch.device("cpu")).model
    with torch.no_grad():
        assert torch.equal(loaded(pictures()), model(pictures()))
        assert torch.equal(loaded.draw(pictures(), 3, 1), model.draw(pictures(), 3, 1))
        assert model.draw(pictures(), 3).shape == (3 * arguments.get("members", 1), 5, 34)


def test_members_of_an_ensemble_differ_in_weights_and_in_what_they_leave_out():
    torch.manual_seed(0)
    ensemble = VoteEnsemble(3, **(SMALL | {"widths": (8, 64)})).eval()
    x = pictures()
    with torch.no_grad():
        drawn = ensemble.draw(x, 4, seed=2)
        assert torch.equal(ensemble(x), ensemble.members[0](x))
        assert torch.equal(drawn[:4], ensemble.members[0].draw(x, 4, seed=2))
        for one in ensemble.members[1:]:
            assert not torch.allclose(one(x), ensemble(x))
            one.load_state_dict(ensemble.members[0].state_dict())
        same = ensemble.draw(x, 4, seed=2)
    assert not torch.allclose(same[4:8], same[:4])
    assert not torch.allclose(same[8:], same[4:8])
    with pytest.raises(ValueError, match="one member or more, got 0"):
        VoteEnsemble(0, **SMALL)


def test_an_ensemble_is_not_trained_as_one():
    """Only its first member would learn."""
    torch.manual_seed(0)
    ensemble = VoteEnsemble(2, **SMALL)
    pixels = np.random.default_rng(0).integers(0, 255, (8, 3, 32, 32), dtype=np.uint8)
    votes = torch.randint(0, 5, (8, 34)).float()
    training = {"augment": lambda x, step: to_float(x), "prepare": to_float, "epochs": 1}
    loss = partial(vote_loss, tree=DECALS)
    with pytest.raises(RuntimeError, match="Train each of its members by itself"):
        fit(ensemble, (pixels, votes), (pixels, votes), loss, **training)
    before = [copy.deepcopy(member.state_dict()) for member in ensemble.members]
    for member, old in zip(ensemble.members, before, strict=True):
        fit(member, (pixels, votes), (pixels, votes), loss, **training)
        assert not torch.equal(member.head.linear.weight, old["head.linear.weight"])
    with torch.no_grad():
        assert ensemble.eval()(pictures()).shape == (5, 34)


def test_efficientnet_is_timms():
    torch.manual_seed(0)
    net = VoteNet("decals").eval()
    reference = timm.create_model("efficientnet_b0", num_classes=0).eval()
    reference.load_state_dict(net.encoder.state_dict())
    x = pictures(2, side=64)
    with torch.no_grad():
        features = net.encode(x)
        assert features.shape == (2, 1280)
        torch.testing.assert_close(features, reference(x))
        assert net(x).shape == (2, 34)
        assert net.draw(x, 2).shape == (2, 2, 34)
    assert (net(x) > 0).all()


def test_features_of_the_small_encoder_are_those_its_own_head_would_get():
    torch.manual_seed(0)
    net, x = SmallResNet(widths=(8, 16)).eval(), pictures()
    assert net.encode(x).shape == (5, 16)
    assert torch.equal(net(x), net.head(net.encode(x)))
    votes = small()
    net = SmallResNet(1, (8, 16)).eval()
    net.load_state_dict(votes.encoder.state_dict(), strict=False)
    assert torch.equal(votes.encode(x), net.encode(x))


@pytest.mark.parametrize("head", ["mean_precision", "limited"])
def test_concentrations_are_computed_in_single_precision_under_autocast(head):
    net, x = small(head=head), pictures()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = net.encode(x)
        whole, passes = net(x), net.draw(x, 3)
    assert whole.dtype == passes.dtype == torch.float32
    with torch.no_grad():
        exact = net.head.activate(net.head.linear(features.float()))
        torch.testing.assert_close(whole, exact)
        torch.testing.assert_close(passes, net.sample(features.float(), 3))


def test_it_learns_votes():
    """The network, its loss and its precision together: bright galaxies have bars, others not."""
    rng = np.random.default_rng(0)
    bright = torch.from_numpy(rng.random(64) < 0.5)
    x = pictures(64, side=16) + 2 * bright[:, None, None, None]
    votes = torch.full((64, 34), torch.nan)
    bar = DECALS.slices["bar"]
    votes[:, bar] = 0
    votes[bright, bar.start], votes[~bright, bar.stop - 1] = 40, 40
    torch.manual_seed(0)
    net = VoteNet(**SMALL)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    untouched = net.head.linear.weight.detach()[:3].clone()
    for _ in range(60):
        optimizer.zero_grad()
        dirichlet_multinomial_nll(net(x), votes, DECALS).sum(1).mean().backward()
        assert (net.head.linear.weight.grad[:3] == 0).all(), "nobody was asked the first question"
        optimizer.step()
    torch.testing.assert_close(net.head.linear.weight.detach()[:3], untouched, rtol=0.01, atol=1e-3)
    with torch.no_grad():
        loss = dirichlet_multinomial_nll(net.eval()(x), votes, DECALS).sum(1).mean()
    assert loss < 0.3, "Zoobot's head could not get below .66"
