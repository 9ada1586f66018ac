"""FITS files: positions, fluxes and bits survive; damage is noticed."""

import dataclasses

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS

from galhelpers.survey import TELESCOPES, linear_images, sample_galaxies
from galhelpers.survey.fits import write_fits

FIELD = 48.0  # arcsec


@pytest.fixture(scope="module")
def galaxy():
    truth = sample_galaxies(60, seed=8)
    small = (truth["petro_r90"] < 8) & (truth["kind"] == "smooth") & (truth["odd"] == "none")
    return truth[small].iloc[[0]]


def write(path, galaxy, telescope="sdss", **options):
    """One galaxy on 96 pixels; give what was written."""
    image = linear_images(galaxy, telescope, 96, field_of_view=FIELD, **options)[0].numpy()
    write_fits(path, image, galaxy.iloc[0], telescope, FIELD, seed=3)
    return image


def test_data_come_back_bit_for_bit(tmp_path, galaxy):
    image = write(tmp_path / "a.fits", galaxy)
    with fits.open(tmp_path / "a.fits", checksum=True) as file:
        assert [hdu.name for hdu in file] == ["PRIMARY", "I", "R", "G"]
        for plane, written in zip(file[1:], image, strict=True):
            assert plane.data.dtype.newbyteorder("=") == np.float32
            assert np.array_equal(plane.data, written[::-1])


def test_header_says_what_it_is(tmp_path, galaxy):
    write(tmp_path / "a.fits", galaxy)
    with fits.open(tmp_path / "a.fits") as file:
        header = {**file[0].header, **file[1].header}
    expected = {"TELESCOP": "sdss", "SEED": 3, "BUNIT": "nanomaggy", "MAGZERO": 22.5}
    expected |= {"OBJECT": str(galaxy["id"].iloc[0]), "PIXSCALE": 0.5, "SIMULATE": True}
    assert expected.items() <= header.items()


def test_the_middle_is_the_galaxy_and_ten_pixels_are_ten_pixels(tmp_path, galaxy):
    write(tmp_path / "a.fits", galaxy)
    with fits.open(tmp_path / "a.fits") as file:
        wcs = WCS(file["G"].header)
    ra, dec = galaxy[["ra", "dec"]].to_numpy()[0]
    middle = (96 - 1) / 2
    here = wcs.pixel_to_world(middle, middle)
    assert here.ra.deg == pytest.approx(ra, abs=1e-8)
    assert here.dec.deg == pytest.approx(dec, abs=1e-8)
    for step in ((10, 0), (0, 10), (-6, 8)):
        there = wcs.pixel_to_world(middle + step[0], middle + step[1])
        assert here.separation(there).arcsec == pytest.approx(10 * 0.5, rel=1e-6)
    assert wcs.pixel_to_world(middle, middle + 10).dec > here.dec  # up is north
    assert wcs.pixel_to_world(middle - 10, middle).ra > here.ra  # left is east


def test_a_source_above_and_left_in_the_picture_is_north_east(tmp_path, galaxy):
    image = np.zeros((3, 96, 96), dtype=np.float32)
    image[:, 20, 30] = 1.0  # row 20 from the top, column 30 from the left
    write_fits(tmp_path / "a.fits", image, galaxy.iloc[0], "sdss", FIELD)
    stored = fits.getdata(tmp_path / "a.fits", "R")
    row, column = np.argwhere(stored == 1.0)[0]
    wcs = WCS(fits.getheader(tmp_path / "a.fits", "R"))
    source = wcs.pixel_to_world(column, row)
    centre = SkyCoord(*galaxy[["ra", "dec"]].to_numpy()[0], unit="deg")
    east, north = centre.spherical_offsets_to(source)
    assert east.arcsec == pytest.approx((47.5 - 30) * 0.5, abs=1e-3)
    assert north.arcsec == pytest.approx((47.5 - 20) * 0.5, abs=1e-3)


def test_photometry_gives_the_true_magnitude(tmp_path, galaxy):
    calm = dataclasses.replace(TELESCOPES["sdss"], name="calm", psf_scatter=0.0, band_shift=0.0)
    write(tmp_path / "a.fits", galaxy, calm, noise=False, neighbours=False)
    with fits.open(tmp_path / "a.fits") as file:
        plane = file["R"]
        mag = plane.header["MAGZERO"] - 2.5 * np.log10(plane.data.sum(dtype=float))
    assert mag == pytest.approx(galaxy["mag"].iloc[0], abs=0.022)  # 2 %


def test_an_image_of_another_shape_is_refused(tmp_path, galaxy):
    with pytest.raises(ValueError, match=r"\(3, size, size\) for the bands i, r, g of sdss"):
        write_fits(tmp_path / "a.fits", np.zeros((96, 96)), galaxy.iloc[0], "sdss", FIELD)
    with pytest.raises(ValueError, match="above 0 arcsec, got 0"):
        write_fits(tmp_path / "a.fits", np.zeros((3, 8, 8)), galaxy.iloc[0], "sdss", 0)
    assert not list(tmp_path.iterdir())


def test_damage_shows_in_the_checksum(tmp_path, galaxy):
    write(tmp_path / "a.fits", galaxy)
    data = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "changed.fits").write_bytes(data[:-4000] + b"x" + data[-3999:])
    with (
        pytest.warns(AstropyUserWarning, match="Checksum|Datasum"),
        fits.open(tmp_path / "changed.fits", checksum=True) as file,
    ):
        assert file[-1].data is not None


def test_a_failed_write_leaves_the_old_file(tmp_path, galaxy, monkeypatch):
    write(tmp_path / "a.fits", galaxy)
    before = (tmp_path / "a.fits").read_bytes()

    def fail(self, *arguments, **options):
        raise OSError("disk full")

    monkeypatch.setattr(fits.HDUList, "writeto", fail)
    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "a.fits", galaxy)
    assert (tmp_path / "a.fits").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.fits"]
