"""Threads that use one store at once: what each was told is true, come what may.

The machine stops while they are at it, and the disk is full now and then.

Every thread writes to buckets that all share, at instants of its own, and to buckets of its own,
which it also renames and destroys. So each knows what must be there, whatever the others do; and
what the others do at the same time creates, widens, loads, flushes and merges the same buckets.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import random
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from tests.crash.scale import SCALE
from tsstore import (
    AlreadyExistsError,
    NotFoundError,
    Schema,
    SchemaMismatchError,
    Settings,
    StorageError,
    Write,
)
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

THREADS = 5
STEPS = 50
SHARED = [f"S{number}/1Min/OHLCV" for number in range(4)]
TICKS = [f"S{number}/1Sec/TRADE" for number in range(2)]
EVENTS = Schema.of({"Price": "f8", "Seq": "i8"}, variable=True, identity=["Seq"])
SCHEMAS = [
    Schema.of({"Close": "f8"}),
    Schema.of({"Close": "f8", "Volume": "i8"}),
    Schema.of({"Volume": "i8", "Close": "f8", "Count": "i4"}),
]
#: Loads go to segments at once, the smaller ones in part; all is merged as soon as it is there.
SETTINGS = [
    Settings(bulk_bytes_min=least, compaction_bytes_per_s=1 << 40, memtable_bytes=1 << 20)
    for least in (0, 100_000)
]


@pytest.fixture(autouse=True)
def impatience() -> Iterator[None]:
    """Threads take turns far more often than they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Told(NamedTuple):
    """What a thread knows must be in the store: of shared buckets only its part."""

    rows: dict[str, dict[int, float]]
    events: dict[str, dict[int, float]]


class Worker(threading.Thread):
    """One thread, and what it was told.

    Attributes:
        rows: by bucket, minute to value.
        events: by bucket, nanosecond to price.
        history: what must be found after each of its steps.
        failure: what should not have happened.
    """

    def __init__(self, store: Store, number: int, seed: int) -> None:
        super().__init__(name=f"worker {number}")
        self.rows: dict[str, dict[int, float]] = {}
        self.events: dict[str, dict[int, float]] = {key: {} for key in TICKS}
        self.history: list[Told] = []
        self.failure: BaseException | None = None
        self.number = number
        self._store = store
        self._random = random.Random(f"{seed} {number}")
        self._names = 0

    def run(self) -> None:
        try:
            for _ in range(STEPS):
                self.history.append(self._told())
                with contextlib.suppress(StorageError):  # refused: then nothing has happened
                    self._step()
            self.history.append(self._told())
        except BaseException as error:
            self.failure = error

    def _told(self) -> Told:
        rows = {key: dict(rows) for key, rows in self.rows.items() if rows or key not in SHARED}
        return Told(rows, {key: dict(events) for key, events in self.events.items()})

    def _step(self) -> None:
        steps = [
            self._write_rows,
            self._write_rows,
            self._load,
            self._load,
            self._write_several,
            self._delete_row,
            self._replace,
            self._write_events,
            self._write_events,
            self._delete_event,
            self._alter,
            self._create_own,
            self._rename_own,
            self._destroy_own,
            self._copy_own,
            self._maintain,
            self._read,
        ]
        self._random.choice(steps)()

    def _bucket(self) -> str:
        return self._random.choice([*SHARED, *SHARED, *self._own()])

    def _own(self) -> list[str]:
        return [key for key in self.rows if key not in SHARED]

    def _rows(self) -> dict[int, float]:
        """Some rows at minutes that only this thread writes to."""
        count = self._random.choice([1, 1, 3, 3, 40, 40, 40, 1200, 4500])
        first = self._random.randrange(3000)
        minutes = range(first, first + count)
        return {THREADS * minute + self.number: self._random.random() for minute in minutes}

    def _table(self, rows: dict[int, float]) -> dict[str, object]:
        return {"Epoch": 60 * np.array([*rows]), "Close": np.array([*rows.values()])}

    def _filled(self, key: str, rows: dict[int, float]) -> dict[str, object]:
        """With the columns that the bucket has by now, as far as this thread can know."""
        table = self._table(rows)
        if key in self._store.list():
            for name, dtype in self._store.info(key).schema.columns:
                table.setdefault(name, np.zeros(len(rows), dtype))
        return table

    def _write_rows(self) -> None:
        self._put(self._store.write)

    def _load(self) -> None:
        self._put(lambda key, table: self._store.bulk({key: table}))

    def _put(self, put: object) -> None:
        key, rows = self._bucket(), self._rows()
        while True:
            try:
                put(key, self._filled(key, rows))  # type: ignore[operator]
            except SchemaMismatchError:  # somebody has added a column meanwhile
                continue
            self.rows.setdefault(key, {}).update(rows)
            return

    def _write_several(self) -> None:
        keys = {self._bucket() for _ in range(3)}
        tables = {key: self._rows() for key in keys}
        commit = self._random.choice([self._store.commit, self._store.bulk])
        while True:
            try:
                commit([Write(key, self._filled(key, rows)) for key, rows in tables.items()])
            except SchemaMismatchError:
                continue
            for key, rows in tables.items():
                self.rows.setdefault(key, {}).update(rows)
            return

    def _delete_row(self) -> None:
        key = self._random.choice([*self.rows] or [""])
        mine = self.rows.get(key)
        if mine:
            minute = self._random.choice([*mine])
            assert self._store.delete(key, 60 * minute, 60 * minute) == 1
            del mine[minute]

    def _replace(self) -> None:
        """One of its rows by another, or by none."""
        key = self._random.choice([*self.rows] or [""])
        mine = self.rows.get(key)
        while mine:
            minute = self._random.choice([*mine])
            rows = self._random.choice([{}, {minute: self._random.random()}])
            try:
                self._store.replace(key, 60 * minute, 60 * minute, self._filled(key, rows))
            except SchemaMismatchError:
                continue
            del mine[minute]
            mine.update(rows)
            return

    def _write_events(self) -> None:
        """Many threads have events of the same milliseconds; some events come twice."""
        key = self._random.choice(TICKS)
        mine = self.events[key]
        count = self._random.choice([1, 3, 300])
        first = self._random.randrange(5000)
        instants = range(first, first + count)
        new = {THREADS * 1000 * i + self.number: self._random.random() for i in instants}
        known = self._random.sample(sorted(mine), min(len(mine), 5))
        rows = dict(sorted((new | {ns: mine[ns] for ns in known}).items()))
        table = {
            "Epoch": np.array([*rows]).astype("M8[ns]"),
            "Price": np.array([*rows.values()]),
            "Seq": np.array([*rows]),
        }
        put = self._random.choice([Store.write_many, Store.bulk])
        put(self._store, {key: table})
        mine.update(rows)

    def _delete_event(self) -> None:
        key = self._random.choice(TICKS)
        mine = self.events[key]
        if mine:
            ns = self._random.choice(sorted(mine))
            instant = np.datetime64(ns, "ns")
            assert self._store.delete(key, instant, instant) == 1
            del mine[ns]

    def _alter(self) -> None:
        key = self._bucket()
        if key in self._store.list():
            try:
                self._store.alter(key, self._random.choice(SCHEMAS))
            except SchemaMismatchError:  # it has more columns already
                return

    def _new_name(self) -> str:
        self._names += 1
        # Now and then a name that was another bucket's before.
        return f"T{self.number}X{self._names % 5}/1Min/OHLCV"

    def _create_own(self) -> None:
        key = self._new_name()
        if key in self.rows:
            with pytest.raises(AlreadyExistsError):
                self._store.create(key, SCHEMAS[0])
            return
        self._store.create(key, SCHEMAS[0])
        self.rows[key] = {}

    def _rename_own(self) -> None:
        key = self._new_name()
        own = self._own()
        if own and key not in self.rows:
            old = self._random.choice(own)
            self._store.rename(old, key)
            self.rows[key] = self.rows.pop(old)

    def _copy_own(self) -> None:
        key = self._new_name()
        own = self._own()
        if own and key not in self.rows:
            source = self._random.choice(own)
            self._store.copy(source, key)
            self.rows[key] = dict(self.rows[source])

    def _destroy_own(self) -> None:
        own = self._own()
        if own:
            key = self._random.choice(own)
            self._store.destroy(key)
            del self.rows[key]

    def _maintain(self) -> None:
        maintain = self._random.choice(
            [self._store.flush, self._store.compact, lambda: self._store.compact(SHARED[0])]
        )
        maintain()

    def _read(self) -> None:
        key = self._random.choice([*self.rows] or [""])
        if key:
            assert mine(self._store, key, self.number) == self.rows[key]


def mine(store: Store, key: str, number: int) -> dict[int, float]:
    """The rows of a thread, as they are stored; each once."""
    rows = store.read(key, columns=["Close"])
    minutes = (rows.ts // 60_000_000_000).tolist()
    return once(zip(minutes, rows["Close"].tolist(), strict=True), number)


def my_events(store: Store, key: str, number: int) -> dict[int, float]:
    """The events of a thread, as they are stored; each once."""
    rows = store.read(key)
    assert rows["Seq"].tolist() == rows.ts.tolist()
    return once(zip(rows.ts.tolist(), rows["Price"].tolist(), strict=True), number)


def once(rows: Iterable[tuple[int, float]], number: int) -> dict[int, float]:
    """Which of the rows are of a thread."""
    chosen = [(instant, value) for instant, value in rows if instant % THREADS == number]
    assert len(dict(chosen)) == len(chosen)
    return dict(chosen)


def found(store: Store, number: int) -> Told:
    """What is in the store of a thread."""
    rows = {key: mine(store, key, number) for key in store.list() if key not in TICKS}
    own = f"T{number}X"
    rows = {key: found for key, found in rows.items() if found or key.startswith(own)}
    return Told(rows, {key: my_events(store, key, number) for key in TICKS})


class Onlooker(threading.Thread):
    """A read-only opening that looks at one bucket after the other while the threads work.

    Attributes:
        failure: what should not have happened.
    """

    def __init__(self, fs: FaultFileSystem, workers: list[Worker], seed: int) -> None:
        super().__init__(name="onlooker")
        self.failure: BaseException | None = None
        self._fs = fs
        self._workers = workers
        self._random = random.Random(seed)

    def run(self) -> None:
        try:
            with Store("s", fs=self._fs, read_only=True) as store:
                while any(worker.is_alive() for worker in self._workers):
                    self._look(store, self._random.choice(self._workers))
        except BaseException as error:
            self.failure = error

    def _look(self, store: Store, worker: Worker) -> None:
        key = self._random.choice([*SHARED, *TICKS, f"T{worker.number}X1/1Min/OHLCV"])
        look = my_events if key in TICKS else mine
        before = len(worker.history)
        try:
            rows = look(store, key, worker.number) or None
        except NotFoundError:
            rows = None
        step = len(worker.history)
        # What the step under way has done may be seen before the thread notes it.
        while worker.is_alive() and len(worker.history) <= step:
            worker.join(0.001)
        told = worker.history[max(0, before - 1) : step + 1]
        assert rows in [(one.rows | one.events).get(key) or None for one in told], key


class Shot(NamedTuple):
    """What is left when the machine stops at some moment.

    Attributes:
        files: what survives.
        steps: for each thread, which steps may be the last that it ended.
    """

    files: FaultFileSystem
    steps: list[slice]


def shoot(fs: FaultFileSystem, workers: list[Worker], rng: random.Random) -> Shot:
    """Stop the machine, or cut its power, while the threads go on in this one."""
    before = [len(worker.history) for worker in workers]
    files = rng.choice([fs.killed, fs.survivors, lambda: fs.survivors(rng)])()
    # The step that was under way may have ended without the thread's having noted it.
    steps = [
        slice(max(0, first - 1), len(worker.history) + 1)
        for first, worker in zip(before, workers, strict=True)
    ]
    return Shot(files, steps)


def often_full(fs: FaultFileSystem, rng: random.Random, share: float) -> None:
    """Refuse a share of what needs room."""

    def refuse(kind: str, _name: str) -> int | None:
        needs_room = kind in {"create", "write", "rename"}
        return errno.ENOSPC if needs_room and rng.random() < share else None

    fs.refuse_when(refuse)


@pytest.mark.parametrize("refused", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("seed", range(2 * SCALE))
def test_threads_at_once_find_what_they_were_told(
    seed: int, refused: float, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)  # each refusal of the background is a warning
    rng = random.Random(f"{seed} {refused}")
    fs = FaultFileSystem()
    settings = rng.choice(SETTINGS)
    store = Store("s", fs=fs, settings=settings)
    for key in TICKS:
        store.create(key, EVENTS)
    often_full(fs, rng, refused)
    workers = [Worker(store, number, seed) for number in range(THREADS)]
    onlooker = Onlooker(fs, workers, seed)
    for thread in (*workers, onlooker):
        thread.start()
    shots = []
    while any(worker.is_alive() for worker in workers):
        shots.append(shoot(fs, workers, rng))
        workers[0].join(0.02 * rng.random())
    onlooker.join()
    for thread in (*workers, onlooker):
        if thread.failure is not None:
            raise thread.failure
    often_full(fs, rng, 0.0)
    check_told(store, workers)
    store.close()
    for shot in rng.sample(shots, min(len(shots), 4)):
        with Store("s", fs=shot.files, settings=settings) as left:
            for worker, steps in zip(workers, shot.steps, strict=True):
                assert found(left, worker.number) in worker.history[steps]
            report = left.check(deep=True)
            assert report.ok, report.problems
    with Store("s", fs=fs, settings=settings) as again:
        check_told(again, workers)


def check_told(store: Store, workers: list[Worker]) -> None:
    """Whether everything is there, and nothing else."""
    for worker in workers:
        assert found(store, worker.number) == worker.history[-1], worker.name
    report = store.check(deep=True)
    assert report.ok, report.problems
