"""Which galaxies may judge a network that comes with the course: those it has not learnt from."""

from pathlib import Path

from galhelpers.learning.make_networks import splits_of
from galhelpers.learning.recipes import NETWORKS
from galhelpers.learning.samples import join, read_sample


def judges_of(name: str, data_root: str | Path | None = None) -> set[str]:
    """Give the ids of the galaxies on which a trained network was tested, and nothing else.

    It has learnt from all others of its data set, or was chosen by them. For a network of the
    simulated survey this is a part of a sky that no lesson draws.

    Parameters
    ----------
    name
        Of a network that comes with the course.
    data_root
        Folder that holds published data sets.

    Raises
    ------
    FileNotFoundError
        Where its galaxies are not on disk: then nobody can tell.
    """
    network = NETWORKS[name]
    galaxies = join([read_sample(sample, data_root) for sample in network.samples])
    return set(galaxies.ids[splits_of(network, galaxies)[0].test])
