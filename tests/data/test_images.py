"""Reading images: broken files, odd formats, the cache, and that a reduced galaxy is the galaxy."""

import io
import math
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galhelpers.data.images import ImageError, load_images, read_image


def galaxy(width=96, height=None, seed=0):
    """A round galaxy with noise: uint8 (height, width, 3)."""
    height = height or width
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5)
    light = 200 * np.exp(-radius / 0.12)[..., None] * [1.0, 0.8, 0.6]
    noise = np.random.default_rng(seed).normal(0, 4, light.shape)
    return np.clip(light + 15 + noise, 0, 255).astype(np.uint8)


def jpeg(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def save(folder, name, image, **options):
    path = folder / name
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path, **options)
    return path


def area_mean(array, size, crop=1.0):
    """Exact mean of the area under each new pixel, parts of pixels included: (size, size, 3)."""
    n = len(array)
    edges = np.linspace(n * (1 - crop) / 2, n * (1 + crop) / 2, size + 1)
    weights = np.zeros((size, n))
    for i in range(size):
        for j in range(math.floor(edges[i]), min(n, math.ceil(edges[i + 1]))):
            weights[i, j] = min(edges[i + 1], j + 1) - max(edges[i], j)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("ij,jkc,lk->ilc", weights, array.astype(float), weights, optimize=True)


def rms(difference):
    return float(np.sqrt(np.mean(np.square(difference, dtype=float))))


# Broken files -------------------------------------------------------------------------------


def broken_files(folder):
    """One file of each broken kind, with words its complaint must hold."""
    good = jpeg(galaxy())
    png = io.BytesIO()
    Image.fromarray(galaxy()).save(png, "PNG")
    flipped = bytearray(png.getvalue())
    flipped[len(flipped) // 2] ^= 0xFF  # PNG carries checksums; JPEG has none
    (folder / "folder.jpg").mkdir()
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    large = io.BytesIO()
    Image.new("1", (9_000, 8_000)).save(large, "PNG")
    floats = Image.fromarray(np.ones((8, 8), np.float32))
    deep = Image.fromarray(np.full((8, 8), 70_000, np.int32))
    return {
        save(folder, "empty.jpg", b""): "empty (0 bytes)",
        save(folder, "truncated.jpg", good[: len(good) // 2]): "damaged or cut short",
        save(folder, "truncated.png", png.getvalue()[:-2000]): "damaged or cut short",
        save(folder, "header_only.jpg", good[:20]): "not an image",
        save(folder, "corrupt.png", bytes(flipped)): "damaged or cut short",
        save(folder, "zeros.jpg", bytes(5000)): "not an image in a known format",
        save(folder, "text.jpg", b"GalaxyID,Class1.1\n100008,0.38\n"): "starts with 'GalaxyID,Cla'",
        save(folder, "error_page.jpg", b"<!DOCTYPE html><html>404</html>"): "'<!DOCTYPE ht'",
        save(folder, "bomb.png", bomb.getvalue()): "refused",
        save(folder, "large.png", large.getvalue()): "9000 x 8000 px",
        save(folder, "floats.tif", floats): "floating-point pixels",
        save(folder, "deep.tif", deep): "32-bit integer pixels",
        folder / "folder.jpg": "is a folder",
        folder / "missing.jpg": "no such file",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="pipe or a device"):
        read_image(tmp_path / "pipe.jpg", 8)


def test_broken_files_are_listed_and_never_stop_the_rest(tmp_path):
    broken = broken_files(tmp_path)
    good = [save(tmp_path, f"good{i}.jpg", jpeg(galaxy(seed=i))) for i in range(2)]
    images = load_images([good[0], *broken, good[1]], 32, cache_dir=tmp_path / "c", progress=False)

    assert images.ok.tolist() == [True] + [False] * len(broken) + [True]
    assert np.array_equal(images.pixels[0], read_image(good[0], 32))
    assert np.array_equal(images.pixels[-1], read_image(good[1], 32))
    assert not images.pixels[1:-1].any()
    assert images.problems["file"].tolist() == [str(path) for path in broken]
    assert set(images.problems["kind"]) == {"error"}
    for reason, words in zip(images.problems["reason"], broken.values(), strict=True):
        assert words in reason
        assert "\n" not in reason
        assert "BytesIO" not in reason
        assert len(reason) < 120


def test_read_image_says_what_is_wrong(tmp_path):
    for path, words in broken_files(tmp_path).items():
        with pytest.raises(ImageError) as caught:
            read_image(path, 32)
        assert words in str(caught.value)
    with pytest.raises(ImageError, match="empty"):
        read_image(b"", 32)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_an_unreadable_file_is_a_problem(tmp_path):
    path = save(tmp_path, "secret.jpg", jpeg(galaxy()))
    path.chmod(0)
    assert "Permission denied" in load_images([path], 8, progress=False).problems["reason"][0]


# Odd formats --------------------------------------------------------------------------------


def test_odd_formats_give_the_right_pixels_and_a_note(tmp_path):
    array = galaxy(64)
    rgb = Image.fromarray(array)
    grey = array[..., 1]
    half = np.dstack([array, np.full((64, 64), 128, np.uint8)])
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    wanted_grey = np.broadcast_to(grey, (3, 64, 64))
    wanted_rgb = array.transpose(2, 0, 1).astype(int)
    palette = rgb.quantize(256)
    wanted_palette = np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    cases = [  # name, image, pixels wanted, largest difference, words of the note
        ("grey.png", Image.fromarray(grey), wanted_grey, 0, "grey: one channel"),
        ("grey.jpg", Image.fromarray(grey), wanted_grey, 8, "grey: one channel"),
        ("grey16.png", sixteen, wanted_grey, 0, "16-bit grey"),
        ("grey16.tif", sixteen, wanted_grey, 0, "16-bit grey"),
        ("palette.png", palette, wanted_palette, 0, "P converted to RGB"),
        ("palette.gif", palette, wanted_palette, 0, "P converted to RGB"),
        ("alpha.png", Image.fromarray(half), wanted_rgb * 128 // 255, 1, "RGBA laid on black"),
        ("cmyk.jpg", rgb.convert("CMYK"), wanted_rgb, 12, "CMYK converted to RGB"),
        ("cmyk.tif", rgb.convert("CMYK"), wanted_rgb, 1, "CMYK converted to RGB"),
    ]
    quality = {".jpg": {"quality": 95}}
    files = [save(tmp_path, n, image, **quality.get(n[-4:], {})) for n, image, *_ in cases]
    images = load_images(files, 64, progress=False)
    assert images.ok.all()
    assert images.problems["kind"].tolist() == ["converted"] * len(cases)
    for i, (name, _, wanted, tolerance, words) in enumerate(cases):
        difference = np.abs(images.pixels[i].astype(int) - wanted)
        assert difference.max() <= tolerance, name
        assert words in images.problems["reason"][i], name


def test_sixteen_bit_colour_png_is_noted(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    # Pillow cannot write this format, so it is put together by hand: 4 x 4 px, RGB = 3 levels.
    row = b"\0" + struct.pack(">12H", *[10_280, 25_700, 51_400] * 4)
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(row * 4)) + chunk(b"IEND", b"")
    images = load_images([save(tmp_path, "deep.png", content)], 4, progress=False)
    assert images.pixels[0].reshape(3, -1).T.tolist() == [[40, 100, 200]] * 16
    assert "16-bit RGB" in images.problems["reason"][0]


def test_the_content_counts_not_the_name(tmp_path):
    png = save(tmp_path, "really_a_png.jpg", Image.fromarray(galaxy()), format="PNG")
    images = load_images([png], 96, progress=False)
    assert len(images.problems) == 0
    assert np.array_equal(images.pixels[0], galaxy().transpose(2, 0, 1))


def test_the_central_square_of_a_wide_image_is_used(tmp_path):
    array = np.zeros((40, 100, 3), np.uint8)
    array[:, 28:72] = 200  # two pixels more: the filter looks a little past the crop
    images = load_images([save(tmp_path, "w.png", Image.fromarray(array))], 20, progress=False)
    assert (images.pixels == 200).all()
    assert "central square" in images.problems["reason"][0]


# Resizing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])  # decoded at 1/4 of the size, or in full
@pytest.mark.parametrize("crop", [1.0, 0.6])
def test_424_to_64_is_the_mean_over_each_pixels_area(kind, crop):
    array = galaxy(424)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, quality=95, subsampling=0)
    full = np.asarray(Image.open(buffer))
    ours = read_image(buffer.getvalue(), 64, crop).transpose(1, 2, 0).astype(float)
    difference = ours - area_mean(full, 64, crop)
    assert rms(difference) < 1.0
    assert abs(difference.mean()) < 0.3


def test_fine_stripes_do_not_alias():
    # Stripes of one pixel turn into broad false bands when pixels are merely skipped.
    stripes = np.zeros((424, 424, 3), np.uint8)
    stripes[:, ::2] = 200
    for content in (jpeg(stripes), None):
        buffer = io.BytesIO()
        Image.fromarray(stripes).save(buffer, "PNG")
        pixels = read_image(content or buffer.getvalue(), 64).astype(float)
        assert abs(pixels - 100).max() < 8
    skipped = np.asarray(Image.fromarray(stripes).resize((64, 64), Image.Resampling.NEAREST))
    assert skipped.std() > 90  # the same image, done wrong


def test_sizes_that_do_not_divide_keep_the_field_of_view():
    # 425 px is decoded as 107 px, which covers 428 px: uncorrected, a shift of the far edge.
    array = np.full((425, 425, 3), 20, np.uint8)
    array[-10:, -10:] = 220
    exact = area_mean(np.asarray(Image.open(io.BytesIO(jpeg(array)))), 53)
    ours = read_image(jpeg(array), 53).transpose(1, 2, 0)
    assert rms(ours[-6:, -6:] - exact[-6:, -6:]) < 6


def test_a_reduced_image_shows_the_same_field_of_view():
    array = galaxy(424)
    array[150:160, 230:240] = 255  # a star off the centre
    small = np.round(area_mean(array, 160)).astype(np.uint8)
    for crop in (1.0, 0.5):
        difference = read_image(jpeg(array), 48, crop) - read_image(jpeg(small), 48, crop) * 1.0
        assert rms(difference) < 3
    wrong = read_image(jpeg(array), 48, 0.5) - read_image(jpeg(small), 48, 0.55) * 1.0
    assert rms(wrong) > 6  # a tenth more of the field is another picture


@pytest.mark.real
def test_real_galaxies_at_424_and_160_px_are_the_same_galaxies(real_data):
    labels = pd.read_csv(real_data / "gz2_five_class" / "labels.csv").set_index("GalaxyID")["file"]
    native = sorted((real_data / "gz2_native" / "images_training_rev1").glob("*.jpg"))
    pairs = [(f, real_data / "gz2_five_class" / labels[int(f.stem)]) for f in native
             if int(f.stem) in labels.index][:40]  # fmt: skip
    assert len(pairs) == 40
    for crop in (1.0, 0.5):
        large, small = (load_images(p, 64, crop, progress=False) for p in zip(*pairs, strict=True))
        assert large.ok.all()
        assert small.ok.all()
        difference = large.pixels.astype(float) - small.pixels
        # Two JPEG compressions and two reductions differ by about one level of 255.
        assert rms(difference) < 3
        assert abs(difference.mean()) < 0.3


@pytest.mark.real
def test_real_galaxies_are_reduced_without_aliasing(real_data):
    files = sorted((real_data / "gz2_native" / "images_training_rev1").glob("*.jpg"))[:20]
    ours = load_images(files, 64, progress=False).pixels.transpose(0, 2, 3, 1)
    exact = [area_mean(np.asarray(Image.open(file).convert("RGB")), 64) for file in files]
    assert rms(ours - np.array(exact)) < 1.0


# The cache ----------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    return [save(tmp_path, f"{i}.jpg", jpeg(galaxy(seed=i))) for i in range(5)]


def load(files, folder, size=16, **options):
    return load_images(files, size, cache_dir=folder, progress=False, **options)


def test_the_second_call_decodes_nothing(files, tmp_path, monkeypatch):
    files = [*files, tmp_path / "missing.jpg"]
    first = load(files, tmp_path / "cache")
    monkeypatch.setattr(Image, "open", None)  # decoding anything would raise
    second = load(files, tmp_path / "cache")
    assert (first.from_cache, second.from_cache) == (False, True)
    assert first.path == second.path
    assert np.array_equal(first.pixels, second.pixels)
    assert first.digests == second.digests
    assert second.ok.tolist() == [True] * 5 + [False]
    pd.testing.assert_frame_equal(first.problems, second.problems)


def test_cached_pixels_are_mapped_read_only_and_equal_those_in_memory(files, tmp_path):
    cached = load(files, tmp_path / "cache", workers=1)
    assert isinstance(cached.pixels, np.memmap)
    assert not cached.pixels.flags.writeable
    in_memory = load_images(files, 16, progress=False)
    assert in_memory.path is None
    assert np.array_equal(cached.pixels, in_memory.pixels)
    assert cached.digests == in_memory.digests
    assert len(cached) == 5


def test_moved_files_are_still_in_the_cache(files, tmp_path):
    load(files, tmp_path / "cache")
    moved = [file.rename(file.with_suffix(".jpeg")) for file in files]
    assert load(moved, tmp_path / "cache").from_cache


def test_anything_that_changes_the_pixels_misses_the_cache(files, tmp_path):
    cache = tmp_path / "cache"
    load(files, cache)
    assert not load(files, cache, size=17).from_cache
    assert not load(files, cache, crop=0.5).from_cache
    assert not load(files[::-1], cache).from_cache
    assert not load(files[:4], cache).from_cache
    files[2].write_bytes(jpeg(galaxy(seed=77)))
    changed = load(files, cache)
    assert not changed.from_cache
    assert np.array_equal(changed.pixels[2], read_image(files[2], 16))
    assert load(files, cache).from_cache


def test_a_file_that_arrives_later_is_read(files, tmp_path):
    late = tmp_path / "late.jpg"
    assert not load([*files, late], tmp_path / "cache").ok[-1]
    late.write_bytes(jpeg(galaxy(seed=9)))
    assert load([*files, late], tmp_path / "cache").ok.all()


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("keep", [0, 100, None])
def test_a_damaged_cache_is_made_again(files, tmp_path, suffix, keep):
    path = load(files, tmp_path / "cache").path
    damaged = path.with_suffix(suffix)
    if keep is None:
        damaged.unlink()
    else:
        damaged.write_bytes(damaged.read_bytes()[:keep])
    again = load(files, tmp_path / "cache")
    assert not again.from_cache
    assert np.array_equal(again.pixels[0], read_image(files[0], 16))
    assert load(files, tmp_path / "cache").from_cache


def test_a_failure_leaves_no_half_cache(files, tmp_path, monkeypatch):
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load(files, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def _build(files, folder, barrier, results):
    barrier.wait()
    images = load(files, folder)
    results.put((images.ok.all(), int(images.pixels.astype(np.int64).sum())))


def test_two_processes_may_build_one_cache(tmp_path):
    files = [save(tmp_path, f"{i}.jpg", jpeg(galaxy(seed=i % 7))) for i in range(600)]
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    arguments = (files, tmp_path / "cache", barrier, results)
    processes = [context.Process(target=_build, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    answers = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    expected = int(load_images(files, 16, progress=False).pixels.astype(np.int64).sum())
    assert answers == [(True, expected)] * 2
    left = sorted(path.suffix for path in (tmp_path / "cache").iterdir())
    assert left == [".json", ".npy"]


def test_order_survives_blocks_and_threads(tmp_path):
    files = []
    for i in range(1100):  # more than two blocks
        image = Image.new("RGB", (4, 4), (i % 256, i // 256, 7))
        files.append(save(tmp_path, f"{i}.png", image))
    pixels = load_images(files, 4, workers=4, progress=False).pixels
    assert np.array_equal(
        pixels[:, 0, 0, 0] + 256 * pixels[:, 1, 0, 0].astype(int), np.arange(1100)
    )


@pytest.mark.parametrize("crop", [0, -0.5, 1.01, math.nan])
def test_wrong_crops_are_refused(files, crop):
    with pytest.raises(ValueError, match="fraction of the frame"):
        load_images(files, 16, crop)


def test_wrong_sizes_and_empty_lists_are_refused(files):
    with pytest.raises(ValueError, match="at least 1 pixel"):
        read_image(files[0], 0)
    with pytest.raises(ValueError, match="at least one image"):
        load_images([], 16)


def test_paths_may_be_text(files):
    assert load_images([str(Path(files[0]))], 16, progress=False).ok.all()
