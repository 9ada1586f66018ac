"""Archives are unpacked beside and renamed: a reader sees the whole folder or none."""

import errno
import gzip
import lzma
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from galhelpers.data.downloads import FetchError, check_room
from galhelpers.messages import public
from galhelpers.paths import atomic_write, short

_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError),
    *(EOFError, RuntimeError),  # cut off; encrypted, or an unknown way of packing
    *(OverflowError, ValueError, LookupError, struct.error),  # times and names that no system knows
)
MARK = ".galhelpers"
MOST_MEMBERS = 1_000_000
MOST_FOLDERS = 20
"""Most files in an archive, and most folders in each other."""

# Names that cannot be written, a member inside of a file, places before the beginning.
_IMPOSSIBLE = (errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give an empty hidden folder, which takes the place of ``folder`` if the block succeeds.

    A file ``MARK`` in it says that we made it; nothing else is replaced.

    One process at a time may do this. What a killed one has left is removed.
    """
    target, old = (folder.with_name(f".{folder.name}.{kind}") for kind in ("new", "old"))
    for path in (target, old):
        shutil.rmtree(path, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        yield target
        (target / MARK).touch()
        if folder.is_dir():
            if any(folder.iterdir()) and not (folder / MARK).is_file():
                raise FetchError(
                    f"{short(folder)} was there before, with files that this command did not put "
                    "there. They stay. Move the folder away and give the same command again."
                )
            folder.replace(old)
        target.replace(folder)
    finally:
        for path in (target, old):
            shutil.rmtree(path, ignore_errors=True)


def unpack(
    archive: Path, folder: Path, *, most_bytes: int | None = None, strip_top: bool = False
) -> None:
    """Unpack a zip or tar archive into a folder, in the place of an older one.

    Parameters
    ----------
    archive
        ``.zip``, ``.tar``, ``.tar.gz`` and so on.
    folder
        A folder for this archive alone.
    most_bytes
        Most bytes that the archive may declare; by default 100 times its size and 100 MB.
    strip_top
        Leave out the one folder that all members lie in, where there is one, and those below.

    Raises
    ------
    FetchError
        For an archive that is damaged or too large, or whose members would lie elsewhere; links
        and devices are refused, too.
    """
    limit = most_bytes or 100 * archive.stat().st_size + 100_000_000
    try:
        with new_folder(folder) as target:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as packed:
                    _check(archive, map(_zip_member, packed.infolist()), limit)
                    packed.extractall(target)  # noqa: S202 - every member was looked at
            else:
                with tarfile.open(archive) as tar:
                    _check(archive, map(_tar_member, tar), limit)
                    for member in tar:  # no owner, no permissions of another machine
                        member.uid, member.gid, member.uname, member.gname = 0, 0, "", ""
                        member.mode = 0o755 if member.isdir() else 0o644
                    # Python 3.11.0 to 3.11.3, as in Debian 12, has no filters.
                    tar.extraction_filter = getattr(tarfile, "data_filter", None)
                    tar.extractall(target)  # noqa: S202 - every member was looked at
            shutil.rmtree(target / "__MACOSX", ignore_errors=True)  # what a Mac adds
            while strip_top and len(inner := list(target.iterdir())) == 1 and inner[0].is_dir():
                top = inner[0].rename(target / ".top")  # a member may have the same name
                for path in list(top.iterdir()):
                    path.rename(target / path.name)
                top.rmdir()
    except FetchError:
        raise
    except (*_DAMAGED, OSError) as error:
        problem: object = error
        if isinstance(error, OSError) and error.errno is not None:
            if error.errno not in _IMPOSSIBLE:
                raise  # the disk, not the archive
            problem = error.strerror  # without the path of the hidden folder
        elif isinstance(error, tarfile.ReadError) and "method" in str(error):
            problem = "it is cut short, or of another kind"  # tarfile lists all kinds it knows
        raise FetchError(
            f"{short(archive)} should be an archive that can be unpacked: {public(problem)}. "
            "Delete it and give the same command again."
        ) from error


def _zip_member(member: zipfile.ZipInfo) -> tuple[str, int, bool]:
    """Give name, size, and whether it is a file or folder, not a link."""
    is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
    return member.filename, member.file_size, not is_link


def _tar_member(member: tarfile.TarInfo) -> tuple[str, int, bool]:
    if member.size < 0:  # tarfile would go backwards, perhaps for ever
        raise tarfile.ReadError(f"{member.name!r} has {member.size} bytes")
    return member.name, member.size, member.isfile() or member.isdir()


def _check(archive: Path, members: Iterable[tuple[str, int, bool]], limit: int) -> None:
    """Refuse members that lie outside or are links or devices, and too much content."""
    declared = 0
    for number, (name, size, is_plain) in enumerate(members, start=1):
        parts = name.replace("\\", "/").split("/")
        if not is_plain or ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise FetchError(
                f"{short(archive)} has the member {public(name, 200)!r}, which lies outside, or is "
                "a link or a device. Do not use this archive."
            )
        declared += size
        if number > MOST_MEMBERS or len(parts) > MOST_FOLDERS or declared > limit:
            raise FetchError(
                f"{short(archive)} declares more than {limit / 1e6:,.0f} MB of content, "
                f"{MOST_MEMBERS:,} files or {MOST_FOLDERS} folders in each other. Do not use this "
                "archive."
            )
    check_room(archive.parent, declared, f"unpacking {archive.name}")


def take(archive: Path, name: str, target: Path) -> bool:
    """Take one file out of a zip archive, from whatever folder in it; say whether it is there.

    Raises
    ------
    FetchError
        For an archive that is damaged.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                if member.filename.rpartition("/")[2] == name:
                    limit = 100 * archive.stat().st_size + 100_000_000
                    _check(archive, [_zip_member(member)], limit)
                    with (
                        packed.open(member) as source,
                        atomic_write(target) as temporary,
                        temporary.open("wb") as out,
                    ):
                        shutil.copyfileobj(source, out)
                    return True
    except FetchError:
        raise
    except _DAMAGED as error:
        raise FetchError(
            f"{short(archive)} should be a zip archive, and is damaged: {public(error)}."
        ) from error
    return False
