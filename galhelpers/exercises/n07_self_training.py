"""Exercises of notebook 07 on training with one's own predictions as labels.

Khan, Huerta et al. 2019 (Physics Letters B 795, 248): "recursive training" on the surest of the
unlabelled galaxies, one run, without a control.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.special import softmax
from scipy.stats import entropy, norm, t, ttest_ind

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_array,
    as_items,
    as_number,
    close,
    name_mistake,
)

# 07.3 --------------------------------------------------------------------------------------------


def gains(before: np.ndarray, after: np.ndarray, truth: np.ndarray, n: int) -> tuple[float, float]:
    """Gain in accuracy, each network on its own n surest galaxies, and both on all."""
    own, everywhere = [], []
    for probabilities in (before, after):
        right = probabilities.argmax(axis=1) == truth
        surest = np.argsort(-probabilities.max(axis=1))[:n]
        own.append(right[surest].mean())
        everywhere.append(right.mean())
    return own[1] - own[0], everywhere[1] - everywhere[0]


Gain = Callable[[np.ndarray, np.ndarray, np.ndarray, int], float]


def _right(p: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return p.argmax(axis=1) == truth


def _sure(p: np.ndarray, n: int) -> np.ndarray:
    return np.argsort(-p.max(axis=1))[:n]


def _by(order: Callable[[np.ndarray, np.ndarray], np.ndarray], least: bool = False) -> Gain:
    """Give the gain when each network's n galaxies are the first by another number."""

    def gain(b: np.ndarray, a: np.ndarray, truth: np.ndarray, n: int) -> float:
        first, last = (
            _right(p, truth)[np.argsort(order(p, truth) * (1 if least else -1))[:n]].mean()
            for p in (b, a)
        )
        return last - first

    return gain


def _on(rows: Callable[[np.ndarray, np.ndarray, int], np.ndarray]) -> Gain:
    """Give the gain of both networks on the same rows."""

    def gain(b: np.ndarray, a: np.ndarray, truth: np.ndarray, n: int) -> float:
        chosen = rows(b, a, n)
        return float(_right(a, truth)[chosen].mean() - _right(b, truth)[chosen].mean())

    return gain


def _right_as(right: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Gain:
    """Give the gain when being right is another thing."""

    def gain(b: np.ndarray, a: np.ndarray, truth: np.ndarray, n: int) -> float:
        first, last = (right(p, truth)[_sure(p, n)].mean() for p in (b, a))
        return last - first

    return gain


OWN_MISTAKES: Mistakes = {
    "after's": (_on(lambda b, a, n: _sure(a, n)),
        "both networks on the galaxies of which the second is surest. Each has its own"),
    "before's": (_on(lambda b, a, n: _sure(b, n)),
        "both networks on the galaxies of which the first is surest. The slides let each choose"),
    "least sure": (_by(lambda p, y: p.max(axis=1), least=True),
        "the *least* sure ones. In which direction does argsort sort?"),
    "one class": (_by(lambda p, y: p[:, 1]),
        "those most probably of class 1. Can one not be sure of class 0?"),
    "margin": (_by(lambda p, y: np.diff(np.sort(p, axis=1)[:, -2:], axis=1)[:, 0]),
        "chosen by the margin between the two largest probabilities. Confidence was defined "
        "otherwise"),
    "entropy": (_by(lambda p, y: -entropy(p, axis=1)),
        "chosen by the entropy of all classes. Confidence was defined otherwise"),
    "squares": (_by(lambda p, y: (p**2).sum(axis=1)),
        "chosen by the spread over all classes. Confidence was defined otherwise"),
    "ratio": (_by(lambda p, y: (q := np.sort(p, axis=1))[:, -1] / q[:, -2]),
        "chosen by the ratio of the two largest probabilities. Confidence was defined otherwise"),
    "range": (_by(lambda p, y: p.max(axis=1) - p.min(axis=1)),
        "chosen by the largest less the smallest probability. Confidence was defined otherwise"),
    "one less": (lambda b, a, y, n: gains(b, a, y, n - 1)[0], "that on n - 1 galaxies"),
    "one more": (lambda b, a, y, n: gains(b, a, y, n + 1)[0], "that on n + 1 galaxies"),
    "half": (lambda b, a, y, n: gains(b, a, y, len(y) // 2)[0],
        "that on half of the galaxies. How many is n?"),
    "two classes": (_right_as(lambda p, y: (p[:, 1] > 0.5) == y),
        "for two classes only. What does a network say that has more?"),
    "soft": (_right_as(lambda p, y: p[np.arange(len(y)), y]),
        "the mean probability of the true class. An answer is right or it is not"),
    "true class": (_by(lambda p, y: p[np.arange(len(y)), y]),
        "as if both did alike. Is it one network twice? Or chosen by the probability of the true "
        "class, which no network knows when it chooses?"),
    "first rows": (_on(lambda b, a, n: np.arange(n)),
        "the first n rows of the table, not the surest"),
    "wrong sign": (lambda b, a, y, n: -gains(b, a, y, n)[0],
        "before minus after. A gain is positive when things get better"),
    "counts": (lambda b, a, y, n: n * gains(b, a, y, n)[0],
        "a number of galaxies; accuracies are shares"),
    "of all": (lambda b, a, y, n: n / len(y) * gains(b, a, y, n)[0],
        "the right ones of n galaxies over the number of all"),
    "per cent": (lambda b, a, y, n: 100 * gains(b, a, y, n)[0], "per cent; here a gain is a share"),
    "accuracy": (lambda b, a, y, n: _right(a, y)[_sure(a, n)].mean(),
        "the second network's accuracy. What had the first one?"),
}  # fmt: skip
EVERYWHERE_MISTAKES: Mistakes = {
    "common": (_on(lambda b, a, n: np.intersect1d(_sure(b, n), _sure(a, n))),
        "that on galaxies of which both are sure, the easy ones again. The second is on all"),
    "rest": (_on(lambda b, a, n: np.setdiff1d(np.arange(len(a)), _sure(a, n))),
        "that on the galaxies left out. The second is on all"),
    "same as own": (lambda b, a, y, n: gains(b, a, y, n)[0],
        "the first again. Who takes part in the second?"),
}  # fmt: skip


def _two_networks(
    seed: int, n: int, classes: int, flat: float = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw two networks' probabilities: the second is better at easy galaxies, worse at hard."""
    rng = np.random.default_rng(seed)
    truth, clear = rng.integers(0, classes, n), rng.gamma(1.5, 0.8, n)
    signal, hard = clear[:, None] * np.eye(classes)[truth], (clear < np.median(clear))[:, None]
    before = signal + rng.normal(0, 0.9, (n, classes))
    after = signal + rng.normal(0, 0.9, (n, classes)) * np.where(hard, 1.9, 0.5)
    after *= np.where(hard, 0.4, 1.5)
    return softmax(before / flat, axis=1), softmax(after / flat, axis=1), truth


def _gain_cases() -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray, np.ndarray, int]]]:
    for seed, galaxies, classes, n, flat in (
        (6, 400, 2, 190, 1),
        (38, 500, 4, 200, 2.5),  # flat enough that other measures of confidence choose others
        (8, 250, 3, 60, 1),
        (9, 120, 2, 120, 1),
    ):
        drawn = _two_networks(seed, galaxies, classes, flat)
        yield f"{galaxies} galaxies, {classes} classes and n = {n}", (*drawn, n)
    before = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    after = np.array([[0.3, 0.7], [0.1, 0.9], [0.55, 0.45]])
    yield "3 galaxies, 2 classes and n = 1", (before, after, np.array([1, 1, 0]), 1)


def _check_gains(ask: Answer) -> str | None:
    what = "two numbers, (own, everywhere)"
    for seen, case in _gain_cases():
        items = as_items(ask(*case, seen=seen), 2, what)
        own, everywhere = (as_number(item, what) for item in items)
        right = gains(*case)
        if close([own, everywhere], right):
            continue
        if close([everywhere, own], right):
            return f"for {seen} both numbers are right, in the other order"
        if not close(own, right[0]):
            return f"for {seen} your first gain is {own:+.4f}: " + (
                name_mistake(own, case, OWN_MISTAKES)
                or "for each network its own n surest, then the share of those that is right. In "
                "the question's example both are right on their one surest"
            )
        return f"for {seen} your second gain is {everywhere:+.4f}: " + (
            name_mistake(everywhere, case, EVERYWHERE_MISTAKES)
            or "the share of all galaxies that is right, after minus before"
        )
    return None


GAINS = Exercise(
    id="07.3",
    title="Praise for easy questions",
    question=(
        "Khan et al. label DES galaxies with their own network, add the 1,000 surest, train again, "
        "and report the accuracy on SDSS pictures: .9708 before, .9820 after. But on the 6,000 of "
        "some 12,600 test galaxies of which each network is *surest*. The two may "
        "have been asked about different galaxies; and who was trained on the easiest becomes "
        "surer of easy ones.\n\n"
        "Write `gains(before, after, truth, n)`: probabilities (galaxies, classes) of the two "
        "networks, for two classes or more, true classes (galaxies,) and a number. Confidence is a "
        "network's largest probability; no two are equal. Return `(own, everywhere)`: accuracy "
        "after minus accuracy before, first each on its own n most confident galaxies, then both "
        "on all. `gains([[.9, .1], [.6, .4]], [[.8, .2], [.3, .7]], [0, 1], 1)` gives `(0.0, 0.5)`."
    ),
    hints=(
        "`argmax(axis=1)` is what a network says, `max(axis=1)` how sure it is of it.",
        "`np.argsort(-confidence)[:n]` are the rows of the n surest; a network has its own.",
        "Write a small loop over the two networks, and keep two accuracies of each.",
    ),
    reference=gains,
    diagnose=_check_gains,
    lesson="The first can rise while the second falls: to be surer is not to be better.",
)

# 07.4 --------------------------------------------------------------------------------------------


def verdict(with_pseudo: np.ndarray, without: np.ndarray, at_random: np.ndarray) -> np.ndarray:
    """Mean gain over each control, with its 95% interval: rows (mean, low, high), shape (2, 3)."""
    from scipy.stats import t

    rows = []
    for control in (without, at_random):
        gain, seeds = with_pseudo - control, len(control)
        half = np.nan
        if seeds > 1:
            half = t.ppf(0.975, seeds - 1) * gain.std(ddof=1) / np.sqrt(seeds)
        rows.append([gain.mean(), gain.mean() - half, gain.mean() + half])
    return np.array(rows)


Verdict = Callable[[np.ndarray, np.ndarray, np.ndarray], Any]


def _rows(half: Callable[[np.ndarray], Any]) -> Verdict:
    """Give rows whose interval has another half-width, from the differences."""

    def wrong(with_pseudo: np.ndarray, *controls: np.ndarray) -> np.ndarray:
        gain = [with_pseudo - control for control in controls]
        return np.array([[d.mean(), d.mean() - half(d), d.mean() + half(d)] for d in gain])

    return wrong


def _error(d: np.ndarray, ddof: int = 1) -> float:
    return float(d.std(ddof=ddof) / np.sqrt(len(d)))


def _unpaired(equal_var: bool) -> Verdict:
    def wrong(with_pseudo: np.ndarray, *controls: np.ndarray) -> np.ndarray:
        rows = []
        for control in controls:
            test = ttest_ind(with_pseudo, control, equal_var=equal_var)
            rows.append([with_pseudo.mean() - control.mean(), *test.confidence_interval(0.95)])
        return np.array(rows)

    return wrong


VERDICT_MISTAKES: Mistakes = {
    "rows swapped": (lambda w, o, r: verdict(w, r, o),
        "the rows in the other order: first `without`, then `at_random`"),
    "wrong sign": (
        lambda w, o, r: _rows(lambda d: t.ppf(0.975, len(d) - 1) * _error(d))(-w, -o, -r),
        "control minus with_pseudo. If it helps, the mean should be above 0"),
    "bell": (_rows(lambda d: norm.ppf(0.975) * _error(d)),
        "a factor of 1.96, as if the spread were known. From how many seeds do you know it?"),
    "population": (_rows(lambda d: t.ppf(0.975, len(d) - 1) * _error(d, ddof=0)),
        "a spread divided by n; the mean was taken from the same seeds, so what is left is n - 1"),
    "of one run": (_rows(lambda d: t.ppf(0.975, len(d) - 1) * d.std(ddof=1)),
        "where the next single run may fall. How much surer is a mean of several?"),
    "root of n - 1": (
        _rows(lambda d: t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / max(len(d) - 1, 1) ** 0.5),
        "a standard error over the root of n - 1. The n - 1 is in the spread already"),
    "over n": (_rows(lambda d: t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d)),
        "a spread over the number of seeds. Over its root: four times the seeds, half the error"),
    "99": (_rows(lambda d: t.ppf(0.995, len(d) - 1) * _error(d)),
        "an interval of 99%. In which would you find the truth 95 times in 100?"),
    "two": (_rows(lambda d: 2 * _error(d)),
        "two standard errors, however few seeds there are. How well do so few know the spread?"),
    "five seeds": (_rows(lambda d: t.ppf(0.975, 4) * _error(d)),
        "a factor of 2.78, which is that of five seeds. How many are there?"),
    "mean first": (lambda w, o, r: verdict(w, o, r)[:, [1, 0, 2]],
        "low, mean, high. The mean was asked for first"),
    "widths": (
        lambda w, o, r: (v := verdict(w, o, r)) * [1, 0, 0] + (v[:, 2:] - v[:, :1]) * [0, 1, 1],
        "the half-width twice. Where do the two ends lie?"),
    "one-sided": (_rows(lambda d: t.ppf(0.95, len(d) - 1) * _error(d)),
        "5% left out at each end. Together it should be 5%"),
    "degrees of freedom": (_rows(lambda d: t.ppf(0.975, len(d)) * _error(d)),
        "Student's t with too many degrees of freedom. One was spent on the mean"),
    "standard error": (_rows(_error),
        "one standard error to either side, which holds the truth two times in three"),
    "range": (
        lambda w, *controls: np.array([[(d := w - c).mean(), d.min(), d.max()] for c in controls]),
        "from the lowest to the highest difference. What is the interval of the *mean*?"),
    "percentiles": (
        lambda w, *controls: np.array(
            [[(w - c).mean(), *np.quantile(w - c, [0.025, 0.975])] for c in controls]
        ),
        "percentiles of so few differences: they say nothing about the mean"),
    "unpaired": (_unpaired(equal_var=False),
        "two groups of strangers. Runs with one seed had one split and one start: pair them, and "
        "what they share drops out"),
    "pooled": (_unpaired(equal_var=True),
        "two groups with one spread, not pairs. Runs with one seed had one split and one start"),
    "sorted": (lambda w, o, r: verdict(np.sort(w), np.sort(o), np.sort(r)),
        "pairs of sorted runs. Run i belongs to run i, whose seed it has"),
    "one interval": (
        lambda w, o, r: np.stack([(v := verdict(w, o, r))[0], v[0] + v[1, 0] - v[0, 0]]),
        "the width of the first row again. Each control has its own differences"),
    "median": (
        lambda w, *others: np.array([[np.median(w - c), *verdict(w, c, c)[0, 1:]] for c in others]),
        "a median in the middle. The interval is one of the mean"),
    "best seed": (
        lambda w, *controls: np.array(
            [(v := verdict(w, c, c)[0]) + (w.max() - c.max() - v[0]) for c in controls]
        ),
        "the best seed of each arm compared. Luck has no mean"),
    "high first": (lambda w, o, r: verdict(w, o, r)[:, [0, 2, 1]],
        "the higher end before the lower"),
    "half-width": (lambda w, o, r: (v := verdict(w, o, r)) - [0, 1, 1] * v[:, :1],
        "ends that are counted from the mean. Where do they lie?"),
    "per cent": (lambda w, o, r: 100 * verdict(w, o, r), "per cent, from accuracies below 1"),
}  # fmt: skip


def _check_verdict(ask: Answer) -> str | None:
    rng = np.random.default_rng(76)
    what = "two rows (mean, low, high), shape (2, 3)"
    for seeds in (5, 3, 12, 2):
        shared = rng.normal(0.9, 0.02, seeds)  # what a seed does to all three arms
        arms = (
            shared + rng.normal(0, 0.02 / seeds, (3, seeds)) + np.array([[0.006], [0.0], [0.004]])
        )
        seen = f"three arms of {seeds} seeds"
        got = as_array(ask(*arms, seen=seen), (2, 3), what)
        right = verdict(*arms)
        if not close(got, right):
            row = 0 if not close(got[0], right[0]) else 1
            shown = "{:.4f}, {:.4f} to {:.4f}".format(*got[row])
            return f"for {seen} your {('first', 'second')[row]} row is {shown}: " + (
                name_mistake(got, tuple(arms), VERDICT_MISTAKES, rtol=1e-3, atol=2e-6)
                or "one difference for each seed, their mean, and Student's t with n - 1. In the "
                "question's first row 0.1 and 0.04: mean 0.07, standard error 0.03, factor 12.7"
            )
    one = np.array([[0.982], [0.971], [0.979]])
    got = as_array(ask(*one, seen="a single seed"), (2, 3), what, finite=False)
    if not np.isnan(got[:, 1:]).all():
        return (
            f"for a single seed you give {got[0, 1]:.4f} to {got[0, 2]:.4f}. What does one run "
            "tell about the spread of runs? NaN was asked for"
        )
    if not close(got[:, 0], [0.011, 0.003]):
        return f"for a single seed your first mean is {got[0, 0]:.4f}. One difference has a mean"
    return None


VERDICT = Exercise(
    id="07.4",
    title="Does it help to teach oneself?",
    question=(
        "'Recursive training' gained .0112 in accuracy on SDSS pictures, .0051 on DES: one run "
        "each. But the network was trained again; what would another seed have done alone? And if "
        "it is better: because of the 1,000 *surest*, or of any 1,000 pictures of the new survey? "
        "Two arms are missing: `without` (trained again, nothing added) and `at_random` (as many "
        "galaxies added, drawn at random).\n\n"
        "Write `verdict(with_pseudo, without, at_random)`: accuracies (seeds,); run i of each arm "
        "has the same seed and split. Return an array (2, 3): for with_pseudo minus without, then "
        "minus at_random, the mean over seeds and the low and high end of its 95% interval "
        "(Student's t, paired, both sides). From one seed, both ends are NaN. "
        "`verdict([.9, .94], [.8, .9], [.9, .9])` gives "
        "`[[0.07, -0.311, 0.451], [0.02, -0.234, 0.274]]`."
    ),
    hints=(
        "Paired: first one difference for each seed, then only those differences matter.",
        "The standard error of their mean is `std(ddof=1)` over the root of the number of seeds.",
        "`scipy.stats.t.ppf(0.975, seeds - 1)` standard errors to either side; 2.78 for 5 seeds.",
    ),
    reference=verdict,
    diagnose=_check_verdict,
    lesson="If 0 lies inside, the seeds cannot tell; with two seeds the factor is 12.7.",
)

EXERCISES = (GAINS, VERDICT)
