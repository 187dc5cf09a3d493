"""Segment files: an immutable table of one schema, sorted by bucket and time.

    record SEGMENT_HEADER
    for the time and each column: its blocks, one after the other, each padded to 8 bytes
    record SEGMENT_FOOTER     what is where, and a checksum of every block
    trailer, 32 bytes         where the footer is

The rows of one bucket are a *run*, a stretch of consecutive rows. A segment holds the runs of one
bucket or of many, so a flush of thousands of small buckets makes one file, not thousands.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from tsstore.format.constants import (
    BLOCK_ROWS,
    KIND_SEGMENT_FOOTER,
    KIND_SEGMENT_HEADER,
    SEGMENT_END_MAGIC,
)
from tsstore.format.encoding import encode_block
from tsstore.format.record import Body, Record, RecordError
from tsstore.schema import RecordKind, Schema, parse_dtype, type_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRAILER = struct.Struct("<QQQQ")
TRAILER_BYTES = _TRAILER.size
_PADDING = bytes(8)


@dataclass(frozen=True)
class SegmentTable:
    """What goes into a segment: rows sorted by bucket, then time.

    Attributes:
        schema: of all its buckets.
        keys: bucket keys, one per run.
        ids: uint32 bucket ids, ascending, one per run.
        starts: int64, first row of each run, and the number of rows at the end.
        ts: int64 nanoseconds, shape (rows,).
        arrays: the columns in the order of the schema, each of shape (rows,).
        deletes: (bucket id, first ns, last ns) deleted from everything older than the segment.
        first_sequence: of the oldest commit whose rows these are.
        last_sequence: of the newest one.
    """

    schema: Schema
    keys: list[str]
    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    ts: NDArray[np.int64]
    arrays: list[NDArray[Any]]
    deletes: list[tuple[int, int, int]]
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True)
class Footer:
    """What a reader knows of a segment before it reads a row.

    Attributes:
        schema: of all its buckets.
        keys: bucket keys, one per run.
        ids: uint32 bucket ids, ascending, one per run.
        starts: int64, first row of each run, and the number of rows at the end.
        first_ts: int64, time of the first row of each run.
        last_ts: int64, time of the last row of each run.
        block_first_ts: int64, time of the first row of each block.
        block_offsets: int64 (columns + 1, blocks): where in the file; the time is column 0.
        block_lengths: int64 (columns + 1, blocks): stored bytes.
        encodings: uint8 (columns + 1, blocks).
        checksums: uint64 (columns + 1, blocks): XXH3-64 of the stored bytes.
        deletes: see `SegmentTable`.
        first_sequence: see `SegmentTable`.
        last_sequence: see `SegmentTable`.
        block_rows: rows of every block but the last.
    """

    schema: Schema
    keys: list[str]
    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    first_ts: NDArray[np.int64]
    last_ts: NDArray[np.int64]
    block_first_ts: NDArray[np.int64]
    block_offsets: NDArray[np.int64]
    block_lengths: NDArray[np.int64]
    encodings: NDArray[np.uint8]
    checksums: NDArray[np.uint64]
    deletes: list[tuple[int, int, int]]
    first_sequence: int
    last_sequence: int
    block_rows: int

    @property
    def rows(self) -> int:
        """Rows of all runs."""
        return int(self.starts[-1])


def encode_segment(
    table: SegmentTable, number: int, owner: int
) -> tuple[list[bytes | memoryview], int]:
    """The file as parts to be written one after the other, and the checksum of its footer."""
    head = Body({"schema": schema_to_meta(table.schema)}).record(KIND_SEGMENT_HEADER, number, owner)
    parts: list[bytes | memoryview] = [head]
    position = len(head)
    encodings: list[int] = []
    lengths: list[int] = []
    checksums: list[int] = []
    column_offsets: list[int] = []
    for column in (table.ts, *table.arrays):
        column_offsets.append(position)
        for first in range(0, len(column), BLOCK_ROWS):
            encoding, data = encode_block(column[first : first + BLOCK_ROWS])
            encodings.append(encoding)
            lengths.append(len(data))
            checksums.append(xxhash.xxh3_64_intdigest(data))
            parts.append(data)
            padding = -len(data) % 8
            if padding:
                parts.append(_PADDING[:padding])
            position += len(data) + padding
    blocks: list[NDArray[Any]] = [np.array(lengths, np.uint32), np.array(encodings, np.uint8)]
    places: list[NDArray[Any]] = [
        np.array(column_offsets, np.int64),
        *blocks,
        np.array(checksums, np.uint64),
    ]
    body = _footer_body(table, places)
    footer = body.record(KIND_SEGMENT_FOOTER, number, owner)
    place = struct.pack("<QQ", position, len(footer))
    end = place + struct.pack("<QQ", xxhash.xxh3_64_intdigest(place), SEGMENT_END_MAGIC)
    return [*parts, footer, end], body.checksum


def _footer_body(table: SegmentTable, places: list[NDArray[Any]]) -> Body:
    has_rows = len(table.ts) > 0
    meta = {
        "schema": schema_to_meta(table.schema),
        "block_rows": BLOCK_ROWS,
        "sequences": [table.first_sequence, table.last_sequence],
        "deletes": [list(delete) for delete in table.deletes],
    }
    arrays: list[NDArray[Any]] = [
        np.frombuffer("\n".join(table.keys).encode(), np.uint8),
        table.ids,
        table.starts,
        table.ts[table.starts[:-1]] if has_rows else np.empty(0, np.int64),
        table.ts[table.starts[1:] - 1] if has_rows else np.empty(0, np.int64),
        table.ts[::BLOCK_ROWS],
        *places,
    ]
    return Body(meta, arrays)


def decode_trailer(data: bytes, file_bytes: int) -> tuple[int, int]:
    """Offset and length of the footer.

    Raises:
        RecordError: not the end of a segment of that size.
    """
    if len(data) != TRAILER_BYTES:
        raise RecordError("a segment is cut short")
    offset, length, checksum, magic = _TRAILER.unpack(data)
    if magic != SEGMENT_END_MAGIC or checksum != xxhash.xxh3_64_intdigest(data[:16]):
        raise RecordError("the end of a segment is not where it should be")
    if offset + length + TRAILER_BYTES != file_bytes:
        raise RecordError("a segment has another length than its trailer says")
    return offset, length


def decode_footer(record: Record) -> Footer:
    """The footer of a record of kind SEGMENT_FOOTER.

    Raises:
        RecordError: another kind, or parts that do not fit each other.
    """
    if record.kind != KIND_SEGMENT_FOOTER:
        raise RecordError("a segment does not end with a footer")
    meta = record.meta
    keys, ids, starts, first_ts, last_ts, block_first_ts = record.arrays[:6]
    column_offsets, lengths, encodings, checksums = record.arrays[6:10]
    columns = len(column_offsets)
    blocks = len(block_first_ts)
    stored = lengths.astype(np.int64).reshape(columns, blocks)
    padded = stored + -stored % 8
    offsets = column_offsets[:, None] + np.cumsum(padded, axis=1) - padded
    return Footer(
        schema=schema_from_meta(meta["schema"]),
        keys=bytes(keys).decode().split("\n") if len(keys) else [],
        ids=ids,
        starts=starts,
        first_ts=first_ts,
        last_ts=last_ts,
        block_first_ts=block_first_ts,
        block_offsets=offsets,
        block_lengths=stored,
        encodings=encodings.reshape(columns, blocks),
        checksums=checksums.reshape(columns, blocks),
        deletes=[(bucket, first, last) for bucket, first, last in meta["deletes"]],
        first_sequence=meta["sequences"][0],
        last_sequence=meta["sequences"][1],
        block_rows=meta["block_rows"],
    )


def schema_to_meta(schema: Schema) -> list[Any]:
    """A schema as msgpack values: columns, kind, identity."""
    columns = [[name, type_name(dtype)] for name, dtype in schema.columns]
    return [columns, schema.kind.value, list(schema.identity)]


def schema_from_meta(meta: list[Any]) -> Schema:
    """The schema of `schema_to_meta`."""
    columns, kind, identity = meta
    typed = tuple((name, parse_dtype(dtype)) for name, dtype in columns)
    return Schema(typed, RecordKind(kind), tuple(identity))
