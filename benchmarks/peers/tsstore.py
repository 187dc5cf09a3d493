"""tsstore: a bucket for each symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import tsstore
from benchmarks.data import NS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.data import Rows
    from tsstore.api import StoreApi
    from tsstore.columns import Columns

BARS = "1Min/OHLCV"
TICKS = "1Sec/TRADE"


class TsStore:
    """An embedded store, or one behind a server once `store` is replaced.

    Args:
        folder: the data directory.
        group: timeframe and attribute group; that of ticks makes variable-length buckets.
    """

    def __init__(self, folder: Path, group: str = BARS) -> None:
        self._folder = folder
        self._group = group
        self._variable = group == TICKS
        self._embedded = tsstore.open(folder)
        self.store: StoreApi = self._embedded

    def write(self, rows: Rows) -> None:
        data = {"Symbol": rows.symbols, **self._table(rows)}
        self.store.write_table(self._group, data, variable=self._variable)

    def load(self, rows: Rows) -> None:
        key = f"{rows.symbols[0]}/{self._group}"
        self.store.write(key, self._table(rows), variable=self._variable)

    def settle(self) -> None:
        self._embedded.flush()

    def read(self, symbol: str, start_ns: int, end_ns: int) -> tuple[int, float]:
        start, end = np.datetime64(start_ns, "ns"), np.datetime64(end_ns, "ns")
        return _seen(self.store.read(f"{symbol}/{self._group}", start=start, end=end))

    def last(self, symbol: str, count: int) -> tuple[int, float]:
        return _seen(self.store.read(f"{symbol}/{self._group}", limit=count))

    def totals(self) -> tuple[int, float]:
        buckets = self.store.read("*", self._group).values()
        return sum(map(len, buckets)), sum(rows[rows.names[0]].sum() for rows in buckets)

    def reopen(self) -> None:
        self.close()
        self._embedded = self.store = tsstore.open(self._folder)

    def close(self) -> None:
        self.store.close()

    def _table(self, rows: Rows) -> dict[str, Any]:
        if self._variable:
            return {"Epoch": rows.ts.view("M8[ns]"), **rows.columns}
        return {"Epoch": rows.ts // NS_PER_SECOND, **rows.columns}


def _seen(rows: Columns) -> tuple[int, float]:
    return len(rows), float(rows[rows.names[0]][-1])
