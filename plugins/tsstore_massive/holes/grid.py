"""The bars that a market day has if every one of its windows has a trade."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.usmarket import market_days
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.timeframe import Timeframe

#: A bar comes some seconds after its time; until then it is not missing.
LATE_NS = 60 * NS_PER_SECOND
_SECONDS_MAX_NS = 3600 * NS_PER_SECOND


@dataclass(frozen=True)
class Grid:
    """Expected bars in order of time.

    Attributes:
        slots: start of each bar, int64 nanoseconds since 1970 UTC, shape (bars,).
        days: place of its market day in `calendar`, shape (bars,).
        calendar: market days, datetime64[D], ascending.
        step_ns: length of a bar.
    """

    slots: NDArray[np.int64]
    days: NDArray[np.intp]
    calendar: NDArray[np.datetime64]
    step_ns: int

    def missing(self, ts: NDArray[np.int64]) -> NDArray[np.intp]:
        """Places of the bars that are not there.

        Args:
            ts: starts of the bars that are, ascending; others than expected ones do not matter.
        """
        return np.flatnonzero(~self.holds(ts))

    def holds(self, ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of the expected bars are among some starts; shape (bars,)."""
        found = np.zeros(len(self.slots), np.bool_)
        if len(self.slots) and len(ts):
            at = np.searchsorted(self.slots, ts).clip(max=len(self.slots) - 1)
            found[at[self.slots[at] == ts]] = True
        return found


def make_grid(
    start_ns: int, end_ns: int, timeframe: Timeframe, *, extended: bool, now_ns: int
) -> Grid:
    """The bars from one instant to another, both included, of days on which the market is open.

    Args:
        start_ns: first start of a bar.
        end_ns: last start of a bar.
        timeframe: of the bars; up to an hour.
        extended: from 04:00 to 20:00 in New York instead of regular trading only.
        now_ns: bars that are not over yet are not expected.

    Raises:
        InvalidArgumentError: longer bars.
    """
    if timeframe.is_calendar or timeframe.duration_ns > _SECONDS_MAX_NS:
        raise InvalidArgumentError(f"gaps of {timeframe} bars are not looked for; use up to 1H")
    step_ns = timeframe.duration_ns
    end_ns = min(end_ns, now_ns - step_ns - LATE_NS)
    market = market_days()
    opens, closes = (market.first, market.last) if extended else (market.opens, market.closes)
    inside = (closes > start_ns) & (opens <= end_ns)
    opens, closes = opens[inside] // step_ns * step_ns, closes[inside]
    counts = -((opens - closes) // step_ns)
    days = np.repeat(np.arange(len(counts)), counts)
    nth = np.arange(len(days)) - np.repeat(np.cumsum(counts) - counts, counts)
    slots = opens[days] + nth * step_ns
    wanted = (slots >= start_ns) & (slots <= end_ns)
    calendar = (market.days[inside] * NS_PER_DAY).view("M8[ns]").astype("M8[D]")
    return Grid(slots[wanted], days[wanted], calendar, step_ns)
