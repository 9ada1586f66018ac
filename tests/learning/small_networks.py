"""Small networks with random weights in a folder of their own, each with its card."""

import torch

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.learning.checkpoint import load_checkpoint, save_checkpoint
from galhelpers.learning.network_check import new_check
from galhelpers.learning.networks import Card, facts_of, write_card
from galhelpers.models import build
from galhelpers.trees import DECALS, GZ2

SHOWN = {"size": 16, "crop": 0.5, "mean": [0.1] * 3, "std": [0.2] * 3}
SMALL = {"encoder": "small", "widths": [4, 4], "dropout": 0.0}
FIVE = {"outputs": 5, "widths": [4, 4], "blocks": 1}
KINDS = {  # architecture, arguments, names of the answers, task
    "five": ("small_resnet", FIVE, FIVE_CLASSES, "classes"),
    "spirals": ("small_resnet", {"outputs": 2, "widths": [4]}, ["smooth", "spiral"], "classes"),
    "rings": ("small_resnet", {"outputs": 2, "widths": [4]}, ["no_ring", "ring"], "classes"),
    "moods": ("small_resnet", {"outputs": 2, "widths": [4]}, ["glad", "sad"], "classes"),
    "fractions": ("repaired_convnet_37", {"widths": [4, 4]}, GZ2.published, "fractions"),
    "votes": ("vote_net", SMALL | {"tree": "gz2"}, GZ2.columns, "votes"),
    "decals": ("vote_net", SMALL | {"tree": "decals"}, DECALS.columns, "votes"),
}  # fmt: skip


def make(folder, name, kind):
    """Write a network that nobody has trained; give its file."""
    architecture, arguments, classes, task = KINDS[kind]
    torch.manual_seed(len(name))
    return save_checkpoint(
        folder / f"{name}.safetensors",
        build(architecture, **arguments),
        architecture=architecture,
        arguments=arguments,
        preprocessing=SHOWN | ({"passes": 1} if task == "votes" else {"views": 8}),
        classes=classes,
        task=task,
    )


def card_of(file, **changes):
    """Give a card that fits the file of a network; its scores are a test's own."""
    facts = facts_of(file)
    n = len(facts["classes"])
    score = {"part": "test part", "value": 0.9, "low": 0.85, "high": 0.95, "n": 300}
    fields = facts | {
        "answers": "Which of a few kinds is it? Nobody has told this network, so that it guesses.",
        "data": {"dataset": "simulated", "train": 1200, "validation": 300, "test": 300,
                 "credit": "Simulated galaxies of this course."},
        "start": "nothing", "command": f"galhelpers train {file.stem}", "seed": 3,
        "machine": "a computer with two cores", "cpu_minutes": 12.5,
        "scores": {"accuracy": score | {"how": "bootstrap of the test part"},
                   "macro recall": score | {"value": 0.86, "how": "3 splits"}},
        "confusion": [[100 * (i == j) + j for j in range(n)] for i in range(n)]
        if facts["task"] == "classes" else None,
        "splits": [{"accuracy": 0.9, "macro recall": 0.86}],
        "not_for": ["Pictures of real galaxies.", "Anything: it has learned nothing."],
        "check": new_check(load_checkpoint(file, torch.device("cpu")), n=6),
        "licence": "MIT",
    }  # fmt: skip
    return Card.model_validate(fields | changes)


def put(folder, name, kind):
    """Write a network into a folder, and its card into the folder's ``networks.yaml``."""
    card = card_of(make(folder, name, kind))
    write_card(name, card, folder / "networks.yaml")
    return card
