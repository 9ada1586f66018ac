"""Downloads against a server of our own that misbehaves as real ones do."""

import gzip
import hashlib
import itertools
import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from galhelpers.data import downloads
from galhelpers.data.downloads import FetchError, download, explain
from galhelpers.messages import public
from tests.data.faulty_server import Fault, FaultyServer, visible

DATA = np.random.default_rng(4).bytes(400_000)
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
HALF = 200_000
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to the network.</body></html>"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(downloads, "RETRY", downloads.RETRY.new(backoff_factor=0.001))
    with FaultyServer() as server:
        yield server


def fetch(server, folder, *faults, checksum=SHA256, **options):
    url = server.serve("/a.bin", DATA, *faults)
    return download([url], folder / "a.bin", checksum, progress=False, **options)


@pytest.mark.parametrize("checksum", [SHA256, None])
@pytest.mark.parametrize(
    "faults",
    [
        [],
        [Fault(drop_after=HALF)],
        [Fault(drop_after=HALF, reset=True), Fault(drop_after=50_000)],
        [Fault(drop_after=HALF, chunked=True)],
        [Fault(drop_after=HALF), Fault(ignore_range=True)],
        [Fault(drop_after=HALF), Fault(shift=5)],
        [Fault(status=503), Fault(status=429), Fault(status=500)],
        [Fault(no_length=True)],
    ],
)
def test_the_file_arrives_through_faults_and_is_not_asked_for_again(
    server, tmp_path, faults, checksum
):
    fetch(server, tmp_path, *faults, checksum=checksum)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.bin.lock", "a.bin"]
    if faults and faults[0].drop_after and not faults[0].reset:
        assert server.ranges()[1] == f"bytes={HALF}-"
    asked = len(server.requests)
    fetch(server, tmp_path, checksum=checksum)
    assert len(server.requests) == asked


def test_a_server_that_asks_to_wait_is_obeyed(server, tmp_path):
    began = time.monotonic()
    fetch(server, tmp_path, Fault(status=429, headers={"Retry-After": "1"}))
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    "words", ["soon", "-5", "Mon, 99 Foo 2026", "Fri, 31 Dec 99999999999 23:59:59 GMT", "9" * 5000]
)
def test_a_wait_that_nobody_understands_is_no_reason_to_give_up(server, tmp_path, words):
    fault = Fault(status=429, headers={"Retry-After": words})
    assert fetch(server, tmp_path, fault).read_bytes() == DATA


def test_a_file_that_changes_in_between_is_not_put_together(server, tmp_path):
    other = DATA[::-1]
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF), Fault(content=other))
    download([url], tmp_path / "a.bin", None, progress=False)
    assert (tmp_path / "a.bin").read_bytes() == other


def start(url, path):
    """Download in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from galhelpers.data.downloads import download\n"
        "download([sys.argv[1]], Path(sys.argv[2]), sys.argv[3], progress=False)"
    )
    return subprocess.Popen([sys.executable, "-c", code, url, path, SHA256])


def wait_for_half(folder):
    part, late = folder / ".a.bin.part", time.monotonic() + 60
    while time.monotonic() < late and not (part.is_file() and part.stat().st_size >= HALF):
        time.sleep(0.01)


def test_a_killed_process_leaves_a_part_from_which_the_next_goes_on(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(hold_after=HALF))
    process = start(url, tmp_path / "a.bin")
    wait_for_half(tmp_path)
    process.kill()
    process.wait()
    assert visible(tmp_path) == []
    fetch(server, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert server.ranges()[-1] == f"bytes={HALF}-"


def test_two_processes_at_once_download_it_once(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(hold_after=HALF))
    processes = [start(url, tmp_path / "a.bin") for _ in range(2)]
    wait_for_half(tmp_path)
    time.sleep(0.3)  # the other one is waiting by now, or comes later: both must do no harm
    server.release.set()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert server.ranges() == [None]


@pytest.mark.parametrize(
    ("fault", "name", "fact"),
    [
        (Fault(status=200, body=PAGE, headers={"Content-Type": "text/html"}), "a.csv", "web page"),
        (Fault(status=200, body=PAGE), "a.csv", "web page"),
        (Fault(status=200, body=b"no archive at all"), "a.zip", "zip"),
        (Fault(status=200, body=b""), "a.csv", "0 bytes"),
        (Fault(status=404), "a.csv", "404.*data_manifest.yaml"),
        (Fault(status=401), "a.csv", "401.*[Ll]og in"),
        (Fault(status=403), "a.csv", "403.*terms"),
    ],
)
def test_what_is_not_the_file_never_gets_its_name(server, tmp_path, fault, name, fact):
    url = server.serve(f"/{name}", DATA, fault)
    with pytest.raises(FetchError, match=fact):
        download([url], tmp_path / name, None, progress=False)
    assert visible(tmp_path) == []


def test_a_service_that_stays_in_trouble_is_named(server, tmp_path):
    with pytest.raises(FetchError, match=r"127\.0\.0\.1.*503"):
        fetch(server, tmp_path, *[Fault(status=503)] * 9)
    assert len(server.requests) == 6


@pytest.mark.parametrize("size", [None, len(DATA)])
def test_a_rejected_file_is_kept_and_used_when_the_pin_is_put_right(server, tmp_path, size):
    wrong = f"sha256:{'0' * 64}"
    for _ in range(2):  # a second try does not bring it again by itself
        with pytest.raises(FetchError, match=rf"{'0' * 64}.*{SHA256}.*\.a\.bin\.rejected"):
            fetch(server, tmp_path, checksum=wrong, size=size)
    assert visible(tmp_path) == []
    asked = len(server.requests)
    fetch(server, tmp_path)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert len(server.requests) == asked == 2


def test_a_truncated_file_of_known_size_is_refused(server, tmp_path):
    with pytest.raises(FetchError, match=r"400,000 bytes, 300,000"):
        fetch(server, tmp_path, Fault(content=DATA[:300_000]), checksum=None, size=len(DATA))
    assert visible(tmp_path) == []


def test_more_bytes_than_declared_are_not_written(server, tmp_path):
    for faults in ([], [Fault(no_length=True)]):
        with pytest.raises(FetchError, match=r"at most 1,000 bytes"):
            fetch(server, tmp_path, *faults, checksum=None, size=1000)
    assert server.bytes_sent > 1000
    assert visible(tmp_path) == []


def test_a_drip_ends_at_the_deadline_and_what_came_is_kept(server, tmp_path):
    with pytest.raises(FetchError, match="complete after"):
        fetch(server, tmp_path, Fault(hold_after=HALF, drip=0.02), deadline=0.3)
    fetch(server, tmp_path)
    assert int(server.ranges()[-1].removeprefix("bytes=").removesuffix("-")) >= HALF


def test_too_little_room_is_said_before_anything_is_written(server, tmp_path, monkeypatch):
    free = shutil._ntuple_diskusage(10**9, 10**9, 50_100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(FetchError, match=r"a\.bin needs 0\.4 MB .* 50\.1 MB are free"):
        fetch(server, tmp_path)
    assert visible(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size")
def test_a_disk_that_takes_only_a_part_is_an_error(server, tmp_path):
    program = f"""
import resource
from pathlib import Path
from galhelpers.data.downloads import download
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(DATA) - 100}, {len(DATA) - 100}))
download([{server.serve("/a.bin", DATA)!r}], Path("a.bin"), progress=False)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "OSError" in done.stderr
    assert visible(tmp_path) == []
    assert fetch(server, tmp_path).read_bytes() == DATA


def test_other_places_are_tried_in_order(server, tmp_path):
    good = server.serve("/b/a.bin", DATA)
    download([f"{server.url}/none", good], tmp_path / "a.bin", SHA256, progress=False)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    with pytest.raises(FetchError, match=r"2 places\.\n.*/x.*404.*\n.*/y.*404"):
        download([f"{server.url}/x", f"{server.url}/y"], tmp_path / "c", SHA256, progress=False)


@pytest.mark.parametrize(
    ("url", "fact"),
    [("http://galaxies.invalid/a", "galaxies.invalid could not be looked up"),
     ("http://127.0.0.1:9/a", "Nothing answers at 127.0.0.1:9"),
     ("http://127.0.0.1:99999/a", "no address"), ("http://[::1", "no address"),
     ("http://u:secret@/a", "^http:///a.* no address")],
)  # fmt: skip
def test_no_network_is_said_at_once(tmp_path, monkeypatch, url, fact):
    monkeypatch.setattr(downloads, "RETRY", downloads.RETRY.new(backoff_factor=0.001))
    with pytest.raises(FetchError, match=fact):
        download([url], tmp_path / "a", None, progress=False)


def test_where_a_server_sends_us_is_not_followed_blindly(server, tmp_path):
    with pytest.raises(FetchError, match="in circles"):
        fetch(server, tmp_path, *[Fault(status=302, headers={"Location": "/a.bin"})] * 40)
    with pytest.raises(FetchError, match="no address"):
        fetch(server, tmp_path, Fault(status=302, headers={"Location": "file:///etc/passwd"}))
    with pytest.raises(FetchError, match="no address"):
        fetch(server, tmp_path, Fault(status=302, headers={"Location": "http://[::1"}))
    assert visible(tmp_path) == []


BOMB = gzip.compress(bytes(900_000_000), 9)  # 0.9 MB that unpack to 900
AWAY = b"HTTP/1.1 302 Found\r\nLocation: /b.bin\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n"


def drops(first, piece=b"x"):
    """The beginning at once, then a piece every now and then, for ever."""
    yield first
    while True:
        time.sleep(0.02)
        yield piece


def without_end(first, piece):
    return itertools.chain([first], itertools.repeat(piece))


CHUNK = b"10000\r\n" + bytes(0x10000) + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "fact"),
    [
        (lambda: drops(b"HTTP/1.1 200 OK\r\nX-Slow: "), "not complete after"),
        (lambda: drops(b"HTTP/1.1 "), "not complete after"),
        (lambda: drops(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "not complete after"),
        (lambda: without_end(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "complete|more"),
        (lambda: drops(AWAY + b"Content-Length: 9999\r\n\r\n"), "not complete after"),
        (lambda: without_end(b"HTTP/1.1 503 No\r\n" + CHUNKED, CHUNK), "sends more"),
        (lambda: drops(b"HTTP/1.1 503 No\r\nContent-Length: 9999\r\n\r\n"), "not complete after"),
        (lambda: without_end(GOOD[:17] + CHUNKED, CHUNK), "at most 1,000,000 bytes"),
        (lambda: drops(GOOD + b"\r\n"), "not complete after"),
    ],
)
def test_an_answer_without_end_is_ended(server, tmp_path, raw, fact):
    began = time.monotonic()
    with pytest.raises(FetchError, match=rf"127\.0\.0\.1:\d+/a\.bin .*{fact}"):
        fetch(server, tmp_path, Fault(raw=raw()), deadline=0.5, most_bytes=1_000_000)
    assert time.monotonic() - began < 5
    assert visible(tmp_path) == []


@pytest.mark.parametrize("header", [b"", b"Content-Encoding: gzip\r\n"])
def test_what_stands_behind_a_redirect_is_not_read_to_the_end(server, tmp_path, header):
    server.serve("/b.bin", DATA)
    fault = Fault(raw=without_end(AWAY + header + CHUNKED, CHUNK))
    assert fetch(server, tmp_path, fault, deadline=60).read_bytes() == DATA


def test_nothing_is_unpacked_on_the_way(server, tmp_path):
    packed = {"Content-Encoding": "gzip", "Location": "/b.bin"}
    server.serve("/b.bin", DATA)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fetch(server, tmp_path, Fault(status=302, body=BOMB, headers=packed))
    fetch(server, tmp_path / "2", Fault(status=503, body=BOMB, headers=packed))
    # A server that calls a packed file packed: it stays as it is published.
    url = server.serve("/c.gz", BOMB, Fault(headers={"Content-Encoding": "gzip"}))
    download([url], tmp_path / "c.gz", None, progress=False)
    assert (tmp_path / "c.gz").read_bytes() == BOMB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_status_with_control_characters_is_cleaned(server, tmp_path):
    raw = [b"HTTP/1.1 404 \x1b]0;title\x07\x1b[2Jgone\r\nContent-Length: 0\r\n\r\n"]
    with pytest.raises(FetchError, match=r"404 .*gone") as error:
        fetch(server, tmp_path, Fault(raw=raw))
    assert "\x1b" not in str(error.value)
    assert "\x07" not in str(error.value)


def test_two_lengths_are_no_reason_to_give_up(server, tmp_path):
    twice = GOOD + b"Content-Length: 400000\r\nConnection: close\r\n\r\n" + DATA
    assert fetch(server, tmp_path, Fault(raw=[twice])).read_bytes() == DATA


def test_no_credential_gets_into_a_message(monkeypatch):
    monkeypatch.setenv("KAGGLE_KEY", "a-key-of-the-test")
    text = (
        "GET https://ada:pass@word@host.org/a?X-Signature=secret1&b=2 failed (url: /a?token=secret2"
        ") with a-key-of-the-test, Bearer secret3, hf_secretsecret4\x1b[31m\r\nred"
    )
    said = public(text)
    for secret in ("pass", "secret", "a-key", "\x1b", "\n"):
        assert secret not in said
    assert "https://host.org/a" in said
    assert "secret" not in explain(ConnectionError("secret"), "https://u:secret@host.org/?k=secret")
