"""A galaxy to order: every choice shows in the picture, and both people and network answer."""

import subprocess
import sys
import time

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from galhelpers.data.images import read_image
from galhelpers.learning.networks import load_network
from galhelpers.survey import TELESCOPES
from galhelpers.trees import GZ2
from galhelpers.views.make_galaxy import (
    LIMITS,
    SHOWN,
    SIZE,
    GalaxyMaker,
    _reduced,
    make_galaxy,
)

CHANGES = {
    "inclination": 70.0, "bulge": 0.6, "bar": 0.0, "arms": 0.2, "pitch": 35.0, "redshift": 0.1,
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    return load_network("start")


@pytest.fixture(scope="module")
def usual(network):
    return make_galaxy(network=network)


def share(galaxy, question, answer, who="volunteers"):
    table = galaxy.answers().set_index(["question", "answer"])
    return table.loc[(question, answer), who]


@pytest.mark.parametrize("name", LIMITS)
def test_every_choice_changes_the_picture(usual, name):
    other = make_galaxy(**{name: CHANGES[name]})
    assert other.pixels.shape == usual.pixels.shape == (3, SIZE, SIZE)
    middle = slice(SIZE // 4, -SIZE // 4)
    difference = usual.pixels[:, middle, middle].astype(float) - other.pixels[:, middle, middle]
    assert np.abs(difference).max() > 25
    again = make_galaxy(**{name: CHANGES[name]})
    np.testing.assert_array_equal(again.pixels, other.pixels)


def test_the_telescope_changes_the_picture_and_the_network_is_excused(usual, network):
    assert usual.warning == ""
    for telescope in {*TELESCOPES} - {"sdss"}:
        other = make_galaxy(telescope=telescope, network=network)
        assert np.abs(other.pixels.astype(float) - usual.pixels).max() > 25
        assert f"not of {telescope}" in other.warning
        assert other.warning in other.describe()


def test_volunteers_see_what_is_there(usual):
    assert share(usual, "smooth or featured?", "features or disk") > 0.8
    assert share(usual, "a bar?", "yes") > 0.7
    assert share(make_galaxy(bar=0.0), "a bar?", "yes") < 0.4
    assert share(make_galaxy(arms=0.0), "spiral arms?", "yes") < 0.5
    assert share(make_galaxy(pitch=8.0), "how tightly wound?", "tight") > 0.7
    assert share(make_galaxy(pitch=38.0), "how tightly wound?", "loose") > 0.7
    assert share(make_galaxy(inclination=88.0), "a disk seen edge-on?", "yes") > 0.8
    assert share(make_galaxy(bulge=1.0), "smooth or featured?", "smooth") > 0.6


def test_fewer_volunteers_see_a_bar_further_away_though_it_is_there():
    near, far = make_galaxy(redshift=0.02), make_galaxy(redshift=0.2)
    assert near.is_barred
    assert far.is_barred
    assert share(far, "a bar?", "yes") < share(near, "a bar?", "yes") / 2


def test_the_network_answers_from_the_picture(usual, network):
    assert usual.network.shape == usual.volunteers.shape == (37,)
    assert share(usual, "smooth or featured?", "features or disk", "network") > 0.8
    smooth = make_galaxy(bulge=1.0, network=network)
    assert share(smooth, "smooth or featured?", "smooth", "network") > 0.5
    barred, plain = share(usual, "a bar?", "yes", "network"), make_galaxy(bar=0.0, network=network)
    assert barred > share(plain, "a bar?", "yes", "network") + 0.1
    assert make_galaxy().network is None
    assert make_galaxy().answers()["network"].isna().all()


def test_a_question_that_nobody_was_asked_has_no_share():
    edge_on = make_galaxy(inclination=90.0).answers()
    unasked = edge_on[edge_on["asked"] == 0]
    assert "a bar?" in set(unasked["question"])
    assert unasked["volunteers"].isna().all()
    asked = edge_on[edge_on["asked"] > 0]
    assert asked["volunteers"].between(0, 1).all()
    assert "nobody was asked" in make_galaxy(inclination=90.0).describe()


def test_every_column_that_is_shown_is_an_answer_of_its_tree():
    columns = [column for answers in SHOWN.values() for column in answers.values()]
    assert set(columns) <= set(GZ2.columns)
    for answers in SHOWN.values():
        assert len({column.split("_")[0] for column in answers.values()}) == 1


def test_a_network_gets_the_picture_as_it_gets_a_file(usual, tmp_path):
    from PIL import Image

    file = tmp_path / "galaxy.png"
    Image.fromarray(usual.pixels.transpose(1, 2, 0)).save(file)
    np.testing.assert_array_equal(_reduced(usual.pixels, 64), read_image(file, 64))


def test_a_picture_is_drawn_in_well_under_a_third_of_a_second(network):
    make_galaxy(network=network)
    seconds = []
    for redshift in (0.01, 0.02, 0.03, 0.05, 0.1):
        start = time.thread_time()
        make_galaxy(redshift=redshift, network=network)
        seconds.append(time.thread_time() - start)
    assert np.median(seconds) < 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [({"inclination": 91}, "inclination from 0 to 90"), ({"bulge": -0.1}, "bulge from 0 to 1"),
     ({"redshift": 0.5}, "redshift from 0.01 to 0.25"), ({"pitch": float("nan")}, "pitch from 7"),
     ({"telescope": "jwst"}, "telescope of")],
)  # fmt: skip
def test_what_cannot_be_made_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        make_galaxy(**change)


def test_moving_a_slider_draws_another_galaxy(network):
    maker = GalaxyMaker(network, caption="Move.", bar=0.9, redshift=0.03)
    picture, words = maker.picture.value, maker.words.value
    assert "data:image/png;base64," in picture
    assert "redshift 0.03" in picture.split("src=")[0]  # the alt text
    assert "40 of 40 asked" in words
    assert "network" in words
    maker.sliders["redshift"].value = 0.2
    assert maker.picture.value != picture
    assert maker.words.value != words
    expected = make_galaxy(bar=0.9, redshift=0.2, network=network)
    np.testing.assert_array_equal(maker.galaxy.pixels, expected.pixels)
    maker.telescope.value = "decals"
    assert "not of decals" in maker.words.value
    assert "decals" in repr(maker)


def test_without_a_browser_the_first_galaxy_is_a_picture_with_alt_text(network):
    maker = GalaxyMaker(network, caption="Move the sliders.", redshift=0.03)
    first = maker.galaxy
    maker.sliders["redshift"].value = 0.2
    InteractiveShell.instance()
    with capture_output() as captured:
        maker._ipython_display_()
    picture, note = captured.outputs
    (kind,) = {"image/png", "image/jpeg"} & {*picture.data}
    assert len(picture.data[kind]) > 10_000
    assert picture.metadata[kind]["alt"] == first.describe()
    assert "application/vnd.jupyter.widget-view+json" in picture.data
    assert "Move the sliders." in note.data["text/markdown"]


def test_a_figure_is_drawn_without_a_display_or_a_notebook(tmp_path):
    script = (
        "from galhelpers.views.make_galaxy import GalaxyMaker, make_galaxy\n"
        "galaxy = make_galaxy(redshift=0.05)\n"
        f"galaxy.figure().savefig({str(tmp_path / 'galaxy.png')!r})\n"
        "print(galaxy.describe())\n"
        "GalaxyMaker(caption='c')._ipython_display_()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "at redshift 0.05, seen by sdss" in done.stdout
    assert (tmp_path / "galaxy.png").stat().st_size > 20_000
