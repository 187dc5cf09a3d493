"""What every plugin has to do, as tests that a plugin's own tests inherit.

    from tsstore.testing.plugins import TriggerContract

    class TestMyTrigger(TriggerContract):
        plugin = "my_package:Trigger"
        options = {"threshold": 5}

pytest collects the tests of `TriggerContract`, `ChangeTriggerContract` and `WorkerContract` with
the class. They run the plugin as a server does: on a real store, found and configured as by
mkts.yml.
"""

from __future__ import annotations

import json
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.config import load_config
from tsstore.host import PluginHost, load_plugins
from tsstore.key import is_own
from tsstore.plugin import ChangeEvent, TriggerContext, TriggerEvent, WorkerContext
from tsstore.redact import Redactor
from tsstore.store import Store
from tsstore.times import MAX_NS, MIN_NS, to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tsstore.host import Plugin, Plugins

#: How long a plugin may take for what should take a moment.
PATIENCE_S = 30.0

_START_NS = to_ns("2024-06-03 13:30")
_MINUTE_NS = 60 * 10**9


class PluginContract:
    """What both kinds have in common.

    Attributes:
        plugin: as `module` of mkts.yml names it: an entry point, or `package.module:Name`.
        options: its `config` in mkts.yml.
        timezone: of the store.
    """

    plugin: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    timezone: ClassVar[str] = "UTC"
    _section: ClassVar[str]

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """An empty store."""
        with Store(tmp_path / "data", timezone=self.timezone) as opened:
            yield opened

    @pytest.fixture
    def loaded(self, tmp_path: Path) -> Plugins:
        """The plugin as mkts.yml asks for it."""
        return self._load(tmp_path, self.options)

    def test_it_starts_and_stops_twice(self, store: Store, loaded: Plugins) -> None:
        """Nothing of the first run is in the way of the second."""
        for _ in range(2):
            with self._running(store, loaded):
                pass

    def test_its_threads_end_with_it(self, store: Store, loaded: Plugins) -> None:
        """A stop leaves nothing behind."""
        store.write("_contract/1Min/X", {"Epoch": [0], "V": [1]})  # starts the store's own threads
        before = set(threading.enumerate())
        with self._running(store, loaded):
            pass
        deadline = SystemClock().monotonic() + PATIENCE_S
        while left := [one.name for one in set(threading.enumerate()) - before]:
            assert SystemClock().monotonic() < deadline, f"threads are left: {left}"
            threading.Event().wait(0.005)

    def _load(self, tmp_path: Path, options: Mapping[str, Any]) -> Plugins:
        path = tmp_path / "mkts.yml"
        entry = {"module": self.plugin, **self._entry(), "config": dict(options)}
        # JSON is YAML.
        path.write_text(json.dumps({"root_directory": "data", self._section: [entry]}))
        plugins = load_plugins(load_config(path))
        assert len(plugins.workers) + len(plugins.triggers) == 1, plugins.notices
        return plugins

    def _entry(self) -> dict[str, Any]:
        return {}

    @contextmanager
    def _running(self, store: Store, plugins: Plugins) -> Iterator[PluginHost]:
        """The plugin at work, in a server's host; it has ended when this has."""
        host = PluginHost(
            plugins,
            store,
            clock=SystemClock(),
            redactor=Redactor(),
            publish=_publish,
            timezone=self.timezone,
        )
        host.start()
        try:
            self._wait_until_running(host)
            yield host
        finally:
            late = host.stop(PATIENCE_S)
        assert late == [], "it did not end when it was told to"
        for status in _statuses(host):
            assert status["state"] in {"stopped", "finished"}, status

    def _wait_until_running(self, host: PluginHost) -> None:
        deadline = SystemClock().monotonic() + PATIENCE_S
        while any(one["state"] in {"starting", "catching up"} for one in _statuses(host)):
            assert SystemClock().monotonic() < deadline, host.status()
            threading.Event().wait(0.005)


class WorkerContract(PluginContract):
    """What a bgworker has to do."""

    _section = "bgworkers"

    def test_it_ends_soon_when_it_is_told_at_once(self, store: Store, loaded: Plugins) -> None:
        """A stop may come before it has begun its work."""
        host = PluginHost(loaded, store, clock=SystemClock(), redactor=Redactor(), publish=_publish)
        host.start()
        assert host.stop(PATIENCE_S) == []


class _AnyTrigger(PluginContract):
    """What both kinds of triggers have to do.

    Attributes:
        on: the pattern of keys; as in mkts.yml.
        keys: buckets whose rows the tests write, which match it.
    """

    on: ClassVar[str] = "*/1Min/OHLCV"
    keys: ClassVar[tuple[str, ...]] = ("AAA/1Min/OHLCV", "BBB/1Min/OHLCV")
    _section = "triggers"

    def rows(self, key: str, first: int, count: int) -> Columns:
        """Rows to write to a bucket; minute bars, if they are nothing else.

        Args:
            key: the bucket.
            first: number of the first row; rows of one number have one time and equal values.
            count: how many rows.
        """
        del key
        numbers = np.arange(first, first + count)
        prices = 100 + numbers % 7 / 4
        arrays = {"Open": prices, "High": prices + 1, "Low": prices - 1, "Close": prices + 0.5}
        volume = (numbers % 13 * 100).astype(np.float64)
        return Columns(_START_NS + numbers * _MINUTE_NS, {**arrays, "Volume": volume})

    def _entry(self) -> dict[str, Any]:
        return {"on": self.on}

    def _write(self, store: Store, first: int, count: int) -> None:
        store.write_many({key: self.rows(key, first, count) for key in self.keys})

    def test_it_handles_rows(self, store: Store, loaded: Plugins) -> None:
        """Rows of several buckets and commits raise nothing."""
        with self._running(store, loaded) as host:
            for part in range(5):
                self._write(store, part * 40, 40)
        assert _errors(host) == []

    def test_rows_may_come_late_and_again(self, store: Store, loaded: Plugins) -> None:
        """Rows come in any order, and more than once."""
        with self._running(store, loaded) as host:
            for first in (100, 0, 50, 50, 100):
                self._write(store, first, 50)
        assert _errors(host) == []


class TriggerContract(_AnyTrigger):
    """What a trigger with `fire` has to do."""

    def test_rows_may_come_without_their_commits(self, store: Store, loaded: Plugins) -> None:
        """So they come when the trigger did not keep up."""
        self._write(store, 0, 10)
        trigger = _built(loaded.triggers[0], store, self.timezone)
        trigger.fire(TriggerEvent({key: self.rows(key, 0, 10) for key in self.keys}))
        trigger.close()

    def test_it_outlives_buckets_that_go(self, store: Store, loaded: Plugins) -> None:
        """A bucket may be destroyed before the trigger hears of its rows."""
        trigger = _built(loaded.triggers[0], store, self.timezone)
        batches = {key: self.rows(key, 0, 10) for key in self.keys}
        commits = {key: np.full(10, 7) for key in self.keys}
        trigger.fire(TriggerEvent(batches, commits))
        trigger.close()


class ChangeTriggerContract(_AnyTrigger):
    """What a trigger with `changed` has to do."""

    def test_it_makes_up_for_what_it_missed(
        self, store: Store, loaded: Plugins, tmp_path: Path
    ) -> None:
        """Rows that were written before a start end as those that are written after it."""
        with self._running(store, loaded):
            self._write(store, 0, 100)
        self._write(store, 60, 100)
        with self._running(store, loaded):
            pass
        with Store(tmp_path / "other", timezone=self.timezone) as other:
            with self._running(other, loaded):
                self._write(other, 0, 100)
                self._write(other, 60, 100)
            assert contents(store) == contents(other)

    def test_it_keeps_its_position(self, store: Store, loaded: Plugins) -> None:
        """A start without news is told of none."""
        with self._running(store, loaded):
            self._write(store, 0, 100)
        trigger = _built(loaded.triggers[0], store, self.timezone)
        position = trigger.position()
        trigger.close()
        assert 0 < position <= store.changed_since(0).position
        changed = store.changed_since(position, self.on)
        assert changed.stretches == {}

    def test_it_outlives_buckets_that_go(self, store: Store, loaded: Plugins) -> None:
        """A bucket may be destroyed before the trigger hears of its rows."""
        trigger = _built(loaded.triggers[0], store, self.timezone)
        trigger.position()
        some = dict.fromkeys(self.keys, ((_START_NS, _START_NS + 10 * _MINUTE_NS),))
        trigger.changed(ChangeEvent(some, position=1))
        trigger.changed(ChangeEvent(dict.fromkeys(self.keys, ()), position=2))
        trigger.close()

    def test_doing_the_same_twice_does_no_harm(self, store: Store, loaded: Plugins) -> None:
        """What it had not finished it is told again."""
        with self._running(store, loaded):
            self._write(store, 0, 100)
        before = contents(store)
        trigger = _built(loaded.triggers[0], store, self.timezone)
        trigger.position()
        everything = dict.fromkeys(self.keys, ((MIN_NS, MAX_NS),))
        trigger.changed(ChangeEvent(everything))
        trigger.changed(ChangeEvent(everything, frozenset(self.keys)))
        trigger.close()
        assert contents(store) == before


def trigger_context(store: Store, timezone: str = "UTC", name: str = "trigger") -> TriggerContext:
    """What a trigger is given, for tests that call it themselves."""
    logger = logging.getLogger(f"tsstore.trigger.{name}")
    return TriggerContext(name, store, SystemClock(), logger, _publish, timezone)


def worker_context(store: Store, timezone: str = "UTC", name: str = "worker") -> WorkerContext:
    """What a bgworker is given, for tests that run it themselves."""
    logger = logging.getLogger(f"tsstore.bgworker.{name}")
    return WorkerContext(name, store, SystemClock(), logger, timezone=timezone)


def contents(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """All rows by key, for comparing; buckets whose names begin with `_` are left out."""
    found = {}
    for key in store.list():
        if not is_own(key):
            rows = store.read(key)
            columns = [rows.ts, *(array for _, array in rows.items())]
            found[key] = list(zip(*(column.tolist() for column in columns), strict=True))
    return found


def _built(plugin: Plugin, store: Store, timezone: str) -> Any:
    return plugin.build(trigger_context(store, timezone, plugin.name), plugin.options)


def _publish(key: str, scalars: Mapping[str, Any], *, commit: int | None = None) -> None:
    """Do what /ws does: look at the values."""
    assert key.count("/") == 2
    assert commit is None or commit > 0
    dict(scalars)


def _statuses(host: PluginHost) -> list[dict[str, Any]]:
    status = host.status()
    return [*status["workers"].values(), *status["triggers"].values()]


def _errors(host: PluginHost) -> list[str]:
    return [one["error"] for one in _statuses(host) if one["error"]]
