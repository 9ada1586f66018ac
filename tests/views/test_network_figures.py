"""Figures of networks: what they draw is what they were given."""

from collections import namedtuple

import numpy as np
import pytest
import torch

from galhelpers.models import ConvNet, LinNet
from galhelpers.views import network_figures as figures

RNG = np.random.default_rng(0)
GALAXY = RNG.integers(0, 255, (3, 32, 32), dtype=np.uint8)
Score = namedtuple("Score", "value low high")


def texts(fig):
    return [text.get_text() for ax in fig.axes for text in [*ax.texts, ax.title, ax._left_title]]


def test_the_diagram_has_the_layers_of_the_networks():
    drawn = figures.LINNET_AND_CONVNET
    assert [layer.channels for layer in drawn["LinNet"][1:]] == [300, 37]
    net, shapes = ConvNet(), []
    for name in ("conv1", "conv2", "conv3"):
        layer = net.get_submodule(name)
        layer.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[1:])))
    assert net(torch.rand(1, 1, 64, 64)).shape == LinNet()(torch.rand(1, 1, 64, 64)).shape
    pooled = [(channels, side // 2) for channels, side, _ in shapes]
    assert [(layer.channels, layer.side) for layer in drawn["ConvNet"][1:4]] == pooled
    shown = texts(figures.network_diagram(drawn))
    assert {"40 x 5 x 5", "37 numbers", "LinNet", "ConvNet"} <= set(shown)


def test_the_split_is_drawn_to_scale():
    fig = figures.parts_and_tasks(600, 300, 100)
    widths = [bar.get_width() for bar in fig.axes[0].patches]
    assert widths == pytest.approx([0.6, 0.3, 0.1])
    assert "training\n600" in texts(fig)


def test_walks_begin_at_the_star_and_the_curve_is_their_loss():
    def loss(a, b):
        return (a - 1) ** 2 + b**2 + 0.1

    paths = {"0.1": [(0, 0), (0.5, 0), (0.9, 0)], "1": [(0, 0), (2, 0), (0, 0)]}
    fig = figures.descents(loss, paths, ("a", "b"))
    curve = {line.get_label(): line.get_ydata() for line in fig.axes[1].lines}
    np.testing.assert_allclose(curve["0.1"], [1.1, 0.35, 0.11])
    np.testing.assert_allclose(curve["1"], [1.1, 1.1, 1.1])


def test_filters_and_their_maps():
    filters = {"mean": np.full((5, 5), 0.04), "edge": np.tile(np.linspace(-1, 1, 5), (5, 1))}
    maps = {name: RNG.normal(size=(28, 28)) for name in filters}
    fig = figures.filter_responses(GALAXY, filters, maps)
    assert [len(ax.images) for ax in fig.axes] == [0, 1, 1, 1, 1, 1]
    sheet = figures.filter_sheet(RNG.normal(size=(20, 3, 5, 5)))
    drawn = [ax.images[0].get_array() for ax in sheet.axes if ax.images]
    assert len(drawn) == 20
    assert all(one.min() >= 0 and one.max() <= 1 for one in drawn)


def test_the_most_varied_maps_are_shown():
    layer = RNG.normal(size=(9, 8, 8)) * np.arange(9)[:, None, None]
    fig = figures.feature_maps(GALAXY, {"one": layer}, most=3)
    shown = [ax.images[0].get_array() for ax in fig.axes[1:]]
    np.testing.assert_allclose(shown, layer[[8, 7, 6]])


def test_galaxies_in_order():
    pixels = RNG.integers(0, 255, (50, 3, 16, 16), dtype=np.uint8)
    fig = figures.in_order(pixels, {"size": RNG.permutation(50)}, columns=4)
    values = [float(text.split(": ")[1]) for text in texts(fig) if text.startswith("size")]
    assert values == sorted(values)
    assert len(values) == 4


def test_the_ladder_has_all_rungs_in_order():
    groups = {"first": {"a": Score(2, 1, 3)}, "then": {"b": Score(1, 0, 2), "c": Score(0, 0, 1)}}
    fig = figures.ladder(groups, "RMSE", {"constant": 1.5}, {"b": [0.5, 1.5]})
    ax = fig.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "a  2.000",
        "b  1.000",
        "c  0.000",
    ]
    assert [text.get_text() for text in ax.texts] == ["first", "then"]


def test_pictures_beside_probabilities():
    pixels = np.stack([GALAXY] * 3)
    given = {"one": RNG.dirichlet([1] * 5, 3), "other": RNG.dirichlet([1] * 5, 3)}
    fig = figures.pictures_and_probabilities(pixels, given, list("abcde"), ["x", "y", "z"], 2)
    bars = [[patch.get_width() for patch in ax.patches] for ax in fig.axes if ax.patches]
    np.testing.assert_allclose(bars, np.hstack([given["one"], given["other"]]))


def test_the_dot_is_at_the_lowest_validation_loss():
    curves = {"A": {"train": [3, 2, 1], "validation": [3, 1, 2]}}
    fig = figures.loss_panels(curves, "RMSE")
    dot = fig.axes[0].lines[-1]
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (2, 1)


def test_a_reference_is_a_level_line_in_each_panel():
    curves = {name: {"train": [3, 2], "validation": [3, 1]} for name in "AB"}
    fig = figures.loss_panels(curves, "RMSE", {"constant": 2.5})
    for ax in fig.axes:
        (line,) = [line for line in ax.lines if line.get_label() == "constant"]
        assert set(line.get_ydata()) == {2.5}
