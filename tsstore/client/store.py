"""A store at the other end of a connection: `tsstore.connect("http://127.0.0.1:5993")`.

The same methods, results and exceptions as a store that was opened from a directory. One object
serves any number of threads; each call in progress has a connection of its own, which is kept.

Reads are tried a second time when a connection breaks. Writes are not: whether the server carried
out a write whose answer is missing cannot be known here, and ticks would double. The error says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, overload
from weakref import WeakSet

from tsstore.api import BucketInfo, Changed, Operation, Replace, Snapshot, Write, WriteTable
from tsstore.asof import asof, in_zone, make_options
from tsstore.client.address import check_timeout, parse_address
from tsstore.client.messages import operation_message, two_keys
from tsstore.client.pieces import pieces
from tsstore.client.rpc import Rpc
from tsstore.client.transport import Transport
from tsstore.columns import Columns
from tsstore.following import follow, subscribe
from tsstore.key import BucketKey, KeyPattern, is_pattern
from tsstore.operations import check_operations, check_schema, writes_of
from tsstore.query import check_columns, check_functions, check_limit, parse_target
from tsstore.times import to_ns
from tsstore.wire import exact
from tsstore.zones import zone

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from tsstore.api import TableLike
    from tsstore.asof import Duration, Side
    from tsstore.following import Feed, Subscription, Update, Wanted
    from tsstore.reports import BackupReport, BucketStats, CompactionReport
    from tsstore.schema import Schema
    from tsstore.sql import SqlResult
    from tsstore.times import TimeLike


def connect(
    url: str,
    *,
    token: str | None = None,
    timeout_s: float = 30.0,
    ca: str | os.PathLike[str] | None = None,
) -> RemoteStore:
    """The store that a server serves.

    Args:
        url: `http://127.0.0.1:5993`; `https://` for TLS; a token may stand in it as a password.
        token: what the server's `token` setting asks for; blanks around it are dropped.
        timeout_s: longest silence of the server. A copy, a compaction or a backup may take hours;
            there it is the longest silence of its heartbeat.
        ca: PEM file of certificates to trust instead of the machine's, of an https server.

    Raises:
        ConnectionFailedError: nobody answers there, its certificate is not trusted, or it is no
            tsstore server.
        InvalidArgumentError: not a URL, a token that no header can hold, no length of time, or a
            file that holds no certificates.
    """
    store = RemoteStore(url, token=token, timeout_s=timeout_s, ca=ca)
    try:
        store.ping()
    except BaseException:
        store.close()
        raise
    return store


class RemoteStore:
    """A store behind a server. Thread-safe.

    Attributes:
        url: the server, without any token.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
        ca: str | os.PathLike[str] | None = None,
    ) -> None:
        transport = Transport(parse_address(url, token, ca), check_timeout(timeout_s))
        self._transport = transport
        self._rpc = Rpc(transport)
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        self.url = transport.url

    def __repr__(self) -> str:
        return f"<RemoteStore {self.url}>"

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
        functions: Sequence[str] = (),
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
        functions: Sequence[str] = (),
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
        functions: Sequence[str] = (),
    ) -> Columns | dict[str, Columns]:
        """Rows between `start` and `end`; see `StoreApi.read`."""
        symbols, *_, is_single = parse_target(key, group)
        if tz is not None:
            zone(tz)
        rows_max = check_limit(limit)
        names = check_columns(columns)
        params = exact.ReadParams(
            key if isinstance(key, str) else list(symbols),
            group,
            None if start is None else to_ns(start, tz),
            None if end is None else to_ns(end, tz),
            rows_max or None,
            bool(from_start),
            None if names is None else list(names),
            list(check_functions(functions)),
        )
        result = self._rpc.call("TsStore.Read", params, exact.ReadResult, repeatable=True)
        found = exact.found_in(result, tz or "UTC")
        return next(iter(found.values())) if is_single else found

    def write(
        self, key: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """Write rows to one bucket; see `StoreApi.write`."""
        return self.commit([Write(key, data, schema, variable)])

    def write_many(self, batches: Mapping[str, TableLike]) -> int:
        """Write several buckets as one atomic unit; see `StoreApi.write_many`."""
        return self.commit(writes_of(batches))

    def write_table(
        self, group: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """Write a cross-section; see `StoreApi.write_table`."""
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
        """Replace a range; see `StoreApi.replace`."""
        return self.commit([Replace(key, start, end, data, schema)])

    def commit(self, operations: Iterable[Operation]) -> int:
        """Several operations as one atomic unit; see `StoreApi.commit`."""
        messages = [operation_message(operation) for operation in check_operations(operations)]
        params = exact.CommitParams(messages)
        return self._rpc.call("TsStore.Commit", params, exact.CommitResult, repeatable=False).rows

    def bulk(self, operations: Mapping[str, TableLike] | Iterable[Operation]) -> int:
        """Write very many rows, past the log; see `StoreApi.bulk`."""
        if isinstance(operations, Mapping):
            operations = writes_of(operations)
        messages = [operation_message(operation) for operation in check_operations(operations)]
        params = exact.CommitParams(messages)
        return self._rpc.call("TsStore.Bulk", params, exact.CommitResult, repeatable=False).rows

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
        """Rows of a bucket, about so many at a time; see `StoreApi.iterate`."""
        name = str(BucketKey.parse(key))
        self.info(name)  # a timeframe that is computed is no bucket
        if tz is not None:
            zone(tz)
        rows_max = check_limit(rows)
        params = exact.ReadParams(
            name,
            None,
            None if start is None else to_ns(start, tz),
            None if end is None else to_ns(end, tz),
            # One more than is handed out, at which the next piece begins.
            rows_max + 1 if rows_max else None,
            from_start=True,
            columns=None if columns is None else list(check_columns(columns) or ()),
        )

        def read(params: exact.ReadParams) -> Columns:
            result = self._rpc.call("TsStore.Read", params, exact.ReadResult, repeatable=True)
            return next(iter(exact.found_in(result, tz or "UTC").values()))

        # The first piece is read now, so that what is wrong is said here.
        return pieces(params, read(params), read)

    def snapshot(
        self,
        key: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Snapshot:
        """Rows of a stored bucket, and the newest commit they show; see `Store.snapshot`."""
        if tz is not None:
            zone(tz)
        names = check_columns(columns)
        params = exact.SnapshotParams(
            str(BucketKey.parse(key)),
            None if start is None else to_ns(start, tz),
            None if end is None else to_ns(end, tz),
            None if names is None else list(names),
        )
        result = self._rpc.call("TsStore.Snapshot", params, exact.SnapshotResult, repeatable=True)
        return Snapshot(result.position, exact.columns_of(result.rows, tz or "UTC"))

    def sql(
        self,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> SqlResult:
        """The rows of a statement, carried out by the server; see `StoreApi.sql`."""
        from tsstore.sql.parameters import plain_parameters
        from tsstore.sql.result import SqlResult

        params = exact.SqlParams(statement, plain_parameters(parameters), timeout_s)
        answer = self._rpc.call(
            "TsStore.Sql", params, exact.SqlAnswer, repeatable=True, patient=True
        )
        return SqlResult.from_ipc(answer.rows, variable=answer.variable)

    def asof(
        self,
        left: Side | Sequence[str],
        right: Side,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        columns: Sequence[str] | None = None,
        right_columns: Sequence[str] | None = None,
        direction: str = "backward",
        tolerance: Duration | None = None,
        allow_exact: bool = True,
        drop: bool = False,
        suffix: str = "_right",
        age: str | None = None,
    ) -> Any:
        """Rows of one side with what the other side had at each of them; see `StoreApi.asof`.

        The server matches them, unless one side is rows that were read.
        """
        options = make_options(
            start=start,
            end=end,
            tz=tz,
            columns=columns,
            right_columns=right_columns,
            direction=direction,
            tolerance=tolerance,
            allow_exact=allow_exact,
            drop=drop,
            suffix=suffix,
            age=age,
        )
        if isinstance(left, Columns) or isinstance(right, Columns):
            return in_zone(asof(self.read, left, right, options), tz)
        params = exact.AsofParams(left if isinstance(left, str) else list(left), right, options)
        result = self._rpc.call("TsStore.Asof", params, exact.ReadResult, repeatable=True)
        found = exact.found_in(result, tz or "UTC")
        is_single = isinstance(left, str) and not is_pattern(left)
        return next(iter(found.values())) if is_single else found

    def changed_since(self, position: int, pattern: str = "*/*/*") -> Changed:
        """Where buckets got rows since an earlier moment; see `Store.changed_since`."""
        params = exact.ChangedParams(position, KeyPattern(pattern).text)
        result = self._rpc.call(
            "TsStore.ChangedSince", params, exact.ChangedResult, repeatable=True
        )
        return Changed(result.position, result.stretches)

    def subscribe(
        self,
        patterns: str | Sequence[str],
        *,
        after: int | None = None,
        on_update: Callable[[Update], None] | None = None,
    ) -> Subscription:
        """Rows of buckets as they are committed from now on; see `Store.subscribe`.

        It goes on by itself, without a gap and without anything twice, when the connection breaks
        or the server is started again; meanwhile it waits. What a slow user has not taken waits at
        the server, among the commits of the last while that it keeps for all its clients.

        Raises:
            ConnectionFailedError: the server cannot be reached now, does not accept the token, or
                is of another version.
        """
        found = subscribe(self, self._open_feed, patterns, after=after, on_update=on_update)
        self._subscriptions.add(found)
        return found

    def follow(
        self,
        patterns: str | Sequence[str],
        *,
        since: TimeLike | None = None,
        tz: str | None = None,
        on_update: Callable[[Update], None] | None = None,
    ) -> Subscription:
        """Rows since an instant, and then live ones; see `Store.follow` and `subscribe`."""
        found = follow(self, self._open_feed, patterns, since=since, tz=tz, on_update=on_update)
        self._subscriptions.add(found)
        return found

    def _open_feed(self, wanted: Wanted, after: int | None) -> Feed:
        from tsstore.client.feed import RemoteFeed  # who only reads needs no websocket

        return RemoteFeed(self._transport, wanted, after)

    def delete(self, key: str, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """Delete the rows of a range; see `StoreApi.delete`."""
        params = exact.DeleteParams(
            str(BucketKey.parse(key)),
            None if start is None else to_ns(start),
            None if end is None else to_ns(end),
        )
        return self._rpc.call("TsStore.Delete", params, exact.CommitResult, repeatable=False).rows

    def rename(self, key: str, new_key: str) -> None:
        """Give a bucket another name; see `StoreApi.rename`."""
        self._rpc.call("TsStore.Rename", two_keys(key, new_key), exact.Nothing, repeatable=False)

    def copy(self, key: str, new_key: str) -> None:
        """Make a bucket with the rows of another; see `StoreApi.copy`."""
        params = two_keys(key, new_key)
        self._rpc.call("TsStore.Copy", params, exact.Nothing, repeatable=False, patient=True)

    def alter(self, key: str, schema: Schema) -> None:
        """Give a bucket more or wider columns; see `StoreApi.alter`."""
        name = str(BucketKey.parse(key))
        params = exact.CreateParams(name, exact.schema_message(check_schema(schema)))
        self._rpc.call("TsStore.Alter", params, exact.Nothing, repeatable=False)

    def compact(self, pattern: str = "*/*/*") -> CompactionReport:
        """Merge the files of buckets into few packed ones; see `StoreApi.compact`."""
        params = exact.ListParams(KeyPattern(pattern).text)
        kind = exact.CompactResult
        return self._rpc.call("TsStore.Compact", params, kind, repeatable=True, patient=True).report

    @overload
    def stats(self) -> dict[str, Any]: ...

    @overload
    def stats(self, key: str) -> BucketStats: ...

    def stats(self, key: str | None = None) -> dict[str, Any] | BucketStats:
        """How the store, or one bucket, is stored; see `StoreApi.stats`."""
        params = exact.StatsParams(None if key is None else str(BucketKey.parse(key)))
        result = self._rpc.call("TsStore.Stats", params, exact.StatsResult, repeatable=True)
        found = result.store if key is None else result.bucket
        if found is None:
            raise self._rpc.not_understood("nothing was counted")
        return found

    def backup(self, dest: str) -> BackupReport:
        """Make a copy of the store on the server's machine; see `StoreApi.backup`."""
        params = exact.BackupParams(str(dest))
        kind = exact.BackupResult
        return self._rpc.call("TsStore.Backup", params, kind, repeatable=False, patient=True).report

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket; see `StoreApi.create`."""
        name = str(BucketKey.parse(key))
        params = exact.CreateParams(name, exact.schema_message(check_schema(schema)))
        self._rpc.call("TsStore.Create", params, exact.Nothing, repeatable=False)

    def destroy(self, key: str) -> None:
        """Remove a bucket; see `StoreApi.destroy`."""
        params = exact.KeyParams(str(BucketKey.parse(key)))
        self._rpc.call("TsStore.Destroy", params, exact.Nothing, repeatable=False)

    def list(self, pattern: str = "*/*/*") -> list[str]:
        """Keys of the buckets that match; see `StoreApi.list`."""
        params = exact.ListParams(KeyPattern(pattern).text)
        return self._rpc.call("TsStore.List", params, exact.ListResult, repeatable=True).keys

    def info(self, key: str) -> BucketInfo:
        """Schema, first and last instant of a bucket; see `StoreApi.info`."""
        params = exact.KeyParams(str(BucketKey.parse(key)))
        return exact.info_of(
            self._rpc.call("TsStore.Info", params, exact.InfoResult, repeatable=True)
        )

    @property
    def timezone(self) -> str:
        """Zone of the server's store; asks the server."""
        return self.ping().timezone

    def ping(self) -> exact.PingResult:
        """Version of the server and zone of its store."""
        return self._rpc.call("TsStore.Ping", exact.Nothing(), exact.PingResult, repeatable=True)

    def close(self) -> None:
        """Close the connections and end the subscriptions."""
        for subscription in list(self._subscriptions):
            subscription.close()
        self._rpc.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
