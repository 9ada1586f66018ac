"""Answers to the exercises of n01_auc.py: wrong ones, and other right ones."""

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from galhelpers.exercises.n01_auc import _best_cut, auc

WRONG = {
    "01.5": {
        "ties count 0": (
            lambda r, s: (s[~np.isnan(s), None] > r[~np.isnan(r)]).mean(),
            "count them as nothing",
        ),
        "ties count 1": (
            lambda r, s: (s[~np.isnan(s), None] >= r[~np.isnan(r)]).mean(),
            "count each as a whole",
        ),
        "swapped": (lambda r, s: auc(s, r), "*real* galaxy has the larger value"),
        "difference of means": (
            lambda r, s: np.nanmean(s) - np.nanmean(r),
            "fluxes become magnitudes",
        ),
        "accuracy": (_best_cut, "accuracy of the best cut"),
        "per cent": (lambda r, s: 100 * auc(r, s), "a percentage"),
        "folded": (lambda r, s: max(auc(r, s), 1 - auc(r, s)), "do not fold it up"),
        "NaN kept": (
            lambda r, s: np.mean((s[:, None] > r) + 0.5 * (s[:, None] == r)),
            "comparison with NaN is False",
        ),
        "NaN spreads": (
            lambda r, s: np.mean((np.sign(s[:, None] - r) + 1) / 2),
            "you give NaN",
        ),
        "element by element": (lambda r, s: np.mean(s > r), "raised ValueError"),
    },
}


def auc_by_ranks(real, simulated):
    real, simulated = real[np.isfinite(real)], simulated[np.isfinite(simulated)]
    return mannwhitneyu(simulated, real).statistic / (len(real) * len(simulated))


def _auc_by_loops(real, simulated):
    pairs = [(r, s) for r in real for s in simulated if r == r and s == s]
    return sum(1.0 if s > r else 0.5 if s == r else 0.0 for r, s in pairs) / len(pairs)


def _auc_of_a_curve(real, simulated):
    values, labels = np.append(real, simulated), [0] * len(real) + [1] * len(simulated)
    known = ~np.isnan(values)
    return roc_auc_score(np.array(labels)[known], values[known])


RIGHT = {
    "01.5": [auc_by_ranks, _auc_by_loops, _auc_of_a_curve],
}
