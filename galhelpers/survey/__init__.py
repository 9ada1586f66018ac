"""The simulated survey: galaxies with known truth, telescopes that see them, volunteers who judge.

It is the course's default data set and its laboratory: truth is known here as in no real survey.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from torch import Tensor

from galhelpers.survey.galaxies import SURVEY_VERSION, sample_galaxies
from galhelpers.survey.render import linear_images, render, stretch
from galhelpers.survey.telescopes import TELESCOPES, Telescope, catalogue_of, get_telescope
from galhelpers.survey.volunteers import (
    answer_probabilities,
    cumulative_fractions,
    volunteer_votes,
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
    "get_telescope",
    "linear_images",
    "render",
    "sample_galaxies",
    "simulate",
    "stretch",
    "volunteer_votes",
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
    fractions : numpy.ndarray
        float64 (n, 37): the same as cumulative fractions, Kaggle's convention.
    """

    truth: pd.DataFrame
    images: Tensor
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
    counts = volunteer_votes(truth, GZ2, telescope, seed=seed)
    images = render(truth, telescope, size, seed)
    return Survey(truth, images, counts, cumulative_fractions(counts, GZ2))
