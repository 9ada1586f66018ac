"""Are the error bars honest? Coverage, probability integral transform, reliability, and a repair.

If a network's distributions are right, the true value lies below its 30 % quantile for 30 % of
galaxies, and so for every level: the *probability integral transform* (PIT), the probability it
gave to values below the true one, is uniform. The central 90 % interval then holds the truth for
90 % of galaxies. Votes are whole numbers: where a distribution jumps, the PIT is drawn at random
between the two ends of the jump, else it could not be uniform (Czado, Gneiting & Held 2009,
Biometrics 65, 1254).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import betaln, gammaln
from torch import Tensor

from galhelpers.learning.posterior import Posterior, as_votes
from galhelpers.trees import Tree

LEVELS = (0.5, 0.8, 0.9, 0.95)


def pit_of_votes(posterior: Posterior, votes: np.ndarray | Tensor, seed: int = 0) -> np.ndarray:
    """Randomised PIT of the votes for each answer, given how many people answered its question.

    Parameters
    ----------
    posterior
        Of n galaxies.
    votes
        Whole votes (n, n_answers); weighted ones are rounded. NaN where nobody was asked.
    seed
        Of the draws between the two ends of a jump.

    Returns
    -------
    ndarray
        (n, n_answers), between 0 and 1; NaN where nobody answered the question.

    Raises
    ------
    ValueError
        For votes below 0.
    """
    votes = np.rint(as_votes(votes))
    people = people_asked(votes, posterior.tree)
    votes = np.where(people > 0, votes, 0)
    alpha, total = posterior.alpha.numpy(), posterior.total.numpy()
    below = np.zeros(votes.shape)
    at = _beta_binomial(votes, people, alpha, total)
    for k in range(int(votes.max(initial=0))):
        rows, columns = np.nonzero(votes > k)
        here = (slice(None), rows, columns)
        below[rows, columns] += _beta_binomial(
            np.full(len(rows), k), people[rows, columns], alpha[here], total[here]
        )
    u = np.random.default_rng(seed).random(votes.shape)
    return np.where(people > 0, np.clip(below + u * at, 0, 1), np.nan)


def pit_of_fractions(posterior: Posterior, fractions: np.ndarray) -> np.ndarray:
    """PIT of true fractions among those who are asked, (n, n_answers): only simulations have them.

    NaN stays NaN: put it where a question does not matter.
    """
    return posterior.cdf(fractions)


def coverage(pit: np.ndarray, tree: Tree, levels: Sequence[float] = LEVELS) -> pd.DataFrame:
    """Share of galaxies and answers whose value lies in the central interval of each level.

    Parameters
    ----------
    pit
        (n, n_answers), NaN where an answer does not count.
    levels
        Nominal probabilities.

    Returns
    -------
    pandas.DataFrame
        A row a question, and ``all``; a column a level, and ``n`` (galaxies with a value). Of a
        question with two answers one counts: the other says the same.
    """
    rows = {}
    counted = np.ones(tree.n_answers, dtype=bool)
    for question, columns in tree.slices.items():
        if columns.stop - columns.start == 2:
            counted[columns.stop - 1] = False
        rows[question] = pit[:, columns][:, counted[columns]]
    table = {name: _inside(values, levels) for name, values in rows.items()}
    table["all"] = _inside(pit[:, counted], levels)
    return pd.DataFrame.from_dict(table, orient="index", columns=[*levels, "n"]).astype({"n": int})


@dataclass(frozen=True)
class ConcentrationScale:
    """Factors that make a network as sure as it should be: a distribution for each question.

    Attributes
    ----------
    factors
        (f,): what the concentrations of a pass are multiplied by.
    weights
        (f, n_questions): how often each of them; the columns sum to 1.
    """

    factors: np.ndarray
    weights: np.ndarray

    def apply(self, posterior: Posterior, seed: int = 0) -> Posterior:
        """Give each pass of a posterior its own factor, question by question.

        What each pass expects stays as it is. The more passes, the closer their factors are to the
        distribution; use 20 or more.
        """
        rng = np.random.default_rng(seed)
        passes = len(posterior.concentration)
        places = (np.arange(passes) + 0.5) / passes
        columns = [
            rng.permutation(self.factors[np.searchsorted(w.cumsum()[:-1], places)])
            for w in self.weights.T
        ]
        return posterior.scaled(np.stack(columns, axis=1))


def fit_concentration_scale(
    posterior: Posterior, votes: np.ndarray | Tensor, steps: int = 200
) -> ConcentrationScale:
    """Find how sure the network should be, from the votes of galaxies that it did not train on.

    A network may be too sure of itself, or not enough, or be right about most galaxies and quite
    wrong about some. So its precision is multiplied not by one number (temperature scaling, Guo et
    al. 2017, arXiv:1706.04599) but by one of several, from 1/16 to 64, as often as makes the votes
    likeliest: weights of a mixture, found by expectation maximisation (Dempster, Laird & Rubin
    1977, J. R. Stat. Soc. B 39, 1). The result is a mixture of Dirichlet distributions again.

    Parameters
    ----------
    posterior, votes
        Of the validation part; votes (n, n_answers), NaN or 0 where nobody was asked.
    steps
        Of the expectation maximisation; the likelihood never falls.
    """
    tree = posterior.tree
    factors = 2.0 ** np.arange(-4, 7)
    nll = np.stack(
        [posterior.scaled(np.full(tree.n_questions, f)).nll(votes) for f in factors]
    )  # (factors, galaxies, questions)
    likelihood = np.exp(nll.min(axis=0) - nll)
    asked = people_asked(votes, tree)[:, tree.offsets[:-1]] > 0
    nothing_known = ~asked.any(axis=0)
    # The other galaxies say nothing of the weights; where that is all of them, it does not matter.
    counted = asked | nothing_known
    weights = np.full((len(factors), tree.n_questions), 1 / len(factors))
    for _ in range(steps):
        share = weights[:, None] * likelihood
        share /= share.sum(axis=0)
        weights = (share * counted).sum(axis=1) / counted.sum(axis=0)
    weights[:, nothing_known] = (factors == 1)[:, None]  # leave as it is
    return ConcentrationScale(factors, weights)


@dataclass(frozen=True)
class Recalibration:
    """A map of probabilities that makes the PIT of a validation part uniform, for each question.

    Kuleshov, Fenner & Ermon 2018 (arXiv:1807.00263). Unlike ``fit_concentration_scale`` it mends
    coverage by construction, but leaves no distribution behind, only other levels for the same
    quantiles.

    Attributes
    ----------
    tree
        The questions.
    sorted_pit
        Values of the validation part in order, one array a question.
    """

    tree: Tree
    sorted_pit: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, pit: np.ndarray, tree: Tree) -> "Recalibration":
        """Learn the map from the PIT (n, n_answers) of a validation part, NaN not counted."""
        # Rounded, for between values closer than that the map would be steeper than numbers can be.
        parts = (np.round(pit[:, columns], 12) for columns in tree.slices.values())
        return cls(tree, tuple(np.sort(part[~np.isnan(part)]) for part in parts))

    def apply(self, pit: np.ndarray) -> np.ndarray:
        """Map PIT values (n, n_answers): to the share of the validation part that lies below."""
        out = np.array(pit, dtype=float)
        for columns, known in zip(self.tree.slices.values(), self.sorted_pit, strict=True):
            out[:, columns] = np.interp(pit[:, columns], *self._steps(known))
        return np.where(np.isnan(pit), np.nan, out)

    def level(self, question: str, level: float) -> float:
        """Level at which to take the quantile of a posterior, to get one that is right."""
        known = self.sorted_pit[list(self.tree.slices).index(question)]
        places, levels = self._steps(known)
        return float(np.interp(level, levels, places))

    @staticmethod
    def _steps(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(known)
        levels = np.concatenate([[0.0], (np.arange(n) + 0.5) / max(n, 1), [1.0]])
        return np.concatenate([[0.0], known, [1.0]]), levels


def reliability(
    expected: np.ndarray, votes: np.ndarray | Tensor, tree: Tree, bins: int = 10
) -> pd.DataFrame:
    """Compare expected shares with those that were seen, in bins of the expected one.

    Parameters
    ----------
    expected
        Shares among those who are asked (n, n_answers), as ``Posterior.mean``.
    votes
        (n, n_answers), NaN where nobody was asked; galaxies with more of them count more.

    Returns
    -------
    pandas.DataFrame
        One row a filled bin: ``expected``, ``seen``, and ``n`` pairs of galaxies and answers.
    """
    votes = as_votes(votes)
    people = people_asked(votes, tree)
    bin_of = np.minimum((expected * bins).astype(int), bins - 1)
    rows = []
    for number in range(bins):
        here = (bin_of == number) & (people > 0)
        if here.any():
            weight = people[here]
            mean = float(np.average(expected[here], weights=weight))
            rows.append((mean, float(votes[here].sum() / weight.sum()), int(here.sum())))
    return pd.DataFrame(rows, columns=["expected", "seen", "n"])


def people_asked(votes: np.ndarray | Tensor, tree: Tree) -> np.ndarray:
    """Count who answered each question, next to each of its answers: (n, n_answers).

    As in ``dirichlet_multinomial_nll`` a question with a NaN counts as asked of nobody, and votes
    below 0 are a ValueError.
    """
    votes = as_votes(votes)
    people = np.empty(votes.shape)
    for columns in tree.slices.values():
        people[:, columns] = votes[:, columns].sum(axis=1, keepdims=True)
    return np.nan_to_num(people)


def _beta_binomial(
    k: np.ndarray, n: np.ndarray, alpha: np.ndarray, total: np.ndarray
) -> np.ndarray:
    """Probability of k of n votes for an answer, averaged over passes (the first axis)."""
    choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    rest = total - alpha
    return np.exp(choose + betaln(k + alpha, n - k + rest) - betaln(alpha, rest)).mean(axis=0)


def _inside(pit: np.ndarray, levels: Sequence[float]) -> list[float]:
    known = ~np.isnan(pit)
    if not known.any():
        return [np.nan] * len(levels) + [0]
    distance = np.abs(2 * pit[known] - 1)
    return [float((distance <= level).mean()) for level in levels] + [int(known.any(1).sum())]
