"""Exercises of unit 07 on reading a paper: Gupta, Srijith & Desai 2022."""

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, compare, edited

# Tables 1 to 3: mean confusion matrices, rows the volunteers' class, columns the network's, both
# in the order round, in-between, cigar-shaped, edge-on, spiral.
TABLES = {
    "ResNet": [
        [757, 57, 0, 0, 29], [22, 741, 3, 4, 36], [0, 12, 11, 27, 5], [0, 8, 6, 363, 13],
        [7, 12, 1, 13, 748],
    ],
    "NODE": [
        [800, 24, 0, 0, 13], [36, 700, 0, 8, 22], [0, 6, 12, 31, 2], [0, 5, 7, 365, 8],
        [10, 29, 1, 22, 750],
    ],
    "NODE_ACA": [
        [786, 36, 0, 0, 12], [25, 721, 0, 3, 16], [0, 4, 23, 20, 1], [1, 4, 12, 361, 5],
        [5, 36, 3, 15, 747],
    ],
}  # fmt: skip
CLASS_SIZES = np.array([8434, 8069, 578, 3903, 7806])  # of the whole set, in the same order
N_TEST = 2879  # a tenth, as the paper says

# 07.5 --------------------------------------------------------------------------------------------


def overall_and_macro(matrix: np.ndarray) -> tuple[float, float]:
    """Share of all galaxies that are right, and mean over classes of the share right."""
    right = np.diag(matrix)
    return right.sum() / matrix.sum(), np.mean(right / matrix.sum(axis=1))


_MACRO = "right / matrix.sum(axis=1)"
MACRO_MISTAKES = edited(overall_and_macro, {
    "axis=1 => axis=0":
        "the mean precision: shares of what the network *called* by each name. What are the rows?",
    f"np.mean({_MACRO}) => "
    "1 - np.mean((matrix.sum(axis=0) + matrix.sum(axis=1) - 2 * right) / matrix.sum())":
        "the mean of 'this class or not', which is high for any rare class, found or missed",
    f"np.mean({_MACRO}) => right.sum() / matrix.sum()":
        "the overall share again. How much does a class count whose galaxies are few?",
    "np.mean => np.median": "the median class, which no failure in one class can move",
    f"{_MACRO} => 2 * right / (matrix.sum(axis=0) + matrix.sum(axis=1))":
        "the mean F1, in which the columns take part. Recall looks along a row",
    f"{_MACRO} => matrix.max(axis=1) / matrix.sum(axis=1)":
        "the mean of each row's largest cell. Does the right answer always win?",
    "np.mean => np.sum": "the sum over classes",
    "right.sum() / matrix.sum(), => right.sum() / N_TEST,":
        "right galaxies over 2,879, of which not all are in the table. What do you know of the "
        "others?",
    "right.sum() / matrix.sum(), => 100 * right.sum() / matrix.sum(), 100 *":
        "a percentage; a share is at most 1",
})  # fmt: skip


def _check_table(ask: Answer) -> str | None:
    rng = np.random.default_rng(55)
    tables = {f"Table {i}, {name}": np.array(TABLES[name]) for i, name in enumerate(TABLES, 1)}
    tables["a matrix of three classes"] = rng.integers(1, 40, (3, 3)) + np.diag([500, 60, 7])
    # Of the second class no galaxy is found; nothing is called by the name of the fourth.
    tables["a matrix of four classes"] = np.array(
        [[90, 3, 1, 0], [5, 0, 4, 0], [2, 2, 7, 0], [1, 0, 1, 0]]
    )
    cases = {seen: (matrix,) for seen, matrix in tables.items()}
    return compare(
        ask, overall_and_macro, cases, MACRO_MISTAKES,
        what="two numbers, (overall, macro)", parts=("overall share", "macro mean"),
        otherwise="where do the galaxies stand that are right, and how many are there altogether? "
        "Then one share for each row: [[8, 2], [1, 1]] has 0.8 and 0.5, and a plain mean of those, "
        "0.65", rtol=1e-5,
    )  # fmt: skip


TABLE = Exercise(
    id="07.5",
    title="What a table of counts knows",
    question=(
        "Write `overall_and_macro(matrix)`: an array (classes, classes) of counts, rows the "
        "volunteers' class, columns the network's; each class has a galaxy. Return "
        "`(overall, macro)`: the share of the *table's* galaxies that are right, and the mean over "
        "classes of each one's recall, not rounded. "
        "`overall_and_macro([[8, 2], [1, 1]])` gives `(0.75, 0.65)`.\n\n"
        "Tables 1 to 3 of Gupta et al. have no overall accuracy, and what they call the accuracy "
        "of a class is its recall. A class that is 2% of the set hardly moves the overall share, "
        "and counts like any other in the mean of recalls. Of 2,879 test galaxies the tables hold "
        "2,875, 2,851 and 2,836: means of counts were, it seems, cut to whole numbers."
    ),
    hints=(
        "Right galaxies stand on the diagonal: `np.diag(matrix)`.",
        "How many galaxies of each class were there? Add up the rows: `matrix.sum(axis=1)`.",
        "Overall is a ratio of two sums; macro is a mean of ratios, one for each row.",
    ),
    reference=overall_and_macro,
    diagnose=_check_table,
    lesson="0.911, 0.921, 0.930 overall is much alike; 0.781, 0.795, 0.847 shows who finds cigars.",
)

# 07.3 --------------------------------------------------------------------------------------------


def surprise(
    row_sums: np.ndarray, class_sizes: np.ndarray, n_test: int, n_splits: int
) -> np.ndarray:
    """How many standard deviations each class lies from its expectation, shape (classes,)."""
    n = class_sizes.sum()
    share = class_sizes / n
    variance = n_test * share * (1 - share) * (n - n_test) / (n - 1)  # hypergeometric
    return (row_sums - n_test * share) / np.sqrt(variance / n_splits)


_SPREAD = " * (1 - share) * (n - n_test) / (n - 1) => "
SURPRISE_MISTAKES = edited(surprise, {
    "variance / n_splits => variance":
        "as far out for several splits as for one: how far does their mean stray?",
    "/ np.sqrt(variance / n_splits) => / np.sqrt(variance) * n_splits":
        "n_splits times as far out as for one: does a mean of ten stray a tenth as far?",
    "variance / n_splits => variance * n_splits":
        "nearer for several splits than for one. Is a mean of ten less certain than one?",
    "np.sqrt( => (": "differences in units of a variance. A deviation is counted in galaxies",
    f"{_SPREAD} * (1 - share)":
        "a binomial spread, as if galaxies were put back. One drawn cannot come again",
    _SPREAD: "a Poisson spread; but n_test is fixed, so a class more is another class less",
    "(n - 1) => n": "a spread that is slightly too small: (n - n_test) / n, or over n - 1?",
    "row_sums - n_test * share => n_test * share - row_sums":
        "expected minus observed. Too many galaxies of a class should be positive",
    "return ( => return abs(": "no minus signs, though some classes have too few galaxies",
    "n_test => row_sums.sum()":
        "row sums added up for n_test. Rows may be cut, or a batch dropped: n_test is given",
    f"{_SPREAD} * (n - n_test) / n":
        "a spread as if each galaxy of a class were drawn for itself; but n_test is fixed, and a "
        "class more is another class less",
    "- n_test * share => - n_test / len(share)":
        "classes of one size expected. How many in a thousand are cigar-shaped?",
})  # fmt: skip


def _check_surprise(ask: Answer) -> str | None:
    node, resnet = (np.sum(TABLES[name], axis=1) for name in ("NODE", "ResNet"))
    few = np.array([2.75, 10.5, 6.25]), np.array([12, 20, 8])  # means of counts, not whole
    two = np.array([52.5, 40.0]), np.array([300, 200])
    cases = {
        "2.75, 10.5 and 6.25 of 12, 20 and 8 galaxies, 4 splits": (*few, 20, 4),
        "NODE's row sums and 10 splits": (node, CLASS_SIZES, N_TEST, 10),
        "ResNet's row sums and 1 split": (resnet, CLASS_SIZES, N_TEST, 1),
        "52.5 and 40 of 300 and 200 galaxies, 2 splits": (*two, 100, 2),
    }
    return compare(
        ask, surprise, {f"{seen}, n_test = {case[2]:,}": case for seen, case in cases.items()},
        SURPRISE_MISTAKES, "one number for each class, shape (classes,)", rtol=1e-5,
    )  # fmt: skip


SURPRISE = Exercise(
    id="07.3",
    title="One split, or ten?",
    question=(
        "Write `surprise(row_sums, class_sizes, n_test, n_splits)`: how far the galaxies of each "
        "class in a table lie from their expectation, in standard deviations. `row_sums` are mean "
        "counts in the test set (their sum may miss `n_test` a little), `class_sizes` the counts "
        "in all; `n_test` galaxies are drawn in each of `n_splits` independent splits, which are "
        "averaged. Return observed minus expected, over the standard deviation of such a mean, for "
        "each class. `surprise([2, 0], [2, 2], 2, 1)` gives `[1.73, -1.73]`.\n\n"
        "Of $n$ galaxies a class has the share $p$. Of `n_test` galaxies drawn without putting "
        "back it has `n_test` $\\cdot\\, p$ on average, with the *hypergeometric* variance "
        "$n_\\mathrm{test}\\, p\\, (1 - p)\\, (n - n_\\mathrm{test}) / (n - 1)$. What becomes "
        "of a variance when independent counts are averaged?"
    ),
    hints=(
        "A class with the share p of all n galaxies is expected n_test p times in a test set.",
        "n is the sum of `class_sizes`, not of `row_sums`; p has one number for each class.",
        "The mean of n_splits independent counts has a variance n_splits times smaller.",
    ),
    reference=surprise,
    diagnose=_check_surprise,
    lesson=(
        "With n_test = 2,851 NODE's row sums lie up to 5.5 deviations off for ten splits and up to "
        "1.7 for one. It seems to have been one."
    ),
)

EXERCISES = (SURPRISE, TABLE)
