"""tsstore's own messages, which lose nothing: nanoseconds, schemas, atomic commits, exceptions.

MarketStore's datasets cannot carry these (time is split, one schema per answer, errors are text),
so `tsstore.connect` speaks the `TsStore.*` methods, whose parameters and results are defined here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import msgspec
import numpy as np

from tsstore import errors
from tsstore.api import BucketInfo, Operation, Replace, Write, WriteTable
from tsstore.asof import AsofOptions  # noqa: TC001  of messages
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, TsStoreError
from tsstore.reports import BackupReport, BucketStats, CompactionReport  # noqa: TC001  of messages
from tsstore.schema import Schema, type_name
from tsstore.tables import Table
from tsstore.wire.codec import Octets
from tsstore.wire.dataset import packed, sendable, unpack_column, unpack_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: A parameter of a statement.
Scalar: TypeAlias = str | int | float | bool | None

_NAT = np.iinfo(np.int64).min


class Rows(msgspec.Struct, omit_defaults=True):
    """Rows of one bucket, or with `symbols` of many.

    Attributes:
        ts: int64 nanoseconds since 1970 UTC, little-endian.
        names: data columns.
        types: their types.
        data: their values, little-endian.
        variable: whether they come from a variable-length bucket.
        symbols: the symbol of each row of a cross-section.
        had_nanoseconds: see `tsstore.tables.Table`.
    """

    ts: memoryview
    names: list[str]
    types: list[str]
    data: list[memoryview]
    variable: bool = False
    symbols: list[str] | None = None
    had_nanoseconds: bool = False


class SchemaMessage(msgspec.Struct, omit_defaults=True):
    """A schema; see `tsstore.schema.Schema`."""

    names: list[str]
    types: list[str]
    variable: bool = False
    identity: list[str] = []
    synthetic: bool = False


class OperationMessage(msgspec.Struct, omit_defaults=True):
    """One operation of a commit; `target` is a bucket key, or the group of a table."""

    kind: Literal["write", "replace", "table"]
    target: str
    rows: Rows
    schema: SchemaMessage | None = None
    variable: bool = False
    start_ns: int = 0
    end_ns: int = 0


class ReadParams(msgspec.Struct, omit_defaults=True):
    """Parameters of `TsStore.Read`."""

    key: str | list[str]
    group: str | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    limit: int | None = None
    from_start: bool = False
    columns: list[str] | None = None
    functions: list[str] = []


class Batch(msgspec.Struct):
    """Rows of buckets that have the same columns, one bucket after the other.

    Attributes:
        keys: the buckets.
        lengths: how many rows each of them has.
        rows: the rows of all.
    """

    keys: list[str]
    lengths: list[int]
    rows: Rows


class ReadResult(msgspec.Struct, omit_defaults=True):
    """Result of `TsStore.Read`.

    Attributes:
        batches: one for each set of columns.
        partial: buckets whose last row may yet change.
    """

    batches: list[Batch]
    partial: list[str] = []


class SnapshotParams(msgspec.Struct, omit_defaults=True):
    """Parameters of `TsStore.Snapshot`."""

    key: str
    start_ns: int | None = None
    end_ns: int | None = None
    columns: list[str] | None = None


class SnapshotResult(msgspec.Struct):
    """Result of `TsStore.Snapshot`; see `tsstore.api.Snapshot`."""

    position: int
    rows: Rows


class ChangedParams(msgspec.Struct, omit_defaults=True):
    """Parameters of `TsStore.ChangedSince`."""

    position: int
    pattern: str = "*/*/*"


class ChangedResult(msgspec.Struct):
    """Result of `TsStore.ChangedSince`; see `tsstore.api.Changed`."""

    position: int
    stretches: dict[str, list[tuple[int, int]]]


class CommitParams(msgspec.Struct):
    """Parameters of `TsStore.Commit` and `TsStore.Bulk`."""

    operations: list[OperationMessage]


class CommitResult(msgspec.Struct):
    """Result of `TsStore.Commit` and `TsStore.Bulk`: rows given; of `TsStore.Delete`: rows gone."""

    rows: int


class AsofParams(msgspec.Struct):
    """Parameters of `TsStore.Asof`; see `tsstore.asof`. Its result is one of `TsStore.Read`."""

    left: str | list[str]
    right: str
    options: AsofOptions


class SqlParams(msgspec.Struct, omit_defaults=True):
    """Parameters of `TsStore.Sql`: a statement, and values for what it leaves open."""

    statement: str
    parameters: list[Scalar] | dict[str, Scalar] | None = None
    timeout_s: float | None = None


class SqlAnswer(msgspec.Struct):
    """Result of `TsStore.Sql`.

    Attributes:
        rows: an Arrow IPC stream.
        variable: see `tsstore.sql.SqlResult`.
    """

    rows: memoryview
    variable: bool


def sql_answer(octets: memoryview, *, variable: bool) -> SqlAnswer:
    """The rows of a statement as a message."""
    return SqlAnswer(cast("memoryview", Octets(octets)), variable)


class CreateParams(msgspec.Struct):
    """Parameters of `TsStore.Create` and `TsStore.Alter`."""

    key: str
    schema: SchemaMessage


class KeyParams(msgspec.Struct):
    """Parameters of `TsStore.Destroy` and `TsStore.Info`."""

    key: str


class TwoKeysParams(msgspec.Struct):
    """Parameters of `TsStore.Rename` and `TsStore.Copy`."""

    key: str
    new_key: str


class DeleteParams(msgspec.Struct):
    """Parameters of `TsStore.Delete`; None stands for the first or the last row."""

    key: str
    start_ns: int | None = None
    end_ns: int | None = None


class StatsParams(msgspec.Struct):
    """Parameters of `TsStore.Stats`; without a key it is about the whole store."""

    key: str | None = None


class StatsResult(msgspec.Struct):
    """Result of `TsStore.Stats`: one of the two."""

    store: dict[str, float | int | str] | None = None
    bucket: BucketStats | None = None


class CompactResult(msgspec.Struct):
    """Result of `TsStore.Compact`."""

    report: CompactionReport


class BackupParams(msgspec.Struct):
    """Parameters of `TsStore.Backup`: a name below the server's `backup_directory`."""

    dest: str


class BackupResult(msgspec.Struct):
    """Result of `TsStore.Backup`."""

    report: BackupReport


class ListParams(msgspec.Struct):
    """Parameters of `TsStore.List` and `TsStore.Compact`."""

    pattern: str = "*/*/*"


class ListResult(msgspec.Struct):
    """Result of `TsStore.List`."""

    keys: list[str]


class InfoResult(msgspec.Struct):
    """Result of `TsStore.Info`; see `tsstore.api.BucketInfo`."""

    key: str
    schema: SchemaMessage
    first_ns: int | None
    last_ns: int | None
    rows: int


class PingResult(msgspec.Struct):
    """Result of `TsStore.Ping`."""

    version: str
    timezone: str


class Nothing(msgspec.Struct):
    """No parameters, or no result."""


def read_result(found: Mapping[str, Columns]) -> ReadResult:
    """Rows that were read, on their way to the client."""
    alike: dict[Any, dict[str, Columns]] = {}
    for key, rows in found.items():
        shape = (rows.variable, *((name, array.dtype) for name, array in rows.items()))
        alike.setdefault(shape, {})[key] = rows
    return ReadResult(
        [
            Batch(list(group), [len(rows) for rows in group.values()], _joined(group))
            for group in alike.values()
        ],
        [key for key, rows in sorted(found.items()) if rows.partial],
    )


def _joined(group: Mapping[str, Columns]) -> Rows:
    return rows_of(Columns.concat(list(group.values())))


def rows_of(columns: Columns) -> Rows:
    """Rows as a message."""
    return Rows(
        _sent(columns.ts),
        list(columns.names),
        [type_name(array.dtype) for _, array in columns.items()],
        [_sent(array) for _, array in columns.items()],
        columns.variable,
    )


def _sent(array: NDArray[Any]) -> memoryview:
    return cast("memoryview", sendable(array))  # which it becomes on the wire


def found_in(result: ReadResult, tz: str) -> dict[str, Columns]:
    """Rows that were read, at the client, by key and in the order of the keys."""
    found = {}
    for batch in result.batches:
        rows = columns_of(batch.rows, tz)
        start = 0
        for key, length in zip(batch.keys, batch.lengths, strict=True):
            piece = rows.slice(start, start + length)
            found[key] = piece.as_partial() if key in result.partial else piece
            start += length
    return dict(sorted(found.items()))


def columns_of(rows: Rows, tz: str) -> Columns:
    """Rows from a message; arrays are read-only."""
    arrays = {
        name: _aligned(unpack_column(name, text, buffer))
        for name, text, buffer in zip(rows.names, rows.types, rows.data, strict=True)
    }
    ts = _aligned(np.frombuffer(rows.ts, "<i8"))
    return Columns(ts, arrays, variable=rows.variable, tz=tz)


def _aligned(view: NDArray[Any]) -> NDArray[Any]:
    """A copy if the bytes begin at an odd place of the body, where arithmetic is slow."""
    if view.flags.aligned:
        return view
    copy = view.copy()
    copy.flags.writeable = False
    return copy


def rows_of_table(table: Table) -> Rows:
    """Rows to write, on their way to the server.

    Raises:
        InvalidArgumentError: a column of a type that no bucket has.
    """
    schema = Schema.of(((name, array.dtype) for name, array in table.arrays.items()))
    return Rows(
        packed(table.ts.astype("<i8", copy=False)),
        list(schema.names),
        [type_name(dtype) for _, dtype in schema.columns],
        [packed(table.arrays[name].astype(dtype, copy=False)) for name, dtype in schema.columns],
        symbols=table.row_symbols,
        had_nanoseconds=table.had_nanoseconds,
    )


def table_of(rows: Rows) -> Table:
    """Rows to write, at the server, checked.

    Raises:
        InvalidArgumentError: columns that do not fit together, or a time that is none.
    """
    ts = unpack_column("Epoch", "i8", rows.ts)
    if len(ts) and ts.min() == _NAT:
        raise InvalidArgumentError(f"Epoch in row {int(np.argmin(ts))} is NaT")
    arrays = unpack_columns(rows.names, rows.types, rows.data)
    sizes = {len(ts), *(len(array) for array in arrays.values())}
    if rows.symbols is not None:
        sizes.add(len(rows.symbols))
    if len(sizes) > 1:
        raise InvalidArgumentError(
            f"{len(ts)} times, but columns or symbols of other lengths {sorted(sizes)}"
        )
    return Table(ts, arrays, rows.symbols, rows.had_nanoseconds)


def schema_message(schema: Schema) -> SchemaMessage:
    """A schema on its way."""
    types = [type_name(dtype) for _, dtype in schema.columns]
    return SchemaMessage(
        list(schema.names), types, schema.is_variable, list(schema.identity), schema.synthetic
    )


def schema_of(message: SchemaMessage) -> Schema:
    """A schema, checked.

    Raises:
        InvalidArgumentError: names and types that no bucket can have.
    """
    if len(message.names) != len(message.types):
        raise InvalidArgumentError(
            f"a schema with {len(message.names)} names and {len(message.types)} types"
        )
    pairs = zip(message.names, message.types, strict=True)
    return Schema.of(
        pairs,
        variable=message.variable,
        identity=message.identity,
        synthetic=message.synthetic,
    )


def operation_of(message: OperationMessage) -> Operation:
    """An operation, its rows checked."""
    schema = None if message.schema is None else schema_of(message.schema)
    table = table_of(message.rows)
    if message.kind == "write":
        return Write(message.target, table, schema, message.variable)
    if message.kind == "table":
        return WriteTable(message.target, table, schema, message.variable)
    start, end = np.datetime64(message.start_ns, "ns"), np.datetime64(message.end_ns, "ns")
    return Replace(message.target, start, end, table, schema, message.variable)


def instant_of(ns: int | None) -> np.datetime64 | None:
    """An end of a range from a message."""
    return None if ns is None else np.datetime64(ns, "ns")


def info_message(info: BucketInfo) -> InfoResult:
    """What is known of a bucket, on its way."""
    schema = schema_message(info.schema)
    return InfoResult(info.key, schema, info.first_ns, info.last_ns, info.rows)


def info_of(message: InfoResult) -> BucketInfo:
    """What is known of a bucket."""
    schema = schema_of(message.schema)
    return BucketInfo(message.key, schema, message.first_ns, message.last_ns, message.rows)


def error_message(error: TsStoreError) -> dict[str, Any]:
    """An exception as `error.data`, so that the client raises the same one."""
    public = next(
        kind for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind
    )
    state = {name: value for name, value in vars(error).items() if _is_plain(value)}
    args = [value if _is_plain(value) else str(value) for value in error.args]
    return {"type": public.__name__, "args": args, "state": state}


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def error_from_wire(message: str, data: object) -> TsStoreError:
    """The exception that the server raised; a TsStoreError when it did not say which."""
    if not isinstance(data, dict):
        return TsStoreError(message)
    kind = getattr(errors, str(data.get("type")), None)
    if not (isinstance(kind, type) and issubclass(kind, TsStoreError)):
        return TsStoreError(message)
    # Not through __init__: what it takes differs from class to class.
    error = kind.__new__(kind)
    error.args = tuple(data.get("args") or ())
    error.__dict__.update(data.get("state") or {})
    return error
