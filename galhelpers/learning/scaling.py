"""How much faster is training on n GPUs? A law with three terms, fitted to measured times."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

TERMS = ("parallel", "serial", "communication")


@dataclass(frozen=True)
class ScalingModel:
    """Time on n GPUs: ``serial + parallel / n + communication * log2(n)``.

    Attributes
    ----------
    parallel
        Seconds of work that is shared out.
    serial
        Seconds that every GPU takes however many there are (Amdahl 1967).
    communication
        Seconds for each doubling: an average over all GPUs takes about log2(n) rounds. It supposes
        that the number of steps stays; where each GPU keeps its batch, steps and with them their
        averages become fewer, and exchange shows as a loss of efficiency that hardly grows.
    error
        Typical relative error on a time that was left out of the fit.
    """

    parallel: float
    serial: float = 0.0
    communication: float = 0.0
    error: float = 0.0

    def seconds(self, gpus: float | np.ndarray) -> np.ndarray:
        """Give the time on so many GPUs."""
        return _terms(gpus) @ np.array([self.parallel, self.serial, self.communication])

    def speed_up(self, gpus: float | np.ndarray) -> np.ndarray:
        """Give how many times faster than one GPU: t(1) / t(n)."""
        return self.seconds(1) / self.seconds(gpus)

    def efficiency(self, gpus: float | np.ndarray) -> np.ndarray:
        """Give the share of the GPUs' time that is put to use: t(1) / (n t(n))."""
        return self.speed_up(gpus) / np.asarray(gpus)


def scaling_model(gpus: Sequence[float], times: Sequence[float]) -> ScalingModel:
    """Fit the law to measured times, with as many of its terms as they support.

    No term may be negative, and relative errors count, since times on many GPUs are short. With
    few measurements a constant and a logarithm look much alike, so terms are added one by one
    (parallel, serial, communication) and only where they lower the error on times left out of the
    fit, each in turn.

    Parameters
    ----------
    gpus
        Numbers of GPUs, 1 or more, no two alike; at least 2 of them, and 4 for all terms.
    times
        Seconds of the same work on each of them, such as one epoch. Not of whole trainings with
        different numbers of epochs: they differ by luck.

    Raises
    ------
    ValueError
        For too few measurements, or numbers that cannot be.
    """
    n, t = np.asarray(gpus, dtype=float), np.asarray(times, dtype=float)
    if n.ndim != 1 or n.shape != t.shape or len(n) < 2 or len(np.unique(n)) < len(n):
        raise ValueError(
            "Expected two or more different numbers of GPUs and a time for each, got "
            f"{n.tolist()} and {t.tolist()}."
        )
    if not (np.isfinite(n).all() and np.isfinite(t).all() and (n >= 1).all() and (t > 0).all()):
        raise ValueError(
            f"Expected 1 GPU or more and times above 0, got {n.tolist()} and {t.tolist()}."
        )
    rows = _terms(n) / t[:, None]  # relative: every measured time is 1
    others = [np.arange(len(n)) != left_out for left_out in range(len(n))]
    chosen, least = np.zeros(len(TERMS)), np.inf
    for k in range(1, min(len(TERMS), len(n) - 1) + 1):
        part = rows[:, :k]
        misses = [part[~m] @ nnls(part[m], np.ones(m.sum()))[0] - 1 for m in others]
        error = float(np.sqrt(np.mean(np.square(misses))))
        if error < least * (1 - 1e-9):
            least = error
            chosen[:k] = nnls(part, np.ones(len(n)))[0]
    parallel, serial, communication = map(float, chosen)
    return ScalingModel(parallel, serial, communication, least)


def _terms(gpus: float | np.ndarray) -> np.ndarray:
    n = np.asarray(gpus, dtype=float)
    return np.stack([1 / n, np.ones_like(n), np.log2(n)], axis=-1)
