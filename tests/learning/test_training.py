import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from galhelpers.data.augment import Augment, to_float
from galhelpers.learning.training import batches, fit, predict


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
