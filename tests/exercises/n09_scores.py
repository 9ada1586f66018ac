"""Answers to the exercises of n09_scores.py: wrong ones, and other right ones."""

import numpy as np
import pandas as pd
import torch

from galhelpers.exercises.n09_scores import (
    ACCURACY_MISTAKES,
    FLOOR_MISTAKES,
    accuracy_among_asked,
    noise_floor,
)


def _parts(votes):
    people = votes.sum(axis=1, keepdims=True)
    many = people[:, 0] >= 2
    return votes[many] / people[many], people[many]


def _right(expected, votes):
    return expected.argmax(axis=1) == votes.argmax(axis=1)


WRONG = {
    "09.6": FLOOR_MISTAKES
    | {
        "few kept": (
            lambda v: np.sqrt(
                np.mean(
                    (p := v / v.sum(1, keepdims=True)) * (1 - p) / (v.sum(1, keepdims=True) - 1)
                )
            ),
            "from 0 / 0",
        ),
        "along galaxies": (
            lambda v: np.sqrt(np.mean((p := v / v.sum(axis=0)) * (1 - p) / (v.sum(axis=0) - 1))),
            "root of 1/8",
        ),
        "0 for none": (lambda v: np.nan_to_num(noise_floor(v)), "would be a claim"),
        "for each answer": (
            lambda v: (lambda p, n: np.sqrt((p * (1 - p) / (n - 1)).mean(axis=0)))(*_parts(v)),
            "expected one number, an RMSE",
        ),
    },
    "09.7": ACCURACY_MISTAKES
    | {
        "tied to the table": (
            lambda e, v, least: accuracy_among_asked(e, v[:, ::-1], least),
            "one argmax of what was expected",
        ),
        "0 for none": (
            lambda e, v, least: np.nan_to_num(accuracy_among_asked(e, v, least)),
            "nothing to be right on",
        ),
        "divided by none": (
            lambda e, v, least: (
                int(_right(e, v)[v.sum(axis=1) >= least].sum())
                / int((v.sum(axis=1) >= least).sum())
            ),
            "raised ZeroDivisionError",
        ),
        "for each galaxy": (lambda e, v, least: _right(e, v), "expected one number, a share"),
    },
}


REFUSED = {
    "09.6": [
        lambda v: noise_floor(v[v.sum(axis=1) >= 3]),
        lambda v: noise_floor(np.minimum(v, 9)),
        lambda v: noise_floor(v[:, :2]),
        lambda v: noise_floor(v) if v.sum(axis=1).min() > 1 else np.nan,
        lambda v: np.sqrt(0.5) * noise_floor(v),
        lambda v: (lambda p, n: np.sqrt((p[:, 0] * (1 - p[:, 0]) / (n[:, 0] - 1)).mean()))(
            *_parts(v)
        ),
        lambda v: (lambda p, n: np.sqrt(np.median(p * (1 - p) / (n - 1))))(*_parts(v)),
        lambda v: (lambda p, n: np.sqrt((p * (1 - p) / (n - 1)).max(axis=1).mean()))(*_parts(v)),
        lambda v: (lambda p, n: np.sqrt(np.mean(p / (n - 1))))(*_parts(v)),
        lambda v: (lambda p, n: np.sqrt(np.mean(p * (1 - p) * (n - 1) / n**2)))(*_parts(v)),
    ],
    "09.7": [
        lambda e, v, least: accuracy_among_asked(e, v, 5),
        lambda e, v, least: accuracy_among_asked(e, v, max(least, 1)),
        lambda e, v, least: accuracy_among_asked(e, np.rint(v), least),
        lambda e, v, least: accuracy_among_asked(v, e, least),
        lambda e, v, least: accuracy_among_asked(e[:100], v[:100], least),
        lambda e, v, least: accuracy_among_asked(e, v, least) or np.nan,
        lambda e, v, least: accuracy_among_asked(-e, -v, -least),
        lambda e, v, least: _right(e, v)[(v > 0).sum(axis=1) >= least].mean(),
        lambda e, v, least: _right(e, v)[v.mean(axis=1) >= least].mean(),
        lambda e, v, least: round(accuracy_among_asked(e, v, least), 2),
    ],
}


def _accuracy_by_loops(expected, votes, at_least):
    right = [
        list(e).index(max(e)) == list(v).index(max(v))
        for e, v in zip(expected, votes, strict=True)
        if sum(v) >= at_least
    ]
    return np.mean(right)  # of an empty list it is NaN


def _floor_by_nanmean(votes):
    people = votes.sum(axis=1, keepdims=True)
    fraction = votes / people
    return np.nanmean(fraction * (1 - fraction) / (people - 1)) ** 0.5


def _floor_by_sample_variance(votes):
    """Each vote is a 0 or a 1: their sample variance, over N, is that of the mean."""
    found = []
    for row in votes.astype(int):
        if row.sum() >= 2:
            each = np.repeat(np.eye(len(row)), row, axis=0)
            found.append(each.var(axis=0, ddof=1) / len(each))
    return np.sqrt(np.mean(found)) if found else torch.tensor(float("nan"))


def _accuracy_by_pandas(expected, votes, at_least):
    table = pd.DataFrame({"guess": expected.argmax(1), "said": votes.argmax(1), "n": votes.sum(1)})
    asked = table[table.n >= at_least]
    return (asked.guess == asked.said).mean()


RIGHT = {
    "09.6": [_floor_by_nanmean, _floor_by_sample_variance],
    "09.7": [_accuracy_by_loops, _accuracy_by_pandas],
}
