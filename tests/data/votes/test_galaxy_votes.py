"""Votes of any survey in one shape: the right tree, the right rows, or what is missing."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import load_manifest
from galhelpers.data.sources.simulated import load_simulated
from galhelpers.data.votes.galaxy_votes import votes_of
from galhelpers.survey import sample_galaxies
from galhelpers.survey.volunteers import volunteer_votes
from galhelpers.trees import DECALS, GZ2, TREES

N = 12


@pytest.fixture(scope="module")
def decals(tmp_path_factory):
    return load_simulated(tmp_path_factory.mktemp("data"), N, 3, "decals", 16)


def galaxy_set(name="some_set", n=N, **tables):
    catalog = pd.DataFrame({"id": [f"g{i}" for i in range(n)], "file": "", "class_id": -1})
    return GalaxySet(name, catalog, tables=tables)


def numbers(tree, n=N, seed=0):
    values = np.random.default_rng(seed).integers(0, 40, (n, tree.n_answers))
    return pd.DataFrame(values, columns=tree.columns)


def test_simulated_votes_are_those_of_the_volunteers(decals):
    truth = sample_galaxies(N, seed=3)
    for name, tree in ((None, DECALS), ("decals", DECALS), ("gz2", GZ2)):
        found, votes = votes_of(decals, name)
        assert found is tree
        assert votes.dtype == np.float64
        np.testing.assert_array_equal(votes, volunteer_votes(truth, tree, "decals", seed=3))


@settings(deadline=None)
@given(rows=st.permutations(range(N)), n=st.integers(1, N))
def test_tables_that_name_their_galaxies_follow_the_selection(decals, rows, n):
    some = decals.select(rows[:n])
    for tree in ("decals", "gz2"):
        whole = votes_of(decals, tree)[1]
        np.testing.assert_array_equal(votes_of(some, tree)[1], whole[rows[:n]])


@settings(deadline=None)
@given(rows=st.permutations(range(N)))
def test_tables_without_names_follow_it_too(rows):
    table = numbers(GZ2)
    some = galaxy_set(votes_gz2=table).select(rows[:5])
    np.testing.assert_array_equal(votes_of(some)[1], table.to_numpy()[rows[:5]])


@pytest.mark.parametrize("name", TREES)
def test_every_tree_by_its_table(name):
    table = numbers(TREES[name])[TREES[name].columns[::-1]]  # found by name, in the tree's order
    tree, votes = votes_of(galaxy_set(**{f"votes_{name}": table}))
    assert tree is TREES[name]
    np.testing.assert_array_equal(votes, table[tree.columns])


def test_of_several_trees_decals_comes_first_and_then_gz2():
    tables = {f"votes_{name}": numbers(TREES[name]) for name in reversed(TREES)}
    assert votes_of(galaxy_set(**tables))[0] is DECALS
    del tables["votes_decals"]
    assert votes_of(galaxy_set(**tables))[0] is GZ2
    assert votes_of(galaxy_set(**tables), "gz_candels")[0] is TREES["gz_candels"]
    # The simulated survey's own table stands in where there is none of the tree's name.
    votes = numbers(GZ2, seed=1)
    assert (
        votes_of(galaxy_set(**tables, votes=votes), "gz2")[1][0, 0] == tables["votes_gz2"].iat[0, 0]
    )
    del tables["votes_gz2"]
    np.testing.assert_array_equal(votes_of(galaxy_set(**tables, votes=votes))[1], votes)


def test_weighted_votes_stay_fractional():
    votes = votes_of(galaxy_set(votes_gz2=numbers(GZ2) + 0.25))[1]
    assert (votes % 1 == 0.25).all()


def test_fractions_alone_are_refused_with_the_sets_that_have_votes():
    kaggle = galaxy_set("kaggle_galaxy_zoo")
    kaggle.fractions = pd.DataFrame(0.5, index=range(N), columns=GZ2.published)
    with pytest.raises(ValueError, match=r"kaggle_galaxy_zoo has no votes\. It has fractions only"):
        votes_of(kaggle)
    with pytest.raises(ValueError, match=r"with votes: simulated \(gz2\), .*gz_decals \(decals\)"):
        votes_of(kaggle)
    shares = galaxy_set("galaxy_zoo_1", fractions_gz1=numbers(TREES["gz1"]))
    with pytest.raises(ValueError, match="It has fractions only"):
        votes_of(shares)
    with pytest.raises(ValueError, match=r"galaxy10_sdss has no votes\. It has classes only"):
        votes_of(galaxy_set("galaxy10_sdss"))


def test_another_tree_than_there_is_is_refused(decals):
    with pytest.raises(ValueError, match=r"no votes on the questions of 'gz_candels'\. .* decals"):
        votes_of(decals, "gz_candels")
    with pytest.raises(KeyError, match="There is no tree 'gz3'"):
        votes_of(decals, "gz3")


def test_a_galaxy_without_a_row_is_refused():
    table = numbers(GZ2, N - 1).assign(id=[f"g{i}" for i in range(N - 1)])
    with pytest.raises(ValueError, match=r"1 of 12 galaxies have no row .* the first is g11"):
        votes_of(galaxy_set(votes_gz2=table))


def test_the_manifest_promises_votes_to_the_notebook_on_votes():
    for entry in load_manifest().datasets:
        assert entry.has_votes or "06_bayesian_votes" not in entry.notebooks, entry.name
        assert entry.has_fractions or not entry.has_votes, entry.name
