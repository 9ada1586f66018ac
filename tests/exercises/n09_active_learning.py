"""Answers to the exercises of n09_active_learning.py: wrong ones, and other right ones."""

import numpy as np
import torch
from scipy.special import xlogy
from scipy.stats import betabinom

from galhelpers.exercises.n09_active_learning import (
    INFORMATION_MISTAKES,
    information,
)


def _outcomes(a, b, n):
    return np.array([betabinom.pmf(np.arange(n + 1), n, *pair) for pair in zip(a, b, strict=True)])


def _entropy(p):
    return -xlogy(p, p).sum(axis=-1)


def _plain_products(a, b, n):
    p = _outcomes(a, b, n)
    mean = p.mean(axis=0)
    with np.errstate(all="ignore"):
        return float((p * np.log(p)).sum(axis=1).mean() - (mean * np.log(mean)).sum())


WRONG = {
    "09.3": INFORMATION_MISTAKES
    | {
        "0 ln 0": (_plain_products, "what is 0 ln 0"),
        "entropy of the means": (
            lambda a, b, n: float(_entropy(np.array([np.mean(a / (a + b)), np.mean(b / (a + b))]))),
            "where 0.4489 is right",
        ),
        "a prior vote": (
            lambda a, b, n: information(a, b, n) if n else information(a, b, 1),
            "What do no votes tell",
        ),
        "for each pass": (
            lambda a, b, n: _entropy(_outcomes(a, b, n)),
            "expected one number, in nats",
        ),
    },
}


def _information_by_scipy(a, b, n):
    p = _outcomes(a, b, n)
    mean = p.mean(axis=0)
    each = p * np.log(np.where(p > 0, p / np.where(mean > 0, mean, 1), 1))  # Kullback and Leibler
    return torch.tensor(each.sum(axis=1).mean())


REFUSED = {
    "09.3": [
        lambda a, b, n: information(*np.unique([a, b], axis=1), n),
        lambda a, b, n: information(a[:3], b[:3], n),
        lambda a, b, n: information(a, b, min(n, 30)),
        lambda a, b, n: information(np.round(a) + 1, np.round(b) + 1, n),
        lambda a, b, n: max(information(a, b, n), 1e-3),
        lambda a, b, n: np.sqrt(max(information(a, b, n), 0)),
        lambda a, b, n: round(float(information(a, b, n)), 2),
        lambda a, b, n: information(np.append(a, a.mean()), np.append(b, b.mean()), n),
        lambda a, b, n: (
            _entropy(_outcomes(a, b, n).mean(axis=0)) - _entropy(_outcomes(a, b, n)).max()
        ),
        lambda a, b, n: ((p := _outcomes(a, b, n)) - p.mean(axis=0)).std(axis=0).sum(),
        lambda a, b, n: (a / (a + b)).var(ddof=1),
    ],
}
RIGHT = {
    "09.3": [_information_by_scipy],
}
