"""Answers to the exercises of n03_geometry.py: wrong ones, and other right ones."""

import math

import numpy as np
import pandas as pd
import torch

from galhelpers.exercises.n03_geometry import (
    FRAME_MISTAKES,
    ROTATION_MISTAKES,
    crop_box,
    frame_in_r90,
    rotation_matrix,
)

WRONG = {
    "03.5": {
        "fixed pixels": (
            lambda width_px, fraction: crop_box(424, fraction),
            "reaches beyond the image",
        ),
        "fixed size": (
            lambda width_px, fraction: crop_box(width_px, 212 / width_px if width_px > 212 else 1),
            "must keep the same part",
        ),
        "corner": (
            lambda width_px, fraction: (
                0,
                0,
                round(width_px * fraction),
                round(width_px * fraction),
            ),
            "px at one side and",
        ),
        "area": (
            lambda width_px, fraction: crop_box(width_px, fraction**0.5),
            "the side or the area",
        ),
        "width and height": (
            lambda width_px, fraction: (
                *crop_box(width_px, fraction)[:2],
                *[round(width_px * fraction)] * 2,
            ),
            "positions of its edges",
        ),
        "floats": (
            lambda w, f: [w * (1 - f) / 2] * 2 + [w * (1 + f) / 2] * 2,
            "Whole pixels were asked for",
        ),
        "cut off at both sides": (
            lambda w, f: (int(w * (1 - f) / 2),) * 2 + (w - int(w * (1 - f) / 2),) * 2,
            "256 px wide, 60.4%",
        ),
        "last pixels": (
            lambda w, f: (*crop_box(w, f)[:2], *(edge - 1 for edge in crop_box(w, f)[2:])),
            "The right edge is where",
        ),
        "cut to whole pixels": (lambda w, f: _centred(w, int(w * f)), "round() is not int()"),
        "up to whole pixels": (lambda w, f: _centred(w, -int(-w * f // 1)), "px wide"),
        "even sides": (lambda w, f: _centred(w, 2 * round(w * f / 2)), "px wide"),
        "edges rounded apart": (
            lambda w, f: (round(w * (1 - f) / 2),) * 2 + (round(w * (1 + f) / 2),) * 2,
            "px wide",
        ),
        "part cut away": (lambda w, f: crop_box(w, 1 - f), "kept or cut away"),
        "another order": (
            lambda w, f: [crop_box(w, f)[i] for i in (0, 2, 1, 3)],
            "leaves nothing of the image",
        ),
        "right before left": (lambda w, f: crop_box(w, f)[::-1], "In which order"),
        "from 1": (lambda w, f: [edge + 1 for edge in crop_box(w, f)], "px at one side and 105"),
        "multiples of 8": (
            lambda w, f: _centred(w, round(w * f / 8) * 8),
            "208 px wide, 49.1%",
        ),
        "pairs": (lambda w, f: (crop_box(w, f)[:2], crop_box(w, f)[2:]), "got ((106, 106)"),
        "text": (lambda w, f: [str(edge) for edge in crop_box(w, f)], "got '106'"),
        "one number": (lambda width_px, fraction: width_px * fraction, "got 212.0"),
    },
    "03.6": FRAME_MISTAKES
    | {
        "default": (
            lambda pixel_scale, petro_r90, width=160: width * pixel_scale / petro_r90,
            "Is the default 424",
        ),
        "no default": (lambda scale, r90, width: width * scale / r90, "missing 1 required"),
        "rounded": (lambda scale, r90, width=424: round(width * scale / r90, 2), "to 2 decimals"),
        "other unit": (lambda scale, r90, width=424: width * scale / r90 / 60, "0.01667 times"),
        "text": (lambda scale, r90, width=424: f"{width * scale / r90} R90", "got '2"),
    },
    "03.7": ROTATION_MISTAKES
    | {
        "scaled": (
            lambda a, flip: 1.1 * rotation_matrix(a, flip),
            "All your numbers are 1.1 times",
        ),
        "scaled where flipped": (
            lambda a, flip: (1.1 if flip else 1) * rotation_matrix(a, flip),
            "east gets length 1.100",
        ),
        "never backwards": (lambda a, flip: rotation_matrix(abs(a), flip), "goes to 75.0 degrees"),
        "half a circle": (lambda a, flip: rotation_matrix(a % 180, flip), "goes to 105.0 degrees"),
        "one entry": (
            lambda a, flip: rotation_matrix(a, False) * [[-1 if flip else 1, 1], [1, 1]],
            "-90.0 and 180.0 is right",
        ),
        "rounded": (lambda a, flip: rotation_matrix(a, flip).round(2), "to 2 decimals"),
        "flat": (lambda a, flip: rotation_matrix(a, flip).ravel(), "got shape (4,)"),
        "homogeneous": (lambda a, flip: np.pad(rotation_matrix(a, flip), (0, 1)), "shape (3, 3)"),
    },
}


def _centred(width, side):
    start = (width - side) // 2
    return start, start, start + side, start + side


def _in_torch(angle, flip):
    angle = torch.deg2rad(torch.tensor(float(angle)))
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])]) * torch.tensor(
        [1 - 2.0 * flip, 1]
    )


def _by_columns(angle, flip):
    east = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    north = -east[1], east[0]
    east = [-x for x in east] if flip else east
    return [[east[0], north[0]], [east[1], north[1]]]


RIGHT = {
    "03.5": [
        lambda w, f: np.array(_centred(w, round(w * f))),
        lambda w, f: torch.tensor(_centred(w, round(w * f))),
        lambda w, f: [float(edge) for edge in _centred(w, int(w * f + 0.5))],
        lambda w, f: pd.Series(
            [w - s - (w - s) // 2 if (s := round(w * f)) else 0] * 2
            + [w - (w - round(w * f)) // 2] * 2
        ),
    ],
    "03.6": [
        lambda pixel_scale, r, width=424: torch.tensor([width * pixel_scale / r]),
        lambda pixel_scale, r, width=424: np.float32(width) * pixel_scale / r,
        lambda *given: frame_in_r90(*given),
    ],
    "03.7": [_in_torch, _by_columns, lambda a, flip: rotation_matrix(a % 360, flip).tolist()],
}
