"""Files that a command may replace: those that it wrote itself and that nobody changed since."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from galhelpers.data.records import read_record
from galhelpers.messages import public
from galhelpers.paths import UserError, atomic_write, checksum

_MARKS = TypeAdapter(dict[str, object])


class OwnFiles:
    """The files of one result, known by their sizes and hashes.

    A CSV file has no place for a mark, and a mark inside a file would outlive a change by hand. So
    a small index beside the files says what was written. Whatever else stands in a place is
    somebody's work. Without the index, nothing is ours.

    Parameters
    ----------
    paths
        The files, all in one folder: ``x.csv``, ``x.errors.csv``. The index is
        ``.x.galhelpers.json``, also that of ``x.parquet``.
    """

    def __init__(self, *paths: Path) -> None:
        self.paths = paths
        self.index = paths[0].with_name(f".{paths[0].stem}.galhelpers.json")

    def check(self) -> None:
        """Look whether every file is new or ours.

        Raises
        ------
        UserError
            For one that is not: it names the file.
        """
        known = self._read()
        for path in self.paths:
            if os.path.lexists(path) and not _is_one_of(path, known.get(path.name)):
                raise UserError(
                    f"Expected a new file or earlier predictions, but {public(path)} is something "
                    f"else, or was changed after {public(self.paths[0].name)} was written: it is "
                    "not replaced. Choose another --out, or move that file away."
                )

    def record(self, written: Mapping[Path, Path]) -> None:
        """Note what stands in the places now and what comes next; for right before the renaming.

        Both, so that a computer that stops between two renamings leaves files that are known.

        Parameters
        ----------
        written
            Temporary file of each place that gets a new one.

        Raises
        ------
        UserError
            As :meth:`check`.
        """
        self.check()
        marks = {
            path.name: [_mark(file) for file in (path, written.get(path)) if file and file.exists()]
            for path in self.paths
        }
        with atomic_write(self.index) as file:
            file.write_text(json.dumps(self._read() | marks, indent=1), encoding="utf-8")

    def discard(self, path: Path) -> None:
        """Delete an earlier file that has no successor."""
        if path.exists():
            self.check()
            path.unlink()

    def _read(self) -> dict[str, object]:
        return read_record(self.index, _MARKS) or {}


def _mark(path: Path) -> list[object]:
    return [path.stat().st_size, checksum(path)]


def _is_one_of(path: Path, marks: object) -> bool:
    """Compare sizes first: a file of somebody's own may be huge, or a pipe without an end."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or not isinstance(marks, list):
        return False
    sizes = [mark[0] for mark in marks if isinstance(mark, list) and mark]
    return status.st_size in sizes and _mark(path) in marks
