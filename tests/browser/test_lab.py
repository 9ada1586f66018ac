"""The widget and the figures in JupyterLab, used with mouse and keyboard."""

import csv
import os
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.browser

CLASSES = [
    "completely_round_smooth",
    "in_between_smooth",
    "cigar_shaped_smooth",
    "edge_on",
    "spiral",
]
N = 24

SETUP = f"""\
import numpy as np
from galhelpers.views import ClassifyGalaxies, contact_sheet, show
y, x = np.mgrid[-1:1:64j, -1:1:64j]
images = np.stack([  # blobs, each flatter than the last; the corner's red value numbers them
    np.repeat(220 * np.exp(-8 * (x**2 + (1 + i / 4) ** 2 * y**2))[None], 3, axis=0)
    for i in range({N})
]).astype(np.uint8)
images[:, 0, :4, :4] = 10 * np.arange({N})[:, None, None]
ids = [f"galaxy-{{i:02d}}" for i in range({N})]
widget = ClassifyGalaxies(images, ids, {CLASSES!r}, "votes.csv")
widget"""
FIGURE = """\
show(contact_sheet(images[:8], ids[:8], columns=8), "sheet", "Eight *blobs*.",
     "Eight blobs in a row, each < flatter than the one before.", out="run")"""


def write_notebook(path: Path, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, path)


def votes_on_disk(folder: Path) -> list[tuple[str, str]]:
    with (folder / "votes.csv").open(newline="") as file:
        return [(row["id"], row["answer"]) for row in csv.DictReader(file)]


def shown_galaxy(page) -> int:
    """Number of the galaxy on the screen, read from the pixels of its picture."""
    page.wait_for_function("document.querySelector('.galaxy-vote-picture').complete")
    red = page.evaluate(
        """() => {
             const picture = document.querySelector(".galaxy-vote-picture");
             const canvas = document.createElement("canvas");
             [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
             const pen = canvas.getContext("2d");
             pen.drawImage(picture, 0, 0);
             return pen.getImageData(1, 1, 1, 1).data[0];
           }"""
    )
    return round(red / 10)


def screenshot(page, name: str) -> None:
    """Keep a picture where GALHELPERS_SCREENSHOTS names a folder."""
    if folder := os.environ.get("GALHELPERS_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_classifying_by_mouse_and_keyboard_resumes_after_reload(open_lab, tmp_path):
    write_notebook(tmp_path / "classify.ipynb", SETUP)
    lab = open_lab(tmp_path)
    lab.open_notebook("classify.ipynb")
    lab.run_all()
    page = lab.page
    page.wait_for_selector(".galaxy-vote")
    expected = []

    def wait_for(done: int) -> None:
        page.wait_for_function(
            "text => document.querySelector('.galaxy-vote-count').textContent === text",
            arg=f"{done} of {N}",
        )

    wait_for(0)
    for i in range(10):
        assert shown_galaxy(page) == i
        answer = CLASSES[(i * 2) % 5]
        page.get_by_role("button", name=answer.replace("_", " "), exact=True).click()
        wait_for(i + 1)
        expected.append((f"galaxy-{i:02d}", answer))
        assert votes_on_disk(tmp_path) == expected  # saved before the next galaxy is shown

    for i in range(10, 20):
        assert shown_galaxy(page) == i
        page.keyboard.press(str(i % 5 + 1))
        wait_for(i + 1)
        expected.append((f"galaxy-{i:02d}", CLASSES[i % 5]))
    assert votes_on_disk(tmp_path) == expected
    screenshot(page, "widget_after_20")

    page.keyboard.press("Backspace")
    wait_for(19)
    assert shown_galaxy(page) == 19
    assert votes_on_disk(tmp_path) == expected[:19]
    # Outside the widget, Lab's keys would have made this cell a heading or deleted it.
    (cell,) = lab.cells()
    assert (cell["type"], cell["source"]) == ("code", SETUP)
    # What a reader of the saved notebook sees, where nothing runs.
    text = cell["outputs"][0]["data"]["text/plain"]
    assert "".join(text) == f"<ClassifyGalaxies: 0 of {N} galaxies classified>"

    lab.open_notebook("classify.ipynb")
    lab.run_all()
    page.wait_for_selector(".galaxy-vote")
    wait_for(19)
    assert shown_galaxy(page) == 19
    page.locator(".galaxy-vote-picture").click()  # as the hint says, this wakes the keys
    for i in range(19, N):
        page.keyboard.press("5")
        wait_for(i + 1)
    assert (
        page.locator(".galaxy-vote-message").inner_text().endswith("All galaxies are classified.")
    )
    assert not page.locator(".galaxy-vote-picture").is_visible()
    screenshot(page, "widget_finished")
    page.keyboard.press("3")  # nothing left to answer
    page.keyboard.press("Backspace")
    wait_for(N - 1)
    assert votes_on_disk(tmp_path) == expected[:19] + [
        (f"galaxy-{i:02d}", "spiral") for i in range(19, N - 1)
    ]


def test_a_vote_that_cannot_be_saved_is_reported_and_not_counted(open_lab, tmp_path):
    write_notebook(tmp_path / "classify.ipynb", SETUP)
    lab = open_lab(tmp_path)
    lab.open_notebook("classify.ipynb")
    lab.run_all()
    page = lab.page
    page.locator(".galaxy-vote").focus()
    page.keyboard.press("1")
    page.get_by_text(f"1 of {N}").wait_for()
    saved = (tmp_path / "votes.csv").read_text()
    (tmp_path / "votes.csv").write_text(saved.replace("completely", "utterly"))
    for _ in range(2):  # the widget stays usable
        page.keyboard.press("2")
        page.get_by_role("alert").filter(has_text="votes.csv, line 2").wait_for()
        page.locator(".galaxy-vote[aria-busy]").wait_for(state="detached")  # it takes keys again
    assert page.locator(".galaxy-vote-count").inner_text() == f"1 of {N}"
    (tmp_path / "votes.csv").write_text(saved)
    page.keyboard.press("2")
    page.get_by_text(f"2 of {N}").wait_for()
    assert page.get_by_role("alert").filter(has_text="line 2").count() == 0


def test_the_checks_of_these_tests_can_fail(open_lab, tmp_path):
    write_notebook(tmp_path / "broken.ipynb", "1 + 1", "1 / 0")
    lab = open_lab(tmp_path)
    lab.open_notebook("broken.ipynb")
    with pytest.raises(AssertionError, match="cell 1: ZeroDivisionError: division by zero"):
        lab.run_all()
    lab.check_clean()
    lab.evaluate("await fetch('http://elsewhere.invalid/').catch(() => null);")
    assert lab.foreign_requests() == ["http://elsewhere.invalid/"]
    lab.page.wait_for_timeout(200)
    assert any("ERR_" in error for error in lab.errors)
    lab.requests.remove("http://elsewhere.invalid/")
    lab.errors.clear()
    with pytest.raises(Exception, match="no answer in 1 s"):
        lab.evaluate("await new Promise(() => null);", timeout=1)


def test_figures_appear_once_with_caption_and_description(open_lab, tmp_path):
    write_notebook(tmp_path / "figure.ipynb", SETUP, FIGURE)
    lab = open_lab(tmp_path)
    lab.open_notebook("figure.ipynb")
    lab.run_all()
    cell = lab.page.locator(".jp-CodeCell").nth(1)
    cell.locator(".jp-RenderedImage img").wait_for()
    assert cell.locator("img").count() == 1
    cell.get_by_text("Figure: Eight blobs.").wait_for()
    assert cell.locator("em").inner_text() == "blobs"
    # JupyterLab 4.6 drops the alt text of the output; this is where its readers find it.
    description = cell.locator("details").get_by_text(
        "Eight blobs in a row, each < flatter than the one before."
    )
    assert not description.is_visible()
    cell.locator("summary").click()
    assert description.is_visible()
    screenshot(lab.page, "figure")
    assert (tmp_path / "run" / "figures" / "sheet.png").is_file()
    lab.save()
    saved = nbformat.read(tmp_path / "figure.ipynb", as_version=4)
    picture = saved.cells[1].outputs[0]
    assert picture.metadata["image/png"]["alt"].startswith("Eight blobs in a row")
