"""Galaxy10 and GalaxyMNIST: all images in one HDF5 file, written out as one PNG a galaxy.

The images stream through memory in batches, and the work can be interrupted at any point.
"""

import errno
import gzip
import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import pandas as pd
from PIL import Image
from tqdm.auto import tqdm

from galhelpers.data.sources.hdf5_layouts import (
    BATCH_BYTES,
    LAYOUTS,
    damaged,
    find_array,
    read_table,
)
from galhelpers.paths import atomic_write, short

MAX_UNPACKED = 8e9
"""Most bytes that a ``.hdf5.gz`` may grow to; the largest published one has 1.2 GB."""

_THREADS = 2
_PNG_LEVEL = 1  # on 256 px galaxies as small as the usual level 6, and three times as fast
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"\x00\x00\x00\x00IEND\xaeB`\x82"


def export_hdf5(
    path: str | Path,
    folder: str | Path,
    layout: str,
    *,
    expected_counts: Sequence[int] | None = None,
    threads: int = _THREADS,
    progress: bool = True,
) -> pd.DataFrame:
    """Write the images of an HDF5 file as lossless PNGs and give the table that belongs to them.

    Can be interrupted at any point and called again: images that are there, whole and of this file
    are kept. Which file they are of stands in a hidden record beside them.

    Parameters
    ----------
    path
        The file; one whose name ends in ``.gz`` is unpacked to a nameless temporary file first.
    folder
        Gets ``images/<id>.png``, (height, width, 3) 8 bit, and ``images/.from_<set>.json``.
    layout
        A name in ``LAYOUTS``.
    expected_counts
        Galaxies in each class; by default those of the published releases.
    threads
        Threads that compress PNGs: 1 or 2.
    progress
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        One row a galaxy, in the order of the file: ``id`` (name of the set, split where there is
        one, row counted from 0), ``file`` (relative to ``folder``, with slashes),
        ``published_class`` (int), and where the file has them ``ra``, ``dec`` (degrees),
        ``redshift``, ``pixel_scale`` (arcsec a pixel) and ``split`` (train or test). Which release
        it is stands in ``attrs["release"]``.

    Raises
    ------
    KeyError
        For an unknown layout.
    FileNotFoundError
        When there is no such file.
    ValueError
        For a damaged file, or one that is not what the layout says: the message says what was
        expected, what came, and what to do.
    OSError
        When the disk has too little space.
    """
    path, folder = Path(path), Path(folder)
    if layout not in LAYOUTS:
        raise KeyError(f"Unknown layout {layout!r}. Layouts: {', '.join(LAYOUTS)}.")
    with open_hdf5(path, folder) as file:
        table = read_table(file, path, layout, expected_counts)
        images = find_array(file, "images", path)
        files = [folder / name for name in table["file"]]
        record = _forget_other_files(path, folder / "images", table["id"][0].rpartition("_")[0])
        missing = np.array([not whole_png(png, images.shape[1:3]) for png in files])
        _need_space(folder, int(missing.sum()) * int(np.prod(images.shape[1:])), "images")
        with atomic_write(record) as temporary:
            temporary.write_text(json.dumps(_identity(path)), encoding="utf-8")
        with (
            tqdm(
                total=len(files),
                initial=int((~missing).sum()),
                desc=layout,
                unit="image",
                leave=False,
                disable=not progress,
            ) as bar,
            ThreadPoolExecutor(max(1, min(threads, _THREADS))) as pool,
        ):
            for start, stop in _batches(images):
                rows = np.flatnonzero(missing[start:stop])
                if len(rows) == 0:
                    continue
                try:
                    pixels = images[start:stop]
                except OSError as error:
                    raise damaged(path, error) from error
                for _ in pool.map(
                    _write_png, (files[start + row] for row in rows), (pixels[row] for row in rows)
                ):
                    bar.update()
    return table


@contextmanager
def open_hdf5(path: str | Path, folder: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, unpacking a ``.gz`` into a temporary file in ``folder``."""
    path, folder = Path(path), Path(folder)
    if not path.is_file():
        raise FileNotFoundError(f"Expected the file {short(path)}, found none. Download it first.")
    with ExitStack() as stack:
        source: str | BinaryIO = str(path)
        if path.suffix == ".gz":
            folder.mkdir(parents=True, exist_ok=True)
            # It has no name on the disk: a killed process leaves nothing behind.
            source = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            _gunzip(path, source, folder)
        try:
            file = stack.enter_context(h5py.File(source, "r"))
        except OSError as error:
            raise damaged(path, error) from error
        yield file


def _identity(path: Path) -> dict[str, int]:
    """Tell a file from another one of the same name; its content is not read for that."""
    status = path.stat()
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}


def _forget_other_files(path: Path, images: Path, prefix: str) -> Path:
    """Delete images that were made from another file; give the path of the record.

    The record of this file is to be written only then: whoever breaks off in between finds no
    image of another file under this one's record.
    """
    record = images / f".from_{prefix}.json"
    try:
        same = json.loads(record.read_text(encoding="utf-8")) == _identity(path)
    except (OSError, ValueError):
        same = False
    if not same:
        for old in images.glob(f"{prefix}_[0-9]*.png"):
            old.unlink()
    return record


def _gunzip(path: Path, target: BinaryIO, folder: Path) -> None:
    try:
        with gzip.open(path, "rb") as packed:
            written = 0
            while block := packed.read(1 << 22):
                written += len(block)
                if written > MAX_UNPACKED:
                    raise ValueError(
                        f"{short(path)} should unpack to less than {MAX_UNPACKED / 1e9:.0f} GB "
                        "and goes on: it is not a file of this data set. Delete it."
                    )
                _need_space(folder, len(block), f"unpacking {path.name}")
                target.write(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise damaged(path, error) from error


def _batches(images: h5py.Dataset) -> Iterator[tuple[int, int]]:
    """Cut all rows into batches that end where the file's own chunks end.

    Compressed files are stored in chunks of some hundred images; a batch that ended inside of a
    chunk would unpack it twice.
    """
    row_bytes = int(np.prod(images.shape[1:]))
    most = max(1, int(BATCH_BYTES // row_bytes))
    step = min(most, 64)
    if images.chunks and images.chunks[0] <= most:
        step = images.chunks[0] * max(1, 64 // images.chunks[0])
    for start in range(0, len(images), step):
        yield start, min(start + step, len(images))


def _write_png(path: Path, pixels: np.ndarray) -> None:
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG", compress_level=_PNG_LEVEL)


def whole_png(path: Path, shape: tuple[int, int]) -> bool:
    """Tell whether a PNG is there from its first byte to its last, and as large as it should be."""
    try:
        with path.open("rb") as file:
            start = file.read(24)
            file.seek(-len(_PNG_END), 2)
            end = file.read()
    except OSError:
        return False
    width, height = int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")
    return start.startswith(_PNG_START) and end == _PNG_END and (height, width) == shape


def _need_space(folder: Path, n_bytes: int, what: str) -> None:
    """Stop before the disk is full. PNGs of galaxies are smaller than their pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise OSError(
            errno.ENOSPC,
            f"Expected {n_bytes / 1e9:.2f} GB of free space for {what}, there are "
            f"{free / 1e9:.2f} GB in {short(folder)}. Make room and call again: what is written "
            "is kept",
        )
