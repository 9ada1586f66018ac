"""FITS files to pictures: the light is measured against the sky's noise and stretched as SDSS does.

A FITS file holds light, not a picture: its values have any unit, zero and range. So each band is
counted from its own sky in units of its own noise, and then goes through the stretch of the
course's SDSS pictures, as if that telescope had seen the galaxy with this much noise. The picture
is the same for counts, nanomaggies and electrons, whether the sky was subtracted or not.
"""

import gzip
import io
import math
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from galhelpers.data.image_files import MAX_BYTES, MAX_PIXELS, ImageError, in_turn

FITS_MARK = b"SIMPLE  ="
_BLUE_TO_RED = "ugrizyjhk"  # names of filters
_TILES = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "NOCOMPRESS")
_EXTENSIONS = 100  # looked at in one file
_HEADER = 1_000_000  # bytes; the largest headers that surveys write have a tenth of that
# Light that is free of noise is shown down to a thousandth of its brightest parts.
_DEEPEST = 1000
_GAPS = 0.01  # share of pixels without a value that nobody needs to hear of
_SAMPLE = 1_000_000  # pixels from which sky and noise are measured
_STRIP = 500_000  # pixels that are stretched at a time, so that their floats take little memory


def unpack_fits(content: bytes) -> bytes | None:
    """Give the content of a FITS file, unpacked when it is gzipped; None for anything else."""
    if content.startswith(FITS_MARK):
        return content
    if not content.startswith(b"\x1f\x8b"):
        return None
    try:
        with gzip.open(io.BytesIO(content)) as file:
            if file.read(len(FITS_MARK)) != FITS_MARK:
                return None
            file.seek(0)
            with in_turn(size=10 * len(content)):
                unpacked = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, ValueError) as error:
        raise ImageError(f"is damaged or cut short: {error}") from None
    if len(unpacked) > MAX_BYTES:
        raise ImageError(f"has more than {MAX_BYTES:,} bytes when it is unpacked: refused")
    return unpacked


def fits_to_rgb(content: bytes) -> tuple[NDArray[np.uint8], str]:
    """Turn the first image of a FITS file into a picture.

    Parameters
    ----------
    content
        A FITS file with one band, a cube of three bands, or an extension for each of three filters.
        It may be tile-compressed (``.fz``).

    Returns
    -------
    uint8 array (height, width, 3), and a note on what was done
        RGB, row 0 at the top: FITS counts rows from the bottom. One band becomes grey. Three bands
        are red, green and blue in the order of the file, or by wavelength where the header names
        the filters (``BANDS``, ``BAND0``, or the names of the extensions). Three bands of 8
        bits are a picture that somebody stretched already.

    Raises
    ------
    ImageError
        For a file without an image, with more than ``MAX_PIXELS`` values, of another number of
        bands, without values, or of one value throughout.
    """
    # A header without an end would be read card by card to the end of the file.
    if b"END" + 77 * b" " not in content[:_HEADER]:
        raise ImageError("is damaged or cut short: its FITS header does not end")
    with fits.open(io.BytesIO(content), memmap=False) as hdus:
        chosen = _choose(hdus)
        for hdu in chosen:
            _check_size(hdu, len(content))
        with in_turn(sum(math.prod(hdu.shape) for hdu in chosen)):
            for hdu in chosen:
                if isinstance(hdu, fits.CompImageHDU):
                    _check_tiles(content, hdus.index_of(hdu), math.prod(hdu.shape))
            bands = np.concatenate([_planes(hdu) for hdu in chosen])
            wavelengths = [_BLUE_TO_RED.find(letter) for letter in _filters(chosen)]
            if len(wavelengths) == len(bands):
                bands = bands[np.argsort(wavelengths)[::-1]]
            if bands.dtype == np.uint8 and len(bands) == 3:
                return bands.transpose(1, 2, 0)[::-1], "FITS in 8-bit colour: not stretched again"
            missing = 1 - np.isfinite(bands).mean()
            note = f"; {missing:.0%} of it has no value and became sky" if missing > _GAPS else ""
            return _stretch(bands)[::-1], f"FITS: light stretched as in pictures of SDSS{note}"


def _choose(hdus: Any) -> list[Any]:
    """Find the extensions of three filters, else the first image."""
    images, tables = [], 0
    for number in range(_EXTENSIONS):
        try:
            hdu = hdus[number]  # astropy reads one header at a time
        except IndexError:
            break
        if hdu.is_image and len(hdu.shape) > 1:
            images.append(hdu)
        tables += isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and not hdu.is_image
    if not images:
        what = "is a FITS table" if tables else "is a FITS file"
        raise ImageError(f"{what} without an image")
    filters = [hdu for hdu in images if hdu.name.lower() in tuple(_BLUE_TO_RED)]
    shapes = {hdu.shape for hdu in filters}
    return filters if len(filters) == 3 and len(shapes) == 1 else images[:1]


def _filters(hdus: list[Any]) -> str:
    """Give the filters' letters in the order of the bands, "" where the header has none."""
    header = hdus[0].header
    one_by_one = "".join(str(header.get(f"BAND{i}", "")) for i in range(3))
    cube = str(header.get("BANDS", one_by_one))
    names = (cube if len(hdus) == 1 else "".join(hdu.name for hdu in hdus)).lower()
    return names if all(letter in _BLUE_TO_RED for letter in names) else ""


def _check_size(hdu: Any, size: int) -> None:
    """Compare what the header promises with the file and the limits, before anything is read."""
    values = math.prod(hdu.shape)
    frame = " x ".join(map(str, hdu.shape[::-1]))
    if values > MAX_PIXELS:
        raise ImageError(f"has {frame} values, more than {MAX_PIXELS:,} are refused")
    if isinstance(hdu, fits.CompImageHDU):
        if hdu.compression_type not in _TILES:
            # The decoder reads past its memory where the file is damaged, and Python ends.
            raise ImageError(
                f"is compressed with {hdu.compression_type}, which is not read: unpack it with "
                "funpack"
            )
    elif values * abs(hdu.header["BITPIX"]) // 8 > size:
        raise ImageError(f"is damaged or cut short: its header promises {frame} values")


def _check_tiles(content: bytes, number: int, values: int) -> None:
    """Refuse tiles that unpack to more than the whole image holds."""
    with fits.open(io.BytesIO(content), memmap=False, disable_image_compression=True) as hdus:
        table = hdus[number].data
        for name in table.names:
            cells = table[name] if "COMPRESSED" in name else []
            for cell in cells:
                packed = np.asarray(cell).tobytes()
                if packed.startswith(b"\x1f\x8b"):
                    unpacker = zlib.decompressobj(wbits=31)
                    unpacker.decompress(packed, 8 * values)
                    if not unpacker.eof:
                        raise ImageError("is damaged: a tile is cut short or too large")


def _planes(hdu: Any) -> NDArray[Any]:
    """Read an image as (bands, height, width)."""
    data = hdu.data
    shape = tuple(n for n in data.shape if n != 1)
    if len(shape) == 3 and shape[0] != 3 and shape[2] == 3:
        return np.moveaxis(data.reshape(shape), 2, 0)
    if len(shape) == 2 or (len(shape) == 3 and shape[0] == 3):
        return data.reshape(-1, *shape[-2:])
    frame = " x ".join(map(str, data.shape[::-1]))
    raise ImageError(f"has {frame} values: expected one image, or three of one size for colour")


def _stretch(bands: NDArray[Any]) -> NDArray[np.uint8]:
    """Count each band from its sky in units of its noise, and stretch all: (height, width, 3)."""
    # Both load torch, which whoever reads no FITS file need not wait for.
    import torch

    from galhelpers.survey.render import stretch
    from galhelpers.survey.telescopes import get_telescope

    # The middle filter's noise for all bands: that of SDSS's three, once each has its factor, is
    # nearly the same (.0117, .0097 and .0095 nanomaggies).
    sdss = get_telescope("sdss")
    middle = {name: getattr(sdss, name)[1:2] for name in ("bands", "scales", "black", "sky_noise")}
    sdss = replace(sdss, psf_ratios=(), **middle)
    levels = [_sky(band) for band in bands]
    noise, area = sdss.noise_in_pictures[0], torch.full((1, 1, 1, 1), sdss.pixel_scale**2)
    height, width = bands.shape[1:]
    picture = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        strip = np.empty((1, len(bands), min(rows, height - top), width), np.float32)
        for i, (sky, deviation) in enumerate(levels):
            light = (bands[i, top : top + rows].astype(np.float64) - sky) / deviation
            # Pixels without a value become sky, and the others numbers that a float32 holds.
            strip[0, i] = np.nan_to_num(light, posinf=0, neginf=0).clip(-1e6, 1e6) * noise
        seen = stretch(torch.from_numpy(strip), area, sdss)[0]
        picture[top : top + rows] = seen.mul(255).add(0.5).byte().permute(1, 2, 0).numpy()
    return picture


def _sky(band: NDArray[Any]) -> tuple[float, float]:
    """Measure level and standard deviation of the sky.

    The level is the median. The deviation is taken from the fainter half of the pixels, because
    galaxies and stars only add light: in a normal distribution 15.87 % lie more than one below.
    """
    step = math.isqrt(band.size // _SAMPLE) + 1
    sample = band[::step, ::step].astype(np.float64).ravel()
    known = sample[np.isfinite(sample)]
    if 2 * len(known) < len(sample):
        raise ImageError(f"has no value (NaN) in {1 - len(known) / len(sample):.0%} of its pixels")
    low, sky, high = np.percentile(known, [15.87, 50, 99.5])
    if low == sky and (known != sky).any():
        # A frame, or a sky without noise: its one value says nothing about the rest.
        low, sky, high = np.percentile(known[known != sky], [15.87, 50, 99.5])
    deviation = max(sky - low, (high - sky) / _DEEPEST)
    if not (0 < deviation < np.inf):
        raise ImageError("has one value throughout")
    return float(sky), float(deviation)
