"""LinNet and ConvNet: the Kaggle notebook's baselines as published, and ConvNet repaired.

The published classes keep the published oddities (a sigmoid for each answer, greyscale, one fixed
image size); ``published.yaml`` and notebook 04 say what is wrong with them.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galhelpers.trees import TREES, Tree

# Answers to each of the eleven Galaxy Zoo 2 questions.
ANSWERS = [len(question.answers) for question in TREES["gz2"].questions]


class LinNet(nn.Module):
    """One hidden layer on raw pixels, a sigmoid for each answer.

    Parameters
    ----------
    size, channels
        Side of the image in pixels, and its number of channels.
    """

    def __init__(self, size: int = 64, channels: int = 1) -> None:
        super().__init__()
        self.fc1 = nn.Linear(size * size * channels, 300)
        self.heads = nn.ModuleList([nn.Linear(300, n) for n in ANSWERS])

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, channels, size, size) to 37 numbers between 0 and 1."""
        x = F.relu(self.fc1(x.flatten(1)))
        return torch.cat([torch.sigmoid(head(x)) for head in self.heads], dim=1)


class ConvNet(nn.Module):
    """Three convolutions and one hidden layer, a sigmoid for each answer; 64 x 64 pixels only.

    Parameters
    ----------
    channels
        Channels of the image.
    """

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 10, kernel_size=4)
        self.conv2 = nn.Conv2d(10, 20, kernel_size=4)
        self.conv3 = nn.Conv2d(20, 40, kernel_size=4)
        self.fc1 = nn.Linear(40 * 5 * 5, 300)
        self.heads = nn.ModuleList([nn.Linear(300, n) for n in ANSWERS])

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, channels, 64, 64) to 37 numbers between 0 and 1."""
        x = F.relu(F.max_pool2d(self.conv1(x), 2))  # 64 -> 30
        x = F.relu(F.max_pool2d(self.conv2(x), 2))  # 30 -> 13
        x = F.relu(F.max_pool2d(self.conv3(x), 2))  # 13 -> 5
        x = F.relu(self.fc1(x.flatten(1)))
        return torch.cat([torch.sigmoid(head(x)) for head in self.heads], dim=1)


class RepairedConvNet(nn.Module):
    """Convolutions with batch normalisation, any image size, and a choice of outputs.

    Parameters
    ----------
    outputs
        Numbers that the last layer gives: 5 for class scores, 37 to feed a :class:`TreeOutput`.
    widths
        Channels after each stage; each stage halves the side of the image.
    """

    def __init__(self, outputs: int, widths: tuple[int, ...] = (16, 32, 64, 96)) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        for before, after in pairwise((3, *widths)):
            if before == 3:  # the first layer sees most pixels: it steps by two
                stages += [nn.Conv2d(before, after, kernel_size=5, stride=2, padding=2, bias=False)]
            else:
                stages += [nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)]
                stages += [nn.MaxPool2d(2)]
            stages += [nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(widths[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (batch, 3, height, width) to scores (batch, outputs)."""
        return self.head(self.features(x).mean(dim=(2, 3)))


class TreeOutput(nn.Module):
    """Turn scores into cumulative fractions that obey the decision tree.

    Softmax within each question, times the share of volunteers who reach it, so that the answers
    to a question always sum to their parent's fraction (Dieleman, Willett & Dambre 2015, MNRAS
    450, 1441, section 5, who divide rectified scores instead of taking a softmax).
    """

    def __init__(self, tree: Tree = TREES["gz2"]) -> None:
        super().__init__()
        self.tree = tree

    def forward(self, scores: Tensor) -> Tensor:
        """Map scores (batch, answers) to cumulative fractions (batch, answers)."""
        questions = self.tree.slices.values()
        shares = [F.softmax(scores[:, columns], dim=1) for columns in questions]
        return self.tree.to_cumulative(torch.cat(shares, dim=1))


def repaired_convnet_37(widths: tuple[int, ...] = (16, 32, 64, 96)) -> nn.Module:
    """Build the repaired ConvNet with the tree's output layer: 37 cumulative fractions."""
    return nn.Sequential(RepairedConvNet(TREES["gz2"].n_answers, tuple(widths)), TreeOutput())
