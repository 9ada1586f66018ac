"""A widget for classifying galaxies by eye, as the volunteers of Galaxy Zoo do."""

import csv
import io
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anywidget
import pandas as pd
import traitlets
from numpy.typing import ArrayLike
from PIL import Image

from galhelpers.locks import only_one
from galhelpers.messages import public
from galhelpers.paths import UserError, atomic_write, short, user_path
from galhelpers.views.plots import check_images

COLUMNS = ["id", "answer", "time"]
MOST_BYTES = 100_000_000


def read_ballots(votes_file: str | Path, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a file of votes.

    Parameters
    ----------
    votes_file : str or Path
        CSV with the columns id, answer, time. A file that does not exist holds no votes.
    classes : sequence of str, optional
        The allowed answers; if not given, any answer is.

    Returns
    -------
    DataFrame
        Columns ``id``, ``answer`` and ``time`` (ISO 8601, UTC), all str, in order of voting.

    Raises
    ------
    ValueError
        If the file is damaged; names the line, what was expected and what to do.
    """
    path = Path(votes_file)
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS, dtype=str)

    def damaged(line: int, expected: str, found: object) -> ValueError:
        return ValueError(
            f"{short(path)}, line {line}: expected {expected}, found {public(repr(found), 100)}. "
            "Correct that line, or move the file away to start afresh."
        )

    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise ValueError(
            f"Expected {short(path)} to be a file of votes, but it is no file or larger than "
            f"{MOST_BYTES:,} bytes. Name another, or move it away to start afresh."
        )
    try:
        text = path.read_text(encoding="utf-8-sig")  # spreadsheets put a mark before the header
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{short(path)} is not a readable CSV file ({public(error)}). Expected the columns "
            f"{','.join(COLUMNS)}. Move the file away to start afresh."
        ) from None
    if not rows or rows[0] != COLUMNS:
        raise damaged(1, f"the header {','.join(COLUMNS)}", ",".join(rows[0]) if rows else "")
    seen: set[str] = set()
    for line, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise damaged(line, f"{len(COLUMNS)} values ({','.join(COLUMNS)})", ",".join(row))
        if classes is not None and row[1] not in classes:
            raise damaged(line, f"an answer among {', '.join(classes)}", row[1])
        if row[0] in seen:
            raise damaged(line, "each galaxy once", row[0])
        try:
            datetime.fromisoformat(row[2])
        except ValueError:
            raise damaged(line, "a time such as 2026-01-31T12:00:00+00:00", row[2]) from None
        seen.add(row[0])
    return pd.DataFrame(rows[1:], columns=COLUMNS, dtype=str)


class ClassifyGalaxies(anywidget.AnyWidget):
    """Show one galaxy at a time and save the answer given to it.

    Answer with the buttons or with the keys 1, 2, ...; Backspace takes the last answer back. Each
    answer is on disk before the next galaxy appears, so the widget picks up where it stopped. The
    file is read again before each change, and changed by one process at a time: answers given
    elsewhere, and answers about other galaxies, stay in it.

    Parameters
    ----------
    images : array of uint8, shape (n, 3, height, width)
        The galaxies in the order of showing.
    ids : sequence of n str
        Their names, all different.
    classes : sequence of 2 to 9 str
        The possible answers.
    votes_file : str or Path
        CSV file with the columns id, answer, time; created with the first answer.

    Raises
    ------
    ValueError
        If the arguments do not fit together or the file is damaged.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> black = np.zeros((2, 3, 8, 8), dtype=np.uint8)
    >>> file = Path(tempfile.mkdtemp()) / "votes.csv"
    >>> widget = ClassifyGalaxies(black, ["a", "b"], ["smooth", "spiral"], file)
    >>> widget.vote("spiral")
    >>> widget.votes[["id", "answer"]].values.tolist()
    [['a', 'spiral']]
    """

    _esm = Path(__file__).with_name("classify.js")
    _css = Path(__file__).with_name("classify.css")

    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    scene = traitlets.Dict().tag(sync=True)  # all that changes from galaxy to galaxy, in one piece

    def __init__(
        self,
        images: ArrayLike,
        ids: Sequence[object],
        classes: Sequence[str],
        votes_file: str | Path,
    ) -> None:
        self._images = check_images(images)
        self._ids = [str(name) for name in ids]
        self._file = Path(os.path.realpath(user_path(votes_file)))  # a link stays a link
        if len(self._ids) != len(self._images) or len(set(self._ids)) != len(self._ids):
            raise ValueError(
                f"Expected {len(self._images)} different ids, one an image, got "
                f"{len(self._ids)} ids, {len(set(self._ids))} of them different."
            )
        if not 2 <= len(classes) <= 9 or len(set(classes)) != len(classes):
            raise ValueError(
                f"Expected 2 to 9 different classes, one a number key, got {list(classes)}."
            )
        if odd := [text for text in (*self._ids, *classes) if not text.isprintable()]:
            raise ValueError(
                f"Expected ids and classes that can be printed in a line, got {odd[0]!r}."
            )
        self._turn = 0
        super().__init__(classes=list(classes))
        self.on_msg(self._answer_browser)
        self._draw()

    def __repr__(self) -> str:
        return f"<ClassifyGalaxies: {len(self.votes)} of {len(self._ids)} galaxies classified>"

    @property
    def votes(self) -> pd.DataFrame:
        """Answers given to these galaxies: columns id, answer, time, in order of voting."""
        votes = read_ballots(self._file, list(self.classes))
        return votes[votes["id"].isin(self._ids)].reset_index(drop=True)

    @property
    def current(self) -> str | None:
        """Id of the galaxy on show: the first without an answer; ``None`` when all have one."""
        answered = set(self.votes["id"])
        return next((name for name in self._ids if name not in answered), None)

    def vote(self, answer: str) -> None:
        """Give the galaxy on show an answer, save it, and show the next galaxy."""
        if answer not in self.classes:
            raise ValueError(f"Expected an answer among {', '.join(self.classes)}, got {answer!r}.")
        with self._alone():
            galaxy = self.current
            if galaxy is None:
                raise ValueError(
                    f"All {len(self._ids)} galaxies have an answer; undo() takes one back."
                )
            votes = read_ballots(self._file, list(self.classes))
            now = datetime.now(UTC).isoformat(timespec="seconds")
            self._save(pd.concat([votes, pd.DataFrame([[galaxy, answer, now]], columns=COLUMNS)]))
        self._draw(f"Saved: {answer.replace('_', ' ')}.")

    def undo(self) -> None:
        """Take back the last answer given to one of these galaxies; without one, do nothing."""
        said = "No answer to take back."
        with self._alone():
            mine, votes = self.votes, read_ballots(self._file, list(self.classes))
            if not mine.empty:
                galaxy, answer, _ = mine.iloc[-1]
                self._save(votes[votes["id"] != galaxy])
                said = f"Taken back: {answer.replace('_', ' ')}."
        self._draw(said)

    def _alone(self) -> AbstractContextManager[None]:
        """Keep others from changing the file between our reading and our writing."""
        return only_one(self._file, "saves votes")

    def _save(self, votes: pd.DataFrame) -> None:
        with atomic_write(self._file) as path:
            votes.to_csv(path, index=False, lineterminator="\n")

    def _answer_browser(self, _: object, message: dict[str, Any], __: object) -> None:
        try:
            if message.get("kind") == "undo":
                self.undo()
            elif message.get("id") == self.current:
                self.vote(str(message.get("answer")))
            else:  # answered in another view meanwhile: the reader has not seen this galaxy yet
                self._draw()
        except (OSError, ValueError, UserError) as error:
            # An error raised here would end in a log that nobody reads.
            self._turn += 1
            self.scene = {**self.scene, "problem": f"Not saved. {error}", "turn": self._turn}

    def _draw(self, message: str = "") -> None:
        """Send the browser the galaxy without an answer that comes first."""
        galaxy = self.current
        picture = io.BytesIO()
        if galaxy is not None:
            pixels = self._images[self._ids.index(galaxy)].transpose(1, 2, 0)
            Image.fromarray(pixels).save(picture, "PNG")
        self._turn += 1  # so that the browser hears of every turn, also when nothing else changed
        self.scene = {
            "id": galaxy,
            "image": picture.getvalue(),
            "done": len(self.votes),
            "total": len(self._ids),
            "message": message,
            "problem": "",
            "turn": self._turn,
        }
