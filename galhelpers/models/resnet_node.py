"""ResNet, NODE and NODE_ACA of Gupta, Srijith & Desai 2022, as their code has them.

One skeleton for all three: a stem that makes 64 small maps of a picture, a feature block, and a
linear layer on the means of the maps. The feature block is six residual blocks (ResNet), or one
differential equation y' = f(t, y) integrated from t = 0 to 1 (NODE), whose gradient is computed by
the adjoint method or by the adaptive checkpoint adjoint (NODE_ACA). Skeleton and counts follow
their repository ``neural-ode-gz``, which follows the examples of torchdiffeq.

Oddities that are kept, because they were published: ten outputs for five classes (the skeleton
was made for handwritten digits), time as a 65th channel, normalisation in groups. ``outputs`` and
``activation`` change them.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galhelpers.ode import Statistics, StepMemory, odeint

WIDTH = 64  # channels
GROUPS = 32
MOST_STEPS = 1_000
"""From t = 0 to 1 at prediction: weights that need more, a stranger's perhaps, would take hours."""
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "softplus": F.softplus,
}


class ResidualBlock(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), the pre-activation block of He et al. 2016.

    ``activation`` may be another than ``relu``: a name in ``ACTIVATIONS``.
    """

    def __init__(self, channels: int = WIDTH, activation: str = "relu") -> None:
        super().__init__()
        self.activation = _activation(activation)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, height, width) to the same shape."""
        change = self.conv1(self.activation(self.norm1(x)))
        return x + self.conv2(self.activation(self.norm2(change)))


def _activation(name: str) -> Callable[[Tensor], Tensor]:
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ValueError(f"There is no activation {name!r}; there are {known}.")
    return ACTIVATIONS[name]


class TimeConv2d(nn.Module):
    """A 3 x 3 convolution of a picture and the time, which is one more channel, the last.

    The channel holds one number, so its share of the result is that number times a fixed map:
    conv([x, t]) = conv_x(x) + t conv_t(1). Computed like this (``fold``) it costs about a sixth
    less on a CPU, where 65 channels fill vector registers badly, and is the same up to rounding.
    """

    def __init__(self, channels: int = WIDTH, fold: bool = True) -> None:
        super().__init__()
        self.fold = fold
        # The weights of nn.Conv2d, drawn as it draws them.
        layer = nn.Conv2d(channels + 1, channels, 3, padding=1, bias=False)
        self.weight = layer.weight

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Map a time (no dimensions) and x (batch, channels, h, w) to the shape of x."""
        if not self.fold:
            time = t.to(x).expand(x[:, :1].shape)
            return F.conv2d(torch.cat([x, time], dim=1), self.weight, padding=1)
        # Padding makes the map smaller at the border: there some of the ones are missing.
        ones = torch.ones_like(x[:1, :1])
        by_time = F.conv2d(ones, self.weight[:, -1:], padding=1)
        return F.conv2d(x, self.weight[:, :-1], padding=1) + t * by_time


class OdeFunction(nn.Module):
    """The derivative f(t, x): twice convolution, activation, normalisation ("CLN").

    Parameters
    ----------
    activation
        ``relu`` as published; ``silu`` or ``softplus`` have no kink, so that a solver of high
        order keeps its order and gradients are better for the same number of evaluations.
    fold
        See :class:`TimeConv2d`.
    """

    def __init__(self, channels: int = WIDTH, activation: str = "relu", fold: bool = True) -> None:
        super().__init__()
        self.activation = _activation(activation)
        self.conv1 = TimeConv2d(channels, fold)
        self.norm1 = nn.GroupNorm(GROUPS, channels)
        self.conv2 = TimeConv2d(channels, fold)
        self.norm2 = nn.GroupNorm(GROUPS, channels)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """Give the derivative at a time (no dimensions) and a state (batch, channels, h, w)."""
        x = self.norm1(self.activation(self.conv1(t, x)))
        return self.norm2(self.activation(self.conv2(t, x)))


class OdeBlock(nn.Module):
    """Solve x' = func(t, x) from t = 0 to 1; how, may be changed at any time.

    Parameters
    ----------
    gradient, method, step_size
        As in :func:`galhelpers.ode.odeint`.
    tolerance
        Relative and absolute tolerance.
    mode
        What the forward pass of ``aca`` keeps; see :func:`galhelpers.ode.odeint_aca`.
    reuse_steps
        In training (``aca`` only) start each batch with the steps of the one before.

    Attributes
    ----------
    stats : galhelpers.ode.Statistics
        What the last integration cost.

    Notes
    -----
    Where no gradients are asked for, more than ``MOST_STEPS`` steps are an error: a
    ``SolverError`` of aca, an ``AssertionError`` of torchdiffeq.
    """

    def __init__(
        self,
        func: nn.Module,
        gradient: str = "aca",
        method: str = "bosh3",
        tolerance: float = 1e-2,
        step_size: float | None = None,
        mode: str = "graph",
        reuse_steps: bool = False,
    ) -> None:
        super().__init__()
        self.func, self.gradient, self.method = func, gradient, method
        self.tolerance, self.step_size, self.mode = tolerance, step_size, mode
        self.memory = StepMemory() if reuse_steps else None
        self.stats = Statistics()

    def forward(self, x: Tensor) -> Tensor:
        """Map a state (batch, channels, h, w) at t = 0 to the one at t = 1."""
        self.stats = Statistics()
        options: dict[str, Any] = {"gradient": self.gradient, "method": self.method}
        options |= {"rtol": self.tolerance, "atol": self.tolerance, "step_size": self.step_size}
        if self.gradient == "aca":
            options |= {"mode": self.mode, "memory": self.memory if self.training else None}
        if not torch.is_grad_enabled() and self.step_size is None:
            aca = self.gradient == "aca"
            limit = {"max_steps" if aca else "max_num_steps": MOST_STEPS}
            options |= limit if aca else {"options": limit}
        return odeint(self.func, x, (0.0, 1.0), stats=self.stats, **options)[-1]


class GalaxyNet(nn.Module):
    """The skeleton that the three networks share.

    Parameters
    ----------
    features
        Maps (batch, 64, h, w) to the same shape.
    outputs
        Numbers given for each galaxy; ten as published.
    """

    def __init__(self, features: nn.Module, outputs: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3),  # 32 px -> 30
            nn.GroupNorm(GROUPS, WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 4, stride=2, padding=1),  # 30 -> 15
            nn.GroupNorm(GROUPS, WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 4, stride=2, padding=1),  # 15 -> 7
        )
        self.features = features
        self.norm = nn.GroupNorm(GROUPS, WIDTH)
        self.head = nn.Linear(WIDTH, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (batch, 3, height, width) to scores (batch, outputs)."""
        # Group normalisation is several times slower on pictures with the channels last in memory.
        x = self.features(self.stem(x.contiguous()))
        return self.head(F.relu(self.norm(x)).mean(dim=(2, 3)))


def gupta_resnet(outputs: int = 10, blocks: int = 6, activation: str = "relu") -> GalaxyNet:
    """Build the ResNet: 577,930 parameters as published.

    ``activation``: see :class:`ResidualBlock`.
    """
    block = (ResidualBlock(WIDTH, activation) for _ in range(blocks))
    return GalaxyNet(nn.Sequential(*block), outputs)


def gupta_node(
    outputs: int = 10, activation: str = "relu", fold: bool = True, **solver: Any
) -> GalaxyNet:
    """Build NODE or NODE_ACA: 209,162 parameters as published.

    Parameters
    ----------
    outputs, activation, fold
        See :class:`GalaxyNet` and :class:`OdeFunction`.
    **solver
        As in :class:`OdeBlock`: ``gradient="adjoint"`` is NODE, ``gradient="aca"`` NODE_ACA.
    """
    return GalaxyNet(OdeBlock(OdeFunction(WIDTH, activation, fold), **solver), outputs)
