"""Fine-tuning: what is frozen stays to the last bit, and what is best is kept."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from galhelpers.data.augment import Augment, to_float
from galhelpers.learning.fine_tuning import (
    KHAN,
    Phase,
    _halve_on_plateau,
    fine_tune,
    freeze,
    layer_rates,
    reestimate_batch_norm,
)
from galhelpers.learning.training import Options, fit, predict
from galhelpers.models import VoteEnsemble, VoteNet, backbone

STILL = {"rotate": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "brightness": 0.0, "noise": 0.0}


def round_or_long(n, seed, side=32):
    """Pictures of two kinds: a disc, or a bar of the same brightness, in noise."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    shapes = np.stack([np.hypot(x, y) < 6, (abs(x) < 2) & (abs(y) < 14)])
    pixels = 30 + 150 * shapes[kind][:, None] + rng.normal(0, 15, (n, 3, side, side))
    return pixels.clip(0, 255).astype(np.uint8), torch.tensor(kind)


def small(seed=0, **options):
    torch.manual_seed(seed)
    return backbone("small_resnet", 2, **({"widths": (4, 8), "blocks": 1, "dropout": 0} | options))


def resnet(seed=0):
    torch.manual_seed(seed)
    return backbone("resnet18", 2)


def twenty_steps(net, seed=1):
    """Four epochs of five steps, by the course's own loop, at a rate that moves what can move."""
    return fit(
        net, round_or_long(40, seed), round_or_long(8, 2), F.cross_entropy,
        augment=Augment(32, seed=seed), prepare=to_float, epochs=4, batch_size=8,
        learning_rate=1e-2,
    )  # fmt: skip


def features(net, seed=5):
    return predict(net.encode, round_or_long(6, seed)[0], to_float, device=torch.device("cpu"))


def test_features_of_a_frozen_encoder_do_not_move_by_one_bit_in_twenty_steps():
    net = resnet()
    before = copy.deepcopy(net.state_dict())
    net.eval()
    expected = features(net)
    freeze(net, len(net.stages) - 1)
    twenty_steps(net)
    net.eval()
    assert torch.equal(features(net), expected)
    moved = {
        name for name, value in net.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"head.weight", "head.bias"}
    # A later call of train(), by whom ever, does not thaw it either.
    net.train()
    net(torch.rand(4, 3, 32, 32))
    assert torch.equal(net.encoder.bn1.running_mean, before["encoder.bn1.running_mean"])
    assert net.training
    assert net.head.training


def test_statistics_that_may_move_do():
    """What Zoobot's head_only does: the weights rest and the features move all the same."""
    net = resnet().eval()
    before, expected = copy.deepcopy(net.state_dict()), features(net)
    freeze(net, len(net.stages) - 1, batch_norm="moving")
    twenty_steps(net)
    net.eval()
    change = (features(net) - expected).norm() / expected.norm()
    assert change > 0.05
    moved = {
        name for name, value in net.state_dict().items() if not torch.equal(value, before[name])
    }
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert {name for name in moved if not name.startswith("head.")} == {
        name for name in before if name.endswith(statistics)
    }


@pytest.mark.parametrize("batch_norm", ["frozen", "moving"])
@pytest.mark.parametrize("n_stages", [0, 2, 5])
def test_what_is_frozen_and_what_learns(n_stages, batch_norm):
    net = resnet()
    freeze(net, 5)  # what was frozen before does not matter
    freeze(net, n_stages, batch_norm)
    net.eval()
    net.train()
    for number, stage in enumerate(net.stages):
        assert all(p.requires_grad == (number >= n_stages) for p in stage)
    frozen = {id(p) for stage in net.stages[:n_stages] for p in stage}
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            assert module.training == (batch_norm == "moving" or id(module.weight) not in frozen)
    net.eval()
    assert not any(module.training for module in net.modules())


@pytest.mark.parametrize("name", ["densenet121", "efficientnet_b0", "efficientnet_lite0"])
def test_half_of_every_kind_of_network_is_frozen_to_the_last_bit(name):
    torch.manual_seed(0)
    net = backbone(name, 2)
    half = len(net.stages) // 2
    freeze(net, half)
    before = copy.deepcopy(net.state_dict())
    net.train()
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.1)
    net(torch.rand(4, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    names = {id(p): name for name, p in net.named_parameters()}
    frozen = {names[id(p)].rpartition(".")[0] for stage in net.stages[:half] for p in stage}
    moved = {
        name.rpartition(".")[0]
        for name, value in net.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert moved, "something learns"
    assert not moved & frozen
    layers = {name.rpartition(".")[0] for name in names.values()}
    assert moved == layers - frozen


def test_dropout_in_frozen_stages_leaves_nothing_out():
    net = backbone("efficientnet_b0", 2)
    x = torch.rand(4, 3, 32, 32)
    freeze(net, len(net.stages) - 1)
    net.train()
    with torch.no_grad():
        assert torch.equal(net.encode(x), net.encode(x))
    freeze(net, 0)
    for module in net.modules():
        module.training = not isinstance(module, _BatchNorm)
    with torch.no_grad():
        assert not torch.equal(net.encode(x), net.encode(x))


def test_a_copy_is_as_frozen_as_the_original():
    """Training with a running mean of the weights copies the network."""
    net = small()
    freeze(net, len(net.stages) - 1)
    other = copy.deepcopy(net).train()
    other(torch.rand(4, 3, 16, 16))
    assert torch.equal(other.encoder.norm.running_mean, net.encoder.norm.running_mean)
    net.requires_grad_(True)
    assert not other.encoder.stem.weight.requires_grad


@pytest.mark.parametrize("n_stages", [-1, 4, 7])
def test_a_head_that_is_frozen_is_refused(n_stages):
    net = small()
    assert len(net.stages) == 4
    with pytest.raises(ValueError, match=rf"0 to 3 .*{n_stages}"):
        freeze(net, n_stages)
    with pytest.raises(ValueError, match=r"'frozen' or 'moving'.*'thawed'"):
        freeze(net, 1, "thawed")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3), st.floats(1e-6, 1.0), st.floats(0.01, 1.0))
def test_rates_fall_towards_the_input_and_miss_no_parameter(n_stages, rate, decay):
    net = small()
    freeze(net, n_stages)
    groups = layer_rates(net, rate, decay)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates), "each once"
    assert set(rates) == {id(p) for p in net.parameters() if p.requires_grad}
    for steps_back, stage in enumerate(reversed(net.stages)):  # a stage is a block, here
        for parameter in stage:
            expected = rate * decay**steps_back
            assert rates.get(id(parameter), expected) == pytest.approx(expected)


def test_rates_of_a_known_network_fall_block_by_block():
    torch.manual_seed(0)
    net = backbone("resnet18", 2)
    rates = {id(p): group["lr"] for group in layer_rates(net, 1.0, 0.5) for p in group["params"]}
    assert set(rates) == {id(p) for p in net.parameters()}
    blocks = [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3, 4) for block in (0, 1)]
    layers = [net.encoder.get_submodule(name) for name in ("conv1", *blocks)] + [net.head]
    found = [rates[id(layer.weight)] for layer in layers]
    assert found == [0.5**k for k in range(9, -1, -1)]


@pytest.mark.parametrize("decay", [0.0, -0.5, 1.5])
def test_other_decays_are_refused(decay):
    with pytest.raises(ValueError, match=str(decay)):
        layer_rates(small(), 1e-3, decay)


def tune(net, phases, **options):
    return fine_tune(
        net, round_or_long(48, 1), round_or_long(32, 2), F.cross_entropy,
        **({"augment": Augment(32, seed=3, **STILL), "prepare": to_float, "batch_size": 16}
           | {"phases": phases} | options),
    )  # fmt: skip


def loss_of(net, galaxies):
    return F.cross_entropy(predict(net, galaxies[0], to_float), galaxies[1]).item()


def test_three_phases_learn_more_than_the_head():
    net = small()
    first, middle, last = tune(net, (Phase(1, 2, 1e-2), Phase(0.5, 4, 1e-2), Phase(0, 8, 1e-2)))
    test = round_or_long(100, 9)
    accuracy = (predict(net, test[0], to_float).argmax(1) == test[1]).float().mean()
    assert accuracy > 0.95
    assert min(last.validation_loss) < min(middle.validation_loss) < min(first.validation_loss)
    again = small()
    histories = tune(again, (Phase(1, 2, 1e-2), Phase(0.5, 4, 1e-2), Phase(0, 8, 1e-2)))
    assert histories == [first, middle, last], "one seed, one result"


def test_a_phase_changes_only_what_it_may():
    start = small()
    parts = ("encoder.stem", "encoder.features.0", "encoder.features.1", "encoder.norm", "head")

    def moved(*phases):
        net = copy.deepcopy(start)
        tune(net, phases)
        new = net.state_dict()
        changed = [name for name, x in start.state_dict().items() if not torch.equal(x, new[name])]
        return [part for part in parts if any(name.startswith(part) for name in changed)]

    assert moved(Phase(1, 1, 1e-2)) == ["head"]
    # Two of the encoder's three stages rest. The last is a block and the normalisation behind it.
    assert moved(Phase(2 / 3, 1, 1e-2)) == ["encoder.features.1", "encoder.norm", "head"]
    assert moved(Phase(0, 1, 1e-2)) == list(parts)


def test_the_best_of_all_phases_is_kept():
    net, validation = small(), round_or_long(32, 2)
    histories = tune(net, (Phase(1, 3, 1e-2), Phase(0, 6, 1e-2), Phase(0, 2, 30.0)))
    best = [min(history.validation_loss) for history in histories]
    assert best[2] > best[1], "a rate of 30 has spoilt it"
    assert loss_of(net, validation) == pytest.approx(min(best), rel=1e-6)
    # In the middle too: the phase after the spoilt one goes on from the best, not from there.
    net = small()
    histories = tune(net, (Phase(1, 3, 1e-2), Phase(0, 6, 1e-2), Phase(0, 2, 30.0), Phase(1, 1, 0)))
    assert histories[3].validation_loss[0] == pytest.approx(best[1], rel=1e-6)


def test_one_phase_that_spoils_is_kept_over_nothing():
    net = small()
    (history,) = tune(net, (Phase(0, 2, 30.0),))
    assert loss_of(net, round_or_long(32, 2)) == pytest.approx(min(history.validation_loss))
    assert tune(small(), (Phase(0, 0),))[0].validation_loss == []


def test_a_phase_ends_after_epochs_without_progress():
    growing = iter(range(1000))

    def worse(outputs, wanted):
        return F.cross_entropy(outputs, wanted) * 0 + next(growing)

    histories = fine_tune(
        small(), round_or_long(8, 1), round_or_long(8, 2), worse, augment=Augment(32),
        prepare=to_float, phases=(Phase(1, 20), Phase(0, 20)), patience=2,
    )  # fmt: skip
    assert [len(history.validation_loss) for history in histories] == [3, 3]


def validated(*losses):
    """A loss whose validation values are given, epoch by epoch."""
    losses = iter(losses)

    def loss(outputs, wanted):
        if outputs.requires_grad:
            return F.cross_entropy(outputs, wanted)
        return torch.tensor(float(next(losses)))

    return loss


def tune_by(net, loss):
    return fine_tune(
        net, round_or_long(8, 1), round_or_long(8, 2), loss, augment=Augment(32),
        prepare=to_float, phases=(Phase(1, 2, 1e-2), Phase(0, 2, 1e-2)),
    )  # fmt: skip


def test_a_loss_that_is_no_number_is_not_the_lowest():
    nan, start, net = float("nan"), small().state_dict(), small()
    histories = tune_by(net, validated(nan, 5, 6, nan))
    assert [history.best_epoch for history in histories] == [1, 0]
    # The best is that of the first phase, in which only the head learned.
    changed = [name for name, x in net.state_dict().items() if not torch.equal(x, start[name])]
    assert changed == ["head.weight", "head.bias"]
    # A phase in which nothing can be compared is an error; what was best before it is kept.
    other = small()
    with pytest.raises(ValueError, match=r"\[nan, nan\]"):
        tune_by(other, validated(nan, 5, nan, nan))
    assert all(torch.equal(x, other.state_dict()[name]) for name, x in net.state_dict().items())


def test_empty_parts_are_refused_before_anything_is_frozen():
    net, some = small(), round_or_long(8, 1)
    for n, m, which in ((0, 8, "train"), (8, 0, "validation")):
        with pytest.raises(ValueError, match=which):
            fine_tune(
                net, (some[0][:n], some[1][:n]), (some[0][:m], some[1][:m]), F.cross_entropy,
                augment=Augment(32), prepare=to_float,
            )  # fmt: skip
    assert all(parameter.requires_grad for parameter in net.parameters())


@pytest.mark.parametrize("has", [True, False])
def test_mixed_precision_follows_the_processor(has, cpu_with):
    cpu_with(avx512_bf16=has)
    seen, net = set(), small()
    net.head.register_forward_hook(lambda module, x, y: seen.add(y.dtype))
    tune(net, (Phase(1, 1),), mixed_precision=True)
    assert seen == {torch.bfloat16 if has else torch.float32}


def test_phases_see_other_views_in_another_order():
    steps, first = [], []

    def augment(x, step):
        steps.append(step)
        first.append(x[0].clone())
        return to_float(x)

    tune(small(), (Phase(1, 2), Phase(0, 2)), augment=augment)
    assert steps == list(range(12))  # three steps an epoch
    assert not torch.equal(first[0], first[6])


def test_wrong_phases_are_refused_before_anything_is_trained():
    net = small()
    before = copy.deepcopy(net.state_dict())
    for wrong in (
        {"phases": (Phase(1, 1), Phase(1.5, 1))}, {"decay": 2.0}, {"batch_norm": "thawed"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"1\.5|2\.0|thawed"):
            tune(net, **({"phases": KHAN} | wrong))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def plateau_run(losses, epochs, **options):
    """The learning rate in each epoch while the validation loss goes as given."""
    rates, optimizers = [], []

    def adam(model):
        optimizers.append(torch.optim.Adam(model.parameters(), lr=1e-3))
        return optimizers[0]

    def loss(outputs, wanted):
        if torch.is_grad_enabled() and outputs.requires_grad:
            rates.append(optimizers[0].param_groups[0]["lr"])
            return F.cross_entropy(outputs, wanted)
        if losses[len(rates) - 1] is None:
            raise KeyboardInterrupt
        return torch.tensor(float(losses[len(rates) - 1]))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3072, 2))
    fit(
        model, round_or_long(8, 1), round_or_long(8, 2), loss, augment=Augment(32),
        prepare=to_float, epochs=epochs,
        options=Options(optimizer=adam, schedule=_halve_on_plateau, **options),
    )  # fmt: skip
    return rates


def test_the_rate_is_halved_after_two_epochs_without_progress():
    rates = plateau_run([5, 4, 4, 4, 3, 6, 6, 6, 6, 1], 10)
    assert np.allclose(np.array(rates) / 1e-3, [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125])
    nan = float("nan")
    rates = plateau_run([nan, nan, 4, nan, nan, 4], 6)
    assert np.allclose(np.array(rates) / 1e-3, [1, 1, 0.5, 0.5, 0.5, 0.25])


def test_a_run_on_a_plateau_goes_on_where_it_stopped(tmp_path):
    whole = plateau_run([5, 6, 6, 6, 6], 5)
    assert np.allclose(whole, [1e-3, 1e-3, 1e-3, 5e-4, 5e-4])
    with pytest.raises(KeyboardInterrupt):
        plateau_run([5, 6, None], 5, resume=tmp_path / "state.pt")
    assert plateau_run([6, 6, 6], 5, resume=tmp_path / "state.pt") == whole[2:]


def test_another_survey_is_taken_out_of_the_first_layer_exactly():
    """First normalisation: mean and variance of what comes in, over all pictures, by hand."""
    net = resnet()
    pixels = round_or_long(50, 1)[0]
    weights = {name: p.clone() for name, p in net.named_parameters()}
    reestimate_batch_norm(net, pixels, to_float, batch_size=16)
    with torch.no_grad():
        maps = net.encoder.conv1(to_float(torch.from_numpy(pixels)))
    norm = net.encoder.bn1
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)), rtol=0.03, atol=1e-6)
    assert all(torch.equal(p, weights[name]) for name, p in net.named_parameters())


def test_a_brighter_survey_gives_the_same_features_once_it_is_measured():
    """Nothing of a factor is left behind a convolution and the statistics of what it gives."""
    net = resnet()
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.eps = 1e-12  # the one thing that a factor changes
    survey, galaxies = round_or_long(48, 1)[0], torch.from_numpy(round_or_long(6, 5)[0])

    def brighter(batch):
        return 3 * to_float(batch)

    @torch.no_grad()
    def change(model, expected):
        return (model.encode(brighter(galaxies)) - expected).norm() / expected.norm()

    reestimate_batch_norm(net.eval(), survey, to_float)
    expected = net.encode(to_float(galaxies)).detach()
    assert change(net, expected) > 0.3
    reestimate_batch_norm(net, survey, brighter)
    assert change(net, expected) < 1e-4


def test_pictures_are_mixed_before_they_are_measured():
    """Sorted by brightness, each batch would have less variance than all of them together."""
    net, sizes = resnet(), []
    pixels = np.linspace(10, 250, 60)[:, None, None, None] + np.zeros((60, 3, 32, 32))
    pixels = (pixels + np.random.default_rng(0).normal(0, 2, pixels.shape)).astype(np.uint8)

    def prepare(batch):
        sizes.append(len(batch))
        return to_float(batch)

    reestimate_batch_norm(net, pixels, prepare, batch_size=13)
    with torch.no_grad():
        maps = net.encoder.conv1(to_float(torch.from_numpy(pixels)))
    torch.testing.assert_close(net.encoder.bn1.running_var, maps.var((0, 2, 3)), rtol=0.2, atol=0)
    assert sizes == [12] * 5


def test_nothing_is_left_out_while_statistics_are_measured():
    net = backbone("efficientnet_b0", 2)
    other = copy.deepcopy(net).train()
    for each in (net, other):
        reestimate_batch_norm(each, round_or_long(8, 1)[0], to_float)
    assert all(torch.equal(a, b) for a, b in zip(net.buffers(), other.buffers(), strict=True))


def test_new_statistics_do_not_depend_on_the_order_of_the_pictures_or_the_mode():
    net = small()
    pixels, kinds = round_or_long(60, 1)
    in_order = pixels[torch.argsort(kinds, stable=True).numpy()]
    sorted_ones, mixed = copy.deepcopy(net).train(), copy.deepcopy(net).eval()
    freeze(mixed, 3)
    mixed.eval()
    momentum = mixed.encoder.norm.momentum
    reestimate_batch_norm(sorted_ones, in_order, to_float, batch_size=20)
    reestimate_batch_norm(mixed, pixels, to_float, batch_size=20)
    for one, other in zip(sorted_ones.buffers(), mixed.buffers(), strict=True):
        assert torch.allclose(one.float(), other.float(), rtol=0.15, atol=0.01)
    assert not torch.allclose(mixed.encoder.norm.running_mean, net.encoder.norm.running_mean)
    assert sorted_ones.training
    assert sorted_ones.encoder.norm.training
    assert not any(module.training for module in mixed.modules())
    assert mixed.encoder.norm.momentum == momentum
    mixed.train()
    assert not mixed.encoder.norm.training, "it is still frozen"


def test_all_members_of_an_ensemble_are_measured():
    torch.manual_seed(0)
    options = {"tree": "decals", "encoder": "small", "widths": (4, 8)}
    ensemble = VoteEnsemble(2, **options)
    alone = VoteNet(**options)
    alone.load_state_dict(ensemble.members[1].state_dict())
    pixels = round_or_long(20, 1)[0]
    reestimate_batch_norm(alone, pixels, to_float)
    reestimate_batch_norm(ensemble, pixels, to_float)
    assert torch.equal(
        ensemble.members[1].encoder.norm.running_mean, alone.encoder.norm.running_mean
    )
    assert alone.encoder.norm.running_mean.abs().max() > 0


def test_what_cannot_be_measured_is_refused():
    pixels = round_or_long(5, 1)[0]
    with pytest.raises(ValueError, match="Linear"):
        reestimate_batch_norm(nn.Linear(3, 2), pixels, to_float)
    with pytest.raises(ValueError, match="1 and 256"):
        reestimate_batch_norm(resnet(), pixels[:1], to_float)
    with pytest.raises(ValueError, match="5 and 2"):
        reestimate_batch_norm(resnet(), pixels, to_float, batch_size=2)
    reestimate_batch_norm(resnet(), pixels, to_float, batch_size=4)  # not 4 and a rest of 1
