"""Augmentation: a batch of galaxies turned, mirrored, shifted and zoomed at once, on its device.

A galaxy has no "up", and its brightness, size on the frame and noise say little about its kind.
So each time it is shown, it is shown differently. All of the geometry is one affine warp, so each
image is interpolated once (a rotation followed by a zoom would blur it twice), and one call treats
the whole batch: done image by image, the same work costs several times more.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """Random views of galaxies; call it with a batch and the number of the training step.

    Attributes
    ----------
    size : int
        Width and height of the result in pixels, at the sampling of the input: the centre of the
        frame. Keep the input wider than this (by sqrt(2) * 1.3 for any rotation and the smallest
        zoom) and the corners of a turned image show real sky; past the edge of the input the
        image is mirrored.
    rotate : float
        Degrees: the angle is uniform in (-rotate / 2, rotate / 2). 360 is every orientation.
    flip : bool
        Mirror half of the images.
    zoom : (float, float)
        Range of magnification, log-uniform, so that 1/1.3 is as likely as 1.3.
    shift : float
        Largest move along each axis, as a fraction of ``size``; uniform.
    brightness : float
        Brightness is multiplied by a factor uniform in (1 - brightness, 1 + brightness).
    noise : float
        Gaussian noise, drawn anew for every pixel and channel. Its standard deviation (0-1
        scale) differs from image to image, uniform in (0, noise), as depth does in a survey.
    mean, std : sequences of 3 floats, optional
        Channel statistics of the training images (0-1 scale): the result is (x - mean) / std.
    seed : int
        The views follow from (seed, step) and the row in the batch, and from nothing else.
    channels_last : bool
        Memory order of the result, a copy that pays for itself in the convolutions that follow.

    Notes
    -----
    Rotation, shift, log-uniform zoom and flips as one warp follow Dieleman, Willett & Dambre
    (2015, MNRAS 450, 1441); brightness follows Ignat, Gupta, Mathur & Hausen (2016).
    """

    size: int
    rotate: float = 360.0
    flip: bool = True
    zoom: tuple[float, float] = (1 / 1.3, 1.3)
    shift: float = 0.02
    brightness: float = 0.1
    noise: float = 0.02
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    seed: int = 0
    channels_last: bool = True

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"Expected a size of at least 1 pixel, got {self.size}.")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"Expected zoom as (smallest, largest), both > 0, got {self.zoom}.")
        if not (0 <= self.brightness < 1 and self.noise >= 0 and self.shift >= 0):
            raise ValueError(
                "Expected 0 <= brightness < 1, noise >= 0 and shift >= 0, got "
                f"{self.brightness}, {self.noise} and {self.shift}."
            )
        _statistics(self.mean, self.std)

    def __call__(self, batch: Tensor, step: int) -> Tensor:
        """Give one random view of each image.

        Parameters
        ----------
        batch : uint8 tensor (b, 3, H, W), H = W >= size
            On any device; the work is done there.
        step : int
            Number of the batch since training began; the same step gives the same views.

        Returns
        -------
        float32 tensor (b, 3, size, size)
            0-1 scale, or normalised. Noise may lead a little beyond 0 and 1: clipping it would
            brighten the dark sky.
        """
        _check_batch(batch, self.size)
        b = len(batch)
        # The few geometric numbers are always drawn on the CPU: equal on every device.
        draw = torch.rand((7, b), generator=_generator(self.seed, step, "views"))
        signed = 2 * draw - 1
        low, high = math.log(self.zoom[0]), math.log(self.zoom[1])
        matrix = affine_matrix(
            angle=signed[0] * (self.rotate / 2),
            zoom=torch.exp(low + draw[1] * (high - low)),
            shift=signed[2:4].T * (self.shift * self.size),
            flip=(draw[4] < 0.5) & self.flip,
        )
        views = warp(batch, matrix, self.size)

        mean, std = _statistics(self.mean, self.std)
        factor = (1 + signed[5] * self.brightness).view(b, 1, 1, 1)
        gain = (factor / (255 * std)).to(batch.device)
        offset = (-mean / std).to(batch.device)
        if not self.noise:
            views = views.mul_(gain).add_(offset)
            return _for_convolutions(views) if self.channels_last else views
        sigma = (draw[6].view(b, 1, 1, 1) * self.noise / std).to(batch.device)
        noise = gaussian_noise(views.shape, _generator(self.seed, step, "noise", batch.device))
        views = noise.mul_(sigma).add_(offset).addcmul_(views, gain)
        return _for_convolutions(views) if self.channels_last else views


def to_float(
    batch: Tensor,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
) -> Tensor:
    """Bytes to floats for evaluation, with no augmentation.

    Parameters
    ----------
    batch : uint8 tensor (b, 3, H, W)
    mean, std : sequences of 3 floats, optional
        Channel statistics of the *training* images (0-1 scale): the result is (x - mean) / std.
    size : int, optional
        Keep the central size x size pixels, those that `Augment` of this size turns around.

    Returns
    -------
    float32 tensor (b, 3, size, size), on the device of the batch; 0-1 scale, or normalised
    """
    _check_batch(batch, size)
    if size is not None:
        top, left = (batch.shape[2] - size) // 2, (batch.shape[3] - size) // 2
        batch = batch[:, :, top : top + size, left : left + size]
    mean_, std_ = _statistics(mean, std)
    scale, offset = (1 / (255 * std_)).to(batch.device), (-mean_ / std_).to(batch.device)
    return _for_convolutions(batch.to(torch.float32).mul_(scale).add_(offset))


def _for_convolutions(images: Tensor) -> Tensor:
    """Order the numbers in memory channel by channel last: convolutions run faster on the CPU.

    The values and the shape stay the same, and networks pass the order on from layer to layer.
    """
    return images.contiguous(memory_format=torch.channels_last)


def dihedral_views(batch: Tensor) -> list[Tensor]:
    """Give the 8 views of a square that need no interpolation: 4 quarter turns, each mirrored too.

    Averaging predictions over them costs eight passes and often gains more than a larger network.

    Parameters
    ----------
    batch : tensor (..., H, H)

    Returns
    -------
    list of 8 tensors (..., H, H)
        The first four turn by 0, 90, 180 and 270 degrees anticlockwise, the others are their
        left-right mirror images.
    """
    turned = [torch.rot90(batch, k, dims=(-2, -1)) for k in range(4)]
    return turned + [view.flip(-1) for view in turned]


def affine_matrix(angle: Tensor, zoom: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
    """Matrices that lead from a pixel of the view to the place in the image that it shows.

    Parameters
    ----------
    angle : float tensor (b,)
        Degrees; the galaxy turns anticlockwise as seen on the screen.
    zoom : float tensor (b,)
        Magnification: at 2, a galaxy is twice as large in the view.
    shift : float tensor (b, 2)
        Pixels of the image, to the right and down: where the view's centre lies.
    flip : bool tensor (b,)
        Mirror left and right before turning.

    Returns
    -------
    float tensor (b, 2, 3)
        ``[A | t]``: a view pixel at (x, y) from the centre shows the image at A (x, y) + t.
    """
    radians = torch.deg2rad(angle)
    cos, sin = torch.cos(radians) / zoom, torch.sin(radians) / zoom
    sign = 1.0 - 2.0 * flip.to(cos.dtype)
    # y points down, so this matrix, the inverse of a turn, has the signs of a turn the other way.
    rows = [torch.stack([sign * cos, -sign * sin, shift[:, 0]], 1)]
    rows += [torch.stack([sin, cos, shift[:, 1]], 1)]
    return torch.stack(rows, 1)


def warp(batch: Tensor, matrix: Tensor, size: int) -> Tensor:
    """Resample images once, bilinearly, through an affine map about the centre of the frame.

    Parameters
    ----------
    batch : tensor (b, channels, H, W), uint8 or float
    matrix : float tensor (b, 2, 3)
        From `affine_matrix`, in pixels.
    size : int
        Width and height of the result.

    Returns
    -------
    float32 tensor (b, channels, size, size)
        In the units of the batch. Past the edge of the frame the image is mirrored.
    """
    b, _, height, width = batch.shape
    device = batch.device
    # Centre of the central crop that `to_float` takes: for odd margins half a pixel off.
    centre = torch.tensor([(width - size) // 2 + size / 2, (height - size) // 2 + size / 2])
    half = torch.tensor([width / 2, height / 2])
    # grid_sample wants -1..1 from edge to edge of the image.
    theta = torch.cat([matrix[..., :2], matrix[..., 2:] + (centre - half)[:, None]], 2)
    theta = (theta / half[:, None]).to(device)
    along = torch.arange(size, device=device, dtype=torch.float32) + (0.5 - size / 2)
    y, x = torch.meshgrid(along, along, indexing="ij")
    pixels = torch.stack([x.flatten(), y.flatten(), torch.ones(size * size, device=device)])
    # One matrix product gives all x and all y as planes, ten times faster than affine_grid.
    grid = (theta.view(2 * b, 3) @ pixels).view(b, 2, size, size).permute(0, 2, 3, 1)
    return F.grid_sample(
        batch.to(torch.float32), grid, padding_mode="reflection", align_corners=False
    )


def gaussian_noise(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw standard normal numbers, in about half the time of ``torch.randn`` on a CPU.

    There the cost lies in the random bits. Each 64 of them give four numbers: 16 bits choose one
    of 65,536 equally likely slices of the normal distribution, whose middle is taken (so nothing
    lies beyond 4.3 standard deviations).

    Parameters
    ----------
    shape : sequence of int
    generator : torch.Generator
        Its device is the device of the result.

    Returns
    -------
    float32 tensor of this shape
    """
    n = math.prod(shape)
    bits = torch.empty((n + 3) // 4, dtype=torch.int64, device=generator.device)
    bits.random_(-(2**63), None, generator=generator)
    uniform = bits.view(torch.int16)[:n].to(torch.float32).add_(0.5).mul_(1 / 32768)
    return uniform.erfinv_().mul_(math.sqrt(2)).view(tuple(shape))


def _generator(
    seed: int, step: int, purpose: str, device: torch.device | str = "cpu"
) -> torch.Generator:
    # Hashed, since neighbouring seeds of a generator may give related numbers.
    digest = hashlib.blake2b(f"{seed}/{step}/{purpose}".encode(), digest_size=8).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest, "big"))


def _statistics(mean: Sequence[float] | None, std: Sequence[float] | None) -> tuple[Tensor, Tensor]:
    """Channel statistics as (3, 1, 1) tensors; 0 and 1 where none are given."""
    if (mean is None) != (std is None):
        raise ValueError("Expected mean and std together, or neither; got only one of them.")
    pair = (0.0, 0.0, 0.0) if mean is None else mean, (1.0, 1.0, 1.0) if std is None else std
    centre, spread = (torch.tensor([float(v) for v in values]).view(-1, 1, 1) for values in pair)
    if len(centre) != len(spread) or not bool((spread > 0).all()):
        raise ValueError(
            "Expected a mean and a positive std for each channel, on the 0-1 scale, "
            f"got mean {mean} and std {std}."
        )
    return centre, spread


def _check_batch(batch: Tensor, size: int | None) -> None:
    if batch.dtype != torch.uint8 or batch.ndim != 4:
        raise ValueError(
            "Expected bytes: a uint8 tensor (b, 3, H, W), got "
            f"{batch.dtype} {tuple(batch.shape)}. Floats have been through here already."
        )
    if size is not None and size > min(batch.shape[2:]):
        raise ValueError(
            f"Expected images of at least {size} x {size} px, got {tuple(batch.shape[2:])}. "
            "Load them at that size: enlarging adds no detail."
        )
