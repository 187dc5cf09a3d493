"""Two things at once, in the one order that could go wrong: each was a mistake once.

The file system lets another call go first at a chosen change, so nothing here depends on luck.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.crash.workload import (
    MANY,
    PLAIN_TICKS,
    QUIET,
    T0,
    bars,
    contents,
    open_store,
    prices,
)
from tsstore.api import Replace, Write
from tsstore.testing.faultfs import FaultFileSystem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    Tracer = Callable[[FrameType, str, object], object]

A, B = "A/1Min/OHLCV", "B/1Min/OHLCV"


def before(fs: FaultFileSystem, kind: str, name: str, action: Callable[[], object]) -> None:
    """Carry out an action just before the next change of this kind to a file named like this."""
    waiting = [action]

    def look(asked: str, of: str) -> None:
        if asked == kind and name in of and waiting:
            waiting.pop()()

    fs.refuse_when(look)


def test_a_manifest_knows_no_bucket_whose_commit_may_be_lost() -> None:
    """The log is not synced, and a flush publishes while a commit creates a bucket."""
    fs = FaultFileSystem()
    store = open_store(fs, replace(QUIET, wal_sync="off"))
    store.write(A, bars(0, 3, 1.0))
    before(fs, "sync", ".seg", lambda: store.write(B, bars(0, 2, 2.0)))
    store.flush()
    with open_store(fs.survivors()) as left:
        seen = contents(left)
        assert seen in ({A: contents(store)[A]}, contents(store))
        left.write(B, bars(5, 1, 3.0))
        left.write("C/1Min/OHLCV", bars(5, 1, 3.0))
        assert left.list() == [A, B, "C/1Min/OHLCV"]
    store.close()


def test_a_reader_keeps_what_was_loaded_while_a_manifest_was_published() -> None:
    """A load that came after the manifest was made stands before its CHECKPOINT in the log."""
    fs = FaultFileSystem()
    store = open_store(fs)
    store.write(A, bars(0, 3, 1.0))
    reader = open_store(fs, read_only=True)
    before(fs, "rename", "MANIFEST", lambda: store.bulk({A: bars(2, 3, 2.0), B: bars(0, 9, 3.0)}))
    store.flush()
    assert contents(reader) == contents(store)
    store.write(A, bars(9, 1, 3.0))
    assert contents(reader) == contents(store)
    store.close()


def test_a_flush_while_compaction_chooses_does_not_disorder_commits() -> None:
    """What was loaded between two commits in memory may be merged once these are in files."""
    fs = FaultFileSystem()
    store = open_store(fs)
    store.bulk({A: bars(0, MANY, 1.0)})
    store.write(A, bars(3, 2, 2.0))
    store.bulk({A: bars(0, MANY, 3.0)})
    expected = contents(store)
    compactor = store.engine._compactor

    def choose(segments, checkpoint):
        store.flush()
        return compactor._worth_it(segments, checkpoint)

    while compactor._round(choose, lambda _bytes: None):
        assert contents(store) == expected
    store.compact()
    assert contents(store) == expected
    store.close()


def test_a_reader_never_sees_half_a_change() -> None:
    """New segments and the chunks they stand for were shown one after the other: rows twice."""
    fs = FaultFileSystem()
    key = "A/1Sec/PRICE"
    with open_store(fs) as store:
        store.commit([Write(key, prices(0, 9), PLAIN_TICKS)])
    store = open_store(fs)  # its threads start with the first write
    counts: list[int] = []
    with between_all_lines_of("storage/state.py", lambda: counts.append(len(store.read(key)))):
        store.replace(key, T0, T0 + 99, prices(0, 9), schema=PLAIN_TICKS)
        store.flush()
        store.bulk([Replace(key, T0, T0 + 99, prices(1, 9), PLAIN_TICKS)])
        store.flush()
        store.compact()
    assert len(counts) > 100
    assert set(counts) == {9}
    store.close()


def test_nobody_sweeps_while_a_manifest_is_published() -> None:
    """A flush took the manifest that a compaction was publishing for a leftover."""
    fs = FaultFileSystem()
    store = open_store(fs)
    store.bulk({A: bars(0, MANY, 1.0)})
    sweeping = threading.Thread(target=store.engine._publisher.sweep)

    def sweep() -> None:
        sweeping.start()
        sweeping.join(0.2)  # it may well wait for us

    before(fs, "rename", "MANIFEST", sweep)
    store.flush()
    sweeping.join()
    with open_store(fs.survivors()) as left:
        assert contents(left) == contents(store)
    store.close()


@contextlib.contextmanager
def between_all_lines_of(file: str, action: Callable[[], object]) -> Iterator[None]:
    """Carry out an action before each line of a file of ours, on the thread that comes by.

    For threads that start meanwhile.
    """

    def trace_line(_frame: FrameType, event: str, _value: object) -> Tracer:
        if event == "line":
            action()
        return trace_line

    def trace(frame: FrameType, _event: str, _value: object) -> Tracer | None:
        return trace_line if frame.f_code.co_filename.endswith(file) else None

    before = threading.gettrace()
    threading.settrace(trace)
    try:
        yield
    finally:
        threading.settrace(before)  # type: ignore[arg-type]
