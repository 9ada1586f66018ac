"""The data manifest: the course's own is valid, and every rule is enforced."""

import copy
import os
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.convert import _CONVERTERS
from galhelpers.data.manifest import (
    DatasetEntry,
    FileEntry,
    ManifestError,
    UnknownDatasetError,
    load_manifest,
)


@pytest.fixture(scope="module")
def manifest():
    return load_manifest()


KEPT = {
    "simulated", "gz2_five_class", "kaggle_galaxy_zoo", "galaxy_zoo_2", "gz2_votes", "galaxy_zoo_1",
    "gz1_sdss", "gz_decals", "decals_rings", "galaxy10_decals", "candels_experts", "hf_gz2",
    "euclid_q1", "sdss_cutouts", "legacy_cutouts",
}  # fmt: skip


def test_data_sets_of_the_course(manifest):
    assert set(manifest.names) == KEPT
    for entry in manifest.datasets:
        assert entry.licence
        assert entry.citation
        # Files that are fetched have an address, those of Kaggle a competition.
        assert entry.kaggle or all(file.url for file in entry.files)
        # What nobody checked is said; a checksum that a publisher pins needs no excuse.
        for file in entry.files:
            assert file.checksum or file.why_no_checksum
    assert manifest.get("euclid_q1").unverified


def test_every_form_has_a_reader_and_what_is_fetched_a_converter(manifest):
    for entry in manifest.datasets:
        if entry.is_fetched and entry.reader != "positions":
            assert entry.reader in _CONVERTERS
    labels = manifest.get("galaxy10_decals").labels
    assert set(labels.five_classes.values()) == set(FIVE_CLASSES)


def test_the_pins_are_those_of_the_fact_sheet(manifest):
    pins = {file.name: file.checksum for entry in manifest.datasets for file in entry.files}
    assert pins["images_gz2.zip"] == "md5:bc647032d31e50c798770cf4430525c7"
    assert pins["gz2_filename_mapping.csv"] == "md5:7e28465e6dfbf96c0d828c595a5bbd80"
    assert pins["gz_decals_volunteers_5.parquet"] == "md5:364d0b598b7d2958553350c5ce0ffc14"
    assert pins["Galaxy10_DECals.h5"].startswith("sha256:19aefc477c41bb7f")


def test_restricted_licences_have_terms(manifest):
    for entry in manifest.datasets:
        if "NC" in entry.licence:
            assert "source code" in entry.terms
    assert "rules" in manifest.get("kaggle_galaxy_zoo").terms


@pytest.mark.parametrize(
    ("shown", "expected"),
    [("40.5 MB", 40_500_000), ("3.3 GB", 3_300_000_000), ("265.31 kB", 265_310), ("unknown", None)],
)
def test_a_displayed_size_serves_as_an_estimate(shown, expected):
    file = FileEntry(name="a", size_display=shown, why_no_checksum="x")
    assert file.expected_bytes == expected
    assert FileEntry(name="a", size_display=shown, bytes=7, why_no_checksum="x").expected_bytes == 7


def test_every_data_set_is_in_the_guide(manifest, course):
    guide = (course / "docs" / "data.md").read_text()
    for entry in manifest.datasets:
        assert f"`{entry.name}`" in guide
        for work in entry.citation:
            assert work.split()[0] in guide, f"{entry.name}: {work}"


def test_another_manifest_can_be_named(monkeypatch, tmp_path, course):
    other = tmp_path / "mine.yaml"
    text = (course / "data_manifest.yaml").read_text()
    other.write_text(text.replace("https://zenodo.org", "https://zenodo.example.org"))
    monkeypatch.setenv("GALHELPERS_MANIFEST", str(other))
    assert load_manifest().get("galaxy_zoo_2").files[0].url.startswith("https://zenodo.example.org")


def test_notebooks_in_the_manifest_exist(manifest, course):
    present = {path.stem for path in (course / "notebooks").glob("*.ipynb")}
    if not present:
        pytest.skip("no notebooks yet")
    named = {name for entry in manifest.datasets for name in entry.notebooks}
    assert named <= present


def test_kaggle_facts(manifest):
    entry = manifest.get("kaggle_galaxy_zoo")
    assert entry.kaggle == "galaxy-zoo-the-galaxy-challenge"
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
        f"Unknown dataset 'gz3'. Valid datasets: {', '.join(manifest.names)}."
    )


def test_unknown_file_lists_the_valid_ones(manifest):
    with pytest.raises(KeyError, match=r"filtered_data\.zip"):
        manifest.get("gz2_five_class").file("label.csv")


def test_origin_in_words(manifest):
    assert manifest.get("simulated").origin == "this computer"
    assert manifest.get("kaggle_galaxy_zoo").origin.startswith("Kaggle (galaxy-zoo-the-")
    assert manifest.get("hf_gz2").origin.startswith("Hugging Face (mwalmsley/gz2), https://")


@pytest.mark.parametrize(
    ("checksum", "message"),
    [
        ("md5:8cd2cc46e011e388a2c4dc222d64774", "32"),
        ("md5:8CD2CC46E011E388A2C4DC222D64774F", "lower-case"),
        ("crc32:8cd2cc46", "crc32"),
        ("8cd2cc46e011e388a2c4dc222d64774f", "sha256"),
    ],
)
def test_wrong_checksum_is_refused(checksum, message):
    with pytest.raises(ValueError, match=message):
        FileEntry(name="a.zip", checksum=checksum)


GOOD = {
    "schema_version": 2,
    "datasets": [
        {
            "name": "first",
            "title": "First",
            "reader": "kaggle",
            "kaggle": "first-challenge",
            "size_display": "1 MB",
            "files": [{"name": "a.zip", "why_no_checksum": "none published"}],
            "tree": "gz2",
            "has_fractions": True,
            "licence": "CC-BY-4.0",
            "citation": ["Somebody 2020"],
        }
    ],
}


LABELS = {"identifier": "id", "file": "file", "label": "ring", "names": {"0": "no", "1": "yes"}}


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
        ({"reader": "ftp"}, "reader"),
        ({"page": "file:///tmp"}, "page"),
        ({"files": [{"name": "../a", "why_no_checksum": "-"}]}, "name"),
        ({"tree": None, "has_fractions": False, "has_votes": True}, "votes need a tree"),
        ({"license": "misspelt"}, "license"),
        ({"notebooks": ["data"]}, "notebooks"),
        ({"files": [{"name": "a.zip"}]}, "either checksum or why_no_checksum"),
        (
            {"files": [{"name": "a", "why_no_checksum": "-", "checksum": "md5:" + "0" * 32}]},
            "either checksum or why_no_checksum",
        ),
        *(
            ({"labels": {**LABELS, **wrong}}, message)
            for wrong, message in (
                ({"label": "file"}, "repeated: file"),
                ({"names": {"0": "a", "1": "a"}}, "repeated: a"),
                ({"names": {"0": "a"}}, "at least 2 items"),
                ({"names": {0: "a", 1: "b"}}, "valid string"),
                ({"five_classes": {"ring": "spiral"}}, "no labels: ring"),
            )
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
    "content", [None, [], {**GOOD, "schema_version": 1}, {"schema_version": 2}]
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


@pytest.mark.parametrize(
    "text",
    [
        "date: 2020-99-99",
        "number: " + "9" * 6000,
        "[" * 20_000,
        "{a: " * 20_000,
        "? [1, 2]\n: 3",
        "a: !!python/object/apply:os.system [ls]",
        "a: &a [*a]",
        "datasets: \x1b[2J",
        "\0",
        "a: .inf\nb: !!timestamp 1",
        "schema_version: 2\ndatasets: [" + "7, " * 300 + "]",
    ],
)
def test_a_manifest_of_any_content_is_refused_in_words(tmp_path, text):
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(ManifestError, match=r"odd\.yaml") as error:
        load_manifest(tmp_path / "odd.yaml")
    assert len(str(error.value)) < 5000
    assert "\x1b" not in str(error.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes of this kind")
def test_a_manifest_without_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    with (tmp_path / "sparse.yaml").open("wb") as file:
        file.truncate(10**11)
    for name in ("pipe.yaml", "sparse.yaml"):
        with pytest.raises(ManifestError, match=f"{name}.*at most 5,000,000 bytes"):
            load_manifest(tmp_path / name)


FIELDS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from([*DatasetEntry.model_fields, "more"]), FIELDS, max_size=4))
def test_an_entry_with_any_values_is_good_or_refused(tmp_path_factory, change):
    content = copy.deepcopy(GOOD)
    content["datasets"][0].update(change)
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(content))
    os.utime(path, ns=(0, time.monotonic_ns()))  # two within one tick of the clock are not the same
    try:
        entry = load_manifest(path).datasets[0]
    except ManifestError:
        return
    assert entry.origin
    assert all(file.expected_bytes is None or file.expected_bytes >= 0 for file in entry.files)


@pytest.mark.parametrize("shown", ["1.2.3 MB", ". MB", "9" * 400 + " GB"])
def test_a_displayed_size_of_any_form_is_no_error(shown):
    size = FileEntry(name="a", size_display=shown, why_no_checksum="x").expected_bytes
    assert size is None or size < 10**18
