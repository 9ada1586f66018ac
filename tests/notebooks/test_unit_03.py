"""Code on the page of unit 03 equals the package's."""

from dataclasses import replace

import numpy as np
import torch

from galhelpers.data.augment import affine_matrix, warp
from galhelpers.exercises.n03_pixel_values import stretch as stretch_of_exercise
from galhelpers.learning.preparations import show_field
from galhelpers.survey import get_telescope, stretch
from tests.notebooks.pages import definitions

NAME = "03_preprocessing"


def test_stretch_equals_the_surveys():
    ours = definitions(NAME, "stretch")["stretch"]
    plain = replace(
        get_telescope("sdss"), scales=(1.0, 1.0, 1.0), black=(0.0, 0.0, 0.0), brightness=1.0
    )
    light = np.random.default_rng(0).gamma(0.3, 2.0, (3, 20, 24))
    theirs = stretch(torch.from_numpy(light)[None], torch.ones(1, 1, 1, 1), plain)[0]
    assert (theirs.amax(dim=0) == 1).any()  # some pixels are too bright: their colour is kept
    np.testing.assert_allclose(ours(light, plain.softening), theirs, rtol=1e-6, atol=1e-7)


def test_stretch_is_that_of_the_exercise_in_other_units():
    ours = definitions(NAME, "stretch")["stretch"]
    light = np.random.default_rng(1).uniform(0, 0.1, (3, 8, 9))
    np.testing.assert_allclose(8 * ours(light, 8), stretch_of_exercise(light, 1 / 8), rtol=1e-4)


def test_view_equals_the_packages_warp():
    ours = definitions(NAME, "view")["view"]
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(0))
    for angle, zoom, mirror in [(0, 1.0, False), (90, 1.0, False), (33.0, 1.25, True)]:
        numbers = [torch.tensor([float(number)]) for number in (angle, zoom)]
        matrix = affine_matrix(*numbers, torch.zeros(1, 2), torch.tensor([mirror]))
        theirs = warp(image[None], matrix, 32)[0]
        torch.testing.assert_close(ours(image, angle, zoom, mirror), theirs, atol=2e-4, rtol=1e-4)
    turned = ours(image, 90)
    torch.testing.assert_close(turned, torch.rot90(image, 1, (1, 2)), atol=1e-4, rtol=1e-4)


def test_middle_is_what_the_package_shows_of_a_field():
    middle = definitions(NAME, "middle")["middle"]
    frames = np.random.default_rng(2).integers(0, 255, (2, 3, 80, 80), dtype=np.uint8)
    np.testing.assert_array_equal(middle(frames, 0.5), show_field(frames, size=40, field=0.5))


def test_means_and_skipped_pixels():
    space = definitions(NAME, "every_fifth", "mean_of_25")
    picture = np.random.default_rng(3).integers(0, 255, (3, 20, 25)).astype(np.uint8)
    averaged = space["mean_of_25"](picture)
    assert averaged.shape == space["every_fifth"](picture).shape == (3, 4, 5)
    assert averaged[1, 2, 3] == int(picture[1, 10:15, 15:20].mean())
    assert space["every_fifth"](picture)[1, 2, 3] == picture[1, 10, 15]
