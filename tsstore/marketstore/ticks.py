"""The rows of a variable bucket: behind an index, the ticks of each slot, packed with Snappy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.marketstore import records
from tsstore.marketstore.errors import DamagedFileError
from tsstore.marketstore.header import HEADER_BYTES, INDEX_ENTRY
from tsstore.marketstore.instants import instants
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tsstore.marketstore.yearfile import YearFile

# Three bytes of Snappy stand for 64 at the most.
_SNAPPY_RATIO_MAX = 32


class TickFile(records.RecordFile):
    """An open year file of ticks."""

    def __init__(self, fd: int, year: YearFile) -> None:
        super().__init__(fd, year)
        self._compressed = year.compressed

    def batches(self) -> Iterator[Columns]:
        """The rows, those among them that only the WAL has."""
        if NS_PER_DAY % self._header.timeframe_ns:
            raise InvalidArgumentError(
                f"{self._path}: MarketStore keeps no times of ticks in slots that are no whole "
                "fraction of a day; it cannot read this file itself"
            )
        used = 0
        for entries in self._entries():
            used += int(entries["length"].sum())
            if used > self._size - self._end:
                raise DamagedFileError(self._path, HEADER_BYTES, "slots that share their bytes")
            yield from self._gathered(entries)

    def _entries(self) -> Iterator[NDArray[Any]]:
        """The index entries of slots with rows, in order."""
        last = -1
        if self._header.is_daily:
            # The day that MarketStore writes over its own header.
            octets = os.pread(self._fd, INDEX_ENTRY.itemsize, HEADER_BYTES - INDEX_ENTRY.itemsize)
            if any(octets):
                yield self._checked(np.frombuffer(octets, INDEX_ENTRY), np.zeros(1, np.int64), -1)
                last = 0
        for first, entries in self._records(INDEX_ENTRY, self._end):
            there = np.flatnonzero(entries["index"])
            if len(there):
                self._check_numbers(entries["index"], there, first)
                found = self._checked(entries[there], there, first)
                yield self._with_pending(found, last)
                last = int(found["index"][-1])
        rest = self._with_pending(np.empty(0, INDEX_ENTRY), last)
        if len(rest):
            yield rest

    def _checked(
        self, entries: NDArray[Any], places: NDArray[np.int64], first: int
    ) -> NDArray[Any]:
        begin, length = entries["offset"], entries["length"]
        wrong = (begin < self._end) | (length <= 0) | (length > self._size)
        wrong |= begin > self._size - np.where(wrong, 0, length)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise DamagedFileError(
                self._path,
                HEADER_BYTES + (first + int(places[at])) * INDEX_ENTRY.itemsize,
                f"slot {int(entries['index'][at])} has {int(length[at])} bytes at "
                f"{int(begin[at])}, outside the rows of the file",
            )
        return entries

    def _with_pending(self, entries: NDArray[Any], last: int) -> NDArray[Any]:
        """The entries and, between them or at the end, slots that only the WAL has."""
        slots = self._pending_slots
        end = int(entries["index"][-1]) if len(entries) else np.iinfo(np.int64).max
        between = slots[
            np.searchsorted(slots, last, "right") : np.searchsorted(slots, end, "right")
        ]
        new = np.setdiff1d(between, entries["index"])
        if not len(new):
            return entries
        extra = np.zeros(len(new), INDEX_ENTRY)
        extra["index"] = new
        both = np.concatenate((entries, extra))
        return both[np.argsort(both["index"], kind="stable")]

    def _gathered(self, entries: NDArray[Any]) -> Iterator[Columns]:
        unpack = _snappy() if self._compressed else None
        slots: list[int] = []
        rows: list[bytes] = []
        waiting = 0
        for index, offset, length in entries.tolist():
            octets = self._slot(index, offset, length, unpack)
            slots.append(index)
            rows.append(octets)
            waiting += len(octets)
            if waiting >= records.BATCH_BYTES:
                yield self._ticks(slots, rows)
                slots, rows, waiting = [], [], 0
        if slots:
            yield self._ticks(slots, rows)

    def _slot(
        self, index: int, offset: int, length: int, unpack: Callable[[bytes], bytes] | None
    ) -> bytes:
        """The rows of a slot, in bytes."""
        octets = os.pread(self._fd, length, offset)
        if unpack is not None and length:
            octets = self._unpacked(octets, offset, unpack)
        width = self._header.row.itemsize + 4
        if len(octets) % width:
            raise DamagedFileError(
                self._path,
                offset,
                f"slot {index} has {len(octets)} bytes, no whole number of rows of {width}"
                f"{self._hint()}",
            )
        if self._pending is not None:
            octets += self._pending.variable(index, octets, width)
        return octets

    def _unpacked(self, octets: bytes, offset: int, unpack: Callable[[bytes], bytes]) -> bytes:
        if _unpacked_length(octets) > len(octets) * _SNAPPY_RATIO_MAX:
            raise DamagedFileError(
                self._path, offset, f"it claims to unpack to more than Snappy can{self._hint()}"
            )
        try:
            return unpack(octets)
        except ValueError as error:
            raise DamagedFileError(self._path, offset, f"{error}{self._hint()}") from None

    def _hint(self) -> str:
        other = "not packed" if self._compressed else "packed"
        return f" (or the rows are {other}: disable_variable_compression in mkts.yml)"

    def _ticks(self, slots: list[int], rows: list[bytes]) -> Columns:
        width = self._header.row.itemsize + 4
        row = np.dtype([*self._header.row.descr, ("fraction", "<u4")])
        table = np.frombuffer(b"".join(rows), row)
        index = np.repeat(np.array(slots, np.int64), [len(octets) // width for octets in rows])
        ts = instants(self._header, index, table["fraction"], self._tz)
        arrays = self._arrays(table)
        if (ts[1:] >= ts[:-1]).all():
            return Columns(ts, arrays, variable=True)
        # Fractions of days and of other zones' slots wrap round; MarketStore sorts by them.
        order = np.argsort(ts, kind="stable")
        return Columns(ts[order], {n: a[order] for n, a in arrays.items()}, variable=True)


def _snappy() -> Callable[[bytes], bytes]:
    try:
        from cramjam import DecompressionError, snappy
    except ImportError:
        raise InvalidArgumentError(
            "ticks of MarketStore are packed with Snappy, which needs cramjam; "
            "`pip install tsstore[marketstore]`"
        ) from None

    def unpack(octets: bytes) -> bytes:
        try:
            return bytes(snappy.decompress_raw(octets))
        except DecompressionError as error:
            raise ValueError(str(error)) from None

    return unpack


def _unpacked_length(octets: bytes) -> int:
    """What a Snappy block says of its length, seven bits a byte."""
    length = 0
    for place, octet in enumerate(octets[:5]):
        length |= (octet & 0x7F) << 7 * place
        if octet < 0x80:
            return length
    return 1 << 62
