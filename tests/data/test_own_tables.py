"""Tables as people bring them: read as they are meant, or refused in one paragraph.

No other error, and no galaxy that is gone without a word.
"""

import csv
import functools
import gzip
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.dataset import load_dataset
from galhelpers.data.tables import TableError, read_positions, read_table
from galhelpers.data.votes import read_votes
from tests.data.published import decals_table, gz2_table, jpeg

PLAIN = "GalaxyID,class_id,class_name,file\n7,0,{},images/a.jpg\n008,4,spiral,images/b.jpg\n"
PLAIN = PLAIN.format(FIVE_CLASSES[0])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "ab":
        (tmp_path / "images" / f"{name}.jpg").write_bytes(jpeg(1))
    return tmp_path


def load(folder, content, encoding="utf-8"):
    content = content if isinstance(content, bytes) else content.encode(encoding)
    (folder / "labels.csv").write_bytes(content)
    return load_dataset("gz2_five_class", folder)


def indexed(**options):
    return pd.read_csv(io.StringIO(PLAIN), dtype={"GalaxyID": str}).to_csv(**options)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        indexed(),  # pandas' row numbers first
        indexed(sep=";"),
        indexed(sep="\t"),
        indexed(sep=";", quoting=csv.QUOTE_ALL),
        indexed(lineterminator="\r\n"),
        PLAIN.replace(",0,", ",0.0,").replace(",4,", ",4.0,"),  # floats, because of a gap
        PLAIN.replace(",0,", ", 0,").replace(",4,", ", 4 ,"),
        PLAIN.replace(",4,", ",spiral,"),
        PLAIN.replace("\n", ",\n"),  # a comma at the end of each row
        PLAIN.replace("\n", "\n\n") + "\n",
        PLAIN.replace("images/", "images\\"),
        PLAIN.replace("GalaxyID", "id"),
        PLAIN.replace("GalaxyID", "my galaxies"),
        "\ufeff" + PLAIN,
        "remark,"
        + PLAIN.replace("\n7", '\n"two, or\nthree ""lines""",7').replace("\n008", "\n,008"),
    ],
)
def test_each_way_of_writing_is_read_as_it_is_meant(folder, content):
    galaxies = load(folder, content)
    assert galaxies.catalog["id"].tolist() == ["7", "008"]
    assert galaxies.catalog["class_id"].tolist() == [0, 4]
    assert galaxies.catalog["class_name"].tolist() == [FIVE_CLASSES[0], FIVE_CLASSES[4]]
    assert [file.name for file in galaxies.files] == ["a.jpg", "b.jpg"]
    assert galaxies.problems.empty


@pytest.mark.parametrize("cell", ["", "images/c.jpg", "images/\0.jpg", "x" * 5000, "images"])
def test_a_row_without_a_picture_is_listed(folder, cell):
    galaxies = load(folder, PLAIN.replace("images/b.jpg", cell))
    assert galaxies.catalog["id"].tolist() == ["7"]
    assert len(galaxies.problems) == 1
    assert galaxies.problems["reason"].tolist() == ["named in labels.csv, absent"]


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        *(
            (PLAIN.replace("images/b.jpg", file), "line 3")
            for file in ("/etc/passwd", "../../../etc/passwd", "images/../../b.jpg", "C:\\b.jpg")
        ),
        (PLAIN.replace("spiral", "edge_on"), "line 3.*4 and edge_on"),
        (PLAIN.replace(",4,", ",,"), "class_id.*empty in line 3"),
        (PLAIN.replace(",4,", ",inf,"), "inf in line 3"),
        (PLAIN.replace(",4,", ",-1,"), "-1 in line 3"),
        (PLAIN.replace(",4,", ",0.5,"), "0.5 in line 3"),
        (PLAIN.replace("008", ""), "none in line 3"),
        (PLAIN.replace("008", "5.877e17"), "5.877e17"),
        (PLAIN + PLAIN.splitlines()[1] + "\n", "'7' repeated in line 4"),
        (PLAIN.replace("spiral,", "spiral,grand, "), "4 values.*5 in row 3"),
        (PLAIN.replace(",spiral", ""), "4 values.*3 in row 3"),
        (PLAIN.replace("spiral", "sp\x1b[2Jral"), r"sp \[2Jral in line 3"),
        (PLAIN.encode("utf-16"), "UTF-8"),
        (PLAIN.replace("spiral", "Jürgen").encode("latin-1"), "UTF-8"),
        (PLAIN.replace("GalaxyID", "Größe").encode("latin-1"), "UTF-8"),
        (b"", "cannot be read"),
        (b"\n\n", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n\0\0", "labels.csv"),
        ('"' + PLAIN, "labels.csv"),
        ("x" * (1 << 21), "names its columns"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_paragraph(folder, content, fact):
    with pytest.raises(TableError, match=fact) as error:
        load(folder, content)
    assert "labels.csv" in str(error.value)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


NO_NAMES = pd._libs.parsers.STR_NA_VALUES  # "None", "n/a" and so on are no identifiers
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]))


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rows=st.dictionaries(
        NAMES.filter(lambda name: name and name not in NO_NAMES),
        st.tuples(st.integers(0, 4), st.sampled_from(["images/a.jpg", "", "images/c.jpg"]), NAMES),
        min_size=1,
        max_size=8,
    ),
    separator=st.sampled_from(",;\t"),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    first=st.booleans(),
    gap=st.booleans(),
)
def test_any_table_of_labels_is_read_as_it_was_written(
    tmp_path_factory, data, rows, separator, end, quoting, first, gap
):
    assume(not any(re.fullmatch(r"\d\.?\d*[eE]\+?\d+", name) for name in rows))
    assume(any(file == "images/a.jpg" for _, file, _ in rows.values()))
    order = data.draw(st.permutations(["GalaxyID", "class_id", "class_name", "file", "remark"]))
    records = [
        {"GalaxyID": name, "class_id": f"{label}.0" if gap else label, "file": file,
         "class_name": FIVE_CLASSES[label], "remark": remark}
        for name, (label, file, remark) in rows.items()
    ]  # fmt: skip
    table = pd.DataFrame(records, columns=order)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "images").mkdir()
        (Path(place) / "images" / "a.jpg").write_bytes(b"a picture")
        text = table.to_csv(sep=separator, lineterminator=end, quoting=quoting, index=first)
        galaxies = load(Path(place), text)
    there = [name for name, row in rows.items() if row[1] == "images/a.jpg"]
    assert galaxies.catalog["id"].tolist() == there
    assert galaxies.catalog["class_id"].tolist() == [rows[name][0] for name in there]
    assert len(galaxies.problems) == len(rows) - len(there)


@settings(max_examples=100, deadline=None)
@given(
    at=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 6)), max_size=4),
    pieces=st.lists(
        st.sampled_from([b"", b",", b"\n", b'"', b"\0", b"\xff", b"\r", b";", b"nan", b"1e400"])
        | st.binary(max_size=3),
        min_size=4,
        max_size=4,
    ),
    header=st.booleans(),
)
def test_a_damaged_table_is_read_whole_or_refused(at, pieces, header):
    """Bytes put in or taken out anywhere: as many galaxies as rows, or one paragraph."""
    text = bytearray(PLAIN.encode())
    for (position, length), piece in zip(at, pieces, strict=False):
        position += 0 if header else PLAIN.index("\n")
        text[position : position + length] = piece
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "images").mkdir()
        for name in "ab":
            (Path(place) / "images" / f"{name}.jpg").write_bytes(b"a picture")
        try:
            galaxies = load(Path(place), bytes(text))
        except (TableError, FileNotFoundError) as error:
            said = str(error)
        else:
            said = ""
    if said:
        assert "\n" not in said
        return
    rows = list(csv.reader(io.StringIO(bytes(text).decode("utf-8-sig"), newline="")))
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    assert len(galaxies) + len(galaxies.problems) == len(filled) - 1


# ---- votes


def spoil_counts(value, **more):
    """A table of DECaLS in which one number of one galaxy is another."""
    table = decals_table()
    column = table.columns[table.columns.get_loc("smooth-or-featured_smooth")]
    table[column] = table[column].astype(object)
    table.loc[3, column] = value
    return table.assign(**more)


@pytest.mark.parametrize(
    ("value", "fact"),
    [
        (np.nan, "without a number"),
        (-1, "negative"),
        (0.5, "negative, fractional"),
        (np.inf, "impossible number"),
        (1e12, "impossible number"),
        (10_000, "more votes.*than volunteers"),
        ("many", "numbers"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_votes_that_cannot_be_are_named(tmp_path, value, fact, form):
    table, path = spoil_counts(value), tmp_path / f"votes.{form}"
    if form == "csv":
        table.to_csv(path, index=False)
    else:
        table.astype({"smooth-or-featured_smooth": str if value == "many" else float}).to_parquet(
            path
        )
    with pytest.raises(TableError, match=rf"votes\.{form}.*{fact}"):
        read_votes(path, "decals", "count", max_wrong=0)


@functools.cache
def ten_galaxies():
    table = gz2_table(10, 0)
    numbers = table.select_dtypes("number").columns.drop("dr7objid")
    return table.astype(dict.fromkeys(numbers, float))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.integers(0, 200),
            st.sampled_from([np.nan, np.inf, -np.inf, -1, 0.5, 1e300, 10**9, 3, 0]),
        ),
        max_size=6,
    )
)
def test_votes_are_whole_people_whatever_a_table_holds(tmp_path_factory, changes):
    table = ten_galaxies().copy()
    numbers = table.select_dtypes("float").columns
    for row, column, value in changes:
        table.loc[row, numbers[column % len(numbers)]] = value
    path = tmp_path_factory.getbasetemp() / "votes.parquet"
    table.to_parquet(path)
    for kind in ("debiased", "count"):
        try:
            votes = read_votes(path, "gz2", kind, max_wrong=0.5)
        except TableError:
            continue
        left = sum(each["rows"] for each in votes.source["left_out"].values())
        assert len(votes.catalog) >= 10 - left
        counts = votes.votes.to_numpy()
        assert counts.min() >= 0
        assert counts.max() <= 10**9
        shares = votes.fractions.to_numpy()
        assert np.isfinite(shares).all()
        assert shares.min() >= 0
        assert shares.max() <= 1 + 1e-9


# ---- tables without end


def test_a_table_without_end_is_refused_and_memory_stays(tmp_path):
    """Text, rows and values that are packed to almost nothing: here 110 MB, and at most 50."""
    line = b"7,10.5,1.5\n"
    with gzip.open(tmp_path / "text.csv.gz", "wb", 1) as file:
        file.write(b"id,ra,dec\n" + line * 10_000_000)
    with gzip.open(tmp_path / "line.csv.gz", "wb", 1) as file:
        file.write(b"x" * 110_000_000)
    few = pa.array([0] * 20_000, pa.int32())
    words = pa.DictionaryArray.from_arrays(few, ["x" * 1_000_000])
    ones = pa.DictionaryArray.from_arrays(few, [1.5])
    pq.write_table(pa.table({"id": words, "ra": ones, "dec": ones}), tmp_path / "t.parquet")
    Table({"id": [1, 2], "ra": [1.0, 2], "dec": [1.0, 2]}).write(tmp_path / "t.fits")
    content = (tmp_path / "t.fits").read_bytes()
    old = b"NAXIS2  =                    2"
    assert content.count(old) == 1
    (tmp_path / "t.fits").write_bytes(content.replace(old, b"NAXIS2  =     1000000000000000"))
    program = """
import resource, sys
from pathlib import Path
from galhelpers.data import tables
tables.MOST_BYTES = 50_000_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
for name in sys.argv[1:]:
    try:
        tables.read_positions(Path(name))
    except tables.TableError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    facts = {
        "text.csv.gz": "too much text, expected at most 50 MB",
        "line.csv.gz": "names its columns",
        "t.parquet": "too many values, expected at most 50 MB",
        "t.fits": "should be a table",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *facts], cwd=tmp_path, capture_output=True, text=True
    )
    before, *lines, after = done.stdout.splitlines()
    assert len(lines) == 4, done.stderr
    for (name, fact), said in zip(facts.items(), lines, strict=True):
        assert name in said
        assert fact in said
    assert int(after) - int(before) < 100  # MB


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes of this kind")
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "t.fits"])
def test_a_pipe_is_no_table(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(TableError, match=f"{name}.*no plain file"):
        read_table(tmp_path / name)


def test_a_column_of_lists_is_named(tmp_path):
    pq.write_table(pa.table({"id": ["a"], "ra": [[1.0]], "dec": [1.0]}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match="one value a row in ra"):
        read_positions(tmp_path / "t.parquet")
