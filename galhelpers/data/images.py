"""Image files to pixels: every file is decoded once, and its pixels are kept in a memory map.

A neural network looks at each galaxy dozens of times, and decoding a JPEG takes ten times longer
than everything else done to it. So files are cropped, resized and written to one ``.npy`` file of
bytes, named after the content of the files and the preprocessing: change either and a new cache
is made, change neither and the old one is opened, after its own hashes are compared.
"""

import hashlib
import io
import json
import logging
import math
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import PIL
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from galhelpers.data.fits_images import fits_to_rgb, unpack_fits
from galhelpers.data.image_files import (
    MAX_PIXELS,
    ImageError,
    file_size,
    in_turn,
    kind_of,
    read_file,
)
from galhelpers.messages import public
from galhelpers.paths import atomic_write, short
from galhelpers.threads import usable_cores

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".jp2", ".avif"}
    | {".ppm", ".pgm", ".fits", ".fit", ".fts", ".fz"}
)
"""Endings, in lower case, of the names of files that are taken for images."""

# Pillow knows forty formats more. Some start a program on what the file says (Ghostscript for
# PostScript), and hardly any has ever held a galaxy.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF")
_MOST_WORDS = 5_000_000  # bytes of numbers written out, which Pillow reads one by one
_LEAST_SIDE = 16  # pixels; smaller ones show no galaxy
# A picture in which fewer pixels than these differ from its middle level by so much is empty. In
# 7,257 pictures of SDSS, DECaLS, CANDELS and the simulated survey the least difference was 84
# levels in a thousandth of the pixels.
_EMPTY_PIXELS, _EMPTY_LEVELS = 9, 16

# What Pillow's decoders complain of is in the list of problems; it need not be on the screen, too.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Raise this number when the same file would give other pixels than before.
_PREPROCESSING = 1
_BLOCK = 512  # images held in memory at a time
# JPEGs are decoded at no less than this many times the size wanted; at 1.5 the result lies as
# close to the exact mean over each pixel's area as the last resize allows.
_DRAFT_MARGIN = 1.5


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
        JPEG, PNG, GIF, BMP, PPM, TIFF, WebP, JPEG 2000, AVIF and FITS; the name does not matter,
        the content does. FITS is turned into pictures by
        :func:`galhelpers.data.fits_images.fits_to_rgb`.
    size : int
        Width and height of the result in pixels.
    crop : float
        Side of the central square that is kept, as a fraction of the frame's shorter side
        (0 < crop <= 1). A fraction, not a number of pixels, so that one galaxy stored at two
        resolutions shows the same field of view.
    cache_dir : path, optional
        Folder for the memory-mapped cache; None keeps the pixels in memory and writes nothing.
        Where it cannot be written, they stay in memory, too, and a line says so.
    workers : int, optional
        Decoding threads; None takes one for each core this process may use.
    progress : bool
        Show a progress bar while decoding.

    Raises
    ------
    ValueError
        For no files, a size below 1 or a crop outside (0, 1]. A bad *file* never raises: it
        becomes a row of ``problems``. So does a picture smaller than 16 pixels, or one that is all
        of nearly one colour.
    """
    _check_preprocessing(size, crop)
    if len(files) == 0:
        raise ValueError("Expected at least one image file, got an empty list. Check the folder.")
    paths = [Path(file) for file in files]
    outcomes: list[_Outcome] = []
    with warnings.catch_warnings(), ThreadPoolExecutor(workers or usable_cores()) as pool:
        # What decoders warn of is either in the list of problems or of no consequence.
        warnings.simplefilter("ignore")
        if cache_dir is not None:
            folder = Path(cache_dir)
            # Hashing takes 20 microseconds a file: threads would only stand in each other's way.
            path = folder / _cache_name([_hash_file(path) for path in paths], size, crop)
            found = _open_cache(pool, path, len(paths), size)
            if found is not None:
                return _assemble(paths, *found, path, from_cache=True)
            blocks = _decode(pool, paths, size, crop, outcomes, progress)
            try:
                path = _write_cache(folder, blocks, outcomes, size, crop, len(paths))
                found = _open_cache(pool, path, len(paths), size)
            except OSError as error:
                tqdm.write(
                    f"The image cache {short(folder)} cannot be written ({error.strerror}). The "
                    "pixels stay in memory."
                )
            if found is not None:
                return _assemble(paths, *found, path)
        pixels = np.concatenate(list(_decode(pool, paths, size, crop, outcomes, progress)))
        return _assemble(paths, outcomes, pixels)


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
        When the file is missing, empty, truncated, corrupt, not an image, or too large, and when
        the picture shows nothing.
    """
    _check_preprocessing(size, crop)
    content = source if isinstance(source, bytes) else read_file(Path(source))
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


def _hash(content: bytes | memoryview) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _hash_file(path: Path) -> _Outcome:
    try:
        return _Outcome(_hash(read_file(path)))
    except ImageError as error:
        return _Outcome("", "error", str(error))


def _decode_file(path: Path, size: int, crop: float) -> tuple[_Outcome, NDArray[np.uint8] | None]:
    digest = ""
    try:
        with in_turn(size=file_size(path)):
            content = read_file(path)
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
        unpacked = unpack_fits(content)
        if unpacked is not None:
            array, note = fits_to_rgb(unpacked)
            height, width = array.shape[:2]
            return _reduce(Image.fromarray(array), (width, height), size, crop, [note])
        return _decode_content(content, size, crop)
    except ImageError:
        raise
    except MemoryError:
        raise ImageError("needs more memory than this computer gives") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ImageError(f"has more than {MAX_PIXELS:,} px: refused") from None
    except UnidentifiedImageError:
        kind = kind_of(content)
        if kind == "an image":
            raise ImageError("is damaged or cut short: its header cannot be read") from None
        raise ImageError(f"is {kind}, not an image in a known format") from None
    except Exception as error:
        # Decoders raise OSError, SyntaxError, ValueError, struct.error and more.
        raise ImageError(f"is damaged or cut short: {public(error, 200)}") from error


def _decode_content(content: bytes, size: int, crop: float) -> tuple[NDArray[np.uint8], str]:
    if content.startswith((b"P1", b"P2", b"P3")) and len(content) > _MOST_WORDS:
        raise ImageError("holds its pixels as words, too many to read: save it as PNG")
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ImageError(f"has {width} x {height} px, more than {MAX_PIXELS:,} are refused")
        with in_turn(width * height):
            several = _holds_several(image)
            # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size: a low-pass filter, which also
            # saves most of the work.
            least = math.ceil(_DRAFT_MARGIN * size / crop)
            shrunk = image.draft(None, (least, least))
            # draft() rounds sizes up (425 px / 4 -> 107); its box is the exact frame.
            frame = shrunk[1][2:] if shrunk else (width, height)
            rgb, notes = _to_rgb(image, content)
            return _reduce(rgb, frame, size, crop, several + notes, (width, height))


def _holds_several(image: Image.Image) -> list[str]:
    """Note that a file has more pages or frames than the first, perhaps one for each filter."""
    try:
        image.seek(1)
        several = ["the first of several pictures in the file is used"]
    except Exception:  # none or a damaged one
        several = []
    image.seek(0)
    return several


def _reduce(
    rgb: Image.Image,
    frame: tuple[float, float],
    size: int,
    crop: float,
    notes: list[str],
    original: tuple[int, int] | None = None,
) -> tuple[NDArray[np.uint8], str]:
    """Crop and resize a picture that shows something; ``frame`` is its exact width and height."""
    width, height = original or rgb.size
    if min(width, height) < _LEAST_SIDE:
        raise ImageError(f"has {width} x {height} px: less than {_LEAST_SIDE} show no galaxy")
    _check_shows_something(rgb)
    if width != height:
        notes = [*notes, f"{width} x {height} px: the central square is used"]
    side = min(frame) * crop
    left, top = (frame[0] - side) / 2, (frame[1] - side) / 2
    # Pillow widens this filter with the reduction, so nothing aliases.
    box = (left, top, left + side, top + side)
    small = rgb.resize((size, size), Image.Resampling.HAMMING, box=box)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1)), "; ".join(notes)


def _check_shows_something(rgb: Image.Image) -> None:
    counts = np.array(rgb.histogram()).reshape(3, 256)
    middle = (counts.cumsum(1) >= counts.sum(1, keepdims=True) / 2).argmax(1)
    far = np.abs(np.arange(256) - middle[:, None]) >= _EMPTY_LEVELS
    if (counts * far).sum(1).max() < _EMPTY_PIXELS:
        colour = ", ".join(map(str, middle))
        raise ImageError(f"is empty: all of it is nearly one colour (RGB {colour} of 255)")


def _to_rgb(image: Image.Image, content: bytes) -> tuple[Image.Image, list[str]]:
    """Give the image in 8-bit RGB, and notes on what had to be done for that."""
    if image.mode == "RGB":
        # Pillow reads 16-bit RGB as 8-bit; only the PNG header still tells.
        deep = content.startswith(b"\x89PNG") and content[24] == 16
        return image, ["16-bit RGB reduced to 8 bits"] if deep else []
    if image.mode == "1":
        raise ImageError("has pixels of 1 bit, black or white: save it with levels of grey")
    if image.mode in ("L", "LA", "La"):
        return image.convert("L").convert("RGB"), ["grey: one channel copied to three"]
    if image.mode.startswith("I"):
        grey, note = _eight_bits(np.asarray(image))
        return Image.fromarray(grey).convert("RGB"), [note]
    if image.mode == "F":
        raise ImageError("has floating-point pixels without a known range: save it as 8 or 16 bits")
    if image.mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))  # the sky's own colour
        return Image.alpha_composite(black, rgba).convert("RGB"), [f"{image.mode} laid on black"]
    return image.convert("RGB"), [f"{image.mode} converted to RGB"]


def _eight_bits(values: NDArray[np.integer]) -> tuple[NDArray[np.uint8], str]:
    """Divide grey levels of 8, 12 or 16 bits, whichever hold the brightest, to 8 bits."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise ImageError("has 32-bit integer pixels without a known range: save it as 8 or 16")
    if high > low > high / 4:
        # The sky of a picture is dark. A detector's counts start from a level of their own.
        raise ImageError(
            f"has counts from {low} to {high} in place of grey levels from 0: give the FITS file, "
            "or subtract the sky, stretch and save it as 8 bits"
        )
    full = next(full for full in (255, 4095, 65535) if high <= full)
    # Pillow's own conversion clips at 255 instead of scaling, which leaves a white frame.
    table = np.round(np.arange(high + 1) / (full / 255)).astype(np.uint8)
    grey = np.empty(values.shape, np.uint8)
    for row, levels in zip(grey, values, strict=True):
        row[:] = table[levels]  # row by row: numpy takes 8 bytes a pixel for indices
    return grey, f"16-bit grey divided by {full / 255:.4g}: {full} is white"


# All files ----------------------------------------------------------------------------------


def _decode(
    pool: ThreadPoolExecutor,
    paths: list[Path],
    size: int,
    crop: float,
    outcomes: list[_Outcome],
    progress: bool,
) -> Iterator[NDArray[np.uint8]]:
    """Give pixels block by block, in order; what became of each file goes to ``outcomes``."""
    outcomes.clear()
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
    hashes = []
    # The name follows from the hashes of the very bytes that were decoded, so it is known last.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".building-") as building:
        unnamed = Path(building) / "images.npy"
        with unnamed.open("wb") as file:
            # Written, not mapped: a full disk is then an error, and not a crash of Python.
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                file.write(block.data)
                hashes.append(_hash(block.data))
        path = folder / _cache_name(outcomes, size, crop)
        content = [outcomes, hashes]
        with atomic_write(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps([_hash_json(content), content]), encoding="utf-8")
        try:
            unnamed.replace(path)
        except PermissionError:
            # Windows: another process wrote the same cache first and has it open. Same bytes.
            if not path.exists():
                raise
    return path


def _hash_json(content: list[Any]) -> str:
    return _hash(json.dumps(content).encode())


def _open_cache(
    pool: ThreadPoolExecutor, path: Path, n: int, size: int
) -> tuple[list[_Outcome], NDArray[np.uint8]] | None:
    """Open a cache, or give None where there is none or one that is not as it was written."""
    try:
        check, content = json.loads(path.with_suffix(".json").read_text("utf-8"))
        if check != _hash_json(content):
            return None
        outcomes = [_Outcome(*outcome) for outcome in content[0]]
        pixels = np.load(path, mmap_mode="r")
        if pixels.shape != (n, 3, size, size) or pixels.dtype != np.uint8 or len(outcomes) != n:
            return None
        blocks = (pixels[start : start + _BLOCK] for start in range(0, n, _BLOCK))
        # All of it is read, a gigabyte in a second: less than decoding takes by far.
        hashes = list(pool.map(lambda block: _hash(block.data), blocks))
    except Exception:
        return None  # whatever a damaged file makes of its reader
    return (outcomes, pixels) if hashes == content[1] else None
