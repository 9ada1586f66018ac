"""Cutouts from image services, against a server of our own that answers as they do."""

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galhelpers.data.votes.catalogue_files import read_table
from galhelpers.data.web import cutout_requests, cutouts
from galhelpers.data.web.cutout_catalog import same_frames
from galhelpers.data.web.cutout_checks import empty_reason, fits_problem, jpeg_problem
from galhelpers.data.web.cutouts import (
    SERVICES,
    Pace,
    cutout_params,
    cutout_url,
    fetch_cutouts,
    gz2_pixel_scale,
    sdss_radii,
)
from galhelpers.data.web.services import FetchError
from tests.data.web.sky_server import SkyServer, galaxy, half_empty, jpeg, message

SIZE = 64
FAST = {"size": SIZE, "per_second": np.inf, "backoff": 0.01, "timeout": (2, 2), "progress": False}


MANIFEST = """
schema_version: 1
services: {sdss: http://sdss.invalid, legacy_survey: http://legacy.invalid}
datasets:
  - {name: simulated, title: Simulated, kind: simulated, layout: none, size_display: nothing,
     has_fractions: false, licence: none, citation: [nobody]}
"""


@pytest.fixture
def manifest(tmp_path_factory, monkeypatch):
    """A small one: the course's takes a tenth of a second to read, at each call."""
    file = tmp_path_factory.mktemp("manifest") / "manifest.yaml"
    file.write_text(MANIFEST)
    monkeypatch.setenv("GALHELPERS_MANIFEST", str(file))


@pytest.fixture
def sky(manifest, monkeypatch):
    with SkyServer() as server:
        monkeypatch.setenv("GALHELPERS_URL_SDSS", server.url)
        monkeypatch.setenv("GALHELPERS_URL_LEGACY_SURVEY", server.url + "/")
        yield server


def galaxies(n):
    rows = np.arange(n)
    return pd.DataFrame(
        {
            "id": [f"g{row}" for row in rows],
            "ra": 10 + rows / 1000,
            "dec": -5 + rows / 1000,
            "petro_r90": 10.0,
        }
    )


def failures(folder):
    return pd.read_csv(folder / "failures.csv", dtype={"id": str}).set_index("id")


def files(folder):
    return sorted(file.name for file in (folder / "images").iterdir())


def test_recipe_of_galaxy_zoo_2():
    assert gz2_pixel_scale([19.8, 0.0]) == pytest.approx([0.396, 0.0])


def test_parameters_in_the_words_of_each_service(monkeypatch):
    assert cutout_params("sdss", 359.9999999, -1.5, 0.396127, 424) == {
        "ra": "0.000000",
        "dec": "-1.500000",
        "scale": "0.396127",
        "width": "424",
        "height": "424",
    }
    params = cutout_params("legacy_fits", 1.0, 2.0, 0.262, 256, layer="ls-dr10")
    assert params["pixscale"] == "0.262"
    assert params["size"] == "256"
    assert params["layer"] == "ls-dr10"
    assert params["bands"] == "grz"
    assert cutout_params("legacy", 1.0, 2.0, 0.262, 256)["layer"] == "ls-dr9"
    monkeypatch.delenv("GALHELPERS_URL_SDSS", raising=False)
    assert cutout_url("sdss", 18) == "https://skyserver.sdss.org/dr18/SkyServerWS/ImgCutout/getjpeg"
    with pytest.raises(ValueError, match="Expected one of sdss, legacy, legacy_fits"):
        cutout_params("hst", 1, 2, 3, 4)


@pytest.mark.parametrize("service", ["sdss", "legacy"])
def test_one_picture_a_galaxy_and_a_second_call_asks_for_nothing(sky, tmp_path, service):
    table = galaxies(20)
    report = fetch_cutouts(table, tmp_path, service, **FAST)
    assert (report.done, report.already_there, report.failed) == (20, 0, 0)
    assert report.failures is None
    assert files(tmp_path) == sorted(f"{name}.jpg" for name in table["id"])
    for row in table.itertuples():
        content = (tmp_path / "images" / f"{row.id}.jpg").read_bytes()
        assert content == sky.picture(row.ra, row.dec, SIZE)
    assert report.bytes == sum(f.stat().st_size for f in (tmp_path / "images").iterdir())
    assert sky.connections <= 4  # kept open
    assert 2 <= sky.busiest <= 4 or report.seconds < 0.2
    again = fetch_cutouts(table, tmp_path, service, **FAST)
    assert (again.done, again.already_there, again.failed) == (0, 20, 0)
    assert sum(sky.requests.values()) == 20
    settings = json.loads((tmp_path / "cutouts.json").read_text())
    assert settings["pixel_scale"] == "0.02 petro_r90"
    assert SERVICES[service].credit in settings["credit"]


def test_fits(sky, tmp_path):
    table = galaxies(7)
    for row, kind in enumerate(
        ["", "empty", "nan", "half empty", "wrong size", "html", "truncated"]
    ):
        sky.fault(table["ra"][row], table["dec"][row], kind, forever=True)
    report = fetch_cutouts(table, tmp_path, "legacy_fits", pixel_scale=0.262, **FAST)
    assert files(tmp_path) == ["g0.fits"]
    assert report.failed == 6
    reasons = failures(tmp_path)["reason"]
    for name, words in {
        "g1": "empty frame of zeros",
        "g2": "NaN",
        "g3": "partly outside the survey",
        "g4": "expected 3 x 64 x 64 pixels, came 3 x 32 x 32",
        "g5": "text: Down for maintenance",
        "g6": "incomplete",
    }.items():
        assert words in reasons[name]


PASSING_FAULTS = ["503", "429", "drop", "truncated", "nothing"]


@pytest.mark.parametrize("kind", PASSING_FAULTS)
def test_what_passes_is_asked_for_again(sky, tmp_path, kind):
    table = galaxies(6)
    sky.fault(table["ra"][2], table["dec"][2], kind, kind)
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.failed) == (6, 0)
    assert sky.requests[sky.key(table["ra"][2], table["dec"][2])] == 3
    content = (tmp_path / "images" / "g2.jpg").read_bytes()
    assert content == sky.picture(table["ra"][2], table["dec"][2], SIZE)


@pytest.mark.parametrize(
    ("kind", "attempts", "words"),
    [
        ("503", 3, "the server answered 503 Service Unavailable: Trouble"),
        ("drop", 3, "broke off"),
        ("slow", 3, "too slow"),
        ("truncated", 3, "incomplete or damaged"),
        ("403", 1, "the server answered 403"),
        ("404", 1, "the server answered 404"),
        ("404 footprint", 1, "outside the survey"),
        ("html", 1, "expected a JPEG, came text: SkyServer Down for maintenance"),
        ("error image", 1, "error image"),
        ("white error image", 1, "error image"),
        ("empty", 1, "empty frame of one colour"),
        ("half empty", 1, "partly outside the survey"),
        ("wrong size", 1, "expected 64 x 64 pixels, came 32 x 32"),
        ("grey", 1, "expected colours"),
    ],
)
def test_what_is_no_galaxy_is_listed_and_not_saved(sky, tmp_path, kind, attempts, words):
    table = galaxies(6)
    bad = table.iloc[3]
    sky.fault(bad["ra"], bad["dec"], kind, forever=True)
    settings = FAST | {"timeout": (2, 0.1 if kind == "slow" else 2), "attempts": 3}
    report = fetch_cutouts(table, tmp_path, **settings)
    assert (report.done, report.failed) == (5, 1)
    assert report.failures == tmp_path / "failures.csv"
    assert "g3.jpg" not in files(tmp_path)
    listed = failures(tmp_path)
    assert list(listed.index) == ["g3"]
    row = listed.loc["g3"]
    assert words in row["reason"]
    assert row["attempts"] == attempts == sky.requests[sky.key(bad["ra"], bad["dec"])]
    assert row["url"].startswith(f"{sky.url}/dr17/SkyServerWS/ImgCutout/getjpeg?ra=10.003")
    assert row["ra"] == bad["ra"]
    # Next time it works: fetched, and off the list.
    sky.fault(bad["ra"], bad["dec"])
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.already_there, report.failed) == (1, 5, 0)
    assert not (tmp_path / "failures.csv").exists()


def test_a_galaxy_without_a_radius_is_a_failure_without_a_request(sky, tmp_path):
    table = galaxies(5)
    table.loc[:2, "petro_r90"] = [np.nan, -9999, 1e6]
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.failed) == (2, 3)
    listed = failures(tmp_path)
    assert listed["reason"].str.contains("no radius").tolist() == [True, True, False]
    assert "20000 arcsec is outside 0.015 to 60" in listed.loc["g2", "reason"]
    assert (listed["attempts"] == 0).all()
    assert sum(sky.requests.values()) == 2


def test_failures_are_those_of_the_present_catalogue(sky, tmp_path):
    table = galaxies(5)
    for row in (0, 4):
        sky.fault(table["ra"][row], table["dec"][row], "empty", forever=True)
    fetch_cutouts(table[:2], tmp_path, **FAST)
    assert list(failures(tmp_path).index) == ["g0"]
    report = fetch_cutouts(table[2:], tmp_path, **FAST)
    assert (report.done, report.failed) == (2, 1)
    assert list(failures(tmp_path).index) == ["g4"]
    report = fetch_cutouts(table[2:4], tmp_path, **FAST)
    assert (report.failed, report.failures) == (0, None)
    assert not (tmp_path / "failures.csv").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="dec"), "there is no dec among id, ra, petro_r90"),
        (lambda t: t.drop(columns="petro_r90"), "such as 0.396127"),
        (lambda t: t.assign(id=["a", "../b", "c"]), r"row 1: '\.\./b'"),
        (lambda t: t.assign(id=["a", ".b", "NUL.x"]), "row 1: '.b', row 2: 'NUL.x'"),
        (lambda t: t.assign(id=["a", "b", "A"]), "row 0: 'a', row 2: 'A'"),
        (lambda t: t.assign(id=[1.0, 2.0, 1.2e18]), "text or a whole number"),
        (lambda t: t.assign(id=["a", None, "b"]), "row 1"),
        (lambda t: t.assign(ra=[0, 361, -181]), r"ra: expected .* row 1: 361, row 2: -181"),
        (lambda t: t.assign(ra=[0, np.inf, 1]), "row 1: inf"),
        (lambda t: t.assign(dec=[0, 91, -90]), "row 1: 91.$"),
        (lambda t: t.assign(dec=[0, 9, "north"]), "expected degrees, as numbers; found row 2: 'no"),
    ],
)
def test_a_bad_catalogue_is_refused_with_its_rows(sky, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        fetch_cutouts(change(galaxies(3)), tmp_path, **FAST)
    assert not sky.requests


def test_names_and_numbers_that_catalogues_use(sky, tmp_path):
    table = galaxies(3)
    table["id"] = np.array([1237661387086693265, 2, 3])
    fetch_cutouts(table, tmp_path, **FAST)
    assert files(tmp_path)[0] == "1237661387086693265.jpg"
    table["id"] = ["J102532.37+052459.3", "J102532.37-052459.3", "NA"]
    assert fetch_cutouts(table, tmp_path, **FAST).done == 3


def test_positions_as_catalogues_write_them(sky, tmp_path):
    table = galaxies(6).assign(ra=[-180.0, -0.5, 0.0, 360.0, 359.5, np.nan])
    table.loc[4, "dec"] = np.nan
    table.loc[5, "petro_r90"] = np.nan
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.failed) == (4, 2)
    listed = failures(tmp_path)
    assert listed["reason"].to_dict() == {"g4": "no position", "g5": "no position"}
    assert (listed["attempts"] == 0).all()
    asked = {key.partition(" ")[0] for key in sky.requests}
    assert asked == {"180.0000", "359.5000", "0.0000"}
    table["ra"] %= 360  # the same places
    assert fetch_cutouts(table, tmp_path, **FAST).already_there == 4


def saved(folder, name, sky, row):
    """Say whether the picture is the one of this position."""
    content = (folder / "images" / f"{name}.jpg").read_bytes()
    return content == sky.picture(row["ra"], row["dec"], SIZE)


def test_the_same_name_at_another_place_is_another_galaxy(sky, tmp_path):
    table = galaxies(5)
    fetch_cutouts(table, tmp_path, **FAST)
    moved = table.copy()
    moved.loc[1, "ra"] += 0.0003
    moved.loc[2, "dec"] -= 0.0005
    moved.loc[3, "petro_r90"] = 10.1
    report = fetch_cutouts(moved, tmp_path, **FAST)
    assert (report.done, report.already_there) == (3, 2)
    assert all(saved(tmp_path, f"g{i}", sky, moved.iloc[i]) for i in range(5))
    assert not saved(tmp_path, "g1", sky, table.iloc[1])
    assert fetch_cutouts(moved, tmp_path, **FAST).already_there == 5
    assert fetch_cutouts(table, tmp_path, **FAST).done == 3
    assert saved(tmp_path, "g1", sky, table.iloc[1])
    listed = pd.read_csv(tmp_path / "pictures.csv").drop_duplicates("id", keep="last")
    listed = listed.set_index("id").sort_index()
    np.testing.assert_array_equal(listed[["ra", "dec"]], table[["ra", "dec"]])
    assert (listed["pixel_scale"] == 0.2).all()


def test_a_picture_of_another_place_does_not_stand_in(sky, tmp_path):
    table = galaxies(3)
    fetch_cutouts(table, tmp_path, **FAST)
    moved = table.assign(dec=table["dec"] + 1)
    moved.loc[2, "ra"] = np.nan
    sky.fault(moved["ra"][0], moved["dec"][0], "empty", forever=True)
    report = fetch_cutouts(moved, tmp_path, **FAST)
    assert (report.done, report.failed) == (1, 2)
    assert files(tmp_path) == ["g1.jpg"]


def test_killed_while_the_list_of_pictures_grows(sky, tmp_path):
    table = galaxies(4)
    fetch_cutouts(table, tmp_path, **FAST)
    file = tmp_path / "pictures.csv"
    lines = file.read_text().splitlines()
    last = lines[-1].partition(",")[0]
    for length in (len(last), len(last) + 1, len(last) + 4, len(lines[-1]) - 3):
        file.write_text("\n".join([*lines[:-1], lines[-1][:length]]))
        (tmp_path / "images" / f"{last}.jpg").unlink(missing_ok=True)  # it comes after its line
        report = fetch_cutouts(table, tmp_path, **FAST)
        assert (report.done, report.already_there) == (1, 3)
        assert sorted(pd.read_csv(file)["id"].unique()) == sorted(table["id"])
        assert fetch_cutouts(table, tmp_path, **FAST).already_there == 4


@pytest.mark.parametrize("step", ["atomic_write", "PictureList.add"])
@pytest.mark.parametrize("first", ["old", "new"])
def test_killed_between_the_list_and_the_picture(sky, tmp_path, monkeypatch, step, first):
    tables = {"old": galaxies(2)}
    tables["new"] = tables["old"].assign(dec=tables["old"]["dec"] + 0.0003)
    fetch_cutouts(tables["old"], tmp_path, **FAST)

    def no_room(*_):
        raise OSError("as if the process ended here")

    with monkeypatch.context() as patch:
        patch.setattr(f"galhelpers.data.web.cutouts.{step}", no_room)
        with pytest.raises(OSError, match="ended here"):
            fetch_cutouts(tables["new"], tmp_path, **FAST | {"workers": 1})
    # Neither table finds a picture of the other under its name.
    fetch_cutouts(tables[first], tmp_path, **FAST)
    assert all(saved(tmp_path, f"g{i}", sky, tables[first].iloc[i]) for i in range(2))


def test_without_the_list_nobody_knows_what_pictures_show(sky, tmp_path):
    table = galaxies(4)
    fetch_cutouts(table, tmp_path, **FAST)
    (tmp_path / "pictures.csv").unlink()
    assert fetch_cutouts(table, tmp_path, **FAST).done == 4
    assert fetch_cutouts(table, tmp_path, **FAST).already_there == 4


def test_what_others_keep_among_the_pictures_stays(sky, tmp_path):
    images = tmp_path / "images"
    (images / ".part1.partial-0").mkdir(parents=True)
    (images / ".g1.jpg.abcdefgh.jpg").mkdir()
    others = [".part1.lock", ".DS_Store", ".hidden.jpg", ".part2.zip.part", ".g0.png.abcdefgh.png"]
    for name in others:
        (images / name).write_bytes(b"x")
    for unfinished in (".g0.jpg.abcdefg1.jpg", ".J10.5+2.jpg._bcdefg1.jpg"):
        (images / unfinished).write_bytes(b"x")
    assert fetch_cutouts(galaxies(2), tmp_path, **FAST).done == 2
    kept = [".part1.partial-0", ".g1.jpg.abcdefgh.jpg", "g0.jpg", "g1.jpg", *others]
    assert files(tmp_path) == sorted(kept)


def test_other_settings_need_another_folder(sky, tmp_path):
    fetch_cutouts(galaxies(2), tmp_path, **FAST)
    for change in ({"size": 80}, {"release": 16}, {"pixel_scale": 0.4}):
        with pytest.raises(ValueError, match=r"other settings .* there, .* now"):
            fetch_cutouts(galaxies(3), tmp_path, **FAST | change)
    with pytest.raises(ValueError, match="service: sdss there, legacy now"):
        fetch_cutouts(galaxies(3), tmp_path, "legacy", **FAST)
    assert sum(sky.requests.values()) == 2
    # What the message advises works, and so does deleting the settings alone.
    with pytest.raises(ValueError, match=r"delete images, pictures\.csv and cutouts\.json in it"):
        fetch_cutouts(galaxies(2), tmp_path, **FAST | {"size": 80})
    (tmp_path / "cutouts.json").unlink()
    assert fetch_cutouts(galaxies(2), tmp_path, **FAST | {"size": 80}).done == 2
    with Image.open(tmp_path / "images" / "g1.jpg") as image:
        assert image.size == (80, 80)


def test_a_catalogue_from_a_file_is_refused_with_its_lines(manifest, tmp_path):
    file = tmp_path / "table.csv"
    galaxies(4).assign(dec=[0, 1, -95, 95]).to_csv(file, index=False)
    table = read_table(file)
    with pytest.raises(ValueError, match=r"line 4: -95.*, line 5: 95"):
        fetch_cutouts(table, tmp_path, **FAST)
    with pytest.raises(ValueError, match="found line 5: 95"):
        fetch_cutouts(table.iloc[[1, 3]], tmp_path, **FAST)


@pytest.mark.parametrize(
    ("service", "change", "words"),
    [
        ("sdss", {"size": 4000}, "64 to 2048 pixels"),
        ("sdss", {"layer": "ls-dr9"}, "no layers"),
        ("legacy", {"release": 17}, "no release"),
        ("sdss", {"per_second": 0}, "per_second"),
        ("sdss", {"workers": 0}, "worker"),
        ("sdss", {"pixel_scale": -1.0}, "pixel_scale above 0"),
    ],
)
def test_settings_that_cannot_work(manifest, tmp_path, service, change, words):
    with pytest.raises(ValueError, match=words):
        fetch_cutouts(galaxies(2), tmp_path, service, **FAST | change)


def test_a_service_that_does_not_work_is_left_alone(sky, tmp_path, monkeypatch):
    table = galaxies(300)
    for row in table[20:].itertuples():
        sky.fault(row.ra, row.dec, "403", forever=True)
    with pytest.raises(FetchError, match=r"403.*What has arrived is kept"):
        fetch_cutouts(table, tmp_path, **FAST)
    assert len(files(tmp_path)) == 20
    assert cutouts.GIVE_UP_AFTER <= len(failures(tmp_path)) < 120
    assert sum(sky.requests.values()) < 120


def test_the_galaxies_that_failed_come_last(sky, tmp_path):
    table = galaxies(40)
    for row in table[:8].itertuples():
        sky.fault(row.ra, row.dec, "403", forever=True)
    with pytest.raises(FetchError):
        fetch_cutouts(table, tmp_path, **FAST | {"workers": 1})
    report = fetch_cutouts(table, tmp_path, **FAST | {"workers": 1})
    assert report.failed == 8
    assert report.done + report.already_there == 32


def test_many_positions_outside_the_survey_are_no_reason_to_stop(sky, tmp_path):
    sky.outside = lambda ra, dec: True
    report = fetch_cutouts(galaxies(70), tmp_path, **FAST)
    assert (report.done, report.failed) == (0, 70)


def test_nobody_answers(manifest, tmp_path, monkeypatch):
    with SkyServer() as server:
        url = server.url
    monkeypatch.setenv("GALHELPERS_URL_SDSS", url.replace("//", "//somebody:secret@"))
    with pytest.raises(FetchError, match=r"Nothing answers at 127\.0\.0\.1") as caught:
        fetch_cutouts(galaxies(30), tmp_path, **FAST)
    assert "secret" not in str(caught.value)
    assert "secret" not in (tmp_path / "failures.csv").read_text()


@pytest.mark.parametrize("n", [1, 3])
def test_nobody_answers_about_a_few_galaxies(manifest, tmp_path, monkeypatch, n):
    with SkyServer() as server:
        monkeypatch.setenv("GALHELPERS_URL_SDSS", server.url)
    for _ in range(2):
        with pytest.raises(FetchError, match="Nothing answers"):
            fetch_cutouts(galaxies(n), tmp_path, **FAST)
        assert len(failures(tmp_path)) == n


def test_a_service_that_went_away_is_noticed_with_few_new_galaxies(sky, tmp_path):
    table = galaxies(4)
    fetch_cutouts(table[:2], tmp_path, **FAST)
    for row in table[2:].itertuples():
        sky.fault(row.ra, row.dec, "403", forever=True)
    with pytest.raises(FetchError, match="403"):
        fetch_cutouts(table, tmp_path, **FAST)


@pytest.mark.parametrize("n", [1, 30])
def test_galaxies_that_fail_for_good_do_not_make_the_second_call_fail(sky, tmp_path, n):
    table = galaxies(40)
    for row in table[:n].itertuples():
        sky.fault(row.ra, row.dec, "404", forever=True)
    first = fetch_cutouts(table[::-1], tmp_path, **FAST)
    again = fetch_cutouts(table[::-1], tmp_path, **FAST)
    assert (first.done, first.failed) == (40 - n, n)
    assert (again.done, again.already_there, again.failed) == (0, 40 - n, n)
    assert len(failures(tmp_path)) == n


def test_a_login_page_in_between(sky, tmp_path):
    table = galaxies(30)
    for row in table.itertuples():
        sky.fault(row.ra, row.dec, "html", forever=True)
    with pytest.raises(FetchError, match="your network wants a login"):
        fetch_cutouts(table, tmp_path, **FAST)
    assert files(tmp_path) == []


def test_retry_after_slows_all_workers(sky, tmp_path):
    table = galaxies(12)
    sky.retry_after = "1"
    sky.fault(table["ra"][4], table["dec"][4], "429")
    report = fetch_cutouts(table, tmp_path, **FAST | {"per_second": 50})
    assert (report.done, report.failed) == (12, 0)
    key = sky.key(table["ra"][4], table["dec"][4])
    refused = next(moment for moment, asked in sky.times if asked == key)
    after = [moment - refused for moment, _ in sky.times if moment > refused + 0.1]
    assert min(after) > 0.9


def test_who_is_asked_to_wait_too_long_is_told(sky, tmp_path):
    table = galaxies(5)
    sky.retry_after = "3600"
    sky.fault(table["ra"][1], table["dec"][1], "429", forever=True)
    with pytest.raises(FetchError, match=r"slow down .* in 60 minutes"):
        fetch_cutouts(table, tmp_path, **FAST)


def test_answers_without_end(sky, tmp_path, monkeypatch):
    table = galaxies(5)
    kinds = {1: "large", 2: "gzip", 3: "drip"}
    for row, kind in kinds.items():
        sky.fault(table["ra"][row], table["dec"][row], kind, forever=True)
    monkeypatch.setattr(cutout_requests, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(cutout_requests, "SLOWEST", 2)
    start = time.monotonic()
    settings = FAST | {"attempts": 1, "timeout": (1, 0.3)}
    report = fetch_cutouts(table, tmp_path, **settings)
    assert time.monotonic() - start < 3
    assert (report.done, report.failed) == (2, 3)
    reasons = failures(tmp_path)["reason"]
    assert reasons["g1"] == reasons["g2"] == "the answer is too large"
    assert "too slow" in reasons["g3"]
    assert sky.sent_for_nothing < 20 << 20


def test_a_compressed_answer_is_understood(sky, tmp_path):
    """Some servers compress although they were asked not to."""
    table = galaxies(1)
    sky.fault(table["ra"][0], table["dec"][0], "compressed", forever=True)
    assert fetch_cutouts(table, tmp_path, **FAST).done == 1
    assert saved(tmp_path, "g0", sky, table.iloc[0])
    assert sky.encodings == {"identity"}


def test_a_large_fits_image_may_be_larger_than_other_answers(sky, tmp_path, monkeypatch):
    monkeypatch.setattr(cutout_requests, "MOST_BYTES", 1000)
    settings = FAST | {"pixel_scale": 0.262}
    assert fetch_cutouts(galaxies(2), tmp_path, "legacy_fits", **settings).done == 2


def test_an_answer_that_nobody_thought_of(sky, tmp_path):
    table = galaxies(20)
    sky.fault(table["ra"][3], table["dec"][3], "gigantic", forever=True)
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.failed) == (19, 1)
    row = failures(tmp_path).loc["g3"]
    assert row["reason"] == "expected 64 x 64 pixels, it claims to be gigantic"
    assert row["attempts"] == 1


def test_an_error_of_our_own_costs_one_galaxy(sky, tmp_path, monkeypatch):
    table = galaxies(20)
    bad = table.iloc[3]
    sky.fault(bad["ra"], bad["dec"], "nothing", forever=True)
    errors = {"kind": RecursionError}

    def look(content, size):
        if not content:
            raise errors["kind"]
        return jpeg_problem(content, size)

    monkeypatch.setattr(cutout_requests, "jpeg_problem", look)
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.failed) == (19, 1)
    row = failures(tmp_path).loc["g3"]
    assert row["reason"] == "the answer could not be looked at (RecursionError)"
    assert row["attempts"] == 1
    assert "ra=10.003" in row["url"]
    errors["kind"] = MemoryError
    with pytest.raises(MemoryError):
        fetch_cutouts(table, tmp_path, **FAST)
    # Where nothing else comes, it is worth a message.
    monkeypatch.setattr(cutout_requests, "jpeg_problem", None)
    with pytest.raises(FetchError, match=r"looked at \(TypeError\)"):
        fetch_cutouts(table, tmp_path / "other", **FAST)


@pytest.mark.filterwarnings("ignore")  # astropy has much to say about such files
def test_damaged_files_are_no_errors():
    rng = np.random.default_rng(3)
    good = {"jpeg": jpeg(galaxy(16, 1)), "fits": SkyServer.image(None, 1, 2, 16)}
    for kind, content in good.items():
        said = set()
        for _ in range(300):
            broken = bytearray(content)
            for place in rng.integers(10, 640, rng.integers(1, 6)):
                broken[place] = rng.integers(32, 127)
            if kind == "jpeg":
                problem = jpeg_problem(bytes(broken), 16)
            else:
                problem = fits_problem(bytes(broken), 16, "grz")
            said.add(problem.kind if problem else "")
        assert {"broken", "picture"} <= said


@pytest.mark.parametrize("header", ["BITPIX  =                   77", "NAXIS3  = 'many'"])
@pytest.mark.filterwarnings("ignore")
def test_fits_headers_that_make_no_sense(header):
    content = SkyServer.image(None, 1, 2, 16)
    at = content.index(header[:9].encode())
    content = content[:at] + header.ljust(80).encode() + content[at + 80 :]
    assert fits_problem(content, 16, "grz").kind == "broken"


def test_large_catalogues_are_compared_quickly():
    n = 100_000
    table = galaxies(n).assign(pixel_scale=0.4)
    columns = table[["ra", "dec", "pixel_scale"]].to_numpy().tolist()
    pictures = dict(zip(table["id"], map(tuple, columns), strict=True))
    del pictures["g7"]
    start = time.process_time()
    assert same_frames(table, pictures) == set(table["id"]) - {"g7"}
    assert time.process_time() - start < 1  # 0.2 where this was written


def test_pace_in_all():
    pace = Pace(5.0)
    now = [100.0]
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    pace.clock, pace.sleep = (lambda: now[0]), sleep
    moments = []
    for _ in range(4):
        assert pace.wait()
        moments.append(now[0])
    assert np.diff(moments) == pytest.approx(0.2)
    pace.hold(30)
    pace.hold(1)  # the longer one counts
    assert pace.wait()
    assert now[0] - moments[-1] == pytest.approx(30)
    now[0] += 60  # nobody asked for a while: no right to hurry afterwards
    assert pace.wait()
    assert pace.wait()
    assert slept[-1] == pytest.approx(0.2)
    pace.stop.set()
    assert not pace.wait()


def test_pace_among_threads():
    pace = Pace(200)
    moments = []

    def work():
        for _ in range(10):
            pace.wait()
            moments.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(moments) == 40
    assert max(moments) - min(moments) > 39 / 200 * 0.99


def test_two_processes_do_not_mix(sky, tmp_path):
    from filelock import FileLock

    fetch_cutouts(galaxies(2), tmp_path, **FAST)
    with FileLock(tmp_path / ".lock"), pytest.raises(FetchError, match="Another process"):
        fetch_cutouts(galaxies(4), tmp_path, **FAST)
    assert fetch_cutouts(galaxies(4), tmp_path, **FAST).done == 2


SCRIPT = """
    import sys, resource
    import numpy as np, pandas as pd
    from galhelpers.data.web.cutouts import fetch_cutouts

    n, folder, per_second, size = sys.argv[1:]
    n, per_second, size = int(n), float(per_second), int(size)
    rows = np.arange(n)
    table = pd.DataFrame({"id": [f"g{row}" for row in rows], "ra": 10 + rows / 1000,
                          "dec": -5 + rows / 1000, "petro_r90": 10.0})
    print("ready", flush=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = fetch_cutouts(table, folder, per_second=per_second, size=size, backoff=0.01,
                           progress=False)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(report.done, report.failed, after - before)
"""


def start(n, folder, per_second, size=SIZE):
    code = textwrap.dedent(SCRIPT)
    return subprocess.Popen(
        [sys.executable, "-c", code, str(n), str(folder), str(per_second), str(size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_and_started_again(sky, tmp_path, sent):
    table = galaxies(120)
    sky.fault(table["ra"][1], table["dec"][1], "empty", forever=True)
    process = start(len(table), tmp_path, 200)
    wait_for(lambda: sum(sky.requests.values()) > 30)
    process.send_signal(sent)
    told = time.monotonic()
    errors = process.communicate(timeout=10)[1]
    assert time.monotonic() - told < 3, errors
    if sent == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert list(failures(tmp_path).index) == ["g1"]
    kept = [name for name in files(tmp_path) if not name.startswith(".")]
    assert 20 < len(kept) < 119
    for name in kept:  # whole, every one
        row = table.iloc[int(name[1:-4])]
        content = (tmp_path / "images" / name).read_bytes()
        assert content == sky.picture(row["ra"], row["dec"], SIZE)
    (tmp_path / "images" / ".g90.jpg.abcdefg_.jpg").write_bytes(b"what a killed process may leave")
    (tmp_path / "images" / "g91.jpg").write_bytes(b"")
    asked = sum(sky.requests.values())
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert report.done + report.already_there == 119
    assert report.already_there >= len(kept) - 1
    assert files(tmp_path) == sorted(f"g{row}.jpg" for row in range(120) if row != 1)
    assert sum(sky.requests.values()) - asked == 120 - report.already_there
    assert list(failures(tmp_path).index) == ["g1"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="memory is measured as Unix does")
def test_twenty_thousand_with_faults(sky, tmp_path):
    n = 20_000
    table = galaxies(n)
    passing = ["503", "429", "drop", "truncated"]
    for_ever = ["html", "error image", "empty", "half empty", "wrong size", "404 footprint", "503",
                "404", "truncated", "grey"]  # fmt: skip
    bad = set()
    for i, row in enumerate(range(50, n, 100)):
        ra, dec = table["ra"][row], table["dec"][row]
        if i % 2:
            sky.fault(ra, dec, passing[i // 2 % len(passing)])
        else:
            sky.fault(ra, dec, for_ever[i // 2 % len(for_ever)], forever=True)
            bad.add(f"g{row}")
    process = start(n, tmp_path, np.inf)
    out, errors = process.communicate(timeout=200)
    done, failed, growth = map(int, out.split()[1:])
    assert (done, failed) == (n - len(bad), len(bad)), errors
    listed = failures(tmp_path)
    assert set(listed.index) == bad
    assert listed["reason"].str.len().gt(0).all()
    assert files(tmp_path) == sorted(
        {f"g{row}.jpg" for row in range(n)} - {f"{b}.jpg" for b in bad}
    )
    for row in table[::50].itertuples():
        if row.id not in bad:
            file = tmp_path / "images" / f"{row.id}.jpg"
            assert file.read_bytes() == sky.picture(row.ra, row.dec, SIZE)
    good = sum(sky.requests[sky.key(r.ra, r.dec)] == 1 for r in table.itertuples())
    assert good >= n - 200  # each was asked for once
    assert growth < 60 * 1024, "kB"


@pytest.mark.real
def test_no_real_galaxy_is_refused(real_data):
    pictures = sorted((real_data / "gz2_native" / "images_training_rev1").glob("*.jpg"))
    pictures += sorted((real_data / "decals_rings").rglob("*.jpg"))
    assert len(pictures) >= 900
    refused = {}
    for file in pictures:
        content = file.read_bytes()
        with Image.open(file) as image:
            size = image.width
        problem = jpeg_problem(content, size)
        if problem:
            refused[file.name] = problem.reason
    assert refused == {}


@pytest.mark.parametrize("size", [64, 120, 256, 424])
@pytest.mark.parametrize("background", ["black", "white", "grey", "#202020"])
def test_pictures_of_messages_at_all_sizes(size, background):
    assert "error image" in jpeg_problem(message(size, background), size).reason


@pytest.mark.parametrize("size", [64, 424])
@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("level", [0, 30, 255])
def test_empty_frames(size, quality, level):
    pixels = np.full((size, size, 3), level, np.uint8)
    assert "empty frame" in jpeg_problem(jpeg(pixels, quality), size).reason


@pytest.mark.parametrize("size", [64, 256, 424])
@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_the_edge_of_the_survey(size, slope):
    for share in (0.5 if size == 424 else 0.65, 0.7, 0.9):
        problem = jpeg_problem(half_empty(size, share, slope), size)
        assert "partly outside" in problem.reason
    assert jpeg_problem(half_empty(size, 0.3, slope), size) is None


def test_galaxies_of_our_own_are_believed():
    for seed in range(8):
        for size in (64, 100, 424):
            assert jpeg_problem(jpeg(galaxy(size, seed), 80), size) is None


def test_a_jpeg_stored_as_rgb_is_one_too():
    out = io.BytesIO()
    Image.fromarray(galaxy(SIZE, 1)).save(out, "JPEG", keep_rgb=True)
    assert jpeg_problem(out.getvalue(), SIZE) is None
    out = io.BytesIO()
    Image.new("RGB", (SIZE, SIZE), "grey").save(out, "JPEG", keep_rgb=True)
    assert "empty frame" in jpeg_problem(out.getvalue(), SIZE).reason


def test_noise_of_one_step_counts_as_empty():
    pixels = np.random.default_rng(0).integers(10, 12, (64, 64, 3)).astype(np.uint8)
    assert "empty frame" in empty_reason(Image.fromarray(pixels))


def test_radii_from_positions(sky):
    table = galaxies(7)
    near = 2 / 3600
    sky.objects = [
        (table["ra"][0], table["dec"][0] + near, 11.5),
        (table["ra"][2], table["dec"][2], -9999.0),
        (table["ra"][3], table["dec"][3] + 2 * near, 9.0),  # too far
        (table["ra"][5], table["dec"][5], 22.0),
        (table["ra"][6] + 0.5 * near, table["dec"][6], 33.0),
        (table["ra"][6] - near, table["dec"][6], 44.0),  # farther than the other
    ]
    found = sdss_radii(table.drop(columns="petro_r90"), batch=3, backoff=0.01)
    expected = [11.5, np.nan, np.nan, np.nan, np.nan, 22.0, 33.0]
    np.testing.assert_allclose(found["petro_r90"], expected)
    assert found["id"].tolist() == table["id"].tolist()
    assert sky.requests["crossid"] == 3


def test_radii_where_the_survey_knows_nothing(sky):
    table = galaxies(3).drop(columns="petro_r90")
    assert sdss_radii(table)["petro_r90"].isna().all()
    assert len(sdss_radii(table[:0])) == 0


def test_radii_that_are_known_are_kept(sky):
    table = galaxies(6)
    table["petro_r90"] = [3.0, np.nan, None, 4.0, np.nan, -9999.0]
    table.loc[4, "ra"] = np.nan
    sky.objects = [
        (ra, dec, 50.0 + row) for row, (ra, dec) in enumerate(table[["ra", "dec"]].to_numpy())
    ]
    found = sdss_radii(table, batch=2)
    np.testing.assert_allclose(found["petro_r90"], [3, 51, 52, 4, np.nan, -9999])
    assert sky.requests["crossid"] == 1
    assert np.isnan(table["petro_r90"][1])  # the table that was given stays as it is
    again = sdss_radii(table.astype({"ra": "Float64", "petro_r90": "Float64"}))
    np.testing.assert_allclose(again["petro_r90"], found["petro_r90"])
    sdss_radii(found.drop(index=4))
    assert sky.requests["crossid"] == 2


def test_radii_insist_and_explain(sky):
    table = galaxies(2).drop(columns="petro_r90")
    sky.objects = [(table["ra"][0], table["dec"][0], 5.0)]
    sky.table_faults = ["503", "503"]
    assert sdss_radii(table, backoff=0.01)["petro_r90"][0] == 5.0
    sky.table_faults = ["html"]
    with pytest.raises(FetchError, match="begins: Down for maintenance"):
        sdss_radii(table, backoff=0.01)
    sky.table_faults = ["403"]
    with pytest.raises(FetchError, match="refuses"):
        sdss_radii(table, backoff=0.01)
    for change in ({"ra": np.inf}, {"dec": 91.0}):
        with pytest.raises(ValueError, match="ra and dec"):
            sdss_radii(table.assign(**change))


def test_radii_without_a_service(manifest, monkeypatch):
    with SkyServer() as server:
        url = server.url
    monkeypatch.setenv("GALHELPERS_URL_SDSS", url)
    with pytest.raises(FetchError, match="Nothing answers"):
        sdss_radii(galaxies(2).drop(columns="petro_r90"), attempts=2, backoff=0.01)
