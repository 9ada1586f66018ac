"""What a run folder remembers of each notebook, and how it knows that nothing has changed."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import asdict, field
from pathlib import Path
from typing import Annotated, Any, Literal

import nbformat
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from galhelpers.course.dependencies import digest
from galhelpers.data.records import Fact, RecordError, Text, check_record
from galhelpers.paths import atomic_write, checksum, is_portable

VERSIONS_OF = ("galhelpers", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "astropy")
MARK = ".galhelpers_run"
"""File in a folder that `galhelpers run` made: what it wrote there it may replace."""


def _portable(name: str) -> str:
    if not is_portable(name):
        raise ValueError("expected the name of a notebook")
    return name


@dataclass(config=ConfigDict(strict=True))
class NotebookRun:
    """What is known of one notebook's execution; one entry of ``state.json``.

    Attributes
    ----------
    fingerprint
        Hash of all that its results depend on.
    results
        SHA-256 of each file that it made, by its path in the run folder.
    seconds, peak_memory
        Time that it took; bytes that its kernel and its descendants held at most.
    error
        One sentence: "04_baselines failed in cell 12: ValueError: ...".
    finished
        Local time, ISO 8601.
    """

    name: Annotated[str, AfterValidator(_portable)]
    status: Literal["running", "ok", "failed", "interrupted"]
    fingerprint: Text
    parameters: dict[Text, Fact]
    machine: dict[Text, Text]
    versions: dict[Text, Text]
    seconds: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0.0
    peak_memory: Annotated[int, Field(ge=0, le=2**63)] = 0
    error: Text = ""
    finished: Text = ""
    results: dict[Text, Text] = field(default_factory=dict)


_ROWS, _ROW = TypeAdapter(list[Any]), TypeAdapter(NotebookRun)


class State:
    """The contents of ``state.json`` in a run folder.

    Attributes
    ----------
    runs
        What is known of each notebook, by its name.
    problem
        What of an earlier state could not be read, in one line; else empty.
    """

    def __init__(self, runs: dict[str, NotebookRun] | None = None, problem: str = "") -> None:
        self.runs, self.problem = runs or {}, problem

    @classmethod
    def load(cls, out: Path) -> "State":
        """Read the state of a run folder; what is damaged of it is left out.

        A folder without a state has run nothing.
        """
        state = cls()
        if not os.path.lexists(out / "state.json"):
            return state
        try:
            rows = check_record(out / "state.json", _ROWS)
        except RecordError as error:
            state.problem = f"state.json cannot be read ({error}); what it listed runs again."
            return state
        for row in rows:
            try:
                run = _ROW.validate_json(json.dumps(row))
            except ValidationError:
                state.problem = "state.json is damaged in part; what cannot be read runs again."
            else:
                state.runs[run.name] = run
        return state

    def is_done(self, name: str, mark: str) -> bool:
        """Say whether a notebook was executed without error and has this fingerprint."""
        run = self.runs.get(name)
        return run is not None and run.status == "ok" and run.fingerprint == mark

    def save(self, out: Path) -> None:
        """Write ``state.json`` in one step, and the mark that the folder is ours."""
        (out / MARK).touch()
        runs = [asdict(self.runs[name]) for name in sorted(self.runs)]
        with atomic_write(out / "state.json") as file:
            file.write_text(json.dumps(runs, indent=1), "utf-8")


def is_run_folder(out: Path) -> bool:
    """Say whether `galhelpers run` made a folder; earlier versions left a state, and no mark."""
    state = State.load(out)
    return (out / MARK).is_file() or bool(state.runs and not state.problem)


# What a notebook made -----------------------------------------------------------------------


def results_of(name: str, out: Path) -> dict[str, Path]:
    """Find the files that hold a notebook's results, and all checkpoints, by their path in ``out``.

    Links are left out: they lead to what somebody else has put there.
    """
    files = [out / executed(name), out / f"metrics/{name}.json", out / f"figures/{name}.json"]
    for folder in (out / "figures" / name, out / "checkpoints"):
        if not folder.is_symlink():
            files += sorted(folder.rglob("[!.]*"))
    keys = {file.relative_to(out).as_posix(): file for file in files}
    return {
        key: file
        for key, file in keys.items()
        if file.is_file() and not file.is_symlink() and key.isprintable()
    }


def executed(name: str) -> str:
    """Path of an executed notebook in a run folder."""
    return f"notebooks/{name}.ipynb"


def damaged(run: NotebookRun, out: Path) -> list[str]:
    """List results of a notebook that are missing or not as they were written.

    The executed notebook may have changed: a learner writes into it. It must be one still.
    """
    here = results_of(run.name, out)
    notebook = executed(run.name)
    wanted = {notebook: "", **run.results}
    changed = [k for k, value in wanted.items() if k not in here or checksum(here[k]) != value]
    return [k for k in changed if not (k == notebook and k in here and _is_notebook(here[k]))]


def _is_notebook(file: Path) -> bool:
    try:
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
        return bool(notebook.cells)
    except Exception:  # it raises several kinds for a damaged file
        return False


def forget(name: str, before: NotebookRun | None, out: Path) -> list[str]:
    """Clear away what an earlier execution left, so that no old number or picture stays behind.

    What we wrote is removed. What somebody has changed or put there is moved into ``kept``.

    Returns
    -------
    list of str
        Where the files that were kept are now, in ``out``.
    """
    known = before.results if before else {}
    # A run that was killed had no time to write down what it made.
    killed = before is not None and before.status == "running"
    kept = []
    for key, file in results_of(name, out).items():
        checkpoint = key.startswith("checkpoints/")
        if checkpoint and key not in known:
            continue  # another notebook's
        if known.get(key) != checksum(file) and not (killed and key != executed(name)):
            kept.append(set_aside(file, out))
        elif not checkpoint:  # the notebook will write that again; somebody may be using it
            file.unlink()
    return kept


def set_aside(file: Path, out: Path) -> str:
    """Move a file of the run folder into ``kept``, and give its new path in ``out``."""
    place = out / "kept" / file.relative_to(out)
    wanted, number = place, 1
    while os.path.lexists(place):
        number += 1
        place = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(file, place)
    return place.relative_to(out).as_posix()


# Whether anything has changed ---------------------------------------------------------------


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
