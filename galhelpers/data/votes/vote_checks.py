"""Checks of vote tables: which rows are wrong, and how to say it so that they can be found."""

from typing import Any

import numpy as np
import pandas as pd

from galhelpers.data.votes.catalogue_files import VoteTableError
from galhelpers.trees import Tree

_ROUNDING = 1e-6  # fractions stored as float32 may exceed 1 by 6e-8


class Problems:
    """Collects rows that are wrong; the first reason counts.

    Parameters
    ----------
    where
        The table, for messages.
    ids
        (n,) identifiers.
    lines
        (n,) lines of the file.
    """

    def __init__(self, where: str, ids: pd.Series, lines: np.ndarray) -> None:
        self.where, self.ids, self.lines = where, ids.to_numpy(), lines
        self.checks: list[tuple[np.ndarray, str, tuple[np.ndarray, ...]]] = []

    def add(self, wrong: np.ndarray, reason: str, *values: np.ndarray) -> None:
        """Note rows (mask (n,)) that fail a check; ``{}`` in the reason take the row's values."""
        if wrong.any():
            self.checks.append((wrong, reason, values))

    def add_cells(
        self, wrong: np.ndarray, names: list[str], reason: str, cells: np.ndarray
    ) -> None:
        """Note rows by mask (n, columns); ``{}`` take the first wrong column's name and value."""
        first = wrong.argmax(axis=1)
        values = np.take_along_axis(cells, first[:, None], axis=1)[:, 0]
        self.add(
            np.asarray(wrong.any(axis=1)), reason, np.array(names, dtype=object)[first], values
        )

    def add_fractions(
        self, tree: Tree, values: np.ndarray, conditional_on_tree: bool = False
    ) -> None:
        """Note fractions outside 0-1 and NaN; a question without any number was not asked."""
        outside = (values < -_ROUNDING) | (values > 1 + _ROUNDING)
        self.add_cells(outside, tree.published, "{} is {:.6g}, expected 0 to 1", values)
        empty = np.isnan(values)
        if conditional_on_tree:
            for columns in tree.slices.values():
                empty[:, columns] &= ~empty[:, columns].all(axis=1, keepdims=True)
        self.add_cells(empty, tree.published, "{} has no number ({:.0f})", values)

    @property
    def wrong(self) -> np.ndarray:
        """Mask (n,) of rows with a problem."""
        wrong = np.zeros(len(self.ids), dtype=bool)
        for mask, _, _ in self.checks:
            wrong |= mask
        return wrong

    def settle(self, on_error: str) -> np.ndarray:
        """Give the mask of rows to keep, or raise ``VoteTableError`` with up to five rows."""
        wrong = self.wrong
        if not wrong.any() or on_error == "drop":
            return ~wrong
        rest = [f"  and {wrong.sum() - 5:,} more"] if wrong.sum() > 5 else []
        raise VoteTableError(
            "\n".join(
                [
                    f"{self.where}: {wrong.sum():,} of {len(wrong):,} rows are wrong "
                    '(on_error="drop" leaves them out):',
                    *(f"  {text}" for text in self._examples()),
                    *rest,
                ]
            )
        )

    def left_out(self, without_votes: int) -> dict[str, Any]:
        """Record of the rows that are left out: how many, and examples with the reason."""
        record: dict[str, Any] = {"rows": int(self.wrong.sum()), "examples": self._examples()}
        return record | ({"without_votes": without_votes} if without_votes else {})

    def _examples(self) -> list[str]:
        texts = []
        for i in np.flatnonzero(self.wrong)[:5]:
            reason, values = next((say, of) for mask, say, of in self.checks if mask[i])
            words = reason.format(*(value[i] for value in values))
            texts.append(f"line {self.lines[i]} (id {self.ids[i]}): {words}")
        return texts


def fractional(problems: Problems, tree: Tree, counts: np.ndarray) -> None:
    """Note counts that are negative or no whole numbers."""
    odd = (counts < 0) | (np.abs(counts - np.rint(counts)) > _ROUNDING)
    problems.add_cells(odd, tree.columns, "the number of votes for {} is {:.6g}", counts)


def answered_by_too_many(problems: Problems, tree: Tree, counts: np.ndarray) -> None:
    """Note questions answered by more people than were led to them.

    The Stripe 82 table of Willett et al. 2013 has up to 2 too many in 351 rows of a question; so 2
    and 10 % are let pass.
    """
    for question, columns in tree.slices.items():
        parents = [tree.index(parent) for parent in tree.question(question).parents]
        if not parents:
            continue
        led, answered = counts[:, parents].sum(axis=1), counts[:, columns].sum(axis=1)
        problems.add(
            answered > 1.1 * led + 2,
            "{:.0f} people answered " + question + ", but only {:.0f} were led to it",
            answered,
            led,
        )


def wrong_sums(problems: Problems, tree: Tree, cumulative: np.ndarray, atol: float = 1e-4) -> None:
    """Note questions whose answers do not sum to the share of people who were asked.

    Kaggle's columns are rounded; their largest residual is below 1e-5.
    """
    asked = tree.asked(cumulative)
    for i, (question, columns) in enumerate(tree.slices.items()):
        sums = cumulative[:, columns].sum(axis=1)
        problems.add(
            np.abs(sums - asked[:, i]) > atol,
            f"the answers of {question}" + " sum to {:.6g}, expected {:.6g}",
            sums,
            asked[:, i],
        )
