"""Which symbols there are, asked of the vendor once a day.

`_massive/24H/LISTING_STOCKS` has a row for each symbol, at the moment of the listing, so a backfill
of a pattern that is started again does not begin with the same dozen requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import ConfigError, NotFoundError
from tsstore.key import KeyPattern, is_pattern
from tsstore.schema import Schema
from tsstore.times import MAX_NS
from tsstore.zones import NS_PER_DAY
from tsstore_massive.symbols import bucket_symbol, market_of, parse_symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.rest import RestClient
    from tsstore_massive.rest.referencedata import TickerMarket
    from tsstore_massive.symbols import Market

SCHEMA = Schema.of({"Symbol": "U32"}, variable=True)
_EVER = np.datetime64(0, "ns"), np.datetime64(MAX_NS, "ns")
#: What the list of tickers calls the markets that it has.
LISTED: Mapping[Market, TickerMarket] = {
    "stocks": "stocks",
    "indices": "indices",
    "forex": "fx",
    "crypto": "crypto",
}


def symbols_of(market: Market, store: StoreApi, rest: RestClient, clock: Clock) -> list[str]:
    """The symbols of a market that trade now, as buckets spell them.

    Args:
        market: whose.
        store: keeps the listing.
        rest: asked when there is none, or it is older than a day.
        clock: the source of time.

    Raises:
        ConfigError: the vendor has no such listing.
        MassiveError: the vendor does not give it.
    """
    listed = LISTED.get(market)
    if listed is None:
        raise ConfigError(
            f"symbols of {market} have to be named one by one, or give --source flatfiles"
        )
    key = _key(market)
    now_ns = clock.now_ns()
    try:
        # Not what a clock that was ahead has dated later than now.
        start, end = (np.datetime64(ns, "ns") for ns in (now_ns - NS_PER_DAY, now_ns))
        known = store.read(key, start=start, end=end)
    except NotFoundError:
        known = None
    if known is not None and len(known):
        return cast("list[str]", known["Symbol"].tolist())
    spelled = (bucket_symbol(ticker, market) for ticker in rest.tickers(listed))
    symbols = sorted({symbol for symbol in spelled if symbol is not None})
    rows = Columns(
        np.full(len(symbols), now_ns), {"Symbol": np.array(symbols, "U32")}, variable=True
    )
    store.commit([Replace(key, *_EVER, rows, SCHEMA)])
    return symbols


def last_listing(market: Market, store: StoreApi) -> list[str]:
    """The symbols of a market as the vendor listed them last; empty if nobody asked."""
    try:
        rows = store.read(_key(market))
    except NotFoundError:
        return []
    return cast("list[str]", rows["Symbol"].tolist())


def resolve_symbols(
    wanted: list[str], store: StoreApi, rest: RestClient, clock: Clock
) -> list[str]:
    """Exact symbols as buckets spell them, and the vendor's symbols that match a pattern, sorted.

    The list of all symbols of a market is asked for only when there is a pattern of it.

    Raises:
        ConfigError: a pattern that nothing matches.
        InvalidKeyError: no symbol of any market.
    """
    symbols = {parse_symbol(text) for text in wanted if not is_pattern(text)}
    patterns = [text for text in wanted if is_pattern(text)]
    for market in sorted(set(map(market_of, patterns))):
        wide = [KeyPattern(f"{text}/1Min/OHLCV") for text in patterns if market_of(text) == market]
        symbols |= {
            symbol
            for symbol in symbols_of(market, store, rest, clock)
            if any(pattern.matches(f"{symbol}/1Min/OHLCV") for pattern in wide)
        }
    if not symbols:
        raise ConfigError(f"no symbol matches {','.join(wanted)}; change -symbols")
    return sorted(symbols)


def _key(market: Market) -> str:
    return f"_massive/24H/LISTING_{market.upper()}"
