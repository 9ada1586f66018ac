"""Pictures of the simulated sky: exact where they must be, like the real ones where they can be."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from galhelpers.survey import TELESCOPES, linear_images, render, sample_galaxies
from galhelpers.survey.render import stretch
from galhelpers.survey.volunteers import cumulative_fractions, volunteer_votes

# Real five-class pictures of Galaxy Zoo 2, 0-1 scale, red, green, blue.
REAL_MEAN = (0.046, 0.041, 0.030)
REAL_SD = (0.090, 0.075, 0.065)


@pytest.mark.parametrize("size", [424, 96, 64])
def test_a_picture_does_not_depend_on_its_batch(size):
    truth = sample_galaxies(12, seed=3)
    together = render(truth, size=size, seed=1)
    assert together.shape == (12, 3, size, size)
    assert together.dtype == torch.uint8
    alone = torch.cat([render(truth.iloc[[i]], size=size, seed=1) for i in range(12)])
    backwards = render(truth.iloc[::-1], size=size, seed=1).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together, backwards)


def test_threads_change_nothing_and_are_given_back():
    truth = sample_galaxies(10, seed=4)
    before = torch.get_num_threads()
    pictures = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            pictures.append(render(truth, size=128))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*pictures)


def test_seed_changes_the_sky_and_not_the_galaxy():
    truth = sample_galaxies(6, seed=5)
    assert not torch.equal(render(truth, size=64, seed=0), render(truth, size=64, seed=1))
    quiet = {"size": 64, "noise": False, "neighbours": False}
    calm = dataclasses.replace(TELESCOPES["sdss"], psf_scatter=0.0, band_shift=0.0)
    a, b = (linear_images(truth, calm, seed=seed, **quiet) for seed in (0, 1))
    assert torch.equal(a, b)


def test_the_psf_keeps_the_light():
    truth = sample_galaxies(60, seed=6)
    truth = truth[truth["kind"].isin(["smooth", "spiral", "disk"]) & (truth["odd"] == "none")]
    quiet = {"size": 128, "noise": False, "neighbours": False}
    sharp = dataclasses.replace(TELESCOPES["sdss"], psf_fwhm=0.05)
    seen = linear_images(truth, "sdss", **quiet).sum((2, 3))
    assert torch.allclose(seen, linear_images(truth, sharp, **quiet).sum((2, 3)), rtol=0.01)
    # And it is the light that truth gives, in the r band the magnitude itself.
    expected = torch.tensor(10 ** (-0.4 * (truth["mag"].to_numpy() - 22.5)), dtype=torch.float32)
    assert torch.allclose(seen[:, 1], expected, rtol=0.02)


def test_the_psf_is_as_wide_as_the_telescope_says():
    truth = sample_galaxies(1, seed=0).assign(
        kind="smooth", odd="none", edge_on=False, axis_ratio=1.0, sersic_n=1.0, petro_r90=3.2,
        bulge_fraction=1.0, bulge_r90=0.01, lopsidedness=0.0, arm_strength=0.0, bar_strength=0.0,
    )  # fmt: skip
    for name in ("sdss", "decals"):
        scope = dataclasses.replace(TELESCOPES[name], psf_scatter=0.0, band_shift=0.0, pointing=0.0)
        field = 12.0
        point = linear_images(truth, scope, 144, noise=False, neighbours=False, field_of_view=field)
        middle = point[0, 1, 72] / point[0, 1].max()
        inside = torch.nonzero(middle > 0.5).flatten()
        left, right = int(inside[0]), int(inside[-1])
        # Linear interpolation between the pixels on either side of half the maximum.
        start = left - (middle[left] - 0.5) / (middle[left] - middle[left - 1])
        end = right + (middle[right] - 0.5) / (middle[right] - middle[right + 1])
        assert float(end - start) * field / 144 == pytest.approx(scope.psf_fwhm, rel=0.04)


def test_a_fixed_field_of_view_shows_sizes_and_the_default_hides_them():
    truth = pd.concat([sample_galaxies(1, seed=9)] * 2, ignore_index=True)
    truth = truth.assign(kind="smooth", axis_ratio=0.9, sersic_n=1.0, odd="none", mag=15.0)
    truth["petro_r90"] = [8.0, 16.0]
    quiet = {"size": 128, "noise": False, "neighbours": False}

    def half_light_pixels(images):
        row = torch.arange(128) - 63.5
        r = torch.hypot(row[None, :], row[:, None])
        order = r.flatten().argsort()
        grown = images[:, 1].flatten(1)[:, order].cumsum(1)
        return r.flatten()[order][(grown / grown[:, -1:] < 0.5).sum(1)]

    small, large = half_light_pixels(linear_images(truth, field_of_view=130.0, **quiet))
    assert float(large / small) == pytest.approx(2.0, rel=0.1)
    small, large = half_light_pixels(linear_images(truth, **quiet))
    assert float(large / small) == pytest.approx(1.0, rel=0.1)


def test_small_pictures_show_what_reduced_large_ones_do():
    truth = sample_galaxies(24, seed=10)
    small = render(truth, size=64).float()
    reduced = F.interpolate(render(truth, size=424).float(), size=(64, 64), mode="area")
    centre = slice(16, 48)
    a, b = small[:, :, centre, centre].flatten(1), reduced[:, :, centre, centre].flatten(1)
    alike = [
        float(torch.corrcoef(torch.stack([one, other]))[0, 1])
        for one, other in zip(a, b, strict=True)
    ]
    assert min(alike) > 0.9
    assert np.median(alike) > 0.98


def test_noise_has_the_size_and_correlation_of_the_telescope():
    empty = sample_galaxies(8, seed=11).assign(mag=60.0)  # nothing to see
    scope = dataclasses.replace(TELESCOPES["sdss"])
    field = 128 * scope.pixel_scale
    sky = linear_images(empty, scope, 128, neighbours=False, field_of_view=field)
    for band in range(3):
        assert float(sky[:, band].std()) == pytest.approx(scope.sky_noise[band], rel=0.05)
    flat = sky - sky.mean((2, 3), keepdim=True)
    lag = (flat[..., 1:] * flat[..., :-1]).mean() / (flat**2).mean()
    assert 0.05 < float(lag) < 0.25


def test_the_stretch_keeps_colour_and_stays_in_range():
    light = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 50
    scope = dataclasses.replace(TELESCOPES["sdss"], black=(0.0, 0.0, 0.0))
    area = torch.full((4, 1, 1, 1), 0.157)
    picture = stretch(light, area, scope)
    assert float(picture.min()) >= 0
    assert float(picture.max()) <= 1
    faint = stretch(light / 100, area, scope)
    scaled = light / 100 * torch.tensor(scope.scales).view(1, 3, 1, 1)
    assert torch.allclose(
        faint / faint.sum(1, keepdim=True), scaled / scaled.sum(1, keepdim=True), atol=1e-5
    )


def test_arms_are_bluer_than_bulges():
    truth = sample_galaxies(800, seed=12)
    truth = truth[(truth["kind"] == "spiral") & (truth["arm_strength"] > 0.6)]
    truth = truth[(truth["odd"] == "none") & (truth["bulge_fraction"] > 0.15)]
    light = linear_images(truth, size=128, noise=False, neighbours=False)
    g_i = light[:, 2] / light[:, 0]
    middle = slice(62, 66)
    row = torch.arange(128) - 63.5
    r = torch.hypot(row[None, :], row[:, None]) / (128 / 8.48)
    ring = (r > 0.4) & (r < 0.7)
    assert len(truth) > 20
    assert (g_i[:, ring].mean(1) > 1.1 * g_i[:, middle, middle].mean((1, 2))).float().mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 8}, "16 pixels or more, got 8"),
        ({"field_of_view": 0.0}, "above 0 arcsec, got 0.0"),
        ({"telescope": "hubble"}, "got 'hubble'"),
    ],
)
def test_wrong_arguments_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        render(sample_galaxies(1), **arguments)


def test_no_galaxies_give_no_pictures():
    assert render(sample_galaxies(0), size=64).shape == (0, 3, 64, 64)


def _five_class_pictures():
    from galhelpers.data.catalogs import select_five_classes

    truth = sample_galaxies(260, seed=14)
    fractions = cumulative_fractions(volunteer_votes(truth, seed=14))
    chosen = np.flatnonzero(np.asarray(select_five_classes(fractions)) >= 0)
    return render(truth, size=160, seed=14)[chosen].float() / 255


def test_pixel_statistics_are_those_of_galaxy_zoo_2():
    pictures = _five_class_pictures()
    assert np.allclose(pictures.mean((0, 2, 3)), REAL_MEAN, atol=0.010)
    assert np.allclose(pictures.std((0, 2, 3)), REAL_SD, atol=0.018)


@pytest.mark.real
def test_light_falls_off_as_in_real_pictures(real_data):
    labels = pd.read_csv(real_data / "gz2_five_class" / "labels.csv").sample(200, random_state=0)
    folder = real_data / "gz2_five_class"
    real = [np.asarray(Image.open(folder / f).convert("RGB")) for f in labels["file"]]
    real = torch.tensor(np.stack(real)).permute(0, 3, 1, 2).float() / 255
    row = torch.arange(160) - 79.5
    r = torch.hypot(row[None, :], row[:, None])
    simulated = _five_class_pictures()
    for low, high in ((0, 4), (8, 12), (16, 20), (28, 36), (60, 75)):
        ring = (r >= low) & (r < high)
        ours, theirs = (x[:, :, ring].mean((1, 2)).median() for x in (simulated, real))
        assert float(ours) == pytest.approx(float(theirs), rel=0.2, abs=0.010)
