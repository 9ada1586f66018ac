"""Which pictures a user means: those of a folder, or those that a table names."""

import os
from pathlib import Path

import pandas as pd

from galhelpers.data.images import IMAGE_SUFFIXES
from galhelpers.paths import UserError

TABLE_SUFFIXES = (".csv", ".parquet")
LOOKED_AT = 50  # values of a column that are looked up on disk


def list_images(images: Path, column: str | None = None) -> pd.DataFrame:
    """List the images of a folder (recursive) or of a CSV or Parquet table.

    Returns
    -------
    DataFrame
        ``id`` (file name without suffix where that is unique, else ``file``), ``file`` (relative
        to the folder, or as the table has it) and ``path`` (where to open it; empty when the
        table has no path in a row).

    Raises
    ------
    UserError
        When there are no images, or the column of paths is not clear.
    """
    if images.is_dir():
        listed = _from_folder(images)
    elif images.is_file() and images.suffix.lower() in TABLE_SUFFIXES:
        listed = _from_table(images, column)
    else:
        what = "a file of another kind" if images.is_file() else "not there"
        raise UserError(
            f"Expected IMAGES to be a folder of images or a table (.csv, .parquet) with a column "
            f"of paths, but {images} is {what}. Check the path."
        )
    return listed.assign(id=identifiers(listed["file"]))[["id", "file", "path"]]


def identifiers(files: pd.Series) -> pd.Series:
    """Give each file its name without suffix; files that share one keep their whole path.

    >>> identifiers(pd.Series(["a/1.jpg", "b/1.jpg", "b/2.jpg"])).tolist()
    ['a/1.jpg', 'b/1.jpg', '2']
    """
    stems = files.map(lambda file: Path(file).stem)
    ids = stems.where(~stems.duplicated(keep=False), files)
    return files if ids.duplicated().any() else ids


def _from_folder(folder: Path) -> pd.DataFrame:
    found, others = [], 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                found.append(Path(where) / name)
            else:
                others += 1
    if not found:
        raise UserError(
            f"Expected images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {folder} or below it, found "
            f"none among {others} files. Check the path."
        )
    if others:
        print(f"Images in the folder: {len(found)}. Files of other kinds, left out: {others}.")
    # A name may be bytes that are no text in UTF-8: "\\xe9.png" then stands in the table.
    relative = [os.fsencode(path.relative_to(folder).as_posix()) for path in found]
    files = [name.decode("utf-8", "backslashreplace") for name in relative]
    paths = pd.Series([str(path) for path in found], dtype=object)
    return pd.DataFrame({"file": files, "path": paths})


def _from_table(table: Path, column: str | None) -> pd.DataFrame:
    try:
        if table.suffix.lower() == ".csv":
            frame = pd.read_csv(table, dtype=str, keep_default_na=False)
        else:
            frame = pd.read_parquet(table)
    except (ValueError, OSError) as error:
        first = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise UserError(
            f"Expected {table} to be a table with a header, but it cannot be read: {first}. "
            "Restore or rewrite the file."
        ) from None
    if frame.empty:
        raise UserError(f"Expected one row an image in {table}, but it has no rows.")
    column = _path_column(frame, table, column)
    files = frame[column].fillna("").astype(str).str.strip().reset_index(drop=True)
    repeated = files.duplicated() & (files != "")
    if repeated.any():
        print(f"Rows of {table.name} that repeat an image, left out: {repeated.sum()}.")
    files = files[~repeated].reset_index(drop=True)
    paths = files.map(lambda file: str(table.parent / file) if file else "")
    # An empty cell has no name of its own: its row number lets the user find it.
    rows = pd.Series([f"(row {i})" for i in range(1, len(frame) + 1)])
    files = files.where(files != "", rows[~repeated].reset_index(drop=True))
    return pd.DataFrame({"file": files, "path": paths})


def _path_column(frame: pd.DataFrame, table: Path, column: str | None) -> str:
    """Find the column of paths: the one that is named, else the only one with existing files."""
    columns = ", ".join(map(str, frame.columns))
    if column is not None:
        if column not in frame:
            raise UserError(f"{table.name} has no column {column!r}. It has: {columns}.")
        return column
    found = [str(name) for name in frame if _holds_files(frame[name], table.parent)]
    if len(found) == 1:
        return found[0]
    what = f"several have ({', '.join(found)})" if found else "none has"
    raise UserError(
        f"Expected one column of {table.name} to hold paths of existing files, relative to the "
        f"table's folder or absolute, but {what}. Its columns: {columns}. "
        "Name the column with --column."
    )


def _holds_files(values: pd.Series, folder: Path) -> bool:
    texts = [value.strip() for value in values.head(LOOKED_AT) if isinstance(value, str)]
    for text in filter(None, texts):
        try:
            if (folder / text).is_file():
                return True
        except (OSError, ValueError):
            continue  # too long for a path, or not one at all
    return False
