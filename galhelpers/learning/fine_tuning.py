"""Transfer learning: a network trained on one kind of picture learns another in a few steps.

What is frozen here stays as it is to the last bit. That takes more than to switch gradients off:
batch normalisation also keeps a running mean and variance of its inputs, and these move whenever a
network in training mode sees a picture. A "frozen" network whose statistics move is another
network after twenty steps on another survey.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import ReduceLROnPlateau

from galhelpers.learning.training import History, Loss, Options, Prepare, check_parts, fit
from galhelpers.models.backbones import Backbone
from galhelpers.models.bayesian import VoteEnsemble


def freeze(net: Backbone, n_stages: int, batch_norm: str = "frozen") -> None:
    """Let the first stages of a network stay as they are; all others learn.

    Parameters
    ----------
    net
        Changed in place; stays so in training mode, until this is called again.
    n_stages
        How many of ``net.stages`` are frozen: 0 for none, ``len(net.stages) - 1`` for all but the
        head.
    batch_norm
        ``"frozen"``: frozen stages keep their running means and variances too, and their dropout
        leaves nothing out. ``"moving"``: means and variances follow the new pictures all the same.

    Raises
    ------
    ValueError
        For a number that freezes the head, or another word.

    Notes
    -----
    ``timm.utils.freeze`` is not used: it replaces frozen batch normalisation by another kind of
    layer, without the counter that a checkpoint of the network holds, and leaves dropout on.
    """
    stages = net.stages
    if not 0 <= n_stages < len(stages):
        raise ValueError(
            f"Expected from 0 to {len(stages) - 1} frozen stages of {len(stages)} (the last is "
            f"the head, which always learns), got {n_stages}."
        )
    if batch_norm not in ("frozen", "moving"):
        raise ValueError(f"Expected batch_norm to be 'frozen' or 'moving', got {batch_norm!r}.")
    for number, stage in enumerate(stages):
        for parameter in stage:
            parameter.requires_grad_(number >= n_stages)
    net.moving_statistics = batch_norm == "moving"
    net.train(net.training)


def layer_rates(net: Backbone, rate: float, decay: float = 1.0) -> list[dict[str, Any]]:
    """Give an optimiser's parameter groups: a smaller learning rate for each layer further back.

    Early layers see edges and blobs, which differ little between surveys (Howard & Ruder 2018,
    arXiv:1801.06146, section 3.2). The network's ``group_matcher`` (timm) says what belongs to a
    layer; in most networks it is a block of convolutions.

    Parameters
    ----------
    rate
        Learning rate of the head.
    decay
        Factor from one layer to the one before it, above 0 and up to 1 (all alike).

    Returns
    -------
    list of dict
        Groups with ``params`` and ``lr``, the head's last. Every parameter that needs a gradient
        is in one of them.

    Raises
    ------
    ValueError
        For another decay.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"Expected a decay above 0 and up to 1, got {decay}.")
    layers = param_groups_layer_decay(net.encoder, weight_decay=0.0, layer_decay=decay)
    groups = [{"params": g["params"], "lr": rate * decay * g["lr_scale"]} for g in layers]
    return [*groups, {"params": list(net.head.parameters()), "lr": rate}]


@dataclass(frozen=True)
class Phase:
    """One part of a fine-tuning.

    Attributes
    ----------
    frozen
        Share of the encoder's stages that are frozen: 1 leaves only the head to learn.
    epochs
        At most.
    learning_rate
        Of the head.
    """

    frozen: float
    epochs: int
    learning_rate: float = 1e-4


KHAN = (Phase(1.0, 1), Phase(0.3, 20), Phase(0.0, 20))
"""As Khan et al. 2019 trained Xception: the head; all from layer 40 of 137 on; all."""


def fine_tune(
    net: Backbone,
    train: tuple[np.ndarray, Tensor],
    validation: tuple[np.ndarray, Tensor],
    loss: Loss,
    *,
    augment: Callable[[Tensor, int], Tensor],
    prepare: Prepare,
    phases: Sequence[Phase] = KHAN,
    decay: float = 1.0,
    batch_norm: str = "frozen",
    batch_size: int = 64,
    patience: int = 3,
    seed: int = 0,
    mixed_precision: bool = False,
    progress: bool = False,
) -> list[History]:
    """Train the head first, then more and more of the network; end with the best of all epochs.

    The defaults are those of Khan et al. 2019, from the code they published: Adam, the learning
    rate halved after two epochs without a lower validation loss, a phase ended after three. The
    next phase goes on from the best weights so far, and if it finds none better, they are kept.

    Parameters
    ----------
    train, validation, loss, augment, prepare, batch_size, seed, progress
        As in :func:`galhelpers.learning.training.fit`.
    phases
        What is frozen in each, how long it lasts, and how fast it learns.
    decay
        As in :func:`layer_rates`.
    batch_norm
        As in :func:`freeze`.
    patience
        Epochs of a phase without a lower validation loss before it ends.
    mixed_precision
        As in :class:`galhelpers.learning.training.Options`.

    Returns
    -------
    list of History
        One a phase. The network stays frozen as the last phase had it.

    Raises
    ------
    ValueError
        For a phase with a share beyond 0 to 1, a part without galaxies, and as the functions named
        above. Then nothing has been trained. And for a phase in which no validation loss is
        finite: the network then has the best weights of the phases before.
    """
    if wrong := [phase for phase in phases if not 0 <= phase.frozen <= 1]:
        raise ValueError(f"Expected a frozen share from 0 to 1, got {wrong[0]}.")
    check_parts(train, validation)
    layer_rates(net, 1.0, decay)  # says now, not after the first phase, what is wrong with it
    best, best_loss, step = copy.deepcopy(net.state_dict()), math.inf, 0
    histories = []
    for number, phase in enumerate(phases):
        freeze(net, round(phase.frozen * (len(net.stages) - 1)), batch_norm)
        options = Options(
            optimizer=partial(_adam, rate=phase.learning_rate, decay=decay),
            schedule=_halve_on_plateau,
            patience=patience,
            mixed_precision=mixed_precision,
        )
        # Other views and another order in every phase.
        history = fit(
            net, train, validation, loss, augment=partial(_later, augment, step),
            prepare=prepare, epochs=phase.epochs, batch_size=batch_size, seed=seed + 1000 * number,
            progress=progress, options=options,
        )  # fmt: skip
        step += len(history.train_loss) * -(-len(train[0]) // batch_size)
        histories.append(history)
        lowest = min(filter(math.isfinite, history.validation_loss), default=math.inf)
        if lowest < best_loss:
            best, best_loss = copy.deepcopy(net.state_dict()), lowest
        else:
            net.load_state_dict(best)
    return histories


@torch.no_grad()
def reestimate_batch_norm(
    net: nn.Module, pixels: np.ndarray, prepare: Prepare, batch_size: int = 256, seed: int = 0
) -> None:
    """Measure the running means and variances anew, on pictures of another survey.

    Needs no labels and changes no weight (Li et al. 2016, arXiv:1603.04779). Frozen stages are
    measured too: this asks for it.

    Parameters
    ----------
    net
        Any network with batch normalisation (an ensemble: all members), changed in place; its
        mode stays what it is.
    pixels
        uint8, shape (n, 3, height, width), two pictures or more. Their mixture of classes should be
        that of the survey: the network takes a share of it out of what it sees.
    prepare
        As for validation.
    batch_size
        At most, and 3 at least: the batches are of equal size, give or take one.
    seed
        Of the order in which the pictures are put together.

    Raises
    ------
    ValueError
        For a network without batch normalisation, or too few pictures.
    """
    if isinstance(net, VoteEnsemble):  # alone it shows pictures to its first member only
        for member in net.members:
            reestimate_batch_norm(member, pixels, prepare, batch_size, seed)
        return
    norms = [one for one in net.modules() if isinstance(one, _BatchNorm)]
    norms = [norm for norm in norms if norm.track_running_stats]
    if not norms:
        raise ValueError(
            f"{type(net).__name__} has no batch normalisation: there is nothing to measure anew."
        )
    n = len(pixels)
    if n < 2 or batch_size < 3:  # three or more can always be shared out without a rest of one
        raise ValueError(
            f"Expected two pictures or more, and a batch size of three or more, got {n} and "
            f"{batch_size}."
        )
    device = next(net.parameters()).device
    modes = {module: module.training for module in net.modules()}
    momentum = [norm.momentum for norm in norms]
    order = np.random.default_rng(seed).permutation(n)
    seen = 0
    net.eval()  # no dropout: what is measured is what the network sees when it predicts
    try:
        for norm in norms:
            norm.training = True
        for rows in np.array_split(order, -(-n // batch_size)):
            seen += len(rows)
            for norm in norms:
                # The mean over all pictures so far; at first 1, which forgets what was there.
                norm.momentum = len(rows) / seen
            net(prepare(torch.from_numpy(np.asarray(pixels[rows])).to(device)))
    finally:
        for norm, value in zip(norms, momentum, strict=True):
            norm.momentum = value
        for module, mode in modes.items():
            module.training = mode


def _adam(net: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    assert isinstance(net, Backbone)
    return torch.optim.Adam(layer_rates(net, rate, decay))


def _halve_on_plateau(optimizer: torch.optim.Optimizer, _steps: int) -> ReduceLROnPlateau:
    # A plateau of torch ends in the epoch after its patience, one of Keras in its last: 1 for 2.
    return ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0, min_lr=1e-8)


def _later(augment: Callable[[Tensor, int], Tensor], start: int, x: Tensor, step: int) -> Tensor:
    return augment(x, start + step)
