import io
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from galhelpers.data.augment import Augment
from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.galaxies import GalaxySet
from galhelpers.learning import experiment, training
from galhelpers.learning.checkpoint import load_checkpoint
from galhelpers.learning.experiment import (
    GrowingViews,
    Recipe,
    Split,
    best_power,
    folds,
    keep_first,
    run,
    score,
    stratified_splits,
    table,
)
from galhelpers.learning.recipes import ABLATION, PUBLISHED, RECIPES
from galhelpers.models import build, gupta_resnet

TINY = Recipe(
    "tiny, a b", "small_resnet", {"widths": (8, 8), "blocks": 1, "dropout": 0.0}, size=16,
    epochs=3, batch_size=16, learning_rate=0.01, optimizer="adamw", schedule="one_cycle",
)  # fmt: skip


@pytest.fixture
def galaxies(tmp_path, monkeypatch):
    """Sixty pictures whose brightness tells their class."""
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "data"))
    rng = np.random.default_rng(0)
    class_id = np.arange(60) % 5
    files = []
    for number, k in enumerate(class_id):
        pixels = rng.integers(0, 100, (16, 16, 3)) + 38 * k
        files.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(files[-1])
    names = np.array(FIVE_CLASSES)[class_id]
    catalog = pd.DataFrame({"id": [f"g{i}" for i in range(60)], "file": [str(f) for f in files]})
    return GalaxySet("bright", catalog.assign(class_id=class_id, class_name=names))


def split_of(galaxies):
    return stratified_splits(galaxies.catalog["class_id"].to_numpy(), test=0.25, validation=0.25)


def weights(result):
    return load_checkpoint(Path(result["folder"]) / "model.safetensors").model.state_dict()


def test_splits_are_disjoint_complete_and_stratified():
    class_id = np.repeat(np.arange(5), [400, 300, 20, 100, 180])
    splits = stratified_splits(class_id, n=10, seed=3)
    assert len(splits) == 10
    for split in splits:
        rows = np.concatenate([split.train, split.validation, split.test])
        assert np.array_equal(np.sort(rows), np.arange(1000))
        assert (len(split.test), len(split.validation)) == (100, 90)
        counts = np.bincount(class_id[split.test], minlength=5)
        assert np.abs(counts - [40, 30, 2, 10, 18]).max() <= 1
    assert len({tuple(np.sort(split.test)) for split in splits}) == 10
    again = stratified_splits(class_id, n=10, seed=3)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(splits, again, strict=True))
    assert not np.array_equal(splits[0].test, stratified_splits(class_id, 1, seed=4)[0].test)


def test_folds_test_each_galaxy_once_and_never_learn_from_it():
    class_id = np.repeat([0, 1, 2], [60, 30, 10])
    parts = folds(class_id, 5, seed=1)
    assert np.array_equal(np.sort(np.concatenate([one.test for one in parts])), np.arange(100))
    for number, one in enumerate(parts):
        rows = np.concatenate([one.train, one.validation, one.test])
        assert np.array_equal(np.sort(rows), np.arange(100))
        assert np.bincount(class_id[one.test]).tolist() == [12, 6, 2]
        assert (one.number, len(one.validation)) == (number, 12)
    assert not np.array_equal(parts[0].test, folds(class_id, 5, seed=2)[0].test)


def test_views_grow_and_show_the_same(augment_of_sixteen):
    views = GrowingViews(augment_of_sixteen, ((0.25, 4), (0.5, 8)), steps=8)
    assert [views.side(step) for step in range(9)] == [4, 4, 8, 8, 8, 8, 16, 16, 16]
    batch = torch.randint(0, 256, (3, 3, 20, 20), dtype=torch.uint8)
    for step in (0, 3, 7):
        side, whole = views.side(step), augment_of_sixteen(batch, step)
        small = views(batch, step)
        assert small.shape == (3, 3, side, side)
        # Each pixel of a small view is near the mean of those that it stands for.
        means = torch.nn.functional.avg_pool2d(whole, 16 // side)
        assert (small - means).abs().mean() < 0.4 * whole.std()
        assert small.mean() == pytest.approx(float(whole.mean()), abs=0.02)


@pytest.fixture
def augment_of_sixteen():
    return Augment(16, noise=0.0)


def test_a_bar_moves_by_what_steps_cost_and_forgets_earlier_sessions(galaxies):
    recipe = TINY.but("grows", sizes=((0.5, 8),))
    split = split_of(galaxies)[0]
    cost = experiment._costs(recipe, split)
    steps = 3 * -(-len(split.train) // 16)
    assert len(cost) == steps + 1
    assert (steps, cost[-1]) == (9, 5 * 8**2 + 4 * 16**2)
    with experiment.tqdm(total=cost[-1], file=io.StringIO(), disable=False) as bar:
        told = experiment._follow(bar, cost)
        told(4)  # done before
        assert bar.n == bar.initial == cost[4]
        told(5)
        assert (bar.n, bar.initial) == (cost[5], cost[4])


def test_a_recipe_is_trained_scored_and_saved(galaxies, tmp_path):
    split = split_of(galaxies)[0]
    (result,) = run(TINY, galaxies, [split], tmp_path / "out")
    place = Path(result["folder"])
    assert place.parent == tmp_path / "out" / "tiny_a_b"
    assert place.name == f"split_00-{result['fingerprint']}"
    assert sorted(file.name for file in place.iterdir()) == [
        "model.safetensors", "result.json", "test.npz",
    ]  # fmt: skip
    saved = np.load(place / "test.npz")
    truth = galaxies.catalog["class_id"].to_numpy()[split.test]
    assert np.array_equal(saved["truth"], truth)
    assert saved["id"].tolist() == galaxies.catalog["id"].iloc[split.test].tolist()
    assert saved["probabilities"].sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert result["accuracy"] == np.mean(saved["probabilities"].argmax(axis=1) == truth)
    assert np.sum(result["confusion"]) == len(split.test) == result["n_test"]
    model = build("small_resnet", **TINY.arguments)
    assert result["parameters"] == sum(p.numel() for p in model.parameters())
    assert len(result["validation_loss"]) == result["epochs"] == 3
    assert result["best_epoch"] == int(np.argmin(result["validation_loss"])) + 1


def test_a_finished_split_is_not_trained_again_and_a_changed_recipe_is(
    galaxies, tmp_path, monkeypatch
):
    split = split_of(galaxies)[0]
    (first,) = run(TINY, galaxies, [split], tmp_path)
    real, calls = experiment.fit, []
    monkeypatch.setattr(experiment, "fit", lambda *a, **k: calls.append(1) or real(*a, **k))
    (again,) = run(TINY, galaxies, [split], tmp_path)
    assert calls == []
    assert again == first
    (other,) = run(TINY.but(TINY.name, learning_rate=0.02), galaxies, [split], tmp_path)
    assert calls == [1]
    assert other["folder"] != first["folder"]  # the first is still there
    assert run(TINY, galaxies, [split], tmp_path) == [first]
    assert calls == [1]
    place = Path(first["folder"])
    for name in ("result.json", "model.safetensors", "test.npz"):
        whole = (place / name).read_bytes()
        fewer = whole.replace(b"validation", b"invalidation")
        for damage in (b"", b"{ damaged", b"[1, 2]", whole[:-1] + b"?", fewer + b" "):
            (place / name).write_bytes(damage)
            calls.clear()
            assert run(TINY, galaxies, [split], tmp_path)[0]["confusion"] == first["confusion"]
            assert calls == [1]
        (place / name).unlink()
        run(TINY, galaxies, [split], tmp_path)
        assert calls == [1, 1]


def test_an_interrupted_training_goes_on_to_the_same_network(galaxies, tmp_path, monkeypatch):
    split = split_of(galaxies)[0]
    (whole,) = run(TINY, galaxies, [split], tmp_path / "whole")

    save = training._Run.save

    def save_and_stop(state, file):
        save(state, file)
        if len(state.history.validation_loss) == 2:  # epochs done
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "save", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        run(TINY, galaxies, [split], tmp_path / "cut")
    (place,) = (tmp_path / "cut" / "tiny_a_b").glob("split_*")
    (state,) = place.iterdir()
    saved = torch.load(io.BytesIO(state.read_bytes()[len(training._MARK) + 64 :]))
    seconds = saved["history"]["cpu_seconds"]
    assert (state.suffix, len(seconds), min(seconds) > 0) == (".pt", 2, True)
    monkeypatch.undo()
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "data"))
    (resumed,) = run(TINY, galaxies, [split], tmp_path / "cut")
    assert [file for file in place.iterdir() if file.suffix == ".pt"] == []
    assert resumed["confusion"] == whole["confusion"]
    # Two of the three epochs were trained by the session that was stopped.
    assert resumed["epoch_cpu_seconds"][:2] == seconds
    assert sum(resumed["epoch_cpu_seconds"]) < resumed["cpu_seconds"]
    assert resumed["epoch_accuracy"] == whole["epoch_accuracy"]
    for one, other in zip(weights(whole).values(), weights(resumed).values(), strict=True):
        assert torch.equal(one, other)


def test_labels_of_the_test_part_change_the_score_and_nothing_else(galaxies, tmp_path):
    split = split_of(galaxies)[0]
    recipe = TINY.but("x", rebalance=True, average=0.9)
    (honest,) = run(recipe, galaxies, [split], tmp_path / "a")
    catalog = galaxies.catalog.copy()
    catalog.loc[split.test, "class_id"] = (catalog.loc[split.test, "class_id"] + 1) % 5
    (other,) = run(recipe, GalaxySet("bright", catalog), [split], tmp_path / "b")
    assert other["confusion"] != honest["confusion"]
    assert other["power"] == honest["power"]
    for one, two in zip(weights(honest).values(), weights(other).values(), strict=True):
        assert torch.equal(one, two)


def test_the_ode_networks_count_their_evaluations(galaxies, tmp_path):
    recipe = Recipe("n", "gupta_node", {"mode": "steps"}, size=32, epochs=1, batch_size=16)
    pictures = galaxies.select(np.arange(20))
    split = Split(0, np.arange(10), np.arange(10, 15), np.arange(15, 20))
    (result,) = run(recipe, pictures, [split], tmp_path)
    forward, backward = result["evaluations"]
    assert forward > backward > 0
    assert result["parameters"] == 209_162
    model = load_checkpoint(Path(result["folder"]) / "model.safetensors").model
    assert model.head.out_features == 5


def test_cutting_outputs_keeps_the_others():
    model, x = gupta_resnet(blocks=1), torch.rand(3, 3, 32, 32)
    before = model(x)
    keep_first(model, 5)
    torch.testing.assert_close(model(x), before[:, :5])


def test_the_power_that_helps_a_rare_class():
    truth = np.repeat([0, 1], [90, 10])
    shares = np.array([0.9, 0.1])
    scores = np.tile([0.95, 0.05], (100, 1))
    scores[truth == 1] = [0.6, 0.4]  # known for what they are, but outvoted by the share
    power = best_power(scores, truth, shares)
    assert score(scores, truth)["recall"][1] == 0
    assert score(scores / shares**power, truth)["recall"][:2] == [1, 1]
    assert best_power(np.eye(2)[truth], truth, shares) == 0


def test_score_by_hand():
    probabilities = np.eye(5)[[0, 1, 1, 4]]
    result = score(probabilities, np.array([0, 0, 1, 4]))
    assert result["accuracy"] == 0.75
    assert result["recall"][0] == 0.5
    assert np.isnan(result["recall"][2])
    assert result["macro_recall"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert result["confusion"][0] == [1, 1, 0, 0, 0]


def test_table_has_a_row_for_each_recipe():
    rows = [
        {"recipe": r, "accuracy": a, "macro_recall": a, "cpu_seconds": 1.0}
        for r, a in (("b", 0.5), ("b", 0.7), ("a", 0.1))
    ]
    frame = table(rows)
    assert list(frame.index) == ["b", "a"]
    assert frame.loc["b", ("accuracy", "mean")] == pytest.approx(0.6)
    assert frame.loc["b", ("splits", "n")] == 2


def test_recipes_build_and_say_what_they_are():
    assert len(RECIPES) == len({recipe.name for recipe in RECIPES.values()})
    for recipe in RECIPES.values():
        build(recipe.architecture, **recipe.arguments)
        assert recipe.crop * recipe.margin <= 1
        json.dumps(recipe.arguments)
    assert [recipe.name for recipe in PUBLISHED] == ["ResNet", "NODE", "NODE_ACA"]
    for before, after in pairwise(ABLATION):
        assert before != after
    assert {(r.learning_rate, r.batch_size, r.epochs) for r in PUBLISHED} == {(0.1, 256, 690)}
