"""A small valid checkpoint of every architecture, as texts and tensors that tests may spoil."""

import json

import numpy as np
import torch

from galhelpers.models import build
from galhelpers.models.checkpoint_file import HASH, digest
from galhelpers.models.schemas import ARGUMENTS, write_metadata
from galhelpers.trees import GZ2, TREES

SMALL = {"encoder": "small", "widths": [4, 4]}
SHARP = {"factors": [0.5, 2.0], "weights": [[0.25] * 10, [0.75] * 10]}
ARGUMENTS_OF = {
    "linnet": {"size": 16, "channels": 3},
    "convnet": {"channels": 3},
    "repaired_convnet": {"outputs": 3, "widths": [4, 4]},
    "repaired_convnet_37": {"widths": [4, 4]},
    "gupta_resnet": {"outputs": 5, "blocks": 1},
    "gupta_node": {"outputs": 5, "gradient": "aca", "method": "bosh3", "tolerance": 0.1},
    "small_resnet": {"outputs": 2, "widths": [4], "blocks": 1, "dropout": 0.5},
    "vote_net": SMALL | {"tree": "decals", "head": "limited", "colour": False},
    "vote_ensemble": SMALL | {"tree": "decals", "members": 2, "dropout": 0.1},
    "backbone": {"name": "small_resnet", "outputs": 4, "widths": [4], "dropout": None},
    "fraction_net": {"name": "small_resnet", "widths": [4], "blocks": 1},
    "timm": {"name": "efficientnet_lite0", "outputs": 2, "colour": False, "dropout": 0.3},
}


class Parts:
    """What a checkpoint file holds, without the hash."""

    def __init__(self, about, tensors):
        self.about, self.tensors = about, tensors

    def __repr__(self):
        return f"Parts({self.about}, {len(self.tensors)} tensors)"

    @property
    def fields(self):
        return {k: json.loads(v) for k, v in self.about.items() if k != "format"}

    def but(self, **texts):
        """The same with other texts; None leaves one out."""
        about = {k: v for k, v in (self.about | texts).items() if v is not None}
        return Parts(about, self.tensors)

    def changed(self, field, **values):
        """The same with other values in a field that is a dictionary."""
        return self.but(**{field: json.dumps(self.fields[field] | values)})


def parts(name):
    """Make the checkpoint of an architecture (``timm``: a backbone of that package)."""
    torch.manual_seed(0)
    architecture = "backbone" if name == "timm" else name
    arguments = ARGUMENTS_OF[name]
    model = build(architecture, **arguments)
    task = ARGUMENTS[architecture].task
    pictures = {"size": 64 if name == "convnet" else 16, "mean": [0.1] * 3, "std": [0.2] * 3}
    pictures |= {"passes": 3} | SHARP if task == "votes" else {}
    pictures |= {"views": 8} if name == "small_resnet" else {}
    classes = [f"kind {i}" for i in range(arguments.get("outputs", 0))]
    about = write_metadata(
        architecture=architecture,
        arguments=arguments,
        preprocessing=pictures | {"crop": 0.5},
        classes={"classes": classes, "fractions": GZ2.published}.get(task, TREES["decals"].columns),
        task=task,
        provenance={"notebook": "03", "seed": 1, "scores": [0.5, None], "more": {"split": "a"}},
    )
    return Parts(about, {k: v.contiguous() for k, v in model.state_dict().items()})


def write(path, made, signed=True):
    """Write the file; the hash fits the parts unless ``signed`` is false."""
    from safetensors.torch import save_file

    hashed = {HASH: digest(made.about, made.tensors)} if signed else {}
    save_file(made.tensors, path, hashed | made.about)
    return path


def blank(checkpoint):
    """One black picture of the size that a checkpoint asks for."""
    side = checkpoint.preprocessing["size"]
    return np.zeros((1, 3, side, side), np.uint8)
