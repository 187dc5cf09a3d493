"""Timeframes: how long a slot of a bucket is, and where its slots begin.

Slots up to hours are multiples of the duration counted from 1970 UTC. Days, weeks, months and years
are calendar units of a time zone: a day begins at local midnight, a week on Monday, months are
counted from January of year 0 so that `3M` are quarters, and years from year 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import InvalidKeyError
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, midnight_step, utc_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNIT_NS = {
    "Sec": NS_PER_SECOND,
    "Min": 60 * NS_PER_SECOND,
    "H": 3600 * NS_PER_SECOND,
    "D": NS_PER_DAY,
    "W": 7 * NS_PER_DAY,
    "M": 31 * NS_PER_DAY,
    "Y": 366 * NS_PER_DAY,
}
_ALIASES = {"S": "Sec", "T": "Min"}
#: How others write the units. Not `m`, which may be minutes or months.
_FOREIGN_UNITS = {
    "Sec": ("s", "sec", "secs", "second", "seconds"),
    "Min": ("t", "min", "mins", "minute", "minutes"),
    "H": ("h", "hour", "hours"),
    "D": ("d", "day", "days"),
    "W": ("w", "week", "weeks"),
    "M": ("mo", "month", "months"),
    "Y": ("y", "year", "years"),
}
_COUNT_DIGITS_MAX = 6
# int64 nanoseconds end in 2262; slots near that length would leave them.
_DURATION_NS_MAX = 100 * _UNIT_NS["Y"]
# 1970-01-01 was a Thursday; Mondays lie four days later.
_FIRST_MONDAY_NS = 4 * NS_PER_DAY


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A slot length: `1Sec`, `5Min`, `4H`, `1D`, `1W`, `3M`, `1Y`.

    Attributes:
        count: how many units, at least 1.
        unit: one of Sec, Min, H, D, W, M, Y.
    """

    count: int
    unit: str

    @staticmethod
    @lru_cache(maxsize=1024)
    def parse(text: str) -> Timeframe:
        """Read `5Min`; `S` and `T` are old spellings of `Sec` and `Min`.

        Raises:
            InvalidKeyError: not a timeframe.
        """
        spelling = text.lstrip("0123456789")
        count = text.removesuffix(spelling)
        unit = _ALIASES.get(spelling, spelling)
        is_count = 0 < len(count) <= _COUNT_DIGITS_MAX and not count.startswith("0")
        if not is_count or unit not in _UNIT_NS:
            raise InvalidKeyError(
                f"Unable to get timeframe from key: {text!r} is not a timeframe; write a number "
                "from 1 and one of Sec, Min, H, D, W, M, Y, such as 1Min"
            )
        timeframe = Timeframe(int(count), unit)
        if timeframe.duration_ns > _DURATION_NS_MAX:
            raise InvalidKeyError(f"timeframe {text!r} is longer than 100 years; use a shorter one")
        return timeframe

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"

    @property
    def duration_ns(self) -> int:
        """Length of a slot in nanoseconds; for months and years the longest it can be."""
        return self.count * _UNIT_NS[self.unit]

    @property
    def is_calendar(self) -> bool:
        """Whether slots begin at local midnights, so that a time zone matters."""
        return self.unit in "DWMY"

    def floor(self, ts: NDArray[np.int64], tz: str = "UTC") -> NDArray[np.int64]:
        """The start of the slot that holds each instant.

        Args:
            ts: int64 nanoseconds since 1970 UTC, any order.
            tz: zone whose midnights bound days, weeks, months and years.

        Returns:
            int64 nanoseconds since 1970 UTC, same shape.
        """
        if not self.is_calendar:
            return ts - ts % self.duration_ns
        local = ts + utc_offsets(ts, tz)
        return local_to_utc(self._floor_local(local), tz)

    def next(self, ts: NDArray[np.int64], tz: str = "UTC") -> NDArray[np.int64]:
        """The start of the slot after the one that holds each instant."""
        if not self.is_calendar:
            return ts - ts % self.duration_ns + self.duration_ns
        local = self._floor_local(ts + utc_offsets(ts, tz))
        if self.unit in "DW":
            return local_to_utc(local + self.duration_ns, tz)
        months = self._months(local) + self.count * (12 if self.unit == "Y" else 1)
        return local_to_utc(months.astype("M8[M]").astype("M8[ns]").astype(np.int64), tz)

    def starts(self, first_ns: int, last_ns: int, tz: str = "UTC") -> NDArray[np.int64]:
        """The starts of all slots from the one that holds `first_ns` to that of `last_ns`."""
        if not self.is_calendar:
            return _steps(first_ns - first_ns % self.duration_ns, last_ns, self.duration_ns)
        ends = np.array([first_ns, last_ns], np.int64)
        ends += utc_offsets(ends, tz)
        if self.unit in "DW":
            low, high = self._floor_local(ends)
            return local_to_utc(_steps(low, high, self.duration_ns), tz)
        low, high = self._months(ends)
        months = _steps(low, high, self.count * (12 if self.unit == "Y" else 1))
        return local_to_utc(months.astype("M8[M]").astype("M8[ns]").astype(np.int64), tz)

    def divides(self, other: Timeframe, tz: str = "UTC") -> bool:
        """Whether slots of `other` are made of whole slots of this timeframe.

        Args:
            other: the longer timeframe.
            tz: zone whose midnights bound days, weeks, months and years.
        """
        if self.unit == "W":
            return other.unit == "W" and other.count % self.count == 0
        if self.unit in "MY":
            mine = self.count * (12 if self.unit == "Y" else 1)
            theirs = other.count * (12 if other.unit == "Y" else 1)
            return other.unit in "MY" and theirs % mine == 0
        if self.unit == "D":
            multiple = other.unit in "DW" and other.duration_ns % self.duration_ns == 0
            return multiple or (self.count == 1 and other.unit in "MY")
        if other.is_calendar:
            return midnight_step(tz) % self.duration_ns == 0
        return other.duration_ns % self.duration_ns == 0

    def _floor_local(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.unit == "D":
            return local - local % self.duration_ns
        if self.unit == "W":
            return local - (local - _FIRST_MONDAY_NS) % self.duration_ns
        return self._months(local).astype("M8[M]").astype("M8[ns]").astype(np.int64)

    def _months(self, local: NDArray[np.int64]) -> NDArray[np.int64]:
        """Months since 1970 of the start of each slot, counted from January of year 0."""
        months = local.astype("M8[ns]").astype("M8[M]").astype(np.int64)
        step = self.count * (12 if self.unit == "Y" else 1)
        return months - (months + 1970 * 12) % step


def similar(text: str) -> str | None:
    """The timeframe that others write as `1min` or `1Hour`; None if that is not clear."""
    spelling = text.lstrip("0123456789")
    count = text.removesuffix(spelling)
    units = [unit for unit, names in _FOREIGN_UNITS.items() if spelling.lower() in names]
    return f"{count}{units[0]}" if units and count and not count.startswith("0") else None


def _steps(low: int, high: int, step: int) -> NDArray[np.int64]:
    """From `low` to `high` at the most; np.arange counts in floats, which are too short for ns."""
    return low + step * np.arange((high - low) // step + 1, dtype=np.int64)
