"""Train a network that comes with the course, and measure it for its card."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from galhelpers.data.images import load_images
from galhelpers.learning.checkpoint import load_checkpoint
from galhelpers.learning.experiment import (
    Split,
    folds,
    run,
    score,
    score_of,
    stratified_splits,
)
from galhelpers.learning.metrics import Interval, bootstrap, rmse, split_interval
from galhelpers.learning.network_check import new_check
from galhelpers.learning.networks import Card, Score, TrainingData, facts_of
from galhelpers.learning.recipes import Network
from galhelpers.learning.samples import Labelled, join, read_sample
from galhelpers.paths import image_cache
from galhelpers.trees import TREES

Arrays = dict[str, np.ndarray]
Measure = Callable[[Arrays], float]
LICENCE = "MIT; the pictures and labels it learnt from belong to those who are credited."
BOOTSTRAP = "bootstrap of the test part"
ENOUGH = 10
"""People who must have been asked a question for their majority to count."""


class Scores(NamedTuple):
    """What a network reaches on one part of the galaxies."""

    part: str
    how: str  # what the intervals of 95 % come from
    values: dict[str, Interval]
    confusion: list[list[int]] | None = None  # rows: true classes


class Made(NamedTuple):
    """A trained network and what is known of it."""

    file: Path
    scores: list[Scores]
    results: list[dict[str, Any]]  # of each split, as ``experiment.run`` gives them
    best: dict[str, Any]  # the one of the split that ``file`` was trained on


def make_network(
    network: Network,
    data_root: str | Path | None,
    folder: Path,
    weights: Path | None = None,
    progress: bool = False,
) -> Made:
    """Train a network of the course on all its splits, or go on, and score it.

    Of several splits the network with the best score on its validation part is taken.

    Parameters
    ----------
    data_root
        Folder that holds published data sets.
    folder
        For results, and for the states of trainings that are not finished: see
        :func:`galhelpers.learning.experiment.run`.
    weights
        Checkpoint of ``network.start``.
    progress
        Show bars.
    """
    galaxies = join([read_sample(sample, data_root) for sample in network.samples])
    splits = splits_of(network, galaxies)
    made = train_and_score(network, galaxies, splits, folder, weights, progress)
    if network.judged:
        made.scores.append(judge(made.file, read_sample(network.judged, data_root)))
    return made


def splits_of(network: Network, galaxies: Labelled) -> list[Split]:
    """Give the parts of its galaxies that a network is trained, chosen and tested on."""
    if network.folds:
        splits = folds(galaxies.strata, network.folds)
    else:
        splits = stratified_splits(galaxies.strata)[: network.splits]
    if network.most:
        splits = [replace(split, train=split.train[: network.most]) for split in splits]
    return splits


def train_and_score(
    network: Network,
    galaxies: Labelled,
    splits: Sequence[Split],
    folder: Path,
    weights: Path | None = None,
    progress: bool = False,
) -> Made:
    """Do what :func:`make_network` does, for any galaxies and splits of them."""
    results = run(network.recipe, galaxies, splits, folder, progress, weights)
    best = max(results, key=lambda one: _quality(one["validation"]))
    file = Path(best["folder"]) / "model.safetensors"
    return Made(file, [_on_test_parts(galaxies, results, network.folds)], results, best)


def judge(file: Path, galaxies: Labelled) -> Scores:
    """Score a network on galaxies of another survey, none of which it was trained on."""
    trained = load_checkpoint(file)
    side, crop = trained.preprocessing["size"], trained.preprocessing["crop"]
    pictures = load_images(galaxies.files, side, crop, cache_dir=image_cache(), progress=False)
    found, arrays = score_of(trained, pictures.pixels, galaxies.targets.numpy())
    values = intervals(galaxies, arrays)
    return Scores(f"{galaxies.name}, all", BOOTSTRAP, values, found.get("confusion"))


def card_of(network: Network, made: Made, command: str) -> Card:
    """Write the card of a network that was just trained.

    Of two scores of one name, that on the galaxies which were added last, those of another survey,
    comes first; the other one's name says where it was reached.
    """
    scores: dict[str, Score] = {}
    for one in reversed(made.scores):
        for name, interval in one.values.items():
            if np.isfinite([interval.value, interval.low, interval.high]).all():
                key = f"{name} ({one.part})" if name in scores else name
                scores[key] = _score_on_card(one, interval)
    results = made.results
    parts = {part: results[0][f"n_{part}"] for part in ("train", "validation", "test")}
    if network.folds:
        parts["test"] = sum(one["n_test"] for one in results)
    trained = load_checkpoint(made.file)
    return Card(
        **facts_of(made.file),
        answers=network.answers,
        data=TrainingData(dataset=trained.provenance["dataset"], credit=network.credit, **parts),
        start=network.start or "nothing",
        command=command,
        seed=made.best["split"],
        machine=_machine(made.best["threads"]),
        cpu_minutes=round(sum(one["cpu_seconds"] for one in results) / 60, 1),
        scores=scores,
        confusion=made.scores[-1].confusion,
        splits=[_main_scores(one) for one in results] if len(results) > 1 else [],
        not_for=list(network.not_for),
        check=new_check(trained, network.samples[0].telescope) if network.samples else None,
        licence=LICENCE if network.samples else "Yours.",
    )


def _score_on_card(part: Scores, interval: Interval) -> Score:
    value, low, high = (round(x, 4) for x in (interval.value, interval.low, interval.high))
    # Resampled galaxies need not lie on both sides of a value that few of them decide.
    ends = {"low": min(low, value), "high": max(high, value)}
    return Score.model_validate(
        {"part": part.part, "value": value, "n": interval.n, "how": part.how} | ends
    )


def _machine(threads: int) -> str:
    used = "one thread" if threads == 1 else f"{threads} threads"
    return f"{platform.machine()}, {used}, torch {torch.__version__}"


def _main_scores(result: dict[str, Any]) -> dict[str, float]:
    names = ("accuracy", "macro_recall", "nats", "share_rmse", "rmse")
    return {name: round(result[name], 4) for name in names if name in result}


def _quality(validation: dict[str, Any]) -> float:
    """Say how good a network is on the validation part: higher is better."""
    if "accuracy" in validation:
        return float(validation["accuracy"] + validation["macro_recall"])
    return -float(validation["nats" if "nats" in validation else "rmse"])


def _on_test_parts(galaxies: Labelled, results: Sequence[dict[str, Any]], n_folds: int) -> Scores:
    parts = [dict(np.load(Path(one["folder"]) / "test.npz")) for one in results]
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    classes = galaxies.task == "classes"
    confusion = score(arrays["probabilities"], arrays["truth"])["confusion"] if classes else None
    name, n = f"{galaxies.name}, test", len(arrays["truth"])
    if n_folds or len(parts) == 1:
        how = f"{n_folds}-fold cross-validation" if n_folds else BOOTSTRAP
        return Scores(name, how, intervals(galaxies, arrays), confusion)
    test_share = results[0]["n_test"] / len(galaxies)
    values = {
        which: replace(split_interval([measure(part) for part in parts], test_share), n=n)
        for which, measure in measures_of(galaxies).items()
    }
    if classes:  # few splits have wide intervals, but a share is never outside 0 to 1
        values = {
            which: replace(one, low=max(0.0, one.low), high=min(1.0, one.high))
            for which, one in values.items()
        }
    return Scores(name, f"{len(parts)} splits", values, confusion)


def intervals(galaxies: Labelled, arrays: Arrays) -> dict[str, Interval]:
    """Measure with intervals of 95 %, from resampled galaxies."""

    def of_rows(measure: Measure, rows: np.ndarray) -> float:
        return measure({name: values[rows] for name, values in arrays.items()})

    rows = np.arange(len(arrays["truth"]))
    return {
        name: bootstrap(partial(of_rows, measure), rows)
        for name, measure in measures_of(galaxies).items()
    }


def measures_of(galaxies: Labelled) -> dict[str, Measure]:
    """Give what a network for these answers is measured by; see ``experiment.score_of``.

    ``..._constant`` are what the same mean answer for every galaxy would reach, and
    ``bar_majority`` the same word for every bar.
    """
    if galaxies.task == "fractions":
        return {"rmse": _rmse, "rmse_constant": _rmse_of_constant}
    if galaxies.task == "votes":
        bar = TREES[galaxies.tree].slices["bar"]
        return {
            "nats": lambda arrays: float(arrays["nats"].mean()),
            "share_rmse": _rmse,
            "share_rmse_constant": _rmse_of_constant,
            "bar_accuracy": partial(_most_said, columns=bar),
            "bar_majority": partial(_most_said, columns=bar, constant=True),
        }
    found: dict[str, Measure] = {
        "accuracy": lambda arrays: float((_guess(arrays) == arrays["truth"]).mean()),
        "macro_recall": lambda arrays: float(
            np.nanmean([_recall(arrays, number) for number in range(len(galaxies.classes))])
        ),
    }
    for number, name in enumerate(galaxies.classes):
        found[f"recall {name}"] = partial(_recall, number=number)
    return found


def _guess(arrays: Arrays) -> np.ndarray:
    return arrays["probabilities"].argmax(axis=1)


def _recall(arrays: Arrays, number: int) -> float:
    of_class = arrays["truth"] == number
    return float((_guess(arrays)[of_class] == number).mean()) if of_class.any() else np.nan


def _rmse(arrays: Arrays) -> float:
    return rmse(arrays["probabilities"], arrays["truth"])


def _rmse_of_constant(arrays: Arrays) -> float:
    truth = arrays["truth"]
    return rmse(np.broadcast_to(truth.mean(axis=0), truth.shape), truth)


def _most_said(arrays: Arrays, columns: slice, constant: bool = False) -> float:
    """Share of galaxies of which the answer most people gave is the expected one."""
    votes = arrays["votes"][:, columns]
    asked = votes.sum(axis=1) >= ENOUGH
    said = votes[asked].argmax(axis=1)
    if not len(said):
        return np.nan
    if constant:
        return float(np.bincount(said).max() / len(said))
    return float((arrays["probabilities"][asked, columns].argmax(axis=1) == said).mean())
