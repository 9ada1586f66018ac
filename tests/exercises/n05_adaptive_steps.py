"""Answers to the exercises of n05_adaptive_steps.py: wrong ones, and other right ones."""

import numpy as np

from galhelpers.exercises.n05_adaptive_steps import heun_step


def _heun_with(flaw):
    def step(f, t, y, h):
        k1 = f(t, y)
        part = h / 2 if flaw == "midpoint" else h
        k2 = f(t if flaw == "time" else t + part, y if flaw == "state" else y + part * k1)
        if flaw == "Euler's":
            return y + h * k1, h / 2 * (k2 - k1)
        error = {"slopes": (k2 - k1) / 2, "twice": h * (k2 - k1), "sign": h / 2 * (k1 - k2)}
        estimate = error.get(flaw, h / 2 * (k2 - k1))
        new = y + h * (k1 + k2) if flaw == "sum" else y + h / 2 * (k1 + k2)
        return new, abs(estimate) if flaw == "no sign" else estimate

    return step


def _next_with(flaw):
    def step(h, error, tolerance, order):
        if error == 0:
            return h if flaw == "zero" else 10 * h
        ratio = error / tolerance if flaw == "inverted" else tolerance / error
        root = {"no root": 1, "order + 1": order + 1, "always 2": 2}.get(flaw, order)
        factor = (1 if flaw == "no margin" else 0.9) * ratio ** (1 / root)
        least = 1 if error <= tolerance and flaw != "shorter" else 0.2
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


RIGHT = {
    "05.2": [_heun_by_difference],
    "05.3": [_next_by_clip],
}
