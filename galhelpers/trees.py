"""The decision trees of the Galaxy Zoo projects and of the CANDELS experts, as data.

What can be done with a tree is in ``galhelpers.decision_tree``, whose names are offered here too.

Sources: Lintott et al. 2011, MNRAS 410, 166 (Galaxy Zoo 1); Willett et al. 2013, MNRAS 435, 2835
(Galaxy Zoo 2); Walmsley et al. 2022, MNRAS 509, 3966 (Galaxy Zoo DECaLS); Simmons et al. 2017,
MNRAS 464, 4420 (Galaxy Zoo CANDELS); Kartaltepe et al. 2015, ApJS 221, 11 (CANDELS experts).
"""

from galhelpers.decision_tree import Question, Tree, TreeError

__all__ = [
    "CANDELS",
    "DECALS",
    "DECALS_DR12",
    "GZ1",
    "GZ2",
    "GZ2_SHORT",
    "GZ_CANDELS",
    "TREES",
    "Question",
    "Tree",
    "TreeError",
]

_FEATURES = ("smooth-or-featured_features-or-disk",)
_FACE_ON = ("disk-edge-on_no",)
_SPIRAL = ("has-spiral-arms_yes",)
_ARM_COUNTS = ("1", "2", "3", "4", "more-than-4", "cant-tell")

# Bar, spiral arms and bulge size follow "not edge-on". (Zoobot's tree hangs them on "features or
# disk", which asks nearly everybody about the bar of an edge-on galaxy.)
GZ2 = Tree(
    name="gz2",
    questions=(
        Question(
            "smooth-or-featured",
            "Is the galaxy simply smooth and rounded, with no sign of a disk?",
            ("smooth", "features-or-disk", "star-or-artifact"),
        ),
        Question("disk-edge-on", "Could this be a disk viewed edge-on?", ("yes", "no"), _FEATURES),
        Question(
            "bar",
            "Is there a sign of a bar feature through the centre of the galaxy?",
            ("yes", "no"),
            _FACE_ON,
        ),
        Question(
            "has-spiral-arms", "Is there any sign of a spiral arm pattern?", ("yes", "no"), _FACE_ON
        ),
        Question(
            "bulge-size",
            "How prominent is the central bulge, compared with the rest of the galaxy?",
            ("none", "just-noticeable", "obvious", "dominant"),
            _FACE_ON,
        ),
        # Stars and artifacts should skip this question, but the published fractions sum to 1 for
        # every galaxy, so the tree of the published table has no parent here.
        Question("something-odd", "Is there anything odd?", ("yes", "no")),
        Question(
            "how-rounded",
            "How rounded is it?",
            ("completely", "in-between", "cigar"),
            ("smooth-or-featured_smooth",),
        ),
        Question(
            "odd-feature",
            "Is the odd feature a ring, or is the galaxy disturbed or irregular?",
            ("ring", "lens-or-arc", "disturbed", "irregular", "other", "merger", "dust-lane"),
            ("something-odd_yes",),
        ),
        Question(
            "edge-on-bulge",
            "Does the galaxy have a bulge at its centre? If so, what shape?",
            ("rounded", "boxy", "none"),
            ("disk-edge-on_yes",),
        ),
        Question(
            "spiral-winding",
            "How tightly wound do the spiral arms appear?",
            ("tight", "medium", "loose"),
            _SPIRAL,
        ),
        Question("spiral-arm-count", "How many spiral arms are there?", _ARM_COUNTS, _SPIRAL),
    ),
    published_columns=tuple(
        f"Class{question}.{answer}"
        for question, n_answers in enumerate((3, 2, 2, 2, 4, 2, 3, 7, 3, 3, 6), start=1)
        for answer in range(1, n_answers + 1)
    ),
)
"""Galaxy Zoo 2 as in Kaggle's table: 11 questions, 37 answers, ``Class1.1`` to ``Class11.6``."""

DECALS = Tree(
    name="decals",
    questions=(
        Question(
            "smooth-or-featured",
            "Is the galaxy simply smooth and rounded, with no sign of a disk?",
            ("smooth", "featured-or-disk", "artifact"),
        ),
        Question(
            "disk-edge-on",
            "Could this be a disk viewed edge-on?",
            ("yes", "no"),
            ("smooth-or-featured_featured-or-disk",),
        ),
        Question(
            "has-spiral-arms", "Is there any sign of a spiral arm pattern?", ("yes", "no"), _FACE_ON
        ),
        Question(
            "bar",
            "Is there a bar feature through the centre of the galaxy?",
            ("strong", "weak", "no"),
            _FACE_ON,
        ),
        Question(
            "bulge-size",
            "How prominent is the central bulge, compared with the rest of the galaxy?",
            ("dominant", "large", "moderate", "small", "none"),
            _FACE_ON,
        ),
        Question(
            "how-rounded",
            "How rounded is it?",
            ("round", "in-between", "cigar-shaped"),
            ("smooth-or-featured_smooth",),
        ),
        Question(
            "edge-on-bulge",
            "Does the galaxy have a bulge at its centre? If so, what shape?",
            ("boxy", "none", "rounded"),
            ("disk-edge-on_yes",),
        ),
        Question(
            "spiral-winding",
            "How tightly wound do the spiral arms appear?",
            ("tight", "medium", "loose"),
            _SPIRAL,
        ),
        Question("spiral-arm-count", "How many spiral arms are there?", _ARM_COUNTS, _SPIRAL),
        # Two ways lead here; only "artifact" does not. (Zoobot's tree allows one parent answer
        # and therefore has none.)
        Question(
            "merging",
            "Is the galaxy currently merging, or is there any sign of tidal debris?",
            ("none", "minor-disturbance", "major-disturbance", "merger"),
            ("smooth-or-featured_smooth", "smooth-or-featured_featured-or-disk"),
        ),
    ),
)
"""Galaxy Zoo DECaLS, campaign DR5: 10 questions, 34 answers, named as in the catalogue."""

CANDELS = Tree(
    name="candels",
    questions=(
        Question(
            "main-morphology",
            "What is the main morphology class?",
            ("spheroid", "disk", "irregular", "point-source", "unclassifiable"),
        ),
    ),
    published_columns=(
        "p_smooth",
        "p_features",
        "p_irregular",
        "p_point_source",
        "p_unclassifiable",
    ),
)
"""CANDELS visual classes: one question, five answers. ``p_smooth`` is the share for spheroid."""

GZ1 = Tree(
    name="gz1",
    questions=(
        Question(
            "galaxy-type",
            "Which of the six buttons fits the galaxy?",
            (
                "elliptical",
                "spiral-clockwise",
                "spiral-anticlockwise",
                "edge-on",
                "dont-know",
                "merger",
            ),
        ),
    ),
    published_columns=("P_EL", "P_CW", "P_ACW", "P_EDGE", "P_DK", "P_MG"),
)
"""Galaxy Zoo 1: one question, six buttons. ``P_EDGE`` is "spiral, edge-on or unclear sense"."""

GZ2_SHORT = Tree(
    name="gz2_short",
    questions=tuple(question for question in GZ2.questions if question.name != "odd-feature"),
    published_columns=tuple(
        name for name in GZ2.published_columns or () if not name.startswith("Class8.")
    ),
)
"""Galaxy Zoo 2 without its question 8, the odd feature: 10 questions, 30 answers.

The catalogues of Zoobot and of Hugging Face leave that question out (``gz2_ortho_pairs`` in
``galaxy_datasets/shared/label_metadata.py``). A tree of its own keeps anybody from taking "not
published" for "nobody saw a ring".
"""

# Answers as in the header of gz_decals_volunteers_1_and_2.csv (Zenodo 4573248) and Zoobot's
# ``decals_dr12_only_pairs``. Campaign 5 has other answers for bar, bulge, roundness, arms, mergers.
DECALS_DR12 = Tree(
    name="decals_dr12",
    questions=(
        *DECALS.questions[:3],
        Question(
            "bar",
            "Is there a sign of a bar feature through the centre of the galaxy?",
            ("yes", "no"),
            _FACE_ON,
        ),
        Question(
            "bulge-size",
            "How prominent is the central bulge, compared with the rest of the galaxy?",
            ("dominant", "obvious", "none"),
            _FACE_ON,
        ),
        Question(
            "how-rounded",
            "How rounded is it?",
            ("completely", "in-between", "cigar-shaped"),
            ("smooth-or-featured_smooth",),
        ),
        DECALS.question("edge-on-bulge"),
        DECALS.question("spiral-winding"),
        Question("spiral-arm-count", "How many spiral arms are there?", _ARM_COUNTS[:5], _SPIRAL),
        Question(
            "merging",
            "Is the galaxy currently merging, or is there any sign of tidal debris?",
            ("neither", "tidal-debris", "both", "merger"),
            DECALS.question("merging").parents,
        ),
    ),
)
"""Galaxy Zoo DECaLS, campaigns DR1 and DR2: 10 questions, 30 answers."""

# Tasks 0-3 and 9-16 of the published table, in its order, with Zoobot's names (``candels_pairs``).
# Tasks 4-8 ask how the clumps lie; more than one answer of task 3 leads there, and Zoobot leaves
# them out too. Unverified: whether clumpy spirals reach the questions about arms by another way
# (task 4 has an answer "spiral"), and whether an artifact is asked about mergers.
GZ_CANDELS = Tree(
    name="gz_candels",
    questions=(
        Question(
            "smooth-or-featured",
            "Is the galaxy smooth and round, with no sign of a disk?",
            ("smooth", "features", "artifact"),
        ),
        Question(
            "how-rounded",
            "How rounded is it?",
            ("completely", "in-between", "cigar-shaped"),
            ("smooth-or-featured_smooth",),
        ),
        Question(
            "clumpy-appearance",
            "Does the galaxy have a mostly clumpy appearance?",
            ("yes", "no"),
            ("smooth-or-featured_features",),
        ),
        Question(
            "clump-count",
            "How many clumps?",
            ("1", "2", "3", "4", "5-plus", "cant-tell"),
            ("clumpy-appearance_yes",),
        ),
        Question(
            "disk-edge-on",
            "Could this be a disk viewed edge-on?",
            ("yes", "no"),
            ("clumpy-appearance_no",),
        ),
        Question(
            "edge-on-bulge",
            "Does the galaxy have a bulge at its centre?",
            ("yes", "no"),
            ("disk-edge-on_yes",),
        ),
        Question(
            "bar",
            "Is there a sign of a bar feature through the centre of the galaxy?",
            ("yes", "no"),
            _FACE_ON,
        ),
        Question(
            "has-spiral-arms", "Is there any sign of a spiral arm pattern?", ("yes", "no"), _FACE_ON
        ),
        Question(
            "spiral-winding",
            "How tightly are the arms wound?",
            ("tight", "medium", "loose"),
            _SPIRAL,
        ),
        Question(
            "spiral-arm-count",
            "How many spiral arms?",
            ("1", "2", "3", "4", "5-plus", "cant-tell"),
            _SPIRAL,
        ),
        Question(
            "bulge-size",
            "How prominent is the central bulge, compared with the rest of the galaxy?",
            ("none", "obvious", "dominant"),
            _FACE_ON,
        ),
        Question(
            "merging",
            "Is the galaxy currently merging, or is there any sign of tidal debris?",
            ("merger", "tidal-debris", "both", "neither"),
            ("smooth-or-featured_smooth", "smooth-or-featured_features"),
        ),
    ),
)
"""Galaxy Zoo CANDELS: 12 questions, 38 answers (without the five about the clumps' layout)."""

TREES = {
    tree.name: tree for tree in (GZ2, DECALS, CANDELS, GZ1, GZ2_SHORT, DECALS_DR12, GZ_CANDELS)
}
"""All trees by name."""
