"""Reading a log that may be damaged anywhere: every whole record of every file, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tsstore.errors import FormatVersionError
from tsstore.format.constants import FORMAT_VERSION, KIND_COMMIT
from tsstore.format.record import (
    HEADER_BYTES,
    Record,
    RecordError,
    VersionError,
    decode_body,
    decode_header,
    decode_record,
    record_bytes,
)
from tsstore.storage.bitflip import mended
from tsstore.storage.filenames import wal_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsstore.vfs import FileSystem

_MAGIC = b"TSR1"


class Stretch(NamedTuple):
    """A part of a log file.

    Attributes:
        number: of the file.
        offset: where it begins.
        length: bytes.
        record: what it is; None for bytes that are no whole record.
        is_mended: whether one wrong bit of it was put right.
    """

    number: int
    offset: int
    length: int
    record: Record | None
    is_mended: bool = False


def scan_file(fs: FileSystem, store_id: int, number: int) -> Iterator[Stretch]:
    """All of a log file, stretch by stretch.

    Raises:
        FormatVersionError: a record of a newer format.
        StorageError: it cannot be read.
    """
    data = memoryview(fs.read(wal_name(number)))
    owner = store_id ^ number
    at = 0
    while at < len(data):
        record = _record_at(fs, data, at, owner, number)
        if record is None:
            end = _next_record(fs, data, at + 1, owner, number)
            yield from _mended(number, at, data[at:end], owner)
        else:
            end = at + record_bytes(decode_header(data[at : at + HEADER_BYTES]))
            yield Stretch(number, at, end - at, record)
        at = end


def _mended(number: int, offset: int, data: memoryview, owner: int) -> Iterator[Stretch]:
    """The record that unreadable bytes are but for one bit, and what is behind it."""
    whole = mended(bytes(data), owner=owner)
    if whole is None:
        yield Stretch(number, offset, len(data), None)
        return
    yield Stretch(number, offset, len(whole), decode_record(whole, owner=owner), is_mended=True)
    if len(whole) < len(data):
        yield Stretch(number, offset + len(whole), len(data) - len(whole), None)


def _next_record(fs: FileSystem, data: memoryview, start: int, owner: int, number: int) -> int:
    raw = data.obj if isinstance(data.obj, bytes) else bytes(data)
    at = raw.find(_MAGIC, start)
    while at >= 0 and _record_at(fs, data, at, owner, number) is None:
        at = raw.find(_MAGIC, at + 1)
    return at if at >= 0 else len(data)


def _record_at(fs: FileSystem, data: memoryview, at: int, owner: int, number: int) -> Record | None:
    try:
        header = decode_header(data[at : at + HEADER_BYTES], owner=owner)
        return decode_body(header, data[at + HEADER_BYTES :])
    except VersionError as error:
        path = fs.describe(wal_name(number))
        raise FormatVersionError(path, error.found, FORMAT_VERSION) from None
    except RecordError:
        return None


def commits_of(stretches: Iterable[Stretch]) -> dict[int, Record]:
    """The commits by number, ascending; of two with one number the later one counts."""
    found = {
        stretch.record.sequence: stretch.record
        for stretch in stretches
        if stretch.record is not None and stretch.record.kind == KIND_COMMIT
    }
    return dict(sorted(found.items()))
