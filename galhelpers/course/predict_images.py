"""Classify a folder or a table of images with a trained network.

The work is done in parts that are saved as they finish, so that an interrupted run continues
where it stopped. Images that cannot be read go to a list and stop nothing.
"""

import csv
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import PIL
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from galhelpers import __version__
from galhelpers.course.kaggle import galaxy_ids, kaggle_columns, write_submission
from galhelpers.course.memory import keep_freed_memory
from galhelpers.course.own_files import OwnFiles
from galhelpers.course.parts import Parts
from galhelpers.course.picture_list import list_images
from galhelpers.data.images import load_images
from galhelpers.learning.networks import cards, names_like, network_file
from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.paths import UserError, atomic_write, checksum, user_path

if TYPE_CHECKING:
    from galhelpers.learning.checkpoint import Checkpoint

BATCH = 128
PART = 1024  # images between two savings
LONGEST = 200  # bytes of the name of --out; those of the hidden files beside it are longer
REMARKS = ["id", "file", "kind", "reason"]
SHOWN = 3  # reasons of a kind in the summary


@dataclass(frozen=True)
class Predictions:
    """What :func:`predict_images` did.

    Attributes
    ----------
    out
        The predictions.
    classified, unreadable
        Numbers of images.
    errors, notes
        Lists of the unreadable images, and of those that were classified with a word: converted to
        RGB, for example. Each exists only when an image belongs into it.
    noted
        How many images have each note: a count with index ``kind``, ``reason``.
    """

    out: Path
    classified: int
    errors: Path
    unreadable: int
    notes: Path
    noted: pd.Series

    @property
    def status(self) -> int:
        """Exit status: 0 when all images were classified, 1 when none, 3 when some."""
        if not self.unreadable:
            return 0
        return 3 if self.classified else 1

    def summary(self) -> str:
        """Say how many images there were and what became of them."""
        total = self.classified + self.unreadable
        lines = [f"Images: {total}. Classified: {self.classified}, in {public(self.out)}."]
        if self.unreadable:
            lines[0] += f" Unreadable: {self.unreadable}, with reasons in {public(self.errors)}."
        for kind, counts in self.noted.groupby(level="kind"):
            reasons = counts.droplevel("kind").sort_values(ascending=False, kind="stable")
            said = [f"{public(reason, 80)}: {n}" for reason, n in reasons.head(SHOWN).items()]
            more = [f"other reasons: {reasons[SHOWN:].sum()}"] if len(reasons) > SHOWN else []
            lines.append(
                f"Of those classified, {public(kind, 40)}: {reasons.sum()} "
                f"({', '.join(said + more)}), listed in {public(self.notes)}."
            )
        return "\n".join(lines)


def predict_images(
    network: str | Path,
    images: str | Path,
    out: str | Path,
    column: str | None = None,
    part: int = PART,
    progress: bool = True,
    form: str = "table",
) -> Predictions:
    """Classify images and write one row an image.

    Parameters
    ----------
    network : str or path
        Name of a network that comes with the course (:mod:`galhelpers.learning.networks`), or a
        checkpoint of :func:`galhelpers.learning.checkpoint.save_checkpoint`.
    images : path
        An image, a folder, or a table with a column of paths; see
        :func:`galhelpers.course.picture_list.list_images`.
    out : path
        ``.parquet`` or ``.csv``: ``id``, ``file``, ``class_name`` (of the most probable class)
        and ``p_<class>`` for each class. A network that predicts vote fractions gets the class that
        these fractions select, or none; one that gives their distribution also has, instead of
        ``p_<class>``, the columns of
        :func:`galhelpers.learning.posterior.as_table`.
        Beside it, ``.errors.csv`` lists unreadable images (``id``, ``file``, ``reason``), and
        ``.notes.csv`` those that had to be changed before they were classified (and ``kind``).
        Earlier predictions are replaced, other files never.
    column : str, optional
        Column of the table that holds the paths, or its number.
    part : int
        Images between two savings.
    progress : bool
        Show a progress bar.
    form : str
        ``"table"``, or ``"kaggle"`` for a submission: :mod:`galhelpers.course.kaggle`. A submission
        is complete or not written.

    Returns
    -------
    Predictions
        The files written, and how many images are in each.

    Raises
    ------
    UserError
        For a checkpoint, images or an output that cannot be used, and while another process
        predicts into the same place.
    """
    keep_freed_memory()
    out, images, checkpoint_file = user_path(out), user_path(images), find_network(network)
    parts = Parts(out.parent / f"{out.name}.parts")
    _check_output(out, form, parts.folder, [images, checkpoint_file])
    errors, notes = errors_file(out), notes_file(out)
    checkpoint = _load(checkpoint_file)
    listed = list_images(images, column)
    ids = galaxy_ids(listed) if form == "kaggle" else None
    columns = kaggle_columns(checkpoint) if form == "kaggle" else []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Expected to write {public(out)}, but its folder cannot be used ({error.strerror}). "
            "Choose another --out."
        ) from None
    with only_one(errors, f"predicts into {public(out.name)}", wait=False):
        own = OwnFiles(out, errors, notes)
        parts.check()
        own.record({})  # also shows whether the folder takes files, before the first image is read
        work = _Work(checkpoint, listed, checksum(checkpoint_file), parts, part, progress)
        work.do()
        with ExitStack() as renamings:
            new = {out: renamings.enter_context(atomic_write(out))}
            if ids is None:
                _write(work.tables(), new[out], _schema(checkpoint, checkpoint_file.name))
            else:
                write_submission(work.tables(), new[out], ids, columns)
            remarks = pd.concat(work.remarks, ignore_index=True)
            bad = remarks["kind"] == "error"
            _compare(listed["id"] if ids is None else ids.astype(str), remarks["id"][bad], new[out])
            lists = {errors: remarks[bad].drop(columns="kind"), notes: remarks[~bad]}
            for path, rows in lists.items():
                if len(rows):
                    new[path] = renamings.enter_context(atomic_write(path))
                    _to_csv(rows.sort_values("file"), new[path])
            own.record(new)
        for path in lists:
            if path not in new:
                own.discard(path)  # an earlier run's list would mislead
        _tell_sibling(out)
        parts.remove()
    if ids is None and any(path.suffix == ".csv" for path in new):
        _tell_formulas(pd.concat([listed["id"], listed["file"], pd.Series(checkpoint.classes)]))
    noted = remarks[~bad].groupby(["kind", "reason"]).size()
    unreadable = int(bad.sum())
    return Predictions(out, len(listed) - unreadable, errors, unreadable, notes, noted)


def find_network(network: str | Path) -> Path:
    """Give the file that is meant by the name of a network, or by a path.

    A bare name, without folder and ending, is that of a trained network that comes with the course,
    unless there is such a file.

    Raises
    ------
    UserError
        For a bare name that is neither, and for a network whose file has changed.
    """
    path = user_path(network)
    if path.suffix or len(path.parts) != 1 or path.is_file():
        return path
    if path.name not in cards():
        raise UserError(
            f"Expected a file or the name of a trained network, but {public(path.name, 60)!r} is "
            f"neither. {names_like(path.name)}"
        )
    return network_file(path.name)


def errors_file(out: Path) -> Path:
    """Place of the list of unreadable images: ``x.parquet`` has ``x.errors.csv``."""
    return out.with_suffix(".errors.csv")


def notes_file(out: Path) -> Path:
    """Place of the list of images that were changed: ``x.parquet`` has ``x.notes.csv``."""
    return out.with_suffix(".notes.csv")


class _Work:
    """The images in parts; each part is a table with a row an image, readable or not.

    ``remarks`` are the images that there is a word about, part by part as ``tables`` gives them.
    """

    def __init__(
        self,
        checkpoint: "Checkpoint",
        listed: pd.DataFrame,
        digest: str,
        parts: Parts,
        size: int,
        progress: bool,
    ) -> None:
        self.checkpoint, self.parts, self.n = checkpoint, parts, len(listed)
        self.progress = progress
        self.remarks: list[pd.DataFrame] = []
        chunks = [listed.iloc[start : start + size] for start in range(0, self.n, size)]
        # The key of a part is what it depends on, so that a picture that changes between two runs
        # costs its own part and no other.
        self.chunks = {
            f"{number:09d}-{_fingerprint(digest, rows)}": rows for number, rows in enumerate(chunks)
        }

    def do(self) -> None:
        """Classify what is not done yet."""
        before = sum(not file.name.startswith(".") for file in self.parts.files())
        done = {key for key in self.chunks if self.parts.read(key) is not None}
        if done:
            print(f"Continuing: {len(done)} of {len(self.chunks)} parts were done before.")
        if before > len(done):
            print(
                f"Starting anew with {before - len(done)} saved parts: they are damaged, or belong "
                "to another checkpoint or other images."
            )
        with tqdm(total=self.n, unit="image", disable=not self.progress) as bar:
            for key, rows in self.chunks.items():
                if key in done:
                    bar.update(len(rows))
                else:
                    self.parts.save(key, _classify(self.checkpoint, rows, bar))

    def tables(self) -> Iterator[pa.Table]:
        """Give the parts in order, once; what was lost since :meth:`do` is made again."""
        for key, rows in self.chunks.items():
            table = self.parts.read(key)
            if table is None:
                print(f"Images classified again, because their saved part is gone: {len(rows)}.")
                table = _classify(self.checkpoint, rows, None)
            noted = table.filter(pc.not_equal(table["kind"], ""))
            self.remarks.append(noted.select(REMARKS).to_pandas())
            yield table


def _classify(checkpoint: "Checkpoint", rows: pd.DataFrame, bar: Any) -> pa.Table:
    """Classify some images: a row an image, with ``kind`` and ``reason`` of what was wrong."""
    size, crop = (checkpoint.preprocessing.get(name, 1.0) for name in ("size", "crop"))
    names = _schema(checkpoint).names
    schema = pa.schema([*_schema(checkpoint), ("kind", pa.string()), ("reason", pa.string())])
    tables = []
    for start in range(0, len(rows), BATCH):
        batch = rows.iloc[start : start + BATCH].reset_index(drop=True)
        loaded = load_images(list(batch["path"]), size, crop, progress=False)
        table = batch[["id", "file"]].reindex(columns=names)
        if loaded.ok.any():
            answers = checkpoint.classify(loaded.pixels[loaded.ok])
            answers.index = np.flatnonzero(loaded.ok)
            table = batch[["id", "file"]].join(answers)
        # A dictionary: pandas takes no file name that is not UTF-8.
        problems = loaded.problems[["file", "kind", "reason"]]
        said = {file: words for file, *words in problems.itertuples(index=False)}
        words = [said.get(str(Path(path)), ["", ""]) for path in batch["path"]]
        table["kind"] = [kind for kind, _ in words]
        table["reason"] = [public(reason) for _, reason in words]
        table.loc[~loaded.ok, "kind"] = "error"
        unanswered = loaded.ok & table[checkpoint.columns].isna().any(axis=1)
        table.loc[unanswered, "kind"] = "error"
        table.loc[unanswered, "reason"] = "the network gives no finite number for it"
        table.loc[batch["path"] == "", "reason"] = "the table has no path in this row"
        tables.append(pa.Table.from_pandas(table, schema, preserve_index=False))
        if bar is not None:
            bar.update(len(batch))
    return pa.concat_tables(tables).combine_chunks()


def _schema(checkpoint: "Checkpoint", file_name: str = "") -> pa.Schema:
    texts = [(name, pa.string()) for name in ("id", "file", "class_name")]
    schema = pa.schema([*texts, *((name, pa.float32()) for name in checkpoint.columns)])
    origin = {"checkpoint": file_name, "provenance": checkpoint.provenance}
    return schema.with_metadata({"galhelpers": json.dumps(origin)})


def _write(tables: Iterator[pa.Table], file: Path, schema: pa.Schema) -> None:
    """Write the classified images, part by part so that memory stays small."""
    with pq.ParquetWriter(file, schema) if file.suffix == ".parquet" else nullcontext() as writer:
        for number, table in enumerate(tables):
            good = table.filter(pc.not_equal(table["kind"], "error")).select(schema.names)
            if writer is not None:
                writer.write_table(good.cast(schema))
            else:
                _to_csv(good.to_pandas(), file, mode="a", header=number == 0)


def _to_csv(
    frame: pd.DataFrame, file: Path, mode: Literal["w", "a"] = "w", header: bool = True
) -> None:
    # The csv module quotes "\n" but not "\r", which ends a line for most readers.
    texts = frame.select_dtypes(exclude="number")
    odd = texts.apply(lambda column: column.str.contains("\r", regex=False)).to_numpy().any()
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
    frame.to_csv(file, index=False, quoting=quoting, mode=mode, header=header)


def _compare(listed: pd.Series, unreadable: pd.Series, file: Path) -> None:
    """Read the identifiers back: a file with other rows must not replace an earlier one.

    Raises
    ------
    OSError
        When they are not those of the listed images that could be read.
    """
    if file.suffix == ".parquet":
        names = pq.read_table(file, columns=["id"])["id"].to_pylist()
    else:
        read = pd.read_csv(file, usecols=[0], dtype=str, keep_default_na=False)
        names = read.iloc[:, 0].tolist()
    if sorted([*names, *unreadable]) != sorted(listed):
        raise OSError(
            f"Expected {len(listed) - len(unreadable)} rows in the finished file, which holds "
            f"{len(names)} or others: it is not used. Look for a failing disk, then try again."
        )


def _tell_formulas(names: pd.Series) -> None:
    # Bytes of a name are the key for joining tables: they are told, not changed.
    risky = names[names.str.match("[=+@\t\r-]")]
    if len(risky):
        print(
            f"Names in a CSV file that a spreadsheet takes for formulas: {len(risky)}, as "
            f"{public(risky.iloc[0], 60)!r}. Import these columns as text."
        )


def _tell_sibling(out: Path) -> None:
    other = out.with_suffix(".csv" if out.suffix == ".parquet" else ".parquet")
    if other.exists():
        print(
            f"{public(other.name)} stands beside it; the lists are those of {public(out.name)} now."
        )


def _fingerprint(checkpoint: str, rows: pd.DataFrame) -> str:
    """Hash of what a part depends on: versions, network, images (by name, size and times)."""
    digest = hashlib.sha256(f"{__version__} {PIL.__version__} {checkpoint}\n".encode())
    for name, file, path in zip(rows["id"], rows["file"], rows["path"], strict=True):
        try:
            status = os.stat(path)  # noqa: PTH116 - a million Path objects take seconds
            # The last one changes with the right to read a file, too.
            facts = f"{status.st_size}\0{status.st_mtime_ns}\0{status.st_ctime_ns}"
        except (OSError, ValueError):
            facts = "missing"
        line = f"{name}\0{file}\0{path}\0{facts}\n"
        digest.update(line.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _check_output(out: Path, form: str, parts: Path, inputs: list[Path]) -> None:
    """Refuse a place that cannot be one, or that would replace what is read."""
    suffixes = {"table": (".parquet", ".csv"), "kaggle": (".csv",)}
    if form not in suffixes:
        raise UserError(f"Expected a format of {', '.join(suffixes)}, got {public(form, 40)!r}.")
    if out.suffix not in suffixes[form]:
        raise UserError(
            f"Expected --out to end in {' or '.join(suffixes[form])}, got {public(out.name)!r}."
        )
    if (length := len(os.fsencode(out.name))) > LONGEST:
        raise UserError(
            f"Expected a name of at most {LONGEST} bytes for --out, got {length}: hidden files "
            "beside it have longer names. Choose a shorter one."
        )
    if out.is_dir():
        raise UserError(
            f"Expected --out to be a file, but {public(out)} is a folder. Choose another name."
        )
    for given in inputs:
        for place in (out, errors_file(out), notes_file(out)):
            if _real(place) == _real(given) or _same(place, given):
                raise UserError(
                    f"Expected --out to be a new file or earlier predictions, but {public(place)} "
                    "would replace the table or checkpoint that is read. Choose another name."
                )
        if _real(parts) in (_real(given), *_real(given).parents):
            raise UserError(
                f"Expected --out to be a new file or earlier predictions, but {public(parts)}, "
                f"whose files are deleted at the end, holds {public(given.name)}, which is read. "
                "Choose another name."
            )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve, it bears a link to itself


def _same(place: Path, given: Path) -> bool:
    """Say whether two names mean one file: a hard link, or a disk that ignores capitals."""
    return place.exists() and given.exists() and place.samefile(given)


def _load(file: Path) -> "Checkpoint":
    from galhelpers.learning.checkpoint import load_checkpoint

    with warnings.catch_warnings(record=True) as notes:
        checkpoint = load_checkpoint(file)
    for note in notes:
        print(f"galhelpers: {note.message}", file=sys.stderr)
    return checkpoint
