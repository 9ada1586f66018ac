"""Readers of labelled galaxies: folders and Kaggle's layout."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.convert import write_tables
from galhelpers.data.dataset import load_dataset
from galhelpers.data.readers import IMAGE_FOLDER, TABLE, read_kaggle_layout, read_solutions
from galhelpers.trees import TREES

TREE = TREES["gz2"]


def jpeg(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(path)


def image_size(path):
    with Image.open(path) as image:
        return image.size


def solutions(ids):
    """A valid 37-column table: everybody says smooth, completely round, nothing odd."""
    table = pd.DataFrame(0.0, index=range(len(ids)), columns=TREE.published_columns)
    table[["Class1.1", "Class6.2", "Class7.1"]] = 1.0
    table.insert(0, "GalaxyID", ids)
    return table


@pytest.mark.parametrize("folder", ["{i}", "{name}", "{i}_{name}"])
def test_class_folders(tmp_path, folder):
    for i, name in enumerate(FIVE_CLASSES):
        jpeg(tmp_path / folder.format(i=i, name=name) / f"g{i}.jpg")
    galaxies = load_dataset("gz2_five_class", tmp_path)
    assert list(galaxies.catalog["id"]) == [f"g{i}" for i in range(5)]
    assert list(galaxies.catalog["class_id"]) == list(range(5))
    assert galaxies.class_counts().to_list() == [1] * 5
    assert galaxies.fractions is None


def test_labels_csv_and_missing_images(tmp_path):
    jpeg(tmp_path / "images" / "1.jpg")
    (tmp_path / "labels.csv").write_text(
        "GalaxyID,class_name,file\n1,spiral,images/1.jpg\n2,edge_on,images/2.jpg\n"
    )
    galaxies = load_dataset("gz2_five_class", tmp_path)
    assert list(galaxies.catalog["class_name"]) == ["spiral"]
    assert len(galaxies.problems) == 1
    assert "absent" in galaxies.problems["reason"].iloc[0]


def test_labels_csv_as_spreadsheets_write_it(tmp_path):
    """Classes with a gap are floats, identifiers may begin with 0, a picture may be missing."""
    for name in ("007", "8"):
        jpeg(tmp_path / f"{name}.jpg")
    (tmp_path / "labels.csv").write_text("GalaxyID,class_id\n007,0.0\n8,4.0\n")
    galaxies = load_dataset("gz2_five_class", tmp_path)
    assert list(galaxies.catalog["id"]) == ["007", "8"]
    assert list(galaxies.catalog["class_name"]) == [FIVE_CLASSES[0], FIVE_CLASSES[4]]
    (tmp_path / "labels.csv").write_text("GalaxyID,class_id,file\n007, 0, 007.jpg\n8,4,\n")
    galaxies = load_dataset("gz2_five_class", tmp_path)
    assert list(galaxies.catalog["id"]) == ["007"]
    assert list(galaxies.problems["file"]) == ["8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("GalaxyID,file\n1,a.jpg\n", "class_name"),
        ("GalaxyID,class_id\n1,7\n", "class_id.*7"),
        ("GalaxyID,class_name\n1,barred\n", "barred"),
        ("GalaxyID,class_id\n1,2\n1,3\n", "'1' repeated in line 3"),
        ("GalaxyID,class_id\n1,2\n", r"1 images"),
        ("GalaxyID,class_id,file\n1,0.5,a.jpg\n", "class_id.*0\\.5 in line 2"),
        ("GalaxyID,class_id,file\n1,0,a.jpg\n,1,b.jpg\n", "identifier.* none in line 3"),
        ("", "should be a table"),
    ],
)
def test_bad_labels_say_what_is_wrong(tmp_path, text, message):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset("gz2_five_class", tmp_path)


def test_missing_data_say_where_to_get_them(tmp_path):
    with pytest.raises(FileNotFoundError, match="--data-root"):
        load_dataset("kaggle_galaxy_zoo", tmp_path)


def test_kaggle_layout(tmp_path):
    for name in ("100008", "100023", "100099"):
        jpeg(tmp_path / IMAGE_FOLDER / f"{name}.jpg")
    solutions([100008, 100023, 100500]).to_csv(tmp_path / TABLE, index=False)
    galaxies = read_kaggle_layout(tmp_path, "kaggle_galaxy_zoo")
    assert list(galaxies.catalog["id"]) == ["100008", "100023"]
    assert list(galaxies.catalog["class_name"]) == ["completely_round_smooth"] * 2
    assert galaxies.fractions.shape == (2, 37)
    reasons = dict(zip(galaxies.problems["reason"], galaxies.problems["file"], strict=True))
    assert reasons["row without image"].endswith("100500.jpg")
    assert reasons["image without row"].endswith("100099.jpg")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="Class3.1"), r"Class3\.1"),
        (lambda t: t.assign(GalaxyID=1), "'1' repeated in line 3"),
        (lambda t: t.assign(**{"Class1.1": 1.2}), "0 and 1"),
        (lambda t: t.assign(**{"Class1.1": np.nan}), "0 and 1"),
        (lambda t: t.assign(**{"Class7.1": 0.4}), "how-rounded"),
    ],
)
def test_bad_solutions_are_refused(tmp_path, spoil, message):
    spoil(solutions([1, 2])).to_csv(tmp_path / TABLE, index=False)
    with pytest.raises(ValueError, match=message):
        read_solutions(tmp_path / TABLE)


def test_select_keeps_rows_aligned(tmp_path):
    for name in range(5):
        jpeg(tmp_path / IMAGE_FOLDER / f"{name}.jpg")
    table = solutions(range(5))
    table.loc[3, ["Class7.1", "Class7.2"]] = [0.0, 1.0]
    table.to_csv(tmp_path / TABLE, index=False)
    galaxies = read_kaggle_layout(tmp_path, "kaggle_galaxy_zoo")
    some = galaxies.select([3, 1])
    assert list(some.catalog["id"]) == ["3", "1"]
    assert list(some.fractions["Class7.2"]) == [1.0, 0.0]
    assert len(galaxies.sample(3, seed=1)) == 3
    assert list(galaxies.sample(3, seed=1).catalog["id"]) == list(
        galaxies.sample(3, seed=1).catalog["id"]
    )


@pytest.mark.real
def test_real_five_classes(real_data):
    galaxies = load_dataset("gz2_five_class", real_data)
    assert galaxies.class_counts().to_list() == [7591, 7262, 520, 3513, 7025]
    assert all(file.is_file() for file in galaxies.files[::1000])


@pytest.mark.real
def test_real_kaggle_layout(real_data):
    galaxies = load_dataset("kaggle_galaxy_zoo", real_data / "gz2_native")
    assert galaxies.class_counts().to_list() == [120] * 5
    assert image_size(galaxies.files[0]) == (424, 424)


@pytest.mark.real
def test_real_rows_of_the_kaggle_table_are_accepted(real_data):
    path = real_data / "gz2_native" / "training_solutions_rev1_first3rows.csv"
    assert list(read_solutions(path)["GalaxyID"]) == ["100008", "100023", "100053"]


@pytest.mark.parametrize(
    "source",
    [
        '{"dataset": "galaxy_zoo_1", "tables": [], "rows_in_catalogue": 3}',  # of another version
        '{"dataset": "galaxy_zoo_1", "tab',
        "[1, 2]",
    ],
)
def test_a_record_that_cannot_be_used_says_to_fetch_again(tmp_path, source):
    (tmp_path / "galaxy_zoo_1").mkdir()
    (tmp_path / "galaxy_zoo_1" / "source.json").write_text(source)
    with pytest.raises(ValueError, match=r"source\.json.*galhelpers fetch galaxy_zoo_1"):
        load_dataset("galaxy_zoo_1", tmp_path)


# ---- Kaggle's files as they come


@pytest.mark.parametrize(
    "place", ["", "kaggle_galaxy_zoo", "kaggle_galaxy_zoo/unpacked", "unpacked"]
)
@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".jpeg"])
def test_kaggles_files_are_found_where_programs_unpack_them(tmp_path, place, suffix):
    folder = tmp_path / place
    for name in ("100008", "100023"):
        jpeg(folder / IMAGE_FOLDER / IMAGE_FOLDER / f"{name}{suffix}")
    (folder / TABLE.removesuffix(".csv")).mkdir()
    solutions([100008, 100023]).to_csv(folder / TABLE.removesuffix(".csv") / TABLE, index=False)
    galaxies = load_dataset("kaggle_galaxy_zoo", tmp_path)
    assert list(galaxies.catalog["id"]) == ["100008", "100023"]
    assert galaxies.fractions.shape == (2, 37)
    assert galaxies.problems.empty


@pytest.mark.parametrize("name", [f"{IMAGE_FOLDER}.zip", "galaxy-zoo-the-galaxy-challenge.zip"])
@pytest.mark.parametrize("place", ["", "kaggle_galaxy_zoo"])
def test_packed_images_are_named_with_what_to_do(tmp_path, place, name):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / name).write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=f"{name}.*packed.*galhelpers fetch"):
        load_dataset("kaggle_galaxy_zoo", tmp_path)


def test_a_packed_table_is_named_and_strangers_to_each_other_are_told(tmp_path):
    jpeg(tmp_path / IMAGE_FOLDER / "1.jpg")
    (tmp_path / "training_solutions_rev1.zip").write_bytes(b"PK")
    with pytest.raises(FileNotFoundError, match=r"training_solutions_rev1\.zip.*unpack it"):
        load_dataset("kaggle_galaxy_zoo", tmp_path)
    solutions([7, 8]).to_csv(tmp_path / TABLE, index=False)
    with pytest.raises(FileNotFoundError, match=r"None of the 2 galaxies.*belong together"):
        load_dataset("kaggle_galaxy_zoo", tmp_path)


# ---- small files of ours


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A data set as `galhelpers fetch` leaves it: a catalog, a table, a record, a list."""
    folder = tmp_path_factory.mktemp("written") / "galaxy_zoo_1"
    jpeg(folder / "images" / "a.jpg")
    catalog = pd.DataFrame(
        {"id": ["a", "b"], "file": ["images/a.jpg", ""], "class_id": -1, "class_name": ""}
    )
    write_tables(folder, catalog, {"votes": pd.DataFrame({"n": [1, 2]})}, {"dataset": folder.name})
    (folder / "failures.csv").write_text("id,reason\nb,outside the survey\n")
    return folder


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["dataset", "files", "tables", "rows_in_catalog", "revision", "config"]


@settings(max_examples=100, deadline=None)
@given(
    st.binary(max_size=50)
    | ANY.map(lambda value: json.dumps(value).encode())
    | st.dictionaries(st.sampled_from(NAMES), ANY).map(
        lambda change: json.dumps({"tables": ["votes"], "rows_in_catalog": 2} | change).encode()
    ),
    st.binary(max_size=50),
)
def test_records_and_lists_of_any_content_are_used_or_named(written, record, reasons):
    before = (written / "source.json").read_bytes()
    (written / "source.json").write_bytes(record)
    (written / "failures.csv").write_bytes(reasons)
    try:
        galaxies = load_dataset("galaxy_zoo_1", written.parent)
    except ValueError as error:
        said = str(error)
    else:
        said = ""
        assert (len(galaxies), len(galaxies.problems)) == (1, 1)
    finally:
        (written / "source.json").write_bytes(before)
    assert not said or "galaxy_zoo_1" in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", ""])
def test_a_record_names_no_file_elsewhere(written, tmp_path, name):
    shutil.copytree(written, tmp_path / written.name)
    record = {"tables": [name], "rows_in_catalog": 2}
    (tmp_path / written.name / "source.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"source\.json is damaged"):
        load_dataset("galaxy_zoo_1", tmp_path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 100, b"\0" * 1000])
@pytest.mark.parametrize("name", ["catalog", "votes"])
def test_a_damaged_table_of_ours_is_named_with_what_to_do(written, tmp_path, name, content):
    shutil.copytree(written, tmp_path / written.name)
    (tmp_path / written.name / f"{name}.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken.*galhelpers fetch galaxy_zoo_1"):
        load_dataset("galaxy_zoo_1", tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("file", ["/etc/passwd", ""], "/etc/passwd"),
        ("file", ["../../etc/passwd", ""], "etc/passwd"),
        ("id", ["a", "a"], "'a' repeated"),
        ("class_id", [9, 0], "-1 to 4, found 9"),
        ("class_id", ["x", "0"], "class_id.*'x'"),
    ],
)
def test_a_catalog_from_elsewhere_is_checked(written, tmp_path, column, values, words):
    folder = shutil.copytree(written, tmp_path / written.name)
    catalog = pd.read_parquet(folder / "catalog.parquet")
    catalog.assign(**{column: values}).to_parquet(folder / "catalog.parquet")
    with pytest.raises(ValueError, match=words):
        load_dataset("galaxy_zoo_1", tmp_path)


def test_a_page_of_a_table_of_ours_is_damaged(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / written.name)
    content = bytearray((folder / "catalog.parquet").read_bytes())
    content[4:60] = bytes(byte ^ 1 for byte in content[4:60])
    (folder / "catalog.parquet").write_bytes(content)
    with pytest.raises(ValueError, match="galhelpers fetch galaxy_zoo_1"):
        load_dataset("galaxy_zoo_1", tmp_path)


def test_a_table_is_named_thousands_of_times(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / written.name)
    record = {"tables": ["votes"] * 20_000, "rows_in_catalog": 2}
    (folder / "source.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"source\.json is damaged"):
        load_dataset("galaxy_zoo_1", tmp_path)
