"""What simulated votes scatter around, in closed form: the tests hold the votes against it."""

import numpy as np
import pandas as pd

from galhelpers.survey import Telescope
from galhelpers.survey.answers import answer_probabilities
from galhelpers.survey.volunteers import tempered
from galhelpers.trees import GZ2, Tree


def expected_fractions(
    truth: pd.DataFrame,
    tree: Tree = GZ2,
    telescope: str | Telescope = "sdss",
    abilities: np.ndarray | None = None,
    debiased: bool = False,
) -> np.ndarray:
    """Cumulative fractions to be expected, in closed form: what votes scatter around.

    For one volunteer, probabilities are multiplied down the tree. For several, the results are
    averaged: those of high ability take the same way more often than chance would have it, so
    that the mean of products is not the product of means.

    Parameters
    ----------
    truth, tree, telescope, debiased
        As for ``volunteer_votes``.
    abilities : numpy.ndarray, optional
        Whose mean to take. None: volunteers of ability 1, that is without a spread. (m,): the same
        for every galaxy, as ``volunteer_abilities(seed)`` for the mean over the whole crowd (takes
        some seconds; the first 500 tell the same within a hundredth).
        (n, m): each galaxy's own, as ``volunteer_abilities(seed)[who_voted(truth, 40, seed)]`` for
        those who saw it; NaN marks an empty seat.

    Returns
    -------
    numpy.ndarray
        float64 (n, n_answers).

    Raises
    ------
    ValueError
        For another tree or abilities of another shape.
    """
    probabilities = answer_probabilities(truth, tree, telescope, debiased)
    plain = [probabilities[question.name] for question in tree.questions]
    if abilities is None:
        return tree.to_cumulative(np.concatenate(plain, axis=1))
    abilities = np.asarray(abilities, dtype=np.float64)
    if abilities.ndim == 1:
        abilities = np.broadcast_to(abilities, (len(truth), len(abilities)))
    if abilities.ndim != 2 or len(abilities) != len(truth):
        raise ValueError(
            f"Expected abilities of shape (m,) or ({len(truth)}, m), got {abilities.shape}."
        )
    total = np.zeros((len(truth), tree.n_answers))
    for ability in abilities.T:  # one by one, to bound memory
        here = ~np.isnan(ability)
        conditional = [tempered(p[here], ability[here]) for p in plain]
        total[here] += tree.to_cumulative(np.concatenate(conditional, axis=1))
    return total / (~np.isnan(abilities)).sum(axis=1, keepdims=True)


def expected_ticks(probabilities: np.ndarray) -> np.ndarray:
    """Probability that an expert ticks each class, one class at least.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (n, 5) of ``tick_probabilities``.

    Returns
    -------
    numpy.ndarray
        float64 (n, 5): those, and for the most probable class also that of no tick at all.
    """
    none = (1 - probabilities).prod(axis=1)
    best = probabilities.argmax(axis=1)[:, None] == np.arange(probabilities.shape[1])
    return probabilities + best * none[:, None]
