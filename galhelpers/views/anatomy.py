"""The parts of galaxies, pointed out: words and arrows on large pictures.

Where a galaxy is simulated, `landmarks` computes from its truth where its parts lie.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from galhelpers.survey.light import semi_major_r90
from galhelpers.views.plots import WIDTH, check_images

Place = tuple[float, float]

_LABEL_AT = 0.41  # of the frame: how far from its middle the words stand
_APART = 38.0  # degrees, at least, between two words


EXAMPLES = {
    "spiral galaxy with a bar": (
        "kind == 'spiral' and odd == 'none' and n_arms == 2 and flocculence < 0.4 "
        "and cos_inclination > 0.6 and bulge_fraction > 0.05 and bulge_fraction < 0.25 "
        "and bar_r90 < 0.36",
        "bar_strength",
    ),
    "spiral galaxy without a bar": (
        "kind == 'spiral' and odd == 'none' and n_arms == 2 and flocculence < 0.4 "
        "and cos_inclination > 0.6 and bulge_fraction > 0.05 and bar_strength == 0",
        "arm_strength",
    ),
    "disk without arms": (
        "kind == 'disk' and odd == 'none' and cos_inclination > 0.6 and bar_strength == 0 "
        "and bulge_fraction > 0.1",
        "petro_r90",
    ),
    # Red as most are, and without a core that is brighter than the pictures' stretch can show.
    "smooth galaxy": (
        "kind == 'smooth' and odd == 'none' and axis_ratio > 0.7 and sersic_n < 2.5 "
        "and g_r_bulge > 0.8",
        "petro_r90",
    ),
    "disk seen edge-on": (
        "kind == 'edge_on' and odd == 'none' and edge_on_bulge == 'rounded' "
        "and bulge_fraction > 0.15",
        "dust",
    ),
    "merger": (
        "odd == 'merger' and kind == 'spiral' and cos_inclination > 0.4 and companion_r90 < 1.1",
        "companion_flux",
    ),
}
"""What to show: which galaxies of a table of truth are that, and of which column the largest."""


def choose_examples(truth: pd.DataFrame) -> pd.DataFrame:
    """Choose a galaxy of each kind of ``EXAMPLES`` by its truth.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``galhelpers.survey.sample_galaxies``; some hundreds hold all kinds.

    Returns
    -------
    pandas.DataFrame
        A row of truth for each kind that there is, the kind as its index.
    """
    found = {
        kind: truth.query(which).nlargest(1, column) for kind, (which, column) in EXAMPLES.items()
    }
    rows = pd.concat([row.assign(example=kind) for kind, row in found.items()])
    return rows.set_index("example")


def landmarks(truth: pd.DataFrame, field: float) -> list[dict[str, Place]]:
    """Compute where the parts of simulated galaxies lie in their pictures.

    Parameters
    ----------
    truth : pandas.DataFrame
        n rows of ``galhelpers.survey.sample_galaxies``.
    field : float
        Width of the pictures in units of petroR90, such as 8.48 for those of Galaxy Zoo 2.

    Returns
    -------
    list of n dict
        From the name of a part ("bulge", "bar", "spiral arm", "disk", "dust lane", "ring", "second
        galaxy") to its place: right and down from the upper left corner, in widths of the picture.
        Only parts that the galaxy has. The inverse of what ``galhelpers.survey.light`` draws; the
        small shift of lopsided galaxies is left out.
    """
    r90 = semi_major_r90(
        *(
            torch.tensor(column.to_numpy(dtype=np.float64))
            for column in (
                truth["petro_r90"],
                truth["axis_ratio"],
                (truth["kind"] == "smooth").astype(float),
                truth["edge_on"].astype(float),
            )
        )
    ).numpy()
    return [
        _parts(galaxy, float(size) / float(galaxy["petro_r90"]), field)
        for (_, galaxy), size in zip(truth.iterrows(), r90, strict=True)
    ]


def _parts(t: pd.Series, r90: float, field: float) -> dict[str, Place]:
    """Give the places of one galaxy; ``r90`` is its semi-major axis in units of petroR90."""
    turn = np.deg2rad(t["pa"])

    def place(x: float, y: float) -> Place:
        """From axes of the galaxy, in units of r90, to the picture."""
        right, down = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
        return 0.5 + float(right) * r90 / field, 0.5 + float(down) * r90 / field

    def in_disk(radius: float, angle: float) -> Place:
        """From polar coordinates in the plane of the disk to the picture."""
        return place(radius * np.cos(angle), radius * np.sin(angle) * t["axis_ratio"])

    parts: dict[str, Place] = {}
    if t["kind"] == "edge_on":
        parts["disk"] = place(-0.45, 0)
        if t["edge_on_bulge"] != "none":
            parts["bulge"] = place(0, -0.06)
        if t["dust"] > 0:
            parts["dust lane"] = place(0.3, 0.012)
    elif t["kind"] in ("spiral", "disk"):
        if t["bulge_fraction"] > 0.03:
            parts["bulge"] = place(0, 0)
        if t["bar_strength"] > 0:
            parts["bar"] = in_disk(0.7 * t["bar_r90"], np.deg2rad(t["bar_angle"]))
        if t["n_arms"] > 0:
            parts["spiral arm"] = in_disk(0.62, _on_an_arm(t, 0.62))
            parts["disk"] = in_disk(0.62, _on_an_arm(t, 0.62) + np.pi / t["n_arms"])
        else:
            parts["disk"] = in_disk(0.6, np.deg2rad(t["bar_angle"]) + np.pi / 2)
        if t["ring_r90"] > 0:
            parts["ring"] = in_disk(t["ring_r90"], np.deg2rad(t["bar_angle"]) + np.pi / 3)
    if t["odd"] == "merger":
        angle, away = np.deg2rad(t["companion_angle"]), t["companion_r90"] / field
        second = 0.5 + float(away * np.cos(angle)), 0.5 + float(away * np.sin(angle))
        parts["second galaxy"] = second
    return parts


def _on_an_arm(t: pd.Series, radius: float) -> float:
    """Angle in the plane of the disk at which a spiral arm has this radius, in radians."""
    wound = np.log(radius) / np.tan(np.deg2rad(t["arm_pitch"]))
    return float((wound + np.deg2rad(t["arm_phase"])) * t["arm_turn"])


def point_out(
    images: ArrayLike,
    titles: Sequence[str],
    notes: Sequence[Mapping[str, Place]],
    columns: int = 3,
) -> Figure:
    """Show galaxies large, with an arrow and a word for each part.

    Parameters
    ----------
    images : array of uint8, shape (n, 3, side, side)
        The pictures.
    titles : sequence of n str
        What stands above each.
    notes : sequence of n mappings
        From a word to the place that it points to: right and down from the upper left corner, in
        widths of the picture, as `landmarks` gives them.
    columns : int
        Pictures in a row.

    Raises
    ------
    ValueError
        Where images, titles and notes are not equally many, or a place is outside of its picture.
    """
    pixels = check_images(images)
    if not len(pixels) == len(titles) == len(notes):
        raise ValueError(
            f"Expected a title and notes for each of {len(pixels)} pictures, got {len(titles)} "
            f"titles and {len(notes)} notes."
        )
    columns = max(1, min(columns, len(pixels)))
    rows = -(-len(pixels) // columns)
    side = WIDTH / columns
    fig = Figure(figsize=(WIDTH, rows * (side + 0.28)), layout="constrained")
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    for ax, picture, title, words in zip(axes, pixels, titles, notes, strict=False):
        ax.imshow(picture.transpose(1, 2, 0), extent=(0, 1, 1, 0), interpolation="antialiased")
        ax.set_title(title, fontsize=10)
        _write(ax, words)
    return fig


def _write(ax: Axes, words: Mapping[str, Place]) -> None:
    outside = [word for word, (x, y) in words.items() if not (0 <= x <= 1 and 0 <= y <= 1)]
    if outside:
        raise ValueError(f"Expected places from 0 to 1, got {words[outside[0]]} of {outside[0]!r}.")
    for word, angle in _directions(words).items():
        half = 0.03 + 0.012 * len(word)  # of the word's width
        across = float(np.clip(0.5 + _LABEL_AT * np.cos(angle), half, 1 - half))
        stands = across, 0.5 + _LABEL_AT * np.sin(angle)
        text = ax.annotate(
            word,
            xy=words[word],
            xytext=stands,
            color="white",
            fontsize=10,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "->", "color": "white", "lw": 1.3, "shrinkB": 1},
        )
        text.set_path_effects([patheffects.withStroke(linewidth=2.5, foreground="black")])


def _directions(words: Mapping[str, Place]) -> dict[str, float]:
    """Say in which direction from the middle each word stands, so that none covers another.

    A word stands beyond the place that it points to. What points to the middle itself gets the
    widest gap.
    """
    offsets = {word: (x - 0.5, y - 0.5) for word, (x, y) in words.items()}
    central = [word for word, (x, y) in offsets.items() if np.hypot(x, y) < 0.03]
    angles = {
        word: float(np.arctan2(y, x)) for word, (x, y) in offsets.items() if word not in central
    }
    for _ in range(50):  # neighbours push each other apart
        order = sorted(angles, key=lambda word: angles[word])
        for one, two in zip(order, order[1:] + order[:1], strict=True):
            gap = (angles[two] - angles[one]) % (2 * np.pi)
            if len(order) > 1 and gap < np.deg2rad(_APART):
                push = (np.deg2rad(_APART) - gap) / 2
                angles[one] -= push
                angles[two] += push
    for word in central:
        taken = sorted(angle % (2 * np.pi) for angle in angles.values()) or [0.0]
        gaps = [
            (right - left) % (2 * np.pi) or 2 * np.pi
            for left, right in zip(taken, taken[1:] + taken[:1], strict=True)
        ]
        widest = int(np.argmax(gaps))
        angles[word] = taken[widest] + gaps[widest] / 2
    return angles
