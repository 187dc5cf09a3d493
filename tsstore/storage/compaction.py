"""Compaction: many segments become few packed ones, and deleted rows go.

What may be merged: segments of one bucket and period, or segments that many small buckets share,
neighbours in the order of commits. Wherever two segments hold rows of one bucket and overlap in
time, the one with the newer commits wins, so their commits must not interleave. A merge that would
bring that about leaves a bucket's rows out of the common segment and gives them files of their own,
one per input.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.format.manifest import SHARED
from tsstore.format.segment import packer_of
from tsstore.storage.adapting import adapt
from tsstore.storage.chunk import Chunk, add_deletes, merge, without
from tsstore.storage.filenames import segment_period
from tsstore.storage.flush import OWN_FILE_ROWS, long_periods
from tsstore.storage.packed_file import PackedFile
from tsstore.storage.rows import MILLISECOND_NS
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from tsstore.format.packed import Packer
    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket, Catalog
    from tsstore.storage.chunk import Deletes
    from tsstore.storage.flush import NewSegment, SegmentWriter
    from tsstore.storage.segment import SegmentReader
    from tsstore.storage.segments import Run, SegmentSet

# Rows that are in memory at a time.
_SLICE_ROWS = 1 << 18
# The newest segments are merged with the next older one unless it has so many times their rows:
# a row is then rewritten a few times in its life, and a bucket has few segments.
_RATIO = 4
# Shared segments are merged from so many on; each merge rewrites what all buckets have in them.
_SHARED_MIN = 4
# Files that a merge has open at a time; more are merged in several rounds.
_INPUTS_MAX = 64


class Job(NamedTuple):
    """Segments to merge into one.

    Attributes:
        schema_id: of all of them.
        bucket: whose they are; None for shared ones.
        period: of the files of a bucket.
        rows: their rows in `SegmentSet.table`, oldest first.
    """

    schema_id: int
    bucket: Bucket | None
    period: str
    rows: list[int]

    def numbers(self, segments: SegmentSet) -> set[int]:
        """Numbers of the segments."""
        return set(segments.table["number"][self.rows].tolist())

    def bytes(self, segments: SegmentSet) -> int:
        """Bytes of the segments."""
        return int(segments.table["bytes"][self.rows].sum())


# Choosing


def jobs(segments: SegmentSet, catalog: Catalog, checkpoint: int) -> Iterator[Job]:
    """What is worth merging by itself: what is new, and what has become many; found step by step.

    Args:
        segments: the live ones.
        catalog: of the same moment or later.
        checkpoint: commits up to this one are in segments; later ones may lie between those of
            bulk loads, which wait.
    """
    table = segments.table
    fresh = table["bucket"][(table["generation"] == 0) & (table["last_sequence"] <= checkpoint)]
    masked = table["bucket"][np.isin(table["number"], segments.deletes["segment"])]
    for schema_id in np.unique(table["schema"][table["bucket"] == SHARED]).tolist():
        yield from shared_jobs(segments, schema_id, checkpoint)
    for bucket_id in np.unique(np.concatenate([fresh, masked])).tolist():
        bucket = catalog.by_id(bucket_id) if bucket_id != SHARED else None
        if bucket is not None:
            yield from own_jobs(segments, bucket, checkpoint)


def shared_jobs(
    segments: SegmentSet, schema_id: int, checkpoint: int, *, everything: bool = False
) -> list[Job]:
    """Merges of the shared segments of a schema."""
    table = segments.table
    rows = [r for r in segments.shared_rows([schema_id]) if table["last_sequence"][r] <= checkpoint]
    tail = rows if everything else _tail(rows, table["rows"])
    tail = tail[:_INPUTS_MAX] if everything else tail[-_INPUTS_MAX:]
    if everything and _is_needed(segments, tail):
        return [Job(schema_id, None, "", tail)]
    return [Job(schema_id, None, "", tail)] if len(tail) >= _SHARED_MIN else []


def own_jobs(
    segments: SegmentSet, bucket: Bucket, checkpoint: int, *, everything: bool = False
) -> list[Job]:
    """Merges of the segments of one bucket, period by period."""
    table = segments.table
    periods: dict[str, list[int]] = defaultdict(list)
    for row in segments.own_rows(bucket.id):
        if table["last_sequence"][row] <= checkpoint:
            periods[segment_period(segments.names[row])].append(row)
    # What cannot say which rows it has may lie between: nothing is merged across it.
    runs = list(segments.all_runs(bucket.id, bucket.schema_ids)) if periods else []
    found = []
    for period, rows in periods.items():
        for stretch in _stretches(segments, rows, runs, bucket):
            chosen = stretch if everything else _tail(stretch, table["rows"])
            chosen = chosen[:_INPUTS_MAX] if everything else chosen[-_INPUTS_MAX:]
            # Older ones stay as they are, but for those of which a part was deleted.
            older = [] if everything else stretch[: len(stretch) - len(chosen)]
            alone = [[row] for row in older]
            found += [
                Job(bucket.schema_id, bucket, period, part)
                for part in (chosen, *alone)
                if _is_needed(segments, part)
            ]
    return found


def _is_needed(segments: SegmentSet, rows: list[int]) -> bool:
    """Whether merging changes anything."""
    if len(rows) != 1:
        return len(rows) > 1
    entry = segments.table[rows[0]]
    return bool(entry["generation"] == 0 or entry["number"] in segments.deletes["segment"])


def _tail(rows: list[int], counts: NDArray[np.uint64]) -> list[int]:
    """The newest segments, as far back as merging them pays."""
    total = 0
    for place in range(len(rows) - 1, -1, -1):
        count = int(counts[rows[place]])
        if total and count > _RATIO * total:
            return rows[place + 1 :]
        total += count
    return rows


def _stretches(
    segments: SegmentSet, rows: list[int], runs: Iterable[Run], bucket: Bucket
) -> list[list[int]]:
    """Segments of a period, cut where others of the bucket lie between them in order and time."""
    table = segments.table
    mine = {int(table["number"][row]) for row in rows}
    foreign = [run for run in runs if run.number not in mine and run.first < run.end]
    unit = MILLISECOND_NS if bucket.schema.identity else 1
    stretches: list[list[int]] = []
    for row in rows:
        longer = [*stretches[-1], row] if stretches else []
        if longer and not _interleaves(table[longer], foreign, unit):
            stretches[-1] = longer
        else:
            stretches.append([row])
    return stretches


def _interleaves(entries: NDArray[np.void], foreign: list[Run], unit: int) -> bool:
    first, last = int(entries["first_sequence"].min()), int(entries["last_sequence"].max())
    start, end = int(entries["first_ts"].min()) // unit, int(entries["last_ts"].max()) // unit
    return any(
        run.first_sequence <= last
        and first <= run.last_sequence
        and run.first_ts // unit <= end
        and start <= run.last_ts // unit
        for run in foreign
    )


# Merging


class Merger:
    """Carries out jobs on one state of the segments.

    Args:
        segments: the live ones; they are read past the cache.
        catalog: names the buckets; those it does not know were destroyed.
        writer: takes the new segments.
        pace: called with the bytes of each slice; may wait, and may raise to give up.
    """

    def __init__(
        self,
        segments: SegmentSet,
        catalog: Catalog,
        writer: SegmentWriter,
        pace: Callable[[int], None],
    ) -> None:
        self._segments = segments
        self._catalog = catalog
        self._writer = writer
        self._pace = pace
        self._packers: dict[int, Packer] = {}

    def run(self, job: Job) -> None:
        """Merge; the files are synced by `SegmentWriter.finish`.

        Raises:
            CorruptionError: a segment cannot be read.
            StorageError: refused.
        """
        with ExitStack() as stack:
            readers = []
            for row in job.rows:
                reader = self._segments.open_reader(row)
                stack.callback(reader.close_file)
                readers.append(reader)
            if job.bucket is None:
                self._merge_shared(job, readers)
            else:
                self._merge_own(job, job.bucket, readers)
        self._writer.replace(job.numbers(self._segments))

    def _file(self, new: NewSegment) -> PackedFile:
        schema = self._catalog.schemas[new.schema_id]
        packer = self._packers.setdefault(new.schema_id, packer_of(schema))
        return PackedFile(self._writer, new, schema, packer)

    def _hull(self, job: Job) -> tuple[int, int]:
        entries = self._segments.table[job.rows]
        return int(entries["first_sequence"].min()), int(entries["last_sequence"].max())

    def _generation(self, job: Job) -> int:
        return int(self._segments.table["generation"][job.rows].max()) + 1

    def _merge_own(self, job: Job, bucket: Bucket, readers: list[SegmentReader]) -> None:
        generation, hull = self._generation(job), self._hull(job)
        new = self._writer.new_own(bucket, bucket.schema_id, job.period, generation, hull)
        with closing(self._file(new)) as file:
            for start, end in _time_slices(readers, bucket.schema):
                chunks = [
                    _adapted(self._chunk_between(row, reader, start, end), reader, bucket.schema)
                    for row, reader in zip(job.rows, readers, strict=True)
                ]
                merged = merge(bucket.schema, chunks)
                file.append(bucket, merged.ts, merged.arrays)
                self._pace(merged.bytes)
            file.finish()

    def _merge_shared(self, job: Job, readers: list[SegmentReader]) -> None:
        schema = self._catalog.schemas[job.schema_id]
        hull, generation = self._hull(job), self._generation(job)
        new = self._writer.new_shared(job.schema_id, generation, hull)
        crossed = self._crossed(hull)
        altered = frozenset(self._catalog.former())
        with closing(self._file(new)) as file:
            for first_id, last_id in _id_slices(readers):
                chunks = [
                    self._chunk_of_ids(row, reader, first_id, last_id)
                    for row, reader in zip(job.rows, readers, strict=True)
                ]
                ids = {bucket_id for chunk in chunks for bucket_id in chunk.ids.tolist()}
                apart = ids & crossed
                apart |= {i for i in ids & altered if self._interleaves(job.schema_id, i, hull)}
                for bucket_id in sorted(apart):
                    self._write_apart(job.schema_id, bucket_id, chunks, generation)
                rest = [_without_buckets(chunk, apart) for chunk in chunks]
                merged = merge(schema, rest)
                self._write_merged(job.schema_id, merged, file, generation)
                self._pace(merged.bytes)
            file.finish()
        self._keep_deletes(job, readers)

    def _crossed(self, hull: tuple[int, int]) -> set[int]:
        """Buckets that have segments of their own between the commits of a merge."""
        table = self._segments.table
        between = (table["first_sequence"] <= hull[1]) & (table["last_sequence"] >= hull[0])
        return set(table["bucket"][between & (table["bucket"] != SHARED)].tolist())

    def _interleaves(self, schema_id: int, bucket_id: int, hull: tuple[int, int]) -> bool:
        """Whether a bucket has rows of another schema between the commits of a merge."""
        bucket = self._catalog.by_id(bucket_id)
        if bucket is None:
            return False
        others = tuple(number for number in bucket.schema_ids if number != schema_id)
        return any(
            run.first < run.end and run.first_sequence <= hull[1] and hull[0] <= run.last_sequence
            for run in self._segments.all_runs(bucket_id, others)
        )

    def _write_apart(
        self, schema_id: int, bucket_id: int, chunks: list[Chunk], generation: int
    ) -> None:
        """Files of its own for a bucket, one per period and input, so that their order stays."""
        bucket = self._catalog.by_id(bucket_id)
        if bucket is None:
            return
        newer: Deletes = {}
        for chunk in reversed(chunks):
            kept = without(chunk, newer)
            newer = add_deletes(newer, chunk.deletes)
            rows = slice(*kept.run(bucket_id))
            self._write_periods(schema_id, bucket, kept, rows, generation, rows_min=1)

    def _write_merged(
        self, schema_id: int, merged: Chunk, file: PackedFile, generation: int
    ) -> None:
        for place, bucket_id in enumerate(merged.ids.tolist()):
            bucket = self._catalog.by_id(bucket_id)
            if bucket is None:
                continue
            rows = slice(int(merged.starts[place]), int(merged.starts[place + 1]))
            for part in self._write_periods(schema_id, bucket, merged, rows, generation):
                file.append(bucket, merged.ts[part], [array[part] for array in merged.arrays])

    def _write_periods(
        self,
        schema_id: int,
        bucket: Bucket,
        chunk: Chunk,
        rows: slice,
        generation: int,
        rows_min: int = OWN_FILE_ROWS,
    ) -> list[slice]:
        """Files of its own for the periods of a bucket that have rows enough; returns the rest."""
        rest = rows.start
        left = []
        for period, low, high in long_periods(bucket, chunk.ts[rows], rows_min):
            part = slice(rows.start + low, rows.start + high)
            left.append(slice(rest, part.start))
            rest = part.stop
            sequences = (chunk.first_sequence, chunk.last_sequence)
            new = self._writer.new_own(bucket, schema_id, period, generation, sequences)
            with closing(self._file(new)) as file:
                file.append(bucket, chunk.ts[part], [array[part] for array in chunk.arrays])
                file.finish()
        return [*left, slice(rest, rows.stop)]

    def _chunk_between(self, row: int, reader: SegmentReader, start: int, end: int) -> Chunk:
        """Rows of a segment of one bucket from `start` to before `end`."""
        first = reader.search(0, reader.footer.rows, start, "left")
        stop = reader.search(0, reader.footer.rows, end, "left")
        starts = np.array([0, stop - first])
        return self._chunk(row, reader, reader.footer.ids, starts, first)

    def _chunk_of_ids(self, row: int, reader: SegmentReader, first_id: int, last_id: int) -> Chunk:
        """Rows of a shared segment of some buckets, both ends included."""
        footer = reader.footer
        low, high = footer.ids.searchsorted([first_id, last_id + 1]).tolist()
        first = int(footer.starts[low])
        starts = footer.starts[low : high + 1] - first
        chunk = self._chunk(row, reader, footer.ids[low:high], starts, first)
        deletes: Deletes = {}
        for bucket_id, first_ts, last_ts in footer.deletes:
            deletes = add_deletes(deletes, {bucket_id: ((first_ts, last_ts),)})
        return replace(chunk, deletes=deletes)

    def _chunk(
        self,
        row: int,
        reader: SegmentReader,
        ids: NDArray[np.uint32],
        starts: NDArray[np.int64],
        first: int,
    ) -> Chunk:
        """Rows of a segment, given by runs from row `first` on, without what is deleted."""
        entry = self._segments.table[row]
        end = first + int(starts[-1])
        dtypes = [np.dtype("<i8"), *(dtype for _, dtype in reader.footer.schema.columns)]
        if first < end:
            ts, *arrays = reader.columns(range(len(dtypes)), first, end)
        else:
            ts, *arrays = (np.empty(0, dtype) for dtype in dtypes)
            ids, starts = ids[:0], starts[:1]
        # The arrays stay as long as the chunk; the next slice gets new ones.
        reader.drop_rows()
        sequences = (int(entry["first_sequence"]), int(entry["last_sequence"]))
        chunk = Chunk(ids, starts, ts, arrays, {}, *sequences)
        return without(chunk, self._segments.masks(int(entry["number"])))

    def _keep_deletes(self, job: Job, readers: list[SegmentReader]) -> None:
        """What segments of format 1 delete from older ones that are not merged with them."""
        merged = job.numbers(self._segments)
        for row, reader in zip(job.rows, readers, strict=True):
            sequence = int(self._segments.table["first_sequence"][row])
            for bucket_id, first, last in reader.footer.deletes:
                for run in self._segments.all_runs(bucket_id, [job.schema_id]):
                    if run.number not in merged and run.last_sequence < sequence:
                        self._writer.delete(run.number, bucket_id, first, last)


def _adapted(chunk: Chunk, reader: SegmentReader, schema: Schema) -> Chunk:
    old = reader.footer.schema
    if old == schema:
        return chunk
    return replace(chunk, arrays=adapt(chunk.arrays, len(chunk.ts), old, schema))


def _without_buckets(chunk: Chunk, bucket_ids: set[int]) -> Chunk:
    return without(chunk, dict.fromkeys(bucket_ids, ((MIN_NS, MAX_NS),)))


def _time_slices(readers: list[SegmentReader], schema: Schema) -> Iterator[tuple[int, int]]:
    """Stretches of time, start included and end not, that hold so many rows of all segments.

    No millisecond of a bucket with identity is cut: which of two rows wins is decided in it.
    """
    instants = np.concatenate([reader.footer.block_first_ts for reader in readers])
    counts = np.concatenate([np.diff(reader.footer.block_starts) for reader in readers])
    order = np.argsort(instants, kind="stable")
    filled = np.cumsum(counts[order]) // _SLICE_ROWS
    cuts = instants[order][1:][filled[1:] != filled[:-1]]
    unit = MILLISECOND_NS if schema.identity else 1
    last = max(int(reader.footer.last_ts[-1]) for reader in readers)
    bounds = [int(instants.min()), *np.unique(cuts - cuts % unit).tolist(), last + 1]
    for start, end in itertools.pairwise(bounds):
        if start < end:
            yield start, end


def _id_slices(readers: list[SegmentReader]) -> Iterator[tuple[int, int]]:
    """Ranges of bucket ids, both ends included, that hold so many rows of all segments."""
    every = np.concatenate([reader.footer.ids for reader in readers])
    counts = np.concatenate([np.diff(reader.footer.starts) for reader in readers])
    order = np.argsort(every, kind="stable")
    ids, first = np.unique(every[order], return_index=True)
    if len(ids) == 0:
        return
    rows = np.add.reduceat(counts[order], first)
    filled = np.cumsum(rows) // _SLICE_ROWS
    cuts = np.flatnonzero(filled[1:] != filled[:-1]) + 1
    for low, high in itertools.pairwise([0, *cuts.tolist(), len(ids)]):
        yield int(ids[low]), int(ids[high - 1])
