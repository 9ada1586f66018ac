"""Bring published files to disk, from the web, Kaggle or Hugging Face, and make them readable."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from galhelpers.course.fetch_pictures import pictures_of_set
from galhelpers.course.fetch_plan import Choices, record_of
from galhelpers.data.manifest import DatasetEntry, FileEntry
from galhelpers.data.web.download import (
    Remote,
    check_space,
    download,
    still_missing,
    zenodo_files,
)
from galhelpers.data.web.hugging_face import fetch_hub
from galhelpers.data.web.intact import verify
from galhelpers.data.web.kaggle_client import fetch_competition_file
from galhelpers.data.web.services import FetchError, from_environment
from galhelpers.paths import UserError, atomic_write, short

DOWNLOADS = "downloads"
"""Folder in a data set's folder that keeps the files as they were published."""


def fetch_published(
    entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool
) -> list[str]:
    """Download what others published, and make it readable."""
    downloads = folder / DOWNLOADS
    if _whole(entry, folder, wanted):
        if wanted.cutouts:
            return pictures_of_set(entry, folder, wanted, progress)
        return [f"Already here; its downloads were deleted. Delete {short(folder)} to start anew."]
    if entry.kind == "hugging_face":
        files, source = _from_hub(entry, downloads, wanted, progress)
    else:
        files, source = _from_web(entry, downloads, wanted, progress)
    if wanted.mosaic:
        mosaic = Path(wanted.mosaic).expanduser()
        if not mosaic.is_file():
            raise UserError(f"There is no file {wanted.mosaic}. --mosaic names a FITS image.")
        files |= {f"f160w {mosaic.name}": mosaic}
    from galhelpers.data.sources.recipes import make_layout  # torch: late, for quick messages
    from galhelpers.data.votes.catalogue_files import VoteTableError

    try:
        notes = make_layout(entry, folder, files, source, progress)
    except VoteTableError as error:
        raise FetchError(
            f"{error} If the file arrived damaged, delete it in {short(downloads)} and give the "
            "same command again."
        ) from error
    if entry.layout != "catalogue":
        with atomic_write(folder / "source.json") as temporary:
            temporary.write_text(json.dumps(source, indent=1), encoding="utf-8")
    return pictures_of_set(entry, folder, wanted, progress) if wanted.cutouts else notes


def _whole(entry: DatasetEntry, folder: Path, wanted: Choices) -> bool:
    """Say whether all that is wanted is there although the downloads were deleted."""
    from galhelpers.data.dataset import load_dataset

    record = folder / "source.json"
    more = wanted.everything or wanted.mosaic or wanted.revision
    if not record.is_file() or (folder / DOWNLOADS).is_dir() or more:
        return False
    if wanted.config not in ("", json.loads(record.read_text(encoding="utf-8")).get("config", "")):
        return False
    try:
        galaxies = load_dataset(entry.name, folder.parent)
    except (OSError, ValueError):
        return False
    # A picture that is named and gone is under its path, one that never was under its identifier.
    lost = galaxies.problems["file"].astype(str).str.contains("/")
    return len(galaxies) > 0 and not lost.any()


def _from_web(
    entry: DatasetEntry, downloads: Path, wanted: Choices, progress: bool
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Download the files of a data set, one after the other."""
    # What was fetched once with --all belongs to the data set also without it.
    chosen = [
        file
        for file in entry.files
        if not file.inside
        and (wanted.everything or not file.optional or (downloads / file.name).is_file())
    ]
    mirror = from_environment("GALHELPERS_MIRROR")
    remotes = [
        _remote(entry, file, mirror) for file in _ask_zenodo(entry, downloads, chosen, mirror)
    ]
    downloads.mkdir(parents=True, exist_ok=True)
    missing = [
        still_missing(replace(remote, bytes=file.expected_bytes), downloads) or 0
        for file, remote in zip(chosen, remotes, strict=True)
        if not (downloads / file.name).is_file()  # its size may be known only roughly
    ]
    check_space(downloads, sum(missing), entry.name)
    earlier = _origins(downloads.parent)
    files, records = {}, []
    for file, remote in zip(chosen, remotes, strict=True):
        print(f"  file:       {file.name}, {file.size_display or 'size not known'}", flush=True)
        if file.unverified:
            print(f"  unverified: {file.name}: {file.unverified}")
        if entry.kind == "kaggle" and not file.urls:
            slug = entry.where.slug or ""
            path = fetch_competition_file(slug, file.name, downloads, progress=progress)
            sha256, problem = verify(remote, path)
            if problem:
                raise FetchError(f"{problem} Delete {short(path)} to fetch it again.")
            files[file.name] = path
            records.append({"name": file.name, "from": f"Kaggle, {slug}", "sha256": sha256})
            continue
        done = download(remote, downloads, progress=progress)
        files[file.name] = done.path
        origin = done.url or earlier.get(file.name) or "was there already"
        records.append({"name": file.name, "from": origin, "sha256": done.sha256})
        if mirror and done.url and not done.url.startswith(mirror):
            print(f"  note:       the mirror {mirror} did not give it; taken from {origin}")
        if not done.verified:
            print(f"  unverified: {file.name}: {file.why_no_checksum} sha256 {done.sha256}")
        if not done.complete:
            print(f"  unverified: {file.name}: its length was not announced; it may be cut short")
    if not files:
        raise FetchError(f"{entry.name} lists no files to fetch in data_manifest.yaml.")
    return files, record_of(entry, records)


def _origins(folder: Path) -> dict[str, str]:
    """Where the files came from that an earlier run wrote down, by name."""
    try:
        record = json.loads((folder / "source.json").read_text(encoding="utf-8"))
        return {file["name"]: file["from"] for file in record["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _remote(entry: DatasetEntry, file: FileEntry, mirror: str) -> Remote:
    first = (f"{mirror}/{entry.name}/{file.name}",) if mirror else ()
    advice = f"By hand: {entry.by_hand}" if entry.by_hand else ""
    return Remote(file.name, (*first, *file.urls), file.bytes, file.checksum, advice)


def _ask_zenodo(
    entry: DatasetEntry, downloads: Path, files: list[FileEntry], mirror: str
) -> list[FileEntry]:
    """Take size and checksum of files that have no pin from what Zenodo lists today."""

    def open_question(file: FileEntry) -> bool:
        there = (downloads / file.name).is_file()
        return file.checksum is None and (file.url or "").startswith("zenodo:") and not there

    if entry.where.zenodo is None or not any(open_question(file) for file in files):
        return files
    try:
        listed = zenodo_files(entry.where.zenodo)
    except FetchError:
        if not mirror:
            raise
        print("  unverified: Zenodo could not be asked for checksums; the mirror is believed.")
        return files
    return [
        with_pin(file, *listed[file.name]) if open_question(file) and file.name in listed else file
        for file in files
    ]


def with_pin(file: FileEntry, size: int, checksum: str) -> FileEntry:
    """Give a file the size in bytes and the checksum that its publisher lists."""
    pin = {"bytes": size, "checksum": checksum, "why_no_checksum": None}
    return FileEntry.model_validate(file.model_dump() | pin)


def _from_hub(
    entry: DatasetEntry, downloads: Path, wanted: Choices, progress: bool
) -> tuple[dict[str, Path], dict[str, Any]]:
    """Download the Parquet files of one configuration of a Hugging Face repository."""
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
    source = record_of(entry, records) | {"revision": done.revision, "config": config}
    return {path.relative_to(place).as_posix(): path for path in done.files}, source
