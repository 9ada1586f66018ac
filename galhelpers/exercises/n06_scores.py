"""Exercises of notebook 06 on honest scores: which galaxies count, and how good one can get.

The second repairs the accuracies in the slides of Leach 2022, a rebuild of Walmsley et al. 2022.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, Mistakes, as_number, close, name_mistake

# 06.5 --------------------------------------------------------------------------------------------


def noise_floor(votes: np.ndarray) -> float:
    """Root-mean-square error, over galaxies and answers, of one who knows the true shares."""
    people = votes.sum(axis=1, keepdims=True)
    many = people[:, 0] >= 2
    people = people[many]
    p = votes[many] / people
    return float(np.sqrt(np.mean(p * (1 - p) / (people - 1))))


def _parts(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    people = votes.sum(axis=1, keepdims=True)
    many = people[:, 0] >= 2
    return votes[many] / people[many], people[many]


def _from_variance(
    variance: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Callable[[np.ndarray], Any]:
    return lambda votes: np.sqrt(np.mean(variance(*_parts(votes))))


def _few_have(value: float) -> Callable[[np.ndarray], Any]:
    """Give the floor when galaxies with fewer than two votes have a fixed variance."""

    def floor(votes: np.ndarray) -> float:
        p, people = _parts(votes)
        missing = np.full((len(votes) - len(p), votes.shape[1]), value)
        return float(np.sqrt(np.mean(np.concatenate([p * (1 - p) / (people - 1), missing]))))

    return floor


def _by_people(p: np.ndarray, people: np.ndarray) -> Any:
    weights = np.broadcast_to(people, p.shape)
    return np.sqrt(np.average(p * (1 - p) / (people - 1), weights=weights))


FLOOR_MISTAKES: Mistakes = {
    "biased": (_from_variance(lambda p, n: p * (1 - p) / n),
        "k/N put for the true share, which makes it too low. For two people and a share of 1/2, "
        "what is the mean of p (1 - p)?"),
    "mean of roots": (
        lambda v: np.mean(np.sqrt(_parts(v)[0] * (1 - _parts(v)[0]) / (_parts(v)[1] - 1))),
        "a mean of roots. In which order are root, mean and square in RMS?"),
    "no root": (lambda v: noise_floor(v) ** 2, "a mean square. In which unit is an RMSE?"),
    "sum over answers": (lambda v: noise_floor(v) * np.sqrt(v.shape[1]),
        "a sum over answers. The mean goes over galaxies and answers alike"),
    "pooled": (_from_variance(lambda p, n: p.mean(axis=0) * (1 - p.mean(axis=0)) / (n - 1)),
        "one share for all galaxies. That they differ is no noise"),
    "scatter": (lambda v: np.sqrt(_parts(v)[0].var(axis=0).mean()),
        "how much galaxies differ from each other. How much would one galaxy differ from itself, "
        "were other people asked?"),
    "mean number": (_from_variance(lambda p, n: p * (1 - p) / (n.mean() - 1)),
        "one N for all, their mean. Which galaxies are the noisy ones?"),
    "most divided": (_from_variance(lambda p, n: 0.25 / (n - 1) + 0 * p),
        "people divided in two halves everywhere, the worst case. What do the votes say?"),
    "few as 0": (_few_have(0.0),
        "galaxies with fewer than two votes counted as free of noise. They are unknown"),
    "few as 1/4": (_few_have(0.25),
        "galaxies with fewer than two votes given a quarter. Leave them out"),
    "more than two": (lambda v: noise_floor(v[v.sum(axis=1) > 2]),
        "galaxies with just two votes left out. Fewer than two do not count"),
    "by votes": (lambda v: _by_people(*_parts(v)),
        "galaxies with more votes counted more. Each one counts once"),
    "unanimous left out": (lambda v: noise_floor(v[(v > 0).sum(axis=1) != 1]),
        "galaxies of one opinion left out. Two who agree are an observation, too"),
    "per cent": (lambda v: 100 * noise_floor(v), "per cent, from fractions of at most 1"),
    "wrong way": (_from_variance(lambda p, n: p * (1 - p) / (n + 1)),
        "N + 1 below. Was the first guess, N, too low or too high?"),
    "no people": (_from_variance(lambda p, n: p * (1 - p)),
        "the spread of a single vote. Twice as many people: how much nearer is their mean?"),
}  # fmt: skip


def _check_floor(ask: Answer) -> str | None:
    rng, what = np.random.default_rng(64), "one number, an RMSE"
    for n, answers, most in ((80, 3, 9), (50, 2, 4), (30, 5, 40)):
        people = rng.integers(0, most, n)
        people[:4] = (0, 1, 2, most)
        votes = rng.multinomial(people, rng.dirichlet(np.ones(answers), n))
        few = int((people < 2).sum())
        seen = f"{n} galaxies, {few} with fewer than two votes, and {answers} answers"
        got = as_number(ask(votes, seen=seen), what, finite=False)
        if not np.isfinite(got):
            return f"for {seen} you give {got}. What is p, or N - 1, where N is 0 or 1?"
        if not close(got, noise_floor(votes), rtol=1e-5):
            return f"for {seen} you give {got:.4g}: " + (
                name_mistake(got, (votes,), FLOOR_MISTAKES)
                or "let two people look at a galaxy whose true share is 1/2. They vote "
                "(2, 0), (1, 1), (1, 1) or (0, 2): as a table these have the floor root of 1/8"
            )
    seen = "three galaxies with no vote or one"
    got = as_number(ask(np.array([[0, 0], [1, 0], [0, 1]]), seen=seen), what, finite=False)
    if not np.isnan(got):
        return f"for {seen} you give {got:.4g}; NaN was asked for. A floor of 0 would be a claim"
    return None


FLOOR = Exercise(
    id="06.5",
    title="How good can it get?",
    question=(
        "Suppose a network knew the true share rho of *all* people. We compare it with the N who "
        "happened to be asked, whose fraction p = k/N strays from rho with variance "
        "rho (1 - rho) / N. So an RMSE of vote fractions has a floor, and below it lies a leak. "
        "Rho is unknown; put p in its place, and p (1 - p) is on average too low, by the factor "
        "(N - 1) / N.\n\n"
        "Write `noise_floor(votes)`: whole numbers of votes, (n, answers), of one question. Return "
        "the root of the mean, over galaxies and answers, of an estimate of that variance that is "
        "right on average. Galaxies with fewer than two votes do not count, all others count "
        "alike; NaN if none is left. "
        "`noise_floor([[2, 0], [1, 1], [1, 1], [0, 2]])` gives `0.354`."
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


# 06.6 --------------------------------------------------------------------------------------------


def accuracy_among_asked(expected: np.ndarray, votes: np.ndarray, at_least: float) -> float:
    """Share of the galaxies with enough votes whose likeliest answer is the commonest one."""
    asked = votes.sum(axis=1) >= at_least
    right = expected.argmax(axis=1) == votes.argmax(axis=1)
    return float(right[asked].mean()) if asked.any() else float("nan")


def _right(expected: np.ndarray, votes: np.ndarray) -> np.ndarray:
    return expected.argmax(axis=1) == votes.argmax(axis=1)


def _each_answer(expected: np.ndarray, votes: np.ndarray, at_least: float) -> float:
    asked = votes.sum(axis=1) >= at_least
    seen = votes[asked] / votes[asked].sum(axis=1, keepdims=True)
    return float(((expected[asked] > 0.5) == (seen > 0.5)).mean())


def _expected_of_right(expected: np.ndarray, votes: np.ndarray, at_least: float) -> float:
    asked = votes.sum(axis=1) >= at_least
    return float(expected[asked, votes[asked].argmax(axis=1)].mean())


def _by_votes(expected: np.ndarray, votes: np.ndarray, at_least: float) -> float:
    people = votes.sum(axis=1)
    return float(np.average(_right(expected, votes), weights=people * (people >= at_least)))


ACCURACY_MISTAKES: Mistakes = {
    "everybody": (lambda e, v, least: _right(e, v).mean(),
        "every galaxy counted. What is argmax([0, 0, 0]), and who has said so?"),
    "anybody": (lambda e, v, least: accuracy_among_asked(e, v, 1e-9),
        "galaxies with a single vote counted too. What became of at_least?"),
    "more than": (lambda e, v, least: accuracy_among_asked(e, v, least + 1e-9),
        "galaxies with just at_least votes left out. Are those too few?"),
    "one answer": (lambda e, v, least: _right(e, v)[v.max(axis=1) >= least].mean(),
        "only galaxies on which so many people *agree*, the easy ones. How many were asked?"),
    "over all": (lambda e, v, least: (_right(e, v) & (v.sum(axis=1) >= least)).sum() / len(v),
        "the right ones among those asked, divided by all galaxies"),
    "votes set to 0": (
        lambda e, v, least: _right(e, np.where(v.sum(axis=1, keepdims=True) < least, 0, v)).mean(),
        "galaxies with few votes counted as if their votes were 0. Leave them out"),
    "wrong": (lambda e, v, least: 1 - accuracy_among_asked(e, v, least), "the share that is wrong"),
    "per cent": (lambda e, v, least: 100 * accuracy_among_asked(e, v, least),
        "per cent; a share is at most 1"),
    "each answer": (_each_answer,
        "every answer judged as a yes or no of its own, and most are an easy no. One argmax for "
        "each galaxy"),
    "expected of the right": (_expected_of_right,
        "the mean share expected for the commonest answer. Here a galaxy is right or it is not"),
    "by votes": (_by_votes, "galaxies with more votes counted more. Each one asked counts once"),
    "whole votes": (lambda e, v, least: accuracy_among_asked(e, v.astype(int), least),
        "votes cut to whole numbers. Weighted ones have decimals"),
    "rounded up": (lambda e, v, least: accuracy_among_asked(e, np.ceil(v), least),
        "votes rounded up. Weighted ones have decimals"),
    "sum rounded up": (lambda e, v, least: _right(e, v)[np.ceil(v.sum(axis=1)) >= least].mean(),
        "a number of votes rounded up before it was compared with at_least"),
    "at_least cut": (lambda e, v, least: accuracy_among_asked(e, v, int(least)),
        "at_least cut to a whole number. Weighted votes have decimals"),
    "count": (
        lambda e, v, least: accuracy_among_asked(e, v, least) * (v.sum(axis=1) >= least).sum(),
        "a number of galaxies"),
    "one argmax": (lambda e, v, least: float(e.argmax() == v.argmax()),
        "argmax of a whole table, or along its galaxies. Along which axis are the answers?"),
}  # fmt: skip


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
    rng, what = np.random.default_rng(63), "one number, a share"
    cases = ((90, 3, 5, 1), (40, 2, 3, 1), (160, 6, 2.5, 0.25), (60, 4, 0.75, 0.25), (5, 4, 1, 1))
    for n, answers, least, scale in cases:
        expected, votes = _draw(rng, n, answers)
        case = expected, votes * scale, least  # weighted votes need not be whole
        unasked = int((votes.sum(axis=1) == 0).sum())
        seen = f"{n} galaxies, {unasked} without a vote, {answers} answers and at_least = {least}"
        got = as_number(ask(*case, seen=seen), what, finite=False)
        if not close(got, accuracy_among_asked(*case), rtol=1e-5):
            return f"for {seen} you give {got:.3f}: " + (
                name_mistake(got, case, ACCURACY_MISTAKES)
                or "first who was asked often enough; then, for each of those, one argmax of what "
                "was expected and one of the votes. In the question's example two are asked, and "
                "one is right"
            )
    few = np.array([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9]]), np.array([[1.0, 9], [2, 0], [0, 0]]), 5
    seen = "three galaxies, of which one has 5 votes or more, and it is wrong"
    got = as_number(ask(*few, seen=seen), what, finite=False)
    if not close(got, 0):
        return f"for {seen} you give {got:.3g}. One galaxy is few, but it is an accuracy: 0"
    seen = "12 galaxies, of which none has 30 votes, and at_least = 30"
    got = as_number(ask(*_draw(rng, 12, 3), 30, seen=seen), what, finite=False)
    if not np.isnan(got):
        return f"for {seen} you give {got:.3g}. Is that known, if there was nothing to be right on?"
    return None


ACCURACY = Exercise(
    id="06.6",
    title="The questions that were never asked",
    question=(
        "A rebuild of the DECaLS network (Leach 2022) agrees with the volunteers on smooth or "
        "featured for 88% of galaxies, but on the bulge of an edge-on disk for 25%. All 43,273 "
        "test galaxies counted for each question, though most are not edge-on, and nobody was "
        "asked. The largest of no votes is the first column, 'boxy'.\n\n"
        "Write `accuracy_among_asked(expected, votes, at_least)`: for one question, arrays "
        "(n, answers) of expected shares and of votes (weighted, so 2.25 is possible), zeros where "
        "nobody was asked; a number above 0. Return the share of galaxies whose likeliest answer "
        "is the volunteers' commonest (no two tie), among those with at least `at_least` votes in "
        "all; NaN where there are none. "
        "`accuracy_among_asked([[.7, .3], [.2, .8], [.6, .4]], [[4, 1], [3, 2], [0, 0]], 5)` gives "
        "`0.5`."
    ),
    hints=(
        "How many people answered this question for each galaxy? A sum along the answers.",
        "A boolean array of those with enough, `asked`, picks rows: `right[asked]`.",
        "`right` compares two `argmax(axis=1)`. The mean of an empty array is no accuracy: look "
        "at `asked.any()`.",
    ),
    reference=accuracy_among_asked,
    diagnose=_check_accuracy,
    lesson="Without its 'boxy' row the same table of his gives 82%, not 25%. Say how many counted.",
)


EXERCISES = (FLOOR, ACCURACY)
