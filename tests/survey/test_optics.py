"""Point spread function and noise: light is kept, widths and shifts are those of the telescope."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from galhelpers.survey import TELESCOPES
from galhelpers.survey.galaxies import generator
from galhelpers.survey.optics import _correlate, add_noise, blur, moffat_as_gaussians
from galhelpers.survey.telescopes import CORRELATED

SDSS = TELESCOPES["sdss"]
STILL = replace(SDSS, psf_scatter=0.0, band_shift=0.0, pointing=0.0, psf_ratios=())
PIXEL = 0.2
SIZE = 97
CENTRE = SIZE // 2


def point(n: int = 1, size: int = SIZE) -> torch.Tensor:
    """Stars of flux 1 in the middle of n images."""
    light = torch.zeros((n, 3, size, size))
    light[:, :, size // 2, size // 2] = 1.0
    return light


def blurred(scope, conditions=None, pixel: float = PIXEL, light=None) -> torch.Tensor:
    light = point() if light is None else light
    conditions = torch.zeros((len(light), 7)) if conditions is None else conditions
    return blur(light, torch.full((len(light),), pixel), scope, conditions)


def fwhm(star: torch.Tensor, pixel: float = PIXEL) -> float:
    """Width of the middle row where it is half as high as its peak, arcsec."""
    row = star[CENTRE].double().numpy()
    inside = np.flatnonzero(row > row.max() / 2)
    left, right = inside[0], inside[-1]
    start = left - (row[left] - row.max() / 2) / (row[left] - row[left - 1])
    end = right + (row[right] - row.max() / 2) / (row[right] - row[right + 1])
    return (end - start) * pixel


def centroid(star: torch.Tensor) -> tuple[float, float]:
    """Mean row and column of the light, in pixels from the middle."""
    at = torch.arange(SIZE, dtype=torch.float64) - CENTRE
    star = star.double()
    return float((star.sum(1) * at).sum() / star.sum()), float(
        (star.sum(0) * at).sum() / star.sum()
    )


def test_light_is_kept():
    seen = blurred(STILL)
    assert torch.allclose(seen.sum((2, 3)), torch.ones(1, 3), atol=0.01)
    assert float(seen.min()) >= 0
    # Gaussian wings end before the frame does: where it is wide enough, all arrives.
    wide = blurred(STILL, pixel=0.6)
    assert torch.allclose(wide.sum((2, 3)), torch.ones(1, 3), atol=1e-4)


def test_blurring_is_linear_and_moves_with_the_light():
    light = torch.rand((1, 3, SIZE, SIZE), generator=torch.Generator().manual_seed(0))
    light[:, :, :40], light[:, :, -40:], light[..., :40], light[..., -40:] = 0, 0, 0, 0
    seen = blurred(STILL, light=light)
    assert torch.allclose(blurred(STILL, light=3 * light), 3 * seen, rtol=1e-5, atol=1e-7)
    moved = blurred(STILL, light=light.roll((5, -7), (2, 3))).roll((-5, 7), (2, 3))
    middle = slice(25, -25)
    assert torch.allclose(moved[..., middle, middle], seen[..., middle, middle], atol=1e-5)


@pytest.mark.parametrize("name", list(TELESCOPES))
def test_bands_have_the_widths_that_the_telescope_says(name):
    scope = replace(TELESCOPES[name], psf_scatter=0.0, band_shift=0.0, pointing=0.0)
    pixel = scope.psf_fwhm / 10
    light = point()[:, : len(scope.bands)]
    seen = blurred(scope, torch.zeros((1, 1 + 2 * len(scope.bands))), pixel, light)[0]
    for band, ratio in enumerate(scope.psf_ratios or (1.0,) * len(scope.bands)):
        assert fwhm(seen[band], pixel) == pytest.approx(ratio * scope.psf_fwhm, rel=0.02)


def test_blue_is_blurred_more_than_red():
    assert SDSS.bands == ("i", "r", "g")
    red, middle, blue = blurred(replace(SDSS, band_shift=0.0, pointing=0.0))[0]
    assert fwhm(red) < 0.97 * fwhm(middle)
    assert fwhm(blue) > 1.05 * fwhm(middle)


def test_seeing_scatters_as_the_telescope_says():
    scope = replace(STILL, psf_scatter=0.1)
    conditions = torch.zeros((3, 7))
    conditions[:, 0] = torch.tensor([-2.0, 0.0, 2.0])
    widths = [fwhm(star[1]) for star in blurred(scope, conditions, light=point(3))]
    expected = scope.psf_fwhm * np.exp(0.1 * np.array([-2, 0, 2]))
    np.testing.assert_allclose(widths, expected, rtol=0.02)


def test_pictures_miss_the_galaxy_by_the_pointing_to_the_right_and_down():
    for pixel in (0.2, 0.4):
        seen = blurred(replace(STILL, pointing=0.6), pixel=pixel)[0]
        for star in seen:
            down, right = centroid(star)
            assert down * pixel == pytest.approx(0.6, abs=0.01)
            assert right * pixel == pytest.approx(0.6, abs=0.01)


def test_each_band_moves_by_its_own_shift():
    conditions = torch.zeros((1, 7))
    conditions[0, 1:] = torch.tensor([1.0, 0.0, -2.0, 0.5, -1.0, 3.0])  # 3 down, 3 to the right
    seen = blurred(replace(STILL, band_shift=0.3), conditions)[0]
    for star, down, right in zip(seen, (1.0, 0.0, -2.0), (0.5, -1.0, 3.0), strict=True):
        place = np.array(centroid(star)) * PIXEL
        np.testing.assert_allclose(place, [0.3 * down, 0.3 * right], atol=0.01)


def test_an_image_does_not_depend_on_its_neighbours_in_the_batch():
    light = torch.rand((3, 3, 48, 48), generator=torch.Generator().manual_seed(1))
    conditions = torch.randn((3, 7), generator=torch.Generator().manual_seed(2))
    pixel = torch.tensor([0.2, 0.4, 0.3])
    together = blur(light, pixel, SDSS, conditions)
    for i in range(3):
        alone = blur(light[i : i + 1], pixel[i : i + 1], SDSS, conditions[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)


@pytest.mark.parametrize("beta", [2.0, 2.5, 3.5, 5.0])
def test_a_moffat_is_a_sum_of_gaussians_with_positive_weights(beta):
    weights, sigmas = np.array(moffat_as_gaussians(beta)).T
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    r = np.linspace(0, 2, 401)
    profile = (weights / sigmas**2 * np.exp(-0.5 * (r[:, None] / sigmas) ** 2)).sum(1)
    # Half of the peak lies at half of the width, which is 1.
    assert np.interp(0.5, r, profile / profile[0]) == pytest.approx(0.5, abs=0.01)
    # The steeper the wings, the less light lies far from the centre.
    outside = (weights * np.exp(-0.5 * (1.5 / sigmas) ** 2)).sum()
    core = 0.5 / np.sqrt(2 ** (1 / beta) - 1)
    assert outside == pytest.approx((1 + (1.5 / core) ** 2) ** (1 - beta), abs=0.015)


def noise_on(light: torch.Tensor, scope, pixel: float, seed: int = 0) -> torch.Tensor:
    draws = [generator(seed, "test", i) for i in range(len(light))]
    area = torch.full((len(light), 1, 1, 1), pixel**2)
    return add_noise(light, draws, area, scope) - light


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_noise_of_the_sky_grows_with_the_area_of_a_pixel(factor):
    pixel = factor * SDSS.pixel_scale
    noise = noise_on(torch.zeros(6, 3, 128, 128), SDSS, pixel)
    expected = factor * np.array(SDSS.sky_noise)
    np.testing.assert_allclose(noise.std((0, 2, 3)).numpy(), expected, rtol=0.02)
    assert (noise.mean((0, 2, 3)).abs() < 0.02 * torch.tensor(expected)).all()


def test_sources_bring_noise_of_their_own():
    flux = 4.0  # nanomaggies a pixel
    silent = replace(SDSS, sky_noise=(0.0, 0.0, 0.0))
    noise = noise_on(torch.full((4, 3, 96, 96), flux), silent, SDSS.pixel_scale)
    # Poisson: as many electrons as there are, give or take their square root.
    expected = np.sqrt(flux * SDSS.electrons) / SDSS.electrons
    assert float(noise.std()) == pytest.approx(expected, rel=0.02)
    # Both in quadrature; and where the light is negative, only the sky's.
    both = noise_on(torch.full((4, 3, 96, 96), flux), SDSS, SDSS.pixel_scale)[:, 1].std()
    assert float(both) == pytest.approx(np.hypot(expected, SDSS.sky_noise[1]), rel=0.02)
    below = noise_on(torch.full((4, 3, 96, 96), -flux), SDSS, SDSS.pixel_scale)[:, 1].std()
    assert float(below) == pytest.approx(SDSS.sky_noise[1], rel=0.02)


def test_noise_is_shared_between_neighbours_but_not_between_bands():
    noise = noise_on(torch.zeros(8, 3, 128, 128), SDSS, SDSS.pixel_scale)
    noise = (noise / noise.std((0, 2, 3), keepdim=True)).double()
    across = float((noise[..., 1:] * noise[..., :-1]).mean())
    down = float((noise[..., 1:, :] * noise[..., :-1, :]).mean())
    expected = 2 * 0.06 / (1 + 2 * 0.06**2)  # in closed form, from the mixing
    assert across == pytest.approx(expected, abs=0.01)
    assert down == pytest.approx(expected, abs=0.01)
    assert float((noise[..., 5:] * noise[..., :-5]).mean()) == pytest.approx(0, abs=0.01)
    assert float((noise[:, 0] * noise[:, 2]).mean()) == pytest.approx(0, abs=0.01)


def test_wide_apertures_are_noisier_than_their_pixels_say():
    white = torch.randn((12, 3, 240, 240), generator=torch.Generator().manual_seed(3))
    mixed = _correlate(white)
    assert float(mixed.std()) == pytest.approx(1, rel=0.003)
    apertures = mixed.view(12, 3, 20, 12, 20, 12).sum((3, 5))
    assert float(apertures.std()) / 12 == pytest.approx(CORRELATED, rel=0.06)
