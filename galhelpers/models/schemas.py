"""What a checkpoint may say: the arguments of each architecture, and all else, with bounds.

A checkpoint may come from a stranger. Its texts decide which networks are built, and how large; so
each value has a name, a type and bounds here, and what has none is refused. No argument names a
file or an address. ``galhelpers.models.build`` holds its callers to the same rules.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from galhelpers.messages import public
from galhelpers.models.checkpoint_file import (
    FORMAT,
    HASH,
    WITHOUT_HASH,
    CheckpointError,
    read_json,
)
from galhelpers.trees import GZ2, TREES

Task = Literal["classes", "fractions", "votes"]

MOST_WIDE = 2**26
"""Numbers in the widest layer for one picture: 64 channels of 1024 x 1024 pixels, 256 MiB."""

MOST_DRAWS = 2000
"""Members times passes: distributions that a network for votes gives of one galaxy."""

MOST_CLASSES = 1000
Outputs = Annotated[int, Field(ge=1, le=MOST_CLASSES)]
Side = Annotated[int, Field(ge=8, le=1024)]
Channels = Annotated[int, Field(ge=1, le=4)]
Width = Annotated[int, Field(ge=1, le=4096)]
Widths = Annotated[Sequence[Width], Field(min_length=1, max_length=12)]
Blocks = Annotated[int, Field(ge=1, le=64)]
Members = Annotated[int, Field(ge=1, le=50)]
Share = Annotated[float, Field(ge=0, le=1)]
Step = Annotated[float, Field(ge=1e-3, le=1)]
Activation = Literal["relu", "silu", "softplus"]
Tolerance = Annotated[float, Field(ge=1e-8, le=100)]
Name = Annotated[str, Field(max_length=40)]
"""Of a known encoder, head or tree: the network itself knows which there are, and refuses others
before any library hears of them."""


class Strict(BaseModel):
    """Named values only, of exactly their types, and finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Arguments(Strict):
    """What an architecture is built from. Defaults are those of the architecture."""

    task: ClassVar[Task] = "classes"


class LinNetArguments(Arguments):
    """Of ``LinNet``."""

    task: ClassVar[Task] = "fractions"
    size: Side = 64
    channels: Channels = 1


class ConvNetArguments(Arguments):
    """Of ``ConvNet``."""

    task: ClassVar[Task] = "fractions"
    channels: Channels = 1


class RepairedConvNetArguments(Arguments):
    """Of ``RepairedConvNet``."""

    outputs: Outputs
    widths: Widths = ()


class RepairedConvNet37Arguments(Arguments):
    """Of ``repaired_convnet_37``."""

    task: ClassVar[Task] = "fractions"
    widths: Widths = ()


class GuptaResNetArguments(Arguments):
    """Of ``gupta_resnet``."""

    outputs: Outputs = 10
    blocks: Blocks = 6
    activation: Activation = "relu"


class GuptaNodeArguments(Arguments):
    """Of ``gupta_node``."""

    outputs: Outputs = 10
    activation: Activation = "relu"
    fold: bool = True
    gradient: Literal["direct", "adjoint", "aca"] = "aca"
    method: Literal["euler", "rk4", "adaptive_heun", "bosh3", "dopri5"] = "bosh3"
    tolerance: Tolerance = 1e-2
    step_size: Step | None = None
    mode: Literal["steps", "stages", "graph"] = "graph"
    reuse_steps: bool = False


class SmallResNetArguments(Arguments):
    """Of ``SmallResNet``."""

    outputs: Outputs = 5
    widths: Widths = ()
    blocks: Blocks = 2
    dropout: Share = 0.2


class VoteNetArguments(Arguments):
    """Of ``VoteNet``."""

    task: ClassVar[Task] = "votes"
    tree: Name
    encoder: Name = "efficientnet_b0"
    head: Name = "mean_precision"
    colour: bool = True
    dropout: Share = 0.2
    widths: Widths = ()


class VoteEnsembleArguments(VoteNetArguments):
    """Of ``VoteEnsemble``."""

    members: Members


class BackboneArguments(Arguments):
    """Of ``Backbone``; ``weights`` to start from are not among them."""

    name: Name
    outputs: Outputs
    colour: bool = True
    dropout: Share | None = None
    widths: Widths | None = None
    blocks: Blocks | None = None


class FractionNetArguments(Arguments):
    """Of ``FractionNet``."""

    task: ClassVar[Task] = "fractions"
    name: Name
    colour: bool = True
    dropout: Share | None = None
    widths: Widths | None = None
    blocks: Blocks | None = None


ARGUMENTS: dict[str, type[Arguments]] = {
    "linnet": LinNetArguments,
    "convnet": ConvNetArguments,
    "repaired_convnet": RepairedConvNetArguments,
    "repaired_convnet_37": RepairedConvNet37Arguments,
    "gupta_resnet": GuptaResNetArguments,
    "gupta_node": GuptaNodeArguments,
    "small_resnet": SmallResNetArguments,
    "vote_net": VoteNetArguments,
    "vote_ensemble": VoteEnsembleArguments,
    "backbone": BackboneArguments,
    "fraction_net": FractionNetArguments,
}


def check_arguments(architecture: str, arguments: dict[str, Any]) -> Arguments:
    """See that an architecture exists and takes these arguments.

    Raises
    ------
    ValueError
        For an unknown architecture (the message lists the known ones), an argument that it does
        not take, or a value out of bounds.
    """
    if architecture not in ARGUMENTS:
        raise ValueError(
            f"There is no architecture {public(architecture, 40)!r}; there are "
            f"{', '.join(ARGUMENTS)}."
        )
    try:
        return ARGUMENTS[architecture].model_validate(arguments)
    except ValidationError as error:
        raise ValueError(f"{architecture} cannot be built: {complaint(error)}") from None


def complaint(error: ValidationError) -> str:
    """Say in one line what was expected where and what was found, for the first three places."""
    places = []
    for line in error.errors()[:3]:
        reason = line.get("ctx", {}).get("error")
        if line["loc"] and line["type"] == "missing":
            places.append(f"{_place(line)}: expected a value, found none")
        elif line["loc"]:
            rule = "expected nothing" if line["type"] == "extra_forbidden" else line["msg"]
            places.append(f"{_place(line)}: {rule}, found {public(repr(line['input']), 80)}")
        else:  # a rule over several values says itself what it found
            places.append(str(reason or line["msg"]))
    return public("; ".join(places).rstrip(".") + ".")


def _place(line: Any) -> str:
    return ".".join(str(part) for part in line["loc"])


def _harmless(name: str) -> str:
    """Refuse what a terminal or a spreadsheet would act on, and what only looks like a name."""
    if not (name and name.isprintable() and name[0].isalnum() and name == name.strip()):
        raise ValueError("a class name starts with a letter or digit and can be printed")
    return name


ClassName = Annotated[str, Field(max_length=100), AfterValidator(_harmless)]
Spread = Annotated[float, Field(ge=1e-4, le=10)]
Weight = Annotated[float, Field(ge=0, le=1 + 1e-6)]  # rounding makes it a little more than 1
Positive = Annotated[float, Field(ge=1e-6, le=1e6)]


class Preprocessing(Strict):
    """How a picture is prepared and what is done with the answers; see ``Checkpoint``."""

    mean: Annotated[list[Share], Field(min_length=3, max_length=3)]
    std: Annotated[list[Spread], Field(min_length=3, max_length=3)]
    size: Side
    crop: Annotated[float, Field(ge=0.05, le=1)] = 1.0
    views: Literal[1, 8] = 1
    passes: Annotated[int, Field(ge=1, le=1000)] | None = None
    factors: Annotated[list[Positive], Field(min_length=1, max_length=100)] | None = None
    weights: Annotated[list[list[Weight]], Field(min_length=1, max_length=100)] | None = None


class Metadata(Strict):
    """All that a checkpoint says besides its tensors; see ``Checkpoint``."""

    architecture: str
    arguments: dict[str, JsonValue]
    preprocessing: Preprocessing
    classes: Annotated[list[ClassName], Field(min_length=1, max_length=MOST_CLASSES)]
    task: Task
    provenance: dict[str, JsonValue]

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        arguments = check_arguments(self.architecture, self.arguments)
        if self.task != arguments.task:
            raise ValueError(
                f"task: expected {arguments.task!r}, which is what {self.architecture} is for, "
                f"found {self.task!r}"
            )
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: expected different names, found one that stands twice")
        self._layers_are_small(arguments)
        if isinstance(arguments, VoteNetArguments):
            self._votes_fit(arguments)
        elif any(getattr(self.preprocessing, n) for n in ("passes", "factors", "weights")):
            raise ValueError(
                "preprocessing: passes, factors and weights are for the task 'votes' only"
            )
        if self.task == "fractions" and self.classes not in (GZ2.columns, GZ2.published):
            raise ValueError("classes: expected the 37 answers of Galaxy Zoo 2, in their order")
        return self

    def _layers_are_small(self, arguments: Arguments) -> None:
        widths = getattr(arguments, "widths", None) or ()
        sides = (self.preprocessing.size >> stage for stage in range(len(widths)))
        if any(width * side**2 > MOST_WIDE for width, side in zip(widths, sides, strict=True)):
            raise ValueError(
                f"expected at most {MOST_WIDE:,} numbers in a layer, found more: widths "
                f"{list(widths)} at {self.preprocessing.size} pixels"
            )

    def _votes_fit(self, arguments: VoteNetArguments) -> None:
        shown = self.preprocessing
        if arguments.tree not in TREES:
            raise ValueError(
                f"There is no tree {public(arguments.tree)!r}; there are {', '.join(TREES)}"
            )
        tree = TREES[arguments.tree]
        if self.classes != tree.columns:
            raise ValueError(f"classes: expected the {tree.n_answers} answers of {tree.name}")
        draws = (shown.passes or 0) * getattr(arguments, "members", 1)
        if not 1 <= draws <= MOST_DRAWS:
            raise ValueError(
                f"preprocessing.passes: expected 1 to {MOST_DRAWS} passes of all members together "
                f"for the task 'votes', found {draws}"
            )
        if shown.views != 1:
            raise ValueError("preprocessing.views: expected 1 for the task 'votes', found 8")
        factors, weights = shown.factors or [], shown.weights or []
        if len(factors) != len(weights) or any(len(row) != tree.n_questions for row in weights):
            raise ValueError(
                "preprocessing: expected factors, and for each of them a list of "
                f"{tree.n_questions} weights, found {len(factors)} and lists of "
                f"{sorted({len(row) for row in weights})}"
            )
        if any(abs(sum(column) - 1) > 1e-6 for column in zip(*weights, strict=True)):
            raise ValueError("preprocessing.weights: expected a sum of 1 for each question")


def read_metadata(about: dict[str, str]) -> Metadata:
    """Check the texts of a checkpoint.

    Raises
    ------
    CheckpointError
        Where one is missing, is no JSON, or breaks a rule; nothing has been built yet.
    """
    if (found := about.get("format")) not in (FORMAT, WITHOUT_HASH):
        raise CheckpointError(
            f"expected the format {FORMAT!r} of this version of galhelpers, found "
            f"{public(found, 40)!r}."
        )
    if (HASH in about) != (found == FORMAT):
        raise CheckpointError(f"expected a hash ({HASH}) in the format {FORMAT!r} and in no other.")
    return _validated(Metadata, {name: about[name] for name in about.keys() - {"format", HASH}})


def read_preprocessing(text: str) -> Preprocessing:
    """Check the one text of a file that holds weights and no more.

    Raises
    ------
    CheckpointError
        As ``read_metadata``.
    """
    return _validated(_Pictures, {"preprocessing": text}).preprocessing


class _Pictures(Strict):
    preprocessing: Preprocessing


Schema = TypeVar("Schema", bound=Strict)


def _validated(schema: type[Schema], texts: dict[str, str]) -> Schema:
    fields: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            fields[name] = read_json(text)
        except ValueError as error:
            raise CheckpointError(f"{public(name, 40)}: {error}.") from None
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        raise CheckpointError(complaint(error)) from None


def write_metadata(**fields: Any) -> dict[str, str]:
    """Write the fields of :class:`Metadata` as the texts of a checkpoint, if they are valid.

    Raises
    ------
    CheckpointError
        As ``read_metadata``, and for values that JSON does not have, such as NumPy's.
    """
    about = {"format": FORMAT, HASH: ""}
    for name, value in fields.items():
        try:
            about[name] = json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{name}: expected what JSON can hold: {public(error)}."
            ) from None
    read_metadata(about)
    del about[HASH]
    return about
