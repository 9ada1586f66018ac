"""How answers are called, read and judged, whatever a learner hands in."""

import copy
import itertools
import random
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from galhelpers.course import exercise
from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    NotYet,
    as_array,
    as_items,
    as_number,
    describe,
    name_mistake,
    unharmed,
    untouched,
)

STUB = 'def double(x):\n    """Twice x, shape of x."""\n    ...'


def double(x):
    """Twice x, shape of x."""
    return 2 * x


def diagnose(ask):
    x = np.array([1.0, 2.0, 3.0])
    got = as_array(ask(x), (3,))
    ask(x)
    if not np.array_equal(x, [1, 2, 3]):
        raise AssertionError("the check's own input was changed")
    return None if np.array_equal(got, 2 * x) else f"for {describe(x)} you give {describe(got)}"


@pytest.fixture
def small():
    return Exercise(
        id="09.9",
        title="Double",
        question="?",
        stub=STUB,
        hints=("one", "two"),
        reference=double,
        diagnose=diagnose,
        lesson="It doubles.",
    )


def out(capsys, exercise_, answer):
    exercise_.check(answer)
    return capsys.readouterr().out.rstrip("\n")


def test_four_outcomes_each_one_line(small, capsys):
    assert out(capsys, small, double) == "Correct. It doubles."
    wrong = out(capsys, small, lambda x: x + 1)
    assert wrong == (
        "Not yet: for ndarray of shape (3,) [1., 2., 3.] "
        "you give ndarray of shape (3,) [2., 3., 4.]."
    )
    assert out(capsys, small, ...).startswith("Not attempted yet. Replace the ... in double")

    def broken(x):
        y = x + 1
        return y.doubled

    line = out(capsys, small, broken)
    assert line.startswith("Not yet: ")
    for fact in ("AttributeError", "'numpy.ndarray' object", "line 3", "shape (3,)"):
        assert fact in line
    assert "\n" not in line


def test_empty_bodies_are_not_attempted():
    def docstring(x):
        """Say something."""

    def passes(x):
        pass

    def ellipsis(x): ...

    def returns_ellipsis(x):
        return ...

    for function in (docstring, passes, ellipsis, returns_ellipsis, lambda x: ..., lambda x: None):
        assert untouched(function, STUB, "double")


def test_short_bodies_are_attempts():
    def gives_zero(x):
        return 0

    def gives_text(x):
        """Say something."""
        return "x"

    def generates(x):
        yield

    for function in (gives_zero, gives_text, generates, lambda x: x, abs, None, 3, "..."):
        assert not untouched(function, STUB, "double")


def test_a_faulty_stub_is_recognised_by_its_code_not_by_its_text():
    stub = "def f(x):\n    return sum(v + 1 for v in x)"
    namespace = {}
    exec("# a comment\n" + stub.replace("return sum", "return  sum"), namespace)
    assert untouched(namespace["f"], stub, "f")
    exec(stub.replace("+ 1", "+ 2"), namespace)
    assert not untouched(namespace["f"], stub, "f")
    exec(stub.replace("sum", "max"), namespace)
    assert not untouched(namespace["f"], stub, "f")


@pytest.mark.parametrize("answer", [np.zeros(3), 3, "double", None, [double], itertools.count()])
def test_something_that_is_no_function(small, capsys, answer):
    line = out(capsys, small, answer)
    assert line.startswith("Not yet: ")
    assert "double" in line
    assert "a function" in line
    assert "\n" not in line


class Unprintable:
    def __repr__(self):
        raise ValueError("no")

    def __array__(self, *args, **kwargs):
        raise ValueError("no")

    def __bool__(self):
        raise ValueError("no")

    def __iter__(self):
        return itertools.count()

    def __eq__(self, other):
        raise ValueError("no")

    __hash__ = None


class Looking:
    """An array by its looks only."""

    shape = (3,)

    def detach(self):
        raise RuntimeError("no")


def _endless(x):
    while True:
        yield x


async def _later(x):
    return 2 * x


NESTED: list = []
NESTED.append(NESTED)
STRANGE = {
    "endless generator": _endless,
    "coroutine": _later,
    "count": lambda x: itertools.count(),
    "map": lambda x: map(abs, itertools.count()),
    "none": lambda x: None if len(x) else x,
    "text": lambda x: "[2, 4, 6]",
    "list of text": lambda x: ["a", "b", "c"],
    "list of generators": lambda x: [itertools.count()],
    "dictionary": lambda x: {0: 2, 1: 4},
    "set": lambda x: {2, 4, 6},
    "complex": lambda x: x * 2j,
    "objects": lambda x: np.array([None, {}, []], dtype=object),
    "ragged": lambda x: [[1], [2, 3]],
    "contains itself": lambda x: NESTED,
    "unprintable": lambda x: Unprintable(),
    "looks like a tensor": lambda x: Looking(),
    "type": lambda x: float,
    "nan": lambda x: x * np.nan,
    "wrong shape": lambda x: x[:2],
    "exit": lambda x: sys.exit("bye"),
    "recursion": lambda x: STRANGE["recursion"](x),
    "no argument": lambda: 1,
    "two arguments": lambda x, y: x,
    "sparse": lambda x: torch.eye(3).to_sparse(),
    "a class": Unprintable,
    "an error without text": lambda x: exec("raise ValueError"),
    "an error of many lines": lambda x: exec("raise ValueError('a\\nb' * 999)"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_answers_get_one_line(small, capsys, name):
    line = out(capsys, small, STRANGE[name])
    assert line.startswith("Not yet: ")
    assert "\n" not in line
    assert len(line) < 700
    assert "could not be checked" not in line, "foreseen by as_array"


def test_a_surprised_check_still_gives_one_line(small, capsys):
    small.diagnose = lambda ask: {}["missing"]
    line = out(capsys, small, double)
    assert line.startswith("Not yet: ")
    assert "double" in line
    assert "KeyError: 'missing'" in line
    assert "could not be checked" in line  # the words by which the other tests know this case


def test_kind_to_lists_tensors_series_and_numbers():
    for value in (
        [1, 2],
        (1, 2.0),
        np.array([1, 2], dtype=np.uint8),
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([1, 2], dtype=torch.bfloat16),
        [torch.tensor(1.0, requires_grad=True), np.float32(2)],
        pd.Series([1, 2]),
    ):
        assert as_array(value, (2,)).tolist() == [1, 2]
    for value in (True, 1, 1.0, np.float32(1), np.array([[1]]), torch.tensor([1.0]), [1]):
        assert as_number(value) == 1
    for value in ((1, 2), [1, 2], np.array([1, 2]), torch.tensor([1, 2])):
        assert as_items(value, 2, "two") == [1, 2]
    with pytest.raises(NotYet, match=r"two.*\(1, 2, 3\)"):
        as_items((1, 2, 3), 2, "two")
    with pytest.raises(NotYet, match=r"nan.*\[1\]"):
        as_array([1, np.nan])
    assert np.isnan(as_array([1, np.nan], finite=False)[1])
    with pytest.raises(NotYet, match="inf"):
        as_number(np.inf)
    assert as_number(torch.tensor([np.inf]), finite=False) == np.inf


def test_the_first_mistake_that_gives_the_answer_is_named():
    mistakes = {
        "sum": (lambda x, n: (x + n).sum(), "a sum"),
        "added": (lambda x, n: x + n, "added"),
        "negative": (lambda x, n: -n * x, "the sign"),
        "also added": (lambda x, n: n + x, "too late"),
    }
    x = np.array([1.0, 3.0])
    assert name_mistake(8, (x, 2), mistakes) == "a sum"
    assert name_mistake([3, 5 + 1e-5], (x, 2), mistakes) == "added"
    assert name_mistake(-2 * x, (x, 2), mistakes) == "the sign"
    assert name_mistake([3.1, 5], (x, 2), mistakes) is None
    assert name_mistake([3.1, 5], (x, 2), mistakes, rtol=0, atol=0.2) == "added"
    assert name_mistake(2 * x, (x, 2), {}) is None


def _harmful(x):
    x *= 2
    np.random.seed(5)
    random.seed(5)
    torch.manual_seed(5)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    np.seterr(all="raise")
    return x


def _state():
    draws = random.random(), np.random.random(), torch.rand(2).tolist()
    return draws, torch.is_grad_enabled(), torch.get_default_dtype(), np.geterr()


@pytest.mark.parametrize("raises", [False, True])
def test_inputs_and_random_states_are_unharmed(small, raises):
    def answer(x):
        _harmful(x)
        if raises:
            raise KeyError("late")
        return x

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = copy.deepcopy(_state())
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    status = small.verdict(answer).status
    assert status == ("not yet" if raises else "correct")
    assert _state() == expected


def test_an_interrupt_passes_and_leaves_the_random_state(small):
    def answer(x):
        np.random.random(7)
        raise KeyboardInterrupt

    before = np.random.get_state()[2]
    with pytest.raises(KeyboardInterrupt):
        small.check(answer)
    assert np.random.get_state()[2] == before


def test_verdicts_do_not_depend_on_the_random_state(small):
    def answer(x):
        return x + random.random() + np.random.random() + torch.rand(1).item()

    first = small.verdict(answer)
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    assert small.verdict(answer) == first


def test_gradients_are_on_inside_even_under_no_grad():
    with torch.no_grad(), unharmed():
        assert torch.is_grad_enabled()
    with torch.no_grad():
        with unharmed():
            pass
        assert not torch.is_grad_enabled()


def test_a_chatty_function_is_cut_short(small, capsys):
    def answer(x):
        for i in range(50):
            print("line", i)
        return 2 * x

    lines = out(capsys, small, answer).splitlines()
    assert lines[0] == "line 0"
    assert lines[10:] == ["... and 90 more lines from your function", "Correct. It doubles."]


def test_hints_step_then_end(small, capsys):
    for expected in ("Hint 1 of 2: one", "Hint 2 of 2: two"):
        small.hint()
        assert capsys.readouterr().out.strip() == expected
    for _ in range(2):
        small.hint()
        assert "no further hints" in capsys.readouterr().out
    small.hint(2)
    assert capsys.readouterr().out.strip() == "Hint 2 of 2: two"
    for number in (0, -1, 3, "x"):
        small.hint(number)
        assert "no further hints" in capsys.readouterr().out


def test_solution_prints_source_under_the_stubs_signature(small, capsys):
    small.solution()
    printed = capsys.readouterr().out
    assert printed == 'def double(x):\n    """Twice x, shape of x."""\n    return 2 * x\n'


def test_copies_go_in_unless_asked_otherwise():
    given = [1]
    Answer(lambda x: x.append(2))(given)
    assert given == [1]
    Answer(lambda x: x.append(2))(given, copied=False)
    assert given == [1, 2]


def test_the_same_exercise_each_time_and_forgiving_numbers():
    assert exercise("01.1") is exercise(" 1.1") is exercise(1.1)
    for number in ("01.9", "09.1", "x", ""):
        with pytest.raises(ValueError, match=rf"{number}.* 01.1, 01.2"):
            exercise(number)


def test_importing_the_package_is_light():
    code = (
        "import sys; from galhelpers.course import exercise; "
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules), 'heavy'; "
        "exercise('01.1').check(lambda a, b: b); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
