"""Decoded bars, trades and quotes as numpy columns, whichever way they came.

The structs of the socket and of REST name their attributes alike, so one function per kind makes
the columns of both. One pass per column, no Python per row.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive.schemas import BARS, QUOTES, TRADES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore_massive.schemas import Kind

#: Conditions of a trade that have a column each; a trade with more keeps the first ones.
CONDITIONS_MAX = 4

_MICROSECONDS_FROM = 10**14
_NANOSECONDS_FROM = 10**17


def rows_of(kind: Kind, events: Sequence[Any]) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Times and columns of decoded events of one kind.

    Args:
        kind: bars, trades or quotes.
        events: structs of that kind, in any order.

    Returns:
        int64 nanoseconds since 1970 UTC, and the columns of the kind's schema by name; each of
        shape (len(events),), in the order given.
    """
    ts = _nanoseconds(_column(events, "time", np.dtype(np.int64)))
    schema, columns = _COLUMNS[kind]
    arrays = columns(events)
    return ts, {name: arrays[name] for name in schema.names}


def count_cut_conditions(trades: Sequence[Any]) -> int:
    """How many trades have more conditions than there are columns."""
    return sum(len(trade.conditions) > CONDITIONS_MAX for trade in trades)


def _bars(bars: Sequence[Any]) -> dict[str, NDArray[Any]]:
    return _plain(bars, BARS, _BAR_ATTRIBUTES) | {"Volume": _exact(bars, "volume")}


def _trades(trades: Sequence[Any]) -> dict[str, NDArray[Any]]:
    return (
        _plain(trades, TRADES, _TRADE_ATTRIBUTES)
        | _spread_conditions(trades)
        | {"Size": _exact(trades, "size"), "ParticipantNs": _participant_ns(trades)}
    )


def _quotes(quotes: Sequence[Any]) -> dict[str, NDArray[Any]]:
    return _plain(quotes, QUOTES, _QUOTE_ATTRIBUTES) | {
        "Indicator": _first(quotes, "indicators", QUOTES.dtypes["Indicator"]),
        "ParticipantNs": _participant_ns(quotes),
    }


_BAR_ATTRIBUTES = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "VWAP": "vwap",
    "TradeCount": "trade_count",
}
_TRADE_ATTRIBUTES = {
    "Price": "price",
    "Exchange": "exchange",
    "TapeID": "tape",
    "Correction": "correction",
    "TRF": "trf",
    "TradeID": "trade_id",
    "Sequence": "sequence",
}
_QUOTE_ATTRIBUTES = {
    "BidPrice": "bid_price",
    "AskPrice": "ask_price",
    "BidSize": "bid_size",
    "AskSize": "ask_size",
    "BidExchange": "bid_exchange",
    "AskExchange": "ask_exchange",
    "Condition": "condition",
    "TapeID": "tape",
    "Sequence": "sequence",
}
_COLUMNS: dict[Kind, tuple[Schema, Callable[[Sequence[Any]], dict[str, NDArray[Any]]]]] = {
    "bars": (BARS, _bars),
    "trades": (TRADES, _trades),
    "quotes": (QUOTES, _quotes),
}


def _plain(
    events: Sequence[Any], schema: Schema, attributes: dict[str, str]
) -> dict[str, NDArray[Any]]:
    return {
        name: _column(events, attribute, schema.dtypes[name])
        for name, attribute in attributes.items()
    }


def _column(events: Sequence[Any], attribute: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.fromiter(map(attrgetter(attribute), events), dtype, count=len(events))


def _exact(events: Sequence[Any], attribute: str) -> NDArray[np.float64]:
    """Shares: the decimal text when the vendor sent one, since the number beside it is rounded."""
    exact = _column(events, f"exact_{attribute}", np.dtype(np.float64))
    rounded = np.isnan(exact)
    if rounded.any():
        exact[rounded] = _column(events, attribute, np.dtype(np.float64))[rounded]
    return exact


def _participant_ns(events: Sequence[Any]) -> NDArray[np.int64]:
    return _nanoseconds(_column(events, "participant_time", np.dtype(np.int64)))


def _nanoseconds(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Milli-, micro- or nanoseconds, told apart by size, as nanoseconds; 0 stays 0."""
    if len(times) and int(times.max()) < _MICROSECONDS_FROM:
        return times * 1_000_000  # what the socket sends; one step instead of five
    factor = np.where(times < _MICROSECONDS_FROM, 1_000_000, 1_000)
    return np.where(times < _NANOSECONDS_FROM, times * factor, times)


def _spread_conditions(trades: Sequence[Any]) -> dict[str, NDArray[np.uint8]]:
    lists = [trade.conditions for trade in trades]
    counts = np.fromiter(map(len, lists), np.int64, count=len(lists))
    flat = np.fromiter(chain.from_iterable(lists), np.uint8, count=int(counts.sum()))
    first = np.cumsum(counts) - counts
    columns = {}
    for index in range(CONDITIONS_MAX):
        column = np.zeros(len(lists), np.uint8)
        has = counts > index
        column[has] = flat[first[has] + index]
        columns[f"Cond{index + 1}"] = column
    return columns


def _first(events: Sequence[Any], attribute: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The first code of a list, 0 when it is empty."""
    lists = map(attrgetter(attribute), events)
    return np.fromiter([codes[0] if codes else 0 for codes in lists], dtype, count=len(events))
