"""Files of a competition through Kaggle's real client, from a Kaggle of our own on 127.0.0.1."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from galhelpers.data.web.kaggle_client import fetch_competition_file, kaggle_ready
from galhelpers.data.web.services import FetchError
from tests.data.web.fake_kaggle import FakeKaggle

SLUG = "galaxy-zoo-the-galaxy-challenge"
NAME = "training_solutions_rev1.zip"
TOKEN = "_".join(["KGAT", "never-show-this-token"])
KEY = "never-show-this-key"
FETCH = (
    "import sys; from pathlib import Path;"
    "from galhelpers.data.web.kaggle_client import fetch_competition_file as fetch;"
    "fetch(sys.argv[1], sys.argv[2], Path(sys.argv[3]), progress=False, backoff=0.01)"
)


def make_zip(n_bytes: int) -> bytes:
    """A zip archive of noise, which no compression makes smaller."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("noise.bin", np.random.default_rng(0).bytes(n_bytes))
    return memory.getvalue()


ARCHIVE = make_zip(300_000)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no credentials in the environment."""
    for name in [name for name in os.environ if name.startswith("KAGGLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    home = tmp_path / "home"
    (home / ".kaggle").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture
def kaggle(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKaggle]:
    """A Kaggle with one file, one user who accepted the rules, and that user's token in place."""
    with FakeKaggle({(SLUG, NAME): ARCHIVE}, {"edwin": KEY}, {TOKEN}, {SLUG}) as server:
        monkeypatch.setenv("GALHELPERS_URL_KAGGLE", server.url)
        write_secret(home / ".kaggle" / "access_token", TOKEN)
        yield server


def write_secret(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)


def fetch(folder: Path, name: str = NAME, slug: str = SLUG, attempts: int = 3) -> Path:
    return fetch_competition_file(
        slug, name, folder, progress=False, attempts=attempts, backoff=0.01
    )


def visible(folder: Path) -> list[str]:
    """What a reader finds: names that are not hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def chain(error: BaseException) -> str:
    """Everything that a traceback of this error could show."""
    shown, waiting = [], [error]
    while waiting:
        one = waiting.pop()
        shown += [repr(one), str(one), repr(one.args), repr(getattr(one, "__notes__", []))]
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
    return "\n".join(shown)


def assert_refused(folder: Path, *words: str) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(folder)
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "\n" not in text
    assert visible(folder) == []
    assert TOKEN not in chain(caught.value)
    assert KEY not in chain(caught.value)


def test_a_token_opens_the_file_and_the_storage_never_sees_it(
    kaggle: FakeKaggle, tmp_path: Path
) -> None:
    path = fetch(tmp_path / "data")
    assert path == tmp_path / "data" / NAME
    assert path.read_bytes() == ARCHIVE
    assert visible(path.parent) == [NAME]
    assert [place for place, *_ in kaggle.seen] == ["api", "storage"]
    assert "Authorization" not in kaggle.seen[1][3]
    fetch(tmp_path / "data")
    assert len(kaggle.seen) == 2, "a file that is there is not asked for again"


def test_user_name_and_key_from_kaggle_json(kaggle: FakeKaggle, home: Path, tmp_path: Path) -> None:
    (home / ".kaggle" / "access_token").unlink()
    write_secret(home / ".kaggle" / "kaggle.json", f'{{"username": "edwin", "key": "{KEY}"}}')
    assert fetch(tmp_path / "data").read_bytes() == ARCHIVE
    assert kaggle.seen[0][3]["Authorization"].startswith("Basic ")


def test_user_name_and_key_from_the_environment_and_another_folder(
    kaggle: FakeKaggle, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".kaggle" / "access_token").unlink()
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    write_secret(tmp_path / "kaggle.json", f'{{"key": "{KEY}"}}')
    assert kaggle_ready() is not None
    monkeypatch.setenv("KAGGLE_USERNAME", "edwin")
    assert kaggle_ready() is None
    assert fetch(tmp_path / "data").read_bytes() == ARCHIVE


def test_no_credentials(kaggle: FakeKaggle, home: Path, tmp_path: Path) -> None:
    (home / ".kaggle" / "access_token").unlink()
    assert_refused(tmp_path / "data", "kaggle.com/settings", "~/.kaggle/access_token", "notebook")
    write_secret(home / ".kaggle" / "kaggle.json", "{}")
    assert_refused(tmp_path / "data", "kaggle.json", "username")
    assert kaggle.seen == [], "nobody is asked without credentials"


def test_the_login_of_kaggles_own_command(kaggle: FakeKaggle, home: Path, tmp_path: Path) -> None:
    (home / ".kaggle" / "access_token").unlink()
    login = {"username": "edwin", "refresh_token": KEY, "access_token": TOKEN, "scopes": []}
    stored = home / ".kaggle" / "credentials.json"
    write_secret(stored, json.dumps(login | {"access_token_expiration": "2999-01-01T00:00:00Z"}))
    assert fetch(tmp_path / "a").read_bytes() == ARCHIVE
    write_secret(stored, json.dumps(login | {"access_token_expiration": "1999-01-01T00:00:00Z"}))
    assert_refused(tmp_path / "b", "run out", "kaggle.com/settings")


def test_readable_credentials_are_warned_about(kaggle: FakeKaggle, home: Path) -> None:
    (home / ".kaggle" / "access_token").chmod(0o644)
    with pytest.warns(UserWarning, match="chmod 600") as caught:
        assert kaggle_ready() is None
    assert TOKEN not in str(caught[0].message)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("KGAT_wrong-never-show", ["did not accept", "~/.kaggle/access_token"]),
        ("KGAT_never\nshow", ["character"]),
        ("KGAT_\u201cnever-show\u201d", ["character"]),
    ],
)
def test_wrong_credentials(
    kaggle: FakeKaggle, home: Path, tmp_path: Path, token: str, words: list[str],
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("VERBOSE", "1")  # makes Kaggle's own command print requests and headers
    write_secret(home / ".kaggle" / "access_token", token)
    with caplog.at_level(logging.DEBUG):
        assert_refused(tmp_path / "data", *words)
        with pytest.raises(FetchError) as caught:
            fetch(tmp_path / "data")
    printed = "".join(capfd.readouterr())
    for secret in ("never-show", "never\nshow", "never\\nshow"):
        assert secret not in printed + caplog.text + chain(caught.value)
    assert printed == ""


def test_a_very_long_token_is_no_file_name(
    kaggle: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kaggle.tokens.add("t" * 5000)
    monkeypatch.setenv("KAGGLE_API_TOKEN", "t" * 5000)
    assert kaggle_ready() is None
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path / "data")
    assert "tttt" not in chain(caught.value)


def test_rules_that_were_not_accepted(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.rules.clear()
    assert_refused(tmp_path / "data", f"kaggle.com/c/{SLUG}/rules", "Accept", "again")


def test_a_file_that_is_not_there(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.files.clear()
    assert_refused(tmp_path / "data", NAME, f"kaggle.com/c/{SLUG}/data")


@pytest.mark.parametrize("place", ["api_script", "storage_script"])
@pytest.mark.parametrize("step", [503, (429, {"Retry_After": "0"})])
def test_trouble_that_passes(kaggle: FakeKaggle, tmp_path: Path, place: str, step: object) -> None:
    getattr(kaggle, place).extend([step, step])
    assert fetch(tmp_path / "data").read_bytes() == ARCHIVE


def test_trouble_that_stays(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.api_script.extend([503] * 3)
    assert_refused(tmp_path / "data", "503", "again")
    kaggle.api_script.append((429, {"Retry_After": "3600"}))
    assert_refused(tmp_path / "data", "429", "60 minutes")
    assert len(kaggle.seen) == 4


def test_nobody_answers(
    kaggle: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GALHELPERS_URL_KAGGLE", "http://kaggle.invalid")
    assert_refused(tmp_path / "data", "kaggle.invalid")
    monkeypatch.setenv("GALHELPERS_URL_KAGGLE", "http://127.0.0.1:9")
    assert_refused(tmp_path / "data", "127.0.0.1:9", "Nothing answers")


def test_a_dropped_connection_is_resumed(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.storage_script.append(("drop", 100_000))
    assert fetch(tmp_path / "data").read_bytes() == ARCHIVE
    # Each attempt begins with a plain request; its answer is left when there is a part to continue.
    assert kaggle.ranges() == [None, None, "bytes=65536-"]


def test_an_error_page_in_the_middle_does_not_become_the_file(
    kaggle: FakeKaggle, tmp_path: Path
) -> None:
    kaggle.storage_script.extend([("drop", 100_000), None, 503, 503])
    assert fetch(tmp_path / "data").read_bytes() == ARCHIVE


def test_a_file_that_changed_meanwhile_is_fetched_anew(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.storage_script.append(("drop", 100_000))
    with pytest.raises(FetchError):
        fetch(tmp_path / "data", attempts=1)
    newer = kaggle.files[SLUG, NAME] = make_zip(200_000)
    assert fetch(tmp_path / "data").read_bytes() == newer


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (("body", b"<!DOCTYPE html><html>Log in to the campus network</html>"), "web page"),
        (("cut", 150_000), "no intact zip"),
    ],
)
def test_something_else_with_status_200(
    kaggle: FakeKaggle, tmp_path: Path, step: object, words: str
) -> None:
    kaggle.storage_script.append(step)
    assert_refused(tmp_path / "data", words, "browser")
    assert fetch(tmp_path / "data").read_bytes() == ARCHIVE


def test_damage_inside_a_zip_is_found(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.files[SLUG, NAME] = ARCHIVE[:1000] + b"\x00\x01\x02\x03" + ARCHIVE[1004:]
    assert_refused(tmp_path / "data", "damaged (in noise.bin)")


def test_a_full_disk(kaggle: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert_refused(tmp_path / "data", NAME, "Make room")


@pytest.mark.parametrize("name", ["../a.zip", "", ".a.zip", "a/b.zip", "a\\b.zip"])
def test_names_that_are_no_file_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        fetch(tmp_path / "data", name)


@contextmanager
def another_process(folder: Path, enough: int) -> Iterator[subprocess.Popen[bytes]]:
    """A fetch by a process of its own, seen to have brought some bytes; it does not outlive us."""
    command = [sys.executable, "-c", FETCH, SLUG, NAME, str(folder)]
    part = folder / ".kaggle" / NAME
    deadline = time.monotonic() + 60  # importing takes long on a busy computer
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            while not (part.is_file() and part.stat().st_size >= enough):
                assert time.monotonic() < deadline, "it never got going"
                assert process.poll() is None
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def test_kill_9_and_start_again(kaggle: FakeKaggle, tmp_path: Path) -> None:
    content = kaggle.files[SLUG, NAME] = make_zip(4_000_000)
    kaggle.storage_script.append(("slow", 0.02))
    with another_process(tmp_path / "data", 500_000) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    arrived = (tmp_path / "data" / ".kaggle" / NAME).stat().st_size
    assert visible(tmp_path / "data") == []
    assert arrived < len(content)
    assert fetch(tmp_path / "data").read_bytes() == content
    assert kaggle.ranges()[-1] == f"bytes={arrived}-"


def test_two_at_once(kaggle: FakeKaggle, tmp_path: Path) -> None:
    kaggle.storage_script.append(("slow", 0.1))
    with another_process(tmp_path / "data", 1) as process:
        assert fetch(tmp_path / "data").read_bytes() == ARCHIVE
        output = process.communicate(timeout=60)[0]
    assert (process.returncode, output) == (0, b"")
    assert kaggle.ranges() == [None], "the second waited, and found the file of the first"


def test_the_client_is_given_back_as_it_was(kaggle: FakeKaggle, tmp_path: Path) -> None:
    fetch(tmp_path / "data")
    from kagglesdk.kaggle_env import KaggleEnv, get_endpoint

    assert get_endpoint(KaggleEnv.PROD) == "https://api.kaggle.com"
    assert sys.modules["kaggle.api.kaggle_api_extended"].tqdm.__module__ == "tqdm.std"
