"""Course tools: the way to an exercise, the runner, the report and the command line.

Importing this package loads none of them: ``galhelpers doctor`` must start fast, and a notebook
pays for torch only when it asks for an exercise that needs it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galhelpers.exercises.exercise import Exercise

__all__ = ["exercise"]


def exercise(number: str) -> "Exercise":
    """Find an exercise by its number, for example ``exercise("03.2").check(my_function)``.

    Parameters
    ----------
    number
        Notebook and place in it: ``"01.1"`` is the first exercise of notebook 01.

    Raises
    ------
    ValueError
        When there is no such exercise; the message lists those there are.
    """
    from galhelpers.exercises import find

    return find(number)
