"""The networks of notebook 05 and how each is trained: data, not code."""

from galhelpers.learning.experiment import Recipe

RESNET = Recipe("resnet", "gupta_resnet")
"""As published: whole frame, 32 px, mirrored only, SGD at 0.1, a tenth after 3/7 and 6/7."""

# Heun-Euler at 1e-2 is what the code of the paper's NODE_ACA takes; NODE gets the same here, so
# that nothing but the gradient differs.
SOLVER = {"method": "adaptive_heun", "tolerance": 1e-2}
NODE = Recipe("node", "gupta_node", {"gradient": "adjoint"} | SOLVER)
NODE_ACA = Recipe("node_aca", "gupta_node", {"gradient": "aca"} | SOLVER)

FAST = {"gradient": "aca", "method": "bosh3", "tolerance": 1e-2, "reuse_steps": True}
NODE_ACA_BEST = Recipe(
    "node_aca_best",
    "gupta_node",
    FAST | {"activation": "silu", "outputs": 5},
    crop=0.5,
    margin=1.5,
    augment="full",
    epochs=36,
    batch_size=64,
    learning_rate=3e-3,
    weight_decay=0.05,
    optimizer="adamw",
    schedule="one_cycle",
    smoothing=0.05,
    average=0.998,
    mixed_precision=True,
    rebalance=True,
    views=8,
)
"""What improves on the paper with no parameter more, at 32 px."""

RESNET_BEST = NODE_ACA_BEST.but(
    "resnet_best", architecture="gupta_resnet", arguments={"outputs": 5}
)

SMALL_RESNET = NODE_ACA_BEST.but(
    "small_resnet",
    architecture="small_resnet",
    arguments={},
    size=64,
    crop=0.53,
    margin=1.5,
    epochs=40,
    learning_rate=2e-3,
)
"""The best small network of the course: 64 px of the central half of the frame."""

RECIPES = {
    recipe.name: recipe
    for recipe in (RESNET, NODE, NODE_ACA, NODE_ACA_BEST, RESNET_BEST, SMALL_RESNET)
}
