"""Receiver operating characteristic and precision-recall curves of several networks."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve

from galhelpers.views.plots import PALETTE, tidy


def roc_panels(truth: ArrayLike, scores: Mapping[str, ArrayLike], classes: Sequence[str]) -> Figure:
    """Draw ROC curves, one panel a network: each class against the rest, and two averages.

    The micro average counts every pair of a galaxy and a class alike, so large classes decide it.
    The macro average is the mean of the classes' curves.

    Parameters
    ----------
    truth : array of int, shape (n,)
        Class numbers.
    scores : mapping of network to array (n, classes)
        Probabilities; those of one galaxy sum to 1.
    classes : sequence of str
        Names of the classes.
    """
    one_hot = _one_hot(truth, len(classes))
    fig = Figure(figsize=(3.3 * len(scores), 3.7), layout="constrained")
    axes = fig.subplots(1, len(scores), squeeze=False, sharex=True, sharey=True)[0]
    grid = np.linspace(0, 1, 501)
    for ax, (network, given) in zip(axes, scores.items(), strict=True):
        values, mean = np.asarray(given), np.zeros_like(grid)
        present = [k for k in range(len(classes)) if 0 < one_hot[:, k].sum() < len(one_hot)]
        for k in present:
            false, true, _ = roc_curve(one_hot[:, k], values[:, k])
            mean += np.interp(grid, false, true) / len(present)
            label = f"{classes[k].replace('_', ' ')} {auc(false, true):.3f}"
            ax.plot(false, true, color=PALETTE[k % len(PALETTE)], lw=1.2, label=label)
        false, true, _ = roc_curve(one_hot.ravel(), values.ravel())
        ax.plot(
            false, true, ":", color="black", lw=1.8, label=f"micro average {auc(false, true):.3f}"
        )
        mean[0] = 0.0
        ax.plot(
            grid, mean, "--", color="0.35", lw=1.8, label=f"macro average {auc(grid, mean):.3f}"
        )
        ax.set(title=network, xlabel="false positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        ax.legend(
            fontsize=6.5,
            framealpha=0.9,
            edgecolor="none",
            loc="lower right",
            title="area",
            title_fontsize=7,
        )
        tidy(ax)
    axes[0].set(ylabel="true positive rate (completeness)")
    return fig


def precision_recall(
    truth: ArrayLike, scores: Mapping[str, ArrayLike], classes: Sequence[str]
) -> Figure:
    """Draw micro-averaged precision-recall curves of several networks; arguments as above.

    The legend gives the average precision, micro-averaged and as the mean over the classes.
    """
    one_hot = _one_hot(truth, len(classes))
    fig = Figure(figsize=(5.5, 3.6), layout="constrained")
    ax = fig.subplots()
    for k, (network, given) in enumerate(scores.items()):
        values = np.asarray(given)
        precision, recall, _ = precision_recall_curve(one_hot.ravel(), values.ravel())
        present = one_hot.any(axis=0)
        micro, macro = (
            average_precision_score(one_hot[:, present], values[:, present], average=how)
            for how in ("micro", "macro")
        )
        label = f"{network}: {micro:.3f} micro, {macro:.3f} macro"
        ax.plot(recall, precision, color=PALETTE[k % len(PALETTE)], lw=1.6, label=label)
    ax.set(xlabel="recall (completeness)", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
    ax.legend(fontsize=8, frameon=False, loc="lower left", title="average precision")
    tidy(ax)
    return fig


def _one_hot(truth: ArrayLike, n: int) -> np.ndarray:
    truth = np.asarray(truth)
    if truth.ndim != 1 or truth.min() < 0 or truth.max() >= n:
        raise ValueError(f"Expected class numbers 0 to {n - 1}, shape (galaxies,), got {truth}.")
    return np.eye(n, dtype=int)[truth]
