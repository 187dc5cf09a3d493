"""Readers in threads and in another process compare every answer, while everything is rewritten.

One thread writes, loads, deletes, renames, flushes and compacts; before and after each step it
says what the store holds. What a reader gets must be what the store held at some moment between the
beginning and the end of its call. Some seconds by default; ten minutes with TSSTORE_TEST_SCALE=150.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tests.crash.scale import SCALE
from tsstore.errors import NotFoundError

T0 = 1_483_228_800
SECONDS = 4 * SCALE
BAR, TICK = "A/1Min/OHLCV", "A/1Sec/TICK"
NAMES = ("X/1Min/OHLCV", "Y/1Min/OHLCV")
ROWS = 6_000
SETTINGS = tsstore.Settings(
    memtable_bytes=64 << 10, compaction_bytes_per_s=1 << 40, cache_bytes=1 << 20, bulk_bytes_min=0
)


def bars(value: float, rows: int = ROWS) -> dict[str, object]:
    return {"Epoch": T0 + 60 * np.arange(rows), "Close": np.full(rows, value)}


class History:
    """What the store held after each step of the writer: the number of the step says it all.

    * `A/1Min/OHLCV`: `ROWS` bars, all of them the number of the last step;
    * `A/1Sec/TICK`: as many ticks as steps, numbered, but for those of the first half of each 100,
      which are deleted when it is full;
    * the bars of `X` or `Y`: one bucket that is renamed at each step that is a multiple of 7.
    """

    def __init__(self) -> None:
        self.begun = -1
        self.done = -1


def ticks_after(step: int) -> list[int]:
    hundreds = (step + 1) // 100 * 100
    return [n for n in range(step + 1) if n % 100 >= 50 or n >= hundreds]


def write_step(store: tsstore.Store, step: int) -> None:
    """One step; its parts are one commit, or deletes of rows of before."""
    tick = {"Epoch": [T0 + step], "Number": [step]}
    operations = [
        tsstore.Replace(BAR, T0, T0 + 60 * ROWS, bars(step)),
        tsstore.Write(TICK, tick, variable=True),
    ]
    if step % 7 == 0:
        store.rename(NAMES[step // 7 % 2], NAMES[(step // 7 + 1) % 2])
    if step % 3 == 0:
        store.bulk(operations)
    else:
        store.commit(operations)
    if step % 100 == 99:
        store.delete(TICK, T0 + step - 99, T0 + step - 50)
    if step % 40 == 39:
        store.flush()
    if step % 90 == 89:
        store.compact()


def check_answers(store: tsstore.Store, history: History) -> None:
    """Read everything once and compare it with what was there meanwhile."""
    first = history.done
    rows = store.read(BAR)
    last = history.begun
    assert len(rows) == ROWS
    assert len(set(rows["Close"].tolist())) == 1
    assert first <= rows["Close"][0] <= last, f"{rows['Close'][0]} between {first} and {last}"

    first = history.done
    numbers = store.read(TICK)["Number"].tolist()
    last = history.begun
    check_ticks(numbers, first, last)
    assert store.read(TICK, limit=1)["Number"][0] >= numbers[-1]

    keys = store.list()
    assert sum(name in keys for name in NAMES) == 1, keys
    assert all(len(rows) == 3 for name in NAMES for rows in read_or_nothing(store, name))


def read_or_nothing(store: tsstore.Store, key: str) -> list[tsstore.Columns]:
    try:
        return [store.read(key)]
    except NotFoundError:
        return []


def check_ticks(numbers: list[int], first: int, last: int) -> None:
    newest = numbers[-1]
    assert first <= newest <= last, f"tick {newest} between {first} and {last}"
    # The delete of a step comes after its rows.
    without, with_delete = ticks_after(newest), ticks_after(newest)
    if newest % 100 == 99:
        without = [*ticks_after(newest - 1), newest]
    assert numbers in (without, with_delete), f"ticks up to {newest}: lost or doubled"


@pytest.mark.timeout(120 + 3 * SECONDS)
def test_readers_agree_while_everything_is_rewritten(tmp_path: Path) -> None:
    data = tmp_path / "data"
    history, failures, ended = History(), [], threading.Event()
    with tsstore.open(data, settings=SETTINGS) as store:
        store.write(NAMES[0], bars(0.0, 3))
        step(store, history, 0)

        def read(reader: tsstore.Store) -> None:
            try:
                while not ended.is_set():
                    check_answers(reader, history)
            except BaseException as error:  # told by the test
                failures.append(error)
                ended.set()

        follower = tsstore.open(data, read_only=True)
        threads = [threading.Thread(target=read, args=(each,)) for each in (store, store, follower)]
        for thread in threads:
            thread.start()
        elsewhere = start_process(data)
        end = time.monotonic() + SECONDS
        number = 0
        while (time.monotonic() < end or number < 10) and not ended.is_set():
            number += 1
            step(store, history, number)
        ended.set()
        for thread in threads:
            thread.join()
        out, _ = elsewhere.communicate("end\n")
        follower.close()
        assert failures == []
        assert elsewhere.returncode == 0, out
        assert int(out.split()[-1]) > 0
        assert store.check().ok


def step(store: tsstore.Store, history: History, number: int) -> None:
    history.begun = number
    write_step(store, number)
    history.done = number


def start_process(data: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.crash.test_readers", str(data)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def follow(path: str) -> None:
    """The reader in another process: what it sees is whole, and never goes back."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), ended.set()), daemon=True).start()
    newest, reads = 0, 0
    with tsstore.open(path, read_only=True) as store:
        while not ended.is_set() or not reads:
            rows = store.read(BAR)
            assert len(rows) == ROWS
            assert len(set(rows["Close"].tolist())) == 1
            assert rows["Close"][0] >= newest
            newest = int(rows["Close"][0])
            numbers = store.read(TICK)["Number"].tolist()
            check_ticks(numbers, newest, 1 << 60)
            newest = numbers[-1]
            reads += 1
    print("reads", reads)


if __name__ == "__main__":
    follow(sys.argv[1])
