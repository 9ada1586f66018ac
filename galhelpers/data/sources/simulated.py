"""The simulated survey on disk, in Kaggle's own layout, so that one reader serves both."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from tqdm.auto import tqdm

from galhelpers.data.dataset import GalaxySet
from galhelpers.data.sources.kaggle import IMAGE_FOLDER, TABLE, read_kaggle_layout
from galhelpers.paths import atomic_write
from galhelpers.survey import SURVEY_VERSION, catalogue_of, sample_galaxies
from galhelpers.survey.render import render
from galhelpers.survey.volunteers import cumulative_fractions, volunteer_votes
from galhelpers.trees import TREES

FIRST_ID = 100_001
CHUNK = 128
FRAME = 424  # pixels, as Galaxy Zoo 2 showed its galaxies


def load_simulated(root: Path, n: int, seed: int) -> GalaxySet:
    """Make the simulated survey where it is not yet on disk, and read it.

    Parameters
    ----------
    root
        Data folder; the survey goes to ``simulated/`` in it.
    n
        Number of galaxies.
    seed
        Seed of the sky.

    Returns
    -------
    GalaxySet
        With tables ``truth`` (what each galaxy is), ``sdss`` and ``decals`` (what two surveys
        list: object, RA, Dec), and ``votes`` (how many volunteers gave each answer).
    """
    folder = root / "simulated" / f"v{SURVEY_VERSION}-n{n}-seed{seed}"
    if not (folder / TABLE).is_file():
        write_survey(folder, n, seed)
    galaxies = read_kaggle_layout(folder, "simulated")
    tables = {
        name: pd.read_csv(folder / f"{name}.csv") for name in ("truth", "votes", "sdss", "decals")
    }
    truth = tables["truth"]
    galaxies.catalog = galaxies.catalog.assign(ra=truth["ra"], dec=truth["dec"])
    galaxies.tables = tables
    galaxies.provenance |= {"survey_version": SURVEY_VERSION, "seed": seed, "n": n}
    return galaxies


def write_survey(folder: Path, n: int, seed: int) -> None:
    """Observe ``n`` simulated galaxies and write them down; continue where an earlier try stopped.

    The table of fractions is written last: a folder that has it is complete.
    """
    truth = sample_galaxies(n, seed=seed)
    ids = FIRST_ID + np.arange(n)
    images = folder / IMAGE_FOLDER
    images.mkdir(parents=True, exist_ok=True)
    for start in tqdm(range(0, n, CHUNK), desc="observing", unit="chunk", leave=False):
        files = [images / f"{i}.jpg" for i in ids[start : start + CHUNK]]
        if not all(file.is_file() for file in files):
            write_jpegs(render(truth.iloc[start : start + CHUNK], "sdss", FRAME, seed), files)
    votes = volunteer_votes(truth, TREES["gz2"], seed=seed)
    fractions = cumulative_fractions(votes, TREES["gz2"])
    tables = {
        "truth.csv": truth,
        "votes.csv": pd.DataFrame(votes, columns=TREES["gz2"].columns),
        "sdss.csv": catalogue_of(truth, "sdss", seed),
        "decals.csv": catalogue_of(truth, "decals", seed),
        TABLE: pd.DataFrame(fractions, columns=TREES["gz2"].published_columns),
    }
    for name, table in tables.items():
        if name in ("truth.csv", "votes.csv", TABLE):
            table = table.copy()
            table.insert(0, "GalaxyID", ids)
        with atomic_write(folder / name) as temporary:
            table.to_csv(temporary, index=False)


def write_jpegs(pixels: torch.Tensor, files: list[Path]) -> None:
    """Write images, uint8 of shape (n, 3, height, width), as JPEG files."""
    for image, file in zip(pixels.permute(0, 2, 3, 1).numpy(), files, strict=True):
        with atomic_write(file) as temporary:
            Image.fromarray(image).save(temporary, quality=85)
