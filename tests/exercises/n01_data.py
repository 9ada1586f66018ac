"""Answers to the exercises of n01_data.py: wrong ones, and other right ones."""

import math

import numpy as np
import pandas as pd
import torch
from astropy import units
from astropy.coordinates import SkyCoord

from galhelpers.exercises.n01_data import (
    CUMULATIVE_MISTAKES,
    SEPARATION_MISTAKES,
    SPIRAL_MISTAKES,
    separation,
)

WRONG = {
    "01.1": CUMULATIVE_MISTAKES
    | {
        "renormalised": (
            lambda first, rounded: np.nan_to_num(
                (cumulative := rounded * first[:, :1]) / cumulative.sum(1, keepdims=True)
            ),
            "Was everybody asked",
        ),
        "rounded": (lambda first, rounded: (rounded * first[:, :1]).round(2), "to 2 decimals"),
        "wrong axis": (lambda first, rounded: first[:, 0] * rounded, "raised ValueError"),
        "transposed": (lambda first, rounded: (rounded * first[:, :1]).T, "got shape (3, 6)"),
    },
    "01.2": SPIRAL_MISTAKES
    | {
        "at least": (lambda f, arms: (f >= 0.715) & (arms[:, 0] >= 0.619), "exactly on a thresh"),
        "at least, first": (lambda f, arms: (f >= 0.715) & (arms[:, 0] > 0.619), "exactly on a"),
        "at least, second": (lambda f, arms: (f > 0.715) & (arms[:, 0] >= 0.619), "exactly on"),
        "and": (lambda f, arms: f > 0.715 and arms[:, 0] > 0.619, "raised ValueError"),
        "rounded": (
            lambda f, arms: (f.round(1) > 0.715) & (arms[:, 0].round(1) > 0.619),
            "by hand",
        ),
        "row numbers": (lambda f, arms: np.where(arms[:, 0] > 0.619), "one True or False"),
    },
    "01.3": SEPARATION_MISTAKES
    | {
        "single precision": (
            lambda *position: float(separation(*map(np.float32, position))),
            "float32",
        ),
        "acos": (
            lambda a, b, c, d: (
                3600
                * math.degrees(
                    math.acos(
                        math.sin(math.radians(b)) * math.sin(math.radians(d))
                        + math.cos(math.radians(b))
                        * math.cos(math.radians(d))
                        * math.cos(math.radians(c - a))
                    )
                )
            ),
            "math domain error",
        ),
        "turned at 359": (
            lambda a, b, c, d: (
                3600
                * np.hypot(
                    (c - 360 * (c > 359) - a + 360 * (a > 359)) * np.cos(np.radians(b)), d - b
                )
            ),
            "Where does RA start again",
        ),
        "no smaller above 70": (
            lambda a, b, c, d: (
                3600
                * np.hypot(((c - a + 180) % 360 - 180) * max(np.cos(np.radians(b)), 0.342), d - b)
            ),
            "at Dec 85",
        ),
        "a straight line for the cosine": (
            lambda a, b, c, d: (
                3600 * np.hypot(((c - a + 180) % 360 - 180) * (1 - abs(b) / 90), d - b)
            ),
            "you give 0.6667, where 1 is right",
        ),
        "capped": (lambda *position: min(separation(*position), 10), "where 40 is right"),
        "other order": (
            lambda ra1, ra2, dec1, dec2: separation(ra1, dec1, ra2, dec2),
            "is called with (ra1, dec1, ra2, dec2)",
        ),
    },
}


def _sky(ra1, dec1, ra2, dec2):
    one, two = SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg")
    return one.separation(two).to_value(units.arcsec)


def _haversine(ra1, dec1, ra2, dec2):
    ra1, dec1, ra2, dec2 = map(math.radians, (ra1, dec1, ra2, dec2))
    half = math.sin((dec2 - dec1) / 2) ** 2
    half += math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return 3600 * math.degrees(2 * math.asin(math.sqrt(half)))


def _by_hand(ra1, dec1, ra2, dec2):
    east = abs(ra1 - ra2)
    east = min(east, 360 - east) * math.cos(math.pi / 180 * dec1)
    return [3600 * (east**2 + (dec1 - dec2) ** 2) ** 0.5]


def _vectors(ra1, dec1, ra2, dec2):
    ra, dec = (
        torch.deg2rad(torch.tensor(x, dtype=torch.float64)) for x in ((ra1, ra2), (dec1, dec2))
    )
    unit = torch.stack([dec.cos() * ra.cos(), dec.cos() * ra.sin(), dec.sin()])
    return 3600 * torch.rad2deg(torch.linalg.norm(unit[:, 0] - unit[:, 1]))


RIGHT = {
    "01.1": [
        lambda first, rounded: [
            [f[0] * r for r in row] for f, row in zip(first, rounded, strict=True)
        ],
        lambda first, rounded: pd.DataFrame(rounded).mul(first[:, 0], axis=0),
        lambda first, rounded: torch.einsum("g,ga->ga", *map(torch.tensor, (first[:, 0], rounded))),
        lambda first, rounded: (rounded.T * first.T[0]).T.astype(np.float32),
    ],
    "01.2": [
        lambda f, arms: [bool(a > 0.715 and b[0] > 0.619) for a, b in zip(f, arms, strict=True)],
        lambda f, arms: torch.from_numpy((f > 0.715) * (arms[:, 0] > 0.619)),
        lambda f, arms: pd.Series(f).gt(0.715) & pd.DataFrame(arms)[0].gt(0.619),
        lambda f, arms: np.logical_and(f > 0.715, arms[:, 0] > 0.619).astype(int),
    ],
    "01.3": [_sky, _haversine, _by_hand, _vectors],
}
