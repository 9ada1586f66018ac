"""What a gradient through a differential equation costs: ours beside three other packages.

Run it from the course folder::

    python benchmarks/ode.py

torchdiffeq, torchode and torchdyn get an environment of their own, with ours in it, made at the
first run from ``requirements-ode.txt`` beside this file. All are measured in one process with one
thread of torch, and take turns, in another order each round. What is counted is CPU time, because
wall time on a busy machine measures its other users; given are medians [quartiles].

- *function*: the right-hand side of NODE (64 channels), the same object for everybody; *folded* and
  *concatenating* are its two ways to bring in the time, with the same weights. They are those of
  a network after a few training steps on drawn ellipses, and the states are what its stem makes
  of other ellipses.
- *limit*: CPU time of the evaluations and vector-Jacobian products alone, and of the network's
  head, all timed in the same rounds.
- *evaluations*: of the function, forward + backward.
- *gradient error*: of the parameters' gradient (relative L2), median of small batches; the truth
  is float64 with a tight tolerance. *Against own steps*: the largest difference from autograd
  through the same steps.
- *memory*: resident high-water mark of one forward and backward pass, each in a new process.
- *other weights and losses*: torchdiffeq's adjoint chooses its backward steps by the error of a
  state that holds y, dL/dy and the gradient by the parameters. Where the latter two are small
  against the absolute tolerance (a mean loss) their errors do not count: few steps and a wrong
  gradient. Where they are large (a sum) the steps multiply. Ours takes the same steps for any
  loss. So the ratio of the two depends on the loss: the table has four, at two sets of weights.
- *+ memory of steps*: `StepMemory`, which has seen other batches than those measured.

torchode gets the whole batch as one equation, as the others do; its own way, a step size for each
galaxy, is another job. Where the C library is glibc, it keeps memory that is freed (`KEEP_MEMORY`).
"""

import argparse
import contextlib
import copy
import gc
import importlib
import importlib.metadata
import json
import math
import multiprocessing
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from galhelpers.models.resnet_node import GalaxyNet, OdeFunction, gupta_node, gupta_resnet
from galhelpers.ode import Statistics, StepMemory, odeint_aca
from galhelpers.ode.methods import Tableau, find_tableau

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
PEERS = ROOT / "runs" / "benchmarks" / "ode-peers"
SPAN = (0.0, 1.0)
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_MMAP_THRESHOLD_": str(2**31 - 1)}
"""For the environment of a process: glibc then keeps large blocks that are freed for the next."""

PICTURE = {7: 32, 8: 34, 16: 66}  # pixels of a picture, by those of the state that the stem makes
SMALL = 16  # galaxies in the batches that gradient errors are measured on
UNIT_CALLS = 4  # evaluations timed in each round
TRAINED_FOR = 30  # steps, on 64 galaxies each
TRUTH = (1e-8, 1e-7)  # tolerance of the truth: on small batches, and in whole training steps

# What is promised.
FASTER, LESS_MEMORY, NEAR_LIMIT = 2.0, 0.25, 1.1
STEP_COST, STEP_ERROR = 1.2, 0.10


@dataclass(frozen=True)
class Case:
    """One equation to solve: the size of its states, and how."""

    size: int  # pixels
    batch: int
    method: str
    tolerance: float
    full: bool = False  # both functions, and ours with memory of steps
    memory: bool = False  # peak memory is measured too

    def __str__(self) -> str:
        return f"{self.method} {self.tolerance:g}, {self.batch} x 64 x {self.size} x {self.size}"


CASES = (
    Case(7, 128, "dopri5", 1e-3, full=True, memory=True),
    Case(7, 128, "adaptive_heun", 1e-2, full=True),
    Case(7, 128, "bosh3", 1e-3, full=True),
    Case(8, 128, "dopri5", 1e-3),
    Case(8, 128, "adaptive_heun", 1e-2),
    Case(16, 64, "dopri5", 1e-3, memory=True),
    Case(16, 64, "adaptive_heun", 1e-2),
)

QUICK = (Case(7, 16, "dopri5", 1e-3, full=True), Case(7, 16, "bosh3", 1e-2))


# Solvers -----------------------------------------------------------------------------------------

Solve = Callable[[Tensor], Tensor]  # the state at t = 0 to that at t = 1


class Ours:
    """`odeint_aca` with one mode, perhaps with the steps of other batches."""

    def __init__(self, func: nn.Module, case: Case, mode: str, remember: bool = False) -> None:
        self.func, self.mode, self.stats = func, mode, Statistics()
        self.settings: dict[str, Any] = {"method": case.method}
        self.settings |= {"rtol": case.tolerance, "atol": case.tolerance}
        self.memory = StepMemory() if remember else None

    def __call__(self, y0: Tensor) -> Tensor:
        """Solve."""
        self.stats = Statistics()
        memory = copy.deepcopy(self.memory)  # what it learns from this batch is not to help again
        options = {**self.settings, "mode": self.mode, "memory": memory, "stats": self.stats}
        return odeint_aca(self.func, y0, SPAN, **options)[-1]

    def prime(self, batches: Iterable[Tensor]) -> None:
        """Learn the steps of other batches."""
        with torch.no_grad():
            for y0 in batches:
                odeint_aca(self.func, y0, SPAN, **self.settings, memory=self.memory)


def torchdiffeq_solver(func: nn.Module, case: Case, solver: str, **options: Any) -> Solve:
    import torchdiffeq

    solve = getattr(torchdiffeq, solver)
    tolerances = {"rtol": case.tolerance, "atol": case.tolerance}
    times = torch.tensor(SPAN)
    return lambda y0: solve(func, y0, times, method=case.method, **tolerances, **options)[-1]


class _OneInstance(nn.Module):
    """The whole batch as one equation."""

    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func
        self.shape: Sequence[int] = ()

    def forward(self, t: Tensor, y: Tensor) -> Tensor:
        return self.func(t[0], y.view(self.shape)).view(1, -1)


def torchode_solver(func: nn.Module, case: Case, adjoint: str, **options: Any) -> Solve:
    import torchode

    instance = _OneInstance(func)
    term = torchode.ODETerm(instance)
    step = {"dopri5": torchode.Dopri5, "adaptive_heun": torchode.Heun}[case.method](term=term)
    control = torchode.IntegralController(case.tolerance, case.tolerance, term=term)
    first = [term] if adjoint == "JointBacksolveAdjoint" else []
    solver = getattr(torchode, adjoint)(*first, step, control, **options)
    start, end = (torch.tensor([value]) for value in SPAN)

    def solve(y0: Tensor) -> Tensor:
        instance.shape = y0.shape
        problem = torchode.InitialValueProblem(y0.reshape(1, -1), start, end)
        return solver.solve(problem).ys[0, -1].view(y0.shape)

    return solve


def torchdyn_solver(func: nn.Module, case: Case, sensitivity: str) -> Solve:
    from torchdyn.core import NeuralODE

    names = ("rtol", "atol", "rtol_adjoint", "atol_adjoint")
    options = {"sensitivity": sensitivity} | dict.fromkeys(names, case.tolerance)
    # It calls the function with args=, which ours does not take.
    solver = NeuralODE(_WithArguments(func), case.method, return_t_eval=False, **options)
    times = torch.tensor(SPAN)
    return lambda y0: solver(y0, times)[-1]


class _WithArguments(nn.Module):
    def __init__(self, func: nn.Module) -> None:
        super().__init__()
        self.func = func

    def forward(self, t: Tensor, x: Tensor, args: object = None) -> Tensor:
        return self.func(t, x)


@dataclass(frozen=True)
class Row:
    """A way to solve and differentiate."""

    name: str
    make: Callable[..., Any]
    peer: str = ""
    methods: tuple[str, ...] = ("dopri5", "adaptive_heun", "bosh3")
    autograd: str = ""  # the row that is autograd through the steps that this one took


MODULES = {"torchdiffeq": "torchdiffeq", "torchode": "torchode", "torchdyn": "torchdyn.core"}
DIRECT, ADJOINT = "torchdiffeq direct", "torchdiffeq adjoint"
PLAIN = "torchode, no gradient of the controller"
ROWS = (
    *(Row(f"ours, {mode}", partial(Ours, mode=mode)) for mode in ("steps", "stages", "graph")),
    *(
        Row(f"ours, {mode} + memory of steps", partial(Ours, mode=mode, remember=True))
        for mode in ("steps", "stages", "graph")
    ),
    Row(DIRECT, partial(torchdiffeq_solver, solver="odeint"), "torchdiffeq"),
    Row(ADJOINT, partial(torchdiffeq_solver, solver="odeint_adjoint"), "torchdiffeq",
        autograd=DIRECT),
    Row("torchdiffeq adjoint, seminorm",
        partial(torchdiffeq_solver, solver="odeint_adjoint", adjoint_options={"norm": "seminorm"}),
        "torchdiffeq", autograd=DIRECT),
    Row("torchode", partial(torchode_solver, adjoint="AutoDiffAdjoint"), "torchode",
        ("dopri5", "adaptive_heun"), PLAIN),
    Row(PLAIN, partial(torchode_solver, adjoint="AutoDiffAdjoint",
                       backprop_through_step_size_control=False),
        "torchode", ("dopri5", "adaptive_heun")),
    Row("torchode, JointBacksolveAdjoint",
        partial(torchode_solver, adjoint="JointBacksolveAdjoint"), "torchode",
        ("dopri5", "adaptive_heun"), PLAIN),
    Row("torchdyn autograd", partial(torchdyn_solver, sensitivity="autograd"), "torchdyn",
        ("dopri5",)),
    Row("torchdyn adjoint", partial(torchdyn_solver, sensitivity="adjoint"), "torchdyn",
        ("dopri5",), "torchdyn autograd"),
)  # fmt: skip


# Losses of the states at t = 1: a kind, and whether its mean is multiplied to be a sum.
LOSSES = {
    f"{kind}, {total}": (kind, total == "sum")
    for kind in ("cross-entropy", "squares")
    for total in ("mean", "sum")
}
MEAN = "cross-entropy, mean"


# The network and its galaxies ---------------------------------------------------------------------


def pictures(n: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noisy ellipses (n, 3, size, size), and their class, 0 to 4, by axis ratio."""
    noise = torch.Generator().manual_seed(seed)
    ratio, angle, radius, *colour = torch.rand(6, n, 1, 1, generator=noise)
    axis = torch.arange(size) - (size - 1) / 2
    cos, sin = torch.cos(angle * math.pi), torch.sin(angle * math.pi)
    along, across = axis * cos + axis[:, None] * sin, axis[:, None] * cos - axis * sin
    distance = torch.hypot(along, across / (0.2 + 0.8 * ratio)) / (size * (0.1 + 0.1 * radius))
    light = torch.exp(-distance)[:, None] * (0.5 + torch.stack(colour, dim=1))
    image = light + 0.1 * torch.randn(n, 3, size, size, generator=noise)
    return (image - 0.2) / 0.25, (ratio.flatten() * 5).long()


def trained(activation: str, steps: int) -> GalaxyNet:
    """NODE_ACA after a few training steps."""
    torch.manual_seed(0)
    net = gupta_node(activation=activation, method="bosh3", tolerance=1e-2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    for step in range(steps):
        images, labels = pictures(64, PICTURE[7], seed=1000 + step)
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net


@dataclass
class Problem:
    """States that the stem makes of pictures, and the loss of what becomes of them."""

    net: GalaxyNet
    of: str = MEAN  # which loss
    functions: dict[str, OdeFunction] = field(init=False)

    def __post_init__(self) -> None:
        self.net.requires_grad_(False)
        folded = self.net.features.func.requires_grad_(True)
        concatenating = OdeFunction(fold=False)
        concatenating.load_state_dict(folded.state_dict())
        self.functions = {"folded": folded, "concatenating": concatenating}

    def batch(self, case: Case, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """States (n, 64, size, size) and classes."""
        images, labels = pictures(n, PICTURE[case.size], seed)
        with torch.no_grad():
            states = self.net.stem(images)
        assert states.shape[1:] == (64, case.size, case.size)
        return states, labels

    def loss(self, y1: Tensor, labels: Tensor) -> Tensor:
        """Loss of the states at t = 1."""
        return self.mean_loss(y1, labels) * self.factor(y1)

    def factor(self, y1: Tensor) -> int:
        """Give the number of terms in a sum; 1 for a mean."""
        kind, is_sum = LOSSES[self.of]
        return (len(y1) if kind == "cross-entropy" else y1.numel()) if is_sum else 1

    def mean_loss(self, y1: Tensor, labels: Tensor) -> Tensor:
        """Mean cross-entropy after the head, or mean square of the states."""
        if LOSSES[self.of][0] == "squares":
            return y1.square().mean()

        maps = F.relu(self.net.norm(y1))
        return F.cross_entropy(self.net.head(maps.mean(dim=(2, 3))), labels)


@dataclass
class Run:
    """One forward and backward pass."""

    seconds: float
    forward: int
    backward: int
    gradient: Tensor


@contextlib.contextmanager
def counted(func: nn.Module) -> Iterator[list[int]]:
    """Count the evaluations of a function, in the number that is last in the list."""
    calls = [0]

    def count(*_: object) -> None:
        calls[-1] += 1

    hook = func.register_forward_pre_hook(count)
    yield calls
    hook.remove()


def differentiate(
    solve: Solve, func: nn.Module, problem: Problem, y0: Tensor, labels: Tensor
) -> Run:
    """Solve, and the gradient of the loss by the parameters and by the state."""
    for parameter in func.parameters():
        parameter.grad = None
    state = y0.clone().requires_grad_()  # the stem wants its gradient too
    with counted(func) as calls:
        start = time.process_time()
        loss = problem.loss(solve(state), labels)
        calls.append(0)
        loss.backward()
        seconds = time.process_time() - start
    return Run(seconds, *calls, flat(parameter.grad for parameter in func.parameters()))


def flat(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().double().flatten() for tensor in tensors])


def difference(one: Tensor, other: Tensor) -> float:
    """Relative L2 distance from the other."""
    return float((one - other).norm() / other.norm())


def truth(problem: Problem, y0: Tensor, labels: Tensor, tolerance: float) -> Tensor:
    """Compute the gradient in float64 with a tight tolerance."""
    exact = Problem(copy.deepcopy(problem.net).double(), problem.of)
    func, case = exact.functions["folded"], Case(0, 0, "dopri5", tolerance)
    return differentiate(Ours(func, case, "stages"), func, exact, y0.double(), labels).gradient


def replay(func: nn.Module, tableau: Tableau, times: list[float]) -> Solve:
    """Plain autograd through given steps."""

    def solve(y: Tensor) -> Tensor:
        for t, after in pairwise(times):
            slopes = [func(torch.tensor(t), y)]
            for c, weights in zip(tableau.c[: tableau.n_stages - 1], tableau.a, strict=False):
                place = y + (after - t) * sum(w * k for w, k in zip(weights, slopes, strict=True))
                slopes.append(func(torch.tensor(t + c * (after - t)), place))
            y = y + (after - t) * sum(w * k for w, k in zip(tableau.b, slopes, strict=False))
        return y

    return solve


# What is measured -------------------------------------------------------------------------------


@dataclass
class Result:
    """What one way costs on one case, and how good its gradient is."""

    case: str
    function: str
    row: str
    seconds: list[float] = field(default_factory=list)
    forward: int = 0
    backward: int = 0
    pulls: int = 0  # vector-Jacobian products
    errors: list[float] = field(default_factory=list)
    own_errors: list[float] = field(default_factory=list)
    mebibytes: float | None = None

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)

    @property
    def error(self) -> float:
        """Relative, of the gradient."""
        return statistics.median(self.errors)

    def limit(self, units: "Units") -> float:
        """Seconds of its evaluations and products alone, and of the head, which all have."""
        plain, recorded, product, head = units.medians
        if self.backward:
            work = self.forward * plain + self.backward * recorded
        else:
            work = self.forward * recorded
        return work + self.pulls * product + head


@dataclass
class Units:
    """Seconds of an evaluation, a recorded one, a vector-Jacobian product; head and loss."""

    rounds: list[tuple[float, ...]] = field(default_factory=list)

    @property
    def medians(self) -> list[float]:
        """Over the rounds."""
        return [statistics.median(column) for column in zip(*self.rounds, strict=True)]

    def measure(self, problem: Problem, func: nn.Module, y0: Tensor, labels: Tensor) -> None:
        """Time one round, each kind after its like, as solvers call them."""
        t, weight, parameters = torch.tensor(0.3), torch.randn_like(y0), list(func.parameters())
        clock, plain, recorded, product, head = time.process_time, 0.0, 0.0, 0.0, 0.0
        for call in range(UNIT_CALLS + 1):
            start = clock()
            with torch.no_grad():
                func(t, y0)
            plain += (clock() - start) * (call > 0)  # the first finds its memory
        for _ in range(UNIT_CALLS):
            place = y0.detach().requires_grad_()
            start = clock()
            value = func(t, place)
            middle = clock()
            torch.autograd.grad(value, (place, *parameters), weight)
            recorded, product = recorded + middle - start, product + clock() - middle
            start = clock()
            problem.loss(place, labels).backward()
            head += clock() - start
        self.rounds.append(tuple(s / UNIT_CALLS for s in (plain, recorded, product, head)))


class Bench:
    """All ways on all cases."""

    def __init__(self, problem: Problem, cases: Sequence[Case], peers: Sequence[str]) -> None:
        self.problem, self.peers = problem, peers
        self.results: dict[tuple[Case, str, str], Result] = {}
        self.units: dict[tuple[Case, str], Units] = {}
        for case in cases:
            for function in ("folded", "concatenating") if case.full else ("folded",):
                self.units[case, function] = Units()
                remember = case.full and function == "folded"
                for row in ROWS:
                    wanted = remember or "memory of steps" not in row.name
                    if wanted and case.method in row.methods and row.peer in ("", *peers):
                        result = Result(str(case), function, row.name)
                        self.results[case, function, row.name] = result

    def make(self, case: Case, function: str, row: Row, n: int) -> Any:
        """Make a solver, and let it see batches of n where it has a memory."""
        solve = row.make(self.problem.functions[function], case)
        if isinstance(solve, Ours) and solve.memory is not None:
            solve.prime(self.problem.batch(case, n, seed)[0] for seed in (11, 12))
        return solve

    def rows(self, case: Case, function: str) -> list[Row]:
        """Ways that there are on a case."""
        return [row for row in ROWS if (case, function, row.name) in self.results]

    def leave_out(self, case: Case, row: Row, error: Exception) -> None:
        """Go on without a way of another package that fails, and say so."""
        print(f"\n**{row.name} is left out** on {case}: {type(error).__name__}: {error}")
        for function in self.problem.functions:
            self.results.pop((case, function, row.name), None)

    def measure_errors(self, batches: dict[int, int], tolerance: float) -> None:
        """Fill in errors, on as many small batches as given for each size.

        Those of the concatenating function are those of the folded one, up to rounding.
        """
        truths: dict[tuple[int, int], Tensor] = {}
        for case, function in self.units:
            if function != "folded":
                for row in self.rows(case, function):
                    result, same = (self.results[case, f, row.name] for f in (function, "folded"))
                    result.errors, result.own_errors = same.errors, same.own_errors
                continue
            for seed in range(1, batches[case.size] + 1):
                batch = self.problem.batch(case, SMALL, seed)
                if (case.size, seed) not in truths:
                    truths[case.size, seed] = truth(self.problem, *batch, tolerance)
                self._measure_errors(case, batch, truths[case.size, seed])

    def _measure_errors(self, case: Case, batch: tuple[Tensor, Tensor], right: Tensor) -> None:
        func, gradients = self.problem.functions["folded"], dict[str, Tensor]()
        for row in self.rows(case, "folded"):
            result = self.results[case, "folded", row.name]
            solve = self.make(case, "folded", row, SMALL)
            try:
                gradient = differentiate(solve, func, self.problem, *batch).gradient
            except Exception as error:
                if not row.peer:
                    raise
                self.leave_out(case, row, error)
                continue
            gradients[row.name] = gradient
            result.errors.append(difference(gradient, right))
            if isinstance(solve, Ours):
                again = replay(func, find_tableau(case.method, None), solve.stats.times)
                own = differentiate(again, func, self.problem, *batch).gradient
                result.own_errors.append(difference(gradient, own))
        for row in self.rows(case, "folded"):
            if row.autograd in gradients:
                own = difference(gradients[row.name], gradients[row.autograd])
                self.results[case, "folded", row.name].own_errors.append(own)

    def measure_time(self, case: Case, rounds: int) -> None:
        """Time everything on a case, in turns."""
        batch = self.problem.batch(case, case.batch, seed=1)
        functions = [function for of, function in self.units if of == case]
        todo = [
            (function, row, self.make(case, function, row, case.batch))
            for function in functions
            for row in self.rows(case, function)
        ]
        for number in range(rounds):
            for function in functions:
                func = self.problem.functions[function]
                self.units[case, function].measure(self.problem, func, *batch)
            for function, row, solve in random.Random(number).sample(todo, len(todo)):
                result = self.results[case, function, row.name]
                func = self.problem.functions[function]
                run = differentiate(solve, func, self.problem, *batch)
                result.seconds.append(run.seconds)
                result.forward, result.backward = run.forward, run.backward
                result.pulls = run.backward or run.forward
                if isinstance(solve, Ours):
                    stages = find_tableau(case.method, None).n_stages
                    result.pulls = solve.stats.accepted * stages

    def measure_memory(self, case: Case) -> None:
        """Peak memory of each way on a case: mean of two processes of its own."""
        methods = multiprocessing.get_all_start_methods()
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:  # what is imported once need not be in each
            context.set_forkserver_preload(["__main__", *(MODULES[peer] for peer in self.peers)])
        states = self.problem.batch(case, case.batch, seed=1)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "problem.pt"
            torch.save((self.problem.net.state_dict(), states), path)
            for row in self.rows(case, "folded"):
                if "memory of steps" in row.name:
                    continue
                result = self.results[case, "folded", row.name]
                peaks = []
                for _ in range(2):
                    with context.Pool(1) as pool:
                        peaks.append(pool.apply(peak_memory, (path, case, row.name)))
                result.mebibytes = statistics.mean(peaks)


def resident_peak() -> int:
    """High-water mark of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # not from getrusage, which begins with the parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if os.name == "nt":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes


def peak_memory(path: Path, case: Case, name: str) -> float:
    """MiB that one forward and backward pass adds; in a new process."""
    torch.set_num_threads(1)
    weights, (states, labels) = torch.load(path)
    net = gupta_node()
    net.load_state_dict(weights)
    problem = Problem(net)
    func = problem.functions["folded"]
    (row,) = (row for row in ROWS if row.name == name)
    solve = row.make(func, case)
    differentiate(solve, func, problem, states[:2], labels[:2])  # loads what first calls load
    gc.collect()
    with contextlib.suppress(OSError):  # Linux: the mark begins anew
        Path("/proc/self/clear_refs").write_text("5")
    before = psutil.Process().memory_info().rss
    differentiate(solve, func, problem, states, labels)
    return (resident_peak() - before) / 2**20


# Other weights and losses ------------------------------------------------------------------------


def compare_losses(
    nets: dict[str, GalaxyNet], cases: Sequence[Case], rounds: int, batches: int
) -> list[dict[str, Any]]:
    """Ours beside torchdiffeq's adjoint for each loss, at trained and at initial weights."""
    rows, truths = {row.name: row for row in ROWS}, dict[tuple[str, int, str, int], Tensor]()
    names, found = ("ours, steps", "ours, graph", ADJOINT), []
    for weights, net in nets.items():
        for case, of in ((case, of) for case in cases for of in LOSSES):
            problem = Problem(net, of)
            func, big = problem.functions["folded"], problem.batch(case, case.batch, seed=1)
            y1 = torch.zeros_like(big[0]).requires_grad_()
            (slope,) = torch.autograd.grad(problem.loss(y1 + big[0], big[1]), y1)
            runs: dict[str, list[Run]] = {name: [] for name in names}
            errors: dict[str, list[float]] = {name: [] for name in names}
            for number in range(rounds):
                for name in random.Random(number).sample(names, len(names)):
                    solve = rows[name].make(func, case)
                    runs[name].append(differentiate(solve, func, problem, *big))
            for seed in range(1, batches + 1):
                small = problem.batch(case, SMALL, seed)
                key = (weights, case.size, LOSSES[of][0], seed)
                if key not in truths:  # that of the mean; a sum's is so many times as large
                    truths[key] = truth(Problem(net, of.replace("sum", "mean")), *small, TRUTH[1])
                right = truths[key] * problem.factor(small[0])
                for name in names:
                    run = differentiate(rows[name].make(func, case), func, problem, *small)
                    errors[name].append(difference(run.gradient, right))
            seconds = {name: statistics.median(run.seconds for run in runs[name]) for name in names}
            found.append(
                {"weights": weights, "case": str(case), "loss": of}
                | {"slope": float(slope.square().mean().sqrt())}
                | {"evaluations": {name: [r[0].forward, r[0].backward] for name, r in runs.items()}}
                | {"seconds": seconds}
                | {"errors": {name: statistics.median(errors[name]) for name in names}}
            )
    return found


def print_losses(found: Sequence[dict[str, Any]]) -> None:
    print("\n### Ours beside torchdiffeq's adjoint, for other weights and losses")
    rows = []
    for one in found:
        cells = [one["weights"], one["case"], one["loss"], f"{one['slope']:.0e}"]
        cells += ["{} + {}".format(*evaluations) for evaluations in one["evaluations"].values()]
        adjoint = one["seconds"][ADJOINT]
        cells += [f"{adjoint / one['seconds'][f'ours, {mode}']:.2f}" for mode in ("steps", "graph")]
        rows.append(cells + [f"{one['errors'][name]:.2g}" for name in ("ours, graph", ADJOINT)])
    head = ["weights", "case", "loss", "size of dL/dy(1)", "evaluations: steps", "graph"]
    head += ["adjoint", "CPU of the adjoint / steps", "/ graph", "error: ours", "adjoint"]
    print_table(head, rows)


# A whole training step --------------------------------------------------------------------------


@dataclass
class Step:
    """What a training step of one network costs, and how good its gradient is."""

    name: str
    net: nn.Module
    seconds: list[float] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)  # of the function's parameters
    all_errors: list[float] = field(default_factory=list)
    truth: str = ""  # activation

    def __post_init__(self) -> None:
        # So slow that all settings keep the same weights, which makes their gradients comparable.
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=1e-9, momentum=0.9)

    def take(self, images: Tensor, labels: Tensor) -> None:
        """Train on a batch."""
        start = time.process_time()
        self.optimizer.zero_grad()
        F.cross_entropy(self.net(images), labels).backward()
        self.optimizer.step()
        self.seconds.append(time.process_time() - start)
        if self.truth:
            self.evaluations.append(self.net.features.stats.forward)


def gradients(net: nn.Module) -> tuple[Tensor, Tensor]:
    """Of the function's parameters, and of all."""
    func, every = net.features.func.parameters(), net.parameters()
    return flat(p.grad for p in func), flat(p.grad for p in every)


def training_steps(
    nets: dict[str, GalaxyNet], tolerances: Sequence[float], batch: int, rounds: int, judged: int
) -> list[Step]:
    """ResNet and NODE_ACA in turns; each round brings another batch, the first is not counted."""
    torch.manual_seed(0)
    steps = [Step("ResNet", gupta_resnet())]
    for activation, net in nets.items():
        for tolerance in tolerances:
            for reuse in (False, True):
                solver = {"method": "bosh3", "tolerance": tolerance, "mode": "graph"}
                other = gupta_node(activation=activation, reuse_steps=reuse, **solver)
                other.load_state_dict(net.state_dict())
                reused = ", steps reused" if reuse else ""
                name = f"NODE_ACA bosh3 {tolerance:g}, {activation}{reused}"
                steps.append(Step(name, other, truth=activation))
    for number in range(rounds + 1):
        images, labels = pictures(batch, PICTURE[7], seed=500 + number)
        for step in random.Random(number).sample(steps, len(steps)):
            step.take(images, labels)
        if 1 <= number <= judged:
            for activation, net in nets.items():
                exact = copy.deepcopy(net).double().requires_grad_(True)
                exact.features.method, exact.features.mode = "dopri5", "stages"
                exact.features.tolerance = TRUTH[1]
                F.cross_entropy(exact(images.double()), labels).backward()
                right, all_right = gradients(exact)
                for step in steps:
                    if step.truth == activation:
                        got, all_got = gradients(step.net)
                        step.errors.append(difference(got, right))
                        step.all_errors.append(difference(all_got, all_right))
    for step in steps:  # in the first there were no steps to reuse yet
        del step.seconds[0], step.evaluations[:1]
    return steps


# What is printed --------------------------------------------------------------------------------


def spread(seconds: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return f"{middle * 1e3:.0f} [{low * 1e3:.0f}, {high * 1e3:.0f}]"


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")


def print_case(bench: Bench, case: Case) -> None:
    print(f"\n### {case}")
    functions = [function for of, function in bench.units if of == case]
    for function in functions:
        plain, recorded, product, head = (
            f"{1e3 * seconds:.2f}" for seconds in bench.units[case, function].medians
        )
        print(
            f"\nOne evaluation of the {function} function {plain} ms, recorded {recorded} ms, "
            f"its vector-Jacobian product {product} ms; head and loss {head} ms."
        )
    titles = ["function", "way", "CPU ms", "limit, ms", "x limit", "evaluations"]
    titles += ["gradient error", "against own steps", "memory, MiB"]
    rows = []
    for (of, function, name), result in bench.results.items():
        if of == case:
            limit = result.limit(bench.units[case, function])
            own = f"{max(result.own_errors):.1e}" if result.own_errors else ""
            memory = "" if result.mebibytes is None else f"{result.mebibytes:.0f}"
            cells = [function, name, spread(result.seconds), f"{limit * 1e3:.0f}"]
            cells += [f"{result.median / limit:.2f}", f"{result.forward} + {result.backward}"]
            rows.append([*cells, f"{result.error:.1e}", own, memory])
    print_table(titles, rows)


@dataclass
class Promise:
    """A ratio that is promised, where it was measured, and whether it is kept."""

    what: str
    where: str
    got: str
    kept: bool


def promises_of_case(bench: Bench, case: Case, function: str) -> list[Promise]:
    of_case = {
        row.name: bench.results[case, function, row.name] for row in bench.rows(case, function)
    }
    modes = {mode: of_case[f"ours, {mode}"] for mode in ("steps", "stages", "graph")}
    where, found = f"{case}, {function}", []

    def promise(what: str, ratios: dict[str, float], kept: bool, note: str = "") -> None:
        got = ", ".join(f"{mode} {ratio:.2f}" for mode, ratio in ratios.items())
        found.append(Promise(what, where, got + note, kept))

    adjoint, direct = of_case.get(ADJOINT), of_case.get(DIRECT)
    if adjoint:
        ratios = {mode: adjoint.median / result.median for mode, result in modes.items()}
        error = modes["graph"].error  # that of all modes
        kept = max(ratios.values()) >= FASTER and error < adjoint.error
        what = f"{FASTER:g} times as fast as torchdiffeq's adjoint, with less error"
        promise(what, ratios, kept, f"; error {error:.1e} for {adjoint.error:.1e}")
    if direct and direct.mebibytes:
        ratios = {mode: result.mebibytes / direct.mebibytes for mode, result in modes.items()}
        what = f"{LESS_MEMORY:g} of the memory of torchdiffeq direct"
        promise(what, ratios, min(ratios.values()) <= LESS_MEMORY)
    units = bench.units[case, function]
    ratios = {mode: result.median / result.limit(units) for mode, result in modes.items()}
    what = f"every mode within {NEAR_LIMIT:g} of the limit"
    promise(what, ratios, max(ratios.values()) <= NEAR_LIMIT)
    return found


def promise_of_steps(steps: Sequence[Step], activation: str) -> Promise:
    resnet = statistics.median(steps[0].seconds)
    found = [
        (statistics.median(step.seconds) / resnet, max(step.errors), step.name)
        for step in steps
        if step.truth == activation
    ]
    # The cheapest of those whose gradient is good enough, else the cheapest.
    enough = [entry for entry in found if entry[1] <= STEP_ERROR]
    ratio, error, name = min(enough or found)
    what = f"a training step for {STEP_COST:g} of ResNet's, error at most {STEP_ERROR:.0%}"
    kept = bool(enough) and ratio <= STEP_COST
    return Promise(what, name, f"{ratio:.2f}, error {error:.1%}", kept)


def print_steps(steps: Sequence[Step], batch: int) -> None:
    print(f"\n### A training step, {batch} x 3 x 32 x 32, mode graph, folded")
    resnet = statistics.median(steps[0].seconds)
    rows = []
    for step in steps:
        ratio = f"{statistics.median(step.seconds) / resnet:.2f}"
        cells = [step.name, spread(step.seconds), ratio]
        if step.truth:
            cells += [f"{statistics.median(step.evaluations):.0f}"]
            cells += [f"{max(step.errors):.1%}", f"{max(step.all_errors):.1%}"]
        rows.append(cells + [""] * (6 - len(cells)))
    head = ["network", "CPU ms", "of ResNet", "evaluations", "largest gradient error, function"]
    print_table([*head, "all parameters"], rows)


# The run ----------------------------------------------------------------------------------------


def peer_python(peers: Path = PEERS, required: str = "requirements-ode.txt") -> Path:
    """Interpreter of the environment with all the packages; made when missing or out of date."""
    python = peers / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    requirements, mark = HERE.with_name(required), peers / "installed.txt"
    if not mark.exists() or mark.read_text() != requirements.read_text():
        print("Making the environment with the other packages (once) ...", file=sys.stderr)
        uv = [sys.executable, "-m", "uv"]
        make = ["venv", "--quiet", "--clear", "--python", sys.executable, str(peers)]
        install = ["pip", "install", "--quiet", "--python", str(python), "--compile-bytecode"]
        ours = ["--no-deps", "--no-build-isolation", "-e", str(ROOT)]
        subprocess.run([*uv, *make], check=True)
        subprocess.run([*uv, *install, "-r", str(requirements)], check=True)
        subprocess.run([*uv, *install, *ours], check=True)
        mark.write_text(requirements.read_text())
    return python


def usable_peers() -> dict[str, str]:
    """Find the packages that can be imported, and their versions; say so of those that cannot."""
    found = {}
    for name, module in MODULES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # an unfit torchvision raises RuntimeError
            print(f"\n**{name} is left out**, it fails here: {type(error).__name__}: {error}")
        else:
            found[name] = importlib.metadata.version(name)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small batches, less than a minute")
    parser.add_argument("--rounds", type=int, help="default 4, with --quick 2")
    parser.add_argument("--no-memory", action="store_true", help="leave out peak memory")
    parser.add_argument("--only-losses", action="store_true", help="other weights and losses only")
    parser.add_argument("--no-steps", action="store_true", help="leave out training steps")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "benchmarks" / "ode.json")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        one = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} | KEEP_MEMORY
        command = [str(peer_python()), "-u", str(HERE), *sys.argv[1:], "--inside"]
        return subprocess.run(command, env=os.environ | one, check=False).returncode
    for name in KEEP_MEMORY:  # read when this process began; memory is measured in other ones
        os.environ.pop(name, None)
    torch.set_num_threads(1)
    return measure(options)


def measure(options: argparse.Namespace) -> int:
    quick = options.quick
    cases, rounds = (QUICK if quick else CASES), options.rounds or (2 if quick else 4)
    trained_for = 10 if quick else TRAINED_FOR
    peers = usable_peers()
    versions = [f"{name} {version}" for name, version in peers.items()]
    versions.append(f"torch {torch.__version__}")
    print(
        f"\n{', '.join(versions)}, {torch.get_num_threads()} thread, Python "
        f"{platform.python_version()}, {platform.machine()}; {rounds} rounds. The network was "
        f"trained for {trained_for} steps."
    )
    nets_of_losses = {"trained": trained("relu", trained_for), "initial": trained("relu", 0)}
    few = QUICK[:1] if quick else CASES[:2]
    losses = compare_losses(nets_of_losses, few, rounds, 1 if quick else 2)
    print_losses(losses)
    if options.only_losses:
        return 0
    problem = Problem(nets_of_losses["trained"])
    sample = problem.batch(cases[0], SMALL, seed=1)
    looser, tighter = (truth(problem, *sample, tolerance) for tolerance in (1e-7, TRUTH[0]))
    print(
        f"\nGradient errors on batches of {SMALL}; the truth at {TRUTH[0]:g} is "
        f"{difference(looser, tighter):.1e} from that at 1e-7."
    )
    bench = Bench(problem, cases, list(peers))
    bench.measure_errors({7: 1} if quick else {7: 5, 8: 4, 16: 2}, TRUTH[0])
    for case in cases:
        if case.memory and not options.no_memory:
            bench.measure_memory(case)
    for case in cases:
        bench.measure_time(case, rounds)
        print_case(bench, case)
    promises = [
        promise
        for case, function in bench.units
        for promise in promises_of_case(bench, case, function)
    ]
    steps: list[Step] = []
    if not options.no_steps:
        nets = {"relu": problem.net, "silu": trained("silu", trained_for)}
        batch, tolerances = (32, (1e-2,)) if quick else (128, (1e-2, 3e-3, 1e-3))
        steps = training_steps(nets, tolerances, batch, rounds, judged=1 if quick else 3)
        print_steps(steps, batch)
        promises += [promise_of_steps(steps, activation) for activation in nets]
    print("\n### What is promised")
    print_table(
        ["promise", "where", "measured", ""],
        [[p.what, p.where, p.got, "reached" if p.kept else "**not reached**"] for p in promises],
    )
    if quick:
        print("\nA quick run says whether everything works; its ratios are not to be quoted.")
    write_report(options.out, bench, steps, losses, promises, versions)
    return 0 if quick or all(promise.kept for promise in promises) else 1


def write_report(
    out: Path, bench: Bench, steps: Sequence[Step], losses: Sequence[dict[str, Any]],
    promises: Sequence[Promise], versions: list[str],
) -> None:  # fmt: skip
    report = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "versions": versions,
        "units": [
            {"case": str(case), "function": function, "seconds": units.rounds}
            for (case, function), units in bench.units.items()
        ],
        "results": [asdict(result) for result in bench.results.values()],
        "training_steps": [
            {"name": s.name, "seconds": s.seconds, "errors": s.errors, "all_errors": s.all_errors}
            for s in steps
        ],
        "losses": losses,
        "promises": [asdict(promise) for promise in promises],
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    temporary.replace(out)


if __name__ == "__main__":
    sys.exit(main())
