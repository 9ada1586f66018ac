"""What functions, states, times and options users bring: right, or refused in words."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from galhelpers.ode import SolverError, Statistics, odeint, odeint_aca
from galhelpers.ode.methods import TABLEAUS

GRADIENTS = ("direct", "adjoint", "aca")
in_every_way = pytest.mark.parametrize(
    "way",
    [{"mode": mode} for mode in ("steps", "stages", "graph")]
    + [{"gradient": "direct"}, {"gradient": "adjoint"}],
    ids=lambda way: next(iter(way.values())),
)
SPAN = (0.0, 1.0)


class Of(nn.Module):
    """A function with one parameter, and whatever a test wants done."""

    def __init__(self, slope, **layers):
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(0.7))
        self.slope = slope
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, t, y):
        return self.slope(self, t, y)


def matrix(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Functions that change their argument -------------------------------------------------------------


def adds(module, t, y):
    y += 1
    return -module.rate * y


def writes_an_element(module, t, y):
    y[0] = 0
    return -module.rate * y


def scales_a_view(module, t, y):
    y.view(-1).mul_(2)
    return -module.rate * y


def later(module, t, y):
    if t > 0.3:
        y.mul_(2)
    return -module.rate * y


@in_every_way
@pytest.mark.parametrize("recorded", [True, False, None], ids=["grad", "no_grad", "inference"])
@pytest.mark.parametrize("slope", [adds, writes_an_element, scales_a_view, later])
def test_a_function_that_changes_its_argument_is_told(slope, recorded, way):
    y0 = matrix(3)
    kept = y0.clone()
    context = torch.inference_mode() if recorded is None else torch.set_grad_enabled(recorded)
    with context, pytest.raises((ValueError, RuntimeError), match=r"in.?place"):
        odeint(Of(slope), y0, SPAN, method="dopri5", **way)
    assert torch.equal(y0, kept)


@in_every_way
def test_temporary_tensors_may_be_changed_in_place(way):
    def tidy(module, t, y):
        z = y.clone()
        z.mul_(-module.rate)
        return z

    plain = odeint(Of(lambda module, t, y: y * -module.rate), matrix(3), SPAN, **way)
    assert torch.equal(odeint(Of(tidy), matrix(3), SPAN, **way), plain)


@pytest.mark.parametrize("first_step", [None, 1.0])
@pytest.mark.parametrize("method", ["adaptive_heun", "bosh3", "dopri5", "rk4"])
def test_a_function_that_gives_the_same_tensor_again_is_told(method, first_step):
    buffer = torch.empty(3)

    def reuses(t, y):
        return torch.mul(y, -1.0, out=buffer)

    options = {"step_size": 0.5} if method == "rk4" else {"first_step": first_step}
    with torch.no_grad(), pytest.raises(ValueError, match="out="):
        odeint(reuses, torch.ones(3), SPAN, params=[], method=method, **options)


@in_every_way
def test_a_constant_tensor_may_be_given_again(way):
    wind = torch.tensor([1.0, 2.0, 3.0])
    z = odeint(lambda t, y: wind, torch.zeros(3), SPAN, params=[], **way)
    torch.testing.assert_close(z[-1], wind)


# Random functions ---------------------------------------------------------------------------------


def normalised():
    """A layer whose singular values are so close that the power method takes long."""
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([1.0, 1.02, 1.04, 1.06])))
    return nn.utils.parametrizations.spectral_norm(layer)


RANDOM = {
    "dropout": (lambda m, t, y: m.layer(y), nn.Dropout(0.2)),
    "dropout of maps": (lambda m, t, y: m.layer(y[..., None])[..., 0], nn.Dropout1d(0.2)),
    "functional dropout": (lambda m, t, y: nn.functional.dropout(y, 0.3), nn.Identity()),
    "a layer inside a layer": (
        lambda m, t, y: m.layer(y),
        nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    ),
    "attention": (lambda m, t, y: m.layer(y, y, y)[0], nn.MultiheadAttention(4, 2, dropout=0.3)),
    "noise": (lambda m, t, y: -y + torch.randn_like(y), nn.Identity()),
    "random slope of a unit": (lambda m, t, y: m.layer(y), nn.RReLU()),
    "spectral norm": (
        lambda m, t, y: m.layer(y),
        normalised(),
    ),
    "batch norm": (lambda m, t, y: m.layer(y), nn.BatchNorm1d(4)),
    "batch norm without statistics": (
        lambda m, t, y: m.layer(y),
        nn.BatchNorm1d(4, track_running_stats=False),
    ),
}


@in_every_way
@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("kind", RANDOM)
def test_random_functions_and_batch_statistics_are_refused(kind, recorded, way):
    slope, layer = RANDOM[kind]
    layer = copy.deepcopy(layer).train()
    with torch.set_grad_enabled(recorded), pytest.raises(ValueError, match=r"eval\(\)"):
        odeint(Of(slope, layer=layer), matrix(6, 4), SPAN, **way)


@in_every_way
@pytest.mark.parametrize(
    "kind", ["dropout", "batch norm", "spectral norm", "random slope of a unit"]
)
def test_in_evaluation_they_are_as_good_as_any(kind, way):
    slope, layer = RANDOM[kind]
    func = Of(slope, layer=layer).eval()
    one, two = (odeint(func, matrix(6, 4), SPAN, **way) for _ in range(2))
    assert torch.equal(one, two)


@in_every_way
def test_what_gives_the_same_again_is_no_random_function(way):
    """Seeded draws, draws that do not matter, a buffer that counts, a dropout of nothing."""

    def seeded(module, t, y):
        torch.manual_seed(3)
        return -y * torch.rand(3)

    def idle(module, t, y):
        torch.rand(1)
        module.calls += 1
        return module.layer(-y)

    for slope in (seeded, idle):
        func = Of(slope, layer=nn.Dropout(0.0))
        func.register_buffer("calls", torch.tensor(0))
        assert torch.isfinite(odeint(func, matrix(3), SPAN, **way)).all()


# Tensors besides the parameters -------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["steps", "stages", "graph"])
@pytest.mark.parametrize("where", ["closure", "attribute", "list of layers", "params=[]"])
def test_other_tensors_that_need_gradients_get_them(where, mode):
    other = torch.tensor(-0.4, requires_grad=True)
    hidden = nn.Linear(1, 1)

    def slope(module, t, y):
        if where == "list of layers":
            return module.layers[0](y[:, None])[:, 0]
        return y * (module.other if where == "attribute" else other) * (1 + module.rate)

    func = Of(slope)
    func.other, func.layers = other, [hidden]  # neither registered
    leaf = hidden.weight if where == "list of layers" else other
    wanted = [leaf] if where == "list of layers" else [leaf, func.rate]
    found = []
    for gradient in ("aca", "direct"):
        options = {"mode": mode} if gradient == "aca" else {}
        if where == "params=[]":
            options["params"] = []
        options |= {"method": "rk4", "step_size": 0.25, "gradient": gradient}
        z = odeint(func, torch.ones(3), SPAN, **options)
        found.append(torch.autograd.grad(z[-1].sum(), wanted))
    torch.testing.assert_close(found[0], found[1])
    assert all(g.abs().sum() > 0 for g in found[0])


def test_the_adjoint_says_that_it_would_give_them_none():
    other = torch.tensor([-0.4, 1.0], requires_grad=True)
    func = Of(lambda module, t, y: y * module.rate * other)
    with pytest.raises(ValueError, match=r"1 tensors .*\[\(2,\)\].*params="):
        odeint(func, torch.ones(2), SPAN, gradient="adjoint")
    z = odeint(func, torch.ones(2), SPAN, gradient="adjoint", params=[func.rate, other])
    assert torch.autograd.grad(z[-1].sum(), other)[0].abs().sum() > 0
    with torch.no_grad():
        odeint(func, torch.ones(2), SPAN, gradient="adjoint")


@pytest.mark.parametrize("way", [{"mode": "steps"}, {"mode": "graph"}, {"gradient": "adjoint"}])
def test_a_tensor_computed_outside_is_to_be_named(way):
    root = torch.tensor(0.7, requires_grad=True)
    rate = root.exp()
    func = Of(lambda module, t, y: -rate * y)
    with pytest.raises(ValueError, match=r"Exp.*params="):
        odeint(func, torch.ones(2), SPAN, **way)
    z = odeint(func, torch.ones(2), SPAN, params=[rate], **way)[-1]
    (found,) = torch.autograd.grad(z.sum(), root)
    assert found.item() == pytest.approx(-2 * rate.item() * math.exp(-rate.item()), rel=0.05)


# What a function gives ----------------------------------------------------------------------------


@in_every_way
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (lambda y: None, r"\(2, 3\); it gave NoneType"),
        (lambda y: y.detach().numpy(), "it gave ndarray"),
        (lambda y: (y, y), "it gave tuple"),
        (lambda y: 0.0, "it gave float"),
        (lambda y: y.sum(), r"\(2, 3\), it gave \(\)"),
        (lambda y: y[:1], r"it gave \(1, 3\)"),
        (lambda y: y + 1j, "complex64"),
        (lambda y: y.detach().to("meta"), "on meta"),
    ],
)
def test_a_function_that_gives_no_slope_is_told(value, message, way):
    with pytest.raises(ValueError, match=message):
        odeint(Of(lambda module, t, y: value(y)), matrix(2, 3), SPAN, **way)


@in_every_way
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_no_numbers_at_the_start_are_one_kind_of_error(bad, way):
    with pytest.raises(SolverError, match=r"NaN|nan"):
        odeint(Of(lambda module, t, y: y * bad), torch.ones(3), SPAN, **way)


def test_a_start_that_is_no_number_is_not_the_functions_fault():
    for options in ({}, {"method": "euler", "step_size": 1.0}):
        with pytest.raises(SolverError, match="y0 itself"):
            odeint(Of(lambda m, t, y: -y), torch.tensor([1.0, math.nan]), SPAN, **options)


@in_every_way
def test_what_a_function_raises_comes_through(way):
    def fails(module, t, y):
        raise KeyError("of my own")

    with pytest.raises(KeyError, match="of my own"):
        odeint(Of(fails), torch.ones(3), SPAN, **way)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_states_that_are_no_real_numbers_are_refused(gradient):
    for y0, message in (
        (np.ones(3), "numpy.ndarray.*as_tensor"),
        (1.0, "got float"),
        (torch.ones(3, dtype=torch.int64), "int64"),
        (torch.ones(3, dtype=torch.complex64), "complex64"),
        (torch.ones(3) > 0, "bool"),
    ):
        with pytest.raises(ValueError, match=message):
            odeint(Of(lambda m, t, y: -y), y0, SPAN, gradient=gradient)


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("t", [1.0, [0.0], [0.0, 0.0], [0.0, math.nan], [0, 1, 0.5], "01"], ids=str)
def test_times_that_are_none_are_refused(t, gradient):
    with pytest.raises(ValueError, match="Expected"):
        odeint(Of(lambda m, t, y: -y), torch.ones(3), t, gradient=gradient)


def test_torchdiffeqs_times_too_close_for_single_precision_are_told():
    func, times = Of(lambda m, t, y: -m.rate * y), (1e6, 1e6 + 1e-3)
    with pytest.raises(SolverError, match="too close together for this precision"):
        odeint(func, torch.ones(2), times, gradient="direct")


# Several states -----------------------------------------------------------------------------------


class Pendulum(nn.Module):
    """Angle and speed, as a tuple."""

    def __init__(self):
        super().__init__()
        self.length = nn.Parameter(torch.tensor(0.8, dtype=torch.float64))

    def forward(self, t, parts):
        angle, speed = parts
        return speed.sum(1), -torch.sin(angle)[:, None] / self.length


@in_every_way
@pytest.mark.parametrize("kind", [tuple, list])
def test_a_tuple_of_states(kind, way):
    func, stats = Pendulum(), Statistics()
    angle = matrix(3).double().requires_grad_()
    speed = matrix(3, 1, seed=1).double().requires_grad_()
    options = {"method": "dopri5", "rtol": 1e-9, "atol": 1e-9}
    times = (0.0, 0.4, 1.0)
    z = odeint(func, kind((angle, speed)), times, stats=stats, **way, **options)
    assert [part.shape for part in z] == [(3, 3), (3, 3, 1)]
    assert stats.forward > 6

    def joined(t, y):
        by_angle, by_speed = func(t, (y[:3], y[3:, None]))
        return torch.cat([by_angle, by_speed[:, 0]])

    one = odeint(
        joined, torch.cat([angle, speed[:, 0]]), times, params=[func.length], **way, **options
    )
    torch.testing.assert_close(torch.cat([z[0], z[1][..., 0]], dim=1), one)
    wanted = (angle, speed, func.length)
    found = torch.autograd.grad(sum(part.pow(2).sum() for part in z), wanted)
    torch.testing.assert_close(
        found, torch.autograd.grad(one.pow(2).sum(), wanted), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize(
    ("y0", "message"),
    [
        ((), r"got \(\)"),
        ((torch.ones(2), 1.0), "float32 on cpu, float"),
        ((torch.ones(2), torch.ones(2).double()), "float32 on cpu, torch.float64 on cpu"),
        ((torch.ones(2), np.ones(2)), "ndarray"),
    ],
)
def test_tuples_of_other_things_are_refused(y0, message):
    with pytest.raises(ValueError, match=message):
        odeint(Of(lambda m, t, y: y), y0, SPAN)


@pytest.mark.parametrize(
    "value",
    [None, (torch.ones(3),), (torch.ones(3), torch.ones(3)), 1.0, torch.ones(2, 3), (None, None)],
)
def test_slopes_of_other_states_are_refused(value):
    with pytest.raises(ValueError, match=r"2 states, of shapes \[\(3,\), \(3, 1\)\]"):
        odeint(Of(lambda m, t, y: value), (torch.ones(3), torch.ones(3, 1)), SPAN)


def test_a_tuple_whose_parts_are_changed_in_place_is_told():
    def slope(module, t, parts):
        parts[0].add_(1)
        return parts

    y0 = (torch.ones(3), torch.ones(2))
    for recorded in (True, False):
        with torch.set_grad_enabled(recorded), pytest.raises(ValueError, match="in place"):
            odeint(Of(slope), y0, SPAN)
    assert torch.equal(y0[0], torch.ones(3))


# Options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"options": {"step_size": 0.1}}, "'options' .*gradient='direct' has it.*max_steps"),
        ({"event_fn": lambda t, y: y}, "'event_fn' .*torchdiffeq.odeint_event"),
        ({"adjoint_params": ()}, "'adjoint_params' .*gradient='adjoint' has it"),
        ({"gradient": "direct", "adjoint_rtol": 1e-3}, "'adjoint_rtol' .*'adjoint' has it"),
        ({"gradient": "direct", "event_fn": None}, "'event_fn'.*There are params, options"),
        ({"gradient": "adjoint", "mode": "steps"}, "'mode' .*'aca' has it"),
        ({"gradient": "adjoint", "first_step": 0.1}, "'first_step' .*'aca' has it"),
        ({"tolerance": 0.1}, "'tolerance'"),
    ],
)
def test_options_are_taken_or_told(options, message):
    with pytest.raises(ValueError, match=message):
        odeint(Of(lambda m, t, y: -y), torch.ones(3), SPAN, **options)


def test_options_of_torchdiffeq_reach_it():
    func, stats = Of(lambda m, t, y: -m.rate * y), Statistics()
    options = {"options": {"first_step": 1e-3}, "gradient": "adjoint", "stats": stats}
    z = odeint(func, torch.ones(3), SPAN, adjoint_options={"norm": "seminorm"}, **options)
    assert torch.autograd.grad(z.sum(), func.rate)[0] < 0
    assert stats.forward > 8


# Made up ------------------------------------------------------------------------------------------


class Linear(nn.Module):
    """y' = A y, whose solution is known."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def forward(self, t, y):
        return y @ self.matrix.T


@st.composite
def problems(draw):
    """Sizes, times of any number and direction, a method, a tolerance."""
    seed, n = draw(st.integers(0, 10_000)), draw(st.integers(1, 4))
    inner = draw(st.lists(st.floats(0.01, 0.99), max_size=12, unique=True))
    start, length = draw(st.floats(-2, 2)), draw(st.floats(0.1, 3))
    sign = draw(st.sampled_from([1, -1]))
    times = [start, *(start + sign * length * f for f in sorted(inner)), start + sign * length]
    batch = draw(st.sampled_from([(), (2,), (3, 1)]))
    method = draw(st.sampled_from(["bosh3", "dopri5", "adaptive_heun"]))
    tolerance = {"adaptive_heun": 3e-4, "bosh3": 1e-5, "dopri5": 1e-7}[method]
    return seed, n, times, batch, method, tolerance * draw(st.floats(0.3, 3))


@settings(max_examples=20, deadline=None)
@given(problems())
def test_linear_equations_have_their_values_and_gradients(problem):
    """Each mode against the matrix exponential, at all times; so is torchdiffeq.

    But its states between the steps of bosh3 and Heun are of a lower order: there its last one.
    """
    seed, n, times, batch, method, tolerance = problem
    if len(set(np.float64(times))) < len(times) or min(np.abs(np.diff(times))) < 1e-6:
        return
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(n, n, generator=generator, dtype=torch.float64) / n
    y0 = torch.randn(*batch, n, generator=generator, dtype=torch.float64).requires_grad_()
    func = Linear(start)
    weights = torch.randn(len(times), *y0.shape, generator=generator, dtype=torch.float64)
    last = torch.zeros_like(weights)
    last[-1] = weights[-1]
    inputs = (y0, func.matrix)
    since = torch.tensor(times, dtype=torch.float64) - times[0]
    exact = torch.stack([y0 @ torch.linalg.matrix_exp(s * func.matrix).T for s in since])
    slopes = {
        kind: torch.autograd.grad((w * exact).sum(), inputs, retain_graph=True)
        for kind, w in (("all", weights), ("last", last))
    }
    found = []
    for way in ({"mode": "steps"}, {"mode": "stages"}, {"mode": "graph"}, {"gradient": "direct"}):
        z = odeint(func, y0, times, method=method, rtol=tolerance, atol=tolerance, **way)
        assert z.shape == exact.shape
        kind = "last" if way == {"gradient": "direct"} and method != "dopri5" else "all"
        compared, weigh = (slice(-1, None), last) if kind == "last" else (slice(None), weights)
        scale = 1 + exact.detach().abs().max()
        assert (z - exact)[compared].abs().max() <= 300 * tolerance * scale
        found.append(torch.autograd.grad((weigh * z).sum(), inputs))
        for got, expected in zip(found[-1], slopes[kind], strict=True):
            assert (got - expected).norm() <= 3e3 * tolerance * (scale + expected.norm())
    for other in found[1:3]:  # the modes differ by rounding only
        torch.testing.assert_close(other, found[0], rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(list(TABLEAUS)),
    st.lists(st.floats(0.02, 0.98), min_size=1, max_size=6, unique=True),
    st.sampled_from(["steps", "stages", "graph"]),
    st.booleans(),
)
def test_gradients_between_steps_are_those_of_finite_differences(method, inner, mode, last):
    """One step or two of fixed length: what is computed is a smooth function of y0 and A."""
    func = Linear(torch.tensor([[0.3, -0.8], [0.5, 0.1]], dtype=torch.float64))
    y0 = torch.tensor([0.7, -0.2], dtype=torch.float64, requires_grad=True)
    times = sorted({0.0, 1.0, *(round(f, 6) for f in inner)})
    if TABLEAUS[method].adaptive:
        options = {"rtol": 1e6, "atol": 1e6, "first_step": 1.0}
    else:
        options = {"step_size": 0.5}
    chosen = slice(-2 + last, None) if last else slice(1, -1)

    def total(y, a):
        value = odeint_aca(
            lambda t, x: x @ a.T, y, times, method=method, mode=mode, params=[a], **options
        )
        return (value[chosen] ** 2).sum()

    loss = total(y0, func.matrix)
    by_y, by_a = torch.autograd.grad(loss, (y0, func.matrix))
    shift = 1e-6
    with torch.no_grad():
        for tensor, slope in ((y0, by_y), (func.matrix, by_a)):
            direction = torch.randn(
                tensor.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64
            )
            ends = []
            for sign in (1, -1):
                moved = tensor + sign * shift * direction
                pair = (moved, func.matrix) if tensor is y0 else (y0, moved)
                ends.append(total(*pair).item())
            expected = (ends[0] - ends[1]) / (2 * shift)
            assert (slope * direction).sum().item() == pytest.approx(expected, rel=1e-6, abs=1e-8)


# What users of torchdiffeq bring -----------------------------------------------------------------


class _Trace(nn.Module):
    """A continuous normalising flow: its function takes derivatives itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).double()

    def forward(self, t, states):
        z = states[0]
        with torch.set_grad_enabled(True):
            z.requires_grad_(True)
            slope = self.net(z)
            rows = [
                torch.autograd.grad(slope[:, i].sum(), z, create_graph=True)[0][:, i]
                for i in range(2)
            ]
        return slope, -sum(rows)[:, None]


@pytest.mark.parametrize("way", [{"mode": "steps"}, {"mode": "graph"}, {"gradient": "adjoint"}])
def test_a_function_may_take_derivatives_itself(way):
    flow, z = _Trace(), torch.randn(3, 2, dtype=torch.float64, requires_grad=True)

    def by_state(**options):
        ends = odeint(
            flow, (z, torch.zeros(3, 1, dtype=z.dtype)), [0.0, 1.0], rtol=1e-8, atol=1e-8, **options
        )
        return torch.autograd.grad(ends[0][-1].square().sum() + ends[1][-1].sum(), z)[0]

    torch.testing.assert_close(by_state(**way), by_state(gradient="direct"), rtol=0, atol=1e-4)


def test_a_compiled_module_is_a_function():
    func = torch.compile(Of(lambda self, t, y: self.rate * y), backend="eager")  # bool() fails
    odeint(func, torch.ones(1, 2), SPAN).sum().backward()
    assert func._orig_mod.rate.grad is not None


def test_a_preferred_device_does_not_move_what_belongs_to_the_cpu():
    net = nn.Linear(2, 2)
    with torch.device("meta"):
        ends = odeint(lambda t, y: t * net(y), torch.ones(1, 2, device="cpu"), (0, 1), params=())
    assert ends.isfinite().all()


def test_features_made_in_inference_mode_can_start_a_training():
    with torch.inference_mode():
        features = torch.ones(1, 2)
    net = nn.Linear(2, 2)
    odeint(lambda t, y: net(y), features, (0, 1), params=list(net.parameters())).sum().backward()
    assert net.weight.grad is not None


def test_the_adjoint_works_under_autocast_whose_cache_holds_the_weights():
    func = Of(lambda self, t, y: self.layer(y), layer=nn.Linear(2, 2))
    with torch.autocast("cpu", torch.bfloat16):
        func(torch.tensor(0.0), torch.ones(1, 2))
        odeint(func, torch.ones(1, 2), SPAN, gradient="adjoint").sum().backward()
    assert func.layer.weight.grad is not None


def test_a_span_in_seconds_has_an_end():
    age = 4e17  # of the universe
    ends = odeint(lambda t, y: -y / age, torch.ones(1), (0, age), rtol=1e-5, params=())
    assert ends[-1].item() == pytest.approx(0.3679, abs=2e-3)


@pytest.mark.parametrize("t", [["0", "1"], {0.0: "a", 1.0: "b"}, (n for n in (0, 1))])
def test_times_are_numbers_in_any_sequence_for_torchdiffeq_too(t):
    assert odeint(lambda t, y: -y, torch.ones(1), t, gradient="direct").shape == (2, 1)


def test_a_time_that_the_function_changes_is_not_the_solvers():
    def slope(t, y):
        return -y * t.mul_(0).add_(1)

    ends = odeint(slope, torch.ones(1), (0, 1), gradient="direct", rtol=1e-6, atol=1e-6)
    assert ends[-1].item() == pytest.approx(0.3679, abs=1e-3)


# Functions that are another one in the backward pass ----------------------------------------------

again = pytest.mark.parametrize(
    "way", [{"mode": "steps"}, {"mode": "stages"}, {"gradient": "adjoint"}], ids=str
)
keeps = pytest.mark.parametrize("way", [{"mode": "graph"}, {"gradient": "direct"}], ids=str)


class Solution(nn.Module):
    """The solution at the end, of a function that is a part of the model."""

    def __init__(self, **way):
        super().__init__()
        self.slope, self.way = Of(lambda module, t, y: -module.rate * y), way

    def forward(self, y):
        return odeint(self.slope, y, SPAN, rtol=1e-6, atol=1e-6, **self.way)[-1]


def replaced(model):
    rate = torch.tensor(0.2, requires_grad=True)
    z = torch.func.functional_call(model, {"slope.rate": 2 * rate}, matrix(3).abs())
    return z.sum(), rate


@again
def test_replaced_parameters_that_are_gone_are_told(way):
    z, _ = replaced(Solution(**way))
    with pytest.raises(SolverError, match=r"rate is another.*gradient='direct'"):
        z.backward()


@keeps
def test_replaced_parameters_have_gradients_where_nothing_is_evaluated_again(way):
    z, rate = replaced(Solution(**way))
    z.backward()
    assert rate.grad.item() == pytest.approx(-2 * z.item(), rel=1e-2)


def steps(slope):
    torch.optim.SGD(slope.parameters(), lr=0.1).step()


def writes(slope):
    slope.scale.mul_(2)


def renews(slope):
    slope.scale = slope.scale * 2


@again
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (steps, "rate was changed in place"),
        (writes, "scale was changed in place"),
        (renews, "scale is another"),
        (nn.Module.eval, r"layer '' has another mode"),
    ],
)
def test_a_function_that_is_another_one_on_the_way_back_is_told(change, message, way):
    slope = Of(lambda module, t, y: -module.rate * module.scale * y)
    slope.register_buffer("scale", torch.ones(()))
    y0 = torch.ones(3)
    odeint(slope, y0, SPAN, **way).sum().backward()
    z = odeint(slope, y0, SPAN, **way).sum()
    change(slope)
    with pytest.raises(SolverError, match=message):
        z.backward()


def counts_in_place(module, t, y):
    module.calls += 1
    return -module.rate * y


def counts_anew(module, t, y):
    module.calls = module.calls + 1
    return -module.rate * y


@in_every_way
@pytest.mark.parametrize("slope", [counts_in_place, counts_anew])
@pytest.mark.parametrize("method", ["bosh3", "euler"])
def test_a_function_may_count_its_calls_in_a_buffer(method, slope, way):
    f = Of(slope)
    f.register_buffer("calls", torch.zeros(()))
    step_size = 1.0 if method == "euler" else None  # one evaluation
    z = [odeint(f, torch.ones(3), SPAN, method=method, step_size=step_size, **way) for _ in "ab"]
    torch.stack(z).sum().backward()
    assert f.rate.grad < 0


@again
def test_a_bound_method_of_a_tuple_is_looked_at_too(way):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.rate = nn.Parameter(torch.tensor(0.7))

        def slopes(self, t, y):
            return y[1] * self.rate, -y[0]

    pair = Pair()
    z = odeint(pair.slopes, (torch.ones(2), torch.ones(2)), SPAN, **way)[0].sum()
    pair.rate = nn.Parameter(torch.tensor(0.1))
    with pytest.raises(SolverError, match="rate is another"):
        z.backward()
