"""Runge-Kutta methods as tables of numbers, and how long the next step should be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# Limits of a change of step, and the margin below the tolerance: those of torchdiffeq. With bosh3
# both take the same steps; its estimates of dopri5 and Heun differ from the textbooks'.
LARGEST, SMALLEST, MARGIN = 10.0, 0.2, 0.9


@dataclass(frozen=True)
class Tableau:
    """A Runge-Kutta method: stage j is f at t + c_j h, y + h sum(a_ji k_i); y grows by h sum(b k).

    Attributes
    ----------
    order
        The error of one step shrinks as h to the power ``order`` + 1.
    c, a
        Times and weights of the stages after the first.
    b
        Weights of the solution.
    e
        Weights of the error estimate, solution minus embedded solution; empty for equal steps.
    dense
        The same weights inside the step, at t + theta h: for each stage the coefficients of theta,
        theta^2, ... Their sums are ``b``.
    """

    name: str
    order: int
    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    e: tuple[float, ...] = ()
    dense: tuple[tuple[float, ...], ...] = ()

    @property
    def adaptive(self) -> bool:
        """Whether the method estimates its own error and can choose its steps."""
        return bool(self.e)

    @property
    def first_same_as_last(self) -> bool:
        """Whether the last stage is evaluated at the solution, and so begins the next step."""
        return bool(self.a) and self.b == (*self.a[-1], 0.0)

    @property
    def n_stages(self) -> int:
        """Stages that the solution depends on."""
        return max(j for j, weight in enumerate(self.b) if weight) + 1

    def inside(self, theta: np.ndarray) -> np.ndarray:
        """Weights of the stages at fractions of a step: shapes (m,) to (m, stages)."""
        dense = np.array(self.dense)
        return theta[:, None] ** np.arange(1, dense.shape[1] + 1) @ dense.T


TABLEAUS = {
    tableau.name: tableau
    for tableau in (
        Tableau("euler", 1, (), (), (1.0,), dense=((1.0,),)),
        # Kutta's 3/8 rule, which torchdiffeq calls rk4.
        Tableau(
            "rk4", 4, (1 / 3, 2 / 3, 1.0), ((1 / 3,), (-1 / 3, 1.0), (1.0, -1.0, 1.0)),
            (1 / 8, 3 / 8, 3 / 8, 1 / 8),
            # The only one of order 3 without further stages: order conditions for each theta.
            dense=((1, -15 / 8, 1), (0, 15 / 8, -3 / 2), (0, 3 / 8, 0), (0, -3 / 8, 1 / 2)),
        ),
        Tableau(
            "adaptive_heun", 2, (1.0,), ((1.0,),), (0.5, 0.5), (-0.5, 0.5),
            dense=((1, -1 / 2), (0, 1 / 2)),
        ),
        # Bogacki & Shampine 1989, Applied Mathematics Letters 2, 321.
        Tableau(
            "bosh3", 3, (1 / 2, 3 / 4, 1.0), ((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
            (2 / 9, 1 / 3, 4 / 9, 0.0), (2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
            # Cubic Hermite: states and slopes at both ends.
            dense=((1, -4 / 3, 5 / 9), (0, 1, -2 / 3), (0, 4 / 3, -8 / 9), (0, -1, 1)),
        ),
        # Dormand & Prince 1980, Journal of Computational and Applied Mathematics 6, 19.
        Tableau(
            "dopri5", 5, (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
            (
                (1 / 5,),
                (3 / 40, 9 / 40),
                (44 / 45, -56 / 15, 32 / 9),
                (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
                (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
                (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
            ),
            (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
            (
                35 / 384 - 5179 / 57600, 0.0, 500 / 1113 - 7571 / 16695, 125 / 192 - 393 / 640,
                -2187 / 6784 + 92097 / 339200, 11 / 84 - 187 / 2100, -1 / 40,
            ),
            # Of order 4: Shampine 1986, Mathematics of Computation 46, 135.
            (
                (1, -8048581381 / 2820520608, 8663915743 / 2820520608,
                 -12715105075 / 11282082432),
                (0, 0, 0, 0),
                (0, 131558114200 / 32700410799, -68118460800 / 10900136933,
                 87487479700 / 32700410799),
                (0, -1754552775 / 470086768, 14199869525 / 1410260304,
                 -10690763975 / 1880347072),
                (0, 127303824393 / 49829197408, -318862633887 / 49829197408,
                 701980252875 / 199316789632),
                (0, -282668133 / 205662961, 2019193451 / 616988883, -1453857185 / 822651844),
                (0, 40617522 / 29380423, -110615467 / 29380423, 69997945 / 29380423),
            ),
        ),
    )
}  # fmt: skip


def find_tableau(method: str, step_size: float | None) -> Tableau:
    """Find a method by its name, and see that a step size is given where it is needed.

    Raises
    ------
    ValueError
        For an unknown name, for equal steps without a size, and for a size that goes nowhere.
    """
    if method not in TABLEAUS:
        raise ValueError(f"There is no method {method!r}; choose one of {', '.join(TABLEAUS)}.")
    tableau = TABLEAUS[method]
    if tableau.adaptive and step_size is not None:
        raise ValueError(f"{method} chooses its steps: give rtol and atol, not step_size.")
    if not tableau.adaptive and (step_size is None or not 0 < step_size < math.inf):
        raise ValueError(f"{method} takes equal steps: expected step_size > 0, got {step_size}.")
    return tableau


def change_of_step(ratio: float, order: int) -> float:
    """Factor by which the next step should differ, from the error over the tolerance.

    The error grows as the step to the power ``order``, so the step that would just do is
    ``ratio ** (-1 / order)`` times this one (Hairer, Norsett & Wanner 1993, section II.4). A step
    that was accepted is never followed by a shorter one.
    """
    if not math.isfinite(ratio):
        return SMALLEST
    wanted = MARGIN * ratio ** (-1 / order) if ratio > 0 else LARGEST
    return min(LARGEST, max(wanted, SMALLEST if ratio > 1 else 1.0))


@dataclass
class StepMemory:
    """Starts an integration with the steps that would have done for the one before.

    Neighbouring batches need nearly the same steps. From the lengths h and the errors r (in units
    of the tolerance) of the last integration follows how densely steps must lie, r^(1/order) / h,
    and the coarsest grid that would have kept each step below ``goal`` starts the next. Every
    step is still tested, and after a rejection the usual control takes over.

    With it results depend on the batch before: use it in training, not in evaluation. On
    functions with kinks (ReLU) use it with ``bosh3`` or ``adaptive_heun``: there the error of
    ``dopri5`` does not follow its order.
    """

    goal: float = 0.9
    _steps: list[tuple[float, float, float]] = field(default_factory=list)
    _order: int = 1

    def plan(self, start: float, end: float) -> list[float]:
        """Give the ends of the steps to try; none when nothing is known of this interval."""
        if not self._steps or (self._steps[0][0], self._steps[-1][1]) != (start, end):
            return []
        times = np.array([start, *(after for _, after, _ in self._steps)])
        need = np.array([max(ratio, 1e-12) ** (1 / self._order) for *_, ratio in self._steps])
        total = np.append(0.0, need.cumsum())
        n = max(1, math.ceil(total[-1] / self.goal - 1e-9))
        inner = np.interp(np.arange(1, n) * total[-1] / n, total, times)
        return [*inner.tolist(), end]

    def learn(self, steps: Sequence[tuple[float, float, float]], order: int) -> None:
        """Remember the accepted steps: start, end and error over tolerance of each."""
        self._steps, self._order = list(steps), order

    def reset(self) -> None:
        """Forget everything."""
        self._steps = []
