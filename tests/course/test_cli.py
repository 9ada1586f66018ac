"""The command line: exit codes, and errors in one paragraph."""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from galhelpers.course.cli import COMMANDS, main
from galhelpers.data.manifest import load_manifest


def run(capsys, *arguments):
    code = main(arguments)
    streams = capsys.readouterr()
    return code, streams.out, streams.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "required: COMMAND"),
        (["walk"], "invalid choice: 'walk' (choose from "),
        (["run", "--sede", "3"], "Unknown argument --sede. Options of galhelpers run: "),
        (["run", "--prof", "quick"], "--profile, --dataset, --data-root, --seed, --out"),
        (["run", "--seed", "x"], "from 0 to 4294967295, got 'x'"),
        (["run", "--profile", "fast"], "quick, full, paper"),
        (["run", "--dataset", "sdss"], "simulated, gz2_five_class, kaggle_galaxy_zoo"),
        (["run", "99"], "no notebook '99'"),
        (["fetch"], "required: NAME"),
        (["fetch", "simulated", "--count", "3"], "--n, --telescope, --size, --balanced"),
        (["fetch", "simulated", "--n", "0"], "Expected n of 1 or more, got 0."),
        (["fetch", "simulated", "--n", "many"], "--n: invalid int value: 'many'"),
        (["fetch", "simulated", "--seed", "-1"], "from 0 to 4294967295, got '-1'"),
        (["fetch", "simulated", "--size", "15"], "Expected size of 16 or more, got 15."),
        (["fetch", "simulated", "--telescope", "keck"], "'decals', 'des', 'hst', 'sdss'"),
        (["fetch", "sdss"], "Valid datasets: simulated, gz2_five_class, kaggle_galaxy_zoo, "),
        (["datasets", "gz3"], "Valid datasets: simulated, gz2_five_class, "),
        (["networks", "nobody"], "There is no trained network 'nobody'. "),
        (["predict", "nobody", "b", "--out", "c.csv"], "'nobody' is neither. "),
        (["predict", "a.safetensors", "b"], "required: --out"),
        (["predict", "a.safetensors", "b", "--out", "c.txt"], "end in .parquet or .csv"),
        (["predict", "a.safetensors", "b", "--out", "c.csv"], "no such file"),
    ],
)
def test_a_wrong_command_gives_one_paragraph_and_status_2(
    capsys, monkeypatch, tmp_path, course, arguments, expected
):
    if "99" in arguments and not any((course / "notebooks").glob("*.ipynb")):
        pytest.skip("the course has no notebooks yet")
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("galhelpers: ")
    assert expected in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_option_knows_the_home_folder(capsys, monkeypatch, tmp_path):
    """A shell leaves "~" alone in quotes and after "=": each file here is refused by its place."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file.csv").write_text("mine")
    (tmp_path / "p.csv").mkdir()
    for arguments, expected in (
        (["run", "--out=~/taken"], "file.csv"),
        (["run", "--data-root=~/taken", "--out=~/taken"], "holds file.csv"),
        (["run", "--data-root=~/taken/file.csv"], "to be a folder"),
        (["predict", "~/a.safetensors", "~/images", "--out=~/p.csv"], "is a folder"),
        (["predict", "~/taken/file.csv", "~/images", "--out=~/q.csv"], "file of another kind"),
        (["predict", "~/a", "~/taken/file.csv", "--out=~/taken/file.csv"], "that is read"),
        (["fetch", "simulated", "--n", "1", "--data-root=~/taken/file.csv"], "Not a dir"),
        (["fetch", "sdss_cutouts", "--catalog=~/taken/file.csv"], "file.csv should"),
    ):
        assert run(capsys, *arguments)[0] in (1, 2)
        assert expected in run(capsys, *arguments)[2], arguments


def test_datasets_lists_size_licence_and_what_is_here(capsys, monkeypatch, tmp_path):
    (tmp_path / "gz2_five_class").mkdir()
    (tmp_path / "gz2_five_class" / "a.jpg").write_bytes(b"")
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path))
    code, out, _ = run(capsys, "datasets")
    assert code == 0
    table, hints = out.split("\n\n")
    head, *rows = table.splitlines()
    assert head.split() == ["name", "galaxies", "size", "needs", "here", "what"]
    # The columns stand under each other: every cell begins where its heading does.
    here = {row.split()[0]: row[head.index("here") :].split()[0] for row in rows}
    assert list(here) == load_manifest().names
    assert here["simulated"] == "always"
    assert here["gz2_five_class"] == "1"
    assert here["kaggle_galaxy_zoo"] == "no"
    assert max(map(len, table.splitlines())) <= 130
    assert "galhelpers fetch NAME" in hints


def test_datasets_tells_all_about_one(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path))
    code, out, _ = run(capsys, "datasets", "kaggle_galaxy_zoo")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("kaggle_galaxy_zoo: ")
    for label in ("from", "size", "labels", "licence", "TERMS", "file", "by hand", "cite", "here"):
        assert sum(line.startswith(f"  {label} ") for line in lines) == 1, label
    assert max(map(len, lines)) <= 100
    for name in load_manifest().names:
        assert run(capsys, "datasets", name)[0] == 0


def test_the_module_is_the_command_and_starts_without_torch():
    script = "import sys, runpy; sys.argv = ['galhelpers', 'run', '--help']\n"
    script += "try: runpy.run_module('galhelpers', run_name='__main__')\n"
    script += "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("usage: galhelpers run")
    assert done.stdout.endswith("0 False\n")


def test_fetch_makes_the_simulated_survey_and_says_what_is_there(capsys, tmp_path):
    command = ["fetch", "simulated", "--data-root", str(tmp_path), "--n", "6", "--seed", "3"]
    command += ["--telescope", "decals", "--size", "32", "--balanced"]
    code, out, _ = run(capsys, *command)
    assert code == 0
    (folder,) = (tmp_path / "simulated").iterdir()
    assert folder.name.endswith("-n6-seed3-decals-32px-balanced")
    assert str(folder) in out
    assert "6, seen by decals, pictures of 32 x 32 px\n" in out
    listed = [line.split(":")[0].split()[-1] for line in out.splitlines() if ".csv" in line]
    listed[0] = "training_solutions_rev1.csv"
    assert sorted(listed) == sorted(file.name for file in folder.glob("*.csv"))
    assert "Willett" in out.partition("cite:")[2]
    made = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    code, again, _ = run(capsys, *command)
    assert code == 0
    assert made == {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    assert again.splitlines()[:3] == out.splitlines()[:3]


def test_fetch_onto_a_file_fails_without_a_traceback(capsys, tmp_path):
    (tmp_path / "simulated").write_text("in the way")
    code, out, err = run(capsys, "fetch", "simulated", "--n", "2", "--data-root", str(tmp_path))
    assert (code, out) == (2, "")
    assert err.startswith("galhelpers: ")
    assert "simulated" in err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_a_terminal_that_closes_interrupts_and_under_nohup_nothing_does(tmp_path):
    program = "import os, signal; from galhelpers.course import cli\ncli._end_politely()\n"
    program += "try: os.kill(os.getpid(), signal.SIGHUP); print('goes on')\n"
    program += "except KeyboardInterrupt: print('interrupted')"
    for before, said in ([], "interrupted\n"), (["nohup"], "goes on\n"):
        command = [*before, sys.executable, "-c", program]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert done.stdout == said


def test_a_mistake_of_the_program_is_one_paragraph_with_its_place(capsys, monkeypatch):
    def mistaken(_):
        raise KeyError("\x1b[31m")

    monkeypatch.setitem(COMMANDS, "datasets", mistaken)
    code, _, err = run(capsys, "datasets")
    assert code == 1
    assert re.search(r"test_cli\.py, line \d+: KeyError", err)
    assert err.strip().isprintable()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_of_a_full_disk_it_is_said_what_to_do(capsys, monkeypatch):
    def write(arguments):
        with Path("/dev/full").open("w") as full:
            full.write("x")

    monkeypatch.setitem(COMMANDS, "doctor", write)
    assert main(["doctor"]) == 1
    assert "disk is full" in (said := capsys.readouterr().err)
    assert "Make room" in said


def test_help_is_there_also_where_python_drops_docstrings():
    command = [sys.executable, "-OO", "-m", "galhelpers", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert "classify images" in done.stdout


def test_no_module_takes_the_place_of_what_notebooks_import():
    """Importing ``galhelpers.course.NAME`` sets the attribute NAME of the package."""
    import galhelpers.course

    modules = {module.name for module in pkgutil.iter_modules(galhelpers.course.__path__)}
    assert not modules & set(galhelpers.course.__all__)
