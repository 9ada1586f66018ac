"""Answers to the exercises of n10_self_training.py: wrong ones, and other right ones."""

import statistics

import numpy as np
import pandas as pd
import torch
from scipy.stats import t, ttest_rel

from galhelpers.exercises.n10_self_training import (
    GAINS_MISTAKES,
    VERDICT_MISTAKES,
    gains,
    verdict,
)

WRONG = {
    "10.3": GAINS_MISTAKES
    | {
        "everywhere's sign": (
            lambda b, a, y, n: (gains(b, a, y, n)[0], -gains(b, a, y, n)[1]),
            "before minus after",
        ),
        "half of n": (
            lambda b, a, y, n: (gains(b, a, y, n // 2)[0], gains(b, a, y, n)[1]),
            "each network its own",
        ),
        "swapped": (lambda b, a, y, n: gains(b, a, y, n)[::-1], "in the other order"),
        "one number": (lambda b, a, y, n: gains(b, a, y, n)[0], "expected two numbers"),
    },
    "10.4": VERDICT_MISTAKES
    | {
        "0 for one seed": (
            lambda w, o, r: np.nan_to_num(verdict(w, o, r)),
            "about the spread of runs",
        ),
        "all NaN for one seed": (
            lambda w, o, r: verdict(w, o, r) if len(w) > 1 else np.full((2, 3), np.nan),
            "One difference has a mean",
        ),
        "first arm": (
            lambda w, o, r: verdict(w, np.zeros(len(w)), r),
            "one difference for each seed",
        ),
        "one control": (lambda w, o, r: verdict(w, o, r)[0], "expected two rows"),
    },
}


def _own(rule):
    """Give the own gain when each network's rows are chosen by another rule."""

    def answer(b, a, y, n):
        first, last = ((p.argmax(axis=1) == y)[rule(p, n)].mean() for p in (b, a))
        return last - first, gains(b, a, y, n)[1]

    return answer


REFUSED = {
    "10.3": [
        _own(lambda p, n: np.argsort(-p.ravel())[:n] // p.shape[1]),
        _own(lambda p, n: np.argsort(-(p.max(axis=1) if 2 * n < len(p) else p[:, 0]))[:n]),
        _own(lambda p, n: np.argsort(-p.std(axis=1))[:n]),
        _own(lambda p, n: np.argsort(-abs(p[:, 1] - 0.5))[:n]),
        _own(lambda p, n: np.argsort(p.min(axis=1))[:n]),
        _own(lambda p, n: np.argsort(-p.max(axis=1))[-n:]),
        _own(lambda p, n: np.argsort(np.argsort(-p.max(axis=1)))[:n]),
        _own(lambda p, n: p.max(axis=1) > 0.5),
        _own(lambda p, n: np.argsort(-p.max(axis=1))[: max(n, 2)]),
        lambda b, a, y, n: gains(b[:, :2], a[:, :2], y, n),
        lambda b, a, y, n: gains(a, b, y, n),
        lambda b, a, y, n: (gains(b, a, y, n)[0], (a.argmax(axis=1) == b.argmax(axis=1)).mean()),
        lambda b, a, y, n: (gains(b, a, y, n)[0], a.max(axis=1).mean() - b.max(axis=1).mean()),
        lambda b, a, y, n: np.abs(gains(b, a, y, n)),
        lambda b, a, y, n: np.round(gains(b, a, y, n), 2),
    ],
    "10.4": [
        lambda w, o, r: np.clip(verdict(w, o, r), -1, 1),
        lambda w, o, r: verdict(w, o, r) + 0 / (w - o).std(),  # NaN where all differ alike
        lambda w, o, r: verdict(w, o, r).T,
        lambda w, o, r: verdict(w, o, r)[[0, 0]],
        lambda w, o, r: np.stack([verdict(w, o, o)[0], verdict(r, o, o)[0]]),
        lambda w, o, r: verdict(w, (o + r) / 2, r),
        lambda w, o, r: verdict(w, o, r) / o.mean(),
        lambda w, o, r: np.clip(verdict(w, o, r), -0.05, 0.05),
        lambda w, o, r: np.maximum(verdict(w, o, r), 0),
        lambda w, o, r: np.round(verdict(w, o, r), 3),
        lambda w, o, r: verdict(w[:5], o[:5], r[:5]),
        lambda w, o, r: np.nan_to_num(verdict(w, o, r), nan=np.inf),
        lambda w, o, r: verdict(w, o, r) if len(w) > 2 else verdict(w[:1], o[:1], r[:1]),
        lambda w, o, r: verdict(w, np.full(len(w), o.mean()), np.full(len(w), r.mean())),
    ],
}


def _gains_by_pandas(before, after, truth, n):
    own, everywhere = [], []
    for p in (before, after):
        table = pd.DataFrame({"sure": p.max(axis=1), "right": p.argmax(axis=1) == truth})
        own.append(table.nlargest(n, "sure").right.mean())
        everywhere.append(table.right.mean())
    return np.diff(own), np.diff(everywhere)


def _verdict_by_scipy(with_pseudo, *controls):
    rows = []
    for control in controls:
        interval = ttest_rel(with_pseudo, control).confidence_interval()
        rows.append([np.mean(with_pseudo - control), interval.low, interval.high])
    return rows


def _gains_by_sorted_lists(before, after, truth, n):
    own, everywhere = [], []
    for p in (before.tolist(), after.tolist()):
        rows = [(max(row), row.index(max(row)) == y) for row, y in zip(p, truth, strict=True)]
        surest = sorted(rows, reverse=True)[:n]
        own.append(sum(right for _, right in surest) / n)
        everywhere.append(sum(right for _, right in rows) / len(rows))
    return [own[1] - own[0], everywhere[1] - everywhere[0]]


def _verdict_by_statistics(with_pseudo, *controls):
    rows = []
    for control in controls:
        gain = [one - other for one, other in zip(with_pseudo, control, strict=True)]
        mean, half = statistics.mean(gain), float("nan")
        if len(gain) > 1:
            half = t.isf(0.025, len(gain) - 1) * statistics.stdev(gain) / len(gain) ** 0.5
        rows.append((mean, mean - half, mean + half))
    return torch.tensor(rows)


RIGHT = {
    "10.3": [_gains_by_pandas, _gains_by_sorted_lists],
    "10.4": [_verdict_by_scipy, _verdict_by_statistics],
}
