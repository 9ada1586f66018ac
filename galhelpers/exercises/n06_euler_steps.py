"""Exercises of notebook 06 on Euler's steps, as residual blocks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    as_array,
    as_number,
    close,
    describe,
)

Slope = Callable[[Any, Any], Any]

# 06.1 --------------------------------------------------------------------------------------------


def euler_chain(f: Slope, y0: Any, n: int) -> Any:
    """State at t = 1 after n equal Euler steps from y0 at t = 0; shape of y0."""
    y, h = y0, 1 / n
    for i in range(n):
        y = y + h * f(i * h, y)
    return y


def _driven(t: Any, y: Any) -> Any:
    return 2 + 3 * t - y  # from 0.5 it leads to 2 + 1.5 / e


def _noted(slope: Slope) -> tuple[Slope, list[float]]:
    """Give the same function, and the times at which it is going to be asked."""
    times: list[float] = []

    def noted(t: Any, y: Any) -> Any:
        times.append(float(t))
        return slope(float(t), y)

    return noted, times


def _check_chain(ask: Answer) -> str | None:
    problem = "y' = 2 + 3t - y with y(0) = 0.5"

    def end(n: int, slope: Slope = _driven) -> float:
        seen = f"{problem} and n = {n}"
        return as_number(ask(slope, 0.5, n, seen=seen), "one number, the state at t = 1")

    one = end(1)
    if close(one, 1.5):
        return (
            f"for {problem} one step ends at 1.5, which is f(0, 0.5). A residual block gives more "
            "than F(x): what became of its input?"
        )
    slope, times = _noted(_driven)
    four = end(4, slope)
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
    if not close(four, euler_chain(_driven, 0.5, 4)):
        return (
            f"for {problem} 4 steps end at {four:.4f}. The first of them goes a quarter along the "
            "slope 1.5, from 0.5 to 0.875. And the next?"
        )
    if not close(one, 2):
        return f"4 steps are right, but with n = 1 you end at {one:.4f}, not at 2"
    return _check_other_n(ask) or _check_array(ask) or _check_graph(ask)


def _check_other_n(ask: Answer) -> str | None:
    """Ask for numbers of steps whose length is no exact float, where a sum of lengths is not 1."""
    for n in (1, 2, 3, 10, 49, 200):
        slope, times = _noted(_driven)
        seen = f"y0 = 0.5 and n = {n}"
        got = as_number(ask(slope, 0.5, n, seen=seen), "one number, the state at t = 1")
        if len(times) != n:
            told = f"4 steps are right, but with n = {n} you asked f {len(times)} times. "
            return told + (
                "Ten times 0.1 is not quite 1 in floats: count the steps, not the time"
                if len(times) == n + 1
                else "Once in each step was asked for"
            )
        if not close(times, np.arange(n) / n) or not close(got, euler_chain(_driven, 0.5, n)):
            return (
                f"4 steps are right, but with n = {n} you end at {got:.4f}, not at "
                f"{euler_chain(_driven, 0.5, n):.4f}. What do you do that holds for 4 only?"
            )
    return None


def _check_array(ask: Answer) -> str | None:
    start = np.array([[1.0, -2.0, 0.5], [0.3, 0.0, 4.0]])

    def turned(t: Any, y: Any) -> Any:
        return np.roll(y, 1) * y + t

    slope, times = _noted(turned)
    y0 = start.copy()
    got = ask(slope, y0, 3, copied=False, seen="an array of shape (2, 3) and n = 3")
    if not np.array_equal(y0, start):
        return "y0, an array, is not what it was before the call: += writes into what it is given"
    if len(times) != 3:
        return f"for an array of shape (2, 3) you asked f {len(times)} times in 3 steps"
    if np.shape(got) != start.shape:
        return f"for an array of shape (2, 3) you give {describe(got)}. Which shape has a state?"
    got = as_array(got, start.shape)
    if not close(got, euler_chain(turned, start, 3)):
        return "numbers are right, but not an array of shape (2, 3). Give f the whole state at once"
    return None


def _check_graph(ask: Answer) -> str | None:
    weight = torch.tensor(0.7, requires_grad=True)
    stem = torch.tensor(1.0, requires_grad=True)  # stands for the layers before: they give y0
    start = stem * torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.0, 4.0]])

    def network(t: Any, y: torch.Tensor) -> torch.Tensor:
        return torch.tanh(weight * y) + t

    slope, times = _noted(network)
    y0 = start * 1
    got = ask(slope, y0, 3, copied=False, seen="a network as f and a tensor of shape (2, 3)")
    if not torch.equal(y0, start):
        return "y0, a tensor, is not what it was before the call: += writes into what it is given"
    if not isinstance(got, torch.Tensor) or got.shape != start.shape:
        return f"for a tensor of shape (2, 3) you give {describe(got)}. Which shape has a state?"
    if len(times) != 3:
        return f"for a tensor you asked f {len(times)} times in 3 steps, and each costs a network"
    right = euler_chain(network, start, 3)
    if not close(got.detach(), right.detach()):
        return (
            f"numbers and arrays are right, but a tensor ends at {got.flatten()[0].item():.3f} in "
            f"its first place, not at {right.flatten()[0].item():.3f}"
        )
    wanted = torch.autograd.grad(right.square().sum(), (weight, stem), retain_graph=True)
    try:
        by_weight, by_stem = torch.autograd.grad(
            got.square().sum(), (weight, stem), allow_unused=True
        )
    except RuntimeError:
        if got.requires_grad:
            return (
                "back-propagation fails: the graph needs the states of all steps, and one was "
                "overwritten. y = y + ... makes a new tensor each time"
            )
        by_weight = None
    if by_weight is None:
        return "no gradient reaches the weights inside f: what cut your result off the graph?"
    if not close(by_weight.item(), wanted[0].item()):
        return (
            f"the gradient of the weight inside f is {by_weight.item():.3f}, not "
            f"{wanted[0].item():.3f}: it comes from a part of the way only. Is a state detached "
            "between the steps?"
        )
    if by_stem is None or not close(by_stem.item(), wanted[1].item()):
        return (
            "the weights inside f learn, but no right gradient reaches y0, so the layers before "
            "the chain would not. Was y0 detached, or copied into a new tensor?"
        )
    return None


CHAIN = Exercise(
    id="06.1",
    title="A residual block is an Euler step",
    question=(
        "A residual block adds to its input: `x + F(x)`. Six blocks in a row make six strides from "
        "the first features to the last. Read `6 F` as the slope of a state that flows from t = 0 "
        "to t = 1, and the strides are Euler steps. Take more and shorter ones, and they become a "
        "curve, the solution of y' = f(t, y). A network that asks for the curve, and leaves the "
        "steps to a solver, is a neural ODE.\n\n"
        "Write `euler_chain(f, y0, n)`: `f(t, y)` gives the slope, in the shape of `y`; `y0` is "
        "the state at t = 0, a float, or an array or torch tensor of floats. Take `n` equal Euler "
        "steps and ask `f` once in each, where it begins. Return the state at t = 1. Leave `y0` "
        "unchanged, and let gradients flow into `f` and back to `y0`. `euler_chain(lambda t, y: y, "
        "1.0, 2)` gives `2.25`."
    ),
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

EXERCISES = (CHAIN,)
