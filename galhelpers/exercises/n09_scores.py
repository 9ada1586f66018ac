"""Exercises of notebook 09 on honest scores: which galaxies count, and how good one can get.

The second repairs the accuracies in the slides of Leach 2022, a rebuild of Walmsley et al. 2022.
"""

from typing import Any

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, compare_in_turn, edited

# 09.6 --------------------------------------------------------------------------------------------


def noise_floor(votes: np.ndarray) -> float:
    """Root-mean-square error, over galaxies and answers, of one who knows the true shares."""
    people = votes.sum(axis=1, keepdims=True)
    many = people[:, 0] >= 2
    people = people[many]
    p = votes[many] / people
    return float(np.sqrt(np.mean(p * (1 - p) / (people - 1))))


_MEAN = "np.mean(p * (1 - p) / (people - 1)) => "
FLOOR_MISTAKES = edited(noise_floor, {
    "(people - 1) => people":
        "k/N put for the true share, which makes it too low. For two people and a share of 1/2, "
        "what is the mean of p (1 - p)?",
    "np.sqrt(np.mean( => np.mean(np.sqrt(":
        "a mean of roots. In which order are root, mean and square in RMS?",
    "np.sqrt( => (": "a mean square. In which unit is an RMSE?",
    "np.sqrt( => votes.shape[1] ** 0.5 * np.sqrt(":
        "a sum over answers. The mean goes over galaxies and answers alike",
    "p * (1 - p) => p.mean(axis=0) * (1 - p.mean(axis=0))":
        "one share for all galaxies. That they differ is no noise",
    f"{_MEAN}p.var(axis=0).mean()":
        "how much galaxies differ from each other. How much would one galaxy differ from itself, "
        "were other people asked?",
    "(people - 1) => (people.mean() - 1)":
        "one N for all, their mean. Which galaxies are the noisy ones?",
    "p * (1 - p) => 0 * p + 0.25":
        "people divided in two halves everywhere, the worst case. What do the votes say?",
    f"{_MEAN}np.sum(p * (1 - p) / (people - 1)) / votes.size":
        "galaxies with fewer than two votes counted as free of noise. They are unknown",
    f"{_MEAN}(np.sum(p * (1 - p) / (people - 1)) + (votes.size - p.size) / 4) / votes.size":
        "galaxies with fewer than two votes given a quarter. Leave them out",
    ">= 2 => > 2": "galaxies with just two votes left out. Fewer than two do not count",
    f"{_MEAN}np.sum(p * (1 - p) / (people - 1) * people) / people.sum() / p.shape[1]":
        "galaxies with more votes counted more. Each one counts once",
    ">= 2 => > votes.max(axis=1)":
        "galaxies of one opinion left out. Two who agree are an observation, too",
    "float( => 100 * float(": "per cent, from fractions of at most 1",
    "(people - 1) => (people + 1)": "N + 1 below. Was the first guess, N, too low or too high?",
    " / (people - 1) => ":
        "the spread of a single vote. Twice as many people: how much nearer is their mean?",
})  # fmt: skip


def _check_floor(ask: Answer) -> str | None:
    rng, few = np.random.default_rng(64), [[2, 1, 0], [0, 4, 1], [3, 0, 0], [1, 0, 0], [2, 1, 3]]
    cases = {f"votes {few}": (np.array(few),)}
    for n, answers, most in ((80, 3, 9), (50, 2, 4), (30, 5, 40)):
        people = rng.integers(0, most, n)
        people[:4] = (0, 1, 2, most)
        votes = rng.multinomial(people, rng.dirichlet(np.ones(answers), n))
        unknown = int((people < 2).sum())
        cases[f"{n} galaxies, {unknown} with fewer than two votes, and {answers} answers"] = (
            votes,
        )
    groups = {
        "Let two people look at a galaxy whose true share is 1/2. They vote (2, 0), (1, 1), (1, 1) "
        "or (0, 2): as a table these have the floor root of 1/8": cases,
        "NaN was asked for. A floor of 0 would be a claim": {
            "three galaxies with no vote or one": (np.array([[0, 0], [1, 0], [0, 1]]),)
        },
    }
    what = "one number, an RMSE"
    return compare_in_turn(ask, noise_floor, groups, FLOOR_MISTAKES, what, rtol=1e-5)


FLOOR = Exercise(
    id="09.6",
    title="How good can an RMSE get?",
    question=(
        "Write `noise_floor(votes)`: the root-mean-square error of vote fractions that a "
        "forecaster would have who knows the share rho of *all* people. `votes` are whole numbers "
        "of votes on one question, (n, answers). "
        "`noise_floor([[2, 0], [1, 1], [1, 1], [0, 2]])` gives `0.354`."
        "\n\n"
        "The N people of a galaxy who happened to be asked give a fraction p = k/N, which strays "
        "from rho with the variance rho (1 - rho) / N: with ten people and rho = 1/2 even perfect "
        "knowledge is 0.16 off. Rho is unknown. If p is put in its place, p (1 - p) is on average "
        "too low, by the factor (N - 1) / N. Estimate the variance so that it is right on average; "
        "take the mean over galaxies and answers, then the root. Galaxies with fewer than two "
        "votes do not count, all others count alike. Return NaN if none is left."
    ),
    hints=(
        "N is a sum along the answers, one for each galaxy: `keepdims=True` keeps it as a column.",
        "p (1 - p) / N is too low by (N - 1) / N. Divide by that factor: what is left below?",
        "The variance is p (1 - p) / (N - 1). Take the rows with N of 2 or more *before* dividing, "
        "then the mean, then the root.",
    ),
    reference=noise_floor,
    diagnose=_check_floor,
    lesson="Mean square error less floor squared is what a better network could still gain.",
)


# 09.7 --------------------------------------------------------------------------------------------


def accuracy_among_asked(expected: np.ndarray, votes: np.ndarray, at_least: float) -> float:
    """Share of the galaxies with enough votes whose likeliest answer is the commonest one."""
    asked = votes.sum(axis=1) >= at_least
    right = expected.argmax(axis=1) == votes.argmax(axis=1)
    return float(right[asked].mean()) if asked.any() else float("nan")


ACCURACY_MISTAKES = edited(accuracy_among_asked, {
    "right[asked] => right":
        "every galaxy counted. What is argmax([0, 0, 0]), and who has said so?",
    ">= at_least => > 0": "galaxies with a single vote counted too. What became of at_least?",
    ">= at_least => > at_least":
        "galaxies with just at_least votes left out. Are those too few?",
    "votes.sum( => votes.max(":
        "only galaxies on which so many people *agree*, the easy ones. How many were asked?",
    "right[asked] => (right & asked)":
        "the right ones among those asked, divided by all galaxies",
    "votes.argmax => (votes * asked[:, None]).argmax; right[asked] => right":
        "galaxies with few votes counted as if their votes were 0. Leave them out",
    "float(right => 1 - float(right": "the share that is wrong",
    "float(right => 100 * float(right": "per cent; a share is at most 1",
    "right[asked] => ((expected > 0.5) == (votes > votes.sum(axis=1, keepdims=True) / 2))[asked]":
        "every answer judged as a yes or no of its own, and most are an easy no. One argmax for "
        "each galaxy",
    "right[asked] => expected[asked, votes[asked].argmax(axis=1)]":
        "the mean share expected for the commonest answer. Here a galaxy is right or it is not",
    "right[asked].mean() => np.average(right, weights=votes.sum(axis=1) * asked)":
        "galaxies with more votes counted more. Each one asked counts once",
    "votes. => votes.astype(int).": "votes cut to whole numbers. Weighted ones have decimals",
    "votes. => np.ceil(votes).": "votes rounded up. Weighted ones have decimals",
    "votes.sum(axis=1) => np.ceil(votes.sum(axis=1))":
        "a number of votes rounded up before it was compared with at_least",
    "at_least => int(at_least)": "at_least cut to a whole number. Weighted votes have decimals",
    "mean() => sum()": "a number of galaxies",
    "(axis=1) == => () ==; votes.argmax(axis=1) => votes.argmax(); right[asked] => right":
        "argmax of a whole table, or along its galaxies. Along which axis are the answers?",
})  # fmt: skip


def _draw(rng: np.random.Generator, n: int, answers: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw expected shares, and votes: none for a third of galaxies, and nowhere two at the top."""
    share = rng.dirichlet(np.full(answers, 0.8), 4 * n)
    people = rng.integers(1, 15, 4 * n) * (rng.random(4 * n) < 0.7)
    votes = rng.multinomial(people, share).astype(float)
    top = np.sort(votes, axis=1)
    kept = ((top[:, -1] > top[:, -2]) | (people == 0)).nonzero()[0][:n]
    blurred = 0.6 * share + 0.4 * rng.dirichlet(np.ones(answers), 4 * n)
    return blurred[kept], votes[kept]


def _check_accuracy(ask: Answer) -> str | None:
    rng, cases = np.random.default_rng(63), {}
    drawn = ((90, 3, 5, 1), (40, 2, 3, 1), (160, 6, 2.5, 0.25), (60, 4, 0.75, 0.25), (5, 4, 1, 1))
    for n, answers, least, scale in drawn:
        expected, votes = _draw(rng, n, answers)
        none = int((votes.sum(axis=1) == 0).sum())
        seen = f"{n} galaxies, {none} without a vote, {answers} answers and at_least = {least}"
        cases[seen] = expected, votes * scale, least  # weighted votes need not be whole
    few = np.array([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]]), np.array([[1.0, 9], [2, 0], [0, 0]]), 5
    groups: dict[str, dict[str, Any]] = {
        "First who was asked often enough; then, for each of those, one argmax of what was "
        "expected and one of the votes": cases,
        "One galaxy is few, but it is an accuracy": {
            "three galaxies, of which one has 5 votes or more, and it is wrong": few
        },
        "Is that known, if there was nothing to be right on?": {
            "12 galaxies, of which none has 30 votes, and at_least = 30": (*_draw(rng, 12, 3), 30)
        },
    }
    what = "one number, a share"
    return compare_in_turn(ask, accuracy_among_asked, groups, ACCURACY_MISTAKES, what, rtol=1e-5)


ACCURACY = Exercise(
    id="09.7",
    title="The questions that were never asked",
    question=(
        "Write `accuracy_among_asked(expected, votes, at_least)` for one question: arrays (n, "
        "answers) of expected shares and of votes, and a number above 0. Votes are weighted, so "
        "2.25 is possible, and zeros where nobody was asked. Return the share of galaxies whose "
        "likeliest answer is the volunteers' commonest (no two answers tie), among those with "
        "`at_least` votes or more in all; NaN where there are none. `accuracy_among_asked([[0.7, "
        "0.3], [0.2, 0.8], [0.6, 0.4]], [[4, 1], [3, 2], [0, 0]], 5)` gives `0.5`.\n\n"
        "Section 9.5 is about a table in which all 43,273 galaxies counted for each question. "
        "Where nobody was asked, the largest of no votes is the first column."
    ),
    hints=(
        "How many people answered this question for each galaxy? A sum along the answers.",
        "A boolean array of those with enough, `asked`, picks rows: `right[asked]`.",
        "`right` compares two `argmax(axis=1)`. The mean of an empty array is no accuracy: look "
        "at `asked.any()`.",
    ),
    reference=accuracy_among_asked,
    diagnose=_check_accuracy,
    lesson="Whoever reports an accuracy says of how many galaxies, and which.",
)


EXERCISES = (FLOOR, ACCURACY)
