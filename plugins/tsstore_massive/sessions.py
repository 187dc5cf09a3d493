"""Market days of the vendor's history of US stocks, and where a day begins in UTC.

Days are days of New York, as the vendor counts them, summer time included.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tsstore.usmarket import NEW_YORK, market_days, new_york_days
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, utc_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore_massive.symbols import Market

#: The vendor's history of stocks begins here.
FIRST_DAY = date(2003, 9, 10)

_EPOCH = date(1970, 1, 1)


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
    return _EPOCH + timedelta(days=int(new_york_days(np.array([ns], np.int64))[0]))


def _wall_ns(day: date) -> int:
    return (day - _EPOCH).days * NS_PER_DAY


#: Markets with the days and hours of US stocks.
CALENDAR_MARKETS = frozenset({"stocks", "options", "indices"})
_HOUR_NS = 3600 * NS_PER_SECOND
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
#: Currencies rest from Friday to Sunday at this hour of New York, and futures for an hour daily.
_WEEK_HOUR = 17


def market_open(market: Market, ns: int) -> bool:
    """Whether a market trades in earnest at an instant, so that silence is no rest of its own.

    Args:
        market: whose hours; those of futures as CME has them, holidays not known.
        ns: nanoseconds since 1970 UTC.
    """
    if market == "crypto":
        return True
    if market in CALENDAR_MARKETS:
        session = MarketCalendar().session(day_of(ns))
        return session is not None and session.open_ns <= ns < session.close_ns
    local_ns = ns + int(utc_offsets(np.array([ns], np.int64), NEW_YORK)[0])
    number, of_day_ns = divmod(local_ns, NS_PER_DAY)
    hour = of_day_ns / _HOUR_NS
    weekday = (_EPOCH + timedelta(days=number)).weekday()
    opens = _WEEK_HOUR + (market == "futures")
    if weekday == _SATURDAY or (weekday == _FRIDAY and hour >= _WEEK_HOUR):
        return False
    if weekday == _SUNDAY:
        return hour >= opens
    return market == "forex" or not _WEEK_HOUR <= hour < opens


class MarketCalendar:
    """Sessions of the New York Stock Exchange, whose days all US stock markets share."""

    def days(self, first: date, last: date) -> NDArray[np.datetime64]:
        """Market days from `first` to `last`, both included, as datetime64[D], ascending.

        Days before the vendor's history are left out.
        """
        first = max(first, FIRST_DAY)
        if last < first:
            return np.empty(0, "M8[D]")
        days = market_days().days.astype("M8[D]")
        low = np.searchsorted(days, np.datetime64(first, "D"))
        high = np.searchsorted(days, np.datetime64(last, "D"), side="right")
        return days[low:high]

    def session(self, day: date) -> Session | None:
        """The session of a day, or None when the market is closed that day."""
        market = market_days()
        at, is_one = market.find(np.array([(day - _EPOCH).days]))
        if not is_one[0]:
            return None
        hours = (market.first, market.opens, market.closes, market.last)
        return Session(day, *(int(instants[at[0]]) for instants in hours))
