"""Course tools: the way to an exercise, the runner, the report and the command line.

Importing this package loads none of them: ``galhelpers doctor`` must start fast, and a notebook
pays for torch only when it asks for an exercise that needs it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galhelpers.exercises import NoExercise
    from galhelpers.exercises.exercise import Exercise

__all__ = ["exercise"]


def exercise(number: object = "") -> "Exercise | NoExercise":
    """Find an exercise by its number, for example ``exercise("04.2").check(my_function)``.

    Parameters
    ----------
    number
        Notebook and place in it: ``"01.1"`` is the first exercise of notebook 01. A number that
        does not exist gives an object that says so in one line, with the nearest that do.
    """
    from galhelpers.exercises import find

    return find(number)
