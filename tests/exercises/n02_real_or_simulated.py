"""Answers to the exercises of n02_real_or_simulated.py: wrong ones, and other right ones."""

import numpy as np
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from galhelpers.exercises.n02_real_or_simulated import _best_cut, auc

WRONG = {
    "02.4": {
        "ties count 0": (
            lambda r, s: (s[~np.isnan(s), None] > r[~np.isnan(r)]).mean(),
            "count them as nothing",
        ),
        "ties count 1": (
            lambda r, s: (s[~np.isnan(s), None] >= r[~np.isnan(r)]).mean(),
            "count each as a whole",
        ),
        "swapped": (lambda r, s: auc(s, r), "the real galaxy has the larger value"),
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
        "strictly larger, by ranks": (
            lambda r, s: float(
                np.searchsorted(np.sort(r[~np.isnan(r)]), s[~np.isnan(s)]).mean()
                / np.sum(~np.isnan(r))
            ),
            "count them as nothing",
        ),
        "rounded": (lambda r, s: round(auc(r, s), 2), "is right"),
        "pair by pair": (
            lambda r, s: float(np.mean([b > a for a, b in zip(r, s, strict=False)])),
            "is right",
        ),
        "as many of each": (lambda r, s: auc(r[: len(s)], s[: len(r)]), "is right"),
        "gini": (lambda r, s: 2 * auc(r, s) - 1, "is right"),
        "above the median": (lambda r, s: float(np.mean(s > np.nanmedian(r))), "is right"),
        "without repeats": (lambda r, s: auc(np.unique(r), np.unique(s)), "is right"),
        "near ties": (
            lambda r, s: float(
                np.nanmean((s[:, None] > r) + 0.5 * np.isclose(s[:, None], r, 0, 0.5))
            ),
            "is right",
        ),
        "number of pairs": (
            lambda r, s: auc(r, s) * np.sum(~np.isnan(r)) * np.sum(~np.isnan(s)),
            "is right",
        ),
        "NaN as 0": (lambda r, s: auc(np.nan_to_num(r), np.nan_to_num(s)), "five of them NaN"),
        "NaN as the mean": (
            lambda r, s: auc(*(np.where(np.isnan(x), np.nanmean(x), x) for x in (r, s))),
            "five of them NaN",
        ),
        "NaN of one side": (
            lambda r, s: np.mean((s[:, None] > (r := r[~np.isnan(r)])) + 0.5 * (s[:, None] == r)),
            "five of them NaN",
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


def _near_ties(real, simulated):
    r, s = real[~np.isnan(real)], simulated[~np.isnan(simulated), None]
    tie = np.isclose(s, r)
    return ((s > r) & ~tie).mean() + tie.mean() / 2


def _by_cuts(real, simulated):
    r, s = real[~np.isnan(real)], simulated[~np.isnan(simulated)]
    cuts = np.linspace(min(r.min(), s.min()), max(r.max(), s.max()), 11)
    shares = [[(x > cut).mean() for cut in [-np.inf, *cuts]] for x in (r, s)]
    return -np.trapezoid(shares[1], shares[0])


REFUSED = {
    "02.4": [
        _near_ties,
        lambda r, s: auc(np.float32(r), np.float32(s)),
        _by_cuts,
    ],
}

RIGHT = {
    "02.4": [auc_by_ranks, _auc_by_loops, _auc_of_a_curve],
}
