"""Exercise of notebook 09: which galaxy to ask volunteers about, by mutual information.

Houlsby et al. 2011, arXiv:1112.5745 (BALD); Walmsley et al. 2020, MNRAS 491, 1554, with binomials.
"""

from typing import Any

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, Mistakes, compare_in_turn, edited

# 09.3 --------------------------------------------------------------------------------------------


def information(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Mutual information, in nats, between n votes and the pass; a, b of shape (passes,)."""
    from scipy.special import betaln, gammaln, xlogy

    k = np.arange(n + 1)
    a, b = a[:, None], b[:, None]
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    p = np.exp(choose + betaln(k + a, n - k + b) - betaln(a, b))  # (passes, outcomes)
    mean = p.mean(axis=0)
    return xlogy(p, p).sum(axis=1).mean() - xlogy(mean, mean).sum()


INFORMATION_MISTAKES: Mistakes = {**edited(information, {
    "return xlogy(p, p).sum(axis=1).mean() => return 0":
        "the entropy of the committee's forecast. It is high too where all agree that people are "
        "divided, and there is nothing to learn",
    "return => return -1 *; - xlogy(mean, mean).sum() => ":
        "the passes' own mean entropy. Where do they contradict each other?",
    "return => return -1 *; - xlogy(mean, mean) => + xlogy(mean, mean)":
        "less than 0. Which is more uncertain, the committee or a member?",
    "xlogy( => 1 / np.log(2) * xlogy(": "an answer in bits",
    "a, b = a[:, None], b[:, None] => a, b = (1e9 * x[:, None] / (a + b)[:, None] for x in (a, b))":
        "binomials at a/(a + b): as if each pass knew the share exactly. What do a and b add?",
    "choose + => ":
        "from numbers that do not add up to 1 over k. In how many orders does a k come?",
    ".mean() => .sum(); xlogy(mean, mean) => len(p) * xlogy(mean, mean)":
        "a sum over passes. Each is the right one with equal chance",
    "mean = p.mean(axis=0) => mean = p[:, 1:].mean(axis=0); xlogy(p => xlogy(p[:, 1:]; , p) => "
    ", p[:, 1:])": "from counts of 1 to n. None of n is an outcome, too",
    "mean = p.mean(axis=0) => mean = p[:, :-1].mean(axis=0); xlogy(p => xlogy(p[:, :-1]; , p) => "
    ", p[:, :-1])": "from n outcomes. From none to all of n votes, how many counts are there?",
    "mean = p.mean(axis=0) => a, b = a.mean(), b.mean()\n    "
    "mean = np.exp(choose + betaln(k + a, n - k + b) - betaln(a, b))":
        "the entropy of one pass with mean a and b in place of the mixture's",
}),
    "variance": (lambda a, b, n: (a / (a + b)).var(),
        "a variance of means. It does not know n, and takes .50 and .55 for as far apart as .01 "
        "and .06"),
    "one vote": (lambda a, b, n: information(a, b, 1), "what a single vote tells, whatever n is"),
    "n times one": (lambda a, b, n: n * information(a, b, 1),
        "n times what one vote tells. For n large enough, is that more than there is to know?"),
    "one count less": (lambda a, b, n: information(a, b, max(n - 1, 0)),
        "what n - 1 votes tell. k goes from 0 to n, and n is in the formula"),
    "one count more": (lambda a, b, n: information(a, b, n + 1),
        "what n + 1 votes tell. k goes from 0 to n"),
    "each vote": (lambda a, b, n: information(a, b, n) / max(n, 1),
        "divided by n. What all n votes tell together was asked for"),
    "relative": (lambda a, b, n: information(a, b, n) / np.log(len(a)),
        "a part of the most that could be known, ln(passes). In nats, please"),
}  # fmt: skip


def _check_information(ask: Answer) -> str | None:
    rng = np.random.default_rng(67)
    groups: dict[str, dict[str, tuple[Any, ...]]] = {
        "If yours is near, is something added to p inside the logarithm, or in single precision?": {
            "a = [1, 1, 9], b = [9, 9, 1] and n = 2": (*np.array([[1, 1, 9.0], [9, 9, 1]]), 2),
            **{
                f"{passes} passes and n = {n}": (*rng.gamma(2, 2, (2, passes)), n)
                for passes, n in ((4, 6), (3, 1), (7, 40), (2, 15))
            },
        },
        "What do no votes tell?": {"n = 0": (np.array([3.0, 9.0]), np.array([5.0, 1.0]), 0)},
        "What could votes decide among them?": {
            "five equal passes": (np.full(5, 4.0), np.full(5, 7.0), 30)
        },
        "It should be ln 2. If yours is not near, what is 0 ln 0, and which factorials leave the "
        "floats?": {
            "passes at .999 and .001, surely, and n = 400": (
                np.array([999.0, 1]),
                np.array([1.0, 999]),
                400,
            )
        },
    }
    what = "one number, in nats"
    return compare_in_turn(ask, information, groups, INFORMATION_MISTAKES, what, rtol=1e-5)


INFORMATION = Exercise(
    id="09.3",
    title="What would their votes tell?",
    question=(
        "Write `information(a, b, n)`: how many nats will the votes of n people on a yes-or-no "
        "question tell about which pass of a committee is right? `a` and `b` are arrays (passes,), "
        "`n` is a whole number, 0 or more. `information([999.0, 1.0], [1.0, 999.0], 1)` gives "
        "`0.685`: one vote nearly settles which of two contrary passes is right, and that is worth "
        "ln 2 = 0.693.\n\n"
        "Each pass forecasts the count k = 0 to n with a beta-binomial distribution "
        "(`scipy.stats.betabinom(n, a, b)`), the committee with the mean of these probabilities. "
        "The information is the entropy of the committee's forecast, less the mean entropy of the "
        "passes' forecasts. The entropy of a forecast is minus the sum of p ln p, where 0 ln 0 = "
        "0. Work in double precision. This is BALD: where every pass forecasts the same divided "
        "people, it is 0."
    ),
    hints=(
        "First a table p of shape (passes, n + 1): with `k = np.arange(n + 1)` and `a[:, None]`, "
        "`betabinom.pmf(k, n, a[:, None], b[:, None])` gives it in one line.",
        "The committee's forecast is `p.mean(axis=0)`. Its entropy is one number, the passes' "
        "entropies are one for each pass.",
        "`scipy.special.xlogy(p, p)` is p ln p, and 0 where p is 0. Entropy of the mean, minus "
        "mean of the entropies.",
    ),
    reference=information,
    diagnose=_check_information,
    lesson=(
        "From 0 to ln(passes). Of two passes with one mean, one sure and one not, a single vote "
        "tells nothing, and two tell something."
    ),
)

EXERCISES = (INFORMATION,)
