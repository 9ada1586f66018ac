"""Copies of galaxies under other names: what makes a test part leak, and a leak to be shown.

Copies come into tables from two runs of a survey, from overlapping fields, and from people who
enlarge a training set before they divide it.
"""

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray

from galhelpers.data.augment import affine_matrix, warp

_BLOCK = 512  # pictures turned at a time
_SCATTER = 0.06  # arcsec, of a second look at the same place


def with_copies(
    catalog: pd.DataFrame, share: float = 0.3, each: int = 3, seed: int = 0
) -> pd.DataFrame:
    """Enlarge a catalog by copies that have names of their own.

    Parameters
    ----------
    catalog : pandas.DataFrame
        n rows with a column ``id``; ``ra`` and ``dec`` (degrees) are moved a little where they are.
    share : float
        Share of the galaxies that are copied, 0 to 1.
    each : int
        Copies of each of them.
    seed : int
        Seed of the choice, the angles and the names.

    Returns
    -------
    pandas.DataFrame
        The n rows, then the copies, each with the columns of the catalog and two more. ``row`` is
        the row of the galaxy in the catalog, and ``angle`` (degrees) what it is to be turned by, 0
        for the n.

    Raises
    ------
    ValueError
        For a share outside 0 to 1, or a negative number of copies.
    """
    if not (0 <= share <= 1 and each >= 0):
        raise ValueError(f"Expected a share of 0 to 1 and 0 copies or more, got {share}, {each}.")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(catalog), round(share * len(catalog)), replace=False))
    rows = np.repeat(chosen, each)
    originals = catalog.assign(row=np.arange(len(catalog)), angle=0.0)
    copies = originals.iloc[rows].reset_index(drop=True)
    copies["angle"] = rng.uniform(20, 340, len(copies))
    copies["id"] = [f"C{number:06}" for number in rng.permutation(len(copies))]
    if {"ra", "dec"} <= set(copies):
        east, north = rng.normal(0, _SCATTER / 3600, (2, len(copies)))
        copies["ra"] = (copies["ra"] + east / np.cos(np.radians(copies["dec"]))) % 360
        copies["dec"] = copies["dec"] + north
    return pd.concat([originals, copies], ignore_index=True)


def turned(pixels: NDArray[np.uint8], angles: ArrayLike, size: int) -> NDArray[np.uint8]:
    """Turn each picture about its centre and keep the middle of it.

    Parameters
    ----------
    pixels : uint8 array (n, 3, h, h)
        At least sqrt(2) times as wide as ``size``, so that the corners of the result show sky.
    angles : array (n,)
        Degrees, anticlockwise as seen on the screen.
    size : int
        Width and height of the result in pixels, at the sampling of the input.

    Returns
    -------
    uint8 array (n, 3, size, size)
    """
    degrees = torch.from_numpy(np.array(angles, dtype=np.float32))
    if len(degrees) != len(pixels):
        raise ValueError(f"Expected {len(pixels)} angles, one a picture, got {len(degrees)}.")
    result = np.empty((len(pixels), 3, size, size), dtype=np.uint8)
    for start in range(0, len(pixels), _BLOCK):
        some = slice(start, start + _BLOCK)
        angle = degrees[some]
        still, no = torch.zeros(len(angle), 2), torch.zeros(len(angle), dtype=torch.bool)
        matrix = affine_matrix(angle, torch.ones(len(angle)), still, no)
        views = warp(torch.tensor(pixels[some]), matrix, size)
        result[some] = views.round().clamp(0, 255).to(torch.uint8).numpy()
    return result
