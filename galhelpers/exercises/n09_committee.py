"""Exercises of notebook 09 on a committee of passes: its interval, and its way down the tree.

The faulty ways are those in the code of Zoobot (Walmsley et al. 2022, MNRAS 509, 3966) and of
galaxy-datasets, which holds its trees.
"""

from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtri

from galhelpers.exercises.exercise import Answer, Exercise, Mistakes, compare, edited

# 09.4 --------------------------------------------------------------------------------------------


def mixture_interval(a: np.ndarray, b: np.ndarray, level: float) -> tuple[float, float]:
    """Central interval of the mixture of beta distributions a, b of shape (passes,)."""
    from scipy.optimize import brentq
    from scipy.special import betainc

    def quantile(q: float) -> float:
        return brentq(lambda x: betainc(a, b, x).mean() - q, 0, 1, xtol=1e-6)

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def _ends(a: Any, b: Any, level: float) -> tuple[np.ndarray, np.ndarray]:
    return betaincinv(a, b, (1 - level) / 2), betaincinv(a, b, (1 + level) / 2)


def _mean_and_variance(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    share, total = a / (a + b), a + b
    return share.mean(), (share * (1 - share) / (total + 1)).mean() + share.var()


def _bell(a: np.ndarray, b: np.ndarray, level: float) -> tuple[float, float]:
    mean, variance = _mean_and_variance(a, b)
    half = ndtri((1 + level) / 2) * variance**0.5
    return mean - half, mean + half


def _one_beta(a: np.ndarray, b: np.ndarray, level: float) -> Any:
    mean, variance = _mean_and_variance(a, b)
    total = mean * (1 - mean) / variance - 1
    return _ends(mean * total, (1 - mean) * total, level)


_MIXED = "betainc(a, b, x).mean() => np.average(betainc(a, b, x), weights=a + b)"
INTERVAL_MISTAKES: Mistakes = {
    "median of ends": (lambda a, b, level: tuple(np.median(end) for end in _ends(a, b, level)),
        "the median of the passes' own ends, as in Zoobot. What became of their disagreement?"),
    "mean of ends": (lambda a, b, level: tuple(end.mean() for end in _ends(a, b, level)),
        "the mean of the passes' own ends. Two passes at 0.1 and 0.9, and it lies between them, "
        "where neither looks"),
    "mean a and b": (lambda a, b, level: _ends(a.mean(), b.mean(), level),
        "that of a single beta distribution with the mean a and b. A committee is not its mean"),
    "sums": (lambda a, b, level: _ends(a.sum(), b.sum(), level),
        "a and b added up, as if each pass had seen other volunteers. Do more passes make votes?"),
    "widest": (lambda a, b, level: (_ends(a, b, level)[0].min(), _ends(a, b, level)[1].max()),
        "from the lowest to the highest end of any pass"),
    "both tails": (lambda a, b, level: mixture_interval(a, b, 2 * level - 1),
        "the whole rest left out on each side. It has two sides to share"),
    "bell curve": (_bell,
        "mean plus or minus some standard deviations. Can a share be below 0? Is it symmetric?"),
    "one beta": (_one_beta,
        "one beta distribution with the committee's mean and variance. Two humps become one"),
    "means only": (
        lambda a, b, level: tuple(np.quantile(a / (a + b), [(1 - level) / 2, (1 + level) / 2])),
        "quantiles of the passes' means. Each pass has doubts of its own, too"),
    "weighted": (
        edited(mixture_interval, {_MIXED: ""})[_MIXED][0],
        "that of a committee in which the sure passes (large a + b) have more to say. One pass is "
        "as likely picked as another"),
    "one side": (lambda a, b, level: (0.0, mixture_interval(a, b, 2 * level - 1)[1]),
        "from 0 up. The rest was to be shared by two sides"),
    "outside": (lambda a, b, level: mixture_interval(a, b, 1 - level),
        "the middle that should lie outside: level and 1 - level have changed places"),
    "first pass": (lambda a, b, level: _ends(a[0], b[0], level), "the first pass alone"),
}  # fmt: skip
COMMITTEE = np.array([0.3, 0.4, 0.5, 0.6, 0.7])  # of the question; a + b = 20 in each pass


def _check_interval(ask: Answer) -> str | None:
    what = "two numbers, (low, high)"
    share, total = np.array([0.12, 0.3, 0.38, 0.62, 0.85]), np.array([12.0, 40, 25, 30, 60])
    drawn = [
        ("five passes", share, total, 0.9),
        ("five passes that expect 0.3 to 0.7", COMMITTEE, np.full(5, 20.0), 0.8),
        ("three passes of one opinion", np.full(3, 0.3), np.full(3, 13.0), 0.9),
        ("a single pass", np.array([0.06]), np.array([6.0]), 0.5),
        ("ten passes near 0, two near 1", np.repeat([0.05, 0.95], [10, 2]), np.full(12, 25), 0.95),
        ("three passes, very sure", np.array([0.3017, 0.504, 0.7043]), np.full(3, 1e6), 0.9),
        ("two passes that think of 0 and 1", np.array([0.4, 0.7]), np.array([0.8, 1.2]), 0.8),
    ]
    cases = {
        f"{name} and level {level}": (mean * sureness, (1 - mean) * sureness, level)
        for name, mean, sureness, level in drawn
    }
    return compare(
        ask, mixture_interval, cases, INTERVAL_MISTAKES, what, ("low end", "high end"),
        otherwise="As much of the mixture on either side was asked for, with both ends right to "
        "0.001 (of the share, not of a probability)", rtol=0, atol=1.1e-3,
    )  # fmt: skip


INTERVAL = Exercise(
    id="09.4",
    title="The interval of a committee",
    question=(
        "Write `mixture_interval(a, b, level)`: the central interval of a committee. `a` and `b` "
        "are arrays (passes,), sure or not; `level` is a number such as 0.9. Return `(low, high)`, "
        "two shares, each within 0.001 of the right share. `mixture_interval([1.0], [1.0], 0.9)` "
        "gives `(0.05, 0.95)`.\n\n"
        "Each pass gives a beta distribution of the share who would say yes. The committee's "
        "forecast is their *mixture*: pick a pass at random, then draw from it. (1 - level)/2 of "
        "the mixture lies below low, and as much above high. No formula gives the two ends, but "
        "for one beta `scipy.special.betainc(a, b, x)` is the probability below x. A common "
        "mistake takes the ends of each pass's own interval and their median over passes. Let five "
        "passes, each with a + b = 20, expect 0.3, 0.4, 0.5, 0.6 and 0.7: the middle one then "
        "speaks for all, from 0.32 to 0.68, and this '90%' interval holds 64% of the mixture."
    ),
    hints=(
        "A pass is picked at random: how probable is a share below x, all passes together?",
        "It is `betainc(a, b, x).mean()`, which rises with x from 0 to 1. At which x does it reach "
        "(1 - level)/2?",
        "Either compute it on 1,000 values of x or more and interpolate (`np.interp`), or let "
        "`scipy.optimize.brentq(f, 0, 1)` find where f is 0.",
    ),
    reference=mixture_interval,
    diagnose=_check_interval,
    lesson="Probabilities may be averaged, quantiles may not: the mean goes inside.",
)

# 09.5 --------------------------------------------------------------------------------------------


def share_asked(featured: np.ndarray, edge_on: np.ndarray) -> np.ndarray:
    """Share of all volunteers whom the committee expects to be asked about the bar, (galaxies,)."""
    return (featured * (1 - edge_on)).mean(axis=0)


SHARE_MISTAKES: Mistakes = {
    "product of means": (lambda f, e: f.mean(axis=0) * (1 - e.mean(axis=0)),
        "a product of means. Is a pass that sees a disk the one that sees it edge-on? Within a "
        "pass the two go together"),
    "published tree": (lambda f, e: f.mean(axis=0),
        "everybody who saw features asked. Who among them is not asked about the bar?"),
    "edge-on yes": (lambda f, e: (f * e).mean(axis=0),
        "those asked who saw the disk edge-on. Down which of its two answers lies the bar?"),
    "face-on of all": (lambda f, e: 1 - e.mean(axis=0),
        "'not edge-on' as a share of everybody. Who was asked whether it is?"),
    "subtracted": (lambda f, e: (f - e).mean(axis=0),
        "a difference, as if both were shares of all people. Edge-on is a share of whom?"),
    "weakest link": (lambda f, e: np.minimum(f, 1 - e).mean(axis=0),
        "the smaller of two shares. Half of a half is a quarter"),
    "everybody else": (lambda f, e: 1 - (f * e).mean(axis=0),
        "everybody but those who saw a disk edge-on. Are people who said 'smooth' asked?"),
    "median": (lambda f, e: np.median(f * (1 - e), axis=0),
        "the median over passes. What is expected is a mean"),
    "sum": (lambda f, e: (f * (1 - e)).sum(axis=0), "a sum over passes, which can exceed 1"),
    "per cent": (lambda f, e: 100 * share_asked(f, e), "per cent. A share is at most 1"),
    "geometric": (lambda f, e: np.exp(np.log(f * (1 - e)).mean(axis=0)),
        "a geometric mean over passes; one doubtful pass would pull it all down"),
}  # fmt: skip


def _check_share(ask: Answer) -> str | None:
    rng = np.random.default_rng(66)
    agreed = np.tile([0.94, 0.02], (6, 1)), np.tile([0.97, 0.4], (6, 1))
    # Passes that see a disk see its arms as well, so not the edge: the two are correlated.
    sees = rng.uniform(0.05, 0.95, (5, 4))
    torn = sees, (0.9 - 0.8 * sees + rng.uniform(0, 0.1, (5, 4)))
    cases = {
        "6 passes of one opinion, of a knife's edge and another": agreed,
        "5 passes that disagree, 4 galaxies": torn,
        "3 other passes, 7 galaxies": tuple(rng.uniform(0.01, 0.99, (2, 3, 7))),
    }
    return compare(
        ask, share_asked, cases, SHARE_MISTAKES, "one share for each galaxy, shape (galaxies,)",
        otherwise="of 100 people, how many say featured, and how many of those 'not edge-on'? In "
        "the question's example 2 by one pass, 72 by the other", rtol=1e-5,
    )  # fmt: skip


SHARE = Exercise(
    id="09.5",
    title="Who is asked?",
    question=(
        "Write `share_asked(featured, edge_on)`: which share of all people does a committee "
        "expect to be asked about the bar? Both are arrays (passes, galaxies), a pass's forecast "
        "for a galaxy: `featured` is the share of all people who see features or a disk, "
        "`edge_on` the share 'yes' among those who are *asked that*. Each pass is right with "
        "equal chance. Return one share for each galaxy. "
        "`share_asked([[0.2], [0.8]], [[0.9], [0.1]])` gives `[0.37]`."
        "\n\n"
        "The bar is asked only of people who saw features or a disk, and then said 'not edge-on'. "
        "A published list of parents hangs it on 'featured' alone. Take a disk like a knife's "
        "edge: 0.94 of all people see features, and 0.97 of those say edge-on. By that list 94% "
        "are asked about its bar; in truth it is 3%."
    ),
    hints=(
        "For one pass: of 100 people, `featured` go on; which part of those says 'not edge-on'?",
        "Each pass has its own product. What the committee expects is the mean over passes.",
        "Multiply first, then take the mean along axis 0. The mean of a product is not the product "
        "of the means, unless the two have nothing to do with each other.",
    ),
    reference=share_asked,
    diagnose=_check_share,
    lesson="Down the tree in each pass, then across passes: so parent and child stay a pair.",
)

EXERCISES = (INTERVAL, SHARE)
