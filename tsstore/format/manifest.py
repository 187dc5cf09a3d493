"""The manifest: which buckets there are and which segments hold their rows, as one record.

Tables are kept as columns, so that a store of ten thousand buckets is read with a few array views.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.format.constants import KIND_MANIFEST
from tsstore.format.record import Body, Record, RecordError
from tsstore.format.segment import schema_from_meta, schema_to_meta, version_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema

#: `bucket` of a segment that holds several buckets.
SHARED = -1

#: One row per live segment. `checksum` is that of the footer's body.
SEGMENT_DTYPE = np.dtype(
    [
        ("bucket", "<i8"),
        ("number", "<u8"),
        ("schema", "<u4"),
        ("generation", "<u4"),
        ("bytes", "<u8"),
        ("checksum", "<u8"),
        ("rows", "<u8"),
        ("first_ts", "<i8"),
        ("last_ts", "<i8"),
        ("first_sequence", "<u8"),
        ("last_sequence", "<u8"),
    ]
)

#: One row per range of a bucket that is deleted from a segment, both ends included.
DELETE_DTYPE = np.dtype(
    [("segment", "<u8"), ("bucket", "<u4"), ("first_ts", "<i8"), ("last_ts", "<i8")]
)

#: Bucket id to (schema id, number of the commit that altered it) of its older schemas.
Former = dict[int, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, eq=False)
class Manifest:
    """One state of the store.

    Attributes:
        number: of this manifest; the largest one is the valid one.
        store_id: random number of the store, 63 bits.
        checkpoint: every commit up to this sequence number is in the segments.
        catalog_sequence: the newest commit whose creations and removals of buckets are included;
            not below `checkpoint`.
        first_wal: the oldest WAL file whose commits may be needed.
        last_wal: the newest WAL file known to exist; 0 when there is none.
        sealed: (number, bytes) of WAL files that a clean close left complete.
        next_bucket: id of the next bucket; ids are never used twice.
        next_schema: id of the next schema.
        next_segment: number of the next segment.
        schemas: by id.
        keys: bucket keys.
        bucket_ids: uint32, one per key.
        bucket_schemas: uint32 schema ids, one per key.
        segments: rows of SEGMENT_DTYPE, sorted by bucket, then first_sequence, then number.
        segment_names: file names, one per segment.
        deletes: rows of DELETE_DTYPE, sorted by segment.
        timezone: whose midnights begin the slots of days and longer; None when nobody has
            said, as in an older format.
        former: the schemas that buckets had before, oldest first; rows may still have them.
        lineage: random number of the history that the other numbers count; a backup begins one of
            its own, in which they mean other files. 0 in a directory that was never one.
    """

    number: int
    store_id: int
    checkpoint: int = 0
    catalog_sequence: int = 0
    first_wal: int = 1
    last_wal: int = 0
    sealed: tuple[tuple[int, int], ...] = ()
    next_bucket: int = 1
    next_schema: int = 1
    next_segment: int = 1
    schemas: dict[int, Schema] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    bucket_ids: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    bucket_schemas: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    segments: NDArray[np.void] = field(default_factory=lambda: np.empty(0, SEGMENT_DTYPE))
    segment_names: list[str] = field(default_factory=list)
    deletes: NDArray[np.void] = field(default_factory=lambda: np.empty(0, DELETE_DTYPE))
    timezone: str | None = None
    former: Former = field(default_factory=dict)
    lineage: int = 0


def encode_manifest(manifest: Manifest) -> bytes:
    """The whole file."""
    meta: dict[str, Any] = {
        "store": manifest.store_id,
        "checkpoint": [manifest.checkpoint, manifest.catalog_sequence],
        "wal": [manifest.first_wal, manifest.last_wal],
        "sealed": [list(pair) for pair in manifest.sealed],
        "next": [manifest.next_bucket, manifest.next_schema, manifest.next_segment],
        "schemas": [[number, schema_to_meta(s)] for number, s in manifest.schemas.items()],
        "timezone": manifest.timezone,
        "former": [[bucket, list(map(list, of))] for bucket, of in manifest.former.items()],
    }
    if manifest.lineage:
        meta["lineage"] = manifest.lineage
    arrays: list[NDArray[Any]] = [
        lines_to_array(manifest.keys),
        manifest.bucket_ids,
        manifest.bucket_schemas,
        lines_to_array(manifest.segment_names),
        *table_to_arrays(manifest.segments),
        *table_to_arrays(manifest.deletes),
    ]
    body = Body(meta, arrays, version=version_of(manifest.schemas.values()))
    return body.record(KIND_MANIFEST, manifest.number, manifest.store_id)


def decode_manifest(record: Record) -> Manifest:
    """The manifest of a record.

    Raises:
        RecordError: another kind of record.
    """
    if record.kind != KIND_MANIFEST:
        raise RecordError("this is not a manifest")
    meta = record.meta
    keys, bucket_ids, bucket_schemas, names = record.arrays[:4]
    segment_columns = len(SEGMENT_DTYPE.names or ())
    deletes = record.arrays[4 + segment_columns :]
    next_bucket, next_schema, next_segment = meta["next"]
    return Manifest(
        number=record.sequence,
        store_id=meta["store"],
        checkpoint=meta["checkpoint"][0],
        catalog_sequence=meta["checkpoint"][1],
        first_wal=meta["wal"][0],
        last_wal=meta["wal"][1],
        sealed=tuple((number, length) for number, length in meta["sealed"]),
        next_bucket=next_bucket,
        next_schema=next_schema,
        next_segment=next_segment,
        schemas={number: schema_from_meta(schema) for number, schema in meta["schemas"]},
        keys=lines_from_array(keys),
        bucket_ids=bucket_ids,
        bucket_schemas=bucket_schemas,
        segments=table_from_arrays(SEGMENT_DTYPE, record.arrays[4 : 4 + segment_columns]),
        segment_names=lines_from_array(names),
        # Format 1 had neither.
        deletes=table_from_arrays(DELETE_DTYPE, deletes) if deletes else np.empty(0, DELETE_DTYPE),
        timezone=meta.get("timezone"),
        former={bucket: tuple(map(tuple, of)) for bucket, of in meta.get("former", ())},
        lineage=meta.get("lineage", 0),
    )


def table_to_arrays(table: NDArray[np.void]) -> list[NDArray[Any]]:
    """The columns of a structured array, each contiguous."""
    return [np.ascontiguousarray(table[name]) for name in table.dtype.names or ()]


def table_from_arrays(dtype: np.dtype[Any], arrays: Sequence[NDArray[Any]]) -> NDArray[np.void]:
    """The structured array of `table_to_arrays`."""
    table = np.empty(len(arrays[0]), dtype)
    for name, column in zip(dtype.names or (), arrays, strict=True):
        table[name] = column
    return table


def lines_to_array(lines: Sequence[str]) -> NDArray[np.uint8]:
    """Texts without line ends, as bytes."""
    return np.frombuffer("\n".join(lines).encode(), np.uint8)


def lines_from_array(text: NDArray[np.uint8]) -> list[str]:
    """The texts of `lines_to_array`."""
    return bytes(text).decode().split("\n") if len(text) else []
