"""Downloads from a server that misbehaves: whole and verified, or not there at all."""

import ctypes
import gzip
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from galhelpers.data.web import intact
from galhelpers.data.web.download import Remote, download, file_checksum, zenodo_files
from galhelpers.data.web.services import FetchError
from galhelpers.data.web.transfer import CHUNK
from tests.data.web.faulty_server import Fault, FaultyServer, visible

DATA = np.random.default_rng(4).bytes(400_000)
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
HALF = 3 * CHUNK  # where connections break off: whole blocks, so that nothing is on its way
FAST = {"progress": False, "backoff": 0.001, "timeout": (5, 5)}
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to the network.</body></html>"


@pytest.fixture
def server():
    with FaultyServer() as running:
        yield running


def fetch(folder, *urls, name="a.bin", checksum=SHA256, size=None, **options):
    return download(Remote(name, urls, size, checksum), folder, **{**FAST, **options})


def assert_arrived(folder, result=None, name="a.bin", content=DATA):
    """The file is right, and nothing else is left but the lock."""
    assert (folder / name).read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == [f".{name}.lock", name]
    if result:
        assert (result.path, result.bytes) == (folder / name, len(content))
        assert result.sha256 == hashlib.sha256(content).hexdigest()


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


def test_a_damaged_file_is_fetched_again(server, tmp_path):
    (tmp_path / "a.bin").write_bytes(DATA[:-1] + b"!")
    assert fetch(tmp_path, server.serve("/a.bin", DATA)).url
    assert_arrived(tmp_path)


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
    result = fetch(tmp_path, server.serve("/a.bin", DATA, fault), checksum=checksum)
    assert_arrived(tmp_path, result)
    assert result.verified == (checksum is not None)


def test_unknown_length_and_truncated_is_noticed_by_the_known_size(server, tmp_path):
    url = server.serve("/a.bin", DATA, Fault(no_length=True, drop_after=HALF))
    assert_arrived(tmp_path, fetch(tmp_path, url, checksum=None, size=len(DATA)))
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_a_body_without_end_stops_behind_the_known_size(server, tmp_path):
    url = server.serve("/a.bin", DATA * 20, Fault(no_length=True))
    with pytest.raises(FetchError, match="should have 400,000 bytes"):
        fetch(tmp_path, url, size=len(DATA))
    assert (tmp_path / ".a.bin.rejected").stat().st_size < len(DATA) + 2 * CHUNK
    assert visible(tmp_path) == []


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


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "git-blob-sha1"])
def test_wrong_checksum_is_kept_and_recognised_once_the_pin_is_right(server, tmp_path, algorithm):
    url = server.serve("/a.bin", DATA)
    right = file_checksum(_write(tmp_path / "other" / "a.bin", DATA), algorithm)
    wrong = "0" * len(right)
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path, url, checksum=f"{algorithm}:{wrong}")
    message = str(caught.value)
    for part in ["a.bin", wrong, right, "out of date", "data_manifest.yaml", ".a.bin.rejected"]:
        assert part in message
    assert len(server.requests) == 1
    assert visible(tmp_path) == ["other", "other/a.bin"]
    result = fetch(tmp_path, url, checksum=f"{algorithm}:{right}")
    assert (result.url, result.verified, len(server.requests)) == (None, True, 1)
    shutil.rmtree(tmp_path / "other")
    assert_arrived(tmp_path, result)


def test_wrong_size(server, tmp_path):
    with pytest.raises(FetchError, match="should have 400,001 bytes, but 400,000 came"):
        fetch(tmp_path, server.serve("/a.bin", DATA), size=400_001, checksum=None)
    assert visible(tmp_path) == []


def _write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_git_blob_checksum_is_what_git_prints(tmp_path):
    path = _write(tmp_path / "a", DATA)
    printed = subprocess.run(["git", "hash-object", path], capture_output=True, text=True)
    assert file_checksum(path, "git-blob-sha1") == printed.stdout.strip()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
def test_a_page_with_200_is_not_the_archive(server, tmp_path, kind):
    url = server.serve("/a.zip", PAGE, kind=kind)
    with pytest.raises(FetchError, match=r"web page instead of a.zip.*login page"):
        fetch(tmp_path, url, name="a.zip", checksum=None)
    assert visible(tmp_path) == []
    assert not (tmp_path / ".a.zip.part").exists()


def test_a_page_in_the_middle_does_not_cost_what_has_arrived(server, tmp_path):
    login = Fault(content=PAGE, ignore_range=True, headers={"Content-Type": "text/html"})
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF), login)
    with pytest.raises(FetchError, match="web page"):
        fetch(tmp_path, url)
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.ranges()[2] == f"bytes={HALF}-"


@pytest.mark.parametrize(
    "name", ["a.zip", "a.csv.gz", "a.tar.gz", "a.tar", "a.h5", "a.parquet", "a.fits", "a.tar.bz2"]
)
def test_something_else_with_200_is_not_the_file(server, tmp_path, name):
    url = server.serve(f"/{name}", b'{"error": "not today"}' * 100)
    with pytest.raises(FetchError, match=f"instead of {name}"):
        fetch(tmp_path, url, name=name, checksum=None)
    assert visible(tmp_path) == []


def test_a_page_is_fine_where_one_is_wanted(server, tmp_path):
    fetch(tmp_path, server.serve("/a.html", PAGE, kind="text/html"), name="a.html", checksum=None)
    assert_arrived(tmp_path, name="a.html", content=PAGE)


def test_content_encoding_is_not_undone(server, tmp_path):
    """A store may serve its .csv.gz as 'compressed text'; the file is what is stored."""
    packed = gzip.compress(b"id,ra,dec\n1,2,3\n" * 9000)
    encoded = Fault(headers={"Content-Encoding": "gzip"})
    fetch(tmp_path, server.serve("/a.csv.gz", packed, encoded), name="a.csv.gz", checksum=None)
    assert_arrived(tmp_path, name="a.csv.gz", content=packed)
    assert server.requests[0].headers["Accept-Encoding"] == "identity"
    with pytest.raises(FetchError, match="compressed although"):
        fetch(tmp_path, server.serve("/b.csv", packed, encoded), name="b.csv", checksum=None)
    assert visible(tmp_path) == ["a.csv.gz"]


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


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "log in first"), (403, "refuses"), (404, "does not have"), (418, "did not send")],
)
def test_refusals_are_told_once_and_without_credentials(server, tmp_path, status, words):
    url = server.serve("/a.bin", DATA, Fault(status=status)).replace("//", "//anna:geheim@")
    remote = Remote("a.bin", (url + "?token=geheim",), advice="Get it by hand from the page.")
    with pytest.raises(FetchError, match=words) as caught:
        download(remote, tmp_path, **FAST)
    assert "geheim" not in str(caught.value)
    assert "anna" not in str(caught.value)
    assert str(caught.value).endswith("by hand from the page.")
    assert len(server.requests) == 1
    assert visible(tmp_path) == []


def test_credentials_are_in_no_file_no_result_and_no_message(server, tmp_path, capfd):
    secret = server.serve("/a.bin", DATA, Fault(drop_after=HALF)).replace("//", "//anna:geheim@")
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path, secret + "?token=geheim", attempts=1, progress=True)
    assert server.requests[0].headers["Authorization"].startswith("Basic ")
    assert b"geheim" not in (tmp_path / ".a.bin.part.json").read_bytes()
    result = fetch(tmp_path, secret + "?token=geheim", progress=True)
    with pytest.raises(FetchError) as broken:
        fetch(tmp_path / "b", "http://anna:geheim@/a.bin")
    printed = [*capfd.readouterr(), repr(result), str(caught.value), str(broken.value)]
    assert not any("geheim" in text for text in printed)


def test_mirrors_are_tried_in_order(server, tmp_path):
    with FaultyServer() as mirror:
        urls = [
            server.serve("/gone", DATA, Fault(status=404)),
            server.serve("/page", PAGE, kind="text/html"),
            server.serve("/other", DATA[::-1]),
            mirror.serve("/a.bin", DATA),
            mirror.serve("/never", DATA),
        ]
        result = fetch(tmp_path, *urls)
        assert_arrived(tmp_path, result)
        assert result.url == urls[3]
        assert [request.path for request in server.requests] == ["/gone", "/page", "/other"]
        assert len(mirror.requests) == 1


def test_when_every_mirror_fails_each_is_told(server, tmp_path):
    urls = [server.serve("/one", DATA, Fault(status=404)), server.serve("/two", PAGE)]
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path, *urls)
    first, one, two = str(caught.value).split("\n")
    assert "2 places" in first
    assert "/one (404" in one
    assert "/two answered with a web page" in two


def test_a_mirror_continues_what_another_began_when_a_checksum_decides(server, tmp_path):
    drops = [Fault(drop_after=HALF), *[Fault(drop_after=0)] * 2]
    first = server.serve("/one", DATA, *drops)
    second = server.serve("/two", DATA)
    assert_arrived(tmp_path, fetch(tmp_path, first, second, attempts=3))
    assert server.bytes_sent == len(DATA)
    assert "If-Range" not in server.requests[-1].headers


def test_too_little_room_is_noticed_before_the_download(server, tmp_path, monkeypatch):
    free = len(DATA) + intact.SPARE_BYTES - 1
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    url, spare = server.serve("/a.bin", DATA), server.serve("/b.bin", DATA)
    with pytest.raises(FetchError, match=r"a.bin needs 0.4 MB more.*50.4 MB are free"):
        fetch(tmp_path, url, spare)
    assert len(server.requests) == 1  # another mirror has no smaller file
    assert not (tmp_path / ".a.bin.part").exists()
    assert visible(tmp_path) == []


def test_full_disk(server, tmp_path, monkeypatch):
    """A real file system of 256 KiB, mounted in memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    small = tmp_path / "small"
    small.mkdir()
    if not hasattr(libc, "mount") or libc.mount(b"t", bytes(small), b"tmpfs", 0, b"size=256k"):
        pytest.skip("mounting a small file system needs Linux and root")
    try:
        monkeypatch.setattr(intact, "SPARE_BYTES", -(10**9))  # or it would be noticed before
        url = server.serve("/a.bin", DATA)
        with pytest.raises(FetchError, match=r"No space left.*Make room.*is kept"):
            fetch(small, url)
        assert visible(small) == []
        kept = (small / ".a.bin.part").read_bytes()
        assert kept == DATA[: len(kept)]
        assert len(kept) > 2 * CHUNK
        assert libc.mount(b"t", bytes(small), b"tmpfs", 32, b"size=1m") == 0  # 32: remount
        assert_arrived(small, fetch(small, url))
        assert server.ranges() == [None, f"bytes={len(kept)}-"]
    finally:
        libc.umount(bytes(small))


@pytest.fixture(scope="module")
def processes():
    """Makes real processes, quickly: they are forked from one that has imported the package."""
    if sys.platform == "win32":
        pytest.skip("resource limits and SIGKILL are a matter of Unix")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["galhelpers.data.web.download"])
    return context


def as_arguments(url, folder):
    return Remote("a.bin", (url,), None, SHA256), folder


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_a_used_up_quota(server, tmp_path, processes):
    """A real limit of the operating system on the size of a file."""
    import resource

    limit = (resource.RLIMIT_FSIZE, (HALF, HALF))
    url = server.serve("/a.bin", DATA)
    with (
        ProcessPoolExecutor(1, processes, initializer=resource.setrlimit, initargs=limit) as pool,
        pytest.raises(FetchError, match="Make room"),
    ):
        pool.submit(download, *as_arguments(url, tmp_path), **FAST).result(60)
    assert visible(tmp_path) == []
    assert (tmp_path / ".a.bin.part").read_bytes() == DATA[:HALF]


@pytest.mark.parametrize("end", ["SIGKILL", "SIGINT"])
def test_killed_in_the_middle_then_started_again(server, tmp_path, processes, end):
    url = server.serve("/a.bin", DATA, Fault(hold_after=HALF))
    part = tmp_path / ".a.bin.part"
    process = processes.Process(target=download, args=as_arguments(url, tmp_path), kwargs=FAST)
    process.start()
    until(lambda: part.exists() and part.stat().st_size == HALF)
    os.kill(process.pid, getattr(signal, end))
    process.join(60)
    assert process.exitcode == (-signal.SIGKILL if end == "SIGKILL" else 1)
    assert visible(tmp_path) == []
    server.release.set()
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.ranges() == [None, f"bytes={HALF}-"]


def test_two_processes_at_once_make_one_download(server, tmp_path, processes):
    url = server.serve("/a.bin", DATA, Fault(hold_after=HALF))
    with ProcessPoolExecutor(2, processes) as pool:
        both = [pool.submit(download, *as_arguments(url, tmp_path), **FAST) for _ in range(2)]
        until(lambda: server.requests)
        threading.Timer(0.1, server.release.set).start()
        results = [future.result(60) for future in both]
    assert sorted(str(result.url) for result in results) == ["None", url]
    assert len(server.requests) == 1
    for result in results:
        assert_arrived(tmp_path, result)


def test_who_waits_is_told_so(server, tmp_path, capfd):
    url = server.serve("/a.bin", DATA, Fault(hold_after=HALF))
    first = threading.Thread(target=fetch, args=(tmp_path, url))
    first.start()
    until(lambda: server.requests)
    threading.Timer(1.3, server.release.set).start()
    assert fetch(tmp_path, url, progress=True).url is None
    first.join()
    assert "waiting for another download of a.bin" in capfd.readouterr().err
    assert_arrived(tmp_path)


def test_a_reader_never_meets_half_a_file(server, tmp_path):
    url = server.serve("/a.bin", DATA, *[Fault(drop_after=CHUNK)] * 4)
    sizes, done = set(), threading.Event()

    def read():
        while not done.is_set():
            sizes.update(path.stat().st_size for path in tmp_path.glob("[!.]*"))

    reader = threading.Thread(target=read)
    reader.start()
    fetch(tmp_path, url)
    time.sleep(0.05)
    done.set()
    reader.join()
    assert sizes == {len(DATA)}


@pytest.mark.parametrize("name", ["", ".hidden", "../a", "a/b", "a\\b", "C:a", "a\0b"])
def test_names_that_leave_the_folder(tmp_path, name):
    with pytest.raises(ValueError, match="plain name"):
        fetch(tmp_path, "http://127.0.0.1/a", name=name)


def test_unknown_checksum_algorithm(tmp_path):
    with pytest.raises(ValueError, match="crc32"):
        fetch(tmp_path, "http://127.0.0.1/a", checksum="crc32:0")


def test_no_place_at_all(tmp_path):
    with pytest.raises(FetchError, match=r"no place is known[^$]*By hand"):
        download(Remote("a.bin", (), advice="By hand."), tmp_path, **FAST)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FetchError, match="may write into"):
        fetch(tmp_path / "data", server.serve("/a.bin", DATA))


def test_a_file_where_the_folder_should_be(server, tmp_path):
    with pytest.raises(FetchError, match="Cannot write into"):
        fetch(_write(tmp_path / "data", b""), server.serve("/a.bin", DATA))


def test_an_archive_from_a_service_of_the_manifest(server, tmp_path, monkeypatch):
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.txt", "galaxy")
    server.serve("/records/1/files/a.zip", packed.getvalue())
    monkeypatch.setenv("GALHELPERS_URL_ZENODO", server.url)
    fetch(tmp_path, "zenodo:records/1/files/a.zip?download=1", name="a.zip", checksum=None)
    assert_arrived(tmp_path, name="a.zip", content=packed.getvalue())


def test_zenodo_files(server, monkeypatch):
    files = [{"key": "a.zip", "size": 12, "checksum": "md5:" + "0" * 32, "links": {}}]
    server.serve("/api/records/3565489", json.dumps({"files": files}).encode(), Fault(status=503))
    server.serve("/api/records/2", b'{"message": "no"}')
    server.serve("/api/records/3", PAGE)
    monkeypatch.setenv("GALHELPERS_URL_ZENODO", server.url)
    assert zenodo_files("3565489", backoff=0.001) == {"a.zip": (12, "md5:" + "0" * 32)}
    for record in ("2", "3"):
        with pytest.raises(FetchError, match="number of a record"):
            zenodo_files(record)
    with pytest.raises(FetchError, match="404"):
        zenodo_files("4")
