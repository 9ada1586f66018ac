"""Tables of any dialect, as they come: text with any separator and encoding, Parquet and FITS.

A table is opened by its header and first rows. Only the columns that are wanted are read whole,
bounded in rows' length and in all, because a small file may hold far more than the memory does.
"""

import csv
import gzip
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.io import fits

from galhelpers.data.fits_images import unpack_fits
from galhelpers.data.image_files import read_file
from galhelpers.data.images import IMAGE_SUFFIXES
from galhelpers.messages import public
from galhelpers.paths import UserError

HEAD = 50  # rows that are looked at before a column is chosen
MOST_COLUMNS = 5_000
_MOST_TEXT = 500_000_000  # characters of the columns that are read, or bytes of a text file
_LONGEST_LINE = 10_000_000
_LONGEST_CELL = 10_000  # no path is longer


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
        For more columns or text than `text_table` takes.
    """
    with pq.ParquetFile(path) as file:
        schema, sizes = file.schema_arrow, _sizes(file)
    _check_columns(path, len(schema.names))
    head: list[list[str]] = [[] for _ in schema.names]
    texts = [
        i
        for i, field in enumerate(schema)
        if _is_text(field.type) and sizes.get(field.name, 0) <= _MOST_TEXT
    ]
    if texts:
        for i, cells in zip(texts, _read_parquet(path, texts, HEAD), strict=True):
            head[i] = cells
    return Table(list(schema.names), head, lambda numbers: _read_parquet(path, numbers))


def _sizes(file: pq.ParquetFile) -> dict[str, int]:
    """Give for each column the bytes of its largest part."""
    sizes: dict[str, int] = {}
    for group in range(file.metadata.num_row_groups):
        for i in range(file.metadata.num_columns):
            part = file.metadata.row_group(group).column(i)
            sizes[part.path_in_schema] = max(
                sizes.get(part.path_in_schema, 0), part.total_uncompressed_size
            )
    return sizes


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _read_parquet(path: Path, numbers: list[int], most: int | None = None) -> list[list[str]]:
    schema = pq.read_schema(path)
    wanted = [schema.names[i] for i in numbers]
    columns: list[list[str]] = [[] for _ in numbers]
    total = 0
    # As a dictionary: a long text that stands in a million rows is in memory once.
    texts = [schema.names[i] for i in numbers if _is_text(schema.field(i).type)]
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        sizes = _sizes(file)
        if any(sizes.get(name, 0) > _MOST_TEXT for name in wanted):
            raise _too_large(path)
        for batch in file.iter_batches(batch_size=most or 10_000, columns=wanted):
            for column, name in zip(columns, wanted, strict=True):
                cells = batch.column(batch.schema.get_field_index(name))
                if isinstance(cells, pa.DictionaryArray):
                    longest = pc.max(pc.binary_length(cells.dictionary)).as_py() or 0
                    if longest > _LONGEST_CELL:
                        raise _too_large(path)
                    cells = cells.dictionary_decode()
                column.extend(_as_text(cell) for cell in cells.to_pylist())
                total += sum(map(len, column[-len(cells) :]))
            if total > _MOST_TEXT:
                raise _too_large(path)
            if most:
                break
    return columns


def _as_text(cell: Any) -> str:
    if cell is None or cell != cell:
        return ""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "surrogateescape")
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))  # pandas makes floats of whole numbers with a gap among them
    return str(cell)


def fits_table(path: Path) -> Table | None:
    """Open the first table of a FITS file; None where the file holds an image.

    Raises
    ------
    UserError
        For a file whose header promises more rows than it has.
    """
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    source = io.BytesIO(unpack_fits(read_file(path)) or b"") if packed else path
    with fits.open(source) as hdus:
        if any(hdu.is_image and len(hdu.shape) > 1 for hdu in hdus):
            return None
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)]
        if not tables:
            return None
        promised = tables[0].header["NAXIS1"] * tables[0].header["NAXIS2"]
        size = len(source.getbuffer()) if isinstance(source, io.BytesIO) else path.stat().st_size
        if promised > size:
            raise UserError(
                f"Expected {public(path)} to hold the {tables[0].header['NAXIS2']} rows that its "
                "header promises, but it is cut short. Fetch it again."
            )
        data, kinds = tables[0].data, tables[0].columns
        _check_columns(path, len(kinds))
        columns = [
            np.array(data.field(i)) if np.ndim(data.field(i)) == 1 else np.empty(0, object)
            for i in range(len(kinds))
        ]
    flat = [column if column.dtype.kind in "SUif" else np.empty(0, "S1") for column in columns]
    head = [[_as_text(c) for c in f[:HEAD].tolist()] if f.dtype.kind in "SU" else [] for f in flat]
    return Table(
        list(kinds.names),
        head,
        lambda numbers: [[_as_text(c) for c in flat[i].tolist()] for i in numbers],
    )
