"""The simulated survey: galaxies with known truth, telescopes that see them, volunteers who judge.

It is the course's default data set and its laboratory: truth is known here as in no real survey.
"""

from galhelpers.survey.catalogs import catalog_of
from galhelpers.survey.distance import moved_to_redshift
from galhelpers.survey.experts import expert_fractions, expert_votes
from galhelpers.survey.galaxies import SURVEY_VERSION, ringed_galaxies, sample_galaxies
from galhelpers.survey.galaxy_zoo_1 import galaxy_zoo_1_class, galaxy_zoo_1_votes
from galhelpers.survey.render import linear_images, render, stretch
from galhelpers.survey.telescopes import TELESCOPES, Telescope, get_telescope
from galhelpers.survey.volunteers import (
    answer_probabilities,
    cumulative_fractions,
    volunteer_abilities,
    volunteer_votes,
    who_voted,
)

__all__ = [
    "SURVEY_VERSION",
    "TELESCOPES",
    "Telescope",
    "answer_probabilities",
    "catalog_of",
    "cumulative_fractions",
    "expert_fractions",
    "expert_votes",
    "galaxy_zoo_1_class",
    "galaxy_zoo_1_votes",
    "get_telescope",
    "linear_images",
    "moved_to_redshift",
    "render",
    "ringed_galaxies",
    "sample_galaxies",
    "stretch",
    "volunteer_abilities",
    "volunteer_votes",
    "who_voted",
]
