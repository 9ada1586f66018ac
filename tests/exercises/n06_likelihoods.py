"""Answers to the exercises of n06_likelihoods.py: wrong ones, and other right ones."""

import itertools

import numpy as np
from scipy.integrate import quad
from scipy.special import comb, gamma, gammaln, xlog1py, xlogy
from scipy.stats import beta, binom

from galhelpers.exercises.n06_likelihoods import (
    BETA_BINOMIAL_MISTAKES,
    BINOMIAL_MISTAKES,
    _orders,
    beta_binomial_nll,
    binomial_nll,
)


def _by_powers(k, n, rho):
    return -np.log(comb(n, k) * rho**k * (1 - rho) ** (n - k))


def _plain_logarithms(k, n, rho):
    with np.errstate(all="ignore"):
        return -(_orders(k, n) + k * np.log(rho) + (n - k) * np.log1p(-np.asarray(rho)))


def _through_the_fraction(k, n, rho):
    fraction = np.divide(k, n)
    return -_orders(k, n) - n * (xlogy(fraction, rho) + xlog1py(1 - fraction, -rho))


def _in_gammas(k, n, a, b):
    ratio = gamma(k + a) * gamma(n - k + b) / gamma(n + a + b)
    return -np.log(comb(n, k) * ratio * gamma(a + b) / gamma(a) / gamma(b))


WRONG = {
    "06.1": BINOMIAL_MISTAKES
    | {
        "sum": (lambda k, n, rho: np.sum(binomial_nll(k, n, rho)), "shape (3, 4), got shape ()"),
        "0 ln 0": (_plain_logarithms, "the limit of x ln x"),
        "no votes": (_through_the_fraction, "Who was there"),
        "clipped": (
            lambda k, n, rho: binomial_nll(k, n, np.clip(rho, 1e-7, 1 - 1e-7)),
            "to please the logarithm",
        ),
        "powers": (_by_powers, "where should the logarithm be taken"),
    },
    "06.2": BETA_BINOMIAL_MISTAKES
    | {
        "overflow": (_in_gammas, "leave the floats"),
        "sum": (lambda *x: np.sum(beta_binomial_nll(*x)), "shape (3, 4), got shape ()"),
        "rounded": (
            lambda k, n, a, b: beta_binomial_nll(np.rint(k), np.rint(n), a, b),
            "as for 2 of 7",
        ),
        "at least one": (
            lambda k, n, a, b: beta_binomial_nll(k, np.maximum(n, 1), a, b),
            "must not enter a loss",
        ),
    },
}


def binomial_by_scipy(k, n, rho):
    return -binom.logpmf(k, n, rho)


def _beta_binomial_by_quad(k, n, a, b):
    """The integral itself, number by number, in parts: quad would miss a narrow peak."""

    def one(k, n, a, b):
        orders = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
        peak = (k + a) / (n + a + b)
        wide = 9 * np.sqrt(peak * (1 - peak) / (n + a + b + 1))

        def density(rho):
            binomial = orders + k * np.log(rho) + (n - k) * np.log1p(-rho)
            return np.exp(binomial + beta.logpdf(rho, a, b))

        cuts = [0, max(peak - wide, 1e-12), peak, min(peak + wide, 1 - 1e-12), 1]
        return -np.log(sum(quad(density, *ends)[0] for ends in itertools.pairwise(cuts)))

    return np.vectorize(one)(k, n, a, b)


RIGHT = {
    "06.1": [binomial_by_scipy],
    "06.2": [_beta_binomial_by_quad],
}
