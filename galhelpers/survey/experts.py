"""Simulated experts: the visual classes of CANDELS, in the near infrared, at high redshift.

Three to five experts looked at each galaxy and ticked every main class that applies: spheroid,
disk, irregular, point source, unclassifiable (Kartaltepe et al. 2015, ApJS 221, 11). The fractions
that networks are trained on (Huertas-Company et al. 2015, ApJS 221, 8) are shares of the ticks.

The numbers below are chosen so that galaxies moved to redshifts of 1 to 2.5, seen by the Hubble
Space Telescope, get fractions distributed like those of 7,567 real ones (see the tests).
"""

import numpy as np
import pandas as pd

from galhelpers.survey.answers import resolution_and_depth, sigmoid, visibility
from galhelpers.survey.galaxies import generator
from galhelpers.survey.telescopes import Telescope
from galhelpers.trees import CANDELS

CLASSES = CANDELS.questions[0].answers
"""spheroid, disk, irregular, point-source, unclassifiable."""

_EXPERTS = (3, 4, 5)
_EXPERT_SHARES = (0.55, 0.20, 0.25)  # most galaxies had three, those in the deep part five or more


_CAUTION = 1.09  # magnitudes by which experts want more light than volunteers before they judge


def tick_probabilities(truth: pd.DataFrame, telescope: str | Telescope = "hst") -> np.ndarray:
    """Probability that an expert thinks that each class applies, whatever the others.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``, as a rule of ``moved_to_redshift``.
    telescope : str or Telescope
        Whose pictures they see.

    Returns
    -------
    numpy.ndarray
        float64 (n, 5), in the order of ``CLASSES``; rows do not sum to 1. An expert who
        finds that no class applies ticks the most probable one all the same, which is not in here.
    """
    t = {str(name): truth[name].to_numpy() for name in truth}
    shown = truth.assign(mag=truth["mag"] + _CAUTION)
    resolution, depth = resolution_and_depth(shown, telescope)
    clear, opinion = visibility(shown, telescope), 0.6 * t["appeal"]
    smooth, star = t["kind"] == "smooth", t["kind"] == "artifact"
    shapeless = t["kind"] == "irregular"
    torn = np.isin(t["odd"], ["merger", "disturbed", "irregular"])

    # A spheroid is concentrated (high Sersic index); a bulge must stand out from its disk.
    concentrated = np.where(smooth, t["sersic_n"] - 2.0, 9.0 * (t["bulge_fraction"] - 0.42))
    spheroid = sigmoid(1.3 * concentrated + 0.3 - 2.0 * shapeless + opinion)
    # What is clumpy, or torn as far as one sees it.
    clumps = 1.5 * (t["clumpiness"] - 0.55) / 0.2
    mess = np.where(smooth, -3.2, -1.9 + clumps) + torn * (1.5 + 3.0 * clear) + 3.0 * opinion
    irregular = sigmoid(mess)
    # Flat or diffuse smooth galaxies pass for disks; a great mess no longer does.
    flat = np.clip(0.75 - t["axis_ratio"], 0, None) / 0.12
    disk = np.where(smooth, 0.5 - 1.2 * (t["sersic_n"] - 2.0) + flat, 3.2)
    disk = sigmoid(disk - opinion - 1.2 * np.clip(mess, 0, None))
    # Concentrated and hardly larger than the point spread function.
    compact = np.where(smooth, 2.6 * (t["sersic_n"] - 3.6), -3.5) - 7.0 * np.log(resolution / 7.0)
    point = sigmoid(compact - 0.4)
    spheroid = spheroid * (1 - 0.6 * point**2)
    faint = sigmoid((0.5 - depth) / 0.15 + 2.0 * opinion)

    galaxy = np.column_stack([spheroid, disk, irregular, point]) * (1 - 0.9 * faint[:, None])
    ticks = np.column_stack([galaxy, 0.01 + 0.9 * faint])
    ticks[star] = [0.10, 0.02, 0.01, 0.95, 0.04]
    return ticks


def expert_votes(
    truth: pd.DataFrame,
    telescope: str | Telescope = "hst",
    n_experts: int | np.ndarray | None = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Let experts tick the main classes that apply to each galaxy, one or several.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``, as a rule of ``moved_to_redshift``.
    telescope : str or Telescope
        Whose pictures they see.
    n_experts : int or numpy.ndarray, optional
        Experts a galaxy, one number for all or (n,); 1 or more. By default 3 to 5 as in CANDELS.
    seed : int
        Seed of their opinions; a galaxy's ticks depend on it and on the galaxy alone.

    Returns
    -------
    counts : numpy.ndarray
        int64 (n, 5): experts who ticked each of ``CLASSES``. Classes do not exclude each other.
    experts : numpy.ndarray
        int64 (n,): how many experts looked.

    Raises
    ------
    ValueError
        For numbers of experts below 1, or a wrong number of them.
    """
    experts = _numbers(truth, n_experts, seed)
    probabilities = tick_probabilities(truth, telescope)
    best = probabilities.argmax(axis=1)
    counts = np.zeros((len(truth), len(CLASSES)), dtype=np.int64)
    for row, index in enumerate(truth["id"]):
        chance = generator(seed, "experts", int(index)).random((experts[row], len(CLASSES)))
        ticks = chance < probabilities[row]
        ticks[~ticks.any(axis=1), best[row]] = True
        counts[row] = ticks.sum(axis=0)
    return counts, experts


def expert_fractions(
    truth: pd.DataFrame,
    telescope: str | Telescope = "hst",
    n_experts: int | np.ndarray | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Share of all ticks that each class got, as in the table that networks are trained on.

    Parameters and errors as for ``expert_votes``.

    Returns
    -------
    numpy.ndarray
        float64 (n, 5), in the order of ``CLASSES``, which is that of the tree ``CANDELS``; rows
        sum to 1.
    """
    counts, _ = expert_votes(truth, telescope, n_experts, seed)
    return counts / counts.sum(axis=1, keepdims=True)


def _numbers(truth: pd.DataFrame, n_experts: int | np.ndarray | None, seed: int) -> np.ndarray:
    if n_experts is None:
        chance = [generator(seed, "expert numbers", int(i)).random() for i in truth["id"]]
        places = np.searchsorted(np.cumsum(_EXPERT_SHARES[:-1]), chance, side="right")
        return np.array(_EXPERTS, dtype=np.int64)[places]
    numbers = np.asarray(n_experts)
    if numbers.dtype.kind not in "iu" or numbers.shape not in ((), (len(truth),)):
        raise ValueError(
            f"Expected a whole number of experts, or one for each of the {len(truth)} galaxies, "
            f"got {numbers.dtype} of shape {numbers.shape}."
        )
    if (numbers < 1).any():
        raise ValueError(f"Expected 1 expert or more, got {numbers.min()}.")
    return np.broadcast_to(numbers, len(truth)).astype(np.int64)
