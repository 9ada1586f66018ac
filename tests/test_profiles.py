import pytest

from galhelpers.profiles import PROFILES, get_profile


def test_profiles_grow():
    quick, full, paper = (get_profile(name) for name in ("quick", "full", "paper"))
    for field in ("n_simulated", "compare_galaxies", "train_galaxies", "train_epochs"):
        assert getattr(quick, field) < getattr(full, field) <= getattr(paper, field)
    assert set(PROFILES) == {"quick", "full", "paper"}


def test_unknown_profile_lists_the_valid_ones():
    with pytest.raises(ValueError, match="quick, full, paper"):
        get_profile("fast")
