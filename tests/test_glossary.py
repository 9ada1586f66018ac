"""The glossary, and the links that lead to it from each unit."""

import re
from collections import Counter

import pytest

from tests.link_glossary import PLACE, Entry, glossary, linked
from tests.notebooks.pages import NOTEBOOKS, REWRITTEN, read

ENTRIES = glossary()
AT_MOST = 8
each_unit = pytest.mark.parametrize("path", REWRITTEN, ids=lambda path: path.stem)


def entry(term, *forms):
    return Entry(term, term.replace(" ", "-"), "1.1", "It is.", forms or (term, f"{term}s"))


WORDS = [entry("pixel"), entry("pixel scale"), entry("RMSE"), entry("bar", "barred", "a bar")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A pixel, a pixel.", "A [pixel](G#pixel), a pixel."),
        ("Pixels are small", "[Pixels](G#pixel) are small"),
        ("The pixel scale", "The [pixel scale](G#pixel-scale)"),
        ("The pixel scale of a pixel", "The [pixel scale](G#pixel-scale) of a [pixel](G#pixel)"),
        ("**pixel** and *RMSE*", "**[pixel](G#pixel)** and *[RMSE](G#RMSE)*"),
        ("rmse is not it, RMSE is", "rmse is not it, [RMSE](G#RMSE) is"),
        ("error bars, a bar, Barred", "error bars, [a bar](G#bar), Barred"),
        ("subpixel, pixel-wise, pixelated", "subpixel, pixel-wise, pixelated"),
        ("# A pixel\n\nhere a pixel", "# A pixel\n\nhere a [pixel](G#pixel)"),
        ("`pixel` pixel", "`pixel` [pixel](G#pixel)"),
        ("```\npixel\n```\npixel", "```\npixel\n```\n[pixel](G#pixel)"),
        ("$pixel$ and [a pixel](x.md) ![pixel](y.png)", None),
        ("<a title='pixel'>x</a> https://pixel.org", None),
        ("| pixel | RMSE |\n|---|---|", "| pixel | [RMSE](G#RMSE) |\n|---|---|"),
        ("| **Takes** | a pixel |\npixel", "| **Takes** | a pixel |\n[pixel](G#pixel)"),
        ("### Exercise 03.2: A pixel\n\nA pixel", None),
        ("**Before you run: predict.** A pixel?", None),
        ("## Quiz: five questions\n\nA pixel?", None),
    ],
)  # fmt: skip
def test_first_uses_are_linked_in_prose_only(text, expected):
    wanted = (expected or text).replace("(G#", f"({PLACE}#")
    assert linked([text], WORDS) == [wanted]
    assert linked([wanted], WORDS) == [wanted]  # written anew, not twice


def test_only_the_first_use_in_a_unit_and_old_links_go():
    texts = ["### Exercise 1.1: x\n\n[pixel](../docs/glossary.md#old)", "a pixel", "a pixel"]
    assert linked(texts, WORDS) == [
        "### Exercise 1.1: x\n\npixel",
        f"a [pixel]({PLACE}#pixel)",
        "a pixel",
    ]


def test_entries_are_in_order_and_stand_once():
    terms = [re.sub(r"\W", "", one.term).lower() for one in ENTRIES]
    assert terms == sorted(terms)
    for name in ("anchor", "term", "definition"):
        assert len({getattr(one, name) for one in ENTRIES}) == len(ENTRIES)
    forms = Counter(form.lower() for one in ENTRIES for form in one.forms)
    assert [form for form, n in forms.items() if n > 1] == []
    assert all(one.definition.endswith((".", "?", ")")) for one in ENTRIES)


@each_unit
def test_a_unit_brings_in_few_words_and_uses_each(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    new = [one for one in ENTRIES if one.unit == int(path.stem[:2])]
    assert 1 <= len(new) <= AT_MOST
    for one in new:
        assert f"]({PLACE}#{one.anchor})" in text, f"{one.term}: not used in {path.stem}"
        for section in re.findall(r"\d+\.\d+", one.where)[:1]:
            assert re.search(rf"^#+ {re.escape(section)}\b", text, re.M), (one.term, section)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_to_entries(path):
    anchors = {one.anchor for one in ENTRIES}
    for cell in read(path).cells:
        assert {*re.findall(rf"{re.escape(PLACE)}#([\w-]+)", cell.source)} <= anchors
