"""Currencies: quotes without sizes, and bars of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tsstore_massive_simulator import cells
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import Ticks
from tsstore_massive_simulator.voices import pairs, stocks
from tsstore_massive_simulator.voices.voice import Voice

if TYPE_CHECKING:
    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import At

_PREFIX = "C:"


class Quote(msgspec.Struct, tag_field="ev", tag="C"):
    """A quote, time in milliseconds."""

    p: str
    x: int
    a: float
    b: float
    t: int


class RestQuote(msgspec.Struct):
    """A row of `/v3/quotes`, time in nanoseconds."""

    ask_exchange: int
    ask_price: float
    bid_exchange: int
    bid_price: float
    participant_timestamp: int


def _socket_name(ticker: str) -> str:
    return ticker.removeprefix(_PREFIX).replace("-", "/")


def _ticker_of(name: str) -> str:
    return _PREFIX + name.removeprefix(_PREFIX).replace("/", "-")


def _quotes(rows: Rows, at: At) -> list[Any]:
    return list(
        map(
            Quote,
            map(_socket_name, cells.tickers_at(rows, at)),
            *(rows[name][at].tolist() for name in ("ask_exchange", "ask_price", "bid_price")),
            cells.milliseconds(rows["participant_timestamp"][at]),
        )
    )


def _rest_quotes(rows: Rows) -> list[RestQuote]:
    return list(map(RestQuote, *(rows[name].tolist() for name in RestQuote.__struct_fields__)))


def _fair_values(rows: Rows, at: At) -> list[Any]:
    return stocks.fair_values(rows, at, list(map(_socket_name, cells.tickers_at(rows, at))))


_BARS = pairs.PairBars(pairs.ForexMinute, pairs.ForexSecond, _socket_name, has_vwap=False)

VOICE = Voice(
    "forex",
    {
        "C": lambda asked: Ticks(asked.rows(Kind.QUOTES), _quotes),
        "CA": _BARS.minutes,
        "CAS": _BARS.seconds,
        "FMV": lambda asked: Ticks(asked.rows(Kind.FAIR_VALUES), _fair_values),
    },
    ticker_of=_ticker_of,
    bar_name=lambda ticker: ticker.replace("-", ""),
    quotes=_rest_quotes,
    asset_class="fx",
)
