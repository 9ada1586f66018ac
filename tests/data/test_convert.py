"""Tables of a converted data set: what is written comes back, what is half there is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.data.convert import as_tables, five_classes, write_tables
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.readers import read_tables
from galhelpers.data.votes import VoteTable, read_votes
from galhelpers.trees import CANDELS, DECALS, GZ1, GZ2, GZ2_SHORT


def entry(name="some_survey"):
    return DatasetEntry(
        name=name,
        title="Some survey",
        reader="parquet",
        hub={"repo": "some/survey", "configs": {"tiny": "tiny/*"}},
        size_display="1 MB",
        has_fractions=False,
        licence="CC BY 4.0",
        citation=["Somebody 2020"],
    )


def votes_of(tree, fractions):
    """A table of n galaxies with these cumulative fractions, votes of 100 people each."""
    table = pd.DataFrame(fractions, columns=tree.published)
    counts = (table.set_axis(tree.columns, axis=1) * 100).round().astype(int)
    catalog = pd.DataFrame(
        {"id": [f"g{i}" for i in range(len(table))], "ra": 10.0, "dec": np.arange(len(table))}
    )
    return VoteTable(catalog, tree, counts, table, {"rows": 5})


def galaxies(tree):
    """Cumulative fractions of a round, in-between, cigar, edge-on, spiral and undecided galaxy."""
    conditional = np.zeros((6, tree.n_answers))
    conditional[:, [columns.start for columns in tree.slices.values()]] = 1
    first = tree.slices["smooth-or-featured"].start
    conditional[3:5, [first, first + 1]] = 0.1, 0.9
    conditional[5, [first, first + 1]] = 0.45, 0.55
    rounded = tree.slices["how-rounded"].start
    conditional[1, [rounded, rounded + 1]] = 0, 1
    conditional[2, [rounded, rounded + 2]] = 0, 1
    edge = tree.slices["disk-edge-on"].start
    conditional[4:, [edge, edge + 1]] = 0.1, 0.9
    return tree.to_cumulative(conditional)


@pytest.mark.parametrize("tree", [GZ2, GZ2_SHORT, DECALS], ids=lambda tree: tree.name)
def test_five_classes_of_every_tree(tree):
    assert five_classes(votes_of(tree, galaxies(tree))).tolist() == [0, 1, 2, 3, 4, -1]


def test_five_classes_of_short_tree_are_those_of_the_long_one():
    rng = np.random.default_rng(0)
    conditional = rng.random((2000, 37)) ** 3
    for columns in GZ2.slices.values():
        conditional[:, columns] /= conditional[:, columns].sum(axis=1, keepdims=True)
    long = pd.DataFrame(GZ2.to_cumulative(conditional), columns=GZ2.published)
    expected = select_five_classes(long)
    assert set(expected) == {-1, 0, 1, 2, 3, 4}
    short = votes_of(GZ2_SHORT, long[GZ2_SHORT.published].to_numpy())
    np.testing.assert_array_equal(five_classes(short), expected)


def test_five_classes_of_galaxy_zoo_1_and_of_the_experts():
    buttons = [
        [1, 0, 0, 0, 0, 0],
        [0, 0.4, 0.3, 0.3, 0, 0],
        [0.3, 0, 0, 0.7, 0, 0],
        [0.5] + [0.1] * 5,
    ]
    assert five_classes(votes_of(GZ1, np.array(buttons))).tolist() == [-1, 4, 3, -1]
    assert five_classes(votes_of(CANDELS, np.eye(5))).tolist() == [-1] * 5


def make(folder, tree=GZ2, images=("g0", "g1", "g3"), named=("g0", "g1", "g2", "g3")):
    """Write a data set of six galaxies, of which some are named an image and some have one."""
    votes = votes_of(tree, galaxies(tree))
    files = {name: f"images/a/{name}.png" for name in named}
    catalog, tables = as_tables(votes, files)
    source = {"dataset": folder.name, "licence": "CC BY 4.0", "n": np.int64(3), "at": Path("x")}
    for name in images:
        (folder / "images" / "a").mkdir(parents=True, exist_ok=True)
        (folder / files[name]).write_bytes(b"picture")
    write_tables(folder, catalog, tables, source | votes.source)
    return votes


def test_write_and_load(tmp_path):
    votes = make(tmp_path / "some_survey")
    read = read_tables(entry(), tmp_path)
    assert read.catalog["id"].tolist() == ["g0", "g1", "g3"]
    assert [path.read_bytes() for path in read.files] == [b"picture"] * 3
    assert read.catalog["class_id"].tolist() == [0, 1, 3]
    assert read.catalog["class_name"].tolist() == [FIVE_CLASSES[i] for i in (0, 1, 3)]
    assert read.catalog["dec"].tolist() == [0, 1, 3]
    pd.testing.assert_frame_equal(
        read.fractions, votes.fractions.iloc[[0, 1, 3]].reset_index(drop=True)
    )
    assert list(read.tables) == ["votes_gz2"]
    assert read.tables["votes_gz2"]["smooth-or-featured_smooth"].tolist() == [100, 100, 10]
    # g2 has a name of a file and no file, g4 and g5 have not even a name.
    assert read.problems["file"].tolist() == ["images/a/g2.png", "g4", "g5"]
    assert set(read.problems["reason"]) == {"no image for this galaxy"}
    assert read.provenance["licence"] == "CC BY 4.0"
    assert (read.provenance["n"], read.provenance["at"]) == (3, "x")
    assert read.provenance["rows"] == 5


def test_other_trees_go_to_tables(tmp_path):
    make(tmp_path / "some_survey", DECALS)
    read = read_tables(entry(), tmp_path)
    assert read.fractions is None
    assert set(read.tables) == {"fractions_decals", "votes_decals"}
    assert DECALS.check(read.tables["fractions_decals"]) == []
    assert len(read.tables["votes_decals"]) == len(read) == 3


def test_data_set_without_images_keeps_all_rows(tmp_path):
    make(tmp_path / "some_survey", images=(), named=())
    read = read_tables(entry(), tmp_path)
    assert (len(read), len(read.problems)) == (6, 0)
    assert set(read.catalog["file"]) == {""}


def test_all_images_lost_is_an_error(tmp_path):
    make(tmp_path / "some_survey", images=())
    with pytest.raises(FileNotFoundError, match=r"None of the 4 images .* fetch some_survey"):
        read_tables(entry(), tmp_path)


def test_half_written_folder_is_not_read(tmp_path):
    folder = tmp_path / "some_survey"
    make(folder)
    catalog, tables = as_tables(votes_of(DECALS, galaxies(DECALS)), {})
    with pytest.raises(TypeError):  # the record cannot be written: like a crash before the end
        write_tables(folder, catalog, tables, {("no", "key"): 1})
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    with pytest.raises(FileNotFoundError, match=r"source\.json"):
        read_tables(entry(), tmp_path)
    make(folder)
    assert len(read_tables(entry(), tmp_path)) == 3
    record = json.loads((folder / "source.json").read_text())
    assert record["tables"] == ["fractions_gz2", "votes_gz2"]


def test_nothing_there_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected source\.json of 'Some survey'"):
        read_tables(entry(), tmp_path)


def test_folder_of_another_data_set_and_foreign_tables(tmp_path):
    make(tmp_path / "other")
    with pytest.raises(ValueError, match=r"holds 'other', expected 'some_survey'"):
        read_tables(entry(), tmp_path / "other")
    path = tmp_path / "other" / "catalog.parquet"
    pd.read_parquet(path).iloc[:4].to_parquet(path)
    with pytest.raises(ValueError, match=r"6 rows in catalog\.parquet, found 4"):
        read_tables(entry("other"), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"file": "../secret.png"}, r"inside the data set's folder, got '\.\./secret"),
        ({"file": "/etc/passwd"}, "inside the data set's folder"),
        ({"file": "a\\b.png"}, "inside the data set's folder"),
        ({"id": "same"}, "identifier same twice"),
    ],
)
def test_what_must_not_be_written(tmp_path, change, message):
    catalog, tables = as_tables(votes_of(GZ2, galaxies(GZ2)), {})
    with pytest.raises(ValueError, match=message):
        write_tables(tmp_path / "new", catalog.assign(**change), tables, {})
    with pytest.raises(ValueError, match="class_id"):
        write_tables(tmp_path / "new", catalog.drop(columns="class_id"), tables, {})
    assert not (tmp_path / "new").exists()


def test_real_table_makes_the_round_trip(tmp_path, real_data):
    path = real_data / "gz2_votes" / "labels.csv"
    votes = read_votes(path, "gz2")
    catalog, tables = as_tables(votes, {})
    write_tables(tmp_path / "some_survey", catalog, tables, votes.source)
    read = read_tables(entry(), tmp_path)
    pd.testing.assert_frame_equal(read.fractions, votes.fractions)
    np.testing.assert_array_equal(read.catalog["class_id"], select_five_classes(votes.fractions))


def test_a_damaged_table_says_what_to_do(tmp_path):
    folder = tmp_path / "some_survey"
    make(folder)
    again = "Give `galhelpers fetch some_survey` again"
    table = pd.read_parquet(folder / "votes_gz2.parquet")
    table.iloc[:2].to_parquet(folder / "votes_gz2.parquet")
    with pytest.raises(ValueError, match=f"votes_gz2, found 2. {again}"):
        read_tables(entry(), tmp_path)
    (folder / "votes_gz2.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=again):
        read_tables(entry(), tmp_path)
    (folder / "catalog.parquet").unlink()
    with pytest.raises(ValueError, match=again):
        read_tables(entry(), tmp_path)


def test_why_a_galaxy_has_no_picture_is_told(tmp_path):
    folder = tmp_path / "some_survey"
    make(folder)
    (folder / "failures.csv").write_text("id,reason\ng4,outside the survey\n")
    problems = read_tables(entry(), tmp_path).problems.set_index("file")["reason"]
    assert problems["g4"] == "outside the survey"
    assert problems["g5"] == "no image for this galaxy"
