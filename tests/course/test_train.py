"""``galhelpers train``: real trainings, of tiny networks, also of pictures as people have them."""

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from galhelpers.course import labelled_pictures, train
from galhelpers.course.cli import main
from galhelpers.course.labelled_pictures import read_labelled
from galhelpers.learning import make_networks, recipes
from galhelpers.learning.checkpoint import load_checkpoint
from galhelpers.learning.networks import cards, write_card
from galhelpers.locks import only_one
from galhelpers.paths import UserError, checksum
from tests.learning.bright_galaxies import NETWORK, TINY, five_bright_classes, picture

LONG = replace(NETWORK, recipe=TINY.but("tiny", epochs=60))
# A process of its own has this recipe, too.
TRAIN = """
import sys
from galhelpers.course.cli import main
from galhelpers.learning import recipes
from tests.course.test_train import LONG
recipes.NETWORKS["tiny"] = LONG
sys.exit(main(["train", "tiny", *sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return five_bright_classes(tmp_path_factory.mktemp("bright"))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A course with the recipe of a tiny network, and no trained networks."""
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(recipes.NETWORKS, "tiny", NETWORK)
    monkeypatch.setitem(recipes.NETWORKS, "votes", replace(NETWORK, recipe=TINY.but(
        "votes", architecture="vote_net")))  # fmt: skip
    monkeypatch.setitem(recipes.NETWORKS, "plain", replace(NETWORK, recipe=TINY.but(
        "plain", architecture="gupta_resnet", arguments={})))  # fmt: skip
    # Here 24 steps are enough, and ten simulated galaxies.
    monkeypatch.setattr(recipes, "FEWEST_STEPS", 24)
    monkeypatch.setattr(make_networks, "new_check", partial(make_networks.new_check, n=10))
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


@pytest.fixture
def classes(tmp_path):
    """Two folders, of ten dark and ten bright pictures."""
    for number in range(20):
        name = "bright" if number % 2 else "dark"
        picture(tmp_path / "mine" / name / f"{number}.png", 4 * (number % 2), number)
    return tmp_path / "mine"


def on(folder, *arguments, out):
    """Train the recipe of the tiny network from nothing."""
    given = ["--dataset", folder, "--like", "tiny", "--from-nothing", "--out", out, *arguments]
    return main(["train", *map(str, given)])


def test_a_network_is_trained_again_and_compared(root, place, capsys, monkeypatch):
    out = place / "out"
    assert main(["train", "tiny", "--data-root", str(root), "--out", str(out)]) == 0
    first = capsys.readouterr()
    card = cards(out / "networks.yaml")["tiny"]
    assert card.sha256 == checksum(out / "tiny.safetensors")
    assert card.command == "galhelpers train tiny"
    assert f"accuracy {card.scores['accuracy'].value:.3f}" in " ".join(first.out.split())
    assert "CPU minutes" in first.out
    assert "on its card" not in first.out
    assert first.err == ""  # no bar where nobody watches
    # A course that has the network: its numbers stand beside the new ones.
    course = place / "course"
    changed = card.scores["accuracy"].model_copy(update={"value": 0.125, "low": 0.1})
    scores = card.scores | {"accuracy": changed}
    known = card.model_copy(update={"scores": scores, "cpu_minutes": 77.0})
    write_card("tiny", known, course / "networks" / "networks.yaml")
    (course / "data_manifest.yaml").touch()
    monkeypatch.setattr("galhelpers.learning.networks.course_root", lambda: course)
    monkeypatch.setattr(train, "course_root", lambda: course)
    assert main(["train", "tiny", "--data-root", str(root), "--out", str(out)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["on", "its", "card", "now"] in rows
    (accuracy,) = (row for row in rows if row[:1] == ["accuracy"])
    assert accuracy[1] == "0.125"
    assert float(accuracy[4]) == pytest.approx(card.scores["accuracy"].value, abs=6e-4)
    (minutes,) = (row for row in rows if row[:1] == ["CPU"])
    assert minutes[2:] == ["77.0", f"{card.cpu_minutes:.1f}"]


def test_killed_in_the_middle_it_goes_on_to_the_same_bytes(root, place, monkeypatch):
    monkeypatch.setitem(recipes.NETWORKS, "tiny", LONG)
    mine = ["--data-root", str(root), "--out", str(place / "cut")]
    killed = subprocess.Popen([sys.executable, "-c", TRAIN, *mine], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while epochs_done(place / "cut") < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert 3 <= epochs_done(place / "cut") < 60
    assert not (place / "cut" / "tiny.safetensors").exists()
    assert main(["train", "tiny", *mine]) == 0
    assert main(["train", "tiny", *mine[:-1], str(place / "whole")]) == 0
    cut, whole = (place / out / "tiny.safetensors" for out in ("cut", "whole"))
    assert cut.read_bytes() == whole.read_bytes()
    one, other = (cards(file.with_name("networks.yaml"))["tiny"] for file in (cut, whole))
    assert one.scores == other.scores


def epochs_done(folder):
    """Count the epochs in the state of a training, which another process may write meanwhile."""
    for file in folder.rglob("training.pt"):
        content = file.read_bytes()
        state = io.BytesIO(content[content.index(b"PK") :])  # torch's file, after our own mark
        return len(torch.load(state, weights_only=True)["history"]["validation_loss"])
    return 0


def test_two_never_train_into_one_place(root, place, capsys):
    out = place / "out"
    with only_one(out / "tiny.safetensors", "trains tiny"):
        assert main(["train", "tiny", "--data-root", str(root), "--out", str(out)]) == 2
    assert "trains tiny" in capsys.readouterr().err


def test_a_file_of_another_origin_is_not_replaced(root, place, capsys):
    file = place / "out" / "tiny.safetensors"
    file.parent.mkdir()
    file.write_bytes(b"mine")
    assert main(["train", "tiny", "--data-root", str(root), "--out", str(file.parent)]) == 2
    assert "tiny.safetensors" in capsys.readouterr().err
    assert file.read_bytes() == b"mine"


def test_a_network_of_another_command_is_not_replaced(root, place, classes, capsys):
    out = place / "out"
    assert main(["train", "tiny", "--data-root", str(root), "--out", str(out)]) == 0
    before = (out / "tiny.safetensors").read_bytes()
    assert on(classes, "--name", "tiny", out=out) == 2
    assert "a network of `galhelpers train tiny`" in capsys.readouterr().err
    assert (out / "tiny.safetensors").read_bytes() == before


def test_killed_before_the_card_is_written_it_goes_on(root, place):
    mine = ["--data-root", str(root), "--out", str(place / "out")]
    assert main(["train", "tiny", *mine]) == 0
    file = place / "out" / "networks.yaml"
    file.unlink()
    assert main(["train", "tiny", *mine]) == 0
    assert cards(file)["tiny"].sha256 == checksum(file.with_name("tiny.safetensors"))


def test_damaged_cards_are_told_before_any_work(root, place, capsys):
    file = place / "out" / "networks.yaml"
    file.parent.mkdir()
    file.write_text("tiny: [1,")
    assert main(["train", "tiny", "--data-root", str(root), "--out", str(file.parent)]) == 2
    assert "networks.yaml, cannot be read" in capsys.readouterr().err
    assert not list(place.rglob("*.pt"))
    assert not list(place.rglob("*.safetensors"))


def test_missing_data_and_a_missing_start_are_told_before_any_work(place, capsys, monkeypatch):
    assert main(["train", "tiny", "--data-root", str(place), "--out", str(place / "out")]) == 1
    assert "`galhelpers fetch gz2_five_class`" in capsys.readouterr().err
    monkeypatch.setitem(recipes.NETWORKS, "later", replace(NETWORK, start="nowhere"))
    assert main(["train", "later", "--data-root", str(place), "--out", str(place / "out")]) == 2
    said = capsys.readouterr().err
    assert "encoder of nowhere" in said
    assert said.count("\n") == 1
    assert not list(place.rglob("*.pt"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "got neither"),
        (["tinny"], "Did you mean tiny?"),
        (["tiny", "--dataset", "x"], "got tiny --dataset"),
        (["tiny", "--label", "x"], "got tiny --label"),
        (["--dataset", "x"], "got --dataset"),
        (["--dataset", "x", "--like", "tiny", "--data-root", "y"], "--data-root"),
        (["--dataset", "x", "--like", "votes"], "votes answers votes"),
        (["--dataset", "x", "--like", "tiny", "--name", "A b"], "got 'A b'"),
        (["--dataset", "nowhere", "--like", "tiny", "--from-nothing"], "nowhere is not there"),
        (["--dataset", "x", "--like", "tiny"], "encoder of tiny"),
        (["tiny", "--threads", "0"], "got '0'"),
        (["tiny", "--threads", "9999"], "got '9999'"),
        (["--dataset", "x", "--like", "plain"], "plain has none"),
        (["--dataset", ".", "--like", "tiny", "--from-nothing", "--label", "x"], "--label names"),
        (["--dataset", "x", "--like", "tiny", "--crop", "1.5"], "got '1.5'"),
        (["--dataset", "x", "--like", "tiny", "--crop", "all"], "got 'all'"),
    ],
)
def test_a_wrong_command_gets_one_line(place, capsys, monkeypatch, arguments, expected):
    monkeypatch.chdir(place)
    out = ["--out", str(place / "out")] if arguments else []
    assert main(["train", *arguments, *out]) == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1


# Pictures of one's own ----------------------------------------------------------------------


def test_class_folders_become_a_network_that_predict_takes(classes, place, capsys):
    out = place / "out"
    assert on(classes, out=out) == 0
    said = capsys.readouterr().out
    assert "20 pictures of 2 classes (bright, dark): 12 to learn from, 4 to choose" in said
    assert "4 held-out pictures are too few" in said
    file = out / "tiny_of_mine.safetensors"
    card = cards(out / "networks.yaml")["tiny_of_mine"]
    assert card.classes == ["bright", "dark"]
    assert card.command == "galhelpers train --dataset mine --like tiny --from-nothing"
    assert (card.start, card.check) == ("nothing", None)
    score = card.scores["accuracy"]
    assert (score.n, score.how) == (4, "exact binomial interval")
    assert score.high - score.low > 0.5  # also where all four are right
    mean = card.scores["macro_recall"]
    assert mean.high - mean.low > 0.5
    assert any("4 held-out pictures" in words for words in card.not_for)
    assert main(["predict", str(file), str(classes), "--out", str(place / "p.csv")]) == 0
    table = pd.read_csv(place / "p.csv")
    assert np.mean(table["class_name"] == table["file"].str.split("/").str[0]) > 0.9


def test_it_starts_from_the_encoder_of_a_network(root, classes, place, monkeypatch):
    main(["train", "tiny", "--data-root", str(root), "--out", str(place / "networks")])
    monkeypatch.setattr("galhelpers.learning.networks.course_root", lambda: place)
    mine = ["--dataset", str(classes), "--like", "tiny", "--out", str(place / "out")]
    assert main(["train", *mine]) == 0
    card = cards(place / "out" / "networks.yaml")["tiny_of_mine"]
    assert card.start == "tiny"
    start = load_checkpoint(place / "networks" / "tiny.safetensors")
    shown = load_checkpoint(place / "out" / "tiny_of_mine.safetensors").preprocessing
    assert shown["mean"] == start.preprocessing["mean"]


def test_a_table_of_labels_means_the_same_as_folders(classes, place):
    folders = read_labelled(classes, 16, 1.0).galaxies
    table = place / "all.csv"
    rows = [
        (file.relative_to(place), folders.classes[k])
        for file, k in zip(folders.files, folders.targets.tolist(), strict=True)
    ]
    pd.DataFrame(rows, columns=["picture", "kind"]).to_csv(table, index=False)
    found = read_labelled(table, 16, 1.0, label="kind").galaxies
    assert found.classes == folders.classes
    assert sorted(zip(found.files, found.targets.tolist(), strict=True)) == sorted(
        zip(folders.files, folders.targets.tolist(), strict=True)
    )
    # labels.csv in the folder goes before its folders; numbers with gaps are whole numbers.
    labels = [f"{k}.0" for k in folders.targets.tolist()]
    names = [str(file.relative_to(classes)) for file in folders.files]
    pd.DataFrame({"file": names, "label": labels}).to_csv(classes / "labels.csv", index=False)
    assert read_labelled(classes, 16, 1.0).galaxies.classes == ("0", "1")


def test_copies_count_once_and_are_never_on_two_sides(classes, capsys):
    for number in range(6):
        shutil.copy(classes / "dark" / "0.png", classes / "dark" / f"again{number}.png")
    shutil.copy(classes / "dark" / "2.png", classes / "bright" / "two.png")
    found = read_labelled(classes, 16, 1.0)
    said = capsys.readouterr().out
    assert "the same picture as another: 6 of 27" in said
    assert "the same picture stands under two labels: 2 of 27" in said
    names = [file.name for file in found.galaxies.files]
    assert "two.png" not in names
    assert "2.png" not in names
    assert len(names) == 19
    assert len(found.left_out) == 8


def test_what_cannot_be_read_is_listed_and_left_out(classes, place, capsys):
    (classes / "dark" / "broken.png").write_bytes(b"no picture")
    rows = [(f"{'bright' if n % 2 else 'dark'}/{n}.png", n % 2) for n in range(20)]
    rows += [("dark/broken.png", 0), ("dark/absent.png", 0)]
    table = pd.DataFrame(rows, columns=["file", "label"], dtype=object)
    table.loc[19, "label"] = ""
    table.to_csv(classes / "labels.csv", index=False)
    out = place / "out"
    assert on(classes, "--name", "mine", out=out) == 0
    said = capsys.readouterr().out
    assert "cannot be read: 2 of 22 (dark/broken.png, dark/absent.png)" in said
    assert "no label: 1 of 22 (bright/19.png)" in said
    listed = pd.read_csv(out / "work" / "mine.left_out.csv").set_index("file")["reason"]
    assert sorted(listed.index) == ["bright/19.png", "dark/absent.png", "dark/broken.png"]
    assert listed["bright/19.png"] == "no label"
    assert listed["dark/broken.png"] != listed["dark/absent.png"]


def one_class(folder):
    shutil.rmtree(folder / "bright")


def three_pictures(folder):
    for number in range(3, 20):
        (folder / ("bright" if number % 2 else "dark") / f"{number}.png").unlink()


def few_of_one(folder):
    for number in range(7, 20, 2):
        (folder / "bright" / f"{number}.png").unlink()


def broken(folder):
    for file in folder.rglob("*.png"):
        file.write_bytes(b"no picture")


def other_names(folder):
    text = "file,label\n" + "".join(f"elsewhere/{n}.jpg,a\n" for n in range(20))
    (folder / "labels.csv").write_text(text)


def a_measurement(folder):
    text = "file,label\n" + "".join(
        f"{'bright' if n % 2 else 'dark'}/{n}.png,{n / 7}\n" for n in range(20)
    )
    (folder / "labels.csv").write_text(text)


def no_label(folder):
    (folder / "labels.csv").write_text("file,mood\ndark/0.png,glad\n")


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


def no_folders(folder):
    for file in folder.rglob("*.png"):
        file.rename(folder / file.name)


def odd_name(folder):
    (folder / "dark").rename(folder / "-dark")


def parts_of_a_data_set(folder):
    (folder / "dark").rename(folder / "Train")
    (folder / "bright").rename(folder / "test")


def gaps(folder):
    lines = (
        f"{'bright' if n % 2 else 'dark'}/{n}.png,{'NaN' if n % 2 else 'a'}" for n in range(20)
    )
    (folder / "labels.csv").write_text("\n".join(["file,label", *lines]))


def two_columns(folder):
    (folder / "labels.csv").write_text("file,label,label\ndark/0.png,a,b\n")


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (one_class, "two classes or more, found 10 readable ones with a label, of 1"),
        (
            three_pictures,
            "5 different readable pictures or more of each class, found 2 of 'dark'",
        ),
        (few_of_one, "found 3 of 'bright'"),
        (broken, "found 0 readable ones"),
        (other_names, "elsewhere/0.jpg"),
        (a_measurement, "too few of 19 more classes"),
        (no_label, "class_name or label or class or class_id, found file, mood"),
        (empty, "found none among 0 files"),
        (no_folders, "found 0 readable ones with a label"),
        (odd_name, "found '-dark'"),
        (parts_of_a_data_set, "parts of a data set: Train, test"),
        (gaps, "found 10 readable ones with a label, of 1"),
        (two_columns, "one column 'label' of labels in labels.csv, found 2"),
    ],
)
def test_what_no_network_can_learn_from_gets_one_line(classes, place, capsys, spoil, expected):
    spoil(classes)
    assert on(classes, out=place / "out") == 2
    said = capsys.readouterr().err
    assert expected in said
    assert said.count("\n") == 1
    assert not list(place.rglob("*.pt"))
    assert not list(place.rglob("*.safetensors"))


def test_changed_pictures_or_labels_are_learnt_anew(classes, place):
    def trained():
        assert on(classes, out=place / "out") == 0
        return cards(place / "out" / "networks.yaml")["tiny_of_mine"].sha256

    first = trained()
    assert trained() == first
    (results,) = (place / "out" / "work" / "tiny_of_mine").glob("split_*")
    before = (results / "result.json").stat().st_mtime_ns
    trained()
    assert (results / "result.json").stat().st_mtime_ns == before  # it was there
    picture(classes / "dark" / "0.png", 0, 77)  # another picture under the same name
    assert trained() != first
    assert len(list((place / "out" / "work" / "tiny_of_mine").glob("split_*"))) == 2


def test_every_class_is_in_every_part(place):
    """Ten classes of five pictures, the fewest that are taken."""
    for number in range(50):
        picture(place / "ten" / f"k{number % 10}" / f"{number}.png", number % 5, number)
    assert on(place / "ten", "--crop", "0.9", out=place / "out") == 0
    card = cards(place / "out" / "networks.yaml")["tiny_of_ten"]
    assert [sum(row) for row in card.confusion] == [1] * 10
    assert (card.data.train, card.data.validation, card.data.test) == (30, 10, 10)
    assert card.preprocessing.crop == 0.9
    assert card.command.endswith("--from-nothing --crop 0.9")


def test_rare_classes_are_in_every_part(place):
    """Of 400 pictures of one class and five each of ten others."""
    for number in range(450):
        k = max(0, number - 399)
        picture(place / "rare" / f"k{(k + 4) // 5}" / f"{number}.png", min(k, 1), number)
    found = read_labelled(place / "rare", 16, 1.0).galaxies.targets.numpy()
    split = train._split(found)
    counts = [
        np.bincount(found[rows], minlength=11).tolist() for rows in (split.validation, split.test)
    ]
    assert counts == [[60, *[1] * 10]] * 2
    assert sorted(np.concatenate([split.train, split.validation, split.test])) == [*range(450)]


def test_odd_letters_are_no_end(classes, place):
    """A folder whose name is not UTF-8, and labels in Latin-1."""
    odd = place / os.fsdecode(b"g\xe9nial")
    shutil.copytree(classes, odd)
    text = "file,label\n" + "".join(
        f"{'bright' if n % 2 else 'dark'}/{n}.png,{'hell' if n % 2 else 'düster'}\n"
        for n in range(20)
    )
    (odd / "labels.csv").write_bytes(text.encode("latin-1"))
    assert on(odd, "--name", "odd", out=place / "out") == 0
    assert cards(place / "out" / "networks.yaml")["odd"].classes == ["düster", "hell"]


def test_more_classes_than_a_network_may_have_are_refused(place, monkeypatch, capsys):
    monkeypatch.setattr(labelled_pictures, "MOST_CLASSES", 9)
    for number in range(50):
        picture(place / "ten" / f"k{number % 10}" / f"{number}.png", 0, number)
    assert on(place / "ten", out=place / "out") == 2
    assert "at most 9 classes, found 10" in capsys.readouterr().err


def test_the_reader_refuses_what_is_nowhere(place):
    with pytest.raises(UserError, match="nowhere is not there"):
        read_labelled(place / "nowhere", 16, 1.0)
