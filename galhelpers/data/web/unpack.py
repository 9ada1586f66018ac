"""Unpack an archive into a folder of its own: all of it, or nothing that a reader sees.

The members are written into a hidden folder, which is renamed when it is complete. A marker in it
says how much it should hold, so that a folder that lost some of it is noticed and made again.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galhelpers.data.web.archive import MARKER, Archive, explained
from galhelpers.data.web.intact import SPARE_BYTES, one_at_a_time
from galhelpers.data.web.services import FetchError
from galhelpers.paths import atomic_write, short


@dataclass(frozen=True)
class Unpacked:
    """An unpacked folder with the number of its files and their bytes."""

    folder: Path
    files: int
    bytes: int


def unpack(
    archive: str | Path,
    folder: str | Path,
    *,
    max_bytes: int | None = None,
    keep: Callable[[str], bool] | None = None,
    strip_top: bool = False,
    progress: bool = True,
) -> Unpacked:
    """Unpack an archive: zip, tar, tar.gz, tar.bz2, tar.xz, or a single file in .gz.

    A folder that is complete already is left alone. One that is half missing is made again.

    Parameters
    ----------
    archive
        The file; the ending of its name tells the format.
    folder
        A folder for this archive alone: what else lies in it goes when it has to be made again. A
        folder that this function did not make is never touched.
    max_bytes
        Bytes that may be written; by default 100 times the size of the archive and 100 MB.
    keep
        Given the name of a member in the archive, says whether it is wanted; by default all are.
    strip_top
        Leave out the one top folder that all members lie in, where there is one.

    Raises
    ------
    FetchError
        When the archive is damaged, unsafe, encrypted or too large, or the disk is full.
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise FetchError(f"Expected the archive {short(archive)}, found no such file: fetch it.")
    with one_at_a_time(folder, f"unpacking of {folder.name}", progress):
        _remove_leftovers(folder)
        if is_unpacked(archive, folder):
            note = _read_marker(folder)
            return Unpacked(folder, note["files"], note["bytes"])
        if not _may_replace(folder):
            raise FetchError(
                f"{short(folder)} exists and was not unpacked by this course, so it is left as it "
                "is. Move it away or delete it, then give the same command again."
            )
        partial = folder.with_name(f".{folder.name}.partial-0")
        partial.mkdir()
        try:
            source = Archive(archive, partial, _limit(archive, folder, max_bytes), keep)
            with explained(archive, folder):
                source.unpack(progress)
                top = partial / source.only_top() if strip_top else partial
                _write_marker(archive, top, source.files, source.written)
                _swap(top, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return Unpacked(folder, source.files, source.written)


def is_unpacked(archive: str | Path, folder: str | Path) -> bool:
    """Say whether a folder holds at least as many files and bytes as came out of the archive.

    Where the archive was deleted to save room, the folder's own record is believed.
    """
    archive, folder = Path(archive), Path(folder)
    note = _read_marker(folder)
    if not note or note["archive"] != archive.name:
        return False
    if archive.is_file() and _identity(archive) != {key: note[key] for key in _identity(archive)}:
        return False
    files = total = 0
    for size in _file_sizes(folder):
        files += 1
        total += size
    return files >= note["files"] and total >= note["bytes"]


def _limit(archive: Path, folder: Path, max_bytes: int | None) -> int:
    allowed = 100 * archive.stat().st_size + 100_000_000 if max_bytes is None else max_bytes
    return min(allowed, shutil.disk_usage(folder.parent).free - SPARE_BYTES)


def _may_replace(folder: Path) -> bool:
    """Say whether nothing of anybody else is there: no folder, an empty one, or one of ours."""
    if not folder.exists():
        return True
    return folder.is_dir() and bool(_read_marker(folder) or not any(folder.iterdir()))


def _file_sizes(folder: Path) -> Iterator[int]:
    """Give the size in bytes of each file below a folder, without our own marker."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif entry.name != MARKER:
                    yield entry.stat(follow_symlinks=False).st_size


def _swap(complete: Path, folder: Path) -> None:
    """Put a complete folder into its place; a folder cannot replace another in one step."""
    old = folder.with_name(f".{folder.name}.old-0")
    if folder.exists():
        folder.rename(old)
    complete.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left; we hold the lock, so nobody is at work on it."""
    for kind in ("partial", "old"):
        shutil.rmtree(folder.with_name(f".{folder.name}.{kind}-0"), ignore_errors=True)


def _identity(archive: Path) -> dict[str, int]:
    found = archive.stat()
    return {"archive_bytes": found.st_size, "archive_mtime_ns": found.st_mtime_ns}


def _write_marker(archive: Path, folder: Path, files: int, total: int) -> None:
    note = {"archive": archive.name, **_identity(archive), "files": files, "bytes": total}
    with atomic_write(folder / MARKER) as temporary:
        temporary.write_text(json.dumps(note, indent=1), encoding="utf-8")


def _read_marker(folder: Path) -> dict[str, Any]:
    try:
        note = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    wanted = {"archive", "archive_bytes", "archive_mtime_ns", "files", "bytes"}
    return note if isinstance(note, dict) and wanted <= note.keys() else {}
