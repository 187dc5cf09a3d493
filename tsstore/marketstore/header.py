"""The header of a year file, `SYMBOL/TIMEFRAME/GROUP/YEAR.bin`, as values; no I/O.

    0       i64      version, 2
    8       256 B    description
    264     i64      year
    272     i64      timeframe in nanoseconds
    280     i64      0 fixed, 1 variable
    288     i64      number of columns
    296     i64      bytes of a record (fixed) or of an index entry (variable: 24)
    304     i64      reserved
    312     32 B     name of each column, 1,024 times, filled with zeros
    33,080  u8       type of each column, 1,024 times
    34,104  i64      reserved, 365 times

All numbers are little-endian. The time is no column of its own.
"""

from __future__ import annotations

import struct
from calendar import isleap
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.marketstore.errors import DamagedFileError
from tsstore.schema import COLUMNS_MAX, Schema
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND

HEADER_BYTES = 37_024
#: Entry of a slot in the index of a variable file: slot number, offset, length.
INDEX_ENTRY = np.dtype([("index", "<i8"), ("offset", "<i8"), ("length", "<i8")])

_VERSION = 2
_NUMBERS = struct.Struct("<6q")
_NAMES_AT, _NAME_BYTES = 312, 32
_TYPES_AT = _NAMES_AT + COLUMNS_MAX * _NAME_BYTES
#: Types by their code; 7 (none) and 8 (text of any length) have no bytes in a record.
COLUMN_TYPES = {
    0: "<f4", 1: "<i4", 2: "<f8", 3: "<i8", 4: "<i8", 5: "|i1", 6: "|b1", 9: "<i2", 10: "|u1",
    11: "<u2", 12: "<u4", 13: "<u8", 14: "<U16",
}  # fmt: skip


@dataclass(frozen=True)
class YearHeader:
    """What the header of a year file says.

    Attributes:
        year: in the time zone of the server.
        timeframe_ns: length of a slot.
        schema: the columns.
        record_bytes: bytes from one slot to the next.
    """

    year: int
    timeframe_ns: int
    schema: Schema
    record_bytes: int

    @cached_property
    def slots(self) -> int:
        """How many slots a file of that year is laid out for."""
        return self._length_ns // self.timeframe_ns

    @cached_property
    def last_slot(self) -> int:
        """The number of the last slot of the year; the first one is 0 for days, else 1."""
        return self.slots - 1 if self.is_daily else -(-self._length_ns // self.timeframe_ns)

    @property
    def _length_ns(self) -> int:
        return (366 if isleap(self.year) else 365) * NS_PER_DAY

    @cached_property
    def row(self) -> np.dtype[Any]:
        """The columns of a row as they lie one after the other."""
        return np.dtype([(f"c{n}", dtype) for n, (_, dtype) in enumerate(self.schema.columns)])

    @property
    def is_daily(self) -> bool:
        """Whether slots are counted from 0, from the local midnight of 1 January on."""
        return self.timeframe_ns == NS_PER_DAY


def parse_header(octets: bytes, path: str) -> YearHeader:
    """The header in the first `HEADER_BYTES` of a file.

    Args:
        octets: these bytes, or fewer if the file has no more.
        path: the file, for messages.

    Raises:
        DamagedFileError: not the header of a year file, or one that contradicts itself.
    """
    if len(octets) < HEADER_BYTES:
        raise DamagedFileError(path, len(octets), f"it ends within its header of {HEADER_BYTES}")
    version = int.from_bytes(octets[:8], "little", signed=True)
    if version != _VERSION:
        raise DamagedFileError(path, 0, f"version {version} instead of {_VERSION}")
    year, timeframe_ns, kind, count, record_bytes, _ = _NUMBERS.unpack_from(octets, 264)
    if not 1678 <= year <= 2261:
        raise DamagedFileError(path, 264, f"year {year}, which nanoseconds do not hold")
    if timeframe_ns < NS_PER_SECOND or timeframe_ns % NS_PER_SECOND:
        raise DamagedFileError(path, 272, f"a timeframe of {timeframe_ns} ns")
    if kind not in (0, 1):
        raise DamagedFileError(path, 280, f"record type {kind}, neither fixed nor variable")
    if not 0 < count <= COLUMNS_MAX:
        raise DamagedFileError(path, 288, f"{count} columns")
    schema = _schema(octets, count, variable=kind == 1, path=path)
    header = YearHeader(year, timeframe_ns, schema, record_bytes)
    # Records begin with the number of their slot and are padded to eight bytes.
    expected = INDEX_ENTRY.itemsize if kind else 8 + -(-header.row.itemsize // 8) * 8
    if record_bytes != expected:
        raise DamagedFileError(path, 296, f"records of {record_bytes} bytes instead of {expected}")
    return header


def _schema(octets: bytes, count: int, *, variable: bool, path: str) -> Schema:
    columns = []
    for place in range(count):
        at = _NAMES_AT + place * _NAME_BYTES
        code = octets[_TYPES_AT + place]
        dtype = COLUMN_TYPES.get(code)
        if dtype is None:
            raise DamagedFileError(path, _TYPES_AT + place, f"type {code} of column {place}")
        try:
            name = octets[at : at + _NAME_BYTES].rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise DamagedFileError(path, at, f"the name of column {place} is no text") from None
        columns.append((name, dtype))
    try:
        return Schema.of(columns, variable=variable)
    except InvalidArgumentError as error:
        raise DamagedFileError(path, _NAMES_AT, str(error)) from None
