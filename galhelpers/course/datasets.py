"""What the manifest offers, and what of it is already on this computer."""

import os
from pathlib import Path

import pandas as pd

from galhelpers.course.text_tables import fact_lines, table_lines
from galhelpers.data.manifest import DatasetEntry, Manifest, ManifestError, load_manifest
from galhelpers.paths import UserError, default_data_root, short


def datasets_table() -> pd.DataFrame:
    """List the data sets of the manifest, a row each.

    Returns
    -------
    DataFrame
        Text columns ``name``, ``galaxies``, ``size``, ``needs`` (what the user must bring),
        ``here`` (number of files in the default data folder) and ``what``.

    Raises
    ------
    UserError
        When the manifest cannot be read.
    """
    root = default_data_root()
    return pd.DataFrame(
        {
            "name": entry.name,
            "galaxies": f"{entry.n_images:,}" if entry.n_images else "-",
            "size": "-" if entry.is_made_here else entry.size_display.partition(" (")[0],
            "needs": _needs(entry),
            "here": "always" if entry.is_made_here else _files_below(root / entry.name),
            "what": entry.title.partition(" (")[0].partition(", for ")[0],
        }
        for entry in _manifest().datasets
    )


def describe_datasets() -> str:
    """Describe the data sets of the manifest in a table, a line each; see `datasets_table`."""
    table = datasets_table()
    lines = table_lines([[*map(str, table)], *table.to_numpy().tolist()])
    lines += [
        "",
        f"here: files in {short(default_data_root())}/NAME (GALHELPERS_DATA names another place)",
        "galhelpers datasets NAME tells all about one; galhelpers fetch NAME brings it.",
    ]
    return "\n".join(lines)


def describe_dataset(name: str) -> str:
    """Tell all about one data set.

    Parameters
    ----------
    name : str
        Data set in the manifest.

    Raises
    ------
    UserError
        For an unknown name, or a manifest that cannot be read.
    """
    try:
        entry = _manifest().get(name)
    except KeyError as error:
        raise UserError(str(error)) from None
    facts = [("from", entry.origin), ("size", entry.size_display)]
    facts += [("galaxies", f"{entry.n_images:,}")] if entry.n_images else []
    facts += [("labels", _labels(entry)), ("licence", entry.licence)]
    facts += [("TERMS", entry.terms)] if entry.terms else []
    for file in entry.files:
        known = file.size_display or "size not known"
        checked = "checksum" if file.checksum else "no checksum"
        parts = [known, checked, "optional" if file.optional else "", file.note or ""]
        facts.append(("file", f"{file.name}: {', '.join(part for part in parts if part)}"))
    facts += [("unverified", entry.unverified)] if entry.unverified else []
    facts += [("note", note) for note in entry.notes]
    facts += [("by hand", entry.by_hand)] if entry.by_hand else []
    facts += [("cite", work) for work in entry.citation]
    facts += [("used by", ", ".join(entry.notebooks))] if entry.notebooks else []
    facts += [("here", _presence(entry))]
    return "\n".join([f"{entry.name}: {entry.title}", *fact_lines(facts)])


def _presence(entry: DatasetEntry) -> str:
    """Say what of a data set lies in the default data folder."""
    if entry.is_made_here:
        return "always: it is made when it is first used"
    folder = default_data_root() / entry.name
    files = _files_below(folder)
    if files == "no":
        return f"no; expected in {short(folder)} (GALHELPERS_DATA names another place)"
    return f"{files} files in {short(folder)}"


def _needs(entry: DatasetEntry) -> str:
    if entry.is_made_here:
        return "nothing"
    if not entry.is_fetched:
        return "by hand"
    if entry.kaggle:
        return "Kaggle account"
    return "a catalogue" if entry.reader == "positions" else "network"


def _labels(entry: DatasetEntry) -> str:
    if entry.reader == "positions":
        return "those of your table"
    if entry.tree is None:
        return "classes"
    return f"{'votes' if entry.has_fractions else 'classes'}, decision tree {entry.tree}"


def _files_below(folder: Path) -> str:
    # Hidden files are what an unfinished download has left.
    listed = [name for _, _, names in os.walk(folder) for name in names if name[0] != "."]
    return f"{len(listed):,}" if listed else "no"


def _manifest() -> Manifest:
    try:
        return load_manifest()
    except ManifestError as error:
        raise UserError(str(error)) from None
