"""Predictions, quizzes, and exercises that are answered by a letter, a number or words.

Their texts are data: ``questions/03.yaml`` holds those of unit 03, validated when they are read.
Each wrong option has its own reason, which is what a learner who chose it is told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass as plain_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from galhelpers.exercises.exercise import (
    NotYet,
    Task,
    Verdict,
    as_number,
    describe,
    fold,
    one_line,
    plain,
    unmarked,
)

FOLDER = Path(__file__).parent / "questions"


class QuestionsError(ValueError):
    """A file of questions that breaks its rules; the message names the file and the question."""


def _words(text: str) -> str:
    if not text.strip():
        raise ValueError("this text is empty")
    return text.strip()


Words = Annotated[str, AfterValidator(_words)]
Line = Annotated[Words, AfterValidator(lambda text: " ".join(text.split()))]
Number = Annotated[float, Field(allow_inf_nan=False)]
CONFIG = ConfigDict(extra="forbid")


@dataclass(config=CONFIG, frozen=True, kw_only=True)
class Option:
    """One option: its text, and why it is right or wrong."""

    text: Line
    why: Line


@dataclass(config=CONFIG, eq=False, repr=False, kw_only=True)
class Choice:
    """A question with options ``a``, ``b``, ...; one of them is ``right``."""

    question: Words
    options: dict[str, Option]
    right: str

    def __post_init__(self) -> None:
        letters = "".join(self.options)
        if not 2 <= len(letters) <= 6 or letters != "abcdef"[: len(letters)]:
            raise ValueError(f"options are a, b, ... in this order, found {', '.join(letters)}")
        if self.right not in self.options:
            raise ValueError(f"`right` is one of {', '.join(letters)}, found {self.right}")
        for what in ("text", "why"):
            if len({getattr(one, what) for one in self.options.values()}) < len(letters):
                raise ValueError(f"two options have the same `{what}`")

    @property
    def letters(self) -> str:
        """Name the options: ``"a, b or c"``."""
        *others, last = self.options
        return f"{', '.join(others)} or {last}"

    def as_list(self) -> str:
        """Write the options as a list in markdown."""
        return "\n".join(f"- **{letter})** {one.text}" for letter, one in self.options.items())

    def read(self, answer: object) -> str | None:
        """Find the letter in an answer such as ``"B"``, ``" b "`` or ``"(b)"``.

        Returns
        -------
        str or None
            A letter of an option; None where there is no answer yet.

        Raises
        ------
        NotYet
            When it is no option's letter.
        """
        if answer is None or answer is ... or (isinstance(answer, str) and not answer.strip(" ?.")):
            return None
        found = re.fullmatch(r"\W*([a-z])\W*", answer.lower()) if isinstance(answer, str) else None
        if found and found[1] in self.options:
            return found[1]
        raise NotYet(f"there is no option {describe(answer)}; write {self.letters}, in quotes")

    def judge(self, answer: object) -> Verdict | None:
        """Judge a letter; None where there is no answer yet. The reason is that of the option."""
        try:
            letter = self.read(answer)
        except NotYet as problem:
            return Verdict("not yet", f"{problem}.")
        if letter is None:
            return None
        right = letter == self.right
        return Verdict("correct" if right else "not yet", unmarked(self.options[letter].why))

    def said(self, letter: str) -> str:
        """Print an option: its letter and its text."""
        return f"{letter}) {unmarked(self.options[letter].text)}"


# Exercises ---------------------------------------------------------------------------------------

Id = Annotated[str, Field(pattern=r"^\d\d\.[1-9]\d?$")]
Hints = Annotated[tuple[Line, ...], Field(min_length=1)]


@dataclass(config=CONFIG, eq=False, repr=False, kw_only=True)
class ChoiceExercise(Choice, Task):
    """An exercise answered by a letter, mostly about a figure: ``check("b")``."""

    kind: Literal["choice"]
    id: Id
    title: Line
    hints: Hints

    def __post_init__(self) -> None:
        Choice.__post_init__(self)
        Task.__post_init__(self)

    @property
    def markdown(self) -> str:
        """Text of the notebook's cell: heading, question and options."""
        return f"{super().markdown}\n\n{self.as_list()}"

    @property
    def cell(self) -> str:
        """Source of the notebook's code cell."""
        return f'exercise("{self.id}").check("")'

    def verdict(self, *answers: Any) -> Verdict:
        """Judge a letter without printing."""
        if len(answers) > 1:
            given = ", ".join(describe(one) for one in answers[:3])
            return Verdict("not yet", f"one letter is asked for, and check() was given {given}.")
        judged = self.judge(answers[0] if answers else None)
        return judged or self._not_attempted(f"Write {self.letters} between the quotes")

    def solution(self) -> None:
        """Print the right option, then why each of the others is wrong."""
        for letter in sorted(self.options, key=lambda letter: letter != self.right):
            start = "Right is" if letter == self.right else "Not"
            print(fold(f"{start} {self.said(letter)}: {unmarked(self.options[letter].why)}"))


@dataclass(config=CONFIG, frozen=True, kw_only=True)
class Near:
    """A typical wrong number, and what it comes of."""

    value: Number
    tolerance: Annotated[Number, Field(ge=0)]
    why: Line

    def holds(self, number: float) -> bool:
        """Tell whether a number is this one, within the tolerance."""
        return abs(number - self.value) <= self.tolerance + 1e-9 * abs(self.value)


@dataclass(config=CONFIG, eq=False, repr=False, kw_only=True)
class NumberExercise(Task):
    """An exercise answered by a number, mostly read off after a change: ``check(0.73)``."""

    kind: Literal["number"]
    id: Id
    title: Line
    question: Words
    hints: Hints
    value: Number
    tolerance: Annotated[Number, Field(ge=0)]
    near: tuple[Near, ...] = ()
    why: Line

    def __post_init__(self) -> None:
        super().__post_init__()
        self._right = Near(value=self.value, tolerance=self.tolerance, why=self.why)
        for one in self.near:
            if self._right.holds(one.value):
                raise ValueError(f"near {one.value:g} is a right answer")

    @property
    def cell(self) -> str:
        """Source of the notebook's code cell."""
        return f'exercise("{self.id}").check(...)'

    def verdict(self, *answers: Any) -> Verdict:
        """Judge a number without printing."""
        answer = answers[0] if len(answers) == 1 else answers or ...
        if answer is ... or answer is None or (isinstance(answer, str) and not answer.strip()):
            return self._not_attempted("Write your number in place of ...")
        try:
            number = _number(answer)
        except NotYet as problem:
            return Verdict("not yet", f"{problem}.")
        if self._right.holds(number):
            return Verdict("correct", unmarked(self.why))
        for one in self.near:
            if one.holds(number):
                return Verdict("not yet", unmarked(one.why))
        for factor, times in ((100, "a hundred times"), (0.01, "a hundredth of")):
            if self._right.holds(number / factor) and not self._right.holds(0):
                words = f"{number:g} is {times} the number asked for: a share, or per cent?"
                return Verdict("not yet", words)
        size = "large" if number > self.value else "small"
        return Verdict("not yet", f"{number:g} is too {size}.")

    def solution(self) -> None:
        """Print the number and how it comes about."""
        within = f", or within {self.tolerance:g} of it" if self.tolerance else ""
        print(fold(f"{self.value:g}{within}. {unmarked(self.why)}"))


def _number(answer: Any) -> float:
    if isinstance(answer, str):
        try:
            answer = float(answer.replace(",", "."))
        except ValueError:
            raise NotYet(f"expected one number, got {describe(answer)}") from None
    return as_number(answer)


@dataclass(config=CONFIG, eq=False, repr=False, kw_only=True)
class WordsExercise(Task):
    """An exercise answered in words: nothing is checked, a model answer unfolds below."""

    kind: Literal["words"]
    id: Id
    title: Line
    question: Words
    hints: tuple[Line, ...] = ()
    model_answer: Words

    @property
    def markdown(self) -> str:
        """Text of the notebook's cell: heading, question, and the model answer to unfold."""
        unfold = "<summary>A model answer: write yours first</summary>"
        return f"{super().markdown}\n\n<details>\n{unfold}\n\n{self.model_answer}\n\n</details>"

    @property
    def cell(self) -> str:
        """Nothing: words need no code cell."""
        return ""

    def verdict(self, *answers: Any) -> Verdict:
        """Say that words are compared by who wrote them."""
        words = "This exercise is answered in words, which no check can judge. Write yours, then "
        return Verdict(
            "not attempted", f'{words}compare: exercise("{self.id}").solution() has a model answer.'
        )

    def solution(self) -> None:
        """Print the model answer."""
        print(plain(self.model_answer))


# Predictions and quizzes -------------------------------------------------------------------------


class Prediction:
    """What a learner expects before a result is seen; it is kept as long as the notebook runs.

    Attributes
    ----------
    id
        ``"03.1"`` is the first prediction of unit 03.
    choice
        The question and its options.
    letter
        What was predicted; None as long as nothing was.
    """

    def __init__(self, number: str, choice: Choice) -> None:
        self.id, self.choice = number, choice
        self.letter: str | None = None
        self._problem = ""

    @property
    def markdown(self) -> str:
        """Text of the notebook's cell: question and options."""
        return f"**Before you run: predict.** {self.choice.question}\n\n{self.choice.as_list()}"

    @property
    def cell(self) -> str:
        """Source of the notebook's code cell, which stands before the result."""
        return f'predict("{self.id}", "")  # your letter'

    def record(self, letter: object) -> Self:
        """Record a letter; an empty one, or one that no option has, leaves all as it was."""
        self._problem = ""
        try:
            self.letter = self.choice.read(letter) or self.letter
        except NotYet as problem:
            self._problem = f"Not recorded: {problem}."
        return self

    def compare(self) -> None:
        """Print what was predicted, what is right, and why."""
        options, right = self.choice.options, self.choice.right
        answer = f"Right is {self.choice.said(right)}. {unmarked(options[right].why)}"
        if self.letter is None:
            print(fold(f"You made no prediction. {answer}"))
        elif self.letter == right:
            print(fold(f"You predicted {self.choice.said(right)}. {self.choice.judge(right)}"))
        else:
            why = unmarked(options[self.letter].why)
            print(fold(f"You predicted {self.choice.said(self.letter)}. {why}"))
            print(fold(answer))

    def __repr__(self) -> str:
        if self._problem:
            return fold(self._problem)
        if self.letter is None:
            how = f"Write {self.choice.letters} between the quotes and run the cell again"
            return fold(f"No prediction yet. {how}, then read on.")
        return fold(f"You predict {self.choice.said(self.letter)}. Read on; it is compared below.")


class Quiz:
    """The questions at the end of a unit, each answered by a letter."""

    def __init__(self, unit: str, questions: tuple[Choice, ...]) -> None:
        self.id, self.questions = unit, questions

    @property
    def markdown(self) -> str:
        """Text of the notebook's cell: heading and questions."""
        asked = [f"**{i}.** {q.question}\n\n{q.as_list()}" for i, q in enumerate(self.questions, 1)]
        return "\n\n".join([f"## Quiz: {_count(len(asked))} questions", *asked])

    @property
    def cell(self) -> str:
        """Source of the notebook's code cell."""
        empty = ", ".join(['""'] * len(self.questions))
        return f'quiz("{self.id}").check({empty})  # your {_count(len(self.questions))} letters'

    def check(self, *letters: object) -> None:
        """Print a line for each question, then how many are right."""
        if len(letters) == 1 and isinstance(letters[0], list | tuple):
            letters = tuple(letters[0])
        n = len(self.questions)
        if len(letters) > n:
            print(f"Not yet: this quiz has {_count(n)} questions, and {len(letters)} letters came.")
            return
        answers = [*letters, *[None] * (n - len(letters))]
        verdicts = [one.judge(answer) for one, answer in zip(self.questions, answers, strict=True)]
        if not any(verdicts):
            words = f"Write the letters of your {_count(n)} answers between the quotes"
            print(fold(f"Not attempted yet. {words} and run the cell again."))
            return
        for i, verdict in enumerate(verdicts, 1):
            print(fold(f"{i}. {verdict or 'Not answered yet.'}"))
        right = sum(v is not None and v.status == "correct" for v in verdicts)
        open_ = verdicts.count(None)
        print(f"{right} of {n} right" + f", {open_} not answered" * bool(open_) + ".")

    def __repr__(self) -> str:
        return f"Quiz of unit {self.id}, {_count(len(self.questions))} questions (.check(letters))"


def _count(number: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
    return words[number] if number < len(words) else str(number)


# Files -------------------------------------------------------------------------------------------

AnyExercise = Annotated[
    ChoiceExercise | NumberExercise | WordsExercise, Field(discriminator="kind")
]
KINDS: dict[str, TypeAdapter[Any]] = {
    "predictions": TypeAdapter(Choice),
    "quiz": TypeAdapter(Choice),
    "exercises": TypeAdapter(AnyExercise),
}


@plain_dataclass(frozen=True)
class Questions:
    """What a unit asks, besides its exercises that are answered by a function."""

    predictions: tuple[Prediction, ...] = ()
    quiz: Quiz | None = None
    exercises: tuple[Task, ...] = ()


def questions_of(unit: str, folder: Path = FOLDER) -> Questions:
    """Read and validate what a unit such as ``"03"`` asks; the same objects at each call.

    Raises
    ------
    QuestionsError
        When the file is no YAML, or a question in it breaks a rule: each is named.
    """
    return _read(folder / f"{unit}.yaml")


@cache
def _read(file: Path) -> Questions:
    unit = file.stem
    if not file.is_file():
        return Questions()
    try:
        groups = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise QuestionsError(f"{file.name} is not valid YAML: {one_line(str(error))}") from error
    known = all(isinstance(v, list) for v in groups.values()) if isinstance(groups, dict) else False
    if not known or not groups.keys() <= KINDS.keys():
        raise QuestionsError(f"{file.name}: expected lists named {', '.join(KINDS)}, no other.")
    problems: list[str] = []
    asked = {name: [*_valid(unit, name, groups.get(name, []), problems)] for name in KINDS}
    if problems:
        raise QuestionsError("\n".join([f"{file.name} breaks its rules:", *problems]))
    return Questions(
        tuple(Prediction(f"{unit}.{i}", one) for i, one in enumerate(asked["predictions"], 1)),
        Quiz(unit, tuple(asked["quiz"])) if asked["quiz"] else None,
        tuple(asked["exercises"]),
    )


def _valid(unit: str, name: str, entries: list[Any], problems: list[str]) -> Iterator[Any]:
    """Validate the entries of one list of a file; what is wrong goes to ``problems``."""
    known: set[str] = set()
    for i, entry in enumerate(entries, 1):
        number = entry.get("id") if isinstance(entry, dict) else None
        place = f"  {name}, {number or f'number {i}'}"
        try:
            one = KINDS[name].validate_python(entry)
        except ValidationError as error:
            for line in error.errors():
                # The name of a kind of exercise stands among the names of the values.
                where = ".".join(str(part) for part in line["loc"] if part not in KIND_NAMES)
                words = line["msg"].removeprefix("Value error, ")
                problems.append(f"{place}: {where + ': ' if where else ''}{words}")
            continue
        if number is not None and (not number.startswith(f"{unit}.") or number in known):
            problems.append(f"{place}: id: it is no number of unit {unit}, or it stands twice")
        known.add(str(number))
        yield one


KIND_NAMES = ("choice", "number", "words")


def units(folder: Path = FOLDER) -> list[str]:
    """Name the units that have a file of questions."""
    return sorted(file.stem for file in folder.glob("[0-9][0-9].yaml"))
