"""A store in plain Python dicts: slow, obviously right, and what property tests compare with."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeAlias, overload

import numpy as np

from tsstore import query
from tsstore.api import BucketInfo, Replace, Write, WriteTable
from tsstore.columns import Columns
from tsstore.errors import AlreadyExistsError, ClosedError, InvalidArgumentError, NotFoundError
from tsstore.key import BucketKey, KeyPattern
from tsstore.schema import check_origin, check_widening
from tsstore.tables import Table, fit, read_table, schema_of
from tsstore.timeframe import Timeframe
from tsstore.times import MAX_NS, MIN_NS, to_ns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from tsstore.api import Operation, TableLike
    from tsstore.schema import Schema
    from tsstore.times import TimeLike

#: An instant and the values of the columns.
_Row: TypeAlias = tuple[int, tuple[Any, ...]]

_NS_PER_MS = 1_000_000


@dataclass
class _Bucket:
    """Rows in the order in which they were written, bars by slot; instants that one call added."""

    key: BucketKey
    schema: Schema
    tz: str
    rows: list[_Row] = field(default_factory=list)
    added: list[int] = field(default_factory=list)

    def copy(self) -> _Bucket:
        return _Bucket(self.key, self.schema, self.tz, list(self.rows))

    def add(self, ts: int, values: tuple[Any, ...]) -> None:
        self.added.append(ts)
        if not self.schema.is_variable:
            self._upsert(ts, values)
        elif self.schema.identity:
            self._add_event(ts, values)
        else:
            self.rows.append((ts, values))

    def _slot(self, ts: int) -> int:
        timeframe = Timeframe.parse(self.key.timeframe)
        return int(timeframe.floor(np.array([ts], np.int64), self.tz)[0])

    def _upsert(self, ts: int, values: tuple[Any, ...]) -> None:
        slot = self._slot(ts)
        place = bisect_left(self.rows, slot, key=lambda row: row[0])
        is_taken = place < len(self.rows) and self.rows[place][0] == slot
        self.rows[place : place + is_taken] = [(slot, values)]

    def _add_event(self, ts: int, values: tuple[Any, ...]) -> None:
        for row in self.rows:
            same_event = row[0] // _NS_PER_MS == ts // _NS_PER_MS and self._identity(
                row[1]
            ) == self._identity(values)
            if not same_event:
                continue
            if row[0] % _NS_PER_MS != 0 and ts % _NS_PER_MS == 0:
                return  # what is there knows the time better
            self.rows.remove(row)
            break
        self.rows.append((ts, values))

    def delete(self, start_ns: int, end_ns: int) -> None:
        if not self.schema.is_variable and start_ns != MIN_NS:
            start_ns = self._slot(start_ns)
        self.rows = [row for row in self.rows if not start_ns <= row[0] <= end_ns]
        self.added = [ts for ts in self.added if not start_ns <= ts <= end_ns]

    def check_cut(self, start_ns: int, end_ns: int) -> None:
        """Refuse what the store refuses: cutting a millisecond of events of the same call."""
        cut = {start_ns // _NS_PER_MS} if start_ns % _NS_PER_MS else set()
        cut |= {end_ns // _NS_PER_MS} if (end_ns + 1) % _NS_PER_MS else set()
        if self.schema.identity and any(ts // _NS_PER_MS in cut for ts in self.added):
            raise InvalidArgumentError(f"{self.key}: a range cuts events of the same call")

    def check_inside(self, times: list[int], start_ns: int, end_ns: int) -> None:
        """Refuse what the store refuses: rows outside of the range that they are to replace."""
        if not self.schema.is_variable:
            start_ns, times = self._slot(start_ns), list(map(self._slot, times))
        if any(not start_ns <= ts <= end_ns for ts in times):
            raise InvalidArgumentError(f"{self.key}: a row is outside of the range to replace")

    def sorted_rows(self) -> list[_Row]:
        return sorted(self.rows, key=lambda row: (row[0], self._identity(row[1])))

    def _identity(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(values[self.schema.names.index(name)] for name in self.schema.identity)


class ModelStore:
    """`StoreApi` over plain dicts; nothing is kept when it is closed.

    Args:
        timezone: zone whose midnights bound days, weeks, months and years.
    """

    def __init__(self, timezone: str = "UTC") -> None:
        self._tz = timezone
        self._buckets: dict[str, _Bucket] = {}
        self._committing = threading.Lock()
        self._is_closed = False

    @overload
    def read(
        self,
        key: str,
        group: None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns: ...

    @overload
    def read(
        self,
        key: Sequence[str] | str,
        group: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> dict[str, Columns]: ...

    def read(
        self,
        key: str | Sequence[str],
        group: str | None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns | dict[str, Columns]:
        """See `StoreApi.read`."""
        self._check_open()
        return query.read(
            _ModelEngine(self._buckets),
            key,
            group,
            start=start,
            end=end,
            tz=tz,
            limit=limit,
            from_start=from_start,
            columns=columns,
            store_tz=self._tz,
        )

    def write(
        self, key: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """See `StoreApi.write`."""
        return self.commit([Write(key, data, schema, variable)])

    def write_many(self, batches: Mapping[str, TableLike]) -> int:
        """See `StoreApi.write_many`."""
        return self.commit([Write(key, data) for key, data in batches.items()])

    def write_table(
        self, group: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """See `StoreApi.write_table`."""
        return self.commit([WriteTable(group, data, schema, variable)])

    def replace(
        self,
        key: str,
        start: TimeLike,
        end: TimeLike,
        data: TableLike,
        *,
        schema: Schema | None = None,
    ) -> int:
        """See `StoreApi.replace`."""
        return self.commit([Replace(key, start, end, data, schema)])

    def commit(self, operations: Iterable[Operation]) -> int:
        """See `StoreApi.commit`."""
        self._check_open()
        with self._committing:
            after = {key: bucket.copy() for key, bucket in self._buckets.items()}
            rows = sum(self._carry_out(operation, after) for operation in operations)
            self._buckets = after
        return rows

    def bulk(self, operations: Mapping[str, TableLike] | Iterable[Operation]) -> int:
        """See `StoreApi.bulk`."""
        if isinstance(operations, Mapping):
            operations = [Write(key, data) for key, data in operations.items()]
        return self.commit(operations)

    def iterate(
        self,
        key: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        rows: int = 1_000_000,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Columns]:
        """See `StoreApi.iterate`."""
        self._bucket(key)
        left = self.read(key, start=start, end=end, tz=tz, columns=columns)
        while len(left) > rows:
            last = left.ts[rows - 1]
            cut = int(left.ts.searchsorted(last)) or int(left.ts.searchsorted(last, "right"))
            yield left.slice(0, cut)
            left = left.slice(cut, len(left))
        if len(left):
            yield left

    def alter(self, key: str, schema: Schema) -> None:
        """See `StoreApi.alter`."""
        bucket = self._bucket(key)
        check_widening(key, bucket.schema, schema)
        old = bucket.schema.names
        empty = {
            name: np.full(1, np.nan, dtype)[0] if dtype.kind == "f" else np.zeros(1, dtype)[0]
            for name, dtype in schema.columns
        }
        bucket.rows = [
            (ts, tuple(values[old.index(n)] if n in old else empty[n] for n in schema.names))
            for ts, values in bucket.rows
        ]
        bucket.schema = schema

    def copy(self, key: str, new_key: str) -> None:
        """See `StoreApi.copy`."""
        bucket = self._bucket(key)
        if new_key in self._buckets:
            raise AlreadyExistsError(f"bucket {new_key} exists already")
        copied = bucket.copy()
        copied.key = BucketKey.parse(new_key)
        self._buckets[new_key] = copied

    def delete(self, key: str, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """See `StoreApi.delete`."""
        first = MIN_NS if start is None else to_ns(start)
        last = MAX_NS if end is None else to_ns(end)
        if last < first:
            raise InvalidArgumentError(f"{key}: the range to delete ends before it starts")
        bucket = self._bucket(key)
        rows = len(bucket.rows)
        bucket.delete(first, last)
        return rows - len(bucket.rows)

    def rename(self, key: str, new_key: str) -> None:
        """See `StoreApi.rename`."""
        bucket = self._bucket(key)
        if new_key in self._buckets:
            raise AlreadyExistsError(f"bucket {new_key} exists already")
        del self._buckets[str(bucket.key)]
        bucket.key = BucketKey.parse(new_key)
        self._buckets[new_key] = bucket

    def _carry_out(self, operation: Operation, buckets: dict[str, _Bucket]) -> int:
        if isinstance(operation, WriteTable):
            return self._write_table(operation, buckets)
        key = BucketKey.parse(operation.key)
        table = read_table(operation.data)
        if isinstance(operation, Replace):
            start_ns, end_ns = to_ns(operation.start), to_ns(operation.end)
            if start_ns > end_ns:
                raise InvalidArgumentError(f"{key}: the range to replace ends before it starts")
            if str(key) in buckets:
                buckets[str(key)].check_cut(start_ns, end_ns)
                buckets[str(key)].delete(start_ns, end_ns)
        self._add_rows(key, table, operation, buckets)
        return len(table)

    def _write_table(self, operation: WriteTable, buckets: dict[str, _Bucket]) -> int:
        table = read_table(operation.data, with_symbol=True)
        symbols = table.row_symbols or []
        for symbol in dict.fromkeys(symbols):
            key = BucketKey.parse(f"{symbol}/{operation.group}")
            mine = np.array([other == symbol for other in symbols])
            arrays = {name: array[mine] for name, array in table.arrays.items()}
            rows = Table(table.ts[mine], arrays, had_nanoseconds=table.had_nanoseconds)
            self._add_rows(key, rows, operation, buckets)
        return len(table)

    def _add_rows(
        self, key: BucketKey, table: Table, operation: Operation, buckets: dict[str, _Bucket]
    ) -> None:
        bucket = buckets.get(str(key))
        if len(table) == 0:
            if bucket is not None and operation.schema is not None:
                check_origin(str(key), bucket.schema, operation.schema)
            return
        if bucket is None:
            schema = operation.schema or schema_of(table, variable=operation.variable)
            bucket = buckets[str(key)] = _Bucket(key, schema, self._tz)
        check_origin(str(key), bucket.schema, operation.schema)
        fitted = fit(table, bucket.schema, where=str(key))
        if isinstance(operation, Replace):
            ends = to_ns(operation.start), to_ns(operation.end)
            bucket.check_inside(fitted.ts.tolist(), *ends)
        columns = [array.tolist() for array in fitted.arrays.values()]
        for row, ts in enumerate(fitted.ts.tolist()):
            bucket.add(ts, tuple(column[row] for column in columns))

    def create(self, key: str, schema: Schema) -> None:
        """See `StoreApi.create`."""
        self._check_open()
        parsed = BucketKey.parse(key)
        if str(parsed) in self._buckets:
            raise AlreadyExistsError(f"bucket {parsed} exists already; write to it, or destroy it")
        self._buckets[str(parsed)] = _Bucket(parsed, schema, self._tz)

    def destroy(self, key: str) -> None:
        """See `StoreApi.destroy`."""
        del self._buckets[str(self._bucket(key).key)]

    def list(self, pattern: str = "*/*/*") -> list[str]:
        """See `StoreApi.list`."""
        self._check_open()
        return KeyPattern(pattern).filter(sorted(self._buckets))

    def info(self, key: str) -> BucketInfo:
        """See `StoreApi.info`."""
        bucket = self._bucket(key)
        instants = sorted(ts for ts, _ in bucket.rows)
        first_ns, last_ns = (instants[0], instants[-1]) if instants else (None, None)
        return BucketInfo(str(bucket.key), bucket.schema, first_ns, last_ns, len(instants))

    def close(self) -> None:
        """See `StoreApi.close`."""
        self._is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _bucket(self, key: str) -> _Bucket:
        self._check_open()
        return _ModelEngine(self._buckets).bucket(str(BucketKey.parse(key)))

    def _check_open(self) -> None:
        if self._is_closed:
            raise ClosedError("the store was closed; open it again")


@dataclass(frozen=True)
class _ModelEngine:
    """What `tsstore.query` reads from."""

    buckets: dict[str, _Bucket]

    def bucket(self, key: str) -> _Bucket:
        if key not in self.buckets:
            raise NotFoundError(f"there is no bucket {key}; list() shows those there are")
        return self.buckets[key]

    def keys(self) -> list[str]:
        return sorted(self.buckets)

    def schema(self, key: str) -> Schema:
        return self.bucket(key).schema

    def scan(
        self,
        key: str,
        start_ns: int,
        end_ns: int,
        *,
        limit: int = 0,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns:
        bucket = self.bucket(key)
        rows = [row for row in bucket.sorted_rows() if start_ns <= row[0] <= end_ns]
        if limit:
            rows = rows[:limit] if from_start else rows[-limit:]
        arrays = {
            name: np.array([values[index] for _, values in rows], dtype)
            for index, (name, dtype) in enumerate(bucket.schema.columns)
        }
        ts = np.array([ts for ts, _ in rows], np.int64)
        found = Columns(ts, arrays, variable=bucket.schema.is_variable)
        return found if columns is None else found.select(list(columns))
