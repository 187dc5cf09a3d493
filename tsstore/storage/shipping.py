"""What a writer gives to replicas: its manifest, the segments, and the log so far as it is synced.

A replica is the same directory elsewhere (`storage/mirror.py`). It asks for a `Shipment`, fetches
what it lacks, and waits until there is more. Nobody keeps files for it: one that was replaced
meanwhile is missing, and then the next shipment names what came in its place. A replica never has
a commit that its writer could still lose.
"""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash

from tsstore.errors import NotFoundError, StorageError
from tsstore.format.manifest import encode_manifest
from tsstore.storage.filenames import WAL_DIR, segment_number, wal_name, wal_number
from tsstore.storage.wal import wal_numbers

if TYPE_CHECKING:
    from tsstore.clock import Clock
    from tsstore.format.manifest import Manifest
    from tsstore.storage.log import CommitLog
    from tsstore.storage.publisher import Publisher
    from tsstore.storage.segments import SegmentSet
    from tsstore.storage.state import State, View
    from tsstore.storage.wal import Position
    from tsstore.vfs import File, FileSystem

_DIGEST_BYTES = 8 << 20


class Mark(NamedTuple):
    """How far a replica has come.

    Attributes:
        manifest: number of its manifest; 0 when it has none.
        wal: number of its newest file of the log; 0 when it has none.
        wal_bytes: of that file.
    """

    manifest: int = 0
    wal: int = 0
    wal_bytes: int = 0


class Shipment(NamedTuple):
    """A store at one moment, as files.

    Attributes:
        store_id: of the store.
        lineage: of its history; see `Manifest`.
        sequence: of the newest commit that is synced; later ones are not in it.
        newest: of the newest commit.
        manifest_number: of the valid manifest.
        manifest: its bytes; none for a replica that has it.
        loaded: (name, bytes, checksum) of segments that are named by the log only.
        wal: (number, bytes) of the files of the log, ascending, as far as they are synced.
        announced: where the log stands before it tells of this manifest; its end, if it has not.
    """

    store_id: int
    lineage: int
    sequence: int
    newest: int
    manifest_number: int
    manifest: bytes
    loaded: list[tuple[str, int, int]]
    wal: list[tuple[int, int]]
    announced: tuple[int, int]

    @property
    def mark(self) -> Mark:
        """How far who has all of it has come."""
        return Mark(self.manifest_number, *(self.wal[-1] if self.wal else (0, 0)))


class _Moment(NamedTuple):
    """What belongs together."""

    manifest: Manifest
    view: View
    synced: Position | None
    synced_sequence: int
    announced: tuple[int, Position]
    wal_numbers: list[int]


class Shipping:
    """Serves replicas of one writer. Thread-safe."""

    def __init__(self, fs: FileSystem, state: State, publisher: Publisher, log: CommitLog) -> None:
        self._fs = fs
        self._state = state
        self._publisher = publisher
        self._log = log
        self._moved = threading.Condition()
        self._is_closed = False
        self._loaded: tuple[object, object, list[tuple[str, int, int]]] = (None, None, [])

    def poke(self) -> None:
        """Tell those who wait that there may be more."""
        with self._moved:
            self._moved.notify_all()

    def close(self) -> None:
        """Let those go who wait: the store is closed."""
        self._is_closed = True
        self.poke()

    def wait(self, mark: Mark, timeout_s: float, clock: Clock) -> int:
        """Wait until there is more than a replica has, or for some time.

        Args:
            mark: how far the replica has come.
            timeout_s: how long at the most.
            clock: says when it is over.

        Returns:
            Sequence number of the newest commit, which need not be synced.
        """
        deadline = clock.monotonic() + timeout_s
        with self._moved:
            while not self._is_closed and self._mark() == mark:
                left = deadline - clock.monotonic()
                if left <= 0 or not self._moved.wait(left):
                    break
        return self._state.view.sequence

    def _mark(self) -> Mark:
        # Without the lock of the log, whose holder pokes: too early costs the replica one question.
        manifest, synced = self._publisher.manifest, self._log.synced
        if synced is not None:
            return Mark(manifest.number, *synced)
        wal = self._wal_files(manifest.first_wal, None, wal_numbers(self._fs))
        return Mark(manifest.number, *(wal[-1] if wal else (0, 0)))

    def shipment(self, manifest_number: int = 0) -> Shipment:
        """The store at this moment.

        Args:
            manifest_number: of the manifest that the replica has.

        Raises:
            StorageError: a file of the log cannot be looked at.
            NotFoundError: one of them went meanwhile; ask again.
        """
        while (moment := self._moment()) is None:
            with self._publisher.publishing:
                pass
        manifest, view = moment.manifest, moment.view
        wal = self._wal_files(manifest.first_wal, moment.synced, moment.wal_numbers)
        end = wal[-1] if wal else (manifest.first_wal, 0)
        told, place = moment.announced
        return Shipment(
            manifest.store_id,
            manifest.lineage,
            moment.synced_sequence,
            view.sequence,
            manifest.number,
            b"" if manifest.number == manifest_number else encode_manifest(manifest),
            self._loaded_since(manifest, view.segments),
            wal,
            (place.number, place.offset) if told == manifest.number else end,
        )

    def _moment(self) -> _Moment | None:
        """What belongs together; None while a manifest is published, and files come and go."""
        publisher, log = self._publisher, self._log
        with log.leader:
            if not publisher.publishing.acquire(blocking=False):
                return None
            try:
                return _Moment(
                    publisher.manifest,
                    self._state.view,
                    log.synced,
                    log.synced_sequence,
                    log.announced,
                    wal_numbers(self._fs),
                )
            finally:
                publisher.publishing.release()

    def _loaded_since(self, manifest: Manifest, segments: SegmentSet) -> list[tuple[str, int, int]]:
        """Segments of bulk loads that the manifest does not name yet."""
        known = self._loaded
        if known[:2] == (manifest, segments):  # neither ever changes
            return known[2]
        table = segments.table
        rows = np.flatnonzero(~np.isin(table["number"], manifest.segments["number"])).tolist()
        sizes, checksums = table["bytes"].tolist(), table["checksum"].tolist()
        found = [(segments.names[row], sizes[row], checksums[row]) for row in rows]
        self._loaded = (manifest, segments, found)
        return found

    def _wal_files(
        self, first: int, synced: Position | None, numbers: list[int]
    ) -> list[tuple[int, int]]:
        files = []
        for number in numbers:
            if number < first or (synced is not None and number > synced.number):
                continue
            if synced is not None and number == synced.number:
                files.append((number, synced.offset))
            else:
                files.append((number, self._size(wal_name(number))))
        return files

    def _size(self, name: str) -> int:
        file = self._open(name)
        try:
            return file.size()
        finally:
            file.close()

    def read(self, name: str, offset: int, length: int) -> bytes:
        """A piece of a segment or of a file of the log.

        Raises:
            NotFoundError: there is no such file, or no longer.
        """
        file = self._open(name)
        try:
            return file.pread(offset, length)
        finally:
            file.close()

    def digest(self, name: str, length: int) -> int:
        """XXH3-64 of the first bytes of a file.

        Raises:
            NotFoundError: there is no such file, or no longer.
        """
        file = self._open(name)
        try:
            return digest(file, length)
        finally:
            file.close()

    def _open(self, name: str) -> File:
        directory, _, entry = name.rpartition("/")
        is_log = directory == WAL_DIR and wal_number(entry) is not None
        if not is_log and (segment_number(name) is None or not self._is_live(name)):
            raise NotFoundError(f"{name[:200]} is no file of this store any more")
        try:
            return self._fs.open(name)
        except StorageError as error:
            if error.errno == errno.ENOENT:
                raise NotFoundError(f"{name} is no file of this store any more") from None
            raise

    def _is_live(self, name: str) -> bool:
        return (
            name in self._state.view.segments.files
            or name in self._publisher.manifest.segment_names
        )


def digest(file: File, length: int) -> int:
    """XXH3-64 of the first bytes of an open file."""
    found = xxhash.xxh3_64()
    offset = 0
    while offset < length:
        piece = file.pread(offset, min(_DIGEST_BYTES, length - offset))
        if not piece:
            break
        found.update(piece)
        offset += len(piece)
    return found.intdigest()
