"""The comparison itself, on made-up surveys: that it finds a difference, and none where none is."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.survey import cumulative_fractions, render, sample_galaxies, volunteer_votes
from galhelpers.survey.appearance import COLUMNS, measure, real_appearance
from galhelpers.trees import GZ2

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "side_by_side.py"


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(PATH.parent))  # as when it is run as a script
    spec = importlib.util.spec_from_file_location("side_by_side", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_counts_follow_the_real_shares_with_a_floor_and_no_more_than_there_are(bench):
    labels = np.repeat(range(5), [600, 300, 20, 50, 5])
    assert bench.counts_per_class(labels, 500) == [308, 154, 20, 40, 5]


def test_simulated_galaxies_are_of_the_classes_asked_for(bench):
    truth, classes = bench.simulated_truth([3, 2, 1, 2, 3], seed=1)
    assert classes.tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4]
    fractions = cumulative_fractions(volunteer_votes(truth, GZ2, "sdss", seed=1), GZ2)
    assert select_five_classes(fractions).tolist() == classes.tolist()
    assert truth["id"].is_unique


@pytest.mark.real
def test_kaggles_originals_give_the_published_small_files(bench, real_data):
    labels = pd.read_csv(real_data / "gz2_five_class" / "labels.csv").set_index("GalaxyID")["file"]
    originals = sorted((real_data / "gz2_native" / "images_training_rev1").glob("*.jpg"))
    found = [path for path in originals if int(path.stem) in labels.index][:20]
    assert found
    for path in found:
        with (
            Image.open(path) as large,
            Image.open(real_data / "gz2_five_class" / labels[int(path.stem)]) as small,
        ):
            assert np.array_equal(
                bench.stored_as_published(large).transpose(1, 2, 0), np.asarray(small)
            )


@pytest.fixture(scope="module")
def tables():
    rng = np.random.default_rng(0)
    one, other = (pd.DataFrame(rng.normal(size=(150, 4)), columns=list("abcd")) for _ in range(2))
    return one, other


def test_alike_samples_stay_alike(bench, tables):
    compared = bench.compare(*tables)
    assert ((compared["AUC"] - 0.5).abs() < 0.12).all()
    recognised, _ = bench.forest(*tables, seed=0)
    assert 0.35 < recognised.mean() < 0.65


def test_what_differs_comes_first(bench, tables):
    one, other = tables
    shifted = other.assign(c=other["c"] + 4)
    compared = bench.compare(one, shifted)
    assert compared["measurement"].iloc[0] == "c"
    assert compared["AUC"].iloc[0] > 0.95
    recognised, importances = bench.forest(one, shifted, seed=0)
    assert recognised.mean() > 0.93
    assert importances["measurement"].iloc[0] == "c"
    assert importances["accuracy lost"].iloc[0] > 0.3


def gz2_table(fractions, suffix):
    """A table with the published names; the middle of a name does not count, its numbers do."""
    names, answer = [], 0
    for number, question in enumerate(GZ2.questions, 1):
        for _ in question.columns:
            answer += 1
            names.append(f"t{number:02d}_x_a{answer:02d}_y_{suffix}")
    return pd.DataFrame(fractions, columns=names)


def test_published_votes_are_read_in_the_order_of_the_tree(bench):
    fractions = np.arange(2 * 37, dtype=float).reshape(2, 37)
    weighted = gz2_table(fractions, "weighted_fraction")
    table = pd.concat([gz2_table(-fractions, "fraction"), weighted[weighted.columns[::-1]]], axis=1)
    assert np.array_equal(bench.gz2_answers(table, "weighted_fraction"), fractions)
    assert np.array_equal(bench.gz2_answers(table, "fraction"), -fractions)
    with pytest.raises(ValueError, match="Expected 37 columns"):
        bench.gz2_answers(table, "count")


def test_votes_are_compared_among_those_who_were_asked(bench):
    fractions = np.zeros((40, 37))
    fractions[:, GZ2.index("smooth-or-featured_smooth")] = 0.6
    fractions[:, GZ2.index("smooth-or-featured_features-or-disk")] = 0.4
    fractions[:, GZ2.index("how-rounded_completely")] = 0.45
    fractions[:, GZ2.index("how-rounded_in-between")] = 0.15
    fractions[:, GZ2.index("disk-edge-on_yes")] = 0.1  # of 0.4 asked
    fractions[:, GZ2.index("disk-edge-on_no")] = 0.3
    compared = bench.compare_votes(fractions, fractions).set_index("answer")
    assert compared.loc["how-rounded_completely", "real mean"] == pytest.approx(0.75)
    assert compared.loc["disk-edge-on_yes", "real mean"] == pytest.approx(0.25)
    assert (compared["KS"] == 0).all()
    # Nobody was asked how tightly the arms are wound: no row, rather than one of zeros.
    assert "spiral-winding_tight" not in compared.index
    other = fractions.copy()
    other[:, GZ2.index("how-rounded_completely")] = 0.15
    other[:, GZ2.index("how-rounded_in-between")] = 0.45
    compared = bench.compare_votes(fractions, other).set_index("answer")
    assert compared.loc["how-rounded_completely", "KS"] == 1
    assert compared.loc["disk-edge-on_yes", "KS"] == 0


def test_a_sheet_holds_every_picture_in_its_place(bench, tmp_path):
    pictures = np.full((5, 3, 10, 10), 0, np.uint8)
    pictures[:, 0] = np.array([10, 20, 30, 40, 50])[:, None, None]
    bench.sheet(pictures, 3, tmp_path / "sheet.png", gap=2)
    with Image.open(tmp_path / "sheet.png") as image:
        page = np.asarray(image)
    assert page.shape == (2 * 12 + 2, 3 * 12 + 2, 3)
    assert page[2, 2, 0] == 10
    assert page[2, 26, 0] == 30
    assert page[14, 14, 0] == 50
    assert page[14, 26].tolist() == [96, 96, 96]


@pytest.fixture
def data_root(tmp_path):
    """A folder laid out as the real one, filled from the simulation with another seed."""
    truth = sample_galaxies(60, seed=5, balanced=True)
    images = render(truth, size=424, seed=5)
    counts = volunteer_votes(truth, seed=5)
    fractions = cumulative_fractions(counts)
    classes = select_five_classes(fractions)
    (tmp_path / "gz2_five_class" / "images").mkdir(parents=True)
    native = tmp_path / "gz2_native" / "images_training_rev1"
    native.mkdir(parents=True)
    rows = []
    for i, label in enumerate(classes):
        image = Image.fromarray(images[i].permute(1, 2, 0).numpy())
        if label >= 0:
            small = image.resize((160, 160), Image.Resampling.LANCZOS)
            small.save(tmp_path / "gz2_five_class" / "images" / f"{i}.jpg", quality=86)
            rows.append((i, label, FIVE_CLASSES[label], f"images/{i}.jpg"))
        if i < 4:
            image.save(native / f"{i}.jpg", quality=75)
    names = ["GalaxyID", "class_id", "class_name", "file"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "gz2_five_class" / "labels.csv")
    (tmp_path / "gz2_votes").mkdir()
    (tmp_path / "catalogs").mkdir()
    of_asked = np.nan_to_num(GZ2.to_conditional(fractions))
    gz2_table(of_asked, "weighted_fraction").to_csv(tmp_path / "gz2_votes" / "labels.csv")
    gz2_table(counts, "count").to_csv(
        tmp_path / "catalogs" / "gz2_willett13_table5_stripe82_coadd.csv.gz"
    )
    decals = [
        f"smooth-or-featured_{a}_fraction" for a in ("smooth", "featured-or-disk", "artifact")
    ]
    pd.DataFrame(fractions[:, :3], columns=decals).to_csv(
        tmp_path / "catalogs" / "gz_decals_dr5_panoptes_votes.csv.gz"
    )
    types = np.where(truth["kind"] == "smooth", "E1", "Sb")
    pd.DataFrame({"hubble": types, "petroR90_g": truth["petro_r90"]}).to_csv(
        tmp_path / "catalogs" / "gz2_bbergerud_hubble_types.csv.gz"
    )
    return tmp_path


def test_the_whole_report(bench, data_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "MIN_PER_CLASS", 3)
    monkeypatch.setattr(bench, "N_CATALOG", 200)
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    arguments = ["--data-root", str(data_root), "--n", "20", "--out", str(out)]
    arguments += ["--sheet", str(sheet)]
    bench.main(arguments)
    report = (out / "report.md").read_text(encoding="utf-8")
    assert report.strip() == capsys.readouterr().out.strip()
    for heading in ("All classes", "The sky at 424 px", *FIVE_CLASSES, "petroR90"):
        assert f"## {heading}" in report
    key = pd.read_csv(tmp_path / "sheet.csv")
    assert 0.3 < key["simulated"].mean() < 0.7
    assert len(key) == len(key.drop_duplicates(["row", "column"]))
    with Image.open(sheet) as image:
        assert image.size[0] == 10 * 163 + 3
    # Without a name a sheet stays in the folder that git ignores.
    assert (out / "simulated.png").is_file()


def test_measurements_of_real_galaxies_are_written_with_their_shares(
    bench, data_root, tmp_path, monkeypatch
):
    monkeypatch.setattr(bench, "N_WRITTEN", 10)
    file = tmp_path / "real.csv"
    bench.main(["--data-root", str(data_root), "--write-real", str(file)])
    table = pd.read_csv(file)
    assert list(table) == ["class_id", *COLUMNS]
    labels = pd.read_csv(data_root / "gz2_five_class" / "labels.csv")["class_id"]
    expected = np.round(10 * labels.value_counts(normalize=True).sort_index()).astype(int)
    found = table["class_id"].value_counts().reindex(expected.index, fill_value=0)
    assert found.tolist() == expected.tolist()
    folder = data_root / "gz2_five_class"
    pictures, _ = bench.real_galaxies(folder.parent, expected.tolist(), 0)
    again = measure(pictures)
    assert np.allclose(table[list(COLUMNS)], again, rtol=6e-4, equal_nan=True)
    numbers = re.findall(r"-?[\d.]+", file.read_text(encoding="utf-8").split("\n", 1)[1])
    assert max(len(number.lstrip("-0.").replace(".", "")) for number in numbers) <= 4
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.real
def test_the_packages_table_is_what_the_benchmark_writes(bench, real_data):
    table = real_appearance()
    labels = pd.read_csv(real_data / "gz2_five_class" / "labels.csv")["class_id"]
    counts = table["class_id"].value_counts().sort_index()
    shares = labels.value_counts(normalize=True).sort_index()
    assert np.allclose(counts / counts.sum(), shares, atol=0.002)
    pictures, classes = bench.real_galaxies(real_data, counts.tolist(), 0)
    assert table["class_id"].tolist() == classes.tolist()
    some = [0, 120, 210, 240, 300]
    found, expected = table.iloc[some][list(COLUMNS)], measure(pictures[some])
    assert np.allclose(found, expected, rtol=6e-4, atol=1e-9, equal_nan=True)
