"""Reading one bucket: runs of segments and of chunks, brought together in order.

The ordinary case is cheap on purpose: runs that do not overlap in time are put one after the other,
and a single run is handed out as it lies in memory. Only runs that overlap are merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from tsstore.storage.chunk import Chunk, deleted
from tsstore.storage.rows import MILLISECOND_NS, arrange
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore.storage.segments import Ranges

    Rows = tuple[NDArray[np.int64], list[NDArray[Any]]]


# Rows that are given out keep at most so many times their own memory, or so many bytes.
_KEPT_PART = 16
_KEPT_BYTES = 4096


class Source(Protocol):
    """The rows of one bucket in one place; see `segments.Run` for the attributes."""

    first: int
    end: int
    first_ts: int
    last_ts: int
    first_sequence: int
    last_sequence: int
    masks: Ranges
    deletes: Ranges

    def search(self, instant: int, side: Literal["left", "right"]) -> int:
        """The row where an instant belongs."""
        ...

    def reach(self, start: int, end: int) -> tuple[int, int]:
        """First and end row of a part that holds all rows between two instants; reads none."""
        ...

    def rows(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        """Rows of these columns; column 0 is the time."""
        ...


class ChunkRun:
    """The rows of one bucket in one chunk."""

    __slots__ = (
        "_chunk",
        "deletes",
        "end",
        "first",
        "first_sequence",
        "first_ts",
        "last_sequence",
        "last_ts",
        "masks",
    )

    def __init__(self, chunk: Chunk, first: int, end: int, deletes: Ranges) -> None:
        self._chunk = chunk
        self.first = first
        self.end = end
        self.first_ts = int(chunk.ts[first]) if first < end else 0
        self.last_ts = int(chunk.ts[end - 1]) if first < end else -1
        self.first_sequence = chunk.first_sequence
        self.last_sequence = chunk.last_sequence
        self.masks: Ranges = ()
        self.deletes = deletes

    def search(self, instant: int, side: Literal["left", "right"]) -> int:
        """The row where an instant belongs."""
        rows = self._chunk.ts[self.first : self.end]
        return self.first + int(rows.searchsorted(instant, side))

    def reach(self, start: int, end: int) -> tuple[int, int]:
        """First and end row of a part that holds all rows between two instants."""
        return self.search(start, "left"), self.search(end, "right")

    def rows(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        """Rows of these columns; column 0 is the time."""
        chunk = self._chunk
        return [(chunk.arrays[c - 1] if c else chunk.ts)[first:end] for c in columns]


def chunk_runs(chunks: Sequence[Chunk], bucket_id: int) -> list[ChunkRun]:
    """The runs of a bucket in chunks, oldest first; those without rows only delete."""
    runs = []
    for chunk in chunks:
        first, end = chunk.run(bucket_id)
        deletes = chunk.deletes.get(bucket_id, ()) if chunk.deletes else ()
        if first < end or deletes:
            runs.append(ChunkRun(chunk, first, end, deletes))
    return runs


class Reading:
    """One read of one bucket.

    Args:
        schema: of the bucket.
        start: first instant, included.
        end: last instant, included.
        limit: at most so many rows; 0 for all.
        from_start: whether the limit keeps the first rows and not the last ones.
        columns: positions in the schema of the columns that are wanted.
    """

    def __init__(
        self,
        schema: Schema,
        start: int,
        end: int,
        limit: int,
        *,
        from_start: bool,
        columns: Sequence[int],
    ) -> None:
        self._schema = schema
        self._start = start
        self._end = end
        self._limit = limit
        self._from_start = from_start
        self._columns = columns
        # Which of two equal events wins is decided per millisecond, so whole ones are looked at.
        self._unit = MILLISECOND_NS if schema.identity else 1
        identity = (schema.names.index(name) for name in schema.identity)
        # Wanted columns, then those that decide which of two rows wins.
        self._deciding = (*columns, *identity)

    def rows(self, sources: Sequence[Source]) -> Rows:
        """Times and wanted columns, from sources given oldest first."""
        ts, arrays = self._rows(sources)
        return _released(ts), [_released(array) for array in arrays]

    def _rows(self, sources: Sequence[Source]) -> Rows:
        start, end = self._whole_units(self._start, self._end)
        useful = [
            s for s in sources if s.first < s.end and s.last_ts >= start and s.first_ts <= end
        ]
        deletes = [(s.first_sequence, s.deletes) for s in sources if s.deletes]
        if not useful:
            return self._nothing()
        if len(useful) == 1 and not deletes and not useful[0].masks:
            return self._of_one(useful[0])
        wanted = self._limit
        while wanted:
            window = self._window(useful, wanted, start, end)
            if window == (start, end):
                break
            rows = self._cut(self._merged(useful, deletes, *window))
            if len(rows[0]) == self._limit:
                return rows
            # Rows were replaced or deleted by others: look further.
            wanted *= 8
        return self._cut(self._merged(useful, deletes, start, end))

    def _whole_units(self, start: int, end: int) -> tuple[int, int]:
        low = max(start - start % self._unit, MIN_NS)
        return low, min(end - end % self._unit + self._unit - 1, MAX_NS)

    def _of_one(self, source: Source) -> Rows:
        """A single source has no row twice: cut it by position, without copying."""
        if not self._limit:
            return _between(source, self._start, self._end, self._columns)
        first = _search(source, self._start, "left")
        end = _search(source, self._end, "right")
        if self._from_start:
            end = min(end, first + self._limit)
        else:
            first = max(first, end - self._limit)
        return _fetch(source, first, end, self._columns) if first < end else self._nothing()

    def _window(self, sources: list[Source], wanted: int, start: int, end: int) -> tuple[int, int]:
        """A part of the range, at the limit's end, in which so many rows lie.

        Sources are looked at from that end on, so those that are far from it are never opened.
        """
        from_start = self._from_start
        order = sorted(sources, key=lambda s: s.first_ts if from_start else -s.last_ts)
        bound = end if from_start else start
        reach = start if from_start else end
        rows = 0
        for source in order:
            if (source.first_ts > bound) if from_start else (source.last_ts < bound):
                break
            first = _search(source, self._start, "left")
            last = _search(source, self._end, "right") - 1
            count = last - first + 1
            if count >= wanted:
                row = first + wanted - 1 if from_start else last - wanted + 1
                instant = int(source.rows((0,), row, row + 1)[0][0])
                bound = min(bound, instant) if from_start else max(bound, instant)
            rows += count
            edge = source.last_ts if from_start else source.first_ts
            reach = max(reach, min(edge, end)) if from_start else min(reach, max(edge, start))
            if rows >= wanted:
                bound = min(bound, reach) if from_start else max(bound, reach)
        low, high = (start, bound) if from_start else (bound, end)
        return max(low - low % self._unit, start), min(
            high - high % self._unit + self._unit - 1, end
        )

    def _merged(
        self, sources: list[Source], deletes: list[tuple[int, Ranges]], start: int, end: int
    ) -> Rows:
        """All rows between two instants, in order, no row twice, nothing deleted."""
        parts = []
        for source in sources:
            if source.last_ts >= start and source.first_ts <= end:
                rows = _between(source, start, end, self._deciding)
                parts.append(_without_deleted(source, rows, deletes))
        parts = [rows for rows in parts if len(rows[0])]
        return self._bring_together(parts) if parts else self._nothing()

    def _bring_together(self, parts: list[Rows]) -> Rows:
        """All rows in order, from parts given oldest first."""
        merged = [self._merge(cluster) for cluster in self._clusters(parts)]
        wanted = len(self._columns)
        if len(merged) == 1:
            ts, arrays = merged[0]
            return ts, arrays[:wanted]
        ts = np.concatenate([rows[0] for rows in merged])
        arrays = [np.concatenate([rows[1][i] for rows in merged]) for i in range(wanted)]
        return ts, arrays

    def _clusters(self, parts: list[Rows]) -> list[list[Rows]]:
        """Parts that overlap in time, together; clusters ascend in time."""
        spans = [(int(ts[0]) // self._unit, int(ts[-1]) // self._unit) for ts, _ in parts]
        clusters: list[list[int]] = []
        reach = 0
        for place in sorted(range(len(parts)), key=lambda place: spans[place]):
            first, last = spans[place]
            if clusters and first <= reach:
                clusters[-1].append(place)
                reach = max(reach, last)
            else:
                clusters.append([place])
                reach = last
        return [[parts[place] for place in sorted(cluster)] for cluster in clusters]

    def _merge(self, cluster: list[Rows]) -> Rows:
        if len(cluster) == 1:
            return cluster[0]
        ts = np.concatenate([rows[0] for rows in cluster])
        columns = zip(*(rows[1] for rows in cluster), strict=True)
        arrays = [np.concatenate(column) for column in columns]
        order = arrange(self._schema, None, ts, arrays[len(self._columns) :])
        if order is None:
            return ts, arrays
        return ts[order], [array[order] for array in arrays]

    def _cut(self, rows: Rows) -> Rows:
        """Rows of the exact range, no more than the limit."""
        ts, arrays = rows
        first, end = 0, len(ts)
        if self._unit > 1 and end:
            first = int(ts.searchsorted(self._start, "left"))
            end = int(ts.searchsorted(self._end, "right"))
        if self._limit and end - first > self._limit:
            if self._from_start:
                end = first + self._limit
            else:
                first = end - self._limit
        if end - first == len(ts):
            return ts, arrays
        return ts[first:end], [array[first:end] for array in arrays]

    def _nothing(self) -> Rows:
        dtypes = [self._schema.columns[column][1] for column in self._columns]
        return np.empty(0, np.int64), [np.empty(0, dtype) for dtype in dtypes]


def _search(source: Source, instant: int, side: Literal["left", "right"]) -> int:
    """The row where an instant belongs, without looking at rows where the ends tell."""
    if instant < source.first_ts or (side == "left" and instant == source.first_ts):
        return source.first
    if instant > source.last_ts or (side == "right" and instant == source.last_ts):
        return source.end
    return source.search(instant, side)


def _between(source: Source, start: int, end: int, columns: Sequence[int]) -> Rows:
    """The rows between two instants, both included: the times and columns."""
    if start <= source.first_ts and source.last_ts <= end:
        return _fetch(source, source.first, source.end, columns)
    first, stop = source.reach(start, end)
    ts, arrays = _fetch(source, first, stop, columns)
    low, high = int(ts.searchsorted(start, "left")), int(ts.searchsorted(end, "right"))
    return ts[low:high], [array[low:high] for array in arrays]


def _fetch(source: Source, first: int, end: int, columns: Sequence[int]) -> Rows:
    ts, *arrays = source.rows((0, *(column + 1 for column in columns)), first, end)
    return ts, arrays


def _released(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or its copy if it is a small part of what it would keep in memory."""
    whole = getattr(array.base, "nbytes", 0)
    if whole <= max(_KEPT_PART * array.nbytes, _KEPT_BYTES):
        return array
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def _without_deleted(source: Source, rows: Rows, deletes: list[tuple[int, Ranges]]) -> Rows:
    newer = [r for sequence, r in deletes if sequence > source.last_sequence]
    ranges = [*source.masks, *(one for several in newer for one in several)]
    if not ranges:
        return rows
    gone = deleted(rows[0], ranges)
    if not gone.any():
        return rows
    return rows[0][~gone], [array[~gone] for array in rows[1]]
