"""How surprised a network is by votes: likelihoods of counts, given what it expects.

A vote is a draw. If a share rho of all people would see a bar, then of 10 who are asked 7 may say
so, or 4. The *multinomial* distribution says how likely each outcome is at a given rho. A network
does not know rho; it gives a *Dirichlet* distribution of it, with a *concentration* alpha for each
answer: alpha / sum(alpha) are the expected fractions, and the larger the sum, the surer it is. The
average of the multinomial over that Dirichlet is the *Dirichlet-multinomial*, in closed form.

Source: Walmsley et al. 2022, MNRAS 509, 3966, section 5.1.1; for two answers and one question,
the binomial of Walmsley et al. 2020, MNRAS 491, 1554.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from galhelpers.trees import Tree


def dirichlet_multinomial_nll(
    concentration: Tensor, votes: Tensor, tree: Tree, asked: Tensor | None = None
) -> Tensor:
    """Negative log-likelihood of each question's votes, in nats.

    With K answers, N = sum k and A = sum alpha::

        -log p = -[ lnG(A) - lnG(A + N) + lnG(N + 1)
                    + sum_a ( lnG(k_a + alpha_a) - lnG(alpha_a) - lnG(k_a + 1) ) ]

    where lnG is the logarithm of the gamma function, which needs no whole numbers: weighted votes
    count as they are. All questions are computed at once.

    It is computed in float32 or better, with autocast on or off: in bfloat16 it would be wrong by
    whole nats. Differences of large logarithms lose digits in float32 too: .004 nats at worst for
    concentrations of 1,000, .5 at 100,000. Give float64 to compare networks.

    Parameters
    ----------
    concentration
        Greater than 0, shape (..., n_answers) in the order of ``tree.columns``; any leading axes
        that broadcast against those of the votes, such as (passes, galaxies).
    votes
        Votes for each answer, shape (..., n_answers): 0 or more, whole or weighted. Where a
        question has a NaN, or only zeros, nobody was asked: its value and its gradients are 0.
    tree
        The questions.
    asked
        Optional, bool (..., n_questions): False leaves a question out whatever its votes are.

    Returns
    -------
    Tensor
        Shape (..., n_questions), float32, or float64 where that came in. Sum it over the questions
        for a galaxy.

    Raises
    ------
    ValueError
        For another number of answers, or votes below 0.
    """
    for what, array in (("concentrations", concentration), ("votes", votes)):
        if array.shape[-1] != tree.n_answers:
            raise ValueError(
                f"Tree {tree.name!r} has {tree.n_answers} answers along the last axis; got {what} "
                f"of shape {tuple(array.shape)}."
            )
    wide = torch.promote_types(concentration.dtype, torch.float32)
    with torch.autocast(concentration.device.type, enabled=False):
        k = _votes_of_asked(votes.to(wide), asked, tree)
        # One shape for both, else gradients that should cancel would be rounded differently.
        alpha = concentration.to(wide).expand(torch.broadcast_shapes(concentration.shape, k.shape))
        # The sums of each question go through the same functions as its answers, beside them.
        k = torch.cat([k, add_up(k, tree)], dim=-1)
        alpha = torch.cat([alpha, add_up(alpha, tree)], dim=-1)
        # Without votes every term is exactly 0, and so are its gradients: a number minus itself.
        terms = torch.lgamma(k + alpha) - torch.lgamma(alpha) - torch.lgamma(k + 1)
        answers, questions = terms.tensor_split([tree.n_answers], dim=-1)
        return questions - add_up(answers, tree)


def _votes_of_asked(votes: Tensor, asked: Tensor | None, tree: Tree) -> Tensor:
    """Votes with zeros for the questions that were not asked."""
    good = votes >= 0
    if asked is None and bool(good.all()):
        return votes
    refuse_negative(votes)
    skip = add_up((~good).to(votes), tree) > 0
    skip = skip if asked is None else skip | ~asked
    return torch.where(skip[..., question_of_answers(tree, votes.device)], 0.0, votes)


def refuse_negative(votes: Tensor | np.ndarray) -> None:
    """Raise ValueError for votes below 0, which some tables write where nobody was asked."""
    below = votes < 0
    if bool(below.any()):
        raise ValueError(
            "Votes are 0 or more, or NaN for a question that nobody was asked; got "
            f"{float(votes[below][0]):g}. Write NaN where a table has -1 or -99."
        )


def vote_loss(concentration: Tensor, votes: Tensor, tree: Tree) -> Tensor:
    """Mean over galaxies of the summed surprise of all questions: a loss for ``training.fit``.

    Parameters
    ----------
    concentration, votes
        Shape (galaxies, n_answers), as for ``dirichlet_multinomial_nll``.

    Returns
    -------
    Tensor
        One number, in nats a galaxy.
    """
    return dirichlet_multinomial_nll(concentration, votes, tree).sum(dim=-1).mean()


def add_up(values: Tensor, tree: Tree) -> Tensor:
    """Add up the answers of every question: (..., n_answers) to (..., n_questions)."""
    sums = values.new_zeros((*values.shape[:-1], tree.n_questions))
    # Not a product with a matrix of ones: where autocast or TF32 are on, that rounds to halves,
    # in the gradient too.
    return sums.index_add(-1, question_of_answers(tree, values.device), values)


@lru_cache
def question_of_answers(tree: Tree, device: torch.device) -> Tensor:
    """Give the number of the question that each answer belongs to, (n_answers,)."""
    with torch.inference_mode(False):  # it is kept, and training cannot use what was made in there
        sizes = torch.tensor(tree.offsets, device=device).diff()
        return torch.arange(tree.n_questions, device=device).repeat_interleave(sizes)
