"""New bars go to the store in one commit; buckets that they do not fit are left out and named."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Replace, Write, WriteTable
from tsstore.columns import Columns
from tsstore.errors import NotFoundError, SchemaMismatchError
from tsstore_ondiskagg.refresh import Bars

if TYPE_CHECKING:
    import logging
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.schema import Schema

    _Types = Mapping[str, np.dtype[Any]]

# Bars that wait for a commit; a minute of all of a market is one commit.
_BARS_AT_ONCE = 200_000


class BarWriter:
    """Collects bars and writes them.

    A bucket that is there already may have narrower floats, as MarketStore writes them: bars are
    rounded to these. One with other columns gets no bars.

    Attributes:
        refused: how many bars did not fit their bucket.
    """

    def __init__(self, store: StoreApi, logger: logging.Logger) -> None:
        self._store = store
        self._logger = logger
        # What buckets take that are not as the bars: by group and symbol; None for no bars.
        self._others: dict[str, dict[str, _Types | None]] = {}
        self.refused = 0

    def write(self, bars: Iterable[Bars | Replace]) -> int:
        """Write bars; returns how many."""
        written = waiting = 0
        several: list[Bars | Replace] = []
        for each in bars:
            several.append(each)
            waiting += len(each.rows if isinstance(each, Bars) else each.data)
            if waiting >= _BARS_AT_ONCE:
                written += self._commit(several)
                several, waiting = [], 0
        return written + self._commit(several)

    def forget_destroyed(self, keys: Collection[str]) -> None:
        """Forget what is known of buckets that are not among these any more."""
        for group, others in self._others.items():
            for symbol in [one for one in others if f"{one}/{group}" not in keys]:
                del others[symbol]

    def _commit(self, bars: Sequence[Bars | Replace]) -> int:
        tables = _together([each for each in bars if isinstance(each, Bars)])
        replaced = [each for each in bars if isinstance(each, Replace)]
        try:
            return self._try(tables, replaced)
        except SchemaMismatchError:
            self._look_at_buckets(tables, replaced)
        try:
            return self._try(tables, replaced)
        except SchemaMismatchError:
            return self._one_by_one(tables, replaced)

    def _try(self, tables: Sequence[Bars], replaced: Sequence[Replace]) -> int:
        refused = self.refused
        operations: list[WriteTable | Replace] = [
            _table(part) for table in tables for part in self._adapted(table)
        ]
        for each in replaced:
            symbol, _, group = each.key.partition("/")
            data = self._as_bucket(group, symbol, each.data)
            if data is not None:
                operations.append(each._replace(data=data))
        try:
            return self._store.commit(operations) if operations else 0
        except SchemaMismatchError:
            self.refused = refused
            raise

    def _adapted(self, bars: Bars) -> Iterator[Bars]:
        """The bars as their buckets take them; most are as they are."""
        others = self._others.get(bars.group)
        if not others:
            yield bars
            return
        is_other = np.isin(bars.symbols, list(others))
        if not is_other.all():
            rest, rows = bars.symbols[~is_other], bars.rows.take(~is_other)
            yield bars._replace(symbols=rest, rows=rows)
        for symbol in np.unique(bars.symbols[is_other]).tolist():
            mine = bars.symbols == symbol
            fitted = self._as_bucket(bars.group, symbol, bars.rows.take(mine))
            if fitted is not None:
                yield bars._replace(symbols=bars.symbols[mine], rows=fitted)

    def _as_bucket(self, group: str, symbol: str, rows: Columns) -> Columns | None:
        others = self._others.get(group, {})
        if symbol not in others:
            return rows
        types = others[symbol]
        if types is None:
            self.refused += len(rows)
            return None
        return _rounded(rows, types)

    def _look_at_buckets(self, tables: Sequence[Bars], replaced: Sequence[Replace]) -> None:
        """Find out which buckets are not as the bars."""
        for table in tables:
            first = np.unique(table.symbols, return_index=True)[1].tolist()
            for at in first:
                self._look_at(table.group, str(table.symbols[at]), table.rows.slice(at, at + 1))
        for each in replaced:
            symbol, _, group = each.key.partition("/")
            self._look_at(group, symbol, each.data)

    def _look_at(self, group: str, symbol: str, rows: Columns) -> None:
        try:
            there = self._store.info(f"{symbol}/{group}").schema
        except NotFoundError:
            return
        if there.columns == rows.schema.columns:
            return
        fits = set(there.names) == set(rows.names) and not there.is_variable
        self._others.setdefault(group, {})[symbol] = there.dtypes if fits else None
        if not fits:
            self._say(f"{symbol}/{group}", there, rows)

    def _one_by_one(self, tables: Sequence[Bars], replaced: Sequence[Replace]) -> int:
        """Write each bucket by itself, and none whose values do not fit its types."""
        operations: list[Write | Replace] = list(replaced)
        for table in tables:
            for part in self._adapted(table):
                operations += _by_bucket(part)
        written = 0
        for operation in operations:
            try:
                written += self._store.commit([operation])
            except SchemaMismatchError:
                symbol, _, group = operation.key.partition("/")
                self._others.setdefault(group, {})[symbol] = None
                self.refused += len(operation.data)
                there = self._store.info(operation.key).schema
                self._say(operation.key, there, operation.data)
        return written

    def _say(self, key: str, there: Schema, rows: Columns) -> None:
        self._logger.error(
            "%s: has the columns %s%s and the bars to write have %s; it is left as it is: rename "
            "or destroy it, or take it out of `destinations`",
            key, _shown(there.columns), " and synthetic rows" * there.synthetic,
            _shown(rows.schema.columns),
        )  # fmt: skip


def _together(bars: Sequence[Bars]) -> list[Bars]:
    """Bars of the same group and columns in one."""
    alike: dict[Any, list[Bars]] = {}
    for each in bars:
        columns = tuple((name, array.dtype) for name, array in each.rows.items())
        alike.setdefault((each.group, each.schema, columns), []).append(each)
    return [
        Bars(
            group,
            np.concatenate([each.symbols for each in several]),
            Columns.concat([each.rows for each in several]),
            schema,
        )
        for (group, schema, _), several in alike.items()
    ]


def _table(bars: Bars) -> WriteTable:
    columns: dict[str, NDArray[Any]] = {"Symbol": bars.symbols}
    columns["Epoch"] = bars.rows.ts.view("M8[ns]")
    return WriteTable(bars.group, columns | dict(bars.rows.items()), bars.schema)


def _by_bucket(bars: Bars) -> Iterator[Write]:
    cuts = np.flatnonzero(bars.symbols[1:] != bars.symbols[:-1]) + 1
    for first, end in pairwise([0, *cuts.tolist(), len(bars.symbols)]):
        key = f"{bars.symbols[first]}/{bars.group}"
        yield Write(key, bars.rows.slice(first, end), bars.schema)


def _rounded(rows: Columns, types: _Types) -> Columns:
    """With floats rounded to those of the bucket; other types are for the store to fit."""
    arrays = {
        name: array.astype(types[name]) if array.dtype.kind == types[name].kind == "f" else array
        for name, array in rows.items()
    }
    return Columns(rows.ts, arrays)


def _shown(columns: Iterable[tuple[str, np.dtype[Any]]]) -> str:
    return ", ".join(f"{name} {dtype.str.lstrip('<|')}" for name, dtype in columns)
