"""Headline numbers: each notebook writes its own, ``results.json`` holds those of all.

Apart from the report, since every notebook depends on this file.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from galhelpers.data.records import Fact, Number, RecordError, Text, check_record
from galhelpers.messages import public
from galhelpers.paths import atomic_write


class Metric(BaseModel):
    """One headline number as it lies on disk; fields as in `write_metrics`."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, Fact]

    notebook: Text
    name: Text
    value: Number | None
    low: Number | None = None
    high: Number | None = None
    spread: Number | None = None
    n: Number | None = None
    seed: Number | None = None
    unit: Text | None = None
    dataset: Text | None = None
    profile: Text | None = None
    published: Text | None = None


_METRICS = TypeAdapter(list[Metric])


def write_metrics(out: Path, notebook: str, metrics: Sequence[dict[str, Any]]) -> None:
    """Write the metrics of one notebook to ``<out>/metrics/<notebook>.json``; they replace others.

    Parameters
    ----------
    out
        Run folder.
    notebook
        Name of the notebook, such as ``04_baselines``.
    metrics
        ``name`` and ``value`` of each, and whatever else is known: ``low``, ``high`` (interval),
        ``spread`` (standard deviation over seeds), ``n`` (galaxies), ``seed``, ``dataset``,
        ``profile``, ``published`` (an id in ``published.yaml``). JSON has no NaN and no infinity:
        such a number is written as null, and the report shows a dash.
    """
    rows = [
        {key: None if _is_no_number(fact) else fact for key, fact in metric.items()}
        for metric in ({"notebook": notebook, **metric} for metric in metrics)
    ]
    with atomic_write(out / "metrics" / f"{notebook}.json") as temporary:
        temporary.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def collect_metrics(out: Path) -> list[dict[str, Any]]:
    """Read the headline metrics of all notebooks, in teaching order.

    A file that cannot be read gives one row that says so: the report must not hide it, and must
    not keep the other notebooks from being shown.
    """
    rows: list[dict[str, Any]] = []
    # A leading dot has what a killed process left half written.
    for file in sorted((out / "metrics").glob("[!.]*.json")):
        try:
            metrics = check_record(file, _METRICS)
            rows += [metric.model_dump(exclude_unset=True) for metric in metrics]
        except RecordError as error:
            problem = f"{public(file.name, 200)} is damaged ({error}); run the notebook again"
            rows.append({"notebook": public(file.stem, 200), "name": problem, "value": None})
    return rows


def _is_no_number(fact: object) -> bool:
    return isinstance(fact, float) and not math.isfinite(fact)


def write_results(out: Path) -> list[dict[str, Any]]:
    """Write the metrics of all notebooks to ``results.json``, and return them."""
    metrics = collect_metrics(out)
    with atomic_write(out / "results.json") as file:
        file.write_text(json.dumps({"metrics": metrics}, indent=1), "utf-8")
    return metrics
