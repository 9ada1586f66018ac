"""Write the members of an archive into a folder, safely.

An archive is made by somebody else. Its members may try to land outside the folder, to overwrite
one another, or to fill the disk; such an archive is refused as a whole.
"""

import bz2
import gzip
import lzma
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from tqdm.auto import tqdm

from galhelpers.data.web.intact import check_space
from galhelpers.data.web.services import FetchError
from galhelpers.paths import short

MARKER = ".unpacked.json"
"""File in an unpacked folder that says which archive it is from and how much it should hold."""

MOST_MEMBERS = 2_000_000
"""Members that an archive may have; the largest set of the course has some 300,000 images."""

COMPRESSION = {
    ".tar": None,
    ".gz": gzip,
    ".tgz": gzip,
    ".bz2": bz2,
    ".tbz2": bz2,
    ".xz": lzma,
    ".txz": lzma,
}
"""Who decompresses a tar, by the last ending of its name."""

LONGEST_HEADER = 1_000_000
"""Bytes of a header with a long name in a tar; tarfile reads it into memory at once."""

EXTENSIONS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Kinds of headers that say more about the next member."""

NOT_PORTABLE = re.compile(
    # Streams, control characters, a full stop or a blank last, devices: Windows would write
    # somewhere else than the name says.
    r".*[:\x00-\x1f\x7f].*|.*[. ]|(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³]) *(\..*)?",
    re.IGNORECASE | re.DOTALL,
)

BLOCK = 2**20
"""Bytes read at a time."""

DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,  # a position or a name that makes no sense
)


@dataclass
class Archive:
    """One archive that is unpacked: writes its members into ``folder`` and counts them.

    ``limit`` is how many bytes it may write. ``keep``, where given, is asked for each name. After
    :meth:`unpack`, ``files`` and ``written`` say how many files and bytes were written.
    """

    path: Path
    folder: Path
    limit: int
    keep: Callable[[str], bool] | None = None
    files: int = 0
    written: int = 0
    members: int = 0
    names: set[str] = field(default_factory=set)
    folders: set[Path] = field(default_factory=set)
    tops: set[str] = field(default_factory=set)

    def unpack(self, progress: bool = True) -> None:
        """Write all members that are wanted; the progress bar counts the archive's own bytes."""
        name = self.path.name.lower()
        with tqdm(
            total=self.path.stat().st_size,
            desc=f"unpacking {self.path.name}",
            unit="B",
            unit_scale=True,
            leave=False,
            disable=not progress,
        ) as bar:
            if name.endswith(".zip"):
                self._unpack_zip(bar)
            elif re.search(r"\.(tar|tar\.(gz|bz2|xz)|tgz|tbz2|txz)$", name):
                self._unpack_tar(bar)
            elif name.endswith(".gz"):
                self._unpack_gz(bar)
            else:
                raise FetchError(
                    "Expected a zip, tar, tar.gz, tar.bz2, tar.xz or gz file, found "
                    f"{self.path.name}."
                )

    def only_top(self) -> str:
        """Give the one top folder of all members; an empty text when there is none."""
        return next(iter(self.tops)) if len(self.tops) == 1 and self.files else ""

    def _unpack_zip(self, bar: tqdm) -> None:
        with zipfile.ZipFile(self.path) as opened:
            infos = opened.infolist()
            self._count(len(infos))
            wanted = [info for info in infos if self._wanted(info.orig_filename, info.is_dir())]
            declared = sum(info.file_size for info in wanted)
            if declared > self.limit:
                raise self._too_large(declared)
            check_space(self.folder, declared, f"Unpacking {self.path.name}")
            for info in wanted:
                # The upper half of external_attr is the mode where Unix made the zip, else 0.
                kind = stat.S_IFMT(info.external_attr >> 16)
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self._unsafe(info.orig_filename, "is a link or a device")
                if info.flag_bits & 1:
                    raise FetchError(
                        f"{self.path.name} is encrypted and needs a password: unpack it by hand."
                    )
                place = self._place(info.orig_filename, info.is_dir())
                if not info.is_dir():
                    with opened.open(info) as member:
                        self._write(place, member, lambda: None)
                bar.update(info.compress_size)

    def _unpack_tar(self, bar: tqdm) -> None:
        packer = COMPRESSION[self.path.suffix.lower()]
        with ExitStack() as stack:
            raw = stack.enter_context(self.path.open("rb"))
            # gzip, bz2 and lzma check their checksums; tarfile's own decompression would not.
            stream = stack.enter_context(packer.open(raw)) if packer else raw
            opened = stack.enter_context(
                tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictInfo)
            )
            while (info := opened.next()) is not None:
                # tarfile would hold all of them in memory
                opened.members.clear()  # type: ignore[attr-defined]
                self._count(1)
                if not self._wanted(info.name, info.isdir()):
                    continue
                if not (info.isreg() or info.isdir()):
                    raise self._unsafe(info.name, "is a link or a device")
                if self.written + info.size > self.limit:
                    raise self._too_large(self.written + info.size)
                place = self._place(info.name, info.isdir())
                member = opened.extractfile(info)
                if member is not None:  # None for a folder
                    self._write(place, member, lambda: bar.update(raw.tell() - bar.n))
            surplus = 0
            while block := stream.read(BLOCK):  # to the end, where the checksum is
                surplus += len(block)
                if surplus > self.limit:
                    raise self._too_large(surplus)

    def _unpack_gz(self, bar: tqdm) -> None:
        name = self.path.name[: -len(".gz")]
        self._wanted(name, is_folder=False)
        with self.path.open("rb") as raw, gzip.open(raw) as member:
            place = self._place(name, is_folder=False)
            self._write(place, member, lambda: bar.update(raw.tell() - bar.n))

    def _count(self, members: int) -> None:
        self.members += members
        if self.members > MOST_MEMBERS:
            raise FetchError(
                f"{self.path.name} was not unpacked: it has more than {MOST_MEMBERS:,} members, "
                "which no data set of the course has."
            )

    def _wanted(self, name: str, is_folder: bool) -> bool:
        """Check that a name stays inside the folder; then ask whether it is wanted."""
        path = PurePosixPath(name)
        if "\0" in name or "\\" in name or re.match("[A-Za-z]:", name):
            raise self._unsafe(name, "is a name for Windows or no name at all")
        if path.is_absolute() or ".." in path.parts:
            raise self._unsafe(name, "leads out of the folder")
        if path.name == MARKER:
            raise self._unsafe(name, "has a name that this course keeps for itself")
        if len(self.tops) < 2 and path.parts:
            # A file at the top is no folder to strip: an impossible name makes sure of that.
            is_below = is_folder or len(path.parts) > 1
            self.tops |= {path.parts[0]} if is_below else {path.parts[0], "/"}
        return self.keep is None or self.keep(name)

    def _place(self, name: str, is_folder: bool) -> Path:
        """Give the path for a member and make the folder for it.

        The archive's modes and owners are not followed: nothing becomes executable or unreadable.
        """
        path = PurePosixPath(name)
        if any(NOT_PORTABLE.fullmatch(part) for part in path.parts):
            raise self._unsafe(name, "has a name that Windows does not allow")
        place = self.folder / path
        parent = place if is_folder else place.parent
        if parent not in self.folders:
            parent.mkdir(parents=True, exist_ok=True)
            self.folders.add(parent)
        if not is_folder:
            # Names that differ in case or in the coding of accents are one on Windows and macOS.
            folded = unicodedata.normalize("NFC", str(path)).casefold()
            if folded in self.names:
                raise self._unsafe(name, "is there twice, but for capital letters")
            self.names.add(folded)
        return place

    def _write(
        self, place: Path, member: IO[bytes] | gzip.GzipFile, on_block: Callable[[], object]
    ) -> None:
        with place.open("xb") as file:
            while block := member.read(BLOCK):
                self.written += len(block)
                if self.written > self.limit:
                    raise self._too_large(self.written)
                file.write(block)
                on_block()
        self.files += 1

    def _unsafe(self, name: str, why: str) -> FetchError:
        return FetchError(
            f"{self.path.name} was not unpacked: its member {name[:200]!r} {why}. An archive that "
            "tries this is not the data set: delete it and do not use it."
        )

    def _too_large(self, found: int) -> FetchError:
        return FetchError(
            f"{self.path.name} was not unpacked: it grows to {found / 1e6:,.1f} MB or more, and "
            f"{max(0, self.limit) / 1e6:,.1f} MB are allowed (by default 100 times its own size, "
            "at most what the disk has room for). Make room if the data set is that large; else "
            "delete the archive."
        )


class _StrictInfo(tarfile.TarInfo):
    """Makes a damaged header in the middle an error; tarfile takes it for the end.

    Headers that make tarfile hold much in memory are as good as damaged.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictInfo":
        """Read a header from its 512 bytes."""
        info = super().frombuf(buf, encoding, errors)
        if info.type in EXTENSIONS and info.size > LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {info.size:,} bytes")
        if info.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a sparse file, whose list of pieces may have any length")
        return info

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_StrictInfo":
        """Read the next header."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


@contextmanager
def explained(archive: Path, folder: Path) -> Iterator[None]:
    """Turn what zipfile, tarfile and the disk complain about into ``FetchError``."""
    damaged = f"{archive.name} is damaged. Delete {short(archive)} and fetch it again."
    try:
        yield
    except FetchError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        raise FetchError(f"{archive.name} cannot be unpacked here: {error}.") from error
    except DAMAGED as error:
        raise FetchError(f"{damaged} ({error})") from error
    except (FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise FetchError(
            f"{archive.name} was not unpacked: two of its members want the same place. Delete it "
            "and do not use it."
        ) from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 report damage in this way
            raise FetchError(f"{damaged} ({error})") from error
        raise FetchError(
            f"{archive.name} could not be unpacked into {short(folder)}: {error.strerror}. Put "
            "that right and give the same command again; the archive is kept."
        ) from error
