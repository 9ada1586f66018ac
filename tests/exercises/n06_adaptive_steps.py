"""Answers to the exercises of n06_adaptive_steps.py: wrong ones, and other right ones."""

import numpy as np

from galhelpers.exercises.exercise import edited
from galhelpers.exercises.n06_adaptive_steps import heun_step, next_step


def _thrice_for_a_number(f, t, y, h):
    if np.ndim(y) == 0:
        f(t, y)
    return heun_step(f, t, y, h)


HEUNS = edited(heun_step, {
    "f(t + h, y + h * k1) => f(t + h / 2, y + h / 2 * k1)": "half-way",
    "f(t + h => f(t": "Whose time",
    "y + h * k1) => y)": "ends elsewhere",
    "y + h / 2 * (k1 + k2) => y + h * k1": "use the better answer",
    "y + h / 2 => y + h": "or a mean?",
    "(k2 - k1) => (k1 - k2)": "The other way round",
    ", h / 2 * (k2 - k1) => , abs(h / 2 * (k2 - k1))": "lost its sign",
    ", h / 2 => , h": "Subtract them on paper",
    ", h / 2 => , 1 / 2": "In which unit",
    "y + h / 2 => y + 1 / 2": "How long is the step",
    ", h / 2 => , abs(h) / 2": "Is h taken without its own",
})  # fmt: skip
STEPS = edited(next_step, {
    "return h * => return": "And the step?",
    "0.9 * => ": "Where is the margin",
    "tolerance / error => error / tolerance": "calls for what",
    "1 / order => 1": "by how much shorter",
    "1 / order => 1 / (order + 1)": "Which power was given",
    "1 / order => 1 / 2": "with order 2 all is right",
    "h * min(10, max(factor, smallest)) => min(10, max(0.2, h * factor))":
        "for the factor, not the step",
    "max(factor, smallest) => factor": "h at one go",
    "min(10, max(factor, smallest)) => max(factor, smallest)": "A kink may be near",
    "10 * h => h": "Which limit is that",
    "error <= => error <": "at most that, so accepted",
    "tolerance => 1e-3": "Is a tolerance typed in",
    "smallest = => error = max(error, 1e-10)\n    smallest =": "where 10 is right",
    "0.9 * (tolerance / error) => (0.9 * tolerance / error)": "went under the root",
    "if error == 0 => if error <= tolerance; 10 * h => h": "Never *below* 1",
    "10 * h => 10": "you give 10, a factor",
    "10 * h => 10 * abs(h)": "keep the sign of h",
    "1 if error <= tolerance else 0.2 => 0.2": "95% of the tolerance",
    "error == 0 => error is None": "raised ZeroDivisionError",
    "10 => 5": "It may be longer",
})  # fmt: skip

WRONG = {
    "06.4": HEUNS
    | {
        "once for each answer": (
            lambda f, t, y, h: (heun_step(f, t, y, h)[0], heun_step(f, t, y, h)[1]),
            "Keep what it said",
        ),
        "never back": (lambda f, t, y, h: heun_step(f, t, y, abs(h)), "where 1.65802 is right"),
        "other order": (lambda *inputs: heun_step(*inputs)[::-1], "in the other order"),
        "thrice for a number": (_thrice_for_a_number, "you asked f 3 times in one step"),
        "no estimate": (lambda f, t, y, h: heun_step(f, t, y, h)[0], "expected two arrays"),
    },
    "06.5": STEPS,
}


def _heun_by_difference(f, t, y, h):
    slope = f(t, y)
    euler = y + h * slope
    heun = y + h * (slope + f(t + h, euler)) / 2
    return [heun, heun - euler]


def _next_by_clip(h, error, tolerance, order):
    wanted = 0.9 * np.divide(tolerance, error) ** (1 / order)
    return h * np.clip(wanted, 1 if error <= tolerance else 0.2, 10)


REFUSED = {
    "06.4": [
        lambda f, t, y, h: heun_step(lambda s, z: f(s, z) * (1 if s == t else 3), t, y, h),
        lambda f, t, y, h: heun_step(f, t, y, 0.2),
        lambda f, t, y, h: heun_step(f, 0.3, y, h),
        lambda f, t, y, h: heun_step(lambda s, z: f(t + abs(s - t), z), t, y, h),
        lambda *inputs: [np.round(item, 2) for item in heun_step(*inputs)],
        lambda *inputs: (heun_step(*inputs)[0], np.linalg.norm(heun_step(*inputs)[1])),
        lambda *inputs: (heun_step(*inputs)[0], heun_step(*inputs)[1] / heun_step(*inputs)[0]),
        lambda *inputs: [np.ravel(item) for item in heun_step(*inputs)],
        lambda *inputs: dict(zip(("new", "error"), heun_step(*inputs), strict=True)),
    ],
    "06.5": [
        lambda h, error, tolerance, order: next_step(h, max(error, 1e-16), tolerance, order),
        lambda h, error, tolerance, order: max(h, next_step(h, error, tolerance, order)),
        lambda h, error, tolerance, order: abs(next_step(h, error, tolerance, order)),
        lambda h, error, tolerance, order: min(1, next_step(h, error, tolerance, order)),
        lambda h, error, tolerance, order: max(1e-3, next_step(h, error, tolerance, order)),
        lambda h, error, tolerance, order: next_step(h, error + 1e-8, tolerance, order),
        lambda h, error, tolerance, order: next_step(h, error, tolerance, min(order, 4)),
        lambda h, error, tolerance, order: round(next_step(h, error, tolerance, order), 3),
        lambda h, error, tolerance, order: h * int(next_step(h, error, tolerance, order) / h),
        lambda h, error, tolerance, order: 2 * h if error <= tolerance else h / 2,
        lambda h, error, tolerance, order: next_step(h, tolerance, error, order),
        lambda h, error, tolerance, order: next_step(h, error, tolerance * abs(h) / 0.1, order),
    ],
}


def _next_by_cases(h, error, tolerance, order):
    factor = 10.0 if error == 0 else 0.9 * np.exp(np.log(tolerance / error) / order)
    if factor > 10:
        factor = 10
    if error <= tolerance and factor < 1:
        factor = 1
    if factor < 0.2:
        factor = 0.2
    return np.float32(factor * h)


RIGHT = {
    "06.4": [_heun_by_difference, lambda *inputs: np.stack(_heun_by_difference(*inputs))],
    "06.5": [_next_by_clip, _next_by_cases],
}
