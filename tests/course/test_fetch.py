"""`galhelpers fetch NAME` for every data set, from servers on 127.0.0.1 that speak as real ones.

The files are small and drawn here; formats, addresses and the whole way from a request to a data
set that a notebook reads are those of the course.
"""

import gzip
import hashlib
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from astropy.io import fits
from PIL import Image

from galhelpers.course.cli import main
from galhelpers.course.fetch import fetch
from galhelpers.course.lesson import Lesson
from galhelpers.data.dataset import load_dataset
from galhelpers.data.manifest import load_manifest
from galhelpers.data.sources.hdf5_layouts import LAYOUTS
from galhelpers.paths import UserError
from galhelpers.survey.fits import sky_of
from galhelpers.trees import GZ2, TREES
from tests.data.published import (
    N,
    csv_of,
    decals_table,
    gz1_table,
    gz_candels_table,
    jpeg,
    kaggle_files,
    parquet_of,
    publish,
)
from tests.data.web.fake_hub import FakeHub
from tests.data.web.fake_kaggle import FakeKaggle
from tests.data.web.faulty_server import Fault, FaultyServer
from tests.data.web.sky_server import SkyServer


@pytest.fixture
def world(monkeypatch, tmp_path, course):
    """All services on 127.0.0.1, and a manifest that knows the checksums of the small files."""
    with FaultyServer() as server:
        manifest = publish(server, tmp_path, course / "data_manifest.yaml")
        monkeypatch.setenv("GALHELPERS_MANIFEST", str(manifest))
        for name in load_manifest().services:
            monkeypatch.setenv(f"GALHELPERS_URL_{name.upper()}", f"{server.url}/{name}")
        monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "data"))
        yield server


def run(capsys, *arguments):
    code = main(["fetch", *arguments])
    streams = capsys.readouterr()
    print(streams.err)  # shown by pytest when the test fails
    return code, streams.out, streams.err


def size_of(file):
    with Image.open(file) as image:
        return image.size


def visible(folder):
    parts = (file.relative_to(folder).parts for file in folder.rglob("*") if file.is_file())
    return {"/".join(part) for part in parts if not any(name.startswith(".") for name in part)}


def test_galaxy_zoo_2_becomes_what_kaggle_published(world, capsys, tmp_path):
    code, out, err = run(capsys, "galaxy_zoo_2", "--all")
    assert (code, err) == (0, "")
    galaxies = load_dataset("galaxy_zoo_2")
    # 12 + 8 + 5 rows of three tables, of which 2 and 1 galaxies are in two.
    assert len(galaxies) == 22
    assert set(galaxies.catalog["id"]) == {str(100 + i) for i in range(22)}
    assert list(galaxies.fractions.columns) == list(GZ2.published_columns)
    assert GZ2.check(galaxies.fractions.to_numpy(), atol=1e-4) == []
    assert galaxies.files[0].name == f"{galaxies.catalog['id'][0]}.jpg"
    assert all(file.is_file() for file in galaxies.files)
    assert ("votes_gz2" in galaxies.tables) == load_manifest().get("galaxy_zoo_2").has_votes
    hart = galaxies.tables["fractions_hart16"]
    assert len(hart) == 22
    assert hart["Class1.1"].notna().sum() == 15
    there = hart["Class1.1"].notna().to_numpy()
    np.testing.assert_allclose(hart[there], galaxies.fractions[there], atol=1e-4)
    record = json.loads((tmp_path / "data/galaxy_zoo_2/source.json").read_text())
    assert {file["name"] for file in record["files"]} >= {"images_gz2.zip", "gz2_hart16.csv.gz"}
    assert all(len(file["sha256"]) == 64 for file in record["files"])
    assert "unverified: " in out
    assert "cite:       Willett" in out
    assert "images have no row in the vote tables" in out


def test_again_nothing_is_downloaded_and_a_half_deleted_folder_is_repaired(
    world, capsys, monkeypatch, tmp_path
):
    assert run(capsys, "galaxy_zoo_2")[0] == 0
    folder = tmp_path / "data" / "galaxy_zoo_2"
    before, asked = visible(folder), len(world.requests)
    for file in sorted((folder / "images").rglob("*.jpg"))[:10]:
        file.unlink()
    (folder / "catalog.parquet").unlink()
    record = json.loads((folder / "source.json").read_text())
    # Of a file that is there, a rounded size (3.3 GB) says nothing about the room that is needed.
    manifest = tmp_path / "manifest.yaml"
    size = load_manifest().get("galaxy_zoo_2").file("images_gz2.zip").bytes
    manifest.write_text(manifest.read_text().replace(f"bytes: {size}\n", "bytes: null\n"))
    assert load_manifest().get("galaxy_zoo_2").file("images_gz2.zip").expected_bytes > 1e9
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 200_000_000))
    assert run(capsys, "galaxy_zoo_2")[0] == 0
    assert len(world.requests) == asked
    assert visible(folder) == before
    assert json.loads((folder / "source.json").read_text())["files"] == record["files"]
    assert len(load_dataset("galaxy_zoo_2")) == 22
    shutil.rmtree(folder / "downloads")
    code, out, _ = run(capsys, "galaxy_zoo_2")
    assert (code, len(world.requests)) == (0, asked)
    assert "Already here; its downloads were deleted." in out


def test_five_classes_from_a_packed_repository(world, capsys):
    code, out, _ = run(capsys, "gz2_five_class")
    assert code == 0
    assert "TERMS:      No licence is given" in out.partition("folder:")[0]
    galaxies = load_dataset("gz2_five_class")
    assert len(galaxies) == N
    assert list(galaxies.class_counts()) == [5, 5, 5, 5, 4]


@pytest.mark.parametrize("name", ["gz_decals", "gz_decals_1_2", "gz_decals_auto", "galaxy_zoo_1"])
def test_tables_without_images(world, capsys, name):
    code, out, err = run(capsys, name)
    assert (code, err) == (0, "")
    assert f"galaxies:   {N}, 0 with a picture" in out
    assert f"galhelpers fetch {name} --cutouts 1000" in out
    galaxies = load_dataset(name)
    entry = load_manifest().get(name)
    tree = TREES[entry.tree]
    assert (f"votes_{tree.name}" in galaxies.tables) == entry.has_votes
    fractions = galaxies.tables[f"fractions_{tree.name}"]
    assert list(fractions.columns) == list(tree.published)
    assert tree.check(fractions.to_numpy(), atol=2e-3) == []
    assert galaxies.catalog[["ra", "dec"]].notna().all(axis=None)
    if name.startswith("gz_decals") and name != "gz_decals_auto":
        votes = galaxies.tables[f"votes_{tree.name}"]
        assert (votes.to_numpy() == decals_table(tree)[list(tree.columns)].to_numpy()).all()


def test_decals_with_all_its_pictures(world, capsys):
    assert run(capsys, "gz_decals", "--all")[0] == 0
    galaxies = load_dataset("gz_decals")
    assert len(galaxies) == N - 2
    assert set(galaxies.problems["reason"]) == {"no image for this galaxy"}
    assert len(galaxies.tables["votes_decals"]) == N - 2
    assert [file.name for file in galaxies.files] == [f"{i}.png" for i in galaxies.catalog["id"]]


def test_pictures_for_a_table_by_cutouts(world, capsys, monkeypatch):
    with SkyServer() as sky:
        monkeypatch.setenv("GALHELPERS_URL_LEGACY_SURVEY", sky.url)
        fast = ("--per-second", "1000")
        code, out, _ = run(capsys, "gz_decals", "--cutouts", "5", *fast)
        assert code == 0
        assert "5 pictures fetched" in out
        few = load_dataset("gz_decals")
        assert len(few) == 5
        assert run(capsys, "gz_decals", "--cutouts", "9", *fast)[0] == 0
        more = load_dataset("gz_decals")
        assert sum(sky.requests.values()) == 9  # the first five are among the nine
    assert set(few.catalog["id"]) < set(more.catalog["id"])
    assert len(more.problems) == N - 9
    assert (more.catalog["class_id"] >= -1).all()


def test_cutouts_for_a_table_of_ones_own(world, capsys, monkeypatch, tmp_path):
    mine = pd.DataFrame({"objid": [1, 2, 3], "RA": [10.0, 20, 30], "DEC": [1.0, 2, 3]})
    mine.assign(petroR90_r=[5.0, 6, 7], note="x").to_csv(tmp_path / "mine.csv", index=False)
    with SkyServer() as sky:
        monkeypatch.setenv("GALHELPERS_URL_SDSS", sky.url)
        sky.fault(20, 2, "html", forever=True)
        code, out, _ = run(capsys, "sdss_cutouts", "--catalog", str(tmp_path / "mine.csv"))
        assert code == 0
    assert "1 could not be had: failures.csv says why." in out
    galaxies = load_dataset("sdss_cutouts")
    assert list(galaxies.catalog["id"]) == ["1", "3"]
    assert list(galaxies.catalog["class_id"]) == [-1, -1]
    failures = pd.read_csv(tmp_path / "data/sdss_cutouts/failures.csv")
    assert list(failures["id"]) == [2]
    code, _, err = run(capsys, "sdss_cutouts")
    assert code == 2
    assert "--catalog FILE" in err
    (tmp_path / "bad.csv").write_text("name,x\n1,2\n")
    code, _, err = run(capsys, "sdss_cutouts", "--catalog", str(tmp_path / "bad.csv"))
    assert code == 1
    assert "should have a column ra" in err
    code, _, err = run(capsys, "sdss_cutouts", "--catalog", str(tmp_path / "none.csv"))
    assert code == 1
    assert "There is no table" in err


def test_cutouts_belong_to_a_place_and_not_to_a_name(world, capsys, monkeypatch, tmp_path):
    table = pd.DataFrame({"id": [1, 2, 3], "ra": [10.0, 20, 30], "dec": [1.0, 2, 3]})
    table = table.assign(petro_r90=5.0, class_id=[4, 0, -1])
    table.to_csv(tmp_path / "a.csv", index=False)
    table.assign(ra=[10.0, 21, 30]).to_csv(tmp_path / "b.csv", index=False)
    with SkyServer() as sky:
        monkeypatch.setenv("GALHELPERS_URL_SDSS", sky.url)
        assert run(capsys, "sdss_cutouts", "--catalog", str(tmp_path / "a.csv"))[0] == 0
        out = run(capsys, "sdss_cutouts", "--catalog", str(tmp_path / "b.csv"))[1]
        assert "1 pictures fetched, 2 were there." in out
        galaxies = load_dataset("sdss_cutouts")
        assert galaxies.files[1].read_bytes() == sky.picture(21, 2, 424)
    assert list(galaxies.catalog["class_name"]) == ["spiral", "completely_round_smooth", ""]
    assert "use it:     galhelpers run --dataset sdss_cutouts\n" in out


def test_what_a_service_sent_before_it_failed_can_be_read(world, capsys, monkeypatch, tmp_path):
    table = pd.DataFrame({"id": range(150), "ra": np.arange(1.0, 151), "dec": 0.0})
    table.assign(petro_r90=5.0).to_csv(tmp_path / "a.csv", index=False)
    with SkyServer() as sky:
        monkeypatch.setenv("GALHELPERS_URL_SDSS", sky.url)
        for ra in table["ra"][5:]:
            sky.fault(ra, 0.0, "html", forever=True)
        code, _, err = run(
            capsys, "sdss_cutouts", "--catalog", str(tmp_path / "a.csv"), "--per-second", "1e9"
        )
    assert code == 1
    assert "does not send pictures" in err
    # Answers that were under way when the service was given up may be lost; what came is there.
    pictures = list((tmp_path / "data/sdss_cutouts/images").glob("*.jpg"))
    assert 1 <= len(pictures) <= 5
    assert len(load_dataset("sdss_cutouts")) == len(pictures)
    monkeypatch.setenv("GALHELPERS_URL_SDSS", "http://127.0.0.1:9")
    few = tmp_path / "few.csv"
    table.assign(petro_r90=5.0, id=table["id"] + 1000).tail(2).to_csv(few, index=False)
    code, _, err = run(capsys, "sdss_cutouts", "--catalog", str(few))
    assert code == 1
    assert "Nothing answers at 127.0.0.1:9" in err


def test_fits_cutouts_have_a_column_of_their_own(world, capsys, monkeypatch, tmp_path):
    pd.DataFrame({"id": ["a"], "ra": [10.0], "dec": [1.0]}).to_csv(tmp_path / "a.csv", index=False)
    with SkyServer() as sky:
        monkeypatch.setenv("GALHELPERS_URL_LEGACY_SURVEY", sky.url)
        assert run(capsys, "legacy_fits", "--catalog", str(tmp_path / "a.csv"))[0] == 0
    catalog = load_dataset("legacy_fits").catalog
    assert list(catalog["fits"]) == ["images/a.fits"]
    assert (tmp_path / "data/legacy_fits/images/a.fits").is_file()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["gz_decals", "--cutouts", "-4"], "Expected --cutouts of 1 or more, got -4."),
        (["gz_decals", "--cutouts", "0"], "Expected --cutouts of 1 or more, got 0."),
        (["gz_decals", "--per-second", "0"], "Expected --per-second above 0, got 0."),
        (["gz_decals", "--config", "tiny"], "gz_decals has no use for --config."),
        (["gz_decals", "--catalog", "a.csv"], "gz_decals has no use for --catalog."),
        (["simulated", "--all"], "simulated has no use for --all."),
        (["hf_gz2", "--n", "5"], "hf_gz2 has no use for --n."),
        (["gz_decal"], "Did you mean gz_decals?"),
        (["candels_experts", "--mosaic", "no.fits"], "There is no file no.fits."),
    ],
)
def test_choices_that_make_no_sense(world, capsys, arguments, expected):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert expected in err


def test_choices_in_python(world):
    with pytest.raises(UserError, match=r"There is no choice 'all'\. Choices: n, seed, "):
        fetch("gz_decals", all=True)


def test_what_came_with_all_stays_without_it(world, capsys, monkeypatch):
    assert run(capsys, "galaxy_zoo_2", "--all")[0] == 0
    asked = len(world.requests)
    monkeypatch.setenv("GALHELPERS_URL_ZENODO", "http://127.0.0.1:9")  # not needed any more
    assert run(capsys, "galaxy_zoo_2")[0] == 0
    assert run(capsys, "galaxy_zoo_2", "--all")[0] == 0
    assert len(world.requests) == asked
    assert "fractions_hart16" in load_dataset("galaxy_zoo_2").tables


def test_published_pictures_come_before_those_of_a_service(world, capsys, monkeypatch):
    with SkyServer() as sky:
        monkeypatch.setenv("GALHELPERS_URL_LEGACY_SURVEY", sky.url)
        assert run(capsys, "gz_decals", "--cutouts", "3", "--per-second", "1e9")[0] == 0
        assert run(capsys, "gz_decals", "--all")[0] == 0
        suffixes = [file.suffix for file in load_dataset("gz_decals").files]
        assert suffixes.count(".png") == N - 2
        # Two galaxies have no published picture; only these are asked for now.
        before = sum(sky.requests.values())
        out = run(capsys, "gz_decals", "--cutouts", "20", "--per-second", "1e9")[1]
        assert sum(sky.requests.values()) - before <= 2
        assert len(load_dataset("gz_decals")) == N
        assert "could not be had" not in out


def test_deleted_downloads_are_fetched_again_when_something_else_is_missing(
    world, capsys, tmp_path
):
    assert run(capsys, "galaxy_zoo_2")[0] == 0
    folder = tmp_path / "data" / "galaxy_zoo_2"
    shutil.rmtree(folder / "downloads")
    next((folder / "images").rglob("*.jpg")).unlink()
    asked = len(world.requests)
    assert run(capsys, "galaxy_zoo_2")[0] == 0
    assert len(world.requests) > asked
    assert len(load_dataset("galaxy_zoo_2")) == 22


def test_a_table_that_broke_off_is_noticed(world, capsys, tmp_path):
    body = csv_of(gz1_table().head(10), compressed=False)
    manifest = tmp_path / "manifest.yaml"
    content = yaml.safe_load(manifest.read_text())
    (entry,) = (e for e in content["datasets"] if e["name"] == "galaxy_zoo_1")
    (file,) = entry["files"]
    del file["checksum"], file["bytes"]
    file["why_no_checksum"] = "none"
    manifest.write_text(yaml.safe_dump(content))
    world.serve("/gz1/GalaxyZoo1_DR_table2.csv.gz", gzip.compress(body), Fault(no_length=True))
    code, out, err = run(capsys, "galaxy_zoo_1")
    assert code == 1
    assert "its length was not announced" in out
    assert f"Expected {N} rows in GalaxyZoo1_DR_table2.csv.gz, found 10." in err
    with pytest.raises(FileNotFoundError, match="galhelpers fetch galaxy_zoo_1"):
        load_dataset("galaxy_zoo_1")


def test_mapping_and_tables_that_do_not_belong_together(world, capsys, tmp_path):
    manifest = tmp_path / "manifest.yaml"
    content = yaml.safe_load(manifest.read_text())
    (entry,) = (e for e in content["datasets"] if e["name"] == "galaxy_zoo_2")
    (file,) = (f for f in entry["files"] if f["name"] == "gz2_filename_mapping.csv")
    other = pd.DataFrame({"objid": range(30), "sample": "original", "asset_id": range(30)})
    body = csv_of(other, compressed=False)
    file |= {"bytes": len(body), "checksum": f"sha256:{hashlib.sha256(body).hexdigest()}"}
    manifest.write_text(yaml.safe_dump(content))
    world.serve("/zenodo/records/3565489/files/gz2_filename_mapping.csv", body)
    code, _, err = run(capsys, "galaxy_zoo_2")
    assert code == 1
    assert "22 of 22 galaxies of the vote tables are not in gz2_filename_mapping.csv" in err


def test_a_few_wrong_rows_are_left_out_and_told_many_are_refused(world, capsys, tmp_path):
    for wrong, expected in ((1, 0), (12, 1)):
        table = pd.concat([decals_table().assign(iauname=lambda t, k=k: t["iauname"] + str(k))
                           for k in range(9)], ignore_index=True)  # fmt: skip
        table.loc[: wrong - 1, "smooth-or-featured_smooth_fraction"] = 1.7
        body = parquet_of(table)
        manifest = tmp_path / "manifest.yaml"
        content = yaml.safe_load(manifest.read_text())
        (entry,) = (e for e in content["datasets"] if e["name"] == "gz_decals")
        entry["n_images"] = len(table)
        digest = hashlib.sha256(body).hexdigest()
        entry["files"][0] |= {"bytes": len(body), "checksum": f"sha256:{digest}"}
        manifest.write_text(yaml.safe_dump(content))
        world.serve("/zenodo/records/4573248/files/gz_decals_volunteers_5.parquet", body)
        code, out, err = run(capsys, "gz_decals")
        assert code == expected
        if wrong == 1:
            assert "1 wrong rows of gz_decals_volunteers_5.parquet were left out: line" in out
        else:
            assert "gz_decals_volunteers_5.parquet" in err


def test_kaggle(world, capsys, monkeypatch, tmp_path):
    slug = "galaxy-zoo-the-galaxy-challenge"
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_USERNAME", "ada")
    monkeypatch.setenv("KAGGLE_KEY", "a-key-of-the-test")
    files = {(slug, name): body for name, body in kaggle_files().items()}
    with FakeKaggle(files=files, users={"ada": "a-key-of-the-test"}) as kaggle:
        monkeypatch.setenv("GALHELPERS_URL_KAGGLE", kaggle.url)
        code, out, err = run(capsys, "kaggle_galaxy_zoo")
        assert code == 1
        assert "rules" in err
        assert err.count("\n") == 1
        assert "a-key-of-the-test" not in out + err
        kaggle.rules.add(slug)
        code, out, err = run(capsys, "kaggle_galaxy_zoo")
        assert (code, err) == (0, "")
    galaxies = load_dataset("kaggle_galaxy_zoo")
    assert len(galaxies) == len(galaxies.fractions) == N
    assert "differs from the copy whose checksum is known" in out
    assert "a-key-of-the-test" not in out


def hub_parquet(columns, n=12, first=0):
    ids = [f"{first + i:05d}" for i in range(n)]
    image = [{"bytes": jpeg(first + i), "path": "0.jpg"} for i in range(n)]
    memory = io.BytesIO()
    pq.write_table(pa.table({"image": image, "id_str": ids} | columns(n)), memory)
    return memory.getvalue()


def gz2_columns(n):
    """Counts by Hugging Face's own names: everybody says smooth, round, nothing odd."""
    answers = {
        "smooth-or-featured": "smooth featured-or-disk artifact",
        "disk-edge-on": "yes no",
        "has-spiral-arms": "yes no",
        "bar": "yes no",
        "bulge-size": "dominant obvious just-noticeable no",
        "something-odd": "no yes",
        "how-rounded": "round in-between cigar",
        "bulge-shape": "round boxy no-bulge",
        "spiral-winding": "tight medium loose",
        "spiral-arm-count": "1 2 3 4 more-than-4 cant-tell",
    }
    asked = ("smooth-or-featured", "something-odd", "how-rounded")
    return {
        f"{question}-gz2_{answer}": np.full(n, 20 if question in asked and number == 0 else 0)
        for question, words in answers.items()
        for number, answer in enumerate(words.split())
    }


def test_hugging_face(world, capsys, monkeypatch):
    files = {
        "tiny/train-00000-of-00001.parquet": hub_parquet(gz2_columns),
        "tiny/test-00000-of-00001.parquet": hub_parquet(gz2_columns, 4, 100),
    }
    with FakeHub() as hub:
        monkeypatch.setenv("GALHELPERS_URL_HUGGING_FACE", hub.url)
        first = hub.commit("mwalmsley/gz2", files)
        code, out, err = run(capsys, "hf_gz2", "--config", "tiny")
        assert (code, err) == (0, "")
        assert "TERMS:      Not for commercial use" in out.partition("folder:")[0]
        assert f"commit:     {first}" in out
        hub.commit("mwalmsley/gz2", files | {"new.txt": b"main moves on"})
        assert f"commit:     {first}" in run(capsys, "hf_gz2", "--config", "tiny")[1]
    galaxies = load_dataset("hf_gz2")
    assert len(galaxies) == 16
    assert galaxies.catalog["split"].value_counts().to_dict() == {"train": 12, "test": 4}
    assert (galaxies.tables["fractions_gz2_short"]["Class7.1"] == 1).all()
    assert ("votes_gz2_short" in galaxies.tables) == load_manifest().get("hf_gz2").has_votes
    assert set(galaxies.catalog["class_name"]) == {"completely_round_smooth"}
    assert galaxies.provenance["revision"] == first
    code, _, err = run(capsys, "hf_gz2", "--config", "small")
    assert code == 2
    assert "--config tiny or default" in err


def test_gz_evo_has_classes(world, capsys, monkeypatch):
    summaries = ["smooth_round", "smooth_cigar", "unbarred_spiral", "edge_on_disk", "barred_spiral"]
    summaries.append("featured_without_bar_or_spiral")
    with FakeHub() as hub:
        monkeypatch.setenv("GALHELPERS_URL_HUGGING_FACE", hub.url)
        body = hub_parquet(lambda n: {"summary": (summaries * n)[:n]})
        hub.commit("mwalmsley/gz_evo", {"tiny/train-00000-of-00001.parquet": body})
        assert run(capsys, "hf_gz_evo")[0] == 0
    galaxies = load_dataset("hf_gz_evo")
    assert list(galaxies.catalog["class_id"][:6]) == [0, 2, 4, 3, 4, -1]
    assert list(galaxies.catalog["published_class"][:6]) == summaries


@pytest.mark.parametrize("name", ["galaxy10_decals", "galaxy10_sdss", "galaxy_mnist"])
def test_arrays_of_images(world, capsys, monkeypatch, name):
    # The layout knows how many galaxies were published; ours are fewer and smaller.
    known = LAYOUTS[name]
    splits = {"train": 16, "test": 8} if known.splits else {}
    releases = {N: "ours", 16: "ours", 8: "ours"}
    small = replace(known, sizes=(16,), releases=releases, counts={}, splits=splits)
    monkeypatch.setitem(LAYOUTS, name, small)
    code, _, err = run(capsys, name)
    assert (code, err) == (0, "")
    galaxies = load_dataset(name)
    assert len(galaxies) == N
    assert {size_of(file) for file in galaxies.files} == {(16, 16)}
    table = galaxies.catalog.set_index("published_class")["class_name"]
    if name == "galaxy10_decals":
        assert set(table["Round Smooth"]) == {"completely_round_smooth"}
        assert set(table["Merging"]) == {""}
        assert galaxies.catalog["dec"].between(-90, 90).all()
    if name == "galaxy_mnist":
        assert galaxies.catalog["split"].value_counts().to_dict() == splits
        assert list(galaxies.class_counts()) == [6, 0, 6, 6, 6]


def test_gz_candels(world, capsys):
    assert run(capsys, "gz_candels")[0] == 0
    galaxies = load_dataset("gz_candels")
    assert ("votes_gz_candels" in galaxies.tables) == load_manifest().get("gz_candels").has_votes
    fractions = galaxies.tables["fractions_gz_candels"]
    assert TREES["gz_candels"].check(fractions.to_numpy(), atol=1e-6) == []
    smooth = [c for c in gz_candels_table() if c.startswith("t00") and c.endswith("smooth_frac")]
    np.testing.assert_allclose(fractions.iloc[:, 0], gz_candels_table()[smooth[0]])


def test_candels_experts_with_stamps(world, capsys, tmp_path):
    assert run(capsys, "candels_experts")[0] == 0
    galaxies = load_dataset("candels_experts")
    shares = galaxies.tables["fractions_candels"]
    assert list(galaxies.catalog["id"]) == ["GDS_deep2_1", "GDS_deep2_2"]
    np.testing.assert_allclose(shares[["p_smooth", "p_features"]], [[1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    # A mosaic around both galaxies, which are 3.6 arcsec (60 pixels) apart.
    sky = sky_of(53.12, -27.8, 24.0, 400)
    image = np.random.default_rng(0).normal(0, 0.003, (400, 400)).astype(np.float32)
    fits.PrimaryHDU(image, sky.to_header()).writeto(tmp_path / "mosaic.fits")
    code, _, err = run(capsys, "candels_experts", "--mosaic", str(tmp_path / "mosaic.fits"))
    assert (code, err) == (0, "")
    galaxies = load_dataset("candels_experts")
    assert {size_of(file) for file in galaxies.files} == {(84, 84)}
    assert (tmp_path / "data/candels_experts/fits/GDS_deep2_1.fits").is_file()
    code, _, err = run(capsys, "candels_experts", "--mosaic", str(tmp_path / "none.fits"))
    assert code == 2
    assert "There is no file" in err


def test_a_notebook_on_a_table_without_pictures_says_how_to_get_some(world, capsys, tmp_path):
    assert run(capsys, "gz_decals")[0] == 0
    lesson = Lesson("01_data", "quick", "gz_decals", "", 0, str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="galhelpers fetch gz_decals --cutouts 2000"):
        lesson.load()


def test_a_wrong_file_is_not_used_and_the_message_says_what_to_do(world, capsys, tmp_path):
    path = "/zenodo/records/4573248/files/gz_decals_volunteers_5.parquet"
    body = decals_table().head(3).to_csv().encode()
    world.serve(path, b"PAR1" + body + b"PAR1")
    code, _, err = run(capsys, "gz_decals")
    assert code == 1
    assert "gz_decals_volunteers_5.parquet" in err
    assert "data_manifest.yaml" in err
    assert err.count("\n") == 1
    assert visible(tmp_path / "data") == set()
    with pytest.raises(FileNotFoundError):
        load_dataset("gz_decals")


def test_zenodo_is_asked_for_checksums_that_nobody_noted(world, capsys, tmp_path, monkeypatch):
    manifest = tmp_path / "manifest.yaml"
    path = "records/4573248/files/gz_decals_volunteers_5.parquet"
    content = manifest.read_text()
    entry = load_manifest().get("gz_decals").file("gz_decals_volunteers_5.parquet")
    content = content.replace(f"checksum: {entry.checksum}", "why_no_checksum: none noted")
    manifest.write_text(content.replace(f"bytes: {entry.bytes}\n", "bytes: null\n"))
    listed = {"files": [{"key": entry.name, "size": entry.bytes, "checksum": "md5:" + "0" * 32}]}
    world.serve("/zenodo/api/records/4573248", json.dumps(listed).encode(), kind="application/json")
    code, _, err = run(capsys, "gz_decals")
    assert code == 1
    assert "0" * 32 in err
    assert path.rpartition("/")[2] in err


def test_a_classrooms_mirror_comes_first(world, capsys, monkeypatch, tmp_path):
    name = "gz_decals_volunteers_5.parquet"
    body, _, kind = world.next_answer(f"/zenodo/records/4573248/files/{name}", {})
    monkeypatch.setenv("GALHELPERS_MIRROR", f"{world.url}/class/")
    assert "the mirror" in run(capsys, "gz_decals")[1]  # it does not have it yet
    shutil.rmtree(tmp_path / "data")
    world.serve(f"/class/gz_decals/{name}", body, kind=kind)
    world.requests.clear()
    assert run(capsys, "gz_decals")[0] == 0
    assert {request.path for request in world.requests} == {f"/class/gz_decals/{name}"}
    record = json.loads((tmp_path / "data/gz_decals/source.json").read_text())
    assert record["files"][0]["from"] == f"{world.url}/class/gz_decals/{name}"
    monkeypatch.setenv("GALHELPERS_MIRROR", "classroom:8000/data")
    code, _, err = run(capsys, "gz_decals")
    assert code == 1
    assert "GALHELPERS_MIRROR should hold an address that begins with http://" in err


@pytest.mark.parametrize("name", ["gz2_votes", "gz1_sdss", "decals_rings"])
def test_a_folder_of_ones_own_is_not_fetched_but_explained(world, capsys, name):
    code, _, err = run(capsys, name)
    assert code == 2
    assert f"{name} can be got by hand." in err
    assert "labels.csv" in err
    assert f"data/{name}" in err
    spec = load_manifest().get(name).labels
    for word in (spec.identifier, spec.file, spec.label, *spec.names) if spec else ():
        assert word in err
    assert not world.requests


def test_no_network_says_so_in_one_paragraph(world, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GALHELPERS_URL_ZENODO", "http://zenodo.invalid")
    code, _, err = run(capsys, "gz_decals")
    assert code == 1
    assert "zenodo.invalid could not be looked up" in err
    assert err.count("\n") == 1
