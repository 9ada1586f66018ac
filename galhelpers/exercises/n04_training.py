"""Exercises of notebook 04 on training: one epoch, and keeping the best weights.

Each repairs a flaw of the published Kaggle notebook (see the package's docstring).
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from galhelpers.exercises.exercise import Answer, Exercise, NotYet, describe, edited

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
Pairs = Iterable[tuple[torch.Tensor, torch.Tensor]]


class SmallNetwork(nn.Module):
    """A small network that notes in which mode it was called and what it handed out."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
        )
        self.modes: list[tuple[bool, bool]] = []  # of itself, and of all its parts
        self.handed_out: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, 4) to (n, 2)."""
        self.modes.append((self.training, all(part.training for part in self.modules())))
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


# 04.1 --------------------------------------------------------------------------------------------


def train_one_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Pairs, loss_function: Loss
) -> None:
    """Train the model on every batch once."""
    model.train()
    for images, targets in batches:
        optimizer.zero_grad()
        loss = loss_function(model(images), targets)
        loss.backward()
        optimizer.step()


def _lopsided(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Give a loss that no library has, and that is another one when its inputs are exchanged."""
    return ((outputs - targets) ** 2 * (1 + targets.abs())).mean()


class _Heard:
    """The loss, which counts its calls and notes whether the targets came second."""

    def __init__(self) -> None:
        self.calls, self.swapped = 0, False

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.swapped |= targets.requires_grad and not outputs.requires_grad
        return _lopsided(outputs, targets)


_STALE = "The model arrived with gradients from before, and they entered your first step. "
_ADDED = (
    "the second step used the gradients of the first batch as well. backward() adds to what is "
)
EPOCH_MISTAKES = edited(train_one_epoch, {
    "optimizer.zero_grad() => pass": f"{_ADDED}there; nothing had taken the old ones away",
    "optimizer.zero_grad() => pass; model.train() => model.train(), optimizer.zero_grad()":
        f"{_ADDED}there; you clear it once, before the loop",
    "optimizer.zero_grad() => pass; optimizer.step() => optimizer.step(), optimizer.zero_grad()":
        f"{_STALE}Clear them before each backward(), not only after a step, so that the gradient "
        "is that of this batch alone",
    "optimizer.zero_grad() => images is batches[0][0] or optimizer.zero_grad()":
        f"{_STALE}Clear them before each backward()",
    "loss. => (-loss).": "the steps go up the gradient. Which sign has the loss?",
    "loss. => (2 * loss).": "each step is twice as long as it should be: the loss counts twice",
    "loss. => (loss / len(images)).":
        "you divide the loss by the number of images; loss_function has averaged already",
    "optimizer.step() => nn.utils.clip_grad_norm_(model.parameters(), 1.0), optimizer.step()":
        "you shorten gradients. Nobody asked for it",
    "model.train() => model.train(), optimizer.param_groups[0].update(lr=0.01)":
        "you set a learning rate. The optimiser comes with its own",
    "(model(images), targets) => (model(batches[0][0]), batches[0][1])":
        "every step used the first batch",
    "in batches => in batches[::-1]":
        "you went through the batches backwards. Their own order was asked for",
})  # fmt: skip


def _check_epoch(ask: Answer) -> str | None:
    generator = torch.Generator().manual_seed(33)
    batches = [
        (torch.randn(n, 4, generator=generator), torch.randn(n, 2, generator=generator))
        for n in (6, 6, 4)
    ]

    def after(train: Callable[..., Any], loss: Loss, **how: Any) -> tuple[SmallNetwork, _Counted]:
        torch.manual_seed(0)
        model = SmallNetwork().eval()  # as a validation leaves it
        for weight in model.parameters():
            weight.grad = torch.ones_like(weight)  # as a batch before left it
        optimizer = _Counted(model)
        torch.manual_seed(1)  # the same dropout for everybody
        train(model, optimizer, copy.deepcopy(batches), loss, **how)
        return model, optimizer

    loss = _Heard()
    seen = "a network with dropout, its optimiser, and 3 batches of 6, 6 and 4 vectors"
    model, optimizer = after(ask, loss, copied=False, seen=seen)
    calls = len(model.modes)
    for i, (itself, parts) in enumerate(model.modes):
        if itself and not parts:
            return (
                f"at batch {i + 1} of 3 the model was in training mode, but parts of it were not: "
                "dropout and batch normalisation stayed in evaluation mode. Which call reaches "
                "all parts?"
            )
        if not itself:
            return (
                f"at batch {i + 1} of 3 the model was in evaluation mode. A validation had left it "
                "so; who switches it back?"
            )
    if calls != 3:
        return f"there were 3 batches, and the model you were given was called {calls} times"
    if optimizer.steps != 3:
        return (
            f"for 3 batches the optimiser you were given made {optimizer.steps} steps. Gradients "
            "say where to go; what goes there, and how often?"
        )
    if loss.swapped:
        return "loss_function(targets, outputs) was called; (outputs, targets) is its order"
    torch.manual_seed(0)
    got, start = _weights(model), _weights(SmallNetwork())
    if torch.equal(got, start):
        return (
            "the optimiser made its steps, and no weight changed: it found no gradients. In which "
            "order do the calls come?"
        )
    if loss.calls == 0:
        return "loss_function was never called, so another loss was trained. It is an input"
    right, optimizer_right = after(train_one_epoch, _lopsided)
    if torch.allclose(got, _weights(right), atol=1e-6):
        return _side_effects(model, right, optimizer, optimizer_right)
    for mistake, message in EPOCH_MISTAKES.values():
        if torch.allclose(got, _weights(after(mistake, _lopsided)[0]), atol=1e-6):
            return message
    moved, wanted = (float((one - start).norm()) for one in (got, _weights(right)))
    return (
        f"after one epoch on 3 batches the weights have moved by {moved:.4f}, where plain training "
        f"on the same batches in their order, with the loss as given, moves them by {wanted:.4f}, "
        f"and {int((~torch.isclose(got, _weights(right), atol=1e-6)).sum())} of {len(got)} weights "
        "differ"
    )


def _side_effects(
    model: SmallNetwork, right: SmallNetwork, optimizer: _Counted, optimizer_right: _Counted
) -> str | None:
    for (name, one), two in zip(model.named_buffers(), right.buffers(), strict=True):
        if not torch.allclose(one, two, atol=1e-6):
            return f"the weights are right, but {name} is {describe(one)}, not as after 3 batches"
    if optimizer.param_groups[0]["lr"] != optimizer_right.param_groups[0]["lr"]:
        return "the weights are right, but the optimiser has another learning rate than before"
    return None


EPOCH = Exercise(
    id="04.1",
    title="Train for one epoch",
    question=(
        "The Kaggle notebook calls `model.train()` once, then validates before the first epoch; "
        "validation calls `model.eval()` and nobody switches back, so *all* its training runs in "
        "evaluation mode. Its networks have no dropout, so nothing shows; add some, and it is "
        "silently ignored. A training loop is short, and each line left out of it gives a program "
        "that runs and learns badly.\n\n"
        "Write `train_one_epoch(model, optimizer, batches, loss_function)`: for every `(images, "
        "targets)` in `batches`, one step of the optimiser down the gradient of "
        "`loss_function(model(images), targets)`, in training mode, whatever mode the model "
        "arrives in. The gradient is that of this batch alone, though the model may arrive with "
        "gradients of an earlier one. All are torch objects; what you return is ignored."
    ),
    hints=(
        "First the mode, then a loop: predict, compare, find the gradient, step.",
        "`loss.backward()` adds the new gradient to the stored one. Something must clear it first.",
        "In the loop: `optimizer.zero_grad()`, the loss, `loss.backward()`, `optimizer.step()`.",
    ),
    reference=train_one_epoch,
    diagnose=_check_epoch,
    lesson="model.train() belongs at the start of each epoch, beside the loop that needs it.",
)

# 04.4 --------------------------------------------------------------------------------------------


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    """Copy of all weights and buffers, unaffected by further training."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _check_snapshot(ask: Answer) -> str | None:
    torch.manual_seed(34)
    model = SmallNetwork()
    model(
        torch.randn(32, 4)
    ).sum().backward()  # gives the batch normalisation's buffers something to remember
    before = {k: v.clone() for k, v in model.state_dict().items()}
    got = ask(model, copied=False, seen="a small network")
    handed_out = model.handed_out
    if not isinstance(got, Mapping):
        raise NotYet(f"expected a dictionary of tensors, one for each name, got {describe(got)}")
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    for name, weight in model.named_parameters():
        changed += [f"the gradient of {name}"] if weight.grad is None else []
        changed += [] if weight.requires_grad else [f"requires_grad of {name}"]
    if changed:
        return f"your function has changed {changed[0]} of the model itself. Only look at it"
    if not all(part.training for part in model.modules()):
        return "the model came in training mode, and is in evaluation mode now. Only look at it"
    missing = [name for name in before if name not in got]
    if missing:
        return (
            f"{len(missing)} of {len(before)} entries are missing, such as {missing[0]}. A model "
            "remembers more than its parameters: look at the names in its state_dict()"
        )
    for name, value in got.items():
        if not isinstance(value, torch.Tensor):
            return f"{name} is {describe(value)}; load_state_dict() will want a torch tensor"
    for name, value in before.items():
        if got[name].dtype != value.dtype:
            return (
                f"{name} is {got[name].dtype} in your dictionary and {value.dtype} in the model: "
                "not the same numbers"
            )
        if got[name].shape != value.shape:
            return f"{name} has shape {tuple(got[name].shape)}, in the model {tuple(value.shape)}"
        if not torch.equal(got[name], value):
            return (
                f"{name} is not what the model has, the largest difference is "
                f"{(got[name] - value).abs().max():.3g}. As it is now, to the last digit, was "
                "asked for"
            )
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            tensor.add_(1)  # in place, as an optimiser does
    live = [name for name in before if not torch.equal(got[name], before[name])]
    after = "after one more step of training your "
    if live and got is handed_out:
        return (
            f"{after}{live[0]} has changed too: state_dict() hands out the live tensors, not a "
            "copy. 'Best' would always be 'latest'"
        )
    if live and len(live) < len(before):
        return f"{after}{live[0]} has changed too. Some tensors are copies, {len(live)} are not"
    if live and isinstance(got, OrderedDict):
        return f"{after}{live[0]} has changed too. The dictionary was copied, but how deep?"
    if live:
        return f"{after}{live[0]} has changed too. It is a new dictionary; whose tensors are in it?"
    try:
        SmallNetwork().load_state_dict(dict(got))
    except RuntimeError as error:
        return f"load_state_dict() refuses it: {error}"
    for seen, later in {"the same model after a step": model, _UNUSUAL: _unusual()}.items():
        again = ask(later, copied=False, seen=seen)
        if any(not torch.equal(got[name], value) for name, value in before.items()):
            return "a second snapshot has changed the first one. A new dictionary each time?"
        wanted = later.state_dict()
        if not isinstance(again, Mapping):
            return f"a second snapshot, of {seen}, is {describe(again)}"
        for name in sorted(set(again) ^ set(wanted)):
            fault = "is missing" if name in wanted else "is not in its state_dict()"
            return f"in a second snapshot, of {seen}, {name} {fault}"
        for name, value in wanted.items():
            off = (again[name] - value).abs().max()
            if off > 0 or again[name].dtype != value.dtype:
                return (
                    f"a second snapshot, of {seen}, is not what the model has by then: {name} is "
                    f"{again[name].dtype}, where {value.dtype} is right, and {off:.1g} off"
                )
    return None


_UNUSUAL = "a model in double precision, with a frozen, shared weight and a buffer never saved"


def _unusual() -> nn.Module:
    first, second = (nn.Linear(2, 2, dtype=torch.float64) for _ in range(2))
    first.weight.requires_grad_(False)
    second.weight = first.weight
    model = nn.Sequential(first, second, nn.BatchNorm1d(2, dtype=torch.float64))
    model.register_buffer("scratch", torch.ones(2), persistent=False)
    return model


SNAPSHOT = Exercise(
    id="04.4",
    title="Keep the best weights",
    question=(
        "The Kaggle notebook tries ten initial weights and keeps the best: `best_weights = "
        "model.state_dict()`. But each later trial writes its weights into the very tensors that "
        "this dictionary holds, so 'the best of ten' is always the tenth, and `load_state_dict` at "
        "the end does nothing. No error, no warning; ten times the work for one random draw. The "
        "same line spoils early stopping and every checkpoint kept in memory.\n\n"
        "Write `snapshot(model)`: for a torch module, return a dictionary, name to tensor, with "
        "everything `model.load_state_dict()` needs to bring back the model as it is now, to the "
        "last digit, however much it is trained afterwards. Leave the model itself as it is."
    ),
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
