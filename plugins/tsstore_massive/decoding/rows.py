"""Decoded events and fetched rows as numpy columns, whichever way they came.

The structs of the socket and of REST name their attributes alike, so what is here serves both. Each
struct is read once and becomes a record of fixed width: to go through thousands of structs for
every column costs more, as most of that time is spent waiting for memory. Columns are then made of
any number of records at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import starmap
from operator import attrgetter
from struct import Struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore_massive.schemas import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore_massive.schemas import Kind

#: Conditions of a trade, and indicators of its limits, that have a column each; a row with more
#: keeps the first ones.
CODES_MAX = 4

#: Smaller times would not fit into int64 nanoseconds in the next coarser unit: 2262 in
#: milliseconds is 17 April 1970 in microseconds, and nothing is of either.
_MICROSECONDS_FROM = 2**63 // 10**6
_NANOSECONDS_FROM = 2**63 // 10**3

#: Fields of a record that are no columns: the time as it was told, and the exact size or volume.
_TIME, _EXACT = "Time", "Exact"
_STRUCT_CODES = {"f8": "d", "i8": "q", "u2": "H", "u1": "B"}
#: The first bytes there are, and zeros in place of those that are not.
_pack_codes = Struct(f"{CODES_MAX}s").pack


class Records(NamedTuple):
    """Events of one kind.

    Attributes:
        plain: what is one number each; see `_Layout.dtype`.
        others: what is no number, shape (events,) or (events, columns); see `_Others`.
    """

    plain: bytes
    others: NDArray[Any] | None


@dataclass(frozen=True)
class _Others:
    """An attribute that is not one number, and the columns it goes to.

    Attributes:
        get: reads it.
        read: makes an array of all of them, with one column for each of `columns`.
        columns: of the schema.
    """

    get: Callable[[Any], Any]
    read: Callable[[Sequence[Any]], NDArray[Any]]
    columns: tuple[str, ...]

    def of(self, events: Sequence[Any]) -> NDArray[Any]:
        return self.read(list(map(self.get, events)))

    def arrays(self, parts: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        joined = np.concatenate(parts)
        columns = joined.T if joined.ndim > 1 else (joined,)
        return {name: column.copy() for name, column in zip(self.columns, columns, strict=True)}


class _Layout:
    """How events of a kind become records.

    Args:
        kind: of rows.
        attributes: of the structs, by the column or field they go to.
        exact: the column that `_EXACT` is the better number of.
        others: what is not one number.
    """

    def __init__(
        self,
        kind: Kind,
        attributes: Mapping[str, str],
        *,
        exact: str = "",
        others: _Others | None = None,
    ) -> None:
        self.schema: Schema = SCHEMAS[kind]
        self.exact = exact
        self.others = others
        extra = {_TIME: np.dtype(np.int64), _EXACT: np.dtype(np.float64)}
        dtypes = {name: self.schema.dtypes.get(name) or extra[name] for name in attributes}
        codes = [_STRUCT_CODES[dtype.str[1:]] for dtype in dtypes.values()]
        self.dtype = np.dtype([(name, dtype.newbyteorder("<")) for name, dtype in dtypes.items()])
        self._values = attrgetter(*attributes.values())
        self._pack = Struct("<" + "".join(codes)).pack

    def records(self, events: Sequence[Any]) -> Records:
        """One record of each event, without gaps."""
        plain = b"".join(starmap(self._pack, map(self._values, events)))
        return Records(plain, self.others.of(events) if self.others else None)


def records_of(kind: Kind, events: Sequence[Any]) -> Records:
    """Decoded events as records.

    Args:
        kind: what they are.
        events: structs of that kind, in any order.
    """
    return _LAYOUTS[kind].records(events)


def columns_of(
    kind: Kind, parts: Sequence[Records]
) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Times and columns of records of one kind.

    Args:
        kind: what they are.
        parts: at least one.

    Returns:
        int64 nanoseconds since 1970 UTC, and the columns of the kind's schema by name; each of
        shape (events,), in the order given.
    """
    layout = _LAYOUTS[kind]
    records = np.frombuffer(b"".join([part.plain for part in parts]), layout.dtype)
    arrays = {name: records[name].copy() for name in layout.dtype.names or ()}
    if layout.exact:
        # Shares: the decimal text when the vendor sent one, since the number beside it is rounded.
        rounded, exact = arrays[layout.exact], arrays[_EXACT]
        arrays[layout.exact] = np.where(np.isnan(exact), rounded, exact)
    if layout.others:
        arrays |= layout.others.arrays([part.others for part in parts if part.others is not None])
    if "ParticipantNs" in arrays:
        arrays["ParticipantNs"] = _nanoseconds(arrays["ParticipantNs"])
    return _nanoseconds(arrays[_TIME]), {name: arrays[name] for name in layout.schema.names}


def count_cut_codes(kind: Kind, events: Sequence[Any]) -> int:
    """How many trades, or limits up and down, have more codes than there are columns."""
    others = _LAYOUTS[kind].others
    return 0 if others is None else sum(n > CODES_MAX for n in map(len, map(others.get, events)))


def _leading(lists: Sequence[tuple[int, ...]]) -> NDArray[np.uint8]:
    """The first bytes of each list, 0 where there are fewer, shape (events, CODES_MAX)."""
    packed = b"".join(map(_pack_codes, map(bytes, lists)))
    return np.frombuffer(packed, np.uint8).reshape(-1, CODES_MAX)


def _first(lists: Sequence[tuple[int, ...]]) -> NDArray[np.uint16]:
    """The first number of each list, 0 where there is none, as with nearly all of them."""
    if not any(lists):
        return np.zeros(len(lists), np.uint16)
    return np.array([codes[0] if codes else 0 for codes in lists], np.uint16)


def _letters(texts: Sequence[str]) -> NDArray[np.str_]:
    return np.array(texts, "U1")


def _nanoseconds(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Milli-, micro- or nanoseconds, told apart by size, as nanoseconds; 0 stays 0."""
    if len(times) and int(times.max()) < _MICROSECONDS_FROM:
        return times * 1_000_000  # what the socket sends; one step instead of five
    factor = np.where(times < _MICROSECONDS_FROM, 1_000_000, 1_000)
    return np.where(times < _NANOSECONDS_FROM, times * factor, times)


_BAR = {
    _TIME: "time",
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Volume": "volume",
    _EXACT: "exact_volume",
    "VWAP": "vwap",
    "TradeCount": "trade_count",
}
_LAYOUTS: dict[Kind, _Layout] = {
    "bars": _Layout("bars", _BAR, exact="Volume"),
    "second_bars": _Layout("second_bars", _BAR, exact="Volume"),
    "trades": _Layout(
        "trades",
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
        exact="Size",
        others=_Others(attrgetter("conditions"), _leading, ("Cond1", "Cond2", "Cond3", "Cond4")),
    ),
    "quotes": _Layout(
        "quotes",
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
        others=_Others(attrgetter("indicators"), _first, ("Indicator",)),
    ),
    "values": _Layout("values", {_TIME: "time", "Value": "value"}),
    "luld": _Layout(
        "luld",
        {_TIME: "time", "High": "high", "Low": "low", "TapeID": "tape", "Sequence": "sequence"},
        others=_Others(
            attrgetter("indicators"),
            _leading,
            ("Indicator1", "Indicator2", "Indicator3", "Indicator4"),
        ),
    ),
    "imbalances": _Layout(
        "imbalances",
        {
            _TIME: "time",
            "AuctionTime": "auction_time",
            "ImbalanceSize": "imbalance_size",
            "PairedSize": "paired_size",
            "BookPrice": "book_price",
            "Exchange": "exchange",
            "SymbolSequence": "symbol_sequence",
        },
        others=_Others(attrgetter("auction_type"), _letters, ("AuctionType",)),
    ),
    "fair_values": _Layout("fair_values", {_TIME: "time", "Price": "price"}),
}
