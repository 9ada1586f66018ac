"""What notebook 01 defines on the page equals the package's."""

import numpy as np
import pandas as pd

from galhelpers.data.catalogs import FIVE_CLASS_CUTS, select_five_classes
from galhelpers.survey import sample_galaxies, volunteer_votes
from galhelpers.survey.volunteers import cumulative_fractions
from galhelpers.trees import GZ2
from tests.notebooks.pages import definitions

NAME = "01_votes"


def fractions():
    """Those of simulated galaxies, and of some on and beside every threshold."""
    votes = volunteer_votes(sample_galaxies(400, seed=5), GZ2, seed=5)
    table = pd.DataFrame(cumulative_fractions(votes), columns=GZ2.published)
    rows = []
    for cuts in FIVE_CLASS_CUTS:
        for column, threshold in cuts.items():
            for step in (-1e-6, 0, 1e-6):
                rows.append({**dict.fromkeys(cuts, 0.9), column: threshold + step})
    return pd.concat([table, pd.DataFrame(rows).reindex(columns=table.columns).fillna(0.0)])


def test_five_classes_of_the_notebook_are_those_of_the_package():
    five_classes = definitions(NAME, "five_classes")["five_classes"]
    table = fractions()
    ours, theirs = five_classes(table), select_five_classes(table)
    np.testing.assert_array_equal(ours, theirs)
    assert set(theirs) == {-1, 0, 1, 2, 3, 4}


def test_shares_of_those_asked_are_those_of_the_tree():
    share = definitions(NAME, "share_of_those_asked")["share_of_those_asked"]
    table = fractions().iloc[:400]
    theirs = GZ2.to_conditional(table)
    for answer, parent in (("Class3.1", "Class2.2"), ("Class7.1", "Class1.1")):
        place = GZ2.published.index(answer)
        np.testing.assert_allclose(share(table[answer], table[parent]), theirs[:, place])


def test_a_galaxy_is_barred_by_vote_where_most_who_were_asked_say_so():
    space = definitions(NAME, "barred_by_vote", tree=GZ2, seed=3)
    disks = sample_galaxies(200, seed=8)
    for debiased in (False, True):
        votes = volunteer_votes(disks, GZ2, "sdss", seed=3, debiased=debiased)
        shares = GZ2.to_conditional(cumulative_fractions(votes))[:, GZ2.index("bar_yes")]
        called = space["barred_by_vote"](disks, debiased=debiased)
        np.testing.assert_array_equal(called, np.nan_to_num(shares) > 0.5)
        assert 0 < called.sum() < len(disks)
