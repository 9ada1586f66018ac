"""Which pictures a user means: one, those of a folder, or those that a table names."""

import gzip
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from galhelpers.course.picture_tables import (
    HEAD,
    Table,
    fits_table,
    looks_like_picture,
    parquet_table,
    text_table,
)
from galhelpers.data.image_files import kind_of
from galhelpers.data.images import IMAGE_SUFFIXES
from galhelpers.data.tables import IDENTIFIERS, LOST_DIGITS, TableError
from galhelpers.messages import public
from galhelpers.paths import UserError

_WHAT = "a folder of images, one image, or a table with a column of paths (.csv, .tsv, .txt, "
_WHAT += ".csv.gz, .parquet, .fits)"
_ADVICE = {
    "a zip archive": "Unpack it and give the folder; save a spreadsheet as CSV",
    "a tar archive": "Unpack it (tar xf) and give the folder",
    "a gzip file": "Unpack it (tar xzf, or gunzip) and give what is in it",
    "a bzip2 file": "Unpack it (bunzip2, or tar xjf) and give what is in it",
    "an xz file": "Unpack it (unxz, or tar xJf) and give what is in it",
    "a NumPy array (.npy)": "Save each picture as a file, "
    "PIL.Image.fromarray(array[i]).save(f'pictures/{i}.png'), and give the folder",
    "an HDF5 file": "Save each picture as a file and give the folder; that of Galaxy10 is unpacked "
    "by `galhelpers fetch galaxy10_decals`",
    "a file of an old Office program": "Save the sheet as CSV",
    "an Arrow file": "Save it as Parquet",
    "a VOTable": "Save it as CSV or FITS by the program that made it",
}


def list_images(
    images: Path, column: str | None = None, labels: Sequence[str] = ()
) -> pd.DataFrame:
    """List one image, the images of a folder (recursive), or those of a table.

    Parameters
    ----------
    images : Path
        An image; a folder; or a table as text (any separator, with a header or without, gzipped or
        not), Parquet or FITS. Paths in a table start at its folder, or at the working folder where
        more of them are found there.
    column : str, optional
        Column of the table that holds the paths: its name, or its number where the table has no
        header. By default it is the only one with existing files.
    labels : sequence of str
        Columns that may hold labels; the first that a table has does. In a folder the labels are
        the names of its folders.

    Returns
    -------
    DataFrame
        ``id`` (the table's own identifier, a column of :data:`galhelpers.data.tables.IDENTIFIERS`
        other than ``name``, exactly as it stands there; else the file name without suffix where
        that is unique, else ``file``), ``file`` (relative to the folder, or as the table has it)
        and ``path`` (where to open it; empty when the table has no path in a row); with ``labels``
        also ``label`` (text; empty where there is none).

    Raises
    ------
    UserError
        When there are no images, the column of paths is not clear, or there is none of labels.
    """
    if column is not None and images.is_dir():
        raise UserError(
            f"--column names a column of a table, but {public(images)} is a folder. Leave --column "
            "out, or give the table."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # astropy's, on headers that serve all the same
            listed = _from_folder(images) if images.is_dir() else _from_file(images, column, labels)
    except UserError:
        raise
    except TableError as error:
        raise UserError(str(error)) from None
    except Exception as error:  # whatever a damaged file makes of its reader
        raise UserError(
            f"Expected {_WHAT}, but {public(images)} cannot be read: "
            f"{public(getattr(error, 'strerror', None) or error or 'no reason given', 200)}. "
            "Restore or rewrite it."
        ) from None
    files = listed["file"].drop_duplicates()
    names = listed["file"].map(dict(zip(files, identifiers(files), strict=True)))
    ids = listed["id"].where(listed["id"] != "", names) if "id" in listed else names
    listed = listed.assign(id=ids)
    if not labels:
        return listed[["id", "file", "path"]]
    if "label" not in listed:  # no table: the first folder on the way to a picture is its label
        folders = listed["file"].str.partition("/")
        listed["label"] = folders[0].where(folders[1] != "", "")
    return listed[["id", "file", "path", "label"]]


def identifiers(files: pd.Series) -> pd.Series:
    """Give each file its name without suffix; files that share one keep their whole path.

    >>> identifiers(pd.Series(["a/1.jpg", "b/1.jpg", "b/2.jpg"])).tolist()
    ['a/1.jpg', 'b/1.jpg', '2']
    """
    stems = files.map(lambda file: Path(file).stem)
    ids = stems.where(~stems.duplicated(keep=False), files)
    return files if ids.duplicated().any() else ids


# One image or a folder ----------------------------------------------------------------------


def _from_file(file: Path, column: str | None, labels: Sequence[str]) -> pd.DataFrame:
    if not file.is_file():
        what = "a pipe or a device" if file.exists() else "not there"
        advice = "Check the path"
        if re.match(r"\w\w+:/", str(file)):
            advice = "It is an address: fetch it first"
        elif re.search(r"[*?\[]", file.name):
            advice = "Give the folder in place of a pattern"
        raise UserError(f"Expected {_WHAT}, but {public(file)} is {what}. {advice}.")
    kind = _kind(file)
    table = None
    if kind == "FITS":
        table = fits_table(file)
    elif kind == "a Parquet table":
        table = parquet_table(file)
    elif kind == "text" and file.suffix.lower() not in IMAGE_SUFFIXES:
        table = text_table(file, _Places(file).holds)
    if table is not None:
        return _from_table(file, table, column, labels)
    if kind in ("an image", "FITS") or file.suffix.lower() in IMAGE_SUFFIXES:
        return pd.DataFrame({"file": [_shown(file.name)], "path": [str(file)]})
    advice = _ADVICE.get(kind, "Check the path")
    raise UserError(f"Expected {_WHAT}, but {public(file)} is {kind}. {advice}.")


def _kind(file: Path) -> str:
    """Say what a file is, and of a gzipped one what is in it."""
    with file.open("rb") as content:
        start = content.read(4096)
        if not start:
            return "empty"
        kind = kind_of(start)
        if kind == "a gzip file":
            content.seek(0)
            with gzip.open(content) as unpacked:
                inside = kind_of(unpacked.read(4096))
            return inside if inside in ("text", "FITS") else kind
    if kind == "a file of unknown kind":
        # UTF-16 without a mark has a zero byte in each character; a cell may hold one by mistake.
        halves = (start[::2].strip(b"\0"), start[1::2].strip(b"\0"))
        named = file.suffix.lower() in (".csv", ".tsv", ".txt")
        return "text" if named or b"" in halves else kind
    return kind


def _shown(name: str) -> str:
    r"""Make text of a name that is bytes and no text in UTF-8: ``\xe9.png`` with a backslash."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _from_folder(folder: Path) -> pd.DataFrame:
    found, others = [], 0
    closed: list[Any] = []
    for where, folders, names in os.walk(folder, onerror=closed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        closed += [name for name in folders if (Path(where) / name).is_symlink()]
        for name in sorted(names):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in IMAGE_SUFFIXES or name.lower().endswith(".fits.gz"):
                found.append(Path(where) / name)
            else:
                others += 1
    left_out = f"Folders left out, because they are links or cannot be read: {len(closed)}."
    if not found:
        raise UserError(
            f"Expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {public(folder)} or below "
            f"it, found none among {others} files. {left_out if closed else ''} Check the path."
        )
    if others:
        print(f"Images in the folder: {len(found)}. Files of other kinds, left out: {others}.")
    if closed:
        print(left_out)
    files = [_shown(path.relative_to(folder).as_posix()) for path in found]
    paths = pd.Series([str(path) for path in found], dtype=object)
    return pd.DataFrame({"file": files, "path": paths})


_NUMBER = re.compile(r"\s*[-+\d.eE]*\s*")


# A table ------------------------------------------------------------------------------------


class _Places:
    """Where the paths of a table are looked for, and how they are read."""

    def __init__(self, table: Path) -> None:
        self.folders = [table.parent, Path.cwd()]
        # The first that shows most files counts: beside the table, as written.
        self.ways = [(folder, turn) for turn in (False, True) for folder in self.folders]
        self.way = self.ways[0]

    def path(self, cell: str, way: tuple[Path, bool] | None = None) -> str:
        """Give the path of a cell; "" for an empty one."""
        folder, turn = way or self.way
        text = cell.strip()
        if text.startswith("~/"):
            text = os.path.expanduser(text)  # noqa: PTH111 - without a home it stays as it is
        if turn:
            text = text.replace("\\", "/")
        path = os.path.join(folder, text) if text else ""  # noqa: PTH118 - a million Path objects
        # Bytes that are not UTF-8 may be a file's name as it is, and are Latin-1 otherwise.
        if text == (latin := _text(text)) or _is_file(path):
            return path
        return str(folder / latin)

    def holds(self, cell: str) -> bool:
        """Say whether a cell is the path of a file, in one way or another; a number is not."""
        return not _NUMBER.fullmatch(cell) and any(_is_file(self.path(cell, w)) for w in self.ways)

    def choose(self, cells: list[str]) -> None:
        """Keep the way in which most of these cells are files."""
        self.way = max(
            self.ways, key=lambda way: sum(_is_file(self.path(cell, way)) for cell in cells)
        )


def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 - false too for what cannot be a path


def _text(cell: str) -> str:
    """Read what is no UTF-8 as Latin-1."""
    return (
        cell
        if cell.isascii() or not re.search("[\udc80-\udcff]", cell)
        else (cell.encode("utf-8", "surrogateescape").decode("latin-1"))
    )


def _from_table(
    file: Path, table: Table, column: str | None, labels: Sequence[str]
) -> pd.DataFrame:
    places = _Places(file)
    number = _path_column(file, table, column, places)
    # Beside pictures a column "name" may well hold their classes.
    known = [name for name in IDENTIFIERS if name != "name"]
    names = [i for wanted in known for i, n in enumerate(table.names) if n.lower() == wanted]
    numbers = [number, *(i for i in names if i != number)]
    labelled = [_label_column(file, table, labels)] if labels else []
    cells, *others = table.read(numbers + labelled)
    label = others.pop() if labelled else None
    if not cells:
        raise UserError(f"Expected one row an image in {public(file)}, but it has no rows.")
    places.choose(cells[:HEAD])
    if not any(map(places.holds, cells[:HEAD])):
        places.choose(cells)
    paths = [places.path(cell) for cell in cells]
    if not any(os.path.lexists(path) for path in paths if path):
        raise UserError(_nothing_found(file, table.names[number], cells, places))
    if places.way != places.ways[0]:
        folder, turned = places.way
        print(
            f"Paths of {public(file.name)} start at {public(folder)}"
            f"{', with / in place of their backslashes' if turned else ''}: there are the files."
        )
    listed = pd.DataFrame(
        {"id": "", "file": [_text(cell.strip()) for cell in cells], "path": paths}, dtype=object
    )
    if label is not None:
        listed["label"] = [_text(cell) for cell in label]
    for i, ids in zip(numbers[1:], others, strict=True):
        if not any(LOST_DIGITS.fullmatch(text.strip()) for text in ids):
            listed["id"] = [_text(text) if text.strip() else "" for text in ids]
            break
        print(f"Not used as identifiers, because digits are lost: {public(table.names[i])}.")
    # An empty cell has no name of its own: its row number lets the user find it.
    listed["file"] = listed["file"].where(
        listed["file"] != "", [f"(row {i})" for i in range(1, len(listed) + 1)]
    )
    repeated = listed.drop(columns="path").duplicated()
    if repeated.any():
        print(f"Rows of {public(file.name)} that repeat an image, left out: {repeated.sum()}.")
    listed = listed[~repeated].reset_index(drop=True)
    shared = listed["id"].duplicated() & (listed["id"] != "")
    if shared.any():
        print(f"Identifiers that stand at more than one image: {shared.sum()}. All are kept.")
    return listed


def _label_column(file: Path, table: Table, labels: Sequence[str]) -> int:
    for name in labels:
        if table.names.count(name) > 1:
            raise UserError(
                f"Expected one column {public(name, 60)!r} of labels in {public(file.name)}, found "
                f"{table.names.count(name)}. Rename all but one."
            )
        if name in table.names:
            return table.names.index(name)
    raise UserError(
        f"Expected a column of labels in {public(file.name)}, called {' or '.join(labels)}, found "
        f"{public(', '.join(table.names[:12]))}. Name it with --label."
    )


def _path_column(file: Path, table: Table, column: str | None, places: _Places) -> int:
    """Find the column of paths: the one that is named, else the only one with existing files."""
    columns = public(", ".join(table.names[:12]) + (", ..." if table.names[12:] else ""))
    if len(table.names) == 1 and not re.fullmatch(r"[\w .-]{1,40}", columns):
        columns = "one, without a name"  # a line of a text that is no table, perhaps a secret
    if column is not None:
        if table.names.count(column) != 1:
            has = "no column" if column not in table.names else "more than one column"
            raise UserError(f"{public(file.name)} has {has} {column!r}. It has: {columns}.")
        return table.names.index(column)
    found = [i for i, cells in enumerate(table.head) if any(map(places.holds, cells))]
    if len(found) == 1:
        return found[0]
    if not found:
        # Pictures of the first rows may be missing. If all are, the caller says so.
        likely = [i for i, cells in enumerate(table.head) if any(map(looks_like_picture, cells))]
        if likely:
            return likely[0]
    several = public(", ".join(table.names[i] for i in found))
    what = f"several have ({several})" if found else "none has"
    raise UserError(
        f"Expected one column of {public(file.name)} to hold paths of existing files, relative to "
        f"the table's folder or the working folder, or absolute, but {what}. Its columns: "
        f"{columns}. Name the column with --column, add one, or give the folder."
    )


def _nothing_found(file: Path, name: str, cells: list[str], places: _Places) -> str:
    """Say what the first path is, where it was looked for, and why it may not be there."""
    first = next((text for cell in cells if (text := cell.strip())), "")
    slashed = first.replace("\\", "/")
    absolute = slashed.startswith(("/", "~")) or re.match("[A-Za-z]:", slashed)
    where = " and in ".join(dict.fromkeys(public(folder.resolve()) for folder in places.folders))
    looked = "there is no such file" if absolute else f"there is no such file in {where}"
    parts = slashed.split("/")
    ends = ["/".join(parts[i:]) for i in range(1, len(parts))]
    beside = next((end for end in ends if places.holds(end)), None)
    if not first:
        looked, advice = "it is empty", "Check the table"
    elif first.startswith("file://"):
        looked, advice = "it is an address", "Write plain paths, without file://"
    elif "://" in first:
        looked = "it is an address"
        advice = (
            "Fetch the pictures first, for instance with wget --input-file, and name the files; "
            "`galhelpers fetch sdss_cutouts` brings those of SDSS for a table of positions"
        )
    elif beside is not None:
        advice = (
            f"But there is {public(beside)}: the list was written on another computer or for "
            f"another folder. Take '{public(slashed.removesuffix(beside))}' off each path"
        )
    elif absolute:
        advice = (
            "The list was written on another computer, or the pictures were moved. Write paths "
            "relative to the table's folder"
        )
    else:
        advice = "Put the table beside the pictures, or start in the folder where its paths begin"
    return (
        f"Expected the column '{public(name)}' of {public(file.name)} to hold paths of files, but "
        f"none of them exists. The first is '{public(first, 200)}'; {looked}. {advice}."
    )
