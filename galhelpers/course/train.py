"""Train a network of the course again, or its recipe on a user's own labelled pictures."""

import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galhelpers.course.labelled_pictures import read_labelled
from galhelpers.course.text_tables import table_lines
from galhelpers.learning.experiment import Recipe, Split, run
from galhelpers.learning.make_networks import (
    Made,
    Scores,
    card_of,
    make_network,
)
from galhelpers.learning.metrics import mean_proportion, proportion
from galhelpers.learning.networks import Card, cards, names_like, network_file, write_card
from galhelpers.learning.recipes import NETWORKS, Network, recipe_for
from galhelpers.learning.samples import Labelled
from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.models import build
from galhelpers.models.schemas import ARGUMENTS
from galhelpers.paths import (
    UserError,
    atomic_write,
    checksum,
    course_root,
    short,
    user_path,
    writable,
)

CARDS = "networks.yaml"
HELD_OUT = 0.15
"""Share of a user's pictures in the test part, and in the validation part."""
MOST_IN_MATRIX = 26
"""Classes of a confusion matrix: they have letters."""
WIDE = 0.1
"""An interval of the accuracy that is wider leaves too much open."""


def train_network(
    name: str, data_root: str | None = None, out: str | None = None, threads: int = 1
) -> None:
    """Train a network of the course as its recipe says, and compare it with its card.

    Parameters
    ----------
    name
        In ``NETWORKS``.
    data_root
        Folder that holds published data sets.
    out
        Folder for the network, its card in ``networks.yaml``, and ``work``, which holds states
        and results of the trainings; by default ``runs/networks`` of the course.
    threads
        Of torch. With one the result is the same to the bit each time.

    Raises
    ------
    UserError
        For an unknown name, and where the network that training starts from is not here.
    FileNotFoundError
        Where the data are not.
    """
    network = network_called(name)
    folder, file = _places(out, name)
    command = f"galhelpers train {name}"
    with only_one(file, f"trains {name}", wait=False):
        _check_place(file, command)
        # Read before the new one may take its place.
        known = cards() if (course_root() / "networks" / CARDS).is_file() else {}
        start = _start(network.start) if network.start else None
        torch.set_num_threads(threads)
        work, bars = folder / "work", sys.stderr.isatty()
        made = make_network(network, data_root, work, start, bars)
        card = _keep(file, network, made, command)
    print("\n".join(_compared(card, known.get(name))))
    print(f"The network is {short(file)}; its card stands in {CARDS} beside it.")


def train_on_folder(
    source: str,
    like: str,
    out: str | None = None,
    name: str | None = None,
    from_nothing: bool = False,
    column: str | None = None,
    label: str | None = None,
    crop: float | None = None,
    threads: int = 1,
) -> None:
    """Train the recipe of a network on a user's own labelled pictures, and score it.

    70 % are for learning, 15 % choose the epoch, and 15 % are held out until the end; each class
    has these shares, and a picture or more in each part.

    Parameters
    ----------
    source, column, label
        As in :func:`galhelpers.course.labelled_pictures.read_labelled`.
    like
        Network whose recipe is taken, and whose encoder training starts from.
    name
        Of the new network; by default ``LIKE_of_FOLDER``.
    from_nothing
        Start from random weights instead.
    crop
        Central share of the frame that the network sees, 0.05 to 1; by default that of ``like``.
    out, threads
        As in :func:`train_network`.

    Raises
    ------
    UserError
        For pictures or labels that no network can learn from, before anything is trained.
    """
    model, place = network_called(like), user_path(source)
    task = ARGUMENTS[model.recipe.architecture].task
    if task != "classes":
        fit = [n for n, o in NETWORKS.items() if ARGUMENTS[o.recipe.architecture].task == "classes"]
        raise UserError(
            f"Expected --like to name a network for classes, but {like} answers {task}. Networks "
            f"for classes: {', '.join(fit)}."
        )
    if not (from_nothing or _has_encoder(model.recipe)):
        raise UserError(
            f"Expected --like to name a network with an encoder to begin from; {like} has none. "
            "With --from-nothing its recipe starts from random weights."
        )
    name = name or _name_of(like, place)
    folder, file = _places(out, name)
    command = f"galhelpers train --dataset {shlex.quote(public(place.resolve().name, 100))} "
    with only_one(file, f"trains {name}", wait=False):
        _check_place(file, command)
        start = None if from_nothing else _start(like)
        shown = model.recipe
        if crop:
            shown = shown.but(shown.name, crop=crop, margin=min(shown.margin, 1 / crop))
        galaxies, left_out = read_labelled(place, shown.size, shown.crop, column, label)
        listed = folder / "work" / f"{name}.left_out.csv"
        if listed.exists():
            listed.unlink()  # an earlier one would mislead
        if len(left_out):
            with atomic_write(listed) as temporary:
                left_out.to_csv(temporary, index=False)
            print(f"All that is left out is listed in {short(listed)}.")
        split = _split(galaxies.targets.numpy())
        network = Network(
            _question(galaxies),
            recipe_for(shown, name, len(split.train), len(galaxies.classes)),
            (),
            start="" if from_nothing else like,
            credit="Yours to name.",
            not_for=("Pictures of another kind than those it learnt from.",),
        )
        print(
            f"{len(galaxies)} pictures of {len(galaxies.classes)} classes ({_named(galaxies)}): "
            f"{len(split.train)} to learn from, {len(split.validation)} to choose the epoch by, "
            f"{len(split.test)} held out."
        )
        torch.set_num_threads(threads)
        results = run(
            network.recipe, galaxies, [split], folder / "work", sys.stderr.isatty(), start
        )
        trained = Path(results[0]["folder"]) / "model.safetensors"
        made = Made(trained, _exact_scores(galaxies, results[0]), results, results[0])
        warnings = _in_doubt(made, np.bincount(galaxies.targets[split.test].numpy()))
        network = replace(network, not_for=(*network.not_for, *warnings))
        command += f"--like {like}"
        command += " --from-nothing" * from_nothing
        command += f" --crop {crop:g}" if crop else ""
        command += f" --column {shlex.quote(public(column))}" if column else ""
        command += f" --label {shlex.quote(public(label))}" if label else ""
        card = _keep(file, network, made, command)
    print("\n".join([*_compared(card, None), *warnings]))
    print(
        f"The network is {short(file)}, its card in {CARDS} beside it. "
        f"galhelpers predict {shlex.quote(public(file))} IMAGES --out classes.csv uses it."
    )


def network_called(name: str) -> Network:
    """Give the network of a name.

    Raises
    ------
    UserError
        For an unknown name; the message says which there are, and which may have been meant.
    """
    if name not in NETWORKS:
        raise UserError(
            f"There is no recipe of a network {public(name, 40)!r}. {names_like(name, NETWORKS)}"
        )
    return NETWORKS[name]


def _has_encoder(recipe: Recipe) -> bool:
    with torch.device("meta"):  # the names of the layers, without numbers
        return hasattr(build(recipe.architecture, **recipe.arguments), "encoder")


def _split(classes: np.ndarray) -> Split:
    """Divide pictures at random, so that each class is in each part, however rare it is."""
    random = np.random.default_rng(0)
    parts: list[list[np.ndarray]] = [[], [], []]
    for number in np.unique(classes):
        rows = random.permutation(np.flatnonzero(classes == number))
        held = max(1, round(HELD_OUT * len(rows)))
        for part, some in zip(parts, np.split(rows, [held, 2 * held]), strict=True):
            part.append(some)
    test, validation, train = (random.permutation(np.concatenate(part)) for part in parts)
    return Split(0, train, validation, test)


def _named(galaxies: Labelled) -> str:
    names = [*galaxies.classes[:12], *(["..."] if len(galaxies.classes) > 12 else [])]
    return ", ".join(names)


def _question(galaxies: Labelled) -> str:
    words = f"Which of {_named(galaxies)} a picture shows"
    return f"{words}, as the labels of {galaxies.name} have it."


def _name_of(like: str, source: Path) -> str:
    words = re.sub("[^a-z0-9]+", "_", source.resolve().stem.lower())
    return f"{like}_of_{words}"[:40].rstrip("_")


def _places(out: str | None, name: str) -> tuple[Path, Path]:
    """Give the folder of results, and the file of the network in it."""
    if not re.fullmatch("[a-z][a-z0-9_]{0,39}", name):
        raise UserError(
            "Expected a name of small letters, digits and _, a letter first and 40 at most, for "
            f"the network, got {public(name, 60)!r}."
        )
    given = user_path(out) if out else writable(course_root() / "runs/networks", "runs/networks")
    return given, given / f"{name}.safetensors"


def _check_place(file: Path, command: str) -> None:
    """Refuse cards that cannot be read, and to replace a network of another command.

    ``command`` is how it begins.
    """
    beside = file.with_name(CARDS)
    known = cards(beside).get(file.stem) if os.path.lexists(beside) else None
    if known and not f"{known.command} ".startswith(f"{command.strip()} "):
        raise UserError(
            f"Expected a new name, or one that the same command gave before, but {file.stem} in "
            f"{short(beside)} is a network of `{known.command}`. Choose another --name or --out."
        )
    if not file.exists():
        return
    # Killed between the two, the command has left a network without its card.
    made = (file.parent / "work" / file.stem).glob("*/model.safetensors")
    ours = {known.sha256 if known else "", *map(checksum, made)}
    if not file.is_file() or checksum(file) not in ours:
        raise UserError(
            f"Expected no {short(file)}, or one with its card in {CARDS} beside it, found another "
            "file. Move it away, or choose another --out."
        )


def _start(name: str) -> Path:
    """Give the file of the network that training starts from."""
    if name not in cards():
        raise UserError(
            f"Training starts from the encoder of {name}, which is not among the trained networks. "
            f"`galhelpers train {name} --out {short(course_root() / 'networks')}` makes it first; "
            "pictures of your own can do without, with --from-nothing."
        )
    try:
        return network_file(name)
    except UserError as error:
        raise UserError(
            f"Training starts from the encoder of {name}, which cannot be had: {error}"
        ) from None


def _keep(file: Path, network: Network, made: Made, command: str) -> Card:
    """Put the finished network and its card where they are looked for."""
    card = card_of(network, made, command)
    with atomic_write(file) as temporary:
        temporary.write_bytes(made.file.read_bytes())
    write_card(file.stem, card, file.with_name(CARDS))
    return card


def _compared(new: Card, known: Card | None) -> list[str]:
    """Set the numbers of a card beside the new ones."""
    rows = [["", "on its card", "now"] if known else ["", "now"]]
    for name, score in new.scores.items():
        cells = [known.scores.get(name) if known else None, score]
        words = [f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" if one else "" for one in cells]
        rows.append([name, *words[0 if known else 1 :]])
    minutes = [f"{one.cpu_minutes:.1f}" for one in (known, new) if one]
    return table_lines([*rows, ["CPU minutes", *minutes]])


def _exact_scores(galaxies: Labelled, result: dict[str, Any]) -> list[Scores]:
    """Give shares of few pictures the exact interval: resampling 30 right ones says nothing."""
    confusion = np.array(result["confusion"])
    right, n = confusion.diagonal().tolist(), confusion.sum(axis=1).tolist()
    recalls = [proportion(*pair) for pair in zip(right, n, strict=True)]
    shares = {"accuracy": proportion(sum(right), sum(n))}
    shares |= {f"recall {name}": one for name, one in zip(galaxies.classes, recalls, strict=True)}
    # Nobody reads a larger one, and its file would take minutes to read.
    shown = result["confusion"] if len(recalls) <= MOST_IN_MATRIX else None
    part, how = f"{galaxies.name}, test", "exact binomial interval"
    mean = {"macro_recall": mean_proportion(recalls)}
    return [Scores(part, f"mean of {how}s", mean), Scores(part, how, shares, shown)]


def _in_doubt(made: Made, counts: np.ndarray) -> tuple[str, ...]:
    """Say what the held-out part is too small to tell."""
    n = int(counts.sum())
    reached = made.scores[-1].values["accuracy"]
    constant = counts.max() / n
    said = []
    if reached.high - reached.low > WIDE:
        said.append(
            f"Comparing it with others: {n} held-out pictures are too few, its accuracy may be "
            f"anything from {reached.low:.2f} to {reached.high:.2f}."
        )
    if reached.low <= constant:
        said.append(
            f"Any use yet: always giving the most frequent class is right in {constant:.2f} of the "
            f"held-out pictures, and nothing shows that it does better ({reached.value:.2f})."
        )
    return tuple(said)
