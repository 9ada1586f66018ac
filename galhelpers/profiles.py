"""How much work a notebook does: the same cells in minutes on a laptop or in full on a GPU.

A notebook never asks which profile it runs in; it reads numbers from here.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Sizes and budgets of one way to run the course.

    Attributes
    ----------
    name
        Name to select it by.
    n_simulated
        Galaxies in the simulated survey.
    compare_galaxies, compare_epochs, compare_seeds
        Notebook 02: training galaxies for each way to prepare images, passes over them, and
        repetitions with other random numbers.
    train_galaxies, train_epochs, train_seeds
        Notebook 03: most galaxies to train on, passes over them, and repetitions.
    node_galaxies, node_epochs, node_splits, node_batch
        Notebook 05: most galaxies, passes over them, random splits, and galaxies in a batch.
    image_size
        Side of the square images that networks see, in pixels.
    """

    name: str
    n_simulated: int
    compare_galaxies: int
    compare_epochs: int
    compare_seeds: int
    train_galaxies: int
    train_epochs: int
    train_seeds: int
    node_galaxies: int
    node_epochs: int
    node_splits: int
    node_batch: int
    image_size: int = 64


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", 4_000, 700, 5, 3, 2_000, 8, 3, 1_000, 8, 2, 16),
        Profile("full", 20_000, 4_000, 12, 5, 20_000, 25, 5, 30_000, 4, 2, 128),
        Profile("paper", 61_578, 10_000, 30, 10, 61_578, 60, 10, 30_000, 690, 10, 256),
    )
}


def get_profile(name: str) -> Profile:
    """Find a profile by its name.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the valid ones.
    """
    if name not in PROFILES:
        raise ValueError(f"There is no profile {name!r}; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]
