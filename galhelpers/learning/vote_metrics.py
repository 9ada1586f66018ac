"""How well a network predicts volunteers' answers, question by question, among those asked.

A question that hardly anybody was asked has no right answer: the largest of no votes is the first
column. So each number here comes with the galaxies it is of.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import f1_score
from torch import Tensor

from galhelpers.learning.calibration import people_asked
from galhelpers.learning.metrics import accuracy, bootstrap
from galhelpers.learning.posterior import as_votes
from galhelpers.trees import Tree


def by_question(
    expected: np.ndarray,
    votes: np.ndarray | Tensor,
    tree: Tree,
    at_least: float = 5,
    resamples: int = 500,
) -> pd.DataFrame:
    """Measure predictions of each question among galaxies with enough volunteers asked.

    Parameters
    ----------
    expected
        Expected shares among those who are asked, (n, n_answers), as ``Posterior.mean``.
    votes
        (n, n_answers), 0 or NaN where nobody was asked; below 0 is a ValueError.
    at_least
        Volunteers who must have answered the question, more than 0.
    resamples
        Of the bootstrap.

    Returns
    -------
    pandas.DataFrame
        One row a question. ``n``: galaxies counted; ``accuracy`` of the likeliest answer (where
        volunteers tie, the first of the commonest ones is taken for theirs), with the
        ends ``low`` and ``high`` of its 95 % interval (bootstrap over galaxies), beside
        ``majority``, what always giving the commonest answer would reach; ``macro_f1``; ``mae``
        and ``rmse`` of the vote fractions, over answers; and ``noise``, the ``rmse`` of somebody
        who knows the true fractions, because votes are draws.
    """
    truth = fractions_of_asked(votes, tree, at_least)
    people = people_asked(votes, tree)
    rows = {}
    for question, columns in tree.slices.items():
        here = ~np.isnan(truth[:, columns.start])
        row: dict[str, float] = {"n": int(here.sum())}
        if here.any():
            seen, guess = truth[here, columns], expected[here, columns]
            right, called = seen.argmax(axis=1), guess.argmax(axis=1)
            row["accuracy"] = accuracy(called, right)
            if len(right) > 1:  # one galaxy cannot be resampled: no interval
                interval = bootstrap(accuracy, called, right, resamples=resamples)
                row |= {"low": interval.low, "high": interval.high}
            row["majority"] = np.bincount(right).max() / len(right)
            row["macro_f1"] = f1_score(right, called, average="macro", zero_division=0)
            row["mae"] = np.abs(guess - seen).mean()
            row["rmse"] = np.sqrt(((guess - seen) ** 2).mean())
            row["noise"] = np.sqrt(binomial_variance(seen, people[here, columns]).mean())
        rows[question] = row
    names = ["n", "accuracy", "low", "high", "majority", "macro_f1", "mae", "rmse", "noise"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).astype({"n": int})


def confident(
    expected: np.ndarray,
    votes: np.ndarray | Tensor,
    tree: Tree,
    above: float = 0.8,
    at_least: float = 5,
) -> pd.DataFrame:
    """Accuracy where the network expects more than ``above`` of the votes for one answer.

    Other arguments as for ``by_question``.

    Returns
    -------
    pandas.DataFrame
        One row a question: ``n`` such galaxies, their ``share`` of those asked, ``accuracy``.
    """
    truth = fractions_of_asked(votes, tree, at_least)
    rows = {}
    for question, columns in tree.slices.items():
        asked = ~np.isnan(truth[:, columns.start])
        sure = asked & (expected[:, columns].max(axis=1) > above)
        right = truth[sure, columns].argmax(axis=1) == expected[sure, columns].argmax(axis=1)
        share = sure.sum() / asked.sum() if asked.any() else np.nan
        rows[question] = [int(sure.sum()), share, right.mean() if sure.any() else np.nan]
    columns_ = ["n", "share", "accuracy"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns_).astype({"n": int})


def confusion(
    expected: np.ndarray,
    votes: np.ndarray | Tensor,
    tree: Tree,
    question: str,
    at_least: float = 5,
) -> np.ndarray:
    """Count galaxies by the volunteers' commonest answer (rows) and the likeliest one (columns).

    Other arguments as for ``by_question``.

    Returns
    -------
    ndarray
        int (answers, answers); its sum is the number of galaxies that count.
    """
    columns = tree.slices[tree.question(question).name]
    truth = fractions_of_asked(votes, tree, at_least)[:, columns]
    here = ~np.isnan(truth[:, 0])
    table = np.zeros((truth.shape[1], truth.shape[1]), dtype=int)
    np.add.at(table, (truth[here].argmax(axis=1), expected[here, columns].argmax(axis=1)), 1)
    return table


def fractions_of_asked(votes: np.ndarray | Tensor, tree: Tree, at_least: float = 1) -> np.ndarray:
    """Share of each answer among those asked, (n, n_answers); NaN below ``at_least`` of them."""
    if at_least <= 0:
        raise ValueError(f"Expected at least some volunteers, more than 0, got {at_least}.")
    votes = as_votes(votes)
    people = people_asked(votes, tree)
    return np.where(people >= at_least, votes / np.maximum(people, 1e-12), np.nan)


def binomial_variance(fractions: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Variance of vote fractions around the true ones, estimated from the votes themselves.

    p (1 - p) / (n - 1), whose mean over draws is rho (1 - rho) / n, rho the true fraction. At one
    vote nothing can be told from it: the largest, 1/4, is given, and no more than that for weighted
    votes between one and two.
    """
    estimate = fractions * (1 - fractions) / np.maximum(people - 1, 1e-12)
    return np.where(people > 1, np.minimum(estimate, 0.25), 0.25)
