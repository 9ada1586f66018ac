"""Answers to the exercises of n02_geometry.py: wrong ones, and other right ones."""

import numpy as np
import torch

from galhelpers.exercises.n02_geometry import crop_box, rotation_matrix

WRONG = {
    "02.1": {
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
            "px at the left and",
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
        "one number": (lambda width_px, fraction: width_px * fraction, "expected four numbers"),
    },
    "02.4": {
        "diameter": (
            lambda pixel_scale, petro_r90, width=424: width * pixel_scale / (2 * petro_r90),
            "off by a factor 2",
        ),
        "inverted": (
            lambda pixel_scale, petro_r90, width=424: petro_r90 / (width * pixel_scale),
            "smaller than its galaxy",
        ),
        "no pixel scale": (
            lambda pixel_scale, petro_r90, width=424: width / petro_r90,
            "pixels by arcsec",
        ),
        "width ignored": (
            lambda pixel_scale, petro_r90, width=424: 424 * pixel_scale / petro_r90,
            "answer for 424 px",
        ),
        "default": (
            lambda pixel_scale, petro_r90, width=160: width * pixel_scale / petro_r90,
            "Is the default 424",
        ),
        "multiplied": (
            lambda pixel_scale, petro_r90, width=424: width * pixel_scale * petro_r90,
            "the unit of every quantity",
        ),
    },
    "02.5": {
        "radians": (lambda a, flip: rotation_matrix(np.degrees(a), flip), "which unit?"),
        "clockwise": (lambda a, flip: rotation_matrix(-a, flip), "which sense?"),
        "scaled": (lambda a, flip: 1.1 * rotation_matrix(a, flip), "gets length 1.100"),
        "no flip": (lambda a, flip: rotation_matrix(a, False), "with and without flip"),
        "half turn": (
            lambda a, flip: rotation_matrix(a, False) * (-1 if flip else 1),
            "that of a rotation",
        ),
        "mirrored last": (
            lambda a, flip: np.diag([-1 if flip else 1, 1]) @ rotation_matrix(a, False),
            "before or after turning",
        ),
    },
}


RIGHT = {
    "02.1": [
        lambda w, f: [w * (1 - f) / 2] * 2 + [w * (1 + f) / 2] * 2,
        lambda w, f: np.array([w - int(w * f)] * 2 + [w + int(w * f)] * 2) // 2,
    ],
    "02.4": [lambda pixel_scale, r, width=424: torch.tensor([width * pixel_scale / r])],
}
