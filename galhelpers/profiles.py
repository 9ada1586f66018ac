"""How much work a notebook does: the same cells in minutes on a laptop or in full on a GPU.

A notebook never asks which profile it runs in; it reads numbers from here.
"""

import re
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
    compare_epochs, compare_seeds
        Notebook 03: passes over the training galaxies for each way to prepare images, and
        repetitions. The galaxies are as many as those of the recorded curves
        (``learning.preparations.N_TRAIN``).
    train_galaxies, train_epochs, train_seeds
        Notebook 04: most galaxies to train on, passes over them, and repetitions.
    node_galaxies
        Notebook 06: most galaxies that the trained networks are shown.
    vote_galaxies, vote_seeds
        Notebooks 08 and 09: simulated galaxies, a part of which judges the forecasts; and
        repetitions of active learning.
    transfer_galaxies, transfer_target
        Notebook 10: simulated galaxies (a third of them are clean), and most real ones.
    transfer_epochs, transfer_widths, transfer_labels, transfer_seeds
        Notebook 10: passes over them, channels of the small network, numbers of labels of the new
        survey, and repetitions.
    transfer_networks
        Notebook 10: known networks to compare, each from random weights and ImageNet's.
    image_size
        Side of the square images that networks see, in pixels.
    """

    name: str
    n_simulated: int
    compare_epochs: int
    compare_seeds: int
    train_galaxies: int
    train_epochs: int
    train_seeds: int
    node_galaxies: int
    vote_galaxies: int
    vote_seeds: int
    transfer_galaxies: int
    transfer_target: int
    transfer_epochs: int
    transfer_widths: tuple[int, ...]
    transfer_labels: tuple[int, ...]
    transfer_seeds: int
    transfer_networks: tuple[str, ...]
    image_size: int = 64


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="quick",
            n_simulated=2_500,
            compare_epochs=5,
            compare_seeds=1,
            train_galaxies=1_000,
            train_epochs=8,
            train_seeds=3,
            node_galaxies=1_000,
            vote_galaxies=1_500,
            vote_seeds=5,
            transfer_galaxies=3_000,
            transfer_target=1_500,
            transfer_epochs=6,
            transfer_widths=(16, 32, 64),
            transfer_labels=(30, 100, 300),
            transfer_seeds=3,
            transfer_networks=("efficientnet_lite0",),
        ),
        Profile(
            name="full",
            n_simulated=20_000,
            compare_epochs=30,
            compare_seeds=3,
            train_galaxies=20_000,
            train_epochs=25,
            train_seeds=5,
            node_galaxies=5_000,
            vote_galaxies=6_000,
            vote_seeds=20,
            transfer_galaxies=12_000,
            transfer_target=4_000,
            transfer_epochs=8,
            transfer_widths=(32, 64, 128),
            transfer_labels=(100, 300, 500),
            transfer_seeds=3,
            transfer_networks=("efficientnet_lite0", "resnet18", "densenet121", "efficientnet_b0"),
        ),
        Profile(
            name="paper",
            n_simulated=61_578,
            compare_epochs=30,
            compare_seeds=10,
            train_galaxies=61_578,
            train_epochs=60,
            train_seeds=10,
            node_galaxies=20_000,
            vote_galaxies=20_000,
            vote_seeds=20,
            transfer_galaxies=60_000,
            transfer_target=60_000,
            transfer_epochs=20,
            transfer_widths=(64, 128, 256),
            transfer_labels=(100, 300, 500, 1_000),
            transfer_seeds=10,
            transfer_networks=(
                "efficientnet_lite0",
                "resnet18",
                "resnet50",
                "densenet121",
                "efficientnet_b0",
                "xception",
            ),
        ),
    )
}


def read_seed(seed: object) -> int:
    """Read the seed of everything random, a number or text, as ``papermill -r`` gives it.

    Raises
    ------
    ValueError
        For anything but a whole number from 0 to 2**32 - 1: numpy takes no other.
    """
    text = str(seed).strip()
    if not (text.isascii() and re.fullmatch(r"\d{1,10}(\.0+)?", text)) or float(text) >= 2**32:
        raise ValueError(f"Expected seed to be a whole number from 0 to {2**32 - 1}, got {seed!r}.")
    return int(float(text))


def get_profile(name: str) -> Profile:
    """Find a profile by its name.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the valid ones.
    """
    if not isinstance(name, str) or name not in PROFILES:
        raise ValueError(f"There is no profile {name!r}; choose one of {', '.join(PROFILES)}.")
    return PROFILES[name]
