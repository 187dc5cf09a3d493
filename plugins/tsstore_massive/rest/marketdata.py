"""Bars, trades, quotes, and the present."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_DAY, local_to_utc
from tsstore_massive.batched import batched
from tsstore_massive.decoding.pages import decode_page
from tsstore_massive.decoding.rows import columns_of, records_of
from tsstore_massive.errors import BadResponseError
from tsstore_massive.rest import futures
from tsstore_massive.rest.decoding import rows_of, value_of
from tsstore_massive.rest.endpoints import Endpoints, in_path
from tsstore_massive.rest.models import (
    Bar,
    GroupedBar,
    LastQuote,
    LastTrade,
    Snapshot,
    UnifiedSnapshot,
)
from tsstore_massive.rest.replies import RetryableError, check_empty
from tsstore_massive.symbols import bars_symbol, bucket_symbol, market_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date

    from tsstore.columns import Columns
    from tsstore.timeframe import Timeframe
    from tsstore_massive.decoding.pages import Page
    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market

#: Markets whose whole day, or whole present, is one answer.
GroupedMarket: TypeAlias = Literal["stocks", "forex", "crypto"]

_TIMESPANS = {
    "Sec": "second", "Min": "minute", "H": "hour", "D": "day", "W": "week", "M": "month",
    "Y": "year",
}  # fmt: skip
_GROUPED = {"stocks": "us/market/stocks", "forex": "global/market/fx",
            "crypto": "global/market/crypto"}  # fmt: skip
_SNAPSHOTS = {"stocks": "us/markets/stocks", "forex": "global/markets/forex",
              "crypto": "global/markets/crypto"}  # fmt: skip
#: Tickers of one unified snapshot.
_UNIFIED_MAX = 250


class MarketData(Endpoints):
    """What happens in the markets. Symbols are those of buckets; see `symbols.py`."""

    def bars(
        self, symbol: str, timeframe: Timeframe, start_ns: int, end_ns: int, *, adjusted: bool
    ) -> Iterator[Columns]:
        """Bars that begin from `start_ns` to `end_ns`, both included, page by page, ascending."""
        limit = self.limits.page_rows
        if market_of(symbol) == "futures":
            asked = futures.bars_request(symbol, timeframe, start_ns, end_ns, limit)
            sessions = self._ascending(symbol, "bars", *asked)
            return (futures.on_their_days(rows, timeframe) for rows in sessions)
        span = f"{timeframe.count}/{_TIMESPANS[timeframe.unit]}"
        start_ms, end_ms = -(-start_ns // 1_000_000), end_ns // 1_000_000
        ticker = in_path(bars_symbol(symbol))
        path = f"/v2/aggs/ticker/{ticker}/range/{span}/{start_ms}/{end_ms}"
        query = {"adjusted": adjusted, "sort": "asc", "limit": limit}
        return self._ascending(symbol, "bars", path, query)

    def trades(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Trades from `start_ns` to `end_ns`, both included, page by page, ascending."""
        return self._ascending(symbol, "trades", *self._ticks("trades", symbol, start_ns, end_ns))

    def quotes(self, symbol: str, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Quotes from `start_ns` to `end_ns`, both included, page by page, ascending."""
        return self._ascending(symbol, "quotes", *self._ticks("quotes", symbol, start_ns, end_ns))

    def grouped_daily(
        self,
        day: date,
        *,
        market: GroupedMarket = "stocks",
        adjusted: bool = False,
        include_otc: bool = False,
    ) -> dict[str, Any] | None:
        """The day of every ticker of a market, as a cross-section for `write_table`.

        The time of all rows is the midnight that begins the day, in New York for stocks and in UTC
        for others: what the answer says of it is the close for some and the start for others.

        Returns:
            `Symbol` (list of str), `Epoch` (datetime64[ns]) and the columns of bars, one row per
            ticker; None on a day without trading.
        """
        path = f"/v2/aggs/grouped/locale/{_GROUPED[market]}/{day}"
        query = {"adjusted": adjusted, "include_otc": include_otc}
        answer = self._get(path, query, market, rows_of(GroupedBar))
        symbols = [bucket_symbol(row.ticker, market) for row in answer.rows]
        odd = Counter({"symbol that cannot be a bucket": symbols.count(None)})
        self._count(answer.faults + odd, path)
        bars = [row for row, symbol in zip(answer.rows, symbols, strict=True) if symbol]
        if not bars:
            return None
        _, arrays = columns_of("bars", [records_of("bars", bars)])
        epoch = np.full(len(bars), _midnight_ns(day, market)).view("M8[ns]")
        return {"Symbol": [symbol for symbol in symbols if symbol], "Epoch": epoch, **arrays}

    def previous_close(self, symbol: str, *, adjusted: bool = False) -> Bar | None:
        """The bar of the last day that is over; its time is not to be relied on."""
        path = f"/v2/aggs/ticker/{in_path(bars_symbol(symbol))}/prev"
        return next(self._rows(path, {"adjusted": adjusted}, market_of(symbol), Bar), None)

    def last_trade(self, symbol: str) -> LastTrade:
        """The newest trade of a stock or option.

        Raises:
            NoSuchTickerError: there is none.
        """
        market = _with_ticks(symbol)
        return self._get(f"/v2/last/trade/{in_path(symbol)}", {}, market, value_of(LastTrade))

    def last_quote(self, symbol: str) -> LastQuote:
        """The newest quote of a stock or option.

        Raises:
            NoSuchTickerError: there is none.
        """
        market = _with_ticks(symbol)
        return self._get(f"/v2/last/nbbo/{in_path(symbol)}", {}, market, value_of(LastQuote))

    def snapshots(
        self,
        symbols: Iterable[str] = (),
        *,
        market: GroupedMarket = "stocks",
        include_otc: bool = False,
    ) -> list[Snapshot]:
        """The present of some tickers, or of the whole market; unknown ones are not in it."""
        tickers = ",".join(map(bars_symbol, symbols)) or None
        path = f"/v2/snapshot/locale/{_SNAPSHOTS[market]}/tickers"
        query = {"tickers": tickers, "include_otc": include_otc}
        return list(self._rows(path, query, market, Snapshot, "tickers"))

    def unified_snapshots(self, symbols: Iterable[str]) -> Iterator[UnifiedSnapshot]:
        """The present of tickers of any markets; unknown ones are rows with an `error`."""
        for some in batched(symbols, _UNIFIED_MAX):
            query = {"ticker.any_of": ",".join(map(bars_symbol, some)), "limit": _UNIFIED_MAX}
            yield from self._rows("/v3/snapshot", query, market_of(some[0]), UnifiedSnapshot)

    def _ticks(
        self, kind: str, symbol: str, start_ns: int, end_ns: int
    ) -> tuple[str, dict[str, Any]]:
        limit = self.limits.page_rows
        if market_of(symbol) == "futures":
            return futures.ticks_request(kind, symbol, start_ns, end_ns, limit)
        # The vendor's own default is the newest 1000 rows, newest first.
        return f"/v3/{kind}/{in_path(symbol)}", {
            "timestamp.gte": start_ns,
            "timestamp.lte": end_ns,
            "order": "asc",
            "sort": "timestamp",
            "limit": limit,
        }

    def _ascending(
        self, symbol: str, kind: Kind, path: str, query: Mapping[str, Any]
    ) -> Iterator[Columns]:
        last_ns: int | None = None
        market = market_of(symbol)
        decode = partial(_decode_page, market=market, kind=kind)
        for page in self._pages(path, query, market, decode):
            self._count(page.faults, path)
            rows = page.columns
            if not len(rows):
                continue
            if last_ns is not None and int(rows.ts.min()) < last_ns:
                raise BadResponseError(
                    f"{path}: a page goes back in time instead of on; nothing of it was stored, "
                    "run again later"
                )
            last_ns = int(rows.ts.max())
            yield rows


def _decode_page(body: bytes, market: Market, kind: Kind) -> Page:
    """A page of rows; one without any must say itself that it is in order."""
    page = decode_page(body, market, kind)
    if len(page.columns):
        return page
    if page.faults:
        raise RetryableError(f"no row of the answer can be used ({', '.join(page.faults)})")
    check_empty(body)
    return page


def _midnight_ns(day: date, market: GroupedMarket) -> int:
    wall = np.array([np.datetime64(day, "D").astype(np.int64) * NS_PER_DAY])
    return int(local_to_utc(wall, NEW_YORK)[0] if market == "stocks" else wall[0])


def _with_ticks(symbol: str) -> Literal["stocks", "options"]:
    market = market_of(symbol)
    if market not in {"stocks", "options"}:
        raise InvalidArgumentError(
            f"{symbol}: there is a last trade and a last quote of stocks and options only; ask for "
            "a snapshot"
        )
    return market
