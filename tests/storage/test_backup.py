"""Backups: one moment of a store, whatever happens meanwhile, and never half of it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tests.storage.damaged import (
    BIG,
    QUIET,
    T0,
    Contents,
    contents,
    directory,
    file_system,
    read_all,
)
from tsstore.errors import (
    CorruptionError,
    InvalidArgumentError,
    LockedError,
    NotFoundError,
    TsStoreError,
)
from tsstore.storage.backup import Backup, back_up_beside, restore
from tsstore.storage.check import check_directory
from tsstore.storage.settings import Settings
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem, PowerCut
from tsstore.vfs import OsFileSystem

KEY = "A/1Min/OHLCV"


def bars(first: int, rows: int, value: float = 0.0) -> dict[str, object]:
    return {"Epoch": T0 + 60 * np.arange(first, first + rows), "Close": np.full(rows, value)}


def seen(path: Path) -> Contents:
    with tsstore.open(path, read_only=True) as store:
        return contents(store)


@pytest.fixture
def store(tmp_path):
    """Segments, packed and flat, and rows that are in the log alone."""
    with Store(tmp_path / "data", settings=QUIET) as opened:
        for number in range(3):
            opened.write_many({f"S{i}/1Min/X": bars(0, 50, number) for i in range(5)})
            opened.write(KEY, bars(5000 * number, 6000, number))
            opened.flush()
        opened.compact("S*/*/*")
        opened.bulk({KEY: bars(100, 5000, 7.0)})
        opened.write("L/1Min/X", bars(0, 10))
        yield opened


def test_a_backup_has_what_the_store_had(store, tmp_path) -> None:
    before = contents(store)
    report = store.backup(tmp_path / "copy")
    store.write(KEY, bars(0, 100, 99.0))
    store.destroy("S0/1Min/X")
    assert report.problems == ()
    assert report.rows >= sum(map(len, before.values()))
    assert seen(tmp_path / "copy") == before
    assert check_directory(OsFileSystem(tmp_path / "copy"), deep=True).ok


def test_a_second_backup_copies_only_what_is_new(store, tmp_path) -> None:
    store.flush()
    first = store.backup(tmp_path / "copy")
    store.write(KEY, bars(40_000, 6000))
    store.flush()
    second = store.backup(tmp_path / "copy")
    assert first.kept == 0
    assert second.kept == first.segments
    assert second.linked + second.copied == second.segments - second.kept > 0
    assert seen(tmp_path / "copy") == contents(store)


def test_files_that_are_no_longer_needed_leave_the_backup(store, tmp_path) -> None:
    store.backup(tmp_path / "copy")
    store.compact()
    report = store.backup(tmp_path / "copy")
    files = [path for path in (tmp_path / "copy" / "buckets").rglob("*") if path.is_file()]
    assert len(files) == report.segments
    assert seen(tmp_path / "copy") == contents(store)


def test_a_link_is_not_written_into(store, tmp_path) -> None:
    """A half backup may have links to files of the store where the next one copies."""

    class NoLinks(OsFileSystem):
        def link(self, path: str, name: str) -> bool:
            return False

    source = OsFileSystem(tmp_path / "data")
    store.backup(tmp_path / "copy")
    for manifest in (tmp_path / "copy").glob("MANIFEST-*"):
        manifest.unlink()
    report = back_up_beside(source, NoLinks(tmp_path / "copy"))
    assert report.copied == report.segments
    assert check_directory(source, deep=True).ok
    assert seen(tmp_path / "copy") == contents(store)


def test_writing_and_compacting_go_on_meanwhile(tmp_path) -> None:
    """Each commit writes one value to all minutes: a backup with two of them is no moment."""
    settings = Settings(memtable_bytes=1 << 16)
    with Store(tmp_path / "data", settings=settings) as store:
        stop = threading.Event()

        def work() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                store.write_many({f"S{i}/1Min/X": bars(0, 300, number) for i in range(4)})

        store.write_many({f"S{i}/1Min/X": bars(0, 300) for i in range(4)})
        writer = threading.Thread(target=work)
        writer.start()
        try:
            for _ in range(8):
                report = store.backup(tmp_path / "copy")
                assert report.problems == ()
                rows = seen(tmp_path / "copy")
                assert len({value for of in rows.values() for _, value in of}) == 1
                assert [len(of) for of in rows.values()] == [300] * 4
        finally:
            stop.set()
            writer.join()


_WRITER = """
import sys, numpy as np, tsstore
from tsstore.storage.settings import Settings
from tsstore.store import Store
minutes = np.arange(300) * 60
with Store(sys.argv[1], settings=Settings(memtable_bytes=1 << 15)) as store:
    number = 0
    while True:
        number += 1
        rows = {"Epoch": minutes, "Close": np.full(300, float(number))}
        store.write_many({f"S{i}/1Min/X": rows for i in range(4)})
        if number % 50 == 0:
            store.compact()
        if number == 1:
            print("begun", flush=True)
"""


def test_another_process_backs_up_beside_the_writer(tmp_path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path / "data")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        with tsstore.open(tmp_path / "data", read_only=True) as store:
            for _ in range(8):
                assert store.backup(tmp_path / "copy").problems == ()
                rows = seen(tmp_path / "copy")
                assert len({value for of in rows.values() for _, value in of}) == 1
                assert [len(of) for of in rows.values()] == [300] * 4
    finally:
        writer.kill()
        writer.communicate()


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_a_power_cut_leaves_the_older_backup_or_none(first) -> None:
    files, truth = directory(closed=False)
    earlier = _earlier(files)
    wanted = read_all(file_system(earlier))
    assert wanted != truth

    def begun() -> FaultFileSystem:
        dest = FaultFileSystem()
        if not first:
            back_up_beside(file_system(earlier), dest)
        return file_system(dest.files())

    dest = begun()
    back_up_beside(file_system(files), dest)
    changes = dest.changes
    for change in range(0, changes, 2):
        dest = begun()
        dest.cut_power_at(change, torn_bytes=change % 3 * 20)
        with pytest.raises(PowerCut):
            back_up_beside(file_system(files), dest)
        left = dest.survivors(random.Random(change))
        try:
            found = read_all(file_system(left.files()))
        except TsStoreError:
            assert first, f"the older backup is lost at change {change}"
        else:
            assert found in ([truth, {}] if first else [truth, wanted]), change
        back_up_beside(file_system(files), left)
        assert read_all(left) == truth, change


def _earlier(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same store before the last commits of its log."""
    name = max(name for name in files if name.startswith("wal/"))
    last = files[name].rfind(b"TSR1")
    return files | {name: files[name][:last]}


def test_a_restored_store_goes_on(store, tmp_path) -> None:
    before = contents(store)
    store.backup(tmp_path / "copy")
    restore(OsFileSystem(tmp_path / "copy"), OsFileSystem(tmp_path / "again"))
    assert not (tmp_path / "again" / "BACKUP").exists()
    with tsstore.open(tmp_path / "again") as again:
        assert contents(again) == before
        again.write(BIG, bars(0, 10))
        again.compact()
    assert seen(tmp_path / "copy") == before
    assert check_directory(OsFileSystem(tmp_path / "copy"), deep=True).ok


def test_restoring_shares_no_file_with_the_backup(store, tmp_path) -> None:
    store.backup(tmp_path / "copy")
    restore(OsFileSystem(tmp_path / "copy"), OsFileSystem(tmp_path / "again"))
    files = list((tmp_path / "again").rglob("*.seg"))
    assert files
    assert {path.stat().st_nlink for path in files} == {1}


def test_a_half_backup_is_not_restored(store, tmp_path) -> None:
    dest = OsFileSystem(tmp_path / "copy")

    class FullError(Exception):
        pass

    class Stopping(OsFileSystem):
        def sync_files(self, names: object) -> None:
            raise FullError

    with pytest.raises(FullError):
        back_up_beside(OsFileSystem(tmp_path / "data"), Stopping(tmp_path / "copy"))
    with pytest.raises(NotFoundError, match="no whole backup"):
        restore(dest, OsFileSystem(tmp_path / "again"))
    with pytest.raises(NotFoundError):
        tsstore.open(tmp_path / "copy", read_only=True)
    with pytest.raises(CorruptionError, match="manifest of this store is missing"):
        tsstore.open(tmp_path / "copy")  # it has segments already
    assert store.backup(tmp_path / "copy").problems == ()


def test_damage_in_the_store_is_found_in_the_backup(store, tmp_path) -> None:
    segment = max((tmp_path / "data").rglob("*.seg"), key=lambda path: path.stat().st_size)
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    segment.write_bytes(bytes(damaged))
    report = store.backup(tmp_path / "copy")
    assert segment.name in report.problems[0]


class TestRefusals:
    def test_a_directory_with_other_things(self, store, tmp_path) -> None:
        (tmp_path / "copy").mkdir()
        (tmp_path / "copy" / "letter.txt").write_text("mine")
        with pytest.raises(InvalidArgumentError, match=r"letter\.txt"):
            store.backup(tmp_path / "copy")
        assert [path.name for path in (tmp_path / "copy").iterdir()] == ["letter.txt"]

    def test_another_store(self, store, tmp_path) -> None:
        with tsstore.open(tmp_path / "other") as other:
            other.write(KEY, bars(0, 3))
        with pytest.raises(InvalidArgumentError, match="a store and no backup"):
            store.backup(tmp_path / "other")

    def test_a_backup_of_another_store(self, store, tmp_path) -> None:
        with tsstore.open(tmp_path / "other") as other:
            other.write(KEY, bars(0, 3))
            other.backup(tmp_path / "copy")
        with pytest.raises(InvalidArgumentError, match="backup of another store"):
            store.backup(tmp_path / "copy")

    def test_the_store_itself(self, store, tmp_path) -> None:
        for path in (tmp_path / "data", tmp_path / "data" / "copy"):
            with pytest.raises(InvalidArgumentError, match="within the store"):
                store.backup(path)

    def test_a_backup_that_was_written_to(self, store, tmp_path) -> None:
        store.backup(tmp_path / "copy")
        with tsstore.open(tmp_path / "copy") as copy:
            copy.write(KEY, bars(0, 3, 5.0))
        with pytest.raises(InvalidArgumentError, match="was written to"):
            store.backup(tmp_path / "copy")

    def test_a_backup_that_is_newer_than_the_store(self, store, tmp_path) -> None:
        store.backup(tmp_path / "old")
        restore(OsFileSystem(tmp_path / "old"), OsFileSystem(tmp_path / "again"))
        store.write(KEY, bars(0, 3))
        store.backup(tmp_path / "copy")
        with (
            tsstore.open(tmp_path / "again") as again,
            pytest.raises(InvalidArgumentError, match="newer than commit"),
        ):
            again.backup(tmp_path / "copy")

    def test_a_backup_that_is_being_made(self, store, tmp_path) -> None:
        dest = OsFileSystem(tmp_path / "copy")
        with Backup(OsFileSystem(tmp_path / "data"), dest), pytest.raises(LockedError):
            store.backup(tmp_path / "copy")

    def test_a_note_that_is_none(self, store, tmp_path) -> None:
        store.backup(tmp_path / "copy")
        (tmp_path / "copy" / "BACKUP").write_text("[]")
        with pytest.raises(InvalidArgumentError, match="not what a backup writes"):
            store.backup(tmp_path / "copy")

    def test_restoring_over_something(self, store, tmp_path) -> None:
        store.backup(tmp_path / "copy")
        with pytest.raises(InvalidArgumentError, match="not empty"):
            restore(OsFileSystem(tmp_path / "copy"), OsFileSystem(tmp_path / "data"))


def test_the_note_says_what_it_is(store, tmp_path) -> None:
    report = store.backup(tmp_path / "copy")
    note = json.loads((tmp_path / "copy" / "BACKUP").read_text())
    assert note["sequence"] == report.sequence
    assert note.keys() == {"store", "manifest", "sequence", "taken"}
