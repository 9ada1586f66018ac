"""Moving galaxies: sizes and magnitudes against closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad

from galhelpers.survey import sample_galaxies
from galhelpers.survey.distance import moved_to_redshift

SPEED_OF_LIGHT = 299792.458  # km/s


def _luminosity_distance(z):
    """Megaparsecs, by numerical integration of the Friedmann equation (Hogg 1999, eq. 15, 21)."""
    integral, _ = quad(lambda x: 1 / np.sqrt(0.3 * (1 + x) ** 3 + 0.7), 0, z)
    return (1 + z) * SPEED_OF_LIGHT / 70.0 * integral


def _surface_brightness(truth):
    return truth["mag"] + 2.5 * np.log10(np.pi * truth["petro_r90"] ** 2)


@pytest.mark.parametrize("z", [0.02, 0.3, 1.0, 2.5, 9.0])
def test_sizes_and_magnitudes_follow_the_distances(z):
    truth = sample_galaxies(20, seed=1)
    moved = moved_to_redshift(truth, z)
    old = np.array([_luminosity_distance(x) for x in truth["redshift"]])
    new = _luminosity_distance(z)
    assert np.allclose(moved["mag"] - truth["mag"], 5 * np.log10(new / old), atol=1e-6)
    angular = (old / (1 + truth["redshift"]) ** 2) / (new / (1 + z) ** 2)
    assert np.allclose(moved["petro_r90"] / truth["petro_r90"], angular, rtol=1e-6)
    assert (moved["redshift"] == z).all()


def test_nearby_it_is_the_law_of_hubble_and_its_first_correction():
    truth = sample_galaxies(3, seed=2).assign(redshift=0.001)
    q0 = 1.5 * 0.3 - 1  # deceleration of a flat universe

    def distance(z):  # cz / H0 (1 + (1 - q0) z / 2), Weinberg 1972, eq. 14.6.8
        return z * (1 + (1 - q0) * z / 2)

    moved = moved_to_redshift(truth, 0.004)
    fainter = 5 * np.log10(distance(0.004) / distance(0.001))
    assert np.allclose(moved["mag"] - truth["mag"], fainter, atol=5e-5)
    # Without the correction the same comparison fails.
    assert not np.allclose(moved["mag"] - truth["mag"], 5 * np.log10(4), atol=5e-4)


@pytest.mark.parametrize("z", [0.05, 0.8, 3.0])
def test_surface_brightness_falls_with_the_fourth_power(z):
    truth = sample_galaxies(50, seed=3)
    dimming = _surface_brightness(moved_to_redshift(truth, z)) - _surface_brightness(truth)
    expected = 2.5 * np.log10(((1 + z) / (1 + truth["redshift"])) ** 4)
    assert np.allclose(dimming, expected, atol=1e-9)


def test_beyond_a_redshift_of_1_6_galaxies_look_larger_again():
    truth = sample_galaxies(1, seed=4)
    sizes = [float(moved_to_redshift(truth, z)["petro_r90"].iloc[0]) for z in (0.5, 1.6, 5.0)]
    assert sizes[0] > sizes[1]
    assert sizes[2] > 1.2 * sizes[1]


def test_moving_twice_is_moving_once_and_the_rest_stays():
    truth = sample_galaxies(40, seed=5)
    before = truth.copy()
    there = np.linspace(0.1, 2.0, 40)
    moved = moved_to_redshift(truth, there)
    pd.testing.assert_frame_equal(truth, before)
    pd.testing.assert_frame_equal(moved_to_redshift(moved, truth["redshift"].to_numpy()), truth)
    same = [name for name in truth if name not in ("petro_r90", "mag", "redshift")]
    pd.testing.assert_frame_equal(moved[same], truth[same])
    one = moved_to_redshift(truth.iloc[[7]], there[7])
    pd.testing.assert_frame_equal(one, moved.iloc[[7]])


def test_no_galaxies_stay_none():
    assert len(moved_to_redshift(sample_galaxies(0), 1.0)) == 0


@pytest.mark.parametrize("z", [0.0, -0.5, 10.5, np.nan, np.inf])
def test_an_impossible_redshift_is_refused(z):
    truth = sample_galaxies(3)
    with pytest.raises(ValueError, match="new redshift to be above 0 and at most 10"):
        moved_to_redshift(truth, z)
    with pytest.raises(ValueError, match=r"new redshift .* in row 2"):
        moved_to_redshift(truth, np.array([0.1, 0.2, z]))
    with pytest.raises(ValueError, match="redshift in the table to be above 0"):
        moved_to_redshift(truth.assign(redshift=z), 0.1)


def test_a_wrong_number_of_redshifts_is_refused():
    with pytest.raises(ValueError, match=r"each of the 3 galaxies, got an array of shape \(2,\)"):
        moved_to_redshift(sample_galaxies(3), np.array([0.1, 0.2]))
