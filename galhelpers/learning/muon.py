"""Muon, an optimiser for the matrices of hidden layers (Jordan et al. 2024).

The gradient of a layer is often large in a few directions and small in all others, and Adam, which
scales each weight by itself, keeps that. Muon takes the gradient as a matrix and makes all its
singular values about equal: a step then moves the layer equally far in every direction.
"""

from typing import Any

import torch
from torch import Tensor, nn

# Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/) chose these for the steepest
# start: after five steps most singular values lie between 0.7 and 1.2, not exactly at one.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_STEPS = 5


class Muon(torch.optim.AdamW):
    """Muon for the matrices of hidden layers and AdamW for all else, with one learning rate.

    A convolution counts as a matrix of (outputs, inputs x height x width). The first and the last
    matrix of the network learn with AdamW, as do biases and the scales of normalisation, which do
    not shrink. The momentum of Muon is the first of AdamW's ``betas``.

    Parameters
    ----------
    model
        Its matrices are taken in the order in which its layers were made.
    lr
        Learning rate of AdamW. Muon's steps are made as large as AdamW's usually are, 0.2 ``lr``
        in the root mean square (Liu et al. 2025, arXiv:2502.16982, equation 4).
    weight_decay
        Share of the weights of layers that is taken away in a step, times ``lr``.
    """

    def __init__(self, model: nn.Module, lr: float = 2e-3, weight_decay: float = 0.05) -> None:
        parameters = list(model.parameters())
        matrices = [p for p in parameters if p.ndim > 1]
        hidden, ends = matrices[1:-1], [*matrices[:1], *matrices[1:][-1:]]
        groups = [
            {"params": hidden, "weight_decay": weight_decay, "muon": True},
            {"params": ends, "weight_decay": weight_decay, "muon": False},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0, "muon": False},
        ]
        super().__init__([group for group in groups if group["params"]], lr=lr)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change all parameters that have a gradient; those of hidden matrices are used up."""
        for group in self.param_groups:
            for weights in group["params"] if group["muon"] else []:
                if weights.grad is not None:
                    self._step_muon(weights, weights.grad, group)
                    weights.grad = None  # so that AdamW leaves it alone
        super().step()

    def _step_muon(self, weights: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state, momentum = self.state[weights], group["betas"][0]
        if not state:  # AdamW's names: it reads them when a state is loaded
            state |= {"step": torch.zeros(()), "exp_avg": torch.zeros_like(weights)}
        mean = state["exp_avg"]
        mean.lerp_(gradient, 1 - momentum)
        ahead = gradient.lerp(mean, momentum).flatten(1)  # as Nesterov does
        scale = 0.2 * max(ahead.shape) ** 0.5
        weights.mul_(1 - group["lr"] * group["weight_decay"])
        weights.sub_(orthogonalized(ahead).view_as(weights), alpha=group["lr"] * scale)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Give a matrix with the same singular vectors and singular values of about one.

    Values below a thousandth of the largest become less than one.

    Five steps of the Newton-Schulz iteration, X <- (a + b X X^T + c (X X^T)^2) X. All factors are
    polynomials of the first X X^T, so that only this small square matrix is iterated: the same to
    rounding, in less than half the time for wide matrices.

    Parameters
    ----------
    matrix
        Shape (m, n).
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    wide = wide / wide.norm().clamp(min=1e-7)
    gram = wide @ wide.T
    a, b, c = _QUINTIC
    one = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    product = one
    for _ in range(_STEPS):
        factor = a * one + b * gram + c * gram @ gram
        product = factor @ product
        gram = factor @ gram @ factor
    result = product @ wide
    return result if matrix.shape[0] <= matrix.shape[1] else result.T
