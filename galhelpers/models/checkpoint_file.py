"""The file of a checkpoint: tensors, a few texts about them, and a hash over both.

It is a safetensors file. Unlike a pickle it can hold nothing but numbers and text, so that reading
one from a stranger runs no code. The texts are another matter: they say how to build a network. So
nobody uses one before :mod:`galhelpers.models.schemas` has checked it.
"""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import torch
from pydantic_core import from_json
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from galhelpers.messages import public
from galhelpers.paths import UserError

FORMAT = "galhelpers-2"
WITHOUT_HASH = "galhelpers-1"
"""Format of earlier versions, which had no hash: damage to such a file is not noticed."""

HASH = "sha256"
MOST_BYTES = 2**30
"""Size of a file. The largest network here, resnet50, takes 94 MB."""

MOST_HEADER = 2**23
"""Bytes that list the tensors; an ensemble of 50 EfficientNet-B0 needs 2 million."""

MOST_TEXT = 200_000
"""Characters of one text; 1,000 class names of 100 characters are half of it."""


class CheckpointError(UserError, ValueError):
    """A checkpoint that cannot be used; the message says in one line what was expected and found.

    A command shows it as it is; elsewhere it is a ValueError.
    """


def read_tensors(path: str | Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a safetensors file whole, and see that it is what was written.

    Returns
    -------
    about, tensors
        Its texts, and its tensors by name, on the CPU.

    Raises
    ------
    CheckpointError
        For anything but a file of this kind and a reasonable size; where it carries a hash, also
        for one whose texts or tensors have changed since.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - a text with a zero byte is no Path on any system
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError("expected a file, found a folder or a device.")
        if status.st_size > MOST_BYTES:
            raise CheckpointError(
                f"expected at most {MOST_BYTES:,} bytes, found {status.st_size:,}."
            )
        with Path(path).open("rb") as start:
            header = int.from_bytes(start.read(8), "little")
        if status.st_size < 8 or header > min(status.st_size, MOST_HEADER):
            raise CheckpointError("expected safetensors, found a file of another kind.")
        with safe_open(path, framework="pt") as file:
            about = dict(file.metadata() or {})
            # A copy: else the numbers would change with the file.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError("there is no such file.") from None
    except Exception as error:  # whatever the library says, the stranger's file is to blame
        raise CheckpointError(
            f"expected safetensors, found a file that is damaged or of another kind: "
            f"{public(error, 200)}."
        ) from None
    if HASH in about and about[HASH] != digest(about, tensors):
        raise CheckpointError(
            "its content is not what was written: the hash (SHA-256) differs. Copy or make it anew."
        )
    return about, tensors


def write_tensors(path: Path, about: dict[str, str], tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file with a hash over its texts and tensors.

    The same texts and tensors give the same bytes: the library itself writes texts in an order that
    differs from one time to the next.
    """
    tensors = {name: value.detach().contiguous().cpu() for name, value in tensors.items()}
    content = save(tensors, about | {HASH: digest(about, tensors)})
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    with path.open("wb") as file:
        file.writelines([len(text).to_bytes(8, "little"), text, memoryview(content)[start:]])


def digest(about: dict[str, str], tensors: dict[str, Tensor]) -> str:
    """Give the SHA-256 of all texts but the hash itself, and of all tensors.

    Of a tensor its name, type, shape and bytes count. The order of the names does not.
    """
    sha = hashlib.sha256()
    sha.update(json.dumps(sorted((k, v) for k, v in about.items() if k != HASH)).encode())
    for name, value in sorted(tensors.items()):
        sha.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        sha.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()


def read_json(text: str) -> Any:
    """Read JSON as the standard has it: finite numbers, each name once, at most 200 levels.

    Raises
    ------
    ValueError
        Where it is none, or longer than ``MOST_TEXT``.
    """
    if len(text) > MOST_TEXT:
        raise ValueError(f"expected at most {MOST_TEXT:,} characters, found {len(text):,}")
    try:
        from_json(text, allow_inf_nan=False)  # which counts the levels
        return json.loads(text, object_pairs_hook=_each_name_once)
    except ValueError as error:
        raise ValueError(f"expected JSON, found {public(text, 40)!r} ({error})") from None


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found
