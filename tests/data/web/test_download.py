"""Downloads from a server that misbehaves: broken off, slow, changed in between, out of reach."""

import hashlib
import json
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from galhelpers.data.web import transfer
from galhelpers.data.web.services import FetchError
from galhelpers.data.web.transfer import CHUNK
from tests.data.web.downloading import DATA, HALF, PAGE, SHA256, assert_arrived, fetch
from tests.data.web.faulty_server import Fault, FaultyServer, visible


@pytest.fixture
def server():
    with FaultyServer() as running:
        yield running


def test_success_and_second_time_without_a_request(server, tmp_path):
    folder = tmp_path / "new" / "folder"
    url = server.serve("/a.bin", DATA)
    result = fetch(folder, url)
    assert_arrived(folder, result)
    assert result.verified
    assert result.url == url
    again = fetch(folder, url)
    assert_arrived(folder, again)
    assert again.url is None
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_busy_then_success(server, tmp_path, status):
    busy = Fault(status=status)
    assert_arrived(tmp_path, fetch(tmp_path, server.serve("/a.bin", DATA, busy, busy)))
    assert len(server.requests) == 3


def test_retry_after_is_obeyed(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(status=429, headers={"Retry-After": "1"}))
    assert fetch(tmp_path, url).seconds >= 1
    assert_arrived(tmp_path)


def test_too_long_a_wait_is_told_and_not_waited(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(status=429, headers={"Retry-After": "7200"}))
    with pytest.raises(FetchError, match="in 120 minutes"):
        fetch(tmp_path, url)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("fault", [{}, {"reset": True}, {"chunked": True}])
def test_dropped_half_way_then_resumed(server, tmp_path, fault):
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF, **fault))
    assert_arrived(tmp_path, fetch(tmp_path, url))
    first, second = server.ranges()
    assert first is None
    # A reset may swallow what the client had not read yet; an orderly end may not.
    start = int(re.fullmatch(r"bytes=(\d+)-", second)[1]) if second else 0
    assert start <= HALF if "reset" in fault else start == HALF
    assert server.bytes_sent == HALF + len(DATA) - start
    if second:
        assert server.requests[1].headers["If-Range"].startswith('"')


def test_attempts_count_again_after_progress(server, tmp_path):
    drops = [Fault(drop_after=CHUNK)] * 5
    result = fetch(tmp_path, server.serve("/a.bin", DATA, *drops), attempts=2)
    assert_arrived(tmp_path, result)
    assert server.bytes_sent == len(DATA)


def test_without_progress_a_place_is_given_up_and_what_came_is_kept(server, tmp_path):
    nothing = Fault(drop_after=0)
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF), *[nothing] * 3)
    with pytest.raises(FetchError, match=r"broke off, again and again.*is kept"):
        fetch(tmp_path, url, attempts=3)
    assert len(server.requests) == 3
    assert visible(tmp_path) == []
    assert (tmp_path / ".a.bin.part").read_bytes() == DATA[:HALF]
    assert_arrived(tmp_path, fetch(tmp_path, url, attempts=3))
    assert server.bytes_sent == len(DATA)


def test_truncated_every_time(server, tmp_path):
    url = server.serve("/a.bin", DATA, *[Fault(drop_after=100, ignore_range=True)] * 3)
    with pytest.raises(FetchError, match="broke off"):
        fetch(tmp_path, url, attempts=3)
    assert visible(tmp_path) == []


@pytest.mark.parametrize("fault", [Fault(no_length=True), Fault(chunked=True)])
@pytest.mark.parametrize("checksum", [SHA256, None])
def test_unknown_length(server, tmp_path, fault, checksum):
    url = server.serve("/a.bin", DATA, fault)
    for result in (fetch(tmp_path, url, checksum=checksum) for _ in range(2)):
        assert result.verified == (checksum is not None)
        assert result.complete == (result.verified or fault.chunked)
    (tmp_path / ".a.bin.unsure").unlink(missing_ok=True)
    assert_arrived(tmp_path, result)
    assert len(server.requests) == 1


def test_unknown_length_and_truncated_is_noticed_by_the_known_size(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(no_length=True, drop_after=HALF))
    assert_arrived(tmp_path, fetch(tmp_path, url, checksum=None, size=len(DATA)))
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_a_server_without_range_starts_over(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF), Fault(ignore_range=True))
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.bytes_sent == HALF + len(DATA)


def test_a_changed_file_starts_over(server, tmp_path):
    other = DATA[::-1]
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF, content=other))
    assert_arrived(tmp_path, fetch(tmp_path, url, checksum=None))


def test_a_changed_file_starts_over_though_the_server_ignores_if_range(server, tmp_path):
    """The server sends the rest of a newer file with 206; only its date tells."""
    old, new = "Mon, 01 Jan 2024 00:00:00 GMT", "Tue, 02 Jan 2024 00:00:00 GMT"
    url = server.serve("/a.bin", DATA, Fault(headers={"ETag": old, "Last-Modified": new}))
    (tmp_path / ".a.bin.part").write_bytes(DATA[::-1][:HALF])
    origin = {"url": url, "etag": None, "modified": old, "total": len(DATA)}
    (tmp_path / ".a.bin.part.json").write_text(json.dumps(origin))
    assert_arrived(tmp_path, fetch(tmp_path, url, checksum=None))
    assert server.requests[0].headers["If-Range"] == old
    assert server.ranges() == [f"bytes={HALF}-", None]


def test_a_wrong_content_range_starts_over(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF), Fault(shift=7))
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_part_of_an_unknown_version_is_not_continued_without_checksum(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF, headers={"ETag": None}))
    assert_arrived(tmp_path, fetch(tmp_path, url, checksum=None))
    assert server.ranges() == [None, None]


@pytest.mark.parametrize("total", [None, len(DATA)])
@pytest.mark.parametrize("good", [True, False])
def test_a_part_that_is_whole(server, tmp_path, total, good):
    """Killed between the last byte and the renaming; with an unknown size the server says 416."""
    url = server.serve("/a.bin", DATA)
    content = DATA if good else DATA[::-1]
    (tmp_path / ".a.bin.part").write_bytes(content)
    origin = {"url": url, "etag": None, "modified": None, "total": total}
    (tmp_path / ".a.bin.part.json").write_text(json.dumps(origin))
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.bytes_sent == (0 if good else len(DATA))


def test_a_part_that_is_too_long_starts_over(server, tmp_path):
    url = server.serve("/a.bin", DATA)
    (tmp_path / ".a.bin.part").write_bytes(DATA + b"more")
    origin = {"url": url, "etag": None, "modified": None, "total": None}
    (tmp_path / ".a.bin.part.json").write_text(json.dumps(origin))
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.ranges() == [f"bytes={len(DATA) + 4}-", None]


@pytest.mark.parametrize("note", ["", "{}", "[1]"])
def test_a_part_without_a_usable_note_starts_over(server, tmp_path, note):
    (tmp_path / ".a.bin.part").write_bytes(b"of unknown origin")
    (tmp_path / ".a.bin.part.json").write_text(note)
    assert_arrived(tmp_path, fetch(tmp_path, server.serve("/a.bin", DATA)))
    assert server.ranges() == [None]


def test_wrong_pieces_are_fetched_once_more_from_the_start(server, tmp_path):
    etag = {"ETag": '"same"'}
    broken = Fault(drop_after=HALF, content=DATA[::-1], headers=etag)
    url = server.serve("/a.bin", DATA, broken, Fault(headers=etag), Fault(headers=etag))
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_a_page_in_the_middle_does_not_cost_what_has_arrived(server, tmp_path):
    login = Fault(content=PAGE, ignore_range=True, headers={"Content-Type": "text/html"})
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF), login)
    with pytest.raises(FetchError, match="web page"):
        fetch(tmp_path, url)
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.ranges()[2] == f"bytes={HALF}-"


def test_redirect(server, tmp_path):
    goal = server.serve("/store/123", DATA, Fault(drop_after=HALF))
    moved = Fault(status=302, headers={"Location": goal + "?signature=geheim"})
    result = fetch(tmp_path, server.serve("/a.bin", b"", moved, moved))
    assert_arrived(tmp_path, result)
    assert server.ranges() == [None, None, f"bytes={HALF}-", f"bytes={HALF}-"]
    assert "geheim" not in result.url


def test_slow_server_and_timeout(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(silent=True))
    with pytest.raises(FetchError, match="too slow to answer"):
        fetch(tmp_path, url, attempts=1, timeout=(5, 0.1))
    assert visible(tmp_path) == []


def test_a_body_that_stalls_is_resumed(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(hold_after=HALF))
    assert_arrived(tmp_path, fetch(tmp_path, url, timeout=(5, 0.2)))
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_a_body_that_comes_drop_by_drop_is_resumed(server, tmp_path):
    """Each drop comes within the time limit for a drop: only the average tells."""
    url = server.serve("/a.bin", DATA, Fault(hold_after=HALF, drip=0.02))
    assert_arrived(tmp_path, fetch(tmp_path, url, patience=0.2))
    first, second = server.ranges()
    start = int(second.removeprefix("bytes=").removesuffix("-"))
    assert first is None
    assert HALF <= start < HALF + 300


def test_drop_by_drop_every_time(server, tmp_path):
    url = server.serve("/a.bin", DATA, *[Fault(hold_after=1000, drip=0.02)] * 2)
    with pytest.raises(FetchError, match="too slow to answer"):
        fetch(tmp_path, url, patience=0.2, attempts=2)
    assert visible(tmp_path) == []
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.bytes_sent < len(DATA) + 2000


def test_a_slow_server_that_is_fast_enough_is_waited_for(server, tmp_path, monkeypatch):
    """15 bytes, 50 a second: fast enough where 10 a second are asked for."""
    monkeypatch.setattr(transfer, "SLOWEST", 10.0)
    url = server.serve("/a.bin", DATA[:5000], Fault(hold_after=4985, drip=0.02))
    checksum = f"sha256:{hashlib.sha256(DATA[:5000]).hexdigest()}"
    fetch(tmp_path, url, patience=0.15, checksum=checksum, attempts=1)
    assert_arrived(tmp_path, content=DATA[:5000])


PROXIES = ["nowhere:3128", "::::", "http://127.0.0.1:9", "socks5://127.0.0.1:9"]


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_that_is_none(tmp_path, monkeypatch, proxy):
    for variable in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, proxy)
    with pytest.raises(FetchError, match="The proxy in HTTPS_PROXY or HTTP_PROXY") as caught:
        fetch(tmp_path, "http://anna:geheim@data.example/a.bin", attempts=2)
    assert "geheim" not in str(caught.value)


def test_no_such_host(tmp_path):
    with pytest.raises(FetchError, match="could not be looked up"):
        fetch(tmp_path, "http://data.invalid/a.bin", attempts=2)
    assert visible(tmp_path) == []


def test_refused_connection(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        with pytest.raises(FetchError, match="Nothing answers at"):
            fetch(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}/a.bin", attempts=2)
    assert visible(tmp_path) == []


def test_a_certificate_that_nobody_vouches_for(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=127.0.0.1"
    subprocess.run(
        [*command.split(), "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with FaultyServer(context) as server:
        url = server.serve("/a.bin", DATA)
        with pytest.raises(FetchError, match=r"certificate of 127\.0\.0\.1"):
            fetch(tmp_path / "data", url)
        assert server.requests == []
    assert visible(tmp_path / "data") == []
