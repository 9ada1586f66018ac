"""Reading images: broken files, odd formats, the cache, and that a reduced galaxy is the galaxy."""

import io
import json
import math
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

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
    black = np.zeros((64, 64, 3), np.uint8)
    hot = black.copy()
    hot[5, 5:12] = 255
    noise = np.random.default_rng(0).integers(0, 8, (64, 64, 3), dtype=np.uint8)
    counts = Image.fromarray(galaxy(64)[..., 1].astype(np.uint16) * 4 + 1000)
    (folder / "loop.jpg").symlink_to("loop.jpg")
    with (folder / "sparse.jpg").open("wb") as file:
        file.truncate(60 * 10**9)
    return {
        save(folder, "empty.jpg", b""): "empty (0 bytes)",
        save(folder, "truncated.jpg", good[: len(good) // 2]): "damaged or cut short",
        save(folder, "truncated.png", png.getvalue()[:-2000]): "damaged or cut short",
        save(folder, "header_only.jpg", good[:20]): "damaged or cut short",
        save(folder, "corrupt.png", bytes(flipped)): "damaged or cut short",
        save(folder, "zeros.jpg", bytes(5000)): "a file of zeros",
        save(folder, "text.jpg", b"root:x:0:0:s3cret\n"): "is text, not an image",
        save(folder, "error_page.jpg", b"<!DOCTYPE html>s3cret</html>"): "a web page",
        save(folder, "list.jpg", b"PK\x03\x04s3cret"): "a zip archive",
        save(folder, "array.jpg", b"\x93NUMPYs3cret"): "a NumPy array",
        save(folder, "table.jpg", b"PAR1s3cret"): "a Parquet table",
        save(folder, "unknown.jpg", b"\x01\x02s3cret\x1b[2J"): "of unknown kind",
        save(folder, "words.ppm", b"P3 1300 1300 255\n" + b"1 " * 5_070_000): "as words",
        save(folder, "bomb.png", bomb.getvalue()): "refused",
        save(folder, "large.png", large.getvalue()): "9000 x 8000 px",
        save(folder, "floats.tif", floats): "floating-point pixels",
        save(folder, "deep.tif", deep): "32-bit integer pixels",
        save(folder, "counts.tif", counts): "counts from 10",
        save(folder, "bits.png", Image.fromarray(galaxy(64)).convert("1")): "1 bit",
        save(folder, "black.png", Image.fromarray(black)): "RGB 0, 0, 0",
        save(folder, "black.jpg", jpeg(black)): "RGB 0, 0, 0",
        save(folder, "white.png", Image.fromarray(255 - black)): "RGB 255, 255, 255",
        save(folder, "one_colour.gif", Image.new("RGB", (90, 90), (9, 80, 9))): "is empty",
        save(folder, "hot_pixels.png", Image.fromarray(hot)): "is empty",
        save(folder, "noise.png", Image.fromarray(noise)): "is empty",
        save(folder, "strip.jpg", jpeg(black[:20] + 9)): "is empty",
        save(folder, "one_pixel.png", Image.new("RGB", (1, 1))): "1 x 1 px",
        save(folder, "line.png", Image.fromarray(galaxy(300, 8))): "300 x 8 px",
        folder / "folder.jpg": "is a folder",
        folder / "missing.jpg": "no such file",
        folder / ("long" * 100 + ".jpg"): "cannot be read",
        folder / "zero\0.jpg": "cannot be read",
        folder / "loop.jpg": "symbolic links",
        folder / "sparse.jpg": "60,000,000,000 bytes",
    }


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_has_no_end_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "zeros.jpg").symlink_to("/dev/zero")
    for name in ("pipe.jpg", "zeros.jpg"):
        with pytest.raises(ImageError, match="pipe or a device"):
            read_image(tmp_path / name, 8)


@pytest.mark.skipif(sys.platform == "win32", reason="the program is a shell script")
@pytest.mark.parametrize(
    "start",
    [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n", b"\xc5\xd0\xd3\xc6" + bytes(60)],
)
def test_no_program_is_started_on_a_file(tmp_path, monkeypatch, start):
    started = tmp_path / "started"
    program = save(tmp_path, "gs", f"#!/bin/sh\ntouch {started}\n".encode())
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    hostile = start + b"%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(ImageError, match="PostScript program"):
        read_image(hostile, 16)
    assert not started.exists()


_LARGE_PICTURES = """
import resource, sys
import numpy as np
from galhelpers.data.images import load_images, read_image
read_image(sys.argv[2], 8)  # what is loaded once
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
images = load_images([sys.argv[1]] * 6, 8, workers=6, progress=False)
assert images.ok.all(), images.problems
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in the units of Linux")
def test_memory_does_not_grow_with_the_number_of_threads(tmp_path):
    deep = np.zeros((3000, 3000), np.uint16)
    deep[1000:2000, 1000:2000] = 60_000
    large = save(tmp_path, "large.png", Image.fromarray(deep), compress_level=1)
    small = save(tmp_path, "small.png", Image.fromarray(deep[900:1100, 900:1100]))
    command = [sys.executable, "-c", _LARGE_PICTURES, str(large), str(small)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # One takes some 90 MB: 2 bytes a pixel twice, then 1 and 4. Six would take 500.
    assert grown < 200_000


@pytest.mark.real
def test_no_real_galaxy_is_taken_for_an_empty_picture(real_data):
    for name in ("gz2_native", "gz1_sdss", "decals_rings", "gz2_votes", "candels_stamps"):
        files = sorted(f for f in (real_data / name).rglob("*") if f.suffix in (".jpg", ".png"))
        images = load_images(files[:150], 64, progress=False)
        assert images.ok.all(), images.problems


@pytest.mark.parametrize("telescope", ["sdss", "decals", "des", "hst"])
def test_no_simulated_galaxy_is_taken_for_an_empty_picture(telescope, tmp_path):
    # Here, because the processes of another test read this module and do not need torch.
    from galhelpers.survey import render, sample_galaxies

    pictures = np.asarray(render(sample_galaxies(40, seed=3), telescope, size=64, seed=3))
    files = [save(tmp_path, f"{i}.jpg", jpeg(p.transpose(1, 2, 0))) for i, p in enumerate(pictures)]
    images = load_images(files, 32, progress=False)
    assert images.ok.all(), images.problems


FORMATS = {"JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP"}
FORMATS |= {f for f, name in (("AVIF", "avif"), ("JPEG2000", "jpg_2000")) if features.check(name)}


def small_picture(kind):
    buffer = io.BytesIO()
    Image.fromarray(galaxy(24)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_every_format_is_read(kind):
    assert read_image(small_picture(kind), 24).std() > 10


@given(
    kind=st.sampled_from(sorted(FORMATS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    end=st.floats(0.02, 1),
    more=st.binary(max_size=50),
)
@settings(max_examples=300, deadline=None)
def test_damage_gives_pixels_or_one_reason(kind, changes, end, more):
    damaged = bytearray(small_picture(kind))
    for where, value in changes:
        # More of the changes fall upon the header, where they do more harm.
        damaged[int(where**2 * (len(damaged) - 1))] = value
    check_pixels_or_reason(bytes(damaged[: int(end * len(damaged))]) + more)


@given(
    start=st.sampled_from([small_picture(kind)[:16] for kind in sorted(FORMATS)] + [b""]),
    rest=st.binary(max_size=200),
)
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_pixels_or_one_reason(start, rest):
    check_pixels_or_reason(start + rest)


def check_pixels_or_reason(content):
    reason = ""
    try:
        pixels = read_image(content, 8)
        assert (pixels.shape, pixels.dtype) == ((3, 8, 8), np.uint8)
    except ImageError as error:
        reason = str(error)
    assert reason.isprintable()
    assert len(reason) < 250


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
        assert "s3cret" not in reason
        assert reason.isprintable()
        assert len(reason) < 160


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
    twelve = Image.fromarray(grey.astype(np.uint16) * 16)
    eight = Image.fromarray(grey.astype(np.uint16))
    wanted_grey = np.broadcast_to(grey, (3, 64, 64))
    wanted_rgb = array.transpose(2, 0, 1).astype(int)
    palette = rgb.quantize(256)
    wanted_palette = np.asarray(palette.convert("RGB")).transpose(2, 0, 1)
    cases = [  # name, image, pixels wanted, largest difference, words of the note
        ("grey.png", Image.fromarray(grey), wanted_grey, 0, "grey: one channel"),
        ("grey.jpg", Image.fromarray(grey), wanted_grey, 8, "grey: one channel"),
        ("grey16.png", sixteen, wanted_grey, 0, "16-bit grey"),
        ("grey16.tif", sixteen, wanted_grey, 0, "65535 is white"),
        ("grey12.png", twelve, wanted_grey, 1, "4095 is white"),
        ("grey12.tif", twelve, wanted_grey, 1, "4095 is white"),
        ("grey8.tif", eight, wanted_grey, 0, "255 is white"),
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


@pytest.mark.parametrize("suffix", ["tif", "gif", "webp", "png"])
def test_the_first_of_several_pictures_in_a_file_is_noted(tmp_path, suffix):
    """Of three filters as pages of one TIFF file only one is seen."""
    pages = [Image.fromarray(noise) for noise in np.random.default_rng(0).integers(
        0, 255, (3, 40, 40, 3), dtype=np.uint8)]  # fmt: skip
    alone = save(tmp_path, f"one.{suffix}", pages[0])
    several = tmp_path / f"three.{suffix}"
    pages[0].save(several, save_all=True, append_images=pages[1:])
    images = load_images([alone, several], 40, progress=False)
    noted = images.problems.set_index("file")["reason"].str.contains("several")
    assert noted.get(str(several))
    assert not noted.get(str(alone), False)
    if suffix == "tif":
        assert np.array_equal(images.pixels[0], images.pixels[1])


def test_sixteen_bit_colour_png_is_noted(tmp_path):
    import struct
    import zlib

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    # Pillow cannot write this format, so it is put together by hand: 16 x 16 px, half black.
    row = b"\0" + struct.pack(">48H", *[10_280, 25_700, 51_400] * 8, *[0] * 24)
    header = struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"IDAT", zlib.compress(row * 16)) + chunk(b"IEND", b"")
    images = load_images([save(tmp_path, "deep.png", content)], 16, progress=False)
    assert images.pixels[0, :, :, :8].reshape(3, -1).T.tolist() == [[40, 100, 200]] * 128
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
    stripes[:40] = 0  # without this it would be a picture of one colour
    for content in (jpeg(stripes), None):
        buffer = io.BytesIO()
        Image.fromarray(stripes).save(buffer, "PNG")
        pixels = read_image(content or buffer.getvalue(), 64).astype(float)
        assert abs(pixels[:, 8:] - 100).max() < 8
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


@pytest.mark.parametrize(
    "change", ["pixels", "all errors", "a digest", "an older form", "nonsense"]
)
def test_a_changed_cache_is_made_again(files, tmp_path, change):
    path = load(files, tmp_path / "cache").path
    note = path.with_suffix(".json")
    check, (outcomes, hashes) = json.loads(note.read_text())
    if change == "pixels":
        content = bytearray(path.read_bytes())
        content[400:1200] = bytes(800)
        path.write_bytes(content)
    elif change == "all errors":
        outcomes = [[digest, "error", "is damaged"] for digest, *_ in outcomes]
        note.write_text(json.dumps([check, [outcomes, hashes]]))
    elif change == "a digest":
        outcomes[0][0] = outcomes[1][0]
        note.write_text(json.dumps([check, [outcomes, hashes]]))
    else:
        note.write_text(json.dumps(outcomes) if change == "an older form" else "[" * 10**6)
    again = load(files, tmp_path / "cache")
    assert not again.from_cache
    assert again.ok.all()
    assert np.array_equal(again.pixels[0], read_image(files[0], 16))
    assert load(files, tmp_path / "cache").from_cache


def test_without_a_folder_to_write_to_the_pixels_stay_in_memory(files, tmp_path, capsys):
    (tmp_path / "cache").write_text("in the way")
    images = load([*files, tmp_path / "missing.jpg"], tmp_path / "cache")
    assert "memory" in capsys.readouterr().out
    assert images.path is None
    assert images.ok.tolist() == [True] * 5 + [False]
    assert len(images.problems) == 1
    assert np.array_equal(images.pixels[0], read_image(files[0], 16))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_full_disk_leaves_the_pixels_in_memory(files, tmp_path, capsys):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # no file may be larger
    try:
        images = load(files, tmp_path / "cache")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert images.path is None
    assert images.ok.all()
    assert "memory" in capsys.readouterr().out
    assert not list((tmp_path / "cache").iterdir())


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
        image = Image.new("RGB", (16, 16), (i % 256, i // 256, 7))
        image.paste((90, 200, 90), (8, 8, 12, 12))
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
