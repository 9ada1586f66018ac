"""Simulated volunteers: they walk a decision tree and answer what they can see.

The probability of each answer follows from truth as the telescope shows it: arms that are blurred
away, or drowned in noise, make a spiral a smooth galaxy. The numbers below are chosen so that mean
votes and the shares of the five published classes resemble Kaggle's table (see the tests).
"""

import numpy as np
import pandas as pd

from galhelpers.survey.galaxies import ODD_KINDS, generator
from galhelpers.survey.telescopes import Telescope, get_telescope
from galhelpers.trees import DECALS, GZ2, Tree


def visibility(truth: pd.DataFrame, telescope: str | Telescope = "sdss") -> np.ndarray:
    """How much of a galaxy's structure a picture shows: 0 for nothing, 1 for everything.

    Structure is lost when a galaxy is not much larger than the point spread function, and when its
    surface brightness is not much above the sky noise.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    telescope : str or Telescope
        Who looked.

    Returns
    -------
    numpy.ndarray
        float64 (n,).
    """
    scope = get_telescope(telescope)
    r90 = truth["petro_r90"].to_numpy()
    resolution = np.log(r90 / (6.0 * scope.psf_fwhm))
    surface = truth["mag"].to_numpy() + 2.5 * np.log10(np.pi * r90**2)  # mag / arcsec^2 inside R90
    sky = 22.5 - 2.5 * np.log10(scope.sky_noise[1] / scope.pixel_scale)  # noise of one arcsec^2
    depth = sky - surface
    return _sigmoid(3.2 * resolution + 1.0 * (depth - 4.5))


def answer_probabilities(
    truth: pd.DataFrame, tree: Tree = GZ2, telescope: str | Telescope = "sdss"
) -> dict[str, np.ndarray]:
    """Probability of each answer among the volunteers who are asked the question.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    tree : Tree
        ``GZ2`` or ``DECALS``.
    telescope : str or Telescope
        Whose pictures they see.

    Returns
    -------
    dict
        From the name of a question to float64 (n, answers); rows sum to 1.
    """
    if tree.name not in (GZ2.name, DECALS.name):
        raise ValueError(f"Volunteers know the trees 'gz2' and 'decals', not {tree.name!r}.")
    scope = get_telescope(telescope)
    t = {name: truth[name].to_numpy() for name in truth}
    kind, clear, q = t["kind"], visibility(truth, scope), t["axis_ratio"]
    opinion = 0.9 * t["appeal"]
    # The PSF rounds what is seen.
    seen_q = np.sqrt(
        (q**2 + (0.45 * scope.psf_fwhm / t["petro_r90"]) ** 2)
        / (1 + (0.45 * scope.psf_fwhm / t["petro_r90"]) ** 2)
    )
    arms = t["arm_strength"] * clear * np.clip(t["cos_inclination"], 0, 1) ** 0.4
    spiral, edge_on = kind == "spiral", kind == "edge_on"

    featured = np.select(
        [spiral, edge_on, kind == "disk", kind == "irregular", kind == "artifact"],
        [6.9 * arms - 0.9, 0.7 + 1.9 * clear, 2.6 * clear - 0.7, 0.6 + clear, 0.0],
        -1.2 + 1.0 * (q < 0.35),
    )
    # A flat galaxy looks like a disk, arms or not.
    featured = featured + 2.5 * np.isin(kind, ["spiral", "disk"]) * np.clip(0.55 - q, 0, None)
    featured = featured + 1.8 * t["bar_strength"] * clear + 2.8 * (t["odd"] == "ring") * clear
    featured = _sigmoid(featured + opinion)
    artifact = np.where(kind == "artifact", 0.85, 0.017)
    on = _sigmoid((0.275 - seen_q) / 0.05 + 0.6 * edge_on + 0.4 * opinion)
    round_, cigar = (seen_q - 0.79) / 0.065, (0.39 - seen_q) / 0.055
    tight, loose = _sigmoid((18.0 - t["arm_pitch"]) / 3.0), _sigmoid((t["arm_pitch"] - 26) / 3.5)

    counted = np.full((len(truth), 6), 0.03)
    counted[np.arange(len(truth)), np.clip(t["n_arms"], 1, 5) - 1] += arms * spiral
    counted[:, 5] += 0.25 * (1 - arms)

    odd = t["odd"] != "none"
    strange = _sigmoid(np.where(odd, 1.0 + 1.8 * clear, -2.1 + 0.5 * opinion))
    named = np.column_stack([t["odd"] == name for name in ODD_KINDS]).astype(float)
    # What people call odd where nothing is: mostly "other", irregular shapes, neighbours.
    named += np.array([0.09, 0.05, 0.14, 0.18, 0.40, 0.12, 0.02]) * np.where(odd, 0.25, 1)[:, None]

    bulges = np.array([t["edge_on_bulge"] == name for name in ("rounded", "boxy", "none")]).T
    edge_bulge = bulges * (0.3 + clear[:, None]) + np.array([0.14, 0.03, 0.12])
    p_bar = _sigmoid(6.2 * t["bar_strength"] * clear - 2.2 + 0.6 * opinion)
    p_arms = _sigmoid(np.where(spiral, 7.2 * arms - 1.2, -1.8 + 0.8 * clear) + 0.8 * opinion)
    bulge = np.where(kind == "smooth", 0.45, t["bulge_fraction"])
    amount = (bulge[:, None] - np.array([-0.08, 0.16, 0.38, 0.66])) / 0.13
    prominence = np.exp(-0.5 * np.clip(amount, -6, 6) ** 2) + 0.02

    first = np.column_stack([(1 - featured), featured, np.zeros(len(truth))]) * (
        1 - artifact[:, None]
    )
    first[:, 2] = artifact
    shared = {
        "smooth-or-featured": first,
        "disk-edge-on": _two(on),
        "has-spiral-arms": _two(p_arms),
        "how-rounded": _share(
            np.column_stack([_exp(round_), np.ones(len(truth)), _exp(cigar)]) + 0.03
        ),
        "spiral-winding": _share(np.column_stack([tight, 0.05 + (1 - tight) * (1 - loose), loose])),
        "spiral-arm-count": _share(counted),
    }
    if tree.name == GZ2.name:
        return shared | {
            "bar": _two(p_bar),
            "bulge-size": _share(prominence),
            "something-odd": _two(strange),
            "odd-feature": _share(named),
            "edge-on-bulge": _share(edge_bulge),
        }
    strong = p_bar * _sigmoid(6 * (t["bar_strength"] - 0.65))
    merger = t["odd"] == "merger"
    torn = np.isin(t["odd"], ["disturbed", "irregular", "other"])
    merging = np.column_stack(
        [2.2 - 1.9 * (torn | merger), 0.25 + torn, 0.12 + torn, 0.06 + 3 * merger]
    )
    large_to_none = np.column_stack([prominence[:, [3, 3, 2, 1, 0]]]) * [0.5, 0.5, 1, 1, 1]
    return shared | {
        "bar": np.column_stack([strong, p_bar - strong, 1 - p_bar]),
        "bulge-size": _share(large_to_none),
        "edge-on-bulge": _share(edge_bulge[:, [1, 2, 0]]),
        "merging": _share(merging),
    }


def volunteer_votes(
    truth: pd.DataFrame,
    tree: Tree = GZ2,
    telescope: str | Telescope = "sdss",
    n_volunteers: int = 40,
    seed: int = 0,
) -> np.ndarray:
    """Let volunteers classify galaxies.

    Each starts at the first question and is asked what their own answers lead to, every question
    at most once. "Is there anything odd?" is asked of everybody, as in the published table.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    tree : Tree
        ``GZ2`` or ``DECALS``.
    telescope : str or Telescope
        Whose pictures they see.
    n_volunteers : int
        Volunteers a galaxy, 1 or more.
    seed : int
        Seed of their answers; a galaxy's votes depend on it and on the galaxy alone.

    Returns
    -------
    numpy.ndarray
        int64 (n, n_answers): how many gave each answer, in the order of ``tree.columns``.
    """
    if n_volunteers < 1:
        raise ValueError(f"Expected 1 volunteer or more, got {n_volunteers}.")
    probabilities = answer_probabilities(truth, tree, telescope)
    shape = (n_volunteers, tree.n_questions)
    draws = [generator(seed, f"votes {tree.name}", int(i)).random(shape) for i in truth["id"]]
    uniform = np.array(draws).reshape(len(truth), *shape)
    gave: dict[str, np.ndarray] = {}  # column -> which volunteers gave that answer, (n, volunteers)
    for number, question in enumerate(tree.questions):
        asked = np.ones(uniform.shape[:2], dtype=bool)
        if question.parents:
            asked = np.any([gave[parent] for parent in question.parents], axis=0)
        edges = probabilities[question.name].cumsum(axis=1)[:, None, :-1]
        answer = (uniform[:, :, number, None] >= edges).sum(axis=2)
        for place, column in enumerate(question.columns):
            gave[column] = asked & (answer == place)
    return np.stack([gave[column].sum(axis=1) for column in tree.columns], axis=1)


def cumulative_fractions(counts: np.ndarray, tree: Tree = GZ2) -> np.ndarray:
    """Turn counts (n, n_answers) into float64 cumulative fractions: shares of all volunteers."""
    counts = np.asarray(counts)
    everybody = counts[:, tree.slices[tree.questions[0].name]].sum(axis=1, keepdims=True)
    return counts / np.maximum(everybody, 1)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def _exp(x: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(x, -30, 30))


def _two(yes: np.ndarray) -> np.ndarray:
    return np.column_stack([yes, 1 - yes])


def _share(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=1, keepdims=True)
