"""Exercises of notebook 01: vote fractions, class selection."""

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_array,
    close,
    compare,
)

# 01.1 --------------------------------------------------------------------------------------------


def to_cumulative(first: np.ndarray, rounded: np.ndarray) -> np.ndarray:
    """Cumulative fractions of "how rounded?", shape (galaxies, 3)."""
    # Only those who answered "smooth" (column 0) were asked; None keeps the axis for broadcasting.
    return rounded * first[:, 0, None]


CUMULATIVE_MISTAKES: Mistakes = {
    "not multiplied": (lambda first, rounded: rounded,
        "Those are the conditional fractions, unchanged, shares of those who were asked; a "
        "cumulative fraction is a share of everybody. How many were asked?"),
    "wrong parent": (lambda first, rounded: rounded * first[:, 1, None],
        "Which answer leads to this question? Look at the tree again"),
    "star": (lambda first, rounded: rounded * first[:, 2, None],
        "Which answer leads to this question? It is not 'star'"),
    "not smooth": (lambda first, rounded: rounded * (1 - first[:, 0, None]),
        "You multiply by the share of those who were not asked"),
    "renormalised": (lambda first, rounded: rounded * (first[:, 0, None] > 0),
        "Your three fractions sum to 1 wherever somebody was asked. Was everybody asked how round "
        "the galaxy is?"),
    "divided": (lambda first, rounded: rounded / first[:, 0, None],
        "You divide by the share that was asked. Half of a half is a quarter: why divide?"),
    "column by column": (lambda first, rounded: rounded * first,
        "Column by column, you multiplied answers of one question by answers of another: the "
        "share of 'cigar' by the share of 'star'. One answer leads to all three columns"),
    "first galaxy": (lambda first, rounded: rounded * first[0, 0],
        "You use the volunteers of the first galaxy for all. Each galaxy has its own"),
    "mean": (lambda first, rounded: rounded * first[:, 0].mean(),
        "You use the mean share that said smooth for all. Each galaxy has its own"),
}  # fmt: skip


def _check_cumulative(ask: Answer) -> str | None:
    rng = np.random.default_rng(11)

    def galaxies(n: int) -> tuple[np.ndarray, np.ndarray]:
        return rng.dirichlet([3, 3, 1], n), rng.dirichlet([2, 2, 1], n)

    first, rounded = galaxies(6)
    first[2], rounded[4] = [0, 0.9, 0.1], [1, 0, 0]
    seen = f"6 galaxies, of the first of which {first[0, 0]:.0%} of the volunteers said smooth"
    cases = {seen: (first, rounded), "3 galaxies": galaxies(3), "one galaxy": galaxies(1)}
    what = "three fractions for each galaxy, shape (galaxies, 3)"
    return compare(ask, to_cumulative, cases, CUMULATIVE_MISTAKES, what)


CUMULATIVE = Exercise(
    id="01.1",
    title="From conditional to cumulative fractions",
    question=(
        "A volunteer who calls a galaxy *smooth* is next asked how rounded it is; one who calls it "
        "*featured* or *a star* is not. Galaxy Zoo's tables give *conditional* fractions: shares "
        "of the volunteers who were asked a question. Kaggle's 37 columns are *cumulative*: shares "
        "of everybody. Confuse them, and a network learns that every spiral is confidently "
        "round.\n\n"
        "Write `to_cumulative(first, rounded)`. `first`, shape `(galaxies, 3)`, holds the shares "
        "that said smooth, featured, star; `rounded`, shape `(galaxies, 3)`, the conditional "
        "shares for completely round, in between, cigar-shaped. Both are numpy arrays of floats "
        "and each row sums to 1. Return the three cumulative fractions, not rounded, shape "
        "`(galaxies, 3)`. (Kaggle's Class1.1 is `first[:, 0]`, and Class7.1 to 7.3 are what you "
        "return.)"
    ),
    hints=(
        "If 8 of 10 volunteers say smooth, and half of those say completely round, how many of "
        "the 10 said completely round?",
        "The three fractions you return must sum to the share that was asked the question.",
        "Multiply all three columns by one column of `first`: `first[:, 0]` has shape (n,); "
        "`first[:, 0, None]` has shape (n, 1) and multiplies every column.",
    ),
    reference=to_cumulative,
    diagnose=_check_cumulative,
    lesson="The answers of a question sum to the share that was asked it, not to 1.",
)

# 01.4 --------------------------------------------------------------------------------------------


def is_spiral(face_on: np.ndarray, arms: np.ndarray) -> np.ndarray:
    """Which galaxies are spirals, bool of shape (galaxies,)."""
    return (face_on > 0.715) & (arms[:, 0] > 0.619)


def _or_equal(face_on: np.ndarray, arms: np.ndarray) -> np.ndarray:
    return (face_on >= 0.715) & (arms[:, 0] >= 0.619)


SPIRAL_MISTAKES: Mistakes = {
    "or": (lambda face_on, arms: (face_on > 0.715) | (arms[:, 0] > 0.619),
        "Must one of the two cuts hold, or both?"),
    "largest": (lambda face_on, arms: arms.argmax(axis=1) == 0,
        "'Arms' has the larger of two fractions there, but the rule asks for a share of all "
        "volunteers: being first is not enough"),
    "only arms": (lambda face_on, arms: arms[:, 0] > 0.619,
        "The second cut alone decides in your answer. What does the first ask for?"),
    "only face-on": (lambda face_on, arms: face_on > 0.715,
        "The first cut alone decides in your answer. What does the second ask for?"),
    "swapped cuts": (lambda face_on, arms: (face_on > 0.619) & (arms[:, 0] > 0.715),
        "Which threshold belongs to which fraction?"),
    "no arms": (lambda face_on, arms: (face_on > 0.715) & (arms[:, 1] > 0.619),
        "Which column of `arms` says that there are arms?"),
    "conditional": (
        lambda face_on, arms: (face_on > 0.715) & (arms[:, 0] / np.maximum(face_on, 1e-9) > 0.619),
        "Both fractions are cumulative, shares of everybody: nothing is to be divided"),
    "product": (lambda face_on, arms: (face_on > 0.715) & (arms[:, 0] * face_on > 0.619),
        "Both fractions are cumulative, shares of everybody: nothing is to be multiplied"),
    "reversed": (lambda face_on, arms: ~is_spiral(face_on, arms),
        "You select the galaxies that are not spirals"),
}  # fmt: skip


def _check_spiral(ask: Answer) -> str | None:
    rng = np.random.default_rng(12)
    near = np.array(
        [
            [a, b]
            for a in (0.6, 0.65, 0.7, 0.7149, 0.7151, 0.73, 0.8)
            for b in (0.5, 0.59, 0.6189, 0.6191, 0.64, 0.7)
            if b <= a
        ]
    )
    asked = np.concatenate([near[:, 0], rng.uniform(0.3, 1, 120), [0.95, 0.715, 0.9, 0.95, 0.65]])
    yes = np.concatenate([near[:, 1], rng.beta(4, 1, 120) * asked[len(near) : -5], [0] * 5])
    # No arms; a tie in each cut; a sure spiral; not enough face-on.
    yes[-5:] = 0.1, 0.7, 0.619, 0.95, 0.63
    arms = np.stack([yes, np.maximum(asked - yes, 0)], axis=1)
    what = "one True or False for each galaxy"
    for n in (len(asked), 5):
        given = asked[-n:], arms[-n:]
        result = ask(*given, seen=f"{n} galaxies")
        got = as_array(result, (n,), f"{what}, shape ({n},)")
        if not np.isin(got, (0, 1)).all():
            return f"expected {what}, got numbers such as {got[~np.isin(got, (0, 1))][0]:.3g}"
        right = is_spiral(*given)
        wrong = np.flatnonzero(got.astype(bool) != right)
        if not wrong.size:
            continue
        row = int(wrong[-1])
        verb = "leave out" if right[row] else "select"
        seen = f"you {verb} a galaxy with face_on {given[0][row]:.4g} and arms "
        seen += f"[{given[1][row, 0]:.4g}, {given[1][row, 1]:.4g}]"
        if set(wrong) <= set(np.flatnonzero(_or_equal(*given) != right)):
            return (
                f"{seen}, exactly on a threshold. Read 'more than' again: of real galaxies, three "
                "are such ties, and their class depends on it"
            )
        for function, message in SPIRAL_MISTAKES.values():
            if close(got, function(*given)):
                return f"{seen}. {message}"
        return f"{seen}, where {right[row]} is right. Apply the two cuts by hand to it"
    return None


SPIRAL = Exercise(
    id="01.4",
    title="Select one of the five classes",
    question=(
        "Five clean classes are cut out of the 37 cumulative fractions by thresholds. A galaxy is "
        "a *spiral* when **more than** 0.715 of all volunteers said 'a disk that is not edge-on' "
        "(Class2.2) **and more than** 0.619 said 'it has spiral arms' (Class4.1). Such cuts matter "
        "more than they look: they drop more than half of Kaggle's galaxies, and copies of this "
        "data set hold 28,790 or 28,793, a difference explained by three galaxies that lie exactly "
        "on a threshold.\n\n"
        "Write `is_spiral(face_on, arms)`: `face_on` is Class2.2, shape `(galaxies,)`; `arms` is "
        "Class4.1 and 4.2 (arms, no arms), shape `(galaxies, 2)`, all cumulative. Return one True "
        "or False for each galaxy, shape `(galaxies,)`. For `face_on` `[0.8, 0.7]` and `arms` "
        "`[[0.65, 0.15], [0.65, 0.05]]` it is `[True, False]`."
    ),
    hints=(
        "Make one array of True and False for each cut, print a few, then combine them.",
        "Python's `and` wants a single truth value; between arrays write `&`, with each "
        "comparison in parentheses.",
        "The fraction that saw arms is `arms[:, 0]`. 'More than' leaves out a galaxy exactly on "
        "the threshold.",
    ),
    reference=is_spiral,
    diagnose=_check_spiral,
    lesson=(
        "The papers have a third cut, Class1.2 above 0.430. It is redundant: more than 0.715 of "
        "all volunteers cannot call a disk face-on unless more than 0.715 saw a disk."
    ),
)

EXERCISES = (CUMULATIVE, SPIRAL)
