"""Run the notebooks of the course, one after the other, into a folder with a report.

A notebook that ran before and has not changed is skipped, one that fails does not stop the
others, and the folder is complete after each notebook, so that a run may be interrupted at any
moment and continued with the same command.
"""

import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galhelpers.course.state import (
    NotebookRun,
    State,
    damaged,
    executed,
    fingerprint,
    forget,
    is_run_folder,
    results_of,
    set_aside,
    summary,
    versions,
)
from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.paths import (
    UserError,
    atomic_write,
    checksum,
    course_root,
    is_portable,
    short,
    user_path,
    writable,
)
from galhelpers.profiles import get_profile, read_seed


def run_notebooks(
    names: Sequence[str] = (),
    profile: str = "quick",
    dataset: str = "simulated",
    data_root: str | Path = "",
    seed: int | str = 0,
    out: str | Path | None = None,
    folder: Path | None = None,
) -> int:
    """Execute notebooks in teaching order and write the report.

    Parameters
    ----------
    names : sequence of str
        ``"01"``, ``"01_votes"`` or ``"notebooks/01_votes.ipynb"``; none means all.
    profile, dataset, data_root, seed
        Passed to each notebook's ``parameters`` cell. An empty ``data_root`` leaves the default.
    out : path, optional
        Run folder: a new or empty one, or one of an earlier run. ``runs/<profile>-<dataset>`` in
        the course when not given, or in ``galhelpers`` in the home folder where nobody may write
        into the course.
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
    try:
        seed = read_seed(seed)
    except ValueError as error:
        raise UserError(str(error)) from None
    folder = folder or course_root() / "notebooks"
    notebooks = find_notebooks(names, folder)
    usual = Path("runs", f"{profile}-{dataset}")
    out = user_path(out) if out else writable(course_root() / usual, str(usual))
    out = Path(os.path.realpath(out))
    check_out(out, folder)
    parameters = {
        "profile": profile,
        "dataset": dataset,
        "data_root": relative_to(user_path(data_root), out / "notebooks") if data_root else "",
        "seed": seed,
        # Kernels work in <out>/notebooks: the folder can be moved, and holds no path of a machine.
        "out": "..",
    }
    for notebook in notebooks:
        check_parameters(notebook, parameters)
    _make_folder(out)
    with only_one(out / "run", "executes notebooks", wait=False):
        return _run_all(notebooks, parameters, out)


def find_notebooks(names: Sequence[str], folder: Path) -> list[Path]:
    """Notebook files for the given names, in teaching order, each once.

    Raises
    ------
    UserError
        For a name that fits none or several of the notebooks; lists the valid ones.
    """
    files = {file.stem: file for file in sorted(folder.glob("*.ipynb")) if _is_usable(file)}
    if not files:
        raise UserError(
            f"Expected notebooks (*.ipynb) in {short(folder)}, found none. "
            "Run the command from a complete copy of the course."
        )
    # A learner's own notebooks, and the copies that JupyterLab makes, lie beside those.
    course = [stem for stem in files if re.fullmatch(r"\d\d_\w+", stem)] or list(files)
    chosen = set()
    for name in names:
        wanted = Path(name).name.removesuffix(".ipynb")
        fits = [s for s in files if s == wanted]
        fits = fits or [s for s in course if s.startswith(f"{wanted}_")]
        if len(fits) != 1:
            raise UserError(
                f"There is no notebook {public(repr(name), 100)}. Expected one of: "
                f"{', '.join(course)} (or its number: {', '.join(s[:2] for s in course)})."
            )
        chosen.add(fits[0])
    return [files[stem] for stem in sorted(chosen or course)]


def _is_usable(notebook: Path) -> bool:
    return notebook.is_file() and is_portable(notebook.stem)


def check_out(out: Path, folder: Path) -> None:
    """Refuse a run folder that holds what `galhelpers run` did not write; nothing is touched.

    Parameters
    ----------
    out : Path
        The run folder, without links in its path.
    folder : Path
        Where the notebooks to execute are.

    Raises
    ------
    UserError
        For the folder of the sources, a file, and a folder that holds something else.
    """
    try:
        sources = os.path.realpath(folder)
        if sources in (str(out), os.path.realpath(out / "notebooks")):
            raise UserError(
                f"Expected --out to be a folder for results, but {short(out)} holds the notebooks "
                "themselves, which the executed ones would replace. Choose another folder."
            )
        names = [place.name for place in out.iterdir()] if os.path.lexists(out) else []
        seen = sorted(name for name in names if not name.startswith("."))
        if seen and not is_run_folder(out):
            raise UserError(
                "Expected --out to be a new or an empty folder, or one of an earlier run, but "
                f"{short(out)} holds {public(', '.join(seen[:3]), 100)}"
                f"{' and more' if len(seen) > 3 else ''}. Choose another folder."
            )
        str(out).encode()  # papermill writes it into a file
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or "its name is not UTF-8"
        raise UserError(_no_folder(out, reason)) from None


def check_choices(profile: str, dataset: str, data_root: str | Path) -> None:
    """Refuse a profile or dataset the course does not know, and a data folder that is none.

    Raises
    ------
    UserError
        With the list of valid choices.
    """
    from galhelpers.data.manifest import UnknownDatasetError, load_manifest

    try:
        get_profile(profile)
        load_manifest().get(dataset)
    except (ValueError, UnknownDatasetError) as error:
        raise UserError(str(error)) from None
    place = user_path(data_root)
    if data_root and not (place.is_dir() and _is_utf8(place)):
        raise UserError(
            f"Expected --data-root to be a folder, but {public(data_root, 200)} is not. "
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
    import nbformat
    import papermill

    try:
        content = json.loads(notebook.read_text("utf-8"))
        if content["nbformat"] != 4:
            raise ValueError(f"format {content['nbformat']}; JupyterLab saves it as format 4")
        nbformat.validate(content)
        declared = papermill.inspect_notebook(_literal(notebook))
    except Exception as error:  # they raise several kinds for a damaged file
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
    if state.problem:
        print(f"note: {state.problem}", flush=True)
    for noisy in ("papermill", "asyncio"):  # they would say again what we say in one line
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    for number, notebook in enumerate(notebooks, start=1):
        name = notebook.stem
        print(f"[{number}/{len(notebooks)}] {name}", flush=True)
        mark, before = fingerprint(notebook, parameters), state.runs.get(name)
        if before and state.is_done(name, mark):
            lost = damaged(before, out)
            if not lost:
                print(f"      unchanged, done before ({summary(before)})", flush=True)
                continue
            print(f"      runs again: {lost[0]} is missing or not as it was written", flush=True)
        run = NotebookRun(name, "running", mark, parameters, this_machine, versions())
        if kept := forget(name, before, out):
            print(f"      kept, since this command did not write it: {', '.join(kept)}", flush=True)
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
    print(f"Report: {public(shown)}", flush=True)
    return 1 if failed else 0


def _execute(notebook: Path, run: NotebookRun, out: Path) -> None:
    """Execute a notebook; fill in the status, the time, the memory and the error of ``run``."""
    import papermill
    from nbclient.exceptions import DeadKernelError

    from galhelpers.course.kernel import PeakMemory, last_words, this_interpreter

    partial, ipython_dir = out / "notebooks" / ".running.ipynb", out / ".ipython"
    memory, start = PeakMemory(), time.monotonic()
    failed, networks = f"{run.name} failed", _checkpoints(out)
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
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
        what = f"{public(error.ename, 100)}: {_first_line(error.evalue)}".rstrip(": ")
        run.status, run.error = "failed", f"{failed} in cell {error.exec_count}: {what}"
    except DeadKernelError:
        what = "the notebook's Python process ended by itself; often the memory was not enough"
        if words := last_words(ipython_dir):
            what += f" (its last words: {_first_line(words)})"
        run.status, run.error = "failed", f"{failed} in cell {_last_started(partial)}: {what}"
    except Exception as error:  # the kernel did not start; what it gave cannot be written
        unstarted = isinstance(error, RuntimeError)
        words = (last_words(ipython_dir) if unstarted else "") or f"{type(error).__name__}: {error}"
        where = "before its first cell" if unstarted else f"in cell {_last_started(partial)}"
        run.status, run.error = "failed", f"{failed} {where}: {_first_line(words)}"
    finally:
        run.seconds, run.peak_memory = round(time.monotonic() - start, 1), memory.bytes
        run.finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        if run.status == "ok" or (run.status == "failed" and partial.is_file()):
            _keep(partial, run, out)
        partial.unlink(missing_ok=True)
        shutil.rmtree(ipython_dir, ignore_errors=True)
        run.results = {
            key: checksum(file)
            for key, file in results_of(run.name, out).items()
            if not (key in networks and networks[key] == file.stat().st_mtime_ns)
        }


def _checkpoints(out: Path) -> dict[str, int]:
    """Give the checkpoints that are there, with the time of their last change in nanoseconds."""
    files = results_of("", out).items()
    return {k: file.stat().st_mtime_ns for k, file in files if k.startswith("checkpoints/")}


def _keep(partial: Path, run: NotebookRun, out: Path) -> None:
    """Save an executed notebook without papermill's records, which hold paths of this machine."""
    import nbformat

    target = out / executed(run.name)
    try:
        notebook = nbformat.read(partial, as_version=4)
        notebook.metadata.pop("papermill", None)
        for cell in notebook.cells:
            cell.metadata.pop("papermill", None)
            cell.metadata.pop("execution", None)
        with atomic_write(target) as file:
            nbformat.write(notebook, file)
            if os.path.lexists(target):  # somebody saved it in JupyterLab meanwhile
                set_aside(target, out)
    except Exception as error:  # it raises several kinds for what cannot be read or written
        what = f"its notebook cannot be saved ({type(error).__name__}: {_first_line(str(error))})"
        run.error = f"{run.error or f'{run.name} failed'}; {what}"
        run.status = "failed"


def _last_started(partial: Path) -> int:
    """Give the number of the code cell that was running when a notebook was last saved."""
    try:
        code = [c for c in json.loads(partial.read_text("utf-8"))["cells"] if "outputs" in c]
        times = [c["metadata"].get("papermill", {}).get("start_time") for c in code]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 1
    return max((number for number, time in enumerate(times, start=1) if time), default=1)


def _literal(path: Path) -> str:
    """Protect braces, which papermill would take for placeholders."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _first_line(text: str) -> str:
    line = next(iter(text[:10_000].strip().splitlines()), "")
    home = os.path.expanduser("~")  # noqa: PTH111 - Path.home() raises where there is none
    return public(line.replace(home, "~") if len(home) > 1 else line, 300)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(_no_folder(out, error.strerror)) from None


def _no_folder(out: Path, reason: str | None) -> str:
    return (
        f"Expected --out to be a folder that can be written, but {public(out, 200)} cannot be used "
        f"({reason}). Choose another folder."
    )


def _is_utf8(path: Path) -> bool:
    return str(path) == str(path).encode("utf-8", "replace").decode()
