"""Put a data set under the data root, checked, and say what is there now and how to cite it."""

import os
import shlex
import time
from pathlib import Path
from typing import Any

from galhelpers.course.fetch_plan import Choices, checked_choices
from galhelpers.data.manifest import (
    DatasetEntry,
    ManifestError,
    UnknownDatasetError,
    load_manifest,
)
from galhelpers.paths import UserError, default_data_root, short


def fetch(
    name: str, data_root: str | Path | None = None, progress: bool = True, **choices: Any
) -> None:
    """Bring a data set to disk, and print what it is, where it is and how to cite it.

    Give the same command again after an interruption: what has arrived is kept.

    Parameters
    ----------
    name : str
        Data set in the manifest.
    data_root : str or path, optional
        Folder for data; the default one when not given.
    progress : bool
        Show progress bars.
    **choices
        Fields of ``Choices``.

    Raises
    ------
    UserError
        For an unknown data set or an impossible choice.
    galhelpers.data.web.services.FetchError
        When something could not be fetched; the message says what to do.
    """
    try:
        entry = load_manifest().get(name)
    except (ManifestError, UnknownDatasetError) as error:
        raise UserError(str(error)) from None
    root = Path(data_root).expanduser() if data_root else default_data_root()
    wanted = checked_choices(entry, choices)
    if entry.kind == "simulated":
        _simulated(entry, root, wanted)
        return
    if entry.kind == "folder":
        raise UserError(by_hand(entry, root))
    from galhelpers.course.fetch_files import fetch_published  # the web: late, for quick messages
    from galhelpers.course.fetch_pictures import pictures_of_catalogue
    from galhelpers.data.web.intact import one_at_a_time

    folder = root / entry.name
    began = time.perf_counter()
    _announce(entry)
    # One process at a time makes a data set: tables of two must not be mixed.
    with one_at_a_time(folder / "source.json", f"fetch of {entry.name}"):
        work = pictures_of_catalogue if entry.kind == "cutouts" else fetch_published
        notes = work(entry, folder, wanted, progress)
    _summary(entry, root, notes, time.perf_counter() - began)


def by_hand(entry: DatasetEntry, root: Path) -> str:
    """Say how to get a data set without this command."""
    steps = entry.by_hand or f"It comes from {entry.where}."
    place = short(root / entry.name)
    return f"{entry.name} can be got by hand. {steps} Put it in {place}. Size: {entry.size_display}"


def _announce(entry: DatasetEntry) -> None:
    """Say what is going to happen, and under which terms, before anything is downloaded."""
    print(f"{entry.name}: {entry.title}")
    print(f"  from:       {entry.where}")
    print(f"  size:       {entry.size_display}")
    print(f"  licence:    {entry.licence}")
    if entry.terms:
        print(f"  TERMS:      {entry.terms}")
    if entry.unverified:
        print(f"  unverified: {entry.unverified}")


def _summary(entry: DatasetEntry, root: Path, notes: list[str], seconds: float) -> None:
    """Say what is there now, by reading it as a notebook would."""
    from galhelpers.data.dataset import load_dataset

    galaxies = load_dataset(entry.name, root)
    folder = root / entry.name
    pictures = int((galaxies.catalog["file"] != "").sum())
    counts = galaxies.class_counts()
    print(f"  folder:     {folder}")
    print(f"  galaxies:   {len(galaxies):,}, {pictures:,} with a picture")
    if counts.any():
        print(f"  classes:    {', '.join(f'{name} {count:,}' for name, count in counts.items())}")
    if len(galaxies.problems):
        reasons = galaxies.problems["reason"].value_counts()
        shown = [f"{count:,} {reason}" for reason, count in reasons.head(3).items()]
        more = f"; {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        print(f"  left out:   {'; '.join(shown)}{more}")
    kept = _size_of(folder / "downloads")
    print(f"  on disk:    {_size_of(folder) / 1e6:,.1f} MB, after {seconds:.1f} s")
    if kept:
        print(f"              {kept / 1e6:,.1f} MB of it in downloads, which may be deleted")
    for note in notes:
        print(f"  note:       {note}")
    _cite(entry, 12)
    if pictures and counts.any():
        default = root.resolve() == default_data_root().resolve()
        where = "" if default else f" --data-root {shlex.quote(str(root.resolve()))}"
        print(f"  use it:     galhelpers run --dataset {entry.name}{where}")


def _simulated(entry: DatasetEntry, root: Path, wanted: Choices) -> None:
    """Make the simulated survey."""
    from galhelpers.data.sources import simulated  # torch: late, for quick messages

    sky = (wanted.n, wanted.seed, wanted.telescope, wanted.size, wanted.balanced)
    try:
        folder = simulated.survey_folder(root, *sky)
    except ValueError as error:
        raise UserError(str(error)) from None
    began = time.perf_counter()
    galaxies = simulated.load_simulated(root, *sky)
    seconds = time.perf_counter() - began
    pictures = f"pictures of {wanted.size} x {wanted.size} px"
    print(f"{entry.name}: {entry.title}")
    print(f"  folder:   {folder}")
    print(f"  galaxies: {len(galaxies):,}, seen by {wanted.telescope}, {pictures}")
    print(f"  on disk:  {_size_of(folder) / 1e6:,.1f} MB, after {seconds:.1f} s")
    print(f"  images:   {simulated.IMAGE_FOLDER}/<GalaxyID>.jpg")
    if (folder / simulated.FITS_FOLDER).is_dir():
        stamp = f"{simulated.STAMP} px, nanomaggies, with sky coordinates"
        print(f"            {simulated.FITS_FOLDER}/<GalaxyID>.fits: {stamp}")
    print(f"  tables:   {simulated.TABLE}: 37 cumulative fractions of the votes, the labels")
    for table in galaxies.tables:
        print(f"            {table}.csv: {simulated.WORDS.get(table, 'its catalogue')}")
    print(f"  licence:  {entry.licence}")
    _cite(entry, 10)


def _cite(entry: DatasetEntry, width: int) -> None:
    for number, work in enumerate(entry.citation):
        print(f"  {'' if number else 'cite:':<{width}}{work}")


def _size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    places = os.walk(folder)
    return sum((Path(place) / name).stat().st_size for place, _, names in places for name in names)
