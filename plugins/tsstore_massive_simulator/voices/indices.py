"""Indices: values, and bars without volumes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import cells
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import MinuteBars, SecondBars, Ticks
from tsstore_massive_simulator.voices.voice import Voice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows
    from tsstore_massive_simulator.sources import Asked, At

_MS = 1_000_000


class Value(msgspec.Struct, tag_field="ev", tag="V"):
    """A value, time in milliseconds."""

    val: float
    T: str
    t: int


class MinuteBar(msgspec.Struct, tag_field="ev", tag="AM"):
    """A bar of a minute."""

    sym: str
    op: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 the vendor's name
    s: int
    e: int


class SecondBar(MinuteBar, tag_field="ev", tag="A"):
    """A bar of a second."""


class RestBar(msgspec.Struct, omit_defaults=True):
    """A row of the aggregates, time in milliseconds."""

    o: float
    c: float
    h: float
    l: float  # noqa: E741 the vendor's name
    t: int
    T: str | None = None


def _values(rows: Rows, at: At) -> list[Any]:
    tickers = cells.tickers_at(rows, at)
    times = cells.milliseconds(rows["sip_timestamp"][at])
    return list(map(Value, rows["value"][at].tolist(), tickers, times))


def _bars(
    kind: type[MinuteBar],
    width_ns: int,
    rows: Rows,
    at: At,
    early: NDArray[np.bool_],
) -> list[Any]:
    """Early bars lack what the last value changed: they still close where they opened."""
    first = np.repeat(rows.starts[:-1], np.diff(rows.starts))
    start = rows["window_start"][at] // _MS
    return list(
        map(
            kind,
            cells.tickers_at(rows, at),
            rows["open"][first[at]].tolist(),
            rows["open"][at].tolist(),
            np.where(early, rows["open"][at], rows["close"][at]).tolist(),
            rows["high"][at].tolist(),
            rows["low"][at].tolist(),
            start.tolist(),
            (start + width_ns // _MS).tolist(),
        )
    )


def _second_bars(asked: Asked) -> SecondBars:
    rows = asked.market.second_bars(asked.day, asked.tickers)
    make = partial(_bars, SecondBar, NS_PER_SECOND, rows)
    return SecondBars(rows, asked.timing.second_ns, make)


def _minute_bars(asked: Asked) -> MinuteBars:
    rows = asked.rows(Kind.MINUTES)
    return MinuteBars(rows, asked.timing, partial(_bars, MinuteBar, MINUTE_NS, rows))


def _rest_bars(columns: Any, tickers: Sequence[str | None] | None = None) -> list[RestBar]:
    return list(
        map(
            RestBar,
            *(columns[name].tolist() for name in ("open", "close", "high", "low")),
            (columns["window_start"] // _MS).tolist(),
            tickers or [None] * len(columns["open"]),
        )
    )


VOICE = Voice(
    "indices",
    {
        "V": lambda asked: Ticks(asked.rows(Kind.VALUES), _values),
        "A": _second_bars,
        "AM": _minute_bars,
    },
    silent=frozenset(),
    bars=_rest_bars,
    asset_class="indices",
)
