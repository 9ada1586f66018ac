"""Pictures of galaxies from image services, by position: SDSS and Legacy Surveys.

`fetch_cutouts` takes a catalogue with positions and makes a folder of pictures, one a galaxy. It
may be stopped and started at any point, asks no faster than a service wants, and lists every galaxy
without a picture, and why, in ``failures.csv``.
"""

import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from galhelpers.data.web.cutout_catalog import (
    FAILURE_COLUMNS,
    PictureList,
    check_catalog,
    check_settings,
    pixel_scales,
    read_failures,
    read_pictures,
    same_frames,
    write_failures,
)
from galhelpers.data.web.cutout_requests import Asker, Job, Outcome, Pace
from galhelpers.data.web.image_services import (
    SERVICES,
    CutoutService,
    cutout_params,
    cutout_url,
    get_service,
    gz2_pixel_scale,
)
from galhelpers.data.web.sdss_radii import sdss_radii
from galhelpers.data.web.services import LONGEST_WAIT, FetchError, open_session
from galhelpers.paths import atomic_write, short

__all__ = [
    "SERVICES",
    "CutoutReport",
    "CutoutService",
    "Pace",
    "cutout_params",
    "cutout_url",
    "fetch_cutouts",
    "gz2_pixel_scale",
    "sdss_radii",
]

GIVE_UP_AFTER = 50
"""Galaxies in a row for which the service did not work before the rest is left alone."""

GIVE_UP_AT_ONCE = 8
"""The same, as long as nothing has come at all: then it is the network or the address."""

_WRITE_EVERY = 500  # galaxies between two versions of failures.csv
_KEPT = "What has arrived is kept; the same command goes on from there."


@dataclass(frozen=True)
class CutoutReport:
    """What became of a catalogue: numbers of galaxies, ``seconds``, ``bytes`` that were saved.

    ``failures`` is the path of the list of those without a picture, None when there is none.
    """

    folder: Path
    done: int
    already_there: int
    failed: int
    seconds: float
    bytes: int
    failures: Path | None


def fetch_cutouts(
    catalog: pd.DataFrame,
    folder: str | Path,
    service: str = "sdss",
    *,
    size: int = 424,
    pixel_scale: float | None = None,
    release: int | None = None,
    layer: str | None = None,
    workers: int = 4,
    per_second: float = 5.0,
    attempts: int = 4,
    backoff: float = 1.0,
    timeout: tuple[float, float] = (10, 60),
    progress: bool = True,
) -> CutoutReport:
    """Fetch a picture of every galaxy of a catalogue that has none in the folder yet.

    Pictures become ``images/<id>.jpg`` (``.fits``) in the folder, ``pictures.csv`` says of which
    place on the sky, ``cutouts.json`` with which settings; what could not be had is in
    ``failures.csv`` with a reason, and is tried again next time.

    Parameters
    ----------
    catalog
        Columns ``id`` (text, becomes the file name), ``ra``, ``dec`` (ICRS, degrees), and for the
        frame ``pixel_scale`` (arcsec per pixel) or ``petro_r90`` (arcsec, r band; the scale is
        0.02 of it, as in Galaxy Zoo 2). A galaxy without position or scale becomes a failure.
    folder
        Where to put them. Pictures of other settings are not mixed in.
    service
        A name in `SERVICES`.
    size
        Width and height in pixels.
    pixel_scale
        Arcsec per pixel for all galaxies, instead of a column.
    release, layer
        Data release of the SDSS; layer of the Legacy Surveys' viewer.
    workers, per_second
        Requests at the same time, and each second, in all.
    attempts, backoff
        How often a galaxy is asked for, and the seconds before the second time; they double.
    timeout
        Seconds to connect, and between two pieces of an answer.

    Raises
    ------
    ValueError
        For a catalogue or settings that cannot work, and for a folder with other settings.
    FetchError
        When the service does not work at all, or another process fetches into this folder.
    """
    start = time.monotonic()
    spec = get_service(service)
    _check_arguments(spec, size, release, layer, workers, attempts)
    table, recipe = pixel_scales(check_catalog(catalog), pixel_scale, spec.default_pixel_scale)
    settings = {
        "service": service,
        "release": release or spec.release,
        "layer": layer or spec.layer,
        "size": size,
        "pixel_scale": recipe,
    }
    asker = Asker(
        spec=spec,
        base=cutout_url(service, release),
        size=size,
        layer=layer,
        attempts=attempts,
        backoff=backoff,
        timeout=timeout,
        pace=Pace(per_second),
    )
    folder = Path(folder)
    with _alone_in(folder):
        check_settings(folder, settings, f"{spec.credit}. {spec.licence}")
        there = _clean(folder / "images", spec.suffix)
        # A picture counts for the position and scale that it was asked for, not for a name alone:
        # two tables that number their galaxies 1, 2, 3 must not share pictures.
        there &= same_frames(table, read_pictures(folder))
        old = read_failures(folder)
        run = _Run(folder, asker, {name: old[name] for name in table["id"] if name in old})
        jobs = table.loc[~table["id"].isin(there)]
        # What failed last time comes last, so that it cannot stand in the way of the rest.
        jobs = jobs.loc[jobs["id"].isin(run.failures).sort_values(kind="stable").index]
        for name in there.intersection(table["id"]):
            run.failures.pop(name, None)
        try:
            run.all_of(jobs, len(table), workers, progress)
        finally:
            write_failures(folder, run.failures)
    return CutoutReport(
        folder=folder,
        done=run.done,
        already_there=len(table) - len(jobs),
        failed=len(run.failures),
        seconds=time.monotonic() - start,
        bytes=run.bytes,
        failures=folder / "failures.csv" if run.failures else None,
    )


class _Run:
    """One call's work: hands out galaxies, writes what comes back, knows when to give up."""

    def __init__(self, folder: Path, asker: Asker, failures: dict[str, list]) -> None:
        self.folder = folder
        self.asker = asker
        self.failures = failures
        self.done = self.bytes = self._streak = 0
        self._answered = self._hopeless = False
        self._trouble = ""

    def all_of(self, jobs: pd.DataFrame, total: int, workers: int, progress: bool) -> None:
        """Fetch all; threads only ask and look, everything is written here."""
        todo: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        came: queue.SimpleQueue[tuple[Job, Outcome | Exception]] = queue.SimpleQueue()
        # What failed before may fail for good; only what is new says that the service is down.
        self._new = len(jobs) == total or not jobs["id"].isin(self.failures).all()
        threads = [
            # Daemons: when this one stops, nobody waits for an answer that is still under way.
            threading.Thread(target=_work, args=(self.asker, todo, came), daemon=True)
            for _ in range(min(workers, len(jobs)))
        ]
        for thread in threads:
            thread.start()
        waiting = self._possible(jobs)
        bar = tqdm(total=total, initial=total - len(jobs), leave=False, disable=not progress)
        alive = finished = 0
        try:
            with bar, PictureList(self.folder) as self._pictures:
                while not self._hopeless:
                    # A few at a time: a hundred thousand galaxies take no more memory than these.
                    while alive < 4 * workers and (job := next(waiting, None)) is not None:
                        todo.put(job)
                        alive += 1
                    if not alive:
                        break
                    job, outcome = _next(came)
                    alive -= 1
                    finished += 1
                    self._take(job, outcome)
                    bar.update()
                    if finished % _WRITE_EVERY == 0:
                        write_failures(self.folder, self.failures)
        finally:
            self.asker.pace.stop.set()
            for _ in threads:
                todo.put(None)
        for thread in threads:
            thread.join(timeout=1)
        if self._streak and self._new and not self._answered:
            raise FetchError(f"{self._trouble} {_KEPT}")

    def _possible(self, jobs: pd.DataFrame) -> Iterator[Job]:
        """Go through the galaxies; those whose frame is unknown become failures at once."""
        low, high = self.asker.spec.pixel_scales
        columns = (jobs[name].to_numpy() for name in Job._fields)
        for job in map(Job, *columns):
            placed = not (np.isnan(job.ra) or np.isnan(job.dec))
            if placed and low <= job.pixel_scale <= high:
                yield job
                continue
            reason = f"a pixel scale of {job.pixel_scale:g} arcsec is outside {low:g} to {high:g}"
            if not np.isfinite(job.pixel_scale) or job.pixel_scale <= 0:
                reason = "no radius (petro_r90) or pixel scale, so the frame's size is unknown"
            reason = reason if placed else "no position"
            self._fail(job, Outcome(reason))

    def _take(self, job: Job, outcome: Outcome | Exception) -> None:
        if isinstance(outcome, Exception):
            raise outcome
        if outcome.content:
            # In this order, so that no picture is ever listed with the place of another.
            self._remove(job)
            self._pictures.add(job)
            with atomic_write(self._file(job)) as temporary:
                temporary.write_bytes(outcome.content)
            self.failures.pop(job.id, None)
            self.done += 1
            self.bytes += len(outcome.content)
        else:
            self._fail(job, outcome)
        self._answered |= not outcome.trouble
        self._trouble = outcome.trouble
        self._streak = self._streak + 1 if outcome.trouble else 0
        too_long = outcome.wait is not None and outcome.wait > LONGEST_WAIT
        limit = GIVE_UP_AFTER if self._answered else GIVE_UP_AT_ONCE
        self._hopeless = too_long or self._streak >= limit
        if self._hopeless and (too_long or self._new):
            raise FetchError(f"{outcome.trouble} {_KEPT}")

    def _fail(self, job: Job, outcome: Outcome) -> None:
        row = [job.id, job.ra, job.dec, outcome.reason, outcome.attempts, outcome.url]
        assert len(row) == len(FAILURE_COLUMNS)
        self.failures[job.id] = row
        self._remove(job)

    def _file(self, job: Job) -> Path:
        return self.folder / "images" / f"{job.id}{self.asker.spec.suffix}"

    def _remove(self, job: Job) -> None:
        """Remove a picture of this name that shows another place, or nobody knows which."""
        self._file(job).unlink(missing_ok=True)


def _work(asker: Asker, todo: queue.SimpleQueue, came: queue.SimpleQueue) -> None:
    """Ask for one galaxy after the other, over one connection, until there is no more."""
    with open_session() as session:
        while (job := todo.get()) is not None:
            try:
                came.put((job, asker.fetch(session, job)))
            except Exception as error:
                came.put((job, error))


def _next(came: queue.SimpleQueue) -> tuple[Job, Outcome | Exception]:
    while True:
        try:
            return came.get(timeout=0.5)  # without an end, Windows would not notice Ctrl-C
        except queue.Empty:
            continue


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise FetchError(
            f"Another process is fetching pictures into {short(folder)}. Let it finish, or stop "
            f"it first. {_KEPT}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _clean(images: Path, suffix: str) -> set[str]:
    """Names of the pictures that are there; what a killed process left unfinished goes."""
    # The names that atomic_write gives; locks and folders of others stay where they are.
    unfinished = re.compile(rf"\..+{re.escape(suffix)}\.\w{{8}}{re.escape(suffix)}")
    there = set()
    for file in images.iterdir():
        if not file.is_file() or file.suffix != suffix:
            continue
        if file.name.startswith("."):
            if unfinished.fullmatch(file.name):
                file.unlink()
        elif file.stat().st_size > 0:
            there.add(file.name.removesuffix(suffix))
    return there


def _check_arguments(
    spec: CutoutService,
    size: int,
    release: int | None,
    layer: str | None,
    workers: int,
    attempts: int,
) -> None:
    if not spec.min_pixels <= size <= spec.max_pixels:
        raise ValueError(
            f"{spec.name} makes pictures of {spec.min_pixels} to {spec.max_pixels} pixels a side; "
            f"size is {size}."
        )
    if release is not None and spec.release is None:
        raise ValueError(f"{spec.name} has no release: choose a layer, such as {spec.layer!r}.")
    if layer is not None and spec.layer is None:
        raise ValueError(f"{spec.name} has no layers: choose a release, such as {spec.release}.")
    if workers < 1 or attempts < 1:
        raise ValueError(f"Expected at least 1 worker and attempt, got {workers} and {attempts}.")
