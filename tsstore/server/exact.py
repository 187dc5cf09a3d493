"""The `TsStore` service: StoreApi over RPC, nothing lost. `tsstore.client` is its other end."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tsstore import query
from tsstore.asof import asof
from tsstore.errors import InvalidArgumentError
from tsstore.query import Query, check_columns, check_limit, parse_target, run, snapshot
from tsstore.server.lanes import Kind
from tsstore.server.service import BudgetEngine
from tsstore.server.sqlreply import sql_limits
from tsstore.times import MAX_NS, MIN_NS
from tsstore.typed import whole
from tsstore.wire import exact
from tsstore.wire.codec import MalformedBodyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.server.served import ServedStore
    from tsstore.server.settings import ServerSettings

_P = TypeVar("_P", bound=msgspec.Struct)


class ExactService:
    """The methods of `TsStore`. They are called from several threads."""

    def __init__(self, store: ServedStore, settings: ServerSettings, *, version: str) -> None:
        self._store = store
        self._settings = settings
        self._version = version

    def methods(self) -> dict[str, Callable[[Any], msgspec.Struct]]:
        """Functions by the name that clients call."""
        return {
            "TsStore.Read": self.read,
            "TsStore.Snapshot": self.snapshot,
            "TsStore.Asof": self.asof,
            "TsStore.Sql": self.sql,
            "TsStore.ChangedSince": self.changed_since,
            "TsStore.Commit": self.commit,
            "TsStore.Bulk": self.bulk,
            "TsStore.Delete": self.delete,
            "TsStore.Rename": self.rename,
            "TsStore.Copy": self.copy,
            "TsStore.Alter": self.alter,
            "TsStore.Compact": self.compact,
            "TsStore.Stats": self.stats,
            "TsStore.Backup": self.backup,
            "TsStore.Create": self.create,
            "TsStore.Destroy": self.destroy,
            "TsStore.List": self.list,
            "TsStore.Info": self.info,
            "TsStore.Ping": self.ping,
        }

    def kinds(self) -> dict[str, Kind]:
        """Of the methods that are not short."""
        return {
            "TsStore.Bulk": Kind.BULK,
            "TsStore.Copy": Kind.LONG,
            "TsStore.Compact": Kind.LONG,
            "TsStore.Backup": Kind.LONG,
            "TsStore.Sql": Kind.SQL,
        }

    def read(self, params: Any) -> exact.ReadResult:
        """Rows of one bucket, or of those that a list or pattern names."""
        asked = _read(params, exact.ReadParams)
        symbols, timeframe, group, _ = parse_target(asked.key, asked.group)
        wanted = Query(
            symbols,
            timeframe,
            group,
            MIN_NS if asked.start_ns is None else asked.start_ns,
            MAX_NS if asked.end_ns is None else asked.end_ns,
            check_limit(asked.limit),
            asked.from_start,
            check_columns(asked.columns),
            functions=tuple(asked.functions),
            tz=self._store.timezone,
        )
        engine = BudgetEngine(self._store.engine, self._settings.reply_bytes_max)
        return exact.read_result(run(engine, wanted))

    def asof(self, params: Any) -> exact.ReadResult:
        """Rows of one side with what the other side had at each of them."""
        asked = _read(params, exact.AsofParams)
        engine = BudgetEngine(self._store.engine, self._settings.reply_bytes_max)
        read = partial(query.read, engine, store_tz=self._store.timezone)
        found = asof(read, asked.left, asked.right, asked.options)
        return exact.read_result(found if isinstance(found, dict) else {str(asked.left): found})

    def snapshot(self, params: Any) -> exact.SnapshotResult:
        """Rows of one bucket, and the newest commit that they show."""
        asked = _read(params, exact.SnapshotParams)
        found = snapshot(
            BudgetEngine(self._store.engine, self._settings.reply_bytes_max),
            asked.key,
            start=exact.instant_of(asked.start_ns),
            end=exact.instant_of(asked.end_ns),
            columns=asked.columns,
            store_tz=self._store.timezone,
        )
        return exact.SnapshotResult(found.position, exact.rows_of(found.rows))

    def sql(self, params: Any) -> exact.SqlAnswer:
        """The rows of a statement."""
        asked = _read(params, exact.SqlParams)
        found = self._store.sql_database(sql_limits(self._settings)).run(
            asked.statement,
            asked.parameters,
            time_s=asked.timeout_s,
            bytes_max=self._settings.reply_bytes_max,
        )
        return exact.sql_answer(found.to_ipc(), variable=found.variable)

    def changed_since(self, params: Any) -> exact.ChangedResult:
        """Where buckets got rows since a commit."""
        asked = _read(params, exact.ChangedParams)
        found = self._store.changed_since(asked.position, asked.pattern)
        return exact.ChangedResult(found.position, found.stretches)

    def commit(self, params: Any) -> exact.CommitResult:
        """Several operations as one atomic unit."""
        asked = _read(params, exact.CommitParams)
        operations = [exact.operation_of(message) for message in asked.operations]
        return exact.CommitResult(self._store.commit(operations))

    def bulk(self, params: Any) -> exact.CommitResult:
        """Several operations as one atomic unit, past the log."""
        asked = _read(params, exact.CommitParams)
        operations = [exact.operation_of(message) for message in asked.operations]
        return exact.CommitResult(self._store.bulk(operations))

    def delete(self, params: Any) -> exact.CommitResult:
        """Delete the rows of a range."""
        asked = _read(params, exact.DeleteParams)
        start, end = exact.instant_of(asked.start_ns), exact.instant_of(asked.end_ns)
        return exact.CommitResult(self._store.delete(asked.key, start, end))

    def rename(self, params: Any) -> exact.Nothing:
        """Give a bucket another name."""
        asked = _read(params, exact.TwoKeysParams)
        self._store.rename(asked.key, asked.new_key)
        return exact.Nothing()

    def copy(self, params: Any) -> exact.Nothing:
        """Make a bucket with the rows of another."""
        asked = _read(params, exact.TwoKeysParams)
        self._store.copy(asked.key, asked.new_key)
        return exact.Nothing()

    def alter(self, params: Any) -> exact.Nothing:
        """Give a bucket more or wider columns."""
        asked = _read(params, exact.CreateParams)
        self._store.alter(asked.key, exact.schema_of(asked.schema))
        return exact.Nothing()

    def compact(self, params: Any) -> exact.CompactResult:
        """Merge the files of buckets."""
        pattern = _read(params, exact.ListParams).pattern
        return exact.CompactResult(self._store.compact(pattern))

    def stats(self, params: Any) -> exact.StatsResult:
        """How the store, or a bucket, is stored."""
        key = _read(params, exact.StatsParams).key
        if key is None:
            return exact.StatsResult(store=self._store.stats())
        return exact.StatsResult(bucket=self._store.stats(key))

    def backup(self, params: Any) -> exact.BackupResult:
        """A copy of the store below the directory that the administrator chose for it.

        Raises:
            InvalidArgumentError: there is no such directory, or `dest` is no plain name.
        """
        dest = _read(params, exact.BackupParams).dest
        parent = self._settings.backup_directory
        if parent is None:
            raise InvalidArgumentError(
                "the server has no place for backups; set backup_directory in its mkts.yml, or run "
                "`tsstore backup` on its machine with --dir"
            )
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}", dest):
            raise InvalidArgumentError(
                f"backup {dest[:100]!r} is no plain name; it becomes a directory below the "
                "server's backup_directory, write a name such as nightly"
            )
        return exact.BackupResult(self._store.backup(f"{parent}/{dest}"))

    def create(self, params: Any) -> exact.Nothing:
        """An empty bucket."""
        asked = _read(params, exact.CreateParams)
        self._store.create(asked.key, exact.schema_of(asked.schema))
        return exact.Nothing()

    def destroy(self, params: Any) -> exact.Nothing:
        """Remove a bucket."""
        self._store.destroy(_read(params, exact.KeyParams).key)
        return exact.Nothing()

    def list(self, params: Any) -> exact.ListResult:
        """Keys that match a pattern."""
        return exact.ListResult(self._store.list(_read(params, exact.ListParams).pattern))

    def info(self, params: Any) -> exact.InfoResult:
        """Schema, first and last instant of a bucket."""
        return exact.info_message(self._store.info(_read(params, exact.KeyParams).key))

    def ping(self, params: Any) -> exact.PingResult:
        """Version of the server and zone of its store."""
        _read(params, exact.Nothing)
        return exact.PingResult(self._version, self._store.timezone)


def _read(params: Any, kind: type[_P]) -> _P:
    try:
        return msgspec.convert(params, whole(kind))
    except msgspec.ValidationError as error:
        raise MalformedBodyError(f"{kind.__name__}: {error}") from None
