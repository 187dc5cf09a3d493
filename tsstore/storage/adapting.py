"""Rows that were written under an older schema of their bucket, shown under the newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore.storage.reading import Source


class Adapted:
    """A source whose columns are those of another schema; see `reading.Source`."""

    def __init__(self, source: Source, old: Schema, new: Schema) -> None:
        self.first = source.first
        self.end = source.end
        self.first_ts = source.first_ts
        self.last_ts = source.last_ts
        self.first_sequence = source.first_sequence
        self.last_sequence = source.last_sequence
        self.masks = source.masks
        self.deletes = source.deletes
        self._source = source
        self._old = old
        self._new = new

    def search(self, instant: int, side: Literal["left", "right"]) -> int:
        """The row where an instant belongs."""
        return self._source.search(instant, side)

    def reach(self, start: int, end: int) -> tuple[int, int]:
        """First and end row of a part that holds all rows between two instants."""
        return self._source.reach(start, end)

    def rows(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        """Rows of columns of the new schema; column 0 is the time."""
        places = [self._place(column) for column in columns]
        there = list(dict.fromkeys(place for place in places if place is not None))
        found = dict(zip(there, self._source.rows(there, first, end), strict=True))
        return [
            self._adapted(column, end - first, None if place is None else found[place])
            for column, place in zip(columns, places, strict=True)
        ]

    def _place(self, column: int) -> int | None:
        if column == 0:
            return 0
        name = self._new.names[column - 1]
        return self._old.names.index(name) + 1 if name in self._old.dtypes else None

    def _adapted(self, column: int, rows: int, values: NDArray[Any] | None) -> NDArray[Any]:
        if column == 0 and values is not None:
            return values
        dtype = self._new.columns[column - 1][1]
        return missing(dtype, rows) if values is None else values.astype(dtype, copy=False)


def adapt(arrays: list[NDArray[Any]], rows: int, old: Schema, new: Schema) -> list[NDArray[Any]]:
    """The columns of `new`, from all columns of `old`."""
    by_name = dict(zip(old.names, arrays, strict=True))
    return [
        by_name[name].astype(dtype, copy=False) if name in by_name else missing(dtype, rows)
        for name, dtype in new.columns
    ]


def missing(dtype: np.dtype[Any], rows: int) -> NDArray[Any]:
    """What rows have in a column that was added after them: NaN, 0, no text."""
    return np.full(rows, np.nan, dtype) if dtype.kind == "f" else np.zeros(rows, dtype)
