"""Exercises of notebook 03 on training: one epoch, and keeping the best weights.

Each repairs a flaw of the published Kaggle notebook (see the package's docstring).
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from galhelpers.exercises.exercise import Answer, Exercise, NotYet, describe

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Pairs = Iterable[tuple[torch.Tensor, torch.Tensor]]


class SmallNetwork(nn.Module):
    """A small network that notes in which mode it was called and what it handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
        )
        self.modes: list[bool] = []
        self.handed_out: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 4) to (n, 2)."""
        self.modes.append(self.training)
        return self.net(x)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Give what any module gives, and remember the very object."""
        self.handed_out = super().state_dict(*args, **kwargs)
        return self.handed_out


class _Counted(torch.optim.SGD):
    """Plain gradient descent that counts its steps."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model.parameters(), lr=0.1)
        self.steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        return super().step(closure)


def _weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# 03.3 --------------------------------------------------------------------------------------------


def train_one_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Pairs, loss_function: Loss
) -> None:
    """Train ``model`` on every batch once."""
    model.train()
    for images, targets in batches:
        optimizer.zero_grad()
        loss = loss_function(model(images), targets)
        loss.backward()
        optimizer.step()


def _accumulated(model: nn.Module, optimizer: Any, batches: Pairs, loss_function: Loss) -> None:
    model.train()
    for images, targets in batches:
        loss_function(model(images), targets).backward()
        optimizer.step()


def _check_epoch(ask: Answer) -> str | None:
    generator = torch.Generator().manual_seed(33)
    batches = [
        (torch.randn(6, 4, generator=generator), torch.randn(6, 2, generator=generator))
        for _ in range(3)
    ]

    def after(train: Callable[..., Any], **options: Any) -> tuple[SmallNetwork, _Counted]:
        torch.manual_seed(0)
        model = SmallNetwork().eval()  # as a validation leaves it
        optimizer = _Counted(model)
        torch.manual_seed(1)  # the same dropout for everybody
        train(model, optimizer, copy.deepcopy(batches), nn.functional.mse_loss, **options)
        return model, optimizer

    seen = "a network with dropout, its optimiser, and 3 batches of 6 vectors"
    model, optimizer = after(ask, copied=False, seen=seen)
    if not all(model.modes):
        return (
            f"at batch {model.modes.index(False) + 1} of 3 the model was in evaluation mode: its "
            "dropout did nothing. A validation had left it so; who switches it back?"
        )
    if len(model.modes) != 3:
        return f"there were 3 batches, and the model was called {len(model.modes)} times"
    if optimizer.steps != 3:
        return (
            f"for 3 batches the optimiser made {optimizer.steps} steps. Gradients say where to go; "
            "what goes there, and how often?"
        )
    torch.manual_seed(0)
    got, start = _weights(model), _weights(SmallNetwork())
    if torch.equal(got, start):
        return (
            "the optimiser made its steps, and no weight changed: it found no gradients. In which "
            "order do the calls come?"
        )
    if torch.allclose(got, _weights(after(_accumulated)[0]), atol=1e-6):
        return (
            "the second step used the gradients of the first batch as well. backward() adds to "
            "what is there; nothing had taken the old ones away"
        )
    if not torch.allclose(got, _weights(after(train_one_epoch)[0]), atol=1e-6):
        return (
            "after one epoch the weights differ from those of plain training on the same three "
            "batches in their order, with the loss as given"
        )
    return None


EPOCH = Exercise(
    id="03.3",
    title="Train for one epoch",
    question=(
        "The Kaggle notebook calls `model.train()` once, then validates before the first epoch; "
        "validation calls `model.eval()` and nobody switches back, so *all* its training runs in "
        "evaluation mode. Its networks have no dropout, so nothing shows; add some, and it is "
        "silently ignored. A training loop is short, and each line left out of it gives a program "
        "that runs and learns badly.\n\n"
        "Write `train_one_epoch(model, optimizer, batches, loss_function)`: for every `(images, "
        "targets)` in `batches`, one step of the optimiser down the gradient of "
        "`loss_function(model(images), targets)` for this batch alone, in training mode, whatever "
        "mode the model arrives in. All are torch objects; what you return is ignored."
    ),
    stub='''def train_one_epoch(model, optimizer, batches, loss_function):
    """Train the model on every batch once."""
    ...''',
    hints=(
        "First the mode, then a loop: predict, compare, find the gradient, step.",
        "`loss.backward()` adds the new gradient to the stored one. Something must clear it first.",
        "In the loop: `optimizer.zero_grad()`, the loss, `loss.backward()`, `optimizer.step()`.",
    ),
    reference=train_one_epoch,
    diagnose=_check_epoch,
    lesson="model.train() belongs at the start of each epoch, beside the loop that needs it.",
)

# 03.4 --------------------------------------------------------------------------------------------


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copy of all weights and buffers, unaffected by further training."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _check_snapshot(ask: Answer) -> str | None:
    torch.manual_seed(34)
    model = SmallNetwork()
    model(torch.randn(32, 4))  # gives the batch normalisation's buffers something to remember
    before = {k: v.clone() for k, v in model.state_dict().items()}
    got = ask(model, copied=False, seen="a small network")
    handed_out = model.handed_out
    if not isinstance(got, Mapping):
        raise NotYet(f"expected a dictionary of tensors, one for each name, got {describe(got)}")
    missing = [name for name in before if name not in got]
    if missing:
        return (
            f"{len(missing)} of {len(before)} entries are missing, such as {missing[0]}. A model "
            "remembers more than its parameters: look at the names in its state_dict()"
        )
    for name, value in got.items():
        if not isinstance(value, torch.Tensor):
            return f"{name} is {describe(value)}; load_state_dict() will want a torch tensor"
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.add_(1)  # in place, as an optimiser does
    live = [name for name in before if name in got and not torch.equal(got[name], before[name])]
    if live and got is handed_out:
        return (
            f"after one more step of training your {live[0]} has changed too: state_dict() hands "
            "out the live tensors, not a copy. 'Best' would always be 'latest'"
        )
    if live and isinstance(got, OrderedDict):
        return (
            f"after one more step of training your {live[0]} has changed too. The dictionary was "
            "copied, but how deep did the copy go?"
        )
    if live:
        return (
            f"after one more step of training your {live[0]} has changed too. It is a new "
            "dictionary, but whose tensors are in it?"
        )
    try:
        SmallNetwork().load_state_dict(dict(got))
    except RuntimeError as error:
        return f"load_state_dict() refuses it: {error}"
    return None


SNAPSHOT = Exercise(
    id="03.4",
    title="Keep the best weights",
    question=(
        "The Kaggle notebook tries ten initial weights and keeps the best: `best_weights = "
        "model.state_dict()`. But each later trial writes its weights into the very tensors that "
        "this dictionary holds, so 'the best of ten' is always the tenth, and `load_state_dict` at "
        "the end does nothing. No error, no warning; ten times the work for one random draw. The "
        "same line spoils early stopping and every checkpoint kept in memory.\n\n"
        "Write `snapshot(model)`: for a torch module, return a dictionary, name to tensor, with "
        "everything `model.load_state_dict()` needs to bring back the model as it is now, however "
        "much it is trained afterwards."
    ),
    stub='''def snapshot(model):
    """Copy of all weights and buffers, unaffected by further training."""
    ...''',
    hints=(
        "Take a snapshot, do one step of training, and compare: whose numbers are in it?",
        "The dictionary must be new, and so must be every tensor in it.",
        "`tensor.clone()` copies a tensor; `copy.deepcopy` copies a dictionary with all it holds.",
    ),
    reference=snapshot,
    diagnose=_check_snapshot,
    lesson="A name in Python is not a copy: only clone, deepcopy or a file keeps the best.",
)

EXERCISES = (EPOCH, SNAPSHOT)
