"""Every byte of every file is flipped, every file is cut and removed: an error, or the right rows.

The one thing that cannot be told from a crash is the last commit of a log that was not closed.
"""

from __future__ import annotations

import random

import pytest

from tests.crash.workload import CONTENTS, STEPS, contents, open_store, run
from tsstore.errors import CorruptionError, FormatVersionError, NotFoundError, TsStoreError
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem

DAMAGE = (CorruptionError, FormatVersionError)


def closed_store() -> FaultFileSystem:
    fs = FaultFileSystem()
    run(fs)
    return fs


def killed_store() -> FaultFileSystem:
    fs = FaultFileSystem()
    store = open_store(fs)
    for step in STEPS:
        step(store)
    return fs.survivors(all_live=True)


def read_all(fs: FaultFileSystem) -> dict[str, object] | None:
    """Everything the store holds; None if it says that it is damaged."""
    try:
        with open_store(fs, read_only=True) as store:
            return contents(store)
    except DAMAGE:
        return None


def check_reports(fs: FaultFileSystem) -> bool:
    """Whether `check` finds something."""
    try:
        return not Store("s", fs=fs, read_only=True).check().ok
    except DAMAGE:
        return True


def assert_noticed(fs: FaultFileSystem, expected: list[dict[str, object]], what: str) -> None:
    seen = read_all(fs)
    assert seen is None or seen in expected, f"{what}: wrong rows and no error"
    if seen is None:
        assert check_reports(fs), f"{what}: check finds nothing"


def some_offsets(name: str, length: int) -> list[int]:
    """Every byte of small files, and of the others the ends and a random part."""
    if length <= 1500:
        return list(range(length))
    rng = random.Random(name)
    middle = rng.sample(range(300, length - 400), min(400, length - 700))
    return [*range(300), *middle, *range(length - 400, length)]


@pytest.mark.parametrize("kind", ["MANIFEST", "wal/", "buckets/"])
@pytest.mark.parametrize("state", [closed_store, killed_store])
def test_a_flipped_byte_gives_an_error_or_the_right_rows(state, kind: str) -> None:
    fs = state()
    allowed = CONTENTS[-1:] if state is closed_store else CONTENTS[-2:]
    for name, data in fs.files().items():
        if not name.startswith(kind):
            continue
        for offset in some_offsets(name, len(data)):
            flipped = bytearray(data)
            flipped[offset] ^= 1 << (offset % 8)
            fs.damage(name, bytes(flipped))
            assert_noticed(fs, allowed, f"{name} byte {offset} of {len(data)}")
        fs.damage(name, data)
    assert read_all(fs) == CONTENTS[-1]


@pytest.mark.parametrize("state", [closed_store, killed_store])
def test_a_shortened_file_gives_an_error_or_the_right_rows(state) -> None:
    fs = state()
    allowed = CONTENTS[-1:] if state is closed_store else CONTENTS[-2:]
    for name, data in fs.files().items():
        for length in {0, 1, 8, *range(0, len(data), max(1, len(data) // 60)), len(data) - 1}:
            if length >= len(data):
                continue
            if state is killed_store and name.startswith("wal/") and length < last_commit(data):
                continue  # a log that was never closed may have ended there
            fs.damage(name, data[:length])
            assert_noticed(fs, allowed, f"{name} cut to {length} of {len(data)}")
        fs.damage(name, data)


def last_commit(data: bytes) -> int:
    return data.rfind(b"TSR1")


@pytest.mark.parametrize("state", [closed_store, killed_store])
def test_a_missing_file_gives_an_error(state) -> None:
    fs = state()
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


def test_files_of_another_day_are_not_taken_for_todays() -> None:
    """A file restored from a backup beside newer ones must not give old rows."""
    fs = FaultFileSystem()
    store = open_store(fs)
    for step in STEPS[:8]:
        step(store)
    store.close()
    yesterday = fs.files()
    store = open_store(fs)
    for step in STEPS[8:]:
        step(store)
    store.close()
    today = fs.files()
    for name in yesterday.keys() & today.keys():
        if yesterday[name] != today[name]:
            fs.damage(name, yesterday[name])
            assert read_all(fs) is None, f"{name} of yesterday was accepted"
            fs.damage(name, today[name])
    for name in yesterday.keys() - today.keys():
        fs.damage(name, yesterday[name])
        assert read_all(fs) == CONTENTS[-1], f"{name} of yesterday changed the rows"
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
    broken = bytearray(data[:-1])
    broken[commits[1] + 100] ^= 1
    fs.damage(name, bytes(broken))
    assert read_all(fs) is None
    with pytest.raises(CorruptionError, match="whole ones follow"):
        open_store(fs.survivors(all_live=True))


def test_damage_in_one_segment_leaves_the_others_readable() -> None:
    fs = closed_store()
    name = next(name for name in fs.files() if name.endswith(".seg"))
    data = bytearray(fs.files()[name])
    data[200] ^= 255
    fs.damage(name, bytes(data))
    with open_store(fs, read_only=True) as store:
        results = []
        for key in store.list():
            try:
                store.read(key)
                results.append("read")
            except CorruptionError as error:
                assert name in str(error)
                assert "tsstore check" in str(error)
                results.append("damaged")
    assert {"read", "damaged"} == set(results)
