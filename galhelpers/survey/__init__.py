"""The simulated survey: galaxies with known truth, telescopes that see them, volunteers who judge.

It is the course's default data set and its laboratory: truth is known here as in no real survey.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from galhelpers.survey.catalogues import catalogue_of
from galhelpers.survey.distance import moved_to_redshift
from galhelpers.survey.experts import expert_fractions, expert_votes
from galhelpers.survey.galaxies import SURVEY_VERSION, sample_galaxies
from galhelpers.survey.galaxy_zoo_1 import galaxy_zoo_1_class, galaxy_zoo_1_votes
from galhelpers.survey.render import linear_images, render, stretch
from galhelpers.survey.telescopes import TELESCOPES, Telescope, get_telescope
from galhelpers.survey.volunteers import (
    answer_probabilities,
    cumulative_fractions,
    expected_fractions,
    volunteer_abilities,
    volunteer_votes,
    who_voted,
)
from galhelpers.trees import GZ2

__all__ = [
    "SURVEY_VERSION",
    "TELESCOPES",
    "Survey",
    "Telescope",
    "answer_probabilities",
    "catalogue_of",
    "cumulative_fractions",
    "expected_fractions",
    "expert_fractions",
    "expert_votes",
    "galaxy_zoo_1_class",
    "galaxy_zoo_1_votes",
    "get_telescope",
    "linear_images",
    "moved_to_redshift",
    "render",
    "sample_galaxies",
    "simulate",
    "stretch",
    "volunteer_abilities",
    "volunteer_votes",
    "who_voted",
]


@dataclass(frozen=True)
class Survey:
    """What a survey of n galaxies leaves behind.

    Attributes
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    images : torch.Tensor
        uint8 (n, 3, size, size), red, green, blue.
    counts : numpy.ndarray
        int (n, 37): volunteers who gave each answer of the Galaxy Zoo 2 tree.
    probabilities : dict
        From the name of a question to float64 (n, answers): what volunteers of ordinary ability
        who are asked it answer.
    fractions : numpy.ndarray
        float64 (n, 37): the counts as cumulative fractions, Kaggle's convention.
    """

    truth: pd.DataFrame
    images: Tensor
    probabilities: dict[str, np.ndarray]
    counts: np.ndarray
    fractions: np.ndarray


def simulate(
    n: int,
    seed: int = 0,
    telescope: str | Telescope = "sdss",
    size: int = 424,
    start: int = 0,
    balanced: bool = False,
) -> Survey:
    """Draw galaxies, look at them and ask volunteers; parameters as in the functions called."""
    truth = sample_galaxies(n, seed, start, balanced)
    images = render(truth, telescope, size, seed)
    probabilities = answer_probabilities(truth, GZ2, telescope)
    counts = volunteer_votes(truth, GZ2, telescope, seed=seed)
    return Survey(truth, images, probabilities, counts, cumulative_fractions(counts, GZ2))
