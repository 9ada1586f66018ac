"""A part of the votes on a galaxy, drawn at random: as if fewer people had been asked."""

import numpy as np
from numpy.typing import ArrayLike

from galhelpers.trees import Tree


def draw_votes(votes: ArrayLike, tree: Tree, n: ArrayLike, seed: int = 0) -> np.ndarray:
    """Draw some of the votes on each question, without putting any back.

    The people who were asked a question are taken in a random order of its own; the first ``n`` of
    them are drawn. So the same seed with a larger ``n`` gives the same votes and more.

    Parameters
    ----------
    votes
        Whole numbers of votes (galaxies, n_answers); NaN counts as none.
    n
        How many, 0 or more; a number, or (galaxies, n_questions). Where fewer were given, all are
        drawn.
    seed
        Of the order of the people.

    Returns
    -------
    numpy.ndarray
        float64 (galaxies, n_answers).

    Raises
    ------
    ValueError
        For votes or numbers below 0, or votes that are not whole.
    """
    given = np.nan_to_num(np.asarray(votes, dtype=float))
    wanted = np.broadcast_to(np.asarray(n), (len(given), tree.n_questions))
    if (given < 0).any() or (given != given.round()).any() or (wanted < 0).any():
        raise ValueError(
            "Expected whole numbers of votes of 0 or more, and to draw 0 or more of them."
        )
    order = np.random.default_rng(seed)
    drawn = np.zeros_like(given)
    for number, columns in enumerate(tree.slices.values()):
        counts = given[:, columns].astype(int)
        seats = int(counts.sum(axis=1).max(initial=0))
        # Who sits in which seat: answer 0 in the first ones, then answer 1, and nobody at the end.
        answer = (np.arange(seats)[None, :, None] >= counts.cumsum(axis=1)[:, None]).sum(axis=2)
        turn = order.random((len(counts), seats))
        turn[answer == counts.shape[1]] = 2.0  # empty seats come last
        taken = turn.argsort(axis=1).argsort(axis=1) < wanted[:, number, None]
        for place in range(counts.shape[1]):
            drawn[:, columns.start + place] = (taken & (answer == place)).sum(axis=1)
    return drawn
