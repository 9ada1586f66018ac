"""The simulated survey on disk, in Kaggle's own layout, so that one reader serves both."""

import hashlib
import numbers
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict
from tqdm.auto import tqdm

from galhelpers.data.downloads import check_room
from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.readers import IMAGE_FOLDER, TABLE, read_kaggle_layout
from galhelpers.data.records import read_record
from galhelpers.locks import only_one
from galhelpers.paths import UserError, atomic_write, short
from galhelpers.survey import SURVEY_VERSION, catalog_of, get_telescope, sample_galaxies
from galhelpers.survey.answers import answer_probabilities
from galhelpers.survey.distance import moved_to_redshift
from galhelpers.survey.experts import expert_fractions
from galhelpers.survey.fits import write_fits
from galhelpers.survey.galaxies import generator
from galhelpers.survey.galaxy_zoo_1 import BUTTONS, galaxy_zoo_1_votes
from galhelpers.survey.render import linear_images, render
from galhelpers.survey.volunteers import cumulative_fractions, volunteer_votes
from galhelpers.trees import CANDELS, DECALS, GZ2, Tree

FIRST_ID = 100_001
CHUNK = 128
FRAME = 424  # pixels, as Galaxy Zoo 2 showed its galaxies
FITS_FOLDER = "fits"
INDEX = "survey.json"
LIMITS = {"n": (1, 1_000_000), "seed": (0, 2**32 - 1), "size": (16, 2048)}
"""Least and greatest number of galaxies, seed, and pixels a side."""
STAMP = 84  # pixels of 0.06 arcsec, as the stamps that the CANDELS experts classified
_DRAWN = 96  # linear images come in multiples of 16 pixels; the stamp is the middle
DISTANT = (1.0, 2.5)  # redshifts at which F160W sees the light that leaves a galaxy in g to i

WORDS = {
    "truth": "what each galaxy is: shape, brightness, colours, position, redshift",
    "probabilities_gz2": "probability of each Galaxy Zoo 2 answer among those who are asked",
    "probabilities_decals": "the same for the questions of Galaxy Zoo DECaLS",
    "votes": "how many volunteers gave each of the 37 Galaxy Zoo 2 answers",
    "votes_decals": "how many gave each of the 34 Galaxy Zoo DECaLS answers",
    "votes_galaxy_zoo_1": "how many pressed each of the six buttons of Galaxy Zoo 1",
    "fractions_candels": "share of the experts who ticked each of the five CANDELS classes",
    "sdss": "what the SDSS-like catalog lists: id (GalaxyID - 100001, or negative), RA, Dec",
    "decals": "what the DECaLS-like catalog lists",
    "des": "what the DES-like catalog lists",
    "hst": "what the HST-like catalog lists: the few galaxies inside its small footprint",
}
"""What the tables of a survey hold, by name."""

_EXTRA = {
    "sdss": ("votes_galaxy_zoo_1", "sdss", "decals"),
    "decals": ("probabilities_decals", "votes_decals", "sdss", "decals"),
    "des": ("probabilities_decals", "votes_decals", "sdss", "decals", "des"),
    "hst": ("fractions_candels", "hst"),
}


def load_simulated(
    root: Path,
    n: int,
    seed: int,
    telescope: str = "sdss",
    size: int = FRAME,
    balanced: bool = False,
) -> GalaxySet:
    """Make of the simulated survey what is not yet on disk, or damaged, and read it.

    Parameters
    ----------
    root
        Data folder; the survey goes to ``simulated/`` in it.
    n
        Number of galaxies, 1 to 1,000,000.
    seed
        Seed of the sky, 0 to 2^32 - 1.
    telescope
        Whose pictures the volunteers see: a name in ``TELESCOPES``. With "hst" the galaxies are
        moved to redshifts of 1 to 2.5, there are FITS stamps beside the pictures, and the table of
        truth gives size, brightness and redshift as moved.
    size
        Width and height of the pictures in pixels, 16 to 2048.
    balanced
        Whether the five classes are about equally frequent.

    Returns
    -------
    GalaxySet
        Labels are Galaxy Zoo 2's; ``tables`` are those of ``WORDS`` that the telescope has.

    Raises
    ------
    ValueError
        For an unknown telescope or an impossible number.
    galhelpers.data.downloads.FetchError
        Where the disk has no room for the survey.
    galhelpers.paths.UserError
        Where something has to be made in a folder into which nobody may write.
    """
    survey = Survey(n, seed, telescope, size, balanced)
    folder = survey_folder(root, survey)
    for line in make_survey(root, survey):
        tqdm.write(line, file=sys.stderr)
    galaxies = read_kaggle_layout(folder, "simulated")
    names = table_names(telescope)
    galaxies.tables = {name: pd.read_csv(folder / f"{name}.csv") for name in names}
    truth = galaxies.tables["truth"].set_index("GalaxyID")
    place = truth.loc[galaxies.catalog["id"].astype(int), ["ra", "dec"]].reset_index(drop=True)
    galaxies.catalog = galaxies.catalog.assign(ra=place["ra"], dec=place["dec"])
    galaxies.provenance |= {"survey_version": SURVEY_VERSION, **survey._asdict()}
    return galaxies


def table_names(telescope: str) -> tuple[str, ...]:
    """Names of the tables of a survey with this telescope, without the one of fractions."""
    # A telescope that is new here has at least its own catalog.
    return ("truth", "probabilities_gz2", "votes", *_EXTRA.get(telescope, (telescope,)))


class Survey(NamedTuple):
    """All that a survey depends on; the fields are the parameters of `load_simulated`."""

    n: int
    seed: int
    telescope: str = "sdss"
    size: int = FRAME
    balanced: bool = False


def survey_folder(root: Path, survey: Survey) -> Path:
    """Say where a survey lies, on disk or not yet; errors as `load_simulated`.

    The name holds what the survey depends on; of the options only those that are not the default.
    """
    n, seed, telescope, size, balanced = survey
    get_telescope(telescope)  # refuses a name that is not known
    for what, (least, most) in LIMITS.items():
        value: object = getattr(survey, what)
        if not isinstance(value, numbers.Integral) or isinstance(value, bool):
            raise ValueError(f"Expected {what} as a whole number, got {value!r}.")
        if not least <= int(value) <= most:
            bound = f"of {least} or more" if int(value) < least else f"of at most {most:,}"
            raise ValueError(f"Expected {what} {bound}, got {value}.")
    name = f"v{SURVEY_VERSION}-n{n}-seed{seed}"
    name += "" if telescope == "sdss" else f"-{telescope}"
    name += "" if size == FRAME else f"-{size}px"
    name += "-balanced" if balanced else ""
    return root / "simulated" / name


Maker = Callable[[], pd.DataFrame]


class Entry(NamedTuple):
    """What the index knows of a file: bytes, time of its last change (ns), hash of its content."""

    size: int
    changed: int
    digest: str


class Index(BaseModel):
    """What a survey on disk consists of; it lies beside it as ``survey.json``."""

    model_config = ConfigDict(extra="forbid")

    survey_version: int
    n: int
    seed: int
    telescope: str
    size: int
    balanced: bool
    files: dict[str, Entry]


def make_survey(root: Path, survey: Survey, thorough: bool = False) -> list[str]:
    """Make those files of a survey that are missing or damaged; the others stay as they are.

    No file depends on another. An index beside them says what each must be. A file is hashed when
    its size or time is not that of the index. A survey without an index, which was interrupted or
    is older than the index, gets one: its tables are made again, its pictures are kept where they
    look whole. One process at a time makes a survey; others wait.

    Parameters
    ----------
    root, survey
        As `survey_folder`; errors as `load_simulated`.
    thorough
        Hash every file.

    Returns
    -------
    list of str
        A sentence that says what had to be made again, where that is the case.
    """
    folder = survey_folder(root, survey)
    ids = [FIRST_ID + i for i in range(survey.n)]
    tables = [*(f"{name}.csv" for name in table_names(survey.telescope)), TABLE]
    pictures = [f"{IMAGE_FOLDER}/{i}.jpg" for i in ids]
    stamps = [f"{FITS_FOLDER}/{i}.fits" for i in ids] if survey.telescope == "hst" else []
    names = [*tables, *pictures, *stamps]
    facts = {"survey_version": SURVEY_VERSION, **survey._asdict()}

    def known() -> Index | None:
        index = read_record(folder / INDEX, Index)
        if index is None or index.model_dump(exclude={"files"}) != facts:
            return None
        return index if set(index.files) == set(names) else None

    index = known()
    if index and _intact(folder, index, thorough) == index.files:
        return []
    # Where nobody may write, a whole survey can be read all the same.
    may_write = not folder.is_dir() or os.access(folder, os.W_OK)
    with only_one(folder / INDEX, "makes this survey") if may_write else nullcontext():
        index = known()  # another process may have made it meanwhile
        was_there = index is not None or (folder / TABLE).is_file()
        if index:
            intact = _intact(folder, index, thorough)
        else:
            files = {name: folder / name for name in [*pictures, *stamps]}
            whole = {name: f for name, f in files.items() if _looks_whole(f, survey.size)}
            intact = {name: _entry(file) for name, file in whole.items()}
        made = [name for name in names if name not in intact]
        lost = [name for name in made if index or name not in tables]
        if lost and not may_write:
            raise UserError(
                f"{len(lost):,} files of the simulated survey in {short(folder)} are missing or "
                f"damaged, the first is {lost[0]}, and you may not write there. Name another "
                "folder for data: GALHELPERS_DATA, or --data-root."
            )
        if made:
            made = _make(folder, made, survey)
        entries = {name: intact.get(name) or _entry(folder / name) for name in names}
        text = Index.model_validate({**facts, "files": entries}).model_dump_json()
        if may_write:
            with atomic_write(folder / INDEX) as temporary:
                temporary.write_text(text, "utf-8")
    if not made or not was_there:
        return []
    return [
        f"In the simulated survey in {short(folder)}, {len(made):,} of {len(names):,} files were "
        f"missing or damaged and have been made again, the first is {made[0]}."
    ]


def _intact(folder: Path, index: Index, thorough: bool) -> dict[str, Entry]:
    """Give the files that are what the index says, with their times of today."""
    found: dict[str, os.DirEntry[str]] = {}
    for place in ("", IMAGE_FOLDER, FITS_FOLDER):
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder / place) as listed:
            found |= {f"{place}/{file.name}".lstrip("/"): file for file in listed}
    intact = {}
    for name, entry in index.files.items():
        if name not in found or not found[name].is_file():
            continue
        status = found[name].stat()
        if status.st_size != entry.size:
            continue
        if thorough or _changed(status) != entry.changed:
            today = _entry(folder / name)
            if today.digest != entry.digest:
                continue
            entry = today
        intact[name] = entry
    return intact


def _changed(status: os.stat_result) -> int:
    """Give the time of a file's last change, also by another file's taking its name."""
    return max(status.st_mtime_ns, status.st_ctime_ns)


def _entry(file: Path) -> Entry:
    content = file.read_bytes()
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    return Entry(len(content), _changed(file.stat()), digest)


def _looks_whole(file: Path, size: int) -> bool:
    """Say whether a picture or stamp of which nothing is known begins and ends as it should."""
    try:
        content = file.read_bytes()
        if file.suffix == ".fits":
            return content.startswith(b"SIMPLE") and len(content) % 2880 == 0
        with Image.open(BytesIO(content), formats=["JPEG"]) as picture:
            return picture.size == (size, size) and content.endswith(b"\xff\xd9")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def _make(folder: Path, names: list[str], survey: Survey) -> list[str]:
    """Make files of a survey; give the names of those that were not there as they should be.

    ``names`` are relative to the folder.
    """
    n, seed, telescope, size, balanced = survey
    (folder / IMAGE_FOLDER).mkdir(parents=True, exist_ok=True)
    per_picture = size**2 // 8 + 60_000 * (telescope == "hst")
    check_room(folder, len(names) * per_picture, "The simulated survey")
    truth = survey_truth(n, seed, telescope, balanced)
    quality = get_telescope(telescope).quality
    wanted = set(names)
    chunk = max(1, CHUNK * FRAME**2 // max(size, FRAME) ** 2)  # memory follows the pixels
    folders = {IMAGE_FOLDER: ".jpg", FITS_FOLDER: ".fits"}
    # tqdm's bar for notebooks forgets the variable that turns bars off.
    silent = bool(os.environ.get("TQDM_DISABLE"))
    for place, suffix in folders.items():
        files = [f"{place}/{FIRST_ID + i}{suffix}" for i in range(n)]
        rows = np.array([i for i, name in enumerate(files) if name in wanted], dtype=int)
        starts = range(0, len(rows), chunk)
        hidden = silent or not starts
        for start in tqdm(starts, desc="observing", unit="chunk", leave=False, disable=hidden):
            few = rows[start : start + chunk]
            part, paths = truth.iloc[few], [folder / files[i] for i in few]
            if suffix == ".jpg":
                write_jpegs(render(part, telescope, size, seed), paths, quality)
            else:
                write_stamps(part, telescope, seed, paths)
    made = [name for name in names if "/" in name]
    tables = [name for name in names if "/" not in name]
    if tables:
        contents = _tables(truth, seed, telescope)
        for name in tables:
            content = contents[name]().to_csv(index=False).encode()
            if not (folder / name).is_file() or (folder / name).read_bytes() != content:
                made.append(name)
                with atomic_write(folder / name) as temporary:
                    temporary.write_bytes(content)
    return made


def _tables(truth: pd.DataFrame, seed: int, telescope: str) -> dict[str, Maker]:
    """Give what makes each table of a survey, by the name of its file."""
    ids = FIRST_ID + np.arange(len(truth))
    votes = volunteer_votes(truth, GZ2, telescope, seed=seed)

    def named(table: pd.DataFrame) -> pd.DataFrame:
        table = table.copy()
        table.insert(0, "GalaxyID", ids)
        return table

    def of(values: np.ndarray, columns: Iterable[str] | None) -> pd.DataFrame:
        return named(pd.DataFrame(values, columns=list(columns or ())))

    make: dict[str, Maker] = {
        "truth": lambda: named(truth),
        "votes": lambda: of(votes, GZ2.columns),
        "probabilities_gz2": lambda: named(_probabilities(truth, GZ2, telescope)),
        "probabilities_decals": lambda: named(_probabilities(truth, DECALS, telescope)),
        "votes_decals": lambda: of(
            volunteer_votes(truth, DECALS, telescope, seed=seed), DECALS.columns
        ),
        "votes_galaxy_zoo_1": lambda: of(galaxy_zoo_1_votes(truth, telescope, seed=seed), BUTTONS),
        "fractions_candels": lambda: of(
            expert_fractions(truth, telescope, seed=seed), CANDELS.published_columns
        ),
    }

    def catalog(name: str) -> Maker:
        return make.get(name, lambda: catalog_of(truth, name, seed, background=True))

    tables = {f"{name}.csv": catalog(name) for name in table_names(telescope)}
    fractions = cumulative_fractions(votes, GZ2)
    return tables | {TABLE: lambda: of(fractions, GZ2.published_columns)}


def survey_truth(n: int, seed: int, telescope: str, balanced: bool = False) -> pd.DataFrame:
    """Draw the galaxies that a survey looks at: distant ones with the space telescope."""
    truth = sample_galaxies(n, seed=seed, balanced=balanced)
    if telescope != "hst":
        return truth
    redshift = [generator(seed, "redshift", int(i)).uniform(*DISTANT) for i in truth["id"]]
    return moved_to_redshift(truth, np.array(redshift))


def write_jpegs(pixels: torch.Tensor, files: list[Path], quality: int) -> None:
    """Write images, uint8 of shape (n, 3, height, width), as JPEG files.

    With the quality that they were served with, a JPEG of a JPEG loses next to nothing.
    """
    for image, file in zip(pixels.permute(0, 2, 3, 1).numpy(), files, strict=True):
        # The index knows each of them by its hash.
        with atomic_write(file, sync=False) as temporary:
            Image.fromarray(image).save(temporary, quality=quality)


def write_stamps(truth: pd.DataFrame, telescope: str, seed: int, files: list[Path]) -> None:
    """Write images in nanomaggies at the telescope's own pixel scale as FITS files."""
    scale = get_telescope(telescope).pixel_scale
    images = linear_images(truth, telescope, _DRAWN, seed, field_of_view=_DRAWN * scale)
    edge = (_DRAWN - STAMP) // 2
    stamps = images[:, :, edge:-edge, edge:-edge].numpy()
    for image, (_, galaxy), file in zip(stamps, truth.iterrows(), files, strict=True):
        write_fits(file, image, galaxy, telescope, STAMP * scale, seed)


def _probabilities(truth: pd.DataFrame, tree: Tree, telescope: str) -> pd.DataFrame:
    """Answer probabilities side by side, (n, n_answers); six decimals tell them apart."""
    answers = answer_probabilities(truth, tree, telescope)
    side_by_side = np.hstack([answers[question.name] for question in tree.questions])
    return pd.DataFrame(side_by_side.round(6), columns=tree.columns)
