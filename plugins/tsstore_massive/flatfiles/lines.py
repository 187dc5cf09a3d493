"""Of a CSV whose lines begin with a ticker, little more than the lines of some tickers.

A day of quotes is hundreds of millions of lines, and those of one ticker stand together in a few
places. To look at the first bytes of each line takes a fraction of the time of parsing it.
"""

from __future__ import annotations

import io
from itertools import groupby
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from typing_extensions import Buffer

#: With more tickers most blocks hold one of them.
TICKERS_MAX = 200

_BLOCK_BYTES = 2 << 20
_LINE_BYTES_MAX = 2 << 20
#: Bytes of a line that are looked at, as one number.
_WORD = 8
_NEWLINE = 10


class LinesOf(io.RawIOBase):
    """The header, and all lines of these tickers; of each block also those that stand between.

    Lines of other tickers that begin alike may be among them. A line of more than 2 MiB is none of
    the vendor's: OSError when read.

    Args:
        file: the whole CSV; closed by whoever opened it.
        tickers: at least one.
    """

    def __init__(self, file: BinaryIO, tickers: Sequence[str]) -> None:
        self._file = file
        self._begins = _begins([f"{ticker},".encode()[:_WORD] for ticker in tickers])
        self._ready = memoryview(file.readline(_LINE_BYTES_MAX))
        self._rest = b""  # a line that has begun

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """As of any file."""
        while not self._ready:
            block = self._file.read(_BLOCK_BYTES)
            if not block and not self._rest:
                return 0
            self._take(block or b"\n")
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._ready))
        target[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _take(self, block: bytes) -> None:
        """Make the wanted lines that end in a block ready."""
        text = self._rest + block
        end = text.rfind(b"\n") + 1
        self._rest = text[end:]
        if len(self._rest) > _LINE_BYTES_MAX:
            raise OSError(f"a line has more than {_LINE_BYTES_MAX} bytes")
        if not end:
            return
        ends = np.flatnonzero(np.frombuffer(text, np.uint8, end) == _NEWLINE) + 1
        starts = np.concatenate(([0], ends[:-1]))
        wanted = np.flatnonzero(self._is_wanted(text, starts))
        if len(wanted):
            self._ready = memoryview(text)[starts[wanted[0]] : ends[wanted[-1]]]

    def _is_wanted(self, text: bytes, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
        padded = text + bytes(_WORD)
        words = np.ndarray(len(text), "<u8", padded, strides=(1,))[starts]
        found = np.zeros(len(starts), np.bool_)
        for mask, values in self._begins:
            found |= np.isin(words & mask, values)
        return found


def _begins(texts: list[bytes]) -> list[tuple[np.uint64, NDArray[np.uint64]]]:
    """For each length, the bytes that count, and what they may be."""
    return [
        (
            np.uint64((1 << 8 * length) - 1),
            np.array([int.from_bytes(text, "little") for text in group], np.uint64),
        )
        for length, group in groupby(sorted(texts, key=len), key=len)
    ]
