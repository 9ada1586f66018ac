import io
import json

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image

from galhelpers import views
from galhelpers.trees import TREES
from galhelpers.views import plots

NOTEBOOK = """\
import matplotlib.pyplot as plt
from galhelpers.views import show
%matplotlib inline
fig, ax = plt.subplots(figsize=(3, 2))
ax.plot([1, 2])
show(fig, "04_baselines/line", "A *rising* line.", "A line from 1\\nto 2, < 3.", out=OUT)
"""


def noise(n, size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


@pytest.fixture(scope="module")
def executed(tmp_path_factory, course):
    out = tmp_path_factory.mktemp("run")
    source = f"OUT = {str(out)!r}\n{NOTEBOOK}"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    setup = f"import sys; sys.path.insert(0, {str(course)!r})"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(setup))
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook, out


def test_show_gives_one_picture_with_alt_text_and_caption(executed):
    outputs = executed[0].cells[1].outputs
    assert [sorted(output["data"]) for output in outputs] == [
        ["image/png", "text/plain"],
        ["text/markdown", "text/plain"],
    ]
    picture, note = outputs
    assert picture["metadata"]["image/png"]["alt"] == "A line from 1 to 2, < 3."
    assert picture["data"]["text/plain"] == "<Figure: 04_baselines/line>"
    assert note["data"]["text/markdown"].startswith("**Figure:** A *rising* line.\n")
    assert "A line from 1 to 2, &lt; 3." in note["data"]["text/markdown"]


def test_exported_page_shows_the_picture_once(executed):
    page, _ = HTMLExporter().from_notebook_node(executed[0])
    assert page.count("<img") == 1
    assert "<em>rising</em>" in page
    assert "<details>" in page


def test_show_saves_picture_and_words(executed):
    folder = executed[1] / "figures" / "04_baselines"
    assert sorted(path.name for path in folder.iterdir()) == ["line.json", "line.png"]
    assert json.loads((folder / "line.json").read_text()) == {
        "caption": "A *rising* line.",
        "alt": "A line from 1 to 2, < 3.",
    }
    with Image.open(folder / "line.png") as picture:
        assert picture.size == (450, 300)


def test_show_closes_pyplot_figures_and_saves_nothing_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fig, _ = plt.subplots()
    plots.show(fig, "empty", "Axes.", "Empty axes.", out="")
    assert not plt.fignum_exists(fig.number)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "caption", "alt", "message"),
    [
        ("../up", "c", "a", "figure name"),
        ("a b.png", "c", "a", "figure name"),
        ("ok", " ", "a", "no caption"),
        ("ok", "c", "\n", "no alt text"),
    ],
)
def test_show_refuses_what_cannot_be_shown_well(tmp_path, name, caption, alt, message):
    with pytest.raises(ValueError, match=message):
        plots.show(plots.Figure(), name, caption, alt, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_pictures_stay_small_even_of_pure_noise():
    sheet = plots.contact_sheet(noise(20, 200), columns=10)
    kind, content = plots.picture_of(sheet)
    assert kind == "image/jpeg"
    assert len(content) <= plots.MAX_BYTES
    assert Image.open(io.BytesIO(content)).width >= 400


def test_line_art_is_a_png_and_a_photograph_a_jpeg_of_which_only_the_newest_stays(tmp_path):
    line = plots.lines({"a": ([1, 2], [1, 2])}, "x", "y")
    sheet = plots.contact_sheet(noise(20, 200), columns=10)
    for figure, suffix in ((line, "png"), (sheet, "jpg"), (line, "png")):
        plots.show(figure, "one", "A caption.", "An alt text.", out=tmp_path)
        names = sorted(path.name for path in (tmp_path / "figures").iterdir())
        assert names == sorted(["one.json", f"one.{suffix}"])
        with Image.open(tmp_path / "figures" / f"one.{suffix}") as picture:
            assert picture.format == {"png": "PNG", "jpg": "JPEG"}[suffix]


def test_contact_sheet_puts_each_galaxy_in_its_place():
    colours = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0], [0, 200, 200]])
    images = np.broadcast_to(colours[:, :, None, None], (5, 3, 32, 32)).astype(np.uint8)
    sheet = plots.contact_sheet(images, list("abcde"), columns=3)
    assert texts(sheet) == list("abcde")
    pixels = np.asarray(Image.open(io.BytesIO(plots.picture_of(sheet)[1])).convert("RGB"))
    for i, colour in enumerate(colours):
        h, w = pixels.shape[0] / 2, pixels.shape[1] / 3
        spot = pixels[int((i // 3 + 0.6) * h), int((i % 3 + 0.5) * w)]
        np.testing.assert_allclose(spot, colour, atol=4)


@pytest.mark.parametrize(
    "images",
    [np.zeros((2, 3, 4, 4)), np.zeros((3, 4, 4), np.uint8), np.zeros((0, 3, 4, 4), np.uint8)],
)
def test_contact_sheet_says_what_it_expects(images):
    with pytest.raises(ValueError, match="Expected images as uint8"):
        plots.contact_sheet(images)


def test_contact_sheet_wants_a_title_each():
    with pytest.raises(ValueError, match="each of 2 pictures, got 1"):
        plots.contact_sheet(noise(2, 8), ["a"])


@pytest.mark.parametrize("name", sorted(TREES))
def test_draw_tree_shows_every_question_answer_and_step(name):
    tree = TREES[name]
    figure = views.draw_tree(tree)
    drawn = " ".join(texts(figure))
    for question in tree.questions:
        assert question.text in drawn
    shown = texts(figure)
    for column in tree.columns:
        answer = column.split("_", 1)[1].replace("-", " ").replace("cant ", "can't ")
        assert answer in shown
    arrows = [p for p in figure.axes[0].patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) == sum(len(question.parents) for question in tree.questions)
    if tree.published_columns:
        assert {c.removeprefix("Class") for c in tree.published_columns} <= set(shown)


@pytest.mark.parametrize("name", sorted(TREES))
def test_draw_tree_keeps_text_inside_its_cards_and_apart(name):
    figure = views.draw_tree(TREES[name])
    figure.set_dpi(100)
    figure.draw_without_rendering()
    canvas = figure.bbox
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    cards = [p.get_window_extent() for p in figure.axes[0].patches if hasattr(p, "get_width")]
    for box in boxes:
        assert canvas.x0 <= box.x0 < box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0 < box.y1 <= canvas.y1
        assert any(c.x0 <= box.x0 and box.x1 <= c.x1 for c in cards if c.y0 < box.y0 < c.y1)
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 1 or b.y1 <= a.y0 + 1
            assert apart


def test_confusion_matrices_show_shares_of_the_true_class_or_counts():
    counts = np.array([[8, 2, 0], [0, 0, 0], [1, 0, 1234]])
    classes = ["round", "cigar", "spiral"]
    shown = texts(plots.confusion_matrices({"one": counts, "other": counts.T}, classes))
    assert shown[:6] == ["80.0", "20.0", "0.0", "0.0", "0.0", "0.0"]
    assert shown[9:12] == ["88.9", "0.0", "11.1"]
    figure = plots.confusion_matrices({"one": counts}, classes, counts=True)
    assert "1,234" in texts(figure)
    assert figure.axes[0].get_ylabel() == "volunteers say"
    with pytest.raises(ValueError, match=r"\(2, 2\) for 2 classes, got \(3, 3\)"):
        plots.confusion_matrices({"one": counts}, ["a", "b"])


def test_loss_curves_mark_the_best_validation_epoch():
    figure = plots.loss_curves({"LinNet": {"train": [3, 2, 1], "validation": [3, 1, 2]}})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(lines["LinNet, train"].get_xdata()) == [1, 2, 3]
    assert lines["LinNet, train"].get_linestyle() == "--"
    best = figure.axes[0].lines[-1]
    assert (list(best.get_xdata()), list(best.get_ydata())) == ([2], [1])


def test_dots_and_intervals_draw_values_ends_and_seeds():
    figure = plots.dots_and_intervals(
        ["a", "b"], [1, 2], [0.5, np.nan], [2, np.nan], points=[[0.9, 1.1], [2]],
        references={"guess": 3},
    )  # fmt: skip
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert ax.yaxis_inverted()
    np.testing.assert_allclose(ax.collections[0].get_segments()[0][:, 0], [0.5, 2])
    assert list(ax.lines[0].get_xdata()) == [0.9, 1.1]
    assert figure.legends[0].get_texts()[0].get_text() == "guess"
    with pytest.raises(ValueError, match="row 'a'"):
        plots.dots_and_intervals(["a"], [1], [1.5], [2])
    with pytest.raises(ValueError, match="Expected 2 means"):
        plots.dots_and_intervals(["a", "b"], [1], [1], [1])


def test_lines_draw_each_curve_on_the_axes_asked_for():
    figure = plots.lines({"a": ([1, 10], [1, 100]), "b": (range(50), range(50))}, "x", "y", log="y")
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert [line.get_marker() for line in ax.lines] == ["o", ""]
    assert ax.lines[0].get_ydata().tolist() == [1, 100]


def test_a_band_lies_around_its_curve():
    figure = plots.lines(
        {"a": ([1, 2, 3], [0.5, 0.4, 0.3]), "b": ([1, 2, 3], [0.9, 0.9, 0.9])},
        "x",
        "y",
        bands={"a": ([0.4, 0.3, 0.2], [0.6, 0.5, 0.4])},
    )
    (band,) = figure.axes[0].collections
    corners = band.get_paths()[0].vertices
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0.2, 0.6)
    assert np.allclose(band.get_facecolor()[0, :3], to_rgb(plots.PALETTE[0]))
