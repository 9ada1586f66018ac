"""How good is a prediction, and how sure are we of that."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import f1_score
from torch import Tensor

from galhelpers.learning.calibration import people_asked
from galhelpers.learning.posterior import as_votes
from galhelpers.trees import Tree


def rmse(predicted: np.ndarray, target: np.ndarray) -> float:
    """Root-mean-square error over all galaxies and answers, as the Kaggle challenge defines it.

    One root of one mean: the mean of the roots of batches would depend on the batch size and is
    always too low (Jensen's inequality).

    Parameters
    ----------
    predicted, target
        Same shape, (n, answers).
    """
    predicted, target = np.asarray(predicted, float), np.asarray(target, float)
    if predicted.shape != target.shape:
        raise ValueError(
            f"Predictions and targets should have one shape, got {predicted.shape} and "
            f"{target.shape}."
        )
    return float(np.sqrt(np.mean((predicted - target) ** 2)))


@dataclass(frozen=True)
class Interval:
    """A value with its interval at a stated confidence, from ``n`` galaxies."""

    value: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n:,})"


def bootstrap(
    metric: Callable[..., float],
    *arrays: np.ndarray,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a metric, resampling galaxies (rows of all arrays alike).

    It tells how far another sample of galaxies could move the number; not how far another
    training run could.

    Parameters
    ----------
    metric
        Called with the resampled arrays.
    *arrays
        Each with one row a galaxy.
    """
    rows = np.arange(len(arrays[0]))
    arrays = tuple(np.asarray(array) for array in arrays)
    with warnings.catch_warnings():  # of a metric that is NaN in some samples: so are the ends
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            (rows,),
            lambda chosen: metric(*(array[chosen] for array in arrays)),
            n_resamples=resamples,
            confidence_level=level,
            method="percentile",
            vectorized=False,
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    return Interval(float(metric(*arrays)), float(low), float(high), len(rows), level)


def proportion(right: int, n: int, level: float = 0.95) -> Interval:
    """Share of ``right`` among ``n``, with the exact interval of Clopper & Pearson 1934.

    Of few galaxies it says more than resampling, which gives no width at all where all are right.
    """
    ends = stats.binomtest(right, n).proportion_ci(level, method="exact")
    return Interval(right / n, float(ends.low), float(ends.high), n, level)


def mean_proportion(shares: Sequence[Interval]) -> Interval:
    """Mean of independent shares, with an interval that is made of theirs.

    The distances of a value from its ends are added in quadrature, as standard errors are (Zou &
    Donner 2008, Statistics in Medicine 27, 1693).
    """
    mean = float(np.mean([one.value for one in shares]))
    below, above = (
        float(np.linalg.norm([one.value - end for one, end in zip(shares, ends, strict=True)]))
        for ends in ([one.low for one in shares], [one.high for one in shares])
    )
    k, n = len(shares), sum(one.n for one in shares)
    return Interval(mean, mean - below / k, mean + above / k, n, shares[0].level)


def accuracy(predicted: np.ndarray, target: np.ndarray) -> float:
    """Share of galaxies whose class is right; class numbers, shape (n,)."""
    return float(np.mean(np.asarray(predicted) == np.asarray(target)))


def accuracy_when_asked(
    predicted: np.ndarray, target: np.ndarray, tree: Tree, minimum_share: float = 0.5
) -> pd.DataFrame:
    """Accuracy question by question, among the galaxies that the question was put to.

    The fractions of a question that nobody reached are all zero, and the largest of zeros is the
    first answer: counting such galaxies measures nothing.

    Parameters
    ----------
    predicted, target
        Cumulative fractions, shape (n, answers).
    minimum_share
        Share of all volunteers who must have been asked, according to ``target``.

    Returns
    -------
    pandas.DataFrame
        One row a question: ``n`` galaxies, ``accuracy``, its 95 % interval (Wilson) ``low`` and
        ``high``, and ``majority``, what always giving the commonest answer would reach.
    """
    predicted, target = np.asarray(predicted, float), np.asarray(target, float)
    asked = np.asarray(tree.asked(target)) >= minimum_share
    rows = []
    for number, question in enumerate(tree.questions):
        columns, these = tree.slices[question.name], asked[:, number]
        truth = target[these, columns].argmax(axis=1)
        right = predicted[these, columns].argmax(axis=1) == truth
        n = len(truth)
        row = {"question": question.name, "n": n, "accuracy": np.nan, "low": np.nan}
        row |= {"high": np.nan, "majority": np.nan}
        if n:
            interval = stats.binomtest(int(right.sum()), n).proportion_ci(method="wilson")
            row |= {"accuracy": right.mean(), "low": interval.low, "high": interval.high}
            row["majority"] = np.bincount(truth).max() / n
        rows.append(row)
    return pd.DataFrame(rows).set_index("question")


def per_class(confusion: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Precision, recall and F1 of each class, and their unweighted mean in the last row.

    Parameters
    ----------
    confusion
        Galaxies by true class (rows) and predicted class (columns), shape (k, k).
    classes
        Names of the classes.

    Returns
    -------
    pandas.DataFrame
        ``precision``, ``recall`` (completeness), ``f1`` and ``n``, the galaxies of the class. A
        class that was never predicted has precision 0, one without galaxies NaN.
    """
    counts = np.asarray(confusion, float)
    right, n, called = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(called > 0, right / called, 0.0)
        table = pd.DataFrame(
            {"precision": precision, "recall": right / n, "f1": 2 * right / (n + called)},
            index=list(classes),
        )
    table.loc["mean"] = table.mean()
    table["n"] = [*n.astype(int), int(n.sum())]
    return table


def split_interval(
    values: Sequence[float] | np.ndarray, test_share: float, level: float = 0.95
) -> Interval:
    """Mean over repeated random splits, with an interval that knows that the splits overlap.

    Test parts drawn from the same galaxies share some, and training parts share most. So the
    spread over splits is too small by about sqrt(1 + n n_test / n_train), which is put right
    (Nadeau & Bengio 2003, Machine Learning 52, 239).

    Parameters
    ----------
    values
        A metric on the test part of each split, shape (splits,).
    test_share
        Share of the galaxies in the test part, 0.1 for 9:1. For repetitions that share no galaxies
        it is 0: then the interval is that of Student's t.

    Returns
    -------
    Interval
        Its ``n`` is the number of splits; with a single split the ends are NaN.
    """
    if not 0 <= test_share < 1:
        raise ValueError(f"Expected a share of the test part from 0 to below 1, got {test_share}.")
    array = np.asarray(values, float)
    n, mean = len(array), float(array.mean())
    if n < 2:
        return Interval(mean, np.nan, np.nan, n, level)
    scale = array.std(ddof=1) * np.sqrt(1 / n + test_share / (1 - test_share))
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * scale)
    return Interval(mean, mean - half, mean + half, n, level)


# Votes, question by question ---------------------------------------------------------------------
#
# A question that hardly anybody was asked has no right answer: the largest of no votes is the first
# column. So each number here comes with the galaxies it is of.


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
