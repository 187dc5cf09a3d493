"""UTC offsets of time zones as arrays, so that local midnights are found without a Python loop."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.shown import shown

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from numpy.typing import NDArray

NS_PER_SECOND = 1_000_000_000
NS_PER_DAY = 86_400 * NS_PER_SECOND


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        InvalidArgumentError: there is no such zone.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # most stores are in UTC and need none

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise InvalidArgumentError(
            f"unknown time zone {shown(name)}; use an IANA name such as America/New_York or UTC"
        ) from None


def utc_offsets(ts: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """Offset of local time from UTC at each instant.

    Args:
        ts: int64 nanoseconds since 1970 UTC, any order.
        name: IANA zone name.

    Returns:
        int64 nanoseconds to add to UTC to get local time, same shape as `ts`.
    """
    if name == "UTC" or len(ts) == 0:
        return np.zeros(len(ts), np.int64)
    years = np.asarray(ts, "M8[ns]").astype("M8[Y]").astype(np.int64) + 1970
    tables = [
        _year_transitions(name, year) for year in range(int(years.min()), int(years.max()) + 1)
    ]
    starts = np.concatenate([table[0] for table in tables])
    offsets = np.concatenate([table[1] for table in tables])
    return offsets[np.searchsorted(starts, ts, side="right") - 1]


def local_to_utc(local: NDArray[np.int64], name: str) -> NDArray[np.int64]:
    """UTC instants of local wall times; the earlier one where a wall time occurs twice.

    A wall time that a spring change skips becomes the instant of the change itself or later, so a
    day whose midnight does not exist starts when the clocks jump.
    """
    if name == "UTC" or len(local) == 0:
        return local
    # The offset is the one of the day before or of the day after; which, its own instant tells.
    before = local - utc_offsets(local - NS_PER_DAY, name)
    after = local - utc_offsets(local + NS_PER_DAY, name)
    before_fits = before + utc_offsets(before, name) == local
    after_fits = after + utc_offsets(after, name) == local
    skipped = np.maximum(before, after)
    return np.where(before_fits, before, np.where(after_fits, after, skipped))


@lru_cache(maxsize=64)
def midnight_step(name: str) -> int:
    """The longest duration whose multiples, counted from 1970 UTC, meet every local midnight.

    A day for UTC, an hour for New York, half an hour for Kolkata. Offsets since 1970 count, weekly:
    clocks stay changed longer than that.

    Returns:
        Nanoseconds.
    """
    info = zone(name)
    weeks = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(weeks=n) for n in range(68 * 52))
    return math.gcd(86_400, *{_offset_s(info, week) for week in weeks}) * NS_PER_SECOND


@lru_cache(maxsize=4096)
def _year_transitions(name: str, year: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Instants of one UTC year at which the offset changes, and the offset from each on."""
    if not 1 <= year < 9999:
        return np.array([np.datetime64(f"{year:05d}", "ns")]).astype(np.int64), np.zeros(
            1, np.int64
        )
    info = zone(name)
    day = datetime(year, 1, 1, tzinfo=UTC)
    last = datetime(year + 1, 1, 1, tzinfo=UTC)
    offset = _offset_s(info, day)
    starts, offsets = [int(day.timestamp())], [offset]
    while day < last:
        next_day = day + timedelta(days=1)
        if _offset_s(info, next_day) != offset:
            low, high = int(day.timestamp()), int(next_day.timestamp())
            while high - low > 1:
                middle = (low + high) // 2
                same = _offset_s(info, datetime.fromtimestamp(middle, UTC)) == offset
                low, high = (middle, high) if same else (low, middle)
            offset = _offset_s(info, next_day)
            starts.append(high)
            offsets.append(offset)
        day = next_day
    return np.array(starts, np.int64) * NS_PER_SECOND, np.array(offsets, np.int64) * NS_PER_SECOND


def _offset_s(info: ZoneInfo, instant: datetime) -> int:
    offset = instant.astimezone(info).utcoffset()
    return 0 if offset is None else round(offset.total_seconds())
