"""Events of stocks on the socket, made from arrays many at a time.

A field that is None is left out of the JSON, as the vendor does. From the day fractional shares
appeared, exact sizes are sent as decimal text beside the rounded numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.cells import (
    decimals,
    ids,
    milliseconds,
    numbers,
    present,
    sets_at,
    tickers_at,
)

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows

_MS = 1_000_000
#: What a bar that is sent too early lacks of its volume.
EARLY_VOLUME = 0.9


class Status(msgspec.Struct, tag_field="ev", tag="status"):
    """What the server says of the conversation."""

    status: str
    message: str


class Trade(msgspec.Struct, omit_defaults=True, tag_field="ev", tag="T"):
    """A trade, times in milliseconds."""

    sym: str
    i: str
    x: int
    p: float
    s: int
    t: int
    q: int
    z: int
    c: tuple[int, ...] | None = None
    pt: int | None = None
    trfi: int | None = None
    trft: int | None = None
    ds: str | None = None


class Quote(msgspec.Struct, omit_defaults=True, tag_field="ev", tag="Q"):
    """A best bid and offer; a side that is absent has no fields."""

    sym: str
    t: int
    q: int
    z: int
    c: int | None = None
    i: tuple[int, ...] | None = None
    bx: int | None = None
    bp: float | None = None
    bs: int | None = None
    ax: int | None = None
    ap: float | None = None
    # `as` is a word of Python.
    as_: int | None = msgspec.field(default=None, name="as")
    pt: int | None = None


class MinuteBar(msgspec.Struct, omit_defaults=True, tag_field="ev", tag="AM"):
    """A bar of a minute."""

    sym: str
    v: int
    av: int
    op: float
    o: float
    c: float
    h: float
    l: float  # noqa: E741 the vendor's name
    z: int
    s: int
    e: int
    vw: float | None = None
    a: float | None = None
    dv: str | None = None
    dav: str | None = None


class SecondBar(MinuteBar, omit_defaults=True, tag_field="ev", tag="A"):
    """A bar of a second."""


def trades(rows: Rows, at: NDArray[np.integer[Any]], day: date) -> list[Trade]:
    """Trade events of the rows at some positions."""
    size = rows["size"][at]
    trf = present(rows["trf_id"][at])
    return list(
        map(
            Trade,
            tickers_at(rows, at),
            ids(rows["id"][at]),
            rows["exchange"][at].tolist(),
            rows["price"][at].tolist(),
            size.astype(np.int64).tolist(),
            milliseconds(rows["sip_timestamp"][at]),
            rows["sequence_number"][at].tolist(),
            rows["tape"][at].tolist(),
            sets_at(rows, "conditions", at),
            milliseconds(rows["participant_timestamp"][at]),
            trf,
            [
                each and ns // _MS
                for each, ns in zip(trf, rows["trf_timestamp"][at].tolist(), strict=True)
            ],
            decimals(size, day),
        )
    )


def quotes(rows: Rows, at: NDArray[np.integer[Any]]) -> list[Quote]:
    """Quote events of the rows at some positions."""
    return list(
        map(
            Quote,
            tickers_at(rows, at),
            milliseconds(rows["sip_timestamp"][at]),
            rows["sequence_number"][at].tolist(),
            rows["tape"][at].tolist(),
            [each[0] if each else None for each in sets_at(rows, "conditions", at)],
            sets_at(rows, "indicators", at),
            *_side(rows, "bid", at),
            *_side(rows, "ask", at),
            milliseconds(rows["participant_timestamp"][at]),
        )
    )


def _side(rows: Rows, side: str, at: NDArray[np.integer[Any]]) -> list[list[Any]]:
    exchange = present(rows[f"{side}_exchange"][at])
    price = rows[f"{side}_price"][at].tolist()
    size = rows[f"{side}_size"][at].astype(np.int64).tolist()
    if None not in exchange:
        return [exchange, price, size]
    absent = [each is None for each in exchange]
    return [
        exchange,
        [None if gone else value for value, gone in zip(price, absent, strict=True)],
        [None if gone else value for value, gone in zip(size, absent, strict=True)],
    ]


class DayBars:
    """Bars of a day with what the socket tells besides: the day's volume, open and VWAP so far.

    Args:
        rows: the bars of all tickers.
        open_ns: when regular trading begins; until then the official open is 0.
        width_ns: a second or a minute.
    """

    def __init__(self, rows: Rows, open_ns: int, width_ns: int) -> None:
        self.rows = rows
        self._width_ms = width_ns // _MS
        self._event = MinuteBar if width_ns > NS_PER_SECOND else SecondBar
        first = np.repeat(rows.starts[:-1], np.diff(rows.starts))
        volume, vwap = rows["volume"], rows["vwap"]
        self._so_far = _running(volume, first).round(6)
        with np.errstate(invalid="ignore", divide="ignore"):
            self._day_vwap = (_running(volume * vwap, first) / self._so_far).round(4)
        self._official_open = _official_opens(rows, open_ns)

    def events(
        self, at: NDArray[np.integer[Any]], early: NDArray[np.bool_], day: date | None
    ) -> list[MinuteBar]:
        """Events of the bars at some positions, `early` ones before their last trades came.

        Without a day, where there are no fractions, exact volumes are not told.
        """
        rows = self.rows
        volume = np.where(early, np.ceil(rows["volume"][at] * EARLY_VOLUME), rows["volume"][at])
        so_far = self._so_far[at]
        start = rows["window_start"][at] // _MS
        count = np.maximum(rows["transactions"][at], 1)
        return list(
            map(
                self._event,
                tickers_at(rows, at),
                np.rint(volume).astype(np.int64).tolist(),
                np.rint(so_far).astype(np.int64).tolist(),
                self._official_open[at].tolist(),
                rows["open"][at].tolist(),
                rows["close"][at].tolist(),
                rows["high"][at].tolist(),
                rows["low"][at].tolist(),
                (volume // count).astype(np.int64).tolist(),
                start.tolist(),
                (start + self._width_ms).tolist(),
                numbers(rows["vwap"][at]),
                numbers(self._day_vwap[at]),
                decimals(volume, day),
                decimals(so_far, day),
            )
        )


def _running(values: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums since the first row of each ticker."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sums[1:] - sums[first])


def _official_opens(rows: Rows, open_ns: int) -> NDArray[np.float64]:
    """The open of each ticker's first regular bar, 0 for bars before it."""
    start = rows["window_start"]
    opens = np.zeros(len(rows))
    for low, high in zip(rows.starts[:-1].tolist(), rows.starts[1:].tolist(), strict=True):
        first = low + int(np.searchsorted(start[low:high], open_ns))
        if first < high:
            opens[first:high] = rows["open"][first]
    return opens
