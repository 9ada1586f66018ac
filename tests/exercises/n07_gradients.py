"""Answers to the exercises of n07_gradients.py: wrong ones, and other right ones."""

import functools

import numpy as np
import torch

from galhelpers.exercises.exercise import edited
from galhelpers.exercises.n07_gradients import (
    ACA_MISTAKES,
    GRADIENT_MISTAKES,
    aca_euler,
    aca_gradient,
)


def _without_chain_rule(k, z0, steps):
    states = [z0]
    for h in steps:
        states.append(states[-1] + h * k * states[-1])
    slope = 2 * states[-1]
    return slope, slope * sum(h * z for h, z in zip(steps, states, strict=False))


def _by_autograd(k, z0, steps):
    pair = torch.tensor([z0, k], dtype=torch.float64, requires_grad=True)
    z = pair[0]
    for h in steps:
        z = z + h * pair[1] * z
    return torch.autograd.grad(z**2, pair)[0].tolist()


def _end(k, z0, steps):
    return z0 * np.prod([1 + h * k for h in steps]).item()


def _quotients(eps, k, z0, steps):
    by_z0 = _end(k, z0 + eps, steps) ** 2 - _end(k, z0 - eps, steps) ** 2
    by_k = _end(k + eps, z0, steps) ** 2 - _end(k - eps, z0, steps) ** 2
    return by_z0 / 2 / eps, by_k / 2 / eps


def _direct(f, y0, n, slope_at):
    """Right numbers, but the graph of all steps is kept."""
    start = y0.detach().requires_grad_()
    y = start
    for i in range(n):
        y = y + f(i / n, y) / n
    by_y0, *by_params = torch.autograd.grad(y, [start, *f.parameters()], slope_at(y.detach()))
    return by_y0, by_params


def _adjoint(f, y0, n, slope_at):
    h, y = 1 / n, y0
    with torch.no_grad():
        for i in range(n):
            y = y + h * f(i * h, y)
    slope, by_params = slope_at(y), [torch.zeros_like(p) for p in f.parameters()]
    for i in reversed(range(n)):
        here = y.detach().requires_grad_()
        value = f((i + 1) * h, here)
        pull, *shares = torch.autograd.grad(value, [here, *f.parameters()], h * slope)
        y, slope = here - h * value, slope + pull
        by_params = [a + b for a, b in zip(by_params, shares, strict=True)]
    return slope, by_params


def _solved_back(f, y0, n, slope_at):
    """The adjoint's states, asked for where the steps begin."""
    shifted = lambda t, y: f(t - 1 / n if len(f.times) >= n else t, y)  # noqa: E731
    shifted.parameters = f.parameters
    return _adjoint(shifted, y0, n, slope_at)


WAYS = edited(aca_euler, {
    "in reversed(range(n)) => in range(n)": "the first step first",
    "f(i * h, y), => f((i + 1) * h, y),": "where each step ends",
    "f(i * h, y), => f(0, y),": "where the steps begin, the last one first",
    "f(i * h, states[-1]) => f(i, states[-1])": "Step i begins at i / n",
    "f(i * h, states[-1]) => f(i * h, states[-1].clone()); no_grad => enable_grad":
        "the direct gradient",
    "states[i].detach() => states[i + 1].detach()": "are not those of the way there",
    "        y = states[i] =>         f(0, y0)\n        y = states[i]": "n backwards are enough",
    "return slope, by_params => return slope": "expected two things",
    "return slope, by_params => return by_params, slope": "expected two things",
    "return slope, by_params => return slope, by_params[:1]": "expected two things",
    "return slope, by_params => return slope.sum(0), by_params": "shape (2, 3)",
    "return slope, by_params => return slope, [2 * p for p in by_params]": "where",
})  # fmt: skip

WRONG = {
    "07.1": ACA_MISTAKES
    | WAYS
    | {
        "direct": (_direct, "the direct gradient"),
        "adjoint": (_adjoint, "That is the adjoint"),
        "solved back": (_solved_back, "are not those of the way there"),
        "in place": (
            lambda f, y0, n, slope_at: aca_euler(f, y0.add_(1), n, slope_at),
            "is not what it was before",
        ),
    },
    "07.4": GRADIENT_MISTAKES
    | {
        "difference quotient": (lambda *x: _quotients(1e-6, *x), "a difference quotient"),
        "autograd switched on": (
            torch.enable_grad()(lambda k, z0, steps: _by_autograd(k, z0, steps)),
            "raised RuntimeError: element 0",
        ),
        "divided by z0": (
            lambda k, z0, steps: (2 * _end(k, z0, steps) ** 2 / z0, aca_gradient(k, z0, steps)[1]),
            "raised ZeroDivisionError",
        ),
        "no chain rule": (_without_chain_rule, "as the dL/dz0"),
        "swapped": (lambda *x: aca_gradient(*x)[::-1], "in the other order"),
        "one derivative": (lambda k, z0, steps: aca_gradient(k, z0, steps)[0], "expected two"),
    },
}


def _derivatives_carried_forward(k, z0, steps):
    z, by_z0, by_k = z0, 1.0, 0.0
    for h in steps:
        z, by_z0, by_k = z + h * k * z, by_z0 * (1 + h * k), by_k * (1 + h * k) + h * z
    return np.array([2 * z * by_z0, 2 * z * by_k])


REFUSED = {
    "07.1": [
        lambda f, y0, n, slope_at: aca_euler(f, y0, n, lambda y: -slope_at(y)),
        lambda f, y0, n, slope_at: aca_euler(f, y0, n, lambda y: slope_at(y).sign()),
        lambda f, y0, n, slope_at: aca_euler(f, y0, min(n, 4), slope_at),
        lambda f, y0, n, slope_at: (slope_at(y0), [p.detach() for p in f.parameters()]),
        lambda f, y0, n, slope_at: _direct(f, y0, n, slope_at)[0],
    ],
    "07.4": [
        lambda k, z0, steps: aca_gradient(k, z0, [sum(steps) / len(steps)] * len(steps)),
        lambda k, z0, steps: aca_gradient(k, z0, [sum(steps)]),
        lambda k, z0, steps: aca_gradient(k, z0, steps[:3]),
        lambda k, z0, steps: aca_gradient(-k, z0, steps),
        lambda k, z0, steps: aca_gradient(k, abs(z0), steps),
        lambda k, z0, steps: aca_gradient(z0, k, steps),
        lambda k, z0, steps: _quotients(1e-4, k, z0, steps),
        lambda k, z0, steps: (
            aca_gradient(k, z0, steps)[0],
            2 * sum(steps) * _end(k, z0, steps) ** 2,
        ),
        lambda k, z0, steps: (2 * _end(k, z0, steps), aca_gradient(k, z0, steps)[1]),
        lambda k, z0, steps: (aca_gradient(k, z0, steps)[0], k * aca_gradient(k, z0, steps)[1]),
    ],
}


def _back_by_torch(k, z0, steps):
    """Slopes as a product from behind, in double precision, and without autograd."""
    factors = 1 + torch.tensor(steps, dtype=torch.float64) * k
    states = z0 * torch.cat([torch.ones(1, dtype=torch.float64), factors.cumprod(0)])
    after = factors.flip(0).cumprod(0).flip(0)
    after = torch.cat([after[1:], torch.ones(1, dtype=torch.float64)])
    slopes = 2 * states[-1] * after
    by_k = (slopes * torch.tensor(steps, dtype=torch.float64) * states[:-1]).sum()
    return 2 * states[-1] * factors.prod(), by_k


def _aca_with_backward(f, y0, n, slope_at):
    """Gradients that gather in .grad, as a training step has them."""
    with torch.no_grad():
        walk = functools.reduce(lambda s, i: [*s, s[-1] + f(i / n, s[-1]) / n], range(n), [y0])
    slope = slope_at(walk[-1])
    f.zero_grad()
    for i, start in zip(range(n - 1, -1, -1), walk[-2::-1], strict=True):
        leaf = start.clone().requires_grad_()
        (leaf + f(i / n, leaf) / n).backward(slope)
        slope = leaf.grad
    return slope, tuple(p.grad for p in f.parameters())


RIGHT = {
    "07.1": [_aca_with_backward],
    "07.4": [_derivatives_carried_forward, _back_by_torch],
}
