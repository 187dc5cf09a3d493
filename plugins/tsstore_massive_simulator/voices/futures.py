"""Futures: trades, quotes and bars, whose `dv` is a sum of money."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import cells, events
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import MinuteBars, SecondBars, Ticks
from tsstore_massive_simulator.voices.voice import Voice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import Asked, At

_MS = 1_000_000


class Trade(msgspec.Struct, tag_field="ev", tag="T"):
    """A trade, time in milliseconds."""

    sym: str
    p: float
    s: int
    t: int
    q: int


class Quote(msgspec.Struct, omit_defaults=True, tag_field="ev", tag="Q"):
    """A best bid and offer with the time of each; a side that is absent has no fields."""

    sym: str
    t: int
    bp: float | None = None
    bs: int | None = None
    bt: int | None = None
    ap: float | None = None
    # `as` is a word of Python.
    as_: int | None = msgspec.field(default=None, name="as")
    at: int | None = None


class MinuteBar(msgspec.Struct, tag_field="ev", tag="AM"):
    """A bar of a minute."""

    sym: str
    v: int
    dv: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 the vendor's name
    n: int
    s: int
    e: int


class SecondBar(MinuteBar, tag_field="ev", tag="A"):
    """A bar of a second."""


def _trades(rows: Rows, at: At) -> list[Any]:
    return list(
        map(
            Trade,
            cells.tickers_at(rows, at),
            rows["price"][at].tolist(),
            rows["size"][at].astype(np.int64).tolist(),
            cells.milliseconds(rows["sip_timestamp"][at]),
            rows["sequence_number"][at].tolist(),
        )
    )


def _quotes(rows: Rows, at: At) -> list[Any]:
    return list(
        map(
            Quote,
            cells.tickers_at(rows, at),
            cells.milliseconds(rows["sip_timestamp"][at]),
            *_side(rows, "bid", at),
            *_side(rows, "ask", at),
        )
    )


def _side(rows: Rows, side: str, at: At) -> list[list[Any]]:
    price = rows[f"{side}_price"][at]
    columns = (price, rows[f"{side}_size"][at], rows[f"{side}_timestamp"][at] // _MS)
    absent = (price == 0).tolist()
    return [
        [None if gone else value for value, gone in zip(column.tolist(), absent, strict=True)]
        for column in columns
    ]


def _bars(
    kind: type[MinuteBar], width_ns: int, rows: Rows, at: At, early: NDArray[np.bool_]
) -> list[Any]:
    volume = rows["volume"][at]
    volume = np.where(early, np.ceil(volume * events.EARLY_VOLUME), volume)
    start = rows["window_start"][at] // _MS
    return list(
        map(
            kind,
            cells.tickers_at(rows, at),
            volume.astype(np.int64).tolist(),
            dollar_volumes(volume, rows["vwap"][at]),
            *(rows[name][at].tolist() for name in ("open", "close", "high", "low")),
            rows["transactions"][at].tolist(),
            start.tolist(),
            (start + width_ns // _MS).tolist(),
        )
    )


def dollar_volumes(volume: NDArray[np.float64], vwap: NDArray[np.float64]) -> list[float]:
    """Money that changed hands."""
    made: list[float] = np.round(volume * vwap, 4).tolist()
    return made


def _second_bars(asked: Asked) -> SecondBars:
    rows = asked.market.second_bars(asked.day, asked.tickers)
    make = partial(_bars, SecondBar, NS_PER_SECOND, rows)
    return SecondBars(rows, asked.timing.second_ns, make)


def _minute_bars(asked: Asked) -> MinuteBars:
    rows = asked.rows(Kind.MINUTES)
    return MinuteBars(rows, asked.timing, partial(_bars, MinuteBar, MINUTE_NS, rows))


VOICE = Voice(
    "futures",
    {
        "T": lambda asked: Ticks(asked.rows(Kind.TRADES), _trades),
        "Q": lambda asked: Ticks(asked.rows(Kind.QUOTES), _quotes),
        "A": _second_bars,
        "AM": _minute_bars,
    },
    silent=frozenset(),
    asset_class="futures",
)
