"""Run the notebooks of the course, one after the other, into a folder with a report.

A notebook that ran before and has not changed is skipped, one that fails does not stop the
others, and the folder is complete after each notebook, so that a run may be interrupted at any
moment and continued with the same command.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galhelpers.course.state import NotebookRun, State, fingerprint, summary, versions
from galhelpers.locks import only_one
from galhelpers.paths import UserError, atomic_write, course_root


def run_notebooks(
    names: Sequence[str] = (),
    profile: str = "quick",
    dataset: str = "simulated",
    data_root: str | Path = "",
    seed: int = 0,
    out: str | Path | None = None,
    folder: Path | None = None,
) -> int:
    """Execute notebooks in teaching order and write the report.

    Parameters
    ----------
    names : sequence of str
        ``"01"``, ``"01_data"`` or ``"notebooks/01_data.ipynb"``; none means all.
    profile, dataset, data_root, seed
        Passed to each notebook's ``parameters`` cell. An empty ``data_root`` leaves the default.
    out : path, optional
        Run folder; ``runs/<profile>-<dataset>`` in the course when not given.
    folder : Path, optional
        Where the notebooks are; ``notebooks`` in the course when not given.

    Returns
    -------
    int
        0 when all asked-for notebooks are done, 1 when one failed or the run was interrupted.

    Raises
    ------
    UserError
        For an unknown notebook, profile, dataset or parameter, before anything runs.
    """
    check_choices(profile, dataset, data_root)
    notebooks = find_notebooks(names, folder or course_root() / "notebooks")
    out = Path(out) if out else course_root() / "runs" / f"{profile}-{dataset}"
    out = _make_folder(out.resolve())
    parameters = {
        "profile": profile,
        "dataset": dataset,
        "data_root": relative_to(data_root, out / "notebooks"),
        "seed": seed,
        # Kernels work in <out>/notebooks: the folder can be moved, and holds no path of a machine.
        "out": "..",
    }
    for notebook in notebooks:
        check_parameters(notebook, parameters)
    with only_one(out / "run", "executes notebooks", wait=False):
        return _run_all(notebooks, parameters, out)


def find_notebooks(names: Sequence[str], folder: Path) -> list[Path]:
    """Notebook files for the given names, in teaching order, each once.

    Raises
    ------
    UserError
        For a name that fits none or several of the notebooks; lists the valid ones.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.ipynb"))}
    if not files:
        raise UserError(
            f"Expected notebooks (*.ipynb) in {folder}, found none. "
            "Run the command from a complete copy of the course."
        )
    chosen = set()
    for name in names:
        wanted = Path(name).name.removesuffix(".ipynb")
        fits = [s for s in files if s == wanted] or [s for s in files if s.startswith(f"{wanted}_")]
        if len(fits) != 1:
            raise UserError(
                f"There is no notebook {name!r}. Expected one of: {', '.join(files)} "
                f"(or its number: {', '.join(s.split('_')[0] for s in files)})."
            )
        chosen.add(fits[0])
    return [files[stem] for stem in sorted(chosen or files)]


def check_choices(profile: str, dataset: str, data_root: str | Path) -> None:
    """Refuse a profile or dataset the course does not know, and a data folder that is none.

    Raises
    ------
    UserError
        With the list of valid choices.
    """
    from galhelpers.data.manifest import ManifestError, load_manifest
    from galhelpers.profiles import PROFILES
    from galhelpers.published import PublishedError, load_published

    if profile not in PROFILES:
        raise UserError(f"There is no profile {profile!r}. Expected one of: {', '.join(PROFILES)}.")
    try:
        known = load_manifest().names
        load_published()  # the report needs it: better to know now than after an hour
    except (ManifestError, PublishedError) as error:
        raise UserError(str(error)) from None
    if dataset not in known:
        raise UserError(
            f"There is no dataset {dataset!r}. Expected one of: {', '.join(known)} "
            "(galhelpers datasets tells more about each)."
        )
    if data_root and not Path(data_root).is_dir():
        raise UserError(
            f"Expected --data-root to be a folder, but {data_root} is not. "
            "Give the folder that holds the dataset, or leave the option out."
        )


def check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the notebook's ``parameters`` cell does not declare.

    papermill would inject them with no more than a warning, and the notebook would ignore them.

    Raises
    ------
    UserError
        With the list of parameters the notebook has.
    """
    import papermill

    try:
        declared = papermill.inspect_notebook(_literal(notebook))
    except Exception as error:  # papermill raises several kinds for a damaged file
        raise UserError(
            f"Expected {notebook.name} to be a Python notebook, but it cannot be read "
            f"({type(error).__name__}: {_first_line(str(error))}). Restore the file."
        ) from None
    unknown = [name for name in parameters if name not in declared]
    if unknown:
        raise UserError(
            f"{notebook.name} has no parameter {', '.join(unknown)}. It has: "
            f"{', '.join(declared) or 'none'}. They are set in its cell tagged 'parameters'."
        )


def relative_to(path: str | Path, start: Path) -> str:
    """Give ``path`` relative to ``start`` where the system can; an empty path stays empty."""
    if not path:
        return ""
    path = Path(path).resolve()
    try:
        return Path(os.path.relpath(path, start.resolve())).as_posix()
    except ValueError:  # another drive on Windows
        return path.as_posix()


def _run_all(notebooks: Sequence[Path], parameters: dict[str, Any], out: Path) -> int:
    from galhelpers.course.doctor import machine
    from galhelpers.course.report import write_report

    state, this_machine, failed = State.load(out), machine(), 0
    (out / "notebooks").mkdir(exist_ok=True)
    for number, notebook in enumerate(notebooks, start=1):
        name = notebook.stem
        print(f"[{number}/{len(notebooks)}] {name}", flush=True)
        mark = fingerprint(notebook, parameters)
        if state.is_done(name, mark) and (out / "notebooks" / notebook.name).is_file():
            print(f"      unchanged, done before ({summary(state.runs[name])})", flush=True)
            continue
        run = NotebookRun(name, "running", mark, parameters, this_machine, versions())
        _forget(name, out)
        state.runs[name] = run
        state.save(out)
        _execute(notebook, run, out)
        state.save(out)
        write_report(out)
        print(f"      {run.error or summary(run)}", flush=True)
        failed += run.status == "failed"
        if run.status == "interrupted":
            print(
                f"Stopped in {name}. Finished notebooks are kept: "
                "give the same command again to continue."
            )
            return 1
    if failed:
        print(f"{failed} of {len(notebooks)} notebooks failed; the executed notebook shows it")
    index = write_report(out)
    shown = index.relative_to(Path.cwd()) if index.is_relative_to(Path.cwd()) else index
    print(f"Report: {shown}", flush=True)
    return 1 if failed else 0


def _execute(notebook: Path, run: NotebookRun, out: Path) -> None:
    """Execute a notebook; fill in the status, the time, the memory and the error of ``run``."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    from galhelpers.course.kernel import PeakMemory, last_words, this_interpreter

    partial, ipython_dir = out / "notebooks" / ".running.ipynb", out / ".ipython"
    memory, start = PeakMemory(), time.monotonic()
    failed = f"{run.name} failed"
    try:
        with memory.measured():
            papermill.execute_notebook(
                _literal(notebook),
                _literal(partial),
                run.parameters,
                kernel_name="python3",
                language="python",
                progress_bar={"leave": False} if sys.stderr.isatty() else False,
                kernel_manager_class=this_interpreter(partial.parent, ipython_dir, memory.watch),
                # The kernel listens on this machine only; its warning would be in each notebook.
                extra_arguments=["--IPKernelApp.log_level=40"],
            )
        run.status = "ok"
    except KeyboardInterrupt:
        run.status = "interrupted"
        run.error = f"{run.name} was interrupted; the next run starts it again."
    except papermill.PapermillExecutionError as error:
        what = f"{error.ename}: {_first_line(error.evalue)}".rstrip(": ")
        run.status, run.error = "failed", f"{failed} in cell {error.exec_count}: {what}"
    except DeadKernelError:
        what = "the notebook's Python process ended by itself; often the memory was not enough"
        if words := last_words(ipython_dir):
            what += f" (its last words: {_first_line(words)})"
        run.status, run.error = "failed", f"{failed} in cell {_last_started(partial)}: {what}"
    except RuntimeError as error:  # the kernel did not start
        words = last_words(ipython_dir) or str(error)
        run.status, run.error = "failed", f"{failed} before its first cell: {_first_line(words)}"
    finally:
        run.seconds, run.peak_memory = round(time.monotonic() - start, 1), memory.bytes
        run.finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        if partial.is_file() and run.status in ("ok", "failed"):
            _keep(partial, out / "notebooks" / notebook.name)
        partial.unlink(missing_ok=True)
        shutil.rmtree(ipython_dir, ignore_errors=True)


def _keep(partial: Path, executed: Path) -> None:
    """Save an executed notebook without papermill's records, which hold paths of this machine."""
    import nbformat

    notebook = nbformat.read(partial, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    with atomic_write(executed) as file:
        nbformat.write(notebook, file)


def _forget(name: str, out: Path) -> None:
    """Remove what an earlier execution left, so that no old number or picture stays behind."""
    (out / "notebooks" / f"{name}.ipynb").unlink(missing_ok=True)
    (out / "metrics" / f"{name}.json").unlink(missing_ok=True)
    (out / "figures" / f"{name}.json").unlink(missing_ok=True)
    shutil.rmtree(out / "figures" / name, ignore_errors=True)


def _last_started(partial: Path) -> int:
    """Give the number of the code cell that was running when a notebook was last saved."""
    cells = json.loads(partial.read_text("utf-8"))["cells"] if partial.is_file() else []
    code = [c for c in cells if c["cell_type"] == "code"]
    started = [
        i for i, c in enumerate(code) if c["metadata"].get("papermill", {}).get("start_time")
    ]
    return started[-1] + 1 if started else 1


def _literal(path: Path) -> str:
    """Protect braces, which papermill would take for placeholders."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _first_line(text: str) -> str:
    lines = text.strip().splitlines() or [""]
    line = lines[0].replace(str(Path.home()), "~")
    return line if len(line) <= 300 else f"{line[:297]}..."


def _make_folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Expected --out to be a folder that can be written, but {out} cannot be made "
            f"({error.strerror}). Choose another folder."
        ) from None
    return out
