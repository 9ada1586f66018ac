"""Tables of any dialect, as they come: text with any separator and encoding, Parquet and FITS.

A table is opened by its header and first rows. Only the columns that are wanted are read whole,
bounded in rows' length and in all, because a small file may hold far more than the memory does.
"""

import csv
import gzip
import io
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from astropy.io import fits

from galhelpers.data.fits_images import unpack_fits
from galhelpers.data.image_files import read_file
from galhelpers.data.images import IMAGE_SUFFIXES
from galhelpers.data.tables import TableError, is_words, read_columns
from galhelpers.messages import public
from galhelpers.paths import UserError

HEAD = 50  # rows that are looked at before a column is chosen
MOST_COLUMNS = 5_000
_MOST_TEXT = 500_000_000  # characters of a text file
_LONGEST_LINE = 10_000_000


@dataclass(frozen=True)
class Table:
    """A table whose rows are still in its file.

    Attributes
    ----------
    names : list of str
        Of the columns; "1", "2" and so on where the table has no header.
    head : list of list of str
        For each column its cells in the first rows; none where it holds no text.
    read : function
        Give whole columns, by number, as text: "" where a cell is missing.
    """

    names: list[str]
    head: list[list[str]]
    read: Callable[[list[int]], list[list[str]]]


def looks_like_picture(cell: str) -> bool:
    """Say whether a cell is a path or an address of a picture by its ending."""
    path = PurePosixPath(cell.strip().replace("\\", "/").lower().removesuffix(".gz"))
    return path.suffix in IMAGE_SUFFIXES or "://" in cell


# Text ---------------------------------------------------------------------------------------

# A list of one column may have names with commas in them, quoted or not: then the lines are whole.
_NOWHERE = "\x1e"
_DIALECTS: list[dict[str, Any]] = [
    *({"delimiter": mark, "strict": True} for mark in (",", "\t", ";", "|")),
    {"delimiter": " ", "skipinitialspace": True, "strict": True},
    {"delimiter": _NOWHERE, "strict": True},
    {"delimiter": _NOWHERE, "quoting": csv.QUOTE_NONE},
]


def text_table(path: Path, is_file: Callable[[str], bool]) -> Table:
    """Open a text file, which may be gzipped, as a table.

    Parameters
    ----------
    path
        The file: UTF-8, UTF-16, or Latin-1 in some cells.
    is_file
        Says whether a cell is the path of a file. A first row that has one is no header, and the
        separator is the one that shows most of them.

    Raises
    ------
    UserError
        For lines or a file too long, and rows that do not fit the header.
    """
    with _lines(path) as lines:
        comments, first = 0, ""
        header = ""
        for first in lines:
            words = first.strip()
            # Excel's first line "sep=;" is no row either.
            above = not words or words.startswith("#") or re.fullmatch('"?sep=.?"?', words)
            if not above or is_file(words) or is_file(re.split("[,;\t|]", words)[0]):
                break
            comments, header, first = comments + 1, words.lstrip("# ") or header, ""
        sample = [line for line in (first, *itertools.islice(lines, HEAD)) if line.strip()]
    if not sample:
        raise UserError(f"Expected one row an image in {public(path)}, but it has no rows.")
    dialect = max(_DIALECTS, key=lambda dialect: _fit(sample[:20], dialect, is_file))
    rows = list(_split(sample, dialect, whole=False))
    names = rows[0]
    _check_columns(path, len(names))
    headed = not any(looks_like_picture(cell) or is_file(cell) for cell in names)
    if not headed:
        words_above = next(_split([header], dialect, whole=False), [])
        commented = comments and len(words_above) == len(names)
        names = words_above if commented else [str(i + 1) for i in range(len(names))]
    body = rows[headed:]
    if not body:
        raise UserError(f"Expected one row an image in {public(path)}, but it has no rows.")
    head = [[row[i] if i < len(row) else "" for row in body] for i in range(len(names))]

    def read(numbers: list[int]) -> list[list[str]]:
        columns: list[list[str]] = [[] for _ in numbers]
        with _lines(path) as lines:
            content = itertools.islice(lines, comments, None)
            for n, row in enumerate(_split(content, dialect)):
                if n == 0 and headed:
                    continue
                if any(row[len(names) :]):
                    raise UserError(
                        f"Expected {len(names)} columns in {public(path)}, as in its first row, "
                        f"but row {n + 1} has {len(row)}. Put cells that hold the separator in "
                        "quotation marks."
                    )
                for column, i in zip(columns, numbers, strict=True):
                    column.append(row[i] if i < len(row) else "")
        return columns

    return Table([name.strip() for name in names], head, read)


def _fit(sample: list[str], dialect: dict[str, Any], is_file: Callable[[str], bool]) -> Any:
    """Rank a dialect: rows with a file, share of rows as wide as the first, columns."""
    try:
        rows = list(_split(sample, dialect, whole=False))
    except csv.Error:
        return (-1,)
    width = len(rows[0]) if rows else 0
    if width > MOST_COLUMNS:
        return (0, 1.0, width)
    found = sum(any(map(is_file, row)) for row in rows)
    alike = sum(len(row) == width for row in rows) / max(1, len(rows))
    # Lines that are not split are always alike: that says little for them.
    return (found, alike if width > 1 else 0.5, width)


def _split(
    lines: Iterable[str], dialect: dict[str, Any], whole: bool = True
) -> Iterator[list[str]]:
    """Split lines into cells; a sample (not ``whole``) may end inside a cell."""
    if dialect["delimiter"] == " ":
        lines = (line.strip() for line in lines)
    try:
        for row in csv.reader(lines, **dialect):
            if row and (len(row) > 1 or not row[0] or row[0].strip()):
                yield row
    except csv.Error as error:
        if whole or "unexpected end" not in str(error):
            raise


@contextmanager
def _lines(path: Path) -> Iterator[Iterator[str]]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        stream: Any = gzip.open(file) if packed else file  # noqa: SIM115 - closed with file
        start = stream.read(1000)
        stream.seek(0)
        encoding, errors = _encoding(start), "surrogateescape"
        if encoding.startswith("utf-16"):
            errors = "replace"
        yield _bounded(io.TextIOWrapper(stream, encoding, errors, newline=""), path)


def _encoding(start: bytes) -> str:
    """Tell UTF-16 from UTF-8; bytes that are neither stay half characters until they are used."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    zeros = [start[offset::2].count(0) for offset in (0, 1)]
    if max(zeros) > len(start) // 4:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return "utf-8-sig"


def _bounded(text: io.TextIOWrapper, path: Path) -> Iterator[str]:
    total = 0
    while line := text.readline(_LONGEST_LINE + 1):
        total += len(line)
        if len(line) > _LONGEST_LINE or total > _MOST_TEXT:
            raise _too_large(path)
        yield line


def _too_large(path: Path) -> UserError:
    return UserError(
        f"Expected a list of pictures, but {public(path)} holds more than {_MOST_TEXT:,} "
        f"characters, or a line of more than {_LONGEST_LINE:,}. Keep the column of paths and the "
        "identifiers, and divide the list."
    )


def _check_columns(path: Path, n: int) -> None:
    if n > MOST_COLUMNS:
        raise UserError(
            f"Expected a table with a column of paths, but {public(path)} has {n:,} columns. Keep "
            "those of paths and identifiers."
        )


# Parquet and FITS ---------------------------------------------------------------------------


def parquet_table(path: Path) -> Table:
    """Open a Parquet file as a table; only columns of text have a head.

    Raises
    ------
    UserError
        For too many columns.
    """
    schema = pq.read_schema(path)
    _check_columns(path, len(schema.names))
    texts = [field for field in schema if is_words(field.type) and "binary" not in str(field.type)]
    # One by one: a column that is too large may not be needed.
    return _stored_table(path, "parquet", list(schema.names), [[field.name] for field in texts])


def fits_table(path: Path) -> Table | None:
    """Open the first table of a FITS file; None where the file holds an image.

    Raises
    ------
    UserError
        For too many columns.
    """
    source: Any = path
    with path.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            source = io.BytesIO(unpack_fits(read_file(path)) or b"")
    with fits.open(source) as hdus:
        is_table = len(hdus) > 1 and isinstance(hdus[1], fits.BinTableHDU | fits.TableHDU)
        if not is_table or any(hdu.is_image and len(hdu.shape) > 1 for hdu in hdus):
            return None
        columns = hdus[1].columns
    _check_columns(path, len(columns))
    texts = [column.name for column in columns if "A" in column.format]
    return _stored_table(path, "fits", columns.names, [texts])


def _stored_table(path: Path, kind: str, names: list[str], texts: list[list[str]]) -> Table:
    """Make a table of a file that says of what type its columns are; ``texts`` are read first."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise UserError(
            f"Expected columns of different names in {public(path)}, but several are called "
            f"{public(twice[0], 60)!r}. Rename all but one."
        )

    def read(columns: list[str]) -> dict[str, list[str]]:
        table = read_columns(path, columns, kind=kind)
        return {name: list(map(_as_text, table[name].tolist())) for name in columns}

    heads: dict[str, list[str]] = {}
    refused = None
    for together in texts:
        try:
            heads |= {name: cells[:HEAD] for name, cells in read(together).items()}
        except TableError as error:
            refused = error
    if refused and not heads:
        raise refused

    def read_all(numbers: list[int]) -> list[list[str]]:
        columns = read([names[i] for i in numbers])
        return [columns[names[i]] for i in numbers]

    return Table(names, [heads.get(name, []) for name in names], read_all)


def _as_text(cell: Any) -> str:
    if pd.isna(cell):
        return ""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))  # pandas makes floats of whole numbers with a gap among them
    return str(cell)
