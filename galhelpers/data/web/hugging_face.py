"""Data sets of Hugging Face: the Parquet files of one commit, and the images inside them.

A repository there goes on changing. So its newest commit is looked up once and written down in
``hub.json``, with the size and the checksum of each file; whatever is fetched later is of that
commit. The Hub's own client says what there is and who is asking; the files come through
:func:`galhelpers.data.web.download.download`, because the client (huggingface_hub 2.4.0) starts an
interrupted file from the beginning and compares its size only.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from requests import Session

from galhelpers.data.web.download import Remote, download
from galhelpers.data.web.hub_listing import HOW_TO_LOG_IN, ask_hub
from galhelpers.data.web.intact import one_at_a_time
from galhelpers.data.web.services import FetchError, open_session, service_address
from galhelpers.paths import atomic_write, is_portable, short

__all__ = ["HubSnapshot", "fetch_hub"]

RECORD = "hub.json"


@dataclass(frozen=True)
class HubSnapshot:
    """Files of one commit, verified: ``revision`` is the full commit, ``files`` in its order."""

    folder: Path
    revision: str
    files: list[Path]
    bytes: int
    seconds: float


def fetch_hub(
    repo: str,
    folder: Path,
    *,
    config: str = "default",
    revision: str | None = None,
    progress: bool = True,
    attempts: int = 5,
    backoff: float = 1.0,
) -> HubSnapshot:
    """Fetch the Parquet files of one configuration of a dataset repository, all of one commit.

    Parameters
    ----------
    repo, config
        Such as ``"mwalmsley/gz2"``, and one of the configurations that its card lists.
    folder
        Where the files go, under their names in the repository; for this configuration alone.
    revision
        A commit, tag or branch. Without one, the commit that ``hub.json`` in the folder names; in
        an empty folder the newest.
    attempts, backoff
        How often a request is made before we give up, and how many seconds pass before the second;
        each further pause is twice as long.

    Raises
    ------
    galhelpers.data.web.services.FetchError
        When there is no such repository, revision or configuration, when the folder holds another
        commit, for a login that is missing, no network and so on; the message says what to do.
    """
    started = time.monotonic()
    with one_at_a_time(folder / RECORD, f"download of {repo}", progress):
        record = _read_record(folder / RECORD, repo, config)
        if record is None or revision not in (None, record["revision"]):
            info = ask_hub(repo, revision, attempts, backoff)
            if record is not None and record["revision"] != info.sha:
                raise FetchError(
                    f"{short(folder)} holds commit {record['revision'][:10]} of {repo}, and "
                    f"{revision} is commit {str(info.sha)[:10]}: two commits must not be mixed. "
                    "Fetch into another folder, or delete this one first."
                )
        with _session() as session:
            options = {"session": session, "attempts": attempts, "backoff": backoff}
            if record is None:
                names = _choose(repo, config, info, _read_card(repo, info, folder, options))
                record = _write_record(folder / RECORD, repo, config, info, names)
            options["progress"] = progress
            paths = [
                _download(repo, record["revision"], file, folder, options)
                for file in record["files"]
            ]
    size = sum(path.stat().st_size for path in paths)
    return HubSnapshot(folder, record["revision"], paths, size, time.monotonic() - started)


def _read_record(path: Path, repo: str, config: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if (record["repo"], record["config"]) != (repo, config):
        raise FetchError(
            f"{short(path.parent)} holds {record['repo']}, configuration {record['config']}, and "
            f"not {repo}, {config}. Fetch into another folder, or delete this one first."
        )
    return record


def _write_record(
    path: Path, repo: str, config: str, info: Any, names: list[str]
) -> dict[str, Any]:
    files = [_entry(file) for file in info.siblings or () if file.rfilename in names]
    record = {"repo": repo, "config": config, "revision": info.sha, "files": files}
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    return record


def _entry(file: Any) -> dict[str, Any]:
    """Note name, size and checksum of a file: SHA-256 of a large one, Git's SHA-1 of others."""
    checksum = f"git-blob-sha1:{file.blob_id}" if file.blob_id else None
    checksum = f"sha256:{file.lfs.sha256}" if file.lfs else checksum
    return {"name": file.rfilename, "bytes": file.size, "checksum": checksum}


def _download(
    repo: str, revision: str, file: Mapping[str, Any], folder: Path, options: Mapping[str, Any]
) -> Path:
    """Fetch and verify one file of a commit."""
    from huggingface_hub import hf_hub_url

    name = PurePosixPath(file["name"])
    if not all(map(is_portable, name.parts)):
        raise FetchError(
            f"{repo} has a file called {name}, which may not be written: not every computer could "
            "have it, or not in this folder. Report it to the repository's owner."
        )
    url = hf_hub_url(
        repo,
        str(name),
        repo_type="dataset",
        revision=revision,
        endpoint=service_address("hugging_face"),
    )
    advice = (
        f"If a login is wanted: open https://huggingface.co/datasets/{repo}, log in, agree to the "
        f"terms if there are any; then {HOW_TO_LOG_IN}"
    )
    remote = Remote(name.name, (url,), file["bytes"], file["checksum"], advice)
    return download(remote, folder / name.parent, **options).path


def _session() -> Session:
    """Open a session with the user's token, if there is one; redirections do not carry it on."""
    from huggingface_hub.utils import build_hf_headers

    session = open_session()
    token = build_hf_headers().get("authorization")
    if token:
        session.headers["Authorization"] = token
    return session


def _read_card(repo: str, info: Any, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the YAML at the head of the dataset card of a commit; empty where there is none."""
    from huggingface_hub.repocard import metadata_load

    cards = [_entry(file) for file in info.siblings or () if file.rfilename == "README.md"]
    if not cards:
        return {}
    path = _download(repo, info.sha, cards[0], folder / ".hub", {**options, "progress": False})
    try:
        content = metadata_load(path)
    except (ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _choose(repo: str, config: str, info: Any, card: Mapping[str, Any]) -> list[str]:
    """Name the Parquet files of a configuration, by the card or else by their folders.

    Raises
    ------
    galhelpers.data.web.services.FetchError
        When there is no such configuration; the message lists those that there are.
    """
    from huggingface_hub.utils import filter_repo_objects

    names = [file.rfilename for file in info.siblings or ()]
    parquet = [name for name in names if name.endswith(".parquet")]
    listed = [one for one in card.get("configs") or () if isinstance(one, dict)]
    found: dict[str, list[str]] = {}
    for one in listed:
        name = str(one.get("config_name", "default"))
        patterns = [
            str(PurePosixPath(one.get("data_dir") or "", pattern))
            for pattern in _patterns(one.get("data_files") or "*")
        ]
        found[name] = list(filter_repo_objects(parquet, allow_patterns=patterns))
        if one.get("default") and config == "default":
            config = name
    if not listed:
        for name in parquet:
            first = PurePosixPath(name).parts[0]
            plain = first == name or first in ("data", "train", "test", "validation")
            found.setdefault("default" if plain else first, []).append(name)
    if not found.get(config):
        there = ", ".join(name for name, files in found.items() if files) or "none"
        raise FetchError(
            f"{repo} has no configuration {config!r} with Parquet files. There are: {there}. Look "
            f"at https://huggingface.co/datasets/{repo}."
        )
    return found[config]


def _patterns(data_files: Any) -> Iterator[str]:
    """Read ``data_files`` of a card: a pattern, a list, or splits with one or more patterns."""
    if isinstance(data_files, str):
        yield data_files
    elif isinstance(data_files, Mapping):
        for value in [data_files["path"]] if "path" in data_files else data_files.values():
            yield from _patterns(value)
    else:
        for value in data_files:
            yield from _patterns(value)
