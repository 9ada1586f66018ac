"""Answers to the exercises of n01_data.py: wrong ones, and other right ones."""

import hashlib
import random

import numpy as np
import torch
from astropy import units
from astropy.coordinates import SkyCoord

from galhelpers.exercises.n01_data import part_of, separation

WRONG = {
    "01.1": {
        "not multiplied": (lambda first, rounded: rounded, "How many were asked?"),
        "wrong parent": (lambda first, rounded: rounded * first[:, 1:2], "Which answer leads"),
        "renormalised": (
            lambda first, rounded: np.nan_to_num(
                (cumulative := rounded * first[:, :1]) / cumulative.sum(1, keepdims=True)
            ),
            "Was everybody asked",
        ),
        "column by column": (lambda first, rounded: rounded * first, "column by column"),
        "wrong axis": (lambda first, rounded: first[:, 0] * rounded, "raised ValueError"),
    },
    "01.2": {
        "at least": (lambda smooth, r: (smooth >= 0.469) & (r[:, 2] >= 0.5), "galaxy 239928"),
        "or": (lambda smooth, r: (smooth > 0.469) | (r[:, 2] > 0.5), "or both?"),
        "largest": (lambda smooth, r: r.argmax(axis=1) == 2, "being first is not enough"),
        "and": (lambda smooth, r: smooth > 0.469 and r[:, 2] > 0.5, "raised ValueError"),
        "wrong column": (lambda smooth, r: r[:, 0] > 0.5, "by hand"),
        "row numbers": (lambda smooth, r: np.where(r[:, 2] > 0.5), "one True or False"),
    },
    "01.3": {
        "no cosine": (
            lambda a, b, c, d: 3600 * np.hypot((c - a + 180) % 360 - 180, d - b),
            "as on the equator",
        ),
        "in degrees": (lambda a, b, c, d: separation(a, b, c, d) / 3600, "in which unit"),
        "cosine of degrees": (
            lambda a, b, c, d: 3600 * np.hypot(((c - a + 180) % 360 - 180) * np.cos(b), d - b),
            "does np.cos expect",
        ),
        "no wrap": (
            lambda a, b, c, d: 3600 * np.hypot((c - a) * np.cos(np.radians(b)), d - b),
            "Where does RA start again",
        ),
        "sum of offsets": (
            lambda a, b, c, d: separation(a, b, c, b) + separation(a, b, a, d),
            "perpendicular offsets",
        ),
    },
    "01.4": {
        "random": (
            lambda galaxy_id, seed: "test" if random.random() < 0.2 else "train",
            "in another order",
        ),
        "modulo": (
            lambda galaxy_id, seed: "test" if (int(galaxy_id) + seed) % 5 == 0 else "train",
            "Survey ids have structure",
        ),
        "hash()": (
            lambda galaxy_id, seed: "test" if hash(f"{galaxy_id}{seed}") % 5 == 0 else "train",
            "another Python process",
        ),
        "no seed": (lambda galaxy_id, seed: part_of(galaxy_id, 0), "independent split"),
        "returns a bool": (lambda galaxy_id, seed: True, 'expected "train" or "test"'),
    },
}


def _sky(ra1, dec1, ra2, dec2):
    one, two = SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg")
    return one.separation(two).to_value(units.arcsec)


def _md5(galaxy_id, seed):
    number = int(hashlib.md5(f"{galaxy_id}/{seed}".encode()).hexdigest(), 16)
    return "test" if number % 5 == 0 else "train"


def _integers_only(galaxy_id, seed):
    return "test" if np.random.default_rng([int(galaxy_id), seed]).random() < 0.2 else "train"


RIGHT = {
    "01.1": [
        lambda first, rounded: [
            [f[0] * r for r in row] for f, row in zip(first, rounded, strict=True)
        ]
    ],
    "01.2": [
        lambda smooth, r: [bool(a > 0.469 and b[2] > 0.5) for a, b in zip(smooth, r, strict=True)],
        lambda smooth, r: torch.from_numpy((smooth > 0.469) * (r[:, 2] > 0.5)),
    ],
    "01.3": [_sky],
    "01.4": [_md5, _integers_only],
}
