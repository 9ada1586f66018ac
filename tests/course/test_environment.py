"""Where a command runs: without a home, read-only, with odd streams, little memory, text for all.

Each test starts the real command as a process, in a course of its own with one small notebook.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from galhelpers.course.kernel import kernel_environment
from galhelpers.course.lesson import Lesson
from galhelpers.paths import PLACES, UserError, default_data_root, user_path, writable

PARAMETERS = """profile: str = "quick"
dataset: str = "simulated"
data_root: str = ""
seed: int = 0
out: str = ""
"""
PLACES_OF = """
from galhelpers.paths import default_data_root, default_out, image_cache
for place in (default_data_root(), image_cache(), default_out()):
    print(place)
"""
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="namespaces are Linux's")


@pytest.fixture
def small_course(course, tmp_path):
    """A course folder of its own, with the real package and one notebook."""
    home = tmp_path / "course"
    shutil.copytree(
        course / "galhelpers", home / "galhelpers", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("data_manifest.yaml", "published.yaml"):
        shutil.copy(course / name, home)
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, PLACES_OF)]
    cells.append(nbformat.v4.new_code_cell("raise ValueError('no')"))
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
    (home / "notebooks").mkdir()
    nbformat.write(notebook, home / "notebooks" / "01_fails.ipynb")
    return home


def command(*words, course=None, before=(), cwd=None, shell="", **environment):
    """Run ``galhelpers`` as a process; ``None`` takes a variable away."""
    where = str(course) if course else os.pathsep.join(filter(None, sys.path))
    all_variables = os.environ | {"PYTHONPATH": where, "GALHELPERS_DATA": None} | environment
    variables = {name: value for name, value in all_variables.items() if value is not None}
    program = [*before, sys.executable, "-m", "galhelpers", *words]
    if shell:
        program = ["sh", "-c", shell, "sh", *program]
    return subprocess.run(
        program, cwd=cwd or course, env=variables, capture_output=True, text=True, errors="replace",
        stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip


def stranger():
    """Words that start a program as a user without a name, whom permissions bind."""
    unshare = ["unshare", "--user", "--map-user=54321"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this system makes no namespaces")
    return unshare


@pytest.fixture
def read_only(small_course):
    """The course as a class server has it."""
    folders = [small_course, *(p for p in small_course.rglob("*") if p.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield small_course
    for folder in folders:
        folder.chmod(0o755)


# Home folder ----------------------------------------------------------------------------------


@linux
def test_a_user_without_home_and_name_gets_one_line_and_the_rest_goes_on(small_course, tmp_path):
    who = {"course": small_course, "before": stranger(), "HOME": None, "TMPDIR": str(tmp_path)}
    done = command("run", "--out", str(tmp_path / "run"), **who)
    assert done.returncode == 1
    assert done.stderr == f"{done.stderr.splitlines()[0]}\n"
    assert str(tmp_path / "galhelpers-54321") in done.stderr
    assert "01_fails failed in cell 4: ValueError: no" in done.stdout
    assert (tmp_path / "run" / "index.html").is_file()
    assert not (small_course / "~").exists()
    for words, environment in [
        (["run", "--out", "~/x"], {}),
        (["datasets"], {"GALHELPERS_DATA": "~/x"}),
    ]:
        done = command(*words, **who, **environment)
        assert (done.returncode, done.stdout) == (2, "")
        assert "'~/x'" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


@linux
def test_a_home_that_cannot_be_written_still_is_what_a_tilde_means(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o555)
    program = "from galhelpers.paths import ensure_home, user_path; import os; ensure_home(); "
    program += "print(user_path('~/x'), os.environ['HOME'])"
    environment = os.environ | {"HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [*stranger(), sys.executable, "-c", program],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [
        str(tmp_path / "home" / "x"), str(tmp_path / "galhelpers-54321"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["~nosuchuser/x", "a\0b"])
def test_a_path_that_is_none_is_one_line(monkeypatch, text):
    with pytest.raises(UserError, match="Expected a path"):
        user_path(text)
    with pytest.raises(UserError, match="Expected a path"):
        Lesson("01_votes", "quick", "simulated", text, 0, "")
    with pytest.raises(UserError, match="Expected a path"):
        Lesson("01_votes", "quick", "simulated", "", 0, text)
    if "\0" not in text:
        for name in PLACES:
            monkeypatch.setenv(name, text)
        with pytest.raises(UserError, match="nosuchuser"):
            default_data_root()


def test_a_variable_means_one_place_for_a_command_and_its_kernels(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    for text, place in (("gdata", "gdata"), ("~/gdata", "home/gdata")):
        for name in PLACES:
            monkeypatch.setenv(name, text)
        for name in PLACES:
            found = kernel_environment(tmp_path / "ipython")[name]
            assert Path(found) == tmp_path / place
        assert default_data_root().absolute() == tmp_path / place


# Folders that cannot be written ---------------------------------------------------------------


@linux
def test_a_read_only_course_writes_into_the_home_and_says_so(read_only, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    done = command("run", course=read_only, before=stranger(), HOME=str(home))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    own = home / "galhelpers"
    assert str(own / "runs" / "quick-simulated") in line
    assert f"Report: {own / 'runs' / 'quick-simulated' / 'index.html'}" in done.stdout
    notebook = nbformat.read(own / "runs/quick-simulated/notebooks/01_fails.ipynb", as_version=4)
    printed = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", []))
    for place in (read_only / "data", own / "data" / "cache", own / "runs" / "interactive"):
        assert str(place) in printed.splitlines()
    program = "from galhelpers.course.doctor import check_caches; print(check_caches())"
    environment = os.environ | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": ""}
    environment["GALHELPERS_DATA"] = ""
    done = subprocess.run(
        [*stranger(), sys.executable, "-c", program],
        cwd=read_only, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "verdict='note'" in done.stdout
    assert str(own / "data" / "cache") in done.stdout
    assert str(own / "runs" / "interactive") in done.stdout


def test_a_folder_that_cannot_be_made_gets_another_and_one_line(monkeypatch, tmp_path, capsys):
    """A file stands where the folder should be: that stops a superuser too."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "data").write_text("in the way")
    for _ in range(2):
        assert writable(tmp_path / "data" / "cache", "data/cache") == (
            tmp_path / "home" / "galhelpers" / "data" / "cache"
        )
    assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "new").mkdir()
    assert writable(tmp_path / "new" / "a" / "b", "x") == tmp_path / "new" / "a" / "b"
    assert not (tmp_path / "new" / "a").exists()
    assert capsys.readouterr().err == ""


def test_a_survey_in_a_folder_that_cannot_be_written_is_read_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    lesson = Lesson("01_votes", "quick", "simulated", str(tmp_path / "data"), 0, str(tmp_path))
    assert lesson.simulated(n=2, size=16).files[0].is_relative_to(tmp_path / "data")
    monkeypatch.setattr("galhelpers.paths.refusal", lambda folder: "Read-only file system")
    assert lesson.simulated(n=2, size=16).files[0].is_relative_to(tmp_path / "data")


# Streams, folder, memory ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
@pytest.mark.parametrize(
    ("shell", "status"),
    [
        ('"$@" | head -1', 0),
        ('"$@" | true', 0),
        ('"$@" >&-', 0),
        ('"$@" >&- 2>&- <&-', 0),
        ('"$@" <&-', 0),
        ('test -e /dev/full || exit 1; "$@" >/dev/full', 1),
        ('cd "$(mktemp -d)" && rmdir "$PWD" && "$@"', 2),
        ('COLUMNS=1 TERM= "$@"', 0),
    ],
)
def test_odd_streams_and_folders_end_without_a_traceback(shell, status):
    done = command("datasets", shell=shell)
    assert done.returncode == status
    assert len(done.stderr.splitlines()) == (1 if status else 0)


@pytest.mark.parametrize(
    "words",
    [
        ["datasets"],
        ["datasets", "kaggle_galaxy_zoo"],
        ["datasets", "é\x1b[31m"],
        ["run", "--out", "é\udcff", "\x1b]0;x\x07ü"],
        ["fetch", "ü"],
        ["predict", "g\udcff", "é", "--out", "ü.csv"],
    ],
)
def test_every_text_can_be_printed_in_ascii(words, tmp_path):
    done = command(*words, cwd=tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert done.stdout.isascii()
    assert done.stderr.isascii()
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


@linux
@pytest.mark.parametrize("kilobytes", [60_000, 120_000])
def test_too_little_memory_is_one_line(kilobytes):
    done = command("datasets", shell=f'ulimit -v {kilobytes}; "$@"')
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "memory" in done.stderr


def test_published_values_that_cannot_be_read_stop_nothing(small_course, tmp_path):
    (small_course / "published.yaml").write_text("groups: [{date: 2020-99-99}]")
    done = command("run", "--out", str(tmp_path / "run"), course=small_course)
    assert (done.returncode, done.stderr) == (1, "")
    assert "01_fails failed in cell 4: ValueError: no" in done.stdout
    assert "published.yaml is not valid YAML" in (tmp_path / "run" / "index.html").read_text()
