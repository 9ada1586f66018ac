"""The simulated survey on disk: made once, whole or not at all, the same whoever makes it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galhelpers.data import simulated
from galhelpers.data.downloads import FetchError
from galhelpers.data.readers import IMAGE_FOLDER, TABLE
from galhelpers.data.records import read_record
from galhelpers.survey import SURVEY_VERSION, TELESCOPES, sample_galaxies
from galhelpers.trees import DECALS, GZ2

SMALL = {"n": 20, "seed": 2, "size": 32}
SURVEY = simulated.Survey(**SMALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A survey that nothing has touched; do not change its files."""
    root = tmp_path_factory.mktemp("whole")
    return root, simulated.load_simulated(root, **SMALL)


def content(folder):
    """All that the survey consists of; the index holds times, which differ."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name[0] != "." and file.name != simulated.INDEX
    }


def image_size(path):
    with Image.open(path) as image:
        return image.size


def test_it_is_made_once_and_read_again(tmp_path, monkeypatch):
    galaxies = simulated.load_simulated(tmp_path, 6, seed=1)
    assert len(galaxies) == 6
    assert galaxies.fractions.shape == (6, 37)
    assert {"ra", "dec", "class_id"} <= set(galaxies.catalog)
    assert {"truth", "votes", "sdss", "decals"} <= set(galaxies.tables)
    assert image_size(galaxies.files[0]) == (424, 424)
    monkeypatch.setattr(simulated, "_make", None)  # to make anything a second time would fail
    again = simulated.load_simulated(tmp_path, 6, seed=1)
    pd.testing.assert_frame_equal(again.catalog, galaxies.catalog)
    assert galaxies.files[0].parents[1].name == f"v{SURVEY_VERSION}-n6-seed1"


def test_every_table_belongs_to_every_galaxy(whole):
    _, galaxies = whole
    ids = galaxies.catalog["id"].astype(int).to_numpy()
    for name in ("truth", "votes", "probabilities_gz2", "votes_galaxy_zoo_1"):
        assert np.array_equal(galaxies.tables[name]["GalaxyID"], ids), name
    votes = galaxies.tables["votes"].set_index("GalaxyID")
    assert list(votes) == list(GZ2.columns)
    shares = votes.to_numpy() / votes.iloc[:, :3].sum(axis=1).to_numpy()[:, None]
    np.testing.assert_allclose(shares, galaxies.fractions, atol=1e-9)
    assert (galaxies.tables["votes_galaxy_zoo_1"].iloc[:, 1:].sum(axis=1) > 0).all()
    truth = sample_galaxies(20, seed=2)
    assert np.array_equal(galaxies.tables["truth"]["kind"], truth["kind"])


@pytest.mark.parametrize(("telescope", "tree"), [("sdss", GZ2), ("des", DECALS)])
def test_probabilities_of_each_question_sum_to_one(tmp_path, telescope, tree):
    tables = simulated.load_simulated(tmp_path, 8, 3, telescope, 32).tables
    p = tables[f"probabilities_{tree.name}"].drop(columns="GalaxyID")
    assert list(p) == list(tree.columns)
    for question in tree.questions:
        np.testing.assert_allclose(p[list(question.columns)].sum(axis=1), 1, atol=5e-6)


@pytest.mark.parametrize("telescope", ["decals", "des"])
def test_the_decals_questions_are_asked_of_their_own_telescope(tmp_path, telescope):
    galaxies = simulated.load_simulated(tmp_path, 8, 3, telescope, 32)
    votes = galaxies.tables["votes_decals"].drop(columns="GalaxyID")
    assert list(votes) == list(DECALS.columns)
    assert votes.shape == (8, 34)
    assert not DECALS.check(votes.to_numpy() / votes.iloc[:, :3].sum(axis=1).to_numpy()[:, None])
    assert telescope in galaxies.tables
    assert set(galaxies.tables[telescope].columns) == {"id", "ra", "dec"}


def test_hst_sees_distant_galaxies_and_keeps_fits_stamps(tmp_path):
    galaxies = simulated.load_simulated(tmp_path, 8, 3, "hst", 64)
    truth = galaxies.tables["truth"]
    assert truth["redshift"].between(*simulated.DISTANT).all()
    assert (truth["petro_r90"] < sample_galaxies(8, seed=3)["petro_r90"]).all()
    experts = galaxies.tables["fractions_candels"].drop(columns="GalaxyID")
    assert experts.shape == (8, 5)
    assert experts.to_numpy().min() >= 0
    assert experts.to_numpy().max() <= 1
    picture = np.asarray(Image.open(galaxies.files[0]).convert("RGB"), dtype=int)
    assert np.abs(picture[..., 0] - picture[..., 2]).max() <= 2  # grey
    for i in (0, 5):
        file = galaxies.files[i].parents[1] / simulated.FITS_FOLDER / f"{100_001 + i}.fits"
        with fits.open(file) as stamp:
            assert [hdu.name for hdu in stamp] == ["PRIMARY", "H"]
            image, header = stamp["H"].data, {**stamp[0].header, **stamp["H"].header}
        assert image.shape == (84, 84)
        assert header["PIXSCALE"] == pytest.approx(0.06)
        assert header["OBJECT"] == str(truth["id"][i])
        middle = WCS(header).pixel_to_world(41.5, 41.5)
        assert middle.ra.deg == pytest.approx(truth["ra"][i], abs=1e-6)
        # Sky noise is there, and as deep as the survey.
        rms = np.median(np.abs(image - np.median(image))) * 1.4826
        assert 0.6 < rms / TELESCOPES["hst"].sky_noise[0] < 2.5


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "n5-seed1"),
        ({"telescope": "decals"}, "n5-seed1-decals"),
        ({"size": 128}, "n5-seed1-128px"),
        ({"balanced": True}, "n5-seed1-balanced"),
        ({"telescope": "hst", "size": 64, "balanced": True}, "n5-seed1-hst-64px-balanced"),
    ],
)
def test_what_differs_lies_in_another_folder(tmp_path, options, name):
    folder = simulated.survey_folder(tmp_path, simulated.Survey(5, 1, **options))
    assert folder == tmp_path / "simulated" / f"v{SURVEY_VERSION}-{name}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n of 1 or more, got 0"),
        ({"seed": -1}, "seed of 0 or more, got -1"),
        ({"size": 15}, "size of 16 or more, got 15"),
        ({"n": 10**12}, "n of at most 1,000,000, got 1000000000000"),
        ({"size": 100_000}, "size of at most 2,048, got 100000"),
        ({"seed": 10**30}, "seed of at most 4,294,967,295, got 1000000000000000000000000000000"),
        ({"seed": "1"}, "seed as a whole number, got '1'"),
        ({"n": 20.0}, "n as a whole number, got 20.0"),
        ({"telescope": "palomar"}, "'des', 'hst', 'sdss'.*'palomar'"),
    ],
)
def test_impossible_surveys_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        simulated.load_simulated(tmp_path, **(SMALL | options))
    assert not list(tmp_path.iterdir())


def test_balanced_and_default_are_other_galaxies(tmp_path):
    plain, balanced = (
        simulated.load_simulated(tmp_path, 12, 4, size=32, balanced=flag).tables["truth"]
        for flag in (False, True)
    )
    assert not np.array_equal(plain["axis_ratio"], balanced["axis_ratio"])
    assert not (balanced["kind"] == "artifact").any()


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def another(file):
    """Take the place of another file, whose times stay as they were."""
    file.parent.joinpath("100003.jpg").replace(file)


def shuffle(file):
    first, *rows = file.read_text().splitlines(keepends=True)
    file.write_text(first + "".join(rows[::-1]))


def pipe(file):
    file.unlink()
    os.mkfifo(file)


PICTURES = [f"{IMAGE_FOLDER}/{100_001 + i}.jpg" for i in range(20)]
TABLES = ["truth.csv", "votes.csv", "probabilities_gz2.csv", "votes_galaxy_zoo_1.csv", "sdss.csv"]
DAMAGES = [
    *((how, [name]) for how in (Path.unlink, cut, flip) for name in (PICTURES[4], TABLE)),
    *((Path.unlink, [name]) for name in TABLES),
    *((how, ["truth.csv"]) for how in (cut, flip, shuffle, lambda file: file.write_bytes(b""))),
    (lambda file: file.write_bytes(b""), PICTURES[5:]),
    (lambda file: file.write_bytes(b"<html>log in</html>"), PICTURES[:1]),
    (Path.unlink, PICTURES[::2]),
    (Path.unlink, PICTURES),
    (another, PICTURES[7:8]),
    *([(pipe, [PICTURES[0]])] if hasattr(os, "mkfifo") else []),
]


@pytest.fixture
def copy(tmp_path, whole):
    """The same survey in a place of its own."""
    root, galaxies = whole
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    return tmp_path, tmp_path / galaxies.files[0].parents[1].relative_to(root)


def assert_same(root, whole):
    galaxies = simulated.load_simulated(root, **SMALL)
    assert content(root) == content(whole[0])
    pd.testing.assert_frame_equal(
        galaxies.catalog.drop(columns="file"), whole[1].catalog.drop(columns="file")
    )
    pd.testing.assert_frame_equal(galaxies.fractions, whole[1].fractions)
    for name, table in galaxies.tables.items():
        pd.testing.assert_frame_equal(table, whole[1].tables[name])


@pytest.mark.parametrize(("how", "names"), DAMAGES)
def test_what_is_missing_or_damaged_is_made_again_and_told(copy, whole, capsys, how, names):
    root, folder = copy
    kept = {file: file.stat().st_ino for file in folder.rglob("*.*") if file.is_file()}
    for name in names:
        how(folder / name)
    assert_same(root, whole)
    said = capsys.readouterr().err
    lost = len(names) + (how is another)
    assert f"{lost:,} of 27 files were missing or damaged" in said
    assert said.count("\n") == 1
    odd = {folder / name for name in names} | {folder / simulated.INDEX}
    odd |= {folder / IMAGE_FOLDER / "100003.jpg"} if how is another else set()
    # Whatever was whole is still the same file.
    assert all(file.stat().st_ino == inode for file, inode in kept.items() if file not in odd)
    assert simulated.make_survey(root, SURVEY) == []


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_damage_of_any_files_is_mended(whole, data):
    """Bytes anywhere in any files, among them the index: the same survey comes back."""
    root, galaxies = whole
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(root, place, dirs_exist_ok=True)
        folder = Path(place) / galaxies.files[0].parents[1].relative_to(root)
        simulated.make_survey(Path(place), SURVEY)  # knows the times of the copies
        names = st.sampled_from([*PICTURES, *TABLES, TABLE])
        for name in data.draw(st.lists(names, min_size=1, max_size=6, unique=True)):
            file = folder / name
            content_of = bytearray(file.read_bytes())
            at = data.draw(st.integers(0, len(content_of)))
            some = data.draw(st.binary(max_size=8))
            content_of[at : at + data.draw(st.integers(0, 200))] = some
            file.write_bytes(content_of)
        assert_same(Path(place), whole)


@settings(max_examples=40)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)) | st.binary())  # fmt: skip
def test_an_index_of_any_content_blocks_nothing(whole, tmp_path_factory, value):
    file = tmp_path_factory.getbasetemp() / "survey.json"
    file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    assert read_record(file, simulated.Index) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"files": 1}', "old", "less", "other"]
)
def test_a_survey_with_a_damaged_index_or_none_is_adopted(copy, whole, monkeypatch, text):
    root, folder = copy
    index = json.loads((folder / simulated.INDEX).read_text())
    if text == "less":
        index["files"].pop("truth.csv")
    if text == "other":
        index["seed"] += 1
    (folder / simulated.INDEX).write_text(json.dumps(index) if text in ("less", "other") else text)
    if text == "old":  # before there were indexes
        (folder / simulated.INDEX).unlink()
    cut(folder / "truth.csv")
    cut(folder / PICTURES[3])
    drawn = []
    render = simulated.render
    monkeypatch.setattr(
        simulated, "render", lambda part, *rest: drawn.extend(part["id"]) or render(part, *rest)
    )
    assert_same(root, whole)
    assert drawn == [3]
    monkeypatch.setattr(simulated, "_make", None)
    assert_same(root, whole)


def test_a_copy_is_hashed_once_and_remembered(copy, monkeypatch):
    root, folder = copy
    before = (folder / simulated.INDEX).read_bytes()
    assert simulated.make_survey(root, SURVEY) == []
    assert (folder / simulated.INDEX).read_bytes() != before  # with the times of the copies
    monkeypatch.setattr(simulated, "_entry", None)
    assert simulated.make_survey(root, SURVEY) == []


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other rights")
def test_a_whole_survey_is_read_where_nobody_may_write(tmp_path, whole):
    for place, gone in (("whole", None), ("old", simulated.INDEX), ("gap", PICTURES[2])):
        shutil.copytree(whole[0], tmp_path / place)
        if gone:
            next((tmp_path / place / "simulated").iterdir()).joinpath(gone).unlink()
    program = (
        "import os; from pathlib import Path\n"
        "from galhelpers.data.simulated import load_simulated\n"
        "'nobody may read the libraries of root later'.encode('utf-8-sig')\n"
        "os.geteuid() or os.setuid(65534)  # root may write everywhere\n"
        f"for place in ('whole', 'old', 'gap'): print(len(load_simulated(Path(place), **{SMALL})))"
    )
    folders = [tmp_path, *(place for place in tmp_path.rglob("*") if place.is_dir())]
    for place in folders:
        place.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
        )
    finally:
        for place in folders:
            place.chmod(0o755)
    assert done.stdout == "20\n20\n", done.stderr
    assert "UserError: 1 files" in done.stderr
    assert "GALHELPERS_DATA" in done.stderr


def test_no_room_is_said_before_anything_is_drawn(tmp_path, monkeypatch):
    free = shutil._ntuple_diskusage(10**9, 10**9, 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    monkeypatch.setattr(simulated, "render", None)
    with pytest.raises(FetchError, match=r"survey needs .* MB .* 100\.0 MB are free"):
        simulated.load_simulated(tmp_path, 4000, 0)


def test_an_interrupted_survey_continues_with_the_same_galaxies(tmp_path, whole, monkeypatch):
    root, galaxies = whole
    folder = tmp_path / galaxies.files[0].parents[1].relative_to(root)
    (folder / IMAGE_FOLDER).mkdir(parents=True)
    for file in galaxies.files[:8]:  # what an interrupted try left behind
        shutil.copy(file, folder / IMAGE_FOLDER)
    (folder / IMAGE_FOLDER / ".100009.jpg.half.jpg").write_bytes(b"half")
    monkeypatch.setattr(simulated, "CHUNK", 8)
    drawn = []
    render = simulated.render
    monkeypatch.setattr(
        simulated, "render", lambda part, *rest: drawn.extend(part["id"]) or render(part, *rest)
    )
    part = simulated.load_simulated(tmp_path, **SMALL)
    assert drawn == list(range(8, 20))
    assert part.problems.empty  # the half file is no galaxy
    pd.testing.assert_frame_equal(part.fractions, galaxies.fractions)
    assert [f.read_bytes() for f in part.files] == [f.read_bytes() for f in galaxies.files]


def test_a_failure_on_the_way_leaves_no_table_of_labels(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(simulated, "catalog_of", fail)
    with pytest.raises(OSError, match="disk full"):
        simulated.load_simulated(tmp_path, **SMALL)
    assert not list(tmp_path.rglob(TABLE))
    monkeypatch.undo()
    assert len(simulated.load_simulated(tmp_path, **SMALL)) == 20


def test_two_processes_make_the_same_survey_at_once(tmp_path, whole):
    root, _ = whole
    script = (
        "import sys; from pathlib import Path\n"
        "from galhelpers.data.simulated import load_simulated\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"galaxies = load_simulated(Path(sys.argv[1]), **{SMALL})\n"
        "print(len(galaxies), len(galaxies.problems), galaxies.tables['votes'].shape)"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        assert process.stdout.readline() == "ready\n"
    for process in both:  # both start together, after their imports
        process.stdin.write("\n")
        process.stdin.flush()
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out == "20 0 (20, 38)\n"
    assert content(tmp_path) == content(root)


def test_every_table_is_described_and_a_new_telescope_has_its_catalog():
    assert set(simulated.WORDS) >= {
        name for telescope in TELESCOPES for name in simulated.table_names(telescope)
    }
    assert simulated.table_names("rubin")[-1] == "rubin"
