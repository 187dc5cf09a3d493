"""Stocks: trades, quotes, bars, price bands, auction imbalances and fair values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import cells, events, restrows
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import MinuteBars, SecondBars, Ticks
from tsstore_massive_simulator.voices.voice import Voice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import Asked, At


class Band(msgspec.Struct, tag_field="ev", tag="LULD"):
    """A price band or a halt, time in nanoseconds."""

    T: str
    h: float
    l: float  # noqa: E741 the vendor's name
    i: tuple[int, ...]
    z: int
    t: int
    q: int


class Imbalance(msgspec.Struct, tag_field="ev", tag="NOI"):
    """More to buy than to sell before an auction, or the other way round; time in nanoseconds."""

    T: str
    t: int
    at: int
    a: str
    i: int
    x: int
    o: int
    p: int
    b: float


class FairValue(msgspec.Struct, tag_field="ev", tag="FMV"):
    """What the vendor thinks a ticker is worth, time in nanoseconds."""

    fmv: float
    sym: str
    t: int


def _trades(asked: Asked) -> Ticks:
    return Ticks(asked.rows(Kind.TRADES), lambda rows, at: events.trades(rows, at, asked.day))


def _quotes(asked: Asked) -> Ticks:
    return Ticks(asked.rows(Kind.QUOTES), events.quotes)


def _second_bars(asked: Asked) -> SecondBars:
    rows = asked.market.second_bars(asked.day, asked.tickers)
    bars = events.DayBars(rows, asked.market.open_ns(asked.day), NS_PER_SECOND)
    return SecondBars(
        rows, asked.timing.second_ns, lambda at, early: bars.events(at, early, asked.day)
    )


def _minute_bars(asked: Asked) -> MinuteBars:
    rows = asked.rows(Kind.MINUTES)
    bars = events.DayBars(rows, asked.market.open_ns(asked.day), MINUTE_NS)
    return MinuteBars(rows, asked.timing, lambda at, early: bars.events(at, early, asked.day))


def bands(rows: Rows, at: At) -> list[Any]:
    """Events of price bands."""
    sets = [rows.sets[code] for code in rows["indicators"][at].tolist()]
    return list(
        map(
            Band,
            cells.tickers_at(rows, at),
            rows["high_price"][at].tolist(),
            rows["low_price"][at].tolist(),
            sets,
            rows["tape"][at].tolist(),
            rows["sip_timestamp"][at].tolist(),
            rows["sequence_number"][at].tolist(),
        )
    )


def imbalances(rows: Rows, at: At) -> list[Any]:
    """Events of imbalances."""
    names = (
        *("sip_timestamp", "auction_time", "auction_type", "symbol_sequence", "exchange"),
        *("imbalance_quantity", "paired_quantity", "book_clearing_price"),
    )
    return list(
        map(Imbalance, cells.tickers_at(rows, at), *(rows[name][at].tolist() for name in names))
    )


def fair_values(rows: Rows, at: At, names: list[str] | None = None) -> list[Any]:
    """Events of fair values; `names` when the socket calls the tickers otherwise."""
    values: NDArray[np.float64] = rows["value"][at]
    times: NDArray[np.int64] = rows["sip_timestamp"][at]
    tickers = names or cells.tickers_at(rows, at)
    return list(map(FairValue, values.tolist(), tickers, times.tolist()))


VOICE = Voice(
    "stocks",
    {
        "T": _trades,
        "Q": _quotes,
        "A": _second_bars,
        "AM": _minute_bars,
        "LULD": lambda asked: Ticks(asked.rows(Kind.LULD), bands),
        "NOI": lambda asked: Ticks(asked.rows(Kind.IMBALANCES), imbalances),
        "FMV": lambda asked: Ticks(asked.rows(Kind.FAIR_VALUES), fair_values),
    },
    trades=restrows.rest_trades,
    quotes=restrows.rest_quotes,
    asset_class="stocks",
)
