"""Rows of a file in place of what is stored of its day, while they come.

A ticker's rows come in order of time and may be too many for one commit. So each commit replaces
the part of the day that it has the rows of, up to the last one, and the ticker's last commit the
rest of the day: whoever is killed in between has the new rows of the first part and the old ones
of the second, and none are lost. What comes in a second run of the ticker is added.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Replace, Write
from tsstore.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tsstore.api import Operation
    from tsstore_massive.flatfiles.catalogue import FlatSet

_MS = 1_000_000


class DayReplacement:
    """One file that takes the place of its day.

    Args:
        flat: the data set.
        window: first and last instant of the day.
    """

    def __init__(self, flat: FlatSet, window: tuple[int, int]) -> None:
        self._flat = flat
        self._first, self._last = window
        self._begun: set[str] = set()
        # The ticker whose rows go on, and where the rest of its day begins.
        self._open: tuple[str, int] | None = None

    def operations(self, symbol: str, rows: Columns, *, goes_on: bool) -> Iterator[Operation]:
        """What stores rows of a symbol, ascending.

        Args:
            symbol: whose.
            rows: of this commit.
            goes_on: whether the next commit may have more of the same run.
        """
        key, schema = f"{symbol}/{self._flat.group}", self._flat.schema
        start = self._rest_of(symbol)
        if start is None:
            yield Write(key, rows, schema)
            return
        end = min(self._boundary(int(rows.ts[-1])), self._last) if goes_on else self._last
        self._open = (symbol, end + 1) if goes_on else None
        # What the file has of the days around takes the place of nothing.
        inside = (rows.ts >= start) & (rows.ts <= end)
        if start <= end:
            yield self._replace(key, start, end, rows.take(inside))
        if not inside.all():
            yield Write(key, rows.take(~inside), schema)

    def ended(self, symbols: Collection[str]) -> Iterator[Operation]:
        """What takes away the rest of a day whose ticker is not among those that go on."""
        if self._open is None or self._open[0] in symbols:
            return
        (symbol, start), self._open = self._open, None
        if start <= self._last:
            key = f"{symbol}/{self._flat.group}"
            yield self._replace(key, start, self._last, Columns.empty(self._flat.schema))

    def taken_away(self, symbol: str) -> Replace:
        """What takes away the day of a ticker that the file does not have."""
        empty = Columns.empty(self._flat.schema)
        return self._replace(f"{symbol}/{self._flat.group}", self._first, self._last, empty)

    def _rest_of(self, symbol: str) -> int | None:
        """From where on the day of a symbol is still the old one; None in a second run."""
        if self._open is not None and self._open[0] == symbol:
            return self._open[1]
        if symbol in self._begun:
            return None
        self._begun.add(symbol)
        return self._first

    def _replace(self, key: str, start: int, end: int, rows: Columns) -> Replace:
        first, last = np.datetime64(start, "ns"), np.datetime64(end, "ns")
        return Replace(key, first, last, rows, self._flat.schema)

    def _boundary(self, last: int) -> int:
        """The end of the slot of a bar, or of the millisecond of a tick.

        A streamed copy of a tick stands at the start of the tick's millisecond.
        """
        is_bar = not (self._flat.schema.is_variable or self._flat.timeframe.is_calendar)
        step = self._flat.timeframe.duration_ns if is_bar else _MS
        return last - last % step + step - 1
