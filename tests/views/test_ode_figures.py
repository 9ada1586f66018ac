"""Figures of networks in which depth is time."""

import numpy as np
import pandas as pd
import pytest

from galhelpers.views import ode_figures

CLASSES = ["round", "cigar", "spiral"]
COUNTS = np.array([[8, 1, 1], [2, 3, 0], [0, 0, 10]])


def texts(fig):
    return [text.get_text() for ax in fig.axes for text in ax.texts]


def test_the_third_way_to_be_deep_has_one_function_at_three_times():
    fig = ode_figures.three_depths()
    plain, residual, ode = ([t.get_text() for t in ax.texts] for ax in fig.axes)
    assert "+" not in plain
    assert residual.count("+") == ode.count("+") == 3
    assert [text for text in ode if text.startswith("f,")] == [
        "f, t = 0",
        "f, t = 1/3",
        "f, t = 2/3",
    ]
    colours = {patch.get_facecolor() for patch in fig.axes[2].patches[:1]}
    assert len(colours) == 1


def test_states_have_one_scale_a_channel():
    states = np.random.default_rng(0).normal(size=(4, 6, 7, 7))
    picture = np.zeros((3, 9, 9), np.uint8)
    fig = ode_figures.states_along_time(picture, states, [0, 0.3, 0.6, 1], [5, 2])
    maps = [ax.images[0] for ax in fig.axes if ax.images][1:]
    assert len(maps) == 2 * 4
    for row, channel in ((maps[:4], 5), (maps[4:], 2)):
        assert {one.norm.vmax for one in row} == {np.abs(states[:, channel]).max()}
        for one, values in zip(row, states[:, channel], strict=True):
            np.testing.assert_array_equal(one.get_array(), values)


def test_a_path_leads_from_an_open_to_a_full_dot():
    paths = np.random.default_rng(0).normal(size=(2, 5, 2))
    fig = ode_figures.paths_of_states(paths, [2, 0], CLASSES, ("a", "b"))
    way, first, last, other, *_ = fig.axes[0].lines
    np.testing.assert_array_equal(way.get_xydata(), paths[0])
    np.testing.assert_array_equal(first.get_xydata()[0], paths[0, 0])
    np.testing.assert_array_equal(last.get_xydata()[0], paths[0, -1])
    assert first.get_markerfacecolor() == "white" != last.get_markerfacecolor()
    assert way.get_color() != other.get_color()


def test_recalls_with_wilsons_interval_beside_the_papers():
    fig = ode_figures.recalls_beside_paper({"one": COUNTS}, {"one": [0.7, 0.2, 0.9]}, CLASSES)
    ours, paper = fig.axes[0].lines
    np.testing.assert_allclose(ours.get_xdata(), [0.8, 0.6, 1.0])
    np.testing.assert_allclose(paper.get_xdata(), [0.7, 0.2, 0.9])
    (bars,) = fig.axes[0].collections
    low, high = bars.get_segments()[1][:, 0]
    assert (low, high) == pytest.approx((0.231, 0.882), abs=1e-3)  # of 3 of 5


def test_recorded_curves_of_each_class_with_their_areas():
    one = {
        "roc": {"round_smooth": {"false_positive_rate": [0, 0.1, 1], "recall": [0, 0.9, 1],
                                 "area": 0.93}},
        "precision_recall": {"round_smooth": {"recall": [1, 0.5, 0], "precision": [0.2, 0.8, 1],
                                              "average_precision": 0.61}},
    }  # fmt: skip
    fig = ode_figures.recorded_curves({"a": one, "b": one}, {"round_smooth": "round"})
    roc, _, found, _ = fig.axes
    assert roc.lines[0].get_label() == "round 0.930"
    np.testing.assert_allclose(roc.lines[0].get_ydata(), [0, 0.9, 1])
    assert found.lines[0].get_label() == "round 0.610"
    np.testing.assert_allclose(found.lines[0].get_ydata(), [0.2, 0.8, 1])


def test_solvers_have_a_panel_a_network_and_a_line_each_in_order_of_their_work():
    rows = pd.DataFrame(
        [
            ("a", "euler", 4, 0.9, 0.8, 1.0),
            ("a", "euler", 1, 0.5, 0.4, 0.6),
            ("b", "heun", 6, 0.7, 0.6, 0.8),
            ("b", "euler", 2, 0.6, 0.5, 0.7),
        ],
        columns=["network", "solver", "evaluations", "accuracy", "low", "high"],
    )
    first, second = ode_figures.accuracy_of_solvers(rows, bands=True).axes
    np.testing.assert_array_equal(first.lines[0].get_xydata(), [[1, 0.5], [4, 0.9]])
    assert [len(line.get_xdata()) for line in second.lines] == [1, 1]
    assert first.lines[0].get_color() == second.lines[0].get_color()
    assert [text.get_text() for text in second.get_legend().get_texts()] == ["euler", "heun"]
    assert len(first.collections) == 2
    assert not ode_figures.accuracy_of_solvers(rows).axes[0].collections
