"""What notebook 04 defines on the page equals the package's."""

import json

import numpy as np
import torch
import torch.nn.functional as F

from tests.notebooks.pages import ROOT, definitions


def test_networks_of_notebook_04_equal_the_package():
    from galhelpers import models
    from galhelpers.trees import TREES

    names = ["answers_each", "LinNet", "ConvNet", "RepairedConvNet", "TreeOutput"]
    space = definitions("04_baselines", *names, tree=TREES["gz2"])
    pairs = [
        (space["LinNet"](), models.LinNet(), torch.rand(4, 1, 64, 64)),
        (space["ConvNet"](), models.ConvNet(), torch.rand(4, 1, 64, 64)),
        (space["RepairedConvNet"](5), models.RepairedConvNet(5), torch.rand(4, 3, 64, 64)),
        (space["TreeOutput"](), models.TreeOutput(), torch.randn(4, 37)),
    ]
    for ours, theirs, batch in pairs:
        theirs.load_state_dict(ours.state_dict())
        assert torch.equal(ours.eval()(batch), theirs.eval()(batch))


def test_training_loop_of_notebook_04_equals_the_package():
    from galhelpers.data.augment import Augment, to_float
    from galhelpers.learning.training import fit
    from galhelpers.models import RepairedConvNet

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (150, 3, 16, 16), dtype=np.uint8)
    data = pixels[:100], torch.tensor(rng.integers(0, 5, 100))
    held_out = pixels[100:], torch.tensor(rng.integers(0, 5, 50))
    loop = definitions("04_baselines", "train_network")["train_network"]
    ours, theirs = (RepairedConvNet(5, (8, 8)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    augment = Augment(16, seed=1)
    torch.manual_seed(1)
    history = loop(ours, data, held_out, F.cross_entropy, augment, to_float, epochs=3)
    torch.manual_seed(1)
    same = fit(theirs, data, held_out, F.cross_entropy, augment=augment, prepare=to_float, epochs=3)
    assert history == same.validation_loss
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


def test_the_convolution_on_the_page_is_torchs():
    convolve = definitions("04_baselines", "convolve")["convolve"]
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand((20, 30), generator=generator)
    for side in (1, 4, 5):
        small = torch.rand((side, side), generator=generator)
        theirs = F.conv2d(picture[None, None], small[None, None])[0, 0]
        torch.testing.assert_close(convolve(picture, small), theirs)


def test_the_gradient_of_the_line_is_torchs():
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=50), "edge_on": rng.uniform(size=50)}
    space = definitions("04_baselines", "line_loss", "line_gradient", **given)
    weights = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    errors = weights[0] + weights[1] * torch.tensor(given["x"]) - torch.tensor(given["edge_on"])
    (errors**2).mean().backward()
    np.testing.assert_allclose(space["line_loss"](0.3, -0.2), (errors**2).mean().item())
    np.testing.assert_allclose(space["line_gradient"](0.3, -0.2), weights.grad.numpy())


def test_the_recorded_ladder_is_that_of_the_benchmark():
    """Every rung that the page shows has a number, and the order that the text tells."""
    file = ROOT / "docs" / "results" / "baselines.json"
    found = {row["name"]: row for row in json.loads(file.read_text("utf-8"))}
    for row in found.values():
        assert row["low"] < row["value"] < row["high"]
        assert row["n"] == 2400
    rmse = {name: row["value"] for name, row in found.items()}
    forest = rmse["nine numbers, random forest"]
    assert rmse["repaired ConvNet"] < forest < rmse["constant mean"]
    assert rmse["baseline37"] == min(rmse.values())
