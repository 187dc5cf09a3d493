"""The days on which US stocks trade, and from when to when, early closes included.

Days are days of New York. They come from exchange_calendars (XNYS, whose days all US stock markets
share). It takes most of a second and pandas to answer, so it is asked once per version of it: what
it said is kept in the user's cache (`cachefile.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.cachefile import cached
from tsstore.errors import ConfigError
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, utc_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEW_YORK = "America/New_York"
FIRST_YEAR, LAST_YEAR = 1980, 2049

_HOUR_NS = 3600 * NS_PER_SECOND
# Where regular trading ends at 13:00 and not at 16:00, the late session ends three hours early.
_SHORT_DAY_NS = 6 * _HOUR_NS
_FIRST_HOUR, _LAST_HOUR, _EARLY_LAST_HOUR = 4, 20, 17


@dataclass(frozen=True, slots=True)
class MarketDays:
    """Market days, ascending; all arrays have shape (days,) and dtype int64.

    Attributes:
        days: counted from 1970-01-01.
        opens: start of regular trading, nanoseconds since 1970 UTC.
        closes: its end, at 13:00 or 16:00 in New York.
        first: 04:00 in New York, when the early session begins.
        last: 20:00 in New York, when the late session ends; 17:00 where the market closes early.
    """

    days: NDArray[np.int64]
    opens: NDArray[np.int64]
    closes: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def find(self, days: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where days stand, and whether they are market days; where not, the place is any."""
        at = np.searchsorted(self.days, days).clip(max=len(self.days) - 1)
        return at, self.days[at] == days


@lru_cache(maxsize=1)
def market_days() -> MarketDays:
    """The market days from FIRST_YEAR to LAST_YEAR, both included.

    Raises:
        ConfigError: exchange_calendars is not installed.
    """
    from importlib import metadata

    try:
        source = f"{metadata.version('exchange_calendars')} {FIRST_YEAR} {LAST_YEAR}"
        local = cached("us-market-days", source, _ask_library)
    except ImportError:
        raise ConfigError(
            "market days, which `filter: nasdaq` and the Massive worker need, come from "
            "exchange_calendars, which is not installed; run: pip install 'tsstore[massive]'"
        ) from None
    opens, closes = local.reshape(2, -1)
    midnights = opens // NS_PER_DAY * NS_PER_DAY
    last_hour = np.where(closes - opens < _SHORT_DAY_NS, _EARLY_LAST_HOUR, _LAST_HOUR)
    return MarketDays(
        midnights // NS_PER_DAY,
        local_to_utc(opens, NEW_YORK),
        local_to_utc(closes, NEW_YORK),
        local_to_utc(midnights + _FIRST_HOUR * _HOUR_NS, NEW_YORK),
        local_to_utc(midnights + last_hour * _HOUR_NS, NEW_YORK),
    )


def new_york_days(ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The days of instants in New York, counted from 1970.

    Args:
        ts: int64 nanoseconds since 1970 UTC, any shape.
    """
    return (ts + utc_offsets(ts, NEW_YORK)) // NS_PER_DAY


def _ask_library() -> NDArray[np.int64]:
    """What clocks in New York show at each open, and then at each close, as nanoseconds.

    Not instants: those change with the rules of summer time, of which the cache knows nothing.
    """
    import exchange_calendars

    # Without bounds the library begins twenty years ago and ends in a year.
    calendar = exchange_calendars.get_calendar(
        "XNYS", start=f"{FIRST_YEAR}-01-01", end=f"{LAST_YEAR}-12-31"
    )
    hours = (calendar.opens, calendar.closes)
    instants = np.concatenate([each.to_numpy("M8[ns]").astype(np.int64) for each in hours])
    return instants + utc_offsets(instants, NEW_YORK)
