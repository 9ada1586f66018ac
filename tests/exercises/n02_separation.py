"""Answers to the exercise of n02_separation.py: wrong ones, and other right ones."""

import math

import numpy as np
import torch
from astropy import units
from astropy.coordinates import SkyCoord

from galhelpers.exercises.n02_separation import SEPARATION_MISTAKES, separation

WRONG = {
    "02.1": SEPARATION_MISTAKES
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
    "02.1": [_sky, _haversine, _by_hand, _vectors],
}
