"""Exercises of notebook 01: vote fractions, class selection, positions on the sky."""

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_array,
    as_number,
    close,
    compare,
    edited,
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
        "*featured* or *a star* is not. Survey tables give *conditional* fractions: shares of the "
        "volunteers who were asked a question. Kaggle's 37 columns are *cumulative*: shares of "
        "everybody. Confuse them, and a network learns that every spiral is confidently round.\n\n"
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

# 01.2 --------------------------------------------------------------------------------------------


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
    id="01.2",
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

# 01.3 --------------------------------------------------------------------------------------------


def separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Angle between two near positions on the sky, in arcsec."""
    east = (ra2 - ra1 + 180) % 360 - 180  # -180 to 180: the short way round the sky
    east = east * np.cos(np.radians((dec1 + dec2) / 2))  # circles of declination shrink polewards
    return 3600 * np.hypot(east, dec2 - dec1)


_NO_WRAP = "Where does RA start again?"
_WRAP, _COS = "(ra2 - ra1 + 180) % 360 - 180 => ", "np.cos(np.radians((dec1 + dec2) / 2)) => "
_HYPOT = "np.hypot(east, dec2 - dec1) => "
SEPARATION_MISTAKES = edited(separation, {
    "3600 => 1": "In which unit is that?",
    "3600 => 60": "In which unit is that? A degree has 3600 arcsec",
    f"{_COS}1": "That is as on the equator. Do meridians stay as far apart?",
    "np.radians => ": "What unit of angle does np.cos expect?",
    "np.radians((dec1 + dec2) / 2) => dec1": "What unit of angle does np.cos expect?",
    "cos => sin":
        "At the equator you let an RA difference shrink to nothing. Is that where meridians meet?",
    f"{_WRAP}ra2 - ra1": _NO_WRAP,
    f"{_WRAP}(ra2 - ra1) % 360":
        f"{_NO_WRAP} A small step to the west must not become nearly 360 degrees",
    f"{_WRAP}abs(ra2 - ra1) % 360": _NO_WRAP,
    f"{_WRAP}ra2 - ra1 - 360 * (ra2 - ra1 > 180)": f"{_NO_WRAP} Try it in both directions",
    f"{_WRAP}ra2 - ra1 + 360 * (ra2 - ra1 < -180)": f"{_NO_WRAP} Try it in both directions",
    f"{_WRAP}ra2 - ra1; (east, => ((east + 180) % 360 - 180,":
        "You bring the RA difference into -180 to 180 after it has shrunk with the cosine. Away "
        "from the equator 360 degrees are then no full turn",
    f"{_WRAP}ra2 - 360 * (ra2 > 180) - ra1 + 360 * (ra1 > 180)":
        "You take 360 from an RA above 180, which tears neighbours apart at 180. Bring the "
        "difference into -180 to 180",
    f"{_HYPOT}(abs(east) + abs(dec2 - dec1))": "How do two perpendicular offsets add up?",
    f"{_HYPOT}max(abs(east), abs(dec2 - dec1))": "How do two perpendicular offsets add up?",
    f"{_HYPOT}3600 * (east**2 + (dec2 - dec1) ** 2)": "Is a root missing?",
    f"{_HYPOT}abs(east)": "The declinations differ as well",
    f"{_HYPOT}abs(dec2 - dec1)": "The right ascensions differ as well",
    f"{_COS}1; 3600 => 3600 * np.cos(np.radians(dec1))":
        "Which of the two offsets shrinks towards the poles? A degree of declination does not",
    "dec2 - dec1 => abs(dec2) - abs(dec1)":
        "Two declinations lie on different sides of the equator there",
})  # fmt: skip


def _positions() -> dict[str, tuple[float, float, float, float]]:
    rng, step = np.random.default_rng(13), 2 / 3600
    fixed = [
        ("2 arcsec apart in declination", (150.0, 10.0, 150.0, 10 + step)),
        ("2 arcsec apart in RA on the equator", (150.0, 0.0, 150 + step, 0.0)),
        ("2 arcsec apart across the equator", (150.0, -step / 2, 150.0, step / 2)),
    ]
    for dec in (60.0, -45.0, 85.0, -80.0):
        fixed.append((f"an RA difference of 2 arcsec at Dec {dec:g}", (150, dec, 150 + step, dec)))
    for dec in (0.0, 60.0, -60.0, 85.0):
        east, west = step / 2, 360 - step / 2
        fixed.append((f"RA {west:.5f} beside {east:.5f} at Dec {dec:g}", (west, dec, east, dec)))
        fixed.append((f"RA {east:.5f} beside {west:.5f} at Dec {dec:g}", (east, dec, west, dec)))
    for ra in (1.0, 10.0, 90.0, 180.0, 270.0, 300.0, 350.0, 359.0):
        seen = f"RA {ra - step:.5f} beside {ra + step:.5f} at Dec 20"
        fixed.append((seen, (ra - step, 20.0, ra + step, 20.0)))
    for apart in (0.2, 2.0, 10.0, 40.0):
        for _ in range(12):
            dec, angle = rng.uniform(-85, 85), rng.uniform(0, 2 * np.pi)
            ra = rng.choice([rng.uniform(1, 359), 0.0])
            north = apart / 3600 * np.sin(angle)
            east = apart / 3600 * np.cos(angle) / np.cos(np.radians(dec + north / 2))
            position = float(ra), float(dec), float((ra + east) % 360), float(dec + north)
            fixed.append((", ".join(f"{value:.6f}" for value in position), position))
    for ra, dec in rng.uniform([0, -85], [360, 85], (150, 2)):  # acos of more than 1 for some
        fixed.append((f"twice the position {ra:.5f}, {dec:.5f}", (ra, dec, ra, dec)))
    return {seen: tuple(map(float, position)) for seen, position in fixed}  # type: ignore[misc]


def _check_separation(ask: Answer) -> str | None:
    what = "one number, the angle in arcsec"
    cases = _positions()
    complaint = compare(ask, separation, cases, SEPARATION_MISTAKES, what, rtol=5e-3, atol=0.01)
    if complaint is None or ". " in complaint:
        return complaint
    got = {seen: as_number(ask(*p), what, finite=False) for seen, p in cases.items()}
    off = {seen: abs(got[seen] - separation(*p)) for seen, p in cases.items()}
    wrong = [seen for seen, p in cases.items() if not off[seen] <= 0.01 + 5e-3 * separation(*p)]
    if all(off[seen] > 1e5 for seen in wrong):
        return f"{complaint}. {_NO_WRAP}"
    if all(one < 0.5 for one in off.values()):
        return f"{complaint}. Is something rounded, or in single precision (float32)?"
    return complaint


SEPARATION = Exercise(
    id="01.3",
    title="How far apart on the sky?",
    question=(
        "To find a galaxy of one survey in another, take the nearest entry in RA and Dec, and "
        "believe it when it is nearer than an arcsecond or two. That needs an angle on a sphere; a "
        "plain difference of coordinates loses real partners at high declination and at RA 0, "
        "silently, in one part of the sky only.\n\n"
        "Write `separation(ra1, dec1, ra2, dec2)`: four floats in degrees, RA from 0 to 360, Dec "
        "from -85 to 85. Return the angle in **arcsec** (1 degree is 3600 arcsec), right to 0.5% "
        "or 0.01 arcsec, between positions less than a minute of arc apart; it may be 0. On such a "
        "small patch away from the poles the sky is flat, but a degree of RA spans less of it the "
        "nearer you are to a pole, and RA 359.9999 lies beside RA 0.0001. For example, "
        "`separation(10, 60, 10.001, 60)` is 1.8."
    ),
    hints=(
        "Work out two offsets, towards east and towards north, and add them as Pythagoras does.",
        "A circle of constant declination is shorter than the equator by the cosine of the "
        "declination, and `np.cos` wants radians: `np.radians`.",
        "Bring the RA difference into -180 to 180 degrees: `(difference + 180) % 360 - 180`.",
    ),
    reference=separation,
    diagnose=_check_separation,
    lesson="astropy's SkyCoord.separation does this for any angle, at the poles as well.",
)

EXERCISES = (CUMULATIVE, SPIRAL, SEPARATION)
