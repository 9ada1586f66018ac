"""From what a vote table publishes to fractions that obey the tree: the arithmetic."""

from typing import Any

import numpy as np

from galhelpers.data.votes.vote_checks import Problems
from galhelpers.trees import Tree

SUM_TOLERANCE = 0.02
"""Plain fractions are published with three decimals, of seven answers at most."""


def shares(counts: np.ndarray, tree: Tree) -> np.ndarray:
    """Turn counts (n, answers) into shares of those who answered each question, NaN where none."""
    shares = np.full(counts.shape, np.nan)
    for columns in tree.slices.values():
        people = np.nan_to_num(counts[:, columns]).sum(axis=1, keepdims=True)
        np.divide(counts[:, columns], people, out=shares[:, columns], where=people > 0)
    return shares


def stand_in(
    values: np.ndarray, others: list[np.ndarray], names: list[str], tree: Tree
) -> dict[str, int]:
    """Fill questions that have no number from the next kind that has one; rows, by question."""
    filled = {}
    for question, columns in tree.slices.items():
        count = 0
        for other, name in zip(others, names, strict=True):
            there = values[:, columns]
            empty = np.isnan(there).any(axis=1) | (there == 0).all(axis=1)
            if not empty.any():
                break
            block = other[empty, columns]
            if name == "count":
                people = block.sum(axis=1, keepdims=True)
                block = block / np.where(people > 0, people, np.nan)
            good = ~np.isnan(block).any(axis=1) & (block != 0).any(axis=1)
            rows = np.flatnonzero(empty)[good]
            values[rows, columns] = block[good]
            count += len(rows)
        if count:
            filled[question] = count
    return filled


def multiplied_down(
    conditional: np.ndarray, tree: Tree, kind: str, problems: Problems, counted: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Divide each question by its sum and multiply down the tree; say what had to be changed."""
    renormalised, unanswered = {}, {}
    values = np.nan_to_num(conditional)
    for question, columns in tree.slices.items():
        sums = values[:, columns].sum(axis=1)
        off = (sums > 0) & (np.abs(sums - 1) > 0.01)
        if kind != "debiased":
            wrong = (sums > 0) & (np.abs(sums - 1) > SUM_TOLERANCE)
            problems.add(wrong, f"the answers of {question}" + " sum to {:.4g}, expected 1", sums)
        elif off.any():
            renormalised[question] = int(off.sum())
        np.divide(
            values[:, columns], sums[:, None], out=values[:, columns], where=sums[:, None] > 0
        )
    first = values[:, : tree.offsets[1]].sum(axis=1) == 0
    problems.add(first, f"nobody answered {tree.questions[0].name}")
    fractions = tree.to_cumulative(values)
    asked = tree.asked(fractions)
    for i, (question, columns) in enumerate(tree.slices.items()):
        nobody = (asked[:, i] > 0) & (values[:, columns].sum(axis=1) == 0)
        if nobody.any():
            unanswered[question] = int(nobody.sum())
        if counted:
            continue  # the counts say that nobody answered
        # A gap in the table where most people were asked is no rare answer.
        gap = np.isnan(conditional[:, columns]).all(axis=1) & (asked[:, i] > 0.5)
        problems.add(gap, f"{question} has no number (NaN), but people were asked")
    return fractions, {"renormalised": renormalised, "unanswered": unanswered}
