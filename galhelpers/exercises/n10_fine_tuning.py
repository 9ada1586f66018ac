"""Exercise of notebook 10 on fine-tuning: what is frozen, and what only seems so.

The frozen networks that move are those of Zoobot 2.9.0 and of the Kaggle notebook of notebook 04.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, NotYet, describe

# 10.2 --------------------------------------------------------------------------------------------


def moved(
    before: Mapping[str, np.ndarray], after: Mapping[str, np.ndarray], frozen: Sequence[str]
) -> list[str]:
    """Names of the frozen entries that are not the same, to the last bit, after training."""
    rests = [n for n in before if any(n == f or n.startswith(f + ".") for f in frozen)]
    return [n for n in rests if np.asarray(before[n]).tobytes() != np.asarray(after[n]).tobytes()]


def _trained(seed: int, changes: Mapping[str, Callable[[np.ndarray], Any]]) -> tuple[Any, Any]:
    """Give a small state dictionary, and a copy in which some entries have changed."""
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"class_token": (3,), "teacher.encoder.1.weight": (2, 2)}
    shapes["encoder_1.weight"] = (2,)  # for a regular expression, a dot is any character
    for block in ("encoder.1", "encoder.2", "encoder.10"):
        shapes |= {f"{block}.conv.weight": (2, 3), f"{block}.conv.bias": (2,)}
        shapes |= {f"{block}.norm.{name}": (2,) for name in ("running_mean", "running_var")}
    shapes |= {"head.weight": (2, 2), "head.bias": (2,)}
    before: dict[str, np.ndarray] = {name: rng.uniform(0.5, 2, s) for name, s in shapes.items()}
    before["encoder.1.norm.num_batches_tracked"] = np.array(40)
    if set(changes) == set(BITS):
        before["encoder.1.norm.num_batches_tracked"] = np.array(2**53)
        before["encoder.2.conv.bias"][0], before["encoder.10.conv.bias"][0] = 0, np.nan
    after = {name: value.copy() for name, value in before.items()}
    for name, change in changes.items():
        after[name] = np.array(change(after[name]))
    return before, after


def _last_up(a: np.ndarray) -> np.ndarray:
    a.flat[-1] += 0.3
    return a


HEAD = {"head.weight": lambda a: a + 0.1, "head.bias": lambda a: a - 0.1}
NORM = {
    "encoder.1.norm.running_mean": lambda a: a + 0.2,
    "encoder.1.norm.running_var": lambda a: a * 0.7,
    "encoder.1.norm.num_batches_tracked": lambda a: a + 20,
}
BITS = {
    "encoder.1.conv.bias": lambda a: a * np.nan,
    "encoder.1.norm.num_batches_tracked": lambda a: a + 1,
    "encoder.2.conv.bias": lambda a: a * [-1, 1],  # 0.0 becomes -0.0
}
CASES: dict[str, tuple[dict[str, Callable[[np.ndarray], Any]], list[str]]] = {
    "a head that learned, all else frozen": (
        HEAD | NORM,
        ["encoder", "class_token", "teacher"],
    ),
    "encoder.1 and encoder.2 frozen": (
        HEAD | {
            "encoder_1.weight": lambda a: a + 0.1,
            "encoder.10.conv.weight": lambda a: a + 0.1,
            "encoder.10.norm.running_mean": lambda a: a + 0.1,
            "teacher.encoder.1.weight": lambda a: a + 0.1,
            "encoder.1.conv.bias": lambda a: a - 0.3,
            "encoder.1.conv.weight": lambda a: a[:, ::-1],
            "encoder.2.conv.weight": lambda a: np.nextafter(a, 9),
            "encoder.2.conv.bias": _last_up,
            "encoder.2.norm.running_var": lambda a: a + 1e-9,
        },
        ["encoder.1", "encoder.2"],
    ),
    "an encoder frozen, and a part of it once more": (
        NORM | {
            "encoder_1.weight": lambda a: a + 0.1,
            "encoder.10.conv.bias": lambda a: -a,
            "encoder.2.conv.weight": lambda a: a - 1,
        },
        ["encoder.1", "encoder", "encoder.10.conv"],
    ),
    "the class token frozen": (HEAD | {"class_token": lambda a: -a}, ["class_token"]),
    "a network that stayed as it was": ({}, ["encoder", "head"]),
    "an encoder with NaN, 0.0 and a count of 2**53": (BITS, ["encoder"]),
    "nothing frozen": (HEAD | NORM, []),
}  # fmt: skip


def _names(value: Any, seen: str) -> list[str]:
    if hasattr(value, "tolist"):  # an array of numpy, a Series or an Index of pandas
        value = value.tolist()
    if not isinstance(value, list | tuple | Set) or not all(isinstance(v, str) for v in value):
        raise NotYet(f"for {seen} expected a list of names, got {describe(value)}")
    return list(value)


def _why_extra(name: str, before: Any, after: Any, frozen: list[str]) -> str:
    if name not in before:
        return f"name {name}, which is no entry of the state. Which entries of it moved?"
    if not any(name == f or name.startswith(f + ".") for f in frozen):
        if name == "encoder_1.weight" and "encoder" not in frozen:
            return f"name {name}. A dot in a regular expression stands for any character"
        if any(name.startswith(f) for f in frozen):
            return f"name {name}. Is that inside {frozen[0]}, or does it only begin alike?"
        if any(f in name for f in frozen):
            return f"name {name}, where {frozen[0]} stands in the middle. Begins it so?"
        return f"name {name}, which was free to change"
    return f"name {name}, whose values are what they were, {describe(after[name])}"


def _why_missing(name: str, before: Any, after: Any) -> str:
    was, now = before[name], after[name]
    place = next(i for i in np.ndindex(was.shape) if was[i].tobytes() != now[i].tobytes())
    where = f" at {list(place)}" if place else ""
    return f"leave out {name}, which is frozen and went from {was[place]} to {now[place]}{where}"


def _check_moved(ask: Answer) -> str | None:
    for seed, (name, (changes, frozen)) in enumerate(CASES.items()):
        before, after = _trained(seed, changes)
        seen = f"{name} (frozen = {frozen})"
        names = _names(ask(before, after, frozen, seen=seen), seen)
        got, right = set(names), set(moved(before, after, frozen))
        for entry in [*sorted(got - set(after)), *after]:
            if entry in got - right:
                return f"for {seen} you {_why_extra(entry, before, after, frozen)}"
            if entry in right - got:
                return f"for {seen} you {_why_missing(entry, before, after)}"
        twice = [entry for entry in names if names.count(entry) > 1]
        if twice:
            return f"for {seen} you name {twice[0]} twice: it is inside two of them, and one entry"
    return None


MOVED = Exercise(
    id="10.2",
    title="Frozen, really?",
    question=(
        "The Kaggle notebook freezes DenseNet121 and ResNet18 by `requires_grad = False` for all "
        "but the head; Zoobot 2.9.0's 'head_only' also lets only the head learn. The weights rest; "
        "but BatchNorm's running means and variances have no gradient to begin with: they "
        "move whenever a network in training mode sees a picture. After 20 steps on another survey "
        "the 'frozen' features were off by 24% (EfficientNet-B0), or 79% (ResNet18).\n\n"
        "Write `moved(before, after, frozen)`: two state dictionaries, name to array, and a list "
        "of frozen modules or entries: `'encoder.1'` means the entry of that name and all below "
        "it, such as `'encoder.1.weight'`. Return the names of the frozen entries, of whatever "
        "kind, that training changed, in any order, each once. Frozen means the same to the last "
        "bit: a NaN that stays is no change, and 0.0 to -0.0 is one. "
        "`moved({'a.w': [1], 'b': [1]}, {'a.w': [2], 'b': [2]}, ['a'])` gives `['a.w']`."
    ),
    hints=(
        "First: which names are frozen? `'encoder.10.weight'` also begins with `'encoder.1'`.",
        "A dot tells: `name == f or name.startswith(f + '.')`, for any f in `frozen`.",
        "`np.asarray(before[name]).tobytes()` are its bits; by `==` NaN is not NaN, and 0.0 is "
        "-0.0. Do not choose entries by kind: weights, statistics and counters are all part of "
        "what was frozen.",
    ),
    reference=moved,
    diagnose=_check_moved,
    lesson="requires_grad stops the optimiser, .eval() stops the statistics. Freezing takes both.",
)

EXERCISES = (MOVED,)
