"""Which galaxies may judge a trained network."""

import os
from pathlib import Path

import pytest

from galhelpers.learning import held_out
from galhelpers.learning.networks import card

REAL = Path(os.environ.get("GALHELPERS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


@pytest.mark.skipif(not (REAL / "gz2_five_class").is_dir(), reason="needs real galaxies")
def test_as_many_as_its_card_says():
    ids = held_out.judges_of("five_classes", REAL)
    assert len(ids) == card("five_classes").data.test
    assert all(one.isdigit() for one in ids)


def test_galaxies_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="gz2_five_class"):
        held_out.judges_of("five_classes", tmp_path)
