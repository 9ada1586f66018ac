"""Every data set from its stand-in server to `load_dataset`, through the command that users give.

Run it from the course folder::

    python benchmarks/fetch.py

Files, Kaggle, Hugging Face and the image services are servers on 127.0.0.1 with small files in the
publishers' formats (``tests/data/stand_ins.py``); the clients and the whole way are the real ones.

With a folder of real galaxies beside a table like that of Hart et al. 2016 (``gz2_votes``), the
galaxies are published as Galaxy Zoo 2 is - an archive of images, the mapping, tables of votes - and
fetched with ``galhelpers fetch galaxy_zoo_2``. What stays in ``--out`` is for the notebooks::

    python benchmarks/fetch.py --real FOLDER --out DIR
    galhelpers run 01 02 03 --dataset galaxy_zoo_2 --data-root DIR
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from galhelpers.course.cli import main as galhelpers  # noqa: E402
from galhelpers.data.dataset import load_dataset  # noqa: E402
from tests.data.published import csv_of, zipped  # noqa: E402
from tests.data.stand_ins import stand_ins  # noqa: E402

POSITIONS = "id,ra,dec,petro_r90\n1,150.1,2.2,6\n2,150.2,2.3,7\n3,150.3,2.4,8\n"
FIRST_OBJECT = 587722952767439000


def fetched(folder: Path) -> bool:
    """Fetch all data sets; print a line each, and say whether all could be read."""
    (folder / "positions.csv").write_text(POSITIONS)
    service = ["--catalog", str(folder / "positions.csv"), "--per-second", "1000"]
    commands = [
        ["simulated", "--n", "8", "--size", "64"],
        ["gz2_five_class"],
        ["kaggle_galaxy_zoo"],
        ["galaxy_zoo_2", "--all"],
        ["galaxy_zoo_1", "--cutouts", "4", "--per-second", "1000"],
        ["gz_decals", "--all"],
        ["galaxy10_decals"],
        ["candels_experts"],
        ["hf_gz2", "--config", "tiny"],
        ["euclid_q1", "--all"],
        ["sdss_cutouts", *service],
        ["legacy_cutouts", *service],
    ]
    rows = []
    with stand_ins(folder, ROOT / "data_manifest.yaml"):
        for name, *options in commands:
            began = time.perf_counter()
            code = galhelpers(["fetch", name, *options])
            seconds = time.perf_counter() - began
            if code:
                rows.append((name, "failed", "", "", "", seconds))
                continue
            galaxies = load_dataset(name, n=8)
            pictures = sum(file.is_file() for file in galaxies.files if str(file) != ".")
            tables = ["fractions"] if galaxies.fractions is not None else []
            tables = " ".join([*tables, *galaxies.tables])[:60]
            n_classes = int((galaxies.class_counts() > 0).sum())
            rows.append((name, len(galaxies), pictures, n_classes, tables, seconds))
    names = ["data set", "galaxies", "pictures", "classes", "tables", "seconds"]
    print("\n" + pd.DataFrame(rows, columns=names).round(1).to_string(index=False))
    return not any(row[1] == "failed" for row in rows)


def published(folder: Path) -> dict[str, bytes]:
    """Publish images beside a table of votes as Zenodo and the Zooniverse publish Galaxy Zoo 2.

    The table's objids went through floats and lost digits, so the galaxies get others here.
    """
    table = pd.read_csv(folder / "labels.csv")
    objects = FIRST_OBJECT + np.arange(len(table))
    images = {
        f"images/{asset}.jpg": (folder / file).read_bytes()
        for asset, file in zip(table["asset_id"], table["file"], strict=True)
    }
    mapping = {"objid": objects, "sample": table["sample"], "asset_id": table["asset_id"]}
    votes = table.drop(columns=["asset_id", "file"]).assign(dr7objid=objects)
    parts = np.array_split(np.arange(len(votes)), 3)
    tables = ["zoo2MainSpecz.csv.gz", "zoo2MainPhotoz.csv.gz", "zoo2Stripe82Normal.csv.gz"]
    return {
        "images_gz2.zip": zipped(images),
        "gz2_filename_mapping.csv": csv_of(pd.DataFrame(mapping), compressed=False),
        **{name: csv_of(votes.iloc[rows]) for name, rows in zip(tables, parts, strict=True)},
    }


def real_galaxies(folder: Path, out: Path, temporary: Path) -> bool:
    """Fetch real galaxies from servers of our own into ``out``; compare with the folder."""
    files = published(folder)
    n = len(pd.read_csv(folder / "labels.csv"))
    with stand_ins(temporary, ROOT / "data_manifest.yaml", files=files, n_images=n):
        code = galhelpers(["fetch", "galaxy_zoo_2", "--data-root", str(out)])
        if code:
            return False
        galaxies = load_dataset("galaxy_zoo_2", out)
        theirs = load_dataset("gz2_votes", folder)
    ours = galaxies.catalog.set_index("id")["class_id"].reindex(theirs.catalog["id"])
    same = ours.to_numpy() == theirs.catalog["class_id"].to_numpy()
    print(f"\n{len(galaxies):,} of {n:,} galaxies arrived, {same.sum():,} of the same class.")
    print(f"galhelpers run 01 02 03 --dataset galaxy_zoo_2 --data-root {out}")
    return bool(same.all()) and len(galaxies) == n


def main() -> int:
    """Run what is asked for; 0 when all went well."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=Path, help="folder with labels.csv and images of gz2_votes")
    parser.add_argument("--out", type=Path, help="folder for what --real fetches")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.real is None:
            return 0 if fetched(Path(name)) else 1
        if not (options.real / "labels.csv").is_file():
            print(f"There is no {options.real / 'labels.csv'}: nothing to fetch.")
            return 0
        out = (options.out or Path(name) / "data").resolve()
        return 0 if real_galaxies(options.real, out, Path(name)) else 1


if __name__ == "__main__":
    sys.exit(main())
