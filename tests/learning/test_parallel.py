"""Training on two processes that torchrun starts, beside the same training on one.

This file is also the program that torchrun starts: each process does every run and saves what it
has at the end.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from galhelpers.data.augment import Augment, to_float
from galhelpers.learning.parallel import fit_parallel, rank_and_size, scaled_rate
from galhelpers.learning.training import Options, fit

EPOCHS = 4
STATISTICS = {"mean": [0.15] * 3, "std": [0.1] * 3}
VIEWS = Augment(16, brightness=0.0, **STATISTICS)
PREPARE = partial(to_float, **STATISTICS)


def bright_or_dark(n, seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 2, n)
    pixels = rng.integers(0, 60, (n, 3, 16, 16)) + 15 * classes[:, None, None, None]
    return pixels.astype(np.uint8), torch.tensor(classes)


def network(norm=False):
    torch.manual_seed(0)
    middle = nn.BatchNorm1d(16) if norm else nn.Identity()
    # A bias before normalisation has no gradient but rounding, which AdamW turns into full steps.
    first = nn.Linear(768, 16, bias=not norm)
    return nn.Sequential(nn.Flatten(), first, middle, nn.ReLU(), nn.Linear(16, 2))


def plain_views(batch, step):
    return PREPARE(batch)


def train(how, model, augment=VIEWS, n=193, **arguments):
    """193 galaxies in batches of 64 leave one: a process without any in the last step."""
    history = how(
        model, bright_or_dark(n, 1), bright_or_dark(61, 2), F.cross_entropy,
        augment=augment, prepare=PREPARE, epochs=EPOCHS, **{"learning_rate": 5e-4, **arguments},
    )  # fmt: skip
    return model.state_dict(), history


def interrupted(file, **arguments):
    def stop(batch, step):
        if step >= 2 * 4 * 2:  # two epochs of four steps in two parts
            raise RuntimeError("interrupted here")
        return VIEWS(batch, step)

    with pytest.raises(RuntimeError, match="interrupted here"):
        train(fit_parallel, network(), stop, options=Options(resume=file), **arguments)


def program(folder):
    """What each of the two processes does."""
    rank, _ = rank_and_size()
    shown = []

    def recorded(batch, step):
        shown.append((step, batch.clone()))
        return VIEWS(batch, step)

    found = {
        "views": train(fit_parallel, network(), recorded, batch_size=32),
        "plain": train(fit_parallel, network(), plain_views, batch_size=32),
        "norm": train(fit_parallel, network(norm=True), n=200, batch_size=32, learning_rate=3e-4),
        "scaled": train(fit_parallel, network(), batch_size=32, reference_batch=32),
        "backend": dist.get_backend(),
        "shown": shown,
    }
    # Networks that begin differently: process 0 counts.
    other = network()
    if rank:
        nn.init.normal_(other[1].weight)
    found["other"] = train(fit_parallel, other, batch_size=32)
    (folder / "run").mkdir(exist_ok=True)
    interrupted(folder / "run" / "state.ckpt", batch_size=32)
    torch.save(found, folder / f"rank{rank}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this torch cannot connect processes by gloo")
    folder = tmp_path_factory.mktemp("two")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr=127.0.0.1", "--nproc_per_node=2", __file__, str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    # Written by the program above; histories are not tensors.
    ranks = [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in (0, 1)]
    return folder, ranks


def difference(one, other):
    return max((one[name] - other[name]).abs().max().item() for name in one)


def assert_alike(one, other, tolerance=5e-6):
    """Weights and losses agree to rounding.

    Sums of the same float32 numbers in another order differ by 1e-7 or so in a gradient, and AdamW
    divides gradients by their size: weights differ by little more than that share of what they
    moved (0.0035), except where a gradient is nearly 0. Measured: 6e-9 in weights, 4e-8 in losses.
    Other views change the weights by 0.0035, 700 times the tolerance.
    """
    assert difference(one[0], other[0]) < tolerance
    for name in ("train_loss", "validation_loss"):
        losses = getattr(one[1], name), getattr(other[1], name)
        assert len(losses[0]) == EPOCHS
        assert losses[0] == pytest.approx(losses[1], abs=tolerance)
    assert one[1].best_epoch == other[1].best_epoch


def test_alone_it_takes_the_steps_of_fit():
    for norm in (False, True):
        one = train(fit, network(norm), n=200)
        same = train(fit_parallel, network(norm).eval(), n=200)
        assert_alike(one, same, 1e-6)
        assert difference(one[0], train(fit, network(norm), n=200, seed=1)[0]) > 1e-3


def test_two_processes_take_the_steps_of_one(two):
    _, (first, _) = two
    assert first["backend"] == "gloo"
    one = train(fit_parallel, network(), batch_size=32, accumulate=2)
    assert_alike(first["views"], one)
    assert_alike(first["plain"], train(fit, network(), plain_views, batch_size=64))
    # Other views, nothing else: seen by the measure, so that it can fail.
    assert difference(one[0], train(fit_parallel, network(), batch_size=64)[0]) > 1e-3


def test_batch_normalisation_sees_the_batch_of_one_process(two):
    _, (first, _) = two
    slow = {"learning_rate": 3e-4}
    one = train(fit_parallel, network(norm=True), n=200, batch_size=32, accumulate=2, **slow)
    # The last epoch is the best of all: the weights are those after all steps.
    assert one[1].best_epoch == first["norm"][1].best_epoch == EPOCHS - 1
    names = [name for name, _ in network(norm=True).named_parameters()]
    assert difference(*({k: found[0][k] for k in names} for found in (one, first["norm"]))) < 5e-6
    large = train(fit_parallel, network(norm=True), n=200, batch_size=64, **slow)
    assert difference(large[0], first["norm"][0]) > 1e-3


@pytest.mark.parametrize("run", ["views", "plain", "norm", "scaled", "other"])
def test_both_processes_end_alike(two, run):
    (weights, history), (others, other_history) = (found[run] for found in two[1])
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert history == other_history
    assert history.validation_loss[-1] < 0.8 * history.validation_loss[0]


def test_process_0_says_where_it_starts(two):
    assert_alike(two[1][0]["other"], two[1][0]["views"])


def test_rate_follows_the_batch_of_all_processes(two):
    twice = train(fit_parallel, network(), batch_size=32, accumulate=2, learning_rate=1e-3)
    assert_alike(two[1][0]["scaled"], twice)
    assert difference(two[1][0]["scaled"][0], two[1][0]["views"][0]) > 1e-3


def test_each_galaxy_once_an_epoch_and_no_two_views_alike(two):
    steps = [[step for step, _ in found["shown"]] for found in two[1]]
    # Numbers of steps of all processes together: each once.
    assert sorted(steps[0] + steps[1]) == list(range(EPOCHS * 4 * 2))
    galaxies = {picture.tobytes() for picture in bright_or_dark(193, 1)[0]}
    for epoch in range(EPOCHS):
        seen = [
            picture.numpy().tobytes()
            for found in two[1]
            for step, batch in found["shown"][4 * epoch : 4 * epoch + 4]
            for picture in batch
        ]
        # 193 and the one shown to the process without a galaxy, which does not count.
        assert len(seen) == 194
        assert set(seen) == galaxies


def test_one_file_and_another_number_of_processes_goes_on_from_it(two):
    folder, (first, _) = two
    assert [file.name for file in (folder / "run").iterdir()] == ["state.ckpt"]
    resumed = train(
        fit_parallel, network(), batch_size=32, accumulate=2,
        options=Options(resume=folder / "run" / "state.ckpt"),
    )  # fmt: skip
    assert_alike(resumed, first["views"])


def test_resume_alone_is_exact_and_refuses_another_network(tmp_path):
    file = tmp_path / "state.ckpt"
    interrupted(file, batch_size=32, accumulate=2)
    assert list(tmp_path.iterdir()) == [file]
    options = Options(resume=file)
    with pytest.raises(ValueError, match="another network"):
        train(fit_parallel, network(norm=True), batch_size=64, options=options)
    resumed = train(fit_parallel, network(), batch_size=32, accumulate=2, options=options)
    assert_alike(resumed, train(fit_parallel, network(), batch_size=32, accumulate=2), 1e-6)


def test_patience_and_plateau_are_those_of_fit():
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    def plateau(optimizer, _):
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=0)

    def adam(model):
        return torch.optim.Adam(model.parameters(), lr=3.0)

    options = Options(optimizer=adam, schedule=plateau, patience=0)
    one, same = (train(how, network(), options=options) for how in (fit, fit_parallel))
    epochs = len(one[1].validation_loss)
    assert epochs < EPOCHS  # so large a rate that patience ends it
    assert same[1].validation_loss == pytest.approx(one[1].validation_loss, rel=1e-5)
    assert difference(one[0], same[0]) < 1e-6


def test_losses_that_are_no_numbers_are_those_of_fit():
    def told(how, losses):
        losses = iter(losses)

        def loss(outputs, wanted):
            if outputs.requires_grad:
                return F.cross_entropy(outputs, wanted)
            return torch.tensor(next(losses))

        model = network()
        history = how(
            model, bright_or_dark(64, 1), bright_or_dark(20, 2), loss, augment=VIEWS,
            prepare=PREPARE, epochs=4,
        )  # fmt: skip
        return model.state_dict(), history

    nan = float("nan")
    one, same = (told(how, [nan, 5.0, nan, 6.0]) for how in (fit, fit_parallel))
    assert one[1].best_epoch == same[1].best_epoch == 1
    assert difference(one[0], same[0]) < 1e-6
    with pytest.raises(ValueError, match="finite validation loss"):
        told(fit_parallel, [nan] * 4)


def test_mixed_precision_follows_the_processor(cpu_with):
    seen = []
    model = network()
    model[1].register_forward_hook(lambda module, x, y: seen.append((module.training, y.dtype)))
    for has, dtype in ((False, torch.float32), (True, torch.bfloat16)):
        seen.clear()
        cpu_with(avx512_bf16=has)
        train(fit_parallel, model, n=20, options=Options(mixed_precision=True))
        assert dict(seen) == {True: dtype, False: dtype}


@given(rate=st.floats(1e-6, 10), batch=st.integers(1, 10_000), k=st.integers(1, 64))
def test_k_times_the_batch_k_times_the_rate(rate, batch, k):
    assert scaled_rate(rate, batch, batch) == rate
    assert scaled_rate(rate, k * batch, batch) == pytest.approx(k * rate)
    assert scaled_rate(scaled_rate(rate, k * batch, batch), batch, k * batch) == pytest.approx(rate)


def test_goyal_by_hand():
    assert scaled_rate(0.1, 8192, 256) == pytest.approx(3.2)  # their 256 GPUs


@pytest.mark.parametrize("wrong", [(0, 64, 64), (1e-3, 0, 64), (1e-3, 64, -1)])
def test_rates_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match="above 0"):
        scaled_rate(*wrong)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match="average"):
        train(fit_parallel, network(), options=Options(average=0.99))
    with pytest.raises(ValueError, match="accumulate"):
        train(fit_parallel, network(), accumulate=0)
    with pytest.raises(ValueError, match="got none in train"):
        train(fit_parallel, network(), n=0)


if __name__ == "__main__":
    program(Path(sys.argv[1]))
