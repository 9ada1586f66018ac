"""Galaxy Zoo 1: one question, six buttons, spirals by the sense in which they turn.

Lintott et al. 2008, MNRAS 389, 1179 (the buttons: table 1); Lintott et al. 2011, MNRAS 410, 166
(the classes).
"""

import numpy as np
import pandas as pd

from galhelpers.survey.answers import answer_probabilities, visibility
from galhelpers.survey.galaxies import generator
from galhelpers.survey.telescopes import Telescope
from galhelpers.survey.volunteers import ABILITY_SPREAD, tempered, volunteer_abilities, who_voted
from galhelpers.trees import GZ2

BUTTONS = (
    "elliptical",
    "spiral_clockwise",
    "spiral_anticlockwise",
    "edge_on",
    "dont_know",
    "merger",
)
"""The six buttons in their published order. "edge_on" is "spiral, edge-on or unclear sense"."""


def galaxy_zoo_1_probabilities(
    truth: pd.DataFrame, telescope: str | Telescope = "sdss"
) -> np.ndarray:
    """Probability that a volunteer presses each button.

    Arms trail: a galaxy turns towards the side that its arms wind away from. "Clockwise" (like the
    letter Z) is a galaxy whose arms, followed outwards, go round anticlockwise in the picture.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    telescope : str or Telescope
        Whose pictures they see.

    Returns
    -------
    numpy.ndarray
        float64 (n, 6), in the order of ``BUTTONS``; rows sum to 1.
    """
    p = answer_probabilities(truth, GZ2, telescope)
    smooth, featured, artifact = p["smooth-or-featured"].T
    edge_on, arms = p["disk-edge-on"][:, 0], p["has-spiral-arms"][:, 0]
    cigar = p["how-rounded"][:, 2]
    merger = truth["odd"].to_numpy() == "merger"
    spiral = truth["kind"].to_numpy() == "spiral"
    clear = visibility(truth, telescope)

    # The rows of an image grow downwards: arms of turn 1 go round clockwise, followed outwards.
    clockwise = truth["arm_turn"].to_numpy() < 0
    # Few mistake the sense of arms that are plain; where there are none, it is a guess.
    sure = np.where(spiral, 0.5 + 0.47 * np.clip(2.0 * arms - 0.4, 0, 1), 0.5)
    share_clockwise = np.where(clockwise, sure, 1 - sure)
    tells_sense = featured * (1 - edge_on) * arms
    # A disk from the side, or without arms that can be followed, is "edge-on or unclear"; half
    # of those who see no arms on a disk that faces them call it elliptical after all.
    faces_us = featured * (1 - edge_on) * (1 - arms)
    unclear = featured * edge_on + 0.5 * faces_us + 0.6 * smooth * cigar
    buttons = np.column_stack(
        [
            smooth * (1 - 0.6 * cigar) + 0.5 * faces_us,
            tells_sense * share_clockwise,
            tells_sense * (1 - share_clockwise),
            unclear,
            artifact + 0.06 * (1 - clear),
            np.where(merger, 1.5 + 2.5 * clear, 0.015),
        ]
    )
    return buttons / buttons.sum(axis=1, keepdims=True)


def galaxy_zoo_1_votes(
    truth: pd.DataFrame,
    telescope: str | Telescope = "sdss",
    n_volunteers: int | np.ndarray = 40,
    seed: int = 0,
    ability_spread: float = ABILITY_SPREAD,
) -> np.ndarray:
    """Let volunteers press one of six buttons.

    Parameters
    ----------
    truth, telescope, n_volunteers, seed, ability_spread
        As for ``volunteer_votes``, with the same volunteers.

    Returns
    -------
    numpy.ndarray
        int64 (n, 6): how many pressed each button, in the order of ``BUTTONS``.

    Raises
    ------
    ValueError
        For numbers that are out of range.
    """
    abilities = volunteer_abilities(seed, ability_spread)
    who = who_voted(truth, n_volunteers, seed)
    counts = np.zeros((len(truth), len(BUTTONS)), dtype=np.int64)
    plain = galaxy_zoo_1_probabilities(truth, telescope)
    for row, index in enumerate(truth["id"]):
        ability = abilities[who[row][who[row] >= 0]]
        chance = generator(seed, "votes gz1", int(index)).random((len(ability), 1))
        probabilities = tempered(plain[row], ability) if ability_spread > 0 else plain[row][None]
        pressed = (chance >= probabilities.cumsum(axis=1)[:, :-1]).sum(axis=1)
        counts[row] = np.bincount(pressed, minlength=len(BUTTONS))
    return counts


def galaxy_zoo_1_class(counts: np.ndarray, threshold: float = 0.8) -> np.ndarray:
    """Classes of the "clean" sample: what at least 80 % of the volunteers agree on.

    Parameters
    ----------
    counts : numpy.ndarray
        (n, 6): votes in the order of ``BUTTONS``.
    threshold : float
        Share of the votes that is needed: above 0.5, at most 1. Published: 0.8 ("clean"), 0.95
        ("superclean").

    Returns
    -------
    numpy.ndarray
        str (n,): "elliptical", "spiral" (the three spiral buttons together) or "uncertain", as in
        Lintott et al. 2011. Nobody's vote is "uncertain", too.

    Raises
    ------
    ValueError
        For another number of columns, or a threshold that two classes could both reach.
    """
    shares = _shares(counts, threshold)
    spiral = shares[:, 1:4].sum(axis=1)
    # Sums of fractions fall short of 0.8 by a rounding error where the counts reach it.
    enough = threshold - 1e-9
    return np.select([shares[:, 0] >= enough, spiral >= enough], ["elliptical", "spiral"], _UNSURE)


_UNSURE = "uncertain"


def _shares(counts: np.ndarray, threshold: float) -> np.ndarray:
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[1] != len(BUTTONS):
        raise ValueError(
            f"Expected counts of shape (n, {len(BUTTONS)}), one column for each of "
            f"{', '.join(BUTTONS)}; got {counts.shape}."
        )
    if not 0.5 < threshold <= 1:
        raise ValueError(f"Expected a threshold above 0.5 and at most 1, got {threshold}.")
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
