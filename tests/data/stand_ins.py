"""All services that data sets come from, on 127.0.0.1, behind the course's own manifest.

    with stand_ins(folder, manifest) as world: ...

A small copy of each file is served (``tests.data.published``), Kaggle and Hugging Face answer their
own clients, SDSS and the Legacy Surveys draw pictures. The environment variables that lead the
package and the clients there are set while the block runs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import kagglesdk.kaggle_env

from tests.data import published
from tests.data.fake_hub import FakeHub
from tests.data.fake_kaggle import FakeKaggle
from tests.data.faulty_server import FaultyServer
from tests.data.sky_server import SkyServer

SLUG = "galaxy-zoo-the-galaxy-challenge"
KEY = "a-key-of-the-test"


@dataclass
class World:
    """The servers: files by address, Hugging Face, Kaggle, pictures of the sky."""

    files: FaultyServer
    hub: FakeHub
    kaggle: FakeKaggle
    sky: SkyServer
    manifest: Path


@contextmanager
def stand_ins(folder: Path, manifest: Path, **options) -> Iterator[World]:
    """Serve everything; data go to ``folder/data``. ``options`` as for ``published.publish``."""
    kaggle_files = {(SLUG, name): body for name, body in published.kaggle_files().items()}
    production = {kagglesdk.kaggle_env.KaggleEnv.PROD: ""}
    with (
        FaultyServer() as files,
        FakeHub() as hub,
        FakeKaggle(files=kaggle_files, users={"ada": KEY}, rules={SLUG}) as kaggle,
        SkyServer() as sky,
    ):
        target = folder / "manifest.yaml"
        published.publish(files, manifest, target, **options)
        hub.commit("mwalmsley/gz2", published.hub_files())
        production[kagglesdk.kaggle_env.KaggleEnv.PROD] = kaggle.url
        environment = {
            "GALHELPERS_MANIFEST": str(target),
            "GALHELPERS_DATA": str(folder / "data"),
            "GALHELPERS_URL_SDSS": sky.url,
            "GALHELPERS_URL_LEGACY": sky.url,
            "HOME": str(folder),
            "HF_ENDPOINT": hub.url,
            "KAGGLE_USERNAME": "ada",
            "KAGGLE_KEY": KEY,
        }
        strange = [name for name in os.environ if name.startswith(("KAGGLE", "HF_TOKEN"))]
        with (
            mock.patch.dict(os.environ, environment),
            # Kaggle's client has its addresses written into it.
            mock.patch.dict(kagglesdk.kaggle_env._env_to_endpoint, production),
        ):
            for name in set(strange) - set(environment):
                del os.environ[name]
            yield World(files, hub, kaggle, sky, target)
