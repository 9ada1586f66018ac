"""Bring the bytes of one file from one place, through broken connections and busy servers.

What has arrived is in ``.NAME.part`` with a note of its origin in ``.NAME.part.json``; the next
attempt, or the next process, asks for the rest (RFC 9110, section 14: range requests).
"""

import errno
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests
import urllib3
from tqdm.auto import tqdm

from galhelpers.data.web.intact import (
    Remote,
    check_space,
    hidden,
    rename_for_good,
    verify,
    wrong_kind,
)
from galhelpers.data.web.services import (
    LONGEST_WAIT,
    PASSING,
    FetchError,
    explain,
    no_network,
    retry_after,
    shown,
)
from galhelpers.paths import atomic_write, short

CHUNK = 2**16
"""Bytes read at a time: what a connection that breaks off can cost. More than that is progress."""

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A full disk, a used-up quota, a file larger than the file system allows."""

T = TypeVar("T")


class PlaceFailedError(Exception):
    """One place does not give the file; the message says why."""


@dataclass
class Part:
    """What has arrived of a file, and a note of where it came from."""

    path: Path

    @property
    def note(self) -> Path:
        """Where the origin is written down."""
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        """Count the bytes."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> dict[str, Any]:
        """Give ``url``, ``etag``, ``modified`` and ``total``; nothing when the note is unusable."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        complete = isinstance(note, dict) and {"url", "etag", "modified", "total"} <= note.keys()
        return note if complete else {}

    def begin(self, url: str, answer: requests.Response, total: int | None) -> None:
        """Start over with an answer of a server whose whole file has ``total`` bytes."""
        # The part is emptied first: an old part with a new note would be continued wrongly.
        with self.path.open("wb"):
            pass
        note = {
            "url": shown(url),
            "etag": answer.headers.get("ETag"),
            "modified": answer.headers.get("Last-Modified"),
            "total": total,
        }
        with atomic_write(self.note) as temporary:
            temporary.write_text(json.dumps(note), encoding="utf-8")

    def append(self, chunks: Iterator[bytes], bar: tqdm) -> None:
        """Write what arrives behind what is there."""
        # Unbuffered: what has arrived survives even a killed process.
        with self.path.open("ab", buffering=0) as file:
            for chunk in chunks:
                rest = memoryview(chunk)
                while rest:
                    rest = rest[file.write(rest) :]
                bar.update(len(chunk))

    def discard(self) -> None:
        """Remove the part and its note."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


@dataclass
class Transfer:
    """One download: the file, its place, and how patient to be."""

    remote: Remote
    path: Path
    session: requests.Session
    bar: tqdm
    attempts: int
    backoff: float
    timeout: tuple[float, float]

    def __post_init__(self) -> None:
        self.part = Part(hidden(self.path, "part"))
        self.furthest = 0

    def get_from(self, url: str) -> str:
        """Put the file into its place, verified; give its SHA-256."""
        rejected = hidden(self.path, "rejected")
        for last in (False, True):
            self.furthest = self.part.size()
            continued = patiently(
                lambda: self._receive(url, self._usable(url)),
                url,
                self.attempts,
                self.backoff,
                self._has_grown,
                self.bar.set_postfix_str,
            )
            sha256, problem = verify(self.remote, self.part.path)
            if problem is None:
                rename_for_good(self.part.path, self.path)
                self.part.discard()
                rejected.unlink(missing_ok=True)
                return sha256
            if not continued or last:
                break
            # Pieces that do not fit together are our problem, not yet the publisher's.
            self.part.discard()
        self.part.path.replace(rejected)
        self.part.discard()
        raise PlaceFailedError(
            f"{shown(url)} sent another file than expected. {problem} The publisher may have "
            "replaced the file, so that what data_manifest.yaml says about it is out of date: "
            f"compare with the page of the data set. What came is kept as {short(rejected)}; once "
            "the manifest is put right, it is used without another download."
        )

    def _has_grown(self) -> bool:
        before, self.furthest = self.furthest, max(self.furthest, self.part.size())
        return self.furthest >= before + CHUNK

    def _usable(self, url: str) -> int:
        """Count the bytes that a download from here may continue."""
        have, origin = self.part.size(), self.part.origin()
        if not origin or have > (origin["total"] or have):
            return 0
        # Another place's part, or one whose version nobody knows, only where a checksum decides.
        same_version = origin["url"] == shown(url) and _validator(origin)
        return have if same_version or self.remote.checksum else 0

    def _receive(self, url: str, have: int) -> bool:
        """Receive the rest of the file; give whether it continued what was there before."""
        origin = self.part.origin() if have else {}
        if have and have == (origin["total"] or self.remote.bytes):
            return True
        headers = {"Accept-Encoding": "identity"}  # checksums are of the file as it is stored
        if have:
            headers["Range"] = f"bytes={have}-"
            if origin["url"] == shown(url) and (validator := _validator(origin)):
                headers["If-Range"] = validator
        with self.session.get(url, headers=headers, stream=True, timeout=self.timeout) as answer:
            start, total = _span(answer)
            if have and answer.status_code == 416 and total == have:
                return True
            if have and answer.status_code != 200:
                fits = start == have and _same_version(origin, shown(url), answer, total)
                if answer.status_code == 416 or (answer.status_code == 206 and not fits):
                    self.part.discard()
                    return self._receive(url, 0)
            if answer.status_code not in ((200, 206) if have else (200,)):
                raise requests.HTTPError(response=answer)
            total = total or (origin["total"] if start else None) or self.remote.bytes
            self._store(url, answer, start, total)
        return start > 0

    def _store(self, url: str, answer: requests.Response, start: int, total: int | None) -> None:
        """Write the body of an answer behind the first ``start`` bytes of the part."""
        chunks = _body(answer)
        first = b""
        while len(first) < 512 and (chunk := next(chunks, b"")):
            first += chunk
        problem = wrong_kind(self.remote.name, answer.headers, None if start else first)
        if problem:
            raise PlaceFailedError(f"{shown(url)} {problem}")
        if total is not None:
            check_space(self.path.parent, total - self.part.size(), self.remote.name)
        self.bar.total = total
        self.bar.n = start
        self.bar.set_postfix_str("")
        try:
            if start == 0:
                self.part.begin(url, answer, total)
            self.part.append(iter([first]), self.bar)
            self.part.append(_at_most(chunks, total, start + len(first)), self.bar)
        except requests.RequestException:
            raise  # they are OSErrors too, but of the network
        except OSError as error:
            room = " Make room, then" if error.errno in NO_ROOM else " Put that right, then"
            raise FetchError(
                f"{self.remote.name} could not be written into {short(self.path.parent)}: "
                f"{error.strerror}.{room} give the same command again: what has arrived is kept."
            ) from error
        if total is not None and self.part.size() < total:
            raise requests.ConnectionError(f"{self.part.size()} of {total} bytes came")


def patiently(
    once: Callable[[], T],
    url: str,
    attempts: int,
    backoff: float,
    has_grown: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
) -> T:
    """Do something with a server; again, after a while, where the problem may pass.

    Parameters
    ----------
    once
        Does it, and raises an error of ``requests`` when that fails.
    url
        What is asked for; for messages.
    attempts, backoff
        As for :func:`galhelpers.data.web.download.download`.
    has_grown
        Says whether something has arrived since it was last asked; then attempts count again.
    say
        Tells the user that we wait.

    Raises
    ------
    PlaceFailedError
        When the problem will not pass or has not passed.
    """
    failures = 0
    while True:
        problem: requests.Response | Exception
        try:
            return once()
        except requests.RequestException as error:
            problem = error if error.response is None else error.response
            if isinstance(error, ValueError):
                # Its own message would show the whole address, with a password where there is one.
                problem = requests.RequestException("that is not an address")
        grown = has_grown()
        failures = 1 if grown else failures + 1
        wait = min(60.0, backoff * 2 ** (failures - 1))
        asked = retry_after(problem) if isinstance(problem, requests.Response) else None
        if no_network(problem) and not grown and failures > 1:
            failures = attempts
        if not _may_pass(problem) or failures >= attempts or (asked or 0) > LONGEST_WAIT:
            minutes = f" It asks us to wait {asked / 60:.0f} minutes." if asked else ""
            raise PlaceFailedError(explain(problem, url) + minutes)
        wait = max(wait, asked or 0.0)
        say(f"no answer yet, again in {wait:.0f} s")
        time.sleep(wait)


def _may_pass(problem: requests.Response | Exception) -> bool:
    if isinstance(problem, requests.Response):
        return problem.status_code in PASSING
    if isinstance(problem, (requests.exceptions.SSLError, requests.exceptions.ProxyError)):
        return False
    return isinstance(
        problem,
        (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError),
    )


def _span(answer: requests.Response) -> tuple[int, int | None]:
    """Read from the headers where the body starts and how large the whole file is, in bytes."""
    if answer.status_code in (206, 416):
        # RFC 9110, 14.4: "bytes 0-99/1234", "bytes 0-99/*", "bytes */1234"
        content_range = answer.headers.get("Content-Range", "")
        found = re.match(r"bytes\s+(?:(\d+)-\d+|\*)/(\d+|\*)", content_range)
        if not found:
            return -1, None
        start, total = found.groups()
        return int(start or -1), None if total == "*" else int(total)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _validator(origin: dict[str, Any]) -> str | None:
    """Give what If-Range may carry: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    etag = origin["etag"]
    return etag if etag and not etag.startswith("W/") else origin["modified"]


def _same_version(
    origin: dict[str, Any], url: str, answer: requests.Response, total: int | None
) -> bool:
    """Say whether an answer belongs to the same file as the part; some servers ignore If-Range."""
    pairs: list[tuple[object, object]] = [(origin["total"], total)]
    if origin["url"] == url:
        pairs.append((origin["etag"], answer.headers.get("ETag")))
        pairs.append((origin["modified"], answer.headers.get("Last-Modified")))
    return all(old == new for old, new in pairs if old is not None and new is not None)


def _body(answer: requests.Response) -> Iterator[bytes]:
    """Give the bytes as they are sent; ``iter_content`` would undo a Content-Encoding."""
    try:
        yield from answer.raw.stream(CHUNK, decode_content=False)
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.Timeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error


def _at_most(chunks: Iterator[bytes], total: int | None, have: int) -> Iterator[bytes]:
    """Stop behind a file's known end: a server that sends for ever must not fill the disk."""
    for chunk in chunks:
        yield chunk
        have += len(chunk)
        if total is not None and have > total:
            return
