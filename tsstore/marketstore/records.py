"""What the two kinds of year files have in common: a record for each slot, most of them holes."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.marketstore.errors import DamagedFileError
from tsstore.marketstore.header import HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tsstore.marketstore.yearfile import YearFile

#: A batch has about so many bytes, whatever the file's size; one slot is never divided.
BATCH_BYTES = 8 << 20


class RecordFile:
    """An open year file.

    Args:
        fd: its descriptor.
        year: what is known of it.

    Raises:
        DamagedFileError: it is shorter than a year.
    """

    def __init__(self, fd: int, year: YearFile) -> None:
        self._fd = fd
        self._path = str(year.path)
        self._header = year.header
        self._tz = year.timezone
        self._pending = year.pending
        slots = sorted(year.pending.slots) if year.pending else []
        self._pending_slots = np.array(slots, np.int64)
        self._size = os.fstat(fd).st_size
        self._end = HEADER_BYTES + year.header.slots * year.header.record_bytes
        if self._size < self._end:
            raise DamagedFileError(
                self._path, self._size, f"it ends there instead of at {self._end} or later"
            )

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
