import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from galhelpers.learning.muon import Muon, orthogonalized
from galhelpers.models.small_resnet import SmallResNet


@pytest.mark.parametrize("shape", [(32, 288), (288, 32), (64, 64), (1, 9)])
def test_all_directions_become_equally_large_and_stay_where_they_were(
    shape: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    few = min(shape)
    left, right = (
        torch.linalg.qr(torch.randn(side, few, dtype=torch.float64))[0] for side in shape
    )
    values = torch.logspace(0, -2, few, dtype=torch.float64)
    result = orthogonalized(((left * values) @ right.T).float()).double()

    # In the basis of the singular vectors the result is diagonal, and its values are near one.
    diagonal = left.T @ result @ right
    assert diagonal.diagonal().min() > 0.6
    assert diagonal.diagonal().max() < 1.3
    torch.testing.assert_close(result, (left * diagonal.diagonal()) @ right.T, atol=1e-4, rtol=0)


def test_it_is_the_iteration_of_the_source_written_in_another_order() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(24, 100)
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    torch.testing.assert_close(orthogonalized(matrix), x, atol=1e-5, rtol=1e-4)


def test_nothing_to_learn_from_moves_nothing() -> None:
    assert torch.equal(orthogonalized(torch.zeros(3, 5)), torch.zeros(3, 5))


def test_only_matrices_of_hidden_layers_are_orthogonalized_the_rest_is_adamw() -> None:
    torch.manual_seed(0)
    model = SmallResNet(widths=(4, 8), dropout=0)
    for block in model.features:  # which begin at zero: nothing before them would have a gradient
        nn.init.normal_(block.conv2.weight)  # type: ignore[arg-type]
    same = copy.deepcopy(model)
    pictures, classes = torch.randn(8, 3, 16, 16), torch.arange(8) % 5
    muon = Muon(model, lr=0.01, weight_decay=0.1)
    weights = [p for p in same.parameters() if p.ndim > 1]
    others = [p for p in same.parameters() if p.ndim <= 1]
    adamw = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], 0.01
    )
    F.cross_entropy(model(pictures), classes).backward()
    F.cross_entropy(same(pictures), classes).backward()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradient = model.features[0].conv1.weight.grad.flatten(1).clone()  # type: ignore[union-attr]
    adamw.step()
    muon.step()

    hidden = {name for name, p in model.named_parameters() if p.ndim == 4 and "stem" not in name}
    assert len(hidden) == 9
    for (name, ours), theirs in zip(model.named_parameters(), same.parameters(), strict=True):
        assert torch.equal(ours, theirs) == (name not in hidden), name
    # The first mean has the direction of the gradient, and so has the first step.
    name = "features.0.conv1.weight"
    moved = model.get_parameter(name) - before[name] * (1 - 0.01 * 0.1)
    expected = -0.01 * 0.2 * 36**0.5 * orthogonalized(gradient)
    torch.testing.assert_close(moved.flatten(1), expected, atol=1e-6, rtol=1e-4)


def test_a_saved_state_goes_on_to_the_same_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2))
    pictures = torch.randn(3, 10, 4)
    muon = Muon(model)

    def step(network: nn.Module, optimizer: Muon, batch: torch.Tensor) -> None:
        optimizer.zero_grad()
        network(batch).square().mean().backward()
        optimizer.step()

    step(model, muon, pictures[0])
    other = copy.deepcopy(model)
    resumed = Muon(other)
    resumed.load_state_dict(copy.deepcopy(muon.state_dict()))
    for batch in pictures[1:]:
        step(model, muon, batch)
        step(other, resumed, batch)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_network_without_hidden_layers_learns_with_adamw_alone(layers: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(3, 3) for _ in range(layers)])
    before = model[0].weight.detach().clone()
    optimizer = Muon(model, lr=0.1, weight_decay=0)
    model(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    # The first step of Adam moves every weight by the learning rate.
    torch.testing.assert_close((model[0].weight - before).abs(), torch.full((3, 3), 0.1))
