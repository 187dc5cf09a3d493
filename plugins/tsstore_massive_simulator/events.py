"""Events of the WebSocket and rows of REST answers, made from arrays many at a time.

A field that is None is left out of the JSON, as the vendor does. From the day fractional shares
appeared, exact sizes are sent as decimal text beside the rounded numbers.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.calendar import day_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows

_MS = 1_000_000
_DECIMAL_SIZES_SINCE = date(2026, 2, 23)
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


class RestTrade(msgspec.Struct, omit_defaults=True):
    """A row of `/v3/trades`, times in nanoseconds."""

    exchange: int
    id: str
    participant_timestamp: int
    price: float
    sequence_number: int
    sip_timestamp: int
    size: float | int
    tape: int
    conditions: tuple[int, ...] | None = None
    correction: int | None = None
    decimal_size: str | None = None
    trf_id: int | None = None
    trf_timestamp: int | None = None


class RestQuote(msgspec.Struct, omit_defaults=True):
    """A row of `/v3/quotes`, times in nanoseconds; an absent side is zeros."""

    ask_exchange: int
    ask_price: float
    ask_size: float | int
    bid_exchange: int
    bid_price: float
    bid_size: float | int
    participant_timestamp: int
    sequence_number: int
    sip_timestamp: int
    tape: int
    conditions: tuple[int, ...] | None = None
    indicators: tuple[int, ...] | None = None


class RestBar(msgspec.Struct, omit_defaults=True):
    """A row of the aggregates, time in milliseconds."""

    v: float | int
    o: float
    c: float
    h: float
    l: float  # noqa: E741 the vendor's name
    t: int
    vw: float | None = None
    n: int | None = None
    T: str | None = None


def trades(rows: Rows, at: NDArray[np.integer[Any]], day: date) -> list[Trade]:
    """Trade events of the rows at some positions."""
    size = rows["size"][at]
    trf = _present(rows["trf_id"][at])
    return list(
        map(
            Trade,
            tickers_at(rows, at),
            _ids(rows["id"][at]),
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
            _decimals(size, day),
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
    exchange = _present(rows[f"{side}_exchange"][at])
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
                _decimals(volume, day),
                _decimals(so_far, day),
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


def rest_trades(rows: Rows) -> list[RestTrade]:
    """Rows of `/v3/trades`."""
    every = np.arange(len(rows))
    trf = _present(rows["trf_id"])
    return list(
        map(
            RestTrade,
            rows["exchange"].tolist(),
            _ids(rows["id"]),
            rows["participant_timestamp"].tolist(),
            rows["price"].tolist(),
            rows["sequence_number"].tolist(),
            rows["sip_timestamp"].tolist(),
            rows["size"].astype(np.int64).tolist(),
            rows["tape"].tolist(),
            sets_at(rows, "conditions", every),
            _present(rows["correction"]),
            exact_sizes(rows),
            trf,
            _present(np.where(rows["trf_id"] > 0, rows["trf_timestamp"], 0)),
        )
    )


def exact_sizes(rows: Rows) -> Sequence[str | None]:
    """Sizes of the trades of a day as decimal text, None before there were fractions."""
    if not len(rows):
        return []
    return _decimals(rows["size"], day_of(int(rows["sip_timestamp"][0])))


def rest_quotes(rows: Rows) -> list[RestQuote]:
    """Rows of `/v3/quotes`."""
    every = np.arange(len(rows))
    return list(
        map(
            RestQuote,
            rows["ask_exchange"].tolist(),
            rows["ask_price"].tolist(),
            plain(rows["ask_size"]),
            rows["bid_exchange"].tolist(),
            rows["bid_price"].tolist(),
            plain(rows["bid_size"]),
            rows["participant_timestamp"].tolist(),
            rows["sequence_number"].tolist(),
            rows["sip_timestamp"].tolist(),
            rows["tape"].tolist(),
            sets_at(rows, "conditions", every),
            sets_at(rows, "indicators", every),
        )
    )


def rest_bars(columns: Any, tickers: Sequence[str | None] | None = None) -> list[RestBar]:
    """Rows of the aggregates.

    Args:
        columns: arrays by name, as bars have.
        tickers: one per row, in answers that hold several.
    """
    return list(
        map(
            RestBar,
            plain(columns["volume"]),
            columns["open"].tolist(),
            columns["close"].tolist(),
            columns["high"].tolist(),
            columns["low"].tolist(),
            (columns["window_start"] // _MS).tolist(),
            numbers(columns["vwap"]),
            _present(columns["transactions"]),
            tickers or [None] * len(columns["open"]),
        )
    )


def decimal_text(value: float) -> str:
    """A size as the vendor writes exact ones: `40.0`, `0.007300`."""
    return f"{value:.1f}" if value == int(value) else f"{value:.6f}"


_cached_decimal_text = lru_cache(maxsize=65536)(decimal_text)


def _decimals(values: NDArray[np.float64], day: date | None) -> Sequence[str | None]:
    if day is None or day < _DECIMAL_SIZES_SINCE:
        return [None] * len(values)
    return list(map(_cached_decimal_text, values.tolist()))


def tickers_at(rows: Rows, at: NDArray[np.integer[Any]]) -> list[str]:
    """The tickers of the rows at some positions."""
    tickers = rows.tickers
    return [tickers[index] for index in rows.ticker_index[at].tolist()]


def _ids(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "S":
        return [each.decode() for each in values.tolist()]
    return list(map(str, values.tolist()))


def sets_at(rows: Rows, name: str, at: NDArray[np.integer[Any]]) -> list[tuple[int, ...] | None]:
    """What a column of sets holds at some positions, None for nothing."""
    sets = [each or None for each in rows.sets]
    return [sets[code] for code in rows[name][at].tolist()]


def milliseconds(ns: NDArray[np.int64]) -> list[int]:
    """Times as the socket tells most of them."""
    made: list[int] = (ns // _MS).tolist()
    return made


def _present(values: NDArray[Any]) -> list[Any]:
    """Numbers, None for zeros."""
    return [each or None for each in values.tolist()]


def numbers(values: NDArray[np.float64]) -> list[float | None]:
    """Floats, None for NaN."""
    numbers: list[float | None] = values.tolist()
    for at in np.flatnonzero(np.isnan(values)).tolist():
        numbers[at] = None
    return numbers


def plain(values: NDArray[np.float64]) -> list[float | int]:
    """Numbers as the vendor writes them: whole ones without a point."""
    whole = values == np.floor(values)
    if whole.all():
        numbers: list[float | int] = values.astype(np.int64).tolist()
        return numbers
    return [
        int(each) if is_whole else each
        for each, is_whole in zip(values.tolist(), whole.tolist(), strict=True)
    ]
