"""Answers to the exercises of n07_two_surveys.py: wrong ones, and other right ones."""

import numpy as np
import torch
from astropy import units
from astropy.coordinates import SkyCoord
from scipy.spatial import KDTree

from galhelpers.exercises.n07_two_surveys import (
    CROP_MISTAKES,
    LEAK_MISTAKES,
    _offsets,
    leaked,
    same_frame,
)

WRONG = {
    "07.1": {
        name: (lambda n, s, to, rule=rule: ((c := rule(n, s)), to / c), message)
        for name, (rule, message) in CROP_MISTAKES.items()
    }
    | {
        "zoom inverse": (
            lambda n, s, to: ((c := same_frame(n, s, to)[0]), c / to),
            "a few pixels must become many",
        ),
        "zoom of the cutout": (
            lambda n, s, to: (same_frame(n, s, to)[0], to / n),
            "What is left after",
        ),
        "zoom in pixels": (lambda n, s, to: (same_frame(n, s, to)[0], to + 0 * n), "which factor"),
        "zoom of the scales": (
            lambda n, s, to: (same_frame(n, s, to)[0], s / s[0] + 0 * n),
            "crop times zoom makes",
        ),
        "swapped": (lambda n, s, to: same_frame(n, s, to)[::-1], "in the other order"),
        "half a field": (
            lambda n, s, to: ((c := same_frame(n, s, to)[0] / 2), to / c),
            "equal fields were asked for",
        ),
        "crops only": (lambda n, s, to: same_frame(n, s, to)[0], "expected two arrays"),
    },
    "07.5": LEAK_MISTAKES
    | {
        "training rows": (lambda train, test, r: leaked(test, train, r), "Which of the two sets"),
        "row numbers": (
            lambda train, test, r: np.flatnonzero(leaked(train, test, r)),
            "expected one True or False",
        ),
        "distances": (
            lambda train, test, r: np.hypot(*_offsets(train, test)).min(axis=1),
            "for one. Expected",
        ),
        "on the edge": (
            lambda train, test, r: leaked(train, test, 0.9 * r),
            "whose nearest training galaxy",
        ),
    },
}


def _frame_by_loops(sides, scales, n_pixels):
    crops = [[min(row * scales) / scale for scale in scales] for row in sides]
    return crops, torch.tensor([[n_pixels / crop for crop in row] for row in crops])


def _leaked_by_astropy(train, test, radius):
    one, other = (SkyCoord(*table.T, unit="deg") for table in (train, test))
    found = np.zeros(len(test), dtype=bool)
    found[one.search_around_sky(other, radius * units.arcsec)[0]] = True
    return found


def _leaked_by_a_tree_of_chords(train, test, radius):
    ra, dec = np.radians(train.T)
    one = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    ra, dec = np.radians(test.T)
    other = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
    return (KDTree(one).query(other)[0] < 2 * np.sin(np.radians(radius / 3600) / 2)).tolist()


RIGHT = {
    "07.1": [_frame_by_loops],
    "07.5": [_leaked_by_astropy, _leaked_by_a_tree_of_chords],
}
