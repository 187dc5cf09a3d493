"""Which path of the REST interface means what, and what kind of data it tells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsstore_massive_simulator import (
    actions,
    aggregates,
    codes,
    futuresrest,
    marketstatus,
    reference,
    snapshots,
    ticks,
    universal,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore_massive_simulator.question import Page, Question

_TICKER = r"(?P<ticker>[^/]+)"
_SNAPSHOT = "/v2/snapshot/locale/(?:us|global)/markets/(?P<market>stocks|forex|crypto)"
_GROUPED = "/v2/aggs/grouped/locale/(?:us|global)/market/(?P<market>stocks|fx|crypto)"
_PAIR = "(?P<base>[^/]+)/(?P<quote>[^/]+)"
_FUTURES = "/(?P<market>futures)/v1"
_RANGE = r"(?P<multiplier>\d+)/(?P<timespan>\w+)/(?P<first>[^/]+)/(?P<last>[^/]+)"
#: Patterns by kind of data; what has no kind is in every plan.
_ROUTES: dict[str, tuple[tuple[str, Callable[[Question], Page]], ...]] = {
    "bars": (
        (rf"/v2/aggs/ticker/{_TICKER}/range/{_RANGE}", aggregates.bars),
        (rf"/v2/aggs/ticker/{_TICKER}/prev", aggregates.previous_close),
        (rf"{_GROUPED}/(?P<day>[^/]+)", aggregates.grouped_daily),
        (rf"/v1/open-close/{_TICKER}/(?P<day>[^/]+)", aggregates.open_close),
        (rf"{_FUTURES}/aggs/{_TICKER}", futuresrest.bars),
    ),
    "trades": (
        (rf"/v3/trades/{_TICKER}", ticks.trades),
        (rf"/v2/last/trade/{_TICKER}", ticks.last_trade),
        (rf"/v1/last/(?P<market>crypto)/{_PAIR}", ticks.last_pair),
        (rf"{_FUTURES}/trades/{_TICKER}", futuresrest.trades),
    ),
    "quotes": (
        (rf"/v3/quotes/{_TICKER}", ticks.quotes),
        (rf"/v2/last/nbbo/{_TICKER}", ticks.last_quote),
        (rf"/v1/last_quote/(?P<market>currencies)/{_PAIR}", ticks.last_pair),
        (rf"{_FUTURES}/quotes/{_TICKER}", futuresrest.quotes),
    ),
    "snapshots": (
        (rf"{_SNAPSHOT}/tickers", snapshots.every_ticker),
        (rf"{_SNAPSHOT}/tickers/{_TICKER}", snapshots.one_ticker),
        (rf"{_SNAPSHOT}/(?P<direction>gainers|losers)", snapshots.movers),
        (r"/v3/snapshot", universal.universal),
        (r"/v3/snapshot/(?P<market>indices)", universal.universal),
    ),
    "": (
        (r"/v3/reference/tickers", reference.tickers),
        (r"/v3/reference/tickers/types", reference.ticker_types),
        (rf"/v3/reference/tickers/{_TICKER}", reference.ticker_details),
        (rf"/vX/reference/tickers/{_TICKER}/events", reference.ticker_events),
        (r"/v3/reference/options/contracts", reference.option_contracts),
        (r"/v3/reference/splits", actions.splits),
        (r"/stocks/v1/splits", actions.stock_splits),
        (r"/v3/reference/dividends", actions.dividends),
        (r"/stocks/v1/dividends", actions.stock_dividends),
        (r"/v3/reference/exchanges", codes.exchanges),
        (r"/v3/reference/conditions", codes.conditions),
        (r"/v1/marketstatus/now", marketstatus.market_status),
        (r"/v1/marketstatus/upcoming", marketstatus.market_holidays),
        (rf"{_FUTURES}/contracts", futuresrest.contracts),
        (rf"{_FUTURES}/products", futuresrest.products),
        (rf"{_FUTURES}/exchanges", futuresrest.exchanges),
        (rf"{_FUTURES}/market-status", futuresrest.market_status),
    ),
}
_COMPILED = tuple(
    (re.compile(pattern), answer, kind)
    for kind, routes in _ROUTES.items()
    for pattern, answer in routes
)


@dataclass(frozen=True)
class Route:
    """What a path means.

    Attributes:
        answer: makes the answer.
        kind: the kind of data: bars, trades, quotes, snapshots, or nothing.
        parts: the named parts of the path.
    """

    answer: Callable[[Question], Page]
    kind: str
    parts: dict[str, str]


def route_of(path: str) -> Route | None:
    """What a path means; None when it leads nowhere."""
    for pattern, answer, kind in _COMPILED:
        match = pattern.fullmatch(path)
        if match is not None:
            return Route(answer, kind, match.groupdict())
    return None
