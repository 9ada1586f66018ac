"""The report: what it shows, that it opens offline, and that text of others cannot break it."""

import json
import os
from html.parser import HTMLParser
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from galhelpers.course.lesson import Lesson
from galhelpers.course.report import collect_pictures, duration, gigabytes, number, write_report
from galhelpers.course.results import write_metrics
from galhelpers.course.state import NotebookRun, State
from galhelpers.published import load_published

PARAMETERS = {"profile": "quick", "dataset": "simulated", "seed": 3, "data_root": "", "out": ".."}
MACHINE = {"system": "Linux", "GPU": "none"}


def a_run(name, status="ok", **facts):
    facts = {"machine": MACHINE, "versions": {"python": "3.11.9"}, "seconds": 41.0} | facts
    return NotebookRun(name, status, "hash", PARAMETERS, **facts)


@pytest.fixture
def out(tmp_path):
    """A run folder with one finished and one failed notebook, numbers, a picture, a checkpoint."""
    error = "04_baselines failed in cell 12: ValueError: <script>alert(1)</script> & more"
    runs = [
        a_run("01_votes", peak_memory=1_234_000_000),
        a_run("04_baselines", "failed", error=error, machine=MACHINE | {"GPU": "big"}),
    ]
    (tmp_path / "notebooks").mkdir()
    for run in runs:
        (tmp_path / "notebooks" / f"{run.name}.ipynb").write_text("{}")
    State({run.name: run for run in runs}).save(tmp_path)
    facts = {"n": 79_975, "seed": 3, "dataset": "simulated", "profile": "quick"}
    rmse = {"name": "RMSE", "value": 0.123456, "low": 0.12, "high": 0.13}
    spread = {"name": "spread only", "value": 0.5, "spread": 0.01, "published": "no_such_id"}
    rows = [rmse | facts | {"published": "kaggle_central_pixel"}, spread]
    write_metrics(tmp_path, "04_baselines", rows)
    pictures = tmp_path / "figures" / "01_votes"
    pictures.mkdir(parents=True)
    matplotlib.image.imsave(pictures / "a tree.png", np.zeros((2, 2)))
    words = {"caption": "The tree of questions.", "alt": 'Eleven "boxes"'}
    (pictures / "a tree.json").write_text(json.dumps(words))
    (tmp_path / "figures" / "01_votes.json").write_text('["a tree"]')
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.safetensors").write_bytes(b"")
    return tmp_path


class Page(HTMLParser):
    """Collect the tags, links and text of a page; complain about tags that do not close."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.open, self.text = [], [], [], ""
        self.feed(text)
        assert not self.open
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.links += [v for k, v in attributes if k in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += f"{data} "


def test_the_page_shows_what_ran_and_what_it_gave(out):
    page = Page(write_report(out).read_text())
    assert "01_votes" in page.text
    assert "41 s 1.2 GB quick simulated 3" in page.text
    assert "04_baselines failed in cell 12: ValueError: <script>alert(1)</script>" in page.text
    published = load_published()["kaggle_central_pixel"]
    assert "RMSE 0.1235 0.12 to 0.13 79,975 simulated, quick, 3" in page.text
    assert f"{published.value:.4g}" in page.text
    assert " ".join(published.caveat.split()) in page.text
    assert "± 0.01 over seeds" in page.text
    assert "published.yaml has no entry 'no_such_id'" in page.text
    assert "3.11.9" in page.text
    assert "big" in page.text


def test_the_page_opens_offline_and_its_links_lead_somewhere(out):
    page = Page(write_report(out).read_text())
    assert not any(tag == "script" for tag, _ in page.tags)
    assert len(page.links) == 7
    for link in page.links:
        assert "//" not in link
        assert not link.startswith("/")
        assert (out / link.replace("%20", " ")).exists(), link


def test_the_page_is_accessible(out):
    page = Page(write_report(out).read_text())
    tags = [tag for tag, _ in page.tags]
    assert tags.count("h1") == 1
    assert ("html", {"lang": "en"}) in page.tags
    images = [a for tag, a in page.tags if tag == "img"]
    assert [a["alt"] for a in images] == ['Eleven "boxes"']
    assert all("scope" in a for tag, a in page.tags if tag == "th")
    assert tags.count("caption") == tags.count("table") == 2
    named = {a["id"] for _, a in page.tags if "id" in a}
    assert {a["aria-labelledby"] for _, a in page.tags if "aria-labelledby" in a} <= named


def test_figures_are_in_the_order_in_which_they_were_made(tmp_path):
    """Whatever the times of the files are, as after a copy; without those of an earlier run."""
    for names in (["old", "b"], ["c", "a", "b", "a"]):
        lesson = Lesson("01_votes", "quick", "simulated", "", 0, str(tmp_path))
        for name in names:
            lesson.show(Figure(), name, caption="What to see.", alt="Nothing.")
    for file in (tmp_path / "figures" / "01_votes").iterdir():
        os.utime(file, (1, 1))
    found = [Path(picture.file).stem for picture in collect_pictures(tmp_path)]
    assert found == ["c", "a", "b"]


def test_results_json_is_the_union_of_the_notebooks(out):
    write_metrics(out, "01_votes", [{"name": "galaxies", "value": 4000}])
    write_report(out)
    metrics = json.loads((out / "results.json").read_text())["metrics"]
    assert [m["name"] for m in metrics] == ["galaxies", "RMSE", "spread only"]
    assert metrics[1]["high"] == 0.13


@pytest.mark.parametrize("content", ["[{", "[1, 2]", '{"a": 1}'])
def test_a_damaged_metrics_file_is_shown_and_hides_nothing(out, content):
    (out / "metrics" / "02_x.json").write_text(content)
    text = Page(write_report(out).read_text()).text
    assert "02_x.json is damaged" in text
    assert "RMSE" in text


def test_what_a_killed_process_left_half_written_is_no_part_of_the_report(tmp_path):
    lesson = Lesson("01_votes", "quick", "simulated", "", 0, str(tmp_path))
    lesson.record("galaxies", 7)
    for name in ("a", "b"):
        lesson.show(Figure(), name, caption="What to see.", alt="Nothing.")
    (tmp_path / "metrics" / ".01_votes.json.x.json").write_text("")
    (tmp_path / "figures" / ".01_votes.json.x.json").write_text("")
    (tmp_path / "figures" / "01_votes" / "b.json").unlink()
    (tmp_path / "figures" / "02_x.json").write_text('["a')
    assert "damaged" not in write_report(tmp_path).read_text()
    assert [Path(picture.file).stem for picture in collect_pictures(tmp_path)] == ["a"]


def test_an_empty_run_folder_has_a_report(tmp_path):
    page = Page(write_report(tmp_path).read_text())
    assert "Nothing has run in this folder yet." in page.text


def test_numbers_as_people_write_them():
    assert [duration(s) for s in (0.4, 41, 185, 7800)] == [
        "0 s",
        "41 s",
        "3 min 05 s",
        "2 h 10 min",
    ]
    assert duration(59.7) == "1 min 00 s"
    assert duration(179.8) == "3 min 00 s"
    assert gigabytes(0) == "–"
    assert [number(v) for v in (None, 61578, 0.123456, 4000.0, 1.0, 7.5)] == [
        "–", "61,578", "0.1235", "4,000", "1.0", "7.5",
    ]  # fmt: skip
