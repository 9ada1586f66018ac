"""What the manifest offers, and what of it is already on this computer."""

import os
from pathlib import Path

from galhelpers.course.errors import UserError
from galhelpers.data.manifest import DatasetEntry, ManifestError, load_manifest
from galhelpers.paths import default_data_root, short


def describe_datasets(data_root: Path | None = None) -> str:
    """Describe each data set of the manifest in a few lines.

    Parameters
    ----------
    data_root : path, optional
        Folder for data; the default one when not given.

    Raises
    ------
    UserError
        When the manifest cannot be read.
    """
    root = data_root or default_data_root()
    try:
        manifest = load_manifest()
    except ManifestError as error:
        raise UserError(str(error)) from None
    paragraphs = []
    for entry in manifest.datasets:
        images = f", {entry.n_images:,} images" if entry.n_images else ""
        lines = [f"{entry.name}: {entry.title}", f"  size:     {entry.size_display}{images}"]
        lines += [f"  licence:  {entry.licence}", f"  here:     {presence(entry, root)}"]
        lines.append(f"  from:     {entry.where}")
        if entry.notebooks:
            lines.append(f"  used by:  {', '.join(entry.notebooks)}")
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def presence(entry: DatasetEntry, root: Path) -> str:
    """Say what of a data set lies under the data root."""
    if entry.kind == "simulated":
        return "always: it is made when it is first used"
    folder = root / entry.name
    if not folder.is_dir():
        return f"no; expected in {short(folder)} (--data-root names another place)"
    files = sum(len(names) for _, _, names in os.walk(folder))
    return f"{files:,} files in {short(folder)}"
