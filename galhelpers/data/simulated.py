"""The simulated survey on disk, in Kaggle's own layout, so that one reader serves both."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm.auto import tqdm

from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.readers import IMAGE_FOLDER, TABLE, read_kaggle_layout
from galhelpers.paths import atomic_write
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
    """Make the simulated survey where it is not yet on disk, and read it.

    Parameters
    ----------
    root
        Data folder; the survey goes to ``simulated/`` in it.
    n
        Number of galaxies, 1 or more.
    seed
        Seed of the sky, 0 or more.
    telescope
        Whose pictures the volunteers see: a name in ``TELESCOPES``. With "hst" the galaxies are
        moved to redshifts of 1 to 2.5, there are FITS stamps beside the pictures, and the table of
        truth gives size, brightness and redshift as moved.
    size
        Width and height of the pictures in pixels, 16 or more.
    balanced
        Whether the five classes are about equally frequent.

    Returns
    -------
    GalaxySet
        Labels are Galaxy Zoo 2's; ``tables`` are those of ``WORDS`` that the telescope has.

    Raises
    ------
    ValueError
        For an unknown telescope or a number that is too small.
    """
    folder = survey_folder(root, n, seed, telescope, size, balanced)
    names = table_names(telescope)
    files = [folder / TABLE, *(folder / f"{name}.csv" for name in names)]
    if not all(file.is_file() for file in files):
        write_survey(folder, n, seed, telescope, size, balanced)
    galaxies = read_kaggle_layout(folder, "simulated")
    galaxies.tables = {name: pd.read_csv(folder / f"{name}.csv") for name in names}
    truth = galaxies.tables["truth"]
    galaxies.catalog = galaxies.catalog.assign(ra=truth["ra"], dec=truth["dec"])
    galaxies.provenance |= {"survey_version": SURVEY_VERSION, "seed": seed, "n": n}
    galaxies.provenance |= {"telescope": telescope, "size": size, "balanced": balanced}
    return galaxies


def table_names(telescope: str) -> tuple[str, ...]:
    """Names of the tables of a survey with this telescope, without the one of fractions."""
    # A telescope that is new here has at least its own catalog.
    return ("truth", "probabilities_gz2", "votes", *_EXTRA.get(telescope, (telescope,)))


def survey_folder(
    root: Path,
    n: int,
    seed: int,
    telescope: str = "sdss",
    size: int = FRAME,
    balanced: bool = False,
) -> Path:
    """Say where a survey lies, on disk or not yet; parameters and errors as ``load_simulated``.

    The name holds what the survey depends on; of the options only those that are not the default.
    """
    get_telescope(telescope)  # refuses a name that is not known
    for what, value, least in (("n", n, 1), ("seed", seed, 0), ("size", size, 16)):
        if value < least:
            raise ValueError(f"Expected {what} of {least} or more, got {value}.")
    name = f"v{SURVEY_VERSION}-n{n}-seed{seed}"
    name += "" if telescope == "sdss" else f"-{telescope}"
    name += "" if size == FRAME else f"-{size}px"
    name += "-balanced" if balanced else ""
    return root / "simulated" / name


def write_survey(
    folder: Path,
    n: int,
    seed: int,
    telescope: str = "sdss",
    size: int = FRAME,
    balanced: bool = False,
) -> None:
    """Observe ``n`` simulated galaxies and write them down; continue where an earlier try stopped.

    The table of fractions is written last: a folder that has all tables is complete. Every file
    appears at once and does not depend on the others, so that two processes may write the same
    survey. Parameters as ``load_simulated``.
    """
    truth = survey_truth(n, seed, telescope, balanced)
    quality = get_telescope(telescope).quality
    (folder / IMAGE_FOLDER).mkdir(parents=True, exist_ok=True)
    # tqdm's bar for notebooks forgets the variable that turns bars off.
    silent = bool(os.environ.get("TQDM_DISABLE"))
    starts = range(0, n, CHUNK)
    for start in tqdm(starts, desc="observing", unit="chunk", leave=False, disable=silent):
        part = truth.iloc[start : start + CHUNK]
        names = [str(FIRST_ID + int(i)) for i in part["id"]]
        pictures = [folder / IMAGE_FOLDER / f"{name}.jpg" for name in names]
        if not all(file.is_file() for file in pictures):
            write_jpegs(render(part, telescope, size, seed), pictures, quality)
        if telescope == "hst":
            stamps = [folder / FITS_FOLDER / f"{name}.fits" for name in names]
            if not all(file.is_file() for file in stamps):
                write_stamps(part, telescope, seed, stamps)
    votes = volunteer_votes(truth, GZ2, telescope, seed=seed)
    make: dict[str, Callable[[], pd.DataFrame]] = {
        "truth": lambda: truth,
        "votes": lambda: pd.DataFrame(votes, columns=GZ2.columns),
        "probabilities_gz2": lambda: _probabilities(truth, GZ2, telescope),
        "probabilities_decals": lambda: _probabilities(truth, DECALS, telescope),
        "votes_decals": lambda: pd.DataFrame(
            volunteer_votes(truth, DECALS, telescope, seed=seed), columns=DECALS.columns
        ),
        "votes_galaxy_zoo_1": lambda: pd.DataFrame(
            galaxy_zoo_1_votes(truth, telescope, seed=seed), columns=BUTTONS
        ),
        "fractions_candels": lambda: pd.DataFrame(
            expert_fractions(truth, telescope, seed=seed), columns=CANDELS.published_columns
        ),
    }
    ids = FIRST_ID + np.arange(n)
    for name in table_names(telescope):
        if name in make:
            _write_table(folder / f"{name}.csv", make[name](), ids)
        else:
            _write_table(folder / f"{name}.csv", catalog_of(truth, name, seed, background=True))
    fractions = cumulative_fractions(votes, GZ2)
    _write_table(folder / TABLE, pd.DataFrame(fractions, columns=GZ2.published_columns), ids)


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
        with atomic_write(file) as temporary:
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


def _write_table(file: Path, table: pd.DataFrame, ids: np.ndarray | None = None) -> None:
    if ids is not None:
        table = table.copy()
        table.insert(0, "GalaxyID", ids)
    with atomic_write(file) as temporary:
        table.to_csv(temporary, index=False)
