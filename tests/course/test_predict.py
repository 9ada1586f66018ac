"""Classifying images with a real, tiny network and real files, good and bad."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from galhelpers.course import predict
from galhelpers.course.cli import main
from galhelpers.course.picture_list import identifiers, list_images
from galhelpers.course.predict import predict_images
from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.data.images import load_images, read_image
from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.learning.posterior import table_columns
from galhelpers.models import build
from galhelpers.paths import UserError
from galhelpers.trees import DECALS, GZ2

SIZE, CROP = 16, 0.5
COLUMNS = ["id", "file", "class_name", *(f"p_{name}" for name in FIVE_CLASSES)]


def write_image(path: Path, seed: int, mode: str = "RGB") -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path)
    return path


def write_network(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    arguments = {"outputs": 5, "widths": (4, 4, 4, 4)}
    return save_checkpoint(
        path,
        build("repaired_convnet", **arguments),
        architecture="repaired_convnet",
        arguments=arguments,
        preprocessing={"size": SIZE, "crop": CROP, "mean": [0.1] * 3, "std": [0.2] * 3},
        classes=FIVE_CLASSES,
        provenance={"notebook": "03_baselines", "seed": seed},
    )


def shown(folder: Path) -> set[str]:
    """Names in a folder; locks and indices are hidden."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("network") / "best.safetensors", 0)


@pytest.fixture
def folder(tmp_path):
    """Seven readable images of many kinds in nested folders, and four files that are none."""
    folder = tmp_path / "images"
    for number in range(3):
        write_image(folder / f"galaxy{number}.jpg", number)
    write_image(folder / "north" / "a.png", 10, "L")
    write_image(folder / "south" / "a.PNG", 11, "RGBA")
    write_image(folder / "south" / "deep" / "b.tif", 12, "CMYK")
    write_image(folder / "png.png", 13).rename(folder / "named.jpg")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "words.jpg").write_text("I am not a galaxy")
    whole = write_image(folder / "cut.jpg", 14).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "labels.csv").write_text("id\n1\n")
    (folder / ".hidden.jpg").write_text("no")
    return folder


def test_a_folder_with_broken_files(network, folder, tmp_path, capsys):
    out = tmp_path / "new" / "p.parquet"
    assert main(["predict", str(network), str(folder), "--out", str(out)]) == 3
    table = pd.read_parquet(out)
    assert list(table.columns) == COLUMNS
    assert table["id"].tolist() == [
        "galaxy0", "galaxy1", "galaxy2", "named", "north/a.png", "south/a.PNG", "b",
    ]  # fmt: skip
    assert table["file"].iloc[-1] == "south/deep/b.tif"
    values = table[COLUMNS[3:]].to_numpy()
    assert values.dtype == np.float32
    assert np.allclose(values.sum(axis=1), 1)
    assert table["class_name"].tolist() == [FIVE_CLASSES[i] for i in values.argmax(axis=1)]

    errors = pd.read_csv(out.with_suffix(".errors.csv"))
    assert errors["file"].tolist() == ["cut.jpg", "empty.jpg", "words.jpg"]
    assert errors["reason"].str.len().min() > 10
    notes = pd.read_csv(out.with_suffix(".notes.csv"))
    assert notes["file"].tolist() == ["north/a.png", "south/a.PNG", "south/deep/b.tif"]
    assert set(notes["kind"]) == {"converted"}
    said = capsys.readouterr().out
    assert f"Images: 10. Classified: 7, in {out}. Unreadable: 3, with reasons in " in said
    assert "Of those classified, converted: 3 (CMYK converted to RGB: 1, " in said
    assert "Files of other kinds, left out: 1." in said
    assert shown(out.parent) == {"p.parquet", "p.errors.csv", "p.notes.csv"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_of_files_that_are_no_text(network, tmp_path):
    images = tmp_path / "images"
    good = write_image(images / "a.png", 1)
    for name in (b"\xe9.png", b"\xe9.jpg"):
        Path(os.fsdecode(os.fsencode(images / "x")[:-1] + name)).write_bytes(
            good.read_bytes() if name.endswith(b"png") else b"x"
        )
    done = predict_images(network, images, tmp_path / "p.parquet", progress=False)
    assert (done.classified, done.unreadable) == (2, 1)
    assert pd.read_parquet(done.out)["file"].tolist() == ["a.png", "\\xe9.png"]
    assert pd.read_csv(done.errors)["file"].tolist() == ["\\xe9.jpg"]


def test_the_scores_are_the_networks_own(network, folder, tmp_path):
    predict_images(network, folder, tmp_path / "p.parquet", part=2, progress=False)
    table = pd.read_parquet(tmp_path / "p.parquet").set_index("file")
    checkpoint = load_checkpoint(network)
    for file in ("galaxy1.jpg", "south/deep/b.tif"):
        pixels = read_image(folder / file, SIZE, CROP)[None]
        expected = checkpoint.predict(pixels)[0].cpu().numpy()
        assert np.allclose(table.loc[file, COLUMNS[3:]].to_numpy(float), expected, atol=1e-5)
    note = pq.read_schema(tmp_path / "p.parquet").metadata[b"galhelpers"]
    assert b"best.safetensors" in note
    assert b"03_baselines" in note


def test_csv_is_written_too_and_an_old_error_list_goes(network, folder, tmp_path):
    out = tmp_path / "p.csv"
    first = predict_images(network, folder, out, part=2, progress=False)
    assert (first.classified, first.unreadable) == (7, 3)
    assert first.errors.is_file()
    for name in ("empty", "words", "cut"):
        (folder / f"{name}.jpg").unlink()
    second = predict_images(network, folder, out, part=2, progress=False)
    assert (second.classified, second.unreadable) == (7, 0)
    assert not second.errors.exists()
    assert list(pd.read_csv(out).columns) == COLUMNS
    assert len(pd.read_csv(out)) == 7


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_of_paths(network, folder, tmp_path, suffix):
    files = [
        "images/galaxy0.jpg",
        str(folder / "galaxy1.jpg"),
        "images/gone.jpg",
        "",
        "images/galaxy0.jpg",
    ]
    frame = pd.DataFrame({"name": list("vwxyz"), "where": files})
    table = tmp_path / f"list{suffix}"
    frame.to_csv(table, index=False) if suffix == ".csv" else frame.to_parquet(table)
    done = predict_images(network, table, tmp_path / "p.parquet", progress=False)
    result = pd.read_parquet(tmp_path / "p.parquet")
    assert result["id"].tolist() == ["galaxy0", "galaxy1"]
    assert result["file"].tolist() == files[:2]
    errors = pd.read_csv(done.errors).set_index("file")["reason"]
    assert errors["images/gone.jpg"] == "there is no such file"
    assert errors["(row 4)"] == "the table has no path in this row"


def test_the_column_of_paths_must_be_clear(folder, tmp_path):
    table = tmp_path / "list.csv"
    row = {"a": ["images/galaxy0.jpg"], "b": ["images/galaxy1.jpg"], "c": ["x"]}
    pd.DataFrame(row).to_csv(table, index=False)
    with pytest.raises(UserError, match=r"a, b.*--column"):
        list_images(table)
    assert list_images(table, "b")["id"].tolist() == ["galaxy1"]
    with pytest.raises(UserError, match=r"'d'.*a, b, c"):
        list_images(table, "d")
    pd.DataFrame({"c": ["x"]}).to_csv(table, index=False)
    with pytest.raises(UserError, match=r": c\b.*--column"):
        list_images(table)


class StoppedError(Exception):
    """Stands for whatever ends a process in the middle."""


def count_reads(monkeypatch, stop_after=None):
    """Count the images that are read; raise at one of them as an interruption would."""
    names: list[str] = []

    def counted(files, *arguments, **options):
        names.extend(Path(file).name for file in files)
        if stop_after is not None and len(names) > stop_after:
            raise StoppedError
        return load_images(files, *arguments, **options)

    monkeypatch.setattr(predict, "load_images", counted)
    return names


def test_an_interrupted_run_continues(network, folder, tmp_path, monkeypatch, capsys):
    whole, out = tmp_path / "whole.parquet", tmp_path / "p.parquet"
    predict_images(network, folder, whole, part=3, progress=False)
    count_reads(monkeypatch, stop_after=6)
    with pytest.raises(StoppedError):
        predict_images(network, folder, out, part=3, progress=False)
    assert not out.exists()
    # A process that is killed while it writes leaves a temporary file of this kind.
    part = next((tmp_path / "p.parquet.parts").iterdir())
    shutil.copy(whole, part.with_name(f".{part.name}.abcdefgh.parquet"))
    names = count_reads(monkeypatch)
    predict_images(network, folder, out, part=3, progress=False)
    assert len(names) == 10 - 6
    assert "Continuing: 2 of 4 parts were done before." in capsys.readouterr().out
    for suffix in (".parquet", ".errors.csv", ".notes.csv"):
        assert out.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()
    assert not (tmp_path / "p.parquet.parts").exists()


@pytest.mark.parametrize("change", ["network", "image", "list"])
def test_parts_of_something_else_are_not_used(
    network, folder, tmp_path, monkeypatch, capsys, change
):
    out = tmp_path / "p.parquet"
    count_reads(monkeypatch, stop_after=6)
    with pytest.raises(StoppedError):
        predict_images(network, folder, out, part=3, progress=False)
    if change == "network":
        network = write_network(tmp_path / "other.safetensors", 1)
    elif change == "image":
        write_image(folder / "galaxy0.jpg", 99)
    else:
        (folder / "galaxy2.jpg").unlink()
    names = count_reads(monkeypatch)
    predict_images(network, folder, out, part=3, progress=False)
    # Two of four parts were done. An image costs its own part; the others fit no more.
    assert len(names) == {"network": 10, "image": 7, "list": 6}[change]
    assert "Starting anew" in capsys.readouterr().out
    fresh = tmp_path / "fresh.parquet"
    predict_images(network, folder, fresh, part=3, progress=False)
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(fresh))


def test_nothing_readable_is_a_failure_but_not_an_error(network, tmp_path, capsys):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    out = tmp_path / "p.parquet"
    assert main(["predict", str(network), str(tmp_path / "images"), "--out", str(out)]) == 1
    assert list(pd.read_parquet(out).columns) == COLUMNS
    assert len(pd.read_csv(tmp_path / "p.errors.csv")) == 1


def test_what_cannot_be_used_is_refused(network, folder, tmp_path):
    with pytest.raises(UserError, match=r"\.parquet.*\.csv.*p\.txt"):
        predict_images(network, folder, tmp_path / "p.txt")
    with pytest.raises(UserError, match="nowhere"):
        predict_images(network, tmp_path / "nowhere", tmp_path / "p.csv")
    with pytest.raises(UserError, match=r"galaxy0\.jpg"):
        predict_images(network, folder / "galaxy0.jpg", tmp_path / "p.csv")
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError, match=r"void.* 0 files"):
        predict_images(network, tmp_path / "void", tmp_path / "p.csv")
    with pytest.raises(UserError, match="table"):
        predict_images(network, folder / "labels.csv", folder / "labels.csv")
    with pytest.raises(UserError, match=r"checkpoint.*\.safetensors"):
        predict_images(folder / "words.jpg", folder, tmp_path / "p.csv")
    (tmp_path / "table.parquet").write_text("not parquet")
    with pytest.raises(UserError, match=r"table\.parquet"):
        predict_images(network, tmp_path / "table.parquet", tmp_path / "p.csv")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file.p\.csv"):
        predict_images(network, folder, tmp_path / "file" / "p.csv")


def test_identifiers_are_unique():
    files = pd.Series(["x/1.jpg", "y/1.jpg", "2.jpg", "3.a.jpg", "3.a.png"])
    assert identifiers(files).tolist() == ["x/1.jpg", "y/1.jpg", "2", "3.a.jpg", "3.a.png"]
    # The name of one without suffix is the whole name of another.
    files = pd.Series(["1.jpg", "y/1.jpg", "1.jpg.png"])
    assert identifiers(files).is_unique


def test_no_class_where_the_network_gives_nan(network, folder, tmp_path):
    broken = load_checkpoint(network)
    with torch.no_grad():
        list(broken.model.parameters())[-1][2] = np.nan
    file = save_checkpoint(
        tmp_path / "broken.safetensors", broken.model, architecture=broken.architecture,
        arguments={"outputs": 5, "widths": (4, 4, 4, 4)}, preprocessing=broken.preprocessing,
        classes=broken.classes,
    )  # fmt: skip
    for suffix in (".parquet", ".csv"):
        done = predict_images(file, folder, tmp_path / f"p{suffix}", progress=False)
        table = pd.read_parquet(done.out) if suffix == ".parquet" else pd.read_csv(done.out)
        assert list(table.columns) == COLUMNS
        assert len(table) == done.classified == 7
        # pandas reads an empty field of a CSV file as NaN.
        assert (table["class_name"].isna() if suffix == ".csv" else table["class_name"] == "").all()
        assert table[COLUMNS[3:]].isna().all(axis=None)


@pytest.mark.parametrize("tree", [GZ2, DECALS])
def test_a_network_for_votes_writes_all_about_their_distribution(tree, folder, tmp_path):
    torch.manual_seed(0)
    arguments = {"tree": tree.name, "encoder": "small", "widths": (4, 4, 8)}
    file = save_checkpoint(
        tmp_path / "votes.safetensors",
        build("vote_net", **arguments),
        architecture="vote_net",
        arguments=arguments,
        preprocessing={"size": SIZE, "crop": CROP, "mean": [0.1] * 3, "std": [0.2] * 3}
        | {"passes": 5},
        classes=tree.columns,
        task="votes",
    )
    done = predict_images(file, folder, tmp_path / "votes.parquet", progress=False)
    table = pd.read_parquet(done.out)
    assert list(table)[3:] == table_columns(tree)
    shares = table[[f"{column}_share" for column in tree.columns]].to_numpy(dtype=float)
    assert not tree.check(shares, atol=1e-5)
    means = table[[f"{column}_mean" for column in tree.columns]].to_numpy()
    low = table[[f"{column}_q05" for column in tree.columns]].to_numpy()
    high = table[[f"{column}_q95" for column in tree.columns]].to_numpy()
    assert ((low < means) & (means < high)).all()
    names = np.array([*FIVE_CLASSES, ""])
    expected = names[select_five_classes(shares)] if tree is GZ2 else [""] * 7
    assert table["class_name"].tolist() == list(expected)
