"""Market days of US stocks: which days trade, when they close early, and where a day begins in UTC.

Days are days of New York, as the vendor counts them, summer time included. The calendar comes from
exchange_calendars, which is large, so it is imported at the first question and never again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import ConfigError
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, utc_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEW_YORK = "America/New_York"
#: The vendor's history of stocks begins here.
FIRST_DAY = date(2003, 9, 10)

_EPOCH = date(1970, 1, 1)
_HOUR_NS = 3600 * NS_PER_SECOND
_EXTENDED_OPEN_NS = 4 * _HOUR_NS
_EXTENDED_CLOSE_NS = 20 * _HOUR_NS
#: Regular trading ends at 13:00 on these days, and the late session three hours before its time.
_EARLY_EXTENDED_CLOSE_NS = 17 * _HOUR_NS


@dataclass(frozen=True)
class Session:
    """One market day; all instants are nanoseconds since 1970 UTC.

    Attributes:
        day: the day in New York.
        extended_open_ns: 04:00 New York, when the first trades come.
        open_ns: start of regular trading.
        close_ns: end of regular trading, 13:00 on early closes.
        extended_close_ns: 20:00 New York, 17:00 on early closes.
    """

    day: date
    extended_open_ns: int
    open_ns: int
    close_ns: int
    extended_close_ns: int


def day_start_ns(day: date) -> int:
    """The instant at which a day begins in New York."""
    return int(local_to_utc(np.array([_wall_ns(day)], np.int64), NEW_YORK)[0])


def day_end_ns(day: date) -> int:
    """The last nanosecond of a day in New York; a day has 23, 24 or 25 hours."""
    return day_start_ns(day + timedelta(days=1)) - 1


def day_of(ns: int) -> date:
    """The day in New York that holds an instant."""
    instants = np.array([ns], np.int64)
    local = int((instants + utc_offsets(instants, NEW_YORK))[0])
    return _EPOCH + timedelta(days=local // NS_PER_DAY)


def _wall_ns(day: date) -> int:
    return (day - _EPOCH).days * NS_PER_DAY


class MarketCalendar:
    """Sessions of the New York Stock Exchange, whose days all US stock markets share."""

    def days(self, first: date, last: date) -> NDArray[np.datetime64]:
        """Market days from `first` to `last`, both included, as datetime64[D], ascending.

        Days before the vendor's history are left out.
        """
        first = max(first, FIRST_DAY)
        if last < first:
            return np.empty(0, "M8[D]")
        days = _sessions(last.year)[0]
        low = np.searchsorted(days, np.datetime64(first, "D"))
        high = np.searchsorted(days, np.datetime64(last, "D"), side="right")
        return days[low:high]

    def session(self, day: date) -> Session | None:
        """The session of a day, or None when the market is closed that day."""
        days, opens, closes = _sessions(day.year)
        at = int(np.searchsorted(days, np.datetime64(day, "D")))
        if at == len(days) or days[at] != np.datetime64(day, "D"):
            return None
        midnight = _wall_ns(day)
        open_ns, close_ns = int(opens[at]), int(closes[at])
        early = close_ns - open_ns < 6 * _HOUR_NS
        late_close = _EARLY_EXTENDED_CLOSE_NS if early else _EXTENDED_CLOSE_NS
        walls = np.array([midnight + _EXTENDED_OPEN_NS, midnight + late_close], np.int64)
        extended_open, extended_close = local_to_utc(walls, NEW_YORK).tolist()
        return Session(day, extended_open, open_ns, close_ns, extended_close)


def _sessions(
    year: int,
) -> tuple[NDArray[np.datetime64], NDArray[np.int64], NDArray[np.int64]]:
    """Days since the start of the vendor's history to that year or later, opens and closes."""
    return _sessions_to((year + 9) // 10 * 10)


@lru_cache(maxsize=4)
def _sessions_to(
    last_year: int,
) -> tuple[NDArray[np.datetime64], NDArray[np.int64], NDArray[np.int64]]:
    # Without an explicit start the library begins twenty years ago and refuses earlier days.
    calendar = _library().get_calendar("XNYS", start=str(FIRST_DAY), end=f"{last_year}-12-31")
    days = calendar.sessions.to_numpy().astype("M8[D]")
    return days, _instants(calendar.opens), _instants(calendar.closes)


def _instants(times: Any) -> NDArray[np.int64]:
    return np.asarray(times.to_numpy("M8[ns]").astype(np.int64))


def _library() -> Any:
    try:
        import exchange_calendars
    except ImportError:
        raise ConfigError(
            "market days need the package exchange_calendars, which is not installed; "
            "run: pip install 'tsstore[massive]'"
        ) from None
    return exchange_calendars
