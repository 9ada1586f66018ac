"""Headline numbers: each notebook writes its own, ``results.json`` holds those of all.

Apart from the report, since every notebook depends on this file.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from galhelpers.paths import atomic_write


def write_metrics(out: Path, notebook: str, metrics: Sequence[dict[str, Any]]) -> None:
    """Write the metrics of one notebook to ``<out>/metrics/<notebook>.json``; they replace others.

    Parameters
    ----------
    out
        Run folder.
    notebook
        Name of the notebook, such as ``03_baselines``.
    metrics
        ``name`` and ``value`` of each, and whatever else is known: ``low``, ``high`` (interval),
        ``spread`` (standard deviation over seeds), ``n`` (galaxies), ``seed``, ``dataset``,
        ``profile``, ``published`` (an id in ``published.yaml``).
    """
    rows = [{"notebook": notebook, **metric} for metric in metrics]
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
            rows += [{**row} for row in json.loads(file.read_text("utf-8"))]
        except (ValueError, TypeError) as error:
            problem = f"{file.name} is damaged ({error}); run the notebook again"
            rows.append({"notebook": file.stem, "name": problem, "value": None})
    return rows


def write_results(out: Path) -> list[dict[str, Any]]:
    """Write the metrics of all notebooks to ``results.json``, and return them."""
    metrics = collect_metrics(out)
    with atomic_write(out / "results.json") as file:
        file.write_text(json.dumps({"metrics": metrics}, indent=1), "utf-8")
    return metrics
