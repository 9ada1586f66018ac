"""Answers to the exercises of n10_two_surveys.py: wrong ones, and other right ones."""

import numpy as np
import torch
from astropy import units
from astropy.coordinates import SkyCoord
from scipy.spatial import KDTree

from galhelpers.exercises.n10_two_surveys import (
    FRAME_MISTAKES,
    LEAK_MISTAKES,
    _apart,
    leaked,
    same_frame,
)


def _offsets(train, test):
    east, north = np.moveaxis(test[:, None] - train, -1, 0)
    return 3600 * east * np.cos(np.radians(test[:, None, 1])), 3600 * north


WRONG = {
    "10.1": FRAME_MISTAKES
    | {
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
    "10.5": LEAK_MISTAKES
    | {
        "training rows": (lambda train, test, r: leaked(test, train, r), "Which of the two sets"),
        "row numbers": (
            lambda train, test, r: np.flatnonzero(leaked(train, test, r)),
            "expected one True or False",
        ),
        "distances": (
            lambda train, test, r: _apart(train, test).min(axis=1),
            "for one. Expected",
        ),
        "on the edge": (
            lambda train, test, r: leaked(train, test, 0.9 * r),
            "whose nearest training galaxy",
        ),
    },
}


def _leaked_by(change):
    """Change positions first, both tables alike."""
    return lambda train, test, r: leaked(change(train), change(test), r)


def _haversine(train, test, r):
    ra, dec, ra_, dec_ = *np.radians(train).T, *np.radians(test).T[:, :, None]
    square = (
        np.sin((dec_ - dec) / 2) ** 2 + np.cos(dec_) * np.cos(dec) * np.sin((ra_ - ra) / 2) ** 2
    )
    return (2 * np.arcsin(np.sqrt(square)) * 3600 <= r).any(axis=1)


REFUSED = {
    "10.1": [
        lambda n, s, to: ((c := same_frame(n, s, to)[0].astype(n.dtype)), to / c),
        lambda n, s, to: (
            same_frame(n.T, s, to) if n.shape[0] == n.shape[1] else same_frame(n, s, 64)
        ),
        lambda n, s, to: same_frame(n[:, :2], s[:2], to),
        lambda n, s, to: same_frame(n, s[::-1], to),
        lambda n, s, to: same_frame(np.minimum(n, 100), s, to),
        lambda n, s, to: same_frame(n, np.sqrt(s), to),
        lambda n, s, to: [item[:, :1] + 0 * n for item in same_frame(n, s, to)],
        lambda n, s, to: [item.round(2) for item in same_frame(n, s, to)],
        lambda n, s, to: [item.astype(int) for item in same_frame(n, s, to)],
        lambda n, s, to: ((n - same_frame(n, s, to)[0]) / 2, same_frame(n, s, to)[1]),
        lambda n, s, to: ((n * s).min(axis=1), to / (n * s).min(axis=1)),
    ],
    "10.5": [
        _leaked_by(abs),
        _leaked_by(lambda table: table % [180, 360]),
        _leaked_by(lambda table: table[:, ::-1]),
        _leaked_by(lambda table: table.round(4)),
        _leaked_by(lambda table: table * [1, 0]),
        _haversine,
        lambda train, test, r: leaked(test, test, r),
        lambda train, test, r: leaked(train, test, 1.0),
        lambda train, test, r: leaked(train, test, r**2),
        lambda train, test, r: leaked(train, test, r) & ~(test[:, None] == train).all(2).any(1),
        lambda train, test, r: (_apart(train, test) <= r).sum(axis=1),
        lambda train, test, r: (_apart(train, test) <= r).all(axis=1),
        lambda train, test, r: (abs(_offsets(train, test)[0]) <= r).any(axis=1),
        lambda train, test, r: (sum(map(abs, _offsets(train, test))) <= r).any(axis=1),
    ],
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
    "10.1": [_frame_by_loops],
    "10.5": [_leaked_by_astropy, _leaked_by_a_tree_of_chords],
}
