"""The writer: holds the lock of a directory, takes commits, flushes in the background."""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.clock import SystemClock
from tsstore.errors import (
    AlreadyExistsError,
    LimitExceededError,
    NotFoundError,
    StorageError,
)
from tsstore.format.commit import Commit, encode_commit
from tsstore.format.constants import RECORD_BODY_MAX
from tsstore.format.manifest import SEGMENT_DTYPE
from tsstore.storage.batch import Batch, parse
from tsstore.storage.committed import Committed
from tsstore.storage.engine import Engine
from tsstore.storage.filenames import LOCK, wal_name
from tsstore.storage.flush import SegmentWriter
from tsstore.storage.log import CommitLog
from tsstore.storage.manifest import publish_manifest
from tsstore.storage.recovery import Replay, load_or_create, sweep, sweep_segments
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State
from tsstore.storage.wal import WalWriter, wal_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
_TICK_S = 0.05
_RETRY_S = 1.0


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
        self._catalog_lock = threading.Lock()
        self._flush_lock = threading.Lock()
        self._publish_lock = threading.Lock()
        self._drained = threading.Condition()
        self._flush_error: str | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._background: threading.Thread | None = None
        self._log = CommitLog(
            self._new_wal,
            self._begin_wal,
            replay.sequence,
            sync=settings.wal_sync == "always",
            apply=self._apply,
            refuse=self._refuse,
        )
        if not replay.clean:
            sweep_segments(fs, manifest)
            self._settle_unclean()

    def _settle_unclean(self) -> None:
        """Write what was recovered to new files before anyone sees it.

        The log may have been read from the page cache, where it would look whole although the
        medium never took it; syncing it again would not help (see vfs). New files are certain.
        """
        try:
            self.flush(rotate=False)
        except StorageError as error:
            # A full disk must not keep the owner from the rows: they stay in the log as well.
            logger.warning("recovered rows stay in the log for now: %s", error)

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
        batch = Batch(self._state.catalog, self._timezone)
        with self._catalog_lock:
            try:
                for one in parsed:
                    batch.add(one)
                # A commit that creates buckets takes its place in the log before anyone can
                # write to them; the others need the lock no longer.
                ticket = self._enqueue(batch.commit()) if batch.creates else None
            except BaseException:
                batch.abandon()
                raise
        if ticket is None:
            commit = batch.commit()
            if not commit.sections and not commit.deletes:
                return batch.rows
            ticket = self._enqueue(commit)
        self._log.wait(ticket)
        self._after_commit()
        return batch.rows

    def _enqueue(self, commit: Commit) -> Any:
        body = encode_commit(commit)
        if body.length > RECORD_BODY_MAX:
            raise LimitExceededError(
                f"one write of {body.length} bytes; at most {RECORD_BODY_MAX} fit into one commit, "
                "write in smaller batches"
            )
        return self._log.enqueue(commit, body)

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket."""
        self._check_usable()
        batch = Batch(self._state.catalog, self._timezone)
        with self._catalog_lock:
            if self._state.catalog.find(key) is not None:
                raise AlreadyExistsError(f"bucket {key} exists already; destroy it first")
            batch.create(key, schema)
            ticket = self._enqueue(batch.commit())
        self._log.wait(ticket)
        self._after_commit()

    def destroy(self, key: str) -> None:
        """Remove a bucket and its rows."""
        self._check_usable()
        with self._catalog_lock:
            bucket = self._state.catalog.get(key)
            if bucket is None:
                raise NotFoundError(f"there is no bucket {key} to destroy")
            ticket = self._enqueue(Commit(destroyed=[bucket.id]))
            # Waiting under the lock keeps a new bucket of this name from being refused.
            self._log.wait(ticket)
        self._after_commit()

    def _apply(self, commit: Commit, sequence: int) -> None:
        self._state.apply(commit, sequence)
        if self._listeners and commit.sections:
            event = Committed(commit, self._state.catalog)
            for listener in self._listeners:
                listener(event)

    def _refuse(self, commit: Commit) -> None:
        self._state.catalog.forget(commit.schemas, commit.created)

    def _new_wal(self, first_sequence: int) -> WalWriter:
        number = self._next_wal
        wal = WalWriter(self._fs, self._manifest.store_id, number, first_sequence)
        self._next_wal = number + 1
        return wal

    def _begin_wal(self) -> None:
        """Note that the log goes on, so that its loss is noticed."""
        manifest = self._manifest
        none, names = np.empty(0, SEGMENT_DTYPE), list[str]()
        self._publish(manifest.checkpoint, manifest.first_wal, none, names, sealed=manifest.sealed)

    # Flushing

    def _admit(self) -> None:
        """Hold writers back when flushing cannot keep up, so that memory stays bounded."""
        limit = _BACKLOG_MAX * self._settings.memtable_bytes
        if self._state.view.chunk_bytes <= limit:
            return
        with self._drained:
            while self._state.view.chunk_bytes > limit:
                if self._flush_error is not None:
                    raise StorageError(f"no more rows fit in memory: {self._flush_error}")
                self._wake.set()
                self._drained.wait(_TICK_S)

    def _after_commit(self) -> None:
        if self._background is None:
            self._start_background()
        elif self._is_full() or len(self._state.doomed) > 0 or self._has_many_chunks():
            self._wake.set()

    def _is_full(self) -> bool:
        limit = self._settings.memtable_bytes
        return self._state.view.chunk_bytes > limit or self._log.wal_bytes > 2 * limit

    def _has_many_chunks(self) -> bool:
        return any(len(chunks) >= 8 for chunks in self._state.view.chunks.values())

    def _start_background(self) -> None:
        with self._catalog_lock:
            if self._background is None:
                thread = threading.Thread(target=self._work, name="tsstore-flush", daemon=True)
                self._background = thread
                thread.start()

    def _work(self) -> None:
        interval = self._settings.wal_sync_interval_s
        periodic = self._settings.wal_sync == "interval"
        while not self._stop.is_set():
            self._wake.wait(interval if periodic else None)
            self._wake.clear()
            try:
                self._work_once(sync=periodic)
            except Exception as error:  # noqa: BLE001  reported to writers, tried again
                self._flush_error = str(error)
                logger.warning("flush failed and will be tried again: %s", error)
                self._stop.wait(_RETRY_S)
                self._wake.set()

    def _work_once(self, *, sync: bool) -> None:
        if sync:
            with self._log.leader:
                self._log.sync()
        while self._state.tidy():
            pass
        if self._is_full() or self._state.doomed:
            self.flush()

    def flush(self, *, rotate: bool = True) -> None:
        """Write all rows in memory to segments and publish a manifest that lists them.

        Raises:
            StorageError: the disk refused; the rows stay in the log and in memory.
        """
        self._check_usable()
        with self._flush_lock:
            self._flush(rotate=rotate)
        self._flush_error = None
        with self._drained:
            self._drained.notify_all()

    def _flush(self, *, rotate: bool) -> None:
        with self._log.leader:
            if rotate:
                self._log.rotate()
            checkpoint = self._state.barrier()
            first_wal = self._log.wal_number or self._next_wal
            frozen = self._state.view
            doomed, self._state.doomed = self._state.doomed, []
        writer = SegmentWriter(self._fs, self._manifest.store_id, self._next_segment)
        try:
            for schema_id, chunks in frozen.chunks.items():
                schema = self._state.catalog.schemas[schema_id]
                writer.flush(schema_id, schema, chunks, self._state.catalog, frozen.segments)
            table = writer.finish()
            self._next_segment = writer.next_number
            self._publish(checkpoint, first_wal, table, writer.names)
        except BaseException:
            self._state.doomed += doomed
            writer.abandon()
            raise
        self._state.adopt_segments(table, writer.names, checkpoint)
        self._log.note_checkpoint(checkpoint, self._manifest.number)
        self._remove_files(doomed)

    def _publish(
        self,
        checkpoint: int,
        first_wal: int,
        table: Any,
        names: list[str],
        *,
        sealed: tuple[tuple[int, int], ...] = (),
    ) -> None:
        with self._publish_lock:
            self._publish_next(checkpoint, first_wal, table, names, sealed)

    def _publish_next(
        self,
        checkpoint: int,
        first_wal: int,
        table: Any,
        names: list[str],
        sealed: tuple[tuple[int, int], ...],
    ) -> None:
        manifest, segments = self._state.describe(self._manifest)
        segments = segments.with_added(table, names)
        manifest = replace(
            manifest,
            number=manifest.number + 1,
            checkpoint=checkpoint,
            first_wal=first_wal,
            last_wal=self._next_wal - 1 if self._next_wal > first_wal else 0,
            sealed=sealed,
            next_segment=self._next_segment,
            segments=segments.table,
            segment_names=segments.names,
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
        self._stop.set()
        self._wake.set()
        if self._background is not None:
            self._background.join()
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
            self._log.stop("the store was closed")
            return
        sealed = [n for n in wal_numbers(self._fs) if n >= self._manifest.first_wal]
        if self._state.view.chunk_bytes >= _SMALL_BYTES or len(sealed) > _SEALED_MAX:
            self.flush()
        with self._log.leader:
            self._log.stop("the store was closed")
            self._log.seal()
            self._publish_sealed()

    def _publish_sealed(self) -> None:
        """Note how long the log is, so that a shortened one is noticed at the next open."""
        first = self._manifest.first_wal
        sealed = []
        for number in wal_numbers(self._fs):
            if number >= first:
                file = self._fs.open(wal_name(number))
                sealed.append((number, file.size()))
                file.close()
        checkpoint = self._manifest.checkpoint
        self._publish(checkpoint, first, np.empty(0, SEGMENT_DTYPE), [], sealed=tuple(sealed))
        sweep(self._fs, self._manifest)
