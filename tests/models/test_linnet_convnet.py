import pytest
import torch

from galhelpers.models import (
    ConvNet,
    LinNet,
    RepairedConvNet,
    TreeOutput,
    build,
    repaired_convnet_37,
)
from galhelpers.trees import TREES


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_published_networks_have_the_published_sizes():
    # By hand: ConvNet 170 + 3,220 + 12,840 + 300,300 + 11,137; LinNet 4,096 x 300 + 300 + 11,137.
    assert count(ConvNet()) == 327_667
    assert count(LinNet()) == 1_240_237


def test_published_outputs_do_not_obey_the_tree_and_repaired_ones_do():
    torch.manual_seed(0)
    images = torch.rand(6, 3, 64, 64)
    tree = TREES["gz2"]
    published = ConvNet(channels=3)(images).detach().double().numpy()
    assert tree.check(published, atol=1e-3)
    repaired = repaired_convnet_37().eval()(images).detach().double().numpy()
    assert repaired.shape == (6, 37)
    assert not tree.check(repaired, atol=1e-5)


@pytest.mark.parametrize("size", [32, 64, 100])
def test_repaired_network_takes_any_size(size):
    assert RepairedConvNet(5)(torch.rand(2, 3, size, size)).shape == (2, 5)


def test_convnet_takes_one_size_only():
    with pytest.raises(RuntimeError):
        ConvNet()(torch.rand(2, 1, 128, 128))


@pytest.mark.parametrize("name", TREES)
def test_tree_output_sums_to_its_parents_for_every_tree(name):
    tree = TREES[name]
    outputs = TreeOutput(tree)(5 * torch.randn(50, tree.n_answers, dtype=torch.float64))
    assert not tree.check(outputs.numpy(), atol=1e-12)


def test_tree_output_passes_gradients():
    scores = torch.randn(3, 37, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TreeOutput(), scores)


def test_build_knows_its_names():
    assert build("repaired_convnet", outputs=5, widths=[8, 8])(torch.rand(1, 3, 16, 16)).shape == (
        1,
        5,
    )
    with pytest.raises(ValueError, match="linnet, convnet"):
        build("resnet9000")
