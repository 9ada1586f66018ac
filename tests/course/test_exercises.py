"""Every exercise: the solution passes, each typical wrong answer gets its own diagnosis."""

import contextlib
import copy
import hashlib
import io
import itertools
import queue
import time

import numpy as np
import pytest
import torch
from astropy import units
from astropy.coordinates import SkyCoord
from jupyter_client.manager import KernelManager
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from galhelpers.course.exercises import all_exercises, exercises_of, find
from galhelpers.survey.appearance import COLUMNS
from galhelpers.survey.comparison import real_appearance, separation

EXERCISES = all_exercises()
WRONG = [(e.id, name) for e in EXERCISES for name in e.wrong]
each = pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.id)


def printed(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        function(*arguments)
    return out.getvalue().rstrip("\n")


def from_source(source, name):
    namespace = {"np": np, "torch": torch}
    exec(source, namespace)
    return namespace[name]


def test_which_exercises_there_are():
    ids = [e.id for e in EXERCISES]
    assert ids == sorted(set(ids))
    assert [len(exercises_of(n)) for n in ("01", "02", "03")] == [5, 5, 7]
    assert len({e.title for e in EXERCISES}) == len(EXERCISES)


@each
def test_the_reference_passes(exercise):
    assert printed(exercise.check, exercise.reference) == f"Correct. {exercise.lesson}"


@each
def test_the_printed_solution_can_be_pasted_and_passes(exercise):
    source = printed(exercise.solution)
    assert source.startswith(exercise.stub.split('"""')[0])
    assert exercise.verdict(from_source(source, exercise.name)).status == "correct"


@pytest.mark.parametrize(("number", "name"), WRONG)
def test_each_wrong_answer_gets_its_own_diagnosis(number, name):
    exercise = find(number)
    answer, fragment = exercise.wrong[name]
    line = printed(exercise.check, answer)
    assert line.startswith("Not yet: ")
    assert fragment in line
    assert "\n" not in line
    assert len(line) < 420
    assert "could not be checked" not in line
    for other, (_, other_fragment) in exercise.wrong.items():
        assert other == name or other_fragment not in line, f"also the message of {other!r}"


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
    assert 60 <= len(exercise.question.split()) <= 140
    assert f"`{exercise.name}(" in exercise.question or f"`{exercise.name}`" in exercise.question
    assert len(exercise.wrong) >= 4
    assert 2 <= len(exercise.hints) <= 4
    assert exercise.stub.startswith(f"def {exercise.name}(")
    assert exercise.lesson.endswith((".", "?"))
    assert exercise.cell.endswith(f'exercise("{exercise.id}").check({exercise.name})')
    assert exercise.markdown.startswith(f"### Exercise {exercise.id}: ")
    if exercise.id.startswith("03"):
        assert "Kaggle notebook" in exercise.question


@each
def test_hints_end(exercise):
    fresh = copy.copy(exercise)
    fresh._hinted = 0
    lines = [printed(fresh.hint) for _ in range(len(exercise.hints) + 1)]
    for i, hint in enumerate(exercise.hints):
        assert lines[i] == f"Hint {i + 1} of {len(exercise.hints)}: {hint}"
    assert "no further hints" in lines[-1]


def _endless(*inputs):
    while True:
        yield inputs


@each
@pytest.mark.parametrize(
    "answer",
    [
        _endless,
        lambda *inputs: itertools.count(),
        lambda *inputs: "text",
        lambda *inputs: (itertools.count(),) * 2,
        lambda *inputs: [None] * 4,
        lambda *inputs: {},
        lambda *inputs: float("nan"),
        lambda *inputs: torch.zeros(2, requires_grad=True),
        lambda *inputs: lambda *more: itertools.count(),
        lambda *inputs: 1 / 0,
    ],
)
def test_strange_answers_get_one_line_from_every_check(exercise, answer):
    line = printed(exercise.check, answer)
    assert line.startswith("Not yet: ")
    assert "\n" not in line
    assert "could not be checked" not in line


@each
def test_a_reference_that_spoils_its_inputs_and_seeds_still_passes_and_harms_nothing(exercise):
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


# Other right ways --------------------------------------------------------------------------------


def _sky(ra1, dec1, ra2, dec2):
    one, two = SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg")
    return one.separation(two).to_value(units.arcsec)


def _md5(galaxy_id, seed):
    number = int(hashlib.md5(f"{galaxy_id}/{seed}".encode()).hexdigest(), 16)
    return "test" if number % 5 == 0 else "train"


def _integers_only(galaxy_id, seed):
    return "test" if np.random.default_rng([int(galaxy_id), seed]).random() < 0.2 else "train"


def _auc_by_ranks(real, simulated):
    real, simulated = real[np.isfinite(real)], simulated[np.isfinite(simulated)]
    return mannwhitneyu(simulated, real).statistic / (len(real) * len(simulated))


def _auc_by_loops(real, simulated):
    pairs = [(r, s) for r in real for s in simulated if r == r and s == s]
    return sum(1.0 if s > r else 0.5 if s == r else 0.0 for r, s in pairs) / len(pairs)


def _auc_of_a_curve(real, simulated):
    values, labels = np.append(real, simulated), [0] * len(real) + [1] * len(simulated)
    known = ~np.isnan(values)
    return roc_auc_score(np.array(labels)[known], values[known])


def _torch_statistics(images, is_train):
    train = torch.from_numpy(images)[torch.from_numpy(is_train)].float() / 255
    return train.mean((0, 2, 3)), train.std((0, 2, 3))


def _stretch_with_epsilon(rgb, soft):
    intensity = rgb.mean(0) + 1e-12
    image = rgb * (np.arcsinh(intensity / soft) / intensity)
    brightest = image.max(0)
    return np.where(brightest > 1, image / np.where(brightest > 1, brightest, 1), image)


def _cleared_after(model, optimizer, batches, loss_function):
    model.train(True)
    losses = []
    for images, targets in batches:
        loss = loss_function(model(images), targets)
        loss.backward()
        optimizer.step()
        model.zero_grad()
        losses.append(loss.item())
    return np.mean(losses)


def _stop_by_counting(losses, patience):
    best, since = 0, 0
    for epoch in range(1, len(losses)):
        since += 1
        if losses[epoch] < losses[best]:
            best, since = epoch, 0
        if since == patience:
            return [epoch, best]
    return np.array([len(losses) - 1, best])


def _prepare_in_torch(train_images):
    train = torch.from_numpy(train_images).float() / 255
    mean, std = train.mean((0, 2, 3)), train.std((0, 2, 3))
    return lambda images: (
        (torch.from_numpy(images).float() / 255 - mean[:, None, None]) / std[:, None, None]
    )


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (
            "01.1",
            lambda first, rounded: [
                [f[0] * r for r in row] for f, row in zip(first, rounded, strict=True)
            ],
        ),
        (
            "01.2",
            lambda smooth, r: [
                bool(a > 0.469 and b[2] > 0.5) for a, b in zip(smooth, r, strict=True)
            ],
        ),
        ("01.2", lambda smooth, r: torch.from_numpy((smooth > 0.469) * (r[:, 2] > 0.5))),
        ("01.3", _sky),
        ("01.4", _md5),
        ("01.4", _integers_only),
        ("01.5", _auc_by_ranks),
        ("01.5", _auc_by_loops),
        ("01.5", _auc_of_a_curve),
        ("02.1", lambda w, f: [w * (1 - f) / 2] * 2 + [w * (1 + f) / 2] * 2),
        ("02.1", lambda w, f: np.array([w - int(w * f)] * 2 + [w + int(w * f)] * 2) // 2),
        ("02.2", _torch_statistics),
        ("02.3", _stretch_with_epsilon),
        ("02.4", lambda pixel_scale, r, width=424: torch.tensor([width * pixel_scale / r])),
        ("03.1", lambda b: np.sqrt(np.mean(np.concatenate([p - t for p, t in b]) ** 2))),
        ("03.3", _cleared_after),
        ("03.4", lambda model: copy.deepcopy(model.state_dict())),
        ("03.5", _stop_by_counting),
        ("03.6", lambda v, t: max(zip(v, range(len(v)), t, strict=True))[1:]),
        ("03.7", _prepare_in_torch),
    ],
)
def test_other_right_answers_pass(number, answer):
    assert printed(find(number).check, answer).startswith("Correct. ")


def test_the_hash_of_numbers_is_not_mistaken_for_a_salted_one():
    answer = lambda galaxy_id, seed: "test" if hash((int(galaxy_id), seed)) % 5 == 0 else "train"  # noqa: E731
    assert "another Python process" not in printed(find("01.4").check, answer)


@pytest.mark.parametrize(
    ("answer", "fragment"),
    [
        # Ranks in the order of a sort: ties go to whoever comes first.
        (lambda r, s: _auc_by_ranks(r + 1e-9 * np.arange(len(r)), s), "Try it by hand"),
        (
            lambda r, s: (np.nanmean(s) - np.nanmean(r)) / np.nanstd(np.append(r, s)),
            "a difference of means",
        ),
        (lambda r, s: find("01.5").reference(r, s[~np.isnan(s)][:9]), "Try it by hand"),
        (lambda r, s: find("01.5").reference(r[~np.isnan(r)], np.nan_to_num(s)), "without those"),
        (
            lambda r, s: find("01.5").reference(r, s) if len(r) > 11 else 0.5,
            "you give 0.5, not",
        ),
        (
            lambda r, s: find("01.5").reference(r, s) + 1e-3 * (np.nanmax(r) > 6),
            "no value overtook another",
        ),
        (lambda r, s: ["one", "number"], "expected one number"),
        (lambda r, s: s > 1 if np.isnan(s).any() else find("01.5").reference(r, s), "shape (15,)"),
    ],
)
def test_other_wrong_answers_to_01_5_are_told_apart(answer, fragment):
    assert fragment in printed(find("01.5").check, answer)


def test_the_auc_of_the_course_is_that_of_the_exercise():
    real = real_appearance()
    odd, even = real[1::2], real[::2].copy()
    even.loc[even.index[:5], "r50"] = np.nan
    answer = find("01.5").reference
    for name in COLUMNS:
        one, other = odd[name].to_numpy(), even[name].to_numpy()
        assert answer(one, other) == pytest.approx(separation(one, other), abs=1e-12)


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


@each
def test_stub_solution_and_error_in_a_real_kernel(kernel, exercise):
    assert _outputs(kernel, exercise.cell).startswith("Not attempted yet. ")
    check = f'\nexercise("{exercise.id}").check({exercise.name})'
    assert _outputs(kernel, printed(exercise.solution) + check).startswith("Correct. ")
    broken = f"def {exercise.name}(*inputs):\n    return undefined_name{check}"
    line = _outputs(kernel, broken)
    assert "raised NameError: name 'undefined_name' is not defined (line 2 of" in line
    assert line.count("\n") == 1
