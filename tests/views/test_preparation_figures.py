"""Figures of preparations: what stands in them, and that nothing is lost."""

import numpy as np
import pandas as pd
import pytest

from galhelpers.views.preparation_figures import (
    accuracy_against_epochs,
    bars,
    enlarged,
    frame_and_centres,
    histograms,
    pictures_with_pixels,
)

PICTURES = np.random.default_rng(0).integers(0, 255, (3, 3, 40, 40), dtype=np.uint8)


def test_enlarged_pixels_are_squares():
    small = PICTURES[0, :, :5, :5]
    big = enlarged(small, 50)
    assert big.shape == (3, 50, 50)
    np.testing.assert_array_equal(big[:, 5::10, 5::10], small)
    np.testing.assert_array_equal(big, np.repeat(np.repeat(small, 10, axis=1), 10, axis=2))


def test_frame_and_centres_marks_the_part_and_names_rows_and_columns():
    ways = {"sharp": PICTURES, "coarse": PICTURES[:, :, ::4, ::4]}
    figure = frame_and_centres(PICTURES, ways, ["a", "b", "c"], centre=0.5)
    axes = np.array(figure.axes).reshape(3, 3)
    assert [ax.get_title() for ax in axes[0]] == ["the frame, 40 px", "sharp", "coarse"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["a", "b", "c"]
    (mark,) = axes[0, 0].patches
    assert (mark.get_x(), mark.get_width()) == (9.5, 20)
    np.testing.assert_array_equal(
        axes[1, 2].images[0].get_array(), PICTURES[1, :, ::4, ::4].transpose(1, 2, 0)
    )


def test_frame_and_centres_refuses_rows_without_a_name():
    with pytest.raises(ValueError, match="zip"):
        frame_and_centres(PICTURES, {"sharp": PICTURES}, ["a", "b"])


def test_pictures_with_pixels_count_them():
    figure = pictures_with_pixels({"left": PICTURES[0], "right": PICTURES[1]})
    assert [ax.get_title() for ax in figure.axes] == ["left", "right"]
    assert figure.axes[0].get_xlim() == (-0.5, 39.5)
    assert len(figure.axes[0].get_xticks()) > 3


def test_bars_stand_in_order_with_their_numbers():
    figure = bars({"long": 2.0, "short": 0.5}, "ms")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["long", "short"]
    assert [text.get_text() for text in ax.texts] == ["2.00", "0.50"]
    assert ax.yaxis_inverted()


def test_histograms_are_shares_of_all_numbers():
    figure = histograms({"one": np.linspace(0, 1, 1000), "two": np.full(10, 0.5)}, "value")
    steps = [patch.get_data().values for patch in figure.axes[0].patches]
    assert steps[2].sum() == pytest.approx(1.0)
    assert 0.98 < steps[0].sum() <= 1.0


def test_curves_have_one_colour_a_preparation_and_points_on_top():
    curve = pd.DataFrame({"preparation": ["a", "a", "b", "b"], "epoch": [1, 2, 1, 2],
                          "mean": [0.5, 0.7, 0.6, 0.65], "low": [0.4, 0.6, 0.5, 0.6],
                          "high": [0.6, 0.8, 0.7, 0.7]})  # fmt: skip
    own = pd.DataFrame({"preparation": ["a", "b"], "epoch": [1, 1], "accuracy": [0.45, 0.62]})
    figure = accuracy_against_epochs({"left": curve, "right": curve}, {"left": own})
    left, right = figure.axes
    assert [line.get_label() for line in left.lines if line.get_ls() != "None"] == ["a", "b"]
    assert len(left.lines) == len(right.lines) + 2
    first, point = left.lines[0], left.lines[1]
    assert first.get_color() == point.get_color()
    np.testing.assert_array_equal(point.get_ydata(), [0.45])
    assert left.get_xscale() == "log"


def test_bands_only_of_the_curves_that_are_named():
    curve = pd.DataFrame({"preparation": ["a", "a", "b", "b"], "epoch": [1, 2, 1, 2],
                          "mean": [0.5, 0.7, 0.6, 0.65], "low": [0.4, 0.6, 0.5, 0.6],
                          "high": [0.6, 0.8, 0.7, 0.7]})  # fmt: skip
    both = accuracy_against_epochs({"all": curve}).axes[0]
    one = accuracy_against_epochs({"all": curve}, bands=["b"]).axes[0]
    assert (len(both.collections), len(one.collections)) == (2, 1)
    thin, thick = (line.get_linewidth() for line in one.lines)
    assert thin < thick
