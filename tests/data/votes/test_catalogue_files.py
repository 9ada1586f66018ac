"""Tables as people have them: gaps, vectors, other encodings and marks, files that break off."""

import gzip

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from galhelpers.data.sources.positions import read_positions
from galhelpers.data.votes import catalogue_files
from galhelpers.data.votes.catalogue_files import VoteTableError, column_names, read_table

OBJID = 587722981751193901


# ---- identifiers


@pytest.mark.parametrize("form", ["parquet", "parquet.gz", "vot"])
def test_whole_numbers_with_gaps_keep_all_digits(tmp_path, form):
    path = tmp_path / f"t.{form}"
    if form == "vot":
        objid = MaskedColumn([OBJID, 0, OBJID + 1], mask=[False, True, False])
        Table({"objid": objid, "ra": [1.0, 2.0, 3.0]}).write(path, format="votable")
    else:
        numbers = pa.array([OBJID, None, OBJID + 1], pa.int64())
        pq.write_table(pa.table({"ra": [1.0, 2.0, 3.0], "objid": numbers}), path)
        if form.endswith("gz"):
            path.write_bytes(gzip.compress(path.read_bytes()))
    table = read_table(path)
    assert table["objid"].tolist() == [str(OBJID), "", str(OBJID + 1)]
    assert table["ra"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("form", ["csv", "parquet", "fits", "vot"])
def test_names_are_text(tmp_path, form):
    path = tmp_path / f"t.{form}"
    table = pd.DataFrame({"Name": ["00123", "587722952767439011"], "ra": [1.5, 2.5], "dec": 0.5})
    if form == "csv":
        table.to_csv(path, index=False)
    elif form == "parquet":
        table.to_parquet(path)
    else:
        Table.from_pandas(table).write(path, format="votable" if form == "vot" else "fits")
    assert read_positions(path)["id"].tolist() == ["00123", "587722952767439011"]


def test_names_with_a_gap_are_empty_there(tmp_path):
    (tmp_path / "t.csv").write_text("name,ra,dec\n587722952767439011,1,2\n,3,4\n")
    assert read_table(tmp_path / "t.csv")["name"].tolist() == ["587722952767439011", ""]


def test_names_in_another_encoding(tmp_path):
    names = pa.array(["é".encode("latin-1")], pa.binary())
    pq.write_table(pa.table({"id": names}), tmp_path / "t.parquet")
    with pytest.raises(VoteTableError, match=r"column id: .*not in the encoding UTF-8"):
        read_table(tmp_path / "t.parquet")


# ---- columns with several values a row


@pytest.mark.parametrize("form", ["fits", "vot", "parquet", "lengths.fits", "lengths.vot"])
def test_columns_of_vectors_are_left_out_unless_asked_for(tmp_path, form):
    # As in the NASA-Sloan Atlas: magnitudes in seven bands, profiles of any length.
    path, vectors = tmp_path / f"t.{form}", [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    plain = {"IAUNAME": ["J1", "J2"], "RA": [1.0, 2.0]}
    if form == "parquet":
        pq.write_table(pa.table(plain | {"NMGY": vectors}), path)
    elif form == "lengths.fits":
        columns = [
            fits.Column("IAUNAME", "2A", array=plain["IAUNAME"]),
            fits.Column("RA", "D", array=plain["RA"]),
            fits.Column("NMGY", "PD()", array=np.array([[1.0], [2.0, 3.0]], dtype=object)),
        ]
        fits.BinTableHDU.from_columns(columns).writeto(path)
    else:
        if form == "lengths.vot":
            vectors = np.array([np.array([1.0]), np.array([2.0, 3.0])], dtype=object)
        table = Table(plain | {"NMGY": vectors})
        table.write(path, format="fits" if form == "fits" else "votable")
    assert column_names(path) == ["IAUNAME", "RA", "NMGY"]
    found = read_table(path)
    assert list(found) == ["IAUNAME", "RA"]
    assert found["IAUNAME"].tolist() == ["J1", "J2"]
    assert list(read_table(path, ["RA"])) == ["RA"]
    with pytest.raises(VoteTableError, match="NMGY should have one value a galaxy, not more"):
        read_table(path, ["RA", "NMGY"])


# ---- CSV as spreadsheets write it


def test_semicolons_with_points_or_commas_in_the_numbers(tmp_path):
    (tmp_path / "points.csv").write_text('id;ra;dec;"note, free"\n007;10.5;-1.25;a,b\n8;11;2;\n')
    table = read_positions(tmp_path / "points.csv")
    assert list(table) == ["id", "ra", "dec", "note, free"]
    assert table["id"].tolist() == ["007", "8"]
    assert table["note, free"].tolist()[0] == "a,b"
    (tmp_path / "commas.csv").write_text(
        "id;ra;dec;petro_r90;note\n1,5;10,5;-1,25;;1,2 or 3\n8;11;2;4,5e1;x\n"
    )
    table = read_positions(tmp_path / "commas.csv")
    assert table["id"].tolist() == ["1,5", "8"]
    assert table[["ra", "dec"]].to_numpy().tolist() == [[10.5, -1.25], [11, 2]]
    assert table["petro_r90"].isna().tolist() == [True, False]
    assert table["petro_r90"][1] == 45
    assert table["note"].tolist() == ["1,2 or 3", "x"]


def test_commas_in_a_table_with_tabs(tmp_path):
    (tmp_path / "t.tsv").write_text("id\tra\tdec\tflux, mJy\na\t1\t2\t3\n")
    assert list(read_table(tmp_path / "t.tsv")) == ["id", "ra", "dec", "flux, mJy"]


def test_a_comma_at_the_end_of_each_row_moves_no_column(tmp_path):
    (tmp_path / "t.csv").write_text("id,ra,dec\na,10,1,\nb,11,2,\n")
    table = read_positions(tmp_path / "t.csv")
    assert table[["id", "ra", "dec"]].to_numpy().tolist() == [["a", 10, 1], ["b", 11, 2]]


def test_positions_in_hours_and_columns_with_names_of_ours(tmp_path):
    (tmp_path / "t.csv").write_text(
        "id,ra,dec,file,class_id\na,10:30:00,-00:30:36,x.fits,7\nb,00:00:01,+10:00:00,y.fits,spiral\n"
    )
    table = read_positions(tmp_path / "t.csv")
    np.testing.assert_allclose(table["ra"], [157.5, 15 / 3600])
    np.testing.assert_allclose(table["dec"], [-0.51, 10])
    assert list(table) == ["id", "ra", "dec", "my_file", "my_class_id"]
    (tmp_path / "t.csv").write_text("id,ra,dec\n")
    with pytest.raises(ValueError, match="has no rows"):
        read_positions(tmp_path / "t.csv")


@pytest.mark.parametrize("where", ["header", "rows"])
def test_latin_1_is_said_to_be_no_utf_8(tmp_path, where):
    text = "id,ra,größe\na,1,2\n" if where == "header" else "id,ra,name\na,1,größe\n"
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(VoteTableError, match=r"t\.csv: the text is not in the encoding UTF-8"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_bytes(text.encode("utf-8-sig"))  # as spreadsheets save "UTF-8"
    assert "id" in read_table(tmp_path / "t.csv")


# ---- files that break off


@pytest.mark.filterwarnings("ignore")  # astropy warns before it fails
@pytest.mark.parametrize("kept", [15, 60, 0.5, 0.9])
@pytest.mark.parametrize("form", ["csv.gz", "fits", "fits.gz", "parquet", "vot", "vot.gz"])
def test_cut_files_are_broken_wherever_they_end(tmp_path, form, kept):
    whole = tmp_path / f"whole.{form.removesuffix('.gz')}"
    numbers = np.random.default_rng(0).random(2000)
    table = Table({"id": [f"J{i}" for i in range(2000)], "ra": numbers})
    if form == "parquet":
        table.to_pandas().to_parquet(whole)
    else:
        formats = {"csv": "ascii.csv", "fits": "fits", "vot": "votable"}
        table.write(whole, format=formats[form.removesuffix(".gz")])
    content = whole.read_bytes()
    content = gzip.compress(content) if form.endswith(".gz") else content
    path = tmp_path / f"t.{form}"
    path.write_bytes(content)
    assert len(read_table(path)) == 2000
    path.write_bytes(content[: kept if kept > 1 else int(len(content) * kept)])
    with pytest.raises(VoteTableError, match=r"t\.(csv|fits|parquet|vot)"):
        read_table(path)


def test_a_first_line_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a" * 3_000_000 + b"\n1\n"))
    for read in (column_names, read_table):
        with pytest.raises(VoteTableError, match=r"more than 1,000,000 bytes. Is it a table\?"):
            read(path)
    path.write_bytes(gzip.compress(b"id,ra\na,1\n"))
    monkeypatch.setattr(catalogue_files, "MAX_HEADER", 6)
    assert column_names(path) == ["id", "ra"]


def test_a_file_that_is_not_there_is_not_called_broken(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")
