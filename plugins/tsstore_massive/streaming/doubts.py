"""What speaks against a symbol that somebody wants streamed, as far as the store can tell.

The vendor acknowledges every ticker, one that does not exist as well, and sends nothing of it. So a
mistake shows nowhere but in rows that never come.
"""

from __future__ import annotations

import difflib
import re
from functools import cache, cached_property
from typing import TYPE_CHECKING

from tsstore.clock import SystemClock
from tsstore_massive.backfilling.hints import likely_symbol
from tsstore_massive.listing import last_listing
from tsstore_massive.reference.ledger import EVERY_SYMBOL, Ledger
from tsstore_massive.reference.tickers import known_symbols
from tsstore_massive.schemas import STREAM_GROUPS
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.api import StoreApi
    from tsstore_massive.symbols import Market

#: Tickers of stocks as they are written: a preferred share is BCpC, a right ABCr, a warrant ABCw.
_TICKER = re.compile(r"[A-Z]+(?:[prw][A-Z]?)?(?:\.[A-Z]+)*")
_SIMILAR = 0.6


class Doubts:
    """Doubts symbols; looks once at what they have in common.

    Args:
        store: its rows, and the vendor's last listing or its tickers, tell what there is.
        markets: of the connections of the worker; none if it has never run.
    """

    def __init__(self, store: StoreApi, markets: Mapping[str, str]) -> None:
        self._store = store
        self._markets = markets
        self._listed = cache(self._list)

    def of(self, symbol: str, connection: str) -> str | None:
        """Why nothing may ever come of a symbol, for people; None if nothing says so.

        Args:
            symbol: as buckets spell it.
            connection: that is to stream it; empty for any of its market.
        """
        market = market_of(symbol)
        if connection and self._markets and connection not in self._markets:
            forget = f"`reset {symbol} --connection {connection}` forgets it"
            return f"there is no connection {connection}; {forget}"
        problem = self._nobody_streams(market, connection)
        if problem or symbol in self._streamed:
            return problem
        listed = self._listed(market)
        if listed:
            return None if symbol in listed else _unlisted(symbol, listed)
        meant = likely_symbol(symbol)
        if meant is None or (market_of(meant) == market and _TICKER.fullmatch(symbol)):
            return None
        return f"is {meant} meant?"

    def _nobody_streams(self, market: Market, connection: str) -> str | None:
        of_connection = self._markets.get(connection, market) if connection else market
        if of_connection != market:
            return f"connection {connection} streams {of_connection}, and it is of {market}"
        if self._markets and market not in self._markets.values():
            return f"no connection streams {market}"
        return None

    def _list(self, market: Market) -> frozenset[str]:
        """What the vendor has of a market; empty if the store does not know all of it."""
        listed = last_listing(market, self._store)
        if not listed and market == "stocks" and self._has_all_tickers():
            listed = known_symbols(self._store)
        return frozenset(listed)

    def _has_all_tickers(self) -> bool:
        ledger = Ledger(self._store, SystemClock().now_ns())
        return ledger.find("tickers", EVERY_SYMBOL) is not None

    @cached_property
    def _streamed(self) -> set[str]:
        """Symbols that have a bucket of something that streams."""
        groups = set(STREAM_GROUPS.values())
        return {key.partition("/")[0] for each in groups for key in self._store.list(f"*/{each}")}


def _unlisted(symbol: str, listed: frozenset[str]) -> str:
    likely = likely_symbol(symbol)
    near = [likely] if likely in listed else []
    near += difflib.get_close_matches(symbol, listed, n=1, cutoff=_SIMILAR)
    hint = f"; is {near[0]} meant?" if near else ""
    return f"it is not among the {len(listed):,} symbols that the vendor lists{hint}"
