"""Pictures whose brightness tells their class, laid out as published data sets are."""

import numpy as np
from PIL import Image

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.learning.experiment import Recipe
from galhelpers.learning.recipes import Network
from galhelpers.learning.samples import Sample

TINY = Recipe(
    "tiny", "backbone", {"name": "small_resnet", "outputs": 5, "widths": (8, 8), "blocks": 1},
    size=16, epochs=4, batch_size=8, learning_rate=0.01, optimizer="adamw", schedule="one_cycle",
    average=0.9, sizes=((0.5, 8),), half=True,
)  # fmt: skip
NETWORK = Network(
    "How bright a picture is.", TINY, (Sample("gz2_five_class", "five_classes"),),
    credit="Nobody.", not_for=("Galaxies.",),
)  # fmt: skip


def picture(file, k, number):
    """Write a picture of class k."""
    pixels = np.random.default_rng(number).integers(0, 100, (16, 16, 3)) + 38 * k
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(file)
    return file


def five_bright_classes(root, n=60):
    """Write the data set ``gz2_five_class`` as class folders."""
    for number in range(n):
        name = FIVE_CLASSES[number % 5]
        picture(root / "gz2_five_class" / name / f"{number}.png", number % 5, number)
    return root
