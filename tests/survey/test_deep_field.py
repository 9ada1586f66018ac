"""The deep field: as dense as asked for, away from the poles, listed as by any survey."""

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord, search_around_sky

from galhelpers.survey import sample_galaxies
from galhelpers.survey.deep_field import deep_field, listed_by

TRUTH = sample_galaxies(400, seed=3)


@pytest.mark.parametrize("dec", [0.0, 60.0, -80.0])
def test_as_dense_as_asked_for_and_evenly_filled(dec):
    field = deep_field(TRUTH, ra=10, dec=dec, per_square_degree=10_000, seed=1)
    sky = SkyCoord(field["ra"], field["dec"], unit="deg")
    centre = SkyCoord(10, dec, unit="deg")
    half = np.sqrt(400 / 10_000) / 2
    assert sky.separation(centre).max().deg <= half * 2**0.5 * 1.01
    inside = (sky.separation(centre).deg < half).mean()
    assert inside == pytest.approx(np.pi / 4, abs=0.07)  # a circle in a square
    east = (field["ra"] - 10) * np.cos(np.radians(field["dec"]))
    assert abs(east.mean()) < half / 8
    assert field.drop(columns=["ra", "dec"]).equals(TRUTH.drop(columns=["ra", "dec"]))


def test_the_same_seed_gives_the_same_field():
    assert deep_field(TRUTH, seed=1).equals(deep_field(TRUTH, seed=1))
    assert not deep_field(TRUTH, seed=1).equals(deep_field(TRUTH, seed=2))


@pytest.mark.parametrize(
    ("given", "says"), [({"dec": 89}, "poles"), ({"per_square_degree": 0}, "more than 0")]
)
def test_says_what_cannot_be(given, says):
    with pytest.raises(ValueError, match=says):
        deep_field(TRUTH, **given)


def test_catalogs_list_most_galaxies_on_both_sides_of_ra_0():
    field = deep_field(TRUTH, seed=1)
    listed = listed_by(field, "sdss")
    assert listed["ra"].between(0, 360, inclusive="left").all()
    assert (listed["ra"] > 180).mean() == pytest.approx(0.5, abs=0.1)
    assert 0.93 < np.isin(TRUTH["id"], listed["id"]).mean() <= 1
    assert (listed["id"] < 0).any()  # background galaxies and false entries


def test_positions_scatter_as_asked():
    field = deep_field(TRUTH, seed=1)
    for asked, expected in ((None, 0.06), (2.0, 2.0)):
        listed = listed_by(field, "sdss", astrometric_scatter=asked).set_index("id")
        true = field.set_index("id").loc[lambda t, those=listed: t.index.isin(those.index)]
        at = listed.loc[true.index]
        one, two = (SkyCoord(t["ra"], t["dec"], unit="deg") for t in (true, at))
        apart = one.separation(two).to_value(units.arcsec)
        assert np.sqrt((apart**2).mean() / 2) == pytest.approx(expected, rel=0.1)


def test_strangers_are_as_frequent_as_the_density_says():
    """Pairs within r of a random field: half of n times density times pi r^2."""
    field = deep_field(TRUTH, per_square_degree=50_000, seed=4)
    sky = SkyCoord(field["ra"], field["dec"], unit="deg")
    one, other, _, _ = search_around_sky(sky, sky, 10 * units.arcsec)
    pairs = (one < other).sum()
    expected = 400 / 2 * 50_000 * np.pi * (10 / 3600) ** 2
    assert pairs == pytest.approx(expected, abs=4 * np.sqrt(expected))
