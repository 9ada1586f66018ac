"""Predictions, quizzes and exercises whose texts are data: the engine, then every real file."""

import copy
import re
import subprocess
import sys
from collections import Counter
from itertools import combinations

import pytest
import yaml

from galhelpers.course import exercise, predict, quiz
from galhelpers.exercises import exercises_of, find, find_prediction, find_quiz
from galhelpers.exercises.questions import (
    FOLDER,
    ChoiceExercise,
    NumberExercise,
    QuestionsError,
    WordsExercise,
    questions_of,
    units,
)

OPTIONS = {
    "a": {"text": "ten *seconds*", "why": "`x * y` takes longer."},
    "b": {"text": "a minute", "why": "So it is."},
    "c": {"text": "an hour", "why": "It is not *that* slow."},
}
CHOICE = {"question": "How *long*?", "options": OPTIONS, "right": "b"}
LETTER = {"id": "93.1", "kind": "choice", "title": "Look", "hints": ["one", "two"], **CHOICE}
NUMBER = {
    "id": "93.2",
    "kind": "number",
    "title": "Change it",
    "question": "How many?",
    "hints": ["one"],
    "value": 0.73,
    "tolerance": 0.02,
    "near": [{"value": 0.5, "tolerance": 0.01, "why": "You guess."}],
    "why": "Three in four.",
}
WORDS = {
    "id": "93.10",
    "kind": "words",
    "title": "Say it",
    "question": "Why?",
    "model_answer": "Because *it* is.",
}
ALL = {
    "predictions": [CHOICE, CHOICE | {"right": "a"}],
    "quiz": [CHOICE, CHOICE | {"right": "c"}, CHOICE],
    "exercises": [WORDS, NUMBER, LETTER],
}


def write(folder, content, unit="93"):
    """Write a file of questions, and look into the folder with it."""
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (folder / f"{unit}.yaml").write_text(text, "utf-8")
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, ALL)


def said(capsys, function, *arguments):
    function(*arguments)
    return capsys.readouterr().out.rstrip("\n")


# Letters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["b", "B", " b ", "(b)", "b)", "b.", "'b'"])
def test_letters_are_forgiven(folder, capsys, answer):
    assert said(capsys, find("93.1", folder).check, answer) == "Correct. So it is."
    assert find_prediction("93.1", folder).record(answer).letter == "b"
    lines = said(capsys, find_quiz("93", folder).check, answer, answer).splitlines()
    assert lines[0] == "1. Correct. So it is."


@pytest.mark.parametrize("answer", ["d", "ab", "B b", 2, "2", {"b"}, object(), 1.5, b"b", "ß"])
def test_an_unknown_letter_says_which_there_are(folder, capsys, answer):
    line = said(capsys, find("93.1", folder).check, answer)
    assert line.startswith("Not yet: there is no option ")
    assert line.endswith("; write a, b or c, in quotes.")
    assert "\n" not in line
    prediction = find_prediction("93.1", folder)
    assert "there is no option" in repr(prediction.record(answer))
    assert prediction.letter is None
    assert "there is no option" in said(capsys, find_quiz(93, folder).check, answer)


@pytest.mark.parametrize("answers", [(), ("",), (" ",), (None,), (...,), ("?",), ("...",)])
def test_nothing_is_not_attempted(folder, capsys, answers):
    for number, hint in (("93.1", True), ("93.2", True)):
        line = said(capsys, find(number, folder).check, *answers)
        if number == "93.2" and answers in (("?",), ("...",)):
            continue
        assert line.startswith("Not attempted yet. Write ")
        assert (f'exercise("{number}").hint()' in line) == hint
    assert said(capsys, find_quiz(93, folder).check, *answers) == (
        "Not attempted yet. Write the letters of your three answers between the quotes and run\n"
        "the cell again."
    )


def test_a_wrong_letter_gets_its_reason_and_not_the_answer(folder, capsys):
    one = find("93.1", folder)
    assert said(capsys, one.check, "a") == "Not yet: x * y takes longer."
    assert said(capsys, one.check, "c") == "Not yet: It is not that slow."
    assert said(capsys, one.check, "a", "b").startswith("Not yet: one letter is asked for")
    assert said(capsys, one.solution).splitlines() == [
        "Right is b) a minute: So it is.",
        "Not a) ten seconds: x * y takes longer.",
        "Not c) an hour: It is not that slow.",
    ]
    assert one.markdown == (
        "### Exercise 93.1: Look\n\nHow *long*?\n\n"
        "- **a)** ten *seconds*\n- **b)** a minute\n- **c)** an hour"
    )
    assert one.cell == 'exercise("93.1").check("")'
    assert said(capsys, one.hint) == "Hint 1 of 2: one"
    assert said(capsys, one.hint, 2) == "Hint 2 of 2: two"
    assert "no further hints" in said(capsys, one.hint, 3)


# Numbers and words -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        *((x, "Correct. Three in four.") for x in (0.73, 0.71, 0.75, "0.73", "0,74", [0.73])),
        (0.5, "Not yet: You guess."),
        (0.49, "Not yet: You guess."),
        (73, "Not yet: 73 is a hundred times the number asked for: a share, or per cent?"),
        (0.0073, "Not yet: 0.0073 is a hundredth of the number asked for: a share, or per cent?"),
        (0.76, "Not yet: 0.76 is too large."),
        (-0.73, "Not yet: -0.73 is too small."),
        ("many", "Not yet: expected one number, got 'many'."),
        ([1, 2], "Not yet: expected one number, got [1, 2]."),
        (float("nan"), "Not yet: expected finite numbers, found nan."),
    ],
)  # fmt: skip
def test_numbers(folder, capsys, answer, line):
    found = said(capsys, find("93.2", folder).check, answer)
    assert found.startswith(line[:-1])
    assert max(map(len, found.splitlines())) <= 88


def test_a_number_has_a_cell_and_a_solution(folder, capsys):
    one = find("93.2", folder)
    assert one.cell == 'exercise("93.2").check(...)'
    assert said(capsys, one.solution) == "0.73, or within 0.02 of it. Three in four."
    assert said(capsys, one.check, 1, 2).startswith("Not yet: ")


def test_words_have_a_model_answer_to_unfold_and_no_cell(folder, capsys):
    one = find("93.10", folder)
    assert one.cell == ""
    assert one.markdown.startswith("### Exercise 93.10: Say it\n\nWhy?\n\n<details>\n<summary>")
    assert one.markdown.endswith("\n\nBecause *it* is.\n\n</details>")
    assert said(capsys, one.solution) == "Because it is."
    assert "answered in words" in said(capsys, one.check, "Because")


# Predictions and quizzes -------------------------------------------------------------------------


def test_a_prediction_is_kept_and_compared(folder, capsys):
    one = find_prediction("93.1", folder)
    assert one.markdown.startswith("**Before you run: predict.** How *long*?\n\n- **a)** ten ")
    assert one.cell == 'predict("93.1", "")  # your letter'
    assert repr(one.record("")).startswith("No prediction yet. Write a, b or c between")
    assert said(capsys, one.compare) == "You made no prediction. Right is b) a minute. So it is."
    assert repr(one.record("c")) == "You predict c) an hour. Read on; it is compared below."
    assert find_prediction(93.1, folder) is one
    assert repr(one.record("x")).startswith("Not recorded: there is no option 'x'")
    assert said(capsys, one.record("").compare) == (
        "You predicted c) an hour. It is not that slow.\nRight is b) a minute. So it is."
    )
    assert said(capsys, one.record("b").compare) == "You predicted b) a minute. Correct. So it is."
    assert find_prediction("93.2", folder).letter is None


def test_a_quiz_has_a_line_for_each_question_and_the_number_right(folder, capsys):
    one = find_quiz("93", folder)
    assert one.cell == 'quiz("93").check("", "", "")  # your three letters'
    assert one.markdown.startswith("## Quiz: three questions\n\n**1.** How *long*?\n\n- **a)** ")
    assert said(capsys, one.check, "b", "b", "") == (
        "1. Correct. So it is.\n2. Not yet: So it is.\n3. Not answered yet.\n"
        "1 of 3 right, 1 not answered."
    )
    assert said(capsys, one.check, ["b", "c", "b"]).endswith("\n3 of 3 right.")
    assert said(capsys, one.check, *"bcba") == (
        "Not yet: this quiz has three questions, and 4 letters came."
    )


# Finding them ------------------------------------------------------------------------------------


def test_numbers_of_questions_are_forgiven_and_those_there_are_not_are_told(folder, capsys):
    assert [one.id for one in exercises_of("93", folder)] == ["93.1", "93.2", "93.10"]
    for number in (93.2, "93-2", " 93.02", "Exercise 93.2"):
        assert find(number, folder).id == "93.2"
    assert find_quiz(93, folder) is find_quiz("unit 93", folder)
    for function in (find, find_prediction, find_quiz):
        for number in ("97.1", "", None, ..., -1, "x", 1e99, b"\xff"):
            none = function(number, folder)
            assert repr(none).startswith("There is no ")
            for method in (none.check, none.hint, none.solution, none.compare):
                assert said(capsys, method, "a") == repr(none)
    assert "Unit 93 has 93.1, 93.2." in repr(find_prediction(93.7, folder))
    assert repr(predict("99.1", "b")).startswith("There is no prediction '99.1'.")
    assert repr(quiz(99)).startswith("There is no quiz 99.")


def test_importing_the_course_loads_nothing_heavy():
    code = (
        "import sys; from galhelpers.course import exercise, predict, quiz; "
        "print(*{'torch', 'numpy', 'pandas', 'pydantic', 'yaml'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


# Files that break a rule -------------------------------------------------------------------------


def changed(name, position, **values):
    content = copy.deepcopy(ALL)
    content[name][position].update(values)
    return content


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        ("a: [", ["93.yaml is not valid YAML"]),
        ("just words", ["93.yaml: expected lists named predictions, quiz, exercises"]),
        ({"quizz": []}, ["93.yaml: expected lists named"]),
        ({"quiz": {}}, ["93.yaml: expected lists named"]),
        ({"quiz": ["words"]}, ["quiz, number 1: "]),
        (changed("quiz", 1, right="d"), ["quiz, number 2: ", "`right` is one of a, b, c, found d"]),
        (changed("quiz", 1, options={"a": OPTIONS["a"]}), ["options are a, b, ... in this order"]),
        (changed("quiz", 0, options={"b": OPTIONS["a"], "c": OPTIONS["b"]}), ["found b, c"]),
        (changed("quiz", 0, options=OPTIONS | {"c": OPTIONS["a"]}), ["have the same `text`"]),
        (
            changed("quiz", 0, options=OPTIONS | {"c": {"text": "x", "why": "So it is."}}),
            ["quiz, number 1: two options have the same `why`"],
        ),
        (
            changed("predictions", 0, options=OPTIONS | {"c": {"text": "x", "why": " "}}),
            ["predictions, number 1: options.c.why: this text is empty"],
        ),
        (
            changed("predictions", 0, options=OPTIONS | {"c": {"text": "x"}}),
            ["predictions, number 1: options.c.why: Field required"],
        ),
        (
            changed("predictions", 0, options=OPTIONS | {"c": {"text": 0.7, "why": "x"}}),
            ["options.c.text: Input should be a valid string"],
        ),
        (changed("predictions", 1, hint="x"), ["predictions, number 2: hint: Unexpected"]),
        (changed("exercises", 1, near=[{"value": 0.74, "tolerance": 0, "why": "x"}]),
            ["exercises, 93.2: ", "near 0.74 is a right answer"]),
        (changed("exercises", 1, tolerance=-1), ["exercises, 93.2: tolerance: "]),
        (changed("exercises", 1, value=float("nan")), ["exercises, 93.2: value: "]),
        (changed("exercises", 2, hints=[]), ["exercises, 93.1: hints: "]),
        (changed("exercises", 2, kind="guess"), ["exercises, 93.1: ", "'guess'"]),
        (changed("exercises", 2, id="92.1"), ["exercises, 92.1: id: it is no number of unit 93"]),
        (changed("exercises", 2, id="93.2"), ["exercises, 93.2: id: ", "stands twice"]),
        (changed("exercises", 2, id=93.1), ["exercises, 93.1: id: Input should be a valid str"]),
        (changed("exercises", 0, model_answer=""), ["93.10: model_answer: this text is empty"]),
    ],
)  # fmt: skip
def test_an_error_names_the_file_and_the_question(tmp_path, content, fragments):
    with pytest.raises(QuestionsError) as error:
        questions_of("93", write(tmp_path, content))
    assert str(error.value).startswith("93.yaml")
    for fragment in fragments:
        assert fragment in str(error.value)


# Every real file ---------------------------------------------------------------------------------

UNITS = units()
each_unit = pytest.mark.parametrize("unit", UNITS)


def choices(unit):
    """Every question with letters, by what it is called."""
    asked = questions_of(unit)
    found = {f"prediction {one.id}": one.choice for one in asked.predictions}
    found |= {f"quiz {i}": one for i, one in enumerate(asked.quiz.questions, 1)}
    return found | {one.id: one for one in asked.exercises if isinstance(one, ChoiceExercise)}


@each_unit
def test_what_a_unit_asks(unit):
    asked = questions_of(unit)
    assert 2 <= len(asked.predictions) <= 4
    assert len(asked.quiz.questions) == 5
    ids = [one.id for one in exercises_of(unit)]
    assert ids == [f"{unit}.{k}" for k in range(1, len(ids) + 1)]


@each_unit
def test_the_right_letter_cannot_be_guessed_from_the_looks(unit):
    questions = questions_of(unit).quiz.questions
    assert max(Counter(one.right for one in questions).values()) <= 3
    longest = [max(q.options, key=lambda a, q=q: len(q.options[a].text)) for q in questions]
    assert sum(a == q.right for a, q in zip(longest, questions, strict=True)) <= 3
    assert len({one.choice.right for one in questions_of(unit).predictions}) > 1


@each_unit
def test_no_reason_of_a_wrong_option_tells_the_right_one(unit):
    for name, one in choices(unit).items():
        right = one.options[one.right]
        for letter, option in one.options.items():
            if letter != one.right:
                # Short texts, such as "bars", are words of the question too.
                told = len(right.text) > 20 and right.text.lower() in option.why.lower()
                assert not told, (name, letter)
                assert not re.search(rf"\b(right|correct)\b.*\({one.right}\)", option.why), name


def texts(value):
    if isinstance(value, dict):
        value = list(value.values())
    return [text for one in value for text in texts(one)] if isinstance(value, list) else [value]


@each_unit
def test_texts_speak_of_the_subject_only(unit):
    content = yaml.safe_load((FOLDER / f"{unit}.yaml").read_text("utf-8"))
    for text in map(str, texts(content)):
        assert not re.search(r"\b(I|me|my|we|us|our|ours)\b", text, re.I), text
        assert not re.search(r"/(work|tmp|home)\b|\bissue \d|\bTODO\b|shared/guide", text), text
        assert not re.search(r"(?<![\w.])\.\d", text), f"a number has its leading zero: {text}"


@each_unit
def test_each_exercise_answers_to_its_right_answer_and_to_each_wrong_one(unit, capsys):
    for one in questions_of(unit).exercises:
        assert exercise(one.id) is one
        if isinstance(one, ChoiceExercise):
            for letter in one.options:
                word = "Correct. " if letter == one.right else "Not yet: "
                line = said(capsys, one.check, letter)
                assert line.startswith(word)
                assert max(map(len, line.splitlines())) <= 88
        elif isinstance(one, NumberExercise):
            assert said(capsys, one.check, one.value).startswith("Correct. ")
            for near in one.near:
                assert said(capsys, one.check, near.value).startswith("Not yet: ")
            for first, second in combinations(one.near, 2):
                assert not first.holds(second.value), f"{one.id}: two reasons for {second.value}"
        else:
            assert isinstance(one, WordsExercise)
            assert len(one.model_answer.split()) >= 15
        assert len(one.question.split()) >= 10


@each_unit
def test_each_prediction_and_quiz_is_found(unit):
    for one in questions_of(unit).predictions:
        assert find_prediction(one.id) is one
    assert find_quiz(unit) is quiz(unit) is questions_of(unit).quiz
