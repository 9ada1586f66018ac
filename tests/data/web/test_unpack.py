"""Archives: unpacked whole and inside their folder, or not at all."""

import gzip
import io
import json
import multiprocessing
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import time
import tracemalloc
import unicodedata
import zipfile

import numpy as np
import pytest

from galhelpers.data.web import archive as archive_module
from galhelpers.data.web import unpack as unpack_module
from galhelpers.data.web.services import FetchError
from galhelpers.data.web.unpack import Unpacked, is_unpacked, unpack
from tests.data.web.faulty_server import visible

CONTENT = {
    "labels.csv": b"id,file\n1,a/1.jpg\n",
    "a/1.jpg": b"1" * 3000,
    "a/2.jpg": b"",
    "a/b/3.jpg": np.random.default_rng(0).bytes(300_000),
}
FORMATS = ["zip", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"]


def pack(path, content):
    """Make an archive of names and bytes; a name that ends in / is a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in content.items():
                packed.writestr(name, data)
        return path
    packer = path.suffix[1:].replace("tgz", "gz").replace("tar", "")
    with tarfile.open(path, f"w:{packer}") as packed:
        for name, data in content.items():
            add(packed, name, data)
    return path


def add(packed, name, data=b"", **details):
    info = tarfile.TarInfo(name.rstrip("/"))
    info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
    info.size = len(data)
    for key, value in details.items():
        setattr(info, key, value)
    packed.addfile(info, io.BytesIO(data))


def held(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("[!.]*")
        if path.is_file()
    }


def run(archive, folder, **options):
    return unpack(archive, folder, progress=False, **options)


def assert_refused(archive, folder, words, **options):
    """The message says why, and nothing is left: not in the folder, not beside it, not above."""
    before = visible(folder.parent.parent)
    with pytest.raises(FetchError, match=words) as caught:
        run(archive, folder, **options)
    assert archive.name in str(caught.value)
    assert visible(folder.parent.parent) == before
    assert not folder.exists()
    assert [path.name for path in folder.parent.glob(".*")] == [f".{folder.name}.lock"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "set"


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format(tmp_path, folder, ending):
    archive = pack(tmp_path / f"a.{ending}", CONTENT)
    assert not is_unpacked(archive, folder)
    result = run(archive, folder)
    assert result == Unpacked(folder, 4, sum(map(len, CONTENT.values())))
    assert held(folder) == CONTENT
    assert is_unpacked(archive, folder)
    assert visible(folder.parent)[:2] == ["set", "set/a"]
    assert not os.access(folder / "a" / "1.jpg", os.X_OK)


def test_a_single_gz(tmp_path, folder):
    archive = tmp_path / "table.csv.gz"
    archive.write_bytes(gzip.compress(b"id\n1\n") + gzip.compress(b"2\n"))  # may be several streams
    assert run(archive, folder) == Unpacked(folder, 1, 7)
    assert held(folder) == {"table.csv": b"id\n1\n2\n"}


def test_what_another_program_packed(tmp_path, folder):
    """With folders of their own, ./ in front, and modes."""
    for name, data in CONTENT.items():
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o700)
    packed = tmp_path / "a.tar.gz"
    if not shutil.which("tar"):
        pytest.skip("no tar")
    subprocess.run(["tar", "czf", packed, "./top"], cwd=tmp_path, check=True)
    run(packed, folder, strip_top=True)
    assert held(folder) == CONTENT


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_a_top_folder_is_left_out_only_where_all_lie_in_it(tmp_path, folder, ending):
    inside = {"top/": b"", **{f"top/{name}": data for name, data in CONTENT.items()}}
    archive = pack(tmp_path / f"a.{ending}", inside)
    assert run(archive, folder, strip_top=True).files == 4
    assert held(folder) == CONTENT
    assert is_unpacked(archive, folder)
    for i, more in enumerate(["readme.txt", "other/x"]):
        archive = pack(tmp_path / f"b{i}.{ending}", {**inside, more: b"x"})
        run(archive, tmp_path / f"b{i}", strip_top=True)
        assert (tmp_path / f"b{i}" / "top" / "labels.csv").is_file()


@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
def test_only_what_is_wanted(tmp_path, folder, ending):
    archive = pack(tmp_path / f"a.{ending}", CONTENT)
    assert run(archive, folder, keep=lambda name: name.endswith(".csv")).files == 1
    assert held(folder) == {"labels.csv": CONTENT["labels.csv"]}
    assert is_unpacked(archive, folder)


OUTSIDE = ["../evil", "/tmp/evil", "a/../../evil", "..", "C:evil", "c:/evil", "..\\evil", "a\\b"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_names_that_lead_out_of_the_folder(tmp_path, folder, ending, name):
    archive = pack(tmp_path / f"a.{ending}", {"good.txt": b"1", name: b"2"})
    assert_refused(archive, folder, "leads out|for Windows")


def test_a_link_and_a_member_below_it(tmp_path, folder):
    """The trick: a link to a folder elsewhere, then a file 'in' it."""
    target = tmp_path / "elsewhere"
    target.mkdir()
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as packed:
        add(packed, "way", type=tarfile.SYMTYPE, linkname=str(target))
        add(packed, "way/evil", b"2")
    assert_refused(archive, folder, "is a link or a device")
    packed_zip = tmp_path / "a.zip"
    link = zipfile.ZipInfo("way")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed_zip, "w") as packed:
        packed.writestr(link, str(target))
        packed.writestr("way/evil", "2")
    assert_refused(packed_zip, folder, "is a link or a device")
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("kind", ["LNKTYPE", "CHRTYPE", "BLKTYPE", "FIFOTYPE"])
def test_hard_links_and_devices(tmp_path, folder, kind):
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as packed:
        add(packed, "a", b"1")
        add(packed, "b", type=getattr(tarfile, kind), linkname="a")
    assert_refused(archive, folder, "is a link or a device")
    assert run(archive, folder, keep=lambda name: name == "a").files == 1  # asked for without it


ACCENT = unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")


@pytest.mark.parametrize("names", [("a/1.jpg", "A/1.JPG"), ("1", "./1"), ACCENT])
@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_names_that_are_one_on_some_computers(tmp_path, folder, ending, names):
    archive = pack(tmp_path / f"a.{ending}", dict.fromkeys(names, b"1"))
    assert_refused(archive, folder, "is there twice")


NOT_ON_WINDOWS = [
    *("foo:bar.jpg", "a/CON.jpg", "aux/x.jpg", "nul", "com1.tar.gz", "con .txt", "lpt²"),
    *("a.jpg.", "a.jpg ", "folder./a.jpg", "folder /a.jpg", "a\tb", "a\x7f", "a\nb"),
]


@pytest.mark.parametrize("name", NOT_ON_WINDOWS)
@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_names_that_windows_does_not_allow(tmp_path, folder, ending, name):
    archive = pack(tmp_path / f"a.{ending}", {"good.txt": b"1", name: b"2"})
    assert_refused(archive, folder, "Windows does not allow")
    assert run(archive, folder, keep=lambda member: member == "good.txt").files == 1


@pytest.mark.parametrize("ending", ["zip", "tar"])
def test_names_that_are_unusual_and_fine(tmp_path, folder, ending):
    names = ["My images (1)/NGC 1300 (B).jpg", ".hidden/a", "console.txt", "com10.jpg"]
    content = {**dict.fromkeys(names, b"1"), "J102532.37+052459.3": b"2", "é~#,;=&.con": b"3"}
    assert run(pack(tmp_path / f"a.{ending}", content), folder).files == len(content)


@pytest.mark.parametrize("names", [("a", "a/1"), ("a/1", "a")])
def test_a_file_where_a_folder_is(tmp_path, folder, names):
    archive = pack(tmp_path / "a.zip", dict.fromkeys(names, b"1"))
    assert_refused(archive, folder, "want the same place")


def test_our_own_marker_is_not_taken_from_an_archive(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", {"top/.unpacked.json": b"{}"})
    assert_refused(archive, folder, "keeps for itself")


@pytest.mark.parametrize("ending", ["zip", "tar.gz", "csv.gz"])
def test_a_bomb(tmp_path, folder, ending):
    """150 MB of zeros in 0.15 MB: over the default of 100 times its size and 100 MB."""
    zeros = bytes(3_000_000)
    archive = tmp_path / f"a.{ending}"
    if ending == "csv.gz":
        archive.write_bytes(gzip.compress(zeros) * 50)
    else:
        pack(archive, {f"{i}.fits": zeros for i in range(50)})
    with pytest.raises(FetchError, match="grows to"):
        run(archive, folder, max_bytes=20_000_000)
    start = time.monotonic()
    assert_refused(archive, folder, r"grows to .* MB or more")
    assert time.monotonic() - start < 5


def test_a_bomb_with_forged_sizes(tmp_path, folder):
    """A zip that declares 10 bytes a member in both of its headers, and holds 3 MB each."""
    archive = pack(tmp_path / "a.zip", {f"{i}.fits": bytes(3_000_000) for i in range(3)})
    forged = archive.read_bytes().replace(struct.pack("<I", 3_000_000), struct.pack("<I", 10))
    archive.write_bytes(forged)
    written = []
    assert_refused(archive, folder, "damaged", keep=lambda name: written.append(name) or True)
    assert len(written) == 3  # the declared sizes did pass


def test_too_many_members(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(archive_module, "MOST_MEMBERS", 3)
    for ending in ("zip", "tar"):
        assert_refused(pack(tmp_path / f"a.{ending}", CONTENT), folder, "more than 3 members")


def test_too_little_room(tmp_path, folder, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=50_100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    for ending in ("zip", "tar.gz"):
        assert_refused(pack(tmp_path / f"a.{ending}", CONTENT), folder, "0.1 MB are allowed")


def test_full_disk(tmp_path, small_disk, monkeypatch):
    """A real file system of 200 KiB, which nobody asked for its room before."""
    monkeypatch.setattr(unpack_module, "SPARE_BYTES", -(10**9))
    archive = pack(tmp_path / "a.tar", CONTENT)
    with pytest.raises(FetchError, match="No space left"):
        run(archive, small_disk / "set")
    assert [path.name for path in small_disk.iterdir()] == [".set.lock"]


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "small"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs Linux and root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_encrypted(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", CONTENT)
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as packed:
        place = packed.start_dir
    content[place + 8] |= 1  # bit 0 of the flags in the first entry of the directory
    archive.write_bytes(content)
    assert_refused(archive, folder, "encrypted and needs a password")


@pytest.mark.parametrize("ending", [*FORMATS, "csv.gz"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "other", "empty"])
def test_damaged(tmp_path, folder, ending, damage):
    archive = tmp_path / f"a.{ending}"
    if ending == "csv.gz":
        archive.write_bytes(gzip.compress(CONTENT["a/b/3.jpg"]))
    else:
        pack(archive, CONTENT)
    content = bytearray(archive.read_bytes())
    if damage == "flipped" and ending == "tar":
        pytest.skip("a tar has no checksum of its contents: that is what the manifest is for")
    content[len(content) // 2] ^= 1
    damaged = {"cut": content[:-2000], "flipped": content, "other": b"oh no" * 999, "empty": b""}
    archive.write_bytes(damaged[damage])
    if ending == "csv.gz" and damage == "empty":
        assert run(archive, folder).bytes == 0  # gzip: no stream at all is an empty file
    else:
        assert_refused(archive, folder, r"damaged\. Delete .* and fetch it again")


def test_a_tar_that_ends_or_breaks_between_two_members(tmp_path, folder):
    """Where tarfile itself sees the end of the archive, and would leave the rest out."""
    whole = pack(tmp_path / "a.tar", {"1": b"1", "2": b"2"}).read_bytes()
    archive = tmp_path / "b.tar"
    for content in (whole[:1024], whole[:1024] + b"x" * 512 + whole[1536:]):
        archive.write_bytes(content)
        assert_refused(archive, folder, "damaged")


EXTENSIONS = ["GNUTYPE_LONGNAME", "GNUTYPE_LONGLINK", "XHDTYPE", "XGLTYPE", "SOLARIS_XHDTYPE"]


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_a_header_that_would_fill_the_memory(tmp_path, folder, kind):
    """30 MB of a name in 0.03 MB; tarfile would read them at once."""
    archive = tmp_path / "a.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        add(packed, "long", b"30000000 path=" + bytes(30_000_000), type=getattr(tarfile, kind))
        add(packed, "a.txt", b"1")
    tracemalloc.start()
    assert_refused(archive, folder, "damaged.*a header of 30,000,014 bytes")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_sparse_file_in_a_tar(tmp_path, folder):
    """Its list of pieces may go on for ever, and tarfile would hold it."""
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w") as packed:
        add(packed, "a", b"1" * 512, type=tarfile.GNUTYPE_SPARSE)
    assert_refused(archive, folder, "a sparse file")


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(tmp_path, folder, style):
    name = "/".join(["galaxy" * 20] * 8)
    with tarfile.open(tmp_path / "a.tar", "w", format=style) as packed:
        add(packed, name, b"1")
    run(tmp_path / "a.tar", folder)
    assert held(folder) == {name: b"1"}


def test_unknown_and_missing_archives(tmp_path, folder):
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    assert_refused(tmp_path / "a.rar", folder, "Expected a zip, tar")
    with pytest.raises(FetchError, match=r"found no such file"):
        run(tmp_path / "a.zip", folder)


def test_a_complete_folder_is_left_alone(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", CONTENT)
    first = run(archive, folder)
    inode = (folder / "a" / "1.jpg").stat().st_ino
    assert run(archive, folder) == first
    assert (folder / "a" / "1.jpg").stat().st_ino == inode
    archive.unlink()
    assert is_unpacked(archive, folder)  # deleted to save room


@pytest.mark.parametrize("harm", ["half", "emptied", "shortened", "marker", "newer", "renamed"])
def test_a_folder_that_is_not_right_is_made_again(tmp_path, folder, harm):
    archive = pack(tmp_path / "a.zip", CONTENT)
    run(archive, folder)
    if harm == "half":
        shutil.rmtree(folder / "a" / "b")
    elif harm == "emptied":
        shutil.rmtree(folder)
        folder.mkdir()
    elif harm == "shortened":
        (folder / "a" / "b" / "3.jpg").write_bytes(b"power cut")
    elif harm == "marker":
        note = json.loads((folder / ".unpacked.json").read_text())
        (folder / ".unpacked.json").write_text(json.dumps({**note, "files": 5}))
    elif harm == "newer":
        pack(archive, {**CONTENT, "new.csv": b"new"})
    else:
        archive = archive.rename(tmp_path / "b.zip")
    assert not is_unpacked(archive, folder)
    run(archive, folder)
    assert is_unpacked(archive, folder)
    with zipfile.ZipFile(archive) as packed:
        assert held(folder) == {name: packed.read(name) for name in packed.namelist()}
    names = sorted(path.name for path in folder.parent.iterdir())
    assert names == [".set.lock", "set"]


def test_a_failed_repair_leaves_what_is_there(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", CONTENT)
    run(archive, folder)
    (folder / "labels.csv").unlink()
    archive.write_bytes(b"oh no" * 999)
    with pytest.raises(FetchError, match="damaged"):
        run(archive, folder)
    assert (folder / "a" / "1.jpg").read_bytes() == CONTENT["a/1.jpg"]


def test_somebody_elses_folder_is_never_touched(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", CONTENT)
    folder.mkdir(parents=True)
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(FetchError, match="was not unpacked by this course"):
        run(archive, folder)
    assert held(folder) == {"thesis.txt": b"years of work"}
    (tmp_path / "file").write_text("")
    with pytest.raises(FetchError, match="was not unpacked by this course"):
        run(archive, tmp_path / "file")


def test_an_added_file_does_not_make_it_incomplete(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", CONTENT)
    run(archive, folder)
    (folder / "notes.txt").write_text("mine")
    run(archive, folder)
    assert (folder / "notes.txt").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_in_the_middle_then_started_again(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", {f"{i}.txt": b"1" * 10 for i in range(3000)})
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["galhelpers.data.web.unpack"])
    process = context.Process(target=unpack, args=(archive, folder), kwargs={"progress": False})
    process.start()
    partial, end = folder.parent / ".set.partial-0", time.monotonic() + 30
    while not (partial / "10.txt").exists():
        assert time.monotonic() < end
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert partial.exists()
    assert visible(folder.parent) == []
    assert run(archive, folder).files == 3000
    assert sorted(path.name for path in folder.parent.iterdir()) == [".set.lock", "set"]


def test_two_at_once_unpack_once(tmp_path, folder):
    archive = pack(tmp_path / "a.zip", {f"{i}.txt": b"1" for i in range(300)})
    asked, results = [], []

    def work():
        results.append(run(archive, folder, keep=lambda name: asked.append(name) or True))

    both = [threading.Thread(target=work) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert results == [Unpacked(folder, 300, 300)] * 2
    assert len(asked) == 300


def test_members_of_a_tar_are_not_held_in_memory(tmp_path):
    """Only their names are, some 200 bytes each; tarfile by itself keeps over 1000 bytes each."""
    peaks = []
    for n in (500, 1500):
        archive = pack(tmp_path / f"{n}.tar", {f"{i}.txt": b"1" * 100 for i in range(n)})
        tracemalloc.start()
        run(archive, tmp_path / f"out{n}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1000 * 400
