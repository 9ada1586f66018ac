"""What a person sees in a picture, and how likely each answer to a question is.

The probability of an answer follows from truth as the telescope shows it: arms that are blurred
away, or drowned in noise, make a spiral a smooth galaxy. The numbers below are chosen so that mean
votes and the shares of the five published classes resemble Kaggle's table (see the tests).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from galhelpers.survey.distance import moved_to_redshift
from galhelpers.survey.galaxies import ODD_KINDS
from galhelpers.survey.telescopes import Telescope, band_offsets, get_telescope
from galhelpers.trees import DECALS, GZ2, Tree

DEBIASED_REDSHIFT = 0.03
"""Where galaxies are put to be judged without the bias of distance."""


def magnitude(truth: pd.DataFrame, band: str) -> np.ndarray:
    """Give the magnitude of whole galaxies (AB) in one band of "g", "r", "i", "z" and "h".

    Bulge and disk each have their own colour; in the r band it is the table's ``mag``.
    """
    bulge = truth["bulge_fraction"].to_numpy()
    offsets = [
        band_offsets(truth[f"g_r_{part}"].to_numpy(), truth[f"r_i_{part}"].to_numpy(), (band,))
        for part in ("bulge", "disk")
    ]
    fluxes = [10 ** (-0.4 * offset[:, 0]) for offset in offsets]
    return truth["mag"].to_numpy() - 2.5 * np.log10(bulge * fluxes[0] + (1 - bulge) * fluxes[1])


_EYE = 0.366  # share of the noise that disturbs; with it the votes have the means of Kaggle's table


def resolution_and_depth(
    truth: pd.DataFrame, telescope: str | Telescope = "sdss"
) -> tuple[np.ndarray, np.ndarray]:
    """How large galaxies are against the point spread function, and how bright against the sky.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``sample_galaxies``.
    telescope : str or Telescope
        Who looked. The middle one of its bands counts (r for three of them).

    Returns
    -------
    resolution : numpy.ndarray
        float64 (n,): petroR90 in units of the full width at half maximum.
    depth : numpy.ndarray
        float64 (n,): by how many magnitudes the mean surface brightness inside petroR90 exceeds
        0.366 of the noise of the sky in one arcsec^2 (``_EYE``).
    """
    scope = get_telescope(telescope)
    middle = len(scope.bands) // 2
    r90 = truth["petro_r90"].to_numpy()
    surface = magnitude(truth, scope.bands[middle]) + 2.5 * np.log10(np.pi * r90**2)
    # Noise adds in quadrature: that of one arcsec^2 is 1 / pixel_scale times that of a pixel.
    # Volunteers see below the noise of a pixel, since server and eye average.
    sky = 22.5 - 2.5 * np.log10(_EYE * scope.sky_noise[middle] / scope.pixel_scale)
    return r90 / scope.psf_fwhm, sky - surface


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
    resolution, depth = resolution_and_depth(truth, telescope)
    return sigmoid(3.2 * np.log(resolution / 6.0) + 1.0 * (depth - 4.5))


def without_distance_bias(truth: pd.DataFrame) -> pd.DataFrame:
    """Give the galaxies as they would appear at redshift 0.03, or as they are if nearer."""
    return moved_to_redshift(truth, np.minimum(truth["redshift"], DEBIASED_REDSHIFT))


def answer_probabilities(
    truth: pd.DataFrame,
    tree: Tree = GZ2,
    telescope: str | Telescope = "sdss",
    debiased: bool = False,
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
    debiased : bool
        False: galaxies are judged as they are seen, so that distant ones look smoother than they
        are (classification bias). True: as if each were at a redshift of 0.03, or its own if that
        is less. Galaxy Zoo estimates this correction from the mean votes of near and distant
        galaxies of equal size and luminosity (Willett et al. 2013, MNRAS 435, 2835, section 3.3;
        Hart et al. 2016, MNRAS 461, 3663); where truth is known it is exact, galaxy by galaxy.

    Returns
    -------
    dict
        From the name of a question to float64 (n, answers); rows sum to 1.

    Raises
    ------
    ValueError
        For another tree.
    """
    if tree.name not in _ANSWERS:
        raise ValueError(f"Volunteers know the trees 'gz2' and 'decals', not {tree.name!r}.")
    seen = _look(without_distance_bias(truth) if debiased else truth, get_telescope(telescope))
    answers = _ANSWERS[tree.name]
    return {question.name: answers[question.name](seen) for question in tree.questions}


@dataclass(frozen=True)
class _Seen:
    """Galaxies as they are seen; every array is (n,)."""

    t: dict[str, np.ndarray]  # the columns of truth
    clear: np.ndarray  # visibility
    axis_ratio: np.ndarray  # after the point spread function
    arms: np.ndarray  # how plain the spiral arms are, 0 to 1
    opinion: np.ndarray  # what makes one galaxy look more convincing than its equals
    odd: np.ndarray  # bool

    def is_kind(self, *kinds: str) -> np.ndarray:
        return np.isin(self.t["kind"], kinds)


def _look(truth: pd.DataFrame, scope: Telescope) -> _Seen:
    t = {str(name): truth[name].to_numpy() for name in truth}
    clear = visibility(truth, scope)
    blur = (0.45 * scope.psf_fwhm / t["petro_r90"]) ** 2  # the PSF rounds what is seen
    return _Seen(
        t=t,
        clear=clear,
        axis_ratio=np.sqrt((t["axis_ratio"] ** 2 + blur) / (1 + blur)),
        arms=t["arm_strength"] * clear * np.clip(t["cos_inclination"], 0, 1) ** 0.4,
        opinion=0.9 * t["appeal"],
        odd=t["odd"] != "none",
    )


def _smooth_or_featured(s: _Seen) -> np.ndarray:
    q = s.t["axis_ratio"]
    score = np.select(
        [s.is_kind(kind) for kind in ("spiral", "edge_on", "disk", "irregular", "artifact")],
        [10.5 * s.arms - 0.4, 0.7 + 1.9 * s.clear, 2.6 * s.clear - 0.7, 0.6 + s.clear, 0.0],
        -1.2 + 1.0 * (q < 0.35),
    )
    # A flat galaxy looks like a disk, arms or not.
    score = score + 2.5 * s.is_kind("spiral", "disk") * np.clip(0.55 - q, 0, None)
    score = score + (1.8 * s.t["bar_strength"] + 2.8 * (s.t["odd"] == "ring")) * s.clear
    featured = sigmoid(score + s.opinion)
    artifact = np.where(s.is_kind("artifact"), 0.85, 0.017)
    real = 1 - artifact
    return np.column_stack([(1 - featured) * real, featured * real, artifact])


def _edge_on(s: _Seen) -> np.ndarray:
    q = s.axis_ratio
    # Who sees features in a flat smooth galaxy takes it for a disk from the side.
    score = np.select(
        [s.is_kind("edge_on"), s.is_kind("smooth")],
        [(0.40 - q) / 0.05 + 1.5, (0.45 - q) / 0.06],
        (0.30 - q) / 0.05,
    )
    return _yes_no(sigmoid(score + 0.4 * s.opinion))


def _spiral_arms(s: _Seen) -> np.ndarray:
    score = np.where(s.is_kind("spiral"), 10.5 * s.arms - 0.6, -1.8 + 0.8 * s.clear)
    return _yes_no(sigmoid(score + 0.8 * s.opinion))


def _rounded(s: _Seen) -> np.ndarray:
    """Completely, in between, cigar-shaped."""
    completely, cigar = (s.axis_ratio - 0.79) / 0.065, (0.415 - s.axis_ratio) / 0.05
    weights = np.column_stack([_exp(completely), np.ones_like(cigar), _exp(cigar)])
    return _share(weights + 0.03)


def _winding(s: _Seen) -> np.ndarray:
    """Tight, medium, loose."""
    pitch = s.t["arm_pitch"]
    tight, loose = sigmoid((16.5 - pitch) / 2.5), sigmoid((pitch - 27.5) / 3.0)
    return _share(np.column_stack([tight, 0.05 + (1 - tight) * (1 - loose), loose]))


def _arm_count(s: _Seen) -> np.ndarray:
    """1, 2, 3, 4, more than 4, can't tell."""
    weights = np.full((len(s.arms), 6), 0.03)
    counted = np.clip(s.t["n_arms"], 1, 5) - 1
    weights[np.arange(len(s.arms)), counted] += s.arms * s.is_kind("spiral")
    weights[:, 5] += 0.25 * (1 - s.arms)
    return _share(weights)


def _bar(s: _Seen) -> np.ndarray:
    return _yes_no(sigmoid(6.2 * s.t["bar_strength"] * s.clear - 2.2 + 0.6 * s.opinion))


def _bar_decals(s: _Seen) -> np.ndarray:
    """Strong, weak, none."""
    bar = _bar(s)[:, 0]
    strong = bar * sigmoid(6 * (s.t["bar_strength"] - 0.65))
    return np.column_stack([strong, bar - strong, 1 - bar])


def _prominence(s: _Seen) -> np.ndarray:
    """Weights of bulges none, just noticeable, obvious, dominant."""
    bulge = np.where(s.is_kind("smooth"), 0.45, s.t["bulge_fraction"])
    distance = (bulge[:, None] - np.array([-0.08, 0.16, 0.38, 0.66])) / 0.13
    return np.exp(-0.5 * np.clip(distance, -6, 6) ** 2) + 0.02


def _bulge_size(s: _Seen) -> np.ndarray:
    return _share(_prominence(s))


def _bulge_size_decals(s: _Seen) -> np.ndarray:
    """Dominant, large, moderate, small, none: the first two share Galaxy Zoo 2's "dominant"."""
    return _share(_prominence(s)[:, [3, 3, 2, 1, 0]] * [0.5, 0.5, 1, 1, 1])


def _edge_on_bulge(s: _Seen) -> np.ndarray:
    """Give the weights of rounded, boxy and no bulges as shares."""
    is_bulge = [s.t["edge_on_bulge"] == name for name in ("rounded", "boxy", "none")]
    return _share(np.array(is_bulge).T * (0.3 + s.clear[:, None]) + np.array([0.14, 0.03, 0.12]))


def _edge_on_bulge_decals(s: _Seen) -> np.ndarray:
    """Boxy, none, rounded."""
    return _edge_on_bulge(s)[:, [1, 2, 0]]


def _something_odd(s: _Seen) -> np.ndarray:
    return _yes_no(sigmoid(np.where(s.odd, 1.0 + 1.8 * s.clear, -2.1 + 0.5 * s.opinion)))


def _odd_feature(s: _Seen) -> np.ndarray:
    named = np.column_stack([s.t["odd"] == name for name in ODD_KINDS]).astype(np.float64)
    # What people call odd where nothing is: mostly "other", irregular shapes, neighbours.
    habit = np.array([0.09, 0.05, 0.14, 0.18, 0.40, 0.12, 0.02])
    return _share(named + habit * np.where(s.odd, 0.25, 1)[:, None])


def _merging(s: _Seen) -> np.ndarray:
    """None, minor disturbance, major disturbance, merger."""
    merger = s.t["odd"] == "merger"
    torn = np.isin(s.t["odd"], ["disturbed", "irregular", "other"])
    return _share(
        np.column_stack([2.2 - 1.9 * (torn | merger), 0.25 + torn, 0.12 + torn, 0.06 + 3 * merger])
    )


_BOTH = {
    "smooth-or-featured": _smooth_or_featured,
    "disk-edge-on": _edge_on,
    "has-spiral-arms": _spiral_arms,
    "how-rounded": _rounded,
    "spiral-winding": _winding,
    "spiral-arm-count": _arm_count,
}
_ANSWERS = {
    GZ2.name: _BOTH
    | {
        "bar": _bar,
        "bulge-size": _bulge_size,
        "something-odd": _something_odd,
        "odd-feature": _odd_feature,
        "edge-on-bulge": _edge_on_bulge,
    },
    DECALS.name: _BOTH
    | {
        "bar": _bar_decals,
        "bulge-size": _bulge_size_decals,
        "edge-on-bulge": _edge_on_bulge_decals,
        "merging": _merging,
    },
}


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Turn a score into a probability: 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


def _exp(x: np.ndarray) -> np.ndarray:
    return np.exp(np.clip(x, -30, 30))


def _yes_no(yes: np.ndarray) -> np.ndarray:
    return np.column_stack([yes, 1 - yes])


def _share(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=1, keepdims=True)
