"""What callers change: operations become commits, take their place in the log and are waited for.

Buckets are resolved under one lock. A commit that creates or changes buckets takes its place in the
log before the lock is released, so whoever resolves next knows what will be.
"""

from __future__ import annotations

import contextlib
import threading
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from tsstore.errors import AlreadyExistsError, LimitExceededError, StorageError
from tsstore.format.commit import Commit, encode_commit
from tsstore.format.constants import RECORD_BODY_MAX
from tsstore.schema import check_widening
from tsstore.storage.batch import Batch, Parsed, first_slot, parse
from tsstore.storage.bulk import copy_bulk, write_bulk
from tsstore.storage.gate import Gate
from tsstore.storage.log import StaleError, Ticket
from tsstore.storage.slices import slices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsstore.api import Operation
    from tsstore.schema import Schema
    from tsstore.storage.flush import SegmentWriter
    from tsstore.storage.log import CommitLog
    from tsstore.storage.state import State

_T = TypeVar("_T")

# Rows that are in memory at a time while a bucket is copied.
_COPIED_ROWS = 1 << 20


class Changes:
    """The changes of one writing process.

    Args:
        state: what they change.
        log: gives them their order.
        timezone: whose midnights begin the slots of days and longer.
        bulk_bytes_min: rows of fewer bytes go through the log.
        new_writer: writes the segments of bulk loads.
        is_told: whether listeners will be told of rows.
        done: called after each commit.
    """

    def __init__(
        self,
        state: State,
        log: CommitLog,
        timezone: str,
        bulk_bytes_min: int,
        *,
        new_writer: Callable[[], SegmentWriter],
        is_told: Callable[[], bool],
        done: Callable[[], None],
    ) -> None:
        self._state = state
        self._catalog = state.catalog
        self._log = log
        self._timezone = timezone
        self._bulk_bytes_min = bulk_bytes_min
        self._new_writer = new_writer
        self._is_told = is_told
        self._done = done
        self._lock = threading.RLock()
        self._resolves = False
        self._change: Ticket | None = None  # the newest commit that changes names or schemas
        self._reserving: Batch | None = None  # has buckets and no place in the log
        self._loads = Gate()

    def commit(self, operations: Iterable[Operation]) -> int:
        """Carry out operations as one atomic unit; see `StoreApi.commit`."""
        parsed = parse(operations)
        while True:
            with contextlib.suppress(StaleError):
                return self._commit(parsed)

    def _commit(self, parsed: list[Parsed]) -> int:
        batch = Batch(self._catalog, self._timezone)
        ticket, epoch = self._resolving(partial(self._place, batch, parsed))
        if ticket is None:
            commit = batch.commit()
            if not commit.sections and not commit.deletes:
                return batch.rows
            ticket = self._enqueue(commit, epoch)
        self._wait(ticket)
        return batch.rows

    def _place(self, batch: Batch, parsed: list[Parsed]) -> tuple[Ticket | None, int]:
        """Resolve operations; the ticket of what creates buckets, and the epoch."""
        epoch = self._log.epoch
        self._reserving = batch
        for one in parsed:
            batch.add(one)
        # A commit that creates buckets takes its place in the log before anyone can write to
        # them; the others need the lock no longer.
        return self._place_created(batch, epoch) if batch.creates else None, epoch

    def _place_created(self, batch: Batch, epoch: int | None = None) -> Ticket:
        batch.ticket = self._ticket(batch.commit())
        return self._log.enqueue(batch.ticket, epoch)

    def _enqueue(self, commit: Commit, epoch: int) -> Ticket:
        return self._log.enqueue(self._ticket(commit), epoch)

    def _ticket(self, commit: Commit) -> Ticket:
        body = encode_commit(commit)
        if body.length > RECORD_BODY_MAX:
            raise LimitExceededError(
                f"one write of {body.length} bytes; at most {RECORD_BODY_MAX} fit into one commit, "
                "write in smaller batches"
            )
        return Ticket(commit, body)

    def _resolving(self, place: Callable[[], _T]) -> _T:
        """Find buckets or take names as the newest commit leaves them; returns what `place` does.

        No context manager: an interrupt that comes when one of ours has the lock and its block has
        not begun would leave it locked.
        """
        with self._lock:
            if self._resolves:
                # The log may need a lock that the interrupted call holds.
                raise StorageError(
                    "a signal handler that writes interrupted another write; let it set a flag, "
                    "and write when the interrupted call has returned"
                )
            try:
                self._resolves = True
                self._give_back()  # if an interrupt came before the last one was done with that
                change = self._change
                # One that was interrupted before it got its place never ends.
                if change is not None and self._log.holds(change):
                    change.finished.wait()
                return place()
            finally:
                try:
                    self._give_back()
                finally:
                    self._resolves = False

    def _check_free(self, key: str) -> None:
        if self._catalog.find(key) is not None:
            raise AlreadyExistsError(f"bucket {key} exists already; destroy it first")

    def _give_back(self) -> None:
        """Give back what was reserved, unless its commit has a place in the log."""
        batch = self._reserving
        if batch is None:
            return
        if batch.ticket is None or not self._log.holds(batch.ticket):
            batch.abandon()
        self._reserving = None

    def _change_catalog(self, commit: Commit, *, outdates: bool = False) -> Ticket:
        """Enqueue a commit that everyone who resolves buckets has to wait for."""
        self._change = self._ticket(commit)
        return self._log.enqueue(self._change, outdates=outdates)

    def _wait(self, ticket: Ticket) -> None:
        self._log.wait(ticket)
        self._done()

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket."""

        def place() -> Ticket:
            self._check_free(key)
            self._reserving = batch = Batch(self._catalog, self._timezone)
            batch.create(key, schema)
            return self._place_created(batch)

        self._wait(self._resolving(place))

    def destroy(self, key: str) -> None:
        """Remove a bucket and its rows."""

        def place() -> Ticket:
            bucket = self._catalog.known(key)
            return self._change_catalog(Commit(destroyed=[bucket.id]))

        self._wait(self._resolving(place))

    def rename(self, key: str, new_key: str) -> None:
        """Give a bucket another name."""

        def place() -> Ticket:
            bucket = self._catalog.known(key)
            self._check_free(new_key)
            return self._change_catalog(Commit(renamed=[(bucket.id, new_key)]))

        self._wait(self._resolving(place))

    def alter(self, key: str, schema: Schema) -> None:
        """Give a bucket more or wider columns."""

        def place() -> Ticket | None:
            bucket = self._catalog.known(key)
            if bucket.schema == schema:
                return None
            check_widening(key, bucket.schema, schema)
            number, unknown = self._catalog.schema_id(schema)
            commit = Commit({number: schema} if unknown else {}, altered=[(bucket.id, number)])
            # Rows that were fitted to the old schema must not come after this.
            return self._change_catalog(commit, outdates=True)

        ticket = self._resolving(place)
        if ticket is not None:
            self._wait(ticket)

    def copy(self, key: str, new_key: str) -> None:
        """Make a bucket with the rows that another one has now."""
        view, source = self._state.view, self._catalog.known(key)

        def name(batch: Batch) -> int:
            self._check_free(new_key)
            self._reserving = batch  # until its commit is made: see `_resolve`
            batch.create(new_key, source.schema)
            return self._log.epoch

        while True:
            batch = Batch(self._catalog, self._timezone)
            epoch = self._resolving(partial(name, batch))
            rows = slices(view, source, self._catalog.schemas, _COPIED_ROWS)
            with contextlib.suppress(StaleError):
                self._load(batch, epoch, partial(copy_bulk, batch, rows))
                return

    def delete(self, key: str, first: int, last: int) -> int:
        """Delete rows between two instants, both included; returns how many there were."""
        while True:
            epoch = self._log.epoch
            bucket = self._catalog.known(key)
            if not bucket.schema.is_variable:
                first = first_slot(bucket.timeframe, first, self._timezone)
            schemas = self._catalog.schemas
            ts, _ = self._state.view.read(
                bucket, schemas, first, last, limit=0, from_start=True, columns=()
            )
            with contextlib.suppress(StaleError):
                self._wait(self._enqueue(Commit(deletes=[(bucket.id, first, last)]), epoch))
                return len(ts)

    def bulk(self, operations: Iterable[Operation]) -> int:
        """Carry out operations as one atomic unit, past the log; see `StoreApi.bulk`."""
        parsed = parse(operations)
        size = sum(map(_bytes, parsed))
        write = self._bulk if size >= self._bulk_bytes_min else self._commit
        while True:
            with contextlib.suppress(StaleError):
                return write(parsed)

    def _bulk(self, parsed: list[Parsed]) -> int:
        batch = Batch(self._catalog, self._timezone)
        epoch = self._resolving(partial(self._resolve, batch, parsed))
        if batch.cuts:
            # What is left of a millisecond is written again with the commit, and must be older
            # than its rows: in one commit that is certain only for rows in the log.
            return self._commit(parsed)
        write = partial(write_bulk, batch, self._bulk_bytes_min, told=self._is_told())
        self._load(batch, epoch, write)
        return batch.rows

    def _resolve(self, batch: Batch, parsed: list[Parsed]) -> int:
        """Resolve operations whose commit is made later; returns the epoch.

        Nobody may write to buckets of a commit that has no place in the log yet: they are given
        back until then.
        """
        epoch = self._log.epoch
        self._reserving = batch
        for one in parsed:
            batch.add(one)
        return epoch

    def _load(self, batch: Batch, epoch: int, write: Callable[[SegmentWriter], Commit]) -> None:
        """Write segments, then commit them.

        Raises:
            StaleError: buckets have to be resolved again; nothing has happened.
        """
        under_way = threading.Lock()
        with under_way:
            self._loads.enter(under_way)
            segments = self._new_writer()
            try:
                commit = write(segments)
                if not commit.changes_anything:
                    self._log.check(epoch)  # or rows were left out whose bucket did not come to be
                    return
                batch.ticket = self._ticket(commit)
                self._resolving(partial(self._place_again, batch, epoch))
            except BaseException:
                if batch.ticket is None or not self._log.holds(batch.ticket):
                    segments.abandon()
                raise
        self._wait(batch.ticket)

    def _place_again(self, batch: Batch, epoch: int) -> None:
        self._reserving = batch
        if batch.ticket is None or not batch.reserve_again():
            raise StaleError
        self._log.enqueue(batch.ticket, epoch)

    def close(self) -> None:
        """Wait for loads that are under way; no more begin."""
        self._loads.close()


def _bytes(parsed: Parsed) -> int:
    table = parsed.table
    return table.ts.nbytes + sum(array.nbytes for array in table.arrays.values())
