"""Exercises of notebook 05 on Euler's steps: forwards as residual blocks, and back by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_items,
    as_number,
    close,
    describe,
    name_mistake,
)

Slope = Callable[[Any, Any], Any]

# 05.1 --------------------------------------------------------------------------------------------


def euler_chain(f: Slope, y0: Any, n: int) -> Any:
    """State at t = 1 after n equal Euler steps from y0 at t = 0; shape of y0."""
    y, h = y0, 1 / n
    for i in range(n):
        y = y + h * f(i * h, y)
    return y


def _driven(t: Any, y: Any) -> Any:
    return 2 + 3 * t - y  # from 0.5 it leads to 2 + 1.5 / e


def _check_chain(ask: Answer) -> str | None:
    problem = "y' = 2 + 3t - y with y(0) = 0.5"

    def end(n: int, slope: Slope = _driven) -> float:
        seen = f"{problem} and n = {n}"
        return as_number(ask(slope, 0.5, n, seen=seen), "one number, the state at t = 1")

    if close(end(1), 1.5):
        return (
            f"for {problem} one step ends at 1.5, which is f(0, 0.5). A residual block gives more "
            "than F(x): what became of its input?"
        )
    times: list[float] = []

    def noted(t: Any, y: Any) -> Any:
        times.append(float(t))
        return _driven(t, y)

    four = end(4, noted)
    if len(times) != 4:
        return f"in 4 steps you asked f {len(times)} times. How often does Euler look at the slope?"
    begins = np.arange(4) / 4
    if not close(times, begins, atol=1e-5):
        seen = f"in 4 steps from 0 to 1 you asked f at t = {np.round(times, 3).tolist()}"
        if close(times, np.arange(4)):
            return f"{seen}: the numbers of the steps. What time is it when a step begins?"
        if close(times, begins + 0.25):
            return f"{seen}, where each step ends. Euler knows only where it begins"
        return f"{seen}. Each step is a quarter long and begins where the one before it ended"
    if close(four, euler_chain(lambda t, y: 4 * _driven(t, y), 0.5, 4)):
        return f"for {problem} 4 steps end at {four:.4g}: strides as long as if each were the whole"
    if close(four, 0.5 + np.mean(_driven(begins, 0.5))):
        return f"for {problem} you took each slope at y = 0.5. Has the state not moved on?"
    errors = [abs(end(n) - 2 - 1.5 / np.e) for n in (16, 32)]
    if (
        not close(four, euler_chain(_driven, 0.5, 4))
        or not 1.8 < errors[0] / max(errors[1], 1e-9) < 2.2
    ):
        return (
            f"for {problem} 4 steps end at {four:.4f}, and 16 and 32 steps are {errors[0]:.4f} and "
            f"{errors[1]:.4f} off. Twice the steps, half the error: so it is with Euler"
        )
    return _check_graph(ask)


def _check_graph(ask: Answer) -> str | None:
    start = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.0, 4.0]])
    weight = torch.tensor(0.7, requires_grad=True)

    def network(t: Any, y: torch.Tensor) -> torch.Tensor:
        return torch.tanh(weight * y) + t

    y0 = start.clone()
    got = ask(network, y0, 3, copied=False, seen="a network as f and a tensor of shape (2, 3)")
    if not torch.equal(y0, start):
        return "y0 is not what it was before the call: += writes into the tensor it is given"
    if not isinstance(got, torch.Tensor) or got.shape != start.shape:
        return f"for a tensor of shape (2, 3) you give {describe(got)}. Which shape has a state?"
    (right,) = torch.autograd.grad(euler_chain(network, start, 3).sum(), weight)
    try:
        found = torch.autograd.grad(got.sum(), weight, allow_unused=True)[0]
    except RuntimeError:
        found = None
        if got.requires_grad:
            return (
                "back-propagation fails: the graph needs the states of all steps, and one was "
                "overwritten. y = y + ... makes a new tensor each time"
            )
    if found is None:
        return "no gradient reaches the weights inside f: what cut your result off the graph?"
    if not close(found.item(), right.item()):
        return (
            f"the gradient of the weight inside f is {found.item():.3f}, not {right.item():.3f}: "
            "it comes from a part of the way only. Is a state detached between the steps?"
        )
    return None


CHAIN = Exercise(
    id="05.1",
    title="A residual block is an Euler step",
    question=(
        "A residual block adds to its input: `x + F(x)`. Six blocks in a row make six strides from "
        "the first features to the last. Read `6 F` as the slope of a state that flows from t = 0 "
        "to t = 1, and the strides are Euler steps. Take more and shorter ones, and they become a "
        "curve, the solution of y' = f(t, y). A network that asks for the curve, and leaves the "
        "steps to a solver, is a neural ODE.\n\n"
        "Write `euler_chain(f, y0, n)`: `f(t, y)` gives the slope, in the shape of `y`; `y0` is "
        "the state at t = 0, a number, array or torch tensor. Take `n` equal Euler steps, "
        "asking `f` once in each, where it begins. Return the state at t = 1. Leave `y0` "
        "unchanged, and let gradients flow."
    ),
    stub='''def euler_chain(f, y0, n):
    """State at t = 1 after n equal Euler steps from y0 at t = 0; shape of y0."""
    ...''',
    hints=(
        "How long is each of n equal steps from 0 to 1? At which times do they begin?",
        "A step follows the slope at its beginning: the new state is the old one plus its length "
        "times the slope.",
        "In a loop over i: `y = y + h * f(i * h, y)`, with `h = 1 / n`. Not `y += ...`, which "
        "overwrites what back-propagation still needs.",
    ),
    reference=euler_chain,
    diagnose=_check_chain,
    lesson=(
        "With n = 1 it is a residual block; with n = 6 it is six that share their weights, each "
        "adding a sixth of f."
    ),
)

# 05.4 --------------------------------------------------------------------------------------------


def aca_gradient(k: float, z0: float, steps: Sequence[float]) -> tuple[float, float]:
    """Gradient of z(T)^2 by z0 and by k, back over the stored states of the Euler steps."""
    states = [z0]
    for h in steps:
        states.append(states[-1] + h * k * states[-1])
    slope, by_k = 2 * states[-1], 0.0
    for h, z in zip(reversed(steps), reversed(states[:-1]), strict=True):
        by_k += slope * h * z  # the slope at the step's end, the state at its start
        slope *= 1 + h * k
    return slope, by_k


def _back_with(flaw: str) -> Callable[..., tuple[float, float]]:
    """Give the way back with one flaw."""

    def gradient(k: float, z0: float, steps: Sequence[float]) -> tuple[float, float]:
        states = [z0]
        for h in steps:
            states.append(states[-1] + h * k * states[-1])
        z = states[-1]
        slope, by_k = {"no 2": 1, "the loss": z}.get(flaw, 2) * z, 0.0
        pairs = list(zip(steps, states[:-1], strict=True))
        for h, before in pairs if flaw == "in forward order" else pairs[::-1]:
            z = z - h * k * z
            if flaw == "slope first":
                slope *= 1 + h * k
            share = slope * h * (z if flaw == "backwards" else before)
            by_k = share if flaw == "one step" else by_k + share
            if flaw != "slope first":
                slope *= 1 + h * k
        return slope, by_k

    return gradient


def _exact(k: float, z0: float, steps: Sequence[float]) -> tuple[float, float]:
    end = z0 * np.exp(k * sum(steps))
    return 2 * end**2 / z0, 2 * sum(steps) * end**2


GRADIENT_MISTAKES: Mistakes = {
    "true solution": (
        _exact,
        "the gradient of the true solution. Whose loss was computed, its or Euler's?",
    ),
    "the loss": (
        _back_with("the loss"),
        "you start from L itself. What is the derivative of z(T)^2 by z(T)?",
    ),
    "no 2": (_back_with("no 2"), "half of it. What is the derivative of a square?"),
    "solved backwards": (
        _back_with("backwards"),
        "states solved back from z(T). They were stored on the way: use them",
    ),
    "slope first": (
        _back_with("slope first"),
        "slope and state of one step's end. z + h k z begins at which z?",
    ),
    "one step": (
        _back_with("one step"),
        "the share of k in one step only. In how many does it take part?",
    ),
    "in forward order": (
        _back_with("in forward order"),
        "steps in forward order. Which one met the slope first?",
    ),
    "swapped": (
        lambda k, z0, steps: aca_gradient(k, z0, steps)[::-1],
        "right numbers. In which order were the two asked for?",
    ),
}


def _check_gradient(ask: Answer) -> str | None:
    what = "two numbers, (dL/dz0, dL/dk)"
    for k, z0, steps in (
        (-1.0, 1.5, [0.1, 0.2, 0.4, 0.5]),
        (0.7, -2.0, [0.5, 0.3, 0.2]),
        (-2.0, 3.0, [0.5, 0.25]),
        (1.2, 0.4, [1.0]),
    ):
        seen = f"k = {k}, z0 = {z0} and steps {steps}"
        told = seen + " (the first makes z 0)" if 1 + steps[0] * k == 0 else seen
        with torch.no_grad():
            items = as_items(ask(k, z0, steps, seen=f"{told}, autograd off"), 2, what)
        got = [as_number(item, what) for item in items]
        right = aca_gradient(k, z0, steps)
        if not close(got, right):
            which = "dL/dk" if close(got[0], right[0]) else "dL/dz0"
            return f"for {seen} you give {got[0]:.4g} and {got[1]:.4g}: " + (
                name_mistake(got, (k, z0, steps), GRADIENT_MISTAKES)
                or f"autograd through these steps has another {which}. Try one step on paper"
            )
    return None


GRADIENT = Exercise(
    id="05.4",
    title="Back over the steps that were made",
    question=(
        "The adjoint method keeps nothing: it solves z back from where it ended, and a way back "
        "need not meet the way there; for a decay it runs off. The adaptive checkpoint adjoint "
        "keeps the state at each accepted step and goes back over these. Do it by hand for one "
        "number: z' = k z, Euler steps z + h k z of the lengths `steps`, loss L = z(T)^2.\n\n"
        "Write `aca_gradient(k, z0, steps)`: two floats and a list of floats. Walk forwards and "
        "store the states; then go back, last step first, by the chain rule and without autograd. "
        "Return `(dL/dz0, dL/dk)`, exact for the z(T) that was *computed*, not for the true "
        "solution. Mind that k takes part in every step."
    ),
    stub='''def aca_gradient(k, z0, steps):
    """Gradient of z(T)^2 by z0 and by k, back over the stored states of the Euler steps."""
    ...''',
    hints=(
        "One step, new = z + h k z: what is the derivative of new by z, and by k?",
        "Carry the slope dL/dz backwards, from 2 z(T) at the end; each step multiplies it by "
        "1 + h k.",
        "Each step adds (slope at its end) * h * (stored z at its start) to dL/dk, before the "
        "slope is multiplied.",
        "`for h, z in zip(reversed(steps), reversed(states[:-1])):` pairs each step with the state "
        "it began from.",
    ),
    reference=aca_gradient,
    diagnose=_check_gradient,
    lesson="It is the exact derivative of what was computed, to rounding, however long the steps.",
)

EXERCISES = (CHAIN, GRADIENT)
