"""Answers to the exercises of n10_many_gpus.py: wrong ones, and other right ones."""

import numpy as np
import torch

from galhelpers.exercises.n10_many_gpus import EFFICIENCY_MISTAKES, efficiency

WRONG = {
    "10.6": EFFICIENCY_MISTAKES
    | {
        "one number": (lambda g, s, e: efficiency(g, s, e).mean(), "got shape ()"),
        "for each stage": (lambda g, s, e: s[0] / s / (g / g[0])[:, None], "got shape (7, 3)"),
        "root": (lambda g, s, e: np.sqrt(efficiency(g, s, e)), "how long would each run"),
    },
}


REFUSED = {
    "10.6": [
        lambda g, s, e: efficiency(g, s, e[::-1]),
        lambda g, s, e: efficiency(g, s, e * 0 + 1),
        lambda g, s, e: efficiency(g, s[:, :3], e[:, :3]),
        lambda g, s, e: efficiency(g, s[:, :1], e[:, :1]),
        lambda g, s, e: efficiency(np.log2(g) + 1, s, e),
        lambda g, s, e: efficiency(g**2, s, e),
        lambda g, s, e: efficiency(g[::-1], s[::-1], e[::-1])[::-1],
        lambda g, s, e: efficiency(g, s, e)[1:],
        lambda g, s, e: efficiency(g, s, e).round(2),
        lambda g, s, e: np.median(s[0] / s, axis=1) / (g / g[0]),
        lambda g, s, e: (s[0] * e[0]).max() / (s * e[0]).max(axis=1) / (g / g[0]),
        lambda g, s, e: efficiency(g, s, e) * (g / g[0]) / (g - g[0] + 1),
    ],
}


def _efficiency_by_loops(gpus, seconds, epochs):
    time = [sum(s * e for s, e in zip(row, epochs[0], strict=True)) for row in seconds]
    work = [gpu * one for gpu, one in zip(gpus, time, strict=True)]  # in GPU seconds
    return torch.tensor([work[0] / one for one in work])


RIGHT = {
    "10.6": [_efficiency_by_loops],
}
