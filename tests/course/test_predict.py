"""Classifying images with a real, tiny network and real files, good and bad."""

import csv
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from PIL import Image

from galhelpers.course import predict_images as predict
from galhelpers.course.cli import main
from galhelpers.course.predict_images import predict_images
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
        provenance={"notebook": "04_baselines", "seed": seed},
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
    assert b"04_baselines" in note


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


def test_where_nothing_is_readable_the_table_is_empty(network, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(b"")
    done = predict_images(network, tmp_path / "images", tmp_path / "p.parquet", progress=False)
    assert list(pd.read_parquet(done.out).columns) == COLUMNS
    assert len(pd.read_csv(done.errors)) == 1


def test_what_cannot_be_used_is_refused(network, folder, tmp_path):
    with pytest.raises(UserError, match=r"\.parquet.*\.csv.*p\.txt"):
        predict_images(network, folder, tmp_path / "p.txt")
    with pytest.raises(UserError, match="nowhere"):
        predict_images(network, tmp_path / "nowhere", tmp_path / "p.csv")
    (tmp_path / "void").mkdir()
    with pytest.raises(UserError, match=r"void.* 0 files"):
        predict_images(network, tmp_path / "void", tmp_path / "p.csv")
    with pytest.raises(UserError, match="table"):
        predict_images(network, folder / "labels.csv", folder / "labels.csv")
    with pytest.raises(UserError, match=r"words\.jpg.*checkpoint.*safetensors"):
        predict_images(folder / "words.jpg", folder, tmp_path / "p.csv")
    (tmp_path / "table.parquet").write_text("not parquet")
    with pytest.raises(UserError, match=r"table\.parquet"):
        predict_images(network, tmp_path / "table.parquet", tmp_path / "p.csv")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"file.p\.csv"):
        predict_images(network, folder, tmp_path / "file" / "p.csv")


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


# Nothing of the user's is lost -------------------------------------------------------------------


def places(out: Path) -> tuple[Path, Path, Path]:
    return out, out.with_suffix(".errors.csv"), out.with_suffix(".notes.csv")


@pytest.mark.parametrize("name", ["p.csv", "p.errors.csv", "p.notes.csv"])
@pytest.mark.parametrize("what", ["before", "edited", "link", "link to itself", "pipe"])
@pytest.mark.skipif(sys.platform == "win32", reason="no links and pipes without rights")
def test_a_file_of_the_users_own_is_never_replaced(network, folder, tmp_path, name, what):
    target = tmp_path / name
    if what == "edited":
        predict_images(network, folder, tmp_path / "p.csv", progress=False)
        target.write_text(target.read_text().replace("a", "b", 1))
    elif what == "link":
        (tmp_path / "elsewhere.csv").write_text("mine")
        target.symlink_to(tmp_path / "elsewhere.csv")
    elif what == "link to itself":
        target.symlink_to(target)
    elif what == "pipe":
        os.mkfifo(target)
    else:
        target.write_text("mine")
    kept = {p.name: p.read_bytes() for p in tmp_path.glob("*.csv") if p.is_file()}
    with pytest.raises(UserError, match=f"{name} is something else"):
        predict_images(network, folder, tmp_path / "p.csv", progress=False)
    assert kept == {p.name: p.read_bytes() for p in tmp_path.glob("*.csv") if p.is_file()}
    assert os.path.lexists(target)


def test_a_file_that_comes_while_predict_works_is_not_replaced(
    network, folder, tmp_path, monkeypatch
):
    out = tmp_path / "p.csv"
    load = load_images

    def meanwhile(*arguments, **options):
        out.write_text("mine")
        return load(*arguments, **options)

    monkeypatch.setattr(predict, "load_images", meanwhile)
    with pytest.raises(UserError, match=r"p\.csv is something else"):
        predict_images(network, folder, out, progress=False)
    assert out.read_text() == "mine"
    assert shown(tmp_path) == {"images", "p.csv", "p.csv.parts"}


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"p.csv": 3}', b'{"p.csv": [[1]]}', b"\xff"]
)
def test_without_its_index_no_file_is_taken_for_ours(network, folder, tmp_path, damage):
    out = tmp_path / "p.csv"
    predict_images(network, folder, out, progress=False)
    (tmp_path / ".p.galhelpers.json").write_bytes(damage)
    with pytest.raises(UserError, match=r"p\.csv is something else"):
        predict_images(network, folder, out, progress=False)
    for path in places(out):
        path.unlink()
    predict_images(network, folder, out, progress=False)
    predict_images(network, folder, out, progress=False)


def test_an_index_that_is_a_pipe_keeps_nobody_waiting(network, folder, tmp_path):
    os.mkfifo(tmp_path / ".p.galhelpers.json")
    predict_images(network, folder, tmp_path / "p.csv", progress=False)
    (tmp_path / ".p.galhelpers.json").unlink()
    os.mkfifo(tmp_path / ".p.galhelpers.json")
    with pytest.raises(UserError, match=r"p\.csv is something else"):
        predict_images(network, folder, tmp_path / "p.csv", progress=False)


def test_two_formats_share_their_lists_and_say_so(network, folder, tmp_path, capsys):
    for suffix in (".parquet", ".csv", ".parquet"):
        predict_images(network, folder, tmp_path / f"p{suffix}", progress=False)
    assert "p.csv stands beside it" in capsys.readouterr().out
    (tmp_path / "p.csv").write_text("mine")
    predict_images(network, folder, tmp_path / "p.parquet", progress=False)
    assert (tmp_path / "p.csv").read_text() == "mine"


@pytest.mark.parametrize("what", ["folder", "file", "link", "old version"])
def test_parts_that_are_not_ours_are_not_touched(network, folder, tmp_path, what):
    parts = tmp_path / "p.csv.parts"
    if what == "file":
        parts.write_text("mine")
    elif what == "link":
        parts.symlink_to(folder)
    else:
        parts.mkdir()
        (parts / ("mine.txt" if what == "folder" else "000000000.parquet")).write_text("mine")
    before = sorted(map(str, tmp_path.rglob("[!.]*")))
    with pytest.raises(UserError, match=r"p\.csv\.parts"):
        predict_images(network, folder, tmp_path / "p.csv", progress=False)
    assert sorted(map(str, tmp_path.rglob("[!.]*"))) == before


def test_what_is_read_is_not_replaced(network, folder, tmp_path):
    out = tmp_path / "p.csv"
    done = predict_images(network, folder, out, progress=False)
    held = {p.name: p.read_bytes() for p in places(out)}
    for table in places(out):  # repeats some: --out must be another name
        with pytest.raises(UserError, match=f"{table.name} would replace the table"):
            predict_images(network, table, out, column="file")
    (tmp_path / "link.csv").symlink_to(done.errors)
    os.link(done.errors, tmp_path / "hard.csv")
    for table in ("link.csv", "hard.csv"):
        with pytest.raises(UserError, match=r"p\.errors\.csv would replace the table"):
            predict_images(network, tmp_path / table, out, column="file")
    inside = shutil.copytree(folder, tmp_path / "q.csv.parts")
    for images in (inside, inside / "south", inside / "labels.csv"):
        with pytest.raises(UserError, match=r"q\.csv\.parts"):
            predict_images(network, images, tmp_path / "q.csv")
    checkpoint = Path(shutil.copy(network, tmp_path / "network.csv"))
    with pytest.raises(UserError, match=r"network\.csv would replace .* checkpoint"):
        predict_images(checkpoint, folder, checkpoint)
    assert checkpoint.read_bytes() == network.read_bytes()
    assert held == {p.name: p.read_bytes() for p in places(out)}
    assert len(list(inside.rglob("*.*"))) == len(list(folder.rglob("*.*")))


@pytest.mark.parametrize("other", ["p.parquet", "p.csv"])
def test_a_second_prediction_into_one_place_is_refused(
    network, folder, tmp_path, monkeypatch, other
):
    """They share the lists, so that two formats are one place."""
    load, said = load_images, []

    def meanwhile(*arguments, **options):
        monkeypatch.setattr(predict, "load_images", load)
        with pytest.raises(UserError, match=f"predicts into {other}"):
            predict_images(network, folder / "north", tmp_path / other, progress=False)
        said.append("refused")
        return load(*arguments, **options)

    monkeypatch.setattr(predict, "load_images", meanwhile)
    done = predict_images(network, folder, tmp_path / "p.parquet", progress=False)
    assert said == ["refused"]
    assert len(pd.read_parquet(done.out)) == 7


@pytest.mark.parametrize("length", [201, 240, 255])
def test_a_name_too_long_is_told_before_the_work(network, folder, tmp_path, monkeypatch, length):
    names = count_reads(monkeypatch)
    with pytest.raises(UserError, match=f"at most 200 bytes.*got {length}"):
        predict_images(network, folder, tmp_path / ("x" * (length - 4) + ".csv"))
    assert not names
    out = tmp_path / ("x" * 196 + ".csv")
    assert predict_images(network, folder, out, part=2, progress=False).classified == 7


# Saved parts are as they were written, or made again ---------------------------------------------


@pytest.mark.parametrize("call", [2, 4])
def test_parts_that_vanish_while_predict_works_are_made_again(
    network, folder, tmp_path, monkeypatch, call
):
    predict_images(network, folder, tmp_path / "whole.csv", part=3, progress=False)
    load, calls = load_images, []

    def gone(*arguments, **options):
        calls.append(1)
        if len(calls) == call:
            shutil.rmtree(tmp_path / "p.csv.parts")
        return load(*arguments, **options)

    monkeypatch.setattr(predict, "load_images", gone)
    done = predict_images(network, folder, tmp_path / "p.csv", part=3, progress=False)
    assert (done.classified, done.unreadable) == (7, 3)
    assert len(calls) == 4 + call - 1
    for made, whole in zip(places(done.out), places(tmp_path / "whole.csv"), strict=True):
        assert made.read_bytes() == whole.read_bytes()


def test_a_finished_file_with_other_rows_replaces_nothing(network, folder, tmp_path, monkeypatch):
    out = tmp_path / "p.parquet"
    predict_images(network, folder, out, progress=False)
    before = out.read_bytes()
    tables = predict._Work.tables
    monkeypatch.setattr(predict._Work, "tables", lambda work: iter(list(tables(work))[1:]))
    with pytest.raises(OSError, match=r"7 rows .* holds 6"):
        predict_images(network, folder, out, part=3, progress=False)
    assert out.read_bytes() == before


@pytest.fixture(scope="module")
def undisturbed(network, tmp_path_factory):
    """Six images, one of them unreadable; and what an interrupted and a whole run leave."""
    root = tmp_path_factory.mktemp("undisturbed")
    for number in range(5):
        write_image(root / "images" / f"{number}.png", number, "L" if number == 3 else "RGB")
    (root / "images" / "bad.png").write_text("bad")
    for name in ("before", "whole"):
        predict_images(network, root / "images", root / name / "p.csv", part=2, progress=False)
    keep = predict.Parts.remove
    predict.Parts.remove = lambda parts: None
    predict_images(network, root / "images", root / "before" / "p.csv", part=2, progress=False)
    predict.Parts.remove = keep
    return root


FOREIGN = ("notes.txt", ".DS_Store", "000000000.parquet", "000000000-0123456789abcdef.parquet")


@st.composite
def changes(draw):
    """Say what happens to one file: which one, and how."""
    how = draw(st.sampled_from(["remove", "cut", "flip", "foreign", "folder", "swap"]))
    return how, draw(st.integers(0, 10**6)), draw(st.integers(0, 10**6))


def change(root: Path, how: str, which: int, where: int, foreign: dict[Path, bytes]) -> None:
    parts = root / "p.csv.parts"
    own = [p for p in (*sorted(root.glob(".p.g*")), *sorted(root.glob("p*"))) if p.is_file()]
    files = [*(sorted(parts.iterdir()) if parts.is_dir() else []), *own]
    if how == "folder":
        shutil.rmtree(parts, ignore_errors=True)
        foreign_gone = [path for path in foreign if parts in path.parents]
        for path in foreign_gone:
            del foreign[path]
        return
    if how == "foreign":
        path = parts / FOREIGN[which % len(FOREIGN)]
        if not path.exists():
            parts.mkdir(exist_ok=True)
            path.write_bytes(b"mine")
            foreign[path] = b"mine"
        return
    files = [file for file in files if file not in foreign]
    if not files:
        return
    file = files[which % len(files)]
    content = bytearray(file.read_bytes())
    if how == "remove":
        file.unlink()
    elif how == "cut":
        file.write_bytes(content[: where % (len(content) + 1)])
    elif how == "swap":
        file.write_bytes(files[where % len(files)].read_bytes())
    elif content:
        content[where % len(content)] ^= 1 + where % 255
        file.write_bytes(content)
    # What somebody changed is his own from now on, in a place of a result.
    if file in places(root / "p.csv") and file.exists():
        foreign[file] = file.read_bytes()


@settings(max_examples=40, deadline=None)
@given(st.lists(changes(), min_size=1, max_size=5))
def test_whatever_happens_to_its_files_predict_gives_the_same_or_a_word(
    network, undisturbed, happened
):
    with tempfile.TemporaryDirectory() as place:
        root = Path(shutil.copytree(undisturbed / "before", Path(place) / "x"))
        whole = [path.read_bytes() for path in places(undisturbed / "whole" / "p.csv")]
        foreign: dict[Path, bytes] = {}
        for how, which, where in happened:
            change(root, how, which, where, foreign)
        foreign = {p: b for p, b in foreign.items() if b not in whole}
        try:
            predict_images(network, undisturbed / "images", root / "p.csv", part=2, progress=False)
        except UserError as error:
            event("refused")
            assert "\n" not in str(error)  # noqa: PT017 - one of two right results
        else:
            event("the same")
            assert [path.read_bytes() for path in places(root / "p.csv")] == whole
        assert {path: path.read_bytes() for path in foreign} == foreign


# Names, summary, exit status ----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_hard_for_csv(network, tmp_path, capsys):
    names = ["=cmd|calc!A0.png", "@SUM.png", "a\rb.png", "a\nb.png", 'q"uo,ted.png', "NA.png"]
    for number, name in enumerate(names):
        write_image(tmp_path / "images" / name, number)
    (tmp_path / "images" / "-bad\r.png").write_text("bad")
    out = tmp_path / "\x1b[2J" / "p.csv"
    done = predict_images(network, tmp_path / "images", out, progress=False)
    print(done.summary())
    for file, expected in ((done.out, sorted(names)), (done.errors, ["-bad\r.png"])):
        with file.open(newline="", encoding="utf-8") as rows:
            assert [row["file"] for row in csv.DictReader(rows)] == expected
        read = pd.read_csv(file, keep_default_na=False)
        assert read["file"].tolist() == expected
    said = capsys.readouterr().out
    assert "takes for formulas: 6, as '-bad '" in said
    assert not set("\r\x1b") & set(said)


@pytest.mark.parametrize(("bad", "status"), [(0, 0), (1, 3), (2, 1)])
def test_the_exit_status_tells_whether_all_some_or_none_were_classified(
    network, tmp_path, capsys, bad, status
):
    for number in range(2):
        file = write_image(tmp_path / "images" / f"{number}.png", number)
        if number < bad:
            file.write_bytes(b"")
    out = tmp_path / "p.csv"
    assert main(["predict", str(network), str(tmp_path / "images"), "--out", str(out)]) == status
    said = capsys.readouterr().out
    assert f"Images: 2. Classified: {2 - bad}, in {out}." in said
    assert ("Unreadable: " in said) == bool(bad)
    assert out.with_suffix(".errors.csv").exists() == bool(bad)


def test_a_picture_without_a_finite_answer_is_listed_and_stops_nothing(tmp_path):
    arguments = {"outputs": 5, "widths": (4, 4, 4, 4)}
    model = build("repaired_convnet", **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 4:  # no light stays no light, any light becomes infinite
                parameter.mul_(1e30)
    network = save_checkpoint(
        tmp_path / "steep.safetensors",
        model,
        architecture="repaired_convnet",
        arguments=arguments,
        preprocessing={"size": 64, "crop": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3},
        classes=FIVE_CLASSES,
    )
    checkpoint = load_checkpoint(network, torch.device("cpu"))
    pixels = np.zeros((2, 3, 64, 64), np.uint8)
    pixels[1] = 200
    answers = checkpoint.classify(pixels)
    assert answers["class_name"].tolist()[1] == ""
    assert answers["class_name"][0] in FIVE_CLASSES
    write_image(tmp_path / "images" / "bright.png", 0)
    assert (
        main(["predict", str(network), str(tmp_path / "images"), "--out", str(tmp_path / "p.csv")])
        == 1
    )
    listed = pd.read_csv(tmp_path / "p.errors.csv")
    assert listed["file"].tolist() == ["bright.png"]
    assert "finite" in listed["reason"][0]
