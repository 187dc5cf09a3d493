"""Market days of US stocks and the hours of each, in nanoseconds since 1970 UTC.

The simulator keeps its own small calendar: it plays the vendor, and must not share code with the
client that is tested against it. The days come from exchange_calendars, which is asked once per
version of it, since that takes most of a second; what it said is kept in the user's cache.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.cachefile import cached
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, utc_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEW_YORK = "America/New_York"
#: The vendor's history of stocks begins here.
FIRST_DAY = date(2003, 9, 10)
LAST_YEAR = 2049
MINUTE_NS = 60 * NS_PER_SECOND
HOUR_NS = 60 * MINUTE_NS

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Session:
    """The hours of one market day.

    Attributes:
        day: the day in New York.
        first_ns: 04:00 New York, when extended trading begins.
        open_ns: 09:30 New York.
        close_ns: 16:00 New York, 13:00 on half days.
        last_ns: 20:00 New York, 17:00 on half days, when extended trading ends.
    """

    day: date
    first_ns: int
    open_ns: int
    close_ns: int
    last_ns: int

    @property
    def is_half_day(self) -> bool:
        """Whether regular trading ends at 13:00."""
        return self.close_ns - self.open_ns < 6 * HOUR_NS


def day_start_ns(day: date) -> int:
    """The instant a day begins in New York."""
    return wall_ns(day, 0)


def day_end_ns(day: date) -> int:
    """The last nanosecond of a day in New York."""
    return day_start_ns(day + timedelta(days=1)) - 1


def wall_ns(day: date, since_midnight_ns: int) -> int:
    """The instant at which clocks in New York show a time of a day."""
    local = (day - _EPOCH).days * NS_PER_DAY + since_midnight_ns
    return int(local_to_utc(np.array([local], np.int64), NEW_YORK)[0])


def day_of(ns: int) -> date:
    """The day in New York that holds an instant."""
    return _EPOCH + timedelta(days=local_ns(ns) // NS_PER_DAY)


def local_ns(ns: int) -> int:
    """What clocks in New York show, as nanoseconds since 1970 of their own."""
    return ns + int(utc_offsets(np.array([ns], np.int64), NEW_YORK)[0])


@lru_cache(maxsize=65536)
def session(day: date) -> Session | None:
    """The hours of a market day, or None when the market is closed."""
    half_day = _half_days().get(day)
    return None if half_day is None else _hours(day, half_day=half_day)


def hours(day: date) -> Session:
    """The hours of a day that traded, those of a full day when the calendar does not know it."""
    return session(day) or _hours(day, half_day=False)


def market_days(first: date, last: date) -> list[date]:
    """Market days from `first` to `last`, both included, ascending."""
    if last < first:
        return []
    days = _all_days()
    return days[bisect_left(days, first) : bisect_right(days, last)]


def latest_market_day(day: date) -> date:
    """The last market day up to a day."""
    return market_days(day - timedelta(days=14), day)[-1]


def _hours(day: date, *, half_day: bool) -> Session:
    close, last = (13, 17) if half_day else (16, 20)
    walls = (day - _EPOCH).days * NS_PER_DAY + np.array([4, 9.5, close, last]) * HOUR_NS
    first_ns, open_ns, close_ns, last_ns = local_to_utc(walls.astype(np.int64), NEW_YORK).tolist()
    return Session(day, first_ns, open_ns, close_ns, last_ns)


@lru_cache(maxsize=1)
def _all_days() -> list[date]:
    return list(_half_days())


@lru_cache(maxsize=1)
def _half_days() -> dict[date, bool]:
    """Every market day since the vendor's first, and whether it is a half day."""
    from importlib import metadata

    try:
        source = f"{metadata.version('exchange_calendars')} {FIRST_DAY} {LAST_YEAR}"
        days, is_half = cached("simulated-days", source, _ask_library).reshape(2, -1)
    except ImportError:
        raise ModuleNotFoundError(
            "market days need the package exchange_calendars; run: pip install 'tsstore[massive]'"
        ) from None
    return dict(zip(days.astype("M8[D]").tolist(), is_half.astype(bool).tolist(), strict=True))


def _ask_library() -> NDArray[np.int64]:
    """Market days, counted from 1970, and then a 1 for each that is a half day."""
    import exchange_calendars

    calendar = exchange_calendars.get_calendar(
        "XNYS", start=str(FIRST_DAY), end=f"{LAST_YEAR}-12-31"
    )
    days = calendar.sessions.to_numpy().astype("M8[D]").astype(np.int64)
    lengths_ns = (calendar.closes - calendar.opens).to_numpy("m8[ns]").astype(np.int64)
    return np.concatenate([days, lengths_ns < 6 * HOUR_NS])
