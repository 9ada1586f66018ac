"""The state of a run folder: what is damaged is made again, and nothing of others is lost."""

import json
import random
import shutil
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from galhelpers.course.lesson import Lesson
from galhelpers.course.report import collect_pictures, write_report
from galhelpers.course.results import collect_metrics
from galhelpers.course.state import (
    NotebookRun,
    State,
    checksum,
    damaged,
    executed,
    forget,
    is_run_folder,
    results_of,
)

NAME = "01_votes"
FILES = (
    executed(NAME),
    "metrics/01_votes.json",
    "figures/01_votes.json",
    "figures/01_votes/a.json",
    "figures/01_votes/a.png",
    "checkpoints/best.safetensors",
)


def finished(out: Path) -> NotebookRun:
    """Make what a finished notebook leaves: itself, a number, a figure, a checkpoint."""
    lesson = Lesson(NAME, "quick", "simulated", "", 0, str(out))
    lesson.record("accuracy", 0.75, spread=0.01, n=400, published="kaggle_central_pixel")
    lesson.show(Figure(figsize=(1, 1)), "a", caption="What to see.", alt="Nothing.")
    (out / "notebooks").mkdir()
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("answer = None")])
    nbformat.write(notebook, out / executed(NAME))
    (out / "checkpoints").mkdir()
    (out / "checkpoints" / "best.safetensors").write_bytes(b"weights")
    run = NotebookRun(NAME, "ok", "hash", {"seed": 0}, {"GPU": "none"}, {"python": "3"}, seconds=4)
    run.results = {key: checksum(file) for key, file in results_of(NAME, out).items()}
    State({NAME: run}).save(out)
    write_report(out)
    return run


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    out = tmp_path_factory.mktemp("original") / "run"
    finished(out)
    return out


@pytest.fixture
def out(original, tmp_path):
    return shutil.copytree(original, tmp_path / "run")


def is_done(out: Path) -> bool:
    """Decide as the runner does."""
    state = State.load(out)
    return state.is_done(NAME, "hash") and not damaged(state.runs[NAME], out)


def test_a_finished_notebook_is_done_as_long_as_its_results_are_there(out):
    assert sorted(State.load(out).runs[NAME].results) == sorted(FILES)
    assert is_done(out)
    assert not State.load(out).is_done(NAME, "another hash")


@pytest.mark.parametrize("key", FILES)
@pytest.mark.parametrize("harm", ["deleted", "emptied", "cut", "bit", "folder", "link"])
def test_a_missing_or_damaged_result_makes_it_run_again(out, tmp_path, key, harm):
    file = out / key
    content = file.read_bytes()
    if harm in ("deleted", "folder", "link"):
        file.rename(tmp_path / "elsewhere")
    if harm == "folder":
        file.mkdir()
    elif harm == "link":
        file.symlink_to(tmp_path / "elsewhere")
    elif harm == "emptied":
        file.write_bytes(b"")
    elif harm == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif harm == "bit":
        file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert not is_done(out)
    assert damaged(State.load(out).runs[NAME], out) == [key]


def test_answers_in_an_executed_notebook_leave_it_done_and_are_kept_when_it_runs_again(out):
    answered = nbformat.read(out / executed(NAME), as_version=4)
    answered.cells[0].source = "answer = 42"
    nbformat.write(answered, out / executed(NAME))
    content = (out / executed(NAME)).read_bytes()
    assert is_done(out)
    for place in ("kept/notebooks/01_votes.ipynb", "kept/notebooks/01_votes-2.ipynb"):
        assert forget(NAME, State.load(out).runs[NAME], out) == [place]
        assert (out / place).read_bytes() == content
        assert not (out / executed(NAME)).exists()
        (out / executed(NAME)).write_bytes(content)


def test_what_others_put_among_the_results_is_kept_and_the_rest_removed(out):
    (out / "figures" / NAME / "notes.txt").write_text("mine")
    (out / "figures" / "02_other").mkdir()
    (out / "figures" / "02_other" / "b.png").write_text("of another notebook")
    (out / "metrics" / "01_votes.json").write_text("[]")
    (out / "checkpoints" / "best.safetensors").write_bytes(b"trained further")
    (out / "checkpoints" / "mine.safetensors").write_bytes(b"mine")
    kept = forget(NAME, State.load(out).runs[NAME], out)
    assert sorted(kept) == [
        "kept/checkpoints/best.safetensors",
        "kept/figures/01_votes/notes.txt",
        "kept/metrics/01_votes.json",
    ]
    assert [file.name for file in (out / "checkpoints").iterdir()] == ["mine.safetensors"]
    assert (out / "figures" / "02_other" / "b.png").is_file()
    assert list(results_of(NAME, out)) == ["checkpoints/mine.safetensors"]


def test_without_a_state_everything_that_is_there_is_kept(out):
    before = {key: (out / key).read_bytes() for key in FILES[:-1]}
    forget(NAME, None, out)
    assert {key: (out / "kept" / key).read_bytes() for key in before} == before


def test_a_killed_run_leaves_numbers_that_are_removed_and_a_notebook_that_is_kept(out):
    run = State.load(out).runs[NAME]
    run.status, run.results = "running", {}
    assert forget(NAME, run, out) == ["kept/notebooks/01_votes.ipynb"]
    assert list(results_of(NAME, out)) == ["checkpoints/best.safetensors"]


def test_a_state_that_names_files_elsewhere_harms_none(out, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("mine")
    run = State.load(out).runs[NAME]
    run.results |= {"../victim.txt": checksum(victim), str(victim): checksum(victim)}
    State({NAME: run}).save(out)
    assert not is_done(out)
    forget(NAME, State.load(out).runs[NAME], out)
    assert victim.read_text() == "mine"
    rows = json.loads((out / "state.json").read_text())
    (out / "state.json").write_text(json.dumps([rows[0] | {"name": "../../victim"}]))
    assert State.load(out).runs == {}


VALUES = [
    "weird", "", "x" * 6000, "../../x", "\u0000\u001b[31m", "2026-99-99", None, True, -1, 10**30,
    0.5, 1e300, float("nan"), float("inf"), [], {}, [1, 2], {"a": {"b": 1}}, [[[[]]]], {"": None},
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "weird"),
        ("seconds", "x"),
        ("seconds", float("nan")),
        ("seconds", -1),
        ("finished", None),
        ("parameters", None),
        ("parameters", {"seed": [1]}),
        ("machine", {"GPU": 3}),
        ("peak_memory", 1.5),
        ("name", "../x"),
        ("results", ["a"]),
    ],
)
def test_one_damaged_entry_runs_again_and_the_others_stay(out, field, value):
    good = json.loads((out / "state.json").read_text())
    bad = good[0] | {"name": "02_other"} | {field: value}
    (out / "state.json").write_text(json.dumps([bad, *good]))
    state = State.load(out)
    assert list(state.runs) == [NAME]
    assert "state.json" in state.problem
    assert is_done(out)
    assert "state.json" in write_report(out).read_text()


@pytest.mark.parametrize(
    "content",
    [b"[{]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b"[null, 1]", b'["\\ud800"]',
     b"[1" + b"0" * 5000 + b"]", b" " * 20_000_000],
)  # fmt: skip
@pytest.mark.parametrize("name", ["state.json", *FILES[1:4]])
def test_a_damaged_small_file_stops_neither_the_report_nor_the_decision(out, name, content):
    (out / name).write_bytes(content)
    assert State.load(out).problem or name != "state.json"
    assert is_run_folder(out)
    assert not is_done(out)
    assert "Report of a run" in write_report(out).read_text()
    assert len(json.loads((out / "results.json").read_text())["metrics"]) <= 1


def test_only_a_folder_that_we_made_is_ours(out, tmp_path):
    assert not is_run_folder(tmp_path / "nowhere")
    (tmp_path / "theirs").mkdir()
    for content in ('{"of": "another program"}', "[]", '[{"name": "01_votes"}]'):
        (tmp_path / "theirs" / "state.json").write_text(content)
        assert not is_run_folder(tmp_path / "theirs")
    # An earlier version left no mark.
    shutil.copy(out / "state.json", tmp_path / "theirs" / "state.json")
    assert is_run_folder(tmp_path / "theirs")


def changed(value, chance: random.Random):
    """Put another value somewhere into a JSON document, or take something away."""
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        value = value.copy()
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if chance.random() < 0.1:
            del value[key]
        else:
            value[key] = changed(value[key], chance)
        return value
    return chance.choice(VALUES)


@pytest.fixture(scope="module")
def whole(original, tmp_path_factory):
    out = shutil.copytree(original, tmp_path_factory.mktemp("whole") / "run")
    return out, {key: (out / key).read_bytes() for key in (*FILES, "state.json", "results.json")}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["state.json", *FILES[:4], "results.json"]),
    st.booleans(),
    st.randoms(use_true_random=True),
)
def test_any_damage_ends_in_a_report_and_loses_no_result_silently(whole, name, as_json, chance):
    out, content = whole
    for key, right in content.items():
        (out / key).write_bytes(right)
    if as_json:
        document = json.loads(content[name])
        for _ in range(chance.randint(1, 3)):
            document = changed(document, chance)
        (out / name).write_text(json.dumps(document))
    else:
        damage = bytearray(content[name])
        for _ in range(chance.randint(1, 5)):
            where = chance.randrange(len(damage) + 1)
            damage[where : where + chance.choice([0, 1, 1, 50])] = chance.randbytes(
                chance.choice([0, 1, 1, 9])
            )
        (out / name).write_bytes(damage)
    page = write_report(out).read_text()
    assert "Report of a run" in page
    if is_done(out):
        for key in FILES[1:]:
            assert (out / key).read_bytes() == content[key]
        nbformat.validate(nbformat.read(out / executed(NAME), as_version=4))
        assert [row["value"] for row in collect_metrics(out)] == [0.75]
        assert len(collect_pictures(out)) == 1
        assert "accuracy" in page
