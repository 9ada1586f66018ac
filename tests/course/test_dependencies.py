"""What decides whether a notebook runs again, on a copy of the course that is then changed."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest

from galhelpers.course.dependencies import dependencies, digest

EXERCISE = '''"""Exercises."""

from galhelpers.learning import metrics

QUESTION = "What is an answer?"


def check(given):
    """Say whether an answer is right."""
    return given == metrics.__name__
'''


@pytest.fixture(scope="module")
def copy(course, tmp_path_factory):
    """Copy what a notebook can depend on."""
    root = tmp_path_factory.mktemp("course")
    for name in ("galhelpers", "notebooks", "docs"):
        shutil.copytree(course / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in course.glob("*.yaml"):
        shutil.copy(file, root)
    for number in ("04", "06"):
        (root / "galhelpers" / "exercises" / f"n{number}_of_a_test.py").write_text(EXERCISE)
        questions = root / "galhelpers" / "exercises" / "questions"
        questions.mkdir(exist_ok=True)
        (questions / f"{number}.yaml").write_text("predictions: [] # of a test")
    return root


def change(file, old, new):
    text = file.read_text("utf-8")
    assert old in text, file
    file.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "reruns"),
    [
        ("galhelpers/learning/training.py", "def fit(", "def fit_network(", True),
        ("galhelpers/learning/training.py", "# a copy", "# a full copy", False),
        ("galhelpers/learning/training.py", '"""The ', '"""A ', False),
        ("galhelpers/learning/training.py", "def fit(", "def fit((", True),  # no Python any more
        ("galhelpers/survey/render.py", "def render(", "def draw(", True),  # two imports away
        ("galhelpers/learning/active.py", "def ", "def new_", False),
        ("galhelpers/course/run.py", "def ", "def new_", False),
        ("galhelpers/course/report.html", "h1", "h2", False),
        ("galhelpers/views/classify.css", "{", "{ ", True),
        ("data_manifest.yaml", "gz2_five_class", "gz2_six_class", True),
        ("published.yaml", "kaggle_central_pixel", "kaggle_border_pixel", False),
        ("docs/results/transfer.json", "{", "{ ", False),
        ("galhelpers/exercises/n04_of_a_test.py", "What is an answer?", "What is it?", False),
        ("galhelpers/exercises/n04_of_a_test.py", "given == ", "given is ", True),
        ("galhelpers/exercises/n06_of_a_test.py", "given == ", "given is ", False),
        ("galhelpers/exercises/questions/04.yaml", "predictions", "quiz", True),
        ("galhelpers/exercises/questions/06.yaml", "predictions", "quiz", False),
    ],
)
def test_what_makes_notebook_04_run_again(copy, file, old, new, reruns):
    notebook = copy / "notebooks" / "04_baselines.ipynb"
    before = digest(notebook, copy)
    assert digest(notebook, copy) == before
    whole = (copy / file).read_bytes()
    change(copy / file, old, new)
    try:
        assert (digest(notebook, copy) != before) == reruns
    finally:
        (copy / file).write_bytes(whole)


def test_data_files_are_found_by_their_name_in_the_code(course):
    named = {
        number: {
            file.relative_to(course).as_posix()
            for file in dependencies(next((course / "notebooks").glob(f"{number}_*")))
            if file.suffix != ".py"
        }
        for number in ("01", "06", "10")
    }
    assert "galhelpers/trees.yaml" in named["01"] & named["06"] & named["10"]
    assert {"published.yaml", "docs/results/three_networks.json"} <= named["06"]
    assert {"published.yaml", "docs/results/transfer.json"} <= named["10"]
    assert not any(name.startswith("docs/") for name in named["01"])


def write_notebook(path, *sources):
    """Write a notebook with magics and a cell that is no Python; they must not stop the search."""
    parameters = "profile = ''\ndataset = ''\ndata_root = ''\nseed = 0\nout = ''"
    cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "x", "language": "python"}
    nbformat.write(notebook, path)


def test_magics_and_relative_imports_are_understood(tmp_path):
    package = tmp_path / "galhelpers"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    from . import b")
    (package / "b.py").write_text("import galhelpers.c as c")
    (package / "c.py").write_text("from .d import x")
    (package / "d.py").write_text("x = 1")
    (package / "e.py").write_text("")
    cells = ["%timeit 1\nfrom galhelpers.a import f", "import (", "from .e import x"]
    write_notebook(tmp_path / "01_a.ipynb", *cells)  # the last two cannot run
    found = [file.name for file in dependencies(tmp_path / "01_a.ipynb", tmp_path)]
    assert found == ["__init__.py", "a.py", "b.py", "c.py", "d.py"]


def test_the_runner_skips_what_has_not_changed(copy):
    shutil.rmtree(copy / "notebooks")
    (copy / "notebooks").mkdir()
    write_notebook(copy / "notebooks" / "01_a.ipynb", "from galhelpers.profiles import PROFILES")
    write_notebook(copy / "notebooks" / "04_b.ipynb", "from galhelpers.trees import TREES")

    def run():
        command = [sys.executable, "-m", "galhelpers", "run"]
        environment = os.environ | {"PYTHONPATH": str(copy)}
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return [line.split()[0] for line in done.stdout.splitlines() if line.startswith("   ")]

    assert run() == ["ok", "ok"]
    change(copy / "galhelpers" / "learning" / "active.py", "def ", "def new_")
    change(copy / "galhelpers" / "exercises" / "n04_of_a_test.py", "What is", "What would be")
    assert run() == ["unchanged,", "unchanged,"]
    change(copy / "galhelpers" / "trees.py", "import numpy", "import re\nimport numpy")
    assert run() == ["unchanged,", "ok"]
