"""Active learning: which galaxies to send to volunteers, and whether it pays to choose.

*BALD* (Houlsby et al. 2011, arXiv:1112.5745) asks about the galaxies on which the passes of a
network would bet differently: the mutual information between the votes to come and the network,
    I = H[ mean over passes of p(k | pass) ] - mean over passes of H[ p(k | pass) ].
*Uncertainty sampling* asks where the expected answers are most even, whether or not more training
could help there. *Random* is what both must beat.

Walmsley et al. 2020, MNRAS 491, 1554 used the first for binomial votes and report that the same
error took 35 to 60 % fewer galaxies.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import isotonic_regression
from scipy.special import xlogy
from torch import Tensor, nn

from galhelpers.learning.losses import dirichlet_multinomial_nll, vote_loss
from galhelpers.learning.metrics import Interval
from galhelpers.learning.posterior import Posterior, draw_fractions
from galhelpers.models.bayesian import MeanPrecisionHead
from galhelpers.trees import Tree

STRATEGIES = ("random", "uncertainty", "bald")
DROPOUT = 0.2


def bald(posterior: Posterior, volunteers: int = 40, samples: int = 2, seed: int = 0) -> np.ndarray:
    """Mutual information between the votes on each question and the network, by sampling.

    Votes are drawn from each pass in turn; the information is how much likelier they are under the
    pass that they come from than under the mixture, on average.

    Parameters
    ----------
    posterior
        Of n galaxies, two passes or more.
    volunteers
        People who would see each galaxy. A question gets as many of them as are expected to be
        asked it, rounded.
    samples
        Draws of votes from each pass.
    seed
        Of the draws.

    Returns
    -------
    ndarray
        (n, n_questions), in nats; add up the questions to rank galaxies. By chance a little below
        0 where there is nothing to learn.
    """
    rng = np.random.default_rng(seed)
    tree, alpha = posterior.tree, posterior.alpha
    people = np.rint(volunteers * posterior.asked).astype(int)
    information = np.zeros((len(posterior), tree.n_questions))
    for number in range(len(alpha)):
        for _ in range(samples):
            shares = draw_fractions(alpha[number].numpy(), tree, rng)
            votes = np.empty_like(shares)
            for i, columns in enumerate(tree.slices.values()):
                votes[:, columns] = rng.multinomial(people[:, i], shares[:, columns])
            each = -dirichlet_multinomial_nll(alpha, torch.from_numpy(votes), tree)
            mixture = torch.logsumexp(each, dim=0) - np.log(len(alpha))
            information += (each[number] - mixture).numpy()
    return information / (len(alpha) * samples)


def uncertainty(posterior: Posterior) -> np.ndarray:
    """Entropy of the expected answers to each question, times the share asked, (n, n_questions)."""
    mean = posterior.mean
    columns = posterior.tree.slices.values()
    entropy = [-xlogy(mean[:, c], mean[:, c]).sum(axis=1) for c in columns]
    return np.stack(entropy, axis=1) * posterior.asked


def one_question(tree: Tree, name: str) -> Tree:
    """Make a tree of one question, as if it were put to everybody.

    Summed over a whole tree, a score is large where many questions are asked, whatever is known of
    them. On one question a score says what it is made for.
    """
    return Tree(f"{tree.name}-{name}", (replace(tree.question(name), parents=()),))


class HeadBank(nn.Module):
    """Many small networks on frozen features, trained at the same time: one for each run.

    A run is a strategy with a seed; runs of one seed start from the same weights. All have the same
    sizes, so that one batched matrix product moves all of them: a hundred runs cost hardly more
    than ten.
    """

    def __init__(self, seeds: Sequence[int], features: int, tree: Tree, hidden: int = 64) -> None:
        super().__init__()
        head = MeanPrecisionHead(hidden, tree)
        self.activate = head.activate
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]

        def start(inputs: int, size: int) -> nn.Parameter:
            drawn = [torch.randn((inputs, size), generator=generator) for generator in generators]
            return nn.Parameter(torch.stack(drawn) * inputs**-0.5)

        outputs = head.linear.out_features
        self.first, self.second = start(features, hidden), start(hidden, outputs)
        self.bias1 = nn.Parameter(torch.zeros(len(seeds), 1, hidden))
        self.bias2 = nn.Parameter(torch.zeros(len(seeds), 1, outputs))

    def forward(self, x: Tensor, masks: tuple[int, int] | None = None) -> Tensor:
        """Map features (runs, n, features) to concentrations (runs, n, n_answers).

        Dropout masks are drawn for each of n galaxies and are the same in all runs, so that runs
        that differ in nothing else stay the same. ``masks`` gives other leading axes for them.
        """
        hidden = F.relu(_drop(x, masks) @ self.first + self.bias1)
        return self.activate(_drop(hidden, masks) @ self.second + self.bias2)

    def learn(self, x: Tensor, votes: Tensor, tree: Tree, steps: int = 150) -> None:
        """Train every run on its own galaxies: x (runs, n, features), votes (runs, n, answers)."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
        flat = votes.flatten(0, 1)
        for _ in range(steps):
            optimizer.zero_grad()
            # The sum over runs: each run's gradient is its own, whatever the others do.
            (len(x) * vote_loss(self(x).flatten(0, 1), flat, tree)).backward()
            optimizer.step()
            schedule.step()

    @torch.no_grad()
    def posterior(self, run: int, x: Tensor, passes: int, tree: Tree) -> Posterior:
        """Sample one run's network over features (n, features).

        Each pass leaves the same features out for every galaxy, as ``VoteNet.sample`` does.
        """
        one = HeadBank([0], x.shape[1], tree, hidden=self.bias1.shape[-1])
        one.load_state_dict({name: w[run : run + 1] for name, w in self.state_dict().items()})
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the same passes for every run
            return Posterior(one(x.expand(passes, -1, -1), (passes, 1)), tree)


def _drop(x: Tensor, masks: tuple[int, int] | None) -> Tensor:
    kept = torch.rand((*(masks or (1, x.shape[1])), x.shape[-1])) >= DROPOUT
    return x * kept / (1 - DROPOUT)


def learning_curves(
    features: Tensor,
    votes: Tensor,
    truth: np.ndarray,
    tree: Tree,
    *,
    start: int,
    step: int,
    rounds: int,
    seeds: Sequence[int],
    strategies: Sequence[str] = STRATEGIES,
    test_share: float = 0.3,
    passes: int = 10,
) -> np.ndarray:
    """Label some galaxies, train, ask for more, and again: error after each round.

    Every seed sets a random part of the galaxies aside for the test and begins with the same
    random galaxies for all strategies.

    Parameters
    ----------
    features
        (n, features), of a frozen encoder that has not seen these galaxies' votes.
    votes
        (n, n_answers): what volunteers would say if they were asked.
    truth
        (n, n_answers): shares of all volunteers to compare with, the true ones or the votes'; no
        NaN.
    start, step, rounds
        Galaxies labelled at first and in each of the rounds that follow.

    Returns
    -------
    ndarray
        (strategies, seeds, rounds + 1): root-mean-square error of the expected shares of all
        volunteers, over the galaxies of the test part and all answers.

    Raises
    ------
    ValueError
        For an unknown strategy, when the galaxies run out, or for NaN in ``truth``.
    """
    unknown = set(strategies) - set(STRATEGIES)
    n, n_test = len(features), round(test_share * len(features))
    if unknown or n - n_test < start + step * rounds:
        raise ValueError(
            f"Expected strategies among {', '.join(STRATEGIES)} and {start + step * rounds} "
            f"galaxies to choose from, got {', '.join(strategies)} and {n - n_test} galaxies."
        )
    without = np.flatnonzero(np.isnan(truth).any(axis=1))
    if len(without):
        rows = ", ".join(map(str, without[:10])) + (", ..." if len(without) > 10 else "")
        raise ValueError(
            f"Expected shares of all volunteers without NaN, got NaN for {len(without)} of {n} "
            f"galaxies (rows {rows}). Drop those that nobody was asked about; where nobody got as "
            "far as a question, the shares of its answers are 0."
        )
    x = (features - features.mean(dim=0)) / (features.std(dim=0) + 1e-6)
    orders = [np.random.default_rng(seed).permutation(n) for seed in seeds]
    runs = [
        (name, seed, order)
        for name in strategies
        for seed, order in zip(seeds, orders, strict=True)
    ]
    labelled = np.stack([order[n_test : n_test + start] for _, _, order in runs])
    errors = np.empty((len(runs), rounds + 1))
    with torch.random.fork_rng():  # dropout draws from torch's own state, which is the caller's
        for number in range(rounds + 1):
            torch.manual_seed(number)
            bank = HeadBank([seed for _, seed, _ in runs], x.shape[1], tree)
            chosen = torch.from_numpy(labelled)
            bank.learn(x[chosen], votes[chosen], tree)
            more = step if number < rounds else 0
            picks = np.empty((len(runs), more), dtype=int)
            for i, (name, seed, order) in enumerate(runs):
                test = order[:n_test]
                expected = bank.posterior(i, x[test], passes, tree).shares
                errors[i, number] = np.sqrt(((expected - truth[test]) ** 2).mean())
                if not more:
                    continue
                pool = np.setdiff1d(order[n_test:], labelled[i])
                score = np.random.default_rng([number, seed]).random(len(pool))
                if name != "random":
                    among = bank.posterior(i, x[pool], passes, tree)
                    score = (bald(among) if name == "bald" else uncertainty(among)).sum(axis=1)
                picks[i] = pool[np.argsort(-score)[:more]]
            labelled = np.concatenate([labelled, picks], axis=1)
    return errors.reshape(len(strategies), len(seeds), rounds + 1)


def labels_saved(
    random: np.ndarray,
    chosen: np.ndarray,
    labels: np.ndarray,
    error: float,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Share of labels that choosing saves to reach an error: 1 - chosen / random.

    Read off the mean curves over seeds: single curves wander too much to say when they arrive, and
    ratios of such numbers are biased.

    Parameters
    ----------
    random, chosen
        Errors (seeds, rounds) of the two strategies, row by row of the same seeds.
    labels
        Galaxies labelled in each round, (rounds,).
    error
        To be reached; interpolated between rounds, on the falling curve closest to the mean
        (isotonic regression): a lucky round is no arrival.
    resamples, seed
        Of the bootstrap over seeds.

    Returns
    -------
    Interval
        With its 95 % interval (percentiles); ``n`` seeds. Below 0: it took more. -inf where the
        chosen galaxies do not reach the error, NaN where random ones do not.
    """
    n = len(random)

    def saved(rows: np.ndarray) -> float:
        curves = random[rows].mean(axis=0), chosen[rows].mean(axis=0)
        by_chance, by_choice = (_labels_to_reach(curve, labels, error) for curve in curves)
        return np.nan if np.isinf(by_chance) else 1 - by_choice / by_chance

    rng = np.random.default_rng(seed)
    many = np.array([saved(rng.integers(n, size=n)) for _ in range(resamples)])
    value = saved(np.arange(n))
    if np.isnan(value) or n < 2:
        return Interval(value, np.nan, np.nan, n)
    # An observed order statistic, since there is nothing between -inf and a number.
    low, high = np.quantile(many[~np.isnan(many)], (0.025, 0.975), method="nearest")
    return Interval(value, float(low), float(high), n)


def _labels_to_reach(errors: np.ndarray, labels: np.ndarray, error: float) -> float:
    """Labels at which a curve, smoothed to a falling one, reaches an error; inf if it does not."""
    errors = isotonic_regression(errors, increasing=False).x
    below = np.flatnonzero(errors <= error)
    if not len(below):
        return np.inf
    first = below[0]
    if first == 0:
        return float(labels[0])
    a, b = errors[first - 1], errors[first]
    return float(labels[first - 1] + (labels[first] - labels[first - 1]) * (a - error) / (a - b))
