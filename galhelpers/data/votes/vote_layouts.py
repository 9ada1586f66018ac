"""How the published vote tables name their columns: facts about tables, no arithmetic.

A column is found by a pattern in which ``*`` stands for any text: Galaxy Zoo 2 numbers its tasks
and answers, and only the numbers are the same in all of its tables.
"""

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from galhelpers.trees import (
    CANDELS,
    DECALS,
    DECALS_DR12,
    GZ1,
    GZ2,
    GZ2_SHORT,
    GZ_CANDELS,
    Tree,
)


@dataclass(frozen=True)
class Layout:
    """How one published table names what it holds.

    Attributes
    ----------
    tree
        The tree behind the votes.
    ids
        Columns that name a galaxy, in lower case; the first that a table has is used.
    kinds
        For each kind of number the columns of all answers, in the tree's order. The order of the
        kinds is the order in which they stand in for each other; ``count`` is numbers of people.
    people
        Column with the number of volunteers of a galaxy, in lower case.
    questions
        Columns with the number of people who answered each question, where answers have none.
    cumulative
        Whether fractions are shares of all volunteers already, not of those asked.
    ordered
        Whether nobody can answer a question without passing its parents (checked).
    """

    tree: Tree
    ids: tuple[str, ...]
    kinds: dict[str, list[str]]
    people: str = ""
    questions: tuple[str, ...] = ()
    cumulative: bool = False
    ordered: bool = True


def find(patterns: Iterable[str], present: Sequence[str]) -> list[str | None]:
    """Give the column that fits each pattern, or None; ``fraction`` is not ``weighted_fraction``.

    Where several fit, the shortest is meant.
    """
    found: list[str | None] = []
    for pattern in patterns:
        fits = [
            name
            for name in ([pattern] if pattern in present else present)
            if fnmatch.fnmatchcase(name, pattern)
            and ("weighted_" in pattern or "weighted_" not in name)
        ]
        found.append(min(fits, key=len, default=None))
    return found


def _numbered(tasks: Iterable[tuple[int, Iterable[int]]], form: str) -> list[str]:
    return [form.format(task=task, answer=n) for task, numbers in tasks for n in numbers]


def _named(tree: Tree, ending: str) -> list[str]:
    return [column + ending for column in tree.columns]


# Task and answer numbers as in the published tables (Willett et al. 2013, table 2): there is no
# answer 35, and the dust lane of task 8 is answer 38.
_GZ2_TASKS = (
    (1, (1, 2, 3)),
    (2, (4, 5)),
    (3, (6, 7)),
    (4, (8, 9)),
    (5, (10, 11, 12, 13)),
    (6, (14, 15)),
    (7, (16, 17, 18)),
    (8, (19, 20, 21, 22, 23, 24, 38)),
    (9, (25, 26, 27)),
    (10, (28, 29, 30)),
    (11, (31, 32, 33, 34, 36, 37)),
)
_GZ2_FORM = "t{task:02d}_*_a{answer:02d}_*_"

# Seen in the code that made the table (t00_smooth_or_featured_a0_smooth_frac and so on, counts for
# each task only) and in code that reads it. Unverified: the same names in the released file.
_CANDELS_TASKS = tuple(
    (task, range(len(question.answers)))
    for task, question in zip(
        (0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16), GZ_CANDELS.questions, strict=True
    )
)
_CANDELS_FORM = "t{task:02d}_*_a{answer}_*_"


def _decals(tree: Tree) -> Layout:
    """Header of gz_decals_volunteers_1_and_2.csv, and schema.md of Zenodo 4573248."""
    return Layout(
        tree,
        ("iauname",),
        {
            "debiased": _named(tree, "_debiased"),
            "fraction": _named(tree, "_fraction"),
            "count": _named(tree, ""),
        },
        people="smooth-or-featured_total-votes",
    )


LAYOUTS = {
    # Kaggle's training_solutions_rev1.csv
    "kaggle": Layout(GZ2, ("galaxyid",), {"fraction": GZ2.published}, cumulative=True),
    # Willett et al. 2013 and Hart et al. 2016
    "gz2": Layout(
        GZ2,
        ("asset_id", "objid", "dr7objid"),
        {
            kind: _numbered(_GZ2_TASKS, _GZ2_FORM + kind)
            for kind in ("debiased", "weighted_fraction", "fraction", "count")
        },
        people="total_classifications",
    ),
    # Walmsley et al. 2022: campaign 5, campaigns 1 and 2, and the posteriors of their networks
    "decals": _decals(DECALS),
    "decals_dr12": _decals(DECALS_DR12),
    "decals_auto": Layout(DECALS, ("iauname",), {"fraction": _named(DECALS, "_fraction")}),
    # Lintott et al. 2011, table 2. Only P_EL and P_CS (all spirals) were debiased.
    "gz1": Layout(GZ1, ("objid", "dr7objid"), {"fraction": GZ1.published}, people="nvote"),
    # Simmons et al. 2017, table 2. Clumpy spirals may reach the arms by a task that is left out.
    "gz_candels": Layout(
        GZ_CANDELS,
        ("id",),
        {
            "weighted_fraction": _numbered(_CANDELS_TASKS, _CANDELS_FORM + "weighted_frac"),
            "fraction": _numbered(_CANDELS_TASKS, _CANDELS_FORM + "frac"),
        },
        people="num_classifications",
        questions=tuple(f"t{task:02d}_*_count" for task, _ in _CANDELS_TASKS),
        ordered=False,
    ),
    # Kartaltepe et al. 2015, shares of experts
    "candels_experts": Layout(CANDELS, ("id",), {"fraction": CANDELS.published}),
}
"""Published tables by name. ``hugging_face`` is one more, see ``hugging_face_layouts``."""

_IDS = ("id_str", "id", "iauname", "dr7objid")
_HUGGING_FACE = {
    "-gz2": GZ2_SHORT,
    "-dr12": DECALS_DR12,
    "-dr5": DECALS,
    "-dr8": DECALS,
    "-desi": DECALS,
    "-candels": GZ_CANDELS,
    "": DECALS,
}
"""Survey after the name of each question, and its tree (``gz2_ortho_pairs`` and the like in
``galaxy_datasets/shared/label_metadata.py``). GZ DESI, without a name, asks as campaign 5 did.
Unverified: the ending ``-desi``."""

_GZ2_NAMES = {
    "smooth-or-featured_features-or-disk": "smooth-or-featured_featured-or-disk",
    "smooth-or-featured_star-or-artifact": "smooth-or-featured_artifact",
    "bulge-size_none": "bulge-size_no",
    "how-rounded_completely": "how-rounded_round",
    "edge-on-bulge_rounded": "bulge-shape_round",
    "edge-on-bulge_boxy": "bulge-shape_boxy",
    "edge-on-bulge_none": "bulge-shape_no-bulge",
}
"""Zoobot's names of answers that are called otherwise here."""


def hugging_face_layouts(present: Sequence[str]) -> dict[str, Layout]:
    """Give the layouts of Zoobot's catalogues whose columns a table has, by survey."""
    layouts = {}
    for survey, tree in _HUGGING_FACE.items():
        names = []
        for column in tree.columns:
            column = _GZ2_NAMES.get(column, column) if survey == "-gz2" else column
            question, answer = column.split("_")
            names.append(f"{question}{survey}_{answer}")
        if set(names) <= set(present):
            layouts[survey] = replace(
                Layout(tree, _IDS, {"count": names}), ordered=tree is not GZ_CANDELS
            )
    return layouts
