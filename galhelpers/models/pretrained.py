"""Encoders that start from somewhere: ImageNet's weights, or a network trained on galaxies.

Weights are used when somebody names them and never otherwise; and when they are named, a missing
or unfitting file is an error. A network that silently began from nothing would be the worst
comparison of all.
"""

from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from galhelpers.models.bayesian import VoteNet
from galhelpers.paths import short

IMAGENET = "imagenet"


def load_encoder(net: VoteNet, weights: str | Path) -> None:
    """Give a network's encoder weights that exist; its head stays as it is.

    Parameters
    ----------
    net
        Its encoder is changed in place.
    weights
        ``"imagenet"``: torchvision's for EfficientNet-B0, from torch's own cache, or downloaded
        once where there is a network. Or a file: a checkpoint of this course (``.safetensors``)
        of a ``vote_net`` or, its first member, a ``vote_ensemble``; or a state dictionary
        (``.pt``, ``.pth``) with torchvision's names or those of a ``VoteNet``. Files are read
        without running code.

    Raises
    ------
    FileNotFoundError
        Where there is no such file, or ImageNet's are not here and cannot be fetched.
    ValueError
        When the weights belong to another network; the message names the first that does not fit.
    """
    imagenet = str(weights) == IMAGENET
    given = _imagenet() if imagenet else _read(Path(weights))
    # What is behind the last features is the old task's: classifier in torchvision, head in ours.
    old = ("classifier.", "head.")
    first = "members.0."  # of an ensemble
    if any(name.startswith(first) for name in given):
        given = {k.removeprefix(first): v for k, v in given.items() if k.startswith(first)}
    given = {name.removeprefix("encoder."): value for name, value in given.items()}
    given = {name: value for name, value in given.items() if not name.startswith(old)}
    wanted = net.encoder.state_dict()
    for name in sorted(wanted.keys() | given.keys()):
        ours, theirs = (_shape(state.get(name)) for state in (wanted, given))
        if ours != theirs:
            raise ValueError(
                f"The weights {weights if imagenet else short(weights)} are those of "
                f"another encoder: {name} is {theirs} there, expected {ours}. Name the encoder "
                "they belong to, or other weights."
            )
    net.encoder.load_state_dict(given)


def _imagenet() -> dict[str, Tensor]:
    from torchvision.models import EfficientNet_B0_Weights

    weights = EfficientNet_B0_Weights.IMAGENET1K_V1
    place = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError, RuntimeError) as error:
        raise FileNotFoundError(
            f"ImageNet's weights are not in {short(place)} and could not be fetched ({error}). "
            f"Download {weights.url} elsewhere and put it there, or start without weights."
        ) from error


def _read(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise FileNotFoundError(
            f"There are no weights {short(file)}. Notebook 06 writes a checkpoint into the folder "
            'checkpoints/ of its run; "imagenet" takes those of torchvision.'
        )
    if file.suffix == ".safetensors":
        return load_file(file)
    state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(
            f"Expected a dictionary of names and tensors in {short(file)}, as "
            f"torch.save(net.state_dict(), file) writes it, got {type(state).__name__}."
        )
    return state


def _shape(value: Tensor | None) -> str:
    return "absent" if value is None else f"of shape {tuple(value.shape)}"
