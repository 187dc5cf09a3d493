"""Tickers, splits, dividends, days of the market, and what codes mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import msgspec

from tsstore.typed import whole
from tsstore_massive.errors import NoSuchPathError, NoSuchTickerError
from tsstore_massive.rest.decoding import value_of
from tsstore_massive.rest.endpoints import Endpoints, in_path
from tsstore_massive.rest.models import (
    Condition,
    Dividend,
    Exchange,
    Holiday,
    MarketStatus,
    Split,
    Ticker,
    TickerDetails,
    TickerEvents,
    TickerType,
)
from tsstore_massive.symbols import bars_symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date

#: Markets as the list of tickers calls them.
TickerMarket: TypeAlias = Literal["stocks", "crypto", "fx", "otc", "indices"]

T = TypeVar("T")

_PAGE = 1000
#: Pages of the newer form of splits and dividends.
_NEW_PAGE = 5000


class ReferenceData(Endpoints):
    """What is known of the markets. Lists are asked for page by page while they are read."""

    def tickers(self, market: TickerMarket = "stocks") -> Iterator[str]:
        """Symbols of everything in a market that trades now, as the vendor spells them."""
        return (row.ticker for row in self.ticker_list(market=market) if row.ticker)

    def ticker_list(
        self,
        *,
        market: TickerMarket | None = None,
        ticker: str | None = None,
        first: str | None = None,
        last: str | None = None,
        kind: str | None = None,
        exchange: str | None = None,
        cusip: str | None = None,
        cik: str | None = None,
        day: date | None = None,
        search: str | None = None,
        active: bool = True,
    ) -> Iterator[Ticker]:
        """Tickers in the order of the alphabet.

        Args:
            market: only those of a market.
            ticker: only this one.
            first: from this one on.
            last: up to this one, included.
            kind: only those of a type, such as `CS` or `ETF`; see `ticker_types`.
            exchange: only those of a primary exchange, by its MIC, such as `XNAS`.
            cusip: only the one with this CUSIP.
            cik: only those of the company with this number.
            day: as they were on that day.
            search: only those with this in their name.
            active: whether those that trade or those that were delisted.
        """
        query = {
            "ticker": ticker, "ticker.gte": first, "ticker.lte": last, "type": kind,
            "market": market, "exchange": exchange, "cusip": cusip, "cik": cik, "date": day,
            "search": search, "active": active, "order": "asc", "sort": "ticker", "limit": _PAGE,
        }  # fmt: skip
        return self._rows("/v3/reference/tickers", query, "reference", Ticker)

    def ticker_details(self, symbol: str, day: date | None = None) -> TickerDetails | None:
        """Everything about a ticker, as of a day; None when it is not known then."""
        path = f"/v3/reference/tickers/{in_path(bars_symbol(symbol))}"
        return self._known(path, {"date": day}, TickerDetails)

    def ticker_types(self) -> list[TickerType]:
        """What types of tickers there are."""
        return list(self._rows("/v3/reference/tickers/types", {}, "reference", TickerType))

    def ticker_events(self, identifier: str) -> TickerEvents | None:
        """What happened to the ticker of a company; None when nothing is known.

        Args:
            identifier: its ticker now, or its composite FIGI.
        """
        path = f"/vX/reference/tickers/{in_path(identifier)}/events"
        return self._known(path, {"types": "ticker_change"}, TickerEvents)

    def splits(
        self, symbol: str | None = None, first: date | None = None, last: date | None = None
    ) -> Iterator[Split]:
        """Splits by day, those that are announced included; of all tickers without a symbol.

        Args:
            symbol: only those of this ticker.
            first: from this day on.
            last: up to this day, included.
        """
        return self._actions("splits", "execution_date", Split, symbol, first, last)

    def dividends(
        self, symbol: str | None = None, first: date | None = None, last: date | None = None
    ) -> Iterator[Dividend]:
        """Dividends by the day from which a share trades without, like `splits`."""
        return self._actions("dividends", "ex_dividend_date", Dividend, symbol, first, last)

    def market_status(self) -> MarketStatus:
        """Which markets are open now."""
        return self._get(
            "/v1/marketstatus/now",
            {},
            "reference",
            msgspec.json.Decoder(whole(MarketStatus)).decode,
        )

    def upcoming_holidays(self) -> list[Holiday]:
        """Days on which an exchange is closed or closes early, a row per exchange."""
        decode = msgspec.json.Decoder(whole(list[Holiday])).decode
        return self._get("/v1/marketstatus/upcoming", {}, "reference", decode)

    def conditions(
        self, asset_class: str | None = None, data_type: str | None = None
    ) -> list[Condition]:
        """What the codes of conditions mean, of one class of assets and kind of data or of all."""
        query = {"asset_class": asset_class, "data_type": data_type, "limit": _PAGE}
        return list(self._rows("/v3/reference/conditions", query, "reference", Condition))

    def exchanges(self, asset_class: str | None = None) -> list[Exchange]:
        """What the ids of exchanges mean, of one class of assets or of all."""
        query = {"asset_class": asset_class}
        return list(self._rows("/v3/reference/exchanges", query, "reference", Exchange))

    def _actions(
        self,
        what: str,
        by: str,
        row_type: type[T],
        symbol: str | None,
        first: date | None,
        last: date | None,
    ) -> Iterator[T]:
        """Splits or dividends: in the form that tells them as they were, else in the newer one."""
        wanted = {"ticker": symbol, f"{by}.gte": first, f"{by}.lte": last}
        old = {**wanted, "order": "asc", "sort": by, "limit": _PAGE}
        try:
            yield from self._rows(f"/v3/reference/{what}", old, "reference", row_type)
        except NoSuchPathError:
            # The first page was refused: nothing has been told yet.
            new = {**wanted, "sort": f"{by}.asc", "limit": _NEW_PAGE}
            yield from self._rows(f"/stocks/v1/{what}", new, "reference", row_type)

    def _known(self, path: str, query: Mapping[str, Any], row_type: type[T]) -> T | None:
        try:
            return self._get(path, query, "reference", value_of(row_type))
        except NoSuchTickerError:
            return None
