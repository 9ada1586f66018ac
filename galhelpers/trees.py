"""A decision tree: questions, their answers, who is asked what, and the arithmetic of fractions.

A volunteer walks down a tree. "Is there a bar?" is asked only of those who saw a disk that is not
edge-on. So there are two ways to write one galaxy's votes as fractions:

*conditional*
    share of the volunteers *who were asked* the question; the answers of a question sum to 1;
*cumulative*
    share of *all* volunteers (Kaggle's 37 columns); the answers of a question sum to the share of
    volunteers who were asked it.

cumulative = conditional x share asked, and the share asked is the sum of the cumulative fractions
of the parent answers (1 where a question has no parent).

Every method takes NumPy arrays or torch tensors with the answers along the last axis, or a pandas
table with one column per answer, found by name.

The trees of the Galaxy Zoo projects and of the CANDELS experts stand in ``trees.yaml``, with their
sources. Each is a constant of this module: ``GZ2``, ``DECALS``, ``CANDELS``, ...
"""

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import yaml

Array = Any
"""A NumPy array or a torch tensor; what goes in as one comes out as the same."""


class TreeError(ValueError):
    """A tree contradicts itself; the message says where."""


@dataclass(frozen=True)
class Question:
    """One question of a decision tree.

    Parameters
    ----------
    name
        Lower-case words joined by hyphens, such as ``"disk-edge-on"``.
    text
        The question as volunteers read it, or close to it.
    answers
        Two or more answers, named in the same way.
    parents
        Answers that lead here, as ``"<question>_<answer>"``, all of one earlier question. Empty
        when every volunteer is asked.
    """

    name: str
    text: str
    answers: tuple[str, ...]
    parents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, value in (("answers", self.answers), ("parents", self.parents)):
            # ("yes") is a string, not a tuple of one: its letters would become the answers.
            if not isinstance(value, tuple):
                raise TreeError(f"Question {self.name!r}: {field} must be a tuple, got {value!r}.")
            if len(set(value)) != len(value):
                raise TreeError(f"Question {self.name!r}: {field} repeat themselves: {value}.")
        if len(self.answers) < 2:
            raise TreeError(f"Question {self.name!r} needs two or more answers: {self.answers}.")
        for name in (self.name, *self.answers):
            if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
                raise TreeError(
                    f"Question {self.name!r}: expected lower-case words joined by hyphens, "
                    f"got {name!r}."
                )

    @property
    def columns(self) -> tuple[str, ...]:
        """Column of each answer: ``"<question>_<answer>"``."""
        return tuple(f"{self.name}_{answer}" for answer in self.answers)


@dataclass(frozen=True)
class Tree:
    """A decision tree: questions in order, each after the one that leads to it.

    Parameters
    ----------
    name
        Short name, such as ``"gz2"``.
    questions
        Questions in the order of the published table's columns.
    published_columns
        The answers' column names in the published table, in the same order; ``None`` when they
        are the ``"<question>_<answer>"`` names already.

    Raises
    ------
    TreeError
        When names repeat, a parent is unknown, comes later, or a question's parents belong to
        different questions.
    """

    name: str
    questions: tuple[Question, ...]
    published_columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.questions:
            raise TreeError(f"Tree {self.name!r} has no questions.")
        seen: dict[str, str] = {}  # column -> question
        for question in self.questions:
            if question.name in seen.values():
                raise TreeError(f"Tree {self.name!r} has two questions {question.name!r}.")
            for parent in question.parents:
                if parent not in seen:
                    raise TreeError(
                        f"Question {question.name!r} follows {parent!r}, which is no answer of an "
                        f"earlier question. Earlier answers: {', '.join(seen) or 'none'}."
                    )
            # Answers of one question exclude each other, so their shares may be added up. Those
            # of two questions overlap: one volunteer may have given both.
            if len({seen[parent] for parent in question.parents}) > 1:
                raise TreeError(
                    f"Question {question.name!r} follows answers of different questions: "
                    f"{', '.join(question.parents)}."
                )
            seen.update(dict.fromkeys(question.columns, question.name))
        if self.published_columns is not None:
            found = len(set(self.published_columns))
            if found != len(seen) or len(self.published_columns) != len(seen):
                raise TreeError(
                    f"Tree {self.name!r} has {len(seen)} answers but {found} different published "
                    f"columns in a list of {len(self.published_columns)}."
                )

    @cached_property
    def columns(self) -> list[str]:
        """``"<question>_<answer>"`` of every answer, in order."""
        return [column for question in self.questions for column in question.columns]

    @cached_property
    def published(self) -> list[str]:
        """Column names of the published table, aligned with ``columns``."""
        return list(self.published_columns or self.columns)

    @cached_property
    def offsets(self) -> list[int]:
        """First column of each question, and the number of answers at the end."""
        sizes = [len(question.answers) for question in self.questions]
        return [0, *np.cumsum(sizes).tolist()]

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Columns of each question, by its name."""
        return {
            question.name: slice(self.offsets[i], self.offsets[i + 1])
            for i, question in enumerate(self.questions)
        }

    @property
    def n_questions(self) -> int:
        """Number of questions."""
        return len(self.questions)

    @property
    def n_answers(self) -> int:
        """Number of answers, over all questions."""
        return self.offsets[-1]

    def question(self, name: str) -> Question:
        """Give the question called ``name``; ``KeyError`` with the valid names if there is none."""
        for question in self.questions:
            if question.name == name:
                return question
        valid = ", ".join(question.name for question in self.questions)
        raise KeyError(f"Tree {self.name!r} has no question {name!r}. Questions: {valid}.")

    def index(self, column: str) -> int:
        """Give the position of an answer by either name: ``"bar_yes"`` or ``"Class3.1"``."""
        for names in (self.columns, self.published):
            if column in names:
                return names.index(column)
        raise KeyError(
            f"Tree {self.name!r} has no answer {column!r}. Answers: {', '.join(self.columns)}."
        )

    def array(self, fractions: Array) -> Array:
        """Give fractions as an array or tensor whose last axis is the tree's answers.

        Parameters
        ----------
        fractions
            Array or tensor (..., n_answers), or a table with all published columns or all
            ``"<question>_<answer>"`` columns, in any order and among others.

        Returns
        -------
        ndarray or Tensor
            A tensor as it is; anything else as float64 (..., n_answers).

        Raises
        ------
        ValueError
            When columns are missing or the last axis has another length.
        """
        if isinstance(fractions, pd.DataFrame):
            names = self.columns if set(self.columns) <= set(fractions.columns) else self.published
            missing = [name for name in names if name not in fractions.columns]
            if missing:
                raise ValueError(
                    f"The table lacks {len(missing)} of the {self.n_answers} answers of tree "
                    f"{self.name!r}: {', '.join(missing[:5])}{' ...' if missing[5:] else ''}."
                )
            fractions = fractions[names].to_numpy(dtype=np.float64)
        if not _is_tensor(fractions):
            fractions = np.asarray(fractions, dtype=np.float64)
        if fractions.ndim == 0 or fractions.shape[-1] != self.n_answers:
            raise ValueError(
                f"Tree {self.name!r} has {self.n_answers} answers along the last axis; "
                f"got an array of shape {tuple(fractions.shape)}."
            )
        return fractions

    def asked(self, cumulative: Array) -> Array:
        """Share of all volunteers who were asked each question.

        Parameters
        ----------
        cumulative
            Cumulative fractions (..., n_answers).

        Returns
        -------
        ndarray or Tensor
            (..., n_questions): the sum of the parents' cumulative fractions; 1 without parents.
        """
        cumulative = self.array(cumulative)
        module = _module(cumulative)
        everyone = module.ones_like(cumulative[..., 0])
        shares = [
            cumulative[..., columns].sum(-1) if columns else everyone
            for columns in self._parent_columns
        ]
        return module.stack(shares, -1)

    def to_cumulative(self, conditional: Array) -> Array:
        """Turn conditional fractions into cumulative ones: multiply down the tree.

        Parameters
        ----------
        conditional
            Share of those asked (..., n_answers). NaN stands for a question nobody was asked and
            counts as 0 there; a NaN where somebody was asked stays NaN.

        Returns
        -------
        ndarray or Tensor
            Share of all volunteers (..., n_answers). Differentiable for tensors.
        """
        conditional = self.array(conditional)
        module = _module(conditional)
        done: list[Array] = []  # cumulative column by column, so that no value changes in place
        for question, parents in zip(self.questions, self._parent_columns, strict=True):
            asked = sum(done[i] for i in parents) if parents else None
            for column in range(*self.slices[question.name].indices(self.n_answers)):
                answer = conditional[..., column]
                if asked is not None:
                    nobody = module.zeros_like(answer)
                    answer = asked * module.where(asked == 0, nobody, answer)
                done.append(answer)
        return module.stack(done, -1)

    def to_conditional(self, cumulative: Array, atol: float = 1e-9) -> Array:
        """Turn cumulative fractions into conditional ones: divide by the share asked.

        Parameters
        ----------
        cumulative
            Share of all volunteers (..., n_answers).
        atol
            A question asked of this share or less counts as never asked: published tables are
            rounded at about the ninth decimal, and a quotient of two rounding errors says nothing.

        Returns
        -------
        ndarray or Tensor
            Share of those asked (..., n_answers); NaN where nobody was.
        """
        cumulative = self.array(cumulative)
        module = _module(cumulative)
        asked = self.asked(cumulative)
        done = []
        for i, question in enumerate(self.questions):
            share = asked[..., i][..., None]
            never = share <= atol
            quotient = cumulative[..., self.slices[question.name]] / module.where(never, 1.0, share)
            done.append(module.where(never, float("nan"), quotient))
        return module.concatenate(done, -1)

    def check(self, cumulative: Array, atol: float = 1e-5) -> list[str]:
        """Say in plain English where cumulative fractions break the tree.

        Parameters
        ----------
        cumulative
            Share of all volunteers (n, n_answers), or (n_answers,) for one galaxy.
        atol
            Allowed difference, in units of the fractions.

        Returns
        -------
        list of str
            One line for each question with something wrong: how many rows, the worst row
            (counted from 0), its sum and what was expected. Empty when all is well.
        """
        values = self.array(cumulative)
        if _is_tensor(values):
            values = values.detach().cpu().numpy().astype(np.float64)
        values = np.atleast_2d(values)
        asked = self.asked(values)
        complaints = []
        for i, question in enumerate(self.questions):
            answers = values[:, self.slices[question.name]]
            outside = np.maximum(-answers, answers - 1).max(axis=1)
            difference = np.abs(answers.sum(axis=1) - asked[:, i])
            missing = np.isnan(answers).any(axis=1)
            if missing.any():
                complaints.append(
                    f"{question.name}: {_rows(missing)} missing values (NaN), "
                    f"first row {np.flatnonzero(missing)[0]}"
                )
            if (outside > atol).any():
                row = int(np.nanargmax(outside))
                worst = answers[row][np.argmax(np.abs(answers[row] - 0.5))]
                complaints.append(
                    f"{question.name}: {_rows(outside > atol)} fractions outside 0 to 1, "
                    f"worst row {row}: {worst:.6g}"
                )
            if (difference > atol).any():
                row = int(np.nanargmax(difference))
                who = " or ".join(question.parents)
                expected = f"the share who answered {who}" if who else "everyone is asked"
                complaints.append(
                    f"{question.name}: {_rows(difference > atol)} a wrong sum, worst row {row}: "
                    f"answers sum to {answers[row].sum():.6g}, expected {asked[row, i]:.6g} "
                    f"({expected})"
                )
        return complaints

    @cached_property
    def _parent_columns(self) -> list[list[int]]:
        """Positions of each question's parent answers."""
        return [[self.index(parent) for parent in question.parents] for question in self.questions]


def _module(array: Array) -> ModuleType:
    """``torch`` for tensors, ``numpy`` for arrays: both know the functions used here."""
    return sys.modules["torch"] if _is_tensor(array) else np


def _is_tensor(values: Array) -> bool:
    # Where there is a tensor, torch is loaded. Loading it here would cost the command line seconds.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(values, torch.Tensor)


def _rows(which: np.ndarray) -> str:
    """``"2 of 10 rows have"``."""
    return f"{which.sum()} of {len(which)} rows {'has' if which.sum() == 1 else 'have'}"


# The trees ---------------------------------------------------------------------------------------


def _read_trees() -> dict[str, Tree]:
    text = (Path(__file__).parent / "trees.yaml").read_text(encoding="utf-8")
    trees = {}
    for name, facts in yaml.safe_load(text).items():
        questions = tuple(
            Question(question, said["text"], tuple(said["answers"]), tuple(said.get("after", ())))
            for question, said in facts["questions"].items()
        )
        published = tuple(facts["published"]) if "published" in facts else None
        trees[name] = Tree(name, questions, published)
    return trees


TREES = _read_trees()
"""All trees by name."""
GZ2 = TREES["gz2"]
"""Galaxy Zoo 2 as in Kaggle's table: 11 questions, 37 answers, ``Class1.1`` to ``Class11.6``."""
DECALS = TREES["decals"]
"""Galaxy Zoo DECaLS, campaign DR5: 10 questions, 34 answers, named as in the catalog."""
CANDELS = TREES["candels"]
"""CANDELS visual classes: one question, five answers. ``p_smooth`` is the share for spheroid."""
GZ1 = TREES["gz1"]
"""Galaxy Zoo 1: one question, six buttons. ``P_EDGE`` is "spiral, edge-on or unclear sense"."""
GZ2_SHORT = TREES["gz2_short"]
"""Galaxy Zoo 2 without its question 8, the odd feature: 10 questions, 30 answers."""
DECALS_DR12 = TREES["decals_dr12"]
"""Galaxy Zoo DECaLS, campaigns DR1 and DR2: 10 questions, 30 answers."""
GZ_CANDELS = TREES["gz_candels"]
"""Galaxy Zoo CANDELS: 12 questions, 38 answers (without the five about the clumps' layout)."""
