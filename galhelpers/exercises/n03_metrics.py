"""Exercises of notebook 03 on metrics: the RMSE, and the accuracy of each question.

Each repairs a flaw of the published Kaggle notebook (see the package's docstring).
"""

from collections.abc import Sequence

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, as_array, as_number, close

Batches = list[tuple[np.ndarray, np.ndarray]]


def _batches(one: np.ndarray, two: np.ndarray, *ends: int) -> Batches:
    pieces = zip(np.split(one, ends), np.split(two, ends), strict=True)
    return list(pieces)


# 03.1 --------------------------------------------------------------------------------------------


def rmse(batches: Batches) -> float:
    """Root of the mean squared error over all galaxies and answers."""
    squares = sum(((predicted - true) ** 2).sum() for predicted, true in batches)
    return float(np.sqrt(squares / sum(true.size for _, true in batches)))


def _check_rmse(ask: Answer) -> str | None:
    rng = np.random.default_rng(31)
    true = rng.uniform(0, 1, (70, 37))
    predicted = true + rng.normal(0, 1, (70, 37)) * np.linspace(0.02, 0.3, 70)[:, None]
    what = "one number, the RMSE"
    offset = as_number(ask(_batches(true + 0.1, true), seen="errors that are all 0.1"), what)
    if close(offset, 0.01):
        return "when every error is 0.1 you give 0.01: what is missing in a *root* mean square?"
    if close(offset, 0.1 * np.sqrt(37), 1e-3):
        return "when every error is 0.1 you give 0.608, larger by the root of 37. Mean of what?"
    if not close(offset, 0.1):
        return f"when every error is 0.1, in one batch of 70 galaxies, you give {offset:.4g}"
    cases = {"7 of 10": range(10, 70, 10), "64 and 6": [64], "1, 39 and 30": [1, 40]}
    whole = as_number(ask(_batches(predicted, true), seen="one batch of 70"), what)
    for name, ends in cases.items():
        got = as_number(ask(_batches(predicted, true, *ends), seen=f"batches of {name}"), what)
        if close(got, whole):
            continue
        seen = f"for the same 70 galaxies you give {whole:.5f} in one batch and {got:.5f} in "
        seen += f"batches of {name}"
        if name == "7 of 10":
            return (
                f"{seen}. All batches weigh the same there: in which order do you average and root?"
            )
        return (
            f"{seen}, though equal batches agree. How much does each galaxy of a small batch weigh?"
        )
    return (
        None if close(whole, rmse(_batches(predicted, true))) else "try it by hand on two galaxies"
    )


RMSE = Exercise(
    id="03.1",
    title="One RMSE, whatever the batches",
    question=(
        "The Kaggle notebook reports an RMSE made by `rmse_loss`: the root of each batch's mean "
        "squared error, averaged over batches. Two things go wrong. A mean of roots is never more "
        "than the root of the mean, so the number flatters the model, the more so the smaller the "
        "batches; and a last batch of 6 galaxies weighs as much as one of 64. Scores that depend "
        "on the batch size cannot be compared with a leaderboard.\n\n"
        "Write `rmse(batches)`: a list of pairs `(predicted, true)` of numpy arrays, each of shape "
        "`(galaxies in the batch, answers)`. Return the square root of the mean of all squared "
        "errors, over **all galaxies and all answers**: the same however the galaxies are batched."
    ),
    stub='''def rmse(batches):
    """Root of the mean squared error over all galaxies and answers."""
    ...''',
    hints=(
        "Which two quantities can be added up batch by batch without losing anything?",
        "Keep a running sum of squared errors, and a running count of the numbers in it.",
        "Divide and take the root once, after the last batch.",
    ),
    reference=rmse,
    diagnose=_check_rmse,
    lesson="Sums can be collected batch by batch; roots and means of unequal batches cannot.",
)

# 03.2 --------------------------------------------------------------------------------------------


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


def _check_accuracy(ask: Answer) -> str | None:
    def got(batches: Batches, sizes: list[int], parents: list[int | None], seen: str) -> np.ndarray:
        what = f"one accuracy for each of {len(sizes)} questions, shape ({len(sizes)},)"
        return as_array(ask(batches, sizes, parents, seen=seen), (len(sizes),), what)

    rng = np.random.default_rng(32)
    labels = rng.uniform(0, 1, (5, 3))
    outputs = labels.copy()
    outputs[[2, 4]] = np.roll(labels[[2, 4]], 1, axis=1)  # galaxies 2 and 4 predicted wrongly
    value = got([(outputs[:4], labels[:4])], [3], [None], "one batch of 4 galaxies")[0]
    if value > 1:
        return f"3 of 4 galaxies are right, and the accuracy is {value:g}. A share of what?"
    if value in (0, 1):
        return (
            f"3 of 4 galaxies are right, and the accuracy is {value:g}. How many numbers does the "
            "arg-max give for a batch of 4? Print its shape"
        )
    if not close(value, 0.75):
        return f"3 of 4 galaxies are right in one batch, and the accuracy is {value:.4g}"

    labels, sizes = rng.uniform(0, 0.9, (12, 7)), [3, 2, 2]
    outputs = labels.copy()
    outputs[:, :3] = np.roll(labels[:, :3], 1, axis=1)
    values = got([(outputs, labels)], sizes, [None, None, None], "3 questions")
    if not close(values, [0, 1, 1]):
        return (
            "of 3 questions with 3, 2 and 2 answers only the first was predicted wrongly, always; "
            f"your accuracies are {values.round(2).tolist()}. Which columns did each question read?"
        )

    labels = rng.uniform(0.1, 0.4, (10, 5))
    labels[:5, 1] = [0.9, 0.8, 0.7, 0.6, 0.5]  # five were asked, the last one only just
    outputs = labels.copy()
    outputs[4:, 3:] = labels[4:, :2:-1]  # question 2: the first four right, the others wrong
    outputs[:, 1] = [0.6, 0, 0, 0, 0, 0.6, 0.6, 0.6, 0, 0]
    value = got([(outputs, labels)], [3, 2], [None, 1], "10 galaxies, 5 of them asked")[1]
    seen = "5 of 10 galaxies were asked question 2, and 4 of the 5 are right"
    if close(value, 0.4):
        return f"{seen}; your accuracy is 0.4. What can be right about the other five?"
    if close(value, 0.25):
        return (
            f"{seen}; your accuracy is 0.25. Who was asked: by the volunteers' path or the model's?"
        )
    if close(value, 1):
        return f"{seen}; your accuracy is 1. One galaxy's parent fraction is exactly 0.5"
    if not close(value, 0.8):
        return f"{seen}; your accuracy is {value:.4g}"

    labels = np.eye(3)[[0, 1, 2, 0, 1]]
    outputs = np.eye(3)[[0, 1, 0, 0, 2]]
    value = got(_batches(outputs, labels, 4), [3], [None], "batches of 4 and 1")[0]
    if not close(value, 0.6):
        return (
            f"3 of 5 galaxies are right; in batches of 4 and 1 you give {value:.4g}. Does each "
            "galaxy weigh the same?"
        )
    tree = [3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6], [None, 1, 4, 4, 4, None, 0, 13, 3, 7, 7]
    labels, outputs = rng.uniform(0.2, 0.8, (90, 37)), rng.uniform(0.2, 0.8, (90, 37))
    pairs = _batches(outputs, labels, 40, 80)
    if not close(got(pairs, *tree, "Galaxy Zoo 2's 11 questions"), get_accuracy(pairs, *tree)):
        return "small cases agree, but not all of Galaxy Zoo 2's 11 questions in three batches"
    labels[:, 0] = 0
    value = as_array(ask([(outputs, labels)], *tree, seen="nobody asked"), (11,), finite=False)[6]
    if not np.isnan(value):
        return f"nobody was asked question 7, and its accuracy is {value:g}. Is that known?"
    return None


ACCURACY = Exercise(
    id="03.2",
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
        "`labels[:, parents[q]] >= 0.5` (all, if None). Return its shares right, shape "
        "`(questions,)`; nan where nobody was asked."
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
