"""Tables of other people as they come: CSV, FITS, Parquet, VOTable, packed with gzip or not.

Identifiers need care. SDSS objids have 18 digits, a 64-bit float keeps 16: an objid that went
through a float names another object. So identifiers are text from the first moment on.
"""

import difflib
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from xml.parsers.expat import ExpatError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from astropy.io import fits
from astropy.io.votable.exceptions import VOTableSpecError
from astropy.table import Table

from galhelpers.paths import short

IDENTIFIERS = (
    *("asset_id", "objid", "dr7objid", "dr8objid", "iauname"),
    *("id", "id_str", "galaxyid", "name"),
)
"""Columns that name a galaxy, in lower case, and are read as text."""

MAX_HEADER = 1_000_000
"""Most bytes in the first line of a CSV file; the widest published table has 15,000."""

Columns = Iterable[str] | None


class VoteTableError(ValueError):
    """A table is not what it should be; the message names the columns or the rows."""


def table_format(path: Path) -> str:
    """Tell a table's format from its first bytes: ``csv``, ``fits``, ``parquet`` or ``votable``.

    Raises
    ------
    VoteTableError
        For a file that is empty, or is something else: a web page, an archive, HDF5.
    """
    with _whole(path), _open(path) as file:
        start = file.read(1024).lstrip()
    if not start:
        raise VoteTableError(f"{short(path)} is empty. Fetch it again.")
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"SIMPLE  ="):
        return "fits"
    if b"<VOTABLE" in start or start.startswith(b"<?xml"):
        return "votable"
    kinds = {b"<": "a web page", b"PK": "a zip archive", b"\x89HDF": "an HDF5 file"}
    for mark, kind in kinds.items():
        if start.startswith(mark):
            raise VoteTableError(
                f"{short(path)} is {kind}. Expected a table: CSV, FITS, Parquet or VOTable."
            )
    if b"\0" in start:
        raise VoteTableError(f"{short(path)} is no text, nor FITS, Parquet or VOTable.")
    return "csv"


def column_names(path: Path) -> list[str]:
    """Give the names of a table's columns, as published, without reading its rows."""
    kind = table_format(path)
    with _whole(path):
        if kind == "csv":
            # Only the first line is unpacked: a file that breaks off later is found when it is
            # read.
            return list(pd.read_csv(io.BytesIO(_first_line(path)), sep=_separator(path)).columns)
        if kind == "parquet":
            with _open(path) as file:
                return list(pyarrow.parquet.read_schema(file).names)
        if kind == "fits":
            with fits.open(path) as hdus:
                return list(_table_hdu(hdus, path).columns.names)
        return list(Table.read(path, format="votable").colnames)


def read_table(path: str | Path, columns: Columns = None) -> pd.DataFrame:
    """Read a table of galaxies.

    Parameters
    ----------
    path
        CSV (also with semicolons, tabs or spaces), FITS, Parquet or VOTable, with gzip or without;
        the content decides, not the name.
    columns
        What to read, named as published; by default all that have one value a row. The rest is not
        taken into memory.

    Returns
    -------
    DataFrame
        Columns named as published; identifiers (``IDENTIFIERS``, in any case) are text. Its
        ``attrs`` say ``file``, ``sha256``, ``format`` and ``first_line``, the line of the file in
        which the first row stands (2 below a header, 1 in formats that have no lines).

    Raises
    ------
    VoteTableError
        For a file that is no table, for missing columns, and for identifiers that were stored as
        floats and lost digits.
    FileNotFoundError
        Where there is no such file.
    """
    path = Path(path)
    kind = table_format(path)
    present = column_names(path)
    wanted = list(dict.fromkeys(columns)) if columns is not None else present
    missing_columns(wanted, present, short(path))
    with _whole(path):
        table, several = _READERS[kind](path, wanted)
    if several and columns is not None:
        raise VoteTableError(
            f"{short(path)}: {', '.join(several)} should have one value a galaxy, not more."
        )
    wanted = [name for name in wanted if name not in several]
    for name in wanted:
        if name.lower() in IDENTIFIERS:
            table[name] = as_text(table[name], f"{short(path)}, column {name}")
    table.attrs = {
        "file": path.name,
        "sha256": _sha256(path),
        "format": kind + (" (gzip)" if _is_gzip(path) else ""),
        "first_line": 2 if kind == "csv" else 1,
    }
    return table[wanted]


def missing_columns(wanted: Sequence[str], present: Sequence[str], where: str) -> None:
    """Refuse a table that lacks columns; the message names them and what comes closest.

    A ``*`` in a wanted name stands for any text and is only shown.
    """
    missing = [name for name in wanted if name not in present]
    if not missing:
        return
    lines = []
    for name in missing[:5]:
        close = difflib.get_close_matches(name, present, n=1, cutoff=0.6)
        lines.append(f"  {name}" + (f" (closest: {close[0]})" if close else ""))
    if missing[5:]:
        lines.append(f"  and {len(missing) - 5} more")
    shown = ", ".join(present[:8]) + (", ..." if present[8:] else "")
    raise VoteTableError(
        "\n".join([f"{where} lacks {len(missing)} of the columns expected here:", *lines])
        + f"\nIt has {len(present)} columns: {shown}"
    )


def as_text(column: pd.Series | pa.ChunkedArray, where: str) -> pd.Series:
    """Turn identifiers into text, refusing any that lost digits; missing ones become ``""``.

    Parameters
    ----------
    column
        Identifiers; those of a Parquet file as Arrow holds them, because pandas makes whole numbers
        with gaps into floats.
    where
        File and column, for the message.

    Raises
    ------
    VoteTableError
        For floats that may have lost digits, and for text that is not UTF-8.
    """
    if isinstance(column, pa.ChunkedArray):
        integers = pa.types.is_integer(column.type)
        column = (column.cast(pa.string()) if integers else column).to_pandas()
    if column.dtype.kind == "f":
        known = column.dropna()
        if len(known) and ((known % 1 != 0) | (known.abs() > 2**53)).any():
            raise VoteTableError(
                f"{where}: identifiers are stored as floats, which keep 16 digits: "
                f"{float(known.iloc[0])!r}. Take the table from its publisher, not through a "
                "spreadsheet."
            )
        column = column.astype("Int64")
    try:
        text = column.map(lambda name: name.decode() if isinstance(name, bytes) else name)
    except UnicodeDecodeError as error:
        raise VoteTableError(f"{where}: {_NOT_UTF8} ({error}).") from error
    text = text.astype("string").fillna("").str.strip().astype(object)
    damaged = text.str.fullmatch(r"\d\.?\d*[eE]\+?\d+")
    if damaged.any():
        raise VoteTableError(
            f"{where}: identifiers went through floats and lost digits: {text[damaged].iloc[0]}. "
            "Take the table from its publisher, not through a spreadsheet."
        )
    return text


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
        return pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    text = column.astype("string").str.strip()
    parts = text.str.lstrip("+-").str.split(":", n=2, expand=True).reindex(columns=range(3))
    numbers = parts.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    # The sign stands before the degrees even where they are 0: -00:30:00 lies south.
    sign = np.where(text.str.startswith("-").fillna(False), -1.0, 1.0)
    return sign * (numbers @ np.array([1, 1 / 60, 1 / 3600])) * (15.0 if hours else 1.0)


def _open(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if _is_gzip(path) else path.open("rb")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


_NOT_UTF8 = (
    "the text is not in the encoding UTF-8. Save the table as UTF-8 in the program it is from"
)


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Say of whatever the readers stumble over that the file is broken; keep errors of the disk."""
    try:
        yield
    except VoteTableError:
        raise
    except UnicodeDecodeError as error:
        raise VoteTableError(f"{short(path)}: {_NOT_UTF8} ({error}).") from error
    except (ValueError, TypeError, EOFError, OSError, zlib.error, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise VoteTableError(f"{short(path)} is broken: {error}. Fetch it again.") from error
    except (VOTableSpecError, ExpatError) as error:
        raise VoteTableError(
            f"{short(path)} is no right VOTable: {error}. Fetch it again."
        ) from error


def _first_line(path: Path) -> bytes:
    with _open(path) as file:
        line = file.readline(MAX_HEADER + 1)
    if len(line) > MAX_HEADER:
        raise VoteTableError(
            f"{short(path)}: the first line should name the columns, but goes on for more than "
            f"{MAX_HEADER:,} bytes. Is it a table?"
        )
    return line


def _separator(path: Path) -> str:
    """Give the mark that separates most names; the names themselves may hold another."""
    header = _first_line(path).decode()
    most = max(",;\t", key=header.count)
    return most if most in header else r"\s+"


# Each reader gives the columns asked for that have one value a row, and the names of the others.
_Read = tuple[pd.DataFrame, list[str]]


def _read_csv(path: Path, wanted: list[str]) -> _Read:
    text = {name: str for name in wanted if name.lower() in IDENTIFIERS}
    mark = _separator(path)
    with _open(path) as file:
        table = pd.read_csv(file, usecols=wanted, dtype=text, sep=mark)
    if mark == ";":  # where spreadsheets write it, they write 10,5 for ten and a half
        for name in [name for name in table if table[name].dtype.kind == "O" and name not in text]:
            words = table[name].dropna().astype(str).str.strip()
            if len(words) and words.str.fullmatch(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?").all():
                table[name] = words.str.replace(",", ".").astype(float).reindex(table.index)
    return table, []


def _read_parquet(path: Path, wanted: list[str]) -> _Read:
    with _open(path) as file, pyarrow.parquet.ParquetFile(file) as parquet:
        types = {field.name: field.type for field in parquet.schema_arrow}
        several = [name for name in wanted if pa.types.is_nested(types[name])]
        found = parquet.read([name for name in wanted if name not in several])
    for i, name in enumerate(found.column_names):
        if name.lower() in IDENTIFIERS and pa.types.is_integer(types[name]):
            found = found.set_column(i, name, found[name].cast(pa.string()))
    return found.to_pandas(ignore_metadata=True), several


def _read_fits(path: Path, wanted: list[str]) -> _Read:
    with fits.open(path) as hdus:
        data = _table_hdu(hdus, path).data
        # Arrays of different lengths are objects.
        several = [name for name in wanted if data[name].ndim > 1 or data[name].dtype.kind == "O"]
        single = {name: _native(data[name]) for name in wanted if name not in several}
        return pd.DataFrame(single), several


def _read_votable(path: Path, wanted: list[str]) -> _Read:
    found = Table.read(path, format="votable")[wanted]
    several = [name for name in wanted if found[name].ndim > 1 or _holds_arrays(found[name])]
    return found[[name for name in wanted if name not in several]].to_pandas(), several


def _holds_arrays(column: Any) -> bool:
    """Tell whether the values are arrays of different lengths; text is also kept as objects."""
    return column.dtype.kind == "O" and any(isinstance(value, np.ndarray) for value in column)


_READERS = {
    "csv": _read_csv,
    "parquet": _read_parquet,
    "fits": _read_fits,
    "votable": _read_votable,
}


def _table_hdu(hdus: Any, path: Path) -> Any:
    for hdu in hdus:
        if isinstance(hdu, fits.BinTableHDU | fits.TableHDU):
            return hdu
    raise VoteTableError(f"{short(path)} is FITS without a table: an image?")


def _native(values: Any) -> np.ndarray:
    """FITS stores numbers big-endian, which pandas cannot take, and pads texts with blanks."""
    values = np.asarray(values)
    if values.dtype.kind in "SU":
        return np.char.strip(np.char.decode(values) if values.dtype.kind == "S" else values).astype(
            object
        )
    return values.astype(values.dtype.newbyteorder("="))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
