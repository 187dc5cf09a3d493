"""Chunks: rows in memory that are in the log and not yet in a segment.

A chunk is what one commit, or several neighbouring ones, did to the buckets of one schema: rows
sorted by bucket and time, and ranges it deleted from everything older. Chunks never change; merging
two neighbours gives a third that stands for both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.storage.rows import arrange, identity_columns, stable_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.format.commit import Section
    from tsstore.schema import Schema

Deletes = dict[int, tuple[tuple[int, int], ...]]

# So many neighbours of about the same size are merged, so a reader looks at a number of chunks that
# grows with the logarithm of the rows. Above the last tier a merge costs more than it saves.
FAN_IN = 8
TIERS = 6


@dataclass(frozen=True, eq=False)
class Chunk:
    """Rows of buckets that share a schema.

    Attributes:
        ids: uint32 bucket ids, ascending, each once.
        starts: int64, first row of each bucket, and the number of rows at the end.
        ts: int64 nanoseconds, shape (rows,).
        arrays: the columns in the order of the schema, each of shape (rows,).
        deletes: bucket id to (first ns, last ns) deleted from everything older than the chunk.
        first_sequence: of the oldest commit in it.
        last_sequence: of the newest one.
    """

    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    ts: NDArray[np.int64]
    arrays: list[NDArray[Any]]
    deletes: Deletes
    first_sequence: int
    last_sequence: int

    def __post_init__(self) -> None:
        for array in (self.ts, *self.arrays):
            array.flags.writeable = False  # readers are given views

    @staticmethod
    def of(section: Section, deletes: Deletes, sequence: int) -> Chunk:
        """The chunk of one section of one commit."""
        columns = (section.ids, section.starts, section.ts, section.arrays)
        return Chunk(*columns, deletes, sequence, sequence)

    @staticmethod
    def of_deletes(schema: Schema, deletes: Deletes, sequence: int) -> Chunk:
        """A chunk that only deletes."""
        arrays = [np.empty(0, dtype) for _, dtype in schema.columns]
        empty = (np.empty(0, np.uint32), np.zeros(1, np.int64), np.empty(0, np.int64), arrays)
        return Chunk(*empty, deletes, sequence, sequence)

    @property
    def tier(self) -> int:
        """How large it is, in powers of eight rows."""
        return len(self.ts).bit_length() // 3

    @cached_property
    def bytes(self) -> int:
        """Memory of the rows."""
        return self.ts.nbytes + sum(array.nbytes for array in self.arrays)

    def run(self, bucket_id: int) -> tuple[int, int]:
        """First and end row of a bucket; equal when it has none."""
        place = int(self.ids.searchsorted(bucket_id))
        if place == len(self.ids) or self.ids[place] != bucket_id:
            return 0, 0
        return int(self.starts[place]), int(self.starts[place + 1])

    def row_ids(self) -> NDArray[np.uint32]:
        """The bucket id of each row."""
        return np.repeat(self.ids, np.diff(self.starts))


def split_ids(row_ids: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Bucket ids and starts of rows that are sorted by bucket."""
    if len(row_ids) == 0:
        return row_ids, np.zeros(1, np.int64)
    cuts = np.flatnonzero(row_ids[1:] != row_ids[:-1]) + 1
    first = np.concatenate(([0], cuts))
    return row_ids[first], np.append(first, len(row_ids))


def merge(schema: Schema, chunks: Sequence[Chunk]) -> Chunk:
    """One chunk that stands for several neighbouring ones, oldest first."""
    if len(chunks) == 1:
        return chunks[0]
    deletes: Deletes = {}
    kept = []
    for chunk in reversed(chunks):
        kept.append(without(chunk, deletes))
        deletes = add_deletes(deletes, chunk.deletes)
    kept.reverse()
    # Column by column, so that no more than one of them is there twice.
    ids, starts, order = _by_bucket(kept)
    row_ids = np.repeat(ids, np.diff(starts))
    ts = _column([chunk.ts for chunk in kept], order)
    columns = zip(*(chunk.arrays for chunk in kept), strict=True)
    arrays = [_column(column, order) for column in columns]
    stays = arrange(schema, row_ids, ts, identity_columns(schema, arrays))
    if stays is not None:
        ids, starts = split_ids(row_ids[stays])
        ts = ts[stays]
        for place, array in enumerate(arrays):
            arrays[place] = array[stays]
    first, last = chunks[0].first_sequence, chunks[-1].last_sequence
    return Chunk(ids, starts, ts, arrays, deletes, first, last)


def _by_bucket(
    chunks: Sequence[Chunk],
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64] | None]:
    """Bucket ids and starts of all rows, and the order that brings them there, oldest first.

    What is sorted are the runs, of which there are fewer than rows. The order is None when the
    rows are in it as they stand.
    """
    run_ids = np.concatenate([chunk.ids for chunk in chunks])
    lengths = np.concatenate([chunk.starts[1:] - chunk.starts[:-1] for chunk in chunks])
    if (run_ids[1:] >= run_ids[:-1]).all():
        return *_joined(run_ids, lengths), None
    runs = stable_order(run_ids)
    # A run that moves takes each of its rows as far as its first one.
    sorted_lengths = lengths[runs]
    moved = (np.cumsum(lengths) - lengths)[runs] - (np.cumsum(sorted_lengths) - sorted_lengths)
    order = np.repeat(moved, sorted_lengths)
    order += np.arange(len(order))
    return *_joined(run_ids[runs], sorted_lengths), order


def _joined(
    run_ids: NDArray[np.uint32], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Bucket ids, each once, and starts of runs that are sorted by bucket."""
    ids, runs = split_ids(run_ids)
    return ids, np.concatenate(([0], np.cumsum(lengths)))[runs]


def _column(parts: Sequence[NDArray[Any]], order: NDArray[np.int64] | None) -> NDArray[Any]:
    whole = np.concatenate(parts)
    return whole if order is None else whole[order]


def without(chunk: Chunk, deletes: Deletes) -> Chunk:
    """A chunk without the rows of these ranges."""
    if not deletes:
        return chunk
    stays = np.ones(len(chunk.ts), np.bool_)
    for bucket_id, ranges in deletes.items():
        first, end = chunk.run(bucket_id)
        if first < end:
            stays[first:end] &= ~deleted(chunk.ts[first:end], ranges)
    return chunk if stays.all() else some_rows(chunk, stays)


def some_rows(chunk: Chunk, stays: NDArray[np.bool_]) -> Chunk:
    """A chunk of those rows of another that stay."""
    ids, starts = split_ids(chunk.row_ids()[stays])
    arrays = [array[stays] for array in chunk.arrays]
    return replace(chunk, ids=ids, starts=starts, ts=chunk.ts[stays], arrays=arrays)


def add_deletes(deletes: Deletes, more: Deletes) -> Deletes:
    """The ranges of both."""
    both = dict(deletes)
    for bucket_id, ranges in more.items():
        both[bucket_id] = (*both.get(bucket_id, ()), *ranges)
    return both


def deleted(ts: NDArray[np.int64], ranges: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which instants lie in one of the ranges, both ends included."""
    gone = np.zeros(len(ts), np.bool_)
    for first, last in ranges:
        gone |= (ts >= first) & (ts <= last)
    return gone


def mergeable(chunks: Sequence[Chunk]) -> slice | None:
    """Which neighbouring chunks to merge next; None when there are few enough."""
    for tier in range(TIERS):
        first = 0
        for end in range(len(chunks) + 1):
            if end < len(chunks) and chunks[end].tier <= tier:
                continue
            if end - first >= FAN_IN:
                return slice(first, end)
            first = end + 1
    return None
