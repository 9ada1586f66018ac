"""Notebook 01 as a learner uses it: run, classify galaxies by hand, make a galaxy of one's own."""

import os
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from galhelpers.paths import default_data_root

pytestmark = pytest.mark.browser


def test_a_learner_runs_notebook_01_classifies_twenty_galaxies_and_makes_one(
    open_lab, tmp_path, course
):
    notebook = nbformat.read(course / "notebooks" / "01_votes.ipynb", as_version=4)
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace('out: str = ""', 'out: str = "run"')
    nbformat.write(notebook, tmp_path / "01_votes.ipynb")
    lab = open_lab(tmp_path, {"GALHELPERS_DATA": str(default_data_root())})
    lab.open_notebook("01_votes.ipynb")
    lab.run_all(timeout=400)
    page = lab.page

    def go_to(source):
        """Scroll to the cell with this source; give its number."""
        place = next(i for i, c in enumerate(lab.cells()) if source in c["source"])
        lab.evaluate(
            """const notebook = jupyterapp.shell.currentWidget.content;
               notebook.activeCellIndex = argument;
               await notebook.scrollToItem(argument, "start");""",
            place,
        )
        return place

    def screenshot(name):
        if folder := os.environ.get("GALHELPERS_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / name)

    ballot = go_to("ClassifyGalaxies(")
    page.wait_for_selector(".galaxy-vote")
    for i in range(20):
        if i < 10:
            page.locator(".galaxy-vote button").nth(i % 5).click()
        else:
            page.keyboard.press(str(i % 5 + 1))
        page.wait_for_function(
            "text => document.querySelector('.galaxy-vote-count').textContent === text",
            arg=f"{i + 1} of 24",
        )
    votes = pd.read_csv(tmp_path / "run" / "my_votes.csv")
    assert len(votes) == votes["id"].nunique() == 20
    screenshot("widget.png")

    # The comparison below the widget now finds the votes.
    lab.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex = argument;", ballot + 1)
    lab.evaluate("await jupyterapp.commands.execute('notebook:run-cell');", timeout=60)
    text = "".join(o.get("text", "") for o in lab.cells()[ballot + 1]["outputs"])
    assert "of 20 galaxies" in text

    # The sliders: a key moves one, and the picture and the answers follow.
    go_to("GalaxyMaker(")
    page.wait_for_selector(".widget-slider")
    page.wait_for_function("document.querySelector('.made-galaxy')?.naturalWidth === 256")
    screenshot("make_galaxy.png")
    before = page.locator(".made-galaxy").get_attribute("src")
    bar = page.locator(".widget-html-content tr", has_text="a bar?")
    assert "38 of 40 asked" in bar.inner_text()
    handle = page.locator(".widget-slider", has_text="inclination").locator(".noUi-handle")
    handle.focus()
    for _ in range(12):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(
        """text => [...document.querySelectorAll(".widget-html-content tr")].some(
             row => row.textContent.includes("a bar?") && row.textContent.includes(text))""",
        arg="nobody was asked",
    )
    assert page.locator(".made-galaxy").get_attribute("src") != before
    screenshot("make_galaxy_edge_on.png")
