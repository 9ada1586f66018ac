"""The networks of notebook 05 and how each is trained: data, not code."""

from galhelpers.learning.experiment import Recipe
from galhelpers.profiles import Profile

# Heun-Euler at 1e-2 is what the code of the paper's NODE_ACA takes; NODE gets the same method and
# tolerance here, from torchdiffeq, whose Heun takes one evaluation a step where ours takes two.
SOLVER = {"method": "adaptive_heun", "tolerance": 1e-2}

PUBLISHED = (
    Recipe("ResNet", "gupta_resnet"),
    Recipe("NODE", "gupta_node", {"gradient": "adjoint"} | SOLVER),
    Recipe("NODE_ACA", "gupta_node", {"gradient": "aca"} | SOLVER),
)
"""As published: whole frame, 32 px, mirrored only, SGD at 0.1, a tenth after 3/7 and 6/7."""

# One change after the other, from the paper's NODE_ACA to the best network of the same size.
# The first only makes it cheaper: another solver of the same tolerance.
_QUICK = {"gradient": "aca", "method": "bosh3", "tolerance": 1e-2, "reuse_steps": True}
_BASE = Recipe("0 published", "gupta_node", _QUICK, batch_size=64, learning_rate=0.025)
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


def published_recipes(profile: Profile) -> list[Recipe]:
    """Give the paper's three networks with the profile's length and batches.

    The learning rate follows the square root of the batch (Krizhevsky 2014, arXiv:1404.5997,
    section 5), from the paper's 0.1 for 256 galaxies.
    """
    batch = profile.node_batch
    return [
        recipe.but(
            recipe.name,
            epochs=profile.node_epochs,
            batch_size=batch,
            learning_rate=recipe.learning_rate * (batch / recipe.batch_size) ** 0.5,
        )
        for recipe in PUBLISHED
    ]
