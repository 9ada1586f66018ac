import io
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from galhelpers.paths import UserError
from galhelpers.views.widgets import ClassifyGalaxies, read_ballots

CLASSES = ["smooth", "edge_on", "spiral"]
IDS = ["100", "007", "abc", "d,e"]


@pytest.fixture
def images():
    return np.arange(4 * 3 * 6 * 6, dtype=np.uint16).reshape(4, 3, 6, 6).astype(np.uint8)


@pytest.fixture
def make(images, tmp_path):
    return lambda **change: ClassifyGalaxies(
        **(
            {"images": images, "ids": IDS, "classes": CLASSES, "votes_file": tmp_path / "v.csv"}
            | change
        )
    )


def press(widget, **content):
    """What the browser sends; ipywidgets hands custom messages over here."""
    widget._handle_custom_msg(content, [])


def test_votes_are_on_disk_at_once_and_in_order(make, tmp_path):
    widget = make()
    for i, answer in enumerate(["spiral", "smooth", "edge_on"]):
        assert widget.current == IDS[i]
        widget.vote(answer)
        on_disk = pd.read_csv(tmp_path / "v.csv", dtype=str)
        assert on_disk["id"].tolist() == IDS[: i + 1]
        assert on_disk["answer"].iloc[-1] == answer
    assert sorted(file.name for file in tmp_path.iterdir()) == [".v.csv.lock", "v.csv"]
    times = pd.to_datetime(widget.votes["time"])
    assert (pd.Timestamp.now(tz="UTC") - times).max() < pd.Timedelta(minutes=1)


def test_reopening_resumes_and_keeps_other_galaxies(make, tmp_path, images):
    make(ids=["w", "x", "y", "z"]).vote("spiral")
    first = make()
    first.vote("smooth")
    first.vote("edge_on")
    again = make()
    assert again.current == "abc"
    assert again.votes["id"].tolist() == ["100", "007"]
    assert repr(again) == "<ClassifyGalaxies: 2 of 4 galaxies classified>"
    again.undo()
    again.undo()
    again.undo()  # nothing left of its own to take back
    assert again.current == "100"
    assert read_ballots(tmp_path / "v.csv")["id"].tolist() == ["w"]


def test_two_open_widgets_do_not_overwrite_each_other(make, tmp_path):
    first, second = make(), make()
    first.vote("smooth")
    press(second, kind="vote", id="100", answer="spiral")  # its screen still shows galaxy 100
    assert read_ballots(tmp_path / "v.csv")[["id", "answer"]].values.tolist() == [["100", "smooth"]]
    assert second.scene["id"] == "007"
    press(second, kind="vote", id="007", answer="spiral")
    assert first.votes["answer"].tolist() == ["smooth", "spiral"]


def test_finishing_and_going_back(make):
    widget = make()
    for _ in IDS:
        widget.vote("smooth")
    assert widget.current is None
    assert (widget.scene["done"], widget.scene["image"]) == (4, b"")
    with pytest.raises(ValueError, match="All 4 galaxies have an answer"):
        widget.vote("smooth")
    press(widget, kind="vote", id=None, answer="smooth")
    assert "All 4 galaxies" in widget.scene["problem"]
    press(widget, kind="undo")
    assert (widget.current, widget.scene["problem"]) == ("d,e", "")


def test_the_picture_sent_is_the_galaxy(make, images):
    widget = make()
    widget.vote("smooth")
    sent = np.asarray(Image.open(io.BytesIO(widget.scene["image"])))
    np.testing.assert_array_equal(sent, images[1].transpose(1, 2, 0))


HEADER = b"id,answer,time\n"
VOTE = b"100,smooth,2026-01-01T00:00:00\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: expected the header id,answer,time"),
        (b"galaxy,vote\n", "line 1: expected the header"),
        (HEADER + b"100,smooth\n", "line 2: expected 3 values"),
        (HEADER + VOTE.replace(b"smooth", b"blob"), "line 2: .* smooth, edge_on, spiral.*blob"),
        (HEADER + b"100,smooth,noon\n", "line 2: expected a time"),
        (HEADER + VOTE + VOTE, "line 3: expected each galaxy once"),
        (b"\x89PNG\r\n\x1a\n\xff", "not a readable CSV"),
        (HEADER + b'"100,smooth', "not a readable CSV"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_and_left_alone(make, tmp_path, content, message):
    (tmp_path / "v.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "v.csv" in str(error.value)
    assert "Move the file away" in str(error.value) or "move the file away" in str(error.value)
    assert (tmp_path / "v.csv").read_bytes() == content


@pytest.mark.parametrize("kind", ["folder", "pipe", "zero byte", "larger than memory"])
def test_what_is_no_file_of_votes_is_refused_without_waiting(make, tmp_path, kind):
    file = tmp_path / "v.csv"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("Windows has no such pipes")
        os.mkfifo(file)
    elif kind == "zero byte":
        file.write_bytes(HEADER + b"1\x002,smooth\x00,\n")
    else:
        with file.open("wb") as stream:
            stream.truncate(10**12)
    with pytest.raises(ValueError, match=r"v\.csv"):
        make()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=8)), min_size=1, max_size=4))
def test_any_damage_to_a_file_of_votes_is_named_and_loses_nothing(make, tmp_path, damage):
    content = bytearray(HEADER + VOTE + VOTE.replace(b"100", b"007") + VOTE.replace(b"100", b"z"))
    for where, replacement in damage:
        content[where : where + len(replacement)] = replacement
    (tmp_path / "v.csv").write_bytes(content)
    said = ""
    try:
        votes = read_ballots(tmp_path / "v.csv", CLASSES)
        make(votes_file=tmp_path / "v.csv").vote("spiral")
    except ValueError as error:
        said = str(error)
    assert said.isprintable()
    if said:
        assert (tmp_path / "v.csv").read_bytes() == content
    else:
        after = read_ballots(tmp_path / "v.csv", CLASSES)
        assert after[: len(votes)].equals(votes)
        assert len(after) == len(votes) + 1


VOTE_OFTEN = """
import sys
import numpy as np
from galhelpers.views.widgets import ClassifyGalaxies
ids = [sys.argv[2] + str(i) for i in range(20)]
widget = ClassifyGalaxies(np.zeros((20, 3, 4, 4), np.uint8), ids, ["a", "b"], sys.argv[1])
print("ready", flush=True)
input()
for _ in ids:
    widget.vote("a")
"""


def test_votes_of_two_processes_are_all_kept(tmp_path):
    command = [sys.executable, "-c", VOTE_OFTEN, str(tmp_path / "v.csv")]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    voters = [subprocess.Popen([*command, name], **streams) for name in "xy"]
    for voter in voters:
        assert voter.stdout.readline() == "ready\n"
    for voter in voters:
        voter.stdin.write("\n")
        voter.stdin.flush()
    for voter in voters:
        voter.communicate(timeout=100)
        assert voter.returncode == 0
    assert len(read_ballots(tmp_path / "v.csv")) == 40


def test_a_link_to_the_votes_stays_a_link(make, tmp_path):
    (tmp_path / "link.csv").symlink_to(tmp_path / "v.csv")
    make(votes_file=tmp_path / "link.csv").vote("smooth")
    assert (tmp_path / "link.csv").is_symlink()
    assert len(read_ballots(tmp_path / "v.csv")) == 1


def test_a_file_saved_by_a_spreadsheet_is_read(make, tmp_path):
    text = "\ufeffid,answer,time\r\n007,smooth,2026-01-01T00:00:00+00:00\r\n"
    (tmp_path / "v.csv").write_bytes(text.encode())
    assert make().votes["id"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((4, 6, 6, 3), np.uint8)}, r"\(n, 3, height, width\)"),
        ({"images": np.zeros((4, 3, 6, 6))}, "uint8"),
        ({"ids": ["a", "b"]}, "4 different ids"),
        ({"ids": ["a", "b", "c", "c"]}, "3 of them different"),
        ({"classes": ["only"]}, "2 to 9"),
        ({"classes": ["a", "a"]}, "2 to 9"),
        ({"classes": ["a", "b\x1b[31m"]}, "x1b"),
        ({"ids": ["a", "b", "c", "d\re"]}, "printed"),
        ({"votes_file": "~no_such_user/v.csv"}, "no_such_user"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(make, change, message):
    with pytest.raises((ValueError, UserError), match=message):
        make(**change)


def test_unknown_answers_are_refused_and_reported(make, tmp_path):
    widget = make()
    with pytest.raises(ValueError, match="smooth, edge_on, spiral"):
        widget.vote("star")
    turn = widget.scene["turn"]
    press(widget, kind="vote", id="100", answer="star")
    assert "got 'star'" in widget.scene["problem"]
    assert widget.scene["turn"] == turn + 1
    assert not (tmp_path / "v.csv").exists()
