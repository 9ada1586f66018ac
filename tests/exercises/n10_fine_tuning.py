"""Answers to the exercises of n10_fine_tuning.py: wrong ones, and other right ones."""

import re

import numpy as np
import pandas as pd

from galhelpers.exercises.n10_fine_tuning import moved


def _changed(before, after, frozen, differ):
    rests = [n for n in before if any(n == f or n.startswith(f + ".") for f in frozen)]
    return [name for name in rests if differ(before[name], after[name])]


def _differ(one, other):
    return not np.array_equal(one, other)


WRONG = {
    "10.2": {
        "weights only": (
            lambda b, a, f: [n for n in moved(b, a, f) if n.endswith(("weight", "bias"))],
            "leave out encoder.1.norm.running_mean",
        ),
        "floats only": (
            lambda b, a, f: [n for n in moved(b, a, f) if b[n].dtype.kind == "f"],
            "went from 40 to 60",
        ),
        "statistics only": (
            lambda b, a, f: [n for n in moved(b, a, f) if ".norm." in n],
            "leave out encoder.1.conv.weight",
        ),
        "all changed": (
            lambda b, a, f: [n for n in b if _differ(b[n], a[n])],
            "was free to change",
        ),
        "no dot": (
            lambda b, a, f: [
                n for n in b if any(n.startswith(p) for p in f) and _differ(b[n], a[n])
            ],
            "only begin alike",
        ),
        "anywhere": (
            lambda b, a, f: [
                n for n in b if any(p + "." in n or n == p for p in f) and _differ(b[n], a[n])
            ],
            "stands in the middle",
        ),
        "below only": (
            lambda b, a, f: [n for n in moved(b, a, f) if n not in f],
            "leave out class_token",
        ),
        "tolerance": (
            lambda b, a, f: _changed(b, a, f, lambda x, y: not np.allclose(x, y)),
            "leave out encoder.2.conv.weight",
        ),
        "grown": (
            lambda b, a, f: _changed(b, a, f, lambda x, y: (y > x).any()),
            "leave out encoder.1.norm.running_var",
        ),
        "all frozen": (
            lambda b, a, f: _changed(b, a, f, lambda x, y: True),
            "are what they were",
        ),
        "first value": (
            lambda b, a, f: _changed(b, a, f, lambda x, y: x.flat[0] != y.flat[0]),
            "at [1]",
        ),
        "modules": (
            lambda b, a, f: sorted({n.split(".")[0] for n in moved(b, a, f)}),
            "which is no entry of the state",
        ),
        "twice": (
            lambda b, a, f: [n for part in f for n in moved(b, a, [part])],
            "twice: it is inside two of them",
        ),
        "dots of a regular expression": (
            lambda b, a, f: [
                n for n in b if any(re.match(rf"{p}(\.|$)", n) for p in f) and _differ(b[n], a[n])
            ],
            "stands for any character",
        ),
        "count": (lambda b, a, f: len(moved(b, a, f)), "expected a list of names"),
    },
}


def _moved_by_bytes(before, after, frozen):
    parents = {n: {n} | {n[:i] for i, c in enumerate(n) if c == "."} for n in before}
    rests = {n for n in before if parents[n] & set(frozen)}
    return {n for n in rests if before[n].tobytes() != after[n].tobytes()}


REFUSED = {
    "10.2": [
        lambda b, a, f: _changed(b, a, f, _differ),
        lambda b, a, f: _changed(b, a, f, lambda x, y: not np.array_equal(x, y, equal_nan=True)),
        lambda b, a, f: _changed(b, a, f, lambda x, y: abs(y - x).max() > 0),
        lambda b, a, f: _changed(b, a, f, lambda x, y: (x * 1.0).tobytes() != (y * 1.0).tobytes()),
        lambda b, a, f: moved(b, a, f[:1]),
        lambda b, a, f: moved(b, a, f[-1:]),
        lambda b, a, f: moved(b, a, f)[:1],
        lambda b, a, f: moved(b, a, [part.split(".")[0] for part in f]),
        lambda b, a, f: [n for n in b if n.split(".")[0] in f and _differ(b[n], a[n])],
        lambda b, a, f: [n for n in b if n.rpartition(".")[0] in f and _differ(b[n], a[n])],
        lambda b, a, f: [n for n in b if n not in moved(b, a, f)],
        lambda b, a, f: [n.rpartition(".")[2] for n in moved(b, a, f)],
        lambda b, a, f: _changed(b, a, f, lambda x, y: x is not y),
        lambda b, a, f: _changed(b, a, f, lambda x, y: x.mean() != y.mean()),
        lambda b, a, f: _changed(b, a, f, lambda x, y: x.max() != y.max()),
        lambda b, a, f: _changed(b, a, f, lambda x, y: (x != y).all()),
        lambda b, a, f: _changed(b, a, f, lambda x, y: {*x.flat} != {*y.flat}),
        lambda b, a, f: _changed(b, a, f, lambda x, y: _differ(abs(x), abs(y))),
        lambda b, a, f: _changed(b, a, f, lambda x, y: _differ(np.float32(x), np.float32(y))),
        lambda b, a, f: _changed(b, a, f, lambda x, y: x.ndim and _differ(x, y)),
        lambda b, a, f: {name: a[name] for name in moved(b, a, f)},
        lambda b, a, f: ", ".join(moved(b, a, f)),
    ],
}


def _moved_by_loops(before, after, frozen):
    found = []
    for name, value in before.items():
        for part in frozen:
            if (name + ".").startswith(part + ".") and value.tobytes() != after[name].tobytes():
                found.append(name)
                break
    return pd.Series(found, dtype=object)


RIGHT = {
    "10.2": [_moved_by_bytes, _moved_by_loops],
}
