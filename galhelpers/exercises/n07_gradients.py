"""Exercises of unit 07 on gradients: back over the steps that were made, for any f and by hand."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    NotYet,
    as_items,
    close,
    compare,
    describe,
    edited,
)

# 07.1 --------------------------------------------------------------------------------------------


def aca_euler(
    f: nn.Module, y0: Tensor, n: int, slope_at: Callable[[Tensor], Tensor]
) -> tuple[Tensor, list[Tensor]]:
    """Gradient by y0 and by each parameter of f, back over the kept states of n Euler steps."""
    h, states = 1 / n, [y0]
    with torch.no_grad():
        for i in range(n):
            states.append(states[-1] + h * f(i * h, states[-1]))
    slope, by_params = slope_at(states[-1]), [torch.zeros_like(p) for p in f.parameters()]
    for i in reversed(range(n)):
        y = states[i].detach().requires_grad_()
        pull, *shares = torch.autograd.grad(f(i * h, y), [y, *f.parameters()], h * slope)
        slope = slope + pull
        by_params = [total + share for total, share in zip(by_params, shares, strict=True)]
    return slope, by_params


ACA_MISTAKES = edited(aca_euler, {
    "slope = slope + pull => slope = pull":
        "the new state is y plus a step: it depends on y twice. What became of the first?",
    "slope = slope + pull => slope = slope - pull":
        "the step was added to the state; its share is subtracted. Are you solving backwards?",
    "slope = slope + pull => slope = slope":
        "the slope by the state is the same before and after every step. Does f not bend the way?",
    "h * slope) => slope)":
        "every share is as large as if the step were of length 1: the new state is y + h f",
    "slope_at(states[-1]) => slope_at(states[0])":
        "you begin with the slope of the loss at y0. The loss is a function of the last state",
    "slope_at(states[-1]) => states[-1]":
        "you begin with the last state itself. slope_at(state) gives the derivative of the loss",
    "total + share for => share for":
        "the gradient by the parameters is that of the first step alone. Each step has its share",
    "total + share for => total - share for":
        "the shares of the parameters are subtracted",
})  # fmt: skip


class _Watched(nn.Module):
    """A small right-hand side that notes when it was asked for what, and with which graph."""

    def __init__(self, seed: int, width: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        self.mix = nn.Parameter(torch.tensor(rng.normal(size=(width, width))))
        self.push = nn.Parameter(torch.tensor(rng.normal(size=width)))
        self.times: list[float] = []
        self.states: list[Tensor] = []
        self.continued: list[bool] = []

    def forward(self, t: Any, y: Tensor) -> Tensor:
        """Give a slope of the shape of y, (batch, width)."""
        self.times.append(float(t))
        self.states.append(y.detach().clone())
        self.continued.append(y.grad_fn is not None)
        return torch.tanh(y @ self.mix + t * self.push)


def _slope(y: Tensor) -> Tensor:
    return 2 * (y - 0.3)  # of the sum of (y - 0.3) squared


_WHAT = "two things, (gradient by y0, list of gradients by each parameter)"


def _check_aca(ask: Answer) -> str | None:
    cases = ((4, 1, (2, 3), "n = 4"), (1, 2, (2, 3), "n = 1"), (6, 3, (4, 2), "n = 6"))
    for n, seed, shape, seen in cases:
        rng = np.random.default_rng(70 + seed)
        y0 = torch.tensor(rng.normal(size=shape))
        before, f = y0.clone(), _Watched(seed, shape[1])
        named = f"a small network as f, y0 of shape {shape} and {seen}"
        got = ask(f, y0, n, _slope, copied=False, seen=named)
        if not torch.equal(y0, before):
            return "y0 is not what it was before the call: += writes into what it is given"
        wrong = _check_way(f, n, y0, seen) or _check_gradients(got, seed, shape, n, seen)
        if wrong:
            return wrong
    return None


def _check_way(f: _Watched, n: int, y0: Tensor, seen: str) -> str | None:
    """Look at when f was asked: n times forwards, n times backwards, from kept states."""
    begins, asked = np.arange(n) / n, f.times
    if len(asked) == n or any(f.continued):
        return (
            f"for {seen} autograd recorded the whole way and went back through it: that is the "
            "direct gradient, which keeps everything. Walk forwards under torch.no_grad(), and "
            "make each kept state a new leaf: states[i].detach().requires_grad_()"
        )
    if len(asked) != 2 * n:
        return f"for {seen} you asked f {len(asked)} times: n forwards and n backwards are enough"
    if not close(asked[:n], begins):
        return (
            f"for {seen} you asked f forwards at t = {np.round(asked[:n], 3).tolist()}. Step i "
            "begins at i / n"
        )
    if n > 1 and close(asked[n:], begins):
        return f"for {seen} you went back with the first step first. Which one met the slope first?"
    if close(asked[n:], begins[::-1] + 1 / n):
        return (
            f"for {seen} you asked f on the way back where each step ends. That is the adjoint; "
            "the step was made with f where it *begins*"
        )
    if not close(asked[n:], begins[::-1]):
        return (
            f"for {seen} you asked f on the way back at t = {np.round(asked[n:], 3).tolist()}, not "
            "where the steps begin, the last one first"
        )
    if not all(close(*two) for two in zip(f.states[n:], f.states[:n][::-1], strict=True)):
        return (
            f"for {seen} the states on the way back are not those of the way there. They were "
            "kept: use states[i], where step i began"
        )
    return None


def _near(one: Tensor, other: Tensor) -> bool:
    return close(one.detach(), other.detach())


def _check_gradients(got: Any, seed: int, shape: tuple[int, ...], n: int, seen: str) -> str | None:
    y0 = torch.tensor(np.random.default_rng(70 + seed).normal(size=shape))
    by_state, by_params = as_items(got, 2, _WHAT) if isinstance(got, tuple | list) else (None, None)
    if not isinstance(by_params, tuple | list) or len(by_params) != 2:
        raise NotYet(f"expected {_WHAT}, here one tensor and a list of two, got {describe(got)}")
    given = [by_state, *by_params]
    right_state, right_params = aca_euler(_Watched(seed, shape[1]), y0, n, _slope)
    right = [right_state, *right_params]
    for name, one, other in zip(("y0", "f.mix", "f.push"), given, right, strict=True):
        if not isinstance(one, Tensor) or one.shape != other.shape:
            raise NotYet(
                f"expected a tensor of shape {tuple(other.shape)} as the gradient by {name}, got "
                f"{describe(one)}"
            )
    if all(_near(*two) for two in zip(given, right, strict=True)):
        return None
    for mistake, words in ACA_MISTAKES.values():
        state, params = mistake(_Watched(seed, shape[1]), y0, n, _slope)
        if all(_near(*two) for two in zip(given, [state, *params], strict=True)):
            return f"for {seen}, {words}"
    places = zip(("y0", "f.mix", "f.push"), given, right, strict=True)
    name, one, other = next(place for place in places if not _near(*place[1:]))
    return (
        f"for {seen} the gradient by {name} begins with {one.flatten()[0].item():.4f}, where "
        f"{other.flatten()[0].item():.4f} is right"
    )


ACA = Exercise(
    id="07.1",
    title="The adaptive checkpoint adjoint in ten lines",
    question=(
        "Write `aca_euler(f, y0, n, slope_at)`: `f(t, y)` is a `torch.nn.Module` that gives the "
        "slope of a state `y`, a tensor; take `n` Euler steps from `y0` at t = 0 to t = 1 without "
        "recording anything, and keep the states. Then go back over exactly these steps, the last "
        "one first. `slope_at(y)` gives dL/dy at the end. Return `(by_y0, by_params)`: the "
        "gradient by `y0`, and a list with that by each of `f.parameters()`. Ask `f` `n` times on "
        "the way there and `n` times on the way back.\n\n"
        "`adjoint_euler` above has all that you need: replace the state that it solves backwards "
        "by the kept one, and the time at which it asks `f` by that at which the step began. With "
        "f(t, y) = y, y0 = 1, n = 2 and L = y(1) the gradient by y0 is 1.5 times 1.5, "
        "`2.25`."
    ),
    hints=(
        "Forwards: `states = [y0]`, and under `torch.no_grad()` append `states[-1] + h * f(i * h, "
        "states[-1])` for each i.",
        "Backwards, for `i in reversed(range(n))`: `y = states[i].detach().requires_grad_()` is "
        "where step i began.",
        "The step was y + h f(t, y). Its derivative by y, times the slope at its end, is slope + "
        "(what `torch.autograd.grad(f(i * h, y), [y, *f.parameters()], h * slope)` gives for y).",
        "Add up the shares of the parameters over the steps, then return the slope at the start.",
    ),
    reference=aca_euler,
    diagnose=_check_aca,
    lesson=(
        "It equals odeint(..., gradient='aca', method='euler') to rounding, keeps n + 1 states, "
        "and its gradient is that of the steps that were made."
    ),
)

# 07.4 --------------------------------------------------------------------------------------------


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


_BACK = "for h, z in zip(reversed(steps), reversed(states[:-1]), strict=True):"
GRADIENT_MISTAKES = edited(aca_gradient, {
    "return slope, by_k => end = z0 * np.exp(k * sum(steps))\n    "
    "return 2 * end**2 / z0, 2 * sum(steps) * end**2":
        "the gradient of the true solution. Whose loss was computed, its or Euler's?",
    "2 * states[-1] => states[-1] ** 2":
        "you start from L itself. What is the derivative of z(T)^2 by z(T)?",
    "2 * states[-1] => states[-1]": "half of it. What is the derivative of a square?",
    f"{_BACK} => z = states[-1]\n    for h in reversed(steps):\n        z = z - h * k * z":
        "states solved back from z(T). They were stored on the way: use them",
    "slope * h * z => slope * (1 + h * k) * h * z":
        "slope and state of one step's end. z + h k z begins at which z?",
    "by_k += => by_k =": "the share of k in one step only. In how many does it take part?",
    f"{_BACK} => for h, z in zip(steps, states[:-1], strict=True):":
        "steps in forward order. Which one met the slope first?",
    "slope * h * z => slope * z":
        "a share of k that does not know the step's length. What is z + h k z by k?",
})  # fmt: skip


def _check_gradient(ask: Answer) -> str | None:
    def asked(otherwise: str, *cases: tuple[float, float, list[float]]) -> str | None:
        seen = {
            f"k = {k}, z0 = {z0} and steps {steps}"
            + (" (the first makes z 0)" if 1 + steps[0] * k == 0 else "")
            + ", autograd off": (k, z0, steps)
            for k, z0, steps in cases
        }
        what, parts = "two numbers, (dL/dz0, dL/dk)", ("dL/dz0", "dL/dk")
        with torch.inference_mode():  # unlike no_grad, enable_grad does not undo it
            return compare(
                ask, aca_gradient, seen, GRADIENT_MISTAKES, what, parts, otherwise, rtol=1e-5
            )

    return asked(
        "autograd through these steps gives that",
        (-1.0, 1.5, [0.1, 0.2, 0.4, 0.5]),
        (0.7, -2.0, [0.5, 0.3, 0.2]),
        (-2.0, 3.0, [0.5, 0.25]),
        (1.2, 0.4, [1.0]),
        (0.7, 0.0, [0.5, 0.3]),
        (0.0, 2.0, [0.5, 0.25]),
    ) or asked(
        "a difference quotient? No eps is small for every k; the chain rule has none",
        (-2e-9, 3.0, [1e8, 2e8, 3e8]),  # a decay by 2e-9 a year, over millions of years
    )


GRADIENT = Exercise(
    id="07.4",
    title="The same by hand, for one number",
    question=(
        "Write `aca_gradient(k, z0, steps)` for one number z that follows z' = k z, by Euler steps "
        "z + h k z of the lengths `steps`, and the loss L = z(T)^2: `k` and `z0` are floats (0 is "
        "allowed), `steps` is a list of floats. Walk forwards and store the states; then go back, "
        "last step first, by the chain rule and without autograd. Return `(dL/dz0, dL/dk)`, exact "
        "for the z(T) that was *computed*, not for the true solution. "
        "`aca_gradient(2.0, 3.0, [0.5])` gives `(24.0, 18.0)`."
    ),
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

EXERCISES = (ACA, GRADIENT)
