"""Trained networks on disk: weights and everything needed to use them, without running code.

A checkpoint is a safetensors file. Unlike a pickle it can hold nothing but numbers and text, so
that opening one from a stranger is safe.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from galhelpers.data.augment import dihedral_views, to_float
from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.learning.calibration import ConcentrationScale
from galhelpers.learning.posterior import Posterior, as_table, posterior_of, table_columns
from galhelpers.learning.training import best_device, predict
from galhelpers.models import Backbone, VoteEnsemble, VoteNet, build
from galhelpers.models.pretrained import timms_names
from galhelpers.paths import atomic_write, short
from galhelpers.trees import GZ2

FORMAT = "galhelpers-1"
FIELDS = ("architecture", "arguments", "preprocessing", "classes", "task", "provenance")


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
        given = posterior_of(self._vote_net, pixels, self._prepare, self.preprocessing["passes"])
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
            probable class, ``""`` where a probability is NaN. The largest of 37 answers to
            different questions means nothing: for ``fractions`` and ``votes`` of Galaxy Zoo 2 it
            is the five-class selection, ``""`` where no class is agreed on or for another tree.
        """
        if self.task == "votes":
            posterior = self.posterior(pixels)
            numbers = as_table(posterior)
            names = self._five_classes(posterior.shares.astype(numbers.dtype))
        else:
            numbers = self.predict(pixels).cpu().numpy()
            if self.task == "classes":
                names = self._most_probable(numbers)
            else:
                names = self._five_classes(numbers)
        table = pd.DataFrame(numbers, columns=self.columns)
        table.insert(0, "class_name", names)
        return table

    def _most_probable(self, probabilities: np.ndarray) -> list[str]:
        return ["" if np.isnan(p).any() else self.classes[p.argmax()] for p in probabilities]

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
        return predict(average, pixels, self._prepare, device=next(self.model.parameters()).device)

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
) -> Path:
    """Write a checkpoint; see :class:`Checkpoint` for the fields.

    ``architecture`` and ``arguments`` are what :func:`galhelpers.models.build` needs to make the
    network again. ``weights`` among them are left out: where a training started from is not needed
    to go on from where it ended.
    """
    arguments = {name: value for name, value in arguments.items() if name != "weights"}
    values = (architecture, arguments, preprocessing, list(classes), task, provenance or {})
    metadata = {name: json.dumps(value) for name, value in zip(FIELDS, values, strict=True)}
    weights = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    with atomic_write(path) as temporary:
        save_file(weights, temporary, metadata | {"format": FORMAT})
    return Path(path)


def load_checkpoint(path: str | Path, device: torch.device | None = None) -> Checkpoint:
    """Read a checkpoint of :func:`save_checkpoint`.

    Raises
    ------
    FileNotFoundError, ValueError
        When there is no file, or it is not a checkpoint of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint {short(path)}.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{short(path)} is not a checkpoint of this course (expected safetensors): {error}"
        ) from None
    if metadata.get("format") != FORMAT:
        raise ValueError(
            f"{short(path)} should carry the format {FORMAT!r}, it carries "
            f"{metadata.get('format')!r}: it was not written by this version of galhelpers."
        )
    fields = {name: json.loads(metadata[name]) for name in FIELDS}
    model = build(fields["architecture"], **fields.pop("arguments"))
    model.load_state_dict(timms_names(weights))
    if isinstance(model, Backbone):
        pictures, model.start = fields["preprocessing"], short(path)
        model.normalisation = pictures["mean"], pictures["std"]
    return Checkpoint(model=model.to(device or best_device()).eval(), **fields)
