"""Exercises of notebook 03 on choosing fairly: when to stop, which model, one normalisation.

Each repairs a flaw of the published Kaggle notebook (see the package's docstring).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    Mistakes,
    as_array,
    as_items,
    as_number,
    close,
    compare,
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


def _ties_are_progress(losses: Sequence[float], patience: int) -> tuple[int, int]:
    best = 0
    for epoch, loss in enumerate(losses):
        best = epoch if loss <= losses[best] else best
        if epoch - best >= patience:
            return epoch, best
    return len(losses) - 1, best


def _rises(losses: Sequence[float], patience: int) -> tuple[int, int]:
    for epoch in range(patience, len(losses)):
        if all(losses[epoch - i] > losses[epoch - i - 1] for i in range(patience)):
            return _best(losses, epoch)
    return _best(losses, len(losses) - 1)


def _patience_back(losses: Sequence[float], patience: int) -> tuple[int, int]:
    for epoch in range(patience, len(losses)):
        if losses[epoch] >= losses[epoch - patience]:
            return _best(losses, epoch)
    return _best(losses, len(losses) - 1)


STOP_MISTAKES: Mistakes = {
    "published rule": (_published, "two rises in a row, seen an epoch late, whatever the patience"),
    "against the previous": (_against_previous,
        "you compare each loss with the one before it. Is that the best so far?"),
    "never reset": (_never_reset,
        "you go on counting after a new best. How long does patience last?"),
    "one late": (lambda losses, patience: stop_epoch(losses, patience + 1),
        "one epoch more than the patience allows. Which epoch is the first without progress?"),
    "one early": (
        lambda losses, patience: stop_epoch(losses, patience - 1) if patience > 1 else (0, 0),
        "one epoch before the patience is at an end"),
    "ties are progress": (_ties_are_progress,
        "a loss equal to the best so far counts as progress for you. It is none"),
    "rises in a row": (_rises, "you wait for rises in a row. A loss that zigzags never gives them"),
    "against one epoch": (_patience_back,
        "you compare each loss with one loss, `patience` epochs before. Is that the best so far?"),
    "never": (lambda losses, patience: (len(losses) - 1, int(np.argmin(losses))),
        "you never stop early"),
    "from the overall best": (
        lambda losses, patience: (
            min(int(np.argmin(losses)) + patience, len(losses) - 1),
            int(np.argmin(losses)),
        ),
        "you count from the lowest loss of all epochs. Nobody knows later ones while it trains"),
    "largest is best": (lambda losses, patience: stop_epoch([-loss for loss in losses], patience),
        "you take the largest loss for the best"),
    "patience fixed at 1": (lambda losses, patience: stop_epoch(losses, 1),
        "you stop as with patience 1, whatever it is"),
    "patience fixed at 2": (lambda losses, patience: stop_epoch(losses, 2),
        "you stop as with patience 2, whatever it is"),
    "patience fixed at 3": (lambda losses, patience: stop_epoch(losses, 3),
        "you stop as with patience 3, whatever it is"),
    "counted from 1": (lambda losses, patience: (stop_epoch(losses, patience)[0] + 1, 0),
        "you count one epoch too many. The first epoch is number 0"),
    "without the last": (lambda losses, patience: stop_epoch(losses[:-1] or losses, patience),
        "you leave out the last epoch"),
    "without the first": (
        lambda losses, patience: (
            stop_epoch(losses[1:], patience)[0] + 1 if len(losses) > 1 else 0,
            0,
        ),
        "you leave out the first epoch, number 0. It may be the best"),
}  # fmt: skip


def _check_stop(ask: Answer) -> str | None:
    rng = np.random.default_rng(35)
    noisy = np.exp(rng.normal(0, 0.3, (20, 9)) - np.arange(9) / 6).round(2)
    curves: list[list[float]] = [
        [5, 4, 3, 3.5, 3.4, 3.3, 3.2, 3.1, 2.9],
        [3, 2, 2, 2, 2, 1],
        [5, 4, 3, 2, 1],
        [1, 2, 3],
        [2, 2, 2, 2, 2, 2, 2],
        [0.5, 0.49, 0.48, 0.479, 0.478, 0.4775],
        [4, 5, 3, 4, 2, 3, 1, 2, 3, 2, 3],
        [0.7],
    ]
    curves += noisy.tolist()
    what = "two epochs, (stopped, best)"
    cases = [(curve, patience) for curve in curves for patience in (1, 2, 3, 4)]
    got, right = [], [stop_epoch(*case) for case in cases]
    for curve, patience in cases:
        seen = f"losses {curve} and patience {patience}"
        items = as_items(ask(curve, patience, seen=seen), 2, what)
        got.append(tuple(as_number(item, "an epoch") for item in items))
    if got == right:
        return None
    first = next(i for i in range(len(cases)) if got[i] != right[i])
    (curve, patience), (stopped, best) = cases[first], got[first]
    seen = f"for losses {curve} and patience {patience} you stop after epoch {stopped:g}"
    if all(one == two[::-1] for one, two in zip(got, right, strict=True)):
        return f"{seen} and keep {best:g}. (stopped, best) was asked for, in this order"
    if [g[0] for g in got] != [r[0] for r in right]:
        wrong = next(i for i in range(len(cases)) if got[i][0] != right[i][0])
        seen = f"for losses {cases[wrong][0]} and patience {cases[wrong][1]} you stop after epoch "
        seen += f"{got[wrong][0]:g}, where {right[wrong][0]} is right"
        for rule, message in STOP_MISTAKES.values():
            if [g[0] for g in got] == [rule(*case)[0] for case in cases]:
                return f"{seen}: {message}"
        return f"{seen}. Count by hand the epochs in a row, up to there, without a new best"
    seen += f" and keep epoch {best:g}, where {right[first][1]} is right"
    if best > stopped:
        return f"{seen}: {best:g} was never trained"
    if all(one[1] == curve[two[1]] for one, two, (curve, _) in zip(got, right, cases, strict=True)):
        return f"{seen}: that is the lowest loss, and its epoch was asked for"
    if all(one[1] == two[1] + 1 for one, two in zip(got, right, strict=True)):
        return f"{seen}: the first epoch is number 0"
    if best == int(best) and curve[int(best)] == min(curve[: int(stopped) + 1]):
        return f"{seen}: of equal losses, the first was asked for"
    if best == stopped:
        return f"{seen}. You keep the last weights. Were they the best so far?"
    return f"{seen}. Which loss up to there is the lowest?"


STOP = Exercise(
    id="03.5",
    title="When to stop, and what to keep",
    question=(
        "The Kaggle notebook stops when the validation loss has risen twice in a row: "
        "`val_loss[n-2] < val_loss[n-1] < val_loss[n]`. But `val_loss[0]` is the loss before "
        "training, so `val_loss[n]` is one epoch old; a loss that climbs in zigzag never stops it; "
        "and the weights kept are the last, not the best.\n\n"
        "Write `stop_epoch(validation_losses, patience)`: a list of losses, one or more, one after "
        "each epoch from 0, and an int, 1 or more. Training stops after the first epoch that makes "
        "`patience` epochs in a row without a loss **below the best so far** (an equal one is no "
        "progress), or else after the last epoch. Return `(stopped, best)`: the epoch after which "
        "it stops, and the first epoch with the lowest loss until then, whose weights you would "
        "keep. `stop_epoch([5, 3, 4, 3, 1], 2)` is `(3, 1)`."
    ),
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


def _unlike_report(
    chosen: Callable[[np.ndarray, np.ndarray], Any] = lambda validation, test: validation.argmax(),
    score: Callable[[Any, np.ndarray, np.ndarray], Any] = lambda one, validation, test: test[one],
) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Give an answer with another choice or another score."""

    def answer(validation: np.ndarray, test: np.ndarray) -> Any:
        one = chosen(validation, test)
        return [one, score(one, validation, test)]

    return answer


_PART = "Then the test set took part in the selection; what is left to measure the result with?"
REPORT_MISTAKES: Mistakes = {
    "best test": (_unlike_report(lambda validation, test: test.argmax()),
        f"You choose by the test score. {_PART}"),
    "best test, validation score": (
        _unlike_report(
            lambda validation, test: test.argmax(), lambda one, validation, test: validation[one]
        ),
        "You choose by the test score, and publish the validation score: the two sets have "
        "changed places"),
    "validation score": (_unlike_report(score=lambda one, validation, test: validation[one]),
        "You publish the number that made the model the winner. Was it better, or luckier? Which "
        "number had no part in the choice?"),
    "best test score": (_unlike_report(score=lambda one, validation, test: test.max()),
        "You choose by validation, and publish another model's test score, the largest"),
    "as a loss": (_unlike_report(lambda validation, test: validation.argmin()),
        "You choose the smallest score. Are these scores accuracies or losses?"),
    "test as a loss": (_unlike_report(lambda validation, test: test.argmin()),
        f"You choose by the test score, the smallest. {_PART}"),
    "sum": (_unlike_report(lambda validation, test: (validation + test).argmax()),
        f"You choose by both sets together. {_PART}"),
    "worse of both": (
        _unlike_report(lambda validation, test: np.minimum(validation, test).argmax()),
        f"You choose by both sets together. {_PART}"),
    "smallest gap": (_unlike_report(lambda validation, test: abs(validation - test).argmin()),
        f"You choose by the difference of both sets. {_PART}"),
    "mean test score": (_unlike_report(score=lambda one, validation, test: test.mean()),
        "You publish the mean over models. The chosen one has a score of its own"),
    "mean of both": (
        _unlike_report(score=lambda one, validation, test: (test[one] + validation[one]) / 2),
        "You publish the mean of both scores. One of the two took part in the choice"),
    "smaller of both": (
        _unlike_report(score=lambda one, validation, test: min(test[one], validation[one])),
        "You publish the smaller of both scores. One of the two took part in the choice"),
    "difference": (_unlike_report(score=lambda one, validation, test: validation[one] - test[one]),
        "You publish a difference of two scores"),
    "from 1": (lambda validation, test: [validation.argmax() + 1, test[validation.argmax()]],
        "Your score is right, and your index counts from 1. Python counts from 0"),
    "swapped": (lambda validation, test: [test[validation.argmax()], validation.argmax()],
        "(index, score) was asked for, in this order"),
    "first": (_unlike_report(lambda validation, test: 0), "You always choose the first model"),
    "last": (_unlike_report(lambda validation, test: len(test) - 1),
        "You always choose the last model"),
    "second": (_unlike_report(lambda validation, test: np.argsort(validation)[-2]),
        "You choose the second best on validation"),
    "error": (_unlike_report(score=lambda one, validation, test: 1 - test[one]),
        "You publish the share that is wrong. The accuracy was asked for"),
    "per cent": (_unlike_report(score=lambda one, validation, test: 100 * test[one]),
        "You publish a percentage. The score was asked for, as it is"),
}  # fmt: skip


def _check_report(ask: Answer) -> str | None:
    rng = np.random.default_rng(36)
    what = "two values, (index of the chosen model, its score)"

    def read(value: Any) -> list[float]:
        index, score = as_items(value, 2, what)
        return [as_number(index, "a model's index"), as_number(score, "its score")]

    cases = {}
    for k in (4, 3, 5, 8, 4, 2, 6, 12):
        validation, test = rng.permutation(np.linspace(0.7, 0.9, 2 * k).round(3)).reshape(2, k)
        cases[f"validation {validation.tolist()} and test {test.tolist()}"] = validation, test
    validation, test = np.array([0.8, 0.801, 0.75]), np.array([0.9, 0.7, 0.85])  # a near tie
    cases[f"validation {validation.tolist()} and test {test.tolist()}"] = validation, test
    complaint = compare(ask, report, cases, REPORT_MISTAKES, what, read, atol=1e-5)
    if complaint is None:
        return None
    complaint = complaint.replace(" at [0], where", " as the index, where")
    return complaint.replace(" at [1], where", " as the score, where")


REPORT = Exercise(
    id="03.6",
    title="Which model, and which number?",
    question=(
        "The Kaggle notebook uses one validation set three times: to keep the best of 10 initial "
        "weights, to stop the training, and to report the result. The best of k equally good "
        "models looks better than it is, for 10 models by 1.5 times the noise of one score (never "
        "by more than the root of 2 ln k times), and that luck is published as progress. Kaggle's "
        "test set was never scored.\n\n"
        "Write `report(validation_scores, test_scores)`: two numpy arrays of shape `(k,)`, the "
        "accuracies (higher is better, no two alike) of the same k trained models on the two sets. "
        "Return `(chosen, score)`: the index from 0 of the model you would keep, and the score, as "
        "it is, that you would publish for it."
    ),
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


def _per_channel(images: np.ndarray, how: str) -> Any:
    return getattr(images, how)(axis=(0, 2, 3), keepdims=True)


def _ready(
    shift: Callable[[np.ndarray], Any] = lambda train: _per_channel(train, "mean"),
    scale: Callable[[np.ndarray], Any] = lambda train: _per_channel(train, "std"),
    before: float = 1.0,
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Give a way to prepare ``images`` by other statistics of ``train``."""
    return lambda train, images: (images / before - shift(train)) / scale(train)


PREPARE_MISTAKES: Mistakes = {
    "only scaled": (lambda train, images: images / 255,
        "They are merely on the scale 0 to 1, not normalised"),
    "-1 to 1": (lambda train, images: images / 127.5 - 1,
        "They are merely on the scale -1 to 1, not normalised"),
    "0 to 1 by extremes": (
        lambda train, images: (
            (images - _per_channel(train, "min"))
            / (_per_channel(train, "max") - _per_channel(train, "min"))
        ),
        "They go from the smallest to the largest pixel. Mean 0 and deviation 1 was asked for"),
    "own statistics": (lambda train, images: make_prepare(images)(images),
        "Images are prepared by their own statistics, so an image alone differs from the same one "
        "among others. Where do mean and deviation come from?"),
    "each image": (
        lambda train, images: (
            (images - images.mean((1, 2, 3), keepdims=True)) / images.std((1, 2, 3), keepdims=True)
        ),
        "Each image is prepared by its own statistics. Where do mean and deviation come from?"),
    "each image and channel": (
        lambda train, images: (
            (images - images.mean((2, 3), keepdims=True)) / images.std((2, 3), keepdims=True)
        ),
        "Each image is prepared by its own statistics. Where do mean and deviation come from?"),
    "all channels": (_ready(lambda train: train.mean(), lambda train: train.std()),
        "One mean and one deviation serve all channels. Statistics of each channel were asked for"),
    "one mean": (_ready(lambda train: train.mean()),
        "One mean serves all channels. That of each channel was asked for"),
    "one deviation": (_ready(scale=lambda train: train.std()),
        "One deviation serves all channels. That of each channel was asked for"),
    "each pixel": (lambda train, images: (images - train.mean(axis=0)) / train.std(axis=0),
        "Each place in the image has statistics of its own. Which axes are averaged?"),
    "mean only": (_ready(scale=lambda train: 1.0),
        "The mean is taken away, and the deviation is not 1 yet"),
    "mean only, of 0 to 1": (lambda train, images: (images - _per_channel(train, "mean")) / 255,
        "The mean is taken away, and the deviation is not 1 yet"),
    "deviation only": (_ready(lambda train: 0.0),
        "The deviation is 1, and the mean is not taken away"),
    "variance": (_ready(scale=lambda train: _per_channel(train, "var")),
        "You divide by the variance. Which power of it has the unit of a pixel?"),
    "images scaled, statistics not": (_ready(before=255.0),
        "Images and statistics are not on one scale. How often is 255 divided out?"),
    "statistics scaled, images not": (
        _ready(
            lambda train: _per_channel(train, "mean") / 255,
            lambda train: _per_channel(train, "std") / 255,
        ),
        "Images and statistics are not on one scale. How often is 255 divided out?"),
    "255 twice": (
        _ready(
            lambda train: _per_channel(train, "mean") / 255,
            lambda train: _per_channel(train, "std") / 255,
            255.0**2,
        ),
        "Images and statistics are not on one scale. How often is 255 divided out?"),
    "negative": (lambda train, images: -make_prepare(train)(images),
        "Bright became dark. Which is subtracted from which?"),
    "whole numbers": (lambda train, images: np.trunc(make_prepare(train)(images)),
        "They are whole numbers. Floats were asked for"),
    "mean of uint8": (_ready(lambda train: np.trunc(_per_channel(train, "mean"))),
        "The mean is cut to a whole number"),
    "first image": (lambda train, images: make_prepare(train[:1])(images),
        "The statistics are those of the first training image alone"),
}  # fmt: skip


def _check_prepare(ask: Answer) -> str | None:
    rng = np.random.default_rng(37)
    gain = np.array([1.2, 1.0, 0.6])[None, :, None, None]

    def draw(shape: float, scale: float, n: int) -> np.ndarray:
        light = rng.gamma(shape, scale, (n, 3, 8, 6)) * gain * rng.uniform(0.5, 1.5, (n, 1, 1, 1))
        return light.clip(0, 255).astype(np.uint8)

    train, other = draw(0.6, 25, 20), draw(2.0, 30, 4)
    made = ask(train, seen="20 training images, uint8 of shape (20, 3, 8, 6)")
    if not callable(made):
        return f"expected a function that prepares images, got {describe(made)}"
    prepare = Answer(made, "the function you returned")
    what = "prepared images of the same shape"

    def reference(images: np.ndarray, train: np.ndarray = train) -> np.ndarray:
        return make_prepare(train)(images)

    mistakes = {
        name: (functools.partial(how, train), message)
        for name, (how, message) in PREPARE_MISTAKES.items()
    }
    cases: dict[str, tuple[Any, ...]] = {
        "the 20 training images": (train,),
        "4 test images": (other,),
        "the first of them alone": (other[:1],),
        "a black image": (np.zeros_like(train[:1]),),
        "the training images again": (train,),
    }
    complaint = compare(prepare, reference, cases, mistakes, what, rtol=2e-3, atol=2e-3)
    if complaint is None:
        larger = {"3 images of 5 x 9 pixels": (other[:3, :, :5].repeat(2, axis=3)[..., :9],)}
        complaint = compare(prepare, reference, larger, mistakes, what, rtol=2e-3, atol=2e-3)
    if complaint is None:
        # A second preparation must not change the first one.
        again = draw(1.0, 40, 6)
        second = Answer(ask(again, seen="6 training images"), "the function you returned")
        for one, its_train, whose in ((prepare, train, "first"), (second, again, "second")):
            got = as_array(one(other, seen="4 test images"), other.shape, what)
            if not close(got, make_prepare(its_train)(other), 2e-3, 2e-3):
                return (
                    f"of two functions made from two training sets, the {whose} one does not use "
                    "the statistics of its own"
                )
        return None
    if ". " in complaint:
        return complaint
    got = as_array(prepare(train, seen="the 20 training images"), train.shape, what, finite=False)
    mean, std = got.mean((0, 2, 3)), got.std((0, 2, 3))
    if max(abs(mean)) > 0.01 or max(abs(std - 1)) > 0.01:
        return (
            f"{complaint}. Prepared training channels have means {mean.round(3).tolist()} and "
            f"deviations {std.round(3).tolist()}"
        )
    return (
        f"{complaint}. The training images are right, so test images are prepared in another way: "
        "the network must see one scale"
    )


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
        "shape, so that each channel of the training images has mean 0 and standard deviation 1 "
        "(to 0.002; no channel is constant), and every other image, even one alone, goes through "
        "the very same map."
    ),
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
