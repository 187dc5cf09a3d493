"""The cheapest question for each kind of data of each market, and for each depth of history.

A plan that has the data answers 200, whether or not there are rows; one that has not answers 403.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsstore_massive.sessions import day_end_ns, day_start_ns
from tsstore_massive.symbols import bars_symbol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from tsstore_massive.symbols import Market

#: A symbol of each market whose rows are asked for, as buckets spell it.
SYMBOLS: Mapping[Market, str] = {
    "stocks": "AAPL",
    "options": "O:SPY271217C00600000",
    "indices": "I:SPX",
    "forex": "C:EUR-USD",
    "crypto": "X:BTC-USD",
    "futures": "ESZ7",
}
#: Markets of which REST has bars, trades and quotes, by kind; futures have paths of their own.
_MARKETS: Mapping[str, tuple[Market, ...]] = {
    "trades": ("stocks", "options", "crypto"),
    "quotes": ("stocks", "options", "forex"),
}
_FUTURES = (("bars", "aggs"), ("trades", "trades"), ("quotes", "quotes"))
#: Years of history that plans have; what there is begins in 2003.
DEPTHS = (2, 5, 10, 20)


@dataclass(frozen=True)
class Question:
    """What to ask the service.

    Attributes:
        market: such as `stocks`.
        kind: bars, trades or quotes.
        ticker: of whose rows.
        path: of the request.
        query: of the request.
    """

    market: Market
    kind: str
    ticker: str
    path: str
    query: Mapping[str, str]


def questions(market: Market, day: date) -> list[Question]:
    """One question for each kind of data that a market has.

    Args:
        market: whose.
        day: a market day that is over.
    """
    if market == "futures":
        return [_of_futures(*each) for each in _FUTURES]
    ticker = SYMBOLS[market]
    made = [bars(market, day, day)]
    for kind in ("trades", "quotes"):
        if market in _MARKETS[kind]:
            query = {
                "timestamp.gte": str(day_start_ns(day)),
                "timestamp.lte": str(day_end_ns(day)),
                "order": "asc",
                "sort": "timestamp",
                "limit": "1",
            }
            made.append(Question(market, kind, ticker, f"/v3/{kind}/{ticker}", query))
    return made


def _of_futures(kind: str, path: str) -> Question:
    ticker = SYMBOLS["futures"]
    query = {"limit": "1"} | ({"resolution": "1min"} if kind == "bars" else {})
    return Question("futures", kind, ticker, f"/futures/v1/{path}/{ticker}", query)


def bars(market: Market, first: date, last: date) -> Question:
    """The newest minute bar between two days, both included."""
    ticker = SYMBOLS[market]
    path = f"/v2/aggs/ticker/{bars_symbol(ticker)}/range/1/minute/{first}/{last}"
    return Question(market, "bars", ticker, path, {"sort": "desc", "limit": "1"})


def history(day: date) -> Question:
    """The day bar of a stock."""
    ticker = SYMBOLS["stocks"]
    path = f"/v2/aggs/ticker/{ticker}/range/1/day/{day}/{day}"
    return Question("stocks", "bars", ticker, path, {"limit": "1"})
