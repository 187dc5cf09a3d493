"""Mistakes that were in the engine once, each the way it was found."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tsstore import Replace, Schema, Settings, Write
from tsstore.errors import InvalidArgumentError, StorageError
from tsstore.key import name_on_disk
from tsstore.storage.flush import SegmentWriter
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem
from tsstore.vfs import OsFileSystem

T0 = 1_483_228_800
KEY = "A/1Min/OHLCV"
EVENTS = Schema.of({"P": "f8", "Seq": "i8"}, variable=True, identity=["Seq"])


def bars(first: int, count: int, value: float = 1.0) -> dict[str, object]:
    return {"Epoch": T0 + 60 * np.arange(first, first + count), "Close": np.full(count, value)}


def event(ns: int, price: float, seq: int = 1) -> dict[str, object]:
    when = np.array([T0 * 10**9 + ns]).astype("M8[ns]")
    return {"Epoch": when, "P": np.array([price]), "Seq": np.array([seq])}


def test_ctrl_c_in_the_middle_of_writing_loses_nothing(tmp_path: Path) -> None:
    program = (
        "import sys, threading, time, os, signal, tsstore\n"
        "writing = False\n"
        "def on_signal(*_):\n"
        "    global writing\n"
        "    if writing:\n"
        "        writing = False\n"
        "        raise KeyboardInterrupt\n"
        "signal.signal(signal.SIGINT, on_signal)\n"
        "store = tsstore.open(sys.argv[1])\n"
        "def interrupt():\n"
        "    for _ in range(150):\n"
        "        time.sleep(0.002)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "interrupter = threading.Thread(target=interrupt)\n"
        "interrupter.start()\n"
        "acknowledged, number, interrupted = [], 0, 0\n"
        "while interrupter.is_alive() or not acknowledged:\n"
        "    number += 1\n"
        "    try:\n"
        "        writing = True\n"
        "        store.write(f'B{number}/1Min/OHLCV', {'Epoch': [number], 'N': [number]})\n"
        "        writing = False\n"
        "        acknowledged.append(number)\n"
        "    except KeyboardInterrupt:\n"
        "        interrupted += 1\n"
        "assert interrupted\n"
        "print(*acknowledged, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    acknowledged = {f"B{number}/1Min/OHLCV" for number in done.stdout.split()}
    assert acknowledged
    with tsstore.open(tmp_path) as store:
        assert acknowledged <= set(store.list())


def test_rows_that_the_same_call_deletes_again_leave_no_empty_run(store: tsstore.Store) -> None:
    """No flush could write it."""
    store.write(KEY, bars(0, 3))
    gone = Write("B/1Min/OHLCV", bars(0, 2))
    store.commit([gone, Replace("B/1Min/OHLCV", T0, T0 + 60, bars(0, 0))])
    store.bulk([gone, Replace("B/1Min/OHLCV", T0, T0 + 60, bars(0, 0))])
    store.flush()
    assert len(store.read("B/1Min/OHLCV")) == 0
    assert len(store.read(KEY)) == 3


def test_a_range_to_delete_that_ends_before_it_begins_is_refused(store: tsstore.Store) -> None:
    store.write(KEY, bars(0, 9))
    store.flush()
    before = store.stats()["sequence"]
    with pytest.raises(InvalidArgumentError, match="A/1Min/OHLCV: the range to delete ends before"):
        store.delete(KEY, T0 + 300, T0 + 120)
    assert store.stats()["sequence"] == before
    assert len(store.read(KEY)) == 9


def test_a_row_outside_of_the_range_to_replace_is_named(store: tsstore.Store) -> None:
    store.write(KEY, bars(0, 9))
    for write in (store.commit, store.bulk):
        with pytest.raises(InvalidArgumentError) as error:
            write([Replace(KEY, T0 + 90, T0 + 150, bars(1, 3))])
        assert str(error.value) == (
            "A/1Min/OHLCV: row 2 at 2017-01-01 00:03:00Z is outside of the range to replace, "
            "2017-01-01 00:01:00Z to 2017-01-01 00:02:30Z; widen the range, or write the row by "
            "itself"
        )
    assert len(store.read(KEY)) == 9


def test_a_listener_that_fails_does_not_touch_the_commit(store: tsstore.Store) -> None:
    def fail(_commit: object) -> None:
        raise RuntimeError("a listener's own trouble")

    store.add_listener(fail)
    for number in range(3):
        store.write(KEY, bars(number, 1))
    assert len(store.read(KEY)) == 3


def test_a_limit_counts_events_after_the_better_copy_won(store: tsstore.Store) -> None:
    store.commit([Write("A/1Sec/T", event(500_000, 1.0), EVENTS)])
    store.commit([Write("A/1Sec/T", event(300_000, 2.0), EVENTS)])
    for from_start in (True, False):
        rows = store.read("A/1Sec/T", limit=1, from_start=from_start)
        assert rows["P"].tolist() == [2.0]


@pytest.mark.parametrize("seed", range(4))
def test_a_limited_read_is_the_end_of_the_full_one(store: tsstore.Store, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(60):
        ns, seq = int(rng.integers(0, 40)) * 250_000, int(rng.integers(0, 4))
        store.commit([Write("A/1Sec/T", event(ns, float(rng.random()), seq), EVENTS)])
        if rng.random() < 0.1:
            store.flush()
        if rng.random() < 0.1:
            low = T0 * 10**9 + int(rng.integers(0, 40)) * 250_000
            ends = np.datetime64(low, "ns"), np.datetime64(low + 1_000_000, "ns")
            inside = event(low - T0 * 10**9 + ns % 1_000_000, 9.0, seq)
            store.commit([Replace("A/1Sec/T", *ends, inside, EVENTS)])
        full = store.read("A/1Sec/T")
        for limit in (1, 2, 5):
            last = store.read("A/1Sec/T", limit=limit)
            first = store.read("A/1Sec/T", limit=limit, from_start=True)
            assert last["P"].tolist() == full["P"][-limit:].tolist()
            assert first["P"].tolist() == full["P"][:limit].tolist()


def test_a_name_too_long_for_a_file_system_is_shortened(store: tsstore.Store) -> None:
    names = ["é" * 64, "é" * 63 + "è", "a" * 128]
    for name in names:
        store.bulk({f"{name}/1Min/OHLCV": bars(0, 20_000)})
    store.flush()
    assert len({name_on_disk(name) for name in names}) == 3
    assert all(len(name_on_disk(name)) <= 200 for name in names)
    assert all(len(store.read(f"{name}/1Min/OHLCV")) == 20_000 for name in names)


def test_a_slot_that_begins_before_time_does_is_refused(store: tsstore.Store) -> None:
    with pytest.raises(InvalidArgumentError, match="begins before"):
        store.write("A/1Y/X", {"Epoch": ["1677-10-01"], "N": [1]})


def test_one_damaged_segment_does_not_stop_the_others_from_being_written() -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs)
    for key in (KEY, "B/1Min/OHLCV"):
        store.write(key, bars(0, 10))
    store.flush()
    store.close()
    name = next(name for name in fs.files() if name.endswith(".seg"))
    fs.damage(name, fs.files()[name][:-1] + b"?")
    store = Store("s", fs=fs)
    store.commit([Replace(KEY, T0, T0 + 60, bars(0, 1, 2.0))])
    store.flush()
    store.write("C/1Min/QUOTE", {"Epoch": [T0], "Bid": [1.0]})
    with Store("s", fs=fs.killed()) as again:
        assert len(again.read("C/1Min/QUOTE")) == 1


def test_writing_waits_until_recovered_rows_are_safe() -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs)
    store.write(KEY, bars(0, 3))
    killed = fs.killed()
    killed.refuse_when(lambda kind, name: errno.ENOSPC if name.endswith(".seg") else None)
    again = Store("s", fs=killed)
    assert len(again.read(KEY)) == 3
    with pytest.raises(StorageError):
        again.write(KEY, bars(3, 1))
    killed.refuse_when(lambda kind, name: None)
    again.write(KEY, bars(3, 1))
    with Store("s", fs=killed.survivors()) as after_the_cut:
        assert len(after_the_cut.read(KEY)) == 4


def test_flush_and_close_at_once_leave_a_whole_store(tmp_path: Path) -> None:
    for number in range(15):
        store = tsstore.open(tmp_path)
        store.write(KEY, bars(number * 100, 100))

        def flush(store: tsstore.Store = store) -> None:
            with contextlib.suppress(tsstore.ClosedError):
                store.flush()

        threads = [threading.Thread(target=target) for target in (flush, store.close, flush)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with tsstore.open(tmp_path) as store:
        assert len(store.read(KEY)) == 1500
        assert store.check().ok


def test_threads_that_create_the_same_buckets_agree(tmp_path: Path) -> None:
    with tsstore.open(tmp_path, settings=Settings(wal_sync="off")) as store:
        barrier = threading.Barrier(6)

        def create(thread: int) -> None:
            for number in range(40):
                barrier.wait()
                data = {"Epoch": [T0 + thread], "N": [thread]}
                store.write(f"S{number}/1Sec/TICK", data, variable=True)
                store.list()

        threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.list()) == 40
        store.flush()
        for key in store.list():
            assert store.read(key)["N"].tolist() == [0, 1, 2, 3, 4, 5]


def test_a_refused_creation_takes_nobody_else_along() -> None:
    """Writers that resolved a bucket which then did not come to be resolve it again."""
    fs = FaultFileSystem()
    store = Store("s", fs=fs)
    store.write(KEY, bars(0, 1))
    refusing = threading.Event()
    fs.refuse_when(lambda kind, name: errno.ENOSPC if refusing.is_set() else None)
    acknowledged: list[int] = []

    def write(thread: int) -> None:
        for number in range(60):
            with contextlib.suppress(StorageError):
                key = f"N{number}/1Sec/TICK"
                data = {"Epoch": [T0 + thread], "N": [thread]}
                store.write(key, data, variable=True)
                acknowledged.append(number * 10 + thread)

    def refuse() -> None:
        for _ in range(200):
            refusing.set()
            refusing.clear()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    threads.append(threading.Thread(target=refuse))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store("s", fs=fs.killed()) as again:
        for mark in acknowledged:
            assert mark % 10 in again.read(f"N{mark // 10}/1Sec/TICK")["N"]


def test_many_small_commits_are_read_from_few_chunks(tmp_path: Path) -> None:
    with tsstore.open(tmp_path, settings=Settings(wal_sync="off")) as store:
        for number in range(3000):
            store.write("A/1Sec/TICK", {"Epoch": [T0 + number], "N": [number]}, variable=True)
        state = store.engine.current()
        while state.tidy():
            pass
        assert max(len(chunks) for chunks in state.view.chunks.values()) < 40
        assert store.read("A/1Sec/TICK", limit=2)["N"].tolist() == [2998, 2999]


def test_closing_lets_go_of_the_lock_even_with_a_forked_child(tmp_path: Path) -> None:
    store = tsstore.open(tmp_path)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    store.close()
    try:
        with tsstore.open(tmp_path) as again:
            again.write(KEY, bars(0, 1))
            assert again.list() == [KEY]
    finally:
        os.close(write)
        os.waitpid(pid, 0)


def test_a_refused_commit_leaves_no_schema_that_the_log_does_not_tell_of() -> None:
    fs = FaultFileSystem()
    store, follower = Store("s", fs=fs), Store("s", fs=fs, read_only=True)
    schema = Schema.of({"Close": "f8"})
    wrong = [Write(KEY, bars(0, 1), schema), Replace(KEY, T0 + 60, T0, bars(0, 1))]
    with pytest.raises(InvalidArgumentError, match="ends before it starts"):
        store.commit(wrong)
    store.close()  # with a manifest
    with Store("s", fs=fs) as again:
        again.commit([Write(KEY, bars(0, 1), schema)])
        assert len(follower.read(KEY)) == 1


@pytest.mark.parametrize("flushed", [(), (0,), (0, 1), (0, 1, 2)])
def test_an_event_that_lost_does_not_come_back_when_the_winner_is_deleted(
    flushed: tuple[int, ...],
) -> None:
    fs = FaultFileSystem()
    store, follower = Store("s", fs=fs), None
    steps = [
        lambda: store.write("A/1Sec/TRADE", event(0, 1.0, 1), schema=EVENTS),
        lambda: store.commit(
            [Write("A/1Sec/TRADE", event(1, 2.0, 1)), Write("A/1Sec/TRADE", event(5, 5.0, 2))]
        ),
        lambda: store.delete(
            "A/1Sec/TRADE", np.datetime64(T0 * 10**9 + 1, "ns"), np.datetime64(T0 * 10**9 + 1, "ns")
        ),
    ]
    for number, step in enumerate(steps):
        step()
        follower = follower or Store("s", fs=fs, read_only=True)
        if number in flushed:
            store.flush()
    expected = [5.0]
    assert store.read("A/1Sec/TRADE")["P"].tolist() == expected
    assert follower is not None
    assert follower.read("A/1Sec/TRADE")["P"].tolist() == expected
    store.compact()
    assert store.read("A/1Sec/TRADE")["P"].tolist() == expected
    store.write("A/1Sec/TRADE", event(0, 7.0, 1))
    assert store.read("A/1Sec/TRADE")["P"].tolist() == [7.0, 5.0]
    with Store("s", fs=fs.survivors()) as again:
        assert again.read("A/1Sec/TRADE")["P"].tolist() == [7.0, 5.0]


def test_a_replaced_range_must_not_cut_events_of_its_own_call(store: tsstore.Store) -> None:
    instant = np.datetime64(T0 * 10**9 + 1, "ns")
    with pytest.raises(InvalidArgumentError, match="use two calls"):
        store.commit(
            [
                Write("A/1Sec/TRADE", event(1, 2.0), EVENTS),
                Replace("A/1Sec/TRADE", instant, instant, event(1, 5.0)),
            ]
        )


def test_files_of_a_process_that_died_while_it_loaded_are_removed() -> None:
    fs = FaultFileSystem()
    Store("s", fs=fs).close()
    store = Store("s", fs=fs, settings=Settings(bulk_bytes_min=0))
    fs.refuse_when(lambda kind, name: errno.EIO if kind == "remove" else None)
    with pytest.raises(tsstore.SchemaMismatchError):
        store.bulk(
            [
                Write(KEY, bars(0, 5000)),
                Write("B/1D/OHLCV", {"Epoch": [0], "C": ["x"]}, Schema.of({"C": "f8"})),
            ]
        )
    left = fs.survivors(all_live=True)
    assert [name for name in left.files() if name.endswith(".seg")]
    with Store("s", fs=left) as again:
        assert again.list() == []
        assert not [name for name in left.files() if name.endswith(".seg")]


def test_directories_may_be_removed_while_files_are_created_in_them(tmp_path: Path) -> None:
    fs = OsFileSystem(tmp_path)
    ended = threading.Event()

    def prune() -> None:
        while not ended.is_set():
            fs.prune_dirs("buckets/A/1Min/OHLCV")

    pruning = threading.Thread(target=prune)
    pruning.start()
    try:
        for number in range(500):
            writer = SegmentWriter(fs, 1, iter([number]).__next__)
            name = f"buckets/A/1Min/OHLCV/{number}.seg"
            writer.create(name).close()
            assert fs.exists(name)
            writer.abandon()
            assert not fs.exists(name)
    finally:
        ended.set()
        pruning.join()


def test_a_refused_beginning_of_the_log_loses_nothing_later() -> None:
    fs = FaultFileSystem()
    with Store("s", fs=fs) as store:
        store.write(KEY, bars(0, 1))
    store = Store("s", fs=fs)
    fs.refuse_when(lambda kind, name: errno.ENOSPC if "MANIFEST" in name else None)
    with pytest.raises(StorageError):
        store.write(KEY, bars(1, 1))
    fs.refuse_when(lambda kind, name: None)
    store.flush()
    store.write(KEY, bars(2, 1))
    with Store("s", fs=fs.killed().survivors(all_live=True)) as again:
        assert len(again.read(KEY)) == 2


WIDER = Schema.of({"Close": "f8", "More": "f8"})


def wider(first: int, count: int, value: float) -> dict[str, object]:
    return {**bars(first, count, value), "More": np.full(count, value)}


def test_a_bucket_altered_to_a_schema_that_others_have_keeps_its_order() -> None:
    fs = FaultFileSystem()
    with Store("s", fs=fs) as store:
        store.write("B/1Min/OHLCV", wider(0, 1, 1.0))
        store.write(KEY, bars(0, 1, 1.0))
        store.alter(KEY, WIDER)
        store.write(KEY, wider(0, 1, 2.0))
        store.flush()
        assert store.read(KEY)["Close"].tolist() == [2.0]


@pytest.mark.parametrize("flushed", [False, True])
def test_what_was_deleted_before_an_alteration_stays_so_when_it_is_replayed(
    flushed: bool,
) -> None:
    fs = FaultFileSystem()
    with Store("s", fs=fs) as store:
        store.write(KEY, bars(0, 5, 1.0))
        store.replace(KEY, T0, T0 + 60, bars(0, 2, 2.0))
        store.alter(KEY, WIDER)
    with Store("s", fs=fs) as again:
        if flushed:
            again.flush()
        assert again.read(KEY)["Close"].tolist() == [2.0, 2.0, 1.0, 1.0, 1.0]


def test_a_close_waits_for_the_loads_that_are_under_way(tmp_path: Path) -> None:
    store = tsstore.open(tmp_path, settings=Settings(bulk_bytes_min=0))
    refused = []

    def load() -> None:
        for number in range(1000):
            try:
                store.bulk({f"S{number}/1Min/OHLCV": bars(0, 5000)})
            except tsstore.ClosedError as error:
                refused.append(error)
                return

    thread = threading.Thread(target=load)
    thread.start()
    while not store.list():
        threading.Event().wait(0.01)
    store.close()
    with tsstore.open(tmp_path) as again:
        thread.join()
        assert refused
        again.write("NEW/1Min/OHLCV", bars(0, 1))
        again.flush()
        assert again.check().ok


def test_a_load_keeps_every_bucket_that_is_too_small_for_a_file() -> None:
    fs = FaultFileSystem()
    loaded = {"A": 5000, "B": 5000, "C": 7000, "D": 40_000}
    with Store("s", fs=fs) as store:
        store.bulk({f"{name}/1Min/OHLCV": bars(0, rows) for name, rows in loaded.items()})
        assert {name: len(store.read(f"{name}/1Min/OHLCV")) for name in loaded} == loaded
    with Store("s", fs=fs) as again:
        assert {name: len(again.read(f"{name}/1Min/OHLCV")) for name in loaded} == loaded


def test_a_full_disk_neither_keeps_the_owner_out_nor_the_lock_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tsstore.open(tmp_path) as store:
        store.write(KEY, bars(0, 3))
    pwrite = os.pwrite

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", refuse)
    with tsstore.open(tmp_path) as store:
        assert len(store.read(KEY)) == 3
    monkeypatch.setattr(os, "pwrite", pwrite)
    with tsstore.open(tmp_path) as store:
        store.write(KEY, bars(3, 1))


def test_a_replaced_file_that_could_not_be_removed_goes_later() -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=Settings(compaction_bytes_per_s=0, bulk_bytes_min=0))
    for _ in range(3):
        store.bulk({KEY: bars(0, 9000)})
    fs.refuse_when(lambda kind, name: errno.EIO if kind == "remove" else None)
    with pytest.raises(StorageError):
        store.compact()
    fs.refuse_when(lambda kind, name: None)
    store.close()
    assert len([name for name in fs.files() if name.endswith(".seg")]) == 1
