"""Rows of a file that replace each other, because a fixed bucket keeps one row per slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.tables import Table
from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tsstore.api import Write


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
        self._ends: dict[str, NDArray[np.int64]] = {}

    def look(self, writes: Iterable[Write]) -> list[Crowd]:
        """The crowds among these rows, and between these and the ones before."""
        parts: dict[str, list[NDArray[np.int64]]] = {}
        for write in writes:
            parts.setdefault(write.key, []).append(_instants(write))
        crowds = (self._crowd(key, arrays) for key, arrays in parts.items())
        return [crowd for crowd in crowds if crowd is not None]

    def _crowd(self, key: str, arrays: list[NDArray[np.int64]]) -> Crowd | None:
        slots = _sorted(self._timeframe.floor(np.concatenate(arrays), self._timezone))
        before = self._ends.get(key)
        if before is not None:
            self.exact &= bool(slots[-1] <= before[0] or slots[0] >= before[-1])
            slots = _sorted(np.concatenate((before, slots)))
        self._ends[key] = np.unique(slots[[0, -1]])
        meets = slots[1:] == slots[:-1]
        replaced = int(np.count_nonzero(meets))
        if not replaced:
            return None
        slot = slots[int(np.argmax(meets))]
        first, end = np.searchsorted(slots, slot), np.searchsorted(slots, slot, side="right")
        return Crowd(key, replaced, int(slot), int(end - first))


def _instants(write: Write) -> NDArray[np.int64]:
    # Nanoseconds beside whole seconds change no slot.
    if isinstance(write.data, Table):
        return write.data.ts
    epoch: NDArray[np.datetime64] = write.data["Epoch"]
    return epoch.astype("M8[ns]").view(np.int64)


def _sorted(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    return slots if (slots[1:] >= slots[:-1]).all() else np.sort(slots)
