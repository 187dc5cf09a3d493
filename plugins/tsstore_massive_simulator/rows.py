"""Rows of one kind and day, all tickers in one set of arrays.

Rows stand ticker by ticker, and by time within a ticker, as in the vendor's flat files; so the rows
of one ticker are a slice. Lists in a cell (conditions, indicators) are numbers of entries in
`sets`: there are a few dozen different ones in a day of millions of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

Sets = tuple[tuple[int, ...], ...]


class Kind(StrEnum):
    """A data set, by the name of its folder among the flat files."""

    TRADES = "trades_v1"
    QUOTES = "quotes_v1"
    MINUTES = "minute_aggs_v1"
    DAYS = "day_aggs_v1"
    VALUES = "values_v1"
    #: These have no folder.
    LULD = "luld"
    IMBALANCES = "imbalances"
    FAIR_VALUES = "fair_values"


#: Column of the instant that orders the rows, int64 nanoseconds.
TIME = dict.fromkeys(Kind, "sip_timestamp") | dict.fromkeys(
    (Kind.MINUTES, Kind.DAYS), "window_start"
)

#: Columns and dtypes of stocks; `id` holds int64 or bytes, sets are numbers of entries. Other
#: markets have of them, and more, what the vendor tells of those markets.
COLUMNS: dict[Kind, dict[str, str]] = {
    Kind.TRADES: {
        "conditions": "i4",
        "correction": "i4",
        "exchange": "u1",
        "id": "S",
        "participant_timestamp": "i8",
        "price": "f8",
        "sequence_number": "i8",
        "sip_timestamp": "i8",
        "size": "f8",
        "tape": "u1",
        "trf_id": "i4",
        "trf_timestamp": "i8",
    },
    Kind.QUOTES: {
        "ask_exchange": "u1",
        "ask_price": "f8",
        "ask_size": "f8",
        "bid_exchange": "u1",
        "bid_price": "f8",
        "bid_size": "f8",
        "conditions": "i4",
        "indicators": "i4",
        "participant_timestamp": "i8",
        "sequence_number": "i8",
        "sip_timestamp": "i8",
        "tape": "u1",
    },
    Kind.MINUTES: {
        "volume": "f8",
        "vwap": "f8",
        "open": "f8",
        "close": "f8",
        "high": "f8",
        "low": "f8",
        "window_start": "i8",
        "transactions": "i8",
    },
    Kind.VALUES: {"value": "f8", "sip_timestamp": "i8"},
    Kind.LULD: {
        "high_price": "f8",
        "low_price": "f8",
        "indicators": "i4",
        "sequence_number": "i8",
        "sip_timestamp": "i8",
        "tape": "u1",
    },
    Kind.IMBALANCES: {
        "auction_time": "i4",
        "auction_type": "U1",
        "book_clearing_price": "f8",
        "exchange": "u1",
        "imbalance_quantity": "i8",
        "paired_quantity": "i8",
        "sip_timestamp": "i8",
        "symbol_sequence": "i8",
    },
    Kind.FAIR_VALUES: {"value": "f8", "sip_timestamp": "i8"},
}
COLUMNS[Kind.DAYS] = COLUMNS[Kind.MINUTES]


@dataclass(frozen=True)
class Rows:
    """Rows of one kind and day.

    Attributes:
        tickers: tickers that have rows, in the order of their rows.
        starts: int64, one more than tickers; rows of ticker i are `starts[i]:starts[i + 1]`.
        columns: arrays by name, all of length `starts[-1]`.
        sets: what the numbers in columns of sets stand for.
    """

    tickers: tuple[str, ...]
    starts: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]
    sets: Sets = field(default=((),), repr=False)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    @cached_property
    def ticker_index(self) -> NDArray[np.int32]:
        """Index in `tickers` of each row."""
        return np.repeat(np.arange(len(self.tickers), dtype=np.int32), np.diff(self.starts))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {ticker: index for index, ticker in enumerate(self.tickers)}

    def of(self, ticker: str) -> Rows:
        """The rows of one ticker; none when it has none."""
        at = self._positions.get(ticker)
        if at is None:
            return Rows((), np.zeros(1, np.int64), self._cut(0, 0), self.sets)
        low, high = int(self.starts[at]), int(self.starts[at + 1])
        return Rows((ticker,), np.array([0, high - low]), self._cut(low, high), self.sets)

    def between(self, low: int, high: int) -> Rows:
        """Rows `low:high` of the rows of a single ticker."""
        return Rows(self.tickers, np.array([0, high - low]), self._cut(low, high), self.sets)

    def _cut(self, low: int, high: int) -> dict[str, NDArray[Any]]:
        return {name: column[low:high] for name, column in self.columns.items()}


def empty(kind: Kind) -> Rows:
    """No rows."""
    columns = {name: np.empty(0, dtype) for name, dtype in COLUMNS[kind].items()}
    return Rows((), np.zeros(1, np.int64), columns)


def renamed(rows: Rows, ticker: str) -> Rows:
    """Rows of a single ticker under another name."""
    if rows.tickers in ((), (ticker,)):
        return rows
    return Rows((ticker,), rows.starts, rows.columns, rows.sets)


def joined(kind: Kind, parts: Iterable[Rows]) -> Rows:
    """Rows of several tickers, whose sets are the same, in one."""
    parts = [part for part in parts if len(part)]
    if not parts:
        return empty(kind)
    tickers = tuple(ticker for part in parts for ticker in part.tickers)
    counts = np.concatenate([np.diff(part.starts) for part in parts])
    names = parts[0].columns
    columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
    return Rows(tickers, _starts(counts), columns, parts[0].sets)


def sorted_by_ticker(
    kind: Kind,
    tickers: Sequence[str],
    ticker_index: NDArray[np.integer[Any]],
    columns: Mapping[str, NDArray[Any]],
    sets: Sets = ((),),
) -> Rows:
    """Rows from any order: by ticker, then time, then sequence number.

    Args:
        kind: what the rows are.
        tickers: names that `ticker_index` points to, any order.
        ticker_index: one per row.
        columns: arrays by name, one value per row.
        sets: what columns of sets point to.
    """
    names = np.array(tickers, dtype=object)
    rank = np.argsort(np.argsort(names, kind="stable"), kind="stable")[ticker_index]
    keys = [columns[TIME[kind]], rank]
    if "sequence_number" in columns:
        keys.insert(0, columns["sequence_number"])
    order = np.lexsort(keys)
    counts = np.bincount(rank, minlength=len(names))
    present = counts > 0
    ordered = np.sort(names)
    return Rows(
        tuple(ordered[present].tolist()),
        _starts(counts[present]),
        {name: column[order] for name, column in columns.items()},
        sets,
    )


def _starts(counts: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
