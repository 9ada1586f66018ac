"""Figures of catalogues: what was given is what is drawn."""

import numpy as np
import pytest

from galhelpers.views.catalogue_figures import log_curves, log_histograms, names_to_parts, sky_map


def test_histograms_count_every_value_once():
    rng = np.random.default_rng(0)
    samples = {"near": rng.lognormal(-2, 1, 300), "far": rng.lognormal(3, 1, 200)}
    ax = log_histograms(samples, "arcsec", "objects", {"limit": 1.0}).axes[0]
    heights = [sum(bar.get_height() for bar in group) for group in ax.containers
               if len(group) == 45]  # fmt: skip
    assert heights == [300, 200]
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["near", "far", "limit"]


@pytest.mark.parametrize("values", [[1.0, 0.0], []])
def test_histograms_refuse_what_a_logarithmic_axis_cannot_show(values):
    with pytest.raises(ValueError, match="above 0"):
        log_histograms({"all": values}, "x", "y")


def test_curves_keep_their_colours_from_panel_to_panel():
    x = np.array([0.1, 1, 10])
    curve = (x, x / 10, x / 10 - 0.01, x / 10 + 0.01)
    fig = log_curves({"one": {"a": curve, "b": curve}, "two": {"a": curve}}, "x", "share")
    one, two = fig.axes
    assert one.lines[0].get_color() == two.lines[0].get_color() != one.lines[1].get_color()
    np.testing.assert_allclose(two.lines[0].get_ydata(), x / 10)
    assert one.get_title() == "one"


def test_a_map_across_ra_0_is_in_one_piece():
    ax = sky_map({"some": ([359.9, 0.1, -0.2], [1.0, 2.0, 3.0])}, centre_ra=0).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [-0.1, 0.1, -0.2], atol=1e-9)
    left, right = ax.get_xlim()
    assert left > right  # east to the left
    assert ax.xaxis.get_major_formatter()(-0.2, 0) == "359.8"


def test_a_split_draws_each_name_to_its_part():
    places = {"M51": 0.1, "M87": 0.75, "M31": 0.99}
    shares = {"train": 0.7, "validation": 0.15, "test": 0.15}
    ax = names_to_parts(places, shares, dict.fromkeys(shares, "what for")).axes[0]
    words = [text.get_text() for text in ax.texts]
    for word in ("M51", "M87", "M31", "train part", "test part", "70%", "0.7", "0.85"):
        assert word in words
    tips = [text for text in ax.texts if getattr(text, "xy", (0, 0))[1] == 0.565]
    assert [tip.xy[0] for tip in tips] == [0.1, 0.75, 0.99]
    assert len({tip.arrowprops["color"] for tip in tips}) == 3
