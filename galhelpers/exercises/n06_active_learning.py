"""Last exercise of notebook 06: which galaxy to ask volunteers about, by mutual information.

Houlsby et al. 2011, arXiv:1112.5745 (BALD); Walmsley et al. 2020, MNRAS 491, 1554, with binomials.
"""

from typing import Any

import numpy as np
from scipy.special import betaln, gammaln, xlogy

from galhelpers.exercises.exercise import Answer, Exercise, Mistakes, as_number, close, name_mistake

# 06.7 --------------------------------------------------------------------------------------------


def information(a: np.ndarray, b: np.ndarray, n: int) -> float:
    """Mutual information, in nats, between n votes and the pass; a, b of shape (passes,)."""
    from scipy.special import betaln, gammaln, xlogy

    k = np.arange(n + 1)
    a, b = a[:, None], b[:, None]
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    p = np.exp(choose + betaln(k + a, n - k + b) - betaln(a, b))  # (passes, outcomes)
    mean = p.mean(axis=0)
    return xlogy(p, p).sum(axis=1).mean() - xlogy(mean, mean).sum()


def _outcomes(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    k, a, b = np.arange(n + 1), a[:, None], b[:, None]
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.exp(choose + betaln(k + a, n - k + b) - betaln(a, b))


def _entropy(p: np.ndarray) -> np.ndarray:
    return -xlogy(p, p).sum(axis=-1)


def _gain(p: np.ndarray) -> float:
    return float(_entropy(p.mean(axis=0)) - _entropy(p).mean())


def _known_shares(a: np.ndarray, b: np.ndarray, n: int) -> float:
    return _gain(_outcomes(1e9 * a / (a + b), 1e9 * b / (a + b), n))


def _orders_ignored(a: np.ndarray, b: np.ndarray, n: int) -> float:
    k = np.arange(n + 1)
    return _gain(np.exp(betaln(k + a[:, None], n - k + b[:, None]) - betaln(a, b)[:, None]))


def _one_mean_pass(a: np.ndarray, b: np.ndarray, n: int) -> float:
    single = _outcomes(a.mean(keepdims=True), b.mean(keepdims=True), n)
    return float(_entropy(single)[0] - _entropy(_outcomes(a, b, n)).mean())


INFORMATION_MISTAKES: Mistakes = {
    "mixture alone": (lambda a, b, n: float(_entropy(_outcomes(a, b, n).mean(axis=0))),
        "the entropy of the committee's forecast. It is high too where all agree that people are "
        "divided, and there is nothing to learn"),
    "passes alone": (lambda a, b, n: float(_entropy(_outcomes(a, b, n)).mean()),
        "the passes' own mean entropy. Where do they contradict each other?"),
    "sign": (lambda a, b, n: -information(a, b, n),
        "less than 0. Which is more uncertain, the committee or a member?"),
    "bits": (lambda a, b, n: information(a, b, n) / np.log(2), "an answer in bits"),
    "variance": (lambda a, b, n: float((a / (a + b)).var()),
        "a variance of means. It does not know n, and takes .50 and .55 for as far apart as .01 "
        "and .06"),
    "known shares": (_known_shares,
        "binomials at a/(a + b): as if each pass knew the share exactly. What do a and b add?"),
    "one vote": (lambda a, b, n: information(a, b, 1), "what a single vote tells, whatever n is"),
    "n times one": (lambda a, b, n: n * information(a, b, 1),
        "n times what one vote tells. For n large enough, is that more than there is to know?"),
    "sum over passes": (lambda a, b, n: len(a) * information(a, b, n),
        "a sum over passes. Each is the right one with equal chance"),
    "no orders": (_orders_ignored,
        "from numbers that do not add up to 1 over k. In how many orders does a k come?"),
    "one count less": (lambda a, b, n: information(a, b, max(n - 1, 0)),
        "what n - 1 votes tell. k goes from 0 to n, and n is in the formula"),
    "one count more": (lambda a, b, n: information(a, b, n + 1),
        "what n + 1 votes tell. k goes from 0 to n"),
    "each vote": (lambda a, b, n: information(a, b, n) / max(n, 1),
        "divided by n. What all n votes tell together was asked for"),
    "no unanimous no": (lambda a, b, n: _gain(_outcomes(a, b, n)[:, 1:]),
        "from counts of 1 to n. None of n is an outcome, too"),
    "one mean pass": (_one_mean_pass,
        "the entropy of one pass with mean a and b in place of the mixture's"),
    "no unanimous yes": (lambda a, b, n: _gain(_outcomes(a, b, n)[:, :-1]),
        "from n outcomes. From none to all of n votes, how many counts are there?"),
    "relative": (lambda a, b, n: information(a, b, n) / np.log(len(a)),
        "a part of the most that could be known, ln(passes). In nats, please"),
}  # fmt: skip


def _check_information(ask: Answer) -> str | None:
    def got(a: Any, b: Any, n: int, seen: str) -> float:
        result = ask(np.array(a), np.array(b), n, seen=seen)
        return as_number(result, "one number, in nats", finite=False)

    rng = np.random.default_rng(67)
    for passes, n in ((4, 6), (3, 1), (7, 40), (2, 15)):
        a, b = rng.gamma(2, 2, (2, passes))
        seen = f"{passes} passes and n = {n}"
        value = got(a, b, n, seen)
        right = information(a, b, n)
        if not close(value, right, rtol=1e-5):
            if close(value, right, rtol=0.01):
                return (
                    f"for {seen} you give {value:.6g}, not {right:.6g}: near. Is something added "
                    "to p inside the logarithm, or are these rounded, or single precision?"
                )
            return f"for {seen} you give {value:.4g}: " + (
                name_mistake(value, (a, b, n), INFORMATION_MISTAKES, rtol=1e-3)
                or "take two passes sure of opposite answers and one vote. It tells which is "
                f"right: ln 2. Most that could be known here: {np.log(passes):.3f}"
            )
    for a, b, n, seen, why in (
        ([3.0, 9.0], [5.0, 1.0], 0, "n = 0", "What do no votes tell?"),
        ([4.0] * 5, [7.0] * 5, 30, "five equal passes", "What could votes decide among them?"),
    ):
        value = got(a, b, n, seen)
        if not close(value, 0):
            return f"for {seen} you give {value:.4g}. {why}"
    seen = "passes at .999 and .001, surely, and n = 400"
    value = got([999.0, 1], [1.0, 999], 400, seen)
    if not close(value, np.log(2), rtol=1e-5):
        return (
            f"for {seen} you give {value:.4g}, not ln 2. Some outcomes have a probability that a "
            "float calls 0: what is 0 ln 0, and which factorials leave the floats?"
        )
    return None


INFORMATION = Exercise(
    id="06.7",
    title="Which galaxy next?",
    question=(
        "You may ask n volunteers about one galaxy. The one where they will be divided? If "
        "every pass forecasts just that, their votes teach nothing. BALD asks where the *passes* "
        "forecast different votes: then these tell which pass is right. How well they tell is the "
        "mutual information between the count k and the pass: the entropy of the committee's "
        "forecast of k, less the mean entropy of its members' forecasts.\n\n"
        "Write `information(a, b, n)`: arrays (passes,) and a whole number, 0 or more. Each pass "
        "forecasts k = 0 to n with the beta-binomial of exercise 06.2; the committee with the "
        "mean of these probabilities. The entropy of a forecast is minus the sum of p ln p, where "
        "0 ln 0 = 0. Return the information in nats, in double precision. "
        "`information([999.0, 1.0], [1.0, 999.0], 1)` gives `0.685`."
    ),
    hints=(
        "First a table p of shape (passes, n + 1): with `k = np.arange(n + 1)` and `a[:, None]`, "
        "the formula of exercise 06.2 gives it in one line.",
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
