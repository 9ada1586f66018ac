"""Exercises of notebook 02 on pixel values: channel statistics, a stretch that keeps colours."""

from collections.abc import Callable
from typing import Any

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_array,
    as_items,
    compare,
)

# 02.2 --------------------------------------------------------------------------------------------


def channel_statistics(images: np.ndarray, is_train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, two arrays of shape (3,)."""
    train = images[is_train] / 255
    return train.mean(axis=(0, 2, 3)), train.std(axis=(0, 2, 3))


Images = np.ndarray


def _unlike(
    mean: Callable[[Images], Any] | None = None, std: Callable[[Images], Any] | None = None
) -> Callable[..., np.ndarray]:
    """Give an answer with another mean or deviation of the training images, on 0 to 1."""

    def answer(images: Images, is_train: np.ndarray) -> np.ndarray:
        train = images[is_train] / 255
        right = channel_statistics(images, is_train)
        given = [mean(train) if mean else right[0], std(train) if std else right[1]]
        return np.array([np.broadcast_to(one, 3) for one in given])

    return answer


def _of(choose: Callable[[Images, np.ndarray], Any]) -> Callable[..., np.ndarray]:
    """Give an answer with the statistics of other images, on 0 to 255."""

    def answer(images: Images, is_train: np.ndarray) -> np.ndarray:
        chosen = choose(images, is_train) / 255
        return np.array([chosen.mean(axis=(0, 2, 3)), chosen.std(axis=(0, 2, 3))])

    return answer


def _one_of(number: int, other: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Give an answer whose mean (0) or deviation (1) is that of another answer."""

    def answer(images: Images, is_train: np.ndarray) -> np.ndarray:
        both = np.array(channel_statistics(images, is_train))
        both[number] = other(images, is_train)[number]
        return both

    return answer


_EVERYTHING = _of(lambda images, is_train: images)
_LEAK = "What would the test images tell the model, before it is tested on them?"
STATISTICS_MISTAKES: Mistakes = {
    "with the test images": (_EVERYTHING, f"These are the statistics of all images. {_LEAK}"),
    "mean with the test images": (_one_of(0, _EVERYTHING),
        f"Your mean is that of all images. {_LEAK}"),
    "deviation with the test images": (_one_of(1, _EVERYTHING),
        f"Your deviation is that of all images. {_LEAK}"),
    "the test images": (_of(lambda images, is_train: images[~is_train]),
        "These are the statistics of the test images alone. Which does True stand for?"),
    "first images": (_of(lambda images, is_train: images[: is_train.sum()]),
        "You take the first images, as many as there are for training. is_train says which ones"),
    "whole numbers as an index": (_of(lambda images, is_train: images[is_train.astype(int)]),
        "An index of whole numbers 0 and 1 picks images 0 and 1, again and again. Use it as "
        "booleans"),
    "test images black": (_of(lambda images, is_train: images * is_train[:, None, None, None]),
        "Test images multiplied by 0 still count, as black ones. Leave them out"),
    "variance": (_unlike(std=lambda train: train.var(axis=(0, 2, 3))),
        "Your deviations are variances. Which is the root of the other?"),
    "root mean square": (_unlike(std=lambda train: (train**2).mean(axis=(0, 2, 3)) ** 0.5),
        "A deviation is measured from the mean, not from 0"),
    "255 twice": (_unlike(std=lambda train: train.std(axis=(0, 2, 3)) / 255),
        "Your deviations were divided by 255 twice"),
    "deviation 0 to 255": (_unlike(std=lambda train: 255 * train.std(axis=(0, 2, 3))),
        "The means are on the scale 0 to 1, the deviations on 0 to 255"),
    "0 to 255": (
        _unlike(
            lambda train: 255 * train.mean(axis=(0, 2, 3)),
            lambda train: 255 * train.std(axis=(0, 2, 3)),
        ),
        "These are on the scale 0 to 255. Which scale were you asked for?"),
    "256": (
        _unlike(
            lambda train: train.mean(axis=(0, 2, 3)) * 255 / 256,
            lambda train: train.std(axis=(0, 2, 3)) * 255 / 256,
        ),
        "You divide by 256. The brightest pixel, 255, is to become 1"),
    "swapped": (lambda images, is_train: np.array(channel_statistics(images, is_train))[::-1],
        "Mean and standard deviation have changed places"),
    "reversed channels": (
        lambda images, is_train: np.array(channel_statistics(images, is_train))[:, ::-1],
        "The channels come in the reversed order"),
    "median": (_unlike(lambda train: np.median(train, axis=(0, 2, 3))), "Your means are medians"),
    "mean of the images' deviations": (
        _unlike(std=lambda train: train.std(axis=(2, 3)).mean(axis=0)),
        "Your standard deviation is the average of the images' own. It misses how much one image "
        "differs from the next: use all their pixels together"),
    "deviation of the images' means": (
        _unlike(std=lambda train: train.mean(axis=(2, 3)).std(axis=0)),
        "Your standard deviation is that of the images' means. It misses how much the pixels of "
        "one image differ: use all their pixels together"),
    "average over columns": (_unlike(std=lambda train: train.std(axis=(0, 2)).mean(axis=1)),
        "You average deviations of columns. Use all pixels together"),
    "average over rows": (_unlike(std=lambda train: train.std(axis=(0, 3)).mean(axis=1)),
        "You average deviations of rows. Use all pixels together"),
    "one for all channels": (_unlike(lambda train: train.mean(), lambda train: train.std()),
        "You give one number for all channels. Are red and blue light equally bright here?"),
    "one mean for all channels": (_unlike(lambda train: train.mean()),
        "You give one mean for all channels. Are red and blue light equally bright here?"),
    "one deviation for all channels": (_unlike(std=lambda train: train.std()),
        "You give one deviation for all channels"),
    "without black": (
        _unlike(lambda train: [train[:, c][train[:, c] > 0].mean() for c in range(3)]),
        "Your means leave out the black pixels. All pixels count"),
    "whole numbers": (_of(lambda images, is_train: images[is_train] // 255 * 255),
        "// cuts every pixel to 0 or 1. Is that the division you want?"),
    "brightest pixel": (_of(lambda images, is_train: images[is_train] * (255 / images.max())),
        "You divide by the brightest pixel. On a scale for all images, 255 becomes 1"),
}  # fmt: skip


def _galaxies(seed: int, n: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images whose channels, rows, columns and levels all differ, and black pixels."""
    rng = np.random.default_rng(seed)
    is_train = rng.permutation(np.arange(n) % 8 < 5)
    is_train[:2] = True, False
    level = np.where(is_train, rng.uniform(5, 60, n), 180)[:, None, None, None]
    colour = np.array([1.2, 1.0, 0.7])[None, :, None, None]
    slope = np.linspace(0.4, 1, height)[:, None] * np.linspace(1, 0.6, width)
    images = (level * colour + rng.uniform(0, 30, (n, 3, height, width))) * slope
    chance = rng.random((n, 3, height, width))
    images[chance < 0.1], images[chance > 1 - 0.01 * (n == 8)] = 0, 255
    return images.astype(np.uint8), is_train


def _check_statistics(ask: Answer) -> str | None:
    what = "two arrays of shape (3,), mean and standard deviation"

    def read(value: Any) -> np.ndarray:
        items = [as_array(item, what=what, finite=False) for item in as_items(value, 2, what)]
        if [item.size for item in items] == [1, 1]:
            return np.array([np.broadcast_to(item.ravel(), 3) for item in items])
        return np.array([as_array(item, (3,), what, finite=False) for item in items])

    cases = {
        f"{n} images of shape (3, {height}, {width}), {given[1].sum()} of them for training": given
        for n, height, width in ((8, 12, 17), (11, 20, 9))
        for given in [_galaxies(22 + n, n, height, width)]
    }
    # 1.5e-3: the deviation of n pixels may be divided by n or, as torch does, by n - 1.
    reference = lambda *given: np.array(channel_statistics(*given))  # noqa: E731
    complaint = compare(
        ask, reference, cases, STATISTICS_MISTAKES, what, read, rtol=1.5e-3, atol=1e-5
    )
    if complaint and "]" in complaint:
        complaint = complaint.replace(" at [0, ", " as the mean of channel [")
        complaint = complaint.replace(" at [1, ", " as the deviation of channel [")
    return complaint


STATISTICS = Exercise(
    id="02.2",
    title="Statistics for the normalisation",
    question=(
        "A network learns fastest when its inputs have mean near 0 and standard deviation near 1. "
        "A Galaxy Zoo frame is nearly black: its channels have means of about 0.04 on the scale 0 "
        "to 1, and red differs from blue. So the statistics are measured, for each channel. And "
        "they are measured on the training images alone: whatever is computed from the test "
        "images and given to the model leaks, even a mean.\n\n"
        "Write `channel_statistics(images, is_train)`: `images` is a uint8 array of shape "
        "`(galaxies, 3, height, width)`, 0 to 255; `is_train` a boolean array, shape "
        "`(galaxies,)`. Return `(mean, std)`, each of shape `(3,)`, on the scale where 255 is 1, "
        "over **all pixels of the training images** taken together, black ones included. Right to "
        "0.1%, so not rounded; for many pixels it does not matter whether the variance is divided "
        "by n or n - 1."
    ),
    hints=(
        "First pick the training images: a boolean array can be an index.",
        "Which of the four axes must remain in the result, and which are averaged away?",
        "`mean(axis=(0, 2, 3))` averages over galaxies, rows and columns, and keeps the channels.",
    ),
    reference=channel_statistics,
    diagnose=_check_statistics,
    lesson="The same two triples belong in the checkpoint, beside the weights.",
)

# 02.3 --------------------------------------------------------------------------------------------


def stretch(rgb: np.ndarray, soft: float) -> np.ndarray:
    """Image for display, 0 to 1, shape (3, height, width)."""
    intensity = rgb.mean(axis=0)
    # Where there is no light the factor's limit is 1 / soft, and 0 / 0 would be NaN.
    safe = np.where(intensity == 0, 1, intensity)
    factor = np.where(intensity == 0, 1 / soft, np.arcsinh(intensity / soft) / safe)
    image = rgb * factor
    return image / np.maximum(image.max(axis=0), 1)


def _stretched(
    intensity: Callable[[np.ndarray], Any] = lambda rgb: rgb.mean(axis=0),
    limit: Callable[[np.ndarray, np.ndarray], Any] = lambda image, rgb: image.max(axis=0),
    curve: Callable[[Any], Any] = np.arcsinh,
    soft: Callable[[float], float] = lambda soft: soft,
) -> Callable[[np.ndarray, float], np.ndarray]:
    """Give the stretch with another intensity, limit, curve or softness."""

    def answer(rgb: np.ndarray, given: float) -> np.ndarray:
        light, softness = intensity(rgb), soft(given)
        safe = np.where(light == 0, 1, light)
        image = rgb * np.where(light == 0, 1 / softness, curve(light / softness) / safe)
        return image / np.maximum(limit(image, rgb), 1)

    return answer


def _limited_where(chosen: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[..., Any]:
    return lambda image, rgb: np.where(chosen(image, rgb), image.max(axis=0), 1)


_WHERE = "The limit is for pixels whose brightest band exceeds 1 after the stretch. "
STRETCH_MISTAKES: Mistakes = {
    "each band": (lambda rgb, soft: np.minimum(np.arcsinh(rgb / soft), 1),
        "Each band gets a factor of its own, so colours change. One factor, from I, is for all "
        "three"),
    "each band, unlimited": (lambda rgb, soft: np.arcsinh(rgb / soft),
        "Each band gets a factor of its own, so colours change. One factor, from I, is for all "
        "three"),
    "too bright": (_stretched(limit=lambda image, rgb: 1),
        "A screen shows 0 to 1. What should happen to a pixel that is too bright?"),
    "clipped": (lambda rgb, soft: np.clip(_stretched(limit=lambda image, rgb: 1)(rgb, soft), 0, 1),
        "A red star became yellow or white. Red alone was too bright; what should happen to the "
        "other two bands?"),
    "frame's maximum": (_stretched(limit=lambda image, rgb: image.max()),
        "Every pixel is divided by the brightest of the frame. Should a pixel depend on its "
        "neighbours?"),
    "frame's maximum, anywhere": (
        lambda rgb, soft: (
            (image := _stretched(limit=lambda image, rgb: 1)(rgb, soft)) / image.max()
        ),
        "Every pixel is divided by the brightest of the frame. Should a pixel depend on its "
        "neighbours?"),
    "frame's maximum where saturated": (
        _stretched(limit=lambda image, rgb: np.where(image.max(axis=0) > 1, image.max(), 1)),
        "A pixel that is too bright is divided by the brightest of the whole frame. Divide it by "
        "its own brightest band"),
    "always": (
        lambda rgb, soft: (
            (image := _stretched(limit=lambda image, rgb: 1)(rgb, soft))
            / np.where(image.max(axis=0) == 0, 1, image.max(axis=0))
        ),
        "Every pixel is divided by its brightest band. Faint pixels need no limit"),
    "red only": (_stretched(limit=lambda image, rgb: image[0]),
        "You limit by red. A blue star is brightest in blue"),
    "two bands": (_stretched(limit=lambda image, rgb: np.maximum(image[0], image[1])),
        "You leave blue out of the limit. A blue star is brightest in blue"),
    "sum of bands": (_stretched(limit=lambda image, rgb: image.sum(axis=0)),
        f"{_WHERE}You divide by the sum of the three bands"),
    "mean of bands": (_stretched(limit=lambda image, rgb: image.mean(axis=0)),
        f"{_WHERE}You divide by the mean of the three bands"),
    "where I > 1": (_stretched(limit=_limited_where(lambda image, rgb: rgb.mean(axis=0) > 1)),
        f"{_WHERE}You limit where I exceeds 1 before"),
    "where the stretched mean > 1": (
        _stretched(limit=_limited_where(lambda image, rgb: image.mean(axis=0) > 1)),
        f"{_WHERE}You limit where the mean exceeds 1"),
    "where the input > 1": (
        _stretched(limit=_limited_where(lambda image, rgb: rgb.max(axis=0) > 1)),
        f"{_WHERE}You limit where a band exceeds 1 before"),
    "where red > 1": (_stretched(limit=_limited_where(lambda image, rgb: image[0] > 1)),
        f"{_WHERE}You look at red only"),
    "wrong axis": (_stretched(limit=lambda image, rgb: image.max(axis=-1)[..., None]),
        "You take the maximum along a row of the image. Along which axis are the bands?"),
    "sum as intensity": (_stretched(lambda rgb: rgb.sum(axis=0)),
        "Your I is the sum of the three bands. Their mean was asked for"),
    "maximum as intensity": (_stretched(lambda rgb: rgb.max(axis=0)),
        "Your I is the brightest of the three bands. Their mean was asked for"),
    "frame's intensity": (_stretched(lambda rgb: np.full(rgb.shape[1:], rgb.mean())),
        "Your I is the mean of the whole frame. Each pixel has its own"),
    "soft ignored": (_stretched(soft=lambda soft: 0.1),
        "You use 0.1 whatever `soft` is. It is an input"),
    "soft 1": (_stretched(soft=lambda soft: 1.0), "`soft` does not enter. It is an input"),
    "soft inverted": (_stretched(soft=lambda soft: 1 / soft),
        "You multiply I by soft where I / soft was asked for"),
    "logarithm": (_stretched(curve=np.log1p), "Your curve is a logarithm, not arcsinh"),
    "linear": (lambda rgb, soft: rgb / np.maximum(rgb.max(axis=0), 1),
        "Nothing is stretched. Compare with the formula"),
    "0 / 0": (lambda rgb, soft: np.where(rgb.sum(axis=0) == 0, np.nan, stretch(rgb, soft)),
        "Where I is 0, arcsinh(I / soft) / I is 0 / 0. What is its limit, and the pixel then?"),
}  # fmt: skip


def _frame(seed: int, height: int, width: int, stars: list[list[float]]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rgb = rng.uniform(0.001, 0.05, (3, height, width))
    rgb[:, 1, 0] = [3e-4, 1e-4, 2e-4]  # very faint
    rgb[:, 2, 1] = 0  # no light
    rgb[:, 2, 2] = [0, 0, 0.02]  # light in one band only
    for column, star in enumerate(stars):
        rgb[:, 0, column] = star
    return rgb


def _check_stretch(ask: Answer) -> str | None:
    stars = [[8.0, 2.0, 1.0], [3.0, 4.0, 30.0], [0.3, 1.4, 0.2], [0.9, 0.8, 0.7]]
    cases = {
        "6 x 6 pixels, with saturated stars in row 0, and soft 0.1": (_frame(1, 6, 6, stars), 0.1),
        "3 x 7 pixels, no star, and soft 0.5": (_frame(2, 3, 7, []), 0.5),
        "5 x 4 pixels, with stars in row 0, and soft 5": (_frame(3, 5, 4, stars), 5.0),
        "4 x 6 pixels, with stars in row 0, and soft 0.01": (_frame(4, 4, 6, stars[2:]), 0.01),
        "3 x 3 pixels without any light, and soft 0.1": (np.zeros((3, 3, 3)), 0.1),
    }
    what = "an image of shape (3, height, width)"
    return compare(ask, stretch, cases, STRETCH_MISTAKES, what, rtol=1e-3)


STRETCH = Exercise(
    id="02.3",
    title="A stretch that keeps colours",
    question=(
        "A galaxy's core is thousands of times brighter than its arms, more than a screen or a "
        "uint8 can hold, so images are *stretched*. Stretch each band alone and cores turn white: "
        "colour, which tells old stars from young, is lost before the network sees it. Lupton "
        "et al. (2004, PASP 116, 133) scale all bands of a pixel by one factor.\n\n"
        "Write `stretch(rgb, soft)`: `rgb` is linear light, 0 or more, shape `(3, height, width)`. "
        "With `I` the mean of a pixel's three bands, multiply all three by `arcsinh(I / soft) / I` "
        "(its limit is `1 / soft` at `I = 0`). Where the brightest band then exceeds 1, divide "
        "that pixel's three bands by it. Return the same shape, 0 to 1, right to 0.1%. For one "
        "pixel of (0.03, 0.01, 0.02) and soft 0.1 it is (0.298, 0.099, 0.199)."
    ),
    hints=(
        "Work out `I` first: which axis is averaged, and what shape remains?",
        "One factor of shape (height, width) multiplies an array of shape (3, height, width).",
        "`np.maximum(image.max(axis=0), 1)` is the brightest band where that exceeds 1, else 1. "
        "Use `np.where` for pixels without light.",
    ),
    reference=stretch,
    diagnose=_check_stretch,
    lesson="Ratios of bands, the colours, are the same before and after, even in saturated cores.",
)

EXERCISES = (STATISTICS, STRETCH)
