"""Trained networks from the command line and in a notebook."""

import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galhelpers.course.cli import main
from galhelpers.course.dependencies import dependencies
from galhelpers.course.lesson import Lesson
from galhelpers.learning import networks
from galhelpers.learning.networks import cards
from galhelpers.paths import UserError
from tests.learning.small_networks import make, put


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A course with three networks."""
    root = tmp_path_factory.mktemp("course")
    for name, kind in (("sorts", "five"), ("votes_of_many_people", "votes"), ("moods", "moods")):
        put(root / "networks", name, kind)
    return root


@pytest.fixture(autouse=True)
def here(root, tmp_path, monkeypatch):
    """The networks are those of that course, and the working folder holds three pictures."""
    monkeypatch.setattr(networks, "course_root", lambda: root)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    return tmp_path


def run(capsys, *arguments):
    code = main(arguments)
    streams = capsys.readouterr()
    return code, streams.out, streams.err


def test_the_table(capsys):
    code, out, _ = run(capsys, "networks")
    assert code == 0
    table, hint = out.split("\n\n")
    head, *rows = table.splitlines()
    assert head.split("  ")[0] == "name"
    assert [row.split()[0] for row in rows if row[0] != " "] == list(cards())
    # The columns stand under each other, in all lines of a cell.
    size, first = head.index("MB"), rows[0]
    assert re.fullmatch(r"\d\.\d", first[size:])
    assert first[head.index("score") :].startswith("accuracy")
    assert rows[1][head.index("score") :].startswith("0.900 [0.850, 0.950]")
    assert first[head.index("trained on") :].startswith("1,200 of")
    answers = slice(head.index("answers"), head.index("trained on"))
    words = " ".join(row[answers].strip() for row in rows[: len(rows) // 3])
    assert words == cards()["sorts"].answers
    assert max(map(len, table.splitlines())) <= 100
    assert "galhelpers predict NAME" in hint


def test_the_courses_own_networks_fit_a_terminal(capsys, course, monkeypatch):
    monkeypatch.setattr(networks, "course_root", lambda: course)
    shown = [run(capsys, "networks", *name)[1] for name in ([], *([name] for name in cards()))]
    assert max(len(line) for text in shown for line in text.splitlines()) <= 100


@pytest.mark.parametrize("name", ["sorts", "votes_of_many_people", "moods"])
def test_a_card_is_printed_whole(capsys, name):
    code, out, _ = run(capsys, "networks", name)
    assert code == 0
    card = cards()[name]
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"{name}: Which of a few kinds is it?")
    labels = {line[2:13].strip() for line in lines[1:] if line[2] != " "}
    assert labels - {"confusion", "check"} == {
        *("gives", "network", "pictures", "data", "start", "made by", "on", "scores", "split"),
        *("not for", "file", "licence"),
    }
    flat = " ".join(out.split())
    for words in (
        *card.not_for,
        card.sha256,
        f"{card.parameters:,} parameters",
        "galhelpers train",
        "macro recall 0.860 [0.850, 0.950]: test part, 300 galaxies, 3 splits",
    ):
        assert words in flat
    if card.confusion:
        first = lines.index("  confusion   columns: predicted class")
        rows = [line.split() for line in lines[first + 2 : first + 2 + len(card.classes)]]
        assert [row[1] for row in rows] == card.classes
        assert [[int(n) for n in row[2:]] for row in rows] == card.confusion
    assert ("check" in labels) == (card.check is not None)


def test_a_card_that_there_is_not(capsys):
    code, out, err = run(capsys, "networks", "Sort")
    assert (code, out) == (2, "")
    assert "no trained network 'Sort'. Did you mean sorts?" in err
    assert err.count("\n") == 1


def predicted(name):
    return pd.read_parquet(f"{name}.parquet").drop(columns="file")


def test_predict_by_name_is_predict_by_file(capsys, root):
    file = root / "networks" / "sorts.safetensors"
    assert main(["predict", "sorts", "images", "--out", "name.parquet"]) == 0
    assert main(["predict", str(file), "images", "--out", "file.parquet"]) == 0
    pd.testing.assert_frame_equal(predicted("name"), predicted("file"))
    assert len(predicted("name")) == 3


def test_a_file_of_that_name_goes_before_the_network(here, capsys):
    make(here, "other", "moods").rename(here / "sorts")
    assert main(["predict", "sorts", "images", "--out", "a.parquet"]) == 0
    assert {"p_glad", "p_sad"} <= set(predicted("a"))
    (here / "sorts").unlink()
    (here / "sorts").mkdir()  # a folder does not: it may be that of the pictures
    assert main(["predict", "sorts", "images", "--out", "b.parquet"]) == 0
    assert "p_spiral" in predicted("b")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sort", "Expected a file or the name of a trained network, but 'sort' is neither. Did you "
         "mean sorts? Trained networks: sorts, votes_of_many_people, moods."),
        ("other/sorts", "sorts cannot be used as a checkpoint"),
        ("sorts.safetensors", "sorts.safetensors cannot be used as a checkpoint"),
    ],
)  # fmt: skip
def test_what_is_neither_a_file_nor_a_network(here, capsys, name, said):
    before = set(here.iterdir())
    code, out, err = run(capsys, "predict", name, "images", "--out", "a.csv")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert set(here.iterdir()) == before


def test_a_changed_network_predicts_nothing(here, root, capsys, monkeypatch):
    spoiled = here / "course" / "networks"
    spoiled.mkdir(parents=True)
    for name in ("networks.yaml", "sorts.safetensors"):
        (spoiled / name).write_bytes((root / "networks" / name).read_bytes())
    with (spoiled / "sorts.safetensors").open("ab") as file:
        file.write(b"\0")
    monkeypatch.setattr(networks, "course_root", lambda: here / "course")
    code, _, err = run(capsys, "predict", "sorts", "images", "--out", "a.csv")
    assert code == 2
    assert "SHA-256" in err
    assert "galhelpers train sorts" in err
    assert not (here / "a.csv").exists()


def test_a_lesson_loads_a_network(here):
    lesson = Lesson("04_baselines", "quick", "simulated", "", 0, str(here / "out"))
    network = lesson.trained("sorts")
    assert network.classes == cards()["sorts"].classes
    with pytest.raises(UserError, match="Did you mean moods"):
        lesson.trained("mood")


def test_a_notebook_depends_on_the_networks_that_it_names(here, root):
    notebook = here / "03_a.ipynb"
    notebook.write_text(
        '{"cells": [{"cell_type": "code", "source": ["network = lesson.trained(\\"sorts\\")"]}]}'
    )
    assert list(dependencies(notebook, root)) == [root / "networks" / "sorts.safetensors"]
