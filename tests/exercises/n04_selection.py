"""Answers to the exercises of n04_selection.py: wrong ones, and other right ones."""

import functools

import numpy as np
import pandas as pd
import torch

from galhelpers.exercises.n04_selection import (
    PREPARE_MISTAKES,
    REPORT_MISTAKES,
    STOP_MISTAKES,
    make_prepare,
    stop_epoch,
)


def _and_score(one, test):
    return int(one), test[one]


def _learning_on(train):
    seen = [train]

    def prepare(images):
        seen.append(images)
        return make_prepare(np.concatenate(seen[:1] + seen[2:]))(images)

    return prepare


LAST = {}


def _shared(train):
    LAST["train"] = train
    return lambda images: make_prepare(LAST["train"])(images)


WRONG = {
    "04.5": STOP_MISTAKES
    | {
        "last weights": (lambda v, p: (stop_epoch(v, p)[0],) * 2, "keep the last weights"),
        "looks ahead": (
            lambda v, p: (stop_epoch(v, p)[0], int(np.argmin(v))),
            "was never trained",
        ),
        "other way round": (lambda v, p: stop_epoch(v, p)[::-1], "in the other order"),
        "a loss": (
            lambda v, p: (stop_epoch(v, p)[0], min(v[: stop_epoch(v, p)[0] + 1])),
            "is the lowest loss,",
        ),
        "last of equals": (
            lambda v, p: (
                (s := stop_epoch(v, p)[0]),
                max(i for i in range(s + 1) if v[i] == min(v[: s + 1])),
            ),
            "of equal losses",
        ),
        "best from 1": (lambda v, p: (stop_epoch(v, p)[0], stop_epoch(v, p)[1] + 1), "number 0"),
        "patience back": (
            lambda v, p: ((s := stop_epoch(v, p)[0]), max(s - p, 0)),
            "Which loss up to there is the lowest?",
        ),
        "small steps are no progress": (
            lambda v, p: stop_epoch([round(x, 1) for x in v], p),
            "Count by hand",
        ),
        "patience at most 3": (lambda v, p: stop_epoch(v, min(p, 3)), "Count by hand"),
        "two decimals": (
            lambda v, p: stop_epoch([round(x, 2) for x in v], p),
            "Count by hand",
        ),
        "none": (lambda v, p: (None, 0), "got None"),
        "one number": (lambda v, p: stop_epoch(v, p)[0], "expected two epochs"),
    },
    "04.6": REPORT_MISTAKES
    | {
        "score only": (lambda v, t: t[np.argmax(v)], "expected two values"),
        "all scores": (lambda v, t: (int(np.argmax(v)), t), "expected two values"),
        "rounded": (lambda v, t: (int(np.argmax(v)), round(t[np.argmax(v)], 1)), "to 1 decimal"),
        "good enough": (
            lambda v, t: _and_score(
                next((i for i, s in enumerate(v) if s > 0.88), np.argmax(v)), t
            ),
            "you give 4 as the index, where 6 is right",
        ),
        "a little of the test": (
            lambda v, t: _and_score(np.argmax(0.99 * v + 0.01 * t), t),
            "you give 0 as the index, where 1 is right",
        ),
        "ties by the test": (
            lambda v, t: _and_score(
                max(np.flatnonzero(v > v.max() - 0.005), key=lambda i: t[i]), t
            ),
            "you give 0 as the index, where 1 is right",
        ),
        "four models": (lambda v, t: _and_score(np.argmax(v[:4]), t), "you give 0 as the index"),
        "less the noise": (lambda v, t: (int(np.argmax(v)), v.max() - v.std()), "as the score,"),
    },
    "04.7": PREPARE_MISTAKES
    | {
        "test not normalised": (
            lambda train: (
                lambda images: make_prepare(train)(images) if len(images) == 20 else images / 255
            ),
            "in another way",
        ),
        "one image by its own": (
            lambda train: lambda images: make_prepare(train if len(images) > 1 else images)(images),
            "for the first of them alone",
        ),
        "clipped": (
            lambda train: lambda images: make_prepare(train)(images).clip(-3, 3),
            "Prepared training channels have means [-0.03",
        ),
        "learns on": (_learning_on, "for 4 test images"),
        "shared": (_shared, "the first one does not use"),
        "of one size": (
            lambda train: (
                lambda images: (
                    make_prepare(train)(images)
                    if images.shape[2:] == train.shape[2:]
                    else images / 255
                )
            ),
            "for 3 images of 5 x 9 pixels",
        ),
        "not a function": (lambda train: make_prepare(train)(train), "expected a function"),
        "rounded": (lambda train: lambda images: make_prepare(train)(images).round(1), "1 decimal"),
    },
}


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


def _stop_in_pandas(losses, patience):
    series = pd.Series(losses)
    since = (
        pd.Series(range(len(series)))
        - series.cummin().ne(series.cummin().shift()).mul(range(len(series))).cummax()
    )
    late = since[since >= patience]
    stop = late.index[0] if len(late) else len(series) - 1
    return pd.Series([stop, series[: stop + 1].idxmin()])


RIGHT = {
    "04.5": [_stop_by_counting, _stop_in_pandas],
    "04.6": [
        lambda v, t: max(zip(v, range(len(v)), t, strict=True))[1:],
        lambda v, t: torch.stack(
            [torch.tensor(v).argmax(), torch.tensor(t)[torch.tensor(v).argmax()]]
        ),
        lambda v, t: [pd.Series(v).idxmax(), np.float32(t[pd.Series(v).idxmax()])],
        lambda v, t: (np.argsort(v)[-1:], t[np.argsort(v)[-1:]]),
    ],
    "04.7": [_prepare_in_torch, lambda train: functools.partial(_by_loops, train.astype(float))],
}


def _by_loops(train, images):
    ready = np.zeros(images.shape, np.float32)
    for channel in range(3):
        ready[:, channel] = images[:, channel] - train[:, channel].mean()
        ready[:, channel] /= train[:, channel].std(ddof=1)
    return ready


def _better_by(share=0.0, least=0.0, start=float("inf")):
    def stop(losses, patience):
        lowest, best = start, 0
        for epoch, loss in enumerate(losses):
            if loss < (1 - share) * lowest - least:
                lowest, best = loss, epoch
            elif epoch - best >= patience:
                return epoch, best
        return len(losses) - 1, best

    return stop


REFUSED = {
    "04.5": [
        _better_by(start=1000),
        _better_by(start=100),
        _better_by(share=1e-7),
        _better_by(least=1e-4),
        lambda losses, patience: stop_epoch([abs(loss) for loss in losses], patience),
    ],
    "04.7": [
        lambda train: (
            lambda images: np.where(
                images.sum(axis=1, keepdims=True) == 0, 0, make_prepare(train)(images)
            )
        ),
    ],
}
