"""A network is trained and scored, and what its card says is what was measured."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from galhelpers.learning import make_networks
from galhelpers.learning.checkpoint import load_checkpoint
from galhelpers.learning.make_networks import (
    card_of,
    judge,
    make_network,
    measures_of,
    splits_of,
)
from galhelpers.learning.metrics import bootstrap
from galhelpers.learning.networks import load_network
from galhelpers.learning.recipes import FEWEST_STEPS, NETWORKS, SMALL_RESNET, Network, recipe_for
from galhelpers.learning.samples import Labelled, Sample, read_sample
from galhelpers.models import build
from galhelpers.models.schemas import ARGUMENTS
from galhelpers.paths import checksum
from galhelpers.trees import GZ2
from tests.learning.bright_galaxies import NETWORK, TINY, five_bright_classes


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return five_bright_classes(tmp_path_factory.mktemp("bright"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GALHELPERS_DATA", str(tmp_path / "data"))
    # Ten simulated galaxies are enough here.
    monkeypatch.setattr(make_networks, "new_check", partial(make_networks.new_check, n=10))


def rows(made):
    """Truth and answers of all test parts."""
    parts = [np.load(Path(one["folder"]) / "test.npz") for one in made.results]
    return [np.concatenate([part[key] for part in parts]) for key in ("truth", "probabilities")]


def test_the_card_says_what_was_measured(root, tmp_path):
    made = make_network(NETWORK, root, tmp_path)
    truth, answers = rows(made)
    right = answers.argmax(axis=1) == truth
    card = card_of(NETWORK, made, "galhelpers train tiny")
    score = card.scores["accuracy"]
    expected = bootstrap(np.mean, right)
    assert next(iter(card.scores)) == "accuracy"
    assert [score.value, score.low, score.high] == pytest.approx(
        [expected.value, expected.low, expected.high], abs=1e-4
    )
    assert (score.part, score.n) == ("gz2_five_class, test", 6)
    assert score.how == "bootstrap of the test part"
    assert sum(map(sum, card.confusion)) == 6
    assert sum(card.confusion[i][i] for i in range(5)) == right.sum()
    assert (card.data.train, card.data.validation, card.data.test) == (48, 6, 6)
    assert card.sha256 == checksum(made.file)
    assert card.check.metric == "accuracy"
    assert (card.start, card.seed, card.licence[:3]) == ("nothing", 0, "MIT")
    assert card.cpu_minutes == pytest.approx(made.results[0]["cpu_seconds"] / 60, abs=0.051)
    # Done once, it is not done again.
    state = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.*")}
    assert make_network(NETWORK, root, tmp_path).file == made.file
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.*")} == state


def test_the_best_of_three_splits_by_validation_is_taken(root, tmp_path):
    made = make_network(replace(NETWORK, splits=3), root, tmp_path)
    quality = [sum(one["validation"][k] for k in ("accuracy", "macro_recall"))
               for one in made.results]  # fmt: skip
    best = made.results[int(np.argmax(quality))]
    assert made.file.parent == Path(best["folder"])
    (scores,) = made.scores
    found = scores.values["accuracy"]
    each = [one["accuracy"] for one in made.results]
    assert found.value == pytest.approx(np.mean(each))
    assert found.low < found.value < found.high
    assert (scores.how, found.n) == ("3 splits", 18)
    assert all(0 <= one.low <= one.high <= 1 for one in scores.values.values())
    card = card_of(replace(NETWORK, splits=3), made, "x")
    assert [one["accuracy"] for one in card.splits] == pytest.approx(each, abs=1e-4)
    assert card.seed == best["split"]


def test_cross_validation_scores_every_galaxy_once(root, tmp_path):
    network = replace(NETWORK, folds=2, recipe=replace(TINY, epochs=1))
    made = make_network(network, root, tmp_path)
    truth, _ = rows(made)
    assert np.bincount(truth).tolist() == [12] * 5
    (scores,) = made.scores
    assert (scores.how, scores.values["accuracy"].n) == ("2-fold cross-validation", 60)
    assert np.sum(scores.confusion) == 60


def test_another_survey_judges_and_comes_first(root, tmp_path):
    elsewhere = five_bright_classes(tmp_path / "elsewhere", 25)
    made = make_network(NETWORK, root, tmp_path / "out")
    other = judge(made.file, read_sample(NETWORK.samples[0], elsewhere))
    made.scores.append(other._replace(part="another survey"))
    card = card_of(NETWORK, made, "x")
    assert card.scores["accuracy"].part == "another survey"
    assert card.scores["accuracy"].n == np.sum(card.confusion) == 25
    assert card.scores["accuracy (gz2_five_class, test)"].n == 6


def test_it_learns_from_no_more_than_the_most(root):
    galaxies = read_sample(NETWORK.samples[0], root)
    (few,) = splits_of(replace(NETWORK, most=10), galaxies)
    (all_of_them,) = splits_of(NETWORK, galaxies)
    assert few.train.tolist() == all_of_them.train[:10].tolist()
    assert few.test.tolist() == all_of_them.test.tolist()


@pytest.mark.parametrize("answers", ["votes_gz2", "fractions"])
def test_votes_and_fractions_are_trained_and_scored(tmp_path, answers):
    votes = answers == "votes_gz2"
    arguments = {"tree": "gz2", "encoder": "small"} if votes else {"name": "small_resnet"}
    recipe = replace(
        TINY, architecture="vote_net" if votes else "fraction_net",
        arguments=arguments | {"widths": (4, 4)}, epochs=1,
    )  # fmt: skip
    sample = Sample("simulated", answers, n=40, seed=5, frame=32)
    network = replace(NETWORK, recipe=recipe, samples=(sample,))
    made = make_network(network, None, tmp_path)
    (scores,) = made.scores
    card = card_of(network, made, "x")
    assert (card.task, card.classes) == ("votes" if votes else "fractions", "gz2")
    truth, answers = rows(made)
    error = np.sqrt(np.mean((truth - answers) ** 2))
    assert scores.values["share_rmse" if votes else "rmse"].value == pytest.approx(error)
    constant = np.sqrt(np.mean((truth - truth.mean(axis=0)) ** 2))
    name = "share_rmse_constant" if votes else "rmse_constant"
    assert scores.values[name].value == pytest.approx(constant)
    assert ("weights" in load_checkpoint(made.file).preprocessing) == votes
    assert card.check.metric == ("nats" if votes else "RMSE")
    assert next(iter(card.scores)) == ("nats" if votes else "rmse")


def test_forecasts_of_votes_that_come_with_the_course_are_calibrated():
    for name in ("start", "votes_decals", "votes_gz2"):
        given = load_network(name).preprocessing
        assert np.sum(given["weights"], axis=0) == pytest.approx(1)
        assert max(given["factors"]) > 1 > min(given["factors"])


def test_bars_are_scored_where_people_were_asked():
    bar = GZ2.slices["bar"]
    votes, shares = np.zeros((2, 4, GZ2.n_answers))
    votes[:, bar] = [[9, 3], [2, 11], [8, 5], [3, 1]]  # the last: too few to count
    shares[:, bar] = [[0.2, 0.1], [0.3, 0.1], [0.4, 0.1], [0.0, 0.1]]
    galaxies = Labelled("x", np.array([]), [], torch.zeros(0), (), "votes", "gz2")
    measures = measures_of(galaxies)
    arrays = {"votes": votes, "probabilities": shares}
    assert measures["bar_accuracy"](arrays) == pytest.approx(2 / 3)
    assert measures["bar_majority"](arrays) == pytest.approx(2 / 3)


def test_another_number_of_galaxies_changes_the_batch_and_the_epochs():
    few = recipe_for(SMALL_RESNET, "mine", 140, 3)
    steps = few.epochs * -(-140 // few.batch_size)
    assert few.batch_size == 16  # nine batches, of 16 and one of 12
    assert FEWEST_STEPS <= steps < FEWEST_STEPS + 9
    assert few.learning_rate == pytest.approx(SMALL_RESNET.learning_rate * (16 / 64) ** 0.5)
    assert few.arguments["outputs"] == 3
    many = recipe_for(SMALL_RESNET, "mine", 19_200, 3)
    assert many == SMALL_RESNET.but("mine", arguments={"outputs": 3})
    assert recipe_for(SMALL_RESNET, "mine", 17, 2).batch_size == 6  # not 8, 8 and 1
    assert recipe_for(SMALL_RESNET, "mine", 6, 2).batch_size == 6
    for n in (*range(6, 700), 6401):  # 57 in eights would leave one
        size = recipe_for(SMALL_RESNET, "mine", n, 2).batch_size
        assert size / 2 <= (n % size or size)
        assert 5 <= size <= 68


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_course_can_be_built(name):
    network = NETWORKS[name]
    recipe = network.recipe
    build(recipe.architecture, **recipe.arguments)
    json.dumps(recipe.arguments)
    assert recipe.crop * recipe.margin <= 1
    names = list(NETWORKS)
    assert not network.start or names.index(network.start) < names.index(name)
    assert network.credit
    assert network.not_for
    task = ARGUMENTS[recipe.architecture].task
    of = {"votes": "votes", "fractions": "fractions"}
    assert all(one.answers.startswith(of.get(task, "")) for one in network.samples)
    assert all(file_words(one) for one in (network.answers, *network.not_for))


def file_words(sentence):
    return sentence[0].isupper() and sentence.endswith(".")


def test_splits_and_folds_exclude_each_other():
    with pytest.raises(ValueError, match="got 3 and 5"):
        Network("", TINY, (), splits=3, folds=5)


def test_the_network_is_one_of_16_bits(root, tmp_path):
    made = make_network(replace(NETWORK, recipe=replace(TINY, epochs=1)), root, tmp_path)
    size = made.file.stat().st_size
    network = replace(NETWORK, recipe=replace(TINY, epochs=1, half=False))
    whole = make_network(network, root, tmp_path)
    assert size < 0.75 * whole.file.stat().st_size
    assert load_checkpoint(made.file).provenance["dataset"] == "gz2_five_class"
