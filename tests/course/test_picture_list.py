"""Which pictures are meant: one, a folder, or a table of any dialect."""

import contextlib
import csv
import gzip
import io
import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from galhelpers.course import picture_tables
from galhelpers.course.picture_list import identifiers, list_images
from galhelpers.data import tables
from galhelpers.data.readers import read_class_table
from galhelpers.data.tables import read_positions
from galhelpers.paths import UserError

FILES = ["img/100380.jpg", "img/100673.jpg", "img/100765.jpg", "img/100801.jpg"]
IDS = ["0100380", "587722982293766400", "x-3", "4"]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Four pictures in a folder, and a working folder that is another one."""
    (tmp_path / "img").mkdir()
    for file in FILES:
        (tmp_path / file).write_bytes(b"\xff\xd8\xff")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def write(path, text, encoding="utf-8"):
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def refusal(path, column=None):
    with pytest.raises(UserError) as caught:
        list_images(path, column)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 1200
    return text


# What is given ------------------------------------------------------------------------------


def test_one_picture(course):
    listed = list_images(course / FILES[0])
    assert listed.to_numpy().tolist() == [["100380", "100380.jpg", str(course / FILES[0])]]
    named = course / "galaxy"
    (course / FILES[0]).rename(named)
    assert list_images(named)["path"].tolist() == [str(named)]
    # A damaged picture is one all the same: the reader says what is wrong with it.
    assert len(list_images(write(course / "empty.png", ""))) == 1
    assert len(list_images(write(course / "text.jpg", "a,b\n"))) == 1


def test_a_folder_has_no_columns(course):
    with pytest.raises(UserError, match=r"--column .* is a folder"):
        list_images(course, "file")


def test_a_folder_is_searched_without_its_links_and_closed_folders(course, capsys):
    (course / "img" / "again").symlink_to(course / "img")
    (course / "img" / "folder.jpg").mkdir()
    write(course / "img" / "folder.jpg" / "a.fits", "x")
    write(course / "img" / "b.fits.gz", "x")
    write(course / "img" / "c.fz", "x")
    (course / "img" / ".hidden.jpg").touch()
    listed = list_images(course / "img")
    names = [Path(file).name for file in FILES]
    assert sorted(listed["file"]) == [*names, "b.fits.gz", "c.fz", "folder.jpg/a.fits"]
    assert "cannot be read: 1" in capsys.readouterr().out
    assert "left out" in refusal(Path("/proc/self/task")) if sys.platform == "linux" else True


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("a.zip", b"PK\x03\x04", "zip archive.*Unpack"),
        ("list.xlsx", b"PK\x03\x04", "save a spreadsheet as CSV"),
        ("a.npy", b"\x93NUMPY", r"\.npy.*fromarray"),
        ("a.h5", b"\x89HDF\r\n\x1a\n", "HDF5.*galaxy10_decals"),
        ("a.tar.gz", gzip.compress(bytes(257) + b"ustar" + bytes(250), mtime=0), "tar xzf"),
        ("a.tar", b"name" + bytes(253) + b"ustar", "tar xf"),
        ("a.csv", b"<!DOCTYPE html>", "web page"),
        ("a.xml", b"<VOTABLE>", "VOTable.*CSV or FITS"),
        ("a.csv", b"", "empty"),
        ("a.csv", bytes(900), "zeros"),
        ("a.bin", b"\x01\x02\x03s3cret", "unknown kind"),
        ("a.txt", b"root:x:0:0:s3cret:/root\nx:1\n", "none has"),
        ("a.gz", b"\x1f\x8b s3cret", "cannot be read"),
        ("a.parquet", b"PAR1 s3cret", "cannot be read"),
        ("a.fits", b"SIMPLE  = s3cret", "cannot be read"),
    ],
)
def test_other_files_are_told_what_to_do(course, name, start, words):
    with pytest.raises(UserError, match=words) as caught:
        list_images(write(course / name, start))
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "words"), [("https://host/a.jpg", "fetch it"), ("*.jpg", "folder"), ("no.csv", "not")]
)
def test_what_is_not_there_is_told(course, name, words):
    assert words in refusal(Path(name))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_has_no_end_is_not_opened(course):
    os.mkfifo(course / "list.csv")
    (course / "zeros.csv").symlink_to("/dev/zero")
    (course / "loop.csv").symlink_to("loop.csv")
    assert "pipe or a device" in refusal(course / "list.csv")
    assert "pipe or a device" in refusal(course / "zeros.csv")
    assert "not there" in refusal(course / "loop.csv")


# Dialects of tables -------------------------------------------------------------------------

ROWS = list(zip(IDS, FILES, strict=True))
WITH_IDS = {
    "commas": "GalaxyID,file_loc\n" + "".join(f"{i},{f}\n" for i, f in ROWS),
    "semicolons": "GalaxyID;file_loc;x\n" + "".join(f"{i};{f};0,5\n" for i, f in ROWS),
    "tabs": "id_str\tfile_loc\n" + "".join(f"{i}\t{f}\n" for i, f in ROWS),
    "bars": "objid|file_loc\n" + "".join(f"{i}|{f}\n" for i, f in ROWS),
    "blanks": "id   file\n" + "".join(f"{i:20} {f}\n" for i, f in ROWS),
    "comment above": "\n# made by topcat, on Monday\n\n# x\n\nid,file\n"
    + "".join(f"{i},{f}\n" for i, f in ROWS),
    "header as a comment": "# id file\n" + "".join(f"{i} {f}\n" for i, f in ROWS),
    "header that starts with a hash": "#id,file\n" + "".join(f"{i},{f}\n" for i, f in ROWS),
    "index first": ",GalaxyID,file\n" + "".join(f"{n},{i},{f}\n" for n, (i, f) in enumerate(ROWS)),
    "a comma at the end": "id,file\n" + "".join(f"{i},{f},\n" for i, f in ROWS),
    "quotation marks": 'id,"a;b|c",file\n' + "".join(f'"{i}","x, y\n2","{f}"\n' for i, f in ROWS),
    "blank lines": "\nid,file\n\n" + "\n".join(f"{i}, {f} \n" for i, f in ROWS) + "\n\n",
    "lines of Windows": "iauname,file\r\n" + "".join(f"{i},{f}\r\n" for i, f in ROWS),
    "lines of an old Mac": "id,file\r" + "".join(f"{i},{f}\r" for i, f in ROWS),
    "backslashes": "id,file\n" + "".join(f"{i},{f}\n" for i, f in ROWS).replace("/", "\\"),
    "first line of Excel": "sep=;\nid;file\n" + "".join(f"{i};{f}\n" for i, f in ROWS),
    "several identifiers": "dr7objid,ID_STR,file\n" + "".join(f"7,{i},{f}\n" for i, f in ROWS),
    "digits lost in one": "id,objid,file\n" + "".join(f"5.8772E+17,{i},{f}\n" for i, f in ROWS),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("dialect", WITH_IDS)
def test_every_dialect_gives_the_same_list(course, dialect, encoding):
    listed = list_images(write(course / "list.csv", WITH_IDS[dialect], encoding))
    assert listed["id"].tolist() == IDS
    assert listed["file"].str.replace("\\", "/").tolist() == FILES
    assert listed["path"].tolist() == [str(course / file) for file in FILES]


@pytest.mark.parametrize("name", ["list.csv", "list.tsv", "list.txt", "list", "list.csv.gz"])
def test_the_name_of_a_table_does_not_matter(course, name):
    text = WITH_IDS["tabs"].encode()
    text = gzip.compress(text) if name.endswith("gz") else text
    assert list_images(write(course / name, text))["id"].tolist() == IDS


@pytest.mark.parametrize(
    "rows",
    [
        FILES,
        [f"{f},spiral,{n}" for n, f in enumerate(FILES)],
        [f"x y;{f}" for f in FILES],
        ["# a comment", *FILES],
        FILES[:1],
    ],
)
def test_a_list_without_a_header_loses_no_row(course, rows):
    wanted = FILES[: len(rows)] if rows[0] in FILES else FILES
    listed = list_images(write(course / "list.csv", "\n".join(rows)))
    assert listed["file"].tolist() == wanted
    assert listed["id"].tolist() == [Path(file).stem for file in wanted]


def test_a_first_row_whose_picture_is_missing_is_no_header(course):
    listed = list_images(write(course / "list.txt", "\n".join(["img/gone.jpg", *FILES])))
    assert listed["file"].tolist() == ["img/gone.jpg", *FILES]


def test_missing_pictures_in_the_first_rows_are_rows_as_well(course, monkeypatch):
    gone = [f"img/no{i}.jpg" for i in range(60)]
    table = write(course / "list.csv", "n,file\n" + "".join(f"1,{f}\n" for f in gone + FILES))
    assert list_images(table)["file"].tolist() == gone + FILES
    monkeypatch.chdir(course)
    moved = table.rename(course / "elsewhere" / "list.csv")
    assert list_images(moved)["path"].tolist()[-4:] == [str(course / file) for file in FILES]


def test_names_with_separators_in_them(course):
    names = ["a,b.jpg", "c;d.jpg", "e f.jpg", "g|h.jpg", "#1.jpg", 'a"b.jpg']
    for name in names:
        write(course / name, b"\xff\xd8\xff")
    for text in ("\n".join(names), "file\n" + "\n".join(names), "#1.jpg\n" + "\n".join(names[:4])):
        wanted = [line for line in text.split("\n") if line != "file"]
        assert list_images(write(course / "list.txt", text))["file"].tolist() == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf_8(course):
    raw = os.fsencode(course) + b"/img/\xe9.jpg"
    Path(os.fsdecode(raw)).write_bytes(b"\xff\xd8\xff")
    write(course / "img" / "ü.jpg", b"\xff\xd8\xff")
    table = write(
        course / "list.csv", b"id,file\n1,img/\xe9.jpg\n2,img/\xfc.jpg\n\xe9,img/no.jpg\n"
    )
    listed = list_images(table)
    assert listed["path"].iloc[0] == os.fsdecode(raw)
    assert listed["path"].iloc[1] == str(course / "img" / "ü.jpg")
    assert listed["file"].tolist() == ["img/é.jpg", "img/ü.jpg", "img/no.jpg"]
    assert listed["id"].tolist() == ["1", "2", "é"]


def test_cells_that_are_odd_stay_rows(course):
    odd = [
        "",
        "=cmd|x",
        "@SUM(1)",
        "/etc/passwd",
        "../../etc/shadow",
        "a\0b.jpg",
        "x" * 9000,
        "a\nb",
    ]
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["id", "file"], ["0", FILES[0]], *(["1", f] for f in odd)])
    listed = list_images(write(course / "list.csv", buffer.getvalue()))
    assert listed["file"].tolist() == [FILES[0], "(row 2)", *odd[1:]]
    assert listed["path"].iloc[1] == ""


def test_repeated_rows_and_shared_identifiers(course, capsys):
    text = f"id,file\n1,{FILES[0]}\n1,{FILES[0]}\n1,{FILES[1]}\n2,{FILES[0]}\n,{FILES[2]}\n"
    listed = list_images(write(course / "list.csv", text))
    assert listed["id"].tolist() == ["1", "1", "2", "100765"]
    assert listed["file"].tolist() == [FILES[0], FILES[1], FILES[0], FILES[2]]
    said = capsys.readouterr().out
    assert "left out: 1" in said
    assert "more than one image: 1" in said


def test_paths_may_start_at_the_working_folder(course, monkeypatch, capsys):
    (course / "tables").mkdir()
    table = write(course / "tables" / "list.csv", WITH_IDS["commas"])
    assert "tables and in" in refusal(table)
    monkeypatch.chdir(course)
    assert list_images(table)["path"].tolist() == [str(course / file) for file in FILES]
    assert str(course) in capsys.readouterr().out
    # What stands beside the table comes first.
    (course / "tables" / "img").mkdir()
    for file in FILES:
        write(course / "tables" / file, b"\xff\xd8\xff")
    assert list_images(table)["path"].tolist() == [str(course / "tables" / f) for f in FILES]
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("/mnt/scratch/galaxies/", r"/mnt/scratch/galaxies/img/100380.jpg'.*Take '/mnt/scratch/g"),
        ("C:\\data\\", r"C:\\data\\img/100380.jpg'.*Take 'C:/data/'"),
        ("../gone/", r"elsewhere.*Take '../gone/'"),
        ("https://host/", "address.*wget"),
        ("file:///data/", "without file://"),
        ("/mnt/other_", "another computer"),
        ("other_", "there is no such file in .* and in"),
    ],
)
def test_a_column_without_a_file_is_explained_by_its_first_value(course, prefix, words):
    text = "id,file\n" + "".join(f"{i},{prefix}{f}\n" for i, f in ROWS)
    for column in (None, "file"):
        with pytest.raises(UserError, match=words):
            list_images(write(course / "list.csv", text), column)


def test_the_column_of_paths_must_be_clear(course):
    table = course / "list.csv"
    row = {"a": [FILES[0]], "b": [FILES[1]], "c": ["x"]}
    pd.DataFrame(row).to_csv(table, index=False)
    with pytest.raises(UserError, match=r"a, b.*--column"):
        list_images(table)
    assert list_images(table, "b")["file"].tolist() == [FILES[1]]
    with pytest.raises(UserError, match=r"'d'.*a, b, c"):
        list_images(table, "d")
    pd.DataFrame({"c": ["x"]}).to_csv(table, index=False)
    with pytest.raises(UserError, match=r": c\b.*--column"):
        list_images(table)
    write(table, f"{FILES[0]},{FILES[1]}\n{FILES[2]},{FILES[3]}\n")
    assert "(1, 2)" in refusal(table)
    assert list_images(table, "2")["file"].tolist() == [FILES[1], FILES[3]]
    write(table, f"file,file\n{FILES[0]},x\n")
    assert "more than one column" in refusal(table, "file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,file\n", "no rows"),
        ("\n\n", "no rows"),
        (f"id,file\n1,{FILES[0]}\n2,a,{FILES[1]}\n3,{FILES[2]}\n", "row 3 has 3"),
        (f'id,file\n1,"{FILES[0]}\n2,{FILES[1]}\n' + "3,x\n" * 99, "."),
        ("file," + "c," * 10**6 + "\n" + FILES[0], "1,000,00"),
        ("x" * 11_000_000, "more than"),
        (f"id,file\n1,{FILES[0]}\n" + "y" * 200_000, "field larger"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(course, text, words):
    with pytest.raises(UserError, match=words):
        list_images(write(course / "list.csv", text))


@pytest.mark.parametrize("kind", ["csv.gz", "dictionary", "plain", "many"])
def test_a_small_file_that_holds_much_is_refused(course, monkeypatch, kind):
    monkeypatch.setattr(picture_tables, "_MOST_TEXT", 5_000_000)
    monkeypatch.setattr(tables, "MOST_BYTES", 5_000_000)
    path = course / f"list.{kind}"
    if kind == "csv.gz":
        row = f"{IDS[0]},{FILES[0]},{'x' * 100_000}\n"
        write(path, gzip.compress(b"id,file,x\n" + 60 * row.encode(), 1))
    else:
        long = [*FILES, *["x" * 5_000] * 1_200] if kind == "many" else [*FILES, "x" * 6_000_000]
        table = pa.table({"file": pa.array(long)})
        pq.write_table(table, path, use_dictionary=kind != "plain", compression="zstd")
    assert path.stat().st_size < 200_000
    assert re.search("5,000,000|at most 5 MB", refusal(path, "file"))


# Parquet and FITS ---------------------------------------------------------------------------


def frame():
    return pd.DataFrame({"id": IDS, "n": [1, 2, 3, 4], "file": FILES, "list": [[1]] * 4})


def test_parquet_tables(course, monkeypatch):
    path = course / "list.parquet"
    frame().to_parquet(path)
    assert list_images(path)["id"].tolist() == IDS
    frame().astype({"file": "category", "id": "large_string[pyarrow]"}).to_parquet(path)
    assert list_images(path)["path"].tolist() == [str(course / file) for file in FILES]
    frame().set_index("file").to_parquet(path)
    assert list_images(path)["file"].tolist() == FILES
    for ids, wanted in (
        ([587722982293766400, 2, 3, 4], "587722982293766400"),
        ([100434.0, np.nan, 3, 4], "100434"),
        ([587722982293766400.0, 2, 3, 4], "100380"),  # a float has lost its digits
    ):
        frame().assign(id=ids).to_parquet(path)
        assert list_images(path)["id"].iloc[0] == wanted
    pq.write_table(pa.table({"file": pa.array([FILES[0], None, FILES[1]])}), path)
    assert list_images(path)["file"].tolist() == [FILES[0], "(row 2)", FILES[1]]
    pq.write_table(pa.table({"file": pa.array([], pa.string())}), path)
    assert "none has" in refusal(path)
    pq.write_table(pa.table({"n": [1, 2]}), path)
    assert "none has" in refusal(path)
    assert "'1'" in refusal(path, "n")
    twice = pa.Table.from_arrays([pa.array(FILES)] * 2, names=["file", "file"])
    pq.write_table(twice, path)
    assert "called 'file'" in refusal(path)


@pytest.mark.parametrize("suffix", [".fits", ".fit", ".fits.gz"])
def test_fits_tables(course, suffix):
    path = course / f"list{suffix}"
    numbers = [587722982293766400, 2, 3, 4]
    Table({"objid": numbers, "file": FILES, "z": [0.1] * 4, "v": [[1, 2]] * 4}).write(path)
    listed = list_images(path)
    assert listed["id"].tolist() == [str(number) for number in numbers]
    assert listed["path"].tolist() == [str(course / file) for file in FILES]


def test_a_fits_image_is_one_picture_and_a_broken_table_is_told(course):
    fits.PrimaryHDU(np.ones((20, 20))).writeto(course / "image.fits")
    assert list_images(course / "image.fits")["id"].tolist() == ["image"]
    Table({"file": FILES * 500}).write(course / "table.fits")
    content = (course / "table.fits").read_bytes()
    for damaged in (content[:9000], content.replace(b"  2000", b"999999", 1)):
        assert refusal(write(course / "cut.fits", damaged))


# Properties ---------------------------------------------------------------------------------


def test_identifiers_are_unique():
    files = pd.Series(["x/1.jpg", "y/1.jpg", "2.jpg", "3.a.jpg", "3.a.png"])
    assert identifiers(files).tolist() == ["x/1.jpg", "y/1.jpg", "2", "3.a.jpg", "3.a.png"]
    # The name of one without suffix is the whole name of another.
    files = pd.Series(["1.jpg", "y/1.jpg", "1.jpg.png"])
    assert identifiers(files).is_unique


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SHARED = [HealthCheck.function_scoped_fixture]


@given(
    cells=st.lists(
        st.tuples(ANY_TEXT, ANY_TEXT, st.one_of(st.sampled_from(FILES), ANY_TEXT)), max_size=8
    ),
    delimiter=st.sampled_from(",;\t|"),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    headed=st.booleans(),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=SHARED)
def test_any_table_gives_its_rows(course, cells, delimiter, ending, encoding, headed, quoting):
    rows = [("7", "note", FILES[0]), *cells]
    if quoting == csv.QUOTE_MINIMAL:  # then csv does not quote all ends of lines
        rows = [tuple(re.sub("[\r\n]", "", cell) for cell in row) for row in rows]
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=ending, quoting=quoting)
    writer.writerows([("GalaxyID", "note", "file")] * headed + rows)
    path = write(course / "list.csv", buffer.getvalue(), encoding)
    with contextlib.redirect_stdout(io.StringIO()):
        listed = list_images(path, "file" if headed else "3")
    files = [file.strip() or f"(row {n})" for n, (*_, file) in enumerate(rows, 1)]
    ids = [row[0] if headed and row[0].strip() else "" for row in rows]
    wanted = list(dict.fromkeys(zip(ids, files, strict=True)))
    assert listed["file"].tolist() == [file for _, file in wanted]
    for given_id, id_ in zip((i for i, _ in wanted), listed["id"], strict=True):
        assert id_ == given_id or not given_id


STARTS = [b"", b"id,file\n1,img/100380.jpg\n", b"img/100380.jpg\n", b"PAR1", b"SIMPLE  = "]


@given(
    content=st.one_of(st.binary(max_size=300), ANY_TEXT.map(str.encode)),
    start=st.sampled_from([*STARTS, b"\x1f\x8b", b"\xff\xfe"]),
)
@settings(max_examples=200, deadline=None, suppress_health_check=SHARED)
def test_any_file_gives_a_list_or_one_paragraph(course, content, start):
    path = write(course / "list.csv", start + content)
    said = ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            listed = list_images(path)
        assert list(listed.columns) == ["id", "file", "path"]
        assert len(listed)
    except UserError as error:
        said = str(error)
    assert said.isprintable()
    assert len(said) < 1200


@given(where=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6),
       kind=st.sampled_from(["parquet", "fits", "csv.gz"]))  # fmt: skip
@settings(max_examples=120, deadline=None, suppress_health_check=SHARED)
def test_a_damaged_table_gives_a_list_or_one_paragraph(course, where, kind):
    good = course / f"good.{kind}"
    if not good.exists():
        if kind == "fits":
            Table({"id": IDS, "file": FILES}).write(good)
        elif kind == "parquet":
            frame().to_parquet(good)
        else:
            write(good, gzip.compress(WITH_IDS["commas"].encode()))
    damaged = bytearray(good.read_bytes())
    for place, value in where:
        damaged[int(place * (len(damaged) - 1))] = value
    said = ""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            list_images(write(course / f"bad.{kind}", bytes(damaged)))
    except UserError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize("order", [1, -1])
def test_a_galaxy_has_one_name_whoever_reads_the_table(tmp_path, order):
    rows = {"objid": ["123"], "id_str": ["007"], "GalaxyID": ["9"], "iauname": ["J1"]}
    rows |= {"ra": [1.0], "dec": [2.0], "class_id": [4], "file": ["a.png"]}
    Image.new("RGB", (20, 20), "red").save(tmp_path / "a.png")
    file = tmp_path / "labels.csv"
    pd.DataFrame(rows)[list(rows)[::order]].to_csv(file)
    for read in (list_images, read_positions, read_class_table):
        assert read(file)["id"].tolist() == ["007"]
