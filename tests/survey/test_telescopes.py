"""Telescopes as data: wrong numbers are refused, depths are what the surveys state."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from galhelpers.data.catalogs import cross_match
from galhelpers.survey import (
    TELESCOPES,
    Telescope,
    catalog_of,
    linear_images,
    render,
    sample_galaxies,
)
from galhelpers.survey.telescopes import BANDS, band_offsets, pixel_noise

SDSS = TELESCOPES["sdss"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": ("g", "r")}, "bands one or three of g, r, i, z, h, got"),
        ({"bands": ("u", "g", "r")}, "bands one or three of"),
        ({"scales": (1.0, 1.0)}, "scales 3 numbers, one for each of bands"),
        ({"sky_noise": (0.01,)}, "sky_noise 3 numbers"),
        ({"black": (0.1, 0.1, 0.1, 0.1)}, "black 3 numbers"),
        ({"bands": ("h",)}, "sky_noise 1 numbers"),
        ({"pixel_scale": 0.0}, "pixel_scale above 0, got 0.0"),
        ({"psf_fwhm": -1.0}, "psf_fwhm above 0"),
        ({"psf_fwhm": float("nan")}, "psf_fwhm above 0"),
        ({"scales": (1.0, 0.0, 1.0)}, "scales above 0"),
        ({"sky_noise": (0.01, -0.01, 0.01)}, "sky_noise 0 or more"),
        ({"completeness": 1.2}, "completeness from 0 to 1"),
        ({"trails": -0.1}, "trails from 0 to 1"),
        ({"psf_beta": 1.0}, "psf_beta above 1"),
        ({"psf_ratios": (1.0, 1.0)}, "psf_ratios no numbers or 3"),
        ({"psf_ratios": (1.0, 0.0, 1.0)}, "psf_ratios above 0"),
        ({"quality": 100}, "quality from 1 to 95"),
        ({"footprint": (250.0, 110.0, -5.0, 60.0)}, "footprint"),
    ],
)
def test_impossible_telescopes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message) as error:
        dataclasses.replace(SDSS, **changes)
    assert "Telescope 'sdss': expected " in str(error.value)


def test_a_new_survey_is_a_variation_of_an_old_one():
    truth = sample_galaxies(2, seed=1)
    sharp = dataclasses.replace(SDSS, name="sharp", psf_fwhm=0.4, pixel_scale=0.2)
    quiet = {"size": 64, "noise": False, "neighbours": False, "field_of_view": 20.0}
    plain, sharper = (linear_images(truth, scope, **quiet) for scope in (SDSS, sharp))
    assert (sharper.amax((1, 2, 3)) > 1.2 * plain.amax((1, 2, 3))).all()


def test_the_surveys_of_the_course():
    assert set(TELESCOPES) == {"sdss", "decals", "des", "hst"}
    for name, scope in TELESCOPES.items():
        assert isinstance(scope, Telescope)
        assert scope.name == name
        # Every survey sees a part of the sky that has galaxies, see sample_galaxies.
        ra_low, ra_high, dec_low, dec_high = scope.footprint
        assert max(ra_low, 110) < min(ra_high, 260)
        assert max(dec_low, -5) < min(dec_high, 60)
        # Sampled well enough to resolve its own seeing.
        assert scope.psf_fwhm > 2 * scope.pixel_scale
    r_noise = {
        name: scope.sky_noise[scope.bands.index("r")] / scope.pixel_scale
        for name, scope in TELESCOPES.items()
        if "r" in scope.bands
    }
    assert r_noise["des"] < r_noise["decals"] < r_noise["sdss"]


def test_pixel_noise_in_closed_form():
    # A source of 22.5 mag is 1 nanomaggie; 100 pixels have ten times the noise of one.
    assert pixel_noise(22.5, 5.0, 100 * 0.25**2, 0.25) == pytest.approx(1 / 5 / 10 / 1.25)
    assert pixel_noise(20.0, 10.0, 1.0, 1.0) == pytest.approx(1 / 1.25)
    assert pixel_noise(25.0, 5.0, 4.0, 0.5) == pytest.approx(pixel_noise(22.5, 5.0, 4.0, 0.5) / 10)


def test_noise_in_an_aperture_is_that_of_the_stated_depth():
    scope = dataclasses.replace(
        SDSS, name="deep", sky_noise=(pixel_noise(23.0, 5.0, 36 * SDSS.pixel_scale**2, 0.396),) * 3
    )
    empty = sample_galaxies(24, seed=2).assign(mag=35.0)
    size = 96
    images = linear_images(
        empty, scope, size, neighbours=False, field_of_view=size * scope.pixel_scale
    ).numpy()
    images = images - np.median(images, axis=(2, 3), keepdims=True)
    apertures = images.reshape(24, 3, 16, 6, 16, 6).sum(axis=(3, 5))  # 36 pixels each
    five_sigma = 5 * apertures.std()
    assert 22.5 - 2.5 * np.log10(five_sigma) == pytest.approx(23.0, abs=0.25)


def test_band_offsets():
    g_r, r_i = np.array([0.7, 0.4, 1.4]), np.array([0.4, 0.2, 1.5])
    offsets = band_offsets(g_r, r_i, BANDS)
    assert offsets.shape == (3, 5)
    np.testing.assert_allclose(offsets[0], [0.7, 0.0, -0.4, -0.64, -1.2])
    np.testing.assert_allclose(offsets[:, 4], [-1.2, -0.6, -(1.35 + 1.6 * 1.05)])
    assert band_offsets(g_r[:, None], r_i[:, None], ("h",)).shape == (3, 1, 1)
    with pytest.raises(ValueError, match=r"g, r, i, z, h, got u\. Add its colour"):
        band_offsets(g_r, r_i, ("u", "r"))


def test_one_band_makes_a_grey_picture_sharper_than_from_the_ground():
    truth = sample_galaxies(4, seed=3)
    pictures = render(truth, "hst", 64, field_of_view=10.0)
    assert pictures.shape == (4, 3, 64, 64)
    assert (pictures[:, 0] == pictures[:, 1]).all()
    quiet = {"noise": False, "neighbours": False, "field_of_view": 9.6}
    light = linear_images(truth, "hst", 96, **quiet)
    assert light.shape == (4, 1, 96, 96)
    ground = linear_images(truth, "sdss", 96, **quiet)[:, 1:2]
    peak = (image.amax((1, 2, 3)) / image.sum((1, 2, 3)) for image in (light, ground))
    assert (next(peak) > 1.3 * next(peak)).all()


def test_background_galaxies_are_wrong_partners_and_the_same_in_every_catalog():
    truth = sample_galaxies(2000, seed=4)
    plain = catalog_of(truth, "sdss", seed=1)
    sdss, decals = (catalog_of(truth, name, seed=1, background=True) for name in ("sdss", "decals"))
    # What was there stays as it was.
    kept = sdss[sdss["id"] > -(10**12)].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, plain)
    assert sdss["id"].is_unique
    # A shallow survey sees what a deep one sees, but for what the deep one missed.
    behind, deep = (set(table["id"][table["id"] <= -(10**12)]) for table in (sdss, decals))
    inside_both = {i for i in behind if -(i + 10**12) // 1000 in set(decals["id"])}
    assert len(inside_both & deep) / len(inside_both) == pytest.approx(0.98, abs=0.03)
    # Counts rise as 10^(0.5 mag): a magnitude less depth leaves about a third.
    n_galaxies = (plain["id"] >= 0).sum() / TELESCOPES["sdss"].completeness
    density = 0.28 * np.pi * 10 ** (0.5 * (19.0 - 20.0)) * TELESCOPES["sdss"].completeness
    assert len(behind) / n_galaxies == pytest.approx(density, rel=0.12)
    # Far apart enough to be told from astrometric errors, near enough to be mistaken.
    columns = (sdss["ra"], sdss["dec"], decals["ra"], decals["dec"])
    wrong = {}
    for limit in (1.0, 60.0):
        pairs = cross_match(*columns, limit)
        one = sdss["id"].to_numpy()[pairs["index1"]]
        two = decals["id"].to_numpy()[pairs["index2"]]
        wrong[limit] = (one != two).mean()
    assert wrong[1.0] < 0.001
    assert 0.004 < wrong[60.0] < 0.03


def test_a_catalog_row_depends_on_its_galaxy_alone():
    truth = sample_galaxies(300, seed=5)
    whole = catalog_of(truth, "decals", seed=2, background=True)
    backwards = catalog_of(truth.iloc[::-1], "decals", seed=2, background=True)
    pd.testing.assert_frame_equal(
        whole.sort_values("id", ignore_index=True), backwards.sort_values("id", ignore_index=True)
    )
