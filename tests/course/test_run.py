"""The runner, on tiny notebooks that start real kernels."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from galhelpers.course.run import check_parameters, find_notebooks, relative_to, run_notebooks
from galhelpers.course.state import MARK, NotebookRun, State, fingerprint
from galhelpers.locks import only_one
from galhelpers.paths import UserError

PARAMETERS = """profile: str = "quick"
dataset: str = "simulated"
data_root: str = ""
seed: int = 0
out: str = ""
"""


def write_notebook(path: Path, *sources: str, parameters: str = PARAMETERS) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    # A kernel of this name is offered by JUPYTER_PATH below, and must not be used.
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def outputs(notebook: Path) -> str:
    cells = nbformat.read(notebook, as_version=4).cells
    return "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One run of a good notebook, a failing one, a dying one and another good one."""
    base = tmp_path_factory.mktemp("course {x}")  # braces are placeholders to papermill
    folder = base / "notebooks"
    write_notebook(
        folder / "01_good.ipynb",
        "import os, sys; print(sys.executable); print(os.getcwd()); print(data_root, seed)\n"
        "print(os.environ['GOMP_SPINCOUNT'])",
        "from pathlib import Path\n"
        "from galhelpers.course.results import write_metrics\n"
        "facts = {'n': 8, 'published': 'kaggle_central_pixel'}\n"
        "write_metrics(Path(out), '01_good', [{'name': 'accuracy', 'value': 0.5} | facts])",
    )
    write_notebook(folder / "02_fails.ipynb", "1 + 1", "raise ValueError('the sky\\nfell')")
    write_notebook(folder / "03_dies.ipynb", "1 + 1", "import os; os._exit(3)")
    write_notebook(
        folder / "04_good.ipynb",
        "import time; block = bytearray(300_000_000); time.sleep(1)",
    )
    data = base / "data"
    data.mkdir()
    foreign = base / "jupyter" / "kernels" / "python3"
    foreign.mkdir(parents=True)
    spec = {"argv": ["no-such-program"], "display_name": "x", "language": "python"}
    (foreign / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch, subprocess_output(base / "log") as log:
        patch.setenv("JUPYTER_PATH", str(base / "jupyter"))
        patch.setenv("GOMP_SPINCOUNT", "1234")  # settings of threads must reach the kernel
        code = run_notebooks(folder=folder, out=base / "run", data_root=data, seed=7)
    return {"folder": folder, "out": base / "run", "data": data, "code": code, "log": log}


class subprocess_output:  # noqa: N801 - used like contextlib's functions
    """Collect all that this process and its children write; capsys does not see the children."""

    def __init__(self, file: Path):
        self.file, self.text = file, []

    def __enter__(self):
        sys.stdout.flush()
        self.saved = os.dup(1), os.dup(2)
        self.stream = self.file.open("w")
        os.dup2(self.stream.fileno(), 1)
        os.dup2(self.stream.fileno(), 2)
        self.python = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = self.stream
        return self.text

    def __exit__(self, *exc):
        sys.stdout, sys.stderr = self.python
        self.stream.close()
        for number, saved in enumerate(self.saved, start=1):
            os.dup2(saved, number)
            os.close(saved)
        self.text += self.file.read_text().splitlines()


def test_failures_are_one_line_and_stop_nothing(ran):
    assert ran["code"] == 1
    log = ran["log"]
    assert log[0] == "[1/4] 01_good"
    assert log[1].startswith("      ok ")
    assert "      02_fails failed in cell 4: ValueError: the sky" in log
    dies = next(line for line in log if "03_dies failed in cell" in line)
    assert "03_dies failed in cell 4: the notebook's Python process ended by itself" in dies
    assert log[-4] == "[4/4] 04_good"
    assert log[-3].startswith("      ok ")
    assert log[-1].startswith("Report: ")
    assert not any("Traceback" in line or "IPKernelApp" in line for line in log)
    runs = State.load(ran["out"]).runs
    assert [r.status for r in runs.values()] == ["ok", "failed", "failed", "ok"]


def test_the_kernel_is_this_interpreter_in_the_run_folder(ran):
    said = outputs(ran["out"] / "notebooks" / "01_good.ipynb").splitlines()
    executable, folder, values, spins = said
    assert spins == "1234"
    assert Path(executable) == Path(sys.executable)
    assert Path(folder) == (ran["out"] / "notebooks").resolve()
    assert values == "../../data 7"  # nothing of this machine, wherever the folder is moved


def test_executed_notebooks_hold_no_record_of_the_machine(ran):
    for file in (ran["out"] / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(file, as_version=4)
        cells = [cell.metadata for cell in notebook.cells]
        metadata = json.dumps([notebook.metadata, cells])
        assert "papermill" not in notebook.metadata
        assert str(ran["out"].parent) not in metadata
        assert not any("execution" in cell or "papermill" in cell for cell in cells)
    left = {path.name for path in ran["out"].iterdir()}
    assert left - {".run.lock", MARK} == {
        "notebooks", "metrics", "state.json", "results.json", "index.html",
    }  # fmt: skip


def test_memory_and_time_are_of_the_kernel(ran):
    runs = State.load(ran["out"]).runs
    extra = runs["04_good"].peak_memory - runs["01_good"].peak_memory
    assert 250e6 < extra < 450e6
    assert runs["04_good"].seconds > 1


def test_results_and_report_are_there(ran):
    metrics = json.loads((ran["out"] / "results.json").read_text())["metrics"]
    assert [(m["notebook"], m["name"], m["value"]) for m in metrics] == [
        ("01_good", "accuracy", 0.5)
    ]
    page = (ran["out"] / "index.html").read_text()
    assert "02_fails failed in cell 4: ValueError: the sky" in page
    assert 'href="notebooks/01_good.ipynb"' in page


def test_a_second_run_repeats_only_what_is_needed(ran, capsys):
    write_notebook(ran["folder"] / "02_fails.ipynb", "1 + 1")
    before = (ran["out"] / "notebooks" / "01_good.ipynb").stat().st_mtime_ns
    names = ["04", "02_fails", "notebooks/01_good.ipynb"]
    arguments = {"folder": ran["folder"], "out": ran["out"], "data_root": ran["data"], "seed": 7}
    assert run_notebooks(names, **arguments) == 0
    log = capsys.readouterr().out
    assert "[1/3] 01_good\n      unchanged" in log
    assert "[2/3] 02_fails\n      ok" in log
    assert "[3/3] 04_good\n      unchanged" in log
    assert (ran["out"] / "notebooks" / "01_good.ipynb").stat().st_mtime_ns == before
    assert State.load(ran["out"]).runs["03_dies"].status == "failed"


def test_what_changes_a_fingerprint(tmp_path):
    notebook = write_notebook(tmp_path / "01_a.ipynb", "x = 1")
    parameters = {"profile": "quick", "seed": 0}
    first = fingerprint(notebook, parameters)
    content = nbformat.read(notebook, as_version=4)
    content.cells[1].outputs = [nbformat.v4.new_output("stream", text="hello")]
    content.cells[1].execution_count = 3
    nbformat.write(content, notebook)
    assert fingerprint(notebook, parameters) == first
    assert fingerprint(notebook, parameters | {"seed": 1}) != first
    content.cells[1].source = "x = 2"
    nbformat.write(content, notebook)
    assert fingerprint(notebook, parameters) != first


SCRIPT = """
import sys
from pathlib import Path
from galhelpers.course.run import run_notebooks
sys.exit(run_notebooks(folder=Path(sys.argv[1]), out=sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_an_interrupted_run_is_consistent_and_continues(tmp_path):
    folder, out = tmp_path / "notebooks", tmp_path / "run"
    write_notebook(folder / "01_quick.ipynb", "x = 1")
    waiting = "from pathlib import Path; import os, time\n"
    waiting += "Path('../pid').write_text(str(os.getpid())); time.sleep(60)"
    write_notebook(folder / "02_waits.ipynb", waiting)
    command = [sys.executable, "-c", SCRIPT, str(folder), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "pid").is_file() or not (out / "pid").read_text():
        assert time.monotonic() < deadline, "the second notebook never started"
        time.sleep(0.1)
    with pytest.raises(UserError, match=f"number {process.pid}"):
        run_notebooks(folder=folder, out=out)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopped in 02_waits" in stdout
    assert "Traceback" not in stderr
    assert not psutil.pid_exists(int((out / "pid").read_text()))
    runs = State.load(out).runs
    assert [run.status for run in runs.values()] == ["ok", "interrupted"]
    assert "02_waits was interrupted" in (out / "index.html").read_text()
    assert [f.name for f in (out / "notebooks").iterdir()] == ["01_quick.ipynb"]

    write_notebook(folder / "02_waits.ipynb", "x = 2")
    again = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert again.returncode == 0
    assert "[1/2] 01_quick\n      unchanged" in again.stdout
    assert "[2/2] 02_waits\n      ok" in again.stdout


def test_a_kernel_that_cannot_start_says_why(tmp_path, monkeypatch, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "ipykernel_launcher.py").write_text("raise ImportError('no luck')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb")
    assert run_notebooks(folder=tmp_path / "notebooks", out=tmp_path / "run") == 1
    assert "01_a failed before its first cell: ImportError: no luck" in capsys.readouterr().out


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb", "x = 1")
    out = tmp_path / "run"
    with only_one(out / "run", "tries"), pytest.raises(UserError, match=f"{os.getpid()}.*--out"):
        run_notebooks(folder=tmp_path / "notebooks", out=out)
    assert run_notebooks(folder=tmp_path / "notebooks", out=out) == 0


@pytest.mark.parametrize(
    "place",
    [
        ".",
        "notebooks",
        "theirs",
        "file",
        "file/x",
        "circle/x",
        "n" * 300,
        "link",
        "links",
        "earlier",
    ],
)
def test_a_folder_of_others_is_refused_before_anything_is_touched(tmp_path, monkeypatch, place):
    folder = tmp_path / "notebooks"
    write_notebook(folder / "01_a.ipynb", "answer = 42")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "state.json").write_text('{"of": "another program"}')
    (tmp_path / "file").write_text("mine")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "notebooks").symlink_to(folder)
    if place == "earlier":  # an earlier version ran into the folder of the course
        State({"01_a": NotebookRun("01_a", "ok", "", {}, {}, {})}).save(tmp_path)
        place = "."
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--out") as error:
        run_notebooks(folder=folder, out=place)
    assert "\n" not in str(error.value)
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}


def test_results_that_are_lost_are_made_again_and_a_learners_are_kept(tmp_path, capsys):
    folder, out = tmp_path / "notebooks", tmp_path / "run"
    record = "from pathlib import Path\nfrom galhelpers.course.results import write_metrics\n"
    record += "write_metrics(Path(out), '01_a', [{'name': 'x', 'value': 1}])"
    write_notebook(folder / "01_a.ipynb", record)

    def run(expected):
        assert run_notebooks(folder=folder, out=out) == 0
        assert expected in capsys.readouterr().out
        assert json.loads((out / "metrics" / "01_a.json").read_text())[0]["value"] == 1

    run("ok")
    answered = (out / "notebooks" / "01_a.ipynb").read_text().replace("'x'", "'my answer'")
    (out / "notebooks" / "01_a.ipynb").write_text(answered)
    run("unchanged")
    (out / "metrics" / "01_a.json").unlink()
    run("metrics/01_a.json")  # the line says what is missing
    kept = out / "kept" / "notebooks" / "01_a.ipynb"
    assert kept.read_text() == answered
    (out / "state.json").write_text('[{"name": "01_a", "status": "weird"}]')
    run("state.json")
    assert kept.read_text() == answered


HOSTILE = {
    "01_interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "02_exit": ("import sys; sys.exit(1)", "SystemExit: 1"),
    "03_escapes": (r"raise ValueError('\x1b]0;title\x07\x1b[2J http://me:w@host/x')", "//host/x"),
    "04_large": ("raise ValueError('x' * 10_000_000)", "xxx ..."),
    "05_half": (r"raise ValueError('\ud800')", "05_half failed"),
    "06_zero": ("x = '\0'", "06_zero failed"),
    "07_killed": ("import os; os.kill(os.getpid(), 9)", "ended by itself"),
    "08_state": ("open('../state.json', 'w').write('[{]')", "ok "),
    "09_folder": ("import shutil; shutil.rmtree('..')", "09_folder failed"),
    "10_good": ("for i in range(300_000): print(i)", "ok "),
}  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps open files, and has no kill -9")
def test_whatever_a_cell_does_is_one_line_and_the_others_run(tmp_path):
    for name, (source, _) in HOSTILE.items():
        write_notebook(tmp_path / "notebooks" / f"{name}.ipynb", source)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "notebooks"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()[1::2]
    for line, (name, (_, expected)) in zip(lines, HOSTILE.items(), strict=False):
        assert expected in line, name
        assert line.isprintable()
        assert len(line) < 400
    runs = State.load(tmp_path / "run").runs
    assert [run.status == "ok" for run in runs.values()] == [
        expected == "ok " for _, expected in HOSTILE.values()
    ]
    assert (tmp_path / "run" / "index.html").is_file()


DAMAGED = {
    "no JSON": "{",
    "empty": "",
    "format 3": '{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
    "no cells": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "a list": "[]",
    "deep": "[" * 100_000,
    "odd cell": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3]}',
    "empty but right": '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": []}',
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_notebook_is_named_before_anything_runs(tmp_path, what):
    (tmp_path / "01_a.ipynb").write_text(DAMAGED[what])
    with pytest.raises(UserError, match=r"01_a\.ipynb") as error:
        run_notebooks(folder=tmp_path, out=tmp_path / "run")
    assert len(str(error.value)) < 600
    assert str(error.value).isprintable()
    assert not (tmp_path / "run").exists()


def test_notebooks_of_a_learner_beside_those_of_the_course(tmp_path):
    for name in ("01_a", "01_a-Copy1", "Untitled", "02_b", "with a space", "\x1b[31m"):
        write_notebook(tmp_path / f"{name}.ipynb")
    (tmp_path / "03_folder.ipynb").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "04_pipe.ipynb")
    assert [f.stem for f in find_notebooks([], tmp_path)] == ["01_a", "02_b"]
    assert [f.stem for f in find_notebooks(["01", "Untitled"], tmp_path)] == ["01_a", "Untitled"]
    for name in ("03", "04_pipe", "with a space", "\x1b[31m"):
        with pytest.raises(UserError, match="01_a, 02_b") as error:
            find_notebooks([name], tmp_path)
        assert str(error.value).isprintable()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")
def test_a_run_in_another_container_is_refused(tmp_path):
    """The numbers of processes are other ones there, and the folder is the same."""
    write_notebook(tmp_path / "notebooks" / "01_a.ipynb", "x = 1")
    unshare = ["unshare", "--user", "--pid", "--fork", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this system makes no namespaces")
    command = [*unshare, sys.executable, "-c", SCRIPT, str(tmp_path / "notebooks")]
    with only_one(tmp_path / "run" / "run", "executes notebooks"):
        (tmp_path / "run" / ".run.lock").touch()
        os.utime(tmp_path / "run" / ".run.lock", (4e9, 4e9))  # a date in the future is nothing
        done = subprocess.run([*command, str(tmp_path / "run")], capture_output=True, text=True)
    assert f"number {os.getpid()}" in done.stderr
    assert not (tmp_path / "run" / "state.json").exists()
    assert run_notebooks(folder=tmp_path / "notebooks", out=tmp_path / "run") == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"seed": -1}, "0 to 4294967295.*-1"),
        ({"seed": 2**32}, "4294967296"),
        ({"seed": "1.5"}, "1.5"),
        ({"seed": True}, "True"),
        ({"out": "~no_such_user/x"}, "no_such_user"),
        ({"data_root": "~no_such_user/x"}, "no_such_user"),
        ({"profile": "\x1b[31m"}, "x1b.*quick"),
        ({"names": ["09"]}, "'09'.*01_a, 02_b"),
        ({"profile": "fast"}, "'fast'.*quick, full, paper"),
        ({"dataset": "sdss"}, "'sdss'.*simulated, gz2_five_class"),
        ({"data_root": "nowhere"}, "--data-root to be a folder, but nowhere"),
    ],
)
def test_unknown_choices_are_refused_before_anything_runs(tmp_path, arguments, expected):
    folder = tmp_path / "notebooks"
    write_notebook(folder / "01_a.ipynb")
    write_notebook(folder / "02_b.ipynb")
    with pytest.raises(UserError, match=expected):
        run_notebooks(**({"folder": folder, "out": tmp_path / "run"} | arguments))
    assert not (tmp_path / "run").exists()


def test_cells_that_cannot_be_parsed_have_a_fingerprint(tmp_path):
    marks = set()
    for source in ("(" * 5000 + ")" * 5000, "'\0'", "a = = 1", "%%%", "'\ud800'"):
        content = json.loads(write_notebook(tmp_path / "01_a.ipynb", "x").read_text())
        content["cells"][1]["source"] = source
        (tmp_path / "01_a.ipynb").write_text(json.dumps(content))
        marks.add(fingerprint(tmp_path / "01_a.ipynb", {}))
    assert len(marks) == 5


def test_unknown_parameters_are_refused(tmp_path):
    notebook = write_notebook(tmp_path / "01_a.ipynb", parameters="seed: int = 0\nsize: int = 1")
    check_parameters(notebook, {"seed": 1})
    with pytest.raises(UserError, match=r"sede.*seed, size"):
        check_parameters(notebook, {"sede": 1})
    notebook.write_text("{")
    with pytest.raises(UserError, match=r"01_a\.ipynb.*Python notebook"):
        check_parameters(notebook, {"seed": 1})


def test_names_and_paths(tmp_path):
    for name in ("02_b", "01_a", "10_c"):
        write_notebook(tmp_path / f"{name}.ipynb")
    assert [f.stem for f in find_notebooks([], tmp_path)] == ["01_a", "02_b", "10_c"]
    assert [f.stem for f in find_notebooks(["10", "01", "01_a"], tmp_path)] == ["01_a", "10_c"]
    with pytest.raises(UserError, match=r"'1'.*01_a, 02_b, 10_c"):
        find_notebooks(["1"], tmp_path)
    assert relative_to("", tmp_path) == ""
    assert relative_to(tmp_path / "a", tmp_path / "run" / "notebooks") == "../../a"
