"""How good is a prediction, and how sure are we of that."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

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
