"""Adaptive checkpoint adjoint (Zhuang et al. 2020, arXiv:2006.02493).

The forward pass looks for the steps without recording anything and keeps those that were accepted.
The backward pass goes back through exactly these.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from galhelpers.messages import public
from galhelpers.ode.function import (
    Function,
    Unchanged,
    autocast_state,
    evaluate_first,
    parameters_of,
    refuse_batch_statistics,
)
from galhelpers.ode.methods import StepMemory, find_tableau
from galhelpers.ode.search import Mode, Search, Stage, Statistics, scalar


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

    The steps lead from the first time to the last. States at the times between come from the
    stages of the steps, by the method's own polynomial, and cost no evaluation; their gradients are
    exact for it. Gradients do not reach the times. ``func`` is evaluated again in the backward
    pass, so it must give the same again: dropout and batch statistics are refused. A hook on a
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
        Tensors that get gradients, when ``func`` is not a module. Leaves that need gradients and
        take part in the first evaluation get them too, named or not.

    Returns
    -------
    Tensor
        Shape (len(t), *y0.shape).

    Raises
    ------
    ValueError
        For arguments that make no sense; for a plain function without ``params``; for a function
        that changes its argument, draws random numbers or gives no slope of the state.
    SolverError
        When the step becomes too small for the precision of the numbers, the function gives NaN
        or infinity, or ``max_steps`` are not enough. In the backward pass, when the function was
        changed since: its parameters, its buffers, or whether its layers train.
    """
    tableau, times, y0 = find_tableau(method, step_size), times_of(t), checked_state(y0)
    if mode not in ("steps", "stages", "graph"):
        raise ValueError(f"Expected a mode of steps, stages or graph, got {mode!r}.")
    if tableau.adaptive:
        _check_control(rtol, atol, first_step, max_steps)
    params = parameters_of(func) if params is None else list(params)
    refuse_batch_statistics(func)
    search = Search(func, tableau, mode, stats or Statistics(), rtol, atol, max_steps)
    search.memory = memory if tableau.adaptive else None
    search.first_step = first_step if tableau.adaptive else step_size
    search.stats.forward += 1
    now = scalar(times[0], y0)
    if not torch.is_grad_enabled():
        # Tensors of inference mode do not tell when they are changed.
        autocast = torch.autocast(**autocast_state(y0.device.type))
        with torch.inference_mode(False), torch.no_grad(), autocast:
            place, value, _ = evaluate_first(func, now, y0)
            search.remember(value)
            return search.run(y0, times, (place, value), record=False)[0]
    unchanged = Unchanged(None if mode == "graph" else func)  # "graph" evaluates nothing again
    place, value, others = evaluate_first(func, now, y0, params, mode == "graph")
    if mode != "graph":
        place, value = place.detach(), value.detach()  # nobody goes back through this graph
    search.remember(value)
    watched = params + others
    unchanged.watch(watched)
    params = list({id(p): p for p in watched if p.requires_grad}.values())  # each once
    if y0.requires_grad or params:
        return _Aca.apply(search, unchanged, times, (place, value), y0, *params)
    with torch.no_grad():
        return search.run(y0, times, (y0, value.detach()), record=False)[0]


class _Aca(torch.autograd.Function):
    """Forward: look for the steps. Backward: through those that were accepted."""

    @staticmethod
    def forward(
        ctx: Any,
        search: Search,
        unchanged: Unchanged,
        times: list[float],
        first: Stage,
        y0: Tensor,
        *params: Tensor,
    ) -> Tensor:
        ctx.search, ctx.unchanged, ctx.params = search, unchanged, params
        ctx.autocast = autocast_state(y0.device.type)
        with torch.autocast(**ctx.autocast):
            result, ctx.steps, states = search.run(y0, times, first, record=True)
        unchanged.settle()
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
        ctx.unchanged.check("mode='graph' or gradient='direct'")
        if ctx.steps is None:
            raise RuntimeError("mode='graph' can go backwards once: its graphs are freed.")
        search, states = ctx.search, list(ctx.saved_tensors)
        totals: list[Tensor | None] = [None] * len(ctx.params)
        slope = torch.zeros_like(grad[0])  # derivative of the loss by the state, going back
        with torch.autocast(**ctx.autocast):
            for step, before in zip(ctx.steps[::-1], [*ctx.steps[-2::-1], None], strict=True):
                if step.output is not None:
                    slope = slope + grad[step.output]
                kept = states[len(states) - step.n_kept :]
                del states[len(states) - step.n_kept :]
                slope = search.step_back(step, kept, slope, grad, before, ctx.params, totals)
        if search.mode == "graph":
            ctx.steps = None
        return None, None, None, None, slope + grad[0], *totals


def checked_state(y0: Tensor) -> Tensor:
    """Check a state, and turn half precision into single.

    The last bits of half precision would drown in the sum of small steps.
    """
    if not isinstance(y0, Tensor):
        kind = f"{type(y0).__module__}.{type(y0).__name__}".removeprefix("builtins.")
        raise ValueError(f"Expected y0 as a torch.Tensor, got {kind}: torch.as_tensor(y0) is one.")
    if not y0.is_floating_point() or y0.layout != torch.strided:
        raise ValueError(
            f"Expected y0 as a dense tensor of floating-point numbers, got {y0.dtype}, {y0.layout}."
        )
    if y0.is_inference() and not torch.is_inference_mode_enabled():
        y0 = y0.clone()  # else no gradient can be taken of what is computed from it
    return y0.float() if torch.finfo(y0.dtype).bits < 32 else y0


def _check_control(rtol: float, atol: float, first_step: float | None, max_steps: int) -> None:
    numbers = all(isinstance(value, int | float | np.number) for value in (rtol, atol))
    if not (numbers and 0 <= rtol < math.inf and 0 < atol < math.inf):
        raise ValueError(f"Expected numbers rtol >= 0 and atol > 0, got {rtol!r} and {atol!r}.")
    if first_step is not None and not 0 < first_step < math.inf:
        raise ValueError(f"Expected first_step > 0, a length, got {first_step}.")
    if not (isinstance(max_steps, int | float) and max_steps >= 1):
        raise ValueError(f"Expected max_steps of at least 1, got {max_steps}.")


def times_of(t: Tensor | Sequence[float]) -> list[float]:
    """Check the times, and give them as numbers."""
    if isinstance(t, Tensor) and t.requires_grad:
        raise ValueError("Gradients with respect to the times are not computed: detach them.")
    example = "at least two times in one dimension, such as (0.0, 1.0)"
    try:
        times = [float(value) for value in (t.tolist() if isinstance(t, Tensor) else t)]
    except (TypeError, ValueError):
        times = []
    if len(times) < 2 or isinstance(t, str):
        raise ValueError(f"Expected {example}, got {public(t, 60)}.")
    up = times[-1] > times[0]
    for n, (before, after) in enumerate(pairwise(times)):
        if not (math.isfinite(before) and math.isfinite(after) and before != after) or (
            (after > before) != up
        ):
            raise ValueError(
                "Expected finite times, all ascending or all descending, none of them twice; "
                f"numbers {n} and {n + 1} of {len(times):,}, counted from 0, are {before} and "
                f"{after}."
            )
    return times
