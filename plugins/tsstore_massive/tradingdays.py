"""The days of each market that have rows."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from tsstore.zones import NS_PER_DAY, utc_offsets
from tsstore_massive.sessions import FIRST_DAY, MarketCalendar

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore_massive.datasets import Dataset
    from tsstore_massive.symbols import Market

_SATURDAY = 5
_EXCHANGES = MarketCalendar()


def trading_days(market: Market, first: date, last: date) -> NDArray[np.datetime64]:
    """Days of a market from `first` to `last`, both included, as datetime64[D], ascending.

    Crypto trades every day, currencies and futures from Sunday to Friday, and all else on the days
    of the New York exchanges. Days before the vendor's history of stocks are left out.
    """
    if market not in ("crypto", "forex", "futures"):
        return _EXCHANGES.days(first, last)
    begin, end = (np.datetime64(day, "D").astype(np.int64) for day in (max(first, FIRST_DAY), last))
    days: NDArray[np.datetime64] = np.arange(begin, end + 1).astype("M8[D]")
    if market == "crypto":
        return days
    open_days: NDArray[np.datetime64] = days[(days.astype(np.int64) + 3) % 7 != _SATURDAY]
    return open_days


def day_in(dataset: Dataset, ns: int) -> date:
    """The day that holds an instant, where days of the dataset begin."""
    local = ns + int(utc_offsets(np.array([ns], np.int64), dataset.zone)[0])
    return date.fromordinal(date(1970, 1, 1).toordinal() + local // NS_PER_DAY)
