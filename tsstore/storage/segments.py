"""The live segments, and the runs of a bucket in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tsstore.errors import TsStoreError
from tsstore.format.manifest import SHARED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.storage.segment import SegmentCache, SegmentReader

Ranges = tuple[tuple[int, int], ...]


class Run:
    """The rows of one bucket in one segment.

    Attributes:
        first: its first row in the segment.
        end: the row after its last one.
        first_ts: instant of the first row.
        last_ts: instant of the last row.
        first_sequence: of the oldest commit in the segment.
        last_sequence: of the newest one.
        deletes: ranges deleted from everything older.
    """

    __slots__ = (
        "_cache",
        "_place",
        "deletes",
        "end",
        "first",
        "first_sequence",
        "first_ts",
        "last_sequence",
        "last_ts",
    )

    def __init__(
        self,
        cache: SegmentCache,
        place: tuple[int, str, int, int],
        rows: tuple[int, int, int, int],
        sequences: tuple[int, int],
        deletes: Ranges = (),
    ) -> None:
        self._cache = cache
        self._place = place
        self.first, self.end, self.first_ts, self.last_ts = rows
        self.first_sequence, self.last_sequence = sequences
        self.deletes = deletes

    @property
    def reader(self) -> SegmentReader:
        """The open segment."""
        return self._cache.reader(*self._place)

    def search(self, instant: int, side: Literal["left", "right"]) -> int:
        """The row where an instant belongs."""
        return self.reader.search(self.first, self.end, instant, side)

    def rows(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        """Rows of the segment; column 0 is the time."""
        reader = self.reader
        return [reader.column(column, first, end) for column in columns]


class SegmentSet:
    """An immutable set of live segments.

    Attributes:
        table: rows of SEGMENT_DTYPE, sorted by bucket, first_sequence, number.
        names: file names, one per row of `table`.
    """

    def __init__(self, table: NDArray[np.void], names: list[str], cache: SegmentCache) -> None:
        self.table = table
        self.names = names
        self._cache = cache
        self._buckets = np.ascontiguousarray(table["bucket"])
        self._shared_end = int(self._buckets.searchsorted(SHARED, "right"))
        self._runs: dict[int, list[Run]] = {}

    def runs(self, bucket_id: int, schema_id: int) -> list[Run]:
        """The runs of a bucket, oldest first. Those without rows only delete."""
        runs = self._runs.get(bucket_id)
        if runs is None:
            runs = sorted(
                [*self._own_runs(bucket_id), *self._shared_runs(bucket_id, schema_id)],
                key=lambda run: (run.first_sequence, run.first_ts),
            )
            self._runs[bucket_id] = runs
        return runs

    def _own_runs(self, bucket_id: int) -> Iterable[Run]:
        first = int(self._buckets.searchsorted(bucket_id))
        end = int(self._buckets.searchsorted(bucket_id, "right"))
        for row in range(first, end):
            entry = self.table[row]
            rows = (0, int(entry["rows"]), int(entry["first_ts"]), int(entry["last_ts"]))
            yield Run(self._cache, self._place(row), rows, _sequences(entry))

    def _shared_runs(self, bucket_id: int, schema_id: int) -> Iterable[Run]:
        of_schema = self.table["schema"][: self._shared_end] == schema_id
        for row in np.flatnonzero(of_schema).tolist():
            entry = self.table[row]
            reader = self._cache.reader(*self._place(row))
            found = reader.run(bucket_id)
            deletes = tuple(
                (first, last) for owner, first, last in reader.footer.deletes if owner == bucket_id
            )
            if found is not None or deletes:
                rows = found or (0, 0, 0, -1)
                yield Run(self._cache, self._place(row), rows, _sequences(entry), deletes)

    def _place(self, row: int) -> tuple[int, str, int, int]:
        entry = self.table[row]
        return int(entry["number"]), self.names[row], int(entry["bytes"]), int(entry["checksum"])

    def try_readers(self) -> Iterator[tuple[str, SegmentReader | TsStoreError]]:
        """The name of every segment, and it opened, or the reason why it cannot be."""
        for row, name in enumerate(self.names):
            try:
                yield name, self._cache.reader(*self._place(row))
            except TsStoreError as error:
                yield name, error

    def with_added(self, table: NDArray[np.void], names: list[str]) -> SegmentSet:
        """A set with these segments as well."""
        if not names:
            return self
        both = np.concatenate([self.table, table])
        all_names = [*self.names, *names]
        order = np.argsort(both, order=("bucket", "first_sequence", "number"), kind="stable")
        return SegmentSet(both[order], [all_names[row] for row in order], self._cache)

    def without(self, bucket_ids: set[int]) -> tuple[SegmentSet, list[str]]:
        """A set without the segments of these buckets, and the names of their files."""
        gone = np.isin(self._buckets, np.array(sorted(bucket_ids), np.int64))
        if not gone.any():
            return self, []
        stays = np.flatnonzero(~gone)
        dropped = [self.names[row] for row in np.flatnonzero(gone)]
        for number in self.table["number"][gone].tolist():
            self._cache.forget(number)
        names = [self.names[row] for row in stays]
        return SegmentSet(self.table[stays], names, self._cache), dropped


def _sequences(entry: np.void) -> tuple[int, int]:
    return int(entry["first_sequence"]), int(entry["last_sequence"])
