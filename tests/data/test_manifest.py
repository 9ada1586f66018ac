"""The data manifest: the course's own is valid, and every rule is enforced."""

import copy

import pytest
import yaml

from galhelpers.data.manifest import (
    FileEntry,
    ManifestError,
    UnknownDatasetError,
    Where,
    load_manifest,
)
from galhelpers.trees import TREES


@pytest.fixture(scope="module")
def manifest():
    return load_manifest()


def test_data_sets_of_the_course(manifest):
    assert manifest.names == ["simulated", "gz2_five_class", "kaggle_galaxy_zoo"]
    assert [entry.kind for entry in manifest.datasets] == ["simulated", "folder", "kaggle"]
    for entry in manifest.datasets:
        assert entry.tree in TREES
        assert entry.licence
        assert any("Willett" in work for work in entry.citation)


def test_notebooks_in_the_manifest_exist(manifest, course):
    present = {path.stem for path in (course / "notebooks").glob("*.ipynb")}
    if not present:
        pytest.skip("no notebooks yet")
    named = {name for entry in manifest.datasets for name in entry.notebooks}
    assert named <= present


def test_kaggle_facts(manifest):
    entry = manifest.get("kaggle_galaxy_zoo")
    assert entry.where.slug == "galaxy-zoo-the-galaxy-challenge"
    assert entry.n_images == 61578
    benchmark = entry.file("central_pixel_benchmark.zip")
    assert benchmark.bytes == 532227
    assert benchmark.checksum == "md5:8cd2cc46e011e388a2c4dc222d64774f"
    assert entry.file("images_training_rev1.zip").why_no_checksum


def test_unknown_dataset_lists_the_valid_ones(manifest):
    with pytest.raises(UnknownDatasetError) as error:
        manifest.get("gz3")
    assert isinstance(error.value, KeyError)
    assert str(error.value) == (
        "Unknown dataset 'gz3'. Valid datasets: simulated, gz2_five_class, kaggle_galaxy_zoo."
    )


def test_unknown_file_lists_the_valid_ones(manifest):
    with pytest.raises(KeyError, match=r"labels\.csv"):
        manifest.get("gz2_five_class").file("label.csv")


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (Where(), "this computer"),
        (Where(url="https://example.org/x"), "https://example.org/x"),
        (Where(slug="a-b", url="https://example.org"), "Kaggle (a-b), https://example.org"),
    ],
)
def test_where_in_words(where, text):
    assert str(where) == text


@pytest.mark.parametrize(
    ("checksum", "message"),
    [
        ("md5:8cd2cc46e011e388a2c4dc222d64774", "32"),
        ("md5:8CD2CC46E011E388A2C4DC222D64774F", "lower-case"),
        ("crc32:8cd2cc46", "expected <algorithm>"),
        ("8cd2cc46e011e388a2c4dc222d64774f", "expected <algorithm>"),
    ],
)
def test_wrong_checksum_is_refused(checksum, message):
    with pytest.raises(ValueError, match=message):
        FileEntry(name="a.zip", checksum=checksum)


GOOD = {
    "schema_version": 1,
    "datasets": [
        {
            "name": "first",
            "title": "First",
            "kind": "kaggle",
            "where": {"slug": "first-challenge"},
            "layout": "kaggle",
            "size_display": "1 MB",
            "files": [{"name": "a.zip", "why_no_checksum": "none published"}],
            "tree": "gz2",
            "has_fractions": True,
            "licence": "CC-BY-4.0",
            "citation": ["Somebody 2020"],
        }
    ],
}


def load(tmp_path, content):
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(content))
    return load_manifest(path)


def test_good_manifest(tmp_path):
    assert load(tmp_path, GOOD).get("first").title == "First"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "First set"}, r"datasets\.0\.name"),
        ({"licence": ""}, "licence"),
        ({"citation": []}, "citation"),
        ({"tree": "gz3"}, "expected one of gz2, decals, candels"),
        ({"kind": "ftp"}, "kind"),
        ({"where": {}}, r"where\.slug"),
        ({"where": {"slug": "x", "url": "file:///tmp"}}, "url"),
        ({"layout": "none"}, "needs a layout"),
        ({"kind": "simulated"}, "reads nothing"),
        ({"license": "misspelt"}, "license"),
        ({"notebooks": ["data"]}, "notebooks"),
        ({"files": [{"name": "a.zip"}]}, "either checksum or why_no_checksum"),
        (
            {"files": [{"name": "a", "why_no_checksum": "-", "checksum": "md5:" + "0" * 32}]},
            "either checksum or why_no_checksum",
        ),
        ({"files": [{"name": "a", "why_no_checksum": "-"}] * 2}, "named twice: a"),
        ({"files": [{"name": "a", "why_no_checksum": "-", "bytes": -1}]}, "bytes"),
    ],
)
def test_broken_entry_is_refused(tmp_path, change, message):
    content = copy.deepcopy(GOOD)
    content["datasets"][0].update(change)
    with pytest.raises(ManifestError, match=message):
        load(tmp_path, content)


def test_missing_field_is_named(tmp_path):
    content = copy.deepcopy(GOOD)
    del content["datasets"][0]["licence"]
    with pytest.raises(ManifestError, match=r"datasets\.0\.licence: Field required"):
        load(tmp_path, content)


def test_repeated_name_is_refused(tmp_path):
    content = {**GOOD, "datasets": GOOD["datasets"] * 2}
    with pytest.raises(ManifestError, match="named twice: first"):
        load(tmp_path, content)


@pytest.mark.parametrize(
    "content", [None, [], {**GOOD, "schema_version": 2}, {"schema_version": 1}]
)
def test_other_files_are_refused(tmp_path, content):
    with pytest.raises(ManifestError, match="breaks its rules"):
        load(tmp_path, content)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(ManifestError, match="Cannot read"):
        load_manifest(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("datasets: [")
    with pytest.raises(ManifestError, match="not valid YAML"):
        load_manifest(tmp_path / "bad.yaml")
