"""A galaxy's way through a neural ODE, with another solver at every move of a slider."""

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from galhelpers.views.solve_galaxy import SolveGalaxy


class Turn(torch.nn.Module):
    """Turn the first two maps into each other, a quarter of a circle from t = 0 to t = 1."""

    def forward(self, t, y):
        return torch.pi / 2 * torch.stack([-y[:, 1], y[:, 0]], dim=1)


def widget(**first):
    start = torch.zeros(1, 2, 3, 3)
    start[:, 0] = 1.0
    read = lambda y: 5 * y.mean(dim=(2, 3))  # noqa: E731
    return SolveGalaxy(Turn(), start, read, ["start", "end"], caption="Move.", **first)


def test_the_first_way_is_accurate_and_ends_a_quarter_on():
    shown = widget(tolerance=1e-4)
    assert shown.error < 1e-3
    assert shown.solution.probabilities.argmax() == 1
    np.testing.assert_allclose(shown.solution.steps[-1, 9:], 1, atol=1e-3)
    assert shown.solution.evaluations > len(shown.solution.steps)


def test_a_tighter_tolerance_costs_evaluations_and_gains_accuracy():
    shown, found = widget(), []
    for tolerance in (1.0, 1e-2, 1e-4):
        shown.tolerance.value = tolerance
        found.append((shown.solution.evaluations, -shown.error))
    assert found == sorted(found)
    assert len({*found}) == 3


def test_euler_takes_the_steps_of_its_slider_and_twice_the_steps_halve_the_error():
    shown = widget(method="euler", steps=1)
    assert shown.solution.evaluations == 1
    assert shown.tolerance.disabled
    assert not shown.steps.disabled
    np.testing.assert_allclose(shown.solution.steps[-1, 9:], np.pi / 2, rtol=1e-5)
    errors = []
    for steps in (8, 16):
        shown.steps.value = steps
        assert shown.solution.evaluations == steps == len(shown.solution.steps) - 1
        errors.append(shown.error)
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


def test_every_move_changes_the_picture_and_its_description():
    shown = widget()
    before = shown.picture.value
    shown.method.value = "dopri5"
    assert shown.picture.value != before
    assert "dopri5" in shown.picture.value
    assert "alt=" in shown.picture.value


def test_without_a_browser_the_first_way_stays_as_a_picture():
    shown = widget()
    shown.method.value = "euler"
    InteractiveShell.instance()
    with capture_output() as caught:
        shown._ipython_display_()
    picture, note = caught.outputs
    assert picture.data["text/plain"].startswith("<SolveGalaxy")
    (kind,) = {"image/png", "image/jpeg"} & {*picture.data}
    assert len(picture.data[kind]) > 10_000
    assert picture.metadata[kind]["alt"].startswith("bosh3")
    assert "application/vnd.jupyter.widget-view+json" in picture.data
    assert "bosh3" in note.data["text/markdown"]
