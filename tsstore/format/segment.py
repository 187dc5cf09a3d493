"""Segment files: an immutable table of one schema, sorted by bucket and time.

    record SEGMENT_HEADER
    the blocks
    record with the footer    what is where, and a checksum of every block
    trailer, 32 bytes         where the footer is

The rows of one bucket are a *run*, a stretch of consecutive rows. A segment holds the runs of one
bucket or of many, so a flush of thousands of small buckets makes one file, not thousands.

There are two layouts. A *flat* segment (`FlatSegment`, footer SEGMENT_FOOTER) is written in one go
by a flush: column after column, blocks of BLOCK_ROWS rows wherever runs begin. A *packed* one
(`PackedSegment`, footer PACKED_FOOTER) is written block after block by compaction and bulk loads:
all columns of a block lie together, and long runs begin blocks of their own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xxhash

from tsstore.format.constants import (
    BLOCK_ROWS,
    FORMAT_VERSION,
    FORMAT_VERSION_PLAIN,
    KIND_PACKED_FOOTER,
    KIND_SEGMENT_FOOTER,
    KIND_SEGMENT_HEADER,
    SEGMENT_END_MAGIC,
)
from tsstore.format.encoding import encode_block
from tsstore.format.record import Body, Record, RecordError
from tsstore.schema import RecordKind, Schema, parse_dtype, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.format.packed import Packer

_TRAILER = struct.Struct("<QQQQ")
TRAILER_BYTES = _TRAILER.size
_PADDING = bytes(8)


class SegmentTable(NamedTuple):
    """What goes into a segment: rows sorted by bucket, then time.

    Attributes:
        schema: of all its buckets.
        keys: bucket keys, one per run.
        ids: uint32 bucket ids, ascending, one per run.
        starts: int64, first row of each run, and the number of rows at the end.
        ts: int64 nanoseconds, shape (rows,).
        arrays: the columns in the order of the schema, each of shape (rows,).
        first_sequence: of the oldest commit whose rows these are.
        last_sequence: of the newest one.
    """

    schema: Schema
    keys: list[str]
    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    ts: NDArray[np.int64]
    arrays: Iterable[NDArray[Any]]
    first_sequence: int
    last_sequence: int


@dataclass(frozen=True)
class Footer:
    """What a reader knows of a segment before it reads a row.

    Attributes:
        schema: of all its buckets.
        key_text: bucket keys, one per run, separated by newlines.
        ids: uint32 bucket ids, ascending, one per run.
        starts: int64, first row of each run, and the number of rows at the end.
        first_ts: int64, time of the first row of each run.
        last_ts: int64, time of the last row of each run.
        block_starts: int64, first row of each block, and the number of rows at the end.
        block_first_ts: int64, time of the first row of each block.
        block_offsets: int64 (columns + 1, blocks): where in the file; the time is column 0.
        block_lengths: int64 (columns + 1, blocks): stored bytes.
        encodings: uint8 (columns + 1, blocks).
        checksums: uint64 (columns + 1, blocks): XXH3-64 of the stored bytes.
        deletes: (bucket id, first ns, last ns) deleted from everything older than the segment;
            only segments of format 1 have any, later ones leave this to the manifest.
        first_sequence: see `SegmentTable`.
        last_sequence: see `SegmentTable`.
        packed: whether all columns of a block lie together.
    """

    schema: Schema
    key_text: str
    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    first_ts: NDArray[np.int64]
    last_ts: NDArray[np.int64]
    block_starts: NDArray[np.int64]
    block_first_ts: NDArray[np.int64]
    block_offsets: NDArray[np.int64]
    block_lengths: NDArray[np.int64]
    encodings: NDArray[np.uint8]
    checksums: NDArray[np.uint64]
    deletes: list[tuple[int, int, int]]
    first_sequence: int
    last_sequence: int
    packed: bool

    @cached_property
    def keys(self) -> list[str]:
        """Bucket keys, one per run; they may be very many, and readers go by the ids."""
        return self.key_text.split("\n") if self.key_text else []

    @property
    def rows(self) -> int:
        """Rows of all runs."""
        return int(self.starts[-1])


class FlatSegment:
    """A flat segment in the making; it only makes bytes, the caller writes them in order.

    Args:
        table: what goes into it; its columns are asked for once, one after the other.
        number: of the segment file.
        owner: store id XOR `number`.

    Attributes:
        length: bytes so far.
        checksum: of the footer's body, once all parts are made.
    """

    def __init__(self, table: SegmentTable, number: int, owner: int) -> None:
        self.length = 0
        self.checksum = 0
        self._table = table
        self._number = number
        self._owner = owner
        self._column_offsets: list[int] = []
        self._lengths: list[int] = []
        self._encodings: list[int] = []
        self._checksums: list[int] = []

    def parts(self) -> Iterator[list[bytes | memoryview]]:
        """All bytes in order: the header, the blocks of a column at a time, the end."""
        table = self._table
        head = segment_header(table.schema, self._number, self._owner)
        self.length = len(head)
        yield [head]
        for column in chain([table.ts], table.arrays):
            yield self._blocks(column)
        yield self._end()

    def _blocks(self, column: NDArray[Any]) -> list[bytes | memoryview]:
        self._column_offsets.append(self.length)
        parts: list[bytes | memoryview] = []
        for first in range(0, len(column), BLOCK_ROWS):
            encoding, data = encode_block(column[first : first + BLOCK_ROWS])
            self._encodings.append(encoding)
            self._lengths.append(len(data))
            self._checksums.append(xxhash.xxh3_64_intdigest(data))
            parts.append(data)
            padding = -len(data) % 8
            if padding:
                parts.append(_PADDING[:padding])
            self.length += len(data) + padding
        return parts

    def _end(self) -> list[bytes | memoryview]:
        table = self._table
        has_rows = len(table.ts) > 0
        body = _footer_body(
            table.schema,
            (table.first_sequence, table.last_sequence),
            {"block_rows": BLOCK_ROWS, "deletes": []},
            [
                np.frombuffer("\n".join(table.keys).encode(), np.uint8),
                table.ids,
                table.starts,
                table.ts[table.starts[:-1]] if has_rows else np.empty(0, np.int64),
                table.ts[table.starts[1:] - 1] if has_rows else np.empty(0, np.int64),
                table.ts[::BLOCK_ROWS],
                np.array(self._column_offsets, np.int64),
                np.array(self._lengths, np.uint32),
                np.array(self._encodings, np.uint8),
                np.array(self._checksums, np.uint64),
            ],
        )
        self.checksum = body.checksum
        footer = body.record(KIND_SEGMENT_FOOTER, self._number, self._owner)
        end: list[bytes | memoryview] = [footer, _trailer(self.length, len(footer))]
        self.length += sum(map(len, end))
        return end


def segment_header(schema: Schema, number: int, owner: int) -> bytes:
    """The first record of a segment."""
    body = Body({"schema": schema_to_meta(schema)}, version=version_of([schema]))
    return body.record(KIND_SEGMENT_HEADER, number, owner)


def _footer_body(
    schema: Schema,
    sequences: tuple[int, int],
    more: dict[str, Any],
    arrays: list[NDArray[Any]],
) -> Body:
    meta = {"schema": schema_to_meta(schema), "sequences": list(sequences), **more}
    return Body(meta, arrays, version=version_of([schema]))


def _trailer(footer_offset: int, footer_length: int) -> bytes:
    place = struct.pack("<QQ", footer_offset, footer_length)
    return place + struct.pack("<QQ", xxhash.xxh3_64_intdigest(place), SEGMENT_END_MAGIC)


def packer_of(schema: Schema) -> Packer:
    """What packs the blocks of segments of a schema, one after the other."""
    from tsstore.format.packed import Packer  # who finds nothing packed does without

    columns = [("", np.dtype("<i8")), *schema.columns]
    return Packer([dtype for _, dtype in columns], [name for name, _ in columns])


class PackedSegment:
    """A packed segment in the making; it only makes bytes, the caller writes them in order.

    Args:
        schema: of all its buckets.
        packer: of the schema.
        number: of the segment file.
        owner: store id XOR `number`.
        sequences: of the oldest and the newest commit whose rows these are; (0, 0) in a bulk load,
            whose commit is not numbered yet.

    Attributes:
        rows: so far.
        length: bytes so far.
        checksum: of the footer's body, after `finish`.
    """

    def __init__(
        self,
        schema: Schema,
        packer: Packer,
        number: int,
        owner: int,
        sequences: tuple[int, int],
    ) -> None:
        self.rows = 0
        self.checksum = 0
        self._schema = schema
        self._number = number
        self._owner = owner
        self._sequences = sequences
        self._head = segment_header(schema, number, owner)
        self.length = len(self._head)
        self._packer = packer
        self._runs: list[tuple[str, int, int, int, int]] = []  # key, id, first row, first, last ts
        self._blocks: list[tuple[int, int, int]] = []  # first row, its time, offset in the file
        self._lengths: list[list[int]] = []
        self._encodings: list[list[int]] = []
        self._checksums: list[list[int]] = []

    def begin(self) -> bytes:
        """The first bytes of the file."""
        return self._head

    def add_run(self, key: str, bucket_id: int, first: int, first_ts: int, last_ts: int) -> None:
        """Note that the rows of a bucket begin at row `first`; ids ascend."""
        self._runs.append((key, bucket_id, first, first_ts, last_ts))

    def add_block(self, ts: NDArray[np.int64], arrays: Sequence[NDArray[Any]]) -> list[bytes]:
        """The bytes of one more block of rows."""
        packed = self._packer.pack([ts, *arrays])
        parts = [bytes(data) for _, data in packed]
        self._blocks.append((self.rows, int(ts[0]), self.length))
        self._lengths.append([len(part) for part in parts])
        self._encodings.append([encoding for encoding, _ in packed])
        self._checksums.append([xxhash.xxh3_64_intdigest(part) for part in parts])
        self.rows += len(ts)
        self.length += sum(map(len, parts))
        return parts

    def finish(self) -> bytes:
        """The last bytes of the file: the footer and where it is."""
        keys = [run[0] for run in self._runs]
        runs = np.array([run[1:] for run in self._runs], np.int64).reshape(-1, 4)
        blocks = np.array(self._blocks, np.int64).reshape(-1, 3)
        body = _footer_body(
            self._schema,
            self._sequences,
            {},
            [
                np.frombuffer("\n".join(keys).encode(), np.uint8),
                runs[:, 0].astype(np.uint32),
                np.append(runs[:, 1], self.rows),
                runs[:, 2].copy(),
                runs[:, 3].copy(),
                blocks[:, 1].copy(),
                np.append(blocks[:, 0], self.rows),
                blocks[:, 2].copy(),
                np.array(self._lengths, np.uint32).ravel(),
                np.array(self._encodings, np.uint8).ravel(),
                np.array(self._checksums, np.uint64).ravel(),
            ],
        )
        padding = bytes(-self.length % 8)
        footer = body.record(KIND_PACKED_FOOTER, self._number, self._owner)
        self.checksum = body.checksum
        end = padding + footer + _trailer(self.length + len(padding), len(footer))
        self.length += len(end)
        return end


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
    """The footer of a record of kind SEGMENT_FOOTER or PACKED_FOOTER.

    Raises:
        RecordError: another kind, or parts that do not fit each other.
    """
    try:
        if record.kind == KIND_SEGMENT_FOOTER:
            return _flat_footer(record)
        if record.kind == KIND_PACKED_FOOTER:
            return _packed_footer(record)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise RecordError(f"the footer of a segment makes no sense ({error})") from None
    raise RecordError("a segment does not end with a footer")


def _flat_footer(record: Record) -> Footer:
    meta = record.meta
    starts, block_first_ts = record.arrays[2], record.arrays[5]
    column_offsets, lengths, encodings, checksums = record.arrays[6:10]
    columns, blocks = len(column_offsets), len(block_first_ts)
    stored = lengths.astype(np.int64).reshape(columns, blocks)
    padded = (stored + 7) & -8
    block_starts = np.arange(blocks + 1) * meta["block_rows"]
    block_starts[-1] = starts[-1]
    return _footer(
        record,
        block_starts=block_starts,
        block_offsets=column_offsets[:, None] + np.cumsum(padded, axis=1) - padded,
        block_lengths=stored,
        encodings=encodings.reshape(columns, blocks),
        checksums=checksums.reshape(columns, blocks),
        packed=False,
    )


def _packed_footer(record: Record) -> Footer:
    block_starts, offsets, lengths, encodings, checksums = record.arrays[6:11]
    shape = (len(offsets), len(record.meta["schema"][0]) + 1)
    stored = lengths.astype(np.int64).reshape(shape).T
    return _footer(
        record,
        block_starts=block_starts,
        block_offsets=offsets + np.cumsum(stored, axis=0) - stored,
        block_lengths=stored,
        encodings=encodings.reshape(shape).T,
        checksums=checksums.reshape(shape).T,
        packed=True,
    )


def _footer(record: Record, **blocks: Any) -> Footer:
    """The parts that both layouts have, and those of the blocks."""
    meta = record.meta
    keys, ids, starts, first_ts, last_ts, block_first_ts = record.arrays[:6]
    return Footer(
        schema=schema_from_meta(meta["schema"]),
        key_text=bytes(keys).decode(),
        ids=ids,
        starts=starts,
        first_ts=first_ts,
        last_ts=last_ts,
        block_first_ts=block_first_ts,
        deletes=[(bucket, first, last) for bucket, first, last in meta.get("deletes", ())],
        first_sequence=meta["sequences"][0],
        last_sequence=meta["sequences"][1],
        **blocks,
    )


def schema_to_meta(schema: Schema) -> list[Any]:
    """A schema as msgpack values: columns, kind, identity, and a mark of synthetic rows."""
    columns = [[name, type_name(dtype)] for name, dtype in schema.columns]
    mark = [True] if schema.synthetic else []
    return [columns, schema.kind.value, list(schema.identity), *mark]


def schema_from_meta(meta: list[Any]) -> Schema:
    """The schema of `schema_to_meta`."""
    columns, kind, identity, *mark = meta
    return _schema(tuple(map(tuple, columns)), kind, tuple(identity), any(mark))


def version_of(schemas: Iterable[Schema]) -> int:
    """The oldest version of the format that understands records with these schemas."""
    is_marked = any(schema.synthetic for schema in schemas)
    return FORMAT_VERSION if is_marked else FORMAT_VERSION_PLAIN


@lru_cache(maxsize=256)  # thousands of files have the same
def _schema(
    columns: tuple[tuple[str, str], ...], kind: int, identity: tuple[str, ...], synthetic: bool
) -> Schema:
    typed = tuple((name, parse_dtype(dtype)) for name, dtype in columns)
    return Schema(typed, RecordKind(kind), identity, synthetic)
