"""The rows of a fixed bucket: each in the record of its slot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.columns import Columns
from tsstore.marketstore.errors import DamagedFileError
from tsstore.marketstore.header import HEADER_BYTES
from tsstore.marketstore.instants import slot_starts
from tsstore.marketstore.records import RecordFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class FixedFile(RecordFile):
    """An open year file of fixed rows."""

    def batches(self) -> Iterator[Columns]:
        """The rows, those of the WAL last; the ones whose place these take are left out."""
        header = self._header
        padding = header.record_bytes - 8 - header.row.itemsize
        record = np.dtype([("index", "<i8"), *header.row.descr, ("padding", f"V{padding}")])
        # Weeks of a year that is no whole number of them lie behind the laid out end.
        rest = (self._size - HEADER_BYTES) % record.itemsize
        if rest not in (0, record.itemsize - padding):
            raise DamagedFileError(self._path, self._size, "it ends there, within a record")
        if header.is_daily:
            yield from self._new_year_row(record)
        for first, records in self._records(record, self._size):
            there = np.flatnonzero(records["index"])
            if len(there):
                self._check_numbers(records["index"], there, first)
                yield self._columns(self._still_valid(records[there]))
        if self._pending is not None:
            yield self._columns(self._pending.fixed(header, record))

    def _still_valid(self, records: NDArray[Any]) -> NDArray[Any]:
        """The records that no row of the WAL takes the place of."""
        if not len(self._pending_slots):
            return records
        replaced = np.isin(records["index"], self._pending_slots)
        return records[~replaced]

    def _new_year_row(self, record: np.dtype[Any]) -> Iterator[Columns]:
        """The day that MarketStore writes over its own header and never reads again."""
        octets = os.pread(self._fd, record.itemsize, HEADER_BYTES - record.itemsize)
        if any(octets):
            yield self._columns(self._still_valid(np.frombuffer(octets, record)))

    def _columns(self, records: NDArray[Any]) -> Columns:
        ts = slot_starts(self._header, records["index"], self._tz)
        return Columns(ts, self._arrays(records))
