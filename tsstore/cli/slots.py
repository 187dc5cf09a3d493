"""Rows of a file that replace each other, because a fixed bucket keeps one row per slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.api import WriteTable
from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tsstore.api import Write
    from tsstore.tables import Table

#: No slot, as it is before all times.
_NONE = -(2**63)


class Crowd(NamedTuple):
    """Rows of a bucket that meet in slots.

    Attributes:
        key: the bucket.
        replaced: rows that share their slot with a later one.
        slot_ns: the first such slot, int64 nanoseconds since 1970 UTC.
        slot_rows: how many rows fall into it.
    """

    key: str
    replaced: int
    slot_ns: int
    slot_rows: int


class SlotWatch:
    """Looks at the rows of a file as they are written.

    Of the rows that were looked at before, only the first and the last slot of each bucket are
    kept: that is all one needs for files in order of time, forwards or backwards.

    Args:
        timeframe: of the buckets.
        timezone: zone whose midnights bound days.

    Attributes:
        exact: whether all rows that meet were seen; not in a long file without order.
    """

    def __init__(self, timeframe: str, timezone: str) -> None:
        self.exact = True
        self._timeframe = Timeframe.parse(timeframe)
        self._timezone = timezone
        self._numbers: dict[str, int] = {}  # of the buckets, as they come
        self._ends = np.empty((0, 2), np.int64)  # first and last slot, by number

    def look(self, writes: Iterable[Write | WriteTable]) -> list[Crowd]:
        """The crowds among these rows, and between these and the ones before."""
        parts = [self._rows(write) for write in writes]
        numbers = np.concatenate([part[0] for part in parts])
        ts = np.concatenate([part[1] for part in parts])
        slots = self._timeframe.floor(ts, self._timezone)
        steps = np.diff(numbers)
        if ((steps < 0) | ((steps == 0) & (slots[1:] < slots[:-1]))).any():
            order = np.lexsort((slots, numbers))
            numbers, slots = numbers[order], slots[order]
        return self._crowds(numbers, slots)

    def _rows(self, write: Write | WriteTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Number of the bucket, and time, of each row."""
        if isinstance(write, WriteTable):
            table: Table = write.data
            keys = [f"{symbol}/{write.group}" for symbol in table.symbols or ()]
            return np.array([self._number(key) for key in keys])[table.codes], table.ts
        # Nanoseconds beside whole seconds change no slot.
        epoch: NDArray[np.datetime64] = write.data["Epoch"]
        ts = epoch.astype("M8[ns]").view(np.int64)
        return np.full(len(ts), self._number(write.key)), ts

    def _number(self, key: str) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _crowds(self, numbers: NDArray[np.int64], slots: NDArray[np.int64]) -> list[Crowd]:
        """The crowds of rows that are sorted by bucket and slot."""
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        starts, stops = np.append(0, cuts), np.append(cuts, len(numbers))
        buckets = numbers[starts]
        before = self._before(buckets, slots[starts], slots[stops - 1])
        meets = np.append(False, (slots[1:] == slots[:-1]) & (numbers[1:] == numbers[:-1]))
        for end in before.T:
            meets |= slots == np.repeat(end, stops - starts)
        keys = list(self._numbers)
        return [
            _crowd(keys[buckets[run]], before[run], slots[starts[run] : stops[run]])
            for run in np.flatnonzero(np.logical_or.reduceat(meets, starts)).tolist()
        ]

    def _before(
        self, buckets: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """First and last slot of buckets before these rows; `_NONE` of those that had none."""
        new = np.full((len(self._numbers) - len(self._ends), 2), _NONE)
        self._ends = np.concatenate((self._ends, new))
        before = self._ends[buckets]
        known = before[:, 0] != _NONE
        apart = (last <= before[:, 0]) | (first >= before[:, 1])
        self.exact &= bool(apart[known].all())
        self._ends[buckets, 0] = np.where(known, np.minimum(first, before[:, 0]), first)
        self._ends[buckets, 1] = np.maximum(last, before[:, 1])
        return before


def _crowd(key: str, before: NDArray[np.int64], slots: NDArray[np.int64]) -> Crowd:
    """What meets in a bucket; `slots` are ascending."""
    slots = np.sort(np.concatenate((np.unique(before[before != _NONE]), slots)))
    meets = slots[1:] == slots[:-1]
    slot = slots[int(np.argmax(meets))]
    first, end = np.searchsorted(slots, slot), np.searchsorted(slots, slot, side="right")
    return Crowd(key, int(np.count_nonzero(meets)), int(slot), int(end - first))
