"""Figures of how networks are built, how they learn, and how they compare."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from galhelpers.views.plots import (
    PALETTE,
    WIDTH,
    check_images,
    contact_sheet,
    dots_and_intervals,
    tidy,
)


class Scored(Protocol):
    """A value and the ends of its interval, such as ``galhelpers.learning.metrics.Interval``."""

    @property
    def value(self) -> float:
        """The score."""

    @property
    def low(self) -> float:
        """Lower end."""

    @property
    def high(self) -> float:
        """Upper end."""


class Layer(NamedTuple):
    """What a network holds after one of its steps.

    Attributes
    ----------
    step
        What led to it, in a few words; empty for the picture itself.
    channels, side
        So many maps of ``side`` x ``side`` numbers; a ``side`` of 1 is a list of numbers.
    """

    step: str
    channels: int
    side: int


LINNET_AND_CONVNET = {
    "LinNet": (
        Layer("", 1, 64),
        Layer("a weight for\neach pixel", 300, 1),
        Layer("300 x 37\nweights", 37, 1),
    ),
    "ConvNet": (
        Layer("", 1, 64),
        Layer("10 filters,\n4 x 4; pool", 10, 30),
        Layer("20 filters,\n4 x 4; pool", 20, 13),
        Layer("40 filters,\n4 x 4; pool", 40, 5),
        Layer("a weight for\neach number", 300, 1),
        Layer("300 x 37\nweights", 37, 1),
    ),
}
"""The two networks of the Kaggle notebook that begin with random weights."""


SQUARE = 0.56
"""Width over height, in the units of the diagram, of what is drawn as a square."""


def network_diagram(networks: Mapping[str, Sequence[Layer]]) -> Figure:
    """Draw networks from the picture on the left to the answers on the right, a row each.

    A stack of squares is a layer of maps, as large as the logarithm of their side; a column is a
    list of numbers.
    """
    fig = Figure(figsize=(WIDTH, 1.75 * len(networks)), layout="constrained")
    axes = fig.subplots(len(networks), 1, squeeze=False)[:, 0]
    most = max(map(len, networks.values()))
    for ax, (name, layers) in zip(axes, networks.items(), strict=True):
        ax.set(xlim=(-0.55, most - 0.35), ylim=(-0.95, 1.15), aspect=SQUARE)
        ax.set_axis_off()
        ax.set_title(name, loc="left", fontsize=10, fontweight="bold")
        for place, layer in enumerate(layers):
            _draw_layer(ax, place, layer)
            if place:
                arrow = FancyArrowPatch(
                    (place - 0.62, 0), (place - 0.3, 0), arrowstyle="-|>", mutation_scale=11,
                    color="0.35",
                )  # fmt: skip
                ax.add_patch(arrow)
                ax.text(place - 0.46, 0.62, layer.step, ha="center", va="bottom", fontsize=7.5)
    return fig


def _draw_layer(ax: Axes, place: int, layer: Layer) -> None:
    colour = PALETTE[0] if layer.side > 1 else PALETTE[1]
    if layer.side > 1:
        height = (1 + np.log2(layer.side)) / 7
        width = SQUARE * height
        copies = int(np.clip(np.log2(layer.channels + 1), 1, 6))
        label = f"{layer.channels} x {layer.side} x {layer.side}"
    else:
        width, height, copies = 0.07, 0.2 * np.log10(layer.channels + 1) + 0.5, 1
        label = f"{layer.channels} numbers"
    for number in range(copies):
        move = 0.02 * (number - copies / 2)
        corner = (place - width / 2 + move, -height / 2 + 2.5 * move)
        box = Rectangle(corner, width, height, facecolor=colour, edgecolor="white", alpha=0.9)
        ax.add_patch(box)
    ax.text(place, -0.92, label, ha="center", va="bottom", fontsize=8)


def parts_and_tasks(training: int, validation: int, test: int) -> Figure:
    """Draw the three parts of a data set as one bar, each with its task.

    Parameters
    ----------
    training, validation, test
        Galaxies in each part.
    """
    parts = {
        "training": (training, "moves the weights"),
        "validation": (validation, "chooses the epoch, the\nlearning rate, the network"),
        "test": (test, "judges what was chosen,\nonce, at the end"),
    }
    fig = Figure(figsize=(WIDTH, 1.7), layout="constrained")
    ax = fig.subplots()
    total, left = training + validation + test, 0.0
    for number, (name, (n, use)) in enumerate(parts.items()):
        ax.barh(0, n / total, left=left, height=0.8, color=PALETTE[number], edgecolor="white")
        middle = left + n / total / 2
        label = f"{name}\n{n:,}"
        ax.text(middle, 0, label, color="white", weight="bold", size=10, ha="center", va="center")
        ax.text(middle, -0.85, use, size=9, ha="center", va="center")
        left += n / total
    ax.set(xlim=(0, 1), ylim=(-1.3, 0.45))
    ax.set_axis_off()
    return fig


def descents(
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray],
    paths: Mapping[str, ArrayLike],
    names: tuple[str, str],
) -> Figure:
    """Draw how gradient descent walks on the loss of two parameters: a map, and loss by step.

    Parameters
    ----------
    loss
        Of arrays of the first and the second parameter, element by element.
    paths
        Name of each walk to its parameters, shape (steps + 1, 2), the start first.
    names
        Of the two parameters.
    """
    walks = {name: np.asarray(path, float) for name, path in paths.items()}
    every = np.concatenate(list(walks.values()))
    low, high = every.min(axis=0), every.max(axis=0)
    margin = 0.25 * (high - low) + 1e-6
    grids = [np.linspace(*ends, 120) for ends in zip(low - margin, high + margin, strict=True)]
    first, second = np.meshgrid(*grids)
    fig = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    valley, curve = fig.subplots(1, 2)
    heights = loss(first, second)
    levels = np.geomspace(heights.min() * 1.01, heights.max(), 14)
    valley.contour(first, second, heights, levels=levels, colors="0.75", linewidths=0.9)
    valley.set(xlabel=names[0], ylabel=names[1], title="the loss as a map, and walks on it")
    for number, (name, walk) in enumerate(walks.items()):
        style = {"marker": "o", "ms": 3.5, "lw": 1.4, "color": PALETTE[number]}
        valley.plot(*walk.T, zorder=len(walks) + 2 - number, **style)
        curve.plot(loss(*walk.T), label=name, **style)
    valley.plot(*every[0], "k*", ms=12, zorder=9)
    curve.xaxis.set_major_locator(MaxNLocator(integer=True))
    curve.set(xlabel="step", ylabel="loss", title="the loss after each step")
    for ax in (valley, curve):
        tidy(ax)
    curve.legend(frameon=False, fontsize=9, title="learning rate")
    return fig


def filter_responses(
    picture: ArrayLike, filters: Mapping[str, ArrayLike], responses: Mapping[str, ArrayLike]
) -> Figure:
    """Show a picture, and below each small filter the map that it makes of the picture.

    Parameters
    ----------
    picture
        uint8, shape (3, height, width).
    filters, responses
        Name to the filter, shape (k, k), and to the map that it gives; red is positive, blue
        negative.
    """
    n = len(filters) + 1
    fig = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    axes = fig.subplots(2, n, height_ratios=(1, 2.6))
    axes[1, 0].imshow(np.asarray(picture).transpose(1, 2, 0))
    axes[1, 0].set_title("the galaxy", fontsize=9)
    for column, name in enumerate(filters, start=1):
        for ax, values in ((axes[0, column], filters[name]), (axes[1, column], responses[name])):
            values = np.asarray(values, float)
            most = np.quantile(np.abs(values), 0.995) or 1
            ax.imshow(values, cmap="RdBu_r", vmin=-most, vmax=most)
        axes[0, column].set_title(name, fontsize=9)
    for ax in axes.ravel():
        ax.set(xticks=[], yticks=[])
    axes[0, 0].set_axis_off()
    return fig


def filter_sheet(filters: ArrayLike, columns: int = 16) -> Figure:
    """Show the first layer of a network: small colour filters, each on its own scale.

    Parameters
    ----------
    filters
        Shape (n, 3, k, k); grey is zero, brighter positive, darker negative.
    """
    weights = np.asarray(filters, float)
    most = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    shown = (0.5 + weights / (2 * most + 1e-12)).transpose(0, 2, 3, 1)
    rows = -(-len(shown) // columns)
    side = WIDTH / columns
    fig = Figure(figsize=(WIDTH, side * rows))
    axes = fig.subplots(rows, columns, squeeze=False).ravel()
    fig.subplots_adjust(0, 0, 1, 1, 0.08, 0.08)
    for ax in axes:
        ax.set_axis_off()
    for ax, picture in zip(axes, shown, strict=False):
        ax.imshow(picture)
    return fig


def feature_maps(picture: ArrayLike, layers: Mapping[str, ArrayLike], most: int = 7) -> Figure:
    """Show what a network makes of one picture, layer by layer, a row each.

    Parameters
    ----------
    picture
        uint8, shape (3, height, width).
    layers
        Name of each layer to its maps, shape (channels, height, width).
    most
        How many maps of a layer are shown: those that vary most over the picture. Each has its own
        scale; dark is large.
    """
    side = WIDTH / (most + 1)
    fig = Figure(figsize=(WIDTH, (side + 0.28) * len(layers)), layout="constrained")
    axes = fig.subplots(len(layers), most + 1, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    axes[0, 0].imshow(np.asarray(picture).transpose(1, 2, 0))
    axes[0, 0].set_title("the galaxy", loc="left", fontsize=9)
    for row, (name, values) in zip(axes, layers.items(), strict=True):
        maps = np.asarray(values)
        channels, height, width = maps.shape
        title = f"{name}: {channels} maps of {height} x {width}"
        row[1].set_title(title, loc="left", fontsize=9)
        varied = np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:most]
        for ax, one in zip(row[1:], maps[varied], strict=False):
            ax.imshow(one, cmap="gray_r")
    return fig


def in_order(pixels: ArrayLike, numbers: Mapping[str, ArrayLike], columns: int = 6) -> Figure:
    """Show galaxies from small to large values of some numbers, a row each.

    Parameters
    ----------
    pixels
        uint8, shape (n, 3, height, width).
    numbers
        Name of each number to its values, shape (n,). Shown are the galaxies nearest to evenly
        spaced quantiles from 5 % to 95 %.
    """
    images, chosen, titles = check_images(pixels), [], []
    for name, given in numbers.items():
        values = np.asarray(given, float)
        for level in np.quantile(values, np.linspace(0.05, 0.95, columns)):
            chosen.append(int(np.abs(values - level).argmin()))
            titles.append(f"{name}: {values[chosen[-1]]:.2f}")
    return contact_sheet(images[chosen], titles, columns, side=WIDTH / columns)


def ladder(
    groups: Mapping[str, Mapping[str, Scored]],
    xlabel: str,
    references: Mapping[str, float] | None = None,
    points: Mapping[str, ArrayLike] | None = None,
) -> Figure:
    """Draw scores with their intervals from the first idea to the last, in named groups.

    Each row is labelled with its name and its score.

    Parameters
    ----------
    groups
        Heading to (name to score), from top to bottom.
    references
        Label to a vertical line.
    points
        Name to single measurements of it, such as one a seed, drawn as small open dots.
    """
    scores = {name: one for group in groups.values() for name, one in group.items()}
    means, lows, highs = np.array([(o.value, o.low, o.high) for o in scores.values()]).T
    extra = [(points or {}).get(name, ()) for name in scores]
    labels = [f"{name}  {one.value:.3f}" for name, one in scores.items()]
    fig = dots_and_intervals(labels, means, lows, highs, extra, xlabel, references)
    fig.set_size_inches(WIDTH, 1.2 + 0.36 * len(scores))
    ax, top = fig.axes[0], -0.5
    for number, (heading, group) in enumerate(groups.items()):
        below = top + len(group)
        if number % 2 == 0:
            ax.axhspan(top, below, color="0.955", zorder=-1)
        ax.text(
            1.01, (top + below) / 2, heading, transform=ax.get_yaxis_transform(), va="center",
            fontsize=9, color="0.25", style="italic",
        )  # fmt: skip
        top = below
    return fig


def pictures_and_probabilities(
    pixels: ArrayLike,
    probabilities: Mapping[str, ArrayLike],
    classes: Sequence[str],
    titles: Sequence[str],
    columns: int = 4,
) -> Figure:
    """Show galaxies, each beside the probabilities that networks give its classes.

    Parameters
    ----------
    pixels
        uint8, shape (n, 3, height, width).
    probabilities
        Name of each network to its answers, shape (n, classes).
    titles
        One a galaxy.
    """
    images = check_images(pixels)
    rows = -(-len(images) // columns)
    fig = Figure(figsize=(WIDTH, 1.75 * rows + 0.35), layout="constrained")
    ratios = [1.7, 1.0] * columns
    axes = fig.subplots(rows, 2 * columns, squeeze=False, width_ratios=ratios).reshape(-1, 2)
    place = np.arange(len(classes))
    high = 0.8 / len(probabilities)
    for number, (left, right) in enumerate(axes):
        if number >= len(images):
            left.set_axis_off()
            right.set_axis_off()
            continue
        left.imshow(images[number].transpose(1, 2, 0))
        left.set(xticks=[], yticks=[])
        left.set_title(titles[number], fontsize=9)
        for k, (name, given) in enumerate(probabilities.items()):
            y = place + (k - (len(probabilities) - 1) / 2) * high
            right.barh(y, np.asarray(given)[number], height=high, color=PALETTE[k], label=name)
        right.set(xlim=(0, 1), ylim=(len(classes) - 0.5, -0.5), xticks=[0, 1])
        right.set_yticks(place, classes, fontsize=6.5)
        right.tick_params(axis="x", labelsize=7)
        tidy(right)
    handles, labels = axes[0, 1].get_legend_handles_labels()
    if len(probabilities) > 1:
        fig.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    return fig


def loss_panels(
    curves: Mapping[str, Mapping[str, Sequence[float]]],
    ylabel: str,
    references: Mapping[str, float] | None = None,
) -> Figure:
    """Draw the losses of several trainings by epoch, a panel each, on one scale.

    Parameters
    ----------
    curves
        Title to {"train": values, "validation": values}, one value an epoch. A dot marks the lowest
        validation value: the weights worth keeping.
    ylabel
        Name of the loss.
    references
        Label to a dotted horizontal line in each panel, such as the loss of a constant.
    """
    fig = Figure(figsize=(WIDTH, 2.9), layout="constrained")
    axes = fig.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for ax, (title, parts) in zip(axes, curves.items(), strict=True):
        for number, (part, values) in enumerate(parts.items()):
            epochs = np.arange(1, len(values) + 1)
            style = "--" if part == "train" else "-"
            ax.plot(epochs, values, style, color=PALETTE[number], lw=1.8, label=part)
            if part == "validation":
                best = int(np.argmin(values))
                ax.plot(epochs[best], values[best], "o", color=PALETTE[number], ms=6)
        for label, value in (references or {}).items():
            ax.axhline(value, color="0.35", ls=":", lw=1.4, zorder=0, label=label)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="epoch", ylim=(0, None))
        ax.set_title(title, fontsize=10)
        tidy(ax)
    axes[0].set_ylabel(ylabel)
    axes[0].legend(frameon=False, fontsize=9)
    return fig
