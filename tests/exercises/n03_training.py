"""Answers to the exercises of n03_training.py: wrong ones, and other right ones."""

import copy

import numpy as np
from torch import nn

from galhelpers.exercises.n03_training import _accumulated, train_one_epoch


def _epoch_without(flaw):
    def train(model, optimizer, batches, loss_function):
        if flaw != "train mode":
            model.train()
        for images, targets in batches:
            optimizer.zero_grad()
            output = model(images)
            loss = loss_function(output.detach() if flaw == "graph" else output, targets)
            loss.backward()
            if flaw == "gradients":
                optimizer.zero_grad()
            if flaw != "steps":
                optimizer.step()
            if flaw == "other batches":
                return

    return train


WRONG = {
    "03.3": {
        "evaluation mode": (_epoch_without("train mode"), "in evaluation mode"),
        "no zero_grad": (_accumulated, "backward() adds"),
        "no step": (_epoch_without("steps"), "made 0 steps"),
        "cleared too late": (_epoch_without("gradients"), "found no gradients"),
        "detached": (_epoch_without("graph"), "raised RuntimeError"),
        "one batch": (_epoch_without("other batches"), "was called 1 times"),
        "other loss": (
            lambda model, optimizer, batches, loss_function: train_one_epoch(
                model, optimizer, batches, nn.functional.l1_loss
            ),
            "with the loss as given",
        ),
    },
    "03.4": {
        "live": (lambda model: model.state_dict(), "hands out the live tensors"),
        "dict()": (lambda model: dict(model.state_dict()), "whose tensors"),
        "copy.copy": (lambda model: copy.copy(model.state_dict()), "how deep"),
        "parameters only": (
            lambda model: {name: p.detach().clone() for name, p in model.named_parameters()},
            "more than its parameters",
        ),
        "the model": (lambda model: copy.deepcopy(model), "expected a dictionary"),
        "arrays": (
            lambda model: {k: v.numpy().copy() for k, v in model.state_dict().items()},
            "will want a torch tensor",
        ),
    },
}


def _cleared_after(model, optimizer, batches, loss_function):
    model.train(True)
    losses = []
    for images, targets in batches:
        loss = loss_function(model(images), targets)
        loss.backward()
        optimizer.step()
        model.zero_grad()
        losses.append(loss.item())
    return np.mean(losses)


RIGHT = {
    "03.3": [_cleared_after],
    "03.4": [lambda model: copy.deepcopy(model.state_dict())],
}
