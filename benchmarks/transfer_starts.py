"""What the networks of transfer.py start from.

Two starts are trained networks of the course. The others are no recipes of it, because their heads
answer what no network of the course does; this file makes them: transfer.py start.
"""

import json
from functools import partial

from galhelpers.data.augment import Augment, to_float
from galhelpers.data.images import load_images
from galhelpers.data.simulated import load_simulated
from galhelpers.data.votes import votes_of
from galhelpers.learning.checkpoint import save_checkpoint
from galhelpers.learning.losses import vote_loss
from galhelpers.learning.networks import network_file
from galhelpers.learning.training import Options, best_device, fit
from galhelpers.models import VoteNet, backbone
from galhelpers.paths import atomic_write, default_data_root
from galhelpers.survey import render, ringed_galaxies
from galhelpers.trees import GZ2

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

NETWORKS = {"sky": "start", "gz2": "five_classes"}  # starts that are networks of the course
FILES = {  # of starts that this file makes; others are random or ImageNet's
    "sim_rings": "start_rings.safetensors",
    "lite_sky": "start_lite.safetensors",
}


def pixels_of(files, size, crop):
    return load_images(files, size, crop, default_data_root() / "cache", progress=False)


def network_of(start):
    """Name the network that begins there."""
    lite = start == "imagenet" or start.startswith("lite_")
    return "efficientnet_lite0" if lite else "small_resnet"


def weights_of(start, out):
    """Say where a start's weights are: a file, "imagenet", or None for random ones."""
    if start == "imagenet":
        return start
    if start in NETWORKS:
        return network_file(NETWORKS[start])
    return out / FILES[start] if start in FILES else None


def start_lite(out):
    """Train EfficientNet-Lite0 for the votes of a simulated sky, from random weights, or go on."""
    galaxies = load_simulated(default_data_root(), 10_000, 0, "sdss", 128)
    votes = torch.tensor(votes_of(galaxies, "gz2")[1], dtype=torch.float32)
    pixels = pixels_of(galaxies.files, 132, 0.6875).pixels  # 96 px, with a margin
    shown = {"size": 96, "mean": [0.14, 0.13, 0.12], "std": [0.16, 0.15, 0.13]}
    torch.manual_seed(0)
    net = VoteNet("gz2", "efficientnet_b0")  # its head fits: features are as many
    net.encoder = backbone("efficientnet_lite0", 1).encoder
    net = net.to(best_device()).to(memory_format=torch.channels_last)
    fit(
        net, (pixels[:9000], votes[:9000]), (pixels[9000:], votes[9000:]),
        partial(vote_loss, tree=GZ2), augment=Augment(**shown),
        prepare=partial(to_float, **shown), epochs=12, batch_size=64,
        options=Options(resume=out / "start_lite.resume"),  # bfloat16 is slower on this CPU
    )  # fmt: skip
    with atomic_write(out / FILES["lite_sky"]) as temporary:
        # An encoder alone: its head speaks of votes, which backbone does not build.
        about = {"preprocessing": json.dumps(shown)}
        state = {name: value.contiguous() for name, value in net.encoder.state_dict().items()}
        save_file(state, temporary, about)


def start_rings(out):
    """Teach the Galaxy Zoo 2 network rings, and what may pass for one, on a simulated sky."""
    truth, draws = ringed_galaxies(12_000, 11), np.random.default_rng(0)
    pixels = np.empty((len(truth), 3, 120, 120), np.uint8)
    for start in range(0, len(truth), 500):
        part = render(truth.iloc[start : start + 500], "decals", 160, 11)[..., 20:140, 20:140]
        grey, share = part.float().mean(1, keepdim=True), draws.uniform(0.2, 1, len(part))
        # Real pictures have paler colours, some more and some less.
        pale = grey + torch.tensor(share, dtype=torch.float32).view(-1, 1, 1, 1) * (part - grey)
        pixels[start : start + 500] = pale.clamp(0, 255).to(torch.uint8).numpy()
    answers = {
        "ring": truth["odd"] == "ring", "arms": truth["arm_strength"] > 0.3,
        "bar": truth["bar_strength"] > 0, "torn": truth["odd"].isin(["disturbed", "merger"]),
        "irregular": truth["kind"] == "irregular", "flat": truth["axis_ratio"] < 0.6,
    }  # fmt: skip
    y = torch.tensor(np.stack(list(answers.values()), 1), dtype=torch.float32)
    torch.manual_seed(0)
    net = backbone("small_resnet", len(answers), weights=network_file("five_classes"))
    net = net.to(best_device()).to(memory_format=torch.channels_last)
    shown = {"size": 64} | dict(zip(("mean", "std"), net.normalisation, strict=True))
    fit(
        net, (pixels[:-1200], y[:-1200]), (pixels[-1200:], y[-1200:]),
        F.binary_cross_entropy_with_logits, prepare=partial(to_float, **shown), epochs=10,
        augment=Augment(zoom=(0.65, 1.4), brightness=0.3, **shown), batch_size=64,
        options=Options(mixed_precision=True, resume=out / "start_rings.resume"),
    )  # fmt: skip
    save_checkpoint(
        out / FILES["sim_rings"], net, architecture="backbone", arguments=net.arguments,
        preprocessing={"crop": 0.4} | shown, classes=list(answers),
        provenance={"benchmark": "transfer.py", "dataset": "simulated, ringed"},
    )  # fmt: skip
