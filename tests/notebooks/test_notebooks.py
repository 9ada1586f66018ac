"""The notebooks as documents: structure, captions, code, and texts equal to the package's.

A unit with a file of questions (``galhelpers/exercises/questions``) is held to more rules than one
that has none yet.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from statistics import median

import nbformat
import pytest

from galhelpers.course import exercise, predict, quiz
from galhelpers.exercises.questions import questions_of, units
from tests.notebooks.pages import NOTEBOOKS, REWRITTEN, ROOT, code, printed, read, tagged

PARAMETERS = ["profile", "dataset", "data_root", "seed", "out"]


# What there is; those in OPTIONAL as soon as they have questions.
UNITS = [
    "01_votes",
    "02_catalogues",
    "03_preprocessing",
    "04_baselines",
    "06_resnet_to_node",
    "08_bayesian_votes",
    "09_honest_error_bars",
    "10_new_survey",
]
OPTIONAL = ["02_catalogues"]
PHRASES = [
    *("You will", "You need", "Takes", "Before you run: predict", "does not show"),
    *("If your numbers differ", "References", "Next:"),
]
MORE_PHRASES = [
    *("Five sentences to take away", "You can now", "**Next:**"),
]
AT_LEAST_WORDS = 900
MEDIAN_LINES, MOST_LINES = 8, 20


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return read(request.param)


@pytest.fixture(scope="module", params=REWRITTEN, ids=lambda path: path.stem)
def unit(request):
    return request.param.stem[:2], read(request.param)


def outputs(notebook):
    return [out for cell in code(notebook) for out in cell.outputs]


def test_there_are_notebooks():
    wanted = [name for name in UNITS if name not in OPTIONAL or name[:2] in units()]
    assert [path.stem for path in NOTEBOOKS] == wanted
    assert {path.stem[:2] for path in REWRITTEN} == {*units()}


def test_valid_and_with_unique_cell_ids(notebook):
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(ids) == len(set(ids))


def test_one_title_and_headings_in_order(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    levels = [len(found) for found in re.findall(r"^(#+) ", text, re.M)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    for phrase in PHRASES:
        assert phrase in text, phrase


def test_parameters_cell(notebook):
    (cell,) = [c for c in code(notebook) if "parameters" in c.metadata.get("tags", [])]
    names = re.findall(r"^(\w+): (?:str|int) = .+#", cell.source, re.M)
    assert names == PARAMETERS
    assert 'profile: str = "quick"' in cell.source
    assert 'dataset: str = "simulated"' in cell.source


def test_the_seed_is_a_number_also_where_a_command_gave_text(notebook):
    (cell,) = [c for c in code(notebook) if "lesson = Lesson(" in c.source]
    made, next_line = cell.source.split("lesson = Lesson(")[1].splitlines()[:2]
    assert made.endswith("profile, dataset, data_root, seed, out)")
    assert re.match(r"seed\b.* = lesson\.seed\b", next_line)


def test_executed_from_top_to_bottom_without_errors(notebook):
    counts = [cell.execution_count for cell in code(notebook) if cell.source.strip()]
    assert counts == list(range(1, len(counts) + 1))
    assert not [out for out in outputs(notebook) if out.output_type == "error"]
    assert not [out for out in outputs(notebook) if out.get("name") == "stderr"]


def test_every_picture_has_alt_text_and_a_caption(notebook):
    pictures = 0
    for cell in code(notebook):
        for position, out in enumerate(cell.outputs):
            for kind in {"image/png", "image/jpeg"} & {*out.get("data", {})}:
                pictures += 1
                assert len(out.metadata[kind]["alt"]) > 40
                captions = [o.data.get("text/markdown", "") for o in cell.outputs[position + 1 :]
                            if "data" in o]  # fmt: skip
                assert any(len(caption) > 60 for caption in captions)
    assert pictures >= 3


def test_exercises_worded_as_in_the_package(notebook):
    stubs = [cell for cell in code(notebook) if tagged(cell, "exercise")]
    assert len(stubs) >= 2
    for cell in stubs:
        (key,) = re.findall(r'exercise\("([\d.]+)"\)\.check', cell.source)
        before = notebook.cells[notebook.cells.index(cell) - 1]
        assert before.source == exercise(key).markdown
        assert cell.source == exercise(key).cell
        assert "Not attempted yet" in printed(cell)


def test_lessons_do_not_depend_on_what_a_learner_writes(notebook):
    """A stub defines a function; no lesson cell may use a function of that name."""
    cells = {"exercise" in c.metadata.get("tags", []): [] for c in code(notebook)}
    for cell in code(notebook):
        cells["exercise" in cell.metadata.get("tags", [])].append(ast.parse(cell.source))
    stubs = {node.name for tree in cells[True] for node in tree.body if hasattr(node, "name")}
    used = {
        node.id for tree in cells[False] for node in ast.walk(tree) if isinstance(node, ast.Name)
    }
    assert not stubs & used


def test_no_path_of_a_machine_and_no_warning_in_outputs(notebook):
    text = json.dumps(notebook)
    assert not re.search(r"(?<![\w.])/(home|root|work|Users|tmp)/", text)
    assert "Warning:" not in "".join(out.get("text", "") for out in outputs(notebook))


def test_measured_outputs_are_marked_and_the_others_compared(notebook):
    ignored = [c for c in code(notebook) if "nbval-ignore-output" in c.metadata.get("tags", [])]
    compared = [c for c in code(notebook) if c not in ignored and c.outputs]
    assert len(compared) >= 8


def test_what_a_notebook_builds_is_imported_only_later():
    built: dict[str, int] = {}
    for path in NOTEBOOKS:
        for cell in code(read(path)):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.ClassDef):
                    built.setdefault(node.name, int(path.stem[:2]))
    for path in NOTEBOOKS:
        for cell in code(read(path)):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                    "galhelpers"
                ):
                    for alias in node.names:
                        first = built.get(alias.name, 0)
                        assert not first or int(path.stem[:2]) > first, (path.stem, alias.name)


# Of the units with questions ----------------------------------------------------------------------


def lessons(notebook):
    """The cells that are the unit's own: no parameters, and nothing that the package words."""
    asks = re.compile(r'^(?:exercise|predict|quiz)\("')
    given = ("exercise", "parameters")
    return [
        cell
        for cell in code(notebook)
        if not any(tagged(cell, tag) for tag in given) and not asks.match(cell.source)
    ]


def prose(notebook):
    """The unit's own text, without what the package words."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [t for t in cells if not re.match(r"### Exercise|## Quiz|\*\*Before you run", t)]


def n_lines(cell):
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def test_a_cell_holds_one_idea(unit):
    sizes = {cell.source: n_lines(cell) for cell in lessons(unit[1])}
    assert median(sizes.values()) <= MEDIAN_LINES
    assert not [source for source, size in sizes.items() if size > MOST_LINES]


def test_no_walrus_and_no_comprehension_for_its_side_effects(unit):
    made = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for cell in lessons(unit[1]):
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.NamedExpr), cell.source
            alone = isinstance(node, ast.Expr) and isinstance(node.value, made)
            assert not alone, cell.source


def test_nothing_else_is_named_as_what_asks(unit):
    asking = {"exercise", "predict", "quiz"}
    for cell in code(unit[1]):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                assert node.id not in asking, cell.source
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.name not in asking, cell.source
            if isinstance(node, ast.ImportFrom) and node.module != "galhelpers.course":
                assert not asking & {a.asname or a.name for a in node.names}, cell.source


def test_words_are_not_saved(unit):
    text = "\n".join(cell.source for cell in unit[1].cells if cell.cell_type == "markdown")
    for phrase in MORE_PHRASES:
        assert phrase in text, phrase
    assert sum(len(cell.split()) for cell in prose(unit[1])) >= AT_LEAST_WORDS


def test_three_exercises_of_more_than_one_kind_in_the_order_of_the_page(unit):
    number, notebook = unit
    found = [
        (place, re.match(r"### Exercise (\d\d\.\d+):", cell.source))
        for place, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown" and cell.source.startswith("### Exercise")
    ]
    ids = [match[1] for _, match in found]
    assert ids == [f"{number}.{k}" for k in (1, 2, 3)]
    assert len({type(exercise(key)) for key in ids}) > 1
    for place, match in found:
        one = exercise(match[1])
        assert notebook.cells[place].source == one.markdown
        if one.cell:
            assert notebook.cells[place + 1].source == one.cell
            assert tagged(notebook.cells[place + 1], "exercise")


def test_predictions_each_with_its_comparison_below_the_result(unit):
    number, notebook = unit
    sources = [cell.source for cell in notebook.cells]
    predictions = questions_of(number).predictions
    asked = [source for source in sources if source.startswith("predict(")]
    last = 0
    for one in predictions:
        place, below = sources.index(one.cell), sources.index(f'predict("{one.id}").compare()')
        assert sources[place - 1] == one.markdown
        assert "No prediction yet" in printed(notebook.cells[place])
        assert "You made no prediction" in printed(notebook.cells[below])
        assert last < place < below - 1, f"{one.id}: a result stands between"
        last = place
    assert len(asked) == 2 * len(predictions)
    assert predict(f"{number}.1") is predictions[0]


def test_one_quiz_at_the_end(unit):
    number, notebook = unit
    (place,) = (i for i, cell in enumerate(notebook.cells) if cell.source.startswith("quiz("))
    assert notebook.cells[place].source == quiz(number).cell
    assert notebook.cells[place - 1].source == quiz(number).markdown
    assert "Not attempted yet" in printed(notebook.cells[place])
    assert not [c for c in notebook.cells[place:] if c.source.startswith("### Exercise")]


@pytest.mark.slow
def test_a_tampered_output_fails_nbval(tmp_path):
    """The same command as `make notebooks`, on one cell: with its output, and tampered with.

    The cell makes a galaxy that is not there yet: the bar that tells of it is no output.
    """
    notebook = read(ROOT / "notebooks" / "01_votes.ipynb")
    source = (
        "from pathlib import Path\n\n"
        "from galhelpers.data.simulated import load_simulated\n"
        "from galhelpers.trees import TREES\n\n"
        "load_simulated(Path('sky'), 1, 0, size=16)\n"
        "print(TREES['gz2'].columns[0])"
    )
    output = nbformat.v4.new_output("stream", text="smooth-or-featured_smooth\n")
    cell = nbformat.v4.new_code_cell(source, execution_count=1, outputs=[output])
    small = nbformat.v4.new_notebook(cells=[cell], metadata=notebook.metadata)
    config = tmp_path / "nbval_sanitize.cfg"
    shutil.copy(ROOT / "tests" / "nbval_sanitize.cfg", config)

    def nbval(name, text):
        path = tmp_path / name
        path.write_text(text)
        shutil.rmtree(tmp_path / "sky", ignore_errors=True)
        command = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "-p",
                   "no:cacheprovider", "--nbval-sanitize-with", str(config), str(path)]  # fmt: skip
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    good = nbformat.writes(small)
    fine = nbval("good.ipynb", good)
    assert fine.returncode == 0, fine.stdout
    tampered = nbval("bad.ipynb", good.replace("featured_smooth", "featured_rough"))
    assert tampered.returncode == 1
    assert "mismatch" in tampered.stdout.lower()
