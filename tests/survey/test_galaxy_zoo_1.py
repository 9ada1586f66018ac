"""Galaxy Zoo 1's six buttons, above all: which way is clockwise?"""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from galhelpers.survey import linear_images, sample_galaxies
from galhelpers.survey.distance import moved_to_redshift
from galhelpers.survey.galaxy_zoo_1 import (
    BUTTONS,
    galaxy_zoo_1_class,
    galaxy_zoo_1_probabilities,
    galaxy_zoo_1_votes,
)


def winding(image, inner, outer):
    """Above 0 where arms, followed outwards, go round clockwise in the picture (rows downwards).

    In the logarithm of the radius and the angle, a logarithmic spiral is a straight stripe; its
    slope is the sign of a frequency of the two-dimensional Fourier transform (Kalnajs 1975).
    """
    centre = (image.shape[0] - 1) / 2
    r = np.geomspace(inner, outer, 48)[:, None]
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)  # from right to down: clockwise
    polar = map_coordinates(
        image, [centre + r * np.sin(angle), centre + r * np.cos(angle)], order=1
    )
    polar = polar - polar.mean(1, keepdims=True)
    polar = polar / (polar.std(1, keepdims=True) + 1e-12)
    arms = np.fft.fft(polar, axis=1)[:, 2:5] * np.hanning(48)[:, None]  # two to four arms
    power = np.abs(np.fft.fft(arms, axis=0)) ** 2
    # exp(i m angle) turns with -m ln r / tan(pitch) where the angle grows outwards.
    return power[-12:].sum() - power[1:13].sum()


def test_the_measure_knows_a_drawn_spiral():
    step = np.arange(128) - 63.5
    r, angle = np.hypot(step[None], step[:, None]), np.arctan2(step[:, None], step[None])
    clockwise = np.cos(2 * (angle - np.log(r) / np.tan(np.deg2rad(20))))  # angle grows outwards
    assert winding(clockwise, 5, 40) > 0
    assert winding(clockwise[:, ::-1], 5, 40) < 0


@pytest.fixture(scope="module")
def spirals():
    truth = sample_galaxies(900, seed=3)
    plain = (truth["arm_strength"] > 0.7) & (truth["cos_inclination"] > 0.6)
    few = truth["n_arms"].between(2, 4) & (truth["flocculence"] < 0.7) & (truth["odd"] == "none")
    return truth[(truth["kind"] == "spiral") & plain & few]


def _seen_clockwise(truth):
    """Sharp, without noise or neighbours: do the arms wind clockwise, followed outwards?"""
    light = linear_images(truth, "decals", 128, noise=False, neighbours=False)[:, 1].numpy()
    scale = 128 / 8.48
    return np.array([winding(image, 0.25 * scale, scale) > 0 for image in light])


def test_clockwise_galaxies_have_arms_that_wind_anticlockwise(spirals):
    near = moved_to_redshift(spirals, 0.02)
    assert len(near) >= 20
    counts = galaxy_zoo_1_votes(near, "decals")
    says_clockwise = counts[:, 1] > counts[:, 2]
    # Arms trail: what turns clockwise has arms that go round the other way.
    assert (says_clockwise != _seen_clockwise(near)).mean() > 0.9
    mirrored = near.assign(arm_turn=-near["arm_turn"])
    assert (says_clockwise == _seen_clockwise(mirrored)).mean() > 0.8


@pytest.mark.real
def test_so_do_real_ones(real_data):
    labels = pd.read_csv(real_data / "gz1_sdss" / "labels.csv")
    share = {}
    for name in ("spiral_clockwise", "spiral_anticlockwise"):
        files = labels.loc[labels["class_name"] == name, "file"][:150]
        pictures = [Image.open(real_data / "gz1_sdss" / file).convert("L") for file in files]
        smooth = [gaussian_filter(np.asarray(picture, float), 1) for picture in pictures]
        share[name] = np.mean([winding(image, 5, 38) > 0 for image in smooth])
    assert share["spiral_clockwise"] < 0.4
    assert share["spiral_anticlockwise"] > 0.6


def test_buttons_are_probabilities_and_follow_truth():
    truth = moved_to_redshift(sample_galaxies(1500, seed=1), 0.04)
    p = pd.DataFrame(galaxy_zoo_1_probabilities(truth), columns=BUTTONS)
    assert (p.to_numpy() > 0).all()
    assert np.allclose(p.sum(axis=1), 1)
    kind, merger = truth["kind"], truth["odd"] == "merger"
    assert p["elliptical"][(kind == "smooth") & (truth["axis_ratio"] > 0.6) & ~merger].mean() > 0.65
    assert p["edge_on"][(kind == "edge_on") & ~merger].mean() > 0.65
    assert p["dont_know"][kind == "artifact"].mean() > 0.7
    assert p["merger"][merger].mean() > 0.6
    assert p["merger"][~merger].mean() < 0.03
    strong = (kind == "spiral") & (truth["arm_strength"] > 0.7)
    assert (p["spiral_clockwise"] + p["spiral_anticlockwise"])[strong & ~merger].mean() > 0.6


def test_counts_scatter_around_the_probabilities():
    truth = sample_galaxies(60, seed=2)
    n = 2000
    counts = galaxy_zoo_1_votes(truth, n_volunteers=n, seed=5, ability_spread=0)
    assert (counts.sum(1) == n).all()
    p = galaxy_zoo_1_probabilities(truth)
    assert (np.abs(counts - n * p) < 5.5 * np.sqrt(n * p * (1 - p)) + 1).all()


def test_votes_depend_on_seed_and_galaxy_alone():
    truth = sample_galaxies(20, seed=6)
    together = galaxy_zoo_1_votes(truth, seed=3)
    alone = [galaxy_zoo_1_votes(truth.iloc[[i]], seed=3) for i in range(20)]
    assert (together == np.concatenate(alone)).all()
    assert (together != galaxy_zoo_1_votes(truth, seed=4)).any()
    assert galaxy_zoo_1_votes(truth[:0]).shape == (0, 6)


def test_most_of_the_survey_is_uncertain_and_both_classes_are_there():
    classes = galaxy_zoo_1_class(galaxy_zoo_1_votes(sample_galaxies(1500, seed=7)))
    assert 0.4 < (classes == "uncertain").mean() < 0.8
    assert (classes == "elliptical").mean() > 0.08
    assert (classes == "spiral").mean() > 0.08


def test_classes_need_four_fifths_of_the_votes():
    counts = np.array(
        [
            [8, 0, 1, 1, 0, 0],
            [7, 1, 1, 1, 0, 0],
            [0, 4, 2, 2, 1, 1],
            [1, 0, 0, 8, 0, 1],
            [0, 0, 1, 0, 0, 9],
            [0, 0, 0, 0, 0, 0],
        ]
    )
    assert galaxy_zoo_1_class(counts).tolist() == [
        "elliptical", "uncertain", "spiral", "spiral", "uncertain", "uncertain",
    ]  # fmt: skip
    assert galaxy_zoo_1_class(counts, 0.95)[0] == "uncertain"


def test_wrong_counts_and_thresholds_are_refused():
    with pytest.raises(ValueError, match=r"shape \(n, 6\).*got \(2, 5\)"):
        galaxy_zoo_1_class(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"above 0\.5 and at most 1, got 0\.4"):
        galaxy_zoo_1_class(np.zeros((2, 6)), 0.4)
    with pytest.raises(ValueError, match="1 volunteer or more"):
        galaxy_zoo_1_votes(sample_galaxies(1), n_volunteers=0)
