"""Every exercise: the solution passes, each typical wrong answer gets its own diagnosis."""

import contextlib
import copy
import io
import itertools
import queue
import re
import subprocess
import sys
import time
from importlib import import_module

import numpy as np
import pytest
import torch
from jupyter_client.manager import KernelManager
from scipy.special import betainc, betaincinv
from scipy.stats import beta, betabinom
from scipy.stats import t as student

from galhelpers.exercises import MODULES, all_exercises, find, n02_split
from galhelpers.exercises.exercise import Exercise
from galhelpers.exercises.n07_reading_a_paper import CLASS_SIZES, N_TEST, TABLES
from galhelpers.exercises.n09_committee import COMMITTEE
from galhelpers.exercises.n10_many_gpus import EPOCHS, GPUS, SECONDS
from galhelpers.exercises.n10_self_training import _two_networks
from galhelpers.learning import metrics
from galhelpers.learning.fine_tuning import freeze
from galhelpers.learning.losses import dirichlet_multinomial_nll
from galhelpers.learning.posterior import Posterior
from galhelpers.models.backbones import backbone
from galhelpers.ode import odeint
from galhelpers.ode.methods import TABLEAUS, change_of_step
from galhelpers.published import load_published
from galhelpers.survey.appearance import COLUMNS, auc, real_appearance
from galhelpers.trees import DECALS, GZ2, Question, Tree
from tests.exercises.n02_real_or_simulated import auc_by_ranks
from tests.exercises.n08_likelihoods import binomial_by_scipy
from tests.learning.exact import bald_of_two

EXERCISES = [one for one in all_exercises() if isinstance(one, Exercise)]
ANSWERS = [import_module(f"tests.exercises.{name}") for name in MODULES]
WRONG = {number: answers for module in ANSWERS for number, answers in module.WRONG.items()}
RIGHT = {number: answers for module in ANSWERS for number, answers in module.RIGHT.items()}
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)


def printed(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        function(*arguments)
    return out.getvalue().rstrip("\n")


def named(function):
    """Find an exercise by its function: numbers move, when a unit gets another exercise."""
    return next(one for one in EXERCISES if one.name == function)


def from_source(source, name):
    namespace = {"np": np, "torch": torch}
    exec(source, namespace)
    return namespace[name]


def test_which_exercises_there_are():
    numbers = [tuple(map(int, e.id.split("."))) for e in all_exercises()]
    assert numbers == sorted(set(numbers))
    for unit in {unit for unit, _ in numbers}:
        places = [place for one, place in numbers if one == unit]
        assert places == [*range(1, len(places) + 1)], f"unit {unit:02d}"
    assert len({e.title for e in all_exercises()}) == len(numbers)
    assert sorted(WRONG) == sorted(e.id for e in EXERCISES)


def test_a_number_loads_the_files_of_its_notebook_only():
    code = (
        "import sys; from galhelpers.exercises import find; find('10.6'); "
        "print(*sorted(n[:3] for m in sys.modules if (n := m.partition('exercises.n')[2])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"10_"}


@each
def test_the_reference_passes(exercise):
    assert printed(exercise.check, exercise.reference) == f"Correct. {exercise.lesson}"


@each
def test_the_printed_solution_can_be_pasted_and_passes(exercise):
    source = printed(exercise.solution)
    assert source.startswith(exercise.stub.split('"""')[0])
    assert exercise.verdict(from_source(source, exercise.name)).status == "correct"


@pytest.mark.parametrize(("number", "name"), [(i, name) for i in WRONG for name in WRONG[i]])
def test_each_wrong_answer_gets_the_diagnosis_of_its_mistake(number, name):
    exercise = find(number)
    answer, fragment = WRONG[number][name]
    line = printed(exercise.check, answer)
    assert line.startswith("Not yet: ")
    assert fragment in line
    assert "\n" not in line
    assert len(line) < 500
    assert "could not be checked" not in line


@each
def test_the_untouched_stub_is_not_attempted(exercise):
    answer = from_source(exercise.stub, exercise.name)
    line = printed(exercise.check, answer)
    assert line.startswith("Not attempted yet. ")
    assert f'exercise("{exercise.id}").hint()' in line
    assert "\n" not in line
    assert printed(exercise.check, ...).startswith("Not attempted yet. ")


@each
def test_texts(exercise):
    assert 60 <= len(exercise.question.split()) <= 190
    assert f"`{exercise.name}(" in exercise.markdown or f"`{exercise.name}`" in exercise.markdown
    assert len(WRONG[exercise.id]) >= 4
    assert 2 <= len(exercise.hints) <= 4
    assert exercise.stub.startswith(f"def {exercise.name}(")
    assert exercise.lesson.endswith((".", "?"))
    assert exercise.cell.endswith(f'exercise("{exercise.id}").check({exercise.name})')
    assert exercise.markdown.startswith(f"### Exercise {exercise.id}: ")


@each
def test_hints_end(exercise):
    fresh = copy.copy(exercise)
    fresh._hinted = 0
    lines = [printed(fresh.hint) for _ in range(len(exercise.hints) + 1)]
    for i, hint in enumerate(exercise.hints):
        words = f"Hint {i + 1} of {len(exercise.hints)}: {hint}"
        assert lines[i].split() == words.split()
    assert "no further hints" in lines[-1]


# What a function may give in place of numbers. Generators and errors are no check's affair:
# test_exercise.py asks about them once.
STRANGE = [
    itertools.count(),
    "text",
    (itertools.count(),) * 2,
    [None] * 4,
    {},
    float("nan"),
    torch.zeros(2, requires_grad=True),
    lambda *more: itertools.count(),
]


@each
def test_strange_answers_get_one_line_from_every_check(exercise):
    for value in STRANGE:
        line = printed(exercise.check, lambda *inputs, value=value: value)
        assert line.startswith("Not yet: "), value
        assert "\n" not in line, value
        assert "could not be checked" not in line, value


@each
def test_a_reference_that_spoils_its_inputs_and_seeds_still_passes_and_harms_nothing(exercise):
    if exercise.id == "06.1":
        pytest.skip("its question forbids what is tried here")

    def spoiling(*inputs):
        answer = exercise.reference(*inputs)
        for value in inputs:
            if isinstance(value, np.ndarray):
                value[...] = 0
            elif isinstance(value, list):
                value.clear()
        np.random.seed(0)
        return answer

    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    first, again = exercise.verdict(spoiling), exercise.verdict(spoiling)
    assert first.status == again.status == "correct"
    assert np.random.random() == expected


@pytest.mark.parametrize(("number", "answer"), [(i, f) for i in RIGHT for f in RIGHT[i]])
def test_other_right_answers_pass(number, answer):
    assert printed(find(number).check, answer).startswith("Correct. ")


def test_a_slow_answer_is_asked_less_often_and_told_so(monkeypatch):
    monkeypatch.setattr(n02_split, "AT_MOST_S", 0.5)

    def answer(galaxy_id, seed):
        time.sleep(0.001)
        return n02_split.part_of(galaxy_id, seed)

    line = printed(named("part_of").check, answer)
    assert line.startswith("Correct. ")
    assert re.search(r"takes 1\.\d+ ms a call, so it was asked \d+ times instead of 21000", line)


def test_the_hash_of_numbers_is_not_mistaken_for_a_salted_one():
    answer = lambda galaxy_id, seed: "test" if hash((int(galaxy_id), seed)) % 5 == 0 else "train"  # noqa: E731
    assert "another Python process" not in printed(named("part_of").check, answer)


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        # Ranks in the order of a sort: ties go to whoever comes first.
        (lambda r, s: auc_by_ranks(r + 1e-9 * np.arange(len(r)), s), "Try it by hand"),
        (
            lambda r, s: (np.nanmean(s) - np.nanmean(r)) / np.nanstd(np.append(r, s)),
            "a difference of means",
        ),
        (lambda r, s: named("auc").reference(r, s[~np.isnan(s)][:9]), "Try it by hand"),
        (lambda r, s: named("auc").reference(r[~np.isnan(r)], np.nan_to_num(s)), "without those"),
        (
            lambda r, s: named("auc").reference(r, s) if len(r) > 11 else 0.5,
            "you give 0.5, not",
        ),
        (
            lambda r, s: named("auc").reference(r, s) + 1e-3 * (np.nanmax(r) > 6),
            "no value overtook another",
        ),
        (lambda r, s: ["one", "number"], "expected one number"),
        (lambda r, s: s > 1 if np.isnan(s).any() else named("auc").reference(r, s), "shape (15,)"),
    ],
)
def test_other_wrong_answers_about_the_auc_are_told_apart(answer, fragment):
    assert fragment in printed(named("auc").check, answer)


def test_the_auc_of_the_course_is_that_of_the_exercise():
    real = real_appearance()
    odd, even = real[1::2], real[::2].copy()
    even.loc[even.index[:5], "r50"] = np.nan
    answer = named("auc").reference
    for name in COLUMNS:
        one, other = odd[name].to_numpy(), even[name].to_numpy()
        assert answer(one, other) == pytest.approx(auc(one, other), abs=1e-12)


@pytest.mark.parametrize(
    ("number", "answer", "fragment"),
    [
        ("06.1", lambda f, y0, n: f(0, y0) and 2 + 1.5 / np.e, "you asked f 1 times"),
        ("06.1", lambda f, y0, n: float(find("06.1").reference(f, y0, n).sum()), "raised Attr"),
        (
            "06.1",
            lambda f, y0, n: (
                find("06.1").reference(f, y0, n)
                if isinstance(y0, float)
                else find("06.1").reference(f, y0, n).sum()
            ),
            "Which shape has a state",
        ),
        ("06.4", lambda f, t, y, h: find("06.4").reference(f, t + h, y, -h), "at the beginning"),
        ("06.4", lambda f, t, y, h: (y + h * f(t + h, y + h * f(t, y)), y), "the mean of k1 and"),
        (
            "06.4",
            lambda f, t, y, h: (find("06.4").reference(f, t, y, h)[0], y),
            "new minus (y + h k1)",
        ),
        ("06.5", lambda h, error, tolerance, order: h / 3, "Which step has a quarter"),
        (
            "07.4",
            lambda k, z0, steps: (find("07.4").reference(k, z0, steps)[0], 1.0),
            "as the dL/dk",
        ),
        (
            "07.4",  # needs no states, but divides by the factor that takes one to 0
            lambda k, z0, steps: (
                find("07.4").reference(k, z0, steps)[0],
                find("07.4").reference(k, z0, steps)[0] * z0 * sum(h / (1 + h * k) for h in steps),
            ),
            "(the first makes z 0)",
        ),
        ("07.3", lambda rows, *others: rows, "where 0.6245 is right"),
    ],
)
def test_other_wrong_answers_of_notebook_05_get_a_line(number, answer, fragment):
    assert fragment in printed(find(number).check, answer)


def test_the_solvers_of_the_course_are_those_of_the_exercises():
    names = ("euler_chain", "heun_step", "next_step", "aca_gradient")
    chain, heun, longer, back = (named(name).reference for name in names)
    slope = lambda t, y: torch.sin(3 * t + y)  # noqa: E731
    y = torch.tensor([0.3, -1.0], dtype=torch.float64)
    moment = torch.tensor(0.0, dtype=torch.float64)

    solved = odeint(slope, y, [0.0, 1.0], gradient="direct", method="euler", step_size=0.25)[-1]
    torch.testing.assert_close(chain(lambda t, y: slope(moment + t, y), y, 4), solved)

    table, h = TABLEAUS["adaptive_heun"], 0.2
    first = slope(moment, y)
    second = slope(moment + table.c[0] * h, y + h * table.a[0][0] * first)
    new, error = heun(slope, moment, y, h)
    torch.testing.assert_close(new, y + h * (table.b[0] * first + table.b[1] * second))
    torch.testing.assert_close(error, h * (table.e[0] * first + table.e[1] * second))

    for order in (1, 2, 3, 5):
        for ratio in (0.0, 1e-9, 0.01, 0.5, 0.99, 1.0, 1.01, 7.0, 1e6, np.inf):
            assert longer(0.3, ratio, 1.0, order) == pytest.approx(
                0.3 * change_of_step(ratio, order)
            )

    k = torch.tensor(-1.3, dtype=torch.float64, requires_grad=True)
    z0 = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    settings = {"gradient": "aca", "method": "euler", "step_size": 0.25, "params": [k]}
    (odeint(lambda t, z: k * z, z0, [0.0, 1.0], **settings)[-1] ** 2).backward()
    assert back(-1.3, 0.8, [0.25] * 4) == pytest.approx((z0.grad.item(), k.grad.item()))


def test_the_tables_of_unit_07_are_those_of_the_paper():
    paper, answer = load_published(), named("overall_and_macro").reference
    for name, table in TABLES.items():
        overall, macro = answer(np.array(table))
        key = f"gupta2022_{name.lower()}"
        assert overall == pytest.approx(paper[key].value, abs=5e-5)
        assert np.sum(table) == paper[key].n
        assert macro == pytest.approx(paper[f"{key}_macro"].value, abs=5e-4)
        measured = metrics.per_class(np.array(table), list("abcde"))
        assert macro == pytest.approx(measured["recall"].iloc[-1])
    assert [*CLASS_SIZES] == [
        paper[f"five_class_n_{name}"].value
        for name in ("round", "in_between", "cigar", "edge_on", "spiral")
    ]
    assert round(CLASS_SIZES.sum() / 10) == N_TEST


def test_random_splits_are_no_surprise_and_the_paper_is_one():
    surprise, rng = named("surprise").reference, np.random.default_rng(0)
    drawn = rng.multivariate_hypergeometric(CLASS_SIZES, N_TEST, (4000, 10))
    found = np.array([surprise(one.mean(axis=0), CLASS_SIZES, N_TEST, 10) for one in drawn])
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(found.std(axis=0), 1, atol=4 / np.sqrt(2 * 4000))
    rows = np.sum(TABLES["NODE"], axis=1)
    most = [abs(surprise(rows, CLASS_SIZES, rows.sum(), n)).max().round(1) for n in (10, 1)]
    assert most == [5.5, 1.7]
    assert "5.5" in named("surprise").lesson
    assert "1.7" in named("surprise").lesson


@pytest.mark.parametrize(
    ("number", "answer", "fragment"),
    [
        ("08.4", lambda k, n, rho: -np.log(rho), "two people"),
        ("08.4", lambda k, n, rho: find("08.4").reference(k, n, rho) + 0.01 * (n == 12), "kept"),
        ("08.4", lambda k, n, rho: np.nan_to_num(binomial_by_scipy(k, n, rho)), "please the log"),
        ("08.4", lambda k, n, rho: find("08.4").reference(k, n, rho) + (rho == 1), "else could"),
        ("08.1", lambda k, n, a, b: -betabinom.logpmf(k, n, a, b), "whole votes only"),
        ("08.1", lambda k, n, a, b: -np.log(a), "one vote"),
        (
            "08.1",
            lambda k, n, a, b: find("08.1").reference(k, n, a, b) + (n == 9),
            "where 0.9029 is right",
        ),
        ("09.4", lambda a, b, level: beta.interval(level, a, b), "ndarray of shape (5,)"),
        ("09.4", lambda a, b, level: (np.nan, np.nan), "comes from 0 / 0"),
        ("09.3", lambda a, b, n: np.log(len(a)) * (n > 0), "where 0.4489 is right"),
        (
            "09.3",
            lambda a, b, n: find("09.3").reference(a, b, n) + 0.1 * (a == a[0]).all(),
            "among",
        ),
    ],
)
def test_other_wrong_answers_of_notebook_06_get_a_line(number, answer, fragment):
    assert fragment in printed(find(number).check, answer)


def test_likelihoods_of_votes_are_probabilities_and_those_of_the_course():
    binomial, averaged = find("08.4").reference, find("08.1").reference
    rng = np.random.default_rng(62)
    for _ in range(20):
        n, (a, b) = int(rng.integers(1, 60)), rng.gamma(1, 5, 2)
        k = np.arange(n + 1)
        assert np.exp(-averaged(k, n, a, b)).sum() == pytest.approx(1)
        fraction, rho = k[1:-1] / n, rng.random()
        assert np.exp(-binomial(k, n, rho)).sum() == pytest.approx(1)
        cross = -fraction * np.log(rho) - (1 - fraction) * np.log(1 - rho)
        rest = binomial(k[1:-1], n, rho) - n * cross  # knows no rho
        np.testing.assert_allclose(rest, binomial(k[1:-1], n, 0.5) - n * np.log(2), atol=1e-9)
        np.testing.assert_allclose(averaged(k, n, 1.0, 1.0), np.log(n + 1))
        sure = averaged(k, n, 1e7 * rho, 1e7 * (1 - rho))
        np.testing.assert_allclose(sure, binomial(k, n, rho), rtol=1e-3, atol=1e-3)
    assert averaged(0, 0, 0.3, 40.0) == 0

    votes, alpha = rng.gamma(1, 9, (50, 2)), rng.gamma(1, 9, (50, 2))  # weighted votes
    tree = Tree("two", (Question("bar", "?", ("yes", "no")),))
    course = dirichlet_multinomial_nll(torch.from_numpy(alpha), torch.from_numpy(votes), tree)
    found = averaged(votes[:, 0], votes.sum(axis=1), *alpha.T)
    np.testing.assert_allclose(found, course[:, 0].numpy(), atol=1e-9)


def test_the_scores_of_the_course_are_those_of_the_exercises():
    rng = np.random.default_rng(63)
    share = rng.dirichlet(np.ones(DECALS.n_answers), 300)
    people = rng.integers(0, 30, 300)
    votes = rng.multinomial(people, share).astype(float)
    table = metrics.by_question(share, votes, DECALS, at_least=5, resamples=2)
    for question, columns in DECALS.slices.items():
        part = votes[:, columns]
        accuracy = find("09.7").reference(share[:, columns], part, 5)
        assert accuracy == pytest.approx(table.loc[question, "accuracy"])
        floor = find("09.6").reference(part[part.sum(axis=1) >= 5])
        assert floor == pytest.approx(table.loc[question, "noise"])


def test_the_noise_floor_is_what_somebody_who_knows_the_true_shares_reaches():
    rng = np.random.default_rng(64)
    share = rng.dirichlet([0.5, 1, 2], 200_000)
    people = rng.integers(2, 6, len(share))
    votes = rng.multinomial(people, share).astype(float)
    reached = np.sqrt(np.mean((votes / people[:, None] - share) ** 2))
    assert find("09.6").reference(votes) == pytest.approx(reached, rel=0.01)
    assert find("09.6").reference(np.array([[2, 0], [1, 1], [1, 1], [0, 2]])) == pytest.approx(
        8**-0.5
    )


def test_the_committee_of_the_course_is_that_of_the_exercises():
    interval, asked, information = (find(f"09.{i}").reference for i in (4, 5, 3))
    rng = np.random.default_rng(65)
    concentration = rng.gamma(1, 8, (6, 4, DECALS.n_answers))
    posterior = Posterior(torch.from_numpy(concentration), DECALS)
    low, high = posterior.quantiles([0.05, 0.95])
    column = DECALS.index("disk-edge-on_yes")
    a, b = concentration[..., column], concentration[..., column + 1]
    for galaxy in range(4):
        found = interval(a[:, galaxy], b[:, galaxy], 0.9)
        assert found == pytest.approx((low[galaxy, column], high[galaxy, column]), abs=1e-5)
    first = DECALS.slices["smooth-or-featured"]
    featured = concentration[..., first.start + 1] / concentration[..., first].sum(axis=-1)
    bar = list(DECALS.slices).index("bar")
    np.testing.assert_allclose(asked(featured, a / (a + b)), posterior.asked[:, bar])

    exact = bald_of_two(np.stack([a, b], axis=-1), 7)
    found = [information(a[:, galaxy], b[:, galaxy], 7) for galaxy in range(4)]
    np.testing.assert_allclose(found, exact)


def test_what_the_exercises_on_a_committee_say_is_so():
    a, b = 20 * COMMITTEE, 20 * (1 - COMMITTEE)
    low, high = (np.median(betaincinv(a, b, q)) for q in (0.05, 0.95))
    held = np.mean(betainc(a, b, high) - betainc(a, b, low))
    assert [round(low, 2), round(high, 2), round(held, 2)] == [0.32, 0.68, 0.64]
    assert "from 0.32 to 0.68, and this '90%' interval holds 64%" in find("09.4").question

    assert round(0.94 * (1 - 0.97), 2) == 0.03
    for tree in (DECALS, GZ2):
        assert tree.question("bar").parents == ("disk-edge-on_no",)

    information = find("09.3").reference
    same_mean = np.array([2.0, 50.0])
    one, two = (information(same_mean, same_mean, n) for n in (1, 2))
    assert one == pytest.approx(0, abs=1e-12)
    assert two > 0.001
    rng = np.random.default_rng(67)
    for _ in range(50):
        a, b = rng.gamma(0.3, 20, (2, 5)) + 1e-3
        gains = [information(a, b, n) for n in range(12)]
        assert gains[0] == pytest.approx(0, abs=1e-12)
        assert np.all(np.diff(gains) > -1e-12)  # more votes never tell less
        assert gains[-1] < np.log(5)


@pytest.mark.parametrize(
    ("number", "answer", "fragment"),
    [
        ("10.1", lambda sides, scales, n: (sides / 2, sides), "equal fields were asked for"),
        ("10.2", lambda before, after, frozen: [1], "expected a list of names"),
        ("10.2", lambda before, after, frozen: [], "leave out encoder.1.norm.running_mean"),
        ("10.2", lambda before, after, frozen: ["nothing"], "which is no entry of the state"),
        ("10.5", lambda train, test, radius: 2 * np.ones(len(test)), "for one. Expected"),
        ("10.5", lambda train, test, radius: np.zeros(len(test)), "no row at all"),
        ("10.5", lambda train, test, radius: np.arange(len(test)) < 3, "you leave out row"),
        ("10.3", lambda before, after, truth, n: (0.5, 0.5), "each network its own"),
        ("10.4", lambda with_pseudo, *controls: np.zeros((2, 3)), "difference for each seed"),
        ("10.6", lambda gpus, seconds, epochs: 0.9 * np.ones(len(gpus)), "long would each"),
    ],
)
def test_other_wrong_answers_of_notebook_07_get_a_line(number, answer, fragment):
    assert fragment in printed(find(number).check, answer)


@pytest.mark.parametrize("batch_norm", ["frozen", "moving"])
def test_what_the_course_freezes_does_not_move_and_batch_norm_does_where_it_is_let(batch_norm):
    net = backbone("small_resnet", 2, widths=[4, 8])
    frozen = [name for name, _ in net.named_children() if name != "head"]
    before = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    freeze(net, len(net.stages) - 1, batch_norm)
    net.train()
    learning = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        net(torch.rand(8, 3, 32, 32)).square().sum().backward()
        optimizer.step()
    after = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    answer = find("10.2").reference
    assert set(answer(before, after, ["head"])) == {"head.weight", "head.bias"}
    found = answer(before, after, frozen)
    statistics = {
        name
        for name in before
        if name.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }
    assert statistics
    assert set(found) == (statistics if batch_norm == "moving" else set())


def test_what_the_exercises_of_notebook_07_say_is_so():
    assert round(84 * 0.263, 1) == 22.1

    time = (SECONDS * EPOCHS).sum(axis=1)
    faster = time[0] / time
    assert [time[0] // 3600, time[0] % 3600 // 60, time[-1] // 60] == [4, 44, 8]
    assert [time[1] // 3600, time[1] % 3600 // 60] == [1, 47]
    assert [round(faster[-1]), round(faster[-1] / 64, 2)] == [35, 0.54]
    assert [round(faster[1], 2), round(faster[1] / 2, 2)] == [2.65, 1.32]
    right = find("10.6").reference(GPUS, SECONDS, EPOCHS)
    assert [right[1].round(2), right[-1].round(2)] == [0.96, 0.93]
    assert right.max() == right[0] == 1  # at equal epochs nobody beats the ideal

    networks = _two_networks(6, 400, 2)
    own, everywhere = find("10.3").reference(*networks, 190)
    assert own > 0 > everywhere
    assert np.unique(networks[0].max(axis=1)).size == np.unique(networks[1].max(axis=1)).size == 400

    assert round(student.ppf(0.975, 4), 2) == 2.78
    assert round(student.ppf(0.975, 1), 1) == 12.7


def test_the_interval_over_seeds_holds_the_true_gain_in_95_of_100():
    rng, answer = np.random.default_rng(76), find("10.4").reference
    held = []
    for _ in range(2000):
        shared = rng.normal(0, 1, 4)
        arms = shared + rng.normal(0, 0.1, (3, 4)) + np.array([[0.3], [0.0], [0.1]])
        _, low, high = answer(*arms).T
        held.append((low < [0.3, 0.2]) & (high > [0.3, 0.2]))
    share = np.mean(held, axis=0)
    np.testing.assert_allclose(share, 0.95, atol=4 * np.sqrt(0.05 * 0.95 / 2000))


# In a real kernel --------------------------------------------------------------------------------


def _outputs(client, code):
    """Run one cell; give what it printed, and fail on a traceback."""
    message = client.execute(code)
    text, deadline = [], time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            reply = client.get_iopub_msg(timeout=1)
        except queue.Empty:
            continue
        if reply["parent_header"].get("msg_id") != message:
            continue
        content = reply["content"]
        if reply["msg_type"] == "stream" and content["name"] == "stdout":
            text.append(content["text"])
        elif reply["msg_type"] == "display_data":
            text.append(f"[{content['data']['text/plain']}]\n")
        elif reply["msg_type"] == "error":
            pytest.fail(f"{content['ename']}: {content['evalue']} in\n{code}")
        elif reply["msg_type"] == "status" and content["execution_state"] == "idle":
            return "".join(text)
    pytest.fail(f"the kernel did not answer to\n{code}")


@pytest.fixture(scope="module")
def kernel():
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        _outputs(client, "import numpy as np, torch\nfrom galhelpers.course import exercise")
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


# The notebooks' tests run every stub in a kernel. Here: plain numpy, a stub with faulty code, and
# torch objects that are not copied.
@pytest.mark.parametrize("function", ["to_cumulative", "get_accuracy", "train_one_epoch"])
def test_stub_solution_and_error_in_a_real_kernel(kernel, function):
    exercise = named(function)
    assert _outputs(kernel, exercise.cell).startswith("Not attempted yet. ")
    check = f'\nexercise("{exercise.id}").check({exercise.name})'
    assert _outputs(kernel, printed(exercise.solution) + check).startswith("Correct. ")
    broken = f"def {exercise.name}(*inputs):\n    return undefined_name{check}"
    line = _outputs(kernel, broken)
    assert "raised NameError: name 'undefined_name' is not defined (line 2 of" in line
    assert line.count("\n") == 1


HOSTILE = f"""
from IPython.display import display
def to_cumulative(first, rounded):
    display("seen")
    print("seen")
    if len(first) == 6:
        return first[:, :1] * rounded
    while True:
        pass
one = exercise("{named("to_cumulative").id}")
one.seconds = 0.5
one.check(to_cumulative)
exercise("99.9").check(to_cumulative)
"""


def test_an_endless_loop_displays_and_a_wrong_number_in_a_real_kernel(kernel):
    lines = _outputs(kernel, HOSTILE).splitlines()
    assert lines[:2] == ["seen", "seen"]
    assert "had not come back after" in lines[2]
    assert lines[3:5] == ["['seen']", "['seen']"]
    assert lines[5].startswith("There is no exercise '99.9'")
    assert len(lines) == 6
    assert _outputs(kernel, "print(1 + 1)") == "2\n"
