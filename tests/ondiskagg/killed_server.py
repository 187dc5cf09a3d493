"""A process that writes minute bars in any order, with `ondiskagg` at work, until it is killed."""

from __future__ import annotations

import sys

import numpy as np

from tsstore.api import Replace, Write
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.host import Plugin, PluginHost, Plugins
from tsstore.host.resolve import trigger_pattern
from tsstore.redact import Redactor
from tsstore.store import Store
from tsstore_ondiskagg import OnDiskAggConfig, Trigger

DESTINATIONS = ["5Min", "1H", "1D"]
MINUTE = 60 * 10**9
SYMBOLS = ["A", "B", "C"]


def plugin() -> Plugin:
    on = "*/1Min/OHLCV"
    return Plugin("trigger", "agg", Trigger, OnDiskAggConfig(DESTINATIONS), trigger_pattern(on))


def start(store: Store) -> PluginHost:
    host = PluginHost(
        Plugins(triggers=(plugin(),)), store, clock=SystemClock(), redactor=Redactor(),
        publish=lambda _key, _row, *, commit=None: None,
    )  # fmt: skip
    host.start()
    return host


def rows(random: np.random.Generator) -> Columns:
    first, count = int(random.integers(0, 5000)), int(random.integers(1, 60))
    prices = random.integers(1, 10_000, (4, count)) / 8
    arrays = dict(zip(("Open", "High", "Low", "Close"), prices, strict=True))
    arrays["Volume"] = random.integers(0, 1000, count) / 4
    return Columns((first + np.arange(count)) * MINUTE, arrays)


def main(directory: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    store = Store(directory)
    start(store)
    print("ready", flush=True)
    while True:
        key = f"{random.choice(SYMBOLS)}/1Min/OHLCV"
        data = rows(random)
        if random.random() < 0.2:
            first, last = np.array([data.ts[0], data.ts[-1]]).view("M8[ns]")
            # Not the ends: what a crash keeps a trigger from hearing of is told by rows alone.
            stays = random.random(len(data)) < 0.5
            stays[[0, -1]] = True
            store.commit([Replace(key, first, last, data.take(stays))])
        else:
            store.commit([Write(key, data)])
        if random.random() < 0.02:
            store.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
