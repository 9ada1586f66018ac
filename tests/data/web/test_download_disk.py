"""Downloads and the disk: too little room, files already there, killed and parallel processes."""

import ctypes
import json
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from galhelpers.data.web import intact, transfer
from galhelpers.data.web.download import (
    Remote,
    download,
    still_missing,
)
from galhelpers.data.web.services import FetchError
from galhelpers.data.web.transfer import CHUNK
from tests.data.web.downloading import DATA, FAST, HALF, SHA256, assert_arrived, fetch, write
from tests.data.web.faulty_server import Fault, FaultyServer, visible


@pytest.fixture
def server():
    with FaultyServer() as running:
        yield running


def test_a_wrong_file_is_fetched_again_and_kept(server, tmp_path, capfd):
    """It may be a reader's own, put there by hand."""
    own = b"a newer version, by hand"
    (tmp_path / "a.bin").write_bytes(own)
    url = server.serve("/a.bin", DATA, Fault(status=404))
    with pytest.raises(FetchError):
        fetch(tmp_path, url)
    assert (tmp_path / "a.bin").read_bytes() == own  # nothing better came
    assert fetch(tmp_path, url, progress=True).url
    assert ".a.bin.rejected" in capfd.readouterr().err
    rejected = tmp_path / ".a.bin.rejected"
    assert rejected.read_bytes() == own
    rejected.unlink()
    assert_arrived(tmp_path)


def test_a_recognised_file_and_a_wrong_one_change_places(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"wrong")
    (tmp_path / ".a.bin.rejected").write_bytes(DATA)
    assert fetch(tmp_path).url is None
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert (tmp_path / ".a.bin.rejected").read_bytes() == b"wrong"


def test_again_does_not_use_what_is_there(server, tmp_path):
    """Neither the file nor what is left of an earlier download."""
    url = server.serve("/a.bin", DATA, Fault(status=404))
    (tmp_path / "a.bin").write_bytes(b"damaged, but nobody can tell")
    assert fetch(tmp_path, url, checksum=None).url is None
    with pytest.raises(FetchError):
        fetch(tmp_path, url, checksum=None, again=True)
    assert visible(tmp_path) == []  # or it would be found there next time
    (tmp_path / ".a.bin.part").write_bytes(DATA[::-1][:HALF])
    origin = {"url": url, "etag": None, "modified": "now", "total": len(DATA)}
    (tmp_path / ".a.bin.part.json").write_text(json.dumps(origin))
    assert fetch(tmp_path, url, checksum=None, again=True).url == url
    assert server.ranges() == [None, None]
    assert (tmp_path / ".a.bin.rejected").read_bytes() == b"damaged, but nobody can tell"
    (tmp_path / ".a.bin.rejected").unlink()
    assert_arrived(tmp_path)
    assert fetch(tmp_path, url, again=True).url == url  # with a checksum it stays until then
    assert_arrived(tmp_path)


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


def test_a_body_without_length_or_end_leaves_room_on_the_disk(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "BETWEEN_LOOKS", 1_000_000)

    def usage(folder):
        used = sum(path.stat().st_size for path in tmp_path.iterdir())
        return real(folder)._replace(free=intact.SPARE_BYTES + 3_000_000 - used)

    real = shutil.disk_usage
    monkeypatch.setattr(shutil, "disk_usage", usage)
    url, spare = server.serve("/a", bytes(20_000_000), Fault(no_length=True)), "http://a.invalid/"
    with pytest.raises(FetchError, match=r"a.bin needs 1.0 MB more"):
        fetch(tmp_path, url, spare, checksum=None)
    assert visible(tmp_path) == []
    assert 1_000_000 < (tmp_path / ".a.bin.part").stat().st_size <= 3_000_000


def test_still_missing(tmp_path):
    remote = Remote("a.bin", (), 1000)
    assert still_missing(remote, tmp_path / "not there yet") == 1000
    assert still_missing(Remote("a.bin", ()), tmp_path) is None
    (tmp_path / ".a.bin.part").write_bytes(bytes(300))
    assert still_missing(remote, tmp_path) == 700
    (tmp_path / "a.bin").write_bytes(bytes(999))
    assert still_missing(remote, tmp_path) == 700  # another file, which stays until this one came
    assert still_missing(Remote("a.bin", ()), tmp_path) == 0
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    assert still_missing(remote, tmp_path) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="making links needs special rights")
@pytest.mark.parametrize("with_note", [True, False])
def test_a_link_in_the_place_of_the_part_is_not_written_through(server, tmp_path, with_note):
    thesis = write(tmp_path / "elsewhere" / "thesis.txt", DATA[:HALF])
    url = server.serve("/a.bin", DATA)
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / ".a.bin.part").symlink_to(thesis)
    if with_note:
        origin = {"url": url, "etag": None, "modified": None, "total": len(DATA)}
        (folder / ".a.bin.part.json").write_text(json.dumps(origin))
    assert_arrived(folder, fetch(folder, url))
    assert thesis.read_bytes() == DATA[:HALF]
    assert not (folder / "a.bin").is_symlink()


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


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(FetchError, match="may write into"):
        fetch(tmp_path / "data", server.serve("/a.bin", DATA))


def test_a_file_where_the_folder_should_be(server, tmp_path):
    with pytest.raises(FetchError, match="Cannot write into"):
        fetch(write(tmp_path / "data", b""), server.serve("/a.bin", DATA))
