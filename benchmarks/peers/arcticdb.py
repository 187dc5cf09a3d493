"""ArcticDB on LMDB: a symbol for each symbol, or everything in one long symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import arcticdb
import pandas as pd

from benchmarks.flatfile import read_flat_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.data import Kind, Rows
    from benchmarks.peers import Seen

_LIBRARY = "data"
_ALL = "all"
_FIRST_OF_EACH = {"Open": "first", "High": "max", "Low": "min", "Close": "last", "Volume": "sum"}


class ArcticDb:
    """A library with a symbol for each of ours, the way ArcticDB is meant to be used.

    Appends keep no older versions, which is the quickest it offers.
    """

    def __init__(self, folder: Path, _kind: Kind) -> None:
        self._url = f"lmdb://{folder}"
        self._library = arcticdb.Arctic(self._url).create_library(_LIBRARY)
        self._symbols: set[str] = set()  # listing them takes a second

    def write(self, rows: Rows) -> None:
        """One call of ArcticDB for the whole batch, which has a row for each symbol."""
        self.load([rows.part(place, place + 1) for place in range(len(rows))])

    def load(self, batch: Sequence[Rows]) -> None:
        payloads = [arcticdb.WritePayload(rows.symbols[0], _frame(rows)) for rows in batch]
        self._library.append_batch(payloads, prune_previous_versions=True)
        self._symbols.update(rows.symbols[0] for rows in batch)

    def upsert(self, batch: Sequence[Rows]) -> None:
        payloads = [arcticdb.UpdatePayload(rows.symbols[0], _frame(rows)) for rows in batch]
        self._library.update_batch(payloads, prune_previous_versions=True)

    def settle(self) -> None:
        """Everything is where it stays."""

    def read(self, symbol: str, start_ns: int, end_ns: int) -> Seen:
        span = pd.Timestamp(start_ns), pd.Timestamp(end_ns)
        return _seen(self._library.read(symbol, date_range=span).data)

    def last(self, symbol: str, count: int) -> Seen:
        return _seen(self._library.tail(symbol, count).data)

    def cross(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> Seen:
        span = pd.Timestamp(start_ns), pd.Timestamp(end_ns)
        requests = [arcticdb.ReadRequest(symbol, date_range=span) for symbol in symbols]
        found = self._library.read_batch(requests)
        return sum(len(item.data) for item in found), _seen(found[-1].data)[1]

    def daily(self, symbols: Sequence[str]) -> Seen:
        query = arcticdb.QueryBuilder().resample("1D").agg(_FIRST_OF_EACH)
        found = self._library.read_batch(list(symbols), query_builder=query)
        return sum(len(item.data) for item in found), float(found[-1].data["High"].iloc[-1])

    def load_flat_file(self, path: Path) -> None:
        """A csv.gz of minute bars in the vendor's layout, read by polars."""
        self.load(read_flat_file(path))

    def totals(self) -> tuple[int, float]:
        frames = [self._library.read(symbol).data for symbol in self._symbols]
        return sum(map(len, frames)), sum(frame.iloc[:, 0].sum() for frame in frames)

    def reopen(self) -> None:
        self.close()
        self._library = arcticdb.Arctic(self._url).get_library(_LIBRARY)

    def close(self) -> None:
        """The library closes its files once nothing refers to it."""
        del self._library


class ArcticDbLong(ArcticDb):
    """Everything in one symbol: quick to append to, and useless for reading one of ours."""

    def write(self, rows: Rows) -> None:
        frame = _frame(rows)
        frame.insert(len(rows.columns), "Symbol", rows.symbols)
        self._library.append(_ALL, frame, prune_previous_versions=True)
        self._symbols.add(_ALL)


def _frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows.columns, index=pd.DatetimeIndex(rows.ts.view("M8[ns]")))


def _seen(frame: pd.DataFrame) -> Seen:
    return len(frame), float(frame.iloc[:, 0].to_numpy()[-1])
