"""Answers to the exercises of n06_euler_steps.py: wrong ones, and other right ones."""

import functools

import numpy as np
import torch

from galhelpers.exercises.exercise import edited
from galhelpers.exercises.n06_euler_steps import euler_chain


def _clock(f, y0, n):
    y, t = y0, 0.0
    while t < 1:
        y, t = y + f(t, y) / n, t + 1 / n
    return y


def _in_place(f, y0, n):
    y = y0
    for i in range(n):
        if isinstance(y, np.ndarray):
            y += f(i / n, y) / n
        else:
            y = y + f(i / n, y) / n
    return y


def _twice_for_tensors(f, y0, n):
    y = y0
    for i in range(n):
        y = y + (f(i / n, y) if torch.is_tensor(y) else 0) * 0 + f(i / n, y) / n
    return y


def _through_numpy(f, y0, n):
    if not torch.is_tensor(y0):
        return euler_chain(f, y0, n)
    slope = lambda t, y: f(t, torch.from_numpy(y)).detach().numpy()  # noqa: E731
    return torch.from_numpy(euler_chain(slope, y0.detach().numpy(), n))


def _for_tensors(change):
    """Change what a tensor leads to; numbers and arrays stay right."""

    def chain(f, y0, n):
        end = euler_chain(f, y0, n)
        return change(end) if torch.is_tensor(end) else end

    return chain


def _by_heun(f, y, n):
    for i in range(n):
        k1 = f(i / n, y)
        y = y + (k1 + f((i + 1) / n, y + k1 / n)) / 2 / n
    return y


CHAINS = edited(euler_chain, {
    "y = y + => y =": "what became of its input",
    "i * h => i": "the numbers of the steps",
    "i * h => (i + 1) * h": "where each step ends",
    "i * h => 0": "begins where the one before it ended",
    "h * f( => f(": "as if each were the whole",
    "h, y) => h, y0)": "Has the state not moved on",
    "range(n) => range(min(n, 6)); 1 / n => 1 / min(n, 6)": "Once in each",
    "y = y + => y +=": "is not what it was before",
    "= y0, => = y0 * 1,; y = y + => y +=": "back-propagation fails",
    "return y => return y.detach() if torch.is_tensor(y) else y": "cut your result off",
    "= y + => = (y.detach() if torch.is_tensor(y) and i else y) +": "a part of the way only",
    "= y0, => = (y0.detach() if torch.is_tensor(y0) else y0),": "the layers before",
})  # fmt: skip

WRONG = {
    "06.1": CHAINS
    | {
        "Heun": (_by_heun, "you asked f 8 times"),
        "a clock of floats": (_clock, "count the steps, not the time"),
        "one step is none": (
            lambda f, y0, n: euler_chain(f, y0, n) if n > 1 else y0,
            "with n = 1 you end at",
        ),
        "twice for tensors": (_twice_for_tensors, "each costs a network"),
        "tensors elsewhere": (_for_tensors(lambda y: y + 1), "but a tensor ends at"),
    },
}


def _euler_by_recursion(f, y0, n):
    steps = [(i / n, 1 / n) for i in range(n)]
    go = lambda y, rest: go(y + rest[0][1] * f(rest[0][0], y), rest[1:]) if rest else y  # noqa: E731
    return go(y0, steps)


def _euler_with_torch_times(f, y0, n):
    y = y0 * 1
    for t in torch.linspace(0, 1, n + 1)[:-1]:
        y = y + f(t, y) / n
    return y


REFUSED = {
    "06.1": [
        _in_place,
        _through_numpy,
        _for_tensors(torch.flatten),
        _for_tensors(lambda y: y.detach().requires_grad_()),
        lambda f, y0, n: [euler_chain(f, y0, i) for i in range(n + 1)],
        lambda f, y0, n: euler_chain(f, y0, 4),
        lambda f, y0, n: euler_chain(f, y0, n - 1) if n > 1 else euler_chain(f, y0, n),
        lambda f, y0, n: euler_chain(lambda t, y: f((t * n + 0.5) / n, y), y0, n),
        lambda f, y0, n: euler_chain(lambda t, y: f(round(t, 1), y), y0, n),
        lambda f, y0, n: euler_chain(lambda t, y: f(t * n // n, y), y0, n),
        lambda f, y0, n: euler_chain(lambda t, y: f(t * n / max(n - 1, 1), y), y0, n),
        lambda f, y0, n: euler_chain(lambda t, y: f(y, t), y0, n),
        lambda f, y0, n: euler_chain(lambda t, y: -f(t, y), y0, n),
        lambda f, y0, n: torch.no_grad()(euler_chain)(f, y0, n),
        lambda f, y0, n: y0 + sum(f(i / n, y0) for i in range(n)) / n,
    ],
}


def _euler_by_reduce(f, y0, n):
    return functools.reduce(lambda y, i: y + f(i / n, y) * (1 / n), range(n), y0)


RIGHT = {
    "06.1": [_euler_by_recursion, _euler_with_torch_times, _euler_by_reduce],
}
