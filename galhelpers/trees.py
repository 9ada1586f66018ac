"""The decision trees of Galaxy Zoo 2, Galaxy Zoo DECaLS and CANDELS, as data.

What can be done with a tree is in ``galhelpers.decision_tree``, whose names are offered here too.

Sources: Willett et al. 2013, MNRAS 435, 2835 (Galaxy Zoo 2); Walmsley et al. 2022, MNRAS 509, 3966
(Galaxy Zoo DECaLS); Kartaltepe et al. 2015, ApJS 221, 11 (CANDELS).
"""

from galhelpers.decision_tree import Question, Tree, TreeError

__all__ = ["CANDELS", "DECALS", "GZ2", "TREES", "Question", "Tree", "TreeError"]

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

TREES = {tree.name: tree for tree in (GZ2, DECALS, CANDELS)}
"""All trees by name."""
