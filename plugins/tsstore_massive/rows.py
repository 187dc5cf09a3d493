"""Decoded bars, trades and quotes as numpy columns, whichever way they came.

The structs of the socket and of REST name their attributes alike, so what is here serves both. Each
struct is read once and becomes a record of fixed width: to go through thousands of structs for
every column costs more, as most of that time is spent waiting for memory. Columns are then made of
any number of records at once.
"""

from __future__ import annotations

from itertools import starmap
from operator import attrgetter
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore_massive.schemas import BARS, QUOTES, TRADES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore_massive.schemas import Kind

#: Conditions of a trade that have a column each; a trade with more keeps the first ones.
CONDITIONS_MAX = 4

_MICROSECONDS_FROM = 10**14
_NANOSECONDS_FROM = 10**17

#: Fields of a record that are no columns: the time as it was told, and the exact size or volume.
_TIME, _EXACT = "Time", "Exact"
_STRUCT_CODES = {"f8": "d", "i8": "q", "u2": "H", "u1": "B"}


class Records(NamedTuple):
    """Events of one kind.

    Attributes:
        plain: what is one number each; see `_Layout.dtype`.
        codes: what is a list: conditions of trades, uint8 of shape (events, CONDITIONS_MAX) with 0
            where there are fewer; first indicators of quotes, uint16 of shape (events,).
    """

    plain: bytes
    codes: NDArray[Any] | None


class _Layout:
    """How events of a kind become records.

    Args:
        schema: of the kind's buckets.
        attributes: of the structs, by the column or field they go to.
    """

    def __init__(self, schema: Schema, attributes: Mapping[str, str]) -> None:
        extra = {_TIME: np.dtype(np.int64), _EXACT: np.dtype(np.float64)}
        dtypes = {name: schema.dtypes.get(name) or extra[name] for name in attributes}
        codes = [_STRUCT_CODES[dtype.str[1:]] for dtype in dtypes.values()]
        self.schema = schema
        self.dtype = np.dtype([(name, dtype.newbyteorder("<")) for name, dtype in dtypes.items()])
        self._values = attrgetter(*attributes.values())
        self._pack = Struct("<" + "".join(codes)).pack

    def records(self, events: Sequence[Any]) -> bytes:
        """One record of each event, without gaps."""
        return b"".join(starmap(self._pack, map(self._values, events)))


_LAYOUTS: dict[Kind, _Layout] = {
    "bars": _Layout(
        BARS,
        {
            _TIME: "time",
            "Open": "open",
            "High": "high",
            "Low": "low",
            "Close": "close",
            "Volume": "volume",
            _EXACT: "exact_volume",
            "VWAP": "vwap",
            "TradeCount": "trade_count",
        },
    ),
    "trades": _Layout(
        TRADES,
        {
            _TIME: "time",
            "Price": "price",
            "Size": "size",
            _EXACT: "exact_size",
            "Exchange": "exchange",
            "TapeID": "tape",
            "Correction": "correction",
            "TRF": "trf",
            "TradeID": "trade_id",
            "Sequence": "sequence",
            "ParticipantNs": "participant_time",
        },
    ),
    "quotes": _Layout(
        QUOTES,
        {
            _TIME: "time",
            "BidPrice": "bid_price",
            "AskPrice": "ask_price",
            "BidSize": "bid_size",
            "AskSize": "ask_size",
            "BidExchange": "bid_exchange",
            "AskExchange": "ask_exchange",
            "Condition": "condition",
            "TapeID": "tape",
            "Sequence": "sequence",
            "ParticipantNs": "participant_time",
        },
    ),
}
_conditions = attrgetter("conditions")
_indicators = attrgetter("indicators")
#: The first bytes there are, and zeros in place of those that are not.
_pack_conditions = Struct(f"{CONDITIONS_MAX}s").pack


def records_of(kind: Kind, events: Sequence[Any]) -> Records:
    """Decoded events as records.

    Args:
        kind: bars, trades or quotes.
        events: structs of that kind, in any order.
    """
    codes: NDArray[Any] | None = None
    if kind == "trades":
        packed = b"".join(map(_pack_conditions, map(bytes, map(_conditions, events))))
        codes = np.frombuffer(packed, np.uint8).reshape(-1, CONDITIONS_MAX)
    elif kind == "quotes":
        codes = _first_indicators(events)
    return Records(_LAYOUTS[kind].records(events), codes)


def columns_of(
    kind: Kind, parts: Sequence[Records]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Times and columns of records of one kind.

    Args:
        kind: bars, trades or quotes.
        parts: at least one.

    Returns:
        int64 nanoseconds since 1970 UTC, and the columns of the kind's schema by name; each of
        shape (events,), in the order given.
    """
    layout = _LAYOUTS[kind]
    records = np.frombuffer(b"".join([part.plain for part in parts]), layout.dtype)
    arrays = {name: records[name].copy() for name in layout.dtype.names or ()}
    ts, exact = _nanoseconds(arrays[_TIME]), arrays.get(_EXACT)
    if exact is not None:
        # Shares: the decimal text when the vendor sent one, since the number beside it is rounded.
        name = "Volume" if kind == "bars" else "Size"
        arrays[name] = np.where(np.isnan(exact), arrays[name], exact)
    codes = [part.codes for part in parts if part.codes is not None]
    if kind == "trades":
        columns = np.concatenate(codes).T
        arrays |= {f"Cond{n + 1}": columns[n].copy() for n in range(CONDITIONS_MAX)}
    elif kind == "quotes":
        arrays["Indicator"] = np.concatenate(codes)
    if kind != "bars":
        arrays["ParticipantNs"] = _nanoseconds(arrays["ParticipantNs"])
    return ts, {name: arrays[name] for name in layout.schema.names}


def count_cut_conditions(trades: Sequence[Any]) -> int:
    """How many trades have more conditions than there are columns."""
    return sum(count > CONDITIONS_MAX for count in map(len, map(_conditions, trades)))


def _first_indicators(quotes: Sequence[Any]) -> NDArray[np.uint16]:
    """The first indicator of each quote, 0 where there is none, as with nearly all of them."""
    if not any(map(_indicators, quotes)):
        return np.zeros(len(quotes), np.uint16)
    return np.array([codes[0] if codes else 0 for codes in map(_indicators, quotes)], np.uint16)


def _nanoseconds(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Milli-, micro- or nanoseconds, told apart by size, as nanoseconds; 0 stays 0."""
    if len(times) and int(times.max()) < _MICROSECONDS_FROM:
        return times * 1_000_000  # what the socket sends; one step instead of five
    factor = np.where(times < _MICROSECONDS_FROM, 1_000_000, 1_000)
    return np.where(times < _NANOSECONDS_FROM, times * factor, times)
