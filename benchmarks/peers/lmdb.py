"""LMDB: blocks of columns in one memory-mapped tree, by symbol and time of the first row.

Transactions are synced by default. Values are bytes; what they mean is numpy's business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import lmdb

from benchmarks.blocks import Layout, cut, daily, join, put_over, to_bytes
from benchmarks.flatfile import read_flat_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.blocks import Arrays
    from benchmarks.data import Kind, Rows
    from benchmarks.peers import Seen

Bytes: TypeAlias = bytes | memoryview

_BLOCK_ROWS = 2_000
_MAP_BYTES = 1 << 38
_TIME_BYTES = 8


class Lmdb:
    """An environment with one database.

    Args:
        folder: where it is.
        kind: of the rows.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        self._path = str(folder)
        self._layout = Layout(kind)
        self._environment = self._open()

    def write(self, rows: Rows) -> None:
        """A block of one row for each."""
        width = self._layout.row_bytes
        data = self._layout.records(rows).tobytes()
        keys = map(_key, rows.symbols, rows.ts.tolist())
        blocks = [(key, data[n * width : (n + 1) * width]) for n, key in enumerate(keys)]
        with self._environment.begin(write=True) as transaction:
            transaction.cursor().putmulti(blocks)

    def load(self, batch: Sequence[Rows]) -> None:
        with self._environment.begin(write=True) as transaction:
            for rows in batch:
                blocks = _blocks(rows.symbols[0], self._layout.arrays(rows))
                transaction.cursor().putmulti(blocks)

    def upsert(self, batch: Sequence[Rows]) -> None:
        """Only blocks that hold such times are written again."""
        with self._environment.begin(write=True) as transaction:
            for rows in batch:
                self._upsert(transaction, rows)

    def settle(self) -> None:
        """Everything is where it stays."""

    def read(self, symbol: str, start_ns: int, end_ns: int) -> Seen:
        with self._environment.begin(buffers=True) as transaction:
            found = self._range(transaction, symbol, start_ns, end_ns)
        return len(found[0]), float(found[1][-1])

    def last(self, symbol: str, count: int) -> Seen:
        with self._environment.begin(buffers=True) as transaction:
            pieces, rows = [], 0
            for block in _backwards(transaction, symbol):
                pieces.append([array[-(count - rows) :] for array in self._layout.views(block)])
                rows += len(pieces[-1][0])
                if rows == count:
                    break
            found = join(pieces[::-1])
        return rows, float(found[1][-1])

    def cross(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> Seen:
        with self._environment.begin(buffers=True) as transaction:
            found = [self._range(transaction, each, start_ns, end_ns) for each in symbols]
        return sum(len(arrays[0]) for arrays in found), float(found[-1][1][-1])

    def daily(self, symbols: Sequence[str]) -> Seen:
        with self._environment.begin(buffers=True) as transaction:
            found = [daily(self._range(transaction, each, 0, _LATEST_NS)) for each in symbols]
        return sum(len(arrays[0]) for arrays in found), float(found[-1][2][-1])

    def load_flat_file(self, path: Path) -> None:
        """A csv.gz of minute bars in the vendor's layout, read by polars."""
        self.load(read_flat_file(path))

    def totals(self) -> tuple[int, float]:
        with self._environment.begin(buffers=True) as transaction:
            blocks = [self._layout.views(block) for _, block in transaction.cursor()]
            return sum(len(block[0]) for block in blocks), sum(block[1].sum() for block in blocks)

    def reopen(self) -> None:
        self.close()
        self._environment = self._open()

    def close(self) -> None:
        self._environment.close()

    def _open(self) -> lmdb.Environment:
        return lmdb.open(self._path, map_size=_MAP_BYTES)

    def _range(self, transaction: lmdb.Transaction, symbol: str, start: int, end: int) -> Arrays:
        """The rows between two instants, copied out of the map."""
        blocks = _overlapping(transaction, symbol, start, end)
        return join([cut(self._layout.views(block), start, end) for _, block in blocks])

    def _upsert(self, transaction: lmdb.Transaction, rows: Rows) -> None:
        symbol, first, last = rows.symbols[0], int(rows.ts[0]), int(rows.ts[-1])
        found = [
            (bytes(key), bytes(block))
            for key, block in _overlapping(transaction, symbol, first, last)
        ]
        stored = join([self._layout.views(block) for _, block in found])
        for key, _ in found:
            transaction.delete(key)
        merged = put_over(stored, self._layout.arrays(rows))
        transaction.cursor().putmulti(_blocks(symbol, merged))


_LATEST_NS = (1 << 63) - 2


def _key(symbol: str, time_ns: int) -> bytes:
    return symbol.encode() + b"/" + time_ns.to_bytes(_TIME_BYTES, "big")


def _blocks(symbol: str, arrays: Arrays) -> list[tuple[bytes, bytes]]:
    blocks = []
    for first in range(0, len(arrays[0]), _BLOCK_ROWS):
        block = [array[first : first + _BLOCK_ROWS] for array in arrays]
        blocks.append((_key(symbol, int(block[0][0])), to_bytes(block)))
    return blocks


def _overlapping(
    transaction: lmdb.Transaction, symbol: str, start: int, end: int
) -> Iterator[tuple[Bytes, Bytes]]:
    """Blocks that may hold rows between two instants, in order of time."""
    cursor = transaction.cursor()
    prefix, last = _key(symbol, 0)[:-_TIME_BYTES], _key(symbol, end)
    found = cursor.set_range(_key(symbol, start))
    if not (cursor.prev() if found else cursor.last()):
        cursor.first()
    elif bytes(cursor.key())[:-_TIME_BYTES] != prefix:
        cursor.next()
    for key, block in cursor.iternext():
        if bytes(key) > last:
            return
        yield key, block


def _backwards(transaction: lmdb.Transaction, symbol: str) -> Iterator[Bytes]:
    """Blocks of a symbol, the last one first."""
    cursor = transaction.cursor()
    found = cursor.set_range(_key(symbol, _LATEST_NS))
    if not (cursor.prev() if found else cursor.last()):
        return
    prefix = _key(symbol, 0)[:-_TIME_BYTES]
    for key, block in cursor.iterprev():
        if bytes(key)[:-_TIME_BYTES] != prefix:
            return
        yield block
