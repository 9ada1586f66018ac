"""Exercises of notebook 10 on training with one's own predictions as labels.

Khan, Huerta et al. 2019 (Physics Letters B 795, 248): "recursive training" on the surest of the
unlabelled galaxies, one run, without a control.
"""

from collections.abc import Iterator

import numpy as np
from scipy.special import softmax

from galhelpers.exercises.exercise import Answer, Exercise, compare, compare_in_turn, edited

# 10.3 --------------------------------------------------------------------------------------------


def gains(before: np.ndarray, after: np.ndarray, truth: np.ndarray, n: int) -> tuple[float, float]:
    """Gain in accuracy, each network on its own n surest galaxies, and both on all."""
    own, everywhere = [], []
    for probabilities in (before, after):
        right = probabilities.argmax(axis=1) == truth
        surest = np.argsort(-probabilities.max(axis=1))[:n]
        own.append(right[surest].mean())
        everywhere.append(right.mean())
    return own[1] - own[0], everywhere[1] - everywhere[0]


_CHOSEN = "chosen by the {}. Confidence was defined otherwise"
_SUREST = "np.argsort(-probabilities.max(axis=1))[:n]"
_BOTH = "own[1] - own[0], everywhere[1] - everywhere[0] => "
_SECOND = "everywhere.append(right.mean()) => everywhere.append(right[{}].mean())"
GAINS_MISTAKES = edited(gains, {
    "-probabilities.max => -after.max":
        "both networks on the galaxies of which the second is surest. Each has its own",
    "-probabilities.max => -before.max":
        "both networks on the galaxies of which the first is surest. The slides let each choose",
    "-probabilities.max => probabilities.max":
        "the *least* sure ones. In which direction does argsort sort?",
    "probabilities.max(axis=1) => probabilities[:, 1]":
        "those most probably of class 1. Can one not be sure of class 0?",
    "-probabilities.max(axis=1) => -np.diff(np.sort(probabilities)[:, -2:])[:, 0]":
        _CHOSEN.format("margin between the two largest probabilities"),
    "-probabilities.max(axis=1) => -(probabilities * np.log(probabilities)).sum(axis=1)":
        _CHOSEN.format("entropy of all classes"),
    "probabilities.max(axis=1) => (probabilities**2).sum(axis=1)":
        _CHOSEN.format("spread over all classes"),
    "-probabilities.max(axis=1) => -np.divide(*np.sort(probabilities).T[[-1, -2]])":
        _CHOSEN.format("ratio of the two largest probabilities"),
    "-probabilities.max(axis=1) => -np.ptp(probabilities, axis=1)":
        _CHOSEN.format("largest less the smallest probability"),
    "[:n] => [: n - 1]": "that on n - 1 galaxies",
    "[:n] => [: n + 1]": "that on n + 1 galaxies",
    "[:n] => [: len(truth) // 2]": "that on half of the galaxies. How many is n?",
    "probabilities.argmax(axis=1) == => (probabilities[:, 1] > 0.5) ==":
        "for two classes only. What does a network say that has more?",
    "probabilities.argmax(axis=1) == truth => probabilities[np.arange(len(truth)), truth]":
        "the mean probability of the true class. An answer is right or it is not",
    "-probabilities.max(axis=1) => -probabilities[np.arange(len(truth)), truth]":
        "as if both did alike. Is it one network twice? Or chosen by the probability of the true "
        "class, which no network knows when it chooses?",
    f"{_SUREST} => np.arange(n)": "the first n rows of the table, not the surest",
    f"{_BOTH}own[0] - own[1], everywhere[0] - everywhere[1]":
        "before minus after. A gain is positive when things get better",
    "mean() => sum()": "a number of galaxies; accuracies are shares",
    "right[surest].mean() => right[surest].sum() / len(truth)":
        "the right ones of n galaxies over the number of all",
    f"{_BOTH}100 * (own[1] - own[0]), 100 * (everywhere[1] - everywhere[0])":
        "per cent; here a gain is a share",
    f"{_BOTH}own[1], everywhere[1]": "the second network's accuracy. What had the first one?",
    _SECOND.format("np.intersect1d(*(np.argsort(-p.max(axis=1))[:n] for p in (before, after)))"):
        "that on galaxies of which both are sure, the easy ones again. The second is on all",
    _SECOND.format("np.argsort(-after.max(axis=1))[n:]"):
        "that on the galaxies left out. The second is on all",
    f"{_BOTH}own[1] - own[0], own[1] - own[0]":
        "the first again. Who takes part in the second?",
})  # fmt: skip


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
    for one, two, classes_of, n in (
        ([[0.9, 0.1], [0.2, 0.8]], [[0.4, 0.6], [0.3, 0.7]], [0, 1], 1),
        ([[0.49, 0.41, 0.1], [0.36, 0.33, 0.31]], [[0.8, 0.1, 0.1], [0.1, 0.7, 0.2]], [0, 1], 2),
    ):
        yield (
            f"before {one}, after {two}, truth {classes_of} and n = {n}",
            (np.array(one), np.array(two), np.array(classes_of), n),
        )


def _check_gains(ask: Answer) -> str | None:
    return compare(
        ask, gains, dict(_gain_cases()), GAINS_MISTAKES,
        what="two numbers, (own, everywhere)", parts=("own gain", "gain on all"),
        otherwise="for each network its own n surest, then the share of those that is right; then "
        "the share of all galaxies that is right, after minus before",
    )  # fmt: skip


GAINS = Exercise(
    id="10.3",
    title="Praise for easy questions",
    question=(
        "Khan et al. label DES galaxies with their own network, add the 1,000 surest, train again, "
        "and report the accuracy on SDSS pictures: .9708 before, .9820 after. But on the 6,000 of "
        "some 12,600 test galaxies of which each network is *surest*. The two may have been asked "
        "about different galaxies; and who was trained on the easiest becomes surer of easy ones, "
        "which improves such a score though nothing hard was learnt.\n\n"
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

# 10.4 --------------------------------------------------------------------------------------------


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


_T = "t.ppf(0.975, seeds - 1)"
_ENDS = "gain.mean() - half, gain.mean() + half => "
_WELCH = (
    "from scipy.stats import t => from scipy.stats import t, ttest_ind; "
    f"{_ENDS}*ttest_ind(with_pseudo, control, equal_var={{}}).confidence_interval(0.95)"
)
VERDICT_MISTAKES = edited(verdict, {
    "(without, at_random) => (at_random, without)":
        "the rows in the other order: first `without`, then `at_random`",
    "with_pseudo - control => control - with_pseudo":
        "control minus with_pseudo. If it helps, the mean should be above 0",
    f"{_T} => 1.959964":
        "a factor of 1.96, as if the spread were known. From how many seeds do you know it?",
    f"{_T} => 1.96":
        "a factor of 1.96, as if the spread were known. From how many seeds do you know it?",
    "ddof=1 => ddof=0":
        "a spread divided by n; the mean was taken from the same seeds, so what is left is n - 1",
    " / np.sqrt(seeds) => ":
        "where the next single run may fall. How much surer is a mean of several?",
    "np.sqrt(seeds) => np.sqrt(seeds - 1)":
        "a standard error over the root of n - 1. The n - 1 is in the spread already",
    "np.sqrt(seeds) => seeds":
        "a spread over the number of seeds. Over its root: four times the seeds, half the error",
    "0.975 => 0.995":
        "an interval of 99%. In which would you find the truth 95 times in 100?",
    f"{_T} => 2":
        "two standard errors, however few seeds there are. How well do so few know the spread?",
    "seeds - 1) => 4)":
        "a factor of 2.78, which is that of five seeds. How many are there?",
    "[gain.mean(), gain.mean() - half, => [gain.mean() - half, gain.mean(),":
        "low, mean, high. The mean was asked for first",
    f"{_ENDS}half, half": "the half-width twice. Where do the two ends lie?",
    "0.975 => 0.95": "5% left out at each end. Together it should be 5%",
    "seeds - 1) => seeds)":
        "Student's t with too many degrees of freedom. One was spent on the mean",
    f"{_T} * => ":
        "one standard error to either side, which holds the truth two times in three",
    f"{_ENDS}gain.min(), gain.max()":
        "from the lowest to the highest difference. What is the interval of the *mean*?",
    f"{_ENDS}*np.quantile(gain, [0.025, 0.975])":
        "percentiles of so few differences: they say nothing about the mean",
    _WELCH.format(False):
        "two groups of strangers. Runs with one seed had one split and one start: pair them, and "
        "what they share drops out",
    _WELCH.format(True):
        "two groups with one spread, not pairs. Runs with one seed had one split and one start",
    "with_pseudo - control => np.sort(with_pseudo) - np.sort(control)":
        "pairs of sorted runs. Run i belongs to run i, whose seed it has",
    "if seeds > 1 => if rows:\n            half = rows[0][2] - rows[0][0]\n        elif seeds > 1":
        "the width of the first row again. Each control has its own differences",
    "[gain.mean() => [np.median(gain)":
        "a median in the middle. The interval is one of the mean",
    "gain.mean() => (with_pseudo.max() - control.max())":
        "the best seed of each arm compared. Luck has no mean",
    f"{_ENDS}gain.mean() + half, gain.mean() - half": "the higher end before the lower",
    f"{_ENDS}-half, half": "ends that are counted from the mean. Where do they lie?",
    "np.array( => 100 * np.array(": "per cent, from accuracies below 1",
})  # fmt: skip


def _check_verdict(ask: Answer) -> str | None:
    rng, cases = np.random.default_rng(76), {}
    for seeds in (5, 3, 12, 2):
        shared = rng.normal(0.9, 0.02, seeds)  # what a seed does to all three arms
        arms = shared + rng.normal(0, 0.02 / seeds, (3, seeds)) + [[0.006], [0.0], [0.004]]
        cases[f"three arms of {seeds} seeds"] = tuple(arms)
    for few in (
        [[0.75, 0.5], [0.5, 0.25], [0.25, 0.0]],  # all differences alike
        [[0.9, 0.5], [0.5, 0.6], [0.9, 0.6]],  # an interval beyond 1
    ):
        cases["arms {}, {} and {}".format(*few)] = tuple(np.array(few))
    groups = {
        "one difference for each seed, their mean, and Student's t with n - 1": cases,
        "One difference has a mean. But what does one run tell about the spread of runs? NaN was "
        "asked for, at both ends": {
            "a single seed": (np.array([0.982]), np.array([0.971]), np.array([0.979]))
        },
    }
    what = "two rows (mean, low, high), shape (2, 3)"
    return compare_in_turn(ask, verdict, groups, VERDICT_MISTAKES, what)


VERDICT = Exercise(
    id="10.4",
    title="Does it help to teach oneself?",
    question=(
        "'Recursive training' gained .0112 in accuracy on SDSS pictures, .0051 on DES: one run "
        "each. But the network was trained again; what would another seed have done alone? And if "
        "it is better: because of the 1,000 *surest*, or of any 1,000 pictures of the new survey? "
        "Two arms are missing: `without` (trained again, nothing added) and `at_random` (as many "
        "galaxies added, drawn at random, with the network's labels too).\n\n"
        "Write `verdict(with_pseudo, without, at_random)`: accuracies (seeds,); run i of each arm "
        "has the same seed and split. Return an array (2, 3): for with_pseudo minus without, then "
        "minus at_random, the mean over seeds and the low and high end of its 95% interval "
        "(Student's t, paired, both sides). From one seed, both ends are NaN. `verdict([.9, .94], "
        "[.8, .9], [.9, .9])` gives `[[0.07, -0.311, 0.451], [0.02, -0.234, 0.274]]`."
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
