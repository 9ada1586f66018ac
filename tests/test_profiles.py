"""The three profiles: every field is looked at, and each notebook's work grows."""

from dataclasses import fields
from math import prod

import pytest
import timm

from galhelpers.profiles import PROFILES, Profile, get_profile

# What a notebook's work is proportional to.
WORK = {
    "01": ("n_simulated",),
    "03": ("n_simulated", "compare_epochs", "compare_seeds"),
    "04": ("train_galaxies", "train_epochs", "train_seeds"),
    "06": ("node_galaxies",),
    "08": ("vote_galaxies",),
    "09": ("vote_galaxies", "vote_seeds"),
    "10": ("transfer_galaxies", "transfer_target", "transfer_epochs", "transfer_seeds"),
}
SIZES = ("transfer_widths", "transfer_labels", "image_size")
NETWORKS = ("transfer_networks",)


def test_every_field_is_looked_at_here():
    looked_at = {"name", *(field for group in WORK.values() for field in group), *SIZES, *NETWORKS}
    assert looked_at == {field.name for field in fields(Profile)}


@pytest.mark.parametrize("notebook", WORK)
def test_the_work_of_a_notebook_grows_from_profile_to_profile(notebook):
    """Not each number: with thirty times the galaxies, fewer passes over them are enough."""
    quick, full, paper = (
        [getattr(get_profile(name), field) for field in WORK[notebook]]
        for name in ("quick", "full", "paper")
    )
    assert min(quick + full + paper) > 0
    assert 3 * prod(quick) <= prod(full)
    assert 2 * prod(full) <= prod(paper)
    assert quick[0] < full[0] <= paper[0]  # galaxies


def test_sizes_are_in_order_and_do_not_shrink():
    quick, full, paper = PROFILES.values()
    for field in SIZES:
        assert getattr(quick, field) <= getattr(full, field) <= getattr(paper, field)
    for profile in PROFILES.values():
        for several in (profile.transfer_widths, profile.transfer_labels):
            assert list(several) == sorted(set(several))
        # Notebook 04 takes ten sevenths of the galaxies it trains on: the rest is for the test.
        assert profile.train_galaxies <= profile.n_simulated


def test_networks_are_known():
    for profile in PROFILES.values():
        for name in profile.transfer_networks:
            assert timm.is_model(name), name


def test_unknown_profile_lists_the_valid_ones():
    with pytest.raises(ValueError, match="quick, full, paper"):
        get_profile("fast")
