"""What a unit's text brings with it in JupyterLab: links to the glossary, answers to unfold."""

import os
import shutil
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.browser

TEXT = """A [pixel scale](../docs/glossary.md#pixel-scale) is an angle.

<details>
<summary>A model answer: write yours first</summary>

It is *this*.

</details>
"""


def test_a_word_opens_the_glossary_at_its_entry_and_an_answer_unfolds(open_lab, tmp_path, course):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "docs").mkdir()
    shutil.copy(course / "docs" / "glossary.md", tmp_path / "docs")
    cells = [nbformat.v4.new_markdown_cell(TEXT), nbformat.v4.new_code_cell("1")]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, tmp_path / "notebooks" / "links.ipynb")
    lab = open_lab(tmp_path)
    lab.open_notebook("notebooks/links.ipynb")
    page = lab.page

    answer = page.locator("details em", has_text="this")
    assert not answer.is_visible()
    page.locator("summary").click()
    answer.wait_for(state="visible")

    page.get_by_role("link", name="pixel scale").click()
    page.wait_for_selector(".jp-MarkdownViewer [data-jupyter-id='pixel-scale']", state="attached")
    entry = page.locator(".jp-MarkdownViewer li", has_text="Pixel scale").first
    page.wait_for_function(
        """() => {
             const entry = document.querySelector("[data-jupyter-id='pixel-scale']");
             const view = entry.closest(".jp-MarkdownViewer").getBoundingClientRect();
             const top = entry.getBoundingClientRect().top;
             return view.top - 5 <= top && top < view.top + view.height / 2;
           }"""
    )
    assert entry.is_visible()
    if folder := os.environ.get("GALHELPERS_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "glossary.png")
