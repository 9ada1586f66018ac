"""Is it a picture of the sky? What an image service sends is looked at before it is believed.

Services answer "200 OK" with error pages, with pictures of an error message, and with empty frames
for positions that they never observed. Pixels tell: the noise of a real sky differs from pixel to
pixel, an empty frame does not.
"""

import html
import io
import re
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageStat

EMPTY_SHARE = 0.48
"""Blocks of one and the same brightness, as a share of the frame, from which on it counts as empty.

Half of the frame, less the blocks that an edge running through it touches. The largest share among
600 Galaxy Zoo 2 pictures at 424 px is 0.24, among 350 Galaxy Zoo DECaLS pictures 0.01 (and 0.465
among 8,600 of the former that were reduced to 160 px and compressed again); an error message
leaves 0.8 to 0.99, at 128 px and more.
"""

_BLOCK = 8  # pixels: JPEG stores blocks of 8 x 8, and one without detail comes back in one colour
_FLAT = 1.0  # standard deviation in steps of 0-255; JPEG turns one colour into less than this
_TEXT_BORDER = 0.15  # a message touches less of the frame's border than a strip of sky does


class Problem(NamedTuple):
    """Why an answer is no picture of a galaxy.

    ``kind`` is ``"page"`` (something else than a picture: the service, or somebody on the way, has
    a problem), ``"broken"`` (another attempt may help) or ``"picture"`` (a picture, of no galaxy).
    """

    kind: Literal["page", "broken", "picture"]
    reason: str


def jpeg_problem(content: bytes, size: int) -> Problem | None:
    """Find out why a JPEG cannot be used; None when it can.

    Parameters
    ----------
    content
        The answer of a service, all of it.
    size
        Width and height that were asked for, in pixels.
    """
    if not content.startswith(b"\xff\xd8\xff"):
        return _no_picture(content, "JPEG")
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if image.size != (size, size):
                wide, high = image.size
                return _wrong_size(f"{wide} x {high}", size)
            if image.mode != "RGB":
                return Problem("picture", f"expected colours (RGB), the picture is {image.mode}")
            if image.info.get("adobe_transform") != 0:  # 0 says that it is stored as RGB
                image.draft("YCbCr", image.size)  # as nearly all are: brightness apart from colour
            image.load()
            reason = empty_reason(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Problem("picture", f"expected {size} x {size} pixels, it claims to be gigantic")
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
        return Problem("broken", f"the picture is incomplete or damaged ({error})")
    return Problem("picture", reason) if reason else None


def empty_reason(image: Image.Image) -> str:
    """Say why a frame holds no sky, or "" when it does.

    A frame is empty when its pixels do not differ; it holds an error message when most blocks of
    8 x 8 pixels are of exactly one brightness, the same for all, and little else touches its
    border; it lies partly outside the survey when something else does. In frames below 100 px a
    long message may leave too few such blocks to be recognised.

    Parameters
    ----------
    image
        Three channels, best brightness and two colour differences (YCbCr), as a JPEG stores them.
        Only the first tells blocks apart; colours, at half the resolution, leak into the next one.
    """
    if max(ImageStat.Stat(image).stddev) < _FLAT:
        return "an empty frame of one colour: the survey has no image here"
    brightness = np.asarray(image.getchannel(0))
    n = len(brightness) // _BLOCK
    blocks = brightness[: n * _BLOCK, : n * _BLOCK]
    corners = blocks[::_BLOCK, ::_BLOCK]
    same = blocks.reshape(n, _BLOCK, n, _BLOCK) == corners[:, None, :, None]
    uniform = same.all(axis=(1, 3))
    if uniform.mean() < EMPTY_SHARE:
        return ""
    empty = uniform & (corners == np.bincount(corners[uniform]).argmax())
    if empty.mean() < EMPTY_SHARE:
        return ""
    border = np.concatenate([empty[0], empty[-1], empty[1:-1, 0], empty[1:-1, -1]])
    if 1 - border.mean() > _TEXT_BORDER:
        return f"the frame lies partly outside the survey ({empty.mean():.0%} of it is empty)"
    return f"an error image: {empty.mean():.0%} of it is one colour, the rest looks like text"


def fits_problem(content: bytes, size: int, bands: str) -> Problem | None:
    """Find out why a FITS image cannot be used; None when it can.

    Parameters
    ----------
    content
        The answer of a service, all of it.
    size
        Width and height that were asked for, in pixels.
    bands
        The bands that were asked for, a letter each: the image has as many planes.
    """
    if not content.startswith(b"SIMPLE"):
        return _no_picture(content, "FITS file")
    if len(content) % 2880:  # a FITS file consists of blocks of 2880 bytes
        return Problem("broken", f"the FITS file is incomplete ({len(content)} bytes)")
    from astropy.io import fits  # takes a while to load, and most people want JPEGs

    try:
        with fits.open(io.BytesIO(content), memmap=False) as hdus:
            data = hdus[0].data
            flux = np.zeros(0) if data is None else np.asarray(data, dtype=np.float64)
    except (OSError, ValueError, TypeError, AttributeError, LookupError, fits.VerifyError) as error:
        return Problem("broken", f"the FITS file is damaged ({error})")
    if flux.shape not in [(len(bands), size, size), (size, size)[: 2 if len(bands) == 1 else 0]]:
        came = " x ".join(map(str, flux.shape))
        return Problem("picture", f"expected {len(bands)} x {size} x {size} pixels, came {came}")
    if not np.isfinite(flux).all():
        return Problem("picture", "the FITS image has pixels without a value (NaN)")
    unseen = (flux.reshape(-1, size, size) == 0).all(axis=0).mean()  # zero where never observed
    if unseen == 1:
        return Problem("picture", "an empty frame of zeros: the survey has no image here")
    if unseen >= 0.5:
        reason = f"the frame lies partly outside the survey ({unseen:.0%} of it is empty)"
        return Problem("picture", reason)
    return None


def first_words(content: bytes, length: int = 80) -> str:
    """Give the beginning of a page as plain words; "" when it is no text."""
    text = content[:4000].decode("utf-8", "replace")
    if sum(c.isprintable() or c.isspace() for c in text) < 0.9 * len(text) or "\0" in text:
        return ""
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
    text = " ".join(html.unescape(text).split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _no_picture(content: bytes, expected: str) -> Problem:
    if not content:
        return Problem("broken", "an empty answer")
    words = first_words(content)
    said = f"text: {words}" if words else "something else"
    return Problem("page", f"expected a {expected}, came {said}")


def _wrong_size(came: str, size: int) -> Problem:
    return Problem("picture", f"expected {size} x {size} pixels, came {came}")
