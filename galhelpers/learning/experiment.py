"""Networks compared as they should be: same galaxies, several splits, one last look at the test.

A :class:`Recipe` says everything about one network: how it is built, what it gets to see, how it
is trained. :func:`run` trains it on splits of the galaxies, chooses the epoch on a
validation part, and looks at the test part once, at the end. Each split leaves a folder, so that
a run that was interrupted goes on where it stopped.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.metrics import confusion_matrix, recall_score
from sklearn.model_selection import StratifiedKFold, StratifiedShuffleSplit
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from tqdm.auto import tqdm

from galhelpers.data.augment import Augment, to_float
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.images import CachedImages, load_images
from galhelpers.learning.calibration import fit_concentration_scale
from galhelpers.learning.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from galhelpers.learning.losses import vote_loss
from galhelpers.learning.metrics import rmse
from galhelpers.learning.muon import Muon
from galhelpers.learning.samples import Labelled, five_classes
from galhelpers.learning.training import Loss, Options, best_device, fit
from galhelpers.locks import only_one
from galhelpers.models import build
from galhelpers.models.pretrained import Normalisation, fill, read_weights
from galhelpers.models.schemas import Task
from galhelpers.paths import atomic_write, checksum, image_cache
from galhelpers.trees import TREES

# Raise this number when the same recipe would give another network than before: results that are
# on disk are then made anew.
_TRAINING = 2
PASSES = 20
"""Passes of a network for votes at prediction."""
VIEWS: dict[str, dict[str, Any]] = {
    "flip": {"rotate": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "brightness": 0.0, "noise": 0.0},
    "turn": {"zoom": (1 / 1.1, 1.1), "noise": 0.0},
    "full": {},
    "sky": {"zoom": (0.7, 1.4), "brightness": 0.3, "noise": 0.03},
}


@dataclass(frozen=True)
class Recipe:
    """One network and its training.

    Attributes
    ----------
    name
        Name of its folder.
    architecture, arguments
        For :func:`galhelpers.models.build`.
    size, crop
        Side of the pictures in pixels, and the central fraction of the frame that they show.
    margin
        Training pictures are kept this much wider, so that a turned one has real corners.
    augment
        ``flip``, as in the paper; ``turn``, any rotation, little zoom, shift and brightness;
        ``full``, more zoom, and noise, which small pictures bear badly; or ``sky``, more of all
        three, for a network that is to see another survey.
    sizes
        Pairs of (share of all steps, side in pixels): training pictures are reduced to these
        sides first, one after the other, and have ``size`` for the rest. Small pictures cost less.
    epochs, batch_size, learning_rate, weight_decay
        The usual.
    optimizer, schedule
        ``sgd`` (momentum .9), ``adamw``, or ``muon`` (:class:`galhelpers.learning.muon.Muon`).
        ``steps`` (a tenth after 3/7 of all steps, again after 6/7: 30,000 and 60,000 of 70,000 in
        the paper), ``one_cycle``, or ``linear``: up in a tenth of all steps, and down to zero.
    smoothing
        Label smoothing.
    average, patience, mixed_precision
        As in :class:`galhelpers.learning.training.Options`.
    rebalance
        Subtract a multiple of the logarithm of the class shares from the scores, chosen on the
        validation part for accuracy and macro-averaged recall together (Menon et al. 2021,
        arXiv:2007.07314): helps rare classes.
    views
        Average predictions over 1 or 8 views (turned and mirrored).
    half
        Keep the trained weights as numbers of 16 bits: half the file. Scores are those of the
        rounded network.
    """

    name: str
    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    size: int = 32
    crop: float = 1.0
    margin: float = 1.0
    augment: str = "flip"
    sizes: tuple[tuple[float, int], ...] = ()
    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    optimizer: str = "sgd"
    schedule: str = "steps"
    smoothing: float = 0.0
    average: float | None = None
    patience: int | None = None
    mixed_precision: bool = False
    rebalance: bool = False
    views: int = 1
    half: bool = False

    def but(self, name: str, **changes: Any) -> "Recipe":
        """Give the same recipe under another name, with some changes."""
        return replace(self, name=name, **changes)


@dataclass(frozen=True)
class Split:
    """Rows of the galaxies in the three parts."""

    number: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def stratified_splits(
    class_id: np.ndarray, n: int = 10, seed: int = 0, test: float = 0.1, validation: float = 0.1
) -> list[Split]:
    """Divide galaxies at random, n times, with the same share of each class in every part.

    Parameters
    ----------
    class_id
        Class of each galaxy, shape (galaxies,); copies of one picture must have been removed.
    test
        Share of the test part.
    validation
        Share of the rest that is kept for choosing the epoch.
    """
    outer = StratifiedShuffleSplit(n, test_size=test, random_state=seed)
    return _divided(class_id, outer, seed, validation)


def folds(class_id: np.ndarray, n: int = 5, seed: int = 0, validation: float = 0.15) -> list[Split]:
    """Divide galaxies for cross-validation: each is in the test part once.

    Parameters
    ----------
    class_id, validation
        As in :func:`stratified_splits`.
    """
    outer = StratifiedKFold(n, shuffle=True, random_state=seed)
    return _divided(class_id, outer, seed, validation)


def _divided(
    class_id: np.ndarray,
    outer: StratifiedShuffleSplit | StratifiedKFold,
    seed: int,
    validation: float,
) -> list[Split]:
    splits = []
    for number, (rest, test) in enumerate(outer.split(class_id, class_id)):
        inner = StratifiedShuffleSplit(1, test_size=validation, random_state=seed + number)
        train, chosen = next(inner.split(rest, class_id[rest]))
        splits.append(Split(number, rest[train], rest[chosen], test))
    return splits


@dataclass(frozen=True)
class GrowingViews:
    """Random views that are small at first, then larger: early steps cost less.

    Attributes
    ----------
    augment
        Makes the views, at full size.
    sizes, steps
        See :class:`Recipe`; ``steps`` are those of the whole training.
    """

    augment: Augment
    sizes: tuple[tuple[float, int], ...]
    steps: int

    def side(self, step: int) -> int:
        """Give the side in pixels of the views of a step."""
        until = 0.0
        for share, side in self.sizes:
            until += share * self.steps
            if step < until:
                return side
        return self.augment.size

    def __call__(self, batch: Tensor, step: int) -> Tensor:
        """Map bytes (b, 3, h, w) to views (b, 3, side, side), as ``Augment`` does."""
        views, side = self.augment(batch, step), self.side(step)
        if side == self.augment.size:
            return views
        return F.interpolate(views, (side, side), mode="bilinear", antialias=True)


def run(
    recipe: Recipe,
    galaxies: GalaxySet | Labelled,
    splits: Sequence[Split],
    folder: Path,
    progress: bool = False,
    weights: Path | None = None,
) -> list[dict[str, Any]]:
    """Train a recipe on each split that has no result yet.

    Parameters
    ----------
    galaxies
        With their answers; of a ``GalaxySet`` the five classes.
    progress
        Show a bar over the trainings of all splits, with the time that is left.
    weights
        A network whose encoder the training starts from; the normalisation of its pictures is
        kept. By default everything starts at random.

    Returns
    -------
    list of dict
        One a split: the ``score`` (see :func:`score_of`) on the test part, with the validation
        part's as ``validation``, ``parameters``, ``best_epoch``, ``epochs``, the losses,
        ``cpu_seconds`` (of all sessions, without epochs that an interruption lost),
        ``epoch_cpu_seconds`` and, of classes, ``epoch_accuracy`` (both lists: the time of each
        epoch alone, and the accuracy after it on the validation part, without ``views`` and
        ``rebalance``),
        ``evaluations`` of the ODE function for a batch (if it has one), and the ``folder`` with
        the checkpoint and the predictions.
    """
    labelled = galaxies if isinstance(galaxies, Labelled) else five_classes(galaxies)
    pictures = {
        "train": _images(
            labelled, round(recipe.size * recipe.margin), recipe.crop * recipe.margin, progress
        ),
        "plain": _images(labelled, recipe.size, recipe.crop, progress),
    }
    results = []
    costs = [_costs(recipe, split) for split in splits]
    with tqdm(
        total=sum(cost[-1] for cost in costs), desc=recipe.name, disable=not progress,
        bar_format="{l_bar}{bar}| {elapsed} so far, {remaining} left",
    ) as bar:  # fmt: skip
        for split, cost in zip(splits, costs, strict=True):
            mark = _fingerprint(recipe, labelled, split, weights)
            name = recipe.name.replace(" ", "_").replace(",", "")
            # The mark keeps apart what differs: hours of work are never written over.
            place = folder / name / f"split_{split.number:02d}-{mark}"
            told = _follow(bar, cost)
            with only_one(place, "trains the same network"):
                done = _finished(place, mark)
                results.append(
                    done
                    or _run_split(recipe, labelled, split, place, mark, pictures, told, weights)
                )
            told(len(cost) - 1)
    return results


def _costs(recipe: Recipe, split: Split) -> list[int]:
    """Give the pixels of a picture, summed up to each step: what the steps cost, relatively."""
    steps = _steps(recipe, split)
    views = GrowingViews(Augment(recipe.size), recipe.sizes, steps)
    return list(accumulate((views.side(step) ** 2 for step in range(steps)), initial=0))


def _follow(bar: tqdm, cost: list[int]) -> Callable[[int], None]:
    """Give a function that moves a bar to a step of a split; the first move took no time."""
    before, first = bar.n, True

    def told(step: int) -> None:
        nonlocal first
        if bar.disable:
            return
        move = before + cost[step] - bar.n
        if first:  # what an earlier session did says nothing of the time that is left
            bar.initial += move
            bar.n += move
        else:
            bar.update(move)
        first = False

    return told


def _steps(recipe: Recipe, split: Split) -> int:
    return recipe.epochs * -(-len(split.train) // recipe.batch_size)


def _run_split(
    recipe: Recipe, galaxies: Labelled, split: Split, place: Path, mark: str,
    pictures: dict[str, CachedImages], told: Callable[[int], None], weights: Path | None,
) -> dict[str, Any]:  # fmt: skip
    start, process_start = time.monotonic(), time.process_time()
    place.mkdir(parents=True, exist_ok=True)
    wide, plain = pictures["train"].pixels, pictures["plain"].pixels
    torch.manual_seed(split.number)
    model = build(recipe.architecture, **recipe.arguments)
    known = begin_from(model, weights) if weights else None
    mean, std = known or channel_statistics(plain, split.train)
    model = model.to(best_device())
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}

    targets = galaxies.targets
    training: Any = (_Rows(wide, split.train), targets[split.train])
    validation = (plain[split.validation], targets[split.validation])
    limits = VIEWS[recipe.augment] | {"seed": split.number, "mean": mean, "std": std}
    augment = Augment(recipe.size, **limits)
    unfinished = place / "training.pt"
    before = time.process_time()
    history = fit(
        model, training, validation, loss_of(galaxies, recipe.smoothing),
        augment=GrowingViews(augment, recipe.sizes, _steps(recipe, split)),
        prepare=partial(to_float, mean=mean, std=std), epochs=recipe.epochs,
        batch_size=recipe.batch_size, seed=split.number,
        options=_options(recipe, galaxies.task, unfinished, told),
    )  # fmt: skip
    process_start += time.process_time() - before  # the history counts earlier sessions, too
    few = np.arange(min(64, len(split.train)))
    facts |= _evaluations(model, augment(torch.from_numpy(training[0][few]), 0))

    arguments = dict(recipe.arguments)
    if galaxies.task == "classes":
        keep_first(model, len(galaxies.classes))
        arguments["outputs"] = len(galaxies.classes)
    preprocessing = {"size": recipe.size, "crop": recipe.crop, "mean": mean, "std": std}
    preprocessing |= {"passes": PASSES} if galaxies.task == "votes" else {"views": recipe.views}
    save = partial(
        save_checkpoint, place / "model.safetensors", model, architecture=recipe.architecture,
        arguments=arguments, preprocessing=preprocessing, classes=galaxies.classes,
        task=galaxies.task, half=recipe.half,
        provenance={"recipe": asdict(recipe), "dataset": galaxies.name, "split": split.number},
    )  # fmt: skip
    trained = load_checkpoint(save())
    chosen = targets[split.validation].numpy()
    if recipe.rebalance:
        scores = trained.predict(validation[0]).numpy()
        shares = np.bincount(targets[split.train].numpy(), minlength=len(galaxies.classes))
        log_shares = torch.tensor(np.log(shares / len(split.train)))
        facts["power"] = best_power(scores, chosen, log_shares.exp().numpy())
        bias: Tensor = model.head.bias  # type: ignore[union-attr,assignment]
        with torch.no_grad():
            bias -= facts["power"] * log_shares.to(bias)
        trained = load_checkpoint(save())
    if galaxies.task == "votes":  # as sure as the votes of the validation part say it should be
        scale = fit_concentration_scale(trained.posterior(validation[0]), chosen)
        preprocessing |= {"factors": scale.factors.tolist(), "weights": scale.weights.tolist()}
        trained = load_checkpoint(save())
    validated, _ = score_of(trained, validation[0], chosen)

    # The last word: from here on nothing is chosen any more.
    truth = targets[split.test].numpy()
    scored, arrays = score_of(trained, plain[split.test], truth)
    result = {"recipe": recipe.name, "split": split.number, "fingerprint": mark}
    result |= scored | facts | {"validation": validated}
    result |= {"n_train": len(split.train), "n_validation": len(split.validation)}
    result |= {"n_test": len(split.test)}
    result |= {"best_epoch": history.best_epoch + 1, "epochs": len(history.validation_loss)}
    result |= {"train_loss": history.train_loss, "validation_loss": history.validation_loss}
    result |= {"epoch_cpu_seconds": history.cpu_seconds, "epoch_accuracy": history.measured}
    cpu_seconds = sum(history.cpu_seconds) + time.process_time() - process_start
    result |= {"cpu_seconds": round(cpu_seconds, 1)}
    result |= {"seconds": round(time.monotonic() - start, 1), "threads": torch.get_num_threads()}
    with atomic_write(place / "test.npz") as file, file.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, id=galaxies.ids[split.test], **arrays)
    result |= {"files": _digests(place)}
    with atomic_write(place / "result.json") as file:
        file.write_text(json.dumps(result | {"digest": _digest(result)}, indent=1), encoding="utf8")
    unfinished.unlink(missing_ok=True)
    return result | {"folder": str(place)}


def begin_from(model: nn.Module, weights: Path) -> Normalisation | None:
    """Give the encoder of a network the weights of another, and say what its pictures were like.

    Raises
    ------
    FileNotFoundError, ValueError
        As :func:`galhelpers.models.pretrained.read_weights`.
    """
    found = read_weights("small_resnet", weights)
    fill(model.get_submodule("encoder"), found)
    return found.normalisation


def loss_of(galaxies: Labelled, smoothing: float = 0.0) -> Loss:
    """Give the loss that belongs to the answers.

    Cross-entropy of classes, mean squared error of fractions, and the surprise at votes
    (:func:`galhelpers.learning.losses.vote_loss`).
    """
    if galaxies.task == "votes":
        return partial(vote_loss, tree=TREES[galaxies.tree])
    if galaxies.task == "fractions":
        return F.mse_loss
    return partial(F.cross_entropy, label_smoothing=smoothing)


def score_of(
    trained: Checkpoint, pixels: np.ndarray, truth: np.ndarray
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Measure a network on pictures that it was not trained on.

    Parameters
    ----------
    pixels
        uint8 (n, 3, size, size), as the network wants them.
    truth
        Class numbers (n,), or fractions or votes (n, answers).

    Returns
    -------
    scores
        For classes those of :func:`score`; for fractions ``rmse``; for votes ``nats`` (surprise
        of the posterior at the votes of a galaxy, all questions together) and ``share_rmse``, of
        the shares of all volunteers.
    arrays
        Row by row: ``truth`` (votes as shares of all volunteers), ``probabilities`` (of classes;
        or fractions, or shares), and for votes ``nats`` and the number of ``votes``.
    """
    if trained.task == "votes":
        posterior = trained.posterior(pixels)
        # Everybody is asked the first question.
        first = posterior.tree.slices[posterior.tree.questions[0].name]
        shares = truth / truth[:, first].sum(axis=1, keepdims=True)
        arrays = {"truth": shares, "probabilities": posterior.shares, "votes": truth}
        arrays["nats"] = posterior.nll(truth).sum(axis=1)
        scores = {"nats": float(arrays["nats"].mean())}
        return scores | {"share_rmse": rmse(posterior.shares, shares)}, arrays
    answers = trained.predict(pixels).numpy()
    arrays = {"truth": truth, "probabilities": answers}
    if trained.task == "classes":
        return score(answers, truth), arrays
    return {"rmse": rmse(answers, truth)}, arrays


def _evaluations(model: nn.Module, images: Tensor) -> dict[str, Any]:
    """Count the evaluations of the ODE function for one batch of training; nothing without one."""
    stats = getattr(getattr(model, "features", None), "stats", None)
    if stats is None:
        return {}
    model.train()
    model(images.to(best_device())).sum().backward()
    stats = getattr(model.features, "stats")  # noqa: B009 - made anew by each pass
    return {"evaluations": [stats.forward, stats.backward]}


def score(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Accuracy, recall of each class, their mean, and the confusion matrix (rows: true).

    Parameters
    ----------
    probabilities
        Shape (n, classes).
    truth
        Class numbers, shape (n,).
    """
    guess = probabilities.argmax(axis=1)
    labels = list(range(probabilities.shape[1]))
    recall = recall_score(truth, guess, labels=labels, average=None, zero_division=np.nan)
    return {
        "accuracy": float(np.mean(guess == truth)),
        "macro_recall": float(np.nanmean(recall)),
        "recall": [float(value) for value in recall],
        "confusion": confusion_matrix(truth, guess, labels=labels).tolist(),
    }


def share_right(outputs: Tensor, classes: Tensor) -> float:
    """Give the accuracy of scores, shape (n, outputs), where these are the right classes, (n,)."""
    return float((outputs.argmax(dim=1) == classes).float().mean())


def best_power(scores: np.ndarray, truth: np.ndarray, shares: np.ndarray) -> float:
    """Choose how much of the class shares to take out of the probabilities, on validation galaxies.

    The power that makes the mean of accuracy and macro-averaged recall largest; the smallest of
    equal ones.
    """
    powers = np.arange(0, 1.01, 0.05)
    quality = []
    for power in powers:
        result = score(scores / shares**power, truth)
        quality.append(result["accuracy"] + result["macro_recall"])
    return float(powers[int(np.argmax(quality))])


def keep_first(model: nn.Module, outputs: int) -> None:
    """Cut the outputs that belong to no class off the last layer: they only ever lost."""
    head: nn.Linear = model.head  # type: ignore[assignment]
    if head.out_features > outputs:
        smaller = nn.Linear(head.in_features, outputs).to(head.weight)
        smaller.load_state_dict({name: v[:outputs] for name, v in head.state_dict().items()})
        model.head = smaller


def channel_statistics(
    pixels: np.ndarray, rows: np.ndarray, most: int = 4_000
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, 0-1 scale, of up to ``most`` training images."""
    scaled = pixels[np.sort(rows[:most])] / np.float32(255)
    return scaled.mean((0, 2, 3)).tolist(), scaled.std((0, 2, 3)).tolist()


class _Rows:
    """Some rows of a memory map, read when they are asked for."""

    def __init__(self, pixels: np.ndarray, rows: np.ndarray) -> None:
        self.pixels, self.rows = pixels, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: np.ndarray) -> np.ndarray:
        return self.pixels[self.rows[which]]


def _images(galaxies: Labelled, size: int, crop: float, progress: bool) -> CachedImages:
    return load_images(galaxies.files, size, crop, cache_dir=image_cache(), progress=progress)


def _options(recipe: Recipe, task: Task, resume: Path, told: Callable[[int], None]) -> Options:
    return Options(
        optimizer=partial(_optimizer, recipe),
        schedule=partial(_schedule, recipe),
        patience=recipe.patience,
        average=recipe.average,
        mixed_precision=recipe.mixed_precision,
        resume=resume,
        measure=share_right if task == "classes" else None,
        told=told,
    )


def _optimizer(recipe: Recipe, model: nn.Module) -> torch.optim.Optimizer:
    """Weights of layers shrink, biases and scales of normalisation do not."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "muon":
        return Muon(model, recipe.learning_rate, recipe.weight_decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate)
    return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9)


def _schedule(recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
    if recipe.schedule == "linear":
        return OneCycleLR(
            optimizer, recipe.learning_rate, steps, pct_start=0.1, anneal_strategy="linear"
        )
    if recipe.schedule == "one_cycle":
        return OneCycleLR(optimizer, recipe.learning_rate, steps, pct_start=0.15)
    return MultiStepLR(optimizer, [math.ceil(steps * 3 / 7), math.ceil(steps * 6 / 7)])


def _fingerprint(recipe: Recipe, galaxies: Labelled, split: Split, weights: Path | None) -> str:
    """Name what a result depends on: another recipe, or other galaxies, and it is not reused."""
    parts = [json.dumps(asdict(recipe), sort_keys=True, default=list), galaxies.name]
    parts += [str(_TRAINING), str(galaxies.classes), checksum(weights) if weights else ""]
    parts += [galaxies.digest] if galaxies.digest else []
    ids = galaxies.ids
    parts += [",".join(ids[rows]) for rows in (split.train, split.validation, split.test)]
    return hashlib.blake2b("|".join(parts).encode(), digest_size=6).hexdigest()


def _finished(place: Path, mark: str) -> dict[str, Any] | None:
    try:
        result = json.loads((place / "result.json").read_text(encoding="utf8"))
        # Results of earlier versions have no digests.
        if result["fingerprint"] != mark or _digests(place) != result.get("files", _digests(place)):
            return None
        if result.pop("digest", None) not in (None, _digest(result)):
            return None
    except (OSError, ValueError, TypeError, KeyError):  # damaged, or without its network: made anew
        return None
    return result | {"folder": str(place)}


def _digest(result: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(result).encode()).hexdigest()


def _digests(place: Path) -> dict[str, str]:
    """Digest of each file that belongs to a result."""
    names = ("model.safetensors", "test.npz")
    return {name: hashlib.blake2b((place / name).read_bytes()).hexdigest() for name in names}


def table(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Put results in a table, one row a recipe: mean and standard deviation over the splits."""
    frame = pd.DataFrame(results)
    grouped = frame.groupby("recipe", sort=False)
    columns = ["accuracy", "macro_recall", "cpu_seconds"]
    return grouped[columns].agg(["mean", "std"]).join(grouped.size().rename(("splits", "n")))
