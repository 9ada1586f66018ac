"""Exercise of unit 02: how well one measurement tells real from simulated galaxies."""

from collections.abc import Callable

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, as_number, close

# 02.4 --------------------------------------------------------------------------------------------


def auc(real: np.ndarray, simulated: np.ndarray) -> float:
    """Chance that a simulated galaxy has a larger value than a real one, ties counted half."""
    real, simulated = real[~np.isnan(real)], simulated[~np.isnan(simulated)]
    larger = simulated[:, None] > real  # every pair, shape (simulated, real)
    tied = simulated[:, None] == real
    return float(np.mean(larger + 0.5 * tied))


WHAT = "one number, a probability"


def _shares(real: np.ndarray, simulated: np.ndarray) -> tuple[float, float, float]:
    """Shares of all pairs where the simulated value is larger, the same, and the real one larger.

    A pair with a NaN is none of these.
    """
    one = simulated[:, None]
    return float((one > real).mean()), float((one == real).mean()), float((one < real).mean())


def _best_cut(real: np.ndarray, simulated: np.ndarray) -> float:
    """Largest share of galaxies that one cut puts on the right side."""
    values = np.append(real, simulated)
    is_simulated = np.repeat([False, True], [len(real), len(simulated)])
    right = [np.mean((values > cut) == is_simulated) for cut in [-np.inf, *values]]
    return float(max([*right, *(1 - share for share in right)]))


def _instead(got: float, real: np.ndarray, simulated: np.ndarray) -> str | None:
    """Name what was computed in place of the probability, for samples without NaN."""
    larger, same, smaller = _shares(real, simulated)
    apart = simulated.mean() - real.mean()
    scatters = (real.std(), simulated.std(), np.append(real, simulated).std())
    in_sigma = [apart / scatter for scatter in (*scatters, np.hypot(*scatters[:2]) / 2**0.5)]
    if close(got, larger):
        return (
            f"{same:.0%} of the pairs in a test are ties, and you count them as nothing: two "
            "samples that are the same would give less than 0.5"
        )
    if close(got, larger + same):
        return (
            f"{same:.0%} of the pairs in a test are ties, and you count each as a whole: two "
            "samples that are the same would give more than 0.5"
        )
    if close(got, smaller + same / 2):
        return (
            f"your {got:.3f} is the chance that the real galaxy has the larger value. Which side "
            "should be above the other?"
        )
    if any(close(abs(got), abs(value)) for value in (apart, *in_sigma)):
        return (
            f"you give {got:.3g}, a difference of means. It changes when fluxes become magnitudes; "
            "a probability about pairs knows only which of two values is larger"
        )
    if close(got, _best_cut(real, simulated)) or close(got, 1 - _best_cut(real, simulated)):
        return (
            f"your {got:.3f} is the accuracy of the best cut, which depends on how many galaxies "
            "each side has. Compare pairs: one simulated galaxy with one real one"
        )
    if close(got, 100 * (larger + same / 2)):
        return f"you give {got:.1f}, a percentage; a probability lies between 0 and 1"
    return None


def _check_auc(ask: Answer) -> str | None:
    def got(real: np.ndarray, simulated: np.ndarray) -> float:
        return as_number(ask(real, simulated, seen=_seen(real, simulated)), WHAT)

    rng = np.random.default_rng(15)
    # Different numbers on both sides; steps make ties, as counts and saturated pixels do.
    real, simulated = rng.integers(0, 8, 30) / 2.0, rng.integers(3, 10, 20) / 2.0
    above = got(real, simulated)
    below = got(simulated, real)
    if not close(above, auc(real, simulated)):
        complaint = _instead(above, real, simulated)
        if complaint is None:
            complaint = (
                f"for 30 real and 20 simulated galaxies you give {above:.4g}, where "
                f"{auc(real, simulated):.4g} is right. Try it by hand: real 1, 2 and simulated "
                "2, 3 make four pairs, three larger and one tie: 3.5 / 4"
            )
        return complaint
    if close(below, above):
        return (
            f"you give {above:.3f} for two samples and again when they change places. A number "
            "below 0.5 says that the simulated values are the smaller ones: do not fold it up"
        )
    for question in (_check_nan, _check_order, _check_many):
        if complaint := question(ask, got, rng):
            return complaint
    return None


Got = Callable[[np.ndarray, np.ndarray], float]


def _seen(real: np.ndarray, simulated: np.ndarray) -> str:
    return f"{len(real)} real and {len(simulated)} simulated galaxies"


def _check_nan(ask: Answer, got: Got, rng: np.random.Generator) -> str | None:
    real, simulated = rng.normal(0, 1, 12), rng.normal(1, 1, 15)
    real[[2, 7]], simulated[[0, 5, 6]] = np.nan, np.nan
    seen = _seen(real, simulated) + ", five of them NaN"
    number = as_number(ask(real, simulated, seen=seen), WHAT, finite=False)
    larger, _, _ = _shares(real, simulated)
    if np.isnan(number):
        return f"for {seen}, you give NaN. Leave out the galaxies that could not be measured"
    if close(number, larger):
        return (
            "a comparison with NaN is False, so each NaN counted as a pair that the real galaxy "
            "wins. Leave out the NaNs of both sides first"
        )
    right, without = auc(real, simulated), (real[~np.isnan(real)], simulated[~np.isnan(simulated)])
    if not close(number, right):
        measured = got(*without)
        if close(measured, number):
            return f"for {_seen(*without)}, you give {number:.4g}, where {right:.4g} is right"
        return (
            f"for {seen}, you give {number:.4g}, where {right:.4g} is right, and without those "
            f"five {measured:.4g}. It should be the same; look for NaN on both sides"
        )
    return None


def _check_order(ask: Answer, got: Got, rng: np.random.Generator) -> str | None:
    """Ask for the same answer where values keep their order, whatever the unit."""
    real, simulated = rng.lognormal(0, 1, 25), rng.lognormal(-0.5, 0.6, 40)
    plain = got(real, simulated)
    logarithms, cubes = (np.log(real), np.log(simulated)), (real**3, simulated**3)
    for name, samples in {"logarithm": logarithms, "cube": cubes}.items():
        changed = got(*samples)
        if not close(plain, changed):
            return (
                f"you give {plain:.4g} for some values and {changed:.4g} for the {name} of each, "
                "though no value overtook another. Use nothing but which of two is larger"
            )
    return None


def _check_many(ask: Answer, got: Got, rng: np.random.Generator) -> str | None:
    one, other, same = np.zeros(4), np.ones(3), np.array([3.0, 1.0, 2.0, 2.0])
    samples = [(one, other, "all simulated values larger"), (other, one, "all of them smaller")]
    samples += [(same, same, "both sides the same"), (same, same[::-1], "the same values reversed")]
    near = np.array([1.0, 3.0]), np.array([1 + 1e-9])
    samples.append((*near, "real 1 and 3 and simulated 1 + 1e-9"))
    for _ in range(20):
        real = rng.normal(0, 1, rng.integers(1, 40)).round(1)
        samples.append((real, rng.normal(0.3, 2, rng.integers(1, 40)).round(1), "random values"))
    for real, simulated, what in samples:
        found, right = got(real, simulated), auc(real, simulated)
        if not close(found, right):
            return f"with {what} ({_seen(real, simulated)}) you give {found:.4g}, not {right:.4g}"
    return None


AUC = Exercise(
    id="02.4",
    title="Which are the real ones?",
    question=(
        "Take one measurement, say the galaxy's colour. Draw a real and a simulated galaxy at "
        "random: how often has the simulated one the larger value? If half the time, colour cannot "
        "tell the two apart; if always or never, it gives the simulation away. This probability is "
        "the *area under the ROC curve* (AUC), whose advantage over accuracy is that it needs no "
        "cut and does not care how many galaxies each side has.\n\n"
        "Write `auc(real, simulated)`: two arrays of one measurement, shapes `(n,)` and `(m,)`. "
        "Return the share of the n x m pairs in which the simulated value is **larger**; a tie "
        "counts half. A galaxy that could not be measured is NaN: leave it out, on both sides (at "
        "least one is measured on each). Real `[1, 2]` and simulated `[2, 3]` give 0.875."
    ),
    hints=(
        "Two loops over both arrays will do: add 1 for larger and 0.5 for equal, then divide by "
        "the number of pairs.",
        "Without loops: `simulated[:, None] > real` compares every simulated value with every "
        "real one, shape (m, n).",
        "NaN first: `real = real[~np.isnan(real)]`, and likewise for the other side. Then the mean "
        "of `larger + 0.5 * equal` over all pairs.",
    ),
    reference=auc,
    diagnose=_check_auc,
    lesson=(
        "It is Mann and Whitney's U over n m, so a rank test tells how far from 0.5 chance goes."
    ),
)

EXERCISES = (AUC,)
