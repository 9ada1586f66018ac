"""What an image file is, before any of it is decoded: its bytes, bounded, and their kind.

Files come from strangers. So nothing endless is opened, nothing large is read into memory twice at
a time, and a file that is no image is called by its kind: its own words might be secrets.
"""

import contextlib
import stat
import threading
from pathlib import Path

from galhelpers.messages import public

MAX_PIXELS = 64_000_000
"""Largest image that is decoded: larger ones are refused before they fill the memory."""

MAX_BYTES = 8 * MAX_PIXELS
"""Largest file that is read. It holds the largest image in 64 bits a pixel."""

# Threads decode small images side by side and larger ones in turn: else the memory that the work
# takes would grow with the number of cores.
_LARGE_PIXELS, _LARGE_BYTES = 4_000_000, 16_000_000
_TURN = threading.RLock()

_KINDS = {
    b"SIMPLE  =": "FITS",
    b"PAR1": "a Parquet table",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x89HDF\r\n": "an HDF5 file",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip file",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"%!PS": "a PostScript program",
    b"\xc5\xd0\xd3\xc6": "a PostScript program",
    b"%PDF": "a PDF document",
    b"\xd7\xcd\xc6\x9a": "a Windows metafile",
    b"8BPS": "a Photoshop file",
    b"\x80\x04": "a Python pickle",
    b"\x80\x05": "a Python pickle",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "a SQLite database",
    b"\xd0\xcf\x11\xe0": "a file of an old Office program",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}
_IMAGES = (
    *(b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"BM", b"GIF8"),
    *(b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"),
)


class ImageError(ValueError):
    """A file that gives no pixels; the message says in plain words why."""


def read_file(path: Path) -> bytes:
    """Read a file whole.

    Raises
    ------
    ImageError
        For what is no regular file, cannot be read, is empty, or is larger than ``MAX_BYTES``.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ImageError("is a folder, not an image")
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("is a pipe or a device, not an image")  # they may have no end
        if status.st_size == 0:
            raise ImageError("the file is empty (0 bytes): download it again")
        if status.st_size > MAX_BYTES:
            raise ImageError(f"has {status.st_size:,} bytes, more than {MAX_BYTES:,} are refused")
        with path.open("rb") as file:
            return file.read(status.st_size)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("needs more memory than this computer gives") from None
    except FileNotFoundError:
        raise ImageError("there is no such file") from None
    except (OSError, ValueError) as error:
        # An OSError shows the path, which the list of problems has already.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ImageError(f"cannot be read: {public(reason, 200)}") from None


def file_size(path: Path) -> int:
    """Give the bytes of a file; 0 for what is none, which `read_file` says in words."""
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def in_turn(pixels: int = 0, size: int = 0) -> contextlib.AbstractContextManager[object]:
    """Wait until no other thread decodes a large image, when this one is large.

    Parameters
    ----------
    pixels
        Values that are decoded.
    size
        Bytes of the file.
    """
    large = pixels > _LARGE_PIXELS or size > _LARGE_BYTES
    return _TURN if large else contextlib.nullcontext()


def kind_of(content: bytes) -> str:
    """Say what a file is, by its first bytes and without quoting them.

    Returns
    -------
    str
        "an image" for what Pillow may decode, "FITS", "text", or other words for a reader.

    >>> kind_of(b"root:x:0:0")
    'text'
    """
    start = content[:4096]
    if start.startswith(_IMAGES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP"):
        return "an image"
    if start[4:8] == b"ftyp":  # the family of MP4
        brand = start[8:12]
        known = {b"avif": "an image", b"avis": "an image", b"heic": "a HEIC picture of a telephone"}
        return known.get(brand, "a video, or a picture of its family (HEIC, MP4)")
    for mark, kind in _KINDS.items():
        if start.startswith(mark):
            return kind
    if start[257:262] == b"ustar":
        return "a tar archive"
    if not start.strip(b"\0"):
        return "a file of zeros: its content was lost"
    words = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if words.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return "a web page, as a server sends it in place of a file"
    if words.startswith(b"<votable") or b"<votable" in words:
        return "a VOTable"
    if words.startswith((b"<?xml", b"<svg")):
        return "XML or SVG"
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text"
    control = sum(byte < 32 and byte not in b"\t\n\v\f\r" for byte in start)
    return "a file of unknown kind" if control else "text"
