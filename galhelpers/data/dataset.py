"""Read a data set of the manifest by its name."""

from pathlib import Path

from galhelpers.data import sources
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import load_manifest
from galhelpers.paths import default_data_root
from galhelpers.profiles import get_profile

__all__ = ["GalaxySet", "load_dataset"]


def load_dataset(
    name: str,
    data_root: str | Path | None = None,
    profile: str = "quick",
    seed: int = 0,
) -> GalaxySet:
    """Read a data set of the manifest by its name.

    Parameters
    ----------
    name
        A name in ``data_manifest.yaml``.
    data_root
        Folder that holds the data set; by default ``data`` in the course folder, or the
        environment variable ``GALHELPERS_DATA``.
    profile, seed
        How many galaxies to simulate, and which; real data do not depend on them.

    Raises
    ------
    galhelpers.data.manifest.UnknownDatasetError
        For a name that the manifest does not have.
    FileNotFoundError
        Where the data are not on disk; the message says how to get them.
    """
    entry = load_manifest().get(name)
    root = Path(data_root).expanduser() if data_root else default_data_root()
    if entry.kind == "simulated":
        return sources.load_simulated(root, get_profile(profile).n_simulated, seed)
    readers = {
        "class_folders": sources.load_folder,
        "kaggle": sources.load_kaggle,
        "catalogue": sources.load_catalogue,
        "vote_table": sources.load_vote_table,
        "labelled_folder": sources.load_labelled_folder,
    }
    return readers[entry.layout](entry, root)
