"""Exercises of notebook 03 on choosing fairly: when to stop, which model, one normalisation.

Each repairs a flaw of the published Kaggle notebook (see the package's docstring).
"""

from collections.abc import Callable, Sequence

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_array,
    as_items,
    as_number,
    close,
    describe,
)

# 03.5 --------------------------------------------------------------------------------------------


def stop_epoch(validation_losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Epoch after which training stops, and the epoch of the weights to keep; both from 0."""
    best = 0
    for epoch, loss in enumerate(validation_losses):
        if loss < validation_losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch, best
    return len(validation_losses) - 1, best


def _best(losses: Sequence[float], stop: int) -> tuple[int, int]:
    return stop, int(np.argmin(losses[: stop + 1]))


def _published(losses: Sequence[float], patience: int) -> tuple[int, int]:
    # val_loss[0] is the loss before training, so val_loss[n] is not yet that of epoch n.
    stops = [n + 1 for n in range(3, len(losses) - 1) if losses[n - 2] < losses[n - 1] < losses[n]]
    return _best(losses, stops[0] if stops else len(losses) - 1)


def _against_previous(losses: Sequence[float], patience: int) -> tuple[int, int]:
    worse = 0
    for epoch in range(1, len(losses)):
        worse = worse + 1 if losses[epoch] >= losses[epoch - 1] else 0
        if worse == patience:
            return _best(losses, epoch)
    return _best(losses, len(losses) - 1)


def _never_reset(losses: Sequence[float], patience: int) -> tuple[int, int]:
    worse = [e for e in range(1, len(losses)) if losses[e] >= min(losses[:e])]
    return _best(losses, worse[patience - 1] if len(worse) >= patience else len(losses) - 1)


STOP_MISTAKES: Mistakes = {
    "published rule": (_published, "two rises in a row, seen an epoch late, whatever the patience"),
    "against the previous": (
        _against_previous,
        "you compare each loss with the one before it. Is that the best so far?",
    ),
    "never reset": (
        _never_reset,
        "you go on counting after a new best. How long does patience last?",
    ),
    "one late": (
        lambda losses, patience: stop_epoch(losses, patience + 1),
        "one epoch more than the patience allows. Which epoch is the first without progress?",
    ),
}


def _check_stop(ask: Answer) -> str | None:
    rng = np.random.default_rng(35)
    noisy = np.exp(rng.normal(0, 0.3, (20, 9)) - np.arange(9) / 6).round(2)
    curves: list[list[float]] = [
        [5, 4, 3, 3.5, 3.4, 3.3, 3.2, 3.1, 2.9],
        [3, 2, 2, 2, 2, 1],
        [5, 4, 3, 2, 1],
    ]
    curves += noisy.tolist()
    what = "two epochs, (stopped, best)"
    cases, got = [(curve, patience) for curve in curves for patience in (1, 2, 3)], []
    for curve, patience in cases:
        items = as_items(ask(curve, patience), 2, what)
        got.append(tuple(as_number(item, "an epoch") for item in items))
    right = [stop_epoch(*case) for case in cases]
    if got == right:
        return None
    first = next(i for i in range(len(cases)) if got[i] != right[i])
    (curve, patience), (stopped, best) = cases[first], got[first]
    seen = f"for losses {curve} and patience {patience} you stop after epoch {stopped:g}"
    for rule, message in STOP_MISTAKES.values():
        if [g[0] for g in got] == [rule(*case)[0] for case in cases]:
            return f"{seen}: {message}"
    if [g[0] for g in got] != [r[0] for r in right]:
        return f"{seen}. Count by hand the epochs in a row, up to there, without a new best"
    if best > stopped:
        return f"{seen} and keep epoch {best:g}, which was never trained"
    if best == stopped:
        return f"{seen}, and keep its weights. Was it the best so far?"
    return f"{seen} and keep epoch {best:g}, whose loss is {curve[int(best)]:g}. Was that the best?"


STOP = Exercise(
    id="03.5",
    title="When to stop, and what to keep",
    question=(
        "The Kaggle notebook stops when the validation loss has risen twice in a row: "
        "`val_loss[n-2] < val_loss[n-1] < val_loss[n]`. But `val_loss[0]` is the loss before "
        "training, so `val_loss[n]` is one epoch old; a loss that climbs in zigzag never stops it; "
        "and the weights kept are the last, not the best.\n\n"
        "Write `stop_epoch(validation_losses, patience)`: a list of losses, one after each epoch "
        "from 0, and an int. Training stops after the first epoch that makes `patience` epochs in "
        "a row without a loss **below the best so far** (an equal one is no progress), or else "
        "after the last epoch. Return `(stopped, best)`: the epoch after which it stops, and the "
        "first epoch with the lowest loss until then, whose weights you would keep."
    ),
    stub='''def stop_epoch(validation_losses, patience):
    """Epoch after which training stops, and the epoch of the weights to keep; both from 0."""
    ...''',
    hints=(
        "Walk through the losses, and remember the best epoch so far.",
        "How many epochs have passed since the best one? A new best starts the count again.",
        "Stop at the first `epoch` with `epoch - best >= patience`, and return both.",
    ),
    reference=stop_epoch,
    diagnose=_check_stop,
    lesson="Patience counts from the best epoch, and the best epoch's weights are restored.",
)

# 03.6 --------------------------------------------------------------------------------------------


def report(validation_scores: np.ndarray, test_scores: np.ndarray) -> tuple[int, float]:
    """Index of the chosen model, and the score to publish for it."""
    chosen = int(np.argmax(validation_scores))
    return chosen, float(test_scores[chosen])


def _check_report(ask: Answer) -> str | None:
    rng = np.random.default_rng(36)
    what = "two values, (index of the chosen model, its score)"
    for _ in range(20):
        validation, test = rng.uniform(0.7, 0.9, (2, 4)).round(3)
        seen = f"validation {validation.tolist()} and test {test.tolist()}"
        index, score = as_items(ask(validation, test, seen=seen), 2, what)
        index, score = as_number(index, "a model's index"), as_number(score, "its score")
        best = int(validation.argmax())
        if test.argmax() == best or validation.argmin() == test.argmin():
            continue  # the wrong ways would look right
        if index == test.argmax():
            return (
                f"for {seen} you choose model {index:g} by its test score. Then the test set took "
                "part in the selection; what is left to measure the result with?"
            )
        if index == validation.argmin():
            return f"for {seen} you choose model {index:g}. Are these scores accuracies or losses?"
        if index != best:
            return f"for {seen} you choose model {index:g}. What makes a model the one to keep?"
        if close(score, validation[best]):
            return (
                f"for {seen} you publish {score:.3f}, the number that made model {index:g} the "
                "winner of 4. Was it better, or luckier? Which number had no part in the choice?"
            )
        if close(score, test.max()):
            return f"for {seen} you choose model {index:g}, and publish another model's {score:.3f}"
        if not close(score, test[best]):
            return f"for {seen} you publish {score:.4g}, which is no test score of model {index:g}"
    return None


REPORT = Exercise(
    id="03.6",
    title="Select on one set, report on another",
    question=(
        "The Kaggle notebook uses one validation set three times: to keep the best of 10 initial "
        "weights, to stop the training, and to report the result. The best of k equally good "
        "models looks better than it is, by about the noise of one score times the root of "
        "2 ln k, and that luck is published as progress. Kaggle's test set was never scored.\n\n"
        "Write `report(validation_scores, test_scores)`: two numpy arrays of shape `(k,)`, the "
        "accuracies (higher is better) of the same k trained models on the two sets. Return "
        "`(chosen, score)`: the index of the model you would keep, and the score you would publish "
        "for it."
    ),
    stub='''def report(validation_scores, test_scores):
    """Index of the chosen model, and the score to publish for it."""
    ...''',
    hints=(
        "Which of the two sets may take part in the choice?",
        "A number that took part in the choice is biased; which one did not?",
        "`np.argmax` of one array is an index into the other.",
    ),
    reference=report,
    diagnose=_check_report,
    lesson="The test set answers one question, once: how good is what you chose without it?",
)

# 03.7 --------------------------------------------------------------------------------------------


def make_prepare(train_images: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Give the function that prepares any images for the network."""
    mean = train_images.mean(axis=(0, 2, 3), keepdims=True)
    std = train_images.std(axis=(0, 2, 3), keepdims=True)
    return lambda images: (images - mean) / std


def _check_prepare(ask: Answer) -> str | None:
    rng = np.random.default_rng(37)
    gain = np.array([1.2, 1.0, 0.6])[None, :, None, None]
    train = (rng.gamma(0.6, 25, (20, 3, 8, 8)) * gain).clip(0, 255).astype(np.uint8)
    other = (rng.gamma(2.0, 30, (4, 3, 8, 8)) * gain).clip(0, 255).astype(np.uint8)
    made = ask(train, seen="20 training images, uint8 of shape (20, 3, 8, 8)")
    if not callable(made):
        return f"expected a function that prepares images, got {describe(made)}"
    prepare = Answer(made, "the function you returned")
    got = as_array(prepare(train, seen="the 20 training images"), (20, 3, 8, 8))
    mean, std = got.mean((0, 2, 3)), got.std((0, 2, 3))
    shift = abs(mean).max()
    if std.max() < 0.02 or std.min() > 50:
        return (
            f"prepared training images have standard deviation {std[0]:.2g}. Are images and "
            "statistics on one scale? How often is 255 divided out?"
        )
    if close(got, train / 255, 1e-3):
        return "prepared training images are merely on the scale 0 to 1, not normalised"
    if close(got.mean(), 0, atol=1e-2) and shift > 0.05:
        return (
            f"prepared training channels have means {mean.round(2).tolist()}, though all together "
            "have mean 0. Statistics of each channel were asked for"
        )
    if shift > 0.02 or abs(std - 1).max() > 0.02:
        return (
            f"prepared training channels have means {mean.round(2).tolist()} and standard "
            f"deviations {std.round(2).tolist()}; near 0 and 1 was asked for"
        )
    together = as_array(prepare(other, seen="4 test images"), (4, 3, 8, 8))
    alone = as_array(prepare(other[:1], seen="1 test image"), (1, 3, 8, 8))
    if not close(together[:1], alone, 1e-3):
        return (
            "a test image prepared alone differs from the same image prepared with three others. "
            "Where do its mean and standard deviation come from?"
        )
    if not close(together, make_prepare(train)(other), 2e-3, 2e-3):
        return (
            "training images are right, but test images are prepared in another way: a test "
            f"channel has mean {together[:, 0].mean():.2f}. The network must see one scale"
        )
    return None


PREPARE = Exercise(
    id="03.7",
    title="One normalisation for training and test",
    question=(
        "The Kaggle notebook gives its networks raw pixels, with channel means of about 0.04; its "
        "DenseNet121 and ResNet18 had been trained on inputs of mean 0 and standard deviation 1. "
        "Normalising is half the repair. It must also be the *same* map at training and at test: "
        "another team's log (leichen2018/Galaxy_Zoo) goes from 0.167 to 0.109 in RMSE when the "
        "step forgotten at test is added. No error is raised; the network sees another sky.\n\n"
        "Write `make_prepare(train_images)` for a uint8 array, `(galaxies, 3, height, width)`. "
        "Return a **function** `prepare(images)` that maps any such array to floats of the same "
        "shape, so that each channel of the training images has mean 0 and standard deviation 1, "
        "and every other image, even one alone, goes through the very same map."
    ),
    stub='''def make_prepare(train_images):
    """Give the function that prepares any images for the network."""
    ...''',
    hints=(
        "What must be measured once, when the function is made, and what happens at each call?",
        "A function defined inside another remembers the variables around it.",
        "`train_images.mean(axis=(0, 2, 3), keepdims=True)` has shape (1, 3, 1, 1) and can be "
        "subtracted from any batch. Images and statistics must be on one scale.",
    ),
    reference=make_prepare,
    diagnose=_check_prepare,
    lesson="Statistics belong to the training images, and travel with the model.",
)

EXERCISES = (STOP, REPORT, PREPARE)
