"""Answers to the exercises of n01_votes.py: wrong ones, and other right ones."""

import numpy as np
import pandas as pd
import torch

from galhelpers.exercises.n01_votes import CUMULATIVE_MISTAKES, SPIRAL_MISTAKES

WRONG = {
    "01.1": CUMULATIVE_MISTAKES
    | {
        "renormalised": (
            lambda first, rounded: np.nan_to_num(
                (cumulative := rounded * first[:, :1]) / cumulative.sum(1, keepdims=True)
            ),
            "Was everybody asked",
        ),
        "rounded": (lambda first, rounded: (rounded * first[:, :1]).round(2), "to 2 decimals"),
        "wrong axis": (lambda first, rounded: first[:, 0] * rounded, "raised ValueError"),
        "transposed": (lambda first, rounded: (rounded * first[:, :1]).T, "got shape (3, 6)"),
    },
    "01.4": SPIRAL_MISTAKES
    | {
        "at least": (lambda f, arms: (f >= 0.715) & (arms[:, 0] >= 0.619), "exactly on a thresh"),
        "at least, first": (lambda f, arms: (f >= 0.715) & (arms[:, 0] > 0.619), "exactly on a"),
        "at least, second": (lambda f, arms: (f > 0.715) & (arms[:, 0] >= 0.619), "exactly on"),
        "and": (lambda f, arms: f > 0.715 and arms[:, 0] > 0.619, "raised ValueError"),
        "rounded": (
            lambda f, arms: (f.round(1) > 0.715) & (arms[:, 0].round(1) > 0.619),
            "by hand",
        ),
        "row numbers": (lambda f, arms: np.where(arms[:, 0] > 0.619), "one True or False"),
    },
}

RIGHT = {
    "01.1": [
        lambda first, rounded: [
            [f[0] * r for r in row] for f, row in zip(first, rounded, strict=True)
        ],
        lambda first, rounded: pd.DataFrame(rounded).mul(first[:, 0], axis=0),
        lambda first, rounded: torch.einsum("g,ga->ga", *map(torch.tensor, (first[:, 0], rounded))),
        lambda first, rounded: (rounded.T * first.T[0]).T.astype(np.float32),
    ],
    "01.4": [
        lambda f, arms: [bool(a > 0.715 and b[0] > 0.619) for a, b in zip(f, arms, strict=True)],
        lambda f, arms: torch.from_numpy((f > 0.715) * (arms[:, 0] > 0.619)),
        lambda f, arms: pd.Series(f).gt(0.715) & pd.DataFrame(arms)[0].gt(0.619),
        lambda f, arms: np.logical_and(f > 0.715, arms[:, 0] > 0.619).astype(int),
    ],
}
