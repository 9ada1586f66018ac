"""A user's own pictures with a class each: checked before a network learns from them."""

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import TypeAdapter, ValidationError

from galhelpers.course.picture_list import list_images
from galhelpers.data.images import load_images
from galhelpers.data.readers import LABELS
from galhelpers.learning.samples import Labelled
from galhelpers.messages import public
from galhelpers.models.schemas import MOST_CLASSES, ClassName
from galhelpers.paths import UserError, image_cache

LABEL_COLUMNS = ("class_name", "label", "class", "class_id")
FEWEST = 5
"""Pictures of each class, so that all three parts have some."""
SHOWN = 3  # names in a message
PARTS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
"""Folders of these names alone are parts of a data set, and no classes."""


class Found(NamedTuple):
    """Labelled pictures, and what was left out of them: columns ``file`` and ``reason``."""

    galaxies: Labelled
    left_out: pd.DataFrame


def read_labelled(
    source: Path, size: int, crop: float, column: str | None = None, label: str | None = None
) -> Found:
    """Read pictures in folders named by class, or those of a table with a column of labels.

    The same picture counts once, wherever it lies: no copy of it can be on both sides of a split.
    One that stands under two labels is left out, with those that cannot be read and those without
    a label.

    Parameters
    ----------
    source
        A folder, whose ``labels.csv`` is read where there is one, or a table; see
        :func:`galhelpers.course.picture_list.list_images`.
    size, crop
        How the pictures will be prepared.
    column, label
        Columns of paths and of labels, where they are not clear.

    Raises
    ------
    UserError
        Where a network could not learn from this: no pictures, no labels, one class, a class of
        fewer than ``FEWEST``, more classes than a network may have.
    """
    place = source / LABELS if (source / LABELS).is_file() else source
    if label and place.is_dir():
        raise UserError(
            f"--label names a column of a table, but {public(place)} is a folder without "
            f"{LABELS}. Leave --label out, or give the table."
        )
    listed = list_images(place, column, (label,) if label else LABEL_COLUMNS)
    # Text of a gap; "none" and "null" may be classes. Gaps also make floats of whole numbers.
    labels = listed["label"].str.strip()
    labels = labels.mask(labels.str.lower().isin(["nan", "<na>"]), "")
    if labels.str.fullmatch(r"(\d+\.0*)?").all():
        labels = labels.str.partition(".")[0]
    listed["label"] = labels
    named = sorted(set(labels) - {""})
    if named and place.is_dir() and {name.lower() for name in named} <= PARTS:
        raise UserError(
            f"Expected a folder for each class in {public(source)}, found parts of a data set: "
            f"{', '.join(named)}. Give one of them, or their pictures together: training divides "
            "them itself."
        )
    pictures = load_images(
        listed["path"].tolist(), size, crop, image_cache(), progress=sys.stderr.isatty()
    )
    # A dictionary: pandas takes no file name that is not UTF-8.
    said = dict(zip(pictures.problems["file"], pictures.problems["reason"], strict=True))
    reasons = pd.Series("", listed.index)
    reasons[listed["label"] == ""] = "no label"
    reasons[~pictures.ok] = "cannot be read"
    good = listed.assign(digest=pictures.digests)[reasons == ""]
    labels_of = good.groupby("digest")["label"].transform("nunique")
    reasons[good.index[good.duplicated("digest")]] = "the same picture as another"
    reasons[good.index[labels_of > 1]] = "the same picture stands under two labels"
    kept = good[reasons[good.index] == ""]
    for reason, n in reasons[reasons != ""].value_counts().items():
        names = [public(file, 60) for file in listed["file"][reasons == reason][:SHOWN]]
        more = ", ..." if n > SHOWN else ""
        print(f"Left out, {reason}: {n} of {len(listed)} ({', '.join(names)}{more}).")
    _check_classes(kept["label"], source)
    classes = sorted(set(kept["label"]))
    number = pd.Index(classes).get_indexer(kept["label"])
    galaxies = Labelled(
        public(source.resolve().stem, 100) or "pictures",
        kept["id"].to_numpy(str),
        [Path(path) for path in kept["path"]],
        torch.tensor(number, dtype=torch.int64),
        tuple(classes),
        digest=hashlib.sha256("".join(kept["digest"] + kept["label"]).encode()).hexdigest(),
    )
    unread = [public(said.get(str(Path(path)), "")) for path in listed["path"]]
    words = np.where(reasons == "cannot be read", unread, reasons)
    table = pd.DataFrame({"file": listed["file"], "reason": words})
    return Found(galaxies, table[reasons != ""])


def _check_classes(labels: pd.Series, source: Path) -> None:
    """Refuse labels that no network can learn from, and be tested on."""
    counts = labels.value_counts()
    shown = f"{public(source.name, 60)}: " + ", ".join(
        f"{public(name, 40)!r} {n}" for name, n in counts.head(SHOWN).items()
    )
    if len(counts) < 2:
        raise UserError(
            f"Expected pictures of two classes or more, found {len(labels)} readable ones with a "
            f"label, of {len(counts)} ({shown if len(counts) else public(source.name, 60)}). Make "
            "a folder for each class, or a labels.csv with a column of paths and one called "
            "class_name."
        )
    if len(counts) > MOST_CLASSES:
        raise UserError(
            f"Expected at most {MOST_CLASSES:,} classes, found {len(counts):,} ({shown}, ...). "
            "Name the column of classes with --label, or put classes together."
        )
    few = counts[counts < FEWEST]
    if len(few):
        name, n = next(iter(few.items()))
        more = f", and too few of {len(few) - 1} more classes" if len(few) > 1 else ""
        raise UserError(
            f"Expected {FEWEST} different readable pictures or more of each class, found {n} of "
            f"{public(name, 60)!r}{more}. Add some, take the class out, or name the column of "
            "classes with --label."
        )
    try:
        TypeAdapter(list[ClassName]).validate_python(list(counts.index))
    except ValidationError as error:
        found = error.errors()[0]["input"]
        raise UserError(
            "Expected names of classes that can be printed, of 100 characters at most, a letter or "
            f"digit first, found {public(repr(found), 60)}. Rename the class."
        ) from None
