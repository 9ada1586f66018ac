"""How an exercise is asked, checked, hinted at and solved.

A learner sees four outcomes, each one line, never a traceback: *Not attempted yet*, *Correct*,
*Not yet* with a diagnosis, and *Not yet: your function raised ...*. The learner's function gets
copies of its inputs, and the global random state is put back afterwards, so that no answer can
change what later cells of the notebook print.
"""

import copy
import dis
import inspect
import io
import math
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, Literal

import numpy as np

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
    """A learner's function that can be called safely: copies in, ``NotYet`` out when it raises."""

    def __init__(self, function: Callable[..., Any], name: str = "your function") -> None:
        self.function = function
        self.name = name

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
        seen = seen or ", ".join(describe(value) for value in inputs)
        try:
            result = self.function(*(copy.deepcopy(inputs) if copied else inputs))
        except (Exception, SystemExit) as error:
            what = one_line(f"{type(error).__name__}: {error}".rstrip(": "))
            raise NotYet(f"{self.name} raised {what}{self._line(error)} for input {seen}") from None
        if inspect.isgenerator(result) or inspect.iscoroutine(result):
            result.close()
            raise NotYet(
                f"{self.name} gives a {type(result).__name__}, which holds no values yet. "
                "Use return, not yield or async"
            )
        return result

    def _line(self, error: BaseException) -> str:
        code, trace = getattr(self.function, "__code__", None), error.__traceback__
        lines = []
        while trace is not None:
            if trace.tb_frame.f_code is code and code is not None:
                lines.append(trace.tb_lineno - code.co_firstlineno + 1)
            trace = trace.tb_next
        return f" (line {lines[-1]} of the function)" if lines else ""


@dataclass(eq=False)
class Exercise:
    """One exercise, kept in one place.

    Attributes
    ----------
    id, title, question
        ``"03.2"``, a heading, and self-contained markdown of 60-140 words.
    stub
        Source the learner starts from. It may hold faulty published code to repair.
    hints
        Steps from a nudge to nearly the solution.
    reference
        A function that passes; its source is what ``solution()`` prints.
    diagnose
        Gets an `Answer`; returns None when it is right, else the diagnosis (or raises `NotYet`).
    lesson
        One sentence said after "Correct."
    """

    id: str
    title: str
    question: str
    stub: str
    hints: tuple[str, ...]
    reference: Callable[..., Any]
    diagnose: Callable[[Answer], str | None]
    lesson: str
    _hinted: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        """Name of the function the learner writes."""
        return self.reference.__name__

    @property
    def markdown(self) -> str:
        """Text of the notebook's cell: heading and question."""
        return f"### Exercise {self.id}: {self.title}\n\n{self.question}"

    @property
    def cell(self) -> str:
        """Source of the notebook's code cell: the stub and its check."""
        return f'{self.stub}\n\n\nexercise("{self.id}").check({self.name})'

    def check(self, answer: Any) -> None:
        """Print whether ``answer`` is right, and if not, what was seen and what to think about."""
        printed = io.StringIO()
        with redirect_stdout(printed):
            verdict = self.verdict(answer)
        lines = printed.getvalue().splitlines()  # a check may call a function thousands of times
        more = [f"... and {len(lines) - 10} more lines from your function"] * (len(lines) > 10)
        print("\n".join([*lines[:10], *more, str(verdict)]))

    def verdict(self, answer: Any) -> Verdict:
        """Judge ``answer`` without printing."""
        if untouched(answer, self.stub, self.name):
            todo = (
                f"Replace the ... in {self.name}" if "..." in self.stub else "Repair " + self.name
            )
            return Verdict(
                "not attempted",
                f"Not attempted yet. {todo} and run the cell again; "
                f'exercise("{self.id}").hint() gives a first hint.',
            )
        if not callable(answer):
            return Verdict(
                "not yet",
                f"this exercise is answered by a function, and check() was given "
                f"{describe(answer)}. Pass {self.name} itself, without parentheses after it.",
            )
        with unharmed():
            try:
                complaint = self.diagnose(Answer(answer))
            except NotYet as verdict:
                complaint = str(verdict)
            except Exception as error:  # an answer can be stranger than any check foresees
                complaint = (
                    f"what {self.name} gives could not be checked "
                    f"({type(error).__name__}: {error}). Does it return what the question asks for?"
                )
        if complaint is None:
            return Verdict("correct", self.lesson)
        complaint = one_line(complaint, 600)
        return Verdict("not yet", complaint + ("" if complaint[-1:] in ".?" else "."))

    def hint(self, number: int | None = None) -> None:
        """Print the next hint, or hint ``number`` (1 is the first)."""
        if number is None:
            self._hinted += 1
            number = self._hinted
        if isinstance(number, int) and 1 <= number <= len(self.hints):
            print(f"Hint {number} of {len(self.hints)}: {self.hints[number - 1]}")
        else:
            print(
                f"There are no further hints ({len(self.hints)} in all). "
                f'exercise("{self.id}").solution() shows one solution.'
            )

    def solution(self) -> None:
        """Print the source of one solution, under the stub's signature: it can be pasted."""
        head, body = self.stub.split('"""')[0], inspect.getsource(self.reference).split('"""', 1)[1]
        print(f'{head}"""{body.rstrip()}')

    def __repr__(self) -> str:
        return f"Exercise {self.id}: {self.title} (.check(answer), .hint(), .solution())"


# What the learner handed in ----------------------------------------------------------------------


def untouched(answer: Any, stub: str, name: str) -> bool:
    """Tell whether ``answer`` is still the stub: ``...``, an empty body, or the stub's own code.

    It compares bytecode, since a function typed in a notebook need not have a source file.
    """
    code = getattr(answer, "__code__", None)
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


@contextmanager
def unharmed(seed: int = 0) -> Iterator[None]:
    """Run a block from fixed random states, and put the caller's states back afterwards.

    Covers Python's, numpy's and torch's global generators, torch's gradient mode and default
    dtype, numpy's error state and the warning filters. Torch is left alone if nobody imported it.
    """
    python, legacy, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")
    random.seed(seed)
    np.random.seed(seed)
    if torch is not None:
        cpu, grad, dtype = torch.get_rng_state(), torch.is_grad_enabled(), torch.get_default_dtype()
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
        # Not torch.manual_seed: it would also leave a seed waiting for a GPU not yet in use.
        torch.default_generator.manual_seed(seed)
        torch.set_grad_enabled(True)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        if torch is not None:
            torch.set_rng_state(cpu)
            torch.set_grad_enabled(grad)
            torch.set_default_dtype(dtype)
            if gpus:
                torch.cuda.set_rng_state_all(gpus)


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
        raise NotYet(f"expected {expected}, and your function returned None. Is there a return?")
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
        raise NotYet(f"expected finite numbers, found {array[tuple(bad)]}{place}. A division by 0?")
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
    if hasattr(value, "detach") or isinstance(value, np.ndarray):
        value = as_array(value).tolist()
    if not isinstance(value, tuple | list) or len(value) != length:
        raise NotYet(f"expected {what}, got {describe(value)}")
    return list(value)


def _is_array_like(value: Any) -> bool:
    known = (bool, int, float, np.generic, np.ndarray, list, tuple)
    return isinstance(value, known) or hasattr(value, "detach") or hasattr(value, "to_numpy")


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


def name_mistake(
    got: Any, inputs: tuple[Any, ...], mistakes: Mistakes, rtol: float = 1e-4, atol: float = 1e-6
) -> str | None:
    """Say which typical mistake leads from the inputs to a wrong answer.

    The functions of ``mistakes`` are given ``inputs``, as the learner's was. The message of the
    first that returns ``got``, a number or an array, is the diagnosis; None when none does.
    """
    for function, message in mistakes.values():
        if close(got, function(*inputs), rtol, atol):
            return message
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
            few = isinstance(value, np.ndarray) and math.prod(shape) <= 6
            tail = f" {one_line(np.array2string(value, precision=4, separator=', '))}"
            return f"{kind} of shape {tuple(shape)}{tail if few else ''}"
        if isinstance(value, list | tuple) and (
            len(value) > 8 or any(hasattr(item, "shape") for item in value)
        ):
            return f"a {kind} of {len(value)} items"
        text = repr(value)
        # A default repr holds an address in memory, which says nothing and changes each time.
        plain = isinstance(value, str | list | tuple | dict) or len(text) <= limit
        return one_line(text, limit) if plain and " at 0x" not in text else f"a {kind}"
    except Exception:
        return f"a {kind} that cannot be printed"


def one_line(text: str, limit: int = 200) -> str:
    """Collapse white space, and shorten to ``limit`` characters."""
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
