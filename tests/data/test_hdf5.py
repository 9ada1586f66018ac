"""HDF5 files of galaxies become PNGs: every pixel kept, nothing half-written, nothing followed."""

import gzip
import json
import multiprocessing
import os
import signal
import time
import tracemalloc

import h5py
import numpy as np
import pytest
from PIL import Image

from galhelpers.data.catalogs import FIVE_CLASSES
from galhelpers.data.sources import hdf5
from galhelpers.data.sources.hdf5 import export_hdf5
from galhelpers.data.sources.hdf5_layouts import LAYOUTS
from galhelpers.data.sources.published_classes import (
    GALAXY10_DECALS,
    GALAXY10_SDSS,
    GZ_EVO_SUMMARY,
    PUBLISHED_CLASSES,
    five_class_of,
    published_name,
)

SDSS = LAYOUTS["galaxy10_sdss"]
TEN = [2] * 10


def noise(n, px, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, px, px, 3), dtype=np.uint8)


def write_file(path, n=20, px=69, labels="ans", **replaced):
    """Write a small Galaxy10 of n galaxies; n / 10 of each class."""
    rng = np.random.default_rng(1)
    content = {"images": noise(n, px), labels: np.arange(n) % 10}
    content |= {"ra": rng.uniform(0, 360, n), "dec": rng.uniform(-30, 60, n)}
    content |= {"redshift": rng.uniform(0, 0.2, n), "pxscale": np.full(n, 0.262)}
    content |= replaced
    with h5py.File(path, "w") as file:
        for key, values in content.items():
            if values is not None:
                file.create_dataset(key, data=values)
    return path


def export(path, folder, layout="galaxy10_sdss", expected_counts=TEN):
    return export_hdf5(path, folder, layout, expected_counts=expected_counts, progress=False)


def pngs(folder):
    """All files but the record of what they were made from: hidden ones would show, too."""
    names = sorted(file.name for file in folder.rglob("*") if file.is_file())
    return [name for name in names if not name.startswith(".from_")]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


# --- what comes out ---------------------------------------------------------------------------


def test_every_pixel_and_every_column_arrives(tmp_path):
    path = write_file(tmp_path / "Galaxy10_DECals.h5", px=256)
    table = export(path, tmp_path / "out", "galaxy10_decals")
    columns = "id file published_class ra dec redshift pixel_scale"
    assert list(table) == columns.split()
    assert table["id"][17] == "galaxy10_decals_00017"
    assert table["file"][17] == "images/galaxy10_decals_00017.png"
    assert table["published_class"].tolist() == (np.arange(20) % 10).tolist()
    with h5py.File(path) as file:
        assert np.array_equal(table["ra"], file["ra"][:])
        assert np.array_equal(table["pixel_scale"], file["pxscale"][:])
        for name, image in zip(table["file"], file["images"][:], strict=True):
            assert np.array_equal(pixels(tmp_path / "out" / name), image)
    assert len(pngs(tmp_path / "out")) == 20  # and nothing else, hidden or not


def test_columns_that_the_file_lacks_are_left_out(tmp_path):
    path = write_file(tmp_path / "g.h5", ra=None, dec=None, redshift=None, pxscale=None)
    assert list(export(path, tmp_path / "out")) == ["id", "file", "published_class"]
    with pytest.raises(ValueError, match=r"should have the key 'ra'; it has ans, dec"):
        export(write_file(tmp_path / "h.h5", ra=None, px=256), tmp_path, "galaxy10_decals")


def test_galaxy_mnist_is_read_packed_and_its_split_is_in_its_name(tmp_path):
    content = {"labels": "labels", "ra": None, "dec": None, "redshift": None, "pxscale": None}
    plain = write_file(tmp_path / "plain.hdf5", px=64, **content | {"labels": "labels"})
    with h5py.File(plain, "r+") as file:
        file["labels"][:] = np.arange(20) % 4
    packed = tmp_path / "test_dataset.hdf5.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    table = export(packed, tmp_path / "out", "galaxy_mnist", [5] * 4)
    assert list(table) == ["id", "file", "published_class", "split"]
    assert table["id"][3] == "galaxy_mnist_test_00003"
    assert set(table["split"]) == {"test"}
    assert np.array_equal(pixels(tmp_path / "out" / table["file"][3]), noise(20, 64)[3])
    assert len(pngs(tmp_path / "out")) == 20  # the unpacked file is gone
    with pytest.raises(ValueError, match="begins with train or test"):
        export(plain, tmp_path / "out", "galaxy_mnist", [5] * 4)


def test_real_galaxies_survive_unchanged(real_data, tmp_path):
    files = sorted((real_data / "decals_rings" / "images").iterdir())[:10]
    images = np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files])
    path = write_file(tmp_path / "real.h5", n=10, images=images)
    table = export(path, tmp_path / "out", "galaxy10_decals", [1] * 10)
    for name, image in zip(table["file"], images, strict=True):
        assert np.array_equal(pixels(tmp_path / "out" / name), image)
    assert sum((tmp_path / "out" / f).stat().st_size for f in table["file"]) < images.nbytes * 0.7


# --- begun, interrupted, begun again ----------------------------------------------------------


def test_whole_images_are_kept_and_others_are_made_again(tmp_path):
    path = write_file(tmp_path / "g.h5")
    table = export(path, tmp_path)
    first, second, third, fourth = (tmp_path / name for name in table["file"][:4])
    before = first.stat().st_mtime_ns
    whole = second.read_bytes()
    second.write_bytes(whole[:-20])  # cut off
    third.unlink()
    Image.fromarray(noise(1, 64)[0]).save(fourth)  # of another size: another file's galaxy
    export(path, tmp_path)
    assert first.stat().st_mtime_ns == before
    assert second.read_bytes() == whole
    assert third.is_file()
    assert pixels(fourth).shape == (69, 69, 3)


def same_pixels(path, folder, table):
    with h5py.File(path) as file:
        images = zip(table["file"], file["images"][:], strict=True)
        return sum(np.array_equal(pixels(folder / name), image) for name, image in images)


@pytest.mark.parametrize("record", ["kept", "lost", "half"])
def test_images_of_another_file_are_made_again(tmp_path, record):
    # The next release: as many galaxies, as large in bytes, fewer at the end of the list.
    path, folder = write_file(tmp_path / "g.h5", n=30), tmp_path / "out"
    export(path, folder, expected_counts=[3] * 10)
    other = write_file(tmp_path / "other.h5", images=noise(20, 69, seed=7))
    other.replace(path)
    note = folder / "images" / ".from_galaxy10_sdss.json"
    if record == "lost":
        note.unlink()
    elif record == "half":
        note.write_text(note.read_text()[:9])
    (folder / "images" / "galaxy10_decals_00001.png").write_bytes(b"of another set")
    table = export(path, folder)
    assert same_pixels(path, folder, table) == 20
    assert len(pngs(folder)) == 21  # the ten that are no more are gone, the other set's is not
    before = [(folder / name).stat().st_mtime_ns for name in table["file"]]
    export(path, folder)
    assert [(folder / name).stat().st_mtime_ns for name in table["file"]] == before


def test_another_file_that_breaks_off_half_way_leaves_no_old_image(tmp_path, monkeypatch):
    path = write_file(tmp_path / "g.h5")
    export(path, tmp_path)
    write_file(tmp_path / "other.h5", images=noise(20, 69, seed=7)).replace(path)
    whole = hdf5._write_png

    def breaks_off(png, image):
        if png.name.endswith("05.png"):
            raise KeyboardInterrupt
        whole(png, image)

    monkeypatch.setattr(hdf5, "_write_png", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        export(path, tmp_path)
    monkeypatch.undo()
    assert same_pixels(path, tmp_path, export(path, tmp_path)) == 20


@pytest.mark.parametrize("key", ["images", "ans"])
def test_a_chunk_that_would_fill_the_memory_is_refused(tmp_path, key):
    # 1,500 zeros are few bytes in the file, and 214 MB (or 200 MB) when a single one is read.
    path = tmp_path / "g.h5"
    with h5py.File(path, "w") as file:
        shapes = {"images": (1500, 69, 69, 3), "ans": (1500,)}
        chunks = {"images": (10, 69, 69, 3), "ans": (100,)}
        chunks[key] = {"images": (15000, 69, 69, 3), "ans": (25_000_000,)}[key]
        for name, shape in shapes.items():
            file.create_dataset(
                name, shape, "i8" if name == "ans" else "u1", chunks=chunks[name],
                maxshape=(None, *shape[1:]), compression="gzip",
            )  # fmt: skip
    with pytest.raises(ValueError, match=rf"'{key}' should be .* at most 160 MB, got 2\d\d MB"):
        export(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_export_goes_on(tmp_path):
    n = 160
    path = write_file(tmp_path / "Galaxy10_DECals.h5", n=n, px=256)
    packed = tmp_path / "g.h5.gz"
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    folder = tmp_path / "out"
    arguments = (packed, folder, "galaxy10_decals", [n // 10] * 10)
    child = multiprocessing.get_context("fork").Process(target=export, args=arguments)
    child.start()
    images = folder / "images"
    deadline = time.monotonic() + 60
    while not images.is_dir() or len(list(images.glob("[!.]*.png"))) < 20:
        assert child.is_alive(), "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    made = list(images.glob("[!.]*.png"))
    assert 20 <= len(made) < n
    assert all(pixels(file).shape == (256, 256, 3) for file in made)  # none is half there
    assert not [file for file in folder.iterdir() if file.is_file()]  # nothing unpacked stays
    times = {file: file.stat().st_mtime_ns for file in made}
    table = export(*arguments)
    assert all((folder / name).is_file() for name in table["file"])
    assert all(file.stat().st_mtime_ns == then for file, then in times.items())
    assert np.array_equal(pixels(folder / table["file"][n - 1]), noise(n, 256)[n - 1])


def test_batches_end_with_the_chunks_of_the_file(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        shape = (1200, 69, 69, 3)
        chunked = file.create_dataset("chunked", shape, "uint8", chunks=(500, 9, 9, 1))
        plain = file.create_dataset("plain", shape, "uint8")
        assert list(hdf5._batches(chunked)) == [(0, 500), (500, 1000), (1000, 1200)]
        assert list(hdf5._batches(plain))[-1] == (1152, 1200)
        monkeypatch.setattr(hdf5, "BATCH_BYTES", 10 * 69 * 69 * 3)
        assert list(hdf5._batches(chunked))[:2] == [(0, 10), (10, 20)]  # memory comes first


def test_images_are_never_all_in_memory(tmp_path):
    # 300 MB of black images in a small file, nearly all of them written already.
    n = 1500
    path = tmp_path / "big.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (n, 256, 256, 3), "uint8", chunks=(100, 256, 256, 3))
        file["ans"] = np.arange(n) % 10
        for key in ("ra", "dec", "redshift", "pxscale"):
            file[key] = np.linspace(0.1, 80, n) + (key == "redshift")
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.zeros((256, 256, 3), np.uint8)).save(images / "one.png")
    for row in range(n):
        if row % 100:
            os.link(images / "one.png", images / f"galaxy10_decals_{row:05d}.png")
    status = path.stat()
    made_from = {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
    (images / ".from_galaxy10_decals.json").write_text(json.dumps(made_from))
    tracemalloc.start()
    export(path, tmp_path, "galaxy10_decals", [n // 10] * 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6, f"{peak / 1e6:.0f} MB in memory"
    assert len(pngs(images)) == n + 1


# --- files that are not what they should be ---------------------------------------------------


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"images": None}, "should have the key 'images'; it has ans, dec, pxscale"),
        ({"images": noise(20, 32)}, r"n, height, width, 3\) with 69 x 69 px, got \(20, 32, 32, 3"),
        ({"images": noise(20, 69).astype("f4")}, "should be uint8 .*, got float32"),
        ({"images": noise(20, 69).transpose(0, 3, 1, 2)}, r"got \(20, 3, 69, 69\)"),
        ({"images": np.uint8(3)}, r"got \(\)"),
        ({"ans": np.arange(19)}, r"one value for each of the 20 images, got the shape \(19,\)"),
        ({"ans": np.arange(20) - 1}, r"numbers 0 to 9, got -1 in row 0 \(from 0\) and 9 more"),
        ({"ans": np.arange(20) / 10}, "whole numbers 0 to 9, got 0.1 in row 1"),
        ({"ans": np.array([b"a"] * 20)}, r"ans should be numbers, got \|S1"),
        ({"ans": np.zeros(20, int)}, r"expected \[2, 2, .*sum 20\), got \[20, 0, "),
        ({"ra": np.array([1.0] * 19 + [np.nan])}, "got ra nan, dec .* in row 19"),
        ({"dec": np.array([1.0] * 19 + [95])}, "dec 95.0 in row 19"),
        ({"pxscale": np.zeros(20)}, "above 0 arcsec a pixel, got 0.0 in row 0"),
    ],
)
def test_a_wrong_file_is_refused_with_what_came(tmp_path, replaced, message):
    path = write_file(tmp_path / "g.h5", **replaced)
    with pytest.raises(ValueError, match=message):
        export(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_redshifts_that_repeat_the_declination_are_left_empty(tmp_path):
    dec = np.linspace(-5, 5, 20)
    path = write_file(tmp_path / "g.h5", dec=dec, redshift=dec)
    with pytest.warns(UserWarning, match="redshift repeats the declination"):
        table = export(path, tmp_path)
    assert table["redshift"].isna().all()
    assert np.array_equal(table["dec"], dec)


def test_releases_are_told_apart_by_their_number_of_galaxies(tmp_path):
    old = SDSS.counts[25753]
    assert sum(old) == 25753
    assert sum(LAYOUTS["galaxy10_decals"].counts[17736]) == 17736

    def check(n, classes):
        with h5py.File(tmp_path / "g.h5", "w") as file:
            file.create_dataset("images", (n, 69, 69, 3), "uint8", chunks=(100, 69, 69, 3))
            file["ans"] = classes
        with h5py.File(tmp_path / "g.h5") as file:
            return hdf5.read_table(file, tmp_path / "g.h5", "galaxy10_sdss").attrs["release"]

    assert check(21785, np.zeros(21785)) == "Galaxy10 SDSS (Zenodo 10844811)"
    assert "older release" in check(25753, np.repeat(np.arange(10), old))
    with pytest.raises(ValueError, match=r"expected \[3461, 6997.*got \[25753, 0"):
        check(25753, np.zeros(25753))
    with pytest.raises(ValueError, match=r"has 100 galaxies, which is no known release \(21,785"):
        check(100, np.zeros(100))


def test_a_galaxy_mnist_file_under_the_name_of_the_other_is_refused(tmp_path):
    path = tmp_path / "train_dataset.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", (2000, 64, 64, 3), "uint8", chunks=(500, 64, 64, 3))
        file["labels"] = np.zeros(2000)
    with pytest.raises(ValueError, match="expected 8,000 galaxies in the train file, got 2,000"):
        export(path, tmp_path, "galaxy_mnist", None)


@pytest.mark.parametrize("kind", ["cut", "head", "html", "gz cut", "gz html", "chunk"])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path, kind):
    path = tmp_path / ("g.h5.gz" if kind.startswith("gz") else "g.h5")
    whole = write_file(tmp_path / "whole.h5").read_bytes()
    if kind == "chunk":  # whole but for a byte inside of one compressed chunk
        with h5py.File(tmp_path / "z.h5", "w") as file:
            images = file.create_dataset(
                "images", data=noise(20, 69), chunks=(10, 69, 69, 3), compression="gzip"
            )
            file["ans"] = np.arange(20) % 10
            place = images.id.get_chunk_info(1).byte_offset
        whole = bytearray((tmp_path / "z.h5").read_bytes())
        whole[place + 50 : place + 90] = bytes(40)
    path.write_bytes(
        {
            "cut": whole[: len(whole) // 2],
            "head": whole[:300],
            "html": b"<!DOCTYPE html><html>Not found</html>",
            "gz cut": gzip.compress(whole)[:-50000],
            "gz html": b"<!DOCTYPE html>",
            "chunk": bytes(whole),
        }[kind]
    )
    with pytest.raises(ValueError, match=r"whole HDF5 file in .*g\.h5.*Delete it and download"):
        export(path, tmp_path / "out")
    assert all(name.endswith(".png") for name in pngs(tmp_path / "out"))


@pytest.mark.parametrize("kind", ["soft", "external", "virtual", "storage", "group"])
def test_nothing_outside_of_the_file_is_read(tmp_path, kind):
    other = write_file(tmp_path / "other.h5")
    path = write_file(tmp_path / "g.h5", images=None)
    (tmp_path / "secret.bin").write_bytes(noise(20, 69).tobytes())
    with h5py.File(path, "r+") as file:
        if kind == "soft":
            file["elsewhere"] = noise(20, 69)
            file["images"] = h5py.SoftLink("/elsewhere")
        elif kind == "external":
            file["images"] = h5py.ExternalLink(str(other), "/images")
        elif kind == "virtual":
            virtual = h5py.VirtualLayout((20, 69, 69, 3), "uint8")
            virtual[:] = h5py.VirtualSource(str(other), "images", (20, 69, 69, 3))
            file.create_virtual_dataset("images", virtual)
        elif kind == "storage":
            size = 20 * 69 * 69 * 3
            outside = [(str(tmp_path / "secret.bin"), 0, size)]
            file.create_dataset("images", (20, 69, 69, 3), "uint8", external=outside)
        else:
            file.create_group("images")
    with pytest.raises(ValueError, match=r"'images' should be (stored in the file|an array)"):
        export(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_stopped_and_so_is_a_full_disk(tmp_path, monkeypatch):
    bomb = tmp_path / "train.h5.gz"
    bomb.write_bytes(gzip.compress(bytes(50_000_000)))
    monkeypatch.setattr(hdf5, "MAX_UNPACKED", 10e6)
    with pytest.raises(ValueError, match=r"unpack to less than 0 GB"):
        export(bomb, tmp_path / "out")
    assert pngs(tmp_path / "out") == []
    path = write_file(tmp_path / "g.h5")
    monkeypatch.setattr(hdf5.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match=r"free space for images, there are 0\.00 GB"):
        export(path, tmp_path / "out")
    assert pngs(tmp_path / "out") == []


def test_names_that_do_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found none. Download it first"):
        export(tmp_path / "none.h5", tmp_path)
    with pytest.raises(KeyError, match=r"Layouts: galaxy10_decals, galaxy10_sdss, galaxy_mnist"):
        export(tmp_path / "none.h5", tmp_path, "galaxy11")


# --- published classes ------------------------------------------------------------------------


def test_published_classes_become_the_five_classes():
    five = {
        name: [five_class_of(name, i) for i in range(len(PUBLISHED_CLASSES[name]))]
        for name in PUBLISHED_CLASSES
    }
    assert five["galaxy10_decals"] == [-1, -1, 0, 1, 2, 4, 4, 4, 3, 3]
    assert five["galaxy10_sdss"] == [-1, 0, 1, 2, 3, 3, 3, 4, 4, 4]
    assert five["galaxy_mnist"] == [0, 2, 3, 4]
    assert five["gz_evo"] == [0, 2, 4, 3, 4, -1]
    assert set(LAYOUTS) <= set(PUBLISHED_CLASSES)
    # The words themselves agree with the five classes, whatever the order.
    words = {0: ("round",), 1: ("between",), 2: ("cigar",), 3: ("edge",), 4: ("spiral",)}
    for name, names in PUBLISHED_CLASSES.items():
        for i, text in enumerate(names):
            if five[name][i] >= 0:
                assert any(word in text.lower() for word in words[five[name][i]]), (name, text)
    assert len(FIVE_CLASSES) == 5


def test_classes_are_found_by_name_and_unknown_ones_refused():
    assert five_class_of("galaxy10_decals", GALAXY10_DECALS[3]) == 1  # not cigar-shaped
    assert published_name("galaxy10_decals", 3) == "In-between Round Smooth"
    assert five_class_of("galaxy10_sdss", GALAXY10_SDSS[3]) == 2
    assert five_class_of("gz_evo", GZ_EVO_SUMMARY[4]) == 4
    with pytest.raises(ValueError, match=r"galaxy_mnist has the classes 0 to 3 .*got 4"):
        five_class_of("galaxy_mnist", 4)
    with pytest.raises(ValueError, match="got 'blob'"):
        five_class_of("gz_evo", "blob")
    with pytest.raises(ValueError, match="got 10"):
        published_name("galaxy10_sdss", 10)
    with pytest.raises(KeyError, match="Sets with classes: galaxy10_decals"):
        five_class_of("galaxy11", 0)
    with pytest.raises(KeyError, match="Sets with classes: galaxy10_decals"):
        published_name("galaxy11", 0)
