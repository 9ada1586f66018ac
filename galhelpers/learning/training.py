"""The training loop that notebook 04 writes by hand, for the notebooks before and after it."""

import copy
import hashlib
import io
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from galhelpers.messages import public
from galhelpers.paths import atomic_write, short

_MARK = b"galhelpers training 2\n"  # a saved training begins with this, and a digest of the rest
Loss = Callable[[Tensor, Tensor], Tensor]
Prepare = Callable[[Tensor], Tensor]


def best_device() -> torch.device:
    """Give the fastest device here: a CUDA GPU, Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@cache
def computes_in_bfloat16(device_type: str) -> bool:
    """Say whether devices of a type have instructions for bfloat16.

    Without them it is imitated, which takes several times as long as float32 (on a CPU with AVX2
    only, 648 ms instead of 75 a step of a small network).

    Parameters
    ----------
    device_type
        As ``torch.device.type``. ``"cuda"``: GPUs from compute capability 8.0, the current one
        counts. ``"cpu"``: with AVX512-BF16, AMX or Arm's BF16, and a torch that uses them, which
        that for macOS does not. No for any other, Apple's GPU among them.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device_type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    instructions = torch.cpu.get_capabilities()
    return any(instructions.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def autocast(device: torch.device, mixed_precision: bool) -> torch.autocast:
    """Give the context for ``Options.mixed_precision`` on a device."""
    enabled = mixed_precision and computes_in_bfloat16(device.type)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def batches(
    pixels: np.ndarray, targets: Tensor, size: int, shuffle: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Give images and targets in batches of ``size``; in random order when given a generator.

    Parameters
    ----------
    pixels
        uint8, shape (n, 3, height, width); may be a memory map, of which only one batch at a
        time is read.
    targets
        Shape (n,) or (n, outputs).
    """
    n = len(pixels)
    order = torch.arange(n) if shuffle is None else torch.randperm(n, generator=shuffle)
    for rows in order.split(size):
        yield torch.from_numpy(np.asarray(pixels[rows.numpy()])), targets[rows]


@dataclass
class History:
    """What happened in training: one number an epoch, and which epoch was best.

    A loss that is no finite number counts as higher than any other. ``cpu_seconds`` is the time
    that all processor cores spent on an epoch, its validation included. ``measured`` is what
    ``Options.measure`` gave, if there is one.
    """

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0
    cpu_seconds: list[float] = field(default_factory=list, compare=False)
    measured: list[float] = field(default_factory=list)

    def last_is_best(self) -> bool:
        """Say whether no earlier validation loss is lower than the last one."""
        last = self.validation_loss[-1]
        return math.isfinite(last) and last <= min(filter(math.isfinite, self.validation_loss))

    def check(self, resume: Path | None) -> None:
        """Raise ValueError where there were epochs but none of them has a finite loss."""
        losses = self.validation_loss
        if losses and not math.isfinite(losses[self.best_epoch]):
            again = f" Then delete {resume.name} to start anew." if resume else ""
            raise ValueError(
                f"Expected a finite validation loss after one epoch at least, got {losses}: no "
                "epoch is the best one. Check that the labels have no NaN, that the loss of the "
                "validation part is a number, and that the learning rate is not too high." + again
            )


@dataclass(frozen=True)
class Options:
    """Ways to train that differ from the plain loop; the defaults are the plain loop.

    Attributes
    ----------
    optimizer
        Makes an optimiser of the network's parameters; by default AdamW.
    schedule
        Makes a schedule of the optimiser and the number of all steps, called after each step; by
        default one cycle. A ``ReduceLROnPlateau`` is called after each epoch instead, with the
        validation loss.
    patience
        Stop after so many epochs without a lower validation loss; NaN is not lower.
    cpu_seconds
        Stop after the epoch in which so much time of processor cores has been spent.
    average
        Validate and keep a running mean of the weights, which forgets ``1 - average`` of itself
        each step, instead of the weights themselves (Polyak & Juditsky 1992).
    mixed_precision
        Compute in bfloat16 where the hardware does (:func:`computes_in_bfloat16`), in float32
        elsewhere; the loss stays in float32. It need not be faster: depthwise convolutions are
        slower in bfloat16 even on CPUs with AVX512-BF16 (EfficientNet-Lite0 at 64 px, batches of
        16: 12.5 instead of 5.2 ms a picture).
    resume
        File for the state after each epoch: a run that was interrupted goes on from there, to the
        same result (on a CPU to the bit, with the same number of threads). The state of torch's,
        NumPy's and Python's random numbers is part of it. A file of an earlier run that was cut
        short or damaged is told and replaced.
    measure
        Called after each epoch with the outputs for the validation part and its targets: a number
        to keep beside the loss.
    told
        Called with the number of steps that are done: once before the first, as a resumed training
        has done some, then after each.
    """

    optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None
    schedule: Callable[[torch.optim.Optimizer, int], LRScheduler] | None = None
    patience: int | None = None
    cpu_seconds: float | None = None
    average: float | None = None
    mixed_precision: bool = False
    resume: Path | None = None
    measure: Callable[[Tensor, Tensor], float] | None = None
    told: Callable[[int], None] | None = None


def fit(
    model: nn.Module,
    train: tuple[np.ndarray, Tensor],
    validation: tuple[np.ndarray, Tensor],
    loss: Loss,
    *,
    augment: Callable[[Tensor, int], Tensor],
    prepare: Prepare,
    epochs: int,
    learning_rate: float = 3e-3,
    batch_size: int = 64,
    seed: int = 0,
    progress: bool = False,
    options: Options = Options(),
) -> History:
    """Train with AdamW and a one-cycle learning rate; end with the weights of the best epoch.

    Parameters
    ----------
    train, validation
        Images (uint8, shape (n, 3, height, width)) and targets.
    loss
        Mean loss of outputs and targets.
    augment
        Called with a batch and the number of the step: training images, newly varied each time.
    prepare
        The same preparation without variation, for validation images.
    options
        Other optimisers, schedules, and more.

    Raises
    ------
    ValueError
        For a part without galaxies, or a file to resume from that is none or belongs to another
        network or another length of training: then nothing has been trained. And where no
        validation loss is finite: the network is then as it came.
    """
    check_parts(train, validation)
    device = next(model.parameters()).device
    steps = epochs * -(-len(train[0]) // batch_size)
    optimizer = (
        options.optimizer(model)
        if options.optimizer
        else torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    )
    schedule = (
        options.schedule(optimizer, steps)
        if options.schedule
        else OneCycleLR(optimizer, learning_rate, steps)
    )
    mean = _running_mean(model, options.average) if options.average else None
    validated = mean.module if mean else model
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    if mean:
        parts["mean"] = mean
    best = copy.deepcopy(validated.state_dict())
    run = _Run(parts, steps, best, torch.Generator().manual_seed(seed))
    if options.resume:
        run.begin(options.resume)
    history = run.history
    told = options.told or (lambda _: None)
    told(run.step)
    clock = time.process_time()
    rest = range(len(history.validation_loss), epochs)
    for epoch in tqdm(rest, desc="epochs", leave=False, disable=not progress):
        if options.patience is not None and epoch - history.best_epoch > options.patience:
            break
        if options.cpu_seconds is not None and sum(history.cpu_seconds) >= options.cpu_seconds:
            break
        model.train()
        total = 0.0
        for images, targets in batches(*train, batch_size, run.shuffle):
            optimizer.zero_grad()
            with autocast(device, options.mixed_precision):
                outputs = model(augment(images.to(device), run.step))
            value = loss(outputs.float(), targets.to(device))
            value.backward()
            optimizer.step()
            if not isinstance(schedule, ReduceLROnPlateau):
                schedule.step()
            if mean:
                mean.update_parameters(model)
            run.step += 1
            told(run.step)
            total += value.item() * len(images)
        history.train_loss.append(total / len(train[0]))
        with autocast(device, options.mixed_precision):
            outputs = predict(validated, validation[0], prepare)
        history.validation_loss.append(loss(outputs, validation[1]).item())
        if options.measure:
            history.measured.append(options.measure(outputs, validation[1]))
        if history.last_is_best():
            history.best_epoch = epoch
            run.best = copy.deepcopy(validated.state_dict())  # a copy: state_dict() itself is live
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(history.validation_loss[-1])
        since, clock = clock, time.process_time()
        history.cpu_seconds.append(clock - since)
        if options.resume:
            run.save(options.resume)
    model.load_state_dict(run.best)
    history.check(options.resume)
    return history


def check_parts(train: tuple[np.ndarray, Tensor], validation: tuple[np.ndarray, Tensor]) -> None:
    """Raise ValueError for a part without galaxies."""
    for name, (pixels, _) in (("train", train), ("validation", validation)):
        if not len(pixels):
            raise ValueError(
                f"Expected one galaxy or more in each part, got none in {name}. Divide the "
                "galaxies so that both parts get some."
            )


@dataclass
class _Run:
    """All that changes during a training, so that it can be saved and go on later."""

    parts: dict[str, Any]  # network, optimiser, schedule: each has a state_dict
    steps: int  # of the whole training
    best: dict[str, Tensor]  # weights of the best epoch
    shuffle: torch.Generator
    history: History = field(default_factory=History)
    step: int = 0

    def begin(self, file: Path) -> None:
        """Go on from a file, or make one: where that fails, it fails before an epoch is lost."""
        if file.exists() and self.load(file):
            return
        self.save(file)

    def save(self, file: Path) -> None:
        """Write the state after an epoch."""
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= {"history": asdict(self.history), "best": self.best, "step": self.step}
        state |= {"shuffle": self.shuffle.get_state(), "training": self.training()}
        content = io.BytesIO()
        torch.save(state | {"random": _random_states()}, content)
        with atomic_write(file) as temporary, temporary.open("wb") as stream:
            stream.write(_MARK + hashlib.blake2b(content.getvalue()).digest())
            stream.write(content.getvalue())

    def load(self, file: Path) -> bool:
        """Put everything back as it was after the last finished epoch.

        Returns
        -------
        bool
            False for a file of ours that is not whole: nothing in it can be trusted.

        Raises
        ------
        ValueError
            For any other file, also one of another network, or of a training of another length.
        """
        again = f"Delete {short(file)} to start anew, or name another file."
        found = file.read_bytes() if file.is_file() else b""
        mark, start = found[: len(_MARK)], len(_MARK) + hashlib.blake2b().digest_size
        if not file.is_file() or not _MARK.startswith(mark):
            raise ValueError(
                f"Expected the state of a training in {short(file)}, found something else (or the "
                f"state of an older version). {again}"
            )
        content = found[start:]
        if mark != _MARK or found[len(_MARK) : start] != hashlib.blake2b(content).digest():
            tqdm.write(
                f"{short(file)} is damaged or was cut short: nothing in it can be used. The "
                "training starts anew."
            )
            return False
        try:
            # Tensors and numbers; nothing that runs. Parts move them to their own device.
            state = torch.load(io.BytesIO(content), "cpu", weights_only=True)
            if state["training"] != self.training():
                raise ValueError("it belongs to another network, or to another length")
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.history = History(**state["history"])
            self.best, self.step = state["best"], state["step"]
            self.shuffle.set_state(state["shuffle"])
            _set_random_states(state["random"])
        except Exception as error:  # whatever torch makes of a file that somebody changed
            reason = str(error) if isinstance(error, ValueError) else type(error).__name__
            raise ValueError(
                f"{short(file)} does not fit this training ({public(reason, 200)}). {again}"
            ) from None
        return True

    def training(self) -> list[Any]:
        """Tell trainings apart: by length, optimiser, schedule, and the shapes of the network."""
        state = self.parts["model"].state_dict()
        shapes = str([(name, tuple(value.shape)) for name, value in state.items()])
        digest = hashlib.blake2b(shapes.encode(), digest_size=8).hexdigest()
        kinds = [type(self.parts[name]).__name__ for name in ("optimizer", "schedule")]
        return [self.steps, sorted(self.parts), *kinds, digest]


def _random_states() -> dict[str, Any]:
    """States of all random numbers that a training may use: torch's, NumPy's and Python's."""
    numpy = np.random.get_state(legacy=False)  # nested dictionaries
    words: Any = numpy["state"]
    states = {"torch": torch.get_rng_state(), "python": random.getstate()}
    states["numpy"] = numpy | {"state": words | {"key": words["key"].tolist()}}
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return states | {"cuda": torch.cuda.get_rng_state_all() if used else []}


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])


def _running_mean(model: nn.Module, decay: float) -> AveragedModel:
    """Average the weights, at first over few steps, so that it forgets how they began."""

    def update(mean: Any, now: Any, n: Any) -> None:
        if not mean[0].is_floating_point():  # a counter of batches
            torch._foreach_copy_(mean, now)
            return
        torch._foreach_lerp_(mean, now, 1 - min(decay, (1 + float(n)) / (10 + float(n))))

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


@torch.no_grad()
def predict(
    model: nn.Module | Callable[[Tensor], Tensor],
    pixels: np.ndarray,
    prepare: Prepare,
    batch_size: int = 256,
    device: torch.device | None = None,
) -> Tensor:
    """Run a network over images, uint8 (n, 3, height, width); outputs (n, ...) on the CPU.

    A function in place of a network needs to be told its ``device``.
    """
    if isinstance(model, nn.Module):
        device = device or next(model.parameters()).device
        model.eval()
    nothing = torch.zeros(len(pixels))
    outputs = [
        model(prepare(x.to(device))).float().cpu() for x, _ in batches(pixels, nothing, batch_size)
    ]
    return torch.cat(outputs)
