"""A workload with every kind of write, step by step, and the right state after each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tsstore import Schema
from tsstore.api import Replace, StoreApi, Write, WriteTable
from tsstore.errors import NotFoundError
from tsstore.storage.settings import Settings
from tsstore.store import Store
from tsstore.testing.model import ModelStore

if TYPE_CHECKING:
    from tsstore.testing.faultfs import FaultFileSystem

TICKS = Schema.of({"Price": "f8", "Seq": "i8"}, variable=True, identity=["Seq"])
PLAIN_TICKS = Schema.of({"Price": "f8"}, variable=True)
T0 = 1_483_228_800

Step = Callable[[StoreApi], None]


def bars(first: int, count: int, value: float) -> dict[str, object]:
    epoch = T0 + 60 * np.arange(first, first + count)
    return {"Epoch": epoch, "Close": np.full(count, value) + np.arange(count)}


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


STEPS: list[Step] = [
    lambda s: s.write("A/1Min/OHLCV", bars(0, 5, 1.0)) and None,
    lambda s: (
        s.write_many({"A/1Min/OHLCV": bars(3, 4, 50.0), "B/1Min/OHLCV": bars(0, 2, 9.0)}) and None
    ),
    lambda s: s.commit([Write("A/1Sec/TRADE", ticks(0, 6), TICKS)]) and None,
    lambda s: s.commit([Write("A/1Sec/PRICE", prices(0, 6), PLAIN_TICKS)]) and None,
    flush,
    lambda s: s.write_table("1Min/OHLCV", cross_section(1, 6)) and None,
    lambda s: s.commit([Replace("A/1Sec/TRADE", T0, T0 + 1, ticks(2, 3), TICKS)]) and None,
    lambda s: s.commit([Write("A/1Sec/PRICE", prices(3, 5), PLAIN_TICKS)]) and None,
    lambda s: s.create("C/1D/OHLCV", Schema.of({"Close": "f8"})),
    flush,
    lambda s: s.destroy("B/1Min/OHLCV"),
    lambda s: s.write("B/1Min/OHLCV", {"Epoch": [T0], "Other": [4]}) and None,
    lambda s: (
        s.commit(
            [
                Replace("A/1Min/OHLCV", T0 + 60, T0 + 240, bars(2, 1, 7.0)),
                WriteTable("1Min/OHLCV", cross_section(2, 3)),
            ]
        )
        and None
    ),
    flush,
    lambda s: s.write("A/1Min/OHLCV", bars(4, 3, 0.5)) and None,
]


def model_after(steps: int) -> ModelStore:
    """The oracle after the first `steps` steps."""
    model = ModelStore()
    for step in STEPS[:steps]:
        step(model)
    return model


MODELS = [model_after(count) for count in range(len(STEPS) + 1)]


def contents(store: StoreApi) -> dict[str, object]:
    """Everything a store holds, in a form that compares."""
    return {
        key: (rows.ts.tolist(), {name: array.tolist() for name, array in rows.items()})
        for key in store.list()
        for rows in [store.read(key)]
    }


CONTENTS = [contents(model) for model in MODELS]


def open_store(fs: FaultFileSystem, *, read_only: bool = False) -> Store:
    """The store of a fault-injecting file system, with nothing that happens by itself."""
    return Store(
        "store",
        fs=fs,
        read_only=read_only,
        settings=Settings(memtable_bytes=1 << 30, compaction_bytes_per_s=0),
    )


def run(fs: FaultFileSystem, *, reopen_after: int = 7) -> int:
    """Run the workload, closing and opening once in between; returns the acknowledged steps.

    Whatever goes wrong leaves through here as the exception it is, with the number of
    acknowledged steps in its `args[-1]`.
    """
    done = 0
    store = None
    try:
        store = open_store(fs)
        for step in STEPS:
            if done == reopen_after:
                store.close()
                store = open_store(fs)
            step(store)
            done += 1
        store.close()
    except Exception as error:
        error.args = (*error.args, done)
        raise
    return done


def open_or_none(fs: FaultFileSystem) -> dict[str, object] | None:
    """What a read-only opening sees; None where no store was created yet."""
    try:
        with open_store(fs, read_only=True) as store:
            return contents(store)
    except NotFoundError:
        return None
