"""Mutual information in closed form: the tests hold the sampled one against it."""

import numpy as np
from scipy.special import betaln, gammaln, xlogy


def bald_of_two(concentration: np.ndarray, volunteers: int) -> np.ndarray:
    """Mutual information for a question of two answers, exactly: a sum over all outcomes.

    Parameters
    ----------
    concentration
        (passes, n, 2).
    volunteers
        People who are asked, 0 or more.

    Returns
    -------
    ndarray
        (n,), in nats, 0 or more.
    """
    a, b = np.moveaxis(np.asarray(concentration, dtype=float), -1, 0)[..., None]
    k = np.arange(volunteers + 1)
    choose = gammaln(volunteers + 1) - gammaln(k + 1) - gammaln(volunteers - k + 1)
    p = np.exp(choose + betaln(k + a, volunteers - k + b) - betaln(a, b))  # (passes, n, outcomes)
    mean = p.mean(axis=0)
    information = xlogy(p, p).sum(axis=-1).mean(axis=0) - xlogy(mean, mean).sum(axis=-1)
    return np.maximum(information, 0)  # rounding may leave it a little below
