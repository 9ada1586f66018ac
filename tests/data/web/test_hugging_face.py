"""Data sets of Hugging Face through its real client, from a Hub of our own on 127.0.0.1."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from galhelpers.data.sources.parquet_images import export_parquet
from galhelpers.data.web.hugging_face import HubSnapshot, fetch_hub
from galhelpers.data.web.services import FetchError
from tests.data.web.fake_hub import FakeHub, jpeg, parquet

REPO = "mwalmsley/gz2"
TOKEN = "-".join(["hf", "never", "show", "this"])
CARD = b"""---
license: cc-by-nc-sa-4.0
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
- config_name: tiny
  data_files:
  - split: train
    path: tiny/train-*
---
# Galaxy Zoo 2
"""
IMAGES = [jpeg(seed) for seed in range(12)]
IDS = [f"58772298174136{i:04d}" for i in range(12)]
TRAIN, TEST, TINY = (
    "data/train-00000-of-00001.parquet",
    "data/test-00000-of-00001.parquet",
    ("tiny/train-00000-of-00001.parquet"),
)
FILES = {
    "README.md": CARD,
    TRAIN: parquet(IDS[:8], IMAGES[:8]),
    TEST: parquet(IDS[8:], IMAGES[8:]),
    TINY: parquet(IDS[:2], IMAGES[:2]),
    "notes.txt": b"not for you",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub with one data set; no login of the user who runs the tests."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    with FakeHub() as server:
        server.commit(REPO, FILES)
        monkeypatch.setenv("GALHELPERS_URL_HUGGING_FACE", server.url)
        yield server


def fetch(folder: Path, repo: str = REPO, attempts: int = 3, **options: str) -> HubSnapshot:
    return fetch_hub(repo, folder, progress=False, attempts=attempts, backoff=0.01, **options)


def visible(folder: Path) -> list[str]:
    """What a reader finds: files without a hidden part in their path."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(p.as_posix() for p in found if not any(q.startswith(".") for q in p.parts))


def chain(error: BaseException) -> str:
    """Everything that a traceback of this error could show."""
    shown, waiting = [], [error]
    while waiting:
        one = waiting.pop()
        shown += [repr(one), str(one), repr(one.args), repr(getattr(one, "__notes__", []))]
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(shown)


def refused(folder: Path, **options: str) -> str:
    with pytest.raises(FetchError) as caught:
        fetch(folder, **options)
    assert not [name for name in visible(folder) if name != "hub.json"]
    assert TOKEN not in chain(caught.value)
    assert "only-for-you" not in str(caught.value)
    return str(caught.value)


def test_a_configuration_is_what_the_card_says(
    hub: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    done = fetch(tmp_path)
    assert visible(tmp_path) == sorted([TRAIN, TEST, "hub.json"])
    assert {path.relative_to(tmp_path).as_posix() for path in done.files} == {TRAIN, TEST}
    assert all(
        path.read_bytes() == FILES[path.relative_to(tmp_path).as_posix()] for path in done.files
    )
    assert done.revision == hub.refs[REPO, "main"]
    assert done.bytes == len(FILES[TRAIN]) + len(FILES[TEST])
    assert capfd.readouterr() == ("", "")
    asked = len(hub.seen)
    assert fetch(tmp_path).files == done.files
    assert len(hub.seen) == asked, "what is there and right is not asked for again"


def test_the_tiny_configuration(hub: FakeHub, tmp_path: Path) -> None:
    fetch(tmp_path, config="tiny")
    assert visible(tmp_path) == ["hub.json", TINY]
    with pytest.raises(FetchError, match=r"holds mwalmsley/gz2, configuration tiny, and not"):
        fetch(tmp_path)


def test_an_unknown_configuration_lists_those_there_are(hub: FakeHub, tmp_path: Path) -> None:
    words = refused(tmp_path, config="huge")
    assert "'huge'" in words
    assert "default, tiny" in words
    assert visible(tmp_path) == [], "a mistyped name must not occupy the folder"


@pytest.mark.parametrize("card", [None, b"# no yaml", b"---\n: [\n---\n"])
def test_without_a_card_the_folders_say_it(
    hub: FakeHub, tmp_path: Path, card: bytes | None
) -> None:
    files = {name: content for name, content in FILES.items() if name != "README.md"}
    hub.commit(REPO, files | ({"README.md": card} if card else {}))
    fetch(tmp_path / "a")
    assert visible(tmp_path / "a") == sorted([TRAIN, TEST, "hub.json"])
    fetch(tmp_path / "b", config="tiny")
    assert visible(tmp_path / "b") == ["hub.json", TINY]


def test_a_folder_keeps_its_commit(hub: FakeHub, tmp_path: Path) -> None:
    old = hub.refs[REPO, "main"]
    fetch(tmp_path)
    new = hub.commit(REPO, FILES | {TRAIN: parquet(IDS[:3], IMAGES[:3])})
    (tmp_path / TRAIN).unlink()
    assert fetch(tmp_path).revision == old
    assert (tmp_path / TRAIN).read_bytes() == FILES[TRAIN]
    assert fetch(tmp_path, revision=old).revision == old
    for revision in (new, "main"):
        with pytest.raises(FetchError, match=f"holds commit {old[:10]}.*{new[:10]}"):
            fetch(tmp_path, revision=revision)
    assert (tmp_path / TRAIN).read_bytes() == FILES[TRAIN]
    assert fetch(tmp_path / "new").revision == new
    assert fetch(tmp_path / "old", revision=old).revision == old
    assert (tmp_path / "old" / TRAIN).read_bytes() == FILES[TRAIN]


def test_a_dropped_connection_is_resumed(hub: FakeHub, tmp_path: Path) -> None:
    big = {TRAIN: parquet(["a"], [np.random.default_rng(0).bytes(500_000)])}
    hub.commit(REPO, big)
    hub.storage_script.append(("drop", 300_000))
    fetch(tmp_path)
    assert (tmp_path / TRAIN).read_bytes() == big[TRAIN]
    ranges = [headers.get("Range") for place, _, _, headers in hub.seen if place == "storage"]
    assert ranges[0] is None
    assert int(ranges[1].removeprefix("bytes=").removesuffix("-")) >= 200_000


def test_a_wrong_checksum(hub: FakeHub, tmp_path: Path) -> None:
    hub.wrong_checksums = True
    words = refused(tmp_path)
    assert "0" * 64 in words


def test_a_web_page_instead_of_an_answer(hub: FakeHub, tmp_path: Path) -> None:
    hub.script.append(("body", b"<!DOCTYPE html><html>Log in to the campus network</html>"))
    assert "login page" in refused(tmp_path)


def test_a_login_that_is_missing_or_wrong(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    hub.token = TOKEN
    hub.commit("astro/gated", FILES)
    caplog.set_level("DEBUG")
    assert "hf auth login" in refused(tmp_path)
    assert "agree" in refused(tmp_path, repo="astro/gated")
    monkeypatch.setenv("HF_TOKEN", TOKEN + "_old")
    assert "hf auth login" in refused(tmp_path)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch(tmp_path).files
    assert all("authorization" not in {name.lower() for name in headers}
               for place, _, _, headers in hub.seen if place == "storage")  # fmt: skip
    assert TOKEN not in "".join(capfd.readouterr()) + caplog.text


def test_terms_that_only_the_files_ask_for(hub: FakeHub, tmp_path: Path) -> None:
    hub.script.extend([None, None, 403])  # the description, the card, a file
    words = refused(tmp_path)
    assert f"huggingface.co/datasets/{REPO}" in words
    assert "agree" in words


def test_what_is_not_there(hub: FakeHub, tmp_path: Path) -> None:
    assert "no revision 'v9'" in refused(tmp_path, revision="v9")
    assert "no data set a/b" in refused(tmp_path, repo="a/b")


def test_trouble_that_passes_and_trouble_that_stays(hub: FakeHub, tmp_path: Path) -> None:
    hub.script.extend([503, (429, {"Retry-After": "0"}), None, 503])
    hub.storage_script.extend([503, (429, {"Retry-After": "0"})])
    assert len(fetch(tmp_path / "a").files) == 2
    hub.script.extend([503] * 3)
    assert "503" in refused(tmp_path / "b")
    hub.script.append((429, {"Retry-After": "3600"}))
    assert "60 minutes" in refused(tmp_path / "b")


def test_nobody_answers(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GALHELPERS_URL_HUGGING_FACE", "http://127.0.0.1:9")
    assert "Nothing answers" in refused(tmp_path)
    monkeypatch.setenv("GALHELPERS_URL_HUGGING_FACE", "http://hub.invalid")
    assert "hub.invalid" in refused(tmp_path)


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "nowhere.invalid:3128", "foo://x", "socks5://x"]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_leads_nowhere(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str, scheme: str
) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("GALHELPERS_URL_HUGGING_FACE", f"{scheme}://hub.invalid")
    assert "The proxy in HTTPS_PROXY or HTTP_PROXY does not let us" in refused(tmp_path)


def test_a_proxy_that_refuses(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, hub.url)  # no proxy at all: it does not know CONNECT
    monkeypatch.setenv("GALHELPERS_URL_HUGGING_FACE", "https://hub.invalid")
    assert "The proxy in HTTPS_PROXY or HTTP_PROXY does not let us" in refused(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.parquet", "/evil.parquet", "a/.hidden/evil.parquet"),
        *("C:/evil.parquet", "a/evil:stream.parquet", "aux/evil.parquet", "a/evil\\b.parquet"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(hub: FakeHub, tmp_path: Path, name: str) -> None:
    hub.commit(REPO, {name: FILES[TRAIN]})
    place = tmp_path / "data"
    with pytest.raises(FetchError, match="may not be written"):
        fetch(place, config=name.split("/")[0] or "/")
    assert not list(tmp_path.rglob("evil*"))


def test_kill_9_and_start_again(hub: FakeHub, tmp_path: Path) -> None:
    big = {TRAIN: parquet(["a"], [np.random.default_rng(0).bytes(4_000_000)])}
    old = hub.commit(REPO, big)
    hub.storage_script.append(("slow", 0.02))
    code = (
        "import sys; from pathlib import Path;"
        "from galhelpers.data.web.hugging_face import fetch_hub;"
        "fetch_hub(sys.argv[1], Path(sys.argv[2]), progress=False)"
    )
    deadline = time.monotonic() + 60  # importing takes long on a busy computer
    with subprocess.Popen([sys.executable, "-c", code, REPO, str(tmp_path)]) as process:
        try:
            while not any(p.stat().st_size > 500_000 for p in tmp_path.glob("data/.*.part")):
                assert time.monotonic() < deadline, "it never got going"
                assert process.poll() is None
                time.sleep(0.01)
        finally:
            process.send_signal(signal.SIGKILL)
    assert visible(tmp_path) == ["hub.json"]
    hub.commit(REPO, FILES)
    assert fetch(tmp_path).revision == old
    assert (tmp_path / TRAIN).read_bytes() == big[TRAIN]
    first = int(hub.seen[-1][3]["Range"].removeprefix("bytes=").removesuffix("-"))
    assert first >= 500_000


def test_a_record_says_what_the_folder_holds(hub: FakeHub, tmp_path: Path) -> None:
    fetch(tmp_path)
    record = json.loads((tmp_path / "hub.json").read_text())
    assert (record["repo"], record["config"]) == (REPO, "default")
    assert [file["checksum"][:7] for file in record["files"]] == ["sha256:", "sha256:"]


def save(folder: Path, **files: bytes) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{name}-00000-of-00001.parquet" for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.write_bytes(content)
    return paths


def test_images_come_out_as_they_went_in(tmp_path: Path) -> None:
    files = save(tmp_path / "in", train=FILES[TRAIN], test=FILES[TEST])
    table = export_parquet(files, tmp_path, progress=False)
    assert table["id_str"].tolist() == IDS
    assert table["split"].tolist() == ["train"] * 8 + ["test"] * 4
    assert table["smooth-or-featured-gz2_smooth"].tolist() == [*range(8), *range(4)]
    assert "image" not in table
    for file, content in zip(table["file"], IMAGES, strict=True):
        assert (tmp_path / file).read_bytes() == content
        with Image.open(tmp_path / file) as image:
            assert image.size == (48, 48)
    assert len(list((tmp_path / "images").iterdir())) == 12, "and no temporary file is left"
    assert not (tmp_path / "images_failures.csv").exists()


def test_an_export_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    files = save(tmp_path / "in", train=FILES[TRAIN])
    first = export_parquet(files, tmp_path, progress=False)
    done = tmp_path / first["file"][0]
    before = done.stat().st_mtime_ns
    (tmp_path / first["file"][1]).unlink()
    (tmp_path / first["file"][2]).write_bytes(b"half")
    again = export_parquet(files, tmp_path, progress=False)
    pd.testing.assert_frame_equal(first, again)
    assert done.stat().st_mtime_ns == before
    assert [(tmp_path / file).read_bytes() for file in again["file"]] == IMAGES[:8]


def test_rows_without_an_image_are_listed(tmp_path: Path) -> None:
    png = IMAGES[0]
    images = [None, b"", b"<html>not found</html>", IMAGES[3][:-500], png]
    files = save(tmp_path / "in", train=parquet(IDS[:5], images))
    table = export_parquet(files, tmp_path, progress=False)
    assert table["file"].tolist() == ["", "", "", "", f"images/{IDS[4]}.jpg"]
    failures = pd.read_csv(tmp_path / "images_failures.csv", dtype=str)
    assert failures["id"].tolist() == IDS[:4]
    assert failures["reason"].str.split().str[0].tolist() == ["no", "no", "neither", "cut"]
    assert [path.name for path in (tmp_path / "images").iterdir()] == [f"{IDS[4]}.jpg"]
    files = save(tmp_path / "in", train=parquet(IDS[:5], IMAGES[:5]))
    export_parquet(files, tmp_path, progress=False)
    assert not (tmp_path / "images_failures.csv").exists()


@pytest.mark.parametrize("bad", ["../up", "a/b", "", ".hidden", "a\\b", "c:d", "con", "x" * 300])
def test_identifiers_that_are_no_file_names(tmp_path: Path, bad: str) -> None:
    files = save(tmp_path / "in", train=parquet(["fine", bad], IMAGES[:2]))
    with pytest.raises(ValueError, match="cannot be file names"):
        export_parquet(files, tmp_path, progress=False)
    assert not (tmp_path / "images").exists()


def of_columns(metadata: dict[bytes, bytes] | None = None, **columns: Any) -> bytes:
    """A Parquet file of three galaxies with images and these columns."""
    images = [{"bytes": content, "path": ""} for content in IMAGES[:3]]
    table = pa.table({"image": images} | columns).replace_schema_metadata(metadata)
    memory = io.BytesIO()
    pq.write_table(table, memory)
    return memory.getvalue()


def test_images_of_another_commit_replace_those_of_the_same_size(tmp_path: Path) -> None:
    other = IMAGES[0][:200] + bytes([IMAGES[0][200] ^ 1]) + IMAGES[0][201:]
    for image in (IMAGES[0], other):
        files = save(tmp_path / "in", train=parquet(IDS[:1], [image]))
        table = export_parquet(files, tmp_path, progress=False)
        assert (tmp_path / table["file"][0]).read_bytes() == image


def test_numbers_as_identifiers_keep_all_digits(tmp_path: Path) -> None:
    many = [1237661387086693265, 1237661387086693266, 7]
    files = save(tmp_path / "in", train=of_columns(id_str=pa.array(many, pa.int64())))
    table = export_parquet(files, tmp_path, progress=False)
    assert table["id_str"].tolist() == [str(one) for one in many]
    gap = pa.array([many[0], None, 7], pa.int64())
    files = save(tmp_path / "in", train=of_columns(id_str=gap))
    with pytest.raises(ValueError, match=r"1 values of id_str cannot be file names: \[''\]"):
        export_parquet(files, tmp_path, progress=False)
    files = save(tmp_path / "in", train=of_columns(id_str=pa.array([float(one) for one in many])))
    with pytest.raises(ValueError, match=r"column id_str: .*stored as floats.*1\.237661387086"):
        export_parquet(files, tmp_path, progress=False)


def labels(names: list[str]) -> dict[bytes, bytes]:
    features = {"summary": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def test_classes_get_the_names_that_the_file_gives_them(tmp_path: Path) -> None:
    # Each file has its own order, and neither is that of the course.
    first = of_columns(labels(["round", "bar", "arms"]), id_str=["a", "b", "c"], summary=[2, 0, 1])
    second = of_columns(labels(["arms", "bar"]), id_str=["d", "e", "f"], summary=[0, None, -1])
    files = save(tmp_path / "in", train=first, test=second)
    table = export_parquet(files, tmp_path, progress=False)
    assert table["summary"].tolist()[:4] == ["arms", "round", "bar", "arms"]
    assert table["summary"].isna().tolist() == [False] * 4 + [True] * 2
    plain = of_columns(id_str=["a", "b", "c"], summary=[2, 0, 1])
    table = export_parquet(save(tmp_path / "in", train=plain), tmp_path, progress=False)
    assert table["summary"].tolist() == [2, 0, 1], "without names the numbers stay"


def test_classes_that_the_file_does_not_name(tmp_path: Path) -> None:
    wrong = of_columns(labels(["round", "bar"]), id_str=["a", "b", "c"], summary=[1, 0, 2])
    with pytest.raises(ValueError, match=r"the classes 0 to 1 \(round, bar\), got 0 to 2"):
        export_parquet(save(tmp_path / "in", train=wrong), tmp_path, progress=False)
    torn = of_columns({b"huggingface": b"{"}, id_str=["a", "b", "c"], summary=[1, 0, 2])
    with pytest.raises(ValueError, match="expected JSON under 'huggingface'"):
        export_parquet(save(tmp_path / "in", train=torn), tmp_path, progress=False)


def test_identifiers_that_repeat(tmp_path: Path) -> None:
    files = save(
        tmp_path / "in", train=parquet(["a", "b"], IMAGES[:2]), test=parquet(["A"], IMAGES[2:3])
    )
    with pytest.raises(ValueError, match="repeat"):
        export_parquet(files, tmp_path, progress=False)
    with pytest.raises(ValueError, match="expected the columns picture and id_str"):
        export_parquet(files, tmp_path, image_column="picture", progress=False)
