"""The hours in which US stocks trade, extended ones included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.usmarket import market_days

if TYPE_CHECKING:
    from numpy.typing import NDArray


class MarketHours:
    """04:00 to 20:00 in New York on market days, to 17:00 where the market closes early.

    Raises:
        ConfigError: exchange_calendars is not installed.
    """

    def __init__(self) -> None:
        market = market_days()
        # Opens and closes take turns: an odd place lies between an open and its close.
        self._bounds = np.column_stack([market.first, market.last]).ravel()

    def inside(self, ts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether the market trades at each instant.

        Days before 1980 or after 2049 are none of the calendar's, and so not market days.

        Args:
            ts: int64 nanoseconds since 1970 UTC, any order.

        Returns:
            Shape of `ts`.
        """
        return np.asarray(np.searchsorted(self._bounds, ts, side="right") % 2 == 1)
