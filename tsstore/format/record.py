"""Records: the one framing that WAL files, segment files and manifests are made of.

    header  64 bytes   fixed fields, see `_HEADER`
    meta    msgpack    a map; padded with zeros to a multiple of 8
    arrays             each padded with zeros to a multiple of 8; listed in meta["arrays"]

Two checksums (XXH3, 64 bits): one of the body, one of the header, which holds the first. The header
can so be finished with a sequence number after the body was hashed. `owner` binds a record to its
file, so that a block of another file is never taken for one of this.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import numpy as np
import xxhash

from tsstore.format.constants import (
    FORMAT_VERSION,
    FORMAT_VERSION_PLAIN,
    RECORD_BODY_MAX,
    RECORD_MAGIC,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# magic u32, kind u16, version u16, meta length u32, reserved u32, body length u64, sequence u64,
# owner u64, reserved u64, body checksum u64, header checksum u64
_HEADER = struct.Struct("<IHHIIQQQQQQ")
HEADER_BYTES = _HEADER.size
_CHECKED_BYTES = HEADER_BYTES - 8
_PADDING = bytes(8)


class RecordError(Exception):
    """Bytes that are not a whole, undamaged record."""


class VersionError(Exception):
    """A record of a version that this code does not know."""

    def __init__(self, found: int) -> None:
        super().__init__(found)
        self.found = found


class Header(NamedTuple):
    """The fixed fields of a record.

    Attributes:
        kind: one of the KIND constants.
        meta_length: bytes of the msgpack map, before padding.
        body_length: bytes after the header.
        sequence: number of the commit, or of the file for other kinds.
        owner: store id XOR file number.
        body_checksum: XXH3-64 of the body.
    """

    kind: int
    meta_length: int
    body_length: int
    sequence: int
    owner: int
    body_checksum: int


class Record(NamedTuple):
    """A decoded record; `arrays` are views into the buffer it was read from.

    Attributes:
        kind: one of the KIND constants.
        sequence: number of the commit, or of the file for other kinds.
        checksum: XXH3-64 of the body.
        meta: the map of the record.
        arrays: one-dimensional, read-only.
    """

    kind: int
    sequence: int
    checksum: int
    meta: dict[str, Any]
    arrays: list[NDArray[Any]]


class Body:
    """The part of a record that does not depend on where it is written.

    Args:
        meta: the map of the record.
        arrays: one-dimensional.
        version: the oldest version of the format that understands it.

    Attributes:
        parts: buffers to write after the header.
        length: bytes of all parts.
        checksum: XXH3-64 of all parts.
    """

    __slots__ = ("_meta_length", "_version", "checksum", "length", "parts")

    def __init__(
        self,
        meta: dict[str, Any],
        arrays: Sequence[NDArray[Any]] = (),
        *,
        version: int = FORMAT_VERSION_PLAIN,
    ) -> None:
        self._version = version
        shapes = [[array.dtype.str, len(array)] for array in arrays]
        packed = msgpack.packb({**meta, "arrays": shapes}, use_bin_type=True)
        self._meta_length = len(packed)
        parts: list[bytes | memoryview] = [packed + bytes(-len(packed) % 8)]
        for array in arrays:
            data = array_bytes(array)
            parts.append(data)
            if len(data) % 8:
                parts.append(_PADDING[: -len(data) % 8])
        digest = xxhash.xxh3_64()
        for part in parts:
            digest.update(part)
        self.parts = parts
        self.length = sum(len(part) for part in parts)
        self.checksum = digest.intdigest()

    def header(self, kind: int, sequence: int, owner: int) -> bytes:
        """The 64 bytes that go before the parts."""
        fields = (RECORD_MAGIC, kind, self._version, self._meta_length, 0, self.length)
        unchecked = _HEADER.pack(*fields, sequence, owner, 0, self.checksum, 0)[:_CHECKED_BYTES]
        return unchecked + struct.pack("<Q", xxhash.xxh3_64_intdigest(unchecked))

    def record(self, kind: int, sequence: int, owner: int) -> bytes:
        """Header and parts as one string of bytes."""
        return b"".join([self.header(kind, sequence, owner), *self.parts])


def decode_header(data: bytes | memoryview, *, owner: int | None = None) -> Header:
    """Check and read the first 64 bytes of a record.

    Raises:
        RecordError: too short, damaged, or of another file.
        VersionError: written by a newer format.
    """
    if len(data) < HEADER_BYTES:
        raise RecordError("a record header is cut short")
    fields = _HEADER.unpack(data[:HEADER_BYTES])
    magic, kind, version, meta_length, zero1, body_length, sequence, found_owner, zero2 = fields[:9]
    if xxhash.xxh3_64_intdigest(bytes(data[:_CHECKED_BYTES])) != fields[10]:
        raise RecordError("the checksum of a record header does not match")
    if magic != RECORD_MAGIC:
        raise RecordError("a record does not begin with TSR1")
    if version > FORMAT_VERSION:
        raise VersionError(version)
    if zero1 or zero2 or body_length > RECORD_BODY_MAX or meta_length > body_length:
        raise RecordError("a record header holds impossible lengths")
    if owner is not None and found_owner != owner:
        raise RecordError("a record belongs to another file")
    return Header(kind, meta_length, body_length, sequence, found_owner, fields[9])


def decode_record(data: bytes | memoryview, offset: int = 0, *, owner: int | None = None) -> Record:
    """Check and read the record that begins at `offset`.

    Raises:
        RecordError: cut short, damaged, or of another file.
        VersionError: written by a newer format.
    """
    view = memoryview(data)
    header = decode_header(view[offset : offset + HEADER_BYTES], owner=owner)
    body = view[offset + HEADER_BYTES : offset + HEADER_BYTES + header.body_length]
    return decode_body(header, body)


def decode_body(header: Header, body: bytes | memoryview) -> Record:
    """Check and read what follows a header; `body` may be longer.

    Raises:
        RecordError: cut short or damaged.
    """
    view = memoryview(body)[: header.body_length]
    if len(view) < header.body_length:
        raise RecordError("a record is cut short")
    if xxhash.xxh3_64_intdigest(view) != header.body_checksum:
        raise RecordError("the checksum of a record does not match")
    meta = msgpack.unpackb(view[: header.meta_length], strict_map_key=False)
    arrays = []
    position = header.meta_length + -header.meta_length % 8
    for name, count in meta["arrays"]:
        dtype = np.dtype(name)
        end = position + dtype.itemsize * count
        if end > header.body_length:
            raise RecordError("the arrays of a record are longer than the record")
        arrays.append(np.frombuffer(view, dtype, count, position))
        position = end + -end % 8
    return Record(header.kind, header.sequence, header.body_checksum, meta, arrays)


def record_bytes(header: Header) -> int:
    """Bytes of the whole record."""
    return HEADER_BYTES + header.body_length


def array_bytes(array: NDArray[Any]) -> memoryview:
    """The bytes of an array, without copying if it is contiguous."""
    return np.ascontiguousarray(array).view(np.uint8).data
