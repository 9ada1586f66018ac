"""Whether a file is what it should be, and how it takes its place on the disk."""

import hashlib
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import requests
from tqdm.auto import tqdm

from galhelpers.data.web.services import FetchError, shown
from galhelpers.paths import atomic_write, short

SPARE_BYTES = 50_000_000
"""Bytes that must stay free on the disk."""

FIRST_BYTES = {
    (".zip",): (b"PK\x03\x04", b"PK\x05\x06"),
    (".gz", ".tgz"): (b"\x1f\x8b",),
    (".bz2", ".tbz2"): (b"BZh",),
    (".xz", ".txz"): (b"\xfd7zXZ\x00",),
    (".h5", ".hdf5"): (b"\x89HDF\r\n\x1a\n",),
    (".parquet",): (b"PAR1",),
    (".fits", ".fit"): (b"SIMPLE  =",),
}
"""How a file of a kind begins: the signature that its format prescribes."""


@dataclass(frozen=True)
class Remote:
    """A file to download.

    ``name`` is its name on disk. ``urls`` are tried in order; ``"zenodo:records/1/files/a.zip"``
    means a path of a service in the manifest. ``bytes`` is its exact size and ``checksum``
    ``"<algorithm>:<hex>"``, where known. ``advice`` says how to get it by hand and ends each error.
    """

    name: str
    urls: tuple[str, ...]
    bytes: int | None = None
    checksum: str | None = None
    advice: str = ""


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
        # A link is not ours: to write behind it would change somebody's file.
        is_ours = self.path.is_file() and not self.path.is_symlink()
        return self.path.stat().st_size if is_ours else 0

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
        # The old part goes first: with a new note it would be continued wrongly.
        self.path.unlink(missing_ok=True)
        with self.path.open("xb"):
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


def verify(remote: Remote, path: Path) -> tuple[str, str | None]:
    """Give the SHA-256 of a file and what is wrong with it, if anything."""
    algorithm, _, expected = (remote.checksum or "sha256:").partition(":")
    found = _file_checksums(path, algorithm, "sha256")
    size = path.stat().st_size
    if remote.bytes not in (None, size):
        problem = f"{remote.name} should have {remote.bytes:,} bytes, but {size:,} came."
    elif size == 0 and remote.bytes is None:
        problem = f"{remote.name} is empty."
    elif expected and found[algorithm] != expected:
        problem = (
            f"The {algorithm} of {remote.name} should be {expected}, but is {found[algorithm]} "
            f"({size:,} bytes)."
        )
    else:
        return found["sha256"], None
    return found["sha256"], problem


def file_checksum(path: str | Path, algorithm: str) -> str:
    r"""Compute the checksum of a file in hexadecimal digits.

    Parameters
    ----------
    path
        The file.
    algorithm
        One of ``CHECKSUM_LENGTHS``. ``git-blob-sha1`` is the SHA-1 of ``"blob <size>\0"`` and the
        content: what ``git hash-object`` prints.
    """
    return _file_checksums(path, algorithm)[algorithm]


def _file_checksums(path: str | Path, *algorithms: str) -> dict[str, str]:
    """Compute several checksums of a file while reading it once."""
    sums = {}
    for name in algorithms:
        sums[name] = hashlib.new(name.removeprefix("git-blob-"), usedforsecurity=False)
        if name == "git-blob-sha1":
            sums[name].update(f"blob {Path(path).stat().st_size}\0".encode())
    with Path(path).open("rb") as file:
        while block := file.read(2**20):
            for one in sums.values():
                one.update(block)
    return {name: one.hexdigest() for name, one in sums.items()}


def wrong_kind(name: str, headers: Mapping[str, str], first: bytes | None) -> str | None:
    """Say why an answer with status 200 is not the file: a web page, or another format.

    Parameters
    ----------
    name
        The file that was asked for; its ending tells the format.
    headers
        Those of the answer.
    first
        At least 512 first bytes, or the whole file where it is shorter; None in the middle of it.
    """
    ending = name.lower()
    declared = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    start = (first or b"").lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    is_page = declared in ("text/html", "application/xhtml+xml")
    is_page = is_page or start.startswith((b"<!doctype html", b"<html"))
    if is_page and not ending.endswith((".html", ".htm")):
        return (
            f"answered with a web page instead of {name}. It may be the login page of a network "
            "(open any page in a browser and log in), or the file has moved."
        )
    if first is None:
        return None
    for endings, signatures in FIRST_BYTES.items():
        if ending.endswith(endings) and not first.startswith(signatures):
            return f"answered with something that is no {endings[0][1:]} file instead of {name}."
    if ending.endswith(".tar") and not _is_tar(first):
        return f"answered with something that is no tar file instead of {name}."
    encoding = headers.get("Content-Encoding", "identity").lower()
    compressed = encoding in ("gzip", "x-gzip") and first.startswith(b"\x1f\x8b")
    if compressed and not ending.endswith((".gz", ".tgz")):
        return f"sent {name} compressed although it was asked not to."
    return None


def _is_tar(first: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(first[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def check_space(folder: str | Path, needed_bytes: int, what: str) -> None:
    """Raise ``FetchError`` unless the disk has room for some more bytes, and 50 MB to spare."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes + SPARE_BYTES:
        raise FetchError(
            f"{what} needs {needed_bytes / 1e6:,.1f} MB more on the disk of {short(folder)} and "
            f"{SPARE_BYTES / 1e6:.0f} MB to spare; {free / 1e6:,.1f} MB are free. Make room, or "
            "put the data on another disk: set GALHELPERS_DATA to a folder there."
        )


@contextmanager
def one_at_a_time(path: Path, what: str, progress: bool = True) -> Iterator[None]:
    """Let one process or thread after another make ``path``; the lock is ``.NAME.lock`` beside."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path.parent / f".{path.name}.lock")
        try:
            lock.acquire(timeout=1)
        except filelock.Timeout:
            if progress:
                tqdm.write(f"waiting for another {what}", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise FetchError(
            f"Cannot write into {short(path.parent)}: {error.strerror}. Choose a folder that you "
            "may write into: set GALHELPERS_DATA."
        ) from error
    try:
        yield
    finally:
        lock.release()


def hidden(path: Path, kind: str) -> Path:
    """Give the name of a file's unfinished or rejected form, which no reader looks for."""
    return path.with_name(f".{path.name}.{kind}")


def take_place(remote: Remote, arrived: Path, path: Path) -> Path | None:
    """Give a verified file its name; give where another file went that had it, if one did.

    That file may be somebody's own, so it is kept.
    """
    aside = None
    if path.is_file() and verify(remote, path)[1]:
        aside = hidden(path, "rejected")
        path.replace(aside)
    rename_for_good(arrived, path)
    return aside


def rename_for_good(temporary: Path, path: Path) -> None:
    """Rename a file when its bytes are on the disk, so that a power cut cannot leave it empty."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
