"""Answers to the exercises of n08_likelihoods.py: wrong ones, and other right ones."""

import itertools
import math

import numpy as np
import torch
from scipy.integrate import quad
from scipy.special import comb, gamma, gammaln, xlog1py, xlogy
from scipy.stats import beta, binom

from galhelpers.exercises.n08_likelihoods import (
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


def _in_single_precision(k, n, a, b):
    k, n, a, b = (np.asarray(value, dtype=np.float32) for value in (k, n, a, b))
    ln_beta = lambda x, y: gammaln(x) + gammaln(y) - gammaln(x + y)  # noqa: E731
    one = np.float32(1)
    choose = gammaln(n + one) - gammaln(k + one) - gammaln(n - k + one)
    return ln_beta(a, b) - ln_beta(k + a, n - k + b) - choose


WRONG = {
    "08.4": BINOMIAL_MISTAKES
    | {
        "all certain": (
            lambda k, n, rho: binomial_nll(k, n, rho) if np.ndim(rho) or rho < 1 else 0.0,
            "4 of 5 votes and rho = 1",
        ),
        "clipped in arrays": (
            lambda k, n, rho: binomial_nll(
                k, n, np.clip(rho, 1e-6, 1 - 1e-6) if np.ndim(rho) else rho
            ),
            "Each place has its own",
        ),
        "many by the bell curve": (
            lambda k, n, rho: (
                BINOMIAL_MISTAKES["bell curve"][0](k, n, rho)
                if np.max(n) > 100
                else binomial_nll(k, n, rho)
            ),
            "or a formula for many votes",
        ),
        "sum": (lambda k, n, rho: np.sum(binomial_nll(k, n, rho)), "(3, 4)"),
        "0 ln 0": (_plain_logarithms, "the limit of x ln x"),
        "no votes": (_through_the_fraction, "Who was there"),
        "clipped": (
            lambda k, n, rho: binomial_nll(k, n, np.clip(rho, 1e-7, 1 - 1e-7)),
            "to please the logarithm",
        ),
        "powers": (_by_powers, "where should the logarithm be taken"),
    },
    "08.1": BETA_BINOMIAL_MISTAKES
    | {
        "single precision": (_in_single_precision, "of which float32 keeps no decimals"),
        "less than one vote": (
            lambda k, n, a, b: np.where(np.asarray(n) < 1, 0, beta_binomial_nll(k, n, a, b)),
            "less than one not counted",
        ),
        "NaN beside no votes": (
            lambda k, n, a, b: beta_binomial_nll(k, n, a, b) * (np.all(n) or np.ndim(n) == 0),
            "Each place has its own case",
        ),
        "overflow": (_in_gammas, "leave the floats"),
        "sum": (lambda *x: np.sum(beta_binomial_nll(*x)), "(3, 4)"),
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


REFUSED = {
    "08.4": [
        lambda k, n, rho: 0 * rho if np.any(np.asarray(n) == 0) else binomial_nll(k, n, rho),
        lambda k, n, rho: binomial_nll(k, np.max(n), rho),
        lambda k, n, rho: binomial_nll(k, n, rho) / np.log(10),
        lambda k, n, rho: np.nan_to_num(binomial_nll(k, n, rho)),
        lambda k, n, rho: np.minimum(binomial_nll(k, n, rho), 1e3),
        lambda k, n, rho: binomial_nll(np.minimum(k, np.asarray(n) - k), n, rho),
        lambda k, n, rho: np.where(np.asarray(k) == n, 0, binomial_nll(k, n, rho)),
        lambda k, n, rho: -np.log(comb(n, k)) - xlogy(k, rho) - xlog1py(n - k, -rho),
        lambda k, n, rho: n * rho - xlogy(k, n * rho) + gammaln(k + 1),
        lambda k, n, rho: np.float16(binomial_nll(k, n, rho)),
    ],
    "08.1": [
        lambda k, n, a, b: beta_binomial_nll(np.round(k), n, a, b),
        lambda k, n, a, b: beta_binomial_nll(k, np.ceil(n), a, b),
        lambda k, n, a, b: beta_binomial_nll(k, n, np.maximum(a, 1), np.maximum(b, 1)),
        lambda k, n, a, b: beta_binomial_nll(k, n, np.minimum(a, 1e5), np.minimum(b, 1e5)),
        lambda k, n, a, b: np.where(
            np.add(a, b) > 100, binomial_nll(k, n, a / (a + b)), beta_binomial_nll(k, n, a, b)
        ),
        lambda k, n, a, b: np.where(
            np.add(a, b) > 1000, binomial_nll(k, n, a / (a + b)), beta_binomial_nll(k, n, a, b)
        ),
        lambda k, n, a, b: beta_binomial_nll(n - k, n, a, b),
        lambda k, n, a, b: beta_binomial_nll(k, n, a / (a + b), b / (a + b)),
        lambda k, n, a, b: beta_binomial_nll(k, n, a, b) / np.log(2),
        lambda k, n, a, b: np.mean(beta_binomial_nll(k, n, a, b)),
    ],
}


@np.vectorize
def _binomial_by_whole_numbers(k, n, rho):
    logs = [
        (math.log(p) if p else -math.inf) * times
        for p, times in ((rho, k), (1 - rho, n - k))
        if times
    ]
    return -math.log(math.comb(n, k)) - sum(logs)


def _beta_binomial_by_torch(k, n, a, b):
    k, n, a, b = (torch.as_tensor(value, dtype=torch.float64) for value in (k, n, a, b))
    parts = [(a + b, -1), (a, 1), (b, 1), (k + a, -1), (n - k + b, -1), (n + a + b, 1)]
    parts += [(n + 1, -1), (k + 1, 1), (n - k + 1, 1)]
    return sum(sign * torch.lgamma(value) for value, sign in parts)


RIGHT = {
    "08.4": [binomial_by_scipy, _binomial_by_whole_numbers],
    "08.1": [_beta_binomial_by_quad, _beta_binomial_by_torch],
}
