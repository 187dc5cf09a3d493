"""tsstore: a bucket for each symbol."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np

import tsstore
from benchmarks.data import NS_PER_SECOND
from tsstore.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.data import Kind, Rows
    from benchmarks.peers import Seen
    from tsstore.api import StoreApi
    from tsstore.columns import Columns


class TsStore:
    """An embedded store, or one behind a server once `store` is replaced.

    Args:
        folder: the data directory.
        kind: of the rows.
        settings: of the store.
    """

    def __init__(self, folder: Path, kind: Kind, settings: tsstore.Settings | None = None) -> None:
        self._folder = folder
        self._kind = kind
        self._settings = settings
        self.embedded = tsstore.open(folder, settings=settings)
        self.store: StoreApi = self.embedded

    def write(self, rows: Rows) -> None:
        data = {"Symbol": rows.symbols, **self._table(rows)}
        self.store.write_table(self._kind.group, data, variable=self._kind.variable)

    def load(self, batch: Sequence[Rows]) -> None:
        self.embedded.bulk([self._operation(rows) for rows in batch])

    def upsert(self, batch: Sequence[Rows]) -> None:
        self.load(batch)

    def settle(self) -> None:
        """Pack everything."""
        self.embedded.compact()

    def read(self, symbol: str, start_ns: int, end_ns: int) -> Seen:
        start, end = np.datetime64(start_ns, "ns"), np.datetime64(end_ns, "ns")
        return _seen(self.store.read(self._key(symbol), start=start, end=end))

    def last(self, symbol: str, count: int) -> Seen:
        return _seen(self.store.read(self._key(symbol), limit=count))

    def cross(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> Seen:
        start, end = np.datetime64(start_ns, "ns"), np.datetime64(end_ns, "ns")
        found = self.store.read(symbols, self._kind.group, start=start, end=end)
        return sum(map(len, found.values())), _seen(found[self._key(symbols[-1])])[1]

    def daily(self, symbols: Sequence[str]) -> Seen:
        found = self.store.read(symbols, "1D/OHLCV")
        last = found[f"{symbols[-1]}/1D/OHLCV"]
        return sum(map(len, found.values())), float(last["High"][-1])

    def totals(self) -> tuple[int, float]:
        buckets = self.store.read("*", self._kind.group).values()
        return sum(map(len, buckets)), sum(rows[rows.names[0]].sum() for rows in buckets)

    def reopen(self) -> None:
        self.close()
        self.embedded = self.store = tsstore.open(self._folder, settings=self._settings)

    def keep_log(self) -> None:
        """Leave rows in the log, and the syncing of it to the system."""
        self._settings = tsstore.Settings(wal_sync="off", memtable_bytes=1 << 40)
        self.reopen()

    def close(self) -> None:
        self.store.close()

    def _key(self, symbol: str) -> str:
        return f"{symbol}/{self._kind.group}"

    def _operation(self, rows: Rows) -> tsstore.Write:
        key = self._key(rows.symbols[0])
        return tsstore.Write(key, self._table(rows), variable=self._kind.variable)

    def _table(self, rows: Rows) -> dict[str, Any]:
        if self._kind.variable:
            return {"Epoch": rows.ts.view("M8[ns]"), **rows.columns}
        return {"Epoch": rows.ts // NS_PER_SECOND, **rows.columns}


class CommandLine:
    """`tsstore load`, as it is typed, but in this process.

    Args:
        folder: the data directory.
        kind: of the rows.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        self._folder = folder
        self._kind = kind

    def load_flat_file(self, path: Path) -> None:
        """A csv.gz of minute bars in the vendor's layout."""
        command = ["load", str(path), self._kind.group, "--dir", str(self._folder)]
        main(command, standalone_mode=False)

    def totals(self) -> tuple[int, float]:
        with closing(TsStore(self._folder, self._kind)) as store:
            return store.totals()

    def close(self) -> None:
        """Nothing is open."""


def _seen(rows: Columns) -> Seen:
    return len(rows), float(rows[rows.names[0]][-1])
