"""Tables of other people as they come: CSV, FITS, Parquet, VOTable, packed with gzip or not.

Identifiers need care. SDSS objids have 18 digits, a 64-bit float keeps 16: an objid that went
through a float names another object. So identifiers are text from the first moment on.
"""

import difflib
import gzip
import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import pandas as pd
import pyarrow.parquet
from astropy.io import fits
from astropy.table import Table

from galhelpers.paths import short

IDENTIFIERS = ("asset_id", "objid", "dr7objid", "dr8objid", "iauname", "id", "id_str", "galaxyid")
"""Columns that name a galaxy, in lower case, and are read as text."""

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
    with _open(path) as file:
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
    if kind == "csv":
        # Only the first line is unpacked: a file that breaks off later is found when it is read.
        return list(pd.read_csv(io.BytesIO(_first_line(path)), sep=_separator(path)).columns)
    if kind == "parquet":
        return list(pyarrow.parquet.read_schema(path).names)
    if kind == "fits":
        with fits.open(path) as hdus:
            return list(_table_hdu(hdus, path).columns.names)
    return list(Table.read(path, format="votable").colnames)


def read_table(path: str | Path, columns: Columns = None) -> pd.DataFrame:
    """Read a table of galaxies.

    Parameters
    ----------
    path
        CSV (also with tabs or spaces), FITS, Parquet or VOTable, with gzip or without; the
        content decides, not the name.
    columns
        What to read, named as published; all by default. The rest is not taken into memory.

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
    if kind == "csv":
        text = {name: str for name in wanted if name.lower() in IDENTIFIERS}
        try:
            with _open(path) as file:
                table = pd.read_csv(file, usecols=wanted, dtype=text, sep=_separator(path))
        except (pd.errors.ParserError, UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
            raise VoteTableError(f"{short(path)} is broken: {error}. Fetch it again.") from error
    elif kind == "parquet":
        table = pyarrow.parquet.read_table(path, columns=wanted).to_pandas(ignore_metadata=True)
    elif kind == "fits":
        with fits.open(path) as hdus:
            data = _table_hdu(hdus, path).data
            table = pd.DataFrame({name: _native(data[name]) for name in wanted})
    else:
        table = Table.read(path, format="votable")[wanted].to_pandas()
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


def as_text(column: pd.Series, where: str) -> pd.Series:
    """Turn identifiers into text, refusing any that lost digits; missing ones become ``""``."""
    if column.dtype.kind == "f":
        known = column.dropna()
        if len(known) and ((known % 1 != 0) | (known.abs() > 2**53)).any():
            raise VoteTableError(
                f"{where}: identifiers are stored as floats, which keep 16 digits: "
                f"{known.iloc[0]!r}. Take the table from its publisher, not through a spreadsheet."
            )
        column = column.astype("Int64")
    text = column.map(lambda name: name.decode() if isinstance(name, bytes) else name)
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


def _first_line(path: Path) -> bytes:
    with _open(path) as file:
        return file.readline()


def _separator(path: Path) -> str:
    header = _first_line(path)
    return "," if b"," in header else "\t" if b"\t" in header else r"\s+"


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
