"""Download one file so that it is whole, verified and never half there.

What has arrived lies hidden beside its place, as ``.NAME.part``, until the whole of it has been
verified; then it is renamed. An interrupted download continues where it stopped.
"""

import json
import re
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm.auto import tqdm

from galhelpers.data.manifest import CHECKSUM_LENGTHS
from galhelpers.data.web.intact import (
    Part,
    Remote,
    check_space,
    file_checksum,
    hidden,
    one_at_a_time,
    take_place,
    verify,
)
from galhelpers.data.web.services import FetchError, open_session, resolve, shown
from galhelpers.data.web.transfer import PlaceFailedError, Transfer, body, patiently

__all__ = [
    "Downloaded",
    "Remote",
    "check_space",
    "download",
    "file_checksum",
    "still_missing",
    "zenodo_files",
]

LONGEST_LIST = 10_000_000
"""Bytes that a service may take to list the files of a record; 10,000 files take some 5 MB."""


@dataclass(frozen=True)
class Downloaded:
    """A file that is there: ``url`` is None when it was there before, else without its query.

    ``verified`` means that a checksum was known and agreed. ``sha256`` is that of the file.
    ``complete`` is False where nobody said how much should come, neither the manifest nor the
    server: had the connection broken off, it would not have been noticed.
    """

    path: Path
    bytes: int
    seconds: float
    url: str | None
    sha256: str
    verified: bool
    complete: bool = True


def download(
    remote: Remote,
    folder: str | Path,
    *,
    session: requests.Session | None = None,
    progress: bool = True,
    attempts: int = 5,
    backoff: float = 1.0,
    timeout: tuple[float, float] = (10.0, 60.0),
    patience: float = 60.0,
    again: bool = False,
) -> Downloaded:
    """Download a file into a folder, or find it there.

    Parameters
    ----------
    remote
        The file and the places that have it.
    folder
        Where it goes; made when absent. Everything unfinished in it has a hidden (dot) name.
    session
        Carries credentials where a service wants them; by default an anonymous one.
    attempts
        Failures in a row, without more than 64 KiB arriving in between, after which a place is
        given up.
    backoff
        Seconds before the second attempt; doubled before each further one, up to a minute.
    timeout
        Seconds to wait for a connection, and for a server that falls silent.
    patience
        Seconds in which a server must send 1 kB/s on average, or it is treated as silent.
    again
        Download it though it is there, because a reader found it damaged. Where no checksum can
        tell, the old file becomes ``.NAME.rejected``.

    Raises
    ------
    FetchError
        When no place gives the file, what came is not what was expected, or the disk is full.
    ValueError
        When the name or the checksum is not one.
    """
    path = Path(folder) / _plain(remote.name)
    if remote.checksum and remote.checksum.partition(":")[0] not in CHECKSUM_LENGTHS:
        raise ValueError(
            f"{remote.name}: expected a checksum by one of {', '.join(CHECKSUM_LENGTHS)}, "
            f"found {remote.checksum!r}."
        )
    started = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(one_at_a_time(path, f"download of {remote.name}", progress))
        verified, unsure = bool(remote.checksum), hidden(path, "unsure")
        if again:
            _put_away(remote, path)
        elif found := _already_there(remote, path):
            is_known = verified or remote.bytes is not None
            complete = is_known or not unsure.is_file() or unsure.read_text() != found
            return Downloaded(path, *_measured(path, started), None, found, verified, complete)
        bar = stack.enter_context(
            tqdm(desc=remote.name, unit="B", unit_scale=True, leave=False, disable=not progress)
        )
        session = session or stack.enter_context(open_session())
        transfer = Transfer(
            remote, path, session, bar, attempts, backoff, timeout, patience, keep_rejected=again
        )
        reasons = []
        for url in map(resolve, remote.urls):
            try:
                sha256 = transfer.get_from(url)
            except PlaceFailedError as failure:
                reasons.append(str(failure))
            else:
                unsure.unlink(missing_ok=True)
                if not transfer.complete:
                    unsure.write_text(sha256)  # for who finds the file here later
                measured, place = _measured(path, started), shown(url)
                return Downloaded(path, *measured, place, sha256, verified, transfer.complete)
    if len(reasons) != 1:
        count = f"{len(reasons)} places were tried" if reasons else "no place is known that has it"
        reasons.insert(0, f"{remote.name} could not be downloaded: {count}.")
    raise FetchError("\n".join([*reasons, remote.advice]).strip())


def still_missing(remote: Remote, folder: str | Path) -> int | None:
    """Count the bytes of a file that are not on the disk yet.

    0 when the file is there; None when it is not and its size is unknown. Nothing is verified.
    """
    path = Path(folder) / _plain(remote.name)
    if path.is_file() and remote.bytes in (None, path.stat().st_size):
        return 0
    if remote.bytes is None:
        return None
    return max(0, remote.bytes - Part(hidden(path, "part")).size())


def zenodo_files(
    record: str,
    session: requests.Session | None = None,
    *,
    attempts: int = 5,
    backoff: float = 1.0,
    timeout: tuple[float, float] = (10.0, 60.0),
    patience: float = 60.0,
) -> dict[str, tuple[int, str]]:
    """Ask Zenodo which files a record has: name to size in bytes and ``"md5:<hex>"``.

    Raises
    ------
    FetchError
        When Zenodo cannot be asked, or answers with something else than a record.
    """
    url = resolve(f"zenodo:api/records/{record}")
    with ExitStack() as stack:
        session = session or stack.enter_context(open_session())

        def ask() -> bytearray:
            headers, came = {"Accept-Encoding": "identity"}, bytearray()
            with session.get(url, headers=headers, stream=True, timeout=timeout) as answer:
                if answer.status_code != 200:
                    raise requests.HTTPError(response=answer)
                for chunk in body(answer, patience):
                    came += chunk
                    if len(came) > LONGEST_LIST:
                        raise PlaceFailedError(
                            f"{shown(url)} should list the files of a record, but sent more than "
                            f"{LONGEST_LIST / 1e6:.0f} MB. Is that the number of a record?"
                        )
            return came

        try:
            files = json.loads(patiently(ask, url, attempts, backoff))["files"]
            return {file["key"]: (int(file["size"]), str(file["checksum"])) for file in files}
        except PlaceFailedError as failure:
            raise FetchError(str(failure)) from failure
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise FetchError(
                f"{shown(url)} should list the files of a record with key, size and checksum, but "
                "answered with something else. Is that the number of a record?"
            ) from error


def _plain(name: str) -> str:
    if not name or name.startswith(".") or re.search(r"[/\\:\0]", name):
        raise ValueError(f"Expected the plain name of a file, without a folder, found {name!r}.")
    return name


def _already_there(remote: Remote, path: Path) -> str | None:
    """Give the SHA-256 of the file when it is there and right, or was once rejected wrongly."""
    if path.is_file():
        sha256, problem = verify(remote, path)
        if problem is None:
            return sha256
    rejected = hidden(path, "rejected")
    if remote.checksum and rejected.is_file():
        sha256, problem = verify(remote, rejected)
        if problem is None:
            # By way of another name: what has the right one now may be rejected in its turn.
            take_place(remote, rejected.replace(hidden(path, "part")), path)
            return sha256
    return None


def _put_away(remote: Remote, path: Path) -> None:
    """Make sure that nothing of a damaged file is used again."""
    Part(hidden(path, "part")).discard()
    if path.is_file() and not remote.checksum:
        path.replace(hidden(path, "rejected"))


def _measured(path: Path, started: float) -> tuple[int, float]:
    return path.stat().st_size, time.monotonic() - started
