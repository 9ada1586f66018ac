"""Arrows point to what is there: places computed from truth against the light that is drawn."""

import numpy as np
import pytest
from matplotlib.text import Text

from galhelpers.survey import linear_images, moved_to_redshift, sample_galaxies
from galhelpers.survey.light import GZ2_FRAME
from galhelpers.views.anatomy import EXAMPLES, choose_examples, landmarks, point_out

SIDE = 256


@pytest.fixture(scope="module")
def many():
    """Some hundred galaxies, near enough to be sharp, in the r band, without noise."""
    truth = moved_to_redshift(sample_galaxies(900, seed=3), 0.02)
    truth = truth[truth["lopsidedness"] < 0.15]
    keep = (truth["kind"] != "smooth") | (truth["odd"] == "merger")
    truth = truth[keep & (truth["kind"] != "artifact")].iloc[:120].reset_index(drop=True)
    light = linear_images(truth, "decals", SIDE, noise=False, neighbours=False)[:, 1].numpy()
    return truth, light, landmarks(truth, GZ2_FRAME)


def at(image, place, half=1):
    column, row = (int(p * SIDE) for p in place)
    return image[row - half : row + half + 1, column - half : column + half + 1].mean()


def mirrored(place):
    """The same place on the other side of the galaxy's shorter axis, roughly: turned by 90."""
    x, y = place[0] - 0.5, place[1] - 0.5
    return 0.5 - y, 0.5 + x


def compared(many, part, other, which):
    truth, light, places = many
    pairs = [
        (at(light[i], places[i][part]), at(light[i], other(places[i])))
        for i in np.flatnonzero(which(truth))
        if part in places[i]
    ]
    assert len(pairs) >= 8
    return np.mean([here > there for here, there in pairs])


def test_the_bulge_is_the_brightest_part(many):
    truth, light, places = many
    for i in np.flatnonzero((truth["bulge_fraction"] > 0.1) & ~truth["edge_on"]):
        assert at(light[i], places[i]["bulge"]) > 0.8 * at(light[i], (0.5, 0.5))


def test_an_arm_is_brighter_than_the_disk_between_the_arms(many):
    def clear(truth):
        return (truth["arm_strength"] > 0.4) & (truth["flocculence"] < 0.4) & (truth["n_arms"] < 4)

    assert compared(many, "spiral arm", lambda p: p["disk"], clear) > 0.9


def test_a_bar_is_brighter_along_than_across(many):
    def clear(truth):
        return (truth["bar_strength"] > 0.5) & (truth["cos_inclination"] > 0.8)

    assert compared(many, "bar", lambda p: mirrored(p["bar"]), clear) > 0.9


def test_a_disk_from_the_side_lies_where_the_arrow_points(many):
    assert compared(many, "disk", lambda p: mirrored(p["disk"]), lambda t: t["edge_on"]) == 1


def test_a_dust_lane_is_darker_than_without_dust(many):
    truth, light, places = many
    dusty = np.flatnonzero(truth["dust"] > 0.3)
    clean = linear_images(
        truth.iloc[dusty].assign(dust=0.0), "decals", SIDE, noise=False, neighbours=False
    )[:, 1].numpy()
    assert len(dusty) >= 3
    for image, i in zip(clean, dusty, strict=True):
        kept = light[i] / image
        assert at(kept, places[i]["dust lane"]) < 0.9
        assert at(kept, places[i]["dust lane"]) < kept.mean() - 0.08


def test_the_second_galaxy_of_a_merger_is_where_the_arrow_points():
    truth = moved_to_redshift(sample_galaxies(900, seed=3), 0.02)
    truth = truth[truth["odd"] == "merger"].iloc[:12].reset_index(drop=True)
    both = linear_images(truth, "decals", SIDE, noise=False, neighbours=False)[:, 1].numpy()
    alone = linear_images(
        truth.assign(companion_flux=0.0), "decals", SIDE, noise=False, neighbours=False
    )[:, 1].numpy()
    assert len(truth) >= 8
    for image, places in zip(both - alone, landmarks(truth, GZ2_FRAME), strict=True):
        brightest = np.unravel_index(image.argmax(), image.shape)
        column, row = (p * SIDE for p in places["second galaxy"])
        assert np.hypot(brightest[0] - row, brightest[1] - column) < 4


def test_a_galaxy_has_only_the_parts_it_has(many):
    truth, _, places = many
    for (_, galaxy), parts in zip(truth.iterrows(), places, strict=True):
        assert ("bar" in parts) == (galaxy["bar_strength"] > 0)
        assert ("spiral arm" in parts) == (galaxy["n_arms"] > 0)
        assert ("second galaxy" in parts) == (galaxy["odd"] == "merger")
    smooth = truth.assign(kind="smooth", odd="none")
    assert landmarks(smooth, GZ2_FRAME) == [{}] * len(smooth)


def test_a_wider_field_brings_places_nearer_to_the_middle(many):
    truth, _, places = many
    wide = landmarks(truth, 2 * GZ2_FRAME)
    here = np.array([part["disk"] for part in places if "disk" in part]) - 0.5
    there = np.array([part["disk"] for part in wide if "disk" in part]) - 0.5
    np.testing.assert_allclose(here, 2 * there)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_examples_are_what_they_are_called(seed):
    rows = choose_examples(sample_galaxies(2500, seed))
    assert list(rows.index) == list(EXAMPLES)
    barred = rows.loc["spiral galaxy with a bar"]
    assert (barred["bar_strength"] > 0.5, barred["kind"]) == (True, "spiral")
    assert rows.loc["spiral galaxy without a bar", "bar_strength"] == 0
    assert rows.loc["disk seen edge-on", "dust"] > 0.5
    assert rows.loc["merger", "odd"] == "merger"
    few = choose_examples(sample_galaxies(2500, seed).query("kind == 'smooth'"))
    assert list(few.index) == ["smooth galaxy"]


def test_words_do_not_cover_each_other_and_stay_in_the_picture():
    many_words = {
        "bulge": (0.5, 0.5), "bar": (0.56, 0.5), "spiral arm": (0.6, 0.51), "disk": (0.6, 0.55),
    }  # fmt: skip
    fig = point_out(np.zeros((2, 3, 64, 64), np.uint8), ["a", "b"], [many_words, {}], columns=2)
    fig.draw_without_rendering()
    texts = fig.axes[0].texts
    assert [text.get_text() for text in texts] == ["bar", "spiral arm", "disk", "bulge"]
    boxes = [Text.get_window_extent(text) for text in texts]  # of the words, without arrows
    frame = fig.axes[0].get_window_extent()
    for i, box in enumerate(boxes):
        assert frame.x0 <= box.x0 < box.x1 <= frame.x1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    for text in texts:
        assert text.xy == many_words[text.get_text()]


def test_arguments_that_do_not_fit_are_refused():
    black = np.zeros((1, 3, 64, 64), np.uint8)
    with pytest.raises(ValueError, match="2 titles"):
        point_out(black, ["a", "b"], [{}])
    with pytest.raises(ValueError, match="'bar'"):
        point_out(black, ["a"], [{"bar": (1.2, 0.5)}])
