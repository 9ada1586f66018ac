"""Pictures of galaxies from image services, by position: SDSS and the Legacy Surveys.

`fetch_cutouts` takes a table of positions and makes a folder of pictures, one a galaxy. It may be
stopped and started at any point, asks no faster than it is told to, and lists every galaxy without
a picture, and why, in ``failures.csv``.
"""

import csv
import html
import io
import os
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np
import pandas as pd
import requests
import urllib3
from numpy.typing import NDArray
from PIL import Image, ImageStat
from tqdm.auto import tqdm

from galhelpers.data.downloads import (
    RETRY,
    TIMEOUT,
    FetchError,
    explain,
    limits,
    open_session,
)
from galhelpers.data.readers import FAILURE
from galhelpers.data.records import read_rows, write_rows
from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.paths import atomic_write, is_portable

MOST_BYTES = 32 << 20
"""Most bytes of a picture. A JPEG of 424 pixels a side has some 30,000."""

DEADLINE = 120.0
"""Seconds that one picture may take to arrive."""

GIVE_UP_AFTER = 10
"""Galaxies in a row for which the service did not work before the rest is left alone."""

MATCH_RADIUS = 3.0
"""Arcsec within which an object of the SDSS is taken for the galaxy that was asked for."""

_FLAT = 1.0  # standard deviation in steps of 0-255; JPEG turns one colour into less than this
_SCALES = (0.01, 60.0)  # arcsec per pixel that the services draw


@dataclass(frozen=True)
class CutoutService:
    """An image service: where it is, and what it calls the scale and the sides of a picture.

    The environment variable ``GALHELPERS_URL_SDSS`` (``..._LEGACY``) replaces ``address``.
    """

    address: str
    path: str
    scale: str
    sides: tuple[str, ...]
    more: dict[str, str] = field(default_factory=dict)


SERVICES = {
    "sdss": CutoutService(
        "https://skyserver.sdss.org",
        "/dr17/SkyServerWS/ImgCutout/getjpeg",
        scale="scale",
        sides=("width", "height"),
    ),
    "legacy": CutoutService(
        "https://www.legacysurvey.org",
        "/viewer/cutout.jpg",
        scale="pixscale",
        sides=("size",),
        more={"layer": "ls-dr9"},
    ),
}
"""Image services by name. What their parameters mean is described at
https://skyserver.sdss.org/dr18/help/docs/api.aspx and github:legacysurvey/imagine."""


class Frame(NamedTuple):
    """What a picture shows: position in degrees, arcsec per pixel, and pixels a side."""

    id: str
    ra: float
    dec: float
    pixel_scale: float
    size: int
    service: str


class _Outcome(NamedTuple):
    """Why a galaxy has no picture (``""`` when it has), and whether the service is to blame."""

    reason: str
    trouble: bool


@dataclass(frozen=True)
class CutoutReport:
    """What became of a table: numbers of galaxies, and the list of those without a picture."""

    done: int
    already_there: int
    failed: int
    failures: Path | None


def gz2_pixel_scale(petro_r90: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixel scale of Galaxy Zoo 2's pictures, in arcsec per pixel: 0.02 petroR90_r.

    Every galaxy then fills the same part of its frame: 424 px are 8.48 times the radius.

    Parameters
    ----------
    petro_r90 : array (n,)
        Radius that holds 90 % of the Petrosian flux in the r band, in arcsec.

    References
    ----------
    Willett et al. 2013, MNRAS 435, 2835, section 2.
    """
    return 0.02 * np.asarray(petro_r90, dtype=np.float64)


def fetch_cutouts(
    catalog: pd.DataFrame,
    folder: str | Path,
    service: str = "sdss",
    *,
    size: int = 424,
    pixel_scale: float | None = None,
    per_second: float = 5.0,
    workers: int = 4,
    progress: bool = False,
) -> CutoutReport:
    """Fetch a picture of every galaxy of a table that has none in the folder yet.

    Pictures become ``images/<id>.jpg`` in the folder. ``pictures.csv`` says what each of them
    shows: a galaxy that has the same name and another position, scale or size is fetched anew, and
    its old picture stays until the service has answered. What
    could not be had is in ``failures.csv`` (id, reason) and is tried again by the next call.

    Parameters
    ----------
    catalog
        Columns ``id`` (text or whole numbers, becomes the file name), ``ra``, ``dec`` (ICRS,
        degrees), and for the frame ``pixel_scale`` (arcsec per pixel) or ``petro_r90`` (arcsec, see
        `gz2_pixel_scale`; `sdss_radii` asks the SDSS for it). A galaxy without position or scale
        becomes a failure.
    folder
        Where to put them.
    service
        ``"sdss"`` or ``"legacy"``.
    size
        Width and height in pixels, 64 to 2048.
    pixel_scale
        Arcsec per pixel for all galaxies, instead of a column.
    per_second, workers
        Requests each second and at the same time, in all. A request that a busy service has asked
        to repeat comes after the wait that it named (``Retry-After``), or after a growing one.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        For a table or settings that cannot work.
    galhelpers.data.downloads.FetchError
        When the service cannot be reached, or fails for ten galaxies in a row. What has arrived is
        kept.
    """
    if not (per_second > 0 and workers >= 1):
        raise ValueError(
            f"Expected per_second above 0 and workers of at least 1, got {per_second}, {workers}."
        )
    frames = plan_cutouts(catalog, service, size, pixel_scale)
    folder = Path(folder)
    picture_list, failure_list = folder / "pictures.csv", folder / "failures.csv"
    with only_one(picture_list, f"fetches pictures into {folder.name}"):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        for unfinished in (folder / "images").glob(".*.jpg.*.jpg"):  # left by a killed process
            unfinished.unlink()
        write_rows(picture_list, Frame._fields, read_rows(picture_list, Frame._fields).values())
        todo = missing(frames, folder)
        there = len(frames) - len(todo)
        before = read_rows(failure_list, FAILURE)
        failures = {frame.id: before[frame.id][1] for frame in todo if frame.id in before}
        impossible = {frame.id: reason for frame in todo if (reason := _impossible(frame))}
        failures |= impossible
        askable = [frame for frame in todo if frame.id not in impossible]
        with (
            open_session(connections=workers) as session,
            picture_list.open("a", newline="", encoding="utf-8") as pictures,
            tqdm(total=len(frames), initial=there, leave=False, disable=not progress) as bar,
        ):
            fetcher = _Fetcher(session, folder / "images", pictures, per_second)
            try:
                _fetch_all(fetcher, askable, failures, there > 0, workers, bar)
            finally:
                write_rows(failure_list, FAILURE, failures.items())
                if not failures:
                    failure_list.unlink()
        for frame in missing(frames, folder):  # the service was asked, and has no other picture
            (folder / "images" / f"{frame.id}.jpg").unlink(missing_ok=True)
    return CutoutReport(
        done=len(todo) - len(failures),
        already_there=there,
        failed=len(failures),
        failures=failure_list if failures else None,
    )


def sdss_radii(catalog: pd.DataFrame, *, batch: int = 500) -> pd.DataFrame:
    """Ask the SDSS for the Petrosian radius of galaxies of which only the position is known.

    Parameters
    ----------
    catalog
        Columns ``ra``, ``dec`` (ICRS, degrees), and if there is one ``petro_r90`` (arcsec): only
        galaxies without it are asked for.
    batch
        Positions a request.

    Returns
    -------
    DataFrame
        A copy of the catalog with the column ``petro_r90``, filled where it had no value:
        petroR90_r, the radius that holds 90 % of the Petrosian flux in the r band, in arcsec, of
        the nearest primary object of data release 17; NaN where there is none within 3 arcsec, it
        has no radius, or the galaxy no position.

    Raises
    ------
    galhelpers.data.downloads.FetchError
        When the SDSS does not answer, or answers with something else than a table.
    """
    # These take seconds to load, and only this function needs them.
    import astropy.units as u
    from astropy.coordinates import SkyCoord
    from astroquery import cache_conf
    from astroquery.sdss import SDSSClass, conf

    empty = pd.Series(np.nan, catalog.index)
    ra, dec, radii = (
        pd.to_numeric(catalog.get(name, empty), errors="coerce").to_numpy(
            np.float64, na_value=np.nan, copy=True
        )
        for name in ("ra", "dec", "petro_r90")
    )
    unknown = np.flatnonzero(np.isnan(radii) & (np.abs(dec) <= 90) & np.isfinite(ra))
    server = SDSSClass()
    # astroquery asks only once; this session asks again as for everything else.
    server._session = open_session(RETRY.new(allowed_methods=None))
    address = _address("sdss")
    for start in range(0, len(unknown), batch):
        rows = unknown[start : start + batch]
        sky = SkyCoord(ra[rows], dec[rows], unit="deg")
        try:
            with (
                limits(address, DEADLINE, MOST_BYTES),
                conf.set_temp("skyserver_baseurl", address),
                # Answers must not be kept: an error page would be kept as well.
                cache_conf.set_temp("cache_active", False),
            ):
                response = server.query_crossid_async(
                    sky,
                    radius=MATCH_RADIUS * u.arcsec,
                    photoobj_fields=["ra", "dec", "petroR90_r"],
                    data_release=17,
                    timeout=TIMEOUT[1],
                    cache=False,
                )
        except requests.RequestException as error:
            raise FetchError(explain(error, address)) from error
        if response.status_code != 200:
            raise FetchError(explain(response, address))
        try:
            table = pd.read_csv(io.StringIO(response.text), comment="#")
            table = table[["ra", "dec", "petroR90_r"]].astype(np.float64)
        except (ValueError, KeyError) as error:  # pandas' own errors are ValueErrors
            raise FetchError(
                f"{public(address)} should answer with a table of ra, dec and petroR90_r; it "
                f"begins with {_first_words(response.content)!r}. Try again later."
            ) from error
        # -9999 stands for a radius that could not be measured.
        table.loc[table["petroR90_r"] <= 0, "petroR90_r"] = np.nan
        if len(table):
            found = SkyCoord(table["ra"].to_numpy(), table["dec"].to_numpy(), unit="deg")
            nearest, distance, _ = sky.match_to_catalog_sky(found)
            radius = table["petroR90_r"].to_numpy()[nearest]
            radii[rows] = np.where(distance.arcsec <= MATCH_RADIUS, radius, np.nan)
    return catalog.assign(petro_r90=radii)


class _Fetcher:
    """Asks for one picture and saves it; several threads share it."""

    def __init__(
        self, session: requests.Session, images: Path, pictures: TextIO, per_second: float
    ) -> None:
        self.session = session
        self.images = images
        self.pictures = pictures
        self.interval = 1 / per_second
        self.next_turn = 0.0
        self.lock = threading.Lock()

    def __call__(self, frame: Frame) -> _Outcome:
        spec = SERVICES[frame.service]
        params = {
            "ra": f"{frame.ra:.6f}",
            "dec": f"{frame.dec:.6f}",
            spec.scale: f"{frame.pixel_scale:.6g}",
            **dict.fromkeys(spec.sides, str(frame.size)),
            **spec.more,
        }
        url = _address(frame.service) + spec.path
        try:
            try:
                response, content = self._ask(url, params)
            except urllib3.exceptions.HTTPError:  # the answer broke off half-way: once more
                response, content = self._ask(url, params)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return _Outcome(explain(error, url), trouble=True)
        except FetchError as error:  # an answer without end
            return _Outcome(str(error), trouble=True)
        outcome = _judge(response, content, frame.size)
        if not outcome.reason:
            self._save(frame, content)
        return outcome

    def _ask(self, url: str, params: dict[str, str]) -> tuple[requests.Response, bytes]:
        """Wait for one's turn, ask, and read the answer within the limits of size and time."""
        with self.lock:
            turn = max(self.next_turn, time.monotonic())
            self.next_turn = turn + self.interval
        time.sleep(max(0.0, turn - time.monotonic()))
        content = bytearray()
        with (
            limits(url, DEADLINE, MOST_BYTES),
            self.session.get(url, params=params, stream=True, timeout=TIMEOUT) as response,
        ):
            # read1 gives what is there; read would wait for a whole piece, drop by drop.
            while piece := response.raw.read1(1 << 16, decode_content=False):
                content += piece
        return response, bytes(content)

    def _save(self, frame: Frame, content: bytes) -> None:
        """Save a picture. Before and after, it is listed: it is never taken for another galaxy's.

        While the file changes, its row says that nobody knows what it shows.
        """
        self._list([frame.id, *[""] * (len(frame) - 1)])
        with atomic_write(self.images / f"{frame.id}.jpg") as temporary:
            temporary.write_bytes(content)
        self._list(frame)

    def _list(self, row: Sequence[object]) -> None:
        with self.lock:
            csv.writer(self.pictures).writerow(row)
            self.pictures.flush()


def _fetch_all(
    fetcher: _Fetcher,
    todo: list[Frame],
    failures: dict[str, str],
    works: bool,
    workers: int,
    bar: tqdm,
) -> None:
    """Fetch pictures in a pool of threads and keep ``failures`` (reason by identifier) up to date.

    ``works`` says whether the service has sent a picture before.

    Raises
    ------
    FetchError
        When the service does not work.
    """
    failed_before = set(failures)
    in_a_row = 0
    trouble = ""
    pool = ThreadPoolExecutor(workers)
    try:
        # In portions: a hundred thousand waiting galaxies would take memory.
        for start in range(0, len(todo), 500):
            portion = todo[start : start + 500]
            for frame, outcome in zip(portion, pool.map(fetcher, portion), strict=True):
                bar.update()
                if outcome.reason:
                    failures[frame.id] = outcome.reason
                else:
                    failures.pop(frame.id, None)
                if not outcome.trouble:
                    in_a_row, works = 0, True
                    continue
                trouble = outcome.reason
                # What failed before may fail for good, and says nothing about the service.
                in_a_row += frame.id not in failed_before
                if in_a_row >= GIVE_UP_AFTER:
                    raise _down(trouble)
    finally:
        pool.shutdown(cancel_futures=True)
    if trouble and not works:
        raise _down(trouble)


def _down(trouble: str) -> FetchError:
    return FetchError(
        f"The image service does not work: {trouble} Pictures that have arrived are kept; the same "
        "command goes on from there."
    )


def _judge(response: requests.Response, content: bytes, size: int) -> _Outcome:
    """Look whether an answer is a picture of the sky."""
    words = _first_words(content)
    said = f"{response.status_code} {response.reason}"
    if response.status_code == 404 and "footprint" in f"{said} {words}":
        return _Outcome(f"outside the survey ({said})", trouble=False)
    if response.status_code != 200:
        return _Outcome(f"{explain(response, response.url)} {words}".strip(), trouble=True)
    if not content.startswith(b"\xff\xd8\xff"):
        return _Outcome(f"expected a JPEG, got {words or 'something else'!r}.", trouble=True)
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            if image.size != (size, size) or image.mode != "RGB":
                wide, high = image.size
                got = f"{wide} x {high} pixels, {image.mode}"
                return _Outcome(f"expected {size} x {size} pixels, RGB, got {got}", trouble=False)
            flat = max(ImageStat.Stat(image).stddev) < _FLAT
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return _Outcome(f"the picture is incomplete or damaged ({error})", trouble=False)
    return _Outcome("one colour: the survey has no image here" if flat else "", trouble=False)


def _first_words(content: bytes) -> str:
    """Give the beginning of a page as plain words; ``""`` for a picture."""
    if b"\0" in content[:2000]:
        return ""
    text = content[:2000].decode("utf-8", "replace")
    text = re.sub(r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", " ", text)
    return public(" ".join(html.unescape(text).split())[:80])


def _impossible(frame: Frame) -> str:
    """Say why a galaxy cannot be asked for, or ``""``."""
    if not (np.isfinite(frame.ra) and abs(frame.dec) <= 90):
        return "no position on the sky"
    low, high = _SCALES
    if not low <= frame.pixel_scale <= high:
        return (
            f"expected a scale of {low:g} to {high:g} arcsec a pixel, got {frame.pixel_scale:g} "
            "(petro_r90 is missing or wrong)"
        )
    return ""


def plan_cutouts(
    catalog: pd.DataFrame, service: str, size: int, pixel_scale: float | None
) -> list[Frame]:
    """Check a table and say what each picture shall show; NaN where that is not known.

    Arguments and errors are those of `fetch_cutouts`. Nothing is asked for and no file changes.
    """
    if service not in SERVICES:
        raise ValueError(f"Unknown image service {service!r}. Expected {' or '.join(SERVICES)}.")
    if not 64 <= size <= 2048:
        raise ValueError(f"Expected a size of 64 to 2048 pixels, got {size}.")
    missing = {"id", "ra", "dec"} - set(catalog)
    if missing:
        raise ValueError(f"Expected columns id, ra and dec; {', '.join(sorted(missing))} missing.")
    if catalog["id"].dtype.kind == "f":
        raise ValueError("Expected id as text or whole numbers, got floats, which lose digits.")
    ids = catalog["id"].astype(object).map(str)
    bad = ids[~ids.map(is_portable) | catalog["id"].isna()]
    if len(bad):
        raise ValueError(
            "An identifier becomes a file name: expected letters, digits and . _ + - only, a "
            f"letter or digit first; got {bad.iloc[0]!r} and {len(bad) - 1} more."
        )
    # Some systems hold A.jpg and a.jpg for the same file.
    twice = ids[ids.str.lower().duplicated()]
    if len(twice):
        raise ValueError(f"Expected each identifier once; {twice.iloc[0]!r} comes again.")

    def numbers(column: str) -> NDArray[np.float64]:
        return pd.to_numeric(catalog[column], errors="coerce").to_numpy(np.float64, na_value=np.nan)

    if pixel_scale is not None:
        scale = np.full(len(catalog), float(pixel_scale))
    elif "pixel_scale" in catalog:
        scale = numbers("pixel_scale")
    elif "petro_r90" in catalog:
        scale = gz2_pixel_scale(numbers("petro_r90"))
    else:
        raise ValueError(
            "Expected a column petro_r90 (arcsec) or pixel_scale (arcsec per pixel), or the "
            "argument pixel_scale. sdss_radii asks the SDSS for petro_r90."
        )
    ra = numbers("ra")
    ra = np.where((ra >= -180) & (ra <= 360), ra, np.nan)
    # Six decimals are 4 milliarcsec; 359.9999999 must not become 360.
    ra, dec = ra.round(6) % 360, numbers("dec").round(6)
    return [
        Frame(name, float(a), float(d), float(f"{s:.6g}"), size, service)
        for name, a, d, s in zip(ids, ra, dec, scale, strict=True)
    ]


def missing(frames: Sequence[Frame], folder: Path) -> list[Frame]:
    """Give the frames of which a folder has no picture: none at all, or one of something else."""
    shown = read_rows(folder / "pictures.csv", Frame._fields)
    files: dict[str, int] = {}
    if (folder / "images").is_dir():
        with os.scandir(folder / "images") as listed:
            files = {file.name: file.stat().st_size for file in listed if file.is_file()}
    return [
        frame
        for frame in frames
        if shown.get(frame.id) != [str(value) for value in frame]
        or not files.get(f"{frame.id}.jpg")
    ]


def _address(service: str) -> str:
    variable = f"GALHELPERS_URL_{service.upper()}"
    return os.environ.get(variable, "").rstrip("/") or SERVICES[service].address
