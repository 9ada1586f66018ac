"""Exercises of notebook 02 on geometry: crops, the field of view, rotations and mirror images."""

from typing import Any

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, as_array, as_items, as_number, close

# 02.1 --------------------------------------------------------------------------------------------


def crop_box(width_px: int, fraction: float) -> tuple[int, int, int, int]:
    """Left, upper, right and lower edge of the central crop, in pixels."""
    side = round(width_px * fraction)
    start = (width_px - side) // 2
    return start, start, start + side, start + side


def _check_crop(ask: Answer) -> str | None:
    what = "four numbers (left, upper, right, lower)"
    for width, fraction in ((424, 0.5), (424, 0.6), (160, 0.5), (160, 0.6), (69, 0.7), (424, 1.0)):
        items = as_items(ask(width, fraction), 4, what)
        left, upper, right, lower = (as_number(item, what) for item in items)
        side, wanted, seen = (
            right - left,
            width * fraction,
            f"width {width} and fraction {fraction}",
        )
        if right > width or lower > width or left < 0 or upper < 0:
            return (
                f"for {seen} the box {left:g}, {upper:g}, {right:g}, {lower:g} reaches beyond the "
                "image. Which lengths should change with the width?"
            )
        if abs(left - upper) > 1 or abs(right - lower) > 1:
            across, down = f"{left:g} to {right:g}", f"{upper:g} to {lower:g}"
            return f"for {seen} the box spans {across} px across but {down} px down"
        if fraction < 1 and abs(right - wanted) <= 1 and abs(left - (width - wanted) / 2) <= 1:
            return (
                f"for {seen} you give {left:g}, {upper:g}, {right:g}, {lower:g}: the last two look "
                "like the size of the crop. They are the positions of its edges"
            )
        if abs(side - width * fraction**0.5) <= 1 < abs(side - wanted):
            return (
                f"for {seen} the crop is {side:g} px wide: is the fraction of the side or the area?"
            )
        if abs(side - wanted) > 1:
            return (
                f"for {seen} the crop is {side:g} px wide, {side / width:.0%} of the field of "
                "view. A 424 px file and its 160 px copy must keep the same part of it"
            )
        if abs(left - (width - right)) > 1:
            return f"for {seen} you cut {left:g} px at the left and {width - right:g} at the right"
    return None


CROP = Exercise(
    id="02.1",
    title="The same crop at any resolution",
    question=(
        "A Galaxy Zoo frame is 424 px wide, and most of it is sky. Cropping to the middle helps "
        "every network, but published code writes the crop in pixels: 256 of 424. Run it on a "
        "160 px copy of the same image and it keeps everything in a black frame; a model then sees "
        "galaxies of another size than it was trained on, and no error tells you. A fraction of "
        "the field of view means the same on both.\n\n"
        "Write `crop_box(width_px, fraction)` for a square image: `fraction` (more than 0, at most "
        "1) is the part of the **side** to keep. Return `(left, upper, right, lower)` in whole "
        "pixels, as `PIL.Image.crop` takes them: edges, centred to within a pixel."
    ),
    stub='''def crop_box(width_px, fraction):
    """Left, upper, right and lower edge of the central crop, in pixels."""
    ...''',
    hints=(
        "Draw it: how many pixels are kept, and how many are cut away altogether?",
        "What is cut away is shared equally between left and right.",
        "With `side = round(width_px * fraction)`, the left edge is `(width_px - side) // 2`.",
    ),
    reference=crop_box,
    diagnose=_check_crop,
    lesson="A crop given as a part of the field of view survives a change of resolution.",
)

# 02.4 --------------------------------------------------------------------------------------------


def frame_in_r90(pixel_scale: float, petro_r90: float, width: int = 424) -> float:
    """Side of the frame in units of R90."""
    return width * pixel_scale / petro_r90


def _check_frame(ask: Answer) -> str | None:
    rng = np.random.default_rng(24)
    for _ in range(5):
        r90, scale = rng.uniform(4, 20), rng.uniform(0.1, 0.6)
        width = int(rng.integers(100, 500))
        got = as_number(ask(scale, r90, width))
        right, seen = (
            frame_in_r90(scale, r90, width),
            f"{scale:.3f} arcsec/pixel, R90 {r90:.2f} arcsec",
        )
        seen += f", {width} px"
        if close(got, right):
            continue
        if close(got, frame_in_r90(scale, r90)):
            return f"for {seen} you answer for 424 px. The width is an argument, with a default"
        if close(got * right, 1):
            return f"for {seen} you find {got:.4f}: a frame smaller than its galaxy"
        if close(got, right / 2) or close(got, right * 2):
            return (
                f"for {seen} you find {got:.4f}, off by a factor 2. Is R90 a radius? And the width?"
            )
        if close(got, width / r90):
            return f"for {seen} you divide pixels by arcsec. How many arcsec wide is the frame?"
        return f"for {seen} you find {got:.4f}. Write down the unit of every quantity you use"
    r90 = 7.3
    if not close(as_number(ask(0.02 * r90, r90)), 8.48):
        return "without a width, Galaxy Zoo 2's own framing comes out wrong. Is the default 424?"
    return None


FRAME = Exercise(
    id="02.4",
    title="How much sky is in the frame?",
    question=(
        "Galaxy Zoo 2 showed every galaxy at 0.02 R90 to a pixel, where R90 is the Petrosian "
        "radius that holds 90% of its light, in arcsec: near or far, all galaxies looked equally "
        "large. At a fixed pixel scale instead, that is lost. Leach (2022) wondered "
        "why training on SDSS images went so much worse than on DECaLS; the same galaxy seen in "
        "both told him: his cutouts had the default 0.4 arcsec/pixel, where 0.1 was wanted.\n\n"
        "Write `frame_in_r90(pixel_scale, petro_r90, width=424)`: `pixel_scale` in arcsec per "
        "pixel, `petro_r90` in arcsec, `width` in pixels. Return the full side of the frame in "
        "units of R90. Then compare Galaxy Zoo 2 with 0.4 and 0.1 arcsec/pixel for R90 = 8 arcsec."
    ),
    stub='''def frame_in_r90(pixel_scale, petro_r90, width=424):
    """Side of the frame in units of R90."""
    ...''',
    hints=(
        "How many arcsec of sky does the frame span from left to right?",
        "'In units of R90' means: how many times does R90 fit into it?",
        "pixels x arcsec/pixel / arcsec has no unit left, as it should.",
    ),
    reference=frame_in_r90,
    diagnose=_check_frame,
    lesson="Galaxy Zoo 2 frames are 8.48 R90 wide, whatever the galaxy's size.",
)

# 02.5 --------------------------------------------------------------------------------------------


def rotation_matrix(angle_deg: float, flip: bool) -> np.ndarray:
    """Matrix that mirrors left and right if ``flip``, then rotates; shape (2, 2)."""
    cos, sin = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    mirror = np.diag([-1.0 if flip else 1.0, 1.0])
    return np.array([[cos, -sin], [sin, cos]]) @ mirror


def _check_rotation(ask: Answer) -> str | None:
    def matrix(angle: float, flip: bool) -> np.ndarray:
        return as_array(ask(angle, flip), (2, 2))

    east = np.array([1.0, 0.0])
    for angle in (90.0, 0.0, 30.0, -75.0, 200.0):
        turned, seen = matrix(angle, False), f"{angle:g} degrees without flip"
        scale = float(np.linalg.norm(turned @ east))
        if not close(turned.T @ turned, np.eye(2)):
            return (
                f"for {seen} a vector of length 1 gets length {scale:.3f}, or right angles are lost"
            )
        radians = rotation_matrix(np.degrees(angle), False)
        if close(turned, radians) and not close(radians, rotation_matrix(angle, False)):
            return f"for {seen}, east is turned to {_deg(turned @ east):.1f} degrees: which unit?"
        if close(turned, rotation_matrix(-angle, False)) and angle % 180:
            return f"for {seen}, east is turned to {_deg(turned @ east):.1f} degrees: which sense?"
        if not close(turned, rotation_matrix(angle, False)):
            return f"for {seen}, east is turned to {_deg(turned @ east):.1f} degrees"
        flipped = matrix(angle, True)
        if close(flipped, turned):
            return f"for {angle:g} degrees the matrix is the same with and without flip"
        if close(np.linalg.det(flipped), 1):
            return (
                f"for {angle:g} degrees and flip, the determinant is +1, that of a rotation. A "
                "mirror image cannot be had by turning: how many axes may change sign?"
            )
        if not close(flipped.T @ flipped, np.eye(2)):
            return f"for {angle:g} degrees and flip, lengths change; the determinant must be -1"
        if not close(flipped, rotation_matrix(angle, True)):
            return (
                f"for {angle:g} degrees and flip: which axis is mirrored, before or after turning?"
            )
    return None


def _deg(vector: Any) -> float:
    return float(np.degrees(np.arctan2(vector[1], vector[0])))


ROTATION = Exercise(
    id="02.5",
    title="Rotate and mirror in one matrix",
    question=(
        "The sky has no up, and no left: a galaxy turned or mirrored is as likely as the original. "
        "Augmentation tells the network so. Rotation, flip, zoom and shift are joined into one "
        "affine map, because every resampling blurs, and four in a row blur four times. Its core "
        "is a 2x2 matrix. A matrix that also stretches invents galaxies that do not exist, and a "
        "'flip' that is a half turn in disguise shows nothing new.\n\n"
        "Write `rotation_matrix(angle_deg, flip)`: first mirror left and right if `flip` is true "
        "(x becomes -x), then rotate by `angle_deg` degrees counter-clockwise (x to the right, y "
        "up). Return the matrix that does both to a column vector `(x, y)`, shape `(2, 2)`."
    ),
    stub='''def rotation_matrix(angle_deg, flip):
    """Matrix that mirrors left and right if flip, then rotates; shape (2, 2)."""
    ...''',
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
