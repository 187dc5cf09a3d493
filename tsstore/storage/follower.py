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
from tsstore.storage.filenames import manifest_name
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
        reader = self._replay.reader
        number = -1
        while number != reader.position.number:
            number = reader.position.number
            for record in reader.records():
                if record.kind == KIND_CHECKPOINT:
                    if not self._adopt(int(record.meta["manifest"])):
                        self._load()
                        return
                else:
                    self._replay.follow(record)
            if number != reader.position.number:
                self._state.barrier()
        if reader.is_behind():
            self._load()
            return
        tail = reader.unread()
        if tail:
            check_torn_tail(self._fs, self._store_id, reader.position, tail)

    def _adopt(self, number: int) -> bool:
        """Take the segments of a manifest in place of the chunks they hold; False if it is gone."""
        if manifest_name(number) not in self._fs.names(""):
            return False
        manifest = load_manifest(self._fs)
        if manifest is None or manifest.number != number:
            return False
        self._manifest_number = number
        self._state.adopt_manifest(manifest, self._cache)
        return True

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            if self._closed:
                return
            super().close()
            self._replay.reader.close()
            self._cache.close()
