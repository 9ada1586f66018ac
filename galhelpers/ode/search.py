"""The adaptive checkpoint adjoint at work: one integration, forward to find the steps, and back.

``galhelpers.ode.aca`` is the way in; here are the loops.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from galhelpers.ode.methods import StepMemory, Tableau, change_of_step

Function = Callable[[Tensor, Tensor], Tensor]
Mode = Literal["steps", "stages", "graph"]


class SolverError(RuntimeError):
    """An integration that cannot go on; the message says where, with which step and tolerance."""


@dataclass
class Statistics:
    """What an integration cost; give an empty one to :func:`odeint` and read it afterwards.

    Attributes
    ----------
    forward, backward
        Evaluations of the function in the two passes.
    accepted, rejected
        Steps (``aca`` only).
    times
        Ends of the accepted steps, starting with the initial time (``aca`` only).
    """

    forward: int = 0
    backward: int = 0
    accepted: int = 0
    rejected: int = 0
    times: list[float] = field(default_factory=list)


Stage = tuple[Tensor, Tensor]  # where the function was evaluated, and what it gave


@dataclass
class Step:
    """An accepted step from t to t + h."""

    t: float
    h: float
    end: float  # t + h, but for rounding
    n_kept: int  # states kept of it: none, its start, or the inputs of its stages
    stages: list[Stage]  # with their graphs, in mode "graph"
    output: int | None = None  # index of the requested time that it ends at


@dataclass
class Search:
    """One integration: what it needs to know, its steps forward and back."""

    func: Function
    tableau: Tableau
    mode: Mode
    stats: Statistics
    rtol: float
    atol: float
    max_steps: int
    first_step: float | None = None
    memory: StepMemory | None = None
    watched: list[Tensor] = field(default_factory=list)  # parameters that must not change

    def run(
        self, y: Tensor, times: list[float], record: bool
    ) -> tuple[Tensor, list[Step], list[Tensor]]:
        """Integrate: states at ``times``; when asked to ``record``, the steps and their states."""
        y, t = y.detach(), times[0]
        outputs, steps, states = [y], [], list[Tensor]()
        span, direction = abs(times[-1] - t), math.copysign(1.0, times[-1] - t)
        plan = self.memory.plan(t, times[-1]) if self.memory else []
        history: list[tuple[float, float, float]] = []
        first: Stage | None = None
        tried, h = 0, self.first_step
        self.stats.times.append(t)
        for index, stop in enumerate(times[1:], start=1):
            while t != stop:
                if tried >= self.max_steps:
                    raise self._error(f"{self.max_steps:,} steps were not enough", t, h)
                tried += 1
                first = first or self._stage(t, y, record)
                if h is None and not plan:
                    h = self._first_step(t, y, first[1], direction, span)
                wanted = abs(plan[0] - t) if plan else h or span
                left = abs(stop - t)
                # The function sees no shorter step; and near t = 0 there must be an end too.
                eps, least = torch.finfo(y.dtype).eps, span * sys.float_info.epsilon
                sliver = max(1e-6 * wanted, max(abs(t), abs(stop)) * eps, least)
                step = left if left <= wanted + sliver else wanted  # leave no sliver
                after = stop if step == left else t + direction * step
                if abs(after - t) <= max(abs(t) * eps, least):
                    raise self._error("The step is too small for numbers of this precision", t, h)
                new, stages, ratio = self._try(t, after, y, first, record)
                if ratio > 1:  # NaN never gets here: _try turns it into infinity
                    self.stats.rejected += 1
                    plan, h = [], step * change_of_step(ratio, self.tableau.order)
                    continue
                self.stats.accepted += 1
                self.stats.times.append(after)
                history.append((t, after, ratio))
                if record:
                    kept = self._keep(y, stages)
                    states += kept
                    graphs = stages[: self.tableau.n_stages] if self.mode == "graph" else []
                    steps.append(Step(t, after - t, after, len(kept), graphs))
                if self.tableau.adaptive:
                    grown = step * change_of_step(ratio, self.tableau.order)
                    h = max(grown, h or 0.0) if step < wanted else grown
                first = stages[-1] if self.tableau.first_same_as_last else None
                y, t = new, after
                plan = [end for end in plan if (end - t) * direction > 1e-9 * span]
            outputs.append(y)
            if steps:
                steps[-1].output = index
        if not self.tableau.adaptive and not bool(torch.isfinite(y).all()):
            raise self._error("The function gave NaN or infinity before the end", t, h)
        if self.memory:
            self.memory.learn(history, self.tableau.order)
        return torch.stack(outputs), steps, states

    def _stage(self, t: float, y: Tensor, record: bool = False) -> Stage:
        """Evaluate the function; in mode "graph" with a graph that begins at the stage's input."""
        self.stats.forward += 1
        if record and self.mode == "graph":
            return self._with_graph(t, y)
        return y, _as_state(self.func(_scalar(t, y), y), y)

    def _with_graph(self, t: float, y: Tensor) -> Stage:
        with torch.enable_grad():
            start = y.detach().requires_grad_()
            return start, _as_state(self.func(_scalar(t, y), start), y)

    def _try(
        self, t: float, after: float, y: Tensor, first: Stage, record: bool
    ) -> tuple[Tensor, list[Stage], float]:
        """Take one step: the state at its end, its stages, and the error over the tolerance."""
        method, h, stages = self.tableau, after - t, [first]
        slopes = [first[1].detach()]
        for c, weights in zip(method.c, method.a, strict=True):
            place = combine(y, h, weights, slopes)
            stages.append(self._stage(after if c == 1 else t + c * h, place, record))
            slopes.append(stages[-1][1].detach())
        same = method.first_same_as_last
        new = stages[-1][0].detach() if same else combine(y, h, method.b, slopes)
        if not method.adaptive:
            return new, stages, 0.0
        error = combine(None, h, method.e, slopes)
        allowed = torch.maximum(y.abs(), new.abs()).mul_(self.rtol).add_(self.atol)
        ratio = _rms(error.div_(allowed)).item()  # the one number that the host waits for
        if math.isfinite(ratio):
            return new, stages, ratio
        if not bool(torch.isfinite(slopes[0]).all()):
            raise self._error("The function gave NaN or infinity", t, h)
        return new, stages, math.inf

    def _keep(self, y: Tensor, stages: list[Stage]) -> list[Tensor]:
        if self.mode == "steps":
            return [y]
        if self.mode == "stages":
            return [place for place, _ in stages[: self.tableau.n_stages]]
        return []  # the graphs hold everything

    def step_back(
        self,
        step: Step,
        kept: list[Tensor],
        slope: Tensor,
        params: Sequence[Tensor],
        totals: list[Tensor | None],
    ) -> Tensor:
        """Go back through one step: ``slope`` at its end to that at its start, by the chain rule.

        With p_j the derivative of the loss by the input of stage j: the value of stage j gets
        h (b_j slope + sum over later stages i of a_ij p_i), its vector-Jacobian product is p_j,
        and the start of the step gets slope + sum p_j. ``totals`` grow by the parameters' share.
        """
        method, n = self.tableau, self.tableau.n_stages
        moments = [step.t]
        moments += [step.end if c == 1 else step.t + c * step.h for c in method.c]
        stages = self._again(kept, step.h, moments) if self.mode == "steps" else step.stages
        pulls: list[Tensor] = []  # p_j of the later stages, the last one first
        for j in reversed(range(n)):
            weights = [method.b[j]] + [method.a[i - 1][j] for i in range(n - 1, j, -1)]
            weight = combine(None, step.h, weights, [slope, *pulls])
            if self.mode == "stages":
                self.stats.backward += 1
                stages.append(self._with_graph(moments[j], kept[j]))
            pull, *shares = _pull(stages.pop(), weight, params)
            pulls.append(torch.zeros_like(slope) if pull is None else pull)
            for k, share in enumerate(shares):
                total = totals[k]
                if share is not None:
                    totals[k] = share if total is None else total + share
        return combine(slope, 1.0, [1.0] * n, pulls)

    def _again(self, kept: list[Tensor], h: float, moments: list[float]) -> list[Stage]:
        """Evaluate the stages of a step once more, now with their graphs (mode "steps")."""
        stages: list[Stage] = []
        for j in range(self.tableau.n_stages):
            slopes = [value.detach() for _, value in stages]
            place = combine(kept[0], h, self.tableau.a[j - 1], slopes) if j else kept[0]
            self.stats.backward += 1
            stages.append(self._with_graph(moments[j], place))
        return stages

    def _first_step(
        self, t: float, y: Tensor, slope: Tensor, direction: float, span: float
    ) -> float:
        """Estimate the first step (Hairer, Norsett & Wanner 1993, section II.4): one evaluation."""
        slope = slope.detach()
        allowed = y.abs().mul_(self.rtol).add_(self.atol)
        size, speed = torch.stack([_rms(y / allowed), _rms(slope / allowed)]).tolist()
        if not math.isfinite(speed):
            raise self._error("The function gave NaN or infinity", t, None)
        trial = 1e-6 if min(size, speed) < 1e-5 else 0.01 * size / speed
        trial = min(trial, span)
        place = torch.add(y, slope, alpha=direction * trial)
        other = self._stage(t + direction * trial, place)[1]
        bend = _rms((other - slope) / allowed).item() / trial
        most = max(speed, bend) if math.isfinite(bend) else math.inf
        second = max(1e-6, trial * 1e-3)
        if most > 1e-15:
            second = (0.01 / most) ** (1 / self.tableau.order)
        return min(100 * trial, second or trial, span)

    def _error(self, what: str, t: float, h: float | None) -> SolverError:
        step = "" if h is None else f" with a step of {h:.3g}"
        return SolverError(
            f"{what}: {self.tableau.name} at t = {t:.6g}{step}, rtol = {self.rtol:g}, "
            f"atol = {self.atol:g}. Look at what the function gives there; if it is finite, it "
            "changes too fast for this tolerance: loosen it, or keep the weights smaller."
        )


def combine(
    start: Tensor | None, h: float, weights: Sequence[float], terms: Sequence[Tensor]
) -> Tensor:
    """Add up start + h sum(weight * term), leaving out weights of zero."""
    total, fresh = start, False
    for weight, term in zip(weights, terms, strict=False):
        if weight == 0:
            continue
        if total is None:
            total = term * (h * weight)
        elif fresh:
            total.add_(term, alpha=h * weight)
        else:
            total = torch.add(total, term, alpha=h * weight)
        fresh = True
    return torch.zeros_like(terms[0]) if total is None else total


def _pull(stage: Stage, weight: Tensor, params: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Vector-Jacobian products of a stage: by its input, and by each parameter."""
    place, value = stage
    if not value.requires_grad:  # the function depends on neither
        return [None] * (1 + len(params))
    return torch.autograd.grad(value, (place, *params), weight, allow_unused=True)


def _as_state(value: Tensor, y: Tensor) -> Tensor:
    if value.shape != y.shape:
        raise ValueError(
            f"The function should give the shape of the state, {tuple(y.shape)}, it gave "
            f"{tuple(value.shape)}."
        )
    return value.to(y.dtype)


def _rms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x) / math.sqrt(max(1, x.numel()))


def _scalar(t: float, like: Tensor) -> Tensor:
    # On the CPU, whatever the state's device: there it works as a plain number, without a copy.
    return torch.tensor(t, dtype=like.dtype)
