"""What the learner sees: figures with captions and alt text, and the widget for classifying."""

from galhelpers.views.plots import (
    PALETTE,
    confusion_matrices,
    contact_sheet,
    dots_and_intervals,
    loss_curves,
    show,
)
from galhelpers.views.tree_figure import draw_tree
from galhelpers.views.widgets import ClassifyGalaxies, read_ballots

__all__ = [
    "PALETTE",
    "ClassifyGalaxies",
    "confusion_matrices",
    "contact_sheet",
    "dots_and_intervals",
    "draw_tree",
    "loss_curves",
    "read_ballots",
    "show",
]
