"""Image files to pixels: every file is decoded once, and its pixels are kept in a memory map.

A neural network looks at each galaxy dozens of times, and decoding a JPEG takes ten times longer
than everything else done to it. So files are cropped, resized and written to one ``.npy`` file of
bytes, named after the content of the files and the preprocessing: change either and a new cache
is made, change neither and the old one is opened in milliseconds.
"""

import hashlib
import io
import json
import math
import stat
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import PIL
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from galhelpers.paths import atomic_write
from galhelpers.threads import usable_cores

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2", ".avif"}
    | {".ppm", ".pgm"}
)
"""Endings, in lower case, of the names of files that are taken for images."""

MAX_PIXELS = 64_000_000
"""Largest image that is decoded: larger ones are refused before they fill the memory."""

# Raise this number when the same file would give other pixels than before.
_PREPROCESSING = 1
_BLOCK = 512  # images held in memory at a time
# JPEGs are decoded at no less than this many times the size wanted; at 1.5 the result lies as
# close to the exact mean over each pixel's area as the last resize allows.
_DRAFT_MARGIN = 1.5


class ImageError(ValueError):
    """A file that gives no pixels; the message says in plain words why."""


@dataclass(frozen=True)
class CachedImages:
    """Pixels of many files, row by row in the order of the files.

    Attributes
    ----------
    pixels : uint8 array (n, 3, size, size)
        RGB, 0-255, row 0 at the top. Rows of unreadable files are zero.
    ok : bool array (n,)
        Whether the row holds an image.
    problems : DataFrame with columns file, kind, reason
        ``kind`` is "error" (no pixels) or "converted" (pixels, but the file was not plain RGB).
    digests : list of n str
        Content hash of each file, "" where it could not be read. Equal digests, equal bytes.
    path : Path or None
        The memory-mapped file, None when the pixels are held in memory.
    from_cache : bool
        True when nothing had to be decoded.
    """

    pixels: NDArray[np.uint8]
    ok: NDArray[np.bool_]
    problems: pd.DataFrame
    digests: list[str]
    path: Path | None
    from_cache: bool

    def __len__(self) -> int:
        return len(self.pixels)


class _Outcome(NamedTuple):
    """What became of one file."""

    digest: str
    kind: str = ""
    reason: str = ""


def load_images(
    files: Sequence[str | Path],
    size: int,
    crop: float = 1.0,
    cache_dir: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> CachedImages:
    """Read, crop and resize images, from the cache when these files were read before.

    Parameters
    ----------
    files : sequence of paths
        JPEG, PNG, TIFF and whatever else Pillow reads; the name does not matter, the content does.
    size : int
        Width and height of the result in pixels.
    crop : float
        Side of the central square that is kept, as a fraction of the frame's shorter side
        (0 < crop <= 1). A fraction, not a number of pixels, so that one galaxy stored at two
        resolutions shows the same field of view.
    cache_dir : path, optional
        Folder for the memory-mapped cache; None keeps the pixels in memory and writes nothing.
    workers : int, optional
        Decoding threads; None takes one for each core this process may use.
    progress : bool
        Show a progress bar while decoding.

    Raises
    ------
    ValueError
        For no files, a size below 1 or a crop outside (0, 1]. A bad *file* never raises: it
        becomes a row of ``problems``.
    """
    _check_preprocessing(size, crop)
    if len(files) == 0:
        raise ValueError("Expected at least one image file, got an empty list. Check the folder.")
    paths = [Path(file) for file in files]
    outcomes: list[_Outcome] = []
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        blocks = _decode(pool, paths, size, crop, outcomes, progress)
        if cache_dir is None:
            return _assemble(paths, outcomes, np.concatenate(list(blocks)))
        # Hashing takes 20 microseconds a file: threads would only stand in each other's way.
        seen = [_hash_file(path) for path in paths]
        path = Path(cache_dir) / _cache_name(seen, size, crop)
        found = _open_cache(path, len(paths), size)
        if found is not None:
            return _assemble(paths, *found, path, from_cache=True)
        path = _write_cache(Path(cache_dir), blocks, outcomes, size, crop, len(paths))
    found = _open_cache(path, len(paths), size)
    if found is None:
        raise OSError(f"The image cache {path.name} was removed while it was made: try again.")
    return _assemble(paths, *found, path)


def read_image(source: str | Path | bytes, size: int, crop: float = 1.0) -> NDArray[np.uint8]:
    """Read one image, exactly as `load_images` does.

    Parameters
    ----------
    source : path or bytes
        A file, or the content of one.
    size, crop
        As for `load_images`.

    Returns
    -------
    uint8 array (3, size, size)

    Raises
    ------
    ImageError
        When the file is missing, empty, truncated, corrupt, not an image, or too large.
    """
    _check_preprocessing(size, crop)
    content = source if isinstance(source, bytes) else _read(Path(source))
    return _pixels(content, size, crop)[0]


def _check_preprocessing(size: int, crop: float) -> None:
    if size < 1:
        raise ValueError(f"Expected a size of at least 1 pixel, got {size}.")
    if not 0 < crop <= 1:
        raise ValueError(
            f"Expected crop as a fraction of the frame, 0 < crop <= 1, got {crop}. "
            "The central 212 of 424 pixels are crop=0.5."
        )


# One file -----------------------------------------------------------------------------------


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ImageError("is a pipe or a device, not an image")  # they may have no end
        return path.read_bytes()
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError("there is no such file") from None
    except (IsADirectoryError, PermissionError) as error:
        # Windows reports a folder as "permission denied".
        folder = "is a folder, not an image"
        raise ImageError(folder if path.is_dir() else f"cannot be read: {error.strerror}") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {error}") from None


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _hash_file(path: Path) -> _Outcome:
    try:
        return _Outcome(_hash(_read(path)))
    except ImageError as error:
        return _Outcome("", "error", str(error))


def _decode_file(path: Path, size: int, crop: float) -> tuple[_Outcome, NDArray[np.uint8] | None]:
    digest = ""
    try:
        content = _read(path)
        digest = _hash(content)
        pixels, note = _pixels(content, size, crop)
    except ImageError as error:
        return _Outcome(digest, "error", str(error)), None
    return _Outcome(digest, "converted" if note else "", note), pixels


def _pixels(content: bytes, size: int, crop: float) -> tuple[NDArray[np.uint8], str]:
    """Decode, crop and resize; the string says how the image differed from 8-bit RGB."""
    if not content:
        raise ImageError("the file is empty (0 bytes): download it again")
    try:
        with Image.open(io.BytesIO(content)) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(f"has {width} x {height} px, more than {MAX_PIXELS:,} are refused")
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size: a low-pass filter, which also
            # saves most of the work.
            least = math.ceil(_DRAFT_MARGIN * size / crop)
            shrunk = image.draft(None, (least, least))
            # draft() rounds sizes up (425 px / 4 -> 107); its box is the exact frame.
            frame = shrunk[1] if shrunk else (0, 0, width, height)
            rgb, notes = _to_rgb(image, content)
            if width != height:
                notes.append(f"{width} x {height} px: the central square is used")
            side = min(frame[2], frame[3]) * crop
            left, top = (frame[2] - side) / 2, (frame[3] - side) / 2
            box = (left, top, left + side, top + side)
            # Pillow widens this filter with the reduction, so nothing aliases.
            small = rgb.resize((size, size), Image.Resampling.HAMMING, box=box)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"has more than {MAX_PIXELS:,} px: refused") from None
    except UnidentifiedImageError:
        start = content[:12].decode("ascii", "replace").replace("\ufffd", "?")
        raise ImageError(f"is not an image in a known format (it starts with {start!r})") from None
    except Exception as error:
        # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and more.
        raise ImageError(f"is damaged or cut short: {error}") from error
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1)), "; ".join(notes)


def _to_rgb(image: Image.Image, content: bytes) -> tuple[Image.Image, list[str]]:
    """Give the image in 8-bit RGB, and notes on what had to be done for that."""
    if image.mode == "RGB":
        # Pillow reads 16-bit RGB as 8-bit; only the PNG header still tells.
        deep = content.startswith(b"\x89PNG") and content[24] == 16
        return image, ["16-bit RGB reduced to 8 bits"] if deep else []
    if image.mode in ("L", "1", "LA", "La"):
        return image.convert("L").convert("RGB"), ["grey: one channel copied to three"]
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError("has 32-bit integer pixels without a known range: save it as 8 or 16")
        # Pillow's own conversion clips at 255 instead of scaling, which leaves a white frame.
        eight_bits = np.round(values / 257).astype(np.uint8)
        return Image.fromarray(eight_bits).convert("RGB"), ["16-bit grey divided by 257"]
    if image.mode == "F":
        raise ImageError("has floating-point pixels without a known range: save it as 8 or 16 bits")
    if image.mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))  # the sky's own colour
        return Image.alpha_composite(black, rgba).convert("RGB"), [f"{image.mode} laid on black"]
    return image.convert("RGB"), [f"{image.mode} converted to RGB"]


# All files ----------------------------------------------------------------------------------


def _decode(
    pool: ThreadPoolExecutor,
    paths: list[Path],
    size: int,
    crop: float,
    outcomes: list[_Outcome],
    progress: bool,
) -> Iterator[NDArray[np.uint8]]:
    """Give pixels block by block, in order; what became of each file is added to ``outcomes``."""
    with tqdm(total=len(paths), desc="decoding", unit="image", disable=not progress) as bar:
        for start in range(0, len(paths), _BLOCK):
            block = paths[start : start + _BLOCK]
            pixels = np.zeros((len(block), 3, size, size), np.uint8)
            # Pillow lets go of Python's lock while it decodes: threads use all cores.
            results = pool.map(lambda path: _decode_file(path, size, crop), block)
            for row, (outcome, decoded) in zip(pixels, results, strict=True):
                if decoded is not None:
                    row[:] = decoded
                outcomes.append(outcome)
            bar.update(len(block))
            yield pixels


def _assemble(
    paths: list[Path],
    outcomes: list[_Outcome],
    pixels: NDArray[np.uint8],
    path: Path | None = None,
    from_cache: bool = False,
) -> CachedImages:
    rows = [(str(p), o.kind, o.reason) for p, o in zip(paths, outcomes, strict=True) if o.kind]
    problems = pd.DataFrame(rows, columns=["file", "kind", "reason"], dtype=object)
    ok = np.array([outcome.kind != "error" for outcome in outcomes])
    digests = [outcome.digest for outcome in outcomes]
    return CachedImages(pixels, ok, problems, digests, path, from_cache)


def _cache_name(outcomes: list[_Outcome], size: int, crop: float) -> str:
    # Another Pillow may decode a little differently: its version belongs to the preprocessing.
    preprocessing = [_PREPROCESSING, PIL.__version__, size, float(crop)]
    contents = [outcome.digest or outcome.reason for outcome in outcomes]
    return f"images-{size}px-{_hash(json.dumps([preprocessing, contents]).encode())}.npy"


def _write_cache(
    folder: Path,
    blocks: Iterator[NDArray[np.uint8]],
    outcomes: list[_Outcome],
    size: int,
    crop: float,
    n: int,
) -> Path:
    """Write pixels and what became of each file; both appear complete or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, 3, size, size)}
    # The name follows from the hashes of the very bytes that were decoded, so it is known last.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
        unnamed = Path(building) / "images.npy"
        with unnamed.open("wb") as file:
            # Written, not mapped: a full disk is then an error, and not a crash of Python.
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                file.write(block.data)
        path = folder / _cache_name(outcomes, size, crop)
        with atomic_write(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(outcomes), encoding="utf-8")
        try:
            unnamed.replace(path)
        except PermissionError:
            # Windows: another process wrote the same cache first and has it open. Same bytes.
            if not path.exists():
                raise
    return path


def _open_cache(path: Path, n: int, size: int) -> tuple[list[_Outcome], NDArray[np.uint8]] | None:
    """Open a cache, or give None where there is none or a damaged one."""
    try:
        outcomes = [_Outcome(*o) for o in json.loads(path.with_suffix(".json").read_text("utf-8"))]
        pixels = np.load(path, mmap_mode="r")
    except (OSError, ValueError, TypeError, EOFError):
        return None
    if pixels.shape != (n, 3, size, size) or pixels.dtype != np.uint8 or len(outcomes) != n:
        return None
    return outcomes, pixels
