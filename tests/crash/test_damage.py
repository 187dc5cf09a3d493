"""Bytes of every file are flipped, every file is cut and removed: an error, or the right rows.

The one thing that cannot be told from a crash is the last commit of a log that was not closed.
A sample of the bytes by default; every byte with TSSTORE_TEST_SCALE=10000 (see `scale`).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest

from tests.crash.scale import sample
from tests.crash.workload import QUIET, STEPS, T0, Contents, bars, contents, flush, open_store, rich
from tsstore.errors import CorruptionError, FormatVersionError, NotFoundError, TsStoreError
from tsstore.testing.faultfs import FaultFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore.store import Store

DAMAGE = (CorruptionError, FormatVersionError)
#: Up to where the workload has a large bucket, flat, packed and with deleted ranges.
WITH_LARGE = STEPS[:25]
#: A bucket with columns that no other has: it shares files with none.
NEW = "new/1Min/NEW"


def do_all_but_the_last(store: Store) -> None:
    """Files of every kind: packed and flat, shared and own, a log with rows and with a load."""
    for step in WITH_LARGE:
        step(store)
    store.delete("N/1Min/OHLCV", T0 + 6000, T0 + 12_000)
    store.bulk({"N/1Min/OHLCV": rich(4_000, 300, 4)})
    flush(store)
    store.bulk({"D/1Min/OHLCV": bars(0, 9, 0.0), "N/1Min/OHLCV": rich(90, 40, 5)})
    store.delete("D/1Min/OHLCV", T0, T0)


class Directory:
    """A directory of files of every kind, and what may be seen of it when it is damaged."""

    def __init__(self, *, is_closed: bool) -> None:
        fs = FaultFileSystem()
        store = open_store(fs)
        do_all_but_the_last(store)
        before = contents(store)
        store.write("D/1Min/OHLCV", bars(0, 2, 7.0))
        self.whole = contents(store)
        self.is_closed = is_closed
        #: A log that is not closed may end before its last commit.
        self.allowed = [self.whole] if is_closed else [self.whole, before]
        killed = fs.killed()
        store.close()
        self._fs = fs if is_closed else killed

    def copy(self) -> FaultFileSystem:
        """A copy to damage."""
        return self._fs.survivors(all_live=True)


@functools.cache
def directory(state: str) -> Directory:
    return Directory(is_closed=state == "closed")


both_states = pytest.mark.parametrize("state", ["closed", "killed"])


def read_all(fs: FaultFileSystem) -> Contents | None:
    """Everything the store holds; None if it says that it is damaged."""
    try:
        with open_store(fs, read_only=True) as store:
            return contents(store)
    except DAMAGE:
        return None


def check_reports(fs: FaultFileSystem) -> bool:
    """Whether `check` finds something."""
    try:
        with open_store(fs, read_only=True) as store:
            return not store.check().ok
    except DAMAGE:
        return True


def assert_noticed(fs: FaultFileSystem, expected: list[Contents], what: str) -> None:
    seen = read_all(fs)
    assert seen is None or seen in expected, f"{what}: wrong rows and no error"
    if seen is None:
        assert check_reports(fs), f"{what}: check finds nothing"


def flipped(data: bytes, offset: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1 << (offset % 8)
    return bytes(changed)


def some_offsets(length: int) -> Iterable[int]:
    """Both ends of a file, where its structure is, and bytes of the middle."""
    return sorted({*sample(min(length, 400), 8), *sample(length, 8), *range(length - 2, length)})


@pytest.mark.parametrize("kind", ["MANIFEST", "wal/", "buckets/"])
@both_states
def test_a_flipped_byte_gives_an_error_or_the_right_rows(state: str, kind: str) -> None:
    there = directory(state)
    fs = there.copy()
    names = [name for name in fs.files() if name.startswith(kind)]
    assert names
    for name in names:
        data = fs.files()[name]
        for offset in some_offsets(len(data)):
            fs.damage(name, flipped(data, offset))
            assert_noticed(fs, there.allowed, f"{name} byte {offset} of {len(data)}")
        fs.damage(name, data)
    assert read_all(fs) == there.whole


@both_states
def test_a_shortened_file_gives_an_error_or_the_right_rows(state: str) -> None:
    there = directory(state)
    fs = there.copy()
    for name, data in fs.files().items():
        for length in {0, 1, 8, *sample(len(data), 10), len(data) - 1} - {len(data)}:
            if not there.is_closed and name.startswith("wal/") and length < last_commit(data):
                continue  # a log that was never closed may have ended there
            fs.damage(name, data[:length])
            assert_noticed(fs, there.allowed, f"{name} cut to {length} of {len(data)}")
        fs.damage(name, data)


def last_commit(data: bytes) -> int:
    return data.rfind(b"TSR1")


@both_states
def test_a_missing_file_gives_an_error(state: str) -> None:
    fs = directory(state).copy()
    for name, data in fs.files().items():
        fs.remove(name)
        try:
            seen = read_all(fs)
        except NotFoundError:
            seen = None  # without a manifest there is no store to read
        assert seen is None, f"{name} is gone and nobody noticed"
        with pytest.raises(TsStoreError):
            contents(open_store(fs.survivors(all_live=True)))
        fs.damage(name, data)


def test_a_damaged_segment_costs_only_the_buckets_in_it() -> None:
    there = directory("closed")
    fs = there.copy()
    segments = [name for name in fs.files() if name.endswith(".seg")]
    assert any("%shared" in name for name in segments)
    assert any("%shared" not in name for name in segments)
    for name in segments:
        data = fs.files()[name]
        fs.damage(name, b"")
        touched = unreadable(fs, name, there.whole)
        assert touched < set(there.whole), f"{name}: nothing can be read without it"
        for offset in some_offsets(len(data)):
            fs.damage(name, flipped(data, offset))
            assert unreadable(fs, name, there.whole) <= touched, f"{name} byte {offset}"
        fs.damage(name, data)


def unreadable(fs: FaultFileSystem, name: str, whole: Contents) -> set[str]:
    """Keys that cannot be read because of a damaged file; all others are as they were."""
    damaged = set()
    with open_store(fs, read_only=True) as store:
        for key in store.list():
            try:
                rows = store.read(key)
            except DAMAGE as error:
                assert name in str(error), f"{key}: the error names another file"
                assert isinstance(error, FormatVersionError) or "tsstore check" in str(error)
                damaged.add(key)
                continue
            found = [(column, a.dtype.str, a.tobytes()) for column, a in rows.items()]
            assert (rows.ts.tobytes(), found) == whole[key], f"{key}: wrong rows and no error"
    return damaged


def test_a_damaged_segment_does_not_stop_writing_flushing_and_compacting() -> None:
    there = directory("closed")
    with open_store(FaultFileSystem()) as store:
        store.write(NEW, {"Epoch": [T0], "New": [1.5]})
        in_new = contents(store)[NEW]
    for name, data in there.copy().files().items():
        if not name.endswith(".seg"):
            continue
        for offset in sample(len(data), 4):
            fs = there.copy()
            fs.damage(name, flipped(data, offset))
            with open_store(fs) as store:
                store.write(NEW, {"Epoch": [T0], "New": [1.5]})
                store.flush()
                try:
                    store.compact()
                except DAMAGE as error:
                    assert name in str(error)
                assert store.read(NEW)["New"].tolist() == [1.5]
            damaged = unreadable(fs, name, {**there.whole, NEW: in_new})
            assert damaged < set(there.whole), f"{name} byte {offset}"


def test_files_of_another_day_are_not_taken_for_todays() -> None:
    """A file restored from a backup beside newer ones must not give old rows."""
    fs = FaultFileSystem()
    with open_store(fs, QUIET) as store:
        for step in WITH_LARGE[:13]:
            step(store)
    yesterday = fs.files()
    with open_store(fs, QUIET) as store:
        for step in WITH_LARGE[13:]:
            step(store)
        whole = contents(store)
    today = fs.files()
    for name in yesterday.keys() & today.keys():
        if yesterday[name] != today[name]:
            fs.damage(name, yesterday[name])
            assert read_all(fs) is None, f"{name} of yesterday was accepted"
            fs.damage(name, today[name])
    for name in yesterday.keys() - today.keys():
        fs.damage(name, yesterday[name])
        assert read_all(fs) == whole, f"{name} of yesterday changed the rows"
        fs.remove(name)


def test_damage_before_a_torn_tail_is_not_taken_for_a_part_of_it() -> None:
    """A crash tears the last commit only: whole ones behind unreadable bytes are damage."""
    fs = FaultFileSystem()
    store = open_store(fs)
    for number in range(4):
        store.write("A/1Sec/TICK", {"Epoch": [number], "N": [number]}, variable=True)
    name = "wal/000001.wal"
    data = fs.files()[name]
    commits = [place for place in range(len(data)) if data.startswith(b"TSR1", place)][1:]
    broken = flipped(data[:-1], commits[1] + 100)
    fs.damage(name, broken)
    assert read_all(fs) is None
    with pytest.raises(CorruptionError, match="whole ones follow"):
        open_store(fs.survivors(all_live=True))
    store.close()
