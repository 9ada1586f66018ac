"""Exercises of notebook 10 on two surveys of one sky: the frame, and galaxies met twice.

Both follow Khan, Huerta et al. 2019 (Physics Letters B 795, 248) and the code and tables published
with it (DL_DES): a network trained on SDSS classifies pictures of the Dark Energy Survey (DES).
"""

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_array,
    close,
    compare,
    edited,
)

# 10.1 --------------------------------------------------------------------------------------------


def same_frame(
    sides: np.ndarray, scales: np.ndarray, n_pixels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels to keep of each cutout, and the zoom to n_pixels; both (galaxies, surveys)."""
    field = (sides * scales).min(axis=1, keepdims=True)
    crops = field / scales
    return crops, n_pixels / crops


_FIELD, _ZOOM = "(sides * scales).min(axis=1, keepdims=True) => ", "n_pixels / crops => "
FRAME_MISTAKES = edited(same_frame, {
    "field / scales => sides.min(axis=1, keepdims=True) + 0 * sides":
        "the same number of pixels in each survey. How much sky is in one pixel of each?",
    "field / scales => sides":
        "the whole cutout everywhere, so a galaxy is larger in one survey than in the other",
    ".min( => .max(":
        "the field of the widest cutout, for which the others would need pixels they never had",
    f"{_FIELD}(sides * scales).min() + 0 * sides":
        "one field for all galaxies, that of the tightest cutout of any. Each may have its own",
    f"{_FIELD}(sides * scales)[:, [scales.argmin()]]":
        "the field of the survey with the smallest pixels, though another cutout may show less",
    f"{_FIELD}(sides * scales)[:, :1]":
        "the first survey's field everywhere, though another cutout may show less",
    f"{_FIELD}(sides * scales)[:, -1:]":
        "the last survey's field everywhere, though another cutout may show less",
    ".min( => .mean(": "the mean of the fields. Does every cutout reach so far?",
    "field / scales => field * scales": "arcsec times arcsec per pixel. Which unit has that?",
    "field / scales => field + 0 * sides":
        "the field in arcsec. How many pixels is it in each survey?",
    "field / scales => sides * np.sqrt(field / (sides * scales))":
        "a part of the area. Crops and fields are sides here",
    f"{_FIELD}np.take_along_axis(sides * scales, sides.argmin(axis=1)[:, None], axis=1)":
        "the field of the cutout with the fewest pixels. How much sky is in one pixel of each?",
    "field / scales => np.floor(field / scales)":
        "pixels cut to whole numbers, so the fields differ again a little",
    "field / scales => np.rint(field / scales)":
        "whole pixels, so the fields differ again a little. Resampling copes with fractions",
    f"{_ZOOM}crops / n_pixels":
        "small where a few pixels must become many. A zoom of 2 makes twice the pixels",
    f"{_ZOOM}n_pixels / sides": "the zoom of the whole cutout. What is left after the crop?",
    f"{_ZOOM}np.round(n_pixels / crops, 2)": "a rounded zoom",
    f"{_ZOOM}64 / crops": "a zoom for 64 pixels, whatever n_pixels is",
    f"{_ZOOM}np.minimum(n_pixels / crops, 1)":
        "a zoom that is never above 1. Few pixels must become many",
    f"{_ZOOM}n_pixels / crops[:, :1] + 0 * crops": "the zoom of the galaxy's first cutout",
    f"{_ZOOM}(n_pixels / crops) ** 2": "a factor of areas. Along a side it is smaller",
    f"{_ZOOM}n_pixels + 0 * crops":
        "the number of pixels after resampling. By which factor did they become more, or fewer?",
})  # fmt: skip


def _check_frame(ask: Answer) -> str | None:
    rng = np.random.default_rng(71)
    sdss = np.array([40.0, 76.0, 77.0, 258.0])  # 15.8 to 102 arcsec
    both = np.stack([sdss, np.full(4, 84.0)], axis=1), np.array([0.396, 0.263])
    drawn = {
        "four galaxies in SDSS and DES": (*both, 64),
        "5 galaxies in 3 surveys": (rng.integers(50, 300, (5, 3)), rng.uniform(0.1, 1, 3), 97),
        "one galaxy in one survey": (np.array([[110.0]]), np.array([0.5]), 55),
        "4 galaxies in 4 surveys": (rng.integers(50, 300, (4, 4)), rng.uniform(0.1, 1, 4), 200),
    }
    cases = {
        f"{seen} and n_pixels = {to}": (1.0 * sides, scales, to)
        for seen, (sides, scales, to) in drawn.items()
    }
    whole = np.array([[100, 51]]), np.array([0.4, 0.2]), 20
    cases["sides [[100, 51]], scales [0.4, 0.2] and n_pixels = 20"] = whole
    return compare(
        ask, same_frame, cases, FRAME_MISTAKES,
        what="two arrays of shape (galaxies, surveys), (crops, zooms)", parts=("crop", "zoom"),
        otherwise="equal fields were asked for, as wide as all cutouts of that galaxy show; and "
        "crop times zoom makes n_pixels", rtol=1e-5,
    )  # fmt: skip


FRAME = Exercise(
    id="10.1",
    title="The same galaxy in another frame",
    question=(
        "Khan et al. cut each SDSS galaxy at 2 Petrosian radii to either side: 13 to 102 arcsec. "
        "For DES the code takes 12 KRON_RADIUS to either side, as pixels; but that column is a "
        "multiple of the galaxy's own axis, 3.5 for 98% of them. So nearly every DES cutout has 84 "
        "pixels of .263 arcsec, 22.1 arcsec, whatever is in it: .22 to 1.72 times the SDSS field. "
        "After resizing, nothing shows how wide they were.\n\n"
        "Write `same_frame(sides, scales, n_pixels)`: sides of square cutouts in pixels, "
        "(galaxies, surveys); pixel scales in arcsec per pixel, (surveys,). For each galaxy take "
        "the widest field that all its cutouts show. Return `(crops, zooms)`, both (galaxies, "
        "surveys): the pixels of the side to keep, and the factor that resamples a side to "
        "`n_pixels`; neither rounded. `same_frame([[100, 50]], [0.4, 0.2], 20)` gives `([[25, "
        "50]], [[0.8, 0.4]])`."
    ),
    hints=(
        "Pixels times arcsec per pixel: the field of each cutout. Compare fields, never pixels.",
        "The widest field that *all* cutouts of a galaxy show is that of its tightest one: a "
        "minimum along the surveys, `keepdims=True` to keep it as a column.",
        "Divide that field by the scales: the crops. `n_pixels / crops` is the zoom.",
    ),
    reference=same_frame,
    diagnose=_check_frame,
    lesson="First the same sky, then the same pixels; resizing alone does only the second.",
)

# 10.5 --------------------------------------------------------------------------------------------


def leaked(train: np.ndarray, test: np.ndarray, radius: float) -> np.ndarray:
    """Mark each test row within radius arcsec of any training galaxy, shape (n_test,)."""
    east = (test[:, None, 0] - train[:, 0] + 180) % 360 - 180
    east = east * np.cos(np.radians(test[:, None, 1]))
    north = test[:, None, 1] - train[:, 1]
    return (3600 * np.hypot(east, north) <= radius).any(axis=1)


def _apart(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Give the distances of all pairs in arcsec, (n_test, n_train)."""
    east, north = np.moveaxis(test[:, None] - train, -1, 0)
    east = ((east + 180) % 360 - 180) * np.cos(np.radians(test[:, None, 1]))
    return 3600 * np.hypot(east, north)


def _on_a_grid(train: np.ndarray, test: np.ndarray, r: float) -> np.ndarray:
    cells = {tuple(cell) for cell in np.rint(train * 3600 / r).tolist()}
    return np.array([tuple(cell) in cells for cell in np.rint(test * 3600 / r).tolist()])


def _arc_cosine(train: np.ndarray, test: np.ndarray, r: float) -> np.ndarray:
    (ra, dec), (ra_, dec_) = np.radians(train).T, np.radians(test).T[:, :, None]
    cosine = np.sin(dec) * np.sin(dec_) + np.cos(dec) * np.cos(dec_) * np.cos(ra - ra_)
    return (3600 * np.degrees(np.arccos(cosine)) <= r).any(axis=1)


def _row_by_row(train: np.ndarray, test: np.ndarray, r: float) -> np.ndarray:
    near = _apart(train, test).diagonal() <= r
    return np.append(near, np.zeros(len(test) - len(near), dtype=bool))


_COSINE, _HYPOT = "np.cos(np.radians(test[:, None, 1])) => ", "np.hypot(east, north) => "
# Of each row only the training galaxy is looked at that is the nearest by another measure.
_ONE = "any(axis=1) => any(axis=1, where=(other := {}) == other.min(axis=1, keepdims=True))"
LEAK_MISTAKES: Mistakes = {**edited(leaked, {
    "return => return ~": "the rows to keep. Those to leave out should be True",
    "<= radius => <= np.inf":
        "every row. A nearest neighbour there always is; how near is it?",
    "<= radius => < 0":
        "no row at all, though some are a small part of the radius away. One training galaxy is "
        "enough: any, not all",
    "3600 => 1": "matches within degrees. In which unit is the radius?",
    "3600 => np.radians(3600)":
        "matches within 57 radii: an angle or a chord in radians, taken for degrees",
    "3600 => 60": "matches within minutes of arc; a second is a 3600th of a degree",
    f"{_HYPOT}abs(north)": "all that is at the same declination. A whole circle of sky is",
    f"{_HYPOT}np.maximum(abs(east), abs(north))":
        "a square in place of a circle: how far is its corner?",
    "(3600 * np.hypot(east, north) <= radius) => "
    "((apart := 3600 * np.hypot(east, north)) <= np.minimum(radius, apart.min(axis=0)))":
        "one test row at most for each training galaxy. The test set may hold it twice",
    _ONE.format("abs(north)"):
        "rows by one training galaxy each, the nearest in *declination*. A stranger at the same "
        "one hides the partner",
    _ONE.format("abs(east)"):
        "rows by one training galaxy each, the nearest in *RA*. A stranger at the same one hides "
        "the partner",
    _ONE.format("np.hypot(east / np.cos(np.radians(test[:, None, 1])), north)"):
        "rows by one training galaxy each, the nearest without the cosine. Another may be within "
        "the radius",
    _ONE.format("abs(east) + abs(north)"):
        "rows by one training galaxy each, the nearest by the sum of both offsets. Another may be "
        "within the radius",
    f"east * {_COSINE}(flat := [x[:, 0] * np.cos(np.radians(x[:, 1])) for x in (test, train)])[0]"
    "[:, None] - flat[1]":
        "rows by RA times its own cosine. Far from RA 0 a small step in declination moves that "
        "product, too: first the difference, then the cosine",
    f"{_COSINE}1":
        "degrees of RA taken for degrees of sky. How long are they far from the equator?",
    "np.radians => ": "an odd cosine. Which unit does np.cos expect?",
    "(test[:, None, 0] - train[:, 0] + 180) % 360 - 180 => test[:, None, 0] - train[:, 0]":
        "no pair on either side of RA 0. How far is 359.9999 from 0.0001?",
    "<= radius => <= radius / 2": "pairs within half the radius only",
    "<= radius => <= 2 * radius": "pairs up to twice the radius",
}),
    "single precision": (
        lambda train, test, r: leaked(train.astype(np.float32), test.astype(np.float32), r),
        "coordinates in single precision, whose steps at RA 300 are a tenth of an arcsec"),
    "same numbers": (lambda train, test, r: (test[:, None] == train).all(axis=2).any(axis=1),
        "only equal numbers. Do two surveys measure one position to the last digit?"),
    "row by row": (_row_by_row,
        "row i of one against row i of the other. Are two catalogs in the same order?"),
    "grid": (_on_a_grid,
        "cells of a grid, it seems. A pair can be near, and the line between two cells run "
        "between them"),
    "arc cosine": (_arc_cosine,
        "rows by an arc cosine: for one position twice it gets a number just above 1, and gives "
        "NaN, which is not within anything"),
}  # fmt: skip


def _catalogs(seed: int, ra: float, dec: float, r: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw 60 training and 90 test positions in a patch of sky, some of them the same galaxies."""
    rng = np.random.default_rng(seed)
    train = np.array([ra, dec]) + rng.uniform(-15, 15, (60, 2))
    train[::3, 0] = ra + rng.uniform(-0.3, 0.3, 20) * r / 3600  # so pairs lie across RA 0
    test = np.array([ra, dec]) + rng.uniform(-15, 15, (90, 2))
    partner = rng.permutation(60)[:50]
    partner[1:10:2] = partner[0:10:2]  # some are in the test twice
    # Distances in radii: below a half, below 1, in a square's corner, below 2, in a circle of Dec.
    far = rng.permutation(np.repeat([0, 0.3, 0.4, 0.6, 0.8, 0.9999, 1.0001, 1.3, 1.8, 20], 5))
    angle = rng.uniform(0, 2 * np.pi, 50)
    angle[far == 1.3], angle[far == 20] = np.pi / 4, 0
    east = np.cos(angle) / np.cos(np.radians(train[partner, 1]))
    offset = (far * r / 3600)[:, None] * np.stack([east, np.sin(angle)], axis=1)
    test[rng.permutation(90)[:50]] = train[partner] + offset
    test[7] = train[7] + [0, 0.3 * r / 3600]  # one pair in the same row of both
    test[9], test[10] = train[9] * [1, -1], train[10] + [180, 0]  # in the mirror, and opposite
    test[8] = train[8] + [0, 58.5 * r / 3600]  # nearer than a minute is to a second
    for table in (train, test):
        table[:, 0] %= 360
    return train, test


def _crowd(seed: int, ra: float, dec: float, r: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw 20 test positions, with strangers around, with partners, with both, or alone."""
    rng = np.random.default_rng(seed)
    test = np.array([ra, dec]) + rng.uniform(-4, 4, (20, 2)) * [1, 0.2]
    # Offsets in radii towards east and north. Of a row's strangers, each is nearer than the
    # partners by another measure: declination, RA, degrees without the cosine, a sum of offsets.
    strangers = [(2e3, 0.001), (0.001, 2e3), (0, 1.05), (1.06, 0), (0, -1.9)]
    partners = [(0.65, 0.65), (-0.9, 0.2)]
    rows = []
    for i, place in enumerate(test):
        near = (strangers, strangers[i // 4 : i // 4 + 1] + partners, [], partners)[i % 4]
        for east, north in near:
            offset = np.array([east / np.cos(np.radians(place[1])), north])
            rows.append(place + offset * r / 3600)
    train = np.array(rows)
    for table in (train, test):
        table[:, 0] %= 360
    return train, test


def _check_leak(ask: Answer) -> str | None:
    for draw, seed, ra, dec, r in (
        (_catalogs, 1, 150.0, 0.3, 1.0),
        (_catalogs, 2, 310.0, -50.0, 1.0),
        (_catalogs, 3, 0.0, 4.0, 2.5),
        (_crowd, 4, 0.0, 70.0, 1.5),
        (_crowd, 5, 210.0, -60.0, 0.7),
    ):
        train, test = draw(seed, ra, dec, r)
        case = train, test, r
        what = f"one True or False for each test row, shape ({len(test)},)"
        seen = f"{len(train)} training galaxies and {len(test)} of test "
        seen += f"near RA {ra:g}, Dec {dec:g}, radius {r:g}"
        got = as_array(ask(train, test, r, seen=seen), what=what)
        if got.shape == (len(train),):
            return f"for {seen} you give {len(train)} values. Which of the two sets loses galaxies?"
        got = as_array(got, (len(test),), what)
        if not np.isin(got, (0, 1)).all():
            odd = got[~np.isin(got, (0, 1))][0]
            return f"for {seen} you give {odd:g} for one. Expected {what}"
        right = leaked(train, test, r)
        if (got == right).all():
            continue
        first = int((got != right).nonzero()[0][0])
        apart = _apart(train, test[first : first + 1]).min()
        which = "leave out" if got[first] else "keep"
        made = (words for mistake, words in LEAK_MISTAKES.values() if close(got, mistake(*case)))
        return f"for {seen} you mark {got.sum():.0f} of them: " + next(
            made, f'you {which} row {first}, whose nearest training galaxy is {apart:.4f}" away'
        )
    return None


LEAK = Exercise(
    id="10.5",
    title="Old acquaintances",
    question=(
        "A test galaxy should be a stranger. Khan et al. took the 1,066 galaxies of their first "
        "test out of the certain ones that they trained on. Of the certain ones still left, 299 "
        "stand in their match of SDSS with DES, from which the larger test comes. The training "
        "list is not published: a leak is possible, not proven. Names do not show it, since each "
        "catalogue has numbers of its own; positions do.\n\n"
        "Write `leaked(train, test, radius)`: positions (n_train, 2) and (n_test, 2), RA and Dec "
        "(-85 to 85) in degrees, rows in no order; a radius of a few arcsec. Return a boolean "
        "array (n_test,): True for each test row with *any* training galaxy within `radius` "
        "**arcsec** (a circle on the sphere, none just on its edge; RA 359.9999 lies beside RA "
        "0.0001). `leaked([[10.0, 0.0]], [[10.0, 0.0002], [11.0, 0.0]], 1.0)` gives `[True, "
        "False]`."
    ),
    hints=(
        "This is `separation` of unit 02 for all pairs: `test[:, None, 0] - train[:, 0]` is a "
        "table (n_test, n_train).",
        "Bring RA differences into -180 to 180, and make them smaller by the cosine of the "
        "declination, in radians.",
        "`np.hypot` of both offsets, times 3600, is in arcsec; then `.any(axis=1)`.",
        "For a million galaxies the table is too large: `SkyCoord.search_around_sky` of astropy "
        "does it with a tree.",
    ),
    reference=leaked,
    diagnose=_check_leak,
    lesson="Names differ from survey to survey; the sky is the same. Match before you split.",
)

EXERCISES = (FRAME, LEAK)
