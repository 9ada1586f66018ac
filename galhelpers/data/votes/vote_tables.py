"""Vote tables of every survey become one shape: galaxies, votes, and cumulative fractions.

Publishers give conditional fractions: the share of those who were asked a question. Debiased ones
say what would have been seen of a nearer galaxy. In Galaxy Zoo 2 each answer was debiased on its
own, so the answers of a question no longer sum to 1: in the Stripe 82 table of Willett et al. 2013
those of question 1 sum to 0.67-1.46 (45 % of the 19,761 rows are off by more than 0.01), in 750
rows of Hart et al. 2016 to 0.25-1.80. Kaggle's columns do obey the tree. So every question is
divided by its sum here before fractions are multiplied down the tree.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from galhelpers.data.votes.catalogue_files import (
    VoteTableError,
    column_names,
    degrees,
    missing_columns,
    read_table,
)
from galhelpers.data.votes.vote_checks import Problems, answered_by_too_many, fractional, wrong_sums
from galhelpers.data.votes.vote_layouts import LAYOUTS, Layout, find, hugging_face_layouts
from galhelpers.data.votes.vote_shares import multiplied_down, shares, stand_in
from galhelpers.paths import short
from galhelpers.trees import Tree

__all__ = ["LAYOUTS", "VoteTable", "VoteTableError", "read_table", "read_votes"]

Kind = Literal["debiased", "weighted_fraction", "fraction", "count"]

# What else goes into the catalogue: published names in lower case, ours, the unit. petro_th90 is
# the name in the NASA-Sloan Atlas, which the DECaLS tables quote.
_MORE = {
    "petror90_r": ("petro_r90", "arcsec"),
    "petro_th90": ("petro_r90", "arcsec"),
    "redshift": ("redshift", ""),
    "sample": ("sample", ""),
    "wrong_size_warning": ("wrong_size_warning", ""),
}
_GZ1_FLAGS = ("SPIRAL", "ELLIPTICAL", "UNCERTAIN")


@dataclass(frozen=True)
class VoteTable:
    """Votes for n galaxies, row by row.

    Attributes
    ----------
    catalog
        ``id`` (text, unique), ``ra``, ``dec`` (degrees), ``n_votes`` (volunteers), ``petro_r90``
        (radius that holds 90 % of the Petrosian flux, arcsec), ``redshift`` and more, as far as
        published.
    tree
        The decision tree behind the votes.
    votes
        Numbers of people, columns ``tree.columns``; None where they are not published.
    fractions
        Cumulative fractions, columns ``tree.published``; 0 where nobody was asked, never NaN.
    units
        Units of the catalogue's columns, by name.
    source
        What was read: ``table`` (file name), ``sha256``, ``format``, ``rows`` (in the file),
        ``kind`` and ``answer_columns`` (published columns used), ``renormalised`` (rows whose sum
        was off by more than 0.01, by question), ``stood_in`` (rows with another kind, by question),
        ``unanswered`` (rows in which nobody answered though somebody was led there; 0 throughout,
        so the sums of these rows fall short), ``surveys`` (of Hugging Face), ``left_out`` (rows,
        and why) and ``units``.
    """

    catalog: pd.DataFrame
    tree: Tree
    votes: pd.DataFrame | None
    fractions: pd.DataFrame
    units: dict[str, str]
    source: dict[str, Any]

    @property
    def conditional(self) -> pd.DataFrame:
        """Shares of those who were asked; NaN where nobody was."""
        return pd.DataFrame(self.tree.to_conditional(self.fractions), columns=self.tree.published)


def read_votes(
    path: str | Path,
    layout: str,
    *,
    kind: Kind = "debiased",
    on_error: Literal["raise", "drop"] = "raise",
) -> VoteTable:
    """Read a published table of votes.

    Parameters
    ----------
    path
        CSV, FITS, Parquet or VOTable, with gzip or without.
    layout
        One of ``LAYOUTS``, or ``"hugging_face"`` for the catalogues of Zoobot and of Hugging Face:
        their columns say which survey it is; of several, the one with most galaxies is taken, and
        galaxies without votes in it are left out.
    kind
        Which of the published fractions to use. A table that publishes one kind only gives that.
        Where it is missing for a question (few voters; DECaLS galaxies too far or too faint to
        debias) the next kind stands in; the catalogue then has a column ``debiased`` that says
        whether question 1 is.
    on_error
        ``"drop"`` leaves wrong rows out and lists them in ``source["left_out"]``.

    Raises
    ------
    VoteTableError
        For missing columns, and, naming up to five rows: identifiers that are missing or repeated
        (with ``"drop"`` the first stays), positions off the sky, fractions outside 0-1, NaN where
        people were asked, counts that are negative or no whole numbers, a question answered by
        more people than were led to it (by more than 2 and 10 %: real tables have 2), and sums
        that disagree with the tree.
    """
    path = Path(path)
    present = column_names(path)
    surveys = hugging_face_layouts(present) if layout == "hugging_face" else {}
    if layout not in LAYOUTS and not surveys:
        if layout == "hugging_face":
            raise VoteTableError(
                f"{short(path)} has none of the vote columns of Hugging Face's Galaxy Zoo tables, "
                f"such as smooth-or-featured-gz2_smooth. It has: {', '.join(present[:8])}, ..."
            )
        known = ", ".join([*LAYOUTS, "hugging_face"])
        raise VoteTableError(f"Unknown layout {layout!r}. Layouts: {known}.")
    layouts = surveys or {"": LAYOUTS[layout]}
    wanted = [name for each in layouts.values() for name in _wanted(each, present, short(path))]
    if surveys:
        spec, table = _one_survey(read_table(path, wanted), surveys)
        return _to_votes(table, spec, kind, on_error, short(path))
    spec = LAYOUTS[layout]
    _refuse_gaps(spec, _used_kind(kind, spec), present, short(path))
    return _to_votes(read_table(path, wanted), spec, kind, on_error, short(path))


def _wanted(spec: Layout, present: list[str], where: str) -> list[str]:
    """Columns of a table that a layout has a use for."""
    small = {name.lower(): name for name in reversed(present)}
    names = [small[name] for name in spec.ids if name in small][:1]
    if not names:
        missing_columns(spec.ids[:1], present, where)
    for name in ("ra", "dec", spec.people, *_MORE, *(flag.lower() for flag in _GZ1_FLAGS)):
        if name in small:
            names.append(small[name])
    for patterns in (*spec.kinds.values(), spec.questions):
        names += [name for name in find(patterns, present) if name]
    return list(dict.fromkeys(names))


def _used_kind(kind: str, spec: Layout) -> str:
    """Give the kind that is used: what was asked for, or the best that is published."""
    return kind if kind in spec.kinds else next(iter(spec.kinds))


def _refuse_gaps(spec: Layout, kind: str, present: list[str], where: str) -> None:
    """Refuse a table that lacks answers, saying which questions it has nothing on."""
    found = find(spec.kinds[kind], present)
    absent = [p for p, name in zip(spec.kinds[kind], found, strict=True) if name is None]
    empty = [q for q, at in spec.tree.slices.items() if set(found[at]) == {None}]
    nothing = f", nothing on {', '.join(empty)}" if empty else ""
    if absent:
        missing_columns(absent, present, f"{where} ({kind} of tree {spec.tree.name}{nothing})")


def _one_survey(table: pd.DataFrame, surveys: dict[str, Layout]) -> tuple[Layout, pd.DataFrame]:
    """Choose the tree with most galaxies, add up the votes of its campaigns, leave the rest out."""
    counts: dict[str, np.ndarray] = {}
    trees = {layout.tree.name: layout for layout in surveys.values()}
    for layout in surveys.values():
        votes = _numbers(table, layout.kinds["count"])
        counts[layout.tree.name] = counts.get(layout.tree.name, 0) + np.nan_to_num(votes)
    asked = {name: (votes != 0).any(axis=1) for name, votes in counts.items()}
    best = max(asked, key=lambda name: int(asked[name].sum()))
    tree = trees[best].tree
    used = [name for each in surveys.values() for name in each.kinds["count"]]
    rest = table.drop(columns=list(set(used)))
    chosen = pd.concat([rest, pd.DataFrame(counts[best], rest.index, tree.columns)], axis=1)
    chosen.attrs = table.attrs | {
        "rows": len(table),
        "without_votes": int((~asked[best]).sum()),
        "surveys": [name.strip("-") for name, each in surveys.items() if each.tree.name == best],
    }
    spec = Layout(tree, trees[best].ids, {"count": tree.columns}, ordered=trees[best].ordered)
    return spec, chosen[asked[best]]


def _to_votes(table: pd.DataFrame, spec: Layout, kind: str, on_error: str, where: str) -> VoteTable:
    present, tree = list(table.columns), spec.tree
    columns = {name: find(patterns, present) for name, patterns in spec.kinds.items()}
    kind = _used_kind(kind, spec)
    small = {name.lower(): name for name in reversed(present)}
    id_column = next(small[name] for name in spec.ids if name in small)
    complete = {
        name: [str(column) for column in found]
        for name, found in columns.items()
        if None not in found
    }
    ids = table[id_column]  # text, from read_table
    problems = Problems(where, ids, table.index.to_numpy() + table.attrs["first_line"])
    problems.add(ids.to_numpy() == "", f"no identifier in {id_column}")
    problems.add(ids.duplicated().to_numpy(), "the identifier is repeated")
    catalog, units = _catalogue(table, ids, spec, small, problems)

    order = list(spec.kinds)[list(spec.kinds).index(kind) :]
    # What only stands in, or is counted, is exact enough with seven digits and half the memory.
    numbers = {
        name: _numbers(table, complete[name], np.float64 if name == kind else np.float32)
        for name in (*order, "count")
        if name in complete
    }
    source: dict[str, Any] = {"kind": kind, "answer_columns": complete[kind]}
    counts = _counts(table, spec, numbers, problems)
    facts, rows = table.attrs, len(table)
    del table  # by now a copy of what is needed exists, and memory is for the arithmetic
    if spec.cumulative:
        fractions = numbers[kind]
        problems.add_fractions(tree, fractions)
        wrong_sums(problems, tree, fractions)
    else:
        conditional = shares(numbers[kind], tree) if kind == "count" else numbers[kind]
        if kind == "debiased":
            catalog["debiased"] = ~np.isnan(
                conditional[:, tree.slices[tree.questions[0].name]]
            ).any(1)
        others = [name for name in order[1:] if name in numbers]
        source["stood_in"] = stand_in(conditional, [numbers[name] for name in others], others, tree)
        problems.add_fractions(tree, conditional, conditional_on_tree=True)
        fractions, record = multiplied_down(
            conditional, tree, kind, problems, counted="count" in numbers
        )
        source |= record
    if counts is not None and "n_votes" not in catalog:
        catalog["n_votes"] = counts[:, : tree.offsets[1]].sum(axis=1).astype(np.int64)
        units["n_votes"] = "volunteers"

    keep = problems.settle(on_error)
    made = {"table": facts["file"], "sha256": facts["sha256"], "format": facts["format"]}
    source = made | {"rows": facts.get("rows", rows)} | source
    source |= {"surveys": facts["surveys"]} if "surveys" in facts else {}
    source |= {"left_out": problems.left_out(facts.get("without_votes", 0)), "units": units}
    return VoteTable(
        catalog[keep].reset_index(drop=True),
        tree,
        None if counts is None else pd.DataFrame(counts[keep], columns=tree.columns),
        pd.DataFrame(fractions[keep], columns=tree.published),
        units,
        source,
    )


def _catalogue(
    table: pd.DataFrame, ids: pd.Series, spec: Layout, small: dict[str, str], problems: Problems
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Give identifier, position, and what else the table says of the galaxies, with units."""
    columns: dict[str, Any] = {"id": ids.to_numpy()}
    units: dict[str, str] = {}
    if "ra" in small and "dec" in small:
        ra = degrees(table[small["ra"]], hours=True)
        dec = degrees(table[small["dec"]], hours=False)
        # Nothing at all is "not known"; anything else must be a place on the sky.
        known = (table[small["ra"]].notna() | table[small["dec"]].notna()).to_numpy()
        wrong = known & ~((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
        problems.add(wrong, "the position ra {:.6g}, dec {:.6g} is not on the sky", ra, dec)
        columns |= {"ra": ra, "dec": dec}
        units |= {"ra": "deg", "dec": "deg"}
    if spec.people in small:
        people = _numbers(table, [small[spec.people]])[:, 0]
        whole = bool((people % 1 == 0).all())  # NaN is not
        columns["n_votes"] = people.astype(np.int64) if whole else people
        units["n_votes"] = "volunteers"
    for name, (ours, unit) in _MORE.items():
        if name in small and ours not in columns:
            columns[ours] = table[small[name]].to_numpy()
            units |= {ours: unit} if unit else {}
    if set(_GZ1_FLAGS) <= set(table.columns):
        flags = table[list(_GZ1_FLAGS)].to_numpy(np.float64)
        names = np.array([flag.lower() for flag in _GZ1_FLAGS], dtype=object)
        columns["published_class"] = np.where(flags.sum(1) == 1, names[flags.argmax(1)], "")
    return pd.DataFrame(columns), units


def _numbers(table: pd.DataFrame, columns: list[str], dtype: type = np.float64) -> np.ndarray:
    """Give columns as an array (n, columns), refusing words."""
    for name in columns:
        if table[name].dtype.kind not in "iufb":
            number = pd.to_numeric(table[name], errors="coerce")
            word = table[name][number.isna() & table[name].notna()]
            if len(word):
                raise VoteTableError(
                    f"{table.attrs['file']}: expected numbers in {name}, found {word.iloc[0]!r} in "
                    f"line {word.index[0] + table.attrs['first_line']}."
                )
            table = table.assign(**{name: number})
    numbers: np.ndarray = np.empty((len(table), len(columns)), dtype)
    for i, name in enumerate(columns):  # one by one: no second copy of all of them in between
        numbers[:, i] = table[name].to_numpy(dtype, na_value=np.nan)
    return numbers


def _counts(
    table: pd.DataFrame, spec: Layout, numbers: dict[str, np.ndarray], problems: Problems
) -> np.ndarray | None:
    """Give numbers of people (n, answers) as int32, checked; None where not published."""
    tree = spec.tree
    if "count" in numbers:
        counts = np.nan_to_num(numbers["count"])
        fractional(problems, tree, counts)
        if spec.ordered:
            answered_by_too_many(problems, tree, counts)
        return np.rint(counts).astype(np.int32)
    totals = find(spec.questions, list(table.columns))
    if not totals or None in totals or "fraction" not in numbers:
        return None
    people = np.nan_to_num(_numbers(table, [str(name) for name in totals]))
    counts = np.nan_to_num(numbers["fraction"]) * np.repeat(people, np.diff(tree.offsets), axis=1)
    # Plain fractions times people are whole numbers, or the table means something else by them.
    whole = np.abs(counts - np.rint(counts)).max(initial=0.0) < 0.1
    return np.rint(counts).astype(np.int32) if whole else None
