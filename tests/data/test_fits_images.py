"""FITS files as pictures: whatever numbers hold the light, the picture is the same."""

import gzip
import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galhelpers.data.fits_images import fits_to_rgb
from galhelpers.data.image_files import ImageError
from galhelpers.data.images import load_images, read_image
from galhelpers.survey import linear_images, render, sample_galaxies
from galhelpers.survey.fits import write_fits

SIZE = 48


def sky(seed=0):
    """A galaxy below and left of the middle in a noisy sky: whole numbers 0-200, row 0 below."""
    y, x = np.mgrid[:SIZE, :SIZE]
    light = 150 * np.exp(-np.hypot((x - 16) / 1.5, y - 12) / 3)
    noise = np.random.default_rng(seed).normal(8, 2, light.shape)
    return np.clip(np.round(light + noise), 0, 200)


def content(*hdus):
    buffer = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(buffer)
    return buffer.getvalue()


def picture(file):
    return read_image(file, SIZE).astype(int)


def with_header(hdu, **cards):
    hdu.header.update(cards)
    return hdu


GOOD = content(fits.PrimaryHDU(sky().astype(np.uint8)))


# Encodings of one galaxy --------------------------------------------------------------------


def encodings():
    light = sky()
    scaled = fits.PrimaryHDU((100 * light).astype(np.int16))
    scaled.header.update({"BSCALE": 0.25, "BZERO": 70.0})
    named = [fits.ImageHDU(light, name=band) for band in ("DQ", "SCI")][::-1]
    compressed = [
        content(fits.PrimaryHDU(), fits.CompImageHDU(light.astype(np.int16), compression_type=kind))
        for kind in ("RICE_1", "GZIP_1", "GZIP_2", "PLIO_1")
    ]
    return {
        "uint16 with BZERO": content(fits.PrimaryHDU((257 * light).astype(np.uint16))),
        "int16": content(fits.PrimaryHDU((100 * light).astype(np.int16))),
        "int16 with a negative sky": content(fits.PrimaryHDU((light - 20).astype(np.int16))),
        "int16 with BSCALE": content(scaled),
        "int32": content(fits.PrimaryHDU((1000 * light - 7000).astype(np.int32))),
        "nanomaggies": content(fits.PrimaryHDU((light * 1e-9).astype(np.float32))),
        "float64": content(fits.PrimaryHDU(light * 1e30)),
        "in an extension": content(fits.PrimaryHDU(), fits.ImageHDU(light)),
        "before its mask": content(fits.PrimaryHDU(), *named),
        "after a table": content(
            fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])]),
            fits.ImageHDU(light),
        ),
        "with axes of one": content(fits.PrimaryHDU(light[None, None])),
        "grey cube": content(fits.PrimaryHDU(np.stack([light] * 3).astype(np.float32))),
        "grey cube, colour last": content(fits.PrimaryHDU(np.stack([light] * 3, 2))),
        "gzipped": gzip.compress(GOOD),
        **{f"compressed {i}": file for i, file in enumerate(compressed)},
    }  # fmt: skip


@pytest.mark.parametrize("name", encodings())
def test_a_galaxy_looks_the_same_in_every_encoding(name):
    assert np.abs(picture(encodings()[name]) - picture(GOOD)).max() <= 1


@given(
    scale=st.floats(1e-12, 1e12),
    zero=st.floats(-1000, 1000),
    kind=st.sampled_from([np.float32, np.float64]),
)
@settings(max_examples=25, deadline=None)
def test_unit_and_zero_of_the_light_do_not_matter(scale, zero, kind):
    file = content(fits.PrimaryHDU(((sky() + zero) * scale).astype(kind)))
    assert np.abs(picture(file) - picture(GOOD)).max() <= 2


def test_row_0_lies_at_the_bottom_and_the_sky_is_dark():
    grey = picture(GOOD)
    assert (grey[0] == grey[1]).all()
    assert (grey[0] == grey[2]).all()
    row, column = np.unravel_index(grey[0].argmax(), grey[0].shape)
    assert (SIZE - 1 - row, column) == (12, 16)
    assert np.median(grey) < 10
    assert grey.max() > 80


def test_filters_are_put_in_order_by_name():
    blue, green, red = (sky(seed) for seed in range(3))
    red[30:40, 30:40] += 100
    cube = np.stack([red, green, blue])
    wanted = picture(content(fits.PrimaryHDU(cube)))
    assert (wanted[0] - wanted[2])[8:18, 30:40].mean() > 30
    others = [
        content(with_header(fits.PrimaryHDU(cube[::-1]), BANDS="grz")),
        content(with_header(fits.PrimaryHDU(cube[::-1]), BAND0="g", BAND1="r", BAND2="z")),
        content(
            fits.PrimaryHDU(),
            *(fits.ImageHDU(p, name=n) for p, n in ((green, "r"), (red, "i"), (blue, "g"))),
        ),
    ]
    for other in others:
        assert np.abs(picture(other) - wanted).max() <= 1


def test_light_of_the_simulated_survey_gives_nearly_its_pictures(tmp_path):
    galaxies = sample_galaxies(8, seed=5)
    light = linear_images(galaxies, size=128, seed=5).numpy()
    pictures = render(galaxies, size=128, seed=5)
    for i, name in enumerate(galaxies.index):
        write_fits(tmp_path / "s.fits", light[i], galaxies.loc[name], "sdss", 50.0)
        theirs = np.asarray(pictures[i], dtype=float)
        ours = read_image(tmp_path / "s.fits", 128).astype(float)
        assert np.abs(ours - theirs).mean() < 10
        # Means of 4 x 4 pixels: the noise of each is drawn for its own size.
        ours, theirs = (p.reshape(3, 32, 4, 32, 4).mean((2, 4)).ravel() for p in (ours, theirs))
        assert np.corrcoef(ours, theirs)[0, 1] > 0.9


def test_any_name_and_a_note(tmp_path):
    for name in ("a.fits", "b.jpg", "c"):
        (tmp_path / name).write_bytes(GOOD)
    images = load_images([tmp_path / n for n in ("a.fits", "b.jpg", "c")], 16, progress=False)
    assert images.ok.all()
    assert images.problems["kind"].tolist() == ["converted"] * 3
    assert images.problems["reason"].str.startswith("FITS").all()


def test_pixels_without_a_value_become_sky():
    light = sky()
    light[:6] = np.nan
    light[30, 30:33] = np.inf
    holed = picture(content(fits.PrimaryHDU(light)))
    assert holed[0, -6:].max() < 10
    assert np.abs(holed[0, 20:40] - picture(GOOD)[0, 20:40]).max() < 12


def test_a_frame_that_is_half_empty_is_noted():
    light = sky()
    assert "%" not in fits_to_rgb(content(fits.PrimaryHDU(light)))[1]
    light[: len(light) // 4] = np.nan
    assert "25%" in fits_to_rgb(content(fits.PrimaryHDU(light)))[1]


def test_a_picture_in_colour_is_not_stretched_again():
    colours = np.random.default_rng(0).integers(0, 255, (3, 20, 30), dtype=np.uint8)
    seen, note = fits_to_rgb(content(fits.PrimaryHDU(colours)))
    assert np.array_equal(seen, colours.transpose(1, 2, 0)[::-1])
    assert "not stretched" in note


# What gives no picture ----------------------------------------------------------------------


def header(*cards):
    """A file that is all header: what it promises does not follow."""
    text = "".join(card.ljust(80) for card in [*cards, "END"])
    return text.ljust(2880).encode()


def number(name, value):
    return f"{name:8}= {value:>20}"


def promise(naxis, *sides, bitpix=-32):
    axes = [number(f"NAXIS{i}", side) for i, side in enumerate(sides, 1)]
    return header(number("SIMPLE", "T"), number("BITPIX", bitpix), number("NAXIS", naxis), *axes)


def rows_without_end():
    table = header(
        "XTENSION= 'BINTABLE'", number("BITPIX", 8), number("NAXIS", 2), number("NAXIS1", 8),
        number("NAXIS2", 10**15), number("PCOUNT", 0), number("GCOUNT", 1), number("TFIELDS", 1),
        "TFORM1  = 'D'",
    )  # fmt: skip
    return content(fits.PrimaryHDU()) + table


def packed(kind, light=None):
    light = np.zeros((64, 64), np.int16) if light is None else light
    return content(fits.PrimaryHDU(), fits.CompImageHDU(light, compression_type=kind))


def bomb():
    """A tile of 64 pixels that unpacks to 200 MB."""
    file = packed("GZIP_1")
    tile = gzip.compress(bytes(200_000_000))
    with fits.open(io.BytesIO(file), disable_image_compression=True) as hdus:
        table, old = hdus[1].data, hdus[1].header
        cells = np.empty(len(table), dtype=object)
        cells[:] = [np.frombuffer(tile, np.uint8), *list(table["COMPRESSED_DATA"])[1:]]
        column = fits.Column("COMPRESSED_DATA", "PB()", array=cells)
        rest = [fits.Column(c.name, c.format, array=table[c.name]) for c in table.columns][1:]
        new = fits.BinTableHDU.from_columns([column, *rest])
        new.header.update({k: v for k, v in old.items() if k.startswith("Z")})
        return content(fits.PrimaryHDU(), new)


TABLE = fits.BinTableHDU.from_columns([fits.Column("file", "9A", array=["a.jpg", "b.jpg"])])
USELESS = {
    "table only": (content(fits.PrimaryHDU(), TABLE), "table without an image"),
    "no data": (content(fits.PrimaryHDU()), "without an image"),
    "a spectrum": (content(fits.PrimaryHDU(np.ones(3000))), "without an image"),
    "all NaN": (content(fits.PrimaryHDU(np.full((50, 50), np.nan))), "100%"),
    "mostly NaN": (content(fits.PrimaryHDU(np.where(sky() > 10, sky(), np.nan))), "NaN"),
    "one value": (content(fits.PrimaryHDU(np.ones((50, 50)))), "one value"),
    "five bands": (content(fits.PrimaryHDU(np.stack([sky()] * 5))), "48 x 48 x 5"),
    "small": (content(fits.PrimaryHDU(sky()[:12, :12])), "12 x 12 px"),
    "10^15 rows": (rows_without_end(), "."),
    "huge": (promise(2, 10**9, 10**9), "1000000000 x 1000000000"),
    "more than 64 bits hold": (promise(2, 10**15, 10**15), "."),
    "999 axes": (promise(999), "."),
    "promises more than there is": (promise(2, 2000, 2000), "promises 2000 x 2000"),
    "negative": (promise(2, -100, 100), "."),
    "cut short": (GOOD[:-2880], "cut short"),
    "header without end": (GOOD[:80] * 50_000, "does not end"),
    "gzip cut short": (gzip.compress(GOOD)[:-100], "cut short"),
    "gzip bomb": (gzip.compress(promise(0) + bytes(600_000_000), 1), "unpacked"),
    "bomb in a tile": (bomb(), "tile"),
    "decoder that is not safe": (packed("HCOMPRESS_1"), "HCOMPRESS_1.*funpack"),
}


@pytest.mark.parametrize("name", USELESS)
def test_what_gives_no_picture_is_one_reason(name):
    file, words = USELESS[name]
    with pytest.raises(ImageError, match=words) as caught:
        read_image(file, 16)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@given(
    file=st.sampled_from([GOOD, gzip.compress(GOOD), packed("RICE_1", sky().astype(np.int16)),
                          packed("GZIP_2", sky().astype(np.int16)), encodings()["grey cube"]]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
    end=st.floats(0.02, 1),
)  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damage_gives_pixels_or_one_reason(file, changes, end):
    damaged = bytearray(file)
    for where, value in changes:
        # Half of all changes fall upon a header, where they do more harm than among the pixels.
        damaged[int(where**2 * (len(damaged) - 1))] = value
    reason = ""
    try:
        assert read_image(bytes(damaged[: int(end * len(damaged))]), 16).shape == (3, 16, 16)
    except ImageError as error:
        reason = str(error)
    assert reason.isprintable()
    assert len(reason) < 250
