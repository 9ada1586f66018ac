"""The score of a network on a fixed sample of the simulated survey, to be found again anywhere.

Real galaxies come with few installations, the simulated survey with all. So the card of a network
says how it does there, too: where another number comes out, the network, the survey or the code
between them is not what it was. How good a network is, its scores on real galaxies say.
"""

import io
from functools import lru_cache

import numpy as np
import pandas as pd
from PIL import Image

from galhelpers.data.catalogs import FIVE_CLASSES, select_five_classes
from galhelpers.data.images import read_image
from galhelpers.learning.checkpoint import Checkpoint
from galhelpers.learning.metrics import accuracy, rmse
from galhelpers.learning.networks import Check
from galhelpers.survey import (
    cumulative_fractions,
    render,
    ringed_galaxies,
    sample_galaxies,
    volunteer_votes,
)
from galhelpers.trees import GZ2

SEED = 777_000_001  # of a sky that nothing in the course is trained on
SIDE = 160  # pixels of the whole frame, as in the data set gz2_five_class

RINGS = ("no_ring", "ring")
ROUND, IN_BETWEEN, *_ = FIVE_CLASSES
MEANING = {name: (name,) for name in (*FIVE_CLASSES, *RINGS)} | {
    "elliptical": (ROUND, IN_BETWEEN),
    "smooth": (ROUND, IN_BETWEEN),
}
"""What simulated galaxies are called that belong to a class of this name."""

METRICS = {"classes": "accuracy", "fractions": "RMSE", "votes": "nats"}


def new_check(
    checkpoint: Checkpoint, telescope: str = "sdss", n: int = 200, seed: int = SEED
) -> Check | None:
    """Score a network on a sample of the simulated survey, for its card.

    Parameters
    ----------
    telescope
        Whose pictures it gets.
    n
        Galaxies; 200 take three seconds to draw on one core.

    Returns
    -------
    Check
        None for a network with classes that the simulated survey does not know.
    """
    if checkpoint.task == "classes" and _sample_for(checkpoint.classes) is None:
        return None
    asked = Check.model_validate(
        {"metric": METRICS[checkpoint.task], "value": 0, "n": n, "seed": seed}
        | {"telescope": telescope}
    )
    return asked.model_copy(update={"value": round(check_score(checkpoint, asked), 5)})


def check_score(checkpoint: Checkpoint, check: Check) -> float:
    """Find the score of a check again; ``check.value`` is what it was.

    Networks for classes are scored by their accuracy: on galaxies that the simulated volunteers
    agree on, of those of the five classes that the network knows; or on featured galaxies, half of
    them with a ring. Fractions are scored by the RMSE of the shares of 40 volunteers, votes by how
    surprising those of 40 are (``Posterior.nll``), in nats a galaxy.

    Raises
    ------
    ValueError
        For classes that the simulated survey does not know.
    """
    sample = _sample_for(checkpoint.classes) if checkpoint.task == "classes" else "any"
    if sample is None:
        raise ValueError(
            f"Expected classes of {', '.join(MEANING)}, which simulated galaxies have, "
            f"got {', '.join(checkpoint.classes)}."
        )
    truth, files = _pictures(sample, check.n, check.seed, check.telescope)
    size, crop = (checkpoint.preprocessing.get(name, 1.0) for name in ("size", "crop"))
    pixels = np.stack([read_image(file, size, crop) for file in files])
    if checkpoint.task == "votes":
        posterior = checkpoint.posterior(pixels)
        votes = volunteer_votes(truth, posterior.tree, check.telescope, seed=check.seed)
        return float(posterior.nll(votes).sum(axis=1).mean())
    given = checkpoint.predict(pixels).cpu().numpy()
    if checkpoint.task == "fractions":
        votes = volunteer_votes(truth, GZ2, check.telescope, seed=check.seed)
        return rmse(given, cumulative_fractions(votes))
    right = [truth["class_name"].isin(MEANING[name]) for name in checkpoint.classes]
    return accuracy(given.argmax(axis=1), np.argmax(right, axis=0))


def _sample_for(classes: list[str]) -> tuple[str, ...] | None:
    """Give the kinds of simulated galaxies that these classes divide among themselves."""
    kinds = {kind for name in classes for kind in MEANING.get(name, (name,))}
    known = any(kinds <= set(family) for family in (FIVE_CLASSES, RINGS))
    return tuple(sorted(kinds)) if known else None


@lru_cache(maxsize=8)
def _pictures(
    sample: tuple[str, ...] | str, n: int, seed: int, telescope: str
) -> tuple[pd.DataFrame, list[bytes]]:
    """Draw galaxies, as files in memory: all of a sky, those of some classes, or those with rings.

    Networks read them as they read a file of a user.
    """
    if sample == "any":
        truth = sample_galaxies(n, seed)
    elif sample == RINGS:
        truth = ringed_galaxies(n, seed)
        truth["class_name"] = np.where(truth["odd"] == "ring", "ring", "no_ring")
    else:
        # Of eight times as many, enough have a clear class, whichever classes are wanted.
        truth = sample_galaxies(8 * n, seed, balanced=True)
        votes = volunteer_votes(truth, GZ2, telescope, seed=seed)
        found = select_five_classes(cumulative_fractions(votes))
        truth["class_name"] = np.array([*FIVE_CLASSES, ""])[found]
        truth = truth[truth["class_name"].isin(sample)].iloc[:n].reset_index(drop=True)
    files = []
    for picture in render(truth, telescope, SIDE, seed).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        files.append(file.getvalue())
    return truth, files
