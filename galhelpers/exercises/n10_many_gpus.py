"""Exercise of notebook 10 on training on many GPUs: a table of times, read with care.

The table is that in the slides of Khan, Huerta et al. 2019 (Physics Letters B 795, 248): three
stages of fine-tuning on 1 to 64 GPUs, each stopped early at an epoch of its own.
"""

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, Mistakes, compare, edited

GPUS = np.array([1, 2, 4, 8, 16, 32, 64])
SECONDS = np.array([
    [410, 922, 1626], [231, 481, 830], [119, 246, 427], [64, 124, 214], [35, 63, 109],
    [20, 31, 53], [13, 15, 27],
])  # fmt: skip
EPOCHS = np.array([[1, 11, 4], [1, 6, 4], [1, 5, 7], [1, 6, 8], [1, 4, 17], [1, 6, 12], [1, 5, 15]])

# 10.6 --------------------------------------------------------------------------------------------


def efficiency(gpus: np.ndarray, seconds: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Speed-up for the first run's epochs, as a share of the ideal, shape (runs,)."""
    time = (seconds * epochs[0]).sum(axis=1)
    return (time[0] / time) / (gpus / gpus[0])


_TIME, _WHOSE = "(seconds * epochs[0]).sum(axis=1) => ", "Whose were asked for?"
_IDEAL = "time[0] / time => "
EFFICIENCY_MISTAKES: Mistakes = {**edited(efficiency, {
    "epochs[0] => epochs":
        "times of runs that went through different numbers of epochs. Did the GPUs choose to stop "
        "earlier?",
    " / (gpus / gpus[0]) => ": "the speed-up itself. What would that many GPUs reach ideally?",
    "/ gpus[0] => / 1": "the ideal counted from one GPU. How many had the first run?",
    "time[0] => time[gpus.argmin()]; gpus[0] => gpus.min()":
        "the run with the fewest GPUs as the yardstick. The first run was asked for",
    "epochs[0] => epochs[gpus.argmin()]": f"the epochs of the run with the fewest GPUs. {_WHOSE}",
    "gpus[0] => gpus.min()":
        "the ideal counted from the fewest GPUs. How many had the first run?",
    "time[0] => time.max()":
        "the slowest run's time as the yardstick. The first run was asked for",
    "(time[0] / time) / (gpus / gpus[0]) => np.minimum(time[0] / time / (gpus / gpus[0]), 1)":
        "never more than 1. A run may beat the ideal, and that is worth knowing",
    "gpus / gpus[0] => np.maximum(gpus // gpus[0], 1)":
        "an ideal cut to a whole number of times. 10 GPUs are 2.5 times 4",
    "epochs[0] => epochs[-1]": f"the last run's epochs. {_WHOSE}",
    "epochs[0] => epochs.max(axis=0)": f"the most epochs of any run. {_WHOSE}",
    "epochs[0] => epochs.min(axis=0)": f"the fewest epochs of any run. {_WHOSE}",
    "epochs[0] => epochs.mean(axis=0)": f"the mean run's epochs. {_WHOSE}",
    "(time[0] / time) / => (time / time[0]) *":
        "more than 1 where GPUs wait for each other. Which time is divided by which?",
    f"{_IDEAL}time / time[0]": "time over time, divided by GPUs: that falls with their square",
    f"{_TIME}seconds.sum(axis=1)":
        "one epoch of each stage. How many of each did the first run need?",
    f"{_IDEAL}(seconds[0] / seconds).mean(axis=1)":
        "a plain mean over stages. Does one epoch of the first matter as much as eleven?",
    f"{_IDEAL}(seconds[0] / seconds) @ epochs[0] / epochs[0].sum()":
        "a mean of ratios weighted by epochs. Add up times first: what you wait for is a sum",
    f"{_IDEAL}(seconds[0] * epochs).sum(axis=1) / (seconds * epochs).sum(axis=1)":
        "each run's own epochs, on both sides of the ratio: fair, but no two rows do the same "
        "work. Whose epochs were asked for?",
    f"{_TIME}(seconds * epochs).sum(axis=1) / epochs.sum(axis=1)":
        "seconds an epoch, whatever the stage. Which stage's epochs are the slow ones?",
    f"{_TIME}seconds[:, -1]": "the last stage alone",
    "time[0] / => np.append(time[0], time[:-1]) /; gpus[0] => np.append(gpus[0], gpus[:-1])":
        "each run against the one before it. The first is the yardstick for all",
    "return => return 100 *": "per cent. An ideal run has 1",
    "return => return 1 -": "the share that is lost. The first run should have 1",
}),
    "sorted": (lambda g, s, e: efficiency(*(x[g.argsort()] for x in (g, s, e))),
        "runs in the order of their GPUs. Keep the rows, and the first as the yardstick"),
}  # fmt: skip


def _check_efficiency(ask: Answer) -> str | None:
    rng = np.random.default_rng(77)
    some, mixed = np.array([2, 6, 12]), np.array([4, 2, 10, 6])
    times, others = (
        rng.uniform(80, 300, n) / g[:, None] ** rng.uniform(0.6, 1, (len(g), n))
        for g, n in ((some, 4), (mixed, 2))
    )
    others[2] /= 2  # its pictures fit into a cache: faster than the ideal
    cases = {
        "the slides' table": (GPUS, SECONDS, EPOCHS),
        "the same from 4 GPUs on": (GPUS[2:], SECONDS[2:], EPOCHS[2:]),
        "2, 6 and 12 GPUs, four stages": (some, times, rng.integers(1, 20, (3, 4))),
        "4, 2, 10 and 6 GPUs, two stages": (mixed, others, rng.integers(1, 20, (4, 2))),
    }
    return compare(
        ask, efficiency, cases, EFFICIENCY_MISTAKES, "one share for each run, shape (runs,)",
        otherwise="how long would each run take for the first run's epochs?", rtol=1e-5,
    )  # fmt: skip


EFFICIENCY = Exercise(
    id="10.6",
    title="Sixty-four GPUs",
    question=(
        "The slides train on 1 to 64 GPUs: 64 are 35 times as fast as one, 54% of the ideal. But "
        "two GPUs are 2.65 times as fast as one: more than there are. Early stopping ended "
        "each run at another epoch: its three stages took 1, 11 and 4 epochs on one GPU, 1, 6 and "
        "4 on two. Luck with an early stop is not a property of a GPU.\n\n"
        "Write `efficiency(gpus, seconds, epochs)`: numbers of GPUs (runs,), in any order; seconds "
        "an epoch takes and epochs trained, both (runs, stages). Return, for each run, how many "
        "times faster than the first run (the first row) it would do **the first run's epochs**, "
        "divided by how many times more GPUs it has than the first. "
        "`efficiency([1, 2], [[10, 20], [6, 12]], [[1, 2], [1, 1]])` gives `[1.0, 0.833]`."
    ),
    hints=(
        "What must be equal when two runs' times are compared? Take the epochs from row 0.",
        "`(seconds * epochs[0]).sum(axis=1)`: the time of each run for the same work.",
        "Speed-up is the first run's time over each run's; the ideal is `gpus / gpus[0]`.",
    ),
    reference=efficiency,
    diagnose=_check_efficiency,
    lesson="At equal epochs 64 GPUs reach 93%, not 54%, and two reach 96%, not 132%.",
)

EXERCISES = (EFFICIENCY,)
