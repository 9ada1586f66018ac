"""The training loop that notebook 03 writes by hand, for the notebooks before and after it."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

Loss = Callable[[Tensor, Tensor], Tensor]
Prepare = Callable[[Tensor], Tensor]


def best_device() -> torch.device:
    """Give the fastest device here: a CUDA GPU, Apple's GPU, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


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
    """What happened in training: one number an epoch, and which epoch was best."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    best_epoch: int = 0


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
    """
    device = next(model.parameters()).device
    shuffle = torch.Generator().manual_seed(seed)
    steps = -(-len(train[0]) // batch_size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, epochs * steps)
    history, step, best = History(), 0, copy.deepcopy(model.state_dict())
    for epoch in tqdm(range(epochs), desc="epochs", leave=False, disable=not progress):
        model.train()
        total = 0.0
        for images, wanted in batches(*train, batch_size, shuffle):
            optimizer.zero_grad()
            value = loss(model(augment(images.to(device), step)), wanted.to(device))
            value.backward()
            optimizer.step()
            schedule.step()
            step += 1
            total += value.item() * len(images)
        history.train_loss.append(total / len(train[0]))
        outputs = predict(model, validation[0], prepare)
        history.validation_loss.append(loss(outputs, validation[1]).item())
        if history.validation_loss[-1] <= min(history.validation_loss):
            history.best_epoch = epoch
            best = copy.deepcopy(model.state_dict())  # a copy: state_dict() itself is live
    model.load_state_dict(best)
    return history


@torch.no_grad()
def predict(
    model: nn.Module, pixels: np.ndarray, prepare: Prepare, batch_size: int = 256
) -> Tensor:
    """Run a network over images, uint8 (n, 3, height, width); outputs (n, ...) on the CPU."""
    device = next(model.parameters()).device
    model.eval()
    nothing = torch.zeros(len(pixels))
    outputs = [
        model(prepare(x.to(device))).float().cpu() for x, _ in batches(pixels, nothing, batch_size)
    ]
    return torch.cat(outputs)
