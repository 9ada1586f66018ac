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

from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from galhelpers.messages import public
from galhelpers.ode.aca import checked_state, odeint_aca, times_of
from galhelpers.ode.function import (
    Function,
    Joined,
    SolverError,
    Unchanged,
    evaluate,
    evaluate_first,
    parameters_of,
    refuse_batch_statistics,
)
from galhelpers.ode.methods import find_tableau
from galhelpers.ode.search import Statistics

_ADJOINT = ("adjoint_rtol", "adjoint_atol", "adjoint_method", "adjoint_options", "adjoint_params")
OPTIONS = {
    "aca": ("params", "mode", "memory", "first_step", "max_steps"),
    "direct": ("params", "options"),
    "adjoint": ("params", "options", *_ADJOINT),
}
"""What ``odeint`` passes on, for each way to the gradient."""


@overload
def odeint(func: Function, y0: Tensor, t: Tensor | Sequence[float], **options: Any) -> Tensor: ...
@overload
def odeint(
    func: Callable[..., Sequence[Tensor]],
    y0: tuple[Tensor, ...] | list[Tensor],
    t: Tensor | Sequence[float],
    **options: Any,
) -> tuple[Tensor, ...]: ...
def odeint(
    func: Callable[..., Any],
    y0: Tensor | tuple[Tensor, ...] | list[Tensor],
    t: Tensor | Sequence[float],
    *,
    gradient: Literal["direct", "adjoint", "aca"] = "aca",
    method: str = "bosh3",
    rtol: float = 1e-3,
    atol: float = 1e-3,
    step_size: float | None = None,
    stats: Statistics | None = None,
    **options: Any,
) -> Tensor | tuple[Tensor, ...]:
    """Integrate y' = func(t, y) from t[0], with a choice of how gradients are computed.

    Parameters
    ----------
    func
        Called with a time (a tensor without dimensions) and a state; gives the derivative, in the
        shape of the state. For ``adjoint`` and ``aca`` a ``torch.nn.Module``, whose parameters
        get gradients.
    y0
        Initial state, floating point, any shape. One of half precision is integrated in single
        precision: its last bits would drown in the sum of many small steps. A tuple of states is
        integrated as one long state; ``func`` then gets and gives a tuple.
    t
        Times, at least two, ascending or descending: the initial one and those to report. Those
        between the first and the last cost no evaluation.
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
        ``params``, as in :func:`odeint_aca`; for ``aca`` its others, else ``options`` of
        torchdiffeq, and for ``adjoint`` those of its that begin with ``adjoint_``.

    Returns
    -------
    Tensor, or tuple of them as ``y0``
        Shape (len(t), *y0.shape): the states at the times asked for, the first is ``y0``.

    Raises
    ------
    ValueError
        For arguments that make no sense, and a function that is not one of time and state only:
        see :func:`odeint_aca`.
    SolverError
        Where the solver cannot go on.
    """
    tableau = find_tableau(method, step_size)
    _check_options(gradient, options)
    settings: dict[str, Any] = {"method": method, "rtol": rtol, "atol": atol}
    settings |= {"step_size": step_size, "stats": stats}
    if isinstance(y0, tuple | list):
        if gradient != "direct":
            options.setdefault("params", parameters_of(func))
        refuse_batch_statistics(func)
        several = Joined(func, y0)
        options |= {"gradient": gradient, **settings}
        return several.split(odeint(several, several.join(y0), t, **options))
    if gradient == "aca":
        return odeint_aca(func, y0, t, **settings, **options)
    if torch.is_inference_mode_enabled():  # its tensors do not tell when they are changed
        with torch.inference_mode(False), torch.no_grad():
            return odeint(func, y0.clone(), t, gradient=gradient, **settings, **options)
    import torchdiffeq

    y0 = checked_state(y0)
    checked = times_of(t.detach() if isinstance(t, Tensor) else t)
    given = t if isinstance(t, Tensor) else checked  # torchdiffeq has gradients by a tensor
    refuse_batch_statistics(func)
    if not tableau.adaptive:
        options["options"] = {"step_size": step_size} | (options.get("options") or {})
    params = options.pop("params", None)
    if gradient == "adjoint":
        found = parameters_of(func) if params is None else params
        known = options.setdefault("adjoint_params", tuple(found))
        counted = _Counted(func, stats or Statistics(), known if torch.is_grad_enabled() else None)
    else:
        counted = _Counted(func, stats or Statistics())
    unchanged = Unchanged(func if gradient == "adjoint" else None)
    solve = torchdiffeq.odeint if gradient == "direct" else torchdiffeq.odeint_adjoint
    times = torch.as_tensor(given, dtype=y0.dtype, device=y0.device)
    try:
        result = solve(counted, y0, times, method=method, rtol=rtol, atol=atol, **options)
    except AssertionError as error:  # its way to say that it cannot go on
        raise SolverError(
            f"torchdiffeq's {method} cannot go on: {public(error, 200)} (rtol = {rtol:g}, atol = "
            f"{atol:g}, numbers of {y0.dtype}). Look for NaN or infinity in y0 and in what the "
            "function gives, and for times that lie too close together for this precision."
        ) from error
    counted.in_backward = True  # what is evaluated from now on, the adjoint evaluates
    if gradient == "adjoint" and result.requires_grad:
        unchanged.settle()
        result.register_hook(lambda _: unchanged.check("gradient='direct'"))
    return result


def _check_options(gradient: str, options: dict[str, Any]) -> None:
    if gradient not in OPTIONS:
        raise ValueError(f"Expected gradient as direct, adjoint or aca, got {gradient!r}.")
    for name in options:
        if name not in OPTIONS[gradient]:
            others = [other for other, names in OPTIONS.items() if name in names]
            hint = f"gradient='{others[0]}' has it. " if others else ""
            hint = hint or "torchdiffeq.odeint and torchdiffeq.odeint_event may have it. "
            raise ValueError(
                f"There is no option {name!r} with gradient={gradient!r}. {hint}There are "
                f"{', '.join(OPTIONS[gradient])}."
            )


class _Counted(nn.Module):
    """Count the calls of a function; a module, so that torchdiffeq finds its parameters."""

    def __init__(
        self, func: Function, stats: Statistics, known: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__()
        self.func, self.stats, self.in_backward = func, stats, False
        self.known, self.seen = known, False

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        if self.in_backward:
            self.stats.backward += 1
        else:
            self.stats.forward += 1
        t = t.clone()  # torchdiffeq goes on with its own
        if self.seen:
            return evaluate(self.func, t, y)
        self.seen = True
        _, value, others = evaluate_first(self.func, t, y, self.known)
        if others:
            raise ValueError(
                f"The function uses {len(others)} tensors that need gradients and are no "
                f"parameters of it, of shapes {[tuple(other.shape) for other in others]}: the "
                "adjoint would give them none. Name them too: params=[*module.parameters(), ...]."
            )
        return value if self.known is None else value.detach()
