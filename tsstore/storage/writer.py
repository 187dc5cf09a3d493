"""The writer: holds the lock of a directory, takes commits, flushes in the background."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from tsstore.clock import SystemClock
from tsstore.errors import (
    StorageError,
)
from tsstore.storage.changes import Changes
from tsstore.storage.committed import Committed, tell
from tsstore.storage.compactor import Compactor
from tsstore.storage.engine import Engine
from tsstore.storage.filenames import LOCK
from tsstore.storage.flush import SegmentWriter, deletes_of_former
from tsstore.storage.flusher import Flusher
from tsstore.storage.log import CommitLog
from tsstore.storage.publisher import Publisher
from tsstore.storage.recovery import Replay, load_or_create, settle_zone, sweep, sweep_segments
from tsstore.storage.segment import SegmentCache
from tsstore.storage.shipping import Shipping
from tsstore.storage.state import State, View
from tsstore.storage.wal import WalWriter, wal_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tsstore.format.commit import Commit
    from tsstore.reports import BackupReport, CompactionReport
    from tsstore.storage.segments import SegmentChange
    from tsstore.storage.settings import Settings
    from tsstore.vfs import FileSystem

logger = logging.getLogger("tsstore.storage")

# A close with fewer bytes in memory leaves them in the log: the next open replays them faster than
# a file per short session would cost readers for ever.
_SMALL_BYTES = 1 << 20
_SEALED_MAX = 32
# Writers wait when flushing falls behind by so many memtables.
_BACKLOG_MAX = 3
# What an earlier process left to compact waits until this one is past its first work.
_AT_LEISURE_S = 5.0
# Bulk loads keep chunks apart: a flush is due after so many.
_CHUNKS_MAX = 1024


class Writer(Engine):
    """The one process that may change a directory.

    Attributes:
        shipping: what replicas are given.
    """

    def __init__(self, fs: FileSystem, settings: Settings, *, timezone: str | None = None) -> None:
        super().__init__()
        self._fs = fs
        self._settings = settings
        fs.make_dir("")
        self._holder = {
            "pid": os.getpid(),
            "started_ns": SystemClock().now_ns(),
            "command": " ".join(sys.argv)[:200],
        }
        self._lock_file = fs.lock(LOCK, self._holder)
        try:
            self._recover(timezone)
        except BaseException:
            self._lock_file.release()
            raise

    def _recover(self, timezone: str | None) -> None:
        fs, settings = self._fs, self._settings
        manifest = load_or_create(fs, timezone)
        sweep(fs, manifest)
        self._cache = SegmentCache(
            fs, manifest.store_id, bytes_max=settings.cache_bytes, files_max=settings.files_max
        )
        self._state = State(manifest, self._cache)
        replay = Replay(fs, manifest, self._state)
        try:
            replay.run()
        finally:
            replay.reader.close()
        numbers = wal_numbers(fs)
        self._next_wal = max([numbers[-1] + 1 if numbers else 1, manifest.first_wal])
        self.timezone = settle_zone(fs, manifest.timezone, self._state.catalog, timezone)
        # Numbers that bulk loads took since the manifest was published.
        taken = int(self._state.view.segments.table["number"].max(initial=0))
        manifest = replace(
            manifest,
            timezone=self.timezone,
            next_segment=max(manifest.next_segment, taken + 1),
        )
        self._publisher = Publisher(fs, manifest, self._state, self._last_wal, self._certain)
        self._listeners: list[Callable[[Committed], None]] = []
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
        self._changes = Changes(
            self._state,
            self._log,
            self.timezone,
            settings.bulk_bytes_min,
            new_writer=self._announced_writer,
            is_told=lambda: bool(self._listeners),
            done=self._flusher.look,
        )
        self._compactor = Compactor(
            self._state,
            self._publisher,
            self._announced_writer,
            self._tell_followers,
            bytes_per_s=settings.compaction_bytes_per_s,
        )
        self.shipping = Shipping(fs, self._state, self._publisher, self._log)
        self._unsettled = not replay.clean
        if self._unsettled:
            sweep_segments(fs, self._state.view.segments.files)
            try:
                self._settle()
            except StorageError as error:
                # A full disk must not keep the owner from reading; writing waits for this.
                logger.warning("recovered rows could not be written to new files: %s", error)
        self._compactor.look(_AT_LEISURE_S)

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

    @property
    def changes(self) -> Changes:
        """What callers change, once there is room for more rows.

        Raises:
            ClosedError: the store was closed.
            StorageError: flushing is refused, and no more rows fit in memory.
        """
        self._check_usable()
        self._admit()
        return self._changes

    def _announced_writer(self) -> SegmentWriter:
        """For segments that are written apart from a flush.

        With a log that is open, a process that dies leaves a trace, and the next one looks for
        files that nobody published.
        """
        self._log.begin()
        return self._segment_writer()

    def _segment_writer(self) -> SegmentWriter:
        publisher = self._publisher
        return SegmentWriter(self._fs, publisher.manifest.store_id, publisher.take_number)

    def _apply(self, commit: Commit, sequence: int) -> None:
        self._state.apply(commit, sequence)
        if self._listeners and (commit.changes_anything or commit.renamed):
            tell(self._listeners, Committed(commit, self._state.catalog, sequence))
        self.shipping.poke()

    def _refuse(self, commit: Commit) -> None:
        self._state.catalog.forget(commit.created)

    def _new_wal(self, first_sequence: int) -> WalWriter:
        number = self._next_wal
        wal = WalWriter(self._fs, self._publisher.manifest.store_id, number, first_sequence)
        self._next_wal = number + 1
        return wal

    def _begin_wal(self) -> None:
        """Note that the log goes on, so that its loss is noticed."""
        self._publisher.publish_beginning()

    @contextlib.contextmanager
    def _certain(self, checkpoint: int) -> Iterator[None]:
        """Keep commits that a power cut may still take away out of the next manifest.

        It would know their buckets, and the log would give their numbers to others.
        """
        if self._settings.wal_sync == "always":  # readers, and manifests, see synced commits only
            yield
            return
        with self._log.leader:
            if self._state.view.sequence > checkpoint:
                self._log.settle()
            yield

    def _last_wal(self, first_wal: int) -> int:
        """The newest WAL file, for a manifest that begins with `first_wal`."""
        return self._next_wal - 1 if self._next_wal > first_wal else 0

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
        if view.chunk_bytes > limit or self._log.wal_bytes > 2 * limit:
            return True
        if view.chunk_count > _CHUNKS_MAX or self._state.loaded_bytes > limit:
            return True
        return self._state.has_doomed_files

    def _tidy(self) -> None:
        while self._state.tidy():
            pass
        self._publisher.remove_unused()

    def _sync_log(self) -> None:
        with self._log.leader:
            self._log.sync()
        self.shipping.poke()

    def flush(self) -> None:
        """Write all rows in memory to segments and publish a manifest that lists them.

        Raises:
            StorageError: the disk refused; the rows stay in the log and in memory.
        """
        self._check_usable()
        self._flusher.flush()

    def _flush(self) -> None:
        with self._publisher.changing:
            self._publish_chunks()
        self._unsettled = False
        self._tell_followers()
        self._publisher.sweep()
        self._compactor.look()

    def _publish_chunks(self) -> None:
        with self._log.leader:
            self._log.rotate()
            checkpoint = self._state.barrier()
            first_wal = self._log.wal_number or self._next_wal
            frozen = self._state.view
        change = self._write_segments(frozen)
        self._publisher.publish(change, checkpoint=checkpoint, first_wal=first_wal, sealed=())

    def backup(self, dest: FileSystem) -> BackupReport:
        """Make a copy of the store at this moment in another directory; see `StoreApi.backup`."""
        from tsstore.storage.backup import Backup, Snapshot

        self._check_usable()
        with Backup(self._fs, dest) as backup:
            return backup.write(Snapshot.of(self._state, self._publisher.manifest))

    def compact(self, wanted: Callable[[str], bool]) -> CompactionReport:
        """Merge segments into few packed ones; see `StoreApi.compact`."""
        self.flush()
        return self._compactor.compact(wanted)

    def _write_segments(self, frozen: View) -> SegmentChange:
        writer = self._segment_writer()
        try:
            catalog = self._state.catalog
            newer = deletes_of_former(frozen.chunks, catalog)
            for schema_id, chunks in frozen.chunks.items():
                schema = catalog.schemas[schema_id]
                deletes = newer.get(schema_id, {})
                writer.flush(schema_id, schema, chunks, catalog, frozen.segments, deletes)
            return writer.finish()
        except BaseException:
            # Only before they are published: a manifest that could not be synced may be valid.
            writer.abandon()
            raise

    def _tell_followers(self) -> None:
        with self._log.leader:
            manifest = self._publisher.manifest
            self._log.note_checkpoint(manifest.checkpoint, manifest.number)
        self.shipping.poke()

    # Closing

    def close(self) -> None:
        """Flush or seal the log, release the lock. Rows are safe even if this never runs."""
        if self._closed:
            return
        if self._pid != os.getpid():
            self._closed = True  # the parent process owns the files
            return
        self.shipping.close()
        self._compactor.stop()
        self._changes.close()
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
        first_wal = self._publisher.manifest.first_wal
        files = sum(number >= first_wal for number in wal_numbers(self._fs))
        if self._state.view.chunk_bytes >= _SMALL_BYTES or files > _SEALED_MAX:
            self._flush()
        if self._log.refused or self._publisher.refused:
            # There may be files that nobody knows of, and that must stay until it is certain that
            # no record on the medium names them: the next opening finds out, as after a crash.
            return
        with self._log.leader:
            self._log.seal()
        # The lengths let the next open notice a log that was cut since.
        manifest = self._publisher.manifest
        sealed = [s for s in (*manifest.sealed, *self._log.sealed) if s[0] >= manifest.first_wal]
        self._publisher.publish(sealed=tuple(sealed))
        self._publisher.sweep()
        self._publisher.remove_unused(closing=True)
