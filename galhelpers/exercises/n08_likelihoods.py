"""Exercises of notebook 08 on votes as draws: how surprised to be by k of n.

Walmsley et al. 2020, MNRAS 491, 1554 (binomial, one question); Walmsley et al. 2022, MNRAS 509,
3966 (Dirichlet-multinomial, all questions; with two answers it is the beta-binomial of 08.1).
"""

from typing import Any

import numpy as np
from scipy.special import betaln, digamma, gammaln, xlog1py, xlogy

from galhelpers.exercises.exercise import Answer, Exercise, Mistakes, compare_in_turn, edited

WHAT = "one number, a surprise in nats"

# 08.4 --------------------------------------------------------------------------------------------


def binomial_nll(k: Any, n: Any, rho: Any) -> Any:
    """Surprise at k of n votes, in nats, if a share rho of all people would vote so."""
    from scipy.special import gammaln, xlog1py, xlogy

    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)  # log of the number of orders
    return -(choose + xlogy(k, rho) + xlog1py(n - k, -rho))


def _orders(k: Any, n: Any) -> Any:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


def _bell_curve(k: Any, n: Any, rho: Any) -> Any:
    variance = n * rho * (1 - rho)
    return (k - n * rho) ** 2 / (2 * variance) + np.log(2 * np.pi * variance) / 2


BINOMIAL_MISTAKES: Mistakes = {
    "fraction": (lambda k, n, rho: (binomial_nll(k, n, rho) + _orders(k, n)) / n,
        "the cross-entropy of the fraction k/n, the same for 7 of 10 as for 700 of 1,000. Where "
        "have the people gone?"),
    "no constant": (lambda k, n, rho: binomial_nll(k, n, rho) + _orders(k, n),
        "n times a cross-entropy. A term without rho is missing: in how many orders can these yes "
        "and no come?"),
    "constant added": (lambda k, n, rho: binomial_nll(k, n, rho) + 2 * _orders(k, n),
        "the number of orders with the wrong sign: does a count that can come about in many ways "
        "surprise you more, or less?"),
    "per vote": (lambda k, n, rho: binomial_nll(k, n, rho) / n,
        "a surprise for each vote. The chance of several draws together: a mean, or a product?"),
    "only yes": (lambda k, n, rho: -_orders(k, n) - xlogy(k, rho),
        "no word of those who said no. How likely was it that they would?"),
    "probability": (lambda k, n, rho: np.exp(-binomial_nll(k, n, rho)),
        "the probability itself. The less likely, the larger a surprise should be"),
    "sign": (lambda k, n, rho: -binomial_nll(k, n, rho),
        "a logarithm below 0. A loss is something to make small"),
    "bits": (lambda k, n, rho: binomial_nll(k, n, rho) / np.log(2),
        "in bits. Nats come from the natural logarithm"),
    "swapped": (lambda k, n, rho: binomial_nll(n - k, n, rho),
        "right if rho were the share who say no. Which votes does k count?"),
    "bell curve": (_bell_curve,
        "the bell curve, near for many votes and wrong for a few. The exact formula is as short"),
}  # fmt: skip


def _votes(*cases: tuple[float, float, float]) -> dict[str, tuple[Any, ...]]:
    return {"{} of {} votes and rho = {:g}".format(*case): case for case in cases}


def _check_binomial(ask: Answer) -> str | None:
    table = np.array([[0], [3], [12]]), 12, np.array([0.1, 0.25, 0.5, 0.9])
    some, edges = [0, 0, 5, 1, 4, 0, 0], [0.3, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    mixed = np.array(some), np.array([0, 5, 5, 5, 5, 0, 0]), np.array(edges)
    column = np.array([[0], [2]])
    groups: dict[str, dict[str, tuple[Any, ...]]] = {
        "try two people and rho = 1/2. Of four equally likely pairs of answers two have one yes, "
        "so k = 1 has the surprise ln 2": _votes(
            (7, 10, 0.6), (2, 9, 0.35), (1, 1, 0.2), (0, 4, 0.3)
        ),
        "Single numbers are right. Is anything summed, or kept from before?": {
            "k of shape (3, 1), n = 12 and rho of shape (4,)": table
        },
        "Nothing else could have come. For 0 times ln 0, what is the limit of x ln x at 0?": _votes(
            (0, 5, 0.0), (5, 5, 1.0)
        ),
        "Who was there to surprise you?": _votes((0, 0, 0.3), (0, 0, 0.0), (0, 0, 1.0)),
        "By rho nobody would, or all would, and one of 5 did otherwise. Is that as if it had to be "
        "so, or has rho been moved to please the logarithm?": _votes((1, 5, 0.0), (4, 5, 1.0)),
        "A factor of the probability may leave the floats: where should the logarithm be taken? If "
        "yours is near, is it single precision (float32), which keeps 7 digits of ln 2,000!, or a "
        "formula for many votes?": _votes((1400, 2000, 0.65)),
        "Single numbers are right, but not in an array that also has other cases. Each place has "
        "its own": {
            "k, n and rho of shape (7,), certain and impossible votes among them": mixed,
            "k and n of shape (2, 1), rho of shape (3,)": (column, column, np.array([0.3, 0, 1])),
        },
    }
    return compare_in_turn(ask, binomial_nll, groups, BINOMIAL_MISTAKES, WHAT, rtol=1e-6)


BINOMIAL = Exercise(
    id="08.4",
    title="From cross-entropy to counted votes",
    question=(
        "Write `binomial_nll(k, n, rho)`: the surprise, in nats, at k of n votes for yes if a "
        "share rho of *all* people would say yes. `binomial_nll(1, 2, 0.5)` gives `0.693`: of four "
        "equally likely pairs of answers two have one yes.\n\n"
        "It is n times the cross-entropy of the fraction k/n, plus a term that does not know rho: "
        "the number of orders in which k yes and n - k no can come. (Walmsley et al. 2020 train "
        "with this loss.)\n\n"
        "Numbers or arrays that broadcast, with 0 <= k <= n, n of up to some thousands and "
        "0 <= rho <= 1, in double precision. Votes that had to come (k = 0 at rho = 0) surprise by "
        "0, impossible ones by infinity, and n = 0 by 0, in arrays too."
    ),
    hints=(
        "One order, say yes, yes, no, has the probability rho rho (1 - rho). How many orders have "
        "the same k?",
        "-ln p = -ln(n! / (k! (n - k)!)) - k ln rho - (n - k) ln(1 - rho). Only the first term "
        "does not know rho.",
        "`scipy.special.xlogy(k, rho)` is k ln rho, with 0 ln 0 = 0; `xlog1py(n - k, -rho)` does "
        "the same for those who say no.",
        "`scipy.special.gammaln(n + 1)` is ln n!, without ever computing n!.",
    ),
    reference=binomial_nll,
    diagnose=_check_binomial,
    lesson="The term without rho moves no weight, but without it the values are no probabilities.",
)

# 08.1 --------------------------------------------------------------------------------------------


def beta_binomial_nll(k: Any, n: Any, a: Any, b: Any) -> Any:
    """Surprise at k of n votes, in nats, when the share who say yes is drawn from beta(a, b)."""
    from scipy.special import betaln, gammaln

    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return betaln(a, b) - betaln(k + a, n - k + b) - choose


def _mean_surprise(k: Any, n: Any, a: Any, b: Any) -> Any:
    both = digamma(a + b)
    return -_orders(k, n) - k * (digamma(a) - both) - (n - k) * (digamma(b) - both)


def _density(k: Any, n: Any, a: Any, b: Any) -> Any:
    fraction = np.divide(k, n)
    return betaln(a, b) - xlogy(a - 1, fraction) - xlog1py(b - 1, -fraction)


BETA_BINOMIAL_MISTAKES: Mistakes = {
    "expected share": (lambda k, n, a, b: binomial_nll(k, n, a / (a + b)),
        "the binomial at the expected share, a/(a + b). Then a forecast with a + b = 5 and one "
        "with 5,000 are surprised alike; what does their sum say?"),
    "mean surprise": (_mean_surprise,
        "a mean of surprises. First the mean of the probability over rho, then its logarithm"),
    "no constant": (lambda k, n, a, b: beta_binomial_nll(k, n, a, b) + _orders(k, n),
        "one order of the votes only. The binomial coefficient stood before the integral"),
    "not normalised": (lambda k, n, a, b: beta_binomial_nll(k, n, a, b) - betaln(a, b),
        "an integral over something that is no density. What does rho^(a-1) (1-rho)^(b-1) "
        "integrate to by itself?"),
    "exponents": (
        lambda k, n, a, b: -_orders(k, n) - betaln(k + a - 1, n - k + b - 1) + betaln(a, b),
        "as if the integral's x and y were the exponents. There they stand as x - 1 and y - 1"),
    "swapped": (lambda k, n, a, b: beta_binomial_nll(k, n, b, a),
        "right if b went with yes. With a larger than b, which answer is expected?"),
    "powers": (lambda k, n, a, b: beta_binomial_nll(k, n, a + 1, b + 1),
        "as if the density were rho^a (1-rho)^b: one yes and one no too many"),
    "density": (_density,
        "a density at the fraction k/n. How does it know how many people were asked?"),
    "factorials": (
        lambda k, n, a, b: (
            betaln(a, b) - betaln(k + a, n - k + b) - gammaln(n) + gammaln(k) + gammaln(n - k)
        ),
        "factorials one too low: which x has Γ(x) = 3!?"),
    "per vote": (lambda k, n, a, b: beta_binomial_nll(k, n, a, b) / n,
        "a surprise for each vote; all of them together were asked for"),
    "probability": (lambda k, n, a, b: np.exp(-beta_binomial_nll(k, n, a, b)),
        "a probability, and not yet the surprise at it"),
    "sign": (lambda k, n, a, b: -beta_binomial_nll(k, n, a, b),
        "less than 0: ln p, where -ln p was asked for"),
}  # fmt: skip


_WHOLE = "as for 2 of 7 (Zoobot's `.int()` does so too). Half a vote is half a vote"


def _check_beta_binomial(ask: Answer) -> str | None:
    def votes(*cases: tuple[float, float, float, float]) -> dict[str, tuple[Any, ...]]:
        return {"{:g} of {:g} votes, a = {:g} and b = {:g}".format(*case): case for case in cases}

    column, many = np.array([[0.0], [3.0], [9.0]]), np.array([0.5, 1.0, 4.0, 30.0])
    people, sure = np.array([0.0, 7.2, 3.0, 0.0]), np.array([2.0, 7.0, 1.3, 40.0])
    first: dict[str, dict[str, tuple[Any, ...]]] = {
        "try one vote. It is a yes with the expected share, a/(a + b)": votes(
            (7, 10, 3.0, 2.0), (1, 8, 0.4, 2.5), (4, 6, 1.0, 1.0)
        ),
        "Did a power or a Γ leave the floats? Or is it single precision? ln Γ(10^6) is "
        "12,815,504.6, of which float32 keeps no decimals": votes(
            (12, 30, 90.0, 60.0), (250, 400, 2000.0, 1000.0), (30, 40, 7e5, 3e5)
        ),
        "No vote for yes is a count like any other": votes((0, 9, 0.5, 2.0)),
        "Single numbers are right": {
            "k of shape (3, 1), n = 9, a of shape (4,) and b = 2": (column, 9.0, many, 2.0),
            "k of shape (3, 1), n = 9, a = 2 and b of shape (4,)": (column, 9.0, 2.0, many + 1),
        },
        "A question not asked must not enter a loss": votes((0, 0, 3.0, 2.0)),
    }
    parts: dict[str, dict[str, tuple[Any, ...]]] = {
        "Whole votes are right. Which x! did you take? Is a vote rounded, or less than one not "
        "counted? scipy's `betabinom` takes whole votes only": votes(
            (2.5, 7.2, 3.0, 2.0), (0.3, 0.7, 3.0, 2.0), (4.8, 6.0, 3.0, 2.0)
        ),
        "Single numbers are right. Each place has its own case": {
            "k and n of shape (4,), two of them 0": (people / 3, people, sure, 2.0)
        },
    }
    cut = edited(beta_binomial_nll, {
        f"choose = => k, n = np.{how}(k), np.{how}(n)\n    choose =": _WHOLE
        for how in ("trunc", "rint")
    })  # fmt: skip
    return compare_in_turn(
        ask, beta_binomial_nll, first, BETA_BINOMIAL_MISTAKES, WHAT, rtol=1e-5
    ) or compare_in_turn(ask, beta_binomial_nll, parts, cut, WHAT, rtol=1e-5)


BETA_BINOMIAL = Exercise(
    id="08.1",
    title="A network that does not know rho",
    question=(
        "Write `beta_binomial_nll(k, n, a, b)`: the surprise, in nats, at k of n votes for yes, "
        "when the share rho who would say yes is not known but has a beta distribution with the "
        "concentrations a and b. `beta_binomial_nll(1, 1, 3.0, 1.0)` gives `0.288`, which is "
        "-ln(3/4).\n\n"
        "First, at a known rho the probability is n! / (k! (n-k)!) rho^k (1-rho)^(n-k). Second, "
        "average it over the density rho^(a-1) (1-rho)^(b-1) / B(a, b): the powers add up, and the "
        "integral of rho^(x-1) (1-rho)^(y-1) from 0 to 1 is B(x, y) = Γ(x) Γ(y) / Γ(x+y). Third, "
        "take minus the logarithm.\n\n"
        "Numbers or arrays that broadcast, in double precision (a and b may be a million), with "
        "all constants; 0 for n = 0. Votes may be weighted, such as 2.5 of 7.2 or 0.3 of 0.7: read "
        "x! as Γ(x + 1). `scipy.special.gammaln` gives ln Γ, `betaln` gives ln B."
    ),
    hints=(
        "Under the integral stand rho^(k+a-1) (1-rho)^(n-k+b-1). What are x and y?",
        "p = n! / (k! (n-k)!) times B(k + a, n - k + b) / B(a, b), where B(x, y) is "
        "Γ(x) Γ(y) / Γ(x + y).",
        "Take logarithms term by term: `scipy.special.betaln(x, y)` is ln B(x, y), and "
        "`gammaln(n + 1)` is ln n!, for weighted votes too.",
    ),
    reference=beta_binomial_nll,
    diagnose=_check_beta_binomial,
    lesson="With a = b = 1 it is ln(n + 1), every k alike; with large a + b it is the binomial.",
)

EXERCISES = (BINOMIAL, BETA_BINOMIAL)
