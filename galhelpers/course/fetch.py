"""Put a data set under the data root, checked, and say what is there now and how to cite it."""

import datetime
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galhelpers.course.errors import UserError
from galhelpers.data.manifest import (
    DatasetEntry,
    FileEntry,
    ManifestError,
    UnknownDatasetError,
    load_manifest,
)
from galhelpers.paths import atomic_write, default_data_root, short

DOWNLOADS = "downloads"
"""Folder in a data set's folder that keeps the files as they were published."""


@dataclass(frozen=True)
class Choices:
    """What can be chosen about a data set; each kind looks at its own.

    Attributes
    ----------
    n, seed, telescope, size, balanced
        Simulated survey, as for ``load_simulated``.
    everything
        Fetch the optional files too.
    config, revision
        Part and commit of a Hugging Face repository.
    catalog
        Table with positions, for an image service.
    cutouts
        Number of galaxies of a catalogue to ask pictures for; None asks for all of ``catalog``.
    per_second
        Requests a second to an image service, at most.
    mosaic
        FITS image of the CANDELS field, to cut stamps from.
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
    mosaic: str = ""


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
    root = Path(data_root) if data_root else default_data_root()
    wanted = Choices(**choices)
    if entry.kind == "simulated":
        _simulated(entry, root, wanted)
        return
    if entry.kind == "folder":
        raise UserError(by_hand(entry, root))
    folder = root / entry.name
    began = time.perf_counter()
    _announce(entry)
    if entry.kind == "cutouts":
        notes = _cutouts_of_catalogue(entry, folder, wanted, progress)
    else:
        notes = _published(entry, folder, wanted, progress)
    _summary(entry, root, notes, time.perf_counter() - began)


def by_hand(entry: DatasetEntry, root: Path) -> str:
    """Say how to get a data set without this command."""
    steps = entry.by_hand or f"It comes from {entry.where}."
    place = short(root / entry.name)
    return f"{entry.name} can be got by hand. {steps} Put it in {place}. Size: {entry.size_display}"


def _published(entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool) -> list[str]:
    """Download what others published, and make it readable."""
    downloads = folder / DOWNLOADS
    if (folder / "source.json").is_file() and not downloads.is_dir() and not wanted.cutouts:
        return [f"Already here; its downloads were deleted. Delete {short(folder)} to start anew."]
    if entry.kind == "hugging_face":
        files, source = _from_hub(entry, downloads, wanted, progress)
    else:
        files, source = _from_web(entry, downloads, wanted, progress)
    if wanted.mosaic:
        mosaic = Path(wanted.mosaic)
        if not mosaic.is_file():
            raise UserError(f"There is no file {wanted.mosaic}. --mosaic names a FITS image.")
        files |= {f"f160w {mosaic.name}": mosaic}
    from galhelpers.data.sources.recipes import make_layout  # torch: late, for quick messages

    notes = make_layout(entry, folder, files, source, progress)
    if wanted.cutouts:
        notes = _cutouts_of_set(entry, folder, wanted, progress)
        make_layout(entry, folder, files, source, progress)
    if entry.layout != "catalogue":
        with atomic_write(folder / "source.json") as temporary:
            temporary.write_text(json.dumps(source, indent=1), encoding="utf-8")
    return notes


def _from_web(
    entry: DatasetEntry, downloads: Path, wanted: Choices, progress: bool
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Download the files of a data set, one after the other."""
    from galhelpers.data.web.download import Remote, check_space, download
    from galhelpers.data.web.kaggle_client import fetch_competition_file
    from galhelpers.data.web.services import FetchError

    listed = [file for file in entry.files if not file.inside]
    chosen = [file for file in listed if wanted.everything or not file.optional]
    chosen = _ask_zenodo(entry, chosen)
    missing = [file for file in chosen if not (downloads / file.name).is_file()]
    downloads.mkdir(parents=True, exist_ok=True)
    check_space(downloads, sum(file.expected_bytes or 0 for file in missing), entry.name)
    files, records = {}, []
    for file in chosen:
        print(f"  file:       {file.name}, {file.size_display or 'size not known'}", flush=True)
        if file.unverified:
            print(f"  unverified: {file.name}: {file.unverified}")
        if entry.kind == "kaggle" and not file.urls:
            slug = entry.where.slug or ""
            path = fetch_competition_file(slug, file.name, downloads, progress=progress)
            files[file.name] = path
            records.append({"name": file.name, "from": f"Kaggle, {slug}"})
            continue
        mirror = os.environ.get("GALHELPERS_MIRROR")
        first = (f"{mirror.rstrip('/')}/{entry.name}/{file.name}",) if mirror else ()
        advice = f"By hand: {entry.by_hand}" if entry.by_hand else ""
        remote = Remote(file.name, (*first, *file.urls), file.bytes, file.checksum, advice)
        done = download(remote, downloads, progress=progress)
        files[file.name] = done.path
        records.append({"name": file.name, "from": file.url or "mirror", "sha256": done.sha256})
        if not done.verified:
            print(f"  unverified: {file.name}: {file.why_no_checksum} sha256 {done.sha256}")
    if not files:
        raise FetchError(f"{entry.name} lists no files to fetch in data_manifest.yaml.")
    return files, _record(entry, records)


def _ask_zenodo(entry: DatasetEntry, files: list[FileEntry]) -> list[FileEntry]:
    """Take size and checksum of files that have no pin from what Zenodo lists today."""
    from galhelpers.data.web.download import zenodo_files

    here = [file for file in files if file.checksum is None and (file.url or "")[:7] == "zenodo:"]
    if not here or entry.where.zenodo is None:
        return files
    listed = zenodo_files(entry.where.zenodo)
    return [
        replace_pin(file, *listed[file.name]) if file in here and file.name in listed else file
        for file in files
    ]


def replace_pin(file: FileEntry, size: int, checksum: str) -> FileEntry:
    """Give a file the size in bytes and the checksum that its publisher lists."""
    pin = {"bytes": size, "checksum": checksum, "why_no_checksum": None}
    return FileEntry.model_validate(file.model_dump() | pin)


def _from_hub(
    entry: DatasetEntry, downloads: Path, wanted: Choices, progress: bool
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Download the Parquet files of one configuration of a Hugging Face repository."""
    from galhelpers.data.web.hugging_face import fetch_hub

    configs = entry.where.configs
    config = wanted.config or (configs[0] if configs else "default")
    if configs and config not in configs:
        raise UserError(f"{entry.name} has no part {config!r}: --config {' or '.join(configs)}.")
    revision = wanted.revision or entry.where.revision
    repo = entry.where.repo or ""
    place = downloads / config
    done = fetch_hub(repo, place, config=config, revision=revision, progress=progress)
    print(f"  commit:     {done.revision}")
    records = [{"name": path.name, "from": f"Hugging Face, {repo}"} for path in done.files]
    source = _record(entry, records) | {"revision": done.revision, "config": config}
    return {path.relative_to(place).as_posix(): path for path in done.files}, source


def _cutouts_of_catalogue(
    entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool
) -> list[str]:
    """Ask an image service for the galaxies of a user's own table."""
    from galhelpers.data.sources.positions import read_positions

    if not wanted.catalog:
        raise UserError(
            f"{entry.name} needs a table of positions: --catalog FILE (CSV, FITS, Parquet or "
            "VOTable) with columns id, ra and dec in degrees."
        )
    from galhelpers.data.sources.catalogue import write_catalogue

    catalog = read_positions(Path(wanted.catalog))
    catalog = catalog if wanted.cutouts is None else catalog.head(wanted.cutouts)
    notes, files = _ask_service(entry, folder, catalog, wanted, progress)
    catalog = catalog.assign(file=catalog["id"].map(files).fillna(""))
    for column, missing in (("class_id", -1), ("class_name", "")):
        if column not in catalog:
            catalog[column] = missing
    source = _record(entry, []) | {"catalog": Path(wanted.catalog).name}
    write_catalogue(folder, catalog, {}, source)
    return notes


def _cutouts_of_set(
    entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool
) -> list[str]:
    """Ask an image service for some galaxies of a data set that has no pictures of its own."""
    import pandas as pd

    from galhelpers.data.sources.positions import in_stable_order

    if entry.cutouts is None:
        raise UserError(f"No image service is known for {entry.name}; leave --cutouts out.")
    catalog = in_stable_order(pd.read_parquet(folder / "catalog.parquet"), wanted.seed)
    catalog = catalog.head(wanted.cutouts or 0)
    return _ask_service(entry, folder, catalog, wanted, progress)[0]


def _ask_service(
    entry: DatasetEntry, folder: Path, catalog: Any, wanted: Choices, progress: bool
) -> tuple[list[str], dict[str, str]]:
    from galhelpers.data.sources.recipes import pictures
    from galhelpers.data.web.cutouts import fetch_cutouts, sdss_radii

    plan = entry.cutouts
    if plan is None:
        raise UserError(f"{entry.name} has no `cutouts` in data_manifest.yaml.")
    framed = plan.pixel_scale is not None or bool({"petro_r90", "pixel_scale"} & set(catalog))
    if plan.service == "sdss" and not framed:
        catalog = sdss_radii(catalog)
    report = fetch_cutouts(
        catalog,
        folder,
        plan.service,
        size=plan.size,
        pixel_scale=plan.pixel_scale,
        per_second=wanted.per_second,
        progress=progress,
    )
    notes = [f"{report.done:,} pictures fetched, {report.already_there:,} were there."]
    if report.failed:
        notes.append(f"{report.failed:,} could not be had: failures.csv says why.")
    return notes, pictures(folder)


def _record(entry: DatasetEntry, files: list[dict[str, Any]]) -> dict[str, Any]:
    """Write down where a data set comes from; stays with it on disk."""
    return {
        "dataset": entry.name,
        "title": entry.title,
        "where": str(entry.where),
        "files": files,
        "fetched": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "licence": entry.licence,
        "citation": list(entry.citation),
    }


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
    counts = galaxies.class_counts()
    print(f"  folder:     {folder}")
    pictures = int((galaxies.catalog["file"] != "").sum())
    print(f"  galaxies:   {len(galaxies):,}, {pictures:,} with a picture")
    print(f"  classes:    {', '.join(f'{name} {count:,}' for name, count in counts.items())}")
    if len(galaxies.problems):
        reasons = galaxies.problems["reason"].value_counts()
        print(f"  left out:   {'; '.join(f'{n:,} {reason}' for reason, n in reasons.items())}")
    kept = _size_of(folder / DOWNLOADS)
    print(f"  on disk:    {_size_of(folder) / 1e6:,.1f} MB, after {seconds:.1f} s")
    if kept:
        print(f"              {kept / 1e6:,.1f} MB of it in {DOWNLOADS}, which may be deleted")
    for note in notes:
        print(f"  note:       {note}")
    _cite(entry, 12)
    print(f"  use it:     galhelpers run --dataset {entry.name} --data-root {short(root)}")


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
        print(f"  {'' if number else 'cite:':<{width}}{work}" if width else work)


def _size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    places = os.walk(folder)
    return sum((Path(place) / name).stat().st_size for place, _, names in places for name in names)
