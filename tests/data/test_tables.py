"""Tables as people have them: identifiers, gaps, vectors, other marks, files that break off."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from galhelpers.data.tables import (
    TableError,
    as_text,
    column_names,
    degrees,
    numeric,
    read_positions,
    read_table,
)

OBJID = 587722981751193901  # a float would make it ...904
FORMS = ["csv", "csv.gz", "fits", "fits.gz", "parquet"]


def written(path, table):
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif ".fits" in path.name:
        Table.from_pandas(table).write(path, format="fits", overwrite=True)
    else:
        table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_format_gives_the_same(tmp_path, form):
    table = pd.DataFrame(
        {"objid": [OBJID, OBJID + 1], "Name": ["0012", "J1+2"], "ra": [1.5, 2], "vote": [3, 4]}
    )
    path = written(tmp_path / f"t.{form}", table)
    assert column_names(path) == list(table)
    found = read_table(path)
    assert found["objid"].tolist() == [str(OBJID), str(OBJID + 1)]
    assert found["Name"].tolist() == ["0012", "J1+2"]
    assert found["ra"].tolist() == [1.5, 2]
    assert found["vote"].tolist() == [3, 4]
    assert list(read_table(path, ["vote", "objid"])) == ["vote", "objid"]
    with pytest.raises(TableError, match="dec"):
        read_table(path, ["ra", "dec"])


def test_whole_numbers_with_gaps_keep_all_digits(tmp_path):
    numbers = pa.array([OBJID, None, OBJID + 1], pa.int64())
    pq.write_table(pa.table({"objid": numbers, "votes": [1, None, 3]}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text(f"objid,votes\n{OBJID},1\n,\n{OBJID + 1},3\n")
    for name in ("t.parquet", "t.csv"):
        table = read_table(tmp_path / name)
        assert table["objid"].tolist() == [str(OBJID), "", str(OBJID + 1)]
        np.testing.assert_array_equal(table["votes"].astype(float), [1, np.nan, 3])


@pytest.mark.parametrize("form", ["fits", "parquet"])
def test_identifiers_that_lost_digits_are_refused(tmp_path, form):
    path = written(tmp_path / f"t.{form}", pd.DataFrame({"objid": [1.0, float(OBJID)]}))
    with pytest.raises(TableError, match=r"objid.*5\.87722981751193\d*e\+17"):
        read_table(path)
    path = written(tmp_path / f"t.{form}", pd.DataFrame({"objid": [1.0, np.nan, 3.0]}))
    assert read_table(path)["objid"].tolist() == ["1", "", "3"]


@pytest.mark.real
def test_identifiers_that_lost_digits_in_a_real_table(real_data):
    with pytest.raises(TableError, match=r"dr7objid.*5\.877229822937664e\+17"):
        read_table(real_data / "gz2_votes" / "labels.csv", ["dr7objid"])
    types = read_table(real_data / "catalogs" / "gz2_bbergerud_hubble_types.csv.gz", ["objid"])
    assert types["objid"].iloc[0] == str(OBJID)


@pytest.mark.parametrize("form", ["fits", "parquet"])
def test_columns_with_several_values_a_row_are_left_out(tmp_path, form):
    # As in the NASA-Sloan Atlas: magnitudes in seven bands.
    plain, vectors = {"IAUNAME": ["J1", "J2"], "RA": [1.0, 2.0]}, [[1.0, 2.0], [4.0, 5.0]]
    path = tmp_path / f"t.{form}"
    if form == "parquet":
        pq.write_table(pa.table(plain | {"NMGY": vectors}), path)
    else:
        Table(plain | {"NMGY": vectors}).write(path)
    assert column_names(path) == ["IAUNAME", "RA", "NMGY"]
    assert read_table(path).to_dict("list") == plain


def test_marks_between_columns(tmp_path):
    for name, text in {
        "semicolons.csv": 'id;ra;dec;"note, free"\n007;10.5;-1.25;a,b\n8;11;2;\n',
        "tabs.tsv": "id\tra\tdec\tnote, free\n007\t10.5\t-1.25\ta,b\n8\t11\t2\t\n",
        "spaces.txt": "id  ra dec\n007 10.5 -1.25\n8 11 2\n",
        "comma_at_the_end.csv": "id,ra,dec\n007,10.5,-1.25,\n8,11,2,\n",
        "signed.csv": "\ufeffid,ra,dec\n007,10.5,-1.25\n8,11,2\n",  # as spreadsheets save UTF-8
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        table = read_positions(tmp_path / name)
        assert table.to_numpy().tolist() == [["007", 10.5, -1.25], ["8", 11, 2]], name


@pytest.mark.parametrize("kept", [15, 0.5, 0.9])
@pytest.mark.parametrize("form", ["csv.gz", "fits", "fits.gz", "parquet"])
@pytest.mark.filterwarnings("ignore")  # astropy warns before it fails
def test_files_that_break_off_are_no_tables(tmp_path, form, kept):
    table = pd.DataFrame({"id": [f"J{i}" for i in range(2000)]})
    table["ra"] = np.random.default_rng(0).random(2000)
    path = written(tmp_path / f"t.{form}", table)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if kept > 1 else int(len(whole) * kept)])
    with pytest.raises(TableError, match=f"t.{form}"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b""),
        ("t.csv", "id,größe\n1,2\n".encode("latin-1")),
        ("t.fits", b"<!DOCTYPE html>"),
        ("t.parquet", b"PK\x03\x04 rest"),
        ("t.h5", b"\x89HDF\r\n"),
    ],
)
def test_what_is_no_table(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TableError, match=name):
        read_table(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")


def test_a_votable_is_refused_and_its_address_is_not_asked(tmp_path):
    text = """<VOTABLE><RESOURCE><TABLE><FIELD name="id" datatype="int"/><DATA><BINARY>
        <STREAM href="file:///etc/passwd"/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>"""
    for name in ("t.xml", "t.vot", "t.vot.gz"):
        (tmp_path / name).write_bytes(gzip.compress(text.encode()))
        with pytest.raises(TableError, match=name):
            read_positions(tmp_path / name)


# ---- positions


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"id": "objID", "ra": "RA", "dec": "DEC"},
        {"id": "dr7objid", "ra": "RAJ2000", "dec": "DEJ2000"},
        {"id": "GalaxyID", "ra": "_RAJ2000", "dec": "_DEJ2000"},
    ],
)
def test_positions_by_many_names(tmp_path, names):
    table = pd.DataFrame({"id": [OBJID, 2], "ra": [10.5, 359.9], "dec": [-1.0, 2.5]})
    table = table.rename(columns=names).assign(petroR90_r=[4.0, 5.0], file="x")
    found = read_positions(written(tmp_path / "mine.parquet", table))
    assert list(found) == ["id", "ra", "dec", "petro_r90"]
    assert found["id"].tolist() == [str(OBJID), "2"]
    assert found["ra"].tolist() == [10.5, 359.9]
    assert found["petro_r90"].tolist() == [4.0, 5.0]


@pytest.mark.real
def test_positions_of_real_tables(real_data):
    for name in (
        "gz2_bbergerud_hubble_types",
        "gz1_mattiaseyh_50132",
        "gz_decals_dr5_panoptes_votes",
    ):
        found = read_positions(real_data / "catalogs" / f"{name}.csv.gz")
        assert len(found) > 7000
        assert found["id"].nunique() > 0.95 * len(found)
        assert found["ra"].between(0, 360).all()
        assert found["dec"].between(-90, 90).all()


def test_positions_in_hours_and_what_is_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,ra,dec\na,10:30:00,-00:30:36\nb,00:00:01,+10:00:00\n")
    found = read_positions(path)
    np.testing.assert_allclose(found["ra"], [157.5, 15 / 3600])
    np.testing.assert_allclose(found["dec"], [-0.51, 10])
    for text, fact in (("id,ra,dec\n", "none"), ("id,ra\na,1\n", "dec.*id, ra")):
        path.write_text(text)
        with pytest.raises(TableError, match=fact):
            read_positions(path)


def test_degrees_of_odd_texts():
    column = pd.Series(["-00:00:36", "", None, "x:y:z", "12:30:00"])
    expected = [-0.01, np.nan, np.nan, np.nan, 12.5]
    np.testing.assert_allclose(degrees(column, hours=False), expected)
    np.testing.assert_allclose(degrees(pd.Series([1.5, -2.0]), hours=True), [1.5, -2.0])


def test_whole_numbers_with_a_point_are_identifiers_as_long_as_no_digit_is_lost():
    ids = as_text(pd.Series(["100001.0", "12.", "1.5", "a.0"]), "x")
    assert list(ids) == ["100001", "12", "1.5", "a.0"]
    with pytest.raises(TableError, match="587722952767439450"):
        as_text(pd.Series(["587722952767439450.0"]), "x")


def test_words_among_numbers_are_named_with_their_column():
    table = pd.DataFrame({"good": [1, 2], "bad": ["1", "1,5"]})
    with pytest.raises(TableError, match=r"column bad.*1,5"):
        numeric(table, ["good", "bad"], "x.csv")


def test_a_table_with_very_many_columns_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("id" + ",a" * 20_000 + "\n1" + ",2" * 20_000)
    with pytest.raises(TableError, match="20,001 columns"):
        read_table(tmp_path / "x.csv")
