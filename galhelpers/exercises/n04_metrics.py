"""Exercises of notebook 04 on metrics: the RMSE, and the accuracy of each question.

Each repairs a flaw of the published Kaggle notebook (see the package's docstring).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, Mistakes, compare, edited

Batches = list[tuple[np.ndarray, np.ndarray]]


def _batches(one: np.ndarray, two: np.ndarray, *ends: int) -> Batches:
    pieces = zip(np.split(one, ends), np.split(two, ends), strict=True)
    return list(pieces)


# 04.8 --------------------------------------------------------------------------------------------


def rmse(batches: Batches) -> float:
    """Root of the mean squared error over all galaxies and answers."""
    squares = sum(((predicted - true) ** 2).sum() for predicted, true in batches)
    return float(np.sqrt(squares / sum(true.size for _, true in batches)))


def _errors(batches: Batches) -> np.ndarray:
    return np.concatenate([predicted - true for predicted, true in batches])


_ORDER = "In which order do you average and take the root?"
RMSE_MISTAKES: Mistakes = {
    "mean of roots": (lambda batches: np.mean([rmse([one]) for one in batches]),
        f"You average the roots of the batches. {_ORDER}"),
    "weighted mean of roots": (
        lambda b: np.average([rmse([one]) for one in b], weights=[len(one[0]) for one in b]),
        f"You average the roots of the batches, weighted by their galaxies. {_ORDER}"),
    "batches weigh the same": (
        lambda batches: np.sqrt(np.mean([rmse([one]) ** 2 for one in batches])),
        "A batch of 6 galaxies counts as much as one of 64. How much does each galaxy of a small "
        "batch weigh?"),
    "no root": (lambda batches: rmse(batches) ** 2,
        "That is the mean square. What is missing in a *root* mean square?"),
    "sum over answers": (lambda batches: rmse(batches) * np.sqrt(batches[0][1].shape[1]),
        "You add over the answers of a galaxy and average over galaxies. Mean of what?"),
    "sum": (lambda batches: np.sqrt((_errors(batches) ** 2).sum()),
        "You add all squares. Their mean was asked for"),
    "37 answers": (lambda batches: rmse(batches) * np.sqrt(batches[0][1].shape[1] / 37),
        "You divide by 37 answers for each galaxy. How many are there?"),
    "absolute": (lambda batches: np.abs(_errors(batches)).mean(),
        "That is the mean absolute error. Errors are squared before they are averaged"),
    "for each answer": (lambda batches: np.sqrt((_errors(batches) ** 2).mean(axis=0)).mean(),
        "You take a root for each answer and average the roots (as scikit-learn does for many "
        f"outputs). {_ORDER}"),
    "for each galaxy": (lambda batches: np.sqrt((_errors(batches) ** 2).mean(axis=1)).mean(),
        f"You take a root for each galaxy and average the roots. {_ORDER}"),
    "deviation": (lambda batches: _errors(batches).std(),
        "That is the standard deviation of the errors: an error that all share is lost"),
    "mean error": (lambda batches: abs(_errors(batches).mean()),
        "Errors of both signs cancel. Square each before you average"),
    "one less": (
        lambda batches: np.sqrt((_errors(batches) ** 2).sum() / (_errors(batches).size - 1)),
        "You divide by one number less than there are"),
    "first batch": (lambda batches: rmse(batches[:1]), "That is the first batch alone"),
    "last batch": (lambda batches: rmse(batches[-1:]), "That is the last batch alone"),
    "without the last batch": (lambda batches: rmse(batches[:-1] or batches),
        "You leave out the last batch"),
    "as large as the first": (
        lambda batches: rmse(batches)
        * np.sqrt(_errors(batches).size / len(batches) / batches[0][1].size),
        "You divide as if all batches were as large as the first"),
    "without the last answer": (
        lambda batches: rmse([(one[:, :-1], two[:, :-1]) for one, two in batches]),
        "You leave out the last answer"),
    "one answer": (lambda batches: rmse([(one[:, :1], two[:, :1]) for one, two in batches]),
        "You look at the first answer only"),
    "largest": (lambda batches: np.abs(_errors(batches)).max(), "That is the largest error"),
}  # fmt: skip


def _check_rmse(ask: Answer) -> str | None:
    rng = np.random.default_rng(31)
    true = rng.uniform(0, 1, (70, 37))
    spread = np.linspace(0.02, 0.3, 70)[:, None] * np.linspace(0.5, 2, 37)
    predicted = true + 0.02 + rng.normal(0, 1, (70, 37)) * spread
    few = rng.permutation(37)[:4]
    offset = {
        "errors that are all 0.1, in one batch": (_batches(true + 0.1, true),),
        "one galaxy with the errors 0.3 and -0.4": (
            [(np.array([[0.3, 0.6]]), np.array([[0, 1]]))],
        ),
    }
    cases: dict[str, tuple[Any, ...]] = {
        f"70 galaxies in batches of {name}": (_batches(predicted, true, *ends),)
        for name, ends in {
            "70": [],
            "7 of 10": range(10, 70, 10),
            "64 and 6": [64],
            "1, 39 and 30": [1, 40],
        }.items()
    }
    cases["70 galaxies and 4 answers, in batches of 40 and 30"] = (
        _batches(predicted[:, few], true[:, few], 40),
    )
    return compare(ask, rmse, offset | cases, RMSE_MISTAKES, "one number, the RMSE")


RMSE = Exercise(
    id="04.8",
    title="One RMSE, whatever the batches",
    question=(
        "The Kaggle notebook reports an RMSE made by `rmse_loss`: the root of each batch's mean "
        "squared error, averaged over batches. Two things go wrong. For batches of one size, a "
        "mean of roots is never more than the root of the mean, so the number flatters the model; "
        "and a last batch of 6 galaxies weighs as much as one of 64, for better or worse. Scores "
        "that depend on the batch size cannot be compared with a leaderboard.\n\n"
        "Write `rmse(batches)`: a list of pairs `(predicted, true)` of numpy arrays, each of shape "
        "`(galaxies in the batch, answers)`, 37 answers or fewer. Return the square root of the "
        "mean of all squared errors, over **all galaxies and all answers**: the same however the "
        "galaxies are batched. For one galaxy with the errors 0.3 and -0.4 it is 0.3536."
    ),
    hints=(
        "Which two quantities can be added up batch by batch without losing anything?",
        "Keep a running sum of squared errors, and a running count of the numbers in it.",
        "Divide and take the root once, after the last batch.",
    ),
    reference=rmse,
    diagnose=_check_rmse,
    lesson="Sums can be collected batch by batch; roots and means of unequal batches cannot.",
)

# 04.3 --------------------------------------------------------------------------------------------


def get_accuracy(
    batches: Batches, n_sub_classes: Sequence[int], parents: Sequence[int | None]
) -> np.ndarray:
    """Accuracy of each question among the galaxies asked, shape (questions,)."""
    starts = np.cumsum([0, *n_sub_classes[:-1]])
    correct, asked = np.zeros(len(n_sub_classes)), np.zeros(len(n_sub_classes))
    for outputs, labels in batches:
        for q, (start, n, parent) in enumerate(zip(starts, n_sub_classes, parents, strict=True)):
            was_asked = np.ones(len(labels), bool) if parent is None else labels[:, parent] >= 0.5
            answers = slice(start, start + n)
            right = outputs[:, answers].argmax(axis=1) == labels[:, answers].argmax(axis=1)
            correct[q] += (right & was_asked).sum()
            asked[q] += was_asked.sum()
    return np.divide(correct, asked, out=np.full(len(asked), np.nan), where=asked > 0)


Tree = tuple[list[int], list[int | None]]
ONE: Tree = [3], [None]
GALAXY_ZOO: Tree = (
    [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6],
    [None, 1, 4, 4, 4, None, 0, 13, 3, 7, 7],
)


ACCURACY_MISTAKES = edited(get_accuracy, {
    "argmax(axis=1) => argmax()":
        "How many numbers does the arg-max give for a batch? Print its shape",
    "slice(start, start + n) => slice(q, q + n)":
        "Which columns did each question read? Question q does not start at column q",
    "correct, asked, out => correct, len(batches), out; asked > 0 => asked >= 0":
        "A count is divided by the number of batches. A share of what?",
    "if parent is None else => if True else":
        "You score all galaxies. Those who were not asked question q have no answer to it",
    "asked[q] += was_asked.sum() => asked[q] += len(labels)":
        "You divide by all galaxies, and count only those asked as right",
    "(right & was_asked) => right": "You count as right galaxies that were not asked",
    "(right & was_asked) => right; asked > 0 => asked >= 0":
        "You count as right galaxies that were not asked",
    "else labels[:, parent] => else outputs[:, parent]":
        "Who was asked: by the volunteers' path or the model's?",
    "else labels[:, parent] => else np.maximum(outputs, labels)[:, parent]":
        "The model has no say in who was asked",
    "else labels[:, parent] => else np.minimum(outputs, labels)[:, parent]":
        "The model has no say in who was asked",
    ">= 0.5 => > 0.5": "A parent fraction of exactly 0.5 is enough",
    ">= 0.5 => > 0":
        "You count galaxies whose question a single volunteer was asked. Half was asked for",
    ">= 0.5 => >= 0.6": "A parent fraction of 0.5 to 0.6 is enough",
    "np.ones(len(labels), bool) if => labels[:, start : start + n].max(axis=1) >= 0.5 if":
        "A question without a parent was asked of everybody",
    "parent is None => not parent":
        "Column 0 is a parent as well; only None stands for no parent",
    "labels[:, parent] => labels[:, start : start + n].sum(axis=1)":
        "Who was asked stands in the parent's column, not in the question's own answers",
    "+= (right & was_asked).sum() => += (right & was_asked).sum() / was_asked.sum() / len(batches)"
    "; correct, asked, out => correct, 1, out; asked > 0 => asked >= 0":
        "You average over batches. Does each galaxy weigh the same?",
    "+= (right & was_asked).sum() => += (right & was_asked).sum() / max(was_asked.sum(), 1)"
    "; += was_asked.sum() => += was_asked.any()":
        "You average over batches. Does each galaxy weigh the same?",
    "in batches: => in batches[:1]:": "That is the first batch alone",
    "in batches: => in batches[-1:]:": "That is the last batch alone. Where do the sums start?",
    "start + n) => start + n + 1)": "A question reads one column too many",
    "start + n) => start + n - (n > 2))": "A question reads one column too few",
    "[:, answers] => [:, :]": "Your arg-max runs over the answers of all questions together",
    "argmax => argmin": "You compare the least likely answers",
    "outputs[:, answers].argmax(axis=1) == labels[:, answers].argmax(axis=1) => "
    "((outputs[:, answers] > 0.5) == (labels[:, answers] > 0.5)).all(axis=1)":
        "The answer of a question is its largest fraction, not one above 0.5",
    "correct, asked, out => correct, asked + 1, out; asked > 0 => asked >= 0":
        "You divide by one galaxy more than were asked",
    "correct, asked, out => correct.sum(), asked.sum(), out; asked > 0 => asked >= 0":
        "One accuracy for all questions together; one for each was asked for",
    "correct, asked, out => correct, 1, out; asked > 0 => asked >= 0":
        "Those are counts. Shares of the galaxies asked were asked for",
    "return => return 1 -": "Those are the shares that are wrong",
    "return => return 100 *": "Those are percentages. A share lies between 0 and 1",
    "np.nan => 0.0":
        "Nobody was asked there, and the accuracy is 0. Is that known? nan was asked for",
    "np.nan => 1.0":
        "Nobody was asked there, and the accuracy is 1. Is that known? nan was asked for",
})  # fmt: skip


def _accuracy_cases() -> dict[str, tuple[Any, ...]]:
    rng = np.random.default_rng(32)
    cases: dict[str, tuple[Any, ...]] = {}

    labels = rng.uniform(0, 1, (5, 3))
    outputs = labels.copy()
    outputs[2] = np.roll(labels[2], 1)
    seen = "one question and one batch of 4 galaxies, 3 of them right"
    cases[seen] = ([(outputs[:4], labels[:4])], *ONE)

    labels = rng.uniform(0, 0.9, (12, 7))
    outputs = labels.copy()
    outputs[:, :3] = np.roll(labels[:, :3], 1, axis=1)
    seen = "questions of 3, 2 and 2 answers, of which the first is always wrong"
    cases[seen] = ([(outputs, labels)], [3, 2, 2], [None, None, None])

    labels = rng.uniform(0.1, 0.4, (10, 5))
    labels[:5, 1] = [0.9, 0.8, 0.7, 0.6, 0.5]  # five were asked, the last one only just
    outputs = labels.copy()
    outputs[4:, 3:] = labels[4:, :2:-1]  # question 2: the first four right, the others wrong
    outputs[:, 1] = [0.6, 0, 0, 0, 0, 0.6, 0.6, 0.6, 0, 0]
    outputs[:, 0] = 0.9
    seen = "10 galaxies, 5 of them asked question 2 (one by 0.5 exactly), of these 4 right"
    cases[seen] = ([(outputs, labels)], [3, 2], [None, 1])

    labels = np.eye(3)[[0, 1, 2, 0, 1]]
    outputs = np.eye(3)[[0, 1, 0, 0, 2]]
    cases["3 of 5 galaxies right, in batches of 4 and 1"] = (_batches(outputs, labels, 4), *ONE)

    tree = [2, 3, 2], [None, 0, 3]
    labels, outputs = rng.dirichlet([2] * 7, 60) * 2, rng.dirichlet([2] * 7, 60) * 2
    labels[:20, 0], labels[20:40, 3] = 0.1, 0.2  # nobody asked in one batch, some in the others
    labels[20:, 0], labels[40:, 3] = 0.8, 0.7
    seen = "3 questions in batches of 20, in the first of which nobody was asked questions 2 and 3"
    cases[seen] = (_batches(outputs, labels, 20, 40), *tree)

    labels, outputs = rng.uniform(0.2, 0.8, (2, 90, 37))
    outputs = np.log(outputs)  # scores need not be fractions
    pairs = _batches(outputs, labels, 40, 80)
    cases["Galaxy Zoo 2's 11 questions, negative outputs and batches of 40, 40 and 10"] = (
        pairs,
        *GALAXY_ZOO,
    )
    labels = labels.copy()
    labels[:, 0] = 0
    seen = "Galaxy Zoo 2's 11 questions, the seventh of which nobody was asked"
    cases[seen] = (_batches(outputs, labels, 50), *GALAXY_ZOO)
    return cases


def _check_accuracy(ask: Answer) -> str | None:
    what = "one accuracy for each question, shape (questions,)"
    return compare(ask, get_accuracy, _accuracy_cases(), ACCURACY_MISTAKES, what)


ACCURACY = Exercise(
    id="04.3",
    title="Repair the accuracy",
    question=(
        "The stub is the Kaggle notebook's `get_accuracy` in numpy, with its loop over batches. "
        "It returns numbers between 0 and 1, and its authors concluded that their networks failed. "
        "Four things are wrong: which columns a question reads; over what the arg-max runs; what "
        "the sum is divided by; and galaxies count for questions that hardly any volunteer was "
        "asked, where the labels are about 0 and the arg-max means nothing.\n\n"
        "Repair it. `batches` is a list of `(outputs, labels)`, arrays of shape `(galaxies, "
        "answers)`; `n_sub_classes` the number of answers of each question; `parents` the column "
        "of the answer that leads to each question, or None. Score question `q` on galaxies with "
        "`labels[:, parents[q]] >= 0.5` (all, if None). A galaxy is right when the largest output "
        "and the largest label of the question are the same answer. Return the share of right "
        "galaxies for each question, over all batches together, shape `(questions,)`; nan where "
        "nobody was asked."
    ),
    stub='''def get_accuracy(batches, n_sub_classes, parents):
    """Accuracy of each question among the galaxies asked, shape (questions,)."""
    total = np.zeros(len(n_sub_classes))
    for outputs, labels in batches:
        predictions = map(np.argmax, [outputs[:, i : i + n] for i, n in enumerate(n_sub_classes)])
        true_targets = map(np.argmax, [labels[:, i : i + n] for i, n in enumerate(n_sub_classes)])
        total += [pred == true for pred, true in zip(predictions, true_targets)]
    return total / len(batches)''',
    hints=(
        "Take one question first. With labels as outputs, print the slices and an arg-max's shape.",
        "Question 2 starts after the answers of question 1: `np.cumsum([0, *n_sub_classes[:-1]])`. "
        "One arg-max for each galaxy needs `axis=1`.",
        "Keep two sums for each question, galaxies right and galaxies asked; divide at the end.",
        "`was_asked = labels[:, parents[q]] >= 0.5` is a mask: count `right & was_asked`.",
    ),
    reference=get_accuracy,
    diagnose=_check_accuracy,
    lesson="Test a metric on a case you can count on your fingers before you believe a network's.",
)

EXERCISES = (RMSE, ACCURACY)
