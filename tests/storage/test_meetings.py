"""Two calls meet at the worst moment, or an interrupt does: nothing acknowledged is lost."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tsstore import Schema, Settings
from tsstore.errors import AlreadyExistsError, StorageError
from tsstore.storage import changes, compactor
from tsstore.storage.batch import Batch
from tsstore.storage.catalog import Catalog
from tsstore.storage.compaction import Job, Merger
from tsstore.storage.flush import SegmentWriter
from tsstore.storage.log import CommitLog
from tsstore.storage.state import State
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem

A, B, C = "A/1Min/OHLCV", "B/1Min/OHLCV", "C/1Min/OHLCV"
EVENTS = Schema.of({"P": "f8", "Seq": "i8"}, variable=True, identity=["Seq"])
WIDER = Schema.of({"Close": "f8", "More": "f8"})
QUIET = Settings(compaction_bytes_per_s=0, bulk_bytes_min=0)


def bars(first: int, count: int = 1, value: float = 1.0) -> dict[str, object]:
    return {"Epoch": 60 * np.arange(first, first + count), "Close": np.full(count, value)}


def minutes(store: Store, key: str) -> list[int]:
    return (store.read(key).ts // 60_000_000_000).tolist()


def test_a_bucket_of_a_load_that_starts_again_is_nobody_elses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The load has to be resolved again while another call writes to the bucket it creates."""
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    store.write(A, bars(0))
    write_bulk, abandon = changes.write_bulk, Batch.abandon
    written, writing = threading.Event(), threading.Event()
    altered: list[bool] = []

    def alter_meanwhile(*arguments: object, **options: object) -> object:
        commit = write_bulk(*arguments, **options)  # type: ignore[arg-type]
        if not altered:
            altered.append(True)
            store.alter(A, WIDER)
        return commit

    def abandon_slowly(batch: Batch) -> None:
        if altered and threading.current_thread().name == "load" and not writing.is_set():
            writing.set()
            written.wait(0.5)
        abandon(batch)

    monkeypatch.setattr(changes, "write_bulk", alter_meanwhile)
    monkeypatch.setattr(Batch, "abandon", abandon_slowly)
    loading = threading.Thread(target=lambda: store.bulk({C: bars(5)}), name="load")
    loading.start()
    assert writing.wait(30)
    store.write(C, bars(7))
    written.set()
    loading.join()
    assert minutes(store, C) == [5, 7]


def test_a_load_into_a_bucket_that_a_commit_on_its_way_creates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    store.write(A, bars(0))
    resolved = threading.Event()
    # The load may pass here before the log is at the commit, and holds nothing then.
    monkeypatch.setattr(CommitLog, "begin", lambda log: None)
    write_bulk = changes.write_bulk

    def write_and_tell(*arguments: object, **options: object) -> object:
        commit = write_bulk(*arguments, **options)  # type: ignore[arg-type]
        resolved.set()
        return commit

    monkeypatch.setattr(changes, "write_bulk", write_and_tell)
    syncing = threading.Event()

    def hold(kind: str, name: str) -> None:
        if kind == "sync" and name.startswith("wal/"):
            syncing.set()
            resolved.wait(5)

    fs.refuse_when(hold)
    creating = threading.Thread(target=lambda: store.write(C, bars(7)))
    creating.start()
    assert syncing.wait(30)
    store.bulk({C: bars(5)})
    creating.join()
    assert minutes(store, C) == [5, 7]


def test_an_interrupted_load_gives_its_buckets_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    encode = changes.encode_commit

    def interrupt(commit: object) -> object:
        monkeypatch.setattr(changes, "encode_commit", encode)
        raise KeyboardInterrupt

    monkeypatch.setattr(changes, "encode_commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.bulk({C: bars(5)})
    assert not [name for name in fs.files() if name.endswith(".seg")]
    store.write(C, bars(7))
    assert minutes(store, C) == [7]


def test_an_interrupted_creation_has_one_bucket_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interrupted when its commit has its place in the log already."""
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    enqueue = CommitLog.enqueue

    def interrupt(log: CommitLog, *arguments: object, **options: object) -> None:
        monkeypatch.setattr(CommitLog, "enqueue", enqueue)
        with log.leader:
            enqueue(log, *arguments, **options)  # type: ignore[arg-type]
            raise KeyboardInterrupt

    monkeypatch.setattr(CommitLog, "enqueue", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.create(C, Schema.of({"Close": "f8"}))
    with pytest.raises(AlreadyExistsError):
        store.create(C, Schema.of({"Close": "f8"}))
    store.write(C, bars(7))
    assert minutes(store, C) == [7]


@pytest.mark.parametrize("what", ["destroy", "rename"])
def test_an_interrupt_does_not_let_others_at_a_catalog_that_is_changing(what: str) -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    store.write(A, bars(0))
    key = A if what == "destroy" else C
    late = threading.Thread(target=lambda: store.write(key, bars(7)))

    def interrupt(kind: str, _name: str) -> None:
        if kind == "sync" and not late.is_alive():
            fs.refuse_when(lambda kind, name: None)
            late.start()
            os.kill(os.getpid(), signal.SIGINT)
            late.join(0.3)  # it waits for this sync, or it would be lost

    fs.refuse_when(interrupt)
    change: Callable[[], None] = (
        (lambda: store.destroy(A)) if what == "destroy" else (lambda: store.rename(A, C))
    )
    with pytest.raises(KeyboardInterrupt):
        change()
    late.join()
    expected = [7] if what == "destroy" else [0, 7]
    assert minutes(store, key) == expected
    store.close()
    with Store("s", fs=fs) as again:
        assert minutes(again, key) == expected


def test_what_is_refused_cannot_be_resolved_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a refusal and the return of its buckets nobody may take them for current."""
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    store.write(B, bars(0))
    forget = Catalog.forget
    forgetting = threading.Event()

    def forget_slowly(catalog: Catalog, created: object) -> None:
        forgetting.set()
        time.sleep(0.3)
        forget(catalog, created)  # type: ignore[arg-type]

    monkeypatch.setattr(Catalog, "forget", forget_slowly)
    fs.refuse_when(lambda kind, _name: errno.ENOSPC if kind == "write" else None)

    def refused() -> None:
        with pytest.raises(StorageError):
            store.write(A, bars(1))

    first = threading.Thread(target=refused)
    first.start()
    assert forgetting.wait(30)
    fs.refuse_when(lambda kind, name: None)
    store.write(A, bars(2))
    first.join()
    assert minutes(store, A) == [2]


def test_a_bucket_altered_during_a_compaction_is_read_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    for key in (A, B, A, B):
        store.bulk({key: bars(0, 5000)})
    run = Merger.run
    altered: list[str] = []

    def alter_the_other(merger: Merger, job: Job) -> None:
        if job.bucket is not None and not altered:
            altered.append(B if job.bucket.key == A else A)
            store.alter(altered[0], WIDER)
            store.write(altered[0], {**bars(9000), "More": [1.0]})
            store.flush()
        run(merger, job)

    monkeypatch.setattr(Merger, "run", alter_the_other)
    monkeypatch.setattr(compactor, "_ROUND_JOBS", 1)
    store.compact()
    assert altered
    assert len(store.read(altered[0])) == 5001


def test_columns_that_moved_are_not_mixed_up_by_an_iterator_of_another_process() -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    rows = {"Epoch": 60 * np.arange(40_000), "Close": np.arange(40_000.0)}
    for _ in range(2):
        store.bulk({A: rows})
    store.flush()
    settings = Settings(cache_bytes=1, files_max=1)
    follower = Store("s", fs=fs, read_only=True, settings=settings)
    parts = follower.iterate(A, rows=4096)
    seen = [next(parts)]
    store.alter(A, Schema.of({"More": "f8", "Close": "f8"}))
    store.compact()
    seen += parts
    closes = np.concatenate([part["Close"] for part in seen])
    assert closes.tolist() == rows["Close"].tolist()


def test_info_looks_again_when_files_were_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    for number in range(4):
        store.write(A, bars(number))
        store.flush()
    follower = Store("s", fs=fs, read_only=True, settings=QUIET)
    current = follower.engine.current

    def look_and_be_late() -> object:
        state = current()
        monkeypatch.setattr(follower.engine, "current", current)
        store.compact()
        store.write(A, bars(9))
        store.flush()
        return state

    monkeypatch.setattr(follower.engine, "current", look_and_be_late)
    assert follower.info(A).last_ns == 9 * 60_000_000_000


def test_a_damaged_block_beside_a_deleted_range_keeps_nothing_else_from_being_read() -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    instants = (np.arange(1000) * 1_000_100).astype("M8[ns]")
    ticks = {"Epoch": instants, "P": np.random.default_rng(0).random(1000), "Seq": np.arange(1000)}
    store.write("T/1Sec/TICK", ticks, schema=EVENTS)
    store.flush()
    (name,) = [name for name in fs.files() if name.endswith(".seg")]
    reader = store.engine.current().view.segments.open_reader(0)
    data = bytearray(fs.files()[name])
    data[int(reader.footer.block_offsets[1, 0])] ^= 1
    fs.damage(name, bytes(data))
    store.write(A, bars(0))
    store.close()
    for number in (1, 2):
        with Store("s", fs=fs, settings=QUIET) as again:
            again.commit(
                [
                    # Within a millisecond, so that what lies beside has to be looked at.
                    replace_nothing("T/1Sec/TICK", 5_000_500, 8_000_850)
                ]
            )
            again.write(A, bars(number))
            assert minutes(again, A) == list(range(number + 1))


def replace_nothing(key: str, first: int, last: int) -> object:
    from tsstore import Replace

    empty = {"Epoch": np.array([], "M8[ns]"), "P": np.array([]), "Seq": np.array([], "i8")}
    return Replace(key, np.datetime64(first, "ns"), np.datetime64(last, "ns"), empty)


def test_compaction_takes_segments_of_former_schemas_along() -> None:
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    for number in range(3):
        store.write(A, bars(1000 * number, 1000))
        store.flush()
    store.alter(A, WIDER)
    store.delete(A, 0, 60 * 1500)
    store.flush()
    store.compact()
    segments = store.engine.current().view.segments
    assert segments.table["generation"].tolist() == [1]
    assert len(segments.deletes) == 0


def test_many_segments_are_compacted_with_few_open_files(tmp_path: Path) -> None:
    program = (
        "import resource, sys, tsstore\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))\n"
        "settings = tsstore.Settings(\n"
        "    compaction_bytes_per_s=0, bulk_bytes_min=0, files_max=32, wal_sync='off')\n"
        "with tsstore.open(sys.argv[1], settings=settings) as store:\n"
        "    for number in range(200):\n"
        "        store.bulk({'A/1Min/OHLCV': {'Epoch': [60 * number], 'C': [1.0]}})\n"
        "    store.compact()\n"
        "    print(len(store.read('A/1Min/OHLCV')), store.stats()['segments'])\n"
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 160
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["200", "1"], done.stderr


def test_a_new_bucket_is_seen_with_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    store.write(A, bars(0))
    seen: list[list[int]] = []
    look = threading.Thread(target=lambda: seen.extend(minutes(store, k) for k in store.list(C)))
    chunks_of = State._chunks_of

    def look_meanwhile(state: State, *arguments: object) -> object:
        look.start()
        look.join(0.2)
        return chunks_of(state, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(State, "_chunks_of", look_meanwhile)
    store.write(C, bars(7))
    look.join()
    assert seen in ([], [[7]])


def test_replaced_files_that_someone_still_reads_go_with_the_close() -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    for _ in range(2):
        store.bulk({A: bars(0, 40_000)})
    parts = store.iterate(A, rows=4096)
    next(parts)
    store.compact()
    store.close()
    assert len([name for name in fs.files() if name.endswith(".seg")]) == 1


def test_a_bucket_destroyed_while_its_rows_are_merged_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    for number in range(6):
        store.bulk({A: bars(10 * number, 5), B: bars(3000 * number, 3000)})
    finish = SegmentWriter.finish

    def destroy_meanwhile(segments: SegmentWriter) -> object:
        if threading.current_thread().name == "tsstore-compact":
            monkeypatch.setattr(SegmentWriter, "finish", finish)
            store.destroy(B)
            store.flush()
        return finish(segments)

    monkeypatch.setattr(SegmentWriter, "finish", destroy_meanwhile)
    store.compact()
    fs = fs.killed()
    with Store("s", fs=fs, settings=QUIET) as again:
        assert again.list() == [A]
        assert len(minutes(again, A)) == 30
    assert not [name for name in fs.files() if name.startswith("buckets/B/")]


def test_a_signal_handler_that_writes_cannot_lock_everything_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The log needs the catalog, which the interrupted call may hold."""
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    store.write(A, bars(0))
    reserve = Catalog.reserve
    refused: list[StorageError] = []

    def handle(*_: object) -> None:
        with pytest.raises(StorageError, match="signal handler") as caught:
            store.write(B, bars(1))
        refused.append(caught.value)

    def reserve_interrupted(catalog: Catalog, *arguments: object) -> object:
        with catalog.lock:
            monkeypatch.setattr(Catalog, "reserve", reserve)
            signal.raise_signal(signal.SIGUSR1)
            return reserve(catalog, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Catalog, "reserve", reserve_interrupted)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        store.write(C, bars(7))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert refused
    assert minutes(store, C) == [7]
    store.write(B, bars(1))
    assert minutes(store, B) == [1]


def test_an_interrupt_between_two_names_leaves_none_of_them_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or rows would be written to a bucket that no commit ever creates."""
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    reserve = Catalog.reserve

    def interrupt(catalog: Catalog, *arguments: object) -> object:
        monkeypatch.setattr(Catalog, "reserve", reserve)
        reserve(catalog, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Catalog, "reserve", interrupt)
    table = {"Symbol": ["A", "B"], "Epoch": [0, 0], "Close": [1.0, 1.0]}
    with pytest.raises(KeyboardInterrupt):
        store.write_table("1Min/OHLCV", table)
    store.write_table("1Min/OHLCV", table)
    assert minutes(store, A) == minutes(store, B) == [0]


@pytest.mark.parametrize("begin", ["bulk", "copy"])
def test_an_interrupt_while_names_are_given_back_leaves_none_taken(
    begin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("s", fs=FaultFileSystem(), settings=QUIET)
    store.write(A, bars(0))
    begins: dict[str, Callable[[], object]] = {
        "bulk": lambda: store.bulk({C: bars(5)}),
        "copy": lambda: store.copy(A, C),
    }
    abandon = Batch.abandon

    def interrupt(batch: Batch) -> None:
        monkeypatch.setattr(Batch, "abandon", abandon)
        raise KeyboardInterrupt

    monkeypatch.setattr(Batch, "abandon", interrupt)
    with pytest.raises(KeyboardInterrupt):
        begins[begin]()
    store.write(C, bars(7))
    assert minutes(store, C) == [7]


def test_a_load_that_is_interrupted_while_it_waits_leaves_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=QUIET)
    store.write(A, bars(0))
    write_bulk = changes.write_bulk
    altering = threading.Thread(target=lambda: store.alter(A, WIDER))
    syncing, interrupted = threading.Event(), threading.Event()

    def interrupt(kind: str, _name: str) -> None:
        if kind == "sync" and threading.current_thread().name == "tsstore-log":
            fs.refuse_when(lambda kind, name: None)
            syncing.set()
            time.sleep(0.2)  # until the load waits for it
            os.kill(os.getpid(), signal.SIGINT)
            interrupted.wait(5)

    def alter_meanwhile(*arguments: object, **options: object) -> object:
        commit = write_bulk(*arguments, **options)  # type: ignore[arg-type]
        fs.refuse_when(interrupt)
        altering.start()
        assert syncing.wait(30)
        return commit

    monkeypatch.setattr(changes, "write_bulk", alter_meanwhile)
    with pytest.raises(KeyboardInterrupt):
        store.bulk({C: bars(0, 5000)})
    interrupted.set()
    altering.join()
    assert not [name for name in fs.files() if name.endswith(".seg")]


def test_a_refused_load_leaves_no_file_once_the_store_was_opened_again() -> None:
    fs = FaultFileSystem()
    with Store("s", fs=fs, settings=QUIET) as store:
        store.write(A, bars(0))
        fs.refuse_when(
            lambda kind, name: errno.ENOSPC if kind == "write" and name.startswith("wal/") else None
        )
        with pytest.raises(StorageError):
            store.bulk({C: bars(0, 5000)})
        fs.refuse_when(lambda kind, name: None)
    with Store("s", fs=fs, settings=QUIET) as store:
        assert store.list() == [A]
        assert not [name for name in fs.files() if name.startswith("buckets/C/")]
        live = store.engine.current().view.segments.names
        assert {name for name in fs.files() if name.endswith(".seg")} == set(live)
