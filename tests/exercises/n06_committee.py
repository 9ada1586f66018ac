"""Answers to the exercises of n06_committee.py: wrong ones, and other right ones."""

import numpy as np
import torch
from scipy.special import betainc
from scipy.stats import beta

from galhelpers.exercises.n06_committee import INTERVAL_MISTAKES, SHARE_MISTAKES, mixture_interval

WRONG = {
    "06.3": INTERVAL_MISTAKES
    | {
        "coarse grid": (
            lambda a, b, level: tuple(np.round(mixture_interval(a, b, level), 1)),
            "right to 0.001",
        ),
        "width": (
            lambda a, b, level: np.subtract(*mixture_interval(a, b, level)[::-1]),
            "expected two numbers",
        ),
    },
    "06.4": SHARE_MISTAKES
    | {
        "over galaxies": (lambda f, e: (f * (1 - e)).mean(axis=1), "got shape (6,)"),
        "no mean": (lambda f, e: f * (1 - e), "got shape (6, 2)"),
        "one number": (lambda f, e: (f * (1 - e)).mean(), "got shape ()"),
        "squared": (lambda f, e: (f**2 * (1 - e)).mean(axis=0), "of 100 people, how many"),
    },
}


def _interval_on_a_grid(a, b, level):
    x = np.linspace(0, 1, 2001)
    below = betainc(a[:, None], b[:, None], x).mean(axis=0)
    return np.interp([(1 - level) / 2, (1 + level) / 2], below, x)


def _interval_by_first_point_above(a, b, level):
    x = np.linspace(0, 1, 1001)
    below = beta.cdf(x[:, None], a, b).mean(axis=1)
    return [x[np.argmax(below >= q)] for q in ((1 - level) / 2, (1 + level) / 2)]


RIGHT = {
    "06.3": [_interval_on_a_grid, _interval_by_first_point_above],
    "06.4": [
        lambda f, e: [np.mean(one * (1 - two)) for one, two in zip(f.T, e.T, strict=True)],
        lambda f, e: torch.from_numpy(f - f * e).mean(dim=0),
    ],
}
