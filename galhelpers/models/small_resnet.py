"""A small residual network for galaxy classes, the best of this course for its size."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class PreactivationBlock(nn.Module):
    """Batch normalisation, activation and convolution, twice, beside a shortcut (He et al. 2016).

    The last convolution starts at zero, so that at first a block passes on what it gets
    (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        nn.init.zeros_(self.conv2.weight)
        same = stride == 1 and before == after
        self.shortcut = None if same else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, before, h, w) to (batch, after, h / stride, w / stride)."""
        active = F.relu(self.norm1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        return shortcut + self.conv2(F.relu(self.norm2(self.conv1(active))))


class SmallResNet(nn.Module):
    """A residual network of 0.7 million parameters for pictures of about 64 pixels.

    Parameters
    ----------
    outputs
        Numbers given for each galaxy.
    widths
        Channels of each stage; each stage after the first halves the side of the maps.
    blocks
        Residual blocks in a stage.
    dropout
        Share of the last features that are left out in training.
    """

    def __init__(
        self,
        outputs: int = 5,
        widths: tuple[int, ...] = (32, 64, 128),
        blocks: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, widths[0], 5, stride=2, padding=2, bias=False)
        layers: list[nn.Module] = []
        before = widths[0]
        for stage, after in enumerate(widths):
            for block in range(blocks):
                layers.append(PreactivationBlock(before, after, 2 if stage and not block else 1))
                before = after
        self.features = nn.Sequential(*layers)
        self.norm = nn.BatchNorm2d(before)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(before, outputs)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Say which layers belong together, as timm's networks do: the stem, and each block.

        ``coarse`` changes nothing. The last normalisation belongs to the last block.
        """
        last = (r"^norm", (99999,))  # timm: together with the group before it
        return {"stem": r"^stem", "blocks": [(r"^features\.(\d+)", None), last]}

    def encode(self, x: Tensor) -> Tensor:
        """Map pictures (batch, 3, height, width) to features (batch, widths[-1])."""
        return F.relu(self.norm(self.features(self.stem(x)))).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (batch, 3, height, width) to scores (batch, outputs)."""
        return self.head(self.dropout(self.encode(x)))
