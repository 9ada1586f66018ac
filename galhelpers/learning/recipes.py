"""How each network of the course is trained: data, not code.

First the networks of Gupta et al. 2022 as published, and what makes them better step by step. Then
those that come with the course, in ``networks/``: ``galhelpers train NAME`` makes one again.
"""

from dataclasses import dataclass, replace
from itertools import count
from typing import Any, NamedTuple

from galhelpers.learning.experiment import Recipe
from galhelpers.learning.samples import Sample

# Heun-Euler at 1e-2 is what the code of the paper's NODE_ACA takes; NODE gets the same method and
# tolerance here, from torchdiffeq, whose Heun takes one evaluation a step where ours takes two.
SOLVER = {"method": "adaptive_heun", "tolerance": 1e-2}

PUBLISHED = (
    Recipe("ResNet", "gupta_resnet", epochs=690),
    Recipe("NODE", "gupta_node", {"gradient": "adjoint"} | SOLVER, epochs=690),
    Recipe("NODE_ACA", "gupta_node", {"gradient": "aca"} | SOLVER, epochs=690),
)
"""As published: whole frame, 32 px, mirrored only, SGD at 0.1, a tenth after 3/7 and 6/7."""

# One change after the other, from the paper's NODE_ACA to the best network of the same size.
# The first only makes it cheaper: another solver of the same tolerance.
_QUICK = {"gradient": "aca", "method": "bosh3", "tolerance": 1e-2, "reuse_steps": True}
_BASE = Recipe("0 published", "gupta_node", _QUICK, batch_size=64, learning_rate=0.025, epochs=30)
_CROP = _BASE.but("1 central two fifths", crop=0.4)
_TURN = _CROP.but("2 any orientation", margin=1.5, augment="turn")
_TRAIN = _TURN.but(
    "3 one cycle, mean",
    optimizer="adamw",
    schedule="one_cycle",
    learning_rate=3e-3,
    weight_decay=0.05,
    average=0.998,
    mixed_precision=True,
)
_SMOOTH = _TRAIN.but("4 SiLU", arguments=_QUICK | {"activation": "silu"})
_RARE = _SMOOTH.but("5 rare classes", smoothing=0.05, rebalance=True)
_VIEWS = _RARE.but("6 eight views", views=8)
ABLATION = (_BASE, _CROP, _TURN, _TRAIN, _SMOOTH, _RARE, _VIEWS)
"""From the published network to the best of the same size, one change after the other."""

NODE_ACA_BEST = _VIEWS.but(
    "NODE_ACA best", arguments=_QUICK | {"activation": "silu", "outputs": 5}, epochs=30
)
SMALL_RESNET = NODE_ACA_BEST.but(
    "small ResNet",
    architecture="small_resnet",
    arguments={},
    size=64,
    crop=0.53,
    augment="full",
    epochs=50,
    learning_rate=2e-3,
)
"""The best small network of the course: 64 px of the central half of the frame."""

RECIPES = {recipe.name: recipe for recipe in (*PUBLISHED, *ABLATION, NODE_ACA_BEST, SMALL_RESNET)}


@dataclass(frozen=True)
class Network:
    """A network that comes with the course: what it learns from, how, and where it is judged.

    Attributes
    ----------
    answers
        What it answers, in a sentence.
    recipe
        Its name is the network's.
    samples
        Galaxies to learn from, choose by, and test on; several with the same question are put
        together.
    start
        Another network whose encoder the training begins with; empty: random weights.
    judged
        Galaxies of another survey, on which it is scored too.
    splits, folds
        How many random splits are trained, of which the one with the best validation score
        becomes the network; or how many parts of a cross-validation.
    most
        At most so many galaxies to learn from; 0: all.
    credit
        Whose the data are.
    not_for
        What it should not be used for, in sentences.
    """

    answers: str
    recipe: Recipe
    samples: tuple[Sample, ...]
    start: str = ""
    judged: Sample | None = None
    splits: int = 1
    folds: int = 0
    most: int = 0
    credit: str = ""
    not_for: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.folds and self.splits != 1:
            raise ValueError(f"Expected splits or folds, got {self.splits} and {self.folds}.")


# Seeds of skies that no lesson draws: what a lesson tests a network on was never learnt.
_SKY = Sample("simulated", "votes_gz2", n=24_000, seed=2022)
_RARE_SKY = Sample("simulated", "five_classes", n=12_000, seed=2023, balanced=True)
_DECALS_SKY = Sample("simulated", "votes_decals", n=12_000, seed=2022, telescope="decals")
_REAL = Sample("gz2_five_class", "five_classes")

_SDSS = (
    "Images: Sloan Digital Sky Survey; votes: Galaxy Zoo 2 (Willett et al. 2013) by way of the "
    "Kaggle Galaxy Challenge; selection of the five classes: Zhu et al. 2019."
)
_OURS = "The simulated survey of this course."


# The paper's three networks under one recipe: 32 px, and the same number of galaxies seen.
_SOLVER = {"method": "bosh3", "tolerance": 1e-2, "activation": "silu", "outputs": 5}
_RESNET6 = _VIEWS.but(
    "resnet6",
    architecture="gupta_resnet",
    arguments={"outputs": 5, "activation": "silu"},
    epochs=12,
    optimizer="muon",
    schedule="linear",
    average=None,
    half=True,
)
_NODE = _RESNET6.but("node", architecture="gupta_node", arguments={"gradient": "adjoint"} | _SOLVER)
_NODE_ACA = _NODE.but("node_aca", arguments={"gradient": "aca", "reuse_steps": True} | _SOLVER)


def _encoder(**arguments: Any) -> dict[str, Any]:
    return {"name": "small_resnet"} | arguments


_SMALL = SMALL_RESNET.but(
    "five_classes",
    architecture="backbone",
    arguments=_encoder(outputs=5),
    sizes=((0.45, 32), (0.3, 48)),
    epochs=36,
    optimizer="muon",
    schedule="linear",
    learning_rate=3e-3,
    average=None,
    half=True,
)
_VOTES = _SMALL.but(
    "start",
    architecture="vote_net",
    arguments={"tree": "gz2", "encoder": "small", "widths": (32, 64, 128)},
    sizes=((0.5, 32), (0.25, 48)),
    epochs=15,
    schedule="one_cycle",
    average=0.998,
    smoothing=0.0,
    rebalance=False,
    views=1,
)
_LINEAR: dict[str, Any] = {"schedule": "linear", "average": None}
_LARGER = _LINEAR | {"size": 96, "crop": 0.5, "margin": 1.375, "sizes": ((0.4, 48), (0.35, 64))}
_TWO_SKIES = tuple(
    Sample("simulated", "elliptical_or_spiral", n=24_000, seed=seed) for seed in (2022, 2024)
)
_SPIRALS = _SMALL.but(
    "sdss_spirals_12000",
    arguments=_encoder(outputs=2, widths=(16, 32, 64)),
    crop=0.5,
    margin=1.375,
    epochs=15,
    smoothing=0.0,
    rebalance=False,
)


class Rung(NamedTuple):
    """A recipe among those that show what makes learning fast.

    Attributes
    ----------
    change
        What is new, in a few words.
    recipe
        Its name is a word.
    before
        Name of the recipe from which this one differs by the change; empty for the first.
    start
        Another network whose encoder the training begins with; empty: random weights.
    """

    change: str
    recipe: Recipe
    before: str = ""
    start: str = ""


# Five epochs of 64 px cost as much as eight that begin with smaller pictures.
_FORMER = _SMALL.but(
    "former",
    sizes=(),
    epochs=5,
    optimizer="adamw",
    schedule="one_cycle",
    learning_rate=2e-3,
    average=0.998,
)
_STRAIGHT = _FORMER.but("linear", learning_rate=3e-3, **_LINEAR)
_MUON = _STRAIGHT.but("muon", optimizer="muon")
_GROWING = _MUON.but("growing", sizes=((0.44, 32), (0.29, 48)), epochs=8)
_LONG = _GROWING.but("long", epochs=24)
LEARNING_SPEED = (
    Rung("AdamW, one cycle to 0.002, running mean of the weights, 64 px", _FORMER),
    Rung("no mean; rate rises to 0.003, falls on a straight line", _STRAIGHT, "former"),
    Rung("Muon instead of AdamW", _MUON, "linear"),
    Rung("32, then 48, then 64 px: 8 epochs for 5", _GROWING, "muon"),
    Rung("begins with start", _GROWING.but("growing_start"), "growing", "start"),
    Rung("three times as long", _LONG, "growing"),
    Rung("three times as long, begins with start", _LONG.but("long_start"), "long", "start"),
)
"""Five classes in about 8 minutes of one CPU core, one change after the other; then in 25."""


FEWEST_STEPS = 1_500
"""Steps that a network needs at least, however few galaxies it learns from."""


def recipe_for(like: Recipe, name: str, n_train: int, n_classes: int) -> Recipe:
    """Fit a recipe to other galaxies: the same, but for what their number decides.

    An epoch has about eight steps or more, where that leaves eight galaxies for a batch: the
    normalisation of a smaller one would take away what tells them apart. So the last batch has half
    as many as the others, or more. The learning rate follows the square root of the batch
    (Krizhevsky 2014, arXiv:1404.5997, section 5). There are as many epochs as the recipe has, and
    more where these would be fewer than ``FEWEST_STEPS`` steps.
    """
    steps_an_epoch = -(-n_train // min(like.batch_size, max(8, n_train // 8)))
    batch = -(-n_train // steps_an_epoch)
    batch = next(size for size in count(batch) if not 0 < n_train % size < size / 2)
    steps_an_epoch = -(-n_train // batch)
    return like.but(
        name,
        arguments=like.arguments | {"outputs": n_classes},
        batch_size=batch,
        learning_rate=like.learning_rate * (batch / like.batch_size) ** 0.5,
        epochs=max(like.epochs, -(-FEWEST_STEPS // steps_an_epoch)),
    )


NETWORKS = {
    network.recipe.name: network
    for network in (
        Network(
            "What volunteers of Galaxy Zoo 2 would say of a galaxy in SDSS, as a distribution of "
            "votes; its encoder is where others start.",
            _VOTES,
            (_SKY,),
            credit=_OURS,
            not_for=("Counts of real galaxies: it has only seen simulated ones.",),
        ),
        Network(
            "Which of the five classes of Galaxy Zoo 2 a galaxy belongs to.",
            _SMALL,
            (_REAL,),
            start="start",
            credit=_SDSS,
            not_for=(
                "Galaxies that people disagree on: it learnt from those with a clear class, less "
                "than half of all.",
                "Pictures of another survey or scale, before it is tested on some with labels.",
            ),
        ),
        *(
            Network(
                f"Which of the five classes a galaxy belongs to: {words} of Gupta et al. 2022.",
                recipe,
                (_REAL,),
                splits=3,
                credit=_SDSS,
                not_for=("Best predictions: five_classes is right more often.",),
            )
            for recipe, words in (
                (_RESNET6, "the ResNet"),
                (_NODE, "the neural ODE with the adjoint gradient"),
                (_NODE_ACA, "the neural ODE with the gradient by checkpoints"),
            )
        ),
        Network(
            "Which of the five classes a galaxy belongs to, learnt on simulated galaxies alone.",
            _SMALL.but("five_classes_sky", augment="sky", epochs=12, learning_rate=2e-3),
            (Sample("simulated", "five_classes", n=24_000, seed=2022), _RARE_SKY),
            start="start",
            judged=replace(_REAL, n=6_000, skip=6_000),
            credit=_OURS,
            not_for=("Real galaxies where five_classes can be used, which is right more often.",),
        ),
        Network(
            "What volunteers of Galaxy Zoo DECaLS would say of a galaxy: a distribution of votes.",
            _VOTES.but(
                "votes_decals",
                arguments=_VOTES.arguments | {"tree": "decals"},
                epochs=15,
                **_LARGER,
            ),
            (_DECALS_SKY,),
            start="start",
            credit=_OURS,
            not_for=("Real galaxies: it has only seen simulated ones.",),
        ),
        Network(
            "What volunteers of Galaxy Zoo 2 would say of a real galaxy: a distribution of votes.",
            _VOTES.but("votes_gz2", epochs=20, learning_rate=1e-3, batch_size=16, **_LARGER),
            (Sample("gz2_votes", "votes_gz2"),),
            start="start",
            folds=5,
            credit=_SDSS,
            not_for=("A survey as it is: a quarter of the galaxies it learnt from are mergers.",),
        ),
        Network(
            "The 37 vote fractions of the Kaggle Galaxy Challenge, of a simulated galaxy.",
            _VOTES.but(
                "baseline37",
                architecture="fraction_net",
                arguments=_encoder(),
                epochs=10,
                learning_rate=2e-3,
                views=8,
                **_LINEAR,
            ),
            (replace(_SKY, answers="fractions"),),
            start="start",
            credit=_OURS,
            not_for=("A submission to the challenge: it has not seen one of its galaxies.",),
        ),
        *(
            Network(
                f"Spiral or elliptical, learnt from {n:,} simulated SDSS galaxies.",
                _SPIRALS.but(f"sdss_spirals_{n}", epochs=epochs, batch_size=batch),
                _TWO_SKIES,
                most=n,
                credit=_OURS,
                not_for=("Pictures of another telescope: it has seen only those of SDSS.",),
            )
            for n, epochs, batch in ((400, 80, 16), (1_500, 40, 32), (12_000, 15, 64))
        ),
        Network(
            "Spiral against smooth (round or in between), of galaxies that people agree on.",
            _SMALL.but(
                "spirals", arguments=_encoder(outputs=2), epochs=10, smoothing=0.02, rebalance=False
            ),
            (replace(_REAL, answers="smooth_or_spiral"),),
            start="start",
            credit=_SDSS,
            not_for=("Edge-on disks and cigars: it has seen none.",),
        ),
        Network(
            "Whether a featured face-on galaxy without arms has a ring.",
            _SMALL.but(
                "rings",
                arguments=_encoder(outputs=2),
                epochs=20,
                learning_rate=1e-3,
                batch_size=16,
                smoothing=0.1,
                rebalance=False,
                size=96,
                crop=0.6,
                margin=1.375,
                sizes=(),
            ),
            (Sample("decals_rings", "labels", telescope="decals"),),
            start="start",
            folds=5,
            credit="Images: DESI Legacy Imaging Surveys; labels: Galaxy Zoo DECaLS.",
            not_for=("Counts of rings: three in ten galaxies are called wrongly.",),
        ),
    )
}
"""Networks that come with the course, in the order in which they can be trained."""
