"""The hours in which US stocks trade, extended ones included."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.plugin import FatalPluginError
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, utc_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEW_YORK = "America/New_York"

_HOUR_NS = 3600 * NS_PER_SECOND
_OPEN_NS = 4 * _HOUR_NS
_CLOSE_NS = 20 * _HOUR_NS
# Where regular trading ends at 13:00 and not at 16:00, the late session ends three hours early.
_EARLY_CLOSE_NS = 17 * _HOUR_NS
_SHORT_DAY_NS = 6 * _HOUR_NS
_FIRST_YEAR = 1980
_LAST_YEAR = 2049


class MarketHours:
    """04:00 to 20:00 in New York on market days, to 17:00 where the market closes early.

    Raises:
        FatalPluginError: exchange_calendars is not installed.
    """

    def __init__(self) -> None:
        _sessions()

    def inside(self, ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the market trades at each instant.

        Days before 1980 or after 2049 are none of the calendar's, and so not market days.

        Args:
            ts: int64 nanoseconds since 1970 UTC, any order.

        Returns:
            Shape of `ts`.
        """
        if len(ts) == 0:
            return np.zeros(0, bool)
        first, last = int(ts.min()), int(ts.max())
        days = np.arange(*_local_days(np.array([first, last])) + np.array([0, 1]))
        opens, closes = self._hours(days)
        # Opens and closes take turns: an odd place lies between an open and its close.
        bounds = np.column_stack([opens, closes]).ravel()
        return np.asarray(np.searchsorted(bounds, ts, side="right") % 2 == 1)

    def _hours(self, days: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Open and close of those of the days, counted from 1970, that are market days."""
        every, early = _sessions()
        low, high = np.searchsorted(every, [days[0], days[-1] + 1])
        market_days, is_early = every[low:high], early[low:high]
        closes = np.where(is_early, _EARLY_CLOSE_NS, _CLOSE_NS)
        midnights = market_days * NS_PER_DAY
        return local_to_utc(midnights + _OPEN_NS, NEW_YORK), local_to_utc(
            midnights + closes, NEW_YORK
        )


def _local_days(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    return (ts + utc_offsets(ts, NEW_YORK)) // NS_PER_DAY


@lru_cache(maxsize=1)
def _sessions() -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Market days, counted from 1970, and whether they end early."""
    try:
        import exchange_calendars
    except ImportError:
        raise FatalPluginError(
            "`filter: nasdaq` needs a market calendar; pip install 'tsstore[massive]', "
            "or remove the filter"
        ) from None
    # Without bounds the library begins twenty years ago and ends in a year.
    calendar = exchange_calendars.get_calendar(
        "XNYS", start=f"{_FIRST_YEAR}-01-01", end=f"{_LAST_YEAR}-12-31"
    )
    days = calendar.sessions.to_numpy().astype("M8[D]").astype(np.int64)
    opens = calendar.opens.to_numpy("M8[ns]").astype(np.int64)
    closes = calendar.closes.to_numpy("M8[ns]").astype(np.int64)
    return days, closes - opens < _SHORT_DAY_NS
