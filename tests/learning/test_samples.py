"""Which galaxies a network learns from, and what is asked of it."""

import numpy as np
import pandas as pd
import pytest
import torch

from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.data.simulated import load_simulated
from galhelpers.learning.recipes import NETWORKS
from galhelpers.learning.samples import ANSWERS, Sample, join, read_sample
from galhelpers.survey import cumulative_fractions
from galhelpers.trees import DECALS, GZ2

N, SEED, FRAME = 40, 5, 32


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data folder; the simulated survey is made in it once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def asked(root, monkeypatch):
    """Ask for the answers of one name, of the simulated galaxies."""
    monkeypatch.setenv("GALHELPERS_DATA", str(root))

    def ask(name):
        telescope = "decals" if name == "votes_decals" else "sdss"
        return read_sample(Sample("simulated", name, N, SEED, telescope, FRAME))

    return ask


def sky(root):
    return load_simulated(root, N, SEED, "sdss", FRAME)


@pytest.mark.parametrize("name", sorted(set(ANSWERS) - {"labels"}))
def test_every_answer_belongs_to_its_galaxy(asked, name):
    found = asked(name)
    assert found.name == "simulated"
    assert len(found) == len(found.ids) == len(found.targets) > 0
    assert all(file.stem == one for file, one in zip(found.files, found.ids, strict=True))
    if found.task == "classes":
        assert found.targets.dtype == torch.int64
        assert set(found.targets.tolist()) <= set(range(len(found.classes)))
        assert np.array_equal(found.strata, found.targets)
    else:
        assert found.targets.shape == (len(found), len(found.classes))
        assert not found.strata.any()


def test_classes_are_those_that_the_fractions_select(asked, root):
    galaxies = sky(root)
    number = select_five_classes(galaxies.fractions)
    found = asked("five_classes")
    assert found.classes == FIVE_CLASSES
    assert found.targets.tolist() == number[number >= 0].tolist()
    two = asked("smooth_or_spiral")
    assert two.classes == ("smooth", "spiral")
    assert two.targets.tolist() == [int(one == 4) for one in number if one in (0, 1, 4)]


def test_spirals_of_galaxy_zoo_1_are_what_four_in_five_say(asked, root):
    found = asked("elliptical_or_spiral")
    votes = sky(root).tables["votes_galaxy_zoo_1"].set_index("GalaxyID")
    shares = votes.div(votes.sum(axis=1), axis=0)
    ellipticals = found.ids[found.targets.numpy() == 0]
    assert (shares.loc[ellipticals.astype(int)].max(axis=1) > 0.5).all()
    assert set(found.ids) < set(votes.index.astype(str))  # the uncertain ones are not asked for


def test_fractions_and_votes_fit_their_trees(asked, root):
    fractions = asked("fractions")
    assert fractions.classes == tuple(GZ2.published)
    assert not GZ2.check(fractions.targets.double().numpy(), atol=1e-4)
    for name, tree in (("votes_gz2", GZ2), ("votes_decals", DECALS)):
        votes = asked(name)
        assert (votes.tree, votes.classes) == (tree.name, tuple(tree.columns))
        assert torch.equal(votes.targets, votes.targets.round())
    given = cumulative_fractions(asked("votes_gz2").targets.numpy())
    assert np.abs(given - fractions.targets.numpy()).max() < 1e-4


def test_a_sample_of_real_galaxies_is_the_same_each_time(real_data):
    whole = read_sample(Sample("decals_rings", "labels"), real_data)
    assert whole.classes == ("no_ring", "ring")
    assert torch.bincount(whole.targets).tolist() == [175, 175]
    assert all(file.is_file() for file in whole.files)
    some = read_sample(Sample("decals_rings", "labels", n=50, seed=3), real_data)
    again = read_sample(Sample("decals_rings", "labels", n=50, seed=3), real_data)
    other = read_sample(Sample("decals_rings", "labels", n=50, seed=4), real_data)
    assert some.ids.tolist() == again.ids.tolist() != other.ids.tolist()
    assert len(some) == 50
    label = dict(zip(whole.ids, whole.targets.tolist(), strict=True))
    assert [label[one] for one in some.ids] == some.targets.tolist()


def test_real_votes_are_asked_for(real_data):
    votes = read_sample(Sample("gz2_votes", "votes_gz2"), real_data)
    assert (len(votes), votes.task) == (750, "votes")
    assert votes.targets.shape == (750, GZ2.n_answers)


def test_fractions_are_refused_where_there_are_none(real_data):
    with pytest.raises(ValueError, match="decals_rings has no 37 vote fractions"):
        read_sample(Sample("decals_rings", "fractions"), real_data)


def test_a_missing_data_set_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="`galhelpers fetch gz2_five_class`"):
        read_sample(Sample("gz2_five_class", "five_classes"), tmp_path)


def test_joined_samples_keep_their_galaxies_apart(asked):
    one = asked("five_classes")
    both = join([one, one])
    assert len(both) == 2 * len(one)
    assert len(set(both.ids)) == len(both)
    assert torch.equal(both.targets, torch.cat([one.targets] * 2))
    assert both.name == "simulated"
    assert join([one]) is one


def test_galaxies_that_the_simulation_was_fitted_to_judge_nothing(real_data):
    table = pd.read_csv(real_data / "gz2_five_class" / "labels.csv").sample(frac=1, random_state=0)
    judged = read_sample(NETWORKS["five_classes_sky"].judged, real_data)
    assert len(judged) == 6_000
    assert not set(table["GalaxyID"].astype(str)[:6_000]) & set(judged.ids)
