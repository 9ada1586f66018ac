"""CANDELS: experts' ticks become fractions, and galaxies are cut out of a mosaic where they are."""

import gzip
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image

from galhelpers.data.sources.candels import (
    F160W_STRETCH,
    TICKS,
    Stretch,
    cut_stamps,
    expert_fractions,
    read_expert_table,
)
from galhelpers.data.sources.fits_stamps import _sky
from galhelpers.survey.fits import sky_of
from galhelpers.trees import CANDELS

# The columns that are read, and one after them, where VizieR's ReadMe says they stand.
COLUMNS = """\
   1-  2  I2    ---     Depth     Depth catalogs: 2, 4, or 10 epoch (G1)
   3-  7  A5    ---     ---       [epoch]
   9- 12  A4    ---     Area      GOODS-S Survey area: deep, wide, ers
  14- 17  A4    ---     ---       [GDS_]
  18- 29  A12   ---     ID        Object Identifier (1)
  31- 39  F9.6  deg     RAdeg     [52.99/53.27] Right Ascension (J2000)
  41- 50  F10.6 deg     DEdeg     [-28/-27.6] Declination (J2000)
  52- 56  I5    ---     Seq       [1/25807]?=-99 Sequential Object Identifier
                                   from another catalogue (G2)
  58- 64  F7.4  mag     Hmag      [13.7/25] H band magnitude
      66  I1    ---     ClSph     Morphology Class, Spheroid
      68  I1    ---     ClDk      Morphology Class, Disk
      70  I1    ---     ClIr      Morphology Class, Irregular
      72  I1    ---     ClPS      Morphology Class, Point Source / compact
      74  I1    ---     ClUn      Morphology Class, Unclassifiable
      76  I1    ---     ClInt     [0/4] Interaction Class (2)
 132-133  I2    ---     IDCl      [1/68] Individual Classifier code, 1-68
 135-253  A119  ---     Comm      Comments
"""


def write_tables(folder, rows, name="table2.dat"):
    """Write rows (depth, ID, ticks, expert) in the CDS's fixed columns, and the ReadMe."""
    rule = "-" * 80 + "\n"
    head = f"Byte-by-byte Description of file: table2.dat\n{rule}"
    head += f"   Bytes Format Units   Label     Explanations\n{rule}"
    note = "Note (2): Interaction Class as follows:\n    0 = none\n"
    (folder / "ReadMe").write_text("J/ApJS/221/11 (test)\n\n" + head + COLUMNS + rule + note + rule)
    lines = []
    for depth, identifier, ticks, expert in rows:
        line = f"{depth:2d}epoch deep GDS_{identifier:12s} 53.100000 -27.800000   -99 23.5000 "
        line += " ".join(ticks) + " 0"
        lines.append(f"{line:131s}{expert:2d} {'a blob?' if expert == 9 else ''}\n")
    content = "".join(lines).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path, folder / "ReadMe"


ROWS = [
    # The example of VizieR's ReadMe: of three, two tick spheroid, one disk, one irregular.
    (2, "deep2_10000", "10000", 1),
    (2, "deep2_10000", "11000", 2),
    (2, "deep2_10000", "00100", 9),
    (2, "deep2_7", "00010", 1),
    (2, "deep2_7", "00010", 2),
    (2, "wide2_3", "00000", 1),
    (2, "wide2_3", "00000", 2),
    (2, "wide2_3", "00000", 3),
    (10, "deep10_7", "00001", 1),
    (10, "deep10_7", "00001", 2),
    (10, "deep10_7", "01001", 3),
]


@pytest.mark.parametrize("name", ["table2.dat", "table2.dat.gz"])
def test_the_experts_table_is_read_as_the_readme_says(tmp_path, name):
    found = read_expert_table(*write_tables(tmp_path, ROWS, name))
    assert len(found) == len(ROWS)
    assert found["ID"].tolist()[:1] == ["GDS_deep2_10000"]
    assert found.loc[1, list(TICKS)].tolist() == [1, 1, 0, 0, 0]
    assert found.loc[0, ["ra", "dec", "h_mag", "Depth"]].tolist() == [53.1, -27.8, 23.5, 2]
    assert found["IDCl"].tolist()[:3] == [1, 2, 9]
    assert "Seq" in found
    assert not [column for column in found if column.startswith("---")]


def test_fractions_are_shares_of_ticks_or_of_classifiers(tmp_path):
    found = read_expert_table(*write_tables(tmp_path, ROWS))
    shares = expert_fractions(found)
    assert shares["ID"].tolist() == ["GDS_deep2_10000"]  # others: two experts, no ticks, depth 10
    columns = ["ID", "ra", "dec", "n_classifiers", "h_mag", *CANDELS.published]
    assert list(shares) == columns
    assert shares.loc[0, CANDELS.published].tolist() == [0.5, 0.25, 0.25, 0, 0]
    assert shares.loc[0, "n_classifiers"] == 3
    assert CANDELS.check(shares[CANDELS.published]) == []
    published = expert_fractions(found, share_of="classifiers")
    assert published.loc[0, CANDELS.published].tolist() == [2 / 3, 1 / 3, 1 / 3, 0, 0]
    two = expert_fractions(found, min_classifiers=2)
    assert two["ID"].tolist() == ["GDS_deep2_10000", "GDS_deep2_7"]
    assert two["p_point_source"].tolist() == [0, 1]
    deep = expert_fractions(found, depth=10)
    assert deep["p_unclassifiable"].tolist() == [0.75]
    with pytest.raises(ValueError, match=r"depth of 4 epochs, found none. Depths .*\[2, 10\]"):
        expert_fractions(found, depth=4)
    with pytest.raises(ValueError, match="share_of must be"):
        expert_fractions(found, share_of="people")


def test_tables_that_are_not_the_experts_are_refused(tmp_path):
    table, readme = write_tables(tmp_path, ROWS)
    other = table.rename(tmp_path / "experts.dat")
    with pytest.raises(ValueError, match=r"table that .*ReadMe describes.*same VizieR folder"):
        read_expert_table(other, readme)
    with pytest.raises(FileNotFoundError, match="VizieR, J/ApJS/221/11"):
        read_expert_table(table, readme)
    with pytest.raises(ValueError, match=r"are 0 or 1; 1 of 1 rows .*'ClDk': 7"):
        read_expert_table(*write_tables(tmp_path, [(2, "deep2_1", "17000", 1)]))
    with pytest.raises(ValueError, match="identifiers of letters and digits; 1 of 1"):
        read_expert_table(*write_tables(tmp_path, [(2, "../deep2", "10000", 1)]))
    table, readme = write_tables(tmp_path, ROWS, "table2.dat.gz")
    table.write_bytes(table.read_bytes()[:-30])
    with pytest.raises(ValueError, match="same VizieR folder"):
        read_expert_table(table, readme)
    table, readme = write_tables(tmp_path, ROWS)
    readme.write_text(readme.read_text().replace("ClUn ", "ClXx "))
    with pytest.raises(ValueError, match="lacks ClUn"):
        read_expert_table(table, readme)


def test_the_public_table_of_fractions_holds_shares_of_ticks(real_data):
    table = pd.read_csv(real_data / "candels_stamps" / "CANDELS_labels_kartaltepe15.csv")
    shares = table[CANDELS.published].to_numpy()
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-6)
    # Smallest number of ticks that gives a row. Three to five experts looked at most galaxies: one
    # tick each never makes sevenths, ninths or elevenths, several ticks do.
    ticks = np.zeros(len(shares), int)
    for n in range(12, 0, -1):
        whole = shares * n
        ticks[np.abs(whole - whole.round()).max(axis=1) < 1e-7] = n
    assert np.isin(ticks, [7, 9, 11]).mean() > 0.1
    assert (ticks > 0).mean() > 0.97


# --- stamps -----------------------------------------------------------------------------------

SCALE = 0.06  # arcsec a pixel
PLACES = np.array([[150.3, 160.8], [300.5, 100.5], [90.0, 240.0], [317.2, 204.6]])  # x, y from 0


def write_mosaic(path, places=PLACES, size=400, unit="ELECTRONS/S", change=None):
    """Write Gaussians of 3 px at known places, on noise, and give their sky positions."""
    wcs = sky_of(53.12, -27.8, SCALE, size)
    y, x = np.mgrid[:size, :size]
    image = np.random.default_rng(0).normal(0, 0.003, (size, size))
    for gx, gy in places:
        image += 2 * np.exp(-((x - gx) ** 2 + (y - gy) ** 2) / (2 * 3**2))
    header = wcs.to_header()
    header["BUNIT"] = unit
    hdu = fits.PrimaryHDU(image.astype(np.float32), header)
    if change:
        change(hdu)
    hdu.writeto(path)
    ra, dec = wcs.pixel_to_world_values(*np.transpose(places))
    ids = [f"GDS_deep2_{i}" for i in range(len(places))]
    return pd.DataFrame({"ID": ids, "ra": ra, "dec": dec})


def cut(mosaic, catalog, folder, **more):
    return cut_stamps(mosaic, catalog, folder, progress=False, **more)


def failures(folder):
    return dict(pd.read_csv(folder / "stamps_failures.csv").to_numpy())


def centroid(image):
    """Light-weighted middle (x, y), of what stands clearly above the noise."""
    light = np.where(image > 0.05, image, 0)
    y, x = np.mgrid[: len(image), : len(image)]
    return np.array([(light * x).sum(), (light * y).sum()]) / light.sum()


def test_galaxies_are_where_their_stamps_say(tmp_path):
    catalog = write_mosaic(tmp_path / "mosaic.fits")
    table = cut(tmp_path / "mosaic.fits", catalog, tmp_path, size=60)
    assert list(table) == ["id", "file", "fits"]
    assert table["id"].tolist() == catalog["ID"].tolist()
    assert failures(tmp_path) == {}
    for row, galaxy in zip(table.itertuples(), catalog.itertuples(), strict=True):
        image, header = fits.getdata(tmp_path / row.fits, header=True)
        assert image.shape == (60, 60)
        assert header["BITPIX"] == -32
        assert header["BUNIT"] == "ELECTRONS/S"
        assert header["MOSAIC"] == "mosaic.fits"
        assert header["OBJECT"] == galaxy.ID
        light = centroid(image)
        told = np.array(WCS(header).world_to_pixel_values(galaxy.ra, galaxy.dec))
        assert np.abs(light - told).max() < 0.1
        assert np.abs(light - 29.5).max() < 0.6  # whole pixels are cut
        with Image.open(tmp_path / row.file) as png:
            grey = np.asarray(png)
        assert np.array_equal(grey[::-1], F160W_STRETCH.grey(image)[::-1])
        assert grey.shape == (60, 60)
    # Exactly between four pixels is exactly the middle of an even stamp.
    image = fits.getdata(tmp_path / table["fits"][1])
    assert np.abs(centroid(image) - 29.5).max() < 0.1


def test_north_is_up_in_the_picture(tmp_path):
    # A second light north (larger y) of the first.
    catalog = write_mosaic(tmp_path / "m.fits", np.array([[200, 200], [200, 220]]))
    table = cut(tmp_path / "m.fits", catalog[:1], tmp_path)
    with Image.open(tmp_path / table["file"][0]) as png:
        grey = np.asarray(png).astype(int)
    assert grey[42 - 20, 42] > 150 > grey[42 + 20, 42]


def test_galaxies_without_a_good_stamp_are_listed(tmp_path):
    places = np.array(
        [[200, 200], [20, 200], [-300, 200], [100, 100], [300, 300], [100, 300], [390, 390]]
    )

    def spoil(hdu):
        hdu.data[100, 110] = np.nan
        hdu.data[250:350, 250:350] = 0
        hdu.data[250:280, 50:150] = 0  # the exposure's own edge

    catalog = write_mosaic(tmp_path / "m.fits", places, change=spoil)
    behind = pd.DataFrame({"ID": ["behind"], "ra": [233.12], "dec": [27.8]})
    catalog = pd.concat([catalog, behind], ignore_index=True)
    table = cut(tmp_path / "m.fits", catalog, tmp_path)
    assert table["id"].tolist() == ["GDS_deep2_0"]
    assert failures(tmp_path) == {
        "GDS_deep2_1": "reaches over the edge of the mosaic",
        "GDS_deep2_2": "outside of the mosaic",
        "GDS_deep2_3": "1 of its 7056 pixels have no value (NaN)",
        "GDS_deep2_4": "100% of its pixels were not exposed (exactly 0)",
        "GDS_deep2_5": "26% of its pixels were not exposed (exactly 0)",
        "GDS_deep2_6": "reaches over the edge of the mosaic",
        "behind": "outside of the mosaic",
    }
    names = sorted(file.name for file in tmp_path.rglob("*") if file.is_file())
    # Not failures.csv: that is the list of the image services.
    assert names == ["GDS_deep2_0.fits", "GDS_deep2_0.png", "m.fits", "stamps_failures.csv"]


def test_stamps_are_kept_unless_something_changed(tmp_path):
    catalog = write_mosaic(tmp_path / "m.fits")
    table = cut(tmp_path / "m.fits", catalog, tmp_path)
    files = [tmp_path / name for name in (*table["file"], *table["fits"])]
    times = [file.stat().st_mtime_ns for file in files]
    (tmp_path / table["file"][0]).unlink()
    png, stamp = tmp_path / table["file"][1], tmp_path / table["fits"][2]
    png.write_bytes(png.read_bytes()[:-9])
    stamp.write_bytes(b"")
    assert cut(tmp_path / "m.fits", catalog, tmp_path).equals(table)
    kept = [file.stat().st_mtime_ns == then for file, then in zip(files, times, strict=True)]
    assert kept == [False, False, False, True] * 2
    assert fits.getdata(stamp).shape == (84, 84)
    moved = catalog.assign(ra=catalog["ra"] + 1e-4)  # another place under the same name
    cut(tmp_path / "m.fits", moved, tmp_path)
    assert fits.getheader(stamp)["RA_OBJ"] == moved["ra"][2]
    cut(tmp_path / "m.fits", moved, tmp_path, size=32)
    assert fits.getdata(stamp).shape == (32, 32)
    before = png.read_bytes()
    cut(tmp_path / "m.fits", moved, tmp_path, size=32, stretch=Stretch(0, 1, 5))
    assert png.read_bytes() != before


def test_distortion_that_a_mosaic_no_longer_has_is_left_out(tmp_path):
    def leave_polynomials(hdu):
        hdu.header.update({"A_ORDER": 2, "B_ORDER": 2, "A_0_2": 1e-3, "B_2_0": 1e-3})

    catalog = write_mosaic(tmp_path / "m.fits", change=leave_polynomials)
    table = cut(tmp_path / "m.fits", catalog, tmp_path, size=60)
    for name in table["fits"]:
        image, header = fits.getdata(tmp_path / name, header=True)
        assert "A_ORDER" not in header
        assert np.abs(centroid(image) - 29.5).max() < 0.6


def test_scaled_integers_and_extensions_are_read(tmp_path):
    catalog = write_mosaic(tmp_path / "m.fits")
    with fits.open(tmp_path / "m.fits") as file:
        extension = fits.ImageHDU(file[0].data, file[0].header, name="SCI")
        extension.scale("int16", bscale=1e-4, bzero=1)
        fits.HDUList([fits.PrimaryHDU(), extension]).writeto(tmp_path / "e.fits")
    assert fits.getheader(tmp_path / "e.fits", 1)["BITPIX"] == 16
    table = cut(tmp_path / "e.fits", catalog, tmp_path, size=60)
    image = fits.getdata(tmp_path / table["fits"][1])
    assert image.max() == pytest.approx(2 * np.exp(-2 * 0.5**2 / 18), rel=0.01)
    assert np.abs(centroid(image) - 29.5).max() < 0.1


def test_a_mosaic_that_cannot_be_cut_says_why(tmp_path):
    path = tmp_path / "m.fits"
    catalog = write_mosaic(path)
    whole = path.read_bytes()
    packed = tmp_path / "m.fits.gz"
    packed.write_bytes(gzip.compress(whole, 1))
    with pytest.raises(ValueError, match=r"packed with gzip.*gunzip m\.fits\.gz"):
        cut(packed, catalog, tmp_path)
    with pytest.raises(FileNotFoundError, match="Download it"):
        cut(tmp_path / "none.fits", catalog, tmp_path)
    path.write_bytes(whole[:200_000])
    with pytest.raises(ValueError, match=r"is cut off: .*\(400, 400\).*200,000"):
        cut(path, catalog, tmp_path)
    path.write_bytes(b"<!DOCTYPE html>" * 300)
    with pytest.raises(ValueError, match="should be a FITS file"):
        cut(path, catalog, tmp_path)
    fits.PrimaryHDU().writeto(path, overwrite=True)
    with pytest.raises(ValueError, match="image of two dimensions; it holds none"):
        cut(path, catalog, tmp_path)
    fits.PrimaryHDU(np.ones((100, 100))).writeto(path, overwrite=True)
    with pytest.raises(ValueError, match="CTYPE1 is 'missing'"):
        cut(path, catalog, tmp_path)
    write_mosaic(tmp_path / "jy.fits", unit="nJy")
    with pytest.raises(ValueError, match="is in 'nJy'; the default stretch is for electrons/s"):
        cut(tmp_path / "jy.fits", catalog, tmp_path)
    assert len(cut(tmp_path / "jy.fits", catalog, tmp_path, stretch=Stretch(-1, 1, 100))) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ID": ["a", "b", "A", "c"]}, "each identifier once in the catalogue; 1 rows .* row 2"),
        ({"ID": ["a", "b", "../c", "d"]}, "can be file names in the catalogue; 1 rows .* row 2"),
        ({"ID": ["a", "b", "nul.x", "d"]}, "can be file names in the catalogue; 1 rows .* row 2"),
        ({"ID": ["a", "b", "c", "d."]}, "can be file names in the catalogue; 1 rows .* row 3"),
        ({"ra": [1, 2, np.nan, 3]}, "0 <= ra < 360 .* row 2"),
        ({"dec": [1, 2, 3, 91]}, "-90 <= dec <= 90 degrees .* row 3"),
    ],
)
def test_a_wrong_catalogue_is_refused(tmp_path, change, message):
    catalog = write_mosaic(tmp_path / "m.fits").assign(**change)
    with pytest.raises(ValueError, match=message):
        cut(tmp_path / "m.fits", catalog, tmp_path)
    with pytest.raises(ValueError, match=r"columns id \(or ID\), ra and dec; it has ra, dec"):
        cut(tmp_path / "m.fits", catalog[["ra", "dec"]], tmp_path)


def test_a_mosaic_of_400_mb_is_never_in_memory(tmp_path):
    side, path = 10_000, tmp_path / "large.fits"
    header = sky_of(53.12, -27.8, SCALE, side).to_header()
    shape = {"SIMPLE": True, "BITPIX": -32, "NAXIS": 2, "NAXIS1": side, "NAXIS2": side}
    header = fits.Header([*shape.items(), *header.cards])
    header.tofile(path)
    data = path.stat().st_size
    stamp = np.random.default_rng(0).normal(0, 0.01, (200, side)).astype(">f4")
    with path.open("r+b") as file:  # a hole in the file but for 200 rows in the middle
        file.truncate(data + -(-4 * side * side // 2880) * 2880)
        file.seek(data + 4 * side * (side // 2 - 100))
        file.write(stamp.tobytes())
    ra = 53.12 + np.linspace(-0.08, 0.08, 40)
    catalog = pd.DataFrame({"id": [f"g{i}" for i in range(40)], "ra": ra, "dec": -27.8})
    del stamp
    tracemalloc.start()
    table = cut(path, catalog, tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(table) == 40
    assert peak < 20e6, f"{peak / 1e6:.0f} MB in memory"


# --- the stretch and real stamps --------------------------------------------------------------


def test_the_stretch_is_the_same_for_all_and_keeps_the_order():
    flux = np.array([[-1, -0.02, 0, 0.01], [0.1, 1, 10, 100]])
    grey = F160W_STRETCH.grey(flux)[::-1].ravel().astype(int)
    assert grey[[0, 1, 6, 7]].tolist() == [0, 0, 255, 255]
    assert (np.diff(grey[1:7]) > 0).all()
    expected = 255 * (np.arcsinh(100) + np.arcsinh(2)) / (np.arcsinh(1000) + np.arcsinh(2))
    assert grey[5] == round(expected)


@pytest.mark.filterwarnings("ignore")  # their headers are as old IDL code wrote them
def test_real_stamps_look_like_galaxies(real_data, tmp_path):
    centres = {}
    # Their headers have thousands of lines; four of the seventeen keep the test short.
    for name in ("ers2_14393", "wide2_14393", "deep2_6739", "wide2_1468"):
        file = real_data / "candels_stamps" / f"GDS_{name}_h.fits"
        with fits.open(file) as stamp:
            header = stamp[0].header
            place = _sky(header, file).pixel_to_world_values(41.5, 41.5)
        centres[name] = np.array(place)
        catalog = pd.DataFrame({"ID": [name], "ra": [place[0]], "dec": [place[1]]})
        table = cut(file, catalog, tmp_path, size=64)
        with Image.open(tmp_path / table["file"][0]) as png:
            grey = np.asarray(png)
        # The sky is dark grey, neither lost in black nor bright, and the galaxy stands out of it.
        assert 20 < np.percentile(grey, 20) < 90
        assert grey[22:42, 22:42].max() > np.median(grey) + 60
        assert np.mean(grey == 255) < 0.01
    # One galaxy in two mosaics: the coordinates agree once the left-over distortion is left out.
    shift = (centres["ers2_14393"] - centres["wide2_14393"]) * 3600
    assert np.abs(shift).max() < 0.2
