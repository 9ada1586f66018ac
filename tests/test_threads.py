"""How threads wait: what galhelpers sets, in processes of their own, since torch reads it once."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import torch

from galhelpers.threads import BOUND, WAITING, usable_cores

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("[0-9]*.ipynb"))


def python(program, **variables):
    """Run a program with none of the variables set but these; give what it prints, from JSON."""
    environment = {name: v for name, v in os.environ.items() if name not in WAITING}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-c", program]
    answer = subprocess.run(
        command, env=environment | variables, capture_output=True, text=True, check=True
    )
    return json.loads(answer.stdout)


def variables_after(imports, **variables):
    program = f"import json, os; {imports}; print(json.dumps(dict(os.environ)))"
    after = python(program, **variables)
    return {name: after[name] for name in WAITING if name in after}


def test_importing_the_package_bounds_the_spinning():
    assert variables_after("import galhelpers") == BOUND
    assert variables_after("from galhelpers.learning import training") == BOUND


@pytest.mark.parametrize("name", WAITING)
def test_what_the_user_set_stays(name):
    value = "PASSIVE" if name == "OMP_WAIT_POLICY" else "17"
    assert variables_after("import galhelpers", **{name: value}) == {name: value}


def test_nothing_is_changed_once_torch_is_loaded():
    assert variables_after("import torch, galhelpers") == {}


def test_importing_the_package_imports_neither_torch_nor_numpy():
    program = "import json, sys, galhelpers; print(json.dumps(list(sys.modules)))"
    assert not {"torch", "numpy", "joblib"} & set(python(program))


WASTE = """
import json, time
{imports}
import torch
numbers = torch.rand(4_000_000)
numbers.add_(1)
start = time.process_time()
for _ in range(15):
    numbers.add_(1)
    time.sleep(0.03)
print(json.dumps(time.process_time() - start))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not torch.backends.openmp.is_available(),
    reason="only GNU's library, which torch has on Linux, reads the variable",
)
@pytest.mark.skipif(usable_cores() < 2, reason="a single thread waits for nobody")
def test_torch_wastes_less_processor_time_while_it_waits():
    # By default a thread spins for some milliseconds after each operation, here for nothing.
    two = {"OMP_NUM_THREADS": "2"}
    default = python(WASTE.format(imports=""), **two)
    bounded = python(WASTE.format(imports="import galhelpers"), **two)
    assert bounded < 0.7 * default


def test_a_kernel_has_it_even_when_it_imports_torch_first(tmp_path):
    program = f"""
import json, os, galhelpers
from pathlib import Path
from galhelpers.course.kernel import kernel_environment
print(json.dumps(kernel_environment(Path({str(tmp_path)!r}))))
"""
    environment = python(program)
    assert BOUND.items() <= environment.items()
    passive = python(program, OMP_WAIT_POLICY="PASSIVE")
    assert not BOUND.keys() & passive.keys()


def test_usable_cores_are_those_of_the_process():
    assert 1 <= usable_cores() <= os.cpu_count()
    if not hasattr(os, "sched_setaffinity"):
        return
    one = min(os.sched_getaffinity(0))
    program = f"import os; os.sched_setaffinity(0, [{one}])\n"
    program += "from galhelpers.threads import usable_cores; print(usable_cores())"
    assert python(program) == 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_import_the_package_before_others(path):
    # JupyterLab starts a notebook's kernel without us, so its first import has to be ours.
    cells = nbformat.read(path, as_version=4).cells
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    imported = []
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            imported += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported.append(node.module.split(".")[0])
    assert next(name for name in imported if name not in sys.stdlib_module_names) == "galhelpers"
