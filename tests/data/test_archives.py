"""Archives: a reader sees the whole folder or none, and nothing lies outside of it."""

import io
import tarfile
import zipfile

import pytest

from galhelpers.data import archives
from galhelpers.data.archives import MARK, new_folder, unpack
from galhelpers.data.downloads import FetchError

FILES = {"top/a.txt": b"a" * 5000, "top/deep/b.txt": b"b"}


def pack(path, files, links=()):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            for name in links:
                info = zipfile.ZipInfo(name)
                info.external_attr = 0o120777 << 16
                archive.writestr(info, "/etc/passwd")
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for name in links:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(member)
    return path


def content(folder):
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != MARK)
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_it_takes_the_place_of_an_older_folder(tmp_path, name):
    archive = pack(tmp_path / name, FILES)
    with new_folder(tmp_path / "out") as older:
        (older / "old.txt").write_bytes(b"old")
    unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == FILES
    unpack(archive, tmp_path / "out", strip_top=True)
    assert set(content(tmp_path / "out")) == {"a.txt", "deep/b.txt"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", name]


def test_a_folder_that_somebody_else_has_filled_stays(tmp_path):
    (tmp_path / "out").mkdir()
    archive = pack(tmp_path / "x.zip", FILES)
    unpack(archive, tmp_path / "out")  # an empty one is no loss
    (tmp_path / "out" / MARK).unlink()
    (tmp_path / "out" / "mine.txt").write_bytes(b"mine")
    with pytest.raises(FetchError, match="out was there before"):
        unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == FILES | {"mine.txt": b"mine"}


@pytest.mark.parametrize("top", ["a/", "a/a/", "a/a/a/"])
def test_one_folder_in_another_is_left_out_also_when_it_has_the_same_name(tmp_path, top):
    files = {f"{top}1.jpg": b"x", f"__MACOSX/{top}._1.jpg": b"what a Mac adds"}
    unpack(pack(tmp_path / "x.zip", files), tmp_path / "a", strip_top=True)
    assert set(content(tmp_path / "a")) == {"1.jpg"}


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize(
    ("bad", "link"),
    [("/etc/evil", False), ("../evil", False), ("a/../../evil", False), ("link", True),
     ("..\\evil", False), ("c:/evil", False)],
)  # fmt: skip
def test_what_would_lie_elsewhere_is_refused(tmp_path, suffix, bad, link):
    files = FILES if link else FILES | {bad: b"evil"}
    archive = pack(tmp_path / f"x{suffix}", files, [bad] if link else [])
    with pytest.raises(FetchError, match=r"evil|link"):
        unpack(archive, tmp_path / "in" / "out")
    assert list((tmp_path / "in").iterdir()) == []
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_damaged_archives_leave_the_older_folder(tmp_path, name):
    archive = pack(tmp_path / name, FILES)
    unpack(archive, tmp_path / "out")
    whole = archive.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"something else"):
        archive.write_bytes(damaged)
        with pytest.raises(FetchError, match=name):
            unpack(archive, tmp_path / "out")
    assert content(tmp_path / "out") == FILES


@pytest.mark.parametrize(
    ("names", "headers", "words"),
    [
        (["a", "a/b"], {}, "Not a directory"),
        (["x" * 300], {}, "name too long"),
        (["a"], {"mtime": "inf"}, "timestamp"),
        (["a", "b"], {"size": "-1536"}, "-1536 bytes"),
    ],
)
def test_members_that_cannot_be_are_the_fault_of_the_archive(tmp_path, names, headers, words):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = 3, headers
            archive.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(FetchError, match=words) as error:
        unpack(tmp_path / "x.tar", tmp_path / "out")
    assert ".new" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_more_than_the_declared_size_allows_is_refused(tmp_path):
    archive = pack(tmp_path / "bomb.zip", {"zeros": bytes(3_000_000)})
    with pytest.raises(FetchError, match=r"more than 1 MB"):
        unpack(archive, tmp_path / "out", most_bytes=1_000_000)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_too_many_files_or_folders_are_refused(tmp_path, monkeypatch, name):
    archive = pack(tmp_path / name, {"/".join("a" * 100): b"x"})
    with pytest.raises(FetchError, match=rf"{name}.*20 folders"):
        unpack(archive, tmp_path / "out")
    monkeypatch.setattr(archives, "MOST_MEMBERS", 9)
    archive = pack(tmp_path / name, {str(i): b"x" for i in range(10)})
    with pytest.raises(FetchError, match=rf"{name}.* 9 files"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".out.new").mkdir()
    (tmp_path / ".out.new" / "half").write_bytes(b"x")
    with new_folder(tmp_path / "out") as folder:
        (folder / "whole").write_bytes(b"x")
    assert set(content(tmp_path)) == {"out/whole"}
    with pytest.raises(FileNotFoundError), new_folder(tmp_path / "out") as folder:
        (folder / "no" / "such" / "folder").write_bytes(b"x")
    assert set(content(tmp_path)) == {"out/whole"}
