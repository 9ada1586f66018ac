"""From downloaded files to a data set that can be read: one recipe for each kind of publication.

A recipe unpacks, checks, joins tables with images, and writes one of the layouts that
``galhelpers.data.dataset.load_dataset`` reads. What was downloaded stays as it is, so that a recipe
can be repeated without a network.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.sources.candels import expert_fractions, read_expert_table
from galhelpers.data.sources.catalogue import as_galaxies, write_catalogue
from galhelpers.data.sources.fits_stamps import cut_stamps
from galhelpers.data.sources.folder import IMAGE_SUFFIXES, class_number
from galhelpers.data.sources.hdf5 import export_hdf5
from galhelpers.data.sources.kaggle import IMAGE_FOLDER, TABLE, read_solutions
from galhelpers.data.sources.parquet_images import export_parquet
from galhelpers.data.sources.published_classes import five_class_of, published_name
from galhelpers.data.votes.vote_tables import Kind, VoteTable, read_table, read_votes
from galhelpers.data.web.download import file_checksum
from galhelpers.data.web.services import FetchError
from galhelpers.data.web.unpack import unpack
from galhelpers.paths import atomic_write, short

Files = Mapping[str, Path]
IMAGES = "images"
"""Folder of a data set's pictures, beside its catalogue."""


def make_layout(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Make the layout that the manifest promises out of what was downloaded.

    Parameters
    ----------
    entry
        Entry of the manifest; its ``recipe`` is followed.
    folder
        Folder of the data set, into which the result goes.
    files
        Path of each downloaded file, by its name in the manifest.
    source
        Record of where the files come from; written beside the catalogue.
    progress
        Show progress bars.

    Returns
    -------
    list of str
        What the user should know, a sentence each.

    Raises
    ------
    FetchError, ValueError
        For files that are damaged, or are not what the manifest says.
    """
    recipe = entry.recipe or ""
    kind = recipe.partition("_")[0]  # votes_decals, hdf5_galaxy_mnist: how to read the table
    cook = RECIPES[recipe] if recipe in RECIPES else RECIPES[kind]
    return cook(entry, folder, files, source, progress)


def pictures(folder: Path, archives: Sequence[str] = ()) -> dict[str, str]:
    """Find pictures by name of galaxy: those of archives, then those that a service sent.

    Parameters
    ----------
    folder
        Folder of a data set; pictures lie in ``images``.
    archives
        Folders in ``images``, in the order in which they count. What came from an image service
        lies in ``images`` itself, and fills the gaps.

    Returns
    -------
    dict
        Path relative to ``folder``, with slashes, by name without ending.
    """
    found: dict[str, str] = {}
    places = [(folder / IMAGES / name).rglob("*") for name in archives]
    for file in (file for place in [*places, (folder / IMAGES).glob("*")] for file in place):
        if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."):
            found.setdefault(file.stem, file.relative_to(folder).as_posix())
    return found


def _kaggle(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Lay the challenge out as Kaggle does."""
    notes = []
    unpack(files[f"{IMAGE_FOLDER}.zip"], folder / IMAGE_FOLDER, strip_top=True, progress=progress)
    _count(entry, sum(1 for _ in (folder / IMAGE_FOLDER).glob("*.jpg")), folder / IMAGE_FOLDER)
    tables = folder / "downloads" / "tables"
    unpack(files["training_solutions_rev1.zip"], tables, progress=progress)
    inner = next(tables.rglob(TABLE), None)
    if inner is None:
        raise FetchError(f"training_solutions_rev1.zip holds no {TABLE}; got {_names(tables)}.")
    read_solutions(inner)  # refuses a table that breaks the decision tree
    pinned = entry.file(TABLE).checksum or ""
    algorithm, _, expected = pinned.partition(":")
    if expected and file_checksum(inner, algorithm) != expected:
        notes.append(
            f"{TABLE} passes every check, but differs from the copy whose checksum is known "
            "(other line endings are enough for that)."
        )
    with atomic_write(folder / TABLE) as temporary:
        temporary.write_bytes(inner.read_bytes())
    return notes


def _five_class(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Find one folder of images a class, wherever they lie in the archive."""
    (archive,) = files.values()
    unpack(archive, folder / IMAGES / archive.stem, progress=progress)
    rows = []
    for file in sorted((folder / IMAGES).rglob("*")):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            try:
                number = class_number(file.parent.name, folder)
            except ValueError:
                continue  # a picture of the repository's own, not a galaxy
            rows.append((file.stem, number, FIVE_CLASSES[number], file.relative_to(folder)))
    _count(entry, len(rows), folder / IMAGES)
    table = pd.DataFrame(rows, columns=["GalaxyID", "class_id", "class_name", "file"])
    with atomic_write(folder / "labels.csv") as temporary:
        table.assign(file=[path.as_posix() for path in table["file"]]).to_csv(
            temporary, index=False
        )
    return []


def _galaxy_zoo_2(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Join images by asset_id and votes by dr7objid through the published mapping."""
    unpack(files["images_gz2.zip"], folder / IMAGES / "images_gz2", progress=progress)
    mapping = read_table(files["gz2_filename_mapping.csv"], ["objid", "sample", "asset_id"])
    # One object may have been shown twice: deep ("coadded") images of Stripe 82 are other pictures.
    mapping = mapping[~mapping["sample"].str.contains("coadd")].drop_duplicates("objid")
    asset = mapping.set_index("objid")["asset_id"]
    notes: list[str] = []
    parts = [_read(path, "gz2", notes) for name, path in files.items() if name.startswith("zoo2")]
    whole = _joined(parts)
    votes = _renamed(whole, asset)
    lost = len(whole.catalog) - len(votes.catalog)
    if lost > 0.1 * len(whole.catalog):
        raise FetchError(
            f"{lost:,} of {len(whole.catalog):,} galaxies of the vote tables are not in "
            "gz2_filename_mapping.csv: mapping and tables do not belong together. Delete the "
            f"files in {short(folder / 'downloads')} and give the command again."
        )
    notes += [f"{lost:,} galaxies of the vote tables have no image of their own."] if lost else []
    found = pictures(folder, ["images_gz2"])
    catalog, tables = as_galaxies(votes, found)
    hart = files.get("gz2_hart16.csv.gz")
    if hart is not None:
        other = _renamed(_read(hart, "gz2", notes), asset)
        aligned = other.fractions.set_index(other.catalog["id"]).reindex(catalog["id"])
        tables["fractions_hart16"] = aligned.reset_index(drop=True)
    write_catalogue(folder, catalog, tables, dict(source) | votes.source)
    without = len(set(found) - set(catalog["id"]))
    notes += [f"{without:,} images have no row in the vote tables."] if without else []
    return notes


def _votes(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Read a table of votes, and pictures where archives or cutouts of them are there."""
    table, *others = files.values()
    archives = [archive for archive in others if archive.suffix == ".zip"]
    for archive in archives:
        unpack(archive, folder / IMAGES / archive.stem, progress=progress)
    notes: list[str] = []
    votes = _read(table, (entry.recipe or "").removeprefix("votes_"), notes)
    rows = votes.source["rows"]
    if entry.n_images and rows != entry.n_images:
        short_of = rows < 0.95 * entry.n_images
        text = f"Expected {entry.n_images:,} rows in {table.name}, found {rows:,}."
        if short_of:
            raise FetchError(
                f"{text} It may have broken off: delete {short(table)} and give the command again."
            )
        notes.append(text)
    found = pictures(folder, [archive.stem for archive in archives])
    catalog, tables = as_galaxies(votes, found or None)
    write_catalogue(folder, catalog, tables, dict(source) | votes.source)
    return notes if (catalog["file"] != "").any() else [*notes, _no_pictures(entry)]


def _hdf5(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Make arrays of images and class numbers into one PNG a galaxy."""
    layout = (entry.recipe or "").removeprefix("hdf5_")
    parts = [export_hdf5(path, folder, layout, progress=progress) for path in files.values()]
    catalog = pd.concat(parts, ignore_index=True)
    _count(entry, len(catalog), folder / IMAGES)
    number = catalog["published_class"]
    catalog["published_class"] = [published_name(layout, value) for value in number]
    write_catalogue(folder, _with_classes(catalog, layout, number), {}, source)
    return []


def _candels_experts(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Turn single classifications into shares of ticks, with stamps where there is a mosaic."""
    fractions = expert_fractions(read_expert_table(files["table2.dat.gz"], files["ReadMe"]))
    shares = [name for name in fractions if str(name).startswith("p_")]
    catalog = fractions.drop(columns=shares).rename(columns={"ID": "id"}).assign(file="")
    mosaic = next((path for name, path in files.items() if "f160w" in name), None)
    if mosaic is not None:
        cut_stamps(mosaic, catalog, folder, progress=progress)
    # Stamps of an earlier run stay, whether or not the mosaic is still there.
    found = pictures(folder)
    catalog["file"] = [found.get(name, "") for name in catalog["id"]]
    catalog = catalog.assign(class_id=-1, class_name="")
    write_catalogue(folder, catalog, {"fractions_candels": fractions[shares]}, source)
    advice = "Give --all, or --mosaic FILE, to cut stamps from the Hubble image of the field."
    return [] if (catalog["file"] != "").any() else [f"A table without images. {advice}"]


def _hugging_face(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Take Parquet files that hold images and votes apart."""
    table = export_parquet(list(files.values()), folder, progress=progress)
    table = table.rename(columns={"id_str": "id"})
    broken = table["file"] == ""
    notes = (
        [f"{broken.sum():,} images are broken; see images_failures.csv."] if broken.any() else []
    )
    if entry.tree is None:
        catalog = table.assign(published_class=table["summary"])
        number = catalog["published_class"]
        catalog = catalog[["id", "file", "split", "published_class"]]
        write_catalogue(folder, _with_classes(catalog, "gz_evo", number), {}, source)
        return notes
    plain = folder / "downloads" / "votes.parquet"
    with atomic_write(plain) as temporary:
        table.drop(columns=["file", "split"]).to_parquet(temporary)
    votes = _read(plain, "hugging_face", notes)
    where = table.set_index("id")
    catalog, tables = as_galaxies(votes, dict(where["file"][~broken.to_numpy()]))
    catalog["split"] = catalog["id"].map(where["split"])
    write_catalogue(folder, catalog, tables, dict(source) | votes.source)
    return notes


RECIPES: dict[str, Callable[..., list[str]]] = {
    "kaggle": _kaggle,
    "five_class": _five_class,
    "galaxy_zoo_2": _galaxy_zoo_2,
    "votes": _votes,
    "hdf5": _hdf5,
    "candels_experts": _candels_experts,
    "hugging_face": _hugging_face,
}
"""What makes files into a layout, by the manifest's name or by its first word."""


def _with_classes(catalog: pd.DataFrame, names: str, published: pd.Series) -> pd.DataFrame:
    """Give a catalogue the course's five classes that its published classes correspond to."""
    class_id = np.array(
        [-1 if pd.isna(value) else five_class_of(names, value) for value in published], dtype=int
    )
    class_name = np.array([*FIVE_CLASSES, ""])[class_id]
    return catalog.assign(class_id=class_id, class_name=class_name)


def _read(table: Path, layout: str, notes: list[str]) -> VoteTable:
    """Read votes; a few wrong rows are left out and noted, many mean a wrong table."""
    # Kaggle's labels are debiased; DECaLS networks learn what people saw (Walmsley et al. 2022).
    kind: Kind = "fraction" if layout.startswith("decals") else "debiased"
    votes = read_votes(table, layout, kind=kind, on_error="drop")
    left_out = votes.source["left_out"]
    if left_out["rows"] > 0.01 * (left_out["rows"] + len(votes.catalog)):
        read_votes(table, layout, kind=kind)  # raises, with the rows
    if left_out["rows"]:
        first = left_out["examples"][0]
        notes.append(f"{left_out['rows']:,} wrong rows of {table.name} were left out: {first}.")
    return votes


def _joined(parts: list[VoteTable]) -> VoteTable:
    """Put tables of one survey below each other; of a galaxy in several, the first stays."""
    catalog = pd.concat([part.catalog for part in parts], ignore_index=True)
    fractions = pd.concat([part.fractions for part in parts], ignore_index=True)
    counts = [part.votes for part in parts if part.votes is not None]
    votes = pd.concat(counts, ignore_index=True) if len(counts) == len(parts) else None
    source = {"tables": [part.source for part in parts]}
    whole = VoteTable(catalog, parts[0].tree, votes, fractions, parts[0].units, source)
    return _rows(whole, ~catalog["id"].duplicated().to_numpy())


def _renamed(votes: VoteTable, names: pd.Series) -> VoteTable:
    """Call galaxies by other names; those without one are left out."""
    votes = _rows(votes, votes.catalog["id"].isin(names.index).to_numpy())
    old = votes.catalog["id"]
    catalog = votes.catalog.assign(dr7objid=old, id=old.map(names))
    return VoteTable(
        catalog, votes.tree, votes.votes, votes.fractions, votes.units, dict(votes.source)
    )


def _rows(table: VoteTable, keep: np.ndarray) -> VoteTable:
    """Take some rows of a table of votes."""
    votes = None if table.votes is None else table.votes[keep].reset_index(drop=True)
    return VoteTable(
        table.catalog[keep].reset_index(drop=True),
        table.tree,
        votes,
        table.fractions[keep].reset_index(drop=True),
        table.units,
        table.source,
    )


def _count(entry: DatasetEntry, found: int, where: Path) -> None:
    if entry.n_images is not None and found != entry.n_images:
        raise FetchError(
            f"Expected {entry.n_images:,} images of {entry.name} in {short(where)}, found "
            f"{found:,}. Delete the folder and give the command again: it is unpacked anew. If the "
            "number stays, the publisher has changed the data set: correct n_images in "
            "data_manifest.yaml."
        )


def _no_pictures(entry: DatasetEntry) -> str:
    how = f"`galhelpers fetch {entry.name} --cutouts 1000` asks for pictures of 1,000 galaxies."
    return "A table without images. " + (how if entry.cutouts else " ".join(entry.notes))


def _names(folder: Path) -> str:
    return ", ".join(sorted(path.name for path in folder.iterdir())[:5]) or "nothing"
