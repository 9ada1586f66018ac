"""The notebooks, read for their tests."""

import ast
from pathlib import Path

import nbformat

from galhelpers.exercises.questions import units

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
REWRITTEN = [path for path in NOTEBOOKS if path.stem[:2] in units()]


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tagged(cell, tag):
    return tag in cell.metadata.get("tags", [])


def printed(cell):
    """What a cell shows as text."""
    texts = (out.get("text", out.get("data", {}).get("text/plain", "")) for out in cell.outputs)
    return "".join(texts)


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
