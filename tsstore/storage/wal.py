"""The write-ahead log: numbered files of commit records, appended and replayed in order.

A file begins with a WAL_HEADER record. It ends with a SEAL record when the next file was begun or
the store was closed; without one, the process died while it was the current file, and its last
bytes may be a commit that was never acknowledged (a *torn tail*), which is cut off. Anything else
that does not decode is damage.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.errors import CorruptionError, FormatVersionError, StorageError
from tsstore.format.constants import (
    FORMAT_VERSION,
    KIND_CHECKPOINT,
    KIND_COMMIT,
    KIND_SEAL,
    KIND_WAL_HEADER,
)
from tsstore.format.record import (
    HEADER_BYTES,
    Body,
    Record,
    RecordError,
    VersionError,
    decode_body,
    decode_header,
)
from tsstore.storage.filenames import WAL_DIR, wal_name, wal_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.vfs import File, FileSystem


# The log is read so many bytes at a time, or a whole record where that is more.
_WINDOW_BYTES = 8 << 20


class WalWriter:
    """The current WAL file of the writing process.

    Attributes:
        number: of the file.
        length: bytes that are in it and belong to whole records.
        synced: bytes of them that are on the medium.
        broken: whether half a record is behind them, which could not be cut off.
        tainted: whether whole records that were refused may have been seen by readers of the log.
    """

    def __init__(self, fs: FileSystem, store_id: int, number: int, first_sequence: int) -> None:
        self.number = number
        self._owner = store_id ^ number
        self.broken = False
        self.tainted = False
        head = Body({"first_sequence": first_sequence}).record(KIND_WAL_HEADER, number, self._owner)
        self._file: File = fs.create(wal_name(number))
        try:
            self._file.append([head])
            self._file.sync()
            fs.sync_files([wal_name(number)])
        except BaseException:
            self._file.close()
            with contextlib.suppress(StorageError):
                fs.remove(wal_name(number))
            raise
        self.length = self.synced = len(head)

    def append(self, bodies: list[tuple[int, Body]]) -> None:
        """Append commits, given as (sequence number, body); not synced.

        Raises:
            StorageError: refused; the file is cut back to whole records, or `broken` if even that
                was refused.
        """
        parts: list[bytes | memoryview] = []
        for sequence, body in bodies:
            parts.append(body.header(KIND_COMMIT, sequence, self._owner))
            parts += body.parts
        self._append(parts)

    def append_checkpoint(self, sequence: int, manifest: int) -> None:
        """Tell readers of the log that a manifest covers every commit up to `sequence`."""
        record = Body({"manifest": manifest}).record(KIND_CHECKPOINT, sequence, self._owner)
        self._append([record])

    def seal(self, sequence: int, following: int = 0) -> None:
        """End the file; `following` is the number of the file that goes on, 0 at a close."""
        self._append([Body({"following": following}).record(KIND_SEAL, sequence, self._owner)])
        self.sync()

    def _append(self, parts: list[bytes | memoryview]) -> None:
        try:
            self._file.append(parts)
        except BaseException:
            # Never write behind half a record: what follows it could not be found again.
            self.broken = self.tainted = True
            self._file.truncate(self.length)
            self.broken = False
            raise
        self.length += sum(len(part) for part in parts)

    def sync(self) -> None:
        """Return once everything appended is on the medium."""
        self._file.sync()
        self.synced = self.length

    def close(self) -> None:
        """Close the file without sealing it."""
        self._file.close()


class Position(NamedTuple):
    """A place in the log: the next record is read from here.

    Attributes:
        number: of the WAL file.
        offset: in bytes; 0 is before its header.
    """

    number: int
    offset: int = 0


class WalReader:
    """Reads records from a position on, file by file, as far as there are whole ones.

    Attributes:
        position: behind the last record that was read.
        following: number of the file that must go on where the last sealed one ended; or 0.
    """

    def __init__(self, fs: FileSystem, store_id: int, position: Position) -> None:
        self._fs = fs
        self._store_id = store_id
        self._file: File | None = None
        self._window = memoryview(b"")
        self._window_offset = 0
        self.position = position
        self.following = 0

    def records(self) -> Iterator[Record]:
        """Whole records of the current file from the position on, of all kinds but SEAL.

        Behind a SEAL the position is at the beginning of the next file. Otherwise it is at the end
        of what was written, or before bytes that are not a whole record; `unread` tells.

        Raises:
            FormatVersionError: a record of a newer format.
        """
        while self._open():
            record = self._next()
            if record is None:
                return
            if record.kind == KIND_SEAL:
                self.following = record.meta["following"]
                self.skip_file()
                return
            yield record

    def _open(self) -> bool:
        if self._file is not None:
            return True
        name = wal_name(self.position.number)
        if not self._fs.exists(name):
            return False
        self._file = self._fs.open(name)
        return True

    def _next(self) -> Record | None:
        number, offset = self.position
        start = offset + HEADER_BYTES
        head = self._read(offset, HEADER_BYTES)
        if len(head) < HEADER_BYTES:
            return None
        try:
            header = decode_header(head, owner=self._store_id ^ number)
            record = decode_body(header, self._read(start, header.body_length))
        except VersionError as error:
            path = self._fs.describe(wal_name(number))
            raise FormatVersionError(path, error.found, FORMAT_VERSION) from None
        except RecordError:
            self._window = memoryview(b"")  # what is not whole yet may be so the next time
            return None
        self.position = Position(number, start + header.body_length)
        return record

    def _read(self, offset: int, length: int) -> memoryview:
        """Bytes of the file, fewer at its end."""
        first = offset - self._window_offset
        if self._file is not None and not 0 <= first <= len(self._window) - length:
            there = self._file.size() - offset
            buffer = np.empty(max(0, min(there, max(length, _WINDOW_BYTES))), np.uint8).data
            self._window = buffer[: self._file.pread_into(buffer, offset)].toreadonly()
            self._window_offset, first = offset, 0
        return self._window[first : first + length]

    def skip_file(self) -> None:
        """Go on with the next file."""
        self._move(Position(self.position.number + 1))

    def _move(self, position: Position) -> None:
        self.close()
        self.position = position

    def unread(self) -> bytes:
        """The bytes of the current file behind the position; empty when all was read."""
        if not self._open() or self._file is None:
            return b""
        return self._file.pread(self.position.offset, self._file.size() - self.position.offset)

    def close(self) -> None:
        """Close the file."""
        self._window = memoryview(b"")
        if self._file is not None:
            self._file.close()
            self._file = None


def wal_numbers(fs: FileSystem) -> list[int]:
    """Numbers of the WAL files, ascending."""
    return sorted(n for n in map(wal_number, fs.names(WAL_DIR)) if n is not None)


def has_commits(fs: FileSystem, store_id: int, number: int) -> bool:
    """Whether a WAL file is there and holds a whole commit."""
    if not fs.exists(wal_name(number)):
        return False
    reader = WalReader(fs, store_id, Position(number))
    try:
        return any(record.kind == KIND_COMMIT for record in reader.records())
    finally:
        reader.close()


def check_torn_tail(fs: FileSystem, store_id: int, position: Position, tail: bytes) -> None:
    """Refuse a tail that cannot be what a crash leaves behind: a whole record comes later in it.

    Raises:
        CorruptionError: damage in the middle of the log.
    """
    owner = store_id ^ position.number
    at = 0
    while at >= 0:
        try:
            header = decode_header(tail[at : at + HEADER_BYTES], owner=owner)
            decode_body(header, memoryview(tail)[at + HEADER_BYTES :])
        except (RecordError, VersionError):
            at = tail.find(b"TSR1", at + 1)
            continue
        if at == 0:
            return  # its writer has finished it since
        path = fs.describe(wal_name(position.number))
        what = f"a commit is unreadable and whole ones follow at byte {position.offset + at}"
        raise CorruptionError(path, position.offset, what)
