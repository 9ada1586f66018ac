"""How good is a prediction, and how sure are we of that."""

from collections.abc import Callable, Sequence
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


def per_class(confusion: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """Precision, completeness and F1 of each class, and their unweighted mean in the last row.

    Parameters
    ----------
    confusion
        Galaxies by true class (rows) and predicted class (columns), shape (k, k).
    classes
        Names of the classes.

    Returns
    -------
    pandas.DataFrame
        ``precision``, ``completeness`` (recall), ``f1`` and ``n``, the galaxies of the class. A
        class that was never predicted has precision 0, one without galaxies NaN.
    """
    counts = np.asarray(confusion, float)
    right, n, called = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(called > 0, right / called, 0.0)
        table = pd.DataFrame(
            {"precision": precision, "completeness": right / n, "f1": 2 * right / (n + called)},
            index=list(classes),
        )
    table.loc["mean"] = table.mean()
    table["n"] = [*n.astype(int), int(n.sum())]
    return table


def split_interval(values: Sequence[float], test_share: float, level: float = 0.95) -> Interval:
    """Mean over repeated random splits, with an interval that knows that the splits overlap.

    Test parts drawn from the same galaxies share some, and training parts share most. So the
    spread over splits is too small by about sqrt(1 + n n_test / n_train), which is put right
    (Nadeau & Bengio 2003, Machine Learning 52, 239).

    Parameters
    ----------
    values
        A metric on the test part of each split, shape (splits,).
    test_share
        Share of the galaxies in the test part, 0.1 for 9:1.

    Returns
    -------
    Interval
        Its ``n`` is the number of splits; with a single split the ends are NaN.
    """
    if not 0 < test_share < 1:
        raise ValueError(f"Expected the share of the test part between 0 and 1, got {test_share}.")
    array = np.asarray(values, float)
    n, mean = len(array), float(array.mean())
    if n < 2:
        return Interval(mean, np.nan, np.nan, n, level)
    scale = array.std(ddof=1) * np.sqrt(1 / n + test_share / (1 - test_share))
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * scale)
    return Interval(mean, mean - half, mean + half, n, level)
