"""The benchmark of learning speed: its recipes, its rivals, its arithmetic, and a small run."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from galhelpers.learning.checkpoint import load_checkpoint
from galhelpers.learning.networks import facts_of
from galhelpers.learning.recipes import LEARNING_SPEED, NETWORKS
from galhelpers.models import backbone, build
from tests.learning.bright_galaxies import five_bright_classes

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))  # as when it is run as a script

import learning_speed as bench

RECIPES = {rung.recipe.name: rung.recipe for rung in LEARNING_SPEED}


@pytest.fixture
def one_thread():
    """The benchmark uses one thread; other tests get theirs back."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_each_recipe_builds_and_changes_one_before_it():
    assert len(RECIPES) == len(LEARNING_SPEED)
    changed = []
    for number, rung in enumerate(LEARNING_SPEED):
        build(rung.recipe.architecture, **rung.recipe.arguments)
        earlier = {other.recipe.name: other for other in LEARNING_SPEED[:number]}
        if not number:
            assert not rung.before
            continue
        old, new = asdict(earlier[rung.before].recipe), asdict(rung.recipe)
        assert rung.start in ("", *NETWORKS)
        changes = {key for key in new if new[key] != old[key]} - {"name"}
        changed.append(changes | ({"start"} if rung.start else set()))
    assert changed == [
        {"average", "schedule", "learning_rate"}, {"optimizer"}, {"sizes", "epochs"}, {"start"},
        {"epochs"}, {"start"},
    ]  # fmt: skip


def test_what_is_compared_costs_about_the_same():
    def pixels(recipe):
        rest = 1 - sum(share for share, _ in recipe.sizes)
        sides = [*recipe.sizes, (rest, recipe.size)]
        return recipe.epochs * sum(share * side**2 for share, side in sides)

    costs = [pixels(RECIPES[name]) for name in ("former", "linear", "muon", "growing")]
    assert max(costs) / min(costs) < 1.2
    assert pixels(RECIPES["long"]) / pixels(RECIPES["growing"]) == pytest.approx(3)


def test_minutes_lie_on_straight_lines_between_epochs():
    seconds, accuracy = [60, 60, 120, 60], [0.80, 0.92, 0.90, 0.96]
    assert bench.minutes_to(0.86, seconds, accuracy) == pytest.approx(1.5)
    # The first time counts, not the second; a fall between epochs is not a way there.
    assert bench.minutes_to(0.91, seconds, accuracy) == pytest.approx(1 + 11 / 12)
    assert bench.minutes_to(0.94, seconds, accuracy) == pytest.approx(4 + 2 / 3)
    assert bench.minutes_to(0.96, seconds, accuracy) == 5
    assert bench.minutes_to(0.70, seconds, accuracy) == 1  # some time in the first epoch
    assert bench.minutes_to(0.97, seconds, accuracy) is None


def test_zoobots_view_of_a_picture():
    view = bench.zoobot_views()
    torch.manual_seed(0)
    white = torch.full((3, bench.WIDE, bench.WIDE), 255, dtype=torch.uint8)
    shown = torch.stack([view(white) for _ in range(40)])
    assert shown.shape == (40, 3, 64, 64)
    assert (float(shown.min()), float(shown.max())) == (0, 1)
    erased = 1 - shown[:, :, 16:48, 16:48].mean()  # no edge of the frame gets that far
    assert 0.005 < erased < 0.035  # five spots of 0.2 to 0.7 % each
    # A disk of 30 pixels is 1.2 to 1.4 times as large in 102, and 64 / 102 of that in 64, before
    # the shear, which stretches it.
    y, x = torch.meshgrid(*[torch.arange(bench.WIDE) - 50.5] * 2, indexing="ij")
    disk = ((x**2 + y**2 < 15**2) * 255).to(torch.uint8).expand(3, -1, -1)
    areas = torch.stack([view(disk) for _ in range(40)])[:, 0].sum(dim=(1, 2))
    smallest = torch.pi * (15 * 1.2 * 64 / 102) ** 2
    assert 0.9 * smallest < areas.median() < 1.8 * smallest


def test_zoobots_rates_fall_from_the_head_to_the_stem():
    net = backbone("efficientnet_b0", 5)
    groups = bench.zoobot_optimizer(net).param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert len(rates) == len(list(net.parameters())) == sum(len(g["params"]) for g in groups)
    blocks = [rates[id(block[0].conv_pw.weight)] for block in net.encoder.blocks[1:]]
    assert rates[id(net.head.weight)] == 1e-4
    assert rates[id(net.encoder.conv_stem.weight)] < blocks[0]
    assert blocks == sorted(set(blocks))
    # Neighbouring blocks of one stage are one layer apart.
    first, second = (rates[id(net.encoder.blocks[1][i].conv_pw.weight)] for i in (0, 1))
    assert first / second == pytest.approx(0.75)


def test_a_small_run_is_recorded_and_found_done(tmp_path, monkeypatch, one_thread, capsys):
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "data"))
    root = five_bright_classes(tmp_path / "root")
    file = tmp_path / "speed.json"
    command = ["--data-root", str(root), "--out", str(tmp_path / "out"), "--record", str(file)]
    command += ["--epochs", "2", "--minutes", "1e-6", "--only", "growing", "muon", "zoobot"]
    bench.main(command)
    rows = {row["recipe"]: row for row in json.loads(file.read_text("utf8"))["rows"]}
    assert list(rows) == ["muon", "growing", "zoobot"], "in the order of the ladder"
    # The rival's time is over after its first epoch.
    assert [row["epochs"] for row in rows.values()] == [2, 2, 1]
    for row in rows.values():
        ((seconds,), (accuracies,)) = row["epoch_cpu_seconds"], row["epoch_accuracy"]
        assert len(seconds) == len(accuracies) == row["epochs"]
        assert row["cpu_minutes"] == pytest.approx(sum(seconds) / 60)
        assert row["accuracy"][1] <= row["accuracy"][0] <= row["accuracy"][2]
        assert row["n_test"] == 6
    assert rows["muon"]["gain"] is None, "its rung was not asked for"
    for name, before in (("growing", "muon"), ("zoobot", "growing")):
        difference = rows[name]["accuracy"][0] - rows[before]["accuracy"][0]
        assert rows[name]["gain"][0] == pytest.approx(difference)
    printed = capsys.readouterr().out
    assert f"| zoobot | {bench.RIVALS['zoobot']} | 1 |" in printed
    (network,) = (tmp_path / "out" / "zoobot").glob("*/model.safetensors")
    assert load_checkpoint(network).preprocessing["views"] == 8
    assert facts_of(network)["parameters"] == rows["zoobot"]["parameters"]

    def again(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(bench, "fit", again)
    monkeypatch.setattr("galhelpers.learning.experiment.fit", again)
    recorded = file.read_bytes()
    bench.main(command)
    assert file.read_bytes() == recorded


def test_a_name_that_is_none_is_told_the_others(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--only", "fastest"])
    assert "zoobot_scratch" in capsys.readouterr().err
