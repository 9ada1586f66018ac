"""How an exercise is asked, checked, hinted at and solved.

What all kinds share is `Task`; `Exercise` asks for a function, and the kinds that ask for a letter,
a number or words are in ``questions.py``. A learner sees four outcomes, each one line, never a
traceback: *Not attempted yet*, *Correct*, *Not yet* with a diagnosis, and *Not yet: your function
raised ...*. The learner's function gets copies of its inputs and a time limit, and
`guard.unharmed` puts the settings of the process back afterwards, so that no answer can change what
later cells of the notebook print.
"""

import copy
import dis
import inspect
import math
import re
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any, Literal

import numpy as np

from galhelpers.exercises.guard import TooLong, overheard, time_limit, unharmed

_BY_NAME: dict[str, str] = {}  # function to write -> number of its exercise, of those imported

Status = Literal["correct", "not yet", "not attempted"]


class NotYet(Exception):  # noqa: N818 - it is a verdict on its way to the learner, not an error
    """An answer that is not right; the message is the diagnosis shown to the learner."""


@dataclass(frozen=True)
class Verdict:
    """Outcome of a check: ``status`` and the line printed after it."""

    status: Status
    message: str

    def __str__(self) -> str:
        start = {"correct": "Correct. ", "not yet": "Not yet: ", "not attempted": ""}[self.status]
        return start + self.message


class Answer:
    """A learner's function that can be called safely: copies in, ``NotYet`` out when it raises.

    Attributes
    ----------
    calls, seconds
        How often it was called, and how long it took in all.
    changed
        Number of the first input that it changed, from 1; None while it changed none.
    note
        What a check has to add to "Correct."
    """

    def __init__(self, function: Callable[..., Any], name: str = "your function") -> None:
        self.function = function
        self.name = name
        self.calls, self.seconds = 0, 0.0
        self.changed: int | None = None
        self.note = ""
        self._began: float | None = None

    def __call__(self, *inputs: Any, copied: bool = True, seen: str | None = None) -> Any:
        """Call the function.

        Parameters
        ----------
        *inputs
            Arguments, deep-copied unless ``copied`` is False (a model and its optimiser share
            tensors that the check must look at afterwards).
        seen
            How to name the inputs in a message; default is a short description of each.
        """
        self._seen = seen or ", ".join(describe(value) for value in inputs)
        given = copy.deepcopy(inputs) if copied else inputs
        self.calls += 1
        self._began = time.perf_counter()
        try:
            result = self.function(*given)
        except TooLong:
            raise
        except KeyboardInterrupt as error:
            raise NotYet(
                f"{self.name} was interrupted{self._line(error)}, for input {self._seen}, so "
                "nothing was judged. Run the cell again when you want it judged"
            ) from None
        except BaseException as error:  # sys.exit() and the like end no check
            what = one_line(f"{type(error).__name__}: {_text(error)}".rstrip(": "))
            where = self._line(error)
            raise NotYet(f"{self.name} raised {what}{where} for input {self._seen}") from None
        self.seconds += time.perf_counter() - self._began
        self._began = None
        if copied and self.changed is None:
            differ = (i for i, two in enumerate(zip(inputs, given, strict=True)) if _differ(*two))
            self.changed = next((i + 1 for i in differ), None)
        if isinstance(result, Iterator) or inspect.iscoroutine(result):
            raise NotYet(f"{self.name} {self._no_values(result)}")
        return result

    def too_long(self, limit: float) -> str:
        """Say what took so long that the check was ended after ``limit`` seconds."""
        done = self.calls - (self._began is not None)
        now = time.perf_counter() - self._began if self._began is not None else 0
        if now > limit / 2 or not done:
            return (
                f"{self.name} had not come back after {now:.0f} s and was stopped, for input "
                f"{self._seen}. Is there a loop that never ends, or too much work?"
            )
        return (
            f"{self.name} takes {1000 * self.seconds / done:.3g} ms a call, and the check, which "
            f"was stopped after {limit:g} s, had called it {done} times and was not done. Which "
            "work could be done once, or not at all?"
        )

    def _no_values(self, result: Any) -> str:
        kind = type(result).__name__
        if inspect.iscoroutine(result):
            result.close()
            return f"gives a {kind}, which holds no values yet. Leave out the word async"
        if inspect.isgeneratorfunction(inspect.unwrap(self.function)):
            return f"gives a {kind}, which holds no values yet. Use return, not yield"
        return f"returns a {kind}, which holds no values yet: wrap it in list()"

    def _line(self, error: BaseException) -> str:
        trace, code = error.__traceback__, None
        if inspect.isfunction(self.function):
            code = self.function.__code__
        lines = []
        while trace is not None:
            if trace.tb_frame.f_code is code and code is not None:
                lines.append(trace.tb_lineno - code.co_firstlineno + 1)
            trace = trace.tb_next
        return f" (line {lines[-1]} of the function)" if lines else ""


@dataclass(eq=False)
class Task:
    """What all kinds of exercises share.

    Attributes
    ----------
    id, title, question
        ``"04.2"``, a heading, and a self-contained question. It is given as markdown, and read
        as plain text, to be printed.
    hints
        Steps from a nudge to nearly the solution.
    """

    id: str
    title: str
    question: str
    hints: tuple[str, ...]
    _hinted = 0

    def __post_init__(self) -> None:
        self._markdown, self.question = self.question, plain(self.question)

    @property
    def markdown(self) -> str:
        """Text of the notebook's cell: heading and question."""
        return f"### Exercise {self.id}: {self.title}\n\n{self._markdown}"

    @property
    def cell(self) -> str:
        """Source of the notebook's code cell, which checks what the learner writes into it."""
        raise NotImplementedError

    def verdict(self, *answers: Any) -> Verdict:
        """Judge an answer without printing."""
        raise NotImplementedError

    def solution(self) -> None:
        """Print one solution."""
        raise NotImplementedError

    def check(self, *answers: Any, **named: Any) -> None:
        """Print whether an answer is right, and if not, what was seen and what to think about."""
        with overheard() as said:
            verdict = self.verdict(*answers, *named.values())
        print("\n".join([*said.lines(), self._shown(verdict)]))
        said.show_displays()

    def _shown(self, verdict: Verdict) -> str:
        return fold(str(verdict))

    def hint(self, number: int | None = None) -> None:
        """Print the next hint, or hint ``number`` (1 is the first)."""
        if number is None:
            self._hinted += 1
            number = self._hinted
        if isinstance(number, int) and 1 <= number <= len(self.hints):
            said = f"Hint {number} of {len(self.hints)}: {self.hints[number - 1]}"
        else:
            said = (
                f"There are no further hints ({len(self.hints)} in all). "
                f'exercise("{self.id}").solution() shows one solution.'
            )
        print(fold(said))

    def _not_attempted(self, todo: str) -> Verdict:
        hint = f'; exercise("{self.id}").hint() gives a first hint' * bool(self.hints)
        words = f"Not attempted yet. {todo} and run the cell again{hint}."
        return Verdict("not attempted", words)

    def __repr__(self) -> str:
        return f"Exercise {self.id}: {self.title} (.check(answer), .hint(), .solution())"


@dataclass(eq=False, repr=False)
class Exercise(Task):
    """An exercise that is answered by a function, kept in one place.

    Attributes
    ----------
    stub
        Source the learner starts from: faulty published code to repair, or, as a default, the head
        of ``reference`` and its docstring.
    reference
        A function that passes; its source is what ``solution()`` prints.
    diagnose
        Gets an `Answer`; returns None when it is right, else the diagnosis (or raises `NotYet`).
    lesson
        One sentence said after "Correct."
    seconds
        How long a check may take.
    """

    reference: Callable[..., Any]
    diagnose: Callable[[Answer], str | None]
    lesson: str
    stub: str = ""
    seconds: float = 20.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.stub:
            inputs = inspect.signature(self.reference).parameters.values()
            head = ", ".join(str(one.replace(annotation=one.empty)) for one in inputs)
            self.stub = f'def {self.name}({head}):\n    """{self.reference.__doc__}"""\n    ...'
        _BY_NAME.setdefault(self.name, self.id)

    @property
    def name(self) -> str:
        """Name of the function the learner writes."""
        return self.reference.__name__

    @property
    def cell(self) -> str:
        """Source of the notebook's code cell: the stub and its check."""
        return f'{self.stub}\n\n\nexercise("{self.id}").check({self.name})'

    def _shown(self, verdict: Verdict) -> str:
        return str(verdict)  # one line: it quotes code and values, which are not to be folded

    def verdict(self, *answers: Any) -> Verdict:
        """Judge an answer, the function that the learner wrote, without printing."""
        answer = answers[0] if len(answers) == 1 else None
        with unharmed():
            if len(answers) == 1 and untouched(answer, self.stub, self.name):
                todo = "Replace the ... in" if "..." in self.stub else "Repair"
                return self._not_attempted(f"{todo} {self.name}")
            if len(answers) != 1 or not callable(answer):
                given = ", ".join(describe(one) for one in answers[:3]) or "nothing"
                return Verdict(
                    "not yet",
                    f"this exercise is answered by a function, and check() was given {given}. "
                    f"Pass {self.name} itself, without parentheses or quotes: check({self.name}).",
                )
            ask = Answer(answer)
            try:
                with time_limit(self.seconds):
                    complaint = self.diagnose(ask)
            except NotYet as verdict:
                complaint = str(verdict)
            except TooLong:
                complaint = ask.too_long(self.seconds)
            except KeyboardInterrupt:
                complaint = "the check was interrupted, so nothing was judged. Run the cell again"
            except BaseException as error:  # an answer can be stranger than any check foresees
                complaint = (
                    f"what {self.name} gives could not be checked ({type(error).__name__}: "
                    f"{_text(error)}). Does it return what the question asks for?"
                )
            if complaint is None:
                return Verdict("correct", self.lesson + _note(ask))
            complaint = one_line(self._mistaken(answer) or complaint, 600)
        return Verdict("not yet", complaint + ("" if complaint[-1:] in ".?" else "."))

    def _mistaken(self, answer: Any) -> str | None:
        """Say that a wrong answer is another function, or takes its inputs in another order."""
        try:
            name = str(answer.__name__)
            given, wanted = (
                list(inspect.signature(f).parameters) for f in (answer, self.reference)
            )
        except Exception:  # numpy's functions, for example, need not tell their signature
            return None
        if name != self.name and name in _BY_NAME:
            return (
                f"this is {name}, the function of exercise {_BY_NAME[name]}; exercise {self.id} "
                f"asks for {self.name}"
            )
        if given != wanted and sorted(given) == sorted(wanted):
            return (
                f"{name} takes ({', '.join(given)}), and is called with ({', '.join(wanted)}), in "
                "this order. Write its inputs in the order of the question"
            )
        return None

    def solution(self) -> None:
        """Print the source of one solution, under the stub's signature: it can be pasted."""
        head, body = self.stub.split('"""')[0], inspect.getsource(self.reference).split('"""', 1)[1]
        print(f'{head}"""{body.rstrip()}')


# What the learner handed in ----------------------------------------------------------------------


def untouched(answer: Any, stub: str, name: str) -> bool:
    """Tell whether ``answer`` is still the stub: ``...``, an empty body, or the stub's own code.

    It compares bytecode, since a function typed in a notebook need not have a source file.
    """
    try:
        code = getattr(answer, "__code__", None)
    except Exception:  # an object may compute its attributes, and fail
        code = None
    if not isinstance(code, CodeType):
        return answer is ...
    given = [c for c in compile(stub, "<stub>", "exec").co_consts if isinstance(c, CodeType)]
    return _is_empty(code) or any(_same(code, c) for c in given if c.co_name == name)


def _is_empty(code: CodeType) -> bool:
    quiet = {"RESUME", "NOP", "CACHE", "COPY_FREE_VARS", "RETURN_CONST", "RETURN_VALUE"}
    for step in dis.get_instructions(code):
        loads_nothing = step.opname.startswith("LOAD_CO") and step.argval in (None, ...)
        returns_value = step.opname == "RETURN_CONST" and step.argval not in (None, ...)
        if returns_value or (step.opname not in quiet and not loads_nothing):
            return False
    return True


def _same(one: CodeType, other: CodeType) -> bool:
    if (one.co_code, one.co_names, one.co_varnames) != (
        other.co_code,
        other.co_names,
        other.co_varnames,
    ):
        return False
    return len(one.co_consts) == len(other.co_consts) and all(
        _same(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else repr(a) == repr(b)
        for a, b in zip(one.co_consts, other.co_consts, strict=True)
    )


def _differ(before: Any, after: Any) -> bool:
    """Tell whether a function changed an input, as far as that is cheap to say."""
    if before is after:
        return False
    try:
        if isinstance(before, str | int | float):
            return bool(before != after)
        if isinstance(before, list | tuple):
            return len(before) != len(after) or any(map(_differ, before, after))
        if isinstance(before, Mapping):
            return list(before) != list(after) or any(_differ(before[k], after[k]) for k in before)
        if hasattr(before, "detach"):
            before, after = before.detach().numpy(), after.detach().numpy()
        if isinstance(before, np.ndarray):
            floats = before.dtype.kind == "f"
            return not np.array_equal(before, after, equal_nan=floats)
    except Exception:
        return True  # such as a tensor that became an array of another type
    return False


def _note(ask: Answer) -> str:
    if ask.changed is None:
        return ask.note
    return (
        f"{ask.note} But your function changes its input {ask.changed}: here it got a copy, and a "
        "caller would lose theirs. Work on a new array or list instead."
    )


# What the learner's function gave back -----------------------------------------------------------


def as_array(
    value: Any, shape: tuple[int, ...] | None = None, what: str = "", finite: bool = True
) -> np.ndarray:
    """Turn numbers, nested lists, tensors, Series or arrays into a float64 array.

    Raises
    ------
    NotYet
        When it is something else, has another ``shape``, or (if ``finite``) holds NaN or infinity;
        ``what`` says what was expected, in words.
    """
    expected = what or (f"an array of shape {shape}" if shape else "an array of numbers")
    if value is None:
        raise NotYet(f"expected {expected}, got None. Is there a return, in every case?")
    if isinstance(value, Iterator):
        kind = type(value).__name__
        raise NotYet(
            f"expected {expected}, got a {kind}, which holds no values yet: wrap it in list()"
        )
    if isinstance(value, str | bytes | Mapping | set) or not _is_array_like(value):
        raise NotYet(f"expected {expected}, got {describe(value)}")
    try:
        with np.errstate(all="ignore"):
            array = np.asarray(_plain(value), dtype=np.float64)
    except Exception:
        raise NotYet(f"expected {expected}, got {describe(value)}, not all numbers") from None
    if shape is not None and array.shape != shape:
        raise NotYet(f"expected {expected}, got shape {array.shape}")
    if finite and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))[0].tolist()
        place = f" at index {bad}" if array.ndim else ""
        found = array[tuple(bad)]
        cause = (
            "It comes from 0 / 0, a root or an arc cosine out of range, the mean of nothing, or "
            "another nan"
            if np.isnan(found)
            else "It comes from a division by 0, or from a number too large"
        )
        raise NotYet(f"expected finite numbers, found {found}{place}. {cause}")
    return array


def as_number(value: Any, what: str = "one number", finite: bool = True) -> float:
    """Turn a number, or an array or tensor that holds a single one, into a float.

    It must be neither NaN nor infinite unless ``finite`` is False.
    """
    array = as_array(value, what=what, finite=finite)
    if array.size != 1:
        raise NotYet(f"expected {what}, got {describe(value)}")
    return float(array.reshape(()))


def as_items(value: Any, length: int, what: str) -> list[Any]:
    """Turn a tuple, list or array of ``length`` items into a list."""
    if hasattr(value, "detach") or hasattr(value, "tolist"):
        value = as_array(value).tolist()
    if not isinstance(value, tuple | list) or len(value) != length:
        raise NotYet(f"expected {what}, got {describe(value)}")
    return list(value)


def _is_array_like(value: Any) -> bool:
    known = (bool, int, float, np.generic, np.ndarray, Sequence)
    return isinstance(value, known) or any(
        hasattr(value, name) for name in ("detach", "to_numpy", "tolist")
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "detach"):
        return value.detach().cpu().double().numpy()
    return value


def close(one: Any, other: Any, rtol: float = 1e-4, atol: float = 1e-6) -> bool:
    """Tell whether two arrays have one shape and nearly the same values (NaN equals NaN)."""
    one, other = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    same_shape = one.shape == other.shape
    return same_shape and bool(np.allclose(one, other, rtol=rtol, atol=atol, equal_nan=True))


# Comparing with the reference --------------------------------------------------------------------

# Typical mistakes: name -> (a function that makes the mistake, what to say to the learner).
Mistakes = Mapping[str, tuple[Callable[..., Any], str]]


def edited(solution: Callable[..., Any], mistakes: Mapping[str, str]) -> Mistakes:
    """Make mistakes out of a solution.

    Parameters
    ----------
    mistakes
        What is written in place of what, ``"max => min"`` (two such edits are separated by
        ``"; "``) -> what to say to the learner.
    """
    source = inspect.getsource(solution)
    return {edit: (_with_edit(solution, source, edit), words) for edit, words in mistakes.items()}


def _with_edit(solution: Callable[..., Any], source: str, edit: str) -> Callable[..., Any]:
    head, doc, body = source.split('"""', 2)
    for change in edit.split("; "):
        old, new = change.split(" => ")
        if old not in body:
            raise ValueError(f"the solution has no {old!r}")
        body = body.replace(old, new)
    names: dict[str, Any] = {}  # apart from the globals, so that an edit can call the solution
    exec(f'{head}"""{doc}"""{body}', dict(solution.__globals__), names)  # noqa: S102 - our own text
    return names[solution.__name__]


def compare(
    ask: Answer,
    reference: Callable[..., Any],
    cases: Mapping[str, tuple[Any, ...]],
    mistakes: Mistakes,
    what: str,
    parts: Sequence[str] = (),
    otherwise: str = "",
    rtol: float = 1e-4,
    atol: float = 1e-6,
) -> str | None:
    """Ask for every case; None when all are right, else a diagnosis.

    The diagnosis shows the first wrong case, with what was given and what is right. When one of
    ``mistakes``, or one that is common everywhere, leads to all the answers, its message follows.

    Parameters
    ----------
    cases
        What the inputs are, in words -> inputs, for the function and for the ``reference``.
    what
        Answer that was expected, in words.
    parts
        Names of the answer's parts, which are alike in shape; default is a single number or array.
    otherwise
        What to say when none of ``mistakes`` is known.
    """

    def alike(one: list[Any], other: list[Any]) -> bool:
        return all(close(*two, rtol, atol) for two in zip(one, other, strict=True))

    def explains_what_is_wrong(made: list[Any]) -> bool:
        # A part may be right, or, where the mistake leaves it right, wrong in a way of its own.
        if not parts or any(m.shape != r.shape for m, r in zip(made, right, strict=True)):
            return False
        sides = (got, made, right)
        columns = [[[one[i] for one in side] for side in sides] for i in range(len(parts))]
        explained = [alike(g, m) and not alike(m, r) for g, m, r in columns]
        return any(explained) and all(
            e or alike(m, r) or alike(g, r) for e, (g, m, r) in zip(explained, columns, strict=True)
        )

    right = [np.asarray(reference(*inputs), float) for inputs in cases.values()]
    got = [
        _read(ask(*inputs, seen=seen), one.shape, what, parts, seen)
        for (seen, inputs), one in zip(cases.items(), right, strict=True)
    ]
    same = [close(*two, rtol, atol) for two in zip(got, right, strict=True)]
    if all(same):
        return None
    first = same.index(False)
    diagnosis = _told(list(cases)[first], got[first], right[first], parts)
    if parts and alike([one[::-1] for one in got], right):
        return f"{diagnosis}. The parts are right, in the other order: {what}"
    made = [
        ([_attempt(mistake, inputs) for inputs in cases.values()], words)
        for mistake, words in mistakes.values()
    ]
    known = [words for answers, words in made if alike(got, answers)]
    known += [words for answers, words in made if explains_what_is_wrong(answers)]
    said = known[:1] or [_common_mistake(got, right, rtol, atol) or "", otherwise]
    for words in filter(None, said):
        # After the numbers the sentence goes on; after a first cause a second one begins.
        goes_on = words[0].islower() and words == next(filter(None, said))
        diagnosis += f": {words}" if goes_on else f". {words[0].upper()}{words[1:]}"
    return diagnosis


def compare_in_turn(
    ask: Answer,
    reference: Callable[..., Any],
    groups: Mapping[str, Mapping[str, tuple[Any, ...]]],
    mistakes: Mistakes,
    what: str,
    **how: Any,
) -> str | None:
    """Ask for groups of cases, ``{otherwise: cases}``, until an answer is wrong; see `compare`.

    The mistakes are looked for in the first group, whose cases tell them apart.
    """
    for otherwise, cases in groups.items():
        if told := compare(ask, reference, cases, mistakes, what, otherwise=otherwise, **how):
            return told
        mistakes = {}
    return None


def _read(
    value: Any, shape: tuple[int, ...], what: str, parts: Sequence[str], seen: str
) -> np.ndarray:
    if parts:
        items = as_items(value, len(parts), what)
        return np.array([_read(item, shape[1:], what, (), seen) for item in items])
    if shape:
        return as_array(value, shape, f"{what}, here {shape} for {seen}", finite=False)
    return np.array(as_number(value, what, finite=False))


def _attempt(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    try:
        return np.asarray(function(*copy.deepcopy(inputs)), float)
    except Exception:  # the mistake would not work for these inputs
        return np.zeros((0, 0, 0))


def _told(seen: str, got: Any, right: Any, parts: Sequence[str]) -> str:
    """Show one answer beside the right one: numbers, or the place where they differ most."""
    place = ""
    if right.ndim:
        off = np.nan_to_num(np.abs(got - right), nan=np.inf)
        off[np.isclose(got, right, rtol=1e-9, atol=0, equal_nan=True)] = 0
        index = [int(i) for i in np.unravel_index(int(off.argmax()), right.shape)]
        got, right = got[tuple(index)], right[tuple(index)]
        place = f" as the {parts[index.pop(0)]}" if parts else ""
        place += f" at {index}" if index else ""
    got, right = (0.0 if abs(one) < 1e-12 else float(one) for one in (got, right))
    digits = next((d for d in (4, 6, 9) if f"{got:.{d}g}" != f"{right:.{d}g}"), 15)
    return f"for {seen}, you give {got:.{digits}g}{place}, where {right:.{digits}g} is right"


def _common_mistake(
    got: list[np.ndarray], right: list[np.ndarray], rtol: float, atol: float
) -> str | None:
    if any(g.shape != r.shape for g, r in zip(got, right, strict=True)):
        return None
    given, wanted = (np.concatenate([one.ravel() for one in side]) for side in (got, right))
    if np.isnan(given[~np.isnan(wanted)]).any():
        return (
            "It comes from 0 / 0, a root or an arc cosine out of range, the mean of nothing, or "
            "another nan"
        )
    for decimals in range(5):
        if given.any() and close(given, wanted.round(decimals), 1e-9, 1e-9):
            return f"You round to {decimals or 'no'} decimal{'s' * (decimals != 1)}; give them all"
    if given.any() and close(given, np.trunc(wanted)):
        return "You cut off what is behind the point"
    if len(given) > 1 and np.ptp(given) == 0 and np.ptp(wanted) > 0:
        return "You give the same whatever the input"
    if len(given) == 1 or not np.isfinite([given, wanted]).all():
        return None
    nonzero = np.abs(wanted) > atol
    factors = given[nonzero] / wanted[nonzero]
    one = factors[:1].sum()
    if one and close(factors, np.full_like(factors, one)) and close(given, one * wanted):
        return f"All your numbers are {one:.4g} times what they should be"
    if close(given - wanted, np.full_like(given, given[0] - wanted[0])):
        return f"All your numbers are {given[0] - wanted[0]:+.4g} off"
    return None


# Words -------------------------------------------------------------------------------------------


def describe(value: Any, limit: int = 80) -> str:
    """Describe any object in a few words that fit on a line."""
    kind = type(value).__name__
    try:
        if isinstance(value, np.generic):
            value = value.item()
        shape = getattr(value, "shape", None)
        if isinstance(shape, tuple):
            words = f"{kind} of shape {tuple(shape)}"
            if isinstance(value, np.ndarray) and math.prod(shape) <= 6:
                words += f" {one_line(np.array2string(value, precision=4, separator=', '))}"
            return words
        if isinstance(value, list | tuple) and (
            len(value) > 8 or any(hasattr(item, "shape") for item in value)
        ):
            return f"a {kind} of {len(value)} items"
        text = repr(value)
        # A default repr holds an address in memory, which says nothing and changes each time.
        plain = isinstance(value, str | list | tuple | dict) or len(text) <= limit
        return one_line(text, limit) if plain and " at 0x" not in text else f"a {kind}"
    except BaseException:  # whatever the repr() of an answer raises
        return f"a {kind} that cannot be printed"


def one_line(text: str, limit: int = 200) -> str:
    """Collapse white space, and shorten to ``limit`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def plain(markdown: str) -> str:
    """Turn the little markdown of a question into text that can be printed."""
    paragraphs = unmarked(markdown).split("\n\n")
    return "\n\n".join(map(fold, paragraphs))


def fold(text: str) -> str:
    """Break a text between words: JupyterLab breaks long lines anywhere, within words too."""
    return textwrap.fill(text, 88, break_long_words=False, break_on_hyphens=False)


def unmarked(markdown: str) -> str:
    """Take the stars and backticks out of a text."""
    pieces = markdown.split("`")  # every second one is code, where * multiplies
    pieces[::2] = [re.sub(r"(\*\*?)(\S[^*]*?)\1", r"\2", piece) for piece in pieces[::2]]
    return "".join(pieces)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:
        return "with a text that cannot be printed"
