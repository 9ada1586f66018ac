"""Catalogs: choosing galaxies, matching two surveys on the sky, splits that cannot leak."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import astropy.units as u
import numpy as np
import pandas as pd
from astropy.coordinates import SkyCoord, search_around_sky
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from galhelpers.paths import atomic_write, short
from galhelpers.trees import GZ2

FIVE_CLASSES = (
    "completely_round_smooth",
    "in_between_smooth",
    "cigar_shaped_smooth",
    "edge_on",
    "spiral",
)
"""Names of classes 0 to 4."""

FIVE_CLASS_CUTS: tuple[dict[str, float], ...] = (
    {"Class1.1": 0.469, "Class7.1": 0.50},
    {"Class1.1": 0.469, "Class7.2": 0.50},
    {"Class1.1": 0.469, "Class7.3": 0.50},
    {"Class1.2": 0.430, "Class2.1": 0.602},
    {"Class1.2": 0.430, "Class2.2": 0.715, "Class4.1": 0.619},
)
"""Thresholds on cumulative fractions, class by class; all of a class must be passed.

Zhu et al. 2019, Ap&SS 364, 55, after Table 3 of Willett et al. 2013, MNRAS 435, 2835.
"""

Operator = Literal[">", ">="]


def select_five_classes(
    fractions: pd.DataFrame | np.ndarray, operator: Operator = ">"
) -> np.ndarray:
    """Sort galaxies into the five classes of Zhu et al. 2019, or into none.

    Parameters
    ----------
    fractions
        Cumulative fractions: a table with columns ``Class1.1`` to ``Class11.6``, or an array
        (n, 37) in that order.
    operator
        ``">"`` gives the 28,790 galaxies of Zhu et al. 2019 and Gupta et al. 2022 from Kaggle's
        training table, ``">="`` the 28,793 of others.

    Returns
    -------
    ndarray of int
        (n,) class 0 to 4 in the order of ``FIVE_CLASSES``, -1 for none. A missing fraction (NaN)
        passes no cut. A galaxy on two thresholds at once (two answers of exactly 0.5 with
        ``">="``) gets the first class.
    """
    if operator not in (">", ">="):
        raise ValueError(f"operator must be '>' or '>=', got {operator!r}.")
    values = np.atleast_2d(GZ2.array(fractions))
    classes = np.full(len(values), -1)
    for class_id, cuts in reversed(list(enumerate(FIVE_CLASS_CUTS))):
        passed = np.ones(len(values), dtype=bool)
        for column, threshold in cuts.items():
            fraction = values[:, GZ2.index(column)]
            passed &= fraction > threshold if operator == ">" else fraction >= threshold
        classes[passed] = class_id
    return classes


def cross_match(
    ra1: Sequence[float] | np.ndarray,
    dec1: Sequence[float] | np.ndarray,
    ra2: Sequence[float] | np.ndarray,
    dec2: Sequence[float] | np.ndarray,
    max_separation_arcsec: float,
) -> pd.DataFrame:
    """Find the same objects in two catalogs by their positions.

    Two objects match when each is the other's nearest neighbour and they are close enough. So no
    object is used twice, and the answer does not depend on which catalog comes first.

    Parameters
    ----------
    ra1, dec1, ra2, dec2
        Right ascension and declination in degrees; 359.9 and -0.1 are the same RA.
    max_separation_arcsec
        Largest separation of a match in arcsec: a few times the astrometric scatter, far less
        than the distance between neighbours.

    Returns
    -------
    DataFrame
        ``index1``, ``index2`` (rows of the two catalogs, counted from 0) and
        ``separation_arcsec``, one row a match, in the order of the first catalog.
    """
    if not max_separation_arcsec > 0:
        raise ValueError(f"max_separation_arcsec must be positive, got {max_separation_arcsec}.")
    first, second = _positions(ra1, dec1, "first"), _positions(ra2, dec2, "second")
    index1 = np.arange(len(first))
    if len(first) == 0 or len(second) == 0:
        index1 = index2 = np.array([], dtype=int)
        separation = np.array([])
    else:
        index2, angle, _ = first.match_to_catalog_sky(second)
        back, _, _ = second.match_to_catalog_sky(first)
        separation = angle.to_value(u.arcsec)
        keep = (back[index2] == index1) & (separation <= max_separation_arcsec)
        index1, index2, separation = index1[keep], index2[keep], separation[keep]
    return pd.DataFrame({"index1": index1, "index2": index2, "separation_arcsec": separation})


def group_duplicates(
    digests: Sequence[str],
    ra: Sequence[float] | np.ndarray | None = None,
    dec: Sequence[float] | np.ndarray | None = None,
    *,
    ids: Sequence[object] | None = None,
    max_separation_arcsec: float = 2.0,
) -> np.ndarray:
    """Give images of one galaxy one name, so that a split cannot put them on two sides.

    Parameters
    ----------
    digests
        (n,) hash of each file's content: the same file twice is the same galaxy. An empty string
        (unreadable file) is like no other.
    ra, dec
        (n,) positions in degrees; closer than ``max_separation_arcsec`` is the same galaxy. NaN
        where unknown.
    ids
        (n,) names of the galaxies; by default their digests.
    max_separation_arcsec
        Largest separation of two images of one galaxy, in arcsec.

    Returns
    -------
    ndarray of str
        (n,) group names for ``split_by_hash``: the alphabetically first name in each group, which
        is a galaxy's own name when it has no duplicate. Groups are chains: when A is B and B is
        C, all three are one.
    """
    count = len(digests)
    names = np.array([str(name) for name in (digests if ids is None else ids)], dtype=object)
    if len(names) != count:
        raise ValueError(f"Expected as many ids as digests: {count}, got {len(names)}.")
    # Equal digests or equal names are linked through the first row that has them.
    first: dict[tuple[str, str], int] = {}
    links = [
        (row, first.setdefault((kind, value), row))
        for kind, values in (("digest", digests), ("name", names))
        for row, value in enumerate(values)
        if value
    ]
    if (ra is None) != (dec is None):
        raise ValueError("Give both ra and dec, or neither.")
    if ra is not None and dec is not None:
        right_ascension, declination = np.asarray(ra, float), np.asarray(dec, float)
        if not len(right_ascension) == len(declination) == count:
            raise ValueError(
                f"Expected {count} positions, one a digest; got {len(right_ascension)} ra and "
                f"{len(declination)} dec."
            )
        known = np.flatnonzero(~np.isnan(right_ascension) & ~np.isnan(declination))
        if len(known) > 1:
            sky = _positions(right_ascension[known], declination[known], "given")
            one, other, _, _ = search_around_sky(sky, sky, max_separation_arcsec * u.arcsec)
            links += zip(known[one].tolist(), known[other].tolist(), strict=True)
    rows, columns = np.array(links, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    if count == 0:
        return np.array([], dtype=object)
    _, group = connected_components(graph, directed=False)
    return pd.Series(names).groupby(group).transform("min").to_numpy(dtype=object)


def split_by_hash(
    group_ids: Iterable[object],
    shares: Mapping[str, float] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Divide galaxies into parts by a hash of their names.

    A galaxy's part depends on its name and the seed and on nothing else: not on the order of the
    catalog, nor on which other galaxies are in it. So galaxies added later do not move old ones
    from training to test, and two notebooks agree without sharing a file.

    Parameters
    ----------
    group_ids
        (n,) names or whole numbers; 100008 and "100008" are the same. Images of one galaxy must
        have one name (see ``group_duplicates``).
    shares
        Share of each part, adding up to 1; by default train .70, validation .15, test .15. The
        sizes follow it only on average, with binomial scatter.
    seed
        Another seed, another split.

    Returns
    -------
    ndarray of str
        (n,) part of each galaxy.
    """
    shares = {"train": 0.70, "validation": 0.15, "test": 0.15} if shares is None else dict(shares)
    if min(shares.values(), default=-1) < 0 or abs(sum(shares.values()) - 1) > 1e-9:
        raise ValueError(f"shares must not be negative and must add up to 1, got {shares}.")
    positions = np.array([unit_hash(_name(group), seed) for group in group_ids])
    edges = np.cumsum(list(shares.values()))
    edges[-1] = 1.0  # rounding must not leave a gap at the end
    return np.array(list(shares))[np.searchsorted(edges, positions, side="right")]


def save_split(path: str | Path, ids: Sequence[object], parts: Sequence[str] | np.ndarray) -> None:
    """Write a split as CSV with columns ``id`` and ``part``, at once or not at all.

    Raises
    ------
    ValueError
        When an id is repeated, or the lengths differ.
    """
    names = [_name(value) for value in ids]
    if len(names) != len(parts):
        raise ValueError(f"Expected one part for each id: {len(names)} ids, {len(parts)} parts.")
    table = pd.DataFrame({"id": names, "part": [str(part) for part in parts]})
    _refuse_repeated(table, "this split")
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False)


def load_split(path: str | Path, ids: Sequence[object] | None = None) -> pd.Series:
    """Read a split that ``save_split`` wrote.

    Parameters
    ----------
    path
        CSV with columns ``id`` and ``part``.
    ids
        Galaxies that the split must hold, no more and no fewer; the answer follows their order.

    Returns
    -------
    Series of str
        Part of each galaxy, indexed by id (as text).

    Raises
    ------
    ValueError
        When the file is not such a table, an id stands in two parts, or the ids are others.
    """
    where = short(path)
    try:
        # Text throughout: the id 007 must not become 7, nor a galaxy called NA a missing value.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise ValueError(f"{where} is not a split: {error}. Delete it and split again.") from error
    if list(table.columns) != ["id", "part"] or (table == "").to_numpy().any():
        raise ValueError(
            f"{where} is not a split: expected columns id and part, every field filled; found "
            f"columns {', '.join(table.columns)}. Delete it and split again."
        )
    _refuse_repeated(table, where)
    split = table.set_index("id")["part"]
    if ids is None:
        return split
    wanted = pd.Index([_name(value) for value in ids], name="id")
    missing, extra = wanted.difference(split.index), split.index.difference(wanted)
    if len(missing) or len(extra):
        raise ValueError(
            f"{where} was made for other galaxies: {len(missing)} of yours are not in it"
            f"{_examples(missing)}, {len(extra)} in it are not yours{_examples(extra)}. "
            "Split again, or load the catalog it was made for."
        )
    return split.loc[wanted]


def _positions(
    ra: Sequence[float] | np.ndarray, dec: Sequence[float] | np.ndarray, which: str
) -> SkyCoord:
    """Positions in degrees as astropy coordinates, with errors that name the catalog."""
    right_ascension, declination = np.atleast_1d(np.asarray(ra, float), np.asarray(dec, float))
    if right_ascension.shape != declination.shape or right_ascension.ndim != 1:
        raise ValueError(
            f"The {which} catalog needs as many ra as dec, got shapes "
            f"{right_ascension.shape} and {declination.shape}."
        )
    good = np.isfinite(right_ascension) & (np.abs(declination) <= 90)
    if not good.all():
        row = int(np.flatnonzero(~good)[0])
        raise ValueError(
            f"The {which} catalog has {np.sum(~good)} missing or impossible positions; "
            f"row {row}: ra {right_ascension[row]}, dec {declination[row]}. "
            "Expected degrees; leave such rows out."
        )
    return SkyCoord(right_ascension, declination, unit="deg")


def _name(value: object) -> str:
    """Text of an id, refusing the ones that do not name a galaxy reliably."""
    if value is None or isinstance(value, (float, np.floating)) or value == "":
        raise ValueError(
            f"Expected a whole number or text as id, got {value!r}. A column of numbers with a "
            "missing value is read as floats; read ids as text (dtype=str)."
        )
    return str(value)


def unit_hash(name: str, seed: int) -> float:
    """Map a galaxy's name and a seed to a number in [0, 1), the same on every machine.

    ``split_by_hash`` cuts these numbers into parts. Python's own ``hash`` of a text differs from
    one process to the next. A seed before a colon cannot be confused with the beginning of a name.
    """
    digest = hashlib.blake2b(f"{int(seed)}:{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # 53 bits fit a float exactly


def _refuse_repeated(table: pd.DataFrame, where: str) -> None:
    repeated = table["id"].duplicated(keep=False)
    if repeated.any():
        worst = table.loc[repeated, "id"].iloc[0]
        parts = ", ".join(sorted(set(table.loc[table["id"] == worst, "part"])))
        raise ValueError(
            f"In {where} {table.loc[repeated, 'id'].nunique()} ids stand more than once, such as "
            f"{worst!r} in {parts}. Each galaxy belongs to one part."
        )


def _examples(ids: pd.Index) -> str:
    return f" ({', '.join(map(str, ids[:3]))}{', ...' if len(ids) > 3 else ''})" if len(ids) else ""
