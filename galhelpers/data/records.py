"""Small files that the course writes beside data: notes, indexes, lists of what failed.

Such a file can be lost, cut short or edited. Then it counts as absent, and whoever reads it makes
it again or says so: no damaged note may block what it is about.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from galhelpers.paths import atomic_write

MOST_BYTES = 200_000_000
"""Most bytes of a note; a larger one is none of ours."""

Record = TypeVar("Record", bound=BaseModel)


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """Read a JSON file that holds what ``kind`` describes; None where it is absent or damaged."""
    content = _content(path)
    try:
        return None if content is None else kind.model_validate_json(content)
    except ValueError:  # pydantic's error is one: no JSON, nested without end, other fields
        return None


def read_rows(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """Read the rows of a CSV list by their first column; what is broken is left out.

    Of several rows with one name the last counts.
    """
    text = (_content(path) or b"").decode("utf-8", "replace").replace("\0", "")
    rows: dict[str, list[str]] = {}
    lines = csv.reader(text.splitlines(keepends=True))
    while True:
        try:
            row = next(lines)
        except StopIteration:
            return rows
        except csv.Error:  # a cell without end
            continue
        if len(row) == len(columns) and row != list(columns):
            rows.pop(row[0], None)
            rows[row[0]] = row


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a list that `read_rows` reads, in the place of an older one."""
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([columns, *rows])


def _content(path: Path) -> bytes | None:
    """Give the bytes of a plain file of no more than ``MOST_BYTES``; None for anything else."""
    try:
        # A pipe of that name would keep us waiting.
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None
