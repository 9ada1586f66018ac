"""What a committee of networks expects of the volunteers, and how sure it is.

Each pass gives a Dirichlet distribution of the fractions of each question. All passes together are
a *mixture* of them: the posterior. Its spread has two parts. One is the width of each Dirichlet
(*aleatoric*): what a network holds the picture cannot tell, which is too much where it has learned
little. The other is the disagreement of the passes (*epistemic*), which more galaxies with votes
would make smaller. Passes by dropout, or a few networks, show only a part of it.

The quantiles are those of the mixture. The median of the passes' own quantiles would leave the
disagreement out, and such intervals are too narrow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.polynomial.chebyshev import chebfit, chebpts1, chebval
from scipy.optimize.elementwise import find_root
from scipy.special import betainc, gammaincinv, ndtr, softmax
from torch import Tensor

from galhelpers.learning.losses import (
    add_up,
    dirichlet_multinomial_nll,
    question_of_answers,
    refuse_negative,
)
from galhelpers.learning.training import predict
from galhelpers.models.bayesian import VoteEnsemble, VoteNet
from galhelpers.trees import Tree

CHUNK = 200_000  # answers whose quantiles are looked for at once, times passes: bounds memory


@dataclass(frozen=True)
class Posterior:
    """A mixture of Dirichlet distributions for every galaxy and question.

    Parameters
    ----------
    concentration
        float (passes, n, n_answers), greater than 0, as ``VoteNet.draw`` gives them.
    tree
        The questions.
    """

    concentration: Tensor
    tree: Tree

    def __post_init__(self) -> None:
        shape = tuple(self.concentration.shape)
        if len(shape) != 3 or shape[-1] != self.tree.n_answers or not shape[0]:
            raise ValueError(
                f"Expected concentrations of shape (passes, galaxies, {self.tree.n_answers}) for "
                f"tree {self.tree.name!r}, one pass or more, got {shape}."
            )
        if not bool((self.concentration > 0).all()):
            least = float(self.concentration.min())
            raise ValueError(
                f"Expected concentrations greater than 0, got {least:g}: is this the output of a "
                "head, and did the training not break down?"
            )

    def __len__(self) -> int:
        return self.concentration.shape[1]

    @cached_property
    def alpha(self) -> Tensor:
        """Concentrations in float64 on the CPU, (passes, n, n_answers)."""
        return self.concentration.detach().cpu().double()

    @cached_property
    def total(self) -> Tensor:
        """Sum of each question's concentrations, next to each of its answers."""
        sums = add_up(self.alpha, self.tree)
        return sums[..., question_of_answers(self.tree, sums.device)]

    @cached_property
    def mean(self) -> np.ndarray:
        """Expected share of each answer among those who are asked, (n, n_answers)."""
        return (self.alpha / self.total).mean(dim=0).numpy()

    @cached_property
    def aleatoric(self) -> np.ndarray:
        """Variance of the fractions within a pass, averaged over passes, (n, n_answers)."""
        mean = self.alpha / self.total
        return (mean * (1 - mean) / (self.total + 1)).mean(dim=0).numpy()

    @cached_property
    def epistemic(self) -> np.ndarray:
        """Variance of the passes' means, (n, n_answers); with ``aleatoric`` the whole variance.

        That of the mixture as it is: from two networks only, an estimate of the variance between
        networks would be twice as large.
        """
        return (self.alpha / self.total).var(dim=0, unbiased=False).numpy()

    @cached_property
    def shares(self) -> np.ndarray:
        """Expected share of *all* volunteers who give each answer, (n, n_answers).

        Multiplied down the tree within each pass, then averaged: a pass that sees a disk also sees
        more of its arms.
        """
        return self.tree.to_cumulative((self.alpha / self.total).numpy()).mean(axis=0)

    @cached_property
    def asked(self) -> np.ndarray:
        """Expected share of all volunteers who are asked each question, (n, n_questions)."""
        return np.asarray(self.tree.asked(self.shares))

    def cdf(self, fractions: np.ndarray) -> np.ndarray:
        """Probability that the share of each answer is below a value, (n, n_answers).

        One answer's share against the others' has a beta distribution in each pass.
        """
        a, rest = self.alpha.numpy(), (self.total - self.alpha).numpy()
        return betainc(a, rest, np.asarray(fractions, dtype=np.float64)).mean(axis=0)

    def quantiles(self, levels: Sequence[float]) -> np.ndarray:
        """Quantiles of each answer's share among those who are asked.

        Parameters
        ----------
        levels
            Between 0 and 1, such as (0.05, 0.95) for the central 90 %.

        Returns
        -------
        ndarray
            (levels, n, n_answers).
        """
        if not all(0 < level < 1 for level in levels):
            raise ValueError(f"Expected levels between 0 and 1, got {list(levels)}.")
        passes, n, answers = self.alpha.shape
        a = self.alpha.numpy().reshape(passes, -1)
        rest = (self.total - self.alpha).numpy().reshape(passes, -1)
        found = np.empty((len(levels), n * answers))
        step = max(1, CHUNK // passes)
        for start in range(0, n * answers, step):
            part = slice(start, start + step)
            here, there = a[:, part], rest[:, part]
            for i, level in enumerate(levels):
                found[i, part] = _mixture_quantile(here, there, level)
        return found.reshape(len(levels), n, answers)

    def sample(self, n_samples: int, seed: int = 0) -> np.ndarray:
        """Draw joint fractions: what all volunteers might say, answer by answer, down the tree.

        One draw takes one pass and its Dirichlet distributions, so that the answers of a question
        sum to the share who were asked it, and a parent and its children go together.

        All galaxies share the random numbers, and the draws are smooth functions of the
        concentrations. So what is drawn for a galaxy does not depend on the others beside it; but
        the draws of two galaxies are not independent, and their sums say nothing of a spread.

        Returns
        -------
        ndarray
            float64 (n_samples, n, n_answers): shares of all volunteers.
        """
        alpha, common = self.alpha.numpy(), _Common.draw(n_samples, self.tree.n_answers, seed)
        # Each pass as often as any other.
        passes = np.resize(np.random.default_rng(seed).permutation(len(alpha)), n_samples)
        conditional = np.empty((n_samples, *alpha.shape[1:]))
        for draw in range(n_samples):
            logs = common.log_gamma(draw, alpha[passes[draw]])
            conditional[draw] = _divide(logs, self.tree)
        return self.tree.to_cumulative(conditional)

    def nll(self, votes: np.ndarray | Tensor) -> np.ndarray:
        """Surprise of the mixture at votes (n, n_answers), in nats, (n, n_questions)."""
        known = torch.from_numpy(as_votes(votes))
        each = -dirichlet_multinomial_nll(self.alpha, known, self.tree)
        return -(torch.logsumexp(each, dim=0) - np.log(len(each))).numpy()

    def scaled(self, factor: np.ndarray) -> "Posterior":
        """Make every question surer (above 1) or less sure by a factor.

        The expected fractions of each pass stay as they are.

        Parameters
        ----------
        factor
            (n_questions,), or one for each pass as well, (passes, n_questions).
        """
        spread = np.repeat(np.asarray(factor, dtype=float), np.diff(self.tree.offsets), axis=-1)
        times = torch.as_tensor(spread[..., None, :]).to(self.concentration)
        return Posterior(self.concentration * times, self.tree)

    def select(self, rows: np.ndarray) -> "Posterior":
        """Take some galaxies (positions, or a boolean mask)."""
        # A copy: torch refuses arrays that run backwards, such as ``order[::-1]``.
        return Posterior(self.concentration[:, torch.from_numpy(np.array(rows))], self.tree)


def as_votes(votes: np.ndarray | Tensor) -> np.ndarray:
    """Copy votes into a float64 array; raise ValueError for those below 0 (NaN is allowed)."""
    if isinstance(votes, Tensor):
        votes = votes.detach().cpu().numpy()
    # A copy: torch refuses arrays that run backwards.
    copied = np.array(votes, dtype=np.float64)
    refuse_negative(copied)
    return copied


def draw_fractions(alpha: np.ndarray, tree: Tree, rng: np.random.Generator) -> np.ndarray:
    """Draw the fractions of every question from its Dirichlet distribution.

    They are gamma variates divided by their sum. Those of concentrations of a hundredth or less
    are often too small for a float, so their logarithms are drawn: that of a gamma variate of
    alpha + 1, less an exponential one over alpha (Marsaglia & Tsang 2000, ACM Trans. Math. Softw.
    26, 363).

    Parameters
    ----------
    alpha
        Concentrations (n, n_answers).
    tree, rng
        The questions, and where the draws come from.

    Returns
    -------
    ndarray
        (n, n_answers); the answers of each question sum to 1.
    """
    logs = np.log(rng.standard_gamma(alpha + 1)) - rng.standard_exponential(alpha.shape) / alpha
    return _divide(logs, tree)


def _divide(logs: np.ndarray, tree: Tree) -> np.ndarray:
    """Divide gamma variates, given by their logarithms, by the sum of their question."""
    return np.hstack([softmax(logs[:, columns], axis=1) for columns in tree.slices.values()])


@dataclass(frozen=True)
class _Common:
    """Random numbers that all galaxies share, and gamma variates as smooth functions of them.

    A normal number z stands for a quantile of the gamma distribution of any shape a. Wilson and
    Hilferty (1931, Proc. Natl. Acad. Sci. 17, 684): (g/a)^(1/3) is nearly normal, of mean 1 - s^2/9
    and deviation s/3, where s = a^(-1/2). What ``nearly`` leaves out is a smooth function w(s) for
    each z, with w(0) = z: here a polynomial through exact quantiles at a few shapes of 1 or more,
    good to 1e-4. Smaller shapes come from these as in ``draw_fractions``.

    Attributes
    ----------
    w
        Chebyshev coefficients (degree + 1, n_samples, n_answers), of 2 s - 1.
    waiting
        Exponential numbers (n_samples, n_answers).
    """

    w: np.ndarray
    waiting: np.ndarray

    @classmethod
    @lru_cache(maxsize=4)
    def draw(cls, n_samples: int, n_answers: int, seed: int, degree: int = 8) -> "_Common":
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((n_samples, n_answers))
        nodes = chebpts1(degree + 1)
        s = ((nodes + 1) / 2)[:, None, None]
        quantiles = gammaincinv(s**-2, ndtr(z))
        w = 3 * (np.cbrt(quantiles * s**2) - 1 + s**2 / 9) / s
        fitted = chebfit(nodes, w.reshape(degree + 1, -1), degree).reshape(w.shape)
        return cls(fitted, rng.standard_exponential(z.shape))

    def log_gamma(self, draw: int, alpha: np.ndarray) -> np.ndarray:
        """Logarithms of gamma variates of shapes alpha (n, n_answers), for one of the draws."""
        s = (alpha + 1) ** -0.5
        w = chebval(2 * s - 1, self.w[:, draw], tensor=False)
        root = np.maximum(1 - s**2 / 9 + w * s / 3, 1e-8)
        return 3 * np.log(root) - 2 * np.log(s) - self.waiting[draw] / alpha


def _mixture_quantile(a: np.ndarray, b: np.ndarray, level: float) -> np.ndarray:
    """Quantile of equal mixtures of beta distributions, a and b of shape (passes, m): (m,)."""

    def off(x: np.ndarray, index: np.ndarray) -> np.ndarray:
        return betainc(a[:, index], b[:, index], x).mean(axis=0) - level

    index = np.arange(a.shape[1])
    result = find_root(
        off, (np.zeros(len(index)), np.ones(len(index))), args=(index,), tolerances={"xatol": 1e-8}
    )
    return result.x


def posterior_of(
    net: VoteNet | VoteEnsemble,
    pixels: np.ndarray,
    prepare: Callable[[Tensor], Tensor],
    passes: int = 20,
    seed: int = 0,
    batch_size: int = 256,
) -> Posterior:
    """Run a network over images and sample its head.

    Parameters
    ----------
    net
        Each of its members makes ``passes`` passes.
    pixels
        uint8 (n, 3, height, width).
    prepare
        Makes a batch of them ready for the network.
    batch_size
        Pictures that go through the network at once.
    """
    net.eval()
    device = next(net.parameters()).device
    # Galaxies first, so that batches can be put one after the other.
    drawn = predict(
        lambda x: net.draw(x, passes, seed).transpose(0, 1), pixels, prepare, batch_size, device
    )
    return Posterior(drawn.transpose(0, 1), net.tree)


SUFFIXES = ("mean", "q05", "q95", "aleatoric", "epistemic", "share", "share_q05", "share_q95")


def table_columns(tree: Tree) -> list[str]:
    """Columns of ``as_table``: one for each answer and suffix, one for each question."""
    answers = [f"{column}_{suffix}" for column in tree.columns for suffix in SUFFIXES]
    return [*answers, *(f"{question.name}_asked" for question in tree.questions)]


def as_table(posterior: Posterior, samples: int = 400, seed: int = 0) -> np.ndarray:
    """Put all that a posterior says of n galaxies side by side.

    Returns
    -------
    ndarray
        float32 (n, columns), in the order of ``table_columns``. For each answer: ``mean`` and the
        ends of the central 90 % of its share among those who are asked (quantiles of the mixture);
        standard deviations, ``aleatoric`` and ``epistemic``; its expected ``share`` of all
        volunteers, and the central 90 % of that, from joint samples down the tree. For each
        question the share of volunteers who are ``asked``.
    """
    low, high = posterior.quantiles((0.05, 0.95))
    share_low, share_high = np.quantile(posterior.sample(samples, seed), (0.05, 0.95), axis=0)
    spreads = np.sqrt(posterior.aleatoric), np.sqrt(posterior.epistemic)
    each = (posterior.mean, low, high, *spreads, posterior.shares, share_low, share_high)
    side_by_side = np.stack(each, axis=2).reshape(len(posterior), -1)
    return np.hstack([side_by_side, posterior.asked]).astype(np.float32)
