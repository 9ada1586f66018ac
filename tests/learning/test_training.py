import copy
import hashlib
import io
import random
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from galhelpers.data.augment import Augment, to_float
from galhelpers.learning.training import (
    _MARK,
    Options,
    batches,
    computes_in_bfloat16,
    fit,
    predict,
)


def bright_or_dark(n, seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, n)
    pixels = rng.integers(0, 60, (n, 3, 16, 16)) + 60 * classes[:, None, None, None]
    return pixels.astype(np.uint8), torch.tensor(classes)


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(768, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2)
    )


def run(epochs=4, **options):
    model = network()
    augment = Augment(16, brightness=0.0)
    train, validation = bright_or_dark(200, 1), bright_or_dark(60, 2)
    history = fit(
        model, train, validation, F.cross_entropy, augment=augment, prepare=to_float,
        epochs=epochs, **options,
    )  # fmt: skip
    return model, history, validation


def test_learns_and_repeats_exactly():
    model, history, validation = run()
    outputs = predict(model, validation[0], to_float)
    assert (outputs.argmax(1) == validation[1]).float().mean() > 0.95
    assert len(history.train_loss) == len(history.validation_loss) == 4
    again, history_again, _ = run()
    assert history_again == history
    assert torch.equal(predict(again, validation[0], to_float), outputs)


def test_ends_with_the_best_weights_not_the_last():
    # A rate so large that the loss goes up again: the best epoch is not the last one.
    model, history, validation = run(epochs=6, learning_rate=3.0)
    best = min(history.validation_loss)
    assert history.validation_loss[history.best_epoch] == best
    outputs = predict(model, validation[0], to_float)
    assert F.cross_entropy(outputs, validation[1]).item() == best


def test_batches_visit_every_galaxy_once():
    pixels = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 2, 2), np.uint8)
    seen = [
        int(value)
        for images, targets in batches(
            pixels, torch.arange(10), 4, torch.Generator().manual_seed(1)
        )
        for value, target in zip(images[:, 0, 0, 0], targets, strict=True)
        if value == target
    ]
    assert sorted(seen) == list(range(10))
    assert seen != list(range(10))


def test_predict_leaves_batch_statistics_alone():
    model = network()
    before = model[2].running_mean.clone()
    predict(model, bright_or_dark(10, 3)[0], to_float)
    assert torch.equal(model[2].running_mean, before)


def test_patience_stops_after_epochs_without_progress():
    still = Options(optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.0),
                    schedule=lambda optimizer, _: torch.optim.lr_scheduler.ConstantLR(optimizer),
                    patience=2)  # fmt: skip
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    train, validation = bright_or_dark(40, 1), bright_or_dark(20, 2)
    calls = []

    def growing(outputs, targets):
        calls.append(1)
        return outputs.sum() * 0 + len(calls)

    history = fit(
        model, train, validation, growing, augment=Augment(16), prepare=to_float, epochs=10,
        options=still,
    )  # fmt: skip
    assert history.best_epoch == 0
    assert len(history.validation_loss) == 3


def test_it_stops_after_the_epoch_in_which_the_time_is_over(tmp_path):
    _, whole, _ = run(epochs=3)
    assert len(whole.cpu_seconds) == 3
    assert min(whole.cpu_seconds) > 0
    once = Options(cpu_seconds=1e-9, resume=tmp_path / "state.pt")
    for _ in range(2):  # also where an earlier session has used the time
        _, history, _ = run(epochs=3, options=once)
        assert history.validation_loss == whole.validation_loss[:1]
    assert len(run(epochs=3, options=Options(cpu_seconds=3600))[1].cpu_seconds) == 3


def test_a_measure_is_kept_for_each_epoch(tmp_path):
    def share_right(outputs, classes):
        return float((outputs.argmax(dim=1) == classes).float().mean())

    options = Options(measure=share_right, resume=tmp_path / "state.pt")
    model, history, (pixels, classes) = run(epochs=3, options=options)
    assert len(history.measured) == 3
    found = share_right(predict(model, pixels, to_float), classes)
    assert history.measured[history.best_epoch] == found
    assert run(epochs=3, options=options)[1].measured == history.measured
    assert run(epochs=3)[1].measured == []


def test_the_running_mean_is_what_is_kept():
    """Two steps by hand: the first copies the weights, later ones move a share of the way."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    by_hand = copy.deepcopy(model)
    train = bright_or_dark(96, 1)
    options = Options(
        optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.1),
        schedule=lambda o, _: torch.optim.lr_scheduler.ConstantLR(o, 1.0),
        average=0.5,
    )
    still = {"rotate": 0.0, "zoom": (1.0, 1.0), "shift": 0.0, "brightness": 0.0, "noise": 0.0}
    augment = Augment(16, flip=False, **still)
    fit(
        model, train, bright_or_dark(20, 2), F.cross_entropy, augment=augment, prepare=to_float,
        epochs=1, batch_size=32, options=options,
    )  # fmt: skip
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    mean = None
    order = torch.Generator().manual_seed(0)
    for n, (images, wanted) in enumerate(batches(*train, 32, order)):
        optimizer.zero_grad()
        F.cross_entropy(by_hand(augment(images, n)), wanted).backward()
        optimizer.step()
        now = by_hand[1].weight.detach().clone()
        share = 1 - min(0.5, (1 + n) / (10 + n))
        mean = now if mean is None else mean + share * (now - mean)
    torch.testing.assert_close(model[1].weight.detach(), mean)


def test_mixed_precision_learns_too():
    model, _, validation = run(options=Options(mixed_precision=True))
    outputs = predict(model, validation[0], to_float)
    assert outputs.dtype == torch.float32
    assert (outputs.argmax(1) == validation[1]).float().mean() > 0.95


@pytest.mark.parametrize("has", [{"avx512_bf16": True}, {"amx_bf16": True}, {"bf16": True}])
def test_mixed_precision_is_bfloat16_where_the_processor_has_it(has, cpu_with):
    seen = []
    model = network()
    model[1].register_forward_hook(lambda module, x, y: seen.append((module.training, y.dtype)))
    galaxies = bright_or_dark(20, 1)

    def dtypes(**options):
        seen.clear()
        fit(
            model, galaxies, galaxies, F.cross_entropy, augment=Augment(16), prepare=to_float,
            epochs=1, options=Options(**options),
        )  # fmt: skip
        return dict(seen)

    single, half = torch.float32, torch.bfloat16
    cpu_with(avx2=True, architecture="x86_64")
    assert dtypes(mixed_precision=True) == {True: single, False: single}
    cpu_with(**dict.fromkeys(has, False))
    assert dtypes(mixed_precision=True) == {True: single, False: single}
    cpu_with(**has)
    assert dtypes(mixed_precision=True) == {True: half, False: half}
    assert dtypes() == {True: single, False: single}


def test_what_imitates_bfloat16_does_not_compute_in_it(cpu_with, monkeypatch):
    # As a GPU before Ampere answers.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation
    )
    cpu_with(avx512_bf16=True)
    assert [computes_in_bfloat16(device) for device in ("cuda", "mps", "cpu")] == [0, 0, 1]
    # torch for macOS has no library that would use the instructions.
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    cpu_with(bf16=True)
    assert not computes_in_bfloat16("cpu")


def told(losses, **options):
    """Train while the validation loss goes as given: network, history, weights of each epoch."""
    model, weights = network(), []
    losses_to_come = iter(losses)

    def loss(outputs, wanted):
        if outputs.requires_grad:
            return F.cross_entropy(outputs, wanted)
        weights.append(copy.deepcopy(model.state_dict()))
        value = next(losses_to_come)
        if value is None:
            raise KeyboardInterrupt
        return torch.tensor(float(value))

    galaxies = bright_or_dark(20, 1)
    history = fit(
        model, galaxies, galaxies, loss, augment=Augment(16), prepare=to_float, epochs=6,
        options=Options(**options),
    )  # fmt: skip
    return model.state_dict(), history, weights


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("first", [NAN, INF])
def test_a_loss_that_is_no_number_is_not_the_lowest(first, tmp_path):
    losses = [first, 5, NAN, 4, -INF, 6]
    model, history, weights = told(losses)
    assert history.best_epoch == 3
    assert same(model, weights[3])
    assert not same(weights[0], weights[3])
    # Patience counts it as an epoch without progress.
    assert len(told([first, 5, NAN, NAN, 4], patience=1)[1].validation_loss) == 3
    # What is saved after it can be resumed.
    options = {"resume": tmp_path / "state.pt"}
    with pytest.raises(KeyboardInterrupt):
        told([*losses[:2], None], **options)
    resumed, history, _ = told(losses[2:], **options)
    assert history.best_epoch == 3
    assert same(resumed, model)


def test_without_any_finite_loss_there_is_no_best_network(tmp_path):
    with pytest.raises(ValueError, match=r"\[nan, nan"):
        told([NAN] * 6)
    with pytest.raises(ValueError, match=r"\[nan, inf\]"):
        told([NAN, INF], patience=1)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"state\.pt"):
            told([NAN] * 6, resume=tmp_path / "state.pt")
    model = network()
    galaxies = bright_or_dark(20, 1)
    with pytest.raises(ValueError, match=r"\[nan\]"):
        fit(
            model, galaxies, galaxies, lambda x, y: F.cross_entropy(x, y) * NAN,
            augment=Augment(16), prepare=to_float, epochs=1,
        )  # fmt: skip
    assert same(model.state_dict(), network().state_dict())


@pytest.mark.parametrize(("n", "m", "which"), [(0, 20, "train"), (20, 0, "validation")])
def test_a_part_without_galaxies_is_refused_before_anything_is_done(n, m, which):
    shown = []
    with pytest.raises(ValueError, match=which):
        fit(
            network(), bright_or_dark(n, 1), bright_or_dark(m, 2), F.cross_entropy,
            augment=lambda x, step: shown.append(step), prepare=to_float, epochs=1,
        )  # fmt: skip
    assert not shown


def test_resuming_with_another_network_or_length_is_refused(tmp_path):
    file = tmp_path / "state.pt"
    run(epochs=2, options=Options(resume=file))
    _, history, _ = run(epochs=2, options=Options(resume=file))
    assert len(history.validation_loss) == 2  # nothing left to do
    with pytest.raises(ValueError, match=r"state\.pt"):
        run(epochs=3, options=Options(resume=file))
    with pytest.raises(ValueError, match=r"state\.pt"):
        run(epochs=2, options=Options(resume=file, average=0.9))


# Resuming -----------------------------------------------------------------------------------------


def resumable(file, stop=None, seed=0, epochs=4, **options):
    """Train a network with dropout; augmentation draws from NumPy and Python too."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    done = []

    def augment(images, step):
        noise = float(np.random.rand()) + random.random()
        return images.float() / 255 + 0.1 * noise + 0.1 * torch.rand(1)

    def loss(outputs, wanted):
        if not outputs.requires_grad:
            done.append(1)
            if stop is not None and len(done) > stop:
                raise KeyboardInterrupt
        return F.cross_entropy(outputs, wanted)

    galaxies = bright_or_dark(40, 1)
    history = fit(
        model, galaxies, galaxies, loss, augment=augment, prepare=to_float, epochs=epochs,
        batch_size=16, options=Options(resume=file, **options),
    )  # fmt: skip
    return model.state_dict(), history, torch.rand(1).item()


@pytest.mark.parametrize("options", [{}, {"average": 0.9}], ids=["plain", "average"])
@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_training_with_dropout_resumes_to_the_same_bit(stop, options, tmp_path):
    whole, history, after = resumable(tmp_path / "whole.pt", **options)
    with pytest.raises(KeyboardInterrupt):
        resumable(tmp_path / "cut.pt", stop=stop, **options)
    # The random numbers of the process that goes on are others.
    resumed, again, then = resumable(tmp_path / "cut.pt", seed=5, **options)
    assert again == history
    assert same(whole, resumed)
    assert then == after
    assert same(resumable(None, **options)[0], whole)  # and saving changes nothing


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A whole state after two of four epochs, and where the training ends."""
    folder = tmp_path_factory.mktemp("states")
    with pytest.raises(KeyboardInterrupt):
        resumable(folder / "state.pt", stop=2)
    return (folder / "state.pt").read_bytes(), resumable(None)[0]


@pytest.mark.parametrize("length", [0, 1, 10, len(_MARK), len(_MARK) + 30, 2000, -1])
def test_a_state_that_was_cut_short_is_told_and_made_anew(length, saved, tmp_path, capsys):
    file = tmp_path / "state.pt"
    file.write_bytes(saved[0][:length])
    assert same(resumable(file)[0], saved[1])
    out, err = capsys.readouterr()
    assert (out + err).count("state.pt") == 1
    assert "anew" in out + err
    assert same(resumable(file)[0], saved[1])  # it is whole now
    assert "anew" not in "".join(capsys.readouterr())


def packed(content):
    """Put bytes into a file as a state is, its digest right."""
    return _MARK + hashlib.blake2b(content).digest() + content


def pickled(value):
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


class Foreign:
    """Anything that weights_only refuses."""


def zipped():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("readme.txt", "hello")
    return stream.getvalue()


def changed(saved, **changes):
    start = len(_MARK) + 64
    state = torch.load(io.BytesIO(saved[start:]), weights_only=True)
    return packed(pickled(state | changes))


OTHERS = {
    "a page": lambda saved: b"<!DOCTYPE html><html>404</html>",
    "an older version": lambda saved: pickled({"training": [1, 2]}),
    "a zip": lambda saved: zipped(),
    "a later version": lambda saved: b"galhelpers training 3\n" + saved[30:],
    "a page, packed": lambda saved: packed(b"<!DOCTYPE html>"),
    "nothing, packed": lambda saved: packed(b""),
    "a zip, packed": lambda saved: packed(zipped()),
    "a foreign object": lambda saved: packed(pickled(Foreign())),
    "a list": lambda saved: packed(pickled([1, 2])),
    "nothing inside": lambda saved: packed(pickled({})),
    "another network": lambda saved: changed(saved, training=[1, 2]),
    "other shapes": lambda saved: changed(saved, model={"1.weight": torch.ones(2)}),
    "no optimiser": lambda saved: changed(saved, optimizer={}),
    "a history of another kind": lambda saved: changed(saved, history={"loss": 1}),
    "random numbers of another kind": lambda saved: changed(saved, random={"torch": 1}),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_state_of_this_training_is_refused_and_kept(kind, saved, tmp_path):
    file = tmp_path / "state.pt"
    file.write_bytes(OTHERS[kind](saved[0]))
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"state\.pt.*Delete .*state\.pt") as caught:
        resumable(file)
    assert file.read_bytes() == before
    text = str(caught.value)
    assert "weights_only" not in text
    assert "\n" not in text
    assert len(text) < 500


def test_a_place_where_no_state_can_be_written_is_told_before_the_first_epoch(tmp_path):
    (tmp_path / "state.pt").mkdir()
    with pytest.raises(ValueError, match=r"state\.pt"):
        resumable(tmp_path / "state.pt", stop=0)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        resumable(tmp_path / "file" / "state.pt", stop=0)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_changed_byte_is_never_used(data, saved, tmp_path):
    """One to five bytes at random places: refused, or made anew with the true result."""
    content, expected = bytearray(saved[0]), saved[1]
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] ^= data.draw(st.integers(1, 255))
    if bytes(content) == saved[0]:
        return
    file = tmp_path / "state.pt"
    file.write_bytes(content)
    try:
        found, told = resumable(file)[0], ""
    except ValueError as error:
        found, told = None, str(error)
    if found is None:
        assert "state.pt" in told
        assert file.read_bytes() == content
        file.unlink()
    else:
        assert same(found, expected)
