"""The live segments, and the runs of a bucket in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tsstore.errors import TsStoreError
from tsstore.format.manifest import DELETE_DTYPE, SEGMENT_DTYPE, SHARED
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.storage.segment import SegmentCache, SegmentReader

Ranges = tuple[tuple[int, int], ...]


class Run:
    """The rows of one bucket in one segment.

    Attributes:
        number: of the segment.
        schema_id: which schema its columns have.
        is_whole: whether the segment holds nothing else.
        first: its first row in the segment.
        end: the row after its last one.
        first_ts: instant of the first row.
        last_ts: instant of the last row.
        first_sequence: of the oldest commit in the segment.
        last_sequence: of the newest one.
        masks: ranges deleted from this run.
        deletes: ranges deleted from everything older; only segments of format 1 have any.
    """

    __slots__ = (
        "_cache",
        "_place",
        "deletes",
        "end",
        "first",
        "first_sequence",
        "first_ts",
        "is_whole",
        "last_sequence",
        "last_ts",
        "masks",
        "number",
        "schema_id",
    )

    def __init__(
        self,
        cache: SegmentCache,
        place: tuple[int, str, int, int],
        schema_id: int,
        rows: tuple[int, int, int, int],
        sequences: tuple[int, int],
        masks: Ranges,
        deletes: Ranges = (),
        *,
        is_whole: bool = False,
    ) -> None:
        self._cache = cache
        self._place = place
        self.number = place[0]
        self.schema_id = schema_id
        self.is_whole = is_whole
        self.first, self.end, self.first_ts, self.last_ts = rows
        self.first_sequence, self.last_sequence = sequences
        self.masks = masks
        self.deletes = deletes

    @property
    def reader(self) -> SegmentReader:
        """The open segment."""
        return self._cache.reader(*self._place)

    def search(self, instant: int, side: Literal["left", "right"]) -> int:
        """The row where an instant belongs."""
        return self.reader.search(self.first, self.end, instant, side)

    def reach(self, start: int, end: int) -> tuple[int, int]:
        """First and end row of a part that holds all rows between two instants."""
        return self.reader.reach(self.first, self.end, start, end)

    def rows(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        """Rows of the segment; column 0 is the time."""
        return self.reader.columns(columns, first, end)


@dataclass(frozen=True, eq=False)
class SegmentChange:
    """What a flush or a compaction does to the live segments.

    Attributes:
        table: rows of SEGMENT_DTYPE of new segments.
        names: their file names.
        removed: numbers of segments that are no longer needed.
        deletes: rows of DELETE_DTYPE, ranges deleted from segments that stay.
    """

    table: NDArray[np.void] = field(default_factory=lambda: np.empty(0, SEGMENT_DTYPE))
    names: Sequence[str] = ()
    removed: frozenset[int] = frozenset()
    deletes: NDArray[np.void] = field(default_factory=lambda: np.empty(0, DELETE_DTYPE))


class SegmentSet:
    """An immutable set of live segments.

    Attributes:
        table: rows of SEGMENT_DTYPE, sorted by bucket, first_sequence, number.
        names: file names, one per row of `table`.
        deletes: rows of DELETE_DTYPE, sorted by segment.
    """

    def __init__(
        self,
        table: NDArray[np.void],
        names: list[str],
        deletes: NDArray[np.void],
        cache: SegmentCache,
    ) -> None:
        self.table = table
        self.names = names
        self.deletes = deletes
        self._cache = cache
        self._buckets = np.ascontiguousarray(table["bucket"])
        self._shared_end = int(self._buckets.searchsorted(SHARED, "right"))
        self._masks = _by_segment(deletes)
        self._runs: dict[int, tuple[Sequence[int], list[Run]]] = {}

    def runs(self, bucket_id: int, schema_ids: Sequence[int]) -> list[Run]:
        """The runs of a bucket, oldest first. Those without rows only delete."""
        known = self._runs.get(bucket_id)
        runs = known[1] if known is not None and known[0] == schema_ids else None
        if runs is None:
            runs = sorted(
                [*self.own_runs(bucket_id), *self._shared_runs(bucket_id, schema_ids)],
                key=lambda run: (run.first_sequence, run.first_ts),
            )
            self._runs[bucket_id] = (schema_ids, runs)
        return runs

    def own_runs(self, bucket_id: int) -> Iterable[Run]:
        """The runs of a bucket in segments that hold it alone, oldest first."""
        for row in self.own_rows(bucket_id):
            entry = self.table[row]
            rows = (0, int(entry["rows"]), int(entry["first_ts"]), int(entry["last_ts"]))
            masks = self._masks_of(int(entry["number"]), bucket_id)
            yield self._run(row, rows, masks, is_whole=True)

    def _shared_runs(self, bucket_id: int, schema_ids: Sequence[int]) -> Iterable[Run]:
        for row in self.shared_rows(schema_ids):
            run = self._shared_run(row, bucket_id)
            if run is not None:
                yield run

    def _shared_run(self, row: int, bucket_id: int) -> Run | None:
        entry = self.table[row]
        reader = self.reader(row)
        found = reader.run(bucket_id)
        deletes = tuple(
            (first, last) for owner, first, last in reader.footer.deletes if owner == bucket_id
        )
        if found is None and not deletes:
            return None
        rows = found or (0, 0, 0, -1)
        masks = self._masks_of(int(entry["number"]), bucket_id)
        return self._run(row, rows, masks, deletes)

    def _run(
        self,
        row: int,
        rows: tuple[int, int, int, int],
        masks: Ranges = (),
        deletes: Ranges = (),
        *,
        is_whole: bool = False,
    ) -> Run:
        entry = self.table[row]
        sequences = (int(entry["first_sequence"]), int(entry["last_sequence"]))
        place, schema_id = self._place(row), int(entry["schema"])
        return Run(
            self._cache, place, schema_id, rows, sequences, masks, deletes, is_whole=is_whole
        )

    def all_runs(self, bucket_id: int, schema_ids: Sequence[int]) -> Iterator[Run]:
        """Runs of a bucket, and one of all times for each segment that cannot say what it has.

        One damaged segment must not keep others from being written, and what is deleted from it
        stays deleted when it is mended.
        """
        yield from self.own_runs(bucket_id)
        for row in self.shared_rows(schema_ids):
            try:
                run = self._shared_run(row, bucket_id)
            except TsStoreError:
                run = self._run(row, (0, 1, MIN_NS, MAX_NS))
            if run is not None:
                yield run

    def own_rows(self, bucket_id: int) -> range:
        """Rows of `table` of segments that hold this bucket alone."""
        first = int(self._buckets.searchsorted(bucket_id))
        return range(first, int(self._buckets.searchsorted(bucket_id, "right")))

    def shared_rows(self, schema_ids: Sequence[int]) -> list[int]:
        """Rows of `table` of segments that hold several buckets of these schemas."""
        schemas = self.table["schema"][: self._shared_end]
        if len(schema_ids) == 1:
            of_schema = schemas == schema_ids[0]
        else:
            of_schema = np.isin(schemas, np.array(schema_ids))
        rows: list[int] = np.flatnonzero(of_schema).tolist()
        return rows

    def _masks_of(self, number: int, bucket_id: int) -> Ranges:
        masks = self._masks.get(number)
        return () if masks is None else masks.get(bucket_id, ())

    def _place(self, row: int) -> tuple[int, str, int, int]:
        entry = self.table[row]
        return int(entry["number"]), self.names[row], int(entry["bytes"]), int(entry["checksum"])

    def masks(self, number: int) -> dict[int, Ranges]:
        """Ranges deleted from a segment, by bucket."""
        return self._masks.get(number, {})

    def open_reader(self, row: int) -> SegmentReader:
        """The segment of a row of `table`, opened past the cache; the caller closes its file."""
        return self._cache.open(*self._place(row))

    def reader(self, row: int) -> SegmentReader:
        """The open segment of a row of `table`."""
        return self._cache.reader(*self._place(row))

    @cached_property
    def files(self) -> frozenset[str]:
        """Names of all files."""
        return frozenset(self.names)

    def changed(self, change: SegmentChange) -> SegmentSet:
        """The set after a change; what is known of buckets that it leaves alone is kept."""
        table, names = self.table, self.names
        known = np.isin(change.table["number"], table["number"])
        added = change.table[~known]
        gone = np.isin(table["number"], _numbers(change.removed))
        if not (len(added) or gone.any() or len(change.deletes)):
            return self
        both = np.concatenate([table[~gone], added])
        all_names = [name for name, out in zip(names, gone.tolist(), strict=True) if not out]
        all_names += [
            name for name, old in zip(change.names, known.tolist(), strict=True) if not old
        ]
        order = np.lexsort((both["number"], both["first_sequence"], both["bucket"]))
        deletes = self._deletes_after(change, both)
        names = [all_names[row] for row in order.tolist()]
        after = SegmentSet(both[order], names, deletes, self._cache)
        touched = {*added["bucket"].tolist(), *table["bucket"][gone].tolist()}
        touched |= set(change.deletes["bucket"].tolist())
        if SHARED not in touched:
            runs = self._runs.copy()
            for bucket_id in touched:
                runs.pop(bucket_id, None)
            after._runs = runs
        return after

    def _deletes_after(self, change: SegmentChange, table: NDArray[np.void]) -> NDArray[np.void]:
        deletes = np.concatenate([self.deletes, change.deletes])
        deletes = deletes[np.isin(deletes["segment"], table["number"])]
        return deletes[np.argsort(deletes["segment"], kind="stable")]

    def same(self, numbers: set[int], later: SegmentSet) -> bool:
        """Whether these segments are still live, with the same ranges deleted from them."""
        live = later.numbers
        return all(n in live and self.masks(n) == later.masks(n) for n in numbers)

    @cached_property
    def numbers(self) -> frozenset[int]:
        """Numbers of all segments."""
        return frozenset(self.table["number"].tolist())

    def of_buckets(self, bucket_ids: Iterable[int]) -> frozenset[int]:
        """Numbers of the segments that hold one of these buckets alone."""
        ids = np.array(sorted(bucket_ids), np.int64)
        return frozenset(self.table["number"][np.isin(self._buckets, ids)].tolist())


def _by_segment(deletes: NDArray[np.void]) -> dict[int, dict[int, Ranges]]:
    masks: dict[int, dict[int, Ranges]] = {}
    for number, bucket_id, first, last in deletes.tolist():
        of_segment = masks.setdefault(number, {})
        of_segment[bucket_id] = (*of_segment.get(bucket_id, ()), (first, last))
    return masks


def _numbers(numbers: Iterable[int]) -> NDArray[np.uint64]:
    return np.array(sorted(numbers), np.uint64)
