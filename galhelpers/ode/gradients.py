"""Solve y' = f(t, y) and differentiate through the solution: three gradients, one interface.

``odeint(..., gradient=...)`` integrates an ordinary differential equation whose right-hand side is
a network, and lets a learner switch between three ways to get gradients:

``"direct"``
    Back-propagate through every operation of the solver (torchdiffeq's ``odeint``). Exact for
    what was computed, but all of it stays in memory.
``"adjoint"``
    Solve a second equation backwards in time (torchdiffeq's ``odeint_adjoint``; Chen et al. 2018,
    arXiv:1806.07366). Little memory, but the trajectory is computed anew, backwards, and need not
    meet the one that was used.
``"aca"``
    Adaptive checkpoint adjoint (Zhuang et al. 2020, arXiv:2006.02493): look for the steps without
    recording anything, keep those that were accepted, and back-propagate through exactly these.
    Written here: ``galhelpers.ode.aca``.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from galhelpers.ode.aca import at_least_single, odeint_aca, parameters_of
from galhelpers.ode.methods import find_tableau
from galhelpers.ode.search import Function, Statistics


def odeint(
    func: Function,
    y0: Tensor,
    t: Tensor | Sequence[float],
    *,
    gradient: Literal["direct", "adjoint", "aca"] = "aca",
    method: str = "bosh3",
    rtol: float = 1e-3,
    atol: float = 1e-3,
    step_size: float | None = None,
    stats: Statistics | None = None,
    **options: Any,
) -> Tensor:
    """Integrate y' = func(t, y) from t[0], with a choice of how gradients are computed.

    Parameters
    ----------
    func
        Called with a time (a tensor without dimensions) and a state; gives the derivative, in the
        shape of the state. For ``adjoint`` and ``aca`` a ``torch.nn.Module``, whose parameters
        get gradients.
    y0
        Initial state, floating point, any shape. One of half precision is integrated in single
        precision: its last bits would drown in the sum of many small steps.
    t
        Times, at least two, ascending or descending: the initial one and those to report.
    gradient
        ``direct``, ``adjoint`` or ``aca``; see the head of this module.
    method
        ``adaptive_heun`` (Heun-Euler, order 2), ``bosh3`` (Bogacki-Shampine) or ``dopri5``
        (Dormand-Prince), which choose their steps; ``euler`` or ``rk4``, whose steps are equal.
    rtol, atol
        Error allowed in each step: ``atol + rtol * |y|``, as a root mean square over the state.
    step_size
        For ``euler`` and ``rk4``: the step, in units of t.
    stats
        Filled with the number of evaluations, in the backward pass too.
    **options
        ``params``, as in :func:`odeint_aca`; for ``aca`` its others, else those of torchdiffeq.

    Returns
    -------
    Tensor
        Shape (len(t), *y0.shape): the states at the times asked for, the first is ``y0``.

    Raises
    ------
    ValueError
        For an unknown gradient or method, or a step size where there should be none.
    SolverError
        Where ``aca`` cannot go on.
    """
    tableau, y0 = find_tableau(method, step_size), at_least_single(y0)
    if gradient == "aca":
        settings: dict[str, Any] = {
            "method": method,
            "rtol": rtol,
            "atol": atol,
            "step_size": step_size,
        }
        return odeint_aca(func, y0, t, **settings, stats=stats, **options)
    if gradient not in ("direct", "adjoint"):
        raise ValueError(f"Expected gradient as direct, adjoint or aca, got {gradient!r}.")
    import torchdiffeq

    if not tableau.adaptive:
        options["options"] = {"step_size": step_size} | options.get("options", {})
    params = options.pop("params", None)
    if gradient == "adjoint":
        found = parameters_of(func) if params is None else params
        options.setdefault("adjoint_params", tuple(found))
    counted = _Counted(func, stats or Statistics())
    solve = torchdiffeq.odeint if gradient == "direct" else torchdiffeq.odeint_adjoint
    times = torch.as_tensor(t, dtype=y0.dtype, device=y0.device)
    result = solve(counted, y0, times, method=method, rtol=rtol, atol=atol, **options)
    counted.in_backward = True  # what is evaluated from now on, the adjoint evaluates
    return result


class _Counted(nn.Module):
    """Count the calls of a function; a module, so that torchdiffeq finds its parameters."""

    def __init__(self, func: Function, stats: Statistics) -> None:
        super().__init__()
        self.func, self.stats, self.in_backward = func, stats, False

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.in_backward:
            self.stats.backward += 1
        else:
            self.stats.forward += 1
        return self.func(t, y)
