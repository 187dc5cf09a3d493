"""The writer: holds the lock of a directory, takes commits, flushes in the background."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tsstore.clock import SystemClock
from tsstore.errors import (
    AlreadyExistsError,
    LimitExceededError,
    NotFoundError,
    StorageError,
)
from tsstore.format.commit import Commit, encode_commit
from tsstore.format.constants import RECORD_BODY_MAX
from tsstore.storage.batch import Batch, Parsed, parse
from tsstore.storage.committed import Committed
from tsstore.storage.engine import Engine
from tsstore.storage.filenames import LOCK
from tsstore.storage.flush import SegmentWriter
from tsstore.storage.flusher import Flusher
from tsstore.storage.log import CommitLog, StaleError, Ticket
from tsstore.storage.manifest import publish_manifest
from tsstore.storage.recovery import Replay, load_or_create, sweep, sweep_segments
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State, View
from tsstore.storage.wal import WalWriter, wal_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tsstore.api import Operation
    from tsstore.schema import Schema
    from tsstore.storage.settings import Settings
    from tsstore.vfs import FileSystem

logger = logging.getLogger("tsstore.storage")

# A close with fewer bytes in memory leaves them in the log: the next open replays them faster than
# a file per short session would cost readers for ever.
_SMALL_BYTES = 1 << 20
_SEALED_MAX = 32
# Writers wait when flushing falls behind by so many memtables.
_BACKLOG_MAX = 3


class Writer(Engine):
    """The one process that may change a directory."""

    def __init__(self, fs: FileSystem, settings: Settings, *, timezone: str = "UTC") -> None:
        super().__init__()
        self._fs = fs
        self._settings = settings
        self._timezone = timezone
        fs.make_dir("")
        self._holder = {
            "pid": os.getpid(),
            "started_ns": SystemClock().now_ns(),
            "command": " ".join(sys.argv)[:200],
        }
        self._lock_file = fs.lock(LOCK, self._holder)
        try:
            self._recover()
        except BaseException:
            self._lock_file.release()
            raise

    def _recover(self) -> None:
        fs, settings = self._fs, self._settings
        manifest = load_or_create(fs)
        # What an older manifest needs may go only once it is certain that this one stays.
        fs.sync_dir("")
        sweep(fs, manifest)
        self._manifest = manifest
        self._cache = SegmentCache(
            fs, manifest.store_id, bytes_max=settings.cache_bytes, files_max=settings.files_max
        )
        self._state = State(manifest, self._cache)
        replay = Replay(fs, manifest, self._state)
        replay.run()
        replay.reader.close()
        numbers = wal_numbers(fs)
        self._next_wal = max([numbers[-1] + 1 if numbers else 1, manifest.first_wal])
        self._next_segment = manifest.next_segment
        self._listeners: list[Callable[[Committed], None]] = []
        # Reentrant: a signal handler may write while the thread it interrupted resolves buckets.
        self._catalog_lock = threading.RLock()
        self._publish_lock = threading.Lock()
        self._log = CommitLog(
            self._new_wal,
            self._begin_wal,
            replay.sequence,
            sync=settings.wal_sync == "always",
            apply=self._apply,
            refuse=self._refuse,
        )
        self._flusher = Flusher(
            self._flush,
            self._tidy,
            is_due=self._is_due,
            sync=self._sync_log if settings.wal_sync == "interval" else None,
            interval_s=settings.wal_sync_interval_s,
        )
        self._unsettled = not replay.clean
        if self._unsettled:
            sweep_segments(fs, manifest)
            try:
                self._settle()
            except StorageError as error:
                # A full disk must not keep the owner from reading; writing waits for this.
                logger.warning("recovered rows could not be written to new files: %s", error)

    def _settle(self) -> None:
        """Write what was recovered to new files before anything is added to it.

        The log may have been read from the page cache, where it would look whole although the
        medium never took it; syncing it again would not help (see vfs). New files are certain.
        """
        self._flush()
        self._unsettled = False

    def current(self) -> State:
        """The state, which is always up to date in the writing process."""
        self._check_usable()
        return self._state

    def announce(self, endpoint: str) -> None:
        """Let processes that find the directory locked know where a server takes their writes."""
        self._holder["endpoint"] = endpoint
        self._lock_file.note(self._holder)

    def add_listener(self, listener: Callable[[Committed], None]) -> None:
        """Call it after each commit, in order, on the committing thread: it must only enqueue."""
        self._listeners.append(listener)

    # Committing

    def commit(self, operations: Iterable[Operation]) -> int:
        """Carry out operations as one atomic unit; see `StoreApi.commit`."""
        self._check_usable()
        self._admit()
        parsed = parse(operations)
        while True:
            with contextlib.suppress(StaleError):
                return self._commit(parsed)

    def _commit(self, parsed: list[Parsed]) -> int:
        batch = Batch(self._state.catalog, self._timezone)
        with self._catalog_lock:
            epoch = self._log.epoch
            try:
                for one in parsed:
                    batch.add(one)
                # A commit that creates buckets takes its place in the log before anyone can
                # write to them; the others need the lock no longer.
                ticket = self._enqueue(batch.commit(), epoch) if batch.creates else None
            except BaseException:
                batch.abandon()
                raise
        if ticket is None:
            commit = batch.commit()
            if not commit.sections and not commit.deletes:
                return batch.rows
            ticket = self._enqueue(commit, epoch)
        self._wait(ticket)
        return batch.rows

    def _enqueue(self, commit: Commit, epoch: int) -> Ticket:
        body = encode_commit(commit)
        if body.length > RECORD_BODY_MAX:
            raise LimitExceededError(
                f"one write of {body.length} bytes; at most {RECORD_BODY_MAX} fit into one commit, "
                "write in smaller batches"
            )
        return self._log.enqueue(commit, body, epoch)

    def _wait(self, ticket: Ticket) -> None:
        self._log.wait(ticket)
        self._flusher.look()

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket."""
        self._check_usable()
        self._admit()
        batch = Batch(self._state.catalog, self._timezone)
        with self._catalog_lock:
            if self._state.catalog.find(key) is not None:
                raise AlreadyExistsError(f"bucket {key} exists already; destroy it first")
            try:
                batch.create(key, schema)
                ticket = self._enqueue(batch.commit(), self._log.epoch)
            except BaseException:
                batch.abandon()
                raise
        self._wait(ticket)

    def destroy(self, key: str) -> None:
        """Remove a bucket and its rows."""
        self._check_usable()
        self._admit()
        with self._catalog_lock:
            bucket = self._state.catalog.get(key)
            if bucket is None:
                raise NotFoundError(f"there is no bucket {key} to destroy")
            # Waiting under the lock keeps a new bucket of this name from being refused.
            self._wait(self._enqueue(Commit(destroyed=[bucket.id]), self._log.epoch))

    def _apply(self, commit: Commit, sequence: int) -> None:
        self._state.apply(commit, sequence)
        if self._listeners and commit.sections:
            event = Committed(commit, self._state.catalog)
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception:
                    logger.exception("a listener failed; the commit is not affected")

    def _refuse(self, commit: Commit) -> None:
        self._state.catalog.forget(commit.created)

    def _new_wal(self, first_sequence: int) -> WalWriter:
        number = self._next_wal
        wal = WalWriter(self._fs, self._manifest.store_id, number, first_sequence)
        self._next_wal = number + 1
        return wal

    def _begin_wal(self) -> None:
        """Note that the log goes on, so that its loss is noticed."""
        self._publish()

    # Flushing

    def _admit(self) -> None:
        """Hold writers back when flushing cannot keep up, so that memory stays bounded.

        Raises:
            StorageError: flushing is refused, and no more rows fit in memory.
        """
        if self._unsettled:
            self.flush()
        limit = _BACKLOG_MAX * self._settings.memtable_bytes
        while self._state.view.chunk_bytes > limit:
            self.flush()

    def _is_due(self) -> bool:
        limit = self._settings.memtable_bytes
        view = self._state.view
        return (
            view.chunk_bytes > limit or self._log.wal_bytes > 2 * limit or bool(self._state.doomed)
        )

    def _tidy(self) -> None:
        while self._state.tidy():
            pass

    def _sync_log(self) -> None:
        with self._log.leader:
            self._log.sync()

    def flush(self) -> None:
        """Write all rows in memory to segments and publish a manifest that lists them.

        Raises:
            StorageError: the disk refused; the rows stay in the log and in memory.
        """
        self._check_usable()
        self._flusher.flush()

    def _flush(self) -> None:
        with self._log.leader:
            self._log.rotate()
            checkpoint = self._state.barrier()
            first_wal = self._log.wal_number or self._next_wal
            frozen = self._state.view
            doomed, self._state.doomed = self._state.doomed, []
        try:
            table, names = self._write_segments(frozen)
            self._publish(table, names, checkpoint=checkpoint, first_wal=first_wal, sealed=())
        except BaseException:
            self._state.doomed += doomed
            raise
        self._unsettled = False
        self._state.adopt_segments(table, names, checkpoint)
        with self._log.leader:
            self._log.note_checkpoint(checkpoint, self._manifest.number)
        self._remove_files(doomed)

    def _write_segments(self, frozen: View) -> tuple[Any, list[str]]:
        writer = SegmentWriter(self._fs, self._manifest.store_id, self._next_segment)
        try:
            for schema_id, chunks in frozen.chunks.items():
                schema = self._state.catalog.schemas[schema_id]
                writer.flush(schema_id, schema, chunks, self._state.catalog, frozen.segments)
            table = writer.finish()
        except BaseException:
            # Only before they are published: a manifest that could not be synced may be valid.
            writer.abandon()
            raise
        finally:
            self._next_segment = writer.next_number
        return table, writer.names

    def _publish(
        self,
        table: NDArray[np.void] | None = None,
        names: Sequence[str] = (),
        **changes: Any,
    ) -> None:
        """Publish a manifest of this moment, with these segments as well and these fields."""
        with self._publish_lock:
            manifest, segments = self._state.describe(self._manifest)
            if table is not None:
                segments = segments.with_added(table, list(names))
            first_wal = changes.get("first_wal", manifest.first_wal)
            manifest = replace(
                manifest,
                number=manifest.number + 1,
                last_wal=self._next_wal - 1 if self._next_wal > first_wal else 0,
                next_segment=self._next_segment,
                segments=segments.table,
                segment_names=segments.names,
                **changes,
            )
            publish_manifest(self._fs, manifest)
            self._manifest = manifest

    def _remove_files(self, doomed: list[str]) -> None:
        """Remove what the manifest no longer names; what stays is swept at the next open."""
        try:
            sweep(self._fs, self._manifest)
            for name in doomed:
                self._fs.remove(name)
                self._fs.prune_dirs(name.rpartition("/")[0])
        except StorageError as error:
            logger.warning("files that are no longer needed stay for now: %s", error)

    # Closing

    def close(self) -> None:
        """Flush or seal the log, release the lock. Rows are safe even if this never runs."""
        if self._closed:
            return
        if self._pid != os.getpid():
            self._closed = True  # the parent process owns the files
            return
        self._flusher.close(self._finish)

    def _finish(self) -> None:
        """The last thing the background does, so that nothing interrupts it."""
        if self._closed:
            return
        self._log.stop()
        try:
            self._close_log()
        except StorageError as error:
            logger.warning("closing without tidying up; the next open will: %s", error)
        finally:
            super().close()
            self._log.close()
            self._cache.close()
            self._lock_file.release()

    def _close_log(self) -> None:
        if self._log.wal_number is None or self._log.failed:
            return
        files = sum(number >= self._manifest.first_wal for number in wal_numbers(self._fs))
        if self._state.view.chunk_bytes >= _SMALL_BYTES or files > _SEALED_MAX:
            self._flush()
        with self._log.leader:
            self._log.seal()
        # The lengths let the next open notice a log that was cut since.
        manifest = self._manifest
        sealed = [s for s in (*manifest.sealed, *self._log.sealed) if s[0] >= manifest.first_wal]
        self._publish(sealed=tuple(sealed))
        sweep(self._fs, self._manifest)
