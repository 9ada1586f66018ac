"""The command ``galhelpers fetch``: terms first, then files and pictures, then how to cite them."""

import datetime
import hashlib
import os
import shlex
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galhelpers.data.dataset import load_dataset
from galhelpers.data.downloads import FetchError
from galhelpers.data.manifest import (
    DatasetEntry,
    ManifestError,
    UnknownDatasetError,
    load_manifest,
)
from galhelpers.data.readers import CATALOG, SOURCE, Source
from galhelpers.data.records import read_record
from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.paths import UserError, default_data_root, short, user_path

DOWNLOADS = "downloads"
"""Folder in a data set's folder that keeps the files as they were published."""


@dataclass(frozen=True)
class Choices:
    """What can be chosen about a data set; each has a use for some of it.

    Attributes
    ----------
    n, seed, telescope, size, balanced
        Simulated survey, as for ``load_simulated``; ``seed`` also draws galaxies for ``cutouts``.
    everything
        Fetch the optional files too.
    config, revision
        Part and commit of a Hugging Face repository.
    catalog
        Path of a table with positions, for an image service.
    cutouts
        Number of galaxies to ask pictures for; None asks for all of ``catalog``.
    per_second
        Requests a second to an image service, at most.
    """

    n: int = 4000
    seed: int = 0
    telescope: str = "sdss"
    size: int = 424
    balanced: bool = False
    everything: bool = False
    config: str = ""
    revision: str = ""
    catalog: str = ""
    cutouts: int | None = None
    per_second: float = 5.0


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
        Fields of `Choices`.

    Raises
    ------
    UserError
        For an unknown data set or an impossible choice.
    galhelpers.data.downloads.FetchError
        When something could not be fetched; the message says what to do.
    """
    try:
        entry = load_manifest().get(name)
    except (ManifestError, UnknownDatasetError) as error:
        raise UserError(str(error)) from None
    root = user_path(data_root) if data_root else default_data_root()
    wanted = _checked(entry, choices)
    if entry.is_made_here:
        _make_simulated(entry, root, wanted)
        return
    if not entry.is_fetched:
        steps = entry.by_hand or f"It comes from {entry.origin}."
        raise UserError(
            f"{name} can be got by hand. {steps} Put it in {short(root / name)}. Size: "
            f"{entry.size_display}"
        )
    began = time.perf_counter()
    print(f"{entry.name}: {entry.title}")
    _say("from", entry.origin)
    _say("size", entry.size_display)
    _say("licence", entry.licence)
    if entry.terms:
        _say("TERMS", entry.terms)
    if entry.unverified:
        _say("unverified", entry.unverified)
    folder = root / entry.name
    # One process at a time makes a data set: tables of two must not be mixed.
    with only_one(folder / "fetch", f"fetches {entry.name}"):
        if entry.reader == "positions":
            notes = _pictures_of_table(entry, folder, wanted, progress)
        else:
            notes = _published(entry, folder, wanted, progress)
            if wanted.cutouts:
                notes = _pictures_of_set(entry, folder, wanted, progress)
    _summary(entry, root, notes, time.perf_counter() - began)


def _checked(entry: DatasetEntry, choices: dict[str, Any]) -> Choices:
    """Refuse choices that do not exist, are impossible, or that this data set ignores."""
    defaults = asdict(Choices())
    unknown = sorted(set(choices) - set(defaults))
    if unknown:
        raise UserError(f"There is no choice {unknown[0]!r}. Choices: {', '.join(defaults)}.")
    used = {
        "n": entry.is_made_here,
        "telescope": entry.is_made_here,
        "size": entry.is_made_here,
        "balanced": entry.is_made_here,
        "seed": entry.is_made_here or entry.cutouts,
        "everything": entry.files,
        "config": entry.hub,
        "revision": entry.hub,
        "catalog": entry.reader == "positions",
        "cutouts": entry.cutouts,
        "per_second": entry.cutouts,
    }
    for name, value in choices.items():
        if value != defaults[name] and not used[name]:
            option = {"everything": "all", "per_second": "per-second"}.get(name, name)
            known = ", ".join(name for name, is_used in used.items() if is_used) or "nothing"
            raise UserError(f"{entry.name} has no use for --{option}. What it knows: {known}.")
    wanted = Choices(**choices)
    if entry.hub and wanted.config not in ("", *entry.hub.configs):
        known = " or ".join(entry.hub.configs)
        raise UserError(f"{entry.name} has no part {wanted.config!r}: --config {known}.")
    if wanted.cutouts is not None and wanted.cutouts < 1:
        raise UserError(f"Expected --cutouts of 1 or more, got {wanted.cutouts}.")
    if not wanted.per_second > 0:
        raise UserError(f"Expected --per-second above 0, got {wanted.per_second:g}.")
    return wanted


def _published(entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool) -> list[str]:
    """Download what others published, and make it readable; give notes for the user."""
    from galhelpers.data.convert import convert  # loads h5py and pyarrow, which takes seconds
    from galhelpers.data.fetch import fetch_files, fetch_hub

    downloads = folder / DOWNLOADS
    if _is_complete(entry, folder, wanted):
        return [f"Already here. To make it anew, delete {short(folder / SOURCE)}."]
    if entry.hub:
        # The commit that was fetched first is kept: two commits must not be mixed.
        revision = wanted.revision or _record(folder).revision or ""
        files, facts = fetch_hub(entry, downloads, wanted.config, revision, progress)
        _say("commit", facts["revision"])
    else:
        files, facts = fetch_files(entry, downloads, wanted.everything, _say, progress)
    source = _source(entry) | facts
    try:
        return convert(entry, folder, files, source, progress)
    except ValueError as error:
        raise FetchError(
            f"{error} If a file arrived damaged, delete it in {short(downloads)} and give the same "
            "command again."
        ) from error


def _is_complete(entry: DatasetEntry, folder: Path, wanted: Choices) -> bool:
    """Say whether all that is wanted is there and readable."""
    record = _record(folder)
    names = {file.name for file in record.files}
    expected = {file.name for file in entry.files if wanted.everything or not file.optional}
    if not names or expected - names:
        return False
    if wanted.config not in ("", record.config) or wanted.revision not in ("", record.revision):
        return False
    try:
        galaxies = load_dataset(entry.name, folder.parent)
    except (OSError, ValueError):
        return False
    # A picture that is named and gone is under its path, one that never was under its identifier.
    lost = galaxies.problems["file"].astype(str).str.contains("/")
    return len(galaxies) > 0 and not lost.any()


def _record(folder: Path) -> Source:
    """Read what an earlier run wrote down; empty where there is nothing, or it is damaged."""
    return read_record(folder / SOURCE, Source) or Source()


def _source(entry: DatasetEntry) -> dict[str, Any]:
    """Write down where a data set comes from; stays with it on disk."""
    return {
        "dataset": entry.name,
        "title": entry.title,
        "where": entry.origin,
        "files": [],
        "fetched": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": entry.licence,
        "citation": list(entry.citation),
    }


def _pictures_of_table(
    entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool
) -> list[str]:
    """Ask an image service for the galaxies of a user's own table; give notes for the user."""
    from galhelpers.data.catalogs import FIVE_CLASSES
    from galhelpers.data.readers import UNKNOWN, label_numbers
    from galhelpers.data.tables import read_positions

    if not wanted.catalog:
        raise UserError(
            f"{entry.name} needs a table of positions: --catalog FILE (CSV, FITS or Parquet) with "
            "columns id, ra and dec in degrees."
        )
    catalog = read_positions(user_path(wanted.catalog))
    catalog = catalog if wanted.cutouts is None else catalog.head(wanted.cutouts)
    labels = catalog.get("class_id", pd.Series("", catalog.index))
    numbers = label_numbers(labels.mask(labels == -1), map(str, range(len(FIVE_CLASSES))))
    if (numbers == UNKNOWN).any():
        odd = public(labels[numbers == UNKNOWN].iloc[0], 60)
        _say("note", f"class_id is not one of the five classes, such as {odd!r}: it is not used.")
        numbers[:] = -1
    catalog["class_id"] = numbers
    catalog["class_name"] = np.array([*FIVE_CLASSES, ""], dtype=object)[numbers]
    source = _source(entry) | {"catalog": Path(wanted.catalog).name}
    return _ask_service(
        entry, folder, catalog.assign(file=""), catalog, {}, source, wanted, progress
    )


def _pictures_of_set(
    entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool
) -> list[str]:
    """Ask an image service for some galaxies of a data set that has no pictures of them.

    The same galaxies come first each time: asking for 1,000 after 100 asks for 900 more.
    """
    catalog = pd.read_parquet(folder / CATALOG)
    record = _record(folder)
    source = record.model_dump(exclude_unset=True)
    tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in record.tables}
    # Pictures that the publisher gives lie in folders of their own; they are not asked for again.
    published = catalog["file"].str.count("/") > 1
    placed = catalog["ra"].notna() & catalog["dec"].notna()
    keys = [hashlib.sha256(f"{wanted.seed}:{name}".encode()).hexdigest() for name in catalog["id"]]
    asked = catalog[placed & ~published].assign(key=keys).sort_values("key").drop(columns="key")
    asked = asked.head(wanted.cutouts or 0)
    if asked.empty:
        return ["Every galaxy has a picture already: nothing was asked for."]
    return _ask_service(entry, folder, catalog, asked, tables, source, wanted, progress)


def _ask_service(
    entry: DatasetEntry,
    folder: Path,
    catalog: pd.DataFrame,
    asked: pd.DataFrame,
    tables: dict[str, pd.DataFrame],
    source: dict[str, Any],
    wanted: Choices,
    progress: bool,
) -> list[str]:
    """Fetch pictures of some galaxies; say beforehand how long it takes, afterwards what came.

    The catalog is written in any case, also when the service gave up or the user stopped it: what
    has arrived can be read.
    """
    from galhelpers.data.convert import pictures, write_tables
    from galhelpers.data.cutouts import fetch_cutouts, missing, plan_cutouts, sdss_radii

    if entry.cutouts is None:
        raise UserError(f"No image service is known for {entry.name}.")
    plan = entry.cutouts
    minutes = len(asked) / wanted.per_second / 60
    _say(
        "pictures",
        f"{len(asked):,} galaxies, {wanted.per_second:g} a second at most: {minutes:,.0f} min or "
        f"more, some {len(asked) * 0.03:,.0f} MB",
    )
    if len(asked) >= 10 and asked["ra"].max() < 24:
        _say("note", "ra is below 24 throughout: hours? Degrees are expected.")
    if plan.service == "sdss" and plan.pixel_scale is None and "pixel_scale" not in asked:
        asked = sdss_radii(asked)
    # A table that cannot work is refused before anything of an earlier one is touched.
    frames = plan_cutouts(asked, plan.service, plan.size, plan.pixel_scale)
    if entry.reader == "positions":
        # Another table may have the same names at other positions: from here on its pictures take
        # the place of the earlier ones, so nobody may read them beside the earlier catalog.
        (folder / SOURCE).unlink(missing_ok=True)
    try:
        report = fetch_cutouts(
            asked,
            folder,
            plan.service,
            size=plan.size,
            pixel_scale=plan.pixel_scale,
            per_second=wanted.per_second,
            progress=progress,
        )
    finally:
        # A picture that an earlier table asked for under the same name shows something else.
        others = {frame.id for frame in missing(frames, folder)}
        here = {name: file for name, file in pictures(folder).items() if name not in others}
        pairs = zip(catalog["id"], catalog["file"], strict=True)
        files = [file or here.get(str(name), "") for name, file in pairs]
        write_tables(folder, catalog.assign(file=files), tables, source)
    if report.failed and not report.done + report.already_there:
        raise FetchError(
            f"None of {report.failed:,} pictures could be had: failures.csv in {short(folder)} "
            "says why. Give the same command again once that is mended."
        )
    notes = [f"{report.done:,} pictures fetched, {report.already_there:,} were there."]
    if report.failed:
        notes.append(f"{report.failed:,} could not be had: failures.csv says why.")
    return notes


def _say(what: str, words: str) -> None:
    """Print a fact in the column of facts."""
    print(f"  {what + ':' if what else '':<11} {words}", flush=True)


def _summary(entry: DatasetEntry, root: Path, notes: list[str], seconds: float) -> None:
    """Say what is there now, by reading it as a notebook would, and how to cite it."""
    galaxies = load_dataset(entry.name, root)
    folder = root / entry.name
    with_picture = int((galaxies.catalog["file"] != "").sum())
    counts = galaxies.class_counts()
    _say("folder", str(folder))
    _say("galaxies", f"{len(galaxies):,}, {with_picture:,} with a picture")
    if counts.any():
        _say("classes", ", ".join(f"{name} {count:,}" for name, count in counts.items()))
    if len(galaxies.problems):
        reasons = galaxies.problems["reason"].value_counts()
        shown = [f"{count:,} {reason}" for reason, count in reasons.head(3).items()]
        more = f"; {len(reasons) - 3} more reasons" if len(reasons) > 3 else ""
        _say("left out", f"{'; '.join(shown)}{more}")
    if not with_picture:
        how = (
            f" `galhelpers fetch {entry.name} --cutouts 1000` asks for pictures of 1,000 galaxies."
        )
        notes = [*notes, f"A table without images.{how if entry.cutouts else ''}"]
    _say("on disk", f"{_size_of(folder) / 1e6:,.1f} MB, after {seconds:.1f} s")
    if kept := _size_of(folder / DOWNLOADS):
        _say("", f"{kept / 1e6:,.1f} MB of it in {DOWNLOADS}, which may be deleted")
    for note in notes:
        _say("note", note)
    _cite(entry)
    if with_picture and counts.any():
        default = root.resolve() == default_data_root().resolve()
        where = "" if default else f" --data-root {shlex.quote(str(root.resolve()))}"
        _say("use it", f"galhelpers run --dataset {entry.name}{where}")


def _make_simulated(entry: DatasetEntry, root: Path, wanted: Choices) -> None:
    """Make the simulated survey, and say what is in it."""
    from galhelpers.data import simulated  # loads torch, which takes seconds

    survey = simulated.Survey(wanted.n, wanted.seed, wanted.telescope, wanted.size, wanted.balanced)
    try:
        folder = simulated.survey_folder(root, survey)
    except ValueError as error:
        raise UserError(str(error)) from None
    began = time.perf_counter()
    repaired = simulated.make_survey(root, survey, thorough=True)
    galaxies = simulated.load_simulated(root, *survey)
    seconds = time.perf_counter() - began
    print(f"{entry.name}: {entry.title}")
    for line in repaired:
        _say("repaired", line)
    _say("folder", str(folder))
    pictures = f"pictures of {wanted.size} x {wanted.size} px"
    _say("galaxies", f"{len(galaxies):,}, seen by {wanted.telescope}, {pictures}")
    _say("on disk", f"{_size_of(folder) / 1e6:,.1f} MB, after {seconds:.1f} s")
    _say("images", f"{simulated.IMAGE_FOLDER}/<GalaxyID>.jpg")
    if (folder / simulated.FITS_FOLDER).is_dir():
        stamp = f"{simulated.STAMP} px, nanomaggies, with sky coordinates"
        _say("", f"{simulated.FITS_FOLDER}/<GalaxyID>.fits: {stamp}")
    _say("tables", f"{simulated.TABLE}: 37 cumulative fractions of the votes, the labels")
    for table in galaxies.tables:
        _say("", f"{table}.csv: {simulated.WORDS.get(table, 'its catalog')}")
    _say("licence", entry.licence)
    _cite(entry)


def _cite(entry: DatasetEntry) -> None:
    for number, work in enumerate(entry.citation):
        _say("" if number else "cite", work)


def _size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    places = os.walk(folder)
    return sum((Path(place) / name).stat().st_size for place, _, names in places for name in names)
