"""The trained networks that come with the course, and the card of each.

``networks/NAME.safetensors`` holds a network, ``networks/networks.yaml`` the cards: what a network
answers, what it was trained on, by which command, how good it is and what it is not for (after
Mitchell et al. 2019, "Model Cards for Model Reporting", FAT* '19, 220). This file loads no torch
before a network is asked for.
"""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from galhelpers.data.records import RecordError, check_record
from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.paths import UserError, atomic_write, checksum, course_root, short
from galhelpers.trees import TREES

if TYPE_CHECKING:
    import torch

    from galhelpers.learning.checkpoint import Checkpoint


def _printable(text: str) -> str:
    """Refuse what a terminal would act on."""
    if not text.isprintable():
        raise ValueError("expected text that can be printed, in one line")
    return text


Text = Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_printable)]
Count = Annotated[int, Field(ge=0, le=2**62)]
Size = Annotated[int, Field(gt=0, le=2**62)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]

_HEADER = "# What each trained network of this folder is: galhelpers networks NAME prints it.\n"


class _Strict(BaseModel):
    """A misspelt field is an error, not something silently ignored; nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Pictures(_Strict):
    """How a picture is prepared: pixels a side, central share of the frame, views averaged."""

    size: Annotated[int, Field(gt=0)]
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0
    views: Literal[1, 8] = 1


class TrainingData(_Strict):
    """Data set, number of galaxies in each part, and whom to thank for them."""

    dataset: Text
    train: Count
    validation: Count
    test: Count
    credit: Text


class Score(_Strict):
    """A measure of a network on galaxies that decided nothing about it.

    ``part`` says which they are and ``n`` how many; ``low`` and ``high`` are the ends of the 95 %
    interval, and ``how`` is where that comes from.
    """

    part: Text
    value: Number
    low: Number
    high: Number
    n: Annotated[int, Field(gt=0)]
    how: Literal[
        "bootstrap of the test part", "3 splits", "5-fold cross-validation",
        "exact binomial interval", "mean of exact binomial intervals",
    ]  # fmt: skip

    @model_validator(mode="after")
    def _is_an_interval(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"expected low <= value <= high, found {self.low}, {self.value}, "
                             f"{self.high}")  # fmt: skip
        return self


class Check(_Strict):
    """The score on a fixed sample of the simulated survey; see ``learning.network_check``."""

    metric: Literal["accuracy", "RMSE", "nats"]
    value: Number
    n: Annotated[int, Field(gt=0)]
    seed: Count
    telescope: Text


class Card(_Strict):
    """All that there is to know about a trained network before it is used.

    Attributes
    ----------
    answers
        What question it answers, in a sentence.
    task, architecture
        As in :class:`galhelpers.learning.checkpoint.Checkpoint`.
    classes
        Names of the classes, in the order of its numbers; for fractions and votes the name of the
        decision tree.
    start
        Name of the network that training began from, or ``nothing``.
    command, seed, machine, cpu_minutes
        What made it, where, and how long one core had to work.
    scores
        By the name of the metric; the first is the one that matters most.
    confusion
        Galaxies of the test part by true class (rows) and predicted class (columns).
    splits
        Scores on each split, where there was more than one.
    not_for
        What it must not be used for, in sentences.
    check
        None for a network whose classes the simulated survey does not know.
    sha256, bytes
        Of its file.
    """

    answers: Text
    task: Literal["classes", "fractions", "votes"]
    classes: list[Text] | Text
    architecture: Text
    parameters: Size
    preprocessing: Pictures
    data: TrainingData
    start: Text
    command: Text
    seed: Count
    machine: Text
    cpu_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    scores: Annotated[dict[Text, Score], Field(min_length=1)]
    confusion: list[list[Count]] | None = None
    splits: list[dict[Text, Number]] = []
    not_for: Annotated[list[Text], Field(min_length=1)]
    check: Check | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Size
    licence: Text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if isinstance(self.classes, str) != (self.task != "classes"):
            raise ValueError("classes: expected a list of names for the task classes, else a tree")
        if isinstance(self.classes, str):
            if self.classes not in TREES:
                raise ValueError(f"expected a tree of {', '.join(TREES)}, found {self.classes!r}")
        elif self.confusion is not None:
            sides = {len(self.confusion), *map(len, self.confusion)}
            if sides != {len(self.classes)}:
                raise ValueError(
                    f"confusion: expected {len(self.classes)} rows and columns, one for each "
                    f"class, found {sorted(sides)}"
                )
        return self


_CARDS = TypeAdapter(dict[Name, Card])


def cards(file: Path | None = None) -> dict[str, Card]:
    """Read the cards of all networks, by name, in the order of the file.

    Parameters
    ----------
    file
        By default the course's ``networks/networks.yaml``.

    Raises
    ------
    UserError
        Where it is missing or damaged; the message says what is wrong where.
    """
    file = file or _folder() / "networks.yaml"
    try:
        return check_record(file, _CARDS)
    except RecordError as error:
        advice = "Mend it, or move it away"
        if file == _folder() / "networks.yaml":
            advice = f"`git checkout {short(file)}` brings back the file that came with the course"
        raise UserError(
            f"The cards of the trained networks, {short(file)}, cannot be read ({error}). {advice}."
        ) from None


def card(name: str) -> Card:
    """Give the card of a network.

    Raises
    ------
    UserError
        For an unknown name (the message lists the known ones), and as `cards`.
    """
    known = cards()
    if name not in known:
        raise UserError(f"There is no trained network {public(name, 40)!r}. {names_like(name)}")
    return known[name]


def names_like(name: str, known: Iterable[str] | None = None) -> str:
    """Say which networks there are, and which of them somebody may have meant.

    Parameters
    ----------
    known
        Names; by default those of all cards.
    """
    known = list(cards() if known is None else known)
    close = difflib.get_close_matches(name.lower(), known, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    return f"{meant}Trained networks: {', '.join(known) or 'none'}."


def network_file(name: str) -> Path:
    """Give the file of a network; it is there, and it is what its card describes.

    Raises
    ------
    UserError
        For an unknown name, a missing file, and one of other content.
    """
    expected, file = card(name).sha256, _folder() / f"{name}.safetensors"
    found = checksum(file) if file.is_file() else ""
    if found != expected:
        what = "has changed since its card was written" if found else "is missing"
        raise UserError(
            f"{short(file)} {what}: expected the SHA-256 {expected[:12]}..., found "
            f"{f'{found[:12]}...' if found else 'no file'}. `git checkout {short(file)}` brings it "
            f"back, `galhelpers train {name} --out {short(file.parent)}` makes it again."
        )
    return file


def load_network(name: str, device: "torch.device | None" = None) -> "Checkpoint":
    """Load a network that comes with the course. That runs no code from its file.

    Raises
    ------
    UserError
        As `network_file`.
    galhelpers.learning.checkpoint.CheckpointError
        As `galhelpers.learning.checkpoint.load_checkpoint`.
    """
    from galhelpers.learning.checkpoint import load_checkpoint

    return load_checkpoint(network_file(name), device)


def facts_of(file: Path) -> dict[str, Any]:
    """Give the fields of a card that a checkpoint says itself: what it is, and of which bytes.

    Raises
    ------
    galhelpers.learning.checkpoint.CheckpointError
        As `galhelpers.learning.checkpoint.load_checkpoint`.
    """
    from galhelpers.learning.checkpoint import load_checkpoint

    network = load_checkpoint(file)
    shown = network.preprocessing
    trees = {tuple(names): t.name for t in TREES.values() for names in (t.columns, t.published)}
    return {
        "task": network.task,
        "classes": network.classes if network.task == "classes" else trees[tuple(network.classes)],
        "architecture": network.architecture,
        "parameters": sum(p.numel() for p in network.model.parameters()),
        "preprocessing": Pictures(**{k: shown[k] for k in Pictures.model_fields if k in shown}),
        "sha256": checksum(file),
        "bytes": file.stat().st_size,
    }


def write_card(name: str, card: Card, file: Path) -> None:
    """Add a card to a file of cards, or replace the one of that name; others stay as they are.

    Parameters
    ----------
    file
        A ``networks.yaml``; it is made where there is none.

    Raises
    ------
    UserError
        For a name that is none, and where the file is damaged: it stays as it is.
    """
    with only_one(file, "writes a card"):
        known = cards(file) if file.exists() else {}
        try:
            known = _CARDS.validate_python(known | {name: card})
        except ValidationError:
            raise UserError(
                "Expected a name of small letters, digits and _, a letter first and 40 at most, "
                f"for the network, got {public(name, 60)!r}."
            ) from None
        plain = {key: each.model_dump(exclude_defaults=True) for key, each in known.items()}
        text = yaml.dump(
            plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
        )  # fmt: skip
        with atomic_write(file) as temporary:
            temporary.write_text(_HEADER + text, "utf-8")


class _Dumper(yaml.SafeDumper):
    """Write rows of numbers and names in one line, sentences and all else in a line each."""

    def represent_sequence(
        self, tag: str, sequence: Any, flow_style: bool | None = None
    ) -> yaml.SequenceNode:
        in_a_row = all(
            isinstance(x, int | float) or (isinstance(x, str) and " " not in x) for x in sequence
        )
        return super().represent_sequence(tag, sequence, flow_style=in_a_row)


def _folder() -> Path:
    return course_root() / "networks"
