"""Small JSON files of a run folder: what is read is what was meant, or the file is damaged."""

from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from galhelpers.messages import public

MOST_BYTES = 10_000_000

Text = Annotated[str, Field(max_length=5000, strict=True)]
Number = (
    Annotated[int, Field(ge=-(2**63), le=2**63, strict=True)]
    | Annotated[float, Field(allow_inf_nan=False, strict=True)]
)
Fact = Text | Number | Annotated[bool, Field(strict=True)] | None

T = TypeVar("T")


class RecordError(ValueError):
    """A small file that cannot be used; the message says in a few words why."""


def read_record(file: Path, kind: TypeAdapter[T]) -> T:
    """Read a JSON file and check that it holds what it should.

    Raises
    ------
    RecordError
        When it is missing, no file, too large, no JSON, or holds something else.
    """
    try:
        if not file.is_file():  # a pipe has no end
            raise RecordError("there is no such file")
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise RecordError(f"it is larger than {MOST_BYTES:,} bytes")
        return kind.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "in it"
        raise RecordError(public(f"{place}: {first['msg']}", 150)) from None
    except OSError as error:
        raise RecordError(str(error.strerror)) from None
