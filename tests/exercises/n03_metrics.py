"""Answers to the exercises of n03_metrics.py: wrong ones, and other right ones."""

import numpy as np

from galhelpers.exercises.n03_metrics import rmse


def _flawed(flaw):
    """Give the reference with one flaw put back."""

    def accuracy(batches, sizes, parents):
        starts = np.arange(len(sizes)) if flaw == "offset" else np.cumsum([0, *sizes[:-1]])
        axis = None if flaw == "one arg-max" else 1
        right, asked = [], []
        for outputs, labels in batches:
            judge = outputs if flaw == "asked by the model" else labels
            masks = [
                np.ones(len(labels), bool)
                if parent is None or flaw == "everybody"
                else (judge[:, parent] > 0.5 if flaw == "more than" else judge[:, parent] >= 0.5)
                for parent in parents
            ]
            columns = [slice(start, start + n) for start, n in zip(starts, sizes, strict=True)]
            hits = [outputs[:, c].argmax(axis) == labels[:, c].argmax(axis) for c in columns]
            right.append([(hit & mask).sum() for hit, mask in zip(hits, masks, strict=True)])
            asked.append([mask.sum() for mask in masks])
        if flaw == "number of batches":
            return np.sum(right, axis=0) / len(batches)
        if flaw == "mean of batches":
            return np.mean(np.divide(right, asked), axis=0)
        return np.nan_to_num(np.sum(right, axis=0) / np.sum(asked, axis=0))

    return accuracy


WRONG = {
    "03.1": {
        "mean of roots": (
            lambda batches: np.mean([np.sqrt(((p - t) ** 2).mean()) for p, t in batches]),
            "in which order",
        ),
        "batches weigh the same": (
            lambda batches: np.sqrt(np.mean([((p - t) ** 2).mean() for p, t in batches])),
            "galaxy of a small batch",
        ),
        "no root": (lambda batches: rmse(batches) ** 2, "*root* mean square"),
        "sum over answers": (lambda batches: rmse(batches) * np.sqrt(37), "Mean of what?"),
        "an error for each answer": (
            lambda batches: np.sqrt(((batches[0][0] - batches[0][1]) ** 2).mean(axis=0)),
            "expected one number",
        ),
    },
    "03.2": {
        "offset": (_flawed("offset"), "Which columns did each question read"),
        "one arg-max": (_flawed("one arg-max"), "Print its shape"),
        "number of batches": (_flawed("number of batches"), "A share of what"),
        "mean of batches": (_flawed("mean of batches"), "Does each galaxy weigh"),
        "everybody": (_flawed("everybody"), "about the other five"),
        "asked by the model": (_flawed("asked by the model"), "or the model's"),
        "more than": (_flawed("more than"), "exactly 0.5"),
        "nobody": (_flawed("nobody"), "Is that known"),
    },
}


RIGHT = {
    "03.1": [lambda b: np.sqrt(np.mean(np.concatenate([p - t for p, t in b]) ** 2))],
}
