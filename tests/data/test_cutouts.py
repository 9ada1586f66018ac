"""Cutouts from image services, against a server of our own that answers as they do."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galhelpers.data import cutouts, downloads
from galhelpers.data.cutouts import (
    fetch_cutouts,
    gz2_pixel_scale,
    missing,
    plan_cutouts,
    sdss_radii,
)
from galhelpers.data.downloads import FetchError
from galhelpers.data.records import read_rows, write_rows
from tests.data.sky_server import SkyServer

SIZE = 64
FAST = {"size": SIZE, "per_second": 1e6}


@pytest.fixture
def sky(monkeypatch):
    monkeypatch.setattr(downloads, "RETRY", downloads.RETRY.new(total=2, backoff_factor=0.01))
    with SkyServer() as server:
        monkeypatch.setenv("GALHELPERS_URL_SDSS", server.url)
        monkeypatch.setenv("GALHELPERS_URL_LEGACY", server.url + "/")
        yield server


def galaxies(n):
    rows = np.arange(n)
    names = [f"g{row}" for row in rows]
    return pd.DataFrame(
        {"id": names, "ra": 10 + rows / 1000, "dec": -5 + rows / 1000, "petro_r90": 10.0}
    )


def reasons(folder):
    return pd.read_csv(folder / "failures.csv", dtype=str).set_index("id")["reason"]


def files(folder):
    return sorted(file.name for file in (folder / "images").iterdir())


def is_picture_of(folder, sky, galaxy):
    content = (folder / "images" / f"{galaxy['id']}.jpg").read_bytes()
    return content == sky.picture(galaxy["ra"], galaxy["dec"], SIZE)


@pytest.mark.parametrize("service", ["sdss", "legacy"])
def test_one_picture_a_galaxy_and_a_second_call_asks_for_nothing(sky, tmp_path, service):
    table = galaxies(20)
    table.loc[3, "ra"] = -0.5
    report = fetch_cutouts(table, tmp_path, service, **FAST)
    assert (report.done, report.already_there, report.failed) == (20, 0, 0)
    assert report.failures is None
    assert files(tmp_path) == sorted(f"{name}.jpg" for name in table["id"])
    table["ra"] %= 360
    assert all(is_picture_of(tmp_path, sky, row) for _, row in table.iterrows())
    scale = {"sdss": "scale", "legacy": "pixscale"}[service]
    side = {"sdss": "width", "legacy": "size"}[service]
    # The frame follows the galaxy: 0.02 times its Petrosian radius of 10 arcsec.
    assert {float(query[scale]) for query in sky.queries} == {0.2}
    assert {query[side] for query in sky.queries} == {str(SIZE)}
    again = fetch_cutouts(table, tmp_path, service, **FAST)
    assert (again.done, again.already_there, again.failed) == (0, 20, 0)
    assert sum(sky.requests.values()) == 20


def test_scale_of_galaxy_zoo_2():
    assert gz2_pixel_scale([19.8, 0.0]) == pytest.approx([0.396, 0.0])


@pytest.mark.parametrize(
    ("kind", "fact", "asked"),
    [
        ("html", "Down for maintenance", 1),
        ("nothing", "JPEG", 1),
        ("truncated", "damaged", 1),
        ("empty", "one colour", 1),
        ("white", "one colour", 1),
        ("wrong size", "32 x 32", 1),
        ("grey", "RGB, got 64 x 64 pixels, L", 1),
        ("404 footprint", "outside the survey", 1),
        ("403", "403", 1),
        ("503", "503", 3),
        ("drop", "broke off", 2),
    ],
)
def test_what_is_no_galaxy_is_listed_and_not_kept(sky, tmp_path, kind, fact, asked):
    table = galaxies(6)
    bad = table.iloc[3]
    sky.fault(bad["ra"], bad["dec"], kind, forever=True)
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.failed) == (5, 1)
    assert report.failures == tmp_path / "failures.csv"
    assert files(tmp_path) == [f"g{row}.jpg" for row in (0, 1, 2, 4, 5)]
    assert list(reasons(tmp_path).index) == ["g3"]
    assert fact in reasons(tmp_path)["g3"]
    assert sky.requests[sky.key(bad["ra"], bad["dec"])] == asked
    # Next time it works: fetched, and off the list.
    sky.fault(bad["ra"], bad["dec"])
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.already_there, report.failed) == (1, 5, 0)
    assert not (tmp_path / "failures.csv").exists()


@pytest.mark.parametrize("kind", ["503", "429", "drop"])
def test_what_passes_is_asked_for_again(sky, tmp_path, kind):
    table = galaxies(6)
    sky.retry_after = "1"
    sky.fault(table["ra"][2], table["dec"][2], kind)
    start = time.monotonic()
    assert fetch_cutouts(table, tmp_path, **FAST).done == 6
    assert is_picture_of(tmp_path, sky, table.iloc[2])
    assert (time.monotonic() - start > 1) == (kind == "429")  # Retry-After: 1


def test_answers_without_end_are_cut_off(sky, tmp_path, monkeypatch):
    table = galaxies(5)
    for row, kind in {1: "endless", 3: "drip"}.items():
        sky.fault(table["ra"][row], table["dec"][row], kind, forever=True)
    monkeypatch.setattr(cutouts, "MOST_BYTES", 1 << 20)
    monkeypatch.setattr(cutouts, "DEADLINE", 0.5)
    start = time.monotonic()
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert time.monotonic() - start < 3
    assert (report.done, report.failed) == (3, 2)
    assert reasons(tmp_path).str.contains("1,048,576 bytes|after 0.5 s|after 0 s").all()
    assert sky.sent_for_nothing < 20 << 20


def test_galaxies_that_cannot_be_asked_for_are_listed(sky, tmp_path):
    table = galaxies(7).astype({"ra": object})
    table.loc[:2, "petro_r90"] = [np.nan, -9999, 1e6]
    table.loc[3, "ra"], table.loc[4, "ra"], table.loc[5, "dec"] = "north", 400, np.nan
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert (report.done, report.failed) == (1, 6)
    found = reasons(tmp_path)
    assert found[["g0", "g1", "g2"]].str.contains("petro_r90").all()
    assert "20000" in found["g2"]
    assert found[["g3", "g4", "g5"]].str.contains("position").all()
    assert sum(sky.requests.values()) == 1


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda t: t.drop(columns="dec"), "dec"),
        (lambda t: t.drop(columns="petro_r90"), "petro_r90"),
        (lambda t: t.assign(id=["a", "../b", "c"]), r"'\.\./b'"),
        (lambda t: t.assign(id=["a", "b", "NUL.x"]), r"'NUL\.x'"),
        (lambda t: t.assign(id=["a", "b", "A"]), "'A'"),
        (lambda t: t.assign(id=[1.0, 2.0, 1.2e18]), "floats"),
        (lambda t: t.assign(id=["a", None, "b"]), "1|None|nan"),
    ],
)
def test_a_table_that_cannot_work_is_refused(sky, tmp_path, change, fact):
    with pytest.raises(ValueError, match=fact):
        fetch_cutouts(change(galaxies(3)), tmp_path, **FAST)
    for odd in ({"size": 4000}, {"per_second": 0}, {"workers": 0}, {"service": "hst"}):
        with pytest.raises(ValueError, match="|".join(map(str, odd.values()))):
            fetch_cutouts(galaxies(3), tmp_path, **FAST | odd)
    assert not sky.requests


def test_another_galaxy_of_the_same_name_never_gets_its_picture(sky, tmp_path):
    table = galaxies(5)
    fetch_cutouts(table, tmp_path, **FAST)
    moved = table.copy()
    moved.loc[1, "ra"] += 0.0003
    moved.loc[2, "dec"] -= 0.0005
    moved.loc[3, "petro_r90"] = 10.1
    moved.loc[4, "dec"] += 1
    sky.fault(moved["ra"][4], moved["dec"][4], "empty", forever=True)
    report = fetch_cutouts(moved, tmp_path, **FAST)
    assert (report.done, report.already_there, report.failed) == (3, 1, 1)
    assert files(tmp_path) == ["g0.jpg", "g1.jpg", "g2.jpg", "g3.jpg"]
    assert all(is_picture_of(tmp_path, sky, row) for _, row in moved[:4].iterrows())
    assert not is_picture_of(tmp_path, sky, table.iloc[1])
    assert fetch_cutouts(moved[:4], tmp_path, **FAST).already_there == 4
    # Another scale, size or service is another picture, too; a missing list means: not known.
    changes = ({"pixel_scale": 0.3}, {"size": 80}, {"service": "legacy"})
    for change in changes:
        assert fetch_cutouts(moved[:4], tmp_path, **FAST | change).done == 4
    (tmp_path / "pictures.csv").unlink()
    assert fetch_cutouts(moved[:4], tmp_path, **FAST).done == 4


def test_a_stop_on_the_way_loses_no_earlier_picture(sky, tmp_path, monkeypatch):
    table = galaxies(5)
    fetch_cutouts(table, tmp_path, **FAST)
    moved = table.assign(dec=table["dec"] + 1)
    before = files(tmp_path)

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cutouts._Fetcher, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_cutouts(moved, tmp_path, **FAST)
    assert files(tmp_path) == before
    frames = plan_cutouts(moved, "sdss", SIZE, None)
    assert missing(frames, tmp_path) == frames  # nobody takes them for the moved galaxies
    assert fetch_cutouts(table, tmp_path, **FAST).already_there == 5
    # A process that is killed while it puts a picture in the place of another knows neither.
    with monkeypatch.context() as patch:
        patch.setattr(cutouts, "atomic_write", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch_cutouts(moved, tmp_path, **FAST)
    assert len(missing(plan_cutouts(table, "sdss", SIZE, None), tmp_path)) >= 1
    assert fetch_cutouts(moved, tmp_path, **FAST).done == 5
    assert all(is_picture_of(tmp_path, sky, row) for _, row in moved.iterrows())


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400) | st.text().map(str.encode))
def test_a_list_of_any_content_blocks_nothing(tmp_path_factory, content):
    place = tmp_path_factory.getbasetemp() / "lists"
    (place / "images").mkdir(parents=True, exist_ok=True)
    for name in ("pictures.csv", "failures.csv"):
        (place / name).write_bytes(content)
    frames = plan_cutouts(galaxies(3), "sdss", SIZE, None)
    assert missing(frames, place) == frames
    rows = read_rows(place / "failures.csv", ("id", "reason"))
    write_rows(place / "failures.csv", ("id", "reason"), rows.values())
    assert read_rows(place / "failures.csv", ("id", "reason")) == rows


def test_an_empty_picture_is_fetched_again(sky, tmp_path):
    fetch_cutouts(galaxies(3), tmp_path, **FAST)
    (tmp_path / "images" / "g1.jpg").write_bytes(b"")
    assert fetch_cutouts(galaxies(3), tmp_path, **FAST).done == 1


def test_a_service_that_cannot_be_reached(monkeypatch, tmp_path):
    with SkyServer() as server:
        address = server.url.replace("//", "//somebody:secret@")
    monkeypatch.setenv("GALHELPERS_URL_SDSS", address)
    for n in (1, 30):
        with pytest.raises(FetchError, match=r"127\.0\.0\.1") as caught:
            fetch_cutouts(galaxies(n), tmp_path, **FAST)
        assert "secret" not in str(caught.value)
        assert "secret" not in (tmp_path / "failures.csv").read_text()
    with pytest.raises(FetchError, match=r"127\.0\.0\.1"):  # one has no radius, nothing came
        fetch_cutouts(galaxies(2).assign(petro_r90=[10, np.nan]), tmp_path, **FAST)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1"):
        sdss_radii(galaxies(2).drop(columns="petro_r90"))


def test_a_service_that_stops_working_is_left_alone(sky, tmp_path):
    table = galaxies(1200)
    for row in table[20:].itertuples():
        sky.fault(row.ra, row.dec, "html", forever=True)
    with pytest.raises(FetchError, match="Down for maintenance"):
        fetch_cutouts(table, tmp_path, **FAST)
    assert len(files(tmp_path)) == 20
    assert len(reasons(tmp_path)) >= cutouts.GIVE_UP_AFTER
    assert sum(sky.requests.values()) < 100


def test_galaxies_that_fail_for_good_do_not_make_the_second_call_fail(sky, tmp_path):
    table = galaxies(40)
    for row in table[:36:2].itertuples():
        sky.fault(row.ra, row.dec, "403", forever=True)
    first = fetch_cutouts(table, tmp_path, **FAST)
    again = fetch_cutouts(table, tmp_path, **FAST)
    assert (first.done, first.failed) == (22, 18)
    assert (again.done, again.already_there, again.failed) == (0, 22, 18)
    assert len(reasons(tmp_path)) == 18


def test_pace_of_all_workers_together(sky, tmp_path):
    fetch_cutouts(galaxies(20), tmp_path, size=SIZE, per_second=50, workers=4)
    moments = [moment for moment, _ in sky.times]
    assert max(moments) - min(moments) > 0.9 * 19 / 50


SCRIPT = """
    import sys
    from galhelpers.data.cutouts import fetch_cutouts
    from tests.data.test_cutouts import galaxies

    fetch_cutouts(galaxies(120), sys.argv[1], per_second=200, size=64)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_killed_in_the_middle_and_started_again(sky, tmp_path, sent):
    table = galaxies(120)
    sky.fault(table["ra"][1], table["dec"][1], "empty", forever=True)
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 30
    while sum(sky.requests.values()) < 30:
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)
    process.send_signal(sent)
    told = time.monotonic()
    errors = process.communicate(timeout=10)[1]
    assert time.monotonic() - told < 3, errors
    if sent == signal.SIGINT:
        assert "KeyboardInterrupt" in errors
        assert list(reasons(tmp_path).index) == ["g1"]
    kept = [name for name in files(tmp_path) if not name.startswith(".")]
    assert 15 < len(kept) < 119
    assert all(is_picture_of(tmp_path, sky, table.iloc[int(name[1:-4])]) for name in kept)
    (tmp_path / "images" / ".g90.jpg.abcdefg_.jpg").write_bytes(b"what a killed process may leave")
    with (tmp_path / "pictures.csv").open("a") as unfinished:
        unfinished.write("g91,10.091,-4.9")
    asked = sum(sky.requests.values())
    report = fetch_cutouts(table, tmp_path, **FAST)
    assert report.already_there >= len(kept)
    assert report.done + report.already_there == 119
    assert files(tmp_path) == sorted(f"g{row}.jpg" for row in range(120) if row != 1)
    assert sum(sky.requests.values()) - asked == 120 - report.already_there
    assert fetch_cutouts(table, tmp_path, **FAST).already_there == 119


@pytest.mark.real
def test_no_real_galaxy_is_refused(sky, tmp_path, real_data, monkeypatch):
    pictures = sorted((real_data / "gz2_native" / "images_training_rev1").glob("*.jpg"))[:200]
    contents = [file.read_bytes() for file in pictures]
    by_position = lambda ra, dec, size: contents[round(1e3 * (float(ra) - 10))]  # noqa: E731
    monkeypatch.setattr(sky, "picture", by_position)
    report = fetch_cutouts(galaxies(len(contents)), tmp_path, per_second=1e6)
    assert (report.done, report.failed) == (200, 0)
    assert (tmp_path / "images" / "g7.jpg").read_bytes() == contents[7]


def test_radii_from_positions(sky):
    table = galaxies(8)
    near = 2 / 3600
    sky.objects = [
        (table["ra"][0], table["dec"][0] + near, 11.5),
        (table["ra"][2], table["dec"][2], -9999.0),
        (table["ra"][3], table["dec"][3] + 2 * near, 9.0),  # too far
        (table["ra"][5], table["dec"][5], 22.0),
        (table["ra"][6] + 0.5 * near, table["dec"][6], 33.0),
        (table["ra"][6] - near, table["dec"][6], 44.0),  # farther than the other
    ]
    table["petro_r90"] = [np.nan, np.nan, None, np.nan, 4.0, np.nan, np.nan, np.nan]
    table.loc[7, "ra"] = np.nan
    sky.table_faults = ["503"]  # asked again
    found = sdss_radii(table, batch=3)
    expected = [11.5, np.nan, np.nan, np.nan, 4.0, 22.0, 33.0, np.nan]
    np.testing.assert_allclose(found["petro_r90"], expected)
    assert found.drop(columns="petro_r90").equals(table.drop(columns="petro_r90"))
    assert sky.requests["crossid"] == 3  # six positions in two portions, one twice


@pytest.mark.parametrize(("fault", "fact"), [("html", "Down for maintenance"), ("403", "403")])
def test_radii_that_do_not_come(sky, monkeypatch, fault, fact):
    monkeypatch.setenv("GALHELPERS_URL_SDSS", sky.url.replace("//", "//ada:secret@"))
    sky.table_faults = [fault]
    with pytest.raises(FetchError, match=fact) as error:
        sdss_radii(galaxies(2).drop(columns="petro_r90"))
    assert "secret" not in str(error.value)
