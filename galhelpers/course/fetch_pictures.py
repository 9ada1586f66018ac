"""Pictures from an image service, for a data set without any or for a table of one's own."""

import json
from pathlib import Path

import pandas as pd

from galhelpers.course.fetch_plan import Choices, record_of
from galhelpers.data.manifest import DatasetEntry
from galhelpers.data.web.cutouts import fetch_cutouts, sdss_radii
from galhelpers.data.web.image_services import get_service
from galhelpers.paths import UserError


def pictures_of_catalogue(
    entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool
) -> list[str]:
    """Ask an image service for the galaxies of a user's own table; give notes for the user.

    Raises
    ------
    UserError, ValueError, FileNotFoundError
        For a table that is missing or cannot work.
    galhelpers.data.web.services.FetchError
        When the service does not work; what has arrived can be read.
    """
    from galhelpers.data.sources.catalogue import write_catalogue
    from galhelpers.data.sources.positions import read_positions

    if not wanted.catalog:
        raise UserError(
            f"{entry.name} needs a table of positions: --catalog FILE (CSV, FITS, Parquet or "
            "VOTable) with columns id, ra and dec in degrees."
        )
    catalog = read_positions(Path(wanted.catalog).expanduser())
    catalog = catalog if wanted.cutouts is None else catalog.head(wanted.cutouts)
    kept = ["id", "ra", "dec", "petro_r90", "pixel_scale", "class_id"]
    catalog = catalog[[name for name in kept if name in catalog]].assign(file="")
    if "class_id" not in catalog:
        catalog["class_id"] = -1
    source = record_of(entry, []) | {"catalog": Path(wanted.catalog).name}

    def write() -> None:
        from galhelpers.data.catalogs import FIVE_CLASSES

        names = [*FIVE_CLASSES, ""]
        table = catalog.assign(class_name=[names[int(i)] for i in catalog["class_id"]])
        write_catalogue(folder, _with_pictures(table, entry, folder), {}, source)

    try:
        return _ask_service(entry, folder, catalog, wanted, progress)
    finally:  # also after Ctrl-C, or when the service gave up: what has arrived can be used
        write()


def pictures_of_set(
    entry: DatasetEntry, folder: Path, wanted: Choices, progress: bool
) -> list[str]:
    """Ask an image service for some galaxies of a data set that has no pictures of them.

    The same galaxies come first each time: asking for 1,000 after 100 asks for 900 more. Errors as
    for ``pictures_of_catalogue``.
    """
    from galhelpers.data.sources.catalogue import write_catalogue
    from galhelpers.data.sources.positions import in_stable_order

    if entry.cutouts is None:
        raise UserError(f"No image service is known for {entry.name}; leave --cutouts out.")
    catalog = pd.read_parquet(folder / "catalog.parquet")
    placed = catalog["ra"].notna() & catalog["dec"].notna() if "ra" in catalog else None
    if placed is None:
        raise UserError(f"{entry.name} has no positions; leave --cutouts out.")
    # Pictures that the publisher gives lie in folders of their own; they are not asked for again.
    published = catalog["file"].str.count("/") > 1
    asked = in_stable_order(catalog[placed & ~published], wanted.seed).head(wanted.cutouts or 0)
    if asked.empty:
        return ["Every galaxy has a picture already: nothing was asked for."]
    try:
        return _ask_service(entry, folder, asked, wanted, progress)
    finally:
        source = json.loads((folder / "source.json").read_text(encoding="utf-8"))
        tables = {name: pd.read_parquet(folder / f"{name}.parquet") for name in source["tables"]}
        write_catalogue(folder, _with_pictures(catalog, entry, folder), tables, source)


def _ask_service(
    entry: DatasetEntry, folder: Path, catalog: pd.DataFrame, wanted: Choices, progress: bool
) -> list[str]:
    """Fetch the pictures; say beforehand how long it takes, and afterwards what came."""
    plan = entry.cutouts
    if plan is None:
        raise UserError(f"{entry.name} has no `cutouts` in data_manifest.yaml.")
    minutes = len(catalog) / wanted.per_second / 60
    print(
        f"  pictures:   {len(catalog):,} galaxies, {wanted.per_second:g} a second at most: "
        f"{minutes:,.0f} min or more, some {len(catalog) * 0.03:,.0f} MB",
        flush=True,
    )
    if len(catalog) >= 10 and catalog["ra"].max() < 24:
        print("  note:       ra is below 24 throughout: hours? Degrees are expected.")
    if plan.service == "sdss" and plan.pixel_scale is None and "pixel_scale" not in catalog:
        catalog = sdss_radii(catalog)
    report = fetch_cutouts(
        catalog,
        folder,
        plan.service,
        size=plan.size,
        pixel_scale=plan.pixel_scale,
        per_second=wanted.per_second,
        progress=progress,
    )
    notes = [f"{report.done:,} pictures fetched, {report.already_there:,} were there."]
    if report.failed:
        notes.append(f"{report.failed:,} could not be had: failures.csv says why.")
    return notes


def _with_pictures(catalog: pd.DataFrame, entry: DatasetEntry, folder: Path) -> pd.DataFrame:
    """Fill ``file`` with the pictures that are there now; FITS images go to a column ``fits``."""
    from galhelpers.data.sources.recipes import pictures

    suffix = get_service(entry.cutouts.service).suffix if entry.cutouts else ".jpg"
    if suffix == ".fits":
        found = {file.stem: f"images/{file.name}" for file in (folder / "images").glob("*.fits")}
        return catalog.assign(fits=[found.get(name, "") for name in catalog["id"]])
    here = pictures(folder)
    pairs = zip(catalog["id"], catalog["file"], strict=True)
    return catalog.assign(file=[file or here.get(name, "") for name, file in pairs])
