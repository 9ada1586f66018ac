"""Answers to the exercise of n09_calibration.py: wrong ones, and other right ones."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import betaln
from scipy.stats import betabinom

from galhelpers.exercises.n09_calibration import FACTOR_MISTAKES, mending_factor

GRID = np.geomspace(0.01, 100, 3000)


def _on_a_grid(a, b, k, n):
    surprise = [-betabinom.logpmf(k, n, f * a, f * b).sum() for f in GRID]
    return GRID[np.argmin(surprise)]


def _product(a, b, k, n):
    return GRID[np.argmax([betabinom.pmf(k, n, f * a, f * b).prod() for f in GRID])]


WRONG = {
    "09.2": FACTOR_MISTAKES
    | {
        "product": (_product, "add up the logarithms"),
        "one a galaxy": (lambda a, b, k, n: np.ones(len(a)), "expected one number"),
        "nothing to mend": (lambda a, b, k, n: 1.0, "the same whatever the input"),
        "least likely": (lambda a, b, k, n: GRID[0], "the same whatever the input"),
    },
}

REFUSED = {
    "09.2": [
        lambda a, b, k, n: mending_factor(b, a, k, n),
        lambda a, b, k, n: mending_factor(a, b, n - k, n),
        lambda a, b, k, n: mending_factor(a[:100], b[:100], k[:100], n[:100]),
        lambda a, b, k, n: mending_factor(a, b, np.minimum(k, 20), np.minimum(n, 20)),
        lambda a, b, k, n: min(mending_factor(a, b, k, n), 4),
        lambda a, b, k, n: max(mending_factor(a, b, k, n), 0.5),
        lambda a, b, k, n: mending_factor(a, b, k, n) - 1,
        lambda a, b, k, n: 1.05 * mending_factor(a, b, k, n),
        lambda a, b, k, n: 2.0 ** np.round(np.log2(mending_factor(a, b, k, n))),
        lambda a, b, k, n: np.median(
            [mending_factor(*(x[i::4] for x in (a, b, k, n))) for i in range(4)]
        ),
        # the spread of fractions put equal to the spread expected, sampling noise forgotten
        lambda a, b, k, n: (
            np.mean(a * b / (a + b) ** 2 / (a + b + 1)) / np.mean((k / n - a / (a + b)) ** 2)
        ),
    ],
}


def _by_gamma_functions(a, b, k, n):
    def surprise(f):
        return -(betaln(k + f * a, n - k + f * b) - betaln(f * a, f * b)).sum()

    return minimize_scalar(surprise, bounds=(1e-3, 100), method="bounded").x


RIGHT = {"09.2": [_on_a_grid, _by_gamma_functions]}
