"""The exercise book: what the units leave for later, worded as in the package, and executed."""

import nbformat
import pytest

from galhelpers.exercises import exercises_of
from tests.exercise_book import BOOK, IN_PLACE, book, same
from tests.notebooks.pages import REWRITTEN, code, printed, read, tagged

there = pytest.mark.skipif(not BOOK.is_file(), reason="no unit has more than its own exercises")


@there
def test_the_book_is_what_the_package_asks():
    nbformat.validate(read(BOOK))
    assert same(read(BOOK), book()), "write it anew: python -m tests.exercise_book --write"


@there
def test_the_book_is_executed_and_nothing_is_answered():
    cells = code(read(BOOK))
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    for cell in cells[1:]:
        assert tagged(cell, "exercise")
        assert printed(cell).startswith("Not attempted yet. ")


@there
@pytest.mark.parametrize("path", REWRITTEN, ids=lambda path: path.stem)
def test_a_unit_with_more_exercises_leads_to_the_book(path):
    if len(exercises_of(path.stem[:2])) > IN_PLACE:
        text = "\n".join(cell.source for cell in read(path).cells)
        assert f"]({BOOK.name})" in text
        assert f"]({path.name})" in "\n".join(cell.source for cell in read(BOOK).cells)
