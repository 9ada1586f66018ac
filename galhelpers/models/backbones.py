"""Known networks with a new last layer: what transfer learning starts from.

A *backbone* is a known network without its last layer, its *encoder*, which turns a picture into
features, and a new linear *head*, which turns features into the outputs of a new task. Khan et al.
2019 (Physics Letters B 795, 248) began with Xception and ImageNet's weights. All encoders but the
course's own small one are those of timm (Wightman 2019, doi:10.5281/zenodo.4414861).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from galhelpers.models.linnet_convnet import TreeOutput
from galhelpers.models.pretrained import TIMM, Normalisation, fill, read_weights
from galhelpers.models.small_resnet import SmallResNet
from galhelpers.trees import TREES


def known_encoder(name: str, **arguments: Any) -> tuple[nn.Module, int, float]:
    """Build a known network without its last layer, with random weights.

    Returns
    -------
    encoder, features, dropout
        The network, the number of features it gives, and the share of them that was left out
        before its last layer when it was published.

    Raises
    ------
    ValueError
        For an unknown name, or arguments for another network than ``small_resnet``.
    """
    if name == "small_resnet":
        small = SmallResNet(**arguments)
        features, dropout = small.head.in_features, small.dropout.p
        small.head = small.dropout = nn.Identity()  # type: ignore[assignment]
        return small, features, dropout
    if name not in TIMM:
        known = ", ".join(["small_resnet", *TIMM])
        raise ValueError(f"There is no backbone {name!r}; there are {known}.")
    if arguments:
        # They may come from a stranger's checkpoint: timm itself would take arguments that make
        # it download files or read them from the disk.
        raise ValueError(f"Only small_resnet takes {', '.join(arguments)}; {name} does not.")
    import timm  # loading it takes seconds, and small_resnet does without

    # Tan & Le 2019 (arXiv:1905.11946) train EfficientNet with both kinds of dropout.
    dropout = 0.2 if name == "efficientnet_b0" else 0.0
    net: Any = timm.create_model(TIMM[name], num_classes=0, drop_path_rate=dropout or None)
    if name == "efficientnet_b0":
        # It begins as torchvision's does. timm's has depthwise weights up to 34 times as large and
        # learns less from few galaxies: from 312, an accuracy of .91 instead of .95 (five seeds).
        for module in net.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return net, net.num_features, dropout


class Backbone(nn.Module):
    """A known network with a new head; :func:`backbone` also gives it weights to start from.

    Parameters
    ----------
    name
        ``small_resnet``, ``resnet18``, ``resnet50``, ``densenet121``, ``efficientnet_b0``,
        ``efficientnet_lite0`` or ``xception``.
    outputs
        Numbers given for each galaxy.
    colour
        False averages the three colours into one first.
    dropout
        Share of the features left out in training; by default what the known network has there.
    widths, blocks
        Of ``small_resnet`` only, see :class:`galhelpers.models.SmallResNet`.

    Attributes
    ----------
    arguments
        All of the above: with the architecture ``backbone``, what a checkpoint needs.
    normalisation
        Mean and standard deviation of each channel (0-1 scale) that belong to the weights, or
        None: measure those of the training pictures.
    start
        Where the weights came from: ``"random"``, ``"imagenet"``, or a file.
    moving_statistics
        Whether the running means and variances of frozen stages follow new pictures all the same;
        see :func:`galhelpers.learning.fine_tuning.freeze`.

    """

    def __init__(
        self,
        name: str,
        outputs: int,
        colour: bool = True,
        dropout: float | None = None,
        widths: Sequence[int] | None = None,
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        own = {"widths": widths, "blocks": blocks}
        own = {key: value for key, value in own.items() if value is not None}
        self.arguments = {"name": name, "outputs": outputs, "colour": colour, "dropout": dropout}
        self.arguments |= own
        self.colour = colour
        self.encoder, n_features, published = known_encoder(name, **own)
        self.dropout = nn.Dropout(published if dropout is None else dropout)
        self.head = nn.Linear(n_features, outputs)
        self.normalisation: Normalisation | None = None
        self.start = "random"
        self.moving_statistics = False

    @property
    def stages(self) -> list[list[nn.Parameter]]:
        """Parameters of each stage from the input to the head, which is the last stage.

        The encoder says itself how its layers belong together (timm's ``group_matcher``).
        """
        from timm.models import group_parameters

        matcher: Any = self.encoder.group_matcher
        groups = group_parameters(self.encoder, matcher(coarse=True), return_values=True)
        return [*groups.values(), list(self.head.parameters())]

    def encode(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, height, width) to features (n, features)."""
        if not self.colour:
            x = x.mean(dim=1, keepdim=True).expand_as(x)
        return self.encoder(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, height, width) to scores (n, outputs)."""
        return self.head(self.dropout(self.encode(x)))

    def train(self, mode: bool = True) -> Self:
        """Switch training mode on or off; what is frozen stays in evaluation mode.

        Frozen is a part of the encoder with parameters of which none needs a gradient. In
        evaluation mode its batch normalisation keeps its running means and variances, and its
        dropout leaves nothing out.
        """
        super().train(mode)
        for module in self.encoder.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()
        for module in self.encoder.modules():
            if self.moving_statistics and isinstance(module, _BatchNorm):
                module.train(mode)
        return self


class FractionNet(Backbone):
    """A known network for the 37 fractions of Galaxy Zoo 2, which obey its decision tree.

    Parameters
    ----------
    name, colour, dropout, widths, blocks
        As in :class:`Backbone`.
    """

    def __init__(self, name: str, **arguments: Any) -> None:
        super().__init__(name, TREES["gz2"].n_answers, **arguments)
        self.tree_output = TreeOutput()

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, height, width) to cumulative fractions (n, 37)."""
        return self.tree_output(super().forward(x).float())


def backbone(
    name: str, outputs: int, weights: str | Path | None = None, **arguments: Any
) -> Backbone:
    """Build a known network with a new head, and with weights to start from if they are named.

    Parameters
    ----------
    name, outputs, **arguments
        As in :class:`Backbone`. The head is always new.
    weights
        Of the encoder. None: random. ``"imagenet"``, or a file: see
        :func:`galhelpers.models.pretrained.read_weights`.

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
    fill(net.encoder, found)
    net.normalisation, net.start = found.normalisation, found.origin
    return net
