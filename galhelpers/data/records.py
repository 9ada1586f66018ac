"""Small files that the course writes beside data and results: notes, indexes, lists, states.

Such a file can be lost, cut short or edited. Then it counts as absent, and whoever reads it makes
it again or says so: no damaged note may block what it is about.
"""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from galhelpers.messages import public
from galhelpers.paths import atomic_write

MOST_BYTES = 200_000_000
"""Most bytes of a note; a larger one is none of ours."""

Text = Annotated[str, Field(max_length=5000, strict=True)]
Number = (
    Annotated[int, Field(ge=-(2**63), le=2**63, strict=True)]
    | Annotated[float, Field(allow_inf_nan=False, strict=True)]
)
Fact = Text | Number | Annotated[bool, Field(strict=True)] | None

T = TypeVar("T")


class RecordError(ValueError):
    """A small file that cannot be used; the message says in a few words why."""


def check_record(path: Path, kind: type[T] | TypeAdapter[T]) -> T:
    """Read a JSON file, or a ``.yaml`` file, and check that it holds what ``kind`` describes.

    Raises
    ------
    RecordError
        When it is missing, no file, too large, no JSON or YAML, or holds something else.
    """
    try:
        known = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
        content = _content(path)
        if path.suffix == ".yaml":
            return known.validate_python(_read_yaml(content))
        return known.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "in it"
        raise RecordError(public(f"{place}: {first['msg']}", 150)) from None


def read_record(path: Path, kind: type[T] | TypeAdapter[T]) -> T | None:
    """Read a JSON file as `check_record` does; None where it is absent or damaged."""
    try:
        return check_record(path, kind)
    except RecordError:
        return None


def read_rows(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """Read the rows of a CSV list by their first column; what is broken is left out.

    Of several rows with one name the last counts.
    """
    rows: dict[str, list[str]] = {}
    try:
        text = _content(path).decode("utf-8", "replace").replace("\0", "")
    except RecordError:
        return rows
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


def _read_yaml(content: bytes) -> Any:
    try:
        return yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError,
            RecursionError) as error:  # fmt: skip
        # Besides its own errors: a date that is none, a number without end, brackets without end.
        raise RecordError(f"it is not valid YAML: {public(error, 150)}") from None


def _content(path: Path) -> bytes:
    """Give the bytes of a plain file of no more than ``MOST_BYTES``."""
    try:
        if not path.is_file():  # a pipe of that name would keep us waiting
            raise RecordError("there is no such file")
        if path.stat().st_size > MOST_BYTES:
            raise RecordError(f"it is larger than {MOST_BYTES:,} bytes")
        return path.read_bytes()
    except OSError as error:
        raise RecordError(str(error.strerror)) from None
