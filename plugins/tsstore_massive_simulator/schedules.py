"""When each kind of market trades, and how its days are counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tsstore.times import MAX_NS
from tsstore.zones import NS_PER_DAY, local_to_utc, utc_offsets
from tsstore_massive_simulator.calendar import (
    FIRST_DAY,
    HOUR_NS,
    NEW_YORK,
    hours,
    market_days,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPOCH = date(1970, 1, 1)
_UTC = "UTC"
_SATURDAY, _SUNDAY = 5, 6


class Schedule(ABC):
    """The hours of a market.

    Attributes:
        zone: where its calendar days begin at midnight.
        is_endless: whether a day begins at the instant the one before ends.
    """

    zone: str
    is_endless = False

    @abstractmethod
    def days(self, first: date, last: date) -> Sequence[date]:
        """Days from `first` to `last` on which it trades, ascending."""

    @abstractmethod
    def span(self, day: date) -> tuple[int, int]:
        """First and last nanosecond of trading that counts as a day's."""

    def close_ns(self, day: date) -> int:
        """When the bar of a day is complete."""
        return self.span(day)[1]

    def day_of(self, ns: int) -> date:
        """The day to which trading at an instant belongs."""
        local = ns + int(utc_offsets(np.array([ns], np.int64), self.zone)[0])
        return _EPOCH + timedelta(days=local // NS_PER_DAY)

    def midnight(self, day: date) -> int:
        """The instant a calendar day begins."""
        return self._at(day, 0)

    def _at(self, day: date, since_midnight_ns: int) -> int:
        local = (day - _EPOCH).days * NS_PER_DAY + since_midnight_ns
        return int(local_to_utc(np.array([local], np.int64), self.zone)[0])


class ExtendedHours(Schedule):
    """Stocks: 04:00 to 20:00 New York on market days; a day's bar is complete at the close."""

    zone = NEW_YORK

    def days(self, first: date, last: date) -> Sequence[date]:
        """Market days from `first` to `last`, ascending."""
        return market_days(max(first, FIRST_DAY), last)

    def span(self, day: date) -> tuple[int, int]:
        """From the first to the last hour of extended trading."""
        session = hours(day)
        return session.first_ns, session.last_ns

    def close_ns(self, day: date) -> int:
        """The close of regular trading."""
        return hours(day).close_ns


class RegularHours(ExtendedHours):
    """Options and indices: 09:30 to 16:00 New York on market days."""

    def span(self, day: date) -> tuple[int, int]:
        """From open to close."""
        session = hours(day)
        return session.open_ns, session.close_ns


class EveryDay(Schedule):
    """Crypto: always, in days of UTC."""

    zone = _UTC
    is_endless = True

    def days(self, first: date, last: date) -> Sequence[date]:
        """Every day from `first` to `last`, ascending."""
        first = max(first, FIRST_DAY)
        return [first + timedelta(days=ahead) for ahead in range((last - first).days + 1)]

    def span(self, day: date) -> tuple[int, int]:
        """From midnight to midnight."""
        start = self.midnight(day)
        return start, start + NS_PER_DAY - 1


class BusinessWeek(EveryDay):
    """Currencies: from Sunday 21:00 to Friday 21:00 UTC."""

    _EDGE_NS = 21 * HOUR_NS

    def days(self, first: date, last: date) -> Sequence[date]:
        """Every day from `first` to `last` but Saturdays, ascending."""
        return [day for day in super().days(first, last) if day.weekday() != _SATURDAY]

    def span(self, day: date) -> tuple[int, int]:
        """From midnight to midnight; Sundays begin and Fridays end at 21:00."""
        start, end = super().span(day)
        if day.weekday() == _SUNDAY:
            return start + self._EDGE_NS, end
        return (
            (start, start + self._EDGE_NS - 1) if day.weekday() == _SATURDAY - 1 else (start, end)
        )


class Globex(ExtendedHours):
    """Futures: from 18:00 New York the evening before to 17:00, on market days of stocks."""

    _LATE_NS = 6 * HOUR_NS

    def span(self, day: date) -> tuple[int, int]:
        """From the evening before to 17:00."""
        evening = self._at(day - timedelta(days=1), 18 * HOUR_NS)
        return evening, self._at(day, 17 * HOUR_NS) - 1

    def close_ns(self, day: date) -> int:
        """17:00 New York."""
        return self.span(day)[1]

    def day_of(self, ns: int) -> date:
        """The day in whose session an instant falls."""
        return super().day_of(min(ns, MAX_NS - self._LATE_NS) + self._LATE_NS)
