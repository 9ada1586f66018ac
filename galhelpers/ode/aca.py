"""Adaptive checkpoint adjoint (Zhuang et al. 2020, arXiv:2006.02493).

The forward pass looks for the steps without recording anything and keeps those that were accepted.
The backward pass goes back through exactly these.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from galhelpers.ode.methods import StepMemory, find_tableau
from galhelpers.ode.search import Function, Mode, Search, Statistics


def odeint_aca(
    func: Function,
    y0: Tensor,
    t: Tensor | Sequence[float],
    *,
    method: str = "bosh3",
    rtol: float = 1e-3,
    atol: float = 1e-3,
    step_size: float | None = None,
    mode: Mode = "steps",
    memory: StepMemory | None = None,
    first_step: float | None = None,
    max_steps: int = 10_000,
    params: Sequence[Tensor] | None = None,
    stats: Statistics | None = None,
) -> Tensor:
    """Integrate y' = func(t, y); gradients are exact for the steps that were accepted.

    Gradients reach ``y0`` and the parameters, not the times. ``func`` is evaluated again in the
    backward pass, so it must give the same again: no dropout, no batch statistics. A hook on a
    parameter is called once for each evaluation, as it is with torchdiffeq's adjoint.

    Parameters
    ----------
    func, y0, t, method, rtol, atol, step_size, stats
        As in :func:`odeint`.
    mode
        What the forward pass keeps, for N accepted steps of s stages: ``steps``, N states, and in
        the backward pass the graph of one step at a time; ``stages``, N s states, and the graph
        of one evaluation; ``graph``, the graphs of all N s evaluations: most memory, and a
        quarter less work, because nothing is evaluated twice. All give the same gradient.
    memory
        Remembers the steps of one batch to start the next one with; see :class:`StepMemory`.
    first_step
        Length of the first step, in units of t; by default it is estimated, for one evaluation.
    max_steps
        Steps, rejected ones included, after which to give up.
    params
        Tensors that get gradients, when ``func`` is not a module that holds them all.

    Returns
    -------
    Tensor
        Shape (len(t), *y0.shape).

    Raises
    ------
    ValueError
        For arguments that make no sense; for a plain function without ``params``.
    SolverError
        When the step becomes too small for the precision of the numbers, the function gives NaN
        or infinity, or ``max_steps`` are not enough.
    """
    tableau, times = find_tableau(method, step_size), _times(t)
    if not y0.is_floating_point() or mode not in ("steps", "stages", "graph"):
        raise ValueError(
            "Expected a floating-point state and a mode of steps, stages or graph; got "
            f"{y0.dtype} and {mode!r}."
        )
    if tableau.adaptive:
        _check_control(rtol, atol, first_step, max_steps)
    y0 = at_least_single(y0)
    if params is None:
        params = parameters_of(func)
    search = Search(func, tableau, mode, stats or Statistics(), rtol, atol, max_steps)
    search.memory = memory if tableau.adaptive else None
    search.first_step = first_step if tableau.adaptive else step_size
    search.watched = list(params)
    params = list({id(p): p for p in search.watched if p.requires_grad}.values())  # each once
    if torch.is_grad_enabled() and (y0.requires_grad or params):
        return _Aca.apply(search, times, y0, *params)
    with torch.no_grad():
        return search.run(y0, times, record=False)[0]


class _Aca(torch.autograd.Function):
    """Forward: look for the steps. Backward: through those that were accepted."""

    @staticmethod
    def forward(
        ctx: Any, search: "Search", times: list[float], y0: Tensor, *params: Tensor
    ) -> Tensor:
        ctx.search, ctx.params = search, params
        ctx.versions = [p._version for p in search.watched]
        ctx.autocast = _autocast_state(y0.device.type)
        with torch.autocast(**ctx.autocast):
            result, ctx.steps, states = search.run(y0, times, record=True)
        # Autograd keeps the states: it notices when somebody changes one of them in place.
        ctx.save_for_backward(*states)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "Second derivatives are not computed: leave out create_graph=True, or take "
                "gradient='direct'."
            )
        if [p._version for p in ctx.search.watched] != ctx.versions:
            raise RuntimeError(
                "Parameters of the function were changed between the forward and the backward "
                "pass: call backward() before optimizer.step()."
            )
        if ctx.steps is None:
            raise RuntimeError("mode='graph' can go backwards once: its graphs are freed.")
        search, states = ctx.search, list(ctx.saved_tensors)
        totals: list[Tensor | None] = [None] * len(ctx.params)
        slope = torch.zeros_like(grad[0])  # derivative of the loss by the state, going back
        with torch.autocast(**ctx.autocast):
            for step in reversed(ctx.steps):
                if step.output is not None:
                    slope = slope + grad[step.output]
                kept = states[len(states) - step.n_kept :]
                del states[len(states) - step.n_kept :]
                slope = search.step_back(step, kept, slope, ctx.params, totals)
        if search.mode == "graph":
            ctx.steps = None
        return None, None, slope + grad[0], *totals


def _autocast_state(device: str) -> dict[str, Any]:
    """Describe the caller's autocast; without its cache.

    The cache keeps low-precision copies of weights. In older versions of torch one that was made
    while nothing is recorded stands in for the weight later, where its gradient is wanted.
    """
    return {
        "device_type": device,
        "enabled": torch.is_autocast_enabled(device),
        "dtype": torch.get_autocast_dtype(device),
        "cache_enabled": False,
    }


def at_least_single(y: Tensor) -> Tensor:
    """Turn half precision into single: its last bits would drown in the sum of small steps."""
    return y.float() if y.dtype in (torch.float16, torch.bfloat16) else y


def _check_control(rtol: float, atol: float, first_step: float | None, max_steps: int) -> None:
    if not (0 <= rtol < math.inf and 0 < atol < math.inf):
        raise ValueError(f"Expected rtol >= 0 and atol > 0, got {rtol} and {atol}.")
    if first_step is not None and not 0 < first_step < math.inf:
        raise ValueError(f"Expected first_step > 0, a length, got {first_step}.")
    if max_steps < 1:
        raise ValueError(f"Expected max_steps of at least 1, got {max_steps}.")


def _times(t: Tensor | Sequence[float]) -> list[float]:
    if isinstance(t, Tensor) and t.requires_grad:
        raise ValueError("Gradients with respect to the times are not computed: detach them.")
    times = [float(value) for value in (t.flatten() if isinstance(t, Tensor) else t)]
    steps = [after - before for before, after in pairwise(times)]
    ordered = all(step > 0 for step in steps) or all(step < 0 for step in steps)
    if len(times) < 2 or not ordered or not all(map(math.isfinite, times)):
        raise ValueError(f"Expected at least two times, all ascending or all descending: {times}.")
    return times


def parameters_of(func: Function) -> list[Tensor]:
    """List the parameters that get gradients; ValueError for a function that is no module."""
    module = func if isinstance(func, nn.Module) else getattr(func, "__self__", None)
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"Expected a torch.nn.Module, whose parameters get gradients, got {func!r}. For a "
            "plain function name them: params=[...], or params=[] when it has none."
        )
    return list(module.parameters())
