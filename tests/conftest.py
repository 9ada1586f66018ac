"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def course() -> Path:
    """The course folder."""
    return ROOT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with real galaxy images; the test skips where there is none."""
    folder = Path(os.environ.get("GALHELPERS_REAL_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real galaxies: set GALHELPERS_REAL_DATA to a folder that holds them")
    return folder
