"""Published tables of votes become one shape: galaxies, votes and cumulative fractions.

Publishers give conditional fractions: the share of those who were asked a question. Debiased ones
say what would have been seen of a nearer galaxy. In Galaxy Zoo 2 each answer was debiased on its
own, so the answers of a question no longer sum to 1: in the Stripe 82 table of Willett et al. 2013
those of question 1 sum to 0.67-1.46 (45 % of the 19,761 rows are off by more than 0.01), in 750
rows of Hart et al. 2016 to 0.25-1.80. So every question is divided by its sum here before
fractions are multiplied down the tree.
"""

import itertools
import re
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pandas as pd
from astropy.table import Table

from galhelpers.data.galaxies import GalaxySet
from galhelpers.data.manifest import load_manifest
from galhelpers.data.tables import TableError, column_names, degrees, numeric, read_table
from galhelpers.messages import public
from galhelpers.paths import short
from galhelpers.trees import CANDELS, DECALS, GZ1, GZ2, GZ2_SHORT, TREES, Tree

Kind = Literal["debiased", "weighted_fraction", "fraction", "count"]

# Further columns of the catalog, and their published names in lower case. petro_th90 is the name in
# the NASA-Sloan Atlas, which the DECaLS tables quote; both radii are in arcsec.
_CATALOG = {
    "ra": ("ra",),
    "dec": ("dec",),
    "petro_r90": ("petror90_r", "petro_th90"),
    "redshift": ("redshift",),
    "sample": ("sample",),
}
_MOST_VOTES = 1e9  # people who answered; more fit no whole number of 32 bits
_ROUNDING = 1e-6  # fractions stored as float32 may exceed 1 by 6e-8


@dataclass(frozen=True)
class VoteColumns:
    """How one published table names what it holds.

    Attributes
    ----------
    tree
        The decision tree behind the votes.
    identifiers
        Columns that name a galaxy, in lower case. The first that a table has is used.
    people
        In lower case, the column with the number of volunteers of a galaxy.
    kinds
        Kinds of numbers that the table may have, the best first. Where one is missing for a
        question, the next one stands in.
    meaning
        Gives the answer (a column of ``tree``) and the kind of number that a published column
        holds; None for other columns.
    """

    tree: Tree
    identifiers: tuple[str, ...]
    people: str
    kinds: tuple[Kind, ...]
    meaning: Callable[[str], tuple[str, Kind] | None]


# Task and answer numbers are the same in all tables of Galaxy Zoo 2 (Willett et al. 2013, table 2).
# There is no answer 35, and answer 38 is the dust lane, which the tree lists after answer 24.
_GZ2_NUMBERS = [*range(1, 25), 38, *range(25, 35), 36, 37]
_GZ2_ANSWERS = {f"{n:02d}": answer for n, answer in zip(_GZ2_NUMBERS, GZ2.columns, strict=True)}
_GZ2_NAME = re.compile(
    r"t\d\d_\w+?_a(?P<number>\d\d)_\w+?_(?P<kind>debiased|weighted_fraction|fraction|count)"
)


def _gz2_meaning(name: str) -> tuple[str, Kind] | None:
    match = _GZ2_NAME.fullmatch(name)
    if match is None or match["number"] not in _GZ2_ANSWERS:
        return None
    return _GZ2_ANSWERS[match["number"]], cast("Kind", match["kind"])


def _meanings(
    names: list[str], tree: Tree, endings: dict[Kind, str]
) -> Callable[[str], tuple[str, Kind] | None]:
    """Find the meaning of columns that are called as the answers, with an ending for the kind."""
    return {
        name + ending: (answer, kind)
        for kind, ending in endings.items()
        for name, answer in zip(names, tree.columns, strict=True)
    }.get


# Zoobot's names of answers of Galaxy Zoo 2 that are called otherwise here
# (galaxy_datasets/shared/label_metadata.py).
_ZOOBOT_GZ2 = {
    "smooth-or-featured_features-or-disk": "smooth-or-featured_featured-or-disk",
    "smooth-or-featured_star-or-artifact": "smooth-or-featured_artifact",
    "bulge-size_none": "bulge-size_no",
    "how-rounded_completely": "how-rounded_round",
    "edge-on-bulge_rounded": "bulge-shape_round",
    "edge-on-bulge_boxy": "bulge-shape_boxy",
    "edge-on-bulge_none": "bulge-shape_no-bulge",
}

COLUMNS = {
    # Willett et al. 2013 and Hart et al. 2016
    "gz2": VoteColumns(
        GZ2,
        ("asset_id", "objid", "dr7objid"),
        "total_classifications",
        ("debiased", "weighted_fraction", "fraction", "count"),
        _gz2_meaning,
    ),
    # Campaign 5 of Walmsley et al. 2022
    "decals": VoteColumns(
        DECALS,
        ("iauname",),
        "smooth-or-featured_total-votes",
        ("debiased", "fraction", "count"),
        _meanings(
            DECALS.columns, DECALS, {"debiased": "_debiased", "fraction": "_fraction", "count": ""}
        ),
    ),
    # Galaxy Zoo 2 with the names of Zoobot: smooth-or-featured-gz2_smooth
    "zoobot_gz2": VoteColumns(
        GZ2_SHORT,
        ("id_str", "id", "iauname", "dr7objid"),
        "",
        ("count",),
        _meanings(
            [_ZOOBOT_GZ2.get(name, name).replace("_", "-gz2_") for name in GZ2_SHORT.columns],
            GZ2_SHORT,
            {"count": ""},
        ),
    ),
    # Lintott et al. 2011, table 2. Only P_EL and P_CS (all spirals) were debiased.
    "gz1": VoteColumns(
        GZ1,
        ("objid", "dr7objid"),
        "nvote",
        ("fraction",),
        _meanings(GZ1.published, GZ1, {"fraction": ""}),
    ),
}
"""Columns of published tables, by name."""


@dataclass(frozen=True)
class VoteTable:
    """Votes for n galaxies, row by row.

    Attributes
    ----------
    catalog
        ``id`` (text, unique), and as far as published ``ra``, ``dec`` (degrees), ``n_votes``
        (volunteers), ``petro_r90`` (radius that holds 90 % of the Petrosian flux, arcsec),
        ``redshift``, ``sample``.
    tree
        The decision tree behind the votes.
    votes
        Numbers of people, columns ``tree.columns``; None where they are not published.
    fractions
        Cumulative fractions, columns ``tree.published``; 0 where nobody was asked, never NaN. Where
        people were led to a question and nobody answered it, its answers are 0, too.
    source
        What was read: ``table`` (file name), ``rows`` (in the file), ``kind`` (of numbers),
        ``stood_in`` (rows with another kind, by question), ``left_out`` (wrong rows and the first
        identifier, by reason).
    """

    catalog: pd.DataFrame
    tree: Tree
    votes: pd.DataFrame | None
    fractions: pd.DataFrame
    source: dict[str, Any]

    def select(self, rows: np.ndarray) -> "VoteTable":
        """Take some rows, by a mask or by positions."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows

        def some(table: pd.DataFrame) -> pd.DataFrame:
            return table.iloc[rows].reset_index(drop=True)

        votes = None if self.votes is None else some(self.votes)
        return replace(
            self, catalog=some(self.catalog), votes=votes, fractions=some(self.fractions)
        )


def read_votes(
    path: str | Path, columns: str, kind: Kind | None = None, max_wrong: float = 0.01
) -> VoteTable:
    """Read a published table of votes.

    Parameters
    ----------
    path
        A table that `galhelpers.data.tables.read_table` reads.
    columns
        A name in ``COLUMNS``.
    kind
        Which of the published numbers to use; by default the best that the table has. Where they
        are missing for a question (few voters) the next kind stands in.
    max_wrong
        Wrong rows are left out as long as they are no more than this share of the table. A row is
        wrong whose identifier is missing or came before, whose position is off the sky, whose
        fractions are outside 0-1, incomplete or (unless debiased) do not sum to 1, whose counts are
        negative or no whole numbers, or in which nobody answered the first question.

    Raises
    ------
    TableError
        For missing columns, words among the numbers, and too many wrong rows.
    """
    path = Path(path)
    if columns not in COLUMNS:
        raise TableError(f"Unknown columns {columns!r}. Expected one of {', '.join(COLUMNS)}.")
    spec = COLUMNS[columns]
    tree = spec.tree
    present = column_names(path)
    answers = _answer_columns(spec, present)
    kind = kind or next(iter(answers), spec.kinds[0])
    if kind not in answers:
        known = [spec.meaning(name) for name in present]
        missing = [answer for answer in tree.columns if (answer, kind) not in known]
        raise TableError(
            f"{short(path)} should have the {kind} of all {tree.n_answers} answers of the tree "
            f"{tree.name}; it lacks {len(missing)} answers: {', '.join(missing[:5])}, ... "
            f"Its columns: {', '.join(present[:8])}, ..."
        )
    others = _other_columns(spec, present, short(path))
    table = read_table(path, [*others.values(), *itertools.chain(*answers.values())])
    catalog = pd.DataFrame({ours: table[name] for ours, name in others.items()})
    for name in {"ra", "dec"} & set(catalog):
        catalog[name] = degrees(catalog[name], hours=name == "ra")

    numbers = {each: numeric(table, names, short(path)) for each, names in answers.items()}
    counts = numbers.get("count")
    values = _shares(numbers[kind], tree) if kind == "count" else numbers[kind].copy()
    stood_in: Counter[str] = Counter()
    for other in spec.kinds[spec.kinds.index(kind) + 1 :]:
        if other in numbers:
            stood_in.update(_stand_in(values, _shares(numbers[other], tree), tree))
    wrong = _wrong_rows(catalog, tree, values, kind, counts)
    keep, left_out = _left_out(wrong, catalog["id"], max_wrong, short(path))
    fractions = pd.DataFrame(tree.to_cumulative(_shares(values, tree)), columns=tree.published)
    votes = None
    if counts is not None:
        people = np.rint(np.nan_to_num(counts)).clip(0, _MOST_VOTES)  # others are left out below
        votes = pd.DataFrame(people.astype(np.int32), columns=tree.columns)
        if "n_votes" not in catalog:
            catalog["n_votes"] = votes.iloc[:, : tree.offsets[1]].sum(axis=1)
    source = {"table": path.name, "rows": len(table), "kind": kind, "stood_in": dict(stood_in),
              "left_out": left_out}  # fmt: skip
    return VoteTable(catalog, tree, votes, fractions, source).select(keep)


def _answer_columns(spec: VoteColumns, present: list[str]) -> dict[Kind, list[str]]:
    """Give the columns of all answers, in the tree's order, for each kind that is complete."""
    found = {meaning: name for name in present if (meaning := spec.meaning(name))}
    complete = {}
    for kind in spec.kinds:
        names = [found[answer, kind] for answer in spec.tree.columns if (answer, kind) in found]
        if len(names) == spec.tree.n_answers:
            complete[kind] = names
    return complete


def _other_columns(spec: VoteColumns, present: list[str], where: str) -> dict[str, str]:
    """Give the published names of the catalog's columns, by our names."""
    small = {name.lower(): name for name in reversed(present)}
    wanted = {"id": spec.identifiers, "n_votes": (spec.people,), **_CATALOG}
    found = {}
    for ours, names in wanted.items():
        there = [small[name] for name in names if name in small]
        if there:
            found[ours] = there[0]
    if "id" not in found:
        raise TableError(
            f"{where} should have a column {' or '.join(spec.identifiers)}; it has "
            f"{', '.join(present[:8])}, ..."
        )
    return found


def _shares(values: np.ndarray, tree: Tree) -> np.ndarray:
    """Divide the answers of each question (n, n_answers) by their sum; 0 where nobody answered."""
    shares = np.nan_to_num(values)
    for answers in tree.slices.values():
        sums = shares[:, answers].sum(axis=1, keepdims=True)
        shares[:, answers] /= np.where(sums > 0, sums, 1)
    return shares


def _stand_in(values: np.ndarray, other: np.ndarray, tree: Tree) -> dict[str, int]:
    """Fill questions that have no number in ``values``; give the number of rows, by question."""
    filled = {}
    for question, answers in tree.slices.items():
        # A sum with a missing number in it is not above 0 either.
        empty = ~(values[:, answers].sum(axis=1) > 0) & (other[:, answers].sum(axis=1) > 0)
        values[empty, answers] = other[empty, answers]
        if empty.any():
            filled[question] = int(empty.sum())
    return filled


def _wrong_rows(
    catalog: pd.DataFrame, tree: Tree, values: np.ndarray, kind: Kind, counts: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Give masks (n,) of wrong rows, by reason."""
    ids = catalog["id"]
    with np.errstate(over="ignore"):
        sums = np.stack([values[:, at].sum(axis=1) for at in tree.slices.values()], axis=1)
    # Shares of counts have no gaps any more; the counts themselves do.
    gaps = np.isnan(counts if kind == "count" and counts is not None else values)
    missing = np.stack([gaps[:, at].mean(axis=1) for at in tree.slices.values()], axis=1)
    some_missing = (missing > 0) & (missing < 1)
    # Fractions are published with three decimals, of seven answers at most.
    odd_sums = (sums > 0) & (np.abs(sums - 1) > 0.02)
    outside = (values < -_ROUNDING) | (values > 1 + _ROUNDING)
    wrong: dict[str, np.ndarray] = {
        "no identifier": ids.to_numpy() == "",
        "an identifier that came before": ids.duplicated().to_numpy(),
        "a fraction outside 0 to 1": np.asarray(outside.any(axis=1)),
        "some answers of a question without a number": np.asarray(some_missing.any(axis=1)),
        "no answer to the first question": ~(sums[:, 0] > 0),
    }
    if kind != "debiased":
        wrong["fractions of a question that do not sum to 1"] = odd_sums.any(axis=1)
    if counts is not None:
        # Infinity is no number of people either; a gap (NaN) may stand for nobody.
        known = np.nan_to_num(counts, posinf=-1, neginf=-1)
        odd = (known < 0) | (known > _MOST_VOTES) | (np.abs(known - np.rint(known)) > _ROUNDING)
        wrong["a negative, fractional or impossible number of votes"] = odd.any(axis=1)
        if "n_votes" in catalog:
            people = pd.to_numeric(catalog["n_votes"], errors="coerce").to_numpy(np.float64)
            first = np.nansum(counts[:, tree.slices[tree.questions[0].name]], axis=1)
            wrong["more votes on the first question than volunteers"] = first > people
    if {"ra", "dec"} <= set(catalog):
        off = (catalog["ra"] < 0) | (catalog["ra"] > 360) | (catalog["dec"].abs() > 90)
        wrong["a position that is not on the sky"] = off.to_numpy()
    return wrong


def _left_out(
    wrong: dict[str, np.ndarray], ids: pd.Series, max_wrong: float, where: str
) -> tuple[np.ndarray, dict[str, dict[str, Any]]]:
    """Give the mask (n,) of rows to keep, and what is wrong with the others; refuse too many."""
    left_out = {
        reason: {"rows": int(rows.sum()), "first": ids.iloc[int(rows.argmax())]}
        for reason, rows in wrong.items()
        if rows.any()
    }
    keep = ~np.any(list(wrong.values()), axis=0)
    if (~keep).sum() > max_wrong * len(keep):
        reasons = (
            f"{reason}: {each['rows']:,} rows, the first is {each['first']!r}"
            for reason, each in left_out.items()
        )
        raise TableError(
            f"{where}: {(~keep).sum():,} of {len(keep):,} rows are wrong, expected at most "
            f"{max_wrong:.0%}. {'; '.join(reasons)}."
        )
    return keep, left_out


def weighted_votes(table: VoteTable) -> pd.DataFrame:
    """Turn weighted fractions into numbers of people, which need not be whole.

    The people who were asked a question are ``n_votes`` times the share led to it, the product of
    the fractions down the tree; an answer has its fraction of them. So the answers of question 1
    sum to ``n_votes``. A question that nobody answered has 0 throughout, even where a few were led
    to it.

    Parameters
    ----------
    table
        Votes of n galaxies, read with ``kind="weighted_fraction"``.

    Returns
    -------
    DataFrame
        float64 (n, n_answers), columns ``table.tree.columns``.

    Raises
    ------
    TableError
        For a galaxy without a number of people.
    """
    people = numeric(table.catalog, ["n_votes"], table.source["table"])[:, 0]
    wrong = ~((people > 0) & (people <= _MOST_VOTES))
    if wrong.any():
        row = int(wrong.argmax())
        raise TableError(
            f"{table.source['table']}: expected a number of volunteers above 0, at most "
            f"{_MOST_VOTES:,.0f}, but {wrong.sum():,} of {len(wrong):,} galaxies have none: "
            f"{table.catalog['id'].iloc[row]} with {people[row]:g}. Leave such rows out."
        )
    fractions = table.tree.array(table.fractions)
    return pd.DataFrame(people[:, None] * fractions, columns=table.tree.columns)


_TICKS = ("ClSph", "ClDk", "ClIr", "ClPS", "ClUn")  # in the order of the tree CANDELS


def read_expert_votes(
    table: str | Path, readme: str | Path, min_classifiers: int = 3, depth: int = 2
) -> VoteTable:
    """Read what experts ticked about galaxies of CANDELS in GOODS-South.

    Kartaltepe et al. 2015, ApJS 221, 11 (VizieR J/ApJS/221/11, table2). An expert may tick several
    of five classes. The fractions given here are shares of all ticks of a galaxy, which sum to 1;
    the publication gives shares of classifiers, which sum to 1 or more.

    Parameters
    ----------
    table
        ``table2.dat`` or ``table2.dat.gz``; the ReadMe describes it under this name.
    readme
        ``ReadMe`` of the same folder: it says which column stands where.
    min_classifiers
        Leave out galaxies with fewer classifications.
    depth
        Epochs of the mosaic that was looked at: 2 (the whole field), 4 or 10 (its deep part).

    Returns
    -------
    VoteTable
        Of the tree ``candels``, sorted by ``id`` (``GDS_deep2_10000``: field, area with depth,
        number). ``n_votes`` counts experts, ``h_mag`` is the F160W magnitude. Galaxies without a
        single tick are left out.

    Raises
    ------
    TableError
        When the files do not belong together, a tick is neither 0 nor 1, or no galaxy is left.
    """
    try:
        rows = Table.read(table, format="ascii.cds", readme=str(readme)).to_pandas()
        rows = rows[rows["Depth"] == depth].assign(ID="GDS_" + rows["ID"].astype(str))
        ticks_are_ticks = rows[list(_TICKS)].isin([0, 1]).all(axis=None)
    except (ValueError, KeyError, EOFError, OSError, zlib.error) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise TableError(
            f"{short(table)} should be the table that {short(readme)} describes, with Depth, ID "
            f"and {', '.join(_TICKS)}: {error}. Fetch both again."
        ) from error
    galaxies = rows.groupby("ID", sort=True)
    ticks = galaxies[list(_TICKS)].sum()
    catalog = galaxies[["RAdeg", "DEdeg", "Hmag"]].first().set_axis(["ra", "dec", "h_mag"], axis=1)
    catalog.insert(2, "n_votes", galaxies.size())
    keep = (catalog["n_votes"] >= min_classifiers) & (ticks.sum(axis=1) > 0)
    if not keep.any() or not ticks_are_ticks:
        raise TableError(
            f"{short(table)} should have galaxies with {min_classifiers} or more classifications, "
            f"at a depth of {depth} epochs, with ticks that are 0 or 1; it has {keep.sum()}."
        )
    catalog = catalog[keep].reset_index(names="id")
    fractions = ticks[keep].div(ticks[keep].sum(axis=1), axis=0).set_axis(CANDELS.published, axis=1)
    source = {"table": Path(table).name, "rows": len(rows), "kind": "ticks", "left_out": {}}
    return VoteTable(catalog, CANDELS, None, fractions.reset_index(drop=True), source)


def votes_of(galaxies: GalaxySet, tree: str | None = None) -> tuple[Tree, np.ndarray]:
    """Give the number of people who chose each answer, galaxy by galaxy.

    Parameters
    ----------
    galaxies
        n galaxies, also after ``select`` or ``sample``.
    tree
        Name of the decision tree whose votes are wanted. By default ``"decals"`` where the set has
        those, else ``"gz2"``, else what there is.

    Returns
    -------
    tree, votes
        The decision tree, and float64 (n, n_answers) row by row as ``galaxies.catalog``: the
        columns are ``tree.columns``. Weighted votes are no whole numbers.

    Raises
    ------
    KeyError
        For a tree that there is not.
    ValueError
        Where the set has no votes, or none of this tree, and for a galaxy without votes; the
        message says which data sets have votes.
    """
    if tree is not None and tree not in TREES:
        raise KeyError(f"There is no tree {tree!r}. Trees: {', '.join(TREES)}.")
    there = {
        name: table
        for name in (DECALS.name, GZ2.name, *TREES)
        if (table := _table(galaxies, name)) is not None
    }
    if (tree is None and not there) or (tree is not None and tree not in there):
        raise ValueError(_what_is_missing(galaxies, tree, list(there)))
    name = tree or next(iter(there))
    votes = np.asarray(TREES[name].array(_in_order(there[name], galaxies)), dtype=np.float64)
    wrong = np.array(~((votes >= 0) & (votes <= _MOST_VOTES)).all(axis=1))
    if wrong.any():
        raise ValueError(
            f"{galaxies.name}: expected 0 to {_MOST_VOTES:,.0f} votes for each answer, but "
            f"{wrong.sum():,} of {len(wrong):,} galaxies have others, the first is "
            f"{public(galaxies.catalog['id'].iloc[int(wrong.argmax())])}. Fetch the table again."
        )
    return TREES[name], votes


def _table(galaxies: GalaxySet, name: str) -> pd.DataFrame | None:
    # The simulated survey calls its votes on the questions of Galaxy Zoo 2 just "votes".
    other = galaxies.tables.get("votes") if name == GZ2.name else None
    return galaxies.tables.get(f"votes_{name}", other)


def _in_order(table: pd.DataFrame, galaxies: GalaxySet) -> pd.DataFrame:
    """Put a table that names its galaxies into the catalog's order; others have it already."""
    names = next((table[name].astype(str) for name in ("GalaxyID", "id") if name in table), None)
    if names is None:
        return table
    rows = pd.Index(names).get_indexer(pd.Index(galaxies.catalog["id"]))
    if (rows < 0).any():
        first = galaxies.catalog["id"][rows < 0].iloc[0]
        raise ValueError(
            f"{galaxies.name}: {(rows < 0).sum():,} of {len(rows):,} galaxies have no row in the "
            f"table of votes, the first is {first}. Load the data set anew."
        )
    return table.iloc[rows]


def _what_is_missing(galaxies: GalaxySet, tree: str | None, there: list[str]) -> str:
    wanted = "votes" if tree is None else f"votes on the questions of {tree!r}"
    entries = [e for e in load_manifest().datasets if e.has_votes and e.name != galaxies.name]
    if there:
        has = f"It has those of {', '.join(there)}."
    elif galaxies.fractions is not None or any("fractions" in name for name in galaxies.tables):
        has = (
            "It has fractions only: how many people stand behind each of them is not known, and "
            "that is what a likelihood of votes needs."
        )
    else:
        has = "It has classes only."
    return (
        f"{galaxies.name} has no {wanted}. {has} Data sets with votes: "
        f"{', '.join(f'{e.name} ({e.tree})' for e in entries)}."
    )
