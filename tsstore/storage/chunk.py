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

from tsstore.storage.memory import Place, together
from tsstore.storage.rows import arrange, identity_columns, stable_order

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.format.commit import Section
    from tsstore.schema import Schema

Deletes = dict[int, tuple[tuple[int, int], ...]]

# So many neighbours of about the same size are merged, so a reader looks at a number of chunks that
# grows with the logarithm of the rows. Above the last tier a merge costs more than it saves.
FAN_IN = 8
TIERS = 6
# Runs of so many rows are sorted as a whole rather than row by row.
_LONG_RUN_ROWS = 8


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
    return chunks[0] if len(chunks) == 1 else Merging(schema, chunks).chunk()


class Merging:
    """Several neighbouring chunks as one, whose columns are made when they are asked for.

    Whoever writes them one after the other needs memory for one of them, and not for all.

    Args:
        schema: of the buckets.
        chunks: one or more, oldest first.

    Attributes:
        ids: see `Chunk`.
        starts: see `Chunk`.
        ts: see `Chunk`.
        deletes: see `Chunk`.
        first_sequence: see `Chunk`.
        last_sequence: see `Chunk`.
    """

    def __init__(self, schema: Schema, chunks: Sequence[Chunk]) -> None:
        self.deletes: Deletes = {}
        kept = []
        for chunk in reversed(chunks):
            kept.append(without(chunk, self.deletes))
            self.deletes = add_deletes(self.deletes, chunk.deletes)
        kept.reverse()
        self.first_sequence, self.last_sequence = chunks[0].first_sequence, chunks[-1].last_sequence
        self._parts = [*zip(*(chunk.arrays for chunk in kept), strict=True)]
        self._unsorted = Place()
        self.ids, self.starts, self._order = _by_bucket(kept)
        self.ts = self._sorted([chunk.ts for chunk in kept])
        self._arrange(schema)

    def _arrange(self, schema: Schema) -> None:
        """Bring rows of each bucket into order, and leave out those that others replace."""
        row_ids = np.repeat(self.ids, np.diff(self.starts))
        identity = [self._sorted(parts) for parts in identity_columns(schema, self._parts)]
        stays = arrange(schema, row_ids, self.ts, identity)
        if stays is not None:
            self.ids, self.starts = split_ids(row_ids[stays])
            self.ts = self.ts[stays]
            self._order = stays if self._order is None else self._order[stays]

    @property
    def arrays(self) -> Iterator[NDArray[Any]]:
        """The columns in the order of the schema; each is good until the next one is asked for."""
        place = Place()
        for parts in self._parts:
            yield self._sorted(parts, place.array(parts[0].dtype, len(self.ts)))

    def chunk(self) -> Chunk:
        """The chunk that stands for all of them."""
        places = together([parts[0].dtype for parts in self._parts], len(self.ts))
        arrays = [self._sorted(*column) for column in zip(self._parts, places, strict=True)]
        rows = (self.ids, self.starts, self.ts, arrays)
        return Chunk(*rows, self.deletes, self.first_sequence, self.last_sequence)

    def _sorted(
        self, parts: Sequence[NDArray[Any]], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        if self._order is None:
            return parts[0] if len(parts) == 1 else np.concatenate(parts, out=out)
        unsorted = self._unsorted.array(parts[0].dtype, sum(map(len, parts)))
        np.concatenate(parts, out=unsorted)
        return unsorted.take(self._order, out=out, mode="clip")  # others would copy it once more


def _by_bucket(
    chunks: Sequence[Chunk],
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.intp] | None]:
    """Bucket ids and starts of all rows, and the order that brings them there, oldest first.

    The order is None when the rows are in it as they stand.
    """
    run_ids = np.concatenate([chunk.ids for chunk in chunks])
    lengths = np.concatenate([chunk.starts[1:] - chunk.starts[:-1] for chunk in chunks])
    if (run_ids[1:] >= run_ids[:-1]).all():
        return *_joined(run_ids, lengths), None
    if sum(len(chunk.ts) for chunk in chunks) < _LONG_RUN_ROWS * len(run_ids):
        row_ids = np.repeat(run_ids, lengths)
        order = stable_order(row_ids)
        return *split_ids(row_ids[order]), order
    # There are fewer runs than rows to sort. A run that moves takes each of its rows as far as its
    # first one.
    runs = stable_order(run_ids)
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
    """The ranges of both, those of a bucket joined where they overlap or touch.

    Who replaces the same range again and again would else have all older rows looked at for each.
    """
    both = dict(deletes)
    for bucket_id, ranges in more.items():
        known = both.get(bucket_id)
        both[bucket_id] = ranges if known is None else _union((*known, *ranges))
    return both


def _union(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The fewest ranges that hold the same instants, ascending; both ends are included."""
    (first, last), *others = sorted(ranges)
    joined = []
    for next_first, next_last in others:
        if next_first > last + 1:
            joined.append((first, last))
            first, last = next_first, next_last
        else:
            last = max(last, next_last)
    return (*joined, (first, last))


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
