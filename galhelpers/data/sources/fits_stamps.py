"""Stamps of single galaxies, cut out of a large FITS image of the sky."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError, PartialOverlapError
from astropy.wcs import WCS
from PIL import Image
from tqdm.auto import tqdm

from galhelpers.data.sources.hdf5 import whole_png
from galhelpers.paths import atomic_write, is_portable, short

_KEPT_CARDS = ("BUNIT", "TELESCOP", "INSTRUME", "FILTER", "EXPTIME", "PHOTFLAM", "PHOTPLAM")
_SIP_CARD = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)")
_MOST_UNEXPOSED = 0.1


@dataclass(frozen=True)
class Stretch:
    """How pixel values become 8-bit grey, the same for every galaxy so that brightness compares.

    ``grey = 255 (asinh(flux / soft) - asinh(black / soft)) / (asinh(white / soft) - asinh(black /
    soft))``, cut off at 0 and 255: linear below ``soft``, logarithmic above (the asinh scale of
    Lupton et al. 2004, PASP 116, 133, without its colours). All three in the unit of the image.
    """

    black: float
    soft: float
    white: float

    def grey(self, image: np.ndarray) -> np.ndarray:
        """Turn (height, width) fluxes into grey, and the first row from the bottom to the top."""
        low, high = np.arcsinh(self.black / self.soft), np.arcsinh(self.white / self.soft)
        share = (np.arcsinh(image / self.soft) - low) / (high - low)
        return np.round(255 * share.clip(0, 1)).astype(np.uint8)[::-1]


F160W_STRETCH = Stretch(black=-0.02, soft=0.01, white=10.0)
"""For HST/WFC3 F160W mosaics of 0.06 arcsec pixels in electrons a second.

``soft`` is near the noise of a pixel at the depth of two epochs, measured on stamps of GOODS-S.
"""


def cut_stamps(
    mosaic: str | Path,
    catalog: pd.DataFrame,
    folder: str | Path,
    *,
    size: int = 84,
    stretch: Stretch = F160W_STRETCH,
    progress: bool = True,
) -> pd.DataFrame:
    """Cut a square stamp around each galaxy out of a large FITS image.

    Whole pixels are cut, none is resampled (that would smooth the noise): a galaxy lies within half
    a pixel of its stamp's middle, and exactly where the stamp's coordinate system says. Can be
    interrupted and called again; stamps of the same galaxy, mosaic, size and stretch are kept.

    Parameters
    ----------
    mosaic
        ``.fits``, not packed: it is read piece by piece, never whole. The first two-dimensional
        image in it is used.
    catalog
        ``ID`` or ``id`` (becomes the file name), ``ra``, ``dec`` (degrees, in the mosaic's own
        system).
    folder
        Gets ``fits/<id>.fits`` (float32, unit and coordinate system of the mosaic),
        ``images/<id>.png`` (8-bit grey, north up where it is up in the mosaic) and
        ``stamps_failures.csv`` (``id``, ``reason``).
    size
        Width and height in pixels; 84 of 0.06 arcsec as the experts' own stamps.
    stretch
        How fluxes become grey.
    progress
        Whether to show a progress bar.

    Returns
    -------
    DataFrame
        ``id``, ``file`` (PNG) and ``fits``, relative to ``folder``, one row for each good stamp.

    Raises
    ------
    FileNotFoundError
        When there is no mosaic.
    ValueError
        For a packed or damaged mosaic, one without coordinates or in another unit than the default
        ``stretch`` is for; for a catalogue without the columns, or identifiers that are repeated or
        no file names.
    """
    mosaic, folder = Path(mosaic), Path(folder)
    galaxies = _galaxies(catalog)
    done, failures = [], []
    with _open_mosaic(mosaic) as file:
        image = _first_image(file, mosaic)
        wcs = _sky(image.header, mosaic)
        _check_unit(image.header, stretch, mosaic)
        # No change between FK5 and ICRS: the catalogue was measured with the mosaic's coordinates.
        x, y = wcs.world_to_pixel_values(*galaxies[["ra", "dec"]].to_numpy().T)
        galaxies = galaxies.assign(x=x, y=y)
        rows = tqdm(galaxies.to_numpy(), "stamps", leave=False, disable=not progress)
        for name, ra, dec, *place in rows:
            files = (folder / f"fits/{name}.fits", folder / f"images/{name}.png")
            cards = {"OBJECT": name, "MOSAIC": mosaic.name, "RA_OBJ": ra, "DEC_OBJ": dec}
            cards["STRETCH"] = f"{stretch.black:g} {stretch.soft:g} {stretch.white:g}"
            reason = ""
            if not _same_stamp(*files, cards, size):
                reason = _cut(image, wcs, place, size, cards, files, stretch)
            if reason:
                failures.append((name, reason))
            else:
                done.append((name, *(path.relative_to(folder).as_posix() for path in files)))
    with atomic_write(folder / "stamps_failures.csv") as temporary:
        pd.DataFrame(failures, columns=["id", "reason"]).to_csv(temporary, index=False)
    return pd.DataFrame(done, columns=["id", "fits", "file"])[["id", "file", "fits"]]


def _cut(
    image: fits.ImageHDU,
    wcs: WCS,
    place: list[float],
    size: int,
    cards: dict[str, str | float],
    files: tuple[Path, Path],
    stretch: Stretch,
) -> str:
    """Write one stamp, or give the reason why there is none."""
    for old in files:
        old.unlink(missing_ok=True)
    if not np.isfinite(place).all():
        return "outside of the mosaic"
    try:
        stamp = Cutout2D(image.section, tuple(place), size, wcs=wcs, mode="strict")
    except NoOverlapError:
        return "outside of the mosaic"
    except PartialOverlapError:
        return "reaches over the edge of the mosaic"
    pixels = np.asarray(stamp.data, dtype=np.float32)
    if not np.isfinite(pixels).all():
        return f"{(~np.isfinite(pixels)).sum()} of its {pixels.size} pixels have no value (NaN)"
    unexposed = float(np.mean(pixels == 0))  # noise is never exactly 0
    if unexposed > _MOST_UNEXPOSED:
        return f"{unexposed:.0%} of its pixels were not exposed (exactly 0)"
    if pixels.min() == pixels.max():
        return f"empty: all pixels are {pixels.flat[0]:g}"
    header = stamp.wcs.to_header(relax=True)
    header.update({key: image.header[key] for key in _KEPT_CARDS if key in image.header})
    header.update(cards)
    with atomic_write(files[0]) as temporary:
        fits.PrimaryHDU(pixels, header).writeto(temporary, overwrite=True, checksum=True)
    with atomic_write(files[1]) as temporary:
        Image.fromarray(stretch.grey(pixels)).save(temporary, "PNG")
    return ""


def _same_stamp(path: Path, png: Path, cards: dict[str, str | float], size: int) -> bool:
    """Tell whether both files are there, whole, and of this galaxy, mosaic and size."""
    if not path.is_file() or not whole_png(png, (size, size)):
        return False
    try:
        header = fits.getheader(path)
    except OSError:
        return False
    expected = cards | {"NAXIS1": size, "NAXIS2": size}
    return all(header.get(key) == value for key, value in expected.items())


def _galaxies(catalog: pd.DataFrame) -> pd.DataFrame:
    name = "id" if "id" in catalog else "ID"
    absent = [key for key in (name, "ra", "dec") if key not in catalog]
    if absent:
        raise ValueError(
            f"The catalogue should have the columns id (or ID), ra and dec; it has "
            f"{', '.join(map(str, catalog.columns))}."
        )
    galaxies = catalog[[name, "ra", "dec"]].set_axis(["id", "ra", "dec"], axis=1)
    galaxies = galaxies.astype({"id": str, "ra": float, "dec": float}).reset_index(drop=True)
    rules = {
        "identifiers that can be file names": galaxies["id"].map(is_portable),
        "each identifier once": ~galaxies["id"].str.lower().duplicated(),
        "0 <= ra < 360 and -90 <= dec <= 90 degrees": galaxies["ra"].between(0, 360, "left")
        & galaxies["dec"].between(-90, 90),
    }
    for rule, kept in rules.items():
        if not kept.all():
            rows = np.flatnonzero(~kept)
            raise ValueError(
                f"Expected {rule} in the catalogue; {len(rows)} rows are other, the first is row "
                f"{rows[0]} (from 0): {galaxies.iloc[rows[0]].to_dict()}."
            )
    return galaxies


def _open_mosaic(mosaic: Path) -> fits.HDUList:
    if not mosaic.is_file():
        raise FileNotFoundError(f"Expected the mosaic {short(mosaic)}, found none. Download it.")
    with mosaic.open("rb") as raw:
        if raw.read(2) == b"\x1f\x8b":
            raise ValueError(
                f"{short(mosaic)} is packed with gzip, so it could only be read whole. Unpack it "
                f"first (gunzip {mosaic.name}), then name the .fits file."
            )
    try:
        with warnings.catch_warnings():
            # _first_image says it better.
            warnings.filterwarnings("ignore", "File may have been truncated")
            file = fits.open(mosaic)  # mapped; memmap=True would refuse scaled integers
            len(file)  # reads all headers, which fits.open puts off
        return file
    except OSError as error:
        raise ValueError(
            f"{short(mosaic)} should be a FITS file and is not ({error}). Download it again."
        ) from error


def _first_image(file: fits.HDUList, mosaic: Path) -> fits.ImageHDU:
    for hdu in file:
        if hdu.is_image and len(hdu.shape) == 2:
            place = hdu.fileinfo()
            if place["datLoc"] + place["datSpan"] > mosaic.stat().st_size:
                raise ValueError(
                    f"{short(mosaic)} is cut off: its image of {hdu.shape} pixels ends at byte "
                    f"{place['datLoc'] + place['datSpan']:,}, the file at "
                    f"{mosaic.stat().st_size:,}. Download it again."
                )
            return hdu
    raise ValueError(f"{short(mosaic)} should hold an image of two dimensions; it holds none.")


def _sky(header: fits.Header, mosaic: Path) -> WCS:
    """Read the coordinates; leave out distortion that the mosaic no longer has.

    Drizzled images keep the SIP polynomials of the exposures that they were made of, although their
    CTYPE says plainly that the grid is regular. astropy would apply them all the same: in the
    CANDELS mosaics of GOODS-S that shifts positions by 10 to 300 arcsec.
    """
    header = header.copy()
    if not str(header.get("CTYPE1", "")).endswith("-SIP"):
        for key in [key for key in header if _SIP_CARD.fullmatch(key)]:
            del header[key]
    wcs = WCS(header)
    if not wcs.has_celestial or wcs.naxis != 2:
        raise ValueError(
            f"{short(mosaic)} should say where on the sky its pixels are (CTYPE1 = 'RA---TAN' and "
            f"so on); CTYPE1 is {header.get('CTYPE1', 'missing')!r}."
        )
    return wcs


def _check_unit(header: fits.Header, stretch: Stretch, mosaic: Path) -> None:
    unit = str(header.get("BUNIT", "")).replace(" ", "").lower()
    if stretch is F160W_STRETCH and unit not in ("", "electrons/s", "electron/s", "e-/s"):
        raise ValueError(
            f"{short(mosaic)} is in {header['BUNIT']!r}; the default stretch is for electrons/s. "
            "Give another: cut_stamps(..., stretch=Stretch(black, soft, white)) in that unit."
        )
