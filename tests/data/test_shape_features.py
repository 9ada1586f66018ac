"""Nine numbers of a galaxy, on pictures whose numbers are known."""

import numpy as np

from galhelpers.data.shape_features import NAMES, shape_features


def galaxy(wide, high, size=65, colour=(200, 150, 100), shift=0):
    """Draw a Gaussian blob of given widths in pixels, uint8 (3, size, size)."""
    y, x = np.mgrid[:size, :size] - size // 2
    light = np.exp(-(((x - shift) / wide) ** 2) / 2 - ((y / high) ** 2) / 2)
    return (light * np.array(colour)[:, None, None]).round().astype(np.uint8)


def measured(*pictures):
    return dict(zip(NAMES, shape_features(np.stack(pictures)).T, strict=True))


def test_one_row_a_galaxy_and_nine_columns():
    assert shape_features(np.stack([galaxy(6, 6)] * 3)).shape == (3, len(NAMES)) == (3, 9)


def test_round_and_elongated():
    found = measured(galaxy(6, 6), galaxy(9, 3), galaxy(3, 9))
    round_, flat, tall = found["ellipticity"]
    assert round_ < 0.01
    # Of a Gaussian the second moments are the widths squared: (81 - 9) / (81 + 9).
    np.testing.assert_allclose([flat, tall], 0.8, atol=0.03)


def test_small_galaxies_are_concentrated():
    found = measured(galaxy(3, 3), galaxy(9, 9))
    for name in NAMES[4:7]:
        small, large = found[name]
        assert small > large
    assert found["size"][0] < found["size"][1]


def test_asymmetry_of_a_galaxy_beside_the_centre():
    whole, moved = measured(galaxy(6, 6), galaxy(6, 6, shift=4))["asymmetry"]
    assert whole < 0.01
    assert moved > 0.3


def test_colour_is_that_of_the_central_pixels():
    found = measured(galaxy(9, 9, colour=(200, 100, 50)))
    rgb = np.array([found[name][0] for name in NAMES[:3]])
    np.testing.assert_allclose(rgb / rgb[0], [1, 0.5, 0.25], atol=0.02)


def test_an_empty_picture_has_numbers_too():
    assert np.isfinite(shape_features(np.zeros((1, 3, 32, 32), np.uint8))).all()
