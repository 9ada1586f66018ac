"""Augmentation: exact where it can be exact, fair where it is random, the same again by seed."""

import math

import numpy as np
import pytest
import torch

from galhelpers.data.augment import (
    Augment,
    affine_matrix,
    dihedral_views,
    gaussian_noise,
    to_float,
    warp,
)

STILL = {
    "rotate": 0.0,
    "flip": False,
    "zoom": (1.0, 1.0),
    "shift": 0.0,
    "brightness": 0.0,
    "noise": 0.0,
}
MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.25, 0.125)


def images(n=4, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, size, size), dtype=torch.uint8, generator=generator)


def blob(size=64, x=0.0, y=0.0, width=4.0):
    """A round source x pixels right of the centre and y below it, as bytes (1, 3, size, size)."""
    along = torch.arange(size) + 0.5 - size / 2
    light = 250 * torch.exp(-((along - x) ** 2 + (along[:, None] - y) ** 2) / (2 * width**2))
    return light.round().to(torch.uint8).expand(1, 3, size, size).contiguous()


def centroid(view):
    """Pixels right of the centre and below it, of the light in one view (3, size, size)."""
    light = view.sum(0).double()
    along = torch.arange(light.shape[0]) + 0.5 - light.shape[0] / 2
    total = light.sum()
    return float((light.sum(0) @ along.double()) / total), float(
        (light.sum(1) @ along.double()) / total
    )


def matrix(angle=0.0, zoom=1.0, shift=(0.0, 0.0), flip=False):
    return affine_matrix(
        torch.tensor([angle]), torch.tensor([zoom]), torch.tensor([shift]), torch.tensor([flip])
    )


# Geometry -----------------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
@pytest.mark.parametrize(("width", "size"), [(32, 32), (48, 32), (47, 32), (33, 21)])
def test_quarter_turns_equal_rot90_of_the_evaluation_crop(quarter, flip, width, size):
    batch = images(1, width)
    view = warp(batch, matrix(90.0 * quarter, flip=flip), size) / 255
    crop = to_float(batch, size=size)
    wanted = torch.rot90(crop.flip(-1) if flip else crop, quarter, (2, 3))
    torch.testing.assert_close(view, wanted, atol=1e-4, rtol=0)


def test_without_any_randomness_it_is_to_float():
    batch = images(5, 40)
    view = Augment(24, **STILL, mean=MEAN, std=STD)(batch, 3)
    torch.testing.assert_close(view, to_float(batch, MEAN, STD, size=24), atol=1e-4, rtol=0)


def test_the_warp_agrees_with_the_coordinates_of_a_source():
    # Anticlockwise by 30 degrees on the screen, where y points down, then twice as large.
    batch = blob(96, x=8, y=0, width=3)
    x, y = centroid(warp(batch, matrix(30.0, zoom=2.0), 96)[0])
    assert x == pytest.approx(16 * math.cos(math.pi / 6), abs=0.1)
    assert y == pytest.approx(-16 * math.sin(math.pi / 6), abs=0.1)


def test_shift_moves_the_view_and_so_the_source_the_other_way():
    x, y = centroid(warp(blob(), matrix(shift=(5.0, -3.0)), 64)[0])
    assert (x, y) == (pytest.approx(-5, abs=0.02), pytest.approx(3, abs=0.02))


def test_turning_back_returns_the_image():
    there = warp(blob(96, 10, -6), matrix(37.0), 96)
    back = warp(there, matrix(-37.0), 96)
    assert (back - blob(96, 10, -6)).abs().max() < 8  # two interpolations, of 255


def test_the_edge_is_mirrored_not_black():
    flat = torch.full((1, 3, 32, 32), 90, dtype=torch.uint8)
    view = warp(flat, matrix(45.0, zoom=0.7, shift=(4.0, 4.0)), 32)
    torch.testing.assert_close(view, torch.full_like(view, 90.0), atol=1e-3, rtol=0)


def test_dihedral_views_are_the_eight_symmetries_of_a_square():
    batch = images(2)
    views = dihedral_views(batch)
    assert len({view.numpy().tobytes() for view in views}) == 8
    assert all(view.shape == batch.shape for view in views)
    for k, view in enumerate(views):
        turned = warp(batch[:1], matrix(90.0 * (k % 4)), 32)
        turned = turned if k < 4 else turned.flip(-1)
        torch.testing.assert_close(view[:1].float(), turned, atol=1e-2, rtol=0)
    again = {view.numpy().tobytes() for one in views for view in dihedral_views(one)}
    assert again == {view.numpy().tobytes() for view in views}  # a group: closed under itself


# What is random ------------------------------------------------------------------------------


# Sources lie within 8 px of the centre of 64, so that no mirror image of them is in the corners.
def spread(source=(0.0, 0.0), n=4000, **options):
    """Centroids (n, 2) and light (n,) of many views of one source."""
    views = Augment(64, **{**STILL, **options})(blob(64, *source, width=3).expand(n, -1, -1, -1), 0)
    places = np.array([centroid(view) for view in views])
    return places, views.sum((1, 2, 3)).numpy() / float(to_float(blob(64, *source, width=3)).sum())


def test_every_orientation_is_as_likely():
    places, _ = spread((8.0, 0.0), rotate=360.0)
    angles = np.degrees(np.arctan2(-places[:, 1], places[:, 0])) % 360
    counts, _ = np.histogram(angles, 12, (0, 360))
    assert ((counts - 4000 / 12) ** 2 / (4000 / 12)).sum() < 31  # chi square, 11 dof, p = .001
    assert np.hypot(*places.T) == pytest.approx(8, abs=0.1)


def test_rotate_limits_the_angle():
    places, _ = spread((8.0, 0.0), n=500, rotate=40.0)
    angles = np.degrees(np.arctan2(-places[:, 1], places[:, 0]))
    assert -20.5 < angles.min() < -18
    assert 18 < angles.max() < 20.5


def test_half_are_flipped():
    places, _ = spread((8.0, 3.0), flip=True)
    assert set(np.round(places[:, 0])) == {-8, 8}
    assert abs((places[:, 0] < 0).mean() - 0.5) < 4 * 0.5 / math.sqrt(4000)


def test_shift_is_a_fraction_of_the_frame():
    places, light = spread(shift=0.1)
    assert np.abs(places).max() == pytest.approx(6.4, abs=0.1)
    assert places.mean(0) == pytest.approx(0, abs=4 * 6.4 / math.sqrt(3 * 4000))
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.07
    assert light == pytest.approx(1, abs=0.01)


def test_zoom_is_log_uniform():
    _, light = spread(zoom=(1 / 1.3, 1.3))
    zoom = np.log(light) / 2 / math.log(1.3)  # light grows with the area
    assert (zoom.min(), zoom.max()) == (pytest.approx(-1, abs=0.05), pytest.approx(1, abs=0.05))
    counts, _ = np.histogram(zoom, 8, (-1, 1))
    assert ((counts - 500) ** 2 / 500).sum() < 26  # chi square, 7 dof, p = .0005


def test_brightness_is_a_factor_with_mean_one():
    _, light = spread(brightness=0.2)
    assert (light.min(), light.max()) == (
        pytest.approx(0.8, abs=1e-3),
        pytest.approx(1.2, abs=1e-3),
    )
    assert light.mean() == pytest.approx(1, abs=4 * 0.2 / math.sqrt(3 * 4000))


def test_everything_together_keeps_the_mean_brightness():
    # A galaxy on sky: what the corners show must be sky, and noise must not be clipped.
    batch = (blob(64, width=8) // 2 + 10).expand(2000, -1, -1, -1)
    views = Augment(64, noise=0.05)(batch, 0)
    # The galaxy's area changes by 2 ln-uniform zooms, whose mean is known in closed form.
    growth = (1.3**2 - 1.3**-2) / (4 * math.log(1.3))
    sky, whole = 10 / 255, float(to_float(batch[:1]).mean())
    assert float(views.mean()) == pytest.approx(sky + (whole - sky) * growth, rel=0.02)


# Noise --------------------------------------------------------------------------------------


def test_noise_is_normal_and_independent():
    z = gaussian_noise((1_000_003,), torch.Generator().manual_seed(1)).double()
    n = len(z)
    assert float(z.mean()) == pytest.approx(0, abs=4 / math.sqrt(n))
    assert float(z.std()) == pytest.approx(1, abs=4 / math.sqrt(2 * n))
    assert float((z**3).mean()) == pytest.approx(0, abs=4 * math.sqrt(15 / n))
    assert float((z**4).mean()) == pytest.approx(3, abs=5 * math.sqrt(96 / n))
    ranked = z.sort().values
    normal = 0.5 * (1 + torch.erf(ranked / math.sqrt(2)))
    gap = (normal - torch.arange(1, n + 1) / n).abs().max()
    assert float(gap) < 1.95 / math.sqrt(n)  # Kolmogorov-Smirnov, p = .001
    for lag in (1, 2, 3, 4, 64):
        assert abs(float((z[lag:] * z[:-lag]).mean())) < 4 / math.sqrt(n)


def test_noise_is_fresh_for_every_pixel_channel_image_and_step():
    flat = torch.full((200, 3, 32, 32), 60, dtype=torch.uint8)
    augment = Augment(32, **{**STILL, "noise": 0.1})
    first, second = augment(flat, 0) - 60 / 255, augment(flat, 1) - 60 / 255
    assert len(first.unique()) > 0.3 * first.numel()  # not one pattern used again
    noisy = first / first.std((1, 2, 3), keepdim=True)
    limit = 5 / math.sqrt(200 * 3 * 32 * 31)
    assert abs(float((noisy[:, 0] * noisy[:, 1]).mean())) < limit * 2
    assert abs(float((noisy[1:] * noisy[:-1]).mean())) < limit
    assert abs(float((noisy[..., 1:] * noisy[..., :-1]).mean())) < limit
    assert abs(float((first * second).mean() / (first.std() * second.std()))) < limit


def test_the_depth_of_noise_differs_between_images_and_never_exceeds_its_limit():
    flat = torch.full((500, 3, 32, 32), 60, dtype=torch.uint8)
    sigma = Augment(32, **{**STILL, "noise": 0.1})(flat, 0).std((1, 2, 3))
    assert float(sigma.min()) < 0.005
    assert 0.095 < float(sigma.max()) < 0.105
    assert float(sigma.mean()) == pytest.approx(0.05, abs=4 * 0.1 / math.sqrt(12 * 500))


def test_noise_is_scaled_with_the_normalisation():
    flat = torch.full((300, 3, 32, 32), 60, dtype=torch.uint8)
    options = {**STILL, "noise": 0.1, "brightness": 0.2}
    plain = Augment(32, **options)(flat, 5)
    normalised = Augment(32, **options, mean=MEAN, std=STD)(flat, 5)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    torch.testing.assert_close(normalised, (plain - mean) / std, atol=1e-4, rtol=0)


# Determinism ----------------------------------------------------------------------------------


def test_seed_and_step_decide_everything():
    batch = images(8)
    same = Augment(32, seed=1)(batch, 5)
    torch.manual_seed(99)  # the global generator plays no part ...
    assert torch.equal(Augment(32, seed=1)(batch, 5), same)
    assert not torch.equal(Augment(32, seed=1)(batch, 6), same)
    assert not torch.equal(Augment(32, seed=2)(batch, 5), same)
    torch.manual_seed(99)
    expected = torch.rand(3)
    torch.manual_seed(99)
    Augment(32)(batch, 0)
    assert torch.equal(torch.rand(3), expected)  # ... and is left alone


def test_the_batch_is_not_changed():
    batch = images(4)
    before = batch.clone()
    Augment(32)(batch, 0)
    to_float(batch, MEAN, STD)
    assert torch.equal(batch, before)


def test_images_in_a_batch_get_different_views():
    views = Augment(32, noise=0.0)(images(1).expand(6, -1, -1, -1), 0)
    assert all(not torch.equal(views[i], views[j]) for i in range(6) for j in range(i))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_gives_the_same_geometry():
    batch = images(8)
    cpu = Augment(32, noise=0.0, mean=MEAN, std=STD)(batch, 3)
    gpu = Augment(32, noise=0.0, mean=MEAN, std=STD)(batch.cuda(), 3)
    torch.testing.assert_close(gpu.cpu(), cpu, atol=1e-3, rtol=0)
    noisy = Augment(32)(batch.cuda(), 3)
    assert noisy.is_cuda
    assert torch.equal(noisy, Augment(32)(batch.cuda(), 3))
    z = gaussian_noise((100_000,), torch.Generator("cuda").manual_seed(1))
    assert float(z.std()) == pytest.approx(1, abs=0.01)


# Evaluation and errors --------------------------------------------------------------------------


def test_to_float_is_the_formula():
    batch = images(3)
    assert torch.equal(to_float(batch).mul(255).round().to(torch.uint8), batch)
    wanted = (batch / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(to_float(batch, MEAN, STD), wanted)
    assert to_float(batch).dtype == torch.float32
    assert torch.equal(to_float(batch, size=20), to_float(batch)[:, :, 6:26, 6:26])


def test_numpy_statistics_are_accepted():
    mean, std = np.array(MEAN), np.array(STD)
    assert torch.equal(to_float(images(), mean, std), to_float(images(), MEAN, STD))
    assert Augment(16, mean=mean, std=std)(images(), 0).shape == (4, 3, 16, 16)


def test_mistakes_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"uint8 tensor \(b, 3, H, W\), got torch.float32"):
        Augment(16)(images().float(), 0)
    with pytest.raises(ValueError, match=r"\(3, 32, 32\)"):
        to_float(images()[0])
    with pytest.raises(ValueError, match="at least 64 x 64 px"):
        Augment(64)(images(), 0)
    with pytest.raises(ValueError, match="mean and std together"):
        Augment(16, mean=MEAN)
    with pytest.raises(ValueError, match="positive std"):
        to_float(images(), MEAN, (1.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="zoom as"):
        Augment(16, zoom=(1.3, 0.7))
    with pytest.raises(ValueError, match="brightness < 1"):
        Augment(16, brightness=1.0)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        Augment(0)
