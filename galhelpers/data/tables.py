"""Published tables of galaxies: CSV, FITS and Parquet files as pandas tables.

Identifiers need care. SDSS objids have 18 digits and a 64-bit float keeps 16, so an objid that went
through a float names another object. Here identifiers are text from the first moment on.
"""

import csv
import errno
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table

from galhelpers.messages import public
from galhelpers.paths import short

MOST_COLUMNS = 10_000
MOST_BYTES = 1_000_000_000
"""Most bytes of a table's text, or of its columns in memory. Published ones have half of it."""

IDENTIFIERS = (
    *("id_str", "id", "galaxyid", "asset_id", "objid", "dr7objid", "dr8objid", "iauname", "name"),
)
"""Columns that name a galaxy, in lower case. They are read as text.

The first of them that a table has names its galaxies, whoever reads the table.
"""

POSITION_COLUMNS = {
    "id": IDENTIFIERS,
    "ra": ("ra", "raj2000", "_raj2000", "radeg"),
    "dec": ("dec", "de", "dej2000", "_dej2000", "dedeg"),
    "petro_r90": ("petro_r90", "petror90_r", "petror90", "petro90_r"),
    "pixel_scale": ("pixel_scale",),
    "class_id": ("class_id",),
}
"""Names, in lower case, that published tables give each column. The first that is there counts."""

LOST_DIGITS = re.compile(r"\d\.?\d*[eE]\+?\d+|\d{17,}\.0*")
"""What a spreadsheet or a float makes of a number of 18 digits."""


class TableError(ValueError):
    """A table is not what it should be; the message names the columns or the rows."""


def column_names(path: str | Path) -> list[str]:
    """Give the names of a table's columns as published. Its rows are not read.

    Raises
    ------
    TableError
        For a file that is no table.
    """
    path = Path(path)
    with _readable(path) as kind:
        if kind == "csv":
            header = pd.read_csv(path, sep=_separator(path), nrows=0, index_col=False)
            return [str(name) for name in header.columns]
        if kind == "parquet":
            return list(pq.read_schema(path).names)
        with fits.open(path) as hdus:
            # The first part of a FITS file is an image, though mostly an empty one.
            return list(hdus[1].columns.names)


def read_table(
    path: str | Path, columns: Iterable[str] | None = None, texts: Iterable[str] = ()
) -> pd.DataFrame:
    """Read a table of galaxies.

    Parameters
    ----------
    path
        A CSV file (with commas, semicolons, tabs or spaces), FITS or Parquet, by its suffix. CSV
        and FITS may be packed: ``.csv.gz``. VOTables are refused, because a VOTable may name an
        address from which the reader would fetch its rows.
    columns
        Names of the columns to read. By default all that have one value a row.
    texts
        More columns that are text, whatever stands in them.

    Returns
    -------
    DataFrame
        Columns named as published. Identifiers (``IDENTIFIERS``, in any case) and ``texts`` are
        text, ``""`` where they are missing.

    Raises
    ------
    TableError
        For a file that is no table, for missing columns, for rows with another number of values
        than the header, for more than ``MOST_BYTES``, and for identifiers that were stored as
        floats and lost digits.
    FileNotFoundError
        Where there is no such file.
    """
    path = Path(path)
    present = column_names(path)
    if len(present) > MOST_COLUMNS:
        raise _too_large(path, f"{len(present):,} columns")
    wanted = present if columns is None else list(dict.fromkeys(columns))
    check_columns(wanted, present, short(path))
    as_texts = {name for name in wanted if name.lower() in IDENTIFIERS} | set(texts)
    table = read_columns(path, wanted, as_texts, some=columns is None)
    for name in table.columns:
        if name in as_texts:
            table[name] = as_text(table[name], f"{short(path)}, column {public(name)}")
    return table


def read_columns(
    path: Path, wanted: list[str], texts: Iterable[str] = (), kind: str = "", some: bool = False
) -> pd.DataFrame:
    """Read columns as they are stored, identifiers too; errors as `read_table`.

    Parameters
    ----------
    path, texts
        As for `read_table`.
    wanted
        Names of columns that the table has.
    kind
        ``csv``, ``fits`` or ``parquet``; by default the name of the file says it.
    some
        Leave columns with several values a row out, instead of an error.
    """
    with _readable(path, kind) as kind:
        table = _READERS[kind](path, wanted, set(texts))
    odd = [name for name in wanted if name not in table]
    if odd and not some:
        raise TableError(
            f"{short(path)}: expected one value a row in {public(', '.join(odd))}, found several."
        )
    return table


def numeric(table: pd.DataFrame, columns: list[str], where: str) -> np.ndarray:
    """Give columns as an array (n, columns) of float64, NaN where empty.

    Raises
    ------
    TableError
        For words among the numbers; ``where`` names the file.
    """
    numbers = np.empty((len(table), len(columns)))
    for place, name in enumerate(columns):
        try:
            column = pd.to_numeric(table[name])
            numbers[:, place] = column.to_numpy(np.float64, na_value=np.nan)
        except (ValueError, TypeError) as error:
            raise TableError(
                f"{where}, column {public(name, 60)}: expected numbers, {public(error, 200)}."
            ) from error
    return numbers


def check_columns(wanted: Iterable[str], present: Iterable[str], where: str) -> None:
    """Raise ``TableError`` when a table lacks columns. The message names up to five of them."""
    present = list(present)
    missing = [name for name in wanted if name not in present]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise TableError(
            f"{where} should have the columns {', '.join(missing[:5])}{more}. It has "
            f"{len(present)} columns: {public(', '.join(present[:12]))}"
            f"{', ...' if present[12:] else ''}."
        )


def as_text(column: pd.Series, where: str) -> pd.Series:
    """Turn identifiers into text, ``""`` where they are missing.

    Parameters
    ----------
    column
        Identifiers of n galaxies: text, bytes or numbers.
    where
        File and column, for the message.

    Raises
    ------
    TableError
        For numbers that may have lost digits in a float.
    """
    advice = "Take the table from its publisher: a spreadsheet or a float has shortened the numbers"
    if column.dtype.kind == "f":
        known = column.dropna()
        # Above 2^53 neighbouring whole numbers are one and the same float.
        lost = known[(known % 1 != 0) | (known.abs() > 2**53)]
        if len(lost):
            raise TableError(f"{where}: expected all digits of {lost.iloc[0]!r}. {advice}.")
        column = column.astype("Int64")
    # As objects: pandas would make floats of whole numbers with a gap among them.
    names = [name.decode(errors="replace") if isinstance(name, bytes) else name for name in column]
    text = pd.Series(names, column.index, dtype=object)
    text = text.astype("string").fillna("").str.strip().astype(object)
    lost = text[text.str.fullmatch(LOST_DIGITS)]
    if len(lost):
        raise TableError(f"{where}: expected all digits of {lost.iloc[0]}. {advice}.")
    return text.str.replace(r"^(\d+)\.0*$", r"\1", regex=True)  # a whole number that was a float


def degrees(column: pd.Series, hours: bool) -> np.ndarray:
    """Read angles as degrees: numbers as they are, or text such as ``"-10:22:25.7"``.

    Parameters
    ----------
    column
        Angles of n galaxies: degrees, or sexagesimal with colons.
    hours
        Whether sexagesimal text counts hours (right ascension): 1 h is 15 degrees.

    Returns
    -------
    ndarray of float64
        (n,) degrees; NaN where the column has nothing, or no angle.
    """
    if not column.astype("string").str.contains(":").any():
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    text = column.astype("string").str.strip()
    parts = text.str.lstrip("+-").str.split(":", n=2, expand=True).reindex(columns=range(3))
    numbers = parts.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    # The sign stands before the degrees even where they are 0: -00:30:00 lies south.
    sign = np.where(text.str.startswith("-").fillna(False), -1.0, 1.0)
    return sign * (numbers @ np.array([1, 1 / 60, 1 / 3600])) * (15.0 if hours else 1.0)


def read_positions(path: str | Path) -> pd.DataFrame:
    """Read identifiers and positions of galaxies from a table that anybody made.

    Parameters
    ----------
    path
        A table that `read_table` reads, with columns for identifier, right ascension and
        declination, called by one of ``POSITION_COLUMNS``. Angles are degrees, or sexagesimal text
        with hours of right ascension.

    Returns
    -------
    DataFrame
        ``id`` (text), ``ra``, ``dec`` (degrees), and where the table has them ``petro_r90``
        (arcsec), ``pixel_scale`` (arcsec per pixel) and ``class_id`` (as it stands in the
        table).

    Raises
    ------
    TableError
        For a table that cannot be read, has no rows, or lacks a column.
    FileNotFoundError
        Where there is no such file.
    """
    present = {name.lower(): name for name in reversed(column_names(path))}
    chosen = {}
    for column, names in POSITION_COLUMNS.items():
        found = [present[name] for name in names if name in present]
        if found:
            chosen[found[0]] = column
        elif column in ("id", "ra", "dec"):
            raise TableError(
                f"{short(path)} should have a column {' or '.join(names)}; it has "
                f"{public(', '.join(column_names(path)[:12]))}."
            )
    table = read_table(path, chosen).rename(columns=chosen)
    if table.empty:
        raise TableError(f"{short(path)} should have a row for each galaxy; it has none.")
    ra, dec = degrees(table["ra"], hours=True), degrees(table["dec"], hours=False)
    return table.assign(id=as_text(table["id"], f"{short(path)}, column id"), ra=ra, dec=dec)


@contextmanager
def _readable(path: Path, kind: str = "") -> Iterator[str]:
    """Give a file's format, and say of whatever its reader stumbles over that it is no table."""
    kind = kind or path.name.lower().removesuffix(".gz").rpartition(".")[2]
    kind = {"txt": "csv", "tsv": "csv", "fit": "fits"}.get(kind, kind)
    if kind not in _READERS:
        raise TableError(
            f"Expected a table as .csv, .fits or .parquet, got {path.name}. Other formats, such as "
            "VOTable, can be saved as one of these by the program that made them."
        )
    if path.exists() and not path.is_file():
        raise TableError(f"{short(path)} should be a table, and is no plain file.")
    try:
        yield kind
    except TableError:
        raise
    except MemoryError as error:
        raise TableError(
            f"{short(path)} is too large for this computer's memory. Leave out columns or rows."
        ) from error
    except (ValueError, TypeError, LookupError, AttributeError, EOFError, OSError, RecursionError,
            ArithmeticError, csv.Error, zlib.error, pa.ArrowException) as error:  # fmt: skip
        # A missing file or a broken disk says it best itself; a place that no file can have, as
        # after 10^15 rows, is the table's fault.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, errno.EOVERFLOW):
            raise
        raise TableError(
            f"{short(path)} should be a table, {kind.upper()} in UTF-8, and cannot be read: "
            f"{public(error, 200)}. Fetch or save it again."
        ) from error


def _unpacked(path: Path) -> int:
    """Count a file's bytes, unpacked where it is packed; refuse more than ``MOST_BYTES``."""
    size = path.stat().st_size
    if path.suffix.lower() == ".gz":
        size = 0
        with gzip.open(path) as file:
            while (piece := file.read(1 << 20)) and size <= MOST_BYTES:
                size += len(piece)
    return size


def _too_large(path: Path, what: str) -> TableError:
    return TableError(
        f"{short(path)} holds {what}, expected at most {MOST_BYTES / 1e6:,.0f} MB. Leave out "
        "columns or rows."
    )


def _text(path: Path) -> io.TextIOWrapper:
    packed = path.suffix.lower() == ".gz"
    return io.TextIOWrapper(gzip.open(path) if packed else path.open("rb"), "utf-8-sig", newline="")


def _separator(path: Path) -> str:
    """Give the mark that separates most names of the header."""
    with _text(path) as file:
        header = file.readline(1 << 20)
    if len(header) == 1 << 20:
        raise TableError(f"{short(path)} should begin with a line that names its columns.")
    most = max(",;\t", key=header.count)
    if most in header:
        return most
    return r"\s+" if len(header.split()) > 1 else ","


def _check_rows(path: Path, separator: str) -> None:
    """Refuse rows with more or fewer values than the header has names.

    pandas would cut or fill them, and shift what stands behind. An empty value at the end of a row
    is one more separator and no value.
    """
    with _text(path) as lines:
        expected = 0
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            if separator == r"\s+":
                cells = line.split()
            elif '"' in line:  # a separator or the end of a line may stand in quotation marks
                whole = itertools.chain([line], lines)
                cells = next(csv.reader(whole, delimiter=separator, skipinitialspace=True))
            else:
                found = line.count(separator) + 1
                if found == expected:
                    continue
                cells = line.rstrip("\r\n").split(separator)
            expected = expected or len(cells)
            if len(cells) != expected and (len(cells) != expected + 1 or cells[-1].strip()):
                raise TableError(
                    f"{short(path)}: expected {expected} values a row as the header has names, "
                    f"found {len(cells)} in row {number}. Is a separator missing, or part of a "
                    "name without quotation marks?"
                )


def _read_csv(path: Path, wanted: list[str], texts: set[str]) -> pd.DataFrame:
    if _unpacked(path) > MOST_BYTES:
        raise _too_large(path, "too much text")
    separator = _separator(path)
    _check_rows(path, separator)
    table = pd.read_csv(
        path,
        usecols=wanted,
        dtype=dict.fromkeys(texts, str),
        sep=separator,
        index_col=False,  # a comma at the end of each row must not move the columns
        skipinitialspace=separator != r"\s+",
        low_memory=False,  # one type for the whole of a column
    )
    return table[wanted]


def _read_parquet(path: Path, wanted: list[str], texts: set[str]) -> pd.DataFrame:
    schema = pq.read_schema(path)
    flat = [name for name in wanted if not pa.types.is_nested(schema.field(name).type)]
    if _parquet_bytes(path, [schema.field(name) for name in flat]) > MOST_BYTES:
        raise _too_large(path, "too many values")
    # integer_object_nulls: whole numbers with gaps would become floats and lose digits.
    return pq.read_table(path, columns=flat).to_pandas(
        integer_object_nulls=True, ignore_metadata=True
    )


def is_words(kind: pa.DataType) -> bool:
    """Say whether a column of Parquet holds text, bytes or a list of different values."""
    kinds = [pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view]
    kinds += [pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view]
    return any(is_kind(kind) for is_kind in [*kinds, pa.types.is_dictionary])


def _parquet_bytes(path: Path, fields: list[pa.Field]) -> int:
    """Count the bytes of columns in memory; stop above ``MOST_BYTES``.

    What repeats is packed away to almost nothing, and the file does not say how long words are. So
    words are read as numbers into a list of different words, which stays small.
    """
    fixed = {field.name: pa.types.is_fixed_size_binary(field.type) for field in fields}
    words = [field.name for field in fields if is_words(field.type)]
    width = sum(field.type.byte_width if fixed[field.name] else 8 for field in fields)
    with pq.ParquetFile(path, read_dictionary=words) as file:
        size: int = file.metadata.num_rows * width
        groups = map(file.metadata.row_group, range(file.metadata.num_row_groups))
        parts = (group.column(i) for group in groups for i in range(group.num_columns))
        # Words that do not repeat have at least this, and need not be unpacked to be counted.
        plain = sum(part.total_uncompressed_size for part in parts if part.path_in_schema in words)
        if plain > MOST_BYTES:
            return plain
        for batch in file.iter_batches(columns=words) if words and size <= MOST_BYTES else ():
            for column in batch.columns:
                if pa.types.is_dictionary(column.type):
                    lengths = pc.binary_length(column.dictionary).take(column.indices)
                    size += pc.sum(lengths).as_py() or 0
                else:
                    size += column.nbytes
            if size > MOST_BYTES:
                break
    return size


def _read_fits(path: Path, wanted: list[str], texts: set[str]) -> pd.DataFrame:
    if path.suffix.lower() == ".gz" and _unpacked(path) > MOST_BYTES:
        raise _too_large(path, "too much")
    table = Table.read(path, format="fits", hdu=1)
    table.convert_bytestring_to_unicode()
    flat = [name for name in wanted if table[name].ndim == 1 and table[name].dtype.kind != "O"]
    return table[flat].to_pandas()


_READERS: dict[str, Callable[[Path, list[str], set[str]], pd.DataFrame]] = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "fits": _read_fits,
}
