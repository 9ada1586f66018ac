"""Figures of error bars: what is drawn is what was given."""

import numpy as np
import pytest
from matplotlib.collections import PathCollection

from galhelpers.views import error_bar_figures as figures


def test_one_vote_has_its_parts_and_its_line():
    forecast = np.array([0.1, 0.2, 0.3, 0.4])
    fig = figures.one_vote({"2 of 3": forecast}, [2], [0.45])
    above, below = fig.axes
    assert [bar.get_height() for bar in above.patches] == pytest.approx(forecast)
    widths = [bar.get_width() for bar in below.patches]
    assert widths == pytest.approx([0.3, 0.3, 0.4])  # less, just so many, more
    assert below.lines[0].get_xdata()[0] == 0.45
    assert "0.45" in below.get_xlabel()
    colours = [bar.get_facecolor() for bar in above.patches]
    assert colours[0] == colours[1] != colours[2] != colours[3]


def test_pit_panels_leave_nan_out():
    values = np.concatenate([np.linspace(0.001, 0.999, 1000), [np.nan] * 50])
    fig = figures.pit_panels({"flat": values, "all low": np.full(10, 0.05)})
    flat, low = fig.axes
    assert [bar.get_height() for bar in flat.patches] == pytest.approx([1] * 10, abs=0.05)
    assert low.patches[0].get_height() == pytest.approx(10)


def test_coverage_panels_draw_each_curve_and_the_diagonal():
    pairs = [(0.5, 0.7), (0.9, 0.95)]
    fig = figures.coverage_panels({"votes": {"before": pairs}, "truth": {"before": pairs}})
    assert [ax.get_title() for ax in fig.axes] == ["votes", "truth"]
    diagonal, curve = fig.axes[0].lines
    assert list(diagonal.get_ydata()) == [0, 1]
    assert np.array(curve.get_xydata()).tolist() == [list(pair) for pair in pairs]


def test_the_ladder_has_every_question_and_score():
    rows = {
        "disk-edge-on": {"ours": (0.9, 0.8, 0.95), "majority": (0.7, np.nan, np.nan)},
        "bar": {"ours": (0.6, 0.5, 0.7), "majority": (0.8, np.nan, np.nan)},
    }
    (ax,) = figures.question_ladder(rows, "accuracy").axes
    drawn = {line.get_label(): list(line.get_xdata()) for line in ax.lines}
    assert drawn == {"ours": [0.9, 0.6], "majority": [0.7, 0.8]}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["disk edge on", "bar"]


def test_groups_of_disagreement_have_root_mean_squares():
    disagreement, error = np.geomspace(0.01, 0.1, 60), np.full(60, 0.2)
    (ax,) = figures.error_by_disagreement({"bar": (disagreement, -error)}, groups=3).axes
    (points,) = (line for line in ax.lines if len(line.get_xdata()) == 3)
    assert points.get_ydata() == pytest.approx([0.2] * 3)
    assert np.all(np.diff(points.get_xdata()) > 0)


def test_two_scores_mark_the_largest_of_each():
    x, y = np.arange(10.0), np.arange(10.0)[::-1]
    fig = figures.two_scores({"q": (x, y, np.ones(10))}, ("one", "other", "colour"), picked=2)
    ax = fig.axes[0]
    by_x, by_y = ax.lines
    assert sorted(by_x.get_xdata()) == [8, 9]
    assert sorted(by_y.get_ydata()) == [8, 9]
    assert any(isinstance(c, PathCollection) for c in ax.collections)


def test_learning_panels_draw_means_over_seeds():
    errors = {"random": np.array([[0.3, 0.2], [0.1, 0.2]]), "BALD": np.full((2, 2), 0.1)}
    fig = figures.learning_panels({"a": ([20, 40], errors)} | {"b": ([20, 40], errors)}, "error")
    assert len(fig.axes) == 2
    assert list(fig.axes[0].lines[0].get_ydata()) == pytest.approx([0.2, 0.2])
    three = {str(i): ([20, 40], errors) for i in range(3)}
    assert sum(ax.axison for ax in figures.learning_panels(three, "error").axes) == 3


def test_paired_panels_draw_one_row_a_difference():
    runs = {"sky: bar": {"a below b": (0.1, 0.05, 0.2), "c below b": (-0.1, -0.2, 0.0)}}
    fig = figures.paired_panels(runs, "lower by")
    (ax,) = fig.axes
    assert list(ax.lines[-1].get_xdata()) == [0.1, -0.1]
    assert ax.get_title() == "sky\nbar"
