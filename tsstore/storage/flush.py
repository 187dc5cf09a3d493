"""Flush: chunks become segments.

A bucket with many rows gets files of its own, one per period; the rows of all the small ones share
a file per schema, because thousands of files of a few rows cost more than the rows.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.errors import StorageError
from tsstore.format.constants import BLOCK_ROWS
from tsstore.format.manifest import DELETE_DTYPE, SEGMENT_DTYPE, SHARED
from tsstore.format.segment import FlatSegment, SegmentTable
from tsstore.storage.chunk import Chunk, Deletes, Merging, add_deletes, some_rows, without
from tsstore.storage.filenames import segment_name, shared_segment_name, split_periods
from tsstore.storage.segments import SegmentChange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket, Catalog
    from tsstore.storage.segments import Run, SegmentSet
    from tsstore.vfs import File, FileSystem

#: From so many rows on, a period of a bucket gets a file of its own.
OWN_FILE_ROWS = BLOCK_ROWS
# In a flush, which many buckets take part in again and again, a file pays with more of them; what
# has fewer is brought together by compaction.
_FLUSHED_FILE_ROWS = 16 * BLOCK_ROWS
# Smaller files are quicker to sync all together.
_SYNCED_BYTES = 1 << 20


class NewSegment(NamedTuple):
    """A segment that is being written.

    Attributes:
        name: of the file.
        number: of the segment.
        bucket: id of its bucket, or SHARED.
        schema_id: of all its buckets.
        generation: 0 when it was flushed or loaded, one more than its oldest part when compacted.
        sequences: of the oldest and the newest commit whose rows these are.
    """

    name: str
    number: int
    bucket: int
    schema_id: int
    generation: int
    sequences: tuple[int, int]


class SegmentWriter:
    """Writes new segments and collects what they change. Threads may write at the same time.

    Args:
        fs: the data directory.
        store_id: of the store.
        take_number: gives the number of a new segment.

    Attributes:
        store_id: of the store.
        names: of the files written so far; not synced until `finish`.
        bytes: of those that are complete.
        syncs_at_once: whether large files are synced by the thread that wrote them, while others
            write theirs; `finish` has less to wait for then.
    """

    def __init__(self, fs: FileSystem, store_id: int, take_number: Callable[[], int]) -> None:
        self._fs = fs
        self.store_id = store_id
        self._take_number = take_number
        self.names: list[str] = []
        self.bytes = 0
        self.syncs_at_once = False
        self._abandoned = False
        self._rows: dict[str, tuple[int, ...]] = {}
        self._deletes: list[tuple[int, int, int, int]] = []
        self._removed: set[int] = set()

    def flush(
        self,
        schema_id: int,
        schema: Schema,
        chunks: Sequence[Chunk],
        catalog: Catalog,
        older: SegmentSet,
        newer: Deletes,
    ) -> None:
        """Write the rows of chunks of one schema, oldest first.

        Args:
            schema_id: of the schema.
            schema: of all buckets in the chunks.
            chunks: what to write.
            catalog: names the buckets; those it does not know were destroyed.
            older: the segments there are; deleted ranges are left out of them.
            newer: ranges deleted from all these rows.
        """
        deletes = newer
        for stretch in reversed(_stretches(chunks, schema_id, older, catalog.alterations())):
            merging = Merging(schema, stretch)
            self._delete(merging, catalog, older)
            newer, deletes = deletes, add_deletes(deletes, merging.deletes)
            if newer or not self._write_merged(schema_id, schema, merging, catalog):
                chunk = without(merging.chunk(), newer)
                self.write(schema_id, schema, chunk, catalog.by_id, _FLUSHED_FILE_ROWS)

    def _write_merged(
        self, schema_id: int, schema: Schema, merging: Merging, catalog: Catalog
    ) -> bool:
        """Write rows column by column, if all of them go to one file; whether they do."""
        lengths = merging.starts[1:] - merging.starts[:-1]
        buckets = [catalog.by_id(bucket_id) for bucket_id in merging.ids.tolist()]
        if None in buckets or lengths.max(initial=0) >= _FLUSHED_FILE_ROWS:
            return False
        keys = [bucket.key for bucket in buckets if bucket is not None]
        self._write_shared(schema_id, schema, merging, keys)
        return True

    def write(
        self,
        schema_id: int,
        schema: Schema,
        chunk: Chunk,
        bucket_of: Callable[[int], Bucket | None],
        rows_min: int = OWN_FILE_ROWS,
    ) -> None:
        """Write the rows of a chunk: long runs to files of their own, the others to one file.

        Args:
            schema_id: of the schema.
            schema: of all buckets in the chunk.
            chunk: what to write; its deletes are left to others.
            bucket_of: the bucket of an id, None when it was destroyed.
            rows_min: what a long run has, in one period.
        """
        shared = np.ones(len(chunk.ts), np.bool_)
        keys: dict[int, str] = {}
        for place, bucket_id in enumerate(chunk.ids.tolist()):
            first, end = int(chunk.starts[place]), int(chunk.starts[place + 1])
            bucket = bucket_of(bucket_id)
            if bucket is None:
                shared[first:end] = False
                continue
            keys[bucket_id] = bucket.key
            if end - first >= rows_min:
                for period, low, high in long_periods(bucket, chunk.ts[first:end], rows_min):
                    rows = slice(first + low, first + high)
                    shared[rows] = False
                    self._write_own(schema_id, schema, bucket, period, chunk, rows)
        if not shared.any():
            return
        rest = chunk if shared.all() else some_rows(chunk, shared)
        self._write_shared(schema_id, schema, rest, [keys[n] for n in rest.ids.tolist()])

    def _delete(self, merging: Merging, catalog: Catalog, older: SegmentSet) -> None:
        """Note what chunks delete from segments; those that they delete as a whole go."""
        for bucket_id, ranges in merging.deletes.items():
            bucket = catalog.by_id(bucket_id)
            if bucket is None:
                continue
            for run in runs_before(older, bucket, merging.first_sequence):
                for first, last in ranges:
                    if run.first_ts > last or run.last_ts < first:
                        continue
                    if run.is_whole and first <= run.first_ts and run.last_ts <= last:
                        self.replace([run.number])
                    else:
                        self.delete(run.number, bucket_id, first, last)

    def _write_own(
        self,
        schema_id: int,
        schema: Schema,
        bucket: Bucket,
        period: str,
        chunk: Chunk,
        rows: slice,
    ) -> None:
        ts = chunk.ts[rows]
        table = SegmentTable(
            schema=schema,
            keys=[bucket.key],
            ids=np.array([bucket.id], np.uint32),
            starts=np.array([0, len(ts)], np.int64),
            ts=ts,
            arrays=[array[rows] for array in chunk.arrays],
            first_sequence=chunk.first_sequence,
            last_sequence=chunk.last_sequence,
        )
        self._write(self.new_own(bucket, schema_id, period, 0, _sequences(chunk)), table)

    def _write_shared(
        self,
        schema_id: int,
        schema: Schema,
        chunk: Chunk | Merging,
        keys: list[str],
    ) -> None:
        if len(chunk.ts) == 0:
            return
        table = SegmentTable(
            schema=schema,
            keys=keys,
            ids=chunk.ids,
            starts=chunk.starts,
            ts=chunk.ts,
            arrays=chunk.arrays,
            first_sequence=chunk.first_sequence,
            last_sequence=chunk.last_sequence,
        )
        self._write(self.new_shared(schema_id, 0, _sequences(chunk)), table)

    def new_own(
        self,
        bucket: Bucket,
        schema_id: int,
        period: str,
        generation: int,
        sequences: tuple[int, int],
    ) -> NewSegment:
        """A new segment of one bucket and period."""
        number = self._take_number()
        name = segment_name(bucket.key, period, number)
        return NewSegment(name, number, bucket.id, schema_id, generation, sequences)

    def new_shared(self, schema_id: int, generation: int, sequences: tuple[int, int]) -> NewSegment:
        """A new segment of several buckets."""
        number = self._take_number()
        name = shared_segment_name(number)
        return NewSegment(name, number, SHARED, schema_id, generation, sequences)

    def _write(self, new: NewSegment, table: SegmentTable) -> None:
        flat = FlatSegment(table, new.number, self.store_id ^ new.number)
        file = self.create(new.name)
        try:
            syncs = self.syncs_at_once or new.bucket == SHARED
            begun = 0
            for parts in flat.parts():
                file.append(parts)
                if syncs and flat.length >= begun + _SYNCED_BYTES:
                    begun = flat.length
                    file.begin_sync()  # the medium works while the next column is made
            if begun:
                file.sync()  # before it is closed: what went wrong meanwhile is told here alone
        finally:
            file.close()
        span = (int(table.ts.min()), int(table.ts.max()))
        self.note(new, flat.length, flat.checksum, len(table.ts), span)

    def create(self, name: str) -> File:
        """Create a segment file and the directories it lies in."""
        self.names.append(name)
        file = self._fs.create(name)
        if self._abandoned:  # by who was interrupted and could not wait for this thread
            file.close()
            self.abandon()
            raise StorageError(f"{self._fs.describe(name)} was given up by an interrupt")
        return file

    def note(
        self, new: NewSegment, size: int, checksum: int, rows: int, span: tuple[int, int]
    ) -> None:
        """Note a finished file.

        Args:
            new: which one.
            size: bytes.
            checksum: of the footer's body.
            rows: of all its buckets.
            span: instants of the first and the last row.
        """
        head = (new.bucket, new.number, new.schema_id, new.generation, size, checksum, rows)
        self._rows[new.name] = (*head, *span, *new.sequences)
        self.bytes += size

    def delete(self, number: int, bucket_id: int, first: int, last: int) -> None:
        """Leave a range of a bucket out of a segment that stays."""
        self._deletes.append((number, bucket_id, first, last))

    def replace(self, numbers: Iterable[int]) -> None:
        """What these segments hold is in the new ones, or deleted."""
        self._removed |= set(numbers)

    def finish(self) -> SegmentChange:
        """Sync what was written; returns what it changes.

        Raises:
            StorageError: refused; `abandon` removes the files.
        """
        if self.names:
            self._fs.sync_files(self.names)
        table = np.array([self._rows[name] for name in self.names], SEGMENT_DTYPE)
        # A segment that is removed needs no list of what is deleted from it.
        deletes = [row for row in dict.fromkeys(self._deletes) if row[0] not in self._removed]
        masks = np.array(deletes, DELETE_DTYPE)
        return SegmentChange(table, list(self.names), frozenset(self._removed), masks)

    def abandon(self) -> None:
        """Remove what was written; nothing more is."""
        self._abandoned = True
        for name in self.names:
            with contextlib.suppress(StorageError):
                self._fs.remove(name)
                self._fs.prune_dirs(name.rpartition("/")[0])


def _sequences(chunk: Chunk | Merging) -> tuple[int, int]:
    return chunk.first_sequence, chunk.last_sequence


def long_periods(
    bucket: Bucket, ts: NDArray[np.int64], rows_min: int = OWN_FILE_ROWS
) -> Iterator[tuple[str, int, int]]:
    """Periods of a bucket that have enough rows for a file; the others share one."""
    for period in split_periods(ts, bucket.timeframe, variable=bucket.schema.is_variable):
        if period[2] - period[1] >= rows_min:
            yield period


def _stretches(
    chunks: Sequence[Chunk], schema_id: int, segments: SegmentSet, alterations: Sequence[int]
) -> list[list[Chunk]]:
    """Chunks without a bulk load or an altered bucket between them, oldest first.

    A bucket that was altered may have loads of an older schema, so then all loads count.
    """
    loads = segments.table["first_sequence"]
    if not alterations:
        loads = loads[segments.table["schema"] == schema_id]
    loads = np.unique(np.concatenate([loads, np.array(alterations, np.uint64)]))
    stretches: dict[tuple[int, int], list[Chunk]] = {}
    for chunk in chunks:
        sequence = np.uint64(chunk.first_sequence)
        before = int(loads.searchsorted(sequence, "left"))
        stretches.setdefault((before, int(loads.searchsorted(sequence, "right"))), []).append(chunk)
    return list(stretches.values())


def deletes_of_former(
    chunks: Mapping[int, Sequence[Chunk]], catalog: Catalog
) -> dict[int, Deletes]:
    """Ranges deleted since a bucket was altered, by the schemas that it had before."""
    newer: dict[int, Deletes] = {}
    for schema_id, of_schema in chunks.items():
        for chunk in of_schema:
            for bucket_id, ranges in chunk.deletes.items():
                bucket = catalog.by_id(bucket_id)
                if bucket is None or not bucket.former or schema_id not in bucket.schema_ids:
                    continue
                for former in bucket.schema_ids[: bucket.schema_ids.index(schema_id)]:
                    newer[former] = add_deletes(newer.get(former, {}), {bucket_id: ranges})
    return newer


def runs_before(segments: SegmentSet, bucket: Bucket, sequence: int) -> Iterator[Run]:
    """Runs of a bucket that hold rows of commits before this one."""
    for run in segments.all_runs(bucket.id, bucket.schema_ids):
        if run.first < run.end and run.last_sequence < sequence:
            yield run
