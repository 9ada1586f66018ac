"""The notebooks as documents: structure, captions, exercises, and code equal to the package's."""

import ast
import json
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETERS = ["profile", "dataset", "data_root", "seed", "out"]


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [out for cell in code(notebook) for out in cell.outputs]


def test_there_are_notebooks():
    wanted = [
        "01_votes",
        "03_preprocessing",
        "04_baselines",
        "06_resnet_to_node",
        "08_bayesian_votes",
    ]
    assert [path.stem for path in NOTEBOOKS] == [*wanted, "10_new_survey"]


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
    for phrase in ("You will", "You need", "Takes", "Before you run: predict", "does not show",
                   "If your numbers differ", "References", "Next:"):  # fmt: skip
        assert phrase in text, phrase


def test_size_of_notebook_and_cells(notebook):
    prose = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    lesson = [text for text in prose if not text.startswith("### Exercise")]
    assert 600 <= sum(len(text.split()) for text in lesson) <= 1_500
    assert 8 <= len(code(notebook)) <= 25
    assert max(len(cell.source.splitlines()) for cell in code(notebook)) <= 25


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
            if "image/png" in out.get("data", {}):
                pictures += 1
                assert len(out.metadata["image/png"]["alt"]) > 40
                captions = [o.data.get("text/markdown", "") for o in cell.outputs[position + 1 :]
                            if "data" in o]  # fmt: skip
                assert any(len(caption) > 60 for caption in captions)
    assert pictures >= 3


def test_at_least_four_exercises_worded_as_in_the_package(notebook):
    from galhelpers.course import exercise

    stubs = [cell for cell in code(notebook) if "exercise" in cell.metadata.get("tags", [])]
    assert len(stubs) >= 4
    for cell in stubs:
        (key,) = re.findall(r'exercise\("([\d.]+)"\)\.check', cell.source)
        before = notebook.cells[notebook.cells.index(cell) - 1]
        assert before.source == exercise(key).markdown
        assert cell.source == exercise(key).cell
        text = "".join(out.get("text", "") for out in cell.outputs)
        assert "Not attempted yet" in text


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


def definitions(name, *wanted, **given):
    """Run the imports and the wanted definitions of a notebook; give its namespace."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    space = dict(given)
    for cell in code(notebook):
        for node in ast.parse(cell.source).body:
            wants = isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in wanted
            wants |= isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in wanted
            if wants or isinstance(node, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([node], []), name, "exec"), space)
    assert set(wanted) <= set(space)
    return space


def test_networks_of_notebook_04_equal_the_package():
    from galhelpers import models
    from galhelpers.trees import TREES

    names = ["answers", "LinNet", "ConvNet", "RepairedConvNet", "TreeOutput"]
    space = definitions("04_baselines", *names, tree=TREES["gz2"])
    pairs = [
        (space["LinNet"](), models.LinNet(), torch.rand(4, 1, 64, 64)),
        (space["ConvNet"](), models.ConvNet(), torch.rand(4, 1, 64, 64)),
        (space["RepairedConvNet"](5), models.RepairedConvNet(5), torch.rand(4, 3, 64, 64)),
        (space["TreeOutput"](), models.TreeOutput(), torch.randn(4, 37)),
    ]
    for ours, theirs, batch in pairs:
        theirs.load_state_dict(ours.state_dict())
        assert torch.equal(ours.eval()(batch), theirs.eval()(batch))


def test_training_loop_of_notebook_04_equals_the_package():
    from galhelpers.data.augment import Augment, to_float
    from galhelpers.learning.training import fit
    from galhelpers.models import RepairedConvNet

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (150, 3, 16, 16), dtype=np.uint8)
    data = pixels[:100], torch.tensor(rng.integers(0, 5, 100))
    held_out = pixels[100:], torch.tensor(rng.integers(0, 5, 50))
    loop = definitions("04_baselines", "train_network")["train_network"]
    ours, theirs = (RepairedConvNet(5, (8, 8)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    augment = Augment(16, seed=1)
    torch.manual_seed(1)
    history = loop(ours, data, held_out, F.cross_entropy, augment, to_float, epochs=3)
    torch.manual_seed(1)
    same = fit(theirs, data, held_out, F.cross_entropy, augment=augment, prepare=to_float, epochs=3)
    assert history == same.validation_loss
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


def test_what_a_notebook_builds_is_imported_only_later():
    built: dict[str, int] = {}
    for path in NOTEBOOKS:
        for cell in code(nbformat.read(path, as_version=4)):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.ClassDef):
                    built.setdefault(node.name, int(path.stem[:2]))
    for path in NOTEBOOKS:
        for cell in code(nbformat.read(path, as_version=4)):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                    "galhelpers"
                ):
                    for alias in node.names:
                        first = built.get(alias.name, 0)
                        assert not first or int(path.stem[:2]) > first, (path.stem, alias.name)


@pytest.mark.slow
def test_a_tampered_output_fails_nbval(tmp_path):
    """The same command as `make notebooks`, on one cell: with its output, and tampered with.

    The cell makes a galaxy that is not there yet: the bar that tells of it is no output.
    """
    notebook = nbformat.read(ROOT / "notebooks" / "01_votes.ipynb", as_version=4)
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


GPUS = 2 ** np.arange(7)


@pytest.mark.parametrize(
    "terms", [(100, 0, 0), (640, 5, 0), (90, 10, 5), (1000, 0.01, 1), (10, 2, 0.1)]
)
def test_law_of_notebook_10_finds_times_without_noise_again(terms):
    law = definitions("10_new_survey", "law")["law"]
    parallel, serial, exchange = terms
    seconds = parallel / GPUS + serial + exchange * np.log2(GPUS)
    *found, error = law(GPUS, seconds)
    np.testing.assert_allclose(found, terms, rtol=1e-6, atol=1e-6)
    assert error < 1e-6


def test_law_of_notebook_10_on_the_published_times():
    from galhelpers.published import load_published

    law, published = definitions("10_new_survey", "law")["law"], load_published()
    known = {1: (439.036, 6.385, 0.0606), 2: (972.788, 0, 0.0328), 3: (1694.576, 0, 0.0264)}
    for stage, (parallel, serial, error) in known.items():
        seconds = [published[f"khan2019_gpus_{n}_stage{stage}"].value for n in GPUS]
        found = law(GPUS, np.array(seconds))
        assert found == pytest.approx([parallel, serial, 0, error], abs=5e-4)
        np.testing.assert_allclose(found[0] / GPUS + found[1], seconds, rtol=0.12)
