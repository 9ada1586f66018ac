"""Simulated volunteers: votes obey the tree, follow what can be seen, resemble real ones."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galhelpers.data.catalogs import select_five_classes
from galhelpers.survey import (
    answer_probabilities,
    cumulative_fractions,
    sample_galaxies,
    volunteer_votes,
)
from galhelpers.survey import volunteers as volunteers_module
from galhelpers.survey.answers import magnitude, resolution_and_depth, without_distance_bias
from galhelpers.survey.distance import moved_to_redshift
from galhelpers.survey.galaxies import ODD_KINDS
from galhelpers.survey.volunteers import (
    CROWD,
    tempered,
    visibility,
    volunteer_abilities,
    who_voted,
)
from galhelpers.trees import CANDELS, DECALS, GZ2
from tests.survey.closed_form import expected_fractions

# Of 61,578 galaxies in Kaggle's table; round, in-between, cigar, edge-on, spiral.
REAL_SHARES = np.array([8434, 8069, 578, 3903, 7806]) / 61578


@pytest.fixture(scope="module")
def truth():
    return sample_galaxies(2000, seed=0)


both_trees = pytest.mark.parametrize("tree", [GZ2, DECALS], ids=lambda tree: tree.name)


@both_trees
@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    start=st.integers(0, 10**6),
    numbers=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    spread=st.sampled_from([0.0, 0.3, 3.0]),
    telescope=st.sampled_from(["sdss", "decals"]),
)
def test_votes_obey_the_tree(tree, seed, start, numbers, spread, telescope):
    truth = sample_galaxies(len(numbers), seed, start)
    n = np.array(numbers)
    counts = volunteer_votes(truth, tree, telescope, n, seed, spread)
    assert counts.shape == (len(n), tree.n_answers)
    assert counts.min() >= 0
    assert tree.check(cumulative_fractions(counts, tree), atol=1e-12) == []
    for question in tree.questions:  # nobody is asked twice, or who did not lead there
        asked = counts[:, tree.slices[question.name]].sum(1)
        parents = [tree.index(parent) for parent in question.parents]
        assert (asked == (counts[:, parents].sum(1) if parents else n)).all()


def test_one_volunteer_gives_one_answer_to_each_question_asked(truth):
    counts = volunteer_votes(truth[:300], DECALS, n_volunteers=1, seed=2)
    assert counts.max() == 1
    # "Merging?" has two parents: whoever saw a galaxy of either sort is asked, once.
    galaxy = counts[:, :2].sum(1)
    assert (counts[:, DECALS.slices["merging"]].sum(1) == galaxy).all()
    assert 0 < galaxy.mean() < 1


@both_trees
def test_probabilities_sum_to_one_for_every_question(tree, truth):
    probabilities = answer_probabilities(truth, tree)
    assert set(probabilities) == {question.name for question in tree.questions}
    for question in tree.questions:
        values = probabilities[question.name]
        assert values.shape == (len(truth), len(question.answers))
        assert (values >= 0).all()
        assert np.allclose(values.sum(1), 1)


def _standard_errors(counts, expected, n):
    """By how many standard errors the total of each answer is off; and the scatter of the first.

    The sum of n votes of different people varies by n E (1 - E) at most, and by just that where
    all are alike.
    """
    variance = n * expected * (1 - expected)
    z = (counts - n * expected).sum(0) / np.sqrt(variance.sum(0))
    chi_square = ((counts[:, 0] - n * expected[:, 0]) ** 2 / variance[:, 0]).mean()
    return z, chi_square


@both_trees
@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("debiased", [False, True])
def test_counts_scatter_around_the_closed_form(truth, tree, spread, debiased):
    some, n = truth[:500], 40
    counts = volunteer_votes(some, tree, "sdss", n, 8, spread, debiased)
    abilities = volunteer_abilities(8, spread)[who_voted(some, n, 8)]
    expected = expected_fractions(some, tree, "sdss", abilities, debiased)
    z, chi_square = _standard_errors(counts, expected, n)
    assert np.abs(z).max() < 4.5
    assert 0.75 < chi_square < 1.25  # 500 galaxies: a standard error of about sqrt(2 / 500)
    # The comparison has the power to find what is wrong: other people, or another distance.
    if spread == 1.0:
        plain = expected_fractions(some, tree, "sdss", None, debiased)
        assert np.abs(_standard_errors(counts, plain, n)[0]).max() > 8
    other = expected_fractions(some, tree, "sdss", abilities, not debiased)
    assert np.abs(_standard_errors(counts, other, n)[0]).max() > 8


def test_without_a_spread_the_closed_form_is_the_product_down_the_tree(truth):
    some = truth[:40]
    p = answer_probabilities(some, DECALS)
    expected = expected_fractions(some, DECALS)
    featured = p["smooth-or-featured"][:, 1]
    strong = featured * p["disk-edge-on"][:, 1] * p["bar"][:, 0]
    assert np.allclose(expected[:, DECALS.index("bar_strong")], strong)
    either = p["smooth-or-featured"][:, :2].sum(1)
    merger = either * p["merging"][:, 3]
    assert np.allclose(expected[:, DECALS.index("merging_merger")], merger)
    ones = volunteer_abilities(0, spread=0)
    assert (ones == 1).all()
    assert np.allclose(expected_fractions(some, DECALS, abilities=ones[:5]), expected)


def test_abilities_may_be_shared_or_each_galaxys_own_with_empty_seats(truth):
    some, crowd = truth[:6], volunteer_abilities(3)[:9]
    shared = expected_fractions(some, GZ2, abilities=crowd)
    assert np.allclose(shared, expected_fractions(some, GZ2, abilities=np.tile(crowd, (6, 1))))
    empty = np.column_stack([np.tile(crowd, (6, 1)), np.full(6, np.nan)])
    assert np.allclose(shared, expected_fractions(some, GZ2, abilities=empty))
    with pytest.raises(ValueError, match=r"shape \(m,\) or \(6, m\), got \(2, 3\)"):
        expected_fractions(some, GZ2, abilities=np.ones((2, 3)))


def test_volunteers_differ_in_ability_and_keep_it():
    abilities = volunteer_abilities(1, spread=0.5)
    assert abilities.shape == (CROWD,)
    assert np.log(abilities).std() == pytest.approx(0.5, rel=0.05)
    assert np.median(abilities) == pytest.approx(1, abs=0.04)
    assert (abilities == volunteer_abilities(1, spread=0.5)).all()
    assert (abilities != volunteer_abilities(2, spread=0.5)).any()


def test_ability_sharpens_and_its_lack_guesses():
    p = np.array([[0.7, 0.2, 0.1]])
    assert np.allclose(tempered(p, np.array([1.0])), p)
    assert np.allclose(tempered(p, np.array([0.0])), 1 / 3)
    assert np.allclose(tempered(p, np.array([2.0])), np.array([[0.49, 0.04, 0.01]]) / 0.54)
    assert np.allclose(tempered(p, np.array([1e6])), [[1, 0, 0]])


def test_able_volunteers_are_found_by_how_often_they_agree_with_the_others(truth):
    """What Willett et al. 2013 weigh people by can be checked against their true ability."""
    some, seed = truth[:1500], 6
    who = who_voted(some, 40, seed)
    abilities = volunteer_abilities(seed, 1.0)
    first = answer_probabilities(some)["smooth-or-featured"]
    agree = (tempered(first[:, None], abilities[who]) * first[:, None]).sum(-1)
    low, high = abilities[who] < 0.5, abilities[who] > 2
    assert agree[high].mean() > agree[low].mean() + 0.15


def test_each_galaxy_is_seen_by_different_people_whoever_else_is_asked(truth):
    who = who_voted(truth[:50], 40, seed=1)
    assert who.shape == (50, 40)
    assert who.min() >= 0
    assert who.max() < CROWD
    assert all(len(set(row)) == 40 for row in who)
    numbers = np.arange(50) + 1
    some = who_voted(truth[:50], numbers, seed=1)
    assert some.shape == (50, 50)
    assert ((some >= 0).sum(1) == numbers).all()
    assert (some[9, :10] == who[9, :10]).all()  # the first ones stay
    assert (some[9, 10:] == -1).all()
    assert (who_voted(truth.iloc[[30]], 40, seed=1) == who[30]).all()
    votes = volunteer_votes(truth[:50], n_volunteers=numbers, seed=1)
    assert (votes[29] == volunteer_votes(truth.iloc[[29]], n_volunteers=30, seed=1)).all()
    more = volunteer_votes(truth[:50], n_volunteers=60, seed=1)
    assert (more >= votes).all()  # more volunteers add their votes to the others'


def test_blocks_change_nothing(truth, monkeypatch):
    together = volunteer_votes(truth[:50], seed=9)
    monkeypatch.setattr(volunteers_module, "_BLOCK", 7)
    assert (volunteer_votes(truth[:50], seed=9) == together).all()


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
    assert votes[high].mean() > 1.15 * votes[low].mean()
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


@pytest.mark.parametrize("name", ODD_KINDS)
def test_what_is_odd_is_called_by_its_name(truth, name):
    seen = truth.assign(odd=name)[:100]
    conditional = answer_probabilities(moved_to_redshift(seen, 0.03))
    assert conditional["something-odd"][:, 0].mean() > 0.75
    place = GZ2.question("odd-feature").answers.index(name)
    assert (conditional["odd-feature"].argmax(1) == place).all()


def test_distance_makes_the_same_spirals_smoother_and_debiasing_undoes_it():
    truth = sample_galaxies(1500, seed=5)
    spirals = truth[(truth["kind"] == "spiral") & (truth["arm_strength"] > 0.4)]
    featured = GZ2.index("smooth-or-featured_features-or-disk")
    at = {z: moved_to_redshift(spirals, z) for z in (0.03, 0.08, 0.15)}
    biased = [volunteer_votes(t)[:, featured].mean() / 40 for t in at.values()]
    assert biased[0] > biased[1] + 0.05 > biased[2] + 0.1
    # Debiased, the answers at any distance are those at 0.03, galaxy by galaxy.
    near = answer_probabilities(at[0.03])
    for moved in at.values():
        debiased = answer_probabilities(moved, debiased=True)
        assert all(np.allclose(debiased[name], near[name]) for name in near)
    # What is nearer stays where it is.
    close = moved_to_redshift(spirals, 0.015)
    pd.testing.assert_frame_equal(without_distance_bias(close), close)


def test_the_survey_has_the_bias_of_distance_and_debiased_votes_have_not():
    truth = sample_galaxies(4000, seed=7)
    spirals = truth[truth["kind"] == "spiral"]
    near, far = np.quantile(spirals["redshift"], [0.33, 0.67])
    featured = GZ2.index("smooth-or-featured_features-or-disk")

    def drop(debiased):
        votes = volunteer_votes(spirals, debiased=debiased)[:, featured] / 40
        return votes[spirals["redshift"] < near].mean() - votes[spirals["redshift"] > far].mean()

    assert drop(debiased=False) > 0.05
    assert abs(drop(debiased=True)) < 0.03


def test_resolution_and_depth_are_those_of_the_telescopes_own_band():
    truth = sample_galaxies(200, seed=4)
    assert np.allclose(magnitude(truth, "r"), truth["mag"])
    red = truth["r_i_bulge"] > truth["r_i_bulge"].median()
    excess = truth["mag"] - magnitude(truth, "h")
    assert (excess > 0.3).all()
    assert excess[red].mean() > excess[~red].mean()
    resolution, depth = resolution_and_depth(truth, "sdss")
    fainter = truth.assign(mag=truth["mag"] + 1, petro_r90=truth["petro_r90"] * 2)
    resolution_2, depth_2 = resolution_and_depth(fainter, "sdss")
    assert np.allclose(resolution_2, 2 * resolution)
    assert np.allclose(depth - depth_2, 1 + 5 * np.log10(2))
    assert (resolution_and_depth(truth, "hst")[0] > 5 * resolution).all()
    for telescope in ("sdss", "decals", "des", "hst"):
        seen = visibility(truth, telescope)
        assert seen.shape == (200,)
        assert ((seen > 0) & (seen <= 1)).all()


def test_what_volunteers_cannot_do_is_refused():
    truth = sample_galaxies(2)
    with pytest.raises(ValueError, match="not 'candels'"):
        volunteer_votes(truth, CANDELS)
    with pytest.raises(ValueError, match="1 volunteer or more, 5000 at most, got 0"):
        volunteer_votes(truth, GZ2, n_volunteers=0)
    with pytest.raises(ValueError, match="5000 at most, got 5001"):
        volunteer_votes(truth, GZ2, n_volunteers=np.array([5001, 3]))
    with pytest.raises(ValueError, match=r"each of the 2 galaxies, got int64 of shape \(3,\)"):
        who_voted(truth, np.array([1, 2, 3]))
    with pytest.raises(ValueError, match="whole number of volunteers"):
        who_voted(truth, 12.5)
    for spread in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="spread of abilities of 0 or more"):
            volunteer_votes(truth, GZ2, ability_spread=spread)


def test_no_galaxies_have_no_votes():
    assert volunteer_votes(sample_galaxies(0), GZ2).shape == (0, 37)
    assert expected_fractions(sample_galaxies(0), DECALS, abilities=np.ones(3)).shape == (0, 34)
