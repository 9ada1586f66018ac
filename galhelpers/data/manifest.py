"""The data manifest: which data sets there are, where each comes from, how to know it is intact.

The facts are in ``data_manifest.yaml`` beside the package. This file says what such a file must
hold, so that a mistake in it is found when it is read and not in the middle of a lesson.
"""

import difflib
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from galhelpers.messages import public
from galhelpers.paths import course_root, named_by, short
from galhelpers.trees import TREES

Reader = Literal[
    "simulated",  # made on this computer
    "class_folders",  # a folder of images for each of the five classes, or labels.csv with them
    "kaggle",  # training_solutions_rev1.csv and images_training_rev1/<GalaxyID>.jpg
    "labels",  # labels.csv with labels of any kind, beside images
    "gz2_labels",  # labels.csv with the columns of Hart et al. 2016, beside images
    "galaxy_zoo_2",  # images of Zenodo, mapping, tables of votes
    "votes",  # one table of votes, and archives of images
    "euclid",  # the same with the columns of Euclid Q1
    "hdf5",  # images and class numbers in one HDF5 file
    "experts",  # fixed columns of Kartaltepe et al. 2015
    "parquet",  # images and votes in Parquet files
    "positions",  # a table of the user's own, images from a service
]
"""Forms in which data sets are published."""

MOST_BYTES = 5_000_000
"""Most bytes of a manifest."""

CHECKSUM_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64}
"""Hexadecimal digits of each algorithm."""


class ManifestError(ValueError):
    """The manifest is missing, is not YAML, or breaks a rule; the message lists each place."""


class UnknownDatasetError(KeyError):
    """No data set of that name; the message lists the valid ones."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the message in quotation marks


def _valid_checksum(checksum: str) -> str:
    algorithm, _, digits = checksum.partition(":")
    length = CHECKSUM_LENGTHS.get(algorithm)
    if length is None or not re.fullmatch(rf"[0-9a-f]{{{length}}}", digits):
        known = ", ".join(f"{name}: with {n}" for name, n in CHECKSUM_LENGTHS.items())
        raise ValueError(f"expected {known} lower-case hexadecimal digits, found {checksum!r}")
    return checksum


def _valid_tree(tree: str) -> str:
    if tree not in TREES:
        raise ValueError(f"expected one of {', '.join(TREES)}, found {tree!r}")
    return tree


Text = Annotated[str, Field(min_length=1)]
Checksum = Annotated[str, AfterValidator(_valid_checksum)]
TreeName = Annotated[str, AfterValidator(_valid_tree)]
Url = Annotated[str, Field(pattern=r"^https?://[^/ ]+[^ ]*$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.+-]*$")]
DatasetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
NotebookName = Annotated[str, Field(pattern=r"^\d\d_[a-z0-9_]+$")]


class _Strict(BaseModel):
    """A misspelt field is an error, not something silently ignored; nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class FileEntry(_Strict):
    """One file of a data set.

    ``url`` and ``mirrors`` are its addresses, tried in order; Kaggle's files have none.
    ``checksum`` is ``"<algorithm>:<hex>"``; a file without one says why in ``why_no_checksum``.
    ``bytes`` is the exact size, ``size_display`` the rounded one that the publisher shows. An
    ``optional`` file comes only when asked for. ``unverified`` says what of all this nobody has
    checked at the source.
    """

    name: FileName
    url: Url | None = None
    mirrors: list[Url] = []
    bytes: int | None = Field(default=None, ge=0)
    size_display: Text | None = None
    checksum: Checksum | None = None
    why_no_checksum: Text | None = None
    optional: bool = False
    unverified: Text | None = None
    note: Text | None = None

    @property
    def expected_bytes(self) -> int | None:
        """Size in bytes: exact, or the publisher's rounded one; None where neither is known."""
        if self.bytes is not None or self.size_display is None:
            return self.bytes
        found = re.search(r"(\d{1,9}(?:\.\d+)?) ?(k|M|G|T)?B", self.size_display)
        if found is None:
            return None
        return int(float(found[1]) * 1000 ** " kMGT".index(found[2] or " "))

    @model_validator(mode="after")
    def _checksum_or_reason(self) -> Self:
        if (self.checksum is None) == (self.why_no_checksum is None):
            raise ValueError(f"{self.name}: give either checksum or why_no_checksum")
        return self


class Hub(_Strict):
    """A repository of data on Hugging Face.

    ``configs`` are its parts: patterns of files by name, the first is the default. ``revision`` is
    the commit to fetch; without one it is the newest at the first download, which is written down
    and kept.
    """

    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    configs: dict[Text, Text] = Field(min_length=1)
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None


class Cutouts(_Strict):
    """How pictures of a catalog are asked for: service, pixels, and arcsec per pixel.

    Without ``pixel_scale`` the frame follows the galaxy: 0.02 times its Petrosian radius a pixel.
    """

    service: Literal["sdss", "legacy"]
    size: int = Field(gt=0)
    pixel_scale: float | None = Field(default=None, gt=0)


class Labels(_Strict):
    """Labels of a data set that are not the course's five classes.

    ``identifier``, ``file`` (the image) and ``label`` are columns of the published table.
    ``names`` gives each label, as the table writes it, the name that people read; their order
    gives the labels their numbers, from 0. Whole numbers are written in quotation marks:
    ``"0": no_ring``. ``five_classes`` says which of these names mean one of the five classes.
    """

    identifier: Text
    file: Text
    label: Text
    names: dict[Text, Text] = Field(min_length=2)
    five_classes: dict[Text, Text] = {}

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        columns = _repeated([self.identifier, self.file, self.label])
        names = _repeated(list(self.names.values()))
        if columns or names:
            what = "columns" if columns else "names of labels"
            raise ValueError(f"{what} should differ, repeated: {', '.join(columns or names)}")
        unknown = sorted(set(self.five_classes) - set(self.names.values()))
        if unknown:
            raise ValueError(f"five_classes has names that are no labels: {', '.join(unknown)}")
        return self


class DatasetEntry(_Strict):
    """One data set: where from, which files, which labels, which licence, how to cite it.

    Its place under the data root is a folder of its ``name``. ``reader`` says in which form it is
    published, and so what makes it readable (``galhelpers/data/convert.py``) and what reads it
    (``galhelpers/data/readers.py``). It comes from ``files`` with addresses, from the competition
    ``kaggle``, from the repository ``hub``, or, where it has none of these, is made on this
    computer or put there by hand. ``page`` is the page that describes it, ``zenodo`` the address
    at which Zenodo lists the files of a record. ``n_images`` is the number of labelled galaxies;
    ``tree`` the decision tree behind its labels, if there is one; ``has_fractions`` whether it
    gives the volunteers' fraction for each answer or only a class; ``has_votes`` whether also how
    many people gave it; ``terms`` what a user must know before it is downloaded; ``unverified``
    what nobody has checked at the source; ``by_hand`` how to get it without a command; ``cutouts``
    how to get pictures for a catalog without any.
    """

    name: DatasetName
    title: Text
    reader: Reader
    page: Url | None = None
    kaggle: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] | None = None
    zenodo: Url | None = None
    hub: Hub | None = None
    files: list[FileEntry] = []
    labels: Labels | None = None
    cutouts: Cutouts | None = None
    size_display: Text
    n_images: int | None = Field(default=None, gt=0)
    tree: TreeName | None = None
    has_fractions: bool
    has_votes: bool = False
    licence: Text
    terms: Text | None = None
    citation: list[Text] = Field(min_length=1)
    unverified: Text | None = None
    by_hand: Text | None = None
    notebooks: list[NotebookName] = []
    notes: list[Text] = []

    @model_validator(mode="after")
    def _files_differ(self) -> Self:
        repeated = _repeated([file.name for file in self.files])
        if repeated:
            raise ValueError(f"files named twice: {', '.join(repeated)}")
        if (self.has_fractions or self.has_votes) and self.tree is None:
            raise ValueError("fractions and votes need a tree")
        return self

    @property
    def origin(self) -> str:
        """Where it comes from, in words, for messages."""
        place = f"Kaggle ({self.kaggle})" if self.kaggle else ""
        place = f"Hugging Face ({self.hub.repo})" if self.hub else place
        return ", ".join(part for part in (place, self.page) if part) or "this computer"

    @property
    def is_made_here(self) -> bool:
        """Whether nothing is downloaded because this computer makes it."""
        return self.reader == "simulated"

    @property
    def is_fetched(self) -> bool:
        """Whether a command brings it from the network."""
        return bool(self.files or self.hub or self.reader == "positions")

    def file(self, name: str) -> FileEntry:
        """Give the entry of the file called ``name``.

        Raises
        ------
        KeyError
            When the manifest lists no such file for this data set.
        """
        for entry in self.files:
            if entry.name == name:
                return entry
        listed = ", ".join(entry.name for entry in self.files) or "none"
        raise KeyError(f"{self.name} has no file {name!r}. Files in the manifest: {listed}.")


class Manifest(_Strict):
    """All data sets that the course can use, in the order of the file."""

    schema_version: Literal[2]
    datasets: list[DatasetEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        repeated = _repeated(self.names)
        if repeated:
            raise ValueError(f"data sets named twice: {', '.join(repeated)}")
        return self

    @property
    def names(self) -> list[str]:
        """Names of all data sets."""
        return [entry.name for entry in self.datasets]

    def get(self, name: str) -> DatasetEntry:
        """Give the entry called ``name``.

        Raises
        ------
        UnknownDatasetError
            When there is none; the message lists the valid names.
        """
        for entry in self.datasets:
            if entry.name == name:
                return entry
        close = difflib.get_close_matches(name.lower(), self.names, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise UnknownDatasetError(
            f"Unknown dataset {name!r}.{meant} Valid datasets: {', '.join(self.names)}."
        )


def load_manifest(path: str | Path | None = None) -> Manifest:
    """Read and validate a manifest.

    Parameters
    ----------
    path
        A YAML file; by default the one that the environment variable ``GALHELPERS_MANIFEST``
        names, or else the course's ``data_manifest.yaml``.

    Raises
    ------
    ManifestError
        When the file is missing, is not YAML, or breaks a rule; one line a problem.
    """
    if path is None:
        path = named_by("GALHELPERS_MANIFEST") or course_root() / "data_manifest.yaml"
    path = Path(path)
    try:
        status = path.stat()
        if not path.is_file() or status.st_size > MOST_BYTES:
            raise ManifestError(
                f"{short(path)} should be a file of at most {MOST_BYTES:,} bytes that lists data "
                "sets. Look at the variable GALHELPERS_MANIFEST."
            )
        return _read(path, status.st_mtime_ns)
    except ManifestError:
        raise
    except OSError as error:
        raise ManifestError(f"Cannot read {short(path)}: {error.strerror}.") from error
    except ValidationError as error:
        problems = error.errors()
        lines = [
            public(
                f"  {'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}"
                f"{_of_dataset(path, problem['loc'])}"
            )
            for problem in problems[:20]
        ]
        lines += [f"  and {len(problems) - 20:,} more"] if len(problems) > 20 else []
        raise ManifestError("\n".join([f"{short(path)} breaks its rules:", *lines])) from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, OverflowError,
            RecursionError) as error:  # fmt: skip
        # Besides its own errors: a date that is none, a number without end, brackets without end.
        raise ManifestError(f"{short(path)} is not valid YAML: {public(error, 200)}") from error


def _of_dataset(path: Path, place: tuple[int | str, ...]) -> str:
    """Name the data set in which a rule is broken: nobody counts them."""
    if len(place) < 2 or place[0] != "datasets" or not isinstance(place[1], int):
        return ""
    entry = yaml.safe_load(path.read_text(encoding="utf-8"))["datasets"][place[1]]
    return f" (in {entry['name']})" if isinstance(entry, dict) and "name" in entry else ""


@lru_cache(maxsize=4)
def _read(path: Path, modified: int) -> Manifest:
    """Read a manifest once; ``modified`` makes a changed file another one."""
    return Manifest.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def _repeated(names: list[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
