"""The embedded store: a data directory behind the interface of `tsstore.api`."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, overload

from tsstore import query
from tsstore.api import BucketInfo, Operation, Replace, Write, WriteTable
from tsstore.errors import InvalidArgumentError, ReadOnlyError
from tsstore.key import BucketKey, KeyPattern
from tsstore.operations import (
    check_operations,
    check_rename,
    check_schema,
    to_instant,
    writes_of,
)
from tsstore.shown import shown
from tsstore.storage.follower import Follower
from tsstore.storage.settings import Settings
from tsstore.times import MAX_NS, MIN_NS
from tsstore.vfs import FileSystem, OsFileSystem
from tsstore.zones import zone

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    from tsstore.api import Changed, Snapshot, TableLike
    from tsstore.asof import Duration, Side
    from tsstore.columns import Columns
    from tsstore.following import LocalFeed, Subscription, Update, Wanted
    from tsstore.reports import BackupReport, BucketStats, CompactionReport
    from tsstore.schema import Schema
    from tsstore.sql import SqlDatabase, SqlLimits, SqlResult
    from tsstore.storage.check import CheckReport
    from tsstore.storage.committed import Committed
    from tsstore.storage.engine import Engine
    from tsstore.storage.recent import RecentCommits
    from tsstore.storage.shipping import Shipping
    from tsstore.storage.writer import Writer
    from tsstore.times import TimeLike


class Store:
    """A directory of buckets, opened in this process. Thread-safe.

    One process at a time may open a directory for writing; any number may open it read-only, and
    they see rows as soon as the writer's call has returned. Open a store again after a fork.

    Args:
        path: the data directory; created when it is not there, unless `read_only`.
        read_only: follow another process's writes instead of writing.
        timezone: zone whose midnights begin the slots of days, weeks, months and years; the one
            that the directory was made with, UTC for a new one, when left out.
        settings: durability and memory.
        fs: where the files are; the operating system's by default.

    Raises:
        InvalidArgumentError: no such zone, or days were written with another one; a URL, or a
            directory of other things, such as a MarketStore's.
        LockedError: another process writes to the directory; the text names it.
        CorruptionError: the directory is damaged; the text says where.
        StorageError: the directory cannot be read or written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        timezone: str | None = None,
        settings: Settings | None = None,
        fs: FileSystem | None = None,
    ) -> None:
        if timezone not in (None, "UTC"):
            zone(timezone)
        self.path = _directory(path)
        self.read_only = read_only
        self._fs = fs or OsFileSystem(path)
        chosen = settings or Settings()
        self._writer: Writer | None = None
        if read_only:
            self._engine: Engine = Follower(self._fs, chosen, timezone=timezone)
        else:
            from tsstore.storage.writer import Writer  # half the import time, not for readers

            self._writer = Writer(self._fs, chosen, timezone=timezone)
            self._engine = self._writer
        self.timezone = self._engine.timezone
        self._sql: dict[SqlLimits, SqlDatabase] = {}
        self._sql_lock = threading.Lock()
        self._recent: RecentCommits | None = None
        self._recent_lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """What `tsstore.query` reads from."""
        return self._engine

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
        """Rows of one or several buckets; see `StoreApi.read`."""
        return query.read(
            self._engine,
            key,
            group,
            start=start,
            end=end,
            tz=tz,
            limit=limit,
            from_start=from_start,
            columns=columns,
            functions=functions,
            store_tz=self.timezone,
        )

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
        """Delete a range and write these rows; see `StoreApi.replace`."""
        return self.commit([Replace(key, start, end, data, schema)])

    def commit(self, operations: Iterable[Operation]) -> int:
        """Carry out operations as one atomic unit; see `StoreApi.commit`."""
        return self._writable().changes.commit(check_operations(operations))

    def bulk(self, operations: Mapping[str, TableLike] | Iterable[Operation]) -> int:
        """Write very many rows, past the log; see `StoreApi.bulk`."""
        if isinstance(operations, Mapping):
            operations = writes_of(operations)
        return self._writable().changes.bulk(check_operations(operations))

    def delete(self, key: str, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """Delete the rows of a range; see `StoreApi.delete`."""
        key = str(BucketKey.parse(key))
        first, last = to_instant(start, MIN_NS), to_instant(end, MAX_NS)
        if last < first:
            raise InvalidArgumentError(f"{key}: the range to delete ends before it starts")
        return self._writable().changes.delete(key, first, last)

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
        return query.iterate(
            self._engine,
            key,
            start=start,
            end=end,
            tz=tz,
            rows=rows,
            columns=columns,
            store_tz=self.timezone,
        )

    def sql(
        self,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> SqlResult:
        """The rows of a statement over buckets; see `StoreApi.sql`."""
        return self.sql_database().run(statement, parameters, time_s=timeout_s)

    def sql_database(self, limits: SqlLimits | None = None) -> SqlDatabase:
        """What carries out statements within limits; the same one for the same limits."""
        from tsstore.sql import SqlDatabase, SqlLimits  # few programs need them

        limits = limits or SqlLimits()
        self._engine.keys()  # raises when the store is closed
        with self._sql_lock:
            if limits not in self._sql:
                self._sql[limits] = SqlDatabase(self._engine, self.timezone, limits)
            return self._sql[limits]

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
        """Rows of one side with what the other side had at each of them; see `StoreApi.asof`."""
        from tsstore.asof import asof, in_zone, make_options  # few programs need it

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
        return in_zone(asof(self.read, left, right, options), tz)

    def alter(self, key: str, schema: Schema) -> None:
        """Give a bucket more or wider columns; see `StoreApi.alter`."""
        self._writable().changes.alter(str(BucketKey.parse(key)), check_schema(schema))

    def copy(self, key: str, new_key: str) -> None:
        """Make a bucket with the rows of another; see `StoreApi.copy`."""
        check_rename(key, new_key)
        self._writable().changes.copy(str(BucketKey.parse(key)), str(BucketKey.parse(new_key)))

    def rename(self, key: str, new_key: str) -> None:
        """Give a bucket another name; see `StoreApi.rename`."""
        check_rename(key, new_key)
        self._writable().changes.rename(str(BucketKey.parse(key)), str(BucketKey.parse(new_key)))

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket; see `StoreApi.create`."""
        self._writable().changes.create(str(BucketKey.parse(key)), check_schema(schema))

    def destroy(self, key: str) -> None:
        """Remove a bucket and its rows; see `StoreApi.destroy`."""
        self._writable().changes.destroy(str(BucketKey.parse(key)))

    def list(self, pattern: str = "*/*/*") -> list[str]:
        """Keys of the buckets that match, sorted; see `StoreApi.list`."""
        return KeyPattern(pattern).filter(self._engine.keys())

    def info(self, key: str) -> BucketInfo:
        """What is known of a bucket; see `StoreApi.info`."""
        return self._engine.info(str(BucketKey.parse(key)))

    def check(self, *, deep: bool = False) -> CheckReport:
        """Read every byte of the directory and report what is wrong with it.

        Args:
            deep: decode every block as well, and look at the order of the rows.
        """
        from tsstore.storage.check import check_directory

        self.stats()  # raises when the store is closed
        return check_directory(self._fs, deep=deep)

    def backup(self, dest: str | os.PathLike[str]) -> BackupReport:
        """Make a copy of the store at this moment; see `StoreApi.backup`."""
        from tsstore.storage.backup import backup_target
        from tsstore.storage.check import check_directory

        target = backup_target(self._fs, dest)
        report = self._engine.backup(target)
        checked = check_directory(target)
        return replace(report, rows=checked.rows, problems=tuple(map(str, checked.problems)))

    @overload
    def stats(self) -> dict[str, Any]: ...

    @overload
    def stats(self, key: str) -> BucketStats: ...

    def stats(self, key: str | None = None) -> dict[str, Any] | BucketStats:
        """How the store, or one bucket, is stored; see `StoreApi.stats`."""
        if key is None:
            return self._engine.stats()
        return self._engine.bucket_stats(str(BucketKey.parse(key)))

    def flush(self) -> None:
        """Write rows that are in the log alone to segments; nothing needs this to be safe."""
        self._writable().flush()

    def compact(self, pattern: str = "*/*/*") -> CompactionReport:
        """Merge the segments of buckets into few packed ones; see `StoreApi.compact`."""
        return self._writable().compact(KeyPattern(pattern).matches)

    @property
    def shipping(self) -> Shipping:
        """What replicas are given."""
        return self._writable().shipping

    def announce(self, endpoint: str) -> None:
        """Let processes that find the directory locked know a server that takes their writes."""
        self._writable().announce(endpoint)

    def snapshot(
        self,
        key: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        columns: Sequence[str] | None = None,
    ) -> Snapshot:
        """Rows of a stored bucket, and the newest commit that they show.

        Of rows that the server's stream sends, those with a greater `commit` are not among them,
        and all others are. Arguments and errors as of `read`; NotFoundError for a bucket that
        would have to be computed.
        """
        return query.snapshot(
            self._engine, key, start=start, end=end, tz=tz, columns=columns, store_tz=self.timezone
        )

    def changed_since(self, position: int, pattern: str = "*/*/*") -> Changed:
        """Where buckets got rows since an earlier moment, without reading the rows.

        The answer comes from what files and memory say of the commits they hold. Rows that were
        deleted leave no trace in it.

        Args:
            position: what an earlier call returned, or a listener was told; 0 for the beginning. A
                position that the store has not come to counts as 0.
            pattern: which buckets.
        """
        keys = self.list(pattern)
        changed = self._engine.changed_since(position, keys)
        if position <= changed.position:
            return changed
        return self._engine.changed_since(0, keys)

    def add_listener(self, listener: Callable[[Committed], None]) -> None:
        """Call it after each commit, in commit order, on the committing thread.

        A store that was opened read-only calls it when it sees the commit.
        """
        self._engine.add_listener(listener)

    @property
    def recent(self) -> RecentCommits:
        """The commits since this was first asked for, as far as they are kept.

        Raises:
            ReadOnlyError: the store was opened read-only.
        """
        from tsstore.storage.recent import RecentCommits

        if self._writer is None:
            raise self._no_feed()
        writer = self._writer
        with self._recent_lock:
            if self._recent is None:
                recent = RecentCommits()
                writer.add_listener(recent.add)
                # Only now: what is committed from here on is told.
                recent.begin(self._engine.changed_since(0, ()).position)
                self._recent = recent
        return self._recent

    def subscribe(
        self,
        patterns: str | Sequence[str],
        *,
        after: int | None = None,
        on_update: Callable[[Update], None] | None = None,
    ) -> Subscription:
        """Rows of buckets as they are committed from now on; iterate over it, and close it.

            with store.subscribe("*/1Min/OHLCV") as updates:
                for update in updates:
                    print(update.key, update.rows["Close"])

        Every row that is committed after this call comes once, in the order of the commits, as one
        `Update` for each bucket and commit; a row that is written again comes again. Deleted rows
        and new names of buckets are not told.

        The store never waits for whoever is slow. It keeps what was committed lately, up to 64 MiB;
        who falls behind by more gets what is missing from the store, as it is by then: versions of
        a row that were replaced meanwhile are skipped. See `Update.replaces` for what is older than
        anything that was handed out.

        Args:
            patterns: keys or patterns of buckets, which may come to be later.
            after: `position` of an earlier subscription, to go on behind it.
            on_update: called with each update on a thread of its own, instead of iterating; what
                it raises ends the subscription, and `wait` raises it again.

        Raises:
            InvalidKeyError: not a key or pattern.
            ReadOnlyError: the store was opened read-only.
        """
        from tsstore import following

        return following.subscribe(
            self, self._open_feed, patterns, after=after, on_update=on_update
        )

    def follow(
        self,
        patterns: str | Sequence[str],
        *,
        since: TimeLike | None = None,
        tz: str | None = None,
        on_update: Callable[[Update], None] | None = None,
    ) -> Subscription:
        """The rows of buckets since an instant, and then live ones: no gap, and no row twice.

        History comes bucket by bucket, ascending, in updates of some hundred thousand rows
        (`is_live` false); then all that was committed meanwhile and is from now on, as of
        `subscribe`. Bars that are written again come as updates with `is_correction`.

        Args:
            patterns: keys or patterns of buckets; of a key the bucket must be there.
            since: first instant; of bars, the slot that holds it. Left out, all there is. Earlier
                rows do not come, not even late ones.
            tz: zone of `since`, if it has none, and of the frames made from the rows.
            on_update: see `subscribe`.

        Raises:
            NotFoundError: no bucket of that name.
            InvalidArgumentError: not a key, pattern or time.
            ReadOnlyError: the store was opened read-only.
        """
        from tsstore import following

        return following.follow(
            self, self._open_feed, patterns, since=since, tz=tz, on_update=on_update
        )

    def _open_feed(self, wanted: Wanted, after: int | None) -> LocalFeed:
        from tsstore.following import LocalFeed

        return LocalFeed(self.recent, wanted, after)

    def close(self) -> None:
        """Release the directory; written rows are on disk already."""
        with self._sql_lock:
            for database in self._sql.values():
                database.close()
        self._engine.close()
        with self._recent_lock:
            if self._recent is not None:
                self._recent.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        mode = ", read-only" if self.read_only else ""
        return f"<tsstore.Store {self.path}{mode}>"

    def _no_feed(self) -> ReadOnlyError:
        """Who reads the files of another process sees its rows, and is not told of them."""
        return ReadOnlyError(
            f"{self.path} was opened read-only, and only the process that writes to it tells of "
            "rows: subscribe with tsstore.open_shared(path), or with tsstore.connect(url) if a "
            "server runs on it"
        )

    def _writable(self) -> Writer:
        if self._writer is None:
            raise ReadOnlyError(f"{self.path} was opened read-only; open it without read_only")
        return self._writer


def _directory(path: str | os.PathLike[str]) -> str:
    """The path as text; a URL would name a directory `http:` of the working directory."""
    text = str(path)
    if re.match(r"https?:/|[a-zA-Z][\w+.-]+://", text):
        refusal = f"{shown(text)} is a URL, and no data directory"
        error = InvalidArgumentError(
            f"{refusal}; use tsstore.connect(url) for a server, or name a directory"
        )
        error.shell_text = f"{refusal}; use --url for a server, or name a directory"
        raise error
    return text
