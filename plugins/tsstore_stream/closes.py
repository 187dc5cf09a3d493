"""When the US stock market closes, so that daily bars go out then and not at midnight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.usmarket import NEW_YORK, market_days, new_york_days
from tsstore.zones import NS_PER_DAY, local_to_utc

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MarketCloses:
    """The closing times of the New York market, early ones included.

    Raises:
        ConfigError: exchange_calendars is not installed.
    """

    def __init__(self) -> None:
        self._market = market_days()

    def of_days(self, starts: NDArray[np.int64]) -> NDArray[np.int64]:
        """Close of the market on each day; midnight after it where there is no trading.

        Args:
            starts: int64 nanoseconds since 1970 UTC, instants of which the New York day counts.
        """
        days = new_york_days(starts)
        at, are_market_days = self._market.find(days)
        midnights = local_to_utc((days + 1) * NS_PER_DAY, NEW_YORK)
        return np.where(are_market_days, self._market.closes[at], midnights)
