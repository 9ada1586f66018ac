"""Exercises of notebook 02 on pixel values: channel statistics, a stretch that keeps colours."""

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, as_array, as_items, close

# 02.2 --------------------------------------------------------------------------------------------


def channel_statistics(images: np.ndarray, is_train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, two arrays of shape (3,)."""
    train = images[is_train] / 255
    return train.mean(axis=(0, 2, 3)), train.std(axis=(0, 2, 3))


def _check_statistics(ask: Answer) -> str | None:
    rng = np.random.default_rng(22)
    is_train = np.array([True, False, True, True, False, True, True, False])
    level = np.where(is_train, rng.uniform(5, 60, 8), 180)[:, None, None, None]
    colour = np.array([1.2, 1.0, 0.7])[None, :, None, None]
    images = (level * colour + rng.uniform(0, 30, (8, 3, 12, 12))).astype(np.uint8)
    seen = "8 images of shape (3, 12, 12), 5 of them for training"
    what = "two arrays of shape (3,), mean and standard deviation"
    mean, std = as_items(ask(images, is_train, seen=seen), 2, what)
    if as_array(mean, what=what).size == 1 == as_array(std, what=what).size:
        return "you give one number for all channels. Are red and blue light equally bright here?"
    mean, std = as_array(mean, (3,), what), as_array(std, (3,), what)
    if mean.max() > 1:
        return f"your mean of the first channel is {mean[0]:.1f}: which scale were you asked for?"
    true_mean, true_std = channel_statistics(images, is_train)
    all_mean, _ = channel_statistics(images, np.ones(8, bool))
    if close(mean, all_mean, 5e-3):
        return (
            "your mean is that of all 8 images. What would the test images tell the model, before "
            "it is tested on them?"
        )
    if close(mean, true_mean, 5e-3) and close(
        std, (images[is_train] / 255).std((2, 3)).mean(0), 5e-3
    ):
        return (
            "your standard deviation is the average of the images' own. It misses how much one "
            "image differs from the next: use all their pixels together"
        )
    if not close(mean, true_mean, 5e-3):
        return f"your mean of the first channel, {mean[0]:.4f}, is not that of the 5. Which axes?"
    if not close(std, true_std, 5e-3):
        return (
            f"the means agree; your first standard deviation, {std[0]:.4f}, does not. Which axes?"
        )
    return None


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
        "`(galaxies,)`. Return `(mean, std)`, each of shape `(3,)`, on the scale 0 to 1, over "
        "**all pixels of the training images** taken together."
    ),
    stub='''def channel_statistics(images, is_train):
    """Mean and standard deviation of each channel, two arrays of shape (3,)."""
    ...''',
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


def _check_stretch(ask: Answer) -> str | None:
    rng = np.random.default_rng(23)
    soft, rgb = 0.1, rng.uniform(0.001, 0.05, (3, 6, 6))
    rgb[:, 0, 0] = [8.0, 2.0, 1.0]  # a saturated red star
    seen = "an image of shape (3, 6, 6) with a bright red star at [0, 0], soft 0.1"
    got = as_array(ask(rgb, soft, seen=seen), (3, 6, 6))
    faint, before = got[:, 3, 3], rgb[:, 3, 3]
    if not close(faint / (faint.max() or 1), before / before.max(), 1e-3):
        return (
            f"for a faint pixel red : blue is {before[0] / before[2]:.3f} before and "
            f"{faint[0] / (faint[2] or 1):.3f} after. Faint pixels need no limit; does each band "
            "get a factor of its own?"
        )
    star = got[:, 0, 0]
    if star.max() > 1 + 1e-6:
        return f"the star's red is {star[0]:.2f} after the stretch, and a screen shows 0 to 1"
    if not close(star / star.max(), rgb[:, 0, 0] / 8, 1e-3):
        return (
            f"the star's red : green was 4 and is {star[0] / (star[1] or 1):.2f}: red became "
            "yellow or white. It alone was too bright; what should happen to the other two bands?"
        )
    empty = rgb.copy()
    empty[:, 0, 0] = 0.01
    without = as_array(ask(empty, soft, seen="the same image without the star"), (3, 6, 6))
    if not close(without[:, 3, 3], faint, 1e-3):
        return (
            f"a faint pixel is {faint[0]:.4f} when a bright star is in the frame, and "
            f"{without[0, 3, 3]:.4f} when not. Should a pixel depend on its neighbours?"
        )
    if not close(got, stretch(rgb, soft), 1e-3):
        return (
            f"colours are kept, but a pixel of intensity {before.mean():.4f} becomes "
            f"{faint.mean():.4f} with soft 0.1. Compare with the formula, by hand"
        )
    empty[:, 0, 0] = 0
    as_array(ask(empty, soft, seen="an image with a pixel that is 0 in all bands"), (3, 6, 6))
    return None


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
        "that pixel's three bands by it. Return the same shape, 0 to 1."
    ),
    stub='''def stretch(rgb, soft):
    """Image for display, 0 to 1, shape (3, height, width)."""
    ...''',
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
