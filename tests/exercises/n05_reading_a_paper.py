"""Answers to the exercises of n05_reading_a_paper.py: wrong ones, and other right ones."""

import numpy as np
import torch
from scipy.stats import hypergeom
from sklearn.metrics import balanced_accuracy_score

from galhelpers.exercises.n05_reading_a_paper import (
    BONUS_MISTAKES,
    MACRO_MISTAKES,
    SURPRISE_MISTAKES,
    overall_and_macro,
)

WRONG = {
    "05.5": {
        name: (lambda m, macro=macro: (overall_and_macro(m)[0], macro(m)), message)
        for name, (macro, message) in MACRO_MISTAKES.items()
    }
    | {
        "of 2,879": (
            lambda m: (np.diag(m).sum() / 2879, overall_and_macro(m)[1]),
            "know of the others",
        ),
        "per cent": (lambda m: [100 * share for share in overall_and_macro(m)], "a percentage"),
        "swapped": (lambda m: overall_and_macro(m)[::-1], "in the other order"),
        "mean of the cells": (
            lambda m: (np.diag(m).mean() / m.sum(), overall_and_macro(m)[1]),
            "altogether",
        ),
        "best class": (
            lambda m: (overall_and_macro(m)[0], (np.diag(m) / m.sum(axis=1)).max()),
            "a plain mean of those",
        ),
        "one number": (lambda m: np.diag(m).sum() / m.sum(), "expected two numbers"),
    },
    "05.6": SURPRISE_MISTAKES
    | {
        "not scaled": (
            lambda row_sums, sizes, n_test, n_splits: row_sums - n_test * sizes / sizes.sum(),
            "four galaxies",
        )
    },
    "05.7": BONUS_MISTAKES
    | {"for each run": (lambda v, t: t.max(axis=1) - v.max(axis=1), "expected one number")},
}


def _table_by_sklearn(matrix):
    truth, guess = np.nonzero(matrix)
    weights = matrix[truth, guess]
    macro = balanced_accuracy_score(truth, guess, sample_weight=weights)
    return np.average(truth == guess, weights=weights), macro


def _surprise_by_scipy(row_sums, class_sizes, n_test, n_splits):
    drawn = hypergeom(class_sizes.sum(), class_sizes, n_test)
    return (row_sums - drawn.mean()) / (drawn.std() / np.sqrt(n_splits))


def _bonus_by_loops(validation, test):
    pairs = zip(validation.tolist(), test.tolist(), strict=True)
    return torch.tensor([max(t) - t[v.index(max(v))] for v, t in pairs]).mean()


RIGHT = {
    "05.5": [_table_by_sklearn],
    "05.6": [_surprise_by_scipy],
    "05.7": [_bonus_by_loops],
}
