"""Networks that predict votes as distributions, and know how sure they are of them.

An *encoder* turns a picture into features, a *head* turns features into the concentrations of a
Dirichlet distribution for every question (``galhelpers.learning.losses``). Dropout before the head
stays on at prediction: each pass leaves other features out, so that every pass is another network
of a committee (Gal & Ghahramani 2016, arXiv:1506.02142). The encoder, where the time goes, runs
once for all of them. Several networks trained apart make a better committee still
(Lakshminarayanan et al. 2017, arXiv:1612.01474).

Sources: Walmsley et al. 2022, MNRAS 509, 3966 (EfficientNet-B0, concentrations, five networks of
five passes); Zoobot's ``1 + 100 sigmoid`` for comparison.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from galhelpers.models.backbones import known_encoder
from galhelpers.trees import TREES, Tree

SMALLEST = 1e-3
"""Least concentration, so that nothing is log 0. It costs next to nothing: a unanimous 40 of 40 is
.002 nats at the precision a head starts with, less at a higher one."""


class LimitedHead(nn.Module):
    """Zoobot's head: each concentration is ``1 + 100 sigmoid(x)``, between 1 and 101.

    So no expected fraction of two answers is above .990 or of six above .953, and a unanimous vote
    of 40 always costs .33 nats or more with two answers, 1.6 with six.
    """

    def __init__(self, features: int, tree: Tree) -> None:
        super().__init__()
        self.linear = nn.Linear(features, tree.n_answers)

    def activate(self, x: Tensor) -> Tensor:
        """Map the linear layer's output (..., n) to concentrations (..., n_answers)."""
        return 1 + 100 * torch.sigmoid(x)


class MeanPrecisionHead(nn.Module):
    """Expected fractions, by a softmax for each question, times one precision for each question.

    The precision says how many votes the network's word is worth: ``10 softplus(x)``, which starts
    at about 7 and has no upper limit.
    """

    def __init__(self, features: int, tree: Tree) -> None:
        super().__init__()
        self.sizes = [len(question.answers) for question in tree.questions]
        self.linear = nn.Linear(features, tree.n_answers + tree.n_questions)

    def activate(self, x: Tensor) -> Tensor:
        """Map the linear layer's output (..., n) to concentrations (..., n_answers)."""
        scores = x[..., : sum(self.sizes)].split(self.sizes, dim=-1)
        precision = 10 * F.softplus(x[..., sum(self.sizes) :])
        parts = [s.softmax(-1) * precision[..., i : i + 1] for i, s in enumerate(scores)]
        return torch.cat(parts, dim=-1) + SMALLEST


HEADS: dict[str, Callable[[int, Tree], LimitedHead | MeanPrecisionHead]] = {
    "mean_precision": MeanPrecisionHead,
    "limited": LimitedHead,
}


class VoteNet(nn.Module):
    """A network that gives a Dirichlet distribution of the votes on every question of a tree.

    Parameters
    ----------
    tree
        Name of the decision tree, such as ``"decals"``.
    encoder
        ``"small"``: ``SmallResNet``; ``"efficientnet_b0"``: timm's, 4 million parameters.
    head
        ``"mean_precision"``, or ``"limited"`` as Zoobot has it.
    colour
        False averages the three colours into one first, as Walmsley et al. do: volunteers are not
        supposed to judge by colour.
    dropout
        Share of the features that every pass leaves out.
    widths
        Of the small encoder.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the valid ones.
    """

    def __init__(
        self,
        tree: str,
        encoder: str = "efficientnet_b0",
        head: str = "mean_precision",
        colour: bool = True,
        dropout: float = 0.2,
        widths: tuple[int, ...] = (32, 64, 128),
    ) -> None:
        super().__init__()
        for what, name, known in (
            ("tree", tree, TREES),
            ("head", head, HEADS),
            ("encoder", encoder, ("small", "efficientnet_b0")),
        ):
            if name not in known:
                raise ValueError(f"There is no {what} {name!r}; there are {', '.join(known)}.")
        if not 0 <= dropout < 1:
            raise ValueError(f"Expected a dropout from 0 to below 1, got {dropout}.")
        self.tree, self.colour, self.dropout = TREES[tree], colour, dropout
        if encoder == "small":
            known_network = known_encoder("small_resnet", outputs=1, widths=widths)
        else:
            known_network = known_encoder(encoder)
        self.encoder, n_features, _ = known_network
        self.head = HEADS[head](n_features, TREES[tree])

    def encode(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, height, width) to features (n, features)."""
        if not self.colour:
            x = x.mean(dim=1, keepdim=True).expand_as(x)
        return self.encoder(x)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures to concentrations (n, n_answers); with dropout in training only."""
        features = F.dropout(self.encode(x), self.dropout, self.training)
        with torch.autocast(x.device.type, enabled=False):
            return self.head.activate(self.head.linear(features.float()))

    def sample(self, features: Tensor, passes: int, seed: int = 0) -> Tensor:
        """Concentrations from several passes of the head over the same features.

        A pass leaves the same features out for every galaxy: it is one network of the committee.
        So what it says of a galaxy does not depend on the others in the batch.

        Parameters
        ----------
        features
            (n, features), of ``encode``.
        passes
            1 or more. The same seed gives the same passes, more of them begin with the same.

        Returns
        -------
        Tensor
            float32 (passes, n, n_answers).
        """
        generator = torch.Generator().manual_seed(seed)
        draws = torch.rand((passes, features.shape[1]), generator=generator)
        kept = (draws >= self.dropout).to(features.device) / (1 - self.dropout)
        with torch.autocast(features.device.type, enabled=False):
            weights = self.head.linear.weight * kept[:, None, :]  # (passes, out, features)
            x = features.float() @ weights.transpose(1, 2) + self.head.linear.bias
            return self.head.activate(x)

    def draw(self, x: Tensor, passes: int, seed: int = 0) -> Tensor:
        """Encode pictures once and sample the head: (passes, n, n_answers)."""
        return self.sample(self.encode(x), passes, seed)


class VoteEnsemble(nn.Module):
    """Several networks of one kind, trained apart.

    Parameters
    ----------
    members
        How many.
    **arguments
        Of every ``VoteNet``.
    """

    def __init__(self, members: int, **arguments: object) -> None:
        super().__init__()
        if members < 1:
            raise ValueError(f"Expected one member or more, got {members}.")
        nets = [VoteNet(**arguments) for _ in range(members)]  # type: ignore[arg-type]
        self.members, self.tree = nn.ModuleList(nets), nets[0].tree

    def forward(self, x: Tensor) -> Tensor:
        """Concentrations of the first member, as if it were alone; ``draw`` asks them all.

        Raises
        ------
        RuntimeError
            In training mode: the other members would learn nothing.
        """
        if self.training:
            raise RuntimeError(
                "Expected a VoteEnsemble in evaluation mode: training it would train its first "
                "member only. Train each of its members by itself, then call eval()."
            )
        return self.members[0](x)

    def draw(self, x: Tensor, passes: int, seed: int = 0) -> Tensor:
        """Sample the members one after the other: (members x passes, n, n_answers)."""
        # Another seed for each: else all members would leave out the features of the same numbers.
        nets: Any = enumerate(self.members)
        return torch.cat([net.draw(x, passes, seed + 1000 * i) for i, net in nets])
