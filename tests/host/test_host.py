"""All plugins of a server together, on a real store."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

import tsstore
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.host import Plugin, PluginHost, Plugins
from tsstore.host.resolve import trigger_pattern
from tsstore.redact import Redactor

if TYPE_CHECKING:
    from pathlib import Path

BARS = "AAPL/1Min/OHLCV"


class Options(msgspec.Struct, frozen=True):
    api_key: str = ""


class Writer:
    """A worker that writes one bar and waits for the end."""

    Config = Options

    def __init__(self, context, config):
        self.context, self.config = context, config

    def run(self):
        self.context.logger.warning("the key is %s", self.config.api_key)
        self.context.status["note"] = f"key={self.config.api_key}"
        self.context.store.write(BARS, bars(1))
        self.context.stop.wait()


class Stubborn:
    release = threading.Event()

    def __init__(self, context, config):
        pass

    def run(self):
        self.release.wait(30)


class BusyTrigger:
    entered = threading.Event()
    release = threading.Event()

    def __init__(self, context, config):
        pass

    def fire(self, event):
        self.entered.set()
        self.release.wait(30)

    def close(self):
        pass


class Publisher:
    """A trigger that publishes the keys it is fired for."""

    def __init__(self, context, config):
        self.context = context

    def fire(self, event):
        for key, rows in event.batches.items():
            self.context.publish(key, {"rows": len(rows)})

    def close(self):
        self.context.publish("closed", {})


def bars(count: int) -> Columns:
    return Columns(np.arange(count) * 60_000_000_000, {"Close": np.ones(count)})


@pytest.fixture
def store(tmp_path: Path):
    with tsstore.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def published():
    return []


@pytest.fixture
def host(store, published):
    def host(*workers: Plugin, triggers: tuple[Plugin, ...] = (), secrets=()) -> PluginHost:
        return PluginHost(
            Plugins(workers, triggers, tuple(secrets)),
            store,
            clock=SystemClock(),
            redactor=Redactor(),
            publish=lambda key, row, *, commit=None: published.append((key, dict(row))),
        )

    return host


def wait_for(condition) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + 60
    while not condition():
        assert clock.monotonic() < deadline
        threading.Event().wait(0.005)


def writer(secret: str = "") -> Plugin:
    return Plugin("bgworker", "writer", Writer, Options(secret))


def publisher(on: str = "*/1Min/OHLCV") -> Plugin:
    return Plugin("trigger", "publisher", Publisher, None, trigger_pattern(on))


def test_rows_that_a_worker_writes_reach_the_triggers(host, published) -> None:
    running = host(writer(), triggers=(publisher(),))
    running.start()
    wait_for(lambda: published)
    assert running.stop() == []
    assert published == [(BARS, {"rows": 1}), ("closed", {})]


def test_a_committed_row_is_fired_before_the_end(host, store, published) -> None:
    running = host(triggers=(publisher(),))
    running.start()
    for _ in range(20):
        store.write(BARS, bars(2))
    assert running.stop() == []
    assert sum(row.get("rows", 0) for _, row in published) == 40


def test_a_pattern_keeps_other_buckets_away(host, store, published) -> None:
    running = host(triggers=(publisher("MSFT/1Min/OHLCV"),))
    running.start()
    store.write(BARS, bars(2))
    running.stop()
    assert published == [("closed", {})]


def test_a_worker_that_does_not_end_is_named_and_left_behind(host) -> None:
    running = host(Plugin("bgworker", "stubborn", Stubborn), writer())
    running.start()
    clock = SystemClock()
    begun = clock.monotonic()
    assert running.stop(0.2) == ["stubborn"]
    assert clock.monotonic() - begun < 10
    Stubborn.release.set()


def test_triggers_that_do_not_end_share_the_time(host, store) -> None:
    triggers = tuple(Plugin("trigger", f"busy {n}", BusyTrigger) for n in range(3))
    running = host(triggers=triggers)
    running.start()
    store.write(BARS, bars(1))
    assert BusyTrigger.entered.wait(10)
    clock = SystemClock()
    begun = clock.monotonic()
    assert running.stop(1) == ["busy 0", "busy 1", "busy 2"]
    assert clock.monotonic() - begun < 2.5
    BusyTrigger.release.set()


def test_secrets_appear_neither_in_the_status_nor_in_logs(host, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        running = host(writer("SECRET123"), secrets=["SECRET123"])
        running.start()
        wait_for(lambda: "note" in running.status()["workers"]["writer"])
        running.stop()
    assert running.status()["workers"]["writer"]["note"] == "key=***"
    assert "the key is ***" in caplog.text


def test_status_is_json(host) -> None:
    running = host(writer(), triggers=(publisher(),))
    running.start()
    wait_for(lambda: "note" in running.status()["workers"]["writer"])
    status = json.loads(json.dumps(running.status(), allow_nan=False))
    running.stop()
    assert status["workers"]["writer"]["state"] == "running"
    assert status["triggers"]["publisher"]["state"] == "running"
