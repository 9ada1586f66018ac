"""Headline numbers of a notebook, written down for the report."""

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
