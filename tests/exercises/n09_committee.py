"""Answers to the exercises of n09_committee.py: wrong ones, and other right ones."""

import numpy as np
import pandas as pd
import torch
from scipy.special import betainc, betaincinv
from scipy.stats import beta

from galhelpers.exercises.n09_committee import INTERVAL_MISTAKES, SHARE_MISTAKES, mixture_interval

WRONG = {
    "09.4": INTERVAL_MISTAKES
    | {
        "coarse grid": (
            lambda a, b, level: tuple(np.round(mixture_interval(a, b, level), 1)),
            "1 decimal",
        ),
        "high first": (lambda *x: mixture_interval(*x)[::-1], "in the other order"),
        "width": (
            lambda a, b, level: np.subtract(*mixture_interval(a, b, level)[::-1]),
            "expected two numbers",
        ),
    },
    "09.5": SHARE_MISTAKES
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


def _ends(a, b, level):
    return np.array([betaincinv(a, b, q) for q in ((1 - level) / 2, (1 + level) / 2)])


def _highest_density(a, b, level):
    x = np.linspace(0, 1, 4001)
    below = betainc(a[:, None], b[:, None], x).mean(axis=0)
    start = x[below <= 1 - level]
    width = np.interp(below[below <= 1 - level] + level, below, x) - start
    return start[width.argmin()], start[width.argmin()] + width.min()


def _interval_on(points):
    def interval(a, b, level):
        x = np.linspace(0, 1, points)
        below = betainc(a[:, None], b[:, None], x).mean(axis=0)
        return np.interp([(1 - level) / 2, (1 + level) / 2], below, x)

    return interval


REFUSED = {
    "09.4": [
        _highest_density,
        _interval_on(101),
        _interval_on(201),
        lambda a, b, level: mixture_interval(b, a, level),
        lambda a, b, level: mixture_interval(a, b, 0.9),
        lambda a, b, level: mixture_interval(np.sort(a)[1:-1], np.sort(b)[1:-1], level),
        lambda a, b, level: np.round(mixture_interval(a, b, level), 2),
        lambda a, b, level: np.clip(mixture_interval(a, b, level), 0.01, 0.99),
        lambda a, b, level: 100 * np.array(mixture_interval(a, b, level)),
        lambda a, b, level: (lambda low, high: (low, high - low))(*mixture_interval(a, b, level)),
        lambda a, b, level: _ends((a - 1).sum() + 1, (b - 1).sum() + 1, level),
        lambda a, b, level: np.percentile(a / (a + b), [50 - 50 * level, 50 + 50 * level]),
    ],
    "09.5": [
        lambda f, e: np.clip(f - e, 0, 1).mean(axis=0),
        lambda f, e: (f * (1 - e)).max(axis=0),
        lambda f, e: (f * (1 - e))[0],
        lambda f, e: (f * (1 - e)).prod(axis=0),
        lambda f, e: 1 - (1 - f * (1 - e)).prod(axis=0),
        lambda f, e: ((f > 0.5) & (e < 0.5)).mean(axis=0),
        lambda f, e: (e * (1 - f)).mean(axis=0),
        lambda f, e: (f * f * (1 - e)).sum(axis=0) / f.sum(axis=0),
        lambda f, e: f.mean(axis=0) * (1 - e).mean(axis=0),
        lambda f, e: (f * (1 - e)).sum(axis=0) / max(len(f) - 1, 1),
        lambda f, e: ((1 - f) * (1 - e)).mean(axis=0),
    ],
}


def _interval_by_halving(a, b, level):
    ends = []
    for q in ((1 - level) / 2, (1 + level) / 2):
        low, high = 0.0, 1.0
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if beta(a, b).cdf(middle).mean() < q else (low, middle)
        ends.append((low + high) / 2)
    return pd.Series(ends).tolist()


RIGHT = {
    "09.4": [_interval_on_a_grid, _interval_by_first_point_above, _interval_by_halving],
    "09.5": [
        lambda f, e: [np.mean(one * (1 - two)) for one, two in zip(f.T, e.T, strict=True)],
        lambda f, e: torch.from_numpy(f - f * e).mean(dim=0),
        lambda f, e: np.einsum("pg,pg->g", f, 1 - e) / len(f),
        lambda f, e: (pd.DataFrame(f) * (1 - pd.DataFrame(e))).mean(),
    ],
}
