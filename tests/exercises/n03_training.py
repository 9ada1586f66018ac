"""Answers to the exercises of n03_training.py: wrong ones, and other right ones."""

import copy
import io

import numpy as np
import torch
from torch import nn

from galhelpers.exercises.n03_training import EPOCH_MISTAKES, train_one_epoch


def _epoch(flaw):
    """Give a training with one flaw that the exercise's own mistakes do not have."""

    def train(model, optimizer, batches, loss_function):
        if flaw == "only the flag":
            model.training = True
        elif flaw != "evaluation mode":
            model.train()
        if flaw == "own optimiser":
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        if flaw == "own model":
            model = copy.deepcopy(model)
        for images, targets in batches:
            optimizer.zero_grad()
            output = model(images)
            if flaw == "two passes":
                output = model(images)
            if flaw == "detached":
                output = output.detach()
            if flaw == "l1":
                loss = nn.functional.l1_loss(output, targets)
            elif flaw == "mse":
                loss = nn.MSELoss()(output, targets)
            elif flaw == "swapped":
                loss = loss_function(targets, output)
            elif flaw == "weight decay":
                loss = loss_function(output, targets)
                loss += 0.01 * sum((weight**2).sum() for weight in model.parameters())
            else:
                loss = loss_function(output, targets)
            loss.backward()
            if flaw == "cleared too late":
                optimizer.zero_grad()
            if flaw != "no step":
                optimizer.step()
            if flaw == "two steps":
                optimizer.step()
            if flaw == "by hand":
                with torch.no_grad():
                    for weight in model.parameters():
                        weight -= 0.01 * weight.grad
            if flaw == "one batch":
                return
            if flaw == "evaluation mode after the first":
                model.eval()

    return train


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


WRONG = {
    "03.3": EPOCH_MISTAKES
    | {
        flaw: (_epoch(flaw), fragment)
        for flaw, fragment in {
            "evaluation mode": "at batch 1 of 3 the model was in evaluation mode",
            "evaluation mode after the first": "at batch 2 of 3 the model was in evaluation mode",
            "only the flag": "parts of it were not",
            "no step": "made 0 steps",
            "two steps": "made 6 steps",
            "own optimiser": "you were given made 0",
            "own model": "was called 0 times",
            "two passes": "was called 6 times",
            "one batch": "was called 1 times",
            "cleared too late": "found no gradients",
            "detached": "raised RuntimeError",
            "l1": "loss_function was never called",
            "mse": "loss_function was never called",
            "swapped": "(outputs, targets) is its order",
            "weight decay": "the weights have moved by",
            "by hand": "the weights have moved by",
        }.items()
    }
    | {
        "one step for all": (_one_step_for_all, "made 1 steps"),
        "rate set at the end": (_rate_set_at_the_end, "another learning rate than before"),
        "statistics emptied": (_statistics_emptied, "running_mean"),
        "frozen statistics": (_frozen_statistics, "parts of it were not"),
    },
    "03.4": {
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
    "03.3": [_in_other_words, _with_gradients_of_its_own],
    "03.4": [
        lambda model: copy.deepcopy(model.state_dict()),
        lambda model: copy.deepcopy(model).state_dict(),
        lambda model: {
            n: t.detach().clone() for n, t in [*model.named_parameters(), *model.named_buffers()]
        },
        _through_a_file,
    ],
}
