"""A read-only opening: follows the log of the writer, wherever that runs.

Before each read it looks whether the log has grown and applies what is new, so a row is seen as
soon as its write is acknowledged. It changes nothing in the directory and needs no lock.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tsstore.errors import CorruptionError, NotFoundError
from tsstore.format.constants import KIND_CHECKPOINT
from tsstore.storage.engine import Engine
from tsstore.storage.filenames import wal_name
from tsstore.storage.manifest import load_manifest, manifest_numbers
from tsstore.storage.recovery import Replay
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State
from tsstore.storage.wal import check_torn_tail

if TYPE_CHECKING:
    from tsstore.storage.settings import Settings
    from tsstore.vfs import FileSystem

# The writer may publish a manifest and drop the files of the one before while we read it.
_ATTEMPTS = 10


class Follower(Engine):
    """Reads a directory that another process may be writing."""

    def __init__(self, fs: FileSystem, settings: Settings) -> None:
        super().__init__()
        self._fs = fs
        self._settings = settings
        self._lock = threading.Lock()
        self._load()

    def _load(self) -> None:
        """Read the newest manifest and all of the log behind it."""
        for attempt in range(_ATTEMPTS):
            try:
                self._load_once()
            except CorruptionError:
                if attempt == _ATTEMPTS - 1 or not self._moved_on():
                    raise
            else:
                return

    def _moved_on(self) -> bool:
        """Whether the writer published another manifest since we read ours."""
        numbers = manifest_numbers(self._fs)
        return bool(numbers) and numbers[-1] != self._manifest_number

    def _load_once(self) -> None:
        numbers = manifest_numbers(self._fs)
        self._manifest_number = numbers[-1] if numbers else 0
        manifest = load_manifest(self._fs)
        if manifest is None:
            raise NotFoundError(
                f"{self._fs.describe('')} holds no store; write to it first, or check the path"
            )
        self._manifest_number = manifest.number
        settings = self._settings
        self._cache = SegmentCache(
            self._fs,
            manifest.store_id,
            bytes_max=settings.cache_bytes,
            files_max=settings.files_max,
        )
        self._store_id = manifest.store_id
        self._state = State(manifest, self._cache)
        self._replay = Replay(self._fs, manifest, self._state)
        self._replay.run()

    def current(self) -> State:
        """The state, brought up to date with the log."""
        self._check_usable()
        with self._lock:
            self._catch_up()
            return self._state

    def _catch_up(self) -> None:
        """Apply what the log holds since last time, through all its files."""
        reader = self._replay.reader
        while self._read_file():
            self._state.barrier()
        number = reader.position.number
        if self._fs.exists(wal_name(number)):
            tail = reader.unread()
            if tail:
                check_torn_tail(self._fs, self._store_id, reader.position, tail)
        elif self._moved_on():
            self._load()

    def _read_file(self) -> bool:
        """Read the current file to its end; whether to go on with the next one."""
        reader = self._replay.reader
        number = reader.position.number
        self._read_records()
        if number != reader.position.number:
            return True
        if not (self._fs.exists(wal_name(number)) and self._fs.exists(wal_name(number + 1))):
            return False
        # A writer died without ending this file and its successor began another. What it wrote
        # last was there before that, so reading once more sees all of it.
        self._read_records()
        if number == reader.position.number:
            reader.skip_file()
        return True

    def _read_records(self) -> None:
        for record in self._replay.reader.records():
            if record.kind == KIND_CHECKPOINT:
                self._adopt(int(record.meta["manifest"]))
            else:
                self._replay.follow(record)

    def _adopt(self, number: int) -> None:
        """Take the segments of a manifest in place of the chunks they hold.

        Where a later manifest is already there the chunks stay until its own record comes.
        """
        numbers = manifest_numbers(self._fs)
        if not numbers or numbers[-1] != number:
            return
        manifest = load_manifest(self._fs)
        if manifest is not None and manifest.number == number:
            self._manifest_number = number
            self._state.adopt_manifest(manifest, self._cache)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            if self._closed:
                return
            super().close()
            self._replay.reader.close()
            self._cache.close()
