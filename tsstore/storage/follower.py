"""A read-only opening: follows the log of the writer, wherever that runs.

Before each read it looks whether the log has grown and applies what is new, so a row is seen as
soon as its write is acknowledged. It changes nothing in the directory and needs no lock.
"""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

from tsstore.errors import CorruptionError, NotFoundError, StorageError
from tsstore.format.constants import KIND_CHECKPOINT
from tsstore.storage.committed import Committed, tell
from tsstore.storage.engine import Engine
from tsstore.storage.filenames import wal_name
from tsstore.storage.manifest import load_manifest, manifest_numbers
from tsstore.storage.recovery import Replay, check_not_marketstore, settle_zone
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State
from tsstore.storage.wal import check_torn_tail, has_commits

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.format.commit import Commit
    from tsstore.reports import BackupReport
    from tsstore.storage.settings import Settings
    from tsstore.vfs import FileSystem

# The writer may publish a manifest and drop the files of the one before while we read it.
_ATTEMPTS = 10


class _Loaded:
    """One manifest and the log behind it, as far as it was read.

    Attributes:
        timezone: that the directory was written with, if it says so.
        manifest_number: of the newest manifest whose segments are in the state.
        store_id: of the store.
        cache: open segments.
        state: what readers see.
        replay: where in the log we are.
    """

    def __init__(self, fs: FileSystem, settings: Settings) -> None:
        manifest = load_manifest(fs)
        if manifest is None:
            check_not_marketstore(fs)
            raise NotFoundError(
                f"{fs.describe('')} holds no store; write to it first, or check the path"
            )
        self.timezone = manifest.timezone
        self.manifest_number = manifest.number
        self.store_id = manifest.store_id
        self.cache = SegmentCache(
            fs, manifest.store_id, bytes_max=settings.cache_bytes, files_max=settings.files_max
        )
        self.state = State(manifest, self.cache)
        self.replay = Replay(fs, manifest, self.state)
        try:
            self.replay.run()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files; rows that were handed out stay good."""
        self.replay.reader.close()
        self.cache.close()


class Follower(Engine):
    """Reads a directory that another process may be writing."""

    def __init__(self, fs: FileSystem, settings: Settings, *, timezone: str | None = None) -> None:
        super().__init__()
        self._fs = fs
        self._settings = settings
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Committed], None]] = []
        self._now = self._load()
        try:
            catalog = self._now.state.catalog
            self.timezone = settle_zone(fs, self._now.timezone, catalog, timezone)
        except BaseException:
            self._now.close()
            raise

    def _load(self) -> _Loaded:
        """Read the newest manifest and all of the log behind it."""
        for _ in range(_ATTEMPTS):
            newest = self._newest()
            try:
                return _Loaded(self._fs, self._settings)
            except CorruptionError:
                if newest == self._newest():
                    raise
            except StorageError as error:
                if error.errno != errno.ENOENT or newest == self._newest():
                    raise
        return _Loaded(self._fs, self._settings)

    def _newest(self) -> int:
        """Number of the newest manifest; 0 when there is none."""
        numbers = manifest_numbers(self._fs)
        return numbers[-1] if numbers else 0

    def reload(self) -> None:
        """Read everything anew: a file that was read is another one now."""
        with self._lock:
            self._reload()

    def _reload(self) -> None:
        old, self._now = self._now, self._load()
        old.close()
        self._now.replay.applied = self._applied

    def add_listener(self, listener: Callable[[Committed], None]) -> None:
        """Call it with each commit that is seen from now on; those of a reload are not."""
        self._listeners.append(listener)
        self._now.replay.applied = self._applied

    def _applied(self, commit: Commit, sequence: int) -> None:
        if self._listeners and (commit.changes_anything or commit.renamed):
            tell(self._listeners, Committed(commit, self._now.state.catalog, sequence))

    def current(self) -> State:
        """The state, brought up to date with the log."""
        self._check_usable()
        with self._lock:
            try:
                self._catch_up()
            except CorruptionError:
                # The writer may have cut off a refused commit that we had seen: begin anew.
                self._reload()
            return self._now.state

    def refreshed(self) -> State:
        """The state, read anew if the writer has published another manifest."""
        self.current()
        with self._lock:
            if self._newest() != self._now.manifest_number:
                self._reload()
            return self._now.state

    def _catch_up(self) -> None:
        """Apply what the log holds since last time, through all its files."""
        now = self._now
        while self._read_file():
            now.state.barrier()
        position = now.replay.reader.position
        if self._fs.exists(wal_name(position.number)):
            tail = now.replay.reader.unread()
            if tail:
                check_torn_tail(self._fs, now.store_id, position, tail)
        elif self._newest() != now.manifest_number:
            self._reload()

    def _read_file(self) -> bool:
        """Read the current file to its end; whether to go on with the next one."""
        reader = self._now.replay.reader
        number = reader.position.number
        self._read_records()
        if number != reader.position.number:
            return True
        if not self._fs.exists(wal_name(number)):
            return False
        if not self._is_continued(number):
            return False
        # A writer went on without ending this file. What it wrote last was there before that, so
        # reading once more sees all of it.
        self._read_records()
        if number == reader.position.number:
            reader.skip_file()
        return True

    def _is_continued(self, number: int) -> bool:
        """Whether there are commits in a later file; some files may have stayed without any."""
        number += 1
        while self._fs.exists(wal_name(number)):
            if has_commits(self._fs, self._now.store_id, number):
                return True
            number += 1
        return False

    def _read_records(self) -> None:
        replay = self._now.replay
        for record in replay.reader.records():
            if record.kind == KIND_CHECKPOINT:
                self._adopt(int(record.meta["manifest"]))
            else:
                replay.follow(record)
        replay.tidy()

    def _adopt(self, number: int) -> None:
        """Take the segments of a manifest in place of the chunks they hold.

        Where a later manifest is already there the chunks stay until its own record comes.
        """
        if self._newest() != number:
            return
        try:
            manifest = load_manifest(self._fs)
        except StorageError as error:
            if error.errno != errno.ENOENT:
                raise
            return
        if manifest is not None and manifest.number == number:
            self._now.manifest_number = number
            self._now.state.adopt_manifest(manifest)

    def backup(self, dest: FileSystem) -> BackupReport:
        """Make a copy of the store at this moment in another directory; see `StoreApi.backup`."""
        from tsstore.storage.backup import back_up_beside

        self._check_usable()
        return back_up_beside(self._fs, dest)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            if not self._closed:
                super().close()
                self._now.close()
