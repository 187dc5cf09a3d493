"""Rows as bytes, column after column, for peers that store nothing but bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from benchmarks.data import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.data import Kind, Rows

#: The times (int64 nanoseconds), then the data columns; all of one length.
Arrays: TypeAlias = "list[NDArray[Any]]"


class Layout:
    """Which columns follow each other, and how wide they are."""

    def __init__(self, kind: Kind) -> None:
        self.names = tuple(kind.columns)
        self.dtypes = [np.dtype("i8"), *map(np.dtype, kind.columns.values())]
        self.row_bytes = kind.row_bytes
        self.record = np.dtype(list(zip(("ts", *self.names), self.dtypes, strict=True)))

    def arrays(self, rows: Rows) -> Arrays:
        """The columns of rows in order."""
        return [rows.ts, *(rows.columns[name] for name in self.names)]

    def records(self, rows: Rows) -> NDArray[np.void]:
        """The same row after row."""
        records = np.empty(len(rows), self.record)
        records["ts"] = rows.ts
        for name in self.names:
            records[name] = rows.columns[name]
        return records

    def views(self, data: Any) -> Arrays:
        """The columns in the bytes of a block; nothing is copied."""
        count = len(data) // self.row_bytes
        arrays, offset = [], 0
        for dtype in self.dtypes:
            arrays.append(np.frombuffer(data, dtype, count, offset))
            offset += count * dtype.itemsize
        return arrays


def to_bytes(arrays: Arrays) -> bytes:
    """A block."""
    return b"".join(array.tobytes() for array in arrays)


def join(pieces: Sequence[Arrays]) -> Arrays:
    """Several blocks as one."""
    return [np.concatenate(arrays) for arrays in zip(*pieces, strict=True)]


def cut(arrays: Arrays, start_ns: int, end_ns: int) -> Arrays:
    """The rows between two instants, both included; views."""
    first, after = np.searchsorted(arrays[0], (start_ns, end_ns + 1))
    return [array[first:after] for array in arrays]


def put_over(stored: Arrays, new: Arrays) -> Arrays:
    """Rows with others in place of those at the same times, sorted by time."""
    stays = ~np.isin(stored[0], new[0], assume_unique=True)
    merged = join([[array[stays] for array in stored], new])
    order = np.argsort(merged[0], kind="stable")
    return [array[order] for array in merged]


def daily(arrays: Arrays) -> Arrays:
    """A bar of each day from bars (time, open, high, low, close, volume) in order of time."""
    days = arrays[0] // NS_PER_DAY
    first = np.flatnonzero(np.diff(days, prepend=-1))
    last = np.append(first[1:], len(days)) - 1
    _, opened, high, low, close, volume = arrays
    return [
        days[first] * NS_PER_DAY,
        opened[first],
        np.maximum.reduceat(high, first),
        np.minimum.reduceat(low, first),
        close[last],
        np.add.reduceat(volume, first),
    ]
