"""Exercises of notebook 04 on choosing fairly: when to stop, which model, one normalisation.

Each repairs a flaw of the published Kaggle notebook (see the package's docstring).
"""

from collections.abc import Callable, Sequence

import numpy as np

from galhelpers.exercises.exercise import (
    Answer,
    Exercise,
    NotYet,
    as_array,
    close,
    compare,
    describe,
    edited,
)

# 04.5 --------------------------------------------------------------------------------------------


def stop_epoch(validation_losses: Sequence[float], patience: int) -> tuple[int, int]:
    """Epoch after which training stops, and the epoch of the weights to keep; both from 0."""
    best = 0
    for epoch, loss in enumerate(validation_losses):
        if loss < validation_losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch, best
    return len(validation_losses) - 1, best


_ROWS = (
    "validation_losses[e] {} validation_losses[e - 1] for e in range(epoch, epoch - patience, -1)"
)
_FROM_0 = "you count from 1. The first epoch is number 0"
STOP_MISTAKES = edited(stop_epoch, {
    "epoch - best >= patience => epoch > 3 and validation_losses[epoch - 3]"
    " < validation_losses[epoch - 2] < validation_losses[epoch - 1]":
        "two rises in a row, seen an epoch late, whatever the patience",
    f"epoch - best >= patience => epoch >= patience and all({_ROWS.format('>=')})":
        "you compare each loss with the one before it. Is that the best so far?",
    "best = 0 => best = better = 0; best = epoch => best, better = epoch, better + 1"
    "; epoch - best => epoch - better":
        "you go on counting after a new best. How long does patience last?",
    ">= patience => > patience":
        "one epoch more than the patience allows. Which epoch is the first without progress?",
    ">= patience => >= patience - 1": "one epoch before the patience is at an end",
    "loss < => loss <=": "a loss equal to the best so far counts as progress for you. It is none",
    f"epoch - best >= patience => epoch >= patience and all({_ROWS.format('>')})":
        "you wait for rises in a row. A loss that zigzags never gives them",
    "epoch - best >= patience => epoch >= patience and loss >= validation_losses[epoch - patience]":
        "you compare each loss with one loss, `patience` epochs before. Is that the best so far?",
    "epoch - best >= patience => False": "you never stop early",
    "epoch - best => epoch - int(np.argmin(validation_losses))":
        "you count from the lowest loss of all epochs. Nobody knows later ones while it trains",
    "loss < => loss >": "you take the largest loss for the best",
    ">= patience => >= 1": "you stop as with patience 1, whatever it is",
    ">= patience => >= 2": "you stop as with patience 2, whatever it is",
    ">= patience => >= 3": "you stop as with patience 3, whatever it is",
    "epoch, best => epoch + 1, best + 1; - 1, best => , best + 1": _FROM_0,
    "epoch, best => epoch + 1, best; - 1, best => , best": _FROM_0,
    "epoch, best => epoch, best + 1; - 1, best => - 1, best + 1": _FROM_0,
    "enumerate(validation_losses) => enumerate(validation_losses[:-1] or [0])"
    "; len(validation_losses) - 1 => max(len(validation_losses) - 2, 0)":
        "you leave out the last epoch",
    "enumerate(validation_losses) => list(enumerate(validation_losses))[1:]"
    "; best = 0 => best = min(1, len(validation_losses) - 1)":
        "you leave out the first epoch, number 0. It may be the best",
    "epoch, best => epoch, epoch; 1, best => 1, len(validation_losses) - 1":
        "you keep the last weights. Were they the best so far?",
    "epoch, best => epoch, int(np.argmin(validation_losses))":
        "you keep the lowest loss of all, from an epoch that was never trained",
    "epoch, best => epoch, validation_losses[best]; 1, best => 1, validation_losses[best]":
        "that is the lowest loss, and its epoch was asked for",
    "best = 0 => best = kept = 0; epoch, best => epoch, kept; 1, best => 1, kept; if epoch - => "
    "kept = epoch if loss == validation_losses[best] else kept\n        if epoch -":
        "of equal losses, the first was asked for",
})  # fmt: skip


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
    odd = [[2000, 1500, 1600, 1700, 1800], [-1, -1, -2, -1.5, -1, -1], [1, 0.99995, 1, 1, 1]]
    cases = {
        f"losses {curve} and patience {patience}": (curve, patience)
        for curve in curves + noisy.tolist() + odd
        for patience in (1, 2, 3, 4)
    }
    return compare(
        ask, stop_epoch, cases, STOP_MISTAKES,
        what="two epochs, (stopped, best)",
        parts=("last epoch", "epoch kept"),
        otherwise="Count by hand the epochs in a row without a new best. Which loss up to there is "
        "the lowest?",
    )  # fmt: skip


STOP = Exercise(
    id="04.5",
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

# 04.6 --------------------------------------------------------------------------------------------


def report(validation_scores: np.ndarray, test_scores: np.ndarray) -> tuple[int, float]:
    """Index of the chosen model, and the score to publish for it."""
    chosen = int(np.argmax(validation_scores))
    return chosen, float(test_scores[chosen])


_PART = "Then the test set took part in the selection; what is left to measure the result with?"
_BOTH = "One of the two took part in the choice"
REPORT_MISTAKES = edited(report, {
    "argmax(validation_scores) => argmax(test_scores)": f"You choose by the test score. {_PART}",
    "argmax(validation_scores) => argmax(test_scores); test_scores[ => validation_scores[":
        "You choose by the test score, and publish the validation score: the two sets have "
        "changed places",
    "test_scores[chosen] => validation_scores[chosen]":
        "You publish the number that made the model the winner. Was it better, or luckier? Which "
        "number had no part in the choice?",
    "test_scores[chosen] => test_scores.max()":
        "You choose by validation, and publish another model's test score, the largest",
    "argmax => argmin": "You choose the smallest score. Are these scores accuracies or losses?",
    "argmax(validation_scores) => argmin(test_scores)":
        f"You choose by the test score, the smallest. {_PART}",
    "argmax(validation_scores) => argmax(validation_scores + test_scores)":
        f"You choose by both sets together. {_PART}",
    "argmax(validation_scores) => argmax(np.minimum(validation_scores, test_scores))":
        f"You choose by both sets together. {_PART}",
    "argmax(validation_scores) => argmin(abs(validation_scores - test_scores))":
        f"You choose by the difference of both sets. {_PART}",
    "test_scores[chosen] => test_scores.mean()":
        "You publish the mean over models. The chosen one has a score of its own",
    "test_scores[chosen] => (test_scores + validation_scores)[chosen] / 2":
        f"You publish the mean of both scores. {_BOTH}",
    "test_scores[chosen] => min(test_scores[chosen], validation_scores[chosen])":
        f"You publish the smaller of both scores. {_BOTH}",
    "test_scores[chosen] => (validation_scores - test_scores)[chosen]":
        "You publish a difference of two scores",
    "return chosen => return chosen + 1":
        "Your index counts from 1. Python counts from 0",
    "int(np.argmax(validation_scores)) => 0": "You always choose the first model",
    "int(np.argmax(validation_scores)) => len(test_scores) - 1": "You always choose the last model",
    "np.argmax(validation_scores) => np.argsort(validation_scores)[-2]":
        "You choose the second best on validation",
    "float( => 1 - float(": "You publish the share that is wrong. The accuracy was asked for",
    "float( => 100 * float(": "You publish a percentage. The score was asked for, as it is",
})  # fmt: skip


def _check_report(ask: Answer) -> str | None:
    rng = np.random.default_rng(36)
    scores = [
        rng.permutation(np.linspace(0.7, 0.9, 2 * k).round(3)).reshape(2, k)
        for k in (4, 3, 5, 8, 4, 2, 6, 12)
    ]
    scores.append(np.array([[0.8, 0.801, 0.75], [0.9, 0.7, 0.85]]))  # a near tie
    cases = {f"validation {v.tolist()} and test {t.tolist()}": (v, t) for v, t in scores}
    what = "two values, (index of the chosen model, its score)"
    return compare(ask, report, cases, REPORT_MISTAKES, what, parts=("index", "score"), atol=1e-5)


REPORT = Exercise(
    id="04.6",
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

# 04.7 --------------------------------------------------------------------------------------------


def make_prepare(train_images: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Give the function that prepares any images for the network."""
    mean = train_images.mean(axis=(0, 2, 3), keepdims=True)
    std = train_images.std(axis=(0, 2, 3), keepdims=True)
    return lambda images: (images - mean) / std


_SCALE = "Images and statistics are not on one scale. How often is 255 divided out?"
_OWN = "Where do mean and deviation come from?"
PREPARE_MISTAKES = edited(make_prepare, {
    "(images - mean) / std => images / 255": "They are merely on the scale 0 to 1, not normalised",
    "(images - mean) / std => images / 127.5 - 1":
        "They are merely on the scale -1 to 1, not normalised",
    "train_images.mean( => train_images.min(; train_images.std( => np.ptp(train_images, ":
        "They go from the smallest to the largest pixel. Mean 0 and deviation 1 was asked for",
    "(images - mean) / std => make_prepare(images)(images)":
        "Images are prepared by their own statistics, so an image alone differs from the same one "
        f"among others. {_OWN}",
    "- mean) / std => - images.mean((1, 2, 3), keepdims=True)) / "
    "images.std((1, 2, 3), keepdims=True)": f"Each image is prepared by its own statistics. {_OWN}",
    "(images - mean) / std => np.stack([make_prepare(one[None])(one) for one in images])[:, 0]":
        f"Each image is prepared by its own statistics. {_OWN}",
    "axis=(0, 2, 3), keepdims=True => ":
        "One mean and one deviation serve all channels. Statistics of each channel were asked for",
    "mean(axis=(0, 2, 3), keepdims=True) => mean()":
        "One mean serves all channels. That of each channel was asked for",
    "std(axis=(0, 2, 3), keepdims=True) => std()":
        "One deviation serves all channels. That of each channel was asked for",
    "axis=(0, 2, 3), keepdims=True => axis=0":
        "Each place in the image has statistics of its own. Which axes are averaged?",
    "/ std => / 1": "The mean is taken away, and the deviation is not 1 yet",
    "/ std => / 255": "The mean is taken away, and the deviation is not 1 yet",
    "images - mean => images": "The deviation is 1, and the mean is not taken away",
    "train_images.std => train_images.var":
        "You divide by the variance. Which power of it has the unit of a pixel?",
    "images - mean => images / 255 - mean": _SCALE,
    "keepdims=True) => keepdims=True) / 255": _SCALE,
    "images - mean => images / 255**2 - mean; keepdims=True) => keepdims=True) / 255": _SCALE,
    "images - mean => mean - images": "Bright became dark. Which is subtracted from which?",
    "(images - mean) / std => np.trunc((images - mean) / std)":
        "They are whole numbers. Floats were asked for",
    "- mean => - np.trunc(mean)": "The mean is cut to a whole number",
    "train_images. => train_images[:1].":
        "The statistics are those of the first training image alone",
})  # fmt: skip


def _check_prepare(ask: Answer) -> str | None:
    rng = np.random.default_rng(37)
    gain = np.array([1.2, 1.0, 0.6])[None, :, None, None]

    def draw(shape: float, scale: float, n: int) -> np.ndarray:
        light = rng.gamma(shape, scale, (n, 3, 8, 6)) * gain * rng.uniform(0.5, 1.5, (n, 1, 1, 1))
        return light.clip(0, 255).astype(np.uint8)

    def made(train: np.ndarray) -> tuple[Answer, np.ndarray]:
        prepare = ask(train, seen=f"{len(train)} training images, uint8 of shape {train.shape}")
        if not callable(prepare):
            raise NotYet(f"expected a function that prepares images, got {describe(prepare)}")
        return Answer(prepare, "the function you returned"), train

    def asked(prepare: Answer, train: np.ndarray, cases: dict[str, np.ndarray]) -> str | None:
        mistakes = {name: (how(train), words) for name, (how, words) in PREPARE_MISTAKES.items()}
        given = {seen: (images,) for seen, images in cases.items()}
        what, right = "prepared images of the same shape", make_prepare(train)
        return compare(prepare, right, given, mistakes, what, rtol=2e-3, atol=2e-3)

    train, other = draw(0.6, 25, 20), draw(2.0, 30, 4)
    first = made(train)
    complaint = asked(*first, {
        "the 20 training images": train,
        "4 test images": other,
        "the first of them alone": other[:1],
        "a black image": np.zeros_like(train[:1]),
        "the training images again": train,
    })  # fmt: skip
    if complaint is None:
        larger = other[:3, :, :5].repeat(2, axis=3)[..., :9]
        complaint = asked(*first, {"3 images of 5 x 9 pixels": larger})
    if complaint is None:
        second = made(draw(1.0, 40, 6))
        for which, one in {"first": first, "second": second}.items():
            if told := asked(*one, {"4 test images": other}):
                return (
                    f"of two functions made from two training sets, the {which} one does not use "
                    f"the statistics of its own: {told}"
                )
        return None
    if ". " in complaint:
        return complaint
    got = as_array(first[0](train), finite=False)
    mean, std = got.mean((0, 2, 3)), got.std((0, 2, 3))
    if max(abs(mean)) > 0.01 or max(abs(std - 1)) > 0.01:
        return (
            f"{complaint}. Prepared training channels have means {mean.round(3).tolist()} and "
            f"deviations {std.round(3).tolist()}"
        )
    if not close(got, make_prepare(train)(train), rtol=2e-3, atol=2e-3):
        return complaint
    return (
        f"{complaint}. The training images are right, so test images are prepared in another way: "
        "the network must see one scale"
    )


PREPARE = Exercise(
    id="04.7",
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
