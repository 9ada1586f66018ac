"""Networks of other people's making, with a new last layer: what transfer learning starts from.

A *backbone* is a known network without its last layer, its *encoder*, which turns a picture into
features, and a new linear *head*, which turns features into the outputs of a new task. Khan et al.
2019 (Physics Letters B 795, 248) began with Xception and ImageNet's weights.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from galhelpers.models.pretrained import TIMM, Normalisation, fill, read_weights
from galhelpers.models.small_resnet import SmallResNet

TRUNKS = ("features", "layers", "blocks", "trunk_output", "encoder")
"""Parts that hold nearly all of a network: stages are looked for inside them."""


class Backbone(nn.Module):
    """A known network with a new head; :func:`backbone` also gives it weights to start from.

    Parameters
    ----------
    name
        torchvision's name of a classifier, ``xception`` or ``efficientnet_lite0`` (these two are
        timm's), or ``small_resnet``.
    outputs
        Numbers given for each galaxy.
    colour
        False averages the three colours into one first.
    dropout
        Share of the features left out in training; by default what the known network has there.
    **arguments
        Of the known network, such as ``widths`` of ``small_resnet``.

    Attributes
    ----------
    arguments
        All of the above: with the architecture ``backbone``, what a checkpoint needs.
    old_head
        Name that the last layer had in the known network.
    normalisation
        Mean and standard deviation of each channel (0-1 scale) that belong to the weights, or
        None: measure those of the training pictures.
    start
        Where the weights came from: ``"random"``, ``"imagenet"``, or a file.
    resting
        Modules that stay in evaluation mode while the others train; see
        :func:`galhelpers.learning.fine_tuning.freeze`.
    """

    def __init__(
        self,
        name: str,
        outputs: int,
        colour: bool = True,
        dropout: float | None = None,
        **arguments: Any,
    ) -> None:
        super().__init__()
        self.arguments = {"name": name, "outputs": outputs, "colour": colour, "dropout": dropout}
        self.arguments |= arguments
        self.colour = colour
        self.encoder = _known_network(name, arguments)
        self.old_head, n_features, usual = _take_head(self.encoder)
        self.dropout = nn.Dropout(usual if dropout is None else dropout)
        self.head = nn.Linear(n_features, outputs)
        self.normalisation: Normalisation | None = None
        self.start = "random"
        self.resting: list[nn.Module] = []

    @property
    def stages(self) -> list[list[nn.Module]]:
        """Groups of modules from the input to the head, which is the last group.

        A block (a module made of others) begins a stage, and so does a layer with weights after a
        pooling; all other layers belong to the stage before them. Parameters of no module but the
        whole encoder (the class token of a vision transformer) are in no stage.
        """
        stages: list[list[nn.Module]] = []
        for module in _in_order(self.encoder):
            weights, block = list(module.parameters()), list(module.children())
            pooled = bool(stages) and isinstance(stages[-1][-1], nn.MaxPool2d)
            if not stages or (weights and (block or pooled)):
                stages.append([])
            stages[-1].append(module)
        return [*stages, [self.dropout, self.head]]

    def encode(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, height, width) to features (n, features)."""
        if not self.colour:
            x = x.mean(dim=1, keepdim=True).expand_as(x)
        return self.encoder(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, height, width) to scores (n, outputs)."""
        return self.head(self.dropout(self.encode(x)))

    def train(self, mode: bool = True) -> Self:
        """Switch training mode on or off; modules that rest stay in evaluation mode."""
        super().train(mode)
        for module in self.resting:
            module.training = False  # of this module alone
        return self

    def extra_repr(self) -> str:
        """Say in print where the weights came from."""
        return f"{self.arguments['name']}, start: {self.start}"


def backbone(
    name: str, outputs: int, weights: str | Path | None = None, **arguments: Any
) -> Backbone:
    """Build a known network with a new head, and with weights to start from if they are named.

    Parameters
    ----------
    name
        torchvision's name of a classifier (``resnet18``, ``densenet121``, ``efficientnet_b0``,
        ``inception_v3``, ...), ``xception`` or ``efficientnet_lite0`` (from timm), or
        ``small_resnet``.
    outputs
        Numbers given for each galaxy, by a linear layer that is always new.
    weights
        Of the encoder. None: random. ``"imagenet"``: from torch's cache, or downloaded; those of
        ``efficientnet_lite0`` are installed with the course. A file:
        a checkpoint of this course with the same encoder (a ``backbone``, ``small_resnet``,
        ``vote_net`` or the first member of a ``vote_ensemble``), or a state dictionary with
        torchvision's names.
    **arguments
        Others of :class:`Backbone`.

    Raises
    ------
    FileNotFoundError
        Where there is no such file, or ImageNet's are not here and cannot be fetched.
    ValueError
        For an unknown name, or weights of another network.
    """
    net = Backbone(name, outputs, **arguments)
    if weights is None:
        return net
    found = read_weights(name, weights)
    if net.colour and not found.colour:
        raise ValueError(
            f"The weights {found.origin} were trained on pictures without colour, this network "
            "sees colours. Give colour=False, or name other weights."
        )
    fill(net.encoder, net.old_head, found)
    net.normalisation, net.start = found.normalisation, found.origin
    return net


def _known_network(name: str, arguments: dict[str, Any]) -> nn.Module:
    if name == "small_resnet":
        return SmallResNet(**arguments)
    if name in TIMM:
        import timm  # takes seconds: only who wants it

        return timm.create_model(TIMM[name], **arguments)
    from torchvision import models  # takes a second: only who wants it

    # A MNASNet cannot be read back: it wants a version number, which our checkpoints do not hold.
    known = [one for one in models.list_models(models) if not one.startswith("mnasnet")]
    if name not in known:
        raise ValueError(
            f"There is no backbone {name!r}; there are small_resnet, {', '.join(TIMM)}, and "
            f"of torchvision {', '.join(known)}."
        )
    if name in ("inception_v3", "googlenet"):
        arguments = {"aux_logits": False, "init_weights": True} | arguments
    return models.get_model(name, **arguments)


def _take_head(net: nn.Module) -> tuple[str, int, float]:
    """Take the last layer off, and the dropout before it: its name, features, and dropout.

    The features are counted where they are used: what a library calls the number of features may
    be that of another layer (of MobileNetV3, for one).
    """
    leaves = [(name, one) for name, one in net.named_modules() if not list(one.children())]
    name, last = leaves.pop()
    while not isinstance(last, nn.Linear | nn.Conv2d):
        name, last = leaves.pop()
    net.set_submodule(name, nn.Identity())
    features = last.in_features if isinstance(last, nn.Linear) else last.in_channels
    dropout = 0.0
    for before, module in reversed(leaves):
        if isinstance(module, nn.Dropout):
            net.set_submodule(before, nn.Identity())
            dropout = module.p
        if dropout or list(module.parameters()):
            break
    return name, features, dropout


def _in_order(module: nn.Module) -> Iterator[nn.Module]:
    for name, child in module.named_children():
        if name in TRUNKS:
            yield from _in_order(child)
        else:
            yield child
