"""Backgrounds, satellites, seams and edges, and what else lies in the field.

Backgrounds and lines are drawn at rates and strengths that the telescope sets; stars and galaxies
of the field are the same for every telescope.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from galhelpers.survey import TELESCOPES
from galhelpers.survey.foreground import DENSITY, add_background, add_lines, add_neighbours
from galhelpers.survey.galaxies import generator

SDSS = TELESCOPES["sdss"]
CLEAN = replace(SDSS, trails=0.0, seams=0.0, edges=0.0)
FRAME = 60.0  # arcsec


def generators(n: int, seed: int = 0) -> list[np.random.Generator]:
    return [generator(seed, "test", i) for i in range(n)]


def lines_on(light: torch.Tensor, scope, seed: int = 0) -> torch.Tensor:
    n, _, _, grid = light.shape
    return add_lines(light.clone(), generators(n, seed), torch.full((n,), FRAME / grid), scope)


def distance_from_line(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each bright pixel from the line through them, in arcsec, and their light."""
    rows, columns = np.nonzero(image > 1e-3 * image.max())
    light = image[rows, columns]
    places = np.column_stack([rows, columns]) * FRAME / len(image)
    places = places - np.average(places, axis=0, weights=light)
    _, axes = np.linalg.eigh((places * light[:, None]).T @ places)
    return places @ axes[:, 0], light


# --- background ---------------------------------------------------------------------------------


def background(n: int, scope, grid: int = 16, pixel: float = 0.396) -> np.ndarray:
    """Sky errors in units of the noise of pictures, (n, bands, grid, grid)."""
    area = torch.full((n, 1, 1, 1), pixel**2)
    light = torch.zeros((n, len(scope.bands), grid, grid))
    sky = add_background(light, generators(n), area, scope) / (area / scope.pixel_scale**2)
    return (sky / torch.tensor(scope.noise_in_pictures).view(1, -1, 1, 1)).numpy()


def test_skies_err_by_a_level_and_a_slope_in_units_of_the_noise():
    sky = background(3000, CLEAN)
    levels = sky.mean((2, 3))
    # Strong scattered light is rare: robust statistics see the rest.
    half = np.diff(np.quantile(levels, [0.16, 0.84], axis=0), axis=0)[0] / 2
    np.testing.assert_allclose(half, 0.18, rtol=0.08)
    assert (np.abs(np.median(levels, axis=0)) < 0.02).all()
    at = (np.arange(16) - 7.5) / 16
    slopes = [(sky * axis).sum((2, 3)) / (16 * (at**2).sum()) for axis in (at, at[:, None])]
    slope = np.hypot(*slopes)
    assert np.median(slope) == pytest.approx(CLEAN.gradient, rel=0.08)
    # The scatter is lognormal: 0.8, and more between bands.
    assert 0.7 < np.log(slope).std() < 1.4
    # All directions are alike.
    assert abs(np.mean(slopes[0] > 0) - 0.5) < 0.03
    assert abs(np.mean(np.abs(slopes[0]) > np.abs(slopes[1])) - 0.5) < 0.03


def test_bands_share_the_slope_and_not_the_level():
    sky = background(1500, CLEAN)
    across = sky[..., -1].mean(2) - sky[..., 0].mean(2)
    quiet = (np.ptp(sky, axis=(2, 3)) < 1).all(1)  # leaves scattered light out
    assert quiet.mean() > 0.9
    assert abs(np.corrcoef(sky[quiet].mean((2, 3)).T)[0, 1]) < 0.08
    assert np.corrcoef(across[quiet].T)[0, 1] > 0.7


def test_backgrounds_scale_with_the_telescope_and_the_pixel():
    flat = background(40, replace(CLEAN, gradient=0.0), pixel=0.8)
    steep = background(40, replace(CLEAN, gradient=0.5), pixel=0.8)
    usual = background(40, replace(CLEAN, gradient=0.25), pixel=0.8)
    np.testing.assert_allclose(steep - flat, 2 * (usual - flat), atol=1e-4)
    # The same sky at any pixel and noise, in units of the noise.
    np.testing.assert_allclose(background(40, CLEAN), background(40, CLEAN, pixel=1.6), rtol=1e-4)
    noisy = replace(CLEAN, sky_noise=(1.0, 2.0, 3.0))
    np.testing.assert_allclose(background(40, CLEAN), background(40, noisy), rtol=1e-4)
    dim = background(40, CLEAN, grid=16).reshape(40, 3, 8, 2, 8, 2).mean((3, 5))
    np.testing.assert_allclose(dim, background(40, CLEAN, grid=8), rtol=0.005, atol=0.002)


def test_strong_light_from_the_side_is_as_rare_as_in_galaxy_zoo():
    sky = background(4000, replace(CLEAN, gradient=0.0))
    lit = sky.max((2, 3)) - sky.min((2, 3)) > 0
    assert lit.any(axis=1).mean() == pytest.approx(0.025, abs=0.008)
    dark = background(4000, replace(CLEAN, gradient=0.0, glows=0.0))
    assert (dark.max((2, 3)) - dark.min((2, 3)) == 0).all()


# --- trails, seams, edges -----------------------------------------------------------------------


def test_without_rates_nothing_is_drawn():
    light = torch.rand((40, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    assert torch.equal(lines_on(light, CLEAN), light)


@pytest.mark.parametrize("kind", ["trails", "seams", "edges"])
def test_as_many_as_the_rate_says(kind):
    light = torch.ones((2000, 3, 16, 16))
    spoilt = (lines_on(light, replace(CLEAN, **{kind: 0.2})) != light).flatten(1).any(1)
    # Some lines pass outside of the corners, or between pixels.
    assert 0.14 < float(spoilt.float().mean()) < 0.23


def test_a_trail_lies_in_one_band_and_is_as_wide_as_the_point_spread_function():
    scope = replace(CLEAN, trails=1.0)
    bands = set()
    for image in lines_on(torch.zeros((12, 3, 192, 192)), scope).numpy():
        lit = np.flatnonzero(image.max((1, 2)) > 0)
        assert len(lit) == 1
        bands.add(int(lit[0]))
        trail = image[lit[0]]
        if trail.max() < 0.5 * np.quantile(trail[trail > 0], 0.999) or (trail > 0).sum() < 400:
            continue  # it only grazes a corner
        across, light = distance_from_line(trail)
        width = np.sqrt(np.average(across**2, weights=light)) * 2.355
        assert width == pytest.approx(scope.psf_fwhm, rel=0.1)
        # Far above the noise of a pixel, or nobody would see it.
        noise = scope.noise_in_pictures[lit[0]] * (FRAME / 192 / scope.pixel_scale) ** 2
        assert 7 < trail.max() / noise < 50
    assert bands == {0, 1, 2}


@pytest.mark.parametrize("kind", ["trails", "seams", "edges"])
def test_the_same_artefact_at_any_size_of_the_picture(kind):
    scope = replace(CLEAN, **{kind: 1.0})
    start = torch.zeros if kind == "trails" else torch.ones
    # Surface brightness, which does not depend on the size of a pixel.
    small, large = (
        lines_on(start((12, 3, grid, grid)), scope).numpy()
        * (grid / 96 if start is torch.zeros else 1) ** 2
        for grid in (96, 288)
    )
    reduced = large.reshape(12, 3, 96, 3, 96, 3).mean((3, 5))
    added, added_large = (np.abs(x - start(1).item()).mean((1, 2, 3)) for x in (small, reduced))
    np.testing.assert_allclose(added, added_large, rtol=0.1, atol=1e-3 * np.abs(small).max())
    assert (added > 0).sum() > 8
    for one, other in zip(small, reduced, strict=True):
        if np.ptp(one) > 1e-6:
            assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85


def test_a_seam_is_dark_in_all_bands_and_thin():
    seams = lines_on(torch.ones((12, 3, 256, 256)), replace(CLEAN, seams=1.0)).numpy()
    for image in seams:
        assert (image >= 0).all()
        assert (image <= 1).all()
        np.testing.assert_array_equal(image[0], image[1])
        np.testing.assert_array_equal(image[0], image[2])
        dark = 1 - image[0]
        if (dark > 0.5).sum() < 100:
            continue
        assert dark.max() > 0.6
        assert (dark > 0.5).mean() < 0.02
        across, lost = distance_from_line(dark)
        assert np.sqrt(np.average(across**2, weights=lost)) < 0.4


def test_beyond_an_edge_there_are_no_data():
    light = 1 + torch.rand((24, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    images = lines_on(light, replace(CLEAN, edges=1.0)).numpy()
    for image, before in zip(images, light.numpy(), strict=True):
        gone = image == 0
        np.testing.assert_array_equal(image[~gone], before[~gone])
        np.testing.assert_array_equal(gone[0], gone[1])
        np.testing.assert_array_equal(gone[0], gone[2])
        # Straight along a side, and never through the galaxy.
        assert gone[0].mean() < 0.38
        assert not gone[0, 30:34, 30:34].any()
        assert (np.diff(gone[0].astype(int), axis=1) >= 0).all()
    assert (images == 0).any(axis=(1, 2, 3)).mean() > 0.8


def test_an_image_keeps_its_artefacts_in_any_batch():
    scope = replace(SDSS, trails=0.5, seams=0.5, edges=0.2)
    pixel, light = torch.full((6,), 1.0), torch.ones((6, 3, 48, 48))
    together = add_lines(light.clone(), generators(6), pixel, scope)
    for i in range(6):
        alone = add_lines(light[:1].clone(), generators(6)[i : i + 1], pixel[:1], scope)
        assert torch.equal(alone, together[i : i + 1])


# --- neighbours ---------------------------------------------------------------------------------


def field(scope, n: int, grid: int, width: float, seed: int = 0) -> torch.Tensor:
    light = torch.zeros((n, len(scope.bands), grid, grid))
    return add_neighbours(light, generators(n, seed), np.full(n, width / grid), scope)


def test_as_many_neighbours_as_the_density_says(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "galhelpers.survey.foreground._add_ellipse",
        lambda image, centre, flux, radius, ratio, angle: drawn.append((*centre, radius, flux[1])),
    )
    grid, width, n = 60, 120.0, 60
    field(SDSS, n, grid, width)
    x, y, radius, flux = np.array(drawn).T
    inside = (np.abs(x - (grid - 1) / 2) < grid / 2) & (np.abs(y - (grid - 1) / 2) < grid / 2)
    # Halos and vanes of bright stars come at the same place, with a small part of their light.
    first = np.concatenate([[True], (np.diff(x) != 0) | (np.diff(y) != 0)])
    sources = inside & first
    expected = DENSITY * (width / 60) ** 2 * n
    assert sources.sum() == pytest.approx(expected, abs=4 * np.sqrt(expected))
    # Evenly spread over the frame.
    quarter = sources & (x < (grid - 1) / 2) & (y < (grid - 1) / 2)
    assert quarter.sum() == pytest.approx(expected / 4, abs=4 * np.sqrt(expected / 4))
    # Counts rise with magnitude: N(<m) ~ 10^(0.24 m) for stars, 10^(0.45 m) for galaxies.
    mag = 22.5 - 2.5 * np.log10(flux[sources])
    two_brighter = (mag < 20.5).mean()
    assert two_brighter == pytest.approx(0.3 * 10**-0.48 + 0.7 * 10**-0.9, abs=0.03)
    assert mag.max() < 22.51
    assert mag.min() > 13.9
    assert (radius[sources] >= 0.35).all()


def test_every_telescope_sees_the_same_field():
    seen = [field(TELESCOPES[name], 6, 128, 90.0) for name in ("sdss", "des")]
    # i, r and g of both, whatever the noise, the seeing and the pixels of each.
    assert torch.allclose(*seen, rtol=1e-4, atol=1e-6)
    r_of_decals = field(TELESCOPES["decals"], 6, 128, 90.0)[:, 1]
    assert torch.allclose(seen[0][:, 1], r_of_decals, rtol=1e-4, atol=1e-6)
    h = field(TELESCOPES["hst"], 6, 128, 90.0)[:, 0]
    bright = seen[0][:, 1] > 1e-3
    assert (h[bright] > seen[0][:, 1][bright]).all()  # stars and galaxies are brighter in h


def test_the_same_field_at_any_size_and_width():
    coarse, fine = (field(SDSS, 24, grid, 64.0) for grid in (64, 256))
    binned = fine.view(24, 3, 64, 4, 64, 4).sum((3, 5))
    # Light is kept; a pixel's share of a small source depends on how finely it is drawn.
    totals = [image.sum((1, 2, 3)) for image in (coarse, binned)]
    ratio = totals[0] / totals[1]
    assert float(ratio.median()) == pytest.approx(1, abs=0.04)
    assert ((ratio > 0.7) & (ratio < 1.4)).all()
    places = [image[:, 1].view(24, 16, 4, 16, 4).sum((2, 4)) for image in (coarse, binned)]
    alike = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*places, strict=True)]
    assert np.median(alike) > 0.97
    # A wider frame shows more around the same middle. Faint wings of sources far outside of the
    # narrow frame are missing there; they are less than the noise.
    wide = field(SDSS, 24, 256, 256.0)[..., 96:160, 96:160]
    assert torch.allclose(wide, coarse, rtol=1e-3, atol=0.02)


def test_neighbours_are_added_to_what_is_there():
    light = torch.full((2, 3, 32, 32), 0.5)
    both = add_neighbours(light, generators(2), np.full(2, 1.0), SDSS)
    assert torch.allclose(both - 0.5, field(SDSS, 2, 32, 32.0), atol=1e-5)
    assert float(both.min()) >= 0.5
    assert torch.equal(light, torch.full_like(light, 0.5))
