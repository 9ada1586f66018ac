"""Bring the published files of a data set to disk: from the web, from Kaggle, from Hugging Face.

Each function gives the path of each file by its name, and a record of where it is from. Kaggle and
Hugging Face are asked through their own clients, with the user's own login.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from pooch.hashes import hash_matches

from galhelpers.data.archives import take
from galhelpers.data.downloads import (
    RETRY,
    TIMEOUT,
    FetchError,
    check_room,
    download,
    explain,
    limits,
    open_session,
    patience,
    wait_for_another_try,
    wrong_kind,
)
from galhelpers.data.manifest import DatasetEntry, FileEntry
from galhelpers.messages import public
from galhelpers.paths import checksum, short

Say = Callable[[str, str], None]
"""Shows a fact to the user: what it is about, and the words."""

Fetched = tuple[dict[str, Path], dict[str, Any]]
"""Path of each file by name, and facts for the record of where a data set is from."""


def fetch_files(
    entry: DatasetEntry, downloads: Path, everything: bool, say: Say, progress: bool = True
) -> Fetched:
    """Download the files of a data set, one after the other.

    Parameters
    ----------
    entry
        Entry of the manifest with ``files``.
    downloads
        Folder for the files as they are published.
    everything
        Fetch the optional files, too.
    say
        Is told what is going on.
    progress
        Show progress bars.

    Raises
    ------
    FetchError
        When a file cannot be had, or is not the right one.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    # What was fetched once with --all belongs to the data set also without it.
    chosen = [
        file
        for file in entry.files
        if everything or not file.optional or (downloads / file.name).is_file()
    ]
    if entry.zenodo:
        chosen = _with_zenodo_pins(entry.zenodo, chosen, downloads)
    absent = [file for file in chosen if not (downloads / file.name).is_file()]
    check_room(downloads, sum(_missing_bytes(file, downloads) for file in absent), entry.name)
    files: dict[str, Path] = {}
    record = []
    for file in chosen:
        say("file", f"{file.name}, {file.size_display or 'size not known'}")
        if file.unverified:
            say("unverified", f"{file.name}: {file.unverified}")
        if entry.kaggle:
            path = _brought(entry.kaggle, file, downloads)
            path = path or _fetch_from_kaggle(entry.kaggle, file, downloads)
        else:
            urls = [url for url in (_mirror(entry, file), file.url, *file.mirrors) if url]
            path = downloads / file.name
            seconds = patience(file.expected_bytes)
            download(urls, path, file.checksum, file.bytes, progress=progress, deadline=seconds)
        sha256 = checksum(path)
        if not file.checksum:
            say("unverified", f"{file.name}: {file.why_no_checksum} sha256 {sha256}")
        files[file.name] = path
        record.append({"name": file.name, "sha256": sha256})
    return files, {"files": record}


def fetch_hub(
    entry: DatasetEntry, downloads: Path, config: str, revision: str, progress: bool = True
) -> Fetched:
    """Download one part of a repository of Hugging Face, at one commit.

    Parameters
    ----------
    entry
        Entry of the manifest with ``hub``.
    downloads
        Folder for the files as they are published.
    config
        Name of a part in the manifest; ``""`` is the first.
    revision
        Commit; ``""`` is that of the manifest, or else the newest.

    Raises
    ------
    FetchError
        For an unknown commit, a login that is missing, no network and so on.
    """
    import huggingface_hub  # takes half a second to load
    from huggingface_hub import errors
    from huggingface_hub.utils import disable_progress_bars

    if entry.hub is None:
        raise ValueError(f"The manifest names no repository for {entry.name}.")
    hub = entry.hub
    config = config or next(iter(hub.configs))
    if not progress:
        disable_progress_bars()
    place = downloads / config
    endpoint = os.environ.get("HF_ENDPOINT")  # as it is now, not when the client was imported
    try:
        # With a name instead of a commit, the client gives whatever is there when it is offline.
        commit = revision or hub.revision
        commit = huggingface_hub.HfApi(endpoint).dataset_info(hub.repo, revision=commit).sha or ""
        options: dict[str, Any] = {
            "repo_type": "dataset",
            "revision": commit,
            "allow_patterns": hub.configs[config],
            "local_dir": place,
            "endpoint": endpoint,
        }
        listed = huggingface_hub.snapshot_download(hub.repo, dry_run=True, **options)
        if not listed:
            raise FetchError(
                f"{hub.repo} has no files {hub.configs[config]} at commit {commit}. Look at "
                f"{entry.page}, and correct hub.configs in data_manifest.yaml."
            )
        place.mkdir(parents=True, exist_ok=True)
        check_room(place, sum(file.file_size for file in listed if file.will_download), hub.repo)
        huggingface_hub.snapshot_download(hub.repo, **options)
    except errors.GatedRepoError as error:
        raise FetchError(_how_to_log_in(hub.repo, "wants its terms accepted")) from error
    except (errors.RevisionNotFoundError, errors.RepositoryNotFoundError) as error:
        if isinstance(error, errors.RevisionNotFoundError):
            raise FetchError(
                f"{hub.repo} has no commit {public(revision or hub.revision)}. Leave --revision "
                f"out, or look at {entry.page}."
            ) from error
        what = "is not there, or not for everybody"
        raise FetchError(_how_to_log_in(hub.repo, what)) from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename:
            raise  # the disk, not the network
        raise FetchError(
            f"{hub.repo} could not be fetched from Hugging Face: {public(error)} Give the same "
            "command again: files that are complete are kept."
        ) from error
    except Exception as error:
        # The errors of the client's own HTTP library, which may change, come from its modules.
        if not type(error).__module__.startswith("httpx"):
            raise
        raise FetchError(
            f"Hugging Face could not be reached for {hub.repo} ({public(error)}). Is there a "
            "network? Give the same command again: files that are complete are kept."
        ) from error
    names = sorted(file.filename for file in listed)
    paths = {name: place / name for name in names}
    for path in paths.values():
        _check_kind(path)
    facts = {"files": [{"name": name} for name in names], "revision": commit, "config": config}
    return paths, facts


def _how_to_log_in(repo: str, what: str) -> str:
    return (
        f"{repo} on Hugging Face {what}. Open https://huggingface.co/datasets/{repo}, log in and "
        "agree to the terms if there are any; then run `hf auth login`, or put a token into the "
        "environment variable HF_TOKEN. Never into a notebook."
    )


def _with_zenodo_pins(address: str, files: list[FileEntry], downloads: Path) -> list[FileEntry]:
    """Take size and checksum of files without a pin from what Zenodo lists today."""

    def is_open(file: FileEntry) -> bool:
        return file.checksum is None and not (downloads / file.name).is_file()

    if not any(is_open(file) for file in files):
        return files
    try:
        with (
            limits(address, 300, 50_000_000),
            open_session() as session,
            session.get(address, timeout=TIMEOUT) as answer,
        ):
            if answer.status_code != 200:
                raise FetchError(explain(answer, address))
            listed = {file["key"]: file for file in answer.json()["files"]}
        pins = {
            file.name: {
                "bytes": int(listed[file.name]["size"]),
                "checksum": str(listed[file.name]["checksum"]),
                "why_no_checksum": None,
            }
            for file in files
            if is_open(file) and file.name in listed
        }
    except requests.JSONDecodeError as error:
        raise FetchError(f"{public(address)} should list files as JSON, and does not.") from error
    except requests.RequestException as error:
        raise FetchError(explain(error, address)) from error
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise FetchError(
            f"{public(address)} should list files with key, size and checksum, and does not."
        ) from error
    return [FileEntry.model_validate(file.model_dump() | pins.get(file.name, {})) for file in files]


def _missing_bytes(file: FileEntry, downloads: Path) -> int:
    part = downloads / f".{file.name}.part"
    have = part.stat().st_size if part.is_file() else 0
    return max(0, (file.expected_bytes or 0) - have)


def _mirror(entry: DatasetEntry, file: FileEntry) -> str:
    """Give the address on a classroom's own server, which is asked first; "" without one."""
    mirror = os.environ.get("GALHELPERS_MIRROR", "").strip().rstrip("/")
    if mirror and not mirror.startswith(("http://", "https://")):
        raise FetchError(
            "The environment variable GALHELPERS_MIRROR should hold an address that begins with "
            f"http:// or https://, it is {public(mirror)!r}."
        )
    return f"{mirror}/{entry.name}/{file.name}" if mirror else ""


def _brought(slug: str, file: FileEntry, downloads: Path) -> Path | None:
    """Find a file that the user has put there, alone or in Kaggle's archive of all files."""
    places = (downloads, downloads.parent, downloads.parent.parent)
    stem, suffix = map(re.escape, os.path.splitext(file.name))  # noqa: PTH122
    # A browser that has a file of the name already writes "NAME (1).zip".
    name = re.compile(rf"{stem}( ?\(\d+\))?{suffix}", re.I)
    for place in places:
        for path in sorted(place.iterdir(), key=lambda path: (path.name != file.name, path.name)):
            if name.fullmatch(path.name) and path.is_file():
                _check_kind(path, file, delete=False)
                return path
    for place in places:
        archive = place / f"{slug}.zip"
        if archive.is_file() and take(archive, file.name, downloads / file.name):
            _check_kind(downloads / file.name, file)
            return downloads / file.name
    return None


def _fetch_from_kaggle(slug: str, file: FileEntry, downloads: Path) -> Path:
    """Fetch a file of a competition with Kaggle's own client, which resumes in its own cache."""
    import kagglehub
    from kagglehub import config, exceptions

    logging.getLogger("kagglehub").setLevel(logging.ERROR)
    page = f"https://www.kaggle.com/c/{slug}"
    how_to_log_in = (
        "Make a token in the settings of your Kaggle account and put it into the file "
        "~/.kaggle/access_token or ~/.kaggle/kaggle.json, for you alone to read (chmod 600), or "
        "into the environment variable KAGGLE_API_TOKEN. Never into a notebook."
    )
    try:
        known = config.get_kaggle_credentials() or "KAGGLE_KERNEL_RUN_TYPE" in os.environ
    except (ValueError, OSError) as error:  # a file of credentials that cannot be read
        raise FetchError(f"Kaggle's login: {public(error)}. {how_to_log_in}") from None
    if not known:
        raise FetchError(f"Kaggle wants to know who asks. {how_to_log_in}")
    retry = RETRY
    while True:
        try:
            with _kaggle_cache(downloads):
                path = Path(kagglehub.competition_download(slug, file.name))
        except requests.RequestException as error:
            status = None if error.response is None else error.response.status_code
            if status == 401:
                raise FetchError(f"Kaggle does not know this login. {how_to_log_in}") from None
            if status == 403:
                raise FetchError(
                    f"Kaggle does not give {file.name} to this login. Open {page}/rules, log in "
                    "and accept the rules of the competition; then give the same command again."
                ) from None
            if status == 404:
                raise FetchError(f"Kaggle has no file {file.name} in {page}. Look there.") from None
            retry = wait_for_another_try(retry, error, page)
        except (exceptions.UnauthenticatedError, exceptions.CredentialError) as error:
            raise FetchError(
                f"Kaggle wants to know who asks ({public(error)}). {how_to_log_in}"
            ) from None
        except ValueError as error:
            raise FetchError(
                f"Kaggle's answer for {file.name} cannot be understood: {public(error)}. Give the "
                "same command again later."
            ) from None
        except exceptions.DataCorruptionError:
            raise FetchError(
                f"{file.name} arrived damaged from Kaggle, and was thrown away. Give the same "
                "command again."
            ) from None
        else:
            _check_kind(path, file)
            return path


@contextmanager
def _kaggle_cache(folder: Path) -> Iterator[None]:
    """Let Kaggle's client keep its files here, unless the user has named a place.

    The client asks the environment each time. By default it would fill the disk of the home.
    """
    if os.environ.get("KAGGLEHUB_CACHE"):
        yield
        return
    os.environ["KAGGLEHUB_CACHE"] = str(folder)
    try:
        yield
    finally:
        del os.environ["KAGGLEHUB_CACHE"]


def _check_kind(path: Path, file: FileEntry | None = None, delete: bool = True) -> None:
    """Refuse (and delete) a file that is another than its name or the manifest says."""
    with path.open("rb") as content:
        problem = wrong_kind(path.name, "", content.read(512))
    size = path.stat().st_size
    if problem is None and file is not None and file.bytes not in (None, size):
        problem = f"expected {file.bytes:,} bytes, {size:,} came."
    if problem is None and file is not None and not hash_matches(path, file.checksum):
        problem = f"expected the checksum {file.checksum}, another file came."
    if problem and not delete:
        raise FetchError(f"{short(path)}: {problem} Take it away, and give the same command again.")
    if problem:
        path.unlink()
        raise FetchError(f"{short(path)}: {problem} Give the same command again.")
