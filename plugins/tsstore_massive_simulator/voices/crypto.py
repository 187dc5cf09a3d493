"""Crypto: trades, quotes and bars of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore_massive_simulator import cells
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import Ticks
from tsstore_massive_simulator.voices import pairs, stocks
from tsstore_massive_simulator.voices.voice import Voice

if TYPE_CHECKING:
    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import At

_PREFIX = "X:"
_RECEIVED = "received_timestamp"


class Trade(msgspec.Struct, omit_defaults=True, tag_field="ev", tag="XT"):
    """A trade, times in milliseconds: when it happened, and when the vendor heard of it."""

    pair: str
    p: float
    t: int
    s: float | int
    i: str
    x: int
    r: int
    c: tuple[int, ...] | None = None


class Quote(msgspec.Struct, tag_field="ev", tag="XQ"):
    """A best bid and offer, times as in trades."""

    pair: str
    bp: float
    bs: float
    ap: float
    # `as` is a word of Python.
    as_: float = msgspec.field(name="as")
    t: int
    x: int
    r: int


class RestTrade(msgspec.Struct, omit_defaults=True):
    """A row of `/v3/trades`, time in nanoseconds."""

    exchange: int
    id: str
    participant_timestamp: int
    price: float
    size: float | int
    conditions: tuple[int, ...] | None = None


def _socket_name(ticker: str) -> str:
    return ticker.removeprefix(_PREFIX)


def _ticker_of(name: str) -> str:
    return _PREFIX + name.removeprefix(_PREFIX)


def _trades(rows: Rows, at: At) -> list[Any]:
    return list(
        map(
            Trade,
            map(_socket_name, cells.tickers_at(rows, at)),
            rows["price"][at].tolist(),
            cells.milliseconds(rows["participant_timestamp"][at]),
            cells.plain(rows["size"][at]),
            map(str, rows["id"][at].tolist()),
            rows["exchange"][at].tolist(),
            cells.milliseconds(rows[_RECEIVED][at]),
            cells.sets_at(rows, "conditions", at),
        )
    )


def _quotes(rows: Rows, at: At) -> list[Any]:
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    return list(
        map(
            Quote,
            map(_socket_name, cells.tickers_at(rows, at)),
            *(rows[name][at].tolist() for name in names),
            cells.milliseconds(rows["participant_timestamp"][at]),
            rows["exchange"][at].tolist(),
            cells.milliseconds(rows[_RECEIVED][at]),
        )
    )


def _rest_trades(rows: Rows) -> list[RestTrade]:
    return list(
        map(
            RestTrade,
            rows["exchange"].tolist(),
            map(str, rows["id"].tolist()),
            rows["participant_timestamp"].tolist(),
            rows["price"].tolist(),
            cells.plain(rows["size"]),
            cells.sets_at(rows, "conditions", np.arange(len(rows))),
        )
    )


def _fair_values(rows: Rows, at: At) -> list[Any]:
    return stocks.fair_values(rows, at, list(map(_socket_name, cells.tickers_at(rows, at))))


_BARS = pairs.PairBars(pairs.CryptoMinute, pairs.CryptoSecond, _socket_name, has_vwap=True)

VOICE = Voice(
    "crypto",
    {
        "XT": lambda asked: Ticks(asked.rows(Kind.TRADES), _trades, due=_RECEIVED),
        "XQ": lambda asked: Ticks(asked.rows(Kind.QUOTES), _quotes, due=_RECEIVED),
        "XA": _BARS.minutes,
        "XAS": _BARS.seconds,
        "FMV": lambda asked: Ticks(asked.rows(Kind.FAIR_VALUES), _fair_values),
    },
    silent=frozenset({"LV", "XL2"}),
    ticker_of=_ticker_of,
    bar_name=lambda ticker: ticker.replace("-", ""),
    trades=_rest_trades,
    asset_class="crypto",
)
