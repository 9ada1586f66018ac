"""Solve a galaxy: choose a solver and its tolerance, and see which way the state goes.

The state of one galaxy in a trained neural ODE flows from t = 0 to t = 1. `Solution` is one way of
solving it; `SolveGalaxy` is the same with sliders.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from galhelpers.ode import Statistics, odeint
from galhelpers.ode.methods import TABLEAUS
from galhelpers.views.plots import PALETTE, WIDTH, tidy
from galhelpers.views.sliders import FigureWithSliders

TOLERANCES = (-5, 1)
"""Least and largest power of ten of the tolerance."""
MOST_STEPS = 16
"""Of a method of equal steps."""
_FINE = 41  # points of a path that is drawn as a curve
_ACCURATE = {"method": "dopri5", "rtol": 1e-6, "atol": 1e-6}


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


@dataclass(frozen=True)
class Solution:
    """One way from t = 0 to t = 1.

    Attributes
    ----------
    setting : str
        Method, and its tolerance or number of steps.
    evaluations : int
        How often the right-hand side was asked.
    steps : numpy.ndarray
        States at the start and at the end of each step, shape (steps + 1, numbers in a state).
    probabilities : numpy.ndarray
        Of the classes, read from the last state.
    """

    setting: str
    evaluations: int
    steps: np.ndarray
    probabilities: np.ndarray


class SolveGalaxy(FigureWithSliders):
    """Sliders for solver and tolerance; the way of one galaxy's state follows at once.

    The way is drawn in the plane of the two directions in which the accurate solution moves most
    (principal components). Where no notebook runs (a built page, a printout) the first way stays
    as a picture.

    Parameters
    ----------
    func
        Right-hand side: a time and a state (1, channels, height, width) to its slope.
    start
        State of one galaxy at t = 0, shape (1, channels, height, width).
    read
        State to the scores of the classes, shape (1, classes).
    classes
        Their names.
    method, tolerance, steps
        What is shown first. ``tolerance`` is for methods that choose their steps, ``steps`` for
        ``euler`` and ``rk4``.
    caption
        What to notice, in Markdown.

    Attributes
    ----------
    solution : Solution
        The one on show.
    """

    def __init__(
        self,
        func: torch.nn.Module,
        start: Tensor,
        read: Callable[[Tensor], Tensor],
        classes: Sequence[str],
        method: str = "bosh3",
        tolerance: float = 1e-2,
        steps: int = 4,
        caption: str = "",
    ) -> None:
        self._func, self._start, self._read = func, start, read
        self._classes = list(classes)
        self._accurate = self._solve(torch.linspace(0, 1, _FINE).tolist(), **_ACCURATE)
        self._middle = self._accurate.mean(axis=0)
        self._plane = np.linalg.svd(self._accurate - self._middle, full_matrices=False)[2][:2]
        style = {"description_width": "8em"}
        self.method = ipywidgets.Dropdown(
            options=list(TABLEAUS), value=method, description="solver", style=style
        )
        self.tolerance = ipywidgets.FloatLogSlider(
            value=tolerance, min=TOLERANCES[0], max=TOLERANCES[1], step=0.5, style=style,
            description="tolerance", readout_format=".0e",
        )  # fmt: skip
        self.steps = ipywidgets.IntSlider(
            value=steps, min=1, max=MOST_STEPS, description="equal steps", style=style
        )
        sliders = {"method": self.method, "tolerance": self.tolerance, "steps": self.steps}
        super().__init__(self._way, sliders, caption)

    def _solve(self, times: Sequence[float], **setting: Any) -> np.ndarray:
        with torch.no_grad():
            return odeint(self._func, self._start, times, **setting).flatten(1).double().numpy()

    def _way(self, method: str, tolerance: float, steps: int) -> tuple[Figure, str]:
        """Solve as the sliders say: figure and description."""
        self.tolerance.disabled = not TABLEAUS[method].adaptive
        self.steps.disabled = TABLEAUS[method].adaptive
        if TABLEAUS[method].adaptive:
            setting: dict[str, Any] = {"rtol": tolerance, "atol": tolerance}
            said = f"{method}, tolerance {tolerance:.2g}"
        else:
            setting = {"step_size": 1 / steps}
            said = f"{method}, {_counted(steps, 'step')}"
        stats = Statistics()
        setting["method"] = method
        self._solve((0.0, 1.0), stats=stats, **setting)
        ways = self._solve(stats.times, **setting)
        last = torch.from_numpy(ways[-1]).to(self._start).reshape(self._start.shape)
        with torch.no_grad():
            probabilities = self._read(last).softmax(dim=1)[0].double().numpy()
        self.solution = Solution(said, stats.forward, ways, probabilities)
        return self.figure(), self.describe()

    @property
    def error(self) -> float:
        """How far the end on show is from the accurate one, in lengths of the accurate way."""
        way = np.linalg.norm(self._accurate[-1] - self._accurate[0])
        return float(np.linalg.norm(self.solution.steps[-1] - self._accurate[-1]) / way)

    def describe(self) -> str:
        """Say in a sentence what is on show."""
        one = self.solution
        likely = self._classes[int(one.probabilities.argmax())]
        return (
            f"{one.setting}: {_counted(one.evaluations, 'evaluation')}, "
            f"{_counted(len(one.steps) - 1, 'step')}; the last state reads {likely}, "
            f"probability {one.probabilities.max():.2f}."
        )

    def figure(self) -> Figure:
        """Draw the way on show beside the accurate one, and the probabilities at its end."""
        fig = Figure(figsize=(WIDTH, 3.4), layout="constrained")
        left, right = fig.subplots(1, 2, width_ratios=(1.7, 1))
        accurate = (self._accurate - self._middle) @ self._plane.T
        taken = (self.solution.steps - self._middle) @ self._plane.T
        left.plot(*accurate.T, color="0.6", lw=5, alpha=0.6, label="accurate")
        left.plot(*taken.T, "o-", color=PALETTE[1], ms=5, lw=1.4, label="steps of this solver")
        left.plot(*accurate[0], "k*", ms=11)
        left.plot(*accurate[-1], "kD", ms=6, zorder=5)
        left.set(xlabel="first direction", ylabel="second direction")
        left.set_title(
            f"{self.solution.setting}: {_counted(self.solution.evaluations, 'evaluation')}, "
            f"end {self.error:.1%} off"
        )
        left.legend(frameon=False, fontsize=8)
        place = np.arange(len(self._classes))
        right.barh(place, self.solution.probabilities, color=PALETTE[0])
        right.set_yticks(place, self._classes)
        right.set(xlim=(0, 1), ylim=(len(place) - 0.5, -0.5), xlabel="probability")
        for ax in (left, right):
            tidy(ax)
        return fig
