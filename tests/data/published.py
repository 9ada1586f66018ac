"""Small copies of what the publishers serve, in their formats, with galaxies that we drew.

``publish`` puts every file of the manifest on a server and writes the manifest that fits.
"""

import functools
import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from galhelpers.data.readers import IMAGE_FOLDER, TABLE
from galhelpers.survey import sample_galaxies
from galhelpers.survey.volunteers import cumulative_fractions, volunteer_votes
from galhelpers.trees import DECALS, GZ2, TREES

N = 24
TASKS = [  # Galaxy Zoo 2's numbers of tasks and answers, in the order of the tree
    ("t01_smooth_or_features", ["a01_smooth", "a02_features_or_disk", "a03_star_or_artifact"]),
    ("t02_edgeon", ["a04_yes", "a05_no"]),
    ("t03_bar", ["a06_bar", "a07_no_bar"]),
    ("t04_spiral", ["a08_spiral", "a09_no_spiral"]),
    (
        "t05_bulge_prominence",
        ["a10_no_bulge", "a11_just_noticeable", "a12_obvious", "a13_dominant"],
    ),
    ("t06_odd", ["a14_yes", "a15_no"]),
    ("t07_rounded", ["a16_completely_round", "a17_in_between", "a18_cigar_shaped"]),
    (
        "t08_odd_feature",
        [
            "a19_ring",
            "a20_lens_or_arc",
            "a21_disturbed",
            "a22_irregular",
            "a23_other",
            "a24_merger",
            "a38_dust_lane",
        ],
    ),
    ("t09_bulge_shape", ["a25_rounded", "a26_boxy", "a27_no_bulge"]),
    ("t10_arms_winding", ["a28_tight", "a29_medium", "a30_loose"]),
    (
        "t11_arms_number",
        ["a31_1", "a32_2", "a33_3", "a34_4", "a36_more_than_4", "a37_cant_tell"],
    ),
]


def jpeg(seed, size=48, kind="JPEG"):
    rng = np.random.default_rng(seed)
    pixels = rng.normal(30, 5, (size, size, 3)).clip(0, 255).astype(np.uint8)
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, kind)
    return memory.getvalue()


def zipped(files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return memory.getvalue()


def csv_of(table, compressed=True):
    text = table.to_csv(index=False).encode()
    return gzip.compress(text) if compressed else text


def parquet_of(table):
    memory = io.BytesIO()
    table.to_parquet(memory, index=False)
    return memory.getvalue()


def votes_of(tree, n=N, seed=1):
    """Votes (n, answers) of simulated volunteers, at least one for question 1."""
    return volunteer_votes(sample_galaxies(n, seed=seed), tree, seed=seed)


def sky(n=N, seed=1):
    rng = np.random.default_rng(seed)
    return rng.uniform(120, 240, n).round(5), rng.uniform(0, 50, n).round(5)


def gz2_table(rows, first):
    """Some rows of a Galaxy Zoo 2 table: counts and conditional fractions of each answer."""
    votes = votes_of(GZ2)
    conditional = np.nan_to_num(GZ2.to_conditional(cumulative_fractions(votes, GZ2)))
    ra, dec = sky()
    table = {"specobjid": 1, "dr7objid": 587722952767439000 + np.arange(N), "ra": ra, "dec": dec}
    table["sample"] = "original"
    table["total_votes"] = votes.sum(axis=1)
    position = 0
    for task, answers in TASKS:
        for answer in answers:
            column = f"{task}_{answer}"
            table[f"{column}_count"] = votes[:, position]
            for kind in ("fraction", "weighted_fraction", "debiased"):
                table[f"{column}_{kind}"] = conditional[:, position].round(6)
            position += 1
    return pd.DataFrame(table).iloc[first : first + rows]


def gz2_files():
    ids = np.arange(N)
    mapping = pd.DataFrame(
        {"objid": 587722952767439000 + ids, "sample": "original", "asset_id": 100 + ids}
    )
    # Two more images than rows in the tables, and one object that was shown a second time, deeper.
    again = mapping.head(1).assign(sample="stripe82_coadd_1", asset_id=900)
    images = {f"images/{asset}.jpg": jpeg(asset) for asset in [*(100 + ids), 900]}
    return {
        "images_gz2.zip": zipped(images),
        "gz2_filename_mapping.csv": csv_of(pd.concat([again, mapping]), compressed=False),
        "zoo2MainSpecz.csv.gz": csv_of(gz2_table(12, 0)),
        "zoo2MainPhotoz.csv.gz": csv_of(gz2_table(8, 10)),  # two galaxies are in both tables
        "zoo2Stripe82Normal.csv.gz": csv_of(gz2_table(5, 17)),
        "gz2_hart16.csv.gz": csv_of(gz2_table(15, 4)),
    }


@functools.cache
def kaggle_files():
    fractions = pd.DataFrame(
        cumulative_fractions(votes_of(GZ2), GZ2), columns=GZ2.published_columns
    )
    fractions.insert(0, "GalaxyID", 100008 + np.arange(N))
    table = csv_of(fractions, compressed=False)
    pictures = {f"{IMAGE_FOLDER}/{i}.jpg": jpeg(i) for i in fractions["GalaxyID"]}
    return {
        f"{IMAGE_FOLDER}.zip": zipped(pictures),
        "training_solutions_rev1.zip": zipped({TABLE: table}),
    }


def decals_table(tree=DECALS):
    votes = votes_of(tree)
    ra, dec = sky()
    names = [f"J{i:06d}.00+{i:06d}.0" for i in range(N)]
    table = {"iauname": names, "ra": ra, "dec": dec}
    start = 0
    for question in tree.questions:
        counts = votes[:, start : start + len(question.answers)]
        total = counts.sum(axis=1)
        table[f"{question.name}_total-votes"] = total
        for answer, column in zip(question.answers, counts.T, strict=True):
            name = f"{question.name}_{answer}"
            table[name] = column
            table[f"{name}_fraction"] = np.where(total > 0, column / np.maximum(total, 1), np.nan)
        start += len(question.answers)
    return pd.DataFrame(table)


def euclid_table():
    """Euclid Q1: the fraction that a network expects for each answer, whoever was asked."""
    votes = cumulative_fractions(votes_of(DECALS), DECALS)
    shares = DECALS.to_conditional(votes)
    for answers in DECALS.slices.values():  # a network has an opinion where nobody was asked, too
        size = answers.stop - answers.start
        shares[:, answers] = np.nan_to_num(shares[:, answers], nan=1 / size)
    ra, dec = sky()
    table = {"tile_index": 102018667, "object_id": -585598010511040774 + np.arange(N)}
    table |= {"right_ascension": ra, "declination": dec}
    for column, share in zip(DECALS.columns, shares.T, strict=True):
        name = column.replace("featured_artifact", "featured_problem")
        table[f"{name.replace('-disturbance', '_disturbance')}_fraction"] = share
    return pd.DataFrame(table | {"clumps_yes_fraction": 0.5})


def euclid_pictures():
    """A tar of pictures in a folder for each tile; the last galaxy has none."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        for i, name in enumerate(euclid_table()["object_id"][:-1]):
            content = jpeg(i)
            file = f"102018667_NEG{-name}_gz_arcsinh_vis_y.jpg"
            member = tarfile.TarInfo(f"cutouts_jpg_gz_arcsinh_vis_y/102018667/{file}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return memory.getvalue()


@functools.cache
def hub_files():
    """Galaxy Zoo 2 as on Hugging Face: everybody says smooth, round, nothing odd."""
    answers = {
        "smooth-or-featured": "smooth featured-or-disk artifact",
        "disk-edge-on": "yes no",
        "has-spiral-arms": "yes no",
        "bar": "yes no",
        "bulge-size": "dominant obvious just-noticeable no",
        "something-odd": "no yes",
        "how-rounded": "round in-between cigar",
        "bulge-shape": "round boxy no-bulge",
        "spiral-winding": "tight medium loose",
        "spiral-arm-count": "1 2 3 4 more-than-4 cant-tell",
    }
    asked = ("smooth-or-featured", "something-odd", "how-rounded")

    def shard(n, first):
        votes = {
            f"{question}-gz2_{answer}": np.full(n, 20 if question in asked and number == 0 else 0)
            for question, words in answers.items()
            for number, answer in enumerate(words.split())
        }
        image = [{"bytes": jpeg(first + i), "path": "0.jpg"} for i in range(n)]
        ids = [f"{first + i:05d}" for i in range(n)]
        memory = io.BytesIO()
        pq.write_table(pa.table({"image": image, "id_str": ids} | votes), memory)
        return memory.getvalue()

    return {
        "README.md": b"Galaxy Zoo 2",
        "tiny/train-00000-of-00001.parquet": shard(12, 0),
        "tiny/test-00000-of-00001.parquet": shard(4, 100),
    }


def gz1_table():
    rng = np.random.default_rng(6)
    shares = rng.dirichlet(np.ones(6), N).round(3)
    shares[:, 0] = (1 - shares[:, 1:].sum(axis=1)).round(3)
    table = {
        "OBJID": 587722952767439000 + np.arange(N),
        "RA": [f"{i % 24:02d}:00:00.41" for i in range(N)],
        "DEC": ["-10:22:25.7"] * N,
        "NVOTE": 40,
    }
    columns = TREES["gz1"].published_columns
    table |= {column: shares[:, i] for i, column in enumerate(columns)}
    return pd.DataFrame(table | {"P_CS": shares[:, 1:4].sum(axis=1).round(3)})


def hdf5_of(n, size, labels="ans", extra=True):
    """Images (n, size, size, 3) with class numbers 0, 1, 2 ... and, if wanted, positions."""
    rng = np.random.default_rng(n)
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file["images"] = rng.integers(0, 255, (n, size, size, 3), dtype=np.uint8)
        file[labels] = (np.arange(n) % (4 if labels == "labels" else 10)).astype(np.uint8)
        if extra:
            file["ra"], file["dec"] = sky(n)
            file["redshift"], file["pxscale"] = np.full(n, 0.1), np.full(n, 0.262)
    return memory.getvalue()


TICKS = {
    (2, "deep2_1"): ["1 0 0 0 0", "0 1 0 0 0", "0 1 0 0 0"],
    (2, "deep2_2"): ["0 1 0 0 0", "1 0 0 0 0", "1 0 0 0 0"],
}
"""What each expert ticked, by epochs of the mosaic and name of the galaxy."""


def experts_files(ticks=TICKS, spoil=lambda lines: lines):
    """Kartaltepe et al. 2015 in the CDS's fixed columns; ``spoil`` may change the lines."""
    rule = "-" * 80 + "\n"
    columns = """\
   1-  2  I2    ---     Depth     Depth catalogs: 2, 4, or 10 epoch
   3-  7  A5    ---     ---       [epoch]
   9- 12  A4    ---     Area      GOODS-S Survey area: deep, wide, ers
  14- 17  A4    ---     ---       [GDS_]
  18- 29  A12   ---     ID        Object Identifier
  31- 39  F9.6  deg     RAdeg     Right Ascension (J2000)
  41- 50  F10.6 deg     DEdeg     Declination (J2000)
  52- 56  I5    ---     Seq       ?=-99 Sequential Object Identifier
  58- 64  F7.4  mag     Hmag      H band magnitude
      66  I1    ---     ClSph     Morphology Class, Spheroid
      68  I1    ---     ClDk      Morphology Class, Disk
      70  I1    ---     ClIr      Morphology Class, Irregular
      72  I1    ---     ClPS      Morphology Class, Point Source / compact
      74  I1    ---     ClUn      Morphology Class, Unclassifiable
      76  I1    ---     ClInt     Interaction Class
 132-133  I2    ---     IDCl      Individual Classifier code
"""
    head = f"Byte-by-byte Description of file: table2.dat\n{rule}"
    readme = head + f"   Bytes Format Units   Label     Explanations\n{rule}{columns}{rule}"
    lines = []
    for number, ((depth, name), marks) in enumerate(ticks.items()):
        place = f"GDS_{name:12s} 53.120000 {-27.8 - number / 1000:10.6f}"
        for expert, mark in enumerate(marks, start=1):
            line = f"{depth:2d}epoch deep {place}   -99 23.5000 {mark} 0"
            lines.append(f"{line:131s}{expert:2d}\n")
    table = gzip.compress("".join(spoil(lines)).encode())
    return {"ReadMe": readme.encode(), "table2.dat.gz": table}


@functools.cache
def contents():
    """Every file of the manifest that is downloaded from an address, by name."""
    return {
        **gz2_files(),
        **experts_files(),
        "Galaxy10_DECals.h5": hdf5_of(N, 16),
        "GalaxyZoo1_DR_table2.csv.gz": csv_of(gz1_table()),
        "gz_decals_volunteers_5.parquet": parquet_of(decals_table()),
        "morphology_catalogue.parquet": parquet_of(euclid_table()),
        "cutouts_jpg_gz_arcsinh_vis_y.tar": euclid_pictures(),
        "galaxy_morphology_filtered_data.zip": zipped(
            {f"repo-abc/{i % 5}/{i}.jpg": jpeg(i) for i in range(N)} | {"repo-abc/README.md": b"x"}
        ),
        **{
            f"gz_decals_dr5_png_part{part}.zip": zipped(
                {f"J0000/J{i:06d}.00+{i:06d}.0.png": jpeg(i, kind="PNG") for i in rows}
            )
            for part, rows in enumerate(np.array_split(np.arange(N - 2), 4), start=1)
        },
    }


def publish(server, manifest: Path, target: Path, files=None, n_images=N):
    """Serve the files of the manifest, and write the manifest that goes with them to ``target``.

    Checksums, sizes and numbers of images are those of the files that are served, at
    /<host>/<path>; everything else is as in the course's own manifest. What is not served is still
    asked for on this server.
    """
    files = contents() if files is None else files
    content = yaml.safe_load(manifest.read_text())
    for entry in content["datasets"]:
        if "n_images" in entry:
            entry["n_images"] = n_images
        if "zenodo" in entry:
            entry["zenodo"] = entry["zenodo"].replace("https:/", server.url)
        for file in entry.get("files", []):
            file["mirrors"] = []
            if "url" in file:
                path = file["url"].replace("https:/", "").partition("?")[0]
                file["url"] = server.url + path
            body = files.get(file["name"])
            if body is None or "url" not in file:
                continue
            server.serve(path, body)
            file.pop("why_no_checksum", None)
            file["checksum"] = f"sha256:{hashlib.sha256(body).hexdigest()}"
            file["bytes"] = len(body)
    target.write_text(yaml.safe_dump(content, sort_keys=False))
