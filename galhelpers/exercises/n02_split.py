"""Exercise of unit 02 on splits: a part for each galaxy that follows from its name alone."""

import builtins
import contextlib
import copy
import functools
import inspect
import itertools
import os
import random
import time
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, NotYet, describe

# 02.2 --------------------------------------------------------------------------------------------


def part_of(galaxy_id: str, seed: int) -> str:
    """Part of a galaxy: "test" for one in five, else "train"."""
    import hashlib

    digest = hashlib.blake2b(f"{seed}:{galaxy_id}".encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") / 2**64 < 0.2 else "train"


def _salted_hash(value: Any, plain: Callable[[Any], int] = builtins.hash) -> int:
    # hash() of numbers is the same in every process; that of text is salted anew in each.
    if isinstance(value, tuple):
        return plain(tuple(_salted_hash(item) for item in value))
    return plain((value, "another process")) if isinstance(value, str | bytes) else plain(value)


# What a function remembers -----------------------------------------------------------------------


class _Memory:
    """What a function and its helpers could have written down between calls.

    `forget` puts it back, so that the next call is like a first one in another process. Only what
    is written in the same module is looked at, since libraries keep caches of their own.

    Attributes
    ----------
    names
        Names that the function and its helpers use.
    """

    def __init__(self, function: Any) -> None:
        self.names: set[str] = set()
        self._home = getattr(inspect.unwrap(function), "__module__", None)
        self._seen: set[int] = set()
        self._undo: list[Callable[[], object]] = []
        self._visit(function)

    def forget(self) -> None:
        """Put back what was there at first, and empty the caches of functools."""
        for step in self._undo:
            step()

    def _visit(self, one: Any) -> None:
        if id(one) in self._seen or len(self._seen) > 1000:
            return
        self._seen.add(id(one))
        if hasattr(one, "cache_clear"):
            self._undo.append(one.cache_clear)
        if isinstance(one, dict | set):
            self._undo += [one.clear, functools.partial(one.update, copy.copy(one))]
        elif isinstance(one, list):
            self._undo.append(functools.partial(one.__setitem__, slice(None), one[:]))
        elif isinstance(one, random.Random) and not isinstance(one, random.SystemRandom):
            self._undo.append(functools.partial(one.setstate, one.getstate()))
        elif isinstance(one, np.random.Generator):
            bits = one.bit_generator
            self._undo.append(functools.partial(setattr, bits, "state", copy.deepcopy(bits.state)))
        elif isinstance(one, types.FunctionType):
            if one.__module__ == self._home:
                self._visit_function(one)
        elif isinstance(one, types.MethodType):
            self._visit(one.__func__)
            self._visit(one.__self__)
        elif isinstance(one, functools.partial):
            self._visit(one.func)
            self._visit([*one.args, *one.keywords.values()])
        elif type(one).__module__ == self._home:
            self._visit(vars(one) if hasattr(one, "__dict__") else None)
            self._visit(vars(type(one)).get("__call__"))
        if isinstance(one, dict | list | set | tuple):
            for item in one.values() if isinstance(one, dict) else one:
                self._visit(item)
        if hasattr(one, "__wrapped__"):
            self._visit(one.__wrapped__)

    def _visit_function(self, function: types.FunctionType) -> None:
        names = {name for code in _codes(function.__code__) for name in code.co_names}
        self.names |= names
        for name in names & set(function.__globals__):
            value = function.__globals__[name]
            if isinstance(value, int | float | str | None):  # a counter, for example
                put = functools.partial(function.__globals__.__setitem__, name, value)
                self._undo.append(put)
            self._visit(value)
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # it is still empty
                value = cell.cell_contents
                self._undo.append(functools.partial(setattr, cell, "cell_contents", value))
                self._visit(value)
        self._visit(function.__defaults__)
        self._visit(function.__kwdefaults__)
        self._visit(vars(function))


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


# The check ---------------------------------------------------------------------------------------

# Galaxies of each kind that are asked for: 21,000 calls in all, 0.1 s for a hash.
MANY, CALLS, AT_MOST_S = 1000, 21, 8.0


def _ids(n: int) -> dict[str, list[str]]:
    digits = itertools.permutations("123456789")
    return {
        "evenly spaced ids": [str(100008 + 37 * i) for i in range(n)],
        "random ids": [str(i) for i in np.random.default_rng(14).integers(10**17, 10**18, n)],
        "ids like those of SDSS": [
            str((587722952767439450 >> 28 << 28) + (i << 16) + 5 * 16) for i in range(n)
        ],
        "ids that all end in 0": [str(10 * i) for i in range(10_000, 10_000 + n)],
        "ids one after the other": [str(722952767439450 + i) for i in range(n)],
        "ids one after the other, of 18 digits": [str(587722952767439450 + i) for i in range(n)],
        "ids that differ in their first digits only": [
            f"{100_000 + i}000000004321" for i in range(n)
        ],
        "ids in steps of 9": [str(90_000 + 9 * i) for i in range(n)],
        "ids of the same digits in another order": ["".join(next(digits)) + "0" for _ in range(n)],
        "ids in steps of 5040": [str(50_400_000 + 5040 * i) for i in range(n)],
    }


def _check_split(ask: Answer) -> str | None:
    def parts(ids: list[str], seed: int) -> np.ndarray:
        given = [ask("".join(name), seed) for name in ids]
        for name, part in zip(ids, given, strict=True):
            if not isinstance(part, str) or part not in ("train", "test"):
                raise NotYet(f'expected "train" or "test" for galaxy {name}, got {describe(part)}')
        return np.array(given) == "test"

    def moved(again: np.ndarray) -> str:
        return f"{ids[int(np.argmax(again != once))]}, seed 0,"

    memory = _Memory(ask.function)
    if "__hash__" in memory.names:
        return (
            "the __hash__ of text, as Python's hash(), starts from a new random salt each time "
            "Python starts, so galaxies would change sides in another Python process"
        )
    each = _seconds(lambda name: parts([name], seed=3), _ids(10)["random ids"])
    n = int(np.clip(AT_MOST_S / CALLS / each, 40, MANY))
    if n < MANY:
        ask.note = (
            f" (It takes {1000 * each:.3g} ms a call, so it was asked {CALLS * n} times instead of "
            f"{CALLS * MANY}.)"
        )
    kinds = _ids(n)
    ids = kinds["evenly spaced ids"]
    once = parts(ids, seed=0)
    again = parts(ids[::-1], seed=0)[::-1]
    if (again != once).any():
        return (
            f"galaxy {moved(again)} changed sides when it was asked for again in another order. "
            "Its part may depend on nothing but its id and the seed"
        )
    memory.forget()
    random.seed(1)
    np.random.seed(1)
    with (
        mock.patch.object(builtins, "hash", _salted_hash),
        mock.patch.object(os, "getpid", return_value=12345),
    ):
        elsewhere = parts(ids[::-1], seed=0)[::-1]
    if (elsewhere != once).any():
        why = (
            "Python's hash() of text starts from a new random salt each time Python starts"
            if "hash" in memory.names
            else "what your function keeps between calls, or draws at random, is another there"
        )
        return f"in another Python process, galaxy {moved(elsewhere)} would change sides: {why}"
    return _share_and_independence(parts, kinds, n) or _seeds(parts, kinds, n)


def _seconds(call: Callable[[str], object], names: list[str]) -> float:
    """Measure the median duration of a call; the first one may import something."""
    times = []
    for name in names:
        start = time.perf_counter()
        call(name)
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def _share_and_independence(
    parts: Callable[[list[str], int], np.ndarray], kinds: dict[str, list[str]], n: int
) -> str | None:
    given = {kind: parts(names, 0) for kind, names in kinds.items()}
    shares = np.array([test.mean() for test in given.values()])
    share, noise = shares.mean(), 4.7 * np.sqrt(0.16 / n)  # binomial standard deviations
    if abs(share - 0.2) > max(0.02, noise / len(kinds) ** 0.5) and np.ptp(shares) < 2 * noise:
        swapped = ". Which of the two is the larger part?" if abs(share - 0.8) < 0.02 else ""
        return (
            f"of {n * len(kinds)} galaxies, {share:.1%} are in the test part; one in five, 18 to "
            f"22%, was asked for{swapped}"
        )
    for kind, test in given.items():
        if abs(test.mean() - 0.2) > noise:
            return (
                f"of {n} galaxies with {kind}, {test.mean():.1%} are in the test part. Survey ids "
                f"have structure, as {kinds[kind][0]} and {kinds[kind][1]}; the share must not "
                "depend on it"
            )
        both = (test[1:] & test[:-1]).mean()
        if abs(both - 0.04) > _joint(n):
            return (
                f"with {kind}, {both:.1%} of pairs of neighbours are both in the test part, where "
                "0.2 x 0.2 is 4%. The part of one galaxy must say nothing about the next one's"
            )
    return None


def _joint(n: int) -> float:
    return 4.8 * float(np.sqrt(0.04 * 0.96 / n))


def _seeds(
    parts: Callable[[list[str], int], np.ndarray], kinds: dict[str, list[str]], n: int
) -> str | None:
    names = kinds["ids one after the other"]
    given = {seed: parts(names, seed) for seed in (0, 1, 2, 5, 7, 96_005, 288_288_000)}
    for (one, first), (two, second) in itertools.combinations(given.items(), 2):
        if (first == second).all():
            return (
                f"seeds {one} and {two} give the same split, so a second, independent split cannot "
                "be drawn"
            )
        for step in (0, -2, -1, 1, 2):
            both = (np.roll(first, step) & second).mean()
            if abs(both - 0.04) > _joint(n):
                whose = (
                    "in the test part of both"
                    if not step
                    else (
                        f"in that of seed {two} while galaxy id {-step:+d} is in that of seed {one}"
                    )
                )
                return (
                    f"with seeds {one} and {two}, {both:.1%} of galaxies are {whose}, where 0.2 x "
                    "0.2 is 4%: the second split is no independent one. How does the seed enter?"
                )
    twice = parts([str(2 * int(name)) for name in names], 0)
    if abs((twice & given[1]).mean() - 0.04) > _joint(n):
        return (
            "the part of a galaxy with seed 1 is that of the galaxy with twice its id with seed 0: "
            "no arithmetic with the id should lead from one split to the other"
        )
    return None


SPLIT = Exercise(
    id="02.2",
    title="A split that stays",
    question=(
        "A galaxy that was trained on must never be tested on. A shuffled table promises that only "
        "until it changes: then yesterday's network has seen today's test galaxies. A galaxy's "
        "part has to follow from its own id and the seed, and from nothing else.\n\n"
        "Write `part_of(galaxy_id, seed)`: `galaxy_id` is text, the digits of a number such as "
        '`"587722952767439450"`; `seed` an int, 0 or more. Return `"test"` for one galaxy in five '
        '(18 to 22%), else `"train"`: the same answer in any order, in any process, for ever. '
        "Whatever pattern the ids have, one galaxy's part says nothing about that of its "
        "neighbours, and the splits of any two seeds are independent: of the test galaxies of "
        "one, a fifth are test galaxies of the other."
    ),
    hints=(
        "A good hash function turns any text into bits that look random, and are always the same.",
        "hashlib has several: `hashlib.blake2b(text.encode(), digest_size=8).digest()`. Put the "
        "seed into the text as well.",
        '`int.from_bytes(digest, "big") / 2**64` lies between 0 and 1, evenly. Which part of that '
        "range is the test part?",
    ),
    reference=part_of,
    diagnose=_check_split,
    lesson="Such a split survives a longer catalog, another order and another computer.",
)

EXERCISES = (SPLIT,)
