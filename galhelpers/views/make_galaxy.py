"""Make a galaxy: choose its shape, see its picture, and hear what people and a network would say.

`make_galaxy` gives one galaxy of which everything is known; `GalaxyMaker` is the same with sliders.
The picture, the volunteers and the galaxy are those of the simulated survey.
"""

import base64
import html
import inspect
import io
from dataclasses import dataclass
from typing import Any, Protocol

import ipywidgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from galhelpers.survey import (
    TELESCOPES,
    cumulative_fractions,
    moved_to_redshift,
    render,
    sample_galaxies,
    volunteer_votes,
)
from galhelpers.survey.galaxies import EDGE_ON_COS
from galhelpers.survey.light import GZ2_FRAME
from galhelpers.trees import GZ2
from galhelpers.views.answer_bars import SHORT, picture_and_answers
from galhelpers.views.plots import PALETTE
from galhelpers.views.sliders import show_first

SIZE = 256
"""Width and height of the picture in pixels."""
VOLUNTEERS = 40
KNOWN_TELESCOPE = "sdss"
"""The telescope whose pictures the course's networks for Galaxy Zoo 2 were trained on."""

LIMITS = {
    "inclination": (0.0, 90.0),
    "bulge": (0.0, 1.0),
    "bar": (0.0, 1.0),
    "arms": (0.0, 1.0),
    "pitch": (7.0, 40.0),
    "redshift": (0.01, 0.25),
}
"""Least and largest value of each property, see `make_galaxy`."""

SHOWN = {
    SHORT["smooth-or-featured"]: {
        "smooth": "smooth-or-featured_smooth",
        "features or disk": "smooth-or-featured_features-or-disk",
    },
    SHORT["how-rounded"]: {
        "completely": "how-rounded_completely",
        "in between": "how-rounded_in-between",
        "cigar-shaped": "how-rounded_cigar",
    },
    SHORT["disk-edge-on"]: {"yes": "disk-edge-on_yes"},
    SHORT["bar"]: {"yes": "bar_yes"},
    SHORT["has-spiral-arms"]: {"yes": "has-spiral-arms_yes"},
    SHORT["spiral-winding"]: {
        "tight": "spiral-winding_tight",
        "medium": "spiral-winding_medium",
        "loose": "spiral-winding_loose",
    },
}
"""Questions that are shown: the text, then each answer shown and its column in the tree."""

# A galaxy of the survey's usual size, brightness and colours, with two arms and nothing odd.
_USUAL: dict[str, Any] = {
    "mag": 16.6, "petro_r90": 7.8, "redshift": 0.085, "pa": 28.0, "is_flat": False,
    "sersic_n": 3.5, "bulge_r90": 0.25, "bulge_axis_ratio": 0.9,
    "g_r_bulge": 0.9, "r_i_bulge": 0.41, "g_r_disk": 0.54, "r_i_disk": 0.3, "g_r_arms": 0.17,
    "r_i_arms": 0.19, "n_arms": 2, "arm_turn": 1, "flocculence": 0.15,
    "clumpiness": 0.5, "bar_r90": 0.28, "bar_angle": 120.0, "edge_on_bulge": "not-edge-on",
    "odd": "none", "dust": 0.0, "ring_r90": 0.0, "lopsidedness": 0.04, "texture": 12,
    "appeal": 0.0,
}  # fmt: skip
_PLACE = 6  # galaxy of the sky with seed 0 whose surroundings are empty: no star in front
_THICKNESS = 0.2  # of a disk, in units of its width
_SMOOTH = 0.95  # a bulge with at least this share of the light is a galaxy by itself


class VoteNetwork(Protocol):
    """What is asked of a network: ``Checkpoint`` of a network for the votes of Galaxy Zoo 2."""

    preprocessing: dict[str, Any]

    def posterior(self, pixels: np.ndarray) -> Any:
        """Say what it expects of volunteers; ``shares`` of it are cumulative fractions."""


@dataclass(frozen=True)
class MadeGalaxy:
    """A galaxy, its picture, and what is said of it.

    Attributes
    ----------
    truth : pandas.DataFrame
        One row of ``galhelpers.survey.sample_galaxies``.
    telescope : str
        Who looked.
    pixels : numpy.ndarray
        uint8 (3, 256, 256): the central part of a picture of Galaxy Zoo 2.
    volunteers : numpy.ndarray
        float64 (37,): cumulative fractions of 40 volunteers.
    network : numpy.ndarray or None
        float64 (37,): cumulative fractions that the network expects of them.
    """

    truth: pd.DataFrame
    telescope: str
    pixels: np.ndarray
    volunteers: np.ndarray
    network: np.ndarray | None

    @property
    def is_barred(self) -> bool:
        """Whether it truly has a bar, seen or not."""
        return bool(self.truth["bar_strength"].iloc[0] > 0)

    def answers(self) -> pd.DataFrame:
        """List the answers of ``SHOWN``.

        Returns
        -------
        pandas.DataFrame
            A row an answer: ``question``, ``answer``, ``volunteers`` and ``network`` (shares of
            those who are asked, NaN where nobody is or without a network), ``asked`` (of the 40).
        """
        said = _of_those_asked(self.volunteers, 0.5 / VOLUNTEERS)
        expected = np.full(GZ2.n_answers, np.nan)
        if self.network is not None:  # of less than one volunteer it has nothing to say
            expected = _of_those_asked(self.network, 1 / VOLUNTEERS)
        asked = np.asarray(GZ2.asked(self.volunteers[None]))[0] * VOLUNTEERS
        number = {question.name: i for i, question in enumerate(GZ2.questions)}
        rows = []
        for question, answers in SHOWN.items():
            for answer, column in answers.items():
                place = GZ2.index(column)
                people = round(asked[number[column.split("_")[0]]])
                rows.append((question, answer, said[place], expected[place], people))
        return pd.DataFrame(rows, columns=["question", "answer", "volunteers", "network", "asked"])

    def describe(self) -> str:
        """Say in words what the galaxy is and what is said of it; also the alt text."""
        t = self.truth.iloc[0]
        if t["kind"] == "smooth":
            what = "a smooth galaxy without a disk"
        else:
            arms = "with spiral arms" if t["arm_strength"] > 0 else "without arms"
            side = ", seen edge-on" if t["edge_on"] else ""
            bar = "with a bar" if self.is_barred else "without a bar"
            what = f"a disk {arms} and {bar}{side}"
        said = self.answers()

        def share(who: str, question: str, answer: str) -> str:
            row = (said["question"] == question) & (said["answer"] == answer)
            value = said[who][row].to_numpy()[0]
            return "nobody was asked" if np.isnan(value) else f"{value:.0%}"

        def of(who: str) -> str:
            featured = share(who, "smooth or featured?", "features or disk")
            return f"features or disk {featured}, a bar {share(who, 'a bar?', 'yes')}"

        words = f"The galaxy is {what}, at redshift {t['redshift']:.2f}, seen by {self.telescope}."
        words += f" Of 40 volunteers: {of('volunteers')} of those asked."
        if self.network is not None:
            words += f" The network expects: {of('network')}."
        return f"{words} {self.warning}".strip()

    @property
    def warning(self) -> str:
        """Say where the network looks at pictures of a kind that it has never seen."""
        if self.network is None or self.telescope == KNOWN_TELESCOPE:
            return ""
        return f"The network knows pictures of {KNOWN_TELESCOPE} only, not of {self.telescope}."

    def figure(self) -> Figure:
        """Draw the picture and, beside it, a bar for each answer."""
        who = {"volunteers": f"{VOLUNTEERS} volunteers"}
        who |= {} if self.network is None else {"network": "network"}
        return picture_and_answers(self.pixels, self.answers(), who)


def _of_those_asked(shares: np.ndarray, least: float) -> np.ndarray:
    """Shares of those asked, (37,); NaN where the least share of all volunteers or less is."""
    return np.asarray(GZ2.to_conditional(shares, atol=least))


def make_galaxy(
    inclination: float = 30.0,
    bulge: float = 0.1,
    bar: float = 0.9,
    arms: float = 0.7,
    pitch: float = 20.0,
    redshift: float = 0.03,
    telescope: str = "sdss",
    network: VoteNetwork | None = None,
) -> MadeGalaxy:
    """Make one galaxy of the simulated survey to order.

    The galaxy is moved to its redshift as a whole (``moved_to_redshift``): at 0.085 it has the
    magnitude and size that are usual in the survey. The frame follows its size, so that it looks
    equally large at every distance; what changes is how much of it the telescope can show.

    Parameters
    ----------
    inclination : float
        Degrees, 0 (face-on) to 90 (edge-on).
    bulge : float
        Share of the light that is in the bulge, 0 to 1; from 0.95 there is no disk, and the galaxy
        is smooth.
    bar : float
        Strength of the bar, 0 (none) to 1. The survey's barred galaxies have 0.3 to 1.
    arms : float
        Strength of the spiral arms, 0 (none) to 1. The survey's spirals have 0.18 to 1.
    pitch : float
        Pitch angle of the arms in degrees, 7 (tightly wound) to 40 (open).
    redshift : float
        0.01 to 0.25.
    telescope : str
        A name in ``galhelpers.survey.TELESCOPES``.
    network : VoteNetwork, optional
        A checkpoint for the votes of Galaxy Zoo 2, such as ``lesson.trained("start")``.

    Raises
    ------
    ValueError
        For a number out of range or an unknown telescope.
    """
    given = {"inclination": inclination, "bulge": bulge, "bar": bar, "arms": arms,
             "pitch": pitch, "redshift": redshift}  # fmt: skip
    for name, value in given.items():
        low, high = LIMITS[name]
        if not low <= value <= high:
            raise ValueError(f"Expected {name} from {low:g} to {high:g}, got {value!r}.")
    truth = moved_to_redshift(_truth(inclination, bulge, bar, arms, pitch), redshift)
    crop = 0.53 if network is None else network.preprocessing["crop"]
    field = float(crop * GZ2_FRAME * truth["petro_r90"].iloc[0])
    pixels = render(truth, telescope, SIZE, field_of_view=field)[0].numpy()
    votes = volunteer_votes(truth, GZ2, telescope, VOLUNTEERS)
    expected = None
    if network is not None:
        expected = network.posterior(_reduced(pixels, network.preprocessing["size"])[None]).shares[
            0
        ]
    return MadeGalaxy(truth, telescope, pixels, cumulative_fractions(votes)[0], expected)


def _truth(inclination: float, bulge: float, bar: float, arms: float, pitch: float) -> pd.DataFrame:
    cos_i = float(np.cos(np.deg2rad(inclination)))
    edge_on, smooth = cos_i < EDGE_ON_COS, bulge >= _SMOOTH
    thickness = 0.6 if smooth else _THICKNESS
    has_arms = arms > 0 and not edge_on and not smooth
    kind = "smooth" if smooth else "edge_on" if edge_on else "spiral" if has_arms else "disk"
    # The two arms start at the ends of the bar, as most do.
    turned = np.rad2deg(np.log(_USUAL["bar_r90"]) / np.tan(np.deg2rad(pitch)))
    properties = _USUAL | {
        "arm_phase": (_USUAL["bar_angle"] - turned) % 360,
        "axis_ratio": np.hypot(cos_i * (1 - thickness**2) ** 0.5, thickness),
        "cos_inclination": 1.0 if smooth else cos_i,
        "edge_on": edge_on and not smooth,
        "kind": kind,
        "bulge_fraction": 1.0 if smooth else bulge,
        "bar_strength": 0.0 if edge_on or smooth else bar,
        "arm_strength": arms if has_arms else 0.0,
        "n_arms": _USUAL["n_arms"] if has_arms else 0,
        "arm_pitch": pitch,
    }
    if smooth:
        properties["bulge_r90"] = 1.0
    elif edge_on:
        properties |= {"edge_on_bulge": "none" if bulge < 0.06 else "rounded", "dust": 0.8}
    return sample_galaxies(1, start=_PLACE).assign(**properties)


def _reduced(pixels: np.ndarray, size: int) -> np.ndarray:
    """Reduce a picture (3, side, side) to a network's size with the filter of the survey's own."""
    picture = Image.fromarray(pixels.transpose(1, 2, 0))
    small = picture.resize((size, size), Image.Resampling.HAMMING)
    return np.asarray(small).transpose(2, 0, 1).copy()


_SLIDERS = {
    "inclination": ("inclination (°)", 5.0, "d"),
    "bulge": ("bulge's share of light", 0.05, ".2f"),
    "bar": ("bar strength", 0.1, ".1f"),
    "arms": ("arm strength", 0.1, ".1f"),
    "pitch": ("pitch of the arms (°)", 1.0, "d"),
    "redshift": ("redshift", 0.01, ".2f"),
}


class GalaxyMaker(ipywidgets.VBox):
    """Sliders for the properties of `make_galaxy`; the picture and the answers follow at once.

    Where no notebook runs (a built page, a printout) the first galaxy stays as a picture.

    Parameters
    ----------
    network : VoteNetwork, optional
        As for `make_galaxy`.
    caption : str
        What to notice, in Markdown.
    **first
        Properties of the first galaxy, as for `make_galaxy`.

    Attributes
    ----------
    galaxy : MadeGalaxy
        The one on show.
    """

    def __init__(self, network: VoteNetwork | None = None, caption: str = "", **first: Any) -> None:
        self._network, self._caption = network, caption
        self.galaxy = make_galaxy(network=network, **first)
        self._first = self.galaxy
        usual = inspect.signature(make_galaxy).parameters
        start = {name: first.get(name, usual[name].default) for name in (*LIMITS, "telescope")}
        wide = {"description_width": "10.5em"}
        layout = ipywidgets.Layout(width="360px")
        self.sliders = {
            name: ipywidgets.FloatSlider(
                value=start[name], min=LIMITS[name][0], max=LIMITS[name][1], step=step,
                description=text, readout_format=form, style=wide, layout=layout,
            )
            for name, (text, step, form) in _SLIDERS.items()
        }  # fmt: skip
        self.telescope = ipywidgets.Dropdown(
            options=list(TELESCOPES), value=start["telescope"],
            description="telescope", style=wide, layout=layout,
        )  # fmt: skip
        self.picture = ipywidgets.HTML()  # an Image would have no alt text
        self.words = ipywidgets.HTML()
        left = ipywidgets.VBox([self.picture, *self.sliders.values(), self.telescope])
        row = ipywidgets.Layout(flex_flow="row wrap", align_items="flex-start", grid_gap="1.5em")
        super().__init__([ipywidgets.HBox([left, self.words], layout=row)])
        for control in (*self.sliders.values(), self.telescope):
            control.observe(self._redraw, names="value")
        self._show()

    def _redraw(self, _: object) -> None:
        chosen = {name: slider.value for name, slider in self.sliders.items()}
        self.galaxy = make_galaxy(telescope=self.telescope.value, network=self._network, **chosen)
        self._show()

    def _show(self) -> None:
        file = io.BytesIO()
        Image.fromarray(self.galaxy.pixels.transpose(1, 2, 0)).save(file, "PNG")
        data = base64.b64encode(file.getvalue()).decode()
        alt = html.escape(self.galaxy.describe())
        self.picture.value = (
            f'<img class="made-galaxy" width="300" alt="{alt}" src="data:image/png;base64,{data}">'
        )
        self.words.value = _table(self.galaxy)

    def __repr__(self) -> str:
        return f"<GalaxyMaker: {self.galaxy.describe()}>"

    def _ipython_display_(self, **_: Any) -> None:
        show_first(self, self._first.figure(), self._first.describe(), self._caption)


def _table(galaxy: MadeGalaxy) -> str:
    """Give the answers as a table with bars, in HTML."""

    def bar(share: float, colour: str) -> str:
        if np.isnan(share):
            return "<td></td>"
        mark = f"display:inline-block;height:.8em;width:{8 * share:.2f}em;background:{colour}"
        cell = "width:12em;text-align:left;white-space:nowrap"
        return f'<td style="{cell}"><span style="{mark}"></span> {share:.0%}</td>'

    who = ["volunteers"] if galaxy.network is None else ["volunteers", "network"]
    lines = ["<th></th>" + "".join(f'<th style="text-align:left">{name}</th>' for name in who)]
    for question, part in galaxy.answers().groupby("question", sort=False):
        people = part["asked"].iloc[0]
        asked = f"{people} of {VOLUNTEERS} asked" if people else "nobody was asked"
        lines.append(
            f'<th colspan="{1 + len(who)}" style="text-align:left">{html.escape(str(question))} '
            f'<span style="font-weight:normal">({asked})</span></th>'
        )
        for _, row in part.iterrows():
            bars = "".join(bar(row[name], PALETTE[i]) for i, name in enumerate(who))
            lines.append(
                f'<td style="text-align:right;padding-right:.6em">{row["answer"]}</td>{bars}'
            )
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    note = f"<p><b>{html.escape(galaxy.warning)}</b></p>" if galaxy.warning else ""
    return f'<table style="line-height:1.25">{rows}</table>{note}'
