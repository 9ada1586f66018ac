"""Galaxies cut from the picture of the deep sky that scikit-image ships."""

import subprocess
import sys

import numpy as np
import pytest

from galhelpers.data.hubble_deep_field import KINDS, deep_field, deep_field_galaxies


def test_the_picture_is_the_one_that_was_looked_at():
    picture = deep_field()
    assert (picture.shape, picture.dtype) == ((3, 872, 1000), np.uint8)
    np.testing.assert_allclose(picture.mean(axis=(1, 2)), [20.8, 19.7, 19.6], atol=3)
    with pytest.raises(ValueError, match="read-only"):
        picture[0, 0, 0] = 0


def test_galaxies_come_brightest_first_each_in_the_middle_of_its_frame():
    pixels, table = deep_field_galaxies(n=60, side=64)
    assert pixels.shape == (60, 3, 64, 64)
    assert len(table) == 60
    assert table["light"].is_monotonic_decreasing
    assert table["axis_ratio"].between(0.05, 1).all()
    middle, rim = (
        pixels[..., 24:40, 24:40].mean(axis=(1, 2, 3)),
        pixels[..., :4].mean(axis=(1, 2, 3)),
    )
    assert (middle > rim).all()
    assert (middle > 2 * rim).mean() > 0.8


def test_a_cutout_is_that_piece_of_the_picture():
    _, table = deep_field_galaxies(n=1, seen="spiral")
    spiral = table.iloc[0]
    frame = 64 / spiral["length"]  # 64 pixels of the original: nothing is enlarged
    pixels, _ = deep_field_galaxies(n=1, side=64, frame=frame, seen="spiral")
    top, left = (round(spiral[axis] - 31.5) for axis in ("row", "column"))
    piece = deep_field()[:, top : top + 64, left : left + 64].astype(float)
    assert np.abs(pixels[0] - piece).mean() < 8
    moved = deep_field()[:, top + 8 : top + 72, left : left + 64].astype(float)
    assert np.abs(pixels[0] - moved).mean() > 16


def test_every_name_belongs_to_another_galaxy_that_looks_like_it():
    _, table = deep_field_galaxies(n=2000)
    counts = table["seen"].value_counts()
    assert set(counts.index) == {*KINDS, ""}
    assert counts[list(KINDS)].tolist() == [6, 6, 4, 4, 4]
    ratio = table.groupby("seen")["axis_ratio"]
    assert ratio.max()["edge-on"] < 0.5
    assert ratio.min()["smooth"] > 0.75
    assert ratio.min()["spiral"] > 0.6


def test_kinds_sizes_and_order_are_asked_for():
    pixels, table = deep_field_galaxies(n=3, side=32, seen="edge-on")
    assert pixels.shape == (3, 3, 32, 32)
    assert (table["seen"] == "edge-on").all()
    again, _ = deep_field_galaxies(n=3, side=32, seen="edge-on")
    np.testing.assert_array_equal(pixels, again)
    few, _ = deep_field_galaxies(n=2, side=32, seen="edge-on")
    np.testing.assert_array_equal(pixels[:2], few)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"n": 0}, "n of 1"), ({"side": 8}, "16 pixels"), ({"frame": 0.0}, "above 0"),
     ({"frame": float("nan")}, "above 0"), ({"seen": "star"}, "kind of spiral")],
)  # fmt: skip
def test_what_is_no_number_or_kind_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        deep_field_galaxies(**change)


def test_importing_the_module_loads_neither_scikit_image_nor_torch():
    script = (
        "import sys, galhelpers.data.hubble_deep_field\n"
        "print({'skimage', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
