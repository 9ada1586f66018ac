"""Galaxies with known truth: what the simulated sky is made of.

Every galaxy is one row of a table; nothing here knows of telescopes or pixels. Row ``i`` depends
on the seed and on ``i`` alone: a galaxy is the same whether it is drawn first, last or by itself.

The distributions follow the main sample of Galaxy Zoo 2 (r < 17, petroR90 > 3 arcsec; Willett et
al. 2013, MNRAS 435, 2835): counts that rise with magnitude, logarithmic spirals (Kennicutt 1981, AJ
86, 1847: pitch angles of 5 to 40 degrees), disks seen from random directions, red ellipticals and
bulges, blue disks (Strateva et al. 2001, AJ 122, 1861).
"""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pandas as pd
from scipy.special import ndtri

SURVEY_VERSION = 4
"""Changes whenever the same seed gives other galaxies or pictures."""

KINDS = ("smooth", "spiral", "disk", "edge_on", "irregular", "artifact")
ODD_KINDS = ("ring", "lens-or-arc", "disturbed", "irregular", "other", "merger", "dust-lane")
EDGE_ON_COS = 0.15
"""A disk whose inclination has a smaller cosine than this is drawn, and judged, as edge-on."""

# Shares of smooth galaxies, disks, irregular ones and artifacts; of what is odd; of 1 to 5 arms.
# Chosen so that the votes that follow have the means of Kaggle's table, see the tests.
_SHARES = (0.43, 0.53, 0.03, 0.01)
_ODD_SHARES = (0.030, 0.006, 0.030, 0.0, 0.03, 0.04, 0.006)
_ARM_SHARES = (0.05, 0.70, 0.12, 0.05, 0.08)


def generator(seed: int, purpose: str, index: int) -> np.random.Generator:
    """Give the random numbers of one galaxy for one purpose, whatever else has been drawn.

    Parameters
    ----------
    seed : int
        Seed of the survey.
    purpose : str
        What the numbers are for ("truth", "sky", "votes"); purposes never share numbers.
    index : int
        Number of the galaxy, 0 or more.
    """
    digest = blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest()
    key = np.array([int.from_bytes(digest, "little"), index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


class _Draws:
    """Columns of independent random numbers, handed out one after another.

    New properties must be drawn after the old ones, else every galaxy of every seed changes.
    """

    def __init__(self, seed: int, indices: Sequence[int], n_columns: int = 80) -> None:
        rows = [generator(seed, "truth", i).random(n_columns) for i in indices]
        self._values = np.array(rows, dtype=np.float64).reshape(len(indices), n_columns)
        self._next = 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        column = self._values[:, self._next]
        self._next += 1
        return low + (high - low) * column

    def normal(self, mean: float = 0.0, sd: float = 1.0) -> np.ndarray:
        return mean + sd * ndtri(np.clip(self.uniform(), 1e-6, 1 - 1e-6))

    def choice(self, shares: Sequence[float]) -> np.ndarray:
        """Integers 0 to k - 1 for k shares, and k for what they lack to 1."""
        return np.searchsorted(np.cumsum(shares), self.uniform(), side="right")


def sample_galaxies(n: int, seed: int = 0, start: int = 0, balanced: bool = False) -> pd.DataFrame:
    """Draw galaxies ``start`` to ``start + n - 1`` of the sky with this seed.

    Parameters
    ----------
    n : int
        Number of galaxies, 0 or more.
    seed : int
        Seed of the sky. Galaxy ``i`` depends only on ``(seed, i)`` and on ``balanced``.
    start : int
        Number of the first galaxy.
    balanced : bool
        False: kinds in their real shares. True: about as many round, in-between and cigar-shaped
        smooth galaxies, edge-on disks and spirals, so that rare classes are there to be learned.

    Returns
    -------
    pandas.DataFrame
        One row a galaxy; ``id`` is its number, ``kind`` one of ``KINDS``, ``odd`` one of
        ``ODD_KINDS`` or "none". Angles in degrees (``pa``: from the x axis towards the y axis of
        the image), ``petro_r90`` in arcsec, other lengths in units of it, ``mag`` in the r band,
        colours in magnitudes (AB), fractions of the total light, ``ra`` and ``dec`` in degrees.
    """
    if n < 0 or start < 0:
        raise ValueError(f"Expected n and start of 0 or more, got n={n}, start={start}.")
    draws = _Draws(seed, range(start, start + n))
    truth = pd.DataFrame({"id": np.arange(start, start + n, dtype=np.int64)})
    family = np.minimum(draws.choice(_SHARES), len(_SHARES) - 1)
    wanted = np.minimum(draws.choice([0.2] * 5), 4)  # the class aimed at when balanced
    if balanced:
        family = np.where(wanted < 3, 0, 1)
    aim = wanted if balanced else None
    is_smooth, is_disk, is_irregular, is_artifact = (family == k for k in range(4))

    _add_shape(truth, draws, is_smooth, is_disk, aim)
    _add_light(truth, draws, is_smooth, is_irregular)
    # What volunteers call an artifact is mostly a star: a point.
    truth.loc[is_artifact, ["bulge_fraction", "bulge_r90"]] = 1.0, 0.02
    _add_features(truth, draws, family, aim)
    _add_position(truth, draws)
    return truth


def ringed_galaxies(n: int, seed: int = 0) -> pd.DataFrame:
    """Draw galaxies of which about half have a ring: rings are rare in ``sample_galaxies``.

    All are featured (spirals, disks, irregulars) and none is seen edge-on. Six in ten of those that
    nothing disturbs have a ring, of .4 to .85 petroR90; the others have none.

    Parameters
    ----------
    n : int
        Number of galaxies, 1 or more.
    seed : int
        Seed of the sky, as for ``sample_galaxies``.

    Returns
    -------
    pandas.DataFrame
        n rows as of ``sample_galaxies``; ``odd`` is "ring" where there is one, and ``ring_r90``
        says how large it is.
    """
    truth = sample_galaxies(4 * n, seed)
    seen = truth["kind"].isin(["spiral", "disk", "irregular"]) & (truth["cos_inclination"] > 0.3)
    truth = truth[seen].iloc[:n].reset_index(drop=True)
    draws = np.array([generator(seed, "ring", i).random(2) for i in truth["id"]])
    torn = truth["odd"].isin(["disturbed", "merger", "irregular"])
    ring = ~torn & (draws[:, 0] < 0.62)
    truth["odd"] = np.where(ring, "ring", truth["odd"].replace("ring", "none"))
    return truth.assign(ring_r90=np.where(ring, 0.4 + 0.45 * draws[:, 1], 0.0))


def _add_shape(
    truth: pd.DataFrame,
    draws: _Draws,
    is_smooth: np.ndarray,
    is_disk: np.ndarray,
    aim: np.ndarray | None,
) -> None:
    """Axis ratios: what is seen of thick spheroids and of thin disks from a random direction."""
    spheroid = np.clip(1.02 - 0.55 * draws.uniform() ** 1.35 + draws.normal(0, 0.03), 0.3, 1.0)
    # Some "smooth" galaxies are disks without structure: these supply the flat ones.
    is_flat = is_smooth & (draws.uniform() < 0.09)
    flat = draws.uniform(0.26, 0.58)
    cos_i = draws.uniform()
    thickness = draws.uniform(0.16, 0.33)
    if aim is not None:
        is_flat = aim == 2
        spheroid = np.where(aim == 0, 0.84 + 0.16 * cos_i, 0.48 + 0.22 * cos_i)
        flat = 0.26 + 0.18 * cos_i
        cos_i = np.where(aim == 3, EDGE_ON_COS * 0.9 * cos_i, 0.35 + 0.65 * cos_i)
    seen = np.sqrt(cos_i**2 * (1 - thickness**2) + thickness**2)
    smooth_ratio = np.where(is_flat, flat, spheroid)
    truth["axis_ratio"] = np.select([is_smooth, is_disk], [smooth_ratio, seen], 0.45 + 0.5 * cos_i)
    truth["cos_inclination"] = np.where(is_disk, cos_i, 1.0)
    truth["edge_on"] = is_disk & (cos_i < EDGE_ON_COS)
    truth["is_flat"] = is_flat
    truth["pa"] = draws.uniform(0, 180)


def _add_light(
    truth: pd.DataFrame, draws: _Draws, is_smooth: np.ndarray, is_irregular: np.ndarray
) -> None:
    """Brightness, size, concentration and colours of the old and the young stars."""
    # Euclidean counts, N(<m) ~ 10^(0.6 m), a little flatter because redshift dims.
    truth["mag"] = np.maximum(17.0 + np.log10(draws.uniform(1e-4, 1)) / 0.52, 13.0)
    spread = draws.normal(0, 0.24)
    bright = 10 ** (-0.16 * (truth["mag"] - 16.6))
    truth["petro_r90"] = np.clip(np.where(is_smooth, 6.4, 7.8) * bright * np.exp(spread), 3.2, 40.0)
    redshift = 0.085 * 10 ** (0.12 * (truth["mag"] - 16.6) + 0.2 * spread)
    truth["redshift"] = np.clip(redshift, 0.01, 0.25)
    red = draws.normal(0, 0.05) + 1.2 * (truth["redshift"] - 0.08)
    blueness = draws.uniform()
    # Blue spheroids and starbursts; flat galaxies without structure are mostly blue.
    bluish = is_smooth & (blueness < np.where(truth["is_flat"], 0.75, 0.22))

    truth["sersic_n"] = np.where(bluish, draws.uniform(0.9, 2.2), draws.uniform(2.4, 5.2))
    # Seen from the side, a disk's own dust lies in front of it.
    dusty = 0.08 * truth["edge_on"]
    fraction = np.clip(draws.normal(0.19, 0.15) * np.where(truth["edge_on"], 0.95, 1), 0.0, 0.75)
    truth["bulge_fraction"] = np.select([is_smooth, is_irregular], [1.0, 0.0], fraction)
    truth["bulge_r90"] = np.where(is_smooth, 1.0, draws.uniform(0.16, 0.34))
    truth["bulge_axis_ratio"] = draws.uniform(0.65, 1.0)
    truth["g_r_bulge"] = np.where(bluish, draws.normal(0.42, 0.14), 0.90 + red + dusty)
    truth["r_i_bulge"] = (
        np.where(bluish, 0.22, 0.41) + 0.25 * red + 0.5 * dusty + draws.normal(0, 0.02)
    )
    disk = draws.normal(0.54, 0.11) + 0.22 * (fraction - 0.24) - 0.18 * is_irregular + 0.5 * red
    disk += dusty
    truth["g_r_disk"] = disk
    truth["r_i_disk"] = 0.33 + 0.45 * (disk - 0.62) + draws.normal(0, 0.02)
    truth["g_r_arms"] = disk - draws.uniform(0.25, 0.48)
    truth["r_i_arms"] = truth["r_i_disk"] - draws.uniform(0.06, 0.16)


def _add_features(
    truth: pd.DataFrame, draws: _Draws, family: np.ndarray, aim: np.ndarray | None
) -> None:
    """Spiral arms, bars, bulges of edge-on disks, dust, and whatever is odd."""
    edge_on = truth["edge_on"].to_numpy()
    face_on = (family == 1) & ~edge_on
    has_arms = face_on & (draws.uniform() < 0.50)
    strength = 0.18 + 0.82 * draws.uniform()
    if aim is not None:
        has_arms, strength = face_on & (aim == 4), 0.3 + 0.7 * strength
    truth["kind"] = np.select(
        [family == 0, edge_on, has_arms, family == 1, family == 2],
        ["smooth", "edge_on", "spiral", "disk", "irregular"],
        "artifact",
    )
    truth["n_arms"] = np.where(has_arms, 1 + np.minimum(draws.choice(_ARM_SHARES), 4), 0)
    truth["arm_strength"] = np.where(has_arms, strength, 0.0)
    truth["arm_pitch"] = np.clip(draws.normal(19, 7), 7, 40)
    truth["arm_turn"] = np.where(draws.uniform() < 0.5, 1, -1)
    truth["arm_phase"] = draws.uniform(0, 360)
    # Grand design where there are few arms, torn into patches where there are many.
    truth["flocculence"] = np.clip(0.12 * truth["n_arms"] + draws.normal(0.1, 0.2), 0.05, 1.0)
    truth["clumpiness"] = np.clip(draws.normal(0.55, 0.2), 0.1, 1.0)

    has_bar = face_on & (draws.uniform() < 0.34)
    truth["bar_strength"] = np.where(has_bar, 0.3 + 0.7 * draws.uniform(), 0.0)
    truth["bar_r90"] = draws.uniform(0.28, 0.5)
    truth["bar_angle"] = draws.uniform(0, 180)

    boxy = draws.uniform() < 0.13
    bulge = np.select([truth["bulge_fraction"] < 0.06, boxy], ["none", "boxy"], "rounded")
    truth["edge_on_bulge"] = np.where(edge_on, bulge, "not-edge-on")
    dust = np.where(edge_on & (draws.uniform() < 0.5), draws.uniform(0.3, 1.3), 0.0)

    odd = np.append(ODD_KINDS, "none")[draws.choice(_ODD_SHARES)]
    if aim is not None:
        odd = np.full(len(truth), "none")
    odd = np.where((odd == "dust-lane") & ~edge_on, "none", odd)
    odd = np.where((odd == "ring") & ~face_on, "none", odd)
    odd = np.where(family == 2, "irregular", np.where(family == 3, "none", odd))
    truth["odd"] = odd
    truth["dust"] = np.where(odd == "dust-lane", 1.6, dust)
    truth["ring_r90"] = np.where(odd == "ring", draws.uniform(0.45, 0.75), 0.0)
    truth["companion_r90"] = draws.uniform(0.55, 1.25)  # distance of a merger's second galaxy
    truth["companion_angle"] = draws.uniform(0, 360)
    truth["companion_flux"] = draws.uniform(0.25, 0.9)  # in units of the first galaxy's
    torn = np.isin(odd, ["disturbed", "irregular", "merger"])
    truth["lopsidedness"] = np.where(
        torn, draws.uniform(0.3, 0.75), 0.04 + has_arms * 0.4 * draws.uniform() ** 1.5
    )


def _add_position(truth: pd.DataFrame, draws: _Draws) -> None:
    """Even on the sphere, inside 110 < RA < 260 and -5 < Dec < 60 degrees."""
    truth["ra"] = draws.uniform(110.0, 260.0)
    low, high = np.sin(np.deg2rad([-5.0, 60.0]))
    truth["dec"] = np.rad2deg(np.arcsin(draws.uniform(low, high)))
    truth["texture"] = (draws.uniform() * 2**31).astype(np.int64)  # seed of clumps and patches
    truth["appeal"] = draws.normal()  # what makes one galaxy look more convincing than another
