"""Galaxies with an answer each: which ones a network learns from, and what is asked of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.dataset import load_dataset
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.simulated import load_simulated
from galhelpers.data.votes import votes_of
from galhelpers.models.schemas import Task
from galhelpers.paths import default_data_root, user_path
from galhelpers.survey import galaxy_zoo_1_class
from galhelpers.trees import GZ2


@dataclass(frozen=True)
class Sample:
    """Which galaxies, and which question about them.

    Attributes
    ----------
    dataset
        A name of the manifest. For ``simulated`` the survey is made where it is not on disk yet.
    answers
        What is asked: a name in ``ANSWERS``.
    n
        Of the simulated survey: number of galaxies. Of others: a random sample of so many; 0
        takes all.
    seed
        Of the simulated sky, or of the random sample.
    telescope
        Whose pictures they are; those of the simulated survey are made for it.
    frame, balanced
        Of the simulated survey only: pixels a side, and whether the five classes are about equally
        frequent.
    skip
        Of others: leave out the first so many, shuffled. The simulated survey was fitted to 6,000
        real galaxies (``benchmarks/sim_to_real.py``), which cannot judge what learnt on it.
    """

    dataset: str
    answers: str
    n: int = 0
    seed: int = 0
    telescope: str = "sdss"
    frame: int = 192
    balanced: bool = False
    skip: int = 0


@dataclass(frozen=True)
class Labelled:
    """n galaxies with an answer each.

    Attributes
    ----------
    name
        Of the data set.
    ids
        Text, shape (n,).
    files
        Pictures.
    targets
        Number of the class, int64 (n,); or fractions or votes, float32 (n, answers).
    classes
        Names of the classes, or of the answers.
    task
        ``classes``, ``fractions`` or ``votes``.
    tree
        Name of the decision tree of fractions and votes.
    digest
        Of pictures and answers, where these may change while names stay: a result belongs to it.
    """

    name: str
    ids: np.ndarray
    files: list[Path]
    targets: Tensor
    classes: tuple[str, ...]
    task: Task = "classes"
    tree: str = ""
    digest: str = ""

    def __len__(self) -> int:
        return len(self.files)

    @property
    def strata(self) -> np.ndarray:
        """What every part should have the same share of: the classes, where there are some."""
        return self.targets.numpy() if self.task == "classes" else np.zeros(len(self), int)


def five_classes(galaxies: GalaxySet) -> Labelled:
    """Ask for one of the five classes of Galaxy Zoo 2, of galaxies that have one."""
    galaxies = galaxies.with_class()
    return _classes(galaxies, galaxies.catalog["class_id"].to_numpy(), FIVE_CLASSES)


def smooth_or_spiral(galaxies: GalaxySet) -> Labelled:
    """Ask whether a galaxy is smooth (round or in between) or spiral, of galaxies that are."""
    number = galaxies.catalog["class_id"].to_numpy()
    kept = np.isin(number, (0, 1, 4))
    return _classes(galaxies.select(kept), (number[kept] == 4).astype(int), ("smooth", "spiral"))


def elliptical_or_spiral(galaxies: GalaxySet) -> Labelled:
    """Ask what four in five volunteers of Galaxy Zoo 1 agree on, of simulated galaxies."""
    votes = galaxies.tables["votes_galaxy_zoo_1"].set_index("GalaxyID")
    said = galaxy_zoo_1_class(votes.loc[galaxies.catalog["id"].astype(int)].to_numpy())
    kept = said != "uncertain"
    number = (said[kept] == "spiral").astype(int)
    return _classes(galaxies.select(kept), number, ("elliptical", "spiral"))


def labels(galaxies: GalaxySet) -> Labelled:
    """Ask for the label that a data set has of its own."""
    galaxies = galaxies.select(galaxies.catalog["label"].to_numpy() >= 0)
    number = galaxies.catalog["label"].to_numpy()
    names = galaxies.catalog["label_name"].to_numpy()
    found = [str(names[number == one][0]) for one in range(number.max() + 1)]
    return _classes(galaxies, number, found)


def fractions(galaxies: GalaxySet) -> Labelled:
    """Ask for the 37 vote fractions of Kaggle's challenge."""
    if galaxies.fractions is None:
        raise ValueError(f"{galaxies.name} has no 37 vote fractions; galaxy_zoo_kaggle has them.")
    targets = torch.tensor(galaxies.fractions.to_numpy(), dtype=torch.float32)
    return _labelled(galaxies, targets, GZ2.published, "fractions", "gz2")


def votes_gz2(galaxies: GalaxySet) -> Labelled:
    """Ask for the votes on the questions of Galaxy Zoo 2."""
    return _votes(galaxies, "gz2")


def votes_decals(galaxies: GalaxySet) -> Labelled:
    """Ask for the votes on the questions of Galaxy Zoo DECaLS."""
    return _votes(galaxies, "decals")


ANSWERS: dict[str, Callable[[GalaxySet], Labelled]] = {
    made.__name__: made
    for made in (
        five_classes,
        smooth_or_spiral,
        elliptical_or_spiral,
        labels,
        fractions,
        votes_gz2,
        votes_decals,
    )
}


def read_sample(sample: Sample, data_root: str | Path | None = None) -> Labelled:
    """Read the galaxies of a sample, those with a picture and an answer.

    Parameters
    ----------
    data_root
        Folder that holds published data sets. The simulated survey lies in the default one.

    Raises
    ------
    FileNotFoundError
        Where a published data set is not on disk; the message says how to get it.
    """
    if sample.dataset == "simulated":
        galaxies = load_simulated(
            default_data_root(), sample.n, sample.seed, sample.telescope, sample.frame,
            sample.balanced,
        )  # fmt: skip
        return ANSWERS[sample.answers](galaxies)
    root = user_path(data_root) if data_root else None
    galaxies = load_dataset(sample.dataset, root)
    if sample.skip:  # drawn as pandas draws, which the benchmark shuffles with
        order = np.random.RandomState(sample.seed).permutation(len(galaxies))
        galaxies = galaxies.select(order[sample.skip :])
    galaxies = galaxies.select((galaxies.catalog["file"] != "").to_numpy())
    return ANSWERS[sample.answers](galaxies.sample(sample.n or len(galaxies), sample.seed))


def join(parts: Sequence[Labelled]) -> Labelled:
    """Put samples with the same question together; ids begin with the number of the sample."""
    first = parts[0]
    if len(parts) == 1:
        return first
    ids = [f"{number}/{one}" for number, part in enumerate(parts) for one in part.ids]
    return Labelled(
        "+".join(dict.fromkeys(part.name for part in parts)),
        np.array(ids),
        [file for part in parts for file in part.files],
        torch.cat([part.targets for part in parts]),
        first.classes,
        first.task,
        first.tree,
    )


def _classes(galaxies: GalaxySet, number: np.ndarray, names: Sequence[str]) -> Labelled:
    return _labelled(galaxies, torch.tensor(number, dtype=torch.int64), names, "classes", "")


def _votes(galaxies: GalaxySet, name: str) -> Labelled:
    tree, votes = votes_of(galaxies, name)
    targets = torch.tensor(votes, dtype=torch.float32)
    return _labelled(galaxies, targets, tree.columns, "votes", name)


def _labelled(
    galaxies: GalaxySet, targets: Tensor, names: Sequence[str], task: Task, tree: str
) -> Labelled:
    ids = galaxies.catalog["id"].to_numpy().astype(str)
    return Labelled(galaxies.name, ids, galaxies.files, targets, tuple(names), task, tree)
