"""Bring the bytes of one file from one place, through broken connections and busy servers.

What has arrived is in ``.NAME.part`` with a note of its origin in ``.NAME.part.json``; the next
attempt, or the next process, asks for the rest (RFC 9110, section 14: range requests).
"""

import errno
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm.auto import tqdm

from galhelpers.data.web.intact import (
    Part,
    Remote,
    check_space,
    hidden,
    take_place,
    verify,
    wrong_kind,
)
from galhelpers.data.web.services import (
    LONGEST_WAIT,
    FetchError,
    explain,
    retry_after,
    shown,
    worth_another_try,
)
from galhelpers.paths import short

CHUNK = 2**16
"""Bytes read at a time, at most. An attempt that brings as many has made progress."""

SLOWEST = 1000.0
"""Bytes per second, on average: a server that sends fewer is as good as silent."""

BETWEEN_LOOKS = 16_000_000
"""Bytes written between two looks at the room on the disk, where nobody knows how many come."""

STALE_PIN = (
    "The publisher may have replaced the file, so that what data_manifest.yaml says about it is "
    "out of date: compare with the page of the data set."
)

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A full disk, a used-up quota, a file larger than the file system allows."""

T = TypeVar("T")


class PlaceFailedError(Exception):
    """One place does not give the file; the message says why."""


@dataclass
class Transfer:
    """One download: the file, its place, and how patient to be.

    ``complete`` says whether what came last would have been noticed if it had been cut off.
    """

    remote: Remote
    path: Path
    session: requests.Session
    bar: tqdm
    attempts: int
    backoff: float
    timeout: tuple[float, float]
    patience: float
    keep_rejected: bool = False
    complete: bool = True

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
                aside = take_place(self.remote, self.part.path, self.path)
                self.part.discard()
                if not (aside or self.keep_rejected):
                    rejected.unlink(missing_ok=True)
                elif aside and not self.bar.disable:
                    said = f"The other file named {self.remote.name} is kept as {short(aside)}."
                    tqdm.write(said, file=sys.stderr)
                return sha256
            if not continued or last:
                break
            # Pieces that do not fit together are our problem, not yet the publisher's.
            self.part.discard()
        self.part.path.replace(rejected)
        self.part.discard()
        raise PlaceFailedError(
            f"{shown(url)} sent another file than expected. {problem} {STALE_PIN} What came is "
            f"kept as {short(rejected)}; once the manifest is put right, it is used without "
            "another download."
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
        self.complete = True
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
            if total is None and start:
                total = origin["total"]
            self._store(url, answer, start, self.remote.bytes if total is None else total)
        return start > 0

    def _store(self, url: str, answer: requests.Response, start: int, total: int | None) -> None:
        """Write the body of an answer behind the first ``start`` bytes of the part."""
        chunks = body(answer, self.patience)
        first = b""
        while len(first) < 512 and (chunk := next(chunks, b"")):
            first += chunk
        problem = wrong_kind(self.remote.name, answer.headers, None if start else first)
        if problem:
            raise PlaceFailedError(f"{shown(url)} {problem}")
        name, size = self.remote.name, self.remote.bytes
        if not (start or first or total) and size != 0:
            raise PlaceFailedError(f"{shown(url)} sent an empty file instead of {name}.")
        if size is not None and size != total:
            raise PlaceFailedError(
                f"{shown(url)} was not loaded: {name} should have {size:,} bytes, but the server "
                f"announces {total:,}. {STALE_PIN}"
            )
        ends = answer.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.complete = bool(self.remote.checksum) or total is not None or ends
        if total is not None:
            check_space(self.path.parent, total - self.part.size(), self.remote.name)
        self.bar.total = total
        self.bar.n = start
        self.bar.set_postfix_str("")
        try:
            if start == 0:
                self.part.begin(url, answer, total)
            chunks = chain([first], chunks)
            chunks = _at_most(chunks, total, start) if total is not None else self._fitting(chunks)
            self.part.append(chunks, self.bar)
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

    def _fitting(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Look at the room on the disk now and then: nobody knows how much will come."""
        checked = 0
        for chunk in chunks:
            checked -= len(chunk)
            if checked < 0:
                check_space(self.path.parent, BETWEEN_LOOKS, self.remote.name)
                checked = BETWEEN_LOOKS - len(chunk)
            yield chunk


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
                problem = _not_an_address(url)
        failures = 1 if has_grown() else failures + 1
        wait = min(60.0, backoff * 2 ** (failures - 1))
        asked = retry_after(problem) if isinstance(problem, requests.Response) else None
        hopeless = failures >= attempts or (asked or 0) > LONGEST_WAIT
        if hopeless or not worth_another_try(problem, failures):
            minutes = f" It asks us to wait {asked / 60:.0f} minutes." if asked else ""
            raise PlaceFailedError(explain(problem, url) + minutes)
        wait = max(wait, asked or 0.0)
        say(f"no answer yet, again in {wait:.0f} s")
        time.sleep(wait)


def _not_an_address(url: str) -> requests.RequestException:
    """Say whose address ``requests`` could not read: that of the file or that of the proxy.

    Its own message would show the whole address, with a password where there is one.
    """
    try:
        readable = bool(re.match("https?://", url) and urlsplit(url).hostname)
    except ValueError:
        readable = False
    if readable and requests.utils.get_environ_proxies(url):
        return requests.exceptions.ProxyError("the address of the proxy is none")
    return requests.RequestException("that is not an address")


def _span(answer: requests.Response) -> tuple[int, int | None]:
    """Read from the headers where the body starts and how large the whole file is, in bytes."""
    if answer.status_code in (206, 416):
        # RFC 9110, 14.4: "bytes 0-99/1234", "bytes 0-99/*", "bytes */1234"
        content_range = answer.headers.get("Content-Range", "")
        found = re.match(r"bytes +(?:([0-9]{1,18})-[0-9]+|\*)/([0-9]{1,18}|\*)$", content_range)
        if not found:
            return -1, None
        start, total = found.groups()
        return int(start or -1), None if total == "*" else int(total)
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if re.fullmatch("[0-9]{1,18}", length) else None


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


def body(answer: requests.Response, patience: float) -> Iterator[bytes]:
    """Give the bytes as they arrive; ``iter_content`` would undo a Content-Encoding.

    Raises
    ------
    requests.Timeout
        When fewer than ``SLOWEST`` bytes per second came in ``patience`` seconds. A time limit for
        each piece, as ``requests`` has it, does not end an answer that comes drop by drop.
    requests.ConnectionError
        When the connection breaks off.
    """
    since, came = time.monotonic(), 0
    try:
        # read1 gives what is there; stream would wait until the block is full, drop by drop
        while chunk := answer.raw.read1(CHUNK, decode_content=False):
            yield chunk
            came += len(chunk)
            if time.monotonic() - since >= patience:
                if came < SLOWEST * patience:
                    raise requests.Timeout(f"{came} bytes in {patience} s")
                since, came = time.monotonic(), 0
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.Timeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error


def _at_most(chunks: Iterator[bytes], total: int, have: int) -> Iterator[bytes]:
    """Stop behind a file's known end: a server that sends for ever must not fill the disk."""
    for chunk in chunks:
        yield chunk
        have += len(chunk)
        if have > total:
            return
