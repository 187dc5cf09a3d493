"""A workload with every kind of change, step by step, and the right state after each step."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tsstore import Schema
from tsstore.api import Replace, StoreApi, Write, WriteTable
from tsstore.errors import NotFoundError
from tsstore.storage.flush import OWN_FILE_ROWS
from tsstore.storage.settings import Settings
from tsstore.store import Store
from tsstore.testing.model import ModelStore

if TYPE_CHECKING:
    from tsstore.testing.faultfs import FaultFileSystem

TICKS = Schema.of({"Price": "f8", "Seq": "i8"}, variable=True, identity=["Seq"])
PLAIN_TICKS = Schema.of({"Price": "f8"}, variable=True)
T0 = 1_483_228_800
#: Enough rows for a file of their own.
MANY = OWN_FILE_ROWS + 50

Step = Callable[[StoreApi], object]
Contents = dict[str, object]

#: Nothing happens by itself.
QUIET = Settings(memtable_bytes=1 << 30, compaction_bytes_per_s=0, bulk_bytes_min=0)
#: Everything that can happen by itself does, at once.
BUSY = Settings(memtable_bytes=2_000, compaction_bytes_per_s=1 << 50, bulk_bytes_min=0)


def bars(first: int, count: int, value: float) -> dict[str, object]:
    epoch = T0 + 60 * np.arange(first, first + count)
    return {"Epoch": epoch, "Close": np.full(count, value) + np.arange(count)}


@functools.cache
def rich(first: int, count: int, seed: int) -> dict[str, object]:
    """Rows that every packed encoding finds something in; the same object each time."""
    rng = np.random.default_rng(seed)
    close = np.round(100 + rng.normal(0, 0.05, count).cumsum(), 2)
    return {
        "Epoch": T0 + 60 * np.arange(first, first + count),
        "Close": close,
        "High": np.round(close + rng.integers(0, 5, count) * 0.01, 2),
        "Noise": rng.random(count),
        "Volume": rng.integers(0, 10_000, count),
        "Venue": rng.choice(np.array(["XNYS", "XNAS", "ARCX"]), count),
        "Order": np.char.mod("%d", rng.integers(0, 100_000, count)).astype("U6"),
        "Note": np.char.mod("n%x", rng.integers(0, 1 << 30, count)).astype("U9"),
    }


def volumes(first: int, count: int) -> dict[str, object]:
    return {**bars(first, count, 90.0), "Volume": np.arange(count)}


def ticks(first: int, count: int) -> dict[str, object]:
    numbers = np.arange(first, first + count)
    ns = (T0 * 1000 + numbers // 2) * 1_000_000 + 17
    return {"Epoch": ns.astype("M8[ns]"), "Price": numbers * 0.01, "Seq": numbers}


def prices(first: int, count: int) -> dict[str, object]:
    return {"Epoch": T0 + np.arange(first, first + count) // 3, "Price": np.arange(count) * 1.0}


def cross_section(minute: int, symbols: int) -> dict[str, object]:
    return {
        "Symbol": [f"S{i}" for i in range(symbols)],
        "Epoch": np.full(symbols, T0 + 60 * minute),
        "Close": np.arange(symbols) + minute * 100.0,
    }


def flush(store: StoreApi) -> None:
    if isinstance(store, Store):
        store.flush()


def compact(pattern: str = "*/*/*") -> Step:
    def step(store: StoreApi) -> None:
        if isinstance(store, Store):
            store.compact(pattern)

    return step


STEPS: list[Step] = [
    lambda s: s.write("A/1Min/OHLCV", bars(0, 5, 1.0)),
    lambda s: s.write_many({"A/1Min/OHLCV": bars(3, 4, 50.0), "B/1Min/OHLCV": bars(0, 2, 9.0)}),
    lambda s: s.commit([Write("A/1Sec/TRADE", ticks(0, 6), TICKS)]),
    lambda s: s.commit([Write("A/1Sec/PRICE", prices(0, 6), PLAIN_TICKS)]),
    flush,
    lambda s: s.bulk(
        {
            "A/1Min/OHLCV": bars(5, 4, 20.0),
            "D/1Min/OHLCV": bars(0, 3, 2.0),
            "N/1Min/OHLCV": rich(0, MANY, 3),
        }
    ),
    lambda s: s.write_table("1Min/OHLCV", cross_section(1, 6)),
    lambda s: s.commit([Replace("A/1Sec/TRADE", T0, T0 + 1, ticks(2, 3), TICKS)]),
    lambda s: s.bulk(
        [
            Replace("A/1Min/OHLCV", T0 + 60, T0 + 180, bars(1, 1, 70.0)),
            Write("A/1Sec/TRADE", ticks(3, 6), TICKS),
            Write("A/1Sec/PRICE", prices(2, 3), PLAIN_TICKS),
        ]
    ),
    lambda s: s.commit([Write("A/1Sec/PRICE", prices(3, 5), PLAIN_TICKS)]),
    lambda s: s.rename("D/1Min/OHLCV", "E/1Min/OHLCV"),
    flush,
    compact(),
    lambda s: s.delete("N/1Min/OHLCV", T0 + 600, T0 + 1200),
    lambda s: s.create("C/1D/OHLCV", Schema.of({"Close": "f8"})),
    lambda s: s.write("N/1Min/OHLCV", rich(15, 2, 8)),
    flush,
    lambda s: s.destroy("B/1Min/OHLCV"),
    lambda s: s.write("B/1Min/OHLCV", {"Epoch": [T0], "Other": [4]}),
    lambda s: s.bulk(
        {"D/1Min/OHLCV": bars(1, 3, 6.0), "B/1Min/OHLCV": {"Epoch": [9], "Other": [5]}}
    ),
    lambda s: s.alter("A/1Min/OHLCV", Schema.of({"Close": "f8", "Volume": "i4"})),
    lambda s: s.copy("A/1Min/OHLCV", "F/1Min/OHLCV"),
    lambda s: s.write("F/1Min/OHLCV", volumes(3, 4)),
    compact("N/*/*"),
    lambda s: s.commit(
        [
            Replace("A/1Min/OHLCV", T0 + 60, T0 + 240, volumes(2, 1)),
            WriteTable("1Min/OHLCV", cross_section(2, 3)),
        ]
    ),
    lambda s: s.delete("A/1Sec/PRICE"),
    flush,
    lambda s: s.commit([Write("A/1Sec/PRICE", prices(0, 2), PLAIN_TICKS)]),
    lambda s: s.destroy("N/1Min/OHLCV"),  # its files go by themselves, at a moment of their own
    flush,
    compact(),
    lambda s: s.write("A/1Min/OHLCV", volumes(4, 3)),
]
#: The store is closed and opened again before each of these steps.
REOPENED = (8, 15, 28)


def contents(store: StoreApi) -> Contents:
    """Everything a store holds, in a form that compares."""
    return {
        key: (rows.ts.tobytes(), [(name, a.dtype.str, a.tobytes()) for name, a in rows.items()])
        for key in store.list()
        for rows in [store.read(key)]
    }


def contents_after_each_step() -> list[Contents]:
    model = ModelStore()
    found = [contents(model)]
    for step in STEPS:
        step(model)
        found.append(contents(model))
    return found


CONTENTS = contents_after_each_step()


def open_store(
    fs: FaultFileSystem, settings: Settings = QUIET, *, read_only: bool = False
) -> Store:
    """The store of a fault-injecting file system."""
    return Store("store", fs=fs, read_only=read_only, settings=settings)


def run(fs: FaultFileSystem, settings: Settings = QUIET) -> int:
    """Run the workload; returns the acknowledged steps.

    Whatever goes wrong leaves through here as the exception it is, with the number of
    acknowledged steps in its `args[-1]`.
    """
    done = 0
    store = None
    try:
        store = open_store(fs, settings)
        for step in STEPS:
            if done in REOPENED:
                store.close()
                store = open_store(fs, settings)
            step(store)
            done += 1
        store.close()
    except Exception as error:
        if store is not None:
            with contextlib.suppress(Exception):
                store.close()  # ends its threads; with the power off it can change nothing
        error.args = (*error.args, done)
        raise
    return done


def open_or_none(fs: FaultFileSystem) -> Contents | None:
    """What a read-only opening sees; None where no store was created yet."""
    try:
        with open_store(fs, read_only=True) as store:
            return contents(store)
    except NotFoundError:
        return None
