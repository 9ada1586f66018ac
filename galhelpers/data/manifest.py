"""The data manifest: which data sets there are, where each comes from, how to know it is intact.

The facts are in ``data_manifest.yaml`` beside the package. This file says what such a file must
hold, so that a mistake in it is found when it is read and not in the middle of a lesson.
"""

import difflib
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from galhelpers.paths import course_root, short
from galhelpers.trees import TREES

CHECKSUM_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "git-blob-sha1": 40}
"""Hexadecimal digits of each algorithm. ``git-blob-sha1`` is what ``git hash-object`` prints."""


class ManifestError(ValueError):
    """The manifest is missing, is not YAML, or breaks a rule; the message lists each place."""


class UnknownDatasetError(KeyError):
    """No data set of that name; the message lists the valid ones."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the message in quotation marks


def _valid_checksum(checksum: str) -> str:
    algorithm, _, digits = checksum.partition(":")
    if algorithm not in CHECKSUM_LENGTHS:
        raise ValueError(
            f"expected <algorithm>:<hex> with one of {', '.join(CHECKSUM_LENGTHS)}, "
            f"found {checksum!r}"
        )
    if not re.fullmatch(rf"[0-9a-f]{{{CHECKSUM_LENGTHS[algorithm]}}}", digits):
        raise ValueError(
            f"{algorithm} has {CHECKSUM_LENGTHS[algorithm]} lower-case hexadecimal digits, "
            f"found {digits!r}"
        )
    return checksum


def _valid_tree(tree: str) -> str:
    if tree not in TREES:
        raise ValueError(f"expected one of {', '.join(TREES)}, found {tree!r}")
    return tree


Text = Annotated[str, Field(min_length=1)]
Checksum = Annotated[str, AfterValidator(_valid_checksum)]
TreeName = Annotated[str, AfterValidator(_valid_tree)]
Address = Annotated[str, Field(pattern=r"^https?://[^/]+")]
ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Url = Annotated[str, Field(pattern=r"^(https?://[^/ ]+/|[a-z][a-z0-9_]*:)[^ ]+$")]
DatasetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
NotebookName = Annotated[str, Field(pattern=r"^\d\d_[a-z0-9_]+$")]


class _Strict(BaseModel):
    """A misspelt field is an error, not something silently ignored; nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class FileEntry(_Strict):
    """One file of a data set.

    ``url`` and ``mirrors`` say where it lies, a full address or ``"<service>:<path>"``; they are
    tried in order. ``checksum`` is ``"<algorithm>:<hex>"``; a file without one says why in
    ``why_no_checksum``. ``bytes`` is the exact size, ``size_display`` the rounded one that the
    publisher shows. ``inside`` names the archive that holds the file. An ``optional`` file comes
    only when asked for. ``unverified`` says what of all this nobody has checked at the source.
    """

    name: Text
    url: Url | None = None
    mirrors: list[Url] = []
    bytes: int | None = Field(default=None, ge=0)
    size_display: Text | None = None
    checksum: Checksum | None = None
    why_no_checksum: Text | None = None
    inside: Text | None = None
    optional: bool = False
    unverified: Text | None = None
    note: Text | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses in the order in which they are tried."""
        return tuple(([self.url] if self.url else []) + self.mirrors)

    @property
    def expected_bytes(self) -> int | None:
        """Size in bytes: exact, or the publisher's rounded one; None where neither is known."""
        if self.bytes is not None or self.size_display is None:
            return self.bytes
        found = re.search(r"([\d.]+) ?(k|M|G|T)?B", self.size_display)
        if found is None:
            return None
        return int(float(found[1]) * 1000 ** " kMGT".index(found[2] or " "))

    @model_validator(mode="after")
    def _checksum_or_reason(self) -> Self:
        if (self.checksum is None) == (self.why_no_checksum is None):
            raise ValueError(f"{self.name}: give either checksum or why_no_checksum")
        return self


class Where(_Strict):
    """Where a data set comes from.

    ``url`` is its page; ``slug`` the name of a Kaggle competition; ``zenodo`` the number of a
    Zenodo record; ``repo`` a repository of Hugging Face, ``revision`` the commit that is fetched
    (its newest where none is given) and ``configs`` its parts; ``service`` an image service.
    """

    url: Annotated[str, Field(pattern=r"^https?://")] | None = None
    slug: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] | None = None
    zenodo: Annotated[str, Field(pattern=r"^\d+$")] | None = None
    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    configs: list[Text] = []
    service: Literal["sdss", "legacy", "legacy_fits"] | None = None

    def __str__(self) -> str:
        """Say it in words, for messages."""
        place = f"Kaggle ({self.slug})" if self.slug else ""
        place = f"Hugging Face ({self.repo})" if self.repo else place
        return ", ".join(part for part in (place, self.url) if part) or "this computer"


class Cutouts(_Strict):
    """How pictures of a catalogue are asked for: service, pixels, and arcsec per pixel.

    Without ``pixel_scale`` the frame follows the galaxy: 0.02 times its Petrosian radius a pixel.
    """

    service: Literal["sdss", "legacy", "legacy_fits"]
    size: int = Field(gt=0)
    pixel_scale: float | None = Field(default=None, gt=0)


class LabelColumns(_Strict):
    """What the columns of a table of labels are called, and what its labels mean.

    ``identifier``, ``file`` (the image) and ``label`` are columns. ``names`` gives each label, as
    the table writes it, the name that people read; their order gives the labels their numbers,
    from 0. Whole numbers are written in quotation marks: ``"0": no_ring``.
    """

    identifier: Text
    file: Text
    label: Text
    names: dict[Text, Text] = Field(min_length=2)

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        columns = _repeated([self.identifier, self.file, self.label])
        names = _repeated(list(self.names.values()))
        if columns or names:
            what = "columns" if columns else "names of labels"
            raise ValueError(f"{what} should differ, repeated: {', '.join(columns or names)}")
        return self


class DatasetEntry(_Strict):
    """One data set: where from, which files, which labels, which licence, how to cite it.

    Its place under the data root is a folder of its ``name``. ``kind`` says how it is fetched,
    ``layout`` how it lies on disk afterwards, ``recipe`` what makes the one into the other.
    ``n_images`` is the number of labelled galaxies; ``tree`` the decision tree behind its labels,
    if there is one; ``has_fractions`` whether it gives the volunteers' fraction for each answer or
    only a class; ``has_votes`` whether also how many people gave it; ``terms`` what a user must
    know before it is downloaded; ``unverified`` what nobody has checked at the source; ``by_hand``
    how to get it without a command; ``cutouts`` how to get pictures for a catalogue without any;
    ``labels`` what the table of layout ``labelled_folder`` holds.
    """

    name: DatasetName
    title: Text
    # A new kind also needs a way to fetch it in galhelpers/course/fetch.py, a new layout its
    # reader in galhelpers/data/dataset.py, a new recipe its function in sources/recipes.py.
    kind: Literal["simulated", "folder", "kaggle", "files", "hugging_face", "cutouts"]
    where: Where = Where()
    files: list[FileEntry] = []
    layout: Literal["none", "class_folders", "kaggle", "catalogue", "vote_table", "labelled_folder"]
    recipe: Text | None = None
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
    cutouts: Cutouts | None = None
    labels: LabelColumns | None = None
    notebooks: list[NotebookName] = []
    notes: list[Text] = []

    @model_validator(mode="after")
    def _kind_fits_the_rest(self) -> Self:
        needs = {"kaggle": "slug", "hugging_face": "repo", "cutouts": "service"}.get(self.kind)
        if needs and getattr(self.where, needs) is None:
            raise ValueError(f"kind {self.kind} needs where.{needs}")
        if self.kind == "simulated" and (self.files or self.layout != "none"):
            raise ValueError("kind simulated reads nothing: leave out files, layout none")
        if self.kind in ("files", "kaggle", "hugging_face") and self.recipe is None:
            raise ValueError(f"kind {self.kind} needs a recipe, which makes its files readable")
        if self.kind != "simulated" and self.layout == "none":
            raise ValueError(f"kind {self.kind} needs a layout of its files")
        if (self.layout == "labelled_folder") != (self.labels is not None):
            raise ValueError("layout labelled_folder needs labels, no other layout has them")
        if self.kind == "files":
            lost = [file.name for file in self.files if not (file.urls or file.inside)]
            if lost or not self.files:
                raise ValueError(f"kind files needs files with a url: {', '.join(lost) or 'none'}")
        if (self.has_fractions or self.has_votes) and self.tree is None:
            raise ValueError("fractions and votes need a tree")
        repeated = _repeated([file.name for file in self.files])
        if repeated:
            raise ValueError(f"files named twice: {', '.join(repeated)}")
        return self

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

    schema_version: Literal[1]
    services: dict[ServiceName, Address] = {}
    datasets: list[DatasetEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        repeated = _repeated(self.names)
        if repeated:
            raise ValueError(f"data sets named twice: {', '.join(repeated)}")
        for entry in self.datasets:
            for url in (url for file in entry.files for url in file.urls):
                service = url.partition(":")[0]
                if service not in ("http", "https", *self.services):
                    raise ValueError(f"{entry.name}: no service {service!r} for {url}")
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
        path = os.environ.get("GALHELPERS_MANIFEST") or course_root() / "data_manifest.yaml"
    path = Path(path)
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise ManifestError(f"Cannot read {short(path)}: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{short(path)} is not valid YAML: {error}") from error
    except ValidationError as error:
        lines = [
            f"  {'.'.join(map(str, problem['loc'])) or 'file'}: {problem['msg']}"
            f"{_of_dataset(path, problem['loc'])}"
            for problem in error.errors()
        ]
        raise ManifestError("\n".join([f"{short(path)} breaks its rules:", *lines])) from error


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
