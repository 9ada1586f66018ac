"""Answers to the exercises of n03_selection.py: wrong ones, and other right ones."""

import numpy as np
import torch

from galhelpers.exercises.n03_selection import STOP_MISTAKES, make_prepare, stop_epoch

WRONG = {
    "03.5": STOP_MISTAKES
    | {
        "last weights": (lambda v, p: (stop_epoch(v, p)[0],) * 2, "keep its weights"),
        "looks ahead": (
            lambda v, p: (stop_epoch(v, p)[0], int(np.argmin(v))),
            "which was never trained",
        ),
        "one early": (lambda v, p: stop_epoch(v, max(p - 1, 1)), "Count by hand"),
    },
    "03.6": {
        "best test": (lambda v, t: (int(np.argmax(t)), t.max()), "took part in the selection"),
        "validation score": (lambda v, t: (int(np.argmax(v)), v.max()), "better, or luckier"),
        "another model's": (lambda v, t: (int(np.argmax(v)), t.max()), "publish another model's"),
        "as a loss": (lambda v, t: (int(np.argmin(v)), t[np.argmin(v)]), "accuracies or losses"),
        "mean": (lambda v, t: (int(np.argmax(v)), t.mean()), "no test score of model"),
        "score only": (lambda v, t: t[np.argmax(v)], "expected two values"),
    },
    "03.7": {
        "own statistics": (
            lambda train: lambda images: make_prepare(images)(images),
            "prepared alone differs",
        ),
        "test not normalised": (
            lambda train: (
                lambda images: make_prepare(train)(images) if len(images) == 20 else images / 255
            ),
            "in another way",
        ),
        "255 twice": (
            lambda train: lambda images: make_prepare(train / 255)(images / 255 / 255),
            "How often is 255",
        ),
        "only scaled": (lambda train: lambda images: images / 255, "merely on the scale"),
        "all channels": (
            lambda train: lambda images: (images - train.mean()) / train.std(),
            "all together",
        ),
        "not a function": (lambda train: make_prepare(train)(train), "expected a function"),
    },
}


def _stop_by_counting(losses, patience):
    best, since = 0, 0
    for epoch in range(1, len(losses)):
        since += 1
        if losses[epoch] < losses[best]:
            best, since = epoch, 0
        if since == patience:
            return [epoch, best]
    return np.array([len(losses) - 1, best])


def _prepare_in_torch(train_images):
    train = torch.from_numpy(train_images).float() / 255
    mean, std = train.mean((0, 2, 3)), train.std((0, 2, 3))
    return lambda images: (
        (torch.from_numpy(images).float() / 255 - mean[:, None, None]) / std[:, None, None]
    )


RIGHT = {
    "03.5": [_stop_by_counting],
    "03.6": [lambda v, t: max(zip(v, range(len(v)), t, strict=True))[1:]],
    "03.7": [_prepare_in_torch],
}
