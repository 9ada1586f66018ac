"""Readers of labelled galaxies: folders and Kaggle's layout."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galhelpers.data.catalogs import FIVE_CLASSES
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
