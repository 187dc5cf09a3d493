"""Writing a packed segment file block by block, so that its size is no matter of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.format.constants import PACKED_BLOCK_ROWS
from tsstore.format.segment import PackedSegment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.format.packed import Packer
    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket
    from tsstore.storage.flush import NewSegment, SegmentWriter
    from tsstore.vfs import File

# A block ends with its run from so many rows on; smaller runs share one.
_RUN_ROWS_MIN = 512


class PackedFile:
    """One packed segment in the making. The file is created with the first row.

    Args:
        segments: creates the file, and learns what is in it at the end.
        new: what kind of segment it becomes.
        schema: of all its buckets.
        packer: of the schema; what it learnt in one segment serves the next.
    """

    def __init__(
        self, segments: SegmentWriter, new: NewSegment, schema: Schema, packer: Packer
    ) -> None:
        self._segments = segments
        self._new = new
        owner = segments.store_id ^ new.number
        self._packed = PackedSegment(schema, packer, new.number, owner, new.sequences)
        self._file: File | None = None
        self._bucket: Bucket | None = None
        self._run: tuple[int, int] = (0, 0)  # first row and instant of the current run
        self._last_ts = 0
        self._span: tuple[int, int] | None = None
        self._pending: list[list[NDArray[Any]]] = []
        self._pending_rows = 0

    def append(self, bucket: Bucket, ts: NDArray[np.int64], arrays: list[NDArray[Any]]) -> None:
        """Add rows of a bucket; they come by ascending bucket id, then in order.

        Raises:
            StorageError: refused.
        """
        if len(ts) == 0:
            return
        first_ts, last_ts = int(ts[0]), int(ts[-1])
        if self._bucket is None or self._bucket.id != bucket.id:
            self._end_run()
            self._bucket = bucket
            self._run = (self._packed.rows + self._pending_rows, first_ts)
        self._last_ts = last_ts
        low, high = self._span or (first_ts, last_ts)
        self._span = (min(low, first_ts), max(high, last_ts))
        self._pending.append([ts, *arrays])
        self._pending_rows += len(ts)
        if self._pending_rows >= PACKED_BLOCK_ROWS:
            self._write_blocks()

    def _end_run(self) -> None:
        if self._bucket is None:
            return
        row, first_ts = self._run
        self._packed.add_run(self._bucket.key, self._bucket.id, row, first_ts, self._last_ts)
        if self._pending_rows >= _RUN_ROWS_MIN:
            self._write_blocks(to_the_end=True)

    def _write_blocks(self, *, to_the_end: bool = False) -> None:
        """Write whole blocks, and what is left after them only at the end."""
        columns = [np.concatenate(several) for several in zip(*self._pending, strict=True)]
        rows = self._pending_rows
        whole = rows if to_the_end else rows - rows % PACKED_BLOCK_ROWS
        parts: list[bytes] = []
        for first in range(0, whole, PACKED_BLOCK_ROWS):
            ts, *arrays = (
                column[first : min(first + PACKED_BLOCK_ROWS, whole)] for column in columns
            )
            parts += self._packed.add_block(ts, arrays)
        self._pending = [[column[whole:] for column in columns]] if whole < rows else []
        self._pending_rows = rows - whole
        self._write(parts)

    def _write(self, parts: list[bytes]) -> None:
        if self._file is None:
            self._file = self._segments.create(self._new.name)
            self._file.append([self._packed.begin()])
        self._file.append(parts)

    def finish(self) -> None:
        """Write the rest; without rows there is no file."""
        if self._span is None:
            return
        self._end_run()
        if self._pending_rows:
            self._write_blocks(to_the_end=True)
        self._write([self._packed.finish()])
        packed = self._packed
        self._segments.note(self._new, packed.length, packed.checksum, packed.rows, self._span)
        self.close()

    def close(self) -> None:
        """Close the file, finished or not."""
        if self._file is not None:
            self._file.close()
            self._file = None
