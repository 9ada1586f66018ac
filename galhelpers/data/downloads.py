"""Files from the web: resumed where a connection broke, and checked before anybody reads them.

``pooch`` compares checksums and gives a file its name only when it is right. It does not resume, so
it is given a downloader of our own: what has arrived lies in ``.NAME.part``, and the next attempt,
or the next process, asks for the rest (RFC 9110, section 14: range requests).
"""

import http.client
import io
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pooch
import requests
import urllib3
from pooch.hashes import hash_matches
from requests.adapters import HTTPAdapter
from tqdm.auto import tqdm

from galhelpers import __version__
from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.paths import short


class PatientRetry(urllib3.Retry):
    """A ``Retry`` for which a ``Retry-After`` that nobody understands is as good as none."""

    def parse_retry_after(self, retry_after: str) -> float:
        """Give the seconds to wait; 0 leaves them to the back-off."""
        try:
            return super().parse_retry_after(retry_after)
        except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            return 0.0


RETRY: urllib3.Retry = PatientRetry(
    total=5,
    connect=1,  # where nobody listens, patience does not help
    backoff_factor=1,
    backoff_max=60,
    status_forcelist=(408, 425, 429, 500, 502, 503, 504),
    raise_on_status=False,  # `explain` says what the last answer means
    respect_retry_after_header=True,
    retry_after_max=300,
)
"""How often and how patiently anything is asked for again; ``Retry-After`` is obeyed."""

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""

MOST_BYTES = 200_000_000_000
"""Most bytes of a file whose size nobody knows."""

SMALL_BYTES = 1_000_000
"""Most bytes of an answer that is not the file: an error, or where to go instead."""

SPARE_BYTES = 50_000_000
"""Bytes that must stay free on the disk."""

CHUNK = 2**16
_NO_ADDRESS = (
    *(requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema),
    *(requests.exceptions.MissingSchema, urllib3.exceptions.LocationParseError),
)
_SIGNATURES = {
    (".zip",): (b"PK\x03\x04", b"PK\x05\x06"),
    (".gz", ".tgz"): (b"\x1f\x8b",),
    (".h5", ".hdf5"): (b"\x89HDF\r\n\x1a\n",),
    (".parquet",): (b"PAR1",),
}


class FetchError(RuntimeError):
    """Something could not be fetched for good; the message is a paragraph that says what to do."""


class _Limits(threading.local):
    """What the answers that this thread reads may take; `limits` sets it."""

    what = "The server"
    ends = float("inf")
    seconds = 0.0
    most_bytes = 50_000_000


_LIMITS = _Limits()


@contextmanager
def limits(what: str, seconds: float, most_bytes: int) -> Iterator[None]:
    """Bound all that this thread reads from the web in the block, however it comes.

    ``what`` is read from, for the message: an address.

    Raises
    ------
    FetchError
        Once the time is over, and for an answer of more bytes, both out of the midst of reading.
    """
    before = vars(_LIMITS).copy()
    _LIMITS.what, _LIMITS.most_bytes = public(what), most_bytes
    _LIMITS.ends, _LIMITS.seconds = time.monotonic() + seconds, seconds
    try:
        yield
    finally:
        vars(_LIMITS).clear()
        vars(_LIMITS).update(before)


class _BoundedStream(io.RawIOBase):
    """What comes through a socket, up to the limits: headers, bodies, redirects and errors."""

    def __init__(self, raw: io.RawIOBase, response: http.client.HTTPResponse) -> None:
        self.raw = raw
        self.response = response
        self.came = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > _LIMITS.ends:
            raise FetchError(
                f"{_LIMITS.what} was not complete after {_LIMITS.seconds:,.0f} s. Give the same "
                "command again: what has arrived is kept."
            )
        count: int | None = self.raw.readinto(buffer)
        self.came += count or 0
        # No status yet: there may be no end of answers that say "100 Continue".
        most = _LIMITS.most_bytes if self.response.status in (200, 206) else SMALL_BYTES
        if self.came > most + SMALL_BYTES:  # for the headers
            raise FetchError(
                f"{_LIMITS.what} should send at most {most:,} bytes and sends more: it is not what "
                "was asked for. Compare with the page of the data set."
            )
        return count

    def close(self) -> None:
        self.raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """An answer within `limits`. Nothing of it is unpacked, whatever it says of itself."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        stream: Any = _BoundedStream(self.fp.detach(), self)
        self.fp = io.BufferedReader(stream)

    def begin(self) -> None:
        super().begin()
        del self.headers["Content-Encoding"]


class _Connection(urllib3.connection.HTTPConnection):
    response_class = _BoundedResponse


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = _BoundedResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class _Adapter(HTTPAdapter):
    """Makes connections whose answers keep within `limits`, also through a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> urllib3.PoolManager:
        manager: urllib3.PoolManager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager


def open_session(retry: urllib3.Retry | None = None, connections: int = 10) -> requests.Session:
    """Open a session that says who asks, and asks again as ``retry`` says, by default ``RETRY``."""
    session = requests.Session()
    session.headers["User-Agent"] = f"galhelpers/{__version__} (galaxy morphology course)"
    session.headers["Accept-Encoding"] = "identity"  # checksums are of the file as it is stored
    adapter = _Adapter(max_retries=RETRY if retry is None else retry, pool_maxsize=connections)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def explain(problem: requests.Response | Exception, url: str) -> str:
    """Say in a paragraph what went wrong with a request and what to do about it.

    Parameters
    ----------
    problem
        The answer of the server, or the error where none came.
    url
        What was asked for.
    """
    place = public(url)
    host = place.partition("://")[2].partition("/")[0]
    if isinstance(problem, requests.Response):
        said = public(f"{problem.status_code} {problem.reason}")
        advice = {
            401: "Log in first: the service wants to know who asks.",
            403: "A login is missing, or terms that have to be accepted on the page of the data.",
            404: "It may have moved: look on the page of the data set, and put the new address "
            "into data_manifest.yaml.",
            429: "The service asks us to slow down. Give the same command again later.",
        }
        advice[410] = advice[404]
        trouble = f"{host} is in trouble, nothing is wrong on your side. Give the same command "
        trouble += "again later: what has arrived is kept."
        more = trouble if problem.status_code >= 500 else advice.get(problem.status_code, "")
        return f"{place} was not sent: {said}. {more}".strip()
    again = "Give the same command again: what has arrived is kept."
    if _caused_by(problem, requests.TooManyRedirects):
        return f"{host} sends us in circles. Open the address in a browser: where does it end?"
    foreign = isinstance(problem, ValueError) and not isinstance(problem, requests.RequestException)
    if foreign or _caused_by(problem, *_NO_ADDRESS):
        return (
            f"{place}, or where it sends us, is no address that can be asked. Correct it in "
            "data_manifest.yaml, or in the environment variable that holds it."
        )
    if _caused_by(problem, requests.exceptions.SSLError):
        return (
            f"The certificate of {host} could not be verified. Look at the computer's clock, and "
            "whether the login page of a network stands in between (open the address in a "
            "browser). Do not turn verification off."
        )
    if _caused_by(problem, requests.exceptions.ProxyError):
        return f"The proxy in HTTPS_PROXY or HTTP_PROXY does not let us reach {host}. Check it."
    if _caused_by(problem, socket.gaierror):
        return (
            f"The name {host} could not be looked up: there is no network, or its name server is "
            f"down. Connect to a network. {again} `--dataset simulated` needs none."
        )
    if _caused_by(problem, ConnectionRefusedError):
        return f"Nothing answers at {host}. Is the address right, does a firewall forbid it?"
    if _caused_by(problem, TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError):
        return f"{host} was too slow to answer. {again}"
    return f"The connection to {host} broke off, again and again. {again}"


def wait_for_another_try(retry: urllib3.Retry, problem: Exception, url: str) -> urllib3.Retry:
    """Wait as long as ``retry`` and the server's ``Retry-After`` say; give what is left of it.

    Raises
    ------
    FetchError
        When nothing is left, or another try would not help.
    """
    response = problem.response if isinstance(problem, requests.RequestException) else None
    if response is not None and response.status_code not in RETRY.status_forcelist:
        raise FetchError(explain(response, url)) from None
    if _caused_by(problem, socket.gaierror, ConnectionRefusedError):
        raise FetchError(explain(problem, url)) from None  # patience does not help
    try:
        broken = urllib3.exceptions.ProtocolError(type(problem).__name__)
        retry = retry.increment("GET", "", error=broken)
    except urllib3.exceptions.HTTPError:
        raise FetchError(explain(problem if response is None else response, url)) from None
    retry.sleep(None if response is None else response.raw)
    return retry


def _caused_by(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Look for a kind of error among those that ``requests`` and ``urllib3`` wrap."""
    waiting: list[object] = [error]
    seen: list[object] = []
    while waiting:
        one = waiting.pop()
        if isinstance(one, kinds):
            return True
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return False


def check_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise ``FetchError`` unless the disk has room for some more bytes, and 50 MB to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + SPARE_BYTES:
        raise FetchError(
            f"{what} needs {needed_bytes / 1e6:,.1f} MB more on the disk of {short(folder)} and "
            f"{SPARE_BYTES / 1e6:.0f} MB to spare; {free / 1e6:,.1f} MB are free. Make room, or "
            "put the data on another disk: --data-root, or GALHELPERS_DATA."
        )


def wrong_kind(name: str, content_type: str, first: bytes) -> str | None:
    """Say why an answer with status 200 is not the file: a web page, or another format."""
    start = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_page = "text/html" in content_type.lower() or start.startswith((b"<!doctype html", b"<html"))
    if is_page and not name.lower().endswith((".html", ".htm")):
        return (
            f"a web page came instead of {name}. It may be the login page of a network (open any "
            "page in a browser and log in), or the file has moved."
        )
    for endings, signatures in _SIGNATURES.items():
        if name.lower().endswith(endings) and not first.startswith(signatures):
            return f"what came instead of {name} is no {endings[0][1:]} file."
    return None


def patience(size: int | None) -> float:
    """Give the seconds that a file of so many bytes may take: 10 minutes, and 20 kB a second.

    A day where the size is not known. The next command goes on from where one stopped.
    """
    return 24 * 3600.0 if size is None else 600.0 + size / 20_000


def download(
    urls: Sequence[str],
    path: Path,
    checksum: str | None = None,
    size: int | None = None,
    *,
    progress: bool = True,
    deadline: float | None = None,
    most_bytes: int = MOST_BYTES,
) -> Path:
    """Bring a file to disk; nothing is asked for when it is there and right.

    Parameters
    ----------
    urls
        Places that have it, tried in order.
    path
        Where it goes.
    checksum
        ``"<algorithm>:<hex>"``, where known.
    size
        Bytes, where exactly known. No answer may be larger.
    deadline
        Seconds for all attempts at one place together; by default `patience` of ``size``.
    most_bytes
        Most bytes to accept where ``size`` is not known.

    Raises
    ------
    FetchError
        When no place has the right file. A wrong one is kept as ``.NAME.rejected``: once its
        checksum is put into the manifest, it is used without another download.
    """
    pooch.get_logger().setLevel("WARNING")
    with only_one(path, f"fetches {path.name}"):
        rejected = path.with_name(f".{path.name}.rejected")
        if checksum and rejected.is_file() and hash_matches(rejected, checksum):
            rejected.replace(path)
        if path.is_file():
            if size in (None, path.stat().st_size) and hash_matches(path, checksum):
                return path
            path.replace(rejected)
        # pooch writes into a hidden folder, so that a killed process leaves nothing in sight.
        hidden = path.with_name(f".{path.name}.pooch")
        problems = []
        for url in urls:
            seconds = patience(size) if deadline is None else deadline
            downloader = ResumingDownloader(
                path, checksum, size, progress, seconds, min(size or most_bytes, most_bytes)
            )
            try:
                # pooch's own retries would delete a rejected file of gigabytes and fetch it again.
                arrived = pooch.retrieve(url, checksum, path.name, hidden, downloader=downloader)
                Path(arrived).replace(path)
            except FetchError as error:
                problems.append(str(error))
            else:
                return path
            finally:
                shutil.rmtree(hidden, ignore_errors=True)
    if len(problems) != 1:
        problems.insert(0, f"{path.name} could not be had from any of {len(problems)} places.")
    raise FetchError("\n".join(problems))


@dataclass
class ResumingDownloader:
    """A downloader for pooch (a callable of three arguments) that goes on where it stopped."""

    path: Path
    checksum: str | None
    size: int | None
    progress: bool
    deadline: float
    most_bytes: int

    def __call__(self, url: str, output_file: str, pooch_object: object = None) -> None:
        """Put the whole file at ``output_file``, where pooch wants it."""
        part = self.path.with_name(f".{self.path.name}.part")
        rejected = part.with_suffix(".rejected")
        ends = time.monotonic() + self.deadline
        for _ in range(2):
            with limits(url, ends - time.monotonic(), self.most_bytes):
                resumed = self._receive(url, part, ends)
            problem = self._problem(part)
            if problem is None:
                part.replace(output_file)
                self._note(part).unlink(missing_ok=True)
                rejected.unlink(missing_ok=True)
                return
            part.replace(rejected)
            self._note(part).unlink(missing_ok=True)
            if not resumed:
                break
            # Pieces of two versions do not fit together; that is not yet the publisher's fault.
        raise FetchError(
            f"{public(url)} sent another file than expected. {problem} The publisher may have "
            "replaced the file: compare with the page of the data set. What came is kept as "
            f"{short(rejected)}, and is used once data_manifest.yaml is put right."
        )

    def _problem(self, part: Path) -> str | None:
        """Say what is wrong with what came, if anything."""
        came = part.stat().st_size
        if came == 0 or self.size not in (None, came):
            expected = "something" if self.size is None else f"{self.size:,} bytes"
            return f"Expected {expected}, {came:,} bytes came."
        if self.checksum and not hash_matches(part, self.checksum):
            algorithm = self.checksum.partition(":")[0]
            found = pooch.file_hash(part, algorithm)
            return f"Expected {self.checksum}, got {algorithm}:{found} ({came:,} bytes)."
        return None

    def _receive(self, url: str, part: Path, ends: float) -> bool:
        """Receive the file, through broken connections; give whether an older part was used."""
        retry: urllib3.Retry = RETRY
        resumed = False
        with (
            open_session() as session,
            tqdm(
                desc=self.path.name,
                unit="B",
                unit_scale=True,
                leave=False,
                disable=not self.progress,
            ) as bar,
        ):
            while True:
                have = before = self._usable(url, part)
                resumed = resumed or have > 0
                try:
                    if self._receive_once(session, url, part, have, bar):
                        return resumed
                except (requests.RequestException, ValueError) as error:
                    # No answer came, although the session asked as often as RETRY says.
                    raise FetchError(explain(error, url)) from error
                except urllib3.exceptions.HTTPError as error:  # it broke off in the middle
                    came = part.stat().st_size if part.is_file() else 0
                    if came >= before + CHUNK:
                        retry = RETRY  # an attempt that made progress does not count
                    self._check_deadline(ends, url)
                    retry = wait_for_another_try(retry, error, url)

    def _receive_once(
        self,
        session: requests.Session,
        url: str,
        part: Path,
        have: int,
        bar: tqdm,
    ) -> bool:
        """Ask once, for the rest or for all; False asks to start over without the part."""
        headers = {}
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := self._note(part).read_text(encoding="utf-8").partition("\n")[2]:
                headers["If-Range"] = validator
        with session.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            span = re.fullmatch(
                r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", "")
            )
            total = int(span[2]) if span and span[2] != "*" else None
            if have and answer.status_code == 416:
                if total == have:
                    return True  # it was complete, only not yet renamed
                part.unlink()
                return False
            if have and answer.status_code == 206 and (span is None or span[1] != str(have)):
                part.unlink()
                return False
            if answer.status_code not in ((200, 206) if have else (200,)):
                raise FetchError(explain(answer, url))
            if answer.status_code == 200:
                have = 0
                length = answer.headers.get("Content-Length", "")
                total = int(length) if length.isdecimal() else None
            self._check_size(total or 0, url)
            check_room(part.parent, (total or self.size or 0) - have, self.path.name)
            bar.reset(total=total or self.size)
            bar.update(have)
            chunks = self._chunks(answer)
            first = b""
            while len(first) < 512 and (chunk := next(chunks, b"")):
                first += chunk
            kind = wrong_kind(self.path.name, answer.headers.get("Content-Type", ""), first)
            if have == 0 and kind:
                raise FetchError(f"{public(url)}: {kind}")
            if have == 0:
                self._begin(part, url, answer)
            with part.open("ab") as file:
                for chunk in chain([first], chunks):
                    file.write(chunk)
                    # What has arrived survives even a killed process. (Without a buffer, a disk
                    # that is almost full would take a part of a chunk and say nothing.)
                    file.flush()
                    have += len(chunk)
                    bar.update(len(chunk))
                    self._check_size(have, url)
                os.fsync(file.fileno())
            if total is not None and have != total:
                raise urllib3.exceptions.ProtocolError(f"{have} of {total} bytes came")
        return True

    def _chunks(self, answer: requests.Response) -> Iterator[bytes]:
        # read1 gives what is there; read would wait for a whole chunk, drop by drop.
        while chunk := answer.raw.read1(CHUNK, decode_content=False):
            yield chunk

    def _usable(self, url: str, part: Path) -> int:
        """Count the bytes that a download from here may continue.

        Without a version (ETag or date) only a checksum can tell whether two pieces fit together.
        """
        try:
            origin, _, validator = self._note(part).read_text(encoding="utf-8").partition("\n")
            usable = origin == public(url) and (validator or self.checksum)
            return part.stat().st_size if usable and not part.is_symlink() else 0
        except OSError:
            return 0

    def _begin(self, part: Path, url: str, answer: requests.Response) -> None:
        """Note where a new part is from, and its version."""
        part.unlink(missing_ok=True)
        etag = answer.headers.get("ETag", "")
        weak = etag.startswith("W/")  # not allowed in If-Range
        validator = answer.headers.get("Last-Modified", "") if weak or not etag else etag
        self._note(part).write_text(f"{public(url)}\n{validator}", encoding="utf-8")

    def _note(self, part: Path) -> Path:
        return part.with_name(f"{part.name}.origin")

    def _check_size(self, came: int, url: str) -> None:
        if came > self.most_bytes:
            raise FetchError(
                f"{public(url)} should send at most {self.most_bytes:,} bytes and sends more, "
                f"{came:,} so far: it is not the file of the manifest, or the publisher has "
                "replaced it. Compare with the page of the data set."
            )

    def _check_deadline(self, ends: float, url: str) -> None:
        if time.monotonic() > ends:
            raise FetchError(
                f"{public(url)} was not complete after {self.deadline:,.0f} s. Give the same "
                "command again: what has arrived is kept."
            )
