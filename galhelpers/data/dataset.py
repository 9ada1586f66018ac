"""Read a data set of the manifest by its name."""

from pathlib import Path

from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import load_manifest
from galhelpers.data.readers import read_dataset
from galhelpers.paths import default_data_root, user_path


def load_dataset(
    name: str, data_root: str | Path | None = None, n: int = 4000, seed: int = 0
) -> GalaxySet:
    """Read a data set of the manifest by its name; the simulated survey is made where it is not.

    Parameters
    ----------
    name
        A name in ``data_manifest.yaml``.
    data_root
        Folder that holds the data set; by default ``data`` in the course folder, or the
        environment variable ``GALHELPERS_DATA``.
    n, seed
        How many galaxies to simulate, and which; real data do not depend on them.

    Raises
    ------
    galhelpers.data.manifest.UnknownDatasetError
        For a name that the manifest does not have.
    FileNotFoundError
        Where the data are not on disk; the message says how to get them.
    """
    entry = load_manifest().get(name)
    root = user_path(data_root) if data_root else default_data_root()
    if entry.is_made_here:
        from galhelpers.data.simulated import load_simulated  # loads torch

        return load_simulated(root, n, seed)
    return read_dataset(entry, root)
