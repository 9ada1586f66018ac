"""Answers made by rules from the right one: the wrong ones refused, the right ones accepted.

A rule makes answers that nobody thought of, for every exercise alike: a check whose data are too
narrow, or that never looks at an argument, accepts a wrong one of them.
"""

import ast
import contextlib
import copy
import inspect
import io
import itertools
import re
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
import torch

from galhelpers.exercises import MODULES, exercises_of, find
from galhelpers.exercises.exercise import Exercise

REFUSED = [
    (number, i, answer)
    for name in MODULES
    for number, answers in getattr(import_module(f"tests.exercises.{name}"), "REFUSED", {}).items()
    for i, answer in enumerate(answers)
]
EXERCISES = [
    one
    for notebook in ("06", "07", "08", "09", "10")
    for one in exercises_of(notebook)
    if isinstance(one, Exercise)
]
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)


def verdict(exercise, answer):
    with contextlib.redirect_stdout(io.StringIO()):
        found = exercise.verdict(answer)
    assert "could not be checked" not in found.message
    return found


@pytest.mark.parametrize(("number", "i", "answer"), REFUSED)
def test_a_wrong_answer_written_from_the_question_alone_is_refused(number, i, answer):
    found = verdict(find(number), answer)
    assert found.status == "not yet"
    assert "\n" not in found.message
    assert len(found.message) < 600


# Arguments and results ---------------------------------------------------------------------------


@each
def test_an_answer_that_ignores_an_argument_is_refused(exercise):
    """A number is what it was in the first call; an array has its mean in each place."""
    for i, name in enumerate(inspect.signature(exercise.reference).parameters):
        first = []

        def deaf(*inputs, i=i, first=first):
            first.append(inputs[i])
            known = isinstance(inputs[i], np.ndarray) and inputs[i].ndim
            other = np.full_like(inputs[i], inputs[i].mean()) if known else first[0]
            return exercise.reference(*inputs[:i], other, *inputs[i + 1 :])

        assert verdict(exercise, deaf).status == "not yet", name


def _changed(value, change):
    if isinstance(value, tuple | list) and value and not isinstance(value[0], str):
        return type(value)(_changed(item, change) for item in value)
    if isinstance(value, list | str | dict | set):
        return value[:-1] if value else ["head.bias"]
    return change(value)


@each
def test_every_call_of_an_answer_is_looked_at(exercise):
    """Spoil what the answer gives in one call only."""
    for spoiled in itertools.count():
        calls = itertools.count()

        def spoiling(*inputs, spoiled=spoiled, calls=calls):
            value = exercise.reference(*inputs)
            if next(calls) != spoiled:
                return value
            return _changed(value, _other)

        found = verdict(exercise, spoiling)
        if next(calls) <= spoiled:
            break
        assert found.status == "not yet", f"call {spoiled}"
    assert spoiled >= 1


def _other(value):
    if torch.is_tensor(value):
        return 1.4 * value + 0.02
    value = np.asarray(value)
    return (
        value == 0 if value.dtype == bool else np.where(np.isfinite(value), 1.4 * value + 0.02, 7)
    )


RESULTS = {
    "sign": lambda v: -v,
    "per cent": lambda v: 100 * v,
    "two decimals": lambda v: v.round(decimals=2) if torch.is_tensor(v) else np.round(v, 2),
    "four decimals": lambda v: v.round(decimals=4) if torch.is_tensor(v) else np.round(v, 4),
    "whole": lambda v: v.round() if torch.is_tensor(v) else np.floor(1.0 * v - 0.5),
}


ROUGH = [("09.2", "two decimals"), ("09.2", "four decimals"), ("09.4", "four decimals")]


@each
@pytest.mark.parametrize("rule", RESULTS)
def test_an_answer_that_spoils_the_result_is_refused(exercise, rule):
    if (exercise.id, rule) in ROUGH:
        pytest.skip("its question asks for no more")
    answer = lambda *inputs: _changed(exercise.reference(*inputs), RESULTS[rule])  # noqa: E731
    assert verdict(exercise, answer).status == "not yet"


# Right answers in another dress ------------------------------------------------------------------


def _series(value):
    return pd.Series(value) if np.ndim(value) == 1 else value


DRESSES = {
    "list": lambda v: v if torch.is_tensor(v) else np.asarray(v).tolist(),
    "torch": lambda v: v if torch.is_tensor(v) else torch.as_tensor(np.asarray(v)),
    "float32": lambda v: v if torch.is_tensor(v) else np.asarray(v, dtype=np.float32),
    "pandas": lambda v: v if torch.is_tensor(v) else _series(v),
}


@each
@pytest.mark.parametrize("dress", DRESSES)
def test_a_right_answer_in_another_dress_is_accepted(exercise, dress):
    if exercise.id == "10.2":
        pytest.skip("gives names: see below")
    answer = lambda *inputs: _changed(exercise.reference(*inputs), DRESSES[dress])  # noqa: E731
    assert verdict(exercise, answer).status == "correct"


@pytest.mark.parametrize("dress", [tuple, set, frozenset, np.array, pd.Index, dict.fromkeys])
def test_names_of_entries_may_stand_in_anything(dress):
    (exercise,) = (e for e in EXERCISES if e.id == "10.2")

    def answer(*inputs):
        names = dress(exercise.reference(*inputs)[::-1])
        return names.keys() if isinstance(names, dict) else names

    assert verdict(exercise, answer).status == "correct"


def test_names_of_entries_may_stand_in_a_series():
    (exercise,) = (e for e in EXERCISES if e.id == "10.2")
    answer = lambda *inputs: pd.Series(exercise.reference(*inputs), dtype=object)  # noqa: E731
    assert verdict(exercise, answer).status == "correct"


# Mutants of the reference ------------------------------------------------------------------------

SWAPS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NAMES = {
    "max": "min", "min": "max", "argmax": "argmin", "mean": "sum", "sum": "mean", "any": "all",
    "all": "any", "cos": "sin", "std": "var", "reversed": "list",
}  # fmt: skip
SYMMETRIC = ("min", "max", "hypot", "array_equal", "betaln")


def _mutations(node):
    """Give the ways to change a node, each as a pair (attribute, new value)."""
    if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp) and type(node.op) in SWAPS:
        yield "op", SWAPS[type(node.op)]()
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield "ops", [SWAPS[type(node.ops[0])]()]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield from (("value", value) for value in (node.value + 1, node.value - 1))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "op", ast.UAdd()
    if isinstance(node, ast.Name) and node.id in NAMES:
        yield "id", NAMES[node.id]
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield "attr", NAMES[node.attr]
    if isinstance(node, ast.Call) and len(node.args) > 1:
        if getattr(node.func, "attr", getattr(node.func, "id", "")) in SYMMETRIC:
            return
        yield "args", node.args[::-1]
    if isinstance(node, ast.IfExp | ast.If):
        yield from (("test", ast.Constant(value)) for value in (True, False))


def mutants(function):
    """Give source and function of each copy of a function in which one thing is changed."""
    tree = ast.parse(inspect.getsource(function))
    body = tree.body[0].body
    count = len(list(ast.walk(ast.Module(body, []))))
    for i in range(count):
        for j in itertools.count():
            changed = copy.deepcopy(tree)
            node = list(ast.walk(ast.Module(changed.body[0].body, [])))[i]
            ways = list(_mutations(node))
            if j >= len(ways):
                break
            setattr(node, *ways[j])
            names = dict(function.__globals__)
            exec(compile(ast.fix_missing_locations(changed), "<mutant>", "exec"), names)
            line = ast.unparse(changed)
            yield line, names[function.__name__]


@each
def test_mutants_of_the_solution_are_refused(exercise):
    before = ast.unparse(ast.parse(inspect.getsource(exercise.reference))).splitlines()
    alive, made = [], 0
    for source, mutant in mutants(exercise.reference):
        made += 1
        if verdict(exercise, mutant).status == "correct":
            changed = [line.strip() for line in source.splitlines() if line not in before]
            alive += [line for line in changed if line not in EQUIVALENT.get(exercise.id, ())]
    assert not alive
    assert made >= 3


EQUIVALENT = {
    "09.2": ["return -betabinom.logpmf(k, n, f * a, f * b).mean()"],  # as many galaxies each time
    "09.6": ["many = people[:, -1] >= 2"],  # there is one column
    "09.7": ["return float(right[asked].mean()) if True else float('nan')"],  # of nothing: NaN
    "10.4": ["if True:", "if seeds >= 1:", "if seeds > 0:"],  # std(ddof=1) of one number: NaN
    "10.5": [
        "east = (test[:, None, 0] - train[:, 0] - 180) % 360 - 180",
        "return (3600 * np.hypot(east, north) < radius).any(axis=1)",  # none is just on the edge
    ],
    "10.6": ["time = (seconds * epochs[0]).mean(axis=1)"],  # a ratio of means is one of sums
}


# Examples of the questions -----------------------------------------------------------------------


@each
def test_the_example_of_the_question_is_so(exercise):
    call, value = re.search(
        rf"`({exercise.name}\([^`]*\))`\s+gives\s+`([^`]*)`", exercise.markdown
    ).groups()
    names = {exercise.name: lambda *inputs: exercise.reference(*map(_array, inputs))}
    found, said = eval(call, names), ast.literal_eval(value)
    if isinstance(said, list) and isinstance(said[0], str | bool):
        assert list(found) == said
    else:
        np.testing.assert_allclose(_flat(found), _flat(said), atol=6e-4, rtol=2e-3)


def _flat(value):
    return (
        np.concatenate([np.ravel(v) for v in value])
        if isinstance(value, tuple)
        else np.ravel(value)
    )


def _array(value):
    return np.array(value) if isinstance(value, list) and not isinstance(value[0], str) else value
