"""Course tools: the way to an exercise, the runner, the report and the command line.

Importing this package loads none of them: ``galhelpers doctor`` must start fast, and a notebook
pays for torch only when it asks for an exercise that needs it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galhelpers.exercises import NoExercise
    from galhelpers.exercises.exercise import Task
    from galhelpers.exercises.questions import Prediction, Quiz

__all__ = ["exercise", "predict", "quiz"]


def exercise(number: object = "") -> "Task | NoExercise":
    """Find an exercise by its number, for example ``exercise("04.2").check(my_function)``.

    Parameters
    ----------
    number
        Notebook and place in it: ``"01.1"`` is the first exercise of notebook 01. A number that
        does not exist gives an object that says so in one line, with the nearest that do.
    """
    from galhelpers.exercises import find

    return find(number)


def predict(number: object = "", letter: object = "") -> "Prediction | NoExercise":
    """Record what you expect before a result is seen: ``predict("03.1", "b")``.

    Parameters
    ----------
    number
        Unit and place in it: ``"03.1"`` is the first prediction of unit 03.
    letter
        The option. Without one, nothing is recorded, and the prediction that was made before is
        there for ``predict("03.1").compare()``, below the result.
    """
    from galhelpers.exercises import NoExercise, find_prediction

    found = find_prediction(number)
    return found if isinstance(found, NoExercise) else found.record(letter)


def quiz(unit: object = "") -> "Quiz | NoExercise":
    """Find the quiz at the end of a unit: ``quiz("03").check("a", "c", "b", "d", "a")``."""
    from galhelpers.exercises import find_quiz

    return find_quiz(unit)
