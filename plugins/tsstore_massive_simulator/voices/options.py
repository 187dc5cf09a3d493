"""Options: as stocks, without tapes, trade ids and fractions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import cells, events
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import MinuteBars, SecondBars, Ticks
from tsstore_massive_simulator.voices import stocks
from tsstore_massive_simulator.voices.voice import Voice

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import Asked, At


class Trade(msgspec.Struct, omit_defaults=True, tag_field="ev", tag="T"):
    """A trade, time in milliseconds."""

    sym: str
    x: int
    p: float
    s: int
    t: int
    q: int
    c: tuple[int, ...] | None = None


class Quote(msgspec.Struct, tag_field="ev", tag="Q"):
    """A best bid and offer, time in milliseconds."""

    sym: str
    bx: int
    bp: float
    bs: int
    ax: int
    ap: float
    # `as` is a word of Python.
    as_: int = msgspec.field(name="as")
    t: int
    q: int


class RestTrade(msgspec.Struct, omit_defaults=True):
    """A row of `/v3/trades`, times in nanoseconds."""

    exchange: int
    participant_timestamp: int
    price: float
    sip_timestamp: int
    size: int
    conditions: tuple[int, ...] | None = None


class RestQuote(msgspec.Struct):
    """A row of `/v3/quotes`, time in nanoseconds."""

    ask_exchange: int
    ask_price: float
    ask_size: int
    bid_exchange: int
    bid_price: float
    bid_size: int
    sequence_number: int
    sip_timestamp: int


def _trades(rows: Rows, at: At) -> list[Any]:
    return list(
        map(
            Trade,
            cells.tickers_at(rows, at),
            rows["exchange"][at].tolist(),
            rows["price"][at].tolist(),
            rows["size"][at].astype(np.int64).tolist(),
            cells.milliseconds(rows["sip_timestamp"][at]),
            rows["sequence_number"][at].tolist(),
            cells.sets_at(rows, "conditions", at),
        )
    )


def _quotes(rows: Rows, at: At) -> list[Any]:
    names = ("bid_exchange", "bid_price", "bid_size", "ask_exchange", "ask_price", "ask_size")
    return list(
        map(
            Quote,
            cells.tickers_at(rows, at),
            *(rows[name][at].tolist() for name in names),
            cells.milliseconds(rows["sip_timestamp"][at]),
            rows["sequence_number"][at].tolist(),
        )
    )


def _rest_trades(rows: Rows) -> list[RestTrade]:
    return list(
        map(
            RestTrade,
            rows["exchange"].tolist(),
            rows["participant_timestamp"].tolist(),
            rows["price"].tolist(),
            rows["sip_timestamp"].tolist(),
            rows["size"].astype(np.int64).tolist(),
            cells.sets_at(rows, "conditions", np.arange(len(rows))),
        )
    )


def _rest_quotes(rows: Rows) -> list[RestQuote]:
    return list(map(RestQuote, *(rows[name].tolist() for name in RestQuote.__struct_fields__)))


def _bars(asked: Asked, rows: Rows, width_ns: int) -> Callable[[At, NDArray[np.bool_]], list[Any]]:
    bars = events.DayBars(rows, asked.market.open_ns(asked.day), width_ns)
    return lambda at, early: bars.events(at, early, None)


def _second_bars(asked: Asked) -> SecondBars:
    rows = asked.market.second_bars(asked.day, asked.tickers)
    return SecondBars(rows, asked.timing.second_ns, _bars(asked, rows, NS_PER_SECOND))


def _minute_bars(asked: Asked) -> MinuteBars:
    rows = asked.rows(Kind.MINUTES)
    return MinuteBars(rows, asked.timing, _bars(asked, rows, MINUTE_NS))


VOICE = Voice(
    "options",
    {
        "T": lambda asked: Ticks(asked.rows(Kind.TRADES), _trades),
        "Q": lambda asked: Ticks(asked.rows(Kind.QUOTES), _quotes),
        "A": _second_bars,
        "AM": _minute_bars,
        "FMV": lambda asked: Ticks(asked.rows(Kind.FAIR_VALUES), stocks.fair_values),
    },
    trades=_rest_trades,
    quotes=_rest_quotes,
    asset_class="options",
)
