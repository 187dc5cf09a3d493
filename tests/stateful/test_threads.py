"""Threads that use one store at once: what each was told is true at the end.

Every thread writes to buckets that all share, at instants of its own, and to buckets of its own,
which it also renames and destroys. So each knows what must be there, whatever the others do; and
what the others do at the same time creates, widens, loads, flushes and merges the same buckets.
"""

from __future__ import annotations

import random
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.crash.scale import SCALE
from tsstore import AlreadyExistsError, Schema, SchemaMismatchError, Settings, Write
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
#: Everything goes to segments at once, and is merged as soon as it is there.
SETTINGS = Settings(bulk_bytes_min=0, compaction_bytes_per_s=1 << 40, memtable_bytes=1 << 20)


@pytest.fixture(autouse=True)
def impatience() -> Iterator[None]:
    """Threads take turns far more often than they would."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Worker(threading.Thread):
    """One thread, and what it was told.

    Attributes:
        rows: by bucket, minute to value.
        events: by bucket, nanosecond to price.
        failure: what should not have happened.
    """

    def __init__(self, store: Store, number: int, seed: int) -> None:
        super().__init__(name=f"worker {number}")
        self.rows: dict[str, dict[int, float]] = {}
        self.events: dict[str, dict[int, float]] = {key: {} for key in TICKS}
        self.failure: BaseException | None = None
        self._store = store
        self._number = number
        self._random = random.Random(f"{seed} {number}")
        self._names = 0

    def run(self) -> None:
        try:
            for _ in range(STEPS):
                self._step()
        except BaseException as error:
            self.failure = error

    def _step(self) -> None:
        steps = [
            self._write,
            self._write,
            self._load,
            self._load,
            self._write_several,
            self._delete,
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
        count = self._random.choice([1, 1, 3, 40, 40, 1200])
        first = self._random.randrange(3000)
        minutes = range(first, first + count)
        return {THREADS * minute + self._number: self._random.random() for minute in minutes}

    def _table(self, rows: dict[int, float]) -> dict[str, object]:
        return {"Epoch": 60 * np.array([*rows]), "Close": np.array([*rows.values()])}

    def _filled(self, key: str, rows: dict[int, float]) -> dict[str, object]:
        """With the columns that the bucket has by now, as far as this thread can know."""
        table = self._table(rows)
        if key in self._store.list():
            for name, dtype in self._store.info(key).schema.columns:
                table.setdefault(name, np.zeros(len(rows), dtype))
        return table

    def _write(self) -> None:
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

    def _delete(self) -> None:
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
        new = {THREADS * 1000 * i + self._number: self._random.random() for i in instants}
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
        return f"T{self._number}X{self._names % 5}/1Min/OHLCV"

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
            assert mine(self._store, key, self._number) == self.rows[key]


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


@pytest.mark.timeout(120 + 20 * SCALE)
@pytest.mark.parametrize("seed", range(4 * SCALE))
def test_threads_at_once_find_what_they_were_told(seed: int) -> None:
    fs = FaultFileSystem()
    store = Store("s", fs=fs, settings=SETTINGS)
    for key in TICKS:
        store.create(key, EVENTS)
    workers = [Worker(store, number, seed) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for worker in workers:
        if worker.failure is not None:
            raise worker.failure
    _compare(store, workers)
    killed = fs.killed()
    store.close()
    for files in (killed, fs):
        with Store("s", fs=files, settings=SETTINGS) as again:
            _compare(again, workers)
            report = again.check(deep=True)
            assert report.ok, report.problems


def _compare(store: Store, workers: list[Worker]) -> None:
    keys = {key for worker in workers for key in worker.rows}
    assert set(store.list()) == {*keys, *TICKS}
    for worker in workers:
        for key, rows in worker.rows.items():
            assert mine(store, key, worker._number) == rows, (worker.name, key)
        for key, events in worker.events.items():
            assert my_events(store, key, worker._number) == events, (worker.name, key)
