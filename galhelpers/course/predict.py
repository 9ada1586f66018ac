"""Classify a folder or a table of images with a trained network.

The work is done in parts that are saved as they finish, so that an interrupted run continues
where it stopped. Images that cannot be read go to a list and stop nothing.
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from galhelpers.course.memory import keep_freed_memory
from galhelpers.course.picture_list import list_images
from galhelpers.data.images import load_images
from galhelpers.paths import UserError, atomic_write

if TYPE_CHECKING:
    from galhelpers.learning.checkpoint import Checkpoint

BATCH = 128
PART = 1024  # images between two savings


@dataclass(frozen=True)
class Predictions:
    """What :func:`predict_images` did; ``errors`` exists only when an image was unreadable."""

    out: Path
    classified: int
    errors: Path
    unreadable: int


def predict_images(
    checkpoint_file: str | Path,
    images: str | Path,
    out: str | Path,
    column: str | None = None,
    part: int = PART,
    progress: bool = True,
) -> "Predictions":
    """Classify images and write one row an image.

    Parameters
    ----------
    checkpoint_file : path
        A checkpoint of :func:`galhelpers.learning.checkpoint.save_checkpoint`.
    images : path
        A folder, searched recursively, or a CSV or Parquet table with a column of paths
        (relative ones start at the table's folder).
    out : path
        ``.parquet`` or ``.csv``: ``id``, ``file``, ``class_name`` (of the most probable class;
        empty where the network gives NaN) and ``p_<class>`` for each class. A network that predicts
        vote fractions gets the class that these fractions select, or none; one that gives their
        distribution also has, instead of ``p_<class>``, the columns of
        :func:`galhelpers.learning.posterior.as_table`.
        Unreadable images are listed in ``.errors.csv`` beside it.
    column : str, optional
        Column of the table that holds the paths.
    part : int
        Images between two savings.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Predictions
        The files written, and how many images are in each.

    Raises
    ------
    UserError
        For a checkpoint, images or an output that cannot be used.
    """
    keep_freed_memory()
    out = _check_output(Path(out), Path(images))
    checkpoint_file = Path(checkpoint_file)
    checkpoint = _load(checkpoint_file)
    listed = list_images(Path(images), column)
    parts = _open_parts(out, _fingerprint(checkpoint_file, listed, part))
    starts = range(0, len(listed), part)
    done = [(parts / f"{start:09d}.parquet").is_file() for start in starts]
    if any(done):
        print(f"Continuing: {sum(done)} of {len(done)} parts were done before.")
    with tqdm(total=len(listed), unit="image", disable=not progress) as bar:
        for start, ready in zip(starts, done, strict=True):
            rows = listed.iloc[start : start + part]
            if not ready:
                _predict_part(checkpoint, rows, parts / f"{start:09d}", bar)
            else:
                bar.update(len(rows))
    unreadable = len(_join(parts, out, checkpoint, checkpoint_file))
    shutil.rmtree(parts)
    return Predictions(out, len(listed) - unreadable, errors_file(out), unreadable)


def errors_file(out: Path) -> Path:
    """Place of the list of unreadable images: ``x.parquet`` has ``x.errors.csv``."""
    return out.with_suffix(".errors.csv")


def _predict_part(checkpoint: "Checkpoint", rows: pd.DataFrame, stem: Path, bar: Any) -> None:
    """Classify some images; save the readable ones and, before them, the list of the others."""
    size, crop = (checkpoint.preprocessing.get(name, 1.0) for name in ("size", "crop"))
    # Without an image a part still has its columns.
    tables = [pd.DataFrame(columns=["id", "file", "class_name", *checkpoint.columns])]
    errors = [pd.DataFrame(columns=["id", "file", "reason"])]
    for start in range(0, len(rows), BATCH):
        batch = rows.iloc[start : start + BATCH]
        loaded = load_images(list(batch["path"]), size, crop, progress=False)
        good, bad = batch[loaded.ok], batch[~loaded.ok]
        if len(good):
            answers = checkpoint.classify(loaded.pixels[loaded.ok])
            tables.append(good[["id", "file"]].reset_index(drop=True).join(answers))
        reasons = loaded.problems.query("kind == 'error'")["reason"].to_numpy()
        reasons = np.where(bad["path"] == "", "the table has no path in this row", reasons)
        errors.append(bad[["id", "file"]].assign(reason=reasons))
        bar.update(len(batch))
    with atomic_write(stem.with_suffix(".errors.csv")) as file:
        pd.concat(errors).to_csv(file, index=False)
    # The Parquet file comes last: where it is, the part is complete.
    with atomic_write(stem.with_suffix(".parquet")) as file:
        table = pd.concat(tables, ignore_index=True)
        pq.write_table(pa.Table.from_pandas(table, _schema(checkpoint)), file)


def _schema(checkpoint: "Checkpoint") -> pa.Schema:
    texts = [(name, pa.string()) for name in ("id", "file", "class_name")]
    return pa.schema([*texts, *((name, pa.float32()) for name in checkpoint.columns)])


def _join(parts: Path, out: Path, checkpoint: "Checkpoint", checkpoint_file: Path) -> pd.DataFrame:
    """Put the parts together into the final files; part by part, so that memory stays small."""
    # A leading digit: a temporary file of a killed process starts with a dot.
    files = sorted(parts.glob("[0-9]*.parquet"))
    origin = {"checkpoint": checkpoint_file.name, "provenance": checkpoint.provenance}
    schema = _schema(checkpoint).with_metadata({"galhelpers": json.dumps(origin)})
    with atomic_write(out) as temporary:
        if out.suffix == ".parquet":
            with pq.ParquetWriter(temporary, schema) as writer:
                for file in files:
                    writer.write_table(pq.read_table(file).cast(schema))
        else:
            for number, file in enumerate(files):
                frame = pq.read_table(file).to_pandas()
                frame.to_csv(temporary, mode="a", header=number == 0, index=False)
    lists = [
        pd.read_csv(f, dtype=str, keep_default_na=False) for f in parts.glob("[0-9]*.errors.csv")
    ]
    errors = pd.concat(lists).sort_values("file", ignore_index=True)
    if len(errors):
        with atomic_write(errors_file(out)) as temporary:
            errors.to_csv(temporary, index=False)
    else:
        errors_file(out).unlink(missing_ok=True)  # an earlier run's list would mislead
    return errors


def _fingerprint(checkpoint_file: Path, listed: pd.DataFrame, part: int) -> str:
    """Hash of what the parts depend on: network, images (by name, size and time), part size."""
    digest = hashlib.sha256(checkpoint_file.read_bytes())
    digest.update(str(part).encode())
    for name, path in zip(listed["id"], listed["path"], strict=True):
        try:
            status = os.stat(path)  # noqa: PTH116 - a million Path objects take seconds
            facts = f"{name}\0{path}\0{status.st_size}\0{status.st_mtime_ns}\n"
        except (OSError, ValueError):
            facts = f"{name}\0{path}\0missing\n"
        digest.update(facts.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _open_parts(out: Path, fingerprint: str) -> Path:
    """Make the folder of parts; empty it when it belongs to other images or another network."""
    parts = out.with_name(f"{out.name}.parts")
    mark = parts / "fingerprint"
    try:
        if parts.is_dir() and (not mark.is_file() or mark.read_text() != fingerprint):
            print("Starting anew: the saved parts belong to another checkpoint or other images.")
            shutil.rmtree(parts)
        parts.mkdir(parents=True, exist_ok=True)
        with atomic_write(mark) as file:
            file.write_text(fingerprint)
    except OSError as error:
        raise UserError(
            f"Expected to write {out}, but its folder cannot be used ({error.strerror}). "
            "Choose another --out."
        ) from None
    return parts


def _check_output(out: Path, images: Path) -> Path:
    if out.suffix not in (".parquet", ".csv"):
        raise UserError(f"Expected --out to end in .parquet or .csv, got {out.name!r}.")
    if out.is_dir() or out.resolve() == images.resolve():
        raise UserError(
            f"Expected --out to be a new file or earlier predictions, but {out} is "
            f"{'a folder' if out.is_dir() else 'the table of images'}. Choose another name."
        )
    return out


def _load(file: Path) -> "Checkpoint":
    from galhelpers.learning.checkpoint import load_checkpoint

    try:
        return load_checkpoint(file)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"Expected a checkpoint of this course (.safetensors), but {file} cannot be used: "
            f"{str(error).strip()} Notebook 03 writes one into checkpoints/ of its run folder."
        ) from None
