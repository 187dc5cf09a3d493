"""The store against the model, in any order of operations that hypothesis can think of.

Three thousand steps; TSSTORE_TEST_SCALE=50 takes 150,000. What fails is printed as a
script that can be pasted into a test: `state = StoreMachine()`, its steps, `state.teardown()`.
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.crash.scale import SCALE
from tsstore import Schema
from tsstore.api import Replace, Write, WriteTable
from tsstore.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    NotFoundError,
)
from tsstore.storage.settings import Settings
from tsstore.store import Store
from tsstore.tables import Table, read_table
from tsstore.testing.faultfs import FaultFileSystem, PowerCut
from tsstore.testing.model import ModelStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsstore.columns import Columns

T0 = 1_483_228_800_000_000_000
BARS = Schema.of({"Close": "f8", "Volume": "i4"})
TICKS = Schema.of({"Price": "f8"}, variable=True)
EVENTS = Schema.of({"Price": "f4", "Seq": "i4"}, variable=True, identity=["Seq"])
GROUPS = {"1Min/OHLCV": BARS, "1Sec/TICK": TICKS, "1Sec/EVENT": EVENTS, "1D/OHLCV": BARS}

#: Nothing by itself; everything by itself at once; no room for anything; loads through the log.
SETTINGS = [
    Settings(memtable_bytes=1 << 30, compaction_bytes_per_s=0, bulk_bytes_min=0),
    Settings(memtable_bytes=200, compaction_bytes_per_s=1 << 50, bulk_bytes_min=0),
    Settings(compaction_bytes_per_s=1 << 50, cache_bytes=1, files_max=1, bulk_bytes_min=0),
    Settings(wal_sync="interval", wal_sync_interval_s=0.001, compaction_bytes_per_s=0),
]

symbols = st.sampled_from(["A", "B", "BCpC", "BCPC"])
groups = st.sampled_from(sorted(GROUPS))
# Few different instants, so that rows meet: within a slot, within a millisecond, and far apart.
instants = st.one_of(
    st.integers(0, 300).map(lambda n: T0 + n * 1_000_000_000),
    st.integers(0, 3_000).map(lambda n: T0 + n * 250_000),
    st.integers(0, 12).map(lambda n: T0 + n * 250_000),
    st.integers(0, 4).map(lambda n: T0 + n * 86_400_000_000_000),
)
rows = st.lists(st.tuples(instants, st.integers(-3, 3), st.integers(0, 5)), max_size=12)


def table(group: str, drawn: list[tuple[int, int, int]]) -> dict[str, object]:
    ts = np.array([row[0] for row in drawn], np.int64)
    values = np.array([row[1] for row in drawn], np.float64)
    numbers = np.array([row[2] for row in drawn], np.int32)
    data: dict[str, object] = {"Epoch": ts.astype("M8[ns]")}
    names = GROUPS[group].names
    data[names[0]] = values.astype(GROUPS[group].dtypes[names[0]])
    if len(names) > 1:
        data[names[1]] = numbers
    return data


@st.composite
def cross_sections(draw, group: str, drawn: list[tuple[int, int, int]]) -> Table:
    """The rows as those of some symbols, which stand in each row or are named once."""
    names = draw(st.lists(symbols, min_size=len(drawn), max_size=len(drawn)))
    cross = read_table({"Symbol": names, **table(group, drawn)}, with_symbol=True)
    if draw(st.booleans()):
        return cross
    once = list(dict.fromkeys(names))
    codes = np.array([once.index(name) for name in names], np.int32)
    return replace(cross, symbols=once, codes=codes)


def moved_inside(drawn: list[tuple[int, int, int]], start: int, end: int) -> list[Any]:
    """The rows, those outside of a range at its ends."""
    return [(min(max(ts, start), end), *values) for ts, *values in drawn]


def shape(columns: Columns) -> tuple[object, ...]:
    return (
        columns.ts.tolist(),
        columns.variable,
        [(name, array.dtype.str, array.astype(str).tolist()) for name, array in columns.items()],
    )


def rows_of(parts: Iterable[Columns]) -> list[str]:
    return [
        repr(row)
        for part in parts
        for row in zip(part.ts, *(array for _, array in part.items()), strict=True)
    ]


class StoreMachine(RuleBasedStateMachine):
    """Every rule does the same to the store and to the model; every read must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.fs = FaultFileSystem()
        self.backups = FaultFileSystem()
        self.settings = SETTINGS[0]
        self.model = ModelStore()
        self.store = self.open()
        self.follower: Store | None = None
        self.begun: list[tuple[Iterator[Columns], list[str]]] = []
        self.read_before: list[tuple[Columns, tuple[object, ...]]] = []

    def open(self) -> Store:
        self.begun = []  # a closed store gives no more rows
        return Store("machine", fs=self.fs, settings=self.settings)

    def both(self, action) -> None:
        """The same call on both, with the same outcome."""
        outcomes = []
        for store in (self.model, self.store):
            try:
                outcomes.append(action(store))
            except (NotFoundError, AlreadyExistsError) as error:
                outcomes.append(type(error))
            except InvalidArgumentError:
                outcomes.append(InvalidArgumentError)  # of two mistakes in a call, either is told
        assert outcomes[0] == outcomes[1], outcomes

    @initialize()
    def follow(self) -> None:
        self.follower = Store("machine", fs=self.fs, read_only=True, settings=self.settings)

    @rule(symbol=symbols, group=groups, drawn=rows)
    def write(self, symbol: str, group: str, drawn) -> None:
        operation = Write(f"{symbol}/{group}", table(group, drawn), GROUPS[group])
        self.both(lambda store: store.commit([operation]))

    @rule(group=groups, drawn=rows, data=st.data())
    def write_table(self, group: str, drawn, data) -> None:
        operation = WriteTable(group, data.draw(cross_sections(group, drawn)), GROUPS[group])
        self.both(lambda store: store.commit([operation]))

    @rule(
        symbol=symbols, group=groups, drawn=rows, start=instants, end=instants, strays=st.booleans()
    )
    def replace(self, symbol: str, group: str, drawn, start: int, end: int, strays) -> None:
        first, last = np.datetime64(start, "ns"), np.datetime64(end, "ns")
        drawn = drawn if strays else moved_inside(drawn, start, end)
        operation = Replace(f"{symbol}/{group}", first, last, table(group, drawn), GROUPS[group])
        self.both(lambda store: store.commit([operation]))

    @rule(symbol=symbols, group=groups, drawn=rows, more=rows, start=instants, end=instants)
    def write_and_replace_at_once(self, symbol: str, group: str, drawn, more, start, end) -> None:
        key = f"{symbol}/{group}"
        first, last = np.datetime64(start, "ns"), np.datetime64(end, "ns")
        more = moved_inside(more, start, end)
        operations = [
            Write(key, table(group, drawn), GROUPS[group]),
            Replace(key, first, last, table(group, more), GROUPS[group]),
            WriteTable(group, {"Symbol": ["A"] * len(more), **table(group, more)}, GROUPS[group]),
        ]
        self.both(lambda store: store.commit(operations))

    @rule(symbol=symbols, group=groups)
    def create(self, symbol: str, group: str) -> None:
        self.both(lambda store: store.create(f"{symbol}/{group}", GROUPS[group]))

    @rule(symbol=symbols, group=groups)
    def destroy(self, symbol: str, group: str) -> None:
        self.both(lambda store: store.destroy(f"{symbol}/{group}"))

    @rule(symbol=symbols, group=groups)
    def write_other_columns(self, symbol: str, group: str) -> None:
        key = f"{symbol}/{group}"
        if key in self.model.list():
            self.both(lambda store: store.write(key, {"Epoch": [0], "Nope": [1.0]}))

    @rule(data=st.data(), symbol=symbols, group=groups, drawn=rows, more=rows)
    def bulk(self, data, symbol: str, group: str, drawn, more) -> None:
        operations = [
            Write(f"{symbol}/{group}", table(group, drawn), GROUPS[group]),
            WriteTable(group, data.draw(cross_sections(group, more)), GROUPS[group]),
        ]
        self.both(lambda store: store.bulk(operations))

    @rule(symbol=symbols, group=groups, drawn=rows, start=instants, end=instants)
    def bulk_replace(self, symbol: str, group: str, drawn, start: int, end: int) -> None:
        first, last = np.datetime64(start, "ns"), np.datetime64(end, "ns")
        drawn = moved_inside(drawn, start, end)
        operation = Replace(f"{symbol}/{group}", first, last, table(group, drawn), GROUPS[group])
        self.both(lambda store: store.bulk([operation]))

    @rule(symbol=symbols, group=groups, start=st.none() | instants, end=st.none() | instants)
    def delete(self, symbol: str, group: str, start: int | None, end: int | None) -> None:
        first = None if start is None else np.datetime64(start, "ns")
        last = None if end is None else np.datetime64(end, "ns")
        self.both(lambda store: store.delete(f"{symbol}/{group}", first, last))

    @rule(symbol=symbols, other=symbols, group=groups)
    def rename(self, symbol: str, other: str, group: str) -> None:
        self.both(lambda store: store.rename(f"{symbol}/{group}", f"{other}/{group}"))

    @rule(symbol=symbols, other=symbols, group=groups)
    def copy(self, symbol: str, other: str, group: str) -> None:
        self.both(lambda store: store.copy(f"{symbol}/{group}", f"{other}/{group}"))

    @rule(symbol=symbols, group=groups, wider=st.booleans(), more=st.booleans())
    def alter(self, symbol: str, group: str, wider, more) -> None:
        key = f"{symbol}/{group}"
        if key not in self.model.list():
            return
        old = self.model.info(key).schema
        columns = dict(old.dtypes)
        if wider:
            columns |= {name: "i8" for name, dtype in columns.items() if dtype.kind == "i"}
        if more:
            columns[f"More{len(columns)}"] = "f4" if len(columns) % 2 else "U3"
        if len(columns) < 6:
            schema = Schema.of(columns, variable=old.is_variable, identity=old.identity)
            self.both(lambda store: store.alter(key, schema))

    @rule(symbol=symbols, group=groups, rows=st.integers(1, 9), start=st.none() | instants)
    def iterate(self, symbol: str, group: str, rows: int, start: int | None) -> None:
        first = None if start is None else np.datetime64(start, "ns")

        def iterated(store) -> list[str]:
            parts = list(store.iterate(f"{symbol}/{group}", start=first, rows=rows))
            for part in parts:
                assert 0 < len(part) <= rows or len(set(part.ts.tolist())) == 1
            return rows_of(parts)

        self.both(iterated)

    @rule(pattern=st.sampled_from(["*/*/*", "A/*/*", "*/1Sec/*"]))
    def compact(self, pattern: str) -> None:
        self.store.compact(pattern)

    @rule()
    def compact_by_itself(self) -> None:
        self.store.compact("nobody/1Min/OHLCV")

    @rule()
    def flush(self) -> None:
        self.store.flush()

    @rule(chosen=st.sampled_from(SETTINGS))
    def close_and_open(self, chosen: Settings) -> None:
        self.store.close()
        self.settings = chosen
        self.store = self.open()

    @rule(symbol=symbols, group=groups, rows=st.integers(1, 4))
    def begin_to_iterate(self, symbol: str, group: str, rows: int) -> None:
        """What an iterator gives later is what the bucket held when it began."""
        key = f"{symbol}/{group}"
        if key not in self.model.list():
            return
        parts = self.store.iterate(key, rows=rows)
        left = rows_of(self.model.iterate(key, rows=rows))
        first = next(parts, None)
        if first is not None:
            assert rows_of([first]) == left[: len(first)]
            self.begun.append((parts, left[len(first) :]))

    @precondition(lambda self: self.begun)
    @rule()
    def go_on_iterating(self) -> None:
        parts, left = self.begun.pop(0)
        assert rows_of(parts) == left

    @rule(symbol=symbols, group=groups)
    def keep_what_was_read(self, symbol: str, group: str) -> None:
        key = f"{symbol}/{group}"
        if key in self.model.list():
            rows = self.store.read(key)
            self.read_before.append((rows, shape(rows)))

    @precondition(lambda self: self.read_before)
    @rule()
    def what_was_read_stays_as_it_was(self) -> None:
        rows, before = self.read_before.pop(0)
        assert shape(rows) == before

    @rule(by_follower=st.booleans())
    def backup(self, by_follower: bool) -> None:
        source = self.follower if by_follower else self.store
        source.engine.backup(self.backups)
        self.backups = self.backups.survivors()
        with Store("backup", fs=self.backups, read_only=True) as backup:
            problems = backup.check(deep=True).problems
            assert not problems, problems
            self.agrees(backup)

    @rule(seed=st.integers(0, 1000))
    def power_cut(self, seed: int) -> None:
        """Everything was acknowledged, so nothing may be missing, whatever else survived."""
        if self.settings.wal_sync != "always":
            self.store.flush()  # what is not synced may well be missing
        before = self.fs
        before.cut_power_at(0)
        rng = random.Random(seed) if seed else None
        self.fs = before.survivors(rng)
        with contextlib.suppress(PowerCut):
            self.store.close()  # ends its threads
        self.store = self.open()
        self.follower = Store("machine", fs=self.fs, read_only=True, settings=self.settings)

    @rule(
        symbol=symbols,
        group=groups,
        start=st.none() | instants,
        end=st.none() | instants,
        limit=st.none() | st.integers(1, 6),
        from_start=st.booleans(),
        narrow=st.booleans(),
    )
    def read_part(self, symbol, group, start, end, limit, from_start, narrow) -> None:
        options = {
            "start": None if start is None else np.datetime64(start, "ns"),
            "end": None if end is None else np.datetime64(end, "ns"),
            "limit": limit,
            "from_start": from_start,
            "columns": GROUPS[group].names[-1:] if narrow else None,
        }
        self.both(lambda store: shape(store.read(f"{symbol}/{group}", **options)))

    @precondition(lambda self: self.follower is not None)
    @rule()
    def a_reader_in_another_process_agrees(self) -> None:
        self.agrees(self.follower)

    def agrees(self, store: Store) -> None:
        assert store.list() == self.model.list()
        for key in self.model.list():
            assert shape(store.read(key)) == shape(self.model.read(key)), key

    @invariant()
    def everything_agrees(self) -> None:
        self.agrees(self.store)
        for key in self.model.list():
            found, expected = self.store.info(key), self.model.info(key)
            assert (found.schema, found.first_ns, found.last_ns) == (
                expected.schema,
                expected.first_ns,
                expected.last_ns,
            )

    def teardown(self) -> None:
        problems = self.store.check(deep=True).problems
        assert not problems, problems
        self.store.close()


TestStoreMachine = pytest.mark.long(seconds=10)(StoreMachine.TestCase)
TestStoreMachine.settings = settings(max_examples=60 * SCALE, stateful_step_count=50, deadline=None)
