"""A program that eight threads write with until it is killed, and what must be there afterwards.

Each thread numbers its steps and acknowledges each. After the first `n` steps, its buckets hold
what `n` alone says, so a reader needs no log of what was done:

* `B{thread}` bars of all steps, but those whose number is a multiple of 10 are deleted again by the
  step after the next;
* `T{thread}` two ticks without identity per step, so that a row stored twice would show;
* `ALL` one slot per thread, which holds its last step;
* `L{thread}` a bulk load of `LOADED` bars per step whose number is a multiple of 8, in the place of
  the one before;
* `R{thread}-{k}` a bucket that is renamed by each step whose number is a multiple of 6.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import numpy as np

import tsstore
from tsstore.errors import NotFoundError

THREADS = 8
LOADED = 5_000
T0 = 1_483_228_800

Acknowledge = Callable[[int, int], None]

#: Small enough that flushes and compactions run all the time.
SETTINGS = tsstore.Settings(
    memtable_bytes=256 << 10, compaction_bytes_per_s=1 << 40, bulk_bytes_min=0
)


def bars(first: int, count: int, value: float) -> dict[str, object]:
    return {"Epoch": T0 + 60 * np.arange(first, first + count), "Close": np.full(count, value)}


def step(store: tsstore.StoreApi, thread: int, number: int) -> None:
    """One step: one atomic commit, then changes of other kinds that nothing else depends on."""
    ticks = {"Epoch": [T0 + number, T0 + number], "Number": [number, -number]}
    operations: list[tsstore.Write | tsstore.Replace] = [
        tsstore.Write(f"B{thread}/1Min/OHLCV", bars(number, 1, number)),
        tsstore.Write("ALL/1Min/OHLCV", bars(thread, 1, number)),
        tsstore.Write(f"T{thread}/1Sec/TICK", ticks, variable=True),
    ]
    if number % 8 == 0:
        load = f"L{thread}/1Min/OHLCV"
        ends = T0, T0 + 60 * LOADED
        store.bulk([tsstore.Replace(load, *ends, bars(0, LOADED, number))])
    if number % 10 == 2:
        gone = T0 + 60 * (number - 2)
        store.delete(f"B{thread}/1Min/OHLCV", gone, gone)
    if number % 6 == 0:
        rename(store, thread, number // 6)
    store.commit(operations)


def rename(store: tsstore.StoreApi, thread: int, count: int) -> None:
    old, new = renamed(thread, count - 1), renamed(thread, count)
    if count == 0:
        if new not in store.list():
            store.write(new, bars(0, 3, thread))
        return
    try:
        store.rename(old, new)
    except NotFoundError:  # the step before the kill did it
        assert new in store.list()


def renamed(thread: int, count: int) -> str:
    return f"R{thread}-{count}/1Min/OHLCV"


def write_for_ever(
    store: tsstore.StoreApi, thread: int, first: int, acknowledge: Acknowledge
) -> None:
    """Step after step, until something fails."""
    number = first
    while True:
        step(store, thread, number)
        acknowledge(thread, number)
        number += 1


def verify(store: tsstore.StoreApi, thread: int, least: int) -> int:
    """Check what a thread wrote, of which `least` steps were acknowledged; returns the steps."""
    keys = set(store.list())
    if f"B{thread}/1Min/OHLCV" not in keys:
        assert least == 0, f"thread {thread}: {least} acknowledged, nothing there"
        count = 0
    else:
        slot = T0 + 60 * thread
        count = int(store.read("ALL/1Min/OHLCV", start=slot, end=slot)["Close"][0]) + 1
    assert count in (least, least + 1), f"thread {thread}: {least} acknowledged, {count} there"
    if count:
        verify_rows(store, thread, count)
    verify_load(store, thread, count, keys)
    verify_rename(store, thread, count, keys)
    return count


def verify_rows(store: tsstore.StoreApi, thread: int, count: int) -> None:
    numbers = np.arange(count)
    expected = np.stack([numbers, -numbers], axis=1).ravel()
    ticks = store.read(f"T{thread}/1Sec/TICK")["Number"]
    np.testing.assert_array_equal(ticks, expected, f"thread {thread}: ticks lost or doubled")
    closes = store.read(f"B{thread}/1Min/OHLCV")["Close"]
    # The next step may have deleted its row before the process was killed.
    possible = [numbers[(numbers % 10 != 0) | (numbers + 2 >= n)] for n in (count, count + 1)]
    assert any(np.array_equal(closes, some) for some in possible), f"thread {thread}: bars"


def verify_load(store: tsstore.StoreApi, thread: int, count: int, keys: set[str]) -> None:
    key = f"L{thread}/1Min/OHLCV"
    if key not in keys:
        assert count == 0
        return
    values = store.read(key)["Close"]
    assert len(values) == LOADED, f"thread {thread}: {len(values)} loaded rows"
    loads = {8 * ((n - 1) // 8) for n in (count, count + 1) if n > 0}
    assert len(set(values.tolist())) == 1, f"thread {thread}: half a load"
    assert values[0] in loads, f"thread {thread}: not the last load"


def verify_rename(store: tsstore.StoreApi, thread: int, count: int, keys: set[str]) -> None:
    mine = [key for key in keys if key.startswith(f"R{thread}-")]
    names = [renamed(thread, (n - 1) // 6) for n in (count, count + 1) if n > 0]
    assert len(mine) == 1 or count == 0, f"thread {thread}: {mine}"
    for key in mine:
        assert key in names, f"thread {thread}: {key} after {count} steps"
        assert store.read(key)["Close"].tolist() == [thread] * 3


def main(path: str, first: list[int]) -> None:
    """Write until someone kills the process; each acknowledged step is a line on stdout."""
    store = tsstore.open(path, settings=SETTINGS)

    def acknowledge(thread: int, number: int) -> None:
        os.write(1, f"{thread} {number}\n".encode())

    threads = [
        threading.Thread(target=write_for_ever, args=(store, thread, first[thread], acknowledge))
        for thread in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()  # a program that ends lets nobody start threads, and bulk loads do


if __name__ == "__main__":
    main(sys.argv[1], [int(number) for number in sys.argv[2:]])
