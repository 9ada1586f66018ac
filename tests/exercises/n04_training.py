"""Answers to the exercises of n04_training.py: wrong ones, and other right ones."""

import copy
import io

import numpy as np
import torch

from galhelpers.exercises.exercise import edited
from galhelpers.exercises.n04_training import EPOCH_MISTAKES, train_one_epoch


def _one_step_for_all(model, optimizer, batches, loss_function):
    model.train()
    optimizer.zero_grad()
    for images, targets in batches:
        loss_function(model(images), targets).backward()
    optimizer.step()


def _statistics_emptied(model, optimizer, batches, loss_function):
    train_one_epoch(model, optimizer, batches, loss_function)
    for name, value in model.named_buffers():
        if name.endswith("running_mean"):
            value.zero_()


def _rate_set_at_the_end(model, optimizer, batches, loss_function):
    train_one_epoch(model, optimizer, batches, loss_function)
    optimizer.param_groups[0]["lr"] /= 10


KEPT = {}


def _only_once():
    kept = {}

    def snapshot(model):
        if not kept or set(kept["one"]) != set(model.state_dict()):
            kept["one"] = copy.deepcopy(model.state_dict())
        return dict(kept["one"])

    return snapshot


def _emptied(model):
    kept = copy.deepcopy(model.state_dict())
    for weight in model.parameters():
        weight.data.zero_()
    return kept


def _frozen_statistics(model, optimizer, batches, loss_function):
    model.net[1].train = lambda mode=True: model.net[1]
    model.net[1].training = False
    train_one_epoch(model, optimizer, batches, loss_function)


EPOCHS = edited(train_one_epoch, {
    "model.train() => pass": "at batch 1 of 3 the model was in evaluation mode",
    "optimizer.step() => optimizer.step(), model.eval()":
        "at batch 2 of 3 the model was in evaluation mode",
    "model.train() => model.training = True": "parts of it were not",
    "optimizer.step() => pass": "made 0 steps",
    "optimizer.step() => optimizer.step(), optimizer.step()": "made 6 steps",
    "model.train() => optimizer = torch.optim.SGD(model.train().parameters(), lr=0.1)":
        "you were given made 0",
    "model.train() => model = copy.deepcopy(model).train()": "was called 0 times",
    "model(images) => model(images) + 0 * model(images)": "was called 6 times",
    "optimizer.step() => return optimizer.step()": "was called 1 times",
    "optimizer.step() => optimizer.zero_grad(), optimizer.step()": "found no gradients",
    "model(images) => model(images).detach()": "raised RuntimeError",
    "loss_function(model => nn.functional.l1_loss(model": "loss_function was never called",
    "loss_function(model => nn.MSELoss()(model": "loss_function was never called",
    "(model(images), targets) => (targets, model(images))": "(outputs, targets) is its order",
    "loss. => (loss + 0.01 * sum((w**2).sum() for w in model.parameters())).":
        "the weights have moved by",
    "optimizer.step() => [optimizer.step()] + [w.data.sub_(0.01 * w.grad) for w in "
    "model.parameters()]": "the weights have moved by",
})  # fmt: skip

WRONG = {
    "04.1": EPOCH_MISTAKES
    | EPOCHS
    | {
        "one step for all": (_one_step_for_all, "made 1 steps"),
        "rate set at the end": (_rate_set_at_the_end, "another learning rate than before"),
        "statistics emptied": (_statistics_emptied, "running_mean"),
        "frozen statistics": (_frozen_statistics, "parts of it were not"),
    },
    "04.4": {
        "live": (lambda model: model.state_dict(), "hands out the live tensors"),
        "dict()": (lambda model: dict(model.state_dict()), "whose tensors"),
        "copy.copy": (lambda model: copy.copy(model.state_dict()), "but how deep?"),
        "parameters only": (
            lambda model: {name: p.detach().clone() for name, p in model.named_parameters()},
            "3 of 9 entries are missing",
        ),
        "the model": (lambda model: copy.deepcopy(model), "expected a dictionary"),
        "arrays": (
            lambda model: {k: v.numpy().copy() for k, v in model.state_dict().items()},
            "will want a torch tensor",
        ),
        "half precision": (
            lambda model: {k: v.clone().half() for k, v in model.state_dict().items()},
            "not the same numbers",
        ),
        "zeros": (
            lambda model: {k: torch.zeros_like(v) for k, v in model.state_dict().items()},
            "the largest difference is",
        ),
        "another model": (
            lambda model: copy.deepcopy(type(model)().state_dict()),
            "is not what the model has",
        ),
        "buffers live": (
            lambda model: (
                dict(model.named_buffers())
                | {name: p.detach().clone() for name, p in model.named_parameters()}
            ),
            "Some tensors are copies, 3 are not",
        ),
        "flat": (
            lambda model: {k: v.clone().flatten() for k, v in model.state_dict().items()},
            "has shape (32,)",
        ),
        "prefix": (
            lambda model: {f"best.{k}": v.clone() for k, v in model.state_dict().items()},
            "9 of 9 entries are missing",
        ),
        "one more": (
            lambda model: (
                {k: v.clone() for k, v in model.state_dict().items()} | {"epoch": torch.tensor(3)}
            ),
            "load_state_dict() refuses it",
        ),
        "model in evaluation mode": (
            lambda model: copy.deepcopy(model.eval().state_dict()),
            "is in evaluation mode now",
        ),
        "one dictionary for all": (
            lambda model: KEPT.update(copy.deepcopy(model.state_dict())) or KEPT,
            "has changed the first one",
        ),
        "only the first time": (_only_once(), "not what the model has by then"),
        "double precision": (
            lambda model: {k: v.double() for k, v in model.state_dict().items()},
            "not the same numbers",
        ),
        "model frozen": (
            lambda model: copy.deepcopy(model.requires_grad_(False).state_dict()),
            "your function has changed",
        ),
        "model's gradients cleared": (
            lambda model: model.zero_grad() or copy.deepcopy(model.state_dict()),
            "your function has changed",
        ),
        "model emptied": (_emptied, "your function has changed"),
    },
}


def _in_other_words(model, optimizer, batches, loss_function):
    losses = []
    for images, targets in batches:
        model.train(True)
        model.zero_grad()
        loss = loss_function(model(images), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.mean(losses)


def _with_gradients_of_its_own(model, optimizer, batches, loss_function):
    model.train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    for images, targets in iter(batches):
        gradients = torch.autograd.grad(loss_function(model(images), targets), weights)
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        optimizer.step()


def _through_a_file(model):
    with io.BytesIO() as file:
        torch.save(model.state_dict(), file)
        file.seek(0)
        return torch.load(file, weights_only=True)


RIGHT = {
    "04.1": [_in_other_words, _with_gradients_of_its_own],
    "04.4": [
        lambda model: copy.deepcopy(model.state_dict()),
        lambda model: copy.deepcopy(model).state_dict(),
        _through_a_file,
    ],
}


REFUSED = {
    "04.4": [
        lambda model: {k: v.clone().float() if v.ndim else v.clone() for k, v in _items(model)},
        lambda model: {k: torch.tensor(v.tolist()) for k, v in _items(model)},
        lambda model: {k: v.clone() for k, v in _items(model) if k not in _frozen(model)},
        lambda model: {
            name: value.detach().clone()
            for name, value in [*model.named_parameters(), *model.named_buffers()]
        },
        lambda model: {
            name: value.detach().clone()
            for name, value in [
                *model.named_parameters(remove_duplicate=False),
                *model.named_buffers(),
            ]
        },
    ],
}


def _items(model):
    return model.state_dict().items()


def _frozen(model):
    weights = model.named_parameters(remove_duplicate=False)
    return {name for name, weight in weights if not weight.requires_grad}
