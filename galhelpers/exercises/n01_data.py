"""Exercises of notebook 01: vote fractions, class selection, positions on the sky, splits."""

import builtins
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    NotYet,
    as_array,
    as_number,
    close,
    describe,
)

# 01.1 --------------------------------------------------------------------------------------------


def to_cumulative(first: np.ndarray, rounded: np.ndarray) -> np.ndarray:
    """Cumulative fractions of "how rounded?", shape (galaxies, 3)."""
    # Only those who answered "smooth" (column 0) were asked; None keeps the axis for broadcasting.
    return rounded * first[:, 0, None]


def _check_cumulative(ask: Answer) -> str | None:
    rng = np.random.default_rng(11)
    first, rounded = rng.dirichlet([3, 3, 1], 6), rng.dirichlet([2, 2, 1], 6)
    first[2], rounded[4] = [0, 0.9, 0.1], [1, 0, 0]
    got = as_array(ask(first, rounded, seen="6 galaxies, two arrays of shape (6, 3)"), (6, 3))
    share = got.sum(axis=1)
    seen = f"galaxy 0, of whose volunteers {first[0, 0]:.0%} said smooth and {first[0, 1]:.0%} "
    seen += f"featured, your three fractions sum to {share[0]:.2f}"
    if close(got, rounded):
        return (
            "your fractions are the conditional ones, unchanged. They are shares of those who were "
            "asked; a cumulative fraction is a share of everybody. How many were asked?"
        )
    if close(got, rounded * first[:, 1, None]):
        return f"for {seen}. Which answer leads to this question? Look at the tree again"
    if close(share, first[:, 0] > 0):
        return f"for {seen}, as everywhere. Was everybody asked how round the galaxy is?"
    if close(got, rounded * first):
        return (
            "column by column, you multiplied answers of one question by answers of another: the "
            "share of 'cigar' by the share of 'star'. One answer leads to all three columns"
        )
    if not close(got, to_cumulative(first, rounded)):
        return f"for {seen}. To what should the answers of a question sum, if not to 1?"
    return None


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
        "shares for completely round, in between, cigar-shaped. Both are numpy arrays and each "
        "row sums to 1. Return the three cumulative fractions, shape `(galaxies, 3)`. (Kaggle's "
        "Class1.1 is `first[:, 0]`, and Class7.1 to 7.3 are what you return.)"
    ),
    stub='''def to_cumulative(first, rounded):
    """Cumulative fractions of "how rounded?", shape (galaxies, 3)."""
    ...''',
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


def is_cigar(smooth: np.ndarray, rounded: np.ndarray) -> np.ndarray:
    """Which galaxies are cigar-shaped smooth, bool of shape (galaxies,)."""
    return (smooth > 0.469) & (rounded[:, 2] > 0.5)


def _check_cigar(ask: Answer) -> str | None:
    rng = np.random.default_rng(12)
    smooth = np.concatenate([rng.uniform(0.2, 1, 80), [0.8, 0.5, 0.95, 0.9, 0.6]])
    rounded = rng.dirichlet([1, 1, 2], 85) * smooth[:, None]
    rounded[80:] = [  # a tie; just a tie with all volunteers; first of three; sure; sure of another
        [0.1, 0.2, 0.5],
        [0.0, 0.0, 0.5],
        [0.25, 0.3, 0.4],
        [0.1, 0.1, 0.7],
        [0.55, 0.05, 0.0],
    ]
    result = ask(smooth, rounded, seen="85 galaxies")
    what = "one True or False for each galaxy, shape (85,)"
    got = as_array(result, (85,), what)
    if not np.isin(got, (0, 1)).all():
        return f"expected {what}, got numbers such as {got[~np.isin(got, (0, 1))][0]:.3g}"
    right = is_cigar(smooth, rounded)
    wrong = np.flatnonzero(got.astype(bool) != right)
    if not wrong.size:
        return None
    tie = (
        "you select a galaxy whose cigar fraction is exactly 0.5. Read 'more than' again: real "
        "galaxy 239928 is such a tie, and its class depends on it"
    )
    if set(wrong) <= {80, 81}:
        return tie
    row = int(wrong[~np.isin(wrong, (80, 81))][0])
    seen = (
        f"galaxy {row} with smooth {smooth[row]:.3f} and rounded {rounded[row].round(3).tolist()}"
    )
    if close(got, (smooth > 0.469) | (rounded[:, 2] > 0.5)):
        return f"you select {seen}. Must one of the two cuts hold, or both?"
    if close(got, rounded.argmax(axis=1) == 2):
        return (
            f"you select {seen}. Cigar has the largest of three fractions there, but the rule asks "
            "for a share of all volunteers: being first is not enough"
        )
    return f"you {'leave out' if right[row] else 'select'} {seen}. Apply the two cuts by hand to it"


CIGAR = Exercise(
    id="01.2",
    title="Select one of the five classes",
    question=(
        "Five clean classes are cut out of the 37 cumulative fractions by thresholds. A galaxy is "
        "*cigar-shaped smooth* when **more than** 0.469 of all volunteers said smooth (Class1.1) "
        "**and more than** 0.5 said cigar-shaped (Class7.3). Such cuts matter more than they look: "
        "they drop more than half of Kaggle's galaxies, and copies of this data set hold 28,790 or "
        "28,793, a difference explained by three galaxies that lie exactly on a threshold.\n\n"
        "Write `is_cigar(smooth, rounded)`: `smooth` is Class1.1, shape `(galaxies,)`; `rounded` "
        "is Class7.1 to 7.3 (completely round, in between, cigar), shape `(galaxies, 3)`, "
        "cumulative. Return one True or False for each galaxy, shape `(galaxies,)`."
    ),
    stub='''def is_cigar(smooth, rounded):
    """Which galaxies are cigar-shaped smooth, bool of shape (galaxies,)."""
    ...''',
    hints=(
        "Make one array of True and False for each cut, print a few, then combine them.",
        "Python's `and` wants a single truth value; between arrays write `&`, with each "
        "comparison in parentheses.",
        "The cigar fraction is `rounded[:, 2]`. 'More than' leaves out a galaxy exactly on the "
        "threshold.",
    ),
    reference=is_cigar,
    diagnose=_check_cigar,
    lesson=(
        "On cumulative fractions the first cut is even redundant: more than 0.5 of all volunteers "
        "cannot say cigar-shaped unless more than 0.5 said smooth."
    ),
)

# 01.3 --------------------------------------------------------------------------------------------


def separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Angle between two near positions on the sky, in arcsec."""
    east = (ra2 - ra1 + 180) % 360 - 180  # -180 to 180: the short way round the sky
    east = east * np.cos(np.radians((dec1 + dec2) / 2))  # circles of declination shrink polewards
    return 3600 * np.hypot(east, dec2 - dec1)


def _check_separation(ask: Answer) -> str | None:
    def got(*position: float) -> float:
        return as_number(ask(*position), "one number, the angle in arcsec")

    step = 2 / 3600
    north = got(150.0, 10.0, 150.0, 10 + step)
    if close(north, step, rtol=1e-3):
        return "two positions 2 arcsec apart in declination give 0.000556: in which unit is that?"
    if not close(north, 2, rtol=1e-3):
        return f"two positions 2 arcsec apart in declination, at the same RA, give {north:.6g}"
    equator = got(150.0, 0.0, 150 + step, 0.0)
    if not close(equator, 2, rtol=1e-3):
        return f"at declination 0, an RA difference of 2 arcsec gives {equator:.6g}"
    for dec in (60.0, -45.0):
        east, seen = got(150.0, dec, 150 + step, dec), f"at declination {dec:g}, an RA difference"
        if close(east, 2, rtol=1e-3):
            return f"{seen} of 2 arcsec gives 2, as on the equator. Do meridians stay as far apart?"
        if close(east, abs(2 * np.cos(dec)), rtol=1e-3):
            return f"{seen} of 2 arcsec gives {east:.4f}. What unit of angle does np.cos expect?"
        if not close(east, separation(150, dec, 150 + step, dec), rtol=2e-3):
            return f"{seen} of 2 arcsec gives {east:.4f}. It must shrink towards the poles to 0"
    for ra1, ra2 in ((360 - step / 2, step / 2), (step / 2, 360 - step / 2)):
        if not close(around := got(ra1, 0.0, ra2, 0.0), 2, rtol=1e-3):
            return (
                f"RA {ra1:.5f} and {ra2:.5f} deg on the equator are neighbours on the sky, and you "
                f"give {around:.6g} arcsec. Where does RA start again?"
            )
    rng = np.random.default_rng(13)
    for _ in range(50):
        ra, dec = rng.uniform(1, 359), rng.uniform(-70, 70)
        position = (ra, dec, ra + rng.normal(0, step), dec + rng.normal(0, step))
        if not close(found := got(*position), separation(*position), rtol=2e-3):
            seen = ", ".join(f"{value:.5f}" for value in position)
            return f"for ({seen}) you give {found:.5g}. How do two perpendicular offsets add up?"
    return None


SEPARATION = Exercise(
    id="01.3",
    title="How far apart on the sky?",
    question=(
        "To find a galaxy of one survey in another, take the nearest entry in RA and Dec, and "
        "believe it when it is nearer than an arcsecond or two. That needs an angle on a sphere; a "
        "plain difference of coordinates loses real partners at high declination and at RA 0, "
        "silently, in one part of the sky only.\n\n"
        "Write `separation(ra1, dec1, ra2, dec2)`: four floats in degrees; return the angle in "
        "**arcsec** (1 degree is 3600 arcsec) between positions less than a minute of arc apart. "
        "On such a small patch the sky is flat, but a degree of RA spans less of it the nearer "
        "you are to a pole, and RA 359.9999 lies beside RA 0.0001."
    ),
    stub='''def separation(ra1, dec1, ra2, dec2):
    """Angle between two near positions on the sky, in arcsec."""
    ...''',
    hints=(
        "Work out two offsets, towards east and towards north, and add them as Pythagoras does.",
        "A circle of constant declination is shorter than the equator by the cosine of the "
        "declination, and `np.cos` wants radians: `np.radians`.",
        "Bring the RA difference into -180 to 180 degrees: `(difference + 180) % 360 - 180`.",
    ),
    reference=separation,
    diagnose=_check_separation,
    lesson="astropy's SkyCoord.separation does this exactly, at any angle.",
)

# 01.4 --------------------------------------------------------------------------------------------


def part_of(galaxy_id: str, seed: int) -> str:
    """Part of a galaxy: "test" for one in five, else "train"."""
    import hashlib

    digest = hashlib.blake2b(f"{seed}:{galaxy_id}".encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") / 2**64 < 0.2 else "train"


def _salted_hash(value: Any, plain: Callable[[Any], int] = builtins.hash) -> int:
    # hash() of numbers is the same in every process; that of text is salted anew in each.
    if isinstance(value, tuple):
        return plain(tuple(_salted_hash(item) for item in value))
    return plain((value, "another process")) if isinstance(value, str | bytes) else plain(value)


def _check_split(ask: Answer) -> str | None:
    def parts(ids: list[str], seed: int) -> list[str]:
        given = [ask(name, seed) for name in ids]
        for name, part in zip(ids, given, strict=True):
            if not isinstance(part, str) or part not in ("train", "test"):
                raise NotYet(f'expected "train" or "test" for galaxy {name}, got {describe(part)}')
        return given

    def moved(again: list[str]) -> str:
        return ids[next(i for i, (a, b) in enumerate(zip(once, again, strict=True)) if a != b)]

    ids = [str(100008 + 37 * i) for i in range(1000)]
    once, twice = parts(ids, seed=0), parts(ids[::-1], seed=0)[::-1]
    if twice != once:
        return (
            f"galaxy {moved(twice)} changed sides when it was asked for again in another order. "
            "Its part may depend on nothing but its id and the seed"
        )
    with mock.patch.object(builtins, "hash", _salted_hash):
        elsewhere = parts(ids, seed=0)
    if elsewhere != once:
        return (
            f"in another Python process, galaxy {moved(elsewhere)} would change sides: Python's "
            "hash() of text starts from a new random salt each time Python starts"
        )
    for kind, names in {
        "random ids": [str(n) for n in np.random.default_rng(14).integers(10**17, 10**18, 1000)],
        "evenly spaced ids": ids,
        "ids like those of SDSS": [
            str((587722952767439450 >> 28 << 28) + (i << 16) + 5 * 16) for i in range(1000)
        ],
        "ids that all end in 0": [str(10 * i) for i in range(10_000, 11_000)],
    }.items():
        share = parts(names, seed=0).count("test") / 1000
        if abs(share - 0.2) > 0.06:  # 4.7 binomial standard deviations
            return (
                f"of 1000 galaxies with {kind}, {share:.1%} are in the test part. Survey ids "
                "have structure; the share must not depend on it"
            )
    if parts(ids, seed=1) == once:
        return "seeds 0 and 1 give the same split, so a second, independent split cannot be drawn"
    return None


SPLIT = Exercise(
    id="01.4",
    title="A split that cannot leak",
    question=(
        "A galaxy that was trained on must never be tested on. Shuffle-and-cut promises that only "
        "until the catalogue grows, is sorted anew or loses a row: then the same seed deals "
        "different parts, and yesterday's checkpoint has seen today's test galaxies. It is safe "
        "if a galaxy's part follows from its own id and the seed, and from nothing else.\n\n"
        'Write `part_of(galaxy_id, seed)`: `galaxy_id` is text such as `"587722952767439450"`; '
        '`seed` an int. Return `"test"` for about one galaxy in five, else `"train"`: the same '
        "answer in any order, in any process, for ever, whatever pattern the ids have; another "
        "seed gives another split."
    ),
    stub='''def part_of(galaxy_id, seed):
    """Part of a galaxy: "test" for one in five, else "train"."""
    ...''',
    hints=(
        "A good hash function turns any text into bits that look random, and are always the same.",
        "hashlib has several: `hashlib.blake2b(text.encode(), digest_size=8).digest()`. Put the "
        "seed into the text as well.",
        '`int.from_bytes(digest, "big") / 2**64` lies between 0 and 1, evenly. Which part of that '
        "range is the test part?",
    ),
    reference=part_of,
    diagnose=_check_split,
    lesson="Such a split survives a longer catalog, another order and another computer.",
)

EXERCISES = (CUMULATIVE, CIGAR, SEPARATION, SPLIT)
