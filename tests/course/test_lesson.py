"""A notebook's galaxies: its own, and the simulated survey as another telescope sees it."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from galhelpers.course.lesson import Lesson
from galhelpers.data.votes import votes_of
from galhelpers.trees import DECALS


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    """Make a lesson on a data set; the default data folder is ``default``, its own ``own``."""
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "default"))

    def make(dataset, data_root="own", seed=4):
        root = str(tmp_path / data_root) if data_root else ""
        made = Lesson("08_bayesian_votes", "quick", dataset, root, seed, str(tmp_path / "out"))
        made.profile = replace(made.profile, n_simulated=5)  # 2,500 take a minute
        return made

    return make


@pytest.mark.parametrize(
    ("dataset", "data_root", "expected"),
    [
        ("simulated", "own", "own"),
        ("simulated", "", "default"),
        ("gz_decals", "own", "default"),
        ("gz2_votes", "", "default"),
    ],
)
def test_where_the_simulated_survey_lies(lesson, tmp_path, dataset, data_root, expected):
    galaxies = lesson(dataset, data_root).simulated("decals", n=3, size=32, seed=1)
    assert galaxies.files[0].is_relative_to(tmp_path / expected / "simulated")
    assert galaxies.provenance["telescope"] == "decals"
    assert (galaxies.provenance["n"], galaxies.provenance["seed"]) == (3, 1)
    with Image.open(galaxies.files[0]) as image:
        assert image.size == (32, 32)
    tree, votes = votes_of(galaxies)
    assert tree is DECALS
    assert votes.shape == (3, 34)


def test_by_default_numbers_are_those_of_the_profile_and_the_run(lesson):
    this = lesson("simulated")
    assert len(this.simulated()) == 5
    assert this.simulated().provenance["seed"] == 4
    assert this.simulated().files[0].parents[1].name.endswith("-n5-seed4")
    with Image.open(this.simulated().files[0]) as image:
        assert image.size == (424, 424)


def test_the_telescope_changes_the_pictures_and_not_the_sky(lesson):
    this = lesson("simulated")
    sdss, decals = (this.simulated(telescope, n=2, size=64) for telescope in ("sdss", "decals"))
    assert sdss.catalog[["ra", "dec"]].equals(decals.catalog[["ra", "dec"]])
    first, second = (np.asarray(Image.open(g.files[0])).astype(float) for g in (sdss, decals))
    assert np.abs(first - second).mean() > 0.5


def test_what_there_is_not_is_refused(lesson):
    with pytest.raises(ValueError, match="keck"):
        lesson("simulated").simulated("keck")
    with pytest.raises(ValueError, match="Expected n of 1 or more, got 0"):
        lesson("simulated").simulated("decals", n=0)


@pytest.mark.real
def test_real_votes_through_a_lesson(lesson, real_data, tmp_path):
    this = Lesson("08_bayesian_votes", "quick", "gz2_votes", str(real_data), 0, str(tmp_path / "o"))
    galaxies = this.load()
    assert len(galaxies) == 750
    assert votes_of(galaxies)[1].shape == (750, 37)
