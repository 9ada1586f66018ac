"""Exercise of unit 02 on positions: how far apart two galaxies are on the sky."""

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    as_number,
    compare,
    edited,
)

# 02.1 --------------------------------------------------------------------------------------------


def separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Angle between two near positions on the sky, in arcsec."""
    east = (ra2 - ra1 + 180) % 360 - 180  # -180 to 180: the short way round the sky
    east = east * np.cos(np.radians((dec1 + dec2) / 2))  # circles of declination shrink polewards
    return 3600 * np.hypot(east, dec2 - dec1)


_NO_WRAP = "Where does RA start again?"
_WRAP, _COS = "(ra2 - ra1 + 180) % 360 - 180 => ", "np.cos(np.radians((dec1 + dec2) / 2)) => "
_HYPOT = "np.hypot(east, dec2 - dec1) => "
SEPARATION_MISTAKES = edited(separation, {
    "3600 => 1": "In which unit is that?",
    "3600 => 60": "In which unit is that? A degree has 3600 arcsec",
    f"{_COS}1": "That is as on the equator. Do meridians stay as far apart?",
    "np.radians => ": "What unit of angle does np.cos expect?",
    "np.radians((dec1 + dec2) / 2) => dec1": "What unit of angle does np.cos expect?",
    "cos => sin":
        "At the equator you let an RA difference shrink to nothing. Is that where meridians meet?",
    f"{_WRAP}ra2 - ra1": _NO_WRAP,
    f"{_WRAP}(ra2 - ra1) % 360":
        f"{_NO_WRAP} A small step to the west must not become nearly 360 degrees",
    f"{_WRAP}abs(ra2 - ra1) % 360": _NO_WRAP,
    f"{_WRAP}ra2 - ra1 - 360 * (ra2 - ra1 > 180)": f"{_NO_WRAP} Try it in both directions",
    f"{_WRAP}ra2 - ra1 + 360 * (ra2 - ra1 < -180)": f"{_NO_WRAP} Try it in both directions",
    f"{_WRAP}ra2 - ra1; (east, => ((east + 180) % 360 - 180,":
        "You bring the RA difference into -180 to 180 after it has shrunk with the cosine. Away "
        "from the equator 360 degrees are then no full turn",
    f"{_WRAP}ra2 - 360 * (ra2 > 180) - ra1 + 360 * (ra1 > 180)":
        "You take 360 from an RA above 180, which tears neighbours apart at 180. Bring the "
        "difference into -180 to 180",
    f"{_HYPOT}(abs(east) + abs(dec2 - dec1))": "How do two perpendicular offsets add up?",
    f"{_HYPOT}max(abs(east), abs(dec2 - dec1))": "How do two perpendicular offsets add up?",
    f"{_HYPOT}3600 * (east**2 + (dec2 - dec1) ** 2)": "Is a root missing?",
    f"{_HYPOT}abs(east)": "The declinations differ as well",
    f"{_HYPOT}abs(dec2 - dec1)": "The right ascensions differ as well",
    f"{_COS}1; 3600 => 3600 * np.cos(np.radians(dec1))":
        "Which of the two offsets shrinks towards the poles? A degree of declination does not",
    "dec2 - dec1 => abs(dec2) - abs(dec1)":
        "Two declinations lie on different sides of the equator there",
})  # fmt: skip


def _positions() -> dict[str, tuple[float, float, float, float]]:
    rng, step = np.random.default_rng(13), 2 / 3600
    fixed = [
        ("2 arcsec apart in declination", (150.0, 10.0, 150.0, 10 + step)),
        ("2 arcsec apart in RA on the equator", (150.0, 0.0, 150 + step, 0.0)),
        ("2 arcsec apart across the equator", (150.0, -step / 2, 150.0, step / 2)),
    ]
    for dec in (60.0, -45.0, 85.0, -80.0):
        fixed.append((f"an RA difference of 2 arcsec at Dec {dec:g}", (150, dec, 150 + step, dec)))
    for dec in (0.0, 60.0, -60.0, 85.0):
        east, west = step / 2, 360 - step / 2
        fixed.append((f"RA {west:.5f} beside {east:.5f} at Dec {dec:g}", (west, dec, east, dec)))
        fixed.append((f"RA {east:.5f} beside {west:.5f} at Dec {dec:g}", (east, dec, west, dec)))
    for ra in (1.0, 10.0, 90.0, 180.0, 270.0, 300.0, 350.0, 359.0):
        seen = f"RA {ra - step:.5f} beside {ra + step:.5f} at Dec 20"
        fixed.append((seen, (ra - step, 20.0, ra + step, 20.0)))
    for apart in (0.2, 2.0, 10.0, 40.0):
        for _ in range(12):
            dec, angle = rng.uniform(-85, 85), rng.uniform(0, 2 * np.pi)
            ra = rng.choice([rng.uniform(1, 359), 0.0])
            north = apart / 3600 * np.sin(angle)
            east = apart / 3600 * np.cos(angle) / np.cos(np.radians(dec + north / 2))
            position = float(ra), float(dec), float((ra + east) % 360), float(dec + north)
            fixed.append((", ".join(f"{value:.6f}" for value in position), position))
    for ra, dec in rng.uniform([0, -85], [360, 85], (150, 2)):  # acos of more than 1 for some
        fixed.append((f"twice the position {ra:.5f}, {dec:.5f}", (ra, dec, ra, dec)))
    return {seen: tuple(map(float, position)) for seen, position in fixed}  # type: ignore[misc]


def _check_separation(ask: Answer) -> str | None:
    what = "one number, the angle in arcsec"
    cases = _positions()
    complaint = compare(ask, separation, cases, SEPARATION_MISTAKES, what, rtol=5e-3, atol=0.01)
    if complaint is None or ". " in complaint:
        return complaint
    got = {seen: as_number(ask(*p), what, finite=False) for seen, p in cases.items()}
    off = {seen: abs(got[seen] - separation(*p)) for seen, p in cases.items()}
    wrong = [seen for seen, p in cases.items() if not off[seen] <= 0.01 + 5e-3 * separation(*p)]
    if all(off[seen] > 1e5 for seen in wrong):
        return f"{complaint}. {_NO_WRAP}"
    if all(one < 0.5 for one in off.values()):
        return f"{complaint}. Is something rounded, or in single precision (float32)?"
    return complaint


SEPARATION = Exercise(
    id="02.1",
    title="How far apart on the sky?",
    question=(
        "A cross-match needs an angle on a sphere; a plain difference of coordinates loses real "
        "partners at high declination and at RA 0, silently, in a part of the sky only.\n\n"
        "Write `separation(ra1, dec1, ra2, dec2)`: four floats in degrees, RA from 0 to 360, Dec "
        "from -85 to 85. Return the angle in **arcsec** (1 degree is 3600 arcsec), right to 0.5% "
        "or 0.01 arcsec, between positions less than a minute of arc apart; it may be 0. Mind that "
        "a degree of RA spans less sky near a pole, and that RA 359.9999 lies beside RA 0.0001. "
        "For example, "
        "`separation(10, 60, 10.001, 60)` is 1.8."
    ),
    hints=(
        "Work out two offsets, towards east and towards north, and add them as Pythagoras does.",
        "A circle of constant declination is shorter than the equator by the cosine of the "
        "declination, and `np.cos` wants radians: `np.radians`.",
        "Bring the RA difference into -180 to 180 degrees: `(difference + 180) % 360 - 180`.",
    ),
    reference=separation,
    diagnose=_check_separation,
    lesson="astropy's SkyCoord.separation does this for any angle, at the poles as well.",
)

EXERCISES = (SEPARATION,)
