"""From published files to a folder that `galhelpers.data.readers` reads.

What was downloaded stays as it is, so that a conversion can be repeated without a network.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from tqdm.auto import tqdm

from galhelpers.data.archives import new_folder, unpack
from galhelpers.data.catalogs import FIVE_CLASS_CUTS, FIVE_CLASSES, select_five_classes
from galhelpers.data.images import IMAGE_SUFFIXES
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.readers import (
    CATALOG,
    IMAGE_FOLDER,
    LABELS,
    REQUIRED,
    SOURCE,
    TABLE,
    class_numbers,
    images_in,
    label_numbers,
    read_solutions,
)
from galhelpers.data.tables import as_text, check_columns, read_table
from galhelpers.data.votes import VoteTable, read_expert_votes, read_votes
from galhelpers.paths import atomic_write, is_portable, short
from galhelpers.trees import DECALS, GZ2

IMAGES = "images"
"""Folder of a data set's pictures, beside its catalog."""

_BATCH = 64  # images in memory at a time

Files = Mapping[str, Path]
Converter = Callable[[DatasetEntry, Path, Files, Mapping[str, Any], bool], list[str]]


def convert(
    entry: DatasetEntry,
    folder: Path,
    files: Files,
    source: Mapping[str, Any],
    progress: bool = True,
) -> list[str]:
    """Make a data set readable out of what was downloaded.

    Parameters
    ----------
    entry
        Entry of the manifest; its ``reader`` says what the files are.
    folder
        Folder of the data set, into which the result goes.
    files
        Path of each downloaded file, by its name in the manifest.
    source
        Record of where the files come from; written last, as ``source.json``.
    progress
        Show progress bars.

    Returns
    -------
    list of str
        What the user should know, a sentence each.

    Raises
    ------
    ValueError
        For files that are damaged, or are not what the manifest says.
    galhelpers.data.downloads.FetchError
        For archives that cannot be unpacked, or must not be.
    """
    # Without its record the folder counts as incomplete, so nobody reads old beside new.
    (folder / SOURCE).unlink(missing_ok=True)
    return _CONVERTERS[entry.reader](entry, folder, files, source, progress)


def write_tables(
    folder: Path,
    catalog: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    source: Mapping[str, Any],
) -> None:
    """Write what `galhelpers.data.readers.read_tables` reads, in the place of an older one.

    Parameters
    ----------
    folder
        Folder of the data set.
    catalog
        Columns ``id`` (unique), ``file`` (relative, with ``/``, or ``""``), ``class_id``,
        ``class_name``, and any more.
    tables
        By name, each with the catalog's rows in its order.
    source
        Where it all comes from; anything that JSON can hold.

    Raises
    ------
    ValueError
        For missing columns, repeated identifiers and paths that leave the folder.
    """
    check_columns(REQUIRED, catalog.columns, "the catalog")
    ids = catalog["id"].astype(str)
    if ids.duplicated().any():
        raise ValueError(f"The catalog has the identifier {ids[ids.duplicated()].iloc[0]} twice.")
    for file in set(catalog["file"]):
        path = PurePosixPath(file)
        if path.is_absolute() or ".." in path.parts or "\\" in file:
            raise ValueError(f"Expected image paths inside the data set's folder, got {file!r}.")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SOURCE).unlink(missing_ok=True)
    for name, table in {Path(CATALOG).stem: catalog.assign(id=ids), **tables}.items():
        with atomic_write(folder / f"{name}.parquet") as temporary:
            table.to_parquet(temporary, index=False)
    write_source(folder, {**source, "tables": list(tables), "rows_in_catalog": len(catalog)})


def write_source(folder: Path, source: Mapping[str, Any]) -> None:
    """Write down where a data set comes from; this makes it complete."""
    with atomic_write(folder / SOURCE) as temporary:
        text = json.dumps(source, indent=1, ensure_ascii=False, default=_plain)
        temporary.write_text(text + "\n", encoding="utf-8")


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


def five_classes(votes: VoteTable) -> np.ndarray:
    """Sort galaxies of any Galaxy Zoo survey into the five classes, or into none.

    For Galaxy Zoo 2 these are the cuts of Zhu et al. 2019 (``FIVE_CLASS_CUTS``). Other surveys get
    the same thresholds on the answers that say the same. That is the choice of this course, not of
    those surveys: their questions, pictures and debiasing differ. Galaxy Zoo 1 did not ask how
    round a galaxy is, so its ellipticals have no class; its ``P_EDGE`` takes the place of
    ``Class2.1`` and the sum of ``P_CW`` and ``P_ACW`` that of ``Class4.1``. The CANDELS experts
    answered another question: no class.

    Returns
    -------
    ndarray of int
        (n,) class 0 to 4 in the order of ``FIVE_CLASSES``, -1 for none.
    """
    tree, values = votes.tree, votes.tree.array(votes.fractions)
    if tree.name == "gz2":
        return select_five_classes(votes.fractions)
    if tree.name == "gz1":
        spiral = values[:, tree.index("P_CW")] + values[:, tree.index("P_ACW")]
        edge_on = values[:, tree.index("P_EDGE")]
        cut_edge, cut_spiral = FIVE_CLASS_CUTS[3]["Class2.1"], FIVE_CLASS_CUTS[4]["Class4.1"]
        return np.where(spiral > cut_spiral, 4, np.where(edge_on > cut_edge, 3, -1))
    questions = {question.name: question for question in tree.questions}
    alike = np.zeros((len(values), GZ2.n_answers))
    for name in {name for cuts in FIVE_CLASS_CUTS for name in cuts}:
        # The same question has its answers in the same order in all trees, by whatever name.
        question, _, answer = GZ2.columns[GZ2.index(name)].partition("_")
        if question not in questions:
            return np.full(len(values), -1)
        position = GZ2.question(question).answers.index(answer)
        column = questions[question].columns[position]
        alike[:, GZ2.index(name)] = values[:, tree.index(column)]
    return select_five_classes(alike)


def _kaggle(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Lay the challenge out as Kaggle does."""
    unpack(files[f"{IMAGE_FOLDER}.zip"], folder / IMAGE_FOLDER, strip_top=True)
    _check_number(entry, len(images_in(folder / IMAGE_FOLDER)), folder / IMAGE_FOLDER)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        unpack(files["training_solutions_rev1.zip"], Path(temporary) / "tables")
        table = next((Path(temporary) / "tables").rglob(TABLE), None)
        if table is None:
            raise ValueError(f"training_solutions_rev1.zip should hold {TABLE}, and does not.")
        read_solutions(table)  # refuses a table that breaks the decision tree
        table.replace(folder / TABLE)
    write_source(folder, source)
    return []


def _class_folders(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Find one folder of images a class, wherever they lie in the archive."""
    (archive,) = files.values()
    unpack(archive, folder / IMAGES / archive.stem)
    found = sorted((folder / IMAGES / archive.stem).rglob("*"))
    found = [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES]
    numbers = class_numbers(pd.Series([file.parent.name for file in found], dtype=object))
    rows = [
        (file.stem, number, FIVE_CLASSES[number], file.relative_to(folder).as_posix())
        for file, number in zip(found, numbers, strict=True)
        if number >= 0  # else a picture of the repository's own, not a galaxy
    ]
    _check_number(entry, len(rows), folder / IMAGES)
    table = pd.DataFrame(rows, columns=["GalaxyID", "class_id", "class_name", "file"])
    with atomic_write(folder / LABELS) as temporary:
        table.to_csv(temporary, index=False)
    write_source(folder, source)
    return []


def _galaxy_zoo_2(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Join images by asset_id and votes by dr7objid through the published mapping."""
    unpack(files["images_gz2.zip"], folder / IMAGES / "images_gz2")
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
        raise ValueError(
            f"{lost:,} of {len(whole.catalog):,} galaxies of the vote tables are not in "
            "gz2_filename_mapping.csv: mapping and tables do not belong together."
        )
    notes += [f"{lost:,} galaxies of the vote tables have no image of their own."] if lost else []
    found = pictures(folder, ["images_gz2"])
    catalog, tables = as_tables(votes, found)
    if hart := files.get("gz2_hart16.csv.gz"):
        other = _renamed(_read(hart, "gz2", notes), asset)
        aligned = other.fractions.set_index(other.catalog["id"]).reindex(catalog["id"])
        tables["fractions_hart16"] = aligned.reset_index(drop=True)
    write_tables(folder, catalog, tables, {**source, **votes.source})
    without = len(set(found) - set(catalog["id"]))
    notes += [f"{without:,} images have no row in the vote tables."] if without else []
    return notes


def _votes(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Read a table of votes, and pictures where archives or cutouts of them are there."""
    table, *archives = files.values()
    for archive in archives:
        unpack(archive, folder / IMAGES / archive.stem)
    notes: list[str] = []
    # Networks of Galaxy Zoo DECaLS learn what people saw (Walmsley et al. 2022), not debiased.
    votes = _read(table, entry.tree or "", notes, kind="fraction")
    notes += _check_rows(entry, votes.source["rows"], table)
    found = pictures(folder, [archive.stem for archive in archives])
    catalog, tables = as_tables(votes, found)
    write_tables(folder, catalog, tables, {**source, **votes.source})
    return notes


def _euclid(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Read the fractions that a network expects, and the pictures where they were fetched.

    The questions are those of Galaxy Zoo DECaLS; the page of the record (Zenodo 15106473) lists
    the columns. Pictures are called ``<tile>_<object>_....jpg``, with NEG for a minus sign.
    """
    table, *archives = files.values()
    for archive in archives:
        unpack(archive, folder / IMAGES / archive.stem)
    published = {
        name: name.replace("smooth-or-featured_artifact", "smooth-or-featured_problem")
        for name in DECALS.columns
    }
    # Two answers about merging are written with an underscore.
    published |= {
        name: name.replace("-disturbance", "_disturbance")
        for name in DECALS.columns
        if name.endswith("-disturbance")
    }
    columns = {f"{theirs}_fraction": f"{ours}_fraction" for ours, theirs in published.items()}
    columns |= {"right_ascension": "ra", "declination": "dec"}
    found = read_table(table, ["tile_index", "object_id", *columns]).rename(columns=columns)
    objects = found["object_id"].astype(str).str.replace("-", "NEG")
    found["iauname"] = found["tile_index"].astype(str) + "_" + objects
    notes: list[str] = []
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        renamed = Path(temporary) / table.name
        found.drop(columns=["tile_index", "object_id"]).to_parquet(renamed)
        votes = _read(renamed, "decals", notes, kind="fraction")
    notes += _check_rows(entry, votes.source["rows"], table)
    stems = pictures(folder, [archive.stem for archive in archives])
    files_of = {"_".join(stem.split("_")[:2]): file for stem, file in stems.items()}
    catalog, tables = as_tables(votes, files_of)
    write_tables(folder, catalog, tables, {**source, **votes.source})
    return notes


def _experts(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Turn single classifications into shares of ticks."""
    votes = read_expert_votes(files["table2.dat.gz"], files["ReadMe"])
    catalog, tables = as_tables(votes, pictures(folder))
    write_tables(folder, catalog, tables, {**source, **votes.source})
    return []


def _hdf5(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Make arrays of images and class numbers into one PNG a galaxy."""
    if entry.labels is None:
        raise ValueError(f"The manifest should say what the labels of {entry.name} are.")
    spec = entry.labels
    (path,) = files.values()
    try:
        with h5py.File(path, "r") as file:
            images, labels = file[spec.file], file[spec.label][:]
            n = len(labels)
            if images.dtype != np.uint8 or images.ndim != 4 or images.shape[::3] != (n, 3):
                raise ValueError(
                    f"{short(path)}: expected uint8 images of shape ({n}, height, width, 3), got "
                    f"{images.dtype} {images.shape}."
                )
            _check_number(entry, n, path)
            names = [f"{entry.name}_{row:05d}" for row in range(n)]
            with new_folder(folder / IMAGES) as target:
                for start in tqdm(range(0, n, _BATCH), leave=False, disable=not progress):
                    for name, pixels in zip(
                        names[start : start + _BATCH], images[start : start + _BATCH], strict=True
                    ):
                        # Level 1 makes galaxies as small as the usual level 6, in a third of time.
                        Image.fromarray(pixels).save(target / f"{name}.png", compress_level=1)
            known = {"ra": "ra", "dec": "dec", "redshift": "redshift", "pxscale": "pixel_scale"}
            columns = {ours: file[key][:] for key, ours in known.items() if key in file}
    except (OSError, KeyError) as error:
        if getattr(error, "errno", None):
            raise
        raise ValueError(f"{short(path)} should be an HDF5 file with images: {error}.") from error
    number = label_numbers(pd.Series(labels), spec.names)
    if (number < 0).any():
        odd = labels[number < 0][0]
        raise ValueError(
            f"{short(path)}: expected in {spec.label} one of {', '.join(spec.names)}, found {odd}."
        )
    label_name = np.array(list(spec.names.values()), dtype=object)[number]
    class_name = [spec.five_classes.get(name, "") for name in label_name]
    catalog = pd.DataFrame(
        {
            "id": names,
            "file": [f"{IMAGES}/{name}.png" for name in names],
            "class_id": [FIVE_CLASSES.index(name) if name else -1 for name in class_name],
            "class_name": class_name,
            "label": number,
            "label_name": label_name,
        }
    ).assign(**columns)
    write_tables(folder, catalog, {}, {**source, "label_names": list(spec.names.values())})
    return []


def _parquet(
    entry: DatasetEntry, folder: Path, files: Files, source: Mapping[str, Any], progress: bool
) -> list[str]:
    """Take Parquet files apart that hold images and votes, as Hugging Face keeps them."""
    ids: list[str] = []
    names: list[str] = []
    failures: list[tuple[str, str]] = []
    rest: list[pa.Table] = []
    splits: list[str] = []
    with new_folder(folder / IMAGES) as target:
        for key, path in tqdm(files.items(), leave=False, disable=not progress):
            with pq.ParquetFile(path) as parquet:
                present = parquet.schema_arrow.names
                check_columns(["image", "id_str"], present, short(path))
                column = parquet.read(["id_str"])["id_str"].to_pandas()
                ids_here = as_text(column, short(path)).tolist()
                _check_names(ids_here, set(ids), path)
                rows = iter(ids_here)
                for batch in parquet.iter_batches(_BATCH, columns=["image"]):
                    for image in batch.column("image"):
                        name, content = next(rows), image.as_py()
                        content = (
                            content.get("bytes") if isinstance(content, dict) else content
                        ) or b""
                        suffix = _image_suffix(content)
                        names.append(f"{IMAGES}/{name}{suffix}" if suffix else "")
                        if suffix:
                            (target / f"{name}{suffix}").write_bytes(content)
                        else:
                            failures.append((name, "no whole JPEG or PNG"))
                votes = [column for column in present if column not in ("image", "id_str")]
                rest.append(parquet.read(votes).append_column("id_str", pa.array(ids_here)))
                ids += ids_here
                split = "test" if "test" in Path(key).name else "train"
                splits += [split] * len(ids_here)
    with atomic_write(folder / "images_failures.csv") as temporary:
        pd.DataFrame(failures, columns=["id", "reason"]).to_csv(temporary, index=False)
    notes = [f"{len(failures):,} images are broken; see images_failures.csv."] if failures else []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        plain = Path(place) / "votes.parquet"
        pq.write_table(pa.concat_tables(rest, promote_options="permissive"), plain)
        table = _read(plain, "zoobot_gz2", notes)
    catalog, tables = as_tables(table, dict(zip(ids, names, strict=True)))
    catalog["split"] = catalog["id"].map(dict(zip(ids, splits, strict=True)))
    write_tables(folder, catalog, tables, {**source, **table.source})
    return notes


_CONVERTERS: dict[str, Converter] = {
    "kaggle": _kaggle,
    "class_folders": _class_folders,
    "galaxy_zoo_2": _galaxy_zoo_2,
    "votes": _votes,
    "euclid": _euclid,
    "experts": _experts,
    "hdf5": _hdf5,
    "parquet": _parquet,
}


def as_tables(
    votes: VoteTable, files: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Give the catalog of a table of votes, and its tables by name.

    ``files`` is the picture of each galaxy, relative to the folder of the data set.
    """
    class_id = five_classes(votes)
    catalog = votes.catalog.copy()
    catalog.insert(1, "file", [files.get(name, "") for name in catalog["id"]])
    catalog["class_id"] = class_id
    catalog["class_name"] = np.array([*FIVE_CLASSES, ""], dtype=object)[class_id]
    tables = {f"fractions_{votes.tree.name}": votes.fractions}
    if votes.votes is not None:
        tables[f"votes_{votes.tree.name}"] = votes.votes
    return catalog, tables


def _read(path: Path, columns: str, notes: list[str], kind: Any = None) -> VoteTable:
    """Read votes; note the few wrong rows that are left out."""
    votes = read_votes(path, columns, kind=kind)
    for reason, rows in votes.source["left_out"].items():
        notes.append(
            f"{rows['rows']:,} wrong rows of {path.name} were left out ({reason}, the first is "
            f"{rows['first']})."
        )
    return votes


def _joined(parts: list[VoteTable]) -> VoteTable:
    """Put tables of one survey below each other; of a galaxy in several, the first stays."""
    votes = [part.votes for part in parts if part.votes is not None]
    whole = VoteTable(
        pd.concat([part.catalog for part in parts], ignore_index=True),
        parts[0].tree,
        pd.concat(votes, ignore_index=True) if len(votes) == len(parts) else None,
        pd.concat([part.fractions for part in parts], ignore_index=True),
        {"votes": [part.source for part in parts]},
    )
    return whole.select(~whole.catalog["id"].duplicated().to_numpy())


def _renamed(votes: VoteTable, names: pd.Series) -> VoteTable:
    """Call galaxies by other names; those without one are left out."""
    known = votes.select(votes.catalog["id"].isin(names.index).to_numpy())
    old = known.catalog["id"]
    catalog = known.catalog.assign(dr7objid=old, id=old.map(names))
    return VoteTable(catalog, known.tree, known.votes, known.fractions, known.source)


def _check_number(entry: DatasetEntry, found: int, where: Path) -> None:
    if entry.n_images is not None and found != entry.n_images:
        raise ValueError(
            f"Expected {entry.n_images:,} images of {entry.name} in {short(where)}, found "
            f"{found:,}. If the publisher has changed the data set, correct n_images in "
            "data_manifest.yaml."
        )


def _check_rows(entry: DatasetEntry, found: int, table: Path) -> list[str]:
    """Refuse a table that has broken off; numbers that differ a little are told."""
    if entry.n_images is None or found == entry.n_images:
        return []
    text = f"Expected {entry.n_images:,} rows in {table.name}, found {found:,}."
    if found < 0.95 * entry.n_images:
        raise ValueError(
            f"{text} It may have broken off: delete {short(table)} and fetch it again."
        )
    return [text]


def _check_names(ids: Sequence[str], taken: set[str], path: Path) -> None:
    """Refuse identifiers that cannot be names of files of their own."""
    seen = {name.casefold() for name in taken}
    for name in ids:
        if not is_portable(name) or name.casefold() in seen:
            raise ValueError(
                f"{short(path)}: expected identifiers in id_str that differ and can be names of "
                f"files, found {name!r}."
            )
        seen.add(name.casefold())


def _image_suffix(content: bytes) -> str:
    """Give the suffix of a whole image by its first and last bytes; "" for anything else."""
    if content.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in content[-64:]:
        return ".jpg"
    return ".png" if content.startswith(b"\x89PNG") and b"IEND" in content[-64:] else ""


def _plain(value: Any) -> Any:
    """Numbers of numpy as numbers, anything else (paths, dates) as text."""
    return value.item() if isinstance(value, np.generic) else str(value)
