"""Commits of MarketStore's WAL that its year files may lack.

`WALFile.<ns>.walfile` is a row of messages; each begins with a byte that says which it is:

    2 STATUS   i8 file status, i8 replay state (2: replayed, nothing to do), i64 owner
    1 TXNINFO  i64 group, i8 destination (0 WAL, 1 checkpoint), i8 state (2: complete)
    0 TGDATA   i64 length, the group, MD5 of both

A group is its number (i64), a count (i64) and so many commands: i8 record type, i16 length of the
path and the path of the year file, i32 length of the rows, i32 length of a row of ticks, i64
offset, i64 slot, the rows, and the columns with their types. A complete checkpoint says that all
groups up to its number are in the year files. The last message may be torn; it was never
acknowledged.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.marketstore.errors import DamagedFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore.marketstore.header import YearHeader

_GROUP, _INFO, _STATUS = 0, 1, 2
_REPLAYED = 2
_CHECKPOINT, _COMPLETE = 1, 2
_STATUS_MESSAGE = struct.Struct("<bbq")
_INFO_MESSAGE = struct.Struct("<qbb")
_COMMAND = struct.Struct("<iiqq")
_CHECKSUM_BYTES = 16


@dataclass
class Pending:
    """What the WAL holds for one year file.

    Attributes:
        source: the WAL.
        slots: the rows of each slot, in the order of their commits.
    """

    source: Path
    slots: dict[int, list[bytes]] = field(default_factory=dict)

    def check(self, header: YearHeader) -> None:
        """Refuse rows that cannot be of a file with that header.

        Raises:
            DamagedFileError: a slot beyond the year, or rows of another length.
        """
        first = 0 if header.is_daily else 1
        width = header.row.itemsize
        for slot, rows in self.slots.items():
            if not first <= slot <= header.last_slot:
                raise DamagedFileError(str(self.source), 0, f"slot {slot} of {header.year}")
            for row in rows:
                ticks, rest = divmod(len(row), width + 4)
                if (rest or not ticks) if header.schema.is_variable else len(row) < width:
                    raise DamagedFileError(
                        str(self.source), 0, f"{len(row)} bytes in slot {slot} of {header.year}"
                    )

    def fixed(self, header: YearHeader, record: np.dtype[Any]) -> NDArray[Any]:
        """The last row of each slot, as records."""
        found = np.zeros(len(self.slots), record)
        octets = found.view(np.uint8).reshape(len(found), record.itemsize)
        for place, slot in enumerate(sorted(self.slots)):
            row = self.slots[slot][-1][: header.row.itemsize]
            found[place]["index"] = slot
            octets[place, 8 : 8 + len(row)] = np.frombuffer(row, np.uint8)
        return found

    def variable(self, slot: int, there: bytes, width: int) -> bytes:
        """The rows of a slot that are not there.

        Args:
            slot: its number.
            there: the rows that the year file has.
            width: bytes of a row.
        """
        rows = self.slots.get(slot)
        if rows is None:
            return b""
        known = Counter(_cut(there, width))
        missing = []
        for row in _cut(b"".join(rows), width):
            if known[row] > 0:
                known[row] -= 1
            else:
                missing.append(row)
        return b"".join(missing)


def _cut(octets: bytes, width: int) -> list[bytes]:
    return [octets[at : at + width] for at in range(0, len(octets), width)]


def read_pending(directory: Path) -> dict[str, Pending]:
    """What the year files of a directory may lack, by their names relative to it.

    Memory grows with the rows since the last checkpoint, which MarketStore makes every five
    minutes.

    Raises:
        DamagedFileError: a WAL that cannot be read; its torn end is no damage.
    """
    found: dict[str, Pending] = {}
    for path in sorted(directory.glob("WALFile.*.walfile")):
        for begin, octets in _unflushed(path):
            _add_group(found, path, begin, octets)
    return found


def _unflushed(path: Path) -> list[tuple[int, bytes]]:
    """Groups since the last checkpoint: where each begins, and its bytes."""
    groups: dict[int, tuple[int, bytes]] = {}
    for at, kind, octets in _messages(path):
        if kind == _STATUS and _STATUS_MESSAGE.unpack(octets)[1] == _REPLAYED:
            return []
        if kind == _GROUP:
            groups[int.from_bytes(octets[:8], "little", signed=True)] = at, octets
        if kind == _INFO:
            number, destination, state = _INFO_MESSAGE.unpack(octets)
            if destination == _CHECKPOINT and state == _COMPLETE:
                groups = {n: group for n, group in groups.items() if n > number}
    return [groups[number] for number in sorted(groups)]


def _messages(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """The messages of a WAL: where the contents begin, the kind, the contents."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while kind := file.read(1):
            at = file.tell()
            if kind[0] in (_STATUS, _INFO):
                octets = file.read(_INFO_MESSAGE.size)
                if len(octets) < _INFO_MESSAGE.size:
                    return
                yield at, kind[0], octets
                continue
            if kind[0] != _GROUP:
                raise DamagedFileError(str(path), at - 1, f"message {kind[0]}, which there is not")
            length = file.read(8)
            rest = int.from_bytes(length, "little", signed=True)
            if len(length) < 8 or rest + _CHECKSUM_BYTES > size - file.tell():
                return
            if rest < 16:
                raise DamagedFileError(str(path), at, f"a group of {rest} bytes")
            octets = file.read(rest)
            checksum = hashlib.md5(length + octets, usedforsecurity=False).digest()
            if file.read(_CHECKSUM_BYTES) != checksum:
                if file.tell() == size:
                    return
                raise DamagedFileError(str(path), at, "a group whose checksum is another")
            yield at + 8, _GROUP, octets


def _add_group(found: dict[str, Pending], path: Path, begin: int, octets: bytes) -> None:
    (count,) = struct.unpack_from("<q", octets, 8)
    at = 16
    try:
        for _ in range(count):
            at = _add_command(found, path, octets, at)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise DamagedFileError(str(path), begin + at, "a command that cannot be read") from None


def _add_command(found: dict[str, Pending], path: Path, octets: bytes, at: int) -> int:
    """Take in the command there; returns where the next one begins."""
    (length,) = struct.unpack_from("<h", octets, at + 1)
    at += 3
    name = octets[at : at + length].decode()
    at += length
    data_length, _, _, slot = _COMMAND.unpack_from(octets, at)
    at += _COMMAND.size
    rows = octets[at : at + data_length]
    if length < 0 or data_length < 0 or len(rows) < data_length:
        raise IndexError
    found.setdefault(name, Pending(path)).slots.setdefault(slot, []).append(rows)
    at += data_length
    columns = octets[at]
    at += 1
    for _ in range(columns):
        at += 2 + octets[at]
    return at
