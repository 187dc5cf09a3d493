from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tsstore.client import RemoteStore, connect
from tsstore.server.http import create_app
from tsstore.server.serve import RunningServer, serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.testing.model import ModelStore, _ModelEngine


class Model(ModelStore):
    @property
    def engine(self) -> Any:
        return _ModelEngine(self._buckets)

    @property
    def timezone(self) -> str:
        return self._tz

    def stats(self):
        return {}


@pytest.fixture
def store(tmp_path: Path):
    with Model() as store:
        yield store


@pytest.fixture
def hub() -> StreamHub:
    return StreamHub()


@pytest.fixture
def server(store, hub) -> Iterator[RunningServer]:
    settings = ServerSettings(port=0, read_timeout_s=2.0)
    with serve(create_app(store, settings, hub=hub), settings) as running:
        yield running


@pytest.fixture
def remote(server: RunningServer) -> Iterator[RemoteStore]:
    with connect(server.url) as remote:
        yield remote
