"""Headline numbers: each notebook writes its own, ``results.json`` holds those of all.

Apart from the report, since every notebook depends on this file.
"""

import json
from pathlib import Path
from typing import Any

from galhelpers.paths import atomic_write


def record(out: str | Path, notebook: str, name: str, value: float, **facts: Any) -> None:
    """Write one headline metric to ``<out>/metrics/<notebook>.json``; a name given again replaces.

    Parameters
    ----------
    out
        Run folder.
    notebook, name, value
        Which notebook measured what.
    **facts
        ``low``, ``high`` (interval), ``spread`` (standard deviation over seeds), ``n``
        (galaxies), ``seed``, ``dataset``, ``profile``, ``published`` (an id in
        ``published.yaml``).
    """
    path = Path(out) / "metrics" / f"{notebook}.json"
    metrics = json.loads(path.read_text(encoding="utf8")) if path.is_file() else []
    row = {"notebook": notebook, "name": name, "value": float(value)}
    row |= {key: fact.item() if hasattr(fact, "item") else fact for key, fact in facts.items()}
    metrics = [old for old in metrics if old["name"] != name] + [row]
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(metrics, indent=1), encoding="utf8")


def clear(out: str | Path, notebook: str) -> None:
    """Forget what an earlier run of a notebook wrote down."""
    (Path(out) / "metrics" / f"{notebook}.json").unlink(missing_ok=True)


def collect_metrics(out: Path) -> list[dict[str, Any]]:
    """Read the headline metrics of all notebooks, in teaching order.

    A file that cannot be read gives one row that says so: the report must not hide it, and must
    not keep the other notebooks from being shown.
    """
    rows: list[dict[str, Any]] = []
    for file in sorted((out / "metrics").glob("*.json")):
        try:
            rows += json.loads(file.read_text("utf-8"))
        except ValueError as error:
            problem = f"{file.name} is damaged ({error}); run the notebook again"
            rows.append({"notebook": file.stem, "name": problem, "value": None})
    return rows


def write_results(out: Path) -> list[dict[str, Any]]:
    """Write the metrics of all notebooks to ``results.json``, and return them."""
    metrics = collect_metrics(out)
    with atomic_write(out / "results.json") as file:
        file.write_text(json.dumps({"metrics": metrics}, indent=1), "utf-8")
    return metrics
