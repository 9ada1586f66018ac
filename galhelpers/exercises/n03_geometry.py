"""Exercises of notebook 03 on geometry: crops, the field of view, rotations and mirror images."""

from typing import Any

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    as_array,
    as_items,
    as_number,
    close,
    compare,
    edited,
)

# 03.5 --------------------------------------------------------------------------------------------


def crop_box(width_px: int, fraction: float) -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge of the central crop, in pixels."""
    side = round(width_px * fraction)
    start = (width_px - side) // 2
    return start, start, start + side, start + side


CROPS = [(424, 0.5), (424, 0.6), (424, 0.53), (160, 0.5), (160, 0.6), (160, 0.53), (160, 0.35)]
CROPS += [(69, 0.7), (101, 0.21), (3000, 0.117), (57, 0.99), (424, 1.0), (1, 1.0)]


def _check_crop(ask: Answer) -> str | None:
    what = "four numbers (left, upper, right, lower)"
    for width, fraction in CROPS:
        items = as_items(ask(width, fraction), 4, what)
        left, upper, right, lower = (as_number(item, what) for item in items)
        side = round(width * fraction)
        wide, wanted = right - left, f"round({width} * {fraction:g}) = {side}"
        seen = f"for width {width} and fraction {fraction:g} you give "
        seen += f"{left:g}, {upper:g}, {right:g}, {lower:g}"
        if any(item % 1 for item in (left, upper, right, lower)):
            return f"{seen}. Whole pixels were asked for, since an edge cannot lie inside one"
        if close(right, side) and width - right > left + 1 and left > 0:
            return (
                f"{seen}: the last two look like the size of the crop. They are the positions of "
                "its edges"
            )
        if right > width or lower > width or left < 0 or upper < 0:
            return (
                f"{seen}, a box that reaches beyond the image. Which lengths should change with "
                "the width?"
            )
        if wide <= 0 or lower <= upper:
            order = (
                " In which order are the four edges returned?" if wide < 0 or lower < upper else ""
            )
            return f"{seen}, which leaves nothing of the image.{order}"
        if wide != lower - upper:
            return (
                f"{seen}: the box spans {wide:g} px across but {lower - upper:g} px down. In which "
                "order are the four edges returned?"
            )
        if wide == round(width * fraction**0.5) != side:
            return f"{seen}, {wide:g} px wide: is the fraction of the side or the area?"
        if wide == round(width * (1 - fraction)) != side:
            return f"{seen}, {wide:g} px wide: is the fraction kept or cut away?"
        if abs(wide - side) == 1:
            return f"{seen}, {wide:g} px wide, one " + (
                f"less than {wanted}. The right edge is where the first pixel outside of the crop "
                "begins, and round() is not int()"
                if wide < side
                else f"more than {wanted}. The side may be odd, and round() is no ceiling"
            )
        if wide != side:
            return (
                f"{seen}, {wide:g} px wide, {wide / width:.1%} of the field of view, where "
                f"{wanted} px were asked for. A 424 px file and its 160 px copy must keep the same "
                "part of it"
            )
        for start, end in ((left, right), (upper, lower)):
            if abs(start - (width - end)) > 1:
                return (
                    f"{seen}: you cut {start:g} px at one side and {width - end:g} at the other, "
                    "which may differ by one"
                )
    return None


CROP = Exercise(
    id="03.5",
    title="The same crop at any resolution",
    question=(
        "A Galaxy Zoo frame is 424 px wide, and most of it is sky. Cropping to the middle helps "
        "every network, but published code writes the crop in pixels: 256 of 424. Run it on a "
        "160 px copy of the same image and it keeps everything in a black frame; a model then sees "
        "galaxies of another size than it was trained on, and no error tells you. A fraction of "
        "the field of view means the same on both.\n\n"
        "Write `crop_box(width_px, fraction)` for a square image: `fraction` (at most 1, and one "
        "pixel or more is left) is the part of the **side** to keep. Return `(left, upper, right, "
        "lower)` in whole pixels, as `PIL.Image.crop` takes them: positions of edges, so that "
        "right minus left is the side. The side is `round(width_px * fraction)` (a half may go "
        "either way), and what is cut off left and right, or above and below, differs by one pixel "
        "at most. For example, `crop_box(100, 0.5)` is `(25, 25, 75, 75)`."
    ),
    hints=(
        "Draw it: how many pixels are kept, and how many are cut away altogether?",
        "What is cut away is shared equally between left and right.",
        "With `side = round(width_px * fraction)`, the left edge is `(width_px - side) // 2`.",
    ),
    reference=crop_box,
    diagnose=_check_crop,
    lesson="A crop given as a part of the field of view survives a change of resolution.",
)

# 03.6 --------------------------------------------------------------------------------------------


def frame_in_r90(pixel_scale: float, petro_r90: float, width: int = 424) -> float:
    """Side of the frame in units of R90."""
    return width * pixel_scale / petro_r90


_SIDE = "width * pixel_scale / petro_r90"
FRAME_MISTAKES = edited(frame_in_r90, {
    "width => 424": "That is the answer for 424 px. The width is an argument, with a default",
    f"{_SIDE} => petro_r90 / (width * pixel_scale)": "Is the frame smaller than its galaxy?",
    "width => width / 2":
        "That is off by a factor 2. R90 is a radius and the unit that was asked for; and the "
        "whole width counts",
    "width => 2 * width": "That is off by a factor 2. R90 is the unit that was asked for",
    "* pixel_scale => * 1": "You divide pixels by arcsec. How many arcsec wide is the frame?",
    "* pixel_scale => / pixel_scale":
        "Pixels divided by arcsec per pixel are no arcsec. How many arcsec wide is the frame?",
    "/ petro_r90 => / 1": "That is the side in arcsec. How many times does R90 fit into it?",
    f"{_SIDE} => petro_r90 / pixel_scale":
        "That is R90 in pixels. How many times does it fit into the frame?",
    "/ petro_r90 => * petro_r90":
        "Its unit is arcsec times arcsec. Write down the unit of every quantity you use",
    f"{_SIDE} => width * petro_r90 / pixel_scale":
        "Which of the first two inputs is the pixel scale?",
    f"{_SIDE} => 8.48":
        "8.48 is Galaxy Zoo 2's own framing; another pixel scale gives another",
    "/ petro_r90 => // petro_r90":
        "You cut off what is behind the point. Is // the division you want?",
    "width => 2**0.5 * width": "That is the diagonal of the frame. Its side was asked for",
    f"{_SIDE} => ({_SIDE}) ** 2":
        "That is an area, in units of R90 squared. The side was asked for",
})  # fmt: skip


def _check_frame(ask: Answer) -> str | None:
    rng = np.random.default_rng(24)
    cases: dict[str, tuple[float, ...]] = {}
    for _ in range(6):
        scale, r90 = rng.uniform(0.1, 1.5), rng.uniform(2, 20)
        width = int(rng.integers(100, 500))
        seen = f"{scale:.4f} arcsec/pixel, R90 {r90:.4f} arcsec, {width} px"
        cases[seen] = scale, r90, width
    what = "one number, the side in units of R90"
    if complaint := compare(ask, frame_in_r90, cases, FRAME_MISTAKES, what, rtol=5e-6):
        return complaint
    cases = {f"R90 {r90} arcsec at 0.02 R90 per pixel": (0.02 * r90, r90) for r90 in (7.3, 11.0)}
    if complaint := compare(ask, frame_in_r90, cases, {}, what):
        return f"without a width, {complaint}. Is the default 424?"
    return None


FRAME = Exercise(
    id="03.6",
    title="How much sky is in the frame?",
    question=(
        "Galaxy Zoo 2 showed every galaxy at 0.02 R90 to a pixel, where R90 is the Petrosian "
        "radius that holds 90% of its light, in arcsec: near or far, all galaxies looked equally "
        "large. At a fixed pixel scale instead, that is lost. Leach (2022) wondered "
        "why training on SDSS images went so much worse than on DECaLS; the same galaxy seen in "
        "both told him: his cutouts had the default 0.4 arcsec/pixel, where 0.1 was wanted.\n\n"
        "Write `frame_in_r90(pixel_scale, petro_r90, width=424)`: `pixel_scale` in arcsec per "
        "pixel, `petro_r90` in arcsec, `width` in pixels. Return the full side of the frame in "
        "units of R90, not rounded. For R90 = 8 arcsec, `frame_in_r90(0.4, 8)` is 21.2, more than "
        "twice Galaxy Zoo 2's, and `frame_in_r90(0.1, 8)` is 5.3."
    ),
    hints=(
        "How many arcsec of sky does the frame span from left to right?",
        "'In units of R90' means: how many times does R90 fit into it?",
        "pixels x arcsec/pixel / arcsec has no unit left, as it should.",
    ),
    reference=frame_in_r90,
    diagnose=_check_frame,
    lesson="Galaxy Zoo 2 frames are 8.48 R90 wide, whatever the galaxy's size.",
)

# 03.7 --------------------------------------------------------------------------------------------


def rotation_matrix(angle_deg: float, flip: bool) -> np.ndarray:
    """Matrix that mirrors left and right if flip, then rotates; shape (2, 2)."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    mirror = np.diag([-1.0 if flip else 1.0, 1.0])
    return np.array([[cos, -sin], [sin, cos]]) @ mirror


_TURN, _SAME = "[[cos, -sin], [sin, cos]]", "Your matrix is the same with and without flip"
_MIRROR = "[-1.0 if flip else 1.0, 1.0] => [1.0, -1.0 if flip else 1.0]"
_LAST = f"np.array({_TURN}) @ mirror => mirror @ np.array({_TURN})"
ROTATION_MISTAKES = edited(rotation_matrix, {
    _LAST: "Which comes first, the mirror or the turn?",
    _MIRROR:
        "You mirror above and below. Left and right was asked for: which coordinate changes sign?",
    f"{_MIRROR}; {_LAST}":
        "You mirror above and below, and after turning. Left and right, and first, was asked for",
    "@ mirror => @ np.eye(2)[:: -1 if flip else 1]":
        "You exchange x and y. The mirror asked for changes the sign of x",
    "@ mirror => * (-1 if flip else 1)":
        "The determinant is +1, that of a rotation. A mirror image cannot be had by turning: how "
        "many axes may change sign?",
    "if flip => if False": _SAME,
    "if flip => if True": _SAME,
    "if flip => if not flip": "You mirror when flip is false",
    f"{_TURN} => [[cos, sin], [-sin, cos]]": "In which sense do you turn?",
    f"np.array({_TURN}) @ mirror => mirror @ np.array([[cos, sin], [-sin, cos]])":
        "Your matrix is transposed: in which sense does it turn a column (x, y)?",
    "np.radians => ":
        "In which unit is the angle given, and which unit does np.cos expect?",
    "-sin => sin": "Where does north, (0, 1), go? One of the two sines has the wrong sign",
    f"{_TURN} => [[sin, -cos], [cos, sin]]": "Sine and cosine have changed places",
    "angle_deg => int(angle_deg)": "You cut the angle to whole degrees",
})  # fmt: skip


def _check_rotation(ask: Answer) -> str | None:
    what = "a matrix of shape (2, 2)"
    angles = (90.0, 0.0, 30.0, -75.0, 200.0, 12.34, 400.5, -460.0, 45.0)
    cases = {
        f"{angle:g} degrees {'with' if flip else 'without'} flip": (angle, flip)
        for flip in (False, True)
        for angle in angles
    }
    complaint = compare(ask, rotation_matrix, cases, ROTATION_MISTAKES, what)
    if complaint is None or complaint.count(". ") > 0:
        return complaint
    for seen, (angle, flip) in cases.items():
        matrix = as_array(ask(angle, flip, seen=seen), (2, 2), what)
        if close(matrix, rotation_matrix(angle, flip)):
            continue
        east, north = matrix[:, 0], matrix[:, 1]
        if not close(matrix.T @ matrix, np.eye(2)):
            return (
                f"{complaint}: east gets length {np.linalg.norm(east):.3f} and north "
                f"{np.linalg.norm(north):.3f}, or the right angle between them is lost"
            )
        if close(np.linalg.det(matrix), -1) and not flip:
            return f"{complaint}: your matrix mirrors, without flip"
        sides = [f"{_deg(side):.1f}" for side in (east, north)]
        wanted = [f"{_deg(side):.1f}" for side in rotation_matrix(angle, flip).T]
        return (
            f"{complaint}: east (1, 0) goes to {sides[0]} degrees and north (0, 1) to {sides[1]}; "
            f"{wanted[0]} and {wanted[1]} is right"
        )
    return complaint


def _deg(vector: Any) -> float:
    return float(np.degrees(np.arctan2(vector[1], vector[0])))


ROTATION = Exercise(
    id="03.7",
    title="Rotate and mirror in one matrix",
    question=(
        "The sky has no up, and no left: a galaxy turned or mirrored is as likely as the original. "
        "Augmentation tells the network so. Rotation, flip, zoom and shift are joined into one "
        "affine map, because every resampling blurs, and four in a row blur four times. Its core "
        "is a 2x2 matrix. A matrix that also stretches invents galaxies that do not exist, and a "
        "'flip' that is a half turn in disguise shows nothing new.\n\n"
        "Write `rotation_matrix(angle_deg, flip)`: first mirror left and right if `flip` is true "
        "(x becomes -x), then rotate by `angle_deg` degrees counter-clockwise (x to the right, y "
        "up). Return the matrix that does both to a column vector `(x, y)`, shape `(2, 2)`: "
        "`rotation_matrix(90, False)` is `[[0, -1], [1, 0]]`."
    ),
    hints=(
        "Where does (1, 0) go for 90 degrees, and where does (0, 1)? Those are the two columns.",
        "A rotation is [[cos, -sin], [sin, cos]], with the angle in radians.",
        "The mirror is diagonal. What is done first stands on the right: `rotation @ mirror`.",
    ),
    reference=rotation_matrix,
    diagnose=_check_rotation,
    lesson="Lengths are kept, and the determinant is +1 for rotations, -1 for mirror images.",
)

EXERCISES = (CROP, FRAME, ROTATION)
