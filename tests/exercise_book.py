"""Write notebooks/exercise_book.ipynb: every exercise that no unit has on its own pages.

A unit has its first three exercises in place; the book has the others, worded by the package, so
that both are always the same. It is executed when it is written.

    python -m tests.exercise_book --write
    python -m tests.exercise_book --check
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from galhelpers.exercises import exercises_of
from galhelpers.exercises.questions import units
from galhelpers.paths import atomic_write
from tests.tidy_notebooks import tidy

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
BOOK = NOTEBOOKS / "exercise_book.ipynb"
IN_PLACE = 3
HEAD = """\
# Exercise book: more to do on each unit

Each unit has three exercises on its pages, right after the idea that they are about. The others are
here, in the order of the units. None needs another, and no unit needs them: choose what you want to
be able to do.

Write your answer into the cell below a question and run it. The check says what it saw and what to
think about; it never tells the answer. `exercise("01.4").hint()` gives the first hint, then the
next; `exercise("01.4").solution()` shows one solution. An exercise in words has a model answer to
unfold: write yours first.

**If a check says that a name is not defined**, run the first code cell of this page again."""
SETUP = """\
from galhelpers.course import exercise  # first: it tells torch's threads how to wait
import numpy as np
import torch

np.set_printoptions(precision=4)  # short numbers, where you look at something yourself
torch.set_printoptions(precision=4)"""
# When to do them.
WHEN = {
    "01": "Do this one after section 1.5, with the thresholds of the five classes before you.",
    "02": "Do this one after section 2.8; it is the score by which the measurements there are "
    "compared.",
    "03": "Do them after the sections on the stretch (3.3), the frame (3.1) and augmentation "
    "(3.6), best on paper first: each is a few lines of geometry or arithmetic.",
    "04": "Do them after section 4.6. All are repairs of one published notebook, in the order in "
    "which a training meets its flaws; the last is about the score in its report.",
    "06": "Do them after section 6.5: they are the two parts of a solver that chooses its own "
    "steps, the estimate of its error and the rule for the next step.",
    "07": "Do 07.4 on paper, before or after 07.1; the others after section 7.6, with the tables "
    "of the paper before you.",
    "08": "Do the first one after section 8.2, as a step before exercise 08.1, and the second "
    "after section 8.6.",
    "09": "Do the first two after section 9.4, which is about intervals, and the other two after "
    "section 9.5, whose table they recompute.",
}


def title(unit: str) -> tuple[str, str]:
    """File name and title of a unit, up to the question that it asks."""
    (file,) = NOTEBOOKS.glob(f"{unit}_*.ipynb")
    first = nbformat.read(file, as_version=4).cells[0].source.splitlines()[0]
    return file.name, first.removeprefix("# ").split(":")[0]


def book() -> nbformat.NotebookNode:
    """Build the notebook, not executed."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell(HEAD, id="head"), v4.new_code_cell(SETUP, id="setup")]
    for unit in units():
        more = [one for one in exercises_of(unit) if int(one.id.split(".")[1]) > IN_PLACE]
        if not more:
            continue
        file, name = title(unit)
        when = f"Unit: [{name}]({file}). {WHEN[unit]}"
        cells.append(v4.new_markdown_cell(f"## {name}\n\n{when}", id=f"unit-{unit}"))
        for one in more:
            key = one.id.replace(".", "-")
            cells.append(v4.new_markdown_cell(one.markdown, id=f"question-{key}"))
            if one.cell:
                tags = {"tags": ["exercise"]}
                cells.append(v4.new_code_cell(one.cell, id=f"answer-{key}", metadata=tags))
    return v4.new_notebook(cells=cells)


def same(one: nbformat.NotebookNode, other: nbformat.NotebookNode) -> bool:
    """Tell whether two notebooks ask the same, whatever their outputs."""
    sources = [[(cell.id, cell.cell_type, cell.source) for cell in nb.cells] for nb in (one, other)]
    return sources[0] == sources[1]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--write", action="store_true")
    how.add_argument("--check", action="store_true")
    options = parser.parse_args()
    made = book()
    if options.check:
        if BOOK.is_file() and same(nbformat.read(BOOK, as_version=4), made):
            return 0
        print("The exercise book is old: python -m tests.exercise_book --write", file=sys.stderr)
        return 1
    place = {"metadata": {"path": str(NOTEBOOKS)}}
    NotebookClient(made, timeout=600, resources=place, coalesce_streams=True).execute()
    with atomic_write(BOOK) as temporary:
        temporary.write_text(nbformat.writes(tidy(made)) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
