"""Plain files of numpy arrays: what the machine itself can do, without any store."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.blocks import Layout, cut, daily, put_over
from benchmarks.durable import replace_files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.blocks import Arrays
    from benchmarks.data import Kind, Rows
    from benchmarks.peers import Seen


class ColumnFiles:
    """A file for each symbol, column after column; changing it means writing it again.

    Args:
        folder: where they are.
        kind: of the rows.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        folder.mkdir()
        self._folder = folder
        self._layout = Layout(kind)
        self._mapped: dict[str, Arrays] = {}

    def load(self, batch: Sequence[Rows]) -> None:
        self._replace({rows.symbols[0]: self._layout.arrays(rows) for rows in batch})

    def upsert(self, batch: Sequence[Rows]) -> None:
        merged = {
            rows.symbols[0]: put_over(self._map(rows.symbols[0]), self._layout.arrays(rows))
            for rows in batch
        }
        self._replace(merged)

    def settle(self) -> None:
        """Everything is where it stays."""

    def read(self, symbol: str, start_ns: int, end_ns: int) -> Seen:
        found = self._range(symbol, start_ns, end_ns)
        return len(found[0]), float(found[1][-1])

    def last(self, symbol: str, count: int) -> Seen:
        found = [array[-count:].copy() for array in self._map(symbol)]
        return len(found[0]), float(found[1][-1])

    def cross(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> Seen:
        found = [self._range(symbol, start_ns, end_ns) for symbol in symbols]
        return sum(len(arrays[0]) for arrays in found), float(found[-1][1][-1])

    def daily(self, symbols: Sequence[str]) -> Seen:
        found = [daily(self._map(symbol)) for symbol in symbols]
        return sum(len(arrays[0]) for arrays in found), float(found[-1][2][-1])

    def totals(self) -> tuple[int, float]:
        found = [self._map(path.name) for path in self._folder.iterdir()]
        return sum(len(arrays[0]) for arrays in found), sum(arrays[1].sum() for arrays in found)

    def reopen(self) -> None:
        self._mapped.clear()

    def close(self) -> None:
        self._mapped.clear()

    def _map(self, symbol: str) -> Arrays:
        """The columns of a file, in the memory of the page cache; mapped once."""
        if symbol not in self._mapped:
            mapped = np.memmap(self._folder / symbol, np.uint8, "r")
            self._mapped[symbol] = self._layout.views(mapped)
        return self._mapped[symbol]

    def _range(self, symbol: str, start_ns: int, end_ns: int) -> Arrays:
        """The rows between two instants, copied out of the map."""
        return [array.copy() for array in cut(self._map(symbol), start_ns, end_ns)]

    def _replace(self, columns: dict[str, Arrays]) -> None:
        files = {symbol: partial(_dump, arrays) for symbol, arrays in columns.items()}
        replace_files(self._folder, files)
        for symbol in columns:
            self._mapped.pop(symbol, None)


class RecordFile:
    """Everything behind each other in one file, without a checksum or an index."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        folder.mkdir()
        self._layout = Layout(kind)
        self._path = folder / "records"
        self._file = self._path.open("ab", buffering=0)

    def write(self, rows: Rows) -> None:
        """The bytes of the columns, which say nothing of the symbols, and a sync."""
        self._file.write(self._layout.records(rows).data)
        os.fdatasync(self._file)

    def totals(self) -> tuple[int, float]:
        records = np.fromfile(self._path, self._layout.record)
        return len(records), records[self._layout.names[0]].sum()

    def close(self) -> None:
        self._file.close()


def _dump(arrays: Arrays, path: Path) -> None:
    with path.open("wb") as file:
        for array in arrays:
            array.tofile(file)
