"""What a run folder remembers of each notebook, and how it knows that nothing has changed."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import galhelpers
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


def source_digest() -> str:
    """Hash of the package's source and the data manifest: a change may change any result."""
    digest = hashlib.sha256()
    package = Path(galhelpers.__file__).parent
    files = [p for p in package.rglob("*") if p.suffix in (".py", ".js")]
    manifest = package.parent / "data_manifest.yaml"
    for file in [*sorted(files), *([manifest] if manifest.is_file() else [])]:
        digest.update(file.relative_to(package.parent).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    return digest.hexdigest()


def fingerprint(notebook: Path, parameters: Mapping[str, Any], code: str) -> str:
    """Hash of all a notebook's results depend on; its stored outputs do not count."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    content = [(c["cell_type"], "".join(c["source"]), c["metadata"].get("tags", [])) for c in cells]
    whole = json.dumps([content, dict(parameters), code, versions()], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()
