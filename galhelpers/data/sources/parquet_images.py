"""Images that lie inside Parquet files, as Hugging Face keeps them, written as single files."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from galhelpers.data.votes.catalogue_files import as_text
from galhelpers.paths import atomic_write, is_portable, short

FAILURES = "images_failures.csv"
"""Galaxies without an image; another name than the list of the image services has."""


def export_parquet(
    files: Sequence[Path],
    folder: Path,
    *,
    image_column: str = "image",
    id_column: str = "id_str",
    progress: bool = True,
) -> pd.DataFrame:
    """Write the images inside Parquet files as single files, and give the rest as a table.

    The bytes are written as they are. An image that is there already, with the same bytes, is left;
    so the work can be broken off and started again. Rows without an image are listed in
    ``images_failures.csv`` (id, reason).

    Parameters
    ----------
    files
        Parquet files of one data set; ``train`` or ``test`` in a name says the split.
    folder
        Images go to ``images/<id>.jpg`` (or ``.png``) in it.
    image_column, id_column
        Columns of the image (its bytes, or Hugging Face's pair of bytes and path) and of the
        galaxy's identifier.

    Returns
    -------
    pandas.DataFrame
        One row a galaxy, in the order of the files: the columns without the image (identifiers are
        text; classes are names where the file itself names them), ``file`` (relative to ``folder``;
        ``""`` where there is no image) and ``split`` (``""`` if unknown).

    Raises
    ------
    ValueError
        For missing columns, for identifiers that repeat, are no file names or went through floats,
        and for classes that the file does not name although it names others.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = _check_ids(files, image_column, id_column)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    tables: list[pa.Table] = []
    names: list[str] = []
    splits: list[str] = []
    failures: list[tuple[str, str]] = []
    with tqdm(total=len(ids), desc="images", leave=False, disable=not progress) as bar:
        for path in files:
            split = _split_of(path)
            # Few rows at a time and no read-ahead: a row group of images may fill the memory.
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as parquet:
                classes = _class_names(parquet.schema_arrow.metadata, path)
                for batch in parquet.iter_batches(batch_size=64):
                    images = batch.column(image_column)
                    rest = pa.Table.from_batches([batch.drop_columns([image_column])])
                    tables.append(_named(rest, classes, path))
                    for image in images:
                        identifier = ids[len(names)]
                        content = image.as_py()
                        if isinstance(content, Mapping):
                            content = content.get("bytes")
                        suffix, reason = _kind_of(content)
                        names.append(f"images/{identifier}{suffix}" if suffix else "")
                        splits.append(split)
                        if reason:
                            failures.append((identifier, reason))
                        else:
                            _write_image(folder / names[-1], content)
                    bar.update(len(images))
    if failures:
        with atomic_write(folder / FAILURES) as temporary:
            pd.DataFrame(failures, columns=["id", "reason"]).to_csv(temporary, index=False)
    else:
        (folder / FAILURES).unlink(missing_ok=True)
    table = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    return table.assign(**{id_column: ids, "file": names, "split": splits})


def _check_ids(files: Sequence[Path], image_column: str, id_column: str) -> list[str]:
    """Read all identifiers, as text; each must be a file name of its own on any computer."""
    import pyarrow.parquet as pq

    ids: list[str] = []
    for path in files:
        with pq.ParquetFile(path) as parquet:
            columns = parquet.schema_arrow.names
            missing = [name for name in (image_column, id_column) if name not in columns]
            if missing:
                raise ValueError(
                    f"{short(path)}: expected the columns {image_column} and {id_column}, found "
                    f"{', '.join(columns[:20])}."
                )
            column = parquet.read([id_column])[id_column]
            ids += as_text(column, f"{short(path)}, column {id_column}").tolist()
    unsafe = [one for one in ids if not is_portable(one)]
    if unsafe:
        raise ValueError(
            f"{len(unsafe)} values of {id_column} cannot be file names: {unsafe[:5]}. Letters, "
            "digits and _ . + - are allowed, a letter or digit first, no full stop last, 150 at "
            "most, and none of the names that Windows keeps (con, nul, ...)."
        )
    # Some computers take two names for the same that differ in capital letters only.
    repeated = [one for one, n in Counter(one.casefold() for one in ids).items() if n > 1]
    if repeated:
        raise ValueError(
            f"{len(repeated)} values of {id_column} repeat (capital letters do not count): "
            f"{repeated[:5]}. Each galaxy needs a name of its own."
        )
    return ids


def _class_names(metadata: Mapping[bytes, bytes] | None, path: Path) -> dict[str, list[str]]:
    """Read what Hugging Face calls the classes of each column that holds numbers of classes.

    Columns of type ClassLabel hold numbers; the names stand in the metadata of the file, under
    ``huggingface`` (https://huggingface.co/docs/datasets/about_dataset_features).
    """
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
    except KeyError:
        return {}
    except ValueError as error:
        raise ValueError(
            f"{short(path)}: expected JSON under 'huggingface' in the metadata of the file, found "
            f"something else ({error}). Delete the file and fetch it again."
        ) from error
    return {
        column: list(map(str, feature["names"]))
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _named(table: Any, classes: Mapping[str, list[str]], path: Path) -> Any:
    """Give an Arrow table names of classes instead of their numbers; -1 means no class."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for column, names in classes.items():
        at = table.schema.get_field_index(column)
        if at < 0 or not pa.types.is_integer(table.schema.types[at]):
            continue
        numbers = pc.if_else(pc.equal(table[column], -1), None, table[column])
        most = pc.min_max(numbers).as_py()
        if most["max"] is not None and not 0 <= most["min"] <= most["max"] < len(names):
            raise ValueError(
                f"{short(path)}: {column} has the classes 0 to {len(names) - 1} "
                f"({', '.join(names)}), got {most['min']} to {most['max']}. Fetch the file again."
            )
        table = table.set_column(at, column, pc.take(pa.array(names, pa.string()), numbers))
    return table


def _split_of(path: Path) -> str:
    """Read the split off ``train-00000-of-00005.parquet`` or ``test/0000.parquet``."""
    for name in (path.name, path.parent.name):
        found = re.search(r"(?:^|[-_.])(train|test|validation)(?:$|[-_.])", name)
        if found:
            return found[1]
    return ""


def _kind_of(content: bytes | None) -> tuple[str, str]:
    """Give the suffix of an image by its first bytes, or the reason why it is none."""
    if not content:
        return "", "no bytes"
    if content.startswith(b"\xff\xd8\xff"):
        suffix, end = ".jpg", b"\xff\xd9"
    elif content.startswith(b"\x89PNG\r\n\x1a\n"):
        suffix, end = ".png", b"IEND"
    else:
        return "", f"neither JPEG nor PNG: begins with {content[:8]!r}"
    if end not in content[-64:]:
        return "", f"cut off after {len(content)} bytes"
    return suffix, ""


def _write_image(path: Path, content: bytes) -> None:
    same = path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
    if not same:
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
