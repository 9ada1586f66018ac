"""Exercises of notebook 06 on solvers: a step that knows its error, and the length of the next."""

from collections.abc import Callable
from typing import Any

import numpy as np

from galhelpers.exercises.exercise import Answer, Exercise, as_array, as_items, as_number, close

Slope = Callable[[Any, Any], Any]


def _noted(slope: Slope) -> tuple[Slope, list[float], list[np.ndarray]]:
    """Give the same function, and the times and states at which it is going to be asked."""
    times: list[float] = []
    states: list[np.ndarray] = []

    def noted(t: Any, y: Any) -> Any:
        times.append(float(t))
        states.append(np.array(y, dtype=float))
        return slope(t, y)

    return noted, times, states


# 06.4 --------------------------------------------------------------------------------------------


def heun_step(f: Slope, t: float, y: Any, h: float) -> tuple[Any, Any]:
    """State at t + h, and an estimate of the error: what Heun's step adds to Euler's."""
    k1 = f(t, y)
    k2 = f(t + h, y + h * k1)
    return y + h / 2 * (k1 + k2), h / 2 * (k2 - k1)


def _pendulum(t: Any, y: np.ndarray) -> np.ndarray:
    return np.array([y[1], t - 2 * y[0]])


def _bent(t: Any, y: Any) -> Any:
    return np.sin(3 * t + y) - y * y / 4


def _check_heun(ask: Answer) -> str | None:
    t, y, h = 0.3, np.array([1.0, -0.5]), 0.2
    f, times, states = _noted(_pendulum)
    what = "two arrays, (new state, error estimate), each of shape (2,)"
    result = as_items(ask(f, t, y, h, seen="a swing at t = 0.3, y of shape (2,), h = 0.2"), 2, what)
    new, error = (as_array(item, (2,), what) for item in result)
    if len(times) != 2:
        return f"you asked f {len(times)} times in one step. Keep what it said the first time"
    k1 = _pendulum(t, y)
    k2 = _pendulum(t + h, y + h * k1)
    if not close(times[0], t) or not close(states[0], y):
        return "the first slope, k1, is that at the beginning of the step: f(t, y)"
    if close(times[1], t + h / 2):
        return "you took the second slope half-way: the midpoint method. Heun goes to the end"
    if not close(times[1], t + h):
        return (
            f"the step goes from t = 0.3 to 0.5; k2 was asked for t = {times[1]:.3g}. Whose time?"
        )
    if not close(states[1], y + h * k1):
        return (
            f"k2 was asked for y = {states[1].round(3).tolist()}; Euler's step from [1.0, -0.5] "
            "ends elsewhere, and there the second slope is wanted"
        )
    if close(new, y + h * k1):
        return "your new state is Euler's. You have paid for two slopes: use the better answer"
    if close(new, y + h * (k1 + k2)):
        return (
            "your new state lies twice as far away as it should: the sum of two slopes, or a mean?"
        )
    if close(new, h / 2 * (k2 - k1)) and close(error, y + h / 2 * (k1 + k2)):
        return "both are right, in the other order"
    if close(new, y + (k1 + k2) / 2):
        return "your new state is y plus a slope. How long is the step?"
    if not close(new, y + h / 2 * (k1 + k2), 1e-5):
        return f"your new state is {new.round(4).tolist()}. One stride along the mean of k1 and k2"
    right = h / 2 * (k2 - k1)
    if close(error, -right):
        return "your estimate is Euler's answer minus Heun's. The other way round was asked for"
    if close(error, abs(right)):
        return "your estimate has lost its sign, though both answers have one in each component"
    if close(error, 2 * right):
        return "your estimate is twice the difference of the two answers. Subtract them on paper"
    if close(error, right / h):
        return "your estimate is a difference of slopes. In which unit is an error of y?"
    if not close(error, right, 1e-5):
        return f"your estimate is {error.round(4).tolist()}. What is new minus (y + h k1)?"
    return _check_other_steps(ask)


def _check_other_steps(ask: Answer) -> str | None:
    """Ask for a number, a step back in time, and an array of two axes."""
    table = np.array([[0.5, -1.0, 2.0], [0.0, 3.0, -0.4]])
    for seen, f, t, y, h in (
        ("y = 1.5 and h = -0.1", _bent, 1.0, 1.5, -0.1),
        ("y of shape (2, 3) and h = 0.5", _bent, 0.7, table, 0.5),
        ("y of shape (2, 3) and h = -0.3", _bent, -1.2, table, -0.3),
    ):
        noted, times, _ = _noted(f)
        what = f"two {'arrays of the shape of y' if np.ndim(y) else 'numbers'}, (new, error)"
        items = as_items(ask(noted, t, y, h, seen=f"t = {t}, {seen}"), 2, what)
        new, error = (as_array(item, np.shape(y), what) for item in items)
        right, right_error = heun_step(f, t, y, h)
        start = f"with y of shape (2,) and h = 0.2 all is right, but not with {seen}"
        if len(times) != 2:
            return f"{start}: you asked f {len(times)} times in one step"
        if close(new, right) and close(error, -right_error):
            return f"{start}: your estimate has the other sign. Is h taken without its own?"
        parts = ("new state", new, right, 1e-6), ("estimate", error, right_error, 1e-9)
        for part, got, wanted, atol in parts:
            if not close(got, wanted, 1e-5, atol):
                place = np.unravel_index(np.argmax(abs(got - wanted)), got.shape)
                found, true = got[place], np.asarray(wanted)[place]
                return f"{start}: your {part} holds {found:.6g}, where {true:.6g} is right"
    return None


HEUN = Exercise(
    id="06.4",
    title="A step that knows its error",
    question=(
        "Euler trusts the slope at the start of a step. Heun goes and looks: with k1 the slope at "
        "the start and k2 the slope where *Euler's* step ends, he returns to `y` and makes the "
        "step along their mean. Twice the steps, a quarter of the error. And the two slopes give "
        "two answers, Euler's and Heun's, whose difference tells how wrong the poorer one is. This "
        "pair, also called RK12, is the solver in the code of NODE_ACA.\n\n"
        "Write `heun_step(f, t, y, h)`: a slope `f(t, y)`, the time, the state (a float, or an "
        "array of floats) and the length of the step, negative when it goes back. Return `(new, "
        "error)`: Heun's state at t + h, and Heun's answer minus Euler's, in the shape of `y`. "
        "Call `f` just twice. `heun_step(lambda t, y: y, 0.0, 1.0, 0.1)` gives `(1.105, 0.005)`."
    ),
    hints=(
        "Name the slopes: `k1 = f(t, y)`. Where does Euler's step along k1 end, and when?",
        "`k2 = f(t + h, y + h * k1)`; Heun's answer is y plus h times the mean of k1 and k2.",
        "Subtract Euler's answer, y + h k1, from Heun's on paper: only k2 - k1 is left, times h/2.",
    ),
    reference=heun_step,
    diagnose=_check_heun,
    lesson="The estimate is for Euler's answer, and Heun's is kept, whose error is mostly less.",
)

# 06.5 --------------------------------------------------------------------------------------------


def next_step(h: float, error: float, tolerance: float, order: int) -> float:
    """Length of the next step, from that of this one and its error."""
    smallest = 1 if error <= tolerance else 0.2
    if error == 0:
        return 10 * h
    factor = 0.9 * (tolerance / error) ** (1 / order)
    return h * min(10, max(factor, smallest))


def _check_next(ask: Answer) -> str | None:
    def factor(error: float, order: int = 2, h: float = 0.1, tolerance: float = 1e-3) -> float:
        seen = f"h = {h}, error = {error:g}, tolerance = {tolerance:g}, order = {order}"
        return as_number(ask(h, error, tolerance, order, seen=seen), "one number, a length") / h

    got = factor(4e-3)
    seen = "an error of 4 times the tolerance and order 2"
    if close(got, 4.5):
        return f"for {seen} you give 0.45 whatever h is: the factor. And the step?"
    if close(got, 0.5):
        return f"for {seen} you halve the step: the error would *just* do. Where is the margin?"
    if close(got, 1.8):
        return f"for {seen} you make the step 1.8 times as long. Too large an error calls for what?"
    if close(got, 0.9 / 4):
        return (
            f"for {seen} your step is 0.225 h. A quarter of the error by how much shorter a step?"
        )
    if close(got, 0.9 * 4 ** (-1 / 3)):
        return f"for {seen} your factor is 0.567, with a third root. Which power was given?"
    if close(got, (0.9 / 4) ** 0.5):
        return f"for {seen} your factor is 0.474: the 0.9 went under the root. It is for the step"
    if close(got, 2):
        return f"for {seen} and h = 0.1 you give 0.2. The limits hold for the factor, not the step"
    if not close(got, 0.45):
        return f"for {seen} you make the step {got:.4g} times as long. Which step has a quarter?"
    return _check_limits(factor) or _check_other_scales(factor)


def _check_limits(factor: Callable[..., float]) -> str | None:
    got = factor(5.0)
    if not close(got, 0.2):
        return f"with 5,000 times the tolerance you change the step to {got:.2g} h at one go"
    got = factor(1e-9)
    if close(got, 1):
        return (
            "a step with a millionth of the tolerance was accepted, and you follow it by one of "
            "the same length. Never *below* 1: what was the factor?"
        )
    if got < 10 and not close(got, 10):
        return f"with a millionth of the tolerance the next step is {got:.4g} h. It may be longer"
    if not close(got, 10):
        return f"with a millionth of the tolerance the next step is {got:.4g} h. A kink may be near"
    got = factor(0.0)
    if close(got, 100):
        return "when the error is 0 and h = 0.1 you give 10, a factor. Times which length?"
    if not close(got, 10):
        return f"when the error is 0 the factor is {got:.4g}. Which limit is that?"
    got = factor(0.95e-3)
    if not close(got, 1):
        return f"a step with 95% of the tolerance was accepted; you follow it by one of {got:.3f} h"
    got = factor(1e-3)
    if not close(got, 1):
        return (
            "an error equal to the tolerance is at most that, so accepted; your factor is "
            f"{got:.3f}"
        )
    return None


def _check_other_scales(factor: Callable[..., float]) -> str | None:
    """Ask for other orders, tolerances and lengths of step, the negative ones last."""
    for h in (0.1, 2e-7, 30.0, -0.3):
        scales = ((2, 0.05), (2, 1e-6), (2, 1e-12), (1, 1e-3), (3, 1e-3), (5, 1e-3), (4, 1e-8))
        for order, tolerance in (*scales, (5, 1e-12)):
            for ratio in (0.0, 0.02, 0.3, 0.9, 1.0, 1.5, 3.0):
                error = ratio * tolerance
                got = factor(error, order, h, tolerance)
                right = next_step(h, error, tolerance, order) / h
                if close(got, right):
                    continue
                seen = f"h = {h}, tolerance {tolerance:g}, order {order} and error {error:g}"
                if h < 0:
                    return (
                        f"forwards all is right, but for {seen}, a step back in time, the next is "
                        f"{got * h:.4g}. Limit the factor, not the step, and keep the sign of h"
                    )
                told = f"for {seen} the factor is {got:.4g}, where {right:.4g} is right"
                if order == 2 and tolerance > 1e-3:
                    return (
                        f"with tolerance 0.001 all is right, but {told}. Is a tolerance typed in, "
                        "or something rounded?"
                    )
                return told if order == 2 else f"with order 2 all is right, but {told}"
    return None


NEXT = Exercise(
    id="06.5",
    title="How long may the next step be?",
    question=(
        "Instead of a number of layers, a NODE has a tolerance: a step is accepted when its "
        "estimated error is at most that; otherwise it is tried again, shorter. Either way the "
        "error tells how long the next one may be, because it grows as the step's length to the "
        "power `order`: half as long, with order 2, and a quarter is left (2 for Heun-Euler: in "
        "*one* step Euler's error goes as the square).\n\n"
        "Write `next_step(h, error, tolerance, order)` for the step just tried, accepted or not. "
        "Return h times a factor: the one with which the error would just meet the tolerance, "
        "times 0.9 for safety. The factor is never below 0.2 nor above 10 (which is also the "
        "answer for an `error` of 0); and after an accepted step it is never below 1. Length h may "
        "be negative, the tolerance as small as 1e-12. `next_step(0.1, 0.004, 0.001, 2)` gives "
        "`0.045`."
    ),
    hints=(
        "If the error grows as h squared, which change of h makes it four times smaller?",
        "Solve error * factor ** order = tolerance for the factor, then take 0.9 of it.",
        "Limit the factor, not the step: `min(10, max(factor, smallest))`, where `smallest` is 1 "
        "after an accepted step, else 0.2. An error of 0 must not be divided by.",
    ),
    reference=next_step,
    diagnose=_check_next,
    lesson="Low tolerance, small steps, many evaluations: so a NODE's depth is chosen, and paid.",
)

EXERCISES = (HEUN, NEXT)
