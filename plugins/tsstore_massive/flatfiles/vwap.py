"""The VWAP of bars that are stored already: REST and the socket know it, and files do not.

One that does not lie within its bar is of other prices, such as adjusted ones, and goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore_massive.flatfiles.pieces import Piece

#: REST rounds a VWAP to this, so that it may lie so far beyond its bar.
_ROUNDING = 5e-5
#: First and last instant of what is in an empty bucket.
_NOTHING = (1, 0)


class StoredVwap:
    """What a store knew when a run began.

    Args:
        store: where the bars are.
    """

    def __init__(self, store: StoreApi) -> None:
        self._store = store
        # Buckets that this run makes hold rows of files only.
        self._older = set(store.list("*/*/OHLCV"))
        # To look for each of thousands of tickers in each day takes longer than to load the day.
        # Nobody but this run adds days to an embedded store.
        self._spans: dict[str, tuple[int, int]] | None = {} if isinstance(store, Store) else None

    def filled(self, piece: Piece, group: str, window: tuple[int, int]) -> Piece:
        """The bars with the VWAP that is stored of them.

        Args:
            piece: bars of one day.
            group: their timeframe and attribute group.
            window: first and last instant of the day.
        """
        wanted = [symbol for symbol in piece.symbols if self._may_hold(f"{symbol}/{group}", window)]
        if not wanted:
            return piece
        start, end = (np.datetime64(instant, "ns") for instant in window)
        try:
            found = self._store.read(wanted, group, start=start, end=end, columns=["VWAP"])
        except NotFoundError:
            return piece
        vwap = piece.rows["VWAP"].copy()
        for symbol, run in piece.runs():
            stored = found.get(f"{symbol}/{group}")
            if stored is not None and len(stored):
                _fill(vwap[run], piece.rows.slice(run.start, run.stop), stored)
        return piece._replace(
            rows=Columns(piece.rows.ts, {**dict(piece.rows.items()), "VWAP": vwap})
        )

    def _may_hold(self, key: str, window: tuple[int, int]) -> bool:
        if key not in self._older:
            return False
        if self._spans is None:
            return True
        span = self._spans.get(key)
        if span is None:
            span = self._spans[key] = self._span(key)
        return span[0] <= window[1] and window[0] <= span[1]

    def _span(self, key: str) -> tuple[int, int]:
        """First and last instant of a bucket."""
        try:
            info = self._store.info(key)
        except NotFoundError:
            return _NOTHING
        if info.first_ns is None or info.last_ns is None:
            return _NOTHING
        return info.first_ns, info.last_ns


def _fill(vwap: NDArray[np.float64], bars: Columns, stored: Columns) -> None:
    """Take over what is stored of the same bars, where it can be theirs."""
    at = np.minimum(np.searchsorted(stored.ts, bars.ts), len(stored) - 1)
    known = stored["VWAP"][at]
    fits = (
        (stored.ts[at] == bars.ts)
        & (known >= bars["Low"] - _ROUNDING)
        & (known <= bars["High"] + _ROUNDING)
        & np.isnan(vwap)
    )
    vwap[fits] = known[fits]
