"""Exercises of notebook 03 on pixel values: channel statistics, a stretch that keeps colours."""

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, compare, edited

# 03.1 --------------------------------------------------------------------------------------------


def channel_statistics(images: np.ndarray, is_train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, two arrays of shape (3,)."""
    train = images[is_train] / 255
    return train.mean(axis=(0, 2, 3)), train.std(axis=(0, 2, 3))


_LEAK = "What would the test images tell the model, before it is tested on them?"
_MEAN, _STD = "train.mean(axis=(0, 2, 3)) => ", "train.std(axis=(0, 2, 3)) => "
STATISTICS_MISTAKES = edited(channel_statistics, {
    "images[is_train] => images": f"These are the statistics of all images. {_LEAK}",
    "train.mean => (images / 255).mean": f"Your mean is that of all images. {_LEAK}",
    "train.std => (images / 255).std": f"Your deviation is that of all images. {_LEAK}",
    "[is_train] => [~is_train]":
        "These are the statistics of the test images alone. Which does True stand for?",
    "[is_train] => [: is_train.sum()]":
        "You take the first images, as many as there are for training. is_train says which ones",
    "[is_train] => [is_train.astype(int)]":
        "An index of whole numbers 0 and 1 picks images 0 and 1, again and again. Use it as "
        "booleans",
    "images[is_train] => images * is_train[:, None, None, None]":
        "Test images multiplied by 0 still count, as black ones. Leave them out",
    "std => var": "Your deviations are variances. Which is the root of the other?",
    _STD + "(train**2).mean(axis=(0, 2, 3)) ** 0.5":
        "A deviation is measured from the mean, not from 0",
    "train.std => (train / 255).std": "Your deviations were divided by 255 twice",
    "train.std => (train * 255).std":
        "Your deviations are on the scale 0 to 255. Which scale were you asked for?",
    "/ 255 => * 1": "These are on the scale 0 to 255. Which scale were you asked for?",
    "/ 255 => / 256": "You divide by 256. The brightest pixel, 255, is to become 1",
    "[is_train] => [is_train][:, ::-1]": "The channels come in the reversed order",
    "train.mean( => np.median(train, ": "Your means are medians",
    _STD + "train.std(axis=(2, 3)).mean(axis=0)":
        "Your standard deviation is the average of the images' own. It misses how much one image "
        "differs from the next: use all their pixels together",
    _STD + "train.mean(axis=(2, 3)).std(axis=0)":
        "Your standard deviation is that of the images' means. It misses how much the pixels of "
        "one image differ: use all their pixels together",
    _STD + "train.std(axis=(0, 2)).mean(axis=1)":
        "You average deviations of columns. Use all pixels together",
    _STD + "train.std(axis=(0, 3)).mean(axis=1)":
        "You average deviations of rows. Use all pixels together",
    "(axis=(0, 2, 3)) => () + np.zeros(3)":
        "You give one number for all channels. Are red and blue light equally bright here?",
    _MEAN + "train.mean() + np.zeros(3)":
        "You give one mean for all channels. Are red and blue light equally bright here?",
    _STD + "train.std() + np.zeros(3)": "You give one deviation for all channels",
    _MEAN + "np.array([train[:, c][train[:, c] > 0].mean() for c in range(3)])":
        "Your means leave out the black pixels. All pixels count",
    "/ 255 => // 255": "// cuts every pixel to 0 or 1. Is that the division you want?",
    "/ 255 => / images.max()":
        "You divide by the brightest pixel. On a scale for all images, 255 becomes 1",
})  # fmt: skip


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
    cases = {
        f"{n} images of shape (3, {height}, {width}), {given[1].sum()} of them for training": given
        for n, height, width in ((8, 12, 17), (11, 20, 9))
        for given in [_galaxies(22 + n, n, height, width)]
    }
    bright = np.random.default_rng(2).integers(200, 256, (2, 3, 300, 300), np.uint8)
    first = np.array([True, False])
    cases["2 bright images of 300 x 300 pixels, the first for training"] = bright, first
    # 1.5e-3: the deviation of n pixels may be divided by n or, as torch does, by n - 1.
    return compare(
        ask, channel_statistics, cases, STATISTICS_MISTAKES,
        what="two arrays of shape (3,), mean and standard deviation of each channel",
        parts=("mean", "deviation"), rtol=1.5e-3, atol=1e-5,
    )  # fmt: skip


STATISTICS = Exercise(
    id="03.1",
    title="Statistics for the normalisation",
    question=(
        "A network learns fastest when its inputs have mean near 0 and standard deviation near 1. "
        "A whole Galaxy Zoo frame is nearly black: its channels have means of about 0.04 on the "
        "scale 0 to 1, and red differs from blue. So the statistics are measured, for each "
        "channel, and on the training images alone: whatever is computed from the test images and "
        "given to the model leaks, even a mean.\n\n"
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

# 03.4 --------------------------------------------------------------------------------------------


def stretch(rgb: np.ndarray, soft: float) -> np.ndarray:
    """Image for display, 0 to 1, shape (3, height, width)."""
    intensity = rgb.mean(axis=0)
    # Where there is no light the factor's limit is 1 / soft, and 0 / 0 would be NaN.
    safe = np.where(intensity == 0, 1, intensity)
    factor = np.where(intensity == 0, 1 / soft, np.arcsinh(intensity / soft) / safe)
    image = rgb * factor
    return image / np.maximum(image.max(axis=0), 1)


_LIMIT = "np.maximum(image.max(axis=0), 1)"
_CHANGED = (
    "Each band gets a factor of its own, so colours change. One factor, from I, is for all three"
)
_WHERE = "The limit is for pixels whose brightest band exceeds 1 after the stretch. "
_NEIGHBOURS = (
    "Every pixel is divided by the brightest of the frame. Should a pixel depend on its neighbours?"
)
STRETCH_MISTAKES = edited(stretch, {
    f"rgb * factor => np.arcsinh(rgb / soft); image / {_LIMIT} => np.minimum(image, 1)": _CHANGED,
    f"rgb * factor => np.arcsinh(rgb / soft); {_LIMIT} => 1": _CHANGED,
    f"{_LIMIT} => 1": "A screen shows 0 to 1. What should happen to a pixel that is too bright?",
    f"image / {_LIMIT} => np.clip(image, 0, 1)":
        "A red star became yellow or white. Red alone was too bright; what should happen to the "
        "other two bands?",
    "image.max(axis=0) => image.max()": _NEIGHBOURS,
    f"{_LIMIT} => image.max()": _NEIGHBOURS,
    f"{_LIMIT} => np.where(image.max(axis=0) > 1, image.max(), 1)":
        "A pixel that is too bright is divided by the brightest of the whole frame. Divide it by "
        "its own brightest band",
    f"{_LIMIT} => np.where(image.max(axis=0) == 0, 1, image.max(axis=0))":
        "Every pixel is divided by its brightest band. Faint pixels need no limit",
    "image.max(axis=0) => image[0]": "You limit by red. A blue star is brightest in blue",
    "image.max(axis=0) => image[:2].max(axis=0)":
        "You leave blue out of the limit. A blue star is brightest in blue",
    "image.max => image.sum": f"{_WHERE}You divide by the sum of the three bands",
    "image.max => image.mean": f"{_WHERE}You divide by the mean of the three bands",
    "image.max(axis=0) => np.where(intensity > 1, image.max(axis=0), 1)":
        f"{_WHERE}You limit where I exceeds 1 before",
    "image.max(axis=0) => np.where(image.mean(axis=0) > 1, image.max(axis=0), 1)":
        f"{_WHERE}You limit where the mean exceeds 1",
    "image.max(axis=0) => np.where(rgb.max(axis=0) > 1, image.max(axis=0), 1)":
        f"{_WHERE}You limit where a band exceeds 1 before",
    "image.max(axis=0) => np.where(image[0] > 1, image.max(axis=0), 1)":
        f"{_WHERE}You look at red only",
    "image.max(axis=0) => image.max(axis=-1)[..., None]":
        "You take the maximum along a row of the image. Along which axis are the bands?",
    "rgb.mean => rgb.sum": "Your I is the sum of the three bands. Their mean was asked for",
    "rgb.mean => rgb.max":
        "Your I is the brightest of the three bands. Their mean was asked for",
    "rgb.mean(axis=0) => np.full(rgb.shape[1:], rgb.mean())":
        "Your I is the mean of the whole frame. Each pixel has its own",
    "/ soft => / 0.1": "You use 0.1 whatever `soft` is. It is an input",
    "/ soft => / 1": "`soft` does not enter. It is an input",
    "/ soft => * soft": "You multiply I by soft where I / soft was asked for",
    "arcsinh => log1p": "Your curve is a logarithm, not arcsinh",
    "* factor => * 1": "Nothing is stretched. Compare with the formula",
    "1 / soft => np.nan":
        "Where I is 0, arcsinh(I / soft) / I is 0 / 0. What is its limit, and the pixel then?",
})  # fmt: skip


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
        "5 x 4 faint pixels, and soft 1e-6": (1e-4 * _frame(5, 5, 4, []), 1e-6),
        "3 x 3 pixels without any light, and soft 0.1": (np.zeros((3, 3, 3)), 0.1),
    }
    what = "an image of shape (3, height, width)"
    return compare(ask, stretch, cases, STRETCH_MISTAKES, what, rtol=1e-3)


STRETCH = Exercise(
    id="03.4",
    title="A stretch that keeps colours",
    question=(
        "The centre of a galaxy is tens to hundreds of times brighter than its outskirts, which "
        "are fainter than the noise of a pixel. On a linear scale one of the two is lost, so "
        "images are *stretched*. Stretch each band alone and centres turn white: colour, which "
        "tells old stars from young, is lost before the network sees it. Lupton et al. (2004, PASP "
        "116, 133) scale all bands of a pixel by one factor.\n\n"
        "Write `stretch(rgb, soft)`: `rgb` is linear light, 0 or more, shape `(3, height, width)`. "
        "`soft` is 1e-6 or more. With `I` the mean of a pixel's three bands, multiply all three by "
        "`arcsinh(I / soft) / I` (its limit is `1 / soft` at `I = 0`). Where the brightest band "
        "then exceeds 1, divide that pixel's three bands by it. Return the same shape, 0 to 1, "
        "right to 0.1%. For one pixel of (0.03, 0.01, 0.02) and soft 0.1 it is (0.298, 0.099, "
        "0.199)."
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
