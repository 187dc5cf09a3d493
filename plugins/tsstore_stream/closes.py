"""When the US stock market closes, so that daily bars go out then and not at midnight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.plugin import FatalPluginError
from tsstore.zones import NS_PER_DAY, local_to_utc, utc_offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEW_YORK = "America/New_York"


class MarketCloses:
    """The closing times of the New York market, early ones included."""

    def __init__(self) -> None:
        try:
            import exchange_calendars
        except ImportError:
            raise FatalPluginError(
                "`filter: nasdaq` needs a market calendar; pip install 'tsstore[massive]', "
                "or remove the filter"
            ) from None
        calendar = exchange_calendars.get_calendar("XNYS")
        closes = calendar.closes.dt.tz_convert(None).to_numpy().astype("M8[ns]").astype(np.int64)
        self._days = calendar.sessions.to_numpy().astype("M8[D]").astype(np.int64)
        self._closes: NDArray[np.int64] = closes

    def of_days(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Close of the market on each day; midnight after it where there is no trading.

        Args:
            starts: int64 nanoseconds since 1970 UTC, instants of which the New York day counts.
        """
        days = (starts + utc_offsets(starts, NEW_YORK)) // NS_PER_DAY
        at = np.searchsorted(self._days, days).clip(max=len(self._days) - 1)
        midnights = local_to_utc((days + 1) * NS_PER_DAY, NEW_YORK)
        return np.where(self._days[at] == days, self._closes[at], midnights)
