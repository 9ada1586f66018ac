import numpy as np
import pytest
import torch
from scipy import ndimage

from galhelpers.survey import appearance
from galhelpers.survey.appearance import (
    COLUMNS,
    SKY_COLUMNS,
    measure,
    measure_sky,
)

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
    sky = measure_sky(pixels)
    assert list(sky) == SKY_COLUMNS
    assert sky.equals(table[SKY_COLUMNS])


def test_a_picture_is_measured_by_itself():
    pixels = np.concatenate([picture(gaussian(6)), picture(gaussian(10), seed=1)])
    assert measure(pixels).iloc[1].equals(measure(pixels[1:]).iloc[0])


def test_radii_and_concentration_of_a_gaussian():
    # A circle of radius r holds 1 - exp(-r^2 / 2 sigma^2) of the light.
    found = measured(gaussian(10.0))
    assert found["r50"] * SIZE == pytest.approx(10 * np.sqrt(2 * np.log(2)), rel=0.03)
    assert found["r90"] * SIZE == pytest.approx(10 * np.sqrt(2 * np.log(10)), rel=0.03)
    expected = 5 * np.log10(np.sqrt(np.log(5) / np.log(1 / 0.8)))
    assert found["concentration"] == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("axis_ratio", [0.25, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("angle", [0, 35, 90])
def test_axis_ratio_whatever_the_direction(axis_ratio, angle):
    found = measured(gaussian(12.0, axis_ratio, angle))
    assert found["axis_ratio"] == pytest.approx(axis_ratio, abs=0.03)


def test_offset_from_the_centre_of_the_frame():
    found = measured(gaussian(8.0, centre=(79.5 + 3, 79.5 - 4)))
    assert found["offset_down"] * SIZE == pytest.approx(3.0, abs=0.1)
    assert found["offset_right"] * SIZE == pytest.approx(-4.0, abs=0.1)
    central = measured(gaussian(8.0))
    assert central["offset_down"] == pytest.approx(0, abs=0.001)
    assert central["offset_right"] == pytest.approx(0, abs=0.001)


def test_peak_surface_brightness_and_saturation():
    found = measured(gaussian(10.0, peak=150))
    assert found["peak"] == pytest.approx(150, abs=2)
    # Mean of a Gaussian inside its half-light radius: 0.5 / ln 2 of the peak.
    assert found["surface_brightness"] == pytest.approx(150 * 0.5 / np.log(2), rel=0.03)
    assert found["saturated"] == 0
    assert measured(gaussian(10.0, peak=400))["saturated"] > 0.05


def test_colours_without_the_sky():
    found = measured(gaussian(10.0, peak=100), colour=(1.5, 1.0, 0.5))
    assert found["red_to_green"] == pytest.approx(1.5, rel=0.02)
    assert found["blue_to_green"] == pytest.approx(0.5, rel=0.02)
    assert found["colour_gradient"] == pytest.approx(0, abs=0.02)
    pixels = picture(gaussian(10.0, peak=100))
    pixels[0, 0] = picture(gaussian(6.0, peak=150))[0, 0]  # red light is more concentrated
    assert measure(pixels)["colour_gradient"].iloc[0] > 0.1


def test_bands_that_lie_apart():
    pixels = picture(gaussian(8.0))
    assert measure(pixels)["band_shift"].iloc[0] * SIZE < 0.1
    pixels[0, 2] = picture(gaussian(8.0, centre=(81.5, 79.5)))[0, 2]
    # Of a shift of 2, seen through a circle of radius r: 1 - u / (e^u - 1), u = r^2 / 2 sigma^2.
    u = np.log(10)
    expected = 2 * (1 - u / (np.exp(u) - 1))
    assert measure(pixels)["band_shift"].iloc[0] * SIZE == pytest.approx(expected, rel=0.1)


def test_grain_is_the_noise_on_the_galaxy():
    light = gaussian(12.0)
    noise = 8 * np.random.default_rng(4).standard_normal(light.shape) * (light > 5)
    smooth, grainy = measured(light), measured(light + noise)
    assert smooth["grain"] < 1
    # A pixel less the mean of the nine around it keeps 8/9 of the variance.
    assert grainy["grain"] == pytest.approx(8 * np.sqrt(8 / 9), rel=0.1)


def test_asymmetry_and_residual_of_a_second_source():
    # A companion with a fifth of the galaxy's light has no partner: it counts twice.
    galaxy, companion = gaussian(8.0, peak=150), gaussian(4.0, centre=(79.5, 97.5), peak=120)
    expected = 2 * companion.sum() / (galaxy + companion).sum()
    alone, together = measured(galaxy), measured(galaxy + companion)
    assert alone["asymmetry"] == pytest.approx(0, abs=0.02)
    assert 0.6 * expected < together["asymmetry"] < 1.05 * expected
    assert alone["residual"] == pytest.approx(0, abs=0.03)
    assert together["residual"] > 0.15


def test_an_ellipse_leaves_no_residual_and_a_two_armed_pattern_is_not_asymmetric():
    ellipse = measured(gaussian(14.0, 0.5, 30))
    assert ellipse["residual"] == pytest.approx(0, abs=0.03)
    y, x = np.mgrid[:SIZE, :SIZE] - 79.5
    arms = gaussian(12.0) * (1 + 0.6 * np.cos(2 * np.arctan2(y, x) - 0.3 * np.hypot(y, x)))
    spiral = measured(arms)
    assert spiral["asymmetry"] == pytest.approx(0, abs=0.03)
    assert spiral["residual"] > 0.2


def test_noise_adds_nothing_to_asymmetry_smoothness_and_residual():
    quiet, noisy = (measured(gaussian(12.0, peak=60), noise=noise) for noise in (0.5, 6.0))
    for name in ("asymmetry", "smoothness", "residual"):
        assert noisy[name] == pytest.approx(quiet[name], abs=0.05), name


def test_clumps_raise_smoothness():
    rng = np.random.default_rng(0)
    clumps = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 1.0)
    clumpy = gaussian(14.0) * np.clip(1 + 2 * clumps, 0, None)
    assert measured(clumpy)["smoothness"] > measured(gaussian(14.0))["smoothness"] + 0.05


def test_gini_of_three_pixels():
    # (-2 x 1 + 0 x 2 + 2 x 3) / (mean 2 x 3 x 2)
    assert appearance._gini(np.array([3.0, 1.0, 2.0])) == pytest.approx(1 / 3)
    assert appearance._gini(np.array([0.0, 0.0, 5.0])) == pytest.approx(1)
    assert appearance._gini(np.ones(7)) == pytest.approx(0)


def test_light_whose_partner_lies_outside_the_frame_counts_twice():
    light = np.zeros((9, 9))
    light[3, 4] = light[5, 4] = 2.0  # each other's partners about (4, 4)
    light[0, 8] = 1.0
    assert appearance._turned(light, 8, 8) == pytest.approx(2)
    # About (3, 3) the pixel at (0, 8) would fall on (6, -2), and (3, 4) on (3, 2).
    assert appearance._turned(light, 6, 6) == pytest.approx(2 * (1 + 2 + 2))


def test_gini_of_flat_and_of_concentrated_light():
    flat = 100.0 * (gaussian(50.0) > 90)
    assert measured(flat)["gini"] < 0.12  # its blurred edge counts
    assert measured(gaussian(8.0))["gini"] > measured(flat)["gini"] + 0.2


@pytest.mark.parametrize("noise", [2.0, 5.0])
def test_white_noise_of_known_width(noise):
    found = measured(gaussian(6.0), noise=noise, sky=60.0)
    assert found["noise_grey"] == pytest.approx(found["noise_red"] / np.sqrt(3), rel=0.05)
    for name in ("red", "green", "blue"):
        assert found[f"noise_{name}"] == pytest.approx(np.sqrt(noise**2 + 1 / 12), rel=0.06)
        assert found[f"sky_{name}"] == pytest.approx(60.0, abs=0.3)
    for name in ("noise_lag1", "noise_lag2", "noise_red_green", "noise_green_blue"):
        assert found[name] == pytest.approx(0, abs=0.05), name
    assert found["blockiness"] == pytest.approx(1, abs=0.06)
    assert found["black"] == 0


def test_correlated_noise():
    # White noise smoothed by (1, 1) along each axis: 0.5 a pixel away, none two pixels away.
    white = np.random.default_rng(1).standard_normal((SIZE + 1, SIZE + 1))
    noise = 3 * (white[1:, 1:] + white[:-1, 1:] + white[1:, :-1] + white[:-1, :-1])
    own = np.random.default_rng(2).standard_normal((SIZE, SIZE)) * 6
    grey = gaussian(6.0) + 60
    pixels = np.stack([grey + noise, grey + noise, grey + own])
    found = measure(np.clip(np.round(pixels), 0, 255).astype(np.uint8)[None]).iloc[0]
    assert found["noise_red_green"] == pytest.approx(1, abs=0.01)
    assert found["noise_red_blue"] == pytest.approx(0, abs=0.05)
    assert found["noise_green_blue"] == pytest.approx(0, abs=0.05)
    # Grey: two thirds of the amplitude are smoothed, one third is white.
    assert found["noise_lag1"] == pytest.approx(0.5 * 4 / 5, abs=0.05)
    assert found["noise_lag2"] == pytest.approx(0, abs=0.05)


def test_a_tilted_sky_is_a_gradient_and_no_noise():
    tilt = 8 * (np.arange(SIZE) / SIZE)[None, :] * np.ones((SIZE, 1))
    found = measured(gaussian(6.0) + tilt, noise=1.0)
    assert found["sky_gradient"] == pytest.approx(8, rel=0.1)
    assert found["noise_green"] == pytest.approx(np.sqrt(1 + 1 / 12), rel=0.06)


def test_sources_are_counted_and_left_out_of_the_sky():
    light = gaussian(6.0)
    for centre in ((12, 12), (12, 80), (140, 30), (90, 145)):
        light = light + gaussian(1.5, centre=centre, peak=90)
    found, without = measured(light, noise=2.0), measured(gaussian(6.0), noise=2.0)
    assert (found["n_sources"], without["n_sources"]) == (4, 0)
    assert found["source_peak"] == pytest.approx(90, abs=8)
    assert found["source_light"] == pytest.approx(4 * 90 * 1.5**2 / (150 * 6**2), rel=0.15)
    assert without["source_light"] == 0
    assert found["sky_green"] == pytest.approx(without["sky_green"], abs=0.1)
    assert found["noise_green"] == pytest.approx(without["noise_green"], rel=0.05)


def test_blocks_of_eight_pixels_show():
    steps = np.kron(np.random.default_rng(3).normal(0, 3, (20, 20)), np.ones((8, 8)))
    assert measured(gaussian(6.0) + steps, sky=60.0, noise=1.0)["blockiness"] > 2


def test_an_empty_frame_has_a_sky_and_no_galaxy():
    found = measured(np.zeros((SIZE, SIZE)), noise=2.0)
    assert np.isnan(found[["r50", "axis_ratio", "asymmetry"]].to_numpy(dtype=float)).all()
    assert found["sky_green"] == pytest.approx(SKY, abs=0.3)


def test_a_black_frame_gives_no_warning(recwarn):
    found = measure(np.zeros((2, 3, 64, 64), np.uint8))
    assert (found["black"] == 1).all()
    assert found["r50"].isna().all()
    assert not recwarn.list


def test_lengths_are_shares_of_the_frame():
    small = measured(gaussian(6.0, size=80, centre=(39.5, 39.5)))
    large = measured(gaussian(12.0))
    for name in ("r50", "r90", "area", "axis_ratio", "concentration"):
        assert small[name] == pytest.approx(large[name], rel=0.12), name


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
