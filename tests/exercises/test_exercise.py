"""How answers are called, read and judged, whatever a learner hands in."""

import array
import contextlib
import copy
import decimal
import itertools
import locale
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from tqdm import tqdm

from galhelpers.course import exercise
from galhelpers.exercises import all_exercises, exercises_of
from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    NotYet,
    as_array,
    as_items,
    as_number,
    compare,
    compare_in_turn,
    describe,
    edited,
    plain,
    untouched,
)
from galhelpers.exercises.guard import TooLong, time_limit, unharmed

FUNCTIONS = [one for one in exercises_of("01") if isinstance(one, Exercise)]
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


def out(capsys, exercise_, *answers):
    exercise_.check(*answers)
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


class Interrupting:
    def __repr__(self):
        raise KeyboardInterrupt

    def __array__(self, *args, **kwargs):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "answers",
    [
        *([np.zeros(3)], [3], ["double"], [None], [[double]], [itertools.count()]),
        *([Interrupting()], [], [double, double], [torch.zeros(3)], [pd.DataFrame({"x": [1]})]),
    ],
)
def test_something_that_is_no_function(small, capsys, answers):
    line = out(capsys, small, *answers)
    assert line.startswith("Not yet: ")
    assert "check(double)" in line
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


class Failing:
    """A function whose attributes fail."""

    def __call__(self, x):
        return x

    @property
    def __code__(self):
        raise RuntimeError("no")

    @property
    def __name__(self):
        raise RuntimeError("no")


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
    "failing attributes": Failing(),
    "interrupting": lambda x: Interrupting(),
    "list of interrupting": lambda x: [Interrupting()] * 3,
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


def test_an_edited_solution_makes_a_mistake_and_can_call_the_right_one():
    made = edited(
        double, {"2 * => 3 *": "thrice", "2 * x => double(x); return => return 1 +": "one"}
    )
    assert [(function(2), words) for function, words in made.values()] == [
        (6, "thrice"),
        (5, "one"),
    ]
    with pytest.raises(ValueError, match="'5 \\*'"):
        edited(double, {"5 * => 3 *": ""})


def test_compare_names_a_mistake_of_one_part_whatever_the_other():
    ask = Answer(lambda x: (x + 1, 7 * x))
    mistakes = {"none": (lambda x: (x, 2 * x), "no"), "second": (lambda x: (x, 7 * x), "seven")}
    cases = {"1": (1,), "2": (2,)}
    said = compare(ask, lambda x: (x, 2 * x), cases, mistakes, "two numbers", ("one", "other"))
    assert said == "for 1, you give 7 as the other, where 2 is right: seven"
    turned = Answer(lambda x: (2 * x, x))
    said = compare(turned, lambda x: (x, 2 * x), cases, {}, "two numbers", ("one", "other"))
    assert "in the other order" in said


def test_compare_in_turn_ends_at_the_first_group_that_is_wrong():
    groups = {"small": {"1": (1,)}, "large": {"5": (5,), "6": (6,)}, "last": {"7": (7,)}}
    ask = Answer(lambda x: 2 * x + (x == 5))
    mistakes = {"five": (lambda x: 2 * x + (x == 5), "five")}
    assert compare_in_turn(ask, double, groups, mistakes, "x").endswith("is right: large")
    assert ask.calls == 3
    assert compare_in_turn(Answer(double), double, groups, {}, "x") is None


def _harmful(x):
    x *= 2
    if not hasattr(sys, "stdout"):
        return x
    np.random.seed(5)
    random.seed(5)
    torch.manual_seed(5)
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.set_printoptions(precision=1)
    torch.use_deterministic_algorithms(True)
    torch.set_default_device("meta")
    np.seterr(all="raise")
    np.set_printoptions(precision=1)
    pd.set_option("display.max_rows", 3, "display.precision", 1)
    plt.rcParams["lines.linewidth"] = 9
    plt.figure()
    warnings.filterwarnings("error")
    decimal.getcontext().prec = 2
    locale.setlocale(locale.LC_ALL, "C")
    sys.setrecursionlimit(sys.getrecursionlimit() + 7)
    sys.path.insert(0, "elsewhere")
    os.environ["A_VARIABLE_OF_A_TEST"] = "1"
    os.environ.pop("HOME", None)
    os.chdir("/")
    logging.basicConfig(level=logging.DEBUG, force=True)
    logging.disable(logging.CRITICAL)
    sys.stdout.close()
    del sys.stdout, sys.stderr
    return x


def _state():
    return {
        "draws": (random.random(), np.random.random(), torch.rand(2).tolist()),
        "torch": (
            *(torch.is_grad_enabled(), torch.get_default_dtype(), torch.get_num_threads()),
            *(torch.get_default_device(), torch.are_deterministic_algorithms_enabled()),
            repr(torch.tensor(1 / 3)),
        ),
        "numpy": (np.geterr(), np.get_printoptions()),
        "pandas": (pd.get_option("display.max_rows"), pd.get_option("display.precision")),
        "matplotlib": (plt.rcParams["lines.linewidth"], plt.get_fignums()),
        "python": (warnings.filters[:], decimal.getcontext().prec, sys.getrecursionlimit()),
        "process": (sys.path[:], dict(os.environ), Path.cwd(), locale.setlocale(locale.LC_ALL)),
        "logging": (logging.root.level, logging.root.handlers[:], logging.root.manager.disable),
        "streams": (sys.stdout, sys.stderr, sys.stdout.closed),
    }


ENDINGS = {
    "returns": None,
    "an error": KeyError("late"),
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "generator exit": GeneratorExit(),
    "own": type("Own", (BaseException,), {})("own"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_setting_of_the_process_and_no_input_is_changed(small, ending, capsys):
    def answer(x):
        _harmful(x)
        if ENDINGS[ending]:
            raise ENDINGS[ending]
        return x

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = copy.deepcopy(_state()["draws"])
    before = _state()
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    line = out(capsys, small, answer)
    assert "\n" not in line
    assert line.startswith("Not yet: " if ENDINGS[ending] else "Correct. ")
    assert _state() == {**before, "draws": expected}


@pytest.mark.parametrize(
    ("error", "fact"),
    [
        (KeyboardInterrupt(), "interrupted (line 2 of the function), for input ndarray"),
        (GeneratorExit(), "raised GeneratorExit (line 2"),
        (SystemExit("bye"), "raised SystemExit: bye (line 2"),
        (ENDINGS["own"], "raised Own: own (line 2"),
        (type("Mute", (Exception,), {"__str__": None})(), "raised Mute"),
    ],
)
def test_errors_that_are_no_exceptions_get_one_line(small, capsys, error, fact):
    def answer(x):
        raise error

    line = out(capsys, small, answer)
    assert fact in line
    assert "\n" not in line


def test_an_interrupt_by_the_user_is_one_line(small, capsys):
    def answer(x):
        signal.raise_signal(signal.SIGINT)
        time.sleep(5)

    assert "was interrupted" in out(capsys, small, answer)
    small.diagnose = lambda ask: signal.raise_signal(signal.SIGINT)
    assert "was interrupted" in out(capsys, small, double)


def test_a_changed_input_is_told_beside_correct(small, capsys):
    def doubles_in_place(x):
        x *= 2
        return x

    line = out(capsys, small, doubles_in_place)
    assert line.startswith("Correct. It doubles. But your function changes its input 1: ")
    assert "\n" not in line
    assert out(capsys, small, double) == "Correct. It doubles."


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ([[1.0, np.nan], [2.0]], lambda x: x[1].append(3)),
        ({"a": np.zeros(2)}, lambda x: x["a"].fill(1)),
        ((torch.zeros(2), 3), lambda x: x[0].add_(1)),
        (np.array([np.nan, 1.0]), lambda x: x.fill(1)),
        (np.array([False, True]), lambda x: x.fill(1)),
        ([1, 2], lambda x: x.sort(reverse=True)),
    ],
)
def test_which_inputs_were_changed(given, change):
    ask = Answer(lambda one, two: change(two))
    ask(0, given)
    assert ask.changed == 2
    ask = Answer(lambda one, two: None)
    ask(0, given)
    assert ask.changed is None


# Time --------------------------------------------------------------------------------------------


def _loops(x):
    while True:
        pass


def _calls(x):
    return _loops(x)


def _sleeps(x):
    time.sleep(60)


def _catches(x):
    while True:
        with contextlib.suppress(BaseException):
            time.sleep(60)


def _finally(x):
    try:
        _loops(x)
    finally:
        _loops(x)


@pytest.mark.parametrize("answer", [_loops, _calls, _sleeps, _catches, _finally])
def test_a_function_that_does_not_end_is_ended(small, capsys, answer):
    small.seconds = 0.2
    before = signal.getsignal(signal.SIGALRM), sys.gettrace()
    line = out(capsys, small, answer)
    assert line.startswith("Not yet: your function had not come back after ")
    assert "shape (3,)" in line
    assert (signal.getsignal(signal.SIGALRM), sys.gettrace()) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_a_slow_function_is_told_how_slow_it_is(small, capsys):
    def answer(x):
        time.sleep(0.02)
        return 2 * x

    small.seconds = 0.3
    small.diagnose = lambda ask: [ask(np.zeros(3)) for _ in range(1000)] and None
    line = out(capsys, small, answer)
    milliseconds, calls = map(
        float, re.findall(r"takes ([\d.]+) ms.* called it (\d+) times", line)[0]
    )
    assert milliseconds >= 20
    assert 1 <= calls < 200  # 0.3 s hold 15; on a busy machine the alarm may be late


def test_limits_may_be_nested_and_a_timer_around_them_goes_on(small, capsys):
    small.seconds = 0.2
    inner = []

    def answer(x):
        inner.append(small.verdict(_loops).message)
        return _loops(x)

    rang = []
    before = signal.signal(signal.SIGALRM, lambda *_: rang.append(1))
    signal.setitimer(signal.ITIMER_REAL, 30)
    try:
        assert "had not come back" in out(capsys, small, answer)
        assert 20 < signal.getitimer(signal.ITIMER_REAL)[0] < 30
        signal.raise_signal(signal.SIGALRM)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert rang == [1]
    assert "had not come back" in inner[0]


def test_a_function_is_also_ended_in_another_thread(small):
    small.seconds = 0.2
    lines = []
    thread = threading.Thread(target=lambda: lines.append(str(small.verdict(_loops))), daemon=True)
    thread.start()
    thread.join(20)
    assert "had not come back" in lines[0]


def test_no_ring_reaches_the_code_after_a_block():
    for _ in range(30):
        with contextlib.suppress(TooLong), time_limit(1e-4):
            _loops(0)
    time.sleep(0.02)


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


@pytest.mark.parametrize(
    "chat",
    [
        lambda: print("x\n" * 10**5),
        lambda: print("x" * 10**6),
        lambda: [logging.warning("one") for _ in range(100)],
        lambda: list(tqdm(range(1000), mininterval=0)),
        lambda: [print("e", file=sys.stderr) for _ in range(99)],
        lambda: [warnings.warn(str(i), stacklevel=1) for i in range(99)],
    ],
)
def test_prints_logs_and_progress_bars_are_few_lines(small, capsys, chat):
    handler = logging.StreamHandler(sys.stderr)  # as basicConfig makes one in an earlier cell
    logging.root.addHandler(handler)
    try:
        small.check(lambda x: (chat(), 2 * x)[1])
    finally:
        logging.root.removeHandler(handler)
    said = capsys.readouterr()
    assert len(said.out.splitlines()) <= 12
    assert len(said.out) < 4200
    assert said.err == ""
    assert said.out.endswith("Correct. It doubles.\n")


def test_displays_are_counted_and_the_first_shown(small, capsys):
    shell = InteractiveShell.instance()
    publisher = shell.display_pub
    try:
        small.check(lambda x: ([display(i) for i in range(50)], 2 * x)[1])
        assert shell.display_pub is publisher
    finally:
        InteractiveShell.clear_instance()
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["Correct. It doubles.", *"012", "... and 97 more displays from your function"]


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


@pytest.mark.parametrize(
    ("answer", "fact"),
    [
        (lambda x: (2 * v for v in x), "returns a generator, which holds no values yet: wrap it"),
        (lambda x: map(abs, x), "returns a map, which"),
        (lambda x: zip(x, x, strict=True), "returns a zip, which"),
        (lambda x: [2 * x, iter([1])], "got a list of 2 items"),
        (_endless, "Use return, not yield"),
        (_later, "Leave out the word async"),
        (lambda x: x / 0, "division by 0, or from a number too large"),
        (lambda x: x * np.nan, "0 / 0"),
        (lambda x: pd.DataFrame({"a": x}), "got shape (3, 1)"),
    ],
)
def test_what_came_is_called_by_its_name(small, capsys, answer, fact):
    assert fact in out(capsys, small, answer)


@pytest.mark.parametrize(
    "value",
    [
        *(
            pd.Series([1, 2]),
            pd.Index([1, 2]),
            pd.DataFrame({"a": [1, 2]}),
            torch.eye(3).to_sparse(),
        ),
        *(np.zeros(9), np.array(["a"]), np.array([None]), torch.zeros(2), np.float32(3)),
    ],
)
def test_whatever_has_a_shape_can_be_described(value):
    assert "cannot be printed" not in describe(value)
    assert type(value).__name__ in describe(value) or describe(value) == "3.0"


@pytest.mark.parametrize(
    "value",
    [pd.Series([1, 2]), pd.Index([1, 2]), array.array("d", [1, 2]), range(1, 3), deque([1, 2])],
)
def test_whatever_can_become_a_list_is_numbers(value):
    assert as_array(value, (2,)).tolist() == [1, 2]


def test_another_order_of_inputs_and_another_exercises_function_are_recognised(capsys):
    small = Exercise(
        id="09.8",
        title="Minus",
        question="?",
        stub="def minus(one, two):\n    ...",
        hints=("one", "two"),
        reference=minus,
        diagnose=lambda ask: None if ask(3, 1) == 2 else "wrong",
        lesson="It subtracts.",
    )
    assert "(two, one), and is called with (one, two)" in out(
        capsys, small, lambda two, one: one - two
    )
    assert out(capsys, small, lambda one, two: two - one) == "Not yet: wrong."
    assert out(capsys, small, lambda two, one: two - one) == "Correct. It subtracts."
    other = FUNCTIONS[0]
    assert f"function of exercise {other.id}" in out(capsys, small, other.reference)
    assert "exercise 09.8 asks for minus" in out(capsys, small, other.reference)


def minus(one, two):
    """Difference."""
    return one - two


def test_a_question_is_printed_without_markdown(small):
    text = "Is *this* one **more than** `a * b * c`?\n\nYes: 2 * 3 * 4."
    assert plain(text) == "Is this one more than a * b * c?\n\nYes: 2 * 3 * 4."
    starred = [one for one in all_exercises() if "**" in one.markdown.split("<details>")[0]]
    assert starred
    for one in starred:
        assert "**" not in one.question


def test_the_same_exercise_each_time_and_forgiving_numbers():
    one = exercise("01.1")
    for number in (" 1.1", 1.1, "01.01", "1-1", "01.1 ", "Exercise 01.1", np.float64(1.1)):
        assert exercise(number) is one


def last(unit):
    return exercises_of(unit)[-1]


@pytest.mark.parametrize(
    ("number", "near"),
    [
        ("99.9", last("10")),
        ("05.1", last("04")),
        ("06.99", last("06")),
        ("1", last("01")),
        *((number, exercise("01.1")) for number in ("", "x", None, b"\xff", "1" * 10**5, -3.5e99)),
    ],
)
def test_a_number_that_does_not_exist_is_one_line_and_no_error(capsys, number, near):
    one = exercise(number)
    one.check(double)
    one.check()
    one.hint()
    one.solution()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert {*said, repr(one), one.question} == {said[0]}
    assert f"{near.id}, {near.title}" in said[0]
    assert len(said[0]) < 600


def test_importing_the_package_is_light():
    code = (
        "import sys; from galhelpers.course import exercise; "
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules), 'heavy'; "
        f"exercise('{FUNCTIONS[0].id}').check(lambda a, b: b); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
