"""Calls that take long, and what others notice of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tsstore.client import RemoteStore, connect
from tsstore.errors import BusyError
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.testing.faultfs import FaultFileSystem

KEY = "A/1Min/X"
BARS = {"Epoch": np.arange(5) * 60, "P": np.arange(5.0)}
LONG_CALLS = 2


class Held:
    """A store that writes no segment until it is let go."""

    def __init__(self, parent: Path) -> None:
        self.fs = FaultFileSystem()
        self.store = tsstore.Store(
            "held",
            fs=self.fs,
            settings=tsstore.Settings(bulk_bytes_min=0, compaction_bytes_per_s=0),
        )
        self.store.write(KEY, BARS)
        self.backups = parent / "backups"
        self.let_go = threading.Event()
        self._waiting = threading.Semaphore(0)

    def hold(self) -> None:
        """From now on."""

        def wait(kind: str, name: str) -> None:
            if kind == "create" and name.startswith("buckets/"):
                self._waiting.release()
                assert self.let_go.wait(10)

        self.fs.refuse_when(wait)

    def await_held(self, count: int) -> None:
        """Return once so many segments wait to be written."""
        for _ in range(count):
            assert self._waiting.acquire(timeout=10)


@pytest.fixture(name="held")
def fixture_held(tmp_path: Path) -> Iterator[Held]:
    held = Held(tmp_path)
    yield held
    held.let_go.set()
    held.store.close()


@pytest.fixture
def remote(held: Held) -> Iterator[RemoteStore]:
    settings = ServerSettings(
        port=0, threads=2, long_calls=LONG_CALLS, backup_directory=str(held.backups)
    )
    app = create_app(held.store, settings, hub=StreamHub())
    with serve(app, settings) as server, connect(server.url, timeout_s=5) as remote:
        yield remote


def others_go_on(remote: RemoteStore) -> None:
    """Everything that is no long call is answered."""
    assert remote.write("C/1Min/X", BARS) == 5
    assert remote.read("C/1Min/X")["P"].tolist() == [0, 1, 2, 3, 4]
    assert remote.ping().timezone == "UTC"


def test_long_calls_keep_nobody_waiting_and_further_ones_are_refused(held, remote) -> None:
    held.hold()
    with ThreadPoolExecutor(LONG_CALLS) as clients:
        copies = [clients.submit(remote.copy, KEY, f"N{n}/1Min/X") for n in range(LONG_CALLS)]
        held.await_held(LONG_CALLS)
        others_go_on(remote)
        for call in (
            lambda: remote.copy(KEY, "M/1Min/X"),
            remote.compact,
            lambda: remote.backup("nightly"),
        ):
            with pytest.raises(BusyError, match="2 copies, compactions or backups already; try"):
                call()
        held.let_go.set()
        for copy in copies:
            copy.result()
    remote.copy(KEY, "M/1Min/X")
    assert remote.list("[MN]*/1Min/X") == ["M/1Min/X", "N0/1Min/X", "N1/1Min/X"]


def test_bulk_loads_keep_nobody_waiting_and_wait_for_each_other(held, remote) -> None:
    held.hold()
    keys = [f"L{number}/1Min/X" for number in range(6)]
    rows = 20_000
    data = {"Epoch": np.arange(rows) * 60, "P": np.zeros(rows)}
    with ThreadPoolExecutor(len(keys)) as clients:
        loads = [clients.submit(remote.bulk, {key: data}) for key in keys]
        held.await_held(2)
        others_go_on(remote)
        held.let_go.set()
        assert [load.result() for load in loads] == [rows] * len(keys)
    assert remote.list("L*/1Min/X") == keys
