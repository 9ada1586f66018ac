"""Addresses that can be replaced, and errors that say what to do."""

import datetime
import email.utils

import pytest
import requests
import werkzeug

from galhelpers.data.manifest import load_manifest
from galhelpers.data.web.services import (
    FetchError,
    explain,
    open_session,
    resolve,
    retry_after,
    service_address,
    shown,
    worth_another_try,
)


def answer(status, reason="", **headers):
    response = requests.Response()
    response.status_code, response.reason = status, reason
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return response


def test_an_environment_variable_replaces_the_address_of_any_service(monkeypatch):
    for name, address in load_manifest().services.items():
        assert service_address(name) == address.rstrip("/")
        monkeypatch.setenv(f"GALHELPERS_URL_{name.upper()}", f"http://127.0.0.1:1/{name}/")
        assert service_address(name) == f"http://127.0.0.1:1/{name}"
        assert resolve(f"{name}:a/b.zip?c=1") == f"http://127.0.0.1:1/{name}/a/b.zip?c=1"
    assert resolve("https://example.org/a:b") == "https://example.org/a:b"
    with pytest.raises(KeyError, match="Services: zenodo, "):
        service_address("arxiv")


def test_what_is_shown_holds_no_password_and_no_signature():
    url = "https://me:hunter2@example.org:8080/a/b.zip?X-Signature=abc&token=def"
    assert shown(url) == "https://example.org:8080/a/b.zip"
    for problem in (answer(403), answer(404), answer(418), requests.exceptions.ReadTimeout()):
        said = explain(problem, url)
        assert not {"hunter2", "abc", "def"} & set(said.replace("=", " ").split())
        assert "hunter2" not in said
        assert "X-Signature" not in said


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "log in first"),
        (403, "terms may be missing"),
        (404, "may have moved"),
        (410, "may have moved"),
        (429, "asks us to slow down"),
        (500, "nothing is wrong on your side"),
        (503, "what has arrived is kept"),
        (418, "did not send"),
    ],
)
def test_each_status_says_what_to_do(status, expected):
    said = explain(answer(status, "Reason"), "https://example.org/x", "Advice.")
    assert expected in said
    assert f"{status} Reason" in said
    assert said.endswith(" Advice.")
    assert "\n" not in said


def test_how_long_a_server_asks_us_to_wait():
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    date = email.utils.format_datetime(soon, usegmt=True)
    assert retry_after(answer(429, Retry_After="7")) == 7
    assert 85 < retry_after(answer(429, Retry_After=date)) <= 90
    assert retry_after(answer(429, Retry_After="Sun, 06 Nov 1994 08:49:37 GMT")) == 0
    assert retry_after(answer(429)) is None
    assert retry_after(answer(429, Retry_After="soon")) is None
    assert "in 10 minutes" in explain(answer(429, Retry_After="600"), "http://a/")


def failure(url, **options):
    with pytest.raises(requests.exceptions.RequestException) as caught:
        open_session().get(url, **options)
    return explain(caught.value, url)


def test_no_network_and_no_server_are_told_apart():
    assert "There is no network" in failure("http://nothing.invalid/x").replace("there", "There")
    assert "Nothing answers at 127.0.0.1:9" in failure("http://127.0.0.1:9/x")
    proxies = {"http": "http://127.0.0.1:9"}
    assert "The proxy in " in failure("http://example.org/x", proxies=proxies)


def test_requests_say_who_asks(httpserver):
    httpserver.expect_request("/").respond_with_handler(
        lambda request: werkzeug.Response(request.headers["User-Agent"])
    )
    assert open_session().get(httpserver.url_for("/")).text.startswith("galhelpers/")


def test_a_variable_that_holds_no_address_is_named(monkeypatch):
    monkeypatch.setenv("GALHELPERS_URL_ZENODO", "127.0.0.1:80/zenodo")
    with pytest.raises(FetchError, match="GALHELPERS_URL_ZENODO should hold an address"):
        resolve("zenodo:a")
    with pytest.raises(FetchError, match=r"'classroom:8000/a' is no address: .* Services: zenodo"):
        resolve("classroom:8000/a?token=x")


def test_what_is_worth_another_try():
    errors = requests.exceptions
    for status, worth in ((503, True), (429, True), (403, False), (404, False)):
        assert worth_another_try(answer(status), 3) is worth
    assert worth_another_try(errors.ReadTimeout(), 3)
    assert worth_another_try(errors.ChunkedEncodingError(), 3)
    assert not worth_another_try(errors.SSLError(), 1)
    assert not worth_another_try(errors.ProxyError(), 1)
    assert not worth_another_try(ValueError(), 1)
    nobody = errors.ConnectionError(ConnectionRefusedError())
    assert [worth_another_try(nobody, failures) for failures in (1, 2)] == [True, False]
