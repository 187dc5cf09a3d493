"""ArcticDB on LMDB: a symbol for each symbol, or everything in one long symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import arcticdb
import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.data import Rows

_LIBRARY = "data"
_ALL = "all"


class ArcticDb:
    """A library with a symbol for each of ours, the way ArcticDB is meant to be used.

    Appends keep no older versions, which is the quickest it offers.
    """

    def __init__(self, folder: Path) -> None:
        self._url = f"lmdb://{folder}"
        self._library = arcticdb.Arctic(self._url).create_library(_LIBRARY)

    def write(self, rows: Rows) -> None:
        """One call of ArcticDB for the whole batch, which has a row for each symbol."""
        frame = _frame(rows)
        payloads = [
            arcticdb.WritePayload(symbol, frame.iloc[place : place + 1])
            for place, symbol in enumerate(rows.symbols)
        ]
        self._library.append_batch(payloads, prune_previous_versions=True)

    def load(self, rows: Rows) -> None:
        self._library.append(rows.symbols[0], _frame(rows), prune_previous_versions=True)

    def settle(self) -> None:
        """Everything is where it stays."""

    def read(self, symbol: str, start_ns: int, end_ns: int) -> tuple[int, float]:
        span = pd.Timestamp(start_ns), pd.Timestamp(end_ns)
        return _seen(self._library.read(symbol, date_range=span).data)

    def last(self, symbol: str, count: int) -> tuple[int, float]:
        return _seen(self._library.tail(symbol, count).data)

    def totals(self) -> tuple[int, float]:
        frames = [self._library.read(symbol).data for symbol in self._library.list_symbols()]
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


def _frame(rows: Rows) -> pd.DataFrame:
    return pd.DataFrame(rows.columns, index=pd.DatetimeIndex(rows.ts.view("M8[ns]")))


def _seen(frame: pd.DataFrame) -> tuple[int, float]:
    return len(frame), float(frame.iloc[:, 0].to_numpy()[-1])
