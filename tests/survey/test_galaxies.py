"""The simulated sky: what depends on what, and that its distributions are the intended ones."""

import numpy as np
import pandas as pd
import pytest

from galhelpers.data.catalogs import cross_match
from galhelpers.survey import (
    TELESCOPES,
    catalog_of,
    get_telescope,
    ringed_galaxies,
    sample_galaxies,
)
from galhelpers.survey.galaxies import EDGE_ON_COS, KINDS, ODD_KINDS, generator


def test_a_galaxy_depends_on_seed_and_number_alone():
    all_of_them = sample_galaxies(50, seed=7)
    part = sample_galaxies(8, seed=7, start=30)
    pd.testing.assert_frame_equal(all_of_them.iloc[30:38].reset_index(drop=True), part)
    assert not all_of_them["ra"].equals(sample_galaxies(50, seed=8)["ra"])


def test_purposes_and_galaxies_do_not_share_random_numbers():
    draws = {
        (seed, purpose, index): generator(seed, purpose, index).random()
        for seed in (0, 1)
        for purpose in ("truth", "sky", "votes")
        for index in range(20)
    }
    assert len(set(draws.values())) == len(draws)


def test_no_galaxies_is_an_empty_table_with_all_columns():
    assert list(sample_galaxies(0)) == list(sample_galaxies(3))
    assert len(sample_galaxies(0)) == 0


@pytest.mark.parametrize("arguments", [{"n": -1}, {"n": 3, "start": -2}])
def test_negative_numbers_are_refused(arguments):
    with pytest.raises(ValueError, match="0 or more"):
        sample_galaxies(**arguments)


def test_values_stay_in_their_ranges_and_survive_a_csv(tmp_path):
    truth = sample_galaxies(1500, seed=1)
    assert set(truth["kind"]) == set(KINDS)
    assert set(truth["odd"]) <= {*ODD_KINDS, "none"}
    assert truth.notna().all(axis=None)
    assert truth["axis_ratio"].between(0.05, 1.0).all()
    assert truth["mag"].between(13, 17).all()
    assert truth["petro_r90"].between(3.2, 40).all()
    assert truth["bulge_fraction"].between(0, 1).all()
    truth.to_csv(tmp_path / "truth.csv", index=False)
    again = pd.read_csv(tmp_path / "truth.csv")
    assert again.notna().all(axis=None)  # no name that pandas reads as "missing"
    assert (again["kind"] == truth["kind"]).all()


def test_disks_are_seen_from_random_directions():
    truth = sample_galaxies(6000, seed=2)
    cos_i = truth.loc[truth["kind"].isin(["spiral", "disk", "edge_on"]), "cos_inclination"]
    # Random directions: cos i is uniform. Kolmogorov's statistic, 1 % level.
    ordered = np.sort(cos_i)
    steps = np.arange(1, len(ordered) + 1) / len(ordered)
    assert np.abs(steps - ordered).max() < 1.63 / np.sqrt(len(ordered))
    edge_on = truth[truth["kind"] == "edge_on"]
    assert (edge_on["cos_inclination"] < EDGE_ON_COS).all()
    assert edge_on["axis_ratio"].max() < 0.37


def test_brighter_galaxies_are_rarer_and_bulges_redder_than_arms():
    truth = sample_galaxies(4000, seed=3)
    counts = [((truth["mag"] > low) & (truth["mag"] <= low + 1)).sum() for low in (14, 15, 16)]
    assert counts[0] < counts[1] < counts[2]
    spirals = truth[truth["kind"] == "spiral"]
    assert (spirals["g_r_arms"] < spirals["g_r_disk"]).all()
    assert (spirals["g_r_disk"] < spirals["g_r_bulge"]).mean() > 0.9


def test_balanced_samples_have_as_many_of_each_shape():
    truth = sample_galaxies(3000, seed=4, balanced=True)
    smooth = truth["kind"] == "smooth"
    shares = [
        (smooth & (truth["axis_ratio"] >= 0.8)).mean(),
        (smooth & truth["axis_ratio"].between(0.45, 0.8)).mean(),
        (smooth & (truth["axis_ratio"] < 0.45)).mean(),
        (truth["kind"] == "edge_on").mean(),
        (truth["kind"] == "spiral").mean(),
    ]
    assert np.allclose(shares, 0.2, atol=0.03)


def test_cross_match_of_two_surveys_finds_the_true_pairs():
    truth = sample_galaxies(1500, seed=5)
    sdss, decals = (catalog_of(truth, name, seed=5) for name in ("sdss", "decals"))
    pairs = cross_match(sdss["ra"], sdss["dec"], decals["ra"], decals["dec"], 1.0)
    one = sdss["id"].to_numpy()[pairs["index1"]]
    two = decals["id"].to_numpy()[pairs["index2"]]
    in_both = set(sdss["id"]) & set(decals["id"])
    assert (one == two).mean() > 0.995
    assert len(set(one[one == two])) > 0.995 * len(in_both)
    # Separation of two positions with independent Gaussian errors follows a Rayleigh law.
    scatter = np.hypot(*(TELESCOPES[name].astrometric_scatter for name in ("sdss", "decals")))
    expected = scatter * np.sqrt(np.pi / 2)
    assert pairs["separation_arcsec"].mean() == pytest.approx(expected, rel=0.08)


def test_catalogs_miss_some_galaxies_and_list_false_ones():
    truth = sample_galaxies(3000, seed=6)
    scope = TELESCOPES["decals"]
    table = catalog_of(truth, "decals", seed=6)
    real, false = table[table["id"] >= 0], table[table["id"] < 0]
    low, high = scope.footprint[2:]
    inside = truth[truth["dec"].between(low, high) & truth["ra"].between(*scope.footprint[:2])]
    assert set(real["id"]) <= set(inside["id"])
    assert len(real) / len(inside) == pytest.approx(scope.completeness, abs=0.02)
    assert len(false) / len(inside) == pytest.approx(scope.spurious, abs=0.01)
    assert not set(false["id"]) & set(catalog_of(truth, "sdss", seed=6)["id"])
    one = catalog_of(truth.iloc[[17]], "decals", seed=6)
    pd.testing.assert_frame_equal(
        one[one["id"] >= 0].reset_index(drop=True),
        table[table["id"] == truth["id"][17]].reset_index(drop=True),
    )


def test_an_unknown_telescope_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"decals.*sdss.*got 'hubble'"):
        get_telescope("hubble")
    assert get_telescope(TELESCOPES["sdss"]) is TELESCOPES["sdss"]


def test_half_of_the_ringed_galaxies_have_a_ring():
    truth = ringed_galaxies(2000, seed=3)
    ring = truth["odd"] == "ring"
    assert len(truth) == 2000
    assert ring.mean() == pytest.approx(0.53, abs=0.04)
    assert truth["ring_r90"][ring].between(0.4, 0.85).all()
    assert (truth["ring_r90"][~ring] == 0).all()
    assert (truth["cos_inclination"] > 0.3).all()
    assert not truth["kind"].isin(["smooth", "artifact"]).any()
    pd.testing.assert_frame_equal(truth.iloc[:500], ringed_galaxies(500, seed=3))
