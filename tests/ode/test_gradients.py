"""Values and gradients of the ODE solver; its steps, costs and errors are in test_steps.py."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from galhelpers.ode import Statistics, StepMemory, odeint, odeint_aca
from galhelpers.ode.methods import TABLEAUS

ADAPTIVE = ("adaptive_heun", "bosh3", "dopri5")
EQUAL = ("euler", "rk4")
MODES = ("steps", "stages", "graph")
in_every_mode = pytest.mark.parametrize("mode", MODES)


class Field(nn.Module):
    """A small network of time and state, with one weight that it does not use."""

    def __init__(self, n=4, dtype=torch.float64):
        super().__init__()
        torch.manual_seed(n)
        self.inner = nn.Linear(n + 1, 8, dtype=dtype)
        self.outer = nn.Linear(8, n, dtype=dtype)
        self.unused = nn.Parameter(torch.ones(2, dtype=dtype))
        self.seen = []

    def forward(self, t, y):
        self.seen.append(torch.is_autocast_enabled("cpu"))
        x = torch.cat([y, t.to(y).expand(y[..., :1].shape)], dim=-1)
        return 3 * self.outer(torch.tanh(self.inner(x)))


class Linear(nn.Module):
    """y' = k y."""

    def __init__(self, k):
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, t, y):
        return self.k * y


def plain(func, y, ends, times, method):
    """Take the given steps with plain operations, all of them recorded by autograd.

    States at times inside a step come from its stages, by the method's polynomials.
    """
    tableau, found = TABLEAUS[method], [y]
    for start, end in pairwise(ends):
        h, slopes = end - start, []
        for c, row in zip((0.0, *tableau.c), ((), *tableau.a), strict=True):
            place = y + sum(h * a * k for a, k in zip(row, slopes, strict=True))
            moment = torch.tensor(start + c * h, dtype=y.dtype)
            slopes.append(func(moment, place).to(y.dtype))
        for time in times:
            if min(start, end) < time < max(start, end):
                theta = (time - start) / h
                weights = [
                    sum(w * theta**p for p, w in enumerate(row, start=1)) for row in tableau.dense
                ]
                found.append(y + sum(h * b * k for b, k in zip(weights, slopes, strict=True)))
        y = y + sum(h * b * k for b, k in zip(tableau.b, slopes, strict=True))
        if end in times:
            found.append(y)
    return torch.stack(found)


def state(*shape, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


def loss(z):
    """Weigh every state differently, and not linearly."""
    weights = torch.linspace(-1, 2, z.numel(), dtype=z.dtype).reshape(z.shape)
    return (z * weights).sum() + 0.1 * z.pow(2).sum()


def gradients(z, *tensors):
    return torch.autograd.grad(loss(z), tensors, allow_unused=True)


def step_of(method, size=0.25):
    return {} if method in ADAPTIVE else {"step_size": size}


def assert_close(found, expected, rel):
    """Compare by norm; a gradient that is not there must be missing on both sides."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a is None) == (b is None)
        if b is not None:
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert (a - b).norm() <= rel * b.norm()


# Gradients against plain autograd ----------------------------------------------------------------


@in_every_mode
@pytest.mark.parametrize("times", [(0.0, 0.7, 1.1, 2.0), (1.5, 1.2, -0.4)], ids=["up", "down"])
@pytest.mark.parametrize(
    ("method", "remember"), [*((m, False) for m in TABLEAUS), *((m, True) for m in ADAPTIVE)]
)
def test_gradients_equal_autograd_through_the_same_steps(method, remember, times, mode):
    field, y0, stats = Field(), state(3, 4), Statistics()
    tolerance = 1e-6 if method == "dopri5" else 1e-3
    options = {"method": method, "rtol": tolerance, "atol": tolerance, "mode": mode}
    options |= step_of(method)
    if remember:
        options["memory"] = StepMemory()
        odeint_aca(field, 1.001 * y0.detach(), times, **options)
    elif method in ADAPTIVE:
        options["first_step"] = 5.0  # too long
    z = odeint_aca(field, y0, times, stats=stats, **options)
    wanted = plain(field, y0, stats.times, times, method)
    assert len(stats.times) > 1 + len(times)
    assert (stats.rejected > 0) == (method in ADAPTIVE and not remember)
    assert_close([z], [wanted], 1e-13)
    inputs = (y0, *field.parameters())
    found, expected = gradients(z, *inputs), gradients(wanted, *inputs)
    assert sum(g is None for g in expected) == 1  # the unused one
    assert_close(found, expected, 1e-12)


@in_every_mode
def test_a_loss_on_any_of_the_times_counts_once(mode):
    field, y0, stats, times = Field(), state(4), Statistics(), (0.0, 0.3, 0.5, 1.0)
    odeint_aca(field, y0, times, mode=mode, stats=stats)
    wanted = plain(field, y0, stats.times, times, "bosh3")
    for part in (0, 1, 2, 3, slice(0, 2), slice(1, None)):
        z = odeint_aca(field, y0, times, mode=mode)
        found = torch.autograd.grad(z[part].sum(), y0)
        expected = torch.autograd.grad(wanted[part].sum(), y0, retain_graph=True)
        assert_close(found, expected, 1e-12)


@in_every_mode
@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 2, 2), (0, 3)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ["adaptive_heun", "rk4"])
def test_states_of_any_shape(method, dtype, shape, mode):
    rate = torch.tensor(0.8, dtype=dtype, requires_grad=True)
    y0, stats, times = state(*shape, dtype=dtype), Statistics(), (0.0, 0.5, 1.0)
    options = step_of(method) | {"method": method, "mode": mode, "params": [rate]}

    def func(t, y):
        return -rate * y * torch.cos(3 * t)

    z = odeint_aca(func, y0, times, stats=stats, **options)
    assert z.shape == (3, *shape)
    assert z.dtype == dtype
    wanted = plain(func, y0, stats.times, times, method)
    rel = 1e-12 if dtype == torch.float64 else 1e-5
    assert_close(gradients(z, y0, rate), gradients(wanted, y0, rate), rel)


@in_every_mode
@pytest.mark.parametrize("method", TABLEAUS)
def test_a_function_of_another_precision(method, mode):
    """What it gives is rounded to the precision of the state before it is used."""
    field, y0, stats = Field(), state(4, dtype=torch.float32), Statistics()
    options = {"method": method, "mode": mode, "params": field.parameters()} | step_of(method)

    def exact(t, y):
        return field(t.double(), y.double())

    def rounded(t, y):
        return exact(t, y).float()

    z = odeint_aca(exact, y0, (0.0, 1.0), stats=stats, **options)
    assert z.dtype == torch.float32
    options["params"] = field.parameters()
    assert torch.equal(odeint_aca(rounded, y0, (0.0, 1.0), **options), z)
    inputs = (y0, *field.parameters())
    expected = gradients(plain(rounded, y0, stats.times, (1.0,), method), *inputs)
    assert_close(gradients(z, *inputs), expected, 1e-5)


@pytest.mark.parametrize("mode", ["steps", "stages"])  # gradcheck goes back more than once
@pytest.mark.parametrize("method", TABLEAUS)
def test_gradcheck(method, mode):
    # The tolerance is so loose that only the times asked for make steps: their lengths are fixed,
    # as the gradient takes them to be.
    field, grid = Field(n=2), (0.0, 0.2, 0.5, 0.6)
    options = step_of(method, 1.0)
    if method in ADAPTIVE:
        options = {"rtol": 1e6, "atol": 1e6, "first_step": 1.0}

    def solve(y0, *params):
        return odeint_aca(field, y0, grid, method=method, mode=mode, params=params, **options)

    params = [p for p in field.parameters() if p is not field.unused]
    assert torch.autograd.gradcheck(solve, (state(2), *params))


# What needs a gradient, and what does not --------------------------------------------------------


@in_every_mode
def test_who_gets_a_gradient(mode):
    field, y0, times = Field(), state(4), (0.0, 1.0)
    full = gradients(odeint_aca(field, y0, times, mode=mode), y0, *field.parameters())
    z = odeint_aca(field, y0.detach(), times, mode=mode)
    assert_close(gradients(z, *field.parameters()), full[1:], 1e-14)
    field.inner.requires_grad_(False)
    z = odeint_aca(field, y0, times, mode=mode)
    found = gradients(z, y0, field.unused, *field.outer.parameters())
    assert_close(found, full[:2] + full[4:], 1e-14)
    field.requires_grad_(False)
    assert_close(gradients(odeint_aca(field, y0, times, mode=mode), y0), full[:1], 1e-14)
    assert not odeint_aca(field, y0.detach(), times, mode=mode).requires_grad


@in_every_mode
def test_values_do_not_depend_on_recording(mode):
    field, y0 = Field(), state(4)
    recorded = odeint_aca(field, y0, (0.0, 1.0), mode=mode)
    assert recorded.requires_grad
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            silent = odeint_aca(field, y0, (0.0, 1.0), mode=mode)
        assert not silent.requires_grad
        assert torch.equal(silent, recorded)


@in_every_mode
def test_a_function_of_neither_state_nor_parameters(mode):
    y0, rate = state(3), torch.ones(3, dtype=torch.float64, requires_grad=True)
    options = {"mode": mode, "params": [rate]}
    z = odeint_aca(lambda t, y: torch.ones_like(y) * 2 * t, y0, (1.0, 2.0), **options)
    torch.testing.assert_close(z[1], y0 + 3, atol=1e-12, rtol=0)
    found = torch.autograd.grad(z[1].sum(), (y0, rate), allow_unused=True)
    assert torch.equal(found[0], torch.ones_like(y0))
    assert found[1] is None


@in_every_mode
def test_a_function_that_gives_its_own_input(mode):
    y0 = state(3)
    z = odeint_aca(lambda t, y: y, y0, (0.0, 1.0), mode=mode, params=[], rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(z[1], y0 * math.e, rtol=1e-6, atol=0)
    (found,) = torch.autograd.grad(z[1].sum(), y0)
    torch.testing.assert_close(found, (z[1] / y0).detach(), rtol=1e-12, atol=0)


@in_every_mode
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_integrated_in_single(dtype, mode):
    field, y0 = Field(dtype=torch.float32), state(3, 4, dtype=dtype)
    z, single = (odeint_aca(field, y, (0.0, 1.0), mode=mode) for y in (y0, y0.float()))
    assert z.dtype == torch.float32
    assert torch.equal(z, single)
    assert_close(
        gradients(z, y0, *field.parameters()), gradients(single, y0, *field.parameters()), 0
    )
    for gradient in ("direct", "adjoint"):
        assert odeint(field, y0, (0.0, 1.0), gradient=gradient).dtype == torch.float32


def test_parameters_are_found_or_named():
    field, y0, times = Field(), state(4), (0.0, 1.0)
    weights = list(field.parameters())
    expected = gradients(odeint_aca(field, y0, times), y0, *weights)
    for func, options in (
        (field.forward, {}),  # a bound method
        (lambda t, y: field(t, y), {"params": weights}),
        (lambda t, y: field(t, y), {"params": iter(weights)}),
    ):
        z = odeint_aca(func, y0, times, **options)
        assert_close(gradients(z, y0, *weights), expected, 1e-14)
    with pytest.raises(ValueError, match=r"Expected a torch.nn.Module.*params=\[\.\.\.\]"):
        odeint_aca(lambda t, y: -y, y0, times)


def test_a_parameter_named_twice():
    rate, y0 = torch.tensor(0.7, dtype=torch.float64, requires_grad=True), state(3)
    once, twice = (
        odeint_aca(lambda t, y: -rate * y, y0, (0.0, 1.0), params=[rate] * n) for n in (1, 2)
    )
    assert_close(gradients(twice, rate), gradients(once, rate), 1e-12)


@in_every_mode
def test_a_parameter_may_be_computed(mode):
    root = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    rate, y0, stats = root * root, state(3), Statistics()
    z = odeint_aca(
        lambda t, y: -rate * y, y0, (0.0, 1.0), mode=mode, params=[rate], stats=stats
    )  # fmt: skip
    wanted = plain(lambda t, y: -(root * root) * y, y0, stats.times, (1.0,), "bosh3")
    assert_close(gradients(z, root), gradients(wanted, root), 1e-12)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_times_of_any_kind(kind):
    field, y0 = Field(), state(4)
    expected = odeint_aca(field, y0, [0.0, 0.25, 1.0])
    assert torch.equal(odeint_aca(field, y0, kind([0.0, 0.25, 1.0])), expected)


@pytest.mark.parametrize(
    ("message", "change"),
    [
        ("at least two times", {"t": [0.0]}),
        ("at least two times", {"t": []}),
        ("all ascending or all descending", {"t": [0.0, 0.0]}),
        ("all ascending or all descending", {"t": [0.0, 1.0, 0.5]}),
        ("numbers 0 and 1 of 2, .* are 0.0 and nan", {"t": [0.0, math.nan]}),
        ("finite .* are 0.0 and inf", {"t": [0.0, math.inf]}),
        ("numbers 6998 and 6999 of 12,000", {"t": [*range(6999), 3, *range(7000, 12_000)]}),
        ("none of them twice; numbers 1 and 2 of 3", {"t": [0.0, 1.0, 1.0]}),
        ("none of them twice", {"t": torch.tensor([2.0, 2.0])}),
        ("at least two times .* got 1.0", {"t": 1.0}),
        (r"at least two times .* tensor\(1", {"t": torch.tensor(1.0)}),
        ("one dimension", {"t": torch.zeros(2, 2)}),
        ("got None", {"t": None}),
        ("at least two times", {"t": "01"}),
        ("got numpy.ndarray", {"y0": np.ones(3)}),
        ("got float", {"y0": 1.0}),
        ("sparse", {"y0": torch.ones(3).to_sparse()}),
        ("detach them", {"t": torch.tensor([0.0, 1.0], requires_grad=True)}),
        ("got torch.int64", {"y0": torch.ones(3, dtype=torch.int64)}),
        ("got torch.complex64", {"y0": torch.ones(3, dtype=torch.complex64)}),
        ("'stepss'", {"mode": "stepss"}),
        ("choose one of euler, rk4, adaptive_heun, bosh3, dopri5", {"method": "midpoint"}),
        ("give rtol and atol, not step_size", {"step_size": 0.1}),
        ("expected step_size > 0, got None", {"method": "rk4"}),
        ("expected step_size > 0, got -1", {"method": "euler", "step_size": -1}),
        ("expected step_size > 0, got 0", {"method": "euler", "step_size": 0}),
        ("expected step_size > 0, got nan", {"method": "euler", "step_size": math.nan}),
        ("expected step_size > 0, got inf", {"method": "euler", "step_size": math.inf}),
        ("direct, adjoint or aca, got 'acaa'", {"gradient": "acaa"}),
    ],
)
def test_arguments_that_make_no_sense(message, change):
    arguments = {"func": Linear(-1.0), "y0": torch.ones(3), "t": (0.0, 1.0)} | change
    with pytest.raises(ValueError, match=message):
        odeint(**arguments)


# The three gradients -----------------------------------------------------------------------------


@pytest.mark.parametrize("times", [(0.0, 0.5, 2.0), (1.0, 0.25)], ids=["up", "down"])
@pytest.mark.parametrize("method", EQUAL)
def test_equal_steps_are_those_of_torchdiffeq(method, times):
    field, y0 = Field(), state(2, 4)
    options = {"method": method, "step_size": 0.125}
    ours = odeint(field, y0, times, **options)
    theirs = odeint(field, y0, times, gradient="direct", **options)
    assert_close([ours], [theirs], 1e-12)
    inputs = (y0, *field.parameters())
    assert_close(gradients(ours, *inputs), gradients(theirs, *inputs), 1e-12)
    adjoint = odeint(field, y0, times, gradient="adjoint", **options)
    assert_close([adjoint], [theirs], 1e-12)


@pytest.mark.parametrize(
    ("method", "tolerance", "rel"),
    [
        ("adaptive_heun", 1e-5, 1e-3),
        ("bosh3", 1e-8, 1e-4),
        ("dopri5", 1e-9, 1e-7),
        ("rk4", 0, 1e-6),
    ],
)
def test_three_gradients_agree_when_the_solver_is_tight(method, tolerance, rel):
    field, y0, times = Field(), state(4), (0.0, 0.4, 1.0)
    field.unused.requires_grad_(False)
    inputs = [y0, *(p for p in field.parameters() if p.requires_grad)]
    options = {"method": method, "rtol": tolerance, "atol": tolerance} | step_of(method, 0.01)
    values, slopes = [], []
    for gradient in ("direct", "adjoint", "aca"):
        values.append(odeint(field, y0, times, gradient=gradient, **options))
        slopes.append(gradients(values[-1], *inputs))
    assert_close([values[1], values[2]], [values[0]] * 2, rel)
    assert_close([*slopes[1], *slopes[2]], [*slopes[0]] * 2, rel)


def consistency(gradient, k, horizon, tolerance, method="dopri5"):
    """Give z(T), the gradients of L = z(T)^2, and how well they fit the z(T) that was computed.

    Each step multiplies z by a number, so that z(T) is a multiple of z(0), and the exact gradient
    of the computed L is 2 L / z(0).
    """
    func, z0 = Linear(k), torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    options = {"gradient": gradient, "method": method, "rtol": tolerance, "atol": tolerance}
    if method in EQUAL:
        options = {"gradient": gradient, "method": method, "step_size": tolerance}
    final = odeint(func, z0, (0.0, horizon), **options)[-1]
    by_z0, by_k = torch.autograd.grad(final**2, (z0, func.k))
    exact = 2 * final.item() ** 2 / z0.item()
    return final.item(), by_z0.item(), by_k.item(), abs(by_z0.item() / exact - 1)


@pytest.mark.parametrize("k", [1.0, -1.0])
def test_analytic_value_and_gradient(k):
    final, by_z0, by_k, _ = consistency("aca", k, 2.0, 1e-10)
    assert final == pytest.approx(1.5 * math.exp(2 * k), rel=1e-8)
    assert by_z0 == pytest.approx(3 * math.exp(4 * k), rel=1e-8)
    assert by_k == pytest.approx(4 * 1.5**2 * math.exp(4 * k), rel=1e-8)


@pytest.mark.parametrize("k", [1.0, -1.0])
@pytest.mark.parametrize(
    ("method", "tolerance"),
    [("adaptive_heun", 1e-3), ("bosh3", 1e-4), ("dopri5", 1e-5), ("euler", 0.1), ("rk4", 0.3)],
)
def test_the_gradient_is_that_of_the_computed_value(method, tolerance, k):
    assert consistency("aca", k, 10.0, tolerance, method)[3] < 1e-12


def test_the_adjoint_is_inconsistent_where_the_equation_cannot_be_run_backwards():
    # Backwards y' = -y grows: what was lost to rounding and tolerance comes back as error.
    assert consistency("adjoint", -1.0, 10.0, 1e-5)[3] > 1
    assert consistency("adjoint", 1.0, 10.0, 1e-5)[3] < 1e-3
    assert consistency("direct", -1.0, 10.0, 1e-5)[3] < 1e-2


def test_the_adjoint_of_a_bound_method():
    field, y0 = Field(), state(4)
    expected = gradients(odeint(field, y0, (0.0, 1.0), gradient="adjoint"), field.outer.weight)
    z = odeint(field.forward, y0, (0.0, 1.0), gradient="adjoint")
    assert_close(gradients(z, field.outer.weight), expected, 1e-12)


def test_the_adjoint_refuses_a_plain_function():
    field = Field()
    with pytest.raises(ValueError, match="Module"):
        odeint(lambda t, y: field(t, y), state(4), (0.0, 1.0), gradient="adjoint")


# Autocast ----------------------------------------------------------------------------------------


@in_every_mode
@pytest.mark.parametrize("inside", [True, False], ids=["backward inside", "backward outside"])
@pytest.mark.parametrize("used", ["before", "after", "both"])
def test_autocast(mode, inside, used):
    """The same weight in the solver and elsewhere, in one context, with its cache."""
    field, y0, stats = Field(dtype=torch.float32), state(3, 4, dtype=torch.float32), Statistics()
    inputs = (y0, field.inner.weight, field.outer.weight)

    def whole(solve):
        start = y0 if used == "after" else y0 + field.outer(torch.ones(3, 8)).float()
        z = solve(start)
        return z if used == "before" else field.outer(z[-1:].repeat(1, 1, 2)).float()

    def ours(start):
        return odeint_aca(field, start, (0.0, 0.5, 1.0), mode=mode, stats=stats)

    def theirs(start):
        return plain(field, start, stats.times, (0.0, 0.5, 1.0), "bosh3")

    field.seen.clear()
    with torch.autocast("cpu", torch.bfloat16):
        z = whole(ours)
        found = gradients(z, *inputs) if inside else None
    found = found or gradients(z, *inputs)
    assert z.dtype == torch.float32
    assert len(field.seen) == stats.forward + stats.backward
    assert all(field.seen)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = whole(theirs)
    expected = gradients(wanted, *inputs)
    assert_close([z], [wanted], 0.01)
    assert_close(found, expected, 0.02)
    exact = gradients(whole(theirs), *inputs)  # in float32
    assert any((a - b).norm() > 1e-3 * b.norm() for a, b in zip(found, exact, strict=True))


@in_every_mode
def test_autocast_that_begins_after_the_forward_pass_changes_nothing(mode):
    field, y0 = Field(dtype=torch.float32), state(3, 4, dtype=torch.float32)
    expected = gradients(odeint_aca(field, y0, (0.0, 1.0), mode=mode), y0)
    z = odeint_aca(field, y0, (0.0, 1.0), mode=mode)
    with torch.autocast("cpu", torch.bfloat16):
        assert_close(gradients(z, y0), expected, 1e-6)


# Changes in between, and going back more than once -----------------------------------------------


@pytest.mark.parametrize("mode", ["steps", "stages"])  # in "graph" a copy was evaluated
def test_a_changed_state_is_noticed(mode):
    y0 = state(3, 4)
    z = odeint_aca(Linear(-1.0), y0, (0.0, 1.0), mode=mode)
    with torch.no_grad():
        y0.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss(z).backward()


@in_every_mode
def test_a_changed_parameter_is_noticed(mode):
    field, y0 = Field(), state(3, 4)
    optimizer = torch.optim.SGD(field.parameters(), lr=0.1)
    loss(odeint_aca(field, y0, (0.0, 1.0), mode=mode)).backward()
    z = odeint_aca(field, y0, (0.0, 1.0), mode=mode)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"backward\(\) before optimizer.step\(\)"):
        loss(z).backward()


@in_every_mode
def test_the_result_may_be_changed(mode):
    field, y0 = Field(), state(3, 4)
    expected = gradients(odeint_aca(field, y0, (0.0, 1.0), mode=mode) * 2, y0)
    z = odeint_aca(field, y0, (0.0, 1.0), mode=mode)
    assert_close(gradients(z.mul_(2), y0), expected, 1e-14)


@in_every_mode
def test_going_back_twice(mode):
    field, y0 = Field(), state(4)
    z = odeint_aca(field, y0, (0.0, 1.0), mode=mode).sum()
    first = torch.autograd.grad(z, y0, retain_graph=True)
    if mode == "graph":
        with pytest.raises(RuntimeError, match="can go backwards once"):
            torch.autograd.grad(z, y0)
    else:
        assert_close(torch.autograd.grad(z, y0), first, 1e-15)
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(z, y0)


@in_every_mode
@pytest.mark.parametrize("total", [loss, torch.sum])
def test_second_derivatives_are_refused(mode, total):
    """Also where the derivative of the loss is a constant, as in a penalty on gradients."""
    field, y0 = Field(), state(4)
    value = total(odeint_aca(field, y0, (0.0, 1.0), mode=mode))

    def penalty():
        (slope,) = torch.autograd.grad(value, y0, create_graph=True)
        return field.outer.bias.sum() + slope.pow(2).sum()

    with pytest.raises(RuntimeError, match=r"differentiate twice|[Ss]econd derivative"):
        penalty().backward()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rtol": -1.0}, "rtol >= 0 and atol > 0, got -1.0"),
        ({"atol": 0.0}, "atol > 0"),
        ({"rtol": math.nan}, "rtol"),
        ({"rtol": "0.001"}, "numbers rtol"),
        ({"atol": None}, "numbers .* None"),
        ({"atol": torch.ones(3)}, "numbers"),
        ({"first_step": -0.1}, "first_step > 0"),
        ({"first_step": math.nan}, "first_step > 0"),
        ({"max_steps": 0}, "max_steps of at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        odeint_aca(lambda t, y: -y, torch.ones(2), (0.0, 1.0), params=[], **wrong)


def test_a_single_time_is_refused():
    with pytest.raises(ValueError, match="at least two times"):
        odeint_aca(lambda t, y: -y, torch.ones(2), torch.tensor(1.0), params=[])


@pytest.mark.parametrize("method", ["bosh3", "euler"])
def test_a_function_of_another_shape_is_refused(method):
    step = {"step_size": 0.5} if method == "euler" else {}
    with pytest.raises(ValueError, match=r"shape of the state, \(2, 3\), it gave \(3,\)"):
        odeint_aca(
            lambda t, y: y[0], torch.ones(2, 3), (0.0, 1.0), params=[], method=method, **step
        )


@pytest.mark.parametrize("mode", ["steps", "stages"])
def test_a_frozen_parameter_that_changes_in_between_is_noticed(mode):
    module = torch.nn.Linear(2, 2)
    module.bias.requires_grad_(False)

    class Field(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, t, y):
            return self.inner(y)

    z = odeint_aca(Field(), torch.ones(1, 2), (0.0, 1.0), mode=mode)[-1].sum()
    with torch.no_grad():
        module.bias.add_(1)
    with pytest.raises(RuntimeError, match="changed between"):
        z.backward()


@pytest.mark.parametrize("gradient", ["direct", "adjoint", "aca"])
def test_a_plain_function_with_named_params_works_for_all_three(gradient):
    k, y0 = torch.tensor(-0.5, dtype=torch.float64, requires_grad=True), torch.ones(2).double()
    options = {"gradient": gradient, "method": "dopri5", "rtol": 1e-10, "atol": 1e-10}
    z = odeint(lambda t, y: k * y, y0, (0.0, 1.0), params=[k], **options)[-1]
    (found,) = torch.autograd.grad(z.sum(), k)
    assert found.item() == pytest.approx(2 * math.exp(-0.5), rel=1e-8)
    circle = odeint(lambda t, y: -y, y0, (0.0, 1.0), params=[], **options)[-1]
    assert circle[0].item() == pytest.approx(math.exp(-1), rel=1e-8)
