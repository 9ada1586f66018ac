"""ResNet, NODE and NODE_ACA of Gupta, Srijith & Desai 2022."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.models import OdeBlock, OdeFunction, build, gupta_node, gupta_resnet
from galhelpers.models.resnet_node import ACTIVATIONS, ResidualBlock, TimeConv2d

MODES = ("steps", "stages", "graph")


def count(model):
    return sum(p.numel() for p in model.parameters())


def noise(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def slopes(model, images):
    """Gradient of a loss by each parameter."""
    images = images.clone().requires_grad_()
    loss = F.cross_entropy(model(images), torch.arange(len(images)))
    return torch.autograd.grad(loss, (images, *model.parameters()))


def assert_close(found, expected, rel):
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert (a - b).norm() <= rel * b.norm()


def test_published_networks_have_the_published_sizes():
    # By hand: three convolutions of the stem, three norms, the last layer.
    skeleton = (3 * 9 + 1) * 64 + 2 * (64 * 16 + 1) * 64 + 3 * 2 * 64 + (64 + 1) * 10
    norms = 2 * 2 * 64
    assert count(gupta_resnet()) == skeleton + 6 * (2 * 64 * 9 * 64 + norms) == 577_930
    assert count(gupta_node()) == skeleton + 2 * 65 * 9 * 64 + norms == 209_162
    assert count(gupta_resnet(outputs=5)) == 577_930 - 5 * 65
    assert count(gupta_node(fold=False, activation="silu", gradient="adjoint")) == 209_162


@pytest.mark.parametrize("model", [gupta_resnet, gupta_node])
@pytest.mark.parametrize("size", [32, 45])
def test_outputs(model, size):
    torch.manual_seed(0)
    images = noise(2, 3, size, size, dtype=torch.float32)
    scores = model()(images)
    assert scores.shape == (2, 10)
    assert scores.dtype == torch.float32
    assert torch.isfinite(scores).all()
    assert not torch.allclose(scores[0], scores[1])
    assert model(outputs=5)(images).shape == (2, 5)


def test_maps_are_those_of_the_paper():
    shapes = []
    model = gupta_resnet()
    model.stem.register_forward_hook(lambda *call: shapes.append(tuple(call[-1].shape)))
    model.features.register_forward_hook(lambda *call: shapes.append(tuple(call[-1].shape)))
    model(torch.zeros(2, 3, 32, 32))
    assert shapes == [(2, 64, 7, 7)] * 2


def test_one_galaxy_does_not_depend_on_the_others():
    """Nothing is normalised over the batch; and steps of equal size do not know of it either."""
    torch.manual_seed(0)
    images = noise(3, 3, 32, 32)
    for model in (gupta_resnet(), gupta_node(method="rk4", step_size=0.5)):
        model = model.double()
        torch.testing.assert_close(model(images)[:1], model(images[:1]), rtol=1e-10, atol=1e-12)


# The function and its equation -------------------------------------------------------------------


def test_fold_equals_concatenation():
    torch.manual_seed(0)
    folded, joined = TimeConv2d(64).double(), TimeConv2d(64, fold=False).double()
    joined.load_state_dict(folded.state_dict())
    for shape, t in (((2, 64, 7, 7), 0.7), ((1, 64, 1, 1), -3.0), ((3, 64, 4, 9), 0.0)):
        t, found = torch.tensor(t, dtype=torch.float64), []
        for layer in (folded, joined):
            x = noise(*shape).requires_grad_()
            y = layer(t, x)
            found.append((y, *torch.autograd.grad((y * noise(*y.shape)).sum(), (x, layer.weight))))
        assert_close(*found, 1e-12)
        # The concatenation, written out.
        maps = torch.cat([x, torch.full_like(x[:, :1], t.item())], dim=1)
        assert_close([F.conv2d(maps, folded.weight, padding=1)], [found[0][0]], 1e-12)
    assert not torch.allclose(folded(t + 1, x), folded(t, x))
    assert folded(t, x[:0]).shape == (0, 64, 4, 9)


def test_fold_changes_no_network():
    torch.manual_seed(0)
    folded = gupta_node(method="euler", step_size=0.25).double()
    joined = gupta_node(method="euler", step_size=0.25, fold=False).double()
    joined.load_state_dict(folded.state_dict())
    images = noise(2, 3, 32, 32)
    assert_close([folded(images)], [joined(images)], 1e-11)
    assert_close(slopes(folded, images), slopes(joined, images), 1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_function_by_hand(name):
    torch.manual_seed(0)
    func, x, t = OdeFunction(64, name).double(), noise(2, 64, 5, 5), torch.tensor(0.3).double()
    y = x
    for layer in (func.conv1, func.conv2):
        y = torch.cat([y, torch.full_like(y[:, :1], t.item())], dim=1)
        y = getattr(F, name)(F.conv2d(y, layer.weight, padding=1))
        y = F.group_norm(y, 32)  # weight and bias begin as one and zero
    assert_close([func(t, x)], [y], 1e-12)


def test_unknown_activation():
    with pytest.raises(ValueError, match="no activation 'tanh'; there are relu, silu, softplus"):
        gupta_node(activation="tanh")


def test_euler_steps_of_a_residual_function_are_residual_blocks():
    """A ResNet is the Euler method: six blocks, each x + f(x), are six steps of 1/6 of 6 f."""
    torch.manual_seed(0)
    block = ResidualBlock().double()

    class Six(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block

        def forward(self, t, x):
            return 6 * (self.block(x) - x)

    x = noise(2, 64, 5, 5).requires_grad_()
    weights = tuple(block.parameters())
    y = x
    for _ in range(6):
        y = block(y)
    expected = (y, *torch.autograd.grad(y.pow(2).sum(), (x, *weights)))
    for mode in MODES:
        solve = OdeBlock(Six(), method="euler", step_size=1 / 6, mode=mode)
        z = solve(x)
        assert_close((z, *torch.autograd.grad(z.pow(2).sum(), (x, *weights))), expected, 1e-11)
        assert solve.stats.times == pytest.approx([i / 6 for i in range(7)])


def test_node_and_node_aca_are_one_network():
    """The adjoint and the adaptive checkpoint adjoint agree where the solver is tight."""
    torch.manual_seed(0)
    options = {"method": "dopri5", "tolerance": 1e-7, "activation": "silu"}
    node = gupta_node(gradient="adjoint", **options).double()
    aca = gupta_node(gradient="aca", **options).double()
    direct = gupta_node(gradient="direct", **options).double()
    for other in (aca, direct):
        other.load_state_dict(node.state_dict())
    images = noise(2, 3, 16, 16)
    for other in (aca, direct):
        assert_close([other(images)], [node(images)], 1e-6)
        assert_close(slopes(other, images), slopes(node, images), 1e-4)


def test_the_way_to_solve_may_be_changed():
    torch.manual_seed(0)
    model, images = gupta_node(method="rk4", step_size=0.5), noise(2, 3, 32, 32).float()
    first = model(images)
    assert model.features.stats.forward == 8
    model.features.method, model.features.step_size = "bosh3", None
    model.features.tolerance = 1e-1
    loose = model(images)
    cheap = model.features.stats.forward
    model.features.tolerance = 1e-3
    assert not torch.equal(model(images), loose)
    assert model.features.stats.forward > cheap
    model.features.method, model.features.step_size = "rk4", 0.5
    assert torch.equal(model(images), first)


@pytest.mark.parametrize("mode", MODES)
def test_modes_give_one_gradient(mode):
    torch.manual_seed(0)
    model = gupta_node(mode="graph").double()
    images = noise(2, 3, 16, 16)
    expected = slopes(model, images)
    assert model.features.stats.backward == 0
    model.features.mode = mode
    assert_close(slopes(model, images), expected, 1e-10)
    assert (model.features.stats.backward == 0) == (mode == "graph")


def test_steps_are_reused_in_training_only():
    torch.manual_seed(0)
    model = gupta_node(tolerance=1e-3, reuse_steps=True)
    images = noise(2, 3, 32, 32).float()
    model.eval()
    alone = model(images)
    assert model.features.memory.plan(0.0, 1.0) == []
    cost = model.features.stats.forward
    model.train()
    model(images)
    assert model.features.stats.forward == cost
    model(images)
    assert model.features.stats.forward < cost
    model.eval()
    assert torch.equal(model(images), alone)
    assert gupta_node().features.memory is None


def test_training_lowers_the_loss_under_autocast():
    torch.manual_seed(0)
    model, images = gupta_node(tolerance=1e-1), noise(8, 3, 16, 16).float()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(8):
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(images), torch.arange(8))
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


# Checkpoints -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("gupta_resnet", {"outputs": 5, "blocks": 2}),
        ("gupta_node", {"outputs": 5, "gradient": "aca", "method": "bosh3", "reuse_steps": True}),
        ("gupta_node", {"outputs": 5, "gradient": "adjoint", "activation": "silu", "fold": False}),
    ],
)
def test_checkpoint(tmp_path, architecture, arguments):
    torch.manual_seed(0)
    model, path = build(architecture, **arguments), tmp_path / "model.safetensors"
    preprocessing = {"size": 32, "crop": 0.5, "mean": [0.1] * 3, "std": [0.2] * 3}
    save_checkpoint(
        path, model, architecture=architecture, arguments=arguments, preprocessing=preprocessing,
        classes=list("abcde"),
    )  # fmt: skip
    checkpoint = load_checkpoint(path, torch.device("cpu"))
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    expected = model.eval()((pixels / 255 - 0.1) / 0.2).softmax(1).detach()
    torch.testing.assert_close(checkpoint.predict(pixels.numpy()), expected)
    assert checkpoint.architecture == architecture
    if architecture == "gupta_node":
        assert checkpoint.model.features.gradient == arguments["gradient"]
