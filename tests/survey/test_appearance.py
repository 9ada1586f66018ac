import numpy as np
import pytest
import torch

from galhelpers.survey import appearance
from galhelpers.survey.appearance import COLUMNS, measure

SIZE = 160
SKY = 20.0


def gaussian(sigma, axis_ratio=1.0, angle=0.0, centre=(79.5, 79.5), peak=150.0, size=SIZE):
    """Grey light (size, size): sigma is that of the major axis, in pixels."""
    y, x = np.mgrid[:size, :size].astype(float)
    y, x = y - centre[0], x - centre[1]
    angle = np.deg2rad(angle)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return peak * np.exp(-0.5 * ((along / sigma) ** 2 + (across / (axis_ratio * sigma)) ** 2))


def picture(light, noise=0.5, sky=SKY, seed=0, colour=(1.0, 1.0, 1.0)):
    """uint8 (1, 3, h, w) of light in three colours on a noisy sky."""
    rng = np.random.default_rng(seed)
    channels = np.stack([factor * light + sky for factor in colour])
    channels += noise * rng.standard_normal(channels.shape)
    return np.clip(np.round(channels), 0, 255).astype(np.uint8)[None]


def measured(*args, **kwargs):
    return measure(picture(*args, **kwargs)).iloc[0]


def test_columns_are_the_documented_ones_and_a_tensor_gives_the_same_as_an_array():
    pixels = picture(gaussian(8))
    table = measure(pixels)
    assert list(table) == list(COLUMNS)
    assert len(table) == 1
    assert measure(torch.from_numpy(pixels)).equals(table)


def test_a_picture_is_measured_by_itself():
    pixels = np.concatenate([picture(gaussian(6)), picture(gaussian(10), seed=1)])
    assert measure(pixels).iloc[1].equals(measure(pixels[1:]).iloc[0])


@pytest.mark.parametrize("axis_ratio", [0.25, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("angle", [0, 35, 90])
def test_axis_ratio_whatever_the_direction(axis_ratio, angle):
    found = measured(gaussian(12.0, axis_ratio, angle))
    assert found["axis_ratio"] == pytest.approx(axis_ratio, abs=0.03)


def test_light_whose_partner_lies_outside_the_frame_counts_twice():
    light = np.zeros((9, 9))
    light[3, 4] = light[5, 4] = 2.0  # each other's partners about (4, 4)
    light[0, 8] = 1.0
    assert appearance._turned(light, 8, 8) == pytest.approx(2)
    # About (3, 3) the pixel at (0, 8) would fall on (6, -2), and (3, 4) on (3, 2).
    assert appearance._turned(light, 6, 6) == pytest.approx(2 * (1 + 2 + 2))


def test_blocks_of_eight_pixels_show():
    steps = np.kron(np.random.default_rng(3).normal(0, 3, (20, 20)), np.ones((8, 8)))
    assert measured(gaussian(6.0) + steps, sky=60.0, noise=1.0)["blockiness"] > 2


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.zeros((2, 3, 64, 64), np.float32), "multiply by 255"),
        (np.zeros((2, 64, 64, 3), np.uint8), r"\(n, 3, h, w\)"),
        (np.zeros((2, 3, 16, 16), np.uint8), "32 pixels"),
    ],
)
def test_what_is_no_picture_is_refused(pixels, message):
    with pytest.raises(ValueError, match=message):
        measure(pixels)
