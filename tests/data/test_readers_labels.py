"""Images beside a table of labels of one's own: numbers, names and rows belong together."""

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from galhelpers.data.dataset import load_dataset
from galhelpers.data.manifest import load_manifest
from galhelpers.data.readers import UNKNOWN, label_numbers
from galhelpers.data.tables import TableError
from tests.data.published import jpeg

BUTTONS = [
    "elliptical",
    "spiral_clockwise",
    "spiral_anticlockwise",
    "edge_on",
    "dont_know",
    "merger",
]
FIRST = 587722952767439450  # a float would make ...488 of it


@pytest.fixture
def table():
    """Eight galaxies of Galaxy Zoo 1: every label, one twice, one none; positions of five."""
    n = 8
    return pd.DataFrame(
        {
            "dr7objid": [FIRST + i for i in range(n)],
            "class_id": range(10, 10 + n),
            "class_name": [*reversed(BUTTONS), "merger", None],
            "file": [f"images/{i}.jpg" for i in range(n)],
            "ra": [*np.linspace(0, 359, 5), None, None, None],
            "dec": [*np.linspace(-89, 89, 5), None, None, None],
            "remark": "x",
            "magnitude": np.linspace(14, 17, n),
            "other_objid": [float(FIRST), *[None] * (n - 1)],
            "luminosity": 1e36,
            "asset_id": "1.23766E+18",  # another identifier, damaged: no matter here
        }
    )


def put(folder, table, images=None):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for i in range(len(table) if images is None else images):
        (folder / "images" / f"{i}.jpg").write_bytes(jpeg(i))
    table.to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.mark.parametrize("place", [".", "gz1_sdss"])
def test_each_galaxy_has_its_own_label_image_and_numbers(tmp_path, table, place):
    put(tmp_path / place, table)
    galaxies = load_dataset("gz1_sdss", tmp_path)
    catalog = galaxies.catalog
    assert catalog["id"].tolist() == [str(FIRST + i) for i in range(8)]
    assert catalog["label"].tolist() == [5, 4, 3, 2, 1, 0, 5, -1]
    assert catalog["label"].dtype == np.int64
    assert catalog["label_name"].tolist() == [*reversed(BUTTONS), "merger", ""]
    assert galaxies.provenance["label_names"] == BUTTONS
    assert [file.name for file in galaxies.files] == [f"{i}.jpg" for i in range(8)]
    assert all(file.is_file() for file in galaxies.files)
    pd.testing.assert_frame_equal(catalog[["ra", "dec"]], table[["ra", "dec"]])
    assert galaxies.problems.empty
    numbers = galaxies.tables["labels"]
    assert list(numbers) == ["my_class_id", "magnitude", "luminosity"]
    assert numbers["my_class_id"].tolist() == table["class_id"].tolist()
    np.testing.assert_allclose(numbers["magnitude"], table["magnitude"])
    assert galaxies.provenance["left_out"] == ["asset_id", "other_objid"]


def test_no_label_is_one_of_the_five_classes(tmp_path, table):
    galaxies = load_dataset("gz1_sdss", put(tmp_path, table))
    assert "edge_on" in galaxies.catalog["label_name"].tolist()
    assert set(galaxies.catalog["class_id"]) == {-1}
    assert set(galaxies.catalog["class_name"]) == {""}
    assert len(galaxies.with_class()) == 0


def test_numbers_are_labels_too_and_positions_need_not_be_known(tmp_path):
    table = pd.DataFrame(
        {
            "iauname": ["J000411.19+020924.0", "J002658.19-014709.9", "J003422.97+001633.1"],
            "file": [f"images/{i}.jpg" for i in range(3)],
            "ring": [1, None, 0],  # the gap makes floats of them: 1.0,,0.0
        }
    )
    galaxies = load_dataset("decals_rings", put(tmp_path, table))
    assert "1.0" in (tmp_path / "labels.csv").read_text()
    assert galaxies.catalog["label"].tolist() == [1, -1, 0]
    assert galaxies.catalog["label_name"].tolist() == ["ring", "", "no_ring"]
    assert galaxies.catalog["id"].tolist() == table["iauname"].tolist()
    assert not {"ra", "dec"} & set(galaxies.catalog)
    assert galaxies.tables["labels"].shape == (3, 0)
    assert len(galaxies.select([2, 0]).tables["labels"]) == 2


def test_selected_rows_keep_their_order_and_belong_together(tmp_path, table):
    galaxies = load_dataset("gz1_sdss", put(tmp_path, table))
    some = galaxies.select([6, 1, 4])
    assert some.catalog["label"].tolist() == [5, 4, 1]
    assert some.tables["labels"]["my_class_id"].tolist() == [16, 11, 14]


def test_absent_images_are_left_out_with_their_rows(tmp_path, table):
    table.loc[2, "file"] = None
    galaxies = load_dataset("gz1_sdss", put(tmp_path, table, images=6))
    kept = [0, 1, 3, 4, 5]
    assert galaxies.catalog["id"].tolist() == [str(FIRST + i) for i in kept]
    assert galaxies.catalog["label"].tolist() == [5, 4, 2, 1, 0]
    assert galaxies.tables["labels"]["my_class_id"].tolist() == [10 + i for i in kept]
    assert set(galaxies.problems["reason"]) == {"named in labels.csv, absent"}
    assert [file[-12:] for file in galaxies.problems["file"]] == [
        str(FIRST + 2)[-12:], "images/6.jpg", "images/7.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.drop(columns="file"), "file"),
        (lambda t: t.rename(columns={"dr7objid": "objid"}), "dr7objid.*objid"),
        (lambda t: t.assign(dr7objid=[FIRST, 2, 3, FIRST, 5, 6, 7, 8]), f"{FIRST}.*line 5"),
        (
            lambda t: t.assign(dr7objid=[1, 2, None, 4, 5, 6, 7, 8]).astype({"dr7objid": "Int64"}),
            "dr7objid.*line 4",
        ),
        (
            lambda t: t.assign(class_name=["merger", "barred", *["merger"] * 6]),
            "class_name.*elliptical, .*'barred' in line 3",
        ),
        (lambda t: t.assign(class_name="Merger"), "'Merger' in line 2 and 7 more"),
    ],
)
def test_tables_that_do_not_serve_say_what_and_where(tmp_path, table, spoil, message):
    with pytest.raises(TableError, match=message):
        load_dataset("gz1_sdss", put(tmp_path, spoil(table)))


def test_identifiers_that_lost_digits_are_refused(tmp_path, table):
    put(tmp_path, table)
    text = (tmp_path / "labels.csv").read_text().replace(str(FIRST), "5.8772295276744E+17")
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(TableError, match=r"dr7objid.*5\.8772295276744E\+17"):
        load_dataset("gz1_sdss", tmp_path)


@pytest.mark.parametrize("name", ["gz1_sdss", "decals_rings"])
def test_nothing_there_says_how_to_make_it(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=f"`galhelpers fetch {name}` says how to make it"):
        load_dataset(name, tmp_path)
    spec = load_manifest().get(name).labels
    (tmp_path / "labels.csv").write_text(f"{spec.identifier},{spec.file},{spec.label}\n")
    with pytest.raises(FileNotFoundError, match="has no galaxies"):
        load_dataset(name, tmp_path)
    with (tmp_path / "labels.csv").open("a") as file:
        file.write(f"17,images/0.jpg,{next(iter(spec.names))}\n")
    with pytest.raises(FileNotFoundError, match="None of the 1 images named in"):
        load_dataset(name, tmp_path)


def test_a_table_with_labels_of_its_own_needs_only_a_manifest(tmp_path, monkeypatch, course):
    content = yaml.safe_load((course / "data_manifest.yaml").read_text())
    (entry,) = (e for e in content["datasets"] if e["name"] == "decals_rings")
    names = {"2": "two bars", "false": "no bar", "weak bar": "weak"}
    entry["labels"] = {"identifier": "nr", "file": "path", "label": "bar", "names": names}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.setenv("GALHELPERS_MANIFEST", str(tmp_path / "mine.yaml"))
    table = pd.DataFrame({"nr": [3, 4, 5], "bar": [" weak bar", "2", "false"]})
    put(tmp_path, table.assign(path=[f"images/{i}.jpg" for i in range(3)]))
    galaxies = load_dataset("decals_rings", tmp_path)
    assert galaxies.catalog["id"].tolist() == ["3", "4", "5"]
    assert galaxies.catalog["label"].tolist() == [2, 0, 1]
    assert galaxies.catalog["label_name"].tolist() == ["weak", "two bars", "no bar"]


@given(st.lists(st.sampled_from([-1, 0, 1, 2, 3, 7]), min_size=1, max_size=20))
def test_a_whole_number_is_the_same_label_however_it_is_stored(labels):
    known = ["3", "0", "2", "1"]
    expected = [
        -1 if label == -1 else known.index(str(label)) if label < 7 else UNKNOWN for label in labels
    ]
    gaps = [None if label == -1 else label for label in labels]
    words = [None if label is None else f" {label} " for label in gaps]
    for column in (
        pd.Series(gaps, dtype="float64"),
        pd.Series(gaps, dtype="Int64"),
        pd.Series(words, dtype=object),
        pd.Series(["" if word is None else word for word in words], dtype="string"),
    ):
        assert label_numbers(column, known).tolist() == expected


@pytest.mark.real
def test_real_classes_of_galaxy_zoo_1(real_data):
    galaxies = load_dataset("gz1_sdss", real_data)
    table = pd.read_csv(real_data / "gz1_sdss" / "labels.csv")
    assert len(galaxies) == 3332
    assert galaxies.problems.empty
    assert galaxies.catalog["label_name"].tolist() == table["class_name"].tolist()
    # The table counts its classes in the order of Galaxy Zoo's buttons, as we do.
    assert galaxies.catalog["label"].tolist() == table["class_id"].tolist()
    assert np.bincount(galaxies.catalog["label"]).tolist() == [2322, 207, 218, 499, 28, 58]
    assert galaxies.catalog["id"].tolist() == table["dr7objid"].astype(str).tolist()
    assert [file.stem for file in galaxies.files] == galaxies.catalog["id"].tolist()
    assert galaxies.catalog["ra"].notna().sum() == 460


@pytest.mark.real
def test_real_rings(real_data):
    galaxies = load_dataset("decals_rings", real_data)
    table = pd.read_csv(real_data / "decals_rings" / "labels.csv")
    assert len(galaxies) == 350
    assert galaxies.catalog["label"].tolist() == table["ring"].astype(int).tolist()
    assert galaxies.catalog["label_name"].value_counts().to_dict() == {"ring": 175, "no_ring": 175}
    assert galaxies.provenance["left_out"] == ["gz2_s82_objid", "gz2_dr7objid"]
    answer = "has-spiral-arms_no_fraction"
    assert galaxies.tables["labels"][answer].equals(table[answer])
    # The name of a galaxy says where it is: J000411.19+020924.0 is at 0 h 4 m 11.19 s.
    clock = galaxies.catalog["id"].str.extract(r"J(\d\d)(\d\d)(\d\d\.\d\d)").astype(float)
    hours = clock[0] + clock[1] / 60 + clock[2] / 3600
    np.testing.assert_allclose(galaxies.catalog["ra"], 15 * hours, atol=1e-3)
