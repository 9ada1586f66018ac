"""Plain papermill, nbconvert and the course's own commands: one notebook, from another folder."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

PARAMETERS = """profile: str = "quick"
dataset: str = "simulated"
data_root: str = ""
seed: int = 0
out: str = ""
"""
LESSON = """from galhelpers.course.lesson import Lesson

lesson = Lesson("01_small", profile, dataset, data_root, seed, out)
seed = lesson.seed
galaxies = lesson.simulated(n=3, size=16)
lesson.record("seed doubled", 2 * seed, n=len(galaxies))
"""
RUN = """
import sys
from pathlib import Path
from galhelpers.course.run import run_notebooks
sys.exit(run_notebooks(folder=Path(sys.argv[1]), out=sys.argv[2]))
"""
BIN = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in (PARAMETERS, LESSON)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
    for name in ("notebooks", "elsewhere", "home"):
        (tmp_path / name).mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "01_small.ipynb")
    return tmp_path / "home"


def command(home, *words):
    """Run a command in a folder of its own; ``~/gdata`` holds the data."""
    environment = os.environ | {
        "HOME": str(home), "USERPROFILE": str(home),
        "GALHELPERS_DATA": "~/gdata", "GALHELPERS_OUT": "~/results",
    }  # fmt: skip
    done = subprocess.run(
        words, cwd=home.parent / "elsewhere", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def galaxies(home):
    """Give the folders of simulated galaxies, wherever below the test's folder they are."""
    folders = {file.parent.parent for file in home.parent.rglob("*.jpg")}
    return [folder.relative_to(home).as_posix() for folder in sorted(folders)]


def test_papermill_with_text_for_a_number(home):
    notebook = str(home.parent / "notebooks" / "01_small.ipynb")
    given = ["-r", "seed", "1", "-p", "out", "~/of papermill", "-p", "data_root", "~/own"]
    command(home, str(BIN / "papermill"), notebook, "executed.ipynb", *given)
    metrics = (home / "of papermill" / "metrics" / "01_small.json").read_text()
    assert '"value": 2.0' in metrics
    assert '"seed": 1' in metrics
    (folder,) = galaxies(home)
    assert folder.startswith("own/simulated/")


def test_nbconvert_and_the_commands_share_one_data_folder(home):
    notebooks = home.parent / "notebooks"
    galhelpers = [sys.executable, "-m", "galhelpers"]
    command(home, *galhelpers, "fetch", "simulated", "--n", "3", "--size", "16")
    fetched = galaxies(home)
    assert fetched[0].startswith("gdata/simulated/")
    nbconvert = [str(BIN / "jupyter"), "nbconvert", "--execute", "--to", "notebook", "--output-dir"]
    command(home, *nbconvert, ".", str(notebooks / "01_small.ipynb"))
    assert (home / "results" / "metrics" / "01_small.json").is_file()
    command(home, sys.executable, "-c", RUN, str(notebooks), str(home / "run"))
    assert (home / "run" / "metrics" / "01_small.json").is_file()
    assert galaxies(home) == fetched
