"""The exercises of every notebook: question, stub, hints, solution and check.

Those of notebook 04 that are functions are repairs of real flaws in a published Kaggle notebook,
"Galaxy Imagery Classification" (LinNet, ConvNet, DenseNet121 and ResNet18 on the 37 Galaxy Zoo
fractions). Its report calls its own results "not successful"; each flaw alone is enough to mislead
an author. They are named as the function to write:

=================== ================================================================================
``rmse``            ``rmse_loss``: the root is taken for each batch, and the roots are averaged.
``get_accuracy``    a question's number used as its first column; one arg-max for a whole batch; a
                    count divided by the number of batches; galaxies scored on questions that their
                    volunteers were never asked.
``train_one_epoch`` ``train_model``: training mode is set once, and the first validation ends it.
``snapshot``        ``select_best_initial_weights``: "best" weights that later trials overwrite.
``stop_epoch``      ``train_model``: the early stop looks an epoch back and forgets the best one.
``report``          one validation set chooses the weights, stops the training, gives the score.
``make_prepare``    ``get_transform_config``: images are fed to networks without normalisation.
=================== ================================================================================

Those of notebooks 06 and 07 follow Gupta, Srijith & Desai 2022 (ResNet, NODE and NODE_ACA in five
classes): their networks' mathematics, and what their tables say about how the numbers were made:

====  =======================================================================================
06.1  a residual block is one step of Euler's method.
06.4  Heun-Euler, the solver in the code of NODE_ACA: two answers from two evaluations.
06.5  the control of the step, which replaces the number of layers.
07.1  the adaptive checkpoint adjoint: back over the stored steps, instead of solving backwards.
07.3  "averaged over 10 runs": the classes' numbers are those of one split, not of ten.
07.4  the adjoint of Euler's steps by hand, for one number.
07.5  the paper's "accuracy" is recall; overall accuracy is in the tables, which miss galaxies.
====  =======================================================================================

Those of notebook 08 follow Walmsley et al. 2020 and 2022, the code of Zoobot, and Leach 2022, a
rebuild: votes as draws first, then what honest scores and honest doubts of a committee are:

====  =======================================================================================
08.1  the network does not know the share: the beta-binomial, or Dirichlet-multinomial of two.
08.2  three forecasts with the same expected shares: who is surprised least.
08.3  votes are added to concentrations: prior and posterior by hand.
08.4  cross-entropy of a fraction forgets how many voted: the binomial, one question at a time.
08.5  in words: is dropout at prediction Bayesian?
====  =======================================================================================

Those of notebook 09 follow the same works: error bars, honest scores, and which galaxy is next:

====  =======================================================================================
09.1  four histograms of the PIT: too sure, not sure enough, biased, honest.
09.2  one factor on a network's precision that makes the votes likeliest.
09.3  BALD: which galaxy's votes would tell the passes apart.
09.4  the median of the passes' ends, a published interval, leaves their disagreement out.
09.5  a list of parents that asks everybody about the bar; mean fractions multiplied.
09.6  votes are draws, so the error of vote fractions has a floor.
09.7  accuracies over galaxies whose volunteers were never asked, as in Leach's report.
====  =======================================================================================

Those of notebook 10 follow Khan, Huerta et al. 2019 (from SDSS to DES), the code and slides
published with it, and the frozen networks of Zoobot 2.9.0 and of the Kaggle notebook:

====  =======================================================================================
10.1  cutouts of 22.1 arcsec beside cutouts that grow with the galaxy: the same sky first.
10.2  "head only", but the running statistics of BatchNorm move.
10.3  an accuracy on the surest half, where each network chooses its own.
10.4  "recursive training" from one run and without a control: pairs over seeds.
10.5  a galaxy in training and in test, under two names: match positions.
10.6  GPUs compared by runs that stopped at different epochs.
====  =======================================================================================

A file is found by its name: ``n04_training.py`` holds exercises of notebook 04, in ``EXERCISES``,
and ``questions/04.yaml`` those that a letter, a number or words answer, with the unit's predictions
and its quiz (see ``questions.py``).
A mistake that gets words of its own is mostly an edit of the solution, such as ``"std => var"``.
Wrong answers, each with the diagnosis that it must get, are in files of the same names in
``tests/exercises``.
"""

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from galhelpers.exercises.exercise import Task, describe
from galhelpers.exercises.questions import FOLDER, Prediction, Quiz, questions_of, units

MODULES = sorted(m.name for m in iter_modules(__path__) if re.match(r"n\d\d_", m.name))


def exercises_of(unit: str, folder: Path = FOLDER) -> tuple[Task, ...]:
    """Exercises of a unit such as ``"03"``, in order; imports only its files.

    Parameters
    ----------
    folder
        Where the files are that hold the exercises which no function answers.
    """
    found = [*_functions_of(unit), *questions_of(unit, folder).exercises]
    return tuple(sorted(found, key=lambda e: _read(e.id)))


@cache
def _functions_of(unit: str) -> tuple[Task, ...]:
    names = [name for name in MODULES if name.startswith(f"n{unit}_")]
    return tuple(e for name in names for e in import_module(f"{__name__}.{name}").EXERCISES)


def all_exercises() -> tuple[Task, ...]:
    """Every exercise of the course, in order."""
    return tuple(e for unit in _units() for e in exercises_of(unit))


def _units() -> list[str]:
    return sorted({name[1:3] for name in MODULES} | {*units()})


class NoExercise:
    """What stands in for an exercise that does not exist: whatever is asked of it, it says so.

    It is no error, so that a wrong number in one cell does not stop the cells below. It stands in
    for a quiz and a prediction too.
    """

    def __init__(self, message: str) -> None:
        self.id = self.title = self.question = self.lesson = self.markdown = self.cell = message

    def check(self, *answers: object, **named: object) -> None:
        """Print that there is no such exercise."""
        print(self.id)

    hint = solution = compare = check

    def __repr__(self) -> str:
        return self.id


def _read(number: object) -> tuple[int, int]:
    """Read a number such as ``"04.2"``: unit and place in it, (0, 0) where there is none."""
    parts = re.fullmatch(r"\D*?(\d{1,2})(?:\D{1,3}(\d{1,2}))?\D*", describe(number))
    return (int(parts[1]), int(parts[2] or 0)) if parts else (0, 0)


def find(number: object, folder: Path = FOLDER) -> Task | NoExercise:
    """Find an exercise by its number, such as ``"04.2"``; the same object at each call.

    ``"4.2"``, ``"04.02"``, ``"4-2"`` and 4.2 are read as ``"04.2"``.
    """
    unit, place = _read(number)
    siblings = exercises_of(f"{unit:02d}", folder)
    for one in siblings:
        if _read(one.id) == (unit, place):
            return one
    start = f"There is no exercise {describe(number)}. "
    if siblings:
        near = "; ".join(f"{e.id}, {e.title}" for e in siblings)
        return NoExercise(f"{start}Notebook {siblings[0].id[:2]} has {near}.")
    every = all_exercises()
    after = next((i for i, e in enumerate(every) if _read(e.id) > (unit, place)), len(every))
    nearest = " and ".join(f"{e.id}, {e.title}" for e in every[max(after - 1, 0) : after + 1])
    notebooks = ", ".join(sorted({e.id[:2] for e in every}))
    return NoExercise(f"{start}Notebooks {notebooks} have exercises. The nearest: {nearest}.")


def find_prediction(number: object, folder: Path = FOLDER) -> Prediction | NoExercise:
    """Find a prediction by its number, read as that of an exercise; the same at each call."""
    unit, place = _read(number)
    siblings = questions_of(f"{unit:02d}", folder).predictions
    if 1 <= place <= len(siblings):
        return siblings[place - 1]
    has = ", ".join(one.id for one in siblings) or "none"
    about = f"Unit {unit:02d} has {has}." if unit else 'Write, for example, predict("01.1").'
    return NoExercise(f"There is no prediction {describe(number)}. {about}")


def find_quiz(unit: object, folder: Path = FOLDER) -> Quiz | NoExercise:
    """Find the quiz of a unit, such as ``"03"`` or 3."""
    found = questions_of(f"{_read(unit)[0]:02d}", folder).quiz
    with_quiz = ", ".join(units(folder)) or "none"
    return found or NoExercise(
        f"There is no quiz {describe(unit)}. Units that have one: {with_quiz}."
    )
