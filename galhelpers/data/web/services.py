"""The services that data come from: their addresses, and what to do when one of them refuses.

Addresses stand in ``data_manifest.yaml`` under ``services``. Another one is named by an environment
variable, ``GALHELPERS_URL_ZENODO`` and so on: a mirror, a classroom's own server, a test.
"""

import email.utils
import os
import re
import socket
import time
from urllib.parse import urlsplit

import requests

from galhelpers import __version__
from galhelpers.data.manifest import load_manifest

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be gone at the next attempt."""

LONGEST_WAIT = 300.0
"""Seconds that a server may ask us to wait; who asks for more gets an error message instead."""


class FetchError(RuntimeError):
    """Something could not be fetched for good; the message is a paragraph that says what to do."""


def service_address(name: str) -> str:
    """Give the base address of a service, without a slash at its end.

    Parameters
    ----------
    name
        A name under ``services`` in the manifest, such as ``"zenodo"``. The environment variable
        ``GALHELPERS_URL_<NAME>`` (upper case) replaces its address.

    Raises
    ------
    KeyError
        For a service that the manifest does not name.
    FetchError
        When the environment variable holds no address.
    """
    services = load_manifest().services
    if name not in services:
        raise KeyError(f"Unknown service {name!r}. Services: {', '.join(services)}.")
    variable = f"GALHELPERS_URL_{name.upper()}"
    return from_environment(variable) or services[name].rstrip("/")


def from_environment(variable: str) -> str:
    """Read an address from an environment variable, without a slash at its end; "" if not set.

    Raises
    ------
    FetchError
        When it holds something else than an address.
    """
    address = os.environ.get(variable, "").strip().rstrip("/")
    if address and not re.match(r"https?://[^/]", address):
        raise FetchError(
            f"The environment variable {variable} should hold an address that begins with http:// "
            f"or https://, it is {shown(address)!r}."
        )
    return address


def resolve(url: str) -> str:
    """Turn ``"zenodo:records/1/files/a.zip"`` into a full address; a full one stays as it is."""
    if url.startswith(("http://", "https://")):
        return url
    name, _, path = url.partition(":")
    try:
        return f"{service_address(name)}/{path.lstrip('/')}"
    except KeyError as error:
        raise FetchError(
            f"{url.partition('?')[0]!r} is no address: expected http:// or https:// in front, or a "
            f"service of data_manifest.yaml. {error.args[0]}"
        ) from None


def open_session() -> requests.Session:
    """Open a session that says who is asking, so that a service can tell us from others."""
    session = requests.Session()
    session.headers["User-Agent"] = f"galhelpers/{__version__} (galaxy morphology course)"
    return session


def shown(url: str) -> str:
    """Give an address for printing: no user name, no password, no signature of a redirection."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def retry_after(response: requests.Response) -> float | None:
    """Read how many seconds a server asks us to wait: a number or a date; None when it does not."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def no_network(problem: requests.Response | Exception) -> bool:
    """Say whether nobody was reached at all: no network, or nothing listens at the address."""
    reasons = (socket.gaierror, ConnectionRefusedError)
    return isinstance(problem, Exception) and any(_caused_by(problem, kind) for kind in reasons)


def worth_another_try(problem: requests.Response | Exception, failures: int) -> bool:
    """Say whether a problem may be gone at the next attempt.

    Parameters
    ----------
    problem
        The answer of the server, or the error of ``requests`` where none came.
    failures
        Attempts in a row that failed, this one included. Where nobody is reached at all (no
        network, nothing listens) a second try is enough.
    """
    if isinstance(problem, requests.Response):
        return problem.status_code in PASSING
    errors = requests.exceptions
    if isinstance(problem, (errors.SSLError, errors.ProxyError)):
        return False
    if no_network(problem):
        return failures == 1
    return isinstance(
        problem, (errors.ConnectionError, errors.Timeout, errors.ChunkedEncodingError)
    )


def explain(problem: requests.Response | Exception, url: str, advice: str = "") -> str:
    """Say in a paragraph what went wrong with a request and what to do about it.

    Parameters
    ----------
    problem
        The answer of the server, or the error of ``requests`` where none came.
    url
        What was asked for.
    advice
        What helps with this service: where to log in, where to get the file by hand.
    """
    host = shown(url).removeprefix("https://").removeprefix("http://").partition("/")[0]
    if isinstance(problem, requests.Response):
        words = _explain_status(problem, url, host)
    else:
        words = _explain_error(problem, url, host)
    return f"{words} {advice}".strip()


def _explain_status(response: requests.Response, url: str, host: str) -> str:
    status = response.status_code
    said = f"{status} {response.reason}".strip()
    if status == 401:
        return f"{host} wants to know who asks ({said}) for {shown(url)}: log in first."
    if status == 403:
        return f"{host} refuses {shown(url)} ({said}): a login or accepted terms may be missing."
    if status in (404, 410):
        return (
            f"{host} does not have {shown(url)} ({said}): it may have moved. Look on the page of "
            "the data set, and put the new address into data_manifest.yaml."
        )
    if status == 429:
        wait = retry_after(response)
        when = "later" if wait is None else f"in {wait / 60:.0f} minutes"
        return f"{host} asks us to slow down ({said}). Give the same command again {when}."
    if status >= 500:
        return (
            f"{host} is in trouble ({said}); nothing is wrong on your side. Give the same command "
            "again later: what has arrived is kept."
        )
    return f"{host} did not send {shown(url)}: {said}."


def _explain_error(error: Exception, url: str, host: str) -> str:
    if isinstance(error, requests.exceptions.SSLError):
        return (
            f"The certificate of {host} could not be verified, so nothing was loaded. Look at the "
            "computer's clock, and whether a proxy or the login page of a network stands between "
            "you and the internet (open the address in a browser). Do not turn verification off."
        )
    proxies = (requests.exceptions.ProxyError, requests.exceptions.InvalidProxyURL)
    if isinstance(error, proxies):
        return (
            f"The proxy in HTTPS_PROXY or HTTP_PROXY does not let us reach {host}. Check the "
            "variable: it should look like http://host:3128, with http:// in front."
        )
    if isinstance(error, requests.exceptions.Timeout):
        return (
            f"{host} was too slow to answer. Give the same command again: what has arrived is kept."
        )
    broken_off = (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)
    if isinstance(error, broken_off):
        if _caused_by(error, socket.gaierror):
            return (
                f"The name {host} could not be looked up: there is no network, or its name server "
                "is down. Connect, and give the same command again; `--dataset simulated` needs "
                "no network."
            )
        if _caused_by(error, ConnectionRefusedError):
            return f"Nothing answers at {host}. Is the address right, does a firewall forbid it?"
        return (
            f"The connection to {host} broke off, again and again. Give the same command again: "
            "what has arrived is kept."
        )
    # The text of an unknown error may quote the whole address, with what should stay secret.
    return f"{shown(url)} could not be loaded ({type(error).__name__})."


def _caused_by(error: BaseException, kind: type[BaseException]) -> bool:
    """Look for a kind of error among what urllib3 wraps: its cause, context, reason, arguments."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        if isinstance(one, kind):
            return True
        seen.add(id(one))
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
    return False
