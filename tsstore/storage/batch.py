"""From the operations of one call to one commit: keys resolved, rows fitted, sorted, deduplicated.

`Batch.add` finds or reserves buckets, so it runs under the lock of the catalog; `Batch.commit` does
the heavy part and needs none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore.api import Operation, Replace, Write, WriteTable
from tsstore.errors import InvalidArgumentError
from tsstore.format.commit import Commit, Section, single_run
from tsstore.key import BucketKey, check_part
from tsstore.schema import check_origin
from tsstore.storage.chunk import deleted, split_ids
from tsstore.storage.cutting import cut_milliseconds
from tsstore.storage.rows import MILLISECOND_NS, arrange, identity_columns
from tsstore.tables import Table, fit, read_table, schema_of
from tsstore.timeframe import Timeframe
from tsstore.times import MIN_NS, format_ns, to_ns
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket, Catalog
    from tsstore.storage.log import Ticket


class _Part(NamedTuple):
    """Rows for buckets of one schema, in the order given."""

    schema_id: int
    schema: Schema
    where: str
    timeframe: Timeframe
    row_ids: NDArray[np.uint32] | int  # one id when all rows are of one bucket
    table: Table


class Parsed(NamedTuple):
    """An operation whose data were read, which needs no lock."""

    operation: Operation
    table: Table


def parse(operations: Iterable[Operation]) -> list[Parsed]:
    """Read the data of operations.

    Raises:
        InvalidArgumentError: an operation of an unknown kind, or data that cannot be read.
    """
    parsed = []
    for operation in operations:
        if not isinstance(operation, Write | Replace | WriteTable):
            raise InvalidArgumentError(
                f"{operation!r} is not an operation; pass Write, Replace or WriteTable"
            )
        with_symbol = isinstance(operation, WriteTable)
        parsed.append(Parsed(operation, read_table(operation.data, with_symbol=with_symbol)))
    return parsed


class Batch:
    """One commit in the making.

    Attributes:
        rows: how many rows were given.
        creates: whether buckets were reserved.
        cuts: whether a delete holds a part of a millisecond of events.
        ticket: the commit on its way, once it is made.
    """

    def __init__(self, catalog: Catalog, timezone: str) -> None:
        self.rows = 0
        self.cuts = False
        self.ticket: Ticket | None = None
        self._catalog = catalog
        self._timezone = timezone
        self._parts: list[_Part] = []
        self._written: set[int] = set()  # buckets that a part is all of
        self._has_tables = False
        self._deletes: list[tuple[int, int, int]] = []
        self._schemas: dict[int, Schema] = {}
        self._created: list[tuple[int, str, int]] = []
        self._created_buckets: dict[int, Bucket] = {}

    @property
    def creates(self) -> bool:
        """Whether buckets were reserved."""
        return bool(self._created)

    def add(self, parsed: Parsed) -> None:
        """Resolve an operation; call under the catalog's lock."""
        self.rows += len(parsed.table)
        operation = parsed.operation
        if isinstance(operation, WriteTable):
            self._add_table(operation, parsed.table)
        else:
            self._add_bucket(operation, parsed.table)

    def _add_bucket(self, operation: Write | Replace, table: Table) -> None:
        key = str(BucketKey.parse(operation.key))
        bucket = self._catalog.find(key)
        if isinstance(operation, Replace) and to_ns(operation.end) < to_ns(operation.start):
            raise InvalidArgumentError(f"{key}: the range to replace ends before it starts")
        if bucket is None:
            if len(table) == 0:
                return  # nothing to delete and nothing to learn a schema from
            schema = operation.schema or schema_of(table, variable=operation.variable)
            bucket = self._reserve(key, self._schema_number(schema))
        # Whoever replaces rows by none and says nothing of them, deletes.
        if len(table) or operation.schema is not None:
            check_origin(key, bucket.schema, operation.schema)
        if isinstance(operation, Replace):
            first, last = to_ns(operation.start), to_ns(operation.end)
            if not bucket.schema.is_variable:
                first = first_slot(bucket.timeframe, first, self._timezone)
            self._check_inside(bucket, table.ts, first, last)
            self._delete(bucket, first, last)
        part = _Part(bucket.schema_id, bucket.schema, key, bucket.timeframe, bucket.id, table)
        if len(table):
            self._parts.append(part)
            self._written.add(bucket.id)

    def _check_inside(self, bucket: Bucket, ts: NDArray[np.int64], first: int, last: int) -> None:
        """Refuse rows outside of the range that they are to replace."""
        if len(ts) == 0:
            return
        ends = np.array([ts.min(), ts.max()])
        if not bucket.schema.is_variable:
            ends = bucket.timeframe.floor(ends, self._timezone)
        if first <= ends[0] and ends[1] <= last:
            return
        slots = ts if bucket.schema.is_variable else bucket.timeframe.floor(ts, self._timezone)
        row = int(((slots < first) | (slots > last)).argmax())
        raise InvalidArgumentError(
            f"{bucket.key}: row {row} at {format_ns(int(ts[row]))} is outside of the range to "
            f"replace, {format_ns(first)} to {format_ns(last)}; widen the range, or write the row "
            "by itself"
        )

    def _delete(self, bucket: Bucket, first: int, last: int) -> None:
        """Delete a range from everything written before, also earlier in this call."""
        if first > last:
            return
        self._deletes.append((bucket.id, first, last))
        cut = cut_milliseconds(bucket.schema, first, last)
        self.cuts |= bool(cut)
        if bucket.id not in self._written and not self._has_tables:
            return  # thousands of buckets may be replaced in one call
        for place, part in enumerate(self._parts):
            mine = part.row_ids == bucket.id
            ts = part.table.ts
            if (
                cut
                and (mine & np.isin(ts // MILLISECOND_NS, np.array(cut) // MILLISECOND_NS)).any()
            ):
                raise InvalidArgumentError(
                    f"{bucket.key}: a range to replace cuts a millisecond of which earlier rows of "
                    "the same call hold events; let it begin and end between two milliseconds, or "
                    "use two calls"
                )
            if not part.schema.is_variable:
                ts = part.timeframe.floor(ts, self._timezone)
            gone = deleted(ts, [(first, last)]) & mine
            if gone.any():
                self._parts[place] = _without(part, gone)
        self._parts = [part for part in self._parts if len(part.table)]

    def _add_table(self, operation: WriteTable, table: Table) -> None:
        group = operation.group
        timeframe = Timeframe.parse(BucketKey.parse(f"X/{group}").timeframe)
        if len(table) == 0:
            return
        symbols = table.symbols or []
        ids = self._catalog.ids(group, symbols)
        if not ids.all():
            members = self._catalog.group(group)
            self._create_members(operation, table, [s for s in symbols if s not in members])
            ids = self._catalog.ids(group, symbols)
        row_ids = ids if table.codes is None else ids[table.codes]
        schema_ids = self._catalog.schema_ids(ids)
        alike = bool((schema_ids == schema_ids[0]).all())
        for schema_id in [int(schema_ids[0])] if alike else np.unique(schema_ids).tolist():
            mine = schema_ids == schema_id
            rows = mine if table.codes is None else mine[table.codes]
            part = table if alike else _rows_of(table, rows)
            part_ids = row_ids if alike else row_ids[rows]
            schema = self._catalog.schemas[schema_id]
            check_origin(f"{symbols[int(mine.argmax())]}/{group}", schema, operation.schema)
            where = f"*/{group}"
            self._parts.append(_Part(schema_id, schema, where, timeframe, part_ids, part))
            self._has_tables = True

    def _create_members(self, operation: WriteTable, table: Table, symbols: list[str]) -> None:
        schema = operation.schema or schema_of(table, variable=operation.variable)
        number = self._schema_number(schema)
        for symbol in dict.fromkeys(symbols):
            check_part("symbol", symbol)
            key = f"{symbol}/{operation.group}"
            self._reserve(key, number)

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket; call under the catalog's lock."""
        self._reserve(key, self._schema_number(schema))

    def _reserve(self, key: str, schema_id: int) -> Bucket:
        bucket_id = self._catalog.take_id()
        self._created.append((bucket_id, key, schema_id))  # first: an interrupt may be next
        bucket = self._catalog.reserve(key, schema_id, bucket_id)
        self._created_buckets[bucket.id] = bucket
        return bucket

    def _schema_number(self, schema: Schema) -> int:
        number, unknown = self._catalog.schema_id(schema)
        if unknown:
            self._schemas[number] = schema
        return number

    def abandon(self) -> None:
        """Give back what was reserved; call under the catalog's lock."""
        self._catalog.forget(self._created)

    def commit(self) -> Commit:
        """The commit.

        Raises:
            SchemaMismatchError: columns that do not fit their bucket.
        """
        by_schema: dict[int, list[_Part]] = {}
        for part in self._parts:
            by_schema.setdefault(part.schema_id, []).append(part)
        sections = [self._section(parts) for parts in by_schema.values()]
        return Commit(self._schemas, self._created, deletes=self._deletes, sections=sections)

    # Bulk loads: their rows are written before the commit has a place in the log

    def bulk_commit(
        self,
        segments: NDArray[np.void],
        names: list[str],
        sections: list[Section],
        loaded: list[Section],
    ) -> Commit:
        """The commit of rows that are in files, which listeners see as `loaded`, and of others."""
        return Commit(
            self._schemas,
            self._created,
            deletes=self._deletes,
            sections=sections,
            segments=segments,
            segment_names=names,
            loaded=loaded,
        )

    def schema(self, schema_id: int) -> Schema:
        """A schema of the batch's buckets."""
        return self._catalog.schemas[schema_id]

    def bulk_sections(self, long_rows: int) -> list[Callable[[], Section]]:
        """The rows in sections, each made when it is called for.

        A bucket that is written once and has so many rows makes one by itself; all the others of a
        schema make one together.
        """
        counts = Counter(part.row_ids for part in self._parts if isinstance(part.row_ids, int))
        tables = {part.schema_id for part in self._parts if not isinstance(part.row_ids, int)}
        makers: list[Callable[[], Section]] = []
        rest: dict[int, list[_Part]] = {}
        for part in self._parts:
            alone = isinstance(part.row_ids, int) and counts[part.row_ids] == 1
            if alone and len(part.table) >= long_rows and part.schema_id not in tables:
                makers.append(partial(self._section, [part], copy=False))
            else:
                rest.setdefault(part.schema_id, []).append(part)
        return makers + [partial(self._section, parts, copy=False) for parts in rest.values()]

    def bucket(self, bucket_id: int) -> Bucket | None:
        """The bucket of an id, also one that this batch or a commit on its way is to create."""
        created = self._created_buckets.get(bucket_id)
        return created or self._catalog.find_id(bucket_id)

    @property
    def created(self) -> Bucket:
        """The one bucket that this batch is to create."""
        (bucket,) = self._created_buckets.values()
        return bucket

    def reserve_again(self) -> bool:
        """Take the buckets to create once more after `abandon`; under the catalog's lock.

        Returns:
            False when someone else created one of them meanwhile.
        """
        if any(self._catalog.find(key) is not None for _, key, _ in self._created):
            return False
        for bucket_id, key, schema_id in self._created:
            self._catalog.reserve(key, schema_id, bucket_id)
        return True

    def _section(self, parts: list[_Part], *, copy: bool = True) -> Section:
        fitted = [self._fitted(part) for part in parts]
        schema = parts[0].schema
        if len(parts) == 1:
            ts, arrays = fitted[0]
            row_ids = parts[0].row_ids
        else:
            ts = np.concatenate([rows[0] for rows in fitted])
            arrays = [np.concatenate(c) for c in zip(*(r[1] for r in fitted), strict=True)]
            row_ids = np.concatenate([_spread(part) for part in parts])
        identity = identity_columns(schema, arrays)
        if isinstance(row_ids, int):
            order = arrange(schema, None, ts, identity)
        else:
            order = arrange(schema, row_ids, ts, identity)
            row_ids = row_ids if order is None else row_ids[order]
        # Fancy indexing copies; without it the rows would stay the caller's memory.
        if order is not None:
            ts, arrays = ts[order], [array[order] for array in arrays]
        elif copy:
            ts, arrays = ts.copy(), [array.copy() for array in arrays]
        else:  # a view can be made read-only without the caller's array becoming so
            ts, arrays = ts.view(), [array.view() for array in arrays]
        if isinstance(row_ids, int):
            return single_run(parts[0].schema_id, row_ids, ts, arrays)
        ids, starts = split_ids(row_ids)
        return Section(parts[0].schema_id, ids, starts, ts, arrays)

    def _fitted(self, part: _Part) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
        table = fit(part.table, part.schema, where=part.where)
        ts = table.ts
        if not part.schema.is_variable:
            floored = part.timeframe.floor(ts, self._timezone)
            if (floored > ts).any():
                raise InvalidArgumentError(
                    f"{part.where}: the slot of a row begins before 1677-09-21, which no time holds"
                )
            ts = floored
        return ts, list(table.arrays.values())


def first_slot(timeframe: Timeframe, first: int, timezone: str) -> int:
    """The slot of a fixed bucket that holds an instant, or the instant where none can begin."""
    if first < MIN_NS + timeframe.duration_ns + 2 * NS_PER_DAY:
        return first
    return int(timeframe.floor(np.array([first], np.int64), timezone)[0])


def _spread(part: _Part) -> NDArray[np.uint32]:
    if isinstance(part.row_ids, int):
        return np.full(len(part.table), part.row_ids, np.uint32)
    return part.row_ids


def _rows_of(table: Table, rows: NDArray[np.bool_]) -> Table:
    arrays = {name: array[rows] for name, array in table.arrays.items()}
    return replace(table, ts=table.ts[rows], arrays=arrays, symbols=None, codes=None)


def _without(part: _Part, gone: NDArray[np.bool_]) -> _Part:
    stays = ~gone
    row_ids = part.row_ids if isinstance(part.row_ids, int) else part.row_ids[stays]
    table = _rows_of(part.table, stays)
    return _Part(part.schema_id, part.schema, part.where, part.timeframe, row_ids, table)
