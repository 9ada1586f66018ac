"""Networks, one file a family, and their names in checkpoints."""

from collections.abc import Callable
from typing import Any

from torch import nn

from galhelpers.models.backbones import Backbone, FractionNet, backbone
from galhelpers.models.bayesian import VoteEnsemble, VoteNet
from galhelpers.models.linnet_convnet import (
    ConvNet,
    LinNet,
    RepairedConvNet,
    TreeOutput,
    repaired_convnet_37,
)
from galhelpers.models.resnet_node import (
    GalaxyNet,
    OdeBlock,
    OdeFunction,
    gupta_node,
    gupta_resnet,
)
from galhelpers.models.schemas import check_arguments
from galhelpers.models.small_resnet import SmallResNet

__all__ = [
    "Backbone",
    "ConvNet",
    "FractionNet",
    "GalaxyNet",
    "LinNet",
    "OdeBlock",
    "OdeFunction",
    "RepairedConvNet",
    "SmallResNet",
    "TreeOutput",
    "VoteEnsemble",
    "VoteNet",
    "backbone",
    "build",
    "gupta_node",
    "gupta_resnet",
    "repaired_convnet_37",
]

ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "linnet": LinNet,
    "convnet": ConvNet,
    "repaired_convnet": RepairedConvNet,
    "repaired_convnet_37": repaired_convnet_37,
    "gupta_resnet": gupta_resnet,
    "gupta_node": gupta_node,
    "small_resnet": SmallResNet,
    "vote_net": VoteNet,
    "vote_ensemble": VoteEnsemble,
    "backbone": Backbone,
    "fraction_net": FractionNet,
}


def build(architecture: str, **arguments: Any) -> nn.Module:
    """Build a network, with random weights, by the name that checkpoints carry.

    The arguments may come from a stranger's checkpoint. So only those of
    ``galhelpers.models.schemas`` reach an architecture, and none of them makes it read or download
    a file (``weights`` of :func:`backbone`, or those of timm).

    Raises
    ------
    ValueError
        For an unknown name (the message lists the valid ones), arguments that the network does not
        take, or values out of bounds.
    """
    check_arguments(architecture, arguments)
    return ARCHITECTURES[architecture](**arguments)
