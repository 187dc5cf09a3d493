"""One wrong bit in a record is found by its checksum, and put right.

Memory and cables flip single bits. Of all records that differ from what was read in one bit, only
the one that was written has the right checksum, so small ones are tried one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import xxhash

from tsstore.format.record import HEADER_BYTES, RecordError, VersionError, decode_header

if TYPE_CHECKING:
    from collections.abc import Callable

# Trying the bits of larger bodies would take minutes.
_BODY_BYTES_MAX = 32 << 10
_CHECKED_BYTES = HEADER_BYTES - 8


def mended(data: bytes, *, owner: int | None = None) -> bytes | None:
    """The record at the beginning of `data` with at most one bit put right in header and in body.

    Args:
        data: the bytes as they were read; what follows the record is left out of the result.
        owner: of the record; None for any.

    Returns:
        The whole record, or None where more is wrong with it.
    """
    head = bytearray(data[:HEADER_BYTES])
    if len(head) < HEADER_BYTES or not _mend(head, _is_header):
        return None
    try:
        header = decode_header(bytes(head), owner=owner)
    except (RecordError, VersionError):
        return None
    body = bytearray(data[HEADER_BYTES : HEADER_BYTES + header.body_length])
    if len(body) < header.body_length:
        return None

    def is_body(candidate: bytearray) -> bool:
        return xxhash.xxh3_64_intdigest(candidate) == header.body_checksum

    if not is_body(body) and (len(body) > _BODY_BYTES_MAX or not _mend(body, is_body)):
        return None
    return bytes(head + body)


def _is_header(head: bytearray) -> bool:
    stored = int.from_bytes(head[_CHECKED_BYTES:], "little")
    return xxhash.xxh3_64_intdigest(bytes(head[:_CHECKED_BYTES])) == stored


def _mend(data: bytearray, is_right: Callable[[bytearray], bool]) -> bool:
    """Put one bit right, in place; whether the data are right afterwards."""
    if is_right(data):
        return True
    for place in range(len(data)):
        for bit in range(8):
            data[place] ^= 1 << bit
            if is_right(data):
                return True
            data[place] ^= 1 << bit
    return False
