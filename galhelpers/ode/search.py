"""The adaptive checkpoint adjoint at work: one integration, forward to find the steps, and back.

``galhelpers.ode.aca`` is the way in; here are the loops.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from galhelpers.ode.function import Function, SolverError, evaluate, version
from galhelpers.ode.methods import StepMemory, Tableau, change_of_step

Mode = Literal["steps", "stages", "graph"]


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
    n_stages: int  # that the backward pass goes through
    n_kept: int  # states kept of it: none, its start, or the inputs of its stages
    stages: list[Stage]  # with their graphs, in mode "graph"
    inside: slice  # indices of the requested times before its end
    weights: Tensor | None  # of its stages (times h) in the states at these times
    output: int | None  # index of the requested time that it ends at


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
    last: tuple[Tensor, int] | None = None  # what the function gave last, and its version

    def run(
        self, y: Tensor, times: list[float], first: Stage | None, record: bool
    ) -> tuple[Tensor, list[Step], list[Tensor]]:
        """Integrate: states at ``times``; when asked to ``record``, the steps and their states.

        The steps are those from the first time to the last. The states in between come from the
        stages of the step that they lie in.
        """
        y, t, stop, n = y.detach(), times[0], times[-1], 1
        outputs, steps, states = [y[None]], list[Step](), list[Tensor]()
        span, direction = abs(stop - t), math.copysign(1.0, stop - t)
        plan = self.memory.plan(t, stop) if self.memory else []
        history: list[tuple[float, float, float]] = []
        tried, h = 0, self.first_step
        self.stats.times.append(t)
        while t != stop:
            if tried >= self.max_steps:
                raise self._error(f"{self.max_steps:,} steps were not enough", t, h, y)
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
                raise self._error("The step is too small for numbers of this precision", t, h, y)
            new, stages, ratio = self._try(t, after, y, first, record)
            if ratio > 1:  # NaN never gets here: _try turns it into infinity
                self.stats.rejected += 1
                plan, h = [], step * change_of_step(ratio, self.tableau.order)
                continue
            self.stats.accepted += 1
            self.stats.times.append(after)
            history.append((t, after, ratio))
            begin = n
            while n < len(times) and (times[n] - after) * direction < 0:
                n += 1
            weights = None
            if n > begin:
                weights = self._weights(t, after, times[begin:n], y)
                outputs.append(_inside(y, weights, [value for _, value in stages]))
            ends_at_output = n < len(times) and times[n] == after
            if ends_at_output:
                outputs.append(new[None])
            if record:
                kept = self._keep(y, stages)
                states += kept
                used = self.tableau.n_stages
                graphs = stages[:used] if self.mode == "graph" else []
                output = n if ends_at_output else None
                inside = slice(begin, n)
                steps.append(
                    Step(t, after - t, after, used, len(kept), graphs, inside, weights, output)
                )
            n += ends_at_output
            if self.tableau.adaptive:
                grown = step * change_of_step(ratio, self.tableau.order)
                h = max(grown, h or 0.0) if step < wanted else grown
            first = stages[-1] if self.tableau.first_same_as_last else None
            y, t = new, after
            plan = [end for end in plan if (end - t) * direction > 1e-9 * span]
        if not self.tableau.adaptive and not bool(torch.isfinite(y).all()):
            raise self._error("The function gave NaN or infinity before the end", t, h, outputs[0])
        if self.memory:
            self.memory.learn(history, self.tableau.order)
        if steps and steps[-1].weights is not None and first:
            # The slope at the very end counts too: it begins a step of no length.
            kept = [] if self.mode == "graph" else [y]
            states += kept
            graphs = [first] if self.mode == "graph" else []
            steps.append(Step(t, 0.0, t, 1, len(kept), graphs, slice(0), None, None))
        self.last = None
        return torch.cat(outputs), steps, states

    def _weights(self, t: float, after: float, times: list[float], y: Tensor) -> Tensor:
        """Weights of the stages in the states at times inside a step: (times, stages)."""
        theta = (np.array(times) - t) / (after - t)
        weights = (after - t) * self.tableau.inside(theta)
        return torch.as_tensor(weights, dtype=y.dtype, device=y.device)

    def _stage(self, t: float, y: Tensor, record: bool = False) -> Stage:
        """Evaluate the function; in mode "graph" with a graph that begins at the stage's input."""
        self.stats.forward += 1
        if record and self.mode == "graph":
            stage = self._with_graph(t, y)
        else:
            stage = y, evaluate(self.func, scalar(t, y), y)
        if self.last and version(self.last[0]) != self.last[1]:
            raise ValueError(
                "The function writes into a tensor that it gave at an earlier evaluation (out=, or "
                "a buffer that it keeps). The solver still needs that one: give a new tensor."
            )
        self.remember(stage[1])
        return stage

    def remember(self, value: Tensor) -> None:
        """Note what the function gave, to see at the next evaluation whether it changed that."""
        self.last = value.detach(), version(value)

    def _with_graph(self, t: float, y: Tensor) -> Stage:
        with torch.enable_grad():
            start = y.detach().requires_grad_()
            return start, evaluate(self.func, scalar(t, y), start)

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
            raise self._error("The function gave NaN or infinity", t, h, y)
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
        grad: Tensor,
        before: Step | None,
        params: Sequence[Tensor],
        totals: list[Tensor | None],
    ) -> Tensor:
        """Go back through one step: ``slope`` at its end to that at its start, by the chain rule.

        With p_j the derivative of the loss by the input of stage j: the value of stage j gets
        h (b_j slope + sum over later stages i of a_ij p_i), its vector-Jacobian product is p_j,
        and the start of the step gets slope + sum p_j. ``totals`` grow by the parameters' share.

        A state inside the step, of derivative g, is the start plus h sum(b_j(theta) k_j): the
        value of stage j gets h b_j(theta) g too, and the start g. Where the last stage is the
        first one of the next step, its share is given there: that of the step ``before``, here.
        """
        method, n = self.tableau, step.n_stages
        shares = _shares(step, grad, slice(n))
        if method.first_same_as_last and before is not None:
            owed = _shares(before, grad, slice(method.n_stages, None))
            if owed:
                shares = [owed[0] + shares[0], *shares[1:]] if shares else owed
        moments = [step.t]
        moments += [step.end if c == 1 else step.t + c * step.h for c in method.c]
        stages = self._again(kept, step.h, moments, n) if self.mode == "steps" else step.stages
        pulls: list[Tensor] = []  # p_j of the later stages, the last one first
        for j in reversed(range(n)):
            weights = [method.b[j]] + [method.a[i - 1][j] for i in range(n - 1, j, -1)]
            weight = combine(None, step.h, weights, [slope, *pulls])
            if j < len(shares):
                weight = weight + shares[j]
            if self.mode == "stages":
                self.stats.backward += 1
                stages.append(self._with_graph(moments[j], kept[j]))
            pull, *by_params = _pull(stages.pop(), weight, params)
            pulls.append(torch.zeros_like(slope) if pull is None else pull)
            for k, gained in enumerate(by_params):
                total = totals[k]
                if gained is not None:
                    totals[k] = gained if total is None else total + gained
        start = combine(slope, 1.0, [1.0] * n, pulls)
        return start if step.weights is None else start + grad[step.inside].sum(dim=0)

    def _again(self, kept: list[Tensor], h: float, moments: list[float], n: int) -> list[Stage]:
        """Evaluate the stages of a step once more, now with their graphs (mode "steps")."""
        stages: list[Stage] = []
        for j in range(n):
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
            raise self._error("The function gave NaN or infinity", t, None, y)
        # Not so short that a long span, such as one in seconds, has no number for its end.
        trial = max(1e-6, 1e-9 * span) if min(size, speed) < 1e-5 else 0.01 * size / speed
        trial = min(trial, span)
        place = torch.add(y, slope, alpha=direction * trial)
        other = self._stage(t + direction * trial, place)[1]
        bend = _rms((other - slope) / allowed).item() / trial
        most = max(speed, bend) if math.isfinite(bend) else math.inf
        second = max(1e-6, trial * 1e-3)
        if most > 1e-15:
            second = (0.01 / most) ** (1 / self.tableau.order)
        return min(100 * trial, second or trial, span)

    def _error(self, what: str, t: float, h: float | None, y: Tensor) -> SolverError:
        step = "" if h is None else f" with a step of {h:.3g}"
        where = f"{what}: {self.tableau.name} at t = {t:.6g}{step}"
        if not bool(torch.isfinite(y).all()):
            return SolverError(f"{where}. y0 itself holds NaN or infinity.")
        if not self.tableau.adaptive:
            return SolverError(
                f"{where}. Look at what the function gives there. Where it is finite: a shorter "
                "step_size keeps the solution from growing without limit, a longer one or a higher "
                "max_steps gets further."
            )
        return SolverError(
            f"{where}, rtol = {self.rtol:g}, atol = {self.atol:g}. Look at what the function gives "
            "there; if it is finite, it changes too fast for this tolerance: loosen it, keep the "
            "weights smaller, or allow more steps with max_steps."
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


def _inside(y: Tensor, weights: Tensor, slopes: list[Tensor]) -> Tensor:
    """States inside a step that begins at y: (times, *y.shape)."""
    states = y.expand(len(weights), *y.shape).clone()
    # No matrix product: on a GPU that may be set to round more than the states are worth.
    for weight, slope in zip(_by_stage(weights, y.ndim), slopes, strict=True):
        states.addcmul_(weight, slope.detach())
    return states


def _shares(step: Step, grad: Tensor, stages: slice) -> list[Tensor]:
    """Pull what the states inside a step are given back to the values of some of its stages."""
    if step.weights is None:
        return []
    given = grad[step.inside]
    by_stage = _by_stage(step.weights[:, stages], given.ndim - 1)
    return [(weight * given).sum(dim=0) for weight in by_stage]


def _by_stage(weights: Tensor, dimensions: int) -> Tensor:
    """Weights (times, stages) to (stages, times, 1, ...), to multiply states."""
    return weights.T.reshape(*weights.T.shape, *[1] * dimensions)


def _rms(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x) / math.sqrt(max(1, x.numel()))


def scalar(t: float, like: Tensor) -> Tensor:
    """Make a time a tensor: on the CPU, where it works as a plain number on any device."""
    return torch.tensor(t, dtype=like.dtype, device="cpu")
