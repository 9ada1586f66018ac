"""`galhelpers fetch NAME` for every data set, from servers on 127.0.0.1 that speak as real ones.

The files are small and drawn here. Formats, the clients of Kaggle and Hugging Face, and the whole
way from a request to a data set that a notebook reads are those of the course.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from galhelpers.course.cli import main
from galhelpers.course.fetch import fetch
from galhelpers.course.lesson import Lesson
from galhelpers.data import convert, downloads
from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.dataset import load_dataset
from galhelpers.data.manifest import load_manifest
from galhelpers.paths import UserError
from galhelpers.trees import GZ2, TREES
from tests.data.faulty_server import Fault
from tests.data.published import (
    N,
    csv_of,
    decals_table,
    gz1_table,
    kaggle_files,
    parquet_of,
    zipped,
)
from tests.data.stand_ins import KEY, SLUG, stand_ins

DECALS_FILE = "/zenodo.org/records/4573248/files/gz_decals_volunteers_5.parquet"


@pytest.fixture
def world(monkeypatch, tmp_path, course):
    monkeypatch.setattr(downloads, "RETRY", downloads.RETRY.new(backoff_factor=0.001))
    with stand_ins(tmp_path, course / "data_manifest.yaml") as world:
        yield world


def run(capsys, *arguments):
    code = main(["fetch", *arguments])
    streams = capsys.readouterr()
    print(streams.err)  # shown by pytest when the test fails
    return code, streams.out, streams.err


def change_file(world, dataset, name, **changes):
    """Change what the manifest says of a file; None takes a field away."""
    content = yaml.safe_load(world.manifest.read_text())
    (entry,) = (entry for entry in content["datasets"] if entry["name"] == dataset)
    (file,) = (file for file in entry["files"] if file["name"] == name)
    for field, value in changes.items():
        file.pop(field, None)
        file |= {} if value is None else {field: value}
    world.manifest.write_text(yaml.safe_dump(content, sort_keys=False))


def visible(folder):
    parts = (file.relative_to(folder).parts for file in folder.rglob("*") if file.is_file())
    return {"/".join(part) for part in parts if not any(name.startswith(".") for name in part)}


# Each data set, more options, and how many galaxies and pictures a notebook then reads.
FETCHED = [
    ("gz2_five_class", [], N, N),
    ("kaggle_galaxy_zoo", [], N, N),
    ("galaxy_zoo_2", [], 22, 22),  # 12 + 8 + 5 rows, of which 2 and 1 galaxies are in two tables
    ("galaxy_zoo_1", [], N, 0),
    ("gz_decals", [], N, 0),
    ("gz_decals", ["--all"], N - 2, N - 2),
    ("galaxy10_decals", [], N, N),
    ("candels_experts", [], 2, 0),
    ("hf_gz2", ["--config", "tiny"], 16, 16),
    ("euclid_q1", [], N, 0),
    ("euclid_q1", ["--all"], N - 1, N - 1),
]


@pytest.mark.parametrize(("name", "options", "galaxies", "with_picture"), FETCHED)
def test_terms_come_first_then_the_data_then_how_to_cite_them(
    world, capsys, tmp_path, name, options, galaxies, with_picture
):
    code, out, err = run(capsys, name, *options)
    assert code == 0
    entry, read = load_manifest().get(name), load_dataset(name)
    assert (len(read), int((read.catalog["file"] != "").sum())) == (galaxies, with_picture)
    for file in read.files if with_picture else []:
        Image.open(file).verify()
    before, _, after = out.partition("folder:")
    for words in filter(None, (entry.licence, entry.terms, entry.unverified)):
        assert words in before
    assert all(work in after for work in entry.citation)
    assert f"{galaxies:,}, {with_picture:,} with a picture" in after
    assert KEY not in out + err
    if entry.tree and name != "kaggle_galaxy_zoo" and entry.has_fractions:
        tree = TREES[entry.tree]
        shares = read.fractions if tree is GZ2 else read.tables[f"fractions_{tree.name}"]
        assert list(shares.columns) == list(tree.published)
        assert tree.check(shares.to_numpy(), atol=2e-3) == []
        assert (f"votes_{tree.name}" in read.tables) == entry.has_votes
    record = json.loads((tmp_path / "data" / name / "source.json").read_text())
    assert record["citation"] == list(entry.citation)
    # Again: nothing is downloaded, nothing is made anew.
    asked = len(world.files.requests), len(world.hub.seen), len(world.kaggle.seen)
    assert "Already here" in run(capsys, name, *options)[1]
    assert asked == (len(world.files.requests), len(world.hub.seen), len(world.kaggle.seen))


def test_galaxy_zoo_2_becomes_what_kaggle_published(world, capsys):
    out = run(capsys, "galaxy_zoo_2", "--all")[1]
    galaxies = load_dataset("galaxy_zoo_2")
    assert set(galaxies.catalog["id"]) == {str(100 + i) for i in range(22)}
    assert list(galaxies.fractions.columns) == list(GZ2.published_columns)
    assert galaxies.files[0].name == f"{galaxies.catalog['id'][0]}.jpg"
    hart = galaxies.tables["fractions_hart16"]
    there = hart["Class1.1"].notna().to_numpy()
    assert there.sum() == 15
    np.testing.assert_allclose(hart[there], galaxies.fractions[there], atol=1e-4)
    assert "3 images have no row in the vote tables" in out


def test_published_numbers_are_kept(world, capsys):
    run(capsys, "gz_decals")
    run(capsys, "euclid_q1")
    run(capsys, "galaxy10_decals")
    run(capsys, "hf_gz2")
    decals, euclid = load_dataset("gz_decals"), load_dataset("euclid_q1")
    tree = TREES["decals"]
    votes = decals_table()[list(tree.columns)].to_numpy()
    np.testing.assert_array_equal(decals.tables["votes_decals"], votes)
    # Whoever was asked: a network answers all questions, and the tree weighs the answers.
    np.testing.assert_allclose(
        euclid.tables["fractions_decals"]["smooth-or-featured_smooth"],
        votes[:, 0] / votes[:, :3].sum(axis=1),
    )
    assert euclid.catalog["id"][0] == "102018667_NEG585598010511040774"
    table = load_dataset("galaxy10_decals").catalog.set_index("label_name")["class_name"]
    assert set(table["Round Smooth"]) == {FIVE_CLASSES[0]}
    assert set(table["Merging"]) == {""}
    hub = load_dataset("hf_gz2")
    assert hub.catalog["split"].value_counts().to_dict() == {"train": 12, "test": 4}
    assert set(hub.catalog["class_name"]) == {FIVE_CLASSES[0]}


def test_a_half_deleted_folder_is_repaired(world, capsys, tmp_path):
    run(capsys, "galaxy_zoo_2")
    folder = tmp_path / "data" / "galaxy_zoo_2"
    before, asked = visible(folder), len(world.files.requests)
    for file in sorted((folder / "images").rglob("*.jpg"))[:10]:
        file.unlink()
    (folder / "catalog.parquet").unlink()
    assert run(capsys, "galaxy_zoo_2")[0] == 0
    assert len(world.files.requests) == asked
    assert visible(folder) == before
    shutil.rmtree(folder / "downloads")
    next((folder / "images").rglob("*.jpg")).unlink()
    assert run(capsys, "galaxy_zoo_2")[0] == 0
    assert len(world.files.requests) > asked
    assert len(load_dataset("galaxy_zoo_2")) == 22


@pytest.mark.parametrize(
    ("fault", "fact"),
    [
        (Fault(status=200, body=b"<html>log in"), "web page"),
        (Fault(content=parquet_of(decals_table())[:-8] + b"12345678"), "sha256"),
        (Fault(content=parquet_of(decals_table().head(3))), "bytes"),
        (Fault(status=404), "404"),
    ],
)
def test_a_wrong_file_never_reaches_a_reader(world, capsys, tmp_path, fault, fact):
    world.files.serve(DECALS_FILE, parquet_of(decals_table()), *[fault] * 9)
    code, _, err = run(capsys, "gz_decals")
    assert code == 1
    assert fact in err
    assert "gz_decals_volunteers_5.parquet" in err
    assert visible(tmp_path / "data") == set()
    with pytest.raises(FileNotFoundError, match="galhelpers fetch gz_decals"):
        load_dataset("gz_decals")


def test_a_table_that_broke_off_is_noticed(world, capsys):
    body = csv_of(gz1_table().head(10))
    name = "GalaxyZoo1_DR_table2.csv.gz"
    change_file(world, "galaxy_zoo_1", name, checksum=None, bytes=None, why_no_checksum="none")
    world.files.serve(f"/galaxy-zoo-1.s3.amazonaws.com/{name}", body, Fault(no_length=True))
    code, _, err = run(capsys, "galaxy_zoo_1")
    assert code == 1
    assert f"Expected {N} rows in {name}, found 10." in err


def test_mapping_and_tables_that_do_not_belong_together(world, capsys):
    name = "gz2_filename_mapping.csv"
    other = pd.DataFrame({"objid": range(30), "sample": "original", "asset_id": range(30)})
    body = csv_of(other, compressed=False)
    digest = hashlib.sha256(body).hexdigest()
    change_file(world, "galaxy_zoo_2", name, bytes=len(body), checksum=f"sha256:{digest}")
    world.files.serve(f"/zenodo.org/records/3565489/files/{name}", body)
    code, _, err = run(capsys, "galaxy_zoo_2")
    assert code == 1
    assert f"22 of 22 galaxies of the vote tables are not in {name}" in err


def test_zenodo_is_asked_for_checksums_that_nobody_noted(world, capsys):
    name = "morphology_catalogue.parquet"
    change_file(world, "euclid_q1", name, checksum=None, bytes=None, why_no_checksum="none")
    listed = {"files": [{"key": name, "size": 7, "checksum": "md5:" + "0" * 32}]}
    address = "/zenodo.org/api/records/15106473"
    world.files.serve(address, json.dumps(listed).encode(), kind="application/json")
    code, _, err = run(capsys, "euclid_q1")
    assert code == 1
    assert "at most 7 bytes" in err
    world.files.serve(address, b"<html>no list</html>")
    code, _, err = run(capsys, "euclid_q1")
    assert code == 1
    assert f"{address} should list files" in err


def test_kaggle_resumes_and_says_what_is_missing(world, capsys, monkeypatch):
    world.kaggle.rules.clear()
    code, out, err = run(capsys, "kaggle_galaxy_zoo")
    assert (code, err.count("\n")) == (1, 1)
    assert f"https://www.kaggle.com/c/{SLUG}/rules" in err
    world.kaggle.rules.add(SLUG)
    monkeypatch.setattr("kagglehub.clients.CHUNK_SIZE", 1000)  # our archives are small
    world.kaggle.storage_script.append(("drop", 5000))
    world.kaggle.api_script.append(503)
    code, out, err = run(capsys, "kaggle_galaxy_zoo")
    assert code == 0
    assert world.kaggle.ranges()[1:3] == [None, "bytes=5000-"]
    assert KEY not in out + err
    monkeypatch.setenv("KAGGLE_KEY", "wrong")
    monkeypatch.setenv("GALHELPERS_DATA", str(world.manifest.parent / "other"))
    code, out, err = run(capsys, "kaggle_galaxy_zoo")
    assert code == 1
    assert "does not know this login" in err
    assert "wrong" not in out + err
    monkeypatch.delenv("KAGGLE_KEY")
    code, _, err = run(capsys, "kaggle_galaxy_zoo")
    assert code == 1
    assert "~/.kaggle/kaggle.json" in err


def test_a_page_instead_of_kaggles_archive_is_thrown_away(world, capsys):
    world.kaggle.storage_script.append(("body", b"<html>log in</html>"))
    code, _, err = run(capsys, "kaggle_galaxy_zoo")
    assert code == 1
    assert "web page" in err
    assert run(capsys, "kaggle_galaxy_zoo")[0] == 0


def test_the_hub_gives_the_commit_that_was_fetched_first(world, capsys):
    first = world.hub.refs["mwalmsley/gz2", "main"]
    assert first in run(capsys, "hf_gz2")[1]
    files = world.hub.commits["mwalmsley/gz2", first]
    second = world.hub.commit("mwalmsley/gz2", files | {"new.txt": b"main moves on"})
    folder = world.manifest.parent / "data" / "hf_gz2"
    (folder / "catalog.parquet").unlink()
    assert first in run(capsys, "hf_gz2")[1]
    assert second in run(capsys, "hf_gz2", "--revision", second)[1]
    assert load_dataset("hf_gz2").provenance["revision"] == second
    code, _, err = run(capsys, "hf_gz2", "--config", "small")
    assert code == 2
    assert "tiny or default" in err


@pytest.mark.parametrize("repo", ["mwalmsley/gz2", "mwalmsley/gated"])
def test_the_hub_wants_a_login(world, capsys, monkeypatch, repo):
    world.hub.token = "right"
    monkeypatch.setenv("HF_TOKEN", "a-wrong-one")
    content = world.manifest.read_text().replace("repo: mwalmsley/gz2", f"repo: {repo}")
    world.manifest.write_text(content)
    code, out, err = run(capsys, "hf_gz2")
    assert code == 1
    assert f"https://huggingface.co/datasets/{repo}" in err
    assert "hf auth login" in err
    assert "a-wrong-one" not in out + err


def test_no_network_says_so_in_one_paragraph(world, capsys, monkeypatch):
    text = world.manifest.read_text().replace(world.files.url, "http://zenodo.invalid")
    world.manifest.write_text(text)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name, fact in (("gz_decals", "zenodo.invalid could not be looked up"),
                       ("hf_gz2", "Hugging Face")):  # fmt: skip
        code, _, err = run(capsys, name)
        assert code == 1
        assert fact in err
        assert err.count("\n") == 1


def test_a_classrooms_mirror_comes_first(world, capsys, monkeypatch, tmp_path):
    name = "gz_decals_volunteers_5.parquet"
    monkeypatch.setenv("GALHELPERS_MIRROR", f"{world.files.url}/class/")
    assert run(capsys, "gz_decals")[0] == 0  # the mirror does not have it yet
    shutil.rmtree(tmp_path / "data")
    world.files.serve(f"/class/gz_decals/{name}", parquet_of(decals_table()))
    world.files.requests.clear()
    assert run(capsys, "gz_decals")[0] == 0
    assert {request.path for request in world.files.requests} == {f"/class/gz_decals/{name}"}
    monkeypatch.setenv("GALHELPERS_MIRROR", "classroom:8000/data")
    shutil.rmtree(tmp_path / "data")
    code, _, err = run(capsys, "gz_decals")
    assert code == 1
    assert "GALHELPERS_MIRROR" in err


def test_pictures_for_a_table_by_cutouts(world, capsys, tmp_path):
    fast = ("--per-second", "1000")
    code, out, _ = run(capsys, "gz_decals", "--cutouts", "5", *fast)
    assert code == 0
    assert "5 pictures fetched" in out
    few = load_dataset("gz_decals")
    assert len(few) == 5
    assert run(capsys, "gz_decals", "--cutouts", "9", *fast)[0] == 0
    more = load_dataset("gz_decals")
    assert sum(world.sky.requests.values()) == 9  # the first five are among the nine
    assert set(few.catalog["id"]) < set(more.catalog["id"])
    assert len(more.tables["votes_decals"]) == 9
    # Published pictures count first; only galaxies without one are asked for then.
    assert run(capsys, "gz_decals", "--all")[0] == 0
    assert [file.suffix for file in load_dataset("gz_decals").files].count(".png") == N - 2


def test_where_no_picture_could_be_had_the_exit_status_tells(world, capsys, tmp_path):
    pd.DataFrame({"id": [2], "ra": [20.0], "dec": [2.0]}).to_csv(tmp_path / "mine.csv", index=False)
    world.sky.fault(20, 2, "404 footprint", forever=True)
    arguments = ["--catalog", str(tmp_path / "mine.csv"), "--per-second", "1000"]
    code, _, err = run(capsys, "sdss_cutouts", *arguments)
    assert code == 1
    assert "None of 1 pictures" in err
    assert "failures.csv" in err


def test_cutouts_for_a_table_of_ones_own(world, capsys, tmp_path):
    mine = pd.DataFrame({"objid": [1, 2, 3], "RA": [10.0, 20, 30], "DEC": [1.0, 2, 3]})
    mine = mine.assign(petroR90_r=[5.0, 6, 7], class_id=[4, 0, -1])
    mine.to_csv(tmp_path / "mine.csv", index=False)
    world.sky.fault(20, 2, "html", forever=True)
    arguments = ["--catalog", str(tmp_path / "mine.csv"), "--per-second", "1000"]
    code, out, _ = run(capsys, "sdss_cutouts", *arguments)
    assert code == 0
    assert "1 could not be had" in out
    galaxies = load_dataset("sdss_cutouts")
    assert list(galaxies.catalog["id"]) == ["1", "3"]
    assert list(galaxies.catalog["class_name"]) == ["spiral", ""]
    assert list(pd.read_csv(tmp_path / "data/sdss_cutouts/failures.csv")["id"]) == [2]
    assert len(galaxies.problems) == 1
    assert run(capsys, "legacy_cutouts", *arguments)[0] == 0
    code, _, err = run(capsys, "sdss_cutouts")
    assert code == 2
    assert "--catalog FILE" in err


def test_a_second_table_never_gets_pictures_of_the_first(world, capsys, tmp_path, monkeypatch):
    def ask(ids, ra):
        table = pd.DataFrame({"id": ids, "ra": ra, "dec": 1.0, "petro_r90": 5.0})
        table.to_csv(tmp_path / "mine.csv", index=False)
        catalog = ["--catalog", str(tmp_path / "mine.csv")]
        return run(capsys, "sdss_cutouts", *catalog, "--per-second", "1000")

    assert ask(["1", "2"], [10.0, 20.0])[0] == 0
    # Refused as a whole: the first table stays, and stays complete.
    assert ask(["1", "NGC 2"], [30.0, 40.0])[0] == 1
    galaxies = load_dataset("sdss_cutouts")
    assert list(galaxies.catalog["id"]) == ["1", "2"]
    assert list(galaxies.catalog["ra"]) == [10, 20]
    # A process that is killed while it asks never comes to writing the catalog.
    with monkeypatch.context() as patch:
        patch.setattr(convert, "write_tables", lambda *_: None)
        ask(["1", "2"], [30.0, 40.0])
    with pytest.raises(FileNotFoundError, match="incomplete"):
        load_dataset("sdss_cutouts")
    code, out, _ = ask(["1", "2"], [30.0, 40.0])
    assert code == 0
    assert "2 were there" in out
    assert list(load_dataset("sdss_cutouts").catalog["ra"]) == [30, 40]


@pytest.mark.parametrize("name", ["gz2_votes", "gz1_sdss", "decals_rings"])
def test_a_folder_of_ones_own_is_not_fetched_but_explained(world, capsys, name):
    code, _, err = run(capsys, name)
    assert code == 2
    for words in ("by hand", "labels.csv", f"data/{name}"):
        assert words in err
    spec = load_manifest().get(name).labels
    for word in (spec.identifier, spec.file, spec.label, *spec.names) if spec else ():
        assert word in err
    assert not world.files.requests


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        (["galaxy_zoo_9"], "galaxy_zoo_9"),
        (["gz_decals", "--config", "tiny"], "--config"),
        (["simulated", "--cutouts", "3"], "--cutouts"),
        (["gz_decals", "--cutouts", "0"], "--cutouts of 1 or more, got 0"),
        (["sdss_cutouts", "--per-second", "0"], "--per-second above 0, got 0"),
        (["simulated", "--telescope", "jwst"], "jwst"),
    ],
)
def test_what_cannot_be_is_refused(world, capsys, arguments, fact):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert fact in err


def test_fetch_from_a_notebook(world, capsys, tmp_path):
    with pytest.raises(UserError, match="cutout"):
        fetch("gz_decals", cutout=3)
    fetch("gz_decals", progress=False)
    lesson = Lesson("01_votes", "quick", "gz_decals", "", 0, str(tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="galhelpers fetch gz_decals --cutouts 2000"):
        lesson.load()


def test_the_simulated_survey_is_made_and_cited(world, capsys, tmp_path):
    code, out, _ = run(capsys, "simulated", "--n", "3", "--size", "32", "--seed", "5")
    assert code == 0
    assert "Willett" in out
    assert len(visible(tmp_path / "data" / "simulated")) >= 10
    folder = next((tmp_path / "data" / "simulated").iterdir())
    picture = folder / "images_training_rev1" / "100002.jpg"
    picture.write_bytes(picture.read_bytes()[:-1] + b"\0")
    code, out, _ = run(capsys, "simulated", "--n", "3", "--size", "32", "--seed", "5")
    assert code == 0
    assert "1 of 10 files were missing or damaged and have been made again" in out
    assert "100002.jpg" in out


# ---- what a user has brought, and what a computer lacks


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("place", [".", "kaggle_galaxy_zoo"])
@pytest.mark.parametrize("suffix", [".zip", " (1).zip", ".ZIP"])
def test_archives_that_a_browser_brought_need_no_login(
    world, capsys, tmp_path, place, whole, suffix
):
    folder = tmp_path / "data" / place
    folder.mkdir(parents=True)
    files = kaggle_files()
    if whole:
        (folder / f"{SLUG}.zip").write_bytes(zipped({f"all/{name}": files[name] for name in files}))
    else:
        for name, content in files.items():
            (folder / name.replace(".zip", suffix)).write_bytes(content)
    with pytest.raises(FileNotFoundError, match="galhelpers fetch kaggle_galaxy_zoo"):
        load_dataset("kaggle_galaxy_zoo")
    code, _, err = run(capsys, "kaggle_galaxy_zoo")
    assert (code, err) == (0, "")
    assert len(load_dataset("kaggle_galaxy_zoo")) == N
    assert not world.kaggle.seen


def test_a_damaged_archive_that_a_browser_brought_is_named_and_stays(world, capsys, tmp_path):
    archive = tmp_path / "data" / "kaggle_galaxy_zoo" / "images_training_rev1.zip"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"<html>log in")
    code, _, err = run(capsys, "kaggle_galaxy_zoo")
    assert code == 1
    assert "images_training_rev1.zip" in err
    assert err.count("\n") == 1
    assert archive.read_bytes() == b"<html>log in"


@pytest.mark.parametrize("fault", [Fault(status=404), Fault(status=200, body=b"<html>"), Fault()])
def test_a_mirrors_password_is_never_shown(world, capsys, monkeypatch, tmp_path, fault):
    address = world.files.url.replace("//", "//teacher:mirror/secret@")
    monkeypatch.setenv("GALHELPERS_MIRROR", address)
    world.files.serve("/gz_decals/gz_decals_volunteers_5.parquet", b"PAR1 another file", fault)
    world.files.serve(DECALS_FILE, b"", Fault(status=404))
    _, out, err = run(capsys, "gz_decals")
    assert "secret" not in out + err
    assert "teacher" not in out + err
    kept = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert not any(b"secret" in file.read_bytes() for file in kept)


def test_a_length_given_twice_is_no_fault_of_the_login(world, capsys, monkeypatch):
    def twice(*arguments):
        raise ValueError("invalid literal for int() with base 10: '5, 5'")

    monkeypatch.setattr("kagglehub.competition_download", twice)
    code, _, err = run(capsys, "kaggle_galaxy_zoo")
    assert code == 1
    assert "Kaggle's answer for images_training_rev1.zip" in err
    assert "credential" not in err


def test_without_a_login_kaggle_is_not_asked(world, capsys, monkeypatch):
    for name in ("KAGGLE_KEY", "KAGGLE_USERNAME"):
        monkeypatch.delenv(name)
    code, _, err = run(capsys, "kaggle_galaxy_zoo")
    assert code == 1
    assert "KAGGLE_API_TOKEN" in err
    assert err.count("\n") == 1
    assert not world.kaggle.seen


def test_two_fetches_of_one_data_set_at_once_bring_it_once(world):
    body = parquet_of(decals_table())
    world.files.serve(DECALS_FILE, body, Fault(hold_after=len(body) // 2))
    command = [sys.executable, "-m", "galhelpers", "fetch", "gz_decals"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    late = time.monotonic() + 60
    while not world.files.requests and time.monotonic() < late:
        time.sleep(0.05)
    time.sleep(0.5)
    world.files.release.set()
    for process in both:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert [request.path for request in world.files.requests] == [DECALS_FILE]
    assert len(load_dataset("gz_decals")) == N


@pytest.mark.parametrize("name", ["source.json", "catalog.parquet", "failures.csv", "pictures.csv"])
@pytest.mark.parametrize("content", [b"[1, 2]", b'"' * 200_000], ids=["list", "quotes"])
def test_a_damaged_small_file_is_made_again(world, capsys, tmp_path, name, content):
    mine = pd.DataFrame({"id": ["1", "2"], "ra": [10.0, 20], "dec": [1.0, 2], "petro_r90": 5.0})
    mine.to_csv(tmp_path / "mine.csv", index=False)
    command = ["sdss_cutouts", "--catalog", str(tmp_path / "mine.csv"), "--per-second", "1000"]
    assert run(capsys, *command)[0] == 0
    before = load_dataset("sdss_cutouts")
    (tmp_path / "data" / "sdss_cutouts" / name).write_bytes(content)
    code, _, err = run(capsys, *command)
    assert (code, err) == (0, "")
    pd.testing.assert_frame_equal(load_dataset("sdss_cutouts").catalog, before.catalog)
    assert load_dataset("sdss_cutouts").problems.empty
