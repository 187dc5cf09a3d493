"""A directory with every kind of file, for what damages it and what mends it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore import Schema
from tsstore.storage.settings import Settings
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.api import StoreApi

QUIET = Settings(memtable_bytes=1 << 30, compaction_bytes_per_s=0)
TICKS = Schema.of({"Price": "f8", "Seq": "i8"}, variable=True, identity=["Seq"])
T0 = 1_483_228_800
BIG, A, B, C = (f"{symbol}/1Min/OHLCV" for symbol in ("BIG", "A", "B", "C"))

Contents = dict[str, list[tuple[Any, ...]]]


class Numbers:
    """Values that are never used twice, so that a row says which write it is from."""

    def __init__(self) -> None:
        self._used = 0

    def take(self, count: int) -> NDArray[np.float64]:
        """The next ones; not so regular that a block of them takes no bytes."""
        first = self._used
        self._used += count
        return np.sqrt(np.arange(first, first + count) + 1.0)


def write(store: StoreApi, numbers: Numbers, key: str, first: int, rows: int) -> None:
    """Bars of neighbouring minutes."""
    store.write(key, bars(numbers, first, rows))


def bars(numbers: Numbers, first: int, rows: int) -> dict[str, object]:
    """Bars of neighbouring minutes as a table."""
    return {"Epoch": T0 + 60 * np.arange(first, first + rows), "Close": numbers.take(rows)}


def ticks(numbers: Numbers, rows: int) -> dict[str, object]:
    """Trades, two in each millisecond."""
    instants = (T0 * 1000 + np.arange(rows) // 2) * 1_000_000 + 17
    sequence = np.arange(rows)
    return {"Epoch": instants.astype("M8[ns]"), "Price": numbers.take(rows), "Seq": sequence}


def fill(store: Store) -> None:
    """Flushed, packed and loaded segments, shared ones too, with deleted ranges, and a log."""
    numbers = Numbers()
    for key in (A, B, C):
        write(store, numbers, key, 0, 300)
    write(store, numbers, BIG, 0, 9000)
    store.write("T/1Sec/TRADE", ticks(numbers, 6000), schema=TICKS)
    store.write("T/1Sec/PRICE", bars(numbers, 0, 100), variable=True)
    store.flush()
    write(store, numbers, BIG, 4000, 5000)
    write(store, numbers, B, 100, 50)
    store.rename(C, "R/1Min/OHLCV")
    store.compact()
    write(store, numbers, BIG, 8000, 5000)
    write(store, numbers, A, 250, 100)
    store.bulk({B: bars(numbers, 120, 80), BIG: bars(numbers, 6000, 5000)})
    write(store, numbers, B, 190, 20)
    store.delete(A, T0 + 600, T0 + 1200)
    store.flush()
    store.write("T/1Sec/PRICE", bars(numbers, 30, 50), variable=True)
    write(store, numbers, A, 15, 3)
    store.bulk({B: bars(numbers, 195, 10)})
    write(store, numbers, B, 199, 2)
    write(store, numbers, "N/1Min/OHLCV", 0, 4)


@cache
def directory(*, closed: bool) -> tuple[dict[str, bytes], Contents]:
    """The files of the directory and what is in it; not closed, its process was killed."""
    fs = FaultFileSystem()
    store = Store("store", fs=fs, settings=QUIET)
    fill(store)
    truth = contents(store)
    files = fs.files() if not closed else {}
    store.close()
    return files or fs.files(), truth


def file_system(files: dict[str, bytes]) -> FaultFileSystem:
    """A file system that holds these files on its medium."""
    fs = FaultFileSystem()
    for name, data in files.items():
        fs.damage(name, data)
    return fs


def contents(store: StoreApi) -> Contents:
    """All rows of all buckets."""
    found = {}
    for key in store.list():
        rows = store.read(key)
        columns = [rows.ts.tolist(), *(_comparable(array) for _, array in rows.items())]
        found[key] = list(zip(*columns, strict=True))
    return found


def _comparable(array: NDArray[Any]) -> list[Any]:
    """Values of which each equals itself: NaN as text."""
    values: list[Any] = array.tolist()
    return ["NaN" if value != value else value for value in values]  # noqa: PLR0124


def read_all(fs: FaultFileSystem) -> Contents:
    """All rows that a writer finds."""
    with Store("store", fs=fs, settings=QUIET) as store:
        return contents(store)


def difference(found: Contents, truth: Contents) -> tuple[int, int]:
    """How many rows are missing, and how many are there that should not be."""
    missing = wrong = 0
    for key in found.keys() | truth.keys():
        if found.get(key) == truth.get(key):
            continue  # counting takes longer than all else that a test of damage does
        have, want = Counter(found.get(key, [])), Counter(truth.get(key, []))
        missing += (want - have).total()
        wrong += (have - want).total()
    return missing, wrong
