"""Answers to the exercises of n04_metrics.py: wrong ones, and other right ones."""

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import mean_squared_error

from galhelpers.exercises.n04_metrics import (
    ACCURACY_MISTAKES,
    RMSE_MISTAKES,
    get_accuracy,
    rmse,
)

WRONG = {
    "04.8": RMSE_MISTAKES
    | {
        "sum of roots": (lambda batches: sum(rmse([one]) for one in batches), "you give 1.498"),
        "relative": (lambda batches: rmse(batches) / batches[0][1].mean(), "where 0.1 is right"),
        "rounded": (lambda batches: round(rmse(batches), 2), "to 2 decimals"),
        "clipped": (
            lambda batches: rmse([(predicted.clip(0, 1), true) for predicted, true in batches]),
            "where 0.1 is right",
        ),
        "an error for each answer": (
            lambda batches: np.sqrt(((batches[0][0] - batches[0][1]) ** 2).mean(axis=0)),
            "expected one number",
        ),
        "one array": (
            lambda batches: np.sqrt(
                ((np.array(batches)[:, 0] - np.array(batches)[:, 1]) ** 2).mean()
            ),
            "raised ValueError",
        ),
    },
    "04.3": ACCURACY_MISTAKES
    | {
        "only questions asked": (
            lambda *given: (share := get_accuracy(*given))[~np.isnan(share)],
            "got shape (10,)",
        ),
        "every batch must be asked": (
            lambda batches, *tree: (
                np.sum([get_accuracy([one], *tree) * len(one[0]) for one in batches], axis=0)
                / sum(len(one[0]) for one in batches)
            ),
            "you give nan at",
        ),
        "absolute outputs": (
            lambda batches, *tree: get_accuracy([(abs(out), true) for out, true in batches], *tree),
            "negative outputs",
        ),
        "positive outputs": (
            lambda batches, *tree: get_accuracy(
                [(out.clip(0), true) for out, true in batches], *tree
            ),
            "negative outputs",
        ),
        "columns counted from 1": (
            lambda batches, sizes, parents: get_accuracy(
                batches, sizes, [None if p is None else max(p - 1, 0) for p in parents]
            ),
            "where 0.8 is right",
        ),
        "unknown is -1": (
            lambda *given: np.nan_to_num(get_accuracy(*given), nan=-1),
            "where nan is right",
        ),
        "parent likeliest": (
            lambda batches, sizes, parents: get_accuracy(
                [(out, _only_largest(true, sizes)) for out, true in batches], sizes, parents
            ),
            "where 0.8 is right",
        ),
    },
}


def _only_largest(labels, sizes):
    """Set the answers of a question to 1 for the largest, 0 for the others."""
    parts = np.split(labels, np.cumsum(sizes)[:-1], axis=1)
    return np.concatenate([p == p.max(1, keepdims=True) for p in parts], axis=1).astype(float)


def _accuracy_by_loops(batches, sizes, parents):
    shares, start = [], 0
    for n, parent in zip(sizes, parents, strict=True):
        judged = []
        for outputs, labels in batches:
            for out, true in zip(outputs.tolist(), labels.tolist(), strict=True):
                if parent is None or true[parent] >= 0.5:
                    out, true = out[start : start + n], true[start : start + n]
                    judged.append(out.index(max(out)) == true.index(max(true)))
        shares.append(sum(judged) / len(judged) if judged else float("nan"))
        start += n
    return shares


def _accuracy_in_torch(batches, sizes, parents):
    outputs, labels = (torch.cat([torch.as_tensor(b[i]) for b in batches]) for i in (0, 1))
    shares = []
    for out, true, parent in zip(
        outputs.split(list(sizes), 1), labels.split(list(sizes), 1), parents, strict=True
    ):
        hit = (out.argmax(1) == true.argmax(1)).double()
        shares.append((hit if parent is None else hit[labels[:, parent] >= 0.5]).mean())
    return torch.stack(shares)


def _pairs(batches):
    return (np.concatenate([one[i] for one in batches]) for i in (1, 0))


RIGHT = {
    "04.8": [
        lambda b: np.sqrt(np.mean(np.concatenate([p - t for p, t in b]) ** 2)),
        lambda b: mean_squared_error(*_pairs(b)) ** 0.5,
        lambda b: torch.nn.functional.mse_loss(
            *map(torch.from_numpy, map(np.asarray, _floats(b)))
        ).sqrt(),
        lambda b: pd.Series(np.concatenate([(p - t).ravel() for p, t in b])).pow(2).mean() ** 0.5,
    ],
    "04.3": [
        _accuracy_by_loops,
        _accuracy_in_torch,
        lambda batches, *tree: pd.Series(get_accuracy([tuple(_pairs(batches))[::-1]], *tree)),
    ],
}


def _floats(batches):
    return (one.astype(float) for one in _pairs(batches))
