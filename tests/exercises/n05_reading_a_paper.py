"""Answers to the exercises of n05_reading_a_paper.py: wrong ones, and other right ones."""

import numpy as np
import torch
from scipy.stats import hypergeom
from sklearn.metrics import balanced_accuracy_score

from galhelpers.exercises.n05_reading_a_paper import (
    CHOICES,
    MISREAD,
    _recalls,
    _surprise_with,
    overall_and_macro,
)

WRONG = {
    "05.5": {
        name: (lambda m, rule=MISREAD[name][0]: (overall_and_macro(m)[0], rule(m)), fragment)
        for name, fragment in {
            "precision": "called* by each name",
            "against the rest": "found or missed",
            "weighted": "whose galaxies are few",
            "median": "no failure in one class",
        }.items()
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
            lambda m: (overall_and_macro(m)[0], _recalls(m).max()),
            "a plain mean of those",
        ),
        "one number": (lambda m: np.diag(m).sum() / m.sum(), "expected two numbers"),
    },
    "05.6": {
        flaw: (_surprise_with(flaw), message)
        for flaw, message in {
            "one split": "a mean of ten stray?",
            "no root": "a tenth as far",
            "wider": "less certain than one",
            "variance": "counted in galaxies",
            "binomial": "cannot come again",
            "Poisson": "another class less",
            "n": "over n - 1",
            "sign": "should be positive",
            "no sign": "no minus signs",
            "equal classes": "How many in a thousand",
        }.items()
    }
    | {
        "not scaled": (
            lambda row_sums, sizes, n_test, n_splits: row_sums - n_test * sizes / sizes.sum(),
            "Try four galaxies",
        )
    },
    "05.7": {
        name: (CHOICES[name][0], fragment)
        for name, fragment in {
            "two sets": "Both should be test",
            "last epoch": "What was validation for",
            "all pairs": "print its shape",
            "one epoch": "its own validation is best",
            "one run": "The bonus is wanted in each run",
            "sign": "less than nothing",
            "sum": "grows with their number",
            "lowest": "Is it a loss",
            "per cent": "per cent, from",
            "tied": "the last of several",
        }.items()
    }
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
