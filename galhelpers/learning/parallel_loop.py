"""What `galhelpers.learning.parallel` gives pytorch-lightning: parts of batches, and steps."""

import copy
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from galhelpers.learning.training import (
    History,
    Loss,
    Options,
    Prepare,
    _shape,
    autocast,
    batches,
)


def rank_and_size() -> tuple[int, int]:
    """Give the number of this process, from 0, and how many there are; (0, 1) without torchrun.

    What only one process should do, such as printing and saving, is for number 0.
    """
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


class Parts:
    """The parts of one process in the batches of all: images, targets, number and weight."""

    def __init__(
        self,
        pixels: np.ndarray,
        targets: Tensor,
        whole: int,
        accumulate: int,
        shuffle: torch.Generator,
    ) -> None:
        self.pixels, self.targets, self.whole = pixels, targets, whole
        self.accumulate, self.shuffle = accumulate, shuffle
        self.steps = -(-len(pixels) // whole)

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, int, float]]:
        rank, size = rank_and_size()
        n_parts = size * self.accumulate
        order = torch.randperm(len(self.pixels), generator=self.shuffle)  # alike everywhere
        for rows in order.split(self.whole):
            split = rows.tensor_split(n_parts)
            for number in range(rank * self.accumulate, (rank + 1) * self.accumulate):
                # Makes the mean of the parts' losses that of all rows, however uneven the parts. A
                # process without rows takes part in the step all the same, with weight 0.
                weight = len(split[number]) * n_parts / len(rows)
                mine = split[number] if weight else rows[:1]
                images = torch.from_numpy(np.asarray(self.pixels[mine.numpy()]))
                yield images, self.targets[mine], number, weight


class Batches:
    """Validation images in order."""

    def __init__(self, pixels: np.ndarray, targets: Tensor) -> None:
        self.pixels, self.targets = pixels, targets

    def __len__(self) -> int:
        return -(-len(self.pixels) // 256)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return batches(self.pixels, self.targets, 256)


class Run(pl.LightningModule):
    """What pytorch-lightning asks for at each point of the training."""

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        augment: Callable[[Tensor, int], Tensor],
        prepare: Prepare,
        rate: float,
        steps: int,
        shuffle: torch.Generator,
        options: Options,
    ) -> None:
        super().__init__()
        self.model, self.loss, self.augment, self.prepare = model, loss, augment, prepare
        self.rate, self.steps, self.shuffle, self.options = rate, steps, shuffle, options
        self.history, self.best = History(), copy.deepcopy(model.state_dict())
        self.total = self.validation_total = np.zeros(2)  # losses added up, galaxies

    def configure_optimizers(self) -> Any:
        """Make the optimiser and the schedule."""
        model, chosen = self.model, self.options
        if chosen.optimizer:
            optimizer = chosen.optimizer(model)
        else:
            optimizer = torch.optim.AdamW(model.parameters(), lr=self.rate, weight_decay=1e-2)
        if chosen.schedule:
            schedule = chosen.schedule(optimizer, self.steps)
        else:
            schedule = OneCycleLR(optimizer, self.rate, self.steps)
        interval = "epoch" if isinstance(schedule, ReduceLROnPlateau) else "step"
        when = {"scheduler": schedule, "interval": interval, "monitor": "validation_loss"}
        return {"optimizer": optimizer, "lr_scheduler": when}

    def on_train_start(self) -> None:
        """Start as process 0; do nothing where a resumed training was over."""
        for buffer in self.model.buffers() if self.trainer.world_size > 1 else ():
            dist.broadcast(buffer, 0)
        self._stop_if_patience_is_over(len(self.history.validation_loss))

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch's losses; train also a network that came in evaluation mode."""
        self.model.train()
        self.total = np.zeros(2)

    def training_step(self, batch: tuple[Tensor, Tensor, int, float], _: int) -> Tensor:
        """Give the weighted loss of this process's part."""
        images, wanted, number, weight = batch
        n_parts = self.trainer.world_size * self.trainer.accumulate_grad_batches
        # Views follow from this number and the row: here other views than in every other part.
        views = self.augment(images, self.global_step * n_parts + number)
        with autocast(self.device, self.options.mixed_precision):
            outputs = self.model(views)
        value = self.loss(outputs.float(), wanted)
        if weight:
            self.total += (value.item() * len(images), len(images))
        return value * weight

    def on_validation_epoch_start(self) -> None:
        """Average over processes what batch normalisation measured."""
        self.validation_total = np.zeros(2)
        for buffer in self.model.buffers() if self.trainer.world_size > 1 else ():
            # What differs from process 0 is averaged, so that what rests stays to the last bit.
            first = buffer.clone()
            dist.broadcast(first, 0)
            if buffer.is_floating_point():
                buffer -= first
                dist.all_reduce(buffer)
                buffer.div_(self.trainer.world_size).add_(first)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Add up the loss."""
        images, wanted = batch
        with autocast(self.device, self.options.mixed_precision):
            outputs = self.model(self.prepare(images))
        value = self.loss(outputs.float(), wanted).item() * len(images)
        self.validation_total += (value, len(images))

    def on_validation_epoch_end(self) -> None:
        """Write the history; keep the weights if they are the best so far."""
        history = self.history
        history.train_loss.append(self._mean(self.total))
        history.validation_loss.append(self._mean(self.validation_total))
        epochs = len(history.validation_loss)
        if history.last_is_best():
            history.best_epoch = epochs - 1
            self.best = copy.deepcopy(self.model.state_dict())
        self.log("validation_loss", history.validation_loss[-1], sync_dist=True)  # for a schedule
        self._stop_if_patience_is_over(epochs)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is not weights, optimiser or schedule."""
        checkpoint["history"], checkpoint["best"] = asdict(self.history), self.best
        checkpoint["shuffle"] = self.shuffle.get_state()
        checkpoint["of"] = [self.steps, _shape(self.model)]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        if checkpoint.get("of") != [self.steps, _shape(self.model)]:
            raise ValueError(
                "The file to resume from was saved by another network, or by a training of another "
                "length. Delete it to start anew, or name another file."
            )
        self.history, self.best = History(**checkpoint["history"]), checkpoint["best"]
        self.shuffle.set_state(checkpoint["shuffle"].cpu())

    def _stop_if_patience_is_over(self, epochs: int) -> None:
        patience = self.options.patience
        if patience is not None and epochs - self.history.best_epoch > patience:
            self.trainer.should_stop = True

    def _mean(self, total: np.ndarray) -> float:
        """Divide the sum by the number of galaxies, both of all processes."""
        if self.trainer.world_size > 1:
            everywhere = torch.from_numpy(total).to(self.device)
            dist.all_reduce(everywhere)
            total = everywhere.cpu().numpy()
        return float(total[0] / total[1])
