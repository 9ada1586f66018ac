import torch

from galhelpers.models import SmallResNet


def test_parameters_shapes_and_any_size():
    model = SmallResNet().eval()
    assert sum(p.numel() for p in model.parameters()) == 697_125
    for side in (32, 64, 75):
        assert model(torch.rand(2, 3, side, side)).shape == (2, 5)
    assert [tuple(block.conv1.stride) for block in model.features] == [
        (1, 1), (1, 1), (2, 2), (1, 1), (2, 2), (1, 1),
    ]  # fmt: skip


def test_blocks_begin_as_their_shortcut():
    model = SmallResNet(widths=(8, 8), blocks=2).eval()
    x = torch.rand(2, 8, 6, 6)
    block = model.features[1]
    assert block.shortcut is None
    assert torch.equal(block(x), x)
    torch.nn.init.ones_(block.conv2.weight)
    assert not torch.equal(block(x), x)
