"""Figures of votes as draws, and the sliders of the Dirichlet distribution."""

import numpy as np
import pytest
from scipy.stats import beta

from galhelpers.trees import DECALS
from galhelpers.views import vote_distributions as figures
from galhelpers.views.sliders import dirichlet_sliders

ANSWERS = ("strong", "weak", "no")


def stacked(fig):
    """Votes of each crowd in the lowest panel of a figure of one Dirichlet, (crowds, answers)."""
    return np.array([[bar.get_width() for bar in bars] for bars in fig.axes[1].containers]).T


def test_the_dots_are_draws_and_the_crowds_vote():
    fig = figures.dirichlets({"sure": [60, 120, 20]}, ANSWERS, people=40, crowds=5)
    dots, star = fig.axes[0].lines[1:3]
    mean = np.array([0.3, 0.6, 0.1]) @ figures.CORNERS
    np.testing.assert_allclose(np.mean(dots.get_xydata(), axis=0), mean, atol=0.01)
    np.testing.assert_allclose(star.get_xydata()[0], mean)
    votes = stacked(fig)
    assert votes.shape == (5, 3)
    assert (votes.sum(axis=1) == 40).all()
    with pytest.raises(ValueError, match="three concentrations"):
        figures.dirichlets({"two": [1, 2]}, ANSWERS)


def test_forecasts_of_counts_and_marks_of_what_came():
    chances = np.array([0.2, 0.5, 0.3])
    one = figures.counts_and_forecasts({"alone": {"bars": chances}})
    assert [bar.get_height() for bar in one.axes[0].containers[0]] == list(chances)
    two = figures.counts_and_forecasts({"both": {"a": chances, "b": chances[::-1]}}, [2])
    a, b, came = (line.get_xydata() for line in two.axes[0].lines)
    np.testing.assert_allclose(a[:, 1], chances)
    np.testing.assert_allclose(b[:, 1], chances[::-1])
    assert came[0, 0] == 2


def test_a_name_has_one_colour_in_all_panels():
    x = np.arange(3)
    panels = {"left": {"a": (x, x)}, "right": {"b": (x, x), "a": (x, 2 * x)}}
    left, right = figures.curve_panels(panels, "x", ("y", "z")).axes
    colours = {line.get_label(): line.get_color() for line in right.lines}
    assert left.lines[0].get_color() == colours["a"] != colours["b"]


def test_a_mixture_is_the_mean_of_its_densities():
    a, b = np.array([2.0, 30.0]), np.array([8.0, 10.0])
    fig = figures.shares_of_one_answer({"one": {"all": (a, b)}}, "share", truth=0.4, thin=True)
    *thin, mixture, truth = fig.axes[0].lines
    x = mixture.get_xdata()
    np.testing.assert_allclose(thin[1].get_ydata(), beta.pdf(x, 30, 10))
    np.testing.assert_allclose(mixture.get_ydata(), beta.pdf(x, a[:, None], b[:, None]).mean(0))
    assert truth.get_xdata()[0] == 0.4


def test_a_galaxy_and_its_questions():
    rng = np.random.default_rng(0)
    alpha = rng.gamma(2, 3, (4, DECALS.n_answers))
    votes = rng.integers(0, 20, DECALS.n_answers).astype(float)
    votes[DECALS.slices["bar"]] = 0
    pixels = rng.integers(0, 255, (3, 32, 32), dtype=np.uint8)
    fig = figures.galaxy_and_questions(pixels, DECALS, alpha, votes)
    assert len(fig.axes) == 1 + DECALS.n_questions
    for ax, (name, columns) in zip(fig.axes[1:], DECALS.slices.items(), strict=True):
        circles = [line for line in ax.lines if line.get_marker() == "o"]
        if name == "bar":
            assert not circles
            assert "(0 asked)" in ax.get_title()
        else:
            shares = votes[columns] / votes[columns].sum()
            np.testing.assert_allclose(circles[0].get_xdata(), shares)
    with pytest.raises(ValueError, match="Expected concentrations"):
        figures.galaxy_and_questions(pixels, DECALS, alpha[0], votes)


def test_sliders_redraw_and_the_first_figure_stays():
    widget = dirichlet_sliders((2.0, 3.0, 5.0), caption="Move them.")
    first = widget.picture.value
    assert "weak bar 3, expected share 0.30" in widget.description
    assert "precision) 10" in widget.description
    assert widget.description.split(":")[0] in first
    widget.sliders["no bar"].value = 50.0
    changed = widget.picture.value
    assert changed != first
    assert "expected share 0.91" in widget.description
    widget.sliders["ask others"].value = 3
    assert widget.picture.value != changed
    assert "no bar 50" in repr(widget)
