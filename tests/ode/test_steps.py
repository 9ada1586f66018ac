"""Steps of the ODE solver: methods and their order, control, costs, memory and errors."""

import math
import re
import weakref
from itertools import combinations_with_replacement, pairwise

import numpy as np
import pytest
import scipy.integrate
import torch
import torchdiffeq
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torchdiffeq._impl import adaptive_heun, bosh3, dopri5

from galhelpers.ode import SolverError, Statistics, StepMemory, odeint, odeint_aca
from galhelpers.ode.methods import TABLEAUS, change_of_step

ADAPTIVE = ("adaptive_heun", "bosh3", "dopri5")
EQUAL = ("euler", "rk4")
MODES = ("steps", "stages", "graph")
in_every_mode = pytest.mark.parametrize("mode", MODES)


class Counted(nn.Module):
    """A small network that counts how often it is called."""

    def __init__(self, n=4):
        super().__init__()
        torch.manual_seed(n)
        self.inner = nn.Linear(n, 8, dtype=torch.float64)
        self.outer = nn.Linear(8, n, dtype=torch.float64)
        self.calls = 0

    def forward(self, t, y):
        self.calls += 1
        return 3 * self.outer(torch.tanh(self.inner(y))) * torch.cos(t)


def state(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def settings(method, tolerance=1e-3, size=0.25):
    tolerances = {"method": method, "rtol": tolerance, "atol": tolerance}
    return tolerances if method in ADAPTIVE else {"method": method, "step_size": size}


def growth(t, y):
    """y' = y cos t, so that y = exp(sin t) when it begins as 1 at t = 0."""
    return y * torch.cos(t)


# Methods -----------------------------------------------------------------------------------------


def trees(n):
    """Rooted trees of n nodes, each a sorted tuple of its branches."""
    if n == 1:
        return [()]
    smaller = [tree for k in range(1, n) for tree in trees(k)]
    return [
        branches
        for k in range(1, n)
        for branches in combinations_with_replacement(smaller, k)
        if sum(map(nodes, branches)) == n - 1
    ]


def nodes(tree):
    return 1 + sum(map(nodes, tree))


def density(tree):
    return nodes(tree) * math.prod(map(density, tree))


def square(tableau):
    """Give the weights of all stages as a matrix, and their times."""
    a = np.zeros((len(tableau.b),) * 2)
    for j, row in enumerate(tableau.a, start=1):
        a[j, :j] = row
    return a, np.array((0.0, *tableau.c))


def order(tableau, b):
    """Order by Butcher's conditions (Hairer, Norsett & Wanner 1993, section II.2)."""
    a, _ = square(tableau)

    def values(tree):
        return math.prod((a @ values(branch) for branch in tree), start=np.ones(len(a)))

    for n in range(1, 7):
        if any(abs(b @ values(tree) - 1 / density(tree)) > 1e-13 for tree in trees(n)):
            return n - 1
    return 6


@pytest.mark.parametrize("method", TABLEAUS)
def test_order_conditions(method):
    assert [len(trees(n)) for n in range(1, 7)] == [1, 1, 2, 4, 9, 20]  # known numbers of trees
    tableau = TABLEAUS[method]
    a, c = square(tableau)
    np.testing.assert_allclose(a.sum(1), c, atol=1e-14)
    assert order(tableau, np.array(tableau.b)) == tableau.order
    assert tableau.adaptive == (method in ADAPTIVE)
    if tableau.adaptive:
        assert order(tableau, np.subtract(tableau.b, tableau.e)) == tableau.order - 1
    assert tableau.n_stages == len(tableau.b) - tableau.first_same_as_last
    assert tableau.first_same_as_last == (method in ("bosh3", "dopri5"))


@pytest.mark.parametrize(
    ("method", "theirs", "factor"),
    [
        # The error of dopri5 is Dormand and Prince's own, 3/2 of what torchdiffeq takes for it.
        ("adaptive_heun", adaptive_heun._ADAPTIVE_HEUN_TABLEAU, -1.0),
        ("bosh3", bosh3._BOGACKI_SHAMPINE_TABLEAU, 1.0),
        ("dopri5", dopri5._DORMAND_PRINCE_SHAMPINE_TABLEAU, 1.5),
    ],
)
def test_tableaus_are_those_of_torchdiffeq(method, theirs, factor):
    tableau = TABLEAUS[method]
    assert tableau.c == tuple(theirs.alpha.tolist())
    assert tableau.a == tuple(tuple(row.tolist()) for row in theirs.beta)
    assert tableau.b == tuple(theirs.c_sol.tolist())
    np.testing.assert_allclose(tableau.e, factor * theirs.c_error.numpy(), atol=1e-15)


@pytest.mark.parametrize(
    ("method", "theirs"), [("bosh3", scipy.integrate.RK23), ("dopri5", scipy.integrate.RK45)]
)
def test_tableaus_are_those_of_scipy(method, theirs):
    tableau, n = TABLEAUS[method], len(theirs.C)
    a, c = square(tableau)
    np.testing.assert_allclose(a[:n, : theirs.A.shape[1]], theirs.A, atol=1e-15)
    np.testing.assert_allclose(c[:n], theirs.C, atol=1e-15)
    np.testing.assert_allclose(tableau.b[:n], theirs.B, atol=1e-15)
    np.testing.assert_allclose(tableau.e, -theirs.E, atol=1e-15)
    np.testing.assert_allclose(tableau.dense, theirs.P, atol=1e-15)


@pytest.mark.parametrize("method", TABLEAUS)
def test_order_of_convergence(method):
    """Equal steps, also of the adaptive methods; inside the steps the order is no less."""
    errors, counts = [], (8, 16, 32, 64)
    for n in counts:
        grid, stats = np.linspace(0.0, 2.0, n + 1), Statistics()
        options = settings(method, 1e9, 2.0 / n) | {"params": [], "stats": stats}
        if method in ADAPTIVE:  # steps as if each just met the tolerance
            options["memory"] = StepMemory(goal=1.0)
            options["memory"].learn([(*ends, 1.0) for ends in pairwise(grid)], 1)
        times = np.linspace(0.0, 2.0, 12 * n + 1)
        y = odeint_aca(growth, torch.ones((), dtype=torch.float64), times, **options)
        assert stats.times == pytest.approx(grid)
        off = (y - torch.from_numpy(np.exp(np.sin(times)))).abs()
        errors.append([off[::12].max().item(), off.max().item()])
    for found in np.log2(np.divide(errors[:-1], errors[1:]))[-1]:
        assert found == pytest.approx(TABLEAUS[method].order, abs=0.25), errors


def estimate(method, h):
    """Error estimate of one step of y' = y cos t from t = 0.3, y = 1, by a loop of its own."""
    tableau, slopes = TABLEAUS[method], []
    for c, row in zip((0.0, *tableau.c), ((), *tableau.a), strict=True):
        place = 1.0 + h * sum(a * k for a, k in zip(row, slopes, strict=True))
        slopes.append(place * math.cos(0.3 + c * h))
    return abs(h * sum(e * k for e, k in zip(tableau.e, slopes, strict=True)))


@pytest.mark.parametrize("method", ADAPTIVE)
def test_error_estimate(method):
    """It shrinks as h to the power of the order, and is what decides about a step."""
    found = math.log2(estimate(method, 0.1) / estimate(method, 0.05))
    assert found == pytest.approx(TABLEAUS[method].order, abs=0.25)
    for h in (0.4, -0.4):
        error = estimate(method, h)
        for tolerance, rejected in ((1.001 * error, False), (0.999 * error, True)):
            stats, y = Statistics(), torch.ones(2, 3, dtype=torch.float64)
            options = {"method": method, "rtol": 0.0, "atol": tolerance, "first_step": 0.4}
            odeint_aca(growth, y, (0.3, 0.3 + h), params=[], stats=stats, **options)
            assert (stats.rejected > 0) == rejected
            assert (stats.accepted > 1) == rejected


def test_tolerance_is_relative_to_the_larger_end_of_the_step():
    error = estimate("bosh3", 0.4)
    after = math.exp(math.sin(0.7) - math.sin(0.3))
    for factor, rejected in ((1.01, False), (0.99, True)):
        stats, y = Statistics(), torch.ones((), dtype=torch.float64)
        options = {"rtol": factor * error / 2 / after, "atol": factor * error / 2}
        odeint_aca(growth, y, (0.3, 0.7), params=[], stats=stats, first_step=0.4, **options)
        assert (stats.rejected > 0) == rejected


def test_steps_of_bosh3_are_those_of_torchdiffeq():
    begins = []

    class Watched(Counted):
        def callback_accept_step(self, t0, y0, dt):
            begins.append(t0.item())

    func, y0, stats = Watched(), state(4), Statistics()
    torchdiffeq.odeint(
        func, y0, torch.tensor([0.0, 3.0]).double(), method="bosh3", rtol=1e-5, atol=1e-5
    )
    odeint_aca(func, y0, (0.0, 3.0), rtol=1e-5, atol=1e-5, stats=stats)
    assert len(begins) > 20
    np.testing.assert_allclose(stats.times[:-1], begins, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("method", ADAPTIVE)
def test_error_follows_the_tolerance(method):
    for tolerance in (1e-3, 1e-5, 1e-7 if method != "adaptive_heun" else 1e-6):
        y = torch.ones((), dtype=torch.float64)
        z = odeint_aca(growth, y, (0.0, 4.0), params=[], **settings(method, tolerance))[-1].item()
        assert abs(z - math.exp(math.sin(4.0))) < 20 * tolerance


def test_change_of_step():
    assert change_of_step(0.0, 3) == 10
    assert change_of_step(1e-9, 3) == 10
    assert change_of_step(0.9**3 / 8, 3) == pytest.approx(2)
    assert change_of_step(1.0, 3) == 1  # accepted: not shorter
    assert change_of_step(8.0, 3) == pytest.approx(0.45)
    assert change_of_step(1e9, 3) == change_of_step(math.inf, 3) == 0.2


@pytest.mark.parametrize("method", EQUAL)
def test_equal_steps_end_where_they_should(method):
    y, stats = torch.ones(2), Statistics()
    z = odeint_aca(growth, y, (0.0, 1.0), params=[], stats=stats, method=method, step_size=0.1)
    assert len(stats.times) == 11  # ten times 0.1 is not 1 in floating point
    stats = Statistics()
    odeint_aca(growth, y, (1.0, -0.5), params=[], stats=stats, method=method, step_size=0.4)
    assert stats.times == pytest.approx([1.0, 0.6, 0.2, -0.2, -0.5])
    assert z.dtype == torch.float32


@pytest.mark.parametrize(("end", "step"), [(1.1, 0.01), (5.3, 0.01), (100.3, 0.1)])
def test_equal_steps_to_a_time_in_single_precision(end, step):
    options = {"params": [], "method": "euler", "step_size": step}
    z = odeint_aca(growth, torch.ones(2), torch.tensor([0.0, end]), **options)
    assert bool(torch.isfinite(z).all())


@pytest.mark.parametrize("mode", ["steps", "stages"])
def test_backward_evaluates_at_the_times_of_forward(mode):
    seen, y0 = [], state(2)

    def func(t, y):
        seen.append(t.item())
        return -y * t

    times = (0.11763381682842539, 0.8727092409639067)
    options = {"method": "adaptive_heun", "rtol": 1e3, "atol": 1e3, "first_step": 1.0}
    odeint_aca(func, y0, times, params=[], mode=mode, **options)[-1].sum().backward()
    assert len(seen) == 4
    assert set(seen[:2]) == set(seen[2:])


# Costs -------------------------------------------------------------------------------------------


@in_every_mode
@pytest.mark.parametrize("method", TABLEAUS)
def test_statistics_of_aca(method, mode):
    func, stats, tableau = Counted(), Statistics(), TABLEAUS[method]
    options = settings(method) | ({"first_step": 5.0} if method in ADAPTIVE else {})
    z = odeint_aca(func, state(4), (0.0, 0.6, 2.0), mode=mode, stats=stats, **options)
    assert stats.accepted == len(stats.times) - 1
    assert stats.times == sorted(set(stats.times))
    assert (stats.rejected > 0) == tableau.adaptive
    tries, stages = stats.accepted + stats.rejected, len(tableau.b)
    again = 1 if tableau.first_same_as_last else stats.accepted  # first stages
    assert stats.forward == func.calls == again + tries * (stages - 1)
    z.sum().backward()
    assert stats.backward == func.calls - stats.forward
    assert stats.backward == (0 if mode == "graph" else stats.accepted * tableau.n_stages)


@pytest.mark.parametrize("gradient", ["direct", "adjoint"])
@pytest.mark.parametrize("method", TABLEAUS)
def test_statistics_of_torchdiffeq(method, gradient):
    func, stats = Counted(), Statistics()
    z = odeint(func, state(4), (0.0, 1.0), gradient=gradient, stats=stats, **settings(method))
    assert stats.forward == func.calls > 0
    assert stats.backward == 0
    z.sum().backward()
    assert stats.backward == func.calls - stats.forward
    assert (stats.backward > 0) == (gradient == "adjoint")


def test_estimate_of_the_first_step_costs_one_evaluation():
    for first_step, more in ((None, 1), (1.0, 0)):
        stats = Statistics()
        y = torch.ones(2, dtype=torch.float64)
        options = {"rtol": 1e3, "atol": 1e3, "params": [], "first_step": first_step}
        odeint_aca(growth, y, (0.0, 1e-3), stats=stats, **options)
        assert stats.accepted == 1
        assert stats.forward == 4 + more


class Waits(TorchDispatchMode):
    """Counts how often the host asks a tensor for its number, and so waits for the device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def test_waits_are_seen():
    with Waits() as waits:
        torch.ones(2).sum().item()
        bool(torch.ones(2).isfinite().all())
    assert waits.count == 2


@in_every_mode
@pytest.mark.parametrize("method", TABLEAUS)
def test_the_host_waits_once_a_step(method, mode):
    func, y0, stats = Counted(), state(4), Statistics()
    options = settings(method, 1e-6 if method == "dopri5" else 1e-4)
    with Waits() as waits:
        z = odeint_aca(func, y0, (0.0, 1.0, 2.0), mode=mode, stats=stats, **options)
    tries = (stats.accepted + stats.rejected) * TABLEAUS[method].adaptive
    assert stats.accepted > 4
    assert tries <= waits.count <= tries + 3
    with Waits() as waits:
        z.sum().backward()
    assert waits.count == 0


class Kept:
    """A tensor that autograd keeps; counts how many there are, and how many there were at most."""

    now = most = 0

    def __init__(self, tensor):
        self.tensor = tensor.detach()  # not in a circle with the graph that keeps it
        Kept.now += 1
        Kept.most = max(Kept.most, Kept.now)
        weakref.finalize(self, Kept.freed)

    @staticmethod
    def freed():
        Kept.now -= 1


@in_every_mode
@pytest.mark.parametrize("method", TABLEAUS)
def test_what_is_kept(method, mode):
    func, y0, stats, tableau = Counted(), state(5, 4), Statistics(), TABLEAUS[method]
    with saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        Kept.now = 0
        func(torch.tensor(0.0), y0).sum()
        value = func(torch.tensor(0.0), y0)
        one = Kept.now  # of a single evaluation
        del value
        assert Kept.now == 0
        options, Kept.most = settings(method, 1e-4), 0
        z = odeint_aca(func, y0, (0.0, 0.6, 2.0), mode=mode, stats=stats, **options)
        kept, evaluations = Kept.now, stats.accepted * tableau.n_stages
        assert mode == "graph" or Kept.most == kept  # no more for a moment either
        assert stats.accepted > 3
        assert one > 1
        if mode == "graph":
            assert kept == evaluations * one
        else:
            assert kept == (stats.accepted if mode == "steps" else evaluations)
        Kept.most = kept
        z.sum().backward()
        assert Kept.now == 0  # although z is still there
        # Going back needs the graph of one step, or of one evaluation.
        assert (
            Kept.most - kept == {"steps": one * tableau.n_stages, "stages": one, "graph": 0}[mode]
        )
        odeint_aca(func, y0.detach(), (0.0, 1.0), mode=mode, **settings(method)).sum()
        assert Kept.now == 0
        with torch.no_grad():
            z = odeint_aca(func, y0, (0.0, 1.0), mode=mode, **settings(method))
        assert Kept.now == 0


# StepMemory --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("times", [(0.0, 1.0), (0.0, 0.3, 0.8, 1.0), (1.0, 0.0)], ids=str)
def test_the_second_batch_costs_less(times, method):
    func, memory = Counted(), StepMemory()
    tolerance = {"adaptive_heun": 1e-2, "bosh3": 1e-3, "dopri5": 1e-4}[method]  # 4 to 20 steps
    options = settings(method, tolerance)
    for seed in range(4):
        y0, alone, stats = state(64, 4, seed=seed), Statistics(), Statistics()
        odeint_aca(func, y0, times, stats=alone, **options)
        z = odeint_aca(func, y0, times, stats=stats, memory=memory, **options)
        if seed == 0:
            assert stats == alone
        else:
            assert stats.forward < alone.forward
            assert stats.rejected == 0
        exact = odeint_aca(func, y0, times, method="dopri5", rtol=1e-10, atol=1e-10)
        ratio = (z - exact) / (tolerance + tolerance * exact.abs())
        assert ratio.pow(2).mean().sqrt() < stats.accepted


def test_a_harder_batch_is_still_solved():
    memory, stats, tolerance = StepMemory(), Statistics(), 1e-5
    rate = torch.tensor(0.1, dtype=torch.float64)
    y0, options = torch.ones(3, dtype=torch.float64), settings("bosh3", tolerance)

    def func(t, y):
        return -rate * y

    odeint_aca(func, y0, (0.0, 1.0), params=[], memory=memory, **options)
    rate.fill_(5.0)
    z = odeint_aca(func, y0, (0.0, 1.0), params=[], memory=memory, stats=stats, **options)
    assert stats.rejected > 0
    assert stats.accepted > 10
    assert z[-1].tolist() == pytest.approx([math.exp(-5.0)] * 3, abs=10 * tolerance)
    again = Statistics()
    odeint_aca(func, y0, (0.0, 1.0), params=[], memory=memory, stats=again, **options)
    assert again.rejected == 0  # it learned from the harder one
    assert again.forward < stats.forward


def test_steps_of_another_interval_are_not_used():
    func, y0, memory = Counted(), state(4), StepMemory()
    odeint_aca(func, y0, (0.0, 1.0), memory=memory)
    for times in ((0.0, 2.0), (1.0, 0.0), (0.5, 1.0)):
        assert memory.plan(times[0], times[-1]) == []
        alone, stats = Statistics(), Statistics()
        odeint_aca(func, y0, times, stats=alone)
        odeint_aca(func, y0, times, stats=stats, memory=memory)
        assert stats == alone
        assert memory.plan(times[0], times[-1])


def test_reset_forgets():
    func, y0, memory = Counted(), state(4), StepMemory()
    alone, stats = Statistics(), Statistics()
    odeint_aca(func, y0, (0.0, 1.0), memory=memory, stats=alone)
    assert memory.plan(0.0, 1.0)
    memory.reset()
    assert memory.plan(0.0, 1.0) == []
    odeint_aca(func, y0, (0.0, 1.0), memory=memory, stats=stats)
    assert stats == alone


@pytest.mark.parametrize("direction", [1, -1])
def test_plan_by_hand(direction):
    # Steps as they would be taken with 0.5**3 of the tolerance each: two together make 1.
    steps = [(i * 0.25 * direction, (i + 1) * 0.25 * direction, 0.5**3) for i in range(4)]
    for goal, ends in ((1.0, [0.5, 1.0]), (0.9, [1 / 3, 2 / 3, 1.0]), (2.0, [1.0])):
        memory = StepMemory(goal)
        memory.learn(steps, 3)
        assert memory.plan(0.0, direction) == pytest.approx([direction * end for end in ends])
        assert memory.plan(0.0, direction)[-1] == direction
        assert memory.plan(0.0, -direction) == []


def test_a_failed_integration_is_not_remembered():
    memory, y = StepMemory(), torch.ones(2, dtype=torch.float64)
    odeint_aca(growth, y, (0.0, 1.0), params=[], memory=memory)
    plan = memory.plan(0.0, 1.0)
    with pytest.raises(SolverError):
        odeint_aca(lambda t, y: y**2 * 9, y, (0.0, 1.0), params=[], memory=memory)
    assert memory.plan(0.0, 1.0) == plan


# Errors ------------------------------------------------------------------------------------------


def message(func, y0, times, **options):
    """Solve, and give what the error says, the time and the step in it."""
    options = {"rtol": 2e-3, "atol": 3e-5, "params": []} | options
    equal = options.get("method") in EQUAL
    if equal:
        del options["rtol"], options["atol"]
    with pytest.raises(SolverError) as caught:
        odeint_aca(func, y0, times, **options)
    text = str(caught.value)
    tolerance = "" if equal else rf", rtol = {options['rtol']:g}, atol = {options['atol']:g}"
    found = re.search(rf": (\w+) at t = (\S+?)( with a step of (\S+))?{tolerance}\. ", text)
    assert found, text
    assert ("tolerance" in text, "step_size" in text) == (not equal, equal)
    assert found[1] == options.get("method", "bosh3")
    return text.split(":")[0], float(found[2]), float(found[4]) if found[4] else None


def beyond(limit):
    return lambda t, y: torch.where(t > limit, torch.nan, -y)


def ones(dtype=torch.float64):
    return torch.ones(3, dtype=dtype)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("first_step", [None, 0.1])
def test_a_function_that_gives_no_number(first_step, method, bad):
    options = {"method": method, "first_step": first_step}
    what, t, step = message(lambda t, y: y * bad, ones(), (0.5, 1.0), **options)
    assert (what, t, step) == ("The function gave NaN or infinity", 0.5, first_step)


@pytest.mark.parametrize("method", EQUAL)
def test_equal_steps_to_where_there_is_no_number(method):
    options = {"method": method, "step_size": 0.1}
    what, t, step = message(beyond(0.5), ones(), (0.0, 1.0), **options)
    assert (what, t, step) == ("The function gave NaN or infinity before the end", 1.0, 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("times", [(0.0, 1.0), (0.0, 0.3, 1.0)], ids=str)
def test_a_function_that_gives_no_number_beyond_some_time(times, method, dtype):
    stats = Statistics()
    what, t, step = message(beyond(0.4), ones(dtype), times, method=method, stats=stats)
    assert what == "The step is too small for numbers of this precision"
    assert t == pytest.approx(0.4, rel=1e-5)
    assert 0 < step < 1e-6
    assert stats.rejected < 500


@pytest.mark.parametrize("start", [0.0, -1.0])
def test_a_function_that_gives_no_number_beyond_zero(start):
    stats = Statistics()
    what, t, _ = message(beyond(0.0), ones(), (start, 1.0), stats=stats)
    assert what == "The step is too small for numbers of this precision"
    assert t == pytest.approx(0.0, abs=1e-6)
    assert stats.rejected < 500


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("method", ADAPTIVE)
def test_a_solution_that_ends(method, dtype):
    # y' = y^2 from 1 is 1 / (1 - t).
    what, t, step = message(lambda t, y: y * y, ones(dtype), (0.0, 2.0), method=method)
    assert what in (
        "The step is too small for numbers of this precision",
        "The function gave NaN or infinity",
    )
    assert t == pytest.approx(1.0, abs=0.01)
    assert abs(step) < 1e-4


@pytest.mark.parametrize("method", TABLEAUS)
def test_too_many_steps(method):
    options = settings(method, 1e-6, 0.01) | {"method": method}
    stats = Statistics()
    odeint_aca(growth, ones(), (0.0, 1.0), params=[], stats=stats, **options)
    enough = stats.accepted + stats.rejected
    odeint_aca(growth, ones(), (0.0, 1.0), params=[], max_steps=enough, **options)
    what, t, step = message(growth, ones(), (0.0, 1.0), max_steps=enough - 1, **options)
    assert what == f"{enough - 1:,} steps were not enough"
    assert 0.5 < t < 1
    assert 0 < step < 0.5


@pytest.mark.parametrize("method", ADAPTIVE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_step_that_overflows_is_shortened(dtype, method):
    stats, options = Statistics(), settings(method, 1e-4)
    y0, times = 2 * ones(dtype), (0.0, 1e4)
    z = odeint_aca(
        lambda t, y: -(y**9), y0, times, params=[], first_step=1e4, stats=stats, **options
    )
    assert stats.rejected > 1
    # y^-8 grows by 8 t.
    assert z[-1, 0].item() == pytest.approx((2.0**-8 + 8e4) ** (-1 / 8), rel=1e-2)


@in_every_mode
def test_gradients_after_an_overflow(mode):
    rate = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    y0, stats = (2 * ones()).requires_grad_(), Statistics()
    options = {"params": [rate], "first_step": 1e4, "rtol": 1e-8, "atol": 1e-10, "mode": mode}
    z = odeint_aca(lambda t, y: -rate * y**9, y0, (0.0, 10.0), stats=stats, **options)[-1]
    assert stats.rejected > 1
    by_y0, by_rate = torch.autograd.grad(z.sum(), (y0, rate))
    w = 2.0**-8 + 80.0  # z = w^(-1/8), w = y0^-8 + 8 rate t
    assert by_y0[0].item() == pytest.approx(w ** (-9 / 8) * 2.0**-9, rel=1e-4)
    assert by_rate.item() == pytest.approx(3 * -(w ** (-9 / 8)) * 10, rel=1e-4)


# Many times --------------------------------------------------------------------------------------


@in_every_mode
@pytest.mark.parametrize("method", TABLEAUS)
@pytest.mark.parametrize("n", [1_000, 12_000])
def test_many_times_cost_what_two_cost(n, method, mode):
    y0, few, many = state(4), Statistics(), Statistics()
    options = settings(method, 1e-4, 0.1) | {"mode": mode}
    alone = odeint_aca(Counted(), y0, (0.0, 3.0), stats=few, **options)
    times = torch.linspace(0.0, 3.0, n, dtype=torch.float64)
    z = odeint_aca(Counted(), y0, times, stats=many, **options)
    assert torch.equal(z[[0, -1]], alone)
    assert many == few
    alone.sum().backward()
    z.sum().backward()
    # The slope at the very end counts too now, where the method has one.
    more = TABLEAUS[method].first_same_as_last and mode != "graph"
    assert many.backward == few.backward + more


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("method", ADAPTIVE)
def test_the_error_between_steps_follows_the_tolerance(method, direction):
    times, y = direction * torch.linspace(0.0, 4.0, 400, dtype=torch.float64), ones()
    for tolerance in (1e-3, 1e-5):
        z = odeint_aca(growth, y, times, params=[], **settings(method, tolerance))
        exact = torch.exp(torch.sin(times))[:, None].expand(-1, 3)
        assert (z - exact).abs().max() < 20 * tolerance
