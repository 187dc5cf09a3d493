"""The rows of a year file, in batches.

A file of fixed rows is a record per slot; one of ticks is an index entry per slot, and behind these
the rows of each slot, packed with Snappy. Slots without rows are zeros, mostly holes of the file.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.marketstore.errors import DamagedFileError
from tsstore.marketstore.header import HEADER_BYTES, INDEX_ENTRY, YearHeader, parse_header
from tsstore.marketstore.instants import instants, slot_starts
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore.marketstore.walfile import Pending
    from tsstore.schema import Schema

#: A batch has about so many bytes, whatever the file's size; one slot is never divided.
BATCH_BYTES = 8 << 20
# Three bytes of Snappy stand for 64 at the most.
_SNAPPY_RATIO_MAX = 32


@dataclass(frozen=True)
class YearFile:
    """A year of a bucket.

    Attributes:
        path: the file.
        header: what it says of itself.
        timezone: zone of the server that wrote it.
        compressed: whether ticks are packed, which is MarketStore's default.
        pending: rows of the WAL that the file may lack.
    """

    path: Path
    header: YearHeader
    timezone: str = "UTC"
    compressed: bool = True
    pending: Pending | None = None

    @property
    def schema(self) -> Schema:
        """The columns of this year, which may differ from those of another."""
        return self.header.schema

    def batches(self) -> Iterator[Columns]:
        """The rows, ascending in time within a batch.

        Rows of the WAL that the file lacks are among them; in a fixed bucket they are the last
        batch, and the rows whose place they take are left out.

        Raises:
            DamagedFileError: the file is not what MarketStore writes; what came before is right.
            InvalidArgumentError: rows whose times cannot be told, or cramjam is not installed.
        """
        with self.path.open("rb", buffering=0) as file:
            reader = _Reader(file.fileno(), self)
            yield from reader.variable() if self.schema.is_variable else reader.fixed()


def open_year(
    path: Path, *, timezone: str, compressed: bool, pending: Pending | None = None
) -> YearFile:
    """A year file, its header read.

    Raises:
        DamagedFileError: it is none, or the WAL has other rows for it than it holds.
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        header = parse_header(os.pread(file.fileno(), HEADER_BYTES, 0), str(path))
    if pending is not None:
        pending.check(header)
    return YearFile(path, header, timezone, compressed, pending)


class _Reader:
    def __init__(self, fd: int, file: YearFile) -> None:
        self._fd = fd
        self._path = str(file.path)
        self._header = file.header
        self._tz = file.timezone
        self._compressed = file.compressed
        self._pending = file.pending
        slots = sorted(file.pending.slots) if file.pending else []
        self._pending_slots = np.array(slots, np.int64)
        self._size = os.fstat(fd).st_size
        self._end = HEADER_BYTES + file.header.slots * file.header.record_bytes
        if self._size < self._end:
            raise DamagedFileError(
                self._path, self._size, f"it ends there instead of at {self._end} or later"
            )

    # Fixed rows.

    def fixed(self) -> Iterator[Columns]:
        header = self._header
        padding = header.record_bytes - 8 - header.row.itemsize
        record = np.dtype([("index", "<i8"), *header.row.descr, ("padding", f"V{padding}")])
        if header.is_daily:
            yield from self._new_year_row(record)
        # Weeks of a year that is no whole number of them lie behind the laid out end.
        for first, records in self._records(record, self._size):
            there = np.flatnonzero(records["index"])
            if len(there):
                self._check_numbers(records["index"], there, first)
                yield self._columns(self._still_valid(records[there]))
        if self._pending is not None:
            missing = self._pending.fixed(header, record)
            if len(missing):
                yield self._columns(missing)

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

    def _arrays(self, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        arrays = {
            name: np.ascontiguousarray(rows[f"c{place}"])
            for place, name in enumerate(self._header.schema.names)
        }
        for name, array in arrays.items():
            if array.dtype.kind == "U" and array.view(np.uint32).max(initial=0) > sys.maxunicode:
                raise DamagedFileError(
                    self._path, HEADER_BYTES, f"a text of column {name} that is no Unicode"
                )
        return arrays

    def _records(self, record: np.dtype[Any], end: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Runs of records that are not all hole, each with the number of its first, from 0."""
        width = record.itemsize
        step = max(1, BATCH_BYTES // width)
        place = 0
        while (place := self._next_data(HEADER_BYTES + place * width, end)) < end:
            place = (place - HEADER_BYTES) // width
            offset = HEADER_BYTES + place * width
            octets = self._read(offset, min(step * width, end - offset))
            octets += bytes(-len(octets) % width)  # the last record of a file has no padding
            yield place, np.frombuffer(octets, record)
            place += step

    def _next_data(self, offset: int, end: int) -> int:
        """The first byte from there on that is not in a hole of the file."""
        if offset >= end:
            return end
        try:
            return max(offset, os.lseek(self._fd, offset, os.SEEK_DATA))
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but hole to the end
                return end
            raise

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, max(0, min(length, self._size - offset)), offset)

    def _check_numbers(
        self, numbers: NDArray[np.int64], there: NDArray[np.intp], first: int
    ) -> None:
        wrong = (numbers[there] != there + first + 1) | (numbers[there] > self._header.last_slot)
        if wrong.any():
            place = int(there[int(np.argmax(wrong))])
            raise DamagedFileError(
                self._path,
                HEADER_BYTES + (first + place) * self._header.record_bytes,
                f"slot {int(numbers[place])} where slot {first + place + 1} of at most "
                f"{self._header.last_slot} lies",
            )

    # Variable rows.

    def variable(self) -> Iterator[Columns]:
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
            yield from self._batches(entries)

    def _entries(self) -> Iterator[NDArray[Any]]:
        """The index entries of slots with rows, in order."""
        if self._header.is_daily:
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

    def _batches(self, entries: NDArray[Any]) -> Iterator[Columns]:
        unpack = _snappy() if self._compressed else None
        slots: list[int] = []
        rows: list[bytes] = []
        waiting = 0
        for index, offset, length in entries.tolist():
            octets = self._slot(index, offset, length, unpack)
            slots.append(index)
            rows.append(octets)
            waiting += len(octets)
            if waiting >= BATCH_BYTES:
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
