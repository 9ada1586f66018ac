"""Put a data set under the data root and say what is there now."""

import os
import time
from pathlib import Path

from galhelpers.course.errors import UserError
from galhelpers.data.manifest import (
    DatasetEntry,
    ManifestError,
    UnknownDatasetError,
    load_manifest,
)
from galhelpers.paths import default_data_root, short


def fetch(
    name: str,
    data_root: str | Path | None = None,
    n: int = 4000,
    seed: int = 0,
    telescope: str = "sdss",
    size: int = 424,
    balanced: bool = False,
) -> None:
    """Make the simulated survey, and print where it is, what it holds and how to cite it.

    Parameters
    ----------
    name : str
        Data set in the manifest. Those that are not simulated are got by hand; the error says how.
    data_root : str or path, optional
        Folder for data; the default one when not given.
    n, seed, telescope, size, balanced
        As for ``load_simulated``.

    Raises
    ------
    UserError
        For an unknown data set, one that has to be got by hand, or an impossible option.
    """
    try:
        entry = load_manifest().get(name)
    except (ManifestError, UnknownDatasetError) as error:
        raise UserError(str(error)) from None
    root = Path(data_root) if data_root else default_data_root()
    if entry.kind != "simulated":
        raise UserError(by_hand(entry, root))
    from galhelpers.data.sources import simulated  # torch: late, for quick messages

    try:
        folder = simulated.survey_folder(root, n, seed, telescope, size, balanced)
    except ValueError as error:
        raise UserError(str(error)) from None
    began = time.perf_counter()
    galaxies = simulated.load_simulated(root, n, seed, telescope, size, balanced)
    seconds = time.perf_counter() - began
    print(f"{entry.name}: {entry.title}")
    print(f"  folder:   {folder}")
    print(f"  galaxies: {len(galaxies):,}, seen by {telescope}, pictures of {size} x {size} px")
    print(f"  on disk:  {_size_of(folder) / 1e6:,.1f} MB, after {seconds:.1f} s")
    print(f"  images:   {simulated.IMAGE_FOLDER}/<GalaxyID>.jpg")
    if (folder / simulated.FITS_FOLDER).is_dir():
        stamp = f"{simulated.STAMP} px, nanomaggies, with sky coordinates"
        print(f"            {simulated.FITS_FOLDER}/<GalaxyID>.fits: {stamp}")
    print(f"  tables:   {simulated.TABLE}: 37 cumulative fractions of the votes, the labels")
    for table in galaxies.tables:
        print(f"            {table}.csv: {simulated.WORDS.get(table, 'its catalogue')}")
    print(f"  licence:  {entry.licence}")
    for number, work in enumerate(entry.citation):
        print(f"  {'' if number else 'cite:':<9} {work}")


def by_hand(entry: DatasetEntry, root: Path) -> str:
    """Say how to get a data set that no command makes."""
    steps = entry.by_hand or f"It comes from {entry.where}."
    return (
        f"{entry.name} is got by hand. {steps} Put it in {short(root / entry.name)} (--data-root "
        f"names another place). Size: {entry.size_display}. Only simulated is made by this command."
    )


def _size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    places = os.walk(folder)
    return sum((Path(place) / name).stat().st_size for place, _, names in places for name in names)
