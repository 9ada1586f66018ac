"""Copies under other names: as many as asked for, of the right galaxies, turned as they say."""

import numpy as np
import pandas as pd
import pytest

from galhelpers.data.catalogs import cross_match
from galhelpers.data.copies import turned, with_copies

CATALOG = pd.DataFrame(
    {"id": [str(i) for i in range(50)], "ra": np.linspace(0, 359.9999, 50), "dec": 40.0}
)


def test_number_names_and_owners():
    table = with_copies(CATALOG, share=0.3, each=3, seed=1)
    assert len(table) == 50 + 45
    assert table["id"].is_unique
    assert (table["row"][:50] == np.arange(50)).all()
    assert (table["row"].value_counts().value_counts().to_dict()) == {1: 35, 4: 15}
    assert (table["angle"][:50] == 0).all()
    assert table["angle"][50:].between(20, 340).all()
    assert table.equals(with_copies(CATALOG, share=0.3, each=3, seed=1))


def test_copies_lie_where_their_galaxy_lies():
    table = with_copies(CATALOG, each=1)
    copies = table[50:]
    pairs = cross_match(copies["ra"], copies["dec"], CATALOG["ra"], CATALOG["dec"], 0.5)
    assert len(pairs) == len(copies)
    assert (pairs["index2"].to_numpy() == copies["row"].to_numpy()).all()
    assert pairs["separation_arcsec"].gt(0).all()


def test_a_catalog_without_positions_and_one_without_copies():
    assert len(with_copies(CATALOG[["id"]], share=1.0, each=2)) == 150
    assert len(with_copies(CATALOG, share=0.0)) == 50


@pytest.mark.parametrize("given", [{"share": 1.1}, {"each": -1}])
def test_says_what_cannot_be(given):
    with pytest.raises(ValueError, match="Expected a share"):
        with_copies(CATALOG, **given)


def test_turned_pictures_are_those_of_numpy_for_quarter_turns():
    pixels = np.random.default_rng(0).integers(0, 255, (4, 3, 24, 24), dtype=np.uint8)
    views = turned(pixels, [0, 90, 180, 270], 16)
    middle = pixels[:, :, 4:20, 4:20]
    for k in range(4):
        np.testing.assert_array_equal(views[k], np.rot90(middle[k], k, axes=(1, 2)))


def test_as_many_angles_as_pictures():
    with pytest.raises(ValueError, match="Expected 2 angles"):
        turned(np.zeros((2, 3, 24, 24), np.uint8), [1.0], 16)
