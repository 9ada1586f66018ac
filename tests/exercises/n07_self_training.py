"""Answers to the exercises of n07_self_training.py: wrong ones, and other right ones."""

import numpy as np
import pandas as pd
from scipy.stats import ttest_rel

from galhelpers.exercises.n07_self_training import (
    EVERYWHERE_MISTAKES,
    OWN_MISTAKES,
    VERDICT_MISTAKES,
    gains,
    verdict,
)

WRONG = {
    "07.3": {
        name: (lambda b, a, y, n, rule=rule: (rule(b, a, y, n), gains(b, a, y, n)[1]), message)
        for name, (rule, message) in OWN_MISTAKES.items()
    }
    | {
        "both sure": (
            lambda b, a, y, n: (gains(b, a, y, n)[0], EVERYWHERE_MISTAKES["common"][0](b, a, y, n)),
            "of which both are sure",
        ),
        "left out": (
            lambda b, a, y, n: (gains(b, a, y, n)[0], EVERYWHERE_MISTAKES["rest"][0](b, a, y, n)),
            "on the galaxies left out",
        ),
        "twice": (lambda b, a, y, n: (gains(b, a, y, n)[0],) * 2, "the first again"),
        "everywhere's sign": (
            lambda b, a, y, n: (gains(b, a, y, n)[0], -gains(b, a, y, n)[1]),
            "share of all galaxies",
        ),
        "half of n": (
            lambda b, a, y, n: (gains(b, a, y, n // 2)[0], gains(b, a, y, n)[1]),
            "for each network its own",
        ),
        "swapped": (lambda b, a, y, n: gains(b, a, y, n)[::-1], "in the other order"),
        "one number": (lambda b, a, y, n: gains(b, a, y, n)[0], "expected two numbers"),
    },
    "07.4": VERDICT_MISTAKES
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


RIGHT = {
    "07.3": [_gains_by_pandas],
    "07.4": [_verdict_by_scipy],
}
