"""What the HDF5 files of Galaxy10 and GalaxyMNIST hold, and checks that a file holds it.

Nothing is followed out of the file: HDF5 can name other files on the disk (external and soft links,
external storage, virtual data sets), and a download has no business reading those.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from galhelpers.data.sources.published_classes import PUBLISHED_CLASSES
from galhelpers.paths import short

BATCH_BYTES = 160e6
"""Most bytes of images in memory at once."""


@dataclass(frozen=True)
class Layout:
    """What a published HDF5 file holds.

    Attributes
    ----------
    labels
        Key of the class numbers; the images are under ``images``.
    sizes
        Widths and heights that are published, in pixels.
    releases
        Name of each release by its number of galaxies.
    counts
        Galaxies in each class of a release, where its publisher says and the sum is right.
    extra
        Keys of further columns, one value a galaxy, by the name that they get here.
    required
        Those of ``extra`` that must be there.
    splits
        Galaxies in each split, where there is a file for each; the split begins the file's name.
    """

    labels: str
    sizes: tuple[int, ...]
    releases: dict[int, str]
    counts: dict[int, tuple[int, ...]] = field(default_factory=dict)
    extra: dict[str, str] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    splits: dict[str, int] = field(default_factory=dict)


_COLUMNS = {"ra": "ra", "dec": "dec", "redshift": "redshift", "pxscale": "pixel_scale"}

LAYOUTS = {
    "galaxy10_decals": Layout(
        labels="ans",
        sizes=(256,),
        releases={17736: "Galaxy10 DECaLS (Zenodo 10845026)"},
        counts={17736: (1081, 1853, 2645, 2027, 334, 2043, 1829, 2628, 1423, 1873)},
        extra=_COLUMNS,
        required=("ra", "dec", "redshift", "pxscale"),
    ),
    # The class counts on astroNN's page of the newer release sum to 21,830, not 21,785: unused.
    "galaxy10_sdss": Layout(
        labels="ans",
        sizes=(69,),
        releases={
            21785: "Galaxy10 SDSS (Zenodo 10844811)",
            25753: "the older release of Galaxy10 SDSS",
        },
        counts={25753: (3461, 6997, 6292, 394, 3060, 17, 1089, 1932, 1466, 1045)},
        extra=_COLUMNS,
    ),
    "galaxy_mnist": Layout(
        labels="labels",
        sizes=(64, 224),
        releases={8000: "GalaxyMNIST, training set", 2000: "GalaxyMNIST, test set"},
        splits={"train": 8000, "test": 2000},
    ),
}
"""Layouts by the name of the data set. Keys and axes: data_sources.yaml and the publishers' code;
GalaxyMNIST stores (n, height, width, 3) and turns it round when it is read."""


def read_table(
    file: h5py.File,
    path: Path,
    layout: str,
    expected_counts: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Check an open file against its layout and give its table; see ``export_hdf5``."""
    known = LAYOUTS[layout]
    images = find_array(file, "images", path)
    labels = find_array(file, known.labels, path)
    _check_images(images, known, path)
    n = len(images)
    columns = {known.labels: _column(labels, n, path)}
    for key in known.extra:
        if key in file or key in known.required:
            columns[key] = _column(find_array(file, key, path), n, path)
    classes = _check_classes(columns.pop(known.labels), len(PUBLISHED_CLASSES[layout]), path)
    release = _check_counts(classes, layout, expected_counts, path)
    split = _split_of(path, known.splits) if known.splits else None
    if split and expected_counts is None and n != known.splits[split]:
        raise ValueError(
            f"{short(path)}: expected {known.splits[split]:,} galaxies in the {split} file, got "
            f"{n:,} ({release}). Give the file the name that its publisher gave it."
        )
    prefix = f"{layout}_{split}" if split else layout
    ids = [f"{prefix}_{row:05d}" for row in range(n)]
    table = pd.DataFrame(
        {"id": ids, "file": [f"images/{name}.png" for name in ids], "published_class": classes}
    )
    for key, values in columns.items():
        table[known.extra[key]] = values.astype(np.float64)
    if split:
        table["split"] = split
    _check_positions(table, path)
    table.attrs["release"] = release
    return table


def damaged(path: Path, error: Exception) -> ValueError:
    """Give the error for a file that HDF5 or gzip could not read."""
    return ValueError(
        f"Expected a whole HDF5 file in {short(path)}, but it is damaged, cut off or something "
        f"else ({error}). Delete it and download it again."
    )


def find_array(file: h5py.File, key: str, path: Path) -> h5py.Dataset:
    """Give a data set that lies in this very file."""
    link = file.get(key, getlink=True)
    if link is None:
        raise ValueError(
            f"{short(path)} should have the key {key!r}; it has {', '.join(file) or 'none'}. Is it "
            "a file of this data set?"
        )
    if not isinstance(link, h5py.HardLink):
        raise ValueError(
            f"{short(path)}: {key!r} should be stored in the file, but is a link to another place, "
            "which is not followed. Do not trust this file; download it again from its publisher."
        )
    found = file[key]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{short(path)}: {key!r} should be an array, it is a group.")
    if found.is_virtual or found.external:
        raise ValueError(
            f"{short(path)}: {key!r} should be stored in the file, but its numbers lie in other "
            "files, which are not read. Download it again from its publisher."
        )
    # A chunk is unpacked whole, however little of it is asked for: a small file may hold a bomb.
    chunk = int(np.prod(found.chunks or (0,), dtype=np.float64)) * found.dtype.itemsize
    if chunk > BATCH_BYTES:
        raise ValueError(
            f"{short(path)}: {key!r} should be stored in chunks of at most {BATCH_BYTES / 1e6:.0f} "
            f"MB, got {chunk / 1e6:,.0f} MB. It is not a published file of this data set; download "
            "it again."
        )
    return found


def _check_images(images: h5py.Dataset, known: Layout, path: Path) -> None:
    sizes = " or ".join(f"{size} x {size}" for size in known.sizes)
    shape = images.shape
    right = len(shape) == 4 and shape[3] == 3 and shape[1] == shape[2] and shape[1] in known.sizes
    if not right or len(images) == 0:
        raise ValueError(
            f"{short(path)}: images should have the shape (n, height, width, 3) with {sizes} px, "
            f"got {shape}. Is it the file of another data set?"
        )
    if images.dtype != np.uint8:
        raise ValueError(f"{short(path)}: images should be uint8 (0 to 255), got {images.dtype}.")


def _column(values: h5py.Dataset, n: int, path: Path) -> np.ndarray:
    name = values.name.lstrip("/")
    if values.shape != (n,):
        raise ValueError(
            f"{short(path)}: {name} should have one value for each of the {n:,} images, "
            f"got the shape {values.shape}."
        )
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{short(path)}: {name} should be numbers, got {values.dtype}.")
    try:
        return np.asarray(values[:])
    except OSError as error:
        raise damaged(path, error) from error


def _check_classes(labels: np.ndarray, n_classes: int, path: Path) -> np.ndarray:
    odd = ~np.isin(labels, np.arange(n_classes))
    if odd.any():
        row = int(odd.argmax())
        raise ValueError(
            f"{short(path)}: classes should be whole numbers 0 to {n_classes - 1}, got "
            f"{labels[row]} in row {row} (from 0) and {odd.sum() - 1} more."
        )
    return labels.astype(np.int64)


def _check_counts(
    classes: np.ndarray, layout: str, expected: Sequence[int] | None, path: Path
) -> str:
    """Compare numbers of galaxies with the expected or published ones; give the release's name."""
    known, n = LAYOUTS[layout], len(classes)
    if expected is None:
        if n not in known.releases:
            published = "; ".join(f"{k:,}: {name}" for k, name in known.releases.items())
            raise ValueError(
                f"{short(path)} has {n:,} galaxies, which is no known release ({published}). "
                "If the publisher has a newer one, give its expected_counts."
            )
        expected = known.counts.get(n)
    counts = np.bincount(classes, minlength=len(PUBLISHED_CLASSES[layout]))
    if expected is not None and list(counts) != list(expected):
        raise ValueError(
            f"{short(path)}: expected {list(expected)} galaxies in the classes (sum "
            f"{sum(expected):,}), got {counts.tolist()} (sum {n:,}). It is another release or "
            "damaged: compare its checksum with the publisher's."
        )
    return known.releases.get(n, f"{layout}, {n:,} galaxies")


def _check_positions(table: pd.DataFrame, path: Path) -> None:
    if "ra" in table and "dec" in table:
        ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
        # Written so that NaN counts as odd.
        odd = ~((ra >= 0) & (ra < 360) & (np.abs(dec) <= 90))
        if odd.any():
            row = int(odd.argmax())
            raise ValueError(
                f"{short(path)}: expected 0 <= ra < 360 and -90 <= dec <= 90 degrees, got ra "
                f"{ra[row]}, dec {dec[row]} in row {row} (from 0) and {odd.sum() - 1} more."
            )
        if "redshift" in table and len(table) > 1 and np.array_equal(table["redshift"], dec):
            # So it is in the coordinate table that the same publisher once gave away.
            warnings.warn(
                f"{short(path)}: redshift repeats the declination in every row, an error of the "
                "file; redshifts are left empty.",
                stacklevel=2,
            )
            table["redshift"] = np.nan
    if "pixel_scale" in table and not (table["pixel_scale"] > 0).all():
        row = int((~(table["pixel_scale"] > 0)).to_numpy().argmax())
        raise ValueError(
            f"{short(path)}: pxscale should be above 0 arcsec a pixel, got "
            f"{table['pixel_scale'][row]} in row {row} (from 0)."
        )


def _split_of(path: Path, splits: dict[str, int]) -> str:
    for split in splits:
        if path.name.lower().startswith(split):
            return split
    raise ValueError(
        f"Expected a file name that begins with {' or '.join(splits)}, as published, got "
        f"{path.name!r}: only the name tells the split. Name the file as its publisher does."
    )
