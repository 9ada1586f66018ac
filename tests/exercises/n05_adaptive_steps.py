"""Answers to the exercises of n05_adaptive_steps.py: wrong ones, and other right ones."""

import numpy as np

from galhelpers.exercises.n05_adaptive_steps import heun_step, next_step


def _heun_with(flaw):
    def step(f, t, y, h):
        k1 = f(t, y)
        part = h / 2 if flaw == "midpoint" else h
        k2 = f(t if flaw == "time" else t + part, y if flaw == "state" else y + part * k1)
        if flaw == "Euler's":
            return y + h * k1, h / 2 * (k2 - k1)
        error = {"slopes": (k2 - k1) / 2, "twice": h * (k2 - k1), "sign": h / 2 * (k1 - k2)}
        estimate = error.get(flaw, h / 2 * (k2 - k1))
        new = y + (h if flaw == "sum" else h / 2) * (k1 + k2)
        new = y + (k1 + k2) / 2 if flaw == "slope" else new
        estimate = abs(h) / 2 * (k2 - k1) if flaw == "abs h" else estimate
        return new, abs(estimate) if flaw == "no sign" else estimate

    return step


def _thrice_for_a_number(f, t, y, h):
    if np.ndim(y) == 0:
        f(t, y)
    return heun_step(f, t, y, h)


def _next_with(flaw):
    def step(h, error, tolerance, order):
        tolerance = 1e-3 if flaw == "tolerance typed in" else tolerance
        error = max(error, 1e-10) if flaw == "guarded" else error
        if flaw == "accepted keeps h" and error <= tolerance:
            return h
        if error == 0:
            return {"zero": h, "zero's factor": 10, "zero's sign": 10 * abs(h)}.get(flaw, 10 * h)
        ratio = error / tolerance if flaw == "inverted" else tolerance / error
        root = {"no root": 1, "order + 1": order + 1, "always 2": 2}.get(flaw, order)
        factor = (1 if flaw == "no margin" else 0.9) * ratio ** (1 / root)
        factor = (0.9 * ratio) ** (1 / root) if flaw == "margin in the root" else factor
        accepted = error < tolerance if flaw == "less than" else error <= tolerance
        least = 1 if accepted and flaw != "shorter" else 0.2
        if flaw == "limits on the step":
            return min(10, max(0.2, h * factor))
        factor = factor if flaw == "no lower limit" else max(factor, least)
        factor = factor if flaw == "no upper limit" else min(factor, 10)
        return factor if flaw == "factor" else h * factor

    return step


WRONG = {
    "05.2": {
        "once for each answer": (
            lambda f, t, y, h: (heun_step(f, t, y, h)[0], heun_step(f, t, y, h)[1]),
            "Keep what it said",
        ),
        "midpoint": (_heun_with("midpoint"), "half-way"),
        "time stands still": (_heun_with("time"), "Whose time"),
        "state stands still": (_heun_with("state"), "ends elsewhere"),
        "Euler's": (_heun_with("Euler's"), "use the better answer"),
        "sum": (_heun_with("sum"), "or a mean?"),
        "sign": (_heun_with("sign"), "The other way round"),
        "no sign": (_heun_with("no sign"), "lost its sign"),
        "twice": (_heun_with("twice"), "Subtract them on paper"),
        "slopes": (_heun_with("slopes"), "In which unit"),
        "never back": (lambda f, t, y, h: heun_step(f, t, y, abs(h)), "a step back in time"),
        "other order": (lambda *inputs: heun_step(*inputs)[::-1], "in the other order"),
        "slope for a step": (_heun_with("slope"), "How long is the step"),
        "thrice for a number": (_thrice_for_a_number, "you asked f 3 times in one step"),
        "length without sign": (_heun_with("abs h"), "Is h taken without its own"),
        "no estimate": (lambda f, t, y, h: heun_step(f, t, y, h)[0], "expected two arrays"),
    },
    "05.3": {
        "factor": (_next_with("factor"), "And the step?"),
        "no margin": (_next_with("no margin"), "Where is the margin"),
        "inverted": (_next_with("inverted"), "calls for what"),
        "no root": (_next_with("no root"), "by how much shorter"),
        "order + 1": (_next_with("order + 1"), "Which power was given"),
        "always 2": (_next_with("always 2"), "with order 2 all is right"),
        "limits on the step": (_next_with("limits on the step"), "for the factor, not the step"),
        "no lower limit": (_next_with("no lower limit"), "h at one go"),
        "no upper limit": (_next_with("no upper limit"), "A kink may be near"),
        "zero": (_next_with("zero"), "Which limit is that"),
        "divides by zero": (
            lambda h, error, tolerance, order: (
                h
                * min(
                    10, max(0.9 * (tolerance / error) ** (1 / order), 1 - 0.8 * (error > tolerance))
                )
            ),
            "raised ZeroDivisionError",
        ),
        "less than": (_next_with("less than"), "at most that, so accepted"),
        "tolerance typed in": (_next_with("tolerance typed in"), "Is a tolerance typed in"),
        "guarded": (_next_with("guarded"), "for fear of a division by 0"),
        "margin in the root": (_next_with("margin in the root"), "went under the root"),
        "accepted keeps h": (_next_with("accepted keeps h"), "Never *below* 1"),
        "zero's factor": (_next_with("zero's factor"), "you give 10, a factor"),
        "zero's sign": (_next_with("zero's sign"), "keep the sign of h"),
        "at most 5": (
            lambda h, error, tolerance, order: (
                h * min(5, next_step(h, error, tolerance, order) / h)
            ),
            "It may be longer",
        ),
        "shorter": (_next_with("shorter"), "95% of the tolerance"),
    },
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
    "05.2": [
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
    "05.3": [
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
    "05.2": [_heun_by_difference, lambda *inputs: np.stack(_heun_by_difference(*inputs))],
    "05.3": [_next_by_clip, _next_by_cases],
}
