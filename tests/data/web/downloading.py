"""What the tests of downloads share: a file, a quick way to fetch it, what should be left."""

import hashlib
from pathlib import Path

import numpy as np

from galhelpers.data.web.download import Remote, download
from galhelpers.data.web.transfer import CHUNK

DATA = np.random.default_rng(4).bytes(400_000)
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
HALF = 3 * CHUNK  # where connections break off: whole blocks, so that nothing is on its way
FAST = {"progress": False, "backoff": 0.001, "timeout": (5, 5)}
PAGE = b"<!DOCTYPE html>\n<html><body>Please log in to the network.</body></html>"


def fetch(folder, *urls, name="a.bin", checksum=SHA256, size=None, **options):
    return download(Remote(name, urls, size, checksum), folder, **{**FAST, **options})


def assert_arrived(folder, result=None, name="a.bin", content=DATA):
    """The file is right, and nothing else is left but the lock."""
    assert (folder / name).read_bytes() == content
    assert sorted(path.name for path in folder.iterdir()) == [f".{name}.lock", name]
    if result:
        assert (result.path, result.bytes) == (folder / name, len(content))
        assert result.sha256 == hashlib.sha256(content).hexdigest()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
