"""Published values to set beside our own, each with its source, its caveat and its evidence.

The facts are in ``published.yaml`` beside the package, grouped by work; what a group says once
(work, dataset, source, caveat) holds for each of its values that does not say otherwise.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from galhelpers.messages import public
from galhelpers.paths import course_root, short

FRACTIONS = {"accuracy", "recall", "macro recall", "share"}
"""Metrics that lie between 0 and 1."""

Text = Annotated[str, Field(min_length=1)]


class PublishedError(ValueError):
    """The file of published values is missing or breaks a rule; the message lists each place."""


class PublishedValue(BaseModel):
    """One published number.

    Parameters
    ----------
    id
        Name that the course uses for it.
    work
        Who published it.
    metric
        What it is, such as ``"RMSE"`` or ``"accuracy"``; shares and accuracies are from 0 to 1.
    value, spread
        The number and its published uncertainty (same unit), ``None`` where none was given.
    n
        Galaxies that it was measured on, ``None`` where unknown.
    dataset
        Name in ``data_manifest.yaml``, or the name of the data in words.
    source
        Table, section, file or formula.
    caveat
        What a reader must know before comparing; may be empty.
    evidence
        How we know it: ``"L"`` counted or computed in the published files themselves, ``"P"``
        read in a primary source (paper, the authors' repository, official page), ``"S"`` a
        secondary source only, ``"computed"`` worked out from published numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    work: Text
    metric: Text
    value: Annotated[float, Field(allow_inf_nan=False)]
    spread: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    n: Annotated[int, Field(gt=0)] | None = None
    dataset: Text
    source: Text
    caveat: str = ""
    evidence: Literal["L", "P", "S", "computed"]

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        if self.metric in FRACTIONS and not 0 <= self.value <= 1:
            raise ValueError(f"{self.metric} lies between 0 and 1, found {self.value}: percent?")
        if self.metric.startswith("RMSE") and not 0 < self.value < 1:
            raise ValueError(f"an RMSE of fractions lies between 0 and 1, found {self.value}")
        if self.evidence == "S" and not self.caveat:
            raise ValueError("a value from a secondary source says so in its caveat")
        return self


def load_published(path: str | Path | None = None) -> dict[str, PublishedValue]:
    """Read and validate the published values.

    Parameters
    ----------
    path
        A YAML file; by default the course's ``published.yaml``.

    Returns
    -------
    dict
        Values by id, in the order of the file.

    Raises
    ------
    PublishedError
        When the file is missing, is not YAML, repeats an id, or a value breaks a rule.
    """
    path = course_root() / "published.yaml" if path is None else Path(path)
    try:
        if not path.is_file():  # a pipe has no end
            raise FileNotFoundError(2, "there is no such file")
        groups = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        entries = [entry for group in groups for entry in _flatten(group)]
    except OSError as error:
        raise PublishedError(f"Cannot read {short(path)}: {error.strerror}.") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise PublishedError(
            f"{short(path)}: expected a list `groups`, each with a list `values` of mappings."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # no date, no UTF-8, too deep
        raise PublishedError(f"{short(path)} is not valid YAML: {public(error)}") from error
    published: dict[str, PublishedValue] = {}
    problems = []
    for number, entry in enumerate(entries, start=1):
        name = public(entry.get("id", f"value {number}"), 100)
        if name in published:
            problems.append(f"  {name}: this id stands twice")
        try:
            published[name] = PublishedValue.model_validate(entry)
        except ValidationError as error:
            for line in error.errors():
                place = public(".".join(map(str, line["loc"])), 100) or "value"
                problems.append(f"  {name}: {place}: {line['msg']}")
    if problems:
        raise PublishedError("\n".join([f"{short(path)} breaks its rules:", *problems]))
    return published


def _flatten(group: dict[str, Any]) -> list[dict[str, Any]]:
    """Give each value of a group what the group says once."""
    common = {key: value for key, value in group.items() if key != "values"}
    return [{**common, **value} for value in group["values"]]
