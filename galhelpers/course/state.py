"""What a run folder remembers of each notebook, and how it knows that nothing has changed."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from galhelpers.course.dependencies import digest
from galhelpers.paths import UserError, atomic_write

VERSIONS_OF = ("galhelpers", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "astropy")


@dataclass
class NotebookRun:
    """What is known of one notebook's execution; one entry of ``state.json``."""

    name: str
    status: str  # "running", "ok", "failed" or "interrupted"
    fingerprint: str
    parameters: dict[str, Any]
    machine: dict[str, str]
    versions: dict[str, str]
    seconds: float = 0.0
    peak_memory: int = 0  # bytes, of the kernel and its descendants
    error: str = ""  # one sentence: "03_baselines failed in cell 12: ValueError: ..."
    finished: str = ""  # local time, ISO 8601


@dataclass
class State:
    """The contents of ``state.json`` in a run folder."""

    runs: dict[str, NotebookRun] = field(default_factory=dict)

    @classmethod
    def load(cls, out: Path) -> "State":
        """Read the state of a run folder; a folder without one has run nothing."""
        file = out / "state.json"
        if not file.is_file():
            return cls()
        try:
            return cls({r["name"]: NotebookRun(**r) for r in json.loads(file.read_text("utf-8"))})
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"Expected {file} to be the state of an earlier run, but it cannot be read "
                f"({error}). Delete that file to run the notebooks again, or choose another --out."
            ) from None

    def is_done(self, name: str, mark: str) -> bool:
        """Say whether a notebook was executed without error and has this fingerprint."""
        run = self.runs.get(name)
        return run is not None and run.status == "ok" and run.fingerprint == mark

    def save(self, out: Path) -> None:
        """Write ``state.json`` in one step."""
        runs = [asdict(self.runs[name]) for name in sorted(self.runs)]
        with atomic_write(out / "state.json") as file:
            file.write_text(json.dumps(runs, indent=1), "utf-8")


def summary(run: NotebookRun) -> str:
    """Give the status, time and memory of a run in a few words."""
    gigabytes = f", {run.peak_memory / 1e9:.1f} GB" if run.peak_memory else ""
    return f"{run.status} {run.seconds:.0f} s{gigabytes}"


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that decide about the numbers."""
    found = {"python": platform.python_version()}
    for package in VERSIONS_OF:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def fingerprint(notebook: Path, parameters: Mapping[str, Any]) -> str:
    """Hash of all a notebook's results depend on; its stored outputs do not count."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    content = [(c["cell_type"], "".join(c["source"]), c["metadata"].get("tags", [])) for c in cells]
    whole = json.dumps([content, dict(parameters), digest(notebook), versions()], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
