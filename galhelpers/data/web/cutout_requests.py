"""Asking an image service for one galaxy: politely, more than once, and looking at what comes."""

import threading
import time
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

import numpy as np
import requests
import urllib3

from galhelpers.data.web.cutout_checks import Problem, first_words, fits_problem, jpeg_problem
from galhelpers.data.web.image_services import CutoutService, cutout_params
from galhelpers.data.web.services import LONGEST_WAIT, PASSING, explain, retry_after, shown

MOST_BYTES = 64 << 20
"""An answer is read no further than this; a JPEG of 424 pixels a side has some 30,000 bytes."""

SLOWEST = 10
"""An answer may take so many read timeouts in all: a server that drips never runs into one."""


class Pace:
    """Lets through at most ``per_second`` requests in all, whatever the number of workers."""

    def __init__(self, per_second: float, stop: threading.Event | None = None) -> None:
        if not per_second > 0:
            raise ValueError(f"Expected per_second above 0 (inf for no limit), got {per_second}.")
        self.interval = 1 / per_second
        self.stop = stop or threading.Event()
        self.clock = time.monotonic
        self.sleep = self.stop.wait  # ends early when told to stop
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> bool:
        """Wait for one's turn; False when told to stop instead."""
        while not self.stop.is_set():
            with self._lock:
                now = self.clock()
                if now >= self._next:
                    self._next = now + self.interval
                    return True
                delay = self._next - now
            self.sleep(delay)
        return False

    def hold(self, seconds: float) -> None:
        """Let nobody through for so long: the service asked for it."""
        with self._lock:
            self._next = max(self._next, self.clock() + seconds)


class Job(NamedTuple):
    """A galaxy to ask for: position in degrees, scale in arcsec per pixel."""

    id: str
    ra: float
    dec: float
    pixel_scale: float


class Outcome(NamedTuple):
    """What came of one galaxy, or of one attempt.

    ``content`` is the picture, or ``reason`` says why there is none; ``trouble`` what is wrong with
    the service, where it is the service; ``again`` whether another attempt may help; ``wait`` how
    many seconds the service wants to be left alone.
    """

    reason: str = ""
    content: bytes = b""
    trouble: str = ""
    again: bool = False
    wait: float | None = None
    attempts: int = 0
    url: str = ""


@dataclass(frozen=True)
class Asker:
    """Everything that the requests of one call have in common."""

    spec: CutoutService
    base: str
    size: int
    layer: str | None
    attempts: int
    backoff: float
    timeout: tuple[float, float]
    pace: Pace

    def fetch(self, session: requests.Session, job: Job) -> Outcome:
        """Ask for one galaxy, again where that may help."""
        params = cutout_params(
            self.spec.name, job.ra, job.dec, job.pixel_scale, self.size, self.layer
        )
        url = f"{shown(self.base)}?{urlencode(params)}"  # nothing but a position and a size
        outcome = Outcome("stopped before it was asked for")
        jitter = np.random.default_rng()
        for attempt in range(1, self.attempts + 1):
            if not self.pace.wait():
                break
            outcome = self.ask(session, params)._replace(attempts=attempt, url=url)
            if outcome.wait is not None:
                self.pace.hold(min(outcome.wait, LONGEST_WAIT))
            if not outcome.again or attempt == self.attempts:
                break
            if outcome.wait is None:
                # Twice as long each time, and not all workers at the same moment.
                self.pace.stop.wait(self.backoff * 2 ** (attempt - 1) * jitter.uniform(0.5, 1.5))
        return outcome

    def ask(self, session: requests.Session, params: dict[str, str]) -> Outcome:
        """Ask once."""
        try:
            # Not compressed, which pictures are already; and read piece by piece, within limits.
            with session.get(
                self.base,
                params=params,
                timeout=self.timeout,
                headers={"Accept-Encoding": "identity"},
                stream=True,
            ) as response:
                return self.judge(response, self.receive(response))
        except requests.exceptions.SSLError as error:  # a certificate does not get better
            trouble = explain(error, self.base)
            return Outcome(trouble, trouble=trouble)
        except (
            requests.exceptions.ConnectionError,
            requests.exceptions.Timeout,
        ) as error:
            trouble = explain(error, self.base)
            return Outcome(trouble, trouble=trouble, again=True)
        except requests.exceptions.RequestException as error:  # no valid address, for instance
            trouble = explain(error, self.base)
            return Outcome(trouble, trouble=trouble)
        except MemoryError:
            raise
        except Exception as error:  # one galaxy must not be the end of a hundred thousand
            reason = f"the answer could not be looked at ({type(error).__name__})"
            return Outcome(reason, trouble=f"{shown(self.base)}: {reason}.")

    def receive(self, response: requests.Response) -> bytes | None:
        """Read an answer to its end; None when it is too large."""
        # A FITS image has 4 bytes a pixel and band; twice that leaves room for its headers.
        most = max(MOST_BYTES, 8 * len(self.spec.bands) * self.size**2)
        deadline = time.monotonic() + SLOWEST * self.timeout[1]
        content = bytearray()
        try:
            # read1 gives what has arrived; read would wait for as much as was asked for.
            while piece := response.raw.read1(1 << 16, decode_content=True):
                content += piece
                if len(content) > most:
                    return None
                if time.monotonic() > deadline:
                    raise requests.exceptions.Timeout
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.exceptions.Timeout(error) from error
        except urllib3.exceptions.HTTPError as error:  # an answer that ended half-way
            raise requests.exceptions.ConnectionError(error) from error
        return bytes(content)

    def judge(self, response: requests.Response, content: bytes | None) -> Outcome:
        """Decide whether an answer is a picture of a galaxy."""
        status = f"{response.status_code} {response.reason}".strip()
        words = first_words(content or b"")
        if response.status_code != 200:
            if response.status_code == 404 and "footprint" in f"{status} {words}":
                return Outcome(f"outside the survey ({status})")
            again = response.status_code in PASSING
            wait = retry_after(response) if again else None
            again &= wait is None or wait <= LONGEST_WAIT
            reason = f"the server answered {status[:100]}" + (f": {words}" if words else "")
            return Outcome(reason, trouble=explain(response, self.base), again=again, wait=wait)
        if content is None:
            problem: Problem | None = Problem("page", "the answer is too large")
        elif self.spec.bands:
            problem = fits_problem(content, self.size, self.spec.bands)
        else:
            problem = jpeg_problem(content, self.size)
        if problem is None:
            return Outcome(content=content or b"")
        trouble = ""
        if problem.kind == "page":
            trouble = (
                f"{shown(self.base)} does not send pictures ({problem.reason}). Open it in a "
                "browser: it may be down for maintenance, or your network wants a login first."
            )
        return Outcome(problem.reason, trouble=trouble, again=problem.kind == "broken")
