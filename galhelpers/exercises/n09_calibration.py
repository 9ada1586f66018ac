"""Exercise of notebook 09 on mending a network's error bars with one number.

One number for all galaxies is temperature scaling (Guo et al. 2017, arXiv:1706.04599), here of the
precision of a distribution of votes.
"""

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, compare_in_turn, edited

# 09.2 --------------------------------------------------------------------------------------------


def mending_factor(a: np.ndarray, b: np.ndarray, k: np.ndarray, n: np.ndarray) -> float:
    """Factor on a and b, all of shape (galaxies,), that makes k of n votes likeliest."""
    from scipy.optimize import minimize_scalar
    from scipy.stats import betabinom

    def surprise(log_factor: float) -> float:
        f = np.exp(log_factor)
        return -betabinom.logpmf(k, n, f * a, f * b).sum()

    return np.exp(minimize_scalar(surprise).x)


_BEST = "np.exp(minimize_scalar(surprise).x)"
FACTOR_MISTAKES = edited(mending_factor, {
    f"return {_BEST} => return 1 / {_BEST}":
        "the other way round. Above 1 makes a network surer: a and b are multiplied by it",
    f"{_BEST} => np.sqrt({_BEST})":
        "by how much an error bar changes, about. What do a and b change by?",
    f"{_BEST} => minimize_scalar(surprise).x": "the logarithm of the factor",
    "f * a, f * b => f * a, b":
        "only a multiplied, which moves the expected share a/(a + b) as well",
    "f * a, f * b => a, f * b":
        "only b multiplied, which moves the expected share a/(a + b) as well",
    "f * a, f * b => a + f, b + f":
        "something added to a and b, which moves the expected share. A factor was asked for",
    f"{_BEST} => ({_BEST} * (a + b)).mean()":
        "the mean precision after mending. By which factor is it larger than before?",
    "betabinom.logpmf(k, n, f * a, f * b).sum() => betabinom.logpmf(k, n, f * a, f * b)[0]":
        "the factor of the first galaxy. All of them share one",
    "betabinom.logpmf(k, n, f * a, f * b).sum() => "
    "np.median(betabinom.logpmf(k, n, f * a, f * b))":
        "the factor that is best for the middle galaxy. Galaxies far off count most: their "
        "logarithms are added",
    "k, n, f * a, f * b).sum() => k, n, f * a, f * b).sum() - 300 * log_factor":
        "pulled towards small factors by a term that nobody asked for",
    "betabinom.logpmf(k, n, f * a, f * b).sum() => "
    "np.average(betabinom.logpmf(k, n, f * a, f * b), weights=n)":
        "galaxies with more votes weighted once more. The likelihood knows how many there were",
    "betabinom.logpmf(k, n, f * a, f * b).sum() => np.log(betabinom.pmf(k, n, f * a, f * b).mean())"
    :
        "the mean of the probabilities made as large as possible. They are multiplied, or their "
        "logarithms added",
})  # fmt: skip


def _network(
    galaxies: int, factor: float, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw forecasts, and counts of people who follow beta(factor a, factor b) instead."""
    rng = np.random.default_rng(seed)
    share, precision = rng.beta(1.2, 1.2, galaxies), rng.uniform(4, 30, galaxies)
    a, b = share * precision + 0.05, (1 - share) * precision + 0.05
    n = rng.integers(1, most, galaxies)
    return a, b, rng.binomial(n, rng.beta(factor * a, factor * b)), n


def _check_factor(ask: Answer) -> str | None:
    cases = {
        f"{galaxies} galaxies of a network that is {how}": _network(galaxies, factor, most, 92)
        for galaxies, factor, most, how in (
            (300, 0.2, 40, "too sure"),
            (400, 6.0, 60, "not sure enough"),
            (200, 1.0, 90, "about as sure as it should be"),
        )
    }
    groups = {
        "Of each factor the votes have a likelihood: add up the logarithms over galaxies, and "
        "find where the sum is largest": cases
    }
    return compare_in_turn(ask, mending_factor, groups, FACTOR_MISTAKES, "one number", rtol=1e-2)


FACTOR = Exercise(
    id="09.2",
    title="One factor that mends a network",
    question=(
        "Write `mending_factor(a, b, k, n)`: by which one factor must a network's a and b be "
        "multiplied, to make it as sure as it should be? All four are arrays (galaxies,). For each "
        "galaxy the network forecasts a beta distribution with a and b of the share who say yes; k "
        "of the n people who were asked said yes. Return the factor f at which the votes of all "
        "galaxies together are likeliest, right to 1%. `mending_factor([1.0, 1.0], [1.0, 1.0], [3, "
        "9], [12, 12])` gives `2.70`.\n\n"
        "With f, k follows a beta-binomial distribution: `scipy.stats.betabinom(n, f * a, f * b)`. "
        "The expected share a/(a + b) stays; the larger f, the narrower the distribution."
    ),
    hints=(
        "Begin with the surprise at one f: `-betabinom.logpmf(k, n, f * a, f * b).sum()`.",
        "Products of hundreds of probabilities are 0 for a computer; sums of logarithms are not.",
        "Compute it on a grid such as `np.geomspace(0.01, 100, 2000)` and take the f of the "
        "smallest, or give it to `scipy.optimize.minimize_scalar` as a function of ln f.",
    ),
    reference=mending_factor,
    diagnose=_check_factor,
    lesson=(
        "A factor below 1 says that the network was too sure. It mends the width of the error "
        "bars, and no expected share."
    ),
)


EXERCISES = (FACTOR,)
