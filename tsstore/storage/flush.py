"""Flush: chunks become segments.

A bucket with many rows gets files of its own, one per period; the rows of all the small ones share
a file per schema, because thousands of files of a few rows cost more than the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import TsStoreError
from tsstore.format.constants import BLOCK_ROWS
from tsstore.format.manifest import SEGMENT_DTYPE, SHARED
from tsstore.format.segment import SegmentTable, encode_segment
from tsstore.storage.chunk import Chunk, Deletes, merge, split_ids
from tsstore.storage.filenames import (
    SHARED_DIR,
    bucket_dir,
    segment_name,
    shared_segment_name,
    split_periods,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket, Catalog
    from tsstore.storage.segments import SegmentSet
    from tsstore.vfs import FileSystem

#: From so many rows in one flush a period of a bucket gets a file of its own.
OWN_FILE_ROWS = BLOCK_ROWS


class SegmentWriter:
    """Writes the segments of one flush.

    Attributes:
        next_number: of the next segment file.
        names: of the files written so far; not synced until `finish`.
    """

    def __init__(self, fs: FileSystem, store_id: int, next_number: int) -> None:
        self._fs = fs
        self._store_id = store_id
        self.next_number = next_number
        self.names: list[str] = []
        self._rows: list[tuple[int, ...]] = []

    def flush(
        self,
        schema_id: int,
        schema: Schema,
        chunks: Sequence[Chunk],
        catalog: Catalog,
        older: SegmentSet,
    ) -> None:
        """Write the rows of chunks of one schema, oldest first."""
        chunk = merge(schema, chunks)
        keys = catalog.keys_by_id()
        shared = np.ones(len(chunk.ts), np.bool_)
        for place, bucket_id in enumerate(chunk.ids.tolist()):
            first, end = int(chunk.starts[place]), int(chunk.starts[place + 1])
            bucket = catalog.get(keys.get(bucket_id, ""))
            if bucket is None:  # destroyed since
                shared[first:end] = False
            elif end - first >= OWN_FILE_ROWS:
                for period, low, high in self._long_periods(bucket, chunk.ts[first:end]):
                    rows = slice(first + low, first + high)
                    shared[rows] = False
                    self._write_own(bucket, period, chunk, rows)
        deletes = _useful_deletes(chunk.deletes, schema_id, keys, older)
        if shared.any() or deletes:
            self._write_shared(schema_id, schema, chunk, np.flatnonzero(shared), keys, deletes)

    def _long_periods(
        self, bucket: Bucket, ts: NDArray[np.int64]
    ) -> Iterator[tuple[str, int, int]]:
        """Periods of a bucket that have enough rows for a file; the others share one."""
        for period in split_periods(ts, bucket.timeframe, variable=bucket.schema.is_variable):
            if period[2] - period[1] >= OWN_FILE_ROWS:
                yield period

    def _write_own(self, bucket: Bucket, period: str, chunk: Chunk, rows: slice) -> None:
        ts = chunk.ts[rows]
        table = SegmentTable(
            schema=bucket.schema,
            keys=[bucket.key],
            ids=np.array([bucket.id], np.uint32),
            starts=np.array([0, len(ts)], np.int64),
            ts=ts,
            arrays=[array[rows] for array in chunk.arrays],
            deletes=[],
            first_sequence=chunk.first_sequence,
            last_sequence=chunk.last_sequence,
        )
        self._fs.make_dir(bucket_dir(bucket.key))
        name = segment_name(bucket.key, period, self.next_number)
        self._write(name, bucket.schema_id, bucket.id, table)

    def _write_shared(
        self,
        schema_id: int,
        schema: Schema,
        chunk: Chunk,
        rows: NDArray[np.intp],
        keys: dict[int, str],
        deletes: list[tuple[int, int, int]],
    ) -> None:
        ids, starts = split_ids(chunk.row_ids()[rows])
        table = SegmentTable(
            schema=schema,
            keys=[keys[bucket_id] for bucket_id in ids.tolist()],
            ids=ids,
            starts=starts,
            ts=chunk.ts[rows],
            arrays=[array[rows] for array in chunk.arrays],
            deletes=deletes,
            first_sequence=chunk.first_sequence,
            last_sequence=chunk.last_sequence,
        )
        self._fs.make_dir(SHARED_DIR)
        self._write(shared_segment_name(self.next_number), schema_id, SHARED, table)

    def _write(self, name: str, schema_id: int, bucket: int, table: SegmentTable) -> None:
        number = self.next_number
        self.next_number += 1
        parts, checksum = encode_segment(table, number, self._store_id ^ number)
        file = self._fs.create(name)
        self.names.append(name)
        try:
            file.append(parts)
        finally:
            file.close()
        size = sum(len(part) for part in parts)
        first_ts, last_ts = (int(table.ts.min()), int(table.ts.max())) if len(table.ts) else (0, -1)
        span = (first_ts, last_ts, table.first_sequence, table.last_sequence)
        self._rows.append((bucket, number, schema_id, 0, size, checksum, len(table.ts), *span))

    def finish(self) -> NDArray[np.void]:
        """Sync what was written; returns rows of SEGMENT_DTYPE in the order of `names`."""
        if self.names:
            self._fs.sync_files(self.names)
        return np.array(self._rows, SEGMENT_DTYPE)

    def abandon(self) -> None:
        """Remove what was written."""
        for name in self.names:
            self._fs.remove(name)


def _useful_deletes(
    deletes: Deletes, schema_id: int, keys: dict[int, str], older: SegmentSet
) -> list[tuple[int, int, int]]:
    """Deleted ranges that older segments have rows in; the others have done their work."""
    useful = []
    for bucket_id, ranges in deletes.items():
        if bucket_id not in keys:
            continue
        for first, last in ranges:
            if _reaches(older, bucket_id, schema_id, first, last):
                useful.append((bucket_id, first, last))
    return useful


def _reaches(older: SegmentSet, bucket_id: int, schema_id: int, first: int, last: int) -> bool:
    try:
        runs = older.runs(bucket_id, schema_id)
    except TsStoreError:
        return True  # one damaged segment must not keep the others from being written
    return any(run.first_ts <= last and run.last_ts >= first for run in runs)
