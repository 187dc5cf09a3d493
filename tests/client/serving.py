"""A server in the test's own process, and what a user makes of its updates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

import tsstore
from tsstore.columns import Columns
from tsstore.schema import Schema
from tsstore.server.http import create_app
from tsstore.server.serve import RunningServer, serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.storage.recent import RecentCommits

TICKS = "A/1Sec/TICK"
BARS = "A/1Min/OHLCV"
TICK_SCHEMA = Schema.of({"N": "i8", "Price": "f4"}, variable=True)
NS = 1_000_000_000
MINUTE = 60 * NS


class Serving:
    """A store and its server, which always comes back at the same port."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.path = path
        self.port = 0
        self._settings = {"reply_bytes_max": 1 << 20, **settings}
        self._server: RunningServer | None = None
        self.open()
        self.start()

    @property
    def url(self) -> str:
        scheme = "https" if "tls_key" in self._settings else "http"
        return f"{scheme}://127.0.0.1:{self.port}"

    def open(self) -> None:
        self.store = tsstore.open(self.path)

    def start(self) -> None:
        settings = ServerSettings(port=self.port, **self._settings)
        app = create_app(self.store, settings, hub=StreamHub())
        self._server = serve(app, settings)
        self.port = self._server.port

    def stop_server(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None

    def stop(self) -> None:
        self.stop_server()
        self.store.close()

    def restart(self) -> None:
        """Both, as after the end of the process."""
        self.stop()
        self.open()
        self.start()

    def keep_little(self, commits: int = 4) -> None:
        """Let followers fall behind soon."""
        recent = RecentCommits(commits_max=commits)
        self.store._writable().add_listener(recent.add)
        recent.begin(self.store.changed_since(0).position)
        self.store._recent = recent


def ticks(first: int, count: int = 1) -> Columns:
    numbers = np.arange(first, first + count)
    return Columns(
        numbers * 1000, {"N": numbers, "Price": (numbers % 7).astype("f4")}, variable=True
    )


def bars(*slots: tuple[int, float]) -> dict[str, Any]:
    """Bars of (minute, value)."""
    return {"Epoch": [slot * 60 for slot, _ in slots], "V": [value for _, value in slots]}


def numbers(updates: Iterable[tsstore.Update]) -> list[int]:
    return [number for update in updates for number in update.rows["N"].tolist()]


def take(subscription: tsstore.Subscription, rows: int) -> list[tsstore.Update]:
    """Updates until there are so many rows."""
    found: list[tsstore.Update] = []
    while sum(len(update.rows) for update in found) < rows:
        found.append(next(subscription))
    return found


class Replica:
    """What a user has who does as the updates say, and nothing else."""

    def __init__(self) -> None:
        self.rows: dict[str, Counter[tuple[Any, ...]]] = {}
        self.bars: dict[str, dict[int, tuple[Any, ...]]] = {}
        self.newest: dict[str, int] = {}

    def apply(self, update: tsstore.Update) -> None:
        key, rows = update.key, update.rows
        assert len(rows)
        assert (np.diff(rows.ts) >= 0).all()
        if update.replaces is not None:
            self._clear(key, *update.replaces)
        self._check_order(update)
        values = list(zip(*(array.tolist() for _, array in rows.items()), strict=True))
        if rows.variable:
            found = self.rows.setdefault(key, Counter())
            found.update(zip(rows.ts.tolist(), *zip(*values, strict=True), strict=True))
        else:
            self.bars.setdefault(key, {}).update(zip(rows.ts.tolist(), values, strict=True))

    def _check_order(self, update: tsstore.Update) -> None:
        rows, newest = update.rows, self.newest.get(update.key, -(2**63))
        if update.is_correction:
            assert rows.ts[-1] <= newest or update.replaces
        else:
            assert rows.ts[0] >= newest if rows.variable else rows.ts[0] > newest
        self.newest[update.key] = max(newest, int(rows.ts[-1]))

    def _clear(self, key: str, first: int, last: int) -> None:
        ticks = self.rows.setdefault(key, Counter())
        for row in [row for row in ticks if first <= row[0] <= last]:
            del ticks[row]
        known = self.bars.setdefault(key, {})
        for ts in [ts for ts in known if first <= ts <= last]:
            del known[ts]

    def check(self, store: tsstore.StoreApi, keys: Iterable[str]) -> None:
        """Every row of the store is here, once, and no other."""
        for key in keys:
            rows = store.read(key)
            columns = [rows.ts.tolist(), *(array.tolist() for _, array in rows.items())]
            if rows.variable:
                assert self.rows.get(key, Counter()) == Counter(zip(*columns, strict=True)), key
            else:
                found = {row[0]: row[1:] for row in zip(*columns, strict=True)}
                assert self.bars.get(key, {}) == found, key
