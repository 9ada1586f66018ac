"""What notebook 09 defines on the page equals the package's."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from galhelpers.exercises import find
from galhelpers.learning import calibration
from galhelpers.learning.active import STRATEGIES, labels_saved, uncertainty
from galhelpers.learning.losses import vote_loss
from galhelpers.learning.posterior import Posterior, draw_fractions
from galhelpers.models.bayesian import HEADS
from galhelpers.published import load_published
from galhelpers.trees import DECALS, Question, Tree
from tests.notebooks.pages import ROOT, definitions

NAME = "09_honest_error_bars"


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    return Posterior(torch.from_numpy(rng.gamma(2, 3, (5, 60, DECALS.n_answers))), DECALS)


@pytest.fixture
def votes(posterior):
    rng = np.random.default_rng(1)
    shares = draw_fractions(posterior.alpha[0].numpy(), DECALS, rng)
    drawn = np.empty_like(shares)
    for part in DECALS.slices.values():
        people = rng.integers(0, 40, len(shares))
        drawn[:, part] = rng.multinomial(people, shares[:, part])
    return drawn


def test_the_pit_of_one_vote_is_the_packages(posterior, votes):
    one = definitions(NAME, "pit_of_one")["pit_of_one"]
    seed, column, start = 3, DECALS.index("bar_weak"), DECALS.slices["bar"].start
    theirs = calibration.pit_of_votes(posterior, votes, seed)[:, column]
    u = np.random.default_rng(seed).random(votes.shape)[:, column]
    people = votes[:, start : start + 3].sum(axis=1)
    asked = np.flatnonzero(people)
    ours = []
    for galaxy in asked:
        a = posterior.alpha[:, galaxy, column].numpy()
        b = posterior.total[:, galaxy, column].numpy() - a
        ours.append(one(a, b, votes[galaxy, column], people[galaxy], u[galaxy]))
    assert len(ours) > 30
    np.testing.assert_allclose(ours, theirs[asked], atol=1e-9)


def test_coverage_on_the_page_is_the_packages(posterior, votes):
    held = definitions(NAME, "held")["held"]
    pit = calibration.pit_of_votes(posterior, votes)
    theirs = calibration.coverage(pit, DECALS)
    for question, part in DECALS.slices.items():
        answers = pit[:, part] if part.stop - part.start > 2 else pit[:, part][:, :1]
        for level in (0.5, 0.9):
            assert held(answers, level) == pytest.approx(theirs.loc[question, level])


def test_the_factors_on_the_page_are_the_likeliest(posterior, votes):
    space = definitions(NAME, "factors", "likeliest_factors", tree=DECALS)
    wrong = posterior.scaled(np.full(DECALS.n_questions, 0.25))  # a quarter as sure as it should be
    found = space["likeliest_factors"](wrong, votes)
    grid = space["factors"]
    for number in range(DECALS.n_questions):

        def surprise(log_factor, number=number):
            every = np.full(DECALS.n_questions, np.exp(log_factor))
            return wrong.scaled(every).nll(votes)[:, number].sum()

        best = np.exp(minimize_scalar(surprise, bounds=(-3, 5), method="bounded").x)
        assert found[number] in grid
        assert abs(np.log2(found[number] / best)) < 0.5, "more than a step of the grid away"


def test_the_exercise_on_one_factor_asks_for_what_the_page_does():
    rng = np.random.default_rng(2)
    tree = Tree("one", (Question("bar", "?", ("yes", "no")),))
    share = rng.beta(1.5, 1.5, 400)
    a, b = 4 * share, 4 * (1 - share)
    people = np.full(400, 40)
    k = rng.binomial(people, rng.beta(3 * a, 3 * b))
    page = definitions(NAME, "factors", "likeliest_factors", tree=tree)
    single = Posterior(torch.tensor(np.stack([a, b], axis=1))[None], tree)
    (ours,) = page["likeliest_factors"](single, np.stack([k, people - k], axis=1))
    assert abs(np.log2(ours / find("09.2").reference(a, b, k, people))) <= 0.26


def test_relabelling_on_the_page_is_the_packages(posterior, votes):
    page = definitions(NAME, "relabel", "relabelled", tree=DECALS)
    known = calibration.pit_of_votes(posterior, votes, 0)
    new = calibration.pit_of_votes(posterior, votes, 1)
    theirs = calibration.Recalibration.fit(known, DECALS).apply(new)
    assert np.isnan(new).any()
    np.testing.assert_allclose(page["relabelled"](known, new), theirs)


def test_both_heads_begin_with_the_same_forecast():
    start_alike = definitions(NAME, "start_alike")["start_alike"]
    features = torch.randn(20, 16, generator=torch.Generator().manual_seed(0))
    for make in HEADS.values():
        head = start_alike(make(16, DECALS))
        said = head.activate(head.linear(features))
        torch.testing.assert_close(said, torch.full_like(said, 2.0), atol=2e-3, rtol=0)


def test_a_head_learns_by_the_loop_on_the_page():
    rng = np.random.default_rng(4)
    features = torch.tensor(rng.normal(size=(300, 8)), dtype=torch.float32)
    head = HEADS["mean_precision"](8, DECALS)
    truth = torch.softmax(features @ torch.randn(8, 3), dim=1).numpy()
    votes = torch.zeros(300, DECALS.n_answers)
    votes[:, :3] = torch.tensor(rng.multinomial(30, truth.astype(float) / truth.sum(1)[:, None]))
    given = {"features": features, "votes": votes, "tree": DECALS, "seed": 0}
    given |= {"known": np.arange(200), "test": np.arange(200, 300)}
    given["network"] = SimpleNamespace(model=SimpleNamespace(dropout=0.1))
    page = definitions(NAME, "say", "teach", "start_alike", **given)
    page["start_alike"](head)
    before = vote_loss(page["say"](head, given["test"]), votes[200:], DECALS).item()
    curve = page["teach"](head, epochs=10)
    assert len(curve) == 10
    assert curve[-1] < before - 0.5


def test_a_perfect_forecaster_is_right_as_often_as_counting_says():
    perfect = definitions(NAME, "perfect_agreement", seed=0)["perfect_agreement"]
    shares = np.repeat([[0.7, 0.3]], 4000, axis=0)
    # Three people: the commoner answer wins with three or two of them.
    assert perfect(shares, np.full(4000, 3)) == pytest.approx(0.7**3 + 3 * 0.49 * 0.3, abs=0.01)
    sure = np.repeat([[0.0, 1.0]], 10, axis=0)
    assert perfect(sure, np.full(10, 5)) == 1


def test_every_published_accuracy_stands_on_the_page():
    page = json.dumps(json.loads((ROOT / "notebooks" / f"{NAME}.ipynb").read_text("utf-8")))
    published = {n: v for n, v in load_published().items() if n.startswith("leach2022_")}
    assert len(published) == DECALS.n_questions
    for name in published:
        question = name.removeprefix("leach2022_").replace("_", "-")
        assert question in DECALS.slices
        assert f"{published[name].value:.3f}" in page


def test_the_recorded_runs_say_what_the_page_says():
    file = ROOT / "docs" / "results" / "active_learning.json"
    runs = json.loads(file.read_text("utf-8"))["runs"]
    assert [(run["galaxies"], run["question"]) for run in runs] == [
        (galaxies, question)
        for galaxies in ("simulated", "gz2_votes")
        for question in ("smooth-or-featured", "disk-edge-on")
    ]
    for run in runs:
        errors = {name: np.array(run["errors"][name]) for name in STRATEGIES}
        assert list(run["errors"]) == list(STRATEGIES)
        assert all(one.shape == (20, len(run["labels"])) for one in errors.values())
        gain = (errors["uncertainty"] - errors["bald"])[:, 1:].mean()
        divided = run["question"] == "smooth-or-featured"
        assert (gain > 0) == divided, "BALD is better where people are divided, else uncertainty"
        if divided:
            goal = errors["random"].mean(axis=0)[3]
            saved = labels_saved(errors["random"], errors["bald"], np.array(run["labels"]), goal)
            assert 0.14 < saved.value < 0.26
            assert saved.low < 0


def test_uncertainty_on_one_question_is_the_entropy_of_its_answers(posterior):
    from galhelpers.learning.active import one_question

    tree = one_question(DECALS, "bar")
    assert tree.n_questions == 1
    assert not tree.questions[0].parents
    one = Posterior(posterior.concentration[..., DECALS.slices["bar"]], tree)
    expected = one.mean
    np.testing.assert_allclose(
        uncertainty(one)[:, 0], -(expected * np.log(expected)).sum(axis=1), rtol=1e-9
    )
