"""Simulated volunteers: votes obey the tree, follow what can be seen, resemble real ones."""

import numpy as np
import pandas as pd
import pytest

from galhelpers.data.catalogs import select_five_classes
from galhelpers.survey import (
    answer_probabilities,
    cumulative_fractions,
    sample_galaxies,
    volunteer_votes,
)
from galhelpers.survey.volunteers import visibility
from galhelpers.trees import CANDELS, DECALS, GZ2

# Of 61,578 galaxies in Kaggle's table; round, in-between, cigar, edge-on, spiral.
REAL_SHARES = np.array([8434, 8069, 578, 3903, 7806]) / 61578


@pytest.fixture(scope="module")
def truth():
    return sample_galaxies(2000, seed=0)


@pytest.mark.parametrize("tree", [GZ2, DECALS], ids=lambda tree: tree.name)
def test_votes_obey_the_tree(tree, truth):
    counts = volunteer_votes(truth[:400], tree, seed=1)
    assert counts.shape == (400, tree.n_answers)
    assert (counts[:, tree.slices["smooth-or-featured"]].sum(1) == 40).all()
    assert tree.check(cumulative_fractions(counts, tree), atol=1e-12) == []
    for question in tree.questions:  # nobody is asked twice, or who did not lead there
        asked = counts[:, tree.slices[question.name]].sum(1)
        parents = [tree.index(parent) for parent in question.parents]
        assert (asked == (counts[:, parents].sum(1) if parents else 40)).all()


@pytest.mark.parametrize("tree", [GZ2, DECALS], ids=lambda tree: tree.name)
def test_probabilities_sum_to_one_for_every_question(tree, truth):
    probabilities = answer_probabilities(truth, tree)
    assert set(probabilities) == {question.name for question in tree.questions}
    for question in tree.questions:
        values = probabilities[question.name]
        assert values.shape == (len(truth), len(question.answers))
        assert (values >= 0).all()
        assert np.allclose(values.sum(1), 1)


def test_mean_votes_are_the_probabilities_multiplied_down_the_tree(truth):
    few = truth[:60]
    counts = volunteer_votes(few, GZ2, n_volunteers=4000, seed=2)
    probabilities = answer_probabilities(few, GZ2)
    conditional = np.concatenate([probabilities[q.name] for q in GZ2.questions], axis=1)
    difference = cumulative_fractions(counts, GZ2) - GZ2.to_cumulative(conditional)
    assert np.abs(difference).max() < 5 * 0.5 / np.sqrt(4000)  # five standard errors


def test_votes_depend_on_seed_and_galaxy_alone(truth):
    together = volunteer_votes(truth[:30], GZ2, seed=3)
    alone = np.concatenate([volunteer_votes(truth[i : i + 1], GZ2, seed=3) for i in range(30)])
    assert (together == alone).all()
    assert (together != volunteer_votes(truth[:30], GZ2, seed=4)).any()


def test_five_class_shares_are_near_the_real_ones(truth):
    fractions = cumulative_fractions(volunteer_votes(truth, GZ2), GZ2)
    classes = np.asarray(select_five_classes(fractions))
    shares = np.array([(classes == k).mean() for k in range(5)])
    assert np.abs(shares - REAL_SHARES).max() < 0.03
    assert 0.004 < shares[2] < 0.018  # cigars are the rare class
    assert 0.42 < shares.sum() < 0.54


def test_mean_votes_resemble_kaggles_table(truth):
    means = cumulative_fractions(volunteer_votes(truth, GZ2), GZ2).mean(0)
    for column, real in {
        "smooth-or-featured_smooth": 0.4326,
        "smooth-or-featured_features-or-disk": 0.5422,
        "smooth-or-featured_star-or-artifact": 0.0252,
        "disk-edge-on_yes": 0.1063,
        "bar_yes": 0.1025,
        "has-spiral-arms_yes": 0.2156,
        "something-odd_yes": 0.2321,
        "how-rounded_completely": 0.170,
        "how-rounded_in-between": 0.208,
        "how-rounded_cigar": 0.055,
        "edge-on-bulge_rounded": 0.063,
    }.items():
        assert means[GZ2.index(column)] == pytest.approx(real, abs=0.035), column


def test_what_can_be_seen_better_gets_more_featured_votes():
    truth = sample_galaxies(1500, seed=5)
    spirals = truth[(truth["kind"] == "spiral") & (truth["arm_strength"] > 0.5)]
    featured = GZ2.index("smooth-or-featured_features-or-disk")
    seen = visibility(spirals)
    votes = volunteer_votes(spirals, GZ2)[:, featured]
    low, high = seen < np.quantile(seen, 0.25), seen > np.quantile(seen, 0.75)
    assert votes[high].mean() > 1.3 * votes[low].mean()
    # The same galaxies through a deeper, sharper telescope.
    deeper = volunteer_votes(spirals, GZ2, "decals")[:, featured]
    assert deeper.mean() > votes.mean()
    # And further away: the same galaxy smaller and fainter.
    distant = spirals.assign(petro_r90=3.2, mag=spirals["mag"] + 1)
    assert volunteer_votes(distant, GZ2)[:, featured].mean() < votes.mean()


def test_answers_follow_truth(truth):
    fractions = pd.DataFrame(
        GZ2.to_conditional(cumulative_fractions(volunteer_votes(truth, GZ2), GZ2)),
        columns=GZ2.columns,
    )
    kind, q = truth["kind"], truth["axis_ratio"]
    assert fractions["disk-edge-on_yes"][kind == "edge_on"].mean() > 0.8
    assert fractions["disk-edge-on_yes"][(kind == "spiral") & (q > 0.6)].mean() < 0.05
    assert fractions["how-rounded_completely"][q > 0.9].mean() > 0.7
    assert fractions["how-rounded_cigar"][q < 0.28].mean() > 0.6
    assert fractions["something-odd_yes"][truth["odd"] == "merger"].mean() > 0.7
    assert fractions["odd-feature_merger"][truth["odd"] == "merger"].mean() > 0.5
    barred = truth["bar_strength"] > 0.7
    assert fractions["bar_yes"][barred].mean() > 2 * fractions["bar_yes"][~barred].mean()
    spiral = kind == "spiral"
    tight = fractions["spiral-winding_tight"]
    pitch = truth["arm_pitch"]
    assert tight[spiral & (pitch < 13)].mean() > 2 * tight[spiral & (pitch > 25)].mean()
    assert fractions["smooth-or-featured_star-or-artifact"][kind == "artifact"].mean() > 0.7


def test_what_volunteers_cannot_do_is_refused():
    truth = sample_galaxies(2)
    with pytest.raises(ValueError, match="not 'candels'"):
        volunteer_votes(truth, CANDELS)
    with pytest.raises(ValueError, match="1 volunteer or more, got 0"):
        volunteer_votes(truth, GZ2, n_volunteers=0)
