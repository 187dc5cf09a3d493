"""The rows that were handed out lately, to tell those apart that were not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from tsstore.columns import Columns
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES_MAX = 64 << 20
_PIECES_MAX = 32


class HandedOut:
    """Remembers rows, and of each bucket the instant from which on it knows all of them.

    Args:
        bytes_max: of rows that are remembered.
        horizon_ns: that instant for buckets of which nothing was said. The earliest time if all
            their rows will be handed out, the latest if earlier ones never were.
    """

    def __init__(self, *, bytes_max: int = BYTES_MAX, horizon_ns: int = MIN_NS) -> None:
        self._bytes_max = bytes_max
        self._otherwise_ns = horizon_ns
        self._horizons: dict[str, int] = {}
        self._pieces: dict[str, list[Columns]] = {}
        self._bytes = 0

    def horizon(self, key: str) -> int:
        """All rows of the bucket from this instant on that were handed out are remembered."""
        return self._horizons.get(key, self._otherwise_ns)

    def begin(self, key: str, horizon_ns: int) -> None:
        """Nothing before this instant is known of a bucket."""
        self._horizons[key] = horizon_ns

    def add(self, key: str, rows: Columns) -> None:
        """Remember rows; the latest ones of them, if they are many."""
        rows = self._latest(key, rows, self._bytes_max // 4)
        pieces = self._pieces.setdefault(key, [])
        if pieces and not _are_alike(pieces[0], rows):
            self._forget_all(key)  # altered meanwhile
            pieces = self._pieces[key] = []
        pieces.append(_copied(rows))
        self._bytes += _bytes(rows)
        if len(pieces) > _PIECES_MAX:
            self._pieces[key] = [Columns.concat(pieces)]
        if self._bytes > self._bytes_max:
            self._forget_earlier_half()

    def without(self, key: str, rows: Columns) -> Columns:
        """The rows that were not handed out, of those from the horizon on.

        Args:
            key: their bucket.
            rows: all rows of a stretch of time as they are now.
        """
        known = self._known(key, rows)
        if not known or not len(rows):
            return rows
        return rows.take(np.array([not _take(known, row) for row in _packed(rows)], bool))

    def _known(self, key: str, rows: Columns) -> Counter[bytes]:
        """How often each row was handed out, in the stretch of these rows."""
        pieces = self._pieces.get(key)
        if not pieces or not len(rows) or not _are_alike(pieces[0], rows):
            return Counter()
        known = Columns.concat(pieces)
        known = known.take((known.ts >= rows.ts[0]) & (known.ts <= rows.ts[-1]))
        if not known.variable:  # an earlier version of a slot is not what the user has now
            _, from_end = np.unique(known.ts[::-1], return_index=True)
            known = known.take(len(known) - 1 - from_end)
        return Counter(_packed(known))

    def _latest(self, key: str, rows: Columns, bytes_max: int) -> Columns:
        """As many of the latest rows as fit; the horizon moves behind the others."""
        count = max(1, bytes_max // _row_bytes(rows))
        if len(rows) <= count:
            return rows
        first = len(rows) - count
        self._move(key, int(rows.ts[first - 1]) + 1)
        return rows.slice(first, len(rows))

    def _forget_all(self, key: str) -> None:
        pieces = self._pieces.pop(key)
        self._bytes -= sum(map(_bytes, pieces))
        self._move(key, max(int(piece.ts[-1]) for piece in pieces) + 1)

    def _forget_earlier_half(self) -> None:
        for key, pieces in self._pieces.items():
            rows = Columns.concat(pieces)
            ordered = rows.take(np.argsort(rows.ts, kind="stable"))
            self._pieces[key] = [_copied(self._latest(key, ordered, _bytes(rows) // 2))]
        self._bytes = sum(_bytes(pieces[0]) for pieces in self._pieces.values())

    def _move(self, key: str, horizon_ns: int) -> None:
        self._horizons[key] = min(MAX_NS, max(self.horizon(key), horizon_ns))


def _bytes(rows: Columns) -> int:
    return len(rows) * _row_bytes(rows)


def _row_bytes(rows: Columns) -> int:
    return rows.ts.itemsize + sum([array.itemsize for _, array in rows.items()])


def _are_alike(one: Columns, other: Columns) -> bool:
    """Whether they have the same columns; a `Schema` of each would take too long."""
    return (
        one.names == other.names
        and one.variable == other.variable
        and all(array.dtype == other[name].dtype for name, array in one.items())
    )


def _copied(rows: Columns) -> Columns:
    """A view would keep the whole array alive that it belongs to."""
    arrays = {name: array.copy() for name, array in rows.items()}
    return Columns(rows.ts.copy(), arrays, variable=rows.variable)


def _packed(rows: Columns) -> list[bytes]:
    """Each row as bytes; NaN equals NaN, and 0.0 not -0.0."""
    columns: list[NDArray[np.uint8]] = [
        np.ascontiguousarray(array).view(np.uint8).reshape(len(rows), array.dtype.itemsize)
        for array in (rows.ts, *(array for _, array in rows.items()))
    ]
    joined = np.ascontiguousarray(np.concatenate(columns, axis=1))
    found: list[bytes] = joined.view(f"V{joined.shape[1]}").ravel().tolist()
    return found


def _take(known: Counter[bytes], row: bytes) -> bool:
    if known[row] <= 0:
        return False
    known[row] -= 1
    return True
