"""Sliders that redraw a figure; where no notebook runs, its first state stays as a picture."""

import base64
import html
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
from IPython.display import display
from matplotlib.figure import Figure

from galhelpers.views.plots import figure_note, picture_of
from galhelpers.views.vote_distributions import dirichlets

Drawing = Callable[..., tuple[Figure, str]]
"""From the values of the sliders, by name, to a figure and what can be seen on it, in words."""


def show_first(widget: ipywidgets.DOMWidget, figure: Figure, words: str, caption: str = "") -> None:
    """Show a widget where there is a browser that draws it, else a figure in its place.

    Parameters
    ----------
    figure, words
        The widget's first state, and what can be seen on it.
    caption
        What to notice, in Markdown; shown below.
    """
    kind, content = picture_of(figure)
    picture = {kind: base64.b64encode(content).decode(), "text/plain": repr(widget)}
    metadata = {kind: {"alt": words, "width": round(figure.get_size_inches()[0] * 100)}}
    display(widget._repr_mimebundle_() | picture, metadata=metadata, raw=True)
    if caption:
        note = figure_note(caption, words)
        display({"text/markdown": note, "text/plain": f"Figure: {caption}"}, raw=True)


class FigureWithSliders(ipywidgets.VBox):
    """A figure that follows its sliders.

    Parameters
    ----------
    draw : callable
        Called with the value of each slider by name; gives the figure and its description in words.
    sliders : mapping of name to ipywidgets slider
        In the order of showing.
    caption : str
        What to notice, in Markdown.

    Attributes
    ----------
    description : str
        Of the figure on show.
    """

    def __init__(self, draw: Drawing, sliders: Mapping[str, Any], caption: str = "") -> None:
        self._draw, self._caption = draw, caption
        self.sliders = dict(sliders)
        self.picture = ipywidgets.HTML()  # an Image would have no alt text
        super().__init__([*self.sliders.values(), self.picture])
        for slider in self.sliders.values():
            slider.observe(self._redraw, names="value")
        self._redraw()
        self._first = self._figure, self.description

    def _redraw(self, _: object = None) -> None:
        values = {name: slider.value for name, slider in self.sliders.items()}
        self._figure, self.description = self._draw(**values)
        kind, content = picture_of(self._figure)
        width = round(self._figure.get_size_inches()[0] * 100)
        self.picture.value = (
            f'<img width="{width}" alt="{html.escape(self.description)}" '
            f'src="data:{kind};base64,{base64.b64encode(content).decode()}">'
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.description}>"

    def _ipython_display_(self, **_: Any) -> None:
        show_first(self, *self._first, self._caption)


def dirichlet_sliders(
    first: tuple[float, float, float] = (2.0, 3.0, 5.0),
    answers: tuple[str, str, str] = ("strong bar", "weak bar", "no bar"),
    people: int = 40,
    caption: str = "",
) -> FigureWithSliders:
    """Make sliders for three concentrations: the Dirichlet distribution, and votes drawn from it.

    Parameters
    ----------
    first
        The concentrations at the beginning, from 0.1 to 100.
    people
        In each of the five crowds; the last slider asks others.
    """
    style = {"description_width": "9em"}
    layout = ipywidgets.Layout(width="420px")
    sliders: dict[str, Any] = {
        name: ipywidgets.FloatLogSlider(
            value=value, min=-1, max=2, step=0.05, description=name, readout_format=".2f",
            style=style, layout=layout, continuous_update=False,
        )
        for name, value in zip(answers, first, strict=True)
    }  # fmt: skip
    sliders["ask others"] = ipywidgets.IntSlider(
        value=0, min=0, max=50, style=style, layout=layout, description="ask others"
    )

    def draw(**values: float) -> tuple[Figure, str]:
        alpha = [values[name] for name in answers]
        total = sum(alpha)
        of = "; ".join(
            f"{name} {one:.2g}, expected share {one / total:.2f}"
            for name, one in zip(answers, alpha, strict=True)
        )
        figure = dirichlets(
            {f"precision {total:.3g}": alpha}, answers, people, seed=int(values["ask others"])
        )
        figure.set_size_inches(4.6, 5.2)
        words = f"Dirichlet distribution of concentrations {of}; sum (precision) {total:.3g}."
        return figure, words

    return FigureWithSliders(draw, sliders, caption)
