"""Preparations: what is shown, how wide, and that a curve is what training gives."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from galhelpers.learning.preparations import (
    N_TRAIN,
    PREPARATIONS,
    Preparation,
    accuracy_by_epoch,
    differences,
    mean_curves,
    read_curves,
    show_field,
    with_sky_around,
)
from galhelpers.paths import course_root
from galhelpers.profiles import PROFILES


def frames_with_a_source(n=3, side=160, radius=12.0):
    """Draw a round source in the middle of sky with a level and a grain of its own."""
    rng = np.random.default_rng(0)
    across = np.arange(side) - (side - 1) / 2
    source = 150 * np.exp(-(across**2 + across[:, None] ** 2) / (2 * radius**2))
    level = np.array([8.0, 14.0, 20.0])[:n, None, None, None]
    return (level + source + rng.uniform(0, 6, (n, 3, side, side))).astype(np.uint8)


def width_of_source(pixels):
    bright = pixels[:, 1] > pixels[:, 1].max() / 2
    return np.sqrt(bright.sum((1, 2)).mean())


@pytest.mark.parametrize("field", [0.3, 0.6, 1.0, 2.4, 4.0])
def test_the_source_is_smaller_by_the_field_and_stays_in_the_middle(field):
    frames = frames_with_a_source()
    shown = show_field(frames, 64, field)
    assert shown.shape == (3, 3, 64, 64)
    assert shown.dtype == np.uint8
    expected = width_of_source(frames) * 64 / 160 / field
    assert width_of_source(shown) == pytest.approx(expected, rel=0.2, abs=1)
    light = shown[:, 1].astype(float).clip(30) - 30
    place = (light.sum(1) * np.arange(64)).sum(1) / light.sum((1, 2))
    np.testing.assert_allclose(place, 31.5, atol=0.3)


def test_a_new_pixel_is_the_mean_of_the_old_ones():
    frames = np.random.default_rng(1).integers(0, 255, (2, 3, 64, 64), dtype=np.uint8)
    shown = show_field(frames, 16, 1.0).astype(float)
    means = frames.reshape(2, 3, 16, 4, 16, 4).mean((3, 5))
    # The filter is a triangle, wider than the four pixels: alike, not equal.
    assert stats.pearsonr(shown.ravel(), means.ravel()).statistic > 0.85
    assert shown.std() < frames.std() / 3


def test_the_sky_around_is_like_that_of_the_frame():
    frames = frames_with_a_source()
    frames[:, :, 5:20, 5:20] = 255  # a star in one corner: the calmest is another
    wide = with_sky_around(frames, 384)
    np.testing.assert_array_equal(wide[:, :, 112:272, 112:272], frames)
    around = np.ones((384, 384), bool)
    around[112:272, 112:272] = False
    for one, frame in zip(wide, frames, strict=True):
        corner = frame[1, -40:, -40:].astype(float)
        assert one[1, around].mean() == pytest.approx(corner.mean(), abs=0.5)
        assert one[1, around].std() == pytest.approx(corner.std(), rel=0.2)


def test_a_field_of_nothing_is_refused():
    with pytest.raises(ValueError, match="field above 0"):
        show_field(frames_with_a_source(), 64, 0.0)


def test_each_preparation_differs_from_the_reference_in_what_its_name_says():
    reference = PREPARATIONS["crop, 48 px"]
    assert reference == Preparation()
    assert len(set(PREPARATIONS.values())) == len(PREPARATIONS) == 5
    assert PREPARATIONS["0.4 for 0.1 arcsec/pixel"].field == 4 * reference.field


def test_a_curve_is_one_training_and_goes_on_where_it_stopped(tmp_path):
    torch.set_num_threads(1)
    frames = frames_with_a_source(3)[np.arange(90) % 3]
    classes = np.arange(90) % 3  # told apart by the level of the sky
    few = Preparation(size=16, augmented=False)
    whole = accuracy_by_epoch(frames, classes, 60, few, 25, seed=1)
    assert len(whole) == 25
    assert all(0 <= value <= 1 for value in whole)
    assert whole[-1] > 0.6
    assert accuracy_by_epoch(frames, classes, 60, few, 25, 1, tmp_path / "state.pt") == whole
    assert accuracy_by_epoch(frames, classes, 60, few, 25, 1, tmp_path / "state.pt") == whole
    other = accuracy_by_epoch(frames, classes, 60, Preparation(size=16), 25, seed=1)
    assert other != whole


@pytest.fixture
def curves():
    """Two seeds, two preparations, two kinds: the second preparation is better by 0.1 or 0.2."""
    rows = [
        (kind, name, seed, epoch, 0.5 + 0.05 * epoch + 0.1 * (name == "other") * (1 + seed))
        for kind in ("simulated", "gz2_five_class")
        for name in ("reference", "other")
        for seed in (0, 1)
        for epoch in (1, 2)
    ]
    return pd.DataFrame(rows, columns=["galaxies", "preparation", "seed", "epoch", "accuracy"])


def test_mean_curves_keep_the_order_and_every_point(curves):
    mean = mean_curves(curves)
    assert len(mean) == 8
    assert list(mean["preparation"].unique()) == ["reference", "other"]
    assert mean["mean"].iloc[0] == pytest.approx(0.55)
    assert (mean["low"] <= mean["mean"]).all()


def test_differences_are_paired_by_seed(curves):
    table = differences(curves, "reference", [(1, 2), (2, 2)])
    assert list(table.columns) == ["epochs 1 to 2", "epochs 2 to 2"]
    # 10 and 20 hundredths better: 15, plus and minus 12.71 (t of one degree) times 5.
    assert table.loc[("simulated", "other"), "epochs 1 to 2"] == "+15.0 [-48.5, +78.5]"


def test_the_recorded_curves_are_those_of_the_preparations_and_of_the_profiles():
    file = course_root() / "docs" / "results" / "preprocessing.json"
    facts, recorded = json.loads(file.read_text("utf8")), read_curves(file)
    assert set(recorded["galaxies"]) == {"simulated", "gz2_five_class"}
    assert list(recorded["preparation"].unique()) == list(PREPARATIONS)
    assert recorded.groupby(["galaxies", "preparation"])["seed"].nunique().min() >= 3
    assert recorded.groupby(["galaxies", "preparation", "seed"])["epoch"].agg(list).map(
        lambda epochs: epochs == list(range(1, facts["epochs"] + 1))
    ).all()  # fmt: skip
    assert recorded["accuracy"].between(0, 1).all()
    assert (facts["batch"], facts["average"], facts["learning_rate"]) == (16, 0.98, 0.002)
    assert facts["n_train"] == N_TRAIN
    assert max(profile.compare_epochs for profile in PROFILES.values()) <= facts["epochs"]
