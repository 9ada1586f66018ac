"""What a notebook's results depend on: the code it imports and the data files of the course.

The code is found without running it, from the import statements. Those inside functions count too.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import resolve_name
from pathlib import Path, PurePath

from galhelpers.paths import course_root


def dependencies(notebook: Path, root: Path | None = None) -> dict[Path, bytes]:
    """Find the files of the course that a notebook's results depend on.

    These are the modules that it imports, the modules that they import, and every data file of
    the course (``data_manifest.yaml``, ``docs/results/*.json``, the package's own tables) whose
    name stands in that code (of a trained network, ``networks/*.safetensors``, without the ending).
    Exercises are loaded by number: ``galhelpers/exercises/n04_*.py`` and ``questions/04.yaml``
    there belong to notebook 04 alone.

    Parameters
    ----------
    notebook
        A notebook file; its name starts with its number.
    root
        The course folder, with ``galhelpers`` in it; by default that of this package.

    Returns
    -------
    dict
        What counts of each file, in the order of their names: of a data file its bytes, of a
        module its code without comments and docstrings, and of an exercise its code without any
        text, since a better hint changes no result.
    """
    root = root or course_root()
    exercises = set((root / "galhelpers" / "exercises").glob(f"n{notebook.stem[:2]}_*.py"))
    found: dict[Path, bytes] = {}
    texts: set[str] = set()
    waiting = exercises.copy()
    for cell in _cells(notebook):
        waiting |= set(_imported(cell, "", root))
        texts |= set(_texts(cell))
    while waiting:
        file = waiting.pop()
        imported, names, found[file] = _module(
            file, root, file not in exercises, file.stat().st_mtime_ns
        )
        texts |= names
        waiting |= imported - found.keys()
    files = {file for file in _data_files(root) if file.name in texts}
    # Its words count: the reason of a prediction stands on the page.
    files |= set((root / "galhelpers/exercises/questions").glob(f"{notebook.stem[:2]}.yaml"))
    files |= {file for file in root.glob("networks/*.safetensors") if file.stem in texts}
    found |= {file: file.read_bytes() for file in files}
    return dict(sorted(found.items()))


def digest(notebook: Path, root: Path | None = None) -> str:
    """Hash what ``dependencies`` finds."""
    root = root or course_root()
    whole = hashlib.sha256()
    for file, content in dependencies(notebook, root).items():
        whole.update(file.relative_to(root).as_posix().encode() + b"\0" + content + b"\0")
    return whole.hexdigest()


def _cells(notebook: Path) -> Iterator[ast.AST]:
    """Parse the code cells of a notebook; magics such as ``%timeit`` become plain Python."""
    from IPython.core.inputtransformer2 import TransformerManager

    for cell in json.loads(notebook.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            try:
                yield ast.parse(TransformerManager().transform_cell("".join(cell["source"])))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue  # such a cell cannot run, so that it imports nothing


@cache
def _module(
    file: Path, root: Path, with_texts: bool, changed: int
) -> tuple[set[Path], set[str], bytes]:
    """Parse a module once, as long as its time of change stays: what it imports, texts, code."""
    try:
        tree = ast.parse(file.read_bytes())
    except SyntaxError:  # the notebook will say so
        return set(), set(), file.read_bytes()
    package = ".".join(file.relative_to(root).parts[:-1])
    imported, texts = set(_imported(tree, package, root)), set(_texts(tree))
    return imported, texts, _code(tree, with_texts)


def _imported(tree: ast.AST, package: str, root: Path) -> Iterator[Path]:
    """Find the files in ``root`` that the imports of a module run; it lies in ``package``."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                base = resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue  # a relative import above the package, or in a notebook: it cannot run
            # What is imported from a package may be a module of it.
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            for end in range(1, len(parts) + 1):  # a.b.c runs a/__init__.py and a/b/__init__.py
                place = root.joinpath(*parts[:end])
                for file in (place / "__init__.py", place.with_suffix(".py")):
                    if file.is_file():
                        yield file


def _texts(tree: ast.AST) -> Iterator[str]:
    """Give the last part of each text in the code that might be a path."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield PurePath(node.value).name


def _data_files(root: Path) -> Iterator[Path]:
    yield from root.glob("*.yaml")
    yield from (root / "docs" / "results").glob("*.json")
    for file in (root / "galhelpers").rglob("*.*"):
        if file.suffix not in (".py", ".pyc"):
            yield file


def _code(tree: ast.AST, with_texts: bool) -> bytes:
    """Write out a module's code, without comments and docstrings and perhaps without any text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""  # a docstring
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not with_texts:
            node.value = ""
    return ast.dump(tree).encode()
