"""Trained networks on disk: weights and everything needed to use them, without running code.

A checkpoint is a safetensors file, which holds numbers and text only. All that it says is checked
before a network is built of it (``galhelpers.models.schemas``), and the network classifies one
blank picture before anybody gets it: so that opening one from a stranger is safe, and a damaged
one is refused before the work begins.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from galhelpers.data.augment import dihedral_views, to_float
from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.learning.calibration import ConcentrationScale
from galhelpers.learning.posterior import Posterior, as_table, posterior_of, table_columns
from galhelpers.learning.training import best_device, predict
from galhelpers.messages import public
from galhelpers.models import Backbone, VoteEnsemble, VoteNet, build
from galhelpers.models.checkpoint_file import (
    WITHOUT_HASH,
    CheckpointError,
    read_tensors,
    write_tensors,
)
from galhelpers.models.pretrained import timms_names
from galhelpers.models.schemas import read_metadata, write_metadata
from galhelpers.paths import atomic_write, short
from galhelpers.trees import GZ2

__all__ = ["Checkpoint", "CheckpointError", "load_checkpoint", "save_checkpoint"]

BATCH_PIXELS = 256 * 256**2
"""Pixels that go through a network at once: of large pictures fewer than 256, to bound memory."""


@dataclass
class Checkpoint:
    """A trained network that knows how to prepare its images.

    Attributes
    ----------
    preprocessing
        ``size`` (pixels), ``crop`` (fraction of the field of view), ``mean`` and ``std``; and
        ``views``, 8 to average over a picture turned and mirrored, 1 or absent not to. For
        ``votes`` also ``passes`` of every member, and ``factors`` and ``weights`` of the
        calibration (``galhelpers.learning.calibration.ConcentrationScale``), if there is one.
    task
        ``classes`` (one class a galaxy), ``fractions`` (vote fractions of a decision tree), or
        ``votes`` (a distribution of them, from a ``VoteNet`` or a ``VoteEnsemble``).
    provenance
        Where it was trained: notebook, data set, profile, seed, metrics.
    """

    model: nn.Module
    architecture: str
    preprocessing: dict[str, Any]
    classes: list[str]
    task: str
    provenance: dict[str, Any]

    @property
    def columns(self) -> list[str]:
        """Name of each number that ``classify`` gives for a galaxy."""
        if self.task == "votes":
            return table_columns(self._vote_net.tree)
        return [f"p_{name}" for name in self.classes]

    @property
    def _vote_net(self) -> VoteNet | VoteEnsemble:
        if not isinstance(self.model, VoteNet | VoteEnsemble):
            raise ValueError(
                f"Expected a network for votes (vote_net or vote_ensemble), got "
                f"{self.architecture!r}, a network for {self.task}: it gives no distribution."
            )
        return self.model

    def posterior(self, pixels: np.ndarray) -> Posterior:
        """Say what a network for votes expects of volunteers, calibrated; pixels as below."""
        self._check(pixels)
        given = posterior_of(
            self._vote_net,
            pixels,
            self._prepare,
            self.preprocessing["passes"],
            batch_size=self._batch_size,
        )
        if "weights" not in self.preprocessing:
            return given
        factors, weights = (np.array(self.preprocessing[name]) for name in ("factors", "weights"))
        return ConcentrationScale(factors, weights).apply(given)

    def classify(self, pixels: np.ndarray) -> pd.DataFrame:
        """Say what each picture shows, in words and numbers.

        Parameters
        ----------
        pixels
            uint8, shape (n, 3, size, size), cropped and resized as ``preprocessing`` says.

        Returns
        -------
        DataFrame
            n rows: ``class_name``, then float32 ``columns``. For ``classes`` the name is the most
            probable class. The largest of 37 answers to different questions means nothing: for
            ``fractions`` and ``votes`` of Galaxy Zoo 2 it is the five-class selection, ``""`` where
            no class is agreed on or for another tree. A picture for which the network has no finite
            answer has NaN and ``""``.

        Raises
        ------
        CheckpointError
            When the network itself fails, as one with nonsensical weights may.
        """
        self._check(pixels)
        try:
            numbers, names = self._answers(pixels)
            table = pd.DataFrame(numbers, columns=self.columns)
        except Exception as error:  # of the solver, of torch, of the posterior
            side = self.preprocessing["size"]
            raise CheckpointError(
                f"its network ({self.architecture}) fails on pictures of {side} x {side} pixels: "
                f"{public(error, 300).rstrip('.')}."
            ) from error
        table.insert(0, "class_name", names)
        broken = ~np.isfinite(numbers).all(axis=1)
        table.loc[broken, "class_name"], table.loc[broken, self.columns] = "", np.nan
        return table

    def _answers(self, pixels: np.ndarray) -> tuple[np.ndarray, list[str]]:
        if self.task == "votes":
            posterior = self.posterior(pixels)
            numbers = as_table(posterior)
            return numbers, self._five_classes(posterior.shares.astype(numbers.dtype))
        numbers = self.predict(pixels).cpu().numpy()
        if numbers.shape[1:] != (len(self.classes),):
            raise ValueError(
                f"expected {len(self.classes)} numbers a picture, one for each class, found "
                f"{numbers.shape[-1]}."
            )
        if self.task == "classes":
            return numbers, [self.classes[i] for i in numbers.argmax(axis=1)]
        return numbers, self._five_classes(numbers)

    def _five_classes(self, fractions: np.ndarray) -> list[str]:
        if len(self.classes) != GZ2.n_answers:
            return [""] * len(fractions)
        names = np.array([*FIVE_CLASSES, ""])
        return names[select_five_classes(fractions.astype(np.float64))].tolist()

    def predict(self, pixels: np.ndarray) -> Tensor:
        """Probability of each class, or the vote fractions.

        Parameters
        ----------
        pixels
            As for ``classify``.

        Returns
        -------
        Tensor
            float32, shape (n, columns).

        Raises
        ------
        ValueError
            For a network for votes, which gives a distribution: see ``posterior``.
        """
        if self.task == "votes":
            raise ValueError(
                f"Expected a network for classes or fractions, got {self.architecture!r}, a "
                "network for votes. Use classify() or posterior()."
            )
        self._check(pixels)

        def answer(batch: Tensor) -> Tensor:
            outputs = self.model(batch)
            return outputs.softmax(dim=1) if self.task == "classes" else outputs

        def average(batch: Tensor) -> Tensor:
            views = dihedral_views(batch)[: self.preprocessing.get("views", 1)]
            return torch.stack([answer(view) for view in views]).mean(dim=0)

        self.model.eval()
        device = next(self.model.parameters()).device
        return predict(average, pixels, self._prepare, self._batch_size, device)

    @property
    def _batch_size(self) -> int:
        return max(1, min(256, BATCH_PIXELS // self.preprocessing["size"] ** 2))

    def _prepare(self, batch: Tensor) -> Tensor:
        return to_float(batch, self.preprocessing["mean"], self.preprocessing["std"])

    def _check(self, pixels: np.ndarray) -> None:
        side = self.preprocessing["size"]
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (3, side, side):
            raise ValueError(
                f"Expected uint8 images of shape (n, 3, {side}, {side}), got {pixels.dtype} "
                f"of shape {pixels.shape}."
            )


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    *,
    architecture: str,
    arguments: dict[str, Any],
    preprocessing: dict[str, Any],
    classes: list[str] | tuple[str, ...],
    task: str = "classes",
    provenance: dict[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write a checkpoint; see :class:`Checkpoint` for the fields.

    ``architecture`` and ``arguments`` are what :func:`galhelpers.models.build` needs to make the
    network again. ``weights`` among them are left out: where a training started from is not needed
    to go on from where it ended. ``half`` rounds the weights to 16 bits, for half the file:
    probabilities change by about 0.001.

    Raises
    ------
    CheckpointError
        For a checkpoint that :func:`load_checkpoint` would refuse. It is not written, and an
        earlier one of that name stays.
    """
    try:
        about = write_metadata(
            architecture=architecture,
            arguments={name: value for name, value in arguments.items() if name != "weights"},
            preprocessing=preprocessing,
            classes=list(classes),
            task=task,
            provenance=provenance or {},
        )
        with atomic_write(path) as temporary:
            state = model.state_dict()
            if half:
                state = {name: _halved(value) for name, value in state.items()}
            write_tensors(temporary, about, state)
            _load(temporary, torch.device("cpu"))
    except CheckpointError as error:
        raise CheckpointError(
            f"The checkpoint {public(Path(path).name)} is not written: {error}"
        ) from error
    return Path(path)


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.dtype == torch.float32 else value


def load_checkpoint(path: str | Path, device: torch.device | None = None) -> Checkpoint:
    """Read a checkpoint of :func:`save_checkpoint`, and see that it classifies a blank picture.

    Of a file of earlier versions, without a hash, a warning says that damage cannot be seen.

    Raises
    ------
    CheckpointError
        When there is no file, it is not a checkpoint of this package, or one that contradicts
        itself or has changed since it was written. Nothing else is raised for a file, whatever is
        in it.
    """
    try:
        return _load(Path(path), device or best_device())
    except CheckpointError as error:
        raise CheckpointError(
            f"{public(Path(path).name) or 'A folder'} cannot be used as a checkpoint of this "
            f"course: {error} Notebooks 04 and 10 write checkpoints into checkpoints/ of "
            "their run folder; `galhelpers networks` lists trained ones."
        ) from error


def _load(path: Path, device: torch.device) -> Checkpoint:
    about, tensors = read_tensors(path)
    fields = read_metadata(about).model_dump(exclude_unset=True)
    model = _network(fields["architecture"], fields.pop("arguments"), timms_names(tensors))
    if isinstance(model, Backbone):
        pictures, model.start = fields["preprocessing"], short(path)
        model.normalisation = pictures["mean"], pictures["std"]
    checkpoint = Checkpoint(model=model.to(device).eval(), **fields)
    side = checkpoint.preprocessing["size"]
    blank = checkpoint.classify(np.zeros((1, 3, side, side), np.uint8))
    if blank[checkpoint.columns].isna().any(axis=None):
        raise CheckpointError(
            "its network answers a blank picture with NaN or infinity, as after a training that "
            "diverged. Train it again with a lower learning rate."
        )
    if about["format"] == WITHOUT_HASH:
        warnings.warn(
            f"{public(path.name)} was written by an earlier version of galhelpers, without a hash: "
            "damage to it would not be noticed. Run its notebook again to write it anew.",
            stacklevel=3,
        )
    return checkpoint


def _network(architecture: str, arguments: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    """Build a network of these tensors, without memory for others: first on the device "meta"."""
    try:
        with torch.device("meta"):
            model = build(architecture, **arguments)
    except ValueError as error:
        raise CheckpointError(f"{public(error).rstrip('.')}.") from None
    expected = model.state_dict()
    missing, foreign = sorted(expected.keys() - tensors), sorted(tensors.keys() - expected)
    if missing or foreign:
        found = [
            f"{len(names)} {what}, such as {public(names[0], 60)!r}"
            for names, what in ((missing, "missing"), (foreign, "foreign"))
            if names
        ]
        raise CheckpointError(
            f"expected the {len(expected)} tensors of {architecture}, found {' and '.join(found)}."
        )
    for name, value in expected.items():
        if (tensors[name].dtype, value.dtype) == (torch.float16, torch.float32):
            tensors[name] = tensors[name].float()  # kept as 16 bits, see save_checkpoint
        wanted, given = (f"{t.dtype} {tuple(t.shape)}" for t in (value, tensors[name]))
        if wanted != given:
            raise CheckpointError(f"size mismatch: expected {name} as {wanted}, found {given}.")
    model.load_state_dict(tensors, assign=True)
    return model
