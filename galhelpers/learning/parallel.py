"""Training on several processes: the GPUs of one machine, or of many.

A program that calls `fit_parallel` is started once for each GPU (on a machine without one: once for
a core or two)::

    torchrun --nproc_per_node=4 program.py

and on 16 machines with 4 GPUs each, on every one of them::

    torchrun --nnodes=16 --nproc_per_node=4 --rdzv_backend=c10d --rdzv_endpoint=HOST program.py

Every process holds the whole network. Of each batch it sees a part of its own; before a step the
gradients are averaged over all processes, so that the networks stay alike (Li et al. 2020,
arXiv:2006.15704). Started without torchrun, one process does it all.

Processes, devices, their connection and checkpoints are left to pytorch-lightning, the same code as
the package ``lightning``, with less around it.
"""

import atexit
import gc
import logging
import os
import warnings
from collections.abc import Callable
from functools import cache

import numpy as np
import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments import LightningEnvironment, TorchElasticEnvironment
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn

from galhelpers.learning.parallel_loop import Batches, Parts, Run, rank_and_size
from galhelpers.learning.training import History, Loss, Options, Prepare, check_parts, keep_memory

__all__ = ["fit_parallel", "rank_and_size", "scaled_rate"]
PLAIN = Options()


def scaled_rate(rate: float, batch: int, reference: int) -> float:
    """Give the learning rate for another batch: k times the batch, k times the rate.

    k small steps and a single step along the mean of their gradients then lead about equally far
    (Goyal et al. 2017, arXiv:1706.02677, section 2.1). The rule fails while the network changes
    fast, so the rate must rise to this value from a small one (their section 2.2), and for very
    large batches (beyond about 8,000 in their Figure 1).

    Parameters
    ----------
    rate
        Good for batches of ``reference``.
    batch
        Of all processes together.
    reference
        Batch that the rate was chosen for.

    Raises
    ------
    ValueError
        For a rate or a batch that is not above 0.
    """
    if not (rate > 0 and batch > 0 and reference > 0):
        raise ValueError(
            f"Expected a rate and batches above 0, got {rate}, {batch} and {reference}."
        )
    return rate * (batch / reference)


def fit_parallel(
    model: nn.Module,
    train: tuple[np.ndarray, Tensor],
    validation: tuple[np.ndarray, Tensor],
    loss: Loss,
    *,
    augment: Callable[[Tensor, int], Tensor],
    prepare: Prepare,
    epochs: int,
    learning_rate: float = 3e-3,
    reference_batch: int | None = None,
    batch_size: int = 64,
    accumulate: int = 1,
    seed: int = 0,
    progress: bool = False,
    options: Options = PLAIN,
) -> History:
    """Train as `galhelpers.learning.training.fit` does, on all processes that torchrun started.

    Every process calls it with the same arguments. All end with the same weights, those of the
    best epoch, and the same history. With one process it takes the steps that ``fit`` takes.

    Parameters
    ----------
    model
        On the CPU: processes on the CPU, connected by gloo. On a GPU: each process moves it to the
        GPU of its number on its machine; connected by nccl. It starts as in process 0.
    train, validation
        As in ``fit``, all of it in every process (best as memory maps); each reads its own rows.
    loss
        A mean over galaxies. The training loss of the history is that of the varied images.
    augment, prepare, epochs, seed
        As in ``fit``. No two processes give ``augment`` the same number of a step.
    learning_rate
        The highest of the one cycle, which rises to it during its first 30 %: the warm-up.
    reference_batch
        Scale the learning rate from this batch to that of all processes, by `scaled_rate`.
    batch_size
        Of one process: a step sees ``processes * accumulate * batch_size`` galaxies. The last step
        of an epoch takes what is left, shared out evenly.
    accumulate
        Batches that a process adds up before each step. 2 processes take the steps of 1 process
        with 2 batches, to rounding: how to try on one what is meant for many.
    progress
        Show a bar for each epoch, in process 0.
    options
        As in ``fit``, without ``average``. Only process 0 writes the file to resume from; all read
        it, so it lies where all machines see it. The number of processes may change in between if
        ``processes * accumulate * batch_size`` stays. An optimiser of its own ignores the rates.

    Notes
    -----
    Batch normalisation sees the batch of one process, as Goyal et al. 2017 do (section 2.3): large
    batches on few processes normalise otherwise than small ones on many. Running means and
    variances are averaged over processes before each validation; they change once a step, with
    ``accumulate`` more often, so validation losses differ between the two, training losses do not.
    Dropout differs between processes and thus with their number; afterwards their random generators
    differ.

    Raises
    ------
    ValueError
        For an option that it lacks, too few galaxies to train or validate on, or a file of another
        network or length of training; and where no validation loss is finite, as in ``fit``.
    """
    check_parts(train, validation)
    if options.average is not None:
        raise ValueError("fit_parallel keeps no mean of the weights: leave out Options.average.")
    if batch_size < 1 or accumulate < 1:
        raise ValueError(
            f"Expected a batch_size and accumulate of 1 or more, got {batch_size} and {accumulate}."
        )
    rank, size = rank_and_size()
    if len(validation[0]) < size:
        raise ValueError(
            f"Expected at least one galaxy to validate on for each of {size} processes, got "
            f"{len(validation[0])}."
        )
    keep_memory()
    if rank:  # process 0 goes on with the caller's generator, as fit does
        torch.manual_seed(torch.initial_seed() + rank)
    whole = batch_size * accumulate * size
    rate = scaled_rate(learning_rate, whole, reference_batch) if reference_batch else learning_rate
    shuffle = torch.Generator().manual_seed(seed)
    parts = Parts(*train, whole, accumulate, shuffle)
    run = Run(model, loss, augment, prepare, rate, epochs * parts.steps, shuffle, options)
    trainer = _trainer(next(model.parameters()).device, epochs, accumulate, progress, options)
    own = Batches(validation[0][rank::size], validation[1][rank::size])
    there = options.resume if options.resume and options.resume.is_file() else None
    with warnings.catch_warnings():  # of coming changes of torch, and of what is meant to be so
        known = "broadcast_buffers|LeafSpec|Checkpoint directory|Grad strides|in eval mode"
        warnings.filterwarnings("ignore", f".*({known})")
        # Only tensors and numbers are read from the file; nothing that runs.
        trainer.fit(run, parts, own, ckpt_path=there, weights_only=True)
    model.to(trainer.strategy.root_device)
    model.load_state_dict(run.best)
    history = run.history
    # The libraries' objects refer to each other and hold the connection. Where they and it lived
    # until the interpreter ends, the process now and then died of that, its work done.
    del trainer, run
    gc.collect()
    if size > 1:
        _disconnect_at_the_end()
    history.check(options.resume)
    return history


@cache
def _disconnect_at_the_end() -> None:
    @atexit.register
    def disconnect() -> None:
        if dist.is_initialized():
            dist.destroy_process_group()


def _trainer(
    device: torch.device, epochs: int, accumulate: int, progress: bool, options: Options
) -> pl.Trainer:
    for library in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(library).setLevel(logging.WARNING)
    size = rank_and_size()[1]
    callbacks: list[pl.Callback] = []
    if options.resume:
        keeper = ModelCheckpoint(
            options.resume.parent,
            options.resume.stem,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        keeper.FILE_EXTENSION = options.resume.suffix
        callbacks.append(keeper)
    backend = "nccl" if device.type == "cuda" else "gloo"
    return pl.Trainer(
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
        num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", 1)),
        # Buffers are averaged once an epoch instead of being sent before each batch.
        strategy=DDPStrategy(process_group_backend=backend, broadcast_buffers=False)
        if size > 1
        else "auto",
        plugins=[TorchElasticEnvironment() if size > 1 else LightningEnvironment()],
        max_epochs=epochs,
        accumulate_grad_batches=accumulate,
        callbacks=callbacks,
        enable_checkpointing=bool(callbacks),
        enable_progress_bar=progress,
        enable_model_summary=False,
        logger=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,
    )
