"""Files of a Kaggle competition, fetched with your own account by Kaggle's own client.

Kaggle's client keeps what has arrived, with the file's ETag beside it, and goes on from there with
a Range request, also after the computer was switched off. Around it we keep to the manners of the
course: credentials are looked for before anything is loaded, nothing is printed, each failure
becomes a paragraph, and a file appears under its name only when it is complete.
"""

import contextlib
import errno
import io
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from tqdm.auto import tqdm

from galhelpers.data.web.intact import check_space, one_at_a_time
from galhelpers.data.web.kaggle_login import (
    HOW_TO_LOG_IN,
    find_credentials,
    kaggle_ready,
    legacy_file,
)
from galhelpers.data.web.services import (
    LONGEST_WAIT,
    FetchError,
    explain,
    retry_after,
    service_address,
    worth_another_try,
)

__all__ = ["fetch_competition_file", "kaggle_ready"]

_TIMEOUT = (10.0, 60.0)
"""Seconds to connect, and seconds of silence, after which a request is given up."""

_one_at_a_time = threading.Lock()


def fetch_competition_file(
    slug: str,
    name: str,
    folder: Path,
    *,
    progress: bool = True,
    attempts: int = 5,
    backoff: float = 1.0,
) -> Path:
    """Fetch one file of a competition into a folder; go on where an earlier call was cut off.

    Parameters
    ----------
    slug, name
        The competition as in its address, ``"galaxy-zoo-the-galaxy-challenge"``, and the file as
        on its page "Data", ``"training_solutions_rev1.zip"``.
    folder
        Where the file goes. What is unfinished stays in the hidden ``.kaggle`` inside it.
    attempts, backoff
        How often a request is made without any progress before we give up, and how many seconds
        pass before the second; each further pause is twice as long.

    Returns
    -------
    pathlib.Path
        ``folder / name``: complete, and intact if it is a zip archive (every checksum inside it was
        verified). Kaggle publishes no checksum of the file itself.

    Raises
    ------
    galhelpers.data.web.services.FetchError
        For missing or refused credentials, rules that you have not accepted, no network, a full
        disk and so on; the message says what to do.
    """
    if not name or name.startswith(".") or name != Path(name).name or "\\" in name:
        raise ValueError(f"Expected a plain file name, such as data.zip, found {name!r}.")
    path = folder / name
    hidden = folder / ".kaggle"
    with one_at_a_time(hidden / name, f"download of {name}", progress):
        if path.is_file() and _quick_look(path):
            return path
        missing = kaggle_ready()
        if missing:
            raise FetchError(missing)
        part = hidden / name
        _download(slug, part, progress, attempts, backoff)
        problem = _what_is_wrong(part)
        if problem:
            _forget(part)
            raise FetchError(
                f"What Kaggle sent as {name} {problem}, so it was not kept. Give the same command "
                f"again; if that does not help, download the file in a browser from "
                f"https://www.kaggle.com/c/{slug}/data into {folder.name}."
            )
        part.replace(path)
    return path


def _download(slug: str, part: Path, progress: bool, attempts: int, backoff: float) -> None:
    """Bring ``part`` to its full size, with as many requests as that takes."""
    api = _load_client()
    failures = 0
    while True:
        before = part.stat().st_size if part.is_file() else 0
        problem = _one_attempt(api, slug, part, progress)
        if problem is None:
            return
        arrived = part.stat().st_size if part.is_file() else 0
        failures = 1 if arrived > before else failures + 1
        wait = backoff * 2 ** (failures - 1)
        if isinstance(problem, requests.Response):
            wait = max(wait, retry_after(problem) or 0.0)
        passing = isinstance(problem, _WrongSizeError) or worth_another_try(problem, failures)
        # Raised here and not where it was caught: the chain of an exception shows its requests.
        if not passing or failures >= attempts or wait > LONGEST_WAIT:
            raise FetchError(_words(problem, slug, part.name))
        time.sleep(wait)


class _WrongSizeError(Exception):
    """What arrived has another size than was announced."""


class _NoTokenError(Exception):
    """What stands where a token should cannot even be sent."""


class _LoginOverError(Exception):
    """The login that `kaggle auth login` stored is no longer accepted."""


def _one_attempt(
    api: Any, slug: str, part: Path, progress: bool
) -> requests.Response | Exception | None:
    """Ask once; give back what went wrong, None when the file is complete."""
    try:
        response = _ask(api, slug, part.name)
    except requests.HTTPError as error:
        return error if error.response is None else error.response
    except ValueError:  # of http.client and requests; their messages quote the token
        return _NoTokenError()
    except SystemExit:
        return _LoginOverError()
    except OSError as error:  # those of requests, too
        return error
    try:
        arrived = part.stat().st_size if part.is_file() else 0
        missing = int(response.headers.get("Content-Length") or 0) - arrived
        check_space(part.parent, missing, part.name)
        with _our_bar(part.name, progress):
            # Kaggle's client would wait 2, 4 ... 32 s between its own attempts, on an address that
            # is signed for a short time. We ask for a fresh one instead, hence no retries here.
            options = {"quiet": True, "resume": True, "max_retries": 0, "chunk_size": 2**16}
            api.download_file(response, str(part), None, **options)
    except requests.exceptions.ChunkedEncodingError:
        return requests.ConnectionError("broke off")
    except ValueError:
        # kaggle 2.2.4 writes the body of an error page into the file when a request for the rest
        # fails, and would take it for the beginning the next time.
        _forget(part)
        return _WrongSizeError()
    except OSError as error:
        return error
    finally:
        response.close()
    return None


def _ask(api: Any, slug: str, name: str) -> requests.Response:
    """Ask Kaggle for a file; the answer is the open download, after a redirection to a storage."""
    from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFileRequest

    request = ApiDownloadDataFileRequest()
    request.competition_name = slug
    request.file_name = name
    with _one_at_a_time, _silence(), _address(service_address("kaggle")):
        if find_credentials() == "~/.kaggle/credentials.json":
            api.authenticate()  # renews what `kaggle auth login` stored; the others need no renewal
        with api.build_kaggle_client() as client:
            session = client.http_client()._session
            for scheme in ("https://", "http://"):
                session.mount(scheme, _PatientAdapter())  # by itself it would wait for ever
            response = client.competitions.competition_api_client.download_data_file(request)
    assert isinstance(response, requests.Response)
    return response


class _PatientAdapter(HTTPAdapter):
    """Gives up when nothing is heard for a while."""

    def send(self, request: Any, *args: Any, **options: Any) -> requests.Response:
        """Send with a time limit."""
        options["timeout"] = _TIMEOUT
        return super().send(request, *args, **options)


def _load_client() -> Any:
    """Import ``kaggle`` without its login at import, its printed help and its ``exit()``."""
    with _one_at_a_time, _silence(), _address("nowhere:"):  # so that it cannot log in anywhere yet
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi
        except OSError as error:
            reason = error.strerror
        else:
            reason = None
    if reason:
        raise FetchError(
            f"Kaggle's client could not make its folder ~/.kaggle or ~/.config/kaggle ({reason}). "
            "Set the environment variable KAGGLE_CONFIG_DIR to a folder that you may write to."
        )
    api = KaggleApi()
    api.args = []  # VERBOSE=1 would make it print each request with its credentials
    api.config = str(legacy_file())
    with _silence():
        api.config_values = api.read_config_environment(api.read_config_file(quiet=True))
    return api


@contextlib.contextmanager
def _address(address: str) -> Iterator[None]:
    """Point Kaggle's client to an address for a moment: it offers no parameter for that."""
    from kagglesdk import kaggle_env

    endpoints = kaggle_env._env_to_endpoint
    own = endpoints[kaggle_env.KaggleEnv.PROD]
    endpoints[kaggle_env.KaggleEnv.PROD] = address
    try:
        yield
    finally:
        endpoints[kaggle_env.KaggleEnv.PROD] = own


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def _our_bar(name: str, progress: bool) -> Iterator[None]:
    """Let Kaggle's client draw the bar of the course: fit for notebooks, gone when done."""
    module = sys.modules["kaggle.api.kaggle_api_extended"]
    own = vars(module)["tqdm"]

    def bar(**options: Any) -> Any:
        return tqdm(**{**options, "desc": name, "leave": False, "disable": not progress})

    vars(module)["tqdm"] = bar
    try:
        yield
    finally:
        vars(module)["tqdm"] = own


def _quick_look(path: Path) -> bool:
    return not path.name.endswith(".zip") or zipfile.is_zipfile(path)


def _what_is_wrong(path: Path) -> str | None:
    """Verify a finished file: a zip by the checksums of its members, another by how it begins."""
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page (is there a login page of a network before the internet?)"
    if not path.name.endswith(".zip"):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError):
        return "is no intact zip archive"
    return f"is damaged (in {damaged})" if damaged else None


def _forget(part: Path) -> None:
    """Remove what has arrived together with the client's note that it may be continued."""
    part.unlink(missing_ok=True)
    part.with_name(f"{part.name}.kaggle-partial").unlink(missing_ok=True)


def _words(problem: requests.Response | Exception, slug: str, name: str) -> str:
    """Say what went wrong and what to do; nothing of the request itself, which holds the token."""
    url = f"{service_address('kaggle')}/{slug}/{name}"
    if isinstance(problem, requests.Response):
        status = problem.status_code
        if status == 401:
            where = find_credentials()
            return f"Kaggle did not accept the credentials in {where} (401). {HOW_TO_LOG_IN}"
        if status == 403:
            return (
                f"Kaggle refuses {name} (403): most often its rules have not been accepted yet. "
                f'Open https://www.kaggle.com/c/{slug}/rules, log in, click "I Understand and '
                'Accept" (Kaggle may ask for a verified telephone number), and give the same '
                "command again."
            )
        if status == 404:
            return (
                f"Kaggle has no file {name} in the competition {slug} (404). Look at "
                f"https://www.kaggle.com/c/{slug}/data for what it is called now."
            )
        return explain(problem, url)
    if isinstance(problem, _LoginOverError):
        return f"The login stored by `kaggle auth login` has run out. {HOW_TO_LOG_IN}"
    if isinstance(problem, _NoTokenError):
        return (
            f"The credentials in {find_credentials()} hold a character that no token has, such as "
            f"a line break or a typographic quotation mark: copy them again. {HOW_TO_LOG_IN}"
        )
    if isinstance(problem, (requests.ConnectionError, requests.Timeout)):
        return explain(problem, url)
    if isinstance(problem, _WrongSizeError):
        return f"{name} arrived with a wrong size again and again. Try again later."
    if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk is full: {name} does not fit ({problem.strerror}). Make room and give the "
            "same command again; what has arrived is kept."
        )
    return f"{name} could not be fetched from Kaggle ({type(problem).__name__}). Try again later."
