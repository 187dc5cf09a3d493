"""Where the history of a plan begins: found by halves, by asking for the first moment of days."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from tsstore_massive.errors import NotEntitledError
from tsstore_massive.symbols import market_of
from tsstore_massive.tradingdays import trading_days

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore_massive.backfilling.allowance import Allowance
    from tsstore_massive.backfilling.fetch import Fetcher
    from tsstore_massive.backfilling.work import Work


class HistorySearch:
    """Searches once for each dataset and market; thread-safe.

    Args:
        allowance: learns what is found.
    """

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._lock = threading.Lock()
        self._done: set[tuple[str, str]] = set()

    def run(self, fetcher: Fetcher, work: Work, last: np.datetime64) -> None:
        """The first day of a unit is too old; see how many after it are so, up to the last.

        Raises:
            MassiveError: the vendor does not say.
        """
        place = work.place, market_of(work.symbol)
        with self._lock:
            if place in self._done:
                return
            days = _days_from(work, last)
            if not len(days):  # a gap on a day without a market
                return
            count, refusal = self._allowance.verdict(work.place, work.symbol, days)
            old = count - 1 if refusal is not None else 0
            young = len(days)
            while young - old > 1:
                middle = (old + young) // 2
                if self._is_old(fetcher, work, days[middle : middle + 1]):
                    old = middle
                else:
                    young = middle
            self._done.add(place)

    def _is_old(self, fetcher: Fetcher, work: Work, day: NDArray[np.datetime64]) -> bool:
        try:
            fetcher.probe(work, day)
        except NotEntitledError as error:
            refusal = self._allowance.refused(error, work.place, work.symbol, day)
            return refusal.reason == "timeframe"
        return False


def _days_from(work: Work, last: np.datetime64) -> NDArray[np.datetime64]:
    first, until = np.array([work.days[0], last]).tolist()
    return trading_days(work.dataset.market, first, until)
