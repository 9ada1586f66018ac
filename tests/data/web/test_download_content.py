"""Downloads of something else than was expected, and of what several places should have."""

import gzip
import json
import shutil
import subprocess
import zipfile
from io import BytesIO

import pytest

from galhelpers.data.web.download import (
    Remote,
    download,
    file_checksum,
    zenodo_files,
)
from galhelpers.data.web.services import FetchError
from galhelpers.data.web.transfer import CHUNK
from tests.data.web.downloading import DATA, FAST, HALF, PAGE, SHA256, assert_arrived, fetch, write
from tests.data.web.faulty_server import Fault, FaultyServer, visible


@pytest.fixture
def server():
    with FaultyServer() as running:
        yield running


def test_a_body_without_end_stops_behind_the_known_size(server, tmp_path):
    url = server.serve("/a.bin", DATA * 20, Fault(no_length=True))
    with pytest.raises(FetchError, match="should have 400,000 bytes"):
        fetch(tmp_path, url, size=len(DATA))
    assert (tmp_path / ".a.bin.rejected").stat().st_size < len(DATA) + 2 * CHUNK
    assert visible(tmp_path) == []


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "git-blob-sha1"])
def test_wrong_checksum_is_kept_and_recognised_once_the_pin_is_right(server, tmp_path, algorithm):
    url = server.serve("/a.bin", DATA)
    right = file_checksum(write(tmp_path / "other" / "a.bin", DATA), algorithm)
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


def test_another_size_is_refused_before_the_body(server, tmp_path):
    """The next place may have the right one."""
    large, good = server.serve("/large", bytes(10_000_000)), server.serve("/a.bin", DATA)
    result = fetch(tmp_path, large, good, size=len(DATA), checksum=None)
    assert_arrived(tmp_path, result)
    assert result.url == good
    words = r"/large was not loaded.*400,000 bytes.* announces 10,000,000\. .*out of date"
    with pytest.raises(FetchError, match=words):
        fetch(tmp_path, large, size=len(DATA), checksum=None, name="b.bin")
    assert visible(tmp_path) == ["a.bin"]
    assert not (tmp_path / ".b.bin.part").exists()
    assert not (tmp_path / ".b.bin.rejected").exists()


@pytest.mark.parametrize("fault", [Fault(), Fault(no_length=True), Fault(chunked=True)])
@pytest.mark.parametrize("checksum", [SHA256, None])
def test_an_empty_answer_is_no_file(server, tmp_path, fault, checksum):
    url = server.serve("/a.csv", b"", fault, fault)
    with pytest.raises(FetchError, match=r"empty file instead of a\.csv"):
        fetch(tmp_path, url, name="a.csv", checksum=checksum)
    assert visible(tmp_path) == []
    fetch(tmp_path, url, name="a.csv", checksum=None, size=0)  # the manifest says so
    assert_arrived(tmp_path, name="a.csv", content=b"")


def test_an_empty_file_on_the_disk_is_fetched_again(server, tmp_path):
    (tmp_path / "a.bin").touch()
    assert fetch(tmp_path, server.serve("/a.bin", DATA), checksum=None).url
    assert (tmp_path / "a.bin").read_bytes() == DATA


@pytest.mark.parametrize("length", ["\xb2", "9" * 5000, "-1"])
def test_a_length_that_is_no_number(server, tmp_path, length):
    fault = Fault(no_length=True, headers={"Content-Length": length})
    assert_arrived(tmp_path, fetch(tmp_path, server.serve("/a.bin", DATA, fault)))


@pytest.mark.parametrize("size", ["\xb2", "9" * 5000])
def test_a_content_range_that_is_no_number(server, tmp_path, size):
    fault = Fault(headers={"Content-Range": f"bytes {HALF}-399999/{size}"})
    url = server.serve("/a.bin", DATA, Fault(drop_after=HALF), fault)
    assert_arrived(tmp_path, fetch(tmp_path, url))
    assert server.ranges() == [None, f"bytes={HALF}-", None]


def test_git_blob_checksum_is_what_git_prints(tmp_path):
    path = write(tmp_path / "a", DATA)
    printed = subprocess.run(["git", "hash-object", path], capture_output=True, text=True)
    assert file_checksum(path, "git-blob-sha1") == printed.stdout.strip()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/zip"])
def test_a_page_with_200_is_not_the_archive(server, tmp_path, kind):
    url = server.serve("/a.zip", PAGE, kind=kind)
    with pytest.raises(FetchError, match=r"web page instead of a.zip.*login page"):
        fetch(tmp_path, url, name="a.zip", checksum=None)
    assert visible(tmp_path) == []
    assert not (tmp_path / ".a.zip.part").exists()


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


@pytest.mark.parametrize(
    ("content", "fault", "words"),
    [
        (bytes(10_100_000), Fault(), "more than 10 MB"),
        (b'{"files": []}', Fault(hold_after=3, drip=0.02), "too slow"),
        (b"[" * 200_000, Fault(), "number of a record"),
    ],
)
def test_a_list_that_does_not_end(server, monkeypatch, content, fault, words):
    server.serve("/api/records/1", content, fault, fault)
    monkeypatch.setenv("GALHELPERS_URL_ZENODO", server.url)
    with pytest.raises(FetchError, match=words):
        zenodo_files("1", patience=0.1, attempts=1)
