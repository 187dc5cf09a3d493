"""The storage engine: one directory, opened for writing or for reading only.

`Engine` is what both openings share: reading from a state. `writer.Writer` holds the lock, takes
commits and flushes; `follower.Follower` reads along with a writer in another process.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from tsstore.api import BucketInfo, Changed, Snapshot
from tsstore.columns import Columns
from tsstore.errors import ClosedError, CorruptionError
from tsstore.storage.slices import slices
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tsstore.reports import BackupReport, BucketStats
    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket
    from tsstore.storage.committed import Committed
    from tsstore.storage.state import State, View
    from tsstore.vfs import FileSystem

T = TypeVar("T")


class Engine(ABC):
    """Reading of an open store.

    Attributes:
        timezone: whose midnights begin the slots of days and longer.
    """

    timezone: str

    def __init__(self) -> None:
        self._closed = False
        self._pid = os.getpid()

    @abstractmethod
    def current(self) -> State:
        """The state to read from, up to date.

        Raises:
            ClosedError: the store was closed, or belongs to another process.
        """

    def refreshed(self) -> State:
        """The state after a file was found missing; the same one if nothing has changed."""
        return self.current()

    @abstractmethod
    def add_listener(self, listener: Callable[[Committed], None]) -> None:
        """Call it after each commit with rows, in order; it must only enqueue."""

    @abstractmethod
    def backup(self, dest: FileSystem) -> BackupReport:
        """Make a copy of the store at this moment in another directory; see `StoreApi.backup`."""

    def _check_usable(self) -> None:
        if self._closed:
            raise ClosedError("the store was closed; open it again")
        if self._pid != os.getpid():
            raise ClosedError(
                "the store was opened before a fork; open it again in the child process"
            )

    def keys(self) -> list[str]:
        """Names of all buckets, sorted. The list is shared: do not change it."""
        return self.current().catalog.keys()

    def schema(self, key: str) -> Schema:
        """The columns of a bucket.

        Raises:
            NotFoundError: no such bucket.
        """
        return self.current().catalog.known(key).schema

    def scan(
        self,
        key: str,
        start: int = MIN_NS,
        end: int = MAX_NS,
        *,
        limit: int = 0,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns:
        """Rows of one bucket between two instants, both included, ascending.

        Args:
            key: name of the bucket.
            start: nanoseconds since 1970 UTC.
            end: nanoseconds since 1970 UTC.
            limit: at most so many rows, the last ones; 0 for all.
            from_start: whether the limit keeps the first rows instead.
            columns: names of the columns that are wanted, all of them by default; names that the
                bucket does not have are left out.

        Raises:
            NotFoundError: no such bucket.
            CorruptionError: rows cannot be read as they were written.
        """
        return self.snapshot(
            key, start, end, limit=limit, from_start=from_start, columns=columns
        ).rows

    def snapshot(
        self,
        key: str,
        start: int = MIN_NS,
        end: int = MAX_NS,
        *,
        limit: int = 0,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Snapshot:
        """The same rows as `scan`, with the commit up to which they are."""

        def look(state: State) -> Snapshot:
            view, bucket = state.view, state.catalog.known(key)
            schemas = state.catalog.schemas
            rows = _read(view, bucket, schemas, start, end, limit, from_start, columns)
            return Snapshot(view.sequence, rows)

        return self._look(look)

    def slices(
        self,
        key: str,
        start: int,
        end: int,
        rows: int,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Columns]:
        """Rows of one bucket as `scan` gives them, about so many at a time.

        All of one state of the bucket, which is kept while the iterator lives. Only where another
        process writes, and removes files that were merged meanwhile, the rest is of a later state.

        Raises:
            NotFoundError: no such bucket.
            CorruptionError: rows cannot be read as they were written.
        """
        state = self.current()
        view, bucket = state.view, state.catalog.known(key)
        names, _ = _chosen(bucket.schema, columns)
        while True:
            try:
                _, places = _chosen(bucket.schema, names)  # altered columns may have moved
                schemas = state.catalog.schemas
                for ts, arrays in slices(
                    view, bucket, schemas, rows, start=start, end=end, columns=places
                ):
                    shown = dict(zip(names, arrays, strict=True))
                    yield Columns(ts, shown, variable=bucket.schema.is_variable)
                    start = int(ts[-1]) + 1
            except CorruptionError:
                state = self.refreshed()
                if state.view.segments is view.segments:
                    raise
                view, bucket = state.view, state.catalog.known(key)
            else:
                return

    def info(self, key: str) -> BucketInfo:
        """What is known of a bucket without reading its rows."""
        return self._look(lambda state: self._info(state, key))

    def _info(self, state: State, key: str) -> BucketInfo:
        bucket = state.catalog.known(key)
        every = state.view.sources(bucket, state.catalog.schemas)
        sources = [s for s in every if s.first < s.end]
        rows = sum(source.end - source.first for source in sources)
        if not sources:
            return BucketInfo(key, bucket.schema)
        first = min(source.first_ts for source in sources)
        last = max(source.last_ts for source in sources)
        events = bool(bucket.schema.identity) and len(sources) > 1
        if not events and not any(source.deletes or source.masks for source in every):
            return BucketInfo(key, bucket.schema, first, last, rows)
        # The first and the last row of a source may be deleted, or an event that another source
        # knows better: look at the rows.
        head = self.scan(key, limit=1, from_start=True, columns=()).ts
        if len(head) == 0:
            return BucketInfo(key, bucket.schema)
        tail = self.scan(key, limit=1, columns=()).ts
        return BucketInfo(key, bucket.schema, int(head[0]), int(tail[0]), rows)

    def changed_since(self, sequence: int, keys: Iterable[str]) -> Changed:
        """Where buckets got rows since a commit; see `Store.changed_since`."""
        return self._look(lambda state: _changed_since(state, sequence, keys))

    def _look(self, look: Callable[[State], T]) -> T:
        """What `look` finds in the state, or in a later one if files went while it looked.

        Files go when they are replaced or their bucket is destroyed, maybe while a reader in
        another process opens them: what took their place is there by then.
        """
        state = self.current()
        while True:
            segments = state.view.segments
            try:
                return look(state)
            except CorruptionError:
                state = self.refreshed()
                if state.view.segments is segments:
                    raise

    def stats(self) -> dict[str, Any]:
        """Numbers for operators: buckets, segments, bytes in files and in memory."""
        state = self.current()
        table = state.view.segments.table
        return {
            "buckets": len(state.catalog.keys()),
            "segments": len(table),
            "segment_bytes": int(table["bytes"].sum()),
            "segment_rows": int(table["rows"].sum()),
            "memory_bytes": state.view.chunk_bytes,
            "sequence": state.view.sequence,
        }

    def bucket_stats(self, key: str) -> BucketStats:
        """How a bucket is stored.

        Raises:
            NotFoundError: no such bucket.
            CorruptionError: a segment cannot say what it holds.
        """
        from tsstore.storage.stats import bucket_stats

        return self._look(lambda state: bucket_stats(state.view, state.catalog.known(key)))

    def close(self) -> None:
        """Release everything."""
        self._closed = True


def _changed_since(state: State, sequence: int, keys: Iterable[str]) -> Changed:
    view, catalog = state.view, state.catalog
    changed: dict[str, list[tuple[int, int]]] = {}
    for key in keys:
        bucket = catalog.get(key)
        if bucket is None:
            continue
        try:
            sources = view.sources(bucket, catalog.schemas)
        except CorruptionError:  # a file that cannot say what it holds
            changed[key] = [(MIN_NS, MAX_NS)]
            continue
        changed[key] = [
            (source.first_ts, source.last_ts)
            for source in sources
            if source.last_sequence > sequence and source.first < source.end
        ]
    return Changed(view.sequence, {key: several for key, several in changed.items() if several})


def _read(
    view: View,
    bucket: Bucket,
    schemas: dict[int, Schema],
    start: int,
    end: int,
    limit: int,
    from_start: bool,
    columns: Sequence[str] | None,
) -> Columns:
    names, places = _chosen(bucket.schema, columns)
    ts, arrays = view.read(
        bucket, schemas, start, end, limit=limit, from_start=from_start, columns=places
    )
    for array in (ts, *arrays):
        array.flags.writeable = False  # also where it is a copy: nobody should have to know
    shown = dict(zip(names, arrays, strict=True))
    return Columns(ts, shown, variable=bucket.schema.is_variable)


def _chosen(schema: Schema, columns: Sequence[str] | None) -> tuple[tuple[str, ...], Sequence[int]]:
    """Names and places of the wanted columns, without those that the bucket does not have."""
    if columns is None:
        return schema.names, range(len(schema.names))
    names = tuple(name for name in dict.fromkeys(columns) if name in schema.dtypes)
    return names, [schema.names.index(name) for name in names]
