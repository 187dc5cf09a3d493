"""A MarketStore that only writes: its files byte for byte, from what is known of the format.

Nothing of `tsstore.marketstore` is used here, and times are computed with `datetime` and floats, as
the real one does.
"""

from __future__ import annotations

import hashlib
import struct
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import cramjam

HEADER = 37_024
CODES = {
    "f4": 0, "i4": 1, "f8": 2, "i8": 3, "i1": 5, "b1": 6, "i2": 9, "u1": 10, "u2": 11, "u4": 12,
    "u8": 13, "U16": 14,
}  # fmt: skip
FORMATS = {
    "f4": "f", "i4": "i", "f8": "d", "i8": "q", "i1": "b", "b1": "?", "i2": "h", "u1": "B",
    "u2": "H", "u4": "I", "u8": "Q",
}  # fmt: skip
SECONDS = {"Sec": 1, "Min": 60, "H": 3600, "D": 86_400, "W": 7 * 86_400}
Row = tuple[int, tuple]


def pack_row(types: list[str], values: tuple) -> bytes:
    """Columns one after the other, without gaps."""
    pieces = []
    for kind, value in zip(types, values, strict=True):
        if kind == "U16":
            pieces.append(value.encode("utf-32-le").ljust(64, b"\0"))
        else:
            pieces.append(struct.pack("<" + FORMATS[kind], value))
    return b"".join(pieces)


def seconds_of(timeframe: str) -> int:
    digits = timeframe.rstrip("SecMinHDW")
    return int(digits) * SECONDS[timeframe[len(digits) :]]


class Place:
    """Where an instant lies: year, slot and fraction."""

    def __init__(self, ns: int, step: int, zone: str) -> None:
        seconds, self.rest = divmod(ns, 10**9)
        local = datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(zone))
        self.year = local.year
        if step == 86_400:
            self.index = local.timetuple().tm_yday - 1
        else:
            new_year = datetime(local.year, 1, 1, tzinfo=ZoneInfo(zone))
            self.index = 1 + (seconds - int(new_year.timestamp())) // step
        per_day = 86_400 // step
        if per_day == 0:
            self.fraction = 0
            return
        base = datetime(local.year, 1, 1, tzinfo=UTC).timestamp() + (self.index - 1) * step
        elapsed = float(seconds - int(base)) + self.rest / 1e9
        self.fraction = int(float(per_day) * 49710.269629629629629629629629629 * elapsed) % 2**32


def header(year: int, step: int, variable: bool, columns: dict[str, str]) -> bytearray:
    """The first 37,024 bytes of a year file."""
    widths = [64 if kind == "U16" else int(kind[1:]) for kind in columns.values()]
    record = 24 if variable else 8 + (sum(widths) + 7) // 8 * 8
    octets = bytearray(HEADER)
    struct.pack_into("<q", octets, 0, 2)
    octets[8:26] = b"Created By Writer "
    struct.pack_into("<6q", octets, 264, year, step * 10**9, variable, len(columns), record, 0)
    for place, (name, kind) in enumerate(columns.items()):
        octets[312 + 32 * place : 312 + 32 * place + len(name)] = name.encode()
        octets[33_080 + place] = CODES[kind]
    return octets


class Directory:
    """A data directory that is being written.

    Args:
        root: where.
        zone: of the server.
        compressed: whether ticks are packed.
    """

    def __init__(self, root: Path, zone: str = "UTC", *, compressed: bool = True) -> None:
        self.root = root
        self.zone = zone
        self.compressed = compressed
        self.commands: list[bytes] = []
        root.mkdir()
        (root / "category_name").write_text("Symbol")

    def write(self, key: str, columns: dict[str, str], rows: list[Row], *, variable=False) -> None:
        """Write rows of (ns, values), in the order given."""
        step = seconds_of(key.split("/")[1])
        slots: dict[tuple[int, int], list[bytes]] = {}
        for ns, values in rows:
            place = Place(ns, step, self.zone)
            row = pack_row(list(columns.values()), values)
            row += struct.pack("<I", place.fraction) if variable else b""
            slots.setdefault((place.year, place.index), []).append(row)
        for (year, index), packed in slots.items():
            path = self.year(key, columns, year, variable=variable)
            if variable:
                self.add_ticks(path, index, packed)
            else:
                with path.open("rb") as file:
                    width = struct.unpack_from("<q", file.read(HEADER), 296)[0]
                at = HEADER + (index - 1) * width
                self.patch(path, at, struct.pack("<q", index) + packed[-1])

    def year(self, key: str, columns: dict[str, str], year: int, *, variable: bool) -> Path:
        """A year file, created if it is not there."""
        path = self.root / key / f"{year}.bin"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            step = seconds_of(key.split("/")[1])
            octets = header(year, step, variable, columns)
            width = struct.unpack_from("<q", octets, 296)[0]
            days = (datetime(year + 1, 1, 1) - datetime(year, 1, 1)).days
            path.write_bytes(octets)
            with path.open("r+b") as file:
                file.truncate(HEADER + days * 86_400 // step * width)
        return path

    def add_ticks(self, path: Path, index: int, rows: list[bytes]) -> None:
        """Rewrite a slot at the end of the file, its rows sorted by fraction."""
        entry = HEADER + (index - 1) * 24
        with path.open("r+b") as file:
            file.seek(entry)
            known, begin, length = struct.unpack("<3q", file.read(24))
            old = b""
            if known:
                file.seek(begin)
                old = file.read(length)
                old = bytes(cramjam.snappy.decompress_raw(old)) if self.compressed else old
            width = len(rows[0])
            rows = [old[at : at + width] for at in range(0, len(old), width)] + rows
            rows.sort(key=lambda row: struct.unpack("<I", row[-4:])[0])
            octets = b"".join(rows)
            octets = bytes(cramjam.snappy.compress_raw(octets)) if self.compressed else octets
            begin = file.seek(0, 2)
            file.write(octets)
            file.seek(entry)
            file.write(struct.pack("<3q", index, begin, len(octets)))

    def patch(self, path: Path, at: int, octets: bytes) -> None:
        """Write over some bytes."""
        with path.open("r+b") as file:
            file.seek(at)
            file.write(octets)

    # The WAL.

    def command(self, key: str, columns: dict[str, str], ns: int, values, *, variable) -> bytes:
        """A command of a group: one row."""
        place = Place(ns, seconds_of(key.split("/")[1]), self.zone)
        row = pack_row(list(columns.values()), values)
        row += struct.pack("<I", place.fraction) if variable else b""
        name = f"{key}/{place.year}.bin".encode()
        shapes = [("Epoch", 3), *((name, CODES[kind]) for name, kind in columns.items())]
        return b"".join(
            [
                struct.pack("<bh", variable, len(name)),
                name,
                struct.pack("<iiqq", len(row), len(row) if variable else 0, 0, place.index),
                row,
                bytes([len(shapes)]),
                *(bytes([len(n)]) + n.encode() + bytes([code]) for n, code in shapes),
            ]
        )

    def wal(self, *messages: bytes, state: int = 1, name: str = "WALFile.1.walfile") -> Path:
        """A WAL with these messages behind its status."""
        path = self.root / name
        path.write_bytes(b"\2" + struct.pack("<bbq", 1, state, 42) + b"".join(messages))
        return path


def group(number: int, *commands: bytes) -> bytes:
    """The messages of one commit."""
    octets = struct.pack("<qq", number, len(commands)) + b"".join(commands)
    length = struct.pack("<q", len(octets))
    checksum = hashlib.md5(length + octets).digest()
    return info(number, 0, 0) + b"\0" + length + octets + checksum + info(number, 0, 2)


def info(number: int, destination: int, state: int) -> bytes:
    """What became of a group; destination 1 and state 2 are a complete checkpoint."""
    return b"\1" + struct.pack("<qbb", number, destination, state)
