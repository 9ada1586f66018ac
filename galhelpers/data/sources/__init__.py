"""Places that galaxies come from: one file for each kind of place."""

from galhelpers.data.sources.catalogue import load_catalogue
from galhelpers.data.sources.folder import load_folder
from galhelpers.data.sources.kaggle import load_kaggle
from galhelpers.data.sources.labelled_folder import load_labelled_folder
from galhelpers.data.sources.simulated import load_simulated
from galhelpers.data.sources.vote_table import load_vote_table

__all__ = [
    "load_catalogue",
    "load_folder",
    "load_kaggle",
    "load_labelled_folder",
    "load_simulated",
    "load_vote_table",
]
