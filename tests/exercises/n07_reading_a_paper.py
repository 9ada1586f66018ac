"""Answers to the exercises of n07_reading_a_paper.py: wrong ones, and other right ones."""

import numpy as np
import torch
from scipy.stats import hypergeom
from sklearn.metrics import balanced_accuracy_score

from galhelpers.exercises.n07_reading_a_paper import (
    MACRO_MISTAKES,
    SURPRISE_MISTAKES,
    overall_and_macro,
    surprise,
)

WRONG = {
    "07.5": MACRO_MISTAKES
    | {
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
    "07.3": SURPRISE_MISTAKES
    | {
        "not scaled": (
            lambda row_sums, sizes, n_test, n_splits: row_sums - n_test * sizes / sizes.sum(),
            "where 3.513 is right",
        )
    },
}


def _table_by_sklearn(matrix):
    truth, guess = np.nonzero(matrix)
    weights = matrix[truth, guess]
    macro = balanced_accuracy_score(truth, guess, sample_weight=weights)
    return np.average(truth == guess, weights=weights), macro


def _surprise_by_scipy(row_sums, class_sizes, n_test, n_splits):
    drawn = hypergeom(class_sizes.sum(), class_sizes, n_test)
    return (row_sums - drawn.mean()) / (drawn.std() / np.sqrt(n_splits))


REFUSED = {
    "07.5": [
        lambda m: (0.911, 0.781),
        lambda m: overall_and_macro(m.T),
        lambda m: (overall_and_macro(m)[0], (np.diag(m) / m.sum(axis=1)).sum() / 5),
        lambda m: (np.trace(m) / (m.sum() - np.trace(m)), overall_and_macro(m)[1]),
        lambda m: (1 - np.trace(m) / m.sum(), overall_and_macro(m)[1]),
        lambda m: (m.max(axis=1).sum() / m.sum(), overall_and_macro(m)[1]),
        lambda m: (overall_and_macro(m)[0], np.sort(np.diag(m) / m.sum(axis=1))[1:].mean()),
        lambda m: (overall_and_macro(m)[0], np.mean(m / m.sum(axis=1, keepdims=True))),
        lambda m: np.round(overall_and_macro(m), 3),
        lambda m: [float(np.float16(share)) for share in overall_and_macro(m)],
    ],
    "07.3": [
        lambda rows, sizes, n_test, n_splits: surprise(rows, sizes, n_test, 10),
        lambda rows, sizes, n_test, n_splits: surprise(rows, sizes, n_test, max(n_splits - 1, 1)),
        lambda rows, sizes, n_test, n_splits: surprise(rows, sizes, sizes.sum() // 10, n_splits),
        lambda rows, sizes, n_test, n_splits: surprise(rows.astype(int), sizes, n_test, n_splits),
        lambda rows, sizes, n_test, n_splits: surprise(
            rows * n_test / rows.sum(), sizes, n_test, n_splits
        ),
        lambda rows, sizes, n_test, n_splits: surprise(rows, rows * 10, n_test, n_splits),
        lambda rows, sizes, n_test, n_splits: (rows - rows.mean()) / rows.std(),
        lambda rows, sizes, n_test, n_splits: (
            (rows - (e := n_test * sizes / sizes.sum())) ** 2 / e * n_splits
        ),
        lambda rows, sizes, n_test, n_splits: (
            (rows - (e := n_test * sizes / sizes.sum())) / np.sqrt(rows / n_splits) + 0 * e
        ),
        lambda *case: abs(surprise(*case)).max(),
    ],
}


def _table_by_loops(matrix):
    rows = matrix.tolist()
    right = [row[i] for i, row in enumerate(rows)]
    recalls = [one / sum(row) for one, row in zip(right, rows, strict=True)]
    return torch.tensor([sum(right) / sum(map(sum, rows)), sum(recalls) / len(recalls)])


def _surprise_by_loops(row_sums, class_sizes, n_test, n_splits):
    n = int(class_sizes.sum())
    spread = [n_test * (k / n) * (1 - k / n) * (n - n_test) / (n - 1) for k in class_sizes.tolist()]
    return [
        (row - n_test * k / n) * (n_splits / one) ** 0.5
        for row, k, one in zip(row_sums, class_sizes, spread, strict=True)
    ]


RIGHT = {
    "07.5": [_table_by_sklearn, _table_by_loops],
    "07.3": [_surprise_by_scipy, _surprise_by_loops],
}
