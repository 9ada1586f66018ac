"""Simulated volunteers: they walk a decision tree and answer what they can see.

How likely an answer is to a picture: ``galhelpers.survey.answers``. Here are the people: a crowd
with abilities, who of them saw which galaxy, their walk through the tree, and in closed form the
fractions to be expected of them.
"""

import numpy as np
import pandas as pd

from galhelpers.survey.answers import answer_probabilities, visibility
from galhelpers.survey.galaxies import generator
from galhelpers.survey.telescopes import Telescope
from galhelpers.trees import GZ2, Tree

__all__ = [
    "ABILITY_SPREAD",
    "CROWD",
    "answer_probabilities",
    "cumulative_fractions",
    "tempered",
    "visibility",
    "volunteer_abilities",
    "volunteer_votes",
    "who_voted",
]

CROWD = 5000
"""Volunteers of one seed; Galaxy Zoo 2 had 83,943 (Willett et al. 2013)."""
ABILITY_SPREAD = 0.3
"""Standard deviation of the logarithm of ability: chosen, not measured."""

_BLOCK = 1000  # galaxies voted on at once, to bound memory


def volunteer_abilities(seed: int = 0, spread: float = ABILITY_SPREAD) -> np.ndarray:
    """Ability of every volunteer: the power that their answers' probabilities are raised to.

    Parameters
    ----------
    seed : int
        Seed of the volunteers; the same as given to ``volunteer_votes``.
    spread : float
        Standard deviation of the logarithm of ability, 0 or more. The median is 1.

    Returns
    -------
    numpy.ndarray
        float64 (CROWD,). 1 answers with the plain probabilities; 0 would guess; above 1 gives
        the most likely answer more often than others do.

    Raises
    ------
    ValueError
        For a spread that is negative or not a number.
    """
    if not 0 <= spread < np.inf:
        raise ValueError(f"Expected a spread of abilities of 0 or more, got {spread}.")
    return np.exp(spread * generator(seed, "abilities", 0).standard_normal(CROWD))


def who_voted(
    truth: pd.DataFrame, n_volunteers: int | np.ndarray = 40, seed: int = 0
) -> np.ndarray:
    """Numbers of the volunteers who saw each galaxy.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``; their ``id`` counts.
    n_volunteers : int or numpy.ndarray
        Different volunteers a galaxy, one number for all or (n,), from 1 to ``CROWD``.
    seed : int
        Seed of the volunteers.

    Returns
    -------
    numpy.ndarray
        int64 (n, most): rows of volunteers' numbers from 0, filled up with -1. Asking more of them
        leaves the first ones the same.

    Raises
    ------
    ValueError
        For a number of volunteers below 1 or above ``CROWD``, or a wrong number of numbers.
    """
    numbers = np.asarray(n_volunteers)
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (len(truth),)):
        raise ValueError(
            f"Expected a whole number of volunteers, or one for each of the {len(truth)} galaxies, "
            f"got {numbers.dtype} of shape {numbers.shape}."
        )
    wrong = numbers[(numbers < 1) | (numbers > CROWD)]
    if wrong.size:
        raise ValueError(f"Expected 1 volunteer or more, {CROWD} at most, got {wrong.flat[0]}.")
    seats = np.broadcast_to(numbers, len(truth))
    who = np.full((len(truth), int(numbers.max(initial=1))), -1)
    for row, (index, n) in enumerate(zip(truth["id"], seats, strict=True)):
        who[row, :n] = generator(seed, "voters", int(index)).permutation(CROWD)[:n]
    return who


def tempered(probabilities: np.ndarray, ability: np.ndarray) -> np.ndarray:
    """Probabilities of the answers for people of some ability: p^ability, made to sum to 1.

    Parameters
    ----------
    probabilities : numpy.ndarray
        (..., answers).
    ability : numpy.ndarray
        (...): matches the probabilities' leading axes.

    Returns
    -------
    numpy.ndarray
        float64 (..., answers).
    """
    # Divided by the largest first, else a great ability would make all of them 0.
    power = (probabilities / probabilities.max(axis=-1, keepdims=True)) ** ability[..., None]
    return power / power.sum(axis=-1, keepdims=True)


def volunteer_votes(
    truth: pd.DataFrame,
    tree: Tree = GZ2,
    telescope: str | Telescope = "sdss",
    n_volunteers: int | np.ndarray = 40,
    seed: int = 0,
    ability_spread: float = ABILITY_SPREAD,
    debiased: bool = False,
) -> np.ndarray:
    """Let volunteers classify galaxies.

    Each starts at the first question and is asked what their own answers lead to, every question
    at most once. "Is there anything odd?" is asked of everybody, as in the published table.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    tree : Tree
        ``GZ2`` or ``DECALS``.
    telescope : str or Telescope
        Whose pictures they see.
    n_volunteers : int or numpy.ndarray
        Volunteers a galaxy, one number for all or (n,), from 1 to ``CROWD``. (Galaxy Zoo 2: a
        median of 44; Willett et al. 2013.)
    seed : int
        Seed of the volunteers and of their answers; a galaxy's votes depend on it and on the
        galaxy alone. The same person meets the same chance whatever the picture: votes of one seed
        on two telescopes, or with and without bias, differ only where the picture matters.
    ability_spread : float
        How much volunteers differ, see ``volunteer_abilities``; 0 switches it off.
    debiased : bool
        As for ``answer_probabilities``.

    Returns
    -------
    numpy.ndarray
        int64 (n, n_answers): how many gave each answer, in the order of ``tree.columns``.

    Raises
    ------
    ValueError
        For another tree, or numbers that are out of range.
    """
    abilities = volunteer_abilities(seed, ability_spread)
    who = who_voted(truth, n_volunteers, seed)
    probabilities = answer_probabilities(truth, tree, telescope, debiased)
    counts = np.zeros((len(truth), tree.n_answers), dtype=np.int64)
    for start in range(0, len(truth), _BLOCK):
        rows = slice(start, start + _BLOCK)
        present = who[rows] >= 0
        chance = np.zeros((*present.shape, tree.n_questions))
        for row, index in enumerate(truth["id"].iloc[rows]):
            draws = generator(seed, f"votes {tree.name}", int(index))
            n = present[row].sum()
            chance[row, :n] = draws.random((n, tree.n_questions))
        seen = {name: p[rows, None] for name, p in probabilities.items()}
        if ability_spread > 0:
            ability = abilities[who[rows]]
            seen = {name: tempered(p, ability) for name, p in seen.items()}
        counts[rows] = _walk(tree, seen, chance, present)
    return counts


def _walk(
    tree: Tree, probabilities: dict[str, np.ndarray], chance: np.ndarray, present: np.ndarray
) -> np.ndarray:
    """Let volunteers (n, seats), each with a chance for every question, give (n, n_answers)."""
    gave: dict[str, np.ndarray] = {}  # column -> which volunteers gave that answer, (n, seats)
    for number, question in enumerate(tree.questions):
        asked = present
        if question.parents:
            asked = np.any([gave[parent] for parent in question.parents], axis=0)
        edges = probabilities[question.name].cumsum(axis=-1)[..., :-1]
        answer = (chance[:, :, number, None] >= edges).sum(axis=-1)
        for place, column in enumerate(question.columns):
            gave[column] = asked & (answer == place)
    return np.stack([gave[column].sum(axis=1) for column in tree.columns], axis=1)


def cumulative_fractions(counts: np.ndarray, tree: Tree = GZ2) -> np.ndarray:
    """Turn counts (n, n_answers) into float64 cumulative fractions: shares of all volunteers."""
    counts = np.asarray(counts)
    everybody = counts[:, tree.slices[tree.questions[0].name]].sum(axis=1, keepdims=True)
    return counts / np.maximum(everybody, 1)
